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

// reader reads and watches objects that a trigger changes.
type reader func(protocol.Object) kube.Subject

func readerOf(client metadata.Interface) reader {
	return func(object protocol.Object) kube.Subject {
		return kube.SubjectAt(client, kube.Location{
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

// followTrigger begins to read and to watch the object that the trigger will change. The result
// comes through r.accepted. It returns once the first read was answered.
func (r *remote) followTrigger(ctx context.Context) error {
	r.stopReading()
	object, one := r.changes()
	interval := kube.ReadInterval(r.config.Agents)
	if !one || interval == 0 || r.read == nil {
		return nil
	}

	ctx, cancel := context.WithCancel(ctx)
	reads := kube.NewReads(r.read(object), interval)
	if _, err := reads.Begin(ctx); err != nil {
		cancel()
		// The runner's own stamps are left. Nothing is wrong with the latency, it is wider.
		return r.lines.Write(protocol.Line{Warn: &protocol.Warning{
			Text: "the agents cannot read what the trigger changes, " +
				"and starts are as wide as the runner's write: " + err.Error(),
		}})
	}

	r.stopReading = cancel
	iteration := r.plan.Iteration
	go func() {
		defer cancel() // the watch is of no more use
		reading, err := reads.Await(ctx)
		if err != nil {
			return // the iteration has ended, or the runner's own stamps are left
		}
		select {
		case r.accepted <- accepted{iteration, reading.Start()}:
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
