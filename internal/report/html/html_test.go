// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

func document(t *testing.T, sources ...report.Source) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, report.Build(sources...)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// own is the document without the library, which is not ours to check.
func own(document string) string {
	content, err := files.ReadFile(library)
	if err != nil {
		panic(err)
	}
	return strings.ReplaceAll(document, string(content), "")
}

// The document holds everything: nothing in it names a place to load something from, and its policy
// permits its own scripts and styles and nothing else.
func TestDocumentIsSelfContained(t *testing.T) {
	text := document(t, sourceOf(sampleAt(1, 10, 12)))
	for _, pattern := range []string{`<link\b`, `<img\b`, `<iframe\b`, `\bsrc\s*=`, `@import`,
		`url\(`, `\sstyle=`, `\son[a-z]+="`} {
		if found := regexp.MustCompile(pattern).FindString(own(text)); found != "" {
			t.Errorf("the document has %q", found)
		}
	}
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).
		FindStringSubmatch(text)
	if policy == nil || !strings.HasPrefix(policy[1], "default-src &#39;none&#39;;") ||
		strings.Contains(policy[1], "unsafe") {
		t.Fatalf("the policy is %q", policy)
	}
	if got, want := strings.Count(policy[1], "sha256-"), len(styles())+len(scripts()); got != want {
		t.Errorf("the policy permits %d scripts and styles; want %d", got, want)
	}
	for _, name := range scripts() {
		content, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(text, string(content)) != 1 {
			t.Errorf("%s is not in the document as it is: its hash does not permit it", name)
		}
		if bytes.Contains(bytes.ToLower(content), []byte("</script")) ||
			bytes.Contains(content, []byte("<!--")) {
			t.Errorf("%s ends its own element", name)
		}
	}
}

// Names come from a cluster. None of them may become markup or a program.
func TestHostileNames(t *testing.T) {
	hostile := `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'` + "\u2028" +
		`{{.}}${alert(3)}<!--`
	sample := sampleAt(1, 10, 12)
	sample.Target.Pod.Name, sample.Client.Name, sample.ClientNode = hostile, hostile, hostile
	sample.Scenario, sample.Setting, sample.Reason, sample.Warnings = hostile, hostile, hostile,
		[]string{hostile}
	source := sourceOf(sample, sampleAt(2, 1, 2))
	source.Run.ID, source.Run.Version, source.Run.Kubernetes = hostile, hostile, hostile
	source.Run.Command, source.Run.Warnings = []string{hostile}, []string{hostile}
	source.Run.Plugins = []result.Plugin{{Name: hostile, Version: hostile}}
	source.Run.Nodes[0].Name, source.Run.Scenarios[0].Scenario = hostile, hostile
	source.Directory = "</title>" + "<script>alert(4)</script>"
	text := own(document(t, source))
	for _, bad := range []string{"<script>alert", "<img", "<!--"} {
		if strings.Contains(text, bad) {
			t.Errorf("the document has %q", bad)
		}
	}
	if got, want := strings.Count(text, "<script"), len(scripts())+2; got != want {
		t.Errorf("the document has %d scripts; want %d, of which 2 are data", got, want)
	}
	for _, one := range dataOf(t, text) {
		if one.Pairs.Texts[1] != hostile && one.Title == hostile {
			t.Errorf("the name is %q in the data; want %q", one.Pairs.Texts[1], hostile)
		}
	}
}

// dataOf is what the scripts get.
func dataOf(t *testing.T, document string) []struct {
	Title string `json:"title"`
	Pairs struct {
		Texts  []string   `json:"texts"`
		Status []int      `json:"status"`
		Upper  []*float64 `json:"upper"`
		End    []*float64 `json:"end"`
	} `json:"pairs"`
} {
	t.Helper()
	type one = struct {
		Title string `json:"title"`
		Pairs struct {
			Texts  []string   `json:"texts"`
			Status []int      `json:"status"`
			Upper  []*float64 `json:"upper"`
			End    []*float64 `json:"end"`
		} `json:"pairs"`
	}
	var all []one
	for _, found := range regexp.MustCompile(`(?s)<script type="application/json"[^>]*>(.*?)</script>`).FindAllStringSubmatch(document, -1) {
		var read one
		if err := json.Unmarshal([]byte(found[1]), &read); err != nil {
			t.Fatalf("read the data: %v", err)
		}
		all = append(all, read)
	}
	return all
}

func TestDataOfPairs(t *testing.T) {
	all := dataOf(t, document(t, sourceOf(sampleAt(1, 10, 12.3456), censoredAt(2, 3000))))
	if len(all) != 1 || len(all[0].Pairs.Status) != 2 {
		t.Fatalf("the data are %+v", all)
	}
	p := all[0].Pairs
	if p.Upper[0] == nil || *p.Upper[0] != 12.346 || p.Upper[1] != nil || p.End[1] == nil ||
		*p.End[1] != 3000 || p.Status[1] != 1 {
		t.Errorf("the pairs are %+v", p)
	}
}

// A leak that the first probe met began at some time before: the most that it can be is shown.
func TestFirstProbeLeaked(t *testing.T) {
	leak := leaking(3)
	leak.Bracket.Lower = time.Time{}
	p := newPairs([]measure.Sample{leak}, report.NewNodes(report.Source{}))
	if p.Latency[0] != 6 || !math.IsNaN(float64(p.Lower[0])) {
		t.Errorf("it leaked at %v ms, from %v ms on; want 6 at most", p.Latency[0], p.Lower[0])
	}
}

// Several runs have a heading and an identifier each; nothing is named twice.
func TestSeveralRuns(t *testing.T) {
	text := document(t, sourceOf(sampleAt(1, 10, 12)), sourceOf(sampleAt(1, 10, 12), leaking(3)))
	if !strings.Contains(text, "<h1>2 runs</h1>") {
		t.Error("the document does not say that there are two runs")
	}
	seen := make(map[string]bool)
	for _, found := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(own(text),
		-1) {
		if seen[found[1]] {
			t.Errorf("the identifier %q is there twice", found[1])
		}
		seen[found[1]] = true
	}
	for _, found := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(own(text),
		-1) {
		if !seen[found[1]] {
			t.Errorf("a link leads to %q, which is not there", found[1])
		}
	}
}

// A run that measured nothing still has a report, and so has one of the drop-in clients, whose
// samples know less.
func TestSparseRuns(t *testing.T) {
	for name, source := range map[string]report.Source{
		"nothing": {},
		"little": {Samples: []measure.Sample{{Scenario: "pod-creation",
			Status: measure.Censored}}},
		"invalid": {Samples: []measure.Sample{{Scenario: "pod-creation", Status: measure.Invalid,
			Reason: "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if text := document(t, source); !strings.Contains(text, "not known") {
				t.Error("the document does not say what is not known")
			}
		})
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestWriteFails(t *testing.T) {
	if err := Write(broken{}, report.Build(report.Source{})); err == nil ||
		!strings.Contains(err.Error(), "write the HTML report: the disk is full") {
		t.Errorf("the error is %v", err)
	}
}

func TestPlugins(t *testing.T) {
	for _, test := range []struct {
		found []result.Plugin
		want  string
	}{
		{nil, "none found among the daemon sets"},
		{[]result.Plugin{{Name: "cilium", Version: "v1"}, {Name: "x"}}, "cilium v1, x"},
	} {
		if got := plugins(test.found); got != test.want {
			t.Errorf("plugins(%v) = %q; want %q", test.found, got, test.want)
		}
	}
}
