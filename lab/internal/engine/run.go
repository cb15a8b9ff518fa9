// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine is the lab's reference policy engine: NetworkPolicy v1 on nftables, with a log of
// what it did and when.
//
//	watch -> event -> queue -> cluster -> operations -> transaction -> kernel, truth log
//
// A feed stamps an event when its watch delivers it; the queue holds it until its delay is over;
// the cluster records it and plans operations (truth.Op), each of which leaves the kernel in a sane
// state; transactions carry them out. Faults change which events the cluster gets or what it plans
// for, and nothing after that: the truth log shows their effect, because the state that it
// describes is that of the kernel.
package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netpol-latency/netpol-latency/lab/internal/socket"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// gcPercent is the process's garbage collection target. The engine's heap is small; with Go's
// default a large change would be collected several times on its way to the kernel.
const gcPercent = 400

// Run enforces policy in the network namespace of the calling thread until ctx ends. What it has
// put into the kernel stays there: the next engine takes over without a gap.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	client, err := newClient(cfg.Kubeconfig)
	if err != nil {
		return err
	}

	debug.SetGCPercent(gcPercent)
	kernel, err := openKernel()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kernel.close()) }()

	if cfg.Verdicts > 0 {
		if err := kernel.openQueue(); err != nil {
			return err
		}
	}
	log, err := truth.OpenWriter(cfg.TruthPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	listener, err := socket.Listen(cfg.ControlSocket)
	if err != nil {
		return err
	}
	e := newEngine(cfg, client, kernel, log)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return socket.Serve(ctx, listener, time.Second, e.handler()) })
	group.Go(func() error { return e.run(ctx) })
	if kernel.queue != nil {
		group.Go(func() error { return kernel.queue.Run(ctx, cfg.Verdicts) })
	}
	return group.Wait()
}

// newClient speaks protobuf and has no rate limit of its own: it watches, and does nothing else.
func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the engine's kubeconfig: %w", err)
	}
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	rest.AddUserAgent(config, "reference-engine")
	return kubernetes.NewForConfig(config)
}
