// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// ResponseTimeout is how long an HTTP response may take once the connection is open. The connection
// alone already shows that the network allows it, so this bound only keeps a server that never
// answers from holding connections for ever.
const ResponseTimeout = 10 * time.Second

// httpAttempt succeeds when the target answers a GET with any HTTP response (RFC 9112, section 4).
func httpAttempt(timeout time.Duration) Attempt {
	return func(ctx context.Context, to netip.AddrPort) measure.Outcome {
		connection, outcome := dial(ctx, to, timeout)
		if connection == nil {
			return outcome
		}
		defer connection.Close()
		release := closeWhenDone(ctx, connection)
		defer release()
		outcome.Err = get(connection, to)
		outcome.Done = time.Now()
		outcome.Verdict = measure.Allowed
		switch {
		case outcome.Err == nil:
		case ctx.Err() != nil:
			outcome.Verdict = measure.Ambiguous
		default:
			outcome.Verdict = measure.Unanswered
		}
		return outcome
	}
}

// get sends a GET and waits for the beginning of a status line. The rest of the response is of no
// interest: the connection is about to be reset.
func get(connection *os.File, to netip.AddrPort) error {
	if err := connection.SetDeadline(time.Now().Add(ResponseTimeout)); err != nil {
		return fmt.Errorf("bound the response: %w", err)
	}
	request := "GET / HTTP/1.1\r\nHost: " + to.String() +
		"\r\nUser-Agent: netpol-latency\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := connection.WriteString(request); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	var buffer [64]byte
	status := []byte("HTTP/")
	for have := 0; have < len(status); {
		n, err := connection.Read(buffer[have:])
		have += n
		if !bytes.HasPrefix(buffer[:have], status[:min(have, len(status))]) {
			return errors.New("read the response: the answer is not HTTP")
		}
		if err != nil && have < len(status) {
			return fmt.Errorf("read the response: %w", err)
		}
	}
	return nil
}

// closeWhenDone ends pending reads and writes of the connection as soon as the context ends, until
// it is released.
func closeWhenDone(ctx context.Context, connection *os.File) (release func() bool) {
	return context.AfterFunc(ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })
}
