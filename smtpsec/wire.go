package smtpsec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
)

// Bounds on what a server may send. RFC 5321, 4.5.3.1.5 allows lines of 512 octets; extensions
// have made them longer. EHLO replies of real servers have up to thirty lines.
const (
	maxLine       = 4 << 10
	maxReplyLines = 128
	maxReplyBytes = 32 << 10
	maxKept       = 512 // of a reply's text
)

// Reply is a server's answer to one command (RFC 5321, 4.2).
type Reply struct {
	Code int `json:"code"`
	// Text is what stands behind the code, lines joined by a line feed, clipped.
	Text string `json:"text,omitempty"`
}

// String is the reply on one line.
func (r *Reply) String() string {
	if r == nil {
		return "no answer"
	}
	return setting.OneLine(fmt.Sprintf("%d %s", r.Code, r.Text))
}

func (r *Reply) is(codes ...int) bool {
	if r == nil {
		return false
	}
	for _, c := range codes {
		if r.Code == c {
			return true
		}
	}
	return false
}

// refuses reports a permanent refusal.
func (r *Reply) refuses() bool { return r != nil && r.Code >= 500 && r.Code <= 599 }

// wire is a conversation in SMTP.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
}

func newWire(conn net.Conn) *wire { return &wire{conn: conn, r: bufio.NewReaderSize(conn, maxLine)} }

// errNotSMTP says that what answers speaks something else.
var errNotSMTP = errors.New("the server does not answer as SMTP does")

// reply reads one reply with all its lines.
func (w *wire) reply() (*Reply, []string, error) {
	var lines []string
	total, code := 0, 0
	for {
		raw, err := w.r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, nil, fmt.Errorf("a line of the server's reply is longer than %d bytes", maxLine)
		case err != nil:
			if errors.Is(err, io.EOF) && (len(raw) > 0 || len(lines) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return nil, nil, err
		}
		total += len(raw)
		c, more, text, ok := parseLine(strings.TrimRight(string(raw), "\r\n"))
		if !ok || len(lines) > 0 && c != code {
			return nil, nil, errNotSMTP
		}
		code = c
		lines = append(lines, text)
		if !more {
			break
		}
		if len(lines) >= maxReplyLines || total >= maxReplyBytes {
			return nil, nil, fmt.Errorf("the server's reply does not end within %d lines and %d bytes", maxReplyLines, maxReplyBytes)
		}
	}
	text := strings.ToValidUTF8(strings.Join(lines, "\n"), "?")
	if len(text) > maxKept {
		text = strings.ToValidUTF8(text[:maxKept], "")
	}
	return &Reply{Code: code, Text: text}, lines, nil
}

// parseLine takes a reply line apart: three digits, then a hyphen if more lines follow, or a
// space and text, or nothing (RFC 5321, 4.2).
func parseLine(s string) (code int, more bool, text string, ok bool) {
	if len(s) < 3 || s[0] < '2' || s[0] > '5' {
		return 0, false, "", false
	}
	for _, d := range []byte(s[:3]) {
		if d < '0' || d > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(d-'0')
	}
	switch {
	case len(s) == 3:
		return code, false, "", true
	case s[3] == '-':
		return code, true, s[4:], true
	case s[3] == ' ':
		return code, false, s[4:], true
	}
	return 0, false, "", false
}

// ask sends one command and reads its reply.
func (w *wire) ask(command string) (*Reply, []string, error) {
	if _, err := io.WriteString(w.conn, command+"\r\n"); err != nil {
		return nil, nil, err
	}
	return w.reply()
}

// greet reads the greeting.
func (w *wire) greet() (*Reply, error) {
	r, _, err := w.reply()
	if err != nil {
		return nil, err
	}
	if r.Code != 220 {
		return r, &replyError{"does not greet", r}
	}
	return r, nil
}

// ehlo says hello and returns what the server can do.
func (w *wire) ehlo(name string) (*Extensions, error) {
	r, lines, err := w.ask("EHLO " + name)
	if err != nil {
		return nil, err
	}
	if r.Code != 250 {
		return nil, &replyError{"refuses EHLO", r}
	}
	return readExtensions(lines), nil
}

// startTLS asks for TLS. Nothing may follow the answer: bytes in the same segment would be
// somebody's attempt to have them taken for part of the TLS session.
func (w *wire) startTLS() error {
	r, _, err := w.ask("STARTTLS")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return &replyError{refusesSTARTTLS, r}
	}
	if w.r.Buffered() > 0 {
		return errGlued
	}
	return nil
}

