// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
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

// iterationLabel tells the starting pods of one iteration from those of another.
const iterationLabel = "netpol-latency/round"

// runInside starts pods that probe by themselves, and reads what they have written.
func (e *environment) runInside(ctx context.Context, part scenario.Part) ([]measure.Sample, error) {
	if err := e.proveInside(ctx, part); err != nil {
		return nil, err
	}
	return e.newIteration(part).start(ctx, e.options.Targets)
}

// proveInside starts one pod after the other until one has seen that the policies are in force:
// that what is allowed is answered, and that what is forbidden is not, at least at the end. It
// gives up when that takes longer than a change may take: the results will tell.
func (e *environment) proveInside(ctx context.Context, part scenario.Part) error {
	for end := time.Now().Add(e.options.Timeout); time.Now().Before(end); {
		e.report("proving the policies", 0, 0)
		samples, err := e.newIteration(part).start(ctx, 1)
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
		shut := stays && sample.Leaks == 0 && sample.WasBlocked()
		// The first container may have met a leak.
		last := strings.HasSuffix(sample.Scenario, "/main/forbidden")
		if !open && !shut && (!stays || last) {
			return false
		}
	}

	return true
}

// start starts a number of pods and reads what they find.
func (it *iteration) start(ctx context.Context, pods int) ([]measure.Sample, error) {
	job := it.startupJob(pods)
	if err := it.env.apply(ctx, job); err != nil {
		return nil, err
	}

	bounded, cancel := context.WithTimeoutCause(ctx,
		it.env.options.SetupTimeout+it.env.options.Timeout, errSetupTimeout)
	defer cancel()

	var samples []measure.Sample
	err := it.env.diagnosed(bounded, it.env.parameters.AgentNamespace,
		func(ctx context.Context) error {
			samples = it.readStartupLogs(ctx, pods)
			return context.Cause(ctx)
		})
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && !errors.Is(err, errSetupTimeout):
		return nil, err // what keeps the pods from starting
	}
	if err := it.env.collector.failure(); err != nil {
		return nil, err
	}
	if err := it.anyStarted(samples, err); err != nil {
		return nil, err
	}

	return samples, it.env.cluster.Delete(ctx, job)
}

// anyStarted is an error if none of the pods has written a sample, and it is known why, or their
// time was over, which is then given: nothing was measured.
func (it *iteration) anyStarted(samples []measure.Sample, late error) error {
	if slices.ContainsFunc(samples, func(sample measure.Sample) bool {
		return sample.Status != measure.Unobserved
	}) {
		return nil
	}

	home := it.env.parameters.AgentNamespace
	if late != nil {
		return errors.Join(fmt.Errorf("start pods: %w", late), it.env.explain(home))
	}
	problems, err := it.env.problems(context.Background(), home)
	if err != nil || len(problems) == 0 {
		return nil // the samples say that they are missing
	}
	return fmt.Errorf("start pods: %s", problems[0])
}

// linesOf are the samples that a starting pod writes, by container.
func (it *iteration) linesOf(container string) []string {
	names := []string{it.name + "/forbidden"}
	if container == initContainer {
		return append(names, it.name)
	}
	return []string{it.name + "/main/forbidden"}
}

