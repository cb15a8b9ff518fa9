// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

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

// The names of objects in a stage's namespaces.
const (
	agentName   = "agent"
	starterName = "starter"
)

// user is who the containers run as: nobody in particular.
const user = 65532

func (s *stage) labels(more map[string]string) map[string]string {
	all := map[string]string{PartOfLabel: PartOf, RunLabel: s.RunID}
	for key, value := range more {
		all[key] = value
	}
	return all
}

func (s *stage) meta(namespace, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: s.labels(labels)}
}

// objects are what is created first, in order.
func (s *stage) objects() []runtime.Object {
	level := "restricted"
	if s.needsRaw() {
		level = "privileged" // no level between them allows the capability NET_RAW
	}
	home := s.namespace(s.world.AgentNamespace, level)
	home.Annotations = s.besides()
	all := []runtime.Object{
		home,
		s.namespace(s.world.TargetNamespace, "restricted"),
		&corev1.ServiceAccount{
			TypeMeta: kind("v1", "ServiceAccount"), ObjectMeta: s.meta(s.world.AgentNamespace, agentName, nil),
		},
	}
	all = append(all, s.permission(s.world.AgentNamespace, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{protocol.PlanName},
		Verbs: []string{"get", "list", "watch"},
	})...)
	all = append(all, s.permission(s.world.TargetNamespace, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"},
	})...)
	return append(all, s.planObject(protocol.Plan{Step: protocol.StepIdle}))
}

func kind(version, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: name}
}

func (s *stage) namespace(name, level string) *corev1.Namespace {
	return &corev1.Namespace{
		TypeMeta:   kind("v1", "Namespace"),
		ObjectMeta: s.meta("", name, map[string]string{"pod-security.kubernetes.io/enforce": level}),
	}
}

// permission lets the agents do what a rule says in a namespace.
func (s *stage) permission(namespace string, rule rbacv1.PolicyRule) []runtime.Object {
	const group = "rbac.authorization.k8s.io"
	return []runtime.Object{
		&rbacv1.Role{
			TypeMeta: kind(group+"/v1", "Role"), ObjectMeta: s.meta(namespace, agentName, nil),
			Rules: []rbacv1.PolicyRule{rule},
		},
		&rbacv1.RoleBinding{
			TypeMeta: kind(group+"/v1", "RoleBinding"), ObjectMeta: s.meta(namespace, agentName, nil),
			RoleRef:  rbacv1.RoleRef{APIGroup: group, Kind: "Role", Name: agentName},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: agentName, Namespace: s.world.AgentNamespace}},
		},
	}
}

func (s *stage) planObject(plan protocol.Plan) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta: kind("v1", "ConfigMap"), ObjectMeta: s.meta(s.world.AgentNamespace, protocol.PlanName, nil),
		Data: map[string]string{protocol.PlanName: plan.String()},
	}
}

// targets is the deployment of a group of targets.
func (s *stage) targets(group scenario.Group) runtime.Object {
	labels := s.targetLabels(group.Name)
	return &appsv1.Deployment{
		TypeMeta:   kind("apps/v1", "Deployment"),
		ObjectMeta: s.meta(s.world.TargetNamespace, "target-"+group.Name, labels),
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr(int32(group.Size(s.Targets))),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: s.labels(labels)}, Spec: s.targetSpec()},
		},
	}
}

func (s *stage) targetLabels(group string) map[string]string {
	labels := map[string]string{scenario.RoleLabel: scenario.RoleTarget, scenario.GroupLabel: group}
	if s.Trigger != nil {
		for key, value := range s.Trigger.To {
			labels[key] = value
		}
	}
	return labels
}

// targetPod is one target that is created by itself.
func (s *stage) targetPod(number int) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   kind("v1", "Pod"),
		ObjectMeta: s.meta(s.world.TargetNamespace, fmt.Sprintf("target-%d-%d", s.round, number), s.targetLabels(scenario.GroupA)),
		Spec:       s.targetSpec(),
	}
}

