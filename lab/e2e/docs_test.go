// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/internal/docs"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

const (
	// repository is the root of the repository.
	repository = "../.."
	// blockTimeout is the longest that the commands of one block may take.
	blockTimeout = 10 * time.Minute
)

// Every block of commands in the README and in the documents does what it says, as a reader would
// paste it: see package docs for the marks.
func TestDocuments(t *testing.T) {
	t.Parallel()
	files, err := docs.Files(repository)
	must(t, err)
	for _, file := range files {
		blocks, err := docs.Read(file)
		must(t, err)
		if !slices.ContainsFunc(blocks, func(b docs.Block) bool {
			return b.Mark.Kind == docs.Run
		}) {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			newReader(t).read(blocks)
		})
	}
}

// reader plays the blocks of one document.
type reader struct {
	t *testing.T
	// dir is the directory that the blocks share, tools that of programs which they may expect.
	dir, tools string
	// labs are those that were started, by their flags.
	labs map[string]*labtest.Lab
	// printed is what the last block has printed.
	printed string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, tools: t.TempDir(), labs: make(map[string]*labtest.Lab)}
	// Not t.TempDir: a block may start a lab in it, whose sockets' paths must be short.
	dir, err := os.MkdirTemp("", "docs-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	r.dir = dir
	must(t, os.Symlink(labtest.Binary(t), filepath.Join(r.tools, "kubectl")))
	must(t, os.Mkdir(filepath.Join(r.tools, "smaller"), 0o700))
	must(t, os.WriteFile(filepath.Join(r.tools, "smaller", "netpol-latency"),
		[]byte(fmt.Sprintf(smallerRun, filepath.Dir(labtest.Binary(t)))), 0o700))
	return r
}

// smallerRun stands before the program in the PATH: it has each run do less than the document says.
const smallerRun = `#!/bin/sh
[ "$1" != run ] || set -- "$@" $SMALLER
exec '%s/netpol-latency' "$@"
`

func (r *reader) read(blocks []docs.Block) {
	for _, block := range blocks {
		switch block.Mark.Kind {
		case docs.File:
			must(r.t, os.WriteFile(filepath.Join(r.dir, block.Mark.Text), []byte(block.Text),
				0o700))
		case docs.Output:
			if !docs.Prints(block.Text, r.printed) {
				r.t.Errorf("%s: the last block that was run printed something else:\n%s", block,
					r.printed)
			}
		case docs.Run:
			begun := time.Now()
			r.run(block)
			r.t.Logf("%s: %.1fs", block, time.Since(begun).Seconds())
		}
		if r.t.Failed() {
			return
		}
	}
}

// separator stands between what the commands of a block have printed.
const separator = "\x1e\n"

// run runs the commands of a block in one shell. What it exports is there in the later blocks that
// have the same lab, or none; what it leaves in the background ends with the test.
func (r *reader) run(block docs.Block) {
	r.t.Helper()
	output, err := os.CreateTemp(r.tools, "output-")
	must(r.t, err)
	defer output.Close()
	steps := block.Steps()
	ctx, cancel := context.WithTimeout(r.t.Context(), blockTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", r.script(block, steps))
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Dir = r.dir
	if block.Mark.FromRepository {
		cmd.Dir = repository
	}
	// No cluster of the person who runs the tests: an empty list of files is none.
	cmd.Env = append(os.Environ(), "KUBECONFIG=", "NETPOL_LATENCY_LAB_DIR=", "PATH="+strings.Join(
		[]string{filepath.Join(r.tools, "smaller"), filepath.Dir(labtest.Binary(r.t)),
			os.Getenv("PATH"), r.tools}, string(os.PathListSeparator)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	must(r.t, cmd.Start())
	r.t.Cleanup(func() { r.end(cmd.Process.Pid) })
	// The code is what matters, not that there is one.
	_ = cmd.Wait()
	printed, err := os.ReadFile(output.Name())
	must(r.t, err)
	r.evaluate(block, steps, string(printed), cmd.ProcessState.ExitCode())
}

// script is what the shell runs: every command must succeed, also in the middle of a pipe.
func (r *reader) script(block docs.Block, steps []docs.Step) string {
	var script strings.Builder
	key := "none"
	if block.Mark.Lab {
		key = "lab " + strings.Join(block.Mark.LabFlags, " ")
	}
	state := filepath.Join(r.tools, strings.ReplaceAll(key, "/", "_"))
	fmt.Fprintf(&script, "set -eo pipefail\n[ ! -e '%[1]s' ] || . '%[1]s'\ntrap 'export -p > "+
		"'\\''%[1]s'\\' EXIT\n", state)
	if block.Mark.Lab {
		lab := r.lab(key, block.Mark.LabFlags)
		fmt.Fprintf(&script, "export KUBECONFIG='%s' NETPOL_LATENCY_LAB_DIR='%s'\n", lab.Kubeconfig,
			lab.Dir)
	}
	for name, value := range block.Mark.Env {
		fmt.Fprintf(&script, "export %s='%s'\n", name, value)
	}
	fmt.Fprintf(&script, "export SMALLER='%s'\n", strings.Join(block.Mark.Smaller, " "))
	for _, step := range steps {
		script.WriteString(step.Command)
		if len(steps) > 1 {
			script.WriteString("printf '\\036\\n'\n")
		}
	}
	return script.String()
}

// lab is the lab with these flags, which is started when it is first needed.
func (r *reader) lab(key string, flags []string) *labtest.Lab {
	if r.labs[key] == nil {
		r.labs[key] = labtest.Start(r.t, flags...)
	}
	return r.labs[key]
}

func (r *reader) evaluate(block docs.Block, steps []docs.Step, printed string, code int) {
	r.t.Helper()
	r.printed = strings.ReplaceAll(printed, separator, "")
	if code != block.Mark.Exit {
		r.t.Fatalf("%s: the commands ended with code %d; want %d:\n%s\nThey printed:\n%s",
			block, code, block.Mark.Exit, block.Text, r.printed)
	}
	for i, output := range strings.SplitN(printed, separator, len(steps)) {
		output = strings.TrimSuffix(output, separator)
		if want := strings.TrimRight(steps[i].Output, "\n"); want != "" &&
			!docs.Prints(want+"\n", strings.TrimRight(output, "\n")) {
			r.t.Errorf("%s: the command\n%sprinted something else than\n%s\nnamely\n%s", block,
				steps[i].Command, want, output)
		}
	}
}

// end ends what a block has left in the background, in order: it may be a lab.
func (r *reader) end(group int) {
	deadline := time.Now().Add(20 * time.Second)
	for signal := syscall.SIGTERM; syscall.Kill(-group, signal) == nil; signal = 0 {
		if time.Now().After(deadline) {
			r.t.Errorf("process group %d does not end", group)
			_ = syscall.Kill(-group, syscall.SIGKILL)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
