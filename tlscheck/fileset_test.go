package tlscheck_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
)

const (
	serverName   = "central.corp.acme.com"
	goodPassword = "Xk9#mQ2vL7pRt4wZ"
)

var filesDay = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func filesCA(t *testing.T) *testca.CA {
	return testca.MustNew(t, testca.Options{Now: func() time.Time { return filesDay }})
}

// writeSet writes a sound set and returns it; tests spoil one thing each.
func writeSet(t *testing.T, ca *testca.CA, c *testca.Certificate) tlscheck.FileSet {
	t.Helper()
	dir := t.TempDir()
	set := tlscheck.FileSet{
		PFX: filepath.Join(dir, "server.pfx"), CER: filepath.Join(dir, "server.cer"), KEY: filepath.Join(dir, "server.key"),
		Password: connsec.NewSecret(goodPassword), Name: serverName, Roots: ca.Pool(), Now: func() time.Time { return filesDay },
		Live: func(context.Context) (*x509.Certificate, error) { return c.Leaf, nil },
	}
	key, err := c.KeyPEM()
	require.NoError(t, err)
	writeFile(t, set.KEY, key)
	writeFile(t, set.CER, c.PEM())
	writePFX(t, set.PFX, pkcs12.Modern2023, c, goodPassword)
	return set
}

func writePFX(t *testing.T, path string, enc *pkcs12.Encoder, c *testca.Certificate, password string) {
	t.Helper()
	data, err := enc.Encode(c.Key, c.Chain[0], c.Chain[1:], password)
	require.NoError(t, err)
	writeFile(t, path, data)
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

func probeSet(t *testing.T, set tlscheck.FileSet) connsec.Report {
	t.Helper()
	o, err := set.Observe(t.Context())
	require.NoError(t, err)
	r := o.Judge()

	// Facts that were recorded are judged as those just taken, and hold no secret.
	data, err := json.Marshal(o)
	require.NoError(t, err)
	if !set.Password.IsEmpty() {
		assert.NotContains(t, string(data), set.Password.Reveal())
	}
	var again tlscheck.FilesObservation
	require.NoError(t, json.Unmarshal(data, &again))
	was, err := json.Marshal(r)
	require.NoError(t, err)
	is, err := json.Marshal(again.Judge())
	require.NoError(t, err)
	assert.JSONEq(t, string(was), string(is))
	return r
}

func TestASoundSetPassesEveryFileRule(t *testing.T) {
	ca := filesCA(t)
	for _, kind := range []testca.KeyKind{testca.ECDSA256, testca.Ed25519, testca.RSA2048} {
		t.Run(kind.String(), func(t *testing.T) {
			r := probeSet(t, writeSet(t, ca, ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, Key: kind})))
			ruletest.Expect(t, r, connsec.Pass, tlscheck.FileRules...)
			ruletest.ExpectFailed(t, r)
		})
	}
}

