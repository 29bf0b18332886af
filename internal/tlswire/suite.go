package tlswire

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
)

type entry struct {
	id   uint16
	name string
}

// Two numbers that stand among the suites of a ClientHello and are signals, not suites.
const (
	SCSVRenegotiation uint16 = 0x00ff // TLS_EMPTY_RENEGOTIATION_INFO_SCSV, RFC 5746 §3.3
	SCSVFallback      uint16 = 0x5600 // TLS_FALLBACK_SCSV, RFC 7507
)

// Weakness is a set of reasons against a cipher suite.
type Weakness uint16

// The reasons, the worst first.
const (
	NoEncryption     Weakness = 1 << iota // content travels in the clear
	Anonymous                             // nobody proves who they are: any man in the middle fits
	Export                                // keys shortened by the export law of the 1990s (FREAK, Logjam)
	ShortKey                              // less than 112 bits: DES, RC2-40, RC4-40 and -56
	RC4                                   // biased key stream, forbidden by RFC 7465
	SmallBlock                            // 64-bit blocks: 3DES, IDEA, RC2, DES, MAGMA (SWEET32)
	MD5                                   // HMAC with MD5
	NoForwardSecrecy                      // who gets the server's key later reads what was recorded before
	CBC                                   // MAC then encrypt: padding oracles (Lucky 13, POODLE)
	FiniteFieldDHE                        // the client cannot choose the group and cannot check it (RFC 9325 §4.1)
	ShortTag                              // CCM_8 authenticates with 64 bits
)

// Broken is what no peer may accept, whatever its clients are: RFC 9325 §4.1 says MUST NOT or
// the cipher has a practical attack.
const Broken = NoEncryption | Anonymous | Export | ShortKey | RC4 | SmallBlock | MD5

var weaknessNames = []string{
	"no encryption", "anonymous", "export", "short key", "RC4", "64-bit block", "MD5",
	"no forward secrecy", "CBC", "finite-field DHE", "short tag",
}

