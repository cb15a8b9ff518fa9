// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// stage is where one scenario plays: namespaces of its own, with targets and agents.
type stage struct {
	Options
	scenario  scenario.Scenario
	cluster   *kube.Cluster
	world     scenario.World
	node      string // of the agents, where the placement matters
	collector *collector
	stop      context.CancelFunc
	collected chan struct{}
	pods      map[string][]corev1.Pod // targets by group
	plan      protocol.Plan
	round     int
	progress  func(Progress)
}

func (s *stage) mode() string { return s.Mode(s.scenario) }

func (s *stage) needsRaw() bool {
	return slices.Contains([]string{setting.ProbeSYN, setting.ProbeAuto}, s.mode())
}

// build creates what the scenario needs and waits until it is up.
func (s *stage) build(ctx context.Context) error {
	if err := s.choosePlace(ctx); err != nil {
		return err
	}
	if err := s.cluster.Apply(ctx, s.objects()...); err != nil {
		return err
	}
	for _, group := range s.groups() {
		if err := s.cluster.Apply(ctx, s.targets(group)); err != nil {
			return err
		}
	}
	s.startCollecting(ctx)
	if s.scenario.Kind != scenario.Inside {
		if err := s.cluster.Apply(ctx, s.agents()); err != nil {
			return err
		}
		if err := s.awaitAgents(ctx); err != nil {
			return err
		}
	}
	return s.awaitTargets(ctx)
}

func (s *stage) groups() []scenario.Group { return s.scenario.Groups(s.Settings) }

// choosePlace picks the node of the agents, if it matters where they are.
func (s *stage) choosePlace(ctx context.Context) error {
	if s.Placement == setting.PlaceAny {
		return nil
	}
	nodes, err := kube.Nodes(ctx, s.cluster)
	if err != nil {
		return err
	}
	if len(nodes) == 0 || s.Placement == setting.PlaceOther && len(nodes) < 2 {
		return fmt.Errorf("place targets on another node than the agents: the cluster has %d nodes for pods: "+
			"expected 2 or more, or --placement any", len(nodes))
	}
	s.node = nodes[0].Labels[corev1.LabelHostname]
	return nil
}

func (s *stage) startCollecting(ctx context.Context) {
	ctx, s.stop = context.WithCancel(ctx)
	s.collector = newCollector(s.cluster, s.world.AgentNamespace, s.Clock)
	s.collected = make(chan struct{})
	go func() {
		defer close(s.collected)
		_ = s.collector.run(ctx, scenario.RoleLabel+"="+scenario.RoleAgent) // it ends with the context
	}()
}

// close ends the collecting.
func (s *stage) close() {
	if s.stop != nil {
		s.stop()
		<-s.collected
	}
}

// patience is a context that ends when something has taken too long.
func (s *stage) patience(ctx context.Context, what string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.Patience, fmt.Errorf("%s: %w: not within %s", what, errPatience, s.Patience))
}

func (s *stage) awaitAgents(ctx context.Context) error {
	ctx, cancel := s.patience(ctx, "start the agents")
	defer cancel()
	err := s.collector.await(ctx, func() bool {
		s.tell("starting agents", s.collector.ready(), s.Agents)
		return s.collector.ready() == s.Agents
	})
	switch {
	case errors.As(err, new(protocol.VersionError)):
		return err // the pods are up: what keeps them from working is said
	case err != nil:
		return errors.Join(err, s.explain(s.world.AgentNamespace))
	}
	return s.findAgents(ctx)
}

// findAgents reads the names and the addresses of the agents' pods.
func (s *stage) findAgents(ctx context.Context) error {
	pods, err := s.list(ctx, s.world.AgentNamespace, scenario.RoleLabel+"="+scenario.RoleAgent)
	if err != nil {
		return err
	}
	s.world.AgentPods = nil
	for _, pod := range pods {
		s.world.AgentPods = append(s.world.AgentPods, pod.Name)
	}
	s.world.Addresses[""] = s.addresses(pods)
	return nil
}

// awaitTargets waits until all targets are ready to answer.
func (s *stage) awaitTargets(ctx context.Context) error {
	ctx, cancel := s.patience(ctx, "start the targets")
	defer cancel()
	for _, group := range s.groups() {
		for {
			pods, err := s.list(ctx, s.world.TargetNamespace, scenario.GroupLabel+"="+group.Name)
			if err != nil {
				return err
			}
			ready := readyPods(pods)
			s.tell("starting targets", len(ready), group.Size(s.Targets))
			if len(ready) >= group.Size(s.Targets) {
				s.pods[group.Name], s.world.Addresses[group.Name] = ready, s.addresses(ready)
				break
			}
			select {
			case <-time.After(pollTargets):
			case <-ctx.Done():
				return errors.Join(context.Cause(ctx), s.explain(s.world.TargetNamespace))
			}
		}
	}
	return s.checkFamily()
}

