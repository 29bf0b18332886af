package tlscheck_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), realsrv.Need(t, "openssl"), args...).CombinedOutput()
	require.NoError(t, err, "openssl %s: %s", strings.Join(args, " "), out)
	return string(out)
}

// Every form in which openssl writes a private key is read, and found to match.
func TestKeysThatOpenSSLWrites(t *testing.T) {
	realsrv.Need(t, "openssl")
	ca := filesCA(t)
	locked := []string{"-passout", "pass:" + goodPassword}
	for _, kind := range []testca.KeyKind{testca.RSA2048, testca.ECDSA256, testca.ECDSA384, testca.Ed25519} {
		good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, Key: kind})
		set := writeSet(t, ca, good)
		plain := set.KEY + ".plain"
		require.NoError(t, os.Rename(set.KEY, plain))
		forms := map[string][]string{
			"PKCS #8":                {"pkcs8", "-topk8", "-nocrypt"},
			"PKCS #8 in DER":         {"pkcs8", "-topk8", "-nocrypt", "-outform", "DER"},
			"encrypted, AES-256":     append([]string{"pkcs8", "-topk8", "-v2", "aes-256-cbc"}, locked...),
			"encrypted, AES-128":     append([]string{"pkcs8", "-topk8", "-v2", "aes-128-cbc"}, locked...),
			"encrypted, PRF SHA-1":   append([]string{"pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"}, locked...),
			"encrypted, PRF SHA-512": append([]string{"pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"}, locked...),
			"encrypted in DER":       append([]string{"pkcs8", "-topk8", "-outform", "DER"}, locked...),
			"encrypted, PKCS12 3DES": append([]string{"pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"}, locked...),
		}
		switch kind {
		case testca.RSA2048:
			forms["PKCS #1"] = []string{"rsa", "-traditional"}
			forms["PKCS #1 in DER"] = []string{"rsa", "-traditional", "-outform", "DER"}
			forms["traditional, AES"] = append([]string{"rsa", "-traditional", "-aes256"}, locked...)
			forms["traditional, DES"] = append([]string{"rsa", "-traditional", "-des3"}, locked...)
		case testca.ECDSA256, testca.ECDSA384:
			forms["SEC 1"] = []string{"ec"}
			forms["SEC 1 in DER"] = []string{"ec", "-outform", "DER"}
		}
		for name, args := range forms {
			t.Run(kind.String()+"/"+name, func(t *testing.T) {
				openssl(t, append(args, "-in", plain, "-out", set.KEY)...)
				require.NoError(t, os.Chmod(set.KEY, 0o600))
				ruletest.ExpectFailed(t, probeSet(t, set))
				ruletest.Expect(t, probeSet(t, set), connsec.Pass, tlscheck.RuleFilesKeyMismatch)
				if !strings.Contains(name, "encrypted") && !strings.Contains(name, "traditional") {
					return
				}
				without := set
				without.Password, without.PFX = connsec.Secret{}, ""
				ruletest.Expect(t, probeSet(t, without), connsec.Inconclusive, tlscheck.RuleFilesKeyMismatch, tlscheck.RuleFilesUnreadable)
				without.Password = connsec.NewSecret("wrong")
				ruletest.Expect(t, probeSet(t, without), connsec.Fail, tlscheck.RuleFilesUnreadable)
			})
		}
	}
	// What is not implemented is said to be so.
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	for _, args := range [][]string{{"-v2", "des3"}, {"-scrypt"}, {"-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA384"}} {
		set := writeSet(t, ca, good)
		plain := set.KEY + ".plain"
		require.NoError(t, os.Rename(set.KEY, plain))
		openssl(t, append(append([]string{"pkcs8", "-topk8", "-in", plain, "-out", set.KEY}, args...), locked...)...)
		ruletest.Expect(t, probeSet(t, set), connsec.Inconclusive, tlscheck.RuleFilesKeyMismatch, tlscheck.RuleFilesUnreadable)
	}
}

