// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/report"
)

// scrollThrough looks at everything, as a reader does, so that every chart comes into sight.
func (p *page) scrollThrough() {
	p.t.Helper()
	eval[bool](p, `(async () => {
		for (let y = 0; y < document.body.scrollHeight; y += window.innerHeight) {
			window.scrollTo(0, y);
			await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
		}
		return true;
	})()`)
}

// A report of real results: nothing is complained about, nothing is asked for, every chart is
// drawn, and what was wrong is said.
func TestReportOfALab(t *testing.T) {
	file, sources := reportOfLab(t)
	for name, how := range looks() {
		t.Run(name, func(t *testing.T) {
			p := open(t, file, how)
			p.scrollThrough()
			p.expectCharts(sources)
			p.expectQuiet()
			if wide := eval[float64](p,
				"document.documentElement.scrollWidth"); wide > float64(how.width) {
				t.Errorf("the document is %v pixels wide; want at most %d", wide, how.width)
			}
		})
	}
	p := open(t, file, desk())
	text := eval[string](p, "document.querySelector('main').innerText")
	for _, want := range []string{
		"leaked", "was not enforced everywhere", "did not hold all the time",
		"pod-startup/forbidden", "node-0 → node-1",
		"policy-deny.p99<2s: passed", "pod-startup.leaks==0: failed", "Same-node vs cross-node",
		"netpol-latency run",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document does not say %q", want)
		}
	}
	for _, source := range sources {
		for _, summary := range source.Summaries() {
			for _, want := range append(summary.Warnings, summary.Scenario) {
				if !strings.Contains(text, want) {
					t.Errorf("the document does not say %q", want)
				}
			}
		}
	}
}

// expectCharts checks that there are as many charts as the results need, and that each shows
// something.
func (p *page) expectCharts(sources []report.Source) {
	p.t.Helper()
	want := 0
	for _, source := range sources {
		for _, summary := range source.Summaries() {
			want += 2 // the timeline and the matrix
			changed := summary.Account.Count(measure.Measured) > 0
			if changed && summary.Kind != measure.KindBlocked {
				want++
			}
		}
	}
	drawn := eval[[]int](p, `report.Chart.all.map(({ box }) => {
		const canvas = box.querySelector("canvas");
		if (canvas === null) return -1;
		const inks = { "timeline-box": ["allowed", "blocked", "sunk"], "matrix-box": ["good-soft", "warn-soft", "bad-soft", "sunk"] };
		const wanted = new Set((inks[box.className] ?? ["allowed"]).map((name) => parseInt(report.colour(name).slice(1), 16)));
		const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
		let count = 0;
		for (let i = 0; i < pixels.length; i += 4) count += wanted.has(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
		return count;
	})`)
	if len(drawn) != want {
		p.t.Errorf("there are %d charts; want %d", len(drawn), want)
	}
	for i, pixels := range drawn {
		if pixels < 200 { // axes and labels have other colours
			p.t.Errorf("chart %d has %d pixels in the colours of what it shows", i, pixels)
		}
	}
}

// section is the element of the part of the first run that has a title.
func (p *page) section(title string) string { return p.sectionOf("run-1", title) }

func (p *page) sectionOf(run, title string) string {
	p.t.Helper()
	id := eval[string](p, fmt.Sprintf(
		`[...document.querySelectorAll("#%s .scenario")].find((s) => s.querySelector("h3").textContent.trim() === %q)?.id ?? ""`, run, title))
	if id == "" {
		p.t.Fatalf("there is no section %q", title)
	}
	return "#" + id
}

// targets are those in the table of pairs, as far as its page shows them.
func (p *page) targets(section string) []string {
	p.t.Helper()
	return eval[[]string](p, fmt.Sprintf(
		`[...document.querySelectorAll("%s .pairs tbody tr")].map((tr) => tr.firstChild.textContent)`, section))
}

