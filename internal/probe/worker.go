// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// batch is the most probes that are sent at once: those of one call to the kernel share a stamp, which is off by the time that
// all of them take, about 0.1 ms.
const batch = 64

// perTurn is the most probes that are launched before answers are looked at again.
const perTurn = 128

// errTimeout is the reason of a probe that got no answer in time.
var errTimeout = errors.New("wait for the answer: none came in time")

// errCancelled is the reason of a probe whose pair was stopped.
var errCancelled = errors.New("wait for the answer: the pair was stopped")

// action is what an order asks a worker to do.
type action uint8

const (
	add action = iota
	trigger
	stop
	quit
)

// order is a request of another goroutine.
type order struct {
	pair *Pair
	do   action
	at   instant
}

// worker probes the pairs of one engine from one thread.
type worker struct {
	clock    clock
	prober   prober
	schedule Schedule
	agenda   agenda
	flight   *flight
	opening  *deadlines // probes that wait for their first answer
	replying *deadlines // probes that wait for a response on an open connection
	counted  Stats
	stats    counters
	answers  footprint
	batch    [batch]int32
	events   [128]unix.EpollEvent
	poll     []unix.PollFd // the epoll descriptor
	shared   bool          // other threads may run Go code beside the worker's
	polled   instant       // when answers were asked for
	epoll    int
	wake     int // an eventfd: there are orders

	mu     sync.Mutex
	orders []order
	taken  []order

	quitting bool
	closed   error
	gone     chan struct{}
}

// counters are what anyone may read of a worker's statistics. They are brought up to date once for many probes.
type counters struct{ sent, skipped, late, latest atomic.Int64 }

func (c *counters) load() Stats {
	return Stats{
		Sent: uint64(c.sent.Load()), Skipped: uint64(c.skipped.Load()),
		Late: time.Duration(c.late.Load()), Latest: time.Duration(c.latest.Load()),
	}
}

func (c *counters) store(s Stats) {
	c.sent.Store(int64(s.Sent))
	c.skipped.Store(int64(s.Skipped))
	c.late.Store(int64(s.Late))
	c.latest.Store(int64(s.Latest))
}

// inFlight is how many probes can be in flight at once.
func inFlight(schedule Schedule, timeout time.Duration) int {
	return int(schedule.MaxRate*(timeout+slack).Seconds()) + batch
}

func newWorker(mode Mode, prober prober, schedule Schedule, timeout, response time.Duration) (*worker, error) {
	launches := inFlight(schedule, timeout)
	w := &worker{
		clock: newClock(), prober: prober, schedule: schedule,
		flight: newFlight(launches), opening: newDeadlines(timeout, launches),
		replying: newDeadlines(response, launches),
		answers:  newFootprint(mode),
		shared:   runtime.GOMAXPROCS(0) > 1,
		gone:     make(chan struct{}),
	}
	var err error
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("wait for answers: %w", os.NewSyscallError("epoll_create1", err))
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for orders: %w", os.NewSyscallError("eventfd", err)), unix.Close(w.epoll))
	}
	w.poll = []unix.PollFd{{Fd: int32(w.epoll), Events: unix.POLLIN}}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: none}
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, w.wake, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for orders: %w", os.NewSyscallError("epoll_ctl", err)),
			unix.Close(w.wake), unix.Close(w.epoll))
	}
	return w, nil
}

// command hands an order to the worker.
func (w *worker) command(o order) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders = append(w.orders, o)
	if len(w.orders) == 1 {
		one := [8]byte{1}
		_, _ = unix.Write(w.wake, one[:]) // it can only fail once the worker has gone
	}
}

// run is the worker's whole life.
func (w *worker) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Both cost precision or peace only, and may be forbidden. Without the first the kernel may wake a thread 50 µs later
	// than it asks (PR_SET_TIMERSLACK(2const)). With the second a thread that wakes does not take the processor from one
	// that runs, which may just be enforcing what is measured (sched(7), SCHED_BATCH): its share stays the same.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH}, 0)
	for !w.quitting {
		w.obey()
		w.listen() // first, so that the sockets of probes that end are used again at once
		w.launchDue()
		w.await()
	}
	w.closed = errors.Join(w.prober.close(), unix.Close(w.epoll), unix.Close(w.wake))
	close(w.gone)
}

