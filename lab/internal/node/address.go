// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"sync"
)

// AddressAnnotation asks for the addresses of a pod: one address, or one of each family separated
// by a comma, from the node's pod ranges. A test of address reuse sets it; other pods get the
// address that has been free for longest.
const AddressAnnotation = "lab.netpol-latency/ip"

// errNoAddress says that every address of the pod ranges belongs to a pod.
var errNoAddress = errors.New("every pod address of the node is in use; delete pods, or start " +
	"the lab with fewer pods per node")

// addressBook hands out pod addresses. An address is a prefix and an offset into it; a pod has the
// same offset in every family, so that 10.244.0.7 and fd00:10:244::7 are one pod.
type addressBook struct {
	prefixes []netip.Prefix
	end      uint32 // offsets from 1 up to, but without, end

	mu   sync.Mutex
	free *list.List // of offsets, the one that has been free for longest in front
	at   map[uint32]*list.Element
	// holder is the sandbox that an offset belongs to; nil while it is being built.
	holder map[uint32]*sandbox
	// released is closed, and replaced, whenever an address becomes free.
	released chan struct{}
}

// newAddressBook offers the addresses of the smallest prefix, without the first (the network) and,
// for IPv4, the last (the broadcast address).
func newAddressBook(prefixes []netip.Prefix) *addressBook {
	b := &addressBook{
		prefixes: prefixes,
		free:     list.New(),
		at:       map[uint32]*list.Element{},
		holder:   map[uint32]*sandbox{},
		released: make(chan struct{}),
	}

	bits := 16 // 65,534 pods are more than a machine can run
	for _, p := range prefixes {
		bits = min(bits, p.Addr().BitLen()-p.Bits())
	}
	b.end = 1<<bits - 1
	for offset := uint32(1); offset < b.end; offset++ {
		b.at[offset] = b.free.PushBack(offset)
	}

	return b
}

// take returns the offset that has been free for longest.
func (b *addressBook) take() (uint32, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	front := b.free.Front()
	if front == nil {
		return 0, errNoAddress
	}
	offset := b.free.Remove(front).(uint32)
	delete(b.at, offset)
	return offset, nil
}

// reserve takes one particular offset. When somebody has it, it returns its holder (nil while it is
// being built) and a channel that is closed at the next release.
func (b *addressBook) reserve(
	offset uint32,
) (taken bool, holder *sandbox, released <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	element, ok := b.at[offset]
	if !ok {
		return false, b.holder[offset], b.released
	}
	b.free.Remove(element)
	delete(b.at, offset)
	return true, nil, nil
}

// hold records whose the offset is.
func (b *addressBook) hold(offset uint32, s *sandbox) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holder[offset] = s
}

// release makes the offset free again, to be used after all others.
func (b *addressBook) release(offset uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.holder, offset)
	b.at[offset] = b.free.PushBack(offset)
	close(b.released)
	b.released = make(chan struct{})
}

// addresses are the addresses at an offset, one a family.
func (b *addressBook) addresses(offset uint32) []netip.Addr {
	var addrs []netip.Addr
	for _, p := range b.prefixes {
		addrs = append(addrs, addOffset(p.Masked().Addr(), offset))
	}
	return addrs
}

// parse turns the text of an AddressAnnotation into an offset.
func (b *addressBook) parse(text string) (uint32, error) {
	var offsets []uint32
	for field := range strings.SplitSeq(text, ",") {
		addr, err := netip.ParseAddr(strings.TrimSpace(field))
		if err != nil {
			return 0, fmt.Errorf("annotation %s: %w", AddressAnnotation, err)
		}
		offset, err := b.offset(addr)
		if err != nil {
			return 0, fmt.Errorf("annotation %s: %w", AddressAnnotation, err)
		}
		offsets = append(offsets, offset)
	}

	for _, o := range offsets[1:] {
		if o != offsets[0] {
			return 0, fmt.Errorf("annotation %s: the addresses in %q must have the same place in "+
				"their ranges, for example %v",
				AddressAnnotation, text, b.addresses(offsets[0]))
		}
	}

	return offsets[0], nil
}

// offset is the place of addr in the prefix that contains it.
func (b *addressBook) offset(addr netip.Addr) (uint32, error) {
	for _, p := range b.prefixes {
		if !p.Contains(addr) {
			continue
		}
		base := new(big.Int).SetBytes(p.Masked().Addr().AsSlice())
		distance := new(big.Int).Sub(new(big.Int).SetBytes(addr.AsSlice()), base)
		if distance.IsUint64() && distance.Uint64() >= 1 && distance.Uint64() < uint64(b.end) {
			return uint32(distance.Uint64()), nil
		}
	}
	return 0, fmt.Errorf("%v is not a usable address of the node's pod ranges %v", addr, b.prefixes)
}

// addOffset is base + offset; the offset is smaller than 1<<16 and so never leaves the prefix.
func addOffset(base netip.Addr, offset uint32) netip.Addr {
	raw := base.AsSlice()
	low := raw[len(raw)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)+offset)
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}
