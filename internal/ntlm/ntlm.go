// Package ntlm is the client side of NTLMv2 (MS-NLMP) with the two things that make it
// withstand relaying: the channel-binding AV pair and the message integrity code.
//
// It authenticates inside an established TLS connection, which protects the traffic, and so
// negotiates neither signing nor sealing: Active Directory refuses both inside TLS. NTLMv1,
// LM responses and datagram mode are not here.
package ntlm

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" // #nosec G501 -- MS-NLMP is built on it
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	//lint:ignore SA1019 NTOWF is defined with MD4 (MS-NLMP 3.3.1)
	"golang.org/x/crypto/md4" // #nosec G506
)

// Negotiate flags (MS-NLMP 2.2.2.5).
const (
	FlagUnicode            = 1 << 0
	FlagRequestTarget      = 1 << 2
	FlagSign               = 1 << 4
	FlagSeal               = 1 << 5
	FlagNTLM               = 1 << 9
	FlagAnonymous          = 1 << 11
	FlagAlwaysSign         = 1 << 15
	FlagExtendedSessionSec = 1 << 19
	FlagTargetInfo         = 1 << 23
	FlagVersion            = 1 << 25
	Flag128                = 1 << 29
	FlagKeyExchange        = 1 << 30
	Flag56                 = 1 << 31
)

// clientFlags is what [Negotiate] offers and [Client.Authenticate] keeps of it.
const clientFlags = FlagUnicode | FlagRequestTarget | FlagNTLM | FlagAlwaysSign |
	FlagExtendedSessionSec | FlagTargetInfo | FlagVersion | Flag128 | Flag56

// AV pair identifiers (MS-NLMP 2.2.2.1).
const (
	avEOL             = 0
	avFlags           = 6
	avTimestamp       = 7
	avTargetName      = 9
	avChannelBindings = 10
)

// avFlagMIC in MsvAvFlags says that the AUTHENTICATE message carries a MIC.
const avFlagMIC = 2

const (
	signature     = "NTLMSSP\x00"
	challengeSize = 48 // fixed part of a CHALLENGE message without Version
	authFixed     = 88 // fixed part of an AUTHENTICATE message with Version and MIC
	micOffset     = 72
	maxMessage    = 64 << 10 // fields are addressed by 16-bit lengths
)

// version is sent for the server's logs only (MS-NLMP 2.2.2.10): NTLM revision 15 of
// Windows 10, which is what servers expect to see.
var version = [8]byte{10, 0, 0x61, 0x4a, 0, 0, 0, 15}

// Negotiate returns the first message. It names neither domain nor workstation.
func Negotiate() []byte {
	m := make([]byte, 40)
	copy(m, signature)
	binary.LittleEndian.PutUint32(m[8:], 1)
	binary.LittleEndian.PutUint32(m[12:], clientFlags)
	// Both name fields are empty and point behind the message.
	binary.LittleEndian.PutUint32(m[20:], 40)
	binary.LittleEndian.PutUint32(m[28:], 40)
	copy(m[32:], version[:])
	return m
}

// Hash returns NTOWFv1, the MD4 of the password in UTF-16 (MS-NLMP 3.3.1). It is as good as
// the password: keep it as carefully.
func Hash(password string) []byte {
	h := md4.New()
	_, _ = h.Write(utf16le(password))
	return h.Sum(nil)
}

// BindingHash returns what the channel-binding AV pair carries: the MD5 of a
// gss_channel_bindings_struct (RFC 4121, 4.1.1.2) without addresses. applicationData is
// "tls-server-end-point:" and the certificate hash (RFC 5929, 4).
func BindingHash(applicationData []byte) [16]byte {
	b := make([]byte, 20, 20+len(applicationData))
	binary.LittleEndian.PutUint32(b[16:], uint32(len(applicationData)))
	return md5.Sum(append(b, applicationData...))
}

