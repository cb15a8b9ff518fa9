// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package packet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Hop is where frames leave to: a device, and a neighbour on its link.
type Hop struct {
	device int
	from   [6]byte
	to     [6]byte
}

// Path is what is known of the way to one target.
type Path struct {
	// Source is the address that SYNs leave from.
	Source netip.Addr
	// Socket sends Frame, which all of them have in common. It is None where the kernel routes
	// them.
	Socket int
	Frame  Frame

	route route
	err   error  // why there is no route
	asked uint32 // the generation of the routes when the route was asked for
	known uint32 // the generation of the paths for which all of this holds
}

const (
	// lookupsPerPoll bounds what a change of routes costs the probes: what has not been asked again
	// is for the kernel to route meanwhile.
	lookupsPerPoll = 64
	// routesLast is how long routes are taken to be as they were. The kernel tells of changes, but
	// not of what it learns from redirects.
	routesLast = 30 * time.Second
	// eventBuffer is what the kernel is asked to keep of events, in bytes.
	eventBuffer = 1 << 20
)

// Routes knows where frames leave to. It belongs to one thread.
type Routes struct {
	requests *netlinkSocket // nil where the kernel tells nothing: it routes everything then
	events   *netlinkSocket

	neighbours neighbours
	addresses  map[int][]byte // of devices on their links, nil for those that have none
	devices    Devices

	// Paths are found again when a generation has changed: that of the routes when a route may
	// have, that of the paths when a neighbour has, or a route may have.
	routes, paths uint32
	read          time.Time // when the routes' generation began
	lookups       int       // that may be made until the next poll
}

// OpenRoutes begins to listen for the kernel's events. Where it cannot, every path is the kernel's.
func OpenRoutes() *Routes {
	r := &Routes{addresses: make(map[int][]byte), lookups: lookupsPerPoll}
	r.changed()
	if err := r.open(); err != nil {
		_ = r.Close()
		r.requests, r.events = nil, nil
	}
	return r
}

func (r *Routes) open() (err error) {
	r.events, err = openNetlink(unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_NEXTHOP,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return fmt.Errorf("listen for changes of routes: %w", err)
	}
	// With a smaller buffer more events are lost, and everything is asked again.
	_ = unix.SetsockoptInt(r.events.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, eventBuffer)

	if r.requests, err = openNetlink(); err != nil {
		return fmt.Errorf("ask for routes: %w", err)
	}
	// The kernel answers while it is asked, so this is long.
	timeout := unix.NsecToTimeval(int64(time.Second))
	err = unix.SetsockoptTimeval(r.requests.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	if err != nil {
		return fmt.Errorf("ask for routes: %w", err)
	}
	if r.neighbours, err = readNeighbours(r.requests); err != nil {
		return fmt.Errorf("ask for neighbours: %w", err)
	}
	return nil
}

// Close closes all sockets.
func (r *Routes) Close() error {
	all := []error{r.devices.Close()}
	for _, socket := range []*netlinkSocket{r.requests, r.events} {
		if socket != nil {
			all = append(all, socket.close())
		}
	}
	return errors.Join(all...)
}

// Poll takes in what the kernel has told since the last time. It is to be called every few
// milliseconds while SYNs are sent.
func (r *Routes) Poll() {
	r.lookups = lookupsPerPoll
	if r.events == nil {
		return
	}

	if time.Since(r.read) > routesLast {
		r.changed()
	}

	for {
		messages, err := r.events.receive(unix.MSG_DONTWAIT)
		if errors.Is(err, unix.ENOBUFS) {
			r.reread()
			continue
		}
		if err != nil || len(messages) == 0 {
			return
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
				if r.neighbours.note(m.Header.Type == unix.RTM_DELNEIGH, m.Data) {
					r.paths++
				}
			case unix.RTM_DELLINK:
				r.DeviceGone()
			default:
				r.changed()
			}
		}
	}
}

// reread asks for everything again, after events were lost.
func (r *Routes) reread() {
	if known, err := readNeighbours(r.requests); err == nil {
		r.neighbours = known
	} else {
		clear(r.neighbours) // the kernel routes everything until it tells more
	}
	r.DeviceGone()
}

// DeviceGone says that a device that was sent to is no more: another may have its number.
func (r *Routes) DeviceGone() {
	_ = r.devices.Close() // they can no longer be used
	r.changed()
}

// changed has every route be asked for again.
func (r *Routes) changed() {
	r.routes, r.paths, r.read = r.routes+1, r.paths+1, time.Now()
	clear(r.addresses)
}

// Update brings a path up to date, if it is not. The error is that of a target that there is no way
// to.
func (r *Routes) Update(p *Path, to netip.AddrPort) error {
	if p.known == r.paths {
		return p.err
	}
	p.Socket = None
	if p.asked != r.routes {
		if r.lookups <= 0 && p.Source.IsValid() {
			return nil // another time
		}
		r.lookups--
		p.route, p.err = r.ask(to)
		p.Source, p.asked = p.route.source, r.routes
	}
	p.known = r.paths

	if hop, known := r.hop(p.route); known && p.err == nil {
		p.Socket, p.Frame = r.devices.Socket(hop.device), NewFrame(hop, p.Source, to)
	}
	return p.err
}

// ask finds the way to a target.
func (r *Routes) ask(to netip.AddrPort) (route, error) {
	if r.requests == nil {
		source, err := sourceOf(to)
		return route{source: source}, err
	}
	found, err := askRoute(r.requests, to)
	if errors.Is(err, unix.EOPNOTSUPP) || (err == nil && !found.source.IsValid()) {
		source, err := sourceOf(to)
		return route{source: source}, err
	}
	return found, err
}

// hop is the next hop of a route, if the kernel knows the neighbour and the device sends frames.
func (r *Routes) hop(to route) (Hop, bool) {
	hardware, known := r.neighbours[neighbour{to.device, to.next}]
	if to.device == 0 || !known {
		return Hop{}, false
	}

	own, is := r.addresses[to.device]
	if !is {
		if device, err := net.InterfaceByIndex(to.device); err == nil {
			own = device.HardwareAddr
		}
		r.addresses[to.device] = own
	}

	if len(own) != 6 {
		return Hop{}, false
	}

	return Hop{device: to.device, from: [6]byte(own), to: hardware}, true
}

// sourceOf is the address that the kernel uses towards another: what a connected datagram socket is
// bound to, which sends nothing.
func sourceOf(to netip.AddrPort) (netip.Addr, error) {
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the way to %s: %w", to.Addr(), err)
	}
	defer socket.Close()
	return socket.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
