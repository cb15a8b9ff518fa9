// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// The bounds of reading the object that a trigger changes.
const (
	// minReadInterval is the shortest time between the beginnings of two reads: the start of a
	// latency cannot be known better, and shorter is not worth the API server's time.
	minReadInterval = 5 * time.Millisecond
	// maxReads is how many reads a second all agents of a run may send.
	maxReads = 300
	// maxReadInterval is where so many agents share the reads that they are worth nothing.
	maxReadInterval = 100 * time.Millisecond
	// readTimeout is how long a read may take.
	readTimeout = time.Second
)

// readInterval is the time between two reads of each of so many agents, zero if there are too many
// to read at all.
func readInterval(agents int) time.Duration {
	interval := max(minReadInterval, time.Duration(agents)*time.Second/maxReads)
	if interval > maxReadInterval {
		return 0
	}
	return interval
}

// revisions reads an object that a trigger changes.
type revisions func(context.Context, protocol.Object) (kube.Revision, error)

func revisionsFrom(client metadata.Interface) revisions {
	return func(ctx context.Context, object protocol.Object) (kube.Revision, error) {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		return kube.ReadRevision(ctx, client, kube.Location{
			GroupVersionResource: schema.GroupVersionResource{
				Group: object.Group, Version: object.Version, Resource: object.Resource,
			},
			Namespace: object.Namespace, Name: object.Name,
		})
	}
}

// acceptance finds out when the API accepts the change of an object, by reading it.
type acceptance struct {
	read     revisions
	object   protocol.Object
	interval time.Duration
	before   kube.Revision // what is to change
	unseen   time.Time     // when the newest read that found it unchanged was sent
}

// begin reads the object as it is before the change.
func (a *acceptance) begin(ctx context.Context) (err error) {
	sent := time.Now()
	if a.before, err = a.read(ctx, a.object); err != nil {
		return err
	}
	a.unseen = sent
	return nil
}

// await reads the object until it has changed. A read that fails says nothing: the interval that
// contains the change becomes wider. It gives up when the context ends.
func (a *acceptance) await(ctx context.Context) (start measure.Start, ok bool) {
	tick := time.NewTicker(a.interval)
	defer tick.Stop()

	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return measure.Start{}, false
		}

		sent := time.Now()
		now, err := a.read(ctx, a.object)
		switch answered := time.Now(); {
		case err != nil:
		case now != a.before:
			return measure.StartOfReads(a.unseen, answered), true
		default:
			a.unseen = sent
		}
	}
}

// changes picks the object whose change starts this agent's latencies: its own pod if that is one
// of those that the trigger changes, else the only one there is.
func (r *remote) changes() (protocol.Object, bool) {
	for _, object := range r.plan.Changes {
		own := object.Resource == "pods" && object.Namespace == r.config.ClientNamespace
		if own && object.Name == r.config.Pod {
			return object, true
		}
	}
	if len(r.plan.Changes) == 1 {
		return r.plan.Changes[0], true
	}
	return protocol.Object{}, false
}

// followTrigger begins to read the object that the trigger will change. The result comes through
// r.accepted. It returns once the first read was answered.
func (r *remote) followTrigger(ctx context.Context) error {
	r.stopReading()
	object, one := r.changes()
	interval := readInterval(r.config.Agents)
	if !one || interval == 0 || r.read == nil {
		return nil
	}

	a := &acceptance{read: r.read, object: object, interval: interval}
	if err := a.begin(ctx); err != nil {
		// The runner's own stamps are left. Nothing is wrong with the latency, it is wider.
		return r.lines.Write(protocol.Line{Warn: &protocol.Warning{
			Text: "the agents cannot read what the trigger changes, " +
				"and starts are as wide as the runner's write: " + err.Error(),
		}})
	}

	ctx, r.stopReading = context.WithCancel(ctx)
	iteration := r.plan.Iteration
	go func() {
		if start, ok := a.await(ctx); ok {
			select {
			case r.accepted <- accepted{iteration, start}:
			case <-ctx.Done():
			}
		}
	}()
	return nil
}

// accepted is when the API accepted the trigger of an iteration.
type accepted struct {
	iteration int
	start     measure.Start
}
