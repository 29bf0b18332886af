package ntlm

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// NewChallenge builds the CHALLENGE message of a server that does not mean to check the
// answer, as traps do.
func NewChallenge(server [8]byte) []byte {
	const fixed = 56
	info := appendPairs(nil, []avPair{{2, utf16le("CORP")}, {1, utf16le("DC1")}})
	m := make([]byte, fixed, fixed+len(info))
	copy(m, signature)
	binary.LittleEndian.PutUint32(m[8:], 2)
	binary.LittleEndian.PutUint32(m[16:], fixed) // no target name
	binary.LittleEndian.PutUint32(m[20:], clientFlags)
	copy(m[24:], server[:])
	binary.LittleEndian.PutUint16(m[40:], uint16(len(info)))
	binary.LittleEndian.PutUint16(m[42:], uint16(len(info)))
	binary.LittleEndian.PutUint32(m[44:], fixed)
	copy(m[48:], version[:])
	return append(m, info...)
}

// Answer is what a server sees in an AUTHENTICATE message without knowing the password.
type Answer struct {
	Anonymous bool
	Signs     bool     // signing or sealing was negotiated
	Bound     bool     // there is a channel-binding AV pair
	Binding   [16]byte // its value
	MIC       bool     // the client says that there is a MIC
}

// ParseAnswer reads an AUTHENTICATE message.
func ParseAnswer(m []byte) (Answer, error) {
	const minimum = 64 // without Version and MIC
	if len(m) < minimum || !bytes.HasPrefix(m, []byte(signature)) || binary.LittleEndian.Uint32(m[8:]) != 3 {
		return Answer{}, errors.New("ntlm: not an AUTHENTICATE message")
	}
	n, at := int(binary.LittleEndian.Uint16(m[20:])), int64(binary.LittleEndian.Uint32(m[24:]))
	if at+int64(n) > int64(len(m)) {
		return Answer{}, errors.New("ntlm: the response points outside the message")
	}
	flags := binary.LittleEndian.Uint32(m[60:])
	a := Answer{Signs: flags&(FlagSign|FlagSeal) != 0, Anonymous: flags&FlagAnonymous != 0 || n == 0}
	const proofAndHead = 16 + 28 // NTProofStr and what stands before the pairs
	if n <= proofAndHead {
		return a, nil // NTLMv1, or nobody
	}
	pairs, err := parsePairs(m[at+proofAndHead : at+int64(n)])
	if err != nil {
		return Answer{}, err
	}
	for _, p := range pairs {
		switch {
		case p.id == avChannelBindings && len(p.value) == 16 && !bytes.Equal(p.value, make([]byte, 16)):
			a.Bound, a.Binding = true, [16]byte(p.value)
		case p.id == avFlags && len(p.value) == 4:
			a.MIC = p.value[0]&avFlagMIC != 0
		}
	}
	return a, nil
}

// Find returns the NTLM message within a SASL token, bare or wrapped in SPNEGO; nil if there
// is none. It looks for the signature: enough for a trap, which has nothing to lose.
func Find(token []byte) []byte {
	if i := bytes.Index(token, []byte(signature)); i >= 0 {
		return token[i:]
	}
	return nil
}
