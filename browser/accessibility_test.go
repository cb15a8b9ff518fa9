// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"os"
	"path/filepath"
	"testing"
)

// violation is a fault that axe-core has found.
type violation struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

// verdict is what axe-core says of a document.
type verdict struct {
	Violations []violation `json:"violations"`
	Passed     int         `json:"passed"`
}

// axe-core finds no fault of any weight in the report of real runs, in light and dark colours, wide
// and narrow.
func TestAccessibility(t *testing.T) {
	file, _ := reportOfLab(t)
	for name, how := range looks() {
		t.Run(name, func(t *testing.T) {
			p := open(t, file, how)
			p.scrollThrough()
			p.expectAccessible(15)
		})
	}
}

// looks are the ways in which every document is looked at.
func looks() map[string]look {
	return map[string]look{"light": desk(), "dark": night(), "narrow": phone()}
}

// expectAccessible checks that axe-core finds no fault, and that so many of its rules had something
// to look at.
func (p *page) expectAccessible(least int) {
	p.t.Helper()
	axe, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		p.t.Fatalf("%v: \"make browser\" installs it", err)
	}
	eval[bool](p,
		string(axe)+`; for (const details of document.querySelectorAll("details")) `+
			`details.open = true; true`)
	found := eval[verdict](p, `axe.run(document, { resultTypes: ["violations"] }).then(({ violations, passes }) => ({
		passed: passes.length, violations: violations.map(({ id, impact, help, nodes }) => (
			{ id, impact, help, nodes: nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + " " + node.failureSummary) }))}))`)
	for _, one := range found.Violations {
		p.t.Errorf("%s (%s): %s: %q", one.ID, one.Impact, one.Help, one.Nodes)
	}
	p.t.Logf("%d rules of axe-core hold, %d do not", found.Passed, len(found.Violations))
	if found.Passed < least {
		p.t.Errorf("%d rules of axe-core hold: it has looked at next to nothing", found.Passed)
	}
}

// Each chart says in words what it shows, and where its figures are.
func TestChartsAreDescribed(t *testing.T) {
	p := open(t, write(t, synthetic(30)...), desk())
	said := eval[[]string](p,
		`report.Chart.all.map(({ box }) => box.getAttribute("role") + ": " + box.ariaLabel)`)
	want := []string{
		"img: Distribution of the latencies of 30 pairs in policy-deny. Changed: half after " +
			"41.0ms, nine in ten after 98.9ms, all after 159ms. The table of percentiles has the " +
			"values.",
		"img: Timeline of 30 pairs in policy-deny, a line for each, from the trigger until it " +
			"changed. The table of pairs has the values.",
		"img: Matrix of 30 targets and 4 clients in policy-deny: 0 of 30 fields show something " +
			"else than pairs that are as they should be. The table below has the fields.",
	}
	for i, text := range want {
		if i >= len(said) || said[i] != text {
			t.Errorf("chart %d says %q; want %q", i, said, text)
			break
		}
	}
}
