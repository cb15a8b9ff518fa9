// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
)

// reader reads objects that a trigger changes.
type reader func(protocol.Object) kube.Get

func readerOf(client metadata.Interface) reader {
	return func(object protocol.Object) kube.Get {
		return kube.GetMetadata(client, kube.Location{
			GroupVersionResource: schema.GroupVersionResource{
				Group: object.Group, Version: object.Version, Resource: object.Resource,
			},
			Namespace: object.Namespace, Name: object.Name,
		})
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
	interval := kube.ReadInterval(r.config.Agents)
	if !one || interval == 0 || r.read == nil {
		return nil
	}

	reads := kube.NewReads(r.read(object), interval)
	if _, err := reads.Begin(ctx); err != nil {
		// The runner's own stamps are left. Nothing is wrong with the latency, it is wider.
		return r.lines.Write(protocol.Line{Warn: &protocol.Warning{
			Text: "the agents cannot read what the trigger changes, " +
				"and starts are as wide as the runner's write: " + err.Error(),
		}})
	}

	ctx, r.stopReading = context.WithCancel(ctx)
	iteration := r.plan.Iteration
	go func() {
		reading, err := reads.Await(ctx)
		if err != nil {
			return // the iteration has ended, or the runner's own stamps are left
		}
		start := measure.StartOfReads(reading.Unseen, reading.Seen)
		select {
		case r.accepted <- accepted{iteration, start}:
		case <-ctx.Done():
		}
	}()
	return nil
}

// accepted is when the API accepted the trigger of an iteration.
type accepted struct {
	iteration int
	start     measure.Start
}
