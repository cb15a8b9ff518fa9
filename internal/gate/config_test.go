// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"strings"
	"testing"
	"time"
)

func TestParseEndpoint(t *testing.T) {
	for _, text := range []string{"tcp://10.0.0.7:443", "udp://[fd00::7]:53", "tcp4://db.shop:5432",
		"udp6://dns:53"} {
		got, err := ParseEndpoint(text)
		if err != nil || got.String() != text {
			t.Errorf("%s is read as %s, %v", text, got, err)
		}
	}

	for _, test := range []struct{ name, text, want string }{
		{"no scheme", "10.0.0.7:443", `has no scheme: expected for example tcp://10.0.0.7:443`},
		{"no scheme and no port", "db", `has no scheme: expected for example tcp://10.0.0.7:443`},
		{"unknown scheme", "http://x:80", `has the scheme "http": expected one of tcp, udp`},
		{"no port", "tcp://10.0.0.7", "has no host and port: expected both, for example tcp://"},
		{"no host", "udp://:53", "has no host and port"},
		{"IPv6 without brackets", "tcp://fd00::7:443", "or tcp://[fd00::7]:443"},
		{"port 0", "tcp://a:0", `has the port "0": expected 1 to 65535`},
		{"port with a name", "tcp://a:http", `has the port "http"`},
		{"path", "tcp://a:80/x", "has more than a host and a port"},
		{"zone", "tcp://[fe80::1%eth0]:80", "has more than a host and a port"},
		{"other family", "tcp4://[fd00::7]:443",
			"has an address of the other family: expected tcp:// before it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseEndpoint(test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v; want %q", test.text, err, test.want)
			}
		})
	}
}

// expects makes expectations of "KIND ENDPOINT".
func expects(t *testing.T, texts ...string) []Expect {
	t.Helper()
	var all []Expect
	for _, text := range texts {
		kind, endpoint, _ := strings.Cut(text, " ")
		parsed, err := ParseEndpoint(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Expect{Kind(kind), parsed})
	}
	return all
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		name   string
		expect []string
		change func(*Config)
		want   []string
	}{
		{name: "a right one", expect: []string{"blocked tcp://a:1", "allowed udp://a:1",
			"control tcp://b:1"}},
		{name: "nothing", want: []string{"there is nothing to wait for"}},
		{name: "a control alone", expect: []string{"control tcp://a:1"},
			want: []string{"there is nothing to wait for"}},
		{
			name:   "both allowed and blocked",
			expect: []string{"blocked tcp://DB:1", "allowed tcp://db:1"},
			want: []string{"--blocked tcp://DB:1 and --allowed tcp://db:1 contradict each other: " +
				"expected one of them"},
		},
		{
			name:   "blocked by both families, allowed by one",
			expect: []string{"blocked tcp://db:1", "allowed tcp4://db:1"},
			want:   []string{"contradict each other"},
		},
		{name: "a control that is blocked", expect: []string{"control tcp://a:1",
			"blocked tcp://a:1"}, want: []string{"--control tcp://a:1 and --blocked"}},
		{name: "each family its own", expect: []string{"blocked tcp6://db:1",
			"allowed tcp4://db:1"}},
		{
			name: "times out of range, all at once", expect: []string{"blocked tcp://a:1"},
			change: func(c *Config) {
				c.Hold, c.Timeout, c.Interval, c.ProbeTimeout = time.Minute, time.Minute, 0,
					time.Second
			},
			want: []string{"--timeout 1m0s is out of range: expected more than --hold, 1m0s",
				"--probe-interval 0s", "--probe-timeout 1s"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := DefaultConfig()
			config.Expect = expects(t, test.expect...)
			if test.change != nil {
				test.change(&config)
			}
			err := config.Validate()
			if err != nil && test.want == nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("it says %v; want %q", err, want)
				}
			}
		})
	}
}
