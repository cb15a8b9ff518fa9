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
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
)

// temporaryPattern names the directories of labs that were given none.
const temporaryPattern = "netpol-latency-lab-"

// longestSocket is the room for a socket's path in struct sockaddr_un (unix(7)).
const longestSocket = 107

// Running is a lab as the outer process holds it.
type Running struct {
	Lab
	command *exec.Cmd
	life    *os.File
	lock    *os.File
	exited  chan struct{} // closed when the inner process has ended
	result  error         // how it ended
}

// TemporaryDir makes a state directory for a lab that ends with this process, and removes those that
// labs left behind which were killed together with their supervisors.
func TemporaryDir() (layout.Dir, error) {
	stale, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPattern+"*"))
	if err != nil {
		return "", fmt.Errorf("look for old labs: %w", err)
	}
	for _, old := range stale {
		lock, err := hold(layout.Dir(old))
		if err != nil {
			continue // it runs, or is somebody else's
		}
		_ = os.RemoveAll(old) // what cannot be removed now will be met again
		_ = lock.Close()
	}
	dir, err := os.MkdirTemp("", temporaryPattern)
	if err != nil {
		return "", fmt.Errorf("make a state directory: %w", err)
	}
	return layout.Dir(dir), nil
}

// hold locks a state directory for as long as the file stays open, here or in a child.
func hold(dir layout.Dir) (*os.File, error) {
	lock, err := os.OpenFile(dir.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", string(dir), err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close() // nothing was written
		return nil, fmt.Errorf("lock %s: another lab runs there: choose another --dir: %w", string(dir), err)
	}
	return lock, nil
}

// Start brings a lab up. It returns when the lab is ready, or cannot be, and then nothing is left.
func Start(ctx context.Context, options Options, progress io.Writer) (_ *Running, err error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if length := len(options.Dir.Control()); length > longestSocket {
		return nil, fmt.Errorf("--dir %s is %d characters too long for the socket in it", options.Dir, length-longestSocket)
	}
	if err := os.MkdirAll(string(options.Dir), 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	r := &Running{exited: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Stop())
		}
	}()
	if r.lock, err = hold(options.Dir); err != nil {
		return nil, err
	}
	if err := clear(options.Dir); err != nil {
		return nil, err
	}
	ready, err := r.spawn(options, progress)
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	return r, r.awaitReady(ctx, options, ready)
}

// clear removes what an earlier lab left in the directory, so that nobody reads old truth.
func clear(dir layout.Dir) error {
	for _, old := range []string{dir.Kubeconfig(), dir.Truth(), dir.State(), dir.Control(), dir.Log(""), dir.Node("")} {
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("clear the state directory: %w", err)
		}
	}
	return nil
}

// spawn starts the inner process in namespaces of its own.
func (r *Running) spawn(options Options, progress io.Writer) (ready *os.File, err error) {
	file := options.Dir.Config("lab")
	if err := writeJSON(file, options); err != nil {
		return nil, err
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("listen for the host's connections: %w", err)
	}
	defer listener.Close()
	socket, err := listener.File()
	if err != nil {
		return nil, fmt.Errorf("hand the listener on: %w", err)
	}
	defer socket.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer tell.Close()
	watch, life, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), ready.Close())
	}
	defer watch.Close()
	r.life = life
	r.command = exec.Command("/proc/self/exe", "inner", "--config", file)
	r.command.Args[0] = "netpol-latency-lab"
	r.command.Stdout, r.command.Stderr = progress, progress
	r.command.ExtraFiles = []*os.File{socket, tell, watch, r.lock}
	r.command.SysProcAttr = namespaces()
	if err := r.command.Start(); err != nil {
		r.command = nil
		return nil, errors.Join(explain(err), ready.Close())
	}
	command := r.command
	go func() {
		if err := command.Wait(); err != nil {
			r.result = fmt.Errorf("run the lab: %w", err)
		}
		close(r.exited)
	}()
	return ready, nil
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
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
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

// awaitReady waits for the news that the lab is ready and describes it for other processes.
func (r *Running) awaitReady(ctx context.Context, options Options, ready *os.File) error {
	defer context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })()
	var message news
	err := json.NewDecoder(ready).Decode(&message)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("start the lab: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("start the lab: it ended before it was ready: see the messages above and %s", options.Dir.Log(""))
	case message.Failure != "":
		return fmt.Errorf("start the lab: %s", message.Failure)
	}
	r.Lab = Lab{
		PID: r.command.Process.Pid, Rootless: os.Geteuid() != 0, Kubeconfig: options.Dir.Kubeconfig(),
		Truth: options.Dir.Truth(), Nodes: make(map[string]string),
	}
	for name, descriptor := range message.Namespaces {
		r.Nodes[name] = fmt.Sprintf("/proc/%d/fd/%d", r.PID, descriptor)
	}
	return writeJSON(options.Dir.State(), r.Lab)
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
	if r.lock != nil {
		_ = r.lock.Close() // a lock is not written either
		r.lock = nil
	}
	return r.result
}
