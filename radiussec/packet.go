package radiussec

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

const (
	headerSize = 20
	typeMA     = byte(rfc2869.MessageAuthenticator_Type)
	typeProxy  = byte(rfc2865.ProxyState_Type)
	sizeMA     = 2 + md5.Size

	codeProtocolError = radius.Code(52) // RFC 7930, 4
)

// Why an answer is not accepted. Errors of [Client.Exchange] wrap one of these where answers
// came and none was good.
var (
	// ErrMalformed: not a RADIUS packet.
	ErrMalformed = errors.New("the packet is malformed")
	// ErrUnexpected: the answer is to another request, or of a kind that does not answer this one.
	ErrUnexpected = errors.New("the packet does not answer this request")
	// ErrResponseAuthenticator: the secret is wrong, or somebody forges answers.
	ErrResponseAuthenticator = errors.New("the Response Authenticator is wrong")
	// ErrUnsigned: there is no Message-Authenticator.
	ErrUnsigned = errors.New("the answer has no Message-Authenticator")
	// ErrMessageAuthenticator: it is wrong.
	ErrMessageAuthenticator = errors.New("the Message-Authenticator is wrong")
	// ErrProxyState: the answer does not return the Proxy-State of the request, or has one
	// that nobody sent, which is how Blast-RADIUS hides its collision blocks.
	ErrProxyState = errors.New("the Proxy-State is not the request's")
)

// encodeRequest writes an Access-Request or Status-Server, with the Message-Authenticator as
// first attribute (draft-ietf-radext-deprecating-radius). A Message-Authenticator that the caller
// set is replaced. signed false leaves it out, which only a probe wants.
func encodeRequest(p *radius.Packet, secret []byte, signed bool) ([]byte, error) {
	if p.Code != radius.CodeAccessRequest && p.Code != radius.CodeStatusServer {
		return nil, fmt.Errorf("radiussec: %v is not sent; Access-Request and Status-Server are", p.Code)
	}
	q := &radius.Packet{Code: p.Code, Identifier: p.Identifier, Authenticator: p.Authenticator, Secret: secret}
	if signed {
		q.Attributes = append(q.Attributes, &radius.AVP{Type: radius.Type(typeMA), Attribute: make([]byte, md5.Size)})
	}
	for _, a := range p.Attributes {
		if len(a.Attribute) > 253 || a.Type < 1 || a.Type > 255 { // the library would leave it out
			return nil, fmt.Errorf("radiussec: attribute %d cannot be sent: %d bytes", a.Type, len(a.Attribute))
		}
		if byte(a.Type) != typeMA {
			q.Attributes = append(q.Attributes, a)
		}
	}
	wire, err := q.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("radiussec: %w", err)
	}
	if signed {
		mac := hmac.New(md5.New, secret)
		mac.Write(wire)
		mac.Sum(wire[headerSize+2 : headerSize+2 : headerSize+sizeMA])
	}
	return wire, nil
}

// reply is an answer that was taken apart but not yet believed.
type reply struct {
	packet *radius.Packet
	wire   []byte // without padding
	ma     int    // offset of the Message-Authenticator, 0: none
	state  []byte // all Proxy-State attributes, as they stand
}

// parseReply takes a packet apart. Bytes beyond its Length are padding (RFC 2865, 3) and cut.
func parseReply(b, secret []byte) (reply, error) {
	if len(b) < headerSize {
		return reply{}, ErrMalformed
	}
	n := int(binary.BigEndian.Uint16(b[2:4]))
	if n < headerSize || n > radius.MaxPacketLength || n > len(b) {
		return reply{}, ErrMalformed
	}
	r := reply{wire: b[:n]}
	for at := headerSize; at < n; {
		if n-at < 2 || int(b[at+1]) < 2 || at+int(b[at+1]) > n {
			return reply{}, ErrMalformed
		}
		size := int(b[at+1])
		switch b[at] {
		case typeMA:
			if size != sizeMA || r.ma != 0 { // one of 16 octets (RFC 3579, 3.2)
				return reply{}, ErrMalformed
			}
			r.ma = at
		case typeProxy:
			r.state = append(r.state, b[at:at+size]...)
		}
		at += size
	}
	packet, err := radius.Parse(r.wire, secret)
	if err != nil {
		return reply{}, ErrMalformed
	}
	r.packet = packet
	return r, nil
}

