// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/need"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden holds a text against that in testdata/golden, or writes it there.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: write it with go test ./internal/report -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); -update writes it anew:\n%s", name, diff)
	}
}

// opened is a run in testdata.
func opened(t *testing.T, name string) Source {
	t.Helper()
	source, err := Open(filepath.Join("testdata", name), setting.All())
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// troubled is a run in which much went wrong, on other nodes.
func troubled(t *testing.T) Source {
	t.Helper()
	began := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	sample := func(scenario string, round int, status measure.Status) measure.Sample {
		return measure.Sample{
			Scenario: scenario, Setting: "other-node", Iteration: round, Status: status,
			Ended: at(5000), Want: measure.StateBlocked,
			Target: measure.Target{Pod: measure.Object{Namespace: "targets", Name: "a,\"b\""},
				Address: netip.MustParseAddrPort("[fd00::1]:80")},
			Start: measure.Start{Source: measure.StartWrite, At: began},
		}
	}
	measured := sample("policy-deny", 1, measure.Measured)
	measured.Bracket = measure.Bracket{Lower: at(200), Upper: at(400)}
	measured.Warnings = []string{"the filter | resets"}
	invalid := sample("policy-deny", 1, measure.Invalid)
	invalid.Reason = "precondition: never seen allowed\nin time"
	unobserved := sample("policy-deny", 1, measure.Unobserved)
	unobserved.Reason = measure.NotReported
	leaked := sample("pod-startup/forbidden", 1, measure.Measured)
	leaked.Kind, leaked.Leaks = measure.KindBlocked, 3
	threshold, err := measure.ParseThreshold("policy-deny.p99<500ms")
	if err != nil {
		t.Fatal(err)
	}
	return Source{
		Run: result.Run{
			Schema: 1, ID: "troubled", Version: "v1.0.0", Began: began, Ended: at(9000),
			Command:  []string{"run", "it's"},
			Plugins:  []result.Plugin{{Name: "cilium", Version: "v1.18"}},
			Warnings: []string{"the log of <agent> broke off"},
			Scenarios: []result.Scenario{{
				Scenario: "policy-deny", Setting: "other-node", AgentNodes: []string{"a"},
				TargetNodes: []string{"b", "c"},
			}},
		},
		Samples: []measure.Sample{
			measured, sample("policy-deny", 1, measure.Censored), invalid,
			sample("policy-deny", 2, measure.Deleted), leaked, unobserved,
		},
		Thresholds: []measure.Threshold{threshold},
	}
}

// TestGolden writes a real run and a troubled one in every format.
func TestGolden(t *testing.T) {
	for _, format := range Formats() {
		t.Run(format.Name, func(t *testing.T) {
			var page bytes.Buffer
			if err := format.Write(&page, Build(opened(t, "schema1"), troubled(t))); err != nil {
				t.Fatal(err)
			}
			golden(t, format.Name+".txt", page.Bytes())
		})
	}
}

// TestTextFits keeps the text within 100 columns.
func TestTextFits(t *testing.T) {
	var page bytes.Buffer
	if err := Text(&page, Build(opened(t, "schema1"), troubled(t))); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(page.String()) {
		if len([]rune(line)) > 101 {
			t.Errorf("a line is longer than 100 columns: %s", line)
		}
	}
}

// TestOldDirectories reads a directory of each earlier schema.
func TestOldDirectories(t *testing.T) {
	for schema := 1; schema < result.Schema; schema++ {
		source := opened(t, "schema"+string(rune('0'+schema)))
		if source.Run.Schema != schema || len(source.Samples) != 90 || len(source.Thresholds) != 1 {
			t.Errorf("schema %d: %d samples, %d thresholds of run %+v", schema, len(source.Samples),
				len(source.Thresholds), source.Run)
		}
	}
}

// TestJUnitUnobserved calls a result with pairs that nobody watched an error, unless it shows that
// policy failed.
func TestJUnitUnobserved(t *testing.T) {
	measured := measure.Sample{Scenario: "policy-deny", Status: measure.Measured}
	leaked := measured
	leaked.Kind, leaked.Leaks = measure.KindBlocked, 1
	lost := measure.Sample{Scenario: "policy-deny", Status: measure.Unobserved}
	for _, test := range []struct {
		name           string
		sample         measure.Sample
		threshold      string
		errors, failed int
	}{
		{"no threshold", measured, "", 1, 0},
		{"a leak", leaked, "", 0, 1},
		{"a threshold that passed", measured, "policy-deny.measured==1", 1, 0},
		{"a threshold that failed", measured, "policy-deny.measured==2", 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := Source{Samples: []measure.Sample{test.sample, lost}}
			if test.threshold != "" {
				threshold, err := measure.ParseThreshold(test.threshold)
				if err != nil {
					t.Fatal(err)
				}
				source.Thresholds = []measure.Threshold{threshold}
			}
			suite := junitOf(Build(source)[0])
			if suite.Errors != test.errors || suite.Failures != test.failed {
				t.Errorf("%d errors and %d failures; want %d and %d", suite.Errors,
					suite.Failures, test.errors, test.failed)
			}
		})
	}
}

