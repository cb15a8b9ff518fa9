// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// realize makes a change of a candidate and of what is given, if that can be shown.
func (d *derivation) realize(c candidate) (Derived, error) {
	settings, err := d.complete(c)
	if err != nil {
		return Derived{}, err
	}
	if c.unusable != nil {
		return Derived{}, c.unusable
	}

	agents, targets := c.peer, c.subject
	if !c.ingress {
		agents, targets = c.subject, c.peer
	}
	if settings.Own.SameNamespace || d.facts.oneNamespace() {
		shared := wish{namespace: unnamedTargets}
		for _, one := range []wish{agents, targets} {
			if one.bound {
				shared = one
			}
		}
		for _, one := range []*wish{&agents, &targets} {
			if !one.bound {
				one.namespace, one.bound = shared.namespace, true
			}
		}
	}

	trigger := d.newTrigger(settings)
	trigger.Namespaces = make(map[string]Place)
	agents, err = d.join(&trigger.Agents, agents, AtAgents, trigger.Namespaces)
	if err != nil {
		return Derived{}, err
	}
	targets, err = d.join(&trigger.Targets, targets, AtTargets, trigger.Namespaces)
	if err != nil {
		return Derived{}, err
	}
	return d.finish(c, trigger, settings, agents, targets)
}

// complete are the settings with the direction, the protocol, the port and the expectation of a
// candidate.
func (d *derivation) complete(c candidate) (setting.Settings, error) {
	s := d.settings
	choose := func(name string, to *string, value string) error {
		if s.Given(name) && *to != value {
			return fmt.Errorf("%w: --%s %s, and this is about %s", errOverridden, name, *to, value)
		}
		*to = value
		return nil
	}

	direction, expect := setting.Egress, setting.ExpectBlocked
	if c.ingress {
		direction = setting.Ingress
	}
	if c.allowed {
		expect = setting.ExpectAllowed
	}
	mistakes := []error{choose("direction", &s.Direction, direction),
		choose("expect", &s.Own.Expect, expect)}
	if c.family != "" {
		mistakes = append(mistakes, choose("family", &s.Family, c.family))
		if known := d.facts.Families; len(known) > 0 && !slices.Contains(known, c.family) {
			mistakes = append(mistakes, fmt.Errorf("its block is of %s, and pods of this cluster "+
				"have addresses of %s alone", c.family, strings.Join(known, " and ")))
		}
	}
	if c.port != nil {
		protocol := string(protocolOf(*c.port))
		mistakes = append(mistakes, choose("protocol", &s.Protocol, protocol))
	}
	if err := errors.Join(mistakes...); err != nil {
		return s, err
	}

	port := d.port
	if port.Number == 0 {
		port.Number = Port
		if c.port != nil && c.port.Port != nil {
			port = portOf(*c.port.Port)
		}
		_, _, ok := setting.ParsePort(port.String())
		switch {
		case port.Name != "" && len(validation.IsValidPortName(port.Name)) > 0:
			return s, fmt.Errorf("its port is the text %q: expected a number without quotes, or "+
				"a name that a port can have", port.Name)
		case !ok:
			return s, fmt.Errorf("its port is %s: expected 1 to 65535, or a name", port)
		}
	}
	if port.Number != Port || port.Name != "" {
		s.Own.ToPort = port.String()
	}
	return s, nil
}

// portOf is a port of the targets that a policy names.
func portOf(one intstr.IntOrString) TargetPort {
	if one.Type == intstr.String {
		return TargetPort{Port, one.StrVal}
	}
	return TargetPort{Number: int(one.IntVal)}
}

// newTrigger is the change of the files, without what the pods are like.
func (d *derivation) newTrigger(s setting.Settings) Trigger {
	policies, others := split(d.files.Policy)
	replacing, more := split(d.files.Replace)

	t := Trigger{
		Before: slices.Concat(others, more, d.files.Before), Apply: policies,
		Agents: d.agents, Targets: d.targets, Want: measure.StateBlocked,
	}
	if s.Own.Expect == setting.ExpectAllowed {
		t.Want = measure.StateAllowed
	}

	t.Port.Number, t.Port.Name, _ = setting.ParsePort(cmp.Or(s.Own.ToPort, fmt.Sprint(Port)))
	switch {
	case s.Own.Delete:
		t.Before, t.Apply, t.Delete = slices.Concat(t.Before, policies), nil, policies
	case s.Own.Replace != "":
		t.Before = slices.Concat(t.Before, policies)
		t.Apply, t.Delete = replacing, without(policies, replacing)
	}
	return t
}

