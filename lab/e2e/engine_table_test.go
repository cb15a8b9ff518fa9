// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/internal/supervisor"
)

// enginesDocument is where the table of engines is, between two marks.
const (
	enginesDocument = repository + "/docs/engines.md"
	tableBegins     = "<!-- make engine-table writes this -->\n"
	tableEnds       = "<!-- until here -->\n"
)

// BenchmarkEngineTable measures every scenario with every engine and writes the table in the
// document about engines. With ITERATIONS in the environment each is repeated so often.
func BenchmarkEngineTable(b *testing.B) {
	iterations := fromEnvironment(b, "ITERATIONS", 10)
	var columns []engineColumn
	titles := map[string]string{supervisor.EngineReference: supervisor.EngineReference}
	names := []string{supervisor.EngineReference}
	for _, e := range clusterEngines() {
		titles[e.name] = e.name + " " + e.find(b).Version()
		names = append(names, e.name)
	}
	for _, name := range names {
		columns = append(columns, measureEngine(b, name, iterations))
	}

	var sides []report.Side
	for _, column := range columns {
		side, err := report.OpenSide(column.directory, setting.All())
		must(b, err)
		sides = append(sides, side)
	}
	compared, err := report.CompareAll(sides, false)
	must(b, err)
	for i, name := range names {
		compared.Names[i] = titles[name]
	}
	for _, text := range append(compared.Warnings, compared.Shown()) {
		b.Log(text)
	}

	content, err := os.ReadFile(enginesDocument)
	must(b, err)
	before, rest, found := strings.Cut(string(content), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !found || !ends {
		b.Fatalf("%s has no place for the table: expected the marks %q and %q", enginesDocument,
			tableBegins, tableEnds)
	}
	text := before + tableBegins + engineTable(compared, columns) + tableEnds + after
	must(b, os.WriteFile(enginesDocument, []byte(text), 0o644))
}

// engineColumn is what was measured of an engine.
type engineColumn struct {
	directory string        // of the run
	cpu       time.Duration // of the engine, for each iteration
	hole, cut string        // what a restart does to what is blocked, and to what is allowed
}

// measureEngine runs every scenario in a lab with the engine, and restarts it.
func measureEngine(b *testing.B, name string, iterations int) engineColumn {
	lab := labtest.Start(b, "--engine", name)
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	column := engineColumn{directory: filepath.Join(b.TempDir(), name)}
	file := filepath.Join(b.TempDir(), "suite.yaml")
	must(b, os.WriteFile(file, []byte(engineSuite(iterations)), 0o600))

	before := cpuTimes(b, lab)["engine-0"]
	output, err := command(ctx, b, lab, "run", "-c", file, "--target-image=nginx", "-o",
		column.directory).CombinedOutput()
	b.Logf("%s:\n%s", name, output)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		b.Fatal(err) // what an engine cannot do ends with a code of its own
	}
	spent := cpuTimes(b, lab)["engine-0"] - before
	run, _, err := result.Directory(column.directory).Read()
	must(b, err)
	triggers := 0
	for _, one := range run.Scenarios {
		triggers += one.Iterations
	}
	column.cpu = spent / time.Duration(max(triggers, 1))

	column.hole = restarted(ctx, b, lab, "policy-deny")
	column.cut = restarted(ctx, b, lab, "policy-creation")
	return column
}

// engineSuite is the suite of all scenarios. What open connections do is waited for a little only.
func engineSuite(iterations int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "targets: 5\nrepeat: %d\nruns:\n", iterations)
	for _, name := range scenarios() {
		fmt.Fprintf(&text, "  - scenario: %s\n", name)
	}
	text.WriteString("  - scenario: established\n    timeout: 2s\n")
	return text.String()
}

// restartHold is for how long pairs are watched after their change while the engine is restarted.
const restartHold = 10 * time.Second

// restarted runs a scenario, restarts the engine when its pairs have changed, and says what became
// of them.
func restarted(ctx context.Context, b *testing.B, lab *labtest.Lab, scenario string) string {
	directory := filepath.Join(b.TempDir(), scenario)
	run := command(ctx, b, lab, "run", scenario, "--targets=5", "--target-image=nginx",
		"--hold="+restartHold.String(), "-o", directory)
	progress, err := run.StderrPipe()
	must(b, err)
	must(b, run.Start())
	lines := bufio.NewScanner(progress)
	for lines.Scan() && !strings.Contains(lines.Text(), "measuring") {
	}
	time.Sleep(restartHold / 3) // the slowest engine takes a second
	lab.Of(b).Component("restart", "engine-0")
	for lines.Scan() {
	}
	_ = run.Wait() // what it has found is in the directory

	_, samples, err := result.Directory(directory).Read()
	must(b, err)
	return describeFlaps(samples)
}

// describeFlaps says for how long pairs were back in their old state.
func describeFlaps(samples []measure.Sample) string {
	flapped, longest := 0, time.Duration(0)
	for _, sample := range samples {
		if sample.CountFlaps() == 0 {
			continue
		}
		flapped++
		changes := slices.SortedFunc(slices.Values(append(slices.Clone(sample.Flaps),
			measure.Change{To: sample.Want, Bracket: sample.Bracket})),
			func(a, b measure.Change) int { return a.Bracket.Upper.Compare(b.Bracket.Upper) })
		for k := 1; k < len(changes); k++ {
			if back := changes[k-1]; back.To != sample.Want {
				longest = max(longest, changes[k].Bracket.Upper.Sub(back.Bracket.Lower))
			}
		}
	}
	if flapped == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d, for at most %s", flapped, len(samples),
		measure.FormatDuration(longest))
}

// engineTable has a row for each result, and a column for each engine.
func engineTable(compared report.SideBySide, columns []engineColumn) string {
	var text strings.Builder
	row := func(name, label string, cells []string) {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", name, label, strings.Join(cells, " | "))
	}
	row("result", "", compared.Names)
	text.WriteString("| --- | --- |" + strings.Repeat(" --- |", len(columns)) + "\n")
	for _, one := range compared.Results {
		name := one.Of[0].Summary.Scenario
		for _, line := range one.Rows() {
			row(name, line.Label, line.Cells)
			name = ""
		}
	}

	var cpu, holes, cuts []string
	for _, column := range columns {
		cpu = append(cpu, measure.FormatDuration(column.cpu))
		holes, cuts = append(holes, column.hole), append(cuts, column.cut)
	}
	row("engine restarted", "blocked pairs that were answered", holes)
	row("", "allowed pairs that were cut", cuts)
	row("processor time", "for each change", cpu)
	return text.String()
}
