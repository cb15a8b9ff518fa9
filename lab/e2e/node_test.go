// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// nodeTest is a lab with what the cases below do to it again and again.
type nodeTest struct {
	*testing.T
	lab       *labtest.Lab
	namespace string
}

// shell is a pod of one container that runs a script.
func shell(name, script string) *v1.Pod {
	grace := int64(2)
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers: []v1.Container{{Name: "main", Image: "busybox",
				Command: []string{"sh", "-c", script}}},
		},
	}
}

func (n nodeTest) create(pod *v1.Pod) {
	n.Helper()
	if _, err := n.lab.Client.CoreV1().Pods(n.namespace).Create(n.Context(), pod,
		metav1.CreateOptions{}); err != nil {
		n.Fatalf("create pod %s: %v", pod.Name, err)
	}
}

// await waits until the pod satisfies a condition, and returns it.
func (n nodeTest) await(name, what string, satisfied func(*v1.Pod) bool) *v1.Pod {
	n.Helper()
	var pod *v1.Pod
	n.lab.Await("pod "+name+" to be "+what, patience, func(ctx context.Context) (bool, error) {
		var err error
		pod, err = n.lab.Client.CoreV1().Pods(n.namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && satisfied(pod), err
	})
	return pod
}

func (n nodeTest) delete(name string) {
	n.Helper()
	if err := n.lab.Client.CoreV1().Pods(n.namespace).Delete(n.Context(), name,
		metav1.DeleteOptions{}); err != nil {
		n.Fatalf("delete pod %s: %v", name, err)
	}
}

func (n nodeTest) awaitGone(name string) {
	n.Helper()
	n.lab.Await("pod "+name+" to be gone", patience, func(ctx context.Context) (bool, error) {
		_, err := n.lab.Client.CoreV1().Pods(n.namespace).Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

func (n nodeTest) logs(name string, options v1.PodLogOptions) string {
	n.Helper()
	content, err := n.lab.Client.CoreV1().Pods(n.namespace).GetLogs(name,
		&options).DoRaw(n.Context())
	if err != nil {
		n.Fatalf("read the logs of %s: %v", name, err)
	}
	return string(content)
}

func hasPhase(phase v1.PodPhase) func(*v1.Pod) bool {
	return func(pod *v1.Pod) bool { return pod.Status.Phase == phase }
}

func TestNode(t *testing.T) {
	t.Parallel()
	lab := lawless(t)
	cases := map[string]func(nodeTest){
		"environment and downward API":          environmentOf,
		"service account reaches the API":       serviceAccountOf,
		"volumes":                               volumesOf,
		"following a log to its end":            followedLog,
		"crash loop and previous log":           crashLoop,
		"init containers and sidecars":          initContainers,
		"graceful and forced end":               endOf,
		"unknown image":                         unknownImage,
		"runAsNonRoot":                          nonRoot,
		"missing ConfigMap appears":             lateConfigMap,
		"probes":                                probesOf,
		"requested address is handed over":      requestedAddress,
		"host network":                          hostNetwork,
		"pods reach pods in both families":      connectivity,
		"jobs succeed and fail":                 jobs,
		"a Deployment is removed with its pods": deployment,
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := lab.Of(t)
			namespace := strings.ToLower(strings.NewReplacer(" ", "-", ",", "").Replace(name))
			lab.Namespace(namespace)
			run(nodeTest{T: t, lab: lab, namespace: namespace})
		})
	}
}

func environmentOf(n nodeTest) {
	pod := shell("env", `echo "$POD $NS $NODE $IPS $LABEL $COMBINED"; pwd; hostname; echo "$0 $1"`)
	pod.Labels = map[string]string{"app": "x"}
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	field := func(name, path string) v1.EnvVar {
		return v1.EnvVar{Name: name,
			ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: path}}}
	}
	c := &pod.Spec.Containers[0]
	c.Env = []v1.EnvVar{
		field("POD", "metadata.name"), field("NS", "metadata.namespace"),
		field("NODE", "spec.nodeName"),
		field("IPS", "status.podIPs"), field("LABEL", "metadata.labels['app']"),
		{Name: "COMBINED", Value: "<$(POD)>"},
	}
	c.Args = []string{"zero", "$(NS)"}
	n.create(pod)
	ended := n.await("env", "succeeded", hasPhase(v1.PodSucceeded))
	want := fmt.Sprintf("env %s node-0 %s,%s x <env>\n/\nenv\nzero %s\n", n.namespace,
		ended.Status.PodIPs[0].IP, ended.Status.PodIPs[1].IP, n.namespace)
	if got := n.logs("env", v1.PodLogOptions{}); got != want {
		n.Errorf("the container said %q, want %q", got, want)
	}
}