// split tells policies, and patches of what is the run's, from what else comes with them in a file,
// such as the workloads that they are for: that is there before, and its writing is not measured.
// Where there are no policies the rest is the change.
func split(objects []Object) (policies, others []Object) {
	for _, object := range objects {
		if isNetworkPolicy(object) || isOpaque(object) || isPatch(object) {
			policies = append(policies, object)
		} else {
			others = append(others, object)
		}
	}
	if len(policies) == 0 {
		return others, nil
	}
	return policies, others
}

// without are objects but for those that others replace.
func without(objects, others []Object) []Object {
	return slices.DeleteFunc(slices.Clone(objects), func(object Object) bool {
		return slices.ContainsFunc(others, func(one Object) bool { return sameObject(one, object) })
	})
}

// join gives pods what a candidate wishes, where nothing is given, and notes where the namespace
// of theirs is.
func (d *derivation) join(
	pods *Pods, w wish, at Place, places map[string]Place,
) (wish, error) {
	if pods.Namespace != "" {
		_, inFiles := d.inFiles[pods.Namespace]
		switch {
		case inFiles && w.bound && w.namespace != pods.Namespace:
			return w, fmt.Errorf("%w: the files have a namespace %s, and this is about %s",
				errOverridden, pods.Namespace, namespaceText(w.namespace))
		case inFiles:
			w.namespace, w.bound = pods.Namespace, true
		}
	}

	if len(pods.Labels) == 0 {
		pods.Labels = w.labels
	}
	if !w.bound {
		w.namespace = map[Place]string{AtAgents: unnamedAgents, AtTargets: unnamedTargets}[at]
	} else if w.namespace != unnamedTargets {
		places[w.namespace] = at
	}
	if !d.facts.guest() { // others keep their labels
		d.labelNamespace(pods, w)
	}
	return w, nil
}

// labelNamespace gives the namespace of pods the labels that a candidate wishes, where none are
// given, and those that the files have for it.
func (d *derivation) labelNamespace(pods *Pods, w wish) {
	if len(pods.NamespaceLabels) == 0 {
		pods.NamespaceLabels = maps.Clone(w.namespaceLabels)
		if pods.NamespaceLabels == nil {
			pods.NamespaceLabels = make(map[string]string)
		}
	}
	if !w.bound {
		return
	}
	for key, value := range d.inFiles[w.namespace] {
		if _, known := pods.NamespaceLabels[key]; !known && key != corev1.LabelMetadataName {
			pods.NamespaceLabels[key] = value
		}
	}
}

// leavePatched takes from the pods and their namespaces what the trigger's own patches give them.
func (t *Trigger) leavePatched() {
	for _, object := range t.Apply {
		if !isPatch(object) {
			continue
		}
		from := &t.Targets.NamespaceLabels
		switch {
		case object.GetKind() == "Pod":
			from = &t.Agents.Labels
		case object.GetName() == ofAgents:
			from = &t.Agents.NamespaceLabels
		}

		*from = maps.Clone(*from)
		for key := range object.GetLabels() {
			delete(*from, key)
		}
	}
}

// finish completes a change and looks whether it shows what it is to.
func (d *derivation) finish(
	c candidate, t Trigger, s setting.Settings, agents, targets wish,
) (Derived, error) {
	t.SameNamespace = agents.namespace == targets.namespace
	if s.Given("same-namespace") && t.SameNamespace != d.settings.Own.SameNamespace {
		return Derived{}, fmt.Errorf("%w: --same-namespace=%v, and this needs the contrary",
			errOverridden, d.settings.Own.SameNamespace)
	}
	if t.SameNamespace {
		both := maps.Clone(t.Agents.NamespaceLabels)
		maps.Copy(both, t.Targets.NamespaceLabels)
		t.Agents.NamespaceLabels, t.Targets.NamespaceLabels = both, both
		name := cmp.Or(t.Targets.Namespace, t.Agents.Namespace)
		if cmp.Or(t.Agents.Namespace, name) != name {
			return Derived{}, fmt.Errorf("%w: --from-namespace and --to-namespace differ, and "+
				"this is about one namespace", errOverridden)
		}
		t.Agents.Namespace, t.Targets.Namespace = name, name
	}

	d.placeOthers(&t)
	if err := d.facts.fit(t, agents, targets); err != nil {
		return Derived{}, err
	}
	d.removeNamespaces(&t)
	t.leavePatched()
	if err := d.show(&t, s, agents.namespace, targets.namespace); err != nil {
		return Derived{}, err
	}

	s.Own.From, s.Own.To = labelText(t.Agents.Labels), labelText(t.Targets.Labels)
	s.Own.SameNamespace = t.SameNamespace
	s.Own.FromNamespace = namespaceSetting(t.Agents)
	s.Own.ToNamespace = namespaceSetting(t.Targets)
	derived := Derived{Trigger: t, Settings: s}
	if len(d.policies) > 0 {
		derived.Source = c.at
	}
	return derived, nil
}

