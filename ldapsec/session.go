package ldapsec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/connsec/connsec/internal/setting"
)

// session is one LDAP connection on which requests are answered one at a time. It reads
// exactly the bytes of each answer, so that the connection can be handed on afterwards, to
// TLS or to another client.
type session struct {
	conn   net.Conn
	id     int32
	max    int
	secret connsec.Secret // never shown, whatever the server says
}

// maxStray bounds how many messages that answer nothing are skipped while waiting for the
// one that does.
const maxStray = 8

func newSession(conn net.Conn) *session { return &session{conn: conn, max: ldapwire.MaxMessage} }

func (s *session) nextID() int32 {
	s.id++
	return s.id
}

// send writes one request built for the next message ID.
func (s *session) send(build func(id int32) []byte) (int32, error) {
	id := s.nextID()
	_, err := s.conn.Write(build(id))
	return id, err
}

// receive reads the next message that answers id. A server that closes the session with a
// notice of disconnection, or answers something else, is quoted in the error.
func (s *session) receive(id int32) (ldapwire.Message, error) {
	m, err := ldapwire.Read(s.conn, s.max)
	switch {
	case errors.Is(err, io.EOF):
		return m, errors.New("the server closed the connection without an answer")
	case err != nil:
		return m, err
	case m.ID == 0:
		if res, err := m.Result(); err == nil {
			res.Diagnostic = without(res.Diagnostic, s.secret)
			return m, fmt.Errorf("the server ends the session: %s", describe(res))
		}
		return m, errors.New("the server ends the session")
	case m.ID != id:
		return m, fmt.Errorf("the server answers message %d where %d was asked", m.ID, id)
	}
	return m, nil
}

// result sends a request and returns its single answer.
func (s *session) result(op byte, build func(id int32) []byte) (ldapwire.Result, error) {
	id, err := s.send(build)
	if err != nil {
		return ldapwire.Result{}, err
	}
	m, err := s.receive(id)
	if err != nil {
		return ldapwire.Result{}, err
	}
	if m.Op != op {
		return ldapwire.Result{}, fmt.Errorf("the server answers with operation 0x%02x where 0x%02x belongs", m.Op, op)
	}
	return m.Result()
}

func (s *session) bind(build func(id int32) []byte) (ldapwire.Result, error) {
	return s.result(ldapwire.OpBindResponse, build)
}

// entry is one search result.
type entry struct {
	dn    string
	attrs []ldapwire.Attribute
}

// search asks for one entry at most and says how the search ended.
func (s *session) search(base string, scope int, attrs ...string) (*entry, ldapwire.Result, error) {
	id, err := s.send(func(id int32) []byte { return ldapwire.Search(id, base, scope, 1, 10, attrs...) })
	if err != nil {
		return nil, ldapwire.Result{}, err
	}
	var first *entry
	for range maxStray {
		m, err := s.receive(id)
		if err != nil {
			return first, ldapwire.Result{}, err
		}
		switch m.Op {
		case ldapwire.OpSearchDone:
			res, err := m.Result()
			return first, res, err
		case ldapwire.OpSearchEntry:
			dn, attrs, err := m.Entry()
			if err != nil {
				return first, ldapwire.Result{}, err
			}
			if first == nil {
				first = &entry{dn, attrs}
			}
		case ldapwire.OpSearchReference:
		default:
			return first, ldapwire.Result{}, fmt.Errorf("the server answers a search with operation 0x%02x", m.Op)
		}
	}
	return first, ldapwire.Result{}, errors.New("the server sends more entries than were asked for")
}

// close ends the session politely, without waiting.
func (s *session) close() {
	_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = s.conn.Write(ldapwire.Unbind(s.nextID()))
	_ = s.conn.Close()
}

// govern makes every read and write on conn fail once ctx is done. The returned function
// ends that and lifts the deadline; it reports whether ctx was still alive.
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

// silent reports whether err means that nothing came back in time, which proves nothing.
func silent(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// without takes a secret out of a server's words, in case that it echoes what it was sent.
func without(words string, secret connsec.Secret) string {
	if secret.IsEmpty() {
		return words
	}
	return strings.ReplaceAll(words, secret.Reveal(), "REDACTED")
}

// describe renders an answer in one line, with the server's own words bounded.
func describe(r ldapwire.Result) string {
	s := fmt.Sprintf("result %d", r.Code)
	if name := resultName(r.Code); name != "" {
		s += " (" + name + ")"
	}
	if r.Diagnostic != "" {
		s += ": " + setting.OneLine(r.Diagnostic)
	}
	return s
}
