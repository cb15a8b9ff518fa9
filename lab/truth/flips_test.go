// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var toServer = Pair{FromUID: "client", ToUID: "server", To: server, Protocol: "TCP", Port: 80}

// expectFlips compares flips with the sequence numbers of the records in which they should be. They
// alternate, and the first one allows.
func expectFlips(t *testing.T, records []Record, pair Pair, seqs ...uint64) {
	t.Helper()
	var want []Flip
	for i, seq := range seqs {
		r := recordAt("n", seq)
		want = append(want, Flip{Before: r.Before, After: r.After, Allowed: i%2 == 0,
			Causes: r.Causes})
	}
	if diff := cmp.Diff(want, Flips(records, pair)[0]); diff != "" {
		t.Errorf("flips differ (-want +got):\n%s", diff)
	}
}

func TestFlips(t *testing.T) {
	deny := []Op{{Kind: KindPolicy, ID: "p", Policy: &Policy{}},
		{Kind: KindGuard, ID: "g", Guard: &Guard{Policies: []string{"p"}}}}
	records := []Record{
		recordAt("n", 1, tableOp()),
		recordAt("n", 2, addressOp(client, podAt("client", "n", "", ""))),
		recordAt("n", 3, addressOp(server, podAt("server", "n", "", ""))),
		recordAt("n", 4, append(deny, addressOp(server, podAt("server", "n", "g", "")))...),
		recordAt("n", 5, addressOp(other, podAt("other", "n", "", ""))),
		recordAt("n", 6, Op{Kind: KindPolicy, ID: "p",
			Policy: &Policy{Rules: []Rule{{Protocol: "TCP", First: 80, Last: 80}}}}),
		recordAt("n", 7, addressOp(client, nil)),
	}
	expectFlips(t, records, toServer, 3, 4, 6, 7)
	udp := toServer
	udp.Protocol = "UDP"
	expectFlips(t, records, udp, 3, 4)
}

func TestFlipsOfManyPairs(t *testing.T) {
	records := []Record{recordAt("n", 1, tableOp(), addressOp(client, podAt("client", "n", "", "")),
		addressOp(server, podAt("server", "n", "", "")))}
	back := Pair{FromUID: "server", ToUID: "client", To: client, Protocol: "TCP", Port: 1}
	stranger := Pair{FromUID: "nobody", ToUID: "client", To: client, Protocol: "TCP", Port: 1}
	flips := Flips(records, toServer, back, stranger)
	if len(flips[0]) != 1 || len(flips[1]) != 1 || len(flips[2]) != 0 {
		t.Errorf("the flips are %v", flips)
	}
}

// An address that went to another pod is not the target any more, although connections to it
// succeed.
func TestFlipsWhenAnAddressIsUsedAgain(t *testing.T) {
	expectFlips(t, []Record{
		recordAt("n", 1, tableOp(), addressOp(client, podAt("client", "n", "", "")),
			addressOp(server, podAt("server", "n", "", ""))),
		recordAt("n", 2, addressOp(server, podAt("successor", "n", "", ""))),
		recordAt("n", 3, addressOp(other, podAt("server", "n", "", ""))),
	}, toServer, 1, 2)
}

// A new engine that replaces the table by one with the same meaning changes no verdict.
func TestFlipsWhenTheEngineRestarts(t *testing.T) {
	both := []Op{addressOp(client, podAt("client", "n", "", "")),
		addressOp(server, podAt("server", "n", "", ""))}
	expectFlips(t, []Record{
		recordAt("n", 1, append([]Op{tableOp()}, both...)...),
		recordAt("n", 2, append([]Op{tableOp()}, both...)...),
		recordAt("n", 3, tableOp()), // one that has to begin with an empty table
		recordAt("n", 4, both...),
	}, toServer, 1, 3, 4)
}

// A connection between nodes needs both engines: the source's for egress, the destination's for
// ingress.
func TestFlipsBetweenNodes(t *testing.T) {
	records := []Record{
		recordAt("a", 1, tableOp(), addressOp(client, podAt("client", "a", "", "")),
			addressOp(server, podAt("server", "b", "", ""))),
		recordAt("b", 2, tableOp(), addressOp(server, podAt("server", "b", "", ""))),
		recordAt("b", 3, addressOp(client, podAt("client", "a", "", ""))),
		recordAt("a", 4, Op{Kind: KindGuard, ID: "g", Guard: &Guard{}},
			addressOp(client, podAt("client", "a", "", "g"))),
		recordAt("b", 5, addressOp(client, podAt("client", "a", "", ""))),
		recordAt("c", 6, tableOp()), // a node that has no part in it
	}
	expectFlips(t, records, toServer, 3, 4)
}

// The source of a pair is the client's address of the target's family.
func TestFlipsOfTheOtherFamily(t *testing.T) {
	client6, server6 := netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::3")
	records := []Record{
		recordAt("n", 1, tableOp(), addressOp(client, podAt("client", "n", "", "")),
			addressOp(server6, podAt("server", "n", "", ""))),
		recordAt("n", 2, addressOp(client6, podAt("client", "n", "", ""))),
	}
	pair := toServer
	pair.To = server6
	expectFlips(t, records, pair, 2)
}
