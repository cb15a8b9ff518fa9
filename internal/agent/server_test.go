// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes, so that their time is virtual.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial is a connection that sends a text.
func (p pipes) dial(text string) net.Conn {
	client, server := net.Pipe()
	p <- server
	go func() { _, _ = io.WriteString(client, text) }() // the server may have hung up
	return client
}

// withServer runs a test against the server, in virtual time.
func withServer(t *testing.T, test func(t *testing.T, server pipes, progress *progress)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		progress := newProgress()
		routes, err := handler(NewMetrics(), &results{}, progress)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		server, done := make(pipes), make(chan error)
		go func() { done <- serve(ctx, server, routes) }()
		test(t, server, progress)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestServerHangsUp keeps a connection of the server without need.
func TestServerHangsUp(t *testing.T) {
	const request = "GET /healthz HTTP/1.1\r\nHost: x\r\n"
	tests := []struct {
		name, text string
		after      time.Duration
	}{
		{"no request", "", headerTimeout},
		{"half a header", request, headerTimeout},
		{"half a body", "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
			requestTimeout},
		{"no next request", request + "\r\n", idleTimeout},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			withServer(t, func(t *testing.T, server pipes, _ *progress) {
				began := time.Now()
				conn := server.dial(test.text)
				defer conn.Close()
				_, err := io.Copy(io.Discard, conn)
				if got := time.Since(began); err != nil || got > test.after+time.Second {
					t.Errorf("the server hung up after %s, %v; want %s", got, err, test.after)
				}
			})
		})
	}
}

// TestServerWaits waits for results longer than any time of the server, but not for everybody.
func TestServerWaits(t *testing.T) {
	withServer(t, func(t *testing.T, server pipes, progress *progress) {
		ask := func(conn net.Conn) int {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Error(err)
				return 0
			}
			defer response.Body.Close()
			return response.StatusCode
		}
		const request = "GET /samples?wait=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
		var conns []net.Conn
		for range mostWaiting {
			conns = append(conns, server.dial(request))
			synctest.Wait()
		}
		if got := ask(server.dial(request)); got != http.StatusServiceUnavailable {
			t.Errorf("one too many gets %d; want 503", got)
		}

		time.Sleep(24 * time.Hour)
		progress.concluded.send()
		for _, conn := range conns {
			if got := ask(conn); got != http.StatusOK {
				t.Errorf("one who waited gets %d; want 200", got)
			}
		}
	})
}

// TestServerTakesFewConnections opens more connections than the server takes: the next is served
// when one has gone.
func TestServerTakesFewConnections(t *testing.T) {
	withServer(t, func(t *testing.T, server pipes, _ *progress) {
		var first net.Conn
		for range mostConnections {
			first = server.dial("")
		}
		var taken time.Duration
		began := time.Now()
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			conn := server.dial("")
			defer conn.Close()
			taken = time.Since(began)
		}()
		time.Sleep(time.Second)
		_ = first.Close()
		<-waited
		if taken < time.Second {
			t.Errorf("connection %d was taken after %s; want none before another has gone",
				mostConnections+1, taken)
		}
	})
}
