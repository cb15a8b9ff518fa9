// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// family tells the processes that process 1 started from those it inherited: the containers of a
// node agent that was killed become its children, and remain as zombies until it collects them.
type family struct {
	mu  sync.Mutex
	own map[int]bool
}

// start runs the function that starts the command, and remembers the child.
func (f *family) start(command *exec.Cmd, start func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := start(); err != nil {
		return err
	}
	f.own[command.Process.Pid] = true
	return nil
}

// wait waits for a command that start has started.
func (f *family) wait(command *exec.Cmd) error {
	err := command.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.own, command.Process.Pid)
	return err
}

// collect ends the zombies that nobody else waits for, until the context ends.
func (f *family) collect(ctx context.Context) error {
	// The runtime finds out once what it can do by forking a child, which must not be collected
	// here.
	if _, err := os.FindProcess(os.Getpid()); err != nil {
		return fmt.Errorf("find this process: %w", err)
	}

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
		}
		if err := f.collectOnce(); err != nil {
			return err
		}
	}
}

func (f *family) collectOnce() error {
	f.mu.Lock()
	defer f.mu.Unlock()

	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || f.own[pid] {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil || !isOwnZombie(stat) {
			continue // gone already, alive, or somebody else's
		}
		// a zombie that is still there will be met again
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}

	return nil
}

// isOwnZombie reads /proc/PID/stat: "PID (name) state parent …", where the name may hold anything
// (proc_pid_stat(5)).
func isOwnZombie(stat []byte) bool {
	return bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" Z 1 "))
}
