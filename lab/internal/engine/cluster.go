// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// cluster is what the engine knows: the objects as of the events that are due, which pods each
// selector holds, and what the kernel should have because of that. Events mark addresses and
// policies as touched; plan works out the operations for these alone, so the cost of an event is
// that of its effect and not that of the cluster.
type cluster struct {
	node       string
	namespaces map[string]labels.Set
	pods       map[types.NamespacedName]*pod
	podsIn     map[string]map[*pod]struct{}
	policies   map[types.NamespacedName]*policy
	owners     map[netip.Addr][]*pod // that have the address, or had it
	arrivals   int                   // pods seen, to tell which came last

	groups map[string]*group
	narrow map[string]map[*group]struct{} // groups of one namespace, by that
	wide   map[*group]struct{}            // groups over namespaces

	// What the kernel should have.
	wanted   truth.State
	sets     map[string]*set
	chains   map[string]*policyChain
	guards   map[string]*guard
	guarding map[netip.Addr]guardPair

	// What events have touched since the last plan.
	touchedAddresses map[netip.Addr]struct{}
	touchedChains    map[*policyChain]struct{}

	faults Faults
	never  labels.Selector // of the fault
	fresh  []*pod          // pods of the node that have got addresses since the last event
}

func newCluster(node string) *cluster {
	c := &cluster{
		node:             node,
		namespaces:       map[string]labels.Set{},
		pods:             map[types.NamespacedName]*pod{},
		podsIn:           map[string]map[*pod]struct{}{},
		policies:         map[types.NamespacedName]*policy{},
		owners:           map[netip.Addr][]*pod{},
		groups:           map[string]*group{},
		narrow:           map[string]map[*group]struct{}{},
		wide:             map[*group]struct{}{},
		sets:             map[string]*set{},
		chains:           map[string]*policyChain{},
		guards:           map[string]*guard{},
		guarding:         map[netip.Addr]guardPair{},
		touchedAddresses: map[netip.Addr]struct{}{},
		touchedChains:    map[*policyChain]struct{}{},
		never:            labels.Nothing(),
	}

	c.wanted.Apply(truth.Op{Kind: truth.KindTable, Table: &truth.Table{}})
	return c
}

// putNamespace records a namespace's labels.
func (c *cluster) putNamespace(name string, as labels.Set) {
	c.namespaces[name] = as
	c.regroupNamespace(name)
}

func (c *cluster) removeNamespace(name string) {
	delete(c.namespaces, name)
	c.regroupNamespace(name)
}

func (c *cluster) regroupNamespace(name string) {
	for p := range c.podsIn[name] {
		c.regroup(p)
	}
}

// putPod records a pod, new or changed.
func (c *cluster) putPod(facts podFacts) {
	p := c.pods[facts.NamespacedName]
	if p == nil {
		p = &pod{groups: map[*group]struct{}{}}
		c.pods[facts.NamespacedName] = p
		addTo(c.podsIn, facts.Namespace, p)
	}

	// Groups and addresses are left with the old facts and joined with the new ones.
	had := len(p.Addresses) > 0
	if p.UID != facts.UID { // it may have followed another of its name
		c.arrivals++
		p.arrival, p.openings, p.frozen = c.arrivals, 0, nil
		had = false
	}

	c.disown(p)
	p.podFacts = facts
	if !had && len(facts.Addresses) > 0 && facts.Node == c.node {
		c.fresh = append(c.fresh, p)
	}

	for _, a := range p.Addresses {
		c.owners[a] = append(c.owners[a], p)
	}
	c.touch(p)
	c.regroup(p)
}

// removePod records the end of a pod, unless another of its name has followed it already.
func (c *cluster) removePod(facts podFacts) {
	p := c.pods[facts.NamespacedName]
	if p == nil || p.UID != facts.UID {
		return
	}
	delete(c.pods, p.NamespacedName)
	removeFrom(c.podsIn, p.Namespace, p)
	for g := range p.groups {
		delete(g.members, p)
	}
	c.disown(p)
}

// disown takes a pod's addresses away from it.
func (c *cluster) disown(p *pod) {
	c.touch(p)
	for _, a := range p.Addresses {
		c.owners[a] = slices.DeleteFunc(c.owners[a], func(o *pod) bool { return o == p })
		if len(c.owners[a]) == 0 {
			delete(c.owners, a)
		}
	}
}

// owner is the pod that an address belongs to: the newest that claims it.
func (c *cluster) owner(address netip.Addr) *pod {
	if len(c.owners[address]) == 0 {
		return nil
	}
	return slices.MaxFunc(c.owners[address], func(a, b *pod) int {
		if order := a.Created.Compare(b.Created); order != 0 {
			return order
		}
		return a.arrival - b.arrival
	})
}

