// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/bits"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/need"
)

// The namespaces of a probe's way: the test's own is the pod, whose node it is linked to, which is
// linked to the node of the targets.
type way struct {
	own, other *router
}

// What becomes of probes, by the address that they are sent to.
const (
	servedAt = "10.0.9.1" // served on port 80, and not on port 81
	ingress  = "10.0.9.2" // the targets' node drops what is sent to it
	egress   = "10.0.9.3" // the pod's node does
)

// newWay makes the namespaces, in both of which connections are tracked.
func newWay(t *testing.T) way {
	t.Helper()
	w := way{newRouter(t), newRouter(t)}
	pod := w.own.link("eth0", []string{"10.0.1.2/24"}, []string{"10.0.1.1/24"})
	check(t, netlink.RouteAdd(&netlink.Route{
		LinkIndex: pod.Attrs().Index, Dst: network("0.0.0.0/0"), Gw: net.ParseIP("10.0.1.1"),
	}))

	w.own.do(func() {
		w.other.link("nodes", []string{"10.0.2.2/24"}, []string{"10.0.2.1/24"})
		check(t, netlink.RouteAdd(&netlink.Route{
			Dst: network("10.0.9.0/24"), Gw: net.ParseIP("10.0.2.1"),
		}))
		check(t, netlink.RouteAdd(&netlink.Route{
			Dst: network(egress + "/32"), Type: unix.RTN_BLACKHOLE,
		}))
	})
	w.other.do(func() {
		local, err := netlink.LinkByName("lo")
		check(t, err)
		check(t, netlink.LinkSetUp(local))
		check(t, netlink.AddrAdd(local, &netlink.Addr{IPNet: network(servedAt + "/32")}))
		listener, err := net.Listen("tcp4", servedAt+":80")
		check(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() { _ = http.Serve(listener, http.NotFoundHandler()) }()
		check(t, netlink.RouteAdd(&netlink.Route{
			Dst: network("10.0.1.0/24"), Gw: net.ParseIP("10.0.2.2"),
		}))
		// which an address of its own overrides
		for _, dropped := range []string{ingress, servedAt} {
			check(t, netlink.RouteAdd(&netlink.Route{
				Dst: network(dropped + "/32"), Type: unix.RTN_BLACKHOLE,
			}))
		}
		echo, err := net.ListenPacket("udp4", servedAt+":80")
		check(t, err)
		t.Cleanup(func() { _ = echo.Close() })
		go echoAll(echo)
	})
	for _, node := range []*router{w.own, w.other} {
		node.do(func() {
			check(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644))
			need.Machine(t, trackConnections(), "a kernel with nf_tables and nf_conntrack")
		})
	}
	return w
}

func network(text string) *net.IPNet {
	_, of, err := net.ParseCIDR(text)
	if err != nil {
		panic(err)
	}
	return of
}

func echoAll(echo net.PacketConn) {
	buffer := make([]byte, 64)
	for {
		n, from, err := echo.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = echo.WriteTo(buffer[:n], from)
	}
}

// entries counts the entries in the table of this thread's namespace.
func entries(t *testing.T) int {
	text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	check(t, err)
	count, err := strconv.Atoi(strings.TrimSpace(string(text)))
	check(t, err)
	return count
}

