package securl_test

import (
	"crypto/md5"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec/securl"
)

func collation(t testing.TB, page int) securl.Collation {
	t.Helper()
	if page == 0 {
		return securl.Collation{}
	}
	c, err := securl.NewCollation(page)
	require.NoError(t, err)
	return c
}

func hexToHash(t *testing.T, s string) string {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(b)
}

// Outputs of HASHBYTES('MD5', …) on real servers, as published; we add only the base64.
func TestPublishedServerOutputs(t *testing.T) {
	for _, c := range []struct {
		tsql, source string
		column       securl.Column
		page         int
		in, md5      string
	}{
		{"varchar(15) '1234567890'", "weblogs.sqlteam.com/mladenp, 2009-04-28", securl.Column{Type: "varchar", Length: 15}, 1252, "1234567890", "E807F1FCF82D132F9BB018CA6738A19F"},
		{"char(15) '1234567890'", "weblogs.sqlteam.com/mladenp, 2009-04-28", securl.Column{Type: "char", Length: 15}, 1252, "1234567890", "2120C3F3423F89BA8A65ABD933321884"},
		{"'è' in 1252", "stackoverflow.com/questions/27908449", securl.Column{Type: "varchar", Length: 10}, 1252, "è", "785D512BE4316D578E6650613B45E934"},
		{"'è' COLLATE SQL_Latin1_General_CP1255_CI_AS", "stackoverflow.com/questions/27908449", securl.Column{Type: "varchar", Length: 10}, 1255, "è", "D1457B72C3FB323A2671125AEF3EAB5D"},
	} {
		t.Run(c.tsql, func(t *testing.T) {
			got, err := securl.Hasher{Collation: collation(t, c.page)}.HashFrom(c.column, c.in)
			require.NoError(t, err)
			assert.Equal(t, hexToHash(t, c.md5), got, c.source)
		})
	}

	// HASHBYTES over NVARCHAR is not what XMPieHashMD5 does. It is the mistake that people
	// make, and Diagnose knows it.
	for _, c := range []struct{ tsql, in, md5 string }{
		{"nvarchar(15) N'1234567890'", "1234567890", "E15E31C3D8898C92AB172A4311BE9E84"},
		{"nchar(15) N'1234567890'", "1234567890     ", "90DEF5840F3A31174CA44E2022F743B6"},
		{"N'è'", "è", "FAC02CD988801F0495D35611223782CF"},
	} {
		t.Run(c.tsql, func(t *testing.T) {
			d := securl.Diagnose(c.in, hexToHash(t, c.md5))
			require.Len(t, d.Matches, 1)
			assert.Equal(t, "utf-16le", d.Matches[0].Encoding)
		})
	}
}

