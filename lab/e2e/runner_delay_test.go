// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

// expectRoundTrip makes sure that what uses the lab's kubeconfig on the host is as far from the API
// server as that, with certificates that verify as ever, and that what runs on a node is near.
func expectRoundTrip(t *testing.T, lab *labtest.Lab, roundTrip time.Duration) {
	t.Helper()
	host := gets(t, lab.Client)
	t.Logf("GETs from the host take %v, at a round trip of %v", host, roundTrip)
	for _, took := range host {
		if took < roundTrip {
			t.Errorf("a GET from the host took %v; want at least the round trip, %v", took,
				roundTrip)
		}
	}
	// The fastest of several: this machine's own delays do not hit all of them.
	if fastest := slices.Min(host); fastest > 2*roundTrip {
		t.Errorf("no GET from the host took less than %v; want little more than the round trip, %v",
			fastest, roundTrip)
	}

	node := gets(t, clientOnNode(t, lab))
	t.Logf("GETs from the node take %v", node)
	if fastest := slices.Min(node); fastest >= roundTrip {
		t.Errorf("no GET from the node took less than %v; want no delay of %v", fastest, roundTrip)
	}
}

// gets measures some requests on a connection that is open.
func gets(t *testing.T, client kubernetes.Interface) []time.Duration {
	t.Helper()
	get := func() time.Duration {
		began := time.Now()
		must(t, client.Discovery().RESTClient().Get().AbsPath("/version").Do(t.Context()).Error())
		return time.Since(began)
	}
	get() // opens it

	took := make([]time.Duration, 10)
	for i := range took {
		took[i] = get()
	}
	return took
}

// clientOnNode is a client whose connections begin in the node's namespace, as those of pods do.
func clientOnNode(t *testing.T, lab *labtest.Lab) kubernetes.Interface {
	t.Helper()
	described, err := supervisor.Load(layout.Dir(lab.Dir))
	must(t, err)
	node, err := netns.Open(described.Nodes["node-0"])
	must(t, err)
	t.Cleanup(func() { must(t, node.Close()) })

	config, err := clientcmd.BuildConfigFromFlags("",
		layout.Dir(lab.Dir).Config("admin.kubeconfig"))
	must(t, err)
	config.Dial = func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = node.Do(func() error {
			c, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
		return c, err
	}
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}
