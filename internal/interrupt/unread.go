// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package interrupt

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// ErrUnread is why a context has ended whose program writes to a pipe that nobody reads.
var ErrUnread = errors.New("nobody reads the output any more")

// Unread returns a context that ends when a write through the returned writer finds that nobody
// reads it any more, as with "2>&1 | head". Otherwise the kernel would kill the program (signal(7),
// SIGPIPE); from here on no write to any pipe does.
func Unread(parent context.Context, out io.Writer) (context.Context, io.Writer) {
	ctx, cancel := context.WithCancelCause(parent)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, &pipe{out, cancel}
}

// pipe is a writer that tells when it has no reader.
type pipe struct {
	out    io.Writer
	cancel context.CancelCauseFunc
}

// Write implements [io.Writer].
func (p *pipe) Write(text []byte) (int, error) {
	n, err := p.out.Write(text)
	if errors.Is(err, syscall.EPIPE) {
		p.cancel(ErrUnread)
	}
	return n, err
}