func (p *page) click(selector string) {
	p.t.Helper()
	p.do(chromedp.ScrollIntoView(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// Sorting and filtering, by mouse, against the samples.
func TestSortAndFilter(t *testing.T) {
	file, sources := reportOfLab(t)
	var samples []measure.Sample
	for _, s := range sources[0].Samples {
		if s.Scenario == "policy-deny" {
			samples = append(samples, s)
		}
	}
	slices.SortFunc(samples, func(a, b measure.Sample) int {
		return cmp.Compare(a.Latency().Estimate(), b.Latency().Estimate())
	})
	p := open(t, file, desk())
	section := p.section("policy-deny")
	if got := p.targets(section); len(got) != 8 || got[0] != samples[0].Target.Pod.Name {
		t.Errorf("the targets are %q; want first %s", got, samples[0].Target.Pod.Name)
	}
	p.click(section + " .pairs th[aria-sort] button")
	if got := p.targets(section); got[0] != samples[7].Target.Pod.Name {
		t.Errorf("descending, the targets are %q; want first %s", got, samples[7].Target.Pod.Name)
	}
	if sort := eval[string](p, fmt.Sprintf(`document.querySelector("%s th[aria-sort]").ariaSort`,
		section)); sort != "descending" {
		t.Errorf("the column is sorted %q; want descending", sort)
	}
	search := section + " input[type=search]"
	p.do(chromedp.SendKeys(chromedp.CSS(search), samples[3].Target.Pod.Name))
	if got := p.targets(section); len(got) != 1 || got[0] != samples[3].Target.Pod.Name {
		t.Errorf("filtered, the targets are %q; want only %s", got, samples[3].Target.Pod.Name)
	}
	if said := eval[string](p, fmt.Sprintf(`document.querySelector("%s .shown").textContent`,
		section)); said != "1 of 8 pairs" {
		t.Errorf("the filter says %q; want 1 of 8 pairs", said)
	}
	p.expectFilters(samples, section)
	p.expectQuiet()
}

// expectFilters chooses a node, a status and the pods on one node.
func (p *page) expectFilters(samples []measure.Sample, section string) {
	p.t.Helper()
	choose := func(label, value string) int {
		return eval[int](p, fmt.Sprintf(`(() => {
			const select = [...document.querySelectorAll("%s .filters label")].find((l) => l.textContent.startsWith(%q)).querySelector("select");
			const search = document.querySelector("%s input[type=search]");
			search.value = "";
			search.dispatchEvent(new Event("input"));
			select.value = %q;
			select.dispatchEvent(new Event("change"));
			return document.querySelectorAll("%s .pairs tbody tr").length;
		})()`, section, label, section, value, section))
	}
	same := 0
	for _, s := range samples {
		if s.ClientNode == "" || s.TargetNode == "" {
			p.t.Errorf("the sample of %s does not know its nodes", s.Target.Pod.Name)
		}
		if s.ClientNode == s.TargetNode {
			same++
		}
	}
	if got := choose("Nodes", "="); got != same {
		p.t.Errorf("%d pairs are on one node; want %d", got, same)
	}
	if got := choose("Nodes", "≠"); got != len(samples)-same {
		p.t.Errorf("%d pairs are on two nodes; want %d", got, len(samples)-same)
	}
	if got := choose("Nodes", ""); got != len(samples) {
		p.t.Errorf("%d pairs without a filter; want %d", got, len(samples))
	}
	if got := choose("Status", "measured"); got != len(samples) {
		p.t.Errorf("%d measured pairs; want %d", got, len(samples))
	}
}

// The matrix must tell what leaked and what never changed, in a table as well.
func TestMatrixShowsPartialEnforcement(t *testing.T) {
	file, sources := reportOfLab(t)
	p := open(t, file, desk())
	section := p.section("pod-startup/forbidden")
	leaks := 0
	for _, s := range sources[0].Samples {
		if s.Scenario == "pod-startup/forbidden" {
			leaks += s.Leaks
		}
	}
	shown := eval[[]string](p, fmt.Sprintf(
		`[...document.querySelectorAll("%s details tbody tr")].map((tr) => tr.children[4].textContent.replaceAll(",", ""))`, section))
	sum := 0
	for _, text := range shown {
		n := 0
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatalf("read %q: %v", text, err)
		}
		sum += n
	}
	if sum != leaks || leaks == 0 {
		t.Errorf("the matrix tells of %d leaks; want %d, and some", sum, leaks)
	}
	kinds := eval[[]string](p, `[...new Set(JSON.parse(document.getElementById("`+strings.TrimPrefix(section, "#")+`-data").textContent).pairs.leaks.map(
		(leaks) => report.Matrix.kind({ leaks, fine: 0, pairs: 1, unproved: 0 })))]`)
	if !slices.Contains(kinds, "leaking") {
		t.Errorf("the fields are %q; want one that leaks", kinds)
	}
}

// A click on a line of the timeline shows the pair in the table, on whatever page it is.
func TestTimelineLeadsToTheTable(t *testing.T) {
	p := open(t, write(t, synthetic(40)...), desk())
	section := p.section("policy-deny")
	p.do(chromedp.ScrollIntoView(chromedp.CSS(section + " .timeline-box canvas")))
	p.frames()
	box := eval[[]float64](p, fmt.Sprintf(`(() => {
		const r = document.querySelector("%s .timeline-box canvas").getBoundingClientRect();
		return [r.x + r.width / 2, r.y + r.height * 0.7];
	})()`, section))
	p.do(chromedp.MouseEvent(chromedp.MouseMoved, box[0], box[1]))
	tip := eval[string](p, `document.getElementById("tip").textContent`)
	p.do(chromedp.MouseClickXY(box[0], box[1]))
	chosen := eval[string](p,
		fmt.Sprintf(`document.querySelector("%s tr.chosen th")?.textContent ?? ""`, section))
	if where := eval[string](p, fmt.Sprintf(`document.querySelector("%s .pages span").textContent`,
		section)); chosen == "" || where == "1 to 10 of 40" {
		t.Errorf("the pair %q is shown on page %q; want one of a later page", chosen, where)
	}
	if !strings.HasPrefix(tip, chosen+" ") {
		t.Errorf("the tip says %q; want the pair %q", tip, chosen)
	}
}

// actions are what a person does with the table and the charts of a section, whose selector takes
// the place of %s.
func actions() []string {
	return []string{
		`document.querySelector("%s .pairs th:first-child button").click()`,
		`document.querySelector("%s .pairs th:nth-child(2) button").click()`,
		`(() => { const s = document.querySelector("%s input[type=search]"); s.value = "target-77"; s.dispatchEvent(new Event("input")); })()`,
		`(() => { const s = document.querySelector("%s input[type=search]"); s.value = ""; s.dispatchEvent(new Event("input")); })()`,
		`document.querySelector("%s .pages button:last-child").click()`,
		`document.querySelector("%s .timeline-box").parentElement.querySelector(".switches input").click()`,
		`document.getElementById("theme").click(), "%s"`,
	}
}

// tenThousand opens a report of ten thousand pairs and does everything with it that a person does.
// It returns when the report was there, and how long the slowest action took until it was painted.
func tenThousand(t testing.TB, file string) (opened, slowest time.Duration) {
	t.Helper()
	p := open(t, file, desk())
	p.frames()
	painted := `performance.getEntriesByName("first-contentful-paint")[0].startTime`
	opened = milliseconds(eval[float64](p,
		"Math.max(Number(document.documentElement.dataset.opened), "+painted+")"))
	section := p.section("policy-deny")
	p.scrollThrough()
	for _, action := range actions() {
		slowest = max(slowest, milliseconds(eval[float64](p, `new Promise((done) => {
			const began = performance.now();
			`+fmt.Sprintf(action, section)+`;
			requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
		})`)))
	}
	p.expectQuiet()
	return opened, slowest
}

func milliseconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Millisecond))
}

