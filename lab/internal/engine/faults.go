// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// Faults are what the engine does wrong on purpose, so that a test can show that a measuring tool
// notices. The zero value is an engine without faults. The truth log stays true under all of them.
type Faults struct {
	// Never is a label selector with one requirement: policies about the pods that it selects stay
	// as they are when the engine first programs the pod, or when the fault is set. Empty: no pods.
	Never string
	// Leak is how long the policies that select a new pod are not enforced on it.
	Leak time.Duration
	// Flap takes a new verdict back for some time.
	Flap Flap
	// Gap is how long the update of a policy leaves the pods that it selects open.
	Gap time.Duration
	// NoExcept ignores the exceptions of ipBlocks.
	NoExcept bool
	// IPv4Only enforces no policy on the IPv6 addresses of pods.
	IPv4Only bool
}

// Flap says that each change of a policy or of labels is enforced, taken back After some time, and
// enforced again when it has been away For another. There is no flap if For is 0.
type Flap struct {
	For, After time.Duration
}

// DefaultFlapAfter is how long a verdict holds before it flaps, where the fault does not say.
const DefaultFlapAfter = 100 * time.Millisecond

// FaultForms are the faults as they are written.
const FaultForms = "never=SELECTOR, leak=DURATION, flap=DURATION[@DELAY], gap=DURATION, " +
	"no-except, ipv4-only"

// noFaults is how an engine without faults is written.
const noFaults = "none"

// ParseFaults reads faults that are written one after the other, with commas between them, or none.
func ParseFaults(text string) (Faults, error) {
	var f Faults
	if text == "" || text == noFaults {
		return f, nil
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, valued := strings.Cut(part, "=")
		err := f.read(name, value, valued)
		if err == nil && seen[name] {
			err = errors.New("is given twice")
		}
		if err != nil {
			return Faults{}, fmt.Errorf("fault %q %w: expected %s, or some of %s", part, err,
				noFaults, FaultForms)
		}
		seen[name] = true
	}

	return f, nil
}

// read takes up one fault. Its errors continue a sentence that begins with the fault.
func (f *Faults) read(name, value string, valued bool) (err error) {
	switch name {
	case "never":
		f.Never, err = readSelector(value)
	case "leak":
		f.Leak, err = readDuration(value)
	case "flap":
		f.Flap, err = readFlap(value)
	case "gap":
		f.Gap, err = readDuration(value)
	case "no-except":
		f.NoExcept, err = true, readNothing(valued)
	case "ipv4-only":
		f.IPv4Only, err = true, readNothing(valued)
	case noFaults:
		err = errors.New("goes with no other")
	default:
		err = errors.New("is unknown")
	}

	return err
}

func readNothing(valued bool) error {
	if valued {
		return errors.New("takes no value")
	}
	return nil
}

func readSelector(text string) (string, error) {
	if text == "" {
		return "", errors.New("names no label")
	}
	if _, err := labels.Parse(text); err != nil {
		return "", fmt.Errorf("is no label selector (%w)", err)
	}
	return text, nil
}

func readDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, errors.New("has no duration such as 200ms")
	}
	return d, nil
}

func readFlap(text string) (f Flap, err error) {
	duration, delay, delayed := strings.Cut(text, "@")
	if f.For, err = readDuration(duration); err != nil {
		return Flap{}, err
	}
	f.After = DefaultFlapAfter
	if delayed {
		f.After, err = time.ParseDuration(delay)
	}
	if err != nil || f.After < 0 {
		return Flap{}, errors.New("has no delay such as 100ms")
	}
	return f, nil
}

// String writes faults as ParseFaults reads them.
func (f Faults) String() string {
	var all []string
	write := func(is bool, format string, values ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, values...))
		}
	}

	write(f.Never != "", "never=%s", f.Never)
	write(f.Leak != 0, "leak=%v", f.Leak)
	write(f.Flap.For != 0, "flap=%v@%v", f.Flap.For, f.Flap.After)
	write(f.Gap != 0, "gap=%v", f.Gap)
	write(f.NoExcept, "no-except")
	write(f.IPv4Only, "ipv4-only")
	if len(all) == 0 {
		return noFaults
	}

	return strings.Join(all, ",")
}

// Validate reports the first fault that ParseFaults would not have read.
func (f Faults) Validate() error {
	_, err := ParseFaults(f.String())
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (f Faults) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Faults that the text does not name are
// cleared.
func (f *Faults) UnmarshalText(text []byte) error {
	parsed, err := ParseFaults(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

// never selects the pods of the fault Never.
func (f Faults) never() labels.Selector {
	selector, err := labels.Parse(f.Never)
	if f.Never == "" || err != nil { // Validate has reported the latter
		return labels.Nothing()
	}
	return selector
}
