//go:build matrix

package trap_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wneessen/go-mail"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/trap"
)

var smtpMatrix = []trap.SMTPPosture{
	trap.SMTPHonest, trap.SMTPStripping, trap.SMTPRefusing, trap.SMTPLure, trap.SMTPInjecting, trap.SMTPPlaintext,
	trap.SMTPExpired, trap.SMTPWrongName, trap.SMTPSelfSigned, trap.SMTPUntrusted,
}

// TestSMTPMatrix sends every client into every posture and prints what it did. It needs swaks,
// curl and Postfix.
//
//	go test -tags matrix ./trap -run SMTPMatrix -update
func TestSMTPMatrix(t *testing.T) {
	own := func(mode smtpsec.Mode) func(testing.TB, *trap.SMTP) error {
		return func(t testing.TB, s *trap.SMTP) error {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			c := smtpsec.Config{
				Host: "mail.corp.example", Mode: mode, User: "svc", Password: connsec.NewSecret(smtpPassword),
				Roots: s.Roots(), Dialer: toTrap(s.Addr()), Resolver: somewhere{},
			}
			client, err := c.Client(mail.WithTimeout(2 * time.Second))
			if err != nil {
				return err
			}
			m := mail.NewMsg()
			require.NoError(t, m.From("print@corp.example"))
			require.NoError(t, m.To("bob@corp.example"))
			m.SetBodyString(mail.TypeTextPlain, "one page")
			return client.DialAndSendWithContext(ctx, m)
		}
	}
	clients := []struct {
		name string
		run  func(testing.TB, *trap.SMTP) error
	}{
		{"net/smtp, STARTTLS if offered", func(_ testing.TB, s *trap.SMTP) error { return stdlib(s, false) }},
		{"net/smtp, STARTTLS always", func(_ testing.TB, s *trap.SMTP) error { return stdlib(s, true) }},
		{"go-mail, TLSOpportunistic, PLAIN-NOENC", func(_ testing.TB, s *trap.SMTP) error {
			return goMail(s, mail.TLSOpportunistic, mail.SMTPAuthPlainNoEnc)
		}},
		{"go-mail, TLSOpportunistic, no login", func(_ testing.TB, s *trap.SMTP) error { return goMail(s, mail.TLSOpportunistic, mail.SMTPAuthNoAuth) }},
		{"go-mail, TLSMandatory", func(_ testing.TB, s *trap.SMTP) error { return goMail(s, mail.TLSMandatory, mail.SMTPAuthPlain) }},
		{"swaks", func(t testing.TB, s *trap.SMTP) error { return swaks(t, s) }},
		{"swaks --tls-optional", func(t testing.TB, s *trap.SMTP) error { return swaks(t, s, "--tls-optional") }},
		{"swaks --tls", func(t testing.TB, s *trap.SMTP) error { return swaks(t, s, "--tls") }},
		{"curl", func(t testing.TB, s *trap.SMTP) error { return curl(t, s) }},
		{"curl --ssl", func(t testing.TB, s *trap.SMTP) error { return curl(t, s, "--ssl") }},
		{"curl --ssl-reqd", func(t testing.TB, s *trap.SMTP) error { return curl(t, s, "--ssl-reqd") }},
		{"curl --ssl-reqd --insecure", func(t testing.TB, s *trap.SMTP) error { return curl(t, s, "--ssl-reqd", "--insecure") }},
		{"smtpsec, STARTTLS", own(smtpsec.StartTLS)},
	}
	var table bytes.Buffer
	fmt.Fprint(&table, "| client |")
	for _, p := range smtpMatrix {
		fmt.Fprintf(&table, " %s |", p)
	}
	fmt.Fprint(&table, "\n|---|", strings.Repeat("---|", len(smtpMatrix)), "\n")
	for _, client := range clients {
		fmt.Fprintf(&table, "| %s |", client.name)
		for _, p := range smtpMatrix {
			s := trapFor(t, p)
			_ = client.run(t, s)
			require.NoError(t, s.Close())
			fmt.Fprintf(&table, " %s |", smtpOutcome(p, s.Observed()))
		}
		fmt.Fprint(&table, "\n")
	}
	table.WriteString(postfixRows(t))
	t.Log("\n" + table.String())
	if *update {
		const file, begin, end = "../docs/traps.md", "<!-- smtp matrix -->\n", "<!-- /smtp matrix -->"
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		before, rest, ok := strings.Cut(string(text), begin)
		require.True(t, ok)
		_, after, ok := strings.Cut(rest, end)
		require.True(t, ok)
		require.NoError(t, os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o644))
	}
}

