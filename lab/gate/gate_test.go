// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/netpol-latency/netpol-latency/internal/cli/wait"
	"github.com/netpol-latency/netpol-latency/internal/gate"
	"github.com/netpol-latency/netpol-latency/lab/flat"
)

// asProgram makes the test's binary a program in a namespace of the network: the gate, or the host
// that answers for the targets.
const asProgram = "NETPOL_LATENCY_GATE_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "wait":
		os.Exit(wait.Main("netpol-latency-wait", "", os.Args[1:], os.Stdout, os.Stderr))
	case "serve":
		fmt.Println(flat.Serve(func() { fmt.Println("ready") }))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// program is this binary as a program.
func program(name string, arguments ...string) *exec.Cmd {
	command := exec.Command("/proc/self/exe", arguments...)
	command.Env = append(os.Environ(), asProgram+"="+name)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Stderr = os.Stderr
	return command
}

// network is a flat network whose targets answer.
type network struct {
	*flat.Network
	filter sync.Mutex // one change at a time
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	made, err := flat.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Close(); err != nil {
			t.Error(err)
		}
	})
	server := program("serve")
	// The death signal comes when the thread ends that started it, which is the namespace's.
	server.SysProcAttr = nil
	output, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Target.Do(server.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	if _, err := output.Read(make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	n := &network{Network: made}
	n.await(t)
	return n
}

// await waits until the way to the targets is found, by both families: neighbours look for each
// other first.
func (n *network) await(t *testing.T) {
	t.Helper()
	_, code, err := n.wait("--allowed=tcp://"+flat.Targets(1, false)[0].String(),
		"--allowed=tcp://"+flat.Targets(1, true)[0].String(), "--hold=20ms")
	if err != nil || code != wait.ExitOpen {
		t.Fatalf("the targets do not answer: exit code %d, %v", code, err)
	}
}

// wait runs the gate in the client's namespace and returns its certificate and exit code.
func (n *network) wait(arguments ...string) (proof gate.Certificate, code int, err error) {
	command := program("wait", append(arguments, "--json", "--quiet")...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, nil
	err = n.Client.Do(command.Run)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return proof, 0, err
	}
	if err := json.Unmarshal(output.Bytes(), &proof); err != nil {
		return proof, 0, fmt.Errorf("read the certificate %q: %w", &output, err)
	}
	return proof, command.ProcessState.ExitCode(), nil
}

// trial is one gate and one change.
type trial struct {
	want     gate.Kind
	denial   flat.Denial
	protocol string
	target   netip.AddrPort
	control  netip.AddrPort
	delay    time.Duration
}

func (t trial) String() string {
	return fmt.Sprintf("%s %s by %s after %s", t.want, t.protocol, t.denial, t.delay)
}

// hold is for how long the gates of the trials watch.
const hold = 100 * time.Millisecond

// run makes the change after the delay and returns when, and what the gate says.
func (n *network) run(one trial) (flat.Commit, gate.Certificate, error) {
	change := n.Block
	if one.want == gate.Allowed {
		change = n.Allow
		if _, err := n.change(n.Block, one); err != nil {
			return flat.Commit{}, gate.Certificate{}, err
		}
	}

	var commit flat.Commit
	var proof gate.Certificate
	var both errgroup.Group
	both.Go(func() (err error) {
		time.Sleep(one.delay) // of the trial, not for luck
		commit, err = n.change(change, one)
		return err
	})
	both.Go(func() error {
		var code int
		var err error
		proof, code, err = n.wait(
			fmt.Sprintf("--%s=%s://%s", one.want, one.protocol, one.target),
			fmt.Sprintf("--control=tcp://%s", one.control),
			"--hold", hold.String(), "--probe-interval=2ms", "--timeout=1m")
		if err == nil && code != wait.ExitOpen {
			err = fmt.Errorf("%s: the gate ends with %d: %+v", one, code, proof)
		}
		return err
	})
	err := both.Wait()
	return commit, proof, err
}

func (n *network) change(
	do func(flat.Denial, []netip.AddrPort) ([]flat.Commit, error), one trial,
) (flat.Commit, error) {
	n.filter.Lock()
	defer n.filter.Unlock()
	commits, err := do(one.denial, []netip.AddrPort{one.target})
	if err != nil {
		return flat.Commit{}, err
	}
	return commits[0], nil
}

// others are targets that no trial changes.
func others(count int, six bool) []netip.AddrPort {
	const trials = 10_000
	return flat.Targets(trials+count, six)[trials:]
}

// trials are so many, at random: $TRIALS of them, with delays of up to 2 s, or a few dozen with
// shorter ones.
func trials(t *testing.T) []trial {
	t.Helper()
	count, longest := 36, 500*time.Millisecond
	if text := os.Getenv("TRIALS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			t.Fatalf("TRIALS: %v", err)
		}
		longest = 2 * time.Second
	}

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	targets := [][]netip.AddrPort{flat.Targets(count+1, false), flat.Targets(count+1, true)}
	var all []trial
	for i := range count {
		one := trial{want: gate.Blocked, denial: flat.Denials()[i%3], protocol: "tcp"}
		if i/3%3 == 2 {
			one.want = gate.Allowed
		}
		if one.denial == flat.Drop && random.IntN(2) == 0 {
			one.protocol = "udp"
		}
		family := targets[random.IntN(2)]
		one.target, one.control = family[i], family[count]
		one.delay = time.Duration(random.Int64N(int64(longest)))
		all = append(all, one)
	}
	return all
}

