// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// prober is the running test client: its pod, and the process of it, which the lab runs on this
// machine.
type prober struct {
	trial   Trial
	pod     string
	process procfs.Proc
}

// prober finds the test client.
func (t Trial) prober(ctx context.Context) (prober, error) {
	pods, err := t.Client.CoreV1().Pods(t.ClientNamespace()).List(ctx,
		metav1.ListOptions{LabelSelector: "test=np-test-client"})
	if err != nil {
		return prober{}, fmt.Errorf("list the test clients: %w", err)
	}
	if len(pods.Items) != 1 {
		return prober{}, fmt.Errorf("find the test client: expected one, found %d", len(pods.Items))
	}
	p := prober{trial: t, pod: pods.Items[0].Name}
	p.process, err = processOf(p.pod)
	return p, err
}

// processOf is the process that runs as a pod's container: the one that has the pod's name as its
// host's.
func processOf(pod string) (procfs.Proc, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return procfs.Proc{}, fmt.Errorf("find the process of pod %s: %w", pod, err)
	}
	for _, process := range all {
		environment, err := process.Environ()
		if err == nil && slices.Contains(environment, "HOSTNAME="+pod) { // else it is gone by now
			return process, nil
		}
	}
	return procfs.Proc{}, fmt.Errorf("find the process of pod %s: no process of this machine is",
		pod)
}

// run lets the client go on.
func (p prober) run() error { return p.signal(unix.SIGCONT) }

// halt stops the client where it is, so that it neither probes nor computes anything.
func (p prober) halt() error { return p.signal(unix.SIGSTOP) }

func (p prober) signal(s unix.Signal) error {
	if err := unix.Kill(p.process.PID, s); err != nil {
		return fmt.Errorf("signal the test client: %w", os.NewSyscallError("kill", err))
	}
	return nil
}

// seconds is how much processor time the client has had.
func (p prober) seconds() (float64, error) {
	stat, err := p.process.Stat()
	if err != nil {
		return 0, fmt.Errorf("read the processor time of the test client: %w", err)
	}
	return stat.CPUTime(), nil
}

// probes is how many probes the client's metrics tell of. An agent has none: they are the
// connections that were opened from its pod.
func (p prober) probes(ctx context.Context) (float64, error) {
	if p.trial.Agent {
		network, err := p.process.Snmp()
		if err != nil {
			return 0, fmt.Errorf("count the connections of the agent: %w", err)
		}
		return *network.ActiveOpens, nil // every kernel counts them
	}

	text, err := p.trial.Client.CoreV1().Pods(p.trial.ClientNamespace()).
		ProxyGet("http", p.pod, "9160", "metrics", nil).DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("fetch the test client's metrics: %w", err)
	}

	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return 0, fmt.Errorf("read the test client's metrics: %w", err)
	}

	var sum float64
	for name, family := range families {
		if !strings.HasPrefix(name, "netpol_latency_probes") {
			continue
		}
		for _, metric := range family.Metric {
			sum += metric.GetCounter().GetValue()
		}
	}

	return sum, nil
}
