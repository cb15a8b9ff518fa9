// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package ownpod

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// account is the directory of a service account that trusts a server.
func account(t *testing.T, server *httptest.Server) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range map[string][]byte{
		"namespace": []byte("shop"), "token": []byte("secret\n"),
		"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
			Bytes: server.Certificate().Raw}),
	} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func TestSet(t *testing.T) {
	type asked struct {
		Method, Path, Type, Authorization string
		Condition                         map[string]string
	}
	var got asked
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = asked{Method: r.Method, Path: r.URL.Path, Type: r.Header.Get("Content-Type"),
			Authorization: r.Header.Get("Authorization")}
		var body struct {
			Status struct{ Conditions []map[string]string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err == nil {
			got.Condition = body.Status.Conditions[0]
			delete(got.Condition, "lastTransitionTime")
		}
	}))
	defer server.Close()
	pod, err := find(strings.TrimPrefix(server.URL, "https://"), "sandbox", account(t, server))
	if err != nil {
		t.Fatal(err)
	}
	if err := pod.Set(t.Context(), Condition{Type: "example/enforced", Reason: "Open",
		Message: "after 1s", True: true}); err != nil {
		t.Fatal(err)
	}
	want := asked{
		Method: "PATCH", Path: "/api/v1/namespaces/shop/pods/sandbox/status",
		Type: "application/strategic-merge-patch+json", Authorization: "Bearer secret",
		Condition: map[string]string{"type": "example/enforced", "status": "True",
			"reason": "Open", "message": "after 1s"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is asked for differs (-want +got):\n%s", diff)
	}
}

func TestSetIsRefused(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"by the API server", `{"message":"pods \"x\" is forbidden"}`, `pods "x" is forbidden`},
		{"by something else", "no", "403 Forbidden"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewTLSServer(http.HandlerFunc(
				func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, test.body)
				}))
			defer server.Close()
			pod, err := find(strings.TrimPrefix(server.URL, "https://"), "x", account(t, server))
			if err != nil {
				t.Fatal(err)
			}
			err = pod.Set(t.Context(), Condition{Type: "c"})
			if err == nil || !strings.Contains(err.Error(), test.want) ||
				!strings.Contains(err.Error(), "set condition c of pod shop/x: ") {
				t.Errorf("it says %v; want %q", err, test.want)
			}
		})
	}
}

func TestFindWithoutAServiceAccount(t *testing.T) {
	_, err := find("a:1", "x", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "expected a service account") {
		t.Errorf("it says %v", err)
	}
}
