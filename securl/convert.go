package securl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/disk"
	"github.com/connsec/connsec/securl/internal/codepage"
)

// ConvertOptions say how to hash the password column of a list.
type ConvertOptions struct {
	List List
	// Hasher is how SQL Server will hash the passwords of the other recipients: with the
	// collation of the database that the list is for. Its method must be MD5.
	Hasher Hasher
	// KeepHashed leaves rows that hold a hash in Circle's form as they are. Default: such a
	// row is an error, because a list that is hashed already must not be hashed again.
	KeepHashed bool
	// Rows says which rows hold plain passwords, the first after the header being 1. They are
	// hashed whatever they look like, the others are left alone. It is called for one row
	// after the other, in order, which leaves one worker. Default: all rows, and a value that looks like a hash is an error.
	Rows func(row int64) bool
	// HashEmpty hashes empty fields too, as the T-SQL function does with an empty string.
	// Default: they stay empty, so that nobody gets the empty password.
	HashEmpty bool
	// Workers is how many chunks are hashed at the same time. Default: one for each processor.
	Workers int
	// Overwrite lets [ConvertFile] replace a file, though never the source. Default: an
	// existing file is an error.
	Overwrite bool
	// Progress, if set, is called after each chunk of about 256 KiB, from the calling goroutine.
	Progress func(ConvertResult)
}

// ConvertResult counts what was done.
type ConvertResult struct {
	Rows   int64 `json:"rows"`   // after the header
	Hashed int64 `json:"hashed"` // passwords replaced by hashes
	Empty  int64 `json:"empty"`  // empty fields left alone
	Null   int64 `json:"null"`   // fields with the text for NULL, left alone
	Kept   int64 `json:"kept"`   // rows left alone: hashed already, or not among Rows
	// Lossy passwords had characters that the collation lacks, TooLong ones more than 250
	// bytes. They were hashed as SQL Server would have.
	Lossy   int64 `json:"lossy"`
	TooLong int64 `json:"too_long"`
	Bytes   int64 `json:"bytes"` // of the source
}

func (r *ConvertResult) add(o ConvertResult) {
	r.Rows += o.Rows
	r.Hashed += o.Hashed
	r.Empty += o.Empty
	r.Null += o.Null
	r.Kept += o.Kept
	r.Lossy += o.Lossy
	r.TooLong += o.TooLong
	r.Bytes += o.Bytes
}

// Convert copies a list and replaces each password by its hash. Every other byte stays as it
// is: quoting, blanks, line ends, a byte order mark, blank lines. Memory does not grow with the
// list. On an error, dst holds the rows before it; [ConvertFile] leaves nothing behind.
func Convert(ctx context.Context, dst io.Writer, src io.Reader, o ConvertOptions) (ConvertResult, error) {
	var total ConvertResult
	d, err := o.List.dialect()
	if err != nil {
		return total, err
	}
	if o.Hasher.Method != MD5 {
		return total, fmt.Errorf("securl: nothing to convert with method %s", o.Hasher.Method)
	}
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if o.Rows != nil {
		workers = 1 // only then is the number of a row known
	}
	c := &conversion{o: o, d: d, encoder: newEncoder(o.Hasher.Collation), in: chunks{d: d, src: src}}

	// The calling goroutine reads and writes, the workers hash. Chunks are written in order,
	// and at most two for each worker are under way.
	jobs := make(chan *chunk, 2*workers)
	for range workers {
		go func() {
			for k := range jobs {
				c.convert(k)
				k.done <- struct{}{}
			}
		}()
	}
	var queue []*chunk
	defer func() {
		close(jobs)
		for _, k := range queue {
			<-k.done
		}
	}()

	var lines int
	flush := func() error {
		k := queue[0]
		queue = queue[1:]
		<-k.done
		if k.err != nil {
			k.err.Position.Line += lines + 1
			return k.err
		}
		if _, err := dst.Write(k.out); err != nil {
			return fmt.Errorf("securl: writing the list: %w", err)
		}
		lines += k.lines
		total.add(k.count)
		c.free = append(c.free, k)
		if o.Progress != nil {
			o.Progress(total)
		}
		return nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		k, err := c.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return total, c.earlier(err, &queue, flush)
		}
		if len(queue) == 2*workers {
			if err := flush(); err != nil {
				c.free = append(c.free, k)
				return total, err
			}
		}
		queue = append(queue, k)
		jobs <- k
	}
	for len(queue) > 0 {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		if err := flush(); err != nil {
			return total, err
		}
	}
	return total, nil
}