func TestFileRules(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	other := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	keyOf := func(c *testca.Certificate) []byte {
		text, err := c.KeyPEM()
		require.NoError(t, err)
		return text
	}
	for name, tt := range map[string]struct {
		spoil  func(*testing.T, *tlscheck.FileSet)
		failed []*connsec.Rule
		not    []*connsec.Rule // neither failed nor passed
	}{
		"no PFX": {func(t *testing.T, s *tlscheck.FileSet) { require.NoError(t, os.Remove(s.PFX)) },
			rules(tlscheck.RuleFilesMissing), rules(tlscheck.RuleFilesUnreadable, tlscheck.RuleFilesDiffer, tlscheck.RulePFXWeakEncryption, tlscheck.RulePFXWeakPassword)},
		"no key": {func(t *testing.T, s *tlscheck.FileSet) { require.NoError(t, os.Remove(s.KEY)) },
			rules(tlscheck.RuleFilesMissing), rules(tlscheck.RuleFilesUnreadable)},
		"key of another request": {func(t *testing.T, s *tlscheck.FileSet) { writeFile(t, s.KEY, keyOf(other)) },
			rules(tlscheck.RuleFilesKeyMismatch), nil},
		"intermediate first": {func(t *testing.T, s *tlscheck.FileSet) {
			writeFile(t, s.CER, (&testca.Certificate{Chain: []*x509.Certificate{good.Chain[1], good.Chain[0]}}).PEM())
			s.Name = ""
		}, rules(tlscheck.RuleFilesKeyMismatch, tlscheck.RuleFilesDiffer, tlscheck.RuleEKUServerAuth, tlscheck.RuleNoSAN, tlscheck.RuleLifetime), nil},
		"renewed by half": {func(t *testing.T, s *tlscheck.FileSet) { writePFX(t, s.PFX, pkcs12.Modern2023, other, goodPassword) },
			rules(tlscheck.RuleFilesDiffer, tlscheck.RuleFilesKeyMismatch), nil},
		"renewed with the same key": {func(t *testing.T, s *tlscheck.FileSet) {
			writePFX(t, s.PFX, pkcs12.Modern2023, ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, Signer: good.Key}), goodPassword)
		}, rules(tlscheck.RuleFilesDiffer), nil},
		"leaf alone in CER": {func(t *testing.T, s *tlscheck.FileSet) {
			writeFile(t, s.CER, good.PEM()[:bytes.Index(good.PEM()[10:], []byte("-----BEGIN"))+10])
		},
			rules(tlscheck.RuleFilesChainMissing), rules(tlscheck.RuleUntrusted)},
		"RC2": {func(t *testing.T, s *tlscheck.FileSet) { writePFX(t, s.PFX, pkcs12.LegacyRC2, good, goodPassword) },
			rules(tlscheck.RulePFXWeakEncryption), nil},
		"3DES": {func(t *testing.T, s *tlscheck.FileSet) { writePFX(t, s.PFX, pkcs12.LegacyDES, good, goodPassword) },
			rules(tlscheck.RulePFXWeakEncryption), nil},
		"nothing encrypted": {func(t *testing.T, s *tlscheck.FileSet) { writePFX(t, s.PFX, pkcs12.Passwordless, good, "") },
			rules(tlscheck.RulePFXWeakEncryption, tlscheck.RulePFXWeakPassword), nil},
		"no password": {func(t *testing.T, s *tlscheck.FileSet) {
			writePFX(t, s.PFX, pkcs12.Modern2023, good, "")
			s.Password = connsec.Secret{}
		}, rules(tlscheck.RulePFXWeakPassword), nil},
		"guessed password": {func(t *testing.T, s *tlscheck.FileSet) {
			writePFX(t, s.PFX, pkcs12.Modern2023, good, "changeit")
			s.Password = connsec.Secret{}
		}, rules(tlscheck.RulePFXWeakPassword), nil},
		"guessed password, given": {func(t *testing.T, s *tlscheck.FileSet) {
			writePFX(t, s.PFX, pkcs12.Modern2023, good, "central1234")
			s.Password = connsec.NewSecret("central1234")
		}, rules(tlscheck.RulePFXWeakPassword), nil},
		"wrong password": {func(_ *testing.T, s *tlscheck.FileSet) { s.Password = connsec.NewSecret("kN3vT8xQ2mW7bR5zLp") },
			rules(tlscheck.RuleFilesUnreadable), rules(tlscheck.RulePFXWeakPassword, tlscheck.RuleFilesDiffer, tlscheck.RuleFilesKeyMismatch, tlscheck.RuleFilesChainMissing)},
		"wrong password, but an obvious one opens it": {func(t *testing.T, s *tlscheck.FileSet) { writePFX(t, s.PFX, pkcs12.Modern2023, good, "1234") },
			rules(tlscheck.RuleFilesUnreadable, tlscheck.RulePFXWeakPassword), nil},
		"password not given": {func(_ *testing.T, s *tlscheck.FileSet) { s.Password = connsec.Secret{} },
			nil, rules(tlscheck.RuleFilesUnreadable, tlscheck.RulePFXWeakPassword, tlscheck.RuleFilesDiffer, tlscheck.RuleFilesKeyMismatch, tlscheck.RuleFilesChainMissing)},
		"undecided password": {func(t *testing.T, s *tlscheck.FileSet) {
			writePFX(t, s.PFX, pkcs12.Modern2023, good, "sunshine-butterfly")
			s.Password = connsec.NewSecret("sunshine-butterfly")
		}, nil, rules(tlscheck.RulePFXWeakPassword)},
		"password of dictionary words": {func(t *testing.T, s *tlscheck.FileSet) {
			writePFX(t, s.PFX, pkcs12.Modern2023, good, "sunshine-butterfly")
			s.Password = connsec.NewSecret("sunshine-butterfly")
			s.Strength = func(p string) float64 { return zxcvbn.PasswordStrength(p, nil).Entropy }
		}, rules(tlscheck.RulePFXWeakPassword), nil},
		"another certificate served": {func(_ *testing.T, s *tlscheck.FileSet) {
			s.Live = func(context.Context) (*x509.Certificate, error) { return other.Leaf, nil }
		}, rules(tlscheck.RuleFilesNotServed), nil},
		"server does not answer": {func(_ *testing.T, s *tlscheck.FileSet) {
			s.Live = func(context.Context) (*x509.Certificate, error) { return nil, errors.New("connection refused") }
		}, nil, rules(tlscheck.RuleFilesNotServed)},
		"no server asked": {func(_ *testing.T, s *tlscheck.FileSet) { s.Live = nil }, nil, rules(tlscheck.RuleFilesNotServed)},
		"another name":    {func(_ *testing.T, s *tlscheck.FileSet) { s.Name = "www.acme.com" }, rules(tlscheck.RuleNameMismatch), nil},
		"expired":         {func(_ *testing.T, s *tlscheck.FileSet) { s.AsOf = filesDay.AddDate(1, 0, 0) }, rules(tlscheck.RuleExpired), nil},
	} {
		t.Run(name, func(t *testing.T) {
			set := writeSet(t, ca, good)
			tt.spoil(t, &set)
			r := probeSet(t, set)
			ruletest.ExpectFailed(t, r, tt.failed...)
			for _, rule := range tt.not {
				for _, f := range r.Of(rule) {
					assert.Contains(t, []connsec.Outcome{connsec.Inconclusive, connsec.NotApplicable}, f.Outcome, "%s: %s", rule.ID, f.Detail)
				}
			}
		})
	}
}

