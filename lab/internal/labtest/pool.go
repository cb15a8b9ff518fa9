// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package labtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// resetTimeout is how long a lab may take to be as new before another is started in its place.
const resetTimeout = time.Minute

// maxIdle is how many labs may wait for a test: they take processor time, too.
const maxIdle = 2

// pool has the labs that tests have given back. To start one costs more processor time than most
// tests do.
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
	fixed []string  // the flags that a running lab cannot change
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
	fixed, settings, reusable := sortFlags(flags)
	if !reusable {
		lab, stop, err := start(binary, flags)
		return &ownLab{Lab: lab, stop: stop}, err
	}

	for lab := p.pop(fixed); lab != nil; lab = p.pop(fixed) {
		if <-lab.ready; lab.stopped {
			continue
		}
		if len(settings) == 0 {
			return lab, nil
		}
		if _, err := lab.Command(ctx, "set", settings...); err != nil {
			return nil, errors.Join(err, lab.stop())
		}
		return lab, nil
	}

	started, stop, err := start(binary, flags)
	if err != nil {
		return nil, err
	}
	lab := &ownLab{Lab: started, stop: stop, fixed: fixed}
	if lab.fresh, err = lab.takeInventory(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return lab, nil
}

// pop is a lab with these flags, or nil.
func (p *pool) pop(fixed []string) *ownLab {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.IndexFunc(p.idle, func(lab *ownLab) bool {
		return slices.Equal(lab.fixed, fixed)
	})
	if at < 0 {
		return nil
	}

	lab := p.idle[at]
	p.idle = slices.Delete(p.idle, at, at+1)
	return lab
}

// put takes a lab back, and makes it as new beside what runs next; or stops it. Of too many that
// wait, the one that has waited longest is stopped.
func (p *pool) put(lab *ownLab, broken bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open || broken || lab.fresh == nil {
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
	if len(p.idle) <= maxIdle {
		return nil
	}

	oldest := p.idle[0]
	p.idle = p.idle[1:]
	if <-oldest.ready; oldest.stopped {
		return nil
	}
	return oldest.stop()
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

// sortFlags tells the flags that a running lab can change, the settings, from those that it cannot.
// A lab with any others than these is not reusable. Each of these has its value after it.
func sortFlags(flags []string) (fixed, settings []string, reusable bool) {
	for flag := range slices.Chunk(flags, 2) {
		switch name, value := flag[0], flag[len(flag)-1]; {
		case slices.Contains([]string{"--delay", "--jitter", "--batch", "--gap", "--reject",
			"--fault"}, name):
			settings = append(settings, flag...)
		case name == "--nodes", name == "--image" && !strings.Contains(value, "=oci:"):
			fixed = append(fixed, flag...)
		default:
			return nil, nil, false
		}
	}
	return fixed, settings, true
}
