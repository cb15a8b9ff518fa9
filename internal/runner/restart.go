// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// rolloutEvery is how often the pods of a rollout are looked at.
const rolloutEvery = 200 * time.Millisecond

// rollout is a daemon set that is restarted pod by pod.
type rollout struct {
	env       *environment
	namespace string
	name      string
	pods      map[types.UID]rolledPod
	marks     []result.Mark
	leftOut   int
}

// rolledPod is a pod of a rollout.
type rolledPod struct {
	node, name string
	stage      stage
}

// stage is how far a pod of a rollout has come. It only grows.
type stage uint8

// The stages.
const (
	podSeen stage = iota + 1
	podReady
	podEnding
	podGone
)

// String is the stage as a mark has it.
func (s stage) String() string {
	return [...]string{"", "has come", "is ready", "is being ended", "is gone"}[s]
}

// restart rolls a daemon set out anew, as "kubectl rollout restart" does, and notes what becomes of
// its pods.
func (it *iteration) restart(ctx context.Context, d setting.Disruption) (result.Event, error) {
	name, _ := setting.ParseRestart(d.Restart)
	r := &rollout{env: it.env, namespace: d.Namespace, name: name,
		pods: make(map[types.UID]rolledPod)}
	event := result.Event{What: fmt.Sprintf("restart of %s in namespace %s", d.Restart,
		d.Namespace)}
	err := r.run(ctx)
	event.Marks, event.LeftOut = r.marks, r.leftOut
	if err != nil {
		err = fmt.Errorf("%w: restart %s in namespace %s: %w", errEventFailed, d.Restart,
			d.Namespace, err)
	}
	return event, err
}

func (r *rollout) run(ctx context.Context) error {
	sets := r.env.cluster.AppsV1().DaemonSets(r.namespace)
	set, err := sets.Get(ctx, r.name, metav1.GetOptions{})
	switch {
	case err != nil:
		return fmt.Errorf("read it: %w", err)
	case set.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType:
		return fmt.Errorf("its update strategy is OnDelete: expected RollingUpdate, or --event " +
			"with a command that deletes its pods")
	}
	if _, err := r.look(ctx, set); err != nil {
		return err
	}
	r.marks = nil // what was there before is nothing that happened

	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{`+
		`"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339))
	set, err = sets.Patch(ctx, r.name, types.StrategicMergePatchType, []byte(patch),
		metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("write its annotation: %w", err)
	}
	return r.await(ctx, set)
}

// await waits until all pods are new and ready. It gives up when nothing has happened for as long
// as setting up may take.
func (r *rollout) await(ctx context.Context, set *appsv1.DaemonSet) error {
	written := set.Generation
	for moved := time.Now(); ; {
		select {
		case <-time.After(rolloutEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		now, err := r.env.cluster.AppsV1().DaemonSets(r.namespace).Get(ctx, r.name,
			metav1.GetOptions{})
		change := false
		if err == nil {
			change, err = r.look(ctx, now)
		}
		if change {
			moved = time.Now()
		}
		if err == nil && rolledOut(now, written) {
			return nil
		}

		if patience := r.env.options.SetupTimeout; time.Since(moved) > patience {
			if err == nil {
				err = fmt.Errorf("%d of %d pods are new and ready",
					min(now.Status.UpdatedNumberScheduled, now.Status.NumberAvailable),
					now.Status.DesiredNumberScheduled)
			}
			return fmt.Errorf("nothing has become of its pods for %s (--patience): %w", patience,
				err)
		}
	}
}

// rolledOut reports whether all pods are of the template that was written, and available.
func rolledOut(set *appsv1.DaemonSet, written int64) bool {
	s := set.Status
	return s.ObservedGeneration >= written &&
		s.UpdatedNumberScheduled >= s.DesiredNumberScheduled &&
		s.NumberAvailable >= s.DesiredNumberScheduled
}

// look notes what has become of the pods since it looked last, and reports whether anything has.
func (r *rollout) look(ctx context.Context, set *appsv1.DaemonSet) (changed bool, err error) {
	selector := metav1.FormatLabelSelector(set.Spec.Selector)
	pods, err := r.env.list(ctx, r.namespace, selector)
	if err != nil {
		return false, err
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Spec.NodeName, b.Spec.NodeName), cmp.Compare(a.Name, b.Name))
	})

	there := make(map[types.UID]bool)
	ready := 0
	for _, pod := range pods {
		there[pod.UID] = true
		now := rolledPod{pod.Spec.NodeName, pod.Name, stageOf(&pod)}
		if now.stage == podReady {
			ready++
		}
		changed = r.enter(pod.UID, now) || changed
	}
	for uid, pod := range r.pods {
		if !there[uid] {
			pod.stage = podGone
			changed = r.enter(uid, pod) || changed
		}
	}
	r.env.report("restarting "+r.name, ready, int(set.Status.DesiredNumberScheduled))
	return changed, nil
}

// enter notes how far a pod has come, and reports whether that is further than was known.
func (r *rollout) enter(uid types.UID, now rolledPod) (further bool) {
	if r.pods[uid].stage >= now.stage {
		return false
	}
	r.pods[uid] = now
	r.mark(fmt.Sprintf("%s: pod %s %s", cmp.Or(now.node, "no node yet"), now.name, now.stage))
	return true
}

func stageOf(pod *corev1.Pod) stage {
	switch {
	case pod.DeletionTimestamp != nil:
		return podEnding
	case kube.PodReady(pod):
		return podReady
	default:
		return podSeen
	}
}

// mark notes what has happened.
func (r *rollout) mark(text string) {
	if len(r.marks) == 2*keptLines {
		r.leftOut++
		return
	}
	r.marks = append(r.marks, result.Mark{At: time.Now(), Text: text})
}
