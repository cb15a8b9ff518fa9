// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// TestDeletePods has an API server that needs several requests, and one whose answer is no.
func TestDeletePods(t *testing.T) {
	refused := errors.New("no")
	tests := map[string]struct {
		answers []error // of the requests in turn; the last removes what is left
		want    error
	}{
		"at once":                     {[]error{nil}, nil},
		"a request's time is over":    {[]error{apierrors.NewTimeoutError("slow", 0), nil}, nil},
		"a part is left":              {[]error{nil, nil}, nil},
		"the server does not want to": {[]error{refused}, refused},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n",
				Name: "p"}})
			requests := 0
			client.PrependReactor(
				"delete-collection",
				"pods",
				func(clienttesting.Action) (bool, runtime.Object, error) {
					err := test.answers[requests]
					if requests++; requests == len(test.answers) && err == nil {
						return true, nil, client.Tracker().
							Delete(v1.SchemeGroupVersion.WithResource("pods"), "n", "p")
					}
					return true, nil, err
				},
			)
			err := deletePods(t.Context(), &kube.Cluster{Interface: client}, "n", "", func(int) {})
			if !errors.Is(err, test.want) || requests != len(test.answers) {
				t.Errorf("%d requests ended with %v; want %d and %v", requests, err,
					len(test.answers), test.want)
			}
		})
	}
}

// clusterOf is a cluster with some objects, which serves a few kinds.
func clusterOf(t *testing.T, objects ...runtime.Object) *kube.Cluster {
	t.Helper()
	rbac := rbacv1.SchemeGroupVersion
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(rbac.WithKind("ClusterRole"), meta.RESTScopeRoot)
	mapper.Add(rbac.WithKind("Role"), meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, meta.RESTScopeRoot)

	var typed []runtime.Object
	for _, object := range objects {
		if namespace, ok := object.(*v1.Namespace); ok {
			typed = append(typed, namespace.DeepCopy())
		}
	}
	return kube.NewCluster(fake.NewClientset(typed...),
		dynamicfake.NewSimpleDynamicClient(scheme.Scheme, objects...), metadataOf(t), mapper)
}

// TestCleanupIsNobodysDeputy lists, on a namespace with the labels of a run, what others have: an
// administrator's cleanup deletes nothing of it, and says so.
func TestCleanupIsNobodysDeputy(t *testing.T) {
	of := func(name, runID, besides string) *v1.Namespace {
		return &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: ownLabels(runID),
			Annotations: map[string]string{clusterScopedAnnotation: besides}}}
	}
	role := func(name string, labels map[string]string) *rbacv1.ClusterRole {
		return &rbacv1.ClusterRole{TypeMeta: kind("rbac.authorization.k8s.io/v1", "ClusterRole"),
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: "1", Labels: labels}}
	}
	const group = `"apiVersion":"rbac.authorization.k8s.io/v1"`
	const mine = "netpol-latency-x-0-policy-agents"
	theirs := []runtime.Object{role("cluster-admin", nil), role("of-y", ownLabels("y")),
		&v1.Namespace{TypeMeta: kind("v1", "Namespace"),
			ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}}}

	tests := []struct {
		name      string
		namespace *v1.Namespace
		removed   bool
		left      []string
	}{
		{"the run's own", of(mine, "x", `[{"kind":"ClusterRole",`+group+
			`,"metadata":{"name":"of-x"}}]`), true, nil},
		{"what is gone", of(mine, "x", `[{"kind":"ClusterRole",`+group+
			`,"metadata":{"name":"gone"}}]`), true, nil},
		{"a role of others", of(mine, "x", `[{"kind":"ClusterRole",`+group+
			`,"metadata":{"name":"cluster-admin"}}]`), true,
			[]string{"ClusterRole cluster-admin is left alone: it does not carry the label " +
				"netpol-latency/run=x"}},
		{"a role of another run", of(mine, "x", `[{"kind":"ClusterRole",`+group+
			`,"metadata":{"name":"of-y"}}]`), true,
			[]string{"ClusterRole of-y is left alone: it does not carry"}},
		{"a namespace", of(mine, "x", `[{"kind":"Namespace","apiVersion":"v1",`+
			`"metadata":{"name":"kube-system"}}]`), true,
			[]string{"Namespace kube-system is left alone: it does not carry"}},
		{"what lives in a namespace", of(mine, "x", `[{"kind":"Role",`+group+
			`,"metadata":{"name":"r","namespace":"kube-system"}}]`), true,
			[]string{"Role r is left alone: namespace " + mine + " names it, and objects in"}},
		{"a kind that nobody knows", of(mine, "x", `[{"kind":"Odd","apiVersion":"v1",`+
			`"metadata":{"name":"o"}}]`), true,
			[]string{"Odd o is left alone: namespace " + mine + " names it, and the API serves"}},
		{"no list", of(mine, "x", `{`), true, []string{"it cannot be read"}},
		{"another name", of("production", "x", ""), false,
			[]string{"namespace production is left alone: it carries the label " +
				"netpol-latency/run=x"}},
		{"a name that was given", of("stage", "x", "[]"), true, nil},
		{"the name of another run", of(mine, "a", ""), false, []string{"is left alone"}},
		{"an ID that is a pattern", of(mine, ".", ""), false, []string{"is left alone"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := append([]runtime.Object{role("of-x", ownLabels("x")), test.namespace}, theirs...)
			cluster := clusterOf(t, all...)
			namespaces, err := Leftovers(t.Context(), cluster, "")
			if err != nil {
				t.Fatal(err)
			}
			removed, left, err := Cleanup(t.Context(), cluster, namespaces,
				[]string{"stage"}, func(Progress) {})
			if err != nil {
				t.Fatal(err)
			}

			if (removed == 1) != test.removed {
				t.Errorf("%d namespaces are removed", removed)
			}
			if len(left) != len(test.left) {
				t.Fatalf("it says %q; want %q", left, test.left)
			}
			for i, want := range test.left {
				if !strings.Contains(left[i], want) {
					t.Errorf("it says %q; want %q in it", left[i], want)
				}
			}
			for _, object := range theirs {
				if found, err := cluster.Exists(t.Context(), object); !found {
					t.Errorf("%v is gone: %v", object, err)
				}
			}
			own, err := cluster.Exists(t.Context(), role("of-x", nil))
			if err != nil || own == (test.name == "the run's own") {
				t.Errorf("the run's own object is there: %t, %v", own, err)
			}
		})
	}
}

