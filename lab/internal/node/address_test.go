// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testBook() *addressBook {
	return newAddressBook([]netip.Prefix{netip.MustParsePrefix("10.244.16.0/29"),
		netip.MustParsePrefix("fd00:10:244:1::/64")})
}

func TestAddressesAreReusedLate(t *testing.T) {
	book := testBook()
	take := func() uint32 {
		t.Helper()
		offset, err := book.take()
		if err != nil {
			t.Fatal(err)
		}
		return offset
	}
	first, second := take(), take()
	book.release(first)
	var rest []uint32
	for range 5 {
		rest = append(rest, take())
	}
	if want := []uint32{3, 4, 5, 6, first}; !cmp.Equal(rest, want) {
		t.Errorf("after %d and %d, and the release of %d, came %v, want %v", first, second, first,
			rest, want)
	}
	if _, err := book.take(); !errors.Is(err, errNoAddress) {
		t.Errorf("an empty book returned %v, want errNoAddress", err)
	}
}

func TestAddressAnnotation(t *testing.T) {
	tests := []struct {
		name, text string
		want       uint32
		problem    string
	}{
		{name: "IPv4", text: "10.244.16.3", want: 3},
		{name: "IPv6", text: "fd00:10:244:1::4", want: 4},
		{name: "both", text: "10.244.16.5, fd00:10:244:1::5", want: 5},
		{name: "not the same pod", text: "10.244.16.5,fd00:10:244:1::6", problem: "same place"},
		{name: "another node's", text: "10.244.0.5", problem: "not a usable address"},
		{name: "network address", text: "10.244.16.0", problem: "not a usable address"},
		{name: "broadcast address", text: "10.244.16.7", problem: "not a usable address"},
		{name: "no address", text: "x", problem: "unable to parse"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := testBook().parse(test.text)
			switch {
			case test.problem == "" && (err != nil || got != test.want):
				t.Errorf("parse(%q) = %d, %v, want %d", test.text, got, err, test.want)
			case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
				t.Errorf("parse(%q) returned the error %v, want one about %q", test.text, err,
					test.problem)
			}
		})
	}
}

func TestAddressesOfAnOffset(t *testing.T) {
	got := testBook().addresses(6)
	want := []netip.Addr{netip.MustParseAddr("10.244.16.6"),
		netip.MustParseAddr("fd00:10:244:1::6")}
	if !cmp.Equal(got, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Errorf("offset 6 is %v, want %v", got, want)
	}
}
