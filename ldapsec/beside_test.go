package ldapsec_test

import (
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/ldapsec"
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
	// In clear everything is refused for want of TLS, and TLS is not to be had: what is shown
	// inside is not known.
	t.Run("an unknown CA", func(t *testing.T) {
		srv := realsrv.Slapd{TLS: realsrv.Material(files), Posture: realsrv.SlapdSSF}.Start(t)
		report, err := config(testca.MustNew(t), srv.LDAP, srv.LDAPS).Probe(deadline(t))
		require.NoError(t, err)
		ruletest.Expect(t, own(report), connsec.Inconclusive, ldapsec.RuleRootDSELeak, ldapsec.RuleAnonymousSearch, ldapsec.RuleNullBaseSearch)
	})
}
