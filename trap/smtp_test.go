package trap_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/wneessen/go-mail"
)

func startSMTP(t testing.TB, p trap.SMTPPosture) *trap.SMTP {
	t.Helper()
	s, err := trap.Options{Timeout: 5 * time.Second}.SMTP(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// smtpSeen waits for n connections to end and returns what is known of all.
func smtpSeen(t testing.TB, s *trap.SMTP, n int) []trap.SMTPConnection {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, s.Await(ctx, n))
	return s.Observed()
}

const smtpPassword = "Not-A-Secret-1"

// stdlib sends as the documentation of net/smtp shows. strict makes it insist on STARTTLS.
func stdlib(s *trap.SMTP, strict bool) error {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		_ = conn.Close()
		return err
	}
	defer c.Close()
	if ok, _ := c.Extension("STARTTLS"); ok || strict {
		if err := c.StartTLS(&tls.Config{RootCAs: s.Roots(), ServerName: "localhost", MinVersion: tls.VersionTLS12}); err != nil {
			return err
		}
	}
	if ok, _ := c.Extension("AUTH"); ok {
		if err := c.Auth(smtp.PlainAuth("", "svc", smtpPassword, "localhost")); err != nil {
			return err
		}
	}
	if err := c.Mail("print@corp.example"); err != nil {
		return err
	}
	if err := c.Rcpt("bob@corp.example"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte("Subject: scan\r\n\r\none page\r\n")); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// goMail sends with go-mail.
func goMail(s *trap.SMTP, policy mail.TLSPolicy, auth mail.SMTPAuthType) error {
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	c, err := mail.NewClient("localhost", mail.WithPort(n), mail.WithTLSPolicy(policy), mail.WithTimeout(3*time.Second),
		mail.WithTLSConfig(&tls.Config{RootCAs: s.Roots(), ServerName: "localhost", MinVersion: tls.VersionTLS12}),
		mail.WithDialContextFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.Addr())
		}), mail.WithSMTPAuth(auth), mail.WithUsername("svc"), mail.WithPassword(smtpPassword))
	if err != nil {
		return err
	}
	m := mail.NewMsg()
	if err := m.From("print@corp.example"); err != nil {
		return err
	}
	if err := m.To("bob@corp.example"); err != nil {
		return err
	}
	m.SetBodyString(mail.TypeTextPlain, "one page")
	return c.DialAndSend(m)
}

// program runs swaks or curl against a trap.
func smtpProgram(t testing.TB, s *trap.SMTP, program string, args ...string) error {
	t.Helper()
	_, port, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "PORT", port)
	}
	_, err = realsrv.Run(t, realsrv.Cmd{Path: realsrv.Need(t, program), Args: args, Timeout: 20 * time.Second})
	return err
}

func swaks(t testing.TB, s *trap.SMTP, extra ...string) error {
	return smtpProgram(t, s, "swaks", append([]string{
		"--server", "127.0.0.1", "--port", "PORT", "--timeout", "3", "--from", "print@corp.example", "--to", "bob@corp.example",
		"--auth", "PLAIN", "--auth-user", "svc", "--auth-password", smtpPassword, "--body", "one page",
	}, extra...)...)
}

func curl(t testing.TB, s *trap.SMTP, extra ...string) error {
	dir := t.TempDir()
	message := filepath.Join(dir, "message")
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(message, []byte("Subject: scan\r\n\r\none page\r\n"), 0o600))
	require.NoError(t, os.WriteFile(ca, s.CA(), 0o600))
	return smtpProgram(t, s, "curl", append([]string{
		"--silent", "--max-time", "3", "smtp://localhost:PORT", "--ipv4", "--cacert", ca, "--mail-from", "print@corp.example",
		"--mail-rcpt", "bob@corp.example", "--upload-file", message, "--user", "svc:" + smtpPassword,
	}, extra...)...)
}

func TestTheHonestSMTPTrapServesEveryClient(t *testing.T) {
	for name, run := range map[string]func(testing.TB, *trap.SMTP) error{
		"net/smtp": func(_ testing.TB, s *trap.SMTP) error { return stdlib(s, true) },
		"go-mail":  func(_ testing.TB, s *trap.SMTP) error { return goMail(s, mail.TLSMandatory, mail.SMTPAuthLogin) },
		"swaks":    func(t testing.TB, s *trap.SMTP) error { return swaks(t, s, "--tls") },
		"curl":     func(t testing.TB, s *trap.SMTP) error { return curl(t, s, "--ssl-reqd") },
	} {
		t.Run(name, func(t *testing.T) {
			s := startSMTP(t, trap.SMTPHonest)
			require.NoError(t, run(t, s))
			r := smtpSeen(t, s, 1)[0]
			assert.True(t, r.StartTLS && r.Auth && r.Password && r.Mail && r.Message && r.TLS.Completed)
			assert.False(t, r.AuthInClear || r.PasswordInClear || r.MailInClear || r.MessageInClear || r.TookInjected)
			assert.Equal(t, trap.Trusted, r.TLS.Trust)
			data, err := json.Marshal(r)
			require.NoError(t, err)
			assert.NotContains(t, string(data), smtpPassword)
		})
	}
}

