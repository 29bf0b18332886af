package securl

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// Live is a protected site as it is served, and the XMPL server behind it. Everything is asked
// over verified TLS; what cannot be had that way is not asked.
type Live struct {
	// URL is the https address of the site, such as "https://www.example.com/spring/".
	URL string
	// Project is what Circle is set to.
	Project Project
	// RecipientID is the key of a recipient made for such tests. Without one, the data of a
	// random recipient is asked for, which tells that a site is closed, but not always that it
	// is open.
	RecipientID string
	// UserName and Password sign in as RecipientID. With them it is looked at how long a token
	// lasts and whether signing out ends it. Default: nobody signs in.
	UserName string
	Password connsec.Secret
	// OtherRecipientID, OtherUserName and OtherPassword are of a second recipient made for such
	// tests, with other data. With both it is looked at whether the token of the first opens the
	// data of the second. Default: it is not tried.
	OtherRecipientID string
	OtherUserName    string
	OtherPassword    connsec.Secret
	// Wait makes Observe wait [Lifetime] and a minute after signing in, and ask again, once in
	// between, too: a use must not prolong the token. Without it, only what the server says about
	// the end of the token is known.
	Wait bool
	// Guesses is how many wrong passwords are tried, to see whether that is throttled. Default
	// and most without RecipientID: 5, for a random recipient. More are tried for RecipientID,
	// which may lock it; 101, the most, is one more than NIST SP 800-63B-4 allows, and after
	// them Password is tried again, for a lock need not be told. Negative: none.
	Guesses int
	// API and AccessToken are those of xmpcfg.js. Default: read from the site.
	API         string
	AccessToken string
	// Endpoint carries what shall not be the standard one: Connect, Dialer, Resolver, Roots,
	// CRLs, Now. Its Host and Port are those of URL.
	Endpoint tlscheck.Endpoint

	Rand  io.Reader                                  // nil: crypto/rand
	Sleep func(context.Context, time.Duration) error // waits; nil: by the clock
}

const (
	defaultGuesses = 5
	// MostGuesses is one more than the 100 consecutive failures that NIST SP 800-63B-4 3.2.2
	// allows at most.
	MostGuesses = 101

	maxAnswer      = 1 << 20 // bytes of one answer
	requestTimeout = 20 * time.Second
	userAgent      = "connsec"
	probeOrigin    = "https://connsec.invalid" // RFC 6761 6.4: a name that nobody has
	tokenHeader    = "xmpSecurityToken"
	notSignedIn    = 9 // ErrorCode
)

// base returns the parsed address of the site's folder.
func (l Live) base() (*url.URL, error) {
	u, err := url.Parse(l.URL)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, errors.New(`securl: the address of the site must be absolute, such as "https://www.example.com/spring/"`)
	case u.Scheme != "https":
		return nil, errors.New("securl: the address of the site must begin with https://; nothing is asked without TLS")
	case u.User != nil:
		return nil, errors.New("securl: the address of the site must not contain credentials")
	}
	u.RawQuery, u.Fragment, u.RawPath = "", "", ""
	u.Path = u.Path[:strings.LastIndexByte(u.Path, '/')+1]
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// problem says what is wrong with the fields, or nil.
func (l Live) problem() error {
	switch {
	case l.Guesses > MostGuesses:
		return fmt.Errorf("securl: at most %d wrong passwords are tried", MostGuesses)
	case l.Guesses > defaultGuesses && l.RecipientID == "":
		return fmt.Errorf("securl: more than %d wrong passwords need a recipient made for the test", defaultGuesses)
	case !l.Password.IsEmpty() && l.RecipientID == "":
		return errors.New("securl: a password needs the recipient that it is of")
	case l.Wait && l.Password.IsEmpty():
		return errors.New("securl: to wait for the end of a token takes a recipient and password to sign in with")
	case (l.OtherRecipientID == "") != l.OtherPassword.IsEmpty():
		return errors.New("securl: give both the second recipient and its password, or neither")
	case l.OtherRecipientID != "" && (l.Password.IsEmpty() || l.OtherRecipientID == l.RecipientID):
		return errors.New("securl: to try a token on a second recipient takes another one before it, with its password")
	case (l.API == "") != (l.AccessToken == ""):
		return errors.New("securl: give both the address of the XMPL server and the access token, or neither")
	}
	return l.Project.problem()
}

// project returns the settings, of the site that is looked at unless they name another.
func (l Live) project() Project {
	p := l.Project
	if u, err := l.base(); err == nil && p.SiteURL == "" {
		p.SiteURL = u.String()
	}
	return p
}

// Validate judges the project's settings and the site's host name, without asking anybody.
func (l Live) Validate() connsec.Report {
	r := l.project().Validate()
	r.Target = l.URL
	if u, err := l.base(); err == nil {
		r.Findings = append(r.Findings, tlscheck.CheckName(u.Hostname()).Findings...)
	}
	return r
}

// Probe judges the settings, observes the site and judges what was seen. Where both say something
// about one rule, a failure counts first, and then what was seen: a setting is no proof that the
// server does as it says.
func (l Live) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := l.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	failed := func(f connsec.Finding) bool { return f.Outcome == connsec.Fail }
	var settings []connsec.Finding
	for _, f := range l.project().Validate().Findings {
		seen := r.Of(f.Rule)
		if len(seen) > 0 && (!failed(f) || slices.ContainsFunc(seen, failed)) {
			continue
		}
		r.Findings = slices.DeleteFunc(r.Findings, func(g connsec.Finding) bool { return g.Rule == f.Rule })
		settings = append(settings, f)
	}
	r.Findings = append(settings, r.Findings...)
	return r, nil
}

func (l Live) endpoint(u *url.URL, site *url.URL) tlscheck.Endpoint {
	e := l.Endpoint
	e.Host, e.Port, e.Subject = u.Hostname(), 0, ""
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		e.Port = uint16(p)
	}
	if !sameHost(u, site) {
		e.Connect = "" // that is where the site is
	}
	return e
}

// Observe asks the site and its XMPL server. Unless more is asked for, it sends at most nine
// GETs, one OPTIONS and five sign-ins besides what [tlscheck.HTTPS] does; a second recipient takes
// six GETs, two sign-ins and two sign-outs. The error is about the setting or the context.
func (l Live) Observe(ctx context.Context) (LiveObservation, error) {
	u, err := l.base()
	if err != nil {
		return LiveObservation{}, err
	}
	if err := l.problem(); err != nil {
		return LiveObservation{}, err
	}
	if l.Rand == nil {
		l.Rand = rand.Reader
	}
	if l.Sleep == nil {
		l.Sleep = sleep
	}
	now := l.Endpoint.Now
	if now == nil {
		now = time.Now
	}
	o := LiveObservation{Site: u.String(), At: now(), SecURL: l.Project.SecURL, KnownRecipient: l.RecipientID != ""}
	if o.TLS, err = (tlscheck.HTTPS{Endpoint: l.endpoint(u, u), Path: u.Path}).Observe(ctx); err != nil {
		return LiveObservation{}, err
	}
	v := &liveVisit{Live: l, site: u, o: &o, clients: map[string]*http.Client{}}
	defer v.close()
	if err := v.run(ctx); err != nil {
		return LiveObservation{}, err
	}
	o.Duration = now().Sub(o.At)
	return o, context.Cause(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
