package apisec

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/connsec/connsec"
)

// Token is an access token.
type Token struct {
	Value   connsec.Secret
	Expires time.Time // zero: the server did not say
	Scopes  []string  // granted, where the server says so
}

// TokenError is an answer of a token endpoint that is no token.
type TokenError struct {
	Endpoint string // host and port
	Status   int    // of HTTP
	Code     string // "invalid_client", where it is one of the registered words; else empty
}

func (e *TokenError) Error() string {
	text := fmt.Sprintf("apisec: %s answers %d", e.Endpoint, e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	return text
}

// Refused reports whether the endpoint says that identifier or secret are not valid, or no
// longer (RFC 6749 §5.2). Every other answer proves nothing about them.
func (e *TokenError) Refused() bool {
	return e.Code == "invalid_client" || e.Code == "" && e.Status == 401
}

// Token asks the endpoint for a token, once. A setting that fails Validate at High or above is
// refused before anything is sent. An answer that is no token is a [*TokenError].
func (c Client) Token(ctx context.Context) (Token, error) {
	return Token{}, errors.New("apisec: not built yet")
}
