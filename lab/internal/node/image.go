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

// image is what stands for a container image in the lab: a program of this machine, or the built-in
// server, which needs no process.
type image struct {
	program string // empty for the built-in server
	name    string // short name of the built-in server
}

// id is the imageID of a container status.
func (i image) id() string {
	if i.program != "" {
		return "program:" + i.program
	}
	return "builtin:" + i.name
}

// builtinImages are the short names that the built-in server answers for.
func builtinImages() []string {
	return []string{"agnhost", "hello-app", "httpd", "nginx", "nginx-unprivileged", "pause"}
}

// resolveImage finds the image by its full name, by its name without tag and digest, and by the last
// element of that name. Programs win over the built-in server.
func resolveImage(programs map[string]string, reference string) (image, error) {
	name := trimTag(reference)
	short := path.Base(name)
	for _, candidate := range []string{reference, name, short} {
		if program, ok := programs[candidate]; ok {
			return image{program: program}, nil
		}
	}
	for key, program := range programs {
		if path.Base(trimTag(key)) == short {
			return image{program: program}, nil
		}
	}
	if slices.Contains(builtinImages(), short) {
		return image{name: short}, nil
	}
	known := slices.Sorted(maps.Keys(programs))
	return image{}, fmt.Errorf("the lab has no image %q; it knows %s; map a program with --image %s=PATH",
		reference, strings.Join(append(known, builtinImages()...), ", "), short)
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
