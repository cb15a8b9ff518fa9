// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

const (
	// idleInterval is how often a client that may only get its policy reads it where it is not
	// worth to do so more often. A hundred clients ask the API server four hundred times a second
	// then.
	idleInterval = 250 * time.Millisecond
	// countEvery is how often those who read a policy of a namespace are counted.
	countEvery = 10 * time.Second
)

// errMayNotWatch says that the service account has no permission to list and watch.
var errMayNotWatch = errors.New("watch the policy: this client's service account may not list " +
	"and watch policies")

// WatchPolicy delivers the events of the one network policy of that name until the context ends,
// and returns the context's error. The policy need not exist yet: while it does not, it is read as
// well, so that its event says since when it can have existed. A client that may get the policy,
// but not list and watch policies, only reads it: permissions that were made for the original
// clients are like that.
func (n Namespace) WatchPolicy(ctx context.Context, name string, sink Sink, synced func()) error {
	for {
		err := n.followPolicy(ctx, name, sink, synced)
		if !errors.Is(err, errMayNotWatch) {
			return err
		}
		if err = n.readPolicy(ctx, name, sink, synced); !apierrors.IsForbidden(err) {
			return err
		}
		klog.Warningf(
			"Cannot read network policy %s/%s: this client's service account lacks "+
				"the permission to get, or to "+
				"list and watch, policies; retrying until it is granted: %v",
			n.Name,
			name,
			err,
		)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// policyReads are the reads of a policy.
func (n Namespace) policyReads(name string) *Reads {
	policies := n.Client.NetworkingV1().NetworkPolicies(n.Name)
	get := func(ctx context.Context) (metav1.Object, error) {
		policy, err := policies.Get(ctx, name, metav1.GetOptions{})
		return existing("network policy "+n.Name+"/"+name, policy, err)
	}
	reads := NewReads(Subject{Get: get}, idleInterval)
	reads.rest = true // a client may wait for hours
	return reads
}

// awaitPolicy reads a policy that does not exist until it does, as often as each of the clients in
// the namespace may. Where they are too many it reads once in another interval, not at all if that
// is zero.
func (n Namespace) awaitPolicy(
	ctx context.Context, reads *Reads, otherwise time.Duration,
) (Reading, error) {
	told := false
	for {
		clients := n.countPods(ctx)
		reads.interval = ReadInterval(clients)
		if reads.interval == 0 && !told {
			told = true
			klog.Infof("There are %d pods in namespace %s that may all be clients: they are too "+
				"many to read their policies every few milliseconds, and starts are less exact",
				clients, n.Name)
		}
		if reads.interval == 0 {
			reads.interval = otherwise
		}

		bounded, cancel := context.WithTimeout(ctx, countEvery)
		reading, err := reads.Await(bounded)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return reading, err
		}
	}
}

// countPods counts the pods of the namespace, with one small request. Who may not ask takes itself
// for the only one.
func (n Namespace) countPods(ctx context.Context) int {
	first, err := n.Client.CoreV1().Pods(n.Name).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 1
	}
	count := len(first.Items)
	if first.RemainingItemCount != nil {
		count += int(*first.RemainingItemCount)
	}
	return max(1, count)
}

// followPolicy watches the policy, and reads it while it does not exist. It gives up with
// errMayNotWatch if it is not permitted from the beginning.
func (n Namespace) followPolicy(ctx context.Context, name string, sink Sink, synced func()) error {
	policies := n.Client.NetworkingV1().NetworkPolicies(n.Name)
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	watching, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)

	absence := absence{namespace: n, name: name}
	defer absence.close()

	var begun atomic.Bool
	err := source[*networkingv1.NetworkPolicyList]{
		kind:   "network policy " + n.Name + "/" + name,
		list:   policies.List,
		watch:  policies.Watch,
		narrow: func(options *metav1.ListOptions) { options.FieldSelector = only },
		event:  absence.event,
		forbidden: func() {
			if !begun.Load() {
				giveUp(errMayNotWatch)
			}
		},
		example: &networkingv1.NetworkPolicy{},
		client:  n.Client,
	}.follow(watching, func(event measure.Event) {
		absence.observe(watching, event)
		sink(event)
	}, func() {
		begun.Store(true)
		absence.begin(watching)
		synced()
	})
	if errors.Is(context.Cause(watching), errMayNotWatch) {
		return errMayNotWatch
	}

	return err
}

