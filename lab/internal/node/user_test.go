// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/oci"
)

// imageWith is an image of a user whose root has users and groups.
func imageWith(t *testing.T, user string) image {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"passwd": "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
		"group":  "root:x:0:\napp:x:1001:\nextra:x:1002:app\n",
	} {
		path := filepath.Join(root, "etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return image{short: "test", unpacked: &oci.Unpacked{Root: root, User: user}}
}

func TestIdentify(t *testing.T) {
	tests := []struct {
		name        string
		user        string
		uid, gid    *int64
		want        identity
		wantRefused string // with runAsNonRoot
	}{
		{name: "no user is root", want: identity{home: "/root"}, wantRefused: "would run as root"},
		{name: "a number", user: "65532", want: identity{uid: 65532, home: "/"}},
		{name: "numbers", user: "65532:65533", want: identity{uid: 65532, gid: 65533, home: "/"}},
		{name: "a number that is known has its group, groups and home", user: "1000",
			want: identity{uid: 1000, gid: 1001, groups: []uint32{1002}, home: "/home/app"}},
		{name: "a name", user: "app", want: identity{uid: 1000, gid: 1001, groups: []uint32{1002},
			home: "/home/app"},
			wantRefused: `user "app" is no number`},
		{name: "the pod's user wins", user: "app", uid: new(int64(7)),
			want: identity{uid: 7, home: "/"}},
		{name: "root as the pod says", user: "app", uid: new(int64(0)),
			want: identity{home: "/root"}, wantRefused: "would run as root"},
		{name: "the pod's user and group win", user: "app", uid: new(int64(1000)),
			gid:  new(int64(9)),
			want: identity{uid: 1000, gid: 9, home: "/home/app"}},
		{name: "the pod's group wins", user: "65532:65532", gid: new(int64(9)),
			want: identity{uid: 65532, gid: 9, home: "/"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			img := imageWith(t, test.user)
			pod := &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{
				RunAsUser: test.uid, RunAsGroup: test.gid,
			}}}
			got, err := containerSecurity(pod, &v1.Container{}, img)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.identity,
				cmp.AllowUnexported(identity{})); diff != "" {
				t.Errorf("the identity differs (-want +got):\n%s", diff)
			}
			pod.Spec.SecurityContext.RunAsNonRoot = new(true)
			_, err = containerSecurity(pod, &v1.Container{}, img)
			if (err == nil) != (test.wantRefused == "") || err != nil &&
				!strings.Contains(err.Error(), test.wantRefused) {
				t.Errorf("with runAsNonRoot: %v; want %q", err, test.wantRefused)
			}
		})
	}
	nobody := &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{
		RunAsNonRoot: new(true)}}}
	got, err := containerSecurity(nobody, &v1.Container{}, image{short: "program"})
	if err != nil || got.uid != hostProgramUser || got.gid != hostProgramUser {
		t.Errorf("a program of the host that must not be root: %v, as %d:%d", err, got.uid, got.gid)
	}
	if _, err := imageWith(t, "stranger").identify(nil, nil); err == nil ||
		!strings.Contains(err.Error(), `find the user "stranger"`) {
		t.Errorf("a user that the image does not have gives %v", err)
	}
}
