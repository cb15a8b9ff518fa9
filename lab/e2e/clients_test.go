// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/trial"
)

// patience bounds what only a failure makes long.
const patience = 10 * time.Minute

// newTrial prepares a trial with the lab's programs.
func newTrial(
	t *testing.T, lab *labtest.Lab, scenario string, targets int, arguments ...string,
) trial.Trial {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", ",", "").Replace(t.Name()))
	return trial.Trial{
		Scenario: scenario, Targets: targets, Name: name[max(0, len(name)-40):],
		Programs: filepath.Dir(labtest.Binary(t)), Kubeconfig: lab.Kubeconfig, Truth: lab.Truth,
		Client: lab.Client, ClientArgs: arguments,
	}
}

// expectMeasured checks that every target was measured and that every bracket contains its commit.
func expectMeasured(t *testing.T, found trial.Result, targets int) {
	t.Helper()
	if len(found.Samples) != targets || len(found.Evaluated) != targets {
		t.Errorf("%d targets have a result and %d a latency; want %d: %v", len(found.Samples),
			len(found.Evaluated), targets, outcomes(found.Samples))
	}
	for _, one := range found.Evaluated {
		if !one.Holds {
			t.Errorf("pod %s: bracket [%s, %s] misses the commit [%s, %s]",
				one.Sample.Target.Pod.Name,
				stamp(one.Sample.Bracket.Lower), stamp(one.Sample.Bracket.Upper), stamp(one.Before),
				stamp(one.After))
		}
	}
	errors := trial.Errors(found.Evaluated)
	t.Logf("%d targets: error of the reported instant p50 %s, p99 %s, max %s", targets,
		errors.Quantile(.5), errors.Quantile(.99), errors.Quantile(1))
}

// outcomes counts samples by their status and its reason.
func outcomes(samples []measure.Sample) map[string]int {
	all := make(map[string]int)
	for _, sample := range samples {
		all[fmt.Sprintf("%s %s from %s", sample.Status, sample.Reason, sample.Start.Source)]++
	}
	return all
}

func stamp(instant time.Time) string { return instant.Format("15:04:05.000000") }

// Both clients against the truth log: many targets with a fast policy engine, and few with a slow
// one.
func TestClients(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t)
	for delay, targets := range map[time.Duration]int{0: 100, 300 * time.Millisecond: 20} {
		lab.Set("--delay", delay.String())
		for _, scenario := range []string{"policy-creation", "pod-creation"} {
			t.Run(fmt.Sprintf("%s/%d/%s", scenario, targets, delay), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				found, err := newTrial(t, lab, scenario, targets).Run(ctx)
				if err != nil {
					t.Fatal(err)
				}
				expectMeasured(t, found, targets)
			})
		}
	}
}

// Every way of probing that a client offers for HTTP targets, in pods with no more rights than it
// needs.
func TestClientsProbeModes(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	for mode, arguments := range map[string][]string{"connect": nil, "syn": {"--net-raw"},
		"auto": {"--net-raw"}} {
		t.Run(mode, func(t *testing.T) {
			run := newTrial(t, lab, "policy-creation", 20, "--probe="+mode)
			run.ManifestArgs = arguments
			found, err := run.Run(t.Context())
			must(t, err)
			expectMeasured(t, found, 20)
		})
	}
}

// How the engine denies must not matter: a reset, an ICMP message and silence are all "not yet",
// and the client tells them apart. The kernel limits the rate of ICMP messages, so most probes of
// that kind meet silence after all (icmp(7), icmp_ratelimit).
func TestClientsWhenDenialsAreAnswered(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--delay", "300ms")
	for reject, want := range map[string]measure.Verdict{
		"reset": measure.Refused, "icmp": measure.Rejected,
	} {
		t.Run(reject, func(t *testing.T) {
			lab.Set("--reject", reject)
			found, err := newTrial(t, lab, "policy-creation", 5).Run(t.Context())
			must(t, err)
			expectMeasured(t, found, 5)
			probes := make(map[measure.Verdict]uint64)
			for _, sample := range found.Samples {
				for _, verdict := range measure.Verdicts() {
					probes[verdict] += sample.Probes[verdict]
				}
			}
			if probes[want] == 0 {
				t.Errorf("of the denied probes none was %s: %v", want, probes)
			}
		})
	}
}

