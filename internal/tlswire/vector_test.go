package tlswire

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// vector reads what a program once sent; the file says which, and with what arguments.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	require.NoError(t, err)
	var out []byte
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			part, err := hex.DecodeString(strings.TrimSpace(line))
			require.NoError(t, err)
			out = append(out, part...)
		}
	}
	return out
}

func TestRecordedFlights(t *testing.T) {
	rsa := func(t *testing.T, f Flight) {
		t.Helper()
		// The chain file began with the leaf, so OpenSSL sent that twice; here is what it sent.
		require.Equal(t, 3, len(f.Certificates))
		assert.True(t, bytes.Equal(f.Certificates[0], f.Certificates[1]))
		leaf, err := x509.ParseCertificate(f.Certificates[0])
		require.NoError(t, err)
		issuer, err := x509.ParseCertificate(f.Certificates[2])
		require.NoError(t, err)
		assert.Equal(t, []string{host}, leaf.DNSNames)
		assert.NoError(t, leaf.CheckSignatureFrom(issuer))
	}
	for name, tc := range map[string]struct {
		version, suite, group string
		see                   func(*testing.T, Flight)
	}{
		"server-tls10": {"TLS 1.0", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "x25519", rsa},
		"server-tls12-dhe": {"TLS 1.2", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "0x0000", func(t *testing.T, f Flight) {
			rsa(t, f)
			assert.Equal(t, 2048, f.DHBits)
			assert.Equal(t, uint16(tls.PSSWithSHA256), f.SignatureScheme)
			assert.Equal(t, "tds/8.0", f.ALPN)
			assert.True(t, f.ClientCertificate && f.SecureRenegotiation && f.ExtendedMasterSecret)
		}},
		"server-tls12-null": {"TLS 1.2", "TLS_RSA_WITH_NULL_SHA256", "0x0000", rsa},
		"server-tls12-anon": {"TLS 1.2", "TLS_ECDH_anon_WITH_AES_256_CBC_SHA", "x25519", func(t *testing.T, f Flight) {
			assert.Nil(t, f.Certificates)
		}},
		"server-tls13": {"TLS 1.3", "TLS_AES_128_GCM_SHA256", "x25519", func(t *testing.T, f Flight) {
			assert.False(t, f.Retry)
		}},
		"server-tls13-retry": {"TLS 1.3", "TLS_AES_128_GCM_SHA256", "secp384r1", func(t *testing.T, f Flight) {
			assert.True(t, f.Retry)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := vector(t, name)
			f, err := ReadServerFlight(bytes.NewReader(raw))
			require.NoError(t, err)
			assert.Equal(t, []string{tc.version, tc.suite, tc.group}, []string{VersionName(f.Version), SuiteName(f.Suite), GroupName(f.Group)})
			assert.True(t, f.Done)
			assert.Nil(t, f.Alert)
			tc.see(t, f)

			// Whatever is missing is noticed, never made up.
			for cut := range raw {
				short, err := ReadServerFlight(bytes.NewReader(raw[:cut]))
				if err == nil && !short.Done {
					t.Fatalf("cut after %d of %d bytes: no error and no end", cut, len(raw))
				}
			}
		})
	}
	f, err := ReadServerFlight(bytes.NewReader(vector(t, "server-alert")))
	require.NoError(t, err)
	assert.Equal(t, &Alert{2, AlertProtocolVersion}, f.Alert)
}

func TestRecordedClientHellos(t *testing.T) {
	for name, want := range map[string]struct {
		sni, highest string
		versions     int
		alpn         []string
		shares       []uint16
		suites       []uint16
	}{
		"client-openssl-tls13": {host, "TLS 1.3", 4, []string{"h2", "http/1.1"}, []uint16{GroupX25519}, []uint16{tls.TLS_AES_256_GCM_SHA384, SCSVRenegotiation}},
		"client-openssl-tls10": {"", "TLS 1.0", 1, nil, nil, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
		"client-curl":          {host, "TLS 1.3", 4, []string{"h2", "http/1.1"}, []uint16{GroupX25519}, []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}},
		"client-gnutls":        {host, "TLS 1.3", 4, nil, []uint16{GroupSecp256r1, GroupX25519}, []uint16{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := vector(t, name)
			h, err := ReadClientHello(bytes.NewReader(raw))
			require.NoError(t, err)
			assert.Equal(t, raw, h.Raw)
			assert.Equal(t, want.sni, h.ServerName)
			assert.Equal(t, want.highest, VersionName(h.MaxVersion()))
			assert.Len(t, h.Versions, want.versions, "%x", h.Versions)
			assert.Equal(t, want.alpn, h.ALPN)
			assert.Equal(t, want.shares, h.KeyShares)
			assert.Subset(t, h.Suites, want.suites)
		})
	}
}
