// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

const (
	// The back-off between restarts starts shorter and ends earlier than a kubelet's (10 s and 5
	// min): a lab lives for minutes.
	firstRestartDelay = time.Second
	maxRestartDelay   = 30 * time.Second
	// configRetry is the pause before a container is tried again whose ConfigMap, Secret or user is
	// wrong.
	configRetry = time.Second
	// pullRetryNotice is when ErrImagePull becomes ImagePullBackOff.
	pullRetryNotice = time.Second
)

// workload is a started container: a process or the built-in server.
type workload interface {
	startedAt() time.Time
	ended() <-chan struct{}
	result() exit // valid once ended
	signal(os.Signal)
}

// container runs one container of a pod, again and again as its restart policy says.
type container struct {
	pod  *pod
	spec *v1.Container

	// status is what the API is told. The pod's lock guards it.
	status v1.ContainerStatus
	// live is closed when the running process has ended and all its output is in the log; nil when
	// nothing runs. The pod's lock guards it too.
	live chan struct{}
	// logs is what it writes to, nil for the built-in server. The pod's lock guards it too.
	logs *logWriter
	// latest numbers the run that started last; a log file belongs to each.
	latest int32
}

// restartDelay is the pause before restart number n (from 0) of a container that keeps ending. The
// first restart is immediate, as a kubelet's.
func restartDelay(n int) time.Duration {
	if n == 0 {
		return 0
	}
	if n > 6 {
		return maxRestartDelay
	}
	return min(firstRestartDelay<<(n-1), maxRestartDelay)
}

// run starts the container, and again when it ended and should be restarted. It returns when the
// container will not run again, and whether its last end was a success.
func (c *container) run(ctx lifetime) (succeeded bool) {
	for n := 0; ; n++ {
		end, ok := c.once(ctx)
		if !ok || ctx.stopping() || !c.restarts(end.code) {
			return ok && end.code == 0
		}
		if end.finished.Sub(end.started) > 2*maxRestartDelay {
			n = 0
		}

		delay := restartDelay(n)
		if delay > 0 {
			c.setWaiting("CrashLoopBackOff", fmt.Sprintf("back-off %v restarting failed "+
				"container=%s", delay, c.spec.Name))
		}
		if !ctx.sleep(delay) {
			return false
		}
		c.prepareRestart()
	}
}

// restarts reports whether the container runs again after it ended with code. An init container
// that is no sidecar has done its work when it succeeds, whatever the pod's policy.
func (c *container) restarts(code int32) bool {
	once := slices.Contains(c.pod.init, c) && !podutil.IsRestartableInitContainer(c.spec)
	if once && code == 0 {
		return false
	}
	return podutil.ContainerShouldRestart(*c.spec, c.pod.spec(), code)
}

// once starts the container and waits until it has ended. It reports false when the pod was stopped
// before the container could start.
func (c *container) once(ctx lifetime) (exit, bool) {
	w, logs, ok := c.start(ctx)
	if !ok {
		return exit{}, false
	}
	if failed, isFailure := w.(startFailure); isFailure {
		c.setTerminated(failed.result())
		return failed.result(), true
	}

	c.setRunning(w.startedAt(), logs)
	unhealthy := make(chan struct{})
	probing, stopProbing := context.WithCancel(ctx.hard)
	var probes sync.WaitGroup
	probes.Go(func() { c.probe(probing, w, unhealthy) })
	c.await(ctx, w, unhealthy)
	stopProbing()
	probes.Wait()
	if logs != nil {
		logs.finish()
	}

	c.setTerminated(w.result())
	return w.result(), true
}

// await returns when the workload has ended: by itself, because the pod is stopped, or because its
// liveness probe failed. SIGTERM comes first, SIGKILL when the grace period is over. A preStop hook
// is not run.
func (c *container) await(ctx lifetime, w workload, unhealthy <-chan struct{}) {
	grace := time.Duration(first(c.pod.spec().TerminationGracePeriodSeconds)) * time.Second
	var patience <-chan time.Time
	select {
	case <-w.ended():
		return
	case <-ctx.soft.Done():
	case <-unhealthy:
		patience = time.After(grace)
	}

	w.signal(syscall.SIGTERM)
	select {
	case <-w.ended():
		return
	case <-ctx.hard.Done():
	case <-patience:
	}

	w.signal(syscall.SIGKILL)
	<-w.ended()
}

