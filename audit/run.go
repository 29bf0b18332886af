package audit

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// Options are the mechanics of a run. The zero value is the usual one.
type Options struct {
	// Parallel bounds how many endpoints are looked at together. 0 means 128: an endpoint
	// spends its time waiting, not computing.
	Parallel int
	// Progress, if set, is called after each check with how many are done. Calls do not
	// overlap.
	Progress func(done, total int, subject string)

	Dialer   tlscheck.Dialer   // nil: a net.Dialer
	Resolver tlscheck.Resolver // nil: net.DefaultResolver
	Now      func() time.Time  // nil: time.Now
	AsOf     time.Time         // judge certificates as of this instant; overrides the file's as_of
}

const defaultParallel = 128

// environment is what all checks of one run share.
type environment struct {
	Options
	roots *x509.CertPool
	known []*x509.Certificate
	crls  []*x509.RevocationList
	asOf  time.Time

	secrets []itemSecret // of the whole file, to find reuse; read when first asked for
	search  sync.Mutex   // held by the search for secrets that is going on
}

// client fetches revocation lists on the run's own network; nil is the standard one.
func (env *environment) client() *http.Client {
	if env.Dialer == nil {
		return nil
	}
	return &http.Client{Transport: &http.Transport{DialContext: env.Dialer.DialContext, DisableKeepAlives: true}}
}

// Result is the report of a run, and the waivers of the file that covered nothing.
type Result struct {
	Report        connsec.Report   // after waivers
	UnusedWaivers []connsec.Waiver // they can go, or name a rule or subject wrongly
}

// check is one thing to look at.
type check struct {
	subject  string
	source   connsec.Position
	root     *connsec.Rule         // reported as Inconclusive when run gives no facts
	validate func() connsec.Report // what can be said all the same; may be nil
	run      func(ctx context.Context) (connsec.Report, error)
}

// item is an item of a section.
type item interface {
	check(*Deployment, *environment) (check, error)
}

// items lists the items of all sections in the order of the reports. A new section adds its
// line here.
func (d *Deployment) items() []item {
	var out []item
	out = appendItems(out, d.HTTPS)
	out = appendItems(out, d.HTTP)
	out = appendItems(out, d.LDAP)
	out = appendItems(out, d.SQL)
	out = appendItems(out, d.SMTP)
	out = appendItems(out, d.RADIUS)
	out = appendItems(out, d.API)
	out = appendItems(out, d.Certificates)
	out = appendItems(out, d.SecURL)
	out = appendItems(out, d.Circle)
	out = appendItems(out, d.Firewall)
	out = appendItems(out, d.Find)
	return out
}

func appendItems[T item](all []item, section []T) []item {
	for _, i := range section {
		all = append(all, i)
	}
	return all
}

// checks prepares every item. An error names the place of the item that cannot be checked as
// it stands.
func (d *Deployment) checks(env *environment) ([]check, error) {
	var out []check
	for _, i := range d.items() {
		c, err := i.check(d, env)
		if err != nil {
			return nil, &SyntaxError{sourceOf(i), oneLine(err)}
		}
		out = append(out, c)
	}
	return out, nil
}

// sourceOf is the field Source that every item has.
func sourceOf(i item) connsec.Position {
	return reflect.ValueOf(i).FieldByName("Source").Interface().(connsec.Position)
}

// Run looks at everything and returns one report, in the order of the file. The error is about
// the deployment's own files (a CA file that cannot be read); whatever goes wrong with an
// endpoint, or with a revocation list that is elsewhere, is a finding.
func (d *Deployment) Run(ctx context.Context, o Options) (Result, error) {
	env := &environment{Options: o, asOf: d.AsOf.Time}
	if !o.AsOf.IsZero() {
		env.asOf = o.AsOf
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	if len(d.CA) > 0 {
		paths := make([]string, len(d.CA))
		for i, name := range d.CA {
			paths[i] = d.path(name)
		}
		all, err := LoadCA(paths...)
		if err != nil {
			return Result{}, err
		}
		env.roots, env.known = tlscheck.SplitRoots(all)
	}
	started := env.Now()
	var lost []connsec.Finding // lists that could not be had
	for _, location := range d.CRL {
		remote := strings.Contains(location, "://")
		if !remote {
			location = d.path(location)
		}
		crl, err := tlscheck.LoadCRL(ctx, location, env.client())
		switch {
		case err == nil:
			env.crls = append(env.crls, crl)
		case remote:
			u, wrong := url.Parse(location)
			if wrong != nil { // not one that will work later
				return Result{}, err
			}
			location = u.Redacted()
			lost = append(lost, connsec.Finding{
				Rule: tlscheck.RuleRevoked, Severity: tlscheck.RuleRevoked.Severity, Outcome: connsec.Inconclusive, Subject: location,
				Detail: "the revocation list could not be had, so nobody knows what is on it: " + oneLine(err),
			})
		default:
			return Result{}, err
		}
	}
	checks, err := d.checks(env)
	if err != nil {
		return Result{}, err
	}
	reports := make([]connsec.Report, len(checks))
	slots := make(chan struct{}, cmpOr(o.Parallel, defaultParallel))
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	for i, c := range checks {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			reports[i] = c.report(ctx)
			if o.Progress != nil {
				mu.Lock()
				defer mu.Unlock()
				done++
				o.Progress(done, len(checks), c.subject)
			}
		})
	}
	wg.Wait()
	all := connsec.Report{Target: d.Name, At: started, Findings: lost}
	for _, r := range reports {
		all.Findings = append(all.Findings, r.Findings...)
	}
	all.Duration = env.Now().Sub(started)
	waivers := make([]connsec.Waiver, len(d.Waivers))
	for i, w := range d.Waivers {
		waivers[i] = w.Waiver()
	}
	report, unused := all.Waive(waivers, started)
	return Result{report, unused}, nil
}

func cmpOr(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// report runs the check and ties its findings to the line of the file.
func (c check) report(ctx context.Context) connsec.Report {
	r, err := c.run(ctx)
	if err != nil {
		r = connsec.Report{}
		if c.validate != nil {
			r = c.validate()
		}
		r.Findings = append(r.Findings, connsec.Finding{
			Rule: c.root, Severity: c.root.Severity, Outcome: connsec.Inconclusive, Subject: c.subject, Detail: oneLine(err),
		})
	}
	r.Findings = slices.Clone(r.Findings)
	for i := range r.Findings {
		if r.Findings[i].Source == nil && c.source.File != "" {
			source := c.source
			r.Findings[i].Source = &source
		}
	}
	return r
}

// packages whose names stand in front of their errors.
var packages = []string{"connsec", "tlscheck", "ldapsec", "sqlsec", "smtpsec", "radiussec", "apisec", "securl", "circlehttps", "hostfw"}

// oneLine is an error as the detail of a finding: without the package's name in front.
func oneLine(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within the time allowed"
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, name := range packages {
		if rest, ok := strings.CutPrefix(text, name+": "); ok {
			return rest
		}
	}
	return text
}

// LoadCA reads the certificates of CA files, PEM or DER. [tlscheck.SplitRoots] tells trust
// anchors from intermediates.
func LoadCA(paths ...string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, path := range paths {
		data, err := readBounded(path, maxFile)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		certs, err := tlscheck.ParseCertificates(data)
		if err != nil {
			return nil, fmt.Errorf("ca: %s: %s", path, oneLine(err))
		}
		all = append(all, certs...)
	}
	return all, nil
}
