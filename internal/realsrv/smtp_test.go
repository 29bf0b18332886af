package realsrv_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

// swaks sends a message with the client of that name and returns what it said and its exit
// status.
func swaks(t *testing.T, addr string, extra ...string) (string, int) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	assert.NoError(t, err)
	args := append([]string{"--server", host, "--port", port, "--helo", "client.corp.example", "--timeout", "20",
		"--from", "bob@corp.example", "--to", "carol@corp.example", "--body", "hello", "--auth-hide-password"}, extra...)
	out, err := realsrv.Run(t, realsrv.Cmd{Path: realsrv.Need(t, "swaks"), Args: args})
	return out, status(t, out, err)
}

// swaks's exit statuses
const (
	sent        = 0
	refusedMail = 23
	refusedAuth = 28
	noTLS       = 29
)

func TestPostfix(t *testing.T) {
	realsrv.Need(t, "postfix")
	m := material(t, testca.Leaf{Names: []string{"mail.corp.example"}})
	srv := realsrv.Postfix{TLS: m}.Start(t)
	tests := []struct {
		name               string
		addr               string
		clear, auth, after int // mail in the clear, with a login in the clear, with a login after STARTTLS
	}{
		{"strict", srv.Strict, refusedMail, refusedAuth, sent},
		{"auth after TLS", srv.AuthAfterTLS, sent, refusedAuth, sent},
		{"opportunistic", srv.Opportunistic, sent, sent, sent},
		{"no TLS", srv.NoTLS, sent, sent, noTLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { submit(t, tt.addr, srv.User, srv.Password, tt.clear, tt.auth, tt.after) })
	}
	t.Run("implicit", func(t *testing.T) { implicit(t, srv.Implicit, srv.User, srv.Password) })
	t.Run("versions", func(t *testing.T) {
		for addr, old := range map[string]bool{srv.Strict: false, srv.AuthAfterTLS: false, srv.Opportunistic: true, srv.OldTLS: true} {
			out, err := client(t, "openssl", append([]string{"s_client", "-connect", addr, "-starttls", "smtp", "-tls1_1"}, oldTLS...)...)
			assert.Equal(t, old, err == nil, out)
			out, err = handshake(t, addr, m.CA, "-starttls", "smtp", "-verify_hostname", "mail.corp.example")
			assert.Equal(t, addr != srv.OldTLS, err == nil, out)
		}
		out, err := client(t, "openssl", append([]string{"s_client", "-connect", srv.Implicit, "-tls1_1"}, oldTLS...)...)
		assert.Error(t, err, out)
	})
}

func submit(t *testing.T, addr, user string, password connsec.Secret, clear, auth, after int) {
	t.Helper()
	out, code := swaks(t, addr)
	assert.Equal(t, clear, code, out)
	login := []string{"--auth", "PLAIN", "--auth-user", user, "--auth-password", password.Reveal()}
	out, code = swaks(t, addr, login...)
	assert.Equal(t, auth, code, out)
	out, code = swaks(t, addr, append(login, "--tls")...)
	assert.Equal(t, after, code, out)
	if after == sent {
		out, code = swaks(t, addr, "--tls", "--auth", "LOGIN", "--auth-user", user, "--auth-password", "wrong")
		assert.Equal(t, refusedAuth, code, out)
	}
}

func implicit(t *testing.T, addr, user string, password connsec.Secret) {
	t.Helper()
	out, code := swaks(t, addr, "--tls-on-connect", "--auth", "PLAIN", "--auth-user", user, "--auth-password", password.Reveal())
	assert.Equal(t, sent, code, out)
}

func TestExim(t *testing.T) {
	realsrv.Need(t, "exim4")
	m := material(t, testca.Leaf{Names: []string{"mail.corp.example"}})
	srv := realsrv.Exim{TLS: m}.Start(t)
	submit(t, srv.StartTLS, srv.User, srv.Password, sent, refusedAuth, sent)
	implicit(t, srv.Implicit, srv.User, srv.Password)
	out, err := handshake(t, srv.StartTLS, m.CA, "-starttls", "smtp", "-verify_hostname", "mail.corp.example")
	assert.NoError(t, err, out)
	out, err = client(t, "openssl", append([]string{"s_client", "-connect", srv.StartTLS, "-starttls", "smtp", "-tls1_1"}, oldTLS...)...)
	assert.Error(t, err, out)
}

func TestOpenSMTPD(t *testing.T) {
	root := realsrv.Trixie(t, "smtpd")
	m := material(t, testca.Leaf{Names: []string{"mail.corp.example"}})
	srv := realsrv.OpenSMTPD{TLS: m, Root: root}.Start(t)
	submit(t, srv.StartTLS, srv.User, srv.Password, sent, refusedAuth, sent)
	submit(t, srv.Strict, srv.User, srv.Password, refusedMail, refusedAuth, sent)
	submit(t, srv.NoTLS, srv.User, srv.Password, sent, refusedAuth, noTLS)
	implicit(t, srv.Implicit, srv.User, srv.Password)
	out, err := handshake(t, srv.StartTLS, m.CA, "-starttls", "smtp", "-verify_hostname", "mail.corp.example")
	assert.NoError(t, err, out)
	out, err = client(t, "openssl", append([]string{"s_client", "-connect", srv.StartTLS, "-starttls", "smtp", "-tls1_1"}, oldTLS...)...)
	assert.Error(t, err, out)
}
