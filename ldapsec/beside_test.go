package ldapsec_test

import (
	"crypto/tls"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/require"
)

// TestSlapdBesideItsBase holds verdicts on a hardened slapd against settings that miss it.
func TestSlapdBesideItsBase(t *testing.T) {
	realsrv.Need(t, "slapd")
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{host}}).MustWriteFiles(t, t.TempDir(), "server")

	// slapd answers 49 to a name that no database holds before it looks at its restrictions.
	t.Run("a base DN of another directory", func(t *testing.T) {
		srv := realsrv.Slapd{TLS: realsrv.Material(files), Posture: realsrv.SlapdSimpleBind}.Start(t)
		c := config(ca, srv.LDAP, srv.LDAPS)
		c.BaseDN = "dc=elsewhere,dc=example"
		report, err := c.Probe(deadline(t))
		require.NoError(t, err)
		ruletest.Expect(t, own(report), connsec.Pass, ldapsec.RuleCleartextBindAccepted)
	})
	// A bind of nobody that is refused leaves nobody.
	t.Run("a client certificate where nobody may bind", func(t *testing.T) {
		srv := realsrv.Slapd{TLS: realsrv.Material(files), Posture: realsrv.SlapdTLS, Extra: "disallow bind_anon\nrequire authc"}.Start(t)
		c := config(ca, srv.LDAP, srv.LDAPS)
		c.BaseDN, c.ClientCertificates = srv.BaseDN, []tls.Certificate{ca.MustIssue(t, testca.Leaf{Names: []string{"client.corp.example"}}).TLS()}
		report, err := c.Probe(deadline(t))
		require.NoError(t, err)
		ruletest.Expect(t, own(report), connsec.Pass, ldapsec.RuleAnonymousSearch, ldapsec.RuleNullBaseSearch, ldapsec.RuleRootDSELeak)
	})
	// In clear everything is refused for want of TLS, and TLS is not to be had: what is shown
	// inside is not known.
	t.Run("an unknown CA", func(t *testing.T) {
		srv := realsrv.Slapd{TLS: realsrv.Material(files), Posture: realsrv.SlapdSSF}.Start(t)
		report, err := config(testca.MustNew(t), srv.LDAP, srv.LDAPS).Probe(deadline(t))
		require.NoError(t, err)
		ruletest.Expect(t, own(report), connsec.Inconclusive, ldapsec.RuleRootDSELeak, ldapsec.RuleAnonymousSearch, ldapsec.RuleNullBaseSearch)
	})
}

// TestClientCertificateIsNoLogin: Active Directory binds a connection to the account of the
// client certificate, so that anonymous questions have to be asked after a bind of nobody.
func TestClientCertificateIsNoLogin(t *testing.T) {
	for _, certificates := range []int{0, 1} {
		s, err := trap.Options{Names: []string{host}}.LDAP(trap.LDAPHonest)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		n := network{ports: map[string]string{"389": s.Addr(), "636": s.Addr()}}
		c := ldapsec.Config{Servers: []string{host}, Roots: s.Roots(), Dialer: n, Resolver: n}
		client := testca.MustNew(t).MustIssue(t, testca.Leaf{Names: []string{"client.corp.example"}})
		c.ClientCertificates = []tls.Certificate{client.TLS()}[:certificates]
		_, err = c.Probe(deadline(t))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		bound := 0
		for _, r := range s.Observed() {
			if r.TLS != nil && r.Searches > 1 && !r.StartTLS && r.Bind {
				bound++
				require.Equal(t, "simple", r.Method)
				require.Zero(t, r.Logins)
			}
		}
		require.Equal(t, certificates, bound)
	}
}