// replyError is an answer that ends a conversation.
type replyError struct {
	what  string
	reply *Reply
}

const refusesSTARTTLS = "refuses STARTTLS"

func (e *replyError) Error() string { return "the server " + e.what + ": " + e.reply.String() }

// errGlued is what an injecting attacker on the path looks like.
var errGlued = errors.New("the server sends bytes behind its STARTTLS answer; somebody may have put them there")

// Extensions is a server's reply to EHLO (RFC 5321, 4.1.1.1), bounded.
type Extensions struct {
	// Keywords are the extensions in capitals, without their parameters, in the server's order.
	Keywords []string `json:"keywords,omitempty"`
	// Auth are the SASL mechanisms, in capitals.
	Auth []string `json:"auth,omitempty"`
}

const maxMechanisms = 32

func readExtensions(lines []string) *Extensions {
	e := &Extensions{}
	for _, line := range lines[min(1, len(lines)):] {
		// Old servers wrote "AUTH=LOGIN" for old clients; it offers the same.
		fields := strings.Fields(strings.Replace(strings.ToUpper(line), "AUTH=", "AUTH ", 1))
		if len(fields) == 0 {
			continue
		}
		keyword := clipWord(fields[0])
		if !e.Has(keyword) {
			e.Keywords = append(e.Keywords, keyword)
		}
		if keyword != "AUTH" {
			continue
		}
		for _, m := range fields[1:] {
			if m = clipWord(m); !e.HasAuth(m) && len(e.Auth) < maxMechanisms {
				e.Auth = append(e.Auth, m)
			}
		}
	}
	return e
}

func clipWord(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most]
	}
	return setting.OneLine(s)
}

// Has reports whether the server offers an extension.
func (e *Extensions) Has(keyword string) bool {
	if e == nil {
		return false
	}
	for _, k := range e.Keywords {
		if k == keyword {
			return true
		}
	}
	return false
}

// HasAuth reports whether the server offers a mechanism.
func (e *Extensions) HasAuth(mechanism string) bool {
	if e == nil {
		return false
	}
	for _, m := range e.Auth {
		if m == mechanism {
			return true
		}
	}
	return false
}

// helo is what the client calls itself: the name of the setting, or the address literal that
// RFC 5321, 4.1.4 gives to clients without a name.
func (c Config) helo(conn net.Conn) string {
	if c.HELO != "" {
		return c.HELO
	}
	addr, err := netip.ParseAddrPort(conn.LocalAddr().String())
	switch a := addr.Addr().Unmap().WithZone(""); {
	case err != nil:
		return "[127.0.0.1]"
	case a.Is6():
		return "[IPv6:" + a.String() + "]"
	default:
		return "[" + a.String() + "]"
	}
}

// heloProblem says what keeps HELO from being sent.
func (c Config) heloProblem() error {
	if len(c.HELO) > 255 || strings.ContainsFunc(c.HELO, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return errors.New("smtpsec: the name for EHLO is not a host name")
	}
	return nil
}

// openStartTLS is the tlscheck.Opener for SMTP.
func (c Config) openStartTLS(ctx context.Context, conn net.Conn) (net.Conn, error) {
	stop := govern(ctx, conn)
	defer stop()
	w := newWire(conn)
	if _, err := w.greet(); err != nil {
		return nil, err
	}
	if _, err := w.ehlo(c.helo(conn)); err != nil {
		return nil, err
	}
	if err := w.startTLS(); err != nil {
		return nil, err
	}
	return conn, nil
}

// govern makes conn's reads and writes end with ctx. The returned function stops that and
// reports whether ctx had not ended.
func govern(ctx context.Context, conn net.Conn) func() bool {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() bool {
		alive := stop()
		if alive {
			_ = conn.SetDeadline(time.Time{})
		}
		return alive
	}
}

// problemOf classifies an error of a conversation.
func problemOf(err error) tlscheck.Problem {
	p := tlscheck.ProblemOf(err)
	var answer *replyError
	if errors.As(err, &answer) { // whose text may have the words that ProblemOf looks for
		p = tlscheck.Problem{Kind: tlscheck.Other, Text: answer.Error()}
	}
	p.Text = setting.OneLine(p.Text)
	return p
}
