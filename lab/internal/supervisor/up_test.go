// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor_test

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
)

func TestStop(t *testing.T) {
	t.Parallel()
	labtest.Binary(t)
	before := readHost(t)
	dir := shortDir(t)
	lab := up(t, dir)
	startPods(t, dir)
	members := readMembers(t, lab.cmd.Process.Pid)
	began := time.Now()

	lab.signal(syscall.SIGTERM)

	if code := lab.code(); code != 0 {
		t.Errorf("a stopped lab ended with %d, want 0:\n%s", code, lab.said())
	}
	t.Logf("stopped in %v", time.Since(began).Round(time.Millisecond))
	awaitNothing(t, members)
	if diff := cmp.Diff([]string{"lock", "logs", "nodes", "truth.jsonl"},
		list(t, dir)); diff != "" {
		t.Errorf("the state directory holds more or less than what it should keep (-want "+
			"+got):\n%s", diff)
	}
	if diff := cmp.Diff(before, readHost(t)); diff != "" {
		t.Errorf("the host has changed (-before +after):\n%s", diff)
	}
	if _, err := command(t, "component", "status", "--dir", dir); err == nil ||
		!strings.Contains(err.Error(), "no lab runs in "+dir) {
		t.Errorf("component status on a stopped lab: got %v, want an error that says so", err)
	}
}

// TestStopBeforeReady ends a lab that is only just starting: it has nothing to be proud of, but
// nothing may be left of it.
func TestStopBeforeReady(t *testing.T) {
	t.Parallel()
	lab := launch(t, "run", "--", "true")
	awaitFile(t, lab.temp+"/netpol-latency-lab-*/logs/kube-apiserver.log")
	members := readMembers(t, lab.cmd.Process.Pid)
	lab.signal(syscall.SIGTERM)
	if code := lab.code(); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	awaitNothing(t, members)
	if left := list(t, lab.temp); len(left) != 0 {
		t.Errorf("temporary files are left: %v", left)
	}
	if lines := errorLines(lab.said()); len(lines) != 1 {
		t.Errorf("want one line that says what happened, got %q", lines)
	}
}

// TestSecondSignal stops nothing in order: a node agent that hangs does not keep the user waiting.
// The first signal is the one that TestStop does not send.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	lab := up(t, dir)
	members := readMembers(t, lab.cmd.Process.Pid)
	check(t, syscall.Kill(members.component(t, "node-0"), syscall.SIGSTOP))
	lab.signal(syscall.SIGINT)
	awaitText(t, lab, "lab: stopping")
	began := time.Now()
	lab.signal(syscall.SIGTERM)
	if code := lab.code(); code != -1 {
		t.Errorf("got exit code %d, want the end by a signal", code)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the second signal took %v to end it", took)
	}
	awaitNothing(t, members)
}

// expectOneLab checks that a running lab's directory is refused to another.
func expectOneLab(t *testing.T, dir string) {
	t.Helper()
	second := launch(t, "up", "--dir", dir)
	if code := second.code(); code != 1 {
		t.Errorf("the second lab in a directory ended with %d, want 1", code)
	}
	want := []string{"netpol-latency-lab: another lab runs in " + dir +
		": stop it, or choose another --dir"}
	if diff := cmp.Diff(want, errorLines(second.said())); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if got := kubectl(t, dir, "get", "--raw=/readyz"); got != "ok" {
		t.Errorf("the first lab says %q, want ok", got)
	}
}

