package tlscheck

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"golang.org/x/net/publicsuffix"
)

const (
	day = 24 * time.Hour

	docMyQ     = "MyQ Central Server, connection security"
	urlMyQ     = "https://docs.myq-solution.com/en/security/1.0/connection-security"
	docBR      = "CA/Browser Forum TLS Baseline Requirements 2.2.6"
	urlBR      = "https://cabforum.org/working-groups/server/baseline-requirements/requirements/"
	docMozilla = "Mozilla server-side TLS guidelines " + guidelinesVersion
	urlMozilla = "https://ssl-config.mozilla.org/guidelines/6.0.json"
)

func rfc(n, section string) connsec.Citation {
	return connsec.Citation{Doc: "RFC " + n, Section: section, URL: "https://www.rfc-editor.org/rfc/rfc" + n + ".html"}
}

func br(section string) connsec.Citation {
	return connsec.Citation{Doc: docBR, Section: section, URL: urlBR}
}

var (
	myqCertificate = connsec.Citation{Doc: docMyQ, Section: "HTTPS certificate", URL: urlMyQ}
	mozilla        = connsec.Citation{Doc: docMozilla, URL: urlMozilla}
)

// Judge applies all cert-* rules.
func (o ChainObservation) Judge() connsec.Report {
	return connsec.Report{Target: o.Subject, At: o.At, Findings: o.judge(nil)}
}

// judge runs the certificate checks together with others that hold on the same subject, so
// that DependsOn reaches across.
func (o ChainObservation) judge(more []connsec.Check[ChainObservation]) []connsec.Finding {
	return connsec.Run(o.Subject, o, append(more, certChecks...))
}

var certChecks = []connsec.Check[ChainObservation]{
	{Rule: RuleNoSAN, Judge: onLeaf(judgeNoSAN)},
	{Rule: RuleNameMismatch, Judge: onLeaf(judgeNameMismatch)},
	{Rule: RuleIPAsDNSName, Judge: onLeaf(judgeIPAsDNSName)},
	{Rule: RuleWildcard, Judge: onLeaf(judgeWildcard)},
	{Rule: RuleWildcardPartial, Judge: onLeaf(judgeWildcardPartial)},
	{Rule: RuleSelfSigned, Judge: onLeaf(judgeSelfSigned)},
	{Rule: RuleChainIncomplete, Judge: onLeaf(judgeChainIncomplete)},
	{Rule: RuleUntrusted, Judge: onLeaf(judgeUntrusted)},
	{Rule: RuleExpired, Judge: onLeaf(judgeExpired)},
	{Rule: RuleNotYetValid, Judge: onLeaf(judgeNotYetValid)},
	{Rule: RuleExpiresSoon, Judge: onLeaf(judgeExpiresSoon)},
	{Rule: RuleLifetime, Judge: onLeaf(judgeLifetime)},
	{Rule: RuleWeakKey, Judge: onLeaf(judgeWeakKey)},
	{Rule: RuleWeakSignature, Judge: onLeaf(judgeWeakSignature)},
	{Rule: RuleEKUServerAuth, Judge: onLeaf(judgeEKUServerAuth)},
	{Rule: RuleInternalName, Judge: onLeaf(judgeInternalName)},
	{Rule: RuleRevoked, Judge: onLeaf(judgeRevoked)},
}

func onLeaf(judge func(ChainObservation, *x509.Certificate) connsec.Verdict) func(ChainObservation) connsec.Verdict {
	return func(o ChainObservation) connsec.Verdict {
		leaf := o.leaf()
		if leaf == nil {
			return connsec.Unknown("no certificate was seen")
		}
		return judge(o, leaf)
	}
}

// RuleNoSAN: names belong into subjectAltName; clients have ignored the CN since 2017.
var RuleNoSAN = &connsec.Rule{
	ID: "cert-no-san", Title: "The certificate carries no subject alternative name",
	Why:      "Clients ignore the common name, so they refuse this certificate for every name – or have their checks switched off to make it work.",
	Fix:      "Request a certificate whose subjectAltName lists each DNS name that clients use.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqCertificate, br("7.1.2.7.12"), rfc("9525", "2")}, Since: "0.1.0",
}

