// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// wanted is an overlay of everything that settings can say.
func wanted(t *testing.T) Overlay {
	t.Helper()
	s := setting.All().Defaults()
	s.Tolerations = "dedicated=tests:NoSchedule,spot"
	s.NodeSelector = "pool=tests"
	s.Limits = "cpu=50m,memory=64Mi"
	s.PriorityClass = "low"
	s.PullSecrets = "registry,shared/mirror"
	s.Labels = "team=network,sidecar.istio.io/inject=true"
	s.Annotations = `owner=network,"note=a, b"`
	s.PodPatch = `{"metadata":{"labels":{"patched":"yes"}},"spec":{"hostUsers":false,` +
		`"securityContext":{"runAsNonRoot":null},"containers":[{"name":"server","tty":true}]}}`
	s.NamespacePatch = "metadata:\n  labels:\n    istio-injection: enabled\n"
	o, err := Of(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// template is a pod as a run makes it.
func template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{
			"netpol-latency/run": "a", "sidecar.istio.io/inject": "false"}},
		Spec: corev1.PodSpec{
			NodeSelector:    map[string]string{"kubernetes.io/os": "linux"},
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true)},
			Containers: []corev1.Container{{Name: "server", Image: "one",
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					"cpu": resource.MustParse("100m"), "memory": resource.MustParse("16Mi")}}}},
		},
	}
}

const patchedPod = `
metadata:
  annotations: {owner: network, note: "a, b"}
  labels:
    netpol-latency/run: a
    patched: "yes"
    sidecar.istio.io/inject: "true"
    team: network
spec:
  containers:
  - image: one
    name: server
    tty: true
    resources:
      limits: {cpu: 50m, memory: 64Mi}
      requests: {cpu: 50m, memory: 16Mi}
  hostUsers: false
  imagePullSecrets: [{name: registry}, {name: mirror}]
  nodeSelector: {kubernetes.io/os: linux, pool: tests}
  priorityClassName: low
  securityContext: {}
  tolerations:
  - {effect: NoSchedule, key: dedicated, operator: Equal, value: tests}
  - {key: spot, operator: Exists}
`

// TestApply lays everything over each kind of object that has pods.
func TestApply(t *testing.T) {
	o := wanted(t)
	if diff := cmp.Diff([]types.NamespacedName{{Name: "registry"},
		{Namespace: "shared", Name: "mirror"}}, o.PullSecrets); diff != "" {
		t.Errorf("the secrets to be copied (-want +got):\n%s", diff)
	}

	pod := &corev1.Pod{ObjectMeta: template().ObjectMeta, Spec: template().Spec}
	deployment := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: template()}}
	job := &batchv1.Job{Spec: batchv1.JobSpec{Template: template()}}
	if err := o.Apply(pod, deployment, job); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]corev1.PodTemplateSpec{
		"pod":        {ObjectMeta: pod.ObjectMeta, Spec: pod.Spec},
		"deployment": deployment.Spec.Template, "job": job.Spec.Template,
	} {
		var want, have map[string]any
		decode(t, []byte(patchedPod), &want)
		decode(t, encode(t, got), &have)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if deployment.Labels["team"] != "network" || job.Annotations["owner"] != "network" {
		t.Errorf("the deployment has %v, the job %v", deployment.Labels, job.Annotations)
	}
}

func TestApplyToOthers(t *testing.T) {
	o := wanted(t)
	role := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}}}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a",
		Labels: map[string]string{"istio-injection": "disabled", "netpol-latency/run": "a"}}}
	if err := o.Apply(role, namespace); err != nil {
		t.Fatal(err)
	}
	if role.Labels["team"] != "network" || role.Annotations["note"] != "a, b" {
		t.Errorf("the role has %v and %v", role.Labels, role.Annotations)
	}
	want := map[string]string{"istio-injection": "enabled", "netpol-latency/run": "a",
		"team": "network", "sidecar.istio.io/inject": "true"}
	if diff := cmp.Diff(want, namespace.Labels); diff != "" {
		t.Errorf("the namespace's labels (-want +got):\n%s", diff)
	}
}

