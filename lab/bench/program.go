// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// shortRun is how many probes the shorter of the two runs of a program makes, whose difference is
// what probes cost without the start and the end.
const shortRun = 10

// program is a yardstick that is somebody else's.
type program struct {
	name string
	// arguments make it send so many probes at the rate, and wait for the answers.
	arguments func(turn Turn, count int) ([]string, error)
	// ports is how many ports of each target the longer run probes. A program that takes long to
	// start needs many probes to show what they cost.
	ports int
}

func programs() []program {
	return []program{{"fping", fping, 1}, {"hping3", hping3, 1}, {"masscan", masscan, 10}}
}

// interval is the time between the probes of a program, at the rate of the mode syn.
func interval(state State) time.Duration {
	rate := probe.SYN.DefaultMaxRate(probe.MinProcs)
	if state == Answered {
		rate = answeredRate
	}
	return time.Duration(float64(time.Second) / rate)
}

// fping sends one ICMP echo request to each target.
func fping(turn Turn, count int) ([]string, error) {
	targets := turn.State.targets(count)
	return []string{
		"--quiet", "--count=1", "--timeout=200",
		fmt.Sprintf("--interval=%.3f", interval(turn.State).Seconds()*1000),
		"--generate", targets[0].Addr().String(), targets[count-1].Addr().String(),
	}, nil
}

// hping3 sends SYNs to one target.
func hping3(turn Turn, count int) ([]string, error) {
	to := turn.State.targets(1)[0]
	return []string{
		"--quiet", "--numeric", "--syn", "--destport", strconv.Itoa(int(to.Port())),
		"--interval", fmt.Sprintf("u%d", interval(turn.State).Microseconds()),
		"--count", strconv.Itoa(count), to.Addr().String(),
	}, nil
}

// masscan sends SYNs to each target, with its own IP stack, which must be told what the kernel's
// knows.
func masscan(turn Turn, count int) ([]string, error) {
	device, err := net.InterfaceByName(wire)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", wire, err)
	}

	addresses, err := device.Addrs()
	if err != nil || len(addresses) == 0 {
		return nil, fmt.Errorf("find the address of %s: %w", wire, err)
	}

	ports := max(1, count/span)
	targets := turn.State.targets(count / ports)
	first, last := targets[0], targets[len(targets)-1]
	return []string{
		"--interface", wire, "--adapter-ip", addresses[0].(*net.IPNet).IP.String(),
		"--adapter-mac", device.HardwareAddr.String(), "--router-mac", turn.Router,
		"--rate", strconv.Itoa(int(time.Second / interval(turn.State))), "--wait", "0",
		"--ports", fmt.Sprintf("%d-%d", first.Port(), int(first.Port())+ports-1),
		first.Addr().String() + "-" + last.Addr().String(),
	}, nil
}

// run is the difference of a long run and a short one.
func (p program) run(ctx context.Context, turn Turn) (Reading, error) {
	if _, err := exec.LookPath(p.name); err != nil {
		return Reading{}, fmt.Errorf("it is not installed (make bench-packages): %w", err)
	}

	short, err := p.once(ctx, turn, shortRun)
	if err != nil {
		return Reading{}, err
	}

	count := span
	if turn.State == Dropped {
		count *= p.ports // only the first port answers
	}

	long, err := p.once(ctx, turn, count)
	return long.since(short), err
}

// once runs the program with a count of probes.
func (p program) once(ctx context.Context, turn Turn, count int) (Reading, error) {
	arguments, err := p.arguments(turn, count)
	if err != nil {
		return Reading{}, err
	}

	command := exec.CommandContext(ctx, p.name, arguments...)
	var output []byte
	r, err := spend(func() (int64, error) {
		stop := knock()
		defer stop()
		var err error
		output, err = command.CombinedOutput()
		var failed *exec.ExitError
		if errors.As(err, &failed) && failed.Exited() {
			err = nil // these programs fail when a target does not answer
		}
		return int64(count), err
	})

	if err == nil && float64(r.Sent) < most*float64(count) {
		err = fmt.Errorf("only %d packets left for %d probes", r.Sent, count)
	}
	if err != nil {
		return r, fmt.Errorf("run %s: %w: %s", p.name, err, tail(output))
	}

	return r, nil
}

// knock has a packet cross the wire now and then: masscan looks whether it is done only when it
// sees one, and from targets that do not answer it would wait for ever.
func knock() (stop func()) {
	const sometimes = 100 * time.Millisecond
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(sometimes):
			}
			if socket, err := net.Dial("udp", flat.Targets(1, false)[0].String()); err == nil {
				_, _ = socket.Write([]byte{0}) // whatever becomes of it
				_ = socket.Close()
			}
		}
	}()

	return func() { close(done) }
}

// tail is the end of what a program said, as one line.
func tail(output []byte) string {
	const enough = 200
	return strings.Join(strings.Fields(string(output[max(0, len(output)-enough):])), " ")
}
