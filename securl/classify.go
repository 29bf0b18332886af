package securl

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec/securl/internal/codepage"
)

// Value is one row of a password column, with what it is worth comparing to. It prints as
// REDACTED.
type Value struct {
	// Password as the column holds it, hashed or not.
	Password sql.NullString
	// RecipientID and UserName of the same row, if known: a password equal to one of them is
	// no secret.
	RecipientID, UserName string
}

// Format prints REDACTED for every verb and flag.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "REDACTED") }

// MarshalText returns "REDACTED".
func (Value) MarshalText() ([]byte, error) { return []byte("REDACTED"), nil }

// Format is what a column value looks like.
type Format string

// The formats. Whatever looks like no hash is plain.
const (
	FormatPlain Format = "plain"
	// FormatMD5 is what Circle stores: canonical base64 of 16 bytes.
	FormatMD5 Format = "md5-base64"
	// FormatHexMD5 is what MD5() in MySQL or PHP gives. Circle does not take it. An NT hash
	// looks the same.
	FormatHexMD5 Format = "md5-hex"

	FormatHexSHA1      Format = "sha1-hex"
	FormatHexSHA256    Format = "sha256-hex"
	FormatHexSHA512    Format = "sha512-hex"
	FormatBase64SHA1   Format = "sha1-base64"
	FormatBase64SHA256 Format = "sha256-base64"
	FormatBase64SHA512 Format = "sha512-base64"
	FormatBcrypt       Format = "bcrypt"
	FormatArgon2       Format = "argon2"
	FormatCrypt        Format = "crypt"       // $id$… of crypt(3), and other PHC strings
	FormatLDAP         Format = "ldap"        // {SSHA}… of RFC 2307
	FormatLDAPMD5      Format = "ldap-md5"    // {MD5}…, without salt
	FormatSQLServer    Format = "sql-server"  // PWDENCRYPT: 0x0100… or 0x0200…
	FormatSpacedMD5    Format = "md5-spaced"  // md5-base64 between blanks or line ends
	FormatDjango       Format = "pbkdf2-text" // pbkdf2_sha256$…
)

// FormatOf tells a hash from a password by its form alone. Blanks after an MD5 hash are taken
// for the padding of a CHAR(n) column. A password of 32 hexadecimal digits, say, cannot be told
// from a hash.
func FormatOf(stored string) Format {
	n := len(stored)
	switch trimmed := strings.TrimRight(stored, " "); {
	case isHash(trimmed):
		return FormatMD5
	case n > HashLength && isHash(strings.TrimSpace(stored)):
		return FormatSpacedMD5
	}
	switch {
	case n == 32 && isHex(stored):
		return FormatHexMD5
	case n == 40 && isHex(stored):
		return FormatHexSHA1
	case n == 64 && isHex(stored):
		return FormatHexSHA256
	case n == 128 && isHex(stored):
		return FormatHexSHA512
	case n == 28 && isBase64(stored, 20):
		return FormatBase64SHA1
	case n == 44 && isBase64(stored, 32):
		return FormatBase64SHA256
	case n == 88 && isBase64(stored, 64):
		return FormatBase64SHA512
	case n == 60 && (strings.HasPrefix(stored, "$2a$") || strings.HasPrefix(stored, "$2b$") || strings.HasPrefix(stored, "$2y$")):
		return FormatBcrypt
	case strings.HasPrefix(stored, "$argon2"):
		return FormatArgon2
	case n > 20 && stored[0] == '$' && strings.Count(stored, "$") >= 3:
		return FormatCrypt
	case n > 20 && strings.HasPrefix(stored, "pbkdf2_") && strings.Count(stored, "$") == 3:
		return FormatDjango
	case n > 20 && strings.EqualFold(stored[:5], "{MD5}"):
		return FormatLDAPMD5
	case n > 20 && stored[0] == '{' && isLDAPScheme(stored[1:]):
		return FormatLDAP
	case n >= 54 && (strings.HasPrefix(stored, "0x0100") || strings.HasPrefix(stored, "0x0200")) && isHex(stored[2:]):
		return FormatSQLServer
	}
	return FormatPlain
}

// isHex accepts digits and letters of one case, and both of them: 32 zeros are no hash.
func isHex(s string) bool {
	var digit, lower, upper bool
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digit = true
		case 'a' <= c && c <= 'f':
			lower = true
		case 'A' <= c && c <= 'F':
			upper = true
		default:
			return false
		}
	}
	return digit && lower != upper
}

