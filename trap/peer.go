package trap

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Options are what all traps have in common. The zero value is what tests want.
type Options struct {
	// Listen is the TCP address. Default "127.0.0.1:0": a free port, this machine only.
	Listen string
	// Names are the host names and IP addresses in the certificate of an honest trap.
	// Default server.trap.test, localhost, 127.0.0.1 and ::1.
	Names []string
	// Certificate replaces the certificate that the trap would make for itself, where the
	// posture does not ask for a flawed one.
	Certificate *Certificate
	// Timeout is the longest that one connection lasts. Default 10 s.
	Timeout time.Duration
	// Now dates the certificates, and the tokens of an XMPL trap. Default time.Now.
	Now func() time.Time
}

const (
	defaultTimeout = 10 * time.Second
	// maxConnections are served at a time; further clients wait in the backlog.
	maxConnections = 256
	// maxRecords connections are recorded; later ones are served and forgotten.
	maxRecords = 10_000
	// maxRead bounds what one connection may send.
	maxRead = 4 << 20
)

func (o Options) withDefaults() Options {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Names == nil {
		o.Names = []string{"server.trap.test", "localhost", "127.0.0.1", "::1"}
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Server is what all traps have in common. C is what it records of one connection.
type Server[C any] struct {
	listener net.Listener
	identity identity
	timeout  time.Duration
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	records []*C
	ended   int
	changed chan struct{} // closed and replaced whenever ended grows
}

// serveFunc serves one connection until it returns; the caller closes it. It changes the
// record of the connection through note, at any time, also while others read. ctx ends with
// the trap and with the connection's time.
type serveFunc[C any] func(ctx context.Context, c *conn, note func(func(*C)))

// start opens the listener of a trap and serves what comes. To add a trap, embed a *Server in
// its type, and call start with the function that speaks the protocol.
func start[C any](o Options, id identity, serve serveFunc[C]) (*Server[C], error) {
	o = o.withDefaults()
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("trap: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server[C]{listener: l, identity: id, timeout: o.Timeout, cancel: cancel, changed: make(chan struct{})}
	s.running.Go(func() { s.accept(ctx, serve) })
	return s, nil
}

func (s *Server[C]) accept(ctx context.Context, serve serveFunc[C]) {
	free := make(chan struct{}, maxConnections)
	for {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		raw, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many open files, or a client that was gone at once
			select {
			case <-time.After(5 * time.Millisecond):
				<-free
				continue
			case <-ctx.Done():
				return
			}
		}
		s.running.Go(func() {
			defer func() { <-free }()
			s.one(ctx, raw, serve)
		})
	}
}

func (s *Server[C]) one(ctx context.Context, raw net.Conn, serve serveFunc[C]) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()

	record := new(C)
	s.mu.Lock()
	if len(s.records) < maxRecords {
		s.records = append(s.records, record)
	}
	s.mu.Unlock()

	serve(ctx, newConn(raw), func(change func(*C)) {
		s.mu.Lock()
		defer s.mu.Unlock()
		change(record)
	})
	_ = raw.Close()

	s.mu.Lock()
	s.ended++
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
}

// Addr returns the address the trap listens on, as "127.0.0.1:40123".
func (s *Server[C]) Addr() string { return s.listener.Addr().String() }

// Roots returns the trust with which a client must accept the honest trap: a new pool with
// the trap's own authority, or Certificate.Roots of the options.
func (s *Server[C]) Roots() *x509.CertPool { return s.identity.pool() }

// CA returns the certificate of that authority as PEM, for programs that read it from a file.
// It is empty if the certificate came with the options.
func (s *Server[C]) CA() []byte { return slices.Clone(s.identity.rootPEM) }

// Observed returns what was recorded so far, in the order in which the connections came,
// those included that are still open. See Await.
func (s *Server[C]) Observed() []C {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]C, len(s.records))
	for i, r := range s.records {
		out[i] = *r
	}
	return out
}

// Await returns when n connections have ended since the start, so that their records are
// final, or with the error of ctx. A connection ends when either side closes it, or when its
// time is up: a client that keeps connections for later has to close them first.
func (s *Server[C]) Await(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		ended, changed := s.ended, s.changed
		s.mu.Unlock()
		if ended >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("trap: waiting for %d connections, %d have ended: %w", n, ended, ctx.Err())
		}
	}
}

// Close stops listening, breaks the connections that are open, and returns when nothing runs
// any more. What they did until then stays in Observed.
func (s *Server[C]) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // closed before
	}
	return err
}

// conn is a connection that can be looked at before it is read, with a bound on what it reads.
type conn struct {
	net.Conn
	ahead  []byte // read already, to be read again
	budget int
}

var errFlood = errors.New("trap: the client sends more than a trap reads")

func newConn(raw net.Conn) *conn { return &conn{Conn: raw, budget: maxRead} }

func (c *conn) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	if c.budget <= 0 {
		return 0, errFlood
	}
	n, err := c.Conn.Read(p[:min(len(p), c.budget)])
	c.budget -= n
	return n, err
}

// peek returns the next n bytes and leaves them to be read; fewer only with an error.
func (c *conn) peek(n int) ([]byte, error) {
	if have := len(c.ahead); have < n {
		more := make([]byte, n-have)
		got, err := io.ReadFull(readAfter{c}, more)
		c.ahead = append(c.ahead[:have:have], more[:got]...)
		if err != nil {
			return c.ahead, err
		}
	}
	return c.ahead[:n], nil
}

// readAfter reads past what is ahead.
type readAfter struct{ c *conn }

func (r readAfter) Read(p []byte) (int, error) {
	ahead := r.c.ahead
	r.c.ahead = nil
	n, err := r.c.Read(p)
	r.c.ahead = ahead
	return n, err
}

// unread puts bytes back, to be read first.
func (c *conn) unread(p []byte) {
	if len(p) > 0 {
		c.ahead = append(slices.Clone(p), c.ahead...)
	}
}

// drain reads until the client goes away or the time is up, and tells whether the client went.
func (c *conn) drain() (gone bool) {
	_, err := io.Copy(io.Discard, c)
	return err == nil || wentAway(err)
}

// wentAway reports whether an error of reading or writing means that the other side closed or
// reset the connection; a deadline or our own Close does not.
func wentAway(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	// Resets and broken pipes have other numbers on other systems; what they have in common
	// is to be errors of reading or writing that are not ours.
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "read" || op.Op == "write") && !op.Timeout() && !errors.Is(err, net.ErrClosed)
}
