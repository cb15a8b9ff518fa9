// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// The labels of what a run creates.
const (
	PartOfLabel = "app.kubernetes.io/part-of"
	PartOf      = "netpol-latency"
	RunLabel    = "netpol-latency/run"
)

// The names of objects in a scenario's namespaces.
const (
	agentName   = "agent"
	watcherName = "agent-watches"
	startupName = "startup"
)

// PodVariable is where an agent finds the name of its pod: that of its host has only its number.
const PodVariable = "POD_NAME"

// user is who containers of an image that others have made run as: nobody in particular. The
// project's own images say so themselves, by a number, as runAsNonRoot wants it; a pod that names
// another one is refused where the cluster chooses the users of its pods (OpenShift's
// SecurityContextConstraints).
const user = 65532

// The ends of the names of a scenario's namespaces.
const (
	agentsSuffix  = "-agents"
	targetsSuffix = "-targets"
	otherSuffix   = "-other-" // and a number
)

// namespacePrefix is what the names of both namespaces of a scenario begin with.
func namespacePrefix(runID string, number int, scenario string) string {
	return fmt.Sprintf("netpol-latency-%s-%d-%s", runID, number, scenario)
}

// namespaceOf matches the names of a run's namespaces.
func namespaceOf(runID string) *regexp.Regexp {
	return regexp.MustCompile(`^netpol-latency-` + regexp.QuoteMeta(runID) + `-\d+-[a-z0-9-]+(` +
		agentsSuffix + `|` + targetsSuffix + `|` + otherSuffix + `\d+)$`)
}

// ownLabels are those of everything that a run creates.
func ownLabels(runID string) map[string]string {
	return map[string]string{PartOfLabel: PartOf, RunLabel: runID}
}

func (e *environment) labels(more map[string]string) map[string]string {
	all := maps.Clone(e.parameters.Labels)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, more)
	return all
}

func (e *environment) meta(namespace, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: e.name(name), Labels: e.labels(labels),
		OwnerReferences: e.owners(namespace),
	}
}

// namespaces are those that are created for the scenario, the agents' first.
func (e *environment) namespaces() []runtime.Object {
	if e.guest() {
		return nil
	}
	level := "restricted"
	if e.needsRaw() {
		level = "privileged" // no level between them allows the capability NET_RAW
	}

	var trigger scenario.Trigger
	if e.options.Trigger != nil {
		trigger = *e.options.Trigger
	}
	home := e.namespace(e.parameters.AgentNamespace, level, trigger.Agents.NamespaceLabels)
	home.Annotations = e.clusterScoped()
	all := []runtime.Object{home}
	if !trigger.SameNamespace {
		all = append(all, e.namespace(e.parameters.TargetNamespace, "restricted",
			trigger.Targets.NamespaceLabels))
	}
	for number, name := range e.parameters.OtherNamespaces {
		all = append(all, e.namespace(name, "restricted", trigger.Others[number]))
	}
	return all
}

// namespaceNames are the names of the namespaces.
func (e *environment) namespaceNames() []string {
	names := []string{e.parameters.AgentNamespace}
	if e.parameters.TargetNamespace != e.parameters.AgentNamespace {
		names = append(names, e.parameters.TargetNamespace)
	}
	return append(names, e.parameters.OtherNamespaces...)
}

// objects are what is created first in the namespaces, in order.
func (e *environment) objects() []runtime.Object {
	all := []runtime.Object{
		&corev1.ServiceAccount{
			TypeMeta:   kind("v1", "ServiceAccount"),
			ObjectMeta: e.meta(e.parameters.AgentNamespace, agentName, nil),
		},
	}

	all = append(all, e.permission(e.parameters.AgentNamespace, agentName, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"configmaps"},
		ResourceNames: []string{e.name(protocol.PlanName)}, Verbs: []string{"get", "list", "watch"},
	})...)
	all = append(all, e.permission(e.parameters.TargetNamespace, watcherName, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"pods"},
		Verbs: []string{"get", "list", "watch"},
	})...)
	if e.cluster.Serves(scenario.CiliumPolicies()) && !e.wordless {
		all = append(all, e.parameters.CiliumToAPIServer())
	}
	return append(all, e.planObject(protocol.Plan{Step: protocol.StepIdle}))
}

func kind(version, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: name}
}

// podSecurity is the label of a namespace that says which pods may be there.
const podSecurity = "pod-security.kubernetes.io/enforce"

