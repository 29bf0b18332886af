package circlehttps

import (
	"context"

	"github.com/connsec/connsec/tlscheck"
)

// VerifyHTTPS returns a function for [FixOptions.Verify]: it opens one TLS connection to port
// 443 of a host and checks the certificate for its name. base carries what shall not be the
// standard one: dialer, resolver, roots; its host and port are not used.
func VerifyHTTPS(base tlscheck.Endpoint) func(ctx context.Context, host string) error {
	return func(ctx context.Context, host string) error {
		e := base
		e.Host, e.Port, e.Subject, e.ALPN = host, 0, "", []string{"http/1.1"}
		conn, err := e.Dial(ctx, tlscheck.Intermediate)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
