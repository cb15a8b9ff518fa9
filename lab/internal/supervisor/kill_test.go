// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// TestKilledLabLeavesNothing kills, in the worst way, each of the two processes that could clean
// up, while another lab runs.
func TestKilledLabLeavesNothing(t *testing.T) {
	t.Parallel()
	labtest.Binary(t)
	before := readHost(t)
	other := shortDir(t)
	up(t, other)
	cases := []struct {
		name string
		kill func(outer *process, inner int) error
		code int // of the outer process
	}{
		{"outer", func(outer *process, _ int) error { return outer.cmd.Process.Kill() }, -1},
		{"inner", func(_ *process, inner int) error { return unix.Kill(inner, unix.SIGKILL) }, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			lab := launch(t, "run", "--", "sh", "-c",
				`echo "$NETPOL_LATENCY_LAB_DIR" && exec sleep 1000`)
			dir := lab.line()
			if !strings.HasPrefix(dir, lab.temp+"/") {
				t.Fatalf("the state directory %s is not in $TMPDIR (%s)", dir, lab.temp)
			}
			startPods(t, dir)
			inner := describe(t, dir).PID
			pidfd, err := unix.PidfdOpen(inner, 0)
			check(t, err)
			defer func() { _ = unix.Close(pidfd) }() // nothing was written
			members := readMembers(t, lab.cmd.Process.Pid)
			if len(members.processes) < 10 || len(members.namespaces) < 4 {
				t.Fatalf("the lab has only the processes %v and network namespaces %v: "+
					"expected 2 + 6 + 1 for the command + 1 for a container, and 2 + 1 for each pod",
					members.processes, members.namespaces)
			}
			if len(members.remains(t)) < len(members.processes)+len(members.namespaces) {
				t.Fatalf("a running lab looks like one that has gone: %v", members.remains(t))
			}

			check(t, c.kill(lab, inner))

			if got := lab.code(); got != c.code {
				t.Errorf("the outer process ended with %d, want %d", got, c.code)
			}
			awaitEnd(t, pidfd, "the inner process")
			awaitNothing(t, members)
			if left := list(t, lab.temp); len(left) != 0 {
				t.Errorf("temporary files are left: %v", left)
			}
			if diff := cmp.Diff(before, readHost(t)); diff != "" {
				t.Errorf("the host has changed (-before +after):\n%s", diff)
			}
			if got := kubectl(t, other, "get", "--raw=/readyz"); got != "ok" {
				t.Errorf("the other lab says %q, want ok", got)
			}
		})
	}
}

// startPods runs a container that is a process and one that is not.
func startPods(t *testing.T, dir string) {
	t.Helper()
	kubectl(t, dir, "run", "process", "--image=busybox", "--command", "--", "sleep", "1000")
	kubectl(t, dir, "run", "server", "--image=nginx", "--port=80")
	kubectl(t, dir, "wait", "--for=condition=Ready", "pod/process", "pod/server", "--timeout=60s")
}

// awaitNothing waits for the command that ran outside of the lab's namespaces; the kernel has ended
// all others before the inner process.
func awaitNothing(t *testing.T, m members) {
	t.Helper()
	for pid, identity := range m.processes {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil || identify(pid) != identity {
			continue // it has ended
		}
		awaitEnd(t, pidfd, identity)
		_ = unix.Close(pidfd)
	}
	// A process that has ended for its parent may still be giving back what it held, and nothing
	// tells when it has.
	left := m.remains(t)
	for deadline := time.Now().Add(10 * time.Second); len(left) != 0 &&
		time.Now().Before(deadline); {
		<-time.After(20 * time.Millisecond)
		left = m.remains(t)
	}
	if len(left) != 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// TestStaleDirectoriesAreRemoved kills both processes at once: nobody is left to clean up but the
// next lab.
func TestStaleDirectoriesAreRemoved(t *testing.T) {
	t.Parallel()
	temp := shortDir(t)
	first := launchAs(t, labtest.Binary(t), temp, nil, "run", "--", "sh", "-c",
		`echo "$NETPOL_LATENCY_LAB_DIR" && exec sleep 1000`)
	dir := first.line()
	inner := describe(t, dir).PID
	pidfd, err := unix.PidfdOpen(inner, 0)
	check(t, err)
	defer func() { _ = unix.Close(pidfd) }() // nothing was written
	first.signal(syscall.SIGSTOP)            // it must not see the inner process end
	check(t, unix.Kill(inner, unix.SIGKILL))
	awaitEnd(t, pidfd, "the inner process")
	first.signal(syscall.SIGKILL)
	first.code()
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the state directory is gone already: %v", err)
	}
	age(t, dir)

	second := launchAs(t, labtest.Binary(t), temp, nil, "run", "--", "true")
	if code := second.code(); code != 0 {
		t.Fatalf("the second lab ended with %d:\n%s", code, second.said())
	}
	if left := list(t, temp); len(left) != 0 {
		t.Errorf("left in the directory for temporary files: %v", left)
	}
}

// age makes a directory look as if nothing happened in it for a while.
func age(t *testing.T, dir string) {
	t.Helper()
	var long unix.Timespec
	long.Sec = 1
	check(t, unix.UtimesNanoAt(unix.AT_FDCWD, dir, []unix.Timespec{long, long}, 0))
}
