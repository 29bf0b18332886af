package trap

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"
)

// SMTPPosture is how an SMTP trap behaves. The zero value is an honest server.
//
// An SMTP server speaks first, so a trap cannot tell which kind of client has come: SMTP
// starts one for clients that begin in clear, SMTPS one for those that begin with TLS.
type SMTPPosture uint8

// The postures.
const (
	// SMTPHonest: a sound certificate; before TLS, nothing but STARTTLS; logins within TLS.
	SMTPHonest SMTPPosture = iota
	// SMTPExpired: the certificate ended yesterday.
	SMTPExpired
	// SMTPWrongName: it is for another host.
	SMTPWrongName
	// SMTPSelfSigned: it is signed with its own key.
	SMTPSelfSigned
	// SMTPUntrusted: it is from an authority that the client does not know.
	SMTPUntrusted
	// SMTPStripping: STARTTLS is not in the reply to EHLO; logins and mail are taken in clear,
	// as an attacker on the path would have it.
	SMTPStripping
	// SMTPRefusing: STARTTLS is offered, and answered with 454; the rest as in stripping.
	SMTPRefusing
	// SMTPInjecting: behind the answer to STARTTLS, in the same segment, comes a reply to the
	// EHLO that the client has yet to send: it offers a login, which the true one does not.
	SMTPInjecting
	// SMTPBuffering: the server itself has that flaw: what the client sends together with
	// STARTTLS is carried out within TLS.
	SMTPBuffering
	// SMTPEchoing: a command sent together with STARTTLS is answered in clear, before TLS.
	SMTPEchoing
	// SMTPLure: logins are offered and taken in clear beside STARTTLS.
	SMTPLure
	// SMTPSilentAuth: logins in clear are not offered, and taken all the same.
	SMTPSilentAuth
	// SMTPRelaxed: logins wait for TLS, mail does not.
	SMTPRelaxed
	// SMTPShrinking: a login that is offered in clear is gone within TLS.
	SMTPShrinking
	// SMTPPlaintext: no TLS and no login, mail only.
	SMTPPlaintext
	// SMTPStalledHandshake: it takes the ClientHello and never answers.
	SMTPStalledHandshake
	// SMTPStalled: it takes the connection and never greets.
	SMTPStalled
	// SMTPEarlyClose: it greets, and closes after the first command.
	SMTPEarlyClose
	// SMTPEndlessGreeting: the greeting has no last line, up to 256 MiB of it.
	SMTPEndlessGreeting
	// SMTPEndlessReply: the reply to EHLO has no last line.
	SMTPEndlessReply
	// SMTPOversize: the reply to EHLO has one line without end.
	SMTPOversize
	// SMTPNotSMTP: it greets in another protocol.
	SMTPNotSMTP
)

var smtpPostures = posturesOf[SMTPPosture]("SMTP",
	"honest", "expired", "wrong-name", "self-signed", "untrusted", "stripping", "refusing", "injecting", "buffering", "echoing",
	"lure", "silent-auth", "relaxed", "shrinking", "plaintext",
	"stalled-handshake", "stalled", "early-close", "endless-greeting", "endless-reply", "oversize", "not-smtp",
)

// SMTPPostures returns all postures, the honest one first.
func SMTPPostures() []SMTPPosture { return smtpPostures.all() }

// String returns the name, such as "stripping".
func (p SMTPPosture) String() string { return smtpPostures.Name(p) }

// ParseSMTPPosture is the inverse of [SMTPPosture.String].
func ParseSMTPPosture(name string) (SMTPPosture, error) { return smtpPostures.parse(name) }

// offersStartTLS reports whether STARTTLS is in the reply to EHLO.
func (p SMTPPosture) offersStartTLS() bool { return p != SMTPStripping && p != SMTPPlaintext }

// offersAuth reports whether logins are.
func (p SMTPPosture) offersAuth(secure bool) bool {
	switch p {
	case SMTPStripping, SMTPRefusing, SMTPLure:
		return true
	case SMTPShrinking:
		return !secure
	case SMTPInjecting, SMTPPlaintext:
		return false
	}
	return secure
}

// takesAuth reports whether a login is carried out.
func (p SMTPPosture) takesAuth(secure bool) bool {
	return p.offersAuth(secure) || p == SMTPSilentAuth || p == SMTPInjecting && secure
}

// takesMail reports whether mail is.
func (p SMTPPosture) takesMail(secure bool) bool {
	switch p {
	case SMTPStripping, SMTPRefusing, SMTPLure, SMTPSilentAuth, SMTPRelaxed, SMTPPlaintext:
		return true
	}
	return secure
}

