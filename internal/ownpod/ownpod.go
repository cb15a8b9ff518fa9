// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package ownpod writes conditions of the pod that this process runs in. It speaks HTTP alone: with
// client-go a program would be several times as large.
package ownpod

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// NameVariable is where a pod's manifest may leave the pod's name: that of its host may be another.
const NameVariable = "POD_NAME"

// serviceAccount is where Kubernetes leaves what a pod's processes need to speak to the API server.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// requestTimeout is how long the API server may take for an answer.
const requestTimeout = 5 * time.Second

// Condition is a condition of a pod's status, which is true or false.
type Condition struct {
	Type, Reason, Message string
	True                  bool
}

// Pod is the pod that this process runs in.
type Pod struct {
	namespace, name string
	server          string // the API server's address
	account         string // the directory of the service account
	client          http.Client
}

// Find finds the pod, whose name is the variable's or else that of its host.
func Find() (*Pod, error) {
	server := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"),
		os.Getenv("KUBERNETES_SERVICE_PORT"))
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the pod of this process: %w", err)
	}
	return find(server, cmp.Or(os.Getenv(NameVariable), name), serviceAccount)
}

// find is the pod of a name at an API server, by a service account in a directory.
func find(server, name, account string) (*Pod, error) {
	namespace, err := os.ReadFile(filepath.Join(account, "namespace"))
	if err != nil {
		return nil, fmt.Errorf("find the pod of this process: expected a service account "+
			"(automountServiceAccountToken): %w", err)
	}
	authority, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("find the API server's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("find the API server's certificate: the service account has none")
	}

	return &Pod{
		namespace: strings.TrimSpace(string(namespace)), name: name, server: server,
		account: account,
		client: http.Client{
			Timeout:   requestTimeout,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		},
	}, nil
}

// Set sets a condition. It takes the right to patch the status of pods, and no other.
func (p *Pod) Set(ctx context.Context, c Condition) error {
	if err := p.patch(ctx, c); err != nil {
		return fmt.Errorf("set condition %s of pod %s/%s: %w", c.Type, p.namespace, p.name, err)
	}
	return nil
}

func (p *Pod) patch(ctx context.Context, c Condition) error {
	type object = map[string]any
	status := "False"
	if c.True {
		status = "True"
	}
	body, err := json.Marshal(object{"status": object{"conditions": []object{{
		"type": c.Type, "status": status, "reason": c.Reason, "message": c.Message,
		"lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
	}}}})
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(p.account, "token")) // it is renewed there
	if err != nil {
		return err
	}

	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, fmt.Sprintf(
		"https://%s/api/v1/namespaces/%s/pods/%s/status", p.server, p.namespace, p.name),
		bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/strategic-merge-patch+json")
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return refusal(response)
}

// refusal is what the API server says if it has not done what was asked.
func refusal(response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	const most = 64 << 10
	var said struct{ Message string }
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil || json.Unmarshal(text, &said) != nil {
		said.Message = response.Status
	}
	return fmt.Errorf("the API server refuses it, expected the right to patch pods/status: %s",
		said.Message)
}
