package circlehttps

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/disk"
)

// FixOptions say what else is known to be right.
type FixOptions struct {
	// Hosts offer the same over HTTPS as over HTTP. The host of xmpcfg need not be named:
	// the project's Use HTTPS says it.
	Hosts []string
	// Verify, when set, is asked about every other host; nil means that it has just been
	// reached over HTTPS with a valid certificate. [VerifyHTTPS] makes such a function. It is
	// called for at most 200 hosts, four at a time.
	Verify func(ctx context.Context, host string) error
}

const (
	maxVerify  = 200
	verifyEach = 4
)

// Changes is what [Site.Fix] would change. Nothing is changed until [Changes.Apply].
type Changes struct {
	Files []FileChange `json:"files"`
	// Left are places that stay as they are, with the reason.
	Left []Leftover `json:"left,omitempty"`

	site Site
}

// FileChange is what changes in one file.
type FileChange struct {
	File   string             `json:"file"`
	Places []connsec.Position `json:"places"`

	edits []edit
	sum   [sha256.Size]byte // of the text that the edits are for
}

// Leftover is a place that says HTTP and is not changed.
type Leftover struct {
	Source connsec.Position `json:"source"`
	URL    string           `json:"url"`
	Reason string           `json:"reason"`
}

// Fix finds what can be rewritten from http to https with proof that it is right: the address
// in xmpcfg, and addresses on its host, on the hosts that the options list, and on those that
// Verify reaches. Addresses that are computed when the page runs, that name another port than
// 80, or that a hash in the page covers stay as they are, and so do comments and text, and what
// may be a name rather than an address unless its host is xmpcfg's or listed. Fixing a fixed site
// changes nothing.
//
// A project without HTTPS is refused: the way back is [SetScheme], or the originals that
// [Changes.Apply] kept.
func (s Site) Fix(ctx context.Context, p Project, o FixOptions) (Changes, error) {
	if err := p.problem(); err != nil {
		return Changes{}, err
	}
	if !p.https() {
		return Changes{}, errors.New("circlehttps: the project does not use HTTPS, so there is nothing to rewrite; to go back, put back the originals or set the scheme of xmpcfg.js")
	}
	scan, err := s.Scan(ctx)
	if err != nil {
		return Changes{}, err
	}
	known, err := scan.knownHosts(ctx, o)
	if err != nil {
		return Changes{}, err
	}
	c := Changes{site: s}
	files := map[string]*FileChange{}
	change := func(at connsec.Position, edits []edit) {
		f := files[at.File]
		if f == nil {
			f = &FileChange{File: at.File}
			files[at.File] = f
		}
		f.Places = append(f.Places, at)
		f.edits = append(f.edits, edits...)
	}
	leave := func(at connsec.Position, url, reason string) {
		c.Left = append(c.Left, Leftover{at, shown([]byte(url)), reason})
	}
	for _, a := range scan.addresses() {
		switch reason := a.reason(known, scan.guarded[a.at.File]); reason {
		case "":
			change(a.at, a.edits)
		default:
			leave(a.at, a.url, reason)
		}
	}
	for _, f := range files {
		src, err := fs.ReadFile(s.FS, f.File)
		if err != nil {
			return Changes{}, fmt.Errorf("circlehttps: cannot read %s again: %w", f.File, bare(err))
		}
		f.sum = sha256.Sum256(src)
		slices.SortFunc(f.Places, comparePositions)
		c.Files = append(c.Files, *f)
	}
	slices.SortFunc(c.Files, func(a, b FileChange) int { return cmp.Compare(a.File, b.File) })
	slices.SortFunc(c.Left, func(a, b Leftover) int { return comparePositions(a.Source, b.Source) })
	return c, nil
}

func comparePositions(a, b connsec.Position) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// address is one place that says http, with what would change it.
type address struct {
	at        connsec.Position
	url, host string
	edits     []edit
	port      string
	guard     bool
	own       bool // in xmpcfg: its host needs no other proof than that it can have a certificate
	problem   string
	// doubt says why it is not certain that the address is ever fetched. That its host speaks HTTPS
	// then proves nothing: it may be a name, as of a vocabulary.
	doubt string
}

