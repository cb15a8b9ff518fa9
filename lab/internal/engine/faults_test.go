// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"
	"time"
)

func TestParseFaults(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		text string
		want Faults
		said string // the same in full; empty if it is the text
	}{
		{"none", Faults{}, ""},
		{"", Faults{}, "none"},
		{"never=fault=never", Faults{Never: "fault=never"}, ""},
		{"never=!app", Faults{Never: "!app"}, ""},
		{"leak=200ms", Faults{Leak: 200 * ms}, ""},
		{"flap=50ms", Faults{Flap: Flap{50 * ms, DefaultFlapAfter}}, "flap=50ms@100ms"},
		{"flap=50ms@0s", Faults{Flap: Flap{50 * ms, 0}}, ""},
		{"gap=1.5s", Faults{Gap: 1500 * ms}, ""},
		{"ipv4-only,no-except", Faults{NoExcept: true, IPv4Only: true}, "no-except,ipv4-only"},
		{"gap=1ms,leak=2ms,never=a", Faults{Never: "a", Leak: 2 * ms, Gap: ms},
			"never=a,leak=2ms,gap=1ms"},
	} {
		got, err := ParseFaults(row.text)
		if err != nil || got != row.want {
			t.Errorf("%q is read as %+v, %v", row.text, got, err)
		}
		if row.said == "" {
			row.said = row.text
		}
		if got.String() != row.said || got.Validate() != nil {
			t.Errorf("%q is written as %q, %v", row.text, got, got.Validate())
		}
	}
}

// A mistake is one sentence that names the fault and lists those that there are.
func TestFaultMistakes(t *testing.T) {
	for text, mistake := range map[string]string{
		"leek=1s":         `fault "leek=1s" is unknown`,
		"leak":            `fault "leak" has no duration`,
		"leak=0s":         `fault "leak=0s" has no duration`,
		"gap=-1s":         `fault "gap=-1s" has no duration`,
		"flap=1s@":        `fault "flap=1s@" has no delay`,
		"flap=1s@-1s":     `fault "flap=1s@-1s" has no delay`,
		"flap=@1s":        `fault "flap=@1s" has no duration`,
		"never":           `fault "never" names no label`,
		"never=a b":       `fault "never=a b" is no label selector`,
		"no-except=true":  `fault "no-except=true" takes no value`,
		"ipv4-only=":      `fault "ipv4-only=" takes no value`,
		"leak=1s,leak=2s": `fault "leak=2s" is given twice`,
		"leak=1s,none":    `fault "none" goes with no other`,
		"never=a=b,c=d":   `fault "c=d" is unknown`,
		"leak=1s,":        `fault "" is unknown`,
	} {
		_, err := ParseFaults(text)
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		said := err.Error()
		if !strings.HasPrefix(said, mistake) || !strings.HasSuffix(said,
			": expected none, or some of "+FaultForms) {
			t.Errorf("%q: the message is %s", text, said)
		}
	}
	for _, f := range []Faults{{Leak: -1}, {Gap: -1}, {Flap: Flap{For: -1}}, {Never: "a,b"}} {
		if f.Validate() == nil {
			t.Errorf("%+v is valid", f)
		}
	}
}
