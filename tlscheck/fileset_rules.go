package tlscheck

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// Judge applies all certfiles-* rules to the set, and the cert-* rules to its certificate.
//
// If the PFX and the certificate file hold different leaves, both are judged, each under its
// path. Whether the chain is complete is said by [RuleFilesChainMissing], not by
// [RuleChainIncomplete] as well.
func (o FilesObservation) Judge() connsec.Report {
	r := connsec.Report{Target: o.Subject, At: o.At, Findings: connsec.Run(o.Subject, o, fileChecks)}
	for i, f := range o.holders() {
		if i > 0 && f.leaf().Equal(o.holders()[0].leaf()) {
			continue
		}
		for _, finding := range f.Chain.judge(nil) {
			if finding.Rule != RuleChainIncomplete {
				r.Findings = append(r.Findings, finding)
			}
		}
	}
	return r
}

var fileChecks = []connsec.Check[FilesObservation]{
	{Rule: RuleFilesMissing, Judge: judgeFilesMissing},
	{Rule: RuleFilesUnreadable, Judge: judgeFilesUnreadable},
	{Rule: RuleFilesKeyMismatch, Judge: judgeFilesKeyMismatch},
	{Rule: RuleFilesDiffer, Judge: judgeFilesDiffer},
	{Rule: RuleFilesChainMissing, Judge: judgeFilesChainMissing},
	{Rule: RulePFXWeakEncryption, Judge: judgePFXWeakEncryption},
	{Rule: RulePFXWeakPassword, Judge: judgePFXWeakPassword},
	{Rule: RuleKeyExposed, Judge: judgeKeyExposed},
	{Rule: RuleFilesNotServed, Judge: judgeFilesNotServed},
}

// myqFiles is where the guide names the three files.
var myqFiles = connsec.Citation{Doc: docMyQ, Section: "HTTPS certificate: server.pfx, server.cer and server.key", URL: urlMyQ}

func (o FilesObservation) files() []*File {
	var out []*File
	for _, f := range []*File{o.PFX, o.CER, o.KEY} {
		if f != nil {
			out = append(out, f)
		}
	}
	return out
}

// holders returns the files in which a leaf was found, the certificate file first: it is what
// administrators look at.
func (o FilesObservation) holders() []*File {
	var out []*File
	for _, f := range []*File{o.CER, o.PFX} {
		if f != nil && showsLeaf(f) {
			out = append(out, f)
		}
	}
	return out
}

func (f *File) leaf() *x509.Certificate { return f.Chain.Certs[0] }

// guardsNothing: it was opened, and there is no key.
func (f *File) guardsNothing() bool { return f.Password.Opened && f.Key == nil && f.Chain != nil }

func (f *File) name() string { return printable(filepath.Base(f.Path)) }

// unread returns the files that are there, should hold something (a key, a certificate), and
// did not show it: a verdict on the others alone would say more than is known.
func (o FilesObservation) unread(files []*File, shows func(*File) bool) []string {
	var out []string
	for _, f := range files {
		if f != nil && f.Problem.Kind != "" && f.Problem.Kind != FileMissing && !shows(f) {
			out = append(out, f.name()+": "+f.Problem.Text)
		}
	}
	return out
}

func showsKey(f *File) bool { return f.Key != nil && len(f.Key.PublicKey) > 0 }

func showsLeaf(f *File) bool { return f.Chain != nil && len(f.Chain.Certs) > 0 }

// RuleFilesMissing: a set is complete or it is none.
var RuleFilesMissing = &connsec.Rule{
	ID: "certfiles-missing", Title: "A file of the certificate set is missing",
	Why:      "The services of the product load different files. The one whose file is missing does not start, or falls back to a certificate of its own that nobody trusts.",
	Fix:      "Install the complete set: server.pfx, server.cer and server.key of one certificate.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{myqFiles}, Since: "0.1.0",
}

func judgeFilesMissing(o FilesObservation) connsec.Verdict {
	var missing, denied []string
	for _, f := range o.files() {
		switch f.Problem.Kind {
		case FileMissing:
			missing = append(missing, f.name())
		case FileDenied:
			denied = append(denied, f.name())
		}
	}
	switch {
	case len(missing) > 0:
		return connsec.Failed("there is no %s", strings.Join(missing, " and no "))
	case len(denied) > 0:
		return connsec.Unknown("this process may not read %s", strings.Join(denied, " and "))
	}
	return connsec.Passed("all files are there")
}

