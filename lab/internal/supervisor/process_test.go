// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

// patience is long enough for a machine that is busy with other tests.
const patience = 2 * time.Minute

// process is a running netpol-latency-lab.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Closer
	lines  chan string // its standard output; closed at the end
	stderr string      // the file that takes its standard error
	temp   string      // its directory for temporary files
	exited chan struct{}
}

// launch starts a command of the lab's program, with a directory for temporary files of its own.
func launch(t *testing.T, arguments ...string) *process {
	t.Helper()
	return launchAs(t, labtest.Binary(t), shortDir(t), nil, arguments...)
}

// launchIn is launch with more variables in the environment.
func launchIn(t *testing.T, variables []string, arguments ...string) *process {
	t.Helper()
	return start(t, labtest.Binary(t), shortDir(t), nil, variables, arguments)
}

// launchAs is launch with another program, directory for temporary files and user.
func launchAs(
	t *testing.T, binary, temp string, who *syscall.Credential, arguments ...string,
) *process {
	t.Helper()
	return start(t, binary, temp, who, nil, arguments)
}

func start(
	t *testing.T, binary, temp string, who *syscall.Credential, variables, arguments []string,
) *process {
	t.Helper()
	p := &process{t: t, lines: make(chan string, 100), temp: temp, exited: make(chan struct{})}
	p.stderr = filepath.Join(t.TempDir(), "stderr")
	stderr, err := os.Create(p.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p.cmd = exec.Command(binary, arguments...)
	p.cmd.Env = append(append(os.Environ(), "TMPDIR="+temp, "HOME="+temp), variables...)
	p.cmd.Dir, p.cmd.Stderr = temp, stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGTERM}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		defer close(p.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
		_ = p.cmd.Wait() // the process's state says it all
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		p.code()
	})
	return p
}

// line is the next line of standard output.
func (p *process) line() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatalf("%v ended:\n%s", p.cmd.Args, p.said())
		}
		return line
	case <-time.After(patience):
		p.t.Fatalf("%v printed nothing for %v:\n%s", p.cmd.Args, patience, p.said())
	}
	return ""
}

// code waits for the end and returns the exit code, -1 if a signal ended the process.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		p.t.Fatalf("%v did not end within %v:\n%s", p.cmd.Args, patience, p.said())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// said is the standard error so far.
func (p *process) said() string {
	content, err := os.ReadFile(p.stderr)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(content)
}

// up starts a lab in a directory and returns when it is ready.
func up(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	p := launch(t, append([]string{"up", "--dir", dir}, flags...)...)
	if got, want := p.line(), filepath.Join(dir, "kubeconfig"); got != want {
		t.Fatalf("up printed %q when it was ready, want %q", got, want)
	}
	return p
}

// command runs another command of the lab's program to its end.
func command(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), labtest.Binary(t),
		arguments...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(arguments, " "), err, output)
	}
	return string(output), err
}

func kubectl(t *testing.T, dir string, arguments ...string) string {
	t.Helper()
	output, err := command(t, append([]string{"kubectl", "--kubeconfig", dir + "/kubeconfig"},
		arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(output)
}

// describe reads what a running lab says about itself.
func describe(t *testing.T, dir string) supervisor.Lab {
	t.Helper()
	var lab supervisor.Lab
	content, err := os.ReadFile(layout.Dir(dir).State())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &lab); err != nil {
		t.Fatal(err)
	}
	return lab
}

// shortDir is like t.TempDir, but short enough for sockets and readable by everybody.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// awaitEnd waits until the process has ended that the descriptor stands for (pidfd_open(2)).
func awaitEnd(t *testing.T, pidfd int, what string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}},
			int(time.Until(deadline).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			t.Fatalf("wait for %s: %v", what, err)
		case n == 0:
			t.Fatalf("%s still runs after %v", what, patience)
		}
		return
	}
}

// errorLines are the lines that the program itself says.
func errorLines(said string) []string {
	var lines []string
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "netpol-latency-lab:") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// await looks until the condition is met; it is for files and servers, which notify nobody.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s in vain", patience, what)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func awaitFile(t *testing.T, pattern string) {
	t.Helper()
	await(t, pattern, func() bool {
		found, err := filepath.Glob(pattern)
		check(t, err)
		return len(found) > 0
	})
}

func awaitText(t *testing.T, p *process, text string) {
	t.Helper()
	await(t, text, func() bool { return strings.Contains(p.said(), text) })
}

// awaitAnswer waits until the API server answers.
func awaitAnswer(t *testing.T, dir string) {
	t.Helper()
	await(t, "the API server", func() bool {
		output, err := command(t, "kubectl", "--kubeconfig", dir+"/kubeconfig", "get",
			"--raw=/readyz")
		return err == nil && output == "ok"
	})
}

// component finds the process of a component among a lab's processes.
func (m members) component(t *testing.T, name string) int {
	t.Helper()
	for pid := range m.processes {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.HasPrefix(string(line), name+"\x00") {
			return pid
		}
	}
	t.Fatalf("no process is %s: %v", name, m.processes)
	return 0
}
