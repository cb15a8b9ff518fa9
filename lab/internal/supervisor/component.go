// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// ComponentProcess is the command of this program under which a component's process runs.
const ComponentProcess = "component-process"

// stopGrace is how long a component may take to stop before it is killed.
const stopGrace = 10 * time.Second

// lastLines is how much of a log is shown when its component has failed.
const lastLines = 10

// component is one part of the lab in a process of its own.
type component struct {
	name      string
	arguments []string
	log       string
	namespace *netns.Namespace // nil is that of the control plane
	family    *family
	failed    chan<- error // receives the error of a process that ended unasked

	mu      sync.Mutex
	command *exec.Cmd
	exited  chan struct{} // closed when the command has ended
	stopped bool          // it was asked to end
}

// Status is what a component is doing.
type Status struct {
	Name    string `json:"name"`
	Running bool   `json:"running"`
	PID     int    `json:"pid,omitempty"`
	// CPU is the processor time of its process so far and of the programs that this has run.
	CPU time.Duration `json:"cpuNs,omitempty"`
}

// errNotRunning and errRunning are answers to actions that make no sense now.
var (
	errNotRunning = errors.New("it is not running")
	errRunning    = errors.New("it is running already")
)

// start starts the component's process. Its output is appended to its log.
func (c *component) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.command != nil {
		return fmt.Errorf("start %s: %w", c.name, errRunning)
	}
	if err := os.MkdirAll(filepath.Dir(c.log), 0o700); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}

	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	defer log.Close()

	command := exec.Command("/proc/self/exe", c.arguments...)
	command.Args[0] = c.name
	command.Stdout, command.Stderr = log, log
	if _, set := os.LookupEnv("GOGC"); !set && c.namespace == nil {
		command.Env = append(os.Environ(), "GOGC="+controlPlaneGOGC)
	}
	if err := c.family.start(command, func() error { return c.startIn(command) }); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}

	c.command, c.exited, c.stopped = command, make(chan struct{}), false
	go c.wait(command, c.exited)
	return nil
}

// controlPlaneNiceness is the priority of the control plane (nice(2)). A cluster's nodes do not
// share their processors with it; here they do, and what runs in pods is what is measured.
const controlPlaneNiceness = 10

// controlPlaneGOGC is how much the control plane's memory may grow, in percent, before its garbage
// is collected. Most of what is allocated while it starts is kept; to look for the rest again and
// again takes a tenth of the time.
const controlPlaneGOGC = "300"

// startIn starts the process where it belongs: in its node's namespace, or behind the pods.
func (c *component) startIn(command *exec.Cmd) error {
	if c.namespace != nil {
		return c.namespace.Do(command.Start)
	}
	return netns.OnThread(func() error {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, controlPlaneNiceness); err != nil {
			return fmt.Errorf("lower the priority: %w", err)
		}
		return command.Start()
	})
}

// wait reaps the process and reports an end that nobody asked for.
func (c *component) wait(command *exec.Cmd, exited chan<- struct{}) {
	_ = c.family.wait(command) // the process's state says it all
	c.mu.Lock()
	asked := c.stopped
	c.command = nil
	c.mu.Unlock()
	close(exited)
	if !asked {
		c.failed <- fmt.Errorf("run %s: it ended by itself (%v); the end of its log:\n%s",
			c.name, command.ProcessState, logTail(c.log))
	}
}

// logTail are the last lines of a log. They are shown because the log may not outlive the lab.
func logTail(log string) string {
	content, err := os.ReadFile(log)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	lines := strings.SplitAfter(strings.TrimSpace(string(content)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-lastLines):], "  ")
}

// end sends the signal and waits for the process to end; one that does not is killed.
func (c *component) end(signal syscall.Signal) error {
	c.mu.Lock()
	command, exited := c.command, c.exited
	c.stopped = true
	c.mu.Unlock()
	if command == nil {
		return fmt.Errorf("stop %s: %w", c.name, errNotRunning)
	}
	if err := command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}

	select {
	case <-exited:
	case <-time.After(stopGrace):
		_ = command.Process.Kill() // it can only have ended meanwhile
		<-exited
	}

	return nil
}

// status reads what the component is doing.
func (c *component) status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := Status{Name: c.name, Running: c.command != nil}
	if status.Running {
		status.PID = c.command.Process.Pid
		status.CPU, _ = cpuTime(status.PID) // it may have ended just now
	}
	return status
}

// act carries out an action that a user names.
func (c *component) act(action string) error {
	switch action {
	case "start":
		return c.start()
	case "stop":
		return c.end(syscall.SIGTERM)
	case "kill":
		return c.end(syscall.SIGKILL)
	case "restart":
		if err := c.end(syscall.SIGTERM); err != nil && !errors.Is(err, errNotRunning) {
			return err
		}
		return c.start()
	default:
		return fmt.Errorf("unknown action %q: expected start, stop, restart, kill or status",
			action)
	}
}
