// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

const (
	// resolveEvery is how often the addresses of a name are asked for, and retryAfter how soon
	// again if they could not be found.
	resolveEvery = time.Second
	retryAfter   = 100 * time.Millisecond
	// resolveTimeout is how long an answer may take: the question may be what is blocked.
	resolveTimeout = 2 * time.Second
)

// follow keeps the addresses of the endpoint until the context ends.
func (e *expectation) follow(ctx context.Context) {
	if address, is := e.Endpoint.literal(); is {
		e.set([]netip.Addr{address})
		return
	}

	for ctx.Err() == nil {
		wait := resolveEvery
		if addresses, err := e.lookUp(ctx); err != nil {
			wait = retryAfter
			e.fail(err)
		} else {
			e.set(addresses)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// lookUp asks for the addresses of the endpoint's name. What must be reached is reached by those
// that this pod has a route to, as by any program.
func (e *expectation) lookUp(ctx context.Context) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, e.Endpoint.network(), e.Endpoint.Host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: expected a name that the resolver of this pod knows "+
			"(/etc/resolv.conf), or an address: %w", e.Endpoint.Host, err)
	}

	if e.Kind == Blocked {
		return all, nil
	}
	if routed := slices.DeleteFunc(slices.Clone(all), unrouted); len(routed) > 0 {
		return routed, nil
	}
	return all, nil
}

// unrouted reports whether the kernel knows no way to an address. Nothing is sent.
func unrouted(address netip.Addr) bool {
	socket, err := net.DialUDP("udp", nil,
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(address.Unmap(), 9)))
	if err == nil {
		_ = socket.Close()
	}
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
