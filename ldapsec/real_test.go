package ldapsec_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/ldapsec"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// network stands in for DNS and for ports: names resolve to a loopback address, and standard
// ports lead to the free ones on which the test's servers listen.
type network struct {
	ports map[string]string // "389" → "127.0.0.1:41389"
	srv   []*net.SRV
	err   error
}

func (n network) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, n.err
}

func (n network) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if n.srv == nil && n.err == nil {
		return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return "_" + service + "._" + proto + "." + name, n.srv, n.err
}

func (n network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if to, ok := n.ports[port]; ok {
		address = to
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

const host = "dc1.corp.example"

// within a test, nothing takes longer than this.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// config is a setting for a server with the two ports.
func config(ca *testca.CA, plain, secure string) ldapsec.Config {
	n := network{ports: map[string]string{"389": plain, "636": secure}}
	return ldapsec.Config{Servers: []string{host}, Roots: ca.Pool(), Dialer: n, Resolver: n}
}

// own cuts a report down to the rules of this package.
func own(r connsec.Report) connsec.Report {
	var out []connsec.Finding
	for _, f := range r.Findings {
		if strings.HasPrefix(f.Rule.ID, "ldap-") {
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

func TestSlapd(t *testing.T) {
	realsrv.Need(t, "slapd")
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "server")
	tests := map[string]struct {
		server realsrv.Slapd
		failed []*connsec.Rule
	}{
		"open": {realsrv.Slapd{Posture: realsrv.SlapdOpen}, []*connsec.Rule{
			ldapsec.RuleCleartextBindAccepted, ldapsec.RuleAnonymousSearch, ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak,
		}},
		"anonymous binds disallowed": {realsrv.Slapd{Posture: realsrv.SlapdNoAnonymous}, []*connsec.Rule{
			ldapsec.RuleStartTLSOffered, // without a root DSE, result 49 to a bind in clear does not tell
		}},
		"simple binds need TLS": {realsrv.Slapd{Posture: realsrv.SlapdSimpleBind}, []*connsec.Rule{
			ldapsec.RuleAnonymousSearch, ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak,
		}},
		"everything needs protection": {realsrv.Slapd{Posture: realsrv.SlapdSSF}, []*connsec.Rule{
			ldapsec.RuleAnonymousSearch, ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak,
		}},
		"default search base": {realsrv.Slapd{Posture: realsrv.SlapdTLS, Extra: `defaultsearchbase "dc=corp,dc=example"`}, []*connsec.Rule{
			ldapsec.RuleAnonymousSearch, ldapsec.RuleNullBaseSearch, ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak,
		}},
		"hardened": {realsrv.Slapd{Posture: realsrv.SlapdTLS, Extra: "disallow bind_anon\nrequire authc"}, []*connsec.Rule{
			ldapsec.RuleStartTLSOffered,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.server.TLS = realsrv.Material(files)
			srv := tt.server.Start(t)
			c := config(ca, srv.LDAP, srv.LDAPS)
			c.BaseDN, c.BindDN, c.Password = srv.BaseDN, srv.BindDN, srv.Password
			begin := time.Now()
			report, err := c.Probe(deadline(t))
			require.NoError(t, err)
			t.Logf("probe: %v", time.Since(begin))
			show(t, report)
			ruletest.ExpectFailed(t, own(report), tt.failed...)
			ruletest.Expect(t, report, connsec.Pass, ldapsec.RuleStartTLSStripped)

			conn, err := c.Dial(deadline(t))
			require.NoError(t, err)
			defer conn.Close()
			res, err := conn.Search(ldap.NewSearchRequest(srv.BaseDN, ldap.ScopeWholeSubtree, 0, 0, 0, false, "(cn=svc)", nil, nil))
			require.NoError(t, err)
			require.Len(t, res.Entries, 1)
			who, err := conn.WhoAmI(nil)
			require.NoError(t, err)
			assert.Equal(t, "dn:"+srv.BindDN, who.AuthzID)
			state, ok := conn.TLSConnectionState()
			assert.True(t, ok)
			assert.NotEmpty(t, state.VerifiedChains)
		})
	}
}

func TestSamba(t *testing.T) {
	realsrv.Need(t, "samba")
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{realsrv.SambaHost}}).MustWriteFiles(t, t.TempDir(), "dc")
	always := []*connsec.Rule{ldapsec.RuleStartTLSOffered, ldapsec.RuleRootDSELeak}
	tests := []struct {
		name    string
		trixie  bool
		mode    realsrv.SambaStrongAuth
		failed  []*connsec.Rule
		ntlm    string // what comes of a bind with channel binding; empty: success
		unbound string // and without
	}{
		{"4.17 yes", false, realsrv.SambaStrongAuthYes, nil, "Sign or Seal are required", "Sign or Seal are required"},
		{"4.17 over TLS", false, realsrv.SambaStrongAuthSASLOverTLS, []*connsec.Rule{ldapsec.RuleChannelBinding}, "", ""},
		{"4.17 no", false, realsrv.SambaStrongAuthNo, []*connsec.Rule{ldapsec.RuleChannelBinding, ldapsec.RuleSigningNotRequired, ldapsec.RuleCleartextBindAccepted}, "", ""},
		{"4.22 yes", true, realsrv.SambaStrongAuthYes, nil, "", "80090346"},
		{"4.22 over TLS", true, realsrv.SambaStrongAuthSASLOverTLS, []*connsec.Rule{ldapsec.RuleChannelBinding}, "", ""},
		{"4.22 no", true, realsrv.SambaStrongAuthNo, []*connsec.Rule{ldapsec.RuleChannelBinding, ldapsec.RuleSigningNotRequired, ldapsec.RuleCleartextBindAccepted}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := ""
			if tt.trixie {
				root = realsrv.Trixie(t, "samba")
			}
			srv := realsrv.Samba{TLS: realsrv.Material(files), StrongAuth: tt.mode, Root: root}.Start(t)
			c := config(ca, srv.LDAP, srv.LDAPS)
			begin := time.Now()
			report, err := c.Probe(deadline(t))
			require.NoError(t, err)
			t.Logf("probe: %v", time.Since(begin))
			show(t, report)
			ruletest.ExpectFailed(t, own(report), append(tt.failed, append(always, ldapsec.RuleAnonymousBind)...)...)
			ruletest.Expect(t, report, connsec.Pass, ldapsec.RuleStartTLSStripped)

			c.Password = srv.Password
			search := func(method ldapsec.Method, account string) error {
				c := c
				c.Method, c.BindDN = method, account
				conn, err := c.Dial(deadline(t))
				if err != nil {
					return err
				}
				defer conn.Close()
				res, err := conn.Search(ldap.NewSearchRequest(realsrv.SambaBaseDN, ldap.ScopeWholeSubtree, 0, 0, 0, false, "(sAMAccountName="+srv.User+")", nil, nil))
				if err == nil {
					assert.Len(t, res.Entries, 1)
				}
				return err
			}
			require.NoError(t, search(ldapsec.Simple, srv.User+"@corp.example"))
			for _, account := range []string{realsrv.SambaDomain + `\` + srv.User, srv.User + "@corp.example"} {
				if err := search(ldapsec.NTLM, account); tt.ntlm == "" {
					require.NoError(t, err, account)
				} else {
					require.ErrorContains(t, err, tt.ntlm, account)
				}
			}
			c.BindDN = realsrv.SambaDomain + `\` + srv.User
			for _, wrong := range []bool{false, true} {
				a, err := c.BindUnbound(deadline(t), wrong)
				require.NoError(t, err)
				switch want := tt.unbound; {
				case wrong && tt.trixie: // 4.22 checks whatever binding it is shown
					assert.Contains(t, a.Diagnostic, "80090346")
				case want == "":
					assert.Zero(t, a.Code, "wrong=%t: %s", wrong, a)
				default:
					assert.Contains(t, a.Diagnostic, want)
				}
			}
			c.Password = connsec.NewSecret("not it")
			err = search(ldapsec.NTLM, c.BindDN)
			assert.True(t, ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials), "%v", err)
		})
	}
}

// TestSlapdsBehindOneName holds that a hardened server does not speak for the open one beside it.
func TestSlapdsBehindOneName(t *testing.T) {
	realsrv.Need(t, "slapd")
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "server")
	hard := realsrv.Slapd{TLS: realsrv.Material(files), Posture: realsrv.SlapdSimpleBind}.Start(t)
	open := realsrv.Slapd{TLS: realsrv.Material(files), Posture: realsrv.SlapdOpen}.Start(t)
	n := byAddress{
		addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
		to: map[string]string{
			"192.0.2.1:389": hard.LDAP, "192.0.2.1:636": hard.LDAPS, "192.0.2.2:389": open.LDAP, "192.0.2.2:636": open.LDAPS,
		},
	}
	o, err := ldapsec.Config{Servers: []string{host}, Roots: ca.Pool(), Dialer: n, Resolver: n}.Observe(deadline(t))
	require.NoError(t, err)
	assert.Equal(t, map[string]connsec.Outcome{
		host + " [192.0.2.1]": connsec.Pass, host + " [192.0.2.2]": connsec.Fail,
	}, outcomes(o.Judge(), ldapsec.RuleCleartextBindAccepted))
}

// TestSlapdBehindAStripper puts a man in the middle of the port without TLS: he changes the OID of
// START TLS in every message to one that nobody knows, both ways.
func TestSlapdBehindAStripper(t *testing.T) {
	realsrv.Need(t, "slapd")
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "server")
	srv := realsrv.Slapd{TLS: realsrv.Material(files), Posture: realsrv.SlapdOpen}.Start(t)
	between := stripper(t, srv.LDAP)
	o, err := config(ca, between, srv.LDAPS).Observe(deadline(t))
	require.NoError(t, err)
	r := o.Judge()
	ruletest.Expect(t, r, connsec.Fail, ldapsec.RuleStartTLSStripped, ldapsec.RuleCleartextBindAccepted)
	ruletest.Expect(t, r, connsec.Inconclusive, ldapsec.RuleStartTLSOffered)
}

// stripper listens and leads to another address, without START TLS.
func stripper(t *testing.T, to string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	pass := func(from, to net.Conn) {
		defer to.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			if _, err := to.Write(bytes.ReplaceAll(b[:n], []byte("1.3.6.1.4.1.1466.20037"), []byte("1.3.6.1.4.1.1466.99999"))); err != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			wg.Go(func() { pass(client, server) })
			wg.Go(func() { pass(server, client) })
		}
	})
	t.Cleanup(func() {
		assert.NoError(t, l.Close())
		wg.Wait()
	})
	return l.Addr().String()
}

func TestExternalAgainstSlapd(t *testing.T) {
	realsrv.Need(t, "slapd")
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "server")
	srv := realsrv.Slapd{TLS: realsrv.Material(files), Posture: realsrv.SlapdTLS, Extra: "TLSVerifyClient demand"}.Start(t)
	client := ca.MustIssue(t, testca.Leaf{Names: []string{"app.corp.example"}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	c := config(ca, srv.LDAP, srv.LDAPS)
	c.Method, c.ClientCertificates = ldapsec.External, []tls.Certificate{client.TLS()}
	conn, err := c.Dial(deadline(t))
	require.NoError(t, err)
	defer conn.Close()
	who, err := conn.WhoAmI(nil)
	require.NoError(t, err)
	assert.Equal(t, "dn:cn=app.corp.example", who.AuthzID)

	c.ClientCertificates = nil
	_, err = c.Dial(deadline(t))
	assert.Error(t, err)
}

// TestLdapsearchAgreesOnClearBinds asks the question behind the verdict of cleartext binds with
// an independent client.
func TestLdapsearchAgreesOnClearBinds(t *testing.T) {
	program := realsrv.Need(t, "ldapsearch")
	realsrv.Need(t, "slapd")
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "server")
	for posture, want := range map[realsrv.SlapdPosture]struct {
		status  int
		outcome connsec.Outcome
	}{
		realsrv.SlapdOpen: {0, connsec.Fail}, realsrv.SlapdSimpleBind: {13, connsec.Pass},
		realsrv.SlapdSSF: {13, connsec.Pass}, realsrv.SlapdTLS: {13, connsec.Pass},
		realsrv.SlapdNoAnonymous: {0, connsec.Inconclusive}, // it does take good credentials, but nothing tells without them
	} {
		srv := realsrv.Slapd{TLS: realsrv.Material(files), Posture: posture}.Start(t)
		out, err := realsrv.Run(t, realsrv.Cmd{
			Path: program, Args: []string{"-x", "-D", srv.BindDN, "-w", srv.Password.Reveal(), "-H", srv.PlainURL, "-s", "base", "-b", srv.BaseDN},
			Secrets: []string{srv.Password.Reveal()},
		})
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		assert.Equal(t, want.status, code, "%s", out)
		o, err := config(ca, srv.LDAP, srv.LDAPS).Observe(deadline(t))
		require.NoError(t, err)
		assert.Equal(t, want.outcome, o.Judge().Of(ldapsec.RuleCleartextBindAccepted)[0].Outcome, "posture %d", posture)
	}
}
