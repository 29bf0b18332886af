package securl

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMounts: what stands beside the site is found by its path, over HTTPS only, and is told who
// asks.
func TestMounts(t *testing.T) {
	h, err := Gate{Recipients: crowd(t), Base: "/campaign/"}.Handler(nopHandler{})
	require.NoError(t, err)
	g := h.(*guard)
	say := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, name+" "+visitorOf(r.Context()).Addr.String())
		})
	}
	g.mounts = []mount{{"/api/", say("api")}, {"/campaign/custom.js", say("script")}}
	for _, tt := range []struct {
		url    string
		status int
		body   string
	}{
		{"https://example.com/api/v1/x", 200, "api 192.0.2.1"},
		{"https://example.com/api/", 200, "api 192.0.2.1"},
		{"https://example.com/campaign/custom.js", 200, "script 192.0.2.1"},
		{"https://example.com/api", 404, ""},
		{"https://example.com/apix", 404, ""},
		{"https://example.com/campaign/custom.js/x", 403, ""},
		{"https://example.com/api/%2e%2e/campaign/secret.html", 400, ""},
		{"http://example.com/api/v1/x", 403, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", tt.url, nil))
		assert.Equal(t, tt.status, w.Code, tt.url)
		if tt.body != "" {
			assert.Equal(t, tt.body, w.Body.String())
		}
	}
}

func TestValidTarget(t *testing.T) {
	h, err := Gate{Recipients: crowd(t), Base: "/campaign/", Pages: []string{"enroll"}}.Handler(nopHandler{})
	require.NoError(t, err)
	g := h.(*guard)
	for target, want := range map[string]bool{
		"/campaign/":                        true,
		"/campaign/ann":                     true,
		"/campaign/ann/":                    true,
		"/campaign/enroll/":                 true,
		"/campaign/enroll?x=%2F%2Fevil":     true,
		"/campaign/x.html?RID=ann&next=//e": true,
		"/campaign/bob":                     false,
		"/campaign/x.html?rid=bob":          false,
		"/campaign/ann?rid=bob":             false,
		"/campaign/login?rid=ann":           false,
		"/campaign/signout":                 false,
		"/campaign/bob/":                    false,
		"/campaign/login/":                  false,
		"/campaign/ann//":                   false,
		"/campaign":                         false,
		"/other/ann":                        false,
		"":                                  false,
		"campaign/ann":                      false,
		"//evil/campaign/ann":               false,
		"https://evil/campaign/ann":         false,
		"/campaign/../ann":                  false,
		"/campaign/%2e%2e/ann":              false,
		"/campaign/a%2fb":                   false,
		"/campaign//evil":                   false,
		"/campaign/ann#x":                   false,
		"/campaign/ann x":                   false,
		"/campaign/ann\t":                   false,
		"/campaign/ann\r\nX: y":             false,
		`/campaign/ann\`:                    false,
		"/campaign/anné":                    false,
		"/campaign/" + strings.Repeat("a/", mostTarget/2) + "x.html": false,
	} {
		assert.Equal(t, want, g.validTarget(target, "ann"), target)
	}
}
