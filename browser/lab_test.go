// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// labRuns are what the tests of real results read: it is measured once, by the first test that
// asks.
var labRuns = sync.OnceValues(measureInLab)

// scratch is where the runs and their reports are.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "netpol-latency-browser-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	stopBrowser()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// script measures in a lab with two nodes: a scenario of each kind with an engine that leaks when a
// pod starts, then one with an engine that never enforces a group of targets, and whose verdicts
// flap. The runs say by their exit codes that something is wrong, which is what they are for. At
// last one that does nothing wrong, and becomes slower.
const script = `
cd "$1"
netpol-latency run policy-creation policy-deny policy-update pod-startup established \
  --targets 8 --agents 2 --timeout 5s --target-image nginx -o leaking \
  --threshold 'policy-deny.p99<2s' --threshold 'pod-startup.leaks==0' || true
netpol-latency-lab set --fault 'never=netpol-latency/group=b,flap=60ms@80ms'
netpol-latency run policy-deny policy-update --targets 4 --agents 2 --timeout 2s --target-image nginx --direction ingress \
  -o partial || true
netpol-latency-lab set --fault none --jitter 0s
netpol-latency run policy-deny --targets 4 --repeat 5 --direction ingress -o earlier
netpol-latency-lab set --delay 100ms
netpol-latency run policy-deny --targets 4 --repeat 5 --direction ingress -o later
`

// labBinary is the lab's program, beside which is that of the command line.
func labBinary() (string, error) {
	lab := os.Getenv("NETPOL_LATENCY_LAB_BIN")
	if lab == "" {
		return "", errors.New("$NETPOL_LATENCY_LAB_BIN names no lab: expected the one that " +
			"\"make lab\" builds; \"make test-browser\" does both")
	}
	return lab, nil
}

func measureInLab() ([]string, error) {
	lab, err := labBinary()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(lab, "run", "--nodes", "2", "--delay", "60ms", "--jitter", "40ms",
		"--fault", "leak=2s", "--",
		"sh", "-ec", script, "sh", scratch)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(lab)+":"+os.Getenv("PATH"))
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("measure in a lab: %w:\n%s", err, output)
	}
	return []string{filepath.Join(scratch, "leaking"), filepath.Join(scratch, "partial")}, nil
}

// reportOfLab is a report of the lab's runs, made by the command, and what was measured.
func reportOfLab(t *testing.T) (file string, sources []report.Source) {
	t.Helper()
	runs, err := labRuns()
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		source, err := report.Open(run, setting.All())
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source)
	}
	file = filepath.Join(t.TempDir(), "report.html")
	command := filepath.Join(filepath.Dir(os.Getenv("NETPOL_LATENCY_LAB_BIN")), "netpol-latency")
	output, err := exec.Command(command, append([]string{"report", "--format", "html", "-o", file},
		runs...)...).CombinedOutput()
	if err != nil || len(output) > 0 {
		t.Fatalf("netpol-latency report %s: %v: %s", strings.Join(runs, " "), err, output)
	}
	return file, sources
}
