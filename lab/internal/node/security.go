// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// security is what a container's process may do.
type security struct {
	identity
	capabilities []int // of the bounding set, which is all of what root gets
	noNewPrivs   bool
	readOnlyRoot bool
	privileged   bool
}

// errRunsAsRoot is reported with the kubelet's reason CreateContainerConfigError.
var errRunsAsRoot = errors.New("container has runAsNonRoot and would run as root; set runAsUser " +
	"to a user that is not 0")

// containerSecurity merges the security contexts of pod and container; the container's wins. Where
// neither says who the container runs as, its image does.
func containerSecurity(pod *v1.Pod, c *v1.Container, img image) (security, error) {
	podCtx, ctx := pod.Spec.SecurityContext, c.SecurityContext
	if podCtx == nil {
		podCtx = &v1.PodSecurityContext{}
	}
	if ctx == nil {
		ctx = &v1.SecurityContext{}
	}

	s := security{
		noNewPrivs:   ctx.AllowPrivilegeEscalation != nil && !*ctx.AllowPrivilegeEscalation,
		readOnlyRoot: first(ctx.ReadOnlyRootFilesystem),
		privileged:   first(ctx.Privileged),
	}

	var err error
	user := cmp.Or(ctx.RunAsUser, podCtx.RunAsUser)
	group := cmp.Or(ctx.RunAsGroup, podCtx.RunAsGroup)
	nonRoot := first(ctx.RunAsNonRoot, podCtx.RunAsNonRoot)
	if user == nil && nonRoot && img.unpacked == nil {
		user, group = new(int64(hostProgramUser)), cmp.Or(group, new(int64(hostProgramUser)))
	}
	if s.identity, err = img.identify(user, group); err != nil {
		return security{}, err
	}

	if nonRoot {
		if err := img.verifyNonRoot(s.identity, user); err != nil {
			return security{}, err
		}
	}

	for _, g := range append(slices.Clone(podCtx.SupplementalGroups), first(podCtx.FSGroup)) {
		if g != 0 {
			s.groups = append(s.groups, uint32(g))
		}
	}

	s.capabilities, err = boundingSet(ctx.Capabilities, s.privileged)
	return s, err
}

// first is the value of the first pointer that is set, or the zero value.
func first[T any](pointers ...*T) T {
	for _, p := range pointers {
		if p != nil {
			return *p
		}
	}
	var zero T
	return zero
}

// boundingSet applies add and drop to the set that container runtimes start from, in containerd's
// order: first ALL, then the names. As in Kubernetes, nothing becomes ambient: a process that is
// not root has none of these without file capabilities.
func boundingSet(change *v1.Capabilities, privileged bool) ([]int, error) {
	if change == nil {
		change = &v1.Capabilities{}
	}
	known, set := capabilityNumbers(), map[string]bool{}
	for _, name := range runtimeDefaultCapabilities() {
		set[name] = true
	}

	everything := func(to bool) {
		for name := range known {
			set[name] = to
		}
	}

	add, addAll, err := canonicalNames(known, change.Add)
	drop, dropAll, dropErr := canonicalNames(known, change.Drop)
	if err := errors.Join(err, dropErr); err != nil {
		return nil, err
	}

	if addAll || privileged {
		everything(true)
	}
	if dropAll {
		everything(false)
	}

	for _, name := range add {
		set[name] = true
	}
	for _, name := range drop {
		set[name] = false
	}

	var numbers []int
	for name, number := range known {
		if set[name] {
			numbers = append(numbers, number)
		}
	}

	slices.Sort(numbers)
	return numbers, nil
}

// canonicalNames are the names without ALL, and whether ALL was among them.
func canonicalNames(
	known map[string]int, capabilities []v1.Capability,
) (names []string, all bool, err error) {
	for _, c := range capabilities {
		name := strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_")
		if name == "ALL" {
			all = true
			continue
		}
		if _, ok := known[name]; !ok {
			return nil, false, fmt.Errorf("unknown capability %q; the names are those of "+
				"capabilities(7), without CAP_", c)
		}
		names = append(names, name)
	}

	return names, all, nil
}

// runtimeDefaultCapabilities are those that containerd and Docker leave to root in a container.
func runtimeDefaultCapabilities() []string {
	return []string{"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID",
		"SETUID",
		"SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"}
}

// capabilityNumbers are the names and numbers of linux/capability.h, in its order.
func capabilityNumbers() map[string]int {
	names := []string{"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL",
		"SETGID", "SETUID",
		"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
		"IPC_LOCK",
		"IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
		"SYS_ADMIN", "SYS_BOOT",
		"SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE",
		"AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
		"BLOCK_SUSPEND",
		"AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"}
	numbers := make(map[string]int, len(names))
	for n, name := range names {
		numbers[name] = n
	}

	return numbers
}

// restrictThread gives up, on the calling thread, what the container must not have. The process
// that the thread starts inherits it; the thread itself keeps what it needs to start the process,
// because the bounding set limits what execve grants and not what is there.
func (s security) restrictThread() error {
	for n := 0; ; n++ {
		present, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err != nil {
			break // past the last capability of this kernel
		}
		if present == 0 || slices.Contains(s.capabilities, n) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", n, err)
		}
	}
	if err := clearInheritable(); err != nil {
		return err
	}

	if s.noNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("set no_new_privs: %w", err)
		}
	}

	return nil
}

// clearInheritable empties the set that would survive execve beside the bounding set.
func clearInheritable() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read the thread's capabilities: %w", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("clear the inheritable capabilities: %w", err)
	}
	return nil
}

// credential is the user that the process runs as, or nil to keep the agent's. A rootless lab's
// user namespace has only user 0 (the user who started it): there, a container that asks for
// another user keeps 0. Its capabilities are dropped all the same, since the bounding set does not
// depend on it.
func (s security) credential() *syscall.Credential {
	if !idMapped("/proc/self/uid_map", s.uid) || !idMapped("/proc/self/gid_map", s.gid) {
		return nil
	}
	groups := slices.DeleteFunc(slices.Clone(s.groups), func(g uint32) bool {
		return !idMapped("/proc/self/gid_map", g)
	})
	denied, err := os.ReadFile("/proc/self/setgroups")
	return &syscall.Credential{
		Uid: s.uid, Gid: s.gid, Groups: groups,
		NoSetGroups: err == nil && strings.TrimSpace(string(denied)) == "deny",
	}
}

// idMapped reports whether the user namespace has the id, from lines of "inside outside count".
func idMapped(file string, id uint32) bool {
	content, err := os.ReadFile(file)
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(content)) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err == nil &&
			uint64(id) >= inside && uint64(id) < inside+count {
			return true
		}
	}
	return false
}
