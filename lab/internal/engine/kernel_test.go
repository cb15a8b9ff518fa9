// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// contents is what a table has: its chains with their number of rules, and its sets with their
// elements, as strings.
type contents struct {
	chains map[string]int
	sets   map[string][]string
}

// inKernel reads the table.
func inKernel(t *testing.T, k *kernel) contents {
	t.Helper()
	c := contents{map[string]int{}, map[string][]string{}}
	chains, err := k.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		t.Fatal(err)
	}
	for _, chain := range chains {
		rules, err := k.conn.GetRules(k.table, chain)
		if err != nil {
			t.Fatal(err)
		}
		c.chains[chain.Name] = len(rules)
	}
	sets, err := k.conn.GetSets(k.table)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		elements, err := k.conn.GetSetElements(set)
		if err != nil {
			t.Fatal(err)
		}
		c.sets[set.Name] = elementStrings(elements)
	}
	return c
}

func elementStrings(elements []nftables.SetElement) []string {
	all := []string{}
	for _, e := range elements {
		all = append(all, fmt.Sprintf("%x end=%v", e.Key, e.IntervalEnd))
	}
	slices.Sort(all)
	return all
}

// wanted is what the table must have for a state, told differently than the code under test does
// it: one element after the other instead of differences.
func wanted(s *truth.State) contents {
	c := contents{map[string]int{
		refuseChain: 1, "egress": 2 + len(s.Table.PodCIDRs), "ingress": 2 + len(s.Table.PodCIDRs),
		"arriving-egress": 3, "arriving-ingress": 3, "forwarded": 1,
	}, map[string][]string{"egress-4": {}, "egress-6": {}, "ingress-4": {}, "ingress-6": {}}}
	add := func(set string, key []byte) {
		c.sets[set] = append(c.sets[set], fmt.Sprintf("%x end=false", key))
	}
	for id, g := range s.Guards {
		c.chains[guardChain(id)] = len(g.Policies) + 1
	}
	for id, p := range s.Policies {
		c.chains[policyChainName(id)] = 0
		for _, r := range p.Rules {
			c.chains[policyChainName(id)] += rulesFor(s, r)
		}
	}
	for id, set := range s.Sets {
		if set.Block != nil {
			name := setName(id, familyOf(set.Block.CIDR.Addr()))
			c.sets[name] = elementStrings(blockElements(*set.Block))
			continue
		}
		c.sets[setName(id, ipv4)], c.sets[setName(id, ipv6)] = []string{}, []string{}
	}
	for a, row := range s.Addresses {
		for _, d := range []direction{ingress, egress} {
			add(dispatchMap(d, familyOf(a)), a.AsSlice())
		}
		for _, m := range row.Sets {
			add(setName(m.Set, familyOf(a)), elementKey(truth.Member{Address: a, Port: m.Port}))
		}
	}
	for _, list := range c.sets {
		slices.Sort(list)
	}
	return c
}

func rulesFor(s *truth.State, r truth.Rule) int {
	if r.Peers == "" && r.Named == "" || s.Sets[r.Peers].Block != nil {
		return 1
	}
	return 2
}

// TestKernelHoldsTheState: whatever happens, in portions of any size, the kernel accepts it and has
// what the state says, no more and no less.
func TestKernelHoldsTheState(t *testing.T) {
	for seed := range uint64(6) {
		h := newHistory(seed)
		k := newTestKernel(t)
		commitAll(t, k, []truth.Op{{Kind: truth.KindTable,
			Table: &truth.Table{PodCIDRs: testPodCIDRs}}})
		for range 40 {
			what, _ := h.event()
			for ops := range slices.Chunk(h.cluster.plan(), 1+h.IntN(5)) {
				if _, _, err := k.commit(ops); err != nil {
					t.Fatalf("seed %d, %s: %+v: %v", seed, what, ops, err)
				}
			}
			diff := cmp.Diff(wanted(&k.state), inKernel(t, k), cmp.AllowUnexported(contents{}))
			if diff != "" {
				t.Fatalf("seed %d, %s: the kernel differs (-state +kernel):\n%s", seed, what, diff)
			}
		}
	}
}

