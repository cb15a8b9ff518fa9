// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// feedEvents are what a pod feed makes of the calls of its reflector.
func feedEvents(t *testing.T, calls func(f *feed[*corev1.Pod, podFacts])) []string {
	t.Helper()
	q := newQueue(Settings{})
	f := newFeed("Pod", q, factsOfPod, (*cluster).putPod, (*cluster).removePod)
	before := time.Now()
	calls(f)
	var all []string
	for _, e := range q.all() {
		if e.cause.Arrived.Before(before) || e.cause.Arrived.After(time.Now()) {
			t.Errorf("%v was not stamped on arrival", e.cause)
		}
		all = append(all, e.cause.Event+" "+e.cause.Name+" "+e.cause.UID)
	}
	return all
}

func feedPod(name, uid string, labels map[string]string) *corev1.Pod {
	p := newPod("x", name, labels, 80, podIPs(1, 1))
	p.UID = types.UID(uid)
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestFeed(t *testing.T) {
	got := feedEvents(t, func(f *feed[*corev1.Pod, podFacts]) {
		must(t, f.Replace([]any{feedPod("a", "1", nil)}, ""))
		must(t, f.Add(feedPod("b", "2", nil)))
		must(t, f.Update(feedPod("b", "2", labelSet("k", "v"))))
		must(t, f.Delete(feedPod("a", "1", nil)))
		must(t, f.Delete(feedPod("a", "1", nil)))
	})
	if diff := cmp.Diff([]string{"added a 1", "added b 2", "updated b 2", "deleted a 1"},
		got); diff != "" {
		t.Errorf("the events differ (-want +got):\n%s", diff)
	}
}

// What no policy can notice is no event.
func TestFeedLeavesOutWhatDoesNotMatter(t *testing.T) {
	got := feedEvents(t, func(f *feed[*corev1.Pod, podFacts]) {
		must(t, f.Add(feedPod("a", "1", nil)))
		p := feedPod("a", "1", nil)
		p.Annotations = labelSet("k", "v")
		p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady}}
		must(t, f.Update(p))
	})
	if diff := cmp.Diff([]string{"added a 1"}, got); diff != "" {
		t.Errorf("the events differ (-want +got):\n%s", diff)
	}
}

// After an interruption of the watch, the list tells what went, what came, and what is another
// object of the same name.
func TestFeedAfterInterruption(t *testing.T) {
	got := feedEvents(t, func(f *feed[*corev1.Pod, podFacts]) {
		must(t, f.Replace([]any{feedPod("gone", "1", nil), feedPod("same", "2", nil),
			feedPod("again", "3", nil)}, ""))
		must(t, f.Replace([]any{feedPod("same", "2", nil), feedPod("again", "4", nil),
			feedPod("new", "5", nil)}, ""))
	})
	want := []string{"added gone 1", "added same 2", "added again 3", "deleted gone 1",
		"deleted again 3", "added again 4", "added new 5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the events differ (-want +got):\n%s", diff)
	}
}

func TestFeedSyncs(t *testing.T) {
	feedEvents(t, func(f *feed[*corev1.Pod, podFacts]) {
		select {
		case <-f.synced:
			t.Error("a feed is in step before its first list")
		default:
		}
		must(t, f.Replace(nil, ""))
		must(t, f.Replace(nil, ""))
		<-f.synced
		must(t, f.Resync())
		if f.Add(&corev1.Node{}) == nil || f.Delete(&corev1.Node{}) == nil {
			t.Error("an object of another kind is taken")
		}
	})
}

// A pod flaps when its labels change and nothing else: it would have no address without its
// addresses.
func TestRelabels(t *testing.T) {
	pod := factsOfPod(feedPod("a", "1", nil))
	labelled, another, moved := pod, pod, pod
	labelled.Labels = labelSet("k", "v")
	another.UID, another.Labels = "2", labelled.Labels
	moved.Addresses, moved.Labels = podIPs(1, 2), labelled.Labels
	for _, row := range []struct {
		what        string
		before, now podFacts
		want        bool
	}{
		{"a change of labels", pod, labelled, true},
		{"no change", pod, pod, false},
		{"a new pod", podFacts{}, labelled, false},
		{"the end of a pod", labelled, podFacts{}, false},
		{"another pod of the name", pod, another, false},
		{"another address", pod, moved, false},
	} {
		if got := relabels(row.before, row.now); got != row.want {
			t.Errorf("%s: %v", row.what, got)
		}
	}
}
