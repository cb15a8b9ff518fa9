// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// newTestKernel is a table in a namespace of its own.
func newTestKernel(t testing.TB) *kernel {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v (this test needs root, for example `unshare -rn`)",
			err)
	}
	t.Cleanup(func() { _ = ns.Close() }) // nothing uses it any more
	return kernelIn(t, ns)
}

func kernelIn(t testing.TB, ns *netns.Namespace) *kernel {
	t.Helper()
	var k *kernel
	err := ns.Do(func() (err error) {
		k, err = openKernel()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.close() }) // every commit was acknowledged
	return k
}

// crowd is a cluster of n pods with two addresses each, all in namespace default with label
// app=web.
func crowd(n int) *cluster {
	c := newCluster("node-0")
	c.putNamespace("default", labels.Set{"kubernetes.io/metadata.name": "default"})
	for i := range n {
		c.putPod(crowdPod(i))
	}
	return c
}

func crowdPod(i int) podFacts {
	return podFacts{
		NamespacedName: types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("pod-%d", i)},
		UID:            types.UID(fmt.Sprintf("uid-%d", i)), Node: "node-0",
		Labels: labels.Set{"app": "web", "pod": fmt.Sprint(i)},
		Addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}),
			netip.MustParseAddr(fmt.Sprintf("fd00:10:244::%x", i+1)),
		},
		Ports: []namedPort{{portID("TCP", "http"), 80}},
	}
}

// allowFrom is a policy that selects app=web and allows one pod.
func allowFrom(name string, client int) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{
					MatchLabels: map[string]string{"pod": fmt.Sprint(client)},
				}}},
			}},
		},
	}
}

// background is a policy that selects no pod of the crowd.
func background(i int) *networkingv1.NetworkPolicy {
	p := allowFrom(fmt.Sprintf("background-%d", i), i)
	p.Spec.PodSelector.MatchLabels = map[string]string{"app": fmt.Sprintf("background-%d", i)}
	return p
}

func commitAll(t testing.TB, k *kernel, ops []truth.Op) (transactions int, inKernel time.Duration) {
	t.Helper()
	for len(ops) > 0 {
		n := k.fits(ops)
		before, after, err := k.commit(ops[:n])
		if err != nil {
			t.Fatal(err)
		}
		ops = ops[n:]
		transactions++
		inKernel += after.Sub(before)
	}
	return transactions, inKernel
}

// BenchmarkPolicy is the time from a policy's event to the end of its last transaction.
func BenchmarkPolicy(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	for _, targets := range []int{20, 1000} {
		for _, others := range []int{0, 1000} {
			b.Run(fmt.Sprintf("targets=%d/background=%d", targets, others), func(b *testing.B) {
				k := newTestKernel(b)
				c := crowd(targets)
				for i := range others {
					c.putPolicy(background(i))
				}
				table := truth.Op{Kind: truth.KindTable, Table: &truth.Table{}}
				commitAll(b, k, append([]truth.Op{table}, c.plan()...))
				var inKernel time.Duration
				var transactions int
				for b.Loop() {
					c.putPolicy(allowFrom("allow", 0))
					n, d := commitAll(b, k, c.plan())
					transactions, inKernel = transactions+n, inKernel+d
					b.StopTimer()
					c.removePolicy(types.NamespacedName{Namespace: "default", Name: "allow"})
					commitAll(b, k, c.plan())
					b.StartTimer()
				}
				b.ReportMetric(float64(inKernel.Microseconds())/float64(b.N), "µs-in-kernel/op")
				b.ReportMetric(float64(transactions)/float64(b.N), "transactions/op")
			})
		}
	}
}

// BenchmarkPod is the time for a pod that comes and goes again, among 1,000 pods and 1,001
// policies.
func BenchmarkPod(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	k := newTestKernel(b)
	c := crowd(1000)
	for i := range 1000 {
		c.putPolicy(background(i))
	}
	c.putPolicy(allowFrom("allow", 0))
	commitAll(b, k, append([]truth.Op{{Kind: truth.KindTable, Table: &truth.Table{}}}, c.plan()...))
	for b.Loop() {
		c.putPod(crowdPod(1000))
		commitAll(b, k, c.plan())
		c.removePod(crowdPod(1000))
		commitAll(b, k, c.plan())
	}
}