// The facts are those that openssl pkcs12 -info prints.
func TestPFXThatOpenSSLWrites(t *testing.T) {
	realsrv.Need(t, "openssl")
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, Key: testca.RSA2048})
	set := writeSet(t, ca, good)
	export := []string{"pkcs12", "-export", "-in", set.CER, "-inkey", set.KEY, "-out", set.PFX, "-passout", "pass:" + goodPassword}
	for _, tt := range []struct {
		args   []string
		info   []string // what openssl says
		failed []*connsec.Rule
	}{
		{nil, []string{"PBKDF2, AES-256-CBC, Iteration 2048, PRF hmacWithSHA256", "MAC: sha256, Iteration 2048"}, nil},
		{[]string{"-iter", "100000"}, []string{"Iteration 100000"}, nil},
		{[]string{"-legacy"}, []string{"pbeWithSHA1And40BitRC2-CBC", "pbeWithSHA1And3-KeyTripleDES-CBC", "MAC: sha1"}, rules(tlscheck.RulePFXWeakEncryption)},
		{[]string{"-legacy", "-certpbe", "PBE-SHA1-RC2-128"}, []string{"pbeWithSHA1And128BitRC2-CBC"}, rules(tlscheck.RulePFXWeakEncryption)},
		{[]string{"-legacy", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha256"}, []string{"pbeWithSHA1And3-KeyTripleDES-CBC", "MAC: sha256"}, rules(tlscheck.RulePFXWeakEncryption)},
		{[]string{"-certpbe", "AES-128-CBC", "-keypbe", "AES-192-CBC"}, []string{"AES-128-CBC", "AES-192-CBC"}, nil},
		{[]string{"-certpbe", "NONE"}, []string{"PKCS7 Data"}, nil},
		{[]string{"-keypbe", "NONE"}, []string{"Key bag"}, rules(tlscheck.RulePFXWeakEncryption)},
		{[]string{"-nomac"}, []string{"MAC: absent"}, rules(tlscheck.RulePFXWeakEncryption)},
		{[]string{"-macalg", "sha512"}, []string{"MAC: sha512"}, nil},
		{[]string{"-macalg", "sha1"}, []string{"MAC: sha1"}, rules(tlscheck.RulePFXWeakEncryption)},
		{[]string{"-nokeys"}, nil, rules(tlscheck.RuleFilesUnreadable)},
		{[]string{"-name", "Zentral-Server", "-caname", "Übergeordnet"}, nil, nil},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			openssl(t, append(export, tt.args...)...)
			if len(tt.info) > 0 {
				info := openssl(t, "pkcs12", "-in", set.PFX, "-info", "-noout", "-legacy", "-passin", "pass:"+goodPassword)
				if strings.Join(tt.args, "") == "-nomac" {
					info += "MAC: absent"
				}
				for _, want := range tt.info {
					assert.Contains(t, info, want)
				}
			}
			ruletest.ExpectFailed(t, probeSet(t, set), tt.failed...)
		})
	}
}

// RFC 9579's MAC, which OpenSSL writes since 3.4.
func TestPFXWithPBMAC1(t *testing.T) {
	root := realsrv.Trixie(t, "openssl")
	ca := filesCA(t)
	good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}})
	set := writeSet(t, ca, good)
	key, err := good.KeyPEM()
	require.NoError(t, err)
	for _, tt := range []struct {
		args   []string
		failed []*connsec.Rule
	}{
		{nil, nil},
		{[]string{"-macalg", "sha512", "-pbmac1_pbkdf2_md", "sha512"}, nil},
		{[]string{"-iter", "100", "-maciter"}, rules(tlscheck.RulePFXWeakEncryption)},
	} {
		cmd := exec.CommandContext(t.Context(), "chroot", append([]string{root, "openssl", "pkcs12", "-export", "-pbmac1_pbkdf2", "-passout", "pass:" + goodPassword}, tt.args...)...)
		cmd.Stdin = bytes.NewReader(append(key, good.PEM()...))
		data, err := cmd.Output()
		require.NoError(t, err)
		writeFile(t, set.PFX, data)
		r := probeSet(t, set)
		ruletest.ExpectFailed(t, r, tt.failed...)
		assert.Contains(t, fmt.Sprint(r.Of(tlscheck.RulePFXWeakEncryption)[0].Evidence), "PBMAC1")
	}
}

