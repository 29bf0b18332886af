package apisec

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// askTimeout bounds one request of a probe.
const askTimeout = 10 * time.Second

// Observe looks at the token endpoint and at the file that holds the secret. The real secret is
// sent only with TryToken, over verified TLS, in the one way that [Client.Token] sends it. The
// error says that there are no facts at all.
func (c Client) Observe(ctx context.Context) (Observation, error) {
	o := Observation{Subject: c.subject(), At: c.now(), Style: c.Style, Scopes: c.Scopes, Needed: c.Needed}
	if c.Path != "" && (c.Storage == SecretFile || c.Storage == Literal) {
		o.File = fileFacts(c.Path)
	}
	u, problem := parseTokenURL(c.TokenURL)
	if problem != "" {
		if o.File == nil {
			return o, errors.New("apisec: " + problem)
		}
		o.Problem = problem
		return o, nil
	}
	o.Endpoint = u.show()
	if holdsSecret(u.url.Path, c.Secret) { // so that no probe sends it, least of all in clear
		u.url = &url.URL{Scheme: u.url.Scheme, Host: u.url.Host, Path: "/"}
	}
	var (
		wg  sync.WaitGroup
		err error
	)
	if u.url.Scheme == "https" {
		wg.Go(func() { o.TLS, err = c.observeTLS(ctx, u) })
		wg.Go(func() { c.askAll(ctx, u, &o) })
	} else {
		for _, a := range []*Answer{&o.Stranger, &o.Nobody, &o.InQuery} {
			a.Problem = "the token URL is not https"
		}
	}
	if plain, ok := c.plain(u); ok {
		wg.Go(func() {
			if seen, err := plain.Observe(ctx); err == nil {
				o.Plain = &seen
			}
		})
		wg.Go(func() { o.InClear = c.askInClear(ctx, u, plain) })
	} else {
		o.InClear.Problem = noPlainPort
	}
	wg.Wait()
	if err != nil {
		if o.File == nil {
			return o, err
		}
		o.Problem = plainError(ctx, err).Error()
	}
	o.Duration = c.now().Sub(o.At)
	return o, nil
}

// noPlainPort is why nothing was asked without TLS.
const noPlainPort = "the port without TLS is the one with it"

// Probe validates, observes and judges.
func (c Client) Probe(ctx context.Context) (connsec.Report, error) {
	o, err := c.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	r.Findings = append(c.Validate().Findings, r.Findings...)
	return r, nil
}

func fileFacts(path string) *File {
	f := &File{Path: path, Exposure: tlscheck.ExposureOf(path)}
	_, err := os.Stat(path)
	f.Missing = errors.Is(err, fs.ErrNotExist)
	return f
}

func (c Client) observeTLS(ctx context.Context, u tokenURL) (*tlscheck.HTTPSObservation, error) {
	seen, err := tlscheck.HTTPS{Path: u.url.Path, Endpoint: tlscheck.Endpoint{
		Host: u.host, Port: u.port, Connect: c.Connect, Roots: c.Roots, Known: c.Known, CRLs: c.CRLs, AsOf: c.AsOf,
		Dialer: c.Dialer, Resolver: c.Resolver, Now: c.Now,
	}}.Observe(ctx)
	if err != nil {
		return nil, err
	}
	return &seen, nil
}

// plain is the port where the endpoint may be without TLS.
func (c Client) plain(u tokenURL) (tlscheck.PlainHTTP, bool) {
	port := c.PlainPort
	switch {
	case u.url.Scheme == "http":
		port = u.port
	case port == 0:
		port = portHTTP
	}
	connect := c.Connect
	if host, _, err := net.SplitHostPort(connect); err == nil {
		if u.url.Scheme == "https" { // the port of Connect is that of TLS
			connect = host
		}
	}
	return tlscheck.PlainHTTP{
		Host: u.host, Port: port, Path: u.url.Path, Connect: connect, Dialer: c.Dialer, Resolver: c.Resolver, Now: c.Now,
	}, u.url.Scheme == "http" || port != u.port
}