// placeOthers gives each further namespace of the files one of its own.
func (d *derivation) placeOthers(t *Trigger) {
	names := d.order
	if len(d.policies) > 0 && !d.facts.guest() {
		for _, object := range slices.Concat(t.Before, t.Apply, t.Delete) {
			if isNamespace(object) {
				names = append(names, object.GetName())
			}
		}
	}
	for _, name := range names {
		if _, placed := t.Namespaces[name]; !placed {
			t.Namespaces[name] = Elsewhere + Place(len(t.Others))
			t.Others = append(t.Others, d.inFiles[name])
		}
	}
}

// removeNamespaces takes the namespaces that have a place out of the objects: the run creates those
// that stand for them, with their labels, or they exist.
func (d *derivation) removeNamespaces(t *Trigger) {
	for _, objects := range []*[]Object{&t.Before, &t.Apply, &t.Delete} {
		*objects = slices.DeleteFunc(slices.Clone(*objects), func(object Object) bool {
			_, placed := t.Namespaces[object.GetName()]
			return isNamespace(object) && (placed || d.facts.guest())
		})
	}
}

func labelText(all map[string]string) string { return labels.Set(all).String() }

func namespaceSetting(pods Pods) string {
	parts := []string{pods.Namespace, labelText(pods.NamespaceLabels)}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ",")
}

// show decides whether isolation is in force before, and says why the change would not show what it
// is to.
func (d *derivation) show(t *Trigger, s setting.Settings, agents, targets string) error {
	created := !s.Own.Delete && s.Own.Replace == ""
	t.Isolated = s.Own.Before == "" && s.Own.Replace == "" &&
		created == (t.Want == measure.StateAllowed)
	if len(d.policies) == 0 || slices.ContainsFunc(slices.Concat(t.Before, t.Apply), isOpaque) {
		return nil // what they do is for the network to show
	}

	all, addresses := d.facts.Labels(*t), d.addresses(s.Family)
	p := pair{
		agents: end{
			what: ofAgents, namespace: agents, addresses: addresses,
			pods: selectable{"the agents", all.Agents, t.Agents.Labels},
			home: d.facts.AgentNamespace.selectable(ofAgents, agents, t.Agents, all.AgentNamespace),
		},
		targets: end{
			what: ofTargets, namespace: targets, addresses: addresses,
			pods: selectable{"the targets", all.Targets, t.Targets.Labels},
			home: d.facts.TargetNamespace.selectable(ofTargets, targets, t.Targets,
				all.TargetNamespace),
		},
		protocol: corev1.Protocol(s.Protocol), port: t.Port,
	}
	if err := t.shows(p, s.Direction, false); err != nil {
		return err
	}
	t.isolateAgents(p, s.Direction)
	if !slices.ContainsFunc(d.policies, namesBlocks) {
		return nil
	}
	trigger, direction := *t, s.Direction
	t.verify = func(agents, targets []netip.Addr) error {
		return trigger.verifyAll(p, direction, agents, targets)
	}
	return nil
}

// namesBlocks reports whether a policy is about addresses.
func namesBlocks(policy networkingv1.NetworkPolicy) bool { return len(blocksOf(policy)) > 0 }

// blocksOf are the blocks of addresses that a policy names.
func blocksOf(policy networkingv1.NetworkPolicy) []*networkingv1.IPBlock {
	var all []*networkingv1.IPBlock
	for _, ingress := range []bool{true, false} {
		rules, _ := rulesOf(policy, ingress)
		for _, rule := range rules {
			for _, peer := range rule.peers {
				if peer.IPBlock != nil {
					all = append(all, peer.IPBlock)
				}
			}
		}
	}
	return all
}

