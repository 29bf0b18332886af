package securl

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/securl/internal/codepage"
)

// List says how a recipient list is written: a text file with a header row and one recipient
// in each row after it, in CSV as RFC 4180 has it or a relative of that.
type List struct {
	// Column is the name of the password column in the header row, exactly.
	Column string
	// RecipientID and UserName name the columns to compare passwords with when classifying.
	// Default: none.
	RecipientID, UserName string
	// Delimiter stands between fields. Default ','.
	Delimiter byte
	// NoQuotes makes the quotation mark an ordinary character, as many tab-separated lists have
	// it. Default: a field that begins with a quotation mark ends with one, and may hold
	// delimiters, line ends and doubled quotation marks.
	NoQuotes bool
	// Encoding of the file, by its code page. Default: UTF-8, with or without BOM.
	Encoding Collation
	// Null is the text that stands for NULL when it is not quoted, such as the word NULL that
	// Management Studio exports. Default: none, and an empty field is an empty password.
	Null string
	// MaxRow is the length in bytes from which a row is taken for a mistake, such as a quote
	// that is never closed. Default 1 MiB.
	MaxRow int

	chunk int // bytes to work on at a time; tests make it small
}

// ListError says what is wrong with a list, and where.
type ListError struct {
	// Position counts lines and bytes from 1. File is set by [ConvertFile].
	Position connsec.Position
	Err      error
}

func (e *ListError) Error() string {
	what := strings.TrimPrefix(e.Err.Error(), "securl: ")
	if e.Position.File == "" {
		return fmt.Sprintf("securl: line %d, column %d: %s", e.Position.Line, e.Position.Column, what)
	}
	return fmt.Sprintf("securl: %s: %s", e.Position, what)
}

// Unwrap returns Err.
func (e *ListError) Unwrap() error { return e.Err }

// What a byte means outside of quotes.
const (
	ordinary byte = iota
	delimiter
	lineFeed
	quote
	leadByte // the next byte belongs to the same character
)

// dialect is a List made ready for scanning.
type dialect struct {
	List
	class [256]byte
	page  *codepage.Page // nil: UTF-8
}

func (l List) dialect() (*dialect, error) {
	d := &dialect{List: l}
	if d.Delimiter == 0 {
		d.Delimiter = ','
	}
	if d.MaxRow == 0 {
		d.MaxRow = 1 << 20
	}
	if d.chunk == 0 {
		d.chunk = chunkSize
	}
	switch {
	case d.Column == "":
		return nil, errors.New("securl: name the password column")
	case d.Delimiter >= utf8.RuneSelf || d.Delimiter < ' ' && d.Delimiter != '\t' || d.Delimiter == '"' || d.Delimiter == '=' || base64Digit[d.Delimiter]:
		return nil, fmt.Errorf("securl: %q cannot be the delimiter: use a comma, a semicolon, a tab or a bar", d.Delimiter)
	case d.MaxRow < 0:
		return nil, errors.New("securl: the longest row cannot be negative")
	}
	if l.Encoding.page != 0 && l.Encoding.page != UTF8 {
		d.page = codepage.Get(l.Encoding.page)
		for b := range d.class {
			if d.page.Lead(byte(b)) {
				d.class[b] = leadByte
			}
		}
	}
	d.class[d.Delimiter] = delimiter
	d.class['\n'] = lineFeed
	if !d.NoQuotes {
		d.class['"'] = quote
	}
	return d, nil
}

// null reports whether a field stands for NULL.
func (d *dialect) null(f field, data []byte) bool {
	return d.Null != "" && !f.quoted && string(data[f.start:f.end]) == d.Null
}

// text returns what a field says, as UTF-8.
func (d *dialect) text(f field, data []byte) (string, error) {
	raw := data[f.start:f.end]
	if f.quoted {
		raw = raw[1 : len(raw)-1]
		if f.doubled {
			raw = bytes.ReplaceAll(raw, []byte(`""`), []byte(`"`))
		}
	}
	if d.page == nil || isASCII(raw) {
		if !utf8.Valid(raw) {
			return "", errors.New("the text is not valid UTF-8: name the code page of the file")
		}
		return string(raw), nil
	}
	out, bad := d.page.Decode(make([]byte, 0, 2*len(raw)), raw)
	if bad >= 0 {
		return "", fmt.Errorf("a byte has no meaning in code page %d: is this the code page of the file?", d.page.Number())
	}
	return string(out), nil
}

