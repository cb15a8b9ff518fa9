// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"slices"
	"strings"
)

// Mode names a way of probing.
type Mode string

// The modes.
const (
	// Auto is the cheapest mode for TCP that this process may use and that works: syn, else
	// connect.
	Auto Mode = "auto"
	// Connect opens a TCP connection and resets it. It needs no privilege.
	Connect Mode = "connect"
	// HTTP opens a TCP connection, sends a GET and takes any response for success.
	HTTP Mode = "http"
	// UDP sends a datagram and waits for any in return: the target must echo.
	UDP Mode = "udp"
	// SCTP opens an SCTP association and aborts it, where the kernel has SCTP.
	SCTP Mode = "sctp"
	// SYN sends TCP SYN segments of its own and reads the answers from a raw socket. It needs
	// CAP_NET_RAW (capabilities(7)).
	SYN Mode = "syn"
	// Established keeps one TCP connection to each target, and sends HTTP requests on it: it shows
	// when a connection that exists already is cut.
	Established Mode = "established"
)

// Modes lists every mode.
func Modes() []Mode { return []Mode{Auto, Connect, HTTP, UDP, SCTP, SYN, Established} }

// ParseMode checks the name of a mode.
func ParseMode(name string) (Mode, error) {
	if mode := Mode(name); slices.Contains(Modes(), mode) {
		return mode, nil
	}
	var names []string
	for _, mode := range Modes() {
		names = append(names, string(mode))
	}
	return "", fmt.Errorf("use probe mode %q: expected one of %s", name, strings.Join(names, ", "))
}

// MinProcs is how many processors a machine has for which a mode sends at its full rate unless told
// otherwise.
const MinProcs = 4

// The most probes a second that a mode sends unless told otherwise, in all, and for each processor
// where there are fewer than [MinProcs]: at its full rate the engine takes about half a processor,
// which would slow down what it measures.
const (
	synRate, synRateEach     = 100_000, 20_000
	otherRate, otherRateEach = 20_000, 5000
	// A request costs its target more than a connection does, and a target that is busy answers
	// late.
	requestRate = 5000
)

// DefaultMaxRate is the most probes a second that a mode sends on a machine of so many processors
// unless told otherwise.
func (m Mode) DefaultMaxRate(processors int) float64 {
	rate, each := otherRate, otherRateEach
	switch m {
	case SYN:
		rate, each = synRate, synRateEach
	case HTTP, Established:
		return requestRate
	}
	if processors < MinProcs {
		return float64(processors * each)
	}
	return float64(rate)
}
