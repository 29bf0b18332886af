package apisec

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// Finder looks for secrets in a tree of files: in the files themselves, in archives and
// compressed files (ZIP with all that is one, such as Office documents, jars and programs that
// unpack themselves; tar, gzip, bzip2; in each other), and in git repositories, where every
// version of every file, commit, tag and stash is read, also those that nothing leads to any
// more. Everything is looked for in one pass.
//
// # Forms
//
// A secret is found as it is, in UTF-8, Latin-1 and UTF-16 of both orders, and in either case if it
// is made of 16 or more hexadecimal digits; percent-encoded, once or twice, wholly or in part; in
// the escapes of JSON, C, Python and shells, also of JSON in JSON; in those of XML and HTML; in
// quoted-printable; in base64 of both alphabets, whatever stands before it (so in Authorization:
// Basic, also where it was percent-encoded first as RFC 6749 §2.3.1 wants it, in PowerShell's
// -EncodedCommand, in base64 of JSON, and in base64 of base64, as in Kubernetes' pull secrets); in
// hexadecimal, also with separators, and as dumped by xxd in groups of one or two bytes, hexdump
// -C and od -t x1; any of these in UTF-16, but for xxd's pairs and base64 of base64. It may be
// broken over lines at any one place, by the continuation marks of shells, PowerShell, cmd, YAML and
// C, by line breaks as in MIME, quoted-printable and PEM, or put together from two strings.
//
// # What is not found
//
// A secret in another case that is not of hexadecimal digits, reversed, split over variables,
// encrypted, hashed, or encoded twice in ways that are not named above (hex of base64, base64 three
// times, hex of hex) or in base32; base64 in lines shorter than 30 characters, or with a mark before
// each line; dumps of words in the other order (od -x, hexdump without -C); text in EBCDIC, or in
// UTF-32 without a byte order mark; text in pictures. What begins as a PDF file, 7z, RAR, xz, zstd or
// UTF-32 is reported as unread, as are password-protected archives, and then nothing passes. Packed parts of other formats (such as PNG,
// fonts, Windows installers, disk images, databases that compress their pages) are searched as they
// are, and not reported: that nothing was found says nothing about those.
//
// # Traces
//
// Files are opened for reading, which may change their time of last access. Pipes, sockets and
// devices are counted and not opened; [Folder] sees to it that none is read that took the place of a
// file just then. Files that the system makes up (/proc, /sys) may wait, and end with the context.
//
// Git runs once to three times for each repository, on a folder of its own among temporary files,
// in which links lead to the objects. It reads no configuration of the repository, runs no program,
// asks no server, and writes nothing to it. Repositories that it borrows objects from
// (objects/info/alternates) are read if they are among the files, and reported if they are not. A
// repository that has links or pipes among its objects is not shown to git, and reported; one that
// gets a pipe there just then makes git wait, until the context ends.
//
// # Cost
//
// Memory is bounded whatever the size of the files. Time grows with the shortest secret: one of
// 22 bytes or more is looked for at full speed, one of 8 at about a sixth of it. What is almost a
// secret takes longer, in proportion to how much of that there is.
type Finder struct {
	// FS holds the files. For a folder on disk, use [Folder]: opening a file of another fs.FS may
	// wait for as long as somebody likes.
	FS fs.FS
	// Dir is where FS lies on disk, for git, which reads no [fs.FS]. Empty: the histories of
	// repositories are reported as unread.
	Dir string
	// Name is shown as the target of reports. Default Dir, or "files".
	Name string
	// Secrets are the values to look for, by names that reports show. A value of fewer than
	// [MinSecret] or more than [MaxSecret] bytes is refused.
	Secrets map[string]connsec.Secret
	// Patterns also looks for what looks like a secret: see [RulePattern].
	Patterns bool
	// Declared names the files in which a secret is meant to stand, by the name of the secret,
	// as paths in FS. There, and nowhere else, it is no exposure.
	Declared map[string][]string
	// Exclude leaves out files and folders whose path or last part matches one of these
	// patterns, in the language of [path.Match]. The report says how many.
	Exclude []string

	// MaxFile is how much of one file is read, in bytes. Default 64 GiB. What is longer is
	// reported as unread.
	MaxFile int64
	// MaxExpanded is how much is unpacked from one file, in bytes. Default 4 GiB.
	MaxExpanded int64
	// MaxNested is the size of the largest ZIP file inside an archive or a history, in bytes,
	// which has to be held in memory, once for each worker. Default 64 MiB.
	MaxNested int64
	// MaxDepth is how deep archives may lie in archives. Default 6.
	MaxDepth int
	// MaxHits is how many hits are recorded; more are counted. Default 10,000.
	MaxHits int
	// Workers is the number of files read side by side. Default: one per processor.
	Workers int

	// Git is the program that reads repositories. Default "git", as the system finds it.
	Git string
	// Key makes fingerprints comparable between runs. It has 16 bytes or more, and is as secret as
	// what is looked for, for it lets guesses be tried. Default: random, for this run.
	Key connsec.Secret
	// Progress, when set, is called after each file and now and then in long ones, by one
	// goroutine at a time.
	Progress func(files int, bytes int64)
	// Now is the clock for the report. Default time.Now.
	Now func() time.Time
}