// stranger is a client that does not exist.
func (c Client) stranger() Client {
	s := c
	s.ID, s.Secret = "connsec-probe-"+rand.Text()[:8], connsec.NewSecret(rand.Text())
	return s
}

// askAll asks for tokens as nobody that the server knows, over verified TLS: what an impostor
// answers would say nothing about the server.
func (c Client) askAll(ctx context.Context, u tokenURL, o *Observation) {
	hosts, err := c.hosts(u)
	if err != nil {
		for _, a := range []*Answer{&o.Stranger, &o.Nobody, &o.InQuery} {
			a.Problem = "not asked: " + setting.OneLine(strings.TrimPrefix(err.Error(), "apisec: "))
		}
		return
	}
	transport := c.transport(u, hosts)
	defer transport.CloseIdleConnections()
	stranger := c.stranger()
	if stranger.Style > JSON {
		stranger.Style = Form
	}
	// Only the path: what else stands in the URL may be the real secret.
	bare := &url.URL{Scheme: u.url.Scheme, Host: u.url.Host, Path: u.url.Path, RawPath: u.url.RawPath}
	o.Stranger = ask(ctx, transport, bare, stranger)
	if s := o.Stranger.Status; s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable {
		unasked := Answer{Problem: fmt.Sprintf("not asked, since the endpoint answered %d", s)}
		o.Nobody, o.InQuery = unasked, unasked
		if c.TryToken {
			o.Token = &TokenAnswer{Answer: unasked}
		}
		return
	}
	if o.Stranger.Problem == "" {
		o.Nobody = ask(ctx, transport, bare, nobody(stranger))
		query := *bare
		query.RawQuery = url.Values{"client_id": {stranger.ID}, "client_secret": {stranger.Secret.Reveal()}}.Encode()
		o.InQuery = ask(ctx, transport, &query, nobody(stranger))
		o.InQuery.Echoes = false // asked for by the URL, which error pages like to show
	} else {
		o.Nobody, o.InQuery = Answer{Problem: o.Stranger.Problem}, Answer{Problem: o.Stranger.Problem}
	}
	if c.TryToken {
		o.Token = c.tryToken(ctx)
	}
}

// nobody is a request without a client.
func nobody(c Client) Client {
	c.ID, c.Secret = "", connsec.Secret{}
	if c.Style == Basic { // rather no header than an empty one
		c.Style = Form
	}
	return c
}

// maxInClear bounds the addresses that are asked without TLS.
const maxInClear = 8

// askInClear asks as a stranger without TLS, at each address of the name, and keeps the answer that
// gives most away: one address does not speak for the others.
func (c Client) askInClear(ctx context.Context, u tokenURL, plain tlscheck.PlainHTTP) Answer {
	e := tlscheck.Endpoint{Host: plain.Host, Port: plain.Port, Connect: plain.Connect, Resolver: c.Resolver}
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return Answer{Problem: "the host could not be looked up"}
	}
	addrs = addrs[:min(len(addrs), maxInClear)]
	answers := make([]Answer, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() { answers[i] = c.askAddress(ctx, u, plain.Port, addr) })
	}
	wg.Wait()
	return slices.MaxFunc(answers, func(a, b Answer) int { return cmp.Compare(a.givesAway(), b.givesAway()) })
}

// askAddress asks as a stranger without TLS at one address.
func (c Client) askAddress(ctx context.Context, u tokenURL, port uint16, addr netip.AddrPort) Answer {
	dialer := c.Dialer
	if dialer == nil {
		dialer = &net.Dialer{}
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, addr.String())
		},
		DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
	}
	defer transport.CloseIdleConnections()
	stranger := c.stranger()
	if stranger.Style > JSON {
		stranger.Style = Form
	}
	host := net.JoinHostPort(u.host, strconv.Itoa(int(port)))
	return ask(ctx, transport, &url.URL{Scheme: "http", Host: host, Path: u.url.Path, RawPath: u.url.RawPath}, stranger)
}

