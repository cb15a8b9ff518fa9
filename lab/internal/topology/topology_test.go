// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"strings"
	"testing"
)

// TestFamily has the addresses of a lab be of its families alone, the preferred one first.
func TestFamily(t *testing.T) {
	for _, test := range []struct {
		family          Family
		server, service string
		services        string
		node            string
	}{
		{"", "172.18.0.1:6443", "10.96.0.1", "10.96.0.0/16,fd00:10:96::/112",
			"[172.18.0.17 fd00:172:18::11] [10.244.240.0/20 fd00:10:244:f::/64]"},
		{IPv4, "172.18.0.1:6443", "10.96.0.1", "10.96.0.0/16",
			"[172.18.0.17] [10.244.240.0/20]"},
		{IPv6, "[fd00:172:18::1]:6443", "fd00:10:96::1", "fd00:10:96::/112",
			"[fd00:172:18::11] [fd00:10:244:f::/64]"},
	} {
		t.Run(string(test.family), func(t *testing.T) {
			f, node := test.family, test.family.NewNode(MaxNodes-1)
			got := []string{f.APIServer().String(), f.KubernetesService().String(), f.Services(),
				fmt.Sprint(node.IPs(), " ", node.PodCIDRs)}
			want := []string{test.server, test.service, test.services, test.node}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("the addresses are\n%q; want\n%q", got, want)
			}
			for i, cidr := range node.PodCIDRs {
				if !f.Pods()[i].Contains(cidr.Addr()) {
					t.Errorf("the pods' ranges %v have no %v", f.Pods(), cidr)
				}
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for family, valid := range map[Family]bool{"": true, Dual: true, IPv4: true, IPv6: true,
		"ipv6": false} {
		if err := family.Validate(); (err == nil) != valid {
			t.Errorf("Validate() of %q is %v; want an error: %t", family, err, !valid)
		}
	}
}
