package sqlsec

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
)

// login is against, with a login.
func login(s *trap.SQL) Config {
	c := against(s)
	c.User, c.Password = "app", connsec.NewSecret(canary)
	return c
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		posture trap.SQLPosture
		level   Encryption
		version string
		tls     string
	}{
		{trap.SQLForced, Mandatory, "7.4", "TLS 1.2"},
		{trap.SQLOptional, Mandatory, "7.4", "TLS 1.2"},
		{trap.SQLForced, Strict, "8.0", "TLS 1.3"},
		{trap.SQLStrict, Strict, "8.0", "TLS 1.3"},
	} {
		t.Run(fmt.Sprint(tt.posture, " ", tt.level), func(t *testing.T) {
			s := startTrap(t, trap.SQLConfig{Posture: tt.posture})
			c := login(s)
			c.Encryption = tt.level
			db, err := c.Open(testContext(t))
			require.NoError(t, err)
			var n int
			require.NoError(t, db.QueryRow("SELECT 1").Scan(&n))
			// More than one connection at a time: the driver must not share a configuration.
			for range 3 {
				one, err := db.Conn(testContext(t))
				require.NoError(t, err)
				defer one.Close()
			}
			require.NoError(t, db.Close())
			for _, seen := range s.Observed() {
				assert.True(t, seen.Login)
				assert.False(t, seen.LoginInClear)
				assert.Zero(t, seen.QueriesInClear)
				assert.Equal(t, tt.version, seen.TDSVersion)
				assert.Equal(t, tt.tls, seen.TLS.Version)
				assert.Equal(t, trapName, seen.TLS.ServerName)
			}
		})
	}
}

// byPort sends a dial to the server that listens on that port.
type byPort map[string]string

func (d byPort) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(address)
	return (&net.Dialer{}).DialContext(ctx, network, d[port])
}

// Azure SQL and availability groups send a client on after its login. The second server is
// held to the same as the first.
func TestOpenFollowsRouting(t *testing.T) {
	for _, level := range []Encryption{Mandatory, Strict} {
		for _, posture := range []trap.SQLPosture{trap.SQLForced, trap.SQLNotSupported, trap.SQLUntrusted, trap.SQLWrongName} {
			t.Run(fmt.Sprint(level, " ", posture), func(t *testing.T) {
				const other = "node2.corp.example"
				gate := startTrap(t, trap.SQLConfig{Route: other + ":11000"})
				node, err := trap.Options{Names: []string{other}, Timeout: 5 * time.Second}.SQL(trap.SQLConfig{Posture: posture})
				require.NoError(t, err)
				defer func() { assert.NoError(t, node.Close()) }()
				c := login(gate)
				c.Encryption, c.Dialer, c.Roots = level, byPort{"1433": gate.Addr(), "11000": node.Addr()}, gate.Roots().Clone()
				require.True(t, c.Roots.AppendCertsFromPEM(node.CA()))
				db, err := c.Open(testContext(t))
				if posture != trap.SQLForced {
					require.Error(t, err)
					assert.NotContains(t, err.Error(), canary)
					require.NoError(t, node.Close())
					for _, seen := range node.Observed() {
						assert.False(t, seen.Login)
					}
					return
				}
				require.NoError(t, err)
				require.NoError(t, db.Close())
				require.NoError(t, node.Close())
				seen := node.Observed()
				require.Len(t, seen, 1)
				assert.True(t, seen[0].Login && !seen[0].LoginInClear)
				assert.Equal(t, other, seen[0].TLS.ServerName)
			})
		}
	}
}