// listen reads the answers that must be asked for, if it is time to, and ends the probes that have had theirs: not
// without a look at what has arrived.
func (w *worker) listen() {
	if w.prober.every() > 0 {
		now := w.clock.now()
		if now < w.listens() {
			return
		}
		w.polled = now
		w.prober.poll(w)
	}
	w.expire()
}

// listens is when answers must next be asked for, at the soonest.
func (w *worker) listens() instant { return w.polled + instant(w.prober.every()/2) }

// obey carries out the orders that have come.
func (w *worker) obey() {
	w.mu.Lock()
	w.taken, w.orders = w.orders, w.taken[:0] // what was carried out makes room for what comes
	w.mu.Unlock()
	for _, o := range w.taken {
		switch o.do {
		case add:
			w.add(o.pair)
		case trigger:
			w.trigger(o.pair, o.at)
		case stop:
			w.cancel(o.pair)
		case quit:
			for len(w.agenda) > 0 {
				w.cancel(w.agenda[len(w.agenda)-1].pair)
			}
			now := w.clock.now()
			for i := range w.flight.slots {
				w.end(int32(i), measure.Ambiguous, now, errCancelled) // of a pair that was done
			}
			w.quitting = true
		}
	}
	clear(w.taken)
}

func (w *worker) add(p *Pair) {
	if w.quitting {
		p.stopped = true
		p.follower.Stopped()
		return
	}
	w.agenda.push(p)
	interval := w.schedule.Before(len(w.agenda))
	w.agenda.reschedule(p, w.clock.now()+instant(Phase(p.number, interval)))
	w.prober.prepare(p)
}

// trigger brings the pair's next probe forward to the pace that now applies, in its own phase.
func (w *worker) trigger(p *Pair, at instant) {
	if p.stopped {
		return
	}
	p.trigger, p.triggered = at, true
	now := w.clock.now()
	p.interval = w.schedule.After(time.Duration(now-at), len(w.agenda))
	w.agenda.reschedule(p, min(p.due, now+instant(Phase(p.number, p.interval))))
}

// launchDue sends the probes that are due, in batches.
func (w *worker) launchDue() {
	n, now := 0, w.clock.now()
	if !w.agenda.due(now) {
		return
	}
	schedule := w.pace(now)
	for room := perTurn; room > 0 && w.agenda.due(now); room-- {
		p := w.agenda[0].pair
		w.look(p, now)
		i, ok := w.launch(p, now)
		w.agenda.reschedule(p, w.following(p, schedule, now, ok))
		if ok {
			w.batch[n] = i
			n++
		}
		if n == batch {
			w.prober.send(w, w.batch[:n])
			n, now = 0, w.clock.now()
		}
	}
	if n > 0 {
		w.prober.send(w, w.batch[:n])
	}
	w.stats.store(w.counted)
}

// pace is the schedule that the answers so far permit.
func (w *worker) pace(now instant) Schedule {
	return w.schedule.limited(w.answers.rate(now, w.schedule.MaxRate))
}

// following is when the pair's next probe is due, after one that was launched now or could not be.
func (w *worker) following(p *Pair, schedule Schedule, now instant, launched bool) instant {
	interval := w.interval(p, schedule, now)
	changed := interval != p.interval
	p.interval = interval
	switch {
	case !launched:
		// It must not be its turn again whenever there is no room.
		return now + instant(max(interval/8, time.Millisecond))
	case changed && !p.triggered:
		// Pairs that were added while there were fewer would stay as close together as they were then.
		return now + instant(Phase(p.number, interval))
	default:
		return next(p.due, now, interval)
	}
}

// interval is the time until the pair's next probe but one.
func (w *worker) interval(p *Pair, schedule Schedule, now instant) time.Duration {
	if p.triggered {
		return schedule.After(time.Duration(now-p.trigger), len(w.agenda))
	}
	return schedule.Before(len(w.agenda))
}

