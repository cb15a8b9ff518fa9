// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// A comparison of real runs, of which the second was slower: nothing is complained about, nothing
// is asked for, both curves are drawn, the new one to the right of the old one, and axe-core finds
// no fault.
func TestComparisonOfALab(t *testing.T) {
	if _, err := labRuns(); err != nil {
		t.Fatal(err)
	}
	lab, err := labBinary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "comparison.html")
	output, err := exec.Command(filepath.Join(filepath.Dir(lab), "netpol-latency"), "compare",
		filepath.Join(scratch, "earlier"),
		filepath.Join(scratch, "later"), "--format", "html", "-o", file).CombinedOutput()
	if err != nil {
		t.Fatalf("netpol-latency compare: %v: %s", err, output)
	}
	for name, how := range looks() {
		t.Run(name, func(t *testing.T) {
			p := openUntil(t, file, how, "svg")
			p.expectCurves()
			p.expectQuiet()
			if wide := eval[float64](p,
				"document.documentElement.scrollWidth"); wide > float64(how.width) {
				t.Errorf("the document is %v pixels wide; want at most %d", wide, how.width)
			}
			p.expectAccessible(10)
		})
	}
}

// curveShape is where a curve stands on the page, in pixels, and whether its colour can be seen.
type curveShape struct {
	Left   float64 `json:"left"`
	Height float64 `json:"height"`
	Width  float64 `json:"width"`
	Seen   bool    `json:"seen"`
}

// expectCurves checks that the old and the new distribution are drawn as what was measured.
func (p *page) expectCurves() {
	p.t.Helper()
	shapes := eval[[]curveShape](p, `["old", "new"].map((name) => {
		const path = document.querySelector("svg path." + name);
		const style = getComputedStyle(path);
		const box = path.getBoundingClientRect();
		return { left: box.left, height: box.height, width: box.width,
			seen: style.stroke !== "none" && style.stroke !== getComputedStyle(document.body).backgroundColor };
	})`)
	for i, shape := range shapes {
		if shape.Width < 10 || shape.Height < 50 || !shape.Seen {
			p.t.Errorf("curve %d is %.0f by %.0f pixels, seen: %t", i, shape.Width, shape.Height,
				shape.Seen)
		}
	}
	if shapes[1].Left <= shapes[0].Left {
		p.t.Errorf("the new curve begins at %.0f, the old one at %.0f: the slower one must be to "+
			"the right", shapes[1].Left, shapes[0].Left)
	}
}
