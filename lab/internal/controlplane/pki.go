// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/topology"
)

// validity is longer than any lab runs.
const validity = 365 * 24 * time.Hour

// identity is who a client certificate says its holder is.
type identity struct {
	name   string // of the files
	user   string
	groups []string
}

// The identities of the lab's parts. Admin is the person who uses the lab.
func identities() []identity {
	return []identity{
		{"admin", "netpol-latency-lab:admin", []string{"system:masters"}},
		// One identity for all controllers: thirty service accounts would only slow the start.
		{"kube-controller-manager", "system:kube-controller-manager", []string{"system:masters"}},
		{"kube-scheduler", "system:kube-scheduler", nil},
		{"kubelet-client", "netpol-latency-lab:kube-apiserver", []string{"system:masters"}},
		{"node", "netpol-latency-lab:node", nil},
		{"engine", "netpol-latency-lab:engine", nil},
	}
}

// authority signs the lab's certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// WritePKI makes a certificate authority and everything that it signs in the state directory.
// Nothing of it leaves the directory, and each lab has its own.
func WritePKI(dir layout.Dir, family topology.Family, nodes []topology.Node) error {
	if err := os.MkdirAll(dir.Credentials(""), 0o700); err != nil {
		return fmt.Errorf("create the directory of certificates: %w", err)
	}
	ca, err := newAuthority()
	if err != nil {
		return fmt.Errorf("make a certificate authority: %w", err)
	}
	if err := os.WriteFile(dir.Credentials("ca.crt"), ca.pem, 0o600); err != nil {
		return fmt.Errorf("write the certificate authority: %w", err)
	}

	for _, who := range identities() {
		template := &x509.Certificate{
			Subject:     pkix.Name{CommonName: who.user, Organization: who.groups},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		if err := ca.write(dir, who.name, template); err != nil {
			return err
		}
	}
	if err := ca.write(dir, "kube-apiserver", apiServerCertificate(family)); err != nil {
		return err
	}

	for _, node := range nodes {
		if err := ca.write(dir, "kubelet-"+node.Name, nodeCertificate(node)); err != nil {
			return err
		}
	}

	return writeServiceAccountKey(dir)
}

func apiServerCertificate(family topology.Family) *x509.Certificate {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}

	for _, prefix := range family.ControlPlane() {
		template.IPAddresses = append(template.IPAddresses, prefix.Addr().AsSlice())
	}
	template.IPAddresses = append(template.IPAddresses, family.KubernetesService().AsSlice())
	return template
}

func nodeCertificate(node topology.Node) *x509.Certificate {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "system:node:" + node.Name,
			Organization: []string{"system:nodes"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{node.Name},
	}
	for _, address := range node.IPs() {
		template.IPAddresses = append(template.IPAddresses, address.AsSlice())
	}
	return template
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "netpol-latency-lab"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(validity),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}

	return &authority{certificate: certificate, key: key, pem: encode("CERTIFICATE", der)}, nil
}

// write signs a certificate for a new key and writes NAME.crt and NAME.key.
func (a *authority) write(dir layout.Dir, name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key for %s: %w", name, err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("number the certificate of %s: %w", name, err)
	}

	template.NotBefore, template.NotAfter = a.certificate.NotBefore, a.certificate.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	if err := os.WriteFile(dir.Credentials(name+".crt"), encode("CERTIFICATE", der),
		0o600); err != nil {
		return fmt.Errorf("write the certificate of %s: %w", name, err)
	}

	return writeKey(dir.Credentials(name+".key"), key)
}

// writeServiceAccountKey makes the pair of keys that signs and verifies service account tokens.
func writeServiceAccountKey(dir layout.Dir) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the service account key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode the service account key: %w", err)
	}
	if err := os.WriteFile(dir.Credentials("service-account.pub"), encode("PUBLIC KEY", public),
		0o600); err != nil {
		return fmt.Errorf("write the service account key: %w", err)
	}

	return writeKey(dir.Credentials("service-account.key"), key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	if err := os.WriteFile(path, encode("EC PRIVATE KEY", der), 0o600); err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	return nil
}

func encode(kind string, der []byte) []byte {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}) // a buffer takes everything
	return b.Bytes()
}
