// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/lab/flat"
	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// rig is the network with a server in it.
type rig struct {
	network *flat.Network
	server  *exec.Cmd
	router  string // the link-layer address of the router
}

// newRig builds the network and starts the server. close takes both down.
func newRig() (b *rig, err error) {
	b = &rig{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.network, err = flat.New(); err != nil {
		return b, err
	}
	if err := dropAtIngress(b.network.Router); err != nil {
		return b, err
	}
	if _, err := b.network.Block(flat.Drop, Targets(true)); err != nil {
		return b, err
	}
	err = b.network.Router.Do(func() error {
		wire, err := netlink.LinkByName("client")
		if err == nil {
			b.router = wire.Attrs().HardwareAddr.String()
		}
		return err
	})
	if err != nil {
		return b, fmt.Errorf("find the router's address: %w", err)
	}
	return b, b.serve()
}

// serve starts the server and waits until it is ready.
func (b *rig) serve() error {
	server := exec.Command("/proc/self/exe", "serve")
	server.Stderr, server.SysProcAttr = os.Stderr, ownGroup()
	// The server ends with its input, which is open for as long as this process lives.
	_, failed := server.StdinPipe()
	output, err := server.StdoutPipe()
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	if err := startIn(b.network.Target, server); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	b.server = server
	var ready bool
	if err := json.NewDecoder(output).Decode(&ready); err != nil {
		return fmt.Errorf("wait for the server: %w", err)
	}
	return nil
}

// ownGroup keeps a terminal's Ctrl-C, which is for the parent, from a child.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// startIn starts a command inside a namespace.
func startIn(where *netns.Namespace, command *exec.Cmd) error { return where.Do(command.Start) }

func (b *rig) close() error {
	var all []error
	if b.server != nil {
		_ = b.server.Process.Kill() // it can only have ended already
		_ = b.server.Wait()         // killed, as it says
	}
	if b.network != nil {
		all = append(all, b.network.Close())
	}
	return errors.Join(all...)
}

// turn has a subject send its probes once.
func (b *rig) turn(ctx context.Context, s Subject, dropped bool) (Work, error) {
	if s.command != nil {
		return b.program(ctx, s, s.command(Targets(dropped), s.Probes, s.Rate, b.router))
	}
	arguments := []string{
		"turn", s.Name, strconv.FormatBool(dropped), strconv.Itoa(s.Probes), strconv.Itoa(int(s.Rate)), b.router,
	}
	return b.self(ctx, arguments)
}

// self runs this program with a hidden command, which prints its work.
func (b *rig) self(ctx context.Context, arguments []string) (Work, error) {
	command := exec.CommandContext(ctx, "/proc/self/exe", arguments...)
	var output bytes.Buffer
	command.Stdout, command.Stderr, command.SysProcAttr = &output, os.Stderr, ownGroup()
	if err := startIn(b.network.Client, command); err != nil {
		return Work{}, fmt.Errorf("start %v: %w", arguments, err)
	}
	if err := command.Wait(); err != nil {
		return Work{}, fmt.Errorf("run %v: %w", arguments, err)
	}
	var work Work
	if err := json.Unmarshal(output.Bytes(), &work); err != nil {
		return Work{}, fmt.Errorf("read the work of %v: %w", arguments, err)
	}
	return work, nil
}

// patience is how long another program may take over its turn.
const patience = 30 * time.Second

// program runs another program, whose exit code says only what it thinks of the answers.
func (b *rig) program(ctx context.Context, s Subject, line []string) (Work, error) {
	path, err := exec.LookPath(line[0])
	if err != nil {
		return Work{}, fmt.Errorf("it is not installed: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, path, line[1:]...)
	var said bytes.Buffer
	command.Stdout, command.Stderr, command.SysProcAttr = &said, &said, ownGroup()
	if err := startIn(b.network.Client, command); err != nil {
		return Work{}, fmt.Errorf("start %s: %w", line[0], err)
	}
	err = command.Wait()
	state := command.ProcessState
	switch {
	case ctx.Err() != nil:
		return Work{}, fmt.Errorf("it had not ended after %s", patience)
	case state.UserTime()+state.SystemTime() < 5*time.Millisecond:
		return Work{}, fmt.Errorf("it did not do its work: %w: %.60s", err, said.Bytes())
	}
	return Work{Probes: s.Probes, CPU: state.UserTime() + state.SystemTime()}, nil
}

// Run plays every subject in turns and returns what each costs, and the memory of ten thousand pairs.
func Run(ctx context.Context, rounds int, progress io.Writer) (_ []Cost, _ map[probe.Mode]int64, err error) {
	b, err := newRig()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	var costs []Cost
	for _, subject := range Subjects() {
		costs = append(costs, Cost{Subject: subject})
	}
	for round := range rounds {
		for i := range costs {
			fmt.Fprintf(progress, "round %d of %d: %s\n", round+1, rounds, costs[i].Name)
			if err := b.play(ctx, &costs[i]); err != nil {
				return nil, nil, err
			}
		}
	}
	memory := make(map[probe.Mode]int64)
	for _, mode := range []probe.Mode{probe.SYN, probe.Connect} {
		fmt.Fprintf(progress, "memory of %d pairs: %s\n", many, mode)
		work, err := b.self(ctx, []string{"pairs", string(mode)})
		if err != nil {
			return nil, nil, err
		}
		memory[mode] = work.Memory
	}
	return costs, memory, nil
}

// play gives a subject its turns of one round. Only another program may be missing.
func (b *rig) play(ctx context.Context, cost *Cost) error {
	for _, dropped := range []bool{true, false} {
		if cost.Missing != nil || (cost.dropped && !dropped) {
			continue
		}
		work, err := b.turn(ctx, cost.Subject, dropped)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && cost.Yardstick:
			cost.Missing = err
		case err != nil:
			return err
		case dropped:
			cost.Dropped = cost.Dropped.Add(work)
		default:
			cost.Answered = cost.Answered.Add(work)
		}
	}
	return nil
}
