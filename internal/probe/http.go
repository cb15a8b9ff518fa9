// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

var (
	errNotHTTP = errors.New("read the response: the answer is not HTTP")
	errClosed  = errors.New("read the response: the server closed the connection")
)

// httpGet succeeds when the target answers a GET with any HTTP response (RFC 9112, section 4),
// whose status is kept. The rest of the response is of no interest: the connection is about to be
// reset.
type httpGet struct{}

func (httpGet) socket() (kind, protocol int) { return unix.SOCK_STREAM, 0 }

func (httpGet) request(to netip.AddrPort) []byte {
	return []byte("GET / HTTP/1.1\r\nHost: " + to.String() +
		"\r\nUser-Agent: netpol-latency\r\nAccept: */*\r\nConnection: close\r\n\r\n")
}

func (g httpGet) opened(a attempt, replies []reply) []reply {
	a.asked = true
	replies = append(replies, reply{entry: a.index, opened: true, at: a.at})
	if _, err := unix.Write(int(a.fd), a.request); err != nil {
		replies, _ = g.read(a, replies) // what had arrived before; nothing more will
		replies = append(replies, a.is(measure.Unanswered, fmt.Errorf("send the request: %w", err)))
	}
	return replies
}

// statusLine is the shape of the beginning of a response; the digits are those of the status.
const statusLine = "HTTP/1.1 200"

func (httpGet) read(a attempt, replies []reply) ([]reply, error) {
	var buffer [len(statusLine)]byte
	for {
		n, err := unix.Read(int(a.fd), buffer[:len(statusLine)-int(a.matched)])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return replies, nil
		case err != nil:
			return replies, err
		case n == 0:
			return append(replies, a.is(measure.Unanswered, errClosed)), nil
		case !a.match(buffer[:n]):
			return append(replies, a.is(measure.Unanswered, errNotHTTP)), nil
		case int(a.matched) == len(statusLine):
			return append(replies, a.is(measure.Allowed, nil)), nil
		}
	}
}

// match takes more of a response's beginning. It reports whether that can still be HTTP.
func (e *entry) match(more []byte) bool {
	for _, b := range more {
		switch at := int(e.matched); {
		case at < len("HTTP/"):
			if b != statusLine[at] {
				return false
			}
		case at >= len("HTTP/1.1 ") && b >= '0' && b <= '9':
			e.response = e.response*10 + uint16(b-'0')
		case at >= len("HTTP/1.1 "):
			return false
		}
		e.matched++
	}

	return true
}