// A report of ten thousand pairs can be used like any other. How fast is the benchmark's question.
func TestTenThousandPairs(t *testing.T) {
	opened, slowest := tenThousand(t, write(t, synthetic(10_000)...))
	t.Logf("10,000 pairs: open after %s, the slowest of %d actions painted after %s",
		opened.Round(time.Millisecond), len(actions()), slowest.Round(time.Millisecond))
}

// BenchmarkTenThousandPairs must open in two seconds and stay responsive, on a machine that does
// nothing else.
func BenchmarkTenThousandPairs(b *testing.B) {
	const limit, quick = 2 * time.Second, 400 * time.Millisecond
	file := write(b, synthetic(10_000)...)
	for b.Loop() {
		opened, slowest := tenThousand(b, file)
		b.ReportMetric(opened.Seconds(), "s-to-open")
		b.ReportMetric(slowest.Seconds(), "s-slowest-action")
		if opened > limit || slowest > quick {
			b.Errorf("open after %s and %s for the slowest action; want at most %s and %s", opened,
				slowest, limit, quick)
		}
	}
}

// Names from a cluster are shown as they are, and run nothing.
func TestHostileNamesRunNothing(t *testing.T) {
	hostile := `</script><script>window.pwned = 1</script><img src=x onerror="window.pwned = 2">{{.}}${window.pwned = 3}<!--`
	samples := synthetic(3)
	for i := range samples {
		samples[i].Target.Pod.Name, samples[i].Client.Name = hostile, hostile
		samples[i].TargetNode, samples[i].Reason, samples[i].Warnings = hostile, hostile,
			[]string{hostile}
	}
	samples[2].Scenario = hostile
	p := open(t, write(t, samples...), desk())
	p.scrollThrough()
	section := p.section("policy-deny")
	if got := p.targets(section); len(got) != 2 || got[0] != hostile {
		t.Errorf("the targets are %q; want %q", got, hostile)
	}
	if eval[bool](p, "window.pwned !== undefined") {
		t.Error("a name has run as a script")
	}
	p.expectQuiet()
}

