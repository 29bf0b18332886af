package radiussec_test

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/radiussec"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

const host = "radius.corp.example"

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// own cuts a report down to the rules of this package.
func own(r connsec.Report) connsec.Report {
	var out []connsec.Finding
	for _, f := range r.Findings {
		if strings.HasPrefix(f.Rule.ID, "radius-") {
			out = append(out, f)
		}
	}
	r.Findings = out
	return r
}

func show(t testing.TB, r connsec.Report) {
	for _, f := range r.Findings {
		if f.Outcome != connsec.Pass && f.Outcome != connsec.NotApplicable {
			t.Logf("%-13s %-8s %s [%s] %s %v", f.Outcome, f.Severity, f.Rule.ID, f.Subject, f.Detail, f.Evidence)
		}
	}
}

// overUDP is a setting for a server at an address.
func overUDP(addr string, secret connsec.Secret) radiussec.Config {
	return radiussec.Config{
		Transport: radiussec.UDP,
		Servers:   []radiussec.Server{{Host: host, Connect: addr, Port: netip.MustParseAddrPort(addr).Port(), Secret: secret}},
		Timing:    radiussec.Timing{Initial: 250 * time.Millisecond, Total: 5 * time.Second},
	}
}

// unsignedAccepted tells, with FreeRADIUS's own client, whether a right password without
// Message-Authenticator is accepted.
func unsignedAccepted(t *testing.T, srv *realsrv.RADIUSServer) bool {
	t.Helper()
	attributes := fmt.Sprintf("User-Name=%s\nUser-Password=%s", srv.User, srv.Password.Reveal())
	_, err := realsrv.Run(t, realsrv.Cmd{
		Path: "/bin/sh",
		Args: []string{"-c", `printf '%s\n' "$1" | "$2" -x -r 1 -t 1 "$3" auth "$4"`, "sh", attributes, realsrv.Need(t, "radclient"), srv.Auth, srv.Secret.Reveal()},
	})
	return err == nil
}

func TestFreeRADIUSOverUDP(t *testing.T) {
	realsrv.Need(t, "freeradius")
	realsrv.Need(t, "radclient")
	t.Parallel()
	always := []*connsec.Rule{radiussec.RuleTransportUDP}
	tests := []struct {
		name            string
		trixie          bool
		posture         realsrv.FreeRADIUSPosture
		failed, unknown []*connsec.Rule
	}{
		{"3.2.1 strict", false, realsrv.FreeRADIUSStrict, []*connsec.Rule{radiussec.RuleMissingInReply}, nil},
		{"3.2.1 open", false, realsrv.FreeRADIUSOpen, []*connsec.Rule{radiussec.RuleMissingInReply, radiussec.RuleNotRequired, radiussec.RuleProxyState}, nil},
		{"3.2.7 strict", true, realsrv.FreeRADIUSStrict, nil, []*connsec.Rule{radiussec.RuleNotRequired, radiussec.RuleProxyState}},
		{"3.2.7 limit", true, realsrv.FreeRADIUSLimitProxyState, []*connsec.Rule{radiussec.RuleNotRequired}, nil},
		{"3.2.7 auto", true, realsrv.FreeRADIUSAuto, nil, []*connsec.Rule{radiussec.RuleNotRequired, radiussec.RuleProxyState}},
		{"3.2.7 open", true, realsrv.FreeRADIUSOpen, []*connsec.Rule{radiussec.RuleNotRequired, radiussec.RuleProxyState}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // most of the time passes waiting for requests to be dropped
			root := ""
			if tt.trixie {
				root = realsrv.Trixie(t, "freeradius")
			}
			srv := realsrv.FreeRADIUS{Posture: tt.posture, Root: root}.Start(t)
			c := overUDP(srv.Auth, srv.Secret)
			began := time.Now()
			report, err := c.Probe(deadline(t))
			require.NoError(t, err)
			t.Logf("probe: %v", time.Since(began))
			show(t, report)
			ruletest.ExpectFailed(t, own(report), append(tt.failed, always...)...)
			if tt.unknown != nil {
				ruletest.Expect(t, report, connsec.Inconclusive, tt.unknown...)
			}
			assert.Equal(t, tt.posture == realsrv.FreeRADIUSOpen || tt.posture == realsrv.FreeRADIUSLimitProxyState, unsignedAccepted(t, srv),
				"the probe has to leave a server in mode auto demanding")

			// The client: refused by the servers that do not sign, unless that is waived.
			if !tt.trixie {
				short := c
				short.Timing.Total = time.Second
				cl, err := short.Client(deadline(t))
				require.NoError(t, err)
				_, err = cl.Authenticate(deadline(t), srv.User, srv.Password)
				require.ErrorIs(t, err, radiussec.ErrUnsigned)
				c.MessageAuthenticator = radiussec.SigningOptional
				c.Waivers = []connsec.Waiver{{Rule: radiussec.RuleMessageAuthenticatorOff.ID, Reason: "the server is updated next week", Until: time.Now().Add(time.Hour)}}
			}
			authenticates(t, c, srv)
		})
	}
}

