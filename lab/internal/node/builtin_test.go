// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

func TestPortsOf(t *testing.T) {
	port := func(number int32, protocol v1.Protocol) v1.ContainerPort {
		return v1.ContainerPort{ContainerPort: number, Protocol: protocol}
	}
	tests := []struct {
		name, image string
		container   v1.Container
		want        builtinPorts
	}{
		{name: "declared", image: "nginx", want: builtinPorts{tcp: []int{80, 8080}, udp: []int{53}},
			container: v1.Container{Ports: []v1.ContainerPort{port(8080, "TCP"), port(80, ""),
				port(53, "UDP"), port(9, "SCTP")}}},
		{name: "nginx's own", image: "nginx", want: builtinPorts{tcp: []int{80}}},
		{name: "pause has none", image: "pause"},
		{name: "agnhost netexec", image: "agnhost",
			container: v1.Container{Args: []string{"netexec"}},
			want:      builtinPorts{tcp: []int{8080}}},
		{name: "agnhost flags", image: "agnhost", container: v1.Container{Args: []string{"netexec",
			"--http-port=81", "--udp-port", "82"}},
			want: builtinPorts{tcp: []int{81}, udp: []int{82}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := portsOf(test.image, &test.container)
			if !cmp.Equal(got, test.want, cmp.AllowUnexported(builtinPorts{})) {
				t.Errorf("portsOf = %+v, want %+v", got, test.want)
			}
		})
	}
}

// dial connects from inside the pod.
func (s *sandbox) dial(t *testing.T, network string, to netip.Addr, port uint16) net.Conn {
	t.Helper()
	var conn net.Conn
	err := s.do(func() error {
		var err error
		conn, err = net.DialTimeout(network, netip.AddrPortFrom(to, port).String(), 5*time.Second)
		return err
	})
	if err != nil {
		t.Fatalf("dial %v: %v", to, err)
	}
	return conn
}

// TestBuiltinServer reaches a pod from another pod, in both families, through the router.
func TestBuiltinServer(t *testing.T) {
	network := newTestNetwork(t)
	server, client := network.sandbox(t), network.sandbox(t)
	running, err := startBuiltin(server, "web-0", builtinPorts{tcp: []int{80}, udp: []int{53}})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range server.addresses {
		t.Run("HTTP to "+addr.String(), func(t *testing.T) {
			transport := &http.Transport{DialContext: func(context.Context, string,
				string) (net.Conn, error) {
				return client.dial(t, "tcp", addr, 80), nil
			}}
			defer transport.CloseIdleConnections()
			response, err := (&http.Client{Transport: transport}).Get("http://web/")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusOK || string(body) != "web-0\n" {
				t.Errorf("the answer is %d %q, %v, want 200 and the pod's name",
					response.StatusCode, body, err)
			}
		})
		t.Run("UDP to "+addr.String(), func(t *testing.T) {
			conn := client.dial(t, "udp", addr, 53)
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			buffer := make([]byte, 10)
			if _, err := conn.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(buffer); err != nil || string(buffer[:n]) != "ping" {
				t.Errorf("the echo is %q, %v", buffer[:n], err)
			}
		})
	}
	t.Run("resets leave nothing behind", func(t *testing.T) { resets(t, client, server) })
	running.signal(nil)
	select {
	case <-running.ended():
	case <-time.After(5 * time.Second):
		t.Error("the server did not end")
	}
}

// resets makes many connections that end with RST, as probes do, and counts what remains of them.
func resets(t *testing.T, client, server *sandbox) {
	before := runtime.NumGoroutine()
	for range 500 {
		conn := client.dial(t, "tcp", server.addresses[0], 80).(*net.TCPConn)
		if err := conn.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close() // the reset has no reader
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before+5 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

// TestServiceTranslation reaches an API server's stand-in through the service address.
func TestServiceTranslation(t *testing.T) {
	w, err := newWiring()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	network := newTestNetwork(t)
	backend, client := network.sandbox(t), network.sandbox(t)
	running, err := startBuiltin(backend, "api", builtinPorts{tcp: []int{6443}})
	if err != nil {
		t.Fatal(err)
	}
	defer running.signal(nil)
	services := []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00:10:96::1")}
	cfg := Config{ServiceIPs: services}
	for _, addr := range backend.addresses {
		cfg.APIServers = append(cfg.APIServers, netip.AddrPortFrom(addr, 6443))
	}
	// Pods have a default route; the service address needs none of its own.
	if err := addServiceNAT(cfg); err != nil {
		t.Fatal(err)
	}
	for _, service := range services {
		conn := client.dial(t, "tcp", service, 443)
		fmt.Fprintf(conn, "GET / HTTP/1.0\r\n\r\n")
		answer, err := io.ReadAll(conn)
		_ = conn.Close() // everything has been read
		if err != nil || len(answer) == 0 {
			t.Errorf("the answer through %v is %q, %v", service, answer, err)
		}
	}
}
