package apisec

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// A format is known by how it begins.
type format uint8

const (
	notPacked format = iota
	isGzip
	isBzip2
	isTar
	isZip
)

// unopened are formats that hide what they hold and that are not read here.
var unopened = []struct {
	magic  string
	what   string
	reason Reason
}{
	{"7z\xbc\xaf\x27\x1c", "a 7z archive", Unopened},
	{"Rar!\x1a\x07", "a RAR archive", Unopened},
	{"\xfd7zXZ\x00", "xz", Unopened},
	{"\x28\xb5\x2f\xfd", "zstd", Unopened},
	{"\x04\x22\x4d\x18", "LZ4", Unopened},
	{"LZIP", "lzip", Unopened},
	{"MSCF\x00\x00\x00\x00", "a cabinet", Unopened},
	{"\x1f\x9d", "compress (.Z)", Unopened},
	{"MSWIM\x00\x00\x00", "a Windows image", Unopened},
	{"!<arch>\ndebian-binary", "a Debian package", Unopened},
	{"\xed\xab\xee\xdb", "an RPM package", Unopened},
	{"hsqs", "a squashfs image", Unopened},
	{"PACK\x00\x00\x00\x02", "a git pack that belongs to no repository", Unopened},
	{"# v2 git bundle\n", "a git bundle", Unopened},
	{"# v3 git bundle\n", "a git bundle", Unopened},
	{"%PDF-", "a PDF file, whose text is packed", Unopened},
	{"age-encryption.org/v1\n", "an age file", Encrypted},
	{"-----BEGIN PGP MESSAGE-----", "an OpenPGP message", Encrypted},
	{"-----BEGIN AGE ENCRYPTED FILE-----", "an age file", Encrypted},
	{"Salted__", "a file encrypted by openssl enc", Encrypted},
	{"LUKS\xba\xbe", "an encrypted disk", Encrypted},
	{"$ANSIBLE_VAULT;", "an Ansible vault", Encrypted},
	{"\x03\xd9\xa2\x9a", "a KeePass database", Encrypted},
	{"\xff\x06\x00\x00sNaPpY", "snappy", Unopened},
	{"\xff\xfe\x00\x00", "text in UTF-32", Unopened}, // or in UTF-16 that begins with a zero, which no text does
	{"\x00\x00\xfe\xff", "text in UTF-32", Unopened},
}

func formatOf(head []byte) format {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		return isGzip
	case len(head) > 10 && bytes.HasPrefix(head, []byte("BZh")) && bytes.HasPrefix(head[4:], []byte("1AY&SY")):
		return isBzip2
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")), bytes.HasPrefix(head, []byte("PK00PK\x03\x04")):
		return isZip
	case len(head) >= 512 && (string(head[257:262]) == "ustar" || tarChecksum(head)):
		return isTar
	}
	return notPacked
}

// tarChecksum knows archives from before POSIX by the sum in their first header.
func tarChecksum(head []byte) bool {
	sum := 0
	for i, c := range head[:512] {
		if 148 <= i && i < 156 {
			c = ' '
		}
		sum += int(c)
	}
	field := strings.Trim(string(head[148:156]), " \x00")
	var want int
	_, err := fmt.Sscanf(field, "%o", &want)
	return err == nil && head[0] != 0 && want == sum && len(field) >= 4
}

