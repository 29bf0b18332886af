package securl_test

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/securl"
)

func seq(values ...string) iter.Seq2[securl.Value, error] {
	return func(yield func(securl.Value, error) bool) {
		for _, v := range values {
			if !yield(securl.Value{Password: sql.NullString{String: v, Valid: true}}, nil) {
				return
			}
		}
	}
}

func rows(values ...securl.Value) iter.Seq2[securl.Value, error] {
	return func(yield func(securl.Value, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func row(password, id, user string) securl.Value {
	return securl.Value{Password: sql.NullString{String: password, Valid: true}, RecipientID: id, UserName: user}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func classify(t testing.TB, o securl.ClassifyOptions, values iter.Seq2[securl.Value, error]) securl.ColumnObservation {
	t.Helper()
	o.Now = func() time.Time { return noon }
	got, err := securl.Classify(t.Context(), values, o)
	require.NoError(t, err)
	return got
}

func TestFormatOf(t *testing.T) {
	s1, s256, s512 := sha1.Sum([]byte("x")), sha256.Sum256([]byte("x")), sha512.Sum512([]byte("x"))
	for _, c := range []struct {
		in   string
		want securl.Format
	}{
		{"password", securl.FormatPlain},
		{"X03MO1qnZdYdgyfeuILPmQ==", securl.FormatMD5},
		{"X03MO1qnZdYdgyfeuILPmQ==   ", securl.FormatMD5},
		{"\tX03MO1qnZdYdgyfeuILPmQ==\r\n", securl.FormatSpacedMD5},
		{"X03MO1qnZdYdgyfeuILPmR==", securl.FormatPlain},
		{"X03MO1qnZdYdgyfeuILPmQ=", securl.FormatPlain},
		{"X03MO1qnZdYdgyfeuIL-mQ==", securl.FormatPlain},
		{hexOf("password"), securl.FormatHexMD5},
		{strings.ToUpper(hexOf("password")), securl.FormatHexMD5},
		{"5F4dcc3b5aa765d61d8327deb882cf99", securl.FormatPlain},
		{strings.Repeat("0", 32), securl.FormatPlain},
		{hex.EncodeToString(s1[:]), securl.FormatHexSHA1},
		{hex.EncodeToString(s256[:]), securl.FormatHexSHA256},
		{hex.EncodeToString(s512[:]), securl.FormatHexSHA512},
		{base64.StdEncoding.EncodeToString(s1[:]), securl.FormatBase64SHA1},
		{base64.StdEncoding.EncodeToString(s256[:]), securl.FormatBase64SHA256},
		{base64.StdEncoding.EncodeToString(s512[:]), securl.FormatBase64SHA512},
		{"$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", securl.FormatBcrypt},
		{"$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHQ$Y+lHxfksTW5m0vcIGl8If/UJWDiMwZJA", securl.FormatArgon2},
		{"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1", securl.FormatCrypt},
		{"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", securl.FormatLDAP},
		{"{md5}X03MO1qnZdYdgyfeuILPmQ==", securl.FormatLDAPMD5},
		{"pbkdf2_sha256$600000$salt$3Vqz0eF0zJ0=", securl.FormatDjango},
		{"0x0100" + strings.Repeat("A1", 24), securl.FormatSQLServer},
		{"$$$ rich $$$", securl.FormatPlain},
		{"{curly} braces are fine here", securl.FormatPlain},
	} {
		assert.Equal(t, c.want, securl.FormatOf(c.in), c.in)
	}
}

func TestClassifyPlain(t *testing.T) {
	o := classify(t, securl.ClassifyOptions{Subject: "list", Collation: collation(t, 1252), Width: 50}, rows(
		row("Łódź-7", "r1", ""),
		row("Lódz-7", "r2", ""), // the same bytes in 1252
		row("Łódź-7", "r3", ""),
		row(strings.Repeat("x", 251), "r4", ""),
		row("R5", "r5", ""),
		row("ann", "r6", "Ann"),
		row("Password", "r7", ""),
		row("\xff", "r8", ""),
		row("", "r9", ""),
		securl.Value{RecipientID: "r10"},
	))
	want := securl.ColumnObservation{
		Subject: "list", At: noon, Collation: collation(t, 1252), Width: 50,
		Rows: 10, Null: 1, Empty: 1, Plain: 8, NonASCII: 4, TooLong: 1, Lossy: 2, Colliding: 3, Unconverted: 1,
		Duplicates: 2, Groups: 1, LargestGroup: 2, Tracked: 8, EqualID: 1, EqualUser: 1, Common: 1, Compared: 8,
	}
	assert.Equal(t, want, o)
	r := o.Judge()
	ruletest.ExpectFailed(t, r, securl.RulePlaintext, securl.RuleLossy, securl.RuleTruncated, securl.RuleGuessable)
	ruletest.Expect(t, r, connsec.Pass, securl.RuleMixed, securl.RuleDoubleHashed, securl.RuleWrongFormat, securl.RuleTooNarrow)
	ruletest.Expect(t, r, connsec.NotApplicable, securl.RuleMD5Weak)
	assert.Equal(t, noon, r.At)
	assert.Equal(t, "list", r.Target)
}

func TestClassifyHashed(t *testing.T) {
	h := securl.Hasher{}
	hash := func(s string) string {
		out, err := h.Hash(s)
		require.NoError(t, err)
		return out
	}
	o := classify(t, securl.ClassifyOptions{Width: -1}, rows(
		row(hash("k2j4h5k2j3h4"), "r1", "u1"),
		row(hash("k2j4h5k2j3h4"), "r2", "u2"),
		row(hash(hash("k2j4h5k2j3h4"))+"   ", "r3", ""), // hash of another row's hash
		row(hash(hash("r4")), "r4", ""),                 // provable by the ID
		row(hash("u5"), "r5", "u5"),
		row(hash(hash("Password")), "r6", ""),
		row(hash(""), "r7", ""),
	))
	assert.Equal(t, int64(7), o.MD5)
	assert.Equal(t, int64(3), o.HashedTwice)
	assert.Equal(t, int64(2), o.HashedOnce)
	assert.Equal(t, []int64{1, 1, 2}, []int64{o.EqualID, o.EqualUser, o.Common})
	assert.Equal(t, int64(7), o.Compared)
	assert.Equal(t, []int64{1, 2, 2}, []int64{o.Groups, o.Duplicates, o.LargestGroup})
	r := o.Judge()
	ruletest.ExpectFailed(t, r, securl.RuleMD5Weak, securl.RuleDoubleHashed, securl.RuleGuessable)
	ruletest.Expect(t, r, connsec.Pass, securl.RulePlaintext, securl.RuleMixed, securl.RuleWrongFormat, securl.RuleTooNarrow)
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleLossy, securl.RuleTruncated)
}

func TestJudgeColumn(t *testing.T) {
	strong := "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"
	good := b64("long and random 8237")
	for _, c := range []struct {
		name   string
		o      securl.ClassifyOptions
		values iter.Seq2[securl.Value, error]
		fail   []*connsec.Rule
		pass   []*connsec.Rule
		open   []*connsec.Rule // inconclusive
	}{
		{"clean plain list", securl.ClassifyOptions{}, rows(row("jk34hj5k", "r1", "u1")),
			[]*connsec.Rule{securl.RulePlaintext},
			[]*connsec.Rule{securl.RuleLossy, securl.RuleTruncated, securl.RuleGuessable},
			[]*connsec.Rule{securl.RuleTooNarrow}},
		{"hashed properly", securl.ClassifyOptions{Width: 24}, rows(row(good, "r1", "u1")),
			[]*connsec.Rule{securl.RuleMD5Weak},
			[]*connsec.Rule{securl.RuleTooNarrow, securl.RuleGuessable},
			[]*connsec.Rule{securl.RuleDoubleHashed}},
		{"proved to be hashed once", securl.ClassifyOptions{Width: 24}, rows(row(b64("r1"), "r1", "")),
			[]*connsec.Rule{securl.RuleMD5Weak, securl.RuleGuessable},
			[]*connsec.Rule{securl.RuleDoubleHashed}, nil},
		{"narrow", securl.ClassifyOptions{Width: 23}, rows(row("jk34hj5k", "r1", "u1")),
			[]*connsec.Rule{securl.RulePlaintext, securl.RuleTooNarrow}, nil, nil},
		{"strong hashes of another product", securl.ClassifyOptions{Width: 100}, seq(strong),
			[]*connsec.Rule{securl.RuleWrongFormat},
			[]*connsec.Rule{securl.RuleMD5Weak, securl.RulePlaintext},
			[]*connsec.Rule{securl.RuleGuessable}},
		{"hex", securl.ClassifyOptions{Width: 100}, seq(hexOf("a"), hexOf("b")),
			[]*connsec.Rule{securl.RuleWrongFormat, securl.RuleMD5Weak},
			[]*connsec.Rule{securl.RuleMixed}, nil},
		{"{MD5} of a directory", securl.ClassifyOptions{Width: 100}, seq("{MD5}" + good),
			[]*connsec.Rule{securl.RuleWrongFormat, securl.RuleMD5Weak}, nil,
			[]*connsec.Rule{securl.RuleDoubleHashed}},
		{"spaced", securl.ClassifyOptions{Width: 100}, seq(good + "\r\n"),
			[]*connsec.Rule{securl.RuleWrongFormat, securl.RuleMD5Weak}, nil, nil},
		{"half converted", securl.ClassifyOptions{Width: 100}, seq(good, "jk34hj5k"),
			[]*connsec.Rule{securl.RulePlaintext, securl.RuleMixed, securl.RuleMD5Weak}, nil,
			[]*connsec.Rule{securl.RuleLossy, securl.RuleTruncated, securl.RuleDoubleHashed}},
		{"collation unknown", securl.ClassifyOptions{}, seq("Passé-jk3"),
			[]*connsec.Rule{securl.RulePlaintext}, nil,
			[]*connsec.Rule{securl.RuleLossy, securl.RuleTruncated, securl.RuleGuessable}},
		{"guess that cannot be hashed", securl.ClassifyOptions{}, rows(row(good, "Renée", "")),
			[]*connsec.Rule{securl.RuleMD5Weak}, nil, []*connsec.Rule{securl.RuleGuessable}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := classify(t, c.o, c.values).Judge()
			ruletest.ExpectFailed(t, r, c.fail...)
			if len(c.pass) > 0 {
				ruletest.Expect(t, r, connsec.Pass, c.pass...)
			}
			if len(c.open) > 0 {
				ruletest.Expect(t, r, connsec.Inconclusive, c.open...)
			}
		})
	}

	empty := classify(t, securl.ClassifyOptions{Width: 30}, rows(securl.Value{}, row("", "r", "u"))).Judge()
	ruletest.ExpectFailed(t, empty)
	assert.Equal(t, len(empty.Findings)-1, empty.Count(connsec.NotApplicable), "an empty column has only a width")
}

func TestValidateMethod(t *testing.T) {
	r := securl.Hasher{}.Validate()
	ruletest.ExpectFailed(t, r, securl.RuleMD5Weak)
	ruletest.Expect(t, r, connsec.Pass, securl.RulePlaintext)
	require.ErrorIs(t, securl.Hasher{Method: securl.None}.Validate().Err(connsec.High), securl.RulePlaintext)
	r = securl.Hasher{Method: 9}.Validate()
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RulePlaintext, securl.RuleMD5Weak)
}

func TestClassifyShowsNoValue(t *testing.T) {
	v := row("s3cr3t-value", "rid-77", "user-77")
	o := classify(t, securl.ClassifyOptions{}, rows(v, row("Passé-s3cr3t", "rid-78", "")))
	facts, err := json.Marshal(o)
	require.NoError(t, err)
	report, err := json.Marshal(o.Judge())
	require.NoError(t, err)
	text, err := json.Marshal(v)
	require.NoError(t, err)
	for _, s := range []string{string(facts), string(report), string(text), fmt.Sprintf("%v %+v %#v %s %q %x", v, v, v, v, v, v), fmt.Sprintf("%+v", []securl.Value{v})} {
		assert.NotContains(t, s, "s3cr3t")
		assert.NotContains(t, s, "rid-7")
	}

	var back securl.ColumnObservation
	require.NoError(t, json.Unmarshal(facts, &back))
	assert.Equal(t, o, back, "facts can be judged elsewhere")
}

func TestClassifyStops(t *testing.T) {
	broken := errors.New("connection lost")
	o, err := securl.Classify(t.Context(), func(yield func(securl.Value, error) bool) {
		if yield(row("a", "", ""), nil) {
			yield(securl.Value{}, broken)
		}
	}, securl.ClassifyOptions{})
	require.ErrorIs(t, err, broken)
	assert.Equal(t, int64(1), o.Rows, "the facts so far")

	ctx, cancel := context.WithCancel(t.Context())
	var progress []int64
	_, err = securl.Classify(ctx, func(yield func(securl.Value, error) bool) {
		for yield(row("a", "", ""), nil) {
		}
	}, securl.ClassifyOptions{Progress: func(n int64) { progress = append(progress, n); cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []int64{65536}, progress)
}

func TestClassifyBoundsMemory(t *testing.T) {
	o := classify(t, securl.ClassifyOptions{MaxTracked: 3}, seq("a", "a", "b", "b", "b"))
	assert.Equal(t, int64(5), o.Plain)
	assert.Equal(t, int64(3), o.Tracked)
	assert.Equal(t, int64(2), o.Duplicates)
}

// Any password that was hashed is recognised as a hash, whatever it was.
func FuzzFormatOf(f *testing.F) {
	f.Add("password")
	f.Add("$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHQ$Y+lHxfksTW5m0vcIGl8If/UJWDiMwZJA")
	f.Fuzz(func(t *testing.T, s string) {
		first := securl.FormatOf(s)
		require.Equal(t, first, securl.FormatOf(s))
		require.Equal(t, securl.FormatMD5, securl.FormatOf(b64(s)))
		if first == securl.FormatMD5 {
			_, err := base64.StdEncoding.Strict().DecodeString(strings.TrimRight(s, " "))
			require.NoError(t, err)
		}
	})
}

func ExampleClassify() {
	column := seq("jk34-hj5k", "X03MO1qnZdYdgyfeuILPmQ==", "5f4dcc3b5aa765d61d8327deb882cf99")
	o, err := securl.Classify(context.Background(), column, securl.ClassifyOptions{Subject: "dbo.Recipients.Password"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range o.Judge().Failed(connsec.High) {
		fmt.Println(f.Rule.ID+":", f.Detail)
	}
	// Output:
	// securl-password-plaintext: 1 of 3 values look like plain text
	// securl-column-mixed: 3 values in 3 formats: md5-base64 (1), md5-hex (1), plain (1)
	// securl-column-wrong-format: 1 of 3 values are hashes that Circle does not make
	// securl-password-guessable: 1 of 3 passwords are the recipient ID, the user name or among the most common
}

func BenchmarkClassify(b *testing.B) {
	const n = 100_000
	values := make([]securl.Value, n)
	for i := range values {
		values[i] = row(fmt.Sprintf("pass-%d-word", i), fmt.Sprintf("R%07d", i), "")
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = securl.Classify(b.Context(), rows(values...), securl.ClassifyOptions{})
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// With the column as it was, hashes show what they were made from.
func TestClassifyWithBefore(t *testing.T) {
	plain := []securl.Value{row("river-otter-41", "a", "u"), row("très", "b", "u"), row(strings.Repeat("x", 251), "c", "u"), {}, row("", "d", "u")}
	hashed := []securl.Value{row(b64("river-otter-41"), "a", "u"), row(b64("tr\xe8s"), "b", "u"), row(b64(strings.Repeat("x", 250)), "c", "u"), {}, row("", "d", "u")}
	o := securl.ClassifyOptions{Collation: mustPage(1252), Width: 24, Before: rows(plain...)}
	got := classify(t, o, rows(hashed...))
	assert.Equal(t, []int64{3, 3, 1, 1, 0}, []int64{got.Known, got.HashedOnce, got.NonASCII, got.TooLong, got.Lossy})
	ruletest.ExpectFailed(t, got.Judge(), securl.RuleMD5Weak, securl.RuleTruncated)
	ruletest.Expect(t, got.Judge(), connsec.Pass, securl.RuleDoubleHashed, securl.RuleLossy, securl.RuleGuessable, securl.RuleTooNarrow)

	o.Before = rows(plain[:2]...)
	got = classify(t, o, rows(hashed[:2]...))
	ruletest.ExpectFailed(t, got.Judge(), securl.RuleMD5Weak)
	ruletest.Expect(t, got.Judge(), connsec.Pass, securl.RuleDoubleHashed, securl.RuleLossy, securl.RuleTruncated)

	// A code page that is not known leaves open what stands beyond ASCII.
	got = classify(t, securl.ClassifyOptions{Width: 24, Before: rows(plain[:2]...)}, rows(hashed[:2]...))
	assert.Equal(t, int64(1), got.Known)
	ruletest.Expect(t, got.Judge(), connsec.Inconclusive, securl.RuleDoubleHashed, securl.RuleLossy, securl.RuleTruncated)

	// What was no secret, is none as a hash.
	got = classify(t, securl.ClassifyOptions{Width: 24, Before: rows(row(" A ", "a", "u"), row("U", "b", "u"), row("Summer", "c", "u"))},
		rows(row(b64(" A "), "a", "u"), row(b64("U"), "b", "u"), row(b64("Summer"), "c", "u")))
	assert.Equal(t, []int64{1, 1, 1, 3}, []int64{got.EqualID, got.EqualUser, got.Common, got.Known})

	// Hashed before already, and hashed again.
	for _, before := range []string{b64("river-otter-41"), "river-otter-41"} {
		got = classify(t, securl.ClassifyOptions{Width: 24, Before: seq(before)}, seq(b64(b64("river-otter-41"))))
		assert.Equal(t, []int64{0, 0, 1}, []int64{got.Known, got.HashedOnce, got.HashedTwice}, before)
		ruletest.ExpectFailed(t, got.Judge(), securl.RuleMD5Weak, securl.RuleDoubleHashed)
	}
	// Changed since, or left as it was: not known.
	got = classify(t, securl.ClassifyOptions{Width: 24, Before: seq("river-otter-41", b64("river-otter-41"))}, seq(b64("quiet-harbour-7"), b64("river-otter-41")))
	assert.Zero(t, got.Known+got.HashedTwice)
	ruletest.Expect(t, got.Judge(), connsec.Inconclusive, securl.RuleDoubleHashed)

	broken := errors.New("broken")
	for _, c := range []struct {
		before, now iter.Seq2[securl.Value, error]
		want        error
	}{
		{seq("a"), seq("a", "b"), securl.ErrOtherRows},
		{seq("a", "b"), seq("a"), securl.ErrOtherRows},
		{func(yield func(securl.Value, error) bool) { yield(securl.Value{}, broken) }, seq("a"), broken},
		{func(yield func(securl.Value, error) bool) { yield(securl.Value{}, broken) }, seq(), broken},
	} {
		_, err := securl.Classify(t.Context(), c.now, securl.ClassifyOptions{Before: c.before})
		assert.ErrorIs(t, err, c.want)
	}
}