// ask makes one token request for a client and keeps what matters of the answer. An identifier
// that is empty is left out.
func ask(ctx context.Context, transport *http.Transport, u *url.URL, c Client) Answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := tokenRequest(ctx, u, c)
	if err != nil {
		return Answer{Problem: "the URL is not one"}
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		problem := tlscheck.ProblemOf(err)
		return Answer{Problem: setting.OneLine(plainError(ctx, err).Error()), Closed: problem.Kind == tlscheck.Refused}
	}
	defer resp.Body.Close()
	a, _, _ := answerOf(resp, c)
	return a
}

// answerOf reads an answer, and what it says beside the token.
func answerOf(resp *http.Response, c Client) (Answer, Token, *TokenError) {
	body, problem := readAnswer(resp)
	token, wrong := parseAnswer(resp.StatusCode, body, problem, time.Time{})
	a := Answer{Status: resp.StatusCode, Token: wrong == nil || givesToken(resp.StatusCode, body)}
	if wrong != nil {
		a.Code = wrong.Code
	}
	for _, v := range resp.Header.Values("Cache-Control") {
		for part := range strings.SplitSeq(v, ",") {
			a.NoStore = a.NoStore || strings.EqualFold(strings.TrimSpace(part), "no-store")
		}
	}
	for _, v := range resp.Header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(v), " ")
		if scheme = setting.OneLine(scheme); len(a.Challenges) < 8 && !slices.Contains(a.Challenges, scheme) {
			a.Challenges = append(a.Challenges, scheme)
		}
	}
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		a.Redirect = setting.OneLine((&url.URL{Scheme: to.Scheme, Host: to.Host}).String())
	}
	if body == nil {
		a.Unread = problem
	}
	a.Echoes = echoes(resp.Header, body, c)
	return a, token, wrong
}

// givesToken reports whether an answer has an access token in it, though perhaps not one that our
// client would use: without a type, or as something else than JSON.
func givesToken(status int, body []byte) bool {
	var fields map[string]json.RawMessage
	return status/100 == 2 && json.Unmarshal(body, &fields) == nil && text(fields["access_token"]) != ""
}

// echoes reports whether an answer has the secret in one of the forms in which it may have been
// sent. Error pages show bodies, and headers.
func echoes(header http.Header, body []byte, c Client) bool {
	secret := c.Secret.Reveal()
	if secret == "" {
		return false
	}
	escaped := url.QueryEscape(secret)
	quoted, _ := json.Marshal(secret) // of a text, so there is no error
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID) + ":" + escaped))
	for _, form := range []string{secret, escaped, string(quoted[1 : len(quoted)-1]), basic} {
		if bytes.Contains(body, []byte(form)) {
			return true
		}
		for _, values := range header {
			if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, form) }) {
				return true
			}
		}
	}
	return false
}

// tryToken asks with the real secret, if the setting is one that may be used.
func (c Client) tryToken(ctx context.Context) *TokenAnswer {
	s, err := c.source()
	if err != nil {
		return &TokenAnswer{Answer: Answer{Problem: "not asked with the real secret: " + setting.OneLine(strings.TrimPrefix(err.Error(), "apisec: "))}}
	}
	defer s.transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := tokenRequest(ctx, s.url.url, c)
	if err != nil {
		return &TokenAnswer{Answer: Answer{Problem: "the URL is not one"}}
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return &TokenAnswer{Answer: Answer{Problem: setting.OneLine(plainError(ctx, err).Error())}}
	}
	defer resp.Body.Close()
	a, token, wrong := answerOf(resp, c)
	t := &TokenAnswer{Answer: a}
	if wrong != nil {
		t.Token, t.Wrong = false, wrong.Problem
		return t
	}
	if !token.Expires.IsZero() {
		t.Life = token.Expires.Sub(time.Time{})
	}
	t.Granted, t.Assigned = token.Scopes, len(token.Scopes) > 0
	return t
}
