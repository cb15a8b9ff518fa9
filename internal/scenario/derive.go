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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Files are the objects of a user's own change as its files have them.
type Files struct{ Before, Policy, Replace []Object }

// Facts are what is known of the cluster and of the run before anything is created.
type Facts struct {
	// Pods are where pods have their addresses, and Families of which families these are: empty if
	// that is not known.
	Pods     []netip.Prefix
	Families []string
	// Labels are those that there will be with a change.
	Labels func(Trigger) Labels
	// AgentNamespace and TargetNamespace are namespaces that exist, empty for new ones.
	AgentNamespace, TargetNamespace Existing
}

// Labels are those of the pods and of their namespaces, whoever gives them.
type Labels struct{ Agents, Targets, AgentNamespace, TargetNamespace map[string]string }

// Derived is a user's own change with everything that its settings leave open.
type Derived struct {
	Trigger  Trigger
	Settings setting.Settings
	// Source is the part of a policy that the settings were read off, empty if they were not, and
	// Passed why an earlier part could not be shown, empty if there is none.
	Source, Passed string
	// LeftOut are objects of the files that are not created.
	LeftOut []string
}

// The names of the namespaces that stand for none of the files.
const (
	unnamedAgents  = "\x00agents"
	unnamedTargets = "\x00targets"
)

// reserved is the prefix of the labels by which a run knows its own.
const reserved = "netpol-latency/"

// Reserved reports whether a label is one by which a run knows its own.
func Reserved(key string) bool { return strings.HasPrefix(key, reserved) }

// Derive reads off the NetworkPolicies in files what the settings leave open: which way the traffic
// goes, whose labels and namespaces it needs, to which port, and what becomes of it. It takes the
// first part of a policy that pods of the run can show: of the rules, what they allow; then of
// those who have none, that they block. The error names what keeps the first one from being shown.
func Derive(files Files, given setting.Settings, facts Facts) (Derived, error) {
	d, err := newDerivation(files, given, facts)
	if err != nil {
		return Derived{}, err
	}

	var first error
	for _, one := range d.candidates() {
		derived, err := d.realize(one)
		if err == nil {
			if first != nil && !errors.Is(first, errOverridden) {
				derived.Passed = first.Error()
			}
			derived.LeftOut = d.leftOut
			return derived, nil
		}
		if first == nil || errors.Is(first, errOverridden) && !errors.Is(err, errOverridden) {
			first = fmt.Errorf("%s: %w", one.at, err)
		}
	}
	if first == nil {
		return Derived{}, errors.New("there is nothing to measure in --policy: expected a policy")
	}
	return Derived{}, fmt.Errorf("nothing can be measured of --policy: %w", first)
}

// errOverridden is why a part of a policy does not count: the flags ask for another.
var errOverridden = errors.New("the flags say otherwise")

// derivation is what is known while settings are read off policies.
type derivation struct {
	files    Files
	settings setting.Settings
	facts    Facts
	// policies are all NetworkPolicies, in the order in which they are looked at.
	policies []networkingv1.NetworkPolicy
	// inFiles are the labels of the namespaces that the files have objects of, name or define.
	inFiles map[string]map[string]string
	order   []string // of those that have objects
	// agents and targets are what is given of them.
	agents, targets Pods
	port            TargetPort
	leftOut         []string
}

func newDerivation(files Files, given setting.Settings, facts Facts) (*derivation, error) {
	d := &derivation{
		files: files, settings: given, facts: facts,
		inFiles: make(map[string]map[string]string),
	}
	own, mistakes := given.Own, []error(nil)
	note := func(err error) { mistakes = append(mistakes, err) }

	note(errors.Join(once("policy", files.Policy), once("before", files.Before),
		once("replace", files.Replace)))
	if facts.guest() {
		note(d.keepPolicies())
	}
	var err error
	d.policies, err = networkPolicies(slices.Concat(d.files.Replace, d.files.Policy,
		d.files.Before))
	note(err)
	d.agents, err = parsePods("from", own.From, own.FromNamespace)
	note(err)
	d.targets, err = parsePods("to", own.To, own.ToNamespace)
	note(err)
	d.port.Number, d.port.Name, _ = setting.ParsePort(own.ToPort)
	if problems := validation.IsValidPortName(d.port.Name); d.port.Name != "" &&
		len(problems) > 0 {
		note(fmt.Errorf("--to-port %q: expected a name that a port can have: %s", own.ToPort,
			strings.Join(problems, "; ")))
	}
	if own.Delete && own.Replace != "" {
		note(errors.New("--delete and --replace exclude each other: expected one"))
	}

	d.findNamespaces()
	return d, errors.Join(mistakes...)
}

