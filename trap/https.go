package trap

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// HTTPSPosture is how an HTTPS trap behaves. The zero value is an honest server.
type HTTPSPosture uint8

// The postures. From HTTPSExpired to HTTPSPlainHTTP, a client that has the roots of the trap must
// not send a request.
const (
	// HTTPSHonest: TLS 1.2 and 1.3, a sound certificate.
	HTTPSHonest HTTPSPosture = iota
	// HTTPSExpired: the certificate ended yesterday.
	HTTPSExpired
	// HTTPSNotYetValid: it begins tomorrow.
	HTTPSNotYetValid
	// HTTPSWrongName: it is for another host.
	HTTPSWrongName
	// HTTPSCommonNameOnly: it has the right name, but not where clients look for it.
	HTTPSCommonNameOnly
	// HTTPSSelfSigned: it is signed with its own key.
	HTTPSSelfSigned
	// HTTPSUntrusted: it is from an authority that the client does not know.
	HTTPSUntrusted
	// HTTPSNoIntermediate: the chain lacks the certificate that leads to the root.
	HTTPSNoIntermediate
	// HTTPSClientOnly: its extended key usage is for clients only.
	HTTPSClientOnly
	// HTTPSWildcard: it is for *.parent. Ordinary clients rightly accept that; a policy against
	// wildcards has to be the client's own.
	HTTPSWildcard
	// HTTPSPartialWildcard: it is for s*.parent, which no client should match (RFC 9525 §6.3).
	HTTPSPartialWildcard
	// HTTPSSHA1: it is signed with SHA-1.
	HTTPSSHA1
	// HTTPSTLS10Only: a sound certificate, but nothing newer than TLS 1.0.
	HTTPSTLS10Only
	// HTTPSRC4Only: a sound certificate, TLS 1.2, and RC4 as the only cipher.
	HTTPSRC4Only
	// HTTPSStalledHandshake: it takes the ClientHello and never answers.
	HTTPSStalledHandshake
	// HTTPSEndlessRecord: it answers with handshake data that never ends, as fast as it can,
	// up to 256 MiB.
	HTTPSEndlessRecord
	// HTTPSDrippingRecord: it answers one byte at a time, so that no single read takes long.
	HTTPSDrippingRecord
	// HTTPSEarlyClose: it closes after the ClientHello.
	HTTPSEarlyClose
	// HTTPSPlainHTTP: it answers in plain HTTP on the TLS port, to a ClientHello too.
	HTTPSPlainHTTP
	// HTTPSRedirectHTTP: honest TLS, but every request is redirected to http:// on the same
	// port, where the trap sees what the client repeats in the clear.
	HTTPSRedirectHTTP
)

var httpsPostures = posturesOf[HTTPSPosture]("HTTPS",
	"honest", "expired", "not-yet-valid", "wrong-name", "common-name-only", "self-signed", "untrusted",
	"no-intermediate", "client-only", "wildcard", "partial-wildcard", "sha1", "tls10-only", "rc4-only",
	"stalled-handshake", "endless-record", "dripping-record", "early-close", "plain-http", "redirect-http",
)

// HTTPSPostures returns all postures, the honest one first.
func HTTPSPostures() []HTTPSPosture { return httpsPostures.all() }

// String returns the name, such as "wrong-name".
func (p HTTPSPosture) String() string { return httpsPostures.Name(p) }

// ParseHTTPSPosture is the inverse of [HTTPSPosture.String].
func ParseHTTPSPosture(name string) (HTTPSPosture, error) { return httpsPostures.parse(name) }

// HTTPSConnection is what one client did.
type HTTPSConnection struct {
	// TLS is nil if the client did not send a ClientHello.
	TLS *Handshake `json:"tls,omitempty"`
	// Cleartext: it spoke HTTP without TLS.
	Cleartext bool `json:"cleartext"`
	// Request: it sent a request. The next three are about that: there was a Cookie header,
	// an Authorization or Proxy-Authorization header, a body.
	Request       bool `json:"request"`
	Cookie        bool `json:"cookie"`
	Authorization bool `json:"authorization"`
	Body          bool `json:"body"`
	// Lasted is how long the connection was open; zero while it still is.
	Lasted time.Duration `json:"lasted_ns"`
	// ClosedByClient: the client ended it, and not the trap.
	ClosedByClient bool `json:"closed_by_client"`
}

// HTTPS is a fake HTTPS server. See [Server] for its other methods.
type HTTPS struct {
	*Server[HTTPSConnection]
	posture HTTPSPosture
	config  *tls.Config
}

// NewHTTPS starts one with the default options.
func NewHTTPS(p HTTPSPosture) (*HTTPS, error) { return Options{}.HTTPS(p) }

// HTTPS starts a fake HTTPS server. Close it.
func (o Options) HTTPS(p HTTPSPosture) (*HTTPS, error) {
	id, err := httpsPostures.identity(o, p)
	if err != nil {
		return nil, err
	}
	s := &HTTPS{posture: p, config: &tls.Config{
		Certificates: []tls.Certificate{id.certificate},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: soundSuites,
	}}
	switch p {
	case HTTPSTLS10Only:
		s.config.MinVersion, s.config.MaxVersion, s.config.CipherSuites = tls.VersionTLS10, tls.VersionTLS10, nil
	case HTTPSRC4Only:
		s.config.MaxVersion = tls.VersionTLS12
		s.config.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_RC4_128_SHA}
	}
	s.Server, err = start(o, id, s.serve)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Posture returns how the trap behaves.
