package sqlsec

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/tdswire"
	"github.com/connsec/connsec/tlscheck"
)

// Open returns a database handle whose every connection is encrypted from the login on, to a
// server whose certificate carries the right name and chains to Roots; or it refuses. One
// connection has been made, and checked, when it returns.
//
// A setting that fails a rule of severity high or above is refused, unless a waiver accepts
// that; a waived failure does not weaken the connection. Encryption is Strict if the setting
// says so, and Mandatory otherwise. The login is SQL Server's own; Windows authentication is
// not done here. A failover partner is not tried: the driver would hold it to the name of Host.
//
// Nothing but PRELOGIN can leave in clear: the connection under the driver refuses to write
// anything else before TLS is up. The error unwraps to [RuleEncryptionUnsupported] or
// [RuleStrictUnavailable] where the server would not do what is demanded.
func (c Config) Open(ctx context.Context) (*sql.DB, error) {
	report, _ := c.Validate().Waive(c.Waivers, c.now())
	if err := report.Err(connsec.High); err != nil {
		return nil, err
	}
	k, err := c.connector()
	if err != nil {
		return nil, fmt.Errorf("sqlsec: %s: %w", c.Subject(), err)
	}
	db := sql.OpenDB(k)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// connector makes connections for database/sql, each with a configuration of its own: the
// driver writes into the one that it is given.
type connector struct {
	c    Config
	tls  *tls.Config
	base msdsn.Config
}

var _ driver.Connector = (*connector)(nil)

func (c Config) connector() (*connector, error) {
	switch {
	case c.Protocol != TCP:
		return nil, fmt.Errorf("only TCP can be opened, and the setting says %s", c.Protocol)
	case c.Host == "":
		return nil, errors.New("the setting names no server")
	case c.Integrated:
		return nil, errors.New("windows authentication is not done here; give a SQL Server login")
	case c.User == "":
		return nil, errors.New("the setting names no login")
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	cfg, err := tlscheck.ClientConfig(tlscheck.Intermediate, c.serverName(), roots)
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be verified under this name, set hostNameInCertificate: %w", err)
	}
	cfg.MinVersion = max(cfg.MinVersion, c.TLSMinimum)
	cfg.Time = c.Now
	cfg.DynamicRecordSizingDisabled = true // SQL Server wants a packet in one record
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	return &connector{c: c, tls: cfg, base: base}, nil
}

// roots is the trust of the setting: given, or in one of its files.
func (c Config) roots() (*x509.CertPool, error) {
	file := c.Certificate
	if c.ServerCertificate != "" {
		file = c.ServerCertificate
	}
	if c.Roots != nil || file == "" {
		return c.Roots, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the file with the certificate: %w", err)
	}
	defer func() { _ = f.Close() }()
	const most = 4 << 20 // the bundle of a whole operating system has less than 1 MB
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("the file with the certificate: %w", err)
	}
	if len(data) > most {
		return nil, fmt.Errorf("the file with the certificate has more than %d MB", most>>20)
	}
	certs, err := tlscheck.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("the file with the certificate: %w", err)
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

// base is everything about the connection that is not its security. Where the text is the
// driver's own, its parser has the say in that.
func (c Config) base() (msdsn.Config, error) {
	base := msdsn.Config{Parameters: map[string]string{}, ProtocolParameters: map[string]any{}, KeepAlive: 30 * time.Second, AppName: "connsec"}
	if c.dsn != nil && (c.Driver == GoMSSQLDB || c.Driver == AnyDriver && c.dsn.form == formADO) {
		parsed, err := msdsn.Parse(c.dsn.text.Reveal())
		if err != nil { // it may quote the text
			return base, errors.New("the driver does not accept the connection string")
		}
		base = parsed
	}
	base.LogFlags = 0 // which could log parameters
	base.Protocols = []string{"tcp"}
	base.BrowserMessage = msdsn.BrowserAllInstances
	base.Host, base.Instance, base.Port = c.host(), c.Instance, uint64(c.port())
	base.User, base.Database = c.User, c.Database
	base.FailOverPartner, base.FailOverPort, base.FailOverPartnerSPN = "", 0, ""
	// Connect adds the password, so that no copy of it stays here.
	base.Password, base.ChangePassword = "", ""
	delete(base.Parameters, "password")
	delete(base.Parameters, "change password")
	base.HostInCertificateProvided = c.HostNameInCertificate != ""
	base.TrustServerCertificate = false
	base.Encryption = msdsn.EncryptionRequired
	if c.Encryption == Strict {
		base.Encryption = msdsn.EncryptionStrict
	}
	base.Encoding.Timezone = cmpTimezone(base.Encoding.Timezone)
	return base, nil
}

func cmpTimezone(l *time.Location) *time.Location {
	if l == nil {
		return time.UTC
	}
	return l
}

// Driver returns go-mssqldb's.
func (k *connector) Driver() driver.Driver { return &mssql.Driver{} }

// Connect makes one connection and checks what was negotiated.
func (k *connector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	p := k.base
	p.Password = k.c.Password.Reveal()
	if k.c.Instance != "" && k.c.Port == 0 {
		b := k.c.browse(ctx)
		port := b.portOf(k.c.Instance)
		if port == 0 {
			return nil, fmt.Errorf("sqlsec: %s: SQL Server Browser does not tell the port of the instance; give the port instead", k.c.Subject())
		}
		p.Port = uint64(port)
	}
	var negotiated atomic.Pointer[tls.ConnectionState]
	cfg := k.tls.Clone()
	cfg.VerifyConnection = func(s tls.ConnectionState) error { // after name and chain
		if k.c.Encryption == Strict && s.NegotiatedProtocol != alpnTDS8 {
			return fmt.Errorf("the server does not agree on %s", alpnTDS8)
		}
		negotiated.Store(&s)
		return nil
	}
	p.TLSConfig = cfg
	mc := mssql.NewConnectorConfig(p)
	d := &guardedDialer{
		k: k, ctx: ctx,
		secured: func() bool { return negotiated.Load() != nil },
		renew:   func() { negotiated.Store(nil) },
	}
	mc.Dialer = d
	defer func() {
		d.done()
		if r := recover(); r != nil { // a hostile PRELOGIN can make the driver panic
			d.close()
			conn, err = nil, fmt.Errorf("sqlsec: %s: the driver cannot cope with the server's answer", k.c.Subject())
		}
	}()
	conn, err = mc.Connect(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("sqlsec: %s: %w", k.c.Subject(), ctx.Err())
	case err != nil:
		return nil, k.explain(err)
	case negotiated.Load() == nil:
		_ = conn.Close()
		return nil, fmt.Errorf("sqlsec: %s: the connection came about without encryption", k.c.Subject())
	}
	return conn, nil
}

// explain turns the driver's words into the rule that they are about.
func (k *connector) explain(err error) error {
	text := err.Error()
	switch kind := tlscheck.ProblemOf(err).Kind; {
	case strings.Contains(text, "server does not support encryption"):
		return fmt.Errorf("sqlsec: %s: %w; nothing was sent", k.c.Subject(), RuleEncryptionUnsupported)
	case k.c.Encryption == Strict && (kind == tlscheck.NotTLS || kind == tlscheck.Closed && strings.Contains(text, "TLS Handshake failed")):
		return fmt.Errorf("sqlsec: %s: %w; set encryption to mandatory, or upgrade to SQL Server 2022; nothing was sent", k.c.Subject(), RuleStrictUnavailable)
	}
	if !k.c.Password.IsEmpty() && strings.Contains(text, k.c.Password.Reveal()) {
		// The cause is not wrapped either: what is in its text is in its fields.
		return fmt.Errorf("sqlsec: %s: the server's answer repeats the password, so it is not shown", k.c.Subject())
	}
	return fmt.Errorf("sqlsec: %s: %w", k.c.Subject(), oneLine{err})
}

// oneLine is an error whose text may come from the server.
type oneLine struct{ error }

func (e oneLine) Unwrap() error { return e.error }

func (e oneLine) Error() string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\r' || r == '\n' {
			return ' '
		}
		if !strconv.IsPrint(r) {
			return '�'
		}
		return r
	}, e.error.Error())
}

