// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/runner"
)

// printTasks writes the objects of the tasks as YAML, and creates nothing.
func printTasks(ctx context.Context, out io.Writer, cluster *kube.Cluster, tasks []task) error {
	servers, err := runner.APIServers(ctx, cluster, tasks[0].options)
	if err != nil {
		return err
	}

	for _, one := range tasks {
		preview, err := runner.Objects(one.options, one.scenario, cluster, servers)
		if err != nil {
			return err
		}
		if err := printObjects(out, "# "+one.scenario.Name+": before the trigger",
			preview.Before); err != nil {
			return err
		}
		if err := printObjects(out, "# "+one.scenario.Name+": the triggers",
			preview.Triggers); err != nil {
			return err
		}
		if err := printObjects(out, "# "+one.scenario.Name+": deleted by the triggers",
			preview.Deletions); err != nil {
			return err
		}
	}

	return nil
}

func printObjects(out io.Writer, title string, objects []runtime.Object) error {
	for _, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("encode an object: %w", err)
		}
		if _, err := fmt.Fprintf(out, "---\n%s\n%s", title, text); err != nil {
			return fmt.Errorf("print an object: %w", err)
		}
	}
	return nil
}