func TestSeverityOfPFXEncryption(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	for enc, want := range map[*pkcs12.Encoder]connsec.Severity{pkcs12.LegacyRC2: connsec.High, pkcs12.LegacyDES: connsec.Medium} {
		set := writeSet(t, ca, good)
		writePFX(t, set.PFX, enc, good, goodPassword)
		assert.Equal(t, want, probeSet(t, set).Of(tlscheck.RulePFXWeakEncryption)[0].Severity)
	}
}

// The fixtures that openssl made, by the rules that they break.
func TestFixturesFromOpenSSL(t *testing.T) {
	root, err := os.ReadFile("testdata/files/root.pem")
	require.NoError(t, err)
	roots, err := tlscheck.ParseCertificates(root)
	require.NoError(t, err)
	pool, _ := tlscheck.SplitRoots(roots)
	lifetime := tlscheck.RuleLifetime // a hundred years, so that the fixtures stay valid
	for name, failed := range map[string][]*connsec.Rule{
		"aes":        rules(lifetime),
		"legacy":     rules(lifetime, tlscheck.RulePFXWeakEncryption),
		"des3":       rules(lifetime, tlscheck.RulePFXWeakEncryption),
		"sha1mac":    rules(lifetime, tlscheck.RulePFXWeakEncryption),
		"sha384mac":  rules(lifetime),
		"nomac":      rules(lifetime, tlscheck.RulePFXWeakEncryption),
		"oneround":   rules(lifetime, tlscheck.RulePFXWeakEncryption),
		"clearkey":   rules(lifetime, tlscheck.RulePFXWeakEncryption),
		"plain":      rules(lifetime, tlscheck.RulePFXWeakEncryption, tlscheck.RulePFXWeakPassword),
		"certonly":   rules(lifetime, tlscheck.RuleFilesUnreadable),
		"empty":      rules(lifetime, tlscheck.RuleFilesUnreadable, tlscheck.RulePFXWeakPassword), // with a password given that is not needed
		"changeit":   rules(lifetime, tlscheck.RuleFilesUnreadable, tlscheck.RulePFXWeakPassword),
		"derived":    rules(lifetime, tlscheck.RuleFilesUnreadable, tlscheck.RulePFXWeakPassword),
		"pbes2-3des": rules(tlscheck.RulePFXWeakEncryption), // not decrypted here, so that is all
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/files/" + name + ".pfx.b64")
			require.NoError(t, err)
			data, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "server.pfx")
			writeFile(t, path, data)
			set, err := tlscheck.OpenFiles(path)
			require.NoError(t, err)
			require.Equal(t, path, set.PFX)
			set.Password, set.Name, set.Roots, set.Now = connsec.NewSecret(goodPassword), serverName, pool, func() time.Time { return filesDay }
			ruletest.ExpectFailed(t, probeSet(t, set), failed...)
		})
	}
}