// namespace is one of the run's, with the labels that a user's own change wants for it.
func (e *environment) namespace(name, level string, more map[string]string) *corev1.Namespace {
	all := noMeshInNamespace()
	all[podSecurity] = level
	maps.Copy(all, more)
	if level == "privileged" { // the pods need it
		all[podSecurity] = level
	}
	return &corev1.Namespace{
		TypeMeta:   kind("v1", "Namespace"),
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: e.labels(all)},
	}
}

// permission lets the agents do what rules say in a namespace, by a role of that name.
func (e *environment) permission(
	namespace, name string, rules ...rbacv1.PolicyRule,
) []runtime.Object {
	const group = "rbac.authorization.k8s.io"
	return []runtime.Object{
		&rbacv1.Role{
			TypeMeta:   kind(group+"/v1", "Role"),
			ObjectMeta: e.meta(namespace, name, nil),
			Rules:      rules,
		},
		&rbacv1.RoleBinding{
			TypeMeta:   kind(group+"/v1", "RoleBinding"),
			ObjectMeta: e.meta(namespace, name, nil),
			RoleRef:    rbacv1.RoleRef{APIGroup: group, Kind: "Role", Name: e.name(name)},
			Subjects: []rbacv1.Subject{{
				Kind: "ServiceAccount", Name: e.name(agentName),
				Namespace: e.parameters.AgentNamespace,
			}},
		},
	}
}

// podMeta is what pods that are created by others get.
func (e *environment) podMeta(labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Labels: e.labels(noSidecar(labels)), Annotations: podAnnotations(),
	}
}

// podAnnotations are those of measured pods.
func podAnnotations() map[string]string {
	all := noEviction()
	maps.Copy(all, noMesh())
	return all
}

// noMeshInNamespace are the labels of a namespace by which Istio and Kuma leave its pods alone.
func noMeshInNamespace() map[string]string {
	return map[string]string{
		"istio-injection": "disabled", "istio.io/dataplane-mode": "none",
		"kuma.io/sidecar-injection": "disabled",
	}
}

// noMesh are the annotations, and noSidecar adds the labels, by which service meshes (Linkerd and
// Consul, Istio and Kuma) leave pods alone: what is measured is the network, not a proxy.
func noMesh() map[string]string {
	return map[string]string{
		"linkerd.io/inject": "disabled", "consul.hashicorp.com/connect-inject": "false",
	}
}

func noSidecar(labels map[string]string) map[string]string {
	all := map[string]string{
		"sidecar.istio.io/inject": "false", "kuma.io/sidecar-injection": "disabled",
	}
	maps.Copy(all, labels)
	return all
}

// noEviction are the annotations of measured pods: who moves pods to save nodes, the cluster
// autoscaler and Karpenter, is asked to let them be.
func noEviction() map[string]string {
	return map[string]string{
		"cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
		"karpenter.sh/do-not-disrupt":                    "true",
	}
}

func (e *environment) planObject(plan protocol.Plan) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   kind("v1", "ConfigMap"),
		ObjectMeta: e.meta(e.parameters.AgentNamespace, protocol.PlanName, nil),
		Data:       map[string]string{protocol.PlanName: plan.String()},
	}
}

// targets are the deployments of a group of targets, one for each agent's share.
func (e *environment) targets(group scenario.Group) []runtime.Object {
	var all []runtime.Object
	for agent := range e.options.Agents {
		share := shareOf(group.Size(e.options.Targets), e.options.Agents, agent)
		if share == 0 {
			break // so are those of all further ones
		}

		labels := e.scoped(e.targetLabels(group.Name, agent))
		name := fmt.Sprintf("target-%s-%d", group.Name, agent)
		all = append(all, &appsv1.Deployment{
			TypeMeta:   kind("apps/v1", "Deployment"),
			ObjectMeta: e.meta(e.parameters.TargetNamespace, name, labels),
			Spec: appsv1.DeploymentSpec{
				Replicas: new(int32(share)),
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: e.podMeta(e.withUsers(labels, ofTargets)), Spec: e.targetSpec(),
				},
			},
		})
	}
	return all
}

// shareOf is how many of the pods one of the agents probes; the first ones take what is over.
func shareOf(pods, agents, agent int) int {
	share := pods / agents
	if agent < pods%agents {
		share++
	}
	return share
}

