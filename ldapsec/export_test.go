package ldapsec

import (
	"context"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ntlm"
)

// BindUnbound makes the NTLM bind of Dial without channel binding, or with one for another
// certificate, and returns the server's answer.
func (c Config) BindUnbound(ctx context.Context, wrong bool) (Answer, error) {
	conn, err := c.dialTLS(ctx, c.Servers[0], c.port(), wayLDAPS)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	domain, user := splitAccount(c.BindDN)
	client := ntlm.Client{User: user, Domain: domain, Hash: ntlm.Hash(c.Password.Reveal()), Rand: c.rand(), Now: c.now}
	if wrong {
		client.Binding = ntlm.BindingHash([]byte("tls-server-end-point:another certificate"))
	}
	return *answerOf(bindNTLM(newSession(conn), spnego, client)), nil
}

func secret(s string) connsec.Secret { return connsec.NewSecret(s) }

func ntlmUser(c Config, user string) ntlm.Client {
	return ntlm.Client{User: user, Hash: ntlm.Hash("pw"), Rand: c.rand(), Now: c.now}
}
