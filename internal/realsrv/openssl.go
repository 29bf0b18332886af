package realsrv

import (
	"fmt"
	"testing"
)

// OpenSSLPosture is what OpenSSL's s_server offers. Debian's OpenSSL has no SSL 3, no 3DES, RC4,
// DES or export suites and no compression; for 3DES and RC4 there is [GnuTLS].
type OpenSSLPosture uint8

// The postures. The zero value has TLS 1.2 and 1.3.
const (
	OpenSSLModern OpenSSLPosture = iota
	OpenSSLTLS10
	OpenSSLTLS11
	OpenSSLTLS10And11
	OpenSSLTLS12
	OpenSSLTLS13
	OpenSSLNull      // suites without encryption, TLS 1.2
	OpenSSLAnonymous // suites without authentication, TLS 1.2; presents no certificate
	OpenSSLStaticRSA // key exchange without forward secrecy, TLS 1.2; needs an RSA key
	OpenSSLDHE       // finite-field Diffie-Hellman, TLS 1.2; needs an RSA key
	OpenSSLCBC       // AES-CBC with static RSA, TLS 1.2; needs an RSA key
	OpenSSLClientRenegotiation
	OpenSSLMutual     // asks for a client certificate that TLS.CA issued, and goes on without
	OpenSSLMutualMust // insists on one
	OpenSSLSmallKey   // accepts an RSA key of 1024 bits as its own
	OpenSSLHybrid     // X25519MLKEM768 before X25519, TLS 1.3; needs Root
)

const anySuite = "ALL:@SECLEVEL=0"

var opensslPostures = []struct {
	name string
	args []string
}{
	OpenSSLModern:              {"modern", []string{"-min_protocol", "TLSv1.2"}},
	OpenSSLTLS10:               {"TLS 1.0", []string{"-tls1", "-cipher", anySuite}},
	OpenSSLTLS11:               {"TLS 1.1", []string{"-tls1_1", "-cipher", anySuite}},
	OpenSSLTLS10And11:          {"TLS 1.0 and 1.1", []string{"-min_protocol", "TLSv1", "-max_protocol", "TLSv1.1", "-cipher", anySuite}},
	OpenSSLTLS12:               {"TLS 1.2", []string{"-tls1_2"}},
	OpenSSLTLS13:               {"TLS 1.3", []string{"-tls1_3"}},
	OpenSSLNull:                {"NULL", []string{"-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"}},
	OpenSSLAnonymous:           {"anonymous", []string{"-tls1_2", "-cipher", "aNULL:@SECLEVEL=0", "-nocert"}},
	OpenSSLStaticRSA:           {"static RSA", []string{"-tls1_2", "-cipher", "kRSA"}},
	OpenSSLDHE:                 {"DHE", []string{"-tls1_2", "-cipher", "kDHE"}},
	OpenSSLCBC:                 {"CBC", []string{"-tls1_2", "-cipher", "AES128-SHA:AES256-SHA256"}},
	OpenSSLClientRenegotiation: {"client renegotiation", []string{"-tls1_2", "-client_renegotiation"}},
	OpenSSLMutual:              {"mutual", []string{"-verify", "3"}},
	OpenSSLMutualMust:          {"mutual, mandatory", []string{"-Verify", "3", "-verify_return_error"}},
	OpenSSLSmallKey:            {"small key", []string{"-tls1_2", "-cipher", "DEFAULT:@SECLEVEL=0"}},
	OpenSSLHybrid:              {"hybrid", []string{"-tls1_3", "-groups", "X25519MLKEM768:X25519"}},
}

// String names the posture.
func (p OpenSSLPosture) String() string {
	if int(p) >= len(opensslPostures) {
		return fmt.Sprintf("posture(%d)", uint8(p))
	}
	return opensslPostures[p].name
}

// OpenSSL is an s_server, which answers every request with a page about the connection. It
// serves one connection at a time.
type OpenSSL struct {
	TLS     Material // may be empty with OpenSSLAnonymous
	Posture OpenSSLPosture
	Extra   []string // further arguments
	Root    string   // from Trixie(t, "openssl"): OpenSSL 3.5
}

// TLSServer is a running s_server or gnutls-serv.
type TLSServer struct {
	*Process
	Addr string
}

// Start runs openssl s_server.
func (o OpenSSL) Start(tb testing.TB) *TLSServer {
	tb.Helper()
	path := locate(tb, o.Root, "openssl")
	dir := NewDir(tb, o.Root)
	s := &TLSServer{Addr: at(FreePort(tb))}
	args := append([]string{"s_server", "-accept", s.Addr, "-www"}, opensslPostures[o.Posture].args...)
	if o.Posture != OpenSSLAnonymous {
		m := o.TLS.install(tb, dir, "server")
		args = append(args, "-cert", m.Chain, "-cert_chain", m.Chain, "-key", m.Key)
		if m.CA != "" {
			args = append(args, "-CAfile", m.CA)
		}
	}
	s.Process = Start(tb, Cmd{Path: path, Args: append(args, o.Extra...), Root: o.Root, TCP: []string{s.Addr}})
	return s
}
