package radiussec

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

const (
	// secretBits is the strength of a new secret. draft-ietf-radext-deprecating-radius asks for
	// 128; 160 fill whole base32 digits.
	secretBits = 160
	// secretGroup is the number of digits between hyphens, for people who compare two screens.
	secretGroup = 8
)

// NewSecret makes a shared secret of 160 random bits, as 32 base32 digits in groups of eight,
// "abcdefgh-ijklmnop-qrstuvwx-yz234567". It has no character that FreeRADIUS, NPS, radsecproxy
// or a shell treats specially, and fits servers that take no more than 48 octets.
//
// It panics only if the operating system has no randomness, as crypto/rand does.
func NewSecret() connsec.Secret {
	s, err := newSecret(rand.Reader)
	if err != nil {
		panic("radiussec: no randomness")
	}
	return s
}

func newSecret(random io.Reader) (connsec.Secret, error) {
	raw := make([]byte, secretBits/8)
	if _, err := io.ReadFull(random, raw); err != nil {
		return connsec.Secret{}, fmt.Errorf("radiussec: no randomness: %w", err)
	}
	digits := strings.ToLower(base32.StdEncoding.EncodeToString(raw))
	var groups []string
	for part := range slices.Chunk([]byte(digits), secretGroup) {
		groups = append(groups, string(part))
	}
	return connsec.NewSecret(strings.Join(groups, "-")), nil
}

// Step is one step of a change of secret.
type Step struct {
	Where string `json:"where"` // "server", "client" or "both"
	Do    string `json:"do"`
	Why   string `json:"why"`
}

// RolloverPlan is how a shared secret is replaced without an outage. RADIUS has no way to
// accept two secrets for one client address, so the overlap is made with a second server entry.
func RolloverPlan() []Step {
	return []Step{
		{"both", "Make a new secret for this one pair of client and server; keep it in a password store, not in mail.", "A secret that was used elsewhere is known elsewhere."},
		{"server", "Put the new secret on the standby server, for this client's address; leave the old one on the active server.", "A server knows one secret per client address: two servers are what makes an overlap."},
		{"client", "Give the client the new secret for the standby server, and let it use that one first.", "If it fails, the client falls back to the server with the old secret, and nobody notices."},
		{"both", "Probe the standby server with the new secret, then watch its log for accepted logins and for wrong secrets.", "A wrong secret looks like silence to the client."},
		{"server", "Put the new secret on the other server, made separately, and on the client's entry for it.", "Now both pairs have secrets of their own."},
		{"both", "Retire the old secret: delete it from backups of the configuration and from other clients that had it.", "An old capture can still be attacked with it; passwords that were sent under it count as seen."},
	}
}
