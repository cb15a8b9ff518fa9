// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "time"

// Bracket is the interval that must contain an instant. A zero Lower says that nothing bounds the
// instant from below.
type Bracket struct {
	Lower time.Time
	Upper time.Time
}

// Bounded reports whether the bracket has a lower end.
func (b Bracket) Bounded() bool { return !b.Lower.IsZero() }

// Width is the bracket's resolution, zero when it has no lower end.
func (b Bracket) Width() time.Duration {
	if !b.Bounded() {
		return 0
	}
	return b.Upper.Sub(b.Lower)
}

// Contains reports whether the instant lies in the bracket, ends included.
func (b Bracket) Contains(instant time.Time) bool {
	return !instant.Before(b.Lower) && !instant.After(b.Upper)
}
