// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// feed turns the watch of one kind of object into events. It stands where an informer would have
// its cache, right behind the watch: events are stamped on the goroutine that reads them, and only
// the facts that matter are kept. It implements cache.ReflectorStore.
type feed[O metav1.Object, F any] struct {
	kind   string
	queue  *queue
	facts  func(O) F
	put    func(*cluster, F)
	remove func(*cluster, F)
	// flaps says which changes the fault of that name takes back; nil for all. An object that comes
	// or goes changes from or to the zero value.
	flaps func(before, now F) bool
	// synced is closed when the first list has arrived.
	synced chan struct{}
	once   sync.Once
	known  map[string]known[F]
}

type known[F any] struct {
	name  types.NamespacedName
	uid   types.UID
	facts F
}

// watcher is a feed with its reflector.
type watcher struct {
	synced <-chan struct{}
	run    func(context.Context)
}

func newFeed[O metav1.Object, F any](
	kind string, q *queue, facts func(O) F, put, remove func(*cluster, F),
) *feed[O, F] {
	return &feed[O, F]{
		kind: kind, queue: q, facts: facts, put: put, remove: remove,
		synced: make(chan struct{}), known: map[string]known[F]{},
	}
}

// Add implements cache.ReflectorStore.
func (f *feed[O, F]) Add(object any) error { return f.observe(object) }

// Update implements cache.ReflectorStore.
func (f *feed[O, F]) Update(object any) error { return f.observe(object) }

// Delete implements cache.ReflectorStore.
func (f *feed[O, F]) Delete(object any) error {
	o, ok := object.(O)
	if !ok {
		return fmt.Errorf("the watch of %s delivered a %T", f.kind, object)
	}
	f.observeDeletion(keyOf(o), time.Now())
	return nil
}

// Replace implements cache.ReflectorStore: it is told everything after the watch was interrupted.
func (f *feed[O, F]) Replace(objects []any, _ string) error {
	present := make(map[string]bool, len(objects))
	now := time.Now()
	for _, object := range objects {
		if o, ok := object.(O); ok {
			present[keyOf(o)] = true
		}
	}

	for key := range f.known {
		if !present[key] {
			f.observeDeletion(key, now)
		}
	}

	for _, object := range objects {
		if err := f.observe(object); err != nil {
			return err
		}
	}

	f.once.Do(func() { close(f.synced) })
	return nil
}

// Resync implements cache.ReflectorStore.
func (f *feed[O, F]) Resync() error { return nil }

func keyOf(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

// observe makes an event of a new object, and of a change that matters.
func (f *feed[O, F]) observe(object any) error {
	now := time.Now()
	o, ok := object.(O)
	if !ok {
		return fmt.Errorf("the watch of %s delivered a %T", f.kind, object)
	}

	next := known[F]{types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()},
		o.GetUID(), f.facts(o)}
	before, had := f.known[keyOf(o)]
	// A watch may deliver only the second of two objects of one name.
	if had && before.uid != next.uid {
		f.observeDeletion(keyOf(o), now)
		before, had = known[F]{}, false
	}

	if had && reflect.DeepEqual(before.facts, next.facts) {
		return nil
	}
	f.known[keyOf(o)] = next
	what := "added"
	if had {
		what = "updated"
	}

	f.send(what, next, event{apply: f.putting(next), undo: f.undo(before, next)}, now)
	return nil
}

func (f *feed[O, F]) observeDeletion(key string, now time.Time) {
	before, had := f.known[key]
	if !had {
		return
	}
	delete(f.known, key)
	f.send("deleted", before, event{apply: f.removing(before), undo: f.undo(before, known[F]{})},
		now)
}

func (f *feed[O, F]) putting(k known[F]) func(*cluster) {
	return func(c *cluster) { f.put(c, k.facts) }
}

func (f *feed[O, F]) removing(k known[F]) func(*cluster) {
	return func(c *cluster) { f.remove(c, k.facts) }
}

// undo is what leads back to before, nil if the change does not flap.
func (f *feed[O, F]) undo(before, now known[F]) func(*cluster) {
	switch {
	case f.flaps != nil && !f.flaps(before.facts, now.facts):
		return nil
	case before.uid == "":
		return f.removing(now)
	}
	return f.putting(before)
}

func (f *feed[O, F]) send(what string, about known[F], e event, now time.Time) {
	e.cause = truth.Cause{
		Kind: f.kind, Event: what, Namespace: about.name.Namespace, Name: about.name.Name,
		UID: string(about.uid), Arrived: now,
	}
	f.queue.push(e)
}

// namespaceFacts are what matters about a namespace.
type namespaceFacts struct {
	name   string
	labels labels.Set
}

// watchers are the watches of everything that policy depends on.
func watchers(client kubernetes.Interface, q *queue) []watcher {
	pods := client.CoreV1().Pods(metav1.NamespaceAll)
	namespaces := client.CoreV1().Namespaces()
	policies := client.NetworkingV1().NetworkPolicies(metav1.NamespaceAll)
	podFeed := newFeed("Pod", q, factsOfPod, (*cluster).putPod, (*cluster).removePod)
	podFeed.flaps = relabels

	namespaceFeed := newFeed("Namespace", q,
		func(n *corev1.Namespace) namespaceFacts { return namespaceFacts{n.Name, n.Labels} },
		func(c *cluster, f namespaceFacts) { c.putNamespace(f.name, f.labels) },
		func(c *cluster, f namespaceFacts) { c.removeNamespace(f.name) },
	)
	namespaceFeed.flaps = func(before, now namespaceFacts) bool { return before.name == now.name }

	return []watcher{
		watchOf(podFeed, &corev1.Pod{}, client, pods.List, pods.Watch),
		watchOf(namespaceFeed, &corev1.Namespace{}, client, namespaces.List, namespaces.Watch),
		watchOf(newFeed("NetworkPolicy", q, factsOfPolicy,
			(*cluster).putPolicy,
			func(c *cluster, p *networkingv1.NetworkPolicy) {
				c.removePolicy(types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
			},
		), &networkingv1.NetworkPolicy{}, client, policies.List, policies.Watch),
	}
}

// factsOfPolicy is a policy's name and specification without the rest.
func factsOfPolicy(p *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
		Spec:       p.Spec,
	}
}

// watchOf connects a feed with its watch.
func watchOf[O metav1.Object, F any, L runtime.Object](f *feed[O, F], object O,
	client kubernetes.Interface,
	list func(context.Context, metav1.ListOptions) (L, error),
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error),
) watcher {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object,
			error) {
			return list(ctx, o)
		},
		WatchFuncWithContext: watch,
	}
	reflector := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw,
		client), object, f,
		cache.ReflectorOptions{Name: "engine " + f.kind})
	return watcher{synced: f.synced, run: reflector.RunWithContext}
}
