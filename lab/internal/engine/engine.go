// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// engine carries events from the API to the kernel.
type engine struct {
	cfg      Config
	queue    *queue
	watchers []watcher
	kernel   *kernel
	log      truthLog
	requests chan settingsRequest
	ready    atomic.Bool

	// The rest belongs to the goroutine of enforce.
	cluster  *cluster
	deferred deferredQueue
	settings Settings
	seq      uint64
}

// truthLog is where every commit is recorded: a truth.Writer, or the memory of a test.
type truthLog interface {
	Begin() error
	Write(truth.Record) error
}

// settingsRequest asks the main loop for the settings, after a change of them.
type settingsRequest struct {
	change func(*Settings) error
	reply  chan settingsReply
}

type settingsReply struct {
	settings Settings
	err      error
}

func newEngine(cfg Config, client kubernetes.Interface, k *kernel, log truthLog) *engine {
	q := newQueue(cfg.Settings)
	c := newCluster(cfg.Node)
	c.setFaults(cfg.Settings.Faults)
	return &engine{
		cfg: cfg, queue: q, watchers: watchers(client, q), kernel: k, log: log,
		requests: make(chan settingsRequest),
		cluster:  c, settings: cfg.Settings,
	}
}

// run watches and enforces until ctx ends.
func (e *engine) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range e.watchers {
		group.Go(func() error { w.run(ctx); return nil })
	}
	group.Go(func() error {
		err := e.enforce(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
	return group.Wait()
}

// enforce is the engine's main loop.
func (e *engine) enforce(ctx context.Context) error {
	if err := e.start(ctx); err != nil {
		return err
	}

	for {
		events, next := e.due(time.Now())
		if len(events) > 0 {
			if err := e.carryOut(ctx, events); err != nil {
				return err
			}
			continue
		}
		if err := e.wait(ctx, next, e.queue.wake); err != nil {
			return err
		}
	}
}

// due removes and returns what is to be carried out now: deferred events of faults, or else events
// of watches. Those of faults come first, so that a watch decides about its object in the end.
func (e *engine) due(now time.Time) (due []event, next time.Time) {
	due, nextDeferred := e.deferred.due(now)
	if len(due) > 0 {
		return due, nextDeferred
	}
	due, next = e.queue.due(now)
	if next.IsZero() || !nextDeferred.IsZero() && nextDeferred.Before(next) {
		next = nextDeferred
	}
	return due, next
}

// start takes over the namespace. Without a table from an earlier engine it blocks all pods at
// once, so that none can use the time until the API has answered; with one, it leaves that in force
// until then, and replaces it in one transaction where the socket's buffers allow.
func (e *engine) start(ctx context.Context) error {
	tookOver, err := e.kernel.exists()
	if err != nil {
		return err
	}
	if !tookOver {
		if err := e.transactAll([]truth.Op{e.table()}, e.cause("started")); err != nil {
			return err
		}
	}

	for _, w := range e.watchers {
		if err := e.wait(ctx, time.Time{}, w.synced); err != nil {
			return err
		}
	}

	events := e.queue.all()
	for _, ev := range events {
		ev.apply(e.cluster)
	}
	ops := e.cluster.plan()
	if tookOver {
		ops = append([]truth.Op{e.table()}, ops...)
	}
	if err := e.transactAll(ops, e.cause("synced")); err != nil {
		return err
	}

	e.ready.Store(true)
	klog.InfoS("The engine enforces policy", "objects", len(events), "operations", len(ops),
		"tookOver", tookOver)
	return nil
}

// table is the operation that begins with an empty table.
func (e *engine) table() truth.Op {
	return truth.Op{Kind: truth.KindTable, Table: &truth.Table{PodCIDRs: e.cfg.PodCIDRs,
		Refusal: e.settings.Reject}}
}

// cause is something that happened to the engine itself.
func (e *engine) cause(event string) []truth.Cause {
	return []truth.Cause{{Kind: "Engine", Event: event, Name: e.cfg.Node, Arrived: time.Now()}}
}

// carryOut brings the kernel from before some events to after them.
func (e *engine) carryOut(ctx context.Context, events []event) error {
	causes := make([]truth.Cause, len(events))
	var later []deferredEvent
	for i, ev := range events {
		causes[i] = ev.cause
		// What faults had in store for the object, from before or from this batch, is void.
		e.deferred.cancel(ev.key())
		ev.apply(e.cluster)
		later = append(without(later, ev.key()), e.cluster.injectFaults(ev)...)
	}
	if err := e.transactInPortions(ctx, e.cluster.plan(), causes); err != nil {
		return err
	}

	// The durations of faults count from the commit, not from the event.
	e.deferred.add(time.Now(), later)
	return nil
}

// transactInPortions carries operations out in transactions as the settings ask for them.
func (e *engine) transactInPortions(
	ctx context.Context, ops []truth.Op, causes []truth.Cause,
) error {
	for {
		n := e.kernel.fits(ops)
		if e.settings.Batch > 0 {
			n = min(n, e.settings.Batch)
		}
		if err := e.transact(ops[:n], causes); err != nil {
			return err
		}

		if ops = ops[n:]; len(ops) == 0 {
			return nil
		}
		if err := e.wait(ctx, time.Now().Add(e.settings.Gap), nil); err != nil {
			return err
		}
	}
}

// transactAll carries operations out as fast as it can.
func (e *engine) transactAll(ops []truth.Op, causes []truth.Cause) error {
	for {
		n := e.kernel.fits(ops)
		if err := e.transact(ops[:n], causes); err != nil {
			return err
		}
		if ops = ops[n:]; len(ops) == 0 {
			return nil
		}
	}
}

// transact commits operations, if there are any, and writes the record.
func (e *engine) transact(ops []truth.Op, causes []truth.Cause) error {
	if err := e.log.Begin(); err != nil {
		return err
	}
	before, after, err := e.kernel.commit(ops)
	if err != nil {
		return err
	}
	return e.record(before, after, ops, causes)
}

func (e *engine) record(before, after time.Time, ops []truth.Op, causes []truth.Cause) error {
	e.seq++
	return e.log.Write(truth.Record{Seq: e.seq, Node: e.cfg.Node, Before: before, After: after,
		Causes: causes, Ops: ops})
}

// wait returns when the time has come (zero: never) or wake fires. Settings may change meanwhile.
func (e *engine) wait(ctx context.Context, until time.Time, wake <-chan struct{}) error {
	var alarm <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		alarm = timer.C
	}

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-alarm:
			return nil
		case <-wake:
			return nil
		case r := <-e.requests:
			if err := e.change(r); err != nil {
				return err
			}
		}
	}
}