// addresses are where pods of a family are: where that is not known, in the blocks for private use
// (RFC 1918, RFC 4193), from which networks of pods are taken.
func (d *derivation) addresses(family string) []netip.Prefix {
	of := func(prefix netip.Prefix) bool {
		return prefix.Addr().Is6() != (family == setting.IPv6)
	}
	if known := slices.DeleteFunc(slices.Clone(d.facts.Pods), of); len(known) > 0 {
		return known
	}
	return slices.DeleteFunc([]netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
	}, of)
}

// shows says why the change does not bring a pair from the contrary of what is expected to that.
// Isolation counts if it is asked for.
func (t Trigger) shows(p pair, direction string, isolated bool) error {
	before, why, err := t.verdict(p, direction, isolated || t.Isolated, false)
	switch {
	case err != nil:
		return err
	case before == (t.Want == measure.StateAllowed):
		return fmt.Errorf("it is %s before the change already%s", t.Want, because(why))
	}

	after, why, err := t.verdict(p, direction, isolated || t.Isolated, true)
	switch {
	case err != nil:
		return err
	case after != (t.Want == measure.StateAllowed):
		return fmt.Errorf("it is not %s after the change%s", t.Want, because(why))
	}
	return nil
}

func because(why string) string {
	if why == "" {
		return ": no policy is about the pods of the run"
	}
	return ": " + why
}

// verdict says whether a pair is allowed before or after the change, and why.
func (t Trigger) verdict(
	p pair, direction string, isolated, after bool,
) (allowed bool, why string, err error) {
	objects := t.Before
	if after {
		objects = slices.Concat(without(without(t.Before, t.Delete), t.Apply), t.Apply)
	}
	policies, err := networkPolicies(objects)
	if err != nil {
		return false, "", err
	}
	for _, object := range objects {
		p = p.patched(object)
	}

	if isolated {
		w := Parameters{
			AgentNamespace: p.agents.namespace, TargetNamespace: p.targets.namespace,
			From: RoleAgent,
		}
		w.Direction = direction
		isolation := w.isolation()
		isolation.Name = "" // it is no policy of the user's, whom messages tell of theirs
		policies = append(policies, *isolation)
	}
	allowed, why = p.verdict(policies)
	return allowed, why, nil
}

// patched is the pair once a patch of its pods or namespaces is applied.
func (p pair) patched(object Object) pair {
	if !isPatch(object) {
		return p
	}
	switch found := object.GetLabels(); {
	case object.GetKind() == "Pod":
		p.agents = p.agents.with(found, nil)
	case object.GetName() == ofAgents:
		p.agents = p.agents.with(nil, found)
	default:
		p.targets = p.targets.with(nil, found)
	}
	return p
}

// isolateAgents decides about isolation that changes nothing of what is measured: where the
// policies isolate the pods anyway it makes the proof of the old state a proof, and keeps the
// agents' way to the API server.
func (t *Trigger) isolateAgents(p pair, direction string) {
	if !t.Isolated && t.shows(p, direction, true) == nil {
		t.Isolated = true
	}
	policies, err := networkPolicies(slices.Concat(t.Before, t.Apply))
	if err != nil || direction == setting.Egress || !t.Isolated ||
		t.Want != measure.StateAllowed {
		return
	}
	t.KeepAPI = slices.ContainsFunc(policies, func(policy networkingv1.NetworkPolicy) bool {
		_, about := rulesOf(policy, false)
		return about && p.agents.missed(policy) == ""
	})
}

// verifyAll is shows for pods whose addresses are known.
func (t Trigger) verifyAll(p pair, direction string, agents, targets []netip.Addr) error {
	one := func(addresses []netip.Addr, number int) []netip.Prefix {
		address := addresses[number%len(addresses)]
		return []netip.Prefix{netip.PrefixFrom(address, address.BitLen())}
	}
	if len(agents) == 0 || len(targets) == 0 {
		return nil
	}
	for number := range max(len(agents), len(targets)) {
		p.agents.addresses, p.targets.addresses = one(agents, number), one(targets, number)
		if err := t.shows(p, direction, false); err != nil {
			return fmt.Errorf("nothing can be measured of --policy: %w", err)
		}
	}
	return nil
}
