// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/overlay"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/manifests"
)

// manifestsOptions are the flags of the command.
type manifestsOptions struct {
	values     manifests.Values
	pods       *settingFlags
	apiServers []string
	access     accessFlags
}

func newManifests() *cobra.Command {
	options := manifestsOptions{
		values: manifests.DefaultValues(""), pods: newSettingFlags(setting.Pods()),
	}
	cmd := &cobra.Command{
		Use:   "manifests pod-creation|policy-creation",
		Short: "Print the objects of a test, ready to apply",
		Long: "Print the objects of a test: permissions, policies, test client and targets. The " +
			"addresses of\n" +
			"the API server, which the client must reach under the policies, are read from the " +
			"cluster.\n\n" +
			"A test has two steps. Apply \"setup\", wait until the Deployments are up, then " +
			"apply \"trigger\":\n" +
			"the target pods of pod-creation, the allowing policy of policy-creation. \"all\" " +
			"prints both, for\n" +
			"removing a test.",
		Example: "  netpol-latency manifests policy-creation | kubectl apply -f -\n" +
			"  kubectl rollout status deployment/policy-creation-test-client\n" +
			"  netpol-latency manifests policy-creation --step trigger | kubectl apply -f -\n" +
			"  netpol-latency summary --wait\n" +
			"  netpol-latency manifests policy-creation --step all | kubectl delete -f -",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("got %d tests: expected one, pod-creation or policy-creation",
					len(args))
			}
			return nil
		},
		ValidArgsFunction: testNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return options.run(cmd, args[0])
		},
	}

	options.flags(cmd)
	options.pods.offer(cmd)
	offer(cmd, "step", cobra.CompletionWithDesc(string(manifests.Setup),
		"what must be in place before the trigger"),
		cobra.CompletionWithDesc(string(manifests.Trigger), "the change whose effect is measured"),
		cobra.CompletionWithDesc(string(manifests.All), "both, for removing a test"))
	options.access.add(cmd)
	offerFunc(cmd, "namespace", namespaces(&options.access.Access))
	offerFunc(cmd, "target-namespace", namespaces(&options.access.Access))
	return cmd
}

func (o *manifestsOptions) flags(cmd *cobra.Command) {
	f, v := cmd.Flags(), &o.values
	f.StringVar((*string)(&v.Step), "step", string(v.Step),
		"objects to print: setup, trigger or all")
	f.StringVar(&v.Namespace, "namespace", v.Namespace, "namespace of the test client")
	f.StringVar(&v.TargetNamespace, "target-namespace", v.TargetNamespace,
		"namespace of the target pods; one that is not\nthe test's own must exist already")
	f.StringVar(&v.ClientImage, "image", "", "image of the test client (default: the test's own)")
	f.StringVar(&v.TargetImage, "target-image", v.TargetImage,
		"image of the targets, an HTTP server\n")
	f.IntVar(&v.TargetPort, "target-port", v.TargetPort, "port that the target image serves")
	f.IntVar(&v.Targets, "targets", v.Targets, "number of target pods")
	f.IntVar(&v.Clients, "clients", v.Clients, "number of test client pods")
	f.StringSliceVar(&v.ClientArgs, "client-arg", nil,
		"further argument of the test client (repeatable)")
	f.BoolVar(&v.NetRaw, "net-raw", false, "let the test client use --probe=syn or auto: it runs "+
		"as root with\nthe capability NET_RAW alone")
	f.BoolVar(&v.PodMonitor, "pod-monitor", false, "add a PodMonitor for a Prometheus operator")
	f.StringToStringVar(&v.MonitorLabels, "monitor-label", nil,
		"label of the PodMonitor, `KEY=VALUE`, that the operator\nselects by, for example "+
			"release=kube-prometheus-stack\n(repeatable)")
	f.Lookup("monitor-label").DefValue = "" // none
	f.StringSliceVar(&o.apiServers, "api-server", nil,
		"address:port of the API server (repeatable;\ndefault: asked of the cluster)")
	o.pods.add(f)
}

func (o *manifestsOptions) run(cmd *cobra.Command, test string) error {
	settings, err := o.pods.finish(cmd.Flags())
	err = errors.Join(err, refuseEmpty(cmd.Flags(), "namespace", "target-namespace", "image"))
	if err == nil {
		err = readFiles(o.pods.table, &settings)
	}
	if err != nil {
		return err
	}
	over, err := overlay.Of(settings)
	if err != nil {
		return err
	}

	values := o.values
	values.Scenario = test
	values.APIServers = nil // the chart's, which are not of any cluster
	for _, text := range o.apiServers {
		address, err := netip.ParseAddrPort(text)
		if err != nil {
			return fmt.Errorf("--api-server %q: expected an address and a port, for example "+
				"10.0.0.2:443 or [fd00::2]:443", text)
		}
		values.APIServers = append(values.APIServers, manifests.EndpointOf(address))
	}

	if len(values.APIServers) == 0 {
		client, err := o.access.client()
		if err != nil {
			return err
		}
		addresses, err := kube.APIServers(cmd.Context(), client)
		if err != nil {
			return fmt.Errorf("%w; --api-server says where it is, without asking", err)
		}
		cilium := scenario.CiliumPolicies().GroupVersion().String()
		_, err = client.Discovery().ServerResourcesForGroupVersion(cilium)
		values.Cilium = err == nil
		for _, address := range addresses {
			values.APIServers = append(values.APIServers, manifests.EndpointOf(address))
		}
	}

	return renderOver(cmd.OutOrStdout(), values, over)
}

// renderOver writes the objects as the templates have them, or with what is laid over them.
func renderOver(out io.Writer, values manifests.Values, over overlay.Overlay) error {
	if over.Empty() {
		return manifests.Render(out, values)
	}
	var plain bytes.Buffer
	if err := manifests.Render(&plain, values); err != nil {
		return err
	}

	objects, err := decodeObjects(plain.Bytes())
	if err != nil {
		return fmt.Errorf("read the manifests: %w", err)
	}
	for _, one := range objects {
		object, err := typed(one)
		if err == nil {
			err = over.Apply(object)
		}
		if err == nil {
			err = printObjects(out, "# "+one.GetKind()+" "+one.GetName(), []runtime.Object{object})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// typed is an object that has pods, or a namespace, as what it is, and another as it was.
func typed(one *object) (runtime.Object, error) {
	known, ok := map[string]runtime.Object{
		"Namespace": &corev1.Namespace{}, "Deployment": &appsv1.Deployment{},
	}[one.GetKind()]
	if !ok {
		return one, nil
	}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(one.Object, known)
	if err != nil {
		return nil, fmt.Errorf("read the manifests: %w", err)
	}
	return known, nil
}