// TestJUnitFailsForMoreThanRun has what fails a case although the run passes, for the reason in
// docs/report.md.
func TestJUnitFailsForMoreThanRun(t *testing.T) {
	measured := measure.Sample{Scenario: "policy-deny", Status: measure.Measured}
	flapped, deleted, leaked := measured, measured, measured
	flapped.FlapCount, deleted.Status = 2, measure.Deleted
	leaked.Kind, leaked.Leaks = measure.KindBlocked, 1
	leaked.Probes[measure.Dropped] = 1
	for name, sample := range map[string]measure.Sample{
		"flaps": flapped, "deleted": deleted, "leaks": leaked,
	} {
		one := Build(Source{Samples: []measure.Sample{sample}})[0]
		suite := junitOf(one)
		if one.Assessment.Outcome != measure.Passed || suite.Failures != 1 ||
			suite.Cases[0].Failure.Type != name {
			t.Errorf("%s: the outcome is %s, and the case %+v", name, one.Assessment.Outcome,
				suite.Cases[0].Failure)
		}
	}
}

// TestJUnitConnections fails with open connections that live on, as run does.
func TestJUnitConnections(t *testing.T) {
	lives := measure.Sample{
		Scenario: "established", Status: measure.Censored, Kind: measure.KindOpen,
	}
	one := Build(Source{Samples: []measure.Sample{lives}})[0]
	suite := junitOf(one)
	if one.Assessment.Outcome != measure.NotInTime || suite.Failures != 1 ||
		suite.Cases[0].Failure.Type != "connections" {
		t.Errorf("the outcome is %s, and the case %+v", one.Assessment.Outcome, suite.Cases[0])
	}
}

// TestJUnitSchema holds the XML against the schema of what CI systems read.
func TestJUnitSchema(t *testing.T) {
	xmllint := need.Program(t, "xmllint", "make packages installs it (Debian's libxml2-utils)")
	check := func(content string) error {
		path := filepath.Join(t.TempDir(), "junit.xml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		output, err := exec.CommandContext(t.Context(), xmllint, "--nonet", "--noout", "--schema",
			"testdata/junit.xsd", path).CombinedOutput()
		if err != nil {
			t.Logf("xmllint: %s", output)
		}
		return err
	}
	var page bytes.Buffer
	if err := JUnit(&page, Build(opened(t, "schema1"), troubled(t))); err != nil {
		t.Fatal(err)
	}
	if err := check(page.String()); err != nil {
		t.Errorf("the report does not have the schema: %v", err)
	}
	if err := check(strings.ReplaceAll(page.String(), "classname=", "class=")); err == nil {
		t.Error("the schema lets a test case pass that has no class name")
	}
}

// TestJUnitVerdicts has the cases that fail.
func TestJUnitVerdicts(t *testing.T) {
	var page bytes.Buffer
	source := troubled(t)
	if err := JUnit(&page, Build(source)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`failures="2"`,
		`type="leaks" message="3 replies that policy forbids, on 1 pair"`, `type="threshold"`} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the report lacks %s:\n%s", want, page.String())
		}
	}
	source.Thresholds = nil
	page.Reset()
	if err := JUnit(&page, Build(source)); err != nil ||
		!strings.Contains(page.String(), `type="enforced" message="1 of 2 pairs changed`) {
		t.Errorf("a result that is not measured passes: %v, %s", err, page.String())
	}
}