func judgeNoSAN(_ ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	if len(leaf.DNSNames)+len(leaf.IPAddresses) > 0 {
		return connsec.Passed("names: %s", sanList(leaf))
	}
	v := connsec.Failed("there is neither a DNS name nor an IP address in the certificate")
	if cn := leaf.Subject.CommonName; cn != "" {
		v.Detail = "the only name is the common name, which clients ignore"
		v = v.With("common_name", cn)
	}
	return v
}

// sanList shows the names of a certificate, bounded.
func sanList(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// RuleNameMismatch: the name that clients use must be one of those certified.
var RuleNameMismatch = &connsec.Rule{
	ID: "cert-name-mismatch", Title: "The certificate is for another name",
	Why:      "A client that checks the name refuses the connection; one that was told not to check accepts any certificate from the same CA.",
	Fix:      "Request a certificate that lists the server's DNS name, or use the listed name in the clients' settings.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqCertificate, rfc("9525", "6")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleNoSAN},
}

func judgeNameMismatch(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	if o.Name == "" {
		return connsec.Skipped("no name was given to compare with")
	}
	name := strings.TrimSuffix(o.Name, ".")
	if fqdn, err := ParseFQDN(name); err == nil {
		name = fqdn.String() // an internationalised name stands in certificates as A-labels
	}
	if err := leaf.VerifyHostname(name); err != nil {
		return connsec.Failed("the certificate is valid for %s, not for %s", sanList(leaf), o.Name).With("names", sanList(leaf))
	}
	return connsec.Passed("the certificate names %s", o.Name)
}

// RuleIPAsDNSName: an address in a dNSName entry matches nothing.
var RuleIPAsDNSName = &connsec.Rule{
	ID: "cert-ip-as-dns-name", Title: "An IP address stands in the certificate as a DNS name",
	Why:      "Clients compare addresses with iPAddress entries only, so the entry never matches; it suggests that clients connect by address.",
	Fix:      "Use DNS names. If an address is unavoidable, have it certified as an iPAddress entry.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("5280", "4.2.1.6"), rfc("9525", "6.4"), br("7.1.2.7.12")}, Since: "0.1.0",
}

func judgeIPAsDNSName(_ ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	for _, name := range leaf.DNSNames {
		if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
			return connsec.Failed("the DNS name entry %s is an IP address", name)
		}
	}
	return connsec.Passed("no DNS name entry is an address")
}

// RuleWildcard: the guide discourages wildcards, which spread one key over many hosts.
var RuleWildcard = &connsec.Rule{
	ID: "cert-wildcard", Title: "The certificate is a wildcard",
	Why:      "Whoever gets this key from any one host can impersonate every host of the domain.",
	Fix:      "Request a certificate for this server's own name.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{myqCertificate, rfc("9525", "7.1"),
		{Doc: "OWASP Transport Layer Security Cheat Sheet", Section: "Wildcard certificates", URL: "https://cheatsheetseries.owasp.org/cheatsheets/Transport_Layer_Security_Cheat_Sheet.html"}}, Since: "0.1.0",
}

// fullWildcard is a complete left-most label "*" over at least a registrable domain.
func fullWildcard(name string) bool {
	rest, ok := strings.CutPrefix(name, "*.")
	return ok && !strings.Contains(rest, "*") && strings.Contains(rest, ".") && !isPublicSuffix(rest)
}

func isPublicSuffix(name string) bool {
	suffix, icann := publicsuffix.PublicSuffix(strings.ToLower(name))
	return icann && strings.EqualFold(suffix, name)
}

func judgeWildcard(_ ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	for _, name := range leaf.DNSNames {
		if strings.HasPrefix(name, "*.") {
			return connsec.Failed("the certificate is for %s", name).With("name", name)
		}
	}
	return connsec.Passed("every name is spelled out")
}

// RuleWildcardPartial: a star elsewhere than as the whole left-most label over a registrable
// domain is not valid for a server certificate.
var RuleWildcardPartial = &connsec.Rule{
	ID: "cert-wildcard-partial", Title: "A wildcard is not the whole left-most label of a domain of one's own",
	Why:      "Clients disagree about such names: most refuse them, and one that accepts them accepts more hosts than intended.",
	Fix:      "Replace the entry by the names that are meant.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("9525", "6.3"), br("7.1.2.7.12")}, Since: "0.1.0",
}

