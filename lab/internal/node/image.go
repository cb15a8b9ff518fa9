// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// image is what stands for a container image in the lab: a program of this machine, the built-in
// server, which needs no process, or only this machine's shell and tools.
type image struct {
	short   string // the last element of its name
	program string // the path of the program, if it is one
	builtin bool   // the built-in server
}

// id is the imageID of a container status.
func (i image) id() string {
	switch {
	case i.program != "":
		return "program:" + i.program
	case i.builtin:
		return "builtin:" + i.short
	}
	return "userland:" + i.short
}

// entrypoint is what runs when the container names no command.
func (i image) entrypoint() []string {
	if i.program != "" {
		return []string{"/" + path.Base(i.program)}
	}
	return []string{"sh"}
}

// userland reports whether the image's shell is its default arguments (CMD) rather than its entrypoint,
// so that other arguments take its place.
func (i image) userland() bool { return i.program == "" && !i.builtin }

// servedBuiltin reports whether the container needs no process: the image is a built-in one, and the
// command, if there is one, is the image's own.
func (i image) servedBuiltin(command []string) bool {
	return i.builtin && (len(command) == 0 || path.Base(command[0]) == i.short)
}

// builtinImages are the short names that the built-in server answers for.
func builtinImages() []string {
	return []string{"agnhost", "hello-app", "httpd", "nginx", "nginx-unprivileged", "pause"}
}

// userlandImages are the short names that stand for this machine's shell and tools.
func userlandImages() []string { return []string{"alpine", "busybox", "debian", "ubuntu"} }

// resolveImage finds the image by its full name, by its name without tag and digest, and by the last
// element of that name. Programs win over the built-in server.
func resolveImage(programs map[string]string, reference string) (image, error) {
	name := trimTag(reference)
	short := path.Base(name)
	for _, candidate := range []string{reference, name, short} {
		if program, ok := programs[candidate]; ok {
			return image{short: short, program: program}, nil
		}
	}
	for key, program := range programs {
		if path.Base(trimTag(key)) == short {
			return image{short: short, program: program}, nil
		}
	}
	switch {
	case slices.Contains(builtinImages(), short):
		return image{short: short, builtin: true}, nil
	case slices.Contains(userlandImages(), short):
		return image{short: short}, nil
	}
	known := slices.Concat(slices.Sorted(maps.Keys(programs)), builtinImages(), userlandImages())
	return image{}, fmt.Errorf("the lab has no image %q; it knows %s; map a program with --image %s=PATH",
		reference, strings.Join(known, ", "), short)
}

// trimTag cuts a digest and a tag off an image reference. A colon before the last slash belongs to
// the registry's port.
func trimTag(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name = name[:colon]
	}
	return name
}
