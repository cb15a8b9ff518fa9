// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package wait

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/gate"
	"github.com/netpol-latency/netpol-latency/internal/ownpod"
)

// asProgram makes the test's binary the program.
const asProgram = "NETPOL_LATENCY_WAIT_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main("netpol-latency-wait", "", os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// call runs the program.
func call(t *testing.T, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	code = Main("netpol-latency-wait", "v1.2.3", arguments, &out, &problems)
	return code, out.String(), problems.String()
}

// listen opens a port of the loopback interface.
func listen(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

func TestProgram(t *testing.T) {
	open := "tcp://" + listen(t)
	quick := []string{"--hold=30ms", "--timeout=300ms", "--probe-timeout=50ms"}
	for _, test := range []struct {
		name           string
		arguments      []string
		code           int
		stdout, stderr string // parts, empty for nothing at all
	}{
		{"open", []string{"--allowed", open}, ExitOpen, "open after ", ""},
		{"open, quietly", []string{"--allowed", open, "--quiet"}, ExitOpen, "", ""},
		{"the contrary", []string{"--blocked", open, "-q"}, ExitOpposite, "",
			"netpol-latency-wait: " +
				open +
				" is allowed, and it should be blocked: the contrary of what is expected was so " +
				"all the time\n"},
		{"not known", []string{"--blocked", "tcp://none.invalid:80", "-q"}, ExitTimeout, "",
			"tcp://none.invalid:80 has no address yet, and it should be blocked: resolve " +
				"none.invalid"},
		{"nothing to wait for", nil, ExitFailure, "", "expected --blocked or --allowed"},
		{"all mistakes at once", []string{"--blocked=x", "--allowed=tcp://a:0"}, ExitFailure, "",
			"--blocked \"x\" has no scheme: expected for example tcp://10.0.0.7:443\n" +
				"--allowed \"tcp://a:0\" has the port \"0\": expected 1 to 65535\n"},
		{"an argument", []string{open}, ExitFailure, "", "unknown command"},
		{"help", []string{"--help"}, ExitOpen, "netpol-latency-wait --blocked tcp://169.254", ""},
		{"version", []string{"--version"}, ExitOpen, "netpol-latency-wait v1.2.3", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			arguments := append(quick[:len(quick):len(quick)], test.arguments...)
			quiet := slices.Contains(arguments, "--quiet") || slices.Contains(arguments, "-q")
			code, stdout, stderr := call(t, arguments...)
			if code != test.code {
				t.Errorf("it ends with %d; want %d", code, test.code)
			}
			for _, one := range []struct{ what, got, want string }{
				{"output", stdout, test.stdout}, {"messages", stderr, test.stderr},
			} {
				if one.want == "" && one.got != "" && quiet ||
					!strings.Contains(one.got, one.want) {
					t.Errorf("the %s are %q; want %q", one.what, one.got, one.want)
				}
			}
		})
	}
}

// The certificate is one line, and nothing else is on standard output.
func TestJSON(t *testing.T) {
	open := "tcp://" + listen(t)
	code, stdout, _ := call(t, "--allowed", open, "--json", "--hold", "30ms")
	if code != ExitOpen || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("it ends with %d, and prints %q", code, stdout)
	}
	var proof gate.Certificate
	if err := json.Unmarshal([]byte(stdout), &proof); err != nil {
		t.Fatal(err)
	}
	one := proof.Expectations[0]
	if proof.Result != gate.Open || !one.Holds || one.Target != open ||
		one.Addresses[0].Watched < 30*time.Millisecond || one.Addresses[0].Agreed < 3 {
		t.Errorf("it says %+v", proof)
	}
}

// A signal ends the program, which says what it has seen by then.
func TestSignals(t *testing.T) {
	// Under nohup(1) the program would ignore this one: a process inherits that, and no handler.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(handled) })

	for _, sent := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sent.String(), func(t *testing.T) {
			t.Parallel()
			command := exec.Command("/proc/self/exe", "--blocked", "tcp://"+listen(t), "--json")
			command.Env = append(os.Environ(), asProgram+"=yes")
			var output bytes.Buffer
			command.Stdout = &output
			messages, err := command.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(messages)
			if !lines.Scan() || !strings.Contains(lines.Text(), "waiting: ") {
				t.Errorf("it says %q", lines.Text())
			}
			if err := command.Process.Signal(sent); err != nil {
				t.Fatal(err)
			}
			last := ""
			for lines.Scan() {
				last = lines.Text()
			}
			_ = command.Wait() // the code below says it better
			if code := command.ProcessState.ExitCode(); code != ExitFailure ||
				!strings.Contains(last, "interrupted: ") {
				t.Errorf("it ends with %d, and says %q", code, last)
			}
			var proof gate.Certificate
			if err := json.Unmarshal(output.Bytes(), &proof); err != nil ||
				proof.Result != gate.Interrupted || len(proof.Expectations) != 1 {
				t.Errorf("its record is %q: %v", &output, err)
			}
		})
	}
}

