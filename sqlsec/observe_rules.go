package sqlsec

import (
	"net/netip"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/tdswire"
	"github.com/connsec/connsec/tlscheck"
)

// seenAddress is what the judges of one address look at.
type seenAddress struct {
	o      Observation
	a      AddressObservation
	tls    *tlscheck.AddressObservation // inside PRELOGIN packets
	strict *tlscheck.AddressObservation // TDS 8.0
}

// Judge applies the rules on servers, and through tlscheck all rules on TLS and certificates:
// to the handshake inside PRELOGIN packets, and to that of TDS 8.0 under a subject of its own.
func (o Observation) Judge() connsec.Report {
	r := connsec.Report{Target: o.Subject, At: o.At, Duration: o.Duration}
	addresses := o.Addresses
	if len(addresses) == 0 { // no port: one address without facts
		addresses = []AddressObservation{{}}
	}
	seen := make([]seenAddress, len(addresses))
	for i, a := range addresses {
		seen[i] = seenAddress{o: o, a: a, tls: at(o.TLS, a.Address), strict: at(o.StrictTLS, a.Address)}
	}
	r.Findings = append(r.Findings, tlscheck.JudgeAddresses(o.Subject, seen, func(s seenAddress) netip.Addr { return s.a.Address.Addr() }, serverChecks)...)
	r.Findings = append(r.Findings, connsec.Run(o.Subject, o, browserChecks)...)
	if o.TLS != nil {
		r.Findings = append(r.Findings, o.judgeTLS(*o.TLS)...)
	}
	if o.StrictTLS != nil {
		strict := *o.StrictTLS
		strict.AsOf = o.AsOf
		r.Findings = append(r.Findings, strict.Judge().Findings...)
	}
	return r
}

// judgeTLS leaves out the one rule that TDS 7 cannot satisfy: SQL Server goes up to TLS 1.2
// there.
func (o Observation) judgeTLS(seen tlscheck.Observation) []connsec.Finding {
	seen.AsOf = o.AsOf
	findings := seen.Judge().Findings
	for i := range findings {
		if f := &findings[i]; f.Rule == tlscheck.RuleVersion13Missing && f.Outcome == connsec.Fail {
			f.Outcome, f.Evidence = connsec.NotApplicable, nil
			f.Detail = "before TDS 8.0, SQL Server speaks TLS 1.2 at most; see " + RuleStrictUnavailable.ID
		}
	}
	return findings
}

func at(o *tlscheck.Observation, addr netip.AddrPort) *tlscheck.AddressObservation {
	if o == nil {
		return nil
	}
	for i := range o.Addresses {
		if o.Addresses[i].Address == addr {
			return &o.Addresses[i]
		}
	}
	return nil
}

var serverChecks = []connsec.Check[seenAddress]{
	{Rule: RuleUnreachable, Judge: judgeUnreachable},
	{Rule: RuleEncryptionUnsupported, Judge: judgeEncryptionUnsupported},
	{Rule: RuleEncryptionNotForced, Judge: judgeEncryptionNotForced},
	{Rule: RuleStrictUnavailable, Judge: judgeStrictUnavailable},
	{Rule: RuleFallbackCertificate, Judge: judgeFallbackCertificate},
	{Rule: RuleVersionUnsupported, Judge: judgeVersionUnsupported},
}

var browserChecks = []connsec.Check[Observation]{{Rule: RuleBrowserExposed, Judge: judgeBrowserExposed}}

// strictServed reports that TDS 8.0 is there: the handshake works and agrees on its name.
func (s seenAddress) strictServed() bool {
	return s.strict != nil && s.strict.Handshake != nil && s.strict.Handshake.ALPN == alpnTDS8
}

// strictForced reports that nothing else is: the server itself ends every PRELOGIN in clear.
func (s seenAddress) strictForced() bool {
	if !s.strictServed() {
		return false
	}
	for _, a := range []Answer{s.a.Off, s.a.On, s.a.NotSup} {
		if a.Encryption != "" || a.Problem.Kind != tlscheck.Closed {
			return false
		}
	}
	return true
}

// RuleUnreachable: the rest needs a server.
var RuleUnreachable = &connsec.Rule{
	ID: "sql-unreachable", Title: "No SQL Server answers",
	Why:      "Nothing can be said about the server's encryption, and its clients cannot connect either.",
	Fix:      "Check host, port and instance, that the TCP/IP protocol is enabled in SQL Server Configuration Manager, and that the firewall lets this machine through.",
	Severity: connsec.High,
	Refs: []connsec.Citation{{
		Doc: "Microsoft Learn", Section: "Configure the Windows Firewall to allow SQL Server access",
		URL: "https://learn.microsoft.com/sql/sql-server/install/configure-the-windows-firewall-to-allow-sql-server-access",
	}}, Since: "0.1.0",
}