// conversion is the state of one Convert. Only convert is called by workers.
type conversion struct {
	o       ConvertOptions
	d       *dialect
	encoder encoder
	in      chunks
	h       header
	started bool
	free    []*chunk
	rows    int64 // the worker's, if rows are selected
}

// chunk is a piece of the list on its way.
type chunk struct {
	data, out []byte
	start     int // where rows begin: after the header in the first chunk
	startLine int
	overlong  bool
	done      chan struct{}

	count ConvertResult
	lines int
	err   *ListError
}

// read gets the next chunk.
func (c *conversion) read() (*chunk, error) {
	k := &chunk{done: make(chan struct{}, 1)}
	if n := len(c.free); n > 0 {
		k, c.free = c.free[n-1], c.free[:n-1]
		*k = chunk{data: k.data[:0], out: k.out[:0], done: k.done}
	}
	var err error
	if k.data, k.overlong, err = c.in.next(k.data); err != nil {
		if errors.Is(err, io.EOF) && !c.started {
			return nil, errEmptyList
		}
		return nil, err
	}
	if !c.started {
		c.started = true
		if err := c.in.start(k.data); err != nil {
			return nil, err
		}
		cur := cursor{d: c.d, data: k.data, pos: c.in.skip, lineStart: c.in.skip}
		bad := cur.checkNUL()
		if bad == nil {
			c.h, bad = cur.readHeader()
		}
		if bad != nil {
			bad.Position.Line++
			return nil, bad
		}
		k.start, k.startLine = cur.pos, cur.line
	}
	return k, nil
}

// earlier writes what was read before an error, so that an earlier mistake in the list is
// reported instead of a later one.
func (c *conversion) earlier(err error, queue *[]*chunk, flush func() error) error {
	for len(*queue) > 0 {
		if e := flush(); e != nil {
			return e
		}
	}
	return err
}

var (
	errHashed = errors.New("the password is a hash already: the list was converted before, in whole or in part; keep hashed rows, or say which rows are plain")
	errOther  = errors.New("the password looks like a hash of another kind; if it is none, say which rows are plain")
)

// convert hashes the passwords of one chunk.
func (c *conversion) convert(k *chunk) {
	cur := cursor{d: c.d, data: k.data, pos: k.start, line: k.startLine}
	cur.lineStart = k.start
	if k.err = cur.checkNUL(); k.err != nil {
		return
	}
	copied := 0
	var f, password field
	var buf [MaxBytes]byte
	for cur.pos < len(k.data) {
		line := cur.line
		blank := false
		for i := 0; ; i++ {
			last, err := cur.next(&f)
			if err != nil {
				k.err = err
				return
			}
			if i == c.h.password {
				password = f
			}
			if last {
				blank = i == 0 && f.blank() && c.h.fields > 1
				switch {
				case k.overlong && cur.pos == len(k.data):
					k.err = errLongRow(line, c.d)
					return
				case !blank && i+1 != c.h.fields:
					k.err = wrongCount(line, i+1, c.h.fields)
					return
				}
				break
			}
		}
		if blank {
			continue
		}
		k.count.Rows++
		if c.o.Rows != nil {
			if c.rows++; !c.o.Rows(c.rows) {
				k.count.Kept++
				continue
			}
		}
		text := k.data[password.start:password.end]
		if password.quoted {
			text = text[1 : len(text)-1]
		}
		switch {
		case c.d.null(password, k.data):
			k.count.Null++
			continue
		case len(text) == 0 && !c.o.HashEmpty:
			k.count.Empty++
			continue
		}
		hash, keep, err := c.hash(k, password, text, buf[:0])
		if err != nil {
			k.err = &ListError{connsec.Position{Line: password.line, Column: password.column}, err}
			return
		}
		if keep {
			k.count.Kept++
			continue
		}
		start, end := password.start, password.end
		if password.quoted {
			start, end = start+1, end-1
		}
		k.out = append(k.out, k.data[copied:start]...)
		k.out = appendHash(k.out, hash)
		copied = end
		k.count.Hashed++
	}
	k.out = append(k.out, k.data[copied:]...)
	k.count.Bytes = int64(len(k.data))
	k.lines = cur.line
}

