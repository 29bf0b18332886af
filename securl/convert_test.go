package securl_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec/securl"
)

func convert(t testing.TB, in string, o securl.ConvertOptions) (string, securl.ConvertResult, error) {
	t.Helper()
	if o.List.Column == "" {
		o.List.Column = "pw"
	}
	var out bytes.Buffer
	res, err := securl.Convert(context.Background(), &out, strings.NewReader(in), o)
	return out.String(), res, err
}

func TestConvert(t *testing.T) {
	pw, q := b64("secret"), b64(`say "hi", you`)
	latin1 := securl.Hasher{Collation: collation(t, 1252)}
	for _, c := range []struct {
		name     string
		o        securl.ConvertOptions
		in, want string
		res      securl.ConvertResult
	}{
		{"plain", securl.ConvertOptions{}, "id,pw,x\n1,secret,a\n", "id,pw,x\n1," + pw + ",a\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"no line end at the end", securl.ConvertOptions{}, "pw\r\nsecret", "pw\r\n" + pw, securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"carriage return at the end", securl.ConvertOptions{}, "pw\r\nsecret\r", "pw\r\n" + pw + "\r", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"quotes stay", securl.ConvertOptions{}, "\"id\",\"pw\"\r\n\"1\",\"secret\"\r\n2,secret\r\n", "\"id\",\"pw\"\r\n\"1\",\"" + pw + "\"\r\n2," + pw + "\r\n", securl.ConvertResult{Rows: 2, Hashed: 2}},
		{"quoted delimiter and mark", securl.ConvertOptions{}, "pw,a\n\"say \"\"hi\"\", you\",\"x\ny\"\n", "pw,a\n\"" + q + "\",\"x\ny\"\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"blanks count", securl.ConvertOptions{}, "pw\n secret \n", "pw\n" + b64(" secret ") + "\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"byte order mark", securl.ConvertOptions{}, "\xEF\xBB\xBFpw\nsecret\n", "\xEF\xBB\xBFpw\n" + pw + "\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"byte order mark and quotes", securl.ConvertOptions{}, "\xEF\xBB\xBF\"pw\"\nsecret\n", "\xEF\xBB\xBF\"pw\"\n" + pw + "\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"tabs without quoting", securl.ConvertOptions{List: securl.List{Delimiter: '\t', NoQuotes: true}}, "pw\tinch\n\"secret\t5\"\n", "pw\tinch\n" + b64(`"secret`) + "\t5\"\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"empty stays empty", securl.ConvertOptions{}, "id,pw\n1,\n2,\"\"\n", "id,pw\n1,\n2,\"\"\n", securl.ConvertResult{Rows: 2, Empty: 2}},
		{"empty hashed on request", securl.ConvertOptions{HashEmpty: true}, "id,pw\n1,\n", "id,pw\n1,1B2M2Y8AsgTpgAmY7PhCfg==\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"blank lines stay", securl.ConvertOptions{HashEmpty: true}, "id,pw\n\n1,secret\n\r\n", "id,pw\n\n1," + pw + "\n\r\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"header only", securl.ConvertOptions{}, "id,pw", "id,pw", securl.ConvertResult{}},
		{"utf-8 file, latin database", securl.ConvertOptions{Hasher: latin1}, "pw\nPassé\n", "pw\nWnHUeb4kZnLPJI7HqZxJUA==\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"latin file, utf-8 database", securl.ConvertOptions{List: securl.List{Encoding: collation(t, 1252)}, Hasher: securl.Hasher{Collation: collation(t, securl.UTF8)}},
			"pw,é\nPass\xe9,\xe9\n", "pw,é\nAQm1aH0FS3B54l3ezs3hrQ==,\xe9\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"lossy and long are counted", securl.ConvertOptions{Hasher: latin1}, "pw\nŁódź\n" + strings.Repeat("a", 251) + "\n" + strings.Repeat("é", 251) + "\n",
			"pw\nTEkzXBx1+AKRP9wWd+PZwQ==\nG9vfHJCHx5Y5S82leJ9yBg==\n" + b64(strings.Repeat("\xe9", 250)) + "\n", securl.ConvertResult{Rows: 3, Hashed: 3, Lossy: 1, TooLong: 2}},
		{"a bar within a Japanese character", securl.ConvertOptions{List: securl.List{Delimiter: '|', Encoding: collation(t, 932)}, Hasher: securl.Hasher{Collation: collation(t, 932)}},
			"a|pw\n\x83\x7c|\x83\x7c\n", "a|pw\n\x83\x7c|" + b64("\x83\x7c") + "\n", securl.ConvertResult{Rows: 1, Hashed: 1}},
		{"keep what is hashed", securl.ConvertOptions{KeepHashed: true}, "pw\n" + q + "\nsecret\n", "pw\n" + q + "\n" + pw + "\n", securl.ConvertResult{Rows: 2, Hashed: 1, Kept: 1}},
		{"NULL", securl.ConvertOptions{List: securl.List{Null: "NULL"}}, "id,pw\n1,NULL\n2,\"NULL\"\n", "id,pw\n1,NULL\n2,\"" + b64("NULL") + "\"\n", securl.ConvertResult{Rows: 2, Hashed: 1, Null: 1}},
		{"told which rows", securl.ConvertOptions{Rows: func(n int64) bool { return n == 2 }}, "pw\nsecret\n" + hexOf("x") + "\n", "pw\nsecret\n" + b64(hexOf("x")) + "\n", securl.ConvertResult{Rows: 2, Hashed: 1, Kept: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, chunk := range []int{0, 1, 7} {
				o := c.o
				o.List = securl.SmallChunks(o.List, chunk)
				if c.name == "latin file, utf-8 database" {
					c.in, c.want = strings.Replace(c.in, "é", "\xe9", 1), strings.Replace(c.want, "é", "\xe9", 1)
				}
				out, res, err := convert(t, c.in, o)
				require.NoError(t, err)
				assert.Equal(t, c.want, out)
				c.res.Bytes = int64(len(c.in))
				assert.Equal(t, c.res, res)
			}
		})
	}
}