func serviceAccountOf(n nodeTest) {
	pod := shell("client", `d=/var/run/secrets/kubernetes.io/serviceaccount
cat $d/namespace; echo
exec curl --silent --cacert $d/ca.crt -H "Authorization: Bearer $(cat $d/token)" -o /dev/null -w '%{http_code}\n' https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api`)
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	n.create(pod)
	n.await("client", "succeeded", hasPhase(v1.PodSucceeded))
	if got, want := n.logs("client", v1.PodLogOptions{}), n.namespace+"\n200\n"; got != want {
		n.Errorf("the container said %q, want %q", got, want)
	}
}

func volumesOf(n nodeTest) {
	config := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"},
		Data: map[string]string{"key": "from the map"}}
	if _, err := n.lab.Client.CoreV1().ConfigMaps(n.namespace).Create(n.Context(), config,
		metav1.CreateOptions{}); err != nil {
		n.Fatal(err)
	}
	pod := shell("volumes", "cat /etc/config/key; echo; cat /secret/key; echo; echo shared > "+
		"/data/x; cat /data/x; cat /down/labels; touch /etc/config/y || echo refused")
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	pod.Labels = map[string]string{"a": "b"}
	secret := &v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"},
		StringData: map[string]string{"key": "from the secret"}}
	if _, err := n.lab.Client.CoreV1().Secrets(n.namespace).Create(n.Context(), secret,
		metav1.CreateOptions{}); err != nil {
		n.Fatal(err)
	}
	pod.Spec.Volumes = []v1.Volume{
		{Name: "config",
			VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{
				LocalObjectReference: v1.LocalObjectReference{Name: "c"},
			}}},
		{Name: "secret",
			VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "s"}}},
		{Name: "data", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		{Name: "down",
			VolumeSource: v1.VolumeSource{DownwardAPI: &v1.DownwardAPIVolumeSource{
				Items: []v1.DownwardAPIVolumeFile{{
					Path:     "labels",
					FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.labels"},
				}},
			}}},
	}
	pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{
		{Name: "config", MountPath: "/etc/config", ReadOnly: true},
		{Name: "secret", MountPath: "/secret"},
		{Name: "data", MountPath: "/data"}, {Name: "down", MountPath: "/down"},
	}
	n.create(pod)
	n.await("volumes", "succeeded", hasPhase(v1.PodSucceeded))
	got := n.logs("volumes", v1.PodLogOptions{})
	for _, want := range []string{"from the map\n", "from the secret\n", "shared\n", `a="b"`,
		"refused\n"} {
		if !strings.Contains(got, want) {
			n.Errorf("the container said %q, want it to say %q", got, want)
		}
	}
}

func followedLog(n nodeTest) {
	pod := shell("talker", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; sleep "+
		"0.5; echo the end; echo on stderr >&2")
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	n.create(pod)
	n.await("talker", "started", func(p *v1.Pod) bool { return p.Status.Phase != v1.PodPending })
	start := time.Now()
	got := n.logs("talker", v1.PodLogOptions{Follow: true})
	if lines := strings.Count(got, "\n"); lines != 2002 || !strings.Contains(got, "the end\n") {
		n.Errorf("following gave %d lines, want 2,002 with the last ones; it ended with %q", lines,
			got[max(0, len(got)-60):])
	}
	if took := time.Since(start); took > time.Minute {
		n.Errorf("following ended %v after it began, although the container ended after half a "+
			"second", took)
	}
	tail := int64(2)
	// The streams are two pipes: which of the two lines comes first is anybody's guess.
	last := strings.Split(n.logs("talker", v1.PodLogOptions{TailLines: &tail}), "\n")
	slices.Sort(last)
	if want := []string{"", "on stderr", "the end"}; !slices.Equal(last, want) {
		n.Errorf("the last two lines are %q, want %q", last, want)
	}
}

