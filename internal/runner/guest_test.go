// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// asGuest is a scenario of a run in a namespace that it shares.
func asGuest(runID string, number int, name, direction string) *environment {
	options := DefaultOptions()
	options.RunID, options.Number, options.AgentNamespace = runID, number, "shared"
	options.Direction = direction
	s, err := scenario.Find(name)
	if err != nil {
		panic(err)
	}
	return newEnvironment(options, s, nil, nil, func(Progress) {})
}

// written are the objects that a scenario writes.
func written(e *environment) []runtime.Object {
	e.parameters.AgentPods = []string{e.name("agent-0-abcde")}
	all := e.preview()
	return slices.Concat(all.Before, all.Triggers, e.createdPods())
}

// podsOf are the labels of the pods of a scenario.
func podsOf(e *environment) []labels.Set {
	agents := e.agents().(*batchv1.Job).Spec.Template.Labels
	starters := labels.Merge(agents, labels.Set{scenario.RoleLabel: scenario.RoleStartup})
	all := []labels.Set{agents, starters}
	for _, group := range []string{scenario.GroupA, scenario.GroupB, scenario.GroupC} {
		all = append(all, labels.Merge(e.targetPod(0, 0).Labels,
			labels.Set{scenario.GroupLabel: group}))
	}
	return all
}

// selectorsOf are the selectors of pods in a policy.
func selectorsOf(policy *networkingv1.NetworkPolicy) []metav1.LabelSelector {
	all := []metav1.LabelSelector{policy.Spec.PodSelector}
	var peers []networkingv1.NetworkPolicyPeer
	for _, rule := range policy.Spec.Ingress {
		peers = append(peers, rule.From...)
	}
	for _, rule := range policy.Spec.Egress {
		peers = append(peers, rule.To...)
	}
	for _, peer := range peers {
		if peer.PodSelector != nil {
			all = append(all, *peer.PodSelector)
		}
	}
	return all
}

// TestGuestsDoNotMeet puts two runs, and two scenarios of one, into one namespace: no object has
// the name of another, no selector matches pods of the other, and each matches some of its own.
func TestGuestsDoNotMeet(t *testing.T) {
	for _, s := range scenario.All() {
		if s.OwnNamespaces != "" {
			continue
		}
		for _, direction := range []string{setting.Egress, setting.Ingress} {
			t.Run(s.Name+"/"+direction, func(t *testing.T) {
				mine := asGuest("x", 0, s.Name, direction)
				for _, other := range []*environment{
					asGuest("y", 0, s.Name, direction), asGuest("x", 1, s.Name, direction),
				} {
					expectApart(t, mine, other)
				}
			})
		}
	}
}

func expectApart(t *testing.T, mine, other *environment) {
	t.Helper()
	names := make(map[string]bool)
	name := func(object runtime.Object) string {
		about, err := meta.Accessor(object)
		check(t, err)
		return object.GetObjectKind().GroupVersionKind().Kind + " " + about.GetName()
	}
	for _, object := range written(other) {
		names[name(object)] = true
	}

	for _, object := range written(mine) {
		if names[name(object)] {
			t.Errorf("both have %s", name(object))
		}
		about, err := meta.Accessor(object)
		check(t, err)
		if about.GetNamespace() != "shared" || about.GetLabels()[scopeLabel] != "x-0" &&
			object.GetObjectKind().GroupVersionKind().Kind != "Pod" {
			t.Errorf("%s in namespace %q has the labels %v", name(object), about.GetNamespace(),
				about.GetLabels())
		}
		policy, is := object.(*networkingv1.NetworkPolicy)
		if !is {
			continue
		}
		for _, one := range selectorsOf(policy) {
			selector, err := metav1.LabelSelectorAsSelector(&one)
			check(t, err)
			matches := func(pod labels.Set) bool { return selector.Matches(pod) }
			side := one.MatchLabels[scenario.SideLabel] != "" // which pods get later
			if !side && !slices.ContainsFunc(podsOf(mine), matches) {
				t.Errorf("%s: %s matches none of its own pods", name(object), selector)
			}
			if slices.ContainsFunc(podsOf(other), matches) {
				t.Errorf("%s: %s matches pods of the other", name(object), selector)
			}
		}
	}
}

// ownChange is a change of the user's own as a guest.
func ownChange(labels map[string]string, objects ...scenario.Object) *environment {
	trigger := scenario.Trigger{
		Apply: objects, Namespaces: map[string]scenario.Place{"": scenario.AtTargets},
		Targets: scenario.Pods{Labels: labels}, SameNamespace: true, Isolated: true,
		Want: measure.StateAllowed,
	}
	options := DefaultOptions()
	options.RunID, options.AgentNamespace, options.Trigger = "x", "shared", &trigger
	return newEnvironment(options, scenario.Custom(trigger), nil, nil, func(Progress) {})
}