// content reads a stream at a place, whatever it is. If all is in memory or a file, whole reads
// it out of order; size is -1 if it is not known.
func (w *worker) content(ctx context.Context, in io.Reader, whole any, size int64, at place, depth int) {
	s := w.searcher(depth)
	head, err := s.head(in)
	f := formatOf(head)
	if f == notPacked && w.endsAsZip(head, err, whole, size) {
		f = isZip
	}
	if f != notPacked && depth >= orDefault(w.MaxDepth, defaultMaxDepth) {
		w.unread(at, TooDeep, fmt.Sprintf("it is an archive inside %d others", depth))
		f = notPacked
	}
	switch f {
	case isGzip:
		if !w.gunzip(ctx, join(head, err, in), at, depth) {
			w.asItIs(ctx, whole, size, at, depth)
		}
	case isBzip2:
		if !w.packed(ctx, bzip2.NewReader(join(head, err, in)), at, ".bz2", depth) {
			w.asItIs(ctx, whole, size, at, depth)
		}
	case isTar:
		w.tar(ctx, join(head, err, in), at, depth)
	case isZip:
		w.zip(ctx, s, head, err, in, whole, size, at, depth)
	default:
		if looseObject(at, head) {
			if z, zerr := zlib.NewReader(join(head, err, in)); zerr == nil {
				if !w.packed(ctx, z, at, "", depth) {
					w.asItIs(ctx, whole, size, at, depth)
				}
				return
			}
		}
		for _, u := range unopened {
			if bytes.HasPrefix(head, []byte(u.magic)) {
				w.unread(at, u.reason, "it is "+u.what+", which is not opened")
				break
			}
		}
		if bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) && bytes.Contains(head, wideBytes("EncryptedPackage", false)) {
			w.unread(at, Encrypted, "it is an Office document that is encrypted") // MS-OFFCRYPTO 1.3.3
		}
		if name := strings.ToLower(at.path + at.member); strings.HasSuffix(name, ".br") || strings.HasSuffix(name, ".lzma") { // which have no mark
			w.unread(at, Unopened, "it is called as if it were compressed, in a way that is not opened")
		}
		n, end := s.search(ctx, head, err, in, w.report(at))
		w.pending += n - s.told
		w.broke(ctx, at, end, n)
		if n > int64(len(head)) && whole == nil && end == nil && zipEnd(s.last) >= 0 {
			w.unread(at, Unopened, "it ends like a ZIP file, such as in a program that unpacks itself, which is not opened inside of others")
		}
	}
}

// endsAsZip knows a ZIP file that has something else in front: a program that unpacks it, a
// script that runs it, a picture. It needs all of it, in the head or out of order.
func (w *worker) endsAsZip(head []byte, err error, whole any, size int64) bool {
	source, ok := whole.(io.ReaderAt)
	switch {
	case errors.Is(err, io.EOF):
		source, size = bytes.NewReader(head), int64(len(head))
	case !ok || err != nil:
		return false
	}
	program := false
	for _, magic := range []string{"MZ", "\x7fELF", "#!", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe"} {
		program = program || bytes.HasPrefix(head, []byte(magic))
	}
	// Looking for a comment or a signature behind the end is worth it for programs only.
	most := int64(22)
	if program {
		most = maxTail
	}
	if w.tail == nil {
		w.tail = make([]byte, maxTail)
	}
	tail := w.tail[:min(size, most)]
	if n, err := source.ReadAt(tail, size-int64(len(tail))); n < len(tail) && err != nil {
		return false
	}
	if !bytes.Contains(tail, []byte("PK\x05\x06")) { // which is quicker than looking from behind
		return false
	}
	if zipEnd(tail) >= 0 {
		return true
	}
	if !program {
		return false
	}
	// It may be the data of a program that reads ZIP files.
	z, err := openZip(source, size)
	return err == nil && len(z.File) > 0
}

// maxTail is how much of the end of a file may hold the last record, whose comment has up to
// 64 KiB.
const maxTail = 66 << 10

// zipEnd returns where the last record of a ZIP file (APPNOTE.TXT 4.3.16) begins, if the bytes
// end with one, or -1.
func zipEnd(tail []byte) int {
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if i < 0 || i+22 > len(tail) || i+22+int(binary.LittleEndian.Uint16(tail[i+20:])) != len(tail) {
		return -1
	}
	return i
}

// looseObject knows a file of a git repository that cannot be read as one, since it lies in an
// archive: a header of zlib (RFC 1950 §2.2) under the name of an object.
func looseObject(at place, head []byte) bool {
	name := at.path
	if at.member != "" {
		name = at.member
	}
	if len(head) < 2 || head[0] != 0x78 || (int(head[0])<<8|int(head[1]))%31 != 0 {
		return false
	}
	dir, base := path.Split(name)
	return strings.HasSuffix(path.Dir(path.Clean(dir)), "objects") && len(path.Base(dir)) == 2 && len(base) >= 38 && strings.Trim(base, "0123456789abcdef") == ""
}

