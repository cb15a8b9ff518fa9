// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"

	"github.com/netpol-latency/netpol-latency/lab/internal/engine"
)

// faultFlag collects the faults of a flag that may be repeated. It implements pflag.Value.
type faultFlag struct {
	to    *engine.Faults
	given []string
}

// Set implements pflag.Value.
func (f *faultFlag) Set(text string) error {
	f.given = append(f.given, text)
	faults, err := engine.ParseFaults(strings.Join(f.given, ","))
	if err != nil {
		return err
	}
	*f.to = faults
	return nil
}

// String implements pflag.Value; without faults it is empty, so that the help shows no default.
func (f *faultFlag) String() string { return strings.Join(f.given, ",") }

// Type implements pflag.Value.
func (*faultFlag) Type() string { return "faults" }
