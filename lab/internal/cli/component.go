// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/netpol-latency/netpol-latency/lab/internal/controlplane"
	"github.com/netpol-latency/netpol-latency/lab/internal/engine"
	"github.com/netpol-latency/netpol-latency/lab/internal/external"
	"github.com/netpol-latency/netpol-latency/lab/internal/node"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

// newInner is process 1 of a lab. Only the supervisor starts it.
func newInner() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use: "inner", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return supervisor.RunInner(config) },
	}
	cmd.Flags().StringVar(&config, "config", "", "the lab's options")
	return cmd
}

// newComponent holds the programs of the components. Only the supervisor starts them.
func newComponent() *cobra.Command {
	cmd := &cobra.Command{Use: supervisor.ComponentProcess, Hidden: true}
	var data string
	etcd := &cobra.Command{
		Use: "etcd", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return controlplane.RunEtcd(cmd.Context(), data)
		},
	}
	etcd.Flags().StringVar(&data, "data", "", "data directory")
	cmd.AddCommand(etcd, configured("node", node.Run), configured("engine", engine.Run),
		configured("external-engine", func(_ context.Context, config external.Config) error {
			return external.Run(config)
		}))
	return cmd
}

// configured is a component that takes its configuration as a file of JSON.
func configured[C any](name string, run func(context.Context, C) error) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: name, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			content, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read the configuration: %w", err)
			}
			var config C
			if err := json.Unmarshal(content, &config); err != nil {
				return fmt.Errorf("read the configuration: %w", err)
			}
			return run(cmd.Context(), config)
		},
	}

	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	return cmd
}

// kubernetes returns the command of a Kubernetes component, nil for every other name. These
// commands bring flags, help and signal handling of their own, so they do not mix with the lab's.
func kubernetes(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return withNamespaces(controllermanager.NewControllerManagerCommand())
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	}
	return nil
}

// withNamespaces is a kube-controller-manager that removes namespaces as [controlplane] does.
func withNamespaces(manager *cobra.Command) *cobra.Command {
	run := manager.RunE
	manager.RunE = func(cmd *cobra.Command, args []string) error {
		kubeconfig, err := cmd.Flags().GetString("kubeconfig")
		if err != nil {
			return err
		}

		// Both go on until the process ends, or one of them fails.
		ended := make(chan error, 2)
		go func() { ended <- controlplane.RemoveNamespaces(context.Background(), kubeconfig) }()
		go func() { ended <- run(cmd, args) }()
		return <-ended
	}
	return manager
}
