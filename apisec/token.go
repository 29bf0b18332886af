package apisec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

// Token is an access token.
type Token struct {
	Value   connsec.Secret
	Expires time.Time // zero: the server did not say
	Scopes  []string  // granted, where the server says so
	At      time.Time // by the server's clock (Date); zero: it did not say
}

// TokenError is an answer of a token endpoint that is no token.
type TokenError struct {
	Endpoint string // host and port
	Status   int    // of HTTP
	Code     string // "invalid_client", where it is one of the registered words; else empty
	Problem  string // why an answer that claims success is no token, in words of this package
	// RetryAfter is how long the endpoint asks to be left alone with 429 or 503 (RFC 9110
	// §10.2.3), ten minutes at most: a day by mistake would be an outage of a day. 0: it does not.
	RetryAfter time.Duration
}

func (e *TokenError) Error() string {
	text := fmt.Sprintf("apisec: %s answers %d", e.Endpoint, e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Problem != "" {
		text += ": " + e.Problem
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf("; it asks to be left alone for %s", e.RetryAfter)
	}
	return text
}

// Refused reports whether the endpoint says that identifier or secret are not valid, or no
// longer (RFC 6749 §5.2). Every other answer proves nothing about them.
func (e *TokenError) Refused() bool {
	return e.Code == "invalid_client" || e.Code == "" && e.Status == http.StatusUnauthorized
}

// Token asks the endpoint for a token, once, over verified TLS. It follows no redirect and
// uses no proxy. An answer that is no token is a [*TokenError].
//
// A setting of which a rule of High or above fails is refused before anything is sent, unless
// a waiver covers it; http, Style Query and other grants than ClientCredentials are refused
// always. Only what time alone brings about, [RuleSecretOld] and [RuleSecretExpired], does not
// stop it: a client that stops by itself on some day is an outage, and whether the secret is
// taken is for the server to say.
func (c Client) Token(ctx context.Context) (Token, error) {
	s, err := c.source()
	if err != nil {
		return Token{}, err
	}
	defer s.transport.CloseIdleConnections()
	return s.fetch(ctx)
}

// source is what tokens are got from: the setting, found sound, and connections.
type source struct {
	client    Client
	url       tokenURL
	hosts     map[string]bool // that get the token, as "host:port"
	transport *http.Transport
}

// source refuses settings with which nothing should be sent.
func (c Client) source() (*source, error) {
	report, _ := c.Validate().Waive(c.Waivers, c.now())
	report.Findings = slices.DeleteFunc(report.Findings, func(f connsec.Finding) bool {
		return f.Rule == RuleSecretOld || f.Rule == RuleSecretExpired
	})
	if err := report.Err(connsec.High); err != nil {
		return nil, err
	}
	u, problem := parseTokenURL(c.TokenURL)
	switch {
	case problem != "":
		return nil, errors.New("apisec: " + problem)
	case u.url.Scheme != "https":
		return nil, errors.New("apisec: tokens are asked for over https, whatever is waived")
	case judgeInURL(newJudged(c)).Outcome != connsec.Pass, u.url.Fragment != "":
		return nil, errors.New("apisec: no credentials are sent in a URL, and no fragment, whatever is waived")
	case c.Style > JSON:
		return nil, fmt.Errorf("apisec: style %s is never used; choose basic, form or json", c.Style)
	case c.Grant != ClientCredentials:
		return nil, fmt.Errorf("apisec: grant %s is never used; tokens are asked for with client_credentials", c.Grant)
	case c.ID == "" || c.Secret.IsEmpty():
		return nil, errors.New("apisec: identifier or secret of the client is missing")
	}
	for _, scope := range c.Scopes {
		if !isScopeToken(scope) {
			return nil, errors.New("apisec: one of the scopes is not one: no spaces, quotes or backslashes (RFC 6749 §3.3)")
		}
	}
	hosts, err := c.hosts(u)
	if err != nil {
		return nil, err
	}
	return &source{client: c, url: u, hosts: hosts, transport: c.transport(u, hosts)}, nil
}

// isScopeToken: RFC 6749 §3.3.
func isScopeToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

// fetch makes one token request. Transport.RoundTrip follows no redirect, and its errors, other
// than those of http.Client, do not carry the URL.
func (s *source) fetch(ctx context.Context) (Token, error) {
	asked := s.client.now() // the life of a token begins before the answer arrives
	req, err := tokenRequest(ctx, s.url.url, s.client)
	if err != nil {
		return Token{}, err
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return Token{}, fmt.Errorf("apisec: %s: %w", s.url.address(), plainError(ctx, err))
	}
	defer resp.Body.Close()
	body, problem := readAnswer(resp)
	if err := ctx.Err(); err != nil {
		return Token{}, fmt.Errorf("apisec: %s: %w", s.url.address(), err)
	}
	token, wrong := parseAnswer(resp.StatusCode, body, problem, asked)
	if wrong != nil {
		wrong.Endpoint, wrong.RetryAfter = s.url.address(), retryAfter(resp, s.client.now())
		return Token{}, wrong
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		token.At = at
	}
	return token, nil
}

// tokenRequest is the request for a token (RFC 6749 §4.4.2) in the style of the setting. Without
// an identifier no client is named in it.
func tokenRequest(ctx context.Context, u *url.URL, c Client) (*http.Request, error) {
	scope := strings.Join(c.Scopes, " ")
	var body, contentType string
	if c.Style == JSON {
		body, contentType = jsonBody(c, scope), "application/json"
	} else {
		form := url.Values{"grant_type": {c.Grant.String()}}
		if scope != "" {
			form.Set("scope", scope)
		}
		if c.Style == Form && c.ID != "" {
			form.Set("client_id", c.ID)
			form.Set("client_secret", c.Secret.Reveal())
		}
		body, contentType = form.Encode(), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(body))
	if err != nil {
		return nil, errors.New("apisec: the token URL is not a URL")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if c.Style == Basic {
		// Both are form-encoded first, so that a colon in the identifier stays one (§2.3.1).
		req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret.Reveal()))
	}
	return req, nil
}

const userAgent = "connsec"

// jsonBody is the request as MyQ's API wants it.
func jsonBody(c Client, scope string) string {
	body, _ := json.Marshal(struct { // of texts only, so there is no error
		Grant  string `json:"grant_type"`
		Scope  string `json:"scope,omitempty"`
		ID     string `json:"client_id,omitempty"`
		Secret string `json:"client_secret,omitempty"`
	}{c.Grant.String(), scope, c.ID, c.Secret.Reveal()})
	return string(body)
}
