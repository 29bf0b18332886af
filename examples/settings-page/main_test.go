package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec/internal/testca"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// send sends a form and returns the answer.
func send(t *testing.T, h http.Handler, path string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func TestSections(t *testing.T) {
	h := handler(t.TempDir())
	for _, c := range []struct {
		name, section string
		form          url.Values
		want, not     []string
	}{
		{"nothing typed", "ldap", form("ldap-security", "TLS", "ldap-port", " "), []string{"Not set."}, nil},
		{"unqualified name", "https", form("https-name", "central"), []string{"1 to put right", "name-single-label", "not fully qualified", "Fix:"}, nil},
		{"good name", "https", form("https-name", "central.corp.acme.com"), []string{"Good; "}, []string{"Fix:"}},
		{"folder elsewhere", "https", form("https-name", "central.corp.acme.com", "https-folder", "../../etc"), []string{"the folder is below the data directory"}, []string{"passed"}},
		{"no folder", "https", form("https-folder", "nowhere"), []string{"cannot be listed"}, []string{"passed"}},
		{"directory in clear", "ldap", form("ldap-server", "dc1.corp.acme.com", "ldap-security", "None", "ldap-user", "reader@corp.acme.com", "ldap-password", "hunter2"),
			[]string{"ldap-clear"}, nil},
		{"START TLS", "ldap", form("ldap-server", "dc1.corp.acme.com", "ldap-security", "START TLS"), []string{"#ldap-"}, nil},
		{"port", "ldap", form("ldap-server", "dc1.corp.acme.com", "ldap-security", "TLS", "ldap-port", "636a"), []string{"a port is a number from 1 to 65535"}, []string{"passed"}},
		{"database", "sql", form("sql-string", "Server=sql1;User Id=sa;Password=hunter2;Encrypt=false"), []string{"#sql-", "Fix:"}, nil},
		{"half a connection string", "sql", form("sql-string", "sqlserver://u:hunter2@[::1"), []string{"summary fail"}, []string{"passed"}},
		{"mail", "smtp", form("smtp-server", "mail.corp.acme.com", "smtp-security", "STARTTLS if available", "smtp-user", "u", "smtp-password", "hunter2"), []string{"#smtp-", "Fix:"}, nil},
		{"mail as it should be", "smtp", form("smtp-server", "mail.corp.acme.com", "smtp-security", "TLS", "smtp-verify", "yes", "smtp-sender", "central@corp.acme.com"), nil, []string{"to put right"}},
		{"RADIUS", "radius", form("radius-server", "radius1.corp.acme.com", "radius-transport", "UDP", "radius-secret", "hunter2"), []string{"#radius-", "Fix:"}, nil},
		{"markup", "https", form("https-name", `<script>alert(1)</script>`), []string{"&lt;script&gt;"}, []string{"<script>"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := send(t, h, "/check/"+c.section, c.form)
			require.Equal(t, http.StatusOK, w.Code)
			for _, want := range c.want {
				assert.Contains(t, w.Body.String(), want)
			}
			for _, not := range append(c.not, "hunter2", "<html") {
				assert.NotContains(t, w.Body.String(), not)
			}
		})
	}
	assert.Equal(t, http.StatusNotFound, send(t, h, "/check/nothing", nil).Code)
}

// TestWithoutScripts: the whole form is sent, and comes back with what was typed, except for
// secrets.
func TestWithoutScripts(t *testing.T) {
	h := handler(t.TempDir())
	w := send(t, h, "/", form(
		"https-name", "central", "https-password", "hunter2", "ldap-server", "dc1.corp.acme.com", "ldap-security", "None", "ldap-password", "hunter2",
		"sql-string", "Server=sql1;Password=hunter2", "smtp-server", `mail"<>.corp.acme.com`, "smtp-security", "None", "smtp-password", "hunter2",
		"radius-server", "radius1", "radius-transport", "UDP", "radius-secret", "hunter2"))
	require.Equal(t, http.StatusOK, w.Code)
	page := w.Body.String()
	assert.NotContains(t, page, "hunter2")
	assert.Contains(t, page, `value="central"`)
	assert.Contains(t, page, "<option selected>UDP</option>")
	assert.NotContains(t, page, " checked>", "an empty box stays empty")
	assert.NotContains(t, page, `"<>`, "what is typed does not leave its attribute")
	assert.Equal(t, 5, strings.Count(page, `<p class="summary fail">`))
}

func TestFirstPage(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	handler(t.TempDir()).ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, 5, strings.Count(w.Body.String(), "Not set."))
	assert.Contains(t, w.Body.String(), " checked>")
	assert.Equal(t, policy, w.Header().Get("Content-Security-Policy"))
	assert.Equal(t, "same-origin", w.Header().Get("Referrer-Policy"), "so that the form tells its origin where there is no Sec-Fetch-Site")
	assert.NotContains(t, w.Body.String(), "style=")
	assert.NotContains(t, w.Body.String(), "onclick")
}