// SMTPConnection is what one client did.
type SMTPConnection struct {
	// TLS is nil if the client did not send a ClientHello.
	TLS *Handshake `json:"tls,omitempty"`
	// StartTLS: it asked for TLS that way.
	StartTLS bool `json:"start_tls"`
	// Auth: it asked to log in; Mechanism says how. InClear: outside of TLS.
	Auth        bool   `json:"auth"`
	AuthInClear bool   `json:"auth_in_clear"`
	Mechanism   string `json:"mechanism,omitempty"`
	// Password: a login that carried something. It is not kept.
	Password        bool `json:"password"`
	PasswordInClear bool `json:"password_in_clear"`
	// Mail: it named a sender. Message: it sent the text of a message, which is not kept.
	Mail           bool `json:"mail"`
	MailInClear    bool `json:"mail_in_clear"`
	Message        bool `json:"message"`
	MessageInClear bool `json:"message_in_clear"`
	// TookInjected: within TLS it acted on what only somebody outside of TLS had said.
	TookInjected bool `json:"took_injected"`
	// Commands counts all commands; what a login or a message consists of is none.
	Commands int `json:"commands"`
	// Lasted is how long the connection was open; zero while it still is.
	Lasted time.Duration `json:"lasted_ns"`
	// ClosedByClient: the client ended it, and not the trap.
	ClosedByClient bool `json:"closed_by_client"`
}

// SMTP is a fake SMTP server. See [Server] for its other methods.
type SMTP struct {
	*Server[SMTPConnection]
	posture  SMTPPosture
	implicit bool
	config   *tls.Config
}

// NewSMTP starts one with the default options, for clients that begin in clear.
func NewSMTP(p SMTPPosture) (*SMTP, error) { return Options{}.SMTP(p) }

// NewSMTPS starts one with the default options, for clients that begin with TLS.
func NewSMTPS(p SMTPPosture) (*SMTP, error) { return Options{}.SMTPS(p) }

// SMTP starts a fake SMTP server for clients that begin in clear. Close it.
func (o Options) SMTP(p SMTPPosture) (*SMTP, error) { return o.smtp(p, false) }

// SMTPS starts one for clients that begin with TLS. In the postures without TLS, stripping and
// plaintext, it speaks SMTP in clear all the same. Close it.
func (o Options) SMTPS(p SMTPPosture) (*SMTP, error) { return o.smtp(p, true) }

func (o Options) smtp(p SMTPPosture, implicit bool) (*SMTP, error) {
	id, err := smtpPostures.identity(o, p)
	if err != nil {
		return nil, err
	}
	s := &SMTP{posture: p, implicit: implicit && p.offersStartTLS(), config: &tls.Config{
		Certificates: []tls.Certificate{id.certificate},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: soundSuites,
	}}
	s.Server, err = start(o, id, s.serve)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// URL returns "smtp://" or "smtps://" and the address.
func (s *SMTP) URL() string {
	if s.implicit {
		return "smtps://" + s.Addr()
	}
	return "smtp://" + s.Addr()
}

func (s *SMTP) serve(ctx context.Context, c *conn, note func(func(*SMTPConnection))) {
	began := time.Now()
	m := &smtpSession{SMTP: s, ctx: ctx, raw: c, rw: c, note: note}
	gone := m.run()
	note(func(r *SMTPConnection) { r.ClosedByClient, r.Lasted = gone, time.Since(began) })
}

// smtpSession is one connection.
type smtpSession struct {
	*SMTP
	ctx    context.Context
	raw    *conn
	rw     io.ReadWriter // raw, or what is inside TLS
	secure *secureConn   // nil outside of TLS
	line   []byte        // read, and not yet a whole line
	note   func(func(*SMTPConnection))
}

func (m *smtpSession) noteTLS(change func(*Handshake)) {
	m.note(func(r *SMTPConnection) {
		next := Handshake{} // a snapshot may hold the old one
		if r.TLS != nil {
			next = *r.TLS
		}
		change(&next)
		r.TLS = &next
	})
}

// maxSMTPLine bounds a command, and a line of a message.
const maxSMTPLine = 64 << 10

// read returns the next line without its end.
func (m *smtpSession) read() (string, error) {
	for {
		if i := bytes.IndexByte(m.line, '\n'); i >= 0 {
			line := strings.TrimRight(string(m.line[:i]), "\r")
			m.line = m.line[i+1:]
			return line, nil
		}
		if len(m.line) > maxSMTPLine {
			return "", errFlood
		}
		more := make([]byte, 4<<10)
		n, err := m.rw.Read(more)
		m.line = append(m.line, more[:n]...)
		if err != nil && n == 0 {
			return "", err
		}
	}
}

func (m *smtpSession) write(lines ...string) error {
	_, err := io.WriteString(m.rw, strings.Join(lines, "\r\n")+"\r\n")
	return err
}

// byClient reports whether an error means that it was the client who ended the connection.
func byClient(err error) bool {
	_, alert := clientAlert(err)
	return alert || wentAway(err)
}

// run serves the connection and tells whether it was the client that ended it.
func (m *smtpSession) run() (gone bool) {
	if m.implicit {
		if gone, ok := m.beginTLS(); !ok {
			return gone
		}
	}
	switch m.posture {
	case SMTPStalled:
		_, err := io.Copy(io.Discard, struct{ io.Reader }{m.rw})
		return err == nil || byClient(err)
	case SMTPEndlessGreeting:
		return m.pour("220-mail.trap.test welcomes you\r\n")
	case SMTPNotSMTP:
		_ = m.write("* OK IMAP4rev1 Service Ready")
		_, err := io.Copy(io.Discard, struct{ io.Reader }{m.rw})
		return err == nil || byClient(err)
	}
	if err := m.write("220 mail.trap.test ESMTP"); err != nil {
		return byClient(err)
	}
	gone = m.commands()
	if m.secure != nil {
		_ = m.secure.Close() // with close_notify
	}
	return gone
}

// pour repeats a text up to 256 MiB.
func (m *smtpSession) pour(text string) (gone bool) {
	chunk := bytes.Repeat([]byte(text), max(1, (1<<14)/len(text)))
	for range (256 << 20) / len(chunk) {
		if _, err := m.rw.Write(chunk); err != nil {
			return byClient(err)
		}
	}
	return false
}

// beginTLS makes the handshake and goes on inside. If ok is false it did not come about.
func (m *smtpSession) beginTLS() (gone, ok bool) {
	if m.posture == SMTPStalledHandshake {
		hello, err := readHello(m.raw)
		if err != nil {
			return wentAway(err), false
		}
		m.noteTLS(func(h *Handshake) { h.offer(hello) })
		return m.raw.drain(), false
	}
	secure, err := acceptTLS(m.raw, m.config, false, m.noteTLS)
	if err != nil {
		return byClient(err), false
	}
	m.secure, m.rw = secure, secure
	return false, true
}

// commands answers until one side has had enough.
func (m *smtpSession) commands() (gone bool) {
	for {
		line, err := m.read()
		if err != nil {
			return byClient(err)
		}
		m.note(func(r *SMTPConnection) { r.Commands++ })
		if m.posture == SMTPEarlyClose {
			return false
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch verb = strings.ToUpper(verb); verb {
		case "EHLO", "HELO":
			if gone, done := m.hello(verb); done {
				return gone
			}
		case "STARTTLS":
			if gone, done := m.startTLS(); done {
				return gone
			}
		case "AUTH":
			err = m.auth(rest)
		case "MAIL":
			err = m.mail()
		case "RCPT":
			err = m.write("250 2.1.5 Ok")
		case "DATA":
			err = m.data()
		case "NOOP", "RSET":
			err = m.write("250 2.0.0 Ok")
		case "QUIT":
			_ = m.write("221 2.0.0 Bye")
			return true
		default:
			err = m.write("502 5.5.2 Error: command not recognized")
		}
		if err != nil {
			return byClient(err)
		}
	}
}

func (m *smtpSession) hello(verb string) (gone, done bool) {
	switch m.posture {
	case SMTPEndlessReply:
		return m.pour("250-X-ENDLESS\r\n"), true
	case SMTPOversize:
		_, _ = io.WriteString(m.rw, "250-")
		return m.pour("x"), true
	}
	lines := []string{"mail.trap.test"}
	if verb == "EHLO" {
		lines = append(lines, "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")
		if m.posture.offersStartTLS() && m.secure == nil {
			lines = append(lines, "STARTTLS")
		}
		if m.posture.offersAuth(m.secure != nil) {
			lines = append(lines, "AUTH PLAIN LOGIN")
		}
	}
	err := m.write(multiline(250, lines)...)
	return err != nil && byClient(err), err != nil
}

// multiline puts the code before each line of a reply.
func multiline(code int, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		out[i] = fmt.Sprint(code, sep, l)
	}
	return out
}

// startTLS answers STARTTLS; done means that the connection is over.
func (m *smtpSession) startTLS() (gone, done bool) {
	m.note(func(r *SMTPConnection) { r.StartTLS = true })
	refuse := ""
	switch {
	case m.secure != nil:
		refuse = "503 5.5.1 TLS is active"
	case m.posture == SMTPRefusing:
		refuse = "454 4.7.0 TLS not available due to temporary reason"
	case !m.posture.offersStartTLS():
		refuse = "502 5.5.1 STARTTLS not supported"
	}
	if refuse != "" {
		err := m.write(refuse)
		return err != nil && byClient(err), err != nil
	}
	answer := []string{"220 2.0.0 Ready to start TLS"}
	switch m.posture {
	case SMTPInjecting:
		answer = append(answer, multiline(250, []string{"mail.trap.test", "PIPELINING", "AUTH PLAIN LOGIN"})...)
	case SMTPEchoing:
		// A client that waits for the answer sends nothing more now, so one short look is enough.
		for m.ahead() {
			m.line = m.line[bytes.IndexByte(m.line, '\n')+1:]
			answer = append(answer, "250 2.0.0 Ok")
		}
	case SMTPBuffering:
		m.ahead()
	default:
		m.line = nil // RFC 3207, 4.2
	}
	if err := m.write(answer...); err != nil {
		return byClient(err), true
	}
	gone, ok := m.beginTLS()
	return gone, !ok
}

// ahead reports whether a whole line came together with the one before.
func (m *smtpSession) ahead() bool {
	for !bytes.Contains(m.line, []byte("\n")) {
		_ = m.raw.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		first, err := m.raw.peek(1)
		_ = m.raw.SetReadDeadline(time.Time{})
		if m.ctx.Err() != nil { // which had set a deadline of its own
			_ = m.raw.SetDeadline(time.Unix(1, 0))
			return false
		}
		if err != nil || first[0] == 22 { // nothing, or the ClientHello
			return false
		}
		m.line = append(m.line, first[0])
		m.raw.ahead = m.raw.ahead[1:]
	}
	return true
}

// auth takes a login, any login: what counts is that the client got so far.
func (m *smtpSession) auth(rest string) error {
	mechanism, initial, _ := strings.Cut(strings.TrimSpace(rest), " ")
	mechanism = strings.ToUpper(mechanism)
	clear := m.secure == nil
	kept := mechanism
	if len(kept) > 32 {
		kept = kept[:32]
	}
	password := func(given string) {
		decoded, err := base64.StdEncoding.DecodeString(given)
		if given = strings.TrimSpace(given); given == "" || given == "=" || given == "*" || err == nil && len(decoded) == 0 {
			return
		}
		m.note(func(r *SMTPConnection) { r.Password, r.PasswordInClear = true, r.PasswordInClear || clear })
	}
	m.note(func(r *SMTPConnection) {
		r.Auth, r.AuthInClear, r.Mechanism = true, r.AuthInClear || clear, strings.ToValidUTF8(kept, "?")
		r.TookInjected = r.TookInjected || !clear && m.posture == SMTPInjecting
	})
	password(initial) // refused or not, it has come
	if !m.posture.takesAuth(!clear) {
		if clear {
			return m.write("530 5.7.0 Must issue a STARTTLS command first")
		}
		return m.write("503 5.5.1 Error: authentication not enabled")
	}
	var prompts []string
	switch mechanism {
	case "PLAIN", "XOAUTH2":
		if initial == "" {
			prompts = []string{""}
		}
	case "LOGIN":
		prompts = []string{"Username:", "Password:"}
		if initial != "" {
			prompts = prompts[1:]
		}
	default:
		return m.write("504 5.5.4 Unrecognized authentication type")
	}
	for _, p := range prompts {
		if err := m.write("334 " + base64.StdEncoding.EncodeToString([]byte(p))); err != nil {
			return err
		}
		line, err := m.read()
		if err != nil {
			return err
		}
		if line == "*" {
			return m.write("501 5.7.0 Authentication aborted")
		}
		password(line)
	}
	return m.write("235 2.7.0 Authentication successful")
}

func (m *smtpSession) mail() error {
	clear := m.secure == nil
	m.note(func(r *SMTPConnection) { r.Mail, r.MailInClear = true, r.MailInClear || clear })
	if !m.posture.takesMail(!clear) {
		return m.write("530 5.7.0 Must issue a STARTTLS command first")
	}
	return m.write("250 2.1.0 Ok")
}

// data takes a message and forgets it.
func (m *smtpSession) data() error {
	clear := m.secure == nil
	if !m.posture.takesMail(!clear) {
		return m.write("530 5.7.0 Must issue a STARTTLS command first")
	}
	if err := m.write("354 End data with <CR><LF>.<CR><LF>"); err != nil {
		return err
	}
	for {
		line, err := m.read()
		if err != nil {
			return err
		}
		m.note(func(r *SMTPConnection) { r.Message, r.MessageInClear = true, r.MessageInClear || clear })
		if line == "." {
			return m.write("250 2.0.0 Ok: taken and forgotten")
		}
	}
}