func TestHashGolden(t *testing.T) {
	for _, c := range []struct {
		page     int
		in, want string
	}{
		{0, "password", "X03MO1qnZdYdgyfeuILPmQ=="},
		{0, "1234", "gdyb21LQTcIANtvYMT7QVQ=="},
		{0, "", "1B2M2Y8AsgTpgAmY7PhCfg=="},
		{0, " ", "chXunH2dwinSkhpA6JnsXw=="},
		{0, "password ", "n5YQNO5N51i69N4JzusadQ=="},
		{1252, "Passé", "WnHUeb4kZnLPJI7HqZxJUA=="},
		{securl.UTF8, "Passé", "AQm1aH0FS3B54l3ezs3hrQ=="},
		{1252, "Łódź", "TEkzXBx1+AKRP9wWd+PZwQ=="},
		{1250, "Łódź", "H+Ll+RS77xCL1ksGsvaxug=="},
		{1255, "Łódź", "SnyGBmKTKbfZ6mgyrBeeqg=="},
		{1255, "שלום", "J3OHV1Zii9fHeJ805ApthQ=="},
		{1252, "שלום", "6U8L+rjJh6dDe6ThaXwcwA=="},
		{932, "パスワード", "MSDk1KFaFRzU3fpTE+vZ+A=="},
		{932, "ﾊﾟｽ", "Kt0qosykAR/l5pP2GowdfQ=="},
		{1252, "ＰＡＳＳ", "epW/kmoDM/V3Ba6sB6Niog=="},
		{932, "ＰＡＳＳ", "dsyfeZqIid/KaIlGIrCeQw=="},
		{1252, "😀", "6gP8uMR4Irzncs9sB9Druw=="},
		{securl.UTF8, "😀", "KgLqw51xanDs83V5GFkntg=="},
		{1252, "∞", "yfD4lfuYq5FZ9R/QKX4jbQ=="},
		{1252, "€", "jTndfu8RXqaXVEbvQIKVHw=="},
		{1252, strings.Repeat("a", 250), "G9vfHJCHx5Y5S82leJ9yBg=="},
		{1252, strings.Repeat("a", 251), "G9vfHJCHx5Y5S82leJ9yBg=="},
		{932, "a" + strings.Repeat("あ", 125), "8eh5nGG6Tpv4OVOB9IjW0g=="},
		{securl.UTF8, strings.Repeat("é", 126), "K8Q0+w4kYl88ycdToQgD7g=="},
	} {
		t.Run(fmt.Sprintf("%d %.20s", c.page, c.in), func(t *testing.T) {
			h := securl.Hasher{Collation: collation(t, c.page)}
			got, err := h.Hash(c.in)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
			ok, err := h.Verify(c.in, got)
			require.NoError(t, err)
			assert.True(t, ok)
			ok, err = h.Verify(c.in+"x", got)
			require.NoError(t, err)
			assert.Equal(t, len(c.in) >= 249, ok, "one character more, unless it is cut off")
		})
	}
}

// vectors.txt was computed by vectors.py, which shares no code with this package.
func TestHashVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.txt")
	require.NoError(t, err)
	seen := map[int]int{}
	for line := range strings.Lines(string(data)) {
		part := strings.SplitN(strings.TrimSpace(line), " ", 3)
		require.Len(t, part, 3)
		page, err := strconv.Atoi(part[0])
		require.NoError(t, err)
		var password string
		require.NoError(t, json.Unmarshal([]byte(part[2]), &password))
		got, err := securl.Hasher{Collation: collation(t, page)}.Hash(password)
		require.NoError(t, err)
		assert.Equal(t, part[1], got, "%d %q", page, password)
		seen[page]++
	}
	for _, page := range securl.CodePages() {
		assert.GreaterOrEqual(t, seen[page], 30, page)
	}
}

func TestHashErrors(t *testing.T) {
	_, err := securl.Hasher{}.Hash("Passé-secret")
	require.ErrorIs(t, err, securl.ErrCollationUnknown)
	assert.NotContains(t, err.Error(), "Pass")
	_, err = securl.Hasher{Collation: collation(t, 1252)}.Hash("secret\xff")
	require.ErrorIs(t, err, securl.ErrNotUTF8)
	_, err = securl.Hasher{Method: 7}.Hash("x")
	require.Error(t, err)

	got, err := securl.Hasher{}.Hash(strings.Repeat("a", 250) + "é")
	require.NoError(t, err, "what is cut off needs no collation")
	assert.Equal(t, "G9vfHJCHx5Y5S82leJ9yBg==", got)
}

func TestHashNull(t *testing.T) {
	got, err := securl.Hasher{}.HashNull(sql.NullString{})
	require.NoError(t, err)
	assert.False(t, got.Valid, "NULL stays NULL")
	got, err = securl.Hasher{}.HashNull(sql.NullString{Valid: true})
	require.NoError(t, err)
	assert.Equal(t, sql.NullString{String: "1B2M2Y8AsgTpgAmY7PhCfg==", Valid: true}, got)
	got, err = securl.Hasher{}.HashNull(sql.NullString{String: "é", Valid: true})
	require.Error(t, err)
	assert.False(t, got.Valid)
}

