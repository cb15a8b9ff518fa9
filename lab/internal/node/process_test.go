// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/internal/need"
)

// testNetwork wires pods in the test's own network namespace.
type testNetwork struct{ pool *sandboxPool }

func newTestNetwork(t testing.TB) testNetwork {
	t.Helper()
	w, err := newWiring()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.244.0.0/20"),
		netip.MustParsePrefix("fd00:10:244::/64")}
	if err := configureRouter(Config{PodCIDRs: prefixes}, w.node); err != nil {
		t.Fatal(err)
	}
	return testNetwork{pool: newSandboxPool(w, newAddressBook(prefixes))}
}

// sandbox makes a pod network that goes away with the test.
func (n testNetwork) sandbox(t testing.TB) *sandbox {
	t.Helper()
	offset, err := n.pool.book.take()
	if err != nil {
		t.Fatal(err)
	}
	s, err := n.pool.buildAt(offset)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.pool.put(s) })
	return s
}

// runShell runs a shell script as a container and returns what it said and how it ended.
func runShell(t *testing.T, script string, change func(*processSpec)) (string, exit) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "0.log")
	logs, err := newLogWriter(log)
	if err != nil {
		t.Fatal(err)
	}
	capabilities, err := boundingSet(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	spec := processSpec{
		network: newTestNetwork(t).sandbox(t), hostname: "web-0",
		root: rootFS{staging: t.TempDir(),
			etc: map[string]string{"hosts": "127.0.0.1 localhost\n"}},
		argv:     []string{"sh", "-c", script},
		env:      []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "GREETING=hello"},
		dir:      "/",
		security: security{capabilities: capabilities},
		stdout:   logs.stdout, stderr: logs.stderr,
	}
	if change != nil {
		change(&spec)
	}
	p, err := startProcess(spec)
	logs.closeContainerEnds()
	if err != nil {
		t.Fatalf("start %v: %v", spec.argv, err)
	}
	select {
	case <-p.ended():
	case <-time.After(20 * time.Second):
		p.signal(syscall.SIGKILL)
		t.Fatalf("%q did not end", script)
	}
	logs.finish()
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return messages(string(content)), p.result()
}

// messages takes the CRI decoration off a log.
func messages(log string) string {
	var plain strings.Builder
	for line := range strings.Lines(log) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		plain.WriteString(fields[3])
		if fields[2] == "F" {
			plain.WriteString("\n")
		}
	}
	return plain.String()
}

