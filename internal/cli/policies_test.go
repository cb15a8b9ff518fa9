// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// emptyCluster has a node with IPv4 for its pods, namespaces that are given, and an API server that
// takes no policy by the name of quoted.
func emptyCluster(namespaces ...runtime.Object) *kube.Cluster {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"},
		Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.0.0/24"}}}
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind := range scheme.Scheme.AllKnownTypes() {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	dynamic := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())
	dynamic.PrependReactor("create", "*",
		func(action clienttesting.Action) (bool, runtime.Object, error) {
			create := action.(clienttesting.CreateActionImpl)
			about, err := meta.Accessor(create.GetObject())
			if len(create.CreateOptions.DryRun) == 0 || err != nil {
				panic("something is created")
			}
			if about.GetName() != "quoted" {
				return true, create.GetObject(), nil
			}
			return true, nil, apierrors.NewInvalid(schema.GroupKind{Kind: "NetworkPolicy"},
				"quoted", field.ErrorList{field.Invalid(field.NewPath("spec"), "8080", "a letter")})
		})
	client := fake.NewClientset(append(namespaces, node)...)
	return kube.NewCluster(client, dynamic, nil, mapper)
}

// TestPolicyFiles reads what is to be measured off files in the shapes that tutorials, charts and
// operators have, with nothing but their names.
func TestPolicyFiles(t *testing.T) {
	const same = ", same namespace"
	kafka := "strimzi.io/cluster=main,strimzi.io/kind=Kafka,strimzi.io/name=main-kafka"
	tests := []struct{ file, want, passed, wrong string }{
		{file: "01-empty-rules.yaml", want: "ingress, expect blocked"},
		{file: "02-null-labels.yaml", want: "ingress, expect allowed" + same},
		{file: "03-documents.yaml", want: "ingress, to app=web, expect allowed"},
		{file: "04-both-selectors.yaml", want: "ingress, from type=monitoring, to app=web, " +
			"expect allowed, from-namespace team=operations"},
		{file: "05-range-of-ports.yaml",
			want: "ingress, UDP, to app=sfu, to-port 50000, expect allowed"},
		{file: "06-expressions.yaml", want: "ingress, from role=netpol-latency, " +
			"to app=netpol-latency, expect allowed, from-namespace team=red"},
		{file: "07-dns-without-peers.yaml",
			want: "UDP, from app=foo, to-port 53, expect allowed"},
		{file: "08-not-the-metadata-service.yaml", want: "expect allowed"},
		{file: "09-named-ports.yaml", want: "ingress, " +
			"from app.kubernetes.io/instance=events,app.kubernetes.io/name=consumer, " +
			"to app.kubernetes.io/instance=events,app.kubernetes.io/name=kafka, " +
			"to-port 8080=tcp-clients, expect allowed" + same},
		{file: "10-several-rules.yaml", want: "ingress, to app=grafana, to-port 3000, " +
			"expect allowed", passed: "ipBlock 198.51.100.0/24 has no address of the agents"},
		{file: "11-whole-namespace.yaml", want: "UDP, to-port 53, expect allowed"},
		{file: "12-udp.yaml", want: "ingress, UDP, to app=collector, to-port 514, expect allowed"},
		{file: "13-sctp.yaml", want: "ingress, SCTP, from app=gnb, to app=amf, to-port 38412, " +
			"expect allowed" + same},
		{file: "14-crlf.yaml", want: "ingress, to app=dos, expect blocked"},
		{file: "15-byte-order-mark.yaml", want: "ingress, to app=marked, expect blocked"},
		{file: "16-policy.json", want: "ingress, from role=monitoring, to app=apiserver, " +
			"to-port 5000, expect allowed" + same},
		{file: "17-kustomize", wrong: `kustomization.yaml is there: measure what it ` +
			`makes: "kubectl kustomize testdata/policies/17-kustomize | netpol-latency run`},
		{file: "17-kustomize/kustomization.yaml", wrong: "it has no apiVersion and no kind"},
		{file: "18-chart", wrong: `"helm template testdata/policies/18-chart | netpol-latency`},
		{file: "18-chart/templates/policy.yaml", wrong: "is it a template?"},
		{file: "19-helm-output.yaml", want: "ingress, from cache-client=true, " +
			"to app.kubernetes.io/instance=cache,app.kubernetes.io/name=cache, to-port 6379, " +
			"expect allowed" + same},
		{file: "20-as-printed.yaml", want: "ingress, expect allowed"},
		{file: "21-generated-name.yaml", wrong: "metadata.generateName is for objects that are"},
		{file: "22-kube-system.yaml",
			want: "ingress, to k8s-app=kube-dns, to-port 53, expect allowed"},
		{file: "23-ipv6-first.yaml", want: "from app=crawler, to-port 443, expect allowed",
			passed: "its block is of IPv6, and pods of this cluster have addresses of IPv4 alone"},
		{file: "24-isolate.yaml", want: "ingress, from app=web, to app=api, expect allowed" + same},
		{file: "25-meshed-namespaces.yaml", want: "ingress, to app=api, expect allowed, " +
			"from-namespace istio-injection=enabled,pod-security.kubernetes.io/enforce=baseline"},
		{file: "26-empty-value.yaml", want: "ingress, expect allowed, " +
			"from-namespace policy-group.network.openshift.io/ingress="},
		{file: "27-not-jobs.yaml", want: "ingress, expect blocked",
			passed: `spec.podSelector "!job-name" does not match the labels of the agents`},
		{file: "28-replica.yaml", want: "ingress, from statefulset.kubernetes.io/pod-name=db-1, " +
			"to statefulset.kubernetes.io/pod-name=db-0, to-port 5432, expect allowed" + same},
		{file: "29-quoted-port.yaml", wrong: "check what the files have: NetworkPolicy " +
			`"quoted" is invalid: spec: Invalid value: "8080"`},
		{file: "30-any-namespace-with-pods.yaml", want: "ingress, " +
			"from strimzi.io/kind=cluster-operator, to " + kafka +
			", to-port 9090, expect allowed"},
		{file: "31-twice.yaml", wrong: "--policy has NetworkPolicy same twice"},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			derived, err := deriveFile(t, filepath.Join("testdata", "policies", test.file),
				runner.DefaultOptions(), emptyCluster())
			expectReading(t, derived, err, test.want, test.passed, test.wrong)
		})
	}
}

