package securl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/connsec/connsec/securl/internal/codepage"
)

// Column is how a database declares the column that passwords come from. It matters for the
// hash: a CHAR(n) column adds blanks, which are hashed, and a column in another collation than
// the database's has already lost characters.
type Column struct {
	// Type is char, varchar, nchar or nvarchar.
	Type string `json:"type"`
	// Length is n of the declaration: bytes for char and varchar, UTF-16 units for nchar and
	// nvarchar. -1 is (max).
	Length int `json:"length"`
	// Collation of the column. Default: that of the database. It does not matter for nchar
	// and nvarchar.
	Collation Collation `json:"collation"`
}

func (c Column) unicode() bool { return c.Type == "nchar" || c.Type == "nvarchar" }
func (c Column) padded() bool  { return c.Type == "char" || c.Type == "nchar" }

func (c Column) check() error {
	switch {
	case c.Type != "char" && c.Type != "varchar" && c.Type != "nchar" && c.Type != "nvarchar":
		return fmt.Errorf("securl: column type %q is not one of char, varchar, nchar, nvarchar", clip(c.Type))
	case c.Length == -1 && !c.padded():
		return nil
	case c.Length < 1 || c.Length > 8000 || c.unicode() && c.Length > 4000:
		return fmt.Errorf("securl: a column cannot be %s(%d)", c.Type, c.Length)
	}
	return nil
}

// String returns the declaration, such as "nvarchar(max)".
func (c Column) String() string {
	if c.Length == -1 {
		return c.Type + "(max)"
	}
	return fmt.Sprintf("%s(%d)", c.Type, c.Length)
}

// ErrTooLong says that a password does not fit into the column: SQL Server would have refused
// to store it.
var ErrTooLong = errors.New("securl: the password is too long for the column")

// HashFrom returns the hash that SQL Server makes of a password kept in the column: the value
// as the column holds it, converted to the database's collation, cut at [MaxBytes].
func (h Hasher) HashFrom(c Column, password string) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	if !utf8.ValidString(password) {
		return "", ErrNotUTF8
	}
	if h.Method == None {
		return h.Hash(password)
	}
	raw, err := h.store(c, password)
	if err != nil {
		return "", err
	}
	hash, _, err := h.hashRaw(c, raw)
	return string(hash), err
}

// store returns the bytes that the column holds after the password was put into it.
func (h Hasher) store(c Column, password string) ([]byte, error) {
	var raw []byte
	unit := 1
	blank := " "
	if c.unicode() {
		unit, blank = 2, " \x00"
		for _, u := range utf16.Encode([]rune(password)) {
			raw = binary.LittleEndian.AppendUint16(raw, u)
		}
	} else {
		var err error
		if raw, _, _, err = newEncoder(c.within(h.Collation)).append(nil, password, 4*len(password)); err != nil {
			return nil, err
		}
	}
	if c.Length > 0 && len(raw) > c.Length*unit {
		return nil, ErrTooLong
	}
	if c.padded() {
		raw = append(raw, strings.Repeat(blank, c.Length-len(raw)/unit)...)
	}
	return raw, nil
}

// within returns the collation of the column in a database of the given one.
func (c Column) within(database Collation) Collation {
	if c.Collation.IsZero() {
		return database
	}
	return c.Collation
}

// errUndecodable says that stored bytes stand for no character in their code page.
var errUndecodable = errors.New("securl: the column holds bytes that stand for no character in its code page")

// hashRaw hashes a value from the bytes that the column holds (CAST(… AS VARBINARY)), so that
// no driver's idea of a code page comes between. It also says how well the value survived the
// conversion to the database's collation.
func (h Hasher) hashRaw(c Column, raw []byte) ([]byte, codepage.Fit, error) {
	database := newEncoder(h.Collation)
	fit := codepage.Exact
	var buf [MaxBytes]byte
	in := buf[:0]
	column := c.within(h.Collation)
	if !c.unicode() && column.page == h.Collation.page {
		in = raw
		if !isASCII(raw) && h.Collation.IsZero() {
			return nil, 0, ErrCollationUnknown
		}
		in = database.cut(in, MaxBytes)
	} else {
		text, ok, err := c.decode(column, raw)
		if err != nil {
			return nil, 0, err
		}
		if in, fit, _, err = database.append(in, text, MaxBytes); err != nil {
			return nil, 0, err
		}
		if !ok {
			fit = codepage.None
		}
	}
	return appendHash(make([]byte, 0, HashLength), in), fit, nil
}

// decode returns the text that the column holds. A lone surrogate in UTF-16 becomes U+FFFD,
// which every code page turns to "?" just as SQL Server does with the surrogate; ok is false
// then, because the text is not what the column holds.
func (c Column) decode(column Collation, raw []byte) (text string, ok bool, err error) {
	switch {
	case c.unicode():
		if len(raw)%2 != 0 {
			return "", false, errUndecodable
		}
		out := make([]byte, 0, len(raw))
		ok = true
		for i := 0; i < len(raw); i += 2 {
			r := rune(binary.LittleEndian.Uint16(raw[i:]))
			if utf16.IsSurrogate(r) {
				low := rune(0)
				if i+3 < len(raw) {
					low = rune(binary.LittleEndian.Uint16(raw[i+2:]))
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					ok = false
				} else {
					i += 2
				}
			}
			out = utf8.AppendRune(out, r)
		}
		return string(out), ok, nil
	case isASCII(raw):
		return string(raw), true, nil
	case column.page == UTF8:
		if !utf8.Valid(raw) {
			return "", false, errUndecodable
		}
		return string(raw), true, nil
	case column.IsZero():
		return "", false, ErrCollationUnknown
	}
	out, bad := codepage.Get(column.page).Decode(nil, raw)
	if bad >= 0 {
		return "", false, errUndecodable
	}
	return string(out), true, nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
