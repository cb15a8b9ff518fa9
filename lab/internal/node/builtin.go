// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// maxDatagram is the largest datagram that the UDP echo returns whole.
const maxDatagram = 4 << 10

// builtinServer is a container without a process: an HTTP server on each TCP port and an echo on
// each UDP port, opened inside the pod's namespace and served by the agent. A thousand of them cost
// little more than their sockets.
type builtinServer struct {
	podName   string
	started   time.Time
	http      http.Server
	listeners []net.Listener
	echoes    []net.PacketConn
	serving   sync.WaitGroup
	stopOnce  sync.Once
	done      chan struct{}
}

// builtinPorts are what a built-in server listens on.
type builtinPorts struct{ tcp, udp []int }

// portsOf takes the container's ports, or the image's own when the container declares none. Agnhost
// also understands the port flags of its netexec, serve-hostname and test-webserver.
func portsOf(short string, c *v1.Container) builtinPorts {
	var ports builtinPorts
	for _, p := range c.Ports {
		switch p.Protocol {
		case v1.ProtocolTCP, "":
			ports.tcp = append(ports.tcp, int(p.ContainerPort))
		case v1.ProtocolUDP:
			ports.udp = append(ports.udp, int(p.ContainerPort))
		}
	}

	arguments := slices.Concat(c.Command, c.Args)
	if port, ok := portFlag(arguments, "http-port", "port"); ok {
		ports.tcp = append(ports.tcp, port)
	}
	if port, ok := portFlag(arguments, "udp-port"); ok {
		ports.udp = append(ports.udp, port)
	}

	if len(ports.tcp)+len(ports.udp) == 0 {
		ports.tcp = defaultPorts(short, arguments)
	}
	slices.Sort(ports.tcp)
	slices.Sort(ports.udp)
	return builtinPorts{tcp: slices.Compact(ports.tcp), udp: slices.Compact(ports.udp)}
}

// defaultPorts are those that the real images listen on.
func defaultPorts(short string, arguments []string) []int {
	switch {
	case short == "nginx", short == "httpd":
		return []int{80}
	case short == "nginx-unprivileged", short == "hello-app", slices.Contains(arguments, "netexec"):
		return []int{8080}
	case slices.Contains(arguments, "serve-hostname"):
		return []int{9376}
	}
	return nil
}

// portFlag finds --name=N or --name N, with one dash or two.
func portFlag(arguments []string, names ...string) (int, bool) {
	for i, argument := range arguments {
		name, value, joined := strings.Cut(strings.TrimLeft(argument, "-"), "=")
		if !strings.HasPrefix(argument, "-") || !slices.Contains(names, name) {
			continue
		}
		if !joined && i+1 < len(arguments) {
			value = arguments[i+1]
		}
		if port, err := strconv.Atoi(value); err == nil && port > 0 && port < 1<<16 {
			return port, true
		}
	}

	return 0, false
}

// startBuiltin opens every port, or none.
func startBuiltin(network *sandbox, podName string, ports builtinPorts) (*builtinServer, error) {
	s := &builtinServer{podName: podName, started: time.Now(), done: make(chan struct{})}
	s.http = http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		// Probes that reset their connection are the normal case here, not an error.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	if err := network.do(func() error { return s.listen(ports) }); err != nil {
		s.close()
		return nil, err
	}

	for _, l := range s.listeners {
		s.serving.Go(func() { _ = s.http.Serve(l) })
	}
	for _, c := range s.echoes {
		s.serving.Go(func() { echo(c) })
	}

	return s, nil
}

// listen opens the sockets in the namespace of the calling thread. The wildcard address takes both
// families.
func (s *builtinServer) listen(ports builtinPorts) error {
	for _, port := range ports.tcp {
		l, err := probe.Listen(context.Background(), port)
		if err != nil {
			return fmt.Errorf("serve HTTP: %w", err)
		}
		s.listeners = append(s.listeners, l)
	}

	for _, port := range ports.udp {
		c, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err != nil {
			return fmt.Errorf("serve the UDP echo: %w", err)
		}
		s.echoes = append(s.echoes, c)
	}

	return nil
}

// serveHTTP answers as agnhost's netexec does where that is one line of work.
func (s *builtinServer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body := s.podName
	switch strings.ToLower(r.URL.Path) {
	case "/clientip":
		body = r.RemoteAddr
	case "/echo":
		body = r.FormValue("msg")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, body+"\n")
}

// echo returns datagrams to their senders until the socket is closed.
func echo(c net.PacketConn) {
	buffer := make([]byte, maxDatagram)
	for {
		n, from, err := c.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil { // an error here is an ICMP message about an earlier answer
			_, _ = c.WriteTo(buffer[:n], from)
		}
	}
}

// signal ends the server, whatever the signal; it has no state that would need time.
func (s *builtinServer) signal(os.Signal) { s.close() }

func (s *builtinServer) close() {
	s.stopOnce.Do(func() {
		_ = s.http.Close()
		for _, l := range s.listeners {
			_ = l.Close()
		}
		for _, c := range s.echoes {
			_ = c.Close()
		}
		s.serving.Wait()
		close(s.done)
	})
}

func (s *builtinServer) ended() <-chan struct{} { return s.done }

func (s *builtinServer) startedAt() time.Time { return s.started }

func (s *builtinServer) result() exit {
	return exit{reason: "Completed", started: s.started, finished: time.Now()}
}
