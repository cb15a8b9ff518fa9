// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"os"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
)

// WriteKubeconfig writes the credentials of an identity for a server, self-contained.
func WriteKubeconfig(dir layout.Dir, identity, server, path string) error {
	var contents [3][]byte
	for i, name := range []string{"ca.crt", identity + ".crt", identity + ".key"} {
		content, err := os.ReadFile(dir.Credentials(name))
		if err != nil {
			return fmt.Errorf("read credentials of %s: %w", identity, err)
		}
		contents[i] = content
	}

	const name = "netpol-latency-lab"
	config := api.Config{
		Clusters: map[string]*api.Cluster{name: {Server: server,
			CertificateAuthorityData: contents[0]}},
		AuthInfos: map[string]*api.AuthInfo{name: {ClientCertificateData: contents[1],
			ClientKeyData: contents[2]}},
		Contexts:       map[string]*api.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}
	if err := clientcmd.WriteToFile(config, path); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}

	return nil
}
