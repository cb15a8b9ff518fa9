// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package setting

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTable holds every entry to what the loops over the table need.
func TestTable(t *testing.T) {
	names, keys := make(map[string]bool), make(map[string]bool)
	for _, f := range All() {
		if names[f.Name] || keys[f.Key()] {
			t.Errorf("%s is there twice", f.Name)
		}
		names[f.Name], keys[f.Key()] = true, true
		if f.Title == "" || f.Usage == "" || f.Expected() == "" {
			t.Errorf("%s has no title, no help or no words for its values: %+v", f.Name, f)
		}
		s := All().Defaults()
		if len(f.Choices) == 0 || f.Default != "" { // none is named by default
			if err := f.Parse(&s, f.Text(s)); err != nil {
				t.Errorf("the default of %s is wrong: %v", f.Name, err)
			}
		}
	}
	if err := All().Defaults().Validate(); err != nil {
		t.Errorf("the defaults exclude each other: %v", err)
	}
	if label := All().Label(All().Defaults()); label != "" {
		t.Errorf("the defaults have the label %q", label)
	}
}

// TestLabelTellsApart gives each setting that matters to a result, the timeout, the hold and the
// probe mode among them, several values: results with different ones must not be merged.
func TestLabelTellsApart(t *testing.T) {
	of := map[string][]string{
		"bool": {"false", "true"}, "int": {"1", "2", "3"}, "float64": {"0.25", "1", "2.5"},
		"string":        {"80", "81=web"},
		"time.Duration": {"1ms", "1500ms", "1m0s", "1m30s"},
	}
	for _, f := range All() {
		if f.Incidental {
			continue
		}
		values := f.Values()
		if len(values) == 0 {
			values = of[fmt.Sprintf("%T", f.Default)]
		}
		if len(values) < 2 {
			t.Errorf("%s: no values to try", f.Name)
		}
		labels := make(map[string]string)
		for _, value := range values {
			s := All().Defaults()
			if err := f.Parse(&s, value); err != nil {
				t.Fatal(err)
			}
			label := All().Label(s)
			if other, again := labels[label]; again {
				t.Errorf("%s %s and %s have one label, %q", f.Name, other, value, label)
			}
			labels[label] = value
		}
	}
}

func TestParseMistakes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"direction", "up", `direction "up": expected one of egress, ingress`},
		{"direction", "ingres", `; did you mean ingress?`},
		{"protocol", "udp", `protocol "udp": expected one of TCP, UDP, SCTP; did you mean UDP?`},
		{"protocol", "ICMP", `protocol "ICMP": expected one of TCP, UDP, SCTP`},
		{"family", "IPv5", `family "IPv5": expected one of IPv4, IPv6`},
		{"peer", "all", `peer "all": expected one of`},
		{"port", "any", `port "any": expected one of`},
		{"probe", "established",
			`probe "established": expected one of connect, http, udp, sctp, syn, auto`},
		{"targets", "0", `targets "0": expected a whole number from 1 to 10000`},
		{"targets", "10001", `targets "10001": expected a whole number from 1 to 10000`},
		{"confirm", "0", `confirm "0": expected a whole number`},
		{"tolerate-losses", "8", `tolerate-losses "8": expected a whole number from 0 to 7`},
		{"hold", "-1s", `hold "-1s": expected a duration of 0 or more`},
		{"hold", "5", `hold "5": expected a duration of 0 or more with a unit`},
		{"timeout", "0s", `timeout "0s": expected a duration of more than 0`},
		{"churn", "0", `churn "0": expected a number of more than 0`},
		{"churn", "Inf", `churn "Inf": expected a number`},
		{"max-probe-rate", "-1", `max-probe-rate "-1": expected a number of 0 or more`},
		{"background-qps", "NaN", `background-qps "NaN": expected a number`},
		{"baseline", "maybe", `baseline "maybe": expected true or false`},
	}
	for _, test := range tests {
		t.Run(test.name+"="+test.text, func(t *testing.T) {
			f, err := All().Find(test.name)
			if err != nil {
				t.Fatal(err)
			}
			s := All().Defaults()
			before := f.Value(s)
			err = f.Parse(&s, test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Parse() = %v; want %q", err, test.want)
			}
			if after := f.Value(s); after != before {
				t.Errorf("a wrong text made it %v", after)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Settings)
		want   string
	}{
		{"a mode of the protocol", func(s *Settings) { s.Probe, s.Protocol = ProbeUDP, UDP }, ""},
		{"the mode that suits", func(s *Settings) { s.Protocol = UDP }, ""},
		{"TCP for UDP", func(s *Settings) { s.Probe, s.Protocol = ProbeSYN, UDP }, "sends TCP"},
		{"UDP for TCP", func(s *Settings) { s.Probe = ProbeUDP }, "sends UDP"},
		{"SCTP", func(s *Settings) { s.Probe, s.Protocol = ProbeSCTP, SCTP }, ""},
		{"UDP for SCTP", func(s *Settings) { s.Probe, s.Protocol = ProbeUDP, SCTP },
			`sends UDP: expected protocol UDP with it, or mode sctp`},
		{"changes of nothing", func(s *Settings) {
			s.BackgroundRate = 1
		}, "expected --background-policies"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := All().Defaults()
			test.change(&s)
			err := s.Validate()
			if (err == nil) != (test.want == "") || err != nil &&
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("Validate() = %v; want %q", err, test.want)
			}
		})
	}
}

