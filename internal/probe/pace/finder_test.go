// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// path is a simulated way to the targets, behind an engine that filters one packet after the other,
// so many a second, and loses what comes when its queue is full.
type path struct {
	verdicts float64
	trip     time.Duration // without a queue
	silent   bool          // policy forbids what pairs send, the engine's queue has it all the same
	control  bool          // there is a control pair, which is answered
	loses    float64       // a part of all probes, whatever the rate
	polices  float64       // the rate above which it loses instead of queueing, 0 for none
	stall    time.Duration // how long the prober stands still every now and then
	halts    time.Duration // and how long the engine does
}

const queueLength = 1024

// controlInterval is the time between two probes of the control.
const controlInterval = 20 * time.Millisecond

// simulation is an engine of pairs on a path.
type simulation struct {
	path
	finder *Finder
	random *rand.Rand

	now, free  time.Duration // when the queue has filtered what is in it
	send       time.Duration // when pairs send next
	ask        time.Duration // when the control pair does
	looked     time.Duration
	stalled    time.Duration
	halted     time.Duration
	flying     []flight
	police     *rate.Limiter
	unanswered int // of the pairs, since their newest reply
	replied    time.Duration
	longest    time.Duration
}

type flight struct {
	from          Source
	sent, arrives time.Duration
}

func newSimulation(most float64, on path) *simulation {
	s := &simulation{path: on, finder: New(most, 500*time.Millisecond),
		random: rand.New(rand.NewPCG(1, 2))}
	s.now = time.Second
	s.send, s.ask, s.stalled = s.now, s.now, s.now
	s.police = rate.NewLimiter(rate.Limit(on.polices), 10)
	s.finder.Begin(s.now)
	return s
}

// run goes on for a time, at the rate that is wanted and permitted, and returns when the search
// ended.
func (s *simulation) run(until time.Duration, wanted float64) (found time.Duration) {
	for s.now < until {
		s.now = min(s.send, s.ask)
		if s.stall > 0 && s.now-s.stalled > 4*s.stall {
			s.now += s.stall
			s.stalled, s.send, s.ask = s.now, s.now, s.now
		}
		if s.halts > 0 && s.now-s.halted > 3*s.halts {
			s.halted, s.free = s.now, max(s.free, s.now)+s.halts
		}
		s.receive()
		s.finder.Advance(s.now, wanted)
		if !s.finder.searching && found == 0 {
			found = s.now
		}
		if s.now >= s.send {
			s.launch(FromPair)
			s.send = s.now + time.Duration(float64(time.Second)/min(wanted, s.finder.rate))
		}
		if s.control && s.now >= s.ask {
			s.launch(FromControl)
		}
		if s.now >= s.ask {
			s.ask = s.now + controlInterval
		}
	}
	return found
}

func (s *simulation) launch(from Source) {
	s.finder.Launched()
	s.free = max(s.free, s.now)
	wait := s.free - s.now
	answered := (from == FromControl || !s.silent) && s.random.Float64() >= s.loses
	if s.polices > 0 && !s.police.AllowN(time.Unix(0, int64(s.now)), 1) {
		answered = false
	}
	if s.halts == 0 && wait.Seconds()*s.verdicts > queueLength {
		s.missed(from)
		return
	}

	s.free += time.Duration(float64(time.Second) / s.verdicts)
	s.longest = max(s.longest, s.free-s.now)
	if !answered {
		s.missed(from)
		return
	}
	s.flying = append(s.flying, flight{from, s.now, s.free + s.trip})
}

func (s *simulation) missed(from Source) {
	if from == FromPair && !s.silent {
		s.unanswered++
	}
}

func (s *simulation) receive() {
	for len(s.flying) > 0 && s.flying[0].arrives <= s.now {
		one := s.flying[0]
		s.flying = s.flying[1:]
		if one.from == FromPair {
			s.finder.Lost(s.unanswered, s.replied)
			s.unanswered, s.replied = 0, one.arrives
		}
		at := one.arrives
		if s.stall > 0 {
			at = s.now // sockets are read when the thread runs
		}
		s.finder.Answered(one.from, one.sent, at, s.looked)
	}
	s.looked = s.now
}

