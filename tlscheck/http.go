package tlscheck

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/tlswire"
)

const (
	userAgent   = "connsec"
	maxBody     = 64 << 10 // enough to recognise a login form
	httpTimeout = 10 * time.Second
	httpPort    = 80
)

// PlainHTTP is a port on which a server may speak HTTP without TLS.
type PlainHTTP struct {
	Host     string           // as in clients' settings
	Port     uint16           // 0: 80
	Path     string           // what to ask for; empty: "/"
	Connect  string           // see [Endpoint.Connect]
	Subject  string           // empty: "http://host:port"
	Dialer   Dialer           // nil: a net.Dialer
	Resolver Resolver         // nil: net.DefaultResolver
	Now      func() time.Time // nil: time.Now
}

// PlainObservation is what a [PlainHTTP] port answered, address by address.
type PlainObservation struct {
	Subject   string         `json:"subject"`
	At        time.Time      `json:"at"`
	Duration  time.Duration  `json:"duration"`
	Addresses []PlainAddress `json:"addresses"`
}

// PlainAddress is what one address answered to an HTTP request in clear.
type PlainAddress struct {
	Address netip.AddrPort `json:"address"`
	Problem Problem        `json:"problem,omitzero"` // why there was no HTTP answer
	Waited  time.Duration  `json:"waited"`           // how long the answer, or its absence, took
	Answer  *HTTPAnswer    `json:"answer,omitempty"`
	// SpeaksTLS: the port answers a ClientHello. Asked only where it turned the request down as
	// ports for TLS alone do: by closing the connection, or with an error that speaks of TLS.
	SpeaksTLS bool `json:"speaks_tls,omitempty"`
	// Elsewhere is the answer to a second request, for a page that does not exist, with the
	// reason in ElsewhereProblem if there was none. Asked only where the first was redirected
	// to HTTPS: does the redirect stand before the whole site?
	Elsewhere        *HTTPAnswer `json:"elsewhere,omitempty"`
	ElsewhereProblem Problem     `json:"elsewhere_problem,omitzero"`
}

// HTTPAnswer is what matters of an HTTP response. Header values that may carry secrets are
// kept as a yes or no only.
type HTTPAnswer struct {
	Status       int      `json:"status"`
	Redirect     string   `json:"redirect,omitempty"`      // scheme and host of Location, without path and query
	SetsCookie   bool     `json:"sets_cookie,omitempty"`   // any Set-Cookie
	Challenges   []string `json:"challenges,omitempty"`    // schemes of WWW-Authenticate
	Upgrade      []string `json:"upgrade,omitempty"`       // protocols of Upgrade
	PasswordForm bool     `json:"password_form,omitempty"` // the page asks for a password
	HasContent   bool     `json:"has_content,omitempty"`   // a body came
	MentionsTLS  bool     `json:"mentions_tls,omitempty"`  // the body speaks of HTTPS, TLS or SSL
	HSTS         []string `json:"hsts,omitempty"`          // Strict-Transport-Security, one entry per header
}

func (p PlainHTTP) endpoint() Endpoint {
	e := Endpoint{Host: p.Host, Port: p.Port, Connect: p.Connect, Subject: p.Subject, Dialer: p.Dialer, Resolver: p.Resolver, Now: p.Now}
	if e.Port == 0 {
		e.Port = httpPort
	}
	if e.Subject == "" {
		e.Subject = "http://" + e.subject()
	}
	return e
}

// Validate judges the name.
func (p PlainHTTP) Validate() connsec.Report { return CheckName(p.Host) }

// Observe sends one GET to each address, without credentials, and follows no redirect. Where
// that is redirected to HTTPS, it asks for a page that does not exist, too; where the connection
// is closed without an answer, it offers TLS. The error is about the name or the context.
func (p PlainHTTP) Observe(ctx context.Context) (PlainObservation, error) {
	e := p.endpoint()
	o := PlainObservation{Subject: e.subject(), At: e.now()}
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return o, err
	}
	addrs, rest := within(addrs)
	o.Addresses = make([]PlainAddress, len(addrs))
	var wg sync.WaitGroup
	for i := range o.Addresses {
		wg.Go(func() { o.Addresses[i] = p.observeAddress(ctx, e, addrs[i]) })
	}
	wg.Wait()
	if len(rest) > 0 {
		o.Addresses = append(o.Addresses, PlainAddress{Address: rest[0], Problem: notLookedAt(rest)})
	}
	o.Duration = e.now().Sub(o.At)
	return o, nil
}

func (p PlainHTTP) observeAddress(ctx context.Context, e Endpoint, addr netip.AddrPort) PlainAddress {
	a := PlainAddress{Address: addr}
	ask := func(path string) (*HTTPAnswer, Problem) {
		return get(ctx, httpHost(p.Host, e.Port, httpPort), path, func(ctx context.Context) (net.Conn, error) { return e.dial(ctx, addr) })
	}
	begin := time.Now()
	a.Answer, a.Problem = ask(p.Path)
	a.Waited = time.Since(begin)
	switch {
	case a.Problem.Kind == Closed, a.Answer != nil && a.Answer.asksForTLS():
		_, problem := e.hello(ctx, addr, tlswire.Hello{MaxVersion: tls.VersionTLS13})
		a.SpeaksTLS = problem == (Problem{}) || problem.Kind == Alert
	case a.Answer != nil && a.Answer.redirectsToHTTPS():
		a.Elsewhere, a.ElsewhereProblem = ask(noSuchPage)
	}
	return a
}