// startFailure stands for a container that could not be executed: for a kubelet it ran and ended at
// once, with the reason StartError.
type startFailure struct{ end exit }

func (f startFailure) startedAt() time.Time   { return f.end.started }
func (f startFailure) ended() <-chan struct{} { return nil }
func (f startFailure) result() exit           { return f.end }
func (f startFailure) signal(os.Signal)       {}

func newStartFailure(err error) startFailure {
	now := time.Now()
	return startFailure{end: exit{code: 128, reason: "StartError", message: err.Error(),
		started: now, finished: now}}
}

// start brings the container up. While something is missing (its image, its configuration) it says
// so in the status and waits. It reports false when the pod was stopped meanwhile.
func (c *container) start(ctx lifetime) (workload, *logWriter, bool) {
	img, err := c.pod.agent.cfg.resolveImage(c.spec.Image)
	if err != nil {
		c.setWaiting("ErrImagePull", err.Error())
		if ctx.sleep(pullRetryNotice) {
			c.setWaiting("ImagePullBackOff", "Back-off pulling image: "+err.Error())
			<-ctx.soft.Done() // images cannot be added while the lab runs
		}
		return nil, nil, false
	}

	c.setImage(img)
	for {
		allowed, err := containerSecurity(c.pod.object(), c.spec, img)
		if err == nil && img.servedBuiltin(c.spec.Command) {
			server, err := startBuiltin(c.pod.sandbox, c.pod.name, portsOf(img.short, c.spec))
			if err != nil {
				return newStartFailure(err), nil, true
			}
			return server, nil, true
		}
		if err == nil {
			var w workload
			var logs *logWriter
			if w, logs, err = c.startProcess(ctx, img, allowed); err == nil {
				return w, logs, true
			}
			var configuration configError
			if !errors.As(err, &configuration) {
				return newStartFailure(err), nil, true
			}
		}

		c.setWaiting("CreateContainerConfigError", err.Error())
		if !ctx.sleep(configRetry) {
			return nil, nil, false
		}
	}
}

// configError is a mistake in what the container refers to; it may be mended while the pod waits.
type configError struct{ error }

// startProcess starts the container's process with its logs.
func (c *container) startProcess(
	ctx lifetime, img image, allowed security,
) (workload, *logWriter, error) {
	base := append(c.pod.baseEnvironment(), img.environment(allowed.home)...)
	env, values, err := c.pod.downward().environment(ctx.soft, c.spec, base)
	if err != nil {
		return nil, nil, configError{err}
	}

	root, err := c.rootFS(img, allowed)
	if err != nil {
		return nil, nil, err
	}
	argv := c.argv(img, values)
	if len(argv) == 0 {
		return nil, nil, fmt.Errorf("image %s names no program to start: set the container's "+
			"command", c.spec.Image)
	}

	logs, err := newLogWriter(c.logPath(c.attempt()))
	if err != nil {
		return nil, nil, err
	}
	if err := c.pod.agent.starts.Acquire(ctx.soft, 1); err != nil {
		logs.closeContainerEnds()
		logs.finish()
		return nil, nil, err
	}
	defer c.pod.agent.starts.Release(1)

	p, err := startProcess(processSpec{
		network: c.pod.sandbox, hostname: c.pod.hostname(), root: root,
		argv: argv, env: env, dir: root.dir,
		security: allowed, stdout: logs.stdout, stderr: logs.stderr,
	})

	logs.closeContainerEnds()
	if err != nil {
		logs.finish()
		return nil, nil, err
	}

	return p, logs, nil
}

// rootFS is the container's file system.
func (c *container) rootFS(img image, allowed security) (rootFS, error) {
	for _, m := range c.spec.VolumeMounts {
		if m.SubPathExpr != "" {
			return rootFS{}, configError{fmt.Errorf("volume mount %s: the lab does not support "+
				"subPathExpr; use subPath", m.Name)}
		}
	}

	root := rootFS{
		staging:  c.pod.agent.staging(),
		dir:      nameOr(c.spec.WorkingDir, img.workingDir()),
		program:  img.program,
		etc:      c.pod.etcFiles(),
		mounts:   c.pod.volumes().mountsOf(c.spec),
		readOnly: allowed.readOnlyRoot,
	}

	if img.unpacked != nil {
		root.image = img.unpacked.Root
	}
	return root, nil
}

