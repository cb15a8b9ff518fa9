// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package version

import (
	"bytes"
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDescribe(t *testing.T) {
	checkout := &debug.BuildInfo{
		Main: debug.Module{Version: "v0.0.0-20260102030405-0123456789ab+dirty"},
		Settings: []debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123456789abcdef"},
			{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	tests := []struct {
		name    string
		release string
		info    *debug.BuildInfo
		want    Build
	}{
		{
			"what the linker was told counts", "v1.2.3", checkout,
			Build{Version: "v1.2.3", Commit: "0123456789abcdef", Date: "2026-01-02T03:04:05Z",
				Modified: true},
		},
		{
			"a build of a checkout has what the go command recorded", "", checkout,
			Build{
				Version: "v0.0.0-20260102030405-0123456789ab+dirty", Commit: "0123456789abcdef",
				Date: "2026-01-02T03:04:05Z", Modified: true,
			},
		},
		{
			"an installed module has its version alone", "",
			&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}},
			Build{Version: "v1.2.3"},
		},
		{"a program that knows nothing says so", "", &debug.BuildInfo{}, Build{Version: "unknown"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.want.Program, test.want.Go = "tool", runtime.Version()
			test.want.Platform = runtime.GOOS + "/" + runtime.GOARCH
			if diff := cmp.Diff(test.want, describe("tool", test.release, test.info)); diff != "" {
				t.Errorf("the build differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	build := Build{Program: "tool", Version: "v1.2.3", Commit: "0123", Modified: true, Go: "go1.26",
		Platform: "linux/arm64"}
	var text bytes.Buffer
	if err := build.Write(&text, Text); err != nil {
		t.Fatal(err)
	}
	want := "tool v1.2.3\n  commit    0123 (modified)\n  date      unknown\n  go        go1.26\n " +
		" platform  linux/arm64\n"
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("the text differs (-want +got):\n%s", diff)
	}
	var encoded bytes.Buffer
	if err := build.Write(&encoded, JSON); err != nil {
		t.Fatal(err)
	}
	var decoded Build
	if err := json.Unmarshal(encoded.Bytes(), &decoded); err != nil {
		t.Fatalf("the JSON cannot be read: %v\n%s", err, &encoded)
	}
	if diff := cmp.Diff(build, decoded); diff != "" {
		t.Errorf("the JSON differs (-want +got):\n%s", diff)
	}
	if err := build.Write(&text, "yaml"); err == nil ||
		!strings.Contains(err.Error(), `"yaml": expected text or json`) {
		t.Errorf("a wrong format gives %v", err)
	}
}
