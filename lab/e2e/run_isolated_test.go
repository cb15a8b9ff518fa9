// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/netpol-latency/netpol-latency/internal/need"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// apiServerOfLab is where pods of a lab are led that ask for the API server.
const apiServerOfLab = "172.18.0.1"

// agentAddress waits for the pod of a run's agent and returns its address.
func agentAddress(t *testing.T, lab *labtest.Lab, id string) (address string) {
	t.Helper()
	lab.Await("the agent of run "+id, patience, func(ctx context.Context) (bool, error) {
		list, err := lab.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{
			LabelSelector: runner.RunLabel + "=" + id + ",netpol-latency/role=agent"})
		if err == nil && len(list.Items) > 0 {
			address = list.Items[0].Status.PodIP
		}
		return address != "", err
	})
	return address
}

// nft changes the rules of the lab's node.
func nft(ctx context.Context, t *testing.T, lab *labtest.Lab, commands ...string) {
	t.Helper()
	if _, err := lab.Command(ctx, "enter", "--", "nft", strings.Join(commands, "; ")); err != nil {
		t.Error(err)
	}
}

// cutOff drops what a pod and the API server send to each other, on connections that are open too:
// as the isolation of a network plugin to which nodes are in no address block. The table is another
// one in each test, and gone at its end.
func cutOff(t *testing.T, lab *labtest.Lab, id, address string) {
	t.Helper()
	table := "inet cut-" + id
	nft(t.Context(), t, lab, "add table "+table,
		"add chain "+table+" forward { type filter hook forward priority -10; }",
		"add rule "+table+" forward ip saddr "+address+" ip daddr "+apiServerOfLab+" drop",
		"add rule "+table+" forward ip daddr "+address+" ip saddr "+apiServerOfLab+" drop")
}

// mend ends what cutOff has begun.
func mend(ctx context.Context, t *testing.T, lab *labtest.Lab, id string) {
	t.Helper()
	nft(ctx, t, lab, "add table inet cut-"+id, "delete table inet cut-"+id)
}

// Isolated agents that the network keeps from the API server end the run before it measures, with
// the way out.
func TestRunCutOff(t *testing.T) {
	t.Parallel()
	need.Program(t, "nft", "apt-get install nftables")
	lab := soon(t)
	run := begin(t, lab, "policy-creation", "--targets=2", "--target-image=nginx")
	t.Cleanup(func() { mend(context.Background(), t, lab, run.id) })
	cutOff(t, lab, run.id, agentAddress(t, lab, run.id))

	run.await(t, "proving the old state")
	isolated := time.Now()
	code, samples := run.end(t)
	took, said := time.Since(isolated), run.printed.String()
	if code != exitFailure || len(samples) > 0 || strings.Contains(said, "measuring") ||
		!strings.Contains(said, "do its policies let it reach the API server ("+
			"10.96.0.1:443, "+apiServerOfLab+":6443)") ||
		!strings.Contains(said, "--direction ingress isolates the targets alone") {
		t.Errorf("exit code %d, %d samples; want %d, none, and the way out:\n%s", code,
			len(samples), exitFailure, said)
	}
	// It gives up after 15 s, and removes everything.
	if took > 30*time.Second {
		t.Errorf("the run ended %s after the isolation", took)
	}
	expectNothingLeft(t, lab, run.id)
}

// A deny of both directions that cuts the agents off as well has its result all the same, and no
// iteration waits for agents that do not hear that it is over.
func TestRunDenyBothWays(t *testing.T) {
	t.Parallel()
	need.Program(t, "nft", "apt-get install nftables")
	lab := soon(t)
	file := filepath.Join(t.TempDir(), "nothing.yaml")
	must(t, os.WriteFile(file, []byte("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"+
		"metadata: {name: nothing}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n"),
		0o600))
	run := begin(t, lab, "--policy="+file, "--direction=egress", "--targets=2", "--repeat=2",
		"--patience=8m", "--timeout=8m")
	address := agentAddress(t, lab, run.id)
	t.Cleanup(func() { mend(context.Background(), t, lab, run.id) })

	policies, err := lab.Client.NetworkingV1().NetworkPolicies("").Watch(t.Context(),
		metav1.ListOptions{LabelSelector: runner.RunLabel + "=" + run.id,
			FieldSelector: "metadata.name=nothing"})
	must(t, err)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for event := range policies.ResultChan() {
			switch event.Type {
			case watch.Added:
				cutOff(t, lab, run.id, address)
			case watch.Deleted:
				mend(t.Context(), t, lab, run.id)
			}
		}
	}()
	code, samples := run.end(t)
	policies.Stop()
	<-watched

	if code != exitOK || len(samples) != 4 {
		t.Errorf("exit code %d, %d samples; want %d and 4:\n%s", code, len(samples), exitOK,
			run.printed.String())
	}
	expectTrue(t, lab, samples, "TCP")
	expectNothingLeft(t, lab, run.id)
}

// denyEverything puts a policy that denies everything into the namespaces of a run, and puts it
// back each second, until the context ends.
func denyEverything(ctx context.Context, t *testing.T, lab *labtest.Lab, id string) {
	deny := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "default-deny"}}
	deny.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress,
		networkingv1.PolicyTypeEgress}
	namespaces, err := lab.Client.CoreV1().Namespaces().Watch(ctx,
		metav1.ListOptions{LabelSelector: runner.RunLabel + "=" + id})
	if err != nil {
		t.Error(err)
		return
	}
	defer namespaces.Stop()

	again, known := time.NewTicker(time.Second), map[string]bool{}
	defer again.Stop()
	for {
		select {
		case event := <-namespaces.ResultChan():
			namespace, ok := event.Object.(metav1.Object)
			if !ok {
				return
			}
			known[namespace.GetName()] = event.Type != watch.Deleted
		case <-again.C:
		case <-ctx.Done():
			return
		}
		for namespace, there := range known {
			if !there {
				continue
			}
			_, err := lab.Client.NetworkingV1().NetworkPolicies(namespace).Create(ctx, deny,
				metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsForbidden(err) &&
				!apierrors.IsNotFound(err) && ctx.Err() == nil {
				t.Error(err) // but for a namespace that is being removed
			}
		}
	}
}

// A controller that denies everything everywhere is named before anything is measured, and costs no
// more than the time of the proof.
func TestRunDefaultDeny(t *testing.T) {
	t.Parallel()
	lab := soon(t)
	for scenario, test := range map[string]struct {
		code int
		says string
	}{
		"policy-deny": {exitFailure, "prove the old state within 4s: policies that are not of"},
		// The policy that allows egress is in force in time; nobody allows ingress.
		"policy-creation": {exitCensored, "some pairs did not change in time"},
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			lab := lab.Of(t)
			ctx, stop := context.WithCancel(t.Context())
			run := begin(t, lab, scenario, "--targets=2", "--repeat=2", "--timeout=4s",
				"--patience=9m")
			denied := make(chan struct{})
			go func() {
				defer close(denied)
				denyEverything(ctx, t, lab, run.id)
			}()
			code, _ := run.end(t)
			stop()
			<-denied

			said := run.printed.String()
			before, _, _ := strings.Cut(said, "measuring")
			named := strings.Count(before, scenario+": policy netpol-latency-"+run.id)
			if code != test.code || named != 2 || !strings.Contains(said, test.says) {
				t.Errorf("exit code %d, %d policies are named; want %d, 2, and %q:\n%s", code,
					named, test.code, test.says, said)
			}
			expectNothingLeft(t, lab, run.id)
		})
	}
}