func isBase64(s string, bytes int) bool {
	if strings.ContainsAny(s, "\r\n") { // which the decoder would skip
		return false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == bytes
}

func isLDAPScheme(s string) bool {
	scheme, _, ok := strings.Cut(s, "}")
	switch strings.ToUpper(scheme) {
	case "SSHA", "SHA", "SMD5", "SSHA256", "SHA256", "SSHA512", "SHA512", "CRYPT", "PBKDF2", "ARGON2", "X-NTHASH":
		return ok
	}
	return false
}

// ClassifyOptions say what is known about the column.
type ClassifyOptions struct {
	// Subject names the column in findings: "dbo.Recipients.Password", "list.csv: Password".
	Subject string
	// Collation of the database, which decides about the bytes of passwords beyond ASCII.
	// Default: unknown; such passwords are then counted and not judged.
	Collation Collation
	// Width is how many characters the column holds; -1 is (max). Default: unknown.
	Width int
	// Before, if set, is the column as it was before its passwords were hashed, with the same
	// rows in the same order. A hash does not show what it was made from; with this, that it is
	// the hash of the password that stood there is proved, and that one is judged. Another
	// number of rows is [ErrOtherRows].
	Before iter.Seq2[Value, error]
	// MaxTracked bounds how many values are compared with each other; beyond it, duplicates
	// and repeated hashing are only looked for among the first. Each takes 32 bytes. Default
	// 4 million.
	MaxTracked int
	// Progress, if set, is called every 65,536 values.
	Progress func(values int64)
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// ColumnObservation holds the facts about a password column: numbers only, no value.
type ColumnObservation struct {
	Subject string    `json:"subject"`
	At      time.Time `json:"at"`
	// Collation and Width are as given to [Classify].
	Collation Collation `json:"collation"`
	Width     int       `json:"width"`

	Rows  int64 `json:"rows"`
	Null  int64 `json:"null"`
	Empty int64 `json:"empty"`
	// Plain values, in the form of no known hash.
	Plain int64 `json:"plain"`
	// MD5 values in the form that Circle stores.
	MD5 int64 `json:"md5"`
	// HexMD5 values, 32 hexadecimal digits.
	HexMD5 int64 `json:"hex_md5"`
	// Other hashes by format.
	Other map[Format]int64 `json:"other,omitempty"`

	// HashedTwice counts MD5 values proved to be the hash of a hash: of another value in the
	// column, of a very common password, of the row's recipient ID or user name, or of nothing.
	HashedTwice int64 `json:"hashed_twice"`
	// HashedOnce counts MD5 values proved to be the hash of such a password, or of what stood
	// there before.
	HashedOnce int64 `json:"hashed_once"`
	// Known counts MD5 values proved to be the hash of what stood there before.
	Known int64 `json:"known"`

	// NonASCII passwords, plain or known; so are TooLong and Lossy ones.
	NonASCII int64 `json:"non_ascii"`
	// TooLong: more than 250 bytes in the collation.
	TooLong int64 `json:"too_long"`
	// Lossy: with characters that the collation lacks.
	Lossy int64 `json:"lossy"`
	// Colliding plain values have the same hash as another, different one.
	Colliding int64 `json:"colliding"`
	// Unconverted plain values are not valid text, or not ASCII while the collation is unknown.
	Unconverted int64 `json:"unconverted"`

	// Duplicates counts values that stand more than once, LargestGroup the most frequent one.
	Duplicates   int64 `json:"duplicates"`
	Groups       int64 `json:"groups"`
	LargestGroup int64 `json:"largest_group"`
	// Tracked is how many values were compared with each other.
	Tracked int64 `json:"tracked"`

	// EqualID, EqualUser and Common count values that are (or are the hash of) the row's
	// recipient ID, its user name, or one of the most common passwords.
	EqualID   int64 `json:"equal_id"`
	EqualUser int64 `json:"equal_user"`
	Common    int64 `json:"common"`
	// Compared is how many values had a recipient ID or user name to compare with.
	Compared int64 `json:"compared"`
}

// values is how many rows hold something.
func (o ColumnObservation) values() int64 { return o.Rows - o.Null - o.Empty }

// readable is how many passwords were seen, not only their hash.
func (o ColumnObservation) readable() int64 { return o.Plain + o.Known }

func (o ColumnObservation) otherCount() (n int64) {
	for _, c := range o.Other {
		n += c
	}
	return n
}

// Classify reads a column to its end and counts what it finds. No value is kept: they are
// compared by fingerprints under a key that is drawn for each call and forgotten with it.
//
// An error of the sequence ends the reading and is returned with the facts so far.
func Classify(ctx context.Context, values iter.Seq2[Value, error], o ClassifyOptions) (ColumnObservation, error) {
	c := newClassifier(o)
	before := func() (v Value, err error, ok bool) { return v, nil, true }
	if o.Before != nil {
		next, stop := iter.Pull2(o.Before)
		defer stop()
		before = next
	}
	var n int64
	for v, err := range values {
		if err != nil {
			return c.finish(), err
		}
		was, err, there := before()
		switch {
		case err != nil:
			return c.finish(), err
		case !there:
			return c.finish(), fmt.Errorf("%w: there is a row %d now", ErrOtherRows, n+1)
		}
		c.add(v, was.Password.String)
		if n++; n%65536 == 0 {
			if err := ctx.Err(); err != nil {
				return c.finish(), err
			}
			if o.Progress != nil {
				o.Progress(n)
			}
		}
	}
	if o.Before != nil {
		switch _, err, there := before(); {
		case err != nil:
			return c.finish(), err
		case there:
			return c.finish(), fmt.Errorf("%w: there was a row %d before", ErrOtherRows, n+1)
		}
	}
	return c.finish(), nil
}

// ErrOtherRows says that a column and what it was before do not have the same rows.
var ErrOtherRows = errors.New("securl: the rows are not those of before")

type classifier struct {
	o       ColumnObservation
	hasher  Hasher
	encoder encoder
	most    int
	seed    maphash.Seed
	guess   map[string]bool   // the most common passwords
	common  map[string]rounds // and their hashes
	// Fingerprints: of each value with that of its hash.
	plain, hashed []fingerprint
}

// fingerprint stands for a value and for the hash of it, under the classifier's key.
type fingerprint struct{ value, hash uint64 }

type rounds uint8

func newClassifier(o ClassifyOptions) *classifier {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	c := &classifier{
		o:       ColumnObservation{Subject: o.Subject, At: now(), Collation: o.Collation, Width: o.Width},
		hasher:  Hasher{Collation: o.Collation},
		encoder: newEncoder(o.Collation),
		most:    cmp.Or(o.MaxTracked, 4<<20),
		seed:    maphash.MakeSeed(),
		guess:   map[string]bool{},
		common:  map[string]rounds{},
	}
	for _, p := range append([]string{""}, commonPasswords...) {
		c.guess[p] = true
		for _, variant := range []string{p, strings.ToUpper(p), strings.ToUpper(p[:min(1, len(p))]) + p[min(1, len(p)):]} {
			once := string(appendHash(nil, []byte(variant)))
			c.common[once] = 1
			c.common[string(appendHash(nil, []byte(once)))] = 2
		}
	}
	return c
}

// add takes one row; was is what stood there before, if that is known.
func (c *classifier) add(v Value, was string) {
	o := &c.o
	o.Rows++
	switch {
	case !v.Password.Valid:
		o.Null++
		return
	case v.Password.String == "":
		o.Empty++
		return
	}
	s := v.Password.String
	switch f := FormatOf(s); f {
	case FormatPlain:
		o.Plain++
		c.addPlain(s, v)
	case FormatMD5:
		o.MD5++
		c.addHash(strings.TrimRight(s, " "), v, was)
	case FormatHexMD5:
		o.HexMD5++
		c.track(&c.hashed, fingerprint{value: maphash.String(c.seed, s)})
	default:
		if o.Other == nil {
			o.Other = map[Format]int64{}
		}
		o.Other[f]++
		c.track(&c.hashed, fingerprint{value: maphash.String(c.seed, s)})
	}
}

func (c *classifier) addPlain(s string, v Value) {
	c.track(&c.plain, fingerprint{value: maphash.String(c.seed, s), hash: c.addReadable(s)})
	c.compare(s, v)
}

// addReadable counts what can be said of a password, and returns the fingerprint of its hash, 0 if
// it has none.
func (c *classifier) addReadable(s string) uint64 {
	o := &c.o
	if !isASCII([]byte(s)) {
		o.NonASCII++
	}
	var buf [MaxBytes]byte
	b, fit, taken, err := c.encoder.append(buf[:0], s, MaxBytes)
	if err != nil {
		o.Unconverted++
		return 0
	}
	if taken < len(s) {
		o.TooLong++
	}
	if fit != codepage.Exact {
		o.Lossy++
	}
	var hash [HashLength]byte
	return maphash.Bytes(c.seed, appendHash(hash[:0], b))
}

// compare finds passwords that can be guessed from the row, or at all.
func (c *classifier) compare(s string, v Value) {
	o := &c.o
	if v.RecipientID != "" || v.UserName != "" {
		o.Compared++
	}
	switch trimmed := strings.TrimSpace(s); {
	case v.RecipientID != "" && strings.EqualFold(trimmed, v.RecipientID):
		o.EqualID++
	case v.UserName != "" && strings.EqualFold(trimmed, v.UserName):
		o.EqualUser++
	case c.guess[strings.ToLower(trimmed)]:
		o.Common++
	}
}

func (c *classifier) addHash(s string, v Value, was string) {
	o := &c.o
	var again [HashLength]byte
	f := fingerprint{value: maphash.String(c.seed, s), hash: maphash.Bytes(c.seed, appendHash(again[:0], []byte(s)))}
	defer func() { c.track(&c.hashed, f) }()

	ofWas, _ := c.hashOf(s, was)
	switch {
	case ofWas == 1 && FormatOf(was) != FormatPlain:
		ofWas = 2 // what stood there was a hash itself
	case ofWas == 1:
		o.HashedOnce++
		o.Known++
		c.addReadable(was)
		c.compare(was, v)
		return
	}
	ofID, knownID := c.hashOf(s, v.RecipientID)
	ofUser, knownUser := c.hashOf(s, v.UserName)
	if (knownID || knownUser) && knownID == (v.RecipientID != "") && knownUser == (v.UserName != "") {
		o.Compared++
	}
	ofCommon := c.common[s]
	switch {
	case ofID != 0:
		o.EqualID++
	case ofUser != 0:
		o.EqualUser++
	case ofCommon != 0:
		o.Common++
	}
	switch max(ofWas, ofID, ofUser, ofCommon) {
	case 1:
		o.HashedOnce++
	case 2:
		o.HashedTwice++
		f.hash = 0 // counted; finish must not find it a second time
	}
}

// hashOf tells whether stored is the hash of the guess, or the hash of that hash. It is not
// known if the guess cannot be hashed.
func (c *classifier) hashOf(stored, guess string) (_ rounds, known bool) {
	if guess == "" {
		return 0, false
	}
	once, err := c.hasher.Hash(guess)
	switch {
	case err != nil:
		return 0, false
	case once == stored:
		return 1, true
	case string(appendHash(nil, []byte(once))) == stored:
		return 2, true
	}
	return 0, true
}

func (c *classifier) track(list *[]fingerprint, f fingerprint) {
	if len(c.plain)+len(c.hashed) < c.most {
		*list = append(*list, f)
	}
}

// finish compares the values with each other.
func (c *classifier) finish() ColumnObservation {
	o := &c.o
	o.Tracked = int64(len(c.plain) + len(c.hashed))

	// A value that is the hash of another value that is a hash was hashed twice.
	again := make([]uint64, 0, len(c.hashed))
	for _, f := range c.hashed {
		if f.hash != 0 {
			again = append(again, f.hash)
		}
	}
	slices.Sort(again)
	for _, f := range c.hashed {
		if f.hash == 0 {
			continue
		}
		if _, found := slices.BinarySearch(again, f.value); found {
			o.HashedTwice++
		}
	}

	// Different passwords with one hash.
	byHash := func(a, b fingerprint) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.value, b.value))
	}
	slices.SortFunc(c.plain, byHash)
	for i := 0; i < len(c.plain); {
		j := i + 1
		for j < len(c.plain) && c.plain[j].hash == c.plain[i].hash {
			j++
		}
		if c.plain[i].hash != 0 && c.plain[j-1].value != c.plain[i].value {
			o.Colliding += int64(j - i)
		}
		i = j
	}

	values := make([]uint64, 0, o.Tracked)
	for _, list := range [][]fingerprint{c.plain, c.hashed} {
		for _, f := range list {
			values = append(values, f.value)
		}
	}
	slices.Sort(values)
	for i := 0; i < len(values); {
		j := i + 1
		for j < len(values) && values[j] == values[i] {
			j++
		}
		if n := int64(j - i); n > 1 {
			o.Groups++
			o.Duplicates += n
			o.LargestGroup = max(o.LargestGroup, n)
		}
		i = j
	}
	c.plain, c.hashed = nil, nil
	return *o
}

// commonPasswords are tried first by anyone who guesses. A short list is enough to prove that
// a column has such passwords; it does not prove that it has none.
var commonPasswords = []string{
	"123456", "123456789", "12345678", "12345", "1234567", "1234567890", "1234", "111111", "000000", "123123", "654321",
	"password", "password1", "password123", "passw0rd", "p@ssw0rd", "p@ssword", "qwerty", "qwerty123", "qwertyuiop", "1q2w3e4r",
	"abc123", "admin", "administrator", "letmein", "welcome", "welcome1", "iloveyou", "monkey", "dragon", "sunshine",
	"princess", "football", "baseball", "master", "login", "secret", "changeme", "default", "guest", "test", "test123",
	"user", "demo", "temp", "azerty", "motdepasse", "passwort", "hallo", "bonjour", "superman", "michael",
	"charlie", "shadow", "trustno1", "xmpie", "circle", "securl", "winter", "summer", "spring", "autumn",
}