// RuleFilesUnreadable: each file holds what its place demands.
var RuleFilesUnreadable = &connsec.Rule{
	ID: "certfiles-unreadable", Title: "A file of the certificate set cannot be read as what it should be",
	Why:      "The service that loads it does not start, or runs with an older certificate until the next restart.",
	Fix:      "Replace the file. The detail says what is there instead.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{myqFiles, rfc("7468", "2"), rfc("7292", "4")}, Since: "0.1.0",
}

func judgeFilesUnreadable(o FilesObservation) connsec.Verdict {
	var bad, unsure []string
	for _, f := range o.files() {
		line := f.name() + ": " + f.Problem.Text
		switch f.Problem.Kind {
		case FileUnreadable:
			bad = append(bad, line)
		case FileLocked, FileDenied, FileUnsupported:
			unsure = append(unsure, line)
		case FileMissing:
			unsure = append(unsure, f.name()+" is missing")
		}
	}
	switch {
	case len(bad) > 0:
		return connsec.Failed("%s", strings.Join(bad, "; "))
	case len(unsure) > 0:
		return connsec.Unknown("%s", strings.Join(unsure, "; "))
	}
	return connsec.Passed("all files hold what they should")
}

// RuleFilesKeyMismatch: a certificate is worth nothing without its own key.
var RuleFilesKeyMismatch = &connsec.Rule{
	ID: "certfiles-key-mismatch", Title: "The private key does not belong to the certificate",
	Why:      "The service cannot complete a TLS handshake with them: it does not start, or answers without TLS.",
	Fix:      "Install certificate and key from one request. The server's own certificate must be the first in the file.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqFiles, rfc("8446", "4.4.2")}, Since: "0.1.0",
}

func judgeFilesKeyMismatch(o FilesObservation) connsec.Verdict {
	unsure := append(o.unread([]*File{o.PFX, o.KEY}, showsKey), o.unread([]*File{o.CER}, showsLeaf)...)
	var compared, bad []string
	for _, k := range o.files() {
		if !showsKey(k) {
			continue
		}
		for _, c := range o.holders() {
			match, known := k.Key.certifiedBy(c.leaf())
			switch {
			case match:
				compared = append(compared, k.name()+" and "+c.name())
			case !known:
				unsure = append(unsure, c.name()+": its kind of public key is not supported here")
			case c.holdsCertificateOf(k.Key):
				bad = append(bad, fmt.Sprintf("the certificate of the key in %s is not the first in %s", k.name(), c.name()))
			default:
				bad = append(bad, fmt.Sprintf("the key in %s is not that of the certificate in %s", k.name(), c.name()))
			}
		}
	}
	switch {
	case len(bad) > 0:
		return connsec.Failed("%s", strings.Join(bad, "; "))
	case len(unsure) > 0:
		return connsec.Unknown("not everything could be compared: %s", strings.Join(unsure, "; "))
	case len(compared) == 0:
		return connsec.Unknown("there is no readable certificate with a readable key to compare")
	}
	return connsec.Passed("the keys match: %s", strings.Join(compared, ", "))
}

func (f *File) holdsCertificateOf(key *KeyFacts) bool {
	return slices.ContainsFunc(f.Chain.Certs, func(c *x509.Certificate) bool {
		match, _ := key.certifiedBy(c)
		return match
	})
}

// RuleFilesDiffer: one server, one certificate.
var RuleFilesDiffer = &connsec.Rule{
	ID: "certfiles-differ", Title: "The files of the set hold different certificates",
	Why:      "Half of a renewal: one service presents the new certificate and another the old one, which expires, or is revoked, unnoticed.",
	Fix:      "Install all files from the same certificate.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{myqFiles}, Since: "0.1.0",
}

func judgeFilesDiffer(o FilesObservation) connsec.Verdict {
	switch {
	case o.PFX == nil || o.CER == nil:
		return connsec.Skipped("the set has one file with a certificate")
	case len(o.holders()) < 2:
		return connsec.Unknown("the certificate of one file could not be read")
	}
	a, b := o.holders()[0], o.holders()[1]
	if a.leaf().Equal(b.leaf()) {
		return connsec.Passed("%s and %s hold the same certificate", a.name(), b.name())
	}
	return connsec.Failed("%s holds the certificate with serial %s, %s the one with serial %s", a.name(), serial(a), b.name(), serial(b)).
		With(a.name(), "valid until "+a.leaf().NotAfter.UTC().Format("2006-01-02")).
		With(b.name(), "valid until "+b.leaf().NotAfter.UTC().Format("2006-01-02"))
}

