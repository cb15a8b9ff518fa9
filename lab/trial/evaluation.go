// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// Evaluated is a measured sample beside what the policy engine did.
type Evaluated struct {
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
	// Holds says whether the client's bracket contains the commit, and Witnessed whether there is
	// one in it that the kernel announced.
	Holds, Witnessed bool
}

// evaluate puts every measured sample of one client beside what there is to know of the truth.
func (t Trial) evaluate(samples []measure.Sample, client string) ([]Evaluated, error) {
	var measured []measure.Sample
	for _, sample := range samples {
		if sample.Status == measure.Measured {
			measured = append(measured, sample)
		}
	}

	evaluated := make([]Evaluated, len(measured))
	for i, sample := range measured {
		evaluated[i].Sample = sample
	}
	if t.Truth != "" {
		var err error
		if evaluated, err = findCommits(measured, client, t.Truth); err != nil {
			return nil, err
		}
	}
	if t.Commits == "" {
		return evaluated, nil
	}

	commits, err := truth.ReadCommits(t.Commits)
	if err != nil {
		return nil, err
	}
	for i, sample := range measured {
		evaluated[i].Witnessed = truth.Witnessed(commits, sample.Bracket.Lower,
			sample.Bracket.Upper)
	}
	return evaluated, nil
}

// findCommits finds the commit of every measured sample of one client in the truth log.
func findCommits(measured []measure.Sample, client, path string) ([]Evaluated, error) {
	records, err := truth.Read(path)
	if err != nil {
		return nil, err
	}
	var pairs []truth.Pair
	for _, sample := range measured {
		pairs = append(pairs, truth.Pair{
			FromUID: client, ToUID: sample.Target.Pod.UID, To: sample.Target.Address.Addr(),
			Protocol: "TCP", Port: sample.Target.Address.Port(),
		})
	}

	var evaluated []Evaluated
	for i, flips := range truth.Flips(records, pairs...) {
		flip, err := lastAllowed(flips, measured[i].Ended)
		if err != nil {
			return nil, fmt.Errorf("evaluate pod %s: %w", measured[i].Target.Pod.Name, err)
		}
		evaluated = append(evaluated, compare(measured[i], flip))
	}

	return evaluated, nil
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

func compare(sample measure.Sample, flip truth.Flip) Evaluated {
	possible := flip.After
	if sample.Assigned.After(possible) {
		possible = sample.Assigned
	}
	return Evaluated{
		Sample: sample, Before: flip.Before, After: flip.After,
		Enforcement: flip.After.Sub(notified(flip)),
		Error:       sample.Bracket.Upper.Sub(possible),
		Holds: !sample.Bracket.Upper.Before(flip.Before) &&
			!sample.Bracket.Lower.After(flip.After),
	}
}

// column collects one statistic of every evaluated sample.
func column(evaluated []Evaluated, of func(Evaluated) time.Duration) measure.Distribution {
	var all []time.Duration
	for _, one := range evaluated {
		all = append(all, of(one))
	}
	return measure.NewDistribution(all)
}

// Errors are the sizes of the errors.
func Errors(evaluated []Evaluated) measure.Distribution {
	return column(evaluated, func(e Evaluated) time.Duration { return e.Error.Abs() })
}

// Enforcements are the true times of enforcement.
func Enforcements(evaluated []Evaluated) measure.Distribution {
	return column(evaluated, func(e Evaluated) time.Duration { return e.Enforcement })
}

// Holding counts the brackets that contain their commit, by the truth log.
func Holding(evaluated []Evaluated) int {
	return count(evaluated, func(e Evaluated) bool { return e.Holds })
}

// Witnessing counts the brackets that contain a commit which the kernel announced.
func Witnessing(evaluated []Evaluated) int {
	return count(evaluated, func(e Evaluated) bool { return e.Witnessed })
}

func count(evaluated []Evaluated, is func(Evaluated) bool) int {
	found := 0
	for _, one := range evaluated {
		if is(one) {
			found++
		}
	}
	return found
}
