// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package gate

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listen opens a port of the loopback interface, or opens it again.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// closed is a port of the loopback interface that nobody serves.
func closed(t *testing.T) string {
	t.Helper()
	listener := listen(t, "127.0.0.1:0")
	_ = listener.Close()
	return listener.Addr().String()
}

// silent is a port whose backlog is full: the kernel drops every further SYN, as a policy does.
func silent(t *testing.T) string {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(os.NewSyscallError("socket", err))
	}
	t.Cleanup(func() { _ = unix.Close(socket) })
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(os.NewSyscallError("bind", err))
	}
	if err := unix.Listen(socket, 0); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	bound, err := unix.Getsockname(socket)
	if err != nil {
		t.Fatal(os.NewSyscallError("getsockname", err))
	}
	to := fmt.Sprintf("127.0.0.1:%d", bound.(*unix.SockaddrInet4).Port)
	connection, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return to
}

// echo sends datagrams back.
func echo(t *testing.T) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		var buffer [64]byte
		for {
			n, from, err := socket.ReadFrom(buffer[:])
			if err != nil {
				return
			}
			_, _ = socket.WriteTo(buffer[:n], from)
		}
	}()
	return socket.LocalAddr().String()
}

// quick is a configuration for tests.
func quick(t *testing.T, texts ...string) Config {
	t.Helper()
	config := DefaultConfig()
	config.Expect = expects(t, texts...)
	config.Hold, config.Timeout = 60*time.Millisecond, 500*time.Millisecond
	config.ProbeTimeout = 100 * time.Millisecond
	return config
}

// TestRun holds the gate against ports that are open, closed and silent, on a real network stack.
func TestRun(t *testing.T) {
	for _, test := range []struct {
		name string
		// expect has OPEN, CLOSED, SILENT and ECHO for such ports.
		expect  []string
		want    Result
		warning string
	}{
		{"allowed", []string{"allowed tcp://OPEN"}, Open, ""},
		{"allowed by UDP and IPv6", []string{"allowed udp://ECHO"}, Open, ""},
		{"a name", []string{"allowed tcp4://localhost:PORT"}, Open, ""},
		{"blocked, with a control", []string{"blocked tcp://SILENT", "control tcp://OPEN"}, Open,
			""},
		{"blocked, without one", []string{"blocked tcp://SILENT"}, Open, "there is no control"},
		{"refused", []string{"blocked tcp://CLOSED", "control tcp://OPEN"}, Open,
			"a policy that resets looks like a port that nobody serves"},
		{"several at once", []string{"blocked tcp://SILENT", "allowed tcp://OPEN",
			"allowed udp://ECHO", "control tcp://OPEN"}, Open, ""},
		{"allowed, and should be blocked", []string{"blocked tcp://OPEN"}, Opposite, ""},
		{"blocked, and should be allowed", []string{"allowed tcp://SILENT"}, Opposite, ""},
		{"one of two is the contrary", []string{"blocked tcp://OPEN", "allowed tcp://OTHER"},
			Opposite, ""},
		{"a control that is silent proves nothing", []string{"blocked tcp://SILENT",
			"control tcp://CLOSED"}, TimedOut, ""},
		{"a name that there is not", []string{"blocked tcp://none.invalid:1"}, TimedOut, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			open := listen(t, "127.0.0.1:0").Addr().String()
			_, port, _ := net.SplitHostPort(open)
			ports := strings.NewReplacer("OPEN", open, "CLOSED", closed(t), "SILENT", silent(t),
				"ECHO", echo(t), "OTHER", listen(t, "127.0.0.1:0").Addr().String(), "PORT", port)
			for i := range test.expect {
				test.expect[i] = ports.Replace(test.expect[i])
			}
			config := quick(t, test.expect...)
			got, err := Run(t.Context(), config, func(Certificate) {})
			// Without a processor nothing is proved, which is right and not what is asked here.
			for range 5 {
				if err == nil && got.Result != test.want && got.Lateness > config.Hold/4 {
					got, err = Run(t.Context(), config, func(Certificate) {})
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Result != test.want {
				t.Errorf("the gate ends with %s; want %s: %+v", got.Result, test.want, got)
			}
			warnings := strings.Join(got.Warnings, "\n")
			if !strings.Contains(warnings, test.warning) ||
				test.want == Open && test.warning == "" && warnings != "" {
				t.Errorf("the warnings are %q; want %q", warnings, test.warning)
			}
		})
	}
}

// TestRunOpensAfterTheChange opens and closes ports while the gate waits, and not too early.
func TestRunOpensAfterTheChange(t *testing.T) {
	for _, kind := range []Kind{Allowed, Blocked} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			control, listener := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
			address := listener.Addr().String()
			change := func() { _ = listener.Close() }
			if kind == Allowed {
				_ = listener.Close()
				change = func() { listen(t, address) }
			}
			config := quick(t, string(kind)+" tcp://"+address,
				"control tcp://"+control.Addr().String())
			config.Timeout = 30 * time.Second

			var began, ended time.Time
			got, err := Run(t.Context(), config, func(so Certificate) {
				// the opposite has been seen: without it there is nothing before the change
				seen := so.Expectations[0].Addresses
				if began.IsZero() && len(seen) == 1 && seen[0].Changes == 1 {
					began = time.Now()
					change()
					ended = time.Now()
				}
			})
			if err != nil || got.Result != Open {
				t.Fatalf("the gate ends with %s, %v", got.Result, err)
			}
			if after := got.Ended.Sub(began); after < config.Hold {
				t.Errorf("it opens %s after the change; want %s or more", after, config.Hold)
			}
			found := got.Expectations[0].Addresses[0]
			if found.Changes != 2 || found.Lower.After(ended) || found.Upper.Before(began) {
				t.Errorf("the bracket is [%s, %s] after %d changes; the change was in [%s, %s]",
					found.Lower, found.Upper, found.Changes, began, ended)
			}
		})
	}
}