// TestCertificateFolder: a set of files as the product keeps it.
func TestCertificateFolder(t *testing.T) {
	dir := t.TempDir()
	ca := testca.MustNew(t)
	leaf := ca.MustIssue(t, testca.Leaf{Names: []string{"central.corp.acme.com"}})
	key, err := leaf.KeyPEM()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "Cert"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Cert", "server.key"), key, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Cert", "server.cer"), leaf.PEM(), 0o644))
	page := send(t, handler(dir), "/check/https", form("https-name", "other.corp.acme.com", "https-folder", "Cert")).Body.String()
	assert.Contains(t, page, "certfiles-missing", "server.pfx is not there")
	assert.Contains(t, page, "cert-name-mismatch")
	assert.NotContains(t, page, "certfiles-key-mismatch\"")
	assert.NotContains(t, page, "BEGIN")
}

func TestOthersMayNotAsk(t *testing.T) {
	h := handler(t.TempDir())
	f := form("https-name", "central")
	assert.Equal(t, http.StatusForbidden, send(t, h, "/check/https", f, "Sec-Fetch-Site", "cross-site").Code)
	assert.Equal(t, http.StatusForbidden, send(t, h, "/check/https", f, "Origin", "https://evil.example").Code)
	assert.Equal(t, http.StatusOK, send(t, h, "/check/https", f, "Origin", "http://127.0.0.1:8080").Code)
	assert.Equal(t, http.StatusBadRequest, send(t, h, "/check/https", form("https-name", strings.Repeat("a", 1<<20))).Code)

	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Host = "rebound.evil.example"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusForbidden, w.Code)
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, printed := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"--listen", "127.0.0.1:0", "--data", t.TempDir()}, printed, printed)
		_ = printed.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	address := strings.TrimSuffix(strings.Fields(line)[5], ".")
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for path, kind := range map[string]string{"": "text/html", "page.css": "text/css", "page.js": "text/javascript"} {
		r, err := client.Get(address + path)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		assert.Equal(t, http.StatusOK, r.StatusCode)
		assert.Contains(t, r.Header.Get("Content-Type"), kind)
	}
	r, err := client.Get(address + "page.html")
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	assert.Equal(t, http.StatusNotFound, r.StatusCode)
	cancel()
	assert.Zero(t, <-done)
}

func TestMistakesAreOneLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--port", "1"}, "flag provided but not defined: -port; --help explains"},
		{[]string{"now"}, `unknown argument "now"; --help explains`},
		{[]string{"--listen", "0.0.0.0:8080"}, "loopback address only"},
		{[]string{"--listen", ":8080"}, "loopback address only"},
		{[]string{"--listen", "127.0.0.1:99999"}, "invalid port"},
	} {
		var out, errOut strings.Builder
		assert.Equal(t, 2, Run(t.Context(), c.args, &out, &errOut), c.args)
		assert.Contains(t, errOut.String(), c.want)
		assert.Equal(t, 1, strings.Count(errOut.String(), "\n"))
	}
	var out, errOut strings.Builder
	assert.Zero(t, Run(t.Context(), []string{"--help"}, &out, &errOut))
	assert.Contains(t, out.String(), "usage: settings-page")
}
