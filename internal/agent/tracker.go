// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// program is what a tracker works for: it knows who is a target and how a pair ends.
type program interface {
	// targets are the pairs with a pod that is considered for the first time, none if it is no
	// target.
	targets(pod measure.Event) []*pair
	// address is the one of the pod's addresses that is to be probed, false if it has none yet.
	address(pod measure.Event) (netip.Addr, bool)
	// finish takes a pair whose probing has ended.
	finish(p *pair) error
}

// tracker owns the pods that a program knows of, by UID and by address, and the pairs with them
// until their probing has ended. It belongs to one goroutine; what others have to say comes through
// its queue.
type tracker struct {
	program program
	prober  prober
	pods    map[string]*trackedPod // by UID
	// byAddress are the UIDs of the pods that addresses belong to: an address belongs to the
	// newest.
	byAddress map[netip.Addr]string
	open      map[*pair]bool

	// proved counts the pairs whose old state is proved, also those that have ended since, and
	// presumed the open ones that are presumed to be blocked.
	proved, presumed int

	notices *queue[notice]
}

// trackedPod is a pod that exists.
type trackedPod struct {
	event measure.Event // the first that had an address, the newest before that
	pairs []*pair
}

// notice is what a tracker is told about a pair: how far it has come, or that its time is over.
type notice struct {
	pair *pair

	proved, presumed, stopped bool
	late                      bool
}

func newTracker(program program, prober prober) *tracker {
	return &tracker{
		program: program, prober: prober, notices: newQueue[notice](),
		pods: make(map[string]*trackedPod), byAddress: make(map[netip.Addr]string),
		open: make(map[*pair]bool),
	}
}

// observe takes in a pod's event. It returns the pairs that can be started: their pod has got its
// address.
func (t *tracker) observe(event measure.Event) (startable []*pair) {
	uid := event.Object.UID
	if event.Type == measure.EventDeleted || event.Finished {
		t.endPod(uid, errTargetGone)
		t.removePod(uid)
		return nil
	}

	pod, known := t.pods[uid]
	if !known {
		pod = &trackedPod{event: event}
		t.pods[uid] = pod
		t.consider(pod)
	}
	if len(pod.event.Addresses) == 0 {
		pod.event = event
	}
	return t.assign(pod)
}

// restart gives up all pairs, whose results nobody waits for any more, and considers every pod
// anew. It returns the pairs that can be started.
func (t *tracker) restart() (startable []*pair) {
	t.stopAll(errRunEnded)
	t.open = make(map[*pair]bool)
	t.byAddress = make(map[netip.Addr]string)
	t.proved, t.presumed = 0, 0

	for _, pod := range t.pods {
		t.consider(pod)
		startable = append(startable, t.assign(pod)...)
	}
	return startable
}

// consider asks the program whether a pod is a target.
func (t *tracker) consider(pod *trackedPod) {
	pod.pairs = t.program.targets(pod.event)
	for _, p := range pod.pairs {
		t.add(p)
	}
}

// add expects the end of a pair.
func (t *tracker) add(p *pair) {
	p.notices, p.observed.told = t.notices, notice{pair: p}
	t.open[p] = true
}

// assign gives a pod's address to those of its pairs that have none.
func (t *tracker) assign(pod *trackedPod) (startable []*pair) {
	address, ok := t.program.address(pod.event)
	if !ok {
		return nil
	}

	for _, p := range pod.pairs {
		if p.address.IsValid() || p.cause != nil {
			continue
		}
		p.address, p.assigned, p.node = address, pod.event.Arrived, pod.event.Node
		startable = append(startable, p)
	}
	return startable
}

// start begins to probe a pair that has its address.
func (t *tracker) start(p *pair) {
	if old, taken := t.byAddress[p.address]; taken && old != p.pod.UID {
		// Nobody has told us of the old pod's end yet, but its address is another pod's now: what
		// answers there from now on would be taken for the old one.
		t.endPod(old, errTargetGone)
	}
	t.byAddress[p.address] = p.pod.UID
	p.probing = t.prober.follow(netip.AddrPortFrom(p.address, uint16(p.port)), p)
}

// trigger lets the open pairs be probed at the pace of the time after a trigger.
func (t *tracker) trigger(at time.Time) {
	for p := range t.open {
		p.trigger(at)
	}
}

// accept lets the open pairs be probed at the pace of the time since the API accepted the trigger.
// Their pace counted from the announcement that it would be written, which can be long before.
func (t *tracker) accept(at time.Time) {
	for p := range t.open {
		p.quicken(at)
	}
}

// expire lets a pair run out of time after a while, in place of what it was given before; never if
// that is 0.
func (t *tracker) expire(p *pair, after time.Duration) {
	if p.deadline != nil {
		p.deadline.Stop()
	}
	if after > 0 {
		p.deadline = time.AfterFunc(after, func() { t.notices.put(notice{pair: p, late: true}) })
	}
}

// endPod ends the pairs with a pod.
func (t *tracker) endPod(uid string, cause error) {
	if pod, known := t.pods[uid]; known {
		for _, p := range pod.pairs {
			p.end(cause)
		}
	}
}

// removePod drops a pod that is gone.
func (t *tracker) removePod(uid string) {
	pod, known := t.pods[uid]
	if !known {
		return
	}
	if address, ok := t.program.address(pod.event); ok && t.byAddress[address] == uid {
		delete(t.byAddress, address)
	}
	delete(t.pods, uid)
}

// stopAll ends every open pair.
func (t *tracker) stopAll(cause error) {
	for p := range t.open {
		p.end(cause)
	}
}

// handle takes in what the queue holds, and hands the pairs that have ended to the program.
func (t *tracker) handle() error {
	for _, n := range t.notices.take() {
		switch {
		case !t.open[n.pair]: // it has ended before, or was given up
		case n.late:
			n.pair.end(errDeadline)
		default:
			if err := t.update(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// update takes in how far an open pair has come.
func (t *tracker) update(n notice) error {
	p := n.pair
	t.proved += change(p.proved, n.proved)
	t.presumed += change(p.presumed, n.presumed)
	p.proved, p.presumed = n.proved, n.presumed
	if !n.stopped {
		return nil
	}

	t.expire(p, 0)
	delete(t.open, p)
	p.pace = t.prober.Pace()
	return t.program.finish(p)
}

// change is by how much the count of those of which something is true changes with one of them.
func change(before, now bool) int {
	switch {
	case before == now:
		return 0
	case now:
		return 1
	default:
		return -1
	}
}

// drain ends every open pair and waits until all have ended.
func (t *tracker) drain(cause error) error {
	t.stopAll(cause)
	for len(t.open) > 0 {
		<-t.notices.ready
		if err := t.handle(); err != nil {
			return err
		}
	}
	return nil
}
