// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// maxPerTurn is the most probes that are launched before answers are looked at again.
const maxPerTurn = 128

// worker probes the pairs of one engine from one thread.
type worker struct {
	evaluator
	due      dueQueue
	commands *commandQueue
	ports    sourcePorts
	schedule Schedule
	counted  Stats
	stats    counters
	batch    [batchSize]int32
	replies  []reply
	polled   instant // when answers were asked for
	// controlInterval is the shortest time between two control probes, triggered the newest
	// trigger.
	controlInterval time.Duration
	triggered       instant
	published       published

	quitting bool
	closed   error
	gone     chan struct{}
}

// inFlight is how many probes can be in flight at once.
func inFlight(schedule Schedule, timeout time.Duration) int {
	return int(schedule.MaxRate*(timeout+slack).Seconds()) + batchSize
}

// slack is what is left to probes that end late.
const slack = 50 * time.Millisecond

// timeouts are how long probes wait.
type timeouts struct{ opening, response time.Duration }

func newWorker(
	mode Mode, prober prober, space *workspace, schedule Schedule, wait timeouts,
) *worker {
	most := inFlight(schedule, wait.opening)
	space.conntrack = newConntrack(mode)
	w := &worker{
		evaluator: evaluator{
			workspace: space, prober: prober,
			opening: newTimers(wait.opening, most), replying: newTimers(wait.response, most),
			flows: flowsOf(mode, most),
		},
		commands: &commandQueue{poller: space.poller},
		ports:    newSourcePorts(portsOf(mode)),
		schedule: schedule,
		gone:     make(chan struct{}),
	}

	w.queue = &w.due
	return w
}

// run is the worker's whole life.
func (w *worker) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Both cost precision or peace only, and may be forbidden. Without the first the kernel may
	// wake a thread 50 µs later than it asks (PR_SET_TIMERSLACK(2const)). With the second a thread
	// that wakes does not take the processor from one that runs, which may just be enforcing what
	// is measured (sched(7), SCHED_BATCH): its share stays the same.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	batch := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH}
	_ = unix.SchedSetAttr(0, &batch, 0)

	for !w.quitting {
		w.drainCommands()
		w.pollReplies() // first, so that the sockets of probes that end are used again at once
		w.launchDue()
		w.await()
	}
	w.closed = errors.Join(w.prober.close(), w.poller.close())
	close(w.gone)
}

// drainCommands carries out the commands that have come.
func (w *worker) drainCommands() {
	for _, c := range w.commands.take() {
		switch c.do {
		case add:
			w.add(c.pair)
		case trigger:
			w.trigger(c.pair, c.at)
		case stop:
			w.cancel(c.pair)
		case quit:
			w.cancelAll()
			w.quitting = true
		}
	}
}

func (w *worker) add(p *pair) {
	if w.quitting {
		p.stopped = true
		p.observer.OnStopped()
		return
	}
	now := w.clock.now()
	p.ports = w.ports.of(p.to, now)
	w.due.push(p)
	if w.pace != nil && w.pairs() == 1 && p != w.control {
		w.pace.Begin(time.Duration(now))
	}
	p.interval = w.interval(p, w.paced(), now)
	w.due.reschedule(p, now+instant(Phase(p.number, p.interval)))
	w.prober.add(p)
}

// pairs is how many pairs share the rate. The control pair comes on top of them.
func (w *worker) pairs() int {
	if w.control != nil {
		return len(w.due) - 1
	}
	return len(w.due)
}

// paced is the schedule at the rate that the path bears.
func (w *worker) paced() Schedule {
	if w.pace == nil {
		return w.schedule
	}
	return w.schedule.limited(w.pace.Rate())
}

// trigger brings the pair's next probe forward to the pace that now applies, in its own phase.
func (w *worker) trigger(p *pair, at instant) {
	if p.stopped {
		return
	}
	if !p.triggered {
		w.triggers++
	}
	p.trigger, p.triggered = at, true
	w.triggered = max(w.triggered, at)
	if w.pace != nil {
		w.pace.Trigger()
	}

	now := w.clock.now()
	p.interval = w.interval(p, w.paced(), now)
	w.due.reschedule(p, min(p.due, now+instant(Phase(p.number, p.interval))))
}

