// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package labtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// resetTimeout is how long a lab may take to be as new before another is started in its place.
const resetTimeout = time.Minute

// pool has the labs that tests have given back, by the flags that they were started with. To start
// one costs more processor time than most tests do.
type pool struct {
	mu   sync.Mutex
	open bool // someone will close it
	idle map[string][]*ownLab
}

// idleLabs are those of this process.
var idleLabs pool

// ownLab is a lab that one test at a time has to itself.
type ownLab struct {
	*Lab
	key   string
	stop  func() error
	fresh inventory

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
	settings, others := splitSettings(flags)
	key := strings.Join(others, " ")
	for lab := p.pop(key); lab != nil; lab = p.pop(key) {
		<-lab.ready
		if lab.stopped {
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
	lab := &ownLab{Lab: started, key: key, stop: stop}
	if lab.fresh, err = lab.takeInventory(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return lab, nil
}

func (p *pool) pop(key string) *ownLab {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.idle[key]
	if len(all) == 0 {
		return nil
	}
	p.idle[key] = all[1:]
	return all[0]
}

// put takes a lab back, and makes it as new beside what runs next; or stops it.
func (p *pool) put(lab *ownLab, broken bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open || broken {
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
	if p.idle == nil {
		p.idle = make(map[string][]*ownLab)
	}
	p.idle[lab.key] = append(p.idle[lab.key], lab)
	return nil
}

// close stops the labs that nobody uses any more.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	var stopped error
	for _, labs := range p.idle {
		for _, lab := range labs {
			if <-lab.ready; !lab.stopped {
				stopped = errors.Join(stopped, lab.stop())
			}
		}
	}
	p.idle = nil
	return stopped
}

// splitSettings tells the flags that a running lab can change from the others. Each has its value
// after it.
func splitSettings(flags []string) (settings, others []string) {
	for i := 0; i < len(flags); i += 2 {
		pair := flags[i:min(i+2, len(flags))]
		switch flags[i] {
		case "--delay", "--jitter", "--batch", "--gap", "--reject", "--fault":
			settings = append(settings, pair...)
		default:
			others = append(others, pair...)
		}
	}
	return settings, others
}
