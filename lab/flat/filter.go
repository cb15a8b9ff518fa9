// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package flat

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// Denial is how the filter treats the packets that it blocks.
type Denial string

// The denials.
const (
	Drop  Denial = "drop"
	Reset Denial = "reset"
	ICMP  Denial = "icmp"
)

// Denials lists every denial.
func Denials() []Denial { return []Denial{Drop, Reset, ICMP} }

// Commit is an nftables transaction: the true instant lies between the time just before and just
// after.
type Commit struct{ Before, After time.Time }

// Filter is the router's packet filter: packets to an address in one of its sets are treated as the
// set says, before they are routed; everything else is forwarded.
type Filter struct {
	connection *nftables.Conn
	table      *nftables.Table
	chain      *nftables.Chain
	sets       map[key]*nftables.Set
}

type key struct {
	denial Denial
	six    bool
}

// perCommit is the most addresses of one transaction: they must fit into a netlink socket's buffer.
const perCommit = 1000

func newFilter(router *netns.Namespace) (*Filter, error) {
	connection, err := nftables.New(nftables.WithNetNSFd(router.Fd()), nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	f := &Filter{connection: connection, sets: make(map[key]*nftables.Set)}
	f.table = connection.AddTable(&nftables.Table{Name: "flat", Family: nftables.TableFamilyINet})
	f.chain = connection.AddChain(&nftables.Chain{
		Name: "arriving", Table: f.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityFilter,
	})

	for _, denial := range Denials() {
		for _, six := range []bool{false, true} {
			if err := f.addSet(key{denial, six}); err != nil {
				return nil, err
			}
		}
	}
	if err := connection.Flush(); err != nil {
		return nil, fmt.Errorf("install the filter: %w", err)
	}

	return f, nil
}

// addSet adds a set of addresses and the rule that denies packets to them.
func (f *Filter) addSet(k key) error {
	name, kind, offset, length := string(k.denial)+"4", nftables.TypeIPAddr, uint32(16), uint32(4)
	family := byte(unix.NFPROTO_IPV4)
	if k.six {
		name, kind, offset, length = string(k.denial)+"6", nftables.TypeIP6Addr, 24, 16
		family = unix.NFPROTO_IPV6
	}

	// Of a known size it is a table that need not grow, which is faster.
	set := &nftables.Set{Table: f.table, Name: name, KeyType: kind, Size: 1 << 16}
	if err := f.connection.AddSet(set, nil); err != nil {
		return fmt.Errorf("add set %s: %w", name, err)
	}

	f.sets[k] = set
	rule := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset,
			Len: length},
		&expr.Lookup{SourceRegister: 1, SetName: name, SetID: set.ID},
	}

	f.connection.AddRule(&nftables.Rule{Table: f.table, Chain: f.chain,
		Exprs: append(rule, verdict(k.denial)...)})
	return nil
}

// verdict denies a packet. A reset can only answer TCP; everything else is dropped instead.
func verdict(denial Denial) []expr.Any {
	switch denial {
	case Reset:
		return []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
			&expr.Reject{Type: unix.NFT_REJECT_TCP_RST},
		}
	case ICMP:
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH,
			Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
	default:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	}
}

// Block denies the addresses from one instant on, and Allow forwards to them again. There is one
// commit for every thousand addresses; the commits are returned in the order of the addresses.
func (f *Filter) Block(denial Denial, all []netip.AddrPort) ([]Commit, error) {
	return f.change(denial, all, f.connection.SetAddElements)
}

// Allow is the reverse of Block.
func (f *Filter) Allow(denial Denial, all []netip.AddrPort) ([]Commit, error) {
	return f.change(denial, all, f.connection.SetDeleteElements)
}

func (f *Filter) change(
	denial Denial, all []netip.AddrPort, do func(*nftables.Set, []nftables.SetElement) error,
) ([]Commit, error) {
	var commits []Commit
	for some := range slices.Chunk(all, perCommit) {
		elements := make([]nftables.SetElement, len(some))
		for i, address := range some {
			elements[i].Key = address.Addr().AsSlice()
		}
		if err := do(f.sets[key{denial, some[0].Addr().Is6()}], elements); err != nil {
			return nil, fmt.Errorf("change %d addresses: %w", len(some), err)
		}

		commit := Commit{Before: time.Now()}
		if err := f.connection.Flush(); err != nil {
			return nil, fmt.Errorf("change %d addresses: %w", len(some), err)
		}
		commit.After = time.Now()
		for range some {
			commits = append(commits, commit)
		}
	}

	return commits, nil
}

// DropAtRandom drops a part of all packets that reach the router by chance, for example 0.01.
func (f *Filter) DropAtRandom(part float64) error {
	const modulus = 10_000
	f.connection.InsertRule(&nftables.Rule{Table: f.table, Chain: f.chain, Exprs: []expr.Any{
		&expr.Numgen{Register: 1, Modulus: modulus, Type: unix.NFT_NG_RANDOM},
		// nftables compares numbers as the host writes them only after this turn.
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4,
			Size: 4},
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1,
			Data: binaryutil.BigEndian.PutUint32(uint32(part * modulus))},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	if err := f.connection.Flush(); err != nil {
		return fmt.Errorf("lose packets: %w", err)
	}

	return nil
}
