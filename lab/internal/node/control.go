// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/lab/internal/socket"
)

// Actions are what can be done to a node while it runs.
var Actions = []string{"not-ready", "ready", "rotate-logs"}

// serveControl takes actions on a socket, as POST /ACTION, until ctx ends.
func (a *agent) serveControl(ctx context.Context) error {
	listener, err := socket.Listen(a.cfg.ControlSocket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{action}", func(w http.ResponseWriter, r *http.Request) {
		socket.Answer(w, a.act(r.Context(), r.PathValue("action")))
	})
	return socket.Serve(ctx, listener, time.Second, mux)
}

func (a *agent) act(ctx context.Context, action string) error {
	switch action {
	case "not-ready":
		return a.setReady(ctx, false)
	case "ready":
		return a.setReady(ctx, true)
	case "rotate-logs":
		return a.rotateLogs(0)
	}
	return fmt.Errorf("unknown action %q: expected one of %s", action, strings.Join(Actions, ", "))
}

// setReady is how a kubelet loses its container runtime, and finds it again: it says so, can read
// no log, and what runs on the node runs on.
func (a *agent) setReady(ctx context.Context, ready bool) error {
	a.mu.Lock()
	var pods []*pod
	for _, p := range a.byUID {
		pods = append(pods, p)
	}
	switch {
	case !ready && a.notReady.Err() == nil:
		a.setNotReady()
	case ready && a.notReady.Err() != nil:
		a.notReady, a.setNotReady = context.WithCancel(context.Background())
	}
	a.mu.Unlock()

	if err := a.register(ctx); err != nil {
		return fmt.Errorf("tell the API server: %w", err)
	}
	for _, p := range pods {
		p.publish() // the controller has told of them what it made of the node
	}
	return nil
}

// whileReady is a context that ends with the node's being ready.
func (a *agent) whileReady() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.notReady
}

// register brings the Node object up to date.
func (a *agent) register(ctx context.Context) error {
	status := condition(v1.NodeReady, v1.ConditionTrue, "KubeletReady",
		"the node agent is running", time.Now())
	if a.whileReady().Err() != nil {
		status = condition(v1.NodeReady, v1.ConditionFalse, "KubeletNotReady", runtimeDown,
			time.Now())
	}
	return registerOnce(ctx, a.client, a.cfg, status)
}

// runtimeDown is what a node that is not ready says.
const runtimeDown = "container runtime is down"

// rotateEvery is how often a kubelet looks for logs that have become too long
// (https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/,
// containerLogMonitorInterval).
const rotateEvery = 10 * time.Second

// keepLogsShort rotates logs of more than the configured size until ctx ends.
func (a *agent) keepLogsShort(ctx context.Context) error {
	if a.cfg.LogSize == 0 {
		return nil
	}
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := a.rotateLogs(a.cfg.LogSize); err != nil {
				klog.ErrorS(err, "Rotating logs")
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// rotateLogs rotates the logs of running containers that are longer than so many bytes.
func (a *agent) rotateLogs(size int64) error {
	a.mu.Lock()
	var logs []*logWriter
	for _, p := range a.byUID {
		logs = append(logs, p.logs()...)
	}
	a.mu.Unlock()

	var mistakes []error
	for _, one := range logs {
		mistakes = append(mistakes, one.rotate(size))
	}
	return errors.Join(mistakes...)
}

// logs are what the pod's running containers write to.
func (p *pod) logs() []*logWriter {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*logWriter
	for _, list := range [][]*container{p.init, p.main} {
		for _, c := range list {
			if c.live != nil && c.logs != nil {
				all = append(all, c.logs)
			}
		}
	}
	return all
}
