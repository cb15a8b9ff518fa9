// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor_test

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// nobody is a user without any privileges (on Linux by convention).
const nobody = 65534

// rootlessScript connects to a server before and after a policy denies it.
const rootlessScript = `
lab="$HOME/netpol-latency-lab"
try() {
	"$lab" kubectl run "$1" --image=busybox --restart=Never --command -- \
		bash -c "timeout 1 bash -c '</dev/tcp/$address/80' && echo open || echo closed" >&2
	"$lab" kubectl wait --for=jsonpath='{.status.phase}'=Succeeded "pod/$1" --timeout=60s >&2
	echo "$1: $("$lab" kubectl logs "$1")"
}
echo "$NETPOL_LATENCY_LAB_DIR"
"$lab" enter -- ip -oneline -4 address show eth0 | grep -o '172.18.0.2/16'
"$lab" kubectl run server --image=nginx --port=80 >&2
"$lab" kubectl wait --for=condition=Ready pod/server --timeout=60s >&2
address=$("$lab" kubectl get pod server --output='jsonpath={.status.podIP}')
try before
"$lab" kubectl apply -f - >&2 <<END
{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"},
 "spec": {"podSelector": {"matchLabels": {"run": "server"}}, "policyTypes": ["Ingress"]}}
END
try after
read -r line
exit 3`

// TestRootless runs a lab as a user without privileges: pods run, policy is enforced, the node can be
// entered, and nothing is left.
func TestRootless(t *testing.T) {
	before := readHost(t)
	temp := shortDir(t)
	binary := filepath.Join(temp, "netpol-latency-lab")
	install(t, labtest.Binary(t), binary)
	var who *syscall.Credential // nil is who runs the test
	if os.Geteuid() == 0 {
		who = &syscall.Credential{Uid: nobody, Gid: nobody}
		check(t, os.Chown(temp, nobody, nobody))
	}
	lab := launchAs(t, binary, temp, who, "run", "--", "sh", "-c", rootlessScript)
	dir := lab.line()
	for _, want := range []string{"172.18.0.2/16", "before: open", "after: closed"} {
		if got := lab.line(); got != want {
			t.Fatalf("got %q, want %q:\n%s", got, want, lab.said())
		}
	}
	if !describe(t, dir).Rootless {
		t.Errorf("the lab says that it is not rootless")
	}
	members := readMembers(t, lab.cmd.Process.Pid)
	if len(members.processes) < 9 {
		t.Errorf("the lab has only the processes %v: expected 2 + 6 + 1 for the command", members.processes)
	}
	check(t, lab.stdin.Close()) // lets the script go on
	if code := lab.code(); code != 3 {
		t.Errorf("run ended with %d, want the script's 3:\n%s", code, lab.said())
	}
	awaitNothing(t, members)
	if diff := cmp.Diff([]string{"netpol-latency-lab"}, list(t, temp)); diff != "" {
		t.Errorf("temporary files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, readHost(t)); diff != "" {
		t.Errorf("the host has changed (-before +after):\n%s", diff)
	}
}

// install copies a program to where everybody can run it.
func install(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	check(t, err)
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	check(t, err)
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	check(t, target.Close())
}
