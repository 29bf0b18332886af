package tlscheck

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/disk"
)

// Installed says what [FileSet.Install] did.
type Installed struct {
	Written []string       // the files of the new set
	Kept    []string       // where the files of the old set are now
	Report  connsec.Report // the judgement of the new set, after waivers
}

// pfxEncoder writes what OpenSSL 1.1.1, Java 12 and Windows Server 2019 and later can read:
// AES-256 under PBKDF2 with SHA-256, and a MAC with SHA-256. PBMAC1 (RFC 9579) would be
// stronger on paper, but Windows is not known to read it. Three derivations of pfxIterations stay
// below the 600 000 that .NET accepts in all.
var pfxEncoder = pkcs12.Modern2023.WithIterations(pfxIterations)

const pfxIterations = 50_000

// Install replaces the files of the set by those for a new certificate: KEY (PKCS #8 in PEM,
// not encrypted, for its owner only), CER (the chain in PEM) and PFX (key and chain under
// Password). Paths that are empty are not written. A root at the end of the chain is left
// out, since servers need not send it.
//
// Before anything is written, the new set is judged as [FileSet.Observe] and Judge would
// judge it on the disk. A finding of [connsec.High] or above that Waivers does not cover stops
// the installation, except that nobody needs to trust the root on this machine. So the chain
// must be complete, current, with the name in it, the key its own, and the PFX password not a
// common one.
//
// All files are written beside the old ones, synced, and renamed over them; the old ones are
// kept under their name with a time added. If a step fails, what was done is undone and the
// old set is in place; the error says so if even that failed. The three renames are not one
// atomic step: a service that starts just between them can see a mixed set, and a machine that
// loses its power there is left with one. [RuleFilesKeyMismatch] and [RuleFilesDiffer] find that;
// nothing is lost, since the whole old set is beside it under the added time, and the rest of the
// new one under names that begin with a dot, which can be removed. The new files get
// owner and group of those that they replace (on Windows: the inherited access list of the
// directory), but the mode is always 0600 for files with a key: a service that read the old
// key by way of its group has to own the new one. Nothing restarts the service.
func (s FileSet) Install(ctx context.Context, chain []*x509.Certificate, key crypto.Signer) (Installed, error) {
	return s.install(ctx, osDisk{}, chain, key)
}

func (s FileSet) install(ctx context.Context, d fileSystem, chain []*x509.Certificate, key crypto.Signer) (Installed, error) {
	files, err := s.compose(chain, key)
	if err != nil {
		return Installed{}, err
	}
	report, err := s.judgeNew(ctx, files)
	if err != nil {
		return Installed{Report: report}, err
	}
	if err := ctx.Err(); err != nil {
		return Installed{Report: report}, fmt.Errorf("tlscheck: nothing was installed: %w", err)
	}
	kept, err := replaceAll(d, files, s.now())
	if err != nil {
		return Installed{Report: report}, err
	}
	done := Installed{Kept: kept, Report: report}
	for _, f := range files {
		done.Written = append(done.Written, f.path)
	}
	return done, nil
}

// newFile is a file to be written.
type newFile struct {
	path string
	data []byte
	mode fs.FileMode
}

// compose makes the contents. The key comes first and the PFX last, so that in a mixed set
// each certificate file has a chance to find its key.
func (s FileSet) compose(chain []*x509.Certificate, key crypto.Signer) ([]newFile, error) {
	switch {
	case len(s.paths()) == 0:
		return nil, errors.New("tlscheck: the set names no file to install")
	case s.PFX != "" && (s.PFX == s.CER || s.PFX == s.KEY), s.CER != "" && s.CER == s.KEY:
		return nil, errors.New("tlscheck: two files of the set have the same path")
	case len(chain) == 0 || key == nil:
		return nil, errors.New("tlscheck: installing takes a certificate chain and its private key")
	}
	for i := 1; i < len(chain); i++ {
		if err := chain[i-1].CheckSignatureFrom(chain[i]); err != nil {
			return nil, fmt.Errorf("tlscheck: certificate %d of the chain is not the issuer of the one before; the order is leaf, intermediates", i+1)
		}
	}
	if last := len(chain) - 1; last > 0 && signedByItself(chain[last]) {
		chain = chain[:last]
	}
	var files []newFile
	if s.KEY != "" {
		text, err := keyPEM(key)
		if err != nil {
			return nil, err
		}
		files = append(files, newFile{s.KEY, text, 0o600})
	}
	if s.CER != "" {
		var text bytes.Buffer
		for _, c := range chain {
			if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
				return nil, err
			}
		}
		files = append(files, newFile{s.CER, text.Bytes(), 0o644})
	}
	if s.PFX != "" {
		data, err := pfxEncoder.Encode(key, chain[0], chain[1:], s.Password.Reveal())
		if err != nil {
			return nil, errors.New("tlscheck: the PFX cannot be made: the kind of key, or a character of the password, does not fit into one")
		}
		files = append(files, newFile{s.PFX, data, 0o600})
	}
	return files, nil
}

