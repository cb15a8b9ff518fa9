// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/vishvananda/netlink"

	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// The numbers of pairs that the engine probes.
const (
	costPairs   = 500
	memoryPairs = 10_000
)

// bench is a network in which turns are made.
type bench struct {
	network  *flat.Network
	server   *server
	router   string
	progress io.Writer
}

// newBench builds the network, and starts the server in it. Close ends both.
func newBench(progress io.Writer) (b *bench, err error) {
	b = &bench{progress: progress}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()

	if b.network, err = flat.New(); err != nil {
		return b, err
	}

	if _, err := b.network.Block(flat.Drop, Dropped.targets(span)); err != nil {
		return b, err
	}

	err = b.network.Router.Do(func() error {
		found, err := netlink.LinkByName(routerWire)
		if err != nil {
			return fmt.Errorf("find the router's address: %w", err)
		}
		b.router = found.Attrs().HardwareAddr.String()
		return nil
	})

	if err != nil {
		return b, err
	}

	b.server, err = startServer(b.network.Target)
	return b, err
}

func (b *bench) close() error {
	err := b.server.close()
	if b.network != nil {
		err = errors.Join(err, b.network.Close())
	}
	return err
}

// run makes all turns: rounds of the yardsticks, and then what the engine needs of memory.
func (b *bench) run(ctx context.Context, rounds int, all []yardstick) (*Results, error) {
	results := newResults()
	for round := range rounds {
		for _, y := range all {
			if results.isLeftOut(y.name) {
				continue
			}
			fmt.Fprintf(b.progress, "round %d of %d: %-14s ", round+1, rounds, y.name)
			readings, err := b.play(ctx, y)
			if ctx.Err() != nil {
				return nil, fmt.Errorf("measure %s: %w", y.name, ctx.Err())
			}
			if err != nil && !y.optional {
				return nil, fmt.Errorf("measure %s: %w", y.name, err)
			}
			if err != nil {
				results.leaveOut(y.name, err)
				fmt.Fprintf(b.progress, "left out: %v\n", err)
				continue
			}
			results.add(y.name, readings)
		}
	}

	return results, b.measureMemory(ctx, results)
}

// measureMemory measures what many pairs need.
func (b *bench) measureMemory(ctx context.Context, results *Results) error {
	for _, mode := range []probe.Mode{probe.SYN, probe.Connect} {
		reading, err := b.take(ctx, Turn{Yardstick: string(mode), State: Dropped,
			Pairs: memoryPairs})
		if err != nil {
			return fmt.Errorf("measure the memory of %s: %w", mode, err)
		}
		results.memory[string(mode)] = reading.Memory
		fmt.Fprintf(b.progress, "memory of %s: %d MiB\n", mode, reading.Memory>>20)
	}
	return nil
}

// play makes one turn of the yardstick in each of its states.
func (b *bench) play(ctx context.Context, y yardstick) (map[State]Reading, error) {
	readings := make(map[State]Reading)
	for _, state := range y.states() {
		turn := Turn{Yardstick: y.name, State: state, Pairs: costPairs}
		measure := func() (err error) {
			readings[state], err = b.take(ctx, turn)
			return err
		}
		var err error
		if y.ingress {
			err = whileIngressDrops(b.network.Router, routerWire, measure)
		} else {
			err = measure()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", state, err)
		}
		r := readings[state]
		fmt.Fprintf(b.progress, " %s %s µs", state, micros(r.perProbe(r.CPU)))
	}

	fmt.Fprintln(b.progress)
	return readings, nil
}

// take makes a turn in the client's namespace, and checks that it measured what it is meant to.
func (b *bench) take(ctx context.Context, turn Turn) (Reading, error) {
	turn.Router = b.router
	reading, err := turn.take(ctx, b.network.Client)
	if err != nil {
		return reading, err
	}
	return reading, reading.check(turn.State)
}