// pollReplies takes in what has arrived, and then ends the probes whose time was over before it
// looked: however long the thread stood still, a probe that was answered meanwhile was answered.
func (w *worker) pollReplies() {
	now := w.clock.now()
	switch {
	case w.prober.pollInterval() > 0:
		if now < w.nextPoll() {
			return
		}
		w.polled = now
		w.replies = w.prober.poll(w.replies[:0])
		w.evaluate(w.replies)
		w.looked = now
	case w.opening.overdue(w.table, now) || w.replying.overdue(w.table, now):
		for w.takeEvents(0) {
		}
	}

	w.expire(now)
}

// takeEvents waits so long for something to happen, below zero for ever, and evaluates what has. It
// reports whether there may be more, since the poller tells of so many sockets at once.
func (w *worker) takeEvents(timeout time.Duration) bool {
	w.replies = w.replies[:0]
	events := w.poller.wait(timeout)
	now := w.clock.now()
	for _, event := range events {
		w.replies = w.prober.ready(event.Fd, event.Events, w.replies)
	}
	w.evaluate(w.replies)
	if len(events) < eventsAtOnce-1 && w.prober.pollInterval() == 0 {
		w.looked = now // nothing is left that had come before
	}
	return len(events) > 0
}

// nextPoll is when answers must next be asked for, at the soonest.
func (w *worker) nextPoll() instant { return w.polled + instant(w.prober.pollInterval()/2) }

// launchDue launches the probes that are due, in batches.
func (w *worker) launchDue() {
	n, now := 0, w.clock.now()
	if !w.due.due(now) {
		return
	}
	w.keepPace(now)
	// The rate is what the path and the entries so far permit.
	schedule := w.paced()
	schedule = schedule.limited(w.conntrack.rate(now, w.triggers > 0, schedule.MaxRate))

	for room := maxPerTurn; room > 0 && w.due.due(now); room-- {
		p := w.due[0].pair
		w.checkOverdue(p, now)
		if w.postpone(p, now) || w.rest(p, now) {
			continue
		}
		i, ok := w.take(p, now)
		w.due.reschedule(p, w.nextDue(p, schedule, now, ok))
		if ok {
			w.batch[n] = i
			n++
		}
		if n == batchSize {
			w.launch(w.batch[:n])
			n, now = 0, w.clock.now()
		}
	}
	if n > 0 {
		w.launch(w.batch[:n])
	}
	w.stats.store(w.counted)
}

// keepPace finds the rate that the path bears. When another applies all pairs are spread anew over
// the interval that they then have.
func (w *worker) keepPace(now instant) {
	if w.pace == nil {
		return
	}
	wanted := float64(w.pairs()) / w.schedule.MinInterval.Seconds()
	if w.pace.Advance(time.Duration(now), min(wanted, w.schedule.MaxRate)) {
		schedule := w.paced()
		w.due.rebuild(func(p *pair) instant {
			p.interval = w.interval(p, schedule, now)
			return now + instant(Phase(p.number, p.interval))
		})
	}
	w.published.store(w.pace, w.conntrack, now)
}

// controlRest is the time between two control probes where nothing is searched for or awaited.
const controlRest = 500 * time.Millisecond

// untilControl is the time between two control probes.
func (w *worker) untilControl(now instant) time.Duration {
	switch {
	case w.pace.Adjusting():
		return w.controlInterval
	case w.triggers > 0:
		relative := w.schedule.RelativeStep * float64(now-w.triggered)
		return min(max(w.controlInterval, time.Duration(relative)), controlRest)
	default:
		return controlRest
	}
}

// rest lets the control pair wait while there is no pair.
func (w *worker) rest(p *pair, now instant) bool {
	if p != w.control || w.pairs() > 0 {
		return false
	}
	w.due.reschedule(p, now+instant(controlRest))
	return true
}

// launch sends a batch, and evaluates what is known of it at once.
func (w *worker) launch(batch []int32) {
	w.replies = w.prober.launch(batch, w.replies[:0])
	w.unsent(w.replies)
	w.evaluate(w.replies)
}