// judgeNew judges what is about to be written.
func (s FileSet) judgeNew(ctx context.Context, files []newFile) (connsec.Report, error) {
	o := FilesObservation{Subject: s.subject(), At: s.now()}
	for _, n := range files {
		f := &File{Path: n.path, Exposure: Exposure{Known: true, Mode: n.mode.String()}}
		switch n.path {
		case s.PFX:
			o.PFX = f
			s.readPFX(ctx, f, n.data)
		case s.CER:
			o.CER = f
			s.readCER(ctx, f, n.data)
		default:
			o.KEY = f
			s.readKEY(ctx, f, n.data)
		}
	}
	s.buildChains(&o)
	report, _ := o.Judge().Waive(s.Waivers, o.At)
	stopping := report
	stopping.Findings = nil
	for _, f := range report.Findings {
		if f.Rule != RuleUntrusted { // the clients' roots are not those of this machine
			stopping.Findings = append(stopping.Findings, f)
		}
	}
	return report, stopping.Err(connsec.High)
}

// fileSystem is what installing needs of the file system, so that tests can make each step fail.
type fileSystem interface {
	// writeNew makes a new file beside path, with the data synced and the owner of path if
	// that exists, and returns its name. If it fails there is no such file.
	writeNew(path string, data []byte, mode fs.FileMode) (string, error)
	exists(path string) (bool, error)
	link(old, new string) error   // must not replace
	rename(old, new string) error // replaces
	remove(path string) error
	syncDir(dir string) error
}

// replaceAll puts the files into place, all or none, and returns where the old ones are kept.
func replaceAll(d fileSystem, files []newFile, now time.Time) (kept []string, err error) {
	var undo []func() error // in the order of doing
	defer func() {
		if err == nil {
			return
		}
		err = fmt.Errorf("tlscheck: the installation failed, and the old files are in place: %s", oneLine(err.Error()))
		var failed error
		for i := len(undo) - 1; i >= 0; i-- {
			failed = errors.Join(failed, undo[i]())
		}
		if failed != nil {
			err = fmt.Errorf("tlscheck: the installation failed and could not be undone (%s); restore the files that end in %s: %w",
				oneLine(failed.Error()), keptSuffix(now), err)
		}
		kept = nil
	}()
	written := make([]string, len(files))
	for i, f := range files {
		if written[i], err = d.writeNew(f.path, f.data, f.mode); err != nil {
			return nil, err
		}
		name := written[i]
		undo = append(undo, func() error {
			if there, err := d.exists(name); err != nil || !there { // it was renamed into place
				return err
			}
			return d.remove(name)
		})
	}
	old := make([]string, len(files)) // where the old file is kept; empty: there was none
	for i, f := range files {
		there, err := d.exists(f.path)
		if err != nil {
			return nil, err
		}
		if !there {
			continue
		}
		name, err := keep(d, f.path, now)
		if err != nil {
			return nil, err
		}
		old[i] = name
		kept = append(kept, name)
		undo = append(undo, func() error {
			if there, err := d.exists(name); err != nil || !there { // it was renamed back
				return err
			}
			return d.remove(name)
		})
	}
	// From here on the old set has to be there whenever the machine stops.
	if len(kept) > 0 {
		for _, dir := range directories(files) {
			if err := d.syncDir(dir); err != nil {
				return nil, err
			}
		}
	}
	for i, f := range files {
		if err := d.rename(written[i], f.path); err != nil {
			return nil, err
		}
		undo = append(undo, func() error {
			if old[i] != "" {
				return d.rename(old[i], f.path)
			}
			return d.remove(f.path)
		})
	}
	for _, dir := range directories(files) {
		if err := d.syncDir(dir); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

func keptSuffix(now time.Time) string { return ".old-" + now.UTC().Format("20060102T150405Z") }

// keep gives the file a second name. The first one stays: at no time is there no file.
func keep(d fileSystem, path string, now time.Time) (string, error) {
	name := path + keptSuffix(now)
	for n := 2; ; n++ {
		err := d.link(path, name)
		if err == nil || !errors.Is(err, fs.ErrExist) || n > 9 {
			return name, err
		}
		name = fmt.Sprintf("%s%s-%d", path, keptSuffix(now), n)
	}
}

func directories(files []newFile) []string {
	var out []string
next:
	for _, f := range files {
		dir := filepath.Dir(f.path)
		for _, seen := range out {
			if seen == dir {
				continue next
			}
		}
		out = append(out, dir)
	}
	return out
}

// osDisk is the real file system.
type osDisk struct{}

func (osDisk) exists(path string) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a regular file, and is not replaced", path)
	}
	return true, nil
}

func (osDisk) rename(old, new string) error { return os.Rename(old, new) }
func (osDisk) remove(path string) error     { return os.Remove(path) }
func (osDisk) syncDir(dir string) error     { return disk.SyncDir(dir) }

// link falls back to a copy on file systems without hard links.
func (d osDisk) link(old, new string) error {
	err := os.Link(old, new)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.copy(old, new)
}

func (d osDisk) copy(old, new string) error {
	info, err := os.Stat(old)
	if err != nil {
		return err
	}
	data, problem := readBounded(old)
	if problem.Kind != "" {
		return fmt.Errorf("%s: %s", old, problem.Text)
	}
	f, err := os.OpenFile(new, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return disk.Fill(f, old, info.Mode().Perm(), content(data))
}

func (osDisk) writeNew(path string, data []byte, mode fs.FileMode) (string, error) {
	f, err := disk.Beside(path)
	if err != nil {
		return "", err
	}
	return f.Name(), disk.Fill(f, path, mode, content(data))
}

// content writes data.
func content(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}