// asItIs searches a file that only begins like something packed, or is damaged. It reports whether
// it could: what was a stream has passed.
func (w *worker) asItIs(ctx context.Context, whole any, size int64, at place, depth int) bool {
	source, ok := whole.(io.ReaderAt)
	if !ok {
		return false
	}
	most := orDefault(w.MaxFile, defaultMaxFile)
	in := &bounded{in: io.NewSectionReader(source, 0, size), ctx: ctx, left: &most}
	s := w.searcher(depth)
	head, err := s.head(in)
	w.plain(ctx, s, head, err, in, at, w.report(at))
	return true
}

// plain searches a stream as it is.
func (w *worker) plain(ctx context.Context, s *searcher, head []byte, err error, in io.Reader, at place, report func(match)) {
	n, err := s.search(ctx, head, err, in, report)
	w.pending += n - s.told
	w.broke(ctx, at, err, n)
}

// broke records how a stream ended if it did not end as it should.
func (w *worker) broke(ctx context.Context, at place, err error, n int64) {
	switch {
	case err == nil || errors.Is(err, io.EOF) || ctx.Err() != nil:
	case errors.Is(err, errTooLarge):
		w.unread(at, TooLarge, fmt.Sprintf("it was read up to a limit, for %d bytes", n))
	case damage(err):
		w.unread(at, Damaged, fmt.Sprintf("it was read for %d bytes, then it is damaged", n))
	default:
		w.unread(at, Unreadable, fmt.Sprintf("it was read for %d bytes: %v", n, bareError(err)))
	}
}

func damage(err error) bool {
	var structural bzip2.StructuralError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.As(err, &structural) || errors.Is(err, zlib.ErrChecksum) || errors.Is(err, zlib.ErrHeader) ||
		errors.Is(err, errSlack) || errors.Is(err, zip.ErrChecksum) || errors.Is(err, zip.ErrFormat) || errors.Is(err, tar.ErrHeader) || strings.HasPrefix(err.Error(), "flate: corrupt")
}

// join is a stream of which the beginning was read. A buffer must not be used again before that.
func join(head []byte, err error, in io.Reader) io.Reader {
	if err != nil {
		return io.MultiReader(bytes.NewReader(head), failing{err})
	}
	return io.MultiReader(bytes.NewReader(head), in)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// gunzip reports whether the file is sound, as far as it was read.
func (w *worker) gunzip(ctx context.Context, in io.Reader, at place, depth int) bool {
	z, err := gzip.NewReader(in)
	if err != nil {
		w.unread(at, Damaged, "it begins like gzip, but cannot be unpacked")
		return false
	}
	w.name(at, z.Name)
	w.name(at, z.Comment)
	w.name(at, string(z.Extra))
	return w.packed(ctx, z, at, ".gz", depth)
}

// packed reads what one file was compressed to, and reports whether that is sound, as far as it
// was read. Its name as a member is that of the file without what the compressor added.
func (w *worker) packed(ctx context.Context, z io.Reader, at place, ext string, depth int) bool {
	w.count(func(e *Exposure) { e.Members++ })
	outer := at.path
	if at.git != nil && at.git.Path != "" {
		outer = at.git.Path
	}
	if at.member != "" {
		outer = at.member
	}
	name := path.Base(outer)
	if i := strings.LastIndexByte(name, '!'); i >= 0 {
		name = name[i+1:]
	}
	if cut, ok := strings.CutSuffix(name, ".tgz"); ok && cut != "" {
		name = cut + ".tar"
	} else if cut, ok := strings.CutSuffix(name, ext); ok && cut != "" {
		name = cut
	} else {
		name = "content"
	}
	inside := at.in(name)
	inside.unpacked, inside.around = true, at.member
	if at.unpacked {
		inside.around = at.around
	}
	unpacked := &sound{in: z}
	w.content(ctx, &bounded{unpacked, ctx, &w.expanded}, nil, -1, inside, depth+1)
	return !unpacked.damaged
}

// sound is a stream that remembers whether it ended in damage.
type sound struct {
	in      io.Reader
	damaged bool
}

func (s *sound) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	s.damaged = s.damaged || err != nil && damage(err)
	return n, err
}