func TestSMTPSTrap(t *testing.T) {
	s, err := trap.NewSMTPS(trap.SMTPHonest)
	require.NoError(t, err)
	defer s.Close()
	assert.True(t, strings.HasPrefix(s.URL(), "smtps://127.0.0.1:"))
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: s.Roots(), ServerName: "server.trap.test", MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	c, err := smtp.NewClient(conn, "server.trap.test")
	require.NoError(t, err)
	ok, _ := c.Extension("STARTTLS")
	assert.False(t, ok, "within TLS there is none")
	require.NoError(t, c.Auth(smtp.PlainAuth("", "svc", smtpPassword, "server.trap.test")))
	require.NoError(t, c.Quit())
	r := smtpSeen(t, s, 1)[0]
	assert.True(t, r.Password && r.ClosedByClient)
	assert.False(t, r.PasswordInClear || r.StartTLS)
}

func TestCarelessSMTPClientsAreCaught(t *testing.T) {
	t.Run("goes on without STARTTLS", func(t *testing.T) {
		s := startSMTP(t, trap.SMTPStripping)
		require.NoError(t, goMail(s, mail.TLSOpportunistic, mail.SMTPAuthPlainNoEnc))
		r := smtpSeen(t, s, 1)[0]
		assert.True(t, r.PasswordInClear && r.MailInClear && r.MessageInClear)
		assert.Nil(t, r.TLS)
	})
	t.Run("takes an injected offer for the server's", func(t *testing.T) {
		s := startSMTP(t, trap.SMTPInjecting)
		conn, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("EHLO a\r\nSTARTTLS\r\n"))
		require.NoError(t, err)
		var got string
		for !strings.Contains(got, "250 AUTH PLAIN LOGIN\r\n") { // in clear
			b := make([]byte, 1024)
			n, err := conn.Read(b)
			require.NoError(t, err, got)
			got += string(b[:n])
		}
		inside := tls.Client(conn, &tls.Config{RootCAs: s.Roots(), ServerName: "localhost", MinVersion: tls.VersionTLS12})
		_, err = inside.Write([]byte("EHLO a\r\nAUTH PLAIN AHN2YwBwYXNzd29yZA==\r\n"))
		require.NoError(t, err)
		require.NoError(t, inside.Close())
		r := smtpSeen(t, s, 1)[0]
		assert.True(t, r.TookInjected && r.Password)
		assert.False(t, r.PasswordInClear)
	})
	t.Run("logs in before it is asked to begin TLS", func(t *testing.T) {
		s := startSMTP(t, trap.SMTPLure)
		require.NoError(t, goMail(s, mail.NoTLS, mail.SMTPAuthLoginNoEnc))
		assert.Equal(t, "LOGIN", smtpSeen(t, s, 1)[0].Mechanism)
		assert.True(t, s.Observed()[0].PasswordInClear)
	})
}

func TestCarefulSMTPClientsAreNot(t *testing.T) {
	for _, p := range []trap.SMTPPosture{
		trap.SMTPExpired, trap.SMTPWrongName, trap.SMTPSelfSigned, trap.SMTPUntrusted, trap.SMTPStripping, trap.SMTPRefusing, trap.SMTPPlaintext, trap.SMTPInjecting,
	} {
		t.Run(p.String(), func(t *testing.T) {
			s := startSMTP(t, p)
			err := stdlib(s, true)
			r := smtpSeen(t, s, 1)[0]
			assert.False(t, r.Password || r.MailInClear || r.MessageInClear || r.TookInjected)
			if p != trap.SMTPInjecting { // what was injected is dropped, and the true server goes on
				require.Error(t, err)
				assert.False(t, r.Mail)
			}
		})
	}
}

func TestSMTPPostureNames(t *testing.T) {
	for _, p := range trap.SMTPPostures() {
		again, err := trap.ParseSMTPPosture(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, again)
	}
	_, err := trap.ParseSMTPPosture("x")
	require.ErrorContains(t, err, "honest")
	_, err = trap.NewSMTP(99)
	require.Error(t, err)
}

func TestSMTPTrapsEndWithTheirTime(t *testing.T) {
	ended := atOnce(trap.SMTPPostures(), func(p trap.SMTPPosture) error {
		s, err := trap.Options{Timeout: 200 * time.Millisecond}.SMTP(p)
		if err != nil {
			return err
		}
		conn, err := net.Dial("tcp", s.Addr())
		if err == nil {
			defer conn.Close()
			_, _ = conn.Write([]byte("EHLO a\r\nSTARTTLS\r\n"))
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			err = s.Await(ctx, 1)
		}
		return errors.Join(err, s.Close())
	})
	for p, err := range ended {
		assert.NoError(t, err, p)
	}
}
