// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package wait

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/netpol-latency/netpol-latency/internal/gate"
	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// lines are a certificate for people: what was seen of each address, and the end.
func lines(proof gate.Certificate) string {
	var text strings.Builder
	for _, one := range proof.Expectations {
		if one.Problem != "" {
			fmt.Fprintf(&text, "%-8s%s: %s\n", one.Expect, one.Target, one.Problem)
		}
		for _, address := range one.Addresses {
			fmt.Fprintf(&text, "%-8s%s: %s\n", one.Expect, name(one, address),
				seen(proof, address))
		}
	}
	for _, warning := range proof.Warnings {
		fmt.Fprintf(&text, "warning: %s\n", warning)
	}
	if proof.Result == gate.Open {
		fmt.Fprintf(&text, "open after %s\n", measure.FormatDuration(proof.Took))
	}
	return text.String()
}

// name is an endpoint, and which of its addresses it is about if it is a name.
func name(one gate.Finding, address gate.Address) string {
	if strings.Contains(one.Target, "://"+address.Address.String()) {
		return one.Target
	}
	return fmt.Sprintf("%s (%s)", one.Target, address.Address.Addr())
}

// seen is what an address was seen to be: since when, how well that is known, for how long, by how
// many probes.
func seen(proof gate.Certificate, address gate.Address) string {
	if address.Upper.IsZero() {
		return fmt.Sprintf("not known after %d probes", probes(address))
	}
	since := "from the beginning"
	if address.Resolution > 0 {
		since = fmt.Sprintf("since %s after the start (resolution %s)",
			measure.FormatDuration(address.Upper.Sub(proof.Began)),
			measure.FormatDuration(address.Resolution))
	}
	return fmt.Sprintf("%s (%s) %s, watched for %s by %d probes", address.State, address.Evidence,
		since, measure.FormatDuration(address.Watched), address.Agreed)
}

func probes(address gate.Address) (all uint64) {
	for _, n := range address.Probes {
		all += n
	}
	return all
}

// missing says which expectations keep the gate closed, and what was seen instead: of a gate that
// has seen the contrary of some, these.
func missing(proof gate.Certificate) string {
	var all []string
	for _, one := range proof.Expectations {
		if one.Holds || proof.Result == gate.Opposite && !one.Opposite {
			continue
		}
		all = append(all, lack(one))
	}
	if len(all) == 0 {
		return "each expectation held, but not together" // in the last moment
	}
	return strings.Join(all, "; ")
}

// lack says in what an expectation does not hold.
func lack(one gate.Finding) string {
	should := "it should be " + string(one.Expect)
	if one.Expect == gate.Control {
		should = "it is the control and should answer"
	}
	if len(one.Addresses) == 0 {
		return fmt.Sprintf("%s has no address yet, and %s: %s", one.Target, should, one.Problem)
	}
	for _, address := range one.Addresses {
		if !address.Holds {
			evidence := ""
			if address.Evidence != "" && address.Evidence != address.State {
				evidence = " (" + address.Evidence + ")"
			}
			return fmt.Sprintf("%s is %s%s, and %s", name(one, address), address.State, evidence,
				should)
		}
	}
	return fmt.Sprintf("%s is %s", one.Target, one.Expect)
}

// progress shows what a gate waits for: on a terminal as one line that changes, else as a line
// whenever that is something else.
type progress struct {
	out      io.Writer
	terminal bool
	last     string
	onLine   bool
}

func newProgress(out io.Writer) *progress {
	file, isFile := out.(*os.File)
	return &progress{out: out, terminal: isFile && term.IsTerminal(int(file.Fd()))}
}

func (p *progress) show(now gate.Certificate) {
	what := missing(now)
	if what == p.last && !p.terminal {
		return
	}
	p.last = what
	p.end()
	fmt.Fprintf(p.out, "[%5.1fs] waiting: %s", now.Took.Round(time.Millisecond).Seconds(), what)
	if p.onLine = p.terminal; !p.terminal {
		fmt.Fprintln(p.out)
	}
}

// end takes the line away.
func (p *progress) end() {
	if p.onLine {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.onLine = false
	}
}
