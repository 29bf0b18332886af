package apisec

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/connsec/connsec"
)

// NewSecret makes a client secret of 160 random bits, what RFC 6749 §10.10 recommends, as 40
// lower-case hexadecimal digits: the shape of MyQ's own, without a character that URLs, JSON,
// headers or shells treat specially.
//
// It panics only if the operating system has no randomness, as crypto/rand does.
func NewSecret() connsec.Secret {
	raw := make([]byte, recommendedBits/8)
	_, _ = rand.Read(raw) // never returns an error
	return connsec.NewSecret(hex.EncodeToString(raw))
}
