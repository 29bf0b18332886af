package sqlsec

import (
	"crypto/tls"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// The rules on the client's setting.

var (
	myqSQL = connsec.Citation{
		Doc: "MyQ Central Server security guide", Section: "Connection security, SQL Server",
		URL: "https://docs.myq-solution.com/en/security/1.0/connection-security",
	}
	goMSSQLDBReadme = connsec.Citation{
		Doc: "go-mssqldb README", Section: "Less common parameters",
		URL: "https://github.com/microsoft/go-mssqldb#less-common-parameters",
	}
	sqlClientEncrypt = connsec.Citation{
		Doc: "Microsoft Learn", Section: "SqlConnection.ConnectionString, Encrypt and TrustServerCertificate",
		URL: "https://learn.microsoft.com/dotnet/api/microsoft.data.sqlclient.sqlconnection.connectionstring",
	}
	odbcKeywords = connsec.Citation{
		Doc: "Microsoft Learn", Section: "DSN and connection string keywords and attributes",
		URL: "https://learn.microsoft.com/sql/connect/odbc/dsn-connection-string-attribute",
	}
	tds8 = connsec.Citation{
		Doc: "Microsoft Learn", Section: "TDS 8.0",
		URL: "https://learn.microsoft.com/sql/relational-databases/security/networking/tds-8",
	}
)

func msTDS(section string) connsec.Citation {
	return connsec.Citation{Doc: "MS-TDS", Section: section, URL: "https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/b46a581a-39de-4745-b076-ec4dbb7d13ec"}
}

var settingChecks = []connsec.Check[*Config]{
	{Rule: RuleEncryptionUnset, Judge: judgeEncryptionUnset},
	{Rule: RuleEncryptionOff, Judge: judgeEncryptionOff},
	{Rule: RuleEncryptionLoginOnly, Judge: judgeEncryptionLoginOnly},
	{Rule: RuleTrustServerCertificate, Judge: judgeTrust},
	{Rule: RuleCertificatePinOnly, Judge: judgePinOnly},
	{Rule: RuleName, Judge: judgeName},
	{Rule: RuleTLSMinimum, Judge: judgeTLSMinimum},
	{Rule: RuleTLSMinimumUnknown, Judge: judgeTLSMinimumUnknown},
	{Rule: RulePasswordInDSN, Judge: judgePasswordInDSN},
	{Rule: RuleLoginSA, Judge: judgeLoginSA},
	{Rule: RuleNamedPipe, Judge: judgeNamedPipe},
	{Rule: RuleNotStrict, Judge: judgeNotStrict},
}

// nameChecks are what can be said of a server alone.
var nameChecks = []connsec.Check[*Config]{{Rule: RuleName, Judge: judgeName}}

// keysBehind names the keys that a finding points at, the first that is there.
var keysBehind = map[*connsec.Rule][]string{
	RuleEncryptionOff:          {"encrypt"},
	RuleEncryptionLoginOnly:    {"encrypt"},
	RuleEncryptionUnset:        {"encrypt"},
	RuleNotStrict:              {"encrypt"},
	RuleTrustServerCertificate: {"trust"},
	RuleCertificatePinOnly:     {"pin"},
	RuleName:                   {"hostname", "server", "dsn"},
	RuleTLSMinimum:             {"tlsmin"},
	RuleTLSMinimumUnknown:      {"tlsmin"},
	RulePasswordInDSN:          {"password"},
	RuleLoginSA:                {"user"},
	RuleNamedPipe:              {"protocol", "network", "pipe", "server"},
}

func (c *Config) unset() bool { return c.dsn != nil && c.dsn.encryptionUnset }

// elsewhere reports whether something that is not read here may say what the text leaves out:
// a data source, or keys of a driver that is not known.
func (c *Config) elsewhere() bool { return c.DataSource != "" || c.dsn != nil && c.dsn.foreign }

// ignored reports that the encryption is given by a word that the provider may not look at.
func (c *Config) ignored() bool { return c.dsn != nil && c.dsn.providerWord }

// RuleEncryptionUnset: silence means something else to each driver.
var RuleEncryptionUnset = &connsec.Rule{
	ID: "sql-encryption-unset", Title: "The connection string does not say whether to encrypt",
	Why:      "Older drivers, and go-mssqldb to this day, then encrypt the login packet only if the server offers it, accept any certificate for it, and log in in clear if someone on the path says that encryption is not supported.",
	Fix:      "Add Encrypt=true (go-mssqldb: encrypt=true; ODBC: Encrypt=yes; OLE DB: Use Encryption for Data=True; with SQL Server 2022 and later: strict).",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{goMSSQLDBReadme, sqlClientEncrypt, odbcKeywords, myqSQL}, Since: "0.1.0",
}

func judgeEncryptionUnset(c *Config) connsec.Verdict {
	switch {
	case c.dsn != nil && c.dsn.foreign:
		return connsec.Unknown("the ODBC driver is none of Microsoft's, and has settings of its own")
	case c.ignored():
		return connsec.Unknown("beside Provider= the key is Use Encryption for Data; whether the provider sees Encrypt depends on how the string is used")
	case !c.unset():
		return connsec.Passed("the setting says %s", c.Encryption)
	case c.elsewhere():
		return connsec.Unknown("the data source may say it; look into it, or say it here")
	case c.Driver.MandatoryByDefault():
		return connsec.Passed("the setting does not say; with %s encryption is then mandatory", c.Driver.Title())
	case c.Driver == AnyDriver:
		return connsec.Failed("it does not say, and the driver is not known; go-mssqldb and older versions of the others then accept a connection in clear")
	case c.Driver == GoMSSQLDB:
		return connsec.Failed("it does not say; go-mssqldb then trusts every certificate and accepts a login in clear").With("driver", c.Driver)
	}
	return connsec.Failed("it does not say; %s then accepts a connection in clear", c.Driver.Title()).With("driver", c.Driver)
}

// RuleEncryptionOff: no encryption at all.
var RuleEncryptionOff = &connsec.Rule{
	ID: "sql-encryption-off", Title: "The client is told not to encrypt",
	Why:      "The login travels in clear: the password is only obfuscated, and whoever can see the packets can read it and everything after it.",
	Fix:      "Set encrypt=true, or encrypt=strict with SQL Server 2022 and later.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{goMSSQLDBReadme, msTDS("2.2.6.4 LOGIN7"), myqSQL}, Since: "0.1.0",
}

func judgeEncryptionOff(c *Config) connsec.Verdict {
	switch {
	case c.unset():
		return connsec.Skipped("the setting does not say; see %s", RuleEncryptionUnset.ID)
	case c.Encryption == Off:
		return connsec.Failed("encryption is disabled")
	}
	return connsec.Passed("encryption is %s", c.Encryption)
}

// RuleEncryptionLoginOnly: "optional" is what an attacker may choose.
var RuleEncryptionLoginOnly = &connsec.Rule{
	ID: "sql-encryption-login-only", Title: "The client leaves encryption to the server",
	Why:      "Unless the server insists, only the login packet is encrypted and all data is in clear. The choice is made by an unprotected message: an attacker on the path answers that encryption is not supported, and drivers send the password in clear.",
	Fix:      "Set Encrypt to true or mandatory; with SQL Server 2022 and later to strict.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{msTDS("2.2.6.5 PRELOGIN"), goMSSQLDBReadme, sqlClientEncrypt}, Since: "0.1.0",
}

func judgeEncryptionLoginOnly(c *Config) connsec.Verdict {
	switch {
	case c.unset():
		return connsec.Skipped("the setting does not say; see %s", RuleEncryptionUnset.ID)
	case c.Encryption == LoginOnly:
		return connsec.Failed("encryption is optional")
	case c.Encryption == Off:
		return connsec.Skipped("there is no encryption at all; see %s", RuleEncryptionOff.ID)
	case c.ignored() && !c.Driver.MandatoryByDefault():
		return connsec.Unknown("encryption is %s only if the provider sees Encrypt; see %s", c.Encryption, RuleEncryptionUnset.ID)
	}
	return connsec.Passed("encryption is %s", c.Encryption)
}

// RuleTrustServerCertificate: encryption with whoever answers.
var RuleTrustServerCertificate = &connsec.Rule{
	ID: "sql-trust-server-certificate", Title: "The client trusts every certificate",
	Why:      "The connection is encrypted to whoever answers. A man in the middle shows a certificate of his own and reads the password and all data.",
	Fix:      "Remove TrustServerCertificate or set it to false, and give the server a certificate for its DNS name from an authority that the client trusts.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{sqlClientEncrypt, goMSSQLDBReadme, myqSQL}, Since: "0.1.0",
}

func judgeTrust(c *Config) connsec.Verdict {
	switch {
	case c.dsn != nil && c.dsn.foreign:
		return connsec.Unknown("the ODBC driver is none of Microsoft's, and has settings of its own")
	case c.TrustServerCertificate && c.Encryption == Strict && !c.unset() && !c.ignored():
		return connsec.Passed("trustServerCertificate is set and has no effect: strict encryption always verifies")
	case c.TrustServerCertificate:
		return connsec.Failed("trustServerCertificate is set")
	case c.dsn != nil && c.dsn.trustManager:
		return connsec.Unknown("trustManagerClass decides which certificates are accepted; look into that class, or remove the property")
	case !c.unset() && c.Encryption == Off:
		return connsec.Skipped("there is no encryption, and no certificate; see %s", RuleEncryptionOff.ID)
	case !c.unset() && c.Encryption == LoginOnly:
		return connsec.Skipped("encryption is optional, and with it whether a certificate is verified; see %s", RuleEncryptionLoginOnly.ID)
	case c.unset() && !c.Driver.MandatoryByDefault():
		return connsec.Skipped("whether a certificate is verified depends on the encryption, which is not set; see %s", RuleEncryptionUnset.ID)
	case c.ignored() && !c.Driver.MandatoryByDefault():
		return connsec.Unknown("whether a certificate is verified depends on whether the provider sees Encrypt; see %s", RuleEncryptionUnset.ID)
	case c.elsewhere() && (c.dsn == nil || !c.dsn.trustSet) && (c.Encryption != Strict || c.unset()):
		return connsec.Unknown("the data source may set trustServerCertificate; look into it, or set it to no here")
	}
	return connsec.Passed("the certificate is to be verified")
}

// RuleCertificatePinOnly: equal bytes, and nothing else.
var RuleCertificatePinOnly = &connsec.Rule{
	ID: "sql-certificate-pin-only", Title: "The server's certificate is compared, not verified",
	Why:      "With serverCertificate the drivers compare bytes and skip name, chain, expiry and revocation: a certificate that was stolen or should have been replaced years ago is good for ever, and every renewal stops the clients.",
	Fix:      "Use a certificate from an authority that the client trusts. With go-mssqldb, certificate=FILE instead of serverCertificate=FILE keeps the checks of name and expiry.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{goMSSQLDBReadme, sqlClientEncrypt}, Since: "0.1.0",
}

func judgePinOnly(c *Config) connsec.Verdict {
	if c.ServerCertificate != "" {
		return connsec.Failed("serverCertificate is set")
	}
	if c.elsewhere() {
		return connsec.Unknown("something that is not read here may set serverCertificate")
	}
	return connsec.Passed("serverCertificate is not set")
}

// RuleName: the name that is verified is the one in the setting.
var RuleName = &connsec.Rule{
	ID: "sql-name", Title: "The server is not given by its fully qualified DNS name",
	Why:      "The certificate is verified against this name. An address, an alias or a short name is on no certificate that a client should trust, so verification fails and ends up switched off.",
	Fix:      "Enter the server's fully qualified DNS name, or keep the entry and set hostNameInCertificate to it.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{
		myqSQL, {Doc: "RFC 9525", Section: "6.2", URL: "https://www.rfc-editor.org/rfc/rfc9525#section-6.2"},
		{
			Doc: "Microsoft Learn", Section: "Certificate requirements for SQL Server",
			URL: "https://learn.microsoft.com/sql/database-engine/configure-windows/certificate-requirements",
		},
	}, Since: "0.1.0",
}

