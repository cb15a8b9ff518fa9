// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/need"
)

// inNamespace runs a test again, in a process whose network namespace is its own and empty: the
// engine's thread is in it as every other. Where this process may not make one, the test is
// skipped.
func inNamespace(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	const inside = "NETPOL_LATENCY_TEST_NAMESPACE"
	if os.Getenv(inside) == t.Name() {
		test(t)
		return
	}
	// A subtest's name has a part for each of its parents.
	name := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	again := exec.Command("/proc/self/exe", append(os.Args[1:], "-test.run="+name, "-test.v")...)
	again.Env = append(os.Environ(), inside+"="+t.Name())
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	again.Stdout, again.Stderr = &out, &out
	err := again.Start()
	if errors.Is(err, unix.ENOSPC) { // user_namespaces(7): the system allows none
		err = errors.Join(err, os.ErrPermission)
	}
	need.Machine(t, err, "run the tests as root")
	if err := again.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("%s", &out)
}

// router is a network namespace at the other end of a link, which answers for every target.
type router struct {
	t     *testing.T
	calls chan func()
}

// newRouter makes one, on a thread of its own.
func newRouter(t *testing.T) *router {
	t.Helper()
	r := &router{t: t, calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks, so that the thread ends with the goroutine
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for call := range r.calls {
			call()
		}
	}()
	check(t, <-ready)
	t.Cleanup(func() { close(r.calls) })
	return r
}

// do runs a function in the router's namespace.
func (r *router) do(f func()) {
	done := make(chan struct{})
	r.calls <- func() { defer close(done); f() }
	<-done
}

// link connects the client's namespace with the router's, and gives each end addresses. It returns
// the client's device.
func (r *router) link(name string, client, own []string) netlink.Link {
	r.t.Helper()
	var namespace int
	r.do(func() {
		var err error
		path := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		namespace, err = unix.Open(path, unix.O_CLOEXEC, 0)
		check(r.t, err)
	})
	defer func() { check(r.t, unix.Close(namespace)) }()
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	check(r.t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: attributes, PeerName: "uplink", PeerNamespace: netlink.NsFd(namespace),
	}))
	r.do(func() { r.setUp("uplink", own) })
	return r.setUp(name, client)
}

func (r *router) setUp(name string, addresses []string) netlink.Link {
	device, err := netlink.LinkByName(name)
	check(r.t, err)
	check(r.t, netlink.LinkSetUp(device))
	for _, text := range addresses {
		address, err := netlink.ParseAddr(text)
		check(r.t, err)
		address.Flags = unix.IFA_F_NODAD
		check(r.t, netlink.AddrAdd(device, address))
	}
	return device
}

// serve has the router answer for targets, on one port.
func (r *router) serve(targets []netip.AddrPort) {
	r.t.Helper()
	r.do(func() {
		local, err := netlink.LinkByName("lo")
		check(r.t, err)
		check(r.t, netlink.LinkSetUp(local))
		for _, to := range targets {
			address := &netlink.Addr{IPNet: hostNet(to.Addr()), Flags: unix.IFA_F_NODAD}
			check(r.t, netlink.AddrAdd(local, address))
		}
		for _, network := range []string{"tcp4", "tcp6"} {
			listener, err := net.Listen(network, ":"+strconv.Itoa(int(targets[0].Port())))
			check(r.t, err)
			r.t.Cleanup(func() { _ = listener.Close() })
		}
	})
}

// count counts the SYNs that reach the router, by target, while something is done.
func (r *router) count(while func()) map[netip.Addr]int {
	r.t.Helper()
	seen := make(map[netip.Addr]int)
	var done atomic.Bool
	var readers sync.WaitGroup
	for _, protocol := range []int{unix.ETH_P_IP, unix.ETH_P_IPV6} {
		var socket int
		r.do(func() { socket = openSniffer(r.t, protocol) })
		counts := make(map[netip.Addr]int)
		readers.Go(func() {
			var buffer [256]byte
			for {
				n, _, err := unix.Recvfrom(socket, buffer[:], 0)
				if err != nil && done.Load() {
					return
				}
				if to, is := synTo(buffer[:max(n, 0)]); is {
					counts[to]++
				}
			}
		})
		defer func() {
			check(r.t, unix.Close(socket))
			maps.Copy(seen, counts)
		}()
	}
	while()
	done.Store(true)
	readers.Wait()
	return seen
}