// once reports a policy that is twice in the files of a flag: which of the two is meant?
func once(flag string, objects []Object) error {
	var mistakes []error
	for i, object := range objects {
		same := func(o Object) bool { return sameObject(o, object) }
		if isNetworkPolicy(object) && slices.ContainsFunc(objects[:i], same) {
			mistakes = append(mistakes, fmt.Errorf("--%s has %s twice: expected it once", flag,
				nameOf(object)))
		}
	}
	return errors.Join(mistakes...)
}

// findNamespaces notes the namespaces of the files.
func (d *derivation) findNamespaces() {
	all := slices.Concat(d.files.Policy, d.files.Replace, d.files.Before)
	for _, object := range all {
		name := object.GetNamespace()
		if object.Namespaced && !isPatch(object) && !slices.Contains(d.order, name) {
			d.order = append(d.order, name)
			d.inFiles[name] = nil
		}
		rename(object.DeepCopy().Object, func(name string) string {
			if _, known := d.inFiles[name]; !known {
				d.inFiles[name] = nil
			}
			return name
		})
	}

	for _, object := range all {
		if isNamespace(object) {
			d.inFiles[object.GetName()] = object.GetLabels()
		}
	}
}

// isNamespace reports whether an object is a namespace that the user's files define.
func isNamespace(object Object) bool {
	return object.GetKind() == "Namespace" && object.GroupVersionKind().Group == "" &&
		!isPatch(object)
}

// parsePods reads what is given of agents or targets.
func parsePods(flag, text, namespace string) (Pods, error) {
	all, wrong := parseLabels(flag, text)
	pods := Pods{Labels: all}

	var texts []string
	var mistakes []error
	for part := range strings.SplitSeq(namespace, ",") {
		switch part = strings.TrimSpace(part); {
		case strings.Contains(part, "="):
			texts = append(texts, part)
		case part == "":
		case pods.Namespace != "" || len(validation.IsDNS1123Label(part)) > 0:
			mistakes = append(mistakes, fmt.Errorf("--%s-namespace %q: expected one name of a "+
				"namespace, or labels, or both, for example shop,team=red", flag, namespace))
		default:
			pods.Namespace = part
		}
	}

	var err error
	pods.NamespaceLabels, err = parseLabels(flag+"-namespace", strings.Join(texts, ","))
	return pods, errors.Join(append(mistakes, wrong, err)...)
}

// parseLabels reads labels that the run does not need for itself, and Kubernetes does not give.
func parseLabels(flag, text string) (map[string]string, error) {
	found, err := labels.ConvertSelectorToLabelsMap(text)
	if err != nil {
		return nil, fmt.Errorf("--%s %q: expected labels, for example app=web,tier=front: %w", flag,
			text, err)
	}
	for key := range found {
		if Reserved(key) || isKubernetes(key) {
			return nil, fmt.Errorf("--%s %q: the label %s is given by the run or by Kubernetes: "+
				"expected others", flag, text, key)
		}
	}
	return found, nil
}

// isKubernetes reports whether a label is one that Kubernetes gives to pods of Deployments and
// Jobs, or to namespaces (https://kubernetes.io/docs/reference/labels-annotations-taints/).
func isKubernetes(key string) bool {
	return strings.HasPrefix(key, "batch.kubernetes.io/") || slices.Contains([]string{
		"controller-uid", "job-name", "pod-template-hash", corev1.LabelMetadataName,
	}, key)
}