func TestSelfSignedSetHasNoChainToMiss(t *testing.T) {
	ca := filesCA(t)
	set := writeSet(t, ca, ca.MustSelfSigned(t, testca.Leaf{Names: []string{serverName}}))
	r := probeSet(t, set)
	ruletest.Expect(t, r, connsec.NotApplicable, tlscheck.RuleFilesChainMissing)
	ruletest.Expect(t, r, connsec.Fail, tlscheck.RuleSelfSigned)
}

func TestChainOfAnUnknownCACannotBeJudged(t *testing.T) {
	ca := filesCA(t)
	set := writeSet(t, ca, ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, OmitIntermediate: true}))
	set.Roots = x509.NewCertPool()
	ruletest.Expect(t, probeSet(t, set), connsec.Inconclusive, tlscheck.RuleFilesChainMissing)
	set.Known = []*x509.Certificate{ca.Intermediate}
	set.Roots = ca.Pool()
	ruletest.Expect(t, probeSet(t, set), connsec.Fail, tlscheck.RuleFilesChainMissing)
}

// Bad input gives one clear line.
func TestBadFiles(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	pfx, err := pkcs12.Modern2023.Encode(good.Key, good.Leaf, nil, goodPassword)
	require.NoError(t, err)
	key, err := good.KeyPEM()
	require.NoError(t, err)
	request, err := tlscheck.NewRequest(tlscheck.ECDSAP256, serverName)
	require.NoError(t, err)
	write := func(data []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) { writeFile(t, path, data) }
	}
	for name, tt := range map[string]struct {
		make           func(*testing.T, string)
		pfx, cer, key_ string // what is said, by the place it stands in; empty: it is all right there
	}{
		"directory": {func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o700)) },
			"it is a directory", "it is a directory", "it is a directory"},
		"empty": {write(nil), "it is empty", "it is empty", "it is empty"},
		"100 MB": {func(t *testing.T, path string) {
			writeFile(t, path, []byte("x"))
			require.NoError(t, os.Truncate(path, 100<<20))
		}, "it has 104857600 bytes, and nothing of the kind is larger than 1048576", "it has 104857600 bytes, and nothing of the kind is larger than 1048576", "it has 104857600 bytes, and nothing of the kind is larger than 1048576"},
		"binary junk":   {write([]byte("\x7fELF\x02\x01\x01\x00\xff\xfe")), "it holds no PFX", "it holds no certificate", "it holds no private key"},
		"text":          {write([]byte("see ticket 4711\n")), "it holds no PFX", "it holds no certificate", "it holds no private key"},
		"truncated PFX": {write(pfx[:len(pfx)/2]), "it holds no PFX", "it holds no certificate", "it holds no private key"},
		"PFX":           {write(pfx), "", "it is a PFX file, not a certificate", "it is a PFX file, not a private key"},
		"certificate":   {write(good.PEM()), "it holds certificates, but no PFX", "", "it holds certificates, but no private key"},
		"key":           {write(key), "it holds a key, but no PFX", "it holds a key, but no certificate", ""},
		"request": {write(request.PEM()), "it is a certificate request, which is what a CA gets, not a PFX",
			"it is a certificate request, which is what a CA gets, not a certificate", "it is a certificate request, which is what a CA gets, not a private key"},
		"truncated PEM": {write(good.PEM()[:200]), "its PEM text is damaged", "its PEM text is damaged", "its PEM text is damaged"},
		"damaged certificate": {write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Leaf.Raw[:100]})),
			"it holds certificates, but no PFX", "its certificate is damaged", "it holds certificates, but no private key"},
		"damaged key": {write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30, 3, 2, 1, 0}})),
			"it holds a key, but no PFX", "it holds a key, but no certificate", "its private key is damaged, or of an unknown kind"},
		"UTF-16":  {write([]byte("\xff\xfe-\x00-\x00-\x00-\x00-\x00B\x00")), "it is UTF-16 text; save it as ASCII or UTF-8", "it is UTF-16 text; save it as ASCII or UTF-8", "it is UTF-16 text; save it as ASCII or UTF-8"},
		"OpenSSH": {write([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")), "it holds a key, but no PFX", "it holds a key, but no certificate", "it is a key in OpenSSH's own format, which TLS servers do not load"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			tt.make(t, path)
			for _, place := range []struct {
				set  tlscheck.FileSet
				want string
			}{{tlscheck.FileSet{PFX: path}, tt.pfx}, {tlscheck.FileSet{CER: path}, tt.cer}, {tlscheck.FileSet{KEY: path}, tt.key_}} {
				place.set.Roots, place.set.Password = ca.Pool(), connsec.NewSecret(goodPassword)
				place.set.Now = func() time.Time { return filesDay }
				r := probeSet(t, place.set)
				f := r.Of(tlscheck.RuleFilesUnreadable)[0]
				if place.want == "" {
					assert.Equal(t, connsec.Pass, f.Outcome, f.Detail)
				} else {
					assert.Equal(t, connsec.Fail, f.Outcome, f.Detail)
					assert.Equal(t, "file: "+place.want, f.Detail)
				}
				for _, f := range r.Findings {
					assert.NotContains(t, f.Detail, "defect") // a judge panicked
				}
			}
			set, err := tlscheck.OpenFiles(path)
			require.NoError(t, err)
			assert.NotEmpty(t, set.PFX+set.CER+set.KEY)
		})
	}
}

