package tlscheck

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/md5" // #nosec G501 -- to recognise certificates that still use it
	"crypto/rsa"
	"crypto/sha1" // #nosec G505 -- likewise
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"golang.org/x/crypto/ocsp"
)

// Certificates is a list of certificates that marshals to JSON as base64 DER, so that what
// was observed can be kept and judged again later.
type Certificates []*x509.Certificate

// MarshalJSON writes an array of base64 DER strings.
func (cs Certificates) MarshalJSON() ([]byte, error) {
	ders := make([][]byte, len(cs))
	for i, c := range cs {
		ders[i] = c.Raw
	}
	return json.Marshal(ders)
}

// UnmarshalJSON parses what MarshalJSON writes.
func (cs *Certificates) UnmarshalJSON(data []byte) error {
	var ders [][]byte
	if err := json.Unmarshal(data, &ders); err != nil {
		return err
	}
	out := make(Certificates, len(ders))
	for i, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("tlscheck: certificate %d: %w", i, err)
		}
		out[i] = c
	}
	*cs = out
	return nil
}

// Chain is a certificate with the question asked about it: would clients that use Name
// trust this? Certificates may come from a handshake, from files or from bytes; see
// [ParseCertificates].
type Chain struct {
	Certs   []*x509.Certificate    // leaf first, as presented or as found in the file
	Name    string                 // DNS name that clients use; empty: names are not judged
	Subject string                 // what the findings are about; empty: the name
	Roots   *x509.CertPool         // trust anchors; nil: the system's
	Known   []*x509.Certificate    // CA certificates at hand that are not trust anchors; they tell an incomplete chain from an unknown CA
	CRLs    []*x509.RevocationList // see [LoadCRL]; without any, revocation is judged by Staple alone
	Staple  []byte                 // OCSP response in DER, as stapled by the server
	At      time.Time              // judge as of this instant; zero: now
}

// ChainObservation is what is known about a [Chain]: the certificates, the paths to a
// trusted root, and what the issuers say of revocation. It marshals to JSON. Set At before
// judging to ask what will break on a given day.
type ChainObservation struct {
	Subject string         `json:"subject"`
	Name    string         `json:"name,omitempty"`
	Certs   Certificates   `json:"certs"`
	Paths   []Certificates `json:"paths,omitempty"`   // from leaf to trusted root, whatever the dates say; at most maxPaths
	Missing Certificates   `json:"missing,omitempty"` // intermediates that had to come from Known
	NoPath  string         `json:"no_path,omitempty"` // why there is no path
	Unknown bool           `json:"unknown,omitempty"` // the roots could not be read, so there being no path says nothing
	Revoked []Revocation   `json:"revoked,omitempty"` // what issuers say of each certificate of the best path
	At      time.Time      `json:"at"`
}

// Revocation is one issuer's statement about one certificate.
type Revocation struct {
	Serial  string    `json:"serial"`
	Source  string    `json:"source"` // "CRL" or "OCSP staple"
	Revoked bool      `json:"revoked"`
	At      time.Time `json:"at,omitzero"`    // when it was revoked
	Issued  time.Time `json:"issued"`         // the statement's own validity …
	Until   time.Time `json:"until,omitzero"` // … zero: unlimited
	Problem string    `json:"problem,omitempty"`
}

// maxPaths bounds how many trusted paths are kept; cross-signed roots rarely give more than
// three.
const maxPaths = 8

// Observe builds the paths. It does no network I/O.
//
// Paths are sought without regard to dates (the dates are judged afterwards, so that an
// expired certificate is reported as expired and not as untrusted) and without regard to
// name and key usage, for the same reason.
func (c Chain) Observe() ChainObservation {
	o := ChainObservation{Subject: c.Subject, Name: c.Name, Certs: c.Certs, At: c.At}
	if o.At.IsZero() {
		o.At = time.Now()
	}
	if o.Subject == "" {
		o.Subject = o.Name
	}
	if len(c.Certs) == 0 {
		return o
	}
	roots := c.Roots
	if roots == nil {
		system, err := x509.SystemCertPool()
		if err != nil {
			o.NoPath, o.Unknown = "the system's trusted roots cannot be read: "+err.Error(), true
			return o
		}
		roots = system
	}
	paths, err := verify(c.Certs[0], c.Certs[1:], roots, o.At)
	if err != nil && len(c.Known) > 0 {
		if more, err2 := verify(c.Certs[0], slices.Concat(c.Certs[1:], c.Known), roots, o.At); err2 == nil {
			paths = more
		}
	}
	for _, path := range paths {
		// A path through what the server did not send (from Known, or fetched by the
		// verifiers of Windows and macOS) is none that every client has.
		if lacking := missing(path, c.Certs); len(lacking) > 0 {
			o.Missing = lacking
		} else if len(o.Paths) < maxPaths {
			o.Paths = append(o.Paths, path)
		}
	}
	switch {
	case len(o.Paths) > 0:
		o.Missing = nil
	case len(o.Missing) > 0:
		o.NoPath = "the server does not send " + subjects(o.Missing)
	default:
		o.NoPath = pathProblem(err)
	}
	if path := o.bestPath(); path != nil {
		o.Revoked = c.revocation(path)
	} else {
		// An issuer that nobody trusts can acquit nobody, but what the CRLs at hand hold
		// against the certificate counts.
		for _, r := range c.revocation(followIssuers(c.Certs[0], slices.Concat(c.Certs, c.Known))) {
			if r.Problem == "" && !r.Revoked {
				r.Problem = "no trusted root vouches for its issuer"
			}
			o.Revoked = append(o.Revoked, r)
		}
	}
	return o
}