// TestNamespacesAreFoundAgain holds the names that a run gives against those that its cleanup takes
// for them.
func TestNamespacesAreFoundAgain(t *testing.T) {
	for _, runID := range []string{"1f2e3d4c", "a-b", "kept"} {
		for _, scenario := range []string{"policy-creation", "pod-startup", "policy"} {
			name := namespacePrefix(runID, 12, scenario) + agentsSuffix
			if !namespaceOf(runID).MatchString(name) {
				t.Errorf("namespace %s is not taken for one of run %s", name, runID)
			}
		}
	}
}

// TestResetLeavesPoliciesOfOthers begins an iteration beside a policy that somebody else has put
// into the run's namespace.
func TestResetLeavesPoliciesOfOthers(t *testing.T) {
	env := newEnvironment(Options{RunID: "x"}, scenario.Custom(scenario.Trigger{}),
		nil, nil, func(Progress) {})
	policy := func(name string, labels map[string]string) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
			Namespace: env.parameters.TargetNamespace, Name: name, Labels: labels}}
	}
	client := fake.NewClientset(policy("theirs", nil), policy("ours", ownLabels("x")))
	env.cluster = kube.NewCluster(client, nil, nil, nil)
	env.collector = newCollector(kube.Namespace{}, setting.ClockAuto)
	if err := env.reset(t.Context()); err != nil {
		t.Fatal(err)
	}

	list, err := client.NetworkingV1().NetworkPolicies("").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "theirs" {
		t.Errorf("left are %v, %v; want the policy of others alone", list.Items, err)
	}
	want := []string{"policy netpol-latency-x-0-policy-targets/theirs is not of this run: it " +
		"stays in force"}
	if diff := cmp.Diff(want, env.warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestDeletePodsPauses deletes a pod that stays for a minute: the API server is asked seldom.
func TestDeletePodsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n",
			Name: "p", UID: "1"}})
		client.PrependReactor("delete-collection", "pods",
			func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, nil })
		gone := time.AfterFunc(time.Minute, func() {
			_ = client.Tracker().Delete(v1.SchemeGroupVersion.WithResource("pods"), "n", "p")
		})
		defer gone.Stop()
		err := deletePods(t.Context(), &kube.Cluster{Interface: client}, "n", "", func(int) {})
		if got := len(client.Actions()); err != nil || got > 80 {
			t.Errorf("%d requests in a minute, %v; want at most 80", got, err)
		}
	})
}

// TestRemovalTakesAsLongAsThereIsToRemove gives what is left more time the more that is.
func TestRemovalTakesAsLongAsThereIsToRemove(t *testing.T) {
	tests := []struct {
		name, scenario string
		change         func(*Options)
		want           time.Duration // beyond that of namespaces, agents and two targets
	}{
		{"a few pods", "policy-deny", func(*Options) {}, 0},
		{"many targets", "policy-deny", func(o *Options) { o.Targets = 1002 }, 50 * time.Second},
		{"many pods that come", "pod-creation", func(o *Options) {
			o.CreateRate, o.ChurnFor = 100, 10*time.Second
		}, 49900 * time.Millisecond},
		{"many agents", "policy-deny", func(o *Options) { o.Agents = 101 }, 5 * time.Second},
		{"many policies", "policy-deny", func(o *Options) { o.BackgroundPolicies = 1000 },
			20 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := scenario.Find(test.scenario)
			check(t, err)
			options := DefaultOptions()
			options.Targets = 2
			few := newEnvironment(options, s, nil, nil, nil).removalTime()
			test.change(&options)
			if got := newEnvironment(options, s, nil, nil, nil).removalTime() - few; got !=
				test.want {
				t.Errorf("%s more; want %s", got, test.want)
			}
		})
	}
}
