package audit_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/audit"
)

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"api": "an api secret\n", "ldap": "an ldap password\r\n", "radius": "a radius secret", "dsn": "Server=db.corp.example;User Id=app;Password=Kd83,xkw", "empty": "",
		"smtp": "an SMTP password", "pfx": "a PFX password", "one": "a recipient", "two": "another recipient", "personal": "Server=db.corp.example;User Id=app;Password=Lf94,ylx",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	text := "api:\n  - {token_url: 'https://a.corp.example/token', id: a, secret_file: api}\n" +
		"ldap:\n  - {url: 'ldaps://l.corp.example', bind_dn: 'CN=a', password_file: ldap}\n  - {url: 'ldaps://m.corp.example', bind_dn: 'CN=a', password_file: ldap}\n" +
		"radius:\n  - {host: r.corp.example, secret_file: radius}\n" +
		"smtp:\n  - {url: 'smtps://m.corp.example', user: a, password_file: smtp}\n" +
		"certificates:\n  - {pfx: server.pfx, password_file: pfx}\n" +
		"securl:\n  - {site: 'https://www.corp.example/a/', recipient: a, password_file: one, other: {recipient: b, password_file: two}}\n" +
		"  - {sql: {dsn_file: personal}, table: a, key: b, column: c}\n" +
		"sql:\n  - {dsn_file: dsn}\n"
	d, err := audit.Parse(filepath.Join(dir, "d.yaml"), []byte(text))
	require.NoError(t, err)
	secrets, err := d.Secrets()
	require.NoError(t, err)
	got := map[string]string{}
	for _, s := range secrets {
		got[s.Name+" "+filepath.Base(s.File)] = s.Secret.Reveal()
	}
	assert.Equal(t, map[string]string{
		"API secret (api) api": "an api secret", "LDAP password (ldap) ldap": "an ldap password", "RADIUS secret (radius) radius": "a radius secret", "SQL password (dsn) dsn": "Kd83,xkw",
		"SMTP password (smtp) smtp": "an SMTP password", "certificate password (pfx) pfx": "a PFX password",
		"SecURL password (one) one": "a recipient", "SecURL password (two) two": "another recipient", "SQL password (personal) personal": "Lf94,ylx",
	}, got)
	// Each key of a deployment file that names a secret is among them.
	assert.Len(t, got, secretKeys(reflect.TypeFor[audit.Deployment]()), "a section that keptSecrets does not know")
	// What is gone since then is not left out in silence.
	require.NoError(t, os.Remove(filepath.Join(dir, "api")))
	_, err = d.Secrets()
	require.ErrorIs(t, err, os.ErrNotExist)
}

// secretKeys counts the keys that name a file with a secret.
func secretKeys(section reflect.Type) int {
	n := 0
	for section.Kind() == reflect.Pointer || section.Kind() == reflect.Slice {
		section = section.Elem()
	}
	if section.Kind() != reflect.Struct || section.PkgPath() != reflect.TypeFor[audit.Deployment]().PkgPath() {
		return 0
	}
	for i := range section.NumField() {
		f := section.Field(i)
		switch f.Tag.Get("yaml") {
		case "secret_file", "password_file", "dsn_file":
			n++
		default:
			n += secretKeys(f.Type)
		}
	}
	return n
}

func TestParseSecret(t *testing.T) {
	for text, want := range map[string]string{
		"a secret": "a secret", "a secret\r\n": "a secret", "\ufeffa secret\n": "a secret", " a \n\n": " a ", "": "", "\ufeff": "",
	} {
		s, err := audit.ParseSecret("file", []byte(text))
		require.NoError(t, err)
		assert.Equal(t, want, s.Reveal())
	}
	for text, want := range map[string]string{
		"\xff\xfeh\x00u\x00n\x00t\x00":        "file: the text is in UTF-16; save it as UTF-8",
		"\xfe\xff\x00h\x00u\x00n\x00t":        "file: the text is in UTF-16; save it as UTF-8",
		strings.Repeat("hunt", 16<<10) + "er": "file: longer than 65536 bytes, which is no secret",
	} {
		_, err := audit.ParseSecret("file", []byte(text))
		require.EqualError(t, err, want)
	}
}