func trapFor(t *testing.T, p trap.SMTPPosture) *trap.SMTP {
	s, err := trap.Options{Names: []string{"mail.corp.example", "localhost", "127.0.0.1"}, Timeout: 10 * time.Second}.SMTP(p)
	require.NoError(t, err)
	return s
}

// postfixRows has Postfix relay a message into every posture, at each level of TLS.
func postfixRows(t *testing.T) string {
	levels := []string{"may", "encrypt", "secure"}
	var transports, passwords, services, roots bytes.Buffer
	traps := map[string]*trap.SMTP{}
	for _, level := range levels {
		fmt.Fprintf(&services, "smtp-%s unix - - n - - smtp -o smtp_tls_security_level=%s\n", level, level)
		for _, p := range smtpMatrix {
			s := trapFor(t, p)
			domain := fmt.Sprintf("%s.%s.example", p, level)
			traps[domain] = s
			roots.Write(s.CA())
			_, port, err := net.SplitHostPort(s.Addr())
			require.NoError(t, err)
			fmt.Fprintf(&transports, "%s=smtp-%s:[localhost]:%s, ", domain, level, port)
			fmt.Fprintf(&passwords, "{ [localhost]:%s = svc:%s }, ", port, smtpPassword)
		}
	}
	ca := filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(ca, roots.Bytes(), 0o644))
	require.NoError(t, os.Chmod(filepath.Dir(ca), 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(ca)), 0o755))
	authority := testca.MustNew(t)
	files := authority.MustIssue(t, testca.Leaf{Names: []string{"mail.corp.example"}}).MustWriteFiles(t, t.TempDir(), "leaf")
	s := realsrv.Postfix{
		TLS: realsrv.Material(files),
		Extra: strings.Join([]string{
			"transport_maps = inline:{ " + strings.TrimSuffix(transports.String(), ", ") + " }",
			"smtp_sasl_auth_enable = yes", "smtp_sasl_password_maps = inline:{ " + strings.TrimSuffix(passwords.String(), ", ") + " }",
			"smtp_sasl_security_options = noanonymous", "smtp_tls_CAfile = " + ca, "smtp_host_lookup = native",
			"smtp_destination_concurrency_limit = 1", "smtp_connection_cache_on_demand = no",
		}, "\n"),
		Master: services.String(),
	}.Start(t)
	for domain := range traps {
		require.NoError(t, smtp.SendMail(s.NoTLS, nil, "print@corp.example", []string{"bob@" + domain}, []byte("Subject: scan\r\n\r\none page\r\n")))
	}
	require.Eventually(t, func() bool { return strings.Count(s.Log(), " status=") >= len(traps) }, 60*time.Second, 100*time.Millisecond, s.Log())
	var rows bytes.Buffer
	for _, level := range levels {
		fmt.Fprintf(&rows, "| Postfix, smtp_tls_security_level = %s |", level)
		for _, p := range smtpMatrix {
			one := traps[fmt.Sprintf("%s.%s.example", p, level)]
			require.NoError(t, one.Close())
			fmt.Fprintf(&rows, " %s |", smtpOutcome(p, one.Observed()))
		}
		fmt.Fprint(&rows, "\n")
	}
	return rows.String()
}

// smtpOutcome is the worst that happened on any connection.
func smtpOutcome(p trap.SMTPPosture, seen []trap.SMTPConnection) string {
	rank, worst := 0, "refused"
	note := func(r int, s string) {
		if r > rank {
			rank, worst = r, s
		}
	}
	for _, c := range seen {
		impostor := p >= trap.SMTPExpired && p <= trap.SMTPUntrusted
		switch {
		case c.PasswordInClear:
			note(9, "**password in clear**")
		case c.MessageInClear || c.MailInClear:
			note(8, "**mail in clear**")
		case c.TookInjected:
			note(7, "**injected**")
		case impostor && (c.Password || c.Mail):
			note(6, "**fooled**")
		case c.Message:
			note(1, "in TLS")
		}
	}
	return worst
}
