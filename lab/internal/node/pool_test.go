// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPoolHandsOutEveryAddressOnce takes more sandboxes than are kept ready, some by address.
func TestPoolHandsOutEveryAddressOnce(t *testing.T) {
	pool := newTestNetwork(t).pool
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var running sync.WaitGroup
	running.Go(func() { _ = pool.Run(ctx) })
	seen := map[uint32]bool{}
	var all []*sandbox
	keep := func(s *sandbox, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if seen[s.offset] {
			t.Errorf("offset %d was handed out twice", s.offset)
		}
		seen[s.offset] = true
		all = append(all, s)
	}
	keep(pool.getAt(ctx, 5))    // a spare, or one being built
	keep(pool.getAt(ctx, 4000)) // one that is free
	for range spareSandboxes + 50 {
		keep(pool.get(ctx))
	}
	if seen[4000] != true || seen[5] != true {
		t.Error("a requested address was not handed out")
	}
	cancel()
	running.Wait()
	for _, s := range all {
		pool.put(s)
	}
	for len(pool.spares) > 0 {
		pool.put(<-pool.spares)
	}
}

// TestRequestedAddressWaits asks for an address that a pod still has.
func TestRequestedAddressWaits(t *testing.T) {
	pool := newTestNetwork(t).pool
	first, err := pool.getAt(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan *sandbox)
	go func() {
		s, err := pool.getAt(t.Context(), 7)
		if err != nil {
			t.Error(err)
		}
		second <- s
	}()
	select {
	case <-second:
		t.Fatal("two pods have the same address")
	case <-time.After(3 * buildRetry): // nothing tells that somebody waits
	}
	pool.put(first)
	if s := <-second; s != nil {
		pool.put(s)
	}
}

// TestStaleInterfaces leaves interfaces behind as a killed agent does, and starts a router again.
func TestStaleInterfaces(t *testing.T) {
	network := newTestNetwork(t)
	network.sandbox(t)
	w := network.pool.wiring
	if err := removeStaleVeths(w.node, ""); err != nil {
		t.Fatal(err)
	}
	links, err := w.node.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if strings.HasPrefix(link.Attrs().Name, vethPrefix) {
			t.Errorf("%s is still there", link.Attrs().Name)
		}
	}
}

// The node's end of a pod's interface is called as Calico calls it, is the way to the pod still,
// and frees its name at once for the pod's successor.
func TestInterfaceNames(t *testing.T) {
	const want = "cali7f94ce7c295"
	name := interfaceName("cali", "default", "podA")
	if name != want {
		t.Errorf("the name is %q; want %q", name, want)
	}

	network := newTestNetwork(t)
	w := network.pool.wiring
	for offset := range uint32(2) {
		s, err := network.pool.getAt(t.Context(), 7+offset)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.rename(s, name); err != nil {
			t.Fatal(err)
		}
		routes, err := w.node.RouteGet(s.addresses[0].AsSlice())
		if err != nil {
			t.Fatal(err)
		}
		link, err := w.node.LinkByIndex(routes[0].LinkIndex)
		if err != nil || link.Attrs().Name != name {
			t.Errorf("the way to the pod is %v (%v); want %s", link, err, name)
		}
		network.pool.put(s)
	}
}
