// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/probe"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
	tcpprobe "k8s.io/kubernetes/pkg/probe/tcp"
)

// probe runs the container's probes against w until ctx ends. It closes unhealthy when the startup
// or the liveness probe has failed for good.
func (c *container) probe(ctx context.Context, w workload, unhealthy chan<- struct{}) {
	if p := c.spec.StartupProbe; p != nil {
		up := false
		c.observe(ctx, w, p, "Startup", func(ok bool) (more bool) {
			up = ok
			return false
		})

		if ctx.Err() != nil {
			return
		}
		if !up {
			close(unhealthy)
			return
		}
		c.setStarted()
	}

	var both sync.WaitGroup
	if p := c.spec.ReadinessProbe; p != nil {
		both.Go(func() {
			c.observe(ctx, w, p, "Readiness", func(ok bool) (more bool) {
				c.setReady(ok)
				return true
			})
		})
	}

	if p := c.spec.LivenessProbe; p != nil {
		both.Go(func() {
			c.observe(ctx, w, p, "Liveness", func(ok bool) (more bool) {
				if !ok {
					close(unhealthy)
				}
				return ok
			})
		})
	}
	both.Wait()
}

// observe probes once a period and reports each result that its threshold has confirmed, until
// report wants no more or ctx ends.
func (c *container) observe(
	ctx context.Context, w workload, p *v1.Probe, kind string, report func(ok bool) (more bool),
) {
	wait := time.NewTimer(time.Duration(p.InitialDelaySeconds) * time.Second)
	defer wait.Stop()

	confirm := threshold{success: int(max(p.SuccessThreshold, 1)),
		failure: int(max(p.FailureThreshold, 1))}
	for {
		select {
		case <-wait.C:
		case <-ctx.Done():
			return
		}

		wait.Reset(time.Duration(max(p.PeriodSeconds, 1)) * time.Second)
		err := c.probeOnce(ctx, w, p)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			klog.V(2).InfoS("Probe failed", "kind", kind, "pod", c.pod.name, "container",
				c.spec.Name, "reason", err)
		}
		if confirm.add(err == nil) && !report(err == nil) {
			return
		}
	}
}

// threshold says when enough equal results have come in a row.
type threshold struct {
	success, failure int

	last bool
	run  int
}

// add takes a result and reports whether it is confirmed.
func (t *threshold) add(ok bool) bool {
	if ok != t.last {
		t.run = 0
	}
	t.last = ok
	t.run++
	if ok {
		return t.run >= t.success
	}
	return t.run >= t.failure
}

// probeOnce returns why the probe failed. Network probes leave from the node's namespace, as a
// kubelet's do.
func (c *container) probeOnce(ctx context.Context, w workload, p *v1.Probe) error {
	timeout := time.Duration(max(p.TimeoutSeconds, 1)) * time.Second
	host := c.pod.addresses()[0].String()
	switch {
	case p.HTTPGet != nil:
		request, err := httpprobe.NewRequestForHTTPGetAction(p.HTTPGet, c.spec, host, "probe")
		if err != nil {
			return err
		}
		return verdict(c.pod.agent.httpProber.Probe(request, timeout))
	case p.TCPSocket != nil:
		port, err := probe.ResolveContainerPort(p.TCPSocket.Port, c.spec)
		if err != nil {
			return err
		}
		return verdict(tcpprobe.New().Probe(nameOr(p.TCPSocket.Host, host), port, timeout))
	case p.Exec != nil:
		running, ok := w.(*process)
		if !ok {
			return errors.New("the built-in server has no file system to execute a command in; " +
				"use an httpGet or a tcpSocket probe")
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return running.exec(ctx, p.Exec.Command)
	}

	return errors.New("the lab supports httpGet, tcpSocket and exec probes, and this is none of " +
		"them")
}

func verdict(result probe.Result, output string, err error) error {
	if err == nil && result != probe.Success && result != probe.Warning {
		err = fmt.Errorf("%s: %s", result, output)
	}
	return err
}