// No posture gets the password in clear, and no impostor gets it at all.
func TestOpenNeverFallsForATrap(t *testing.T) {
	for _, p := range trap.SQLPostures() {
		for _, level := range []Encryption{Mandatory, Strict} {
			t.Run(fmt.Sprint(p, " ", level), func(t *testing.T) {
				t.Parallel()
				s := startTrap(t, trap.SQLConfig{Posture: p})
				c := login(s)
				c.Encryption = level
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				switch p {
				case trap.SQLStalled, trap.SQLStalledHandshake, trap.SQLStalledLogin:
					cancel()
					ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
				}
				defer cancel()
				db, err := c.Open(ctx)
				for _, seen := range s.Observed() {
					assert.False(t, seen.LoginInClear, "%+v", seen)
					assert.False(t, seen.PasswordInClear)
					if seen.TLS != nil && err != nil && p != trap.SQLStalledLogin {
						assert.NotEqual(t, trap.Trusted, seen.TLS.Trust)
					}
				}
				honest := p == trap.SQLForced || p == trap.SQLStrict && level == Strict || p == trap.SQLOptional ||
					level == Mandatory && (p == trap.SQLAnswerOn || p == trap.SQLAnswerRequired)
				if honest {
					require.NoError(t, err)
					require.NoError(t, db.Close())
					return
				}
				require.Error(t, err)
				assert.NotContains(t, err.Error(), canary)
				assert.NotContains(t, err.Error(), "\n")
			})
		}
	}
}

func TestOpenSaysWhichRule(t *testing.T) {
	open := func(p trap.SQLConfig, level Encryption) error {
		s := startTrap(t, p)
		c := login(s)
		c.Encryption = level
		_, err := c.Open(testContext(t))
		return err
	}
	assert.ErrorIs(t, open(trap.SQLConfig{Posture: trap.SQLNotSupported}, Mandatory), RuleEncryptionUnsupported)
	assert.ErrorIs(t, open(trap.SQLConfig{Posture: trap.SQLAnswerOff}, Mandatory), RuleEncryptionUnsupported)
	assert.ErrorIs(t, open(trap.SQLConfig{NoTDS8: true}, Strict), RuleStrictUnavailable)
	assert.ErrorIs(t, open(trap.SQLConfig{Posture: trap.SQLNotSupported}, Strict), RuleStrictUnavailable)
	assert.ErrorContains(t, open(trap.SQLConfig{Posture: trap.SQLExpired}, Mandatory), "expired")
	assert.ErrorContains(t, open(trap.SQLConfig{Posture: trap.SQLWrongName}, Mandatory), "other.trap.test")
	assert.ErrorContains(t, open(trap.SQLConfig{Posture: trap.SQLUntrusted}, Mandatory), "unknown authority")
	assert.ErrorIs(t, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_, err := login(startTrap(t, trap.SQLConfig{Posture: trap.SQLStalled})).Open(ctx)
		return err
	}(), context.DeadlineExceeded)
}

func TestOpenRefusesTheSetting(t *testing.T) {
	s := startTrap(t, trap.SQLConfig{})
	refused := func(change func(*Config)) error {
		c := login(s)
		change(&c)
		db, err := c.Open(testContext(t))
		if err == nil {
			_ = db.Close()
		}
		return err
	}
	assert.ErrorIs(t, refused(func(c *Config) { c.TrustServerCertificate = true }), RuleTrustServerCertificate)
	assert.ErrorIs(t, refused(func(c *Config) { c.Encryption = LoginOnly }), RuleEncryptionLoginOnly)
	assert.ErrorIs(t, refused(func(c *Config) { c.Encryption = Off }), RuleEncryptionOff)
	assert.Error(t, refused(func(c *Config) { c.User = "" }))
	assert.Error(t, refused(func(c *Config) { c.Integrated = true }))
	assert.Error(t, refused(func(c *Config) { c.Protocol = NamedPipe }))
	assert.Error(t, refused(func(c *Config) { c.Host = "" }))
	assert.ErrorContains(t, refused(func(c *Config) { c.Host = "192.0.2.1" }), "hostNameInCertificate")
	assert.Error(t, refused(func(c *Config) { c.Roots, c.Certificate = nil, "no such file" }))
	assert.Empty(t, s.Observed(), "a refused setting makes no connection")

	t.Run("a waiver lets the setting pass and weakens nothing", func(t *testing.T) {
		waive := func(c *Config, rule *connsec.Rule) {
			c.Waivers = []connsec.Waiver{{Rule: rule.ID, Reason: "test", Until: time.Now().Add(time.Hour)}}
		}
		assert.NoError(t, refused(func(c *Config) { c.TrustServerCertificate = true; waive(c, RuleTrustServerCertificate) }))
		for _, seen := range s.Observed() {
			assert.Equal(t, "ON", seen.Asked)
		}
		bad := startTrap(t, trap.SQLConfig{Posture: trap.SQLUntrusted})
		c := login(bad)
		c.TrustServerCertificate = true
		waive(&c, RuleTrustServerCertificate)
		_, err := c.Open(testContext(t))
		assert.ErrorContains(t, err, "unknown authority")
	})
}