// readStartupLogs reads the logs of all pods until each has ended or the context does, and accounts
// for them.
func (it *iteration) readStartupLogs(ctx context.Context, pods int) []measure.Sample {
	all := &startupLogs{
		iteration: it,
		pods:      pods,
		found:     make(map[types.UID][]measure.Sample),
		known:     make(map[types.UID]bool),
		nodes:     make(map[types.UID]string),
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	all.readers.Go(func() {
		// It ends with the context, and the pods that it did not deliver are missing then.
		starting := it.env.selector(scenario.RoleStartup)
		_ = it.env.collector.namespace.WatchPods(reading, starting,
			func(event measure.Event) { all.observe(reading, event) }, func() {})
	})
	_ = it.env.collector.await(ctx, func() bool { return all.complete() }) // or the time is over

	stop()
	all.readers.Wait()
	return all.account()
}

// startupLogs gathers the samples of starting pods, under the collector's lock.
type startupLogs struct {
	iteration *iteration
	pods      int
	found     map[types.UID][]measure.Sample
	known     map[types.UID]bool
	nodes     map[types.UID]string // none yet of a pod that is not scheduled
	done      int
	// readers are the watch of the pods and those who read their logs.
	readers sync.WaitGroup
}

func (l *startupLogs) complete() bool {
	l.iteration.env.report("measuring", l.done, l.pods)
	return l.done == l.pods
}

func (l *startupLogs) observe(ctx context.Context, event measure.Event) {
	uid := types.UID(event.Object.UID)
	c := l.iteration.env.collector
	c.mu.Lock()
	defer c.mu.Unlock()

	l.nodes[uid] = event.Node
	mine := event.Labels[iterationLabel] == strconv.Itoa(l.iteration.number)
	if l.known[uid] || !mine || event.Type == measure.EventDeleted {
		return
	}

	l.known[uid] = true
	l.readers.Go(func() {
		for _, container := range []string{initContainer, mainContainer} {
			err := kube.Log{
				Namespace: c.namespace, Pod: event.Object.Name, Container: container,
				Take: l.reader(event.Object),
			}.Follow(ctx)
			if err != nil && ctx.Err() == nil {
				c.logEnded("pod "+event.Object.Name, err)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		l.done++
		c.notify()
	})
}

// reader takes the samples in the log of one container of a pod.
func (l *startupLogs) reader(pod measure.Object) func([]byte) error {
	log, uid := &agentLog{pod: pod}, types.UID(pod.UID)
	return func(text []byte) error {
		return l.iteration.env.collector.takeSample(log, text, func(sample measure.Sample) {
			sample.Iteration, sample.Client = l.iteration.number, pod
			sample.ClientNode = l.nodes[uid]
			sample.Target.Pod, sample.TargetNode = l.iteration.podAt(sample.Target.Address.Addr())
			l.found[uid] = append(l.found[uid], sample)
		})
	}
}

// account makes sure that every pod has every sample.
func (l *startupLogs) account() []measure.Sample {
	c := l.iteration.env.collector
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
		for _, name := range l.iteration.linesOf(container) {
			kind := measure.KindBlocked
			if name == l.iteration.name {
				kind = measure.KindNew
			}
			for range l.pods - counts[name] {
				key := pairKey{scenario: name, iteration: l.iteration.number}
				all = append(all, l.iteration.missing(key, measure.Target{}, kind))
			}
		}
	}

	return all
}

// startupJob is the job of the pods that start.
func (it *iteration) startupJob(pods int) *batchv1.Job {
	allowed, forbidden := it.endpoints(scenario.GroupA), it.endpoints(scenario.GroupB)
	arguments := func(name string, more ...string) []string {
		return slices.Concat([]string{
			"agent", "startup", "--scenario=" + name,
			"--watch=" + it.env.options.Watch.String(),
			"--timeout=" + it.env.options.Timeout.String(), "--forbidden=" + forbidden,
			// They may all be on one node, where what the first container has left is still there.
			fmt.Sprintf("--conntrack-share=%d", 2*pods),
		}, more, it.env.options.Probing(it.env.scenario))
	}

	container := corev1.Container{
		Name: mainContainer, Image: it.env.options.AgentImage,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            arguments(it.name + "/main"), Resources: requests("10m", "32Mi"),
		SecurityContext: Restricted(),
	}

	first := *container.DeepCopy()
	first.Name, first.Args = initContainer, arguments(it.name, "--allowed="+allowed)
	spec := PodSpec(container)
	spec.InitContainers = []corev1.Container{first}
	spec.RestartPolicy = corev1.RestartPolicyNever
	spec.Affinity = it.env.place()
	it.env.grantRaw(&spec)
	labels := map[string]string{
		scenario.RoleLabel: scenario.RoleStartup,
		iterationLabel:     strconv.Itoa(it.number),
	}

	job := it.env.job(startupName+"-"+strconv.Itoa(it.number), pods, labels, spec, 0)
	// A pod that fails is not started anew, and it takes its own samples with it: not those of the
	// others, which a limit for all of them would end
	// (https://kubernetes.io/docs/concepts/workloads/controllers/job/#backoff-limit-per-index).
	job.Spec.BackoffLimit, job.Spec.BackoffLimitPerIndex = nil, new(int32(0))
	return job
}

// endpoints is the first target of a group, as an argument.
func (it *iteration) endpoints(group string) string {
	address, _ := it.env.address(it.env.pods[group][0])
	return netip.AddrPortFrom(address, scenario.Port).String()
}

// podAt is the target that has an address, and its node.
func (it *iteration) podAt(address netip.Addr) (pod measure.Object, node string) {
	for _, pods := range it.env.pods {
		for _, pod := range pods {
			if at, ok := it.env.address(pod); ok && at == address {
				return measure.Object{
					Namespace: pod.Namespace,
					Name:      pod.Name,
					UID:       string(pod.UID),
				}, pod.Spec.NodeName
			}
		}
	}
	return measure.Object{}, ""
}