func crashLoop(n nodeTest) {
	n.create(shell("crash", "echo run; exit 7"))
	pod := n.await("crash", "in a crash loop", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 &&
			p.Status.ContainerStatuses[0].RestartCount >= 2 &&
			p.Status.ContainerStatuses[0].State.Waiting != nil
	})
	status := pod.Status.ContainerStatuses[0]
	if status.State.Waiting.Reason != "CrashLoopBackOff" ||
		status.LastTerminationState.Terminated.ExitCode != 7 {
		n.Errorf("the container's status is %+v, want CrashLoopBackOff after exit code 7", status)
	}
	if pod.Status.Phase != v1.PodRunning {
		n.Errorf("the phase is %s, want Running", pod.Status.Phase)
	}
	if got := n.logs("crash", v1.PodLogOptions{Previous: true}); got != "run\n" {
		n.Errorf("the previous log is %q, want one run's", got)
	}
}

func initContainers(n nodeTest) {
	pod := shell("main", "cat /scratch/order; test -e /scratch/sidecar && echo sidecar was up")
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	always := v1.ContainerRestartPolicyAlways
	work := []v1.VolumeMount{{Name: "work", MountPath: "/scratch"}}
	step := func(name, script string) v1.Container {
		return v1.Container{Name: name, Image: "busybox", Command: []string{"sh", "-c", script},
			VolumeMounts: work}
	}
	sidecar := step("sidecar", "touch /scratch/sidecar; trap 'exit 0' TERM; while :; do sleep "+
		"0.05; done")
	sidecar.RestartPolicy = &always
	sidecar.StartupProbe = &v1.Probe{
		PeriodSeconds: 1,
		ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-e",
			"/scratch/sidecar"}}},
	}
	pod.Spec.InitContainers = []v1.Container{step("one", "echo one >> /scratch/order"),
		step("two", "echo two >> /scratch/order"), sidecar}
	pod.Spec.Volumes = []v1.Volume{{Name: "work",
		VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
	pod.Spec.Containers[0].VolumeMounts = work
	n.create(pod)
	n.await("main", "succeeded", hasPhase(v1.PodSucceeded))
	if got, want := n.logs("main", v1.PodLogOptions{Container: "main"}),
		"one\ntwo\nsidecar was up\n"; got != want {
		n.Errorf("the container said %q, want %q", got, want)
	}
}

func endOf(n nodeTest) {
	polite := shell("polite", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
	grace := int64(30)
	polite.Spec.TerminationGracePeriodSeconds = &grace
	stubborn := shell("stubborn", "trap '' TERM; while :; do sleep 0.05; done")
	for _, pod := range []*v1.Pod{polite, stubborn} {
		n.create(pod)
		n.await(pod.Name, "ready", labtest.IsReady)
	}
	for name, bounds := range map[string][2]time.Duration{"polite": {0, 25 * time.Second},
		"stubborn": {2 * time.Second, patience}} {
		start := time.Now()
		n.delete(name)
		n.awaitGone(name)
		if took := time.Since(start); took < bounds[0] || took > bounds[1] {
			n.Errorf("%s was gone after %v, want between %v and %v", name, took, bounds[0],
				bounds[1])
		}
	}
}

func unknownImage(n nodeTest) {
	pod := shell("unknown", "")
	pod.Spec.Containers[0].Image = "example.org/no/such:1"
	n.create(pod)
	got := n.await("unknown", "backing off", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 &&
			p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "ImagePullBackOff"
	})
	if message := got.Status.ContainerStatuses[0].State.Waiting.Message; !strings.Contains(message,
		"nginx") {
		n.Errorf("the message is %q, want it to name the known images", message)
	}
	n.delete("unknown")
	n.awaitGone("unknown")
}

func nonRoot(n nodeTest) {
	yes, uid, root := true, int64(65532), int64(0)
	refused := shell("refused", "id -u")
	refused.Spec.SecurityContext = &v1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &root}
	n.create(refused)
	n.await("refused", "refused", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 &&
			p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	allowed := shell("allowed", "touch /x 2>/dev/null || echo read-only; test -r "+
		"/var/run/secrets/kubernetes.io/serviceaccount/token && echo token")
	allowed.Spec.RestartPolicy = v1.RestartPolicyNever
	allowed.Spec.SecurityContext = &v1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &uid}
	allowed.Spec.Containers[0].SecurityContext = &v1.SecurityContext{
		ReadOnlyRootFilesystem: &yes, AllowPrivilegeEscalation: new(bool),
		Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}},
	}
	n.create(allowed)
	n.await("allowed", "succeeded", hasPhase(v1.PodSucceeded))
	if got, want := n.logs("allowed", v1.PodLogOptions{}), "read-only\ntoken\n"; got != want {
		n.Errorf("the container said %q, want %q", got, want)
	}
}