func TestOpenFromADSN(t *testing.T) {
	s := startTrap(t, trap.SQLConfig{})
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, s.CA(), 0o600))
	_, port, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	for _, tt := range []struct {
		dsn    string
		driver Driver
		app    string
	}{
		{fmt.Sprintf("sqlserver://app:%s@127.0.0.1:%s?encrypt=true&app+name=Central&hostnameincertificate=%s&certificate=%s", canary, port, trapName, file), AnyDriver, "Central"},
		{fmt.Sprintf("Driver={ODBC Driver 18 for SQL Server};Server=127.0.0.1,%s;UID=app;PWD={%s};HostnameInCertificate=%s", port, canary, trapName), AnyDriver, "connsec"},
	} {
		c := mustParse(t, tt.dsn, tt.driver)
		if c.Certificate == "" {
			c.Roots = s.Roots()
		}
		db, err := c.Open(testContext(t))
		require.NoError(t, err, tt.app)
		require.NoError(t, db.Close())
		k, err := c.connector()
		require.NoError(t, err)
		assert.NotContains(t, fmt.Sprintf("%+v", *k), canary)
		seen := s.Observed()
		assert.Equal(t, tt.app, seen[len(seen)-1].Application)
	}
}

// A pinned certificate is the one authority, and its name and dates are checked all the same.
func TestOpenPinned(t *testing.T) {
	ca := testca.MustNew(t)
	open := func(cert *testca.Certificate) error {
		s, err := trap.Options{Certificate: &trap.Certificate{Chain: cert.TLS(), Roots: ca.Pool()}}.SQL(trap.SQLConfig{})
		require.NoError(t, err)
		defer s.Close()
		file := filepath.Join(t.TempDir(), "server.pem")
		require.NoError(t, os.WriteFile(file, cert.PEM(), 0o600))
		c := login(s)
		c.Roots, c.ServerCertificate = nil, file
		db, err := c.Open(testContext(t))
		if err == nil {
			_ = db.Close()
		}
		return err
	}
	assert.NoError(t, open(ca.MustSelfSigned(t, testca.Leaf{Names: []string{trapName}})))
	assert.Error(t, open(ca.MustSelfSigned(t, testca.Leaf{Names: []string{"other.corp.example"}})))
	assert.Error(t, open(ca.MustSelfSigned(t, testca.Leaf{Names: []string{trapName}, NotAfter: time.Now().Add(-time.Hour)})))
}

// The driver takes the first byte of the option without looking whether there is one.
func TestOpenSurvivesADriverThatPanics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte{4, 1, 0, 8 + 7, 0, 0, 1, 0, 1, 0, 6, 0, 0, 0xff, 0})
			_ = conn.Close()
		}
	}()
	defer func() {
		_ = l.Close()
		<-done
	}()
	c := Config{
		Host: trapName, Encryption: Mandatory, User: "app", Password: connsec.NewSecret(canary),
		Connect: l.Addr().String(),
	}
	_, err = c.Open(testContext(t))
	assert.ErrorContains(t, err, "cannot cope")
}

