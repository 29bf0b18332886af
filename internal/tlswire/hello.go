package tlswire

import (
	"crypto/ecdh"
	"crypto/mlkem"
	crand "crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// Extension numbers (IANA "TLS ExtensionType Values").
const (
	extServerName           = 0
	extStatusRequest        = 5
	extSupportedGroups      = 10
	extPointFormats         = 11
	extSignatureAlgorithms  = 13
	extALPN                 = 16
	extPadding              = 21
	extExtendedMasterSecret = 23
	extSessionTicket        = 35
	extSupportedVersions    = 43
	extCookie               = 44
	extPSKModes             = 45
	extKeyShare             = 51
	extRenegotiationInfo    = 0xff01
)

// Hello is what a ClientHello offers. Only MaxVersion is required.
type Hello struct {
	// MaxVersion is the highest version offered: VersionSSL30 to tls.VersionTLS13.
	MaxVersion uint16
	// MinVersion is the lowest version offered next to TLS 1.3. Default: MaxVersion. Up to
	// TLS 1.2 a ClientHello cannot express a minimum, and the server may answer with any
	// lower version: look at Flight.Version.
	MinVersion uint16
	// Suites in order of preference, any numbers. Default: those that servers with a
	// certificate commonly have, old ones included, the sound ones first: a server that
	// leaves the choice to the client then picks its best. With suites of TLS 1.3 and of
	// earlier versions in one offer, the version decides which of them count.
	Suites []uint16
	// Groups in order of preference. Default: X25519MLKEM768 and SecP256r1MLKEM768 for
	// TLS 1.3, then X25519, P-256, P-384, P-521, X448, ffdhe2048 to ffdhe4096 and the Brainpool
	// curves: up to TLS 1.2 a server may show a certificate only on a curve that is offered
	// (RFC 8422 §5.3).
	Groups []uint16
	// KeyShares are the groups to send a key share for; it must be a subset of Groups in
	// the same order. Default none: the server then answers with a HelloRetryRequest that
	// names version, suite and its preferred group, which costs neither side a key pair
	// (RFC 8446 §4.2.8). Supported are X25519, the NIST curves, and their ML-KEM hybrids.
	KeyShares []uint16
	// SignatureSchemes default to all that verify anywhere, SHA-1 included, so that no
	// server fails over its certificate.
	SignatureSchemes []uint16
	// ServerName goes into SNI if it is a host name. An address or an empty name sends
	// none (RFC 6066 §3).
	ServerName string
	// ALPN offers application protocols, such as "h2" or "tds/8.0".
	ALPN []string
	// Deflate offers record compression next to none, to find a server that accepts it
	// (CRIME). Only up to TLS 1.2.
	Deflate bool
	// OmitStatusRequest does not ask for a stapled OCSP response.
	OmitStatusRequest bool
}

var defaultSchemes = []uint16{
	0x0403, 0x0503, 0x0603, 0x0807, 0x0808, // ECDSA P-256, P-384, P-521; Ed25519, Ed448
	0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, // RSA-PSS with an RSA key, with a PSS key
	0x0401, 0x0501, 0x0601, 0x0303, 0x0301, // RSA PKCS #1 and what is left of SHA-224
	0x0203, 0x0201, 0x0402, 0x0202, // SHA-1 with ECDSA and RSA, DSA
	0x081a, 0x081b, 0x081c, // ECDSA on the Brainpool curves in TLS 1.3, RFC 8734
	0x0904, 0x0905, 0x0906, // ML-DSA
}

var (
	hybridGroups    = []uint16{GroupX25519MLKEM, GroupSecP256MLKEM}
	classicalGroups = []uint16{GroupX25519, GroupSecp256r1, GroupSecp384r1, GroupSecp521r1, GroupX448, GroupFFDHE2048, GroupFFDHE3072, GroupFFDHE4096,
		26, 27, 28} // brainpoolP256r1, P384r1, P512r1, RFC 7027
)

// withDefaults fills in the fields and refuses what cannot be encoded.
func (h Hello) withDefaults() (Hello, error) {
	if h.MaxVersion < VersionSSL30 || h.MaxVersion > tls.VersionTLS13 {
		return h, fmt.Errorf("tlswire: cannot offer version %s", VersionName(h.MaxVersion))
	}
	if h.MinVersion == 0 {
		h.MinVersion = h.MaxVersion
	}
	if h.MinVersion > h.MaxVersion || h.MinVersion < VersionSSL30 {
		return h, fmt.Errorf("tlswire: cannot offer versions from %s to %s", VersionName(h.MinVersion), VersionName(h.MaxVersion))
	}
	if h.Suites == nil {
		versions := h.versions()
		for _, s := range preferred() {
			if slices.ContainsFunc(versions, s.For) {
				h.Suites = append(h.Suites, s.ID)
			}
		}
	}
	if h.Groups == nil {
		if h.MaxVersion >= tls.VersionTLS13 {
			h.Groups = slices.Concat(hybridGroups, classicalGroups)
		} else {
			h.Groups = classicalGroups
		}
	}
	if h.SignatureSchemes == nil {
		h.SignatureSchemes = defaultSchemes
	}
	switch {
	case len(h.Suites) == 0 || len(h.Suites) > 1<<15-2:
		return h, fmt.Errorf("tlswire: cannot offer %d suites", len(h.Suites))
	case len(h.ServerName) > 255:
		return h, errors.New("tlswire: the server name is longer than 255 bytes")
	case len(h.Groups) > 1<<14 || len(h.SignatureSchemes) > 1<<14:
		return h, errors.New("tlswire: too many groups or signature schemes")
	}
	for _, p := range h.ALPN {
		if p == "" || len(p) > 255 {
			return h, errors.New("tlswire: an ALPN protocol has 1 to 255 bytes")
		}
	}
	rest := h.Groups
	for _, g := range h.KeyShares {
		i := slices.Index(rest, g)
		if i < 0 {
			return h, fmt.Errorf("tlswire: key share for %s, which is not offered, or not in this order", GroupName(g))
		}
		rest = rest[i+1:]
	}
	return h, nil
}

// versions lists what is offered, the highest first.
func (h Hello) versions() []uint16 {
	var out []uint16
	for v := h.MaxVersion; v >= h.MinVersion; v-- {
		out = append(out, v)
	}
	return out
}

// Marshal returns the record with the ClientHello. Randomness comes from random; nil means
// crypto/rand. The private halves of key shares are forgotten at once.
func (h Hello) Marshal(random io.Reader) ([]byte, error) {
	if random == nil {
		random = crand.Reader
	}
	h, err := h.withDefaults()
	if err != nil {
		return nil, err
	}
	tls13 := h.MaxVersion >= tls.VersionTLS13
	var seed [64]byte // client random and session ID
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("tlswire: read randomness: %w", err)
	}
	var shares []cryptobyte.BuilderContinuation
	if tls13 {
		for _, g := range h.KeyShares {
			share, err := keyShare(g, random)
			if err != nil {
				return nil, err
			}
			shares = append(shares, func(b *cryptobyte.Builder) {
				b.AddUint16(g)
				b.AddUint16LengthPrefixed(bytesOf(share))
			})
		}
	}

	suites := h.Suites
	// SSL 3.0 has no extensions; the signal stands for renegotiation_info.
	if h.MaxVersion == VersionSSL30 && !slices.Contains(suites, SCSVRenegotiation) {
		suites = append(slices.Clip(suites), SCSVRenegotiation)
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	b.AddUint16(min(h.MaxVersion, tls.VersionTLS12))
	b.AddBytes(seed[:32])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		if tls13 { // middlebox compatibility, RFC 8446 appendix D.4
			b.AddBytes(seed[32:])
		}
	})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addUint16s(b, suites) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		if h.Deflate && !tls13 {
			b.AddUint8(1)
		}
		b.AddUint8(0)
	})
	if h.MaxVersion > VersionSSL30 {
		fixed := len(b.BytesOrPanic())
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			h.extensions(b, shares)
			// Some servers hang on a message of 256 to 511 bytes (RFC 7685 §4).
			// The bytes of b begin with the room for their length.
			if n := 4 + fixed + len(b.BytesOrPanic()); n >= 256 && n < 512 {
				b.AddUint16(extPadding)
				b.AddUint16LengthPrefixed(bytesOf(make([]byte, max(512-n-4, 0))))
			}
		})
	}
	body, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("tlswire: encode the ClientHello: %w", err)
	}
	if len(body)+4 > 1<<14 {
		return nil, errors.New("tlswire: the ClientHello does not fit into one record")
	}
	// Servers that know nothing of a version must still accept its first record
	// (RFC 8446 §5.1, RFC 5246 appendix E.1).
	out := make([]byte, 0, 9+len(body))
	out = append(out, recordHandshake, 3, uint8(min(h.MaxVersion, tls.VersionTLS10)))
	out = append(out, uint8((len(body)+4)>>8), uint8(len(body)+4))
	out = append(out, typeClientHello, 0, uint8(len(body)>>8), uint8(len(body)))
	return append(out, body...), nil
}

