package realsrv

import (
	"bytes"
	"crypto/rand"
	"testing"
	"text/template"

	"github.com/connsec/connsec"
)

// render fills a template in. The templates are this package's, so a mistake in one is the
// test's failure, not an error to handle.
func render(tb testing.TB, text string, data any) []byte {
	tb.Helper()
	t, err := template.New("configuration").Option("missingkey=error").Parse(text)
	if err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		tb.Fatalf("realsrv: %v", err)
	}
	return out.Bytes()
}

// newPassword returns letters and digits that need no quoting anywhere and satisfy Samba's
// complexity rule.
func newPassword() connsec.Secret { return connsec.NewSecret("Aa1" + rand.Text()) }