func TestProcessSeesAContainer(t *testing.T) {
	program := filepath.Join(t.TempDir(), "greeter")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho greeter $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	shared := t.TempDir()
	all, err := boundingSet(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	none, err := boundingSet(&v1.Capabilities{Drop: []v1.Capability{"ALL"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		script string
		change func(*processSpec)
		want   string
	}{
		{name: "it is PID 1", script: "echo $$", want: "1\n"},
		{name: "/proc is of its own process namespace",
			script: "read pid rest < /proc/self/stat; cd /proc; echo $pid [0-9]*", want: "1 1\n"},
		{name: "environment", script: "echo $GREETING", want: "hello\n"},
		{name: "hostname", script: "cat /proc/sys/kernel/hostname", want: "web-0\n"},
		{name: "working directory is the root", script: "pwd", want: "/\n"},
		{name: "the program is in the root", script: "./greeter x && /greeter y",
			want:   "greeter x\ngreeter y\n",
			change: func(s *processSpec) { s.root.program = program }},
		{name: "its own /etc/hosts", script: "cat /etc/hosts", want: "127.0.0.1 localhost\n"},
		{name: "the machine's /etc", script: "test -s /etc/passwd && echo yes", want: "yes\n"},
		{name: "the machine's programs are read-only",
			script: "touch /usr/x 2>/dev/null || echo refused", want: "refused\n"},
		{name: "kernel settings are read-only",
			script: "echo 1 2>/dev/null > /proc/sys/vm/drop_caches || echo refused",
			want:   "refused\n"},
		{name: "nothing of the machine's home or temporary files", script: "ls -A /home /tmp",
			want: "/home:\n\n/tmp:\n"},
		{name: "/tmp is writable", script: "echo x > /tmp/x && cat /tmp/x", want: "x\n"},
		{name: "a read-only root", script: "touch /tmp/x 2>/dev/null || echo refused; echo x > " +
			"/dev/shm/x && echo shm; echo y > /data/y && echo volume",
			want: "refused\nshm\nvolume\n",
			change: func(s *processSpec) {
				s.root.readOnly = true
				s.root.mounts = []mount{{source: shared, target: "/data"}}
			}},
		{name: "a read-only volume below /etc",
			script: "touch /etc/config/x 2>/dev/null || echo refused", want: "refused\n",
			change: func(s *processSpec) {
				s.root.mounts = []mount{{source: shared, target: "/etc/config", readOnly: true}}
			}},
		{name: "devices", script: "echo x > /dev/null && head -c 4 /dev/zero | wc -c", want: "4\n"},
		{name: "default capabilities of root", script: "grep CapEff /proc/self/status",
			want:   "CapEff:\t00000000a80425fb\n",
			change: func(s *processSpec) { s.security.capabilities = all }},
		{name: "all capabilities dropped", script: "grep -E 'CapEff|CapBnd' /proc/self/status",
			want:   "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n",
			change: func(s *processSpec) { s.security.capabilities = none }},
		{name: "no new privileges", script: "grep NoNewPrivs /proc/self/status",
			want:   "NoNewPrivs:\t1\n",
			change: func(s *processSpec) { s.security.noNewPrivs = true }},
		{name: "network of the pod", script: "grep -c eth0 /proc/net/dev; ls /sys/class/net | tr " +
			"'\\n' ' '", want: "1\neth0 lo \n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, end := runShell(t, test.script, test.change)
			if strings.TrimSpace(got) != strings.TrimSpace(test.want) {
				t.Errorf("it said %q, want %q", got, test.want)
			}
			if end.code != 0 && end.reason != "Completed" {
				t.Errorf("it ended with %+v", end)
			}
		})
	}
}

// imageRoot is the root of an image that has the links of this machine's programs, for volumes to
// fill, and links that lead astray.
func imageRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{"hello": "hello", "data/file": "file",
		"etc/hosts": "the image's"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "var": "/variable",
		"etc/resolv.conf": "/variable/resolv.conf",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestProcessSeesAnImage(t *testing.T) {
	shared := t.TempDir()
	tests := []struct {
		name   string
		script string
		change func(*processSpec)
		want   string
	}{
		{name: "the image's files and not the machine's",
			script: "cat /hello; test -e /etc/passwd || echo no passwd",
			want:   "hello\nno passwd\n"},
		{name: "the pod's own /etc/hosts", script: "cat /etc/hosts", want: "127.0.0.1 localhost\n"},
		{name: "the pod's own files behind a link",
			script: "cat /etc/resolv.conf /variable/resolv.conf",
			want:   "nameserver 10.0.0.1\nnameserver 10.0.0.1\n"},
		{name: "it is writable", script: "echo other > /hello; rm -r /data; mkdir /data; cat " +
			"/hello; ls -A /data", want: "other\n"},
		{name: "the next container sees the image", script: "cat /hello /data/file",
			want: "hello\nfile\n"},
		{name: "a read-only root", script: "touch /x 2>/dev/null || echo refused; echo x > " +
			"/dev/shm/x && echo shm; echo y > /volume/y && echo volume",
			want: "refused\nshm\nvolume\n",
			change: func(s *processSpec) {
				s.root.readOnly = true
				s.root.mounts = append(s.root.mounts, mount{source: shared, target: "/volume"})
			}},
		{name: "a volume behind a link stays in the container",
			script: "cat /variable/run/volume/y; ls /variable", want: "y\nresolv.conf\nrun\n",
			change: func(s *processSpec) {
				s.root.mounts = append(s.root.mounts, mount{source: shared,
					target: "/var/run/volume", readOnly: true})
			}},
		{name: "a working directory that is made", script: "pwd", want: "/some/where\n",
			change: func(s *processSpec) { s.root.dir, s.dir = "/some/where", "/some/where" }},
		{name: "/proc is of its own process namespace",
			script: "read pid rest < /proc/self/stat; cd /proc; echo $pid [0-9]*", want: "1 1\n"},
		{name: "kernel settings are read-only",
			script: "echo 1 2>/dev/null > /proc/sys/vm/drop_caches || echo refused",
			want:   "refused\n"},
		{name: "devices", script: "echo x > /dev/null && head -c 4 /dev/zero | wc -c", want: "4\n"},
		{name: "network of the pod", script: "ls /sys/class/net | tr '\\n' ' '",
			want: "eth0 lo \n"},
	}
	root := imageRoot(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, end := runShell(t, test.script, func(s *processSpec) {
				s.root.image, s.root.dir = root, "/"
				s.root.etc["resolv.conf"] = "nameserver 10.0.0.1\n"
				s.root.mounts = []mount{{source: "/usr", target: "/usr", readOnly: true}}
				if test.change != nil {
					test.change(s)
				}
			})
			if strings.TrimSpace(got) != strings.TrimSpace(test.want) || end.reason != "Completed" {
				t.Errorf("it said %q and ended with %+v, want %q", got, end, test.want)
			}
		})
	}
	if _, err := os.Stat("/variable"); err == nil {
		t.Error("a link of the image led to this machine's files")
	}
}

func TestProcessRunsAsUser(t *testing.T) {
	if !idMapped("/proc/self/uid_map", 65532) {
		need.Machine(t, fmt.Errorf("run as another user: this user namespace has only one: %w",
			fs.ErrPermission), "run the tests as root")
	}
	got, _ := runShell(t, "id -u; id -g; grep CapEff /proc/self/status", func(s *processSpec) {
		s.security.uid, s.security.gid = 65532, 65532
	})
	if want := "65532\n65532\nCapEff:\t0000000000000000\n"; got != want {
		t.Errorf("it said %q, want %q", got, want)
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name, script string
		code, signal int32
		reason       string
	}{
		{name: "success", script: "exit 0", reason: "Completed"},
		{name: "failure", script: "exit 3", code: 3, reason: "Error"},
		{name: "a background process dies with PID 1", script: "sleep 1000 & exit 4", code: 4,
			reason: "Error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, end := runShell(t, test.script, nil)
			if end.code != test.code || end.signal != test.signal || end.reason != test.reason {
				t.Errorf("it ended with %+v, want code %d, signal %d, reason %s", end, test.code,
					test.signal, test.reason)
			}
		})
	}
}

