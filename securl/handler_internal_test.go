package securl

import (
	"io"
	"net/http"
	"net/http/httptest"
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
