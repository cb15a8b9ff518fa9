// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"sync"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// results keeps the samples and the account of one run. It may be read while the run goes on.
type results struct {
	mu      sync.Mutex
	account measure.Account
	samples []measure.Sample
}

// expect adds a pair that must end.
func (r *results) expect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.account.Expected++
}

// record adds the result of a pair.
func (r *results) record(sample measure.Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.account.End(sample.Status)
	r.samples = append(r.samples, sample)
}

// Account is the account so far.
func (r *results) Account() measure.Account {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.account
}

// Samples are the results so far.
func (r *results) Samples() []measure.Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.samples)
}