// cursor walks over the fields of whole rows. Lines are counted from 0 at the beginning of the
// data.
type cursor struct {
	d         *dialect
	data      []byte
	pos       int
	line      int
	lineStart int
}

// field is where a field stands in the data, with its quotes.
type field struct {
	start, end      int
	quoted, doubled bool
	line, column    int
}

// fail makes an error for an offset on the current line.
func (c *cursor) fail(at int, format string, args ...any) *ListError {
	return &ListError{connsec.Position{Line: c.line, Column: at - c.lineStart + 1}, fmt.Errorf(format, args...)}
}

// next reads one field and what ends it. last is true for the last field of a row.
func (c *cursor) next(f *field) (last bool, err *ListError) {
	data, pos := c.data, c.pos
	*f = field{start: pos, line: c.line, column: pos - c.lineStart + 1}
	if pos < len(data) && c.d.class[data[pos]] == quote {
		return c.quoted(f)
	}
	class := &c.d.class
	for pos < len(data) {
		switch class[data[pos]] {
		case ordinary:
			pos++
			continue
		case leadByte:
			// A quote, a delimiter below '@' and a line end are never the second byte.
			pos++
			if pos < len(data) && data[pos] >= 0x40 {
				pos++
			}
			continue
		case quote:
			return false, c.fail(pos, "a quotation mark within an unquoted field: quote the field and double the mark, or say that the list has no quoting")
		case delimiter:
			f.end = pos
			c.pos = pos + 1
			return false, nil
		case lineFeed:
			f.end = pos
			if pos > f.start && data[pos-1] == '\r' {
				f.end--
			}
			c.pos = pos + 1
			c.line++
			c.lineStart = c.pos
			return true, nil
		}
	}
	f.end = pos
	if pos > f.start && data[pos-1] == '\r' {
		f.end--
	}
	c.pos = pos
	return true, nil
}

func (c *cursor) quoted(f *field) (last bool, err *ListError) {
	f.quoted = true
	data, pos := c.data, c.pos+1
	for {
		n := bytes.IndexByte(data[pos:], '"')
		if n < 0 {
			return false, &ListError{connsec.Position{Line: f.line, Column: f.column}, errors.New("the quotation mark that begins here is never closed")}
		}
		if lines := bytes.Count(data[pos:pos+n], []byte{'\n'}); lines > 0 {
			c.line += lines
			c.lineStart = pos + bytes.LastIndexByte(data[pos:pos+n], '\n') + 1
		}
		pos += n + 1
		if pos < len(data) && data[pos] == '"' {
			f.doubled = true
			pos++
			continue
		}
		break
	}
	f.end = pos
	if pos < len(data) && data[pos] == c.d.Delimiter {
		c.pos = pos + 1
		return false, nil
	}
	if pos < len(data) && data[pos] == '\r' {
		pos++
	}
	switch {
	case pos == len(data):
		c.pos = pos
		return true, nil
	case data[pos] == '\n':
		c.pos = pos + 1
		c.line++
		c.lineStart = c.pos
		return true, nil
	}
	begins := ""
	if n := c.line - f.line; n > 0 {
		begins = fmt.Sprintf(" that begins %d line(s) above", n)
	}
	return false, c.fail(f.end, "text after the closing quotation mark of a field%s: one mark is missing or too many", begins)
}

// blank reports whether the field is all of a row without text.
func (f field) blank() bool { return f.start == f.end }

// header is the first row of a list.
type header struct {
	fields   int
	password int
	id, user int // -1: not asked for
}

