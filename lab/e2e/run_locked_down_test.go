// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// TestRunLockedDown runs where admission wants an owner of everything, limits of every container
// and no pod that names its user, where each namespace gets a quota and a range of limits, and
// where nodes are for others: with the flags for that everything is measured, and without them what
// is wrong is said at once and nothing stays.
func TestRunLockedDown(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--nodes", "4")
	lockDown(t, lab)

	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "registry"}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)},
	}
	_, err := lab.Client.CoreV1().Secrets("default").Create(t.Context(), secret,
		metav1.CreateOptions{})
	must(t, err)

	allowed := []string{"--label=team=network", "--limits=cpu=200m,memory=128Mi",
		"--toleration=dedicated=tests:NoSchedule", "--image-pull-secret=registry",
		`--pod-patch={"spec":{"enableServiceLinks":false}}`}
	for _, place := range []string{"same-node", "other-node"} {
		samples, _ := measureRun(t, lab, exitOK, append(allowed, "policy-creation", "--targets=3",
			"--placement="+place)...)
		expectTrue(t, lab, samples, "TCP")
		for _, sample := range samples {
			for _, node := range []string{sample.ClientNode, sample.TargetNode} {
				if node != "node-2" && node != "node-3" {
					t.Errorf("%s: a pod is on %s; want the nodes that take pods", place, node)
				}
			}
			same := sample.Target.Address.Addr().As4()[2] == clientSubnet(t, lab, sample)
			if same != (place == "same-node") {
				t.Errorf("%s: the target %s is on the wrong node", place, sample.Target.Address)
			}
		}
	}

	tests := []struct {
		name, want string
		arguments  []string
	}{
		{"no owner", `you must provide labels {"team"}`, nil},
		{"too few nodes", "expected 2 or more nodes that take them, or --placement any: 1 of 3 do" +
			"; not node-0 (taint node-role.kubernetes.io/control-plane:NoSchedule: see " +
			"--toleration), node-2 (taint dedicated=tests:NoSchedule",
			[]string{"--label=team=network", "--placement=other-node"}},
		{"no such secret", `copy the image pull secret default/none: secrets "none" not found`,
			append(allowed, "--image-pull-secret=none")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			id := runner.NewRunID()
			output, err := command(t.Context(), t, lab, append([]string{"run", "policy-creation",
				"-o", t.TempDir(), "--run-id", id}, test.arguments...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(output), test.want) {
				t.Errorf("the run: %v, %s; want %q", err, output, test.want)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
			expectNothingLeft(t, lab, id)
		})
	}

	t.Run("Cilium", func(t *testing.T) { expectCiliumsWords(t, lab, allowed) })
	t.Run("no limits", func(t *testing.T) {
		began := time.Now()
		run := begin(t, lab, "policy-creation", "--label=team=network")
		run.await(t, "FailedCreate: Error creating: pods")
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %s to say what admission says", took)
		}
		must(t, run.cmd.Process.Signal(syscall.SIGINT))
		run.end(t)
		expectNothingLeft(t, lab, run.id)
	})
}

// expectCiliumsWords expects that agents and clients reach the API server in Cilium's own words
// where the API has them, and that these words go with the run.
func expectCiliumsWords(t *testing.T, lab *labtest.Lab, allowed []string) {
	t.Helper()
	lab.Kubectl("create", "-f", "testdata/cilium.yaml")
	lab.Await("the kinds of Cilium", time.Minute, func(context.Context) (bool, error) {
		_, err := lab.Client.Discovery().ServerResourcesForGroupVersion("cilium.io/v2")
		return err == nil, nil
	})
	const id = "cilium"
	output, err := command(t.Context(), t, lab, append([]string{"run", "policy-deny",
		"--targets=1", "--keep", "--run-id=" + id, "-o", t.TempDir()}, allowed...)...,
	).CombinedOutput()
	if err != nil {
		t.Errorf("the run: %v, %s", err, output)
	}
	words := lab.Kubectl("get", "ciliumnetworkpolicies", "--all-namespaces", "--output=yaml")
	printed := do(t, lab, "netpol-latency manifests policy-creation")
	for _, text := range []string{words, printed} {
		if !strings.Contains(text, "kube-apiserver") {
			t.Errorf("there is no word of Cilium's:\n%s", text)
		}
	}
	must(t, command(t.Context(), t, lab, "cleanup", "--run-id="+id).Run())
	if left := lab.Kubectl("get", "ciliumnetworkpolicies", "-A", "-o", "name"); left != "" {
		t.Errorf("left of Cilium's words: %s", left)
	}
}

// lockDown makes the cluster one that admits little. Node 0 is for the control plane, 1 is being
// drained, 2 is for tests, 3 for everybody.
func lockDown(t *testing.T, lab *labtest.Lab) {
	t.Helper()
	lab.Kubectl("taint", "node", "node-0", "node-role.kubernetes.io/control-plane:NoSchedule")
	lab.Kubectl("cordon", "node-1")
	lab.Kubectl("taint", "node", "node-2", "dedicated=tests:NoSchedule")
	lab.Kubectl("apply", "-f", "testdata/admission.yaml")
	lab.Await("admission in force", time.Minute, func(ctx context.Context) (bool, error) {
		_, err := lab.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: "netpol-latency-x"},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return apierrors.IsInvalid(err) || apierrors.IsForbidden(err), nil
	})

	watch, err := lab.Client.CoreV1().Namespaces().Watch(t.Context(),
		metav1.ListOptions{LabelSelector: runner.RunLabel})
	must(t, err)
	t.Cleanup(watch.Stop)
	go func() {
		for event := range watch.ResultChan() {
			if namespace, ok := event.Object.(*corev1.Namespace); ok && event.Type == "ADDED" {
				bound(t, lab, namespace.Name)
			}
		}
	}()
}

// bound gives a namespace a quota, and a range that limits must be in.
func bound(t *testing.T, lab *labtest.Lab, namespace string) {
	hard := corev1.ResourceList{"pods": resource.MustParse("10"),
		"limits.cpu": resource.MustParse("4"), "limits.memory": resource.MustParse("4Gi")}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "quota"},
		Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	_, err := lab.Client.CoreV1().ResourceQuotas(namespace).Create(t.Context(), quota,
		metav1.CreateOptions{})
	if err != nil {
		t.Logf("bound namespace %s: %v", namespace, err) // it may have gone already
	}

	limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "range"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer,
			Max:  corev1.ResourceList{"memory": resource.MustParse("256Mi")},
		}}}}
	_, err = lab.Client.CoreV1().LimitRanges(namespace).Create(t.Context(), limits,
		metav1.CreateOptions{})
	if err != nil {
		t.Logf("bound namespace %s: %v", namespace, err)
	}
}

// clientSubnet is the third byte of the addresses on the client's node. The client has gone: the
// truth log knows its address.
func clientSubnet(t *testing.T, lab *labtest.Lab, sample measure.Sample) byte {
	t.Helper()
	records, err := truth.Read(lab.Truth)
	must(t, err)
	for _, record := range records {
		for _, op := range record.Ops {
			if op.Address != nil && op.Address.UID == sample.Client.UID {
				var address [4]byte
				if n, _ := fmt.Sscanf(op.ID, "%d.%d.%d.%d", &address[0], &address[1], &address[2],
					&address[3]); n == 4 {
					return address[2]
				}
			}
		}
	}
	t.Fatalf("the truth log does not know pod %s", sample.Client.Name)
	return 0
}