// headers is a stream that remembers what was read for the next header of a tar file: the padding of
// the member before it with the end of its data, and the end of what comes then, which its reader
// does not give back if it is no header.
type headers struct {
	in      io.Reader
	read    int64 // how much in all
	span    int   // how much is remembered of what stands before the padding
	before  []byte
	keeping bool
	pad     int // how long the padding is
	padding []byte
	last    []byte
}

// mostHeader is how much of what stands before the place of damage is kept.
const mostHeader = 64 << 10

// begin notes that what is read from now on is for a header, with padding before it.
func (h *headers) begin(pad int) {
	h.keeping, h.pad = true, pad
	h.padding, h.last = h.padding[:0], h.last[:0]
}

func (h *headers) Read(p []byte) (int, error) {
	n, err := h.in.Read(p)
	h.read += int64(n)
	if h.keeping {
		pad := min(n, h.pad-len(h.padding))
		h.padding, h.last = append(h.padding, p[:pad]...), append(h.last, p[pad:n]...)
		if len(h.last) > 2*mostHeader {
			h.last = h.last[:copy(h.last, h.last[len(h.last)-mostHeader:])]
		}
		return n, err
	}
	h.before = append(h.before, p[max(n-h.span, 0):n]...)
	if len(h.before) > 2*h.span {
		h.before = h.before[:copy(h.before, h.before[len(h.before)-h.span:])]
	}
	return n, err
}

// ended is a stream that remembers whether it was read to its end.
type ended struct {
	in  io.Reader
	end bool
}

func (e *ended) Read(p []byte) (int, error) {
	n, err := e.in.Read(p)
	e.end = e.end || errors.Is(err, io.EOF)
	return n, err
}

// tar reads the members, what stands in their padding, and what is behind the end, or behind a place
// of damage.
func (w *worker) tar(ctx context.Context, stream io.Reader, at place, depth int) {
	in := &headers{in: stream, span: w.searcher(depth + 1).overlap}
	t := tar.NewReader(in)
	// Searches what is in the archive itself, from a place on, and tells what ends behind another.
	raw := func(s *searcher, head []byte, err error, from io.Reader, base, behind int64) {
		w.plain(ctx, s, head, err, from, at, func(m match) {
			m.begin, m.end = m.begin+base, max(m.end, m.begin+int64(len(m.value)))+base
			m.line, m.column = 0, 0
			if m.end > behind {
				w.record(at, m)
			}
		})
	}
	// Where a member was left unread, and that was said, its padding begins who knows where.
	whole := true
	for {
		pad := 0
		if whole {
			pad = int(-in.read & 511)
		}
		in.begin(pad)
		data := in.read // ends here
		h, err := t.Next()
		in.keeping = false
		// Some programs fill the last block of a member with what they had in memory.
		if len(bytes.Trim(in.padding, "\x00")) > 0 {
			s, text := w.searcher(depth+1), io.MultiReader(bytes.NewReader(in.before), bytes.NewReader(in.padding))
			head, err := s.head(text)
			raw(s, head, err, text, data-int64(len(in.before)), data)
		}
		in.before = in.before[:0]
		if err != nil {
			if !errors.Is(err, io.EOF) {
				w.broke(ctx, at, err, 0)
			}
			// What stands behind the archive, or behind where it is damaged, is searched as it is.
			base := in.read - int64(len(in.last))
			behind := io.MultiReader(bytes.NewReader(in.last), in)
			rest := w.searcher(depth + 1)
			head, err := rest.head(behind)
			if f := formatOf(bytes.TrimLeft(head, "\x00")); f != notPacked {
				w.unread(at, Unopened, "another archive stands behind its end, which is not opened")
			}
			raw(rest, head, err, behind, base, 0)
			return
		}
		member := at.in(w.shown(h.Name))
		for _, text := range []string{h.Name, h.Linkname, h.Uname, h.Gname} {
			w.name(member, text)
		}
		for key, value := range h.PAXRecords {
			if !strings.HasSuffix(key, "path") { // which Name and Linkname are
				w.name(member, value)
			}
		}
		if h.Format == tar.FormatUnknown || h.Format == tar.FormatGNU { // half of their block has no use here
			w.name(member, string(in.last[max(0, len(in.last)-255):]))
		}
		whole = true
		switch h.Typeflag { // those that have no data; others may, known or not
		case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeXGlobalHeader:
			continue
		}
		w.count(func(e *Exposure) { e.Members++ })
		file := &ended{in: t}
		w.content(ctx, &bounded{file, ctx, &w.expanded}, nil, h.Size, member, depth+1)
		whole = file.end
		if w.expanded <= 0 {
			w.unread(at, TooLarge, "the rest of the archive was left when the limit for unpacked bytes was reached")
			return
		}
	}
}