func TestConvertRefuses(t *testing.T) {
	hash := b64("x")
	for _, c := range []struct {
		name     string
		o        securl.ConvertOptions
		in, want string
	}{
		{"hashed already", securl.ConvertOptions{}, "id,pw\n1,secret\n2," + hash + "\n", "securl: line 3, column 3: the password is a hash already: the list was converted before, in whole or in part; keep hashed rows, or say which rows are plain"},
		{"foreign hash", securl.ConvertOptions{}, "pw\n" + hexOf("x") + "\n", "securl: line 2, column 1: the password looks like a hash of another kind; if it is none, say which rows are plain (md5-hex)"},
		{"foreign hash is not kept", securl.ConvertOptions{KeepHashed: true}, "pw\n" + hexOf("x") + "\n", "securl: line 2, column 1: the password looks like a hash of another kind; if it is none, say which rows are plain (md5-hex)"},
		{"open quote at the end", securl.ConvertOptions{}, "id,pw\n1,secret\n2,\"secret\n", "securl: line 3, column 3: the quotation mark that begins here is never closed"},
		{"open quote, and more quotes", securl.ConvertOptions{}, "id,pw\n1,\"secret\n2,\"secret\"\n", "securl: line 3, column 4: text after the closing quotation mark of a field that begins 1 line(s) above: one mark is missing or too many"},
		{"quote in the middle", securl.ConvertOptions{}, "id,pw\n1,5\" disk\n", "securl: line 2, column 4: a quotation mark within an unquoted field: quote the field and double the mark, or say that the list has no quoting"},
		{"missing column", securl.ConvertOptions{}, "id,name\n1,secret\n", `securl: line 1, column 1: there is no column "pw" among the 2 of the header row`},
		{"column in other case", securl.ConvertOptions{}, "id,PW\n", `securl: line 1, column 1: there is no column "pw", but one "PW": names are compared exactly`},
		{"wrong delimiter", securl.ConvertOptions{}, "id;pw\n1;secret\n", `securl: line 1, column 1: there is no column "pw": the header row is one field, and holds ';': is that the delimiter?`},
		{"two such columns", securl.ConvertOptions{}, "pw,pw\n", `securl: line 1, column 1: two columns are named "pw"`},
		{"NUL", securl.ConvertOptions{}, "id,pw\n1,secret\n2,\x00\n", "securl: line 3, column 3: a NUL byte: is the list in UTF-16, or not text at all?"},
		{"NUL in the header", securl.ConvertOptions{}, "i\x00d,pw\n", "securl: line 1, column 2: a NUL byte: is the list in UTF-16, or not text at all?"},
		{"UTF-16", securl.ConvertOptions{}, "\xFF\xFEp\x00w\x00", "securl: the list is in UTF-16: save it as UTF-8, or in a code page"},
		{"UTF-8 mark on a code page", securl.ConvertOptions{List: securl.List{Encoding: collation(t, 1252)}}, "\xEF\xBB\xBFpw\n", "securl: the list begins with the mark of UTF-8, not of code page 1252"},
		{"not UTF-8", securl.ConvertOptions{Hasher: securl.Hasher{Collation: collation(t, 1252)}}, "pw\nPass\xe9\n", "securl: line 2, column 1: the text is not valid UTF-8: name the code page of the file"},
		{"not in the page", securl.ConvertOptions{List: securl.List{Encoding: collation(t, 932)}, Hasher: securl.Hasher{Collation: collation(t, 932)}}, "pw\n\x85\x40\n", "securl: line 2, column 1: a byte has no meaning in code page 932: is this the code page of the file?"},
		{"no collation", securl.ConvertOptions{}, "pw\nPassé\n", "securl: line 2, column 1: the password has characters beyond ASCII, whose bytes depend on the database's collation: give the collation"},
		{"too few fields", securl.ConvertOptions{}, "id,pw\n1,secret\n2\n", "securl: line 3, column 1: the row has 1 fields, the header row has 2"},
		{"too many fields", securl.ConvertOptions{}, "id,pw\n1,sec,ret\n", "securl: line 2, column 1: the row has 3 fields, the header row has 2"},
		{"old Macintosh", securl.ConvertOptions{}, "id,pw\r1,secret\r", "securl: line 1, column 1: the lines end in a carriage return only: save the list with line feeds"},
		{"empty", securl.ConvertOptions{}, "", "securl: the list is empty: it needs a header row"},
		{"method none", securl.ConvertOptions{Hasher: securl.Hasher{Method: securl.None}}, "pw\n", "securl: nothing to convert with method none"},
		{"delimiter", securl.ConvertOptions{List: securl.List{Delimiter: 'x'}}, "pw\n", `securl: 'x' cannot be the delimiter: use a comma, a semicolon, a tab or a bar`},
		{"endless row", securl.ConvertOptions{List: securl.List{MaxRow: 20}}, "id,pw\n1,secret\n2," + strings.Repeat("a", 300) + "\n", "securl: line 3, column 1: the row is longer than 20 bytes: are these the right delimiter and line ends?"},
		{"endless quote", securl.ConvertOptions{List: securl.List{MaxRow: 20}}, "id,pw\n1,secret\n2,\"" + strings.Repeat("a\n", 300), "securl: line 3, column 3: the quotation mark that begins here is never closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, chunk := range []int{0, 16} {
				if c.o.List.MaxRow > 0 && chunk == 0 {
					continue // one chunk holds it all
				}
				o := c.o
				o.List = securl.SmallChunks(o.List, chunk)
				_, _, err := convert(t, c.in, o)
				require.EqualError(t, err, c.want)
				assert.NotContains(t, err.Error(), "secret")
			}
		})
	}
	_, err := securl.Convert(t.Context(), io.Discard, strings.NewReader("pw\n"), securl.ConvertOptions{})
	require.EqualError(t, err, "securl: name the password column")
}