// Judge observes and judges in one step.
func (c Chain) Judge() connsec.Report { return c.Observe().Judge() }

// verify finds paths to a root at any instant at which they may hold: first now, then at the
// edges of the validity of each certificate at hand.
func verify(leaf *x509.Certificate, others []*x509.Certificate, roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, c := range others {
		opts.Intermediates.AddCert(c)
	}
	times := []time.Time{now, leaf.NotAfter, leaf.NotBefore}
	for _, c := range others {
		times = append(times, c.NotAfter, c.NotBefore)
	}
	var first error
	for _, t := range times {
		opts.CurrentTime = t
		paths, err := leaf.Verify(opts)
		if err == nil {
			return paths, nil
		}
		var invalid x509.CertificateInvalidError
		if expired := errors.As(err, &invalid) && invalid.Reason == x509.Expired; first == nil || !expired && isExpired(first) {
			first = err
		}
	}
	return nil, first
}

func isExpired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// pathProblem says in our words why there is no path; Go's text is kept where it adds a fact.
func pathProblem(err error) string {
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return "no presented certificate leads to a trusted root"
	case isExpired(err):
		return "the certificates of the path are never valid at the same time"
	default:
		return strings.TrimPrefix(err.Error(), "x509: ")
	}
}

// missing returns the certificates of path (root excepted) that are not among presented.
func missing(path, presented []*x509.Certificate) Certificates {
	var out Certificates
next:
	for _, c := range path[:len(path)-1] {
		for _, p := range presented {
			if c.Equal(p) {
				continue next
			}
		}
		out = append(out, c)
	}
	return out
}

func subjects(cs Certificates) string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = displayName(c)
	}
	return strings.Join(names, ", ")
}

// displayName is a short name for people: CN, else the whole subject, else the serial.
func displayName(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return fmt.Sprintf("%q", c.Subject.CommonName)
	case len(c.Subject.Names) > 0:
		return fmt.Sprintf("%q", c.Subject.String())
	default:
		return "serial " + c.SerialNumber.Text(16)
	}
}

func (o ChainObservation) leaf() *x509.Certificate {
	if len(o.Certs) == 0 {
		return nil
	}
	return o.Certs[0]
}

// bestPath is the first path whose certificates are all valid at o.At and whose CAs may issue
// for servers, else the first that is valid, else the first.
func (o ChainObservation) bestPath() Certificates {
	var best Certificates
	for _, p := range o.Paths {
		valid := true
		for _, c := range p {
			valid = valid && !o.At.Before(c.NotBefore) && !o.At.After(c.NotAfter)
		}
		if valid && notForServers(p) == nil {
			return p
		}
		if valid && best == nil {
			best = p
		}
	}
	if best == nil && len(o.Paths) > 0 {
		return o.Paths[0]
	}
	return best
}

// judged are the certificates whose quality matters to clients: those of the best path or,
// without one, those presented; in both cases without a root, whose self-signature nobody
// relies on, unless it is the leaf itself.
func (o ChainObservation) judged() Certificates {
	path := o.bestPath()
	if path == nil {
		path = o.Certs
	}
	var out Certificates
	for i, c := range path {
		if i == 0 || !signedByItself(c) {
			out = append(out, c)
		}
	}
	return out
}

// signedByItself is whether a certificate is a root: equal issuer and subject alone may still
// be signed by someone else, so the signature decides.
func signedByItself(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(c.RawSubject) && ownSignature(c)
}

