package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/tlscheck"
	"github.com/gomodule/redigo/redis"
)

const usage = `usage: protected-site [FLAGS]

Serves a small personalized site on loopback, over HTTPS, that opens to its
recipients only. Pressing Enter lets an hour pass; Ctrl-C ends it.

  --listen ADDR:PORT   default 127.0.0.1:8443; port 0 takes a free one
  --ca FILE            write the certificate to trust to FILE
  --redis ADDR:PORT    keep sessions in Redis, so that several of these share them
  --redis-password-file FILE
                       what Redis asks for
`

// Run serves until ctx ends, and returns the exit status: 0, or 2 if it cannot serve.
func Run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("protected-site", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	listen := flags.String("listen", "127.0.0.1:8443", "")
	ca := flags.String("ca", "", "")
	redisAddr := flags.String("redis", "", "")
	redisPassword := flags.String("redis-password-file", "", "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return 0
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(errOut, "protected-site: %v; --help explains\n", err)
		return 2
	}
	c := &clock{}
	o := options{listen: *listen, redis: *redisAddr, now: c.now}
	if *redisPassword != "" {
		o.redisPassword, err = audit.ReadSecret(*redisPassword)
	}
	var s *server
	if err == nil {
		s, err = start(o)
	}
	if err == nil && *ca != "" {
		if err = os.WriteFile(*ca, s.ca.PEM(), 0o644); err != nil {
			s.close()
		}
	}
	if err != nil {
		fmt.Fprintf(errOut, "protected-site: %v\n", err)
		return 2
	}
	defer s.close()
	greet(out, s, *ca)
	hours := make(chan struct{})
	go func() { // ends with the input, or with the process
		for lines := bufio.NewScanner(in); lines.Scan(); {
			select {
			case hours <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-hours:
			c.pass(time.Hour)
			fmt.Fprintln(out, "An hour has passed: who was signed in is asked for the password again.")
		case err := <-s.failed:
			fmt.Fprintf(errOut, "protected-site: %v\n", err)
			return 2
		case <-ctx.Done():
			return 0
		}
	}
}

func greet(out io.Writer, s *server, ca string) {
	fmt.Fprint(out, "The spring campaign is open. These addresses went out by mail:\n\n")
	for _, p := range people {
		fmt.Fprintf(out, "  %s, password %s\n  %s%s\n\n", p.name, p.password, s.url, p.key)
	}
	if ca == "" {
		fmt.Fprint(out, "The certificate is from a test CA, so browsers warn; --ca FILE writes its root.\n")
	} else {
		fmt.Fprintf(out, "Browsers that trust %s do not warn.\n", ca)
	}
	fmt.Fprint(out, "Press Enter to let an hour pass, Ctrl-C to end.\n")
}

// clock is the time of day plus what the user let pass.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) pass(d time.Duration) { c.ahead.Add(int64(d)) }

// server is the running site.
type server struct {
	url    string // of the campaign, with the slash
	ca     *testca.CA
	failed chan error
	close  func()
}

// options say where the site listens and keeps sessions, and what time it is.
type options struct {
	listen        string
	redis         string // empty: memory
	redisPassword connsec.Secret
	now           func() time.Time
}

// start serves the site behind its gate.
func start(o options) (*server, error) {
	recipients, err := newCampaign()
	if err != nil {
		return nil, err
	}
	gate := securl.Gate{
		Recipients: recipients, Base: base, Public: []string{"css/"},
		Login: securl.LoginPage{Brand: "Spring offers"}, Now: o.now,
		XMPL: &securl.XMPL{
			ADORs: recipients, PasswordADOR: passwordADOR, ReadOnly: []string{"Points"}, ProjectName: "Spring offers",
			// What names the project is public, and stands in xmpcfg.js.
			AccessToken: "10000001-0000-4000-8000-abc000000001_10000002-0000-4000-8000-abc000000002_01234567890abcdef00000000004105b",
		},
	}
	closeStore := func() {}
	if o.redis != "" {
		pool := &redis.Pool{
			MaxIdle: 4, IdleTimeout: time.Minute,
			Dial: func() (redis.Conn, error) {
				return redis.Dial("tcp", o.redis, redis.DialPassword(o.redisPassword.Reveal()),
					redis.DialConnectTimeout(3*time.Second), redis.DialReadTimeout(3*time.Second), redis.DialWriteTimeout(3*time.Second))
			},
		}
		closeStore = func() { _ = pool.Close() }
		conn := pool.Get()
		_, err := conn.Do("PING")
		_ = conn.Close()
		if err != nil {
			closeStore()
			return nil, fmt.Errorf("no answer from Redis at %s: %w", o.redis, unwrapped(err))
		}
		gate.Sessions, gate.Name = redisstore.New(pool), "spring"
	}
	handler, err := gate.Handler(recipients.site(o.now))
	if err != nil {
		closeStore()
		return nil, err
	}
	s, err := serve(o.listen, handler)
	if err != nil {
		closeStore()
		return nil, err
	}
	stop := s.close
	s.close = func() { stop(); closeStore() }
	return s, nil
}

// serve opens the port and answers on it with a certificate for this machine.
func serve(listen string, handler http.Handler) (*server, error) {
	ca, err := testca.New(testca.Options{Name: "Example"})
	if err != nil {
		return nil, err
	}
	leaf, err := ca.Issue(testca.Leaf{Names: []string{"localhost", "127.0.0.1"}})
	if err != nil {
		return nil, err
	}
	cfg, err := tlscheck.ServerConfig(tlscheck.Intermediate, leaf.TLS())
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; --listen takes another address", listen, unwrapped(err))
	}
	web := &http.Server{
		Handler: handler, ErrorLog: log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	s := &server{ca: ca, failed: make(chan error, 1)}
	s.url = "https://" + strings.Replace(l.Addr().String(), "127.0.0.1:", "localhost:", 1) + base
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := web.Serve(tls.NewListener(l, cfg)); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	s.close = func() {
		_ = web.Close()
		<-done
	}
	return s, nil
}

// unwrapped is the reason alone: the address has been said.
func unwrapped(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
