// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// controlPod is a pod beside the test client, whose traffic to the targets one policy allows.
type controlPod struct {
	trial Trial
	pairs []truth.Pair
	allow *networkingv1.NetworkPolicy
}

// newControlPod creates the control pod and what blocks its traffic, and gives the test client the
// policy that it waits for, which allows nothing, unless it is to go on waiting.
func (t Trial) newControlPod(ctx context.Context) (p controlPod, err error) {
	targets, err := t.Client.CoreV1().Pods(t.TargetNamespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return p, fmt.Errorf("list the targets: %w", err)
	}
	p.trial = t
	p.allow = t.egress("control-allow", controlLabels(), map[string]string{"target": t.Scenario})
	policies := []*networkingv1.NetworkPolicy{t.egress("control-deny", controlLabels(), nil)}
	if !t.Awaiting && !t.Agent {
		policies = append(policies, t.egress(t.allowName(),
			map[string]string{"test": "np-test-client"}, map[string]string{"target": "nobody"}))
	}
	for _, policy := range policies {
		if err := p.createPolicy(ctx, policy); err != nil {
			return p, err
		}
	}

	pod, err := p.start(ctx, targets.Items[0].Spec)
	if err != nil {
		return p, err
	}
	for _, target := range targets.Items {
		to, err := netip.ParseAddr(target.Status.PodIP)
		if err != nil {
			return p, fmt.Errorf("find the address of pod %s: %w", target.Name, err)
		}
		p.pairs = append(p.pairs, truth.Pair{
			FromUID: string(pod.UID), ToUID: string(target.UID), To: to, Protocol: "TCP",
			Port: uint16(target.Spec.Containers[0].Ports[0].ContainerPort),
		})
	}

	return p, nil
}

func controlLabels() map[string]string { return map[string]string{"test": "control"} }

// egress is a policy that lets the selected pods send to the targets that have the labels; nil is
// to none.
func (t Trial) egress(name string, from, to map[string]string) *networkingv1.NetworkPolicy {
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: t.ClientNamespace()},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: from},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		},
	}

	if to != nil {
		namespace := map[string]string{corev1.LabelMetadataName: t.TargetNamespace()}
		targets := networkingv1.NetworkPolicyPeer{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: namespace},
			PodSelector:       &metav1.LabelSelector{MatchLabels: to},
		}
		policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{
			{To: []networkingv1.NetworkPolicyPeer{targets}},
		}
	}

	return policy
}

func (p controlPod) createPolicy(ctx context.Context, policy *networkingv1.NetworkPolicy) error {
	_, err := p.trial.Client.NetworkingV1().NetworkPolicies(policy.Namespace).Create(ctx, policy,
		metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create policy %s: %w", policy.Name, err)
	}
	return nil
}

func (p controlPod) deletePolicy(ctx context.Context, policy *networkingv1.NetworkPolicy) error {
	err := p.trial.Client.NetworkingV1().NetworkPolicies(policy.Namespace).Delete(ctx, policy.Name,
		metav1.DeleteOptions{})
	if err != nil {
		return fmt.Errorf("delete policy %s: %w", policy.Name, err)
	}
	return nil
}

// start runs the control pod as a target is run, and waits until it is ready.
func (p controlPod) start(ctx context.Context, like corev1.PodSpec) (*corev1.Pod, error) {
	t := p.trial
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "control", Namespace: t.ClientNamespace(),
			Labels: controlLabels()},
		Spec: corev1.PodSpec{
			SecurityContext: like.SecurityContext, Containers: like.Containers,
			AutomountServiceAccountToken:  like.AutomountServiceAccountToken,
			TerminationGracePeriodSeconds: like.TerminationGracePeriodSeconds,
		},
	}

	created, err := t.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create pod control: %w", err)
	}
	return created, t.Shell(ctx, "kubectl -n "+t.ClientNamespace()+" wait --for=condition=Ready "+
		"--timeout=2m pod/control")
}

// changes allows and blocks the control pod's traffic in turn, with a pause before each change and
// after the last. An even count leaves it blocked, as it was.
func (p controlPod) changes(ctx context.Context, count int, pause time.Duration) error {
	ticks := time.NewTicker(pause)
	defer ticks.Stop()

	for i := range count + 1 {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return ctx.Err()
		}

		if i == count {
			break
		}
		do := p.createPolicy
		if i%2 != 0 {
			do = p.deletePolicy
		}
		if err := do(ctx, p.allow); err != nil {
			return err
		}
	}

	return nil
}

// evaluate reads from the truth log how long the engine took for each change of the blocks, and
// returns how many are not where they should be: two that came late into one commit are none, and
// one that is later than its block's end is the next one's, or nobody's. A change counts once it
// holds for all of the control pod's pairs.
func (p controlPod) evaluate(blocks []Block, changes int) (misplaced int, err error) {
	records, err := truth.Read(p.trial.Truth)
	if err != nil {
		return 0, err
	}
	pairs := make(map[time.Time]int)
	for _, flips := range truth.Flips(records, p.pairs...) {
		for _, flip := range flips {
			if pairs[flip.After]++; pairs[flip.After] < len(p.pairs) {
				continue
			}
			for i := range blocks {
				blocks[i].add(flip.After, flip.Allowed, flip.After.Sub(notified(flip)))
			}
		}
	}

	for _, b := range blocks {
		found := len(b.Allowed) + len(b.Blocked)
		misplaced += max(changes-found, found-changes)
	}
	return misplaced, nil
}