// The watches of both clients break in the middle of a run, in two ways; what happens meanwhile is
// not lost.
func TestClientsWhenTheWatchBreaks(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t)
	breaks := map[string]func(clients []corev1.Pod){
		"connections-cut": func(clients []corev1.Pod) {
			for _, client := range clients {
				lab.CutConnections(client.Status.PodIP)
			}
		},
		"api-server-restarted": func([]corev1.Pod) { restartAPI(lab) },
	}
	for name, breakWatches := range breaks {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var runs []trial.Trial
			var clients []corev1.Pod
			for _, scenario := range []string{"policy-creation", "pod-creation"} {
				run := newTrial(t, lab, scenario, 10)
				run.Name = name + "-" + scenario
				must(t, run.Setup(ctx))
				runs = append(runs, run)
				clients = append(clients, clientPods(t, run)...)
			}

			breakWatches(clients)
			for _, run := range runs {
				must(t, run.Trigger(ctx))
			}

			for _, run := range runs {
				found, err := run.Collect(ctx)
				must(t, err)
				expectMeasured(t, found, 10)
				must(t, run.Remove(ctx))
			}
		})
	}
}

// A client that starts when the policy exists and everything is allowed has nothing to measure, and
// says so instead of inventing a latency.
func TestPolicyClientStartedLate(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	run := newTrial(t, lab, "policy-creation", 5)
	complete(t, run)
	replaceClient(t, run)
	found, err := run.Collect(t.Context())
	must(t, err)
	expectStatuses(t, found, map[measure.Status]int{measure.Invalid: 5})
}

// Pods that exist before the client are not new: only those that come later count.
func TestPodClientStartedLate(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	run := newTrial(t, lab, "pod-creation", 5)
	complete(t, run)
	replaceClient(t, run)
	must(t, run.Shell(t.Context(), fmt.Sprintf(
		"kubectl -n %s scale deployment/pod-creation-target --replicas=10", run.TargetNamespace())))
	found, err := run.Collect(t.Context())
	must(t, err)
	expectMeasured(t, found, 5)
}

// A target that another policy keeps closed ends as censored; the others are measured, and the
// client's exit code says that not all were.
func TestTargetThatIsNeverReachable(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	run := newTrial(t, lab, "policy-creation", 4, "--target-timeout=3s", "--exit-when-done")
	must(t, run.Setup(t.Context()))
	targets := pods(t, lab, run.TargetNamespace(), "target=policy-creation")
	must(t, run.Shell(t.Context(), fmt.Sprintf("kubectl -n %s label pod %s closed=yes",
		run.TargetNamespace(), targets[0].Name)))
	closeToAll(t, lab, run.TargetNamespace())
	must(t, run.Trigger(t.Context()))
	client := clientPods(t, run)[0]
	lab.Await("the client to exit", patience, func(ctx context.Context) (bool, error) {
		pod, err := lab.Client.CoreV1().Pods(client.Namespace).Get(ctx, client.Name,
			metav1.GetOptions{})
		if err != nil || len(pod.Status.ContainerStatuses) == 0 {
			return false, err
		}
		ended := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated
		if ended != nil && ended.ExitCode != 2 {
			t.Fatalf("the client exited with %d; want 2", ended.ExitCode)
		}
		return ended != nil, nil
	})
	logs := lab.Kubectl("-n", client.Namespace, "logs", client.Name, "--previous")
	want := "Targets: 4 expected, 3 measured, 1 censored, 0 invalid, 0 deleted"
	if !strings.Contains(logs, want) {
		t.Errorf("the client's log lacks %q:\n%s", want, logs)
	}
}

