package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/tlscheck"
	"golang.org/x/term"
)

// shared is a set of the flags that several commands have. A flag that would change nothing is none:
// who gives a revocation list should not have to guess whether it was looked at.
type shared uint16

const (
	flagConnect shared = 1 << iota
	flagCA
	flagCRL
	flagAsOf
	flagFormat
	flagFailOn
	flagWaivers
	flagVerbose
	flagColor
	flagTimeout // which every command has

	reportFlags = flagFormat | flagFailOn | flagWaivers | flagVerbose | flagColor
	serverFlags = flagConnect | flagCA | flagCRL | flagAsOf
)

// sharedFlags are their names.
var sharedFlags = map[string]shared{
	"connect": flagConnect, "ca": flagCA, "crl": flagCRL, "as-of": flagAsOf, "format": flagFormat, "fail-on": flagFailOn,
	"waivers": flagWaivers, "verbose": flagVerbose, "color": flagColor, "timeout": flagTimeout,
}

// common are the values of the shared flags.
type common struct {
	connect string
	format  report.Format
	failOn  connsec.Severity
	timeout time.Duration
	ca      fileList
	crl     fileList
	waivers string
	asOf    audit.Date
	verbose bool
	color   colorMode
}

const defaultTimeout = 30 * time.Second

// declare adds the flags of a set.
func (c *common) declare(fs *flag.FlagSet, which shared) {
	c.format, c.failOn, c.color, c.timeout = report.Text, connsec.High, "auto", defaultTimeout
	all := flag.NewFlagSet("", flag.ContinueOnError)
	all.StringVar(&c.connect, "connect", "", "dial `ADDR[:PORT]` and verify the name all the same")
	all.TextVar(&c.format, "format", c.format, "output `FORMAT`: "+formatNames()+" (default text)")
	all.TextVar(&c.failOn, "fail-on", c.failOn, "lowest `SEVERITY` that counts: info, low, medium, high (default), critical")
	all.Var(span{&c.timeout}, "timeout", "`TIME` for the whole run (default 30s; 0: none)")
	all.Var(&c.ca, "ca", "trust the roots in `FILE` instead of the system's; repeatable")
	all.Var(&c.crl, "crl", "revocation list, `FILE` or URL; repeatable")
	all.StringVar(&c.waivers, "waivers", "", "`FILE` with failures that are accepted for now")
	all.TextVar(&c.asOf, "as-of", c.asOf, "judge certificates as of `DATE` (2027-03-15): what will break?")
	all.BoolVar(&c.verbose, "verbose", false, "list what passed, too")
	all.Var(&c.color, "color", "`WHEN` to use colour: auto (default), always, never")
	all.VisitAll(func(f *flag.Flag) {
		if sharedFlags[f.Name]&(which|flagTimeout) != 0 {
			fs.Var(f.Value, f.Name, f.Usage)
		}
	})
}

// span is a flag with a time, such as 30s, 36h or 90d.
type span struct{ to *time.Duration }

func (s span) String() string { return "" }

func (s span) Set(text string) (err error) {
	*s.to, err = parseSpan(text)
	return err
}

// parseSpan reads a time. Package time knows no days.
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 15)
		if err != nil {
			return 0, errSpan
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errSpan
	}
	return d, nil
}

var errSpan = errors.New("want a time such as 30s, 36h or 90d")

// port is a flag with a port of TCP or UDP.
type port struct{ to *uint16 }

func (p port) String() string { return "" }

func (p port) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return errors.New("want a port, 1 to 65535")
	}
	*p.to = uint16(n)
	return nil
}

// wordsFlag declares the words that an attacker would try first.
func wordsFlag(fs *flag.FlagSet) *fileList {
	var words fileList
	fs.Var(&words, "context", "`WORD` that an attacker would try first, such as the company's name; repeatable")
	return &words
}

func formatNames() string {
	var names []string
	for _, f := range report.Formats() {
		names = append(names, f.String())
	}
	return strings.Join(names, ", ")
}

type fileList []string

func (l *fileList) String() string { return strings.Join(*l, ",") }

func (l *fileList) Set(s string) error {
	*l = append(*l, s)
	return nil
}

type colorMode string

func (m *colorMode) String() string { return string(*m) }

func (m *colorMode) Set(s string) error {
	switch s {
	case "auto", "always", "never":
		*m = colorMode(s)
		return nil
	}
	return fmt.Errorf("colour is auto, always or never")
}

