// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Access is which API server a user reaches, and as whom, as kubectl would find it: of the named
// kubeconfig file, else of the files in $KUBECONFIG, else of ~/.kube/config, else of the pod that
// this process runs in.
type Access struct {
	// Kubeconfig is the name of a file, if one is named.
	Kubeconfig string
	// Overrides take the place of what the file says.
	Overrides clientcmd.ConfigOverrides
}

// loader reads the files when it is asked, and no earlier.
func (a Access) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = a.Kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &a.Overrides)
}

// config is what clients are made of.
func (a Access) config() (*rest.Config, error) {
	limit, err := a.limit()
	if err != nil {
		return nil, err
	}
	config, err := a.loader().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the API server: name a file with --kubeconfig or "+
			"$KUBECONFIG: %w", err)
	}

	// What a pod finds in itself heeds the address and the token of the overrides alone.
	if user := a.Overrides.AuthInfo; config.Impersonate.UserName == "" {
		config.Impersonate = rest.ImpersonationConfig{
			UserName: user.Impersonate, UID: user.ImpersonateUID, Groups: user.ImpersonateGroups,
			Extra: user.ImpersonateUserExtra,
		}
	}

	limitRequests(config, limit)
	return config, nil
}

// limit is how long a request may take, 0 without a limit.
func (a Access) limit() (time.Duration, error) {
	text := a.Overrides.Timeout
	if text == "" {
		return 0, nil
	}
	limit, err := clientcmd.ParseTimeout(text)
	if err != nil {
		return 0, fmt.Errorf("--request-timeout %q: expected a duration, for example 10s", text)
	}
	return limit, nil
}

// Known are the names that a kubeconfig has, in order.
type Known struct{ Contexts, Clusters, Users []string }

// Known reads the names.
func (a Access) Known() (Known, error) {
	raw, err := a.loader().RawConfig()
	if err != nil {
		return Known{}, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return Known{
		Contexts: slices.Sorted(maps.Keys(raw.Contexts)),
		Clusters: slices.Sorted(maps.Keys(raw.Clusters)),
		Users:    slices.Sorted(maps.Keys(raw.AuthInfos)),
	}, nil
}

// contextName is the context in use, empty where there is none, as in a pod.
func (a Access) contextName() string {
	if name := a.Overrides.CurrentContext; name != "" {
		return name
	}
	raw, err := a.loader().RawConfig()
	if err != nil || raw.Contexts[raw.CurrentContext] == nil {
		return ""
	}
	return raw.CurrentContext
}

// portOf is the port at which a user reaches the API server, 0 if none is said.
func portOf(config *rest.Config) uint16 {
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(server.Port(), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

// limitRequests ends requests that take longer than a limit, if there is one. Those that are to
// last, watches and logs, are not among them, as they are where the limit is the HTTP client's.
func limitRequests(config *rest.Config, limit time.Duration) {
	config.Timeout = 0
	if limit == 0 {
		return
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &limited{next: next, limit: limit}
	})
}

// limited is a transport that gives up.
type limited struct {
	next  http.RoundTripper
	limit time.Duration
}

// RoundTrip implements [http.RoundTripper].
func (l *limited) RoundTrip(request *http.Request) (*http.Response, error) {
	if lasts(request) {
		return l.next.RoundTrip(request)
	}
	ctx, cancel := context.WithTimeout(request.Context(), l.limit)
	response, err := l.next.RoundTrip(request.WithContext(ctx))
	if err != nil {
		if ctx.Err() != nil && request.Context().Err() == nil {
			err = slow{l.limit}
		}
		cancel()
		return nil, err
	}
	response.Body = closing{response.Body, cancel}
	return response, nil
}

// slow is why a request was given up. As a [net.Error] it is of the way to the server: the same
// request may succeed a little later.
type slow struct{ limit time.Duration }

// Error implements [error].
func (s slow) Error() string {
	return fmt.Sprintf("the API server has not answered within --request-timeout %s", s.limit)
}

// Timeout implements [net.Error].
func (s slow) Timeout() bool { return true }

// Temporary implements [net.Error].
func (s slow) Temporary() bool { return true }

// lasts reports whether the answer of a request is a stream without an end.
func lasts(request *http.Request) bool {
	return request.URL.Query().Get("watch") != "" || strings.HasSuffix(request.URL.Path, "/log")
}

// closing is a body that frees what its request held.
type closing struct {
	io.ReadCloser
	free func()
}

// Close implements [io.Closer].
func (c closing) Close() error {
	defer c.free()
	return c.ReadCloser.Close()
}