// trackConnections has the kernel track the connections of this thread's namespace, and drop what
// it forwards that is invalid to that, as kube-proxy does (linux/netfilter/nf_tables.h):
//
//	table inet t { chain c { type filter hook forward priority 0; ct state invalid drop; }; }
func trackConnections() error {
	const (
		newTable = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE
		newChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWCHAIN
		newRule  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE
		forward  = 2
		drop     = 0
	)
	table, chain := text(unix.NFTA_CHAIN_TABLE, "t"), text(unix.NFTA_CHAIN_NAME, "c")
	hook := nested(unix.NFTA_CHAIN_HOOK, number(unix.NFTA_HOOK_HOOKNUM, forward),
		number(unix.NFTA_HOOK_PRIORITY, 0))
	rule := nested(unix.NFTA_RULE_EXPRESSIONS,
		expression("ct", number(unix.NFTA_CT_DREG, unix.NFT_REG_1),
			number(unix.NFTA_CT_KEY, unix.NFT_CT_STATE)),
		expression("bitwise", number(unix.NFTA_BITWISE_SREG, unix.NFT_REG_1),
			number(unix.NFTA_BITWISE_DREG, unix.NFT_REG_1), number(unix.NFTA_BITWISE_LEN, 4),
			value(unix.NFTA_BITWISE_MASK, 1), value(unix.NFTA_BITWISE_XOR, 0)), // of IP_CT_INVALID
		expression("cmp", number(unix.NFTA_CMP_SREG, unix.NFT_REG_1),
			number(unix.NFTA_CMP_OP, unix.NFT_CMP_NEQ), value(unix.NFTA_CMP_DATA, 0)),
		expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT),
			nested(unix.NFTA_IMMEDIATE_DATA, nested(unix.NFTA_DATA_VERDICT,
				number(unix.NFTA_VERDICT_CODE, drop)))))

	const inet = unix.NFPROTO_INET
	return acknowledged(3, slices.Concat(
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES),
		message(newTable, unix.NLM_F_ACK, inet, 0, text(unix.NFTA_TABLE_NAME, "t")),
		message(newChain, unix.NLM_F_ACK, inet, 0, table, chain,
			text(unix.NFTA_CHAIN_TYPE, "filter"), hook),
		message(newRule, unix.NLM_F_ACK|unix.NLM_F_APPEND, inet, 0,
			text(unix.NFTA_RULE_TABLE, "t"), text(unix.NFTA_RULE_CHAIN, "c"), rule),
		message(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES)))
}

// message is one of nf_tables.
func message(kind, flags int, family uint8, resource uint16, all ...*nl.RtAttr) []byte {
	request := nl.NewNetlinkRequest(kind, unix.NLM_F_CREATE|flags)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: family, ResId: bits.ReverseBytes16(resource)})
	for _, one := range all {
		request.AddData(one)
	}
	return request.Serialize()
}

func text(kind int, of string) *nl.RtAttr { return nl.NewRtAttr(kind, nl.ZeroTerminated(of)) }

func number(kind int, of uint32) *nl.RtAttr {
	return nl.NewRtAttr(kind, binary.BigEndian.AppendUint32(nil, of))
}

func nested(kind int, all ...*nl.RtAttr) *nl.RtAttr {
	outer := nl.NewRtAttr(kind|unix.NLA_F_NESTED, nil)
	for _, one := range all {
		outer.AddChild(one)
	}
	return outer
}

// value is data as registers have it.
func value(kind int, of uint32) *nl.RtAttr {
	return nested(kind, nl.NewRtAttr(unix.NFTA_DATA_VALUE,
		binary.NativeEndian.AppendUint32(nil, of)))
}

func expression(name string, all ...*nl.RtAttr) *nl.RtAttr {
	return nested(unix.NFTA_LIST_ELEM, text(unix.NFTA_EXPR_NAME, name),
		nested(unix.NFTA_EXPR_DATA, all...))
}