func serial(f *File) string { return f.leaf().SerialNumber.Text(16) }

// RuleFilesChainMissing: the server can send only what is in the file it loads.
var RuleFilesChainMissing = &connsec.Rule{
	ID: "certfiles-chain-missing", Title: "A certificate file lacks the intermediate certificates",
	Why:      "The server sends what the file holds. Browsers may find the intermediate elsewhere; printers, scripts and other servers do not, and fail.",
	Fix:      "Put the whole chain into server.cer and server.pfx: the server's certificate first, then every intermediate, without the root.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("8446", "4.4.2"), myqFiles}, Since: "0.1.0",
}

func judgeFilesChainMissing(o FilesObservation) connsec.Verdict {
	var good, bad, unsure []string
	unread := o.unread([]*File{o.PFX, o.CER}, showsLeaf)
	for _, f := range o.holders() {
		switch top := f.Chain.topOfChain(); {
		case signedByItself(f.leaf()):
		case f.Chain.reachesRoot(), signedByItself(top):
			good = append(good, f.name())
		case len(f.Chain.Paths) > 0: // the system's verifier found the rest elsewhere
			bad = append(bad, fmt.Sprintf("%s lacks %s", f.name(), subjects(missing(f.Chain.Paths[0], f.Chain.Certs))))
		case len(f.Chain.Missing) > 0:
			bad = append(bad, fmt.Sprintf("%s lacks %s", f.name(), subjects(f.Chain.Missing)))
		case o.issuerOf(f) != nil:
			bad = append(bad, fmt.Sprintf("%s lacks %s, which another file holds", f.name(), displayName(o.issuerOf(f))))
		case top == f.leaf() && publicPolicy(f.leaf()) != "": // BR 6.1.7: roots do not sign server certificates
			bad = append(bad, fmt.Sprintf("%s holds the leaf alone, without the intermediate %s", f.name(), issuerName(top)))
		default:
			unsure = append(unsure, fmt.Sprintf("%s ends at %s, issued by %s", f.name(), displayName(top), issuerName(top)))
		}
	}
	switch {
	case len(bad) > 0:
		return connsec.Failed("%s", strings.Join(bad, "; "))
	case len(unsure) > 0:
		return connsec.Unknown("%s, which is neither there nor a trusted root: give the CA's certificate to tell", strings.Join(unsure, "; "))
	case len(unread) > 0:
		return connsec.Unknown("not every chain could be seen: %s", strings.Join(unread, "; "))
	case len(good) > 0:
		return connsec.Passed("%s: the chain is complete", strings.Join(good, ", "))
	case len(o.holders()) > 0:
		return connsec.Skipped("a certificate that is signed with its own key has no chain")
	}
	return connsec.Unknown("no certificate could be read")
}

// reachesRoot: with nothing but the certificates at hand. On Windows and macOS the system's
// verifier looks for intermediates elsewhere, too.
func (o *ChainObservation) reachesRoot() bool {
	for _, path := range o.Paths {
		if len(missing(path, o.Certs)) == 0 {
			return true
		}
	}
	return false
}

// issuerOf looks for the missing issuer, if it is no root, in the other files.
func (o FilesObservation) issuerOf(f *File) *x509.Certificate {
	top := f.Chain.topOfChain()
	for _, other := range o.holders() {
		for _, c := range other.Chain.Certs {
			if string(c.RawSubject) == string(top.RawIssuer) && !signedByItself(c) && top.CheckSignatureFrom(c) == nil {
				return c
			}
		}
	}
	return nil
}

// RulePFXWeakEncryption: what guards the key when the file leaves the machine.
var RulePFXWeakEncryption = &connsec.Rule{
	ID: "certfiles-pfx-weak-encryption", Title: "The PFX file is protected by weak algorithms",
	Why:      "PFX files travel by mail, ticket and backup. RC2 with 40 bits is searched through in minutes whatever the password; without a MAC, or with one of a single round, passwords are tried at full speed.",
	Fix:      "Export it anew with AES-256 and SHA-256 (Windows: Export-PfxCertificate -CryptoAlgorithmOption AES256_SHA256; OpenSSL 3: openssl pkcs12 -export without -legacy), or let FileSet.Install write it.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("7292", "B.4"), rfc("8018", "6.2"), rfc("9579", "1"), {Doc: "NIST SP 800-131A Rev. 2", Section: "2", URL: "https://csrc.nist.gov/pubs/sp/800/131/a/r2/final"}}, Since: "0.1.0",
}

// minIterations is what RFC 8018 §4.2 names as the least.
const minIterations = 1000