// TestPerfData decodes the files with the shape that perfdash has, and refuses unknown fields.
func TestPerfData(t *testing.T) {
	type dataItem struct {
		Data   map[string]float64 `json:"data"`
		Unit   string             `json:"unit"`
		Labels map[string]string  `json:"labels,omitempty"`
	}
	type perfData struct {
		Version   string            `json:"version"`
		DataItems []dataItem        `json:"dataItems"`
		Labels    map[string]string `json:"labels,omitempty"`
	}
	files, err := perfDataFiles(Build(opened(t, "schema1"), troubled(t)))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 5 {
		t.Errorf("%d files; want 5", len(files))
	}
	name := regexp.MustCompile(`^GenericPrometheusQuery [^_/]+_[^_/]+_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.json$`)
	for _, file := range files {
		if !name.MatchString(file.Name) {
			t.Errorf("the name is %q", file.Name)
		}
		decoder := json.NewDecoder(bytes.NewReader(file.Content))
		decoder.DisallowUnknownFields()
		var found perfData
		if err := decoder.Decode(&found); err != nil {
			t.Errorf("%s: %v", file.Name, err)
			continue
		}
		want := 4
		if strings.Contains(file.Name, "troubled") {
			want = 1 // of one measured and one censored pair no more than the median is known
		}
		if found.Version != "v1" || len(found.DataItems) != 1 || found.DataItems[0].Unit != "s" ||
			len(found.DataItems[0].Data) != want {
			t.Errorf("%s has %+v", file.Name, found)
		}
	}
}

// TestCSV reads what was written with another reader's rules: every line has as many fields, and
// ends with CR and LF.
func TestCSV(t *testing.T) {
	var page bytes.Buffer
	source := troubled(t)
	if err := CSV(&page, Build(source)); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&page).ReadAll()
	if err != nil || len(lines) != 1+len(source.Samples) || lines[1][6] != `targets/a,"b"` {
		t.Errorf("%d lines, %v: %q", len(lines), err, lines)
	}
}

// TestCSVFlaps has no flap of a pair that must stay blocked: its changes are those of a leak.
func TestCSVFlaps(t *testing.T) {
	flapped := measure.Sample{Scenario: "policy-deny", Status: measure.Measured, FlapCount: 2}
	leaked := flapped
	leaked.Kind, leaked.Leaks = measure.KindBlocked, 3
	var page bytes.Buffer
	if err := CSV(&page, Build(Source{Samples: []measure.Sample{flapped, leaked}})); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&page).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := slices.Index(lines[0], "flaps")
	if lines[1][column] != "2" || lines[2][column] != "0" {
		t.Errorf("%s and %s flaps; want 2 and 0", lines[1][column], lines[2][column])
	}
}