// TestGate holds gates against one network, each part with targets of its own.
func TestGate(t *testing.T) {
	n := newNetwork(t)
	t.Run("changes at random", func(t *testing.T) { changeAtRandom(t, n) })
	t.Run("the filter flaps", func(t *testing.T) { flap(t, n) })
	t.Run("the way is shut", func(t *testing.T) { shutTheWay(t, n) })
}

// changeAtRandom makes changes at random instants, while gates wait for them: each opens soon after
// its change, and never before.
func changeAtRandom(t *testing.T, n *network) {
	var mu sync.Mutex
	var delays, lateness []time.Duration
	var some errgroup.Group
	some.SetLimit(4) // processes beside each other
	for _, one := range trials(t) {
		some.Go(func() error {
			commit, proof, err := n.run(one)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if after, counts := expectOpened(t, one, commit, proof); counts {
				delays, lateness = append(delays, after), append(lateness, proof.Lateness)
			}
			return nil
		})
	}
	if err := some.Wait(); err != nil {
		t.Fatal(err)
	}

	slices.Sort(delays)
	slices.Sort(lateness)
	middle, late := delays[len(delays)/2], lateness[len(lateness)/2]
	t.Logf("beside --hold %d gates opened %s (median) and %s (the slowest) after the change; "+
		"their probes were late by up to %s (median)",
		len(delays), middle, delays[len(delays)-1], late)
	// A machine that is busy otherwise makes probes late.
	if most := 20*time.Millisecond + late; middle > most {
		t.Errorf("half of the gates opened %s or more after the change; want %s", middle, most)
	}
}

// expectOpened checks that a gate opened when its change had been made for as long as it holds, and
// that the bracket has the change. It returns how much later that was. A gate that came after the
// change does not count.
func expectOpened(
	t *testing.T, one trial, commit flat.Commit, proof gate.Certificate,
) (after time.Duration, counts bool) {
	t.Helper()
	// What was sent just before the change may have met the filter after it.
	const way = time.Millisecond
	if early := proof.Ended.Sub(commit.Before); early < hold-way {
		t.Errorf("%s: the gate opens %s after the change; want %s or more", one, early, hold)
	}
	found := proof.Expectations[1].Addresses[0]
	if found.Upper.Before(commit.Before) || found.Lower.After(commit.After) {
		t.Errorf("%s: the bracket is [%s, %s] of the commit, which took %s", one,
			found.Lower.Sub(commit.Before), found.Upper.Sub(commit.Before),
			commit.After.Sub(commit.Before))
	}
	return proof.Ended.Sub(commit.After) - hold, !found.Lower.IsZero()
}

// flap blocks a target again and again, never for as long as the gate holds.
func flap(t *testing.T, n *network) {
	for _, denial := range []flat.Denial{flat.Drop, flat.Reset} {
		t.Run(string(denial), func(t *testing.T) {
			t.Parallel()
			targets := others(2, denial == flat.Reset)
			one := trial{want: gate.Blocked, denial: denial, target: targets[0]}
			done := make(chan struct{})
			var flapping errgroup.Group
			flapping.Go(func() error {
				for {
					for _, do := range []func(flat.Denial, []netip.AddrPort) ([]flat.Commit, error){
						n.Block, n.Allow,
					} {
						if _, err := n.change(do, one); err != nil {
							return err
						}
						select {
						case <-done:
							return nil
						case <-time.After(100 * time.Millisecond):
						}
					}
				}
			})
			proof, code, err := n.wait("--blocked=tcp://"+targets[0].String(),
				"--control=tcp://"+targets[1].String(), "--hold=500ms", "--timeout=2s")
			close(done)
			if err := errors.Join(err, flapping.Wait()); err != nil {
				t.Fatal(err)
			}
			if code != wait.ExitTimeout {
				t.Errorf("the gate ends with %d, %s: %+v", code, proof.Result, proof.Expectations)
			}
		})
	}
}

// shutTheWay shuts everything, the control too: silence proves nothing then.
func shutTheWay(t *testing.T, n *network) {
	t.Parallel()
	targets := others(4, false)[2:]
	for _, target := range targets {
		if _, err := n.change(n.Block, trial{denial: flat.Drop, target: target}); err != nil {
			t.Fatal(err)
		}
	}
	_, code, err := n.wait("--blocked=tcp://"+targets[0].String(),
		"--control=tcp://"+targets[1].String(), "--timeout=1200ms", "--probe-timeout=200ms")
	if err != nil || code != wait.ExitTimeout {
		t.Errorf("the gate ends with %d, %v; want %d", code, err, wait.ExitTimeout)
	}
}