// acknowledged sends a batch of nf_tables, of which so many messages are acknowledged.
func acknowledged(messages int, batch []byte) error {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC,
		unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.Sendto(socket, batch, 0,
		&unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buffer := make([]byte, 8192)
	for answers := 0; answers < messages; {
		n, _, err := unix.Recvfrom(socket, buffer, 0)
		if err != nil {
			return err
		}
		for rest := buffer[:n]; len(rest) >= unix.SizeofNlMsghdr; answers++ {
			length := int(binary.NativeEndian.Uint32(rest))
			code := int32(binary.NativeEndian.Uint32(rest[unix.SizeofNlMsghdr:]))
			if code != 0 {
				return fmt.Errorf("track connections: %w", unix.Errno(-code))
			}
			rest = rest[min((length+3)&^3, len(rest)):]
		}
	}
	return nil
}

// TestTableKeepsBudget probes targets whose probes are answered, refused, and dropped on either
// node, over real nodes: neither table ever has more entries than the budget, the engine counts no
// fewer than there are on the pod's node, and what is dropped has no more than probes in flight.
func TestTableKeepsBudget(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		way := newWay(t)
		for _, mode := range []Mode{Connect, SYN, HTTP, UDP} {
			for _, test := range []struct {
				fate   string
				to     string
				leaves int
			}{
				{"answered", servedAt + ":80", tableBudget},
				{"refused", servedAt + ":81", tablePairs}, // those in flight
				{"dropped on the targets' node", ingress + ":80", tableInFlight},
				{"dropped on the pod's node", egress + ":80", tablePairs},
			} {
				if mode == UDP && test.fate == "refused" {
					test.leaves = tableBudget // no reset ends it
				}
				t.Run(string(mode)+" "+test.fate, func(t *testing.T) {
					way.expectLeaves(t, mode, netip.MustParseAddrPort(test.to), test.leaves)
				})
			}
		}
	})
}

// The probes of the test, of which the budget permits a few hundred a second.
const (
	tableBudget  = 60
	tablePairs   = 2
	tableTimeout = 10 * time.Millisecond
	// tableInFlight is how many are in flight at once at most: one a millisecond of each pair, and
	// those that end late.
	tableInFlight = 50
	// tableLeast is how many are to be sent at least, for which a busy machine has longer.
	tableLeast    = tableBudget / 3
	tablePatience = 10 * time.Second
)

// tableConfig is how they are probed.
func tableConfig(mode Mode, budget int) Config {
	return Config{
		Mode: mode, Timeout: tableTimeout, ResponseTimeout: tableTimeout,
		Schedule: Schedule{BaseInterval: time.Millisecond, MinInterval: time.Millisecond,
			MaxRate: 2000},
		ConntrackEntries: budget,
	}
}

// expectLeaves probes a target faster than the budget permits.
func (w way) expectLeaves(t *testing.T, mode Mode, to netip.AddrPort, leaves int) {
	t.Helper()
	targets := slices.Repeat([]netip.AddrPort{to}, tablePairs)
	most, held, sent := w.fill(t, tableConfig(mode, tableBudget), targets, 150*time.Millisecond)
	if want := min(leaves, tableBudget); most[0] > want || most[1] > want {
		t.Errorf("%d entries on the pod's node, %d on the other: want at most %d", most[0],
			most[1], want)
	}
	if most[0] > held+tablePairs { // a moment before the reset, the refused ones are there
		t.Errorf("%d entries, of which %d are counted", most[0], held)
	}
	if sent < tableLeast {
		t.Errorf("%d probes were sent", sent)
	}
}

// fill probes targets as after a trigger, for so long, and longer if it gets no processor. It
// returns how many entries there were at most on either node, how many the engine counted at most,
// and how many probes were sent.
func (w way) fill(
	t *testing.T, config Config, targets []netip.AddrPort, length time.Duration,
) (most [2]int, held int, sent uint64) {
	t.Helper()
	var before [2]int
	count := func() {
		for i, node := range []*router{w.own, w.other} {
			node.do(func() { most[i] = max(most[i], entries(t)-before[i]) })
		}
	}
	count()
	before, most = most, [2]int{}

	engine, err := New(config)
	need.Machine(t, err, "run the tests as root")
	for _, to := range targets {
		engine.Add(to, nobody{}).Trigger(time.Now())
	}
	starved := func() bool { return engine.Stats().Sent < tableLeast }
	for end := time.Now().Add(length); time.Now().Before(end) ||
		starved() && time.Now().Before(end.Add(tablePatience)); {
		time.Sleep(max(2*time.Millisecond, length/1000))
		count()
	}
	check(t, engine.Close())

	held, sent = engine.worker.conntrack.peak, engine.Stats().Sent
	t.Logf("%d probes; at most %d entries on the pod's node, %d on the other; %d were counted",
		sent, most[0], most[1], held)
	return most, held, sent
}

