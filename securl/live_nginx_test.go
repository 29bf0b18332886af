package securl_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/tlscheck"
)

// A protected site and its XMPL server, played by nginx alone.
const (
	nginxSite = `
    default_type text/html;
    location = /spring/xmpcfg.js { return 200 "var xmpcfg = {access: { accessToken: 'aa_bb_cc', url: 'https://www.corp.example/XMPieXMPL_REST_API', circleProjectID:'bb', circleProjectName: 'S' }};"; }
    location = /spring/xmpcustom.js { return 200 "var xmpcustom = {\n\tloginUrl: 'login.html'\n}"; }
    location @wrong { default_type application/json; return 400 '{"ErrorCode":9,"DisplayMessage":"Unauthorized","RecipientID":"","ServiceToken":""}'; }
`
	nginxHardened = nginxSite + `
    location = /spring/login.html { add_header Set-Cookie "session=1; Path=/; Secure; HttpOnly; SameSite=Strict"; return 200 "<form xmp-signin><input type=password xmp-password></form>"; }
    location /XMPieXMPL_REST_API/ { try_files /none @wrong; }
    location = /XMPieXMPL_REST_API/v1/projects/auth/signIn { limit_req zone=signin burst=2 nodelay; limit_req_status 429; try_files /none @wrong; }
`
	nginxWeak = nginxSite + `
    location = /spring/login.html { add_header Set-Cookie "session=1; Path=/"; return 301 http://www.corp.example/login.html; }
    location /XMPieXMPL_REST_API/ { try_files /none @wrong; }
    location ~ /adorValues/context$ { add_header Access-Control-Allow-Origin $http_origin; add_header Access-Control-Allow-Credentials true; default_type application/json;
      return 200 '{"login":{"serviceToken":"1","recipientID":"Kai"},"result":{"First":"Kai","Last":""}}'; }
`
)

// TestLiveNginx: the probe against a web server that is not of this module, which throttles,
// sets cookies and allows origins with directives of its own.
func TestLiveNginx(t *testing.T) {
	realsrv.Need(t, "nginx")
	ca := testca.MustNew(t)
	probe := func(extra string) connsec.Report {
		leaf := ca.MustIssue(t, testca.Leaf{Names: []string{liveHost}})
		s := realsrv.Nginx{TLS: realsrv.Material(leaf.MustWriteFiles(t, t.TempDir(), "server")), Extra: extra, Zones: "limit_req_zone $binary_remote_addr zone=signin:1m rate=1r/m;"}.Start(t)
		l := securl.Live{URL: "https://" + liveHost + "/spring/", RecipientID: "Kai", Endpoint: tlscheck.Endpoint{Connect: s.HTTPS, Roots: ca.Pool()}}
		o, err := l.Observe(context.Background())
		require.NoError(t, err)
		return o.Judge()
	}
	r := probe(nginxHardened)
	ruletest.Expect(t, r, connsec.Pass, securl.RuleDataOpen, securl.RuleHTTPSOff, securl.RuleLoginURL, securl.RuleUnthrottled, securl.RuleCookieUnsafe, securl.RuleAnyOrigin)
	assert.Equal(t, "attempt 4 was answered with 429", r.Of(securl.RuleUnthrottled)[0].Detail)

	r = probe(nginxWeak)
	ruletest.Expect(t, r, connsec.Fail, securl.RuleDataOpen, securl.RuleLoginURL, securl.RuleCookieUnsafe, securl.RuleAnyOrigin)
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleUnthrottled)
	assert.Contains(t, r.Of(securl.RuleDataOpen)[0].Detail, "gave 1 values")
}
