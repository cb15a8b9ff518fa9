// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// The containers of a pod that starts: the first probes while nothing else of the pod runs.
const (
	initContainer = "first"
	mainContainer = "main"
)

// roundLabel tells the starting pods of one round from those of another.
const roundLabel = "netpol-latency/round"

// playInside starts pods that probe by themselves, and reads what they have written.
func (s *stage) playInside(ctx context.Context, part scenario.Part) ([]measure.Sample, error) {
	if err := s.proveInside(ctx, part); err != nil {
		return nil, err
	}
	return s.newRound(part).start(ctx, s.Targets)
}

// proveInside starts one pod after the other until one has seen that the policies are in force: that what is
// allowed is answered, and that what is forbidden is not, at least at the end. It gives up when that takes
// longer than a change may take: the results will tell.
func (s *stage) proveInside(ctx context.Context, part scenario.Part) error {
	for end := time.Now().Add(s.Timeout); time.Now().Before(end); {
		s.tell("proving the policies", 0, 0)
		samples, err := s.newRound(part).start(ctx, 1)
		if err != nil || inForce(samples) {
			return err
		}
	}
	return nil
}

func inForce(samples []measure.Sample) bool {
	for _, sample := range samples {
		stays := sample.Kind == measure.KindBlocked
		open := !stays && sample.Status == measure.Measured
		shut := stays && sample.Leaks == 0 &&
			sample.Probes[measure.Dropped]+sample.Probes[measure.Rejected]+
				sample.Probes[measure.Refused] > 0
		last := strings.HasSuffix(sample.Scenario, "/main/forbidden") // the first container may have met a leak
		if !open && !shut && (!stays || last) {
			return false
		}
	}
	return true
}

// start starts a number of pods and reads what they find.
func (r *round) start(ctx context.Context, pods int) ([]measure.Sample, error) {
	job := r.starters(pods)
	if err := r.cluster.Apply(ctx, job); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, r.Patience+r.Timeout, errPatience)
	defer cancel()
	samples := r.readStarters(bounded, pods)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := r.collector.failure(); err != nil {
		return nil, err
	}
	return samples, r.cluster.Delete(ctx, job)
}

// lines are the samples that a starting pod writes, by container.
func (r *round) linesOf(container string) []string {
	names := []string{r.name + "/forbidden"}
	if container == initContainer {
		return append(names, r.name)
	}
	return []string{r.name + "/main/forbidden"}
}

// readStarters reads the logs of all pods until each has ended or the context does, and accounts for them.
func (r *round) readStarters(ctx context.Context, pods int) []measure.Sample {
	all := &starterLogs{round: r, pods: pods, found: make(map[types.UID][]measure.Sample), known: make(map[types.UID]bool),
		nodes: make(map[types.UID]string)}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	all.readers.Go(func() {
		// It ends with the context, and the pods that it did not deliver are missing then.
		_ = kube.WatchPods(reading, r.cluster.Interface, r.world.AgentNamespace, scenario.RoleLabel+"="+scenario.RoleStarter,
			func(event measure.Event) { all.observe(reading, event) }, func() {})
	})
	_ = r.collector.await(ctx, func() bool { return all.complete() }) // or the time is over

	stop()
	all.readers.Wait()
	return all.account()
}

// starterLogs gathers the samples of starting pods, under the collector's lock.
type starterLogs struct {
	round *round
	pods  int
	found map[types.UID][]measure.Sample
	known map[types.UID]bool
	nodes map[types.UID]string // none yet of a pod that is not scheduled
	done  int
	// readers are the watch of the pods and those who read their logs.
	readers sync.WaitGroup
}

func (l *starterLogs) complete() bool {
	l.round.tell("measuring", l.done, l.pods)
	return l.done == l.pods
}