func (h Hello) extensions(b *cryptobyte.Builder, shares []cryptobyte.BuilderContinuation) {
	extension := func(id uint16, body cryptobyte.BuilderContinuation) {
		b.AddUint16(id)
		b.AddUint16LengthPrefixed(body)
	}
	list := func(id uint16, values []uint16) {
		extension(id, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addUint16s(b, values) })
		})
	}
	if name := sniName(h.ServerName); name != "" {
		extension(extServerName, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint8(0) // host_name
				b.AddUint16LengthPrefixed(bytesOf([]byte(name)))
			})
		})
	}
	extension(extExtendedMasterSecret, func(*cryptobyte.Builder) {})
	extension(extRenegotiationInfo, func(b *cryptobyte.Builder) { b.AddUint8(0) })
	if len(h.Groups) > 0 {
		list(extSupportedGroups, h.Groups)
		extension(extPointFormats, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) }) // uncompressed
		})
	}
	if !h.OmitStatusRequest {
		extension(extStatusRequest, func(b *cryptobyte.Builder) {
			b.AddUint8(1) // ocsp, with no responder IDs and no extensions
			b.AddUint16(0)
			b.AddUint16(0)
		})
	}
	if h.MaxVersion >= tls.VersionTLS12 && len(h.SignatureSchemes) > 0 {
		list(extSignatureAlgorithms, h.SignatureSchemes)
	}
	if len(h.ALPN) > 0 {
		extension(extALPN, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, p := range h.ALPN {
					b.AddUint8LengthPrefixed(bytesOf([]byte(p)))
				}
			})
		})
	}
	if h.MaxVersion < tls.VersionTLS13 {
		return
	}
	extension(extSupportedVersions, func(b *cryptobyte.Builder) {
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
			addUint16s(b, h.versions())
		})
	})
	extension(extPSKModes, func(b *cryptobyte.Builder) {
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(1) }) // psk_dhe_ke
	})
	extension(extKeyShare, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, share := range shares {
				share(b)
			}
		})
	})
}

