// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// Subject is one way to probe.
type Subject struct {
	Name string
	// Ours says that it is a mode of the engine, Yardstick that it is another program that is made for
	// many probes.
	Ours, Yardstick bool
	// Probes is how many it sends in a turn, and Rate how many a second.
	Probes int
	Rate   float64
	// command is another program and its arguments; without one, this program does it itself.
	command func(targets []netip.AddrPort, probes int, rate float64, router string) []string
	// dropped says that it cannot be answered.
	dropped bool
}

// Names of those that goals are about.
const (
	nameCurl  = "sh -c curl"
	nameFloor = "floor"
)

// Subjects lists every way to probe.
func Subjects() []Subject {
	ours := func(mode probe.Mode, rate float64) Subject {
		return Subject{Name: string(mode), Ours: true, Probes: int(2 * rate), Rate: rate}
	}
	return []Subject{
		{Name: nameFloor, Probes: 200_000, Rate: 100_000, dropped: true},
		ours(probe.SYN, 100_000), ours(probe.UDP, 10_000), ours(probe.Connect, 10_000), ours(probe.HTTP, 5000),
		{Name: "net.Dialer", Probes: 2000},
		{Name: "net/http", Probes: 2000},
		{Name: nameCurl, Probes: 30},
		{Name: "hping3", Yardstick: true, Probes: 20_000, Rate: 10_000, command: hping3},
		{Name: "masscan", Yardstick: true, Probes: 10_000, Rate: 10_000, command: masscan},
		{Name: "fping", Yardstick: true, Probes: 5000, Rate: 5000, command: fping},
	}
}

// many is how many addresses the answering targets have, and the dropped ones, which follow them.
const many = 10_000

// Targets are the addresses that answer, or those whose packets the router drops.
func Targets(dropped bool) []netip.AddrPort {
	all := flat.Targets(2*many, false)
	if dropped {
		return all[many:]
	}
	return all[:many]
}

func hping3(targets []netip.AddrPort, probes int, rate float64, _ string) []string {
	return []string{
		"hping3", "-q", "-n", "-S", "-p", strconv.Itoa(flat.Port), "-i", fmt.Sprintf("u%d", pace(rate).Microseconds()),
		"-c", strconv.Itoa(probes), targets[0].Addr().String(),
	}
}

func masscan(targets []netip.AddrPort, probes int, rate float64, router string) []string {
	return []string{
		"masscan", "-p" + strconv.Itoa(flat.Port), "--rate", strconv.Itoa(int(rate)), "--wait", "0",
		"--adapter", "eth0", "--adapter-ip", "10.90.0.2", "--router-mac", router, "-oX", "/dev/null",
		targets[0].Addr().String() + "-" + targets[probes-1].Addr().String(),
	}
}

// fping asks by ICMP: it is a yardstick for pacing and matching, not for TCP.
func fping(targets []netip.AddrPort, probes int, rate float64, _ string) []string {
	const some = 100
	command := []string{
		"fping", "-q", "-t", "100", "-c", strconv.Itoa(probes / some),
		"-i", fmt.Sprintf("%.1f", float64(pace(rate).Microseconds())/1000),
		"-p", strconv.Itoa(int(some * pace(rate).Milliseconds())),
	}
	if pace(rate).Milliseconds() == 0 {
		command[len(command)-1] = "20"
	}
	for _, to := range targets[:some] {
		command = append(command, to.Addr().String())
	}
	return command
}
