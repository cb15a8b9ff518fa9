// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// TestAccess reaches clusters as kubectl does.
func TestAccess(t *testing.T) {
	directory := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	near := write("near", `
current-context: near
clusters: [{name: near, cluster: {server: "https://near:1"}}]
users: [{name: me, user: {token: mine}}, {name: robot, user: {token: its}}]
contexts:
- {name: near, context: {cluster: near, user: me}}
- {name: odd, context: {cluster: near, user: robot, namespace: shop}}`)
	far := write("far", `
clusters: [{name: far, cluster: {server: "https://far:2"}}]
contexts: [{name: far, context: {cluster: far, user: robot}}]`)

	type reached struct{ Host, Token, Context, Namespace, As string }
	tests := []struct {
		name   string
		files  string
		change func(*Access)
		want   reached
	}{
		{"the current context", near, func(*Access) {},
			reached{"https://near:1", "mine", "near", "default", ""}},
		{"a named file", far, func(a *Access) { a.Kubeconfig = near },
			reached{"https://near:1", "mine", "near", "default", ""}},
		{"another context", near, func(a *Access) { a.Overrides.CurrentContext = "odd" },
			reached{"https://near:1", "its", "odd", "shop", ""}},
		{"several files", far + string(os.PathListSeparator) + near,
			func(a *Access) { a.Overrides.CurrentContext = "far" },
			reached{"https://far:2", "its", "far", "default", ""}},
		{"another cluster and user", far + string(os.PathListSeparator) + near,
			func(a *Access) {
				a.Overrides.Context.Cluster, a.Overrides.Context.AuthInfo = "far", "robot"
			}, reached{"https://far:2", "its", "near", "default", ""}},
		{"as somebody else", near, func(a *Access) { a.Overrides.AuthInfo.Impersonate = "jane" },
			reached{"https://near:1", "mine", "near", "default", "jane"}},
		{"no file at all", filepath.Join(directory, "none"), func(a *Access) {
			a.Overrides.ClusterInfo.Server = "https://typed:3"
			a.Overrides.AuthInfo.Token = "typed"
		}, reached{"https://typed:3", "typed", "", "default", ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(clientcmd.RecommendedConfigPathEnvVar, test.files)
			var access Access
			test.change(&access)
			config, err := access.config()
			if err != nil {
				t.Fatal(err)
			}
			cluster, err := ConnectCluster(access, "test")
			if err != nil {
				t.Fatal(err)
			}
			got := reached{config.Host, config.BearerToken, cluster.Context,
				cluster.UserNamespace, config.Impersonate.UserName}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("reached (-want +got):\n%s", diff)
			}
		})
	}

	t.Run("names", func(t *testing.T) {
		t.Setenv(clientcmd.RecommendedConfigPathEnvVar,
			far+string(os.PathListSeparator)+near)
		got, err := Access{}.Known()
		want := Known{Contexts: []string{"far", "near", "odd"}, Clusters: []string{"far", "near"},
			Users: []string{"me", "robot"}}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v: names (-want +got):\n%s", err, diff)
		}
	})
	t.Run("a limit that is none", func(t *testing.T) {
		access := Access{Kubeconfig: near}
		access.Overrides.Timeout = "soon"
		if _, err := access.config(); err == nil ||
			!strings.Contains(err.Error(), `--request-timeout "soon": expected`) {
			t.Errorf("the error is %v", err)
		}
	})
}

// silent is a server that never answers.
type silent struct{}

// RoundTrip implements [http.RoundTripper].
func (silent) RoundTrip(request *http.Request) (*http.Response, error) {
	<-request.Context().Done()
	return nil, request.Context().Err()
}

// TestRequestTimeout gives up requests, but not what is to last.
func TestRequestTimeout(t *testing.T) {
	tests := []struct {
		url  string
		want time.Duration
	}{
		{"https://server/api/v1/pods", time.Second},
		{"https://server/api/v1/pods?watch=true", time.Minute},
		{"https://server/api/v1/namespaces/x/pods/y/log?follow=true", time.Minute},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := &rest.Config{Timeout: time.Second}
				limitRequests(config, time.Second)
				if config.Timeout != 0 {
					t.Errorf("the HTTP client itself gives up after %s", config.Timeout)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, test.url, nil)
				if err != nil {
					t.Fatal(err)
				}

				began := time.Now()
				_, err = config.WrapTransport(silent{}).RoundTrip(request)
				if took := time.Since(began); took != test.want {
					t.Errorf("it ended after %s: %v", took, err)
				}
				var given slow
				if gaveUp := errors.As(err, &given); gaveUp != (test.want == time.Second) ||
					gaveUp && !Transient(err) {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}
