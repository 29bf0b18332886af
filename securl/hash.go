package securl

import (
	"crypto/md5" //nolint:gosec // the method that Circle and its T-SQL function define
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/connsec/connsec/securl/internal/codepage"
)

const (
	// MaxBytes is how much of a password counts: XMPieHashMD5 takes a VARCHAR(250), whose
	// length is in bytes, and SQL Server cuts longer arguments without an error.
	MaxBytes = 250
	// HashLength is the number of characters of an MD5 hash in base64, as the password column
	// holds it.
	HashLength = 24
)

// Method is how Circle stores passwords: the "password hashing" setting of a SecURL project.
type Method uint8

const (
	// MD5 is unsalted MD5 in base64. It is weak (see [RuleMD5Weak]), and it is the strongest
	// that Circle offers, so it is the zero value.
	MD5 Method = iota
	// None stores passwords as they are. It is here to be judged and to read such columns.
	None
)

// String returns "md5" or "none".
func (m Method) String() string {
	switch m {
	case MD5:
		return "md5"
	case None:
		return "none"
	}
	return fmt.Sprintf("method(%d)", uint8(m))
}

// ParseMethod is the inverse of [Method.String].
func ParseMethod(name string) (Method, error) {
	switch name {
	case "md5":
		return MD5, nil
	case "none":
		return None, nil
	}
	return 0, fmt.Errorf("securl: unknown password hashing method %q: Circle offers md5 and none", clip(name))
}

// MarshalText writes the name.
func (m Method) MarshalText() ([]byte, error) {
	if m > None {
		return nil, fmt.Errorf("securl: cannot encode invalid %s", m)
	}
	return []byte(m.String()), nil
}

// UnmarshalText is [ParseMethod].
func (m *Method) UnmarshalText(text []byte) error {
	v, err := ParseMethod(string(text))
	if err == nil {
		*m = v
	}
	return err
}

var (
	// ErrCollationUnknown says that a password cannot be hashed without knowing the database's
	// collation: it has characters beyond ASCII, and their bytes differ between code pages.
	ErrCollationUnknown = errors.New("securl: the password has characters beyond ASCII, whose bytes depend on the database's collation: give the collation")
	// ErrNotUTF8 says that a password is not valid UTF-8, so its characters are not known.
	ErrNotUTF8 = errors.New("securl: the password is not valid UTF-8")
	// ErrNotHash says that a stored value is not what the method stores. It was not compared:
	// the column is in another format, or was never hashed.
	ErrNotHash = errors.New("securl: the stored value is not a hash of this method: classify the column")
)

// PasswordHasher is what the rest of this package needs of a hash method. [Hasher] has the
// methods of Circle; [Argon2id] is a strong one for systems that are free to choose. Any other
// method is a type of the caller's with these two methods.
//
// Neither method puts a password or a stored value into its error.
type PasswordHasher interface {
	// Hash returns what to store for the password.
	Hash(password string) (string, error)
	// Verify reports whether stored was made from the password, in time that does not tell
	// how much of it matched. An error means that this cannot be told.
	Verify(password, stored string) (bool, error)
}

// Hasher hashes passwords exactly as dbo.XMPieHashMD5, the T-SQL function of the Circle
// security guide, does in a database with the given collation. The zero value hashes ASCII
// passwords by MD5 and refuses others.
type Hasher struct {
	Method Method `json:"method" yaml:"method"`
	// Collation of the database that holds the function, not of the column: SQL Server
	// converts an argument to the default collation of the database. Default: unknown, which
	// is enough for ASCII passwords.
	Collation Collation `json:"collation" yaml:"collation"`
}

var _ PasswordHasher = Hasher{}