func TestObserveNeedsAFileAndALivingContext(t *testing.T) {
	_, err := tlscheck.FileSet{}.Observe(t.Context())
	require.EqualError(t, err, "tlscheck: no certificate file is named")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = tlscheck.FileSet{CER: "x"}.Observe(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestOpenDir(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	set := writeSet(t, ca, good)
	dir := filepath.Dir(set.CER)

	found, err := tlscheck.OpenDir(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{set.PFX, set.CER, set.KEY, dir}, []string{found.PFX, found.CER, found.KEY, found.Subject})

	// MyQ's names count even if files are missing: that is a finding.
	require.NoError(t, os.Remove(set.PFX))
	found, err = tlscheck.OpenDir(dir)
	require.NoError(t, err)
	assert.Equal(t, set.PFX, found.PFX)

	// Other names are sorted by content, whatever their extension says.
	other := t.TempDir()
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		return data
	}
	writeFile(t, filepath.Join(other, "a.key"), read(set.CER))
	writeFile(t, filepath.Join(other, "b.txt"), read(set.KEY))
	writeFile(t, filepath.Join(other, "cert.pem"), testcaPEM(good.Leaf))
	writeFile(t, filepath.Join(other, "chain.crt"), testcaPEM(ca.Intermediate))
	writeFile(t, filepath.Join(other, "README"), []byte("nothing"))
	require.NoError(t, os.Mkdir(filepath.Join(other, "sub"), 0o700))
	found, err = tlscheck.OpenDir(other)
	require.NoError(t, err)
	assert.Empty(t, found.PFX)
	assert.Equal(t, filepath.Join(other, "a.key"), found.CER, "the file with the longer chain")
	assert.Equal(t, filepath.Join(other, "b.txt"), found.KEY)
	require.Len(t, found.Known, 1)
	assert.True(t, found.Known[0].Equal(ca.Intermediate))

	_, err = tlscheck.OpenDir(filepath.Join(other, "sub"))
	require.ErrorContains(t, err, "there is no certificate, key or PFX file")
	_, err = tlscheck.OpenDir(filepath.Join(other, "none"))
	require.ErrorContains(t, err, "the directory cannot be listed")
	_, err = tlscheck.OpenFiles(set.CER, writeOther(t, ca))
	require.ErrorContains(t, err, "both hold a certificate; name the files of one certificate at a time")
}

func writeOther(t *testing.T, ca *testca.CA) string {
	path := filepath.Join(t.TempDir(), "other.crt")
	writeFile(t, path, ca.MustIssue(t, testca.Leaf{Names: []string{"other.acme.com"}}).PEM())
	return path
}

func testcaPEM(certs ...*x509.Certificate) []byte {
	return (&testca.Certificate{Chain: certs}).PEM()
}

// One file with everything, as HAProxy has it, is certificate and key in one.
func TestCombinedFile(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	key, err := good.KeyPEM()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "all.pem")
	writeFile(t, path, append(key, good.PEM()...))
	set, err := tlscheck.OpenFiles(path)
	require.NoError(t, err)
	assert.Equal(t, []string{path, path}, []string{set.CER, set.KEY})
	set.Name, set.Roots, set.Now = serverName, ca.Pool(), func() time.Time { return filesDay }
	r := probeSet(t, set)
	ruletest.ExpectFailed(t, r)
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleFilesKeyMismatch, tlscheck.RuleFilesChainMissing)
}

