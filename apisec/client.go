package apisec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/connsec/connsec"
)

const (
	// assumedLife is the life of a token of which the server says nothing: MyQ's 30 minutes.
	// Where it is shorter, the server's 401 says so.
	assumedLife = 30 * time.Minute
	// mostReuse bounds how long a token is used that is said to live longer, so that a client
	// whose rights were taken away loses them within a day.
	mostReuse = 24 * time.Hour
	// mostEarly is how long before its end a token is renewed; a tenth of its life if that is
	// less. Clocks differ, and a request takes its time to get there.
	mostEarly = time.Minute
	// fetchTimeout bounds a token request that several callers wait for.
	fetchTimeout = 30 * time.Second
	// refusedPause is how long a client that was refused does not ask again: it has nothing else
	// to show, and endpoints lock out who tries too often.
	refusedPause = 10 * time.Second
	// replacePause is how long a token is not replaced because of a 401 after another one was:
	// an API that answers every call with 401 would cost a token request a call.
	replacePause = 10 * time.Second
	// maxRedirects is net/http's own bound.
	maxRedirects = 10
)

// HTTP returns a client of net/http that has a token for the API, and renews it. It asks for the
// first token under ctx, so that a wrong secret shows at once, and refuses what [Client.Token]
// refuses.
//
// The client sends the token to the host and port of TokenURL and to Hosts, over verified TLS,
// and nothing to anybody else: a request to another host, or over http, is an error. It follows
// redirects among those hosts only; of another the caller gets the answer as it is, with its status
// of 300 to 399. It uses no proxy.
//
// A token is renewed a minute before its end, once for all requests that need it at the time,
// and not at all while nobody asks. A client that is refused, or asks too often (429), asks again
// after ten seconds at the earliest, or when the endpoint's Retry-After says, with 503, too; until
// then every request without a token that holds has the same [*TokenError].
//
// On 401 a request is sent once more with a new token, if its body can be read again
// ([http.Request.GetBody]). That happens once in ten seconds: a 401 to a token that has just
// replaced another is about something else, and the caller gets it as the API gave it.
//
// Each request is governed by its own context; the renewal that it waits for goes on while
// anybody waits for it. A connection of HTTP/2 that has died unnoticed fails them within half a
// minute; over HTTP/1.1 only their context does.
//
// Answers are not decompressed, and, as is usual with net/http, bounded by their reader. Errors
// carry neither secret nor token, and nothing that the server said; *url.Error carries the
// caller's own URL.
//
// golang.org/x/oauth2 is not underneath: it follows redirects with the secret, gives the token
// to whatever host is asked, takes proxies from the environment, tries other styles by itself,
// puts the server's answer into its errors, and has one context for all requests.
//
// CloseIdleConnections of the client closes what it keeps.
func (c Client) HTTP(ctx context.Context) (*http.Client, error) {
	s, err := c.source()
	if err != nil {
		return nil, err
	}
	t := &authorised{source: s, now: c.now}
	if _, err := t.token(ctx); err != nil {
		t.CloseIdleConnections()
		return nil, err
	}
	return &http.Client{Transport: t, CheckRedirect: t.checkRedirect}, nil
}

// checkRedirect lets a client follow a redirect within the hosts that have the token anyway. Of
// another the caller gets the answer itself: an error of http.Client would show where it leads,
// and that is the server's text.
func (t *authorised) checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case t.source.allow(req) != nil, t.shows(req.URL.String()):
		return http.ErrUseLastResponse
	case len(via) >= maxRedirects:
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// shows reports whether a text has the secret or the token in it.
func (t *authorised) shows(text string) bool {
	t.mu.Lock()
	token := t.current.value
	t.mu.Unlock()
	return holdsSecret(text, t.source.client.Secret) || holdsSecret(text, token)
}

// allow reports whether a request goes where the token may go.
func (s *source) allow(req *http.Request) error {
	if req.URL == nil || req.URL.Scheme != "https" {
		return errors.New("the token is sent over https only")
	}
	port := uint16(portHTTPS)
	if p := req.URL.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return errForeignHost
		}
		port = uint16(n)
	}
	if !s.hosts[hostPort(req.URL.Hostname(), port)] {
		return errForeignHost
	}
	return nil
}

// authorised is a transport that adds the token.
type authorised struct {
	source *source
	now    func() time.Time

	mu      sync.Mutex
	current held
	flight  *flight
	refusal error     // why the endpoint is left alone
	until   time.Time // for how long
	// replaced is when the API's 401 last cost a token.
	replaced time.Time
}

// held is a token with the instants that matter. They are absolute and by the injected clock.
type held struct {
	value       connsec.Secret // no printer finds it by reflection
	renew, ends time.Time
	serial      uint64 // tells tokens apart even if the server gives out the same text again
}

// flight is a token request that several callers may wait for.
type flight struct {
	done    chan struct{} // closed when token and err are final
	waiting int
	cancel  context.CancelFunc
	token   held
	err     error
}