// pollTargets is the pause between two looks at the targets, which nobody measures yet.
const pollTargets = 200 * time.Millisecond

func (s *stage) checkFamily() error {
	for group, pods := range s.pods {
		if len(s.world.Addresses[group]) < len(pods) {
			return fmt.Errorf("probe over %s: not all targets have such an address: does the cluster have that family?", s.Family)
		}
	}
	return nil
}

// list lists pods. A list from the API server's memory is new enough: what it lacks, the next one has.
func (s *stage) list(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	list, err := s.cluster.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return list.Items, nil
}

func readyPods(pods []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
}

// addresses are the pods' addresses of the family that is measured.
func (s *stage) addresses(pods []corev1.Pod) []netip.Addr {
	var all []netip.Addr
	for _, pod := range pods {
		if address, ok := s.address(pod); ok {
			all = append(all, address)
		}
	}
	return all
}

func (s *stage) address(pod corev1.Pod) (netip.Addr, bool) {
	for _, ip := range pod.Status.PodIPs {
		address, err := netip.ParseAddr(ip.IP)
		if err == nil && address.Is6() == (s.Family == setting.IPv6) {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// explain says what keeps the pods of a namespace from coming up, as far as they tell.
func (s *stage) explain(namespace string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pods, err := s.list(ctx, namespace, PartOfLabel+"="+PartOf)
	if err != nil {
		return err
	}
	var reasons []string
	for _, pod := range pods {
		for _, status := range pod.Status.ContainerStatuses {
			if waiting := status.State.Waiting; waiting != nil {
				reasons = append(reasons, strings.TrimSpace(waiting.Reason+" "+waiting.Message))
			}
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
				reasons = append(reasons, condition.Message)
			}
		}
	}
	slices.Sort(reasons)
	if reasons = slices.Compact(reasons); len(reasons) == 0 {
		return fmt.Errorf("of namespace %s's %d pods none says why", namespace, len(pods))
	}
	return errors.New(strings.Join(reasons, "; "))
}

// publish gives the agents a plan. Each carries a ping.
func (s *stage) publish(ctx context.Context, plan protocol.Plan) error {
	plan.Ping = s.plan.Ping + 1
	s.collector.pinged(plan.Ping, time.Now())
	if err := s.cluster.Apply(ctx, s.planObject(plan)); err != nil {
		return fmt.Errorf("tell the agents what to do: %w", err)
	}
	s.plan = plan
	return nil
}

// tell reports how far the run is.
func (s *stage) tell(what string, done, of int) {
	s.progress(Progress{Scenario: s.scenario.Name, What: what, Done: done, Of: of})
}

// Progress is how far a run is.
type Progress struct {
	Scenario string
	What     string
	Done, Of int
}

// reset puts the policies in force that the scenario begins with, and no others.
func (s *stage) reset(ctx context.Context) error {
	for _, namespace := range []string{s.world.AgentNamespace, s.world.TargetNamespace} {
		policies := s.cluster.NetworkingV1().NetworkPolicies(namespace)
		list, err := policies.List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list policies: %w", err)
		}
		for _, policy := range list.Items {
			if policy.Labels[backgroundLabel] != "" {
				continue
			}
			if err := policies.Delete(ctx, policy.Name, metav1.DeleteOptions{}); err != nil {
				return fmt.Errorf("delete policy %s: %w", policy.Name, err)
			}
		}
	}
	if s.Trigger != nil {
		patches, objects := s.Trigger.Undo(s.world)
		if err := errors.Join(s.cluster.Change(ctx, patches...), s.cluster.Delete(ctx, objects...)); err != nil {
			return err
		}
	}
	layers := s.scenario.Setup(s.world)
	for i, objects := range layers {
		if err := s.cluster.Apply(ctx, objects...); err != nil {
			return err
		}
		if i < len(layers)-1 {
			if err := s.proveBlocked(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// proveBlocked waits until every pair of the scenario's beginning is seen blocked.
func (s *stage) proveBlocked(ctx context.Context) error {
	r := s.newRound(s.scenario.Parts(s.world)[0])
	r.part.Expect = slices.Clone(r.part.Expect)
	for i := range r.part.Expect {
		r.part.Expect[i].Want = measure.StateAllowed
	}
	r.expectAll()
	return r.prove(ctx)
}