// openSniffer opens a socket that receives all packets of a protocol that come in, and gives up
// waiting for one soon.
func openSniffer(t *testing.T, protocol int) int {
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	timeout := unix.NsecToTimeval(int64(50 * time.Millisecond))
	check(t, unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout))
	order := uint16(protocol)>>8 | uint16(protocol)<<8 // as on the network
	check(t, unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: order}))
	return socket
}

// synTo is whom a packet asks for a connection, if it does.
func synTo(packet []byte) (netip.Addr, bool) {
	switch {
	case len(packet) >= 40 && packet[0]>>4 == 4 && packet[9] == unix.IPPROTO_TCP && packet[33] == 2:
		return netip.AddrFrom4([4]byte(packet[16:20])), true
	case len(packet) >= 60 && packet[0]>>4 == 6 && packet[6] == unix.IPPROTO_TCP && packet[53] == 2:
		return netip.AddrFrom16([16]byte(packet[24:40])), true
	}
	return netip.Addr{}, false
}

func hostNet(address netip.Addr) *net.IPNet {
	return &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(address.BitLen(), address.BitLen())}
}

// dual is what differs between the two versions of IP.
type dual struct {
	name            string
	client, routers [2]string // on each link, with the length of the prefix
	gateways        [2]string
	everything      string
	targets         string // the first of them
}

func duals() []dual {
	return []dual{
		{
			name: "IPv4", client: [2]string{"10.0.1.2/24", "10.0.2.2/24"},
			routers:    [2]string{"10.0.1.1/24", "10.0.2.1/24"},
			gateways:   [2]string{"10.0.1.1", "10.0.2.1"},
			everything: "0.0.0.0/0", targets: "192.0.2.1",
		},
		{
			name: "IPv6", client: [2]string{"fd00:1::2/64", "fd00:2::2/64"},
			routers:    [2]string{"fd00:1::1/64", "fd00:2::1/64"},
			gateways:   [2]string{"fd00:1::1", "fd00:2::1"},
			everything: "::/0", targets: "2001:db8::1",
		},
	}
}

// twoRouters is a pod with two ways out.
func (d dual) twoRouters(
	t *testing.T, targets []netip.AddrPort,
) (routers [2]*router, devices [2]netlink.Link) {
	t.Helper()
	for i := range routers {
		routers[i] = newRouter(t)
		name := fmt.Sprintf("eth%d", i)
		devices[i] = routers[i].link(name, []string{d.client[i]}, []string{d.routers[i]})
		// The way back to the other link's address is by this one.
		back, err := netlink.ParseAddr(d.client[1-i])
		check(t, err)
		via, err := netlink.ParseAddr(d.client[i])
		check(t, err)
		routers[i].do(func() {
			check(t, netlink.RouteAdd(&netlink.Route{
				Dst: &net.IPNet{IP: back.IP.Mask(back.Mask), Mask: back.Mask}, Gw: via.IP,
			}))
		})
		routers[i].serve(targets)
	}
	return routers, devices
}

func (d dual) addrs(count int) []netip.AddrPort {
	all := make([]netip.AddrPort, count)
	address := netip.MustParseAddr(d.targets)
	for i := range all {
		all[i] = netip.AddrPortFrom(address, 80)
		address = address.Next()
	}
	return all
}

func (d dual) defaultRoute(device netlink.Link, gateway string, table int) *netlink.Route {
	_, everything, _ := net.ParseCIDR(d.everything)
	return &netlink.Route{
		LinkIndex: device.Attrs().Index, Dst: everything, Gw: net.ParseIP(gateway), Table: table,
	}
}

