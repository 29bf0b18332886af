package securl

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/connsec/connsec"
)

// CustomScript returns xmpcustom.js for a site whose login page is at the address, absolute or
// relative. The XMPL library appends "?rid=…" to it as it stands, so that it can have neither a
// query nor a fragment; http is refused, too.
func CustomScript(loginURL string) ([]byte, error) {
	if v := judgeLoginAddress(loginURL, nil); v.Outcome == connsec.Fail || strings.TrimSpace(loginURL) == "" {
		return nil, fmt.Errorf("securl: the login address cannot be used: %s", v.Detail)
	}
	return []byte("var xmpcustom = {\n\tloginUrl: " + jsString(strings.TrimSpace(loginURL)) + "\n}"), nil
}

// configScript returns xmpcfg.js, in the line that Circle writes.
func configScript(token, api, name string) []byte {
	project := token // the second of three parts of Circle's tokens
	if parts := strings.Split(token, "_"); len(parts) == 3 {
		project = parts[1]
	}
	return fmt.Appendf(nil, "var xmpcfg = {access: { accessToken: %s, url: %s, circleProjectID:%s, circleProjectName: %s }};",
		jsString(token), jsString(api), jsString(project), jsString(name))
}

// jsString quotes text for JavaScript, also within HTML: what is not plain ASCII, and what ends
// a string, a line or a script element, is escaped (ECMA-262 12.9.4).
func jsString(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch {
		case r == '\\' || r == '\'' || r == '"' || r == '`' || r == '<' || r == '>' || r == '&' || r < ' ' || r >= 0x7f && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r >= utf8.RuneSelf:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// scriptFile serves a script that is the same for everybody.
func scriptFile(text []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			head.Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		head.Set("Content-Type", "text/javascript; charset=utf-8")
		head.Set("Cache-Control", "no-cache") // after a change of setting, pages must not go on with the old one
		head.Set("Content-Length", fmt.Sprint(len(text)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(text)
		}
	})
}