// Exposure is where secrets stand. It holds no value of any.
type Exposure struct {
	Target   string        `json:"target"`
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`
	// Secrets are what was looked for, in the order of names.
	Secrets []Sought `json:"secrets,omitempty"`
	// Patterns tells whether patterns were looked for, too.
	Patterns bool `json:"patterns,omitempty"`

	Files    int   `json:"files"`              // that were read
	Members  int   `json:"members,omitempty"`  // of archives, and the contents of compressed files
	Objects  int   `json:"objects,omitempty"`  // of git repositories: every version of every file, commits, tags
	Bytes    int64 `json:"bytes"`              // that were searched, unpacked
	Links    int   `json:"links,omitempty"`    // symbolic links: their own text is searched, they are not followed
	Special  int   `json:"special,omitempty"`  // pipes, sockets and devices: they are not read
	Excluded int   `json:"excluded,omitempty"` // left out on request

	// Hits are in the order of paths.
	Hits []Hit `json:"hits,omitempty"`
	// MoreHits is the number of those beyond MaxHits.
	MoreHits int `json:"more_hits,omitempty"`
	// Unread is what could not be searched, or not to its end.
	Unread     []Unread `json:"unread,omitempty"`
	MoreUnread int      `json:"more_unread,omitempty"`
}

// Sought is a secret that was looked for.
type Sought struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
}

// Hit is one place at which a secret stands.
type Hit struct {
	Secret  string `json:"secret,omitempty"`  // its name
	Pattern string `json:"pattern,omitempty"` // or what it looks like
	// Fingerprint is the beginning of an HMAC-SHA-256 of the value: the same for the same value.
	Fingerprint string `json:"fingerprint"`
	// Form says how it is written: "verbatim", "base64, split", "percent-encoded, UTF-16LE".
	Form string `json:"form,omitempty"`

	Path   string     `json:"path"`             // of the file, or of the folder of a repository's data
	Member string     `json:"member,omitempty"` // of an archive; parts of nested ones are separated by "!"
	Git    *GitObject `json:"git,omitempty"`
	// InName says that the path itself holds the secret. Then Path and Member say REDACTED there.
	InName bool `json:"in_name,omitempty"`

	// Line and Column count from 1, and Unicode code points; both are 0 where there is no text, or
	// one in UTF-16 that does not say so by a byte order mark. Offset counts bytes, from 0. All
	// three count in the member or object, if it is in one.
	Line   int   `json:"line,omitempty"`
	Column int   `json:"column,omitempty"`
	Offset int64 `json:"offset"`

	// Declared says that the secret is meant to stand in this file.
	Declared bool `json:"declared,omitempty"`
}

// GitObject is where in a repository's history a hit is.
type GitObject struct {
	ID   string `json:"id"`
	Type string `json:"type"` // "blob", "commit", "tag" or "tree"
	// Commit and Path are a commit that has the object, the oldest as git orders them, and the
	// path in it. Both are empty for objects that no commit has.
	Commit string `json:"commit,omitempty"`
	Path   string `json:"path,omitempty"`
}

// Reason is why something was not read.
type Reason string

// The reasons.
const (
	Encrypted  Reason = "encrypted"    // nobody without its key can tell what is in it
	TooLarge   Reason = "too large"    // beyond one of the limits of [Finder]
	TooDeep    Reason = "too deep"     // an archive in archives beyond MaxDepth
	Unopened   Reason = "unopened"     // a format that is not unpacked here
	Unreadable Reason = "unreadable"   // the system refused
	Damaged    Reason = "damaged"      // it ends early or contradicts itself
	NoHistory  Reason = "no history"   // a repository that git was not there for, or did not read
	Elsewhere  Reason = "kept outside" // a work tree or clone whose whole history is not among the files
	OutOfTime  Reason = "out of time"  // the deadline of the context came first
)

// Unread is a file, or part of one, that was not searched.
type Unread struct {
	Path   string `json:"path"`
	Member string `json:"member,omitempty"`
	Reason Reason `json:"reason"`
	// Detail is one sentence.
	Detail string `json:"detail"`
}

// Find looks for the secrets in all files, with the defaults of [Finder].
func Find(ctx context.Context, files fs.FS, secrets map[string]connsec.Secret) (Exposure, error) {
	return Finder{FS: files, Secrets: secrets}.Find(ctx)
}

const (
	defaultMaxFile     = 64 << 30
	defaultMaxExpanded = 4 << 30
	defaultMaxNested   = 64 << 20
	defaultMaxDepth    = 6
	defaultMaxHits     = 10_000
	maxUnread          = 1_000
	minKey             = 16
)

func orDefault[T int | int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// Searchable returns nil if a secret can be looked for, or an error that says under the given name
// why it cannot: it is so short or so dull that it stands in any file by chance, or too long.
func Searchable(name string, secret connsec.Secret) error {
	return problem(setting.OneLine(name), secret.Reveal())
}

// problem says why a secret cannot be looked for.
func problem(name string, value string) error {
	distinct := map[byte]bool{}
	for i := range len(value) {
		distinct[value[i]] = true
	}
	switch {
	case value == "":
		return fmt.Errorf("apisec: the secret %s is empty", name)
	case len(value) < MinSecret:
		return fmt.Errorf("apisec: the secret %s has fewer than %d bytes, which stand in any file by chance; replace it with a longer one", name, MinSecret)
	case len(distinct) < minDistinct:
		return fmt.Errorf("apisec: the secret %s is made of fewer than %d different characters, which stand in any file by chance; replace it with a random one", name, minDistinct)
	case len(value) > MaxSecret:
		return fmt.Errorf("apisec: the secret %s has more than %d bytes; give the part of it that must not be known", name, MaxSecret)
	}
	return nil
}

// hunt is one run of a Finder.
type hunt struct {
	Finder
	names  []string // of secrets
	prints []string // their fingerprints
	sieve  *sieve
	key    []byte

	mu  sync.Mutex
	out Exposure
}

// Find reads all files. The error is about the setting, the root of the files, or a context that
// was cancelled; what else cannot be read is a fact, see [Exposure.Unread]. When the context's
// deadline comes, what was found until then is returned, with the rest as unread.
func (f Finder) Find(ctx context.Context) (Exposure, error) {
	h, err := f.begin()
	if err != nil {
		return Exposure{}, err
	}
	switch err := h.readAll(ctx); {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded): // whatever the cause is called
		h.out.Unread = append(h.out.Unread, Unread{Path: ".", Reason: OutOfTime, Detail: "the time was up before everything was read"})
	case err != nil:
		return Exposure{}, err
	}
	h.out.Duration = h.Now().Sub(h.out.At)
	h.sort()
	return h.out, nil
}

// begin checks the setting and compiles the secrets.
func (f Finder) begin() (*hunt, error) {
	h := &hunt{Finder: f}
	if h.Now == nil {
		h.Now = time.Now
	}
	if h.Git == "" {
		h.Git = "git"
	}
	h.out = Exposure{At: h.Now(), Patterns: f.Patterns, Target: f.Name}
	if h.out.Target == "" {
		if h.out.Target = f.Dir; f.Dir == "" {
			h.out.Target = "files"
		}
	}
	if f.FS == nil {
		return nil, errors.New("apisec: there are no files to look through: set FS")
	}
	if len(f.Secrets) == 0 && !f.Patterns {
		return nil, errors.New("apisec: nothing to look for: give secrets, or ask for patterns")
	}
	for _, pattern := range f.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("apisec: %q is not a pattern for paths: %w", setting.OneLine(pattern), err)
		}
	}
	for name := range f.Declared {
		if _, ok := f.Secrets[name]; !ok {
			return nil, fmt.Errorf("apisec: %q has a declared place, but is not among the secrets", setting.OneLine(name))
		}
	}
	switch h.key = []byte(f.Key.Reveal()); {
	case len(h.key) > 0 && len(h.key) < minKey:
		return nil, fmt.Errorf("apisec: the key for fingerprints has fewer than %d bytes: who guesses it can guess at secrets; make a random one", minKey)
	case len(h.key) == 0:
		h.key = make([]byte, 32)
		_, _ = rand.Read(h.key) // never fails
	}
	for name := range f.Secrets {
		h.names = append(h.names, name)
	}
	slices.Sort(h.names)
	var values []string
	for _, name := range h.names {
		value := f.Secrets[name].Reveal()
		if err := problem(setting.OneLine(name), value); err != nil {
			return nil, err
		}
		values = append(values, value)
		h.prints = append(h.prints, h.fingerprint(value))
		h.out.Secrets = append(h.out.Secrets, Sought{Name: name, Fingerprint: h.prints[len(h.prints)-1]})
	}
	h.sieve = newSieve(values)
	h.out.Target = newWorker(h).clean(h.out.Target)
	return h, nil
}

// fingerprint is keyed, since a hash of a weak secret can be turned back by guessing.
func (h *hunt) fingerprint(value string) string {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// job is one file, or the data of one repository.
type job struct {
	path string
	git  bool
}

// readAll walks the tree and has the workers read what it finds.
func (h *hunt) readAll(ctx context.Context) error {
	workers := orDefault(h.Workers, runtime.GOMAXPROCS(0))
	jobs := make(chan job, 4*workers)
	var wg sync.WaitGroup
	for range workers {
		w := newWorker(h)
		wg.Go(func() {
			for j := range jobs {
				if ctx.Err() == nil {
					w.do(ctx, j)
				}
			}
		})
	}
	err := h.walk(ctx, jobs)
	close(jobs)
	wg.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// walk sends what there is to read.
func (h *hunt) walk(ctx context.Context, jobs chan<- job) error {
	names := newWorker(h)
	objects, digits := "-", 0 // the folder of a repository that was met last, and of its names
	return fs.WalkDir(h.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if name == "." {
				return fmt.Errorf("apisec: cannot read the folder: %w", bareError(err))
			}
			names.unread(place{path: name}, Unreadable, "the folder cannot be read: "+bareError(err).Error())
			return fs.SkipDir
		}
		if name != "." && h.excluded(name) {
			h.count(func(e *Exposure) { e.Excluded++ })
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		// A secret with a slash in it stands over several names, and is told of at the last.
		names.nameBehind(place{path: name}, name, len(name)-len(path.Base(name)))
		switch {
		case d.IsDir():
			if path.Base(name) == "objects" && h.repository(path.Dir(name)) {
				objects, digits = name, h.digits(name)
				jobs <- job{path.Dir(name), true}
			}
		case d.Type()&(fs.ModeSymlink|fs.ModeIrregular) != 0: // of Windows, whose junctions are links of a kind
			text, err := fs.ReadLink(h.FS, name)
			if err != nil && d.Type()&fs.ModeIrregular != 0 {
				names.unread(place{path: name}, Unreadable, "it is no ordinary file, such as one that is kept in the cloud")
				return nil
			}
			h.count(func(e *Exposure) { e.Links++ })
			names.name(place{path: name}, text)
			names.linked(name, text)
		case d.Type().IsRegular():
			rest, ok := strings.CutPrefix(name, objects+"/")
			if !ok || !h.gitReads(objects, rest, digits) {
				jobs <- job{path: name}
			} else if strings.HasPrefix(rest, "pack/") {
				names.openable(name)
			}
		default:
			h.count(func(e *Exposure) { e.Special++ })
		}
		return nil
	})
}

func (h *hunt) excluded(name string) bool {
	return slices.ContainsFunc(h.Exclude, func(pattern string) bool {
		whole, _ := path.Match(pattern, name)
		last, _ := path.Match(pattern, path.Base(name))
		return whole || last
	})
}

// count changes the tallies.
func (h *hunt) count(change func(*Exposure)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.out)
}

// tell reports progress.
func (h *hunt) tell(bytes int64, files int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out.Bytes += bytes
	h.out.Files += files
	if h.Progress != nil {
		h.Progress(h.out.Files, h.out.Bytes)
	}
}

func (h *hunt) hit(hit Hit) {
	hit.Declared = hit.Secret != "" && hit.Member == "" && hit.Git == nil && !hit.InName && slices.Contains(h.Declared[hit.Secret], hit.Path)
	h.count(func(e *Exposure) {
		if len(e.Hits) < orDefault(h.MaxHits, defaultMaxHits) {
			e.Hits = append(e.Hits, hit)
		} else {
			e.MoreHits++
		}
	})
}

// sort puts hits and the unread in the order of places, which does not depend on the workers.
func (h *hunt) sort() {
	slices.SortFunc(h.out.Hits, func(a, b Hit) int {
		return slices.Compare(a.order(), b.order())
	})
	slices.SortFunc(h.out.Unread, func(a, b Unread) int {
		return slices.Compare([]string{a.Path, a.Member, a.Detail}, []string{b.Path, b.Member, b.Detail})
	})
}

func (h Hit) order() []string {
	id := ""
	if h.Git != nil {
		id = h.Git.ID
	}
	return []string{h.Path, h.Member, id, fmt.Sprintf("%020d", h.Offset), h.Secret, h.Pattern}
}

// bareError drops the path from an error, which the finding names already.
func bareError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// place is what is being read.
type place struct {
	path   string
	member string
	git    *GitObject
	// unpacked says that this is what a compressed file holds, whose member is the one given.
	unpacked bool
	around   string
}

// in is a member of the archive at this place.
func (p place) in(member string) place {
	if p.unpacked { // "b.tar.gz!etc/x", and not "b.tar.gz!b.tar!etc/x"
		p.member = p.around
	}
	if p.member != "" {
		member = p.member + "!" + member
	}
	p.member, p.unpacked = member, false
	return p
}

// worker reads one file after the other.
type worker struct {
	*hunt
	searchers []*searcher // one for each depth of nesting
	names     *searcher   // for short texts
	tail      []byte      // of a file that may be an archive by how it ends
	expanded  int64       // bytes that may still be unpacked from the present file
	pending   int64       // bytes that were not told yet
	// collect, when set, takes hits until more is known about them.
	collect func(Hit) bool
}

func newWorker(h *hunt) *worker {
	return &worker{hunt: h, names: newSearcher(h.sieve, len(h.names), false)}
}

func (w *worker) searcher(depth int) *searcher {
	for len(w.searchers) <= depth {
		s := newSearcher(w.sieve, len(w.hunt.names), w.Patterns)
		s.progress = func(n int64) { w.tell(n, 0) }
		w.searchers = append(w.searchers, s)
	}
	return w.searchers[depth]
}

func (w *worker) do(ctx context.Context, j job) {
	w.expanded = orDefault(w.MaxExpanded, defaultMaxExpanded)
	if j.git {
		w.history(ctx, j.path)
		return
	}
	w.file(ctx, j.path)
}

// file reads one file.
func (w *worker) file(ctx context.Context, name string) {
	at := place{path: name}
	in, err := w.FS.Open(name)
	if err != nil {
		w.unread(at, Unreadable, "it cannot be opened: "+bareError(err).Error())
		return
	}
	defer in.Close()
	info, err := in.Stat()
	switch {
	case err != nil:
		w.unread(at, Unreadable, "it cannot be read: "+bareError(err).Error())
		return
	case !info.Mode().IsRegular(): // it was replaced in the meantime
		w.unread(at, Unreadable, "it was a file when the folder was listed, and is none any more")
		return
	}
	defer hurry(ctx, in)()
	if path.Base(name) == ".git" {
		data, err := w.beginning(name)
		if target, ok := strings.CutPrefix(strings.TrimSpace(string(data)), "gitdir: "); err == nil && ok {
			w.pointer(at, target)
		}
	}
	most := orDefault(w.MaxFile, defaultMaxFile)
	w.content(ctx, &bounded{in: in, ctx: ctx, left: &most}, in, info.Size(), at, 0)
	w.flush(1)
}

// hurry ends a read that waits for data when the context ends: files that the system makes up, such
// as Linux's /proc/kmsg, are called regular and wait all the same. It returns what ends this.
func hurry(ctx context.Context, in fs.File) (stop func()) {
	d, ok := in.(interface{ SetReadDeadline(time.Time) error })
	if !ok || d.SetReadDeadline(time.Time{}) != nil { // of a file on disk, which never waits for anybody
		return func() {}
	}
	end := context.AfterFunc(ctx, func() { _ = d.SetReadDeadline(time.Unix(1, 0)) })
	return func() { end() }
}

// flush tells the progress.
func (w *worker) flush(files int) {
	w.tell(w.pending, files)
	w.pending = 0
}

// report returns what records matches at a place.
func (w *worker) report(at place) func(match) {
	return func(m match) { w.record(at, m) }
}

func (w *worker) record(at place, m match) {
	hit := Hit{Form: m.form, Git: at.git, Line: m.line, Column: m.column, Offset: m.begin}
	hit.Path, hit.Member = w.clean(at.path), w.clean(at.member)
	if m.pattern != "" {
		hit.Pattern, hit.Fingerprint = m.pattern, w.fingerprint(m.value)
	} else {
		hit.Secret, hit.Fingerprint = w.hunt.names[m.secret], w.prints[m.secret]
	}
	w.add(hit)
}

func (w *worker) add(hit Hit) {
	if w.collect == nil || !w.collect(hit) {
		w.hit(hit)
	}
}

// name looks for secrets in a name.
func (w *worker) name(at place, name string) { w.nameBehind(at, name, 0) }

// nameBehind looks for those that end behind a place in it.
func (w *worker) nameBehind(at place, name string, behind int) {
	found, _ := w.names.inBytes(name)
	for _, m := range found {
		if m.end <= int64(behind) {
			continue
		}
		w.add(Hit{
			Secret: w.hunt.names[m.secret], Fingerprint: w.prints[m.secret], Form: m.form,
			Path: w.clean(at.path), Member: w.clean(at.member), Git: at.git, InName: true,
		})
	}
}

// clean is a name without the secrets in it.
func (w *worker) clean(name string) string {
	_, text := w.names.inBytes(name)
	return text
}

func (w *worker) unread(at place, why Reason, detail string) {
	u := Unread{Path: w.clean(at.path), Member: w.clean(at.member), Reason: why, Detail: setting.OneLine(w.clean(detail))}
	w.count(func(e *Exposure) {
		if len(e.Unread) < maxUnread {
			e.Unread = append(e.Unread, u)
		} else {
			e.MoreUnread++
		}
	})
}

// bounded is a stream that ends with errTooLarge when a budget is used up, and with the
// context. A stream that ends right at the limit is whole.
type bounded struct {
	in   io.Reader
	ctx  context.Context
	left *int64
}

var errTooLarge = errors.New("it is longer than the limit")

func (b *bounded) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	if *b.left <= 0 {
		var one [1]byte
		if n, err := b.in.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, errTooLarge
	}
	n, err := b.in.Read(p[:min(int64(len(p)), *b.left)])
	*b.left -= int64(n)
	return n, err
}

// repository reports whether a folder is the data of a git repository.
func (h *hunt) repository(dir string) bool {
	if _, err := fs.Stat(h.FS, path.Join(dir, "HEAD")); err != nil {
		return false
	}
	info, err := fs.Stat(h.FS, path.Join(dir, "refs"))
	return err == nil && info.IsDir()
}

// beginning is what a small file of a repository holds, whoever wrote it.
func (h *hunt) beginning(name string) ([]byte, error) {
	f, err := h.openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// openRegular opens a file of which nothing is known, such as a pipe that is called "config".
// That it is looked at first is for an fs.FS whose Open waits.
func (h *hunt) openRegular(name string) (fs.File, error) {
	info, err := fs.Stat(h.FS, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNoFile}
	}
	return h.FS.Open(name)
}

// linked notes a link that leads to a repository or to its objects, for links are not followed.
func (w *worker) linked(name, target string) {
	at := place{path: name}
	switch path.Base(name) {
	case ".git":
		w.pointer(at, target)
	case "objects":
		if _, err := fs.Stat(w.FS, path.Join(path.Dir(name), "HEAD")); err == nil {
			w.unread(at, Elsewhere, "the objects of its repository are where a link leads: look through "+target+" as well")
		}
	}
}

// openable notes a file that git would pass over in silence.
func (w *worker) openable(name string) {
	f, err := w.openRegular(name)
	if err != nil {
		w.unread(place{path: name}, Unreadable, "git cannot read it: "+bareError(err).Error())
		return
	}
	f.Close()
}

// pointer follows what the .git of a work tree or submodule says, whose repository is elsewhere.
func (w *worker) pointer(at place, target string) {
	// A submodule's data is in the folder that is named, and that of a work tree two above,
	// which has it in worktrees/NAME.
	if dir, ok := w.inside(path.Dir(at.path), target); ok {
		if path.Base(path.Dir(dir)) == "worktrees" {
			dir = path.Dir(path.Dir(dir))
		}
		if w.repository(dir) && w.isFolder(path.Join(dir, "objects")) {
			return
		}
	}
	w.unread(at, Elsewhere, "its repository is not known to be among these files: look through "+target+" as well")
}