// Client answers a challenge. The zero value is the anonymous user, a null session.
type Client struct {
	User   string
	Domain string // NetBIOS or DNS name of the account's domain; empty for user@domain names
	Hash   []byte // see [Hash]
	// Binding is the value of [BindingHash] for the TLS connection; all zero when there is
	// none, in which case no AV pair is sent.
	Binding [16]byte
	// Target is the service principal name, such as "ldap/dc1.corp.example"; empty: not sent.
	// Servers that validate it refuse a relay to another service.
	Target string

	Rand io.Reader        // never nil
	Now  func() time.Time // used only when the server sends no time; never nil
}

// Anonymous reports whether the answer is a null session.
func (c Client) Anonymous() bool { return c.User == "" && len(c.Hash) == 0 }

// Challenge is what a server's CHALLENGE message says.
type Challenge struct {
	Flags      uint32
	Server     [8]byte
	TargetInfo []byte
}

// ParseChallenge decodes a CHALLENGE message (MS-NLMP 2.2.1.2).
func ParseChallenge(m []byte) (Challenge, error) {
	switch {
	case len(m) < challengeSize || !bytes.HasPrefix(m, []byte(signature)):
		return Challenge{}, fmt.Errorf("ntlm: the server's answer of %d bytes is no challenge", len(m))
	case len(m) > maxMessage:
		return Challenge{}, fmt.Errorf("ntlm: the challenge has %d bytes", len(m))
	case binary.LittleEndian.Uint32(m[8:]) != 2:
		return Challenge{}, fmt.Errorf("ntlm: message type %d where 2, a challenge, belongs", binary.LittleEndian.Uint32(m[8:]))
	}
	ch := Challenge{Flags: binary.LittleEndian.Uint32(m[20:]), Server: [8]byte(m[24:32])}
	n, at := int(binary.LittleEndian.Uint16(m[40:])), int64(binary.LittleEndian.Uint32(m[44:]))
	if at+int64(n) > int64(len(m)) {
		return Challenge{}, errors.New("ntlm: the target information points outside the challenge")
	}
	ch.TargetInfo = m[at : at+int64(n)]
	return ch, nil
}

// avPair is one element of the target information.
type avPair struct {
	id    uint16
	value []byte
}

func parsePairs(b []byte) ([]avPair, error) {
	var pairs []avPair
	for {
		if len(b) < 4 {
			return nil, errors.New("ntlm: the target information does not end")
		}
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if id == avEOL {
			return pairs, nil
		}
		if b = b[4:]; n > len(b) {
			return nil, errors.New("ntlm: the target information is cut off")
		}
		pairs = append(pairs, avPair{id, b[:n]})
		b = b[n:]
	}
}

func appendPairs(b []byte, pairs []avPair) []byte {
	for _, p := range pairs {
		b = binary.LittleEndian.AppendUint16(b, p.id)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(p.value)))
		b = append(b, p.value...)
	}
	return append(b, 0, 0, 0, 0)
}

