// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"

	"github.com/netpol-latency/netpol-latency/lab/internal/controlplane"
	"github.com/netpol-latency/netpol-latency/lab/internal/external"
	"github.com/netpol-latency/netpol-latency/lab/internal/topology"
)

// checkExternalEngine says what the machine lacks of what the engine needs.
func (l *inner) checkExternalEngine() error {
	if !l.options.externalEngine() {
		return nil
	}
	engine, err := external.Find(l.options.Engine)
	if err != nil {
		return err
	}
	return engine.Check()
}

// startExternalEngines starts the engine of each node and waits until it enforces. The nodes are
// registered by now, which engines want, and no pod is there yet.
func (l *inner) startExternalEngines(ctx context.Context, client kubernetes.Interface) error {
	dir := l.options.Dir
	engine, err := external.Find(l.options.Engine)
	if err != nil {
		return err
	}
	if err := controlplane.WriteServiceAccount(ctx, client, dir); err != nil {
		return err
	}

	if version := engine.Version(); version != "" {
		if err := controlplane.AnnounceEngine(ctx, client, engine.Name, version); err != nil {
			return err
		}
	}

	for _, n := range l.options.nodes() {
		if err := writeJSON(dir.Config(n.Engine()), l.externalConfig(n)); err != nil {
			return err
		}
		if err := l.launch(n.Engine(), l.namespaces[n.Name], "external-engine", "--config",
			dir.Config(n.Engine())); err != nil {
			return err
		}
	}
	for _, n := range l.options.nodes() {
		err := poll(ctx, func(context.Context) error {
			return l.namespaces[n.Name].Do(engine.Ready)
		})
		if err != nil {
			return fmt.Errorf("wait for %s: see %s: %w", n.Engine(), dir.Log(n.Engine()), err)
		}
	}

	return nil
}

func (l *inner) externalConfig(n topology.Node) external.Config {
	family := l.options.Family
	return external.Config{
		Engine: l.options.Engine, Node: n.Name, NodeIPs: n.IPs(), PodCIDRs: n.PodCIDRs,
		ClusterCIDRs: family.Pods(), ServiceCIDRs: family.ServiceCIDRs(),
		Kubeconfig:     l.options.Dir.Config("admin.kubeconfig"),
		ServiceAccount: l.options.Dir.ServiceAccount(),
		APIServer:      family.APIServer(),
	}
}
