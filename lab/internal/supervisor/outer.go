// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Running is a lab as the outer process holds it.
type Running struct {
	Lab
	dir     *directory
	command *exec.Cmd
	life    *os.File
	ready   chan labStatus // receives the message that the lab is ready
	exited  chan struct{}  // closed when the inner process has ended
	result  error          // how it ended
}

// Start brings a lab up. It returns when the lab is ready, or cannot be, and then nothing is left.
// Without Options.Dir the lab has a temporary directory.
func Start(ctx context.Context, options Options, progress io.Writer) (_ *Running, err error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	r := &Running{ready: make(chan labStatus, 1), exited: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = r.Stop() // the first error is the one that matters
		}
	}()

	if r.dir, err = openDirectory(options.Dir); err != nil {
		return nil, err
	}
	options.Dir, options.Temporary = r.dir.Dir, r.dir.temporary
	if err := r.spawn(options, progress); err != nil {
		return nil, err
	}

	select {
	case message := <-r.ready:
		return r, r.describe(message)
	case <-r.exited:
		return nil, fmt.Errorf("start the lab: %w", r.result)
	case <-ctx.Done():
		return nil, errors.New("start the lab: a signal came before it was ready")
	}
}

// spawn starts the inner process in namespaces of its own.
func (r *Running) spawn(options Options, progress io.Writer) error {
	file := options.Dir.Config("lab")
	if err := writeJSON(file, options); err != nil {
		return err
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("listen for the host's connections: %w", err)
	}
	defer listener.Close()

	socket, err := listener.File()
	if err != nil {
		return fmt.Errorf("hand the listener on: %w", err)
	}
	defer socket.Close()

	statusReader, statusWriter, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer statusWriter.Close()

	watch, life, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("make a pipe: %w", err), statusReader.Close())
	}
	defer watch.Close()

	r.life = life
	command := exec.Command("/proc/self/exe", "inner", "--config", file)
	command.Args[0] = "netpol-latency-lab"
	command.Stdout, command.Stderr = progress, progress
	command.ExtraFiles = []*os.File{socket, statusWriter, watch, r.dir.lock}
	command.SysProcAttr = namespaces()
	if err := command.Start(); err != nil {
		return errors.Join(explain(err), statusReader.Close())
	}

	r.command = command
	go r.readStatus(statusReader)
	return nil
}

// readStatus passes on that the lab is ready and keeps how it ended.
func (r *Running) readStatus(statusReader io.ReadCloser) {
	defer close(r.exited)
	defer statusReader.Close()

	var message labStatus
	for decoder := json.NewDecoder(statusReader); decoder.Decode(&message) == nil; {
		if message.Failure == "" {
			r.ready <- message
		}
	}

	err := r.command.Wait()
	switch {
	case message.Failure != "":
		r.result = errors.New(message.Failure)
	case err != nil:
		r.result = fmt.Errorf("run the lab: its first process ended: %w", err)
	}
}

// namespaces are those that separate a lab from the host. Without root, a user namespace in which
// the user is root makes the others possible (user_namespaces(7)).
func namespaces() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		// A terminal's Ctrl-C is for this process, which then ends the lab in order.
		Setpgid: true,
	}

	if os.Geteuid() != 0 {
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(),
			Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(),
			Size: 1}}
	}

	return attributes
}

func explain(err error) error {
	if os.Geteuid() != 0 && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC)) {
		return fmt.Errorf("make namespaces without root: this kernel or its settings forbid it "+
			"(user.max_user_namespaces, AppArmor): run as root: %w", err)
	}
	return fmt.Errorf("make the lab's namespaces: %w", err)
}

// describe writes down what other processes of the host need to know about the lab.
func (r *Running) describe(message labStatus) error {
	dir := r.dir.Dir
	r.Lab = Lab{
		Dir: dir, PID: r.command.Process.Pid, Rootless: os.Geteuid() != 0,
		Kubeconfig: dir.Kubeconfig(), Truth: dir.Truth(), Nodes: make(map[string]string),
	}
	for name, descriptor := range message.Namespaces {
		r.Nodes[name] = fmt.Sprintf("/proc/%d/fd/%d", r.PID, descriptor)
	}
	return writeJSON(dir.State(), r.Lab)
}

// Exited is closed when the lab has ended, by itself or by Stop.
func (r *Running) Exited() <-chan struct{} { return r.exited }

// Stop ends the lab, waits until it is gone and returns how it ended. It may be called more than
// once.
func (r *Running) Stop() error {
	if r.life != nil {
		_ = r.life.Close() // nothing was ever written to it
		r.life = nil
	}
	if r.command != nil {
		select {
		case <-r.exited:
		case <-time.After(2 * stopGrace):
			_ = r.command.Process.Kill() // it can only have ended meanwhile
			<-r.exited
		}
	}

	if r.dir != nil {
		r.result = errors.Join(r.result, r.dir.close())
		r.dir = nil
	}
	return r.result
}
