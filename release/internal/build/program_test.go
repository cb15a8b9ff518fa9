// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"encoding/json"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// A program that is shipped tells the version that it was given, and the commit that it was made
// of.
func TestBuildTellsItsCommit(t *testing.T) {
	source, err := Describe(t.Context(), "../../..", "v1.2.3", "")
	if err != nil {
		t.Fatal(err)
	}
	made, err := source.Build(t.Context(), "netpol-latency",
		Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), made.Path, "version", "--output", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version  string
		Commit   string
		Modified bool
	}
	if err := json.Unmarshal(said, &got); err != nil {
		t.Fatalf("read %q: %v", said, err)
	}
	commit, dirty := strings.CutSuffix(source.Revision, "-dirty")
	if got.Version != "v1.2.3" || got.Commit != commit || got.Modified != dirty {
		t.Errorf("it says %+v; want version v1.2.3, commit %s, modified %t", got, commit, dirty)
	}
}