// ownSignature is whether the signature verifies with the certificate's own key, whatever the
// names say. Signatures with SHA-1 and MD5, which crypto/x509 refuses to check, are checked
// here, because old self-signed certificates have them.
func ownSignature(c *x509.Certificate) bool {
	err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var insecure x509.InsecureAlgorithmError
	if !errors.As(err, &insecure) {
		return err == nil
	}
	var sum []byte
	var hash crypto.Hash
	switch c.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		s := sha1.Sum(c.RawTBSCertificate) // #nosec G401
		sum, hash = s[:], crypto.SHA1
	case x509.MD5WithRSA:
		s := md5.Sum(c.RawTBSCertificate) // #nosec G401
		sum, hash = s[:], crypto.MD5
	default:
		return false
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, hash, sum, c.Signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum, c.Signature)
	}
	return false
}

// revocation collects what the CRLs and the staple say about the path. Statements whose
// signature does not verify against the issuer in the path are recorded as problems.
func (c Chain) revocation(path Certificates) []Revocation {
	var out []Revocation
	if len(path) < 2 {
		return nil
	}
	if len(c.Staple) > 0 {
		r := Revocation{Serial: path[0].SerialNumber.Text(16), Source: "OCSP staple"}
		if resp, err := ocsp.ParseResponseForCert(c.Staple, path[0], path[1]); err != nil {
			r.Problem = "does not verify"
		} else if signer := resp.Certificate; signer != nil && !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
			// RFC 6960 §4.2.2.2. The parser asks only that the issuer signed it, and the
			// issuer signed the server's own certificate too.
			r.Problem = "is signed by a certificate that is not meant for OCSP"
		} else {
			r.Issued, r.Until = resp.ThisUpdate, resp.NextUpdate
			switch resp.Status {
			case ocsp.Revoked:
				r.Revoked, r.At = true, resp.RevokedAt
			case ocsp.Unknown:
				r.Problem = "the responder does not know the certificate"
			}
		}
		out = append(out, r)
	}
	for i := 0; i+1 < len(path); i++ {
		for _, crl := range c.CRLs {
			if string(crl.RawIssuer) != string(path[i+1].RawSubject) {
				continue
			}
			r := Revocation{Serial: path[i].SerialNumber.Text(16), Source: "CRL", Issued: crl.ThisUpdate, Until: crl.NextUpdate}
			limit, foreign := crlLimit(crl, path[i])
			for _, entry := range crl.RevokedCertificateEntries {
				if !foreign && entry.SerialNumber.Cmp(path[i].SerialNumber) == 0 && entry.ReasonCode != removeFromCRL {
					r.Revoked, r.At = true, entry.RevocationTime
				}
			}
			if err := crl.CheckSignatureFrom(path[i+1]); err != nil {
				r.Problem = "the CRL's signature does not verify"
			} else if !r.Revoked {
				r.Problem = limit
			}
			out = append(out, r)
		}
	}
	return out
}

var (
	oidDeltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// removeFromCRL is the reason code by which a delta CRL takes a certificate off the list, RFC
// 5280 §5.3.1.
const removeFromCRL = 8

// issuingDistributionPoint is the extension of RFC 5280 §5.2.5.
type issuingDistributionPoint struct {
	DistributionPoint struct {
		FullName     []asn1.RawValue  `asn1:"optional,tag:0"`
		RelativeName pkix.RDNSequence `asn1:"optional,tag:1"`
	} `asn1:"optional,tag:0"`
	OnlyUserCerts      bool           `asn1:"optional,tag:1"`
	OnlyCACerts        bool           `asn1:"optional,tag:2"`
	OnlySomeReasons    asn1.BitString `asn1:"optional,tag:3"`
	Indirect           bool           `asn1:"optional,tag:4"`
	OnlyAttributeCerts bool           `asn1:"optional,tag:5"`
}

// crlLimit says why cert's absence from the list would prove nothing, or "". With foreign,
// its presence would prove nothing either, because the list has entries of other issuers.
func crlLimit(crl *x509.RevocationList, cert *x509.Certificate) (limit string, foreign bool) {
	for _, ext := range crl.Extensions {
		switch {
		case ext.Id.Equal(oidDeltaCRLIndicator):
			return "it is a delta CRL, which lists changes only", false
		case ext.Id.Equal(oidIssuingDistributionPoint):
			var idp issuingDistributionPoint
			if rest, err := asn1.Unmarshal(ext.Value, &idp); err != nil || len(rest) > 0 {
				return "what it covers cannot be read", true
			}
			switch part := idp.DistributionPoint; {
			case idp.Indirect:
				return "it is an indirect CRL, which lists certificates of other issuers too", true
			case idp.OnlyUserCerts && cert.IsCA, idp.OnlyCACerts && !cert.IsCA, idp.OnlyAttributeCerts, idp.OnlySomeReasons.BitLength > 0:
				return "it does not cover certificates of this kind", false
			case len(part.FullName)+len(part.RelativeName) > 0 && !slices.ContainsFunc(part.FullName, func(name asn1.RawValue) bool {
				const uri = 6 // GeneralName, RFC 5280 §4.2.1.6
				return name.Class == asn1.ClassContextSpecific && name.Tag == uri && slices.Contains(cert.CRLDistributionPoints, string(name.Bytes))
			}):
				return "it covers only a distribution point that the certificate does not name", false
			}
		case ext.Critical:
			return "it has a critical extension that is not known here", true
		}
	}
	return "", false
}

// Bounds on what is read, and how long: the largest public CRLs are tens of MiB; a certificate file of more
// than a MiB is something else.
const (
	maxCertificateFile = 1 << 20
	maxCRL             = 64 << 20
	crlTimeout         = time.Minute // the context's deadline comes first where it is nearer
)

// ParseCertificates reads one or more certificates in PEM or DER. PEM blocks of other types
// are skipped; input without any certificate is an error.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	if len(data) == 0 {
		return nil, errors.New("tlscheck: the certificate file is empty")
	}
	if len(data) > maxCertificateFile {
		return nil, fmt.Errorf("tlscheck: certificate file of %d bytes: more than %d, so this is something else", len(data), maxCertificateFile)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		certs, err := x509.ParseCertificates(data)
		if err != nil {
			if name := unreadKey(data); name != "" {
				return nil, fmt.Errorf("tlscheck: the certificate has a key of the kind %s, which is not read here", name)
			}
			return nil, errors.New("tlscheck: neither PEM nor a DER certificate")
		}
		return certs, nil
	}
	var certs []*x509.Certificate
	for n := 1; block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				if name := unreadKey(block.Bytes); name != "" {
					return nil, fmt.Errorf("tlscheck: certificate %d of the PEM file has a key of the kind %s, which is not read here", n, name)
				}
				return nil, fmt.Errorf("tlscheck: certificate %d of the PEM file: %w", n, err)
			}
			certs = append(certs, c)
			n++
		}
	}
	if len(certs) == 0 {
		return nil, errors.New("tlscheck: the PEM file holds no certificate")
	}
	return certs, nil
}