func TestVerify(t *testing.T) {
	md5Of, none := securl.Hasher{}, securl.Hasher{Method: securl.None}
	for _, c := range []struct {
		name             string
		h                securl.Hasher
		password, stored string
		want             bool
		err              error
	}{
		{"right", md5Of, "password", "X03MO1qnZdYdgyfeuILPmQ==", true, nil},
		{"wrong", md5Of, "passwort", "X03MO1qnZdYdgyfeuILPmQ==", false, nil},
		{"other case of base64", md5Of, "password", "x03mo1qnzdydgyfeuilpmq==", false, securl.ErrNotHash},
		{"padded by CHAR(30)", md5Of, "password", "X03MO1qnZdYdgyfeuILPmQ==      ", true, nil},
		{"not canonical", md5Of, "password", "X03MO1qnZdYdgyfeuILPmR==", false, securl.ErrNotHash},
		{"hex", md5Of, "password", "5f4dcc3b5aa765d61d8327deb882cf99", false, securl.ErrNotHash},
		{"plain", md5Of, "password", "password", false, securl.ErrNotHash},
		{"empty value", md5Of, "", "", false, nil},
		{"empty value, no hashing", none, "", "", false, nil},
		{"no hashing", none, "password", "password", true, nil},
		{"no hashing, wrong", none, "password", "Password", false, nil},
		{"no collation", md5Of, "é", "X03MO1qnZdYdgyfeuILPmQ==", false, securl.ErrCollationUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			ok, err := c.h.Verify(c.password, c.stored)
			assert.Equal(t, c.want, ok)
			if c.err == nil {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, c.err)
			}
		})
	}
}