// launch gives the pair's next probe a slot, if there is one.
func (w *worker) launch(p *Pair, now instant) (int32, bool) {
	i := int32(none)
	if w.opening.room(w.flight) {
		i = w.flight.take(p)
	}
	if i == none {
		w.counted.Skipped++
		return none, false
	}
	s := &w.flight.slots[i]
	s.planned = p.due
	w.opening.add(i, s.use, now)
	late := now.since(p.due)
	w.counted.Sent++
	w.counted.Late += late
	w.counted.Latest = max(w.counted.Latest, late)
	return i, true
}

// respond notes that a probe's connection is open and a response is awaited.
func (w *worker) respond(i int32, now instant) {
	s := &w.flight.slots[i]
	if !w.replying.room(w.flight) {
		w.end(i, measure.Ambiguous, now, errTimeout)
		return
	}
	s.phase, s.opened = answering, now
	s.pair.overdue.reply(s, now)
	w.tell(s.pair, now)
	w.replying.add(i, s.use, now)
}

// expire ends the probes whose time is over.
func (w *worker) expire() {
	now := w.clock.now()
	for t, ok := w.opening.expired(w.flight, now); ok; t, ok = w.opening.expired(w.flight, now) {
		if w.flight.slots[t.slot].phase == launched {
			w.end(t.slot, measure.Dropped, now, errTimeout)
		}
	}
	for t, ok := w.replying.expired(w.flight, now); ok; t, ok = w.replying.expired(w.flight, now) {
		w.end(t.slot, measure.Unanswered, now, errTimeout)
	}
}

// end gives a probe its verdict, and tells the follower as far as the order of sends permits.
func (w *worker) end(i int32, verdict measure.Verdict, done instant, err error) {
	s := &w.flight.slots[i]
	if s.phase == idle || s.phase == ended {
		return
	}
	w.prober.release(w, s)
	if verdict == measure.Allowed || verdict == measure.Unanswered {
		w.answers.answered(w.clock.now())
	}
	answered := s.phase == answering
	s.phase, s.verdict, s.done, s.err = ended, verdict, max(done, s.sent), err
	w.hint(s, answered)
	w.report(s.pair)
}

// hint takes in what a probe that has ended says about those whose replies are overdue. One whose connection was open
// has said it before.
func (w *worker) hint(s *slot, answered bool) {
	o := &s.pair.overdue
	switch {
	case answered || s.verdict == measure.Ambiguous:
		return
	case s.verdict == measure.Allowed:
		o.reply(s, s.done)
	default:
		o.miss(s)
	}
	w.tell(s.pair, s.done)
}

// drop closes the slot's own socket, if it has one.
func (s *slot) drop() {
	if s.fd != none {
		_ = unix.Close(int(s.fd)) // the reset that closes a connection has no reader
		s.fd = none
	}
}

// report tells the follower the outcomes that no earlier probe's holds back.
func (w *worker) report(p *Pair) {
	for p.first != none && w.flight.slots[p.first].phase == ended {
		one := w.flight.shift(p)
		if p.done {
			continue
		}
		outcome := measure.Outcome{
			Verdict: one.verdict, Response: int(one.response), Err: one.err,
			Planned: w.clock.time(one.planned), Sent: w.clock.time(one.sent),
			SentBy: w.clock.time(one.sentBy), Done: w.clock.time(one.done),
		}
		if one.opened != 0 {
			outcome.Opened = w.clock.time(one.opened)
		}
		p.done = p.follower.Ended(outcome)
	}
	if p.done {
		w.retire(p)
	}
}

// cancel stops a pair that is not done. What is still in flight proves nothing.
func (w *worker) cancel(p *Pair) {
	if p.stopped {
		return
	}
	w.endAll(p, measure.Ambiguous, errCancelled)
	w.retire(p)
}

// endAll ends a pair's probes in flight. The oldest of these never has its verdict already: report would have told it.
func (w *worker) endAll(p *Pair, verdict measure.Verdict, err error) {
	now := w.clock.now()
	for p.first != none {
		w.end(p.first, verdict, now, err)
	}
}