func judgeWildcardPartial(_ ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	for _, name := range leaf.DNSNames {
		if strings.Contains(name, "*") && !fullWildcard(name) {
			return connsec.Failed("the wildcard %s is not the left-most label of a domain of one's own", name).With("name", name)
		}
	}
	return connsec.Passed("no name has a star elsewhere")
}

// RuleSelfSigned: the leaf vouches for itself. Judged by the signature.
var RuleSelfSigned = &connsec.Rule{
	ID: "cert-self-signed", Title: "The certificate is signed by its own key",
	Why:      "Nobody vouches for it: a client cannot tell it from one that an attacker made a minute ago, and it cannot be revoked.",
	Fix:      "Have the certificate issued by your company's CA or a public one.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqCertificate, rfc("5280", "3.2")}, Since: "0.1.0",
}

func judgeSelfSigned(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	if !ownSignature(leaf) {
		return connsec.Passed("issued by %s", issuerName(leaf))
	}
	v := connsec.Failed("the certificate's signature verifies with its own key")
	if len(o.Paths) > 0 {
		v.Detail += "; it is among the trusted roots, so clients that have it there accept it"
		v.Severity = connsec.Medium
	}
	return v
}

func issuerName(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" {
		return fmt.Sprintf("%q", c.Issuer.CommonName)
	}
	return fmt.Sprintf("%q", c.Issuer.String())
}

// RuleChainIncomplete: clients do not fetch intermediates; the server must send them.
var RuleChainIncomplete = &connsec.Rule{
	ID: "cert-chain-incomplete", Title: "The server does not send the whole chain",
	Why:      "Browsers may find the missing intermediate elsewhere; printers, scripts and Go programs do not, and fail.",
	Fix:      "Configure the full chain: the server's certificate followed by every intermediate, without the root.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("8446", "4.4.2"), rfc("5246", "7.4.2")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleSelfSigned},
}

func judgeChainIncomplete(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	switch {
	case len(o.Paths) > 0:
		for _, path := range o.Paths {
			if anchor := path[len(path)-1]; signedByItself(anchor) || slices.ContainsFunc(o.Certs, anchor.Equal) {
				return connsec.Passed("the chain reaches %s", displayName(anchor))
			}
		}
		anchor := o.bestPath()[len(o.bestPath())-1]
		return connsec.Unknown("the chain ends at %s, which is trusted here and not sent, but is no root: clients that trust only its root would lack it", displayName(anchor)).
			With("issuer", issuerName(anchor))
	case len(o.Missing) > 0:
		return connsec.Failed("the server does not send %s", subjects(o.Missing)).With("missing", subjects(o.Missing))
	case o.Unknown:
		return connsec.Unknown("%s", o.NoPath)
	}
	top := o.topOfChain()
	if signedByItself(top) {
		return connsec.Passed("the chain ends at the root %s, which is judged by %s", displayName(top), RuleUntrusted.ID)
	}
	if top == leaf && publicPolicy(leaf) != "" {
		// BR 6.1.7: root keys do not sign subscriber certificates, so something is missing.
		return connsec.Failed("only the leaf is sent, without the intermediate %s that issued it", issuerName(leaf)).With("issuer", issuerName(leaf))
	}
	return connsec.Unknown("the issuer %s is neither sent nor known: an intermediate may be missing, or that CA is not trusted here (give its certificate to tell)", issuerName(top)).
		With("issuer", issuerName(top))
}

// topOfChain follows issuers from the leaf through the presented certificates.
func (o ChainObservation) topOfChain() *x509.Certificate {
	path := followIssuers(o.Certs[0], o.Certs)
	return path[len(path)-1]
}

// followIssuers returns the leaf followed by issuer upon issuer, as far as they are among the
// certificates.
func followIssuers(leaf *x509.Certificate, among []*x509.Certificate) Certificates {
	path := Certificates{leaf}
	for range among {
		top := path[len(path)-1]
		i := slices.IndexFunc(among, func(c *x509.Certificate) bool {
			return c != top && string(c.RawSubject) == string(top.RawIssuer) && top.CheckSignatureFrom(c) == nil
		})
		if i < 0 {
			break
		}
		path = append(path, among[i])
	}
	return path
}

