// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	"github.com/moby/sys/user"
)

// identity is who a container runs as.
type identity struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// hostProgramUser is who a program of the host runs as in a pod that must not be root and does not
// say who: images of programs name such a user by its number.
const hostProgramUser = 65532

// identify is who the container runs as: the user and group of its pod if they are given, and the
// image's otherwise. As container runtimes do, a user without a group has that of the image's
// /etc/passwd.
func (i image) identify(runAsUser, runAsGroup *int64) (identity, error) {
	if i.unpacked == nil {
		return identity{uid: uint32(first(runAsUser)), gid: uint32(first(runAsGroup)), home: "/"},
			nil
	}
	who := i.unpacked.User
	if runAsUser != nil {
		who = strconv.FormatInt(*runAsUser, 10)
	}

	if runAsGroup != nil {
		name, _, _ := strings.Cut(who, ":")
		who = fmt.Sprintf("%s:%d", cmp.Or(name, "0"), *runAsGroup)
	}
	passwd, err := securejoin.SecureJoin(i.unpacked.Root, "/etc/passwd")
	if err != nil {
		return identity{}, fmt.Errorf("find the users of image %s: %w", i.short, err)
	}

	group, err := securejoin.SecureJoin(i.unpacked.Root, "/etc/group")
	if err != nil {
		return identity{}, fmt.Errorf("find the groups of image %s: %w", i.short, err)
	}
	found, err := user.GetExecUserPath(who, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return identity{}, fmt.Errorf("find the user %q in image %s: %w", who, i.short, err)
	}

	one := identity{uid: uint32(found.Uid), gid: uint32(found.Gid), home: found.Home}
	for _, group := range found.Sgids {
		if !slices.Contains(one.groups, uint32(group)) {
			one.groups = append(one.groups, uint32(group))
		}
	}

	return one, nil
}

// verifyNonRoot refuses root, and a name that may stand for it, with a kubelet's rules.
func (i image) verifyNonRoot(who identity, runAsUser *int64) error {
	if who.uid == 0 {
		return errRunsAsRoot
	}
	if runAsUser != nil || i.unpacked == nil {
		return nil
	}

	name, _, _ := strings.Cut(i.unpacked.User, ":")
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		return fmt.Errorf("container has runAsNonRoot and its image's user %q is no number, so "+
			"that a kubelet cannot know that it is not root; set runAsUser", name)
	}

	return nil
}