// readHeader reads the first row and finds the columns by name.
func (c *cursor) readHeader() (header, *ListError) {
	h := header{password: -1, id: -1, user: -1}
	var names []string
	var f field
	for last := false; !last; {
		var err *ListError
		if last, err = c.next(&f); err != nil {
			return h, err
		}
		name, bad := c.d.text(f, c.data)
		if bad != nil {
			return h, &ListError{connsec.Position{Line: f.line, Column: f.column}, bad}
		}
		if strings.ContainsRune(name, '\r') && !f.quoted {
			return h, c.fail(0, "the lines end in a carriage return only: save the list with line feeds")
		}
		names = append(names, name)
	}
	h.fields = len(names)
	for _, want := range []struct {
		name  string
		index *int
	}{{c.d.Column, &h.password}, {c.d.RecipientID, &h.id}, {c.d.UserName, &h.user}} {
		if want.name == "" {
			continue
		}
		for i, name := range names {
			if name != want.name {
				continue
			}
			if *want.index >= 0 {
				return h, &ListError{connsec.Position{Column: 1}, fmt.Errorf("two columns are named %q", clip(want.name))}
			}
			*want.index = i
		}
		if *want.index < 0 {
			return h, &ListError{connsec.Position{Column: 1}, errors.New(missing(want.name, names, c.d))}
		}
	}
	return h, nil
}

// missing explains that a column is not there. Names are shown: they are no secrets, unless the
// list has no header row, so only a few are, and none that is like a value.
func missing(want string, names []string, d *dialect) string {
	for _, name := range names {
		if strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(want)) {
			return fmt.Sprintf("there is no column %q, but one %q: names are compared exactly", clip(want), clip(name))
		}
	}
	if len(names) == 1 {
		for _, other := range []byte{',', ';', '\t', '|'} {
			if other != d.Delimiter && strings.IndexByte(names[0], other) >= 0 {
				return fmt.Sprintf("there is no column %q: the header row is one field, and holds %q: is that the delimiter?", clip(want), other)
			}
		}
	}
	return fmt.Sprintf("there is no column %q among the %d of the header row", clip(want), len(names))
}

// chunks cuts a list into pieces of whole rows.
type chunks struct {
	d    *dialect
	src  io.Reader
	rest []byte // what was read after the last whole row
	eof  bool
	skip int // bytes of a byte order mark
}

// chunkSize is how much is read and worked on at a time: enough to make the hand-over cheap,
// little enough to stay in a second-level cache.
const chunkSize = 256 << 10

var (
	bomUTF8    = []byte{0xEF, 0xBB, 0xBF}
	bomUTF16LE = []byte{0xFF, 0xFE}
	bomUTF16BE = []byte{0xFE, 0xFF}
)

// next appends whole rows to buf and returns them, or io.EOF. overlong is true if they are not
// whole, because a row is longer than allowed.
func (c *chunks) next(buf []byte) (data []byte, overlong bool, err error) {
	buf = append(buf, c.rest...)
	c.rest = c.rest[:0]
	searched := 0 // no row ends before
	for {
		if !c.eof {
			target := max(searched, len(buf)) + c.d.chunk
			if cap(buf) < target {
				buf = append(make([]byte, 0, target), buf...)
			}
			n, err := io.ReadFull(c.src, buf[len(buf):target])
			buf = buf[:len(buf)+n]
			switch {
			case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
				c.eof = true
			case err != nil:
				return nil, false, fmt.Errorf("securl: reading the list: %w", err)
			}
		}
		if c.eof {
			if len(buf) == 0 {
				return nil, false, io.EOF
			}
			return buf, false, nil
		}
		if end := c.d.lastRowEnd(buf); end > 0 {
			c.rest = append(c.rest, buf[end:]...)
			return buf[:end], false, nil
		}
		if len(buf) > c.d.MaxRow {
			return buf, true, nil
		}
		searched = len(buf)
	}
}

// lastRowEnd returns the offset after the last line end outside of quotes, 0 if there is none.
// Quotes are paired in a valid list, so a line end is outside if an even number of them stands
// before it. In an invalid one this may cut in a wrong place, but only after the mistake.
func (d *dialect) lastRowEnd(data []byte) int {
	if d.NoQuotes {
		return bytes.LastIndexByte(data, '\n') + 1
	}
	quotes := bytes.Count(data, []byte{'"'})
	end := len(data)
	for {
		n := bytes.LastIndexByte(data[:end], '\n')
		quotes -= bytes.Count(data[n+1:end], []byte{'"'})
		if n < 0 || quotes%2 == 0 {
			return n + 1
		}
		end = n
	}
}