// fillFor is how long TestTableForMinutes probes: it is for a person to start.
var fillFor = flag.Duration("fill", 0, "how long to probe real connection tracking tables")

// TestTableForMinutes probes 500 targets as after a trigger with the real budget, a quarter each of
// those that answer, that refuse, and that either node drops.
func TestTableForMinutes(t *testing.T) {
	if *fillFor == 0 {
		t.Skip("only on request: go test ./internal/probe -run TestTableForMinutes -fill 5m")
	}
	for _, mode := range []Mode{Connect, SYN, HTTP, UDP} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			inNamespace(t, func(t *testing.T) {
				budget := ConntrackBudget(1, 0)
				schedule := DefaultSchedule(mode)
				schedule.RelativeStep = 0 // as fast as for 500 targets that are all new
				fates := []string{servedAt + ":80", servedAt + ":81", ingress + ":80",
					egress + ":80"}
				var targets []netip.AddrPort
				for number := range 500 {
					targets = append(targets, netip.MustParseAddrPort(fates[number%len(fates)]))
				}
				most, _, _ := newWay(t).fill(t, Config{
					Mode: mode, Timeout: DefaultTimeout, Schedule: schedule,
					ConntrackEntries: budget,
				}, targets, *fillFor)
				if most[0] > budget || most[1] > budget {
					t.Errorf("%d and %d entries: want at most %d", most[0], most[1], budget)
				}
			})
		})
	}
}

// TestFlowOpens probes a target that is silent until each pair uses flows that the nodes know, and
// then lets it answer: the answers are of these flows, and valid to connection tracking.
func TestFlowOpens(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		way := newWay(t)
		to := netip.MustParseAddrPort(servedAt + ":80")
		for _, mode := range []Mode{Connect, SYN, HTTP, UDP} {
			t.Run(string(mode), func(t *testing.T) {
				way.serve(t, false)
				engine, err := New(tableConfig(mode, 0))
				need.Machine(t, err, "run the tests as root")
				r := &tally{recorder: newRecorder(-1),
					silent: make(chan struct{}), answered: make(chan struct{})}
				pair := engine.Add(to, r)
				pair.Trigger(time.Now())
				<-r.silent
				way.serve(t, true)
				<-r.answered
				check(t, engine.Close())
				dropped, answers := 0, 0
				for _, o := range r.outcomes {
					switch o.Verdict {
					case measure.Allowed:
						answers++
					case measure.Dropped:
						dropped++
						if answers > 0 {
							t.Errorf("a probe was dropped after %d answers", answers)
						}
					}
				}
				if dropped < 80 || answers < 10 {
					t.Errorf("%d probes were dropped, %d answered", dropped, answers)
				}
			})
		}
	})
}

// tally tells when 100 probes of a pair were dropped, and when 10 were answered.
type tally struct {
	*recorder
	dropped, allowed int
	silent, answered chan struct{}
}

// OnOutcome implements [Observer].
func (c *tally) OnOutcome(o measure.Outcome) bool {
	switch o.Verdict {
	case measure.Dropped:
		if c.dropped++; c.dropped == 100 {
			close(c.silent)
		}
	case measure.Allowed:
		if c.allowed++; c.allowed == 10 {
			close(c.answered)
		}
	}
	return c.recorder.OnOutcome(o)
}

// serve gives the targets' node the served address, or takes it away: what is sent to it is dropped
// then.
func (w way) serve(t *testing.T, is bool) {
	t.Helper()
	w.other.do(func() {
		local, err := netlink.LinkByName("lo")
		check(t, err)
		change := netlink.AddrDel
		if is {
			change = netlink.AddrAdd
		}
		check(t, change(local, &netlink.Addr{IPNet: network(servedAt + "/32")}))
	})
}