// OpenSSL reads what is installed, and finds key, leaf and intermediate in it.
func TestOpenSSLReadsWhatInstallWrites(t *testing.T) {
	realsrv.Need(t, "openssl")
	ca := filesCA(t)
	for _, kind := range []testca.KeyKind{testca.ECDSA256, testca.RSA2048, testca.Ed25519} {
		t.Run(kind.String(), func(t *testing.T) {
			good := ca.MustIssue(t, testca.Leaf{Names: []string{serverName}, Key: kind})
			set := installSet(t, ca)
			_, err := set.Install(t.Context(), good.Chain, good.Key)
			require.NoError(t, err)

			info := openssl(t, "pkcs12", "-in", set.PFX, "-info", "-nodes", "-passin", "pass:"+goodPassword)
			assert.Contains(t, info, "MAC: sha256, Iteration 50000")
			assert.Contains(t, info, "PBES2, PBKDF2, AES-256-CBC, Iteration 50000, PRF hmacWithSHA256")
			assert.Equal(t, 2, strings.Count(info, "BEGIN CERTIFICATE"))
			assert.Equal(t, 1, strings.Count(info, "BEGIN PRIVATE KEY"))

			public := openssl(t, "pkey", "-in", set.KEY, "-pubout")
			assert.Equal(t, public, openssl(t, "x509", "-in", set.CER, "-noout", "-pubkey"))
			fromPFX := filepath.Join(t.TempDir(), "key")
			openssl(t, "pkcs12", "-in", set.PFX, "-nodes", "-nocerts", "-passin", "pass:"+goodPassword, "-out", fromPFX)
			assert.Equal(t, public, openssl(t, "pkey", "-in", fromPFX, "-pubout"))

			root := filepath.Join(t.TempDir(), "root.pem")
			require.NoError(t, os.WriteFile(root, testcaPEM(ca.Root), 0o600))
			out := openssl(t, "verify", "-attime", fmt.Sprint(filesDay.Unix()), "-verify_hostname", serverName, "-purpose", "sslserver", "-CAfile", root, "-untrusted", set.CER, set.CER)
			assert.Contains(t, out, ": OK")
		})
	}
}

func TestOpenSSLVerifiesRequests(t *testing.T) {
	realsrv.Need(t, "openssl")
	for algorithm, want := range map[tlscheck.KeyAlgorithm]string{tlscheck.ECDSAP256: "prime256v1", tlscheck.RSA3072: "3072 bit"} {
		r, err := tlscheck.NewRequest(algorithm, serverName, "Bücher.acme.com", serverName+".")
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "server.csr")
		require.NoError(t, os.WriteFile(path, r.PEM(), 0o600))
		text := openssl(t, "req", "-in", path, "-verify", "-noout", "-text")
		assert.Contains(t, text, "self-signature verify OK")
		assert.Contains(t, text, "DNS:central.corp.acme.com, DNS:xn--bcher-kva.acme.com\n")
		assert.Contains(t, text, "TLS Web Server Authentication")
		assert.Contains(t, text, "Subject: CN = central.corp.acme.com\n")
		assert.Contains(t, text, want)

		// A CA that copies the extensions issues what the checks accept.
		key, err := r.KeyPEM()
		require.NoError(t, err)
		keyFile, cert := path+".key", path+".cer"
		require.NoError(t, os.WriteFile(keyFile, []byte(key.Reveal()), 0o600))
		openssl(t, "x509", "-req", "-in", path, "-key", keyFile, "-copy_extensions", "copyall", "-days", "90", "-out", cert)
		set, err := tlscheck.OpenFiles(cert, keyFile)
		require.NoError(t, err)
		set.Name, set.Now = serverName, func() time.Time { return time.Now() }
		report := probeSet(t, set)
		ruletest.Expect(t, report, connsec.Pass, tlscheck.RuleNoSAN, tlscheck.RuleNameMismatch, tlscheck.RuleEKUServerAuth, tlscheck.RuleFilesKeyMismatch)
	}
}
