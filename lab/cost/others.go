// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"sync"
	"time"
)

// at once is how many probes of the ways that wait for their answer are under way together.
const atOnce = 50

// spread calls a function for every probe, many at once, and measures that.
func spread(targets []netip.AddrPort, probes int, one func(netip.AddrPort)) (Work, error) {
	m, err := newMeter()
	if err != nil {
		return Work{}, err
	}
	var group sync.WaitGroup
	for worker := range atOnce {
		group.Go(func() {
			for i := worker; i < probes; i += atOnce {
				one(targets[i%len(targets)])
			}
		})
	}
	group.Wait()
	return m.read(probes)
}

// curl is what the original clients do, one after the other as they do.
func curl(targets []netip.AddrPort, probes int) (Work, error) {
	m, err := newMeter()
	if err != nil {
		return Work{}, err
	}
	for i := range probes {
		line := "curl --silent --output /dev/null --connect-timeout 0.1 " + targets[i%len(targets)].String()
		_ = exec.Command("sh", "-c", line).Run() // a dropped probe is expected to fail
	}
	return m.read(probes)
}

// netHTTP sends requests on connections of their own.
func netHTTP(targets []netip.AddrPort, probes int) (Work, error) {
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	return spread(targets, probes, func(to netip.AddrPort) {
		if response, err := client.Get("http://" + to.String()); err == nil {
			_ = response.Body.Close() // it has shown what it was for
		}
	})
}

// netDialer opens connections and resets them.
func netDialer(targets []netip.AddrPort, probes int) (Work, error) {
	return spread(targets, probes, func(to netip.AddrPort) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
		if err != nil {
			return
		}
		_ = connection.(*net.TCPConn).SetLinger(0) // without it, it costs a little more
		_ = connection.Close()
	})
}

// pace is the time between two packets at that many a second.
func pace(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }
