package trap

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/connsec/connsec/internal/tdswire"
	"github.com/connsec/connsec/internal/testca"
)

// SQLPosture is how a SQL Server trap behaves. The zero value is an honest server that forces
// encryption.
type SQLPosture uint8

// The postures. Forced, optional and strict are what honest servers are set to. A client must
// not send its login to any of the others, nor in clear to any at all; to one that encrypts
// and verifies, SQLAnswerOn, SQLAnswerRequired and SQLStalledLogin are honest too.
const (
	// SQLForced: "Force Encryption" is on, the certificate is sound, TDS 8.0 is served too.
	SQLForced SQLPosture = iota
	// SQLOptional: it is off, as after installation; encryption is there for who asks.
	SQLOptional
	// SQLStrict: "Force Strict Encryption" is on: TDS 8.0 or nothing.
	SQLStrict
	// SQLNotSupported: it answers NOT_SUP to everything and takes the login in clear, as a man
	// in the middle does who wants to read the password.
	SQLNotSupported
	// SQLAnswerOff, SQLAnswerOn and SQLAnswerRequired give one answer whatever was asked, and
	// go on with what the client then does, also with a login in clear.
	SQLAnswerOff
	SQLAnswerOn
	SQLAnswerRequired
	// SQLRequiredNoTLS: it demands encryption and then answers the ClientHello as if the login
	// had happened, in clear.
	SQLRequiredNoTLS
	// SQLFallbackCertificate: it forces encryption with the certificate that SQL Server makes
	// for itself when it has none.
	SQLFallbackCertificate
	// SQLExpired, SQLWrongName, SQLUntrusted: it forces encryption with such a certificate.
	SQLExpired
	SQLWrongName
	SQLUntrusted
	// SQLTLS10Only: a sound certificate, but nothing newer than TLS 1.0.
	SQLTLS10Only
	// SQLTruncatedPacket: the answer to PRELOGIN ends in the middle.
	SQLTruncatedPacket
	// SQLShortLength: its packet claims to be shorter than its own header.
	SQLShortLength
	// SQLWildOffsets: its options point far outside of the message.
	SQLWildOffsets
	// SQLEndlessMessage: its message never ends; up to 64 MiB are sent.
	SQLEndlessMessage
	// SQLStalled: it takes the PRELOGIN and never answers.
	SQLStalled
	// SQLStalledHandshake: it demands encryption, takes the ClientHello and never answers.
	SQLStalledHandshake
	// SQLStalledLogin: honest until it has the login, which it never answers.
	SQLStalledLogin
	// SQLEarlyClose: it closes when it has the PRELOGIN.
	SQLEarlyClose
)

var sqlPostures = posturesOf[SQLPosture]("SQL",
	"forced", "optional", "strict", "not-supported", "answer-off", "answer-on", "answer-required", "required-no-tls",
	"fallback-certificate", "expired", "wrong-name", "untrusted", "tls10-only", "truncated-packet", "short-length",
	"wild-offsets", "endless-message", "stalled", "stalled-handshake", "stalled-login", "early-close",
)

// SQLPostures returns all postures, the honest ones first.
func SQLPostures() []SQLPosture { return sqlPostures.all() }

// String returns the name, such as "not-supported".
func (p SQLPosture) String() string { return sqlPostures.Name(p) }

// ParseSQLPosture is the inverse of [SQLPosture.String].
func ParseSQLPosture(name string) (SQLPosture, error) { return sqlPostures.parse(name) }

// SQLConfig describes a SQL Server trap.
type SQLConfig struct {
	Posture SQLPosture
	// Query answers statements. nil: those that connsec's own checks send are answered in
	// keeping with the posture, and any other SELECT with one row of one 1.
	Query func(SQLQuery) (SQLRows, error)
	// Version is what PRELOGIN and the login say, as "16.0.4135". Default: SQL Server 2022.
	Version string
	// Route is "host:port" of another server, to which every client is sent on after its login,
	// as Azure SQL and availability groups do. Empty: the login is served here.
	Route string
	// NoTDS8 makes it a server before 2022, which cannot do strict encryption.
	NoTDS8 bool
}

// SQLConnection is what one client did.
type SQLConnection struct {
	// Strict: it began with TLS, as TDS 8.0 does.
	Strict bool `json:"strict"`
	// Asked and Answered are the encryption options of PRELOGIN: "OFF", "ON", "NOT_SUP", "REQ".
	// Asked is empty if no PRELOGIN came.
	Asked    string `json:"asked,omitempty"`
	Answered string `json:"answered,omitempty"`
	// TLS is nil if the client did not send a ClientHello.
	TLS *Handshake `json:"tls,omitempty"`
	// Login: LOGIN7 came. LoginInClear: without TLS around it. PasswordInClear: with a
	// password in it, which is then as good as published.
	Login           bool `json:"login"`
	LoginInClear    bool `json:"login_in_clear"`
	PasswordInClear bool `json:"password_in_clear"`
	// Integrated: Windows authentication was asked for.
	Integrated bool `json:"integrated"`
	// TDSVersion is the version that LOGIN7 asks for: "7.4", "8.0".
	TDSVersion string `json:"tds_version,omitempty"`
	// Library and Application are how the client calls itself.
	Library     string `json:"library,omitempty"`
	Application string `json:"application,omitempty"`
	// Queries counts the requests after the login; QueriesInClear those without TLS.
	Queries        int `json:"queries"`
	QueriesInClear int `json:"queries_in_clear"`
	// Lasted is how long the connection was open; zero while it still is.
	Lasted time.Duration `json:"lasted_ns"`
	// ClosedByClient: the client ended it, and not the trap.
	ClosedByClient bool `json:"closed_by_client"`
}

// SQL is a fake SQL Server. See [Server] for its other methods.
type SQL struct {
	*Server[SQLConnection]
	c       SQLConfig
	version tdswire.Version
	config  *tls.Config
	// sessions counts the logins.
	sessions atomic.Int64
}

// NewSQL starts one with the default options.
func NewSQL(p SQLPosture) (*SQL, error) { return Options{}.SQL(SQLConfig{Posture: p}) }

