// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// TestRun checks what a command finds in its lab, that signals are passed on to it, and that its
// code gets through.
func TestRun(t *testing.T) {
	t.Parallel()
	script := `
echo "$KUBECONFIG $NETPOL_LATENCY_LAB_DIR"
kubectl get nodes --output=name
kubectl auth whoami --output='jsonpath={.status.userInfo.username}'; echo
"$LAB" set --jitter 2ms
"$LAB" enter -- ip -oneline -4 address show eth0 | grep -o '172.18.0.2/16'
"$LAB" enter -- kubectl get nodes --output=name
trap 'echo got it; exit 7' TERM; echo waiting; while :; do sleep 0.1; done`
	lab := launchIn(t, []string{"LAB=" + labtest.Binary(t), "PATH=" + pathWithoutKubectl(t)}, "run",
		"--", "sh", "-c", script)
	dir := strings.TrimSuffix(strings.Fields(lab.line())[0], "/kubeconfig")
	got := []string{lab.line(), lab.line(), lab.line(), lab.line(), lab.line()}
	want := []string{
		"node/node-0", "netpol-latency-lab:admin",
		`delay 0s, jitter 2ms, batch 0, gap 0s, reject "", fault none`, "172.18.0.2/16",
		"node/node-0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the command saw (-want +got):\n%s", diff)
	}
	lab.line()
	lab.signal(syscall.SIGTERM)
	if got := lab.line(); got != "got it" {
		t.Errorf("the command said %q, want that it got the signal", got)
	}
	if code := lab.code(); code != 7 {
		t.Errorf("run ended with %d, want the command's 7:\n%s", code, lab.said())
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("the temporary state directory %s is left", dir)
	}
}

// pathWithoutKubectl is a search path for a machine that has none: the script needs the lab's own.
func pathWithoutKubectl(t *testing.T) string {
	t.Helper()
	dir := shortDir(t)
	for _, name := range []string{"sh", "ip", "grep", "nsenter", "sleep"} {
		for _, place := range filepath.SplitList(os.Getenv("PATH")) {
			if _, err := os.Stat(place + "/" + name); err == nil {
				check(t, os.Symlink(place+"/"+name, dir+"/"+name))
				break
			}
		}
	}
	return dir
}

// TestRunKills has a command answer one signal and then another with nothing but words.
func TestRunKills(t *testing.T) {
	t.Parallel()
	deaf := launch(t, "run", "--", "sh", "-c",
		`trap 'echo got it' TERM INT; echo ready; while :; do sleep 0.1; done`)
	deaf.line()
	deaf.signal(syscall.SIGINT)
	if got := deaf.line(); got != "got it" {
		t.Errorf("the command said %q, want that it got the signal", got)
	}
	deaf.signal(syscall.SIGTERM)
	if code := deaf.code(); code != 128+int(syscall.SIGKILL) {
		t.Errorf("run ended with %d, want the %d of a killed command:\n%s", code,
			128+int(syscall.SIGKILL), deaf.said())
	}
}

// TestRunMistakes checks that mistakes cost no lab, leave nothing and say what to do.
func TestRunMistakes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		arguments []string
		want      string
	}{
		{"no command", []string{"run"}, "no command: expected one after --, for example: run -- " +
			"kubectl get nodes"},
		{"command not found", []string{"run", "--", "no-such-program"},
			`run the command: exec: "no-such-program": executable file not found in $PATH`},
		{"unknown engine", []string{"run", "--engine", "iptables", "--", "true"},
			`unknown engine "iptables": expected reference, queue, kube-router, kube-router-nft, ` +
				"kube-network-policies, none or exec:COMMAND"},
		{"verdicts of another engine", []string{"run", "--verdicts", "500", "--", "true"},
			"--verdicts goes with --engine queue, and the engine is reference"},
		{"engine without verdicts", []string{"run", "--engine", "queue", "--", "true"},
			"--engine queue filters 0 packets a second: expected --verdicts with 1 to 1000000, " +
				"for example 2000"},
		{"runner beyond reach", []string{"run", "--runner-delay", "1m", "--", "true"},
			"--runner-delay is 1m0s: expected a round trip between 0s and 2s, for example 50ms"},
		{"runner before its time", []string{"run", "--runner-delay", "-1ms", "--", "true"},
			"--runner-delay is -1ms: expected a round trip between 0s and 2s, for example 50ms"},
		{"variable without a value", []string{"run", "--env", "PATH", "--", "true"},
			`--env is "PATH": expected NAME=VALUE`},
		{"image without a path", []string{"run", "--image", "prometheus", "--", "true"},
			`--image "prometheus": expected NAME=PATH, for example prometheus=/usr/bin/prometheus, or NAME=oci:DIR, for example client=oci:./layout`},
		{"image that is no program", []string{"run", "--image", "p=/etc/passwd", "--", "true"},
			`image "p" is mapped to "/etc/passwd": expected an executable file on this machine`},
		{"image that is no layout", []string{"run", "--image", "p=oci:/etc", "--", "true"},
			`use image "p": open oci:/etc: it is no OCI image layout: expected a directory with the files oci-layout and ` +
				`index.json: stat /etc/oci-layout: no such file or directory`},
		{"image without a directory", []string{"run", "--image", "p=oci:", "--", "true"},
			`--image "p=oci:": image "oci:": expected oci:DIR or oci:DIR:TAG`},
		{"no directory", []string{"up"}, "--dir is missing: expected a directory for the " +
			"kubeconfig, logs and truth log"},
		{"no lab", []string{"set", "--dir", "/nowhere"},
			`no lab runs in /nowhere: start one with "netpol-latency-lab up --dir DIR"`},
		{"long directory", []string{"up", "--dir", "/tmp/" + strings.Repeat("x", 100)},
			"the path of --dir is 11 characters too long for the sockets in it: choose a shorter " +
				"one"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := launch(t, c.arguments...)
			if code := p.code(); code != 1 {
				t.Errorf("got exit code %d, want 1", code)
			}
			if diff := cmp.Diff("netpol-latency-lab: "+c.want+"\n", p.said()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if left := list(t, p.temp); len(left) != 0 {
				t.Errorf("temporary files are left: %v", left)
			}
		})
	}
}
