// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/probe/pace"
)

// environment is what a scenario works with.
type environment struct {
	config   Config
	scenario Scenario
	client   kubernetes.Interface
	prober   prober
	metrics  *Metrics
	counters *probeCounters
	results  *results
	// progress tells the HTTP server how far the run is.
	progress *progress
	idling   sync.Once
	scale    *timescale
}

// prober probes addresses for observers: a [probe.Engine], or a network of virtual time in tests.
type prober interface {
	follow(to netip.AddrPort, observer probe.Observer) following
	// Epoch is what the instants of outcomes count from, by the monotonic clock.
	Epoch() time.Time
	// Pace is what is known of the path of the probes.
	Pace() pace.State
	// LimitConntrack says how many entries of connection tracking the probes may hold.
	LimitConntrack(entries int)
	// ConntrackEntries is how many they may hold now.
	ConntrackEntries() int
	// DropsAreHere says whether what is dropped is dropped on the node of this process.
	DropsAreHere(are bool)
}

// following is one address that is being probed.
type following interface {
	Trigger(at time.Time)
	Stop()
}

// engineOf makes an engine a prober.
type engineOf struct{ *probe.Engine }

func (e engineOf) follow(to netip.AddrPort, observer probe.Observer) following {
	return e.Add(to, observer)
}

// newEnvironment ties a run to a cluster and to a way of probing.
func newEnvironment(
	scenario Scenario, config Config, client kubernetes.Interface, prober prober,
) *environment {
	env := &environment{
		config: config, scenario: scenario, client: client, prober: prober,
		metrics: NewMetrics(), results: &results{}, progress: newProgress(),
		scale: newTimescale(prober.Epoch(), Skew{}),
	}
	env.counters = env.metrics.begin(scenario.Name)
	return env
}

func (e *environment) ready() { e.progress.ready.send() }

// progress says how far a run is.
type progress struct {
	ready     signal // what exists has been delivered, and what is expected has been seen
	concluded signal // every target has a result, or the run was ended
}

func newProgress() *progress { return &progress{ready: newSignal(), concluded: newSignal()} }

// signal is a channel that is closed once.
type signal struct {
	sent chan struct{}
	once *sync.Once
}

func newSignal() signal { return signal{sent: make(chan struct{}), once: new(sync.Once)} }

// send closes the channel, unless it is closed.
func (s signal) send() { s.once.Do(func() { close(s.sent) }) }

// feed is what reaches a scenario from the API.
type feed struct {
	pods         chan measure.Event
	podsSynced   chan struct{}
	policies     chan measure.Event
	policySynced chan struct{}
}

// watch starts the watches that the scenario needs. The returned function ends them and waits.
func (e *environment) watch(ctx context.Context) (*feed, func()) {
	f := &feed{
		pods: make(chan measure.Event), podsSynced: make(chan struct{}),
		policies: make(chan measure.Event), policySynced: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(ctx)
	targets := kube.Namespace{Client: e.client, Name: e.config.TargetNamespace}
	clients := kube.Namespace{Client: e.client, Name: e.config.ClientNamespace}

	var watches errgroup.Group
	watches.Go(func() error {
		return targets.WatchPods(ctx, e.config.TargetSelector,
			into(ctx, f.pods), func() { close(f.podsSynced) })
	})
	if e.scenario.needsPolicy {
		watches.Go(func() error {
			return clients.WatchPolicy(ctx, e.config.AllowPolicyName,
				into(ctx, f.policies), func() { close(f.policySynced) })
		})
	}

	return f, func() {
		cancel()
		_ = watches.Wait() // it ends with the cancellation just asked for
	}
}

// into delivers events to a channel. It may wait: events carry the time of their arrival.
func into(ctx context.Context, events chan<- measure.Event) kube.Sink {
	return func(event measure.Event) {
		select {
		case events <- event:
		case <-ctx.Done():
		}
	}
}

// errNotAllMeasured is returned by a run that ends by itself without a latency for every target.
var errNotAllMeasured = errors.New("measure every target")
