package circlehttps

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// Live is a site as it is served. It is the Config of this package's probe.
type Live struct {
	// URL is the https address of the site, such as "https://www.example.com/spring/".
	URL string
	// Project is what Circle is set to.
	Project Project
	// Site, when set, is the folder that was published; its xmpcfg.js is compared with the
	// served one.
	Site *Site
	// MaxRequests bounds the requests to the site. Default 40. A larger site is seen in part,
	// and the report says so.
	MaxRequests int
	// Endpoint carries what shall not be the standard one: Connect, Dialer, Resolver, Roots,
	// CRLs, Now. Its Host and Port are those of URL.
	Endpoint tlscheck.Endpoint
}

const (
	defaultRequests = 40
	maxRedirects    = 5
	maxServed       = 8 << 20 // bytes of one answer
	requestTimeout  = 20 * time.Second
	userAgent       = "connsec"
)

// Observation is what a [Live] site answered.
type Observation struct {
	Site     string        `json:"site"` // the address
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`
	Project  Project       `json:"project"`
	// TLS is what was seen of the site's certificate and TLS.
	TLS tlscheck.Observation `json:"tls"`
	// Pages is what the pages, scripts and styles that were visited hold. Files are addresses.
	Pages Scan `json:"pages"`
	// Status and HSTS are of the answer to the site's address over HTTPS, after redirects
	// within the site; Problem says why there was none.
	Status  int      `json:"status,omitempty"`
	HSTS    []string `json:"hsts,omitempty"`
	Problem string   `json:"problem,omitempty"`
	// Config compares the served xmpcfg.js with that of the folder.
	Config ServedConfig `json:"config"`
	// API is the answer of the XMPL server over HTTPS.
	API APIAnswer `json:"api"`
	// Plain is what port 80 of the site's host answers.
	Plain tlscheck.PlainObservation `json:"plain"`
}

// ServedConfig is xmpcfg.js as served, beside the folder's.
type ServedConfig struct {
	Status  int    `json:"status,omitempty"`
	Problem string `json:"problem,omitempty"` // why there was no answer, or none that can be read
	// Folder: there is a folder to compare with, and FolderProblem says if its file is of no use.
	Folder        bool   `json:"folder,omitempty"`
	FolderProblem string `json:"folder_problem,omitempty"`
	// SameBytes and SameMeaning compare the files, and their address, token and project.
	SameBytes   bool     `json:"same_bytes,omitempty"`
	SameMeaning bool     `json:"same_meaning,omitempty"`
	Differs     []string `json:"differs,omitempty"` // what differs
}

// APIAnswer is the answer of the XMPL server to one GET over verified HTTPS.
type APIAnswer struct {
	URL    string `json:"url,omitempty"`
	Status int    `json:"status,omitempty"`
	// Redirect is the scheme of the Location, if the answer is a redirect.
	Redirect string           `json:"redirect,omitempty"`
	Problem  tlscheck.Problem `json:"problem,omitzero"`
	// Unresolved: the name was not found, which may be so on this machine only.
	Unresolved bool `json:"unresolved,omitempty"`
}

// base returns the parsed address.
func (l Live) base() (*url.URL, error) {
	u, err := url.Parse(l.URL)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New(`circlehttps: the address of the site must be absolute, such as "https://www.example.com/spring/"`)
	case u.Scheme != "https":
		return nil, errors.New("circlehttps: the address of the site must begin with https://; port 80 is looked at anyway")
	case u.User != nil:
		return nil, errors.New("circlehttps: the address of the site must not contain credentials")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

// Validate judges the project's settings and the site's host name, without asking anybody.
func (l Live) Validate() connsec.Report {
	r := l.Project.Validate()
	r.Target = l.URL
	if u, err := l.base(); err == nil {
		r.Findings = append(r.Findings, tlscheck.CheckName(u.Hostname()).Findings...)
	}
	return r
}

// Probe observes the site and judges what was seen.
func (l Live) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := l.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	return o.Judge(), nil
}

// Observe visits the site: its address, the pages, scripts and styles within the address's
// folder that can be reached from there by links without query, xmpcfg.js, the XMPL server
// and port 80. Paths that speak of signing out or unsubscribing are not visited. The error is
// about the address or the context.
func (l Live) Observe(ctx context.Context) (Observation, error) {
	u, err := l.base()
	if err != nil {
		return Observation{}, err
	}
	if err := l.Project.problem(); err != nil {
		return Observation{}, err
	}
	now := l.Endpoint.Now
	if now == nil {
		now = time.Now
	}
	o := Observation{Site: u.String(), At: now(), Project: l.Project}
	o.Pages = Scan{Site: o.Site, At: o.At}
	e := l.endpoint(u)
	if o.TLS, err = e.Observe(ctx); err != nil {
		return Observation{}, err
	}
	v := &visitor{live: l, base: u, client: client(e), o: &o}
	defer v.client.CloseIdleConnections()
	v.crawl(ctx)
	o.API = l.api(ctx, u, v.definition)
	plain := tlscheck.PlainHTTP{Host: u.Hostname(), Path: u.Path, Dialer: e.Dialer, Resolver: e.Resolver, Now: e.Now}
	if e.Connect != "" {
		plain.Connect = addressOnly(e.Connect)
	}
	if o.Plain, err = plain.Observe(ctx); err != nil && ctx.Err() != nil {
		return Observation{}, context.Cause(ctx)
	}
	o.Duration = now().Sub(o.At)
	return o, context.Cause(ctx)
}

// addressOnly drops the port of "ADDR[:PORT]", which is that of HTTPS.
func addressOnly(connect string) string {
	if host, _, err := net.SplitHostPort(connect); err == nil {
		return host
	}
	return connect
}

func (l Live) endpoint(u *url.URL) tlscheck.Endpoint {
	e := l.Endpoint
	e.Host, e.Port, e.Subject = u.Hostname(), 0, ""
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		e.Port = uint16(p)
	}
	return e
}

// client returns an HTTP client that reaches one server over verified TLS, sends no cookies,
// and follows no redirect by itself.
func client(e tlscheck.Endpoint) *http.Client {
	e.ALPN = []string{"http/1.1"}
	return &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx, tlscheck.Intermediate) },
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("circlehttps: not without TLS")
			},
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    1,
		},
	}
}

// answer is one HTTP answer, read to its end or to maxServed.
type answer struct {
	status int
	header http.Header
	body   []byte
	cut    bool
}

func get(ctx context.Context, c *http.Client, u *url.URL) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // without the address, which the finding names already
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxServed+1))
	if len(a.body) > maxServed {
		a.body, a.cut = a.body[:maxServed], true
	}
	return a, err
}

// visitor walks through the site.
type visitor struct {
	live       Live
	base       *url.URL
	client     *http.Client
	o          *Observation
	definition *Definition // of the served xmpcfg.js
	seen       map[string]bool
	queue      []*url.URL
	left       int
}

// crawl visits breadth first, one request at a time.
func (v *visitor) crawl(ctx context.Context) {
	if v.left = v.live.MaxRequests; v.left <= 0 {
		v.left = defaultRequests
	}
	v.seen = map[string]bool{}
	v.visitStart(ctx)
	v.visitConfig(ctx)
	for len(v.queue) > 0 && ctx.Err() == nil {
		u := v.queue[0]
		v.queue = v.queue[1:]
		if v.left == 0 {
			v.unread(v.o.Site, fmt.Sprintf("%d more addresses of the site were not visited", len(v.queue)+1))
			break
		}
		v.visit(ctx, u)
	}
	slices.SortStableFunc(v.o.Pages.Links, func(a, b Link) int { return comparePositions(a.Source, b.Source) })
	v.o.Pages.relateLibraries()
}

func (v *visitor) unread(file, problem string) {
	v.o.Pages.Unread = append(v.o.Pages.Unread, Unread{file, clipAddress(problem)})
}

func (v *visitor) get(ctx context.Context, u *url.URL) (answer, error) {
	v.left--
	v.seen[u.Path] = true
	return get(ctx, v.client, u)
}

// visitStart asks for the site's address, and follows redirects within the server.
func (v *visitor) visitStart(ctx context.Context) {
	u := v.base
	for range maxRedirects {
		a, err := v.get(ctx, u)
		if err != nil {
			v.o.Problem = tlscheck.ProblemOf(err).Text
			v.unread(u.String(), "it could not be had: "+v.o.Problem)
			return
		}
		v.o.Status, v.o.HSTS = a.status, a.header.Values("Strict-Transport-Security")
		to, err := u.Parse(a.header.Get("Location"))
		if a.status/100 != 3 || err != nil || to.Host != u.Host || to.Scheme != u.Scheme || v.left == 0 {
			if strings.HasSuffix(u.Path, "/") {
				v.base = u
			}
			if c, err := v.base.Parse("xmpcfg.js"); err == nil {
				v.seen[c.Path] = true // it is asked for next
			}
			v.take(u, a)
			return
		}
		to.RawQuery, to.Fragment = "", ""
		u = to
	}
}

// visitConfig asks for xmpcfg.js in the site's folder and compares it.
func (v *visitor) visitConfig(ctx context.Context) {
	c := &v.o.Config
	var folder []byte
	if v.live.Site != nil && v.live.Site.FS != nil {
		c.Folder = true
		var err error
		if folder, err = fs.ReadFile(v.live.Site.FS, "xmpcfg.js"); err != nil {
			c.FolderProblem = "the folder has no xmpcfg.js: " + bare(err).Error()
		}
	}
	u, err := v.base.Parse("xmpcfg.js")
	if err != nil || v.o.Problem != "" || v.left == 0 {
		c.Problem = cmp.Or(v.o.Problem, "it was not asked for")
		return
	}
	a, err := v.get(ctx, u)
	if err != nil {
		c.Problem = tlscheck.ProblemOf(err).Text
		return
	}
	c.Status = a.status
	if a.status != http.StatusOK {
		c.Problem = fmt.Sprintf("the server answers %d", a.status)
		return
	}
	served, err := lastDefinition(a.body)
	if err != nil {
		c.Problem = err.Error()
	} else {
		v.definition = served
	}
	if folder != nil {
		c.SameBytes = bytes.Equal(folder, a.body)
		ours, err := lastDefinition(folder)
		switch {
		case err != nil:
			c.FolderProblem = err.Error()
		case served != nil:
			c.Differs = difference(ours, served)
			c.SameMeaning = len(c.Differs) == 0
		}
	}
	v.take(u, a)
}

func lastDefinition(src []byte) (*Definition, error) {
	f, err := ParseConfig("xmpcfg.js", slices.Clone(src))
	if err != nil {
		return nil, err
	}
	return &f.Definitions[len(f.Definitions)-1], nil
}

func difference(ours, served *Definition) []string {
	var out []string
	if ours.URL.Text != served.URL.Text {
		out = append(out, fmt.Sprintf("url: %s in the folder, %s served", shown([]byte(ours.URL.Text)), shown([]byte(served.URL.Text))))
	}
	if !ours.AccessToken.Equal(served.AccessToken) {
		out = append(out, "accessToken")
	}
	if ours.ProjectID.Text != served.ProjectID.Text {
		out = append(out, "circleProjectID")
	}
	return out
}

func (v *visitor) visit(ctx context.Context, u *url.URL) {
	a, err := v.get(ctx, u)
	if err != nil {
		v.unread(u.String(), "it could not be had: "+tlscheck.ProblemOf(err).Text)
		return
	}
	v.take(u, a)
}

// take reads an answer and queues what it leads to.
func (v *visitor) take(u *url.URL, a answer) {
	if to, err := u.Parse(a.header.Get("Location")); a.status/100 == 3 && err == nil {
		if to.Scheme == "http" {
			v.o.Pages.Links = append(v.o.Pages.Links, Link{Source: connsec.Position{File: u.String()}, Kind: Navigation, Where: redirected,
				URL: shown([]byte(to.String())), Host: strings.ToLower(to.Hostname())})
		}
		v.enqueue(to)
		return
	}
	if a.status != http.StatusOK {
		if u.Path == v.base.Path {
			v.unread(u.String(), fmt.Sprintf("the server answers %d", a.status))
		}
		return // elsewhere, what is not there says nothing in HTTP
	}
	f := file{name: u.String(), how: servedAs(u, a.header), size: int64(len(a.body))}
	if f.how == notRead {
		v.o.Pages.Skipped++
		return
	}
	var refs []string
	f.understand(a.body, &refs)
	if a.cut && f.problem == "" {
		f.c.unfinished = "it is larger than what is asked for"
	}
	v.o.Pages.add(&f)
	for _, ref := range refs {
		if to, err := u.Parse(ref); err == nil {
			v.enqueue(to)
		}
	}
}

// Words in a path that a visit could set off something.
var leaveAlone = []string{"signout", "sign-out", "logout", "log-out", "unsubscribe", "optout", "opt-out", "delete"}

const maxQueue = 1000

func (v *visitor) enqueue(u *url.URL) {
	u.RawQuery, u.Fragment = "", ""
	p := strings.ToLower(u.Path)
	folder := v.base.Path[:strings.LastIndexByte(v.base.Path, '/')+1]
	switch {
	case u.Scheme != v.base.Scheme || u.Host != v.base.Host || u.User != nil,
		!strings.HasPrefix(u.Path, folder), v.seen[u.Path], len(v.queue) >= maxQueue,
		strings.ContainsAny(u.Path, "{}<>"),
		slices.ContainsFunc(leaveAlone, func(w string) bool { return strings.Contains(p, w) }):
		return
	}
	if ext := path.Ext(p); ext != "" && readers[ext] == notRead {
		return // an image or document
	}
	v.seen[u.Path] = true
	v.queue = append(v.queue, u)
}

// servedAs tells how to read an answer by its media type, and by the path if that is missing.
func servedAs(u *url.URL, h http.Header) reader {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return readerOf(u.Path)
	}
	switch {
	case media == "text/html", media == "application/xhtml+xml":
		return asHTML
	case media == "text/css":
		return asCSS
	case strings.HasSuffix(media, "javascript"), strings.HasSuffix(media, "ecmascript"):
		return asJS
	case media == "application/manifest+json":
		return asManifest
	case strings.HasSuffix(media, "json"):
		return asJSON
	case media == "image/svg+xml":
		return asSVG
	case strings.HasSuffix(media, "xml"):
		return asXML
	}
	return notRead
}

// api asks the XMPL server once, over HTTPS whatever the file says.
func (l Live) api(ctx context.Context, site *url.URL, d *Definition) APIAnswer {
	if d == nil || d.Host() == "" || len(d.Computed) > 0 {
		return APIAnswer{}
	}
	u, err := url.Parse(d.URL.Text)
	if err != nil {
		return APIAnswer{}
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	if strings.EqualFold(u.Scheme, "http") {
		if u.Port() == "80" {
			u.Host = u.Hostname()
		}
	}
	u.Scheme = "https"
	e := l.endpoint(u)
	if !strings.EqualFold(u.Hostname(), site.Hostname()) {
		e.Connect = "" // that is where the site is
	}
	c := client(e)
	defer c.CloseIdleConnections()
	out := APIAnswer{URL: shown([]byte(u.String()))}
	if _, err := e.Addresses(ctx); err != nil {
		out.Problem, out.Unresolved = tlscheck.ProblemOf(err), true
		return out
	}
	a, err := get(ctx, c, u)
	if out.Problem = tlscheck.ProblemOf(err); err == nil {
		out.Status = a.status
		if to, err := u.Parse(a.header.Get("Location")); a.status/100 == 3 && err == nil {
			out.Redirect = to.Scheme
		}
	}
	return out
}

// Judge applies the rules to what was seen. Certificate and TLS come first, with the rules of
// tlscheck; then what the visited pages hold, then the rules that only a server can answer.
func (o Observation) Judge() connsec.Report {
	r := o.TLS.Judge()
	r.Target, r.At, r.Duration = o.Site, o.At, o.Duration
	j := judgement{Scan: o.Pages, project: o.Project}
	j.links()
	j.configs()
	j.versions()
	j.findings = append(j.findings, connsec.Run(o.Site, o, liveChecks)...)
	r.Findings = append(r.Findings, j.findings...)
	return r
}

var liveChecks = []connsec.Check[Observation]{
	{Rule: RulePort80, Judge: judgePort80},
	{Rule: RuleNoRedirect, Judge: judgeNoRedirect},
	{Rule: RuleHSTS, Judge: judgeHSTS},
	{Rule: RuleConfigServed, Judge: judgeServed},
	{Rule: RuleAPIHTTPS, Judge: judgeAPI},
}

// portState is what port 80 does.
type portState uint8

const (
	portUnknown portState = iota
	portClosed
	portRedirects
	portServes
	portAnswers // with an error
)

// filteredAfter is how long silence has to last to mean a filter: by then TCP has asked three
// times (RFC 6298 2).
const filteredAfter = 3500 * time.Millisecond

func stateOf(a tlscheck.PlainAddress) portState {
	switch a.Problem.Kind {
	case "":
	case tlscheck.Refused, tlscheck.Unreachable:
		return portClosed
	case tlscheck.Timeout:
		if a.Waited >= filteredAfter {
			return portClosed
		}
		return portUnknown
	default:
		return portUnknown
	}
	switch s := a.Answer.Status / 100; {
	case s == 3 && strings.HasPrefix(a.Answer.Redirect, "https://"):
		return portRedirects
	case s == 2 || s == 3:
		return portServes
	}
	return portAnswers
}

// states returns what the addresses of the host do on port 80, without repetition.
func (o Observation) states() []portState {
	var out []portState
	for _, a := range o.Plain.Addresses {
		out = append(out, stateOf(a))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func judgePort80(o Observation) connsec.Verdict {
	states := o.states()
	has := func(s portState) bool { return slices.Contains(states, s) }
	needed := len(o.Project.Port80) > 0
	switch {
	case len(states) == 0 || has(portUnknown):
		return connsec.Unknown("whether port 80 is open could not be told")
	case needed && has(portClosed):
		return connsec.Failed("port 80 is closed, and the project still needs it for %s", exceptions(o.Project))
	case needed && has(portRedirects):
		return connsec.Unknown("port 80 redirects to HTTPS; whether %s works with a redirect has to be tried", exceptions(o.Project))
	case needed:
		return connsec.Passed("port 80 is open for %s", exceptions(o.Project))
	case has(portServes):
		return connsec.Failed("port 80 serves the site, and the project states nothing that needs it")
	case has(portAnswers):
		return connsec.Failed("port 80 is open and answers in HTTP, and the project states nothing that needs it")
	case has(portRedirects):
		return connsec.Passed("port 80 only redirects to HTTPS")
	}
	return connsec.Passed("port 80 is closed")
}

func judgeNoRedirect(o Observation) connsec.Verdict {
	states := o.states()
	has := func(s portState) bool { return slices.Contains(states, s) }
	switch {
	case has(portServes):
		return connsec.Failed("the site's address is served over HTTP")
	case len(states) == 0 || has(portUnknown):
		return connsec.Unknown("what port 80 does could not be told")
	case has(portAnswers):
		return connsec.Unknown("port 80 answers the site's address with an error; other pages may be served")
	case has(portRedirects):
		return connsec.Passed("the site's address redirects to HTTPS")
	}
	return connsec.Skipped("port 80 is closed")
}

const oneYear = 365 * 24 * 60 * 60

func judgeHSTS(o Observation) connsec.Verdict {
	switch {
	case o.Problem != "":
		return connsec.Unknown("the site's address could not be had over HTTPS: %s", o.Problem)
	case len(o.HSTS) == 0:
		return connsec.Failed("the answer has no Strict-Transport-Security")
	}
	for _, d := range strings.Split(o.HSTS[0], ";") { // RFC 6797 8.1: only the first header counts
		key, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		if !strings.EqualFold(strings.TrimSpace(key), "max-age") {
			continue
		}
		age, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 62)
		switch {
		case err != nil:
			return connsec.Failed("max-age is not a number, so browsers ignore the header")
		case age < oneYear:
			return connsec.Failed("max-age is %d seconds, less than a year", age)
		}
		return connsec.Passed("max-age is %d seconds", age)
	}
	return connsec.Failed("the header has no max-age, so browsers ignore it")
}

func judgeServed(o Observation) connsec.Verdict {
	c := o.Config
	switch {
	case !c.Folder:
		return connsec.Skipped("there is no folder to compare with")
	case c.FolderProblem != "":
		return connsec.Unknown("%s", c.FolderProblem)
	case c.Status != 0 && c.Status != http.StatusOK:
		return connsec.Failed("the server answers %d for xmpcfg.js, which is in the folder", c.Status)
	case c.SameBytes:
		return connsec.Passed("the served xmpcfg.js is that of the folder, byte for byte")
	case c.Status == http.StatusOK && c.Problem != "":
		return connsec.Failed("what is served as xmpcfg.js cannot be used: %s", c.Problem)
	case c.Problem != "":
		return connsec.Unknown("xmpcfg.js could not be had: %s", c.Problem)
	case c.SameMeaning:
		return connsec.Passed("the served xmpcfg.js says the same as that of the folder, in other bytes")
	}
	return connsec.Failed("they differ in %s", strings.Join(c.Differs, ", "))
}

func judgeAPI(o Observation) connsec.Verdict {
	a := o.API
	switch s := a.Status; {
	case a.URL == "":
		return connsec.Skipped("no address of the XMPL server could be read from the served xmpcfg.js")
	case a.Unresolved, a.Problem.Kind == tlscheck.Timeout, a.Problem.Kind == tlscheck.Unreachable:
		return connsec.Unknown("%s could not be reached from here: %s", a.URL, a.Problem.Text)
	case a.Problem.Kind != "":
		return connsec.Failed("%s: %s", a.URL, a.Problem.Text)
	case a.Redirect == "http":
		return connsec.Failed("%s leads back to HTTP", a.URL).With("status", s)
	case s == http.StatusNotFound || s >= 500 || s/100 == 3:
		return connsec.Unknown("%s answers %d over HTTPS, so XMPL may or may not be there", a.URL, s).With("status", s)
	default:
		return connsec.Passed("%s answers over HTTPS", a.URL).With("status", s)
	}
}