// Hash returns what the column holds for the password: for MD5, 24 characters of base64 over
// the MD5 of the first [MaxBytes] bytes of the password in the database's code page. Trailing
// blanks count, the empty password has a hash, and characters that the code page lacks become
// similar ones or "?" as they do in SQL Server.
func (h Hasher) Hash(password string) (string, error) {
	switch h.Method {
	case None:
		return password, nil
	case MD5:
	default:
		return "", fmt.Errorf("securl: cannot hash with invalid %s", h.Method)
	}
	var in [MaxBytes]byte
	b, _, _, err := newEncoder(h.Collation).append(in[:0], password, MaxBytes)
	if err != nil {
		return "", err
	}
	var out [HashLength]byte
	appendHash(out[:0], b)
	return string(out[:]), nil
}

// HashNull is Hash for a column value: NULL stays NULL.
func (h Hasher) HashNull(password sql.NullString) (sql.NullString, error) {
	if !password.Valid {
		return sql.NullString{}, nil
	}
	s, err := h.Hash(password.String)
	return sql.NullString{String: s, Valid: err == nil}, err
}

// Verify reports whether the column value was made from the password. Trailing blanks of a
// stored hash are ignored, because a CHAR(n) column adds them. An empty column value matches no
// password, not even the empty one. A value of another format is [ErrNotHash].
func (h Hasher) Verify(password, stored string) (bool, error) {
	if stored == "" {
		return false, nil
	}
	if h.Method == None {
		a, b := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(stored))
		return subtle.ConstantTimeCompare(a[:], b[:]) == 1, nil
	}
	stored = strings.TrimRight(stored, " ")
	if !isHash(stored) {
		return false, ErrNotHash
	}
	hash, err := h.Hash(password)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(hash), []byte(stored)) == 1, nil
}

// appendHash appends the base64 of the MD5 of b.
func appendHash(dst, b []byte) []byte {
	sum := md5.Sum(b) //nolint:gosec // see the import
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// isHash reports whether s is the base64 of 16 bytes in its only canonical form: of the 22nd
// character only the upper two bits carry data.
func isHash[T string | []byte](s T) bool {
	if len(s) != HashLength || s[22] != '=' || s[23] != '=' {
		return false
	}
	for i := range 21 {
		if !base64Digit[s[i]] {
			return false
		}
	}
	last := s[21]
	return last == 'A' || last == 'Q' || last == 'g' || last == 'w'
}

var base64Digit = func() (digits [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		digits[c] = true
	}
	return digits
}()

// encoder converts text to the bytes of one collation. Making one is cheap, but not free.
type encoder struct {
	page *codepage.Page // nil for UTF-8 and for an unknown collation
	utf8 bool
}

func newEncoder(c Collation) encoder {
	if c.page == UTF8 || c.page == 0 {
		return encoder{utf8: c.page == UTF8}
	}
	return encoder{page: codepage.Get(c.page)}
}

// append appends the first bytes of s in the encoder's collation, at most most of them and
// whole characters only. It says how well they survived, and how many bytes of s it took.
func (e encoder) append(dst []byte, s string, most int) (out []byte, fit codepage.Fit, taken int, err error) {
	// ASCII is the same in every code page, and nearly all there is.
	n := 0
	for n < len(s) && n < most && s[n] < utf8.RuneSelf {
		n++
	}
	dst = append(dst, s[:n]...)
	if n == len(s) || n == most {
		return dst, codepage.Exact, n, nil
	}
	if !utf8.ValidString(s[n:]) {
		return dst, 0, n, ErrNotUTF8
	}
	switch {
	case e.page != nil:
		dst, fit, taken = e.page.Append(dst, s[n:], most-n)
		return dst, fit, n + taken, nil
	case e.utf8:
		end := min(len(s), most)
		for end < len(s) && !utf8.RuneStart(s[end]) {
			end--
		}
		return append(dst, s[n:end]...), codepage.Exact, end, nil
	}
	return dst, 0, n, ErrCollationUnknown
}

// cut returns the longest prefix of b, bytes in the encoder's collation, that fits into most
// bytes and ends after a whole character.
func (e encoder) cut(b []byte, most int) []byte {
	switch {
	case len(b) <= most:
		return b
	case e.page != nil:
		return e.page.Cut(b, most)
	case e.utf8:
		for most > 0 && !utf8.RuneStart(b[most]) {
			most--
		}
	}
	return b[:most]
}