// hash returns the bytes to hash for a password, or that the row is to be kept.
func (c *conversion) hash(k *chunk, f field, raw, buf []byte) (in []byte, keep bool, err error) {
	// Nearly all passwords are ASCII without a doubled quotation mark and short: no copy, no
	// conversion.
	simple := !f.doubled && isASCII(raw)
	var text string
	if !simple {
		if text, err = c.d.text(f, k.data); err != nil {
			return nil, false, err
		}
	}
	format := FormatPlain
	if len(raw) >= 20 && c.o.Rows == nil { // no hash is shorter
		if simple {
			format = FormatOf(string(raw))
		} else {
			format = FormatOf(text)
		}
	}
	switch {
	case format == FormatPlain:
	case format == FormatMD5 && c.o.KeepHashed:
		return nil, true, nil
	case format == FormatMD5:
		return nil, false, errHashed
	default:
		return nil, false, fmt.Errorf("%w (%s)", errOther, format)
	}
	if simple {
		if len(raw) > MaxBytes {
			k.count.TooLong++
			raw = raw[:MaxBytes]
		}
		return raw, false, nil
	}
	in, fit, taken, err := c.encoder.append(buf, text, MaxBytes)
	if err != nil {
		return nil, false, err
	}
	if taken < len(text) {
		k.count.TooLong++
	}
	if fit != codepage.Exact {
		k.count.Lossy++
	}
	return in, false, nil
}

// ConvertFile is [Convert] from file to file. The new file appears under its name only when it
// is complete and on disk; after an error or a cancelled context there is none. It can be read
// by its owner only (mode 0600), whatever the source allows: by that of the file it replaces.
//
// The source is not changed. It still holds the passwords: delete it, and its copies, when the
// new list has been imported.
func ConvertFile(ctx context.Context, dst, src string, o ConvertOptions) (res ConvertResult, err error) {
	in, err := os.Open(src)
	if err != nil {
		return res, fmt.Errorf("securl: %w", err)
	}
	defer in.Close()
	if err := free(dst, in, o.Overwrite); err != nil {
		return res, err
	}
	out, err := disk.Beside(dst)
	if err != nil {
		return res, fmt.Errorf("securl: %w", err)
	}
	var converting error // which says all by itself
	err = disk.Fill(out, dst, 0o600, func(w io.Writer) error {
		res, converting = Convert(ctx, w, in, o)
		return converting
	})
	var bad *ListError
	if errors.As(converting, &bad) {
		bad.Position.File = src
	}
	switch {
	case converting != nil:
		return res, converting
	case err != nil:
		return res, fmt.Errorf("securl: %w", err)
	}
	if err := free(dst, in, o.Overwrite); err != nil {
		_ = os.Remove(out.Name())
		return res, err
	}
	if err := disk.Replace(out.Name(), dst); err != nil {
		return res, fmt.Errorf("securl: %w", err)
	}
	return res, nil
}

// free checks that a new list may take this name.
func free(dst string, src *os.File, overwrite bool) error {
	there, err := os.Stat(dst)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("securl: %w", err)
	}
	source, err := src.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("securl: %w", err)
	case os.SameFile(source, there):
		return fmt.Errorf("securl: %s is the source: hashing cannot be undone, so write to another file", dst)
	case !overwrite:
		return fmt.Errorf("securl: %s exists: remove it, or allow overwriting", dst)
	}
	return nil
}
