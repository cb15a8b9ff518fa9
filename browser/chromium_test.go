// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take for anything, on a machine that is busy with other tests.
const patience = 1 * time.Minute

// page is a document in a real browser, with everything that it complained about or asked the
// network for.
type page struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// look is how a document is looked at.
type look struct {
	width, height int64
	scheme        string // light or dark, as the system prefers
}

func desk() look  { return look{1280, 900, "light"} }
func night() look { return look{1280, 900, "dark"} }
func phone() look { return look{400, 800, "light"} }

// open opens a file in a tab of its own, and waits until the document's script says that it is
// ready.
func open(t testing.TB, file string, how look) *page {
	t.Helper()
	return openUntil(t, file, how, "html[data-ready=true]")
}

// openUntil opens a file in a tab of its own, and waits until the document has what a selector
// names.
func openUntil(t testing.TB, file string, how look, selector string) *page {
	t.Helper()
	absolute, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{t: t, ctx: tab(t)}
	if err := chromedp.Listen(p.ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, log.Enable, cdp.Empty{})
	call(p, emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: how.scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		}})
	address := (&url.URL{Scheme: "file", Path: absolute}).String()
	p.do(chromedp.EmulateViewport(how.width, how.height), chromedp.Navigate(address),
		chromedp.WaitReady(chromedp.CSS(selector)))
	return p
}

// call runs a command of the browser's protocol.
func call[P, R any](p *page, command cdp.Command[P, R], parameters P) R {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, command, parameters)
	if err != nil {
		p.t.Fatalf("tell the browser %s: %v", command.Method, err)
	}
	return got
}

// browser starts the browser of all tests, once: to start one takes longer than most of them.
var browser = sync.OnceValues(func() (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root has no sandbox to be put into
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	stopBrowser = stop
	ctx, _ := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	return ctx, chromedp.Do(ctx)
})

// stopBrowser ends the browser, if there is one.
var stopBrowser = func() {}

// tab opens a tab of its own that ends with the test.
func tab(t testing.TB) context.Context {
	t.Helper()
	ctx, err := browser()
	if err != nil {
		t.Fatalf("start the browser (make browser installs it): %v", err)
	}
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return ctx
}

// listen keeps what the document says and asks for.
func (p *page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch event := event.(type) {
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, argument := range event.Args {
			words = append(words, string(argument.Value)+argument.Description)
		}
		p.complaints = append(p.complaints, fmt.Sprintf("console.%s: %s", event.Type,
			strings.Join(words, " ")))
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, "exception: "+description(event.ExceptionDetails))
	case *log.EventEntryAdded:
		p.complaints = append(p.complaints, fmt.Sprintf("%s: %s", event.Entry.Level,
			event.Entry.Text))
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, event.Request.URL)
	}
}

func description(details *runtime.ExceptionDetails) string {
	if details.Exception != nil {
		return details.Exception.Description
	}
	return details.Text
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("use the browser: %v; it says %q", err, p.said())
	}
}

// get is the value of an action.
func get[T any](p *page, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("use the browser: %v; it says %q", err, p.said())
	}
	return value
}

// eval is the value of an expression of JavaScript; promises are awaited.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	return get(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

func (p *page) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.complaints...)
}

// expectQuiet checks that the document has complained about nothing, and has asked for nothing but
// itself.
func (p *page) expectQuiet() {
	p.t.Helper()
	for _, complaint := range p.said() {
		p.t.Errorf("the browser complains: %s", complaint)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) != 1 || !strings.HasPrefix(p.requests[0], "file://") {
		p.t.Errorf("the document asked for %q; want itself alone", p.requests)
	}
}

// frames waits until the browser has painted what is due.
func (p *page) frames() {
	p.t.Helper()
	eval[bool](p, "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => "+
		"done(true))))")
}
