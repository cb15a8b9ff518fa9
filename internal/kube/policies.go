// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
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

// askInterval is how often a client that may only get its policy asks for it. A hundred clients ask
// the API server four hundred times a second then.
const askInterval = 250 * time.Millisecond

// errMayNotWatch says that the service account has no permission to list and watch.
var errMayNotWatch = errors.New("watch the policy: this client's service account may not list " +
	"and watch policies")

// WatchPolicy delivers the events of the one network policy of that name until the context ends,
// and returns the context's error. The policy need not exist yet. A client that may get the policy,
// but not list and watch policies, asks for it again and again instead: permissions that were made
// for the original clients are like that.
func (n Namespace) WatchPolicy(ctx context.Context, name string, sink Sink, synced func()) error {
	for {
		err := n.followPolicy(ctx, name, sink, synced)
		if !errors.Is(err, errMayNotWatch) {
			return err
		}
		poll := policyPoll{namespace: n, name: name, sink: sink, synced: synced}
		if err = poll.run(ctx); !apierrors.IsForbidden(err) {
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

// followPolicy watches the policy. It gives up with errMayNotWatch if it is not permitted from the
// beginning.
func (n Namespace) followPolicy(ctx context.Context, name string, sink Sink, synced func()) error {
	policies := n.Client.NetworkingV1().NetworkPolicies(n.Name)
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	watching, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)

	var begun atomic.Bool
	err := source[*networkingv1.NetworkPolicyList]{
		kind:   "network policy " + n.Name + "/" + name,
		list:   policies.List,
		watch:  policies.Watch,
		narrow: func(options *metav1.ListOptions) { options.FieldSelector = only },
		event:  func(runtime.Object) measure.Event { return measure.Event{} },
		forbidden: func() {
			if !begun.Load() {
				giveUp(errMayNotWatch)
			}
		},
		example: &networkingv1.NetworkPolicy{},
		client:  n.Client,
	}.follow(watching, sink, func() {
		begun.Store(true)
		synced()
	})
	if errors.Is(context.Cause(watching), errMayNotWatch) {
		return errMayNotWatch
	}

	return err
}

// policyPoll asks for a policy again and again.
type policyPoll struct {
	namespace Namespace
	name      string
	sink      Sink
	synced    func()

	// last is the policy as it was found last, with an empty UID if it did not exist, and absent
	// when the newest request was made that did not find it, zero if each did.
	last   measure.Event
	absent time.Time
	begun  bool
}

// run polls until the context ends, or the API server forbids it.
func (p *policyPoll) run(ctx context.Context) error {
	ticker := time.NewTicker(askInterval)
	defer ticker.Stop()
	for {
		if err := p.ask(ctx); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask makes one request and delivers what has changed. A request that fails is followed by others.
func (p *policyPoll) ask(ctx context.Context) error {
	asked := time.Now()
	policy, err := p.namespace.Client.NetworkingV1().
		NetworkPolicies(p.namespace.Name).
		Get(ctx, p.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		p.deliver(measure.Event{Arrived: time.Now()})
		p.absent = asked
	case apierrors.IsForbidden(err):
		return fmt.Errorf("get network policy %s/%s: %w", p.namespace.Name, p.name, err)
	case err != nil:
		if ctx.Err() == nil {
			klog.Warningf("Cannot get network policy %s/%s; asking again: %v", p.namespace.Name,
				p.name, err)
		}
		return ctx.Err()
	default:
		p.deliver(describe(measure.Event{Absent: p.absent}, policy, time.Now()))
	}

	p.begin()
	return nil
}

// begin says once that what existed at first has been delivered.
func (p *policyPoll) begin() {
	if !p.begun {
		p.begun = true
		klog.Warningf(
			"This client may get network policies, but not list and watch them: it asks for "+
				"%s/%s every %s, and the start of its latencies is as coarse",
			p.namespace.Name,
			p.name,
			askInterval,
		)
		p.synced()
	}
}

// deliver passes on that a policy has come, gone or been replaced by another of its name.
func (p *policyPoll) deliver(now measure.Event) {
	before := p.last
	p.last = now
	if before.Object.UID == now.Object.UID {
		return
	}
	if before.Object.UID != "" {
		before.Arrived = now.Arrived
		p.sink(with(before, measure.EventDeleted, false))
	}
	if now.Object.UID != "" {
		p.sink(with(now, measure.EventAdded, !p.begun))
	}
}
