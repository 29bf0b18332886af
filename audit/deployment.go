package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/catalog"
)

// maxFile bounds a deployment file; a thousand endpoints take some 100 KiB.
const maxFile = 1 << 20

// Deployment is what a deployment file says. Make one with [Load] or [Parse], or fill it in.
type Deployment struct {
	Name  string   `yaml:"name"`  // the report's target; default: the file's name
	CA    []string `yaml:"ca"`    // PEM or DER files with the trust anchors; none: the system's
	CRL   []string `yaml:"crl"`   // revocation lists, files or URLs
	AsOf  Date     `yaml:"as_of"` // judge certificates as of this day; default: now
	HTTPS []HTTPS  `yaml:"https"` // web servers that must speak TLS
	HTTP  []HTTP   `yaml:"http"`  // ports that should not answer without

	LDAP   []LDAP   `yaml:"ldap"`   // directories
	SQL    []SQL    `yaml:"sql"`    // SQL Servers
	SMTP   []SMTP   `yaml:"smtp"`   // mail servers
	RADIUS []RADIUS `yaml:"radius"` // RADIUS servers, and lists of their clients
	API    []API    `yaml:"api"`    // clients of REST APIs

	Certificates []Certificates `yaml:"certificates"` // certificate files
	SecURL       []SecURL       `yaml:"securl"`       // personalized sites and their passwords
	Circle       []Circle       `yaml:"circle"`       // sites of XMPie Circle
	Firewall     []Firewall     `yaml:"firewall"`     // exported rule sets
	Find         []Find         `yaml:"find"`         // where secrets of the deployment are looked for

	Waivers []Waiver `yaml:"waivers"` // failures that are accepted for now

	dir string // what paths are relative to
}

// Waiver is a [connsec.Waiver] in a deployment file.
type Waiver struct {
	Rule    string `yaml:"rule"`    // its ID
	Subject string `yaml:"subject"` // empty: every subject
	Reason  string `yaml:"reason"`  // for the next reader
	Until   Date   `yaml:"until"`   // through the end of that day

	Source connsec.Position `yaml:"-"` // where the waiver stands
}

// Waiver returns the waiver in the library's terms.
func (w Waiver) Waiver() connsec.Waiver {
	until := w.Until.Time
	if !until.IsZero() {
		until = until.AddDate(0, 0, 1).Add(-time.Nanosecond)
	}
	return connsec.Waiver{Rule: w.Rule, Subject: w.Subject, Reason: w.Reason, Until: until}
}

// Date is a day, written 2027-01-31, in UTC.
type Date struct{ time.Time }

// UnmarshalText parses year, month and day.
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a date; write it as 2027-01-31", clip(string(text)))
	}
	d.Time = t
	return nil
}

// MarshalText writes the day.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.Format(time.DateOnly)), nil }

// Load reads a deployment file.
func Load(path string) (*Deployment, error) {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads a deployment from data. The name stands in positions and error messages, and its
// directory is what the paths in the file are relative to.
func Parse(name string, data []byte) (*Deployment, error) {
	d := &Deployment{dir: filepath.Dir(name)}
	if err := decode(name, data, d); err != nil {
		return nil, err
	}
	if d.Name == "" {
		d.Name = filepath.Base(name)
	}
	if err := checkWaivers(d.Waivers); err != nil {
		return nil, err
	}
	checks, err := d.checks(&environment{})
	if err != nil {
		return nil, err
	}
	if len(checks) == 0 {
		return nil, &SyntaxError{connsec.Position{File: name}, "nothing to check; add a section such as https:"}
	}
	return d, nil
}

// LoadWaivers reads a file that holds nothing but a section waivers.
func LoadWaivers(path string) ([]connsec.Waiver, error) {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return nil, err
	}
	var file struct {
		Waivers []Waiver `yaml:"waivers"`
	}
	if err := decode(path, data, &file); err != nil {
		return nil, err
	}
	if err := checkWaivers(file.Waivers); err != nil {
		return nil, err
	}
	out := make([]connsec.Waiver, len(file.Waivers))
	for i, w := range file.Waivers {
		out[i] = w.Waiver()
	}
	return out, nil
}

// checkWaivers finds the waivers that could never hold. One that has ended is left in: the
// finding it no longer covers says so.
func checkWaivers(waivers []Waiver) error {
	var ids []string
	for _, r := range catalog.All() {
		ids = append(ids, r.ID)
	}
	for _, w := range waivers {
		switch {
		case !slices.Contains(ids, w.Rule):
			return &SyntaxError{w.Source, fmt.Sprintf("waiver for the unknown rule %q%s", clip(w.Rule), suggestion(w.Rule, ids))}
		case strings.TrimSpace(w.Reason) == "":
			return &SyntaxError{w.Source, "the waiver for " + w.Rule + " gives no reason"}
		case w.Until.IsZero():
			return &SyntaxError{w.Source, "the waiver for " + w.Rule + " has no end date; write until: 2027-01-31"}
		}
	}
	return nil
}

func suggestion(word string, known []string) string {
	s := nearest(word, known)
	if len(s) > 120 { // the list of all rules helps nobody
		return "; connsec rules lists them"
	}
	return s
}

// path resolves a path from the file.
func (d *Deployment) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(d.dir, p)
}

// readBounded reads a regular file of at most most bytes.
func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fileError(path, err)
	case info.IsDir():
		return nil, fmt.Errorf("%s: is a directory; name a file", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is not a regular file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("%s: %d bytes are too many for this kind of file (at most %d)", path, info.Size(), most)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// maxSecret bounds a file with a secret.
const maxSecret = 64 << 10

// ReadSecret reads a secret from a file, as [ParseSecret] does. A file that others may read is
// none of this function's business; the checks of files say that.
func ReadSecret(path string) (connsec.Secret, error) {
	data, err := readBounded(path, maxSecret)
	if err != nil {
		return connsec.Secret{}, err
	}
	return ParseSecret(path, data)
}

// ParseSecret takes a secret from the text of a file called name: without the line break at the
// end and without a byte order mark of UTF-8 at the beginning, which editors add. A text in UTF-16,
// as Windows PowerShell redirects it, or longer than 64 KiB is refused: taken as it is, it would be
// another secret, one that is found nowhere and opens nothing.
func ParseSecret(name string, data []byte) (connsec.Secret, error) {
	switch {
	case len(data) > maxSecret:
		return connsec.Secret{}, fmt.Errorf("%s: longer than %d bytes, which is no secret", name, maxSecret)
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return connsec.Secret{}, fmt.Errorf("%s: the text is in UTF-16; save it as UTF-8", name)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	return connsec.NewSecret(strings.TrimRight(string(data), "\r\n")), nil
}

// fileError says the path once: *os.PathError has the system call in front.
func fileError(path string, err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