func judgeUnreachable(s seenAddress) connsec.Verdict {
	off, a := s.a.Off, s.a
	switch {
	case s.o.Port == 0 && s.o.Browser.Problem == (tlscheck.Problem{}):
		return connsec.Failed("SQL Server Browser does not know an instance %s with a TCP port", printable(s.o.Instance))
	case s.o.Port == 0:
		return connsec.Unknown("SQL Server Browser does not tell the port of the instance: %s; give the port instead", s.o.Browser.Problem.Text)
	case off.Encryption != "":
		return connsec.Passed("the server answers PRELOGIN as version %s", cmpOr(off.Version, "unknown"))
	case s.strictServed():
		return connsec.Passed("the server speaks TDS 8.0")
	case !a.Address.IsValid() && a.Unreachable != (tlscheck.Problem{}):
		return connsec.Unknown("%s", a.Unreachable.Text)
	case a.Unreachable != (tlscheck.Problem{}):
		return connsec.Unknown("could not connect: %s", a.Unreachable.Text)
	case off.Problem.Kind == tlscheck.Timeout:
		return connsec.Unknown("the port is open, but PRELOGIN is not answered in time")
	case off.Problem.Kind == NotTDS, off.Problem.Kind == tlscheck.Closed:
		return connsec.Failed("%s", off.Problem.Text)
	}
	return connsec.Unknown("the answer to PRELOGIN cannot be understood: %s", off.Problem.Text)
}

func cmpOr(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// RuleEncryptionUnsupported: a server of before 2005, or something that pretends to be one.
var RuleEncryptionUnsupported = &connsec.Rule{
	ID: "sql-encryption-unsupported", Title: "The server does not support encryption",
	Why:      "Every login and every row crosses the network in clear. A SQL Server can always encrypt, if need be with a certificate of its own making: an answer like this comes from a proxy, a pool, or a man in the middle.",
	Fix:      "Find out what answers here. If it is a proxy or a connection pool, put one there that speaks TLS, or connect to the server itself.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{msTDS("2.2.6.5 PRELOGIN"), myqSQL}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleUnreachable},
}

func judgeEncryptionUnsupported(s seenAddress) connsec.Verdict {
	off, on := s.a.Off.Encryption, s.a.On.Encryption
	switch {
	case s.strictForced():
		return connsec.Passed("the server speaks TDS 8.0 only")
	case on == "ON" || on == "REQ":
		return connsec.Passed("the server answers %s to a client that wants encryption", on)
	case on == "NOT_SUP" || on == "OFF":
		return connsec.Failed("the server answers %s to a client that wants encryption", on).With("off", off).With("on", on)
	case off == "NOT_SUP":
		return connsec.Failed("the server answers NOT_SUP").With("off", off)
	case on == "" && s.a.On.Problem.Kind == tlscheck.Closed && off == "":
		return connsec.Unknown("PRELOGIN is not answered: %s", s.a.Off.Problem.Text)
	}
	return connsec.Unknown("the answer to a client that wants encryption is not clear: %s", cmpOr(on, s.a.On.Problem.Text))
}

// RuleEncryptionNotForced: the server leaves it to each client.
var RuleEncryptionNotForced = &connsec.Rule{
	ID: "sql-encryption-not-forced", Title: "The server does not force encryption",
	Why:      "Each client decides for itself, and one careless connection string is enough for data, and with some drivers the password, to cross the network in clear.",
	Fix:      "Set Force Encryption to Yes in SQL Server Configuration Manager (Linux: mssql-conf set network.forceencryption 1) and restart the service. First give it a certificate that clients trust, and see which clients connect without encryption today.",
	Severity: connsec.High,
	Refs: []connsec.Citation{myqSQL, msTDS("2.2.6.5 PRELOGIN"), {
		Doc: "Microsoft Learn", Section: "Configure SQL Server Database Engine for encrypting connections",
		URL: "https://learn.microsoft.com/sql/database-engine/configure-windows/configure-sql-server-encryption",
	}}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleUnreachable, RuleEncryptionUnsupported},
}