func (e *environment) targetLabels(group string, agent int) map[string]string {
	return map[string]string{
		scenario.RoleLabel: scenario.RoleTarget, scenario.GroupLabel: group,
		protocol.AgentLabel: strconv.Itoa(agent),
	}
}

// ofAgents and ofTargets are what a user's own change wants of the pods.
func ofAgents(t *scenario.Trigger) scenario.Pods  { return t.Agents }
func ofTargets(t *scenario.Trigger) scenario.Pods { return t.Targets }

// withUsers are labels of pods, and those that a user's own change wants for them.
func (e *environment) withUsers(
	own map[string]string, pods func(*scenario.Trigger) scenario.Pods,
) map[string]string {
	all := maps.Clone(own)
	if e.options.Trigger != nil {
		maps.Copy(all, pods(e.options.Trigger).Labels)
	}
	return all
}

// targetPod is one target that is created by itself, for one of the agents.
func (e *environment) targetPod(number, agent int) *corev1.Pod {
	labels := e.withUsers(e.targetLabels(scenario.GroupA, agent), ofTargets)
	meta := e.meta(e.parameters.TargetNamespace,
		fmt.Sprintf("target-%d-%d", e.iterations, number), labels)
	meta.Labels = noSidecar(meta.Labels)
	meta.Annotations = podAnnotations()
	return &corev1.Pod{TypeMeta: kind("v1", "Pod"), ObjectMeta: meta, Spec: e.targetSpec()}
}

func (e *environment) targetSpec() corev1.PodSpec {
	container := corev1.Container{
		Name: "server", Image: cmp.Or(e.options.TargetImage, e.options.AgentImage),
		ImagePullPolicy: corev1.PullIfNotPresent,
		Resources:       requests("1m", "16Mi"),
		SecurityContext: Restricted(),
	}

	container.Ports = e.ports()
	if container.Image == e.options.AgentImage {
		container.Args = append([]string{"serve"}, serveFlags(container.Ports)...)
	} else if e.scenario.Kind != scenario.Created {
		container.StartupProbe = e.untilListening(container.Ports)
	}

	spec := PodSpec(container)
	if container.Image != e.options.AgentImage {
		spec.SecurityContext.RunAsUser = new(int64(user))
		spec.SecurityContext.RunAsGroup = new(int64(user))
	}
	spec.Affinity = e.place()
	if e.options.Disruption.PerNode {
		spec.TopologySpreadConstraints = e.spread(scenario.RoleTarget)
	}
	if slices.ContainsFunc(container.Ports, func(port corev1.ContainerPort) bool {
		return port.ContainerPort < firstUnprivileged
	}) {
		// Nobody in particular may serve such a port only where the pod says so. Every cluster
		// takes this one of a pod
		// (https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/).
		spec.SecurityContext.Sysctls = []corev1.Sysctl{
			{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"},
		}
	}
	return spec
}

// untilListening has a pod be ready once it listens on the first of its TCP ports: before, it
// refuses connections, which looks as if it were blocked. A pod of the project's own image listens
// before anybody learns that it runs.
func (e *environment) untilListening(ports []corev1.ContainerPort) *corev1.Probe {
	at := slices.IndexFunc(ports, func(port corev1.ContainerPort) bool {
		return port.Protocol == corev1.ProtocolTCP
	})
	if at < 0 || e.options.Protocol != setting.TCP {
		return nil // there is no probe of another protocol, and it may serve no TCP then
	}
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{
			Port: intstr.FromInt32(ports[at].ContainerPort),
		}},
		PeriodSeconds: 1,
		// The run gives up before the container is started anew.
		FailureThreshold: int32(e.options.SetupTimeout/time.Second) + 1,
	}
}

// firstUnprivileged is the first port that everybody may serve.
const firstUnprivileged = 1024

// ports are what the targets serve: of a user's own change the port that it is about, else both
// ports of the scenarios by TCP, UDP and the protocol that is measured.
func (e *environment) ports() []corev1.ContainerPort {
	if t := e.options.Trigger; t != nil {
		return []corev1.ContainerPort{{
			Name: t.Port.Name, ContainerPort: int32(cmp.Or(t.Port.Number, scenario.Port)),
			Protocol: corev1.Protocol(e.options.Protocol),
		}}
	}

	served := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}
	if e.options.Protocol == setting.SCTP { // which not every kernel has
		served = append(served, corev1.ProtocolSCTP)
	}
	var all []corev1.ContainerPort
	for _, port := range []int{scenario.Port, scenario.OtherPort} {
		for _, protocol := range served {
			all = append(all, corev1.ContainerPort{
				Name: scenario.PortName(string(protocol), port), ContainerPort: int32(port),
				Protocol: protocol,
			})
		}
	}
	return all
}

