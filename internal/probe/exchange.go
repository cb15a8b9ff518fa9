// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"net/netip"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// exchange is what a probe does on a non-blocking socket of its own.
type exchange interface {
	// socket is the type and the protocol of the socket (socket(2)).
	socket() (kind, protocol int)
	// request is what to send to a target, nil for nothing.
	request(to netip.AddrPort) []byte
	// opened reacts to the connection being open: it is the answer, or something is sent.
	opened(a attempt, replies []reply) []reply
	// read reacts to what has arrived, and returns the error of reading, if any.
	read(a attempt, replies []reply) ([]reply, error)
}

// attempt is a probe that something has happened to.
type attempt struct {
	*entry
	index   int32
	request []byte
	at      instant
}

// is is the reply that ends the attempt.
func (a attempt) is(verdict measure.Verdict, err error) reply {
	return reply{entry: a.index, verdict: verdict, at: a.at, err: err}
}