// sniName returns what SNI may carry: a host name without its trailing dot, or nothing.
func sniName(host string) string {
	host = strings.TrimSuffix(host, ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ""
	}
	return host
}

func addUint16s(b *cryptobyte.Builder, values []uint16) {
	for _, v := range values {
		b.AddUint16(v)
	}
}

func bytesOf(p []byte) cryptobyte.BuilderContinuation {
	return func(b *cryptobyte.Builder) { b.AddBytes(p) }
}

// keyShare makes a valid public value. In the hybrids, ML-KEM comes first with X25519 and
// second with the NIST curves (draft-ietf-tls-ecdhe-mlkem §4.1).
func keyShare(group uint16, random io.Reader) ([]byte, error) {
	switch group {
	case GroupX25519:
		return ecdhShare(ecdh.X25519(), random)
	case GroupSecp256r1:
		return ecdhShare(ecdh.P256(), random)
	case GroupSecp384r1:
		return ecdhShare(ecdh.P384(), random)
	case GroupSecp521r1:
		return ecdhShare(ecdh.P521(), random)
	case GroupX25519MLKEM:
		return hybridShare(mlkem768Share, ecdhX25519, random)
	case GroupSecP256MLKEM:
		return hybridShare(ecdhP256, mlkem768Share, random)
	case GroupSecP384MLKEM:
		return hybridShare(ecdhP384, mlkem1024Share, random)
	}
	return nil, fmt.Errorf("tlswire: cannot make a key share for %s", GroupName(group))
}

type shareFunc func(io.Reader) ([]byte, error)

func ecdhX25519(random io.Reader) ([]byte, error) { return ecdhShare(ecdh.X25519(), random) }
func ecdhP256(random io.Reader) ([]byte, error)   { return ecdhShare(ecdh.P256(), random) }
func ecdhP384(random io.Reader) ([]byte, error)   { return ecdhShare(ecdh.P384(), random) }

func hybridShare(first, second shareFunc, random io.Reader) ([]byte, error) {
	a, err := first(random)
	if err != nil {
		return nil, err
	}
	b, err := second(random)
	return append(a, b...), err
}

func ecdhShare(curve ecdh.Curve, random io.Reader) ([]byte, error) {
	// A scalar of half the size is below every order, so that any bytes will do; this key
	// guards nothing.
	size := map[ecdh.Curve]int{ecdh.X25519(): 32, ecdh.P256(): 32, ecdh.P384(): 48, ecdh.P521(): 66}[curve]
	scalar := make([]byte, size)
	if _, err := io.ReadFull(random, scalar[size/2:]); err != nil {
		return nil, fmt.Errorf("tlswire: read randomness: %w", err)
	}
	scalar[size-1] |= 1 // not zero
	key, err := curve.NewPrivateKey(scalar)
	if err != nil {
		return nil, fmt.Errorf("tlswire: make a key share: %w", err)
	}
	return key.PublicKey().Bytes(), nil
}

func mlkem768Share(random io.Reader) ([]byte, error) {
	seed := make([]byte, mlkem.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("tlswire: read randomness: %w", err)
	}
	key, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		return nil, err
	}
	return key.EncapsulationKey().Bytes(), nil
}

func mlkem1024Share(random io.Reader) ([]byte, error) {
	seed := make([]byte, mlkem.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("tlswire: read randomness: %w", err)
	}
	key, err := mlkem.NewDecapsulationKey1024(seed)
	if err != nil {
		return nil, err
	}
	return key.EncapsulationKey().Bytes(), nil
}