// TestOneObjectTwice: several operations on an object in one transaction count as their sum.
func TestOneObjectTwice(t *testing.T) {
	k := newTestKernel(t)
	c := crowd(3)
	c.putPolicy(allowFrom("allow", 0))
	ops := c.plan()
	commitAll(t, k, append([]truth.Op{{Kind: truth.KindTable,
		Table: &truth.Table{PodCIDRs: testPodCIDRs}}}, ops...))
	var undo, again []truth.Op
	state := newState()
	for _, op := range ops {
		undo = append(undo, state.Apply(op))
	}
	slices.Reverse(undo)
	again = append(slices.Concat(undo, ops, undo, ops),
		truth.Op{Kind: truth.KindAddress, ID: "10.244.0.1"})
	if _, _, err := k.commit(again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted(&k.state), inKernel(t, k),
		cmp.AllowUnexported(contents{})); diff != "" {
		t.Errorf("the kernel differs (-state +kernel):\n%s", diff)
	}
}

// TestSmallBuffers: where the kernel grants no large buffers, as in a user namespace, a large
// change is split so that it fits.
func TestSmallBuffers(t *testing.T) {
	k := newTestKernel(t)
	shrinkBuffers(t, k, 212992) // the default of net.core.wmem_max and rmem_max
	c := crowd(2000)
	for i := range 200 {
		c.putPolicy(allowFrom(fmt.Sprintf("policy-%d", i), i))
	}
	ops := append([]truth.Op{{Kind: truth.KindTable, Table: &truth.Table{PodCIDRs: testPodCIDRs}}},
		c.plan()...)
	transactions, _ := commitAll(t, k, ops)
	if transactions < 2 {
		t.Errorf("%d operations went in one transaction", len(ops))
	}
	if n := len(k.state.Addresses); n != 4000 {
		t.Errorf("the kernel has %d addresses", n)
	}
}

// shrinkBuffers replaces the kernel's connection by one as an unprivileged process would get.
func shrinkBuffers(t *testing.T, k *kernel, size int) {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() }) // nothing uses it any more
	shrink := func(conn *netlink.Conn) error {
		return errors.Join(conn.SetWriteBuffer(size), conn.SetReadBuffer(size))
	}
	err = ns.Do(func() error {
		conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(shrink))
		k.conn = conn
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	k.sendBudget, k.receiveBudget = 2*size, 2*size // as the kernel counts it
}

func TestBlockRanges(t *testing.T) {
	prefix := netip.MustParsePrefix
	for _, row := range []struct {
		name  string
		block truth.Block
		want  string
	}{
		{"whole", truth.Block{CIDR: prefix("10.0.0.0/8")}, "[10.0.0.0-10.255.255.255]"},
		{"everything", truth.Block{CIDR: prefix("0.0.0.0/0")}, "[0.0.0.0-255.255.255.255]"},
		{"hole", truth.Block{CIDR: prefix("10.0.0.0/24"),
			Except: []netip.Prefix{prefix("10.0.0.16/28")}},
			"[10.0.0.0-10.0.0.15 10.0.0.32-10.0.0.255]"},
		{"beginning", truth.Block{CIDR: prefix("10.0.0.0/24"),
			Except: []netip.Prefix{prefix("10.0.0.0/25")}}, "[10.0.0.128-10.0.0.255]"},
		{"end", truth.Block{CIDR: prefix("10.0.0.0/24"),
			Except: []netip.Prefix{prefix("10.0.0.128/25")}}, "[10.0.0.0-10.0.0.127]"},
		{"end of all addresses", truth.Block{CIDR: prefix("128.0.0.0/1"),
			Except: []netip.Prefix{prefix("255.0.0.0/8")}}, "[128.0.0.0-254.255.255.255]"},
		{"nested and adjacent", truth.Block{CIDR: prefix("10.0.0.0/24"),
			Except: []netip.Prefix{prefix("10.0.0.32/28"), prefix("10.0.0.16/28"),
				prefix("10.0.0.20/32")}},
			"[10.0.0.0-10.0.0.15 10.0.0.48-10.0.0.255]"},
		{"all of it", truth.Block{CIDR: prefix("10.0.0.0/24"),
			Except: []netip.Prefix{prefix("10.0.0.0/8")}}, "[]"},
		{"elsewhere", truth.Block{CIDR: prefix("10.0.0.0/24"),
			Except: []netip.Prefix{prefix("10.0.1.0/24")}}, "[10.0.0.0-10.0.0.255]"},
		{"IPv6", truth.Block{CIDR: prefix("fd00::/64"),
			Except: []netip.Prefix{prefix("fd00::/65")}},
			"[fd00::8000:0:0:0-fd00::ffff:ffff:ffff:ffff]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := fmt.Sprint(blockRanges(row.block)); got != row.want {
				t.Errorf("the ranges are %s, not %s", got, row.want)
			}
		})
	}
}

func (r addressRange) String() string { return fmt.Sprintf("%v-%v", r.first, r.last) }
