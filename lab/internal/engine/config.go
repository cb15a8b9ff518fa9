// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// Config is everything the engine of a node needs to know. It is written to a file as JSON by the
// process that starts the engine.
type Config struct {
	// Node is the name of the Node whose pods the engine guards.
	Node string `json:"node"`
	// Kubeconfig is the path of the engine's credentials.
	Kubeconfig string `json:"kubeconfig"`
	// PodCIDRs hold the addresses of all pods of the cluster. What comes from them or goes to them
	// is blocked until the engine knows the pod.
	PodCIDRs []netip.Prefix `json:"podCIDRs"`
	// TruthPath is the truth log, which engines of several nodes may share.
	TruthPath string `json:"truthPath"`
	// ControlSocket is the path of the Unix socket that serves the settings over HTTP.
	ControlSocket string `json:"controlSocket"`
	// Verdicts is how many new connections' packets a second the engine filters in user space; 0 is
	// for an engine that filters in the kernel.
	Verdicts int `json:"verdicts,omitempty"`
	// Settings are those at the start.
	Settings Settings `json:"settings"`
}

// MaxVerdicts is the greatest number of verdicts a second that an engine in user space can be
// given: more than one core can send to the kernel.
const MaxVerdicts = 1_000_000

// Validate reports every mistake of the configuration at once.
func (c Config) Validate() error {
	var mistakes []error
	required := func(name string, set bool) {
		if !set {
			mistakes = append(mistakes, fmt.Errorf("engine configuration: %s is missing", name))
		}
	}

	required("node", c.Node != "")
	required("kubeconfig", c.Kubeconfig != "")
	required("podCIDRs", len(c.PodCIDRs) > 0)
	required("truthPath", c.TruthPath != "")
	required("controlSocket", c.ControlSocket != "")
	if c.Verdicts < 0 || c.Verdicts > MaxVerdicts {
		mistakes = append(mistakes, fmt.Errorf("verdicts is %d; it must be between 1 and %d, or 0 "+
			"to filter in the kernel", c.Verdicts, MaxVerdicts))
	}

	return errors.Join(append(mistakes, c.Settings.Validate())...)
}

// Settings say how slowly and in which portions the engine enforces. The zero value is as fast as
// it can, and silent. They may change while the engine runs.
type Settings struct {
	// Delay is the time between the arrival of an event and its enforcement.
	Delay time.Duration
	// Jitter adds to each event's delay a time from [0, Jitter), every one equally likely. Events
	// of one object never overtake each other.
	Jitter time.Duration
	// Batch is how many operations (an address, a policy, a set, a guard) one transaction carries
	// out at most; 0 is no limit.
	Batch int
	// Gap is the time between the transactions of one event when there is more than one.
	Gap time.Duration
	// Reject is what happens to forbidden packets.
	Reject truth.Refusal
	// Faults are what the engine does wrong on purpose.
	Faults Faults
}

// Validate reports every mistake of the settings at once.
func (s Settings) Validate() error {
	var mistakes []error
	for name, d := range map[string]time.Duration{"delay": s.Delay, "jitter": s.Jitter,
		"gap": s.Gap} {
		if d < 0 {
			mistakes = append(mistakes, fmt.Errorf("%s is %v; it cannot be negative", name, d))
		}
	}

	if s.Batch < 0 {
		mistakes = append(mistakes, fmt.Errorf("batch is %d; give 0 for no limit, or a positive "+
			"number", s.Batch))
	}
	switch s.Reject {
	case truth.Drop, truth.Reset, truth.ICMP:
	default:
		mistakes = append(mistakes, fmt.Errorf("reject is %q; it must be %q, %q, or empty to "+
			"drop silently", s.Reject, truth.Reset, truth.ICMP))
	}

	return errors.Join(append(mistakes, s.Faults.Validate())...)
}

// settingsJSON is the form of Settings in JSON: durations as Go writes them, for example "300ms".
type settingsJSON struct {
	Delay  *string        `json:"delay"`
	Jitter *string        `json:"jitter"`
	Batch  *int           `json:"batch"`
	Gap    *string        `json:"gap"`
	Reject *truth.Refusal `json:"reject"`
	Faults *Faults        `json:"faults"`
}

// MarshalJSON implements json.Marshaler.
func (s Settings) MarshalJSON() ([]byte, error) {
	delay, jitter, gap := s.Delay.String(), s.Jitter.String(), s.Gap.String()
	return json.Marshal(settingsJSON{&delay, &jitter, &s.Batch, &gap, &s.Reject, &s.Faults})
}

// UnmarshalJSON implements json.Unmarshaler. Settings that the JSON does not name stay as they are.
func (s *Settings) UnmarshalJSON(data []byte) error {
	var raw settingsJSON
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	for _, d := range []struct {
		name string
		from *string
		to   *time.Duration
	}{{"delay", raw.Delay, &s.Delay}, {"jitter", raw.Jitter, &s.Jitter}, {"gap", raw.Gap, &s.Gap}} {
		if d.from == nil {
			continue
		}
		parsed, err := time.ParseDuration(*d.from)
		if err != nil {
			return fmt.Errorf("%s is %q; it must be a duration such as 300ms", d.name, *d.from)
		}
		*d.to = parsed
	}

	if raw.Batch != nil {
		s.Batch = *raw.Batch
	}
	if raw.Reject != nil {
		s.Reject = *raw.Reject
	}

	if raw.Faults != nil {
		s.Faults = *raw.Faults
	}
	return nil
}
