// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Notices are the license texts of Go and of the modules that the program is linked with, which
// must go along with it.
func (s Source) Notices(ctx context.Context, program Program) ([]byte, error) {
	root, err := s.golang(ctx, "env", "GOROOT")
	if err != nil {
		return nil, err
	}

	var text strings.Builder
	fmt.Fprintf(&text, "%s contains the following software.\n", program.Name)
	if err := addLicenses(&text, "Go", root); err != nil {
		return nil, err
	}

	query := []string{"list", "-m", "-json"}
	for _, module := range program.Info.Deps {
		query = append(query, module.Path)
	}

	listed, err := s.golang(ctx, query...)
	if err != nil {
		return nil, err
	}

	for decoder := json.NewDecoder(strings.NewReader(listed)); ; {
		var module struct{ Path, Version, Dir string }
		if err := decoder.Decode(&module); errors.Is(err, io.EOF) {
			return []byte(text.String()), nil
		} else if err != nil {
			return nil, fmt.Errorf("read the list of modules: %w", err)
		}
		if err := addLicenses(&text, module.Path+" "+module.Version, module.Dir); err != nil {
			return nil, err
		}
	}
}

// golang is what the go command prints in the source's directory.
func (s Source) golang(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = s.Dir
	command.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	return output(command)
}

// addLicenses copies the texts that lie in a module's directory.
func addLicenses(to *strings.Builder, name, directory string) error {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return fmt.Errorf("find the license of %s: %w", name, err)
	}

	pattern, found := regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)`), false
	for _, entry := range entries {
		if !pattern.MatchString(entry.Name()) || entry.IsDir() ||
			strings.HasSuffix(entry.Name(), ".go") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			return fmt.Errorf("read the license of %s: %w", name, err)
		}
		fmt.Fprintf(to, "\n==== %s: %s\n\n%s\n", name, entry.Name(),
			strings.TrimSpace(string(content)))
		found = true
	}

	if !found {
		return fmt.Errorf("find the license of %s: expected a LICENSE, COPYING or NOTICE in its "+
			"module", name)
	}

	return nil
}