// trust loads --ca and --crl.
func (c *common) trust(ctx context.Context) (roots *x509.CertPool, known []*x509.Certificate, crls []*x509.RevocationList, err error) {
	if len(c.ca) > 0 {
		certs, err := audit.LoadCA(c.ca...)
		if err != nil {
			return nil, nil, nil, err
		}
		roots, known = tlscheck.SplitRoots(certs)
	}
	for _, location := range c.crl {
		crl, err := tlscheck.LoadCRL(ctx, location, nil)
		if err != nil {
			return nil, nil, nil, err
		}
		crls = append(crls, crl)
	}
	return roots, known, crls, nil
}

// terminal reports whether w is one, and its width.
func terminal(w io.Writer) (width int, is bool) {
	if o, wrapped := w.(*output); wrapped {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width == 0 {
		width = 80
	}
	return width, true
}

// options are those of the renderers: 80 columns unless the terminal is narrower.
func (c *call) options() report.Options {
	o := report.Options{Verbose: c.common.verbose, Width: 80, FailOn: c.common.failOn}
	width, tty := terminal(c.out)
	if tty && width < o.Width {
		o.Width = width
	}
	switch c.common.color {
	case "always":
		o.Color = true
	case "auto":
		o.Color = tty && os.Getenv("NO_COLOR") == ""
	}
	return o
}

// finish applies the waivers, writes the reports and says what they amount to.
func (c *call) finish(reports []connsec.Report) error {
	if err := c.waive(reports); err != nil {
		return err
	}
	if err := report.Write(c.out, c.common.format, reports, c.options()); err != nil {
		return err
	}
	return exitCode(reports, c.common.failOn)
}

// waive applies the waivers of --waivers to the reports.
func (c *call) waive(reports []connsec.Report) error {
	if c.common.waivers == "" {
		return nil
	}
	waivers, err := audit.LoadWaivers(c.common.waivers)
	if err != nil {
		return err
	}
	now := time.Now()
	used := make(map[connsec.Waiver]bool)
	for i := range reports {
		var unused []connsec.Waiver
		reports[i], unused = reports[i].Waive(waivers, now)
		idle := make(map[connsec.Waiver]bool)
		for _, w := range unused {
			idle[w] = true
		}
		for _, w := range waivers {
			used[w] = used[w] || !idle[w]
		}
	}
	for _, w := range waivers {
		if !used[w] {
			c.note("the waiver for %s covers nothing", w.Rule)
		}
	}
	return nil
}

// note tells the user something that is no finding.
func (c *call) note(format string, args ...any) {
	fmt.Fprintf(c.err, "connsec: note: %s\n", printable(fmt.Sprintf(format, args...)))
}

// progress is a line on a terminal that says what has been done; in a pipe it is silent.
type progress struct {
	w     io.Writer // nil: silent
	width int
	mu    sync.Mutex
	most  int
}

func (c *call) progress() *progress {
	if width, tty := terminal(c.err); tty {
		return &progress{w: c.err, width: max(min(width, 80)-2, 2)} // a line that is full goes on in the next
	}
	return &progress{}
}

func (p *progress) step(done, total int, subject string) {
	p.show(fmt.Sprintf("%d of %d  %s", done, total, subject))
}

// show replaces the line.
func (p *progress) show(line string) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	line = fit(printable(line), p.width)
	fmt.Fprintf(p.w, "\r%-*s", p.most, line)
	p.most = max(p.most, len([]rune(line)))
}

func (p *progress) clear() {
	if p.w != nil && p.most > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.most, "")
	}
}

// target is one thing to probe.
type target struct {
	subject  string
	root     *connsec.Rule         // reported as Inconclusive if there are no facts
	validate func() connsec.Report // what can be said of the setting all the same
	probe    func(context.Context) (connsec.Report, error)
}

// probe looks at all targets at once.
func (c *call) probe(ctx context.Context, targets []target) error {
	reports := make([]connsec.Report, len(targets))
	p := c.progress()
	p.step(0, len(targets), targets[0].subject)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	slots := make(chan struct{}, 32)
	for i, t := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			started := time.Now()
			r, err := t.probe(ctx)
			if err != nil {
				r = connsec.Report{Target: t.subject, At: started, Duration: time.Since(started), Findings: append(t.validate().Findings, connsec.Finding{
					Rule: t.root, Severity: t.root.Severity, Outcome: connsec.Inconclusive, Subject: t.subject, Detail: oneLine(err),
				})}
			}
			reports[i] = r
			mu.Lock()
			defer mu.Unlock()
			done++
			p.step(done, len(targets), t.subject)
		})
	}
	wg.Wait()
	p.clear()
	return c.finish(reports)
}
