package tlscheck

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

// FileSet names the files from which a server loads its certificate. MyQ products keep three
// in one directory, all with the same certificate: see [OpenDir]. A path that is empty is no
// part of the set; the others may be one and the same file.
type FileSet struct {
	PFX string // PKCS #12 with key and chain, "server.pfx"
	CER string // certificates, leaf first, "server.cer"
	KEY string // private key, "server.key"

	// Password opens the PFX, and the key file if that is encrypted. Without one, the PFX is
	// tried with the passwords that everybody tries first.
	Password connsec.Secret
	// Name is the DNS name that clients use. Empty: names are not judged.
	Name string
	// Subject is what the findings are about. Default: the directory of the files.
	Subject string

	// Live returns the certificate that the running server presents: the method Leaf of its
	// [Endpoint]. Nil: whether the files are the ones in use is not judged.
	Live func(context.Context) (*x509.Certificate, error)
	// Strength estimates how many bits of guessing a password resists, for example by
	// zxcvbn. Nil: judged by length, repetition and well-known words only, so that more
	// passwords remain undecided. The estimator is not built in because its dictionaries
	// would cost every program that imports this package.
	Strength func(password string) (bits float64)

	Roots *x509.CertPool         // trust anchors; nil: the system's
	Known []*x509.Certificate    // CA certificates that are no trust anchors, see [Chain.Known]
	CRLs  []*x509.RevocationList // see [Chain.CRLs]
	AsOf  time.Time              // judge the certificates as of this instant; zero: the time of the observation
	Now   func() time.Time       // nil: time.Now

	// Waivers accept findings that would stop Install.
	Waivers []connsec.Waiver
}

// OpenDir returns the set in a directory: server.pfx, server.cer and server.key, as MyQ
// Central Server (C:\ProgramData\MyQ Central Server\Cert) and MyQ Print Server
// (C:\ProgramData\MyQ\Cert) have them. If none of the three is there, the files of the
// directory are sorted by content as [OpenFiles] does; subdirectories are not searched.
func OpenDir(dir string) (FileSet, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return FileSet{}, fmt.Errorf("tlscheck: %s: the directory cannot be listed: %s", dir, pathless(err))
	}
	set := FileSet{
		PFX: filepath.Join(dir, "server.pfx"), CER: filepath.Join(dir, "server.cer"), KEY: filepath.Join(dir, "server.key"),
		Subject: dir,
	}
	var paths []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if slices.Contains(set.paths(), path) {
			return set, nil
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			paths = append(paths, path)
		}
	}
	if len(paths) > maxFiles {
		return FileSet{}, fmt.Errorf("tlscheck: %s: there are more than %d files, and none has a name that is known; name the files of the set", dir, maxFiles)
	}
	set, err = sortFiles(paths, true)
	if err != nil {
		return FileSet{}, err
	}
	if len(set.paths()) == 0 {
		return FileSet{}, fmt.Errorf("tlscheck: %s: there is no certificate, key or PFX file", dir)
	}
	set.Subject = dir
	return set, nil
}

// OpenFiles makes a set of files by their content, whatever they are called: at most one PFX,
// one key and one certificate for a server. Files with CA certificates go to Known. A file
// that is nothing of the kind takes the place that its extension suggests, so that
// [FileSet.Observe] can say what is wrong with it.
func OpenFiles(paths ...string) (FileSet, error) {
	if len(paths) > maxFiles {
		return FileSet{}, fmt.Errorf("tlscheck: %d files are too many for one set; name those of one certificate", len(paths))
	}
	return sortFiles(paths, false)
}

// maxFiles bounds how many files are read to make one set.
const maxFiles = 64

func sortFiles(paths []string, skipOthers bool) (FileSet, error) {
	var set FileSet
	var leaf *x509.Certificate
	var count int // certificates beside the leaf
	place := func(at *string, path, what string) error {
		if *at != "" {
			return fmt.Errorf("tlscheck: %s and %s both hold a %s; name the files of one certificate at a time", *at, path, what)
		}
		*at = path
		return nil
	}
	for _, path := range paths {
		data, problem := readBounded(path)
		kind := Classify(data)
		if problem.Kind != "" || kind == FileOther || kind == FileRequest || kind == FileCRL || kind == FilePKCS7 {
			if skipOthers {
				continue
			}
			kind = kindByExtension(path)
		}
		var err error
		switch kind {
		case FilePFX:
			err = place(&set.PFX, path, "PFX")
		case FileKey:
			err = place(&set.KEY, path, "private key")
		default:
			certs, _ := readCertificates(data)
			switch {
			case len(certs) > 0 && certs[0].IsCA && !signedByItself(certs[0]), len(certs) > 0 && certs[0].IsCA && len(paths) > 1:
				set.Known = append(set.Known, certs...)
			case leaf != nil && len(certs) > 0 && certs[0].Equal(leaf): // the leaf alone, and with its chain
				if len(certs) > count {
					set.CER, count = path, len(certs)
				}
			default:
				if err = place(&set.CER, path, "certificate"); err == nil && len(certs) > 0 {
					leaf, count = certs[0], len(certs)
				}
			}
		}
		if err != nil {
			return FileSet{}, err
		}
	}
	if set.CER == "" && set.KEY != "" {
		if data, _ := readBounded(set.KEY); data != nil {
			if certs, _ := readCertificates(data); len(certs) > 0 {
				set.CER = set.KEY
			}
		}
	}
	return set, nil
}

