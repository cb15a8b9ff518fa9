// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

func TestParseFlags(t *testing.T) {
	full := DefaultConfig()
	full.ClientNamespace, full.TargetNamespace, full.TargetSelector = "default", "test-policy",
		"app=web"
	full.TargetPort, full.AllowPolicyName = 80, "allow"
	tests := []struct {
		name string
		args []string
		edit func(*Config)
	}{
		{
			name: "the original's spellings, one dash, as ClusterLoader2 passes them",
			args: []string{
				"-HostNamespace=default", "-TargetLabelSelector=app=web",
				"-TargetNamespace=test-policy",
				"-TargetPort=80", "-MaxTargets=10", "-MetricsPort=9160", "-AllowPolicyName=allow",
			},
			edit: func(c *Config) { c.MaxTargets, c.MetricsPort = 10, 9160 },
		},
		{
			name: "the documented spellings",
			args: []string{
				"--testClientNamespace=default", "--targetLabelSelector=app=web",
				"--targetNamespace=test-policy",
				"--targetPort=80", "--maxTargets=10", "--metricsPort=9160",
				"--allowPolicyName=allow",
			},
			edit: func(c *Config) { c.MaxTargets, c.MetricsPort = 10, 9160 },
		},
		{
			name: "kebab case, values as arguments of their own, and our own flags",
			args: []string{
				"--host-namespace", "default", "--target-label-selector", "app=web",
				"--target-namespace",
				"test-policy", "--target-port", "80", "--allow-policy-name", "allow",
				"--exit-when-done",
				"--target-timeout=1m", "--probe-interval=5ms", "--probe-timeout=250ms",
				"--success=connect",
				"--max-probe-rate=100",
			},
			edit: func(c *Config) {
				c.ExitWhenDone, c.TargetTimeout, c.ProbeInterval = true, time.Minute,
					5*time.Millisecond
				c.ProbeTimeout, c.Probe, c.MaxProbeRate = 250*time.Millisecond, probe.Connect, 100
			},
		},
		{
			name: "a selector with spaces",
			args: []string{
				"-HostNamespace=default", "-TargetLabelSelector= net-pol-test = x ",
				"-TargetNamespace=test-policy", "-TargetPort=80", "-AllowPolicyName=allow",
			},
			edit: func(c *Config) { c.TargetSelector = "net-pol-test = x" },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := full
			test.edit(&want)
			got, err := ParseFlags(PolicyCreation(), test.args)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ParseFlags() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseFlagsReportsEveryMistakeAtOnce(t *testing.T) {
	_, err := ParseFlags(PolicyCreation(), []string{
		"-TargetPort=http", "-nonsense=1", "stray", "-TargetLabelSelector=a=b=c",
		"--probe-timeout=2s",
		"--success=luck", "-MaxTargets=0", "--expected-targets=-1", "--probe=ping", "--confirm=0",
		"--tolerate-losses=9", "--relative-resolution=2",
	})
	if err == nil {
		t.Fatal("ParseFlags() = nil")
	}
	for _, want := range []string{
		"expected a whole number", "unknown flag -nonsense", `unexpected argument "stray"`,
		"-HostNamespace is missing", "-TargetNamespace is missing", "-AllowPolicyName is missing",
		"is not a label selector", "--probe-timeout 2s is out of range",
		`expected "response" or "connect"`, "expected one of auto, connect",
		"--confirm 0 is out of range", "--tolerate-losses 9 is out of range",
		"--relative-resolution 2 is out of range", "--MaxTargets 0",
		"--expected-targets -1 is out of range",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message lacks %q:\n%s", want, err)
		}
	}
}

func TestMainHelpAndUsage(t *testing.T) {
	for _, scenario := range []Scenario{PodCreation(), PolicyCreation()} {
		var stdout, stderr bytes.Buffer
		if code := Main(scenario, "", []string{"--help"}, &stdout, &stderr); code != ExitOK {
			t.Errorf("%s --help exits with %d; want %d", scenario.Program, code, ExitOK)
		}
		for line := range strings.Lines(stdout.String()) {
			if len(line) > 101 {
				t.Errorf("%s --help has a line of %d columns: %s", scenario.Program, len(line)-1,
					line)
			}
		}
		if !strings.Contains(stdout.String(), "Example:") || stderr.Len() > 0 {
			t.Errorf("%s --help prints no example, or prints to stderr:\n%s", scenario.Program,
				stdout.String())
		}
		if code := Main(scenario, "", nil, &stdout, &stderr); code != ExitFailure {
			t.Errorf("%s without flags exits with %d; want %d", scenario.Program, code, ExitFailure)
		}
		if !strings.Contains(stderr.String(), "--help") {
			t.Errorf("the usage error names no help:\n%s", stderr.String())
		}
	}
}

func TestMainVersion(t *testing.T) {
	for _, args := range [][]string{{"-version"}, {"--version"},
		{"-MaxTargets=0", "-version=true"}} {
		var stdout, stderr bytes.Buffer
		if code := Main(PodCreation(), "v1.2.3", args, &stdout, &stderr); code != ExitOK {
			t.Errorf("%q exits with %d; want %d: %s", args, code, ExitOK, &stderr)
		}
		want := "pod-creation-reachability-latency v1.2.3\n  commit "
		if !strings.HasPrefix(stdout.String(), want) {
			t.Errorf("%q prints %q; want it to begin with %q", args, stdout.String(), want)
		}
	}
}

func FuzzParseFlags(f *testing.F) {
	f.Add("-HostNamespace=a -TargetPort=80 -TargetLabelSelector=x -TargetNamespace b")
	f.Add("--probe-timeout=0.5s stray -h")
	f.Add("-- - --= -=x")
	f.Fuzz(func(t *testing.T, line string) {
		config, err := ParseFlags(PodCreation(), strings.Fields(line))
		if err == nil {
			if wrong := config.Validate(PodCreation()); wrong != nil {
				t.Errorf("%q was taken, but is invalid: %v", line, wrong)
			}
		} else if err.Error() == "" {
			t.Errorf("%q was refused without a reason", line)
		}
	})
}

func FuzzSelector(f *testing.F) {
	f.Add("app=web")
	f.Add(" net-pol-test = x ")
	f.Add("a in (b,c),!d")
	f.Fuzz(func(t *testing.T, selector string) {
		config, err := ParseFlags(PodCreation(), []string{
			"-HostNamespace=a", "-TargetNamespace=b", "-TargetPort=80", "-TargetLabelSelector=" +
				selector,
		})
		if err == nil && strings.TrimSpace(config.TargetSelector) == "" {
			t.Errorf("selector %q was taken: it would select every pod", selector)
		}
	})
}
