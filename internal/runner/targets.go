// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// watchTargets watches the targets until all of them are ready, and keeps what a run has to know of
// them. Once there have been that many, and no more come in the place of those that are gone, or
// those that lack are on nodes that are not ready, it takes those that are left.
func (e *environment) watchTargets(ctx context.Context) error {
	sizes, size := e.groupSizes()
	up := readyPods{pods: make(map[string]corev1.Pod), counts: make(map[string]int)}
	enough, stranded := false, false
	var listed atomic.Bool
	watching, stop := context.WithCancel(ctx)
	defer stop()
	targets := kube.Namespace{Client: e.cluster.Interface, Name: e.parameters.TargetNamespace}
	err := targets.WatchPods(watching, e.selector(scenario.RoleTarget),
		func(event measure.Event) {
			if enough {
				return // what is still on its way
			}
			up.observe(event)
			if enough = up.enough(sizes); enough {
				stop()
			}
			if e.iterations == 0 || listed.Load() {
				e.report("starting targets", len(up.pods), size)
			}
		}, func() {
			listed.Store(true)
			if stranded = e.iterations > 0 && e.onLostNodes(ctx, sizes); stranded {
				stop()
			}
		})

	late := (stranded || errors.Is(context.Cause(ctx), errSetupTimeout)) && e.iterations > 0 &&
		up.some(sizes)
	if !enough && !late {
		return cmp.Or(context.Cause(ctx), err)
	}
	for group, size := range sizes {
		pods := up.of(group)
		if len(pods) < size {
			e.collector.warn(fmt.Sprintf("%d of %d targets of group %s were gone, and no others "+
				"came: the rest was measured", size-len(pods), size, group))
		}
		e.pods[group], e.parameters.Addresses[group] = pods, e.addresses(pods)
		e.sizes[group] = len(pods)
	}
	return nil
}

// onLostNodes reports whether there are targets of every group, and those that lack are on nodes
// that are not ready.
func (e *environment) onLostNodes(ctx context.Context, sizes map[string]int) bool {
	pods, err := e.list(ctx, e.parameters.TargetNamespace, e.selector(scenario.RoleTarget))
	if err != nil {
		return false
	}

	home := kube.Namespace{Client: e.cluster, Name: e.parameters.TargetNamespace}
	problems := make(map[string]string) // by node
	up, lost := make(map[string]int), make(map[string]int)
	for _, pod := range pods {
		group, node := pod.Labels[scenario.GroupLabel], pod.Spec.NodeName
		if kube.PodReady(&pod) {
			up[group]++
			continue
		}
		if _, known := problems[node]; !known {
			problems[node] = home.NodeProblem(ctx, node)
		}
		if problems[node] != "" {
			lost[group]++
		}
	}

	for group, size := range sizes {
		if size > 0 && up[group] == 0 || up[group]+lost[group] < size {
			return false
		}
	}
	return len(lost) > 0
}

// groupSizes are how many targets there are to be, by group and together.
func (e *environment) groupSizes() (sizes map[string]int, all int) {
	sizes = make(map[string]int)
	for _, group := range e.groups() {
		size, known := e.sizes[group.Name]
		if !known {
			size = group.Size(e.options.Targets)
		}
		sizes[group.Name], all = size, all+size
	}
	return sizes, all
}

// readyPods are the targets that are ready, by UID, and how many of each group.
type readyPods struct {
	pods   map[string]corev1.Pod
	counts map[string]int
}

func (r *readyPods) observe(event measure.Event) {
	uid, group := event.Object.UID, event.Labels[scenario.GroupLabel]
	_, known := r.pods[uid]
	ready := event.Ready && event.Type != measure.EventDeleted
	switch {
	case ready && !known:
		r.pods[uid] = podOf(event)
		r.counts[group]++
	case known && !ready:
		delete(r.pods, uid)
		r.counts[group]--
	}
}

// enough reports whether each group has all its pods.
func (r *readyPods) enough(sizes map[string]int) bool {
	for group, size := range sizes {
		if r.counts[group] < size {
			return false
		}
	}
	return true
}

// some reports whether each group has any, if it is to have some.
func (r *readyPods) some(sizes map[string]int) bool {
	for group, size := range sizes {
		if size > 0 && r.counts[group] == 0 {
			return false
		}
	}
	return true
}

// of are the pods of a group, in the order of their names.
func (r *readyPods) of(group string) []corev1.Pod {
	var all []corev1.Pod
	for _, pod := range r.pods {
		if pod.Labels[scenario.GroupLabel] == group {
			all = append(all, pod)
		}
	}
	slices.SortFunc(all, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// podOf is what an event tells of a pod.
func podOf(event measure.Event) corev1.Pod {
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: event.Object.Namespace, Name: event.Object.Name,
			UID: types.UID(event.Object.UID), Labels: event.Labels,
		},
		Spec: corev1.PodSpec{NodeName: event.Node},
	}
	for _, address := range event.Addresses {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: address.String()})
	}
	return pod
}
