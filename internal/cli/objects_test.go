// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// names are those of objects, with their namespaces.
func names(objects []*object) string {
	var all []string
	for _, one := range objects {
		all = append(all, strings.TrimPrefix(one.GetNamespace()+"/"+one.GetName(), "/"))
	}
	return strings.Join(all, " ")
}

// TestReadObjects reads objects from everywhere that "kubectl apply -f" takes.
func TestReadObjects(t *testing.T) {
	file := filepath.Join("testdata", "objects", "a.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	defer server.Close()
	tests := []struct{ name, path, want, wrong string }{
		{"a file", file, "a b", ""},
		{"standard input", "-", "a b", ""},
		{"a directory", filepath.Join("testdata", "objects"), "a b c", ""},
		{"an address", server.URL + "/objects/a.yaml", "a b", ""},
		{"an address of nothing", server.URL + "/none", "", "404 Not Found: expected 200 OK"},
		{"no file", "testdata/none", "", "no such file"},
		{"a directory without objects", "..", "", "the directory has no file with an object"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			objects, err := readObjects(test.path, strings.NewReader(string(content)))
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("readObjects() = %v; want %q", err, test.wrong)
				}
				return
			}
			if err != nil || names(objects) != test.want {
				t.Errorf("the objects are %q, %v; want %q", names(objects), err, test.want)
			}
		})
	}
}

// documents are texts in all the ways in which objects are written, with the names of the objects.
func documents() map[string]string {
	const x = "apiVersion: v1\nkind: X\nmetadata: "
	return map[string]string{
		x + "{name: a, namespace: shop}\n": "shop/a",
		"---\n{\n  apiVersion: \"v1\",\n  kind: \"X\",\n  metadata: {name: \"kyaml\",},\n}\n": "" +
			"kyaml",
		"{apiVersion: v1, kind: X, metadata: {name: flow,},}": "flow",
		`{"apiVersion":"v1","kind":"X","metadata":{"name":"a"}}` +
			`{"apiVersion":"v1","kind":"X","metadata":{"name":"b"}}`: "a b",
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: X, metadata: {name: a}}\n" +
			"- {apiVersion: v1, kind: X, metadata: {name: b}}\n": "a b",
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n" +
			"- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}}\n": "a",
		"\ufeff---\n---\n" + x + "{name: mark}\n...\n":              "mark",
		"apiVersion: v1\r\nkind: X\r\nmetadata:\r\n  name: dos\r\n": "dos",
	}
}

func TestDecodeObjects(t *testing.T) {
	for text, want := range documents() {
		objects, err := decodeObjects([]byte(text))
		if err != nil || names(objects) != want {
			t.Errorf("%q has the objects %q, %v; want %q", text, names(objects), err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                "it holds no object",
		"# a comment\n":                   "it holds no object",
		"kind: X":                         "document 1: expected an object with apiVersion, kind",
		"metadata: {{ include \"x\" . }}": "is it a template? \"helm template CHART |",
		"a: b: c":                         "document 1: ",
		"- a\n- b\n":                      "document 1: ",
		"apiVersion: v1\nkind: List\nitems: [{kind: X}]\n": "document 1: expected an object",
	} {
		if _, err := decodeObjects([]byte(text)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

// TestPlain drops what a cluster has added to an object.
func TestPlain(t *testing.T) {
	objects, err := decodeObjects([]byte(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
  creationTimestamp: null
  finalizers: [example.com/keep]
  generation: 4
  labels: {app: x}
  managedFields: [{manager: kubectl}]
  name: p
  ownerReferences: [{apiVersion: v1, kind: X, name: x, uid: "1"}]
  resourceVersion: "4711"
  uid: 0b5a4a3e
spec: {podSelector: {}}
status: {}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
		"metadata": map[string]any{"name": "p", "labels": map[string]any{"app": "x"}},
		"spec":     map[string]any{"podSelector": map[string]any{}},
	}
	if diff := cmp.Diff(want, objects[0].Object); diff != "" {
		t.Errorf("the object (-want +got):\n%s", diff)
	}
}

// FuzzDecodeObjects reads anything: it is an error, or objects that can be named.
func FuzzDecodeObjects(f *testing.F) {
	for text := range documents() {
		f.Add([]byte(text))
	}
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: {}\n"))
	f.Add([]byte("apiVersion: v1\nkind: X\nmetadata: {name: a, annotations: 5}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		objects, err := decodeObjects(content)
		if err == nil && len(objects) == 0 {
			t.Error("there is neither an object nor an error")
		}
		for _, one := range objects {
			if one.GetName() == "" || one.GetKind() == "" {
				t.Errorf("%v has no name or no kind", one.Object)
			}
		}
	})
}