// String lists the reasons, the worst first, as "RC4, MD5"; the empty set is "none".
func (w Weakness) String() string {
	var names []string
	for i, name := range weaknessNames {
		if w&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Suite is a cipher suite taken apart. In TLS 1.3 a suite says nothing about key exchange and
// authentication; both are empty then.
type Suite struct {
	ID             uint16
	Name           string // as registered, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	KeyExchange    string // RSA, DH, DHE, ECDH, ECDHE, PSK, DHE_PSK, ECDHE_PSK, RSA_PSK, KRB5, SRP, ECCPWD, GOST
	Authentication string // RSA, DSS, ECDSA, anon, PSK, KRB5, SRP, ECCPWD, GOST
	Cipher         string // AES_128_GCM, 3DES_EDE_CBC, NULL, …
	Bits           int    // effective key length: 112 for 3DES, 0 for NULL
	Hash           string // of the MAC, or of the PRF where the cipher authenticates itself
	AEAD           bool
	Weakness       Weakness
}

// known is the registry taken apart, in its order, without the signalling values.
var known = sync.OnceValue(func() []Suite {
	suites := make([]Suite, 0, len(registry))
	for _, e := range registry {
		if e.id != SCSVRenegotiation && e.id != SCSVFallback {
			suites = append(suites, takeApart(e))
		}
	}
	return suites
})

// LookupSuite finds a suite by number. Signalling values are not suites.
func LookupSuite(id uint16) (Suite, bool) {
	suites := known()
	i, found := slices.BinarySearchFunc(suites, id, func(s Suite, id uint16) int { return cmp.Compare(s.ID, id) })
	if !found {
		return Suite{}, false
	}
	return suites[i], true
}

// SuiteName returns the registered name, also of the two signalling values, or "0x1234" for an
// unknown number.
func SuiteName(id uint16) string {
	i, found := slices.BinarySearchFunc(registry[:], id, func(e entry, id uint16) int { return cmp.Compare(e.id, id) })
	if !found {
		return fmt.Sprintf("0x%04X", id)
	}
	return registry[i].name
}

// WeakSuites returns the numbers of all suites with at least one of the given weaknesses, in
// registry order. Old servers choke on a ClientHello with more than about a hundred suites:
// offer them in portions.
func WeakSuites(of Weakness) []uint16 {
	var ids []uint16
	for _, s := range known() {
		if s.Weakness&of != 0 {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Suites returns the numbers of all suites that can be negotiated with the version, in
// registry order; more than 300 for TLS 1.2. See [WeakSuites] about portions.
func Suites(version uint16) []uint16 {
	var ids []uint16
	for _, s := range known() {
		if s.For(version) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// For reports whether the suite can be negotiated with the version. Authenticated encryption
// and SHA-2 came with TLS 1.2 (RFC 5246 §1.2); TLS 1.3 has suites of its own.
func (s Suite) For(version uint16) bool {
	tls13 := s.KeyExchange == ""
	switch {
	case s.Cipher == "NULL" && s.Hash == "NULL": // the state before a handshake; never negotiated
		return false
	case version >= tls.VersionTLS13 || tls13:
		return version >= tls.VersionTLS13 && tls13
	case version >= tls.VersionTLS12:
		return true
	default:
		return !s.AEAD && (s.Hash == "SHA" || s.Hash == "MD5")
	}
}

// common reports whether servers with a certificate may well have the suite: what an offer
// consists of when none is given.
func (s Suite) common() bool {
	switch s.KeyExchange {
	case "", "RSA", "DHE", "ECDHE":
	default:
		return false
	}
	return s.Authentication != "anon" && s.Authentication != "DSS" && s.Weakness&(NoEncryption|Export|ShortKey) == 0 &&
		!strings.HasPrefix(s.Cipher, "ARIA") && !strings.HasPrefix(s.Cipher, "SEED") && !strings.HasPrefix(s.Cipher, "IDEA")
}

// preferred is what is common, the sound suites first and those with the worst weakness last.
var preferred = sync.OnceValue(func() []Suite {
	suites := slices.DeleteFunc(slices.Clone(known()), func(s Suite) bool { return !s.common() })
	slices.SortStableFunc(suites, func(a, b Suite) int {
		worst := cmp.Compare(bits.TrailingZeros16(uint16(b.Weakness)), bits.TrailingZeros16(uint16(a.Weakness)))
		return cmp.Or(worst, cmp.Compare(a.Weakness, b.Weakness)) // equal at worst: the fewer, the better
	})
	return suites
})

func takeApart(e entry) Suite {
	s := Suite{ID: e.id, Name: e.name}
	exchange, rest, hasExchange := strings.Cut(strings.TrimPrefix(e.name, "TLS_"), "_WITH_")
	if !hasExchange {
		exchange, rest = "", exchange
	}
	if exchange == "GOSTR341112_256" {
		return gost(s, rest)
	}
	for _, mark := range []string{"_EXPORT1024", "_EXPORT"} {
		if e, ok := strings.CutSuffix(exchange, mark); ok {
			exchange = e
			s.Weakness |= Export
			break
		}
	}
	s.KeyExchange, s.Authentication = parties(exchange)
	s.cipher(rest)

	anonymous := s.Authentication == "anon" // and so ephemeral, although the name says DH and not DHE
	switch s.KeyExchange {
	case "RSA", "PSK", "RSA_PSK", "KRB5", "NULL":
		s.Weakness |= NoForwardSecrecy
	case "DH", "ECDH":
		if !anonymous {
			s.Weakness |= NoForwardSecrecy
		}
	}
	if s.KeyExchange == "DHE" || s.KeyExchange == "DHE_PSK" || s.KeyExchange == "DH" && anonymous {
		s.Weakness |= FiniteFieldDHE
	}
	if anonymous || s.Authentication == "NULL" {
		s.Weakness |= Anonymous
	}
	return s
}

// parties splits the part before WITH.
func parties(exchange string) (kx, auth string) {
	switch exchange {
	case "": // TLS 1.3
		return "", ""
	case "RSA", "PSK", "KRB5", "ECCPWD", "NULL":
		return exchange, exchange
	case "PSK_DHE": // the registry has the words of two suites the other way round (RFC 6655 §3)
		return "DHE_PSK", "PSK"
	case "RSA_PSK":
		return "RSA_PSK", "RSA"
	case "SRP_SHA":
		return "SRP", "SRP"
	}
	if who, ok := strings.CutPrefix(exchange, "SRP_SHA_"); ok {
		return "SRP", who
	}
	kx, auth, _ = strings.Cut(exchange, "_")
	if auth == "PSK" {
		kx += "_PSK"
	}
	return kx, auth
}

// cipher reads "AES_128_CBC_SHA" and its kin.
func (s *Suite) cipher(name string) {
	if name == "SHA256_SHA256" || name == "SHA384_SHA384" { // integrity only, RFC 9150
		s.Cipher, s.Hash, s.AEAD = "NULL", name[:6], true
		s.Weakness |= NoEncryption
		return
	}
	s.Cipher, s.Hash = name, "SHA256" // the CCM suites of RFC 6655 do not name their hash
	if i := strings.LastIndexByte(name, '_'); i >= 0 {
		switch last := name[i+1:]; last {
		case "SHA", "MD5", "SHA256", "SHA384", "SM3", "NULL":
			s.Cipher, s.Hash = name[:i], last
		}
	}
	s.AEAD = strings.Contains(s.Cipher, "_GCM") || strings.Contains(s.Cipher, "_CCM") || strings.Contains(s.Cipher, "POLY1305")

	algorithm, _, _ := strings.Cut(s.Cipher, "_")
	switch {
	case algorithm == "NULL":
		s.Weakness |= NoEncryption
	case algorithm == "3DES":
		s.Bits = 112
	case algorithm == "DES40", strings.HasSuffix(s.Cipher, "_40"):
		s.Bits = 40
	case algorithm == "DES", strings.HasSuffix(s.Cipher, "_56"):
		s.Bits = 56
	case algorithm == "CHACHA20", strings.Contains(s.Cipher, "_256"):
		s.Bits = 256
	default: // AES_128, CAMELLIA_128, ARIA_128, RC4_128, IDEA, SEED, SM4
		s.Bits = 128
	}
	if s.Bits > 0 && s.Bits < 112 {
		s.Weakness |= ShortKey
	}
	switch algorithm {
	case "RC4":
		s.Weakness |= RC4
	case "3DES", "DES", "DES40", "RC2", "IDEA":
		s.Weakness |= SmallBlock
	}
	if strings.Contains(s.Cipher, "_CBC") {
		s.Weakness |= CBC
	}
	if strings.HasSuffix(s.Cipher, "_CCM_8") {
		s.Weakness |= ShortTag
	}
	if s.Hash == "MD5" {
		s.Weakness |= MD5
	}
}

// gost covers RFC 9189 (TLS 1.2) and RFC 9367 (TLS 1.3, the MGM suites).
func gost(s Suite, cipher string) Suite {
	s.Cipher, s.Bits, s.Hash = cipher, 256, "GOSTR341112_256"
	if s.AEAD = strings.Contains(cipher, "_MGM_"); !s.AEAD {
		s.KeyExchange, s.Authentication = "GOST", "GOST"
		s.Weakness |= NoForwardSecrecy // the server's key agreement key is the certified one
	}
	if strings.HasPrefix(cipher, "MAGMA") || strings.HasPrefix(cipher, "28147") {
		s.Weakness |= SmallBlock
	}
	return s
}