func judgePFXWeakEncryption(o FilesObservation) connsec.Verdict {
	switch {
	case o.PFX == nil:
		return connsec.Skipped("the set has no PFX file")
	case o.PFX.PFX == nil:
		return connsec.Unknown("%s: %s", o.PFX.name(), o.PFX.Problem.Text)
	case o.PFX.guardsNothing():
		return connsec.Skipped("%s holds no private key, so nothing in it is secret", o.PFX.name())
	}
	facts := o.PFX.PFX
	var bad, unsure, shown []string
	severity := connsec.Medium
	for _, part := range facts.Parts {
		if part.Algorithm == "" {
			shown = append(shown, part.Holds+" in clear")
			if part.Holds == "key" {
				bad, severity = append(bad, "the key stands in clear"), connsec.High
			}
			continue // certificates are public
		}
		shown = append(shown, fmt.Sprintf("%s %s/%d", part.Holds, part.Algorithm, part.Iterations))
		switch protectionOf(part.Algorithm) {
		case protectionBroken:
			bad, severity = append(bad, part.Holds+" under "+part.Algorithm), connsec.High
		case protectionWeak:
			bad = append(bad, part.Holds+" under "+part.Algorithm)
		case protectionUnknown:
			unsure = append(unsure, part.Holds+" under "+part.Algorithm)
		case protectionGood:
			if part.Iterations > 0 && part.Iterations < minIterations {
				bad = append(bad, fmt.Sprintf("%s under %s, but with %d iterations only", part.Holds, part.Algorithm, part.Iterations))
			}
		}
	}
	mac := "no MAC"
	switch {
	case facts.MAC == "":
		bad = append(bad, "there is no MAC")
	case protectionOf(facts.MAC) == protectionUnknown:
		unsure = append(unsure, "MAC "+facts.MAC)
	case protectionOf(facts.MAC) != protectionGood:
		bad = append(bad, "the MAC is "+facts.MAC)
	case facts.MACIterations < minIterations:
		bad = append(bad, fmt.Sprintf("the MAC has %d iterations only", facts.MACIterations))
	}
	if facts.MAC != "" {
		mac = fmt.Sprintf("%s/%d", facts.MAC, facts.MACIterations)
	}
	var v connsec.Verdict
	switch {
	case len(bad) > 0:
		v = connsec.Failed("%s: %s", o.PFX.name(), strings.Join(bad, ", ")).As(severity)
	case len(unsure) > 0:
		v = connsec.Unknown("%s: it is not known how good this is: %s", o.PFX.name(), strings.Join(unsure, ", "))
	default:
		v = connsec.Passed("%s: %s, %s", o.PFX.name(), strings.Join(shown, ", "), mac)
	}
	return v.With("encryption", strings.Join(shown, ", ")).With("mac", mac)
}

// RulePFXWeakPassword: the password is all that is left once the file has been copied.
var RulePFXWeakPassword = &connsec.Rule{
	ID: "certfiles-pfx-weak-password", Title: "The password of the PFX file is guessed easily",
	Why:      "Whoever gets a copy of the file tries passwords offline, millions a second, and has the server's private key.",
	Fix:      "Export the PFX with a random password of 20 characters or more, kept in a password store.",
	Severity: connsec.High,
	Refs: []connsec.Citation{
		{Doc: "NIST SP 800-63B-4", Section: "3.1.1.2", URL: "https://pages.nist.gov/800-63-4/sp800-63b.html"}, rfc("8018", "4"),
	}, Since: "0.1.0",
}

func judgePFXWeakPassword(o FilesObservation) connsec.Verdict {
	switch {
	case o.PFX == nil:
		return connsec.Skipped("the set has no PFX file")
	case o.PFX.PFX == nil:
		return connsec.Unknown("%s: %s", o.PFX.name(), o.PFX.Problem.Text)
	case o.PFX.guardsNothing():
		return connsec.Skipped("%s holds no private key, so nothing in it is secret", o.PFX.name())
	}
	facts, name := o.PFX.Password, o.PFX.name()
	switch facts.Guess {
	case "empty":
		return connsec.Failed("%s opens without a password", name)
	case "well-known":
		return connsec.Failed("%s opens with one of the passwords that everybody tries first", name)
	case "derived":
		return connsec.Failed("%s opens with a password made of the host's or the product's name", name)
	}
	switch facts.Strength {
	case PasswordWeak:
		return connsec.Failed("the password of %s is short, or made of common words", name)
	case PasswordStrong:
		return connsec.Passed("the password of %s is neither short nor common", name)
	case PasswordUnclear:
		return connsec.Unknown("the password of %s is none of %d obvious ones, but it cannot be told whether it is random", name, facts.Tried)
	}
	if facts.Untested != "" {
		return connsec.Unknown("%s withstood %d guesses; no more were tried, because %s", name, facts.Tried, facts.Untested)
	}
	if o.PFX.Problem.Kind == FileLocked || o.PFX.Problem.Text == errWrongPassword.Error() {
		return connsec.Unknown("%s withstood %d guesses; give its password to have it judged", name, facts.Tried)
	}
	return connsec.Unknown("%s: %s", name, o.PFX.Problem.Text)
}