func TestConvertTransportErrors(t *testing.T) {
	broken := errors.New("cable out")
	o := securl.ConvertOptions{List: securl.SmallChunks(securl.List{Column: "pw"}, 64)}
	in := "pw\n" + strings.Repeat("secret\n", 1000)

	_, err := securl.Convert(t.Context(), io.Discard, io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), o)
	require.ErrorIs(t, err, broken)

	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(broken))
	_, err = securl.Convert(t.Context(), w, strings.NewReader(in), o)
	require.ErrorIs(t, err, broken)

	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(securl.ConvertResult) { cancel() }
	_, err = securl.Convert(ctx, io.Discard, strings.NewReader(in), o)
	require.ErrorIs(t, err, context.Canceled)

	// An earlier mistake in the list comes first.
	o.Progress = nil
	_, err = securl.Convert(t.Context(), io.Discard, io.MultiReader(strings.NewReader("pw\n\"x\"y\n"+in), iotest.ErrReader(broken)), o)
	require.ErrorContains(t, err, "line 2, column 4")

	var out bytes.Buffer
	_, err = securl.Convert(t.Context(), &out, iotest.OneByteReader(strings.NewReader(in)), o)
	require.NoError(t, err)
	assert.Equal(t, "pw\n"+strings.Repeat(b64("secret")+"\n", 1000), out.String())
}

