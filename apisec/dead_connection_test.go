package apisec_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipes is a network in memory, whose connections can be lost without either side being told.
type pipes struct {
	accepted chan net.Conn
	closed   sync.Once
	lost     atomic.Bool
}

func (p *pipes) DialContext(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.accepted <- there
	return &losing{here, p, p.lost.Load()}, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	c, open := <-p.accepted
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pipes) Close() error {
	p.closed.Do(func() { close(p.accepted) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// losing is a connection through which nothing goes any more when its network was lost, as behind
// a firewall that has forgotten it. One that is made later is whole.
type losing struct {
	net.Conn
	network *pipes
	later   bool
}

func (l *losing) gone() bool { return !l.later && l.network.lost.Load() }

func (l *losing) Write(p []byte) (int, error) {
	if l.gone() {
		return len(p), nil
	}
	return l.Conn.Write(p)
}

func (l *losing) Read(p []byte) (int, error) {
	for {
		if n, err := l.Conn.Read(p); err != nil || !l.gone() {
			return n, err
		}
	}
}

// TestDeadConnection: requests without a deadline do not wait for ever on a connection that is
// dead, and those after them get another one.
func TestDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := testca.MustNew(t)
		cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(t, testca.Leaf{Names: []string{host}}).TLS())
		require.NoError(t, err)
		network := &pipes{accepted: make(chan net.Conn)}
		var proto atomic.Value
		s := &issuer{life: "86400", calling: func(_ http.ResponseWriter, r *http.Request) bool { proto.Store(r.Proto); return false }}
		server := &http.Server{Handler: s, TLSConfig: cfg, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { _ = server.ServeTLS(network, "", "") }()
		defer server.Close()

		c := with(client(), func(c *apisec.Client) { c.Connect, c.Roots, c.Dialer = "192.0.2.1:8093", ca.Pool(), network })
		web, err := c.HTTP(t.Context())
		require.NoError(t, err)
		defer web.CloseIdleConnections()
		ask := func() error {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api, nil)
			require.NoError(t, err)
			resp, err := web.Do(req)
			if err == nil {
				assert.Equal(t, 200, resp.StatusCode)
				resp.Body.Close()
			}
			return err
		}
		require.NoError(t, ask())
		require.Equal(t, "HTTP/2.0", proto.Load())

		network.lost.Store(true)
		began := time.Now()
		require.Error(t, ask())
		assert.LessOrEqual(t, time.Since(began), time.Minute)
		require.NoError(t, ask(), "over another connection")
		assert.EqualValues(t, 1, s.tokens.Load())
	})
}
