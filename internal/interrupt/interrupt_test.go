// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package interrupt_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
)

// asProgram makes this test binary the program of that name, which the tests send signals to.
const asProgram = "INTERRUPT_TEST_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "patient":
		patient()
	case "writer":
		writer()
	}
	os.Exit(m.Run())
}

// patient says when it is told to end, and then takes forever over it.
func patient() {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	fmt.Println("started")
	<-ctx.Done()
	fmt.Println("stopping")
	select {}
}

// writer writes to standard error until nobody reads that any more, says why it ends, and writes
// once more.
func writer() {
	ctx, out := interrupt.Unread(context.Background(), os.Stderr)
	for ctx.Err() == nil {
		fmt.Fprintln(out, "so far")
	}
	fmt.Println(context.Cause(ctx))
	fmt.Fprintln(os.Stderr, "the end")
	os.Exit(7)
}

// program starts this binary as the program of a name, by a command line that may do something
// before it.
func program(t *testing.T, name string, before ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(before, self)
	command := exec.Command(line[0], line[1:]...)
	command.Env = append(os.Environ(), asProgram+"="+name)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return command, bufio.NewScanner(output)
}

// expect reads a line.
func expect(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	if !lines.Scan() || lines.Text() != want {
		t.Fatalf("the program says %q, want %q", lines.Text(), want)
	}
}

// send sends a signal.
func send(t *testing.T, command *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if err := command.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// expectEndBy waits for the end by a signal.
func expectEndBy(t *testing.T, command *exec.Cmd, s syscall.Signal) {
	t.Helper()
	_ = command.Wait() // the status below says it better
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != s {
		t.Fatalf("got %v, want the end by %v", command.ProcessState, s)
	}
}

// TestSecondSignal sends the second signal as soon as the first is seen to work, many times over:
// there must be no moment in which it is swallowed.
func TestSecondSignal(t *testing.T) {
	for range 5 {
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			command, lines := program(t, "patient")
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"started", "stopping"} {
				expect(t, lines, want)
				send(t, command, s)
			}
			expectEndBy(t, command, s)
		}
	}
}

// TestHangup closes the terminal of a program, of which it hears twice: it ends in order, and takes
// the time that it needs for that.
func TestHangup(t *testing.T) {
	// A process that ignores the signal, as under nohup(1), lets its children ignore it, too.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	command, lines := program(t, "patient")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	expect(t, lines, "started")
	send(t, command, syscall.SIGHUP)
	expect(t, lines, "stopping")
	send(t, command, syscall.SIGHUP)
	send(t, command, syscall.SIGTERM) // signals are delivered in the order of their numbers
	expectEndBy(t, command, syscall.SIGTERM)
}

// TestNohup starts a program that is to survive its terminal.
func TestNohup(t *testing.T) {
	command, lines := program(t, "patient", "sh", "-c", `trap "" HUP; exec "$0"`)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	expect(t, lines, "started")
	send(t, command, syscall.SIGHUP)
	send(t, command, syscall.SIGINT)
	expect(t, lines, "stopping")
	send(t, command, syscall.SIGINT)
	expectEndBy(t, command, syscall.SIGINT)
}

// TestUnread closes the pipe that a program writes to: it is not killed, and learns of it.
func TestUnread(t *testing.T) {
	command, lines := program(t, "writer")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = write
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	if _, err := read.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	expect(t, lines, interrupt.ErrUnread.Error())
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != 7 {
		t.Errorf("the program ended with %v", command.ProcessState)
	}
}

func TestParentEnds(*testing.T) {
	parent, cancel := context.WithCancel(context.Background())
	ctx, stop := interrupt.Context(parent)
	defer stop()
	cancel()
	<-ctx.Done()
}