// TestGuestsOwnChange writes a policy of the user's into a namespace that exists: under a name of
// the run, for its pods alone, whatever its selector looks like.
func TestGuestsOwnChange(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"all pods":    {"podSelector": map[string]any{}},
		"no selector": {},
		"null":        {"podSelector": map[string]any{"matchLabels": nil}},
		"labels": {"podSelector": map[string]any{"matchLabels": map[string]any{
			"app": "api"}}},
	} {
		t.Run(name, func(t *testing.T) {
			policy := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
				"metadata": map[string]any{"name": "api"}, "spec": spec,
			}}
			e := ownChange(map[string]string{"app": "api"}, scenario.Object{
				Unstructured: policy, Namespaced: true,
			})
			written := e.preview().Triggers[0].(*unstructured.Unstructured)
			if written.GetName() != "netpol-latency-x-0-api" ||
				written.GetNamespace() != "shared" || written.GetLabels()[scopeLabel] != "x-0" {
				t.Errorf("the policy is %v", written.Object)
			}

			var typed networkingv1.NetworkPolicy
			check(t, runtime.DefaultUnstructuredConverter.FromUnstructured(written.Object, &typed))
			selector, err := metav1.LabelSelectorAsSelector(&typed.Spec.PodSelector)
			check(t, err)
			_, target, err := e.finalLabels()
			check(t, err)
			if !selector.Matches(target) || selector.Matches(labels.Set{"app": "api"}) {
				t.Errorf("it selects %s", selector)
			}
		})
	}
}

// TestServicesOfOthers finds services that would lead their clients to pods of a run.
func TestServicesOfOthers(t *testing.T) {
	service := func(name string, selector map[string]string) runtime.Object {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shared", Name: name},
			Spec: corev1.ServiceSpec{Selector: selector}}
	}
	for _, test := range []struct {
		name    string
		service runtime.Object
		want    string
	}{
		{"of another application", service("web", map[string]string{"app": "web"}), ""},
		{"without a selector", service("outside", nil), ""},
		{"of the same labels", service("api", map[string]string{"app": "api"}),
			`service shared/api selects "app=api", which pods of this run would be`},
		{"of more labels", service("api", map[string]string{"app": "api", "tier": "x"}), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := ownChange(map[string]string{"app": "api"})
			e.cluster = kube.NewCluster(fake.NewClientset(test.service), nil, nil, nil)
			err := e.checkServices(t.Context())
			if (err == nil) != (test.want == "") ||
				err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("checkServices() = %v; want %q", err, test.want)
			}
		})
	}
}

// TestGuestRefusals refuses what cannot be done in namespaces that exist.
func TestGuestRefusals(t *testing.T) {
	tests := []struct {
		name, scenario, want string
		change               func(*Options)
	}{
		{"in one namespace", "policy-deny", "", func(o *Options) { o.AgentNamespace = "a" }},
		{"in two", "policy-deny", "", func(o *Options) {
			o.AgentNamespace, o.TargetNamespace = "a", "b"
		}},
		{"only the targets'", "policy-deny", "expected --namespace with it",
			func(o *Options) { o.TargetNamespace = "b" }},
		{"no name", "policy-deny", `--namespace "A B": expected the name of a namespace`,
			func(o *Options) { o.AgentNamespace = "A B" }},
		{"a label of a namespace", "namespace-label",
			"scenario namespace-label labels a namespace: expected namespaces of the run's own",
			func(o *Options) { o.AgentNamespace = "a" }},
		{"labels for a namespace", "policy-deny", "--from-namespace and --to-namespace are about",
			func(o *Options) { o.AgentNamespace, o.Own.ToNamespace = "a", "team=red" }},
		{"a patch of namespaces", "policy-deny", "--namespace-patch is for namespaces that",
			func(o *Options) { o.AgentNamespace, o.NamespacePatch = "a", "{}" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := scenario.Find(test.scenario)
			check(t, err)
			options := DefaultOptions()
			test.change(&options)
			err = options.Validate(s)
			if (err == nil) != (test.want == "") ||
				err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Validate() = %v; want %q", err, test.want)
			}
		})
	}
}