// A state that never lasts is neither what is expected nor its contrary.
func TestRunWhileItFlaps(t *testing.T) {
	t.Parallel()
	listener := listen(t, "127.0.0.1:0")
	address, control := listener.Addr().String(), listen(t, "127.0.0.1:0").Addr().String()
	config := quick(t, "blocked tcp://"+address, "control tcp://"+control)
	config.Hold, config.Timeout = time.Second, 1200*time.Millisecond
	watched := 0
	got, err := Run(t.Context(), config, func(Certificate) {
		if watched++; watched%2 == 0 {
			_ = listener.Close()
		} else if watched > 1 {
			listener = listen(t, address)
		}
	})
	if err != nil || got.Result != TimedOut {
		t.Errorf("the gate ends with %s, %v: %+v", got.Result, err, got.Expectations)
	}
}

// A new pod's network is silent at first, which is no policy: what is allowed ever after is the
// contrary all the same.
func TestRunBeforeTheNetworkIsThere(t *testing.T) {
	t.Parallel()
	address := closed(t)
	watched := 0
	config := quick(t, "blocked tcp://"+address)
	config.Hold, config.Timeout = 300*time.Millisecond, time.Second
	got, err := Run(t.Context(), config, func(Certificate) {
		if watched++; watched == 2 {
			listen(t, address)
		}
	})
	if err != nil || got.Result != Opposite || got.Expectations[0].Addresses[0].Changes != 2 {
		t.Errorf("the gate ends with %s, %v: %+v", got.Result, err, got.Expectations)
	}
}

func TestRunIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	config := quick(t, "blocked tcp://"+listen(t, "127.0.0.1:0").Addr().String())
	config.Timeout = time.Minute
	got, err := Run(ctx, config, func(Certificate) { cancel() })
	if err != nil || got.Result != Interrupted ||
		got.Expectations[0].Addresses[0].Probes["allowed"] == 0 {
		t.Errorf("the gate ends with %+v, %v", got, err)
	}
}
