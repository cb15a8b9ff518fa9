// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Connect returns a client of the API server: of the kubeconfig file if one is named, else of the
// pod that this process runs in. It sends nothing yet. Who uses it bounds its own rate.
func Connect(kubeconfig, userAgent string) (kubernetes.Interface, error) {
	config, err := inClusterOr(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return connect(config, userAgent)
}

// ConnectAgent is [Connect] for an agent of a run: what is asked of an API server that is away for
// a while is asked again, at short distances. Of the other clients there may be hundreds.
func ConnectAgent(kubeconfig, userAgent string) (kubernetes.Interface, error) {
	config, err := inClusterOr(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	retry(config)
	return connect(config, userAgent)
}

// ConnectMetadata returns a client of the metadata of any object, for the same API server as
// [Connect]. Who uses it bounds its own rate.
func ConnectMetadata(kubeconfig, userAgent string) (metadata.Interface, error) {
	config, err := inClusterOr(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent, config.QPS = userAgent, -1
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("use the API server's address: %w", err)
	}
	return client, nil
}

// ConnectUser returns a client of the API server that a user reaches.
func ConnectUser(access Access, userAgent string) (kubernetes.Interface, error) {
	config, err := access.config()
	if err != nil {
		return nil, err
	}
	return connect(config, userAgent)
}

// ServerAddress is an address of the API server that the same client as [Connect]'s connects to.
func ServerAddress(ctx context.Context, kubeconfig string) (netip.AddrPort, error) {
	config, err := inClusterOr(kubeconfig)
	if err != nil {
		return netip.AddrPort{}, err
	}
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("use the API server's address: %w", err)
	}

	service := cmp.Or(server.Port(), server.Scheme)
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("use the API server's address %s: %w", server, err)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", server.Hostname())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("use the API server's address %s: %w", server, err)
	}
	return netip.AddrPortFrom(found[0].Unmap(), uint16(port)), nil
}

func inClusterOr(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("find the API server: this process runs in no pod: "+
				"run it in a cluster or name a file with --kubeconfig: %w", err)
		}
		return config, nil
	}

	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %q: %w", kubeconfig, err)
	}

	return config, nil
}

// connect makes the client. Objects travel as protobuf, which costs both sides less.
func connect(config *rest.Config, userAgent string) (kubernetes.Interface, error) {
	config.UserAgent = userAgent
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("use the API server's address: %w", err)
	}
	return client, nil
}
