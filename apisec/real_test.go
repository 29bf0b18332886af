package apisec_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPython has another implementation of TLS, HTTP, Basic, forms and JSON at the other end.
func TestPython(t *testing.T) {
	t.Parallel()
	python := realsrv.Need(t, "python3")
	script, err := filepath.Abs(filepath.Join("testdata", "token_server.py"))
	require.NoError(t, err)
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "server")
	const oddID, oddSecret = "a:b c/é+%&=\"", strong + "ü:+ %41&="
	for _, style := range []apisec.Style{apisec.Basic, apisec.Form, apisec.JSON} {
		t.Run(style.String(), func(t *testing.T) {
			t.Parallel()
			secretFile := filepath.Join(t.TempDir(), "secret")
			require.NoError(t, os.WriteFile(secretFile, []byte(oddSecret), 0o600))
			address := realsrv.Loopback + ":" + strconv.Itoa(realsrv.FreePort(t))
			realsrv.Start(t, realsrv.Cmd{
				Path: python, Args: []string{script, strings.TrimPrefix(address, realsrv.Loopback+":"), files.Chain, files.Key, oddID, secretFile, style.String()},
				TCP: []string{address}, Secrets: []string{oddSecret},
			})
			c := with(client(), func(c *apisec.Client) {
				c.ID, c.Secret, c.Style, c.Connect, c.Roots = oddID, connsec.NewSecret(oddSecret), style, address, ca.Pool()
				c.PlainPort, c.TryToken = closedPort(t), true
				c.AsOf, c.Created, c.Expires = time.Time{}, time.Now().AddDate(0, 0, -3), time.Now().AddDate(0, 0, 60)
			})
			web, err := c.HTTP(deadline(t))
			require.NoError(t, err)
			defer web.CloseIdleConnections()
			echo := func() (int, string) {
				req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, "https://"+host+":8093/echo", strings.NewReader("report"))
				require.NoError(t, err)
				return do(t, web, req)
			}
			status, body := echo()
			assert.Equal(t, 200, status)
			assert.JSONEq(t, `{"body":"report"}`, body)
			req, err := http.NewRequestWithContext(deadline(t), http.MethodPost, "https://"+host+":8093/revoke", nil)
			require.NoError(t, err)
			status, _ = do(t, web, req)
			require.Equal(t, 200, status)
			status, body = echo() // 401, a new token, and the same body again
			assert.Equal(t, 200, status)
			assert.JSONEq(t, `{"body":"report"}`, body)

			_, err = with(c, func(c *apisec.Client) { c.Secret = apisec.NewSecret() }).Token(deadline(t))
			var refused *apisec.TokenError
			require.ErrorAs(t, err, &refused)
			assert.True(t, refused.Refused())
			assert.EqualError(t, refused, fmt.Sprintf("apisec: %s:8093 answers 401 invalid_client", host))

			r, err := c.Probe(deadline(t))
			require.NoError(t, err)
			// What Python's OpenSSL does not have, and nothing else.
			failed := r.Failed(connsec.Low)
			for _, f := range failed {
				assert.Equal(t, tlscheck.RuleGroupClassical, f.Rule, "%s: %s", f.Rule.ID, f.Detail)
			}
			ruletest.Expect(t, r, connsec.Pass, apisec.RuleUnknownClientAccepted, apisec.RuleURLSecretAccepted, apisec.RuleSecretEchoed,
				apisec.RuleRefusalUnclear, apisec.RuleSecretRefused, apisec.RuleTokenCacheable, apisec.RuleTokenLongLived, apisec.RuleScopeGranted, apisec.RuleEndpointCleartext)
		})
	}
}