func TestConvertFile(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	write := func(name, text string) { require.NoError(t, os.WriteFile(name, []byte(text), 0o644)) }
	o := securl.ConvertOptions{List: securl.List{Column: "pw"}}
	files := func() []string {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}

	write(src, "id,pw\n1,secret\n2,\"secret\n")
	_, err := securl.ConvertFile(t.Context(), dst, src, o)
	require.EqualError(t, err, "securl: "+src+":3:3: the quotation mark that begins here is never closed")
	assert.Equal(t, []string{"in.csv"}, files(), "nothing is left behind")

	write(src, "id,pw\n1,secret\n")
	res, err := securl.ConvertFile(t.Context(), dst, src, o)
	require.NoError(t, err)
	assert.Equal(t, int64(1), res.Hashed)
	got, err := os.ReadFile(dst)
	require.NoError(t, err)
	assert.Equal(t, "id,pw\n1,"+b64("secret")+"\n", string(got))
	if runtime.GOOS != "windows" {
		info, err := os.Stat(dst)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	assert.Equal(t, []string{"in.csv", "out.csv"}, files())

	_, err = securl.ConvertFile(t.Context(), dst, src, o)
	require.EqualError(t, err, "securl: "+dst+" exists: remove it, or allow overwriting")
	_, err = securl.ConvertFile(t.Context(), filepath.Join(dir, "third.csv"), dst, o)
	require.ErrorContains(t, err, "hash already", "a second conversion")
	o.Overwrite = true
	_, err = securl.ConvertFile(t.Context(), dst, src, o)
	require.NoError(t, err)
	require.NoError(t, os.Link(src, filepath.Join(dir, "same.csv")))
	_, err = securl.ConvertFile(t.Context(), filepath.Join(dir, "same.csv"), src, o)
	require.ErrorContains(t, err, "is the source")
	_, err = securl.ConvertFile(t.Context(), dst, filepath.Join(dir, "absent.csv"), o)
	require.ErrorIs(t, err, os.ErrNotExist)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = securl.ConvertFile(ctx, filepath.Join(dir, "fourth.csv"), src, o)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []string{"in.csv", "out.csv", "same.csv"}, files())
}

// encoding/csv reads what Convert wrote as what Convert read, but for the passwords.
func TestConvertAgainstEncodingCSV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.OneOf(
			rapid.SampledFrom([]string{"", "a", "x y", `"`, `a "b"`, "1,2", "two\nlines", "é", " lead"}),
			rapid.StringMatching(`[a-z0-9,"\n ]{0,12}`))
		columns := rapid.IntRange(1, 4).Draw(t, "columns")
		password := rapid.IntRange(0, columns-1).Draw(t, "password")
		header := make([]string, columns)
		for i := range header {
			header[i] = fmt.Sprint("c", i)
		}
		header[password] = "pw"
		records := [][]string{header}
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			row := make([]string, columns)
			for i := range row {
				row[i] = cell.Draw(t, "cell")
			}
			records = append(records, row)
		}
		eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "eol")
		var in strings.Builder
		for _, row := range records {
			for i, s := range row {
				if i > 0 {
					in.WriteByte(',')
				}
				if strings.ContainsAny(s, ",\"\r\n") || columns == 1 && s == "" || rapid.Bool().Draw(t, "quote") {
					s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
				}
				in.WriteString(s)
			}
			in.WriteString(eol)
		}
		o := securl.ConvertOptions{
			List:    securl.SmallChunks(securl.List{Column: "pw"}, rapid.IntRange(1, 100).Draw(t, "chunk")),
			Hasher:  securl.Hasher{Collation: mustPage(securl.UTF8)},
			Workers: rapid.IntRange(1, 3).Draw(t, "workers"),
		}
		var out bytes.Buffer
		res, err := securl.Convert(context.Background(), &out, strings.NewReader(in.String()), o)
		require.NoError(t, err)
		require.Equal(t, int64(len(records)-1), res.Rows)
		for _, row := range records[1:] {
			if row[password] != "" {
				row[password] = b64(row[password])
			}
		}
		got, err := csv.NewReader(&out).ReadAll()
		require.NoError(t, err)
		require.Equal(t, records, got)
	})
}

func mustPage(page int) securl.Collation {
	c, err := securl.NewCollation(page)
	if err != nil {
		panic(err)
	}
	return c
}

