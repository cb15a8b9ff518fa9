// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the report holds of others is what their npm packages hold, whose versions and hashes
// package-lock.json pins.
func TestLibraryIsUnmodified(t *testing.T) {
	ours := filepath.Join("..", "internal", "report", "html", "third_party", "echarts")
	for name, theirs := range map[string]string{
		"echarts.min.js": "echarts/dist/echarts.min.js", "LICENSE": "echarts/LICENSE",
		"NOTICE":     "echarts/NOTICE",
		"LICENSE-d3": "echarts/licenses/LICENSE-d3", "LICENSE-zrender": "zrender/LICENSE",
	} {
		got, want := read(t, filepath.Join(ours, name)),
			read(t, filepath.Join("node_modules", filepath.FromSlash(theirs)))
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not that of the npm package", name)
		}
	}
	entries, err := os.ReadDir(ours)
	if err != nil || len(entries) != 5 {
		t.Errorf("there are %d files of others: %v; want the five that are compared", len(entries),
			err)
	}
	var manifest struct{ Version string }
	if err := json.Unmarshal(read(t, filepath.Join("node_modules", "echarts", "package.json")),
		&manifest); err != nil {
		t.Fatal(err)
	}
	p := open(t, write(t, synthetic(3)...), desk())
	if version := eval[string](p, "echarts.version"); version != manifest.Version {
		t.Errorf("the report has ECharts %s; want %s", version, manifest.Version)
	}
	if text := eval[string](p,
		`document.querySelector("footer").textContent`); !strings.Contains(text, manifest.Version) {
		t.Errorf("the report does not say that it has ECharts %s: %s", manifest.Version, text)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: \"make browser\" installs the packages", err)
	}
	return content
}