// changeFaults ends what the faults of before have under way, and sets others. It is a deferred
// event, because a change may be half way to the kernel at the moment.
func (e *engine) changeFaults(f Faults) {
	ends := e.deferred.drain()
	e.deferred.add(time.Now(), []deferredEvent{{ends: true, event: event{
		cause: truth.Cause{Kind: "Settings", Event: "updated"},
		apply: func(c *cluster) {
			for _, ev := range ends {
				ev.apply(c)
			}
			c.setFaults(f)
		},
	}}})
	e.queue.signal()
}

// change answers a request: how to refuse changes at once, faults before any other event is
// enforced, the rest for events that arrive from now on. The error is that of the kernel; one of
// the request goes to who made it.
func (e *engine) change(r settingsRequest) error {
	changed := e.settings
	err := r.change(&changed)
	if err == nil {
		err = changed.Validate()
	}
	if err != nil {
		r.reply <- settingsReply{err: err}
		return nil
	}

	// Only the rule at the end of all guards changes, so no plan is needed.
	if inForce := e.kernel.state.Table; inForce != nil && inForce.Refusal != changed.Reject {
		op := truth.Op{Kind: truth.KindRefusal, Refusal: &changed.Reject}
		if err := e.transact([]truth.Op{op}, []truth.Cause{{Kind: "Settings", Event: "updated",
			Arrived: time.Now()}}); err != nil {
			r.reply <- settingsReply{err: err}
			return err
		}
	}

	if changed.Faults != e.settings.Faults {
		e.changeFaults(changed.Faults)
	}
	e.settings = changed
	e.queue.set(changed)
	r.reply <- settingsReply{settings: changed}
	return nil
}