// RuleUntrusted: no path to a root that clients trust.
var RuleUntrusted = &connsec.Rule{
	ID: "cert-untrusted", Title: "No trusted root vouches for the certificate",
	Why:      "Clients refuse it, or are told to accept anything, which lets anyone on the path stand in for the server.",
	Fix:      "Have the certificate issued by a CA that the clients trust, or distribute your CA's root certificate to them.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{myqCertificate, rfc("5280", "6.1")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleSelfSigned},
}

func judgeUntrusted(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	switch {
	case len(o.Paths) > 0:
		path := o.bestPath()
		return connsec.Passed("trusted through %s", displayName(path[len(path)-1])).With("root", path[len(path)-1].Subject.String())
	case o.Unknown:
		return connsec.Unknown("%s", o.NoPath)
	case len(o.Missing) > 0, o.topOfChain() == leaf && publicPolicy(leaf) != "":
		return connsec.Skipped("the chain is incomplete, so that it leads to no root")
	}
	return connsec.Failed("%s", o.NoPath).With("issuer", issuerName(o.topOfChain()))
}

// RuleExpired: any certificate of the path is past its end.
var RuleExpired = &connsec.Rule{
	ID: "cert-expired", Title: "The certificate has expired",
	Why:      "Clients refuse it; users who learn to click the warning away will do so for an attacker's certificate too.",
	Fix:      "Renew the certificate, and automate the next renewal.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{rfc("5280", "4.1.2.5"), myqCertificate}, Since: "0.1.0",
}

// path is what the dates are judged on: the best path, or what was presented.
func (o ChainObservation) path() Certificates {
	if p := o.bestPath(); p != nil {
		return p
	}
	return o.Certs
}

func judgeExpired(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	for _, c := range o.path() {
		if o.At.After(c.NotAfter) {
			what := "the certificate"
			if !c.Equal(leaf) {
				what = "the CA certificate " + displayName(c)
			}
			return connsec.Failed("%s expired on %s", what, c.NotAfter.UTC().Format(time.RFC3339)).With("not_after", c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return connsec.Passed("valid until %s", leaf.NotAfter.UTC().Format(time.RFC3339)).With("not_after", leaf.NotAfter.UTC().Format(time.RFC3339))
}

// RuleNotYetValid: any certificate of the path begins in the future.
var RuleNotYetValid = &connsec.Rule{
	ID: "cert-not-yet-valid", Title: "The certificate is not valid yet",
	Why:      "Clients refuse it until its first day; often a clock is wrong, and a wrong clock breaks every date check.",
	Fix:      "Check the clocks of the server and of the CA, or wait with this certificate until its first day.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("5280", "4.1.2.5")}, Since: "0.1.0",
}

func judgeNotYetValid(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	for _, c := range o.path() {
		if o.At.Before(c.NotBefore) {
			return connsec.Failed("%s is valid from %s on", displayName(c), c.NotBefore.UTC().Format(time.RFC3339)).With("not_before", c.NotBefore.UTC().Format(time.RFC3339))
		}
	}
	return connsec.Passed("valid since %s", leaf.NotBefore.UTC().Format(time.RFC3339))
}

// RuleExpiresSoon: a third of the lifetime, at most 30 days, is the time to renew; the last
// tenth, at most 7 days, is late.
var RuleExpiresSoon = &connsec.Rule{
	ID: "cert-expires-soon", Title: "The certificate expires soon",
	Why:      "A certificate that nobody renewed in time stops every client on the same morning.",
	Fix:      "Renew it now. Renewal is due when a third of the lifetime, and at most 30 days, remains.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{myqCertificate, br("6.3.2")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleExpired, RuleNotYetValid},
}

func judgeExpiresSoon(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	first := leaf
	for _, c := range o.path() {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	life, left := first.NotAfter.Sub(first.NotBefore), first.NotAfter.Sub(o.At)
	text := fmt.Sprintf("%s expires in %s, on %s", displayName(first), spell(left), first.NotAfter.UTC().Format(time.RFC3339))
	switch {
	case left < min(7*day, life/10):
		return connsec.Failed("%s", text).As(connsec.High)
	case left < min(30*day, life/3):
		return connsec.Failed("%s", text)
	}
	return connsec.Passed("%s", text)
}

// spell rounds a duration to what a person needs.
func spell(d time.Duration) string {
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", int(d/day))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d/time.Hour))
	default:
		return fmt.Sprintf("%d minutes", int(d/time.Minute))
	}
}

// RuleLifetime: BR 6.3.2 by date of issue for public certificates; advice for private ones.
var RuleLifetime = &connsec.Rule{
	ID: "cert-lifetime", Title: "The certificate lives longer than allowed for its date of issue",
	Why:      "Browsers refuse over-long public certificates; and a key that lives for years is exposed for years, while its replacement is never practised.",
	Fix:      "Have it reissued with a lifetime within the schedule (200 days from 2026-03-15, 100 from 2027-03-15, 47 from 2029-03-15), and automate renewal.",
	Severity: connsec.High,
	Refs: []connsec.Citation{br("6.3.2"),
		{Doc: "Apple, requirements for trusted certificates", Section: "825 days", URL: "https://support.apple.com/103769"}}, Since: "0.1.0",
}

// lifetimeSteps is the schedule of BR 6.3.2: certificates issued from the date on live at
// most so many days of 86,400 seconds, both ends included.
var lifetimeSteps = []struct {
	from time.Time
	days int
}{
	{time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC), 47},
	{time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC), 100},
	{time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC), 200},
	{time.Date(2020, 9, 1, 0, 0, 0, 0, time.UTC), 398},
}

