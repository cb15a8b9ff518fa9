// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"strconv"

	"golang.org/x/time/rate"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// backgroundLabel marks policies that are only there to be many.
const backgroundLabel = "netpol-latency/background"

// startLoad creates the background policies, and changes one after the other at the rate that is
// asked for until stop is called, which returns what went wrong.
func (e *environment) startLoad(ctx context.Context) (stop func() error, err error) {
	for number := range e.options.BackgroundPolicies {
		if err := e.apply(ctx, e.background(number, 0)); err != nil {
			return nil, err
		}
		e.report("creating background policies", number+1, e.options.BackgroundPolicies)
	}

	if e.options.BackgroundRate == 0 {
		return func() error { return nil }, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.changeBackground(ctx) }()
	return func() error {
		cancel()
		return <-done
	}, nil
}

func (e *environment) changeBackground(ctx context.Context) error {
	pace := rate.NewLimiter(rate.Limit(e.options.BackgroundRate), 1)
	for change := 1; pace.Wait(ctx) == nil; change++ {
		err := e.apply(ctx, e.background(change%e.options.BackgroundPolicies, change))
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("change a background policy: %w", err)
		}
	}
	return nil
}

// background is a policy that selects the targets: of their egress, which no pair is about, because
// no target begins a connection. It costs the policy engine its work and changes no result.
func (e *environment) background(number, change int) *networkingv1.NetworkPolicy {
	cidr := fmt.Sprintf("198.18.%d.%d/32", change/256%256, change%256)
	policy := &networkingv1.NetworkPolicy{
		TypeMeta: kind("networking.k8s.io/v1", "NetworkPolicy"),
		ObjectMeta: e.meta(e.parameters.TargetNamespace, "background-"+strconv.Itoa(number),
			map[string]string{backgroundLabel: "yes"}),
	}

	policy.Spec.PodSelector = metav1.LabelSelector{
		MatchLabels: e.scoped(map[string]string{scenario.RoleLabel: scenario.RoleTarget}),
	}
	policy.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{
		To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}},
	}}
	return policy
}