func judgeName(c *Config) connsec.Verdict {
	name, key := c.HostNameInCertificate, "hostNameInCertificate"
	if name == "" {
		name, key = c.Host, "server"
		switch {
		case c.Host == "" && c.elsewhere():
			return connsec.Unknown("the server is named elsewhere; look there, or name it here")
		case c.Protocol == NamedPipe || c.Protocol == SharedMemory:
			return connsec.Skipped("the connection does not use TCP; see %s", RuleNamedPipe.ID)
		}
	}
	v := judgeOneName(name, key)
	if v.Outcome != connsec.Pass || c.FailoverPartner == "" || c.HostNameInCertificate != "" {
		return v
	}
	// Drivers verify the certificate of the server that they end at.
	if partner := judgeOneName(hostAlone(c.FailoverPartner), aboutPartner.Value); partner.Outcome != connsec.Pass {
		return partner
	}
	return v
}

// aboutPartner is the evidence of findings on the name of the failover partner.
var aboutPartner = connsec.Attr{Key: "key", Value: "failover partner"}

func judgeOneName(name, key string) connsec.Verdict {
	if isLocal(name) {
		return connsec.Failed("%s means this machine and is on no certificate", printable(name)).With("key", key)
	}
	worst := connsec.Finding{}
	for _, f := range tlscheck.CheckName(name).Failed(connsec.Medium) {
		if f.Severity > worst.Severity {
			worst = f
		}
	}
	if worst.Rule == nil {
		return connsec.Passed("%s is a fully qualified name", printable(name)).With("key", key)
	}
	return connsec.Failed("%s: %s", printable(name), worst.Detail).With("key", key).With("rule", worst.Rule.ID)
}