func TestFilesInDERAndWithBOM(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, Key: testca.RSA2048})
	set := writeSet(t, ca, good)
	keyPEM, err := os.ReadFile(set.KEY)
	require.NoError(t, err)
	block, _ := pem.Decode(keyPEM)
	for name, key := range map[string][]byte{
		"PKCS #8 in DER":  block.Bytes,
		"PKCS #1 in DER":  x509.MarshalPKCS1PrivateKey(good.Key.(*rsa.PrivateKey)),
		"PEM with BOM":    append([]byte("\ufeff"), keyPEM...),
		"PEM after prose": append([]byte("Bag Attributes\r\n    friendlyName: x\r\n"), keyPEM...),
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, set.KEY, key)
			assert.Equal(t, tlscheck.FileKey, tlscheck.Classify(key))
			writeFile(t, set.CER, append([]byte("\ufeff"), good.PEM()...))
			ruletest.ExpectFailed(t, probeSet(t, set))
		})
	}
	writeFile(t, set.CER, append(append([]byte{}, good.Chain[0].Raw...), good.Chain[1].Raw...))
	ruletest.ExpectFailed(t, probeSet(t, set))
}

func TestClassify(t *testing.T) {
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, Key: testca.RSA2048})
	ec := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	pfx, err := pkcs12.Modern2023.Encode(good.Key, good.Leaf, nil, goodPassword)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ec.Key)
	require.NoError(t, err)
	sec1, err := x509.MarshalECPrivateKey(ec.Key.(*ecdsa.PrivateKey))
	require.NoError(t, err)
	request, err := tlscheck.NewRequest(tlscheck.ECDSAP256, serverName)
	require.NoError(t, err)
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), NextUpdate: filesDay}, &x509.Certificate{KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}, RawSubject: ca.Root.RawSubject}, ec.Key)
	require.NoError(t, err)
	block := func(label string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}) }
	pkcs7 := []byte("\x30\x0f\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x02\x30\x00")
	for _, tt := range []struct {
		name string
		data []byte
		want tlscheck.FileKind
	}{
		{"nothing", nil, tlscheck.FileOther},
		{"text", []byte("hello"), tlscheck.FileOther},
		{"a DER integer", []byte{2, 1, 3}, tlscheck.FileOther},
		{"an empty sequence", []byte{0x30, 0}, tlscheck.FileOther},
		{"an object identifier", []byte{0x30, 3, 6, 1, 0x2a}, tlscheck.FileOther},
		{"an algorithm", []byte{0x30, 5, 0x30, 3, 6, 1, 0x2a}, tlscheck.FileOther},
		{"PFX", pfx, tlscheck.FilePFX},
		{"certificate in DER", good.Leaf.Raw, tlscheck.FileCertificates},
		{"certificate in DER, cut", append([]byte{0x30, 0x14}, good.Leaf.Raw[4:24]...), tlscheck.FileOther},
		{"certificate in PEM", good.PEM(), tlscheck.FileCertificates},
		{"certificate, then key", append(good.PEM(), block("PRIVATE KEY", pkcs8)...), tlscheck.FileKey},
		{"PKCS #1", x509.MarshalPKCS1PrivateKey(good.Key.(*rsa.PrivateKey)), tlscheck.FileKey},
		{"SEC 1", sec1, tlscheck.FileKey},
		{"PKCS #8", pkcs8, tlscheck.FileKey},
		{"request in DER", request.DER, tlscheck.FileRequest},
		{"request in PEM", request.PEM(), tlscheck.FileRequest},
		{"request as Windows labels it", block("NEW CERTIFICATE REQUEST", request.DER), tlscheck.FileRequest},
		{"CRL in DER", crl, tlscheck.FileCRL},
		{"CRL in PEM", block("X509 CRL", crl), tlscheck.FileCRL},
		{"PKCS #7 in DER", pkcs7, tlscheck.FilePKCS7},
		{"PKCS #7 in PEM", block("PKCS7", pkcs7), tlscheck.FilePKCS7},
		{"parameters", block("DH PARAMETERS", []byte{0x30, 0}), tlscheck.FileOther},
	} {
		assert.Equal(t, tt.want, tlscheck.Classify(tt.data), tt.name)
	}
}

func ExampleOpenDir() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	_ = os.WriteFile(filepath.Join(dir, "server.cer"), []byte("to do"), 0o600)
	set, err := tlscheck.OpenDir(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := set.Probe(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range report.Failed(connsec.Medium) {
		fmt.Println(f.Rule.ID+":", f.Detail)
	}
	// Output:
	// certfiles-missing: there is no server.pfx and no server.key
	// certfiles-unreadable: server.cer: it holds no certificate
}
