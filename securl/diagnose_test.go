package securl_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/securl"
)

func b64(s string) string {
	sum := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func hexOf(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestDiagnose(t *testing.T) {
	for _, c := range []struct {
		name, password, stored, want string
	}{
		{"ascii", "password", "X03MO1qnZdYdgyfeuILPmQ==", "md5 in base64 of the password as typed, which is ASCII"},
		{"one page of several", "Łódź", "H+Ll+RS77xCL1ksGsvaxug==", "md5 in base64 of the password as typed in code page 1250"},
		{"best fit in many", "Łódź", "TEkzXBx1+AKRP9wWd+PZwQ==", "md5 in base64 of the password as typed in code page 1252, 1254"},
		{"utf-8", "Passé", "AQm1aH0FS3B54l3ezs3hrQ==", "md5 in base64 of the password as typed in utf-8"},
		{"utf-16", "password", "sIHb6F4ew//D1OfQInQAzQ==", "md5 in base64 of the password as typed in utf-16le"},
		{"hex", "password", "5f4dcc3b5aa765d61d8327deb882cf99", "md5 in hex of the password as typed, which is ASCII"},
		{"hex in capitals", "password", "5F4DCC3B5AA765D61D8327DEB882CF99", "md5 in hex of the password as typed, which is ASCII"},
		{"upper case", "password", b64("PASSWORD"), "md5 in base64 of the password upper case, which is ASCII"},
		{"lower case", "PassWord", b64("password"), "md5 in base64 of the password lower case, which is ASCII"},
		{"trimmed", " password ", b64("password"), "md5 in base64 of the password trimmed, which is ASCII"},
		{"twice", "password", b64(b64("password")), "md5 in base64 of the password as typed, which is ASCII, and the hash was hashed again"},
		{"twice in hex", "password", hexOf(hexOf("password")), "md5 in hex of the password as typed, which is ASCII, and the hash was hashed again"},
		{"hex, then base64", "password", b64(hexOf("password")), "md5 in base64 over hex of the password as typed, which is ASCII, and the hash was hashed again"},
		{"plain", "password", "password", "not hashed (as typed)"},
		{"not cut", strings.Repeat("a", 251), b64(strings.Repeat("a", 251)), "md5 in base64 of the password as typed, not cut at 250 bytes, which is ASCII"},
		{"other password", "password", b64("other"), "no known way leads from this password to this value"},
		{"empty value", "", "", "no known way leads from this password to this value"},
		{"not UTF-8", "\xff", b64("\xff"), "no known way leads from this password to this value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, securl.Diagnose(c.password, c.stored).String())
			if c.stored != "" {
				assert.Equal(t, c.want, securl.Diagnose(c.password, c.stored+"  ").String(), "as CHAR(n) holds it")
			}
		})
	}
}

// Whatever a Hasher makes, Diagnose recognises, and says so only for that database.
func TestDiagnoseKnowsEveryPage(t *testing.T) {
	const password = "Łódź ¥ñé"
	for _, page := range securl.CodePages() {
		c := collation(t, page)
		hash, err := securl.Hasher{Collation: c}.Hash(password)
		require.NoError(t, err)
		d := securl.Diagnose(password, hash)
		require.NotEmpty(t, d.Matches, "the first is as typed; 874 has the same bytes for some changed input")
		assert.True(t, d.Matches[0].Correct(c), page)
		for _, other := range securl.CodePages() {
			otherHash, err := securl.Hasher{Collation: collation(t, other)}.Hash(password)
			require.NoError(t, err)
			assert.Equal(t, hash == otherHash, d.Matches[0].Correct(collation(t, other)))
		}
	}
}

func ExampleDiagnose() {
	fmt.Println(securl.Diagnose("Passé", "WnHUeb4kZnLPJI7HqZxJUA=="))
	// Output:
	// md5 in base64 of the password as typed in code page 1250, 1252, 1254, 1256, 1257, 1258
}