// privateLifetime is where some clients (Apple's) stop, whoever issued the certificate.
const privateLifetime = 825

// lifetime is the validity of a certificate: from notBefore through notAfter, inclusive
// (RFC 5280 §4.1.2.5), so one second more than the difference. What is longer than a Duration
// holds, such as an end in 9999, is the longest Duration.
func lifetime(c *x509.Certificate) time.Duration {
	d := c.NotAfter.Sub(c.NotBefore)
	return d + min(time.Second, math.MaxInt64-d)
}

func judgeLifetime(_ ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	life := lifetime(leaf)
	days := (life-1)/day + 1 // a started day counts
	if publicPolicy(leaf) == "" {
		if life > privateLifetime*day {
			return connsec.Failed("the private certificate lives %d days; some clients refuse more than %d from any CA", days, privateLifetime).
				As(connsec.Low).With("days", int(days)).With("limit", privateLifetime)
		}
		return connsec.Passed("%d days; the public schedule does not bind a private CA", days).With("days", int(days))
	}
	for _, step := range lifetimeSteps {
		if leaf.NotBefore.Before(step.from) {
			continue
		}
		v := connsec.Passed("%d days, within the %d allowed for its date of issue", days, step.days)
		if life > time.Duration(step.days)*day {
			v = connsec.Failed("issued on %s for %d days; %d are allowed from %s on", leaf.NotBefore.UTC().Format(time.DateOnly), days, step.days, step.from.Format(time.DateOnly))
		}
		return v.With("days", int(days)).With("limit", step.days)
	}
	return connsec.Skipped("issued before the schedule began on %s", lifetimeSteps[len(lifetimeSteps)-1].from.Format(time.DateOnly))
}

// publicPolicy returns the reserved CA/Browser Forum policy that a leaf asserts, or "". Every
// publicly trusted TLS certificate must carry exactly one (BR 7.1.6.1, 7.1.2.7.9) and a
// private CA must not, so the leaf itself says which rules it lives under – a root in the
// system's store does not, since companies put their own there.
func publicPolicy(leaf *x509.Certificate) string {
	for _, p := range leaf.PolicyIdentifiers {
		for _, reserved := range publicPolicies {
			if p.Equal(reserved.oid) {
				return reserved.name
			}
		}
	}
	return ""
}

var publicPolicies = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{asn1.ObjectIdentifier{2, 23, 140, 1, 1}, "extended validation"},
	{asn1.ObjectIdentifier{2, 23, 140, 1, 2, 1}, "domain validated"},
	{asn1.ObjectIdentifier{2, 23, 140, 1, 2, 2}, "organisation validated"},
	{asn1.ObjectIdentifier{2, 23, 140, 1, 2, 3}, "individual validated"},
}