// TestComponents kills and restarts parts of a lab as tests of clients do, and at last one behind
// the supervisor's back.
func TestComponents(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	lab := up(t, dir, "--delay", "10ms", "--fault", "no-except")
	expectOneLab(t, dir)

	kubectl(t, dir, "create", "configmap", "kept", "--from-literal=answer=42")
	act := func(action, name string) {
		t.Helper()
		if _, err := command(t, "component", action, name, "--dir", dir); err != nil {
			t.Fatal(err)
		}
	}

	act("kill", "kube-apiserver")
	if output, err := command(t, "kubectl", "--kubeconfig", dir+"/kubeconfig", "get",
		"--raw=/readyz"); err == nil {
		t.Errorf("the killed API server answers %q", output)
	}
	act("start", "kube-apiserver")
	awaitAnswer(t, dir)
	if got := kubectl(t, dir, "get", "configmap", "kept",
		"--output=jsonpath={.data.answer}"); got != "42" {
		t.Errorf("the restarted API server has the data %q, want 42", got)
	}

	for _, name := range []string{"etcd", "kube-controller-manager", "kube-scheduler", "engine-0",
		"node-0"} {
		act("restart", name)
	}
	awaitAnswer(t, dir)
	startPods(t, dir)
	if output, err := command(t, "set", "--dir", dir, "--reject", "reset"); err != nil ||
		strings.TrimSpace(output) != `delay 10ms, jitter 0s, batch 0, gap 0s, reject "reset", fault no-except` {
		t.Errorf("set printed %q, %v: want the old delay and fault and the new reject", output, err)
	}
	if output, err := command(t, "set", "--dir", dir, "--fault", "leak=1s", "--fault",
		"gap=2s,ipv4-only"); err != nil ||
		!strings.Contains(output, "fault leak=1s,gap=2s,ipv4-only\n") {
		t.Errorf("set printed %q, %v: want the new faults in place of the old one", output, err)
	}
	if _, err := command(t, "set", "--dir", dir, "--fault", "leek=1s"); err == nil {
		t.Error("a fault that does not exist is set")
	}

	act("stop", "kube-scheduler")
	status, err := command(t, "component", "status", "--dir", dir)
	check(t, err)
	for line := range strings.Lines(status) {
		fields := strings.Fields(line)
		want := map[string]string{"COMPONENT": "STATE", "kube-scheduler": "stopped"}[fields[0]]
		if want == "" {
			want = "running"
		}
		if fields[1] != want {
			t.Errorf("component status says of %s: %s, want %s", fields[0], fields[1], want)
		}
	}
	// A lab that lacks a part, and was not asked to, must not go on as if nothing had happened.
	manager := readMembers(t, lab.cmd.Process.Pid).component(t, "kube-controller-manager")
	check(t, syscall.Kill(manager, syscall.SIGKILL))
	if code := lab.code(); code != 1 {
		t.Errorf("the lab ended with %d, want 1", code)
	}
	lines := errorLines(lab.said())
	if len(lines) == 0 || !strings.Contains(lines[0],
		"kube-controller-manager: it ended by itself (signal: killed)") {
		t.Errorf("want a message that names the component and how it ended, got %q", lines)
	}
}

// TestStateIsComplete checks what other programs rely on.
func TestStateIsComplete(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	up(t, dir, "--nodes", "2", "--engine", "none")
	lab := describe(t, dir)
	if lab.Kubeconfig != layout.Dir(dir).Kubeconfig() || lab.PID == 0 || len(lab.Nodes) != 2 {
		content, err := json.Marshal(lab)
		check(t, err)
		t.Errorf("incomplete: %s", content)
	}
	nodes := kubectl(t, dir, "get", "nodes", "--output=jsonpath={range .items[*]}"+
		`{.metadata.name} {.status.addresses[?(@.type=="InternalIP")].address} {.spec.podCIDRs}{"\n"}{end}`)
	want := `node-0 172.18.0.2 fd00:172:18::2 ["10.244.0.0/20","fd00:10:244::/64"]
node-1 172.18.0.3 fd00:172:18::3 ["10.244.16.0/20","fd00:10:244:1::/64"]`
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if _, err := command(t, "set", "--dir", dir, "--delay", "1s"); err == nil ||
		!strings.Contains(err.Error(), "runs no reference engine") {
		t.Errorf("set without an engine: got %v, want an error that says so", err)
	}
	output, err := command(t, "enter", "--dir", dir, "--node", "node-1", "--", "sh", "-c",
		"ip -brief address show eth0; exit 3")
	if err == nil || !strings.Contains(output, "172.18.0.3/16") ||
		!strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("enter printed %q, %v: want the address of the node and exit status 3", output,
			err)
	}
}
