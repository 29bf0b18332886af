package ntlm

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers of SPNEGO (RFC 4178) and NTLMSSP (MS-SPNG 1.9), as encoded content.
var (
	oidSPNEGO  = []byte{0x2b, 6, 1, 5, 5, 2}
	oidNTLMSSP = []byte{0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10}
)

func context(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }

// WrapInit puts the first NTLM message into a SPNEGO NegTokenInit that offers NTLM only.
func WrapInit(token []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.Tag(0).Constructed()|0x40, func(b *cryptobyte.Builder) { // InitialContextToken, RFC 2743, 3.1
		b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(oidSPNEGO) })
		b.AddASN1(context(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(context(0), func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(oidNTLMSSP) })
					})
				})
				b.AddASN1(context(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(token) })
			})
		})
	})
	return b.BytesOrPanic()
}

// WrapNext puts a later NTLM message into a NegTokenResp.
func WrapNext(token []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(context(1), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(context(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(token) })
		})
	})
	return b.BytesOrPanic()
}

// Unwrap takes the NTLM message out of a server's NegTokenResp. A bare NTLM message, which
// some servers send, is returned as it is.
func Unwrap(data []byte) ([]byte, error) {
	if len(data) >= len(signature) && string(data[:len(signature)]) == signature {
		return data, nil
	}
	in := cryptobyte.String(data)
	var resp, seq cryptobyte.String
	if !in.ReadASN1(&resp, context(1)) || !in.Empty() || !resp.ReadASN1(&seq, asn1.SEQUENCE) {
		return nil, errors.New("ntlm: the server's answer is no SPNEGO token")
	}
	var field cryptobyte.String
	var has bool
	if seq.ReadOptionalASN1(&field, &has, context(0)) && has {
		var state int
		if field.ReadASN1Enum(&state) && state == 2 {
			return nil, errors.New("ntlm: the server rejects NTLM")
		}
	}
	if seq.ReadOptionalASN1(&field, &has, context(1)) && has {
		var oid cryptobyte.String
		if !field.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) || string(oid) != string(oidNTLMSSP) {
			return nil, fmt.Errorf("ntlm: the server chose a mechanism that was not offered (%x)", []byte(oid))
		}
	}
	var token cryptobyte.String
	if !seq.ReadOptionalASN1(&field, &has, context(2)) || !has || !field.ReadASN1(&token, asn1.OCTET_STRING) {
		return nil, errors.New("ntlm: the server's SPNEGO answer carries no token")
	}
	return token, nil
}