// A pair that its first probe found in the new state has no lower end: it took at most so long.
func TestPairReachedByItsFirstProbe(t *testing.T) {
	samples := synthetic(3)
	samples[0].Bracket.Lower = time.Time{}
	p := open(t, write(t, samples...), desk())
	rows := eval[[]string](p,
		`[...document.querySelectorAll(".pairs tbody tr")].map((tr) => tr.textContent)`)
	if !slices.ContainsFunc(rows, func(row string) bool {
		return strings.Contains(row, "≤") && strings.Contains(row, "up to ")
	}) {
		t.Errorf("no row of %q says that a pair took at most so long", rows)
	}
	p.expectQuiet()
}

// On paper everything is light and drawn, also what was never scrolled to, and afterwards the
// screen is as before.
func TestPrint(t *testing.T) {
	p := open(t, write(t, synthetic(30)...), night())
	paper := get(p, chromedp.PrintToPDF(chromedp.PDFPaper(chromedp.PaperA4),
		chromedp.PDFPrintBackground()))
	if len(paper) < 20_000 || !strings.HasPrefix(string(paper), "%PDF-") {
		t.Errorf("the paper is %d bytes", len(paper))
	}
	if drawn := eval[bool](p, "report.Chart.all.every((chart) => chart.chart !== null)"); !drawn {
		t.Error("a chart was not drawn for the paper")
	}
	if theme := eval[string](p, "document.documentElement.dataset.theme ?? ''"); theme != "" {
		t.Errorf("after printing the theme is %q; want the system's", theme)
	}
	p.expectQuiet()
}

// A browser without scripts shows the verdict and the figures, and says what it does not show.
func TestWithoutScripts(t *testing.T) {
	p := &page{t: t, ctx: tab(t)}
	call(p, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: true})
	p.do(chromedp.Navigate("file://" + write(t, synthetic(30)...)))
	text := get(p, chromedp.Text(chromedp.CSS("main")))
	for _, want := range []string{"This browser runs no scripts",
		"Policy was enforced on every pair", "median", "policy-deny"} {
		if !strings.Contains(text, want) {
			t.Errorf("the document does not say %q: %s", want, text)
		}
	}
}