func TestLines(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	address := func(change func(*gate.Address)) gate.Address {
		one := gate.Address{State: "blocked", Evidence: "dropped", Holds: true, Agreed: 41,
			Upper: at(1500), Watched: 203 * time.Millisecond}
		one.Address = netip.MustParseAddrPort("10.0.0.7:80")
		change(&one)
		return one
	}
	proof := gate.Certificate{
		Result: gate.Open, Began: began, Took: 1720 * time.Millisecond,
		Warnings: []string{"there is no control"},
		Expectations: []gate.Finding{
			{Expect: gate.Blocked, Target: "tcp://10.0.0.7:80", Addresses: []gate.Address{
				address(func(a *gate.Address) {
					a.Lower, a.Resolution = at(1495), 5*time.Millisecond
				})}},
			{Expect: gate.Allowed, Target: "tcp://db:80", Addresses: []gate.Address{
				address(func(a *gate.Address) { a.State, a.Evidence = "allowed", "allowed" }),
				address(func(a *gate.Address) { *a = gate.Address{Address: a.Address} }),
			}},
			{Expect: gate.Blocked, Target: "tcp://none:80", Problem: "resolve none: no such host"},
		},
	}
	const want = `blocked tcp://10.0.0.7:80: blocked (dropped) since 1500ms after the start ` +
		`(resolution 5.00ms), watched for 203ms by 41 probes
allowed tcp://db:80 (10.0.0.7): allowed (allowed) from the beginning, watched for 203ms by 41 probes
allowed tcp://db:80 (10.0.0.7): not known after 0 probes
blocked tcp://none:80: resolve none: no such host
warning: there is no control
open after 1720ms
`
	if got := lines(proof); got != want {
		t.Errorf("it says:\n%s\nwant:\n%s", got, want)
	}
}

// What one program is told is what another does by its arguments.
func TestArguments(t *testing.T) {
	want := gate.DefaultConfig()
	want.Hold, want.Timeout = time.Second, time.Minute
	for _, one := range []struct {
		kind gate.Kind
		text string
	}{{gate.Control, "tcp6://db:1"}, {gate.Blocked, "udp://[fd00::7]:53"}} {
		endpoint, err := gate.ParseEndpoint(one.text)
		if err != nil {
			t.Fatal(err)
		}
		want.Expect = append(want.Expect, gate.Expect{Kind: one.kind, Endpoint: endpoint})
	}
	var got gate.Config
	cmd := New("wait", "wait", func(_ context.Context, config gate.Config,
		_ func(gate.Certificate)) (gate.Certificate, error) {
		got = config
		return gate.Certificate{Result: gate.Open}, nil
	})
	cmd.SetArgs(Arguments(want))
	cmd.SetOut(io.Discard)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the configurations differ (-want +got):\n%s", diff)
	}
}

func TestCondition(t *testing.T) {
	blocked := gate.Finding{Expect: gate.Blocked, Target: "tcp://10.0.0.7:80", Opposite: true,
		Addresses: []gate.Address{{Address: netip.MustParseAddrPort("10.0.0.7:80"),
			State: "allowed", Evidence: "allowed"}}}
	for result, want := range map[gate.Result]ownpod.Condition{
		gate.Open: {Type: "c", True: true, Reason: "Enforced",
			Message: "everything was as expected for 1s"},
		gate.Opposite: {Type: "c", Reason: "NotEnforced",
			Message: "tcp://10.0.0.7:80 is allowed, and it should be blocked"},
		gate.TimedOut: {Type: "c", Reason: "NotProved",
			Message: "tcp://10.0.0.7:80 is allowed, and it should be blocked"},
	} {
		o := options{condition: "c"}
		proof := gate.Certificate{Result: result, Hold: time.Second,
			Expectations: []gate.Finding{blocked}}
		if got := o.conditionOf(proof); got != want {
			t.Errorf("%s makes the condition %+v; want %+v", result, got, want)
		}
	}
}

// In a log each thing that is waited for is one line.
func TestProgress(t *testing.T) {
	var log bytes.Buffer
	p := newProgress(&log)
	proof := gate.Certificate{Took: 100 * time.Millisecond, Expectations: []gate.Finding{{
		Expect: gate.Blocked, Target: "tcp://10.0.0.7:80",
		Addresses: []gate.Address{{State: "allowed", Evidence: "allowed"}},
	}}}
	p.show(proof)
	p.show(proof)
	proof.Took, proof.Expectations[0].Addresses[0].State = time.Second, "blocked"
	p.show(proof)
	p.end()
	got := strings.Count(log.String(), "\n")
	if got != 2 || !strings.HasPrefix(log.String(), "[  0.1s] waiting: ") {
		t.Errorf("the log is %q; want 2 lines", &log)
	}
}