// TestRightsOfGuests asks what a user may do, before anything is created.
func TestRightsOfGuests(t *testing.T) {
	tests := []struct {
		name    string
		guest   bool
		refused func(authorizationv1.ResourceAttributes) bool
		want    string
	}{
		{"everything", true,
			func(authorizationv1.ResourceAttributes) bool { return false }, ""},
		{"no roles", true, func(a authorizationv1.ResourceAttributes) bool {
			return a.Group == "rbac.authorization.k8s.io" && a.Verb != "list"
		}, "this user may not create, patch, delete rolebindings.rbac.authorization.k8s.io; " +
			"create, patch, delete roles.rbac.authorization.k8s.io in namespace shared: expected"},
		{"no logs", true,
			func(a authorizationv1.ResourceAttributes) bool { return a.Subresource == "log" },
			"this user may not get pods/log in namespace shared: expected"},
		{"no namespaces", false,
			func(a authorizationv1.ResourceAttributes) bool { return a.Resource == "namespaces" },
			"this user may not create namespaces: expected --namespace and --target-namespace"},
		{"nothing but namespaces", false,
			func(a authorizationv1.ResourceAttributes) bool { return a.Resource != "namespaces" },
			""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := asGuest("x", 0, "policy-deny", setting.Egress)
			if !test.guest {
				env.options.AgentNamespace = ""
			}
			client := fake.NewClientset()
			client.PrependReactor("create", "selfsubjectaccessreviews",
				func(action clienttesting.Action) (bool, runtime.Object, error) {
					review := action.(clienttesting.CreateAction).GetObject().
						DeepCopyObject().(*authorizationv1.SelfSubjectAccessReview)
					review.Status.Allowed = !test.refused(*review.Spec.ResourceAttributes)
					return true, review, nil
				})
			env.cluster = kube.NewCluster(client, nil, nil, servesAll())
			r := &Runner{Cluster: env.cluster, Options: env.options}
			err := errors.Join(r.checkMayCreate(t.Context()), env.checkRights(t.Context()))
			if (err == nil) != (test.want == "") ||
				err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("checkRights() = %v; want %q", err, test.want)
			}
		})
	}
}

// servesAll maps the kinds of Kubernetes itself.
func servesAll() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind := range scheme.Scheme.AllKnownTypes() {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	return mapper
}

// metadataOf is a client of the metadata of some objects.
func metadataOf(t *testing.T, objects ...runtime.Object) *metadatafake.FakeMetadataClient {
	t.Helper()
	known := metadatafake.NewTestScheme()
	check(t, metav1.AddMetaToScheme(known))
	return metadatafake.NewSimpleMetadataClient(known, objects...)
}

// TestClearNamespace removes a run's objects from a namespace, and nothing else of what is there.
func TestClearNamespace(t *testing.T) {
	of := func(kind, name, scope string) *metav1.PartialObjectMetadata {
		object := &metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: "shared", Name: name, UID: "1",
				Labels: map[string]string{RunLabel: "x", scopeLabel: scope}},
		}
		return object
	}
	objects := metadataOf(t, of("ConfigMap", "mine", "x-0"), of("ConfigMap", "other", "x-1"),
		of("Secret", "mine", "x-0"))
	client := fake.NewClientset()
	served := []metav1.APIResource{
		{Name: "configmaps", Kind: "ConfigMap", Namespaced: true,
			Verbs: metav1.Verbs{"list", "delete"}},
		{Name: "secrets", Kind: "Secret", Namespaced: true, Verbs: metav1.Verbs{"list", "delete"}},
		{Name: "bindings", Kind: "Binding", Namespaced: true, Verbs: metav1.Verbs{"create"}},
	}
	client.Resources = []*metav1.APIResourceList{{GroupVersion: "v1", APIResources: served}}

	removed, err := clearNamespace(t.Context(), kube.NewCluster(client, nil, objects, nil),
		"shared", scopeLabel+"=x-0")
	if err != nil || removed != 2 {
		t.Errorf("%d objects are removed, %v; want 2", removed, err)
	}
	var left []string
	for _, resource := range []string{"configmaps", "secrets"} {
		list, err := objects.Resource(schema.GroupVersionResource{Version: "v1",
			Resource: resource}).Namespace("shared").List(t.Context(), metav1.ListOptions{})
		check(t, err)
		for _, one := range list.Items {
			left = append(left, one.Name)
		}
	}
	if diff := cmp.Diff([]string{"other"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// TestPoliciesOfOthersThatMatter tells policies in a shared namespace that select pods of the run
// from those that do not.
func TestPoliciesOfOthersThatMatter(t *testing.T) {
	pods, err := asGuest("x", 0, "policy-deny", setting.Egress).podLabels()
	check(t, err)
	tests := []struct {
		name     string
		selector metav1.LabelSelector
		want     bool
	}{
		{"all pods", metav1.LabelSelector{}, true},
		{"pods of others", metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			false},
		{"all but some", metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"web"}},
		}}, true},
		{"pods of another run", metav1.LabelSelector{
			MatchLabels: map[string]string{scenario.RoleLabel: "agent", scopeLabel: "y-0"},
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			policy := networkingv1.NetworkPolicy{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shared", Name: "theirs"},
				Spec:       networkingv1.NetworkPolicySpec{PodSelector: test.selector},
			}
			if got := selects(policy, pods); got != test.want {
				t.Errorf("it matters: %v; want %v", got, test.want)
			}
		})
	}
}