// addresses returns the links and what xmpcfg and xmpcustom say in HTTP.
func (s Scan) addresses() []address {
	var out []address
	for _, l := range s.Links {
		a := address{at: l.Source, url: l.URL, host: l.Host, edits: l.edits, port: l.Port, guard: l.guard}
		switch {
		case l.Where == "xml id" || l.Where == "xml guid":
			a.problem = "it identifies an entry, which readers would take for a new one if it changed" // RFC 4287, 4.2.6
		case l.Kind == UnknownUse:
			a.doubt = "what is done with it cannot be seen, and it may be a name that is compared; name its host to have it changed"
		}
		out = append(out, a)
	}
	for _, c := range s.Configs {
		for _, d := range c.Definitions {
			if scheme, ok := d.Scheme(); ok && scheme == HTTP && len(d.Computed) == 0 {
				out = append(out, address{at: d.URL.Source, url: d.URL.Text, host: d.Host(), edits: d.URL.upgrade, problem: d.URL.problem, own: true, guard: d.URL.guard})
			}
		}
	}
	for _, c := range s.Customs {
		for _, d := range c.Customs {
			if scheme, _, _ := splitURL(d.LoginURL.Text); scheme == "http" && len(d.Computed) == 0 {
				v := d.LoginURL
				out = append(out, address{at: v.Source, url: v.Text, host: hostOf(v.Text), edits: v.upgrade, problem: v.problem, guard: v.guard})
			}
		}
	}
	return out
}

// reason says why an address stays, or "".
func (a address) reason(known map[string]string, guardedFile bool) string {
	switch {
	case a.guard:
		return "the page lists a hash of this script or style, which the change would break"
	case guardedFile:
		return "a page loads this file with an integrity hash, which the change would break"
	case a.problem != "":
		return a.problem
	case a.host == "":
		return "the host is computed when the page runs"
	case a.own:
		if why := unnameable(a.host); why != "" && known[a.host] != proven {
			return "the host is " + why + ", for which there is no certificate"
		}
		return ""
	case a.doubt != "" && known[a.host] == reached:
		return a.doubt
	case known[a.host] != proven && known[a.host] != reached:
		if why := known[a.host]; why != "" {
			return why
		}
		return "it is not known that the host offers the same over HTTPS"
	case len(a.edits) == 0:
		return "the address names port " + clip(a.port) + ", and which port speaks HTTPS is not known"
	}
	return ""
}

// What is known of a host: that it offers the same over HTTPS, by the settings, or that it speaks HTTPS.
const (
	proven  = "proven"
	reached = "reached"
)

// knownHosts returns for each host proven or reached, or why it is neither.
func (s Scan) knownHosts(ctx context.Context, o FixOptions) (map[string]string, error) {
	known := map[string]string{}
	for _, c := range s.Configs {
		for _, d := range c.Definitions {
			if host := d.Host(); host != "" && unnameable(host) == "" {
				known[host] = proven
			}
		}
	}
	for _, h := range o.Hosts {
		host := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(h)), ".")
		if host == "" || strings.ContainsAny(host, "/@") {
			return nil, fmt.Errorf("circlehttps: %q is not a host name", clip(h))
		}
		known[host] = proven
	}
	if o.Verify == nil {
		return known, nil
	}
	var ask []string
	for _, a := range s.addresses() {
		if a.host != "" && known[a.host] == "" && len(a.edits) > 0 {
			ask = append(ask, a.host)
		}
	}
	ask = sortedUnique(ask)
	if len(ask) > maxVerify {
		for _, h := range ask[maxVerify:] {
			known[h] = "more hosts are named than are asked"
		}
		ask = ask[:maxVerify]
	}
	var (
		mu sync.Mutex
		g  errgroup.Group
	)
	g.SetLimit(verifyEach)
	for _, h := range ask {
		g.Go(func() error {
			err := o.Verify(ctx, h)
			mu.Lock()
			defer mu.Unlock()
			if known[h] = reached; err != nil {
				known[h] = "the host was not reached over HTTPS: " + clipAddress(err.Error())
			}
			return nil
		})
	}
	_ = g.Wait()
	return known, context.Cause(ctx)
}

// errChanged: the plan is for a text that is no longer there.
var errChanged = errors.New("the file was changed since it was read; start again")

// texts returns the old and the new text of one file.
func (f FileChange) texts(fsys fs.FS) (before, after []byte, err error) {
	before, err = fs.ReadFile(fsys, f.File)
	if err != nil {
		return nil, nil, fmt.Errorf("circlehttps: %s: %w", f.File, bare(err))
	}
	if sha256.Sum256(before) != f.sum {
		return nil, nil, fmt.Errorf("circlehttps: %s: %w", f.File, errChanged)
	}
	return before, applyEdits(before, f.edits), nil
}

// Diff writes the changes as a unified diff, as patch -p1 takes it.
func (c Changes) Diff(w io.Writer) error {
	for _, f := range c.Files {
		before, after, err := f.texts(c.site.FS)
		if err != nil {
			return err
		}
		if err := unified(w, f.File, before, after); err != nil {
			return err
		}
	}
	return nil
}

const diffContext = 3

