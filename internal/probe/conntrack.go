// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"math"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
)

// A probe is a flow of its own, and leaves an entry in the connection tracking table of each node
// that it passes. A node whose table is full drops what is new: the tool would do the damage that
// it is to find. So entries are counted, each as if it stayed as long as it can until it is known
// how long it does, and probes have a part of a table and no more.
const (
	// smallestTable is how many entries the smallest table in wide use has: that of a node with up
	// to four processors where kube-proxy sets it (conntrack.min).
	smallestTable = 131_072
	// partOfTable is which part of a table all probes of a node may fill.
	partOfTable = 4
	// leastPart is which part of that there is in any case, whatever others have left in the table:
	// without any, nothing would be measured until that is gone.
	leastPart = 4
)

// ConntrackLife is how long entries may be in a table whose probes are over.
const ConntrackLife = max(tcpSYNLife, tcpEntryLife, udpEntryLife, sctpInitLife, sctpEntryLife) +
	collectedWithin

// ConntrackBudget is how many entries of a node's connection tracking table one of so many agents
// that share it may hold, if earlier ones of the run have left so many. The size of the table is
// this node's, where that can be read.
func ConntrackBudget(agents, left int) int {
	table := smallestTable
	if text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max"); err == nil {
		if most, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && most > 0 {
			table = most
		}
	}
	budget := table / partOfTable
	return max(1, max(budget-left, budget/leastPart)/max(1, agents))
}

// lives are how long the entry of a probe lives, by what becomes of the probe.
type lives struct {
	dropped  time.Duration // on the way: it has left its own node, and nothing came back
	answered time.Duration
	refused  time.Duration // by its target, where it is not served
}

// worst is the longest.
func (l lives) worst() time.Duration { return max(l.dropped, l.answered, l.refused) }

// gone is when an entry is no longer in the table whose life begins at an instant; 0 if there is
// none.
func gone(begins instant, life time.Duration) instant {
	if life == 0 {
		return 0
	}
	return begins + instant(life+collectedWithin)
}

// tcpLives are those of connections. A reset that answers a SYN removes the entry at once.
var tcpLives = lives{dropped: tcpSYNLife, answered: tcpEntryLife}

// livesOf are those of a mode. The zero value is that of a mode whose probes leave none of their
// own.
func livesOf(mode Mode) lives {
	switch mode {
	case Established:
		return lives{} // there is one connection for each pair, however many probes
	case UDP:
		return lives{dropped: udpEntryLife, answered: udpEntryLife, refused: udpEntryLife}
	case SCTP:
		return lives{dropped: sctpInitLife, answered: sctpEntryLife, refused: sctpEntryLife}
	default:
		return tcpLives
	}
}

const (
	// conntrackSlots are the times in which entries go, of one length: together longer than any
	// entry stays.
	conntrackSlots = 256
	conntrackSlot  = instant(time.Second)
	// forever is when the entry of a connection that stays goes.
	forever = instant(math.MaxInt64)
)

// conntrack counts the entries that the probes of a worker have left in the table of a node.
type conntrack struct {
	lives lives
	most  atomic.Int64 // how many there may be, 0 for any number; for anyone to set
	// dropsHere says that what is dropped has not left its node: it has no entry.
	dropsHere atomic.Bool

	held  int
	told  atomic.Int64        // held, for anyone to read
	peak  int                 // the most that were held at once
	going [conntrackSlots]int // how many go in which slot
	slot  int64               // the first that is not over
	// permitted is the rate that applied when it was last asked for, and stretched when probes last
	// left less often than they would have, for want of entries.
	permitted float64
	stretched instant
	// again is when the next probe may leave that goes beyond the free part.
	again instant
}

func newConntrack(mode Mode) *conntrack {
	return &conntrack{lives: livesOf(mode), stretched: -instant(time.Hour)}
}

// move takes in that an entry goes at another instant than was known. None goes at 0: it has not
// come yet, or is not there any more. It returns the new instant.
func (c *conntrack) move(now, from, to instant) instant {
	c.advance(now)
	c.add(from, -1)
	c.add(to, 1)
	c.peak = max(c.peak, c.held)
	c.told.Store(int64(c.held))
	return to
}

// add counts entries that go at an instant, unless they are gone.
func (c *conntrack) add(until instant, entries int) {
	slot := int64(until/conntrackSlot) + 1 // a little later than it goes
	switch {
	case until == 0 || slot < c.slot:
	case until == forever:
		c.held += entries
	default:
		c.held += entries
		c.going[slot%conntrackSlots] += entries
	}
}

// advance takes the entries away that are gone by now.
func (c *conntrack) advance(now instant) {
	newest := int64(now / conntrackSlot)
	for ; c.slot <= newest && c.held > 0; c.slot++ {
		c.held -= c.going[c.slot%conntrackSlots]
		c.going[c.slot%conntrackSlots] = 0
	}
	c.slot = max(c.slot, newest+1)
}

// beforeTrigger is which part of the budget is used freely before a trigger: what is left is for
// the time just after it, in which resolution counts. Beyond it probes go on at the rate that may
// last, so that the old state is proved whatever an earlier iteration has left; a reserve is kept
// for that.
const (
	beforeTrigger = 2
	reserve       = 16
)

// refill is in how much time the entries that are free may all be taken. It is short beside their
// lives, so that nearly all of the budget is used, and long beside the intervals of probes, so that
// these stretch bit by bit.
const refill = 100 * time.Millisecond

// allowance is how many entries are used freely, by whether a pair has had its trigger; 0 for any
// number.
func (c *conntrack) allowance(triggered bool) int {
	most := int(c.most.Load())
	if c.lives.worst() == 0 || triggered || most == 0 {
		return most
	}
	return max(1, most/beforeTrigger)
}

// rate is the most probes a second that the budget permits.
func (c *conntrack) rate(now instant, triggered bool, most float64) float64 {
	allowance := c.allowance(triggered)
	if allowance == 0 || c.lives.worst() == 0 {
		return most
	}
	c.advance(now)
	free := float64(max(0, allowance-c.held)) / refill.Seconds()
	c.permitted = min(most, max(free, c.lasting(triggered)))
	return c.permitted
}

// qualify says so in what is known of the probes' pace if the budget has limited it of late.
func (c *conntrack) qualify(state pace.State, now instant) pace.State {
	if now-c.stretched < instant(time.Second) {
		state.Rate = min(state.Rate, c.permitted)
		state.Limit = pace.Limit{Cause: pace.TableFull, Entries: int(c.most.Load())}
	}
	return state
}

// full reports whether a probe has to wait: there may be no further entry, or before a trigger,
// where the free part is used up, not yet. A probe that need not wait is taken to leave.
func (c *conntrack) full(now instant, triggered bool) bool {
	most := int(c.most.Load())
	if most == 0 {
		return false
	}

	c.advance(now)
	switch {
	case c.lives.worst() == 0:
	case triggered:
		most = max(1, most-most/reserve)
	case c.held >= c.allowance(false):
		if now < c.again {
			return true
		}
		c.again = now + instant(float64(time.Second)/c.lasting(false))
	}
	return c.held >= most
}

// lasting is how many probes a second may go on for ever.
func (c *conntrack) lasting(triggered bool) float64 {
	return float64(c.allowance(triggered)) / (c.lives.worst() + collectedWithin).Seconds()
}
