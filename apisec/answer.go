package apisec

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

const (
	// maxAnswer bounds the answer of a token endpoint.
	maxAnswer = 1 << 20
	// maxToken bounds a token: servers refuse longer headers.
	maxToken = 16 << 10
	// maxLife bounds what is believed of a token's life, ten years: longer is as good as never,
	// and would not fit a Duration at some point.
	maxLife = 3650 * day
	// maxWait bounds what is believed of Retry-After.
	maxWait = 10 * time.Minute
)

// registered are the words of RFC 6749 §5.2. Everything else that a server says in their place
// is its own text, which may repeat what it was sent.
var registered = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

// readAnswer reads the body of an answer within bounds. Nothing is decompressed: no compression
// was offered, and a few kilobytes of it can stand for gigabytes.
func readAnswer(resp *http.Response) (body []byte, problem string) {
	switch encoding := resp.Header.Get("Content-Encoding"); {
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return nil, "the answer is compressed, which was not asked for"
	case resp.ContentLength > maxAnswer:
		return nil, "the answer is larger than 1 MiB"
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, "the answer ends early"
	case len(body) > maxAnswer:
		return nil, "the answer is larger than 1 MiB"
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return body, "the answer is not JSON"
	}
	return body, ""
}

// parseAnswer reads a token (RFC 6749 §5.1) or an error (§5.2). Nothing of the body gets into
// the error but registered words. asked is when the request began.
func parseAnswer(status int, body []byte, problem string, asked time.Time) (Token, *TokenError) {
	fields := map[string]json.RawMessage{} // exact names: a struct would take "Access_Token", too
	dec := json.NewDecoder(bytes.NewReader(body))
	err := dec.Decode(&fields)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if status != http.StatusOK && status != http.StatusCreated {
		e := &TokenError{Status: status}
		if err == nil {
			if word := text(fields["error"]); slices.Contains(registered, word) {
				e.Code = word
			}
		}
		if status/100 == 3 {
			e.Problem = "a redirect, which is not followed"
		}
		return Token{}, e
	}
	wrong := func(problem string) (Token, *TokenError) {
		return Token{}, &TokenError{Status: status, Problem: problem}
	}
	value := text(fields["access_token"])
	switch {
	case problem != "":
		return wrong(problem)
	case err != nil:
		return wrong("the answer is not a JSON object")
	case value == "" && fields["access_token"] != nil:
		return wrong("the access token is not a text")
	case value == "":
		return wrong("the answer has no access token")
	case len(value) > maxToken:
		return wrong("the access token is longer than 16 KiB")
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return wrong("the access token has characters that no header can carry")
	case !strings.EqualFold(text(fields["token_type"]), "bearer"):
		return wrong("the token is not of type Bearer (RFC 6750)")
	}
	token := Token{Value: connsec.NewSecret(value)}
	life, given, ok := lifetime(fields["expires_in"])
	switch {
	case !ok:
		return wrong("expires_in is not a number of seconds")
	case given && life <= 0:
		return wrong("by its expires_in the token has expired already")
	case given:
		token.Expires = asked.Add(life)
	}
	for _, scope := range strings.Fields(text(fields["scope"])) {
		if isScopeToken(scope) && len(token.Scopes) < 256 {
			token.Scopes = append(token.Scopes, scope)
		}
	}
	return token, nil
}

// text is a JSON string's value, and empty for everything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// lifetime reads expires_in: a number of seconds, which some servers send as a string.
func lifetime(raw json.RawMessage) (life time.Duration, given, ok bool) {
	if raw == nil || string(raw) == "null" {
		return 0, false, true
	}
	digits := string(raw)
	if digits[0] == '"' {
		digits = text(raw)
	}
	seconds, err := strconv.ParseFloat(digits, 64)
	switch {
	case err != nil && !math.IsInf(seconds, 0), math.IsNaN(seconds), err == nil && math.IsInf(seconds, 0):
		return 0, false, false
	case seconds > maxLife.Seconds():
		return maxLife, true, true
	case seconds < 0:
		return -time.Second, true, true
	}
	return time.Duration(seconds * float64(time.Second)), true, true
}

// retryAfter reads how long to wait: a number of seconds, or a date, which is taken by the
// server's own clock where it says what that is (RFC 9110 §10.2.3). What is neither is nothing.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if value == "" || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil { // more than fits
			return maxWait
		}
		return min(time.Duration(seconds)*time.Second, maxWait)
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if said, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = said
	}
	return max(min(until.Sub(now), maxWait), 0)
}
