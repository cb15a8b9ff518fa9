// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/netpol-latency/netpol-latency/internal/probe"
)

// Endpoint is what is probed: a port of a host, by TCP or UDP, and of which family.
type Endpoint struct {
	// Scheme is tcp or udp, with a 4 or a 6 behind it for the addresses of one family alone.
	Scheme string
	// Host is an address or a name.
	Host string
	Port uint16
}

// Schemes are what an endpoint can begin with.
func Schemes() []string { return []string{"tcp", "udp", "tcp4", "tcp6", "udp4", "udp6"} }

// ParseEndpoint reads an endpoint such as tcp://10.0.0.7:443 or udp://[fd00::7]:53.
func ParseEndpoint(text string) (Endpoint, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Endpoint{}, fmt.Errorf("%q has no scheme: expected for example tcp://%s", text,
			orExample(text))
	}
	if !slices.Contains(Schemes(), scheme) {
		return Endpoint{}, fmt.Errorf("%q has the scheme %q: expected one of %s, for example "+
			"tcp://10.0.0.7:443", text, scheme, strings.Join(Schemes(), ", "))
	}
	if strings.ContainsAny(rest, "/?#@%") {
		return Endpoint{}, fmt.Errorf("%q has more than a host and a port: expected for example "+
			"%s://10.0.0.7:443", text, scheme)
	}

	host, portText, err := net.SplitHostPort(rest)
	if err != nil || host == "" || portText == "" {
		return Endpoint{}, fmt.Errorf("%q has no host and port: expected both, for example "+
			"%s://10.0.0.7:443 or %s://[fd00::7]:443", text, scheme, scheme)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return Endpoint{}, fmt.Errorf("%q has the port %q: expected 1 to 65535", text, portText)
	}

	e := Endpoint{Scheme: scheme, Host: host, Port: uint16(port)}
	return e, e.checkFamily()
}

// orExample is an address and a port to show how an endpoint is written: the user's own, if it is
// one.
func orExample(text string) string {
	if _, _, err := net.SplitHostPort(text); err == nil {
		return text
	}
	return "10.0.0.7:443"
}

// checkFamily reports an address that is not of the scheme's family.
func (e Endpoint) checkFamily() error {
	address, is := e.literal()
	if is && !e.of(address) {
		return fmt.Errorf("%q has an address of the other family: expected %s:// before it", e,
			e.protocol())
	}
	return nil
}

// String is the endpoint as it is written.
func (e Endpoint) String() string {
	return e.Scheme + "://" + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// protocol is the scheme without a family.
func (e Endpoint) protocol() string { return strings.TrimRight(e.Scheme, "46") }

// mode is how it is probed.
func (e Endpoint) mode() probe.Mode {
	if e.protocol() == "udp" {
		return probe.UDP
	}
	return probe.Connect
}

// network is which addresses of its name count, in the words of [net.Resolver.LookupNetIP].
func (e Endpoint) network() string { return "ip" + strings.TrimLeft(e.Scheme, "tcpudp") }

// of reports whether an address is of the family that is asked for.
func (e Endpoint) of(address netip.Addr) bool {
	switch e.network() {
	case "ip4":
		return address.Is4()
	case "ip6":
		return address.Is6()
	default:
		return true
	}
}

// literal is the address, if the host is one and no name.
func (e Endpoint) literal() (netip.Addr, bool) {
	address, err := netip.ParseAddr(e.Host)
	return address.Unmap(), err == nil
}

// same reports whether two endpoints may be one port of one host.
func (e Endpoint) same(other Endpoint) bool {
	families := e.Scheme == other.Scheme || e.network() == "ip" || other.network() == "ip"
	return families && e.protocol() == other.protocol() && e.Port == other.Port &&
		strings.EqualFold(e.Host, other.Host)
}
