package testca

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// sign completes the template with a random serial number and has it signed. A template that
// is its own parent becomes self-signed.
func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, err
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive, and always of one length
	template.SerialNumber = new(big.Int).SetBytes(serial)

	algorithm := template.SignatureAlgorithm
	if algorithm == x509.MD5WithRSA {
		template.SignatureAlgorithm = x509.SHA256WithRSA // crypto/x509 signs no MD5; see resignMD5
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	if algorithm == x509.MD5WithRSA {
		if der, err = resignMD5(der, key); err != nil {
			return nil, err
		}
	}
	return x509.ParseCertificate(der)
}

func isRSA(key crypto.Signer) bool {
	_, ok := key.Public().(*rsa.PublicKey)
	return ok
}

// The object identifiers differ in their last byte only (RFC 8017 appendix A.2.4), so one
// can stand in for the other without moving a length.
var (
	oidSHA256WithRSA = []byte{0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11}
	oidMD5WithRSA    = []byte{0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4}
)

// resignMD5 turns a certificate signed with SHA-256 into the same one signed with MD5.
func resignMD5(der []byte, key crypto.Signer) ([]byte, error) {
	if !isRSA(key) {
		return nil, errors.New("an MD5 signature needs an RSA issuer")
	}
	var cert struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		return nil, err
	}
	tbs := bytes.Replace(cert.TBS.FullBytes, oidSHA256WithRSA, oidMD5WithRSA, 1)
	digest := md5.Sum(tbs)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.MD5)
	if err != nil {
		return nil, fmt.Errorf("sign with MD5: %w", err)
	}
	cert.TBS = asn1.RawValue{FullBytes: tbs}
	cert.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4}
	cert.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return asn1.Marshal(cert)
}