// TestBenchstat has benchstat compare two runs: it finds every iteration, and the change.
func TestBenchstat(t *testing.T) {
	benchstat := need.Program(t, "benchstat",
		"make benchstat builds it, and make test-unit finds it in bin/")
	write := func(name string) string {
		var page bytes.Buffer
		if err := Bench(&page, Build(opened(t, name))); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, page.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	output, err := exec.CommandContext(t.Context(), benchstat, "old="+write("delay100"),
		"new="+write("delay130")).CombinedOutput()
	if err != nil {
		t.Fatalf("benchstat: %v: %s", err, output)
	}
	found := regexp.MustCompile(`Latency/scenario=policy-deny/setting=3_targets\s+10\d\.\dm ±\s+\d+%\s+13\d\.\dm ±\s+\d+%\s+\+\d\d\.\d+% \(p=0\.000 n=10\)`)
	if !found.Match(output) {
		t.Errorf("benchstat does not find ten iterations each, and the change:\n%s", output)
	}
}

// TestPlacements compares pairs on one node with pairs on others that were run alike, and no
// others.
func TestPlacements(t *testing.T) {
	began := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	ran := func(direction, placement string, ms ...int) Source {
		scenario := result.Scenario{Scenario: "policy-deny", Settings: setting.Record{
			"direction": fmt.Appendf(nil, "%q", direction),
			"placement": fmt.Appendf(nil, "%q", placement),
		}}
		scenario.Setting = setting.All().Label(setting.All().Recall(scenario.Settings))
		source := Source{Settings: setting.All(),
			Run: result.Run{Scenarios: []result.Scenario{scenario}}}
		for i, upper := range ms {
			sample := measure.Sample{
				Scenario: "policy-deny", Setting: scenario.Setting, Status: measure.Measured,
				Start: measure.Start{Source: measure.StartWrite, At: began},
				Bracket: measure.Bracket{
					Lower: began.Add(time.Duration(upper-2) * time.Millisecond),
					Upper: began.Add(time.Duration(upper) * time.Millisecond),
				},
			}
			if placement == "any" {
				sample.ClientNode, sample.TargetNode = "a", []string{"a", "b"}[i]
			}
			source.Samples = append(source.Samples, sample)
		}
		return source
	}
	for _, test := range []struct {
		name    string
		sources []Source
		want    []string
	}{
		{"two placements of one setting",
			[]Source{ran("ingress", "same-node", 11), ran("ingress", "other-node", 31)},
			[]string{"policy-deny (ingress): p50 10.0ms and 30.0ms, p99 10.0ms and 30.0ms"}},
		{"one placement of each of two settings",
			[]Source{ran("ingress", "same-node", 11), ran("egress", "other-node", 31)}, nil},
		{"two settings with pairs in both places",
			[]Source{ran("ingress", "any", 11, 21), ran("egress", "any", 31, 41)},
			[]string{"policy-deny (ingress): p50 10.0ms and 20.0ms, p99 10.0ms and 20.0ms",
				"policy-deny: p50 30.0ms and 40.0ms, p99 30.0ms and 40.0ms"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var want []string
			for _, text := range test.want {
				want = append(want, "same-node vs cross-node: "+text)
			}
			if diff := cmp.Diff(want, placements(Build(test.sources...))); diff != "" {
				t.Errorf("placements() (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTextsAreNoMarkup writes what somebody else has named: a link, a picture and a formula are
// shown as what they are.
func TestTextsAreNoMarkup(t *testing.T) {
	source := troubled(t)
	source.Run.Warnings = []string{"![x](http://y/z.png) [a](b) www.example.org"}
	source.Samples[0].Scenario = `=HYPERLINK("http://y")`
	source.Samples[1].Reason = "@SUM(1)"
	source.Samples[2].Client = measure.Object{Namespace: "-2+3", Name: "x"}
	source.Samples[2].Reason = "-12.5"

	var markdown, table bytes.Buffer
	if err := Markdown(&markdown, Build(source)); err != nil {
		t.Fatal(err)
	}
	want := `!\[x\](http&#58;//y/z.png) \[a\](b) www&#46;example.org`
	if !strings.Contains(markdown.String(), want) {
		t.Errorf("the Markdown lacks %s:\n%s", want, markdown.String())
	}

	if err := CSV(&table, Build(source)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"'=HYPERLINK(""http://y"")"`, ",'@SUM(1),", ",'-2+3/x,",
		",-12.5,"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %s:\n%s", want, table.String())
		}
	}
}

// TestCutRun writes a run that was killed in every format that says how a run stands: each says how
// far it came, and none that it passed.
func TestCutRun(t *testing.T) {
	source := opened(t, "schema1")
	source.Run.State = result.StateRunning
	source.Run.Scenarios = []result.Scenario{
		{Scenario: "policy-deny", Iterations: 3, Planned: 4}, {Scenario: "pod-label", Planned: 6},
	}
	const cut = "the run was cut after 3 of 10 iterations"
	says := map[string]string{
		"text": "outcome: unobserved: " + cut, "markdown": "outcome: unobserved: " + cut,
		"json": `"outcome": "unobserved"`, "junit": `<error type="incomplete" message="` + cut,
	}
	for _, format := range Formats() {
		want, tells := says[format.Name]
		if !tells {
			continue
		}
		var page bytes.Buffer
		if err := format.Write(&page, Build(source)); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(page.String()), " ")
		if !strings.Contains(text, want) || !strings.Contains(text, cut) {
			t.Errorf("%s lacks %q:\n%s", format.Name, want, page.String())
		}
	}
}