func (s *HTTPS) Posture() HTTPSPosture { return s.posture }

// URL returns "https://" and the address.
func (s *HTTPS) URL() string { return "https://" + s.Addr() }

func (s *HTTPS) serve(ctx context.Context, c *conn, note func(func(*HTTPSConnection))) {
	began := time.Now()
	gone := s.answer(ctx, c, note)
	note(func(r *HTTPSConnection) { r.ClosedByClient, r.Lasted = gone, time.Since(began) })
}

// answer serves one connection and tells whether it was the client that ended it.
func (s *HTTPS) answer(ctx context.Context, c *conn, note func(func(*HTTPSConnection))) (gone bool) {
	first, err := c.peek(1)
	if err != nil {
		return wentAway(err)
	}
	if first[0] != 22 { // not a handshake record: the client speaks in the clear
		return s.request(c, c, "", note)
	}
	noteTLS := func(change func(*Handshake)) {
		note(func(r *HTTPSConnection) {
			// A copy, because a snapshot may hold the old one.
			next := Handshake{}
			if r.TLS != nil {
				next = *r.TLS
			}
			change(&next)
			r.TLS = &next
		})
	}
	switch s.posture {
	case HTTPSStalledHandshake, HTTPSEndlessRecord, HTTPSDrippingRecord, HTTPSEarlyClose, HTTPSPlainHTTP:
		hello, err := readHello(c)
		if err != nil {
			return wentAway(err)
		}
		noteTLS(func(h *Handshake) { h.offer(hello) })
		return s.misbehave(ctx, c)
	}
	insists := s.posture == HTTPSTLS10Only || s.posture == HTTPSRC4Only
	secure, err := acceptTLS(c, s.config, insists, noteTLS)
	if err != nil {
		_, byClient := clientAlert(err)
		return byClient || wentAway(err)
	}
	redirect := ""
	if s.posture == HTTPSRedirectHTTP {
		redirect = "http://" + s.Addr() + "/"
	}
	gone = s.request(secure, secure, redirect, note)
	_ = secure.Close() // with close_notify, so that honest answers do not look cut off
	return gone
}

// misbehave is what comes after a ClientHello in the postures that have no handshake.
func (s *HTTPS) misbehave(ctx context.Context, c *conn) (gone bool) {
	switch s.posture {
	case HTTPSPlainHTTP:
		if _, err := io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); err != nil {
			return wentAway(err)
		}
		return false
	case HTTPSEndlessRecord:
		// A ServerHello of 16 MiB less one byte, again and again.
		record := slices.Concat([]byte{22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff}, make([]byte, 1<<14-4))
		for range (256 << 20) / len(record) {
			if _, err := c.Write(record); err != nil {
				return wentAway(err)
			}
		}
		return c.drain()
	case HTTPSDrippingRecord:
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for rest := slices.Concat([]byte{22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc, 3, 3}, make([]byte, 1<<14-6)); len(rest) > 0; rest = rest[1:] {
			if _, err := c.Write(rest[:1]); err != nil {
				return wentAway(err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return false
			}
		}
		return c.drain()
	case HTTPSEarlyClose:
		return false
	default: // HTTPSStalledHandshake
		return c.drain()
	}
}

// request reads one request and answers it.
func (s *HTTPS) request(r io.Reader, w io.Writer, redirect string, note func(func(*HTTPSConnection))) (gone bool) {
	_, encrypted := r.(*secureConn)
	const mostHeader = 64 << 10
	limited := &io.LimitedReader{R: r, N: mostHeader}
	in := bufio.NewReader(limited)
	req, err := http.ReadRequest(in)
	if err != nil {
		if !encrypted {
			note(func(c *HTTPSConnection) { c.Cleartext = in.Buffered() > 0 || limited.N < mostHeader })
		}
		_, byClient := clientAlert(err)
		return byClient || wentAway(err) && limited.N > 0
	}
	limited.N = maxRead
	note(func(c *HTTPSConnection) {
		c.Request, c.Cleartext = true, !encrypted
		c.Cookie = len(req.Header["Cookie"]) > 0
		c.Authorization = len(req.Header["Authorization"]) > 0 || len(req.Header["Proxy-Authorization"]) > 0
	})
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		_, _ = io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	body, err := io.Copy(io.Discard, req.Body)
	note(func(c *HTTPSConnection) { c.Body = body > 0 })
	if err != nil {
		return wentAway(err)
	}
	status, head, text := "200 OK", "Content-Type: text/plain\r\n", "trap\n"
	switch {
	case redirect != "":
		status, head = "302 Found", "Location: "+redirect+"\r\n"
	case encrypted:
		head += "Strict-Transport-Security: max-age=63072000\r\n"
	case s.posture == HTTPSHonest: // as every sound server answers HTTP on its TLS port
		status, text = "400 Bad Request", "This port speaks HTTPS only.\n"
	}
	head = fmt.Sprintf("HTTP/1.1 %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n", status, head, len(text))
	if req.Method == http.MethodHead {
		text = ""
	}
	_, err = io.WriteString(w, head+text)
	return err != nil && wentAway(err)
}
