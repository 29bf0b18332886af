package apisec

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec/tlscheck"
)

const (
	// connectTimeout bounds a connection with its handshake, beside the caller's deadline.
	connectTimeout = 20 * time.Second
	idleTimeout    = 90 * time.Second
	maxHeader      = 64 << 10
	// pingAfter is how long a connection of HTTP/2 may be silent before it is asked whether it is
	// alive, and pingTimeout how long that may take. All requests share one, and one that a
	// firewall has forgotten would hold them up for as long as the system sends again.
	pingAfter   = 15 * time.Second
	pingTimeout = 15 * time.Second
)

// hosts are those that get the token, as "host:port". Each has to be a fully qualified name,
// since its certificate is what tells it from an impostor.
func (c Client) hosts(u tokenURL) (map[string]bool, error) {
	hosts := map[string]bool{}
	add := func(host string, port uint16) error {
		name, err := tlscheck.ParseFQDN(host)
		if err != nil {
			return err
		}
		hosts[hostPort(name.String(), port)] = true
		return nil
	}
	if err := add(u.host, u.port); err != nil {
		return nil, fmt.Errorf("apisec: the token URL's host: %w", err)
	}
	for _, h := range c.Hosts {
		host, port := h, uint16(portHTTPS)
		if before, after, found := strings.Cut(h, ":"); found {
			n, err := strconv.ParseUint(after, 10, 16)
			if err != nil || n == 0 {
				return nil, errors.New("apisec: one of the hosts has a port that is none")
			}
			host, port = before, uint16(n)
		}
		if err := add(host, port); err != nil {
			return nil, fmt.Errorf("apisec: one of the hosts: %w", err)
		}
	}
	return hosts, nil
}

// transport makes connections to the hosts and nowhere else, over TLS with the name verified.
// There is no other way out of it: no proxy, no connection in clear, and nothing is
// decompressed.
func (c Client) transport(u tokenURL, hosts map[string]bool) *http.Transport {
	return &http.Transport{
		Proxy: nil,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("nothing is sent without TLS")
		},
		DialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			e, err := c.endpoint(u, hosts, address)
			if err != nil {
				return nil, err
			}
			return e.Dial(ctx, tlscheck.Intermediate)
		},
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        idleTimeout,
	}
}

func (c Client) endpoint(u tokenURL, hosts map[string]bool, address string) (tlscheck.Endpoint, error) {
	host, digits, err := net.SplitHostPort(address)
	port, bad := strconv.ParseUint(digits, 10, 16)
	if err != nil || bad != nil {
		return tlscheck.Endpoint{}, errors.New("an address without host and port")
	}
	key := hostPort(host, uint16(port))
	if !hosts[key] {
		return tlscheck.Endpoint{}, errForeignHost
	}
	e := tlscheck.Endpoint{
		Host: host, Port: uint16(port), ALPN: []string{"h2", "http/1.1"},
		Roots: c.Roots, Known: c.Known, CRLs: c.CRLs, Dialer: c.Dialer, Resolver: c.Resolver, Now: c.Now,
	}
	if key == u.address() {
		e.Connect = c.Connect
	}
	return e, nil
}

var errForeignHost = errors.New("this host gets no token; add it to Hosts if it should")

// plainError is an error of a request without anything that the server said: net/http quotes
// malformed answers, and those may repeat the secret.
func plainError(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	var (
		unverified *tls.CertificateVerificationError
		op         *net.OpError
		dns        *net.DNSError
	)
	problem := tlscheck.ProblemOf(err)
	switch {
	case errors.As(err, &unverified):
		return unverified
	case errors.As(err, &dns):
		return dns
	case errors.Is(err, errForeignHost):
		return errForeignHost
	case problem.Kind == tlscheck.Other && !errors.As(err, &op):
		return errors.New("the answer is not well-formed HTTP")
	}
	return errors.New(problem.Text)
}