// postpone lets the pair wait where every source port of its target has been used of late, or no
// entry of connection tracking is left: its interval stretches. It must not be its turn again at
// once, or many pairs would run after one port.
func (w *worker) postpone(p *pair, now instant) bool {
	if p.ports == nil || w.keepsFlow(p) {
		return false
	}
	wait := p.ports.wait(now)
	full := w.conntrack.full(now, w.triggers > 0)
	if wait == 0 && !full {
		return false
	}

	p.deferred = p.deferred || wait > 0
	if full {
		w.conntrack.stretched, wait = now, max(wait, time.Millisecond)
	}
	w.due.reschedule(p, now+instant(max(wait, p.interval/8)))
	return true
}

// take gives the pair's next probe an entry, if there is one.
func (w *worker) take(p *pair, now instant) (int32, bool) {
	i := int32(none)
	if w.opening.room(w.table) {
		i = w.table.take(p)
	}
	if i == none {
		w.counted.Skipped++
		return none, false
	}

	e := &w.table.entries[i]
	e.planned = p.due
	e.deferred, p.deferred = p.deferred, false
	w.chooseFlow(e, now)
	w.opening.start(i, e.use, now)
	late := now.since(p.due)
	w.pace.Launched()
	w.counted.Sent++
	w.counted.Late += late
	w.counted.MaxLateness = max(w.counted.MaxLateness, late)
	return i, true
}

// nextDue is when the pair's next probe is due, after one that was launched now or could not be.
func (w *worker) nextDue(p *pair, schedule Schedule, now instant, launched bool) instant {
	interval := w.interval(p, schedule, now)
	if full := w.paced(); schedule.MaxRate < full.MaxRate && interval > w.interval(p, full, now) {
		w.conntrack.stretched = now
	}

	changed := interval != p.interval
	p.interval = interval
	switch {
	case !launched:
		// It must not be its turn again whenever there is no room.
		return now + instant(max(interval/8, time.Millisecond))
	case changed && !p.triggered:
		// Pairs that were added while there were fewer would stay as close together as they were
		// then.
		return now + instant(Phase(p.number, interval))
	default:
		return next(p.due, now, interval)
	}
}

// interval is the time until the pair's next probe but one.
func (w *worker) interval(p *pair, schedule Schedule, now instant) time.Duration {
	switch {
	case p == w.control:
		return w.untilControl(now)
	case p.triggered:
		return schedule.After(time.Duration(now-p.trigger), w.pairs())
	case w.pace != nil && w.pace.Searching():
		return schedule.After(0, w.pairs()) // the rate of the time after the trigger is tried
	default:
		return schedule.Before(w.pairs())
	}
}

// await waits until something is due or has happened, and evaluates what has.
func (w *worker) await() {
	if !w.quitting {
		w.takeEvents(w.idle())
	}
}

// idle is how long nothing is due; below zero is until a command comes.
func (w *worker) idle() time.Duration {
	due := instant(-1)
	sooner := func(at instant) {
		if due < 0 || at < due {
			due = at
		}
	}
	if len(w.due) > 0 {
		sooner(w.due[0].due)
	}
	poll := w.nextPoll()
	if t, ok := w.opening.oldest(); ok {
		sooner(max(t.due, poll))
	}
	if t, ok := w.replying.oldest(); ok {
		sooner(max(t.due, poll))
	}
	if due < 0 {
		return -1
	}

	now := w.clock.now()
	if due <= now {
		return 0
	}
	wait := max(time.Duration(due-now), w.minSleep())
	if every := w.prober.pollInterval(); every > 0 && w.opening.count > 0 {
		wait = min(wait, every)
	}
	return wait
}

// maxBatchDelay is the longest that a probe that is due waits for others to leave with it.
const maxBatchDelay = 2 * time.Millisecond

// minSleep is the shortest wait. Waking for every probe costs more than the probe, waking rarely
// makes it late: a part of the interval between the probes of a pair does not matter to the pair.
func (w *worker) minSleep() time.Duration {
	if len(w.due) == 0 {
		return maxBatchDelay
	}
	return min(max(w.due[0].pair.interval/4, 50*time.Microsecond), maxBatchDelay)
}
