package apisec_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAnswersThatDoNotTell: an answer proves something only if it is about the client.
func TestAnswersThatDoNotTell(t *testing.T) {
	refused := apisec.Answer{Status: 401, Code: "invalid_client"}
	nobody := apisec.Answer{Status: 400, Code: "invalid_request"}
	for name, tt := range map[string]struct {
		o    apisec.Observation
		rule *connsec.Rule
		want connsec.Outcome
	}{
		// The request was turned down before, or after, anybody looked at who sent it.
		"scope":                 {apisec.Observation{Stranger: apisec.Answer{Status: 400, Code: "invalid_scope"}}, apisec.RuleUnknownClientAccepted, connsec.Inconclusive},
		"grant not spoken":      {apisec.Observation{Stranger: apisec.Answer{Status: 400, Code: "unsupported_grant_type"}}, apisec.RuleUnknownClientAccepted, connsec.Inconclusive},
		"request":               {apisec.Observation{Stranger: nobody}, apisec.RuleUnknownClientAccepted, connsec.Inconclusive},
		"not allowed to":        {apisec.Observation{Stranger: apisec.Answer{Status: 400, Code: "unauthorized_client"}}, apisec.RuleUnknownClientAccepted, connsec.Pass},
		"401":                   {apisec.Observation{Stranger: apisec.Answer{Status: 401}}, apisec.RuleUnknownClientAccepted, connsec.Pass},
		"limited in clear":      {apisec.Observation{Stranger: refused, InClear: apisec.Answer{Status: 400, Code: "invalid_request"}}, apisec.RuleEndpointCleartext, connsec.Fail},
		"another 401":           {apisec.Observation{Stranger: refused, InClear: apisec.Answer{Status: 401}}, apisec.RuleEndpointCleartext, connsec.Inconclusive},
		"the same 401":          {apisec.Observation{Stranger: apisec.Answer{Status: 401}, InClear: apisec.Answer{Status: 401}}, apisec.RuleEndpointCleartext, connsec.Fail},
		"401, TLS not asked":    {apisec.Observation{Stranger: apisec.Answer{Problem: "the token URL is not https"}, InClear: apisec.Answer{Status: 401}}, apisec.RuleEndpointCleartext, connsec.Fail},
		"403 both":              {apisec.Observation{Stranger: apisec.Answer{Status: 403}, InClear: apisec.Answer{Status: 403}}, apisec.RuleEndpointCleartext, connsec.Inconclusive},
		"404 both":              {apisec.Observation{Stranger: apisec.Answer{Status: 404}, InClear: apisec.Answer{Status: 404}}, apisec.RuleEndpointCleartext, connsec.Inconclusive},
		"403 in clear":          {apisec.Observation{Stranger: refused, InClear: apisec.Answer{Status: 403}}, apisec.RuleEndpointCleartext, connsec.Pass},
		"query, 429":            {apisec.Observation{Stranger: refused, Nobody: nobody, InQuery: apisec.Answer{Status: 429}}, apisec.RuleURLSecretAccepted, connsec.Inconclusive},
		"query, 503":            {apisec.Observation{Stranger: refused, Nobody: nobody, InQuery: apisec.Answer{Status: 503}}, apisec.RuleURLSecretAccepted, connsec.Inconclusive},
		"query, 200":            {apisec.Observation{Stranger: refused, Nobody: nobody, InQuery: apisec.Answer{Status: 200}}, apisec.RuleURLSecretAccepted, connsec.Inconclusive},
		"nobody and query, 429": {apisec.Observation{Stranger: refused, Nobody: apisec.Answer{Status: 429}, InQuery: apisec.Answer{Status: 429}}, apisec.RuleURLSecretAccepted, connsec.Inconclusive},
		// As RFC 6749 §5.2 lets a server do: 401 to a client in a header, 400 to one that is elsewhere.
		"query, 400 for a client":  {apisec.Observation{Stranger: refused, Nobody: nobody, InQuery: apisec.Answer{Status: 400, Code: "invalid_client"}}, apisec.RuleURLSecretAccepted, connsec.Fail},
		"query, none challenged":   {apisec.Observation{Stranger: refused, Nobody: apisec.Answer{Status: 401}, InQuery: apisec.Answer{Status: 400, Code: "invalid_client"}}, apisec.RuleURLSecretAccepted, connsec.Fail},
		"query, in another word":   {apisec.Observation{Stranger: refused, Nobody: nobody, InQuery: apisec.Answer{Status: 400, Code: "unauthorized_client"}}, apisec.RuleURLSecretAccepted, connsec.Fail},
		"query, forbidden as such": {apisec.Observation{Stranger: refused, Nobody: apisec.Answer{Status: 401}, InQuery: apisec.Answer{Status: 400, Code: "invalid_request"}}, apisec.RuleURLSecretAccepted, connsec.Pass},
		"no look at the port":      {apisec.Observation{Stranger: refused, InClear: apisec.Answer{Problem: "the host could not be looked up"}}, apisec.RuleEndpointCleartext, connsec.Inconclusive},
		"no port without TLS":      {apisec.Observation{Stranger: refused, InClear: apisec.Answer{Problem: "the port without TLS is the one with it"}}, apisec.RuleEndpointCleartext, connsec.NotApplicable},
		"query, 414":               {apisec.Observation{Stranger: refused, Nobody: nobody, InQuery: apisec.Answer{Status: 414}}, apisec.RuleURLSecretAccepted, connsec.Pass},
		"unread":                   {apisec.Observation{Stranger: apisec.Answer{Status: 401, Unread: "the answer ends early"}}, apisec.RuleSecretEchoed, connsec.Inconclusive},
		"busy, no echo":            {apisec.Observation{Stranger: apisec.Answer{Status: 503}}, apisec.RuleSecretEchoed, connsec.Inconclusive},
		"elsewhere, no echo":       {apisec.Observation{Stranger: apisec.Answer{Status: 302, Redirect: "https://b.corp.example"}}, apisec.RuleSecretEchoed, connsec.Inconclusive},
		"busy, but a token":        {apisec.Observation{Stranger: apisec.Answer{Status: 500}, Token: &apisec.TokenAnswer{Answer: apisec.Answer{Status: 200, Token: true}}}, apisec.RuleSecretEchoed, connsec.Pass},
		"busy, not to be stored":   {apisec.Observation{Stranger: apisec.Answer{Status: 503, NoStore: true}}, apisec.RuleTokenCacheable, connsec.Inconclusive},
		"token answer unread":      {apisec.Observation{Stranger: refused, Token: &apisec.TokenAnswer{Answer: apisec.Answer{Status: 401, Unread: "the answer ends early"}}}, apisec.RuleSecretEchoed, connsec.Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			f := tt.o.Judge().Of(tt.rule)[0]
			assert.Equal(t, tt.want, f.Outcome, f.Detail)
		})
	}
}

