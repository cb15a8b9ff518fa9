// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focused describes the element that has the focus.
func (p *page) focused() string {
	p.t.Helper()
	return eval[string](p, `(() => {
		const e = document.activeElement;
		return e === document.body ? "" : [e.localName, e.id, e.type, e.ariaLabel ?? e.textContent.trim().slice(0, 40)].join("|");
	})()`)
}

func (p *page) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(key))
	}
}

// Everything that can be used is reached by the tab key, in the order of the document, and shows
// that it has the focus.
func TestEverythingIsReachedByKeyboard(t *testing.T) {
	p := open(t, write(t, synthetic(30)...), desk())
	p.press(kb.Tab)
	if got := p.focused(); !strings.HasSuffix(got, "Skip to the verdict") {
		t.Errorf("the first stop is %q; want the link to the verdict", got)
	}
	const usable = `[...document.querySelectorAll("a[href], button:not(:disabled), input, select, summary, [tabindex='0']")].filter(
		(e) => e.checkVisibility())`
	stops := eval[int](p, usable+".length")
	eval[bool](p, "(window.reached = new Set([document.activeElement])) !== null")
	for range stops + 2 {
		p.press(kb.Tab)
		plain := eval[bool](p, `(() => {
			const e = document.activeElement;
			if (e === document.body) return false;
			window.reached.add(e);
			return getComputedStyle(e).outlineStyle === "none";
		})()`)
		if plain {
			t.Errorf("%q does not show that it has the focus", p.focused())
		}
	}
	for _, missed := range eval[[]string](p,
		usable+`.filter((e) => !window.reached.has(e)).map((e) => e.outerHTML.slice(0, 80))`) {
		t.Errorf("the tab key does not reach %s", missed)
	}
	if stops < 20 {
		t.Errorf("there are %d stops; want those of the contents, the filters and the table", stops)
	}
}

// A table is sorted, turned and filtered, and the theme changed, without a mouse.
func TestUseByKeyboard(t *testing.T) {
	p := open(t, write(t, synthetic(30)...), desk())
	section := p.section("policy-deny")
	p.do(chromedp.Focus(chromedp.CSS(section + " .pairs th:first-child button")))
	p.press(kb.Enter)
	if got := p.targets(section); got[0] != "target-0" || got[2] != "target-2" {
		t.Errorf("sorted by name, the targets are %q", got)
	}
	p.press(" ")
	if got := p.targets(section); got[0] != "target-29" {
		t.Errorf("sorted by name again, the targets are %q", got)
	}
	if got := p.focused(); !strings.Contains(got, "Target") {
		t.Errorf("after sorting %q has the focus; want the head of the column still", got)
	}
	p.do(chromedp.Focus(chromedp.CSS(section + " .pages button:nth-of-type(3)")))
	p.press(kb.Enter)
	if got := p.targets(section); got[0] != "target-19" {
		t.Errorf("on the next page, the targets are %q", got)
	}
	p.do(chromedp.Focus(chromedp.CSS(section + " input[type=search]")))
	p.press("t", "a", "r", "g", "e", "t", "-", "7")
	if got := p.targets(section); len(got) != 1 || got[0] != "target-7" {
		t.Errorf("filtered, the targets are %q; want target-7", got)
	}
	p.do(chromedp.Focus(chromedp.CSS("#theme")))
	p.press(kb.Enter)
	if theme := eval[string](p, "document.documentElement.dataset.theme"); theme != "dark" {
		t.Errorf("the theme is %q; want dark", theme)
	}
}