// unified writes the difference of two texts with the same number of lines.
func unified(w io.Writer, file string, before, after []byte) error {
	old, changed := bytes.SplitAfter(before, []byte("\n")), bytes.SplitAfter(after, []byte("\n"))
	if n := len(old) - 1; len(old[n]) == 0 && len(changed[n]) == 0 {
		old, changed = old[:n], changed[:n]
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "--- a/%s\n+++ b/%s\n", file, file)
	line := func(sign byte, text []byte) {
		b.WriteByte(sign)
		b.Write(text)
		if !bytes.HasSuffix(text, []byte("\n")) {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
	differs := func(i int) bool { return !bytes.Equal(old[i], changed[i]) }
	for i := 0; i < len(old); i++ {
		if !differs(i) {
			continue
		}
		begin, end, last := max(0, i-diffContext), i+1, i
		for end < len(old) && end <= last+2*diffContext {
			if differs(end) {
				last = end
			}
			end++
		}
		end = min(last+diffContext+1, len(old))
		fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", begin+1, end-begin, begin+1, end-begin)
		for k := begin; k < end; {
			if !differs(k) {
				line(' ', old[k])
				k++
				continue
			}
			from := k
			for k < end && differs(k) {
				line('-', old[k])
				k++
			}
			for n := from; n < k; n++ {
				line('+', changed[n])
			}
		}
		i = end - 1
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Apply makes the changes in dir, the folder that the site's files came from. Each original is
// first copied to the folder keep, which must not lie in dir: what lies in a site is served. A
// file is written beside its old version, synced and then renamed over it, so that at every
// moment one of the two is there. Links are not followed.
//
// The error names the file at which it stopped; what was done before it stays done.
func (c Changes) Apply(dir, keep string) error {
	if len(c.Files) == 0 {
		return nil
	}
	if err := outside(dir, keep); err != nil {
		return err
	}
	if err := os.MkdirAll(keep, 0o700); err != nil {
		return fmt.Errorf("circlehttps: cannot make the folder for the originals: %w", err)
	}
	site, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("circlehttps: %w", err)
	}
	defer site.Close()
	originals, err := os.OpenRoot(keep)
	if err != nil {
		return fmt.Errorf("circlehttps: %w", err)
	}
	defer originals.Close()
	for _, f := range c.Files {
		if err := f.apply(site, originals); err != nil {
			return err
		}
	}
	return nil
}

// outside refuses a folder for originals within the site.
func outside(dir, keep string) error {
	d, err := filepath.EvalSymlinks(dir)
	if err == nil {
		d, err = filepath.Abs(d)
	}
	if err != nil {
		return fmt.Errorf("circlehttps: %w", err)
	}
	k, err := filepath.Abs(keep)
	if err != nil {
		return fmt.Errorf("circlehttps: %w", err)
	}
	// The folder need not exist yet; what exists of its path may be a link.
	rest := ""
	for p := k; ; p = filepath.Dir(p) {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			k = filepath.Join(real, rest)
			break
		}
		rest = filepath.Join(filepath.Base(p), rest)
		if p == filepath.Dir(p) {
			break
		}
	}
	if rel, err := filepath.Rel(d, k); err == nil && (rel == "." || !strings.HasPrefix(rel, "..")) {
		return errors.New("circlehttps: the folder for the originals lies in the site, where it would be served; name one outside")
	}
	return nil
}

func (f FileChange) apply(site, originals *os.Root) error {
	fail := func(err error) error { return fmt.Errorf("circlehttps: %s: %w", f.File, bare(err)) }
	info, err := site.Lstat(f.File)
	if err != nil {
		return fail(err)
	}
	if !info.Mode().IsRegular() {
		return fail(errors.New("it is a link; change the file that it leads to"))
	}
	before, after, err := f.texts(site.FS())
	if err != nil {
		return err
	}
	if err := originals.MkdirAll(path.Dir(f.File), 0o700); err != nil {
		return fail(err)
	}
	if err := writeSynced(originals, f.File, before, 0o600, ""); err != nil {
		return fail(fmt.Errorf("the original could not be kept: %w", bare(err)))
	}
	beside := path.Join(path.Dir(f.File), ".connsec-"+rand.Text()+".tmp")
	err = writeSynced(site, beside, after, info.Mode().Perm(), f.File)
	if errors.Is(err, fs.ErrPermission) && info.Mode().Perm()&0o004 != 0 { // everybody may read it, whoever owns it
		err = writeSynced(site, beside, after, info.Mode().Perm(), "")
	}
	if err != nil {
		return fail(err)
	}
	if err := site.Rename(beside, f.File); err != nil {
		_ = site.Remove(beside)
		return fail(err)
	}
	if err := disk.SyncDir(filepath.Join(site.Name(), path.Dir(f.File))); err != nil {
		return fail(err)
	}
	return nil
}

// writeSynced makes a new file, which must not exist, and returns when it is on the disk. The file
// like, if named, gives it its owner: the web server has to go on being able to read it.
func writeSynced(root *os.Root, name string, data []byte, mode fs.FileMode, like string) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if like == "" {
		like = name
	}
	return disk.Fill(out, filepath.Join(root.Name(), like), mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
