package tlscheck_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
)

// Facts about the protection of a PFX, and what is said about them.
func TestJudgePFXProtection(t *testing.T) {
	const good = "AES-256"
	for _, tt := range []struct {
		certs, key string
		iterations int
		mac        string
		macRounds  int
		outcome    connsec.Outcome
		severity   connsec.Severity
		detail     string
	}{
		{good, good, 2048, "HMAC-SHA-256", 2048, connsec.Pass, connsec.Medium, "server.pfx: encrypted contents AES-256/2048, key AES-256/2048, HMAC-SHA-256/2048"},
		{good, good, 1000, "PBMAC1", 1000, connsec.Pass, connsec.Medium, "server.pfx: encrypted contents AES-256/1000, key AES-256/1000, PBMAC1/1000"},
		{good, good, 999, "PBMAC1", 1000, connsec.Fail, connsec.Medium, "server.pfx: encrypted contents under AES-256, but with 999 iterations only, key under AES-256, but with 999 iterations only"},
		{good, good, 2048, "HMAC-SHA-256", 1, connsec.Fail, connsec.Medium, "server.pfx: the MAC has 1 iterations only"},
		{good, good, 2048, "HMAC-SHA-1", 2048, connsec.Fail, connsec.Medium, "server.pfx: the MAC is HMAC-SHA-1"},
		{good, good, 2048, "HMAC-MD5", 2048, connsec.Fail, connsec.Medium, "server.pfx: the MAC is HMAC-MD5"},
		{good, good, 2048, "", 0, connsec.Fail, connsec.Medium, "server.pfx: there is no MAC"},
		{good, good, 2048, "1.2.3.4", 2048, connsec.Inconclusive, connsec.Medium, "server.pfx: it is not known how good this is: MAC 1.2.3.4"},
		{"RC2-40", "3DES", 2048, "HMAC-SHA-256", 2048, connsec.Fail, connsec.High, "server.pfx: encrypted contents under RC2-40, key under 3DES"},
		{good, "3DES", 2048, "HMAC-SHA-256", 2048, connsec.Fail, connsec.Medium, "server.pfx: key under 3DES"},
		{good, "DES with SHA-1", 2048, "HMAC-SHA-256", 2048, connsec.Fail, connsec.High, "server.pfx: key under DES with SHA-1"},
		{good, "", 2048, "HMAC-SHA-256", 2048, connsec.Fail, connsec.High, "server.pfx: the key stands in clear"},
		{good, "1.2.3.4", 2048, "HMAC-SHA-256", 2048, connsec.Inconclusive, connsec.Medium, "server.pfx: it is not known how good this is: key under 1.2.3.4"},
		{"1.2.3.4", "3DES", 2048, "HMAC-SHA-256", 2048, connsec.Fail, connsec.Medium, "server.pfx: key under 3DES"}, // what is known suffices
	} {
		o := tlscheck.FilesObservation{PFX: &tlscheck.File{Path: "server.pfx", Key: &tlscheck.KeyFacts{}, PFX: &tlscheck.PFXFacts{
			MAC: tt.mac, MACIterations: tt.macRounds,
			Parts: []tlscheck.PFXPart{{Holds: "encrypted contents", Algorithm: tt.certs, Iterations: tt.iterations}, {Holds: "key", Algorithm: tt.key, Iterations: tt.iterations}},
		}}}
		r := o.Judge()
		ruletest.Expect(t, r, tt.outcome, tlscheck.RulePFXWeakEncryption)
		f := r.Of(tlscheck.RulePFXWeakEncryption)[0]
		assert.Equal(t, tt.detail, f.Detail)
		assert.Equal(t, tt.severity, f.Severity, tt.detail)
	}
}

// One key can be encoded in more ways than one, and some kinds of keys are not parsed at all.
func TestKeysAreComparedAsKeys(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, Key: testca.RSA2048})
	set := writeSet(t, ca, good)
	set.PFX = ""
	o, err := set.Observe(t.Context())
	require.NoError(t, err)
	// RFC 3279 §2.3.1 wants parameters NULL; without them it is the same key.
	rsaWithNull, rsaWithout := "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", "\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
	leaf := *o.CER.Chain.Certs[0]
	leaf.RawSubjectPublicKeyInfo = bytes.Replace(leaf.RawSubjectPublicKeyInfo, []byte(rsaWithNull), []byte(rsaWithout), 1)
	require.NotEqual(t, o.CER.Chain.Certs[0].RawSubjectPublicKeyInfo, leaf.RawSubjectPublicKeyInfo)
	o.CER.Chain.Certs[0] = &leaf
	ruletest.Expect(t, o.Judge(), connsec.Pass, tlscheck.RuleFilesKeyMismatch)
	leaf.PublicKey = nil
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, tlscheck.RuleFilesKeyMismatch)
}

// Windows writes the root first; the key tells which certificate is the leaf.
func TestOrderInAPFXMeansNothing(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	set := writeSet(t, ca, good)
	data, err := pkcs12.Modern2023.Encode(good.Key, ca.Root, append(good.Chain[1:], good.Leaf), goodPassword)
	require.NoError(t, err)
	writeFile(t, set.PFX, data)
	ruletest.ExpectFailed(t, probeSet(t, set))
	ruletest.Expect(t, probeSet(t, set), connsec.Pass, tlscheck.RuleFilesKeyMismatch, tlscheck.RuleFilesDiffer, tlscheck.RuleFilesChainMissing)
}

// The verifiers of Windows and macOS find intermediates that no file holds.
func TestAPathThroughOtherSourcesDoesNotCompleteAChain(t *testing.T) {
	ca := filesCA(t)
	set := writeSet(t, ca, ca.MustIssue(t, testca.Leaf{Names: []string{serverName}}))
	o, err := set.Observe(t.Context())
	require.NoError(t, err)
	ruletest.Expect(t, o.Judge(), connsec.Pass, tlscheck.RuleFilesChainMissing)
	o.CER.Chain.Certs = o.CER.Chain.Certs[:1]
	ruletest.Expect(t, o.Judge(), connsec.Fail, tlscheck.RuleFilesChainMissing)
	assert.Equal(t, `server.cer lacks "Test Intermediate CA"`, o.Judge().Of(tlscheck.RuleFilesChainMissing)[0].Detail)
}

func TestProbeJudgesTheNameToo(t *testing.T) {
	ca := filesCA(t)
	set := writeSet(t, ca, ca.MustIssue(t, testca.Leaf{Names: []string{serverName}}))
	r, err := set.Probe(t.Context())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleNameSyntax, tlscheck.RuleFilesKeyMismatch)
	set.Name = "central"
	ruletest.Expect(t, set.Validate(), connsec.Fail, tlscheck.RuleSingleLabel)
	set.Name = ""
	assert.Empty(t, set.Validate().Findings)
}

func BenchmarkProbeFiles(b *testing.B) {
	ca := testca.MustNew(b, testca.Options{Now: func() time.Time { return filesDay }})
	good := ca.MustIssue(b, testca.Leaf{Names: []string{serverName}})
	dir := b.TempDir()
	files := good.MustWriteFiles(b, dir, "server")
	set, err := tlscheck.OpenFiles(files.Chain, files.Key)
	require.NoError(b, err)
	set.Name, set.Roots, set.Now = serverName, ca.Pool(), func() time.Time { return filesDay }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := set.Probe(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
