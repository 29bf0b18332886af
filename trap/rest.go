package trap

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// RESTPosture is how a REST trap behaves. The zero value is an honest server.
type RESTPosture uint8

// The postures.
const (
	// RESTHonest: a sound certificate, tokens for half an hour, and answers to who has one.
	RESTHonest RESTPosture = iota
	// RESTExpired: the certificate ended yesterday.
	RESTExpired
	// RESTNotYetValid: it begins tomorrow.
	RESTNotYetValid
	// RESTWrongName: it is for another host.
	RESTWrongName
	// RESTCommonNameOnly: it has the right name, but not where clients look for it.
	RESTCommonNameOnly
	// RESTSelfSigned: it is signed with its own key.
	RESTSelfSigned
	// RESTUntrusted: it is from an authority that the client does not know.
	RESTUntrusted
	// RESTToken307: the request for a token is redirected to another host with 307, which
	// means to send it again, secret and all.
	RESTToken307
	// RESTToken302: the same with 302, after which most clients send a GET.
	RESTToken302
	// RESTTokenHTTP307: it is redirected to http:// on the same host.
	RESTTokenHTTP307
	// RESTTokenHTTP302: the same with 302.
	RESTTokenHTTP302
	// RESTCallElsewhere: tokens are given out honestly, calls are redirected to another host.
	RESTCallElsewhere
	// RESTCallHTTP: calls are redirected to http:// on the same host.
	RESTCallHTTP
	// RESTAlways401: tokens are given out and never taken.
	RESTAlways401
	// RESTNegativeLife: expires_in is negative.
	RESTNegativeLife
	// RESTHugeLife: expires_in does not fit 64 bits.
	RESTHugeLife
	// RESTWrongType: the token is of type mac.
	RESTWrongType
	// RESTNumber: the token is a number.
	RESTNumber
	// RESTLineBreak: the token has a line break, and a header behind it.
	RESTLineBreak
	// RESTOversize: the token answer is 16 MiB of sound JSON.
	RESTOversize
	// RESTEndless: the token answer never ends, up to 256 MiB.
	RESTEndless
	// RESTBomb: the token answer is compressed, though nobody asked for it, and is 64 MiB of
	// sound JSON when it is not.
	RESTBomb
	// RESTEcho: the request for a token is refused with 400, and an error that repeats it.
	RESTEcho
	// RESTDrip: the token answer comes one byte at a time.
	RESTDrip
	// RESTStalled: it takes the request and never answers.
	RESTStalled
	// RESTEarlyClose: it closes after the request.
	RESTEarlyClose
	// RESTBusy: the request for a token is answered with 429, and to come back after a minute.
	RESTBusy
)

var restPostures = posturesOf[RESTPosture]("REST",
	"honest", "expired", "not-yet-valid", "wrong-name", "common-name-only", "self-signed", "untrusted",
	"token-307", "token-302", "token-http-307", "token-http-302", "call-elsewhere", "call-http", "always-401",
	"negative-life", "huge-life", "wrong-type", "number", "line-break", "oversize", "endless", "bomb", "echo", "drip", "stalled", "early-close", "busy",
)

// RESTPostures returns all postures, the honest one first.
func RESTPostures() []RESTPosture { return restPostures.all() }

// String returns the name, such as "token-307".
func (p RESTPosture) String() string { return restPostures.Name(p) }

// ParseRESTPosture is the inverse of [RESTPosture.String].
func ParseRESTPosture(name string) (RESTPosture, error) { return restPostures.parse(name) }