func (l *starterLogs) observe(ctx context.Context, event measure.Event) {
	uid := types.UID(event.Object.UID)
	c := l.round.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	l.nodes[uid] = event.Node
	mine := event.Labels[roundLabel] == strconv.Itoa(l.round.number)
	if l.known[uid] || !mine || event.Type == measure.EventDeleted {
		return
	}
	l.known[uid] = true
	l.readers.Go(func() {
		for _, container := range []string{initContainer, mainContainer} {
			err := kube.FollowLog(ctx, l.round.cluster, event.Object.Namespace, event.Object.Name, container, l.reader(event.Object))
			if err != nil && ctx.Err() == nil {
				c.warn(fmt.Sprintf("the log of pod %s ended: %v", event.Object.Name, err))
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		l.done++
		c.tell()
	})
}

// reader takes the samples in the log of one container of a pod.
func (l *starterLogs) reader(pod measure.Object) func([]byte) error {
	log, uid := &agentLog{pod: pod}, types.UID(pod.UID)
	return func(text []byte) error {
		return l.round.collector.takeSample(log, text, func(sample measure.Sample) {
			sample.Round, sample.Client = l.round.number, pod
			sample.ClientNode = l.nodes[uid]
			sample.Target.Pod, sample.TargetNode = l.round.podAt(sample.Target.Address.Addr())
			l.found[uid] = append(l.found[uid], sample)
		})
	}
}

// account makes sure that every pod has every sample.
func (l *starterLogs) account() []measure.Sample {
	c := l.round.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []measure.Sample
	for _, samples := range l.found {
		all = append(all, samples...)
	}
	counts := make(map[string]int)
	for _, sample := range all {
		counts[sample.Scenario]++
	}
	for _, container := range []string{initContainer, mainContainer} {
		for _, name := range l.round.linesOf(container) {
			kind := measure.KindBlocked
			if name == l.round.name {
				kind = measure.KindNew
			}
			for range l.pods - counts[name] {
				key := pairKey{scenario: name, round: l.round.number}
				all = append(all, l.round.missing(key, measure.Target{}, kind))
			}
		}
	}
	return all
}

// starters is the job of the pods that start.
func (r *round) starters(pods int) *batchv1.Job {
	allowed, forbidden := r.endpoints(scenario.GroupA), r.endpoints(scenario.GroupB)
	arguments := func(name string, more ...string) []string {
		return slices.Concat([]string{
			"agent", "startup", "--scenario=" + name, "--watch=" + r.Watch.String(),
			"--timeout=" + r.Timeout.String(), "--forbidden=" + forbidden,
		}, more, r.probing(r.scenario))
	}
	container := corev1.Container{
		Name: mainContainer, Image: r.AgentImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Args: arguments(r.name + "/main"), Resources: requests("10m", "32Mi"), SecurityContext: restricted(),
	}
	first := *container.DeepCopy()
	first.Name, first.Args = initContainer, arguments(r.name, "--allowed="+allowed)
	spec := podSpec(container)
	spec.InitContainers = []corev1.Container{first}
	spec.RestartPolicy = corev1.RestartPolicyNever
	spec.Affinity = r.place()
	r.grantRaw(&spec)
	labels := map[string]string{scenario.RoleLabel: scenario.RoleStarter, roundLabel: strconv.Itoa(r.number)}
	job := r.job(starterName+"-"+strconv.Itoa(r.number), pods, labels, spec, 0)
	// A pod that fails is not started anew, and it takes its own samples with it: not those of the others, which a limit
	// for all of them would end (https://kubernetes.io/docs/concepts/workloads/controllers/job/#backoff-limit-per-index).
	job.Spec.BackoffLimit, job.Spec.BackoffLimitPerIndex = nil, ptr(int32(0))
	return job
}

// endpoints is the first target of a group, as an argument.
func (r *round) endpoints(group string) string {
	address, _ := r.address(r.pods[group][0])
	return netip.AddrPortFrom(address, scenario.Port).String()
}

// podAt is the target that has an address, and its node.
func (r *round) podAt(address netip.Addr) (pod measure.Object, node string) {
	for _, pods := range r.pods {
		for _, pod := range pods {
			if at, ok := r.address(pod); ok && at == address {
				return measure.Object{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}, pod.Spec.NodeName
			}
		}
	}
	return measure.Object{}, ""
}