// TestPace finds the rate of paths: well below what the engine can filter, soon, and without a
// queue that takes long to drain.
func TestPace(t *testing.T) {
	const fast = 1e9
	tests := []struct {
		name      string
		most      float64
		wanted    float64
		path      path
		low, high float64 // the rate that is found
		within    time.Duration
		limit     Cause
	}{
		{"a kernel's filter", 10_000, 20_000, path{verdicts: fast},
			10_000, 10_000, 600 * time.Millisecond, Unlimited},
		{"far away", 10_000, 20_000, path{verdicts: fast, trip: 50 * time.Millisecond},
			10_000, 10_000, 800 * time.Millisecond, Unlimited},
		{"at full speed", 100_000, 1e6, path{verdicts: fast},
			100_000, 100_000, 700 * time.Millisecond, Unlimited},
		{"one pair", 10_000, 1000, path{verdicts: fast},
			1000, 2000, 500 * time.Millisecond, Unlimited},
		{"the user's own bound", 50, 1000, path{verdicts: fast},
			50, 50, 200 * time.Millisecond, Unlimited},
		{"silent", 10_000, 20_000, path{verdicts: fast, silent: true, control: true},
			10_000, 10_000, 800 * time.Millisecond, Unlimited},
		{"silent, and no control", 10_000, 20_000, path{verdicts: fast, silent: true},
			1000, 1000, 400 * time.Millisecond, NothingAnswered},
		{"500 verdicts", 10_000, 20_000, path{verdicts: 500},
			100, 313, 1500 * time.Millisecond, RoundTripsRose},
		{"500 verdicts, silent", 10_000, 20_000,
			path{verdicts: 500, silent: true, control: true},
			100, 313, 2 * time.Second, RoundTripsRose},
		{"2,000 verdicts", 10_000, 20_000, path{verdicts: 2000},
			400, 1250, 1500 * time.Millisecond, RoundTripsRose},
		{"2,000 verdicts, silent", 10_000, 20_000,
			path{verdicts: 2000, silent: true, control: true},
			400, 1250, 2 * time.Second, RoundTripsRose},
		{"20,000 verdicts", 10_000, 20_000, path{verdicts: 20_000},
			10_000, 10_000, 600 * time.Millisecond, Unlimited},
		{"20,000 verdicts, too many probes", 100_000, 1e6, path{verdicts: 20_000},
			4000, 13_000, 2 * time.Second, RoundTripsRose},
		{"losses as ever", 10_000, 20_000, path{verdicts: fast, loses: 0.1},
			10_000, 10_000, 800 * time.Millisecond, Unlimited},
		{"it loses what is too much", 10_000, 20_000, path{verdicts: fast, polices: 1000},
			200, 900, 1500 * time.Millisecond, ProbesLost},
		{"the engine stands still", 10_000, 20_000,
			path{verdicts: 100_000, halts: 60 * time.Millisecond},
			10_000, 10_000, 1500 * time.Millisecond, Unlimited},
		{"the prober stands still", 10_000, 20_000,
			path{verdicts: fast, trip: time.Millisecond, stall: 40 * time.Millisecond},
			10_000, 10_000, 1500 * time.Millisecond, Unlimited},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSimulation(test.most, test.path)
			began := s.now
			found := s.run(began+5*time.Second, test.wanted)
			state := s.finder.State()
			if found == 0 || found-began > test.within {
				t.Errorf("the search took %s; want at most %s", found-began,
					test.within)
			}
			if state.Rate < test.low || state.Rate > test.high || state.Limit.Cause != test.limit {
				t.Errorf("the rate is %g (%d); want %g to %g (%d)", state.Rate, state.Limit.Cause,
					test.low, test.high, test.limit)
			}
			if s.verdicts < fast && s.longest > 400*time.Millisecond {
				t.Errorf("a probe waited for %s", s.longest)
			}
		})
	}
}

// TestPaceAfterTrigger has the path bear less once the trigger is written: the rate falls at once
// and for this time, and what is lost meanwhile is known to say nothing. The next search tries the
// rate that was found.
func TestPaceAfterTrigger(t *testing.T) {
	s := newSimulation(10_000, path{verdicts: 20_000})
	s.run(s.now+time.Second, 20_000)
	if state := s.finder.State(); state.Rate != 10_000 || !state.Found {
		t.Fatalf("before the trigger: %+v; want 10,000 probes a second", state)
	}

	s.finder.Trigger()
	s.verdicts = 1000
	slow := s.now
	s.run(slow+4*time.Second, 20_000)
	after := s.finder.State()
	if after.Rate > 625 || after.Limit.Cause != RoundTripsRose || !after.Found {
		t.Errorf("after the trigger: %+v; want a rate that the path bears", after)
	}
	for _, sent := range []struct {
		after time.Duration
		lost  bool
	}{{-50 * time.Millisecond, false}, {100 * time.Millisecond, true},
		{3900 * time.Millisecond, false}} {
		if at := slow + sent.after; s.finder.Overloaded(at) != sent.lost {
			t.Errorf("a probe that was lost %s after the path got slow is overloaded: %t; want %t",
				sent.after, !sent.lost, sent.lost)
		}
	}

	s.verdicts = 20_000
	s.finder.Begin(s.now)
	s.run(s.now+time.Second, 20_000)
	if state := s.finder.State(); state.Rate != 10_000 || state.Limit.Cause != Unlimited {
		t.Errorf("in the next search: %+v; want 10,000 probes a second", state)
	}
}