// noSuchPage is a path that no site has.
const noSuchPage = "/connsec-no-such-page"

func (a *HTTPAnswer) redirectsToHTTPS() bool {
	return a.Status/100 == 3 && strings.HasPrefix(a.Redirect, "https://")
}

// asksForTLS: what nginx, Apache and Go say to HTTP on a port for TLS.
func (a *HTTPAnswer) asksForTLS() bool { return a.Status == http.StatusBadRequest && a.MentionsTLS }

// demandsTLS: RFC 2817 §4.2. Other protocols are demanded by the same status, WebSocket above all.
func (a *HTTPAnswer) demandsTLS() bool {
	return a.Status == http.StatusUpgradeRequired && slices.ContainsFunc(a.Upgrade, func(p string) bool { return strings.HasPrefix(strings.ToUpper(p), "TLS/") })
}

// get sends one request on a connection that dial opens and reads a bounded answer. It does
// not use http.Transport, which repeats requests, follows its own ideas about idle
// connections, and logs.
func get(ctx context.Context, host, path string, dial func(context.Context) (net.Conn, error)) (*HTTPAnswer, Problem) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	u := &url.URL{Scheme: "http", Host: host, Path: "/" + strings.TrimPrefix(path, "/")}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, Problem{Other, "host and path are not part of a URL"}
	}
	req.Header.Set("User-Agent", userAgent)
	req.Close = true
	conn, err := dial(ctx)
	if err != nil {
		return nil, ProblemOf(err)
	}
	defer conn.Close()
	defer closeWhenDone(ctx, conn)()
	// A server may answer, or close, before it has read the request: so a failed write is
	// no answer yet.
	written := req.Write(conn)
	r := bufio.NewReader(io.LimitReader(conn, maxBody))
	start, err := r.Peek(len("HTTP/"))
	switch {
	case string(start) == "HTTP/":
	case len(start) > 1 && (start[0] == 21 || start[0] == 22) && start[1] == 3: // alert or handshake, RFC 8446 §5.1
		return nil, Problem{Alert, "the server answers in TLS"}
	case len(start) > 0:
		return nil, Problem{NotTLS, "something else than HTTP answers"}
	default:
		p := ProblemOf(cmp.Or(written, err))
		if p.Kind == Timeout {
			p = Problem{Other, "the port accepts connections but does not answer in time"}
		}
		return nil, p
	}
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, Problem{Other, "the answer is not well-formed HTTP"}
	}
	defer resp.Body.Close()
	return answerOf(resp), Problem{}
}

// httpHost is the Host header: a name without brackets and, unless it is the standard one,
// the port.
func httpHost(host string, port, standard uint16) string {
	host = wireName(host)
	if port != standard {
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func answerOf(resp *http.Response) *HTTPAnswer {
	a := &HTTPAnswer{Status: resp.StatusCode, SetsCookie: len(resp.Header.Values("Set-Cookie")) > 0, HSTS: resp.Header.Values("Strict-Transport-Security")}
	if loc, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		a.Redirect = (&url.URL{Scheme: loc.Scheme, Host: loc.Host}).String()
	}
	for _, h := range resp.Header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(h), " ")
		a.Challenges = append(a.Challenges, clip(scheme))
	}
	for protocol := range strings.SplitSeq(strings.Join(resp.Header.Values("Upgrade"), ","), ",") {
		if protocol = strings.TrimSpace(protocol); protocol != "" {
			a.Upgrade = append(a.Upgrade, clip(protocol))
		}
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	a.HasContent = len(body) > 0
	lower := bytes.ToLower(body)
	a.PasswordForm = bytes.Contains(lower, []byte(`type="password"`)) || bytes.Contains(lower, []byte(`type='password'`)) || bytes.Contains(lower, []byte("type=password"))
	a.MentionsTLS = slices.ContainsFunc([]string{"https", "tls", "ssl"}, func(word string) bool { return bytes.Contains(lower, []byte(word)) })
	return a
}

// Probe observes and judges; the report contains the name rules too.
func (p PlainHTTP) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := p.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	r.Findings = append(p.Validate().Findings, r.Findings...)
	return r, nil
}

// HTTPS is a web server behind TLS: the endpoint, and what it says in HTTP.
type HTTPS struct {
	Endpoint
	Path string // what to ask for; empty: "/"
}

// HTTPSObservation adds the answers in HTTP to what was seen of the endpoint.
type HTTPSObservation struct {
	Observation
	HTTP []HTTPSAddress `json:"http"` // in the order of Addresses
}