func TestHashFromColumn(t *testing.T) {
	latin1, polish, hebrew, japanese := collation(t, 1252), collation(t, 1250), collation(t, 1255), collation(t, 932)
	raw := func(b string) string {
		sum := md5.Sum([]byte(b))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	for _, c := range []struct {
		name     string
		db       securl.Collation
		column   securl.Column
		in, want string
	}{
		{"nvarchar takes the database's page", polish, securl.Column{Type: "nvarchar", Length: 50}, "Łódź", raw("\xa3\xf3d\x9f")},
		{"nchar pads with blanks", latin1, securl.Column{Type: "nchar", Length: 6}, "é", raw("\xe9     ")},
		{"nchar counts units", latin1, securl.Column{Type: "nchar", Length: 4}, "😀", raw("??  ")},
		{"char pads to bytes", japanese, securl.Column{Type: "char", Length: 5}, "あ", raw("\x82\xa0   ")},
		{"another page has lost letters first", polish, securl.Column{Type: "varchar", Length: 50, Collation: latin1}, "Łódź", raw("L\xf3dz")},
		{"another page, there and back", hebrew, securl.Column{Type: "varchar", Length: 50, Collation: polish}, "Łódź", raw("??d?")},
		{"a column in the database's page keeps its bytes", latin1, securl.Column{Type: "varchar", Length: -1, Collation: latin1}, "Łódź", raw("L\xf3dz")},
		{"long values are cut", latin1, securl.Column{Type: "nvarchar", Length: -1}, strings.Repeat("é", 300), raw(strings.Repeat("\xe9", 250))},
		{"cut before half a character", japanese, securl.Column{Type: "varchar", Length: -1}, "a" + strings.Repeat("あ", 125), raw("a" + strings.Repeat("\x82\xa0", 124))},
		{"utf-8 is cut before a character too", collation(t, securl.UTF8), securl.Column{Type: "nvarchar", Length: -1}, "a" + strings.Repeat("é", 125), raw("a" + strings.Repeat("é", 124))},
		{"also in a column of the same collation", collation(t, securl.UTF8), securl.Column{Type: "varchar", Length: -1}, "ab" + strings.Repeat("あ", 83), raw("ab" + strings.Repeat("あ", 82))},
		{"utf-8 column, single-byte database", latin1, securl.Column{Type: "varchar", Length: 50, Collation: collation(t, securl.UTF8)}, "Łó", raw("L\xf3")},
		{"ascii needs no collation", securl.Collation{}, securl.Column{Type: "char", Length: 4}, "ab", raw("ab  ")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := securl.Hasher{Collation: c.db}.HashFrom(c.column, c.in)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
	for _, c := range []struct {
		name   string
		column securl.Column
		in     string
		want   string
	}{
		{"too long", securl.Column{Type: "varchar", Length: 3}, "secret", "securl: the password is too long for the column"},
		{"too long in units", securl.Column{Type: "nvarchar", Length: 1}, "😀", "securl: the password is too long for the column"},
		{"no type", securl.Column{Length: 3}, "x", `securl: column type "" is not one of char, varchar, nchar, nvarchar`},
		{"no length", securl.Column{Type: "char"}, "x", "securl: a column cannot be char(0)"},
		{"char(max)", securl.Column{Type: "char", Length: -1}, "x", "securl: a column cannot be char(-1)"},
		{"not UTF-8", securl.Column{Type: "nvarchar", Length: 9}, "\xff", "securl: the password is not valid UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := securl.Hasher{Collation: latin1}.HashFrom(c.column, c.in)
			require.EqualError(t, err, c.want)
		})
	}
}

func TestHasherText(t *testing.T) {
	var h securl.Hasher
	require.NoError(t, json.Unmarshal([]byte(`{"method":"none","collation":"Polish_100_CI_AS"}`), &h))
	assert.Equal(t, securl.None, h.Method)
	assert.Equal(t, 1250, h.Collation.CodePage())
	out, err := json.Marshal(h)
	require.NoError(t, err)
	assert.JSONEq(t, `{"method":"none","collation":"Polish_100_CI_AS"}`, string(out))
	assert.Error(t, json.Unmarshal([]byte(`{"method":"sha1"}`), &h))
	out, err = json.Marshal(securl.Hasher{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"method":"md5","collation":""}`, string(out))
	require.NoError(t, json.Unmarshal(out, &h))
	assert.Equal(t, securl.Hasher{}, h)
}

func TestArgon2id(t *testing.T) {
	// Made by the reference implementation: argon2 0~20171227 of Debian 12,
	// echo -n PASSWORD | argon2 SALT -id -t 3 -m 16 -p 4 -l 32 -e (the second: -t 2 -m 10 -p 1 -l 24)
	for _, c := range []struct{ password, stored string }{
		{"correct horse é", "$argon2id$v=19$m=65536,t=3,p=4$MDEyMzQ1Njc4OWFiY2RlZg$ovQkBJ4yTKsiPLFgbCDe8auKlIA3iMcDLWkNLVsb57M"},
		{"password", "$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHQ$Y+lHxfksTW5m0vcIGl8If/UJWDiMwZJA"},
	} {
		ok, err := securl.Argon2id{}.Verify(c.password, c.stored)
		require.NoError(t, err)
		assert.True(t, ok)
		ok, err = securl.Argon2id{}.Verify(c.password+" ", c.stored)
		require.NoError(t, err)
		assert.False(t, ok)
	}

	small := securl.Argon2id{Time: 1, Memory: 64, Threads: 1}
	a, err := small.Hash("password")
	require.NoError(t, err)
	b, err := small.Hash("password")
	require.NoError(t, err)
	assert.NotEqual(t, a, b, "salted")
	ok, err := small.Verify("password", a)
	require.NoError(t, err)
	assert.True(t, ok)
	assert.False(t, small.Outdated(a))
	assert.True(t, securl.Argon2id{}.Outdated(a))
	assert.True(t, securl.Argon2id{}.Outdated("X03MO1qnZdYdgyfeuILPmQ=="))

	fixed := small
	fixed.Rand = strings.NewReader("0123456789abcdef")
	a, err = fixed.Hash("x")
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(a, "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"))
	_, err = fixed.Hash("x")
	require.Error(t, err, "no salt left")
	_, err = securl.Argon2id{Memory: 8, Threads: 4}.Hash("x")
	require.Error(t, err)
}

func TestArgon2idRefusesForgedStrings(t *testing.T) {
	good := "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg"
	_, err := securl.Argon2id{}.Verify("x", good)
	require.NoError(t, err)
	for name, change := range map[string][2]string{
		"method":        {"argon2id", "argon2i"},
		"version":       {"v=19", "v=16"},
		"huge memory":   {"m=64", "m=4294967295"},
		"above 1 GiB":   {"m=64", "m=1048577"},
		"huge time":     {"t=1", "t=4294967295"},
		"above 64":      {"t=1", "t=65"},
		"zero time":     {"t=1", "t=0"},
		"no threads":    {"p=1", "p="},
		"leading zero":  {"p=1", "p=01"},
		"little memory": {"m=64", "m=4"},
		"short salt":    {"$MDEyMzQ1Njc4OWFiY2RlZg$", "$MDEy$"},
		"line break":    {"$MDEyMzQ1", "$MDEy\nMzQ1"},
		"more":          {"$m=", "$$m="},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, change[0], change[1], 1)
			require.NotEqual(t, good, bad)
			_, err := securl.Argon2id{}.Verify("x", bad)
			require.ErrorIs(t, err, securl.ErrNotHash)
		})
	}
}

// For any password and collation: a canonical hash, the same every time, that verifies, and
// that does not depend on anything beyond 250 bytes.
func TestHashProperties(t *testing.T) {
	pages := securl.CodePages()
	rapid.Check(t, func(t *rapid.T) {
		page := rapid.SampledFrom(pages).Draw(t, "page")
		password := rapid.String().Draw(t, "password")
		c, err := securl.NewCollation(page)
		require.NoError(t, err)
		h := securl.Hasher{Collation: c}
		hash, err := h.Hash(password)
		require.NoError(t, err)
		sum, err := base64.StdEncoding.Strict().DecodeString(hash)
		require.NoError(t, err)
		require.Len(t, sum, md5.Size)
		ok, err := h.Verify(password, hash)
		require.NoError(t, err)
		require.True(t, ok)
		if !strings.ContainsFunc(password, func(r rune) bool { return r >= utf8.RuneSelf }) && len(password) <= 250 {
			want := md5.Sum([]byte(password))
			require.Equal(t, want[:], sum)
		}
		// An NVARCHAR column loses nothing, so it makes no difference.
		if n := len(utf16.Encode([]rune(password))); n <= 4000 {
			from, err := h.HashFrom(securl.Column{Type: "nvarchar", Length: -1}, password)
			require.NoError(t, err)
			require.Equal(t, hash, from)
		}
		// Nor does a VARCHAR column in the database's own collation.
		from, err := h.HashFrom(securl.Column{Type: "varchar", Length: -1}, password)
		require.NoError(t, err)
		require.Equal(t, hash, from)
	})
}

func ExampleHasher() {
	polish, _ := securl.ParseCollation("Polish_CI_AS")
	latin1, _ := securl.ParseCollation("SQL_Latin1_General_CP1_CI_AS")
	a, _ := securl.Hasher{Collation: polish}.Hash("Łódź")
	b, _ := securl.Hasher{Collation: latin1}.Hash("Łódź")
	fmt.Println(a)
	fmt.Println(b)
	// Output:
	// H+Ll+RS77xCL1ksGsvaxug==
	// TEkzXBx1+AKRP9wWd+PZwQ==
}

func BenchmarkHash(b *testing.B) {
	for _, c := range []struct {
		page int
		in   string
	}{{0, "correct horse 123"}, {1252, "korrekt hæst 1234"}, {932, "パスワード12345"}} {
		b.Run(fmt.Sprint(c.page), func(b *testing.B) {
			h := securl.Hasher{Collation: collation(b, c.page)}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = h.Hash(c.in)
			}
		})
	}
	// What any implementation has to pay.
	b.Run("md5+base64", func(b *testing.B) {
		var out [24]byte
		in := []byte("correct horse 123")
		for b.Loop() {
			sum := md5.Sum(in)
			base64.StdEncoding.Encode(out[:], sum[:])
		}
	})
}
