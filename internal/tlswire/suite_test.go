package tlswire

import (
	"crypto/tls"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
)

func TestTheRegistryIsSortedAndItsNamesAreSingle(t *testing.T) {
	seen := map[string]bool{}
	for i, e := range registry {
		if i > 0 {
			assert.Less(t, registry[i-1].id, e.id)
		}
		assert.False(t, seen[e.name], e.name)
		seen[e.name] = true
		assert.True(t, strings.HasPrefix(e.name, "TLS_"), e.name)
	}
}

func TestTheRegistryAgreesWithGo(t *testing.T) {
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		ours, ok := LookupSuite(s.ID)
		require.True(t, ok, s.Name)
		assert.Equal(t, s.Name, ours.Name)
		for v := uint16(tls.VersionTLS10); v <= tls.VersionTLS13; v++ {
			assert.Equal(t, slices.Contains(s.SupportedVersions, v), ours.For(v), "%s with %s", s.Name, VersionName(v))
		}
		// Go calls insecure what is RC4, 3DES, CBC with SHA-256 or static RSA.
		if s.Insecure {
			assert.NotZero(t, ours.Weakness, s.Name)
		}
	}
}

// OpenSSL says of each suite it knows how it is made; -V prints
// 0xC0,0x2F - TLS_… - ECDHE-… TLSv1.2 Kx=ECDH Au=RSA Enc=AESGCM(128) Mac=AEAD.
func TestTheRegistryAgreesWithOpenSSL(t *testing.T) {
	out, err := exec.Command(realsrv.Need(t, "openssl"), "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0").Output()
	require.NoError(t, err)
	line := regexp.MustCompile(`0x(..),0x(..) - (TLS_\S+)\s+- \S+\s+(\S+)\s+Kx=(\S+)\s+Au=(\S+)\s+Enc=(\S+)\s+Mac=(\S+)`)
	exchanges := map[string]string{"any": "", "DH": "DHE", "ECDH": "ECDHE", "RSAPSK": "RSA_PSK", "DHEPSK": "DHE_PSK", "ECDHEPSK": "ECDHE_PSK"}
	macs := map[string]string{"SHA1": "SHA"}
	found := line.FindAllStringSubmatch(string(out), -1)
	require.Greater(t, len(found), 100)
	for _, m := range found {
		id, err := strconv.ParseUint(m[1]+m[2], 16, 16)
		require.NoError(t, err)
		s, ok := LookupSuite(uint16(id))
		require.True(t, ok, m[3])
		assert.Equal(t, m[3], s.Name)

		kx, auth, enc, mac := m[5], m[6], m[7], m[8]
		if to, ok := exchanges[kx]; ok {
			kx = to
		}
		if auth == "None" { // OpenSSL calls DH what is ephemeral without authentication, as the registry does
			auth, kx = "anon", strings.TrimSuffix(kx, "E")
		}
		if s.KeyExchange == "" {
			auth = ""
		}
		assert.Equal(t, kx, s.KeyExchange, s.Name)
		assert.Equal(t, auth, s.Authentication, s.Name)
		if mac == "AEAD" {
			assert.True(t, s.AEAD, s.Name)
		} else {
			if to, ok := macs[mac]; ok {
				mac = to
			}
			assert.Equal(t, mac, s.Hash, s.Name)
			assert.False(t, s.AEAD, s.Name)
		}
		bits := 0
		if i := strings.IndexByte(enc, '('); i >= 0 {
			_, err := fmt.Sscanf(enc[i:], "(%d)", &bits)
			require.NoError(t, err)
		}
		assert.Equal(t, bits, s.Bits, s.Name)
		assert.Equal(t, enc == "None", s.Weakness&NoEncryption != 0, s.Name)
		assert.Equal(t, strings.Contains(enc, "CCM8"), s.Weakness&ShortTag != 0, s.Name)
	}
}

