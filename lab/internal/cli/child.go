// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// errLabEnded says that a command had to end because the lab did.
var errLabEnded = errors.New("the lab ended before the command did")

// runChild runs a command to its end, and ends it when the lab ends. It gets the first signal as it
// came, and is killed at the second. The error carries its exit code.
func runChild(command *exec.Cmd, labEnded <-chan struct{}) error {
	// The child ends with this process, even if that is killed; the kernel watches the thread that
	// started it (PR_SET_PDEATHSIG(2const)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)

	if err := command.Start(); err != nil {
		return fmt.Errorf("run the command: %w", err)
	}
	done := make(chan struct{})
	var waitErr error // once done
	go func() {
		defer close(done)
		waitErr = command.Wait()
	}()

	var came bool
	for {
		select {
		case <-done:
			return exitError(waitErr)
		case received := <-signals:
			switch {
			case came:
				_ = command.Process.Kill() // it can only have ended meanwhile
			case received != syscall.SIGINT || !inForeground():
				_ = command.Process.Signal(received) // the same
			}
			came = true
		case <-labEnded:
			_ = command.Process.Signal(syscall.SIGTERM) // the same
			<-done
			return errLabEnded
		}
	}
}

// inForeground reports whether a Ctrl-C on the terminal goes to this process, and then to its child
// as well.
func inForeground() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// exitError translates what Wait returned as shells do: a signal is 128 and its number.
func exitError(err error) error {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		if err != nil {
			return fmt.Errorf("run the command: %w", err)
		}
		return nil
	}
	status, ok := ended.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return exitCode(128 + int(status.Signal()))
	}
	return exitCode(ended.ExitCode())
}