// Authenticate answers the server's challenge to the negotiate message that was sent.
//
// A challenge without Unicode, extended session security or target information is refused:
// answering it would take NTLMv1 or drop the integrity code, which is what an attacker who
// rewrites the challenge wants.
func (c Client) Authenticate(negotiate, challenge []byte) ([]byte, error) {
	ch, err := ParseChallenge(challenge)
	if err != nil {
		return nil, err
	}
	if ch.Flags&FlagUnicode == 0 {
		return nil, errors.New("ntlm: the server does not take Unicode")
	}
	flags := ch.Flags&clientFlags | FlagVersion
	if c.Anonymous() {
		return assemble(flags|FlagAnonymous, []byte{0}, nil, "", ""), nil
	}
	if ch.Flags&FlagExtendedSessionSec == 0 || ch.Flags&FlagTargetInfo == 0 {
		return nil, errors.New("ntlm: the server offers only NTLMv1")
	}
	pairs, err := parsePairs(ch.TargetInfo)
	if err != nil {
		return nil, err
	}
	random := make([]byte, 8)
	if _, err := io.ReadFull(c.Rand, random); err != nil {
		return nil, fmt.Errorf("ntlm: no randomness: %w", err)
	}
	info, stamp := c.targetInfo(pairs)

	// MS-NLMP 3.3.2: NTOWFv2, then the proof over temp, then the session key from the proof.
	key := mac(c.Hash, utf16le(strings.ToUpper(c.User)+c.Domain))
	temp := make([]byte, 0, 32+len(info))
	temp = append(temp, 1, 1, 0, 0, 0, 0, 0, 0)
	temp = append(temp, stamp...)
	temp = append(temp, random...)
	temp = append(temp, 0, 0, 0, 0)
	temp = append(temp, info...)
	temp = append(temp, 0, 0, 0, 0)
	proof := mac(key, ch.Server[:], temp)
	session := mac(key, proof)

	// MS-NLMP 3.1.5.1.2: with a MIC, the LM response is 24 zero bytes.
	m := assemble(flags, make([]byte, 24), append(proof, temp...), c.User, c.Domain)
	if len(m) > maxMessage {
		return nil, fmt.Errorf("ntlm: the answer would have %d bytes", len(m))
	}
	copy(m[micOffset:], mac(session, negotiate, challenge, m))
	return m, nil
}

// targetInfo completes the server's AV pairs with the client's own and returns the time for
// the response, the server's if it sent one.
func (c Client) targetInfo(pairs []avPair) (info, stamp []byte) {
	flags := uint32(avFlagMIC)
	kept := make([]avPair, 0, len(pairs)+4)
	for _, p := range pairs {
		switch p.id {
		case avFlags:
			if len(p.value) == 4 {
				flags |= binary.LittleEndian.Uint32(p.value)
			}
		case avChannelBindings, avTargetName: // the client's to say
		default:
			if p.id == avTimestamp && len(p.value) == 8 {
				stamp = p.value
			}
			kept = append(kept, p)
		}
	}
	if stamp == nil {
		stamp = fileTime(c.Now())
	}
	kept = append(kept, avPair{avFlags, binary.LittleEndian.AppendUint32(nil, flags)})
	if c.Binding != [16]byte{} {
		kept = append(kept, avPair{avChannelBindings, c.Binding[:]})
	}
	if c.Target != "" {
		kept = append(kept, avPair{avTargetName, utf16le(c.Target)})
	}
	return appendPairs(nil, kept), slices.Clone(stamp)
}

// assemble lays out an AUTHENTICATE message (MS-NLMP 2.2.1.3) with a zero MIC.
func assemble(flags uint32, lm, nt []byte, user, domain string) []byte {
	m := make([]byte, authFixed)
	copy(m, signature)
	binary.LittleEndian.PutUint32(m[8:], 3)
	field := func(at int, value []byte) {
		binary.LittleEndian.PutUint16(m[at:], uint16(len(value)))
		binary.LittleEndian.PutUint16(m[at+2:], uint16(len(value)))
		binary.LittleEndian.PutUint32(m[at+4:], uint32(len(m)))
		m = append(m, value...)
	}
	field(28, utf16le(domain))
	field(36, utf16le(user))
	field(44, nil) // workstation: the server learns nothing from it that it could check
	field(12, lm)
	field(20, nt)
	field(52, nil) // no key exchange: the session key protects nothing inside TLS
	binary.LittleEndian.PutUint32(m[60:], flags)
	copy(m[64:], version[:])
	return m
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	return h.Sum(nil)
}

// utf16le is the encoding of every NTLM string. Invalid UTF-8 becomes U+FFFD, so such a name
// or password fails to authenticate instead of matching something else.
func utf16le(s string) []byte {
	units := utf16.Encode([]rune(s))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// fileTime is the number of 100 ns intervals since 1601 (MS-DTYP 2.3.3).
func fileTime(t time.Time) []byte {
	const unixEpoch = 116444736000000000
	return binary.LittleEndian.AppendUint64(nil, uint64(t.UnixNano()/100+unixEpoch))
}
