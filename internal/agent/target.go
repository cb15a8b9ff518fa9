// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// largestEcho is the largest datagram that comes back whole, in bytes.
const largestEcho = 2048

// Ports are what a target serves.
type Ports struct{ TCP, UDP, SCTP []int }

// ServeTarget is a target until the context ends: an HTTP server on TCP ports, an echo on UDP
// ports, and associations on SCTP ports.
func ServeTarget(ctx context.Context, ports Ports) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, port := range ports.TCP {
		listener, err := probe.Listen(ctx, port)
		if err != nil {
			return fmt.Errorf("serve TCP port %d: %w", port, err)
		}
		group.Go(func() error { return serveHTTP(ctx, listener) })
	}

	for _, port := range ports.UDP {
		socket, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err != nil {
			return fmt.Errorf("serve UDP port %d: %w", port, err)
		}
		group.Go(func() error { return serveEcho(ctx, socket) })
	}

	for _, port := range ports.SCTP {
		listener, err := probe.ListenSCTP(port)
		if err != nil {
			return fmt.Errorf("serve SCTP port %d: %w", port, err)
		}
		// Nothing is asked on an association: the server keeps it until the client ends it.
		group.Go(func() error { return serveHTTP(ctx, listener) })
	}

	klog.Infof("Serving TCP ports %v, UDP ports %v and SCTP ports %v", ports.TCP, ports.UDP,
		ports.SCTP)
	return group.Wait()
}

func serveHTTP(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) },
		),
		ReadHeaderTimeout: time.Minute,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

func serveEcho(ctx context.Context, socket net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()

	buffer := make([]byte, largestEcho)
	for {
		n, from, err := socket.ReadFrom(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read from UDP %s: %w", socket.LocalAddr(), err)
		}
		_, _ = socket.WriteTo(buffer[:n], from) // whoever asked may have gone, or be denied by now
	}
}