// shown is a name from an archive, which anybody may have written. A secret in it goes before it
// is cut, so that no part of one is left at the end.
func (w *worker) shown(name string) string {
	const most = 1024
	if name = w.clean(name); len(name) > most {
		name = name[:most]
	}
	return strings.ToValidUTF8(name, "?")
}

// zip reads a ZIP file as it is, and then its members.
func (w *worker) zip(ctx context.Context, s *searcher, head []byte, err error, in io.Reader, whole any, size int64, at place, depth int) {
	source, ok := whole.(io.ReaderAt)
	if !ok || size < 0 {
		// It has to be held in memory, since its directory stands at the end.
		most := orDefault(w.MaxNested, defaultMaxNested)
		data, rerr := io.ReadAll(io.LimitReader(join(head, err, in), most+1))
		if rerr != nil || int64(len(data)) > most {
			if rerr == nil {
				rerr = errTooLarge
			}
			w.broke(ctx, at, rerr, int64(len(data)))
			return
		}
		source, size = bytes.NewReader(data), int64(len(data))
		in, err = bytes.NewReader(data), nil
		if head, err = s.head(in); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
	var files []*zip.File
	z, zerr := openZip(source, size)
	if zerr == nil {
		files = z.File
		z.RegisterDecompressor(zip.Deflate, inflate)
		z.RegisterDecompressor(methodBzip2, func(in io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(in)) })
	}
	// As it is, it shows names, comments, and what stands before, between and behind members.
	// Those are read for themselves: packed data may hold a stretch that could not be packed.
	var inside []extent
	w.plain(ctx, s, head, err, in, at, func(m match) {
		if inside == nil {
			inside = extents(files, readable)
		}
		if i, exact := slices.BinarySearchFunc(inside, m.begin, func(e extent, at int64) int { return cmp.Compare(e.begin, at) }); exact || i > 0 && m.begin < inside[i-1].end {
			return
		}
		w.record(at, m)
	})
	if zerr != nil {
		w.unread(at, Damaged, "it looks like a ZIP file, but its directory cannot be read")
		return
	}
	if unlisted(ctx, source, size, extents(files, func(*zip.File) bool { return true })) {
		w.unread(at, Damaged, "it holds members that its directory does not list, such as an older archive in front or what was taken out")
	}
	for _, f := range files {
		if ctx.Err() != nil {
			return
		}
		w.member(ctx, f, at.in(w.shown(f.Name)), depth)
		if w.expanded <= 0 {
			w.unread(at, TooLarge, "the rest of the archive was left when the limit for unpacked bytes was reached")
			return
		}
	}
}

func (w *worker) member(ctx context.Context, f *zip.File, at place, depth int) {
	switch {
	case folder(f):
		if f.UncompressedSize64 > 0 || f.CompressedSize64 > 2 { // 2 bytes are nothing, deflated
			w.unread(at, Damaged, "it is called a folder, but holds data")
		}
		return
	case f.Flags&1 != 0:
		w.unread(at, Encrypted, "it is encrypted")
		return
	case !opened(f):
		w.unread(at, Unopened, fmt.Sprintf("it is packed by method %d, which is not known here", f.Method))
		return
	}
	in, err := f.Open()
	if err != nil {
		w.unread(at, Damaged, "it is not where the archive's directory says")
		return
	}
	defer in.Close()
	w.count(func(e *Exposure) { e.Members++ })
	w.content(ctx, &bounded{in, ctx, &w.expanded}, nil, -1, at, depth+1)
}

// folder reports whether a member is one by its name.
func folder(f *zip.File) bool { return strings.HasSuffix(f.Name, "/") }

// errSlack is the error of a member with something behind its packed data.
var errSlack = errors.New("more than belongs to the member")