func lateConfigMap(n nodeTest) {
	pod := shell("late", "echo $VALUE")
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	pod.Spec.Containers[0].Env = []v1.EnvVar{{Name: "VALUE",
		ValueFrom: &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{
			LocalObjectReference: v1.LocalObjectReference{Name: "later"}, Key: "k",
		}}}}
	n.create(pod)
	n.await("late", "waiting for its ConfigMap", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 &&
			p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	config := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "later"},
		Data: map[string]string{"k": "now"}}
	if _, err := n.lab.Client.CoreV1().ConfigMaps(n.namespace).Create(n.Context(), config,
		metav1.CreateOptions{}); err != nil {
		n.Fatal(err)
	}
	n.await("late", "succeeded", hasPhase(v1.PodSucceeded))
}

func probesOf(n nodeTest) {
	web := targetPod("web")
	web.Spec.Containers[0].ReadinessProbe = &v1.Probe{
		PeriodSeconds: 1, ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/",
			Port: intstr.FromInt32(80)}},
	}
	n.create(web)
	never := targetPod("never")
	never.Spec.Containers[0].ReadinessProbe = &v1.Probe{
		PeriodSeconds: 1, FailureThreshold: 1,
		ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(81)}},
	}
	n.create(never)
	sick := shell("sick", "sleep 1000")
	sick.Spec.Containers[0].LivenessProbe = &v1.Probe{
		PeriodSeconds: 1, FailureThreshold: 1,
		ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"false"}}},
	}
	n.create(sick)
	n.await("web", "ready", labtest.IsReady)
	n.await("sick", "restarted", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].RestartCount > 0
	})
	if pod := n.await("never", "running", hasPhase(v1.PodRunning)); labtest.IsReady(pod) {
		n.Error("a pod is ready whose readiness probe fails")
	}
}

func requestedAddress(n nodeTest) {
	const address = "10.244.5.6"
	first, second := targetPod("first"), targetPod("second")
	for _, pod := range []*v1.Pod{first, second} {
		pod.Annotations = map[string]string{"lab.netpol-latency/ip": address}
	}
	n.create(first)
	if pod := n.await("first", "ready", labtest.IsReady); pod.Status.PodIP != address ||
		pod.Status.PodIPs[1].IP != "fd00:10:244::506" {
		n.Errorf("the addresses are %v, want %s and its counterpart", pod.Status.PodIPs, address)
	}
	n.create(second)
	n.delete("first")
	if pod := n.await("second", "ready", labtest.IsReady); pod.Status.PodIP != address {
		n.Errorf("the second pod's address is %s, want %s", pod.Status.PodIP, address)
	}
}

func hostNetwork(n nodeTest) {
	pod := shell("host", "grep -c eth0 /proc/net/dev")
	pod.Spec.HostNetwork = true
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	n.create(pod)
	if ended := n.await("host", "succeeded",
		hasPhase(v1.PodSucceeded)); ended.Status.PodIP != ended.Status.HostIP {
		n.Errorf("the pod's address is %s, want the node's, %s", ended.Status.PodIP,
			ended.Status.HostIP)
	}
}

