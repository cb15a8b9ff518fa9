// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"errors"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// reply is what a mode has found out about a probe. Only the first verdict about one counts.
type reply struct {
	// entry is the probe's, or none: answers were lost on this side by then, nobody knows which.
	entry int32
	// opened says that the connection is open and a response is awaited, so there is no verdict
	// yet.
	opened  bool
	verdict measure.Verdict
	at      instant
	err     error
}

var (
	// errTimeout is the reason of a probe that got no answer in time.
	errTimeout = errors.New("wait for the answer: none came in time")
	// errLost is the reason of one whose answer may have been lost on this side.
	errLost = errors.New("wait for the answer: the kernel had no room for all answers")
	// errOverload is the reason of a probe that got no answer while the path was too slow.
	errOverload = errors.New("wait for the answer: there were more probes than the path bears")
	// errCancelled is the reason of a probe whose pair was stopped.
	errCancelled = errors.New("wait for the answer: the pair was stopped")
)
