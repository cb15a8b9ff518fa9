// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/oci"
)

func TestResolveImage(t *testing.T) {
	config := Config{Images: map[string]string{
		"registry.example:5000/team/client:v2": "/bin/v2",
		"prober":                               "/bin/prober",
		"registry.example/team/netpol":         "/bin/netpol",
		"shipped":                              "/bin/shipped",
	}, Unpacked: map[string]oci.Unpacked{"shipped": {Digest: "sha256:11"}}}
	tests := []struct{ name, reference, want string }{
		{name: "full name", reference: "registry.example:5000/team/client:v2",
			want: "program:/bin/v2"},
		{name: "another tag", reference: "registry.example:5000/team/client:v3",
			want: "program:/bin/v2"},
		{name: "without tag", reference: "registry.example/team/netpol:latest",
			want: "program:/bin/netpol"},
		{name: "digest", reference: "registry.example/team/netpol@sha256:00",
			want: "program:/bin/netpol"},
		{name: "last element", reference: "registry.example/someone/prober:v1",
			want: "program:/bin/prober"},
		{name: "a real image wins", reference: "registry.example/shipped:v1",
			want: "shipped@sha256:11"},
		{name: "built-in", reference: "registry.k8s.io/e2e-test-images/agnhost:2.39",
			want: "builtin:agnhost"},
		{name: "built-in with a port in the registry", reference: "localhost:5000/nginx",
			want: "builtin:nginx"},
		{name: "userland", reference: "busybox:1.36", want: "userland:busybox"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := config.resolveImage(test.reference)
			if err != nil || got.id() != test.want {
				t.Errorf("resolveImage(%q) = %q, %v, want %q", test.reference, got.id(), err,
					test.want)
			}
		})
	}
	if _, err := config.resolveImage("mystery:1"); err == nil ||
		!strings.Contains(err.Error(), "prober") {
		t.Errorf("an unknown image returned %v, want an error that names the known ones", err)
	}
}