// absence reads a policy while it does not exist, for a watch: the watch tells that the policy has
// come, and the reads since when it can have been there.
type absence struct {
	namespace Namespace
	name      string

	mu      sync.Mutex
	present bool
	current *Reads             // those of this absence, nil if they tell nothing
	stop    context.CancelFunc // ends them, nil if there are none
	told    bool               // it was said that the policy cannot be read
	running sync.WaitGroup
}

// observe takes in what the watch says.
func (a *absence) observe(ctx context.Context, event measure.Event) {
	switch event.Type {
	case measure.EventAdded:
		a.end(true)
	case measure.EventDeleted:
		a.end(false)
		a.begin(ctx)
	}
}

// begin reads the policy from now on, unless it is there.
func (a *absence) begin(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.present || a.stop != nil {
		return
	}

	reads := a.namespace.policyReads(a.name)
	a.current = reads
	ctx, a.stop = context.WithCancel(ctx)
	a.running.Go(func() {
		object, err := reads.start(ctx)
		if err == nil && object == nil {
			_, err = a.namespace.awaitPolicy(ctx, reads, 0)
		}
		if err != nil && ctx.Err() == nil {
			a.giveUp(err)
		}
	})
}

// giveUp says that the watch alone counts from now on.
func (a *absence) giveUp(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.current = nil
	if a.told {
		return
	}
	a.told = true
	klog.Warningf("This client may watch network policy %s, but not get it: latencies count from "+
		"its notification's arrival, and nothing says how old that is: %v",
		a.namespace.Name+"/"+a.name, err)
}

// end stops the reads.
func (a *absence) end(present bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop != nil {
		a.stop()
	}
	a.present, a.current, a.stop = present, nil, nil
}

// close stops the reads and waits for their end.
func (a *absence) close() {
	a.end(true)
	a.running.Wait()
}

// event has what the reads know of a policy that the watch delivers now.
func (a *absence) event(policy runtime.Object) (event measure.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if meta, ok := policy.(metav1.Object); ok && a.current != nil {
		event.Absent, event.Arrived = a.current.Came(string(meta.GetUID()))
	}
	return event
}

// readPolicy reads the policy again and again until the context ends, or the API server forbids it.
func (n Namespace) readPolicy(ctx context.Context, name string, sink Sink, synced func()) error {
	reads := n.policyReads(name)
	object, err := reads.start(ctx)
	if err != nil {
		return err
	}
	klog.Warningf("This client may get network policies, but not list and watch them: it reads "+
		"%s/%s again and again instead", n.Name, name)

	var last measure.Event // with an empty UID if there is no policy
	if object != nil {
		last = with(describe(measure.Event{}, object, time.Now()), measure.EventAdded, true)
		sink(last)
	}
	synced()

	for {
		exists := last.Object.UID != ""
		var reading Reading
		if reads.interval = idleInterval; exists {
			reading, err = reads.Await(ctx)
		} else {
			reading, err = n.awaitPolicy(ctx, reads, idleInterval)
		}
		if err != nil {
			return err
		}

		now := measure.Event{Arrived: reading.Seen}
		if reading.Object != nil {
			now = describe(measure.Event{Absent: reading.Unseen}, reading.Object, reading.Seen)
		}
		if now.Object.UID == last.Object.UID {
			continue
		}
		if exists {
			last.Arrived = now.Arrived
			sink(with(last, measure.EventDeleted, false))
		}
		if last = now; now.Object.UID != "" {
			sink(with(now, measure.EventAdded, false))
		}
	}
}
