// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package labtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// resetTimeout is how long a lab may take to be as new before another is started in its place.
const resetTimeout = time.Minute

// maxIdle is how many labs may wait for a test: they take processor time, too.
const maxIdle = 2

// pool has the labs that tests have given back, of those whose flags a running lab can change. To
// start one costs more processor time than most tests do.
type pool struct {
	mu   sync.Mutex
	open bool // someone will close it
	idle []*ownLab
}

// idleLabs are those of this process.
var idleLabs pool

// ownLab is a lab that one test at a time has to itself.
type ownLab struct {
	*Lab
	stop  func() error
	fresh inventory // nil of one that is not used again

	// ready is closed when the lab has been made as new, or stopped because it could not be.
	ready   chan struct{}
	stopped bool
}

// Start gives the test a lab as `netpol-latency-lab up` with the flags makes one, which no other
// test uses meanwhile: a new one, or one that an earlier test has given back and that is as new. A
// lab whose test has failed is stopped, after the ends of the components' logs were logged.
func Start(t testing.TB, flags ...string) *Lab {
	t.Helper()
	lab, err := idleLabs.take(t.Context(), Binary(t), flags)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := idleLabs.put(lab, t.Failed()); err != nil {
			t.Error(err)
		}
	})
	return lab.Of(t)
}

// take is a lab that was given back, or a new one.
func (p *pool) take(ctx context.Context, binary string, flags []string) (*ownLab, error) {
	if !onlySettings(flags) {
		lab, stop, err := start(binary, flags)
		return &ownLab{Lab: lab, stop: stop}, err
	}

	for lab := p.pop(); lab != nil; lab = p.pop() {
		if <-lab.ready; lab.stopped {
			continue
		}
		if len(flags) == 0 {
			return lab, nil
		}
		if _, err := lab.Command(ctx, "set", flags...); err != nil {
			return nil, errors.Join(err, lab.stop())
		}
		return lab, nil
	}

	started, stop, err := start(binary, flags)
	if err != nil {
		return nil, err
	}
	lab := &ownLab{Lab: started, stop: stop}
	if lab.fresh, err = lab.takeInventory(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return lab, nil
}

func (p *pool) pop() *ownLab {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	lab := p.idle[0]
	p.idle = p.idle[1:]
	return lab
}

// put takes a lab back, and makes it as new beside what runs next; or stops it.
func (p *pool) put(lab *ownLab, broken bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open || broken || lab.fresh == nil || len(p.idle) >= maxIdle {
		return lab.stop()
	}

	lab.ready = make(chan struct{})
	go func() {
		defer close(lab.ready)
		ctx, cancel := context.WithTimeout(context.Background(), resetTimeout)
		defer cancel()
		if err := lab.reset(ctx, lab.fresh); err != nil {
			lab.stopped = true
			fmt.Fprintf(os.Stderr, "A lab is not used again: %v\n", errors.Join(err, lab.stop()))
		}
	}()
	p.idle = append(p.idle, lab)
	return nil
}

// close stops the labs that nobody uses any more.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	var stopped error
	for _, lab := range p.idle {
		if <-lab.ready; !lab.stopped {
			stopped = errors.Join(stopped, lab.stop())
		}
	}
	p.idle = nil
	return stopped
}

// onlySettings reports whether a running lab can change all of the flags. Each has its value after
// it.
func onlySettings(flags []string) bool {
	for i := 0; i < len(flags); i += 2 {
		switch flags[i] {
		case "--delay", "--jitter", "--batch", "--gap", "--reject", "--fault":
		default:
			return false
		}
	}
	return true
}