// TestRoutes has the mode syn send past the kernel what the kernel would have routed by a rule, or
// by one of several next hops: every SYN leaves by the way that the kernel takes for a connection,
// and is answered.
func TestRoutes(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		const table = 100
		for _, test := range []struct {
			name   string
			routes func(t *testing.T, d dual, devices [2]netlink.Link)
		}{
			{"a rule by source address", func(t *testing.T, d dual, devices [2]netlink.Link) {
				check(t, netlink.RouteAdd(d.defaultRoute(devices[0], d.gateways[0], 0)))
				check(t, netlink.RouteAdd(d.defaultRoute(devices[1], d.gateways[1], table)))
				rule := netlink.NewRule()
				source, err := netlink.ParseAddr(d.client[0])
				check(t, err)
				host, _ := netip.AddrFromSlice(source.IP)
				rule.Src, rule.Table, rule.Priority = hostNet(host.Unmap()), table, 1000
				rule.Family = unix.AF_INET
				if host.Unmap().Is6() {
					rule.Family = unix.AF_INET6
				}
				check(t, netlink.RuleAdd(rule))
				t.Cleanup(func() { check(t, netlink.RuleDel(rule)) })
			}},
			{"several next hops", func(t *testing.T, d dual, devices [2]netlink.Link) {
				route := d.defaultRoute(devices[0], d.gateways[0], 0)
				route.LinkIndex, route.Gw = 0, nil
				for i, device := range devices {
					route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{
						LinkIndex: device.Attrs().Index, Gw: net.ParseIP(d.gateways[i]),
					})
				}
				check(t, netlink.RouteAdd(route))
			}},
		} {
			for _, d := range duals() {
				t.Run(test.name+" "+d.name, func(t *testing.T) {
					targets := d.addrs(20)
					routers, devices := d.twoRouters(t, targets)
					t.Cleanup(func() {
						for _, device := range devices {
							check(t, netlink.LinkDel(device))
						}
					})
					test.routes(t, d, devices)
					expectKernelsWay(t, routers, targets)
				})
			}
		}
	})
}

// reset closes a connection at both ends: to one that its server still has, a SYN from the same
// port is no new one, and is answered by no SYN of its own (RFC 5961, section 4).
func reset(t *testing.T, connection net.Conn) {
	t.Helper()
	check(t, connection.(*net.TCPConn).SetLinger(0))
	check(t, connection.Close())
}

// expectKernelsWay compares where the SYNs of connections go with where those of the mode syn do.
func expectKernelsWay(t *testing.T, routers [2]*router, targets []netip.AddrPort) {
	t.Helper()
	ways := func(while func()) (ways map[netip.Addr]string, count int) {
		ways = make(map[netip.Addr]string)
		var second map[netip.Addr]int
		first := routers[0].count(func() { second = routers[1].count(while) })
		for i, seen := range []map[netip.Addr]int{first, second} {
			for to, n := range seen {
				ways[to] += fmt.Sprintf("router %d ", i)
				count += n
			}
		}
		return ways, count
	}
	// A link that has only just come up loses what asks for neighbours.
	for _, to := range targets {
		connection, err := net.DialTimeout("tcp", to.String(), 10*time.Second)
		if err != nil {
			t.Errorf("connect by the kernel: %v", err)
			continue
		}
		reset(t, connection)
	}
	// A SYN that the kernel sends again may leave by another way: it has a source address by then.
	want, _ := ways(func() {
		for _, to := range targets {
			if c, err := net.DialTimeout("tcp", to.String(), MaxTimeout*9/10); err == nil {
				reset(t, c)
			}
		}
	})

	const probes = 50
	got, count := ways(func() {
		schedule := fast()
		schedule.MaxRate = 20_000
		engine := startEngine(t, SYN, schedule, 900*time.Millisecond)
		pairs, recorders := make([]*Pair, len(targets)), make([]*recorder, len(targets))
		for i, to := range targets {
			recorders[i] = newRecorder(probes)
			pairs[i] = engine.Add(to, recorders[i])
		}
		for i, r := range recorders {
			<-r.stopped
			for n, o := range r.outcomes {
				if o.Verdict != measure.Allowed {
					t.Errorf("%s: probe %d was %s: %v", targets[i], n, o.Verdict, o.Err)
				}
			}
			if path := pairs[i].state.(*synState).path; path.Socket == none {
				t.Errorf("%s: the last probe was routed by the kernel; want past it", targets[i])
			}
		}
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the SYNs left by other ways than the kernel's (-kernel +syn):\n%s", diff)
	}
	// A machine that is busy otherwise may not keep up with counting.
	if count < probes*len(targets)/2 {
		t.Errorf("the routers saw %d SYNs of %d", count, probes*len(targets))
	}
}
