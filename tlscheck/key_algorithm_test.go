package tlscheck_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
)

// Self-signed certificates and their keys, as OpenSSL 3.0 wrote them (openssl req -x509 -newkey ec
// -pkeyopt ec_paramgen_curve:brainpoolP256r1, and -newkey ed448). They guard nothing.
const (
	brainpoolCertificate = `-----BEGIN CERTIFICATE-----
MIIBujCCAWCgAwIBAgIUfVniYsXIyOQN8YBShZpF5cUoyOQwCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVY2VudHJhbC5jb3JwLmludGVybmFsMCAXDTI2MTEyNzAwNDAx
NFoYDzIxMjYxMTAzMDA0MDE0WjAgMR4wHAYDVQQDDBVjZW50cmFsLmNvcnAuaW50
ZXJuYWwwWjAUBgcqhkjOPQIBBgkrJAMDAggBAQcDQgAEiZWWt56NLsA9Qv8MPBpq
gHICk1tgFioLE/coFUxuEd8rRdbCJTsscdauAEjAyFnCYG2NmS3LRkFSAOZAGvwB
6KN1MHMwHQYDVR0OBBYEFJtKdZuir1kLFD0/RBaMZ4ccbRFMMB8GA1UdIwQYMBaA
FJtKdZuir1kLFD0/RBaMZ4ccbRFMMA8GA1UdEwEB/wQFMAMBAf8wIAYDVR0RBBkw
F4IVY2VudHJhbC5jb3JwLmludGVybmFsMAoGCCqGSM49BAMCA0gAMEUCIQCA4aej
cOdGqDCNcx4umHwxvrf7bzWBNxZSjjd4t5aazAIgHisDuEevCm0B1oJaabG6G+hr
YVNBpjfxS2w2FFmJHe4=
-----END CERTIFICATE-----
`
	brainpoolKey = `-----BEGIN PRIVATE KEY-----
MIGIAgEAMBQGByqGSM49AgEGCSskAwMCCAEBBwRtMGsCAQEEIDZSNeUCZ+XlsQdq
P9EqsxjN8ipI3MghMD01zZDMUiV7oUQDQgAEiZWWt56NLsA9Qv8MPBpqgHICk1tg
FioLE/coFUxuEd8rRdbCJTsscdauAEjAyFnCYG2NmS3LRkFSAOZAGvwB6A==
-----END PRIVATE KEY-----
`
	ed448Certificate = `-----BEGIN CERTIFICATE-----
MIIBxDCCAUSgAwIBAgIUH0tRbvIKRrYfhz10mqWxvV7SIYkwBQYDK2VxMCAxHjAc
BgNVBAMMFWNlbnRyYWwuY29ycC5pbnRlcm5hbDAgFw0yNjExMjcwMDQwMTRaGA8y
MTI2MTEwMzAwNDAxNFowIDEeMBwGA1UEAwwVY2VudHJhbC5jb3JwLmludGVybmFs
MEMwBQYDK2VxAzoA2im+L1oZz+ApAR0B1NxDwc4ORl3gttBitfHoh4Yc8sP2KIK2
UxWtGF5YtTZDJ+3hy5ec+0phufOAo3UwczAdBgNVHQ4EFgQUdrL6IlC5U8x0/BKi
0jAvvpzVIKgwHwYDVR0jBBgwFoAUdrL6IlC5U8x0/BKi0jAvvpzVIKgwDwYDVR0T
AQH/BAUwAwEB/zAgBgNVHREEGTAXghVjZW50cmFsLmNvcnAuaW50ZXJuYWwwBQYD
K2VxA3MAdpNc+4VUOCEP1EkcgiYgnOtBt1/gBQ1pR+n1Ta6F6fk87PwjaoNoQ4AC
KgGAISMOlg4eYBuc8mCAc5jmoBmMRElU2rWUwYvMtNjyQgT4Qg/Ja4qwzM9I3AJz
xl3gD8BG13ydJdXxqpKOfY4thyySnQ0A
-----END CERTIFICATE-----
`
	ed448Key = `-----BEGIN PRIVATE KEY-----
MEcCAQAwBQYDK2VxBDsEOcdiPLj3Dg0ZyDydIH1s3mgLNV/46h1BDEybG49aanuf
B1JlAbq8SztSxSlKwMDFwoi/xFlnZQhcrA==
-----END PRIVATE KEY-----
`
)

// TestKeysThatAreNotReadHere: a file that this package cannot read is not a damaged one.
func TestKeysThatAreNotReadHere(t *testing.T) {
	for _, c := range []struct{ name, certificate, key, kind string }{
		{"brainpool", brainpoolCertificate, brainpoolKey, "ECDSA brainpoolP256r1"},
		{"Ed448", ed448Certificate, ed448Key, "Ed448"},
	} {
		for _, der := range []bool{false, true} {
			name, certificate, key := c.name, []byte(c.certificate), []byte(c.key)
			if der {
				name, certificate, key = name+" in DER", block(t, certificate), block(t, key)
			}
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				set := tlscheck.FileSet{CER: filepath.Join(dir, "server.cer"), KEY: filepath.Join(dir, "server.key")}
				writeFile(t, set.CER, certificate)
				writeFile(t, set.KEY, key)
				r := probeSet(t, set)
				ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleFilesUnreadable, tlscheck.RuleFilesKeyMismatch)
				assert.Contains(t, r.Of(tlscheck.RuleFilesUnreadable)[0].Detail, "server.key: its private key is of the kind "+c.kind)

				certs, err := tlscheck.ParseCertificates(certificate)
				if c.name == "brainpool" { // crypto/x509 refuses these as a whole
					require.ErrorContains(t, err, c.kind)
					assert.Contains(t, r.Of(tlscheck.RuleFilesUnreadable)[0].Detail, "server.cer: its certificate has a key of the kind "+c.kind)
					return
				}
				require.NoError(t, err)
				r = tlscheck.Chain{Certs: certs}.Judge()
				ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleWeakKey)
				assert.Contains(t, r.Of(tlscheck.RuleWeakKey)[0].Detail, "is "+c.kind+", which is not judged")

				damaged := slices.Clone(certificate)
				damaged[len(damaged)/2] ^= 0xff
				writeFile(t, set.CER, damaged[:len(damaged)/2])
				ruletest.Expect(t, probeSet(t, set), connsec.Fail, tlscheck.RuleFilesUnreadable)
			})
		}
	}
}

