// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/netip"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

func BenchmarkSandbox(b *testing.B) {
	w, err := newWiring()
	if err != nil {
		b.Fatal(err)
	}
	defer w.close()
	book := newAddressBook([]netip.Prefix{netip.MustParsePrefix("10.244.0.0/20"),
		netip.MustParsePrefix("fd00:10:244::/64")})
	pool := newSandboxPool(w, book)
	var all []*sandbox
	err = netns.OnThread(func() error {
		for b.Loop() {
			offset, err := book.take()
			if err != nil {
				return err
			}
			s, err := pool.build(offset)
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range all {
		pool.put(s)
	}
}