// TestNothing changes nothing where nothing is wanted.
func TestNothing(t *testing.T) {
	o, err := Of(setting.All().Defaults())
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []runtime.Object{
		&corev1.Pod{ObjectMeta: template().ObjectMeta, Spec: template().Spec},
		&corev1.Namespace{},
	} {
		before := encode(t, object)
		if err := o.Apply(object); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(before), string(encode(t, object))); diff != "" {
			t.Errorf("it changed (-before +after):\n%s", diff)
		}
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		name   string
		change func(*setting.Settings)
		want   string
	}{
		{"an effect", func(s *setting.Settings) { s.Tolerations = "a=b:NoSchedul" },
			`--toleration "a=b:NoSchedul": expected KEY[=VALUE][:EFFECT], for example ` +
				`dedicated=tests:NoSchedule: effect "NoSchedul": expected one of NoSchedule, ` +
				`PreferNoSchedule, NoExecute; did you mean NoSchedule?`},
		{"a taint without a key", func(s *setting.Settings) { s.Tolerations = "=b" },
			`--toleration "=b"`},
		{"a label without a value", func(s *setting.Settings) { s.Labels = "team" },
			`--label "team": expected KEY=VALUE, for example team=network: there is no =`},
		{"a label of the run", func(s *setting.Settings) { s.Labels = "netpol-latency/run=b" },
			`--label "netpol-latency/run=b"`},
		{"a value that is none", func(s *setting.Settings) { s.NodeSelector = "a=b c" },
			`--node-selector "a=b c"`},
		{"quotes that do not end", func(s *setting.Settings) { s.Annotations = `"a=b` },
			`--annotation "\"a=b"`},
		{"a quantity", func(s *setting.Settings) { s.Limits = "cpu=much" },
			`--limits "cpu=much": expected RESOURCE=QUANTITY, for example ` +
				`cpu=1,memory=256Mi: the quantity "much" is none that Kubernetes knows`},
		{"no quantity", func(s *setting.Settings) { s.Limits = "cpu=0" }, "not more than 0"},
		{"a secret", func(s *setting.Settings) { s.PullSecrets = "a/b/c" },
			`--image-pull-secret "a/b/c"`},
		{"a priority class", func(s *setting.Settings) { s.PriorityClass = "Low" },
			`--priority-class "Low": expected the name of a priority class`},
		{"no object", func(s *setting.Settings) { s.PodPatch = "[1]" }, "it is no object"},
		{"no YAML", func(s *setting.Settings) { s.PodPatch = "{" }, `--pod-patch "{"`},
		{"an unknown field", func(s *setting.Settings) {
			s.PodPatch = `{"spec":{"tolerration":[]}}`
		}, `--pod-patch: expected only fields that a pod has`},
		{"a field of another type", func(s *setting.Settings) {
			s.PodPatch = `{"spec":{"nodeSelector":"a"}}`
		}, "--pod-patch"},
		{"the run's own label", func(s *setting.Settings) {
			s.NamespacePatch = `{"metadata":{"labels":{"netpol-latency/run":"b"}}}`
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := setting.All().Defaults()
			test.change(&s)
			_, err := Of(s)
			if (err == nil) != (test.want == "") ||
				err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Of() = %v; want %q", err, test.want)
			}
		})
	}
}

// TestReserved keeps the labels by which a run finds what it has created.
func TestReserved(t *testing.T) {
	s := setting.All().Defaults()
	s.PodPatch = `{"metadata":{"labels":{"netpol-latency/run":null}}}`
	o, err := Of(s)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: template().ObjectMeta, Spec: template().Spec}
	err = o.Apply(pod)
	if err == nil || !strings.Contains(err.Error(), "changes the label netpol-latency/run") {
		t.Errorf("Apply() = %v; want the label that must stay", err)
	}
}

func encode(t *testing.T, object any) []byte {
	t.Helper()
	content, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func decode(t *testing.T, content []byte, to any) {
	t.Helper()
	if err := yaml.Unmarshal(content, to); err != nil {
		t.Fatal(err)
	}
}

func TestUnsuited(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*corev1.Node)
		overlay func(*setting.Settings)
		want    string
	}{
		{name: "any other"},
		{name: "cordoned", want: "unschedulable",
			change: func(n *corev1.Node) { n.Spec.Unschedulable = true }},
		{name: "Windows", want: "its operating system is windows",
			change: func(n *corev1.Node) { n.Labels["kubernetes.io/os"] = "windows" }},
		{name: "not ready", want: "not Ready",
			change: func(n *corev1.Node) { n.Status.Conditions[0].Status = "Unknown" }},
		{name: "a control plane", change: controlPlane,
			want: "taint node-role.kubernetes.io/control-plane:NoSchedule: see --toleration"},
		{name: "a control plane that is tolerated", change: controlPlane,
			overlay: func(s *setting.Settings) {
				s.Tolerations = "node-role.kubernetes.io/control-plane:NoSchedule"
			}},
		{name: "a control plane that a patch tolerates", change: controlPlane,
			overlay: func(s *setting.Settings) {
				s.PodPatch = `{"spec":{"tolerations":[{"operator":"Exists"}]}}`
			}},
		{name: "a preference", change: func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "a", Effect: corev1.TaintEffectPreferNoSchedule}}
		}},
		{name: "another pool", want: "it has no label pool=tests",
			overlay: func(s *setting.Settings) { s.NodeSelector = "pool=tests" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a",
				Labels: map[string]string{"kubernetes.io/os": "linux"}},
				Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
					{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
			s := setting.All().Defaults()
			if test.change != nil {
				test.change(node)
			}
			if test.overlay != nil {
				test.overlay(&s)
			}
			o, err := Of(s)
			if err != nil {
				t.Fatal(err)
			}
			if got := o.Unsuited(node); got != test.want {
				t.Errorf("Unsuited() = %q; want %q", got, test.want)
			}
		})
	}
}

func controlPlane(n *corev1.Node) {
	n.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane",
		Effect: corev1.TaintEffectNoSchedule}}
}