// RESTConnection is what one client did on one connection, which may have carried several
// requests.
type RESTConnection struct {
	// TLS is nil if the client did not send a ClientHello.
	TLS *Handshake `json:"tls,omitempty"`
	// Cleartext: it spoke HTTP without TLS.
	Cleartext bool `json:"cleartext"`
	// TokenRequests and Calls count requests for a token and other requests.
	TokenRequests int `json:"token_requests"`
	Calls         int `json:"calls"`
	// Secret: the client's secret came, where the next three say. It is not kept.
	Secret         bool `json:"secret"`
	SecretInHeader bool `json:"secret_in_header"` // Authorization: Basic
	SecretInBody   bool `json:"secret_in_body"`   // client_secret, form or JSON
	SecretInURL    bool `json:"secret_in_url"`    // client_secret in the query
	SecretInClear  bool `json:"secret_in_clear"`  // without TLS
	// Token: a token came, in Authorization: Bearer or else where TokenInURL says.
	Token        bool `json:"token"`
	TokenInURL   bool `json:"token_in_url"`
	TokenInClear bool `json:"token_in_clear"`
	// Followed: it went where a redirect sent it; the others are what it took along.
	Followed        bool `json:"followed"`
	SecretElsewhere bool `json:"secret_elsewhere"`
	TokenElsewhere  bool `json:"token_elsewhere"`
	// Compression: it offered to take compressed answers.
	Compression bool `json:"compression"`
	// Lasted is how long the connection was open; zero while it still is.
	Lasted time.Duration `json:"lasted_ns"`
	// ClosedByClient: the client ended it, and not the trap.
	ClosedByClient bool `json:"closed_by_client"`
}

// REST is a fake REST API with its token endpoint. It takes every client and every secret, and
// speaks HTTP/1.1, within TLS and, on the same port, without. See [Server] for its other methods.
type REST struct {
	*Server[RESTConnection]
	posture RESTPosture
	config  *tls.Config
	token   string
}

// NewREST starts one with the default options.
func NewREST(p RESTPosture) (*REST, error) { return Options{}.REST(p) }

