// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

func side(t *testing.T, name string) report.Side {
	t.Helper()
	found, err := report.OpenSide(filepath.Join("..", "testdata", name), setting.All())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestComparisonPageIsWhole parses the page as XML would be, and finds nothing that is fetched or
// run.
func TestComparisonPageIsWhole(t *testing.T) {
	limit, err := measure.ParseLimit("p99 > +10%")
	if err != nil {
		t.Fatal(err)
	}
	earlier, later := side(t, "delay100"), side(t, "delay130")
	c, err := report.Compare(earlier, later, []measure.Limit{limit}, false)
	if err != nil {
		t.Fatal(err)
	}
	c.Results[0].Name = `<script>alert("x")</script>`
	var page bytes.Buffer
	if err := WriteComparison(&page, c); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, banned := range []string{
		"<script", "http://", "https://", "src=", "ZgotmplZ", "NaN", "unsafe", "style=", "ECharts",
	} {
		if strings.Contains(text, banned) {
			t.Errorf("the page has %q", banned)
		}
	}
	for _, want := range []string{
		"script-src &#39;none&#39;", "EXCEEDED", "policy-deny (3 targets)", ">slower<",
		"110ms</text>",
		"New: median 13",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if paths := countPaths(t, &page); paths != 4 {
		t.Errorf("the page has %d curves; want 4", paths)
	}
}

// countPaths parses a page as XML would be, and counts its curves.
func countPaths(t *testing.T, page io.Reader) (paths int) {
	t.Helper()
	decoder := xml.NewDecoder(page)
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return paths
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "path" {
			paths++
		}
	}
}

// TestSideBySidePageIsWhole is the same for three sides.
func TestSideBySidePageIsWhole(t *testing.T) {
	again := side(t, "delay100")
	again.Path = `<script>alert("x")</script>`
	c, err := report.CompareAll([]report.Side{side(t, "delay100"), side(t, "delay130"), again},
		false)
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := WriteSideBySide(&page, c); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, banned := range []string{
		"<script", "http://", "https://", "src=", "ZgotmplZ", "NaN", "unsafe", "style=", "ECharts",
	} {
		if strings.Contains(text, banned) {
			t.Errorf("the page has %q", banned)
		}
	}
	for _, want := range []string{
		"script-src &#39;none&#39;", "policy-deny (3 targets)", "8 of 12 comparisons",
		`class="side-3"`, "delay130: median 13",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if paths := countPaths(t, &page); paths != 6 {
		t.Errorf("the page has %d curves; want 6", paths)
	}
}

// TestCurvePath draws a distribution as the report does: it ends where the first censored pair was
// given up, since from there on the order is not known.
func TestCurvePath(t *testing.T) {
	x := func(ms float64) float64 { return ms }
	censored := newCurve("old", []measure.Sample{sampleAt(1, 10, 14), sampleAt(2, 90, 110),
		censoredAt(3, 50)})
	if diff := cmp.Diff("M12.0 255.0H12.0V175.0", censored.path(x)); diff != "" {
		t.Errorf("with a censored pair (-want +got):\n%s", diff)
	}
	all := newCurve("new", []measure.Sample{sampleAt(1, 10, 14), sampleAt(2, 90, 110)})
	if diff := cmp.Diff("M12.0 255.0H12.0V135.0H100.0V15.0H700.0", all.path(x)); diff != "" {
		t.Errorf("with none (-want +got):\n%s", diff)
	}
	if path := newCurve("none", []measure.Sample{censoredAt(3, 50)}).path(x); path != "" {
		t.Errorf("a curve without a pair is drawn as %s", path)
	}
}