func TestMissingProgram(t *testing.T) {
	spec := processSpec{network: newTestNetwork(t).sandbox(t), hostname: "x", dir: "/",
		root: rootFS{staging: t.TempDir()}, argv: []string{"no-such-program"}}
	if _, err := startProcess(spec); err == nil || !strings.Contains(err.Error(),
		"no-such-program") {
		t.Errorf("starting a program that does not exist returned %v", err)
	}
}

func TestExecRunsInTheContainer(t *testing.T) {
	logs, err := newLogWriter(filepath.Join(t.TempDir(), "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(processSpec{
		network: newTestNetwork(t).sandbox(t), hostname: "x", dir: "/",
		root: rootFS{staging: t.TempDir()},
		argv: []string{"sh", "-c", "touch /tmp/here; trap 'exit 7' TERM; while :; do sleep 0.01; " +
			"done"},
		env: []string{"PATH=/usr/bin:/bin"}, stdout: logs.stdout, stderr: logs.stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	logs.closeContainerEnds()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.exec(ctx, []string{"sh", "-c",
		"until test -e /tmp/here; do sleep 0.01; done"}); err != nil {
		t.Errorf("a command in the container: %v", err)
	}
	if err := p.exec(ctx, []string{"test", "-e", "/tmp/elsewhere"}); err == nil {
		t.Error("a command that fails in the container returned no error")
	}
	p.signal(syscall.SIGTERM)
	<-p.ended()
	if p.result().code != 7 {
		t.Errorf("after SIGTERM it ended with %+v, want its handler's code 7", p.result())
	}
	logs.finish()
}
