// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/oci"
)

func TestRestartDelay(t *testing.T) {
	want := []time.Duration{0, 1, 2, 4, 8, 16, 30, 30, 30}
	for n, seconds := range want {
		if got := restartDelay(n); got != seconds*time.Second {
			t.Errorf("restartDelay(%d) = %v, want %v", n, got, seconds*time.Second)
		}
	}
}

func TestPhase(t *testing.T) {
	waiting := v1.ContainerStatus{State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{}}}
	running := v1.ContainerStatus{State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}}
	ended := func(code int32) v1.ContainerStatus {
		return v1.ContainerStatus{State: v1.ContainerState{
			Terminated: &v1.ContainerStateTerminated{ExitCode: code},
		}}
	}
	crashing := v1.ContainerStatus{State: waiting.State, LastTerminationState: ended(1).State}
	tests := []struct {
		name   string
		policy v1.RestartPolicy
		init   []v1.ContainerStatus
		main   []v1.ContainerStatus
		want   v1.PodPhase
	}{
		{name: "nothing has started", policy: v1.RestartPolicyAlways,
			main: []v1.ContainerStatus{waiting}, want: v1.PodPending},
		{name: "one of two has started", policy: v1.RestartPolicyAlways,
			main: []v1.ContainerStatus{running, waiting}, want: v1.PodPending},
		{name: "init container runs", policy: v1.RestartPolicyAlways,
			init: []v1.ContainerStatus{running}, main: []v1.ContainerStatus{waiting},
			want: v1.PodPending},
		{name: "init container failed for good", policy: v1.RestartPolicyNever,
			init: []v1.ContainerStatus{ended(1)}, main: []v1.ContainerStatus{waiting},
			want: v1.PodFailed},
		{name: "init container will be tried again", policy: v1.RestartPolicyAlways,
			init: []v1.ContainerStatus{crashing}, main: []v1.ContainerStatus{waiting},
			want: v1.PodPending},
		{name: "all run", policy: v1.RestartPolicyNever, init: []v1.ContainerStatus{ended(0)},
			main: []v1.ContainerStatus{running, running}, want: v1.PodRunning},
		{name: "crash loop", policy: v1.RestartPolicyAlways, main: []v1.ContainerStatus{crashing},
			want: v1.PodRunning},
		{name: "one ended, one runs", policy: v1.RestartPolicyNever,
			main: []v1.ContainerStatus{ended(1), running}, want: v1.PodRunning},
		{name: "all succeeded", policy: v1.RestartPolicyOnFailure,
			main: []v1.ContainerStatus{ended(0), ended(0)}, want: v1.PodSucceeded},
		{name: "one failed", policy: v1.RestartPolicyNever,
			main: []v1.ContainerStatus{ended(0), ended(2)}, want: v1.PodFailed},
		{name: "success is restarted too", policy: v1.RestartPolicyAlways,
			main: []v1.ContainerStatus{ended(0)}, want: v1.PodRunning},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := &v1.PodSpec{
				RestartPolicy:  test.policy,
				InitContainers: make([]v1.Container, len(test.init)),
				Containers:     make([]v1.Container, len(test.main)),
			}
			if got := phaseOf(spec, test.init, test.main); got != test.want {
				t.Errorf("the phase is %s, want %s", got, test.want)
			}
		})
	}
}

// TestArgv follows the table of Kubernetes: what a container's command and args leave of its
// image's entrypoint and arguments.
func TestArgv(t *testing.T) {
	unpacked := image{unpacked: &oci.Unpacked{Entrypoint: []string{"/entry"}, Cmd: []string{"cmd"}}}
	program, userland := image{program: "/somewhere/program"}, image{short: "busybox"}
	tests := []struct {
		name          string
		image         image
		command, args []string
		want          []string
	}{
		{name: "neither", image: unpacked, want: []string{"/entry", "cmd"}},
		{name: "args", image: unpacked, args: []string{"a", "$(NAME)"},
			want: []string{"/entry", "a", "value"}},
		{name: "command", image: unpacked, command: []string{"sh", "-c", "$(NAME)"},
			want: []string{"sh", "-c", "value"}},
		{name: "both", image: unpacked, command: []string{"c"}, args: []string{"a"},
			want: []string{"c", "a"}},
		{name: "an image that names nothing", image: image{unpacked: &oci.Unpacked{}}},
		{name: "a program with args", image: program, args: []string{"a"},
			want: []string{"/program", "a"}},
		{name: "this machine's shell", image: userland, want: []string{"sh"}},
		{name: "this machine's shell gives way to args", image: userland, args: []string{"ls"},
			want: []string{"ls"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &container{spec: &v1.Container{Command: test.command, Args: test.args}}
			if diff := cmp.Diff(test.want, c.argv(test.image,
				map[string]string{"NAME": "value"})); diff != "" {
				t.Errorf("the command differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBoundingSet(t *testing.T) {
	known := capabilityNumbers()
	tests := []struct {
		name      string
		add, drop []v1.Capability
		want      []int
	}{
		{name: "drop all", drop: []v1.Capability{"ALL"}},
		{name: "drop all but one", drop: []v1.Capability{"ALL"},
			add: []v1.Capability{"NET_BIND_SERVICE"}, want: []int{known["NET_BIND_SERVICE"]}},
		{name: "prefix and case", drop: []v1.Capability{"all"}, add: []v1.Capability{"cap_net_raw"},
			want: []int{known["NET_RAW"]}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := boundingSet(&v1.Capabilities{Add: test.add, Drop: test.drop}, false)
			if err != nil || !cmp.Equal(got, test.want) {
				t.Errorf("boundingSet = %v, %v, want %v", got, err, test.want)
			}
		})
	}
	if _, err := boundingSet(&v1.Capabilities{Add: []v1.Capability{"FLY"}}, false); err == nil {
		t.Error("an unknown capability was accepted")
	}
}

// TestLogFormat writes lines short and long, and one that never ends.
func TestLogFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pod", "0.log")
	w, err := newLogWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", maxLogLine+10)
	if _, err := w.stdout.WriteString("short\n\n" + long + "\nunfinished"); err != nil {
		t.Fatal(err)
	}
	w.closeContainerEnds()
	w.finish()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for line := range strings.Lines(string(content)) {
		fields := strings.SplitN(line, " ", 4)
		if _, err := time.Parse(criTimestamp, fields[0]); err != nil {
			t.Errorf("the line begins with %q: %v", fields[0], err)
		}
		tags = append(tags, fields[1]+" "+fields[2])
	}
	if want := []string{"stdout F", "stdout F", "stdout P", "stdout F",
		"stdout F"}; !cmp.Equal(tags, want) {
		t.Errorf("streams and tags are %q, want %q", tags, want)
	}
	if got, want := messages(string(content)), "short\n\n"+long+"\nunfinished\n"; got != want {
		t.Errorf("the messages do not come back: %d bytes of %d", len(got), len(want))
	}
}
