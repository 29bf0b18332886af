package smtpsec_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/wneessen/go-mail"
)

func message(t testing.TB) *mail.Msg {
	t.Helper()
	m := mail.NewMsg()
	require.NoError(t, m.From("print@corp.example"))
	require.NoError(t, m.To("bob@corp.example"))
	m.Subject("scan")
	m.SetBodyString(mail.TypeTextPlain, "one page")
	return m
}

func send(ctx context.Context, t testing.TB, c smtpsec.Config, more ...mail.Option) error {
	t.Helper()
	client, err := c.Client(more...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, message(t))
}

// ended waits until n clients have left the trap, and returns what they did.
func ended(t testing.TB, s *trap.SMTP, n int) []trap.SMTPConnection {
	t.Helper()
	require.NoError(t, s.Await(deadline(t), n))
	return s.Observed()
}

func TestTheClientSendsThroughAnHonestServer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		spring func(testing.TB, trap.SMTPPosture) (*trap.SMTP, smtpsec.Config)
	}{{"implicit", springTLS}, {"STARTTLS", spring}} {
		for _, method := range []smtpsec.Method{smtpsec.Auto, smtpsec.Plain, smtpsec.Login} {
			t.Run(tc.name+" "+method.String(), func(t *testing.T) {
				s, c := tc.spring(t, trap.SMTPHonest)
				c.Method = method
				require.NoError(t, send(deadline(t), t, c))
				r := ended(t, s, 1)[0]
				assert.True(t, r.Message && r.Password && r.Auth)
				assert.False(t, r.MessageInClear || r.PasswordInClear || r.AuthInClear || r.MailInClear)
				assert.Equal(t, trap.Trusted, r.TLS.Trust)
			})
		}
	}
	t.Run("without login", func(t *testing.T) {
		s, c := springTLS(t, trap.SMTPHonest)
		c.User, c.Password = "", connsec.Secret{}
		require.NoError(t, send(deadline(t), t, c))
		assert.False(t, ended(t, s, 1)[0].Auth)
	})
	t.Run("step by step", func(t *testing.T) {
		s, c := spring(t, trap.SMTPHonest)
		conn, err := c.Dial(deadline(t))
		require.NoError(t, err)
		state, err := conn.GetTLSConnectionState()
		require.NoError(t, err)
		assert.Equal(t, host, state.ServerName)
		require.NoError(t, conn.Quit())
		assert.True(t, ended(t, s, 1)[0].Password)
	})
}

// hostile are the postures in which nothing of worth may reach the server.
var hostile = []trap.SMTPPosture{
	trap.SMTPExpired, trap.SMTPWrongName, trap.SMTPSelfSigned, trap.SMTPUntrusted, trap.SMTPStripping, trap.SMTPRefusing,
	trap.SMTPInjecting, trap.SMTPPlaintext, trap.SMTPEarlyClose, trap.SMTPNotSMTP,
}