// argv is what the container executes. Command replaces the image's entrypoint and its arguments,
// args the latter alone, and $(NAME) is replaced in both.
func (c *container) argv(img image, values map[string]string) []string {
	expand := func(words []string) []string {
		var expanded []string
		for _, word := range words {
			expanded = append(expanded, expansion.Expand(word, expansion.MappingFuncFor(values)))
		}
		return expanded
	}

	switch {
	case len(c.spec.Command) > 0:
		return expand(slices.Concat(c.spec.Command, c.spec.Args))
	case len(c.spec.Args) > 0:
		return slices.Concat(img.entrypoint(), expand(c.spec.Args))
	}

	return slices.Concat(img.entrypoint(), img.arguments())
}

// logPath is where attempt number n of the container logs, as below a kubelet's /var/log/pods.
func (c *container) logPath(n int32) string {
	pod := c.pod.object()
	directory := strings.Join([]string{pod.Namespace, pod.Name, string(pod.UID)}, "_")
	return filepath.Join(c.pod.agent.cfg.StateDir, "pods", directory, c.spec.Name,
		strconv.Itoa(int(n))+".log")
}

// attempt counts the starts of the container from 0.
func (c *container) attempt() int32 {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return c.status.RestartCount
}

// update changes the status and tells the API.
func (c *container) update(change func(*v1.ContainerStatus)) {
	c.pod.mu.Lock()
	change(&c.status)
	c.pod.mu.Unlock()
	c.pod.publish()
}

func (c *container) setImage(img image) {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	c.status.ImageID = img.id()
}

func (c *container) setWaiting(reason, message string) {
	c.update(func(s *v1.ContainerStatus) {
		if s.State.Terminated != nil {
			s.LastTerminationState = s.State
		}
		s.State = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason,
			Message: message}}
		s.Ready, s.Started = false, new(bool)
	})
}

// setRunning also decides readiness where no probe does.
func (c *container) setRunning(at time.Time, logs *logWriter) {
	c.update(func(s *v1.ContainerStatus) {
		running := &v1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}
		s.State = v1.ContainerState{Running: running}
		s.ContainerID = "lab://" + string(uuid.NewUUID())
		started := c.spec.StartupProbe == nil
		s.Started = &started
		s.Ready = started && c.spec.ReadinessProbe == nil
		c.live, c.latest, c.logs = make(chan struct{}), s.RestartCount, logs
	})
}

// setStarted is called once the startup probe has succeeded.
func (c *container) setStarted() {
	c.update(func(s *v1.ContainerStatus) {
		started := true
		s.Started = &started
		s.Ready = c.spec.ReadinessProbe == nil
	})
}

func (c *container) isStarted() bool {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return first(c.status.Started)
}

// setReady ignores a result that comes after the container ended.
func (c *container) setReady(ready bool) {
	c.update(func(s *v1.ContainerStatus) { s.Ready = ready && s.State.Running != nil })
}

// setTerminated also ends whoever follows the log.
func (c *container) setTerminated(e exit) {
	var live chan struct{}
	c.update(func(s *v1.ContainerStatus) {
		s.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			ExitCode: e.code, Signal: e.signal, Reason: e.reason, Message: e.message,
			StartedAt: metav1.NewTime(e.started), FinishedAt: metav1.NewTime(e.finished),
			ContainerID: s.ContainerID,
		}}
		s.Ready, s.Started = false, new(bool)
		live, c.live = c.live, nil
	})

	if live != nil {
		close(live)
		// A follower waits for changes of the file; a change of its mode is one, and costs no line.
		_ = os.Chmod(c.logPath(c.attempt()), 0o644)
	}
}

func (c *container) prepareRestart() {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	if c.status.State.Terminated != nil {
		c.status.LastTerminationState = c.status.State
	}
	c.status.RestartCount++
}
