// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/flat"
	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// The hidden commands that this program runs itself with.
const (
	serveCommand   = "serve"
	measureCommand = "measure"
)

// turnTimeout is the longest that a turn may take: some wait for a second, several times.
const turnTimeout = 20 * time.Second

// self is this program with a hidden command.
func self(ctx context.Context, command string) *exec.Cmd {
	child := exec.CommandContext(ctx, "/proc/self/exe", command)
	child.SysProcAttr = &syscall.SysProcAttr{
		// It dies with its parent, whatever the parent dies of. For the kernel that is the thread
		// which started it (PR_SET_PDEATHSIG(2const)): that thread must live as long.
		Pdeathsig: syscall.SIGKILL,
		// Whatever it starts dies with it (pid_namespaces(7)), even what its children start.
		Cloneflags: syscall.CLONE_NEWPID,
		// A terminal's Ctrl-C is for the parent.
		Setpgid: true,
	}

	child.Stderr = os.Stderr
	child.WaitDelay = time.Second // its own children may hold its output a moment longer
	return child
}

// take has a child make a turn inside a namespace. The thread that starts the child waits for it.
func (t Turn) take(ctx context.Context, where *netns.Namespace) (Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	request, err := json.Marshal(t)
	if err != nil {
		return Reading{}, fmt.Errorf("ask for a turn: %w", err)
	}

	var output []byte
	err = where.Do(func() error {
		child := self(ctx, measureCommand)
		child.Stdin = bytes.NewReader(request)
		var err error
		output, err = child.Output()
		return err
	})

	if err != nil {
		return Reading{}, fmt.Errorf("run a turn: %w", errors.Join(err, context.Cause(ctx)))
	}

	var answer reply
	if err := json.Unmarshal(output, &answer); err != nil {
		return Reading{}, fmt.Errorf("read the result of a turn: %w", err)
	}

	if answer.Error != "" {
		return Reading{}, errors.New(answer.Error)
	}

	return answer.Reading, nil
}

// server is the child that answers for the target host.
type server struct {
	stop  context.CancelFunc
	ended chan error
}

// startServer starts the server inside a namespace, and returns when it serves.
func startServer(where *netns.Namespace) (*server, error) {
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}

	defer ready.Close()
	ctx, stop := context.WithCancel(context.Background())
	s := &server{stop: stop, ended: make(chan error, 1)}
	go func() {
		err := where.Do(func() error {
			child := self(ctx, serveCommand)
			child.Stdout = tell
			return child.Run()
		})
		s.ended <- errors.Join(err, tell.Close())
	}()

	if _, err := ready.Read(make([]byte, 1)); err != nil {
		return nil, fmt.Errorf("wait for the server: %w", errors.Join(err, s.close()))
	}

	return s, nil
}

// close ends the server, and returns an error if it had ended before.
func (s *server) close() error {
	if s == nil {
		return nil
	}

	defer s.stop()
	select {
	case err := <-s.ended:
		return fmt.Errorf("serve: %w", errors.Join(errors.New("the server ended early"), err))
	default:
	}

	s.stop()
	if err := <-s.ended; err == nil {
		return errors.New("serve: the server ended of itself") // instead of being killed
	}

	return nil
}

// serve is the server's process.
func serve() error {
	// a parent that has gone takes it along
	return flat.Serve(func() { _, _ = os.Stdout.Write([]byte{'\n'}) })
}