// RuleWeakKey: RSA below 2048 bits, DSA, curves below 256 bits.
var RuleWeakKey = &connsec.Rule{
	ID: "cert-weak-key", Title: "A key in the chain is too weak",
	Why:      "Whoever computes the private key from the public one can impersonate the server without touching it.",
	Fix:      "Make a new key – ECDSA P-256, or RSA of 3072 bits – and have a certificate issued for it.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{br("6.1.5"), mozilla}, Since: "0.1.0",
}

func judgeWeakKey(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	for _, c := range o.judged() {
		if why := weakKey(c); why != "" {
			return connsec.Failed("%s of %s", why, displayName(c)).With("key", why)
		}
	}
	for _, c := range o.judged() {
		if c.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm {
			name := unreadKey(c.Raw)
			if name == "" {
				name = "an algorithm that is not known here"
			}
			return connsec.Unknown("the key of %s is %s, which is not judged, and which most clients do not take", displayName(c), name).With("key", name)
		}
	}
	return connsec.Passed("%s", keyName(leaf)).With("key", keyName(leaf))
}

func keyName(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	default:
		return c.PublicKeyAlgorithm.String()
	}
}

func weakKey(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return "the key " + keyName(c) + " has fewer than 2048 bits"
		}
	case *ecdsa.PublicKey:
		if k.Params().BitSize < 256 {
			return "the key " + keyName(c) + " has fewer than 256 bits"
		}
	}
	if c.PublicKeyAlgorithm == x509.DSA {
		return "the key is DSA, which no current client accepts,"
	}
	return ""
}

// RuleWeakSignature: SHA-1 and older on the leaf or an intermediate; a root's is not used.
var RuleWeakSignature = &connsec.Rule{
	ID: "cert-weak-signature", Title: "A signature in the chain uses a broken hash",
	Why:      "Colliding SHA-1 and MD5 certificates have been made in practice: the signature no longer proves what the CA signed.",
	Fix:      "Have the certificate reissued with SHA-256 or better, and replace the intermediate that still uses the old hash.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{br("7.1.3.2"), rfc("9155", "2")}, Since: "0.1.0",
}

func judgeWeakSignature(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	var unknown *x509.Certificate
	for _, c := range o.judged() {
		switch c.SignatureAlgorithm {
		case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
			return connsec.Failed("%s is signed with %s", displayName(c), c.SignatureAlgorithm).With("algorithm", c.SignatureAlgorithm)
		case x509.UnknownSignatureAlgorithm:
			unknown = c
		}
	}
	if unknown != nil {
		return connsec.Unknown("%s is signed with an algorithm that is not known here", displayName(unknown))
	}
	return connsec.Passed("%s", leaf.SignatureAlgorithm)
}

// RuleEKUServerAuth: the certificate must be meant for TLS servers.
var RuleEKUServerAuth = &connsec.Rule{
	ID: "cert-eku-server-auth", Title: "The certificate is not meant for TLS servers",
	Why:      "Clients refuse a certificate whose extended key usage names other purposes; without that extension some do, and the key may be used for anything.",
	Fix:      "Have it issued from the CA's web server template, with extended key usage serverAuth.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{br("7.1.2.7.10"), rfc("5280", "4.2.1.12")}, Since: "0.1.0",
}

func judgeEKUServerAuth(o ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	if c := notForServers(o.bestPath()); c != nil {
		return connsec.Failed("the CA certificate %s is restricted to other purposes, so clients refuse what it issues for servers", displayName(c))
	}
	switch {
	case slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
		return connsec.Passed("extended key usage includes serverAuth")
	case len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0:
		return connsec.Failed("there is no extended key usage").As(connsec.Medium)
	case slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return connsec.Failed("extended key usage is any purpose, without serverAuth").As(connsec.Medium)
	}
	return connsec.Failed("extended key usage does not include serverAuth")
}

// notForServers returns the first CA certificate of the path whose extended key usage leaves
// serverAuth out. RFC 5280 leaves open what the extension means in a CA; OpenSSL, Windows and
// crypto/x509 all hold what is issued below to it.
func notForServers(path Certificates) *x509.Certificate {
	for i, c := range path {
		if i > 0 && len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 &&
			!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
			return c
		}
	}
	return nil
}

