// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

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
"$lab" kubectl run shipped --image=shipped --restart=Never -- version >&2
"$lab" kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/shipped --timeout=60s >&2
"$lab" kubectl logs shipped | head -n 1 | cut -d ' ' -f 1
read -r line
exit 3`

// TestRootless runs a lab as a user without privileges: pods run, from an image too, policy is
// enforced, the node can be entered, and nothing is left.
func TestRootless(t *testing.T) {
	t.Parallel()
	before := readHost(t)
	temp := shortDir(t)
	binary := filepath.Join(temp, "netpol-latency-lab")
	install(t, labtest.Binary(t), binary)
	var who *syscall.Credential // nil is who runs the test
	if os.Geteuid() == 0 {
		who = &syscall.Credential{Uid: nobody, Gid: nobody}
		check(t, os.Chown(temp, nobody, nobody))
	}
	lab := launchAs(t, binary, temp, who, "run", "--image",
		"shipped=oci:"+layoutWith(t, "netpol-latency"), "--", "sh", "-c", rootlessScript)
	dir := lab.line()
	for _, want := range []string{"172.18.0.2/16", "before: open", "after: closed",
		"netpol-latency"} {
		if got := lab.line(); got != want {
			t.Fatalf("got %q, want %q:\n%s", got, want, lab.said())
		}
	}
	if !describe(t, dir).Rootless {
		t.Errorf("the lab says that it is not rootless")
	}
	members := readMembers(t, lab.cmd.Process.Pid)
	if len(members.processes) < 9 {
		t.Errorf("the lab has only the processes %v: expected 2 + 6 + 1 for the command",
			members.processes)
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

// layoutWith is an OCI layout of an image with one of the project's programs, of a user that a
// rootless lab does not have.
func layoutWith(t *testing.T, program string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(filepath.Dir(labtest.Binary(t)), program))
	check(t, err)
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	check(t, writer.WriteHeader(&tar.Header{Name: program, Mode: 0o755, Size: int64(len(content)),
		Uid: 65532, Gid: 65532}))
	_, err = writer.Write(content)
	check(t, err)
	check(t, writer.Close())
	opened, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer.Bytes())), nil
	})
	check(t, err)
	image, err := mutate.AppendLayers(empty.Image, opened)
	check(t, err)
	config, err := image.ConfigFile()
	check(t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/" + program}, User: "65532:65532"}
	image, err = mutate.ConfigFile(image, config)
	check(t, err)
	dir := shortDir(t)
	made, err := layout.Write(dir, empty.Index)
	check(t, err)
	check(t, made.AppendImage(image))
	check(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chmod(path, 0o755)) // the library makes files its user's alone
	}))
	return dir
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
