package circlehttps

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/connsec/connsec"
)

// Site is the folder of one Circle site.
type Site struct {
	// FS holds the files; os.DirFS makes one of a folder.
	FS fs.FS
	// Name is shown as the target of reports. Default "site".
	Name string
	// MaxFile is the largest file that is read, in bytes, and also bounds the bytes of all
	// files held at one time. Default 256 MiB. A larger file is reported and left unread.
	MaxFile int64
	// Workers is the number of files read side by side. Default: one per processor.
	Workers int
	// Progress, when set, is called after each file, by one goroutine at a time.
	Progress func(files int, bytes int64)
	// Now is the clock for the report. Default time.Now.
	Now func() time.Time
}

const defaultMaxFile = 256 << 20

// Scan is what a site folder holds. Lists are in the order of files and places.
type Scan struct {
	Site     string        `json:"site"`
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`
	Files    int           `json:"files"` // that were read
	Bytes    int64         `json:"bytes"`
	Skipped  int           `json:"skipped"` // other files: images, archives, documents

	// Unread are the files that should have been read.
	Unread []Unread `json:"unread,omitempty"`
	Links  []Link   `json:"links,omitempty"`
	// Configs and Customs are files that define, or should define, xmpcfg and xmpcustom.
	Configs   []ConfigFact `json:"configs,omitempty"`
	Customs   []CustomFact `json:"customs,omitempty"`
	Pages     []Page       `json:"pages,omitempty"`
	Libraries []Library    `json:"libraries,omitempty"`
	// KeyPrefixes are addresses that carry the recipient key before the domain.
	KeyPrefixes []connsec.Position `json:"key_prefixes,omitempty"`
	// Overrides are assignments to the address in xmpcfg, after which the file does not tell.
	Overrides []connsec.Position `json:"overrides,omitempty"`
	// Unjudged are JSX files with XMPL forms, whose structure is not analysed.
	Unjudged []connsec.Position `json:"unjudged,omitempty"`

	names   map[string]bool // the files of the site
	guarded map[string]bool // those that a page loads with an integrity hash
}

// Unread is a file that could not be read, or not to its end.
type Unread struct {
	File    string `json:"file"`
	Problem string `json:"problem"`
}

// ConfigFact is one file with xmpcfg.
type ConfigFact struct {
	File        string             `json:"file"`
	Inline      bool               `json:"inline,omitempty"` // in a page or another script
	Definitions []Definition       `json:"definitions,omitempty"`
	Commented   []connsec.Position `json:"commented,omitempty"`
	// Problem says why there is no definition, and Source where.
	Problem string           `json:"problem,omitempty"`
	Source  connsec.Position `json:"source,omitzero"`
}

// CustomFact is one file with xmpcustom.
type CustomFact struct {
	File    string           `json:"file"`
	Customs []Custom         `json:"customs,omitempty"`
	Problem string           `json:"problem,omitempty"`
	Source  connsec.Position `json:"source,omitzero"`
	// Target is the page of the site that the last login address names, if it is there;
	// TargetSignIn tells whether that page has a sign-in form.
	Target       string `json:"target,omitempty"`
	TargetSignIn bool   `json:"target_sign_in,omitempty"`
}

// reader is how a file is read.
type reader uint8

const (
	notRead reader = iota
	asHTML
	asSVG
	asXML
	asCSS
	asSCSS
	asJS
	asJSX
	asJSON
	asManifest
	asRobots
	asMaybeHTML // a name without extension: a page if it begins with a tag
)

var readers = map[string]reader{
	".html": asHTML, ".htm": asHTML, ".xhtml": asHTML, ".xht": asHTML, ".shtml": asHTML, ".php": asHTML, ".asp": asHTML, ".aspx": asHTML, ".ascx": asHTML, ".master": asHTML,
	".cshtml": asHTML, ".jsp": asHTML, ".hbs": asHTML, ".ejs": asHTML, ".mustache": asHTML, ".tpl": asHTML, ".tmpl": asHTML, ".vue": asHTML, ".svelte": asHTML,
	".svg": asSVG, ".xml": asXML, ".rss": asXML, ".atom": asXML, ".config": asXML, ".xsl": asXML, ".xslt": asXML,
	".css": asCSS, ".scss": asSCSS, ".less": asSCSS,
	".js": asJS, ".mjs": asJS, ".cjs": asJS, ".jsx": asJSX, ".ts": asJSX, ".tsx": asJSX,
	".json": asJSON, ".jsonld": asJSON, ".geojson": asJSON, ".webmanifest": asManifest,
}

func readerOf(name string) reader {
	switch base := strings.ToLower(path.Base(name)); base {
	case "robots.txt":
		return asRobots
	case "manifest.json", "site.webmanifest":
		return asManifest
	default:
		if path.Ext(base) == "" {
			return asMaybeHTML
		}
		return readers[path.Ext(base)]
	}
}

// runByServer are pages with code that the web server runs.
var runByServer = []string{".php", ".asp", ".aspx", ".ascx", ".master", ".jsp", ".ejs"}

// packageManifests are for build tools: their addresses say where a package comes from.
var packageManifests = []string{"package.json", "package-lock.json", "bower.json", "composer.json", "composer.lock"}

var leftOut = []string{".git", ".hg", ".svn", "node_modules"}

// file is one file to be read, and then what was found in it.
type file struct {
	name    string
	how     reader
	size    int64
	problem string
	c       *collector
	page    *Page
	library *Library
	config  *ConfigFact
	custom  *CustomFact
	jsx     bool

	prefixes, overrides []connsec.Position
}

// Scan reads the folder. The error is about the folder as a whole or the context; a file that
// cannot be read is a fact, see [Scan.Unread].
func (s Site) Scan(ctx context.Context) (Scan, error) {
	now := s.Now
	if now == nil {
		now = time.Now
	}
	begin := now()
	files, scan, err := s.list(ctx)
	if err != nil {
		return Scan{}, err
	}
	scan.At = begin
	if scan.Site = s.Name; scan.Site == "" {
		scan.Site = "site"
	}
	if err := s.readAll(ctx, files); err != nil {
		return Scan{}, err
	}
	for i := range files {
		scan.add(&files[i])
	}
	scan.relate()
	scan.Duration = now().Sub(begin)
	return scan, nil
}

// Check scans the site and judges it. The error is about the folder, the context or the
// project's fields; see [Site.Scan].
func (s Site) Check(ctx context.Context, p Project) (connsec.Report, error) {
	if err := p.problem(); err != nil {
		return connsec.Report{}, err
	}
	scan, err := s.Scan(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	return scan.Judge(p), nil
}

// list finds the files to read, in lexical order.
func (s Site) list(ctx context.Context) ([]file, Scan, error) {
	var files []file
	scan := Scan{names: map[string]bool{}}
	if s.FS == nil {
		return nil, scan, errors.New("circlehttps: the site has no files: set FS")
	}
	err := fs.WalkDir(s.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if name == "." {
				return fmt.Errorf("circlehttps: cannot read the site folder: %w", bare(err))
			}
			files = append(files, file{name: name, problem: "the folder cannot be read: " + bare(err).Error()})
			return fs.SkipDir
		}
		if d.IsDir() {
			if slices.Contains(leftOut, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		f := file{name: name, how: readerOf(name)}
		info, err := d.Info()
		if d.Type()&fs.ModeSymlink != 0 {
			if info, err = fs.Stat(s.FS, name); err == nil && info.IsDir() {
				f.problem = "it is a link to a folder, which is not followed"
			} else if err != nil {
				f.problem = "it is a link that leads nowhere"
			}
			if f.problem != "" {
				files = append(files, f)
				return nil
			}
		}
		if ext := strings.ToLower(path.Ext(name)); ext == ".svgz" || slices.Contains([]string{".gz", ".br", ".zst"}, ext) && readers[strings.ToLower(path.Ext(strings.TrimSuffix(name, path.Ext(name))))] != notRead {
			f.problem = "it is a compressed copy, which is not read; make it anew from the file that was checked"
			files = append(files, f)
			return nil
		}
		if f.how == notRead {
			scan.Skipped++
			scan.names[name] = true
			return nil
		}
		switch {
		case err != nil:
			f.problem = "it cannot be read: " + bare(err).Error()
		case !info.Mode().IsRegular():
			f.problem = "it is not a regular file"
		default:
			f.size = info.Size()
			scan.names[name] = true
		}
		files = append(files, f)
		return nil
	})
	return files, scan, err
}

// bare drops the path from an error, which the finding names already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (s Site) maxFile() int64 {
	if s.MaxFile > 0 {
		return s.MaxFile
	}
	return defaultMaxFile
}

// readAll reads the files side by side and fills them in.
func (s Site) readAll(ctx context.Context, files []file) error {
	workers := s.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	held := semaphore.NewWeighted(s.maxFile())
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		done    int
		bytesIn int64
	)
	work := make(chan *file)
	for range workers {
		wg.Go(func() {
			var buf []byte // one worker's files are read into the same memory, unless they are large
			for f := range work {
				weight := min(max(f.size, 1), s.maxFile())
				if held.Acquire(ctx, weight) == nil {
					buf = s.read(f, buf)
					held.Release(weight)
				}
				if s.Progress != nil {
					mu.Lock()
					done++
					bytesIn += f.size
					s.Progress(done, bytesIn)
					mu.Unlock()
				}
			}
		})
	}
	// Reading an old site stops when the context ends; what was read is dropped then.
	for i := range files {
		if ctx.Err() != nil {
			break
		}
		work <- &files[i]
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

// maxBuffer is how large a buffer is kept for the next file.
const maxBuffer = 4 << 20

// read reads one file, into buf if that is large enough, and returns a buffer for the next.
func (s Site) read(f *file, buf []byte) []byte {
	if f.problem != "" {
		return buf
	}
	src, err := s.load(f, buf)
	if err != nil {
		f.problem = err.Error()
		return buf
	}
	f.understand(src, nil)
	if cap(src) > cap(buf) && cap(src) <= maxBuffer {
		return src
	}
	return buf
}

// understand reads the text of the file, which it may write into and behind. refs, when set,
// receives the addresses of what the page loads and links to. A defect in a lexer costs the
// file, not the program.
func (f *file) understand(src []byte, refs *[]string) {
	defer func() {
		if recover() != nil {
			f.problem = "it could not be understood; please report this as a defect"
			f.c, f.page, f.config, f.custom, f.library = nil, nil, nil, nil, nil
		}
	}()
	f.c = &collector{lines: newLines(f.name, src), refs: refs}
	if f.how == asMaybeHTML {
		if f.how = asHTML; unreadableText(src) != "" || !bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))), []byte("<")) {
			f.how = notRead
			return
		}
	}
	if f.problem = unreadableText(src); f.problem != "" {
		f.c = nil
		return
	}
	f.scan(src)
	// Keep the facts and let go of the text.
	for _, off := range f.c.keyPrefixes {
		f.prefixes = append(f.prefixes, f.c.lines.position(off))
	}
	for _, off := range f.c.overridden {
		f.overrides = append(f.overrides, f.c.lines.position(off))
	}
	f.c.lines = nil
	for i := range f.c.configs {
		d := &f.c.configs[i]
		d.URL.m, d.ProjectID.m, d.ProjectName.m = mapped{}, mapped{}, mapped{}
	}
	for i := range f.c.customs {
		f.c.customs[i].LoginURL.m = mapped{}
	}
}

var errTooLarge = errors.New("it is larger than the limit for one file")

// load reads a whole file into memory with one byte to spare, which the lexers need.
func (s Site) load(f *file, buf []byte) ([]byte, error) {
	if f.size > s.maxFile() {
		return nil, fmt.Errorf("%w: %d of at most %d bytes", errTooLarge, f.size, s.maxFile())
	}
	in, err := s.FS.Open(f.name)
	if err != nil {
		return nil, fmt.Errorf("it cannot be opened: %w", bare(err))
	}
	defer in.Close()
	if int64(cap(buf)) > f.size {
		buf = buf[:f.size+1]
	} else {
		buf = make([]byte, f.size+1, max(f.size+1, 64<<10))
	}
	n, err := io.ReadFull(in, buf)
	switch {
	case err == nil:
		return nil, errors.New("it grew while it was read")
	case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("it cannot be read: %w", bare(err))
	}
	return buf[:n], nil
}

// unreadableText says why bytes are not a text that the lexers can read, or "".
func unreadableText(src []byte) string {
	head := src[:min(len(src), 1024)]
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return "it is UTF-16; save it as UTF-8 to have it read"
	case bytes.IndexByte(head, 0) < 0:
		return ""
	case len(head) > 8 && bytes.Count(head, []byte{0})*5 > len(head)*2:
		return "it looks like UTF-16; save it as UTF-8 to have it read"
	}
	return "it looks like a binary file"
}

// scan reads the text of one file. It may write into src and behind it.
func (f *file) scan(src []byte) {
	m := mapped{text: src}
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) { // a byte order mark
		m = mapped{src[3:], span{base: 3}}
	}
	c := f.c
	base := strings.ToLower(path.Base(f.name))
	switch f.how {
	case asHTML:
		if slices.Contains(runByServer, path.Ext(base)) {
			c.readServerCode(m)
		}
		c.readMarkup(m, htmlMarkup)
		p := c.finishPage(f.name)
		f.page = &p
	case asSVG:
		c.readMarkup(m, svgMarkup)
	case asXML:
		c.readMarkup(m, xmlMarkup)
	case asCSS, asSCSS:
		c.readStyle(m, "css", f.how == asSCSS)
	case asJS, asJSX:
		f.scanScript(m, base)
	case asJSON:
		if !slices.Contains(packageManifests, base) {
			c.readJSON(m, UnknownUse, "json")
		}
		if base == "package.json" && (bytes.Contains(src, []byte(`"xmpl-react"`)) || bytes.Contains(src, []byte(`"@xmpie/xmpl-core"`))) {
			f.library = &Library{Source: connsec.Position{File: f.name}, Generation: 5, Loaded: true}
		}
	case asManifest:
		c.readManifest(m)
	case asRobots:
		c.readLines(m, "robots.txt")
	}
	slices.SortStableFunc(c.links, func(a, b Link) int { return cmp.Compare(a.off, b.off) })
	c.links = oncePerPlace(c.links)
	for i := range c.links {
		c.links[i].Source = c.lines.position(c.links[i].off)
	}
	if len(c.configs) > 0 || len(c.commented) > 0 || f.config != nil {
		if f.config == nil {
			f.config = &ConfigFact{File: f.name, Inline: base != "xmpcfg.js"}
		}
		f.config.Definitions, f.config.Commented = c.configs, c.commented
	}
	if len(c.customs) > 0 || f.custom != nil {
		if f.custom == nil {
			f.custom = &CustomFact{File: f.name}
		}
		f.custom.Customs = c.customs
	}
}

// oncePerPlace joins what was read twice, as server code and as markup; links are in order. The
// reading that leaves the host open wins, since it saw that more follows, then one whose use is known.
func oncePerPlace(links []Link) []Link {
	out := links[:0]
	for _, l := range links {
		n := len(out) - 1
		switch {
		case n < 0 || out[n].off != l.off:
			out = append(out, l)
		case out[n].Host != "" && (l.Host == "" || out[n].Kind == UnknownUse):
			out[n] = l
		}
	}
	return out
}

func (f *file) scanScript(m mapped, base string) {
	if g, _ := libraryAddress(f.name); g != 0 {
		f.library = &Library{Source: connsec.Position{File: f.name}, Generation: g, Version: libraryVersion(m.text)}
	}
	switch base {
	case "xmpcfg.js":
		f.config = &ConfigFact{File: f.name}
	case "xmpcustom.js":
		f.custom = &CustomFact{File: f.name}
	}
	ext := path.Ext(base)
	f.c.jsx = ext == ".jsx" || ext == ".tsx" || ext == ".js" && importsReact.Match(m.text[:min(len(m.text), 4096)])
	f.c.readScript(m, "js", 0, 0)
	f.jsx = f.c.jsx && (bytes.Contains(m.text, []byte("xmp-signin")) || bytes.Contains(m.text, []byte("xmp-register")) || bytes.Contains(m.text, []byte("xmp-refer")))
	// A file with the name that is of no use says why.
	why := func(word string) (string, connsec.Position) {
		var perr *ParseError
		if _, err := parseScript(f.name, f.c.lines.src, word); errors.As(err, &perr) {
			return perr.Problem, perr.Source
		}
		return "", connsec.Position{}
	}
	if f.config != nil {
		if f.config.Problem, f.config.Source = why("xmpcfg"); f.config.Problem != "" {
			f.c.configs = nil
		}
	}
	if f.custom != nil {
		if f.custom.Problem, f.custom.Source = why("xmpcustom"); f.custom.Problem != "" {
			f.c.customs = nil
		}
	}
}

var importsReact = regexp.MustCompile(`(?m)^\s*import\b[^;\n]*["'](?:react|react-dom|xmpl-react|preact)["']`)

// add takes over what was found in one file.
func (s *Scan) add(f *file) {
	if f.problem != "" {
		s.Unread = append(s.Unread, Unread{f.name, f.problem})
		return
	}
	if f.how == notRead {
		s.Skipped++
		return
	}
	s.Files++
	s.Bytes += f.size
	if f.c.unfinished != "" {
		s.Unread = append(s.Unread, Unread{f.name, "it was not read to its end: " + f.c.unfinished})
	}
	s.Links = append(s.Links, f.c.links...)
	if f.config != nil {
		s.Configs = append(s.Configs, *f.config)
	}
	if f.custom != nil {
		s.Customs = append(s.Customs, *f.custom)
	}
	if f.page != nil {
		s.Pages = append(s.Pages, *f.page)
	}
	if f.library != nil {
		s.Libraries = append(s.Libraries, *f.library)
	}
	s.KeyPrefixes = append(s.KeyPrefixes, f.prefixes...)
	s.Overrides = append(s.Overrides, f.overrides...)
	if f.jsx {
		s.Unjudged = append(s.Unjudged, connsec.Position{File: f.name})
	}
	f.c = nil
}

func (s *Scan) has(name string) bool { return s.names[name] }

// relate fills in what only several files together tell.
func (s *Scan) relate() {
	for i := range s.Pages {
		p := &s.Pages[i]
		for j := range p.Scripts {
			if sc := &p.Scripts[j]; sc.Role != "library" {
				_, ok := resolve(p.File, sc.Src, s.has)
				relative := sc.Src != "" && !strings.HasPrefix(sc.Src, "/") && !strings.Contains(sc.Src, ":")
				sc.Missing = relative && !ok && !p.Fragment && !p.hasBase
			}
		}
	}
	s.relateLibraries()
	s.guarded = map[string]bool{}
	for _, p := range s.Pages {
		for _, src := range p.integrity {
			// An absolute address may mean a file of the site. If not, a file too many is left alone.
			if _, authority, ok := splitURL(src); ok {
				_, rest, _ := strings.Cut(src, "://")
				src = strings.TrimPrefix(rest, authority)
			}
			if name, ok := resolve(p.File, src, s.has); ok {
				s.guarded[name] = true
			}
		}
	}
	for i := range s.Customs {
		c := &s.Customs[i]
		if n := len(c.Customs); n > 0 && c.Customs[n-1].LoginURL.Stated() {
			s.loginTarget(c, c.Customs[n-1].LoginURL.Text)
		}
	}
}

// relateLibraries tells which copies of the library pages load, and adds those from elsewhere.
func (s *Scan) relateLibraries() {
	library := map[string]int{}
	for i, l := range s.Libraries {
		library[l.Source.File] = i
	}
	for i := range s.Pages {
		p := &s.Pages[i]
		for j := range p.Scripts {
			sc := &p.Scripts[j]
			if sc.Role != "library" {
				continue
			}
			if name, ok := resolve(p.File, sc.Src, s.has); ok {
				if k, ok := library[name]; ok {
					s.Libraries[k].Loaded = true
					if sc.Version == "" {
						sc.Version = s.Libraries[k].Version
					}
					continue
				}
			}
			s.Libraries = append(s.Libraries, Library{sc.Source, sc.Generation, sc.Version, true})
		}
	}
}

// loginTarget finds the page that a login address means. The client puts the address into
// location.href, so a relative one counts from the page that is left; the pages stand beside
// xmpcustom.js as a rule. Of an absolute one, the path is looked for.
func (s *Scan) loginTarget(c *CustomFact, login string) {
	if _, authority, ok := splitURL(login); ok {
		_, rest, _ := strings.Cut(login, "://")
		login = strings.TrimPrefix(rest, authority)
	}
	target, ok := resolve(c.File, login, s.has)
	if !ok {
		return
	}
	c.Target = target
	for _, p := range s.Pages {
		if p.File == target {
			c.TargetSignIn = slices.ContainsFunc(p.Forms, func(f Form) bool { return f.Directive == "xmp-signin" })
		}
	}
}