// inflate unpacks a member, and tells when that is not all there is in its place.
func inflate(in io.Reader) io.ReadCloser {
	b := bufio.NewReader(in)
	return inflating{flate.NewReader(b), b}
}

type inflating struct {
	io.ReadCloser
	in *bufio.Reader
}

func (f inflating) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		if _, more := f.in.ReadByte(); more == nil {
			err = errSlack
		}
	}
	return n, err
}

// extent is where the data of a member lies.
type extent struct{ begin, end int64 }

func readable(f *zip.File) bool { return opened(f) && !folder(f) }

// extents returns those of some members, in order; never nil.
func extents(files []*zip.File, which func(*zip.File) bool) []extent {
	out := []extent{}
	for _, f := range files {
		if begin, err := f.DataOffset(); err == nil && which(f) {
			out = append(out, extent{begin, begin + int64(f.CompressedSize64)})
		}
	}
	slices.SortFunc(out, func(a, b extent) int { return cmp.Compare(a.begin, b.begin) })
	return out
}

// unlisted reports whether there are members between, before or behind those of the directory,
// each of which has one header in front (APPNOTE.TXT 4.3.7).
func unlisted(ctx context.Context, source io.ReaderAt, size int64, listed []extent) bool {
	buf := make([]byte, 64<<10)
	prev := int64(0)
	for i := 0; i <= len(listed) && ctx.Err() == nil; i++ {
		end, most := size, 0
		if i < len(listed) {
			end, most = listed[i].begin, 1
		}
		headers := 0
		for at := prev; at < end; {
			part := buf[:min(int64(len(buf)), end-at)]
			n, err := source.ReadAt(part, at)
			headers += countHeaders(part[:n], at+int64(n) < end)
			if err != nil || at+int64(n) >= end || n <= overHeader {
				break
			}
			at += int64(n) - overHeader
		}
		if headers > most {
			return true
		}
		if i < len(listed) {
			prev = max(prev, listed[i].end)
		}
	}
	return false
}

// overHeader is how many bytes two parts of a file have in common where headers are counted.
const overHeader = 31

// countHeaders counts what can be the header of a member: the mark alone stands in every program
// that reads ZIP files. If there is more, one that begins in the last bytes is left to the next.
func countHeaders(part []byte, more bool) int {
	end := len(part)
	if more {
		end -= overHeader
	}
	n := 0
	for at := 0; ; at += 4 {
		i := bytes.Index(part[at:], []byte("PK\x03\x04"))
		if i < 0 || at+i >= end {
			return n
		}
		at += i
		if h := part[at:]; len(h) > 30 {
			version, method, name := binary.LittleEndian.Uint16(h[4:]), binary.LittleEndian.Uint16(h[8:]), binary.LittleEndian.Uint16(h[26:])
			if version&0xff <= 63 && method <= 99 && 0 < name && name <= 4096 && h[30] >= ' ' {
				n++
			}
		}
	}
}

// opened reports whether a member can be unpacked here.
func opened(f *zip.File) bool {
	return f.Flags&1 == 0 && (f.Method == zip.Store || f.Method == zip.Deflate || f.Method == methodBzip2)
}

const methodBzip2 = 12 // APPNOTE.TXT 4.4.5

// maxDirectory bounds the directory of a ZIP file, which is held in memory several times over.
const maxDirectory = 64 << 20

// openZip reads the directory, unless it is out of all proportion.
func openZip(source io.ReaderAt, size int64) (*zip.Reader, error) {
	tail := make([]byte, min(size, maxTail))
	if _, err := source.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	// APPNOTE.TXT 4.3.16 and 4.3.14.
	if i := bytes.LastIndex(tail, []byte("PK\x05\x06")); i >= 0 && i+22 <= len(tail) && binary.LittleEndian.Uint32(tail[i+12:]) != 0xffffffff {
		if binary.LittleEndian.Uint32(tail[i+12:]) > maxDirectory {
			return nil, errTooLarge
		}
	} else if i := bytes.LastIndex(tail, []byte("PK\x06\x06")); i >= 0 && i+56 <= len(tail) && binary.LittleEndian.Uint64(tail[i+40:]) > maxDirectory {
		return nil, errTooLarge
	}
	return zip.NewReader(source, size)
}
