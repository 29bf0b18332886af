package ldapsec

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"

	"github.com/connsec/connsec/tlscheck"
)

// referenceName is the name that the server's certificate has to have: A-labels without a
// trailing dot, or the name as it stands where it is not fully qualified. Such a name is for
// the rules to find fault with; it is verified all the same.
func referenceName(name string) string {
	if fqdn, err := tlscheck.ParseFQDN(name); err == nil {
		return fqdn.String()
	}
	return strings.ToLower(strings.Trim(strings.TrimSuffix(name, "."), "[]"))
}

// tlsConfig verifies the chain against the roots and the name against the certificate, and
// takes nothing below Mozilla's intermediate profile: TLS 1.2 with forward secrecy. There is
// no setting to weaken it.
//
// tlscheck makes such a configuration for fully qualified names under public or private
// domains only. Names that break a rule of less than High, as those of the many Active
// Directory domains under .local, and names that a waiver covers get here; the policy that
// they are held to is the same.
func (c Config) tlsConfig(name string) (*tls.Config, error) {
	const anyName = "directory.internal" // replaced below, so that the rest comes from one place
	cfg, err := tlscheck.ClientConfig(tlscheck.Intermediate, anyName, c.Roots)
	if err != nil {
		return nil, err
	}
	cfg.ServerName = referenceName(name)
	cfg.Certificates = c.ClientCertificates
	cfg.Time = c.Now
	return cfg, nil
}

// dialTLS connects to the first address of the server that gives a verified TLS connection.
// The error is that of the last.
func (c Config) dialTLS(ctx context.Context, name string, port uint16, way string) (*tls.Conn, error) {
	cfg, err := c.tlsConfig(name)
	if err != nil {
		return nil, err
	}
	e := c.endpoint(name, port, way)
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		var conn *tls.Conn
		if conn, err = c.dialAddress(ctx, addr, cfg, e.Open); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (c Config) dialAddress(ctx context.Context, addr netip.AddrPort, cfg *tls.Config, open tlscheck.Opener) (*tls.Conn, error) {
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	step, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if open != nil {
		if _, err := open(step, conn); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return handshake(step, conn, cfg)
}

// handshake makes a verified TLS handshake on a connection, which it closes if that fails.
func handshake(ctx context.Context, conn net.Conn, cfg *tls.Config) (*tls.Conn, error) {
	tc := tls.Client(conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return tc, nil
}
