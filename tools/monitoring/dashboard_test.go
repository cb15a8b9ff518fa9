// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const deploy = "../../deploy"

// What is in the project is what its sources make.
func TestInStep(t *testing.T) {
	files, err := render(deploy)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is not what its source makes: \"make monitoring\" writes it", name)
		}
	}
}

// validate holds a dashboard against Grafana's schema: no field is unknown, missing or of another
// type, nor is one in the options of a panel or a query.
func validate(content []byte) (dashboard.Dashboard, error) {
	plugins.RegisterDefaultPlugins()
	var board dashboard.Dashboard
	if err := board.UnmarshalJSONStrict(content); err != nil {
		return board, err
	}
	return board, board.Validate()
}

func TestSchema(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(deploy, "grafana", "netpol-latency.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := validate(content); err != nil {
		t.Errorf("the dashboard is not valid: %v", err)
	}
	for what, change := range map[string][2]string{
		"an option that a panel does not have":   {`"colorMode":`, `"colourMode":`},
		"a field that a query does not have":     {`"legendFormat":`, `"legend":`},
		"a value that the schema does not allow": {`"graphTooltip": 1`, `"graphTooltip": "1"`},
		"a field that no dashboard has":          {`"schemaVersion":`, `"version_of_schema":`},
		"a month that no year has": {`"fiscalYearStartMonth": 0`,
			`"fiscalYearStartMonth": 12`},
	} {
		broken := strings.Replace(string(content), change[0], change[1], 1)
		if broken == string(content) {
			t.Errorf("%s: the dashboard has no %s to change", what, change[0])
		}
		if _, err := validate([]byte(broken)); err == nil {
			t.Errorf("%s is taken for valid", what)
		}
	}
}

// Every panel says what its figures mean, asks the data source that the user chose, and lies beside
// the others.
func TestPanels(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(deploy, "grafana", "netpol-latency.json"))
	if err != nil {
		t.Fatal(err)
	}
	board, err := validate(content)
	if err != nil {
		t.Fatal(err)
	}
	taken := make(map[[2]uint32]string)
	for _, one := range board.Panels {
		panel := one.Panel
		if panel == nil {
			continue
		}
		if panel.Description == nil || len(*panel.Description) < 20 {
			t.Errorf("panel %q is not described", *panel.Title)
		}
		if panel.Datasource == nil || *panel.Datasource.Uid != "${datasource}" {
			t.Errorf("panel %q has a data source of its own", *panel.Title)
		}
		if at := panel.GridPos; at.X+at.W > 24 {
			t.Errorf("panel %q ends in column %d of 24", *panel.Title, at.X+at.W)
		}
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				if other, used := taken[[2]uint32{x, y}]; used {
					t.Fatalf("panels %q and %q overlap", *panel.Title, other)
				}
				taken[[2]uint32{x, y}] = *panel.Title
			}
		}
	}
	if len(taken) == 0 {
		t.Error("the dashboard has no panels")
	}
}

// The schema's enumerations are strings in Go: a typed constant is a value of one, but what is left
// out is written as an empty string, which is none.
func TestNothingIsEmpty(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(deploy, "grafana", "netpol-latency.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board map[string]any
	if err := json.Unmarshal(content, &board); err != nil {
		t.Fatal(err)
	}
	expectNoEmpty(t, "dashboard", board)
}

// expectNoEmpty reports the strings in a JSON value that are empty, but for the legends of tables,
// which have none.
func expectNoEmpty(t *testing.T, path string, value any) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if key != "legendFormat" {
				expectNoEmpty(t, path+"."+key, inner)
			}
		}
	case []any:
		for i, inner := range v {
			expectNoEmpty(t, fmt.Sprintf("%s[%d]", path, i), inner)
		}
	case string:
		if v == "" {
			t.Errorf("%s is empty", path)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"a", "b"}, {t.TempDir()}} {
		var help bytes.Buffer
		if err := run(args, &help); err == nil {
			t.Errorf("arguments %q are taken", args)
		}
	}
}