func (s *stage) targetSpec() corev1.PodSpec {
	container := corev1.Container{
		Name: "server", Image: cmp.Or(s.TargetImage, s.AgentImage), ImagePullPolicy: corev1.PullIfNotPresent,
		Resources:       requests("1m", "16Mi"),
		SecurityContext: restricted(),
	}
	for _, port := range []int{scenario.Port, scenario.OtherPort} {
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
			container.Ports = append(container.Ports, corev1.ContainerPort{
				Name: scenario.PortName(string(protocol), port), ContainerPort: int32(port), Protocol: protocol,
			})
		}
	}
	if container.Image == s.AgentImage {
		ports := fmt.Sprintf("%d,%d", scenario.Port, scenario.OtherPort)
		container.Args = []string{"serve", "--tcp=" + ports, "--udp=" + ports}
	}
	spec := podSpec(container)
	spec.Affinity = s.place()
	return spec
}

// podSpec is a pod that may do nothing special.
func podSpec(container corev1.Container) corev1.PodSpec {
	return corev1.PodSpec{
		Containers:                    []corev1.Container{container},
		AutomountServiceAccountToken:  ptr(false),
		TerminationGracePeriodSeconds: ptr(int64(1)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(user)), RunAsGroup: ptr(int64(user)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

func restricted() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr(false), ReadOnlyRootFilesystem: ptr(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func requests(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
	}}
}

// place puts targets on the node of the agents, or on others.
func (s *stage) place() *corev1.Affinity {
	if s.Placement == setting.PlaceAny {
		return nil
	}
	operator := corev1.NodeSelectorOpIn
	if s.Placement == setting.PlaceOther {
		operator = corev1.NodeSelectorOpNotIn
	}
	return nodeAffinity(operator, s.node)
}

func nodeAffinity(operator corev1.NodeSelectorOperator, node string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: corev1.LabelHostname, Operator: operator, Values: []string{node},
			}},
		}}},
	}}
}

// agents is the job of the agents: Kubernetes numbers them, and starts those anew that end too early.
func (s *stage) agents() runtime.Object {
	container := corev1.Container{
		Name: agentName, Image: s.AgentImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Args: slices.Concat([]string{
			"agent", "--namespace=" + s.world.AgentNamespace, "--target-namespace=" + s.world.TargetNamespace,
			"--target-selector=" + scenario.RoleLabel + "=" + scenario.RoleTarget,
			"--agents=" + strconv.Itoa(s.Agents),
		}, s.probing(s.scenario)),
		Resources: requests("100m", "64Mi"), SecurityContext: restricted(),
	}
	spec := podSpec(container)
	spec.ServiceAccountName, spec.AutomountServiceAccountToken = agentName, ptr(true)
	spec.RestartPolicy = corev1.RestartPolicyNever
	s.grantRaw(&spec)
	if s.Placement != setting.PlaceAny {
		spec.Affinity = nodeAffinity(corev1.NodeSelectorOpIn, s.node)
	}
	labels := map[string]string{scenario.RoleLabel: scenario.RoleAgent}
	if s.Trigger != nil {
		for key, value := range s.Trigger.From {
			labels[key] = value
		}
	}
	return s.job(agentName, s.Agents, labels, spec, agentRestarts)
}

// grantRaw lets the containers of a pod open raw sockets, if the probe mode is one that does.
func (s *stage) grantRaw(spec *corev1.PodSpec) {
	if !s.needsRaw() {
		return
	}
	// A process that is not root has no capabilities: Kubernetes cannot give it ambient ones.
	spec.SecurityContext.RunAsNonRoot, spec.SecurityContext.RunAsUser = nil, ptr(int64(0))
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		container.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_RAW"}
	}
}

// agentRestarts is how many agents may be started anew.
const agentRestarts = 10

func (s *stage) job(name string, completions int, labels map[string]string, spec corev1.PodSpec, restarts int) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta: kind("batch/v1", "Job"), ObjectMeta: s.meta(s.world.AgentNamespace, name, labels),
		Spec: batchv1.JobSpec{
			Completions: ptr(int32(completions)), Parallelism: ptr(int32(completions)),
			CompletionMode: ptr(batchv1.IndexedCompletion), BackoffLimit: ptr(int32(restarts)),
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: s.labels(labels)}, Spec: spec},
		},
	}
}

func ptr[T any](value T) *T { return &value }