// TestSignatureNotKnownHereHidesNoBrokenOne: the verdict is the worst of the chain.
func TestSignatureNotKnownHereHidesNoBrokenOne(t *testing.T) {
	ca := testca.MustNew(t, testca.Options{RootKey: testca.RSA2048, IntermediateSignature: x509.SHA1WithRSA})
	certs, err := tlscheck.ParseCertificates([]byte(ed448Certificate))
	require.NoError(t, err)
	ruletest.Expect(t, tlscheck.Chain{Certs: certs}.Judge(), connsec.Inconclusive, tlscheck.RuleWeakSignature)
	ruletest.Expect(t, tlscheck.Chain{Certs: append(certs, ca.Intermediate)}.Judge(), connsec.Fail, tlscheck.RuleWeakSignature)
}

func block(t *testing.T, text []byte) []byte {
	t.Helper()
	b, _ := pem.Decode(text)
	require.NotNil(t, b)
	return b.Bytes
}

// TestKeysNotReadHereInWhatOpenSSLWrites: the other forms of the same keys, and PFX files.
func TestKeysNotReadHereInWhatOpenSSLWrites(t *testing.T) {
	realsrv.Need(t, "openssl")
	for _, c := range []struct{ name, certificate, key string }{
		{"brainpool", brainpoolCertificate, brainpoolKey}, {"Ed448", ed448Certificate, ed448Key},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			set := tlscheck.FileSet{PFX: filepath.Join(dir, "server.pfx"), KEY: filepath.Join(dir, "server.key"), Password: connsec.NewSecret(goodPassword)}
			certificate, plain := filepath.Join(dir, "certificate"), filepath.Join(dir, "plain")
			writeFile(t, certificate, []byte(c.certificate))
			writeFile(t, plain, []byte(c.key))
			pass := "pass:" + goodPassword
			forms := [][]string{{"pkcs8", "-topk8", "-in", plain, "-passout", pass}}
			if c.name == "brainpool" {
				forms = append(forms, []string{"ec", "-in", plain})
			}
			for _, pfx := range [][]string{nil, {"-nomac"}} {
				openssl(t, append([]string{"pkcs12", "-export", "-in", certificate, "-inkey", plain, "-out", set.PFX, "-passout", pass}, pfx...)...)
				for _, form := range forms {
					openssl(t, append(form, "-out", set.KEY)...)
					require.NoError(t, os.Chmod(set.KEY, 0o600))
					require.NoError(t, os.Chmod(set.PFX, 0o600))
					r := probeSet(t, set)
					ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleFilesUnreadable, tlscheck.RuleFilesKeyMismatch)
					detail := r.Of(tlscheck.RuleFilesUnreadable)[0].Detail
					assert.Contains(t, detail, "server.pfx: its kind of key is not supported here")
					assert.Contains(t, detail, "server.key: its ")
				}
			}
		})
	}
}

// TestServerWithAKeyThatIsTooLongHere: crypto/tls turns down RSA keys of more than 8192 bits, and
// other clients do not. The key is no product of primes: nobody gets as far as its signature.
func TestServerWithAKeyThatIsTooLongHere(t *testing.T) {
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	modulus := new(big.Int).Lsh(big.NewInt(1), 8200)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &rsa.PublicKey{N: modulus.Add(modulus, big.NewInt(1)), E: 65537}, signer)
	require.NoError(t, err)
	addr := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: signer}}})
	r, err := tlscheck.Endpoint{Host: host, Connect: addr.String()}.Probe(t.Context())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
	assert.Contains(t, r.Of(tlscheck.RuleHandshakeFailed)[0].Detail, "RSA key larger than 8192 bits")
}

// TestServerWithAKeyThatIsNotReadHere: OpenSSL's own client takes such a certificate if it is told
// that it may.
func TestServerWithAKeyThatIsNotReadHere(t *testing.T) {
	program := realsrv.Need(t, "openssl")
	dir := t.TempDir()
	m := realsrv.Material{Chain: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key")}
	writeFile(t, m.Chain, []byte(brainpoolCertificate))
	writeFile(t, m.Key, []byte(brainpoolKey))
	addr := realsrv.OpenSSL{TLS: m, Posture: realsrv.OpenSSLTLS12}.Start(t).Addr
	out, err := exec.CommandContext(t.Context(), program, "s_client", "-connect", addr, "-tls1_2", "-groups", "brainpoolP256r1:X25519").CombinedOutput()
	require.NoError(t, err, string(out))
	r, err := tlscheck.Endpoint{Host: host, Connect: addr}.Probe(t.Context())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Inconclusive, tlscheck.RuleHandshakeFailed)
	assert.Contains(t, r.Of(tlscheck.RuleHandshakeFailed)[0].Detail, "brainpoolP256r1")
}