func connectivity(n nodeTest) {
	server := targetPod("server")
	n.create(server)
	ready := n.await("server", "ready", labtest.IsReady)
	var script strings.Builder
	for _, ip := range ready.Status.PodIPs {
		host := ip.IP
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		fmt.Fprintf(&script, "curl --silent --max-time 5 http://%s/ || exit 1\n", host)
	}
	client := shell("client", script.String())
	client.Spec.RestartPolicy = v1.RestartPolicyNever
	n.create(client)
	n.await("client", "over", func(p *v1.Pod) bool {
		return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
	})
	if got, want := n.logs("client", v1.PodLogOptions{}), "server\nserver\n"; got != want {
		n.Errorf("the client was told %q, want %q", got, want)
	}
}

func jobs(n nodeTest) {
	limit := int32(0)
	for name, script := range map[string]string{"good": "exit 0", "bad": "exit 1"} {
		template := shell(name, script)
		template.Spec.RestartPolicy = v1.RestartPolicyNever
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{
			BackoffLimit: &limit, Template: v1.PodTemplateSpec{Spec: template.Spec},
		}}
		if _, err := n.lab.Client.BatchV1().Jobs(n.namespace).Create(n.Context(), job,
			metav1.CreateOptions{}); err != nil {
			n.Fatal(err)
		}
	}
	for name, condition := range map[string]batchv1.JobConditionType{"good": batchv1.JobComplete,
		"bad": batchv1.JobFailed} {
		n.lab.Await("job "+name+" to be "+string(condition), patience,
			func(ctx context.Context) (bool, error) {
				job, err := n.lab.Client.BatchV1().Jobs(n.namespace).
					Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return false, err
				}
				for _, c := range job.Status.Conditions {
					if c.Type == condition && c.Status == v1.ConditionTrue {
						return true, nil
					}
				}
				return false, nil
			})
	}
}

func deployment(n nodeTest) {
	n.lab.Kubectl("-n", n.namespace, "create", "deployment", "web", "--image=nginx", "--replicas=5",
		"--port=80")
	n.lab.Kubectl("-n", n.namespace, "rollout", "status", "deployment/web", "--timeout=30s")
	n.lab.Kubectl("-n", n.namespace, "delete", "deployment", "web", "--wait")
	n.lab.Await("the Deployment's pods to be gone", patience,
		func(ctx context.Context) (bool, error) {
			pods, err := n.lab.Client.CoreV1().Pods(n.namespace).List(ctx, metav1.ListOptions{})
			return err == nil && len(pods.Items) == 0, err
		})
}

// TestNodeAgentKilled kills the node agent with pods on the node, and expects its successor to
// start them afresh, on clean interfaces.
func TestNodeAgentKilled(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t)
	n := nodeTest{T: t, lab: lab, namespace: lab.Namespace("killed")}
	n.create(shell("process", "trap 'exit 0' TERM; while :; do sleep 0.05; done"))
	n.create(targetPod("builtin"))
	finished := shell("finished", "echo done")
	finished.Spec.RestartPolicy = v1.RestartPolicyNever
	n.create(finished)
	n.await("process", "ready", labtest.IsReady)
	n.await("builtin", "ready", labtest.IsReady)
	n.await("finished", "succeeded", hasPhase(v1.PodSucceeded))

	lab.Component("kill", "node-0")
	n.delete("builtin")
	lab.Component("start", "node-0")

	restarted := n.await("process", "ready again", func(p *v1.Pod) bool {
		return labtest.IsReady(p) && p.Status.ContainerStatuses[0].RestartCount == 1
	})
	if last := restarted.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil ||
		last.Reason != "ContainerStatusUnknown" {
		t.Errorf("the container's last end is %+v, want reason ContainerStatusUnknown", last)
	}
	n.awaitGone("builtin")
	if got := n.logs("finished", v1.PodLogOptions{}); got != "done\n" {
		t.Errorf("the log of a pod that had finished before is %q, want %q", got, "done\n")
	}
	n.delete("process")
	n.awaitGone("process")
}
