// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/netpol-latency/netpol-latency/internal/runner"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// progress shows how far a run is: on a terminal as one line that changes, else as a line whenever
// something new begins.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time

	mu     sync.Mutex
	last   string // what was begun
	phase  time.Time
	drawn  time.Time
	onLine bool
}

func newProgress(out io.Writer) *progress {
	file, isFile := out.(*os.File)
	return &progress{out: out, terminal: isFile && term.IsTerminal(int(file.Fd())),
		began: time.Now()}
}

// redraw is the shortest time between two changes of the line, and again that between two lines
// about the same where none can change.
const (
	redraw = 50 * time.Millisecond
	again  = 10 * time.Second
)

func (p *progress) show(now runner.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Problem != "" {
		p.clear()
		fmt.Fprintf(p.out, "[%5.1fs] %s: %s\n", time.Since(p.began).Seconds(), now.Scenario,
			visible.Line(now.Problem))
		return
	}

	what := now.Scenario + ": " + now.What
	switch since := time.Since(p.drawn); {
	case what != p.last:
		p.last, p.phase = what, time.Now()
	case !p.terminal && (now.Of == 0 || since < again),
		p.terminal && since < redraw && now.Done != now.Of:
		return
	}

	p.drawn, p.onLine = time.Now(), p.terminal
	before, after := "", "\n"
	if p.terminal {
		before, after = "\r\x1b[K", ""
	}
	fmt.Fprintf(p.out, "%s[%5.1fs] %s%s%s%s", before, time.Since(p.began).Seconds(), what,
		of(now, " "), p.eta(now), after)
}

func of(now runner.Progress, before string) string {
	if now.Of == 0 {
		return ""
	}
	return fmt.Sprintf("%s%d of %d", before, now.Done, now.Of)
}

// eta is how long the phase will take at the pace that it has.
func (p *progress) eta(now runner.Progress) string {
	if now.Done == 0 || now.Done >= now.Of || time.Since(p.phase) < time.Second {
		return ""
	}
	left := time.Since(p.phase) * time.Duration(now.Of-now.Done) / time.Duration(now.Done)
	return fmt.Sprintf(", about %s left", left.Round(time.Second))
}

// end leaves the line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.last = ""
}

// clear makes room for a line that stays.
func (p *progress) clear() {
	if p.onLine {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.onLine = false
	}
}