// start checks what the first bytes say about the encoding.
func (c *chunks) start(data []byte) error {
	switch {
	case bytes.HasPrefix(data, bomUTF16LE), bytes.HasPrefix(data, bomUTF16BE):
		return errors.New("securl: the list is in UTF-16: save it as UTF-8, or in a code page")
	case bytes.HasPrefix(data, bomUTF8):
		if c.d.page != nil {
			return fmt.Errorf("securl: the list begins with the mark of UTF-8, not of code page %d", c.d.page.Number())
		}
		c.skip = len(bomUTF8)
	}
	return nil
}

// checkNUL finds NUL bytes, which no recipient list has.
func (c *cursor) checkNUL() *ListError {
	n := bytes.IndexByte(c.data, 0)
	if n < 0 {
		return nil
	}
	line := bytes.Count(c.data[:n], []byte{'\n'})
	start := bytes.LastIndexByte(c.data[:n], '\n') + 1
	return &ListError{connsec.Position{Line: line, Column: n - start + 1}, errors.New("a NUL byte: is the list in UTF-16, or not text at all?")}
}

// Values reads a list row by row for [Classify]. The last pair has an error if the list cannot
// be read to its end.
func (l List) Values(src io.Reader) iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		if err := l.each(src, func(v Value) bool { return yield(v, nil) }); err != nil {
			yield(Value{}, err)
		}
	}
}

func (l List) each(src io.Reader, yield func(Value) bool) error {
	d, err := l.dialect()
	if err != nil {
		return err
	}
	in := chunks{d: d, src: src}
	var h header
	var lines int
	var buf []byte
	for first := true; ; first = false {
		data, overlong, err := in.next(buf[:0])
		if errors.Is(err, io.EOF) {
			if first {
				return errEmptyList
			}
			return nil
		}
		if err != nil {
			return err
		}
		buf = data
		c := cursor{d: d, data: data}
		if first {
			if err := in.start(data); err != nil {
				return err
			}
			c.pos, c.lineStart = in.skip, in.skip
		}
		bad := c.checkNUL()
		if bad == nil && first {
			h, bad = c.readHeader()
		}
		stop := false
		for bad == nil && !stop && c.pos < len(data) {
			line := c.line
			v, blank, err := c.value(h)
			switch {
			case overlong && c.pos == len(data):
				bad = errLongRow(line, d)
			case err != nil:
				bad = err
			case !blank:
				stop = !yield(v)
			}
		}
		if bad != nil {
			bad.Position.Line += lines + 1
			return bad
		}
		if stop {
			return nil
		}
		lines += c.line
	}
}

// value reads one row. blank is true for a line without text in a list of several columns.
func (c *cursor) value(h header) (v Value, blank bool, err *ListError) {
	line := c.line
	var f field
	for i := 0; ; i++ {
		last, err := c.next(&f)
		if err != nil {
			return v, false, err
		}
		if last && i == 0 && f.blank() && h.fields > 1 {
			return v, true, nil
		}
		if i == h.password || i == h.id || i == h.user {
			s, bad := c.d.text(f, c.data)
			if bad != nil {
				return v, false, &ListError{connsec.Position{Line: f.line, Column: f.column}, bad}
			}
			// One column may have several roles.
			if i == h.password {
				v.Password = sql.NullString{String: s, Valid: true}
				if c.d.null(f, c.data) {
					v.Password = sql.NullString{}
				}
			}
			if i == h.id {
				v.RecipientID = s
			}
			if i == h.user {
				v.UserName = s
			}
		}
		if last {
			if i+1 != h.fields {
				return v, false, wrongCount(line, i+1, h.fields)
			}
			return v, false, nil
		}
	}
}

func wrongCount(line, got, want int) *ListError {
	return &ListError{connsec.Position{Line: line, Column: 1}, fmt.Errorf("the row has %d fields, the header row has %d", got, want)}
}

var errEmptyList = errors.New("securl: the list is empty: it needs a header row")

func errLongRow(line int, d *dialect) *ListError {
	return &ListError{connsec.Position{Line: line, Column: 1}, fmt.Errorf("the row is longer than %d bytes: are these the right delimiter and line ends?", d.MaxRow)}
}
