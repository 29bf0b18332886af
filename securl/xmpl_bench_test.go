package securl

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// rowADORs has the same values for everybody.
type rowADORs map[string]string

func (r rowADORs) Values(context.Context, string, []string) (map[string]string, error) { return r, nil }
func (r rowADORs) SetValues(context.Context, string, map[string]string) error          { return nil }

// BenchmarkXMPLRead is the first call of a personalized page, with a token: the handler alone.
func BenchmarkXMPLRead(b *testing.B) {
	g := benchGate(b, func(g *Gate) {
		g.XMPL = &XMPL{ADORs: rowADORs{"First": "Ann", "Last": "Lee", "City": "Oslo"}, AccessToken: "t", PasswordADOR: "Password"}
	})
	now := g.door.clock.now()
	s := session{rid: "k1", created: now, expires: now.Add(Lifetime), epoch: now.UnixNano()}
	token, err := g.door.commit(context.Background(), &s)
	require.NoError(b, err)
	(&spread{}).run(b, func(int) {
		r := httptest.NewRequest("GET", "https://www.example.com/XMPieXMPL_REST_API/v1/projects/t/adorValues/context?login=true&siteURL=https%3A%2F%2Fwww.example.com%2Fk1&adors=First&adors=Last", nil)
		r.TLS = &tls.ConnectionState{}
		r.Header.Set("xmpSecurityToken", token)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