// authenticates logs in with the right and with a wrong password.
func authenticates(t *testing.T, c radiussec.Config, srv *realsrv.RADIUSServer) {
	t.Helper()
	cl, err := c.Client(deadline(t))
	require.NoError(t, err)
	defer func() { assert.NoError(t, cl.Close()) }()
	answer, err := cl.Authenticate(deadline(t), srv.User, srv.Password)
	require.NoError(t, err)
	assert.Equal(t, radius.CodeAccessAccept, answer.Code)
	assert.Equal(t, "hello "+srv.User, rfc2865.ReplyMessage_GetString(answer))
	answer, err = cl.Authenticate(deadline(t), srv.User, connsec.NewSecret("wrong"))
	require.NoError(t, err)
	assert.Equal(t, radius.CodeAccessReject, answer.Code)
	// CHAP, with the Request Authenticator as challenge (RFC 2865, 5.3).
	request := radius.New(radius.CodeAccessRequest, []byte("any"))
	require.NoError(t, rfc2865.UserName_SetString(request, srv.User))
	response := md5.Sum(slices.Concat([]byte{7}, []byte(srv.Password.Reveal()), request.Authenticator[:]))
	request.Add(rfc2865.CHAPPassword_Type, append([]byte{7}, response[:]...))
	answer, err = cl.Exchange(deadline(t), request)
	require.NoError(t, err)
	assert.Equal(t, radius.CodeAccessAccept, answer.Code)
	// More than 16 bytes, which are hidden block by block.
	answer, err = cl.Authenticate(deadline(t), "nobody", connsec.NewSecret(strings.Repeat("long", 32)))
	require.NoError(t, err)
	assert.Equal(t, radius.CodeAccessReject, answer.Code)
}

func TestFreeRADIUSWithTheWrongSecret(t *testing.T) {
	realsrv.Need(t, "freeradius")
	t.Parallel() // it waits for answers that do not come
	srv := realsrv.FreeRADIUS{Posture: realsrv.FreeRADIUSOpen}.Start(t)
	c := overUDP(srv.Auth, radiussec.NewSecret())
	c.Timing.Total = time.Second
	report, err := c.Probe(deadline(t))
	require.NoError(t, err)
	show(t, report)
	ruletest.Expect(t, report, connsec.Inconclusive, radiussec.RuleSecretWrong)
	ruletest.Expect(t, report, connsec.NotApplicable, radiussec.RuleNotRequired, radiussec.RuleMissingInReply)
}

func TestRadSecAgainstRealServers(t *testing.T) {
	realsrv.Need(t, "freeradius")
	realsrv.Need(t, "radsecproxy")
	t.Parallel()
	ca := testca.MustNew(t, testca.Options{RootKey: testca.RSA2048, IntermediateKey: testca.RSA2048})
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	server := realsrv.Material(ca.MustIssue(t, testca.Leaf{Names: []string{host}, EKU: both}).MustWriteFiles(t, t.TempDir(), "server"))
	client := ca.MustIssue(t, testca.Leaf{Names: []string{"client.corp.example"}, EKU: both[1:]}).TLS()
	for _, trixie := range []bool{false, true} {
		t.Run(fmt.Sprintf("trixie=%t", trixie), func(t *testing.T) {
			root := ""
			if trixie {
				root = realsrv.Trixie(t, "freeradius")
			}
			srv := realsrv.FreeRADIUS{TLS: server, Root: root}.Start(t)
			proxy := realsrv.RadSecProxy{TLS: server, Upstream: srv.TLS}.Start(t)
			for name, addr := range map[string]string{"freeradius": srv.TLS, "radsecproxy": proxy.TLS} {
				t.Run(name, func(t *testing.T) {
					c := radiussec.Config{
						Servers: []radiussec.Server{{Host: host, Connect: addr}},
						Roots:   ca.Pool(), ClientCertificates: []tls.Certificate{client},
						Timing: radiussec.Timing{Total: 5 * time.Second},
					}
					began := time.Now()
					report, err := c.Probe(deadline(t))
					require.NoError(t, err)
					t.Logf("probe: %v", time.Since(began))
					show(t, report)
					ruletest.ExpectFailed(t, own(report), radiussec.RuleTLSALPN)
					ruletest.Expect(t, report, connsec.Pass, radiussec.RuleTLSSilent, radiussec.RuleTLSClientUnasked, tlscheck.RuleUntrusted)
					authenticates(t, c, srv)

					c.ClientCertificates = nil
					cl, err := c.Client(deadline(t)) // over TLS 1.3 the refusal comes later
					if err == nil {
						_, err = cl.Authenticate(deadline(t), srv.User, srv.Password)
						assert.NoError(t, cl.Close())
					}
					assert.Error(t, err, "without a client certificate")
				})
			}
		})
	}
}