func judgeEncryptionNotForced(s seenAddress) connsec.Verdict {
	off, notSup := s.a.Off.Encryption, s.a.NotSup.Encryption
	switch {
	case s.strictForced():
		return connsec.Passed("the server speaks TDS 8.0 only")
	case off == "OFF" || off == "NOT_SUP":
		return connsec.Failed("the server answers %s to a client that does not want encryption", off).With("off", off)
	case notSup == "NOT_SUP" || notSup == "OFF":
		return connsec.Failed("the server answers %s to a client that cannot encrypt, and lets it in", notSup).With("off", off).With("not_sup", notSup)
	case off == "REQ" && (notSup == "REQ" || s.a.NotSup.Problem.Kind == tlscheck.Closed):
		return connsec.Passed("the server answers REQ to a client that does not want encryption")
	case off == "REQ":
		return connsec.Unknown("the server answers REQ to a client that does not want encryption, but what it does with one that cannot is not clear: %s",
			cmpOr(notSup, s.a.NotSup.Problem.Text))
	}
	return connsec.Unknown("the server's answer to a client that does not want encryption is not clear: %s", cmpOr(off, s.a.Off.Problem.Text))
}

// RuleStrictUnavailable: worth knowing, because TDS 8.0 needs SQL Server 2022.
var RuleStrictUnavailable = &connsec.Rule{
	ID: "sql-strict-unavailable", Title: "The server does not offer strict encryption (TDS 8.0)",
	Why:      "Up to TDS 7 encryption is negotiated in clear and goes up to TLS 1.2. With TDS 8.0 a connection begins with TLS, 1.3 included, and clients always verify the certificate.",
	Fix:      "Use SQL Server 2022 or later with a certificate that clients trust; strict encryption is then there for clients that ask for it.",
	Severity: connsec.Info,
	Refs:     []connsec.Citation{tds8}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleUnreachable},
}

func judgeStrictUnavailable(s seenAddress) connsec.Verdict {
	p := s.a.Strict.Problem
	switch {
	case s.strictServed() && s.strictForced():
		return connsec.Passed("the server speaks TDS 8.0, and nothing else")
	case s.strictServed():
		return connsec.Passed("the server speaks TDS 8.0 to clients that ask for it")
	case s.a.Strict.TLS && s.strict != nil && s.strict.Handshake != nil:
		return connsec.Unknown("the server begins with TLS, but does not agree on %s", alpnTDS8)
	case s.a.Strict.TLS:
		return connsec.Unknown("the server begins with TLS, but the handshake does not complete")
	case p.Kind == tlscheck.Closed, p.Kind == tlscheck.NotTLS, p.Kind == tlscheck.Alert, p.Kind == NotTDS:
		return connsec.Failed("a connection that begins with TLS is not taken: %s", p.Text)
	}
	return connsec.Unknown("a connection that begins with TLS is not answered: %s", p.Text)
}

// fallbackName is the common name that SQL Server gives to the certificate that it makes for
// itself at each start, when it has no other.
const fallbackName = "SSL_Self_Signed_Fallback"

// RuleFallbackCertificate: the certificate of a server that has none.
var RuleFallbackCertificate = &connsec.Rule{
	ID: "sql-fallback-certificate", Title: "The server uses the certificate that it made for itself",
	Why:      "SQL Server without a certificate makes one at each start, for no name and signed by nobody. No client can tell it from that of a man in the middle, so clients that connect have verification switched off.",
	Fix:      "Issue a certificate for the server's DNS name (server authentication, key in the machine store and readable by the service account), choose it in SQL Server Configuration Manager, and restart the service.",
	Severity: connsec.High,
	Refs: []connsec.Citation{myqSQL, {
		Doc: "Microsoft Learn", Section: "Certificate requirements for SQL Server",
		URL: "https://learn.microsoft.com/sql/database-engine/configure-windows/certificate-requirements",
	}}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleUnreachable},
}