func TestWeaknesses(t *testing.T) {
	for name, want := range map[string]Weakness{
		"TLS_AES_128_GCM_SHA256":                  0,
		"TLS_AES_128_CCM_8_SHA256":                ShortTag,
		"TLS_SHA256_SHA256":                       NoEncryption,
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": 0,
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA":      CBC,
		"TLS_RSA_WITH_AES_128_GCM_SHA256":         NoForwardSecrecy,
		"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256":     FiniteFieldDHE,
		"TLS_DH_RSA_WITH_AES_128_CBC_SHA":         NoForwardSecrecy | CBC,
		"TLS_DH_anon_WITH_AES_128_CBC_SHA":        Anonymous | FiniteFieldDHE | CBC,
		"TLS_ECDH_anon_WITH_NULL_SHA":             Anonymous | NoEncryption,
		"TLS_RSA_WITH_RC4_128_MD5":                NoForwardSecrecy | RC4 | MD5,
		"TLS_RSA_WITH_3DES_EDE_CBC_SHA":           NoForwardSecrecy | SmallBlock | CBC,
		"TLS_RSA_WITH_DES_CBC_SHA":                NoForwardSecrecy | SmallBlock | CBC | ShortKey,
		"TLS_RSA_EXPORT_WITH_RC4_40_MD5":          NoForwardSecrecy | Export | RC4 | MD5 | ShortKey,
		"TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5":      NoForwardSecrecy | Export | CBC | SmallBlock | MD5 | ShortKey,
		"TLS_DHE_DSS_EXPORT1024_WITH_RC4_56_SHA":  FiniteFieldDHE | Export | RC4 | ShortKey,
		"TLS_RSA_EXPORT_WITH_DES40_CBC_SHA":       NoForwardSecrecy | Export | CBC | SmallBlock | ShortKey,
		"TLS_KRB5_EXPORT_WITH_DES_CBC_40_SHA":     NoForwardSecrecy | Export | CBC | SmallBlock | ShortKey,
		"TLS_PSK_DHE_WITH_AES_128_CCM_8":          FiniteFieldDHE | ShortTag,
		"TLS_RSA_PSK_WITH_AES_128_GCM_SHA256":     NoForwardSecrecy,
		"TLS_SRP_SHA_RSA_WITH_AES_128_CBC_SHA":    CBC,
		"TLS_NULL_WITH_NULL_NULL":                 NoEncryption | Anonymous | NoForwardSecrecy,
		"TLS_GOSTR341112_256_WITH_28147_CNT_IMIT": NoForwardSecrecy | SmallBlock,
	} {
		i := slices.IndexFunc(registry[:], func(e entry) bool { return e.name == name })
		require.GreaterOrEqual(t, i, 0, name)
		s, ok := LookupSuite(registry[i].id)
		require.True(t, ok)
		assert.Equal(t, want.String(), s.Weakness.String(), name)
	}
}

func TestSuiteLists(t *testing.T) {
	assert.Equal(t, "TLS_FALLBACK_SCSV", SuiteName(SCSVFallback))
	assert.Equal(t, "0x1234", SuiteName(0x1234))
	_, ok := LookupSuite(SCSVRenegotiation)
	assert.False(t, ok)

	rc4 := WeakSuites(RC4)
	assert.Contains(t, rc4, uint16(0x0005))
	assert.NotContains(t, rc4, uint16(0x002f))
	for _, id := range Suites(tls.VersionTLS13) {
		assert.NotContains(t, Suites(tls.VersionTLS12), id)
	}
	assert.NotContains(t, Suites(tls.VersionTLS11), uint16(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256))
	assert.Contains(t, Suites(VersionSSL30), uint16(0x0005))
	for v := VersionSSL30; v <= tls.VersionTLS13; v++ {
		assert.NotContains(t, Suites(v), uint16(0), "the null suite is a state and cannot be negotiated")
		assert.NotContains(t, Suites(v), SCSVFallback)
	}
}

func TestNames(t *testing.T) {
	assert.Equal(t, "SSL 3.0", VersionName(0x0300))
	assert.Equal(t, "TLS 1.0", VersionName(tls.VersionTLS10))
	assert.Equal(t, "TLS 1.3", VersionName(tls.VersionTLS13))
	assert.Equal(t, "0x0305", VersionName(0x0305))
	for id, name := range map[uint16]string{
		1: "sect163k1", 22: "secp256k1", 23: "secp256r1", 24: "secp384r1", 25: "secp521r1", 26: "brainpoolP256r1", 29: "x25519",
		30: "x448", 31: "brainpoolP256r1tls13", 33: "brainpoolP512r1tls13", 41: "curveSM2", 256: "ffdhe2048", 258: "ffdhe4096", 260: "ffdhe8192",
		0x11ec: "X25519MLKEM768", 0x9999: "0x9999",
	} {
		assert.Equal(t, name, GroupName(id))
	}
	assert.True(t, PostQuantum(uint16(tls.X25519MLKEM768)))
	assert.False(t, PostQuantum(uint16(tls.X25519)))
	assert.Equal(t, "handshake_failure", Alert{2, 40}.String())
	assert.Equal(t, "alert 7", Alert{2, 7}.String())
	assert.Equal(t, "none", Weakness(0).String())
}

func BenchmarkLookupSuite(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		LookupSuite(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	}
}