// TestEchoes: a secret comes back in the form in which it was sent, in the body or in a header.
func TestEchoes(t *testing.T) {
	for name, tt := range map[string]struct {
		style apisec.Style
		say   func(w http.ResponseWriter, body, header string)
		want  connsec.Outcome
	}{
		"body":           {apisec.JSON, func(w http.ResponseWriter, body, _ string) { _, _ = io.WriteString(w, body) }, connsec.Fail},
		"header, Basic":  {apisec.Basic, func(w http.ResponseWriter, _, header string) { _, _ = io.WriteString(w, header) }, connsec.Fail},
		"in a header":    {apisec.Form, func(w http.ResponseWriter, body, _ string) { w.Header().Set("X-Debug", body) }, connsec.Fail},
		"not":            {apisec.Basic, func(http.ResponseWriter, string, string) {}, connsec.Pass},
		"compressed":     {apisec.JSON, func(w http.ResponseWriter, _, _ string) { w.Header().Set("Content-Encoding", "gzip") }, connsec.Inconclusive},
		"larger than it": {apisec.JSON, func(w http.ResponseWriter, _, _ string) { _, _ = w.Write(make([]byte, 2<<20)) }, connsec.Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			c := with(endpoint(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("Content-Type", "application/json")
				tt.say(late{w}, string(body), r.Header.Get("Authorization"))
				w.WriteHeader(http.StatusUnauthorized)
			}), func(c *apisec.Client) { c.Style, c.PlainPort = tt.style, closedPort(t) })
			o, err := c.Observe(deadline(t))
			require.NoError(t, err)
			ruletest.Expect(t, o.Judge(), tt.want, apisec.RuleSecretEchoed)
		})
	}
}

// late writes the status of a refusal before the first byte of its body.
type late struct{ http.ResponseWriter }

func (l late) Write(p []byte) (int, error) {
	l.WriteHeader(http.StatusUnauthorized)
	return l.ResponseWriter.Write(p)
}
