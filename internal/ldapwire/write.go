package ldapwire

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Scopes of a search (RFC 4511, 4.5.1.2).
const (
	ScopeBase = 0
	ScopeOne  = 1
	ScopeSub  = 2
)

// message builds an envelope. The builder fails only beyond 4 GB, which none of the callers
// can reach.
func message(id int32, op byte, body func(*cryptobyte.Builder)) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, 128))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(int64(id))
		b.AddASN1(asn1.Tag(op), func(b *cryptobyte.Builder) { body(b) })
	})
	return b.BytesOrPanic()
}

func octets(b *cryptobyte.Builder, tag byte, value []byte) {
	b.AddASN1(asn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes(value) })
}

// Bind builds a bind request with any authentication choice whose content is opaque bytes:
// [AuthSimple] with the password, or a Sicily token.
func Bind(id int32, name string, auth byte, creds []byte) []byte {
	return message(id, OpBindRequest, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		octets(b, TagOctets, []byte(name))
		octets(b, auth, creds)
	})
}

// BindSASL builds a SASL bind request. nil credentials are left out, empty ones are sent
// (RFC 4513, 5.2.1.2 tells them apart).
func BindSASL(id int32, mechanism string, creds []byte) []byte {
	return message(id, OpBindRequest, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		octets(b, TagOctets, nil)
		b.AddASN1(asn1.Tag(AuthSASL), func(b *cryptobyte.Builder) {
			octets(b, TagOctets, []byte(mechanism))
			if creds != nil {
				octets(b, TagOctets, creds)
			}
		})
	})
}

// Search builds a search for (objectClass=*). The server is asked for at most size entries
// and seconds of work. No attributes means the attribute names of RFC 4511, 4.5.1.8 "1.1".
func Search(id int32, base string, scope, size, seconds int, attrs ...string) []byte {
	if len(attrs) == 0 {
		attrs = []string{"1.1"}
	}
	return message(id, OpSearchRequest, func(b *cryptobyte.Builder) {
		octets(b, TagOctets, []byte(base))
		b.AddASN1Enum(int64(scope))
		b.AddASN1Enum(0) // never dereference aliases
		b.AddASN1Int64(int64(size))
		b.AddASN1Int64(int64(seconds))
		b.AddASN1Boolean(false)
		octets(b, 0x87, []byte("objectClass")) // present filter
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, a := range attrs {
				octets(b, TagOctets, []byte(a))
			}
		})
	})
}

// Extended builds an extended request without value.
func Extended(id int32, oid string) []byte {
	return message(id, OpExtendedRequest, func(b *cryptobyte.Builder) { octets(b, 0x80, []byte(oid)) })
}

// Unbind builds the request that ends a session.
func Unbind(id int32) []byte {
	return message(id, OpUnbindRequest, func(*cryptobyte.Builder) {})
}

// Answer builds a response of the given operation from a result.
func Answer(id int32, op byte, r Result) []byte {
	return message(id, op, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(r.Code))
		octets(b, TagOctets, []byte(r.MatchedDN))
		octets(b, TagOctets, []byte(r.Diagnostic))
		if len(r.Referrals) > 0 {
			b.AddASN1(asn1.Tag(0xa3), func(b *cryptobyte.Builder) {
				for _, u := range r.Referrals {
					octets(b, TagOctets, []byte(u))
				}
			})
		}
		if r.Creds != nil {
			octets(b, 0x87, r.Creds)
		}
		if r.Name != "" {
			octets(b, 0x8a, []byte(r.Name))
		}
	})
}

// Entry builds a search result entry.
func Entry(id int32, dn string, attrs []Attribute) []byte {
	return message(id, OpSearchEntry, func(b *cryptobyte.Builder) {
		octets(b, TagOctets, []byte(dn))
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, a := range attrs {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					octets(b, TagOctets, []byte(a.Name))
					b.AddASN1(asn1.Tag(TagSet), func(b *cryptobyte.Builder) {
						for _, v := range a.Values {
							octets(b, TagOctets, []byte(v))
						}
					})
				})
			}
		})
	})
}