func judgeFallbackCertificate(s seenAddress) connsec.Verdict {
	seen := false
	for _, t := range []*tlscheck.AddressObservation{s.tls, s.strict} {
		if t == nil || t.Chain == nil || len(t.Chain.Certs) == 0 {
			continue
		}
		seen = true
		leaf := t.Chain.Certs[0]
		if leaf.Subject.CommonName == fallbackName && leaf.Issuer.CommonName == fallbackName {
			return connsec.Failed("the certificate is %s, made when the service started on %s", fallbackName, leaf.NotBefore.UTC().Format(time.DateOnly)).
				With("not_before", leaf.NotBefore.UTC().Format(time.RFC3339)).With("not_after", leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	switch {
	case seen:
		return connsec.Passed("the certificate is another one")
	case s.a.Off.Encryption == tdswire.EncryptNotSup.String():
		return connsec.Skipped("there is no encryption, see %s", RuleEncryptionUnsupported.ID)
	}
	return connsec.Unknown("no certificate was seen")
}

// RuleVersionUnsupported: no more security updates.
var RuleVersionUnsupported = &connsec.Rule{
	ID: "sql-version-unsupported", Title: "The server's version gets no security updates any more",
	Why:      "Vulnerabilities that are found now stay open, also those in its TLS and login code, which anyone on the network reaches.",
	Fix:      "Upgrade to a supported version. Until then, Extended Security Updates can be bought for some versions; waive this finding with the date to which they were.",
	Severity: connsec.High,
	Refs: []connsec.Citation{{
		Doc: "Microsoft Lifecycle", Section: "SQL Server",
		URL: "https://learn.microsoft.com/lifecycle/products/?products=sql-server",
	}}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleUnreachable},
}

func judgeVersionUnsupported(s seenAddress) connsec.Verdict {
	version := cmpOr(s.a.Off.Version, cmpOr(s.a.On.Version, s.a.NotSup.Version))
	if version == "" {
		return connsec.Unknown("the server does not tell its version")
	}
	when := s.o.AsOf
	if when.IsZero() {
		when = s.o.At
	}
	r, build, known := releaseOf(version)
	switch {
	case !known && r.major > releases[0].major:
		return connsec.Unknown("version %s is newer than this check", version)
	case !known:
		return connsec.Unknown("version %s is none that is known", version)
	case r.major == azureMajor && build == azureBuild:
		if isAzure(s.o.Host) {
			return connsec.Passed("this is Azure SQL, which Microsoft keeps up to date").With("version", version)
		}
		return connsec.Unknown("version %s is SQL Server 2014 without any update, or Azure SQL, which says so whatever it runs", version)
	}
	// The last day of support counts in full, wherever the server stands.
	if when.After(r.end.AddDate(0, 0, 1)) {
		return connsec.Failed("%s (%s) was supported until %s", r.name, version, r.end.Format(time.DateOnly)).With("version", version)
	}
	return connsec.Passed("%s (%s) is supported until %s", r.name, version, r.end.Format(time.DateOnly)).With("version", version)
}

func isAzure(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, domain := range []string{".database.windows.net", ".database.chinacloudapi.cn", ".database.usgovcloudapi.net"} {
		if strings.HasSuffix(host, domain) {
			return true
		}
	}
	return false
}

// RuleBrowserExposed: a directory of instances for everyone.
var RuleBrowserExposed = &connsec.Rule{
	ID: "sql-browser-exposed", Title: "SQL Server Browser answers",
	Why:      "It tells everyone the machine's name, its instances with their versions and ports, and takes part in amplification attacks. Clients believe its answer, which is not protected: it can send them anywhere.",
	Fix:      "Give instances fixed ports, enter the port in the clients' settings, and stop the SQL Server Browser service, or let its port 1434/udp through for those machines only that need it.",
	Severity: connsec.Info,
	Refs: []connsec.Citation{{
		Doc: "Microsoft Learn", Section: "SQL Server Browser service",
		URL: "https://learn.microsoft.com/sql/database-engine/configure-windows/sql-server-browser-service-database-engine-and-ssas",
	}, {Doc: "MC-SQLR", Section: "5.1", URL: "https://learn.microsoft.com/openspecs/windows_protocols/mc-sqlr/"}}, Since: "0.1.0",
}

func judgeBrowserExposed(o Observation) connsec.Verdict {
	switch p := o.Browser.Problem; {
	case len(o.Browser.Instances) > 0:
		var names []string
		for _, i := range o.Browser.Instances {
			names = append(names, i.Name)
		}
		v := connsec.Failed("it tells %d instances", len(names)).With("instances", strings.Join(names, ", "))
		if len(names) == 1 {
			v.Detail = "it tells one instance"
		}
		return v
	case p.Kind == tlscheck.Refused:
		return connsec.Passed("nothing listens on its port")
	case p == (tlscheck.Problem{}):
		return connsec.Failed("it answers, and tells no instance")
	default:
		return connsec.Unknown("it does not answer: %s; it may answer other machines", p.Text)
	}
}