// candidate is a part of a policy, with what pods must be like to show it.
type candidate struct {
	at       string // what messages call it
	ingress  bool
	allowed  bool // what it is about: that it allows, or that it blocks
	port     *networkingv1.NetworkPolicyPort
	family   string
	subject  wish // the pods that the policy selects
	peer     wish // the other side
	unusable error
}

// wish is what pods must be like.
type wish struct {
	labels          map[string]string
	namespaceLabels map[string]string
	// namespace is that of the files, if it must be one: bound.
	namespace string
	bound     bool
}

// candidates are the parts of the policies that a pair may show: those that allow something, those
// that allow nothing, and those that block what they do not allow.
func (d *derivation) candidates() []candidate {
	var allow, deny, rest []candidate
	for _, policy := range d.policies {
		for _, ingress := range []bool{true, false} {
			rules, about := rulesOf(policy, ingress)
			if !about {
				continue
			}
			one := candidate{at: policyName(policy), ingress: ingress, allowed: true}
			one.subject, one.unusable = d.wish(policy.Namespace, &policy.Spec.PodSelector)
			for _, r := range rules {
				allow = append(allow, d.candidatesOf(one, policy.Namespace, r)...)
			}
			one.allowed = false
			one.at += ", spec.policyTypes " + map[bool]string{true: "Ingress",
				false: "Egress"}[ingress]
			if len(rules) == 0 {
				deny = append(deny, one)
			} else {
				rest = append(rest, one)
			}
		}
	}

	switch {
	case len(allow)+len(deny)+len(rest) == 0:
		return d.unknown()
	case d.settings.Own.Delete:
		return slices.Concat(opposite(allow), opposite(deny), opposite(rest))
	case d.settings.Own.Replace != "":
		return slices.Concat(allow, opposite(allow), deny, opposite(deny), rest, opposite(rest))
	}
	return slices.Concat(allow, deny, rest)
}

// opposite are candidates of what goes away: it brings about the contrary of what it says.
func opposite(all []candidate) []candidate {
	all = slices.Clone(all)
	for i := range all {
		all[i].allowed = !all[i].allowed
	}
	return all
}

// candidatesOf are the candidates of a rule: of each peer at each port.
func (d *derivation) candidatesOf(of candidate, namespace string, r rule) []candidate {
	peers := []candidate{of}
	peers[0].at += ", " + r.at
	if len(r.peers) > 0 {
		peers = nil
	}
	for i, peer := range r.peers {
		one := of
		one.at += ", " + r.peerAt(of.ingress, i)
		var err error
		one.peer, err = d.wishOf(namespace, peer)
		one.unusable = cmp.Or(of.unusable, err)
		if peer.IPBlock != nil {
			one.family = familyOf(peer.IPBlock.CIDR)
		}
		peers = append(peers, one)
	}

	if len(r.ports) == 0 {
		return peers
	}
	var all []candidate
	for _, one := range peers {
		for i := range r.ports {
			one.port = &r.ports[i]
			all = append(all, one)
		}
	}
	return all
}

// familyOf is the address family of a block.
func familyOf(cidr string) string {
	if strings.Contains(cidr, ":") {
		return setting.IPv6
	}
	return setting.IPv4
}

// unknown are candidates of objects whose meaning is not known: everything must be given.
func (d *derivation) unknown() []candidate {
	at := slices.IndexFunc(d.files.Policy, func(o Object) bool { return o.Namespaced })
	one := candidate{
		at:      "there is no NetworkPolicy" + named(d.files.Policy),
		ingress: d.settings.Direction == setting.Ingress,
		allowed: d.settings.Own.Expect == setting.ExpectAllowed,
	}
	if d.settings.Own.Expect == "" {
		one.unusable = errors.New("--expect: expected allowed or blocked: what they bring about " +
			"is read off NetworkPolicies alone")
	}
	if at >= 0 {
		one.subject = wish{namespace: d.files.Policy[at].GetNamespace(), bound: true}
	}
	return []candidate{one}
}

