// Package page lets a test walk through pages in a real Chromium, and hears what its console says.
package page

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/connsec/connsec/internal/realsrv"
)

// patience is how long one walk may take.
const patience = 2 * time.Minute

// Page is a tab of a browser. Ctx is what chromedp's actions run in; it ends with the test.
type Page struct {
	Ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// Open starts the browser, which is stopped when the test ends.
func Open(tb testing.TB, c realsrv.Chromium) *Page {
	tb.Helper()
	b := c.Prepare(tb)
	// The same switches, in the form that the driver wants; headless is its default.
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(b.Path), chromedp.Env(b.Env...))
	for _, arg := range b.Args {
		name, value, has := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		switch {
		case name == "user-data-dir":
			opts = append(opts, chromedp.UserDataDir(value))
		case has:
			opts = append(opts, chromedp.Flag(name, value))
		default:
			opts = append(opts, chromedp.Flag(name, true))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	tb.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	tb.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		cancel()
	})
	p := &Page{Ctx: ctx}
	err := chromedp.Listen(ctx, p.hear)
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	}
	if err != nil {
		tb.Fatalf("page: %v", err)
	}
	return p
}

func (p *Page) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			p.complaints = append(p.complaints, ev.Entry.Text+" "+ev.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, ev.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			p.complaints = append(p.complaints, "console."+string(ev.Type))
		}
	}
}

// Complaints returns and forgets the errors and warnings of the console, and exceptions.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.complaints
	p.complaints = nil
	return out
}
