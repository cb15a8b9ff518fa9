// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package labtest gives a test a lab of its own: a real control plane with real pod networks, gone
// when the test ends.
//
//	lab := labtest.Start(t, "--delay", "300ms")
//	pods, err := lab.Client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
package labtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

const (
	// startTimeout is generous: a machine that is busy with other tests may take long.
	startTimeout = 5 * time.Minute
	// stopTimeout is how long a lab may take to end before it is killed.
	stopTimeout = 2 * time.Minute
	// pollInterval is how often Await looks where the API offers no event.
	pollInterval = 100 * time.Millisecond
	// logTail is how much of each component's log a failed test shows, in bytes: so little that the
	// failure itself stays in sight.
	logTail = 1 << 10
)

// Lab is a running lab.
type Lab struct {
	// Dir is the state directory.
	Dir string
	// Kubeconfig is the path of the administrator's kubeconfig, which works from the host.
	Kubeconfig string
	// Config and Client are the same for programs. They have no rate limit; Client speaks protobuf.
	Config *rest.Config
	Client kubernetes.Interface
	// Truth is the path of the reference engine's log, and Commits that of the witness's, if it was
	// asked for.
	Truth, Commits string

	t      testing.TB
	binary string
}

// Of is the lab as another test has it, for example a part of the one that started it: its methods
// fail that test.
func (l *Lab) Of(t testing.TB) *Lab {
	one := *l
	one.t = t
	t.Cleanup(func() {
		if t.Failed() {
			one.logComponents()
		}
	})
	return &one
}

// starting is held by who starts a lab: two that start at the same time are no sooner ready than
// one after the other, and keep everything else from the processors meanwhile.
var starting sync.Mutex

// start starts a lab. The caller stops it.
func start(binary string, flags []string) (lab *Lab, stop func() error, err error) {
	starting.Lock()
	defer starting.Unlock()

	// Not t.TempDir: the directory holds sockets, whose paths must be short.
	dir, err := os.MkdirTemp("", "lab-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a state directory: %w", err)
	}
	end, err := run(binary, dir, flags)
	stop = func() error { return errors.Join(end(), os.RemoveAll(dir)) }
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}

	lab = &Lab{Dir: dir, Kubeconfig: layout.Dir(dir).Kubeconfig(), Truth: layout.Dir(dir).Truth(),
		Commits: layout.Dir(dir).Commits(), binary: binary}
	lab.Config, err = clientcmd.BuildConfigFromFlags("", lab.Kubeconfig)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read the lab's kubeconfig: %w", err), stop())
	}
	lab.Config.QPS = -1
	compact := rest.CopyConfig(lab.Config)
	compact.ContentType = "application/vnd.kubernetes.protobuf"
	lab.Client, err = kubernetes.NewForConfig(compact)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make a client: %w", err), stop())
	}
	return lab, stop, nil
}

// run starts the lab's process, waits until it says that it is ready, and returns how it is ended.
func run(binary, dir string, flags []string) (end func() error, err error) {
	nothing := func() error { return nil }
	cmd := exec.Command(binary, append([]string{"up", "--dir", dir}, flags...)...)
	var said strings.Builder
	cmd.Stderr = &said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nothing, fmt.Errorf("make a pipe: %w", err)
	}
	// A test that is killed takes its lab along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}

	started, exited := make(chan error, 1), make(chan struct{})
	ready := make(chan bool, 1)
	go func() {
		// The death signal comes when the thread that started the process ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewScanner(stdout)
		ready <- lines.Scan()
		for lines.Scan() {
		}
		_ = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nothing, fmt.Errorf("start the lab: %w", err)
	}

	end = func() error { return terminate(cmd.Process, exited) }
	select {
	case ok := <-ready:
		if !ok {
			<-exited
			return end, fmt.Errorf("start the lab: it ended:\n%s", said.String())
		}
	case <-time.After(startTimeout):
		return end, fmt.Errorf("start the lab: it was not ready after %v", startTimeout)
	}
	return end, nil
}

// terminate ends the lab's process.
func terminate(process *os.Process, exited <-chan struct{}) error {
	_ = process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-exited:
		return nil
	case <-time.After(stopTimeout):
		_ = process.Kill()
		<-exited
		return fmt.Errorf("stop the lab: it ran on for %v and was killed", stopTimeout)
	}
}

func (l *Lab) logComponents() {
	logs, err := filepath.Glob(layout.Dir(l.Dir).Log("*"))
	if err != nil {
		l.t.Logf("find the lab's logs: %v", err)
	}

	for _, path := range logs {
		content, err := os.ReadFile(path)
		if err != nil {
			l.t.Logf("read a log of the lab: %v", err)
			continue
		}
		l.t.Logf("=== the end of %s:\n%s", filepath.Base(path),
			content[max(0, len(content)-logTail):])
	}
}