// REST starts a fake REST API. Close it.
func (o Options) REST(p RESTPosture) (*REST, error) {
	id, err := restPostures.identity(o, p)
	if err != nil {
		return nil, err
	}
	s := &REST{posture: p, token: rand.Text(), config: &tls.Config{
		Certificates: []tls.Certificate{id.certificate},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: soundSuites,
	}}
	s.Server, err = start(o, id, s.serve)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Posture returns how the trap behaves.
func (s *REST) Posture() RESTPosture { return s.posture }

// URL returns "https://" and the address.
func (s *REST) URL() string { return "https://" + s.Addr() }

// TokenPath is where tokens are issued, as at MyQ. Every other path is a call.
const TokenPath = "/api/auth/token"

// elsewhere is the path to which redirects lead, so that who comes there has followed one.
const elsewhere = "/elsewhere"

func (s *REST) serve(ctx context.Context, c *conn, note func(func(*RESTConnection))) {
	began := time.Now()
	gone := s.connection(ctx, c, note)
	note(func(r *RESTConnection) { r.ClosedByClient, r.Lasted = gone, time.Since(began) })
}

// connection serves one connection and tells whether it was the client that ended it.
func (s *REST) connection(ctx context.Context, c *conn, note func(func(*RESTConnection))) (gone bool) {
	first, err := c.peek(1)
	if err != nil {
		return wentAway(err)
	}
	if first[0] != 22 { // not a handshake record: the client speaks in the clear
		return s.requests(ctx, c, false, note)
	}
	secure, err := acceptTLS(c, s.config, false, func(change func(*Handshake)) {
		note(func(r *RESTConnection) {
			next := Handshake{} // a snapshot may hold the old one
			if r.TLS != nil {
				next = *r.TLS
			}
			change(&next)
			r.TLS = &next
		})
	})
	if err != nil {
		return byClient(err)
	}
	gone = s.requests(ctx, secure, true, note)
	_ = secure.Close() // with close_notify, so that honest answers do not look cut off
	return gone
}

const (
	mostRESTHeader = 64 << 10
	mostRESTBody   = 64 << 10
)

// requests answers requests until one of the sides ends it.
func (s *REST) requests(ctx context.Context, rw io.ReadWriter, encrypted bool, note func(func(*RESTConnection))) (gone bool) {
	limited := &io.LimitedReader{R: rw}
	in := bufio.NewReader(limited)
	for {
		limited.N = mostRESTHeader
		req, err := http.ReadRequest(in)
		if err != nil {
			if !encrypted {
				note(func(r *RESTConnection) { r.Cleartext = r.Cleartext || limited.N < mostRESTHeader })
			}
			return byClient(err) && limited.N > 0
		}
		limited.N = mostRESTBody + 1
		if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
			_, _ = io.WriteString(rw, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		body, err := io.ReadAll(req.Body)
		if err != nil || len(body) > mostRESTBody {
			return byClient(err)
		}
		isToken := strings.HasSuffix(req.URL.Path, TokenPath)
		note(func(r *RESTConnection) { r.take(req, body, encrypted, isToken) })
		goOn, err := s.answer(ctx, rw, req, body, isToken, encrypted)
		switch {
		case err != nil:
			return byClient(err)
		case !goOn || req.Close:
			return false
		}
	}
}

// take notes what came with a request, and keeps none of it.
func (r *RESTConnection) take(req *http.Request, body []byte, encrypted, isToken bool) {
	r.Cleartext = r.Cleartext || !encrypted
	if isToken {
		r.TokenRequests++
	} else {
		r.Calls++
	}
	scheme, _, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	basic, bearer := strings.EqualFold(scheme, "Basic"), strings.EqualFold(scheme, "Bearer")
	query := req.URL.Query()
	inBody := carries(body, "client_secret")
	inURL := query.Has("client_secret") || req.URL.User != nil
	tokenInURL := query.Has("access_token")
	secret, token := basic || inBody || inURL, bearer || tokenInURL || carries(body, "access_token")
	followed := strings.HasPrefix(req.URL.Path, elsewhere)

	r.Secret = r.Secret || secret
	r.SecretInHeader = r.SecretInHeader || basic
	r.SecretInBody = r.SecretInBody || inBody
	r.SecretInURL = r.SecretInURL || inURL
	r.SecretInClear = r.SecretInClear || secret && !encrypted
	r.Token = r.Token || token
	r.TokenInURL = r.TokenInURL || tokenInURL
	r.TokenInClear = r.TokenInClear || token && !encrypted
	r.Followed = r.Followed || followed
	r.SecretElsewhere = r.SecretElsewhere || secret && followed
	r.TokenElsewhere = r.TokenElsewhere || token && followed
	encodings := req.Header.Get("Accept-Encoding")
	r.Compression = r.Compression || encodings != "" && encodings != "identity"
}

// carries reports whether a body, form or JSON, has a field with something in it.
func carries(body []byte, field string) bool {
	fields := map[string]any{}
	if json.Unmarshal(body, &fields) == nil {
		return fields[field] != nil && fields[field] != ""
	}
	form, err := url.ParseQuery(string(body))
	return err == nil && form.Get(field) != ""
}

// answer answers one request. If goOn is false the connection is over.
func (s *REST) answer(ctx context.Context, rw io.ReadWriter, req *http.Request, body []byte, isToken, encrypted bool) (goOn bool, err error) {
	switch {
	case !encrypted && s.posture == RESTHonest: // as a sound server answers HTTP on its TLS port
		return true, reply(rw, "400 Bad Request", "", "")
	case strings.HasPrefix(req.URL.Path, elsewhere) && !isToken:
		return true, reply(rw, "200 OK", "", `{"trap":"elsewhere"}`)
	case !isToken:
		return s.call(rw, req)
	}
	kind := `,"token_type":"Bearer"`
	token, _ := json.Marshal(s.token)
	life := "1800"
	switch s.posture {
	case RESTToken307, RESTToken302, RESTTokenHTTP307, RESTTokenHTTP302:
		if strings.HasPrefix(req.URL.Path, elsewhere) {
			break // it has followed, and gets what it came for
		}
		status := "307 Temporary Redirect"
		if s.posture == RESTToken302 || s.posture == RESTTokenHTTP302 {
			status = "302 Found"
		}
		return true, reply(rw, status, s.redirect(req, s.posture >= RESTTokenHTTP307)+TokenPath, "")
	case RESTNegativeLife:
		life = "-1800"
	case RESTHugeLife:
		life = "1e400"
	case RESTWrongType:
		kind = `,"token_type":"mac"`
	case RESTNumber:
		token = []byte("4711")
	case RESTLineBreak:
		token, _ = json.Marshal(s.token + "\r\nX-Trap: yes")
	case RESTOversize:
		return false, s.fill(rw, io.LimitReader(spaces{}, 16<<20))
	case RESTEndless:
		return false, s.fill(rw, io.LimitReader(spaces{}, 256<<20))
	case RESTBomb:
		return false, s.bomb(rw)
	case RESTEcho:
		text, _ := json.Marshal(string(body) + req.Header.Get("Authorization"))
		return true, reply(rw, "400 Bad Request", "", `{"error":`+string(text)+`,"error_description":`+string(text)+`}`)
	case RESTDrip:
		return false, drip(ctx, rw)
	case RESTStalled:
		if _, err := io.Copy(io.Discard, rw); err != nil { // until its time is up
			return false, err
		}
		return false, io.EOF // the client went
	case RESTEarlyClose:
		return false, nil
	case RESTBusy:
		return true, reply(rw, "429 Too Many Requests", "", `{"error":"temporarily_unavailable"}`)
	}
	return true, reply(rw, "200 OK", "", `{"access_token":`+string(token)+kind+`,"expires_in":`+life+`,"scope":"reports"}`)
}

// call answers what is not about tokens.
func (s *REST) call(w io.Writer, req *http.Request) (goOn bool, err error) {
	switch {
	case s.posture == RESTCallElsewhere, s.posture == RESTCallHTTP:
		return true, reply(w, "307 Temporary Redirect", s.redirect(req, s.posture == RESTCallHTTP)+req.URL.Path, "")
	case s.posture == RESTAlways401, req.Header.Get("Authorization") != "Bearer "+s.token:
		return true, reply(w, "401 Unauthorized", "", `{"error":"invalid_token"}`)
	}
	return true, reply(w, "200 OK", "", `{"trap":true}`)
}

// redirect is where a redirect leads: to another name for this trap, or to http on the same.
func (s *REST) redirect(req *http.Request, clear bool) string {
	host, _, err := net.SplitHostPort(req.Host)
	if err != nil {
		host = req.Host
	}
	_, port, _ := net.SplitHostPort(s.Addr())
	if clear {
		return "http://" + net.JoinHostPort(host, port) + elsewhere
	}
	other := "localhost"
	if host == other {
		other = "127.0.0.1"
	}
	return "https://" + net.JoinHostPort(other, port) + elsewhere
}

func reply(w io.Writer, status, location, body string) error {
	head := "HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nStrict-Transport-Security: max-age=63072000\r\n"
	if strings.HasPrefix(status, "401") {
		head += "WWW-Authenticate: Bearer\r\n"
	}
	if strings.HasPrefix(status, "429") {
		head += "Retry-After: 60\r\n"
	}
	if location != "" {
		head += "Location: " + location + "\r\n"
	}
	_, err := fmt.Fprintf(w, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	return err
}

// spaces is white space without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// fill sends a token answer with white space in front, until the connection ends.
func (s *REST) fill(w io.Writer, space io.Reader) error {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
	_, err := io.Copy(w, io.MultiReader(strings.NewReader(head), space, strings.NewReader(s.sound())))
	return err
}

func (s *REST) sound() string {
	return `{"access_token":"` + s.token + `","token_type":"Bearer","expires_in":1800}`
}

func (s *REST) bomb(w io.Writer) error {
	// The header goes first, so that a client that refuses it does not wait for the packing.
	if _, err := io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if _, err := io.Copy(z, io.MultiReader(io.LimitReader(spaces{}, 64<<20), strings.NewReader(s.sound()))); err != nil {
		return err
	}
	return z.Close()
}

// drip sends an answer that would take hours.
func drip(ctx context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(w, " "); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
