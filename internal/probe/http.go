// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

var (
	errNotHTTP = errors.New("read the response: the answer is not HTTP")
	errHungUp  = errors.New("read the response: the server closed the connection")
)

// httpGet succeeds when the target answers a GET with any HTTP response (RFC 9112, section 4), whose
// status is kept. The rest of the response is of no interest: the connection is about to be reset.
type httpGet struct{}

func (httpGet) socket() (kind, protocol int) { return unix.SOCK_STREAM, 0 }

func (httpGet) request(p *Pair) []byte {
	return []byte("GET / HTTP/1.1\r\nHost: " + p.to.String() +
		"\r\nUser-Agent: netpol-latency\r\nAccept: */*\r\nConnection: close\r\n\r\n")
}

func (g httpGet) open(w *worker, i int32, now instant) {
	s := &w.flight.slots[i]
	w.respond(i, now)
	if s.phase != answering {
		return
	}
	if _, err := unix.Write(int(s.fd), s.pair.request); err != nil {
		_ = g.read(w, i, now) // what had arrived before; nothing more will
		w.end(i, measure.Unanswered, now, fmt.Errorf("send the request: %w", err))
	}
}

// statusLine is the shape of the beginning of a response; the digits are those of the status.
const statusLine = "HTTP/1.1 200"

func (httpGet) read(w *worker, i int32, now instant) error {
	s := &w.flight.slots[i]
	var buffer [len(statusLine)]byte
	for s.phase == answering {
		n, err := unix.Read(int(s.fd), buffer[:len(statusLine)-int(s.matched)])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return err
		case n == 0:
			w.end(i, measure.Unanswered, now, errHungUp)
		case !s.match(buffer[:n]):
			w.end(i, measure.Unanswered, now, errNotHTTP)
		case int(s.matched) == len(statusLine):
			w.end(i, measure.Allowed, now, nil)
		}
	}
	return nil
}

// match takes more of a response's beginning. It reports whether that can still be HTTP.
func (s *slot) match(more []byte) bool {
	for _, b := range more {
		switch at := int(s.matched); {
		case at < len("HTTP/"):
			if b != statusLine[at] {
				return false
			}
		case at >= len("HTTP/1.1 ") && b >= '0' && b <= '9':
			s.response = s.response*10 + uint16(b-'0')
		case at >= len("HTTP/1.1 "):
			return false
		}
		s.matched++
	}
	return true
}
