// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

// maxCPUPerPod is what a pod may cost all of the lab, if 100 a second are to leave room on two
// cores.
const maxCPUPerPod = 18 * time.Millisecond

// BenchmarkPods says how fast pods with the built-in server come up, and what that costs, on a
// machine that does nothing else:
//
//	go test ./e2e -run '^$' -bench Pods -benchtime 1x
//
// It fails by CPU time: the lab must be able to keep up with 100 pods a second on two cores of its
// own.
func BenchmarkPods(b *testing.B) {
	for _, test := range []struct {
		name      string
		perSecond float64
	}{
		{name: "steady", perSecond: 100},
		{name: "burst"},
	} {
		b.Run(test.name, func(b *testing.B) {
			lab := labtest.Start(b, "--engine", "none")
			for i := 0; b.Loop(); i++ {
				r := measurePods(b, lab, fmt.Sprintf("%s-%d", test.name, i), 1000, test.perSecond)
				b.Log(r)
				b.ReportMetric(float64(r.pods)/r.lastReady.Seconds(), "pods/s")
				b.ReportMetric(r.cpuPerPod().Seconds()*1000, "cpu-ms/pod")
				if r.cpuPerPod() > maxCPUPerPod {
					b.Errorf("a pod costs %v of CPU time, more than %v", r.cpuPerPod(),
						maxCPUPerPod)
				}
			}
		})
	}
}

// throughput is what came of a number of pods.
type throughput struct {
	pods               int
	created, lastReady time.Duration // since the first creation
	// from a pod's creation call to its readiness, as a watch sees it
	p50, p99, max     time.Duration
	deleted           time.Duration // from the call to the last pod's end
	cpu               map[string]time.Duration
	cpuDuringDeletion map[string]time.Duration
}

func (r throughput) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d pods created in %v, all ready after %v (%.0f pods/s); ready after "+
		"creation: p50 %v, p99 %v, max %v; all deleted in %v\n",
		r.pods, round(r.created), round(r.lastReady), float64(r.pods)/r.lastReady.Seconds(),
		round(r.p50), round(r.p99), round(r.max), round(r.deleted))
	for _, name := range components() {
		fmt.Fprintf(&text, "  %-24s CPU %6.2f s creating (%.2f ms a pod), %6.2f s deleting\n", name,
			r.cpu[name].Seconds(),
			float64(r.cpu[name].Milliseconds())/float64(r.pods),
			r.cpuDuringDeletion[name].Seconds())
	}
	return text.String()
}