// deriveFile reads settings off a file.
func deriveFile(
	t *testing.T, file string, options runner.Options, cluster *kube.Cluster,
) (scenario.Derived, error) {
	t.Helper()
	objects, err := readObjects(file, nil)
	if err != nil {
		return scenario.Derived{}, err
	}
	cluster.UserNamespace = "default"
	return runner.Derive(t.Context(), cluster, options, runner.Own{Policy: objects})
}

// expectReading checks what is read off a file, and the part that was passed over; or that it is
// refused, if something is wrong.
func expectReading(t *testing.T, derived scenario.Derived, err error, want, passed, wrong string) {
	t.Helper()
	if wrong != "" {
		if err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("the error is %v; want %q", err, wrong)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := setting.All().Label(derived.Settings); got != want {
		t.Errorf("it is read as %q; want %q", got, want)
	}
	if !strings.Contains(derived.Passed, passed) || (derived.Passed == "") != (passed == "") {
		t.Errorf("passed over because of %q; want %q", derived.Passed, passed)
	}
}

// TestPolicyFilesOfGuests maps the namespaces of files onto some that exist, or says what keeps
// them from that.
func TestPolicyFilesOfGuests(t *testing.T) {
	namespace := func(name, team string) runtime.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name,
			Labels: map[string]string{"team": team, corev1.LabelMetadataName: name}}}
	}
	tests := []struct {
		name, file, agents, targets string
		want, passed, wrong         string
	}{
		{name: "one namespace", file: "24-isolate.yaml", agents: "red",
			want: "ingress, from app=web, to app=api, expect allowed, same namespace"},
		{name: "whoever they are", file: "03-documents.yaml", agents: "red",
			want: "ingress, to app=web, expect allowed, same namespace"},
		{name: "whoever they are, elsewhere", file: "03-documents.yaml", agents: "red",
			targets: "blue", want: "ingress, to app=web, expect allowed"},
		{name: "pods of one namespace in two", file: "24-isolate.yaml", agents: "red",
			targets: "blue", want: "ingress, to app=api, expect blocked",
			passed: "it is about pods in one namespace, and --namespace and --target-namespace " +
				"are two: expected --namespace blue alone"},
		{name: "by a name that another stands for", file: "10-several-rules.yaml", agents: "red",
			targets: "blue", want: "ingress, to app=grafana, to-port 3000, expect allowed",
			passed: "ipBlock 198.51.100.0/24 has no address"},
		{name: "two in one", file: "10-several-rules.yaml", agents: "red",
			want:   "ingress, from app=renderer, to app=grafana, expect allowed, same namespace",
			passed: "ipBlock 198.51.100.0/24 has no address"},
		{name: "three", file: "20-as-printed.yaml", agents: "red", targets: "blue",
			wrong: "the files have objects in namespace two, and --namespace and " +
				"--target-namespace stand for"},
		{name: "labels that it has", file: "06-expressions.yaml", agents: "red", targets: "blue",
			want: "ingress, from role=netpol-latency, to app=netpol-latency, expect allowed"},
		{name: "labels that it has not", file: "04-both-selectors.yaml", agents: "red",
			targets: "blue", want: "ingress, to app=web, expect blocked",
			passed: `spec.ingress[0].from[0].namespaceSelector "team=operations" does not match ` +
				`the labels of namespace red, which keeps them, "team=red"`},
		{name: "what else is in the file", file: "19-helm-output.yaml", agents: "red",
			want: "ingress, from cache-client=true, to app.kubernetes.io/instance=cache," +
				"app.kubernetes.io/name=cache, to-port 6379, expect allowed, same namespace"},
		{name: "none of that name", file: "01-empty-rules.yaml", agents: "green",
			wrong: "use namespace green: there is none of that name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			options := runner.DefaultOptions()
			options.AgentNamespace, options.TargetNamespace = test.agents, test.targets
			derived, err := deriveFile(t, filepath.Join("testdata", "policies", test.file), options,
				emptyCluster(namespace("red", "red"), namespace("blue", "blue")))
			expectReading(t, derived, err, test.want, test.passed, test.wrong)
			if err != nil {
				return
			}
			left := strings.Join(derived.LeftOut, ", ")
			if (left == "ServiceAccount default/cache, Service default/cache") !=
				(test.file == "19-helm-output.yaml") {
				t.Errorf("left out: %q", left)
			}
		})
	}
}
