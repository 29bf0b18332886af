package tlscheck

import (
	"crypto/x509"
	encoding_asn1 "encoding/asn1"
	"encoding/pem"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// crypto/x509 refuses a certificate as a whole if its key is on a curve that it does not have,
// and says nothing of what other keys are. So that such a file is not taken for a damaged one,
// the algorithm is read here.

// unreadKeys names the algorithms and curves that exist and that crypto/x509 does not read as keys.
var unreadKeys = map[string]string{
	"1.3.36.3.3.2.8.1.1.5":    "ECDSA brainpoolP224r1",
	"1.3.36.3.3.2.8.1.1.7":    "ECDSA brainpoolP256r1", // RFC 5639 §4.1
	"1.3.36.3.3.2.8.1.1.8":    "ECDSA brainpoolP256t1",
	"1.3.36.3.3.2.8.1.1.9":    "ECDSA brainpoolP320r1",
	"1.3.36.3.3.2.8.1.1.11":   "ECDSA brainpoolP384r1",
	"1.3.36.3.3.2.8.1.1.12":   "ECDSA brainpoolP384t1",
	"1.3.36.3.3.2.8.1.1.13":   "ECDSA brainpoolP512r1",
	"1.3.36.3.3.2.8.1.1.14":   "ECDSA brainpoolP512t1",
	"1.3.132.0.10":            "ECDSA secp256k1",
	"1.2.156.10197.1.301":     "SM2",
	"1.2.643.7.1.1.1.1":       "GOST R 34.10-2012",
	"1.2.643.7.1.1.1.2":       "GOST R 34.10-2012",
	"1.3.101.113":             "Ed448", // RFC 8410 §3
	"1.2.840.113549.1.1.10":   "RSA for PSS alone",
	"2.16.840.1.101.3.4.3.17": "ML-DSA-44", // RFC 9881
	"2.16.840.1.101.3.4.3.18": "ML-DSA-65",
	"2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}

const oidECPublicKey = "1.2.840.10045.2.1"

// unreadKey names the algorithm of a key in DER, private or in a certificate, that is sound as far
// as can be told and not read here; "" for all others.
func unreadKey(der []byte) string {
	s := cryptobyte.String(der)
	var outer, tbs, key cryptobyte.String
	if !s.ReadASN1(&outer, asn1.SEQUENCE) {
		return ""
	}
	if outer.PeekASN1Tag(asn1.INTEGER) { // a private key: PKCS #8, or SEC 1 with the curve as [0]
		var curve encoding_asn1.ObjectIdentifier
		switch outer.SkipASN1(asn1.INTEGER); {
		case outer.PeekASN1Tag(asn1.SEQUENCE):
			return unreadAlgorithm(&outer)
		case outer.SkipASN1(asn1.OCTET_STRING) && outer.ReadASN1(&key, explicit0) && key.ReadASN1ObjectIdentifier(&curve):
			return unreadKeys[curve.String()]
		}
		return ""
	}
	// A certificate: version, serial number, signature, issuer, validity, subject, key (RFC 5280 §4.1).
	if !outer.ReadASN1(&tbs, asn1.SEQUENCE) || !tbs.SkipOptionalASN1(explicit0) || !tbs.SkipASN1(asn1.INTEGER) {
		return ""
	}
	for range 4 {
		if !tbs.SkipASN1(asn1.SEQUENCE) {
			return ""
		}
	}
	if !tbs.ReadASN1(&key, asn1.SEQUENCE) {
		return ""
	}
	return unreadAlgorithm(&key)
}

// unreadAlgorithm is unreadKey for an AlgorithmIdentifier.
func unreadAlgorithm(s *cryptobyte.String) string {
	var alg cryptobyte.String
	var id, curve encoding_asn1.ObjectIdentifier
	if !s.ReadASN1(&alg, asn1.SEQUENCE) || !alg.ReadASN1ObjectIdentifier(&id) {
		return ""
	}
	if id.String() == oidECPublicKey {
		if !alg.ReadASN1ObjectIdentifier(&curve) {
			return ""
		}
		id = curve
	}
	return unreadKeys[id.String()]
}

// unreadCertificate is unreadKey for the certificates of a PEM or DER file.
func unreadCertificate(data []byte) string {
	block, rest := pem.Decode(data)
	if block == nil {
		return unreadKey(data)
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return unreadKey(block.Bytes)
		}
	}
	return ""
}

// ofUnreadKey: go-pkcs12 got so far as to see a key, and crypto/x509 did not know its kind.
func ofUnreadKey(err error) bool {
	for _, text := range []string{"unsupported elliptic curve", "unknown elliptic curve", "unknown algorithm"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
