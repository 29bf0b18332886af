package ldapsec

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// against runs a server that answers each request with the next of the results.
func against(t *testing.T, results ...ldapwire.Result) *session {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, r := range results {
			m, err := ldapwire.Read(theirs, ldapwire.MaxMessage)
			if err != nil {
				return
			}
			if _, err := theirs.Write(ldapwire.Answer(m.ID, ldapwire.OpBindResponse, r)); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
		<-done
	})
	require.NoError(t, ours.SetDeadline(time.Now().Add(10*time.Second)))
	return newSession(ours)
}

// gss is a Kerberos client of two steps.
type gss struct {
	steps  int
	closed bool
	fails  error
}

func (g *gss) Init(context.Context, string, []byte) ([]byte, error) {
	return []byte("request"), g.fails
}

func (g *gss) Next([]byte) ([]byte, bool, error) {
	g.steps++
	return []byte{}, g.steps == 2, nil
}

func (g *gss) Close() error {
	g.closed = true
	return nil
}

func TestAKerberosBindEndsOnlyAfterTheServersProof(t *testing.T) {
	more := ldapwire.Result{Code: ldapwire.ResultSASLInProgress, Creds: []byte("x")}
	for name, tc := range map[string]struct {
		results []ldapwire.Result
		says    string
	}{
		"by the book":       {[]ldapwire.Result{more, more, {}}, ""},
		"success at once":   {[]ldapwire.Result{{}}, "before it has authenticated itself"},
		"success too early": {[]ldapwire.Result{more, {}}, "before it has authenticated itself"},
		"never ends":        {[]ldapwire.Result{more, more, more, more, more, more, more, more}, "does not come to an end"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gss{}
			_, err := bindGSS(context.Background(), against(t, tc.results...), g, "ldap/dc1", nil)
			if tc.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.says)
			}
			assert.True(t, g.closed, "the keys are forgotten")
		})
	}
	_, err := bindGSS(context.Background(), against(t), &gss{fails: errors.New("no ticket")}, "ldap/dc1", nil)
	assert.ErrorContains(t, err, "no ticket")
}

func TestAnNTLMBindTakesNoShortcut(t *testing.T) {
	for name, tc := range map[string]struct {
		by     carrier
		answer ldapwire.Result
		says   string
	}{
		"success without challenge": {spnego, ldapwire.Result{}, "before it was authenticated"},
		"junk for a challenge":      {spnego, ldapwire.Result{Code: ldapwire.ResultSASLInProgress, Creds: []byte("junk")}, "no SPNEGO token"},
		"junk by Sicily":            {sicily, ldapwire.Result{MatchedDN: "junk"}, "no challenge"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{BindDN: `CORP\svc`}
			_, user := splitAccount(c.BindDN)
			_, err := bindNTLM(against(t, tc.answer), tc.by, ntlmUser(c, user))
			assert.ErrorContains(t, err, tc.says)
		})
	}
}

func TestBindErrorsExplainAndKeepSecrets(t *testing.T) {
	c := Config{Password: secret("hunter2-long")}
	text := c.reason(ldapwire.Result{Code: 49, Diagnostic: "bad password hunter2-long\r\n for you, data 775, v1"})
	assert.Equal(t, "bad password REDACTED for you, data 775, v1 (the account is locked)", text)
	assert.Equal(t, "no reason given", c.reason(ldapwire.Result{Code: 49}))
	for data, hint := range map[string]string{
		"data 52e, v": "wrong account or password", "data 530,": "this time", "data 531,": "this machine", "data 532,": "expired",
		"data 533,": "disabled", "data 701,": "expired", "data 773,": "changed first", "80090346: x, data 35b": "channel binding",
	} {
		assert.Contains(t, bindHint(data), hint)
	}
	assert.Empty(t, bindHint("data 0, v4f7c"))
}

// A notice of disconnection has words of the server's too.
func TestEndOfTheSessionKeepsSecrets(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		_, _ = ldapwire.Read(theirs, ldapwire.MaxMessage)
		_, _ = theirs.Write(ldapwire.Answer(0, ldapwire.OpExtendedResponse, ldapwire.Result{Code: ldapwire.ResultUnavailable, Diagnostic: "bye, hunter2-long"}))
	}()
	c := Config{BindDN: "cn=svc", Password: secret("hunter2-long")}
	err := c.authenticate(t.Context(), newSession(ours), "dc1.corp.example", tls.ConnectionState{})
	require.ErrorContains(t, err, "the server ends the session: result 52 (unavailable): bye, REDACTED")
}