// serveFlags have a target serve its ports.
func serveFlags(ports []corev1.ContainerPort) []string {
	numbers := make(map[corev1.Protocol][]string)
	for _, port := range ports {
		number := strconv.Itoa(int(port.ContainerPort))
		numbers[port.Protocol] = append(numbers[port.Protocol], number)
	}

	var flags []string
	for _, protocol := range []corev1.Protocol{
		corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP,
	} {
		if all := numbers[protocol]; len(all) > 0 {
			flag := "--" + strings.ToLower(string(protocol)) + "="
			flags = append(flags, flag+strings.Join(all, ","))
		}
	}
	return flags
}

// PodSpec is a pod that may do nothing special, as the pod security standard "restricted" asks of
// it (https://kubernetes.io/docs/concepts/security/pod-security-standards/); its container has
// [Restricted].
func PodSpec(container corev1.Container) corev1.PodSpec {
	return corev1.PodSpec{
		Containers:                    []corev1.Container{container},
		AutomountServiceAccountToken:  new(false),
		TerminationGracePeriodSeconds: new(int64(1)),
		NodeSelector:                  map[string]string{corev1.LabelOSStable: "linux"},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

// Restricted is what the container of a [PodSpec] may do.
func Restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func requests(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse(cpu),
		corev1.ResourceMemory: resource.MustParse(memory),
	}}
}

// agents is the job of the agents: Kubernetes numbers them, and starts those anew that end too
// early.
func (e *environment) agents() runtime.Object {
	container := corev1.Container{
		Name: agentName, Image: e.options.AgentImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Args: slices.Concat([]string{
			"agent", "--namespace=" + e.parameters.AgentNamespace,
			"--target-namespace=" + e.parameters.TargetNamespace,
			"--target-selector=" + e.selector(scenario.RoleTarget),
			"--agents=" + strconv.Itoa(e.options.Agents),
		}, e.planFlag(), e.options.Probing(e.scenario)),
		Env: []corev1.EnvVar{{Name: PodVariable, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"},
		}}},
		Resources: requests("100m", "64Mi"), SecurityContext: Restricted(),
	}
	if e.scenario.HoldsConnections(e.options.Settings) {
		container.Args = append(container.Args, "--open-connections")
	}

	spec := PodSpec(container)
	spec.ServiceAccountName, spec.AutomountServiceAccountToken = e.name(agentName), new(true)
	spec.RestartPolicy = corev1.RestartPolicyNever
	e.grantRaw(&spec)
	if e.options.Placement != setting.PlaceAny {
		spec.Affinity = nodeAffinity(corev1.NodeSelectorOpIn, e.node)
	}
	spec.TopologySpreadConstraints = e.spread(scenario.RoleAgent)

	job := e.job(agentName, e.options.Agents,
		map[string]string{scenario.RoleLabel: scenario.RoleAgent}, spec, agentRestarts)
	job.Spec.Template.Labels = e.withUsers(job.Spec.Template.Labels, ofAgents)
	return job
}

// grantRaw lets the containers of a pod open raw sockets, if the probe mode is one that does.
func (e *environment) grantRaw(spec *corev1.PodSpec) {
	if !e.needsRaw() {
		return
	}
	// A process that is not root has no capabilities: Kubernetes cannot give it ambient ones.
	spec.SecurityContext.RunAsNonRoot, spec.SecurityContext.RunAsUser = nil, new(int64(0))
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		container.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_RAW"}
	}
}

// agentRestarts is how many agents may be started anew.
const agentRestarts = 10

func (e *environment) job(
	name string, completions int, labels map[string]string, spec corev1.PodSpec, restarts int,
) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   kind("batch/v1", "Job"),
		ObjectMeta: e.meta(e.parameters.AgentNamespace, name, labels),
		Spec: batchv1.JobSpec{
			Completions: new(int32(completions)), Parallelism: new(int32(completions)),
			CompletionMode: new(batchv1.IndexedCompletion), BackoffLimit: new(int32(restarts)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: e.podMeta(labels), Spec: spec,
			},
		},
	}
}
