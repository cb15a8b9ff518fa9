// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pipeEnd is one end of a pipe with what a TCP connection has beside it.
type pipeEnd struct{ net.Conn }

func (p pipeEnd) CloseWrite() error   { return p.Close() }
func (p pipeEnd) SetLinger(int) error { return nil }

// What is on the way at the same time is delayed together, and arrives in order.
func TestDelayIsPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay, gap, messages = 25 * time.Millisecond, time.Millisecond, 200
		sender, from := net.Pipe()
		to, receiver := net.Pipe()
		began := time.Now()
		go direction{from: pipeEnd{from}, to: pipeEnd{to}, delay: delay}.run()
		go func() {
			defer sender.Close()
			for i := range messages {
				_, _ = sender.Write([]byte{byte(i)}) // a failure shows at the receiver
				time.Sleep(gap)
			}
		}()

		one := make([]byte, 1)
		for i := range messages {
			if _, err := io.ReadFull(receiver, one); err != nil {
				t.Fatal(err)
			}
			sent := began.Add(time.Duration(i) * gap)
			if one[0] != byte(i) || time.Since(sent) != delay {
				t.Errorf("message %d arrived as %d after %v; want it after %v", i, one[0],
					time.Since(sent), delay)
			}
		}
		if _, err := receiver.Read(one); !errors.Is(err, io.EOF) {
			t.Errorf("after the last message came %v; want the end", err)
		}
		if took := time.Since(began); took != messages*gap+delay {
			t.Errorf("the end arrived after %v; want it to be delayed like a message", took)
		}
	})
}

// The first bytes of a connection wait for the round trip that opens it.
func TestFirstBytesWaitForTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 25 * time.Millisecond
		sender, from := net.Pipe()
		to, receiver := net.Pipe()
		began := time.Now()
		go direction{from: pipeEnd{from}, to: pipeEnd{to}, delay: delay,
			notBefore: began.Add(2 * delay)}.run()
		go func() {
			_, _ = sender.Write([]byte("hello")) // a failure shows at the receiver
			_ = sender.Close()
		}()
		if _, err := io.ReadAll(receiver); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 3*delay {
			t.Errorf("the first bytes arrived after %v; want %v", took, 3*delay)
		}
	})
}

// serve runs a relay to an address and returns its own.
func serve(t *testing.T, to string, roundTrip time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Relay{To: to, RoundTrip: roundTrip}.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with %v; want nothing, since it was told to end", err)
		}
	})
	return listener.Addr().String()
}

// A request takes the round trip, and many at once take no longer than some, not each their own.
func TestRoundTrip(t *testing.T) {
	const roundTrip, requests = 100 * time.Millisecond, 50
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path)
	}))
	defer server.Close()
	address := serve(t, server.Listener.Addr().String(), roundTrip)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: requests}}
	defer client.CloseIdleConnections()
	get := func(path string) time.Duration {
		began := time.Now()
		response, err := client.Get("http://" + address + path)
		if err != nil {
			t.Error(err)
			return 0
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // everything has been read
		if err != nil || string(body) != path {
			t.Errorf("the answer to %s is %q, %v", path, body, err)
		}
		return time.Since(began)
	}

	if took := get("/first"); took < 2*roundTrip {
		t.Errorf("the first request took %v; want a round trip for its connection and one for "+
			"itself, %v", took, 2*roundTrip)
	}
	if took := get("/second"); took < roundTrip {
		t.Errorf("a request took %v; want at least %v", took, roundTrip)
	}

	began := time.Now()
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() { get(fmt.Sprintf("/%d", i)) })
	}
	all.Wait()
	if took := time.Since(began); took > requests*roundTrip/2 {
		t.Errorf("%d requests at once took %v; want them to be delayed together", requests, took)
	}
}

// Much data is not slower for the delay: it is on the way together.
func TestThroughput(t *testing.T) {
	const roundTrip = 100 * time.Millisecond
	sent := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // 64 MiB: 50 s in pieces one by one
	address := serve(t, accept(t, func(c *net.TCPConn) {
		_, _ = c.Write(sent) // a failure shows at the reader
	}), roundTrip)
	c := dial(t, address)
	began := time.Now()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes arrived, %v; want the %d that were sent", len(got), err, len(sent))
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("they took %v; want about a round trip", took)
	}
}

// accept listens, hands connections to a function and closes them after it. It returns the address.
func accept(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { _ = listener.Close() }) // it only ends the loop
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	return listener.Addr().String()
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // some tests have closed it
	return c.(*net.TCPConn)
}

// roundTrips are those with which it is tested how a connection ends.
var roundTrips = []time.Duration{0, 20 * time.Millisecond}

// A half that is closed leaves the other one open.
func TestHalfClose(t *testing.T) {
	for _, roundTrip := range roundTrips {
		t.Run(roundTrip.String(), func(t *testing.T) {
			address := serve(t, accept(t, func(c *net.TCPConn) {
				heard, err := io.ReadAll(c)
				fmt.Fprintf(c, "heard %q, %v", heard, err)
			}), roundTrip)
			c := dial(t, address)
			if _, err := io.WriteString(c, "hello"); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(c)
			if err != nil {
				t.Errorf("the connection ended with %v; want an end in order", err)
			}
			if diff := cmp.Diff(`heard "hello", <nil>`, string(answer)); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
		})
	}
}

// A connection that one end resets is reset at the other.
func TestReset(t *testing.T) {
	for _, roundTrip := range roundTrips {
		t.Run("by the server/"+roundTrip.String(), func(t *testing.T) {
			address := serve(t, accept(t, func(c *net.TCPConn) {
				_, _ = c.Read(make([]byte, 1)) // until the connection is open at both ends
				reset(c)
			}), roundTrip)
			c := dial(t, address)
			if _, err := io.WriteString(c, "x"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client saw %v; want a reset", err)
			}
		})
		t.Run("by the client/"+roundTrip.String(), func(t *testing.T) {
			seen := make(chan error, 1)
			address := serve(t, accept(t, func(c *net.TCPConn) {
				_, err := c.Write([]byte("x"))
				if err == nil {
					_, err = io.ReadAll(c)
				}
				seen <- err
			}), roundTrip)
			c := dial(t, address)
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			reset(c)
			if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the server saw %v; want a reset", err)
			}
		})
	}
}

// A server that is down ends the connection, and not the relay.
func TestServerDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := serve(t, listener.Addr().String(), 20*time.Millisecond)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := dial(t, address).Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("a connection to no server had %d bytes, %v; want its end", n, err)
		}
	}
}