// answers reports whether a code answers a request (RFC 2865, 4; RFC 5997, 4.2).
func answers(request, code radius.Code) bool {
	switch code {
	case radius.CodeAccessAccept:
		return true
	case radius.CodeAccessReject, radius.CodeAccessChallenge, codeProtocolError:
		return request == radius.CodeAccessRequest
	case radius.CodeAccountingResponse:
		return request == radius.CodeStatusServer // at an accounting port
	}
	return false
}

// believe checks an answer over UDP, or over TLS in the historic form, against the request.
// Everything is compared in constant time, and everything that MD5 covers before anything is
// told apart. Whether a Message-Authenticator must be there is the caller's.
func (r reply) believe(request, secret []byte) error {
	if r.wire[1] != request[1] || !answers(radius.Code(request[0]), r.packet.Code) {
		return ErrUnexpected
	}
	h := md5.New()
	h.Write(r.wire[:4])
	h.Write(request[4:headerSize])
	h.Write(r.wire[headerSize:])
	h.Write(secret)
	if subtle.ConstantTimeCompare(h.Sum(nil), r.wire[4:headerSize]) != 1 {
		return ErrResponseAuthenticator
	}
	if r.ma != 0 && !r.signedWith(request, secret) {
		return ErrMessageAuthenticator
	}
	if subtle.ConstantTimeCompare(r.state, proxyState(request)) != 1 {
		return ErrProxyState
	}
	return nil
}

// signedWith verifies the Message-Authenticator: HMAC-MD5 over the packet with the request's
// authenticator in the header and zeros in the attribute (RFC 3579, 3.2).
func (r reply) signedWith(request, secret []byte) bool {
	value := r.ma + 2
	mac := hmac.New(md5.New, secret)
	mac.Write(r.wire[:4])
	mac.Write(request[4:headerSize])
	mac.Write(r.wire[headerSize:value])
	mac.Write(make([]byte, md5.Size))
	mac.Write(r.wire[value+md5.Size:])
	return hmac.Equal(mac.Sum(nil), r.wire[value:value+md5.Size])
}

// proxyState returns the Proxy-State attributes of a well-formed packet of our own.
func proxyState(wire []byte) []byte {
	var out []byte
	for at := headerSize; at+2 <= len(wire); at += int(wire[at+1]) {
		if wire[at] == typeProxy {
			out = append(out, wire[at:at+int(wire[at+1])]...)
		}
	}
	return out
}

// RADIUS/1.1 (RFC 9765): the same attributes inside TLS, without MD5. The identifier gives way
// to a token of four octets, and the authenticator is reserved.

// encode11 writes a request in that form.
func encode11(p *radius.Packet, token uint32, secret []byte) ([]byte, error) {
	q := &radius.Packet{Code: p.Code, Secret: secret}
	for _, a := range p.Attributes {
		switch a.Type {
		case radius.Type(typeMA): // 5.2: not sent
			continue
		case rfc2865.UserPassword_Type: // 5.1.1: as it is, not hidden
			clear, err := radius.UserPassword(a.Attribute, p.Secret, p.Authenticator[:])
			if err != nil {
				return nil, fmt.Errorf("radiussec: the User-Password was not made for this packet: %w", err)
			}
			a = &radius.AVP{Type: a.Type, Attribute: radius.Attribute(clear)}
		case rfc2865.CHAPPassword_Type:
			if _, ok := p.Lookup(rfc2865.CHAPChallenge_Type); !ok { // 5.1.2
				return nil, errors.New("radiussec: a CHAP-Password needs a CHAP-Challenge over radius/1.1")
			}
		}
		if len(a.Attribute) > 253 || a.Type < 1 || a.Type > 255 {
			return nil, fmt.Errorf("radiussec: attribute %d cannot be sent: %d bytes", a.Type, len(a.Attribute))
		}
		q.Attributes = append(q.Attributes, a)
	}
	wire, err := q.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("radiussec: %w", err)
	}
	wire[1] = 0
	binary.BigEndian.PutUint32(wire[4:8], token)
	return wire, nil
}

// believe11 checks an answer in that form.
func (r reply) believe11(request []byte) error {
	if [4]byte(r.wire[4:8]) != [4]byte(request[4:8]) || !answers(radius.Code(request[0]), r.packet.Code) {
		return ErrUnexpected
	}
	if subtle.ConstantTimeCompare(r.state, proxyState(request)) != 1 {
		return ErrProxyState
	}
	return nil
}