// named lists objects for a message.
func named(objects []Object) string {
	const shown = 3
	var names []string
	for i, object := range objects {
		if i == shown {
			names = append(names, "…")
			break
		}
		names = append(names, nameOf(object))
	}
	if len(names) == 0 {
		return ""
	}
	return ", but " + strings.Join(names, ", ")
}

// wishOf is what pods must be like to be a peer of a rule in a namespace.
func (d *derivation) wishOf(
	namespace string, peer networkingv1.NetworkPolicyPeer,
) (wish, error) {
	switch {
	case peer.IPBlock != nil:
		return wish{}, nil
	case peer.NamespaceSelector == nil:
		return d.wish(namespace, peer.PodSelector)
	}

	found, err := wantedLabels("namespaceSelector", peer.NamespaceSelector)
	if err != nil {
		return wish{}, err
	}
	one, err := d.wish("", cmp.Or(peer.PodSelector, &metav1.LabelSelector{}))
	one.namespace, one.bound = d.selected(peer.NamespaceSelector, found)
	delete(found, corev1.LabelMetadataName)
	one.namespaceLabels = found
	return one, err
}

// selected is the namespace of the files that a selector means, if it means one of them.
func (d *derivation) selected(
	selector *metav1.LabelSelector, wanted map[string]string,
) (name string, ok bool) {
	if name, ok := wanted[corev1.LabelMetadataName]; ok {
		return name, true
	}
	matcher, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil || matcher.Empty() {
		return "", false
	}
	for _, name := range slices.Sorted(maps.Keys(d.inFiles)) {
		all := labels.Merge(d.inFiles[name], labels.Set{corev1.LabelMetadataName: name})
		if len(d.inFiles[name]) > 0 && matcher.Matches(all) {
			return name, true
		}
	}
	return "", false
}

// wish is what pods of a namespace must be like for a selector.
func (d *derivation) wish(namespace string, pods *metav1.LabelSelector) (wish, error) {
	found, err := wantedLabels("podSelector", pods)
	return wish{labels: found, namespace: namespace, bound: true}, err
}

// wantedLabels are labels that a selector matches, as few as will do.
func wantedLabels(what string, selector *metav1.LabelSelector) (map[string]string, error) {
	matcher, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	found := maps.Clone(selector.MatchLabels)
	if found == nil {
		found = make(map[string]string)
	}

	for _, one := range selector.MatchExpressions {
		_, known := found[one.Key]
		switch {
		case known:
		case one.Operator == metav1.LabelSelectorOpIn:
			found[one.Key] = anyOf(matcher, one)
		case one.Operator == metav1.LabelSelectorOpExists && one.Key != corev1.LabelMetadataName:
			found[one.Key] = "netpol-latency"
		}
	}
	for key := range found {
		if Reserved(key) {
			delete(found, key) // the pods have it, or nobody
		} else if isKubernetes(key) && (what == "podSelector" || key != corev1.LabelMetadataName) {
			return nil, fmt.Errorf("%s names the label %s, which Kubernetes gives", what, key)
		}
	}
	all := labels.Merge(labels.Set{corev1.LabelMetadataName: "netpol-latency"}, found)
	if !matcher.Matches(all) && !slices.ContainsFunc(keys(selector), Reserved) {
		return nil, fmt.Errorf("%s %q matches nothing at all", what,
			metav1.FormatLabelSelector(selector))
	}
	return found, nil
}

// anyOf is the first value of an expression that no other one of the selector excludes.
func anyOf(matcher labels.Selector, one metav1.LabelSelectorRequirement) string {
	requirements, _ := matcher.Requirements()
	for _, value := range one.Values {
		excluded := slices.ContainsFunc(requirements, func(r labels.Requirement) bool {
			return r.Key() == one.Key && !r.Matches(labels.Set{one.Key: value})
		})
		if !excluded {
			return value
		}
	}
	return one.Values[0]
}

// keys are the labels that a selector names.
func keys(selector *metav1.LabelSelector) []string {
	all := slices.Collect(maps.Keys(selector.MatchLabels))
	for _, one := range selector.MatchExpressions {
		all = append(all, one.Key)
	}
	return all
}
