// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build screenshots

package browser

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var images = flag.String("images", "", "directory for the screenshots")

// largest is how large a screenshot may be, in bytes: they are part of the repository.
const largest = 150_000

// The screenshots of the documentation are those of a report of real runs, but for that of ten
// thousand pairs.
func TestScreenshots(t *testing.T) {
	file, _ := reportOfLab(t)
	large := open(t, write(t, synthetic(10_000)...), desk())
	pages := map[look]*page{desk(): open(t, file, desk()), night(): open(t, file, night()),
		phone(): open(t, file, phone())}
	for _, shot := range []struct {
		name string
		page *page
		part string
		high float64
	}{
		{"report-large", large, ".views figure", 700},
		{"report-verdict", pages[desk()], "#run-1 .verdict", 620},
		{"report-distribution", pages[desk()], pages[desk()].section("policy-deny") + " .pairwise",
			440},
		{"report-timeline", pages[night()], pages[night()].sectionOf("run-2", "policy-deny") +
			" .views figure", 400},
		{"report-matrix", pages[desk()], pages[desk()].section("pod-startup/forbidden") +
			" .views figure:last-child", 400},
		{"report-phone", pages[phone()], "#run-2 .verdict", 760},
	} {
		content := shot.page.shoot(shot.part, shot.high)
		if len(content) > largest || len(content) < 5_000 {
			t.Errorf("%s has %d bytes; want some, and at most %d", shot.name, len(content), largest)
		}
		if err := os.WriteFile(filepath.Join(*images, shot.name+".png"), content,
			0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shoot is a picture of an element, no higher than so many pixels.
func (p *page) shoot(selector string, high float64) []byte {
	p.t.Helper()
	p.do(chromedp.ScrollIntoView(chromedp.CSS(selector)))
	p.frames()
	box := eval[[]float64](p, fmt.Sprintf(`(() => {
		const element = document.querySelector(%q);
		element.scrollIntoView();
		const r = element.getBoundingClientRect();
		return [r.x, r.y + window.scrollY, r.width, r.height];
	})()`, selector))
	p.frames()
	const margin = 14
	got := call(p, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{
		Format: "png", CaptureBeyondViewport: new(true),
		Clip: &cdppage.Viewport{
			X: max(0, box[0]-margin), Y: max(0, box[1]-margin), Width: box[2] +
				2*min(margin, box[0]), Height: min(box[3]+2*margin, high), Scale: 1,
		},
	})
	return got.Data
}