// TestLimitIsTriedAgain has the path bear more after a limit was found: the rate rises again, soon
// after it may be tried. A limit that is true stays, and is tried ever less often.
func TestLimitIsTriedAgain(t *testing.T) {
	tests := []struct {
		name      string
		verdicts  float64       // from the second second on
		silent    bool          // the old state
		after     time.Duration // how long it is waited for
		low, high float64       // the rate then
		limit     Cause
		searches  int // at most
	}{
		{"by mistake", 1e9, false, 8 * time.Second, 10_000, 10_000, Unlimited, 2},
		{"by mistake, silent", 1e9, true, 8 * time.Second, 10_000, 10_000, Unlimited, 2},
		{"in part by mistake", 4000, false, 8 * time.Second, 700, 2500, RoundTripsRose, 2},
		{"rightly", 500, false, 2 * time.Minute, 50, 313, RoundTripsRose, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSimulation(10_000, path{verdicts: 500, silent: test.silent, control: true})
			began := s.now
			s.run(began+3*time.Second, 20_000)
			if state := s.finder.State(); state.Rate > 313 || !state.Found {
				t.Fatalf("before: %+v; want a rate that the path bears", state)
			}

			s.verdicts = test.verdicts
			searches, searching := 1, false
			for end := s.now + test.after; s.now < end; {
				s.run(s.now+10*time.Millisecond, 20_000)
				if s.finder.searching && !searching {
					searches++
				}
				searching = s.finder.searching
			}
			state := s.finder.State()
			if state.Rate < test.low || state.Rate > test.high || state.Limit.Cause != test.limit {
				t.Errorf("the rate is %g (%d); want %g to %g (%d)", state.Rate, state.Limit.Cause,
					test.low, test.high, test.limit)
			}
			if searches > test.searches {
				t.Errorf("%d searches; want at most %d", searches, test.searches)
			}
			if s.longest > 600*time.Millisecond {
				t.Errorf("a probe waited for %s", s.longest)
			}
		})
	}
}

// TestSilenceOfTheControl has nothing answer any more, not the control either: the queue may be so
// full that replies come too late.
func TestSilenceOfTheControl(t *testing.T) {
	finder := New(10_000, 500*time.Millisecond)
	now := time.Second
	finder.Begin(now)
	finder.Answered(FromControl, now, now+time.Millisecond, now)
	for end := now + LongestSearch + time.Second; now < end; now += 5 * time.Millisecond {
		finder.Launched()
		finder.Advance(now, 20_000)
	}
	if state := finder.State(); state.Rate > LowestRate || !state.Found {
		t.Errorf("%+v; want the search to end at %d probes a second at the most", state,
			LowestRate)
	}
}

// TestTriggerEndsTheRetry has the trigger come while a limit is tried: what was found before
// counts.
func TestTriggerEndsTheRetry(t *testing.T) {
	s := newSimulation(10_000, path{verdicts: 500})
	s.run(s.now+3*time.Second, 20_000)
	found := s.finder.State()
	s.verdicts = 1e9
	for !s.finder.retrying || s.finder.rate <= found.Rate {
		s.run(s.now+time.Millisecond, 20_000)
	}

	s.finder.Trigger()
	s.run(s.now+time.Second, 20_000)
	if state := s.finder.State(); state.Rate != found.Rate || state.Limit != found.Limit {
		t.Errorf("after the trigger: %+v; want what was before, %+v", state, found)
	}
}

// TestPaceWarning says what limits a rate.
func TestPaceWarning(t *testing.T) {
	tests := []struct {
		name  string
		state State
		want  string
	}{
		{"nothing", State{Rate: 10_000}, ""},
		{"round trips", State{Rate: 512, Limit: Limit{Cause: RoundTripsRose, At: 2048,
			Least: 200 * time.Microsecond, Worst: 40 * time.Millisecond}},
			"the path: round trips rose from 0.20ms to 40.0ms at 2,000 probes a second; " +
				"probing at 510"},
		{"losses", State{Rate: 1600, Limit: Limit{Cause: ProbesLost, At: 6400, Lost: 60, Of: 100}},
			"the path: 60 of 100 probes were lost at 6,400 probes a second; probing at 1,600"},
		{"silence", State{Rate: 1000, Limit: Limit{Cause: NothingAnswered}},
			"the path: nothing answers that tells how many probes it bears; " +
				"probing at 1,000 a second"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.state.Warning(); got != test.want {
				t.Errorf("it says %q; want %q", got, test.want)
			}
		})
	}
}