// RoundTrip sends the request with the token, and once more after a 401.
func (t *authorised) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.source.allow(req); err != nil {
		closeBody(req)
		return nil, fmt.Errorf("apisec: %w", err)
	}
	token, err := t.token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req, req.Body, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	// The token may have been revoked, or the server restarted. A request whose body is gone
	// cannot be sent again; the next one gets the new token.
	body, again := replay(req)
	if !t.reject(token) || !again {
		closeReader(body)
		return resp, nil
	}
	fresh, err := t.token(req.Context())
	if err != nil {
		closeReader(body)
		discard(resp)
		return nil, err
	}
	discard(resp)
	return t.send(req, body, fresh)
}

// send sends one copy of the request; the caller's stays as it is.
func (t *authorised) send(req *http.Request, body io.ReadCloser, token held) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Body = body
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Set("Authorization", "Bearer "+token.value.Reveal())
	// A Host of the caller's own would reach another virtual host behind the same certificate.
	out.Host = ""
	resp, err := t.source.transport.RoundTrip(out)
	if err != nil {
		return nil, fmt.Errorf("apisec: %w", plainError(req.Context(), err))
	}
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode/100 == 3 {
		if _, err := url.Parse(location); err != nil { // http.Client would quote it
			discard(resp)
			return nil, errors.New("apisec: the server redirects to something that is no URL")
		}
	}
	resp.Request = req // without the token, for whoever prints it
	return resp, nil
}

// replay returns the body for a second time.
func replay(req *http.Request) (io.ReadCloser, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	return body, err == nil
}

// discard reads the rest of a short answer, so that its connection can be used again.
func discard(resp *http.Response) {
	const most = 64 << 10
	_, _ = io.CopyN(io.Discard, resp.Body, most)
	_ = resp.Body.Close()
}

func closeBody(req *http.Request) { closeReader(req.Body) }

func closeReader(r io.Closer) {
	if r != nil {
		_ = r.Close()
	}
}

// CloseIdleConnections closes connections that nobody uses, for [http.Client.CloseIdleConnections].
func (t *authorised) CloseIdleConnections() { t.source.transport.CloseIdleConnections() }

// reject forgets a token that the API does not take, and reports whether there will be another
// one. After one that was replaced a moment ago there is none yet, and it is kept.
func (t *authorised) reject(refused held) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.serial != refused.serial || t.current.value.IsEmpty() {
		return true // somebody else was faster
	}
	now := t.now()
	if ago := now.Sub(t.replaced); !t.replaced.IsZero() && ago >= 0 && ago < replacePause {
		return false
	}
	t.current, t.replaced = held{serial: refused.serial}, now
	return true
}

// token returns the current token, or a new one. While a token that still holds is being renewed
// for somebody, others go on with it; and with it everybody does if it cannot be renewed.
func (t *authorised) token(ctx context.Context) (held, error) {
	t.mu.Lock()
	now := t.now()
	holds := !t.current.value.IsEmpty() && now.Before(t.current.ends)
	if holds && (now.Before(t.current.renew) || t.flight != nil) {
		defer t.mu.Unlock()
		return t.current, nil
	}
	if t.refusal != nil && now.Before(t.until) {
		defer t.mu.Unlock()
		if holds {
			return t.current, nil
		}
		return held{}, fmt.Errorf("%w; it is not asked before %s", t.refusal, t.until.UTC().Format(time.RFC3339))
	}
	spare := t.current
	f := t.flight
	if f == nil {
		f = t.takeOff()
	}
	f.waiting++
	t.mu.Unlock()

	select {
	case <-f.done:
		if f.err != nil && holds {
			return spare, nil
		}
		return f.token, f.err
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		if f.waiting--; f.waiting == 0 {
			f.cancel()
			if t.flight == f {
				t.flight = nil // a later caller must not wait for what was called off
			}
		}
		return held{}, fmt.Errorf("apisec: %s: %w", t.source.url.address(), ctx.Err())
	}
}

// takeOff begins a token request. Its context is its own: others may come to wait for it, and
// an httptrace of the caller's would see the secret pass. t.mu is held.
func (t *authorised) takeOff() *flight {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	f := &flight{done: make(chan struct{}), cancel: cancel}
	t.flight = f
	go func() {
		defer cancel()
		asked := t.now()
		token, err := t.source.fetch(ctx)
		t.mu.Lock()
		defer t.mu.Unlock()
		if err == nil {
			f.token = hold(token, asked)
			f.token.serial = t.current.serial + 1
			if t.flight == f {
				t.current = f.token
			}
		}
		var wrong *TokenError
		t.refusal = nil
		if errors.As(err, &wrong) && wrong.pause() > 0 {
			t.refusal, t.until = err, t.now().Add(wrong.pause())
		}
		f.err = err
		if t.flight == f {
			t.flight = nil
		}
		close(f.done)
	}()
	return f
}

// pause is how long an endpoint is left alone after an answer.
func (e *TokenError) pause() time.Duration {
	switch {
	case e.RetryAfter > 0:
		return e.RetryAfter
	case e.Refused(), e.Status == http.StatusTooManyRequests:
		return refusedPause
	}
	return 0
}

// hold says how long a token is used.
func hold(token Token, asked time.Time) held {
	life := assumedLife
	if !token.Expires.IsZero() {
		life = min(token.Expires.Sub(asked), mostReuse)
	}
	return held{value: token.Value, renew: asked.Add(life - min(life/10, mostEarly)), ends: asked.Add(life)}
}

// Format keeps printers out of a transport in use.
func (t *authorised) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "apisec transport") }