// cpuPerPod is what the creation of a pod costs, in all components together.
func (r throughput) cpuPerPod() time.Duration {
	var sum time.Duration
	for _, d := range r.cpu {
		sum += d
	}
	return sum / time.Duration(r.pods)
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// components are the processes whose CPU time is shown.
func components() []string {
	return []string{"node-0", "kube-apiserver", "etcd", "kube-scheduler", "kube-controller-manager"}
}

// measurePods creates pods at a rate (0: as fast as possible), waits until all are ready, and
// deletes them.
func measurePods(
	t testing.TB, lab *labtest.Lab, namespace string, count int, perSecond float64,
) throughput {
	lab.Namespace(namespace)
	ready := watchReady(t, lab.Client, namespace)
	before := cpuTimes(t, lab)
	start := time.Now()
	created := createPods(t, lab.Client, namespace, count, perSecond)
	r := throughput{pods: count, created: time.Since(start)}
	readyAt := ready.wait(t, count, 2*time.Minute)
	r.cpu = difference(cpuTimes(t, lab), before)
	var latencies []time.Duration
	for name, at := range readyAt {
		latencies = append(latencies, at.Sub(created[name]))
		r.lastReady = max(r.lastReady, at.Sub(start))
	}
	slices.Sort(latencies)
	r.p50, r.p99, r.max = latencies[len(latencies)/2], latencies[len(latencies)*99/100],
		latencies[len(latencies)-1]
	before, start = cpuTimes(t, lab), time.Now()
	if err := lab.Client.CoreV1().Pods(namespace).DeleteCollection(t.Context(),
		metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatalf("delete the pods: %v", err)
	}
	ready.waitGone(t, count, 2*time.Minute)
	r.deleted = time.Since(start)
	r.cpuDuringDeletion = difference(cpuTimes(t, lab), before)
	return r
}

// createPods returns when each creation call was made.
func createPods(
	t testing.TB, client kubernetes.Interface, namespace string, count int, perSecond float64,
) map[string]time.Time {
	t.Helper()
	var mu sync.Mutex
	created := map[string]time.Time{}
	start := time.Now()
	var group errgroup.Group
	group.SetLimit(20)
	for i := range count {
		if perSecond > 0 {
			due := time.Duration(float64(i) / perSecond * float64(time.Second))
			<-time.After(time.Until(start.Add(due)))
		}
		group.Go(func() error {
			pod := targetPod(fmt.Sprintf("target-%04d", i))
			mu.Lock()
			created[pod.Name] = time.Now()
			mu.Unlock()
			_, err := client.CoreV1().Pods(namespace).Create(t.Context(), pod,
				metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("create the pods: %v", err)
	}
	return created
}

func targetPod(name string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "target"}},
		Spec: v1.PodSpec{Containers: []v1.Container{{
			Name: "server", Image: "nginx", Ports: []v1.ContainerPort{{ContainerPort: 80}},
		}}},
	}
}

// readiness collects when a watch first saw each pod ready, and how many it saw deleted.
type readiness struct {
	mu     sync.Mutex
	at     map[string]time.Time
	gone   int
	change chan struct{} // has one token after each change
}

// watchReady follows the namespace with an informer: in a burst, the API server cuts watches that
// cannot take the events fast enough, and the informer carries on where it was cut.
func watchReady(t testing.TB, client kubernetes.Interface, namespace string) *readiness {
	t.Helper()
	r := &readiness{at: map[string]time.Time{}, change: make(chan struct{}, 1)}
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "pods", namespace,
			fields.Everything()),
		ObjectType: &v1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { r.observe(object.(*v1.Pod)) },
			UpdateFunc: func(_, object any) { r.observe(object.(*v1.Pod)) },
			DeleteFunc: func(any) { r.observeGone() },
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var watcher sync.WaitGroup
	watcher.Go(func() { controller.RunWithContext(ctx) })
	t.Cleanup(func() {
		cancel()
		watcher.Wait()
	})
	if !cache.WaitForCacheSync(ctx.Done(), controller.HasSynced) {
		t.Fatal("the watch of the pods did not start")
	}
	return r
}

func (r *readiness) observe(pod *v1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, seen := r.at[pod.Name]; !seen && labtest.IsReady(pod) {
		r.at[pod.Name] = time.Now()
		r.changed()
	}
}

func (r *readiness) observeGone() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone++
	r.changed()
}

func (r *readiness) changed() {
	select {
	case r.change <- struct{}{}:
	default:
	}
}

func (r *readiness) wait(t testing.TB, count int, within time.Duration) map[string]time.Time {
	t.Helper()
	r.until(t, within, func() (int, int) { return len(r.at), count })
	return r.at
}

func (r *readiness) waitGone(t testing.TB, count int, within time.Duration) {
	t.Helper()
	r.until(t, within, func() (int, int) { return r.gone, count })
}

func (r *readiness) until(t testing.TB, within time.Duration, progress func() (have, want int)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		r.mu.Lock()
		have, want := progress()
		r.mu.Unlock()
		if have >= want {
			return
		}
		select {
		case <-r.change:
		case <-ctx.Done():
			t.Fatalf("%d of %d pods after %v", have, want, within)
		}
	}
}

// cpuTimes is the CPU time so far of the lab's components.
func cpuTimes(t testing.TB, lab *labtest.Lab) map[string]time.Duration {
	t.Helper()
	all, err := supervisor.Control{Dir: layout.Dir(lab.Dir)}.Components(t.Context())
	must(t, err)
	times := make(map[string]time.Duration)
	for _, one := range all {
		times[one.Name] = one.CPU
	}
	return times
}

func difference(after, before map[string]time.Duration) map[string]time.Duration {
	d := map[string]time.Duration{}
	for name := range after {
		d[name] = after[name] - before[name]
	}
	return d
}