func TestLabel(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(*Settings)
	}{
		{"everything", "ingress, IPv6, UDP, ipBlock, port by range, same-node, 3 targets, 2 " +
			"agents, baseline, timeout 1m30s, confirm 5, hold 1s, max-probe-rate 1000, watch 2s, " +
			"clock exchange, churn 50, churn-duration 2m0s, 7 background policies, " +
			"background-qps 0.5", func(s *Settings) {
			*s = Settings{
				Direction: Ingress, Family: IPv6, Protocol: UDP, Peer: PeerBlock, Port: PortRange,
				Placement: PlaceSame,
				Targets:   3, Agents: 2, Baseline: true, Repeat: 9, Timeout: 90 * time.Second,
				SetupTimeout: time.Hour,
				Probe:        ProbeUDP, Confirm: 5, Hold: time.Second, ProbeRate: 1000,
				Watch: 2 * time.Second, CreateRate: 50,
				ChurnFor: 2 * time.Minute, BackgroundPolicies: 7, BackgroundRate: .5,
				Clock: ClockExchange,
			}
		}},
		{"the mode that suits", "", func(s *Settings) { s.Probe = ProbeConnect }},
		{"another mode", "probe http", func(s *Settings) { s.Probe = "http" }},
		{"the scenario's own mode", "", func(s *Settings) { s.Probe = ProbeEstablished }},
		{"how often, and how long for pods", "", func(s *Settings) {
			s.Repeat, s.SetupTimeout = 5, time.Hour
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := All().Defaults()
			test.change(&s)
			if got := All().Label(s); got != test.want {
				t.Errorf("Label() = %q; want %q", got, test.want)
			}
		})
	}
}

// TestRecord writes settings into JSON and reads them, those of a made-up entry of the table too.
func TestRecord(t *testing.T) {
	table := append(All(), Field{Name: "extra-hot", Title: "heat", Default: time.Duration(0)})
	s := table.Defaults()
	s.Timeout, s.Baseline = time.Second, true
	plain := s
	table[len(table)-1].With(&s, time.Minute)
	if got := table[len(table)-1].Value(plain); got != time.Duration(0) {
		t.Errorf("the copy that was made before is changed: %v", got)
	}

	content, err := json.Marshal(table.Record(s))
	if err != nil || !strings.Contains(string(content), `"extraHotNs":60000000000`) {
		t.Errorf("%v: the record is %s", err, content)
	}
	var read Record
	if err := json.Unmarshal(content, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, table.Recall(read), cmp.AllowUnexported(Settings{})); diff != "" {
		t.Errorf("settings (-written +read):\n%s", diff)
	}
}

// TestRecallEarlier reads what earlier versions have noted: no more than they knew, and baseline
// only if it was true.
func TestRecallEarlier(t *testing.T) {
	record := Record{"direction": []byte(`"ingress"`), "targets": []byte("7"),
		"timeoutNs": []byte("1000000000")}
	known := make(map[string]any)
	for _, f := range All() {
		if value, ok := f.Recall(record); ok {
			known[f.Name] = value
		}
	}
	want := map[string]any{"direction": "ingress", "targets": 7, "timeout": time.Second,
		"baseline": false}
	if diff := cmp.Diff(want, known); diff != "" {
		t.Errorf("what is known (-want +got):\n%s", diff)
	}
	if f, _ := All().Find("baseline"); f.RecallText(nil) != "" {
		t.Error("a run that noted no settings is known to be no baseline")
	}
}