// hostAlone takes protocol, instance and port off a server as a setting has it.
func hostAlone(server string) string {
	if hasPrefixFold(server, "tcp:") {
		server = server[len("tcp:"):]
	}
	server, _, _ = strings.Cut(server, ",")
	server, _, _ = strings.Cut(server, `\`)
	return strings.TrimSpace(server)
}

// RuleTLSMinimum: versions that are broken.
var RuleTLSMinimum = &connsec.Rule{
	ID: "sql-tls-minimum", Title: "The client accepts TLS below 1.2",
	Why:      "TLS 1.0 and 1.1 rest on MD5 and SHA-1 and are deprecated; whoever can change the handshake chooses them.",
	Fix:      "Set tlsmin to 1.2 or remove it (go-mssqldb); with JDBC set sslProtocol to TLS or TLSv1.2.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{{Doc: "RFC 8996", Section: "4", URL: "https://www.rfc-editor.org/rfc/rfc8996"}, goMSSQLDBReadme}, Since: "0.1.0",
}

func judgeTLSMinimum(c *Config) connsec.Verdict {
	switch {
	case c.TLSMinimum == 0 && (c.dsn == nil || c.Driver == GoMSSQLDB):
		return connsec.Passed("the default is TLS 1.2")
	case c.TLSMinimum == 0:
		return connsec.Skipped("the setting does not say; the operating system or the runtime decides")
	case c.TLSMinimum < tls.VersionTLS12:
		return connsec.Failed("%s is accepted", tls.VersionName(c.TLSMinimum))
	}
	return connsec.Passed("the minimum is %s", tls.VersionName(c.TLSMinimum))
}

// RuleTLSMinimumUnknown: a word that the driver does not know.
var RuleTLSMinimumUnknown = &connsec.Rule{
	ID: "sql-tls-minimum-unknown", Title: "The minimum TLS version has a value that the driver does not know",
	Why:      "go-mssqldb takes exactly 1.0, 1.1, 1.2 and 1.3. Anything else, such as \"TLS1.3\", silently means its default, so the setting does not do what it says.",
	Fix:      "Write tlsmin=1.2 or tlsmin=1.3.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{goMSSQLDBReadme}, Since: "0.1.0",
}

func judgeTLSMinimumUnknown(c *Config) connsec.Verdict {
	if c.dsn != nil && c.dsn.tlsMinUnknown {
		return connsec.Failed("the value is none of 1.0, 1.1, 1.2, 1.3")
	}
	if c.TLSMinimum != 0 {
		return connsec.Passed("the value is %s", tls.VersionName(c.TLSMinimum))
	}
	return connsec.Skipped("the setting does not name a version")
}

// RulePasswordInDSN: connection strings get logged.
var RulePasswordInDSN = &connsec.Rule{
	ID: "sql-password-in-dsn", Title: "The password stands in the connection string",
	Why:      "Connection strings end up in configuration backups, process lists, crash dumps and error messages, and the password with them.",
	Fix:      "Use integrated authentication, or keep the password in the product's secret store and add it at run time.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{{
		Doc: "Microsoft Learn", Section: "Protecting connection information",
		URL: "https://learn.microsoft.com/sql/connect/ado-net/protecting-connection-information",
	}}, Since: "0.1.0",
}

func judgePasswordInDSN(c *Config) connsec.Verdict {
	switch {
	case c.dsn == nil:
		return connsec.Skipped("the setting does not come from a connection string")
	case c.Password.IsEmpty():
		return connsec.Passed("there is no password")
	}
	return connsec.Failed("there is a password")
}

// RuleLoginSA: the one login that every attacker tries.
var RuleLoginSA = &connsec.Rule{
	ID: "sql-login-sa", Title: "The client logs in as sa",
	Why:      "sa may do everything on the server, cannot be locked out on purpose, and is the login that every attacker tries. Who gets this one connection string owns every database there.",
	Fix:      "Create a login for this product with rights on its own database only, and disable sa.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{{
		Doc: "Microsoft Learn", Section: "SQL Server security best practices, sa",
		URL: "https://learn.microsoft.com/sql/relational-databases/security/sql-server-security-best-practices",
	}}, Since: "0.1.0",
}

func judgeLoginSA(c *Config) connsec.Verdict {
	switch {
	case strings.EqualFold(strings.TrimSpace(c.User), "sa"):
		return connsec.Failed("the login is sa")
	case c.User != "":
		return connsec.Passed("the login is not sa")
	case c.elsewhere():
		return connsec.Unknown("something that is not read here may name the login")
	}
	return connsec.Skipped("the setting names no login")
}

// RuleNamedPipe: not TLS but SMB.
var RuleNamedPipe = &connsec.Rule{
	ID: "sql-named-pipe", Title: "The client uses a named pipe",
	Why:      "A named pipe to another machine is SMB: it opens port 445, may fall back to NTLM, and encrypts or signs only if SMB is told to. What this package says about TLS does not hold there.",
	Fix:      "Connect by TCP: tcp:host,port, and disable the Named Pipes protocol in SQL Server Configuration Manager.",
	Severity: connsec.Medium,
	Refs: []connsec.Citation{{
		Doc: "Microsoft Learn", Section: "Configure client protocols",
		URL: "https://learn.microsoft.com/sql/database-engine/configure-windows/configure-client-protocols",
	}}, Since: "0.1.0",
}

func judgeNamedPipe(c *Config) connsec.Verdict {
	switch c.Protocol {
	case NamedPipe:
		return connsec.Failed("the protocol is a named pipe")
	case SharedMemory:
		return connsec.Passed("the protocol is shared memory, inside one machine")
	}
	if c.Host == "" && c.elsewhere() {
		return connsec.Unknown("the server is named elsewhere, and the protocol with it")
	}
	return connsec.Passed("the protocol is TCP")
}

// RuleNotStrict: advice, because older servers cannot.
var RuleNotStrict = &connsec.Rule{
	ID: "sql-not-strict", Title: "The client does not ask for strict encryption (TDS 8.0)",
	Why:      "Up to TDS 7 the first packets are in clear, TLS 1.3 is not possible, and verification can be switched off. TDS 8.0 begins with TLS and always verifies.",
	Fix:      "With SQL Server 2022 and later and a driver that knows it, set Encrypt to strict.",
	Severity: connsec.Info,
	Refs:     []connsec.Citation{tds8}, Since: "0.1.0",
}

func judgeNotStrict(c *Config) connsec.Verdict {
	switch {
	case c.Encryption == Strict && c.ignored():
		return connsec.Unknown("encryption is strict only if the provider sees Encrypt; see %s", RuleEncryptionUnset.ID)
	case c.Encryption == Strict && !c.unset():
		return connsec.Passed("encryption is strict")
	case c.unset() && c.elsewhere():
		return connsec.Unknown("something that is not read here may say it")
	}
	return connsec.Failed("encryption is %s", c.Encryption)
}
