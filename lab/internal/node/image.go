// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/netpol-latency/netpol-latency/lab/internal/oci"
)

// image is what stands for a container image in the lab: a real image, unpacked, a program of this
// machine, the built-in server, which needs no process, or only this machine's shell and tools.
type image struct {
	short    string        // the last element of its name
	unpacked *oci.Unpacked // the real image, if it is one
	program  string        // the path of the program, if it is one
	builtin  bool          // the built-in server
}

// id is the imageID of a container status.
func (i image) id() string {
	switch {
	case i.unpacked != nil:
		return i.short + "@" + i.unpacked.Digest
	case i.program != "":
		return "program:" + i.program
	case i.builtin:
		return "builtin:" + i.short
	}
	return "userland:" + i.short
}

// entrypoint is what runs when the container names no command.
func (i image) entrypoint() []string {
	switch {
	case i.unpacked != nil:
		return i.unpacked.Entrypoint
	case i.program != "":
		return []string{"/" + path.Base(i.program)}
	case i.builtin:
		return []string{"sh"}
	}
	return nil
}

// arguments follow the entrypoint when the container names neither a command nor arguments. The
// shell of this machine is of this kind, so that other arguments take its place.
func (i image) arguments() []string {
	switch {
	case i.unpacked != nil:
		return i.unpacked.Cmd
	case i.program != "" || i.builtin:
		return nil
	}
	return []string{"sh"}
}

// workingDir is where the container starts unless it names a directory.
func (i image) workingDir() string {
	if i.unpacked == nil || i.unpacked.WorkingDir == "" {
		return "/"
	}
	return i.unpacked.WorkingDir
}

// environment is what the image sets, for a user whose home directory is known. The pod's own is
// added to it.
func (i image) environment(home string) []v1.EnvVar {
	if i.unpacked == nil {
		return nil
	}
	env := []v1.EnvVar{{Name: "HOME", Value: home}}
	for _, one := range i.unpacked.Env {
		name, value, _ := strings.Cut(one, "=")
		env = append(env, v1.EnvVar{Name: name, Value: value})
	}
	return env
}

// servedBuiltin reports whether the container needs no process: the image is a built-in one, and
// the command, if there is one, is the image's own.
func (i image) servedBuiltin(command []string) bool {
	return i.builtin && (len(command) == 0 || path.Base(command[0]) == i.short)
}

// builtinImages are the short names that the built-in server answers for.
func builtinImages() []string {
	return []string{"agnhost", "hello-app", "httpd", "nginx", "nginx-unprivileged", "pause"}
}

// userlandImages are the short names that stand for this machine's shell and tools.
func userlandImages() []string { return []string{"alpine", "busybox", "debian", "ubuntu"} }

// resolveImage finds the image by its full name, by its name without tag and digest, and by the
// last element of that name. Images and programs win over the built-in server.
func (c Config) resolveImage(reference string) (image, error) {
	name := trimTag(reference)
	short := path.Base(name)
	for _, candidate := range []string{reference, name, short} {
		if found, ok := c.image(candidate, short); ok {
			return found, nil
		}
	}

	names := slices.Concat(slices.Sorted(maps.Keys(c.Unpacked)), slices.Sorted(maps.Keys(c.Images)))
	for _, key := range names {
		if path.Base(trimTag(key)) == short {
			found, _ := c.image(key, short)
			return found, nil
		}
	}

	switch {
	case slices.Contains(builtinImages(), short):
		return image{short: short, builtin: true}, nil
	case slices.Contains(userlandImages(), short):
		return image{short: short}, nil
	}

	known := slices.Concat(names, builtinImages(), userlandImages())
	return image{}, fmt.Errorf("the lab has no image %q; it knows %s; give it a program with "+
		"--image %s=PATH, "+
		"or an image with --image %s=oci:DIR", reference, strings.Join(known, ", "), short, short)
}

// image is what was given under the name.
func (c Config) image(name, short string) (image, bool) {
	if unpacked, ok := c.Unpacked[name]; ok {
		return image{short: short, unpacked: &unpacked}, true
	}
	program, ok := c.Images[name]
	return image{short: short, program: program}, ok
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
