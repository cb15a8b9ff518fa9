// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import "fmt"

// Account counts the pairs of a run by how they ended. Nothing is lost: at the end the statuses add
// up to the number of pairs that were expected.
type Account struct {
	Expected int
	ended    [Unobserved + 1]int
}

// End counts one more pair that ended in the status.
func (a *Account) End(status Status) { a.ended[status]++ }

// Count is the number of pairs that ended in the status.
func (a Account) Count(status Status) int { return a.ended[status] }

// Pending is the number of expected pairs that have not ended.
func (a Account) Pending() int {
	pending := a.Expected
	for _, status := range Statuses() {
		pending -= a.Count(status)
	}
	return pending
}

// Check is nil when every expected pair has ended exactly once.
func (a Account) Check() error {
	if pending := a.Pending(); pending != 0 {
		return fmt.Errorf("account for %d expected pairs: %s: %d are not accounted for",
			a.Expected, a, pending)
	}
	return nil
}

// AllMeasured reports whether at least one pair was expected and every one was measured.
func (a Account) AllMeasured() bool {
	return a.Expected > 0 && a.Count(Measured) == a.Expected
}

// String lists the counts, for example "20 expected, 19 measured, 1 censored, 0 invalid, 0
// deleted, 0 unobserved".
func (a Account) String() string {
	text := fmt.Sprintf("%d expected", a.Expected)
	for _, status := range Statuses() {
		text += fmt.Sprintf(", %d %s", a.Count(status), status)
	}
	return text
}