func (c *cluster) touch(p *pod) {
	for _, a := range p.Addresses {
		c.touchedAddresses[a] = struct{}{}
	}
}

// regroup works out which groups a pod belongs to.
func (c *cluster) regroup(p *pod) {
	namespace, known := c.namespaces[p.Namespace]
	for g := range c.narrow[p.Namespace] {
		c.place(p, g, g.holds(p.podFacts, namespace, known))
	}
	for g := range c.wide {
		c.place(p, g, g.holds(p.podFacts, namespace, known))
	}
}

func (c *cluster) place(p *pod, g *group, belongs bool) {
	if _, did := g.members[p]; did == belongs {
		return
	}
	if belongs {
		g.members[p] = struct{}{}
		p.groups[g] = struct{}{}
	} else {
		delete(g.members, p)
		delete(p.groups, g)
	}
	c.touch(p)
}

// putPolicy records a policy, new or changed.
func (c *cluster) putPolicy(object *networkingv1.NetworkPolicy) {
	enforced := object
	if c.faults.NoExcept {
		enforced = withoutExceptions(object)
	}
	spec, err := compile(enforced)
	key := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	if err != nil {
		klog.ErrorS(err, "A policy is left out", "policy", key)
		c.removePolicy(key)
		return
	}

	p := c.policies[key]
	if p == nil {
		p = &policy{}
		c.policies[key] = p
	}

	p.object = object
	c.setSubject(p, &spec.subject)
	for d := range p.chains {
		c.setChain(p, direction(d), key, spec.chains[d])
	}
}

func (c *cluster) removePolicy(key types.NamespacedName) {
	p := c.policies[key]
	if p == nil {
		return
	}
	delete(c.policies, key)
	c.setSubject(p, nil)
	for d := range p.chains {
		c.setChain(p, direction(d), key, nil)
	}
}

// setChain records one direction of a policy; nil means that it does not isolate it.
func (c *cluster) setChain(p *policy, d direction, key types.NamespacedName, spec *chain) {
	id := d.String() + " " + key.String()
	pc := c.chains[id]
	if spec == nil {
		p.chains[d] = nil
		if pc != nil {
			pc.owned = false
			c.touchedChains[pc] = struct{}{}
		}
		return
	}

	if pc == nil {
		pc = &policyChain{id: id}
		c.chains[id] = pc
	}
	pc.owned, pc.want, p.chains[d] = true, spec, pc
	c.touchedChains[pc] = struct{}{}
}

// setSubject touches the pods that a policy has selected and those that it selects now.
func (c *cluster) setSubject(p *policy, subject *selection) {
	if old := p.subject; old != nil {
		c.touchAll(old)
		delete(old.subjects, p)
		p.subject = nil
		defer c.dropUnused(old)
	}
	if subject != nil {
		p.subject = c.group(*subject)
		p.subject.subjects[p] = struct{}{}
		c.touchAll(p.subject)
	}
}

func (c *cluster) touchAll(g *group) {
	for p := range g.members {
		c.touch(p)
	}
}

// group returns the group of a selection, which may be new.
func (c *cluster) group(s selection) *group {
	if g := c.groups[s.id]; g != nil {
		return g
	}
	g := &group{selection: s, members: map[*pod]struct{}{}, subjects: map[*policy]struct{}{}}
	c.groups[s.id] = g
	if g.wide() {
		c.wide[g] = struct{}{}
		for _, p := range c.pods {
			namespace, known := c.namespaces[p.Namespace]
			c.fill(g, p, namespace, known)
		}
		return g
	}

	addTo(c.narrow, s.namespace, g)
	for p := range c.podsIn[s.namespace] {
		c.fill(g, p, nil, false)
	}
	return g
}

// fill is place for a group that nothing refers to yet, so that it touches no pod.
func (c *cluster) fill(g *group, p *pod, namespace labels.Set, known bool) {
	if g.holds(p.podFacts, namespace, known) {
		g.members[p] = struct{}{}
		p.groups[g] = struct{}{}
	}
}

// dropUnused removes a group that no policy uses.
func (c *cluster) dropUnused(g *group) {
	if len(g.subjects) > 0 || g.set != nil {
		return
	}
	delete(c.groups, g.id)
	delete(c.wide, g)
	removeFrom(c.narrow, g.namespace, g)
	for p := range g.members {
		delete(p.groups, g)
	}
}

func addTo[K, V comparable](in map[K]map[V]struct{}, key K, value V) {
	if in[key] == nil {
		in[key] = map[V]struct{}{}
	}
	in[key][value] = struct{}{}
}

func removeFrom[K, V comparable](in map[K]map[V]struct{}, key K, value V) {
	delete(in[key], value)
	if len(in[key]) == 0 {
		delete(in, key)
	}
}
