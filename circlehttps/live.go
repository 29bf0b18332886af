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
	"regexp"
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

// linkHeader is one target of a Link header (RFC 8288, 3), and linkParam one of its parameters.
var (
	linkHeader = regexp.MustCompile(`<([^>]*)>((?:\s*;\s*[\w*-]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]+))?)*)`)
	linkParam  = regexp.MustCompile(`;\s*([\w*-]+)\s*=\s*"?([^";]*)`)
)

// headers notes addresses over http in the headers that browsers act on besides Location.
func (v *visitor) headers(u *url.URL, h http.Header) {
	add := func(target string, kind Kind, where string) {
		if to, err := u.Parse(strings.TrimSpace(target)); err == nil && to.Scheme == "http" && len(v.o.Pages.Links) < maxLinks {
			v.o.Pages.Links = append(v.o.Pages.Links, Link{Source: connsec.Position{File: u.String()}, Kind: kind, Where: where,
				URL: shown([]byte(to.String())), Host: strings.ToLower(to.Hostname())})
		}
	}
	if r := h.Get("Refresh"); r != "" {
		add(string(refreshURL(mapped{text: []byte(r)}).text), Navigation, redirected)
	}
	for _, l := range h.Values("Link") {
		for _, m := range linkHeader.FindAllStringSubmatch(l, -1) {
			params := map[string]string{}
			for _, p := range linkParam.FindAllStringSubmatch(m[2], -1) {
				params[strings.ToLower(p[1])] = strings.TrimSpace(p[2])
			}
			add(m[1], linkKind(func(name string) string { return params[name] }), "link header")
		}
	}
}

// take reads an answer and queues what it leads to.
func (v *visitor) take(u *url.URL, a answer) {
	v.headers(u, a.header)
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
