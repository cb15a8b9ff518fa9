// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// host is everything outside that a lab could change by mistake.
type host struct {
	Links, Addresses, Routes, Rules, Tables, Mounts []string
	Sysctls                                         map[string]string
}

func readHost(t *testing.T) host {
	t.Helper()
	h := host{Sysctls: sysctls(t)}
	links, err := netlink.LinkList()
	check(t, err)
	for _, link := range links {
		a := link.Attrs()
		h.Links = append(h.Links, fmt.Sprintf("%d %s %s %v mtu %d master %d", a.Index, link.Type(),
			a.Name, a.Flags, a.MTU, a.MasterIndex))
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	check(t, err)
	for _, address := range addresses {
		h.Addresses = append(h.Addresses, fmt.Sprintf("%d %v", address.LinkIndex, address.IPNet))
	}
	every := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, every, netlink.RT_FILTER_TABLE)
		check(t, err)
		for _, route := range routes {
			h.Routes = append(h.Routes, fmt.Sprintf("%v table %d", route, route.Table))
		}
		rules, err := netlink.RuleList(family)
		check(t, err)
		for _, rule := range rules {
			h.Rules = append(h.Rules, rule.String())
		}
	}
	tables, err := (&nftables.Conn{}).ListTables()
	check(t, err)
	for _, table := range tables {
		h.Tables = append(h.Tables, fmt.Sprintf("%d %s", table.Family, table.Name))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	h.Mounts = strings.Split(string(mounts), "\n")
	for _, list := range [][]string{h.Links, h.Addresses, h.Routes, h.Rules, h.Tables} {
		slices.Sort(list)
	}
	return h
}

// sysctls are the network's settings, without those that count something.
func sysctls(t *testing.T) map[string]string {
	t.Helper()
	settings := make(map[string]string)
	err := filepath.WalkDir("/proc/sys/net", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "nf_conntrack_count" {
			return err
		}
		if content, err := os.ReadFile(path); err == nil { // some can only be written
			settings[path] = string(content)
		}
		return nil
	})
	check(t, err)
	return settings
}

// members are the processes of a lab and the network namespaces that they are in or hold.
type members struct {
	processes  map[int]string // PID to start time and name
	namespaces map[string]int // net:[…] to a process that has it
}

// readMembers finds a lab's processes: the one given and all its descendants.
func readMembers(t *testing.T, root int) members {
	t.Helper()
	outside := namespacesOf(os.Getpid())
	m := members{processes: make(map[int]string), namespaces: make(map[string]int)}
	parents := make(map[int]int)
	for _, pid := range pids(t) {
		parents[pid] = parent(pid)
	}
	for pid := range parents {
		ancestor := pid
		for ancestor != root && ancestor != 0 {
			ancestor = parents[ancestor]
		}
		if ancestor != root {
			continue
		}
		identity := identify(pid)
		if identity == "" {
			continue // ended meanwhile
		}
		m.processes[pid] = identity
		for namespace, path := range namespacesOf(pid) {
			if _, ok := outside[namespace]; !ok && pin(t, path, namespace) {
				m.namespaces[namespace] = pid
			}
		}
	}
	return m
}

// pin keeps a namespace's number from being given to a new one, perhaps of another lab, as long as
// the test runs.
func pin(t *testing.T, path, namespace string) bool {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		return false // closed meanwhile
	}
	t.Cleanup(func() { _ = file.Close() })
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	return err == nil && name == namespace
}

// remains lists what is left of a lab.
func (m members) remains(t *testing.T) []string {
	t.Helper()
	var left []string
	for pid, identity := range m.processes {
		if now := identify(pid); now == identity {
			left = append(left, fmt.Sprintf("process %d (%s)", pid, identity))
		}
	}
	for _, pid := range pids(t) {
		if pid == os.Getpid() {
			continue // see pin
		}
		for namespace := range namespacesOf(pid) {
			if _, ok := m.namespaces[namespace]; ok {
				left = append(left, fmt.Sprintf("network namespace %s, held by process %d (%s)",
					namespace, pid, identify(pid)))
			}
		}
	}
	slices.Sort(left)
	return left
}

// namespacesOf maps the network namespaces that the process is in or has open to their paths.
func namespacesOf(pid int) map[string]string {
	found := make(map[string]string)
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is right
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns/net", pid))
	for _, path := range append(paths, threads...) {
		if name, err := os.Readlink(path); err == nil && strings.HasPrefix(name, "net:[") {
			found[name] = path
		}
	}
	return found
}

func pids(t *testing.T) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	check(t, err)
	var all []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// stat reads the fields of /proc/PID/stat after the name: state, parent and so on. A zombie is no
// process any more: it has nothing, and waits only for its parent to look at its exit code.
func stat(pid int) []string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	fields := strings.Fields(string(content[strings.LastIndex(string(content), ")")+1:]))
	if fields[0] == "Z" || fields[0] == "X" {
		return nil
	}
	return fields
}

func parent(pid int) int {
	fields := stat(pid)
	if fields == nil {
		return 0
	}
	number, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return number
}

// identify tells a process from a later one with the same number, "" if there is none.
func identify(pid int) string {
	fields := stat(pid)
	if fields == nil {
		return ""
	}
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // it may have ended
	return strings.TrimSpace(string(name)) + ", started at " + fields[19]
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