// HTTPSAddress is what one address of an HTTPS server answered.
type HTTPSAddress struct {
	Address netip.AddrPort `json:"address"`
	Name    string         `json:"name"`
	// Unreachable is that of the [AddressObservation]; nothing was asked then.
	Unreachable Problem `json:"unreachable,omitzero"`
	// Clear is the answer to an HTTP request sent without TLS to the HTTPS port; nil if the
	// answer was no HTTP, with the reason in ClearProblem.
	Clear        *HTTPAnswer `json:"clear,omitempty"`
	ClearProblem Problem     `json:"clear_problem,omitzero"`
	// Answer is the answer over verified TLS; nil if that could not be had.
	Answer        *HTTPAnswer `json:"answer,omitempty"`
	AnswerProblem Problem     `json:"answer_problem,omitzero"`
}

// Observe looks at the endpoint as [Endpoint.Observe] does and, at each address that speaks
// TLS, sends one GET in clear and one over verified TLS.
func (h HTTPS) Observe(ctx context.Context) (HTTPSObservation, error) {
	o, err := h.Endpoint.Observe(ctx)
	if err != nil {
		return HTTPSObservation{}, err
	}
	out := HTTPSObservation{Observation: o, HTTP: make([]HTTPSAddress, len(o.Addresses))}
	var wg sync.WaitGroup
	for i, a := range o.Addresses {
		out.HTTP[i] = HTTPSAddress{Address: a.Address, Name: h.Host, Unreachable: a.Unreachable}
		if a.Unreachable != (Problem{}) {
			continue
		}
		wg.Go(func() { out.HTTP[i].Clear, out.HTTP[i].ClearProblem = h.askInClear(ctx, a.Address) })
		wg.Go(func() { out.HTTP[i].Answer, out.HTTP[i].AnswerProblem = h.ask(ctx, a.Address) })
	}
	wg.Wait()
	for i := range out.HTTP {
		if out.HTTP[i].ClearProblem.Kind == Closed {
			wg.Go(func() { h.confirmClosed(ctx, &out.HTTP[i]) })
		}
	}
	wg.Wait()
	out.Duration = h.now().Sub(o.At)
	return out, nil
}

// confirmClosed asks again, alone: a server that limits connections closes them whatever they
// begin with. That it closes one proves that it refuses HTTP only if it then still takes TLS.
func (h HTTPS) confirmClosed(ctx context.Context, a *HTTPSAddress) {
	if !pause(ctx, settling) {
		a.ClearProblem = Problem{Other, "the server closes the connection, and there was no time to ask again: it may limit connections"}
		return
	}
	if a.Clear, a.ClearProblem = h.askInClear(ctx, a.Address); a.ClearProblem.Kind != Closed {
		return
	}
	if _, p := h.hello(ctx, a.Address, tlswire.Hello{MaxVersion: tls.VersionTLS13}); p != (Problem{}) && p.Kind != Alert {
		a.ClearProblem = Problem{Other, "the server closes the connection, but also on an offer of TLS: it may limit connections"}
	}
}

// askInClear sends HTTP to the TLS port and reads what comes back, which may be a TLS alert.
func (h HTTPS) askInClear(ctx context.Context, addr netip.AddrPort) (*HTTPAnswer, Problem) {
	return get(ctx, httpHost(h.Host, h.port(), defaultHTTPSPort), "/", func(ctx context.Context) (net.Conn, error) { return h.dial(ctx, addr) })
}

// ask sends a GET over verified TLS. RFC 6797 §8.1: HSTS counts only without certificate
// errors, so an unverified answer would tell nothing.
func (h HTTPS) ask(ctx context.Context, addr netip.AddrPort) (*HTTPAnswer, Problem) {
	e := h.Endpoint
	e.Connect, e.ALPN = addr.String(), nil
	a, p := get(ctx, httpHost(h.Host, h.port(), defaultHTTPSPort), h.Path, func(ctx context.Context) (net.Conn, error) {
		return e.Dial(ctx, Intermediate)
	})
	if p.Kind == Other {
		p.Text = "no verified connection: " + p.Text
	}
	return a, p
}

// Probe observes and judges; the report contains the name rules too.
func (h HTTPS) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := h.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	r.Findings = append(h.Validate().Findings, r.Findings...)
	return r, nil
}

// parseHSTS reads a Strict-Transport-Security value (RFC 6797 §6.1): max-age is required, may
// be quoted, and no directive may stand twice.
func parseHSTS(value string) (maxAge int64, err error) {
	maxAge = -1
	seen := map[string]bool{}
	for part := range strings.SplitSeq(value, ";") {
		name, arg, _ := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		if seen[name] {
			return 0, fmt.Errorf("the directive %s stands twice", clip(name))
		}
		seen[name] = true
		if name == "max-age" {
			arg = strings.TrimSpace(arg)
			if q := len(arg); q >= 2 && arg[0] == '"' && arg[q-1] == '"' {
				arg = arg[1 : q-1]
			}
			if arg == "" || strings.Trim(arg, "0123456789") != "" { // 1*DIGIT, so no sign
				return 0, errors.New("max-age is not a number of seconds")
			}
			maxAge, _ = strconv.ParseInt(arg, 10, 64) // of a greater number, the greatest that there is
		}
	}
	if maxAge < 0 {
		return 0, errors.New("max-age is missing")
	}
	return maxAge, nil
}