// SQL starts a fake SQL Server. Close it.
func (o Options) SQL(c SQLConfig) (*SQL, error) {
	if c.Version == "" {
		c.Version = "16.0.4135"
	}
	s := &SQL{c: c}
	if n, err := fmt.Sscanf(c.Version, "%d.%d.%d", &s.version.Major, &s.version.Minor, &s.version.Build); n != 3 || err != nil {
		return nil, errors.New("trap: a SQL Server version is written as 16.0.4135")
	}
	id, err := sqlIdentity(o, c.Posture)
	if err != nil {
		return nil, err
	}
	s.config = &tls.Config{Certificates: []tls.Certificate{id.certificate}, MinVersion: tls.VersionTLS12, CipherSuites: sqlSuites}
	if c.Posture == SQLTLS10Only {
		s.config.MinVersion, s.config.MaxVersion, s.config.CipherSuites = tls.VersionTLS10, tls.VersionTLS10, nil
	}
	s.Server, err = start(o, id, s.serve)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// sqlSuites are those of TLS 1.2 that a checker has nothing against.
var sqlSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func sqlIdentity(o Options, p SQLPosture) (identity, error) {
	id, err := sqlPostures.identity(o, p)
	if err != nil || p != SQLFallbackCertificate {
		return id, err
	}
	o = o.withDefaults()
	ca, err := testca.New(testca.Options{Now: o.Now})
	if err != nil {
		return identity{}, fmt.Errorf("trap: %w", err)
	}
	// As SQL Server makes it: this name, no SAN, RSA, thirty years from the start.
	cert, err := ca.SelfSigned(testca.Leaf{
		Subject: pkix.Name{CommonName: "SSL_Self_Signed_Fallback"}, NoSAN: true, NoEKU: true, Key: testca.RSA2048,
		NotBefore: o.Now(), NotAfter: o.Now().AddDate(30, 0, 0),
	})
	if err != nil {
		return identity{}, fmt.Errorf("trap: %w", err)
	}
	id.certificate = cert.TLS()
	return id, nil
}

// What one connection may send: enough for a long migration, not for ever.
const (
	maxSQLRead    = 256 << 20
	maxSQLLogin   = 128 << 10
	maxSQLRequest = 16 << 20
)

func (s *SQL) serve(ctx context.Context, c *conn, note func(func(*SQLConnection))) {
	began := time.Now()
	c.budget = maxSQLRead
	l := &sqlLink{SQL: s, ctx: ctx, conn: c, rw: c, note: note}
	gone := l.run()
	note(func(r *SQLConnection) { r.ClosedByClient, r.Lasted = gone, time.Since(began) })
}

// sqlLink is one connection.
type sqlLink struct {
	*SQL
	ctx  context.Context
	conn *conn
	note func(func(*SQLConnection))

	rw        io.ReadWriter // conn, or TLS on it
	encrypted bool          // rw is TLS
	reply     []byte        // tokens that are not sent yet
	size      int           // of packets
	database  string
	tx        uint64 // descriptor of the open transaction
	txCount   uint64
	session   int
}

func (l *sqlLink) noteTLS(change func(*Handshake)) {
	l.note(func(r *SQLConnection) {
		next := Handshake{} // a copy, because a snapshot may hold the old one
		if r.TLS != nil {
			next = *r.TLS
		}
		change(&next)
		r.TLS = &next
	})
}

// run serves the connection and tells whether it was the client that ended it.
func (l *sqlLink) run() (gone bool) {
	first, err := l.conn.peek(1)
	if err != nil {
		return wentAway(err)
	}
	if first[0] == tdswire.TLSHandshake {
		if l.c.NoTDS8 || !l.servesStrict() {
			return false
		}
		return l.strict()
	}
	if l.c.Posture == SQLStrict {
		return false
	}
	t, message, err := tdswire.ReadMessage(l.conn, maxSQLLogin)
	if err != nil {
		return wentAway(err)
	}
	if t == tdswire.Login7 { // TDS 7.0 knows no PRELOGIN
		if l.forces() {
			return false
		}
		return l.login(message)
	}
	if t != tdswire.PreLogin {
		return false
	}
	asked, err := tdswire.ParsePrelogin(message)
	if err != nil {
		return false
	}
	return l.negotiate(asked)
}

// servesStrict reports whether the posture goes with TDS 8.0.
func (l *sqlLink) servesStrict() bool {
	switch l.c.Posture {
	case SQLForced, SQLOptional, SQLStrict, SQLFallbackCertificate, SQLExpired, SQLWrongName, SQLUntrusted, SQLStalledLogin:
		return true
	}
	return false
}

// forces reports whether the posture is one of "Force Encryption".
func (l *sqlLink) forces() bool {
	switch l.c.Posture {
	case SQLForced, SQLFallbackCertificate, SQLExpired, SQLWrongName, SQLUntrusted, SQLTLS10Only, SQLStalledHandshake, SQLStalledLogin:
		return true
	}
	return false
}

// strict is TDS 8.0: TLS first, and the whole of TDS inside.
func (l *sqlLink) strict() (gone bool) {
	l.note(func(r *SQLConnection) { r.Strict = true })
	config := l.config.Clone()
	config.NextProtos = []string{"tds/8.0"}
	secure, err := acceptTLS(l.conn, config, false, l.noteTLS)
	if err != nil {
		_, byClient := clientAlert(err)
		return byClient || wentAway(err)
	}
	defer func() { _ = secure.Close() }()
	l.rw, l.encrypted = secure, true
	t, message, err := tdswire.ReadMessage(l.rw, maxSQLLogin)
	if err != nil {
		_, byClient := clientAlert(err)
		return byClient || wentAway(err)
	}
	if t != tdswire.PreLogin {
		return false
	}
	asked, err := tdswire.ParsePrelogin(message)
	if err != nil {
		return false
	}
	// Inside TLS there is nothing left to encrypt: the option means nothing here.
	if err := l.answer(asked, tdswire.EncryptNotSup); err != nil {
		return wentAway(err)
	}
	return l.readLogin()
}

// response is the table of MS-TDS 2.2.6.5; ok is false where the server has to end the
// connection after its answer.
func (l *sqlLink) response(asked tdswire.Encryption) (answer tdswire.Encryption, ok bool) {
	switch {
	case l.c.Posture == SQLNotSupported:
		return tdswire.EncryptNotSup, true
	case l.c.Posture == SQLAnswerOff:
		return tdswire.EncryptOff, true
	case l.c.Posture == SQLAnswerOn:
		return tdswire.EncryptOn, true
	case l.c.Posture == SQLAnswerRequired, l.c.Posture == SQLRequiredNoTLS:
		return tdswire.EncryptReq, true
	case asked == tdswire.EncryptOn, asked == tdswire.EncryptReq:
		return tdswire.EncryptOn, true
	case l.forces():
		return tdswire.EncryptReq, asked != tdswire.EncryptNotSup
	}
	return asked, true
}

// answer sends the PRELOGIN response.
func (l *sqlLink) answer(asked tdswire.Prelogin, e tdswire.Encryption) error {
	l.note(func(r *SQLConnection) {
		if asked.Encryption != nil {
			r.Asked = asked.Encryption.String()
		}
		r.Answered = e.String()
	})
	response := tdswire.Prelogin{Version: &l.version, Encryption: &e, Answer: true}
	if asked.FedAuth != nil {
		zero := byte(0)
		response.FedAuth = &zero
	}
	return tdswire.WriteMessage(l.rw, tdswire.Reply, response.Marshal(), 0)
}

func (l *sqlLink) negotiate(asked tdswire.Prelogin) (gone bool) {
	want := tdswire.EncryptNotSup // what silence means
	if asked.Encryption != nil {
		want = *asked.Encryption & 0x0f // without the bit for client certificates
		l.note(func(r *SQLConnection) { r.Asked = asked.Encryption.String() })
	}
	if done, gone := l.misbehave(); done {
		return gone
	}
	e, ok := l.response(want)
	if err := l.answer(asked, e); err != nil {
		return wentAway(err)
	}
	if !ok {
		return false
	}
	first, err := l.conn.peek(1)
	if err != nil {
		return wentAway(err)
	}
	if tdswire.Type(first[0]) == tdswire.Login7 {
		if l.forces() || e == tdswire.EncryptOff && want != tdswire.EncryptNotSup && l.c.Posture == SQLOptional {
			// An honest server drops this; it has seen it all the same.
			l.seeLogin()
			return false
		}
		return l.readLogin()
	}
	if first[0] != byte(tdswire.PreLogin) {
		return false
	}
	return l.wrapped(e)
}

// wrapped is the TLS handshake inside PRELOGIN packets. Like SQL Server it goes up to TLS 1.2
// there.
func (l *sqlLink) wrapped(answered tdswire.Encryption) (gone bool) {
	hs := tdswire.NewHandshakeConn(l.conn)
	inner := newConn(hs)
	inner.budget = maxSQLRead
	if l.c.Posture == SQLStalledHandshake || l.c.Posture == SQLRequiredNoTLS {
		hello, err := readHello(inner)
		if err != nil {
			return wentAway(err)
		}
		l.noteTLS(func(h *Handshake) { h.offer(hello) })
		if l.c.Posture == SQLRequiredNoTLS {
			l.size = tdswire.DefaultPacketSize
			l.acknowledge(tdswire.Login{TDSVersion: tds74})
			if err := l.flush(); err != nil {
				return wentAway(err)
			}
			return l.readLogin()
		}
		return l.conn.drain()
	}
	config := l.config.Clone()
	config.MaxVersion = min(tls.VersionTLS12, cmpOr(config.MaxVersion, tls.VersionTLS12))
	secure, err := acceptTLS(inner, config, l.c.Posture == SQLTLS10Only, l.noteTLS)
	if err != nil {
		_, byClient := clientAlert(err)
		return byClient || wentAway(err)
	}
	hs.Unwrap()
	l.rw, l.encrypted = secure, true
	if answered != tdswire.EncryptOff {
		defer func() { _ = secure.Close() }()
		return l.readLogin()
	}
	// OFF: the login is encrypted, and everything after it is not.
	message, gone, ok := l.readLoginMessage()
	if !ok {
		return gone
	}
	l.see(message)
	l.rw, l.encrypted = l.conn, false
	return l.serveLogin(message)
}

func cmpOr(v, otherwise uint16) uint16 {
	if v != 0 {
		return v
	}
	return otherwise
}

// misbehave is what the malformed postures answer to PRELOGIN.
func (l *sqlLink) misbehave() (done, gone bool) {
	send := func(b []byte) (bool, bool) {
		if _, err := l.conn.Write(b); err != nil {
			return true, wentAway(err)
		}
		return true, false
	}
	switch l.c.Posture {
	case SQLTruncatedPacket:
		return send([]byte{byte(tdswire.Reply), 1, 0, 0x30, 0, 0, 1, 0, 0, 0, 0x1a, 0, 6})
	case SQLShortLength:
		return send([]byte{byte(tdswire.Reply), 1, 0, 4, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff})
	case SQLWildOffsets:
		return send([]byte{byte(tdswire.Reply), 1, 0, 19, 0, 0, 1, 0, 0, 0xff, 0xf0, 0, 6, 1, 0xff, 0xf6, 0, 1, 0xff})
	case SQLEndlessMessage:
		packet := slices.Concat([]byte{byte(tdswire.Reply), 0, 0x10, 0, 0, 0, 1, 0}, make([]byte, 4096-8))
		for range (64 << 20) / len(packet) {
			if _, err := l.conn.Write(packet); err != nil {
				return true, wentAway(err)
			}
		}
		return true, l.conn.drain()
	case SQLStalled:
		return true, l.conn.drain()
	case SQLEarlyClose:
		return true, false
	}
	return false, false
}

// seeLogin records a login that is not going to be answered.
func (l *sqlLink) seeLogin() {
	if message, _, ok := l.readLoginMessage(); ok {
		l.see(message)
	}
}

func (l *sqlLink) readLogin() (gone bool) {
	message, gone, ok := l.readLoginMessage()
	if !ok {
		return gone
	}
	return l.login(message)
}

func (l *sqlLink) readLoginMessage() (message []byte, gone, ok bool) {
	t, message, err := tdswire.ReadMessage(l.rw, maxSQLLogin)
	if err != nil {
		_, byClient := clientAlert(err)
		return nil, byClient || wentAway(err), false
	}
	return message, false, t == tdswire.Login7
}

func (l *sqlLink) login(message []byte) (gone bool) {
	l.see(message)
	return l.serveLogin(message)
}

// see records what LOGIN7 tells, and how it came.
func (l *sqlLink) see(message []byte) {
	login, err := tdswire.ParseLogin(message)
	l.note(func(r *SQLConnection) {
		r.Login, r.LoginInClear = true, !l.encrypted
		if err != nil {
			return
		}
		r.PasswordInClear = !l.encrypted && login.HasPassword
		r.Integrated = login.Integrated
		r.TDSVersion = tdsVersion(login.TDSVersion)
		r.Library, r.Application = login.Library, login.AppName
	})
}

func tdsVersion(v uint32) string {
	switch {
	case v == 0x08000000:
		return "8.0"
	case v>>28 == 7:
		return fmt.Sprintf("7.%d", v>>24&0xf)
	}
	return fmt.Sprintf("%#08x", v)
}

var _ net.Conn = (*conn)(nil)