// RuleKeyExposed: the key is for the service and the administrators.
var RuleKeyExposed = &connsec.Rule{
	ID: "certfiles-key-exposed", Title: "Others on the machine can read the private key",
	Why:      "Any account on the machine, also that of a compromised web application, can take the key and stand in for the server, or decrypt recorded sessions that lack forward secrecy.",
	Fix:      "Let only the service account, SYSTEM and the administrators read the file: chmod 600 on Unix; on Windows remove inherited rights of Users (icacls /inheritance:r, then grant).",
	Severity: connsec.High,
	Refs:     []connsec.Citation{{Doc: "MyQ Central Server, data security", Section: "access to the data folder", URL: "https://docs.myq-solution.com/en/security/1.0/data-security"}}, Since: "0.1.0",
}

func judgeKeyExposed(o FilesObservation) connsec.Verdict {
	var bad, unsure, good []string
	severity := connsec.Medium
	evidence := map[string]string{}
	for _, f := range o.files() {
		holdsKey := f.Key != nil || f == o.KEY || f == o.PFX && !f.guardsNothing()
		if !holdsKey || f.Problem.Kind == FileMissing || f == o.CER && o.KEY != nil && o.KEY.Path == f.Path {
			continue
		}
		switch e := f.Exposure; {
		case !e.Known:
			unsure = append(unsure, f.name())
		case len(e.To) > 0:
			bad = append(bad, fmt.Sprintf("%s has rights for %s", f.name(), strings.Join(e.To, " and ")))
			evidence[f.name()] = e.Mode
			if e.Wide && (f.Key == nil || f.Key.Encryption == "" || f.Password.Guess != "") {
				severity = connsec.High // in clear or as good as that, and for everybody
			}
		default:
			good = append(good, f.name())
		}
	}
	var v connsec.Verdict
	switch {
	case len(bad) > 0:
		v = connsec.Failed("%s", strings.Join(bad, "; ")).As(severity)
	case len(unsure) > 0:
		return connsec.Unknown("the permissions of %s could not be read", strings.Join(unsure, " and "))
	case len(good) > 0:
		return connsec.Passed("nobody at large has rights on %s", strings.Join(good, " and "))
	default:
		return connsec.Unknown("there is no file with a key")
	}
	for _, f := range o.files() {
		if mode, ok := evidence[f.name()]; ok {
			v = v.With(f.name(), mode)
		}
	}
	return v
}

// RuleFilesNotServed: the files on the disk are not necessarily those in use.
var RuleFilesNotServed = &connsec.Rule{
	ID: "certfiles-not-served", Title: "The running server presents another certificate than the files hold",
	Why:      "The renewal was not loaded, or the service reads other files: clients see the old certificate until it expires.",
	Fix:      "Restart the service. If that does not help, find out which files it loads.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{myqFiles}, Since: "0.1.0",
}

func judgeFilesNotServed(o FilesObservation) connsec.Verdict {
	switch {
	case !o.Asked:
		return connsec.Skipped("no running server was given to compare with")
	case len(o.Served) == 0:
		return connsec.Unknown("the running server could not be asked: %s", o.ServedProblem)
	case len(o.holders()) == 0:
		return connsec.Unknown("no certificate could be read from the files")
	}
	served := o.Served[0]
	for _, f := range o.holders() {
		if f.leaf().Equal(served) {
			return connsec.Passed("the server presents the certificate of %s", f.name())
		}
	}
	f := o.holders()[0]
	return connsec.Failed("the server presents the certificate with serial %s, %s holds the one with serial %s", served.SerialNumber.Text(16), f.name(), serial(f)).
		With("served", "valid until "+served.NotAfter.UTC().Format("2006-01-02")).
		With(f.name(), "valid until "+f.leaf().NotAfter.UTC().Format("2006-01-02"))
}