// Command runs a command of the lab's program on this lab and returns what it printed.
func (l *Lab) Command(ctx context.Context, name string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, l.binary, append([]string{name, "--dir", l.Dir},
		arguments...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return string(output), fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return string(output), nil
}

// Set changes settings of the reference engine, for example Set("--delay", "1s").
func (l *Lab) Set(flags ...string) {
	l.t.Helper()
	if _, err := l.Command(l.t.Context(), "set", flags...); err != nil {
		l.t.Fatal(err)
	}
}

// Component starts, stops, restarts or kills a component: Component("kill", "kube-apiserver").
func (l *Lab) Component(action, name string) {
	l.t.Helper()
	if _, err := l.Command(l.t.Context(), "component", action, name); err != nil {
		l.t.Fatal(err)
	}
}

// Node makes a node not ready, or ready, or rotates its logs: Node("not-ready", "node-0").
func (l *Lab) Node(action, name string) {
	l.t.Helper()
	if _, err := l.Command(l.t.Context(), "node", action, name); err != nil {
		l.t.Fatal(err)
	}
}

// Kubectl runs kubectl against the lab and returns what it printed.
func (l *Lab) Kubectl(arguments ...string) string {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), l.binary,
		append([]string{"kubectl", "--kubeconfig", l.Kubeconfig}, arguments...)...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("kubectl %s: %v: %s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// Namespace creates a namespace in which pods can be created at once.
func (l *Lab) Namespace(name string) string {
	l.t.Helper()
	object := &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := l.Client.CoreV1().Namespaces().Create(l.t.Context(), object,
		metav1.CreateOptions{}); err != nil {
		l.t.Fatalf("create namespace %s: %v", name, err)
	}

	l.Await("the default service account of "+name, time.Minute,
		func(ctx context.Context) (bool, error) {
			_, err := l.Client.CoreV1().ServiceAccounts(name).
				Get(ctx, "default", metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return false, nil
			}
			return err == nil, err
		})
	return name
}

// Await looks until check is satisfied, and fails the test with its last error when that takes too
// long. It is for what the API offers no event for; prefer a watch.
func (l *Lab) Await(what string, within time.Duration, check func(context.Context) (bool, error)) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), within)
	defer cancel()
	var last error
	for {
		ok, err := check(ctx)
		if ok {
			return
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			l.t.Fatalf("waited %v for %s in vain (last error: %v)", within, what, last)
		}
	}
}

// AwaitReady waits until a pod is ready and returns it.
func (l *Lab) AwaitReady(namespace, name string, within time.Duration) *v1.Pod {
	l.t.Helper()
	var pod *v1.Pod
	l.Await("pod "+namespace+"/"+name+" to be ready", within,
		func(ctx context.Context) (bool, error) {
			var err error
			pod, err = l.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
			return err == nil && IsReady(pod), err
		})
	return pod
}

// IsReady reports whether the pod's Ready condition is true.
func IsReady(pod *v1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

// AwaitAPI waits until the API server answers again.
func (l *Lab) AwaitAPI() {
	l.t.Helper()
	l.Await("the API server to be ready", startTimeout, func(ctx context.Context) (bool, error) {
		return l.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil,
			nil
	})
}

// Processes are the lab's processes, by their numbers on the host: its first one and all
// descendants (proc_pid_task(5), children). Whoever looks through all of /proc again and again,
// while containers end, can halt some kernels for minutes.
func (l *Lab) Processes() []int {
	l.t.Helper()
	lab, err := supervisor.Load(layout.Dir(l.Dir))
	if err != nil {
		l.t.Fatal(err)
	}

	all := []int{lab.PID}
	for i := 0; i < len(all); i++ {
		// the pattern is right
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, file := range files {
			children, _ := os.ReadFile(file) // empty of one that has ended
			for _, text := range strings.Fields(string(children)) {
				if pid, err := strconv.Atoi(text); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// CutConnections resets every connection between the control plane and an address, as a broken
// network would.
func (l *Lab) CutConnections(address string) {
	l.t.Helper()
	lab, err := supervisor.Load(layout.Dir(l.Dir))
	if err != nil {
		l.t.Fatal(err)
	}

	cut := exec.CommandContext(l.t.Context(), "nsenter",
		fmt.Sprintf("--net=/proc/%d/ns/net", lab.PID),
		"ss", "--no-header", "--kill", "dst", address)
	output, err := cut.CombinedOutput()
	if err != nil || len(output) == 0 {
		l.t.Fatalf("cut the connections of %s: %v: ss reported %q; expected at least one", address,
			err, output)
	}
}