// For any bytes: however the list is cut into chunks, the outcome is the same, and a list that
// was converted is refused or unchanged the second time.
func FuzzConvert(f *testing.F) {
	f.Add([]byte("id,pw\n1,secret\n2,\"a\"\"b\"\n"), uint8(7), false)
	f.Add([]byte("\xEF\xBB\xBFpw\r\n\"x\ny\"\r\n"), uint8(1), false)
	f.Add([]byte("pw\n\"open\n"), uint8(3), true)
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8, noQuotes bool) {
		run := func(in []byte, chunk int) (string, securl.ConvertResult, error) {
			var out bytes.Buffer
			res, err := securl.Convert(context.Background(), &out, bytes.NewReader(in), securl.ConvertOptions{
				List:    securl.SmallChunks(securl.List{Column: "pw", NoQuotes: noQuotes}, chunk),
				Hasher:  securl.Hasher{Collation: mustPage(1252)},
				Workers: 2,
			})
			return out.String(), res, err
		}
		whole, res, err := run(in, 1<<20)
		parts, partRes, partErr := run(in, int(chunk)+1)
		require.Equal(t, err == nil, partErr == nil, "%v, in parts %v", err, partErr)
		if err != nil {
			var a, b *securl.ListError
			if errors.As(err, &a) && errors.As(partErr, &b) && !strings.Contains(a.Error()+b.Error(), "NUL") {
				require.Equal(t, a.Error(), b.Error())
			}
			return
		}
		require.Equal(t, whole, parts)
		require.Equal(t, res, partRes)
		require.Equal(t, res.Rows, res.Hashed+res.Empty+res.Kept+res.Null)
		again, res2, err := run([]byte(whole), 1<<20)
		if res.Hashed > 0 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, whole, again)
		require.Equal(t, res.Rows, res2.Rows)
	})
}

func TestListValues(t *testing.T) {
	l := securl.SmallChunks(securl.List{Column: "pw", RecipientID: "id", UserName: "pw"}, 5)
	var got []string
	for v, err := range l.Values(strings.NewReader("id,pw\n1,secret\n\n2,\"a\"\"b\"\n3,\n")) {
		require.NoError(t, err)
		got = append(got, v.RecipientID+"/"+v.Password.String+"/"+v.UserName)
	}
	assert.Equal(t, []string{"1/secret/secret", `2/a"b/a"b`, "3//"}, got)

	l.Null = "NULL"
	for v, err := range l.Values(strings.NewReader("id,pw\n1,NULL\n")) {
		require.NoError(t, err)
		assert.False(t, v.Password.Valid)
	}
	for range l.Values(strings.NewReader("id,pw\n1,a\n2,b\n")) {
		break
	}
	for _, c := range []struct{ in, want string }{
		{"id,pw\n1,secret\n2\n", "securl: line 3, column 1: the row has 1 fields, the header row has 2"},
		{"id,pw\n1,\"secret", "securl: line 2, column 3: the quotation mark that begins here is never closed"},
		{"", "securl: the list is empty: it needs a header row"},
		{"pw\n", `securl: line 1, column 1: there is no column "id" among the 1 of the header row`},
		{"id,pw\n1,\xff\n", "securl: line 2, column 3: the text is not valid UTF-8: name the code page of the file"},
	} {
		_, err := securl.Classify(t.Context(), l.Values(strings.NewReader(c.in)), securl.ClassifyOptions{})
		require.EqualError(t, err, c.want)
	}
}

func ExampleConvert() {
	list := "RID,Name,Password\r\nr-17,\"Doe, Jane\",jk34-hj5k\r\n"
	latin1, _ := securl.ParseCollation("Latin1_General_CI_AS")
	var out strings.Builder
	res, err := securl.Convert(context.Background(), &out, strings.NewReader(list), securl.ConvertOptions{
		List:   securl.List{Column: "Password"},
		Hasher: securl.Hasher{Collation: latin1},
	})
	fmt.Println(res.Hashed, err)
	fmt.Printf("%q\n", out.String())
	// Output:
	// 1 <nil>
	// "RID,Name,Password\r\nr-17,\"Doe, Jane\",RwXTav8fPIAN+V++NeuhpA==\r\n"
}

const benchRows = 200_000

func benchList() []byte {
	var b bytes.Buffer
	b.WriteString("RID,FirstName,LastName,Email,Password\r\n")
	for i := range benchRows {
		fmt.Fprintf(&b, "R%07d,Jane,Doe,jane.doe%d@example.com,horse-%06d-staple\r\n", i, i, i)
	}
	return b.Bytes()
}

func BenchmarkConvert(b *testing.B) {
	list := benchList()
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("%d workers", workers), func(b *testing.B) {
			b.SetBytes(int64(len(list)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := securl.Convert(b.Context(), io.Discard, bytes.NewReader(list), securl.ConvertOptions{List: securl.List{Column: "Password"}, Workers: workers})
				require.NoError(b, err)
			}
			b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	// The least that hashing the same passwords costs.
	b.Run("md5+base64 only", func(b *testing.B) {
		passwords := make([][]byte, benchRows)
		for i := range passwords {
			passwords[i] = fmt.Appendf(nil, "horse-%06d-staple", i)
		}
		var out [24]byte
		for b.Loop() {
			for _, p := range passwords {
				sum := md5.Sum(p)
				base64.StdEncoding.Encode(out[:], sum[:])
			}
		}
		b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}
