// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

const (
	// spareSandboxes are kept ready, so that a burst of pods does not wait for the kernel.
	spareSandboxes = 128
	// sandboxBuilders is how many threads refill the spares. The kernel makes network devices under
	// one lock, so more would only queue for it.
	sandboxBuilders = 2
	// buildRetry is the pause after a build failed, for want of addresses or of memory.
	buildRetry = 100 * time.Millisecond
)

// sandboxPool keeps sandboxes ready for pods, with their addresses already in place.
type sandboxPool struct {
	wiring *wiring
	book   *addressBook
	spares chan *sandbox
}

func newSandboxPool(w *wiring, book *addressBook) *sandboxPool {
	return &sandboxPool{wiring: w, book: book, spares: make(chan *sandbox, spareSandboxes)}
}

// Run refills the spares until ctx ends.
func (p *sandboxPool) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range sandboxBuilders {
		group.Go(func() error {
			return netns.OnThread(func() error { return p.refill(ctx) })
		})
	}
	return group.Wait()
}

// refill runs on one thread, which moves on into each new namespace.
func (p *sandboxPool) refill(ctx context.Context) error {
	for ctx.Err() == nil {
		offset, err := p.book.take()
		if err == nil {
			var s *sandbox
			if s, err = p.build(offset); err == nil {
				select {
				case p.spares <- s:
				case <-ctx.Done():
					p.put(s)
				}
				continue
			}
		}

		klog.ErrorS(err, "Making a pod network")
		select {
		case <-time.After(buildRetry):
		case <-ctx.Done():
		}
	}

	return nil
}

// build makes the sandbox of an offset that the caller has taken.
func (p *sandboxPool) build(offset uint32) (*sandbox, error) {
	s, err := p.wiring.build(p.book.addresses(offset))
	if err != nil {
		p.book.release(offset)
		return nil, err
	}
	s.offset = offset
	p.book.hold(offset, s)
	return s, nil
}

// get returns a sandbox with any address.
func (p *sandboxPool) get(ctx context.Context) (*sandbox, error) {
	for {
		select {
		case s := <-p.spares:
			if s.claim() { // otherwise getAt was faster
				return s, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// getAt returns the sandbox with the addresses at offset, and waits while another pod has them.
func (p *sandboxPool) getAt(ctx context.Context, offset uint32) (*sandbox, error) {
	for {
		taken, holder, released := p.book.reserve(offset)
		if taken {
			return p.buildAt(offset)
		}
		if holder != nil && holder.claim() { // a spare had them
			return holder, nil
		}

		select {
		case <-released:
		case <-time.After(buildRetry): // a spare that was being built has no event
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *sandboxPool) buildAt(offset uint32) (*sandbox, error) {
	var s *sandbox
	err := netns.OnThread(func() error {
		var err error
		s, err = p.build(offset)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make the network of %v: %w", p.book.addresses(offset), err)
	}
	s.claim()
	return s, nil
}

// put takes the sandbox down and frees its addresses.
func (p *sandboxPool) put(s *sandbox) {
	if err := p.wiring.remove(s); err != nil {
		klog.ErrorS(err, "Removing a pod network", "addresses", s.addresses)
	}
	p.book.release(s.offset)
}
