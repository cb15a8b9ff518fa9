// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"sync"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// ledger keeps the samples and the account of one run. It may be read while the run goes on.
type ledger struct {
	mu      sync.Mutex
	account measure.Account
	samples []measure.Sample
}

// Expect adds a pair that must end.
func (l *ledger) Expect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account.Expected++
}

// End enters the result of a pair.
func (l *ledger) End(sample measure.Sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account.End(sample.Status)
	l.samples = append(l.samples, sample)
}

// Account is the account so far.
func (l *ledger) Account() measure.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account
}

// Samples are the results so far.
func (l *ledger) Samples() []measure.Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.samples)
}
