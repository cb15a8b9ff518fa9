// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/topology"
)

func TestPKI(t *testing.T) {
	dir := layout.Dir(t.TempDir())
	nodes := []topology.Node{topology.Dual.NewNode(0), topology.Dual.NewNode(1)}
	if err := WritePKI(dir, topology.Dual, nodes); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(dir.Credentials("ca.crt"))
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("read the authority: %v", err)
	}
	cases := []struct {
		name  string
		usage x509.ExtKeyUsage
		hosts []string
	}{
		{"kube-apiserver", x509.ExtKeyUsageServerAuth, []string{
			"127.0.0.1", "::1", "localhost", "172.18.0.1", "fd00:172:18::1", "10.96.0.1",
			"kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{"kubelet-node-0", x509.ExtKeyUsageServerAuth, []string{"172.18.0.2", "fd00:172:18::2",
			"node-0"}},
		{"kubelet-node-1", x509.ExtKeyUsageServerAuth, []string{"172.18.0.3", "fd00:172:18::3",
			"node-1"}},
		{"admin", x509.ExtKeyUsageClientAuth, nil},
		{"node", x509.ExtKeyUsageClientAuth, nil},
		{"engine", x509.ExtKeyUsageClientAuth, nil},
		{"kubelet-client", x509.ExtKeyUsageClientAuth, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			pair, err := tls.LoadX509KeyPair(dir.Credentials(c.name+".crt"),
				dir.Credentials(c.name+".key"))
			if err != nil {
				t.Fatal(err)
			}
			options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{c.usage}}
			if _, err := pair.Leaf.Verify(options); err != nil {
				t.Errorf("the authority's certificate does not verify: %v", err)
			}
			for _, host := range c.hosts {
				if err := pair.Leaf.VerifyHostname(host); err != nil {
					t.Errorf("not valid for %s: %v", host, err)
				}
			}
			key, err := os.Stat(dir.Credentials(c.name + ".key"))
			if err != nil || key.Mode().Perm() != 0o600 {
				t.Errorf("others can read the key (%v, %v)", key.Mode(), err)
			}
		})
	}
}

func TestKubeconfigIsSelfContained(t *testing.T) {
	dir := layout.Dir(t.TempDir())
	if err := WritePKI(dir, topology.Dual, nil); err != nil {
		t.Fatal(err)
	}
	if err := WriteKubeconfig(dir, "admin", "https://127.0.0.1:1", dir.Kubeconfig()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir.Credentials("")); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", dir.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:1" || len(config.CAData) == 0 ||
		len(config.CertData) == 0 || len(config.KeyData) == 0 {
		t.Errorf("the kubeconfig leads to %s and has %d, %d and %d bytes of authority, "+
			"certificate and key: want all",
			config.Host, len(config.CAData), len(config.CertData), len(config.KeyData))
	}
}