func TestGuardedConn(t *testing.T) {
	for _, tt := range []struct {
		name    string
		secured bool
		b       []byte
		ok      bool
	}{
		{"PRELOGIN", false, preloginProbe(0), true},
		{"a record", true, []byte{0x17, 3, 3, 0, 1, 0}, true},
		{"the handshake's last flight", true, []byte{0x12, 1, 0, 14, 0, 0, 1, 0, 0x16, 3, 3, 0, 1, 0}, true},
		{"LOGIN7 before TLS", false, []byte{0x10, 1, 0, 8, 0, 0, 1, 0}, false},
		{"LOGIN7 after TLS", true, []byte{0x10, 1, 0, 8, 0, 0, 1, 0}, false},
		{"a batch", true, []byte{0x01, 1, 0, 8, 0, 0, 1, 0}, false},
		{"PRELOGIN after TLS", true, preloginProbe(0), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sink sinkConn
			_, err := (&guardedConn{Conn: &sink, secured: func() bool { return tt.secured }}).Write(tt.b)
			assert.Equal(t, tt.ok, err == nil)
			assert.Equal(t, tt.ok, sink.n > 0)
			if !tt.ok {
				assert.True(t, errors.Is(err, RuleEncryptionUnsupported))
			}
		})
	}
}

type sinkConn struct {
	net.Conn
	n int
}

func (s *sinkConn) Write(b []byte) (int, error) { s.n += len(b); return len(b), nil }

var _ tlscheck.Dialer = (*local)(nil)

func TestOpenKeepsTheMinimum(t *testing.T) {
	c := login(startTrap(t, trap.SQLConfig{}))
	for set, want := range map[uint16]uint16{0: tls.VersionTLS12, tls.VersionTLS10: tls.VersionTLS12, tls.VersionTLS13: tls.VersionTLS13} {
		c.TLSMinimum = set
		k, err := c.connector()
		require.NoError(t, err)
		assert.Equal(t, want, k.tls.MinVersion)
	}
}

// A server that echoes the password in its error does not get it into ours.
func TestOpenKeepsAnEchoedPasswordOut(t *testing.T) {
	k := &connector{c: Config{Host: trapName, Password: connsec.NewSecret("hunter2")}}
	err := k.explain(mssql.Error{Number: 18456, Message: "Login failed with the password hunter2"})
	assert.ErrorContains(t, err, "repeats the password")
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2")
	var cause mssql.Error
	assert.False(t, errors.As(err, &cause))

	err = k.explain(mssql.Error{Number: 18456, Message: "Login failed for user 'app'."})
	assert.ErrorContains(t, err, "Login failed for user")
	assert.ErrorAs(t, err, &cause)
}

func TestOpenBoundsTheCertificateFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "endless.pem")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, 5<<20)) // takes no room on the disk
	c := Config{Host: trapName, User: "app", Password: connsec.NewSecret(canary), Certificate: file}
	_, err := c.Open(testContext(t))
	assert.ErrorContains(t, err, "more than 4 MB")
}

// The driver would try the partner after any failure, hold it to the name of the first server, and
// report its error instead of the one that counts.
func TestOpenGoesToTheHostAlone(t *testing.T) {
	s := startTrap(t, trap.SQLConfig{Posture: trap.SQLNotSupported})
	c := mustParse(t, "server="+trapName+";failover partner=b.corp.example;user id=app;password="+canary+";encrypt=true", GoMSSQLDB)
	to := &local{tcp: s.Addr()}
	c.Roots, c.Dialer, c.Resolver = s.Roots(), to, fixed{netip.MustParseAddr("192.0.2.10")}
	_, err := c.Open(testContext(t))
	require.ErrorIs(t, err, RuleEncryptionUnsupported)
	assert.EqualValues(t, 1, to.dials.Load())
}