// A target is deleted while it is denied, and its address goes to another pod that is allowed: what
// answers there is not the target.
func TestTargetDeletedAndAddressReused(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	run := newTrial(t, lab, "policy-creation", 1)
	must(t, run.Setup(t.Context()))
	target := pods(t, lab, run.TargetNamespace(), "target=policy-creation")[0]
	must(t, run.Shell(t.Context(), fmt.Sprintf(
		"kubectl -n %s scale deployment/policy-creation-target --replicas=0",
		run.TargetNamespace())))
	lab.Await("the target to be gone", patience, func(ctx context.Context) (bool, error) {
		_, err := lab.Client.CoreV1().Pods(target.Namespace).Get(ctx, target.Name,
			metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	heir := target.DeepCopy()
	heir.ObjectMeta = metav1.ObjectMeta{
		Name: "heir", Namespace: target.Namespace,
		Annotations: map[string]string{"lab.netpol-latency/ip": joinIPs(target.Status.PodIPs)},
	}
	heir.Spec.NodeName = ""
	_, err := lab.Client.CoreV1().Pods(target.Namespace).Create(t.Context(), heir,
		metav1.CreateOptions{})
	must(t, err)
	if got := lab.AwaitReady(target.Namespace, "heir",
		patience); got.Status.PodIP != target.Status.PodIP {
		t.Fatalf("the heir has address %s; want the target's, %s", got.Status.PodIP,
			target.Status.PodIP)
	}
	found, err := run.Collect(t.Context())
	must(t, err)
	expectStatuses(t, found, map[measure.Status]int{measure.Deleted: 1})
}

// The clients start exactly as ClusterLoader2 starts them: a shell in /, with its spellings.
func TestStartedAsClusterLoader2Does(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	run := newTrial(t, lab, "pod-creation", 2)
	must(t, run.Setup(t.Context()))
	deployment, err := lab.Client.AppsV1().Deployments(run.ClientNamespace()).
		Get(t.Context(), "pod-creation-test-client", metav1.GetOptions{})
	must(t, err)
	container := &deployment.Spec.Template.Spec.Containers[0]
	container.Args = nil
	container.Command = []string{"sh", "-c", fmt.Sprintf("./pod-creation-reachability-latency "+
		`-HostNamespace="%s" -TargetLabelSelector="target = pod-creation" -TargetNamespace="%s" `+
		`-TargetPort=8080 -MetricsPort=9160 -MaxTargets=2`, run.ClientNamespace(),
		run.TargetNamespace())}
	_, err = lab.Client.AppsV1().Deployments(run.ClientNamespace()).
		Update(t.Context(), deployment, metav1.UpdateOptions{})
	must(t, err)
	must(t, run.Shell(t.Context(), run.AwaitClient()))
	lab.Await("the old client to be gone", patience, func(context.Context) (bool, error) {
		return len(pods(t, lab, run.ClientNamespace(), "test=np-test-client")) == 1, nil
	})
	must(t, run.Trigger(t.Context()))
	found, err := run.Collect(t.Context())
	must(t, err)
	expectMeasured(t, found, 2)
}

// complete carries a trial out without removing anything.
func complete(t *testing.T, run trial.Trial) {
	t.Helper()
	must(t, run.Setup(t.Context()))
	must(t, run.Trigger(t.Context()))
	_, err := run.Collect(t.Context())
	must(t, err)
}

// replaceClient deletes the test client's pod and waits until its successor is ready.
func replaceClient(t *testing.T, run trial.Trial) {
	t.Helper()
	old := clientPods(t, run)[0]
	must(t, run.Shell(t.Context(), fmt.Sprintf("kubectl -n %s delete pod %s", old.Namespace,
		old.Name)))
	must(t, run.Shell(t.Context(), run.AwaitClient()))
}

// closeToAll denies all ingress to the pods of the namespace with the label closed=yes.
func closeToAll(t *testing.T, lab *labtest.Lab, namespace string) {
	t.Helper()
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "closed", Namespace: namespace},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"closed": "yes"}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		},
	}
	_, err := lab.Client.NetworkingV1().NetworkPolicies(namespace).Create(t.Context(), policy,
		metav1.CreateOptions{})
	must(t, err)
}

// clientPods are the trial's running test clients.
func clientPods(t *testing.T, run trial.Trial) []corev1.Pod {
	t.Helper()
	clients, err := kube.Namespace{Client: run.Client, Name: run.ClientNamespace()}.
		ClientPods(t.Context(), "test=np-test-client")
	must(t, err)
	if len(clients) == 0 {
		t.Fatal("no test client is running")
	}
	return clients
}

func pods(t *testing.T, lab *labtest.Lab, namespace, selector string) []corev1.Pod {
	t.Helper()
	list, err := lab.Client.CoreV1().Pods(namespace).List(t.Context(),
		metav1.ListOptions{LabelSelector: selector})
	must(t, err)
	return list.Items
}

func joinIPs(all []corev1.PodIP) string {
	var texts []string
	for _, one := range all {
		texts = append(texts, one.IP)
	}
	return strings.Join(texts, ",")
}

func expectStatuses(t *testing.T, found trial.Result, want map[measure.Status]int) {
	t.Helper()
	have := make(map[measure.Status]int)
	for _, sample := range found.Samples {
		have[sample.Status]++
	}
	for _, status := range measure.Statuses() {
		if have[status] != want[status] {
			t.Errorf("%d targets are %s; want %d", have[status], status, want[status])
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