// retire forgets a pair, once.
func (w *worker) retire(p *Pair) {
	if p.stopped {
		return
	}
	p.stopped, p.done = true, true
	w.abandon(p)
	w.agenda.remove(p)
	w.prober.forget(p)
	p.follower.Stopped()
}

// abandon gives up a done pair's probes. One that waits for its first answer keeps its socket until it has come or its time
// is over: to free hundreds at once would make the probes of other pairs late, just when the network changes.
func (w *worker) abandon(p *Pair) {
	for i := p.first; i != none; i = w.flight.slots[i].next {
		if s := &w.flight.slots[i]; s.phase != launched || s.fd == none {
			w.prober.release(w, s)
			s.phase = ended
		}
	}
	w.report(p)
}

// await waits until something is due or has happened, and deals with what has.
func (w *worker) await() {
	if w.quitting {
		return
	}
	wait := w.idle()
	if wait != 0 && !w.sleep(wait) {
		return
	}
	n, err := unix.EpollWait(w.epoll, w.events[:], 0)
	if err != nil {
		return // EINTR; there is no other error that could come and go
	}
	for _, event := range w.events[:n] {
		if event.Fd == none {
			var count [8]byte
			_, _ = unix.Read(w.wake, count[:]) // the orders themselves are taken next
			continue
		}
		w.prober.ready(w, event.Fd, event.Events)
	}
}

// briefly is the longest wait in which the thread keeps its place in Go's runtime.
const briefly = 2 * time.Millisecond

// sleep waits until something has happened or the time is over, for ever if that is below zero. It reports whether
// something may have happened.
//
// Go's runtime takes the right to run Go code from a thread that waits in the kernel, and as long as it finds one to
// take it looks for more every 20 µs (runtime.sysmon). A wait every millisecond would keep it at that, at a twentieth
// of what the probes cost; and a busy process would let the thread queue for the right when it is woken. So a short wait
// does not tell the runtime, unless this is the only thread that may run: a signal, as for a collection of garbage,
// ends it early.
func (w *worker) sleep(wait time.Duration) bool {
	if wait < 0 {
		n, err := unix.Ppoll(w.poll, nil, nil)
		return n > 0 || err != nil
	}
	timeout := unix.NsecToTimespec(int64(wait))
	if wait > briefly || !w.shared {
		n, err := unix.Ppoll(w.poll, &timeout, nil)
		return n > 0 || err != nil // EINTR is as good as a time-out
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&w.poll[0])), 1,
		uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	return n > 0 || errno != 0
}

// idle is how long nothing is due; below zero is until an order comes.
func (w *worker) idle() time.Duration {
	due := instant(-1)
	sooner := func(at instant) {
		if due < 0 || at < due {
			due = at
		}
	}
	if len(w.agenda) > 0 {
		sooner(w.agenda[0].due)
	}
	listens := w.listens()
	if t, ok := w.opening.head(); ok {
		sooner(max(t.due, listens))
	}
	if t, ok := w.replying.head(); ok {
		sooner(max(t.due, listens))
	}
	if due < 0 {
		return -1
	}
	now := w.clock.now()
	if due <= now {
		return 0
	}
	wait := max(time.Duration(due-now), w.quantum())
	if every := w.prober.every(); every > 0 && w.opening.count > 0 {
		wait = min(wait, every)
	}
	return wait
}

// gather is the longest that a probe that is due waits for others to leave with it.
const gather = 2 * time.Millisecond

// quantum is the shortest wait. Waking for every probe costs more than the probe, waking rarely makes it
// late: a part of the interval between the probes of a pair does not matter to the pair.
func (w *worker) quantum() time.Duration {
	if len(w.agenda) == 0 {
		return gather
	}
	return min(max(w.agenda[0].pair.interval/4, 50*time.Microsecond), gather)
}

// watch has the prober told what happens on a socket, by a number that it gives, 0 or more.
func (w *worker) watch(socket, number int32) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET, Fd: number}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, int(socket), &event))
}
