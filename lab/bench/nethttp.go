// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// goPace is that of the probes made with Go's standard library.
func goPace() pace { return pace{probes: 2000, rate: 4000} }

// netHTTP probes with Go's HTTP client, with a connection of its own for each request.
func netHTTP(ctx context.Context, turn Turn) (Reading, error) {
	dialer := net.Dialer{Timeout: probe.DefaultTimeout}
	client := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext,
		DisableKeepAlives: true}}
	return goPace().measure(ctx, turn, func(ctx context.Context, to netip.AddrPort) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+to.String(), nil)
		if err != nil {
			return
		}
		response, err := client.Do(request)
		if err != nil {
			return // the target is denied
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	})
}
