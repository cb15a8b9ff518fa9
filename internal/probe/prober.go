// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import "time"

// prober is what a mode does for a worker. It belongs to the worker's thread.
type prober interface {
	// prepare readies a pair, before its first probe.
	prepare(p *Pair)
	// forget releases what the mode holds for a pair, after its last probe.
	forget(p *Pair)
	// send sends the probes of the slots; those that cannot be sent it ends. The end of one can end its
	// pair, and with that others of the slots.
	send(w *worker, slots []int32)
	// ready deals with the event of a socket that the worker watches, by the number that the mode gave it.
	ready(w *worker, number int32, events uint32)
	// release gives up the slot's own socket.
	release(w *worker, s *slot)
	// poll reads answers that need no event; the worker calls it that often while probes are in
	// flight, never if that is 0.
	poll(w *worker)
	every() time.Duration
	// close releases what the mode holds.
	close() error
}

// newProber opens what a mode needs for so many probes in flight.
func newProber(mode Mode, most int) (prober, error) {
	switch mode {
	case Connect:
		return newSockets(connect{}, most), nil
	case HTTP:
		return newSockets(httpGet{}, most), nil
	case UDP:
		return newSockets(udpEcho{}, most), nil
	case SCTP:
		return newSCTP(most)
	case SYN:
		return newRaw()
	case Established:
		return newEstablished(), nil
	default:
		_, err := ParseMode(string(mode))
		return nil, err
	}
}
