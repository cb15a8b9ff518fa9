// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// Judged is a measured sample beside what the policy engine did.
type Judged struct {
	Sample measure.Sample
	// Before and After bound the commit that allowed the pair.
	Before, After time.Time
	// Enforcement is the true time from the engine's notification of the trigger to the end of the
	// commit.
	Enforcement time.Duration
	// Error is how much later than the truth the client saw its first response. The truth is the
	// end of the commit, or the arrival of the pod's address if that was later: nobody could ask
	// before.
	Error time.Duration
	// Holds says whether the client's bracket contains the commit.
	Holds bool
}

// judge finds the commit of every measured sample of one client in the truth log.
func judge(samples []measure.Sample, client, path string) ([]Judged, error) {
	records, err := truth.Read(path)
	if err != nil {
		return nil, err
	}
	var measured []measure.Sample
	var pairs []truth.Pair
	for _, sample := range samples {
		if sample.Status == measure.Measured {
			measured = append(measured, sample)
			pairs = append(pairs, truth.Pair{
				FromUID: client, ToUID: sample.Target.Pod.UID, To: sample.Target.Address.Addr(),
				Protocol: "TCP", Port: sample.Target.Address.Port(),
			})
		}
	}
	var judged []Judged
	for i, flips := range truth.Flips(records, pairs...) {
		flip, err := lastAllowed(flips, measured[i].Ended)
		if err != nil {
			return nil, fmt.Errorf("judge pod %s: %w", measured[i].Target.Pod.Name, err)
		}
		judged = append(judged, compare(measured[i], flip))
	}
	return judged, nil
}

// lastAllowed is the newest flip to allowed before the sample was done.
func lastAllowed(flips []truth.Flip, ended time.Time) (truth.Flip, error) {
	for i := len(flips) - 1; i >= 0; i-- {
		if flips[i].Allowed && flips[i].Before.Before(ended) {
			return flips[i], nil
		}
	}
	return truth.Flip{}, fmt.Errorf("find the commit that allowed it: the truth log has none of "+
		"%d flips", len(flips))
}

// notified is when the engine heard of the first cause of a flip.
func notified(flip truth.Flip) time.Time {
	arrived := flip.Before
	for _, cause := range flip.Causes {
		if cause.Arrived.Before(arrived) {
			arrived = cause.Arrived
		}
	}
	return arrived
}

func compare(sample measure.Sample, flip truth.Flip) Judged {
	possible := flip.After
	if sample.Assigned.After(possible) {
		possible = sample.Assigned
	}
	return Judged{
		Sample: sample, Before: flip.Before, After: flip.After,
		Enforcement: flip.After.Sub(notified(flip)),
		Error:       sample.Bracket.Upper.Sub(possible),
		Holds: !sample.Bracket.Upper.Before(flip.Before) &&
			!sample.Bracket.Lower.After(flip.After),
	}
}

// column collects one figure of every judgement.
func column(judged []Judged, of func(Judged) time.Duration) measure.Distribution {
	var all []time.Duration
	for _, one := range judged {
		all = append(all, of(one))
	}
	return measure.NewDistribution(all)
}

// Errors are the sizes of the errors.
func Errors(judged []Judged) measure.Distribution {
	return column(judged, func(j Judged) time.Duration { return j.Error.Abs() })
}

// Enforcements are the true times of enforcement.
func Enforcements(judged []Judged) measure.Distribution {
	return column(judged, func(j Judged) time.Duration { return j.Enforcement })
}

// Holding counts the brackets that contain their commit.
func Holding(judged []Judged) int {
	count := 0
	for _, one := range judged {
		if one.Holds {
			count++
		}
	}
	return count
}
