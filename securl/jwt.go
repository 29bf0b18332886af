package securl

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// claims are those of a JWT that tell how long it lasts, in seconds since 1970 (RFC 7519 4.1).
type claims struct {
	Expires float64 `json:"exp"`
	Issued  float64 `json:"iat"`
}

// jwtClaims reads the claims of a token, if it is a JWT. Its signature is the server's business.
func jwtClaims(token string) (claims, bool) {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(raw, &c) == nil
}