// SplitRoots sorts CA certificates into trust anchors, which are signed by themselves, and the
// others, which can complete a chain but anchor nothing (for [Chain.Known] and
// [Endpoint.Known]).
func SplitRoots(certs []*x509.Certificate) (*x509.CertPool, []*x509.Certificate) {
	roots := x509.NewCertPool()
	var known []*x509.Certificate
	for _, c := range certs {
		if signedByItself(c) {
			roots.AddCert(c)
		} else {
			known = append(known, c)
		}
	}
	return roots, known
}

// LoadCRL reads a revocation list, DER or PEM, from a file or an http or https URL. Its
// signature is verified when a chain is judged, so plain HTTP (the usual way CRLs are served)
// is safe. A nil client means [http.DefaultClient].
func LoadCRL(ctx context.Context, location string, client *http.Client) (*x509.RevocationList, error) {
	data, err := fetch(ctx, location, client)
	location = withoutPassword(location) // for the errors
	if err != nil {
		return nil, fmt.Errorf("tlscheck: CRL %s: %w", location, err)
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	crl, err := x509.ParseRevocationList(data)
	if err != nil {
		return nil, fmt.Errorf("tlscheck: CRL %s: not a certificate revocation list", location)
	}
	return crl, nil
}

func withoutPassword(location string) string {
	u, err := url.Parse(location)
	switch {
	case err == nil && u.User != nil:
		return u.Redacted()
	case err != nil && strings.Contains(location, "@"): // what of it is the password cannot be told
		return "…" + location[strings.LastIndexByte(location, '@'):]
	}
	return location
}

func fetch(ctx context.Context, location string, client *http.Client) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, crlTimeout)
	defer cancel()
	var from io.ReadCloser
	if strings.HasPrefix(location, "http://") || strings.HasPrefix(location, "https://") {
		if client == nil {
			client = http.DefaultClient
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
		if err != nil {
			return nil, errors.New("not a usable URL")
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			_ = resp.Body.Close()
			return nil, fmt.Errorf("the server answers %s", resp.Status)
		}
		from = resp.Body
	} else {
		// Before opening: a pipe would block, and a device could do anything.
		if info, err := os.Stat(location); err == nil && !info.Mode().IsRegular() {
			return nil, errors.New("it is not a regular file")
		}
		f, err := os.Open(location)
		if err != nil {
			return nil, errors.New(pathless(err)) // the caller names the file
		}
		from = f
	}
	defer from.Close()
	data, err := io.ReadAll(io.LimitReader(from, maxCRL+1))
	if err == nil && len(data) > maxCRL {
		err = fmt.Errorf("more than %d MiB", maxCRL>>20)
	}
	return data, err
}
