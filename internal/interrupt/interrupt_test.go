// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package interrupt_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/interrupt"
)

// asPatient makes this test binary the program that the test sends signals to.
const asPatient = "INTERRUPT_TEST_AS_PATIENT"

func TestMain(m *testing.M) {
	if os.Getenv(asPatient) != "" {
		patient()
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

// TestSecondSignal sends the second signal as soon as the first is seen to work, many times over:
// there must be no moment in which it is swallowed.
func TestSecondSignal(t *testing.T) {
	for range 50 {
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			command := exec.Command("/proc/self/exe")
			command.Env = append(os.Environ(), asPatient+"=1")
			output, err := command.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(output)
			for _, want := range []string{"started", "stopping"} {
				if !lines.Scan() || lines.Text() != want {
					t.Fatalf("the program says %q, want %q", lines.Text(), want)
				}
				if err := command.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			_ = command.Wait() // the status below says it better
			status := command.ProcessState.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != s {
				t.Fatalf("after two times %v: got %v, want the end by it", s, command.ProcessState)
			}
		}
	}
}

func TestParentEnds(*testing.T) {
	parent, cancel := context.WithCancel(context.Background())
	ctx, stop := interrupt.Context(parent)
	defer stop()
	cancel()
	<-ctx.Done()
}