func kindByExtension(path string) FileKind {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".pfx", ".p12":
		return FilePFX
	case ".key":
		return FileKey
	}
	return FileCertificates
}

// paths returns those that are set, without duplicates.
func (s FileSet) paths() []string {
	var out []string
	for _, p := range []string{s.PFX, s.CER, s.KEY} {
		if p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func (s FileSet) subject() string {
	if s.Subject != "" || len(s.paths()) == 0 {
		return s.Subject
	}
	if paths := s.paths(); len(paths) == 1 {
		return paths[0]
	}
	return filepath.Dir(s.paths()[0])
}

func (s FileSet) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// FilesObservation is what was found in the files of a set. It holds no key and no password,
// and marshals to JSON.
type FilesObservation struct {
	Subject string    `json:"subject"`
	At      time.Time `json:"at"`
	PFX     *File     `json:"pfx,omitempty"`
	CER     *File     `json:"cer,omitempty"`
	KEY     *File     `json:"key,omitempty"`
	// Served is the leaf that the running server presents, if it was asked.
	Served        Certificates `json:"served,omitempty"`
	ServedProblem string       `json:"served_problem,omitempty"` // why it is not known
	Asked         bool         `json:"asked,omitempty"`
}

// File is what was found in one file.
type File struct {
	Path     string      `json:"path"`
	Problem  FileProblem `json:"problem,omitzero"`
	Exposure Exposure    `json:"exposure,omitzero"`
	// Chain holds the certificates, leaf first, and where they lead.
	Chain *ChainObservation `json:"chain,omitempty"`
	Key   *KeyFacts         `json:"key,omitempty"`
	// How a PFX is protected.
	PFX      *PFXFacts     `json:"pfx,omitempty"`
	Password PasswordFacts `json:"password,omitzero"`
}

// Exposure says who else may read a file.
type Exposure struct {
	Known bool     `json:"known"`          // false: the permissions could not be read
	To    []string `json:"to,omitempty"`   // such as "everybody on this machine"
	Wide  bool     `json:"wide,omitempty"` // To is more than a group that somebody chose
	Mode  string   `json:"mode,omitempty"` // as the system shows it
}

// ExposureOf says who else than its owner may read a file: by its permission bits, or by its
// access control list on Windows. A link is followed. It does not look at the directories above.
func ExposureOf(path string) Exposure { return exposureOf(path) }

// PasswordFacts is what is known of the password of a PFX, in classes that give nothing of it
// away.
type PasswordFacts struct {
	Opened     bool             `json:"opened"`                // with the one given, or one guessed
	GivenWrong bool             `json:"given_wrong,omitempty"` // one was given and does not open the file
	Guess      string           `json:"guess,omitempty"`       // "empty", "well-known" or "derived" from host and product: the kind that opened it
	Tried      int              `json:"tried,omitempty"`       // how many guesses were tried
	Untested   string           `json:"untested,omitempty"`    // why guesses were not, or not all, tried
	Strength   PasswordStrength `json:"strength,omitempty"`    // of the password given
}

// Observe reads the files, and asks Live for the served certificate. Nothing is written, and
// nothing but what Live does goes over the network. An error means that there is nothing to
// read at all, or that ctx ended.
func (s FileSet) Observe(ctx context.Context) (FilesObservation, error) {
	if len(s.paths()) == 0 {
		return FilesObservation{}, errors.New("tlscheck: no certificate file is named")
	}
	o := FilesObservation{Subject: s.subject(), At: s.now()}
	for _, f := range []struct {
		path string
		into **File
		read func(context.Context, *File, []byte)
	}{{s.PFX, &o.PFX, s.readPFX}, {s.CER, &o.CER, s.readCER}, {s.KEY, &o.KEY, s.readKEY}} {
		if err := ctx.Err(); err != nil {
			return FilesObservation{}, fmt.Errorf("tlscheck: %s: %w", o.Subject, err)
		}
		if f.path == "" {
			continue
		}
		file := &File{Path: f.path, Exposure: exposureOf(f.path)}
		*f.into = file
		var data []byte
		if data, file.Problem = readBounded(f.path); file.Problem.Kind == "" {
			f.read(ctx, file, data)
		}
	}
	s.buildChains(&o)
	if s.Live != nil {
		o.Asked = true
		leaf, err := s.Live(ctx)
		switch {
		case err != nil:
			o.ServedProblem = oneLine(err.Error())
		case leaf == nil:
			o.ServedProblem = "the server presents no certificate"
		default:
			o.Served = Certificates{leaf}
		}
	}
	return o, nil
}

// Validate judges the setting: is Name a fully qualified name? Without a name there is
// nothing to judge. It reads no file.
func (s FileSet) Validate() connsec.Report {
	if s.Name == "" {
		return connsec.Report{Target: s.subject()}
	}
	return CheckName(s.Name)
}

// Probe validates, observes and judges.
func (s FileSet) Probe(ctx context.Context) (connsec.Report, error) {
	began := s.now()
	o, err := s.Observe(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := o.Judge()
	r.Findings = append(s.Validate().Findings, r.Findings...)
	r.Duration = s.now().Sub(began)
	return r, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (s FileSet) readCER(_ context.Context, f *File, data []byte) {
	var certs Certificates
	certs, f.Problem = readCertificates(data)
	f.setCerts(certs)
	if Classify(data) == FileKey { // then it has to be kept like a key
		f.Key, _ = readKey(data, s.Password)
	}
}

func (s FileSet) readKEY(_ context.Context, f *File, data []byte) {
	f.Key, f.Problem = readKey(data, s.Password)
}

func (s FileSet) readPFX(ctx context.Context, f *File, data []byte) {
	p, err := parsePFX(data)
	if err != nil {
		f.Problem = problemOfOpening(err)
		if kind := Classify(data); kind != FilePFX {
			f.Problem = wrongKind(data, kind, "PFX")
		}
		return
	}
	f.PFX = &p.facts
	contents, err := s.unlock(ctx, p, &f.Password)
	if err != nil {
		f.Problem = problemOfOpening(err)
		if errors.Is(err, errWrongPassword) && s.Password.IsEmpty() {
			f.Problem = FileProblem{FileLocked, "it has a password, and none was given"}
		}
		return
	}
	if contents.key != nil {
		if f.Key, err = factsOf(contents.key, p.keyAlgorithm()); err != nil {
			f.Problem = problemOfOpening(err)
			return
		}
	}
	f.setCerts(leafFirst(contents.certs, f.Key))
	switch {
	case len(contents.certs) == 0:
		f.Problem = FileProblem{FileUnreadable, "it holds no certificate"}
	case contents.key == nil:
		f.Problem = FileProblem{FileUnreadable, "it holds certificates, but no private key"}
	case f.Password.GivenWrong:
		f.Problem = FileProblem{FileUnreadable, "the password that was given does not open it"}
	}
}

// keyAlgorithm is the encryption around the key: its own, or that of the part it is in.
func (p *pfxFile) keyAlgorithm() string {
	for _, part := range p.facts.Parts {
		if part.Holds == "key" {
			return part.Algorithm
		}
	}
	for _, part := range p.facts.Parts {
		if part.Holds == "encrypted contents" {
			return part.Algorithm
		}
	}
	return ""
}

func (f *File) setCerts(certs Certificates) {
	if len(certs) > 0 {
		f.Chain = &ChainObservation{Certs: certs}
	}
}

// leafFirst puts the certificate of the key to the front: in a PFX the order means nothing,
// and Windows writes the root first.
func leafFirst(certs []*x509.Certificate, key *KeyFacts) Certificates {
	out := slices.Clone(certs)
	i := slices.IndexFunc(out, func(c *x509.Certificate) bool {
		return key != nil && string(c.RawSubjectPublicKeyInfo) == string(key.PublicKey)
	})
	if i < 0 {
		i = slices.IndexFunc(out, func(c *x509.Certificate) bool { return !c.IsCA })
	}
	if i > 0 {
		leaf := out[i]
		out = append([]*x509.Certificate{leaf}, slices.Delete(out, i, i+1)...)
	}
	return out
}

// buildChains finds out where the certificates of each file lead. What the other files hold is
// known, but a server that loads this file does not send it.
func (s FileSet) buildChains(o *FilesObservation) {
	at := s.AsOf
	if at.IsZero() {
		at = o.At
	}
	all := slices.Clone(s.Known)
	for _, f := range []*File{o.PFX, o.CER} {
		if f != nil && f.Chain != nil && len(f.Chain.Certs) > 1 {
			all = append(all, f.Chain.Certs[1:]...)
		}
	}
	for _, f := range []*File{o.PFX, o.CER} {
		if f == nil || f.Chain == nil {
			continue
		}
		chain := Chain{Certs: f.Chain.Certs, Name: s.Name, Subject: f.Path, Roots: s.Roots, Known: all, CRLs: s.CRLs, At: at}.Observe()
		f.Chain = &chain
	}
}