// RuleInternalName: a public certificate must not name what DNS does not.
var RuleInternalName = &connsec.Rule{
	ID: "cert-internal-name", Title: "A public certificate carries an internal name or a reserved address",
	Why:      "Nobody owns such a name, so anyone could be certified for it; public CAs must not issue it and browsers distrust it.",
	Fix:      "Give the server a name under a domain of your own, or have the certificate issued by your private CA.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{br("4.2.2"), br("7.1.2.7.12")}, Since: "0.1.0",
}

func judgeInternalName(_ ChainObservation, leaf *x509.Certificate) connsec.Verdict {
	if publicPolicy(leaf) == "" {
		return connsec.Skipped("the certificate does not claim to be public")
	}
	for _, name := range leaf.DNSNames {
		bare := strings.TrimPrefix(name, "*.")
		if _, icann := publicsuffix.PublicSuffix(strings.ToLower(bare)); !icann || !strings.Contains(bare, ".") {
			// PublicSuffix answers icann=false both for unknown TLDs and for private
			// suffixes such as github.io: those end in a known TLD all the same.
			tld := bare[strings.LastIndexByte(bare, '.')+1:]
			if _, known := publicsuffix.PublicSuffix(strings.ToLower(tld)); !known || !strings.Contains(bare, ".") {
				return connsec.Failed("%s is not a name of the public DNS", name).With("name", name)
			}
		}
		if strings.HasSuffix(name, ".") {
			return connsec.Failed("%s ends with the root dot, which is not allowed in a certificate", name).With("name", name)
		}
	}
	for _, ip := range leaf.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok && !isGlobal(addr.Unmap()) {
			return connsec.Failed("%s is a reserved address", addr).With("address", addr)
		}
	}
	return connsec.Passed("every name is public")
}

// reserved are the blocks that IANA's special-purpose registries (RFC 6890) keep off the
// public Internet, as far as net/netip does not know them.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001:2::/48"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"), // site-local, RFC 3879
}

func isGlobal(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}

// RuleRevoked: the issuer has withdrawn the certificate.
var RuleRevoked = &connsec.Rule{
	ID: "cert-revoked", Title: "The certificate has been revoked",
	Why:      "The CA withdrew it, usually because the key was lost or stolen; clients that check refuse it, the others talk to whoever has the key.",
	Fix:      "Make a new key, have a new certificate issued, and find out why the old one was revoked.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{rfc("5280", "5"), rfc("6960", "2.2"), br("4.9")}, Since: "0.1.0",
}

// maxUnlimited is how long a statement without an end is believed: as long as an OCSP
// response with one may last, BR 4.9.10. Whoever has the revoked key could replay it for ever.
const maxUnlimited = 10 * day

func judgeRevoked(o ChainObservation, _ *x509.Certificate) connsec.Verdict {
	if len(o.Revoked) == 0 {
		return connsec.Skipped("no revocation list of the issuer was given and no OCSP response was stapled")
	}
	good, problem := "", ""
	for _, r := range o.Revoked {
		switch {
		case r.Problem != "":
			problem = r.Source + " for serial " + r.Serial + ": " + r.Problem
		case r.Revoked:
			if r.At.After(o.At) {
				continue // judged as of an earlier day
			}
			return connsec.Failed("serial %s was revoked on %s, says the %s", r.Serial, r.At.UTC().Format(time.RFC3339), r.Source).With("source", r.Source)
		case !r.Until.IsZero() && o.At.After(r.Until), o.At.Before(r.Issued.Add(-5 * time.Minute)): // clocks differ
			problem = fmt.Sprintf("the %s for serial %s is out of date (%s to %s)", r.Source, r.Serial, r.Issued.UTC().Format(time.DateOnly), r.Until.UTC().Format(time.DateOnly))
		case r.Until.IsZero() && o.At.Sub(r.Issued) > maxUnlimited:
			problem = fmt.Sprintf("the %s for serial %s has no end and dates from %s, so that it may be an old one", r.Source, r.Serial, r.Issued.UTC().Format(time.DateOnly))
		case r.Serial == o.leaf().SerialNumber.Text(16):
			good = r.Source
		}
	}
	switch {
	case good != "":
		return connsec.Passed("not revoked, says the %s", good).With("source", good)
	case problem != "":
		return connsec.Unknown("%s", problem)
	}
	return connsec.Unknown("nothing was said about the server's own certificate")
}