// guardedDialer gives the driver connections that do not carry anything in clear. HostName
// makes the driver leave the resolution of names to it.
type guardedDialer struct {
	k       *connector
	ctx     context.Context // of Connect
	secured func() bool
	renew   func()
	conns   []net.Conn
	stops   []func() bool
}

var _ mssql.HostDialer = (*guardedDialer)(nil)

func (d *guardedDialer) HostName() string { return d.k.c.host() }

func (d *guardedDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, fmt.Errorf("%s is not dialled", network)
	}
	conn, err := d.k.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	d.renew() // where the first server routed to another, what it negotiated does not count
	d.conns = append(d.conns, conn)
	// The driver's handshake and login know no context.
	d.stops = append(d.stops, context.AfterFunc(d.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }))
	return &guardedConn{Conn: conn, secured: d.secured}, nil
}

// done lets the connections live on without the context of Connect.
func (d *guardedDialer) done() {
	for _, stop := range d.stops {
		stop()
	}
}

// close is for when the driver did not get to it.
func (d *guardedDialer) close() {
	for _, conn := range d.conns {
		_ = conn.Close()
	}
}

// dial goes to Connect instead of the setting's own address, and uses the setting's resolver.
// An address that the server routes to is dialled as it is.
func (k *connector) dial(ctx context.Context, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	e := tlscheck.Endpoint{Host: host, Port: uint16(port), Resolver: k.c.Resolver}
	if host == k.c.host() {
		e.Connect = k.c.Connect
	}
	if e.Connect == "" && k.c.Resolver == nil {
		return k.c.dialer().DialContext(ctx, "tcp", address)
	}
	addrs, err := e.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
		if conn, err = k.c.dialer().DialContext(ctx, "tcp", addr.String()); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// guardedConn refuses to write what is neither PRELOGIN nor a TLS record, so that no mistake
// of the driver, and no trick of the server, makes a login leave in clear. The driver writes
// whole packets, and crypto/tls whole records.
//
// It also bounds what the server may send before that: the driver gathers an answer to
// PRELOGIN of any length.
type guardedConn struct {
	net.Conn
	secured func() bool
	read    int
}

// maxUnsecured is plenty for PRELOGIN and a chain of certificates.
const maxUnsecured = 256 << 10

func (g *guardedConn) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if g.read <= maxUnsecured && !g.secured() {
		if g.read += n; g.read > maxUnsecured {
			return 0, errors.New("the server sends too much before the connection is encrypted")
		}
	}
	return n, err
}

// TLS record types (RFC 8446 §5.1): change_cipher_spec to application_data.
const firstRecord, lastRecord = 0x14, 0x17

func (g *guardedConn) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	isRecord := b[0] >= firstRecord && b[0] <= lastRecord
	isPrelogin := b[0] == byte(tdswire.PreLogin) && !g.secured()
	// The last flight of the handshake inside PRELOGIN packets leaves after verification; what
	// it carries are records.
	isFlight := b[0] == byte(tdswire.PreLogin) && len(b) > 8 && b[8] >= firstRecord && b[8] <= lastRecord
	if !isRecord && !isPrelogin && !isFlight {
		return 0, fmt.Errorf("%w; the driver was kept from sending in clear", RuleEncryptionUnsupported)
	}
	return g.Conn.Write(b)
}