func TestTheClientFallsIntoNoTrap(t *testing.T) {
	for _, posture := range hostile {
		for _, implicit := range []bool{true, false} {
			if (posture == trap.SMTPRefusing || posture == trap.SMTPInjecting) && implicit {
				continue // there is no STARTTLS to refuse, or to inject behind
			}
			t.Run(fmt.Sprintf("%s implicit=%t", posture, implicit), func(t *testing.T) {
				for name, attempt := range map[string]func(context.Context, smtpsec.Config) error{
					"client": func(ctx context.Context, c smtpsec.Config) error {
						return send(ctx, t, c, mail.WithTimeout(2*time.Second))
					},
					"dial": func(ctx context.Context, c smtpsec.Config) error {
						conn, err := c.Dial(ctx)
						if err == nil {
							_ = conn.Close()
						}
						return err
					},
					// Options, and setters afterwards, that would undo TLS.
					"careless": func(ctx context.Context, c smtpsec.Config) error {
						client, err := c.Client(mail.WithTLSPortPolicy(mail.NoTLS), mail.WithSSLPort(true), mail.WithTimeout(2*time.Second))
						require.NoError(t, err)
						client.SetTLSPolicy(mail.TLSOpportunistic)
						client.SetSMTPAuth(mail.SMTPAuthPlainNoEnc)
						client.SetUsername("svc")
						client.SetPassword(secret)
						return client.DialAndSendWithContext(ctx, message(t))
					},
				} {
					s, c := spring(t, posture)
					if implicit {
						s, c = springTLS(t, posture)
					}
					ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
					defer cancel()
					err := attempt(ctx, c)
					require.Error(t, err, name)
					assert.NotContains(t, err.Error(), secret)
					for _, r := range ended(t, s, 1) {
						assert.False(t, r.Password || r.Mail || r.Message || r.Auth, "%s: %+v", name, r)
						assert.False(t, r.TookInjected)
					}
				}
			})
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	for _, posture := range []trap.SMTPPosture{
		trap.SMTPStalled, trap.SMTPStalledHandshake, trap.SMTPEndlessGreeting, trap.SMTPEndlessReply, trap.SMTPOversize,
	} {
		t.Run(posture.String(), func(t *testing.T) {
			t.Parallel()
			for _, trapOf := range []func(testing.TB, trap.SMTPPosture) (*trap.SMTP, smtpsec.Config){spring, springTLS} {
				s, c := trapOf(t, posture)
				ctx := short(t)
				_, err := c.Dial(ctx)
				require.Error(t, err)
				require.NoError(t, s.Await(deadline(t), 1), "the connection is closed")
				err = send(short(t), t, c)
				require.Error(t, err)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		_, c := spring(t, trap.SMTPStalled)
		ctx, cancel := context.WithCancelCause(context.Background())
		why := errors.New("the page was closed")
		time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
		_, err := c.Dial(ctx)
		assert.ErrorIs(t, err, why)
	})
}

func TestTheClientRefusesUnsafeSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*smtpsec.Config)
		rule   *connsec.Rule
	}{
		"plaintext":       {func(c *smtpsec.Config) { c.Mode = smtpsec.Plaintext }, smtpsec.RuleCleartext},
		"if available":    {func(c *smtpsec.Config) { c.Mode = smtpsec.Opportunistic }, smtpsec.RuleStartTLSOptional},
		"any certificate": {func(c *smtpsec.Config) { c.AnyCertificate = true }, smtpsec.RuleCertificateNotVerified},
		"address":         {func(c *smtpsec.Config) { c.Host = "127.0.0.1" }, smtpsec.RuleName},
	} {
		t.Run(name, func(t *testing.T) {
			c := sound()
			tc.change(&c)
			_, err := c.Client()
			require.ErrorIs(t, err, tc.rule)
			_, err = c.Dial(deadline(t))
			require.ErrorIs(t, err, tc.rule)
			for _, f := range c.Validate().Failed(connsec.Info) {
				c.Waivers = append(c.Waivers, connsec.Waiver{Rule: f.Rule.ID, Reason: "test", Until: time.Now().Add(time.Hour)})
			}
			_, err = c.Client()
			require.Error(t, err, "no waiver makes this safe")
		})
	}
	for want, change := range map[string]func(*smtpsec.Config){
		"incomplete":    func(c *smtpsec.Config) { c.Password = connsec.Secret{} },
		"name for EHLO": func(c *smtpsec.Config) { c.HELO = "a b" },
	} {
		c := sound()
		change(&c)
		_, err := c.Client()
		assert.ErrorContains(t, err, want)
	}
}

func TestAMechanismThatIsNotOfferedIsAnError(t *testing.T) {
	for _, method := range []smtpsec.Method{smtpsec.SCRAMSHA256, smtpsec.XOAuth2, smtpsec.CRAMMD5} {
		s, c := springTLS(t, trap.SMTPHonest)
		c.Method = method
		require.ErrorContains(t, send(deadline(t), t, c), "does not offer "+method.String())
		assert.False(t, ended(t, s, 1)[0].Auth)
	}
	_, c := springTLS(t, trap.SMTPShrinking)
	require.ErrorContains(t, send(deadline(t), t, c), "offers none of SCRAM-SHA-256, PLAIN, LOGIN")
}

func TestAnUnknownAuthorityIsExplained(t *testing.T) {
	_, c := springTLS(t, trap.SMTPUntrusted)
	_, err := c.Dial(deadline(t))
	require.ErrorContains(t, err, "add the issuing CA's certificate to the roots")
	_, c = spring(t, trap.SMTPInjecting)
	_, err = c.Dial(deadline(t))
	require.ErrorContains(t, err, "sends bytes behind its STARTTLS answer")
	assert.NotErrorIs(t, err, io.EOF)
}
