// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package relay passes TCP connections on to an address, at once or as slowly as over a distance.
package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// readSize is the most that is read, and delayed, as one piece, in bytes.
	readSize = 64 << 10
	// maxPieces is how many pieces can be on the way in one direction. When there are so many, what
	// follows waits in the socket and is read in larger pieces, so that it costs time and no
	// throughput.
	maxPieces = 1024
)

// Relay passes connections on. Bytes keep their order, a half that is closed is closed at the other
// end, too, and so is a connection that is reset.
type Relay struct {
	// To is the address, as net.Dial takes it, that connections are passed on to.
	To string
	// RoundTrip is the time that the way there and back takes, half of it each way. Everything that
	// is on the way at the same time is delayed together: N requests cost one round trip, and one
	// more opens their connection. With 0 bytes are passed on at once.
	RoundTrip time.Duration
}

// Serve passes on the connections to a listener until ctx ends, and closes all of them.
func (r Relay) Serve(ctx context.Context, listener net.Listener) error {
	var connections sync.WaitGroup
	defer connections.Wait()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })() // it only ends the loop

	for {
		accepted, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("accept a connection to pass on: %w", err)
		}
		connections.Go(func() { r.pass(ctx, accepted.(*net.TCPConn)) })
	}
}

// pass carries one connection from its beginning to its end.
func (r Relay) pass(ctx context.Context, outside *net.TCPConn) {
	defer outside.Close()
	opened := time.Now()
	dialed, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.To)
	if err != nil {
		return // the caller sees a closed connection, as from a server that is down
	}

	inside := dialed.(*net.TCPConn)
	defer inside.Close()
	defer context.AfterFunc(ctx, func() { reset(outside); reset(inside) })()

	// The kernel has accepted at once. Over a distance the first bytes could leave only when the
	// answer to the first packet had come back.
	there := direction{from: outside, to: inside, delay: r.RoundTrip / 2,
		notBefore: opened.Add(r.RoundTrip)}
	back := direction{from: inside, to: outside, delay: r.RoundTrip / 2}

	var both sync.WaitGroup
	both.Go(there.run)
	both.Go(back.run)
	both.Wait()
}

// conn is what a direction needs of a TCP connection.
type conn interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error
}

// direction is one of the two ways of a connection.
type direction struct {
	from, to  conn
	delay     time.Duration
	notBefore time.Time // when the first bytes can have been sent
}

// run carries bytes until there are no more, and hands on how they ended.
func (d direction) run() {
	if err := d.copy(); err != nil {
		reset(d.to)
		reset(d.from)
		return
	}
	_ = d.to.CloseWrite() // it may be gone already
}

func (d direction) copy() error {
	if d.delay == 0 {
		_, err := io.Copy(d.to, d.from) // in the kernel
		return err
	}

	pieces := make(chan piece, maxPieces)
	go d.read(pieces)
	var failed error
	for p := range pieces {
		if failed != nil {
			continue // until the reader has seen the end
		}
		time.Sleep(time.Until(p.due))
		if len(p.bytes) == 0 {
			return p.err // it is the last
		}
		if _, failed = d.to.Write(p.bytes); failed != nil {
			// The receiver has reset the connection. The sender hears of it after its way back.
			time.Sleep(d.delay)
			reset(d.from)
		}
	}

	return failed
}

// piece is bytes on their way, or none and how they ended.
type piece struct {
	due   time.Time
	bytes []byte
	err   error
}

// read sends what arrives on its way, and closes the channel after the end.
func (d direction) read(pieces chan<- piece) {
	defer close(pieces)
	buffer := make([]byte, readSize)
	for {
		n, err := d.from.Read(buffer)
		sent := time.Now()
		if sent.Before(d.notBefore) {
			sent = d.notBefore
		}
		due := sent.Add(d.delay)

		if n > 0 {
			pieces <- piece{due: due, bytes: bytes.Clone(buffer[:n])}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			pieces <- piece{due: due, err: err}
			return
		}
	}
}

// reset closes a connection so that the other end sees a reset and not an orderly end.
func reset(c conn) {
	_ = c.SetLinger(0) // both fail on a connection that is closed already
	_ = c.Close()
}
