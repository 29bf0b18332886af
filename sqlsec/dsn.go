package sqlsec

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/connsec/connsec"
)

// maxDSN bounds a connection string. ODBC's own limit is 32,767 characters.
const maxDSN = 32 << 10

// SyntaxError says where a connection string cannot be understood, without its text: what
// looks like a key may be the rest of a password.
type SyntaxError struct {
	Position connsec.Position // Line and Column of the key, counted from the start of the text
	Problem  string
}

// Error is one line.
func (e *SyntaxError) Error() string {
	if e.Position.Line > 1 {
		return fmt.Sprintf("sqlsec: connection string, line %d, column %d: %s", e.Position.Line, e.Position.Column, e.Problem)
	}
	return fmt.Sprintf("sqlsec: connection string, column %d: %s", e.Position.Column, e.Problem)
}

// form is a way to write a connection string.
type form uint8

const (
	formADO    form = iota // key=value;… as SqlClient and go-mssqldb read it
	formURL                // sqlserver://user:password@host/instance?key=value
	formGoODBC             // odbc:key={value};… as go-mssqldb reads it
	formODBC               // Driver={…};key={value};…
	formOLEDB              // Provider=…;key=value;…
	formJDBC               // jdbc:sqlserver://host\instance:port;key=value;…
)

// pair is one key with its value, as places in the text. It holds no text, so that printing a
// Config shows none.
type pair struct {
	name     string // what the key means to us: "encrypt"; "" for anything else
	at       int    // start of the key
	from, to int    // the value with its quotes; from == to where there is none
	end      int    // after the pair, before the separator
}

// token is a pair while it is being read.
type token struct {
	pair
	key   string // lower case, trimmed
	value string // without quotes and escapes
}

// dsn is what Harden needs to know of the text that a Config came from.
type dsn struct {
	text  connsec.Secret
	form  form
	pairs map[string]pair // the one of each name that counts

	encryptionUnset bool
	trustSet        bool
	tlsMinUnknown   bool
	foreign         bool // for an ODBC driver that is not Microsoft's, with keys of its own
	providerWord    bool // Encrypt beside Provider=, where Use Encryption for Data belongs
	trustManager    bool // JDBC: a class of the product's own decides on certificates
}

// ParseDSN reads a connection string in any of these forms:
//
//	sqlserver://user:password@host/instance?key=value     go-mssqldb
//	server=host\instance,port;user id=…;key=value         go-mssqldb, SqlClient
//	odbc:server=host;key={value}                          go-mssqldb
//	Driver={ODBC Driver 18 for SQL Server};Server=…       ODBC, also with DSN=
//	Provider=MSOLEDBSQL19;Data Source=…                   OLE DB
//	jdbc:sqlserver://host\instance:port;key=value         JDBC
//
// The driver decides what a missing key means, how values are quoted, and which of two equal
// keys counts. AnyDriver is fine where the text names it; otherwise the weakest default is
// taken, and a text that the possible drivers would read differently is refused.
//
// Errors are a [*SyntaxError] and never contain any of the text.
func ParseDSN(text string, driver Driver) (Config, error) {
	fail := func(at int, problem string) (Config, error) {
		return Config{}, &SyntaxError{position(text, at), problem}
	}
	if !driver.Valid() {
		return fail(0, "the driver is none that is known")
	}
	if len(text) > maxDSN {
		return fail(maxDSN, "it is longer than 32 KiB")
	}
	if strings.TrimSpace(text) == "" {
		return fail(0, "it is empty")
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return fail(i, "it contains a NUL byte")
	}
	f := formOf(text, driver)
	tokens, bad := split(text, f, driver)
	if bad != nil {
		return Config{}, bad
	}
	switch written := driverOf(f, tokens); {
	case driver == AnyDriver:
		driver = written
	case written != AnyDriver && written != driver,
		f == formJDBC && driver != JDBC10 && driver != JDBC11,
		f == formADO && slices.ContainsFunc(tokens, func(t token) bool { return t.key == "driver" || t.key == "provider" }):
		return fail(0, "it is written for another driver than "+driver.String())
	}
	r := reading{
		c:    Config{Driver: driver, Encryption: LoginOnly},
		dsn:  &dsn{text: connsec.NewSecret(text), form: f, pairs: map[string]pair{}, encryptionUnset: true},
		text: text,
	}
	if driver == AnyDriver && f == formODBC {
		r.dsn.foreign = slices.ContainsFunc(tokens, func(t token) bool { return t.name == "driver" })
	}
	properties := map[string]bool{} // OLE DB: what has been given by the name of its property
	for _, t := range tokens {
		if t.name == "" || f == formOLEDB && properties[t.name] && !slices.Contains(oledbProperties, t.key) {
			continue
		}
		properties[t.name] = f == formOLEDB && slices.Contains(oledbProperties, t.key)
		if _, again := r.dsn.pairs[t.name]; again {
			if f == formODBC { // SQLDriverConnect: the first occurrence counts
				continue
			}
			if f == formURL || f == formJDBC { // which of two JDBC takes is not documented
				return fail(t.at, "the key stands twice")
			}
		}
		r.dsn.pairs[t.name] = t.pair
		if problem := r.set(t); problem != "" {
			return fail(t.at, problem)
		}
	}
	if r.c.Host == "" {
		switch {
		case r.c.DataSource != "":
		case driver == GoMSSQLDB:
			r.c.Host = "localhost" // what the driver takes
		default:
			return fail(0, "it names no server")
		}
	}
	if r.dsn.encryptionUnset && driver.MandatoryByDefault() {
		r.c.Encryption = Mandatory
	}
	if r.c.ServerCertificate != "" && driver == GoMSSQLDB && (r.c.Certificate != "" || r.c.HostNameInCertificate != "") {
		return fail(r.dsn.pairs["pin"].at, "serverCertificate excludes certificate and hostNameInCertificate; the driver refuses them together")
	}
	r.c.dsn = r.dsn
	return r.c, nil
}

// position counts lines and columns from 1.
func position(text string, at int) connsec.Position {
	at = min(at, len(text))
	line := 1 + strings.Count(text[:at], "\n")
	return connsec.Position{Line: line, Column: 1 + utf8.RuneCountInString(text[strings.LastIndexByte(text[:at], '\n')+1:at])}
}

// formOf tells the form by the scheme, by the driver that was named, and by the keys that only
// one form has.
func formOf(text string, driver Driver) form {
	switch {
	case hasPrefixFold(text, "jdbc:"):
		return formJDBC
	case strings.HasPrefix(text, "sqlserver://"): // as go-mssqldb: in lower case only
		return formURL
	case strings.HasPrefix(text, "odbc:"):
		return formGoODBC
	}
	switch driver {
	case GoMSSQLDB, SqlClient3, SqlClient4:
		return formADO
	case ODBC17, ODBC18:
		return formODBC
	case OLEDB18, OLEDB19:
		return formOLEDB
	case JDBC10, JDBC11:
		return formJDBC
	}
	for _, key := range keysOf(text) {
		switch key {
		case "driver", "dsn", "filedsn":
			return formODBC
		case "provider":
			return formOLEDB
		}
	}
	return formADO
}

// keysOf looks at what stands between a semicolon and an equals sign. It is only a first look,
// before the quoting is known.
func keysOf(text string) []string {
	var keys []string
	for part := range strings.SplitSeq(text, ";") {
		if key, _, ok := strings.Cut(part, "="); ok {
			keys = append(keys, strings.ToLower(strings.TrimSpace(key)))
		}
	}
	return keys
}

// driverOf tells the driver where the text names it.
func driverOf(f form, tokens []token) Driver {
	switch f {
	case formURL, formGoODBC:
		return GoMSSQLDB
	}
	for _, t := range tokens {
		value := strings.ToLower(t.value)
		switch {
		case t.name == "driver" && f == formODBC:
			var version int
			if _, err := fmt.Sscanf(value, "odbc driver %d for sql server", &version); err == nil {
				if version >= 18 {
					return ODBC18
				}
				return ODBC17
			}
			if value == "sql server" || strings.HasPrefix(value, "sql server native client") || value == "sql native client" {
				return ODBC17
			}
			return AnyDriver
		case t.name == "provider" && f == formOLEDB:
			name, version, _ := strings.Cut(value, ".") // "MSOLEDBSQL19.1" is the same provider
			_ = version
			if after, ok := strings.CutPrefix(name, "msoledbsql"); ok {
				if n, err := strconv.Atoi(after); err == nil && n >= 19 {
					return OLEDB19
				}
			}
			return OLEDB18
		}
	}
	return AnyDriver
}

// reading fills a Config token by token.
type reading struct {
	c    Config
	dsn  *dsn
	text string
}

// set takes one token over; the answer is what is wrong with it. It never repeats the value.
func (r *reading) set(t token) string {
	c, goDriver := &r.c, r.c.Driver == GoMSSQLDB
	switch t.name {
	case "server":
		return r.server(t.value)
	case "port":
		n, err := strconv.ParseUint(t.value, 10, 16)
		if err != nil {
			return "the port is no number up to 65535"
		}
		c.Port = uint16(n)
	case "instance":
		c.Instance = t.value
	case "database":
		c.Database = t.value
	case "user":
		c.User = t.value
	case "password":
		c.Password = connsec.NewSecret(t.value)
	case "integrated":
		v, ok := boolean(t.value)
		c.Integrated = v || strings.EqualFold(t.value, "sspi")
		if !ok && !c.Integrated && t.value != "" {
			return "integrated security is neither yes nor no"
		}
	case "encrypt":
		if r.dsn.foreign { // the word means nothing there, or something else
			return ""
		}
		r.dsn.providerWord = r.dsn.form == formOLEDB && t.key == "encrypt"
		return r.encrypt(t.value)
	case "trust":
		v, ok := boolean(t.value)
		if !ok && t.value == "" && !goDriver { // as if the key stood nowhere, see encrypt
			if r.dsn.form == formADO {
				c.TrustServerCertificate, r.dsn.trustSet = false, false
			}
			return ""
		}
		if !ok {
			return "trustServerCertificate is neither yes nor no"
		}
		c.TrustServerCertificate, r.dsn.trustSet = v, true
	case "hostname":
		c.HostNameInCertificate = t.value
	case "trustmanager":
		r.dsn.trustManager = t.value != ""
	case "partner":
		c.FailoverPartner = t.value
	case "pin":
		c.ServerCertificate = t.value
	case "ca":
		c.Certificate = t.value
	case "tlsmin":
		r.tlsMinimum(t.value)
	case "protocol":
		switch strings.ToLower(t.value) {
		case "", "tcp", "admin":
			c.Protocol = TCP
		case "np":
			c.Protocol = NamedPipe
		case "sm", "lpc":
			c.Protocol = SharedMemory
		default:
			return "the protocol is none of tcp, admin, np, lpc"
		}
	case "network":
		switch strings.ToLower(t.value) {
		case "dbnmpntw":
			c.Protocol = NamedPipe
		case "dbmslpcn":
			c.Protocol = SharedMemory
		}
	case "pipe":
		if t.value != "" && c.Protocol != TCP {
			c.Protocol = NamedPipe
		}
	case "dsn":
		c.DataSource = t.value
	}
	return ""
}

// server takes "[protocol:]host[\instance][,port]", and JDBC's "host[\instance][:port]".
func (r *reading) server(value string) string {
	c := &r.c
	c.Instance = ""
	if r.dsn.form == formJDBC {
		if host, port, err := net.SplitHostPort(value); err == nil {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return "the port is no number up to 65535"
			}
			value, c.Port = host, uint16(n)
		}
	}
	if r.dsn.form != formURL && r.dsn.form != formGoODBC && r.dsn.form != formJDBC {
		for _, p := range []struct {
			prefix string
			proto  Protocol
		}{{"tcp:", TCP}, {"admin:", TCP}, {"np:", NamedPipe}, {"lpc:", SharedMemory}} {
			if strings.HasPrefix(value, p.prefix) || c.Driver != GoMSSQLDB && hasPrefixFold(value, p.prefix) {
				value, c.Protocol = value[len(p.prefix):], p.proto
				break
			}
		}
		if host, port, ok := strings.Cut(value, ","); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(port), 10, 16)
			if err != nil && port != "" {
				return "the port after the server's name is no number up to 65535"
			}
			if port != "" {
				value, c.Port = strings.TrimSpace(host), uint16(n)
			}
		}
	}
	if strings.HasPrefix(value, `\\`) {
		c.Host, c.Protocol = value, NamedPipe
		return ""
	}
	host, instance, _ := strings.Cut(value, `\`)
	c.Host, c.Instance = host, instance
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		if _, err := netip.ParseAddr(host[1 : len(host)-1]); err == nil {
			c.Host = host[1 : len(host)-1]
		}
	}
	return ""
}

// encrypt takes the level. Words that the driver would refuse are refused here too: what it
// does with them is not for us to guess.
func (r *reading) encrypt(value string) string {
	c, word := &r.c, strings.ToLower(value)
	goDriver := c.Driver == GoMSSQLDB
	switch {
	case word == "" && (c.Driver == SqlClient3 || c.Driver == SqlClient4):
		// An empty value becomes null, the last one counts, and null means the default: an
		// earlier Encrypt=true is gone (DbConnectionOptions.ParseInternal).
		c.Encryption, r.dsn.encryptionUnset = LoginOnly, true
		return ""
	case word == "strict":
		c.Encryption = Strict
	case word == "mandatory" || word == "yes", word == "true" && r.dsn.form != formODBC, goDriver && (word == "1" || word == "t"):
		c.Encryption = Mandatory
	case word == "optional" || word == "no", word == "false" && r.dsn.form != formODBC, goDriver && (word == "0" || word == "f"):
		c.Encryption = LoginOnly
	case word == "disable" && (goDriver || c.Driver == AnyDriver && r.dsn.form == formADO):
		c.Encryption = Off
	case r.dsn.form == formODBC:
		return "encrypt is none of the words that ODBC knows: yes, no, mandatory, optional, strict"
	default:
		return "encrypt has a value that the driver refuses; it is one of true, mandatory, strict, false, optional"
	}
	r.dsn.encryptionUnset = false
	return ""
}

// tlsMinimum takes go-mssqldb's tlsmin and JDBC's sslProtocol. go-mssqldb compares exactly and
// says nothing about a word that it does not know.
func (r *reading) tlsMinimum(value string) {
	c := &r.c
	word := value
	if r.dsn.form == formJDBC {
		word = strings.TrimPrefix(strings.ToLower(value), "tlsv")
		switch word {
		case "tls": // whatever the runtime offers
			return
		case "1":
			word = "1.0"
		}
	}
	switch word {
	case "1.0":
		c.TLSMinimum = tls.VersionTLS10
	case "1.1":
		c.TLSMinimum = tls.VersionTLS11
	case "1.2":
		c.TLSMinimum = tls.VersionTLS12
	case "1.3":
		c.TLSMinimum = tls.VersionTLS13
	default:
		c.TLSMinimum, r.dsn.tlsMinUnknown = 0, value != ""
		return
	}
	r.dsn.tlsMinUnknown = false
}

// boolean knows the words of all drivers; none means yes to one and no to another.
func boolean(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "yes":
		return true, true
	case "no":
		return false, true
	}
	v, err := strconv.ParseBool(strings.ToLower(s))
	return v, err == nil
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// named gives a key its meaning in the form and for the driver. URL and odbc: keys have no
// synonyms in go-mssqldb: "trust server certificate" means nothing there.
func named(key string, f form, d Driver) string {
	if name, ok := commonKeys[key]; ok && (f == formURL || f == formGoODBC || d == GoMSSQLDB || f == formADO) {
		return name
	}
	if f == formURL || f == formGoODBC {
		return ""
	}
	if name, ok := goSynonyms[key]; ok && f == formADO && (d == GoMSSQLDB || d == AnyDriver) {
		return name
	}
	if d == GoMSSQLDB {
		return ""
	}
	return synonyms[f][key]
}

// commonKeys are the canonical keys of go-mssqldb.
var commonKeys = map[string]string{
	"server": "server", "port": "port", "database": "database", "user id": "user", "password": "password",
	"encrypt": "encrypt", "trustservercertificate": "trust", "hostnameincertificate": "hostname",
	"servercertificate": "pin", "certificate": "ca", "tlsmin": "tlsmin", "protocol": "protocol", "pipe": "pipe",
	"failoverpartner": "partner",
}

// goSynonyms are its further keys in the ADO form.
var goSynonyms = map[string]string{
	"data source": "server", "address": "server", "network address": "server", "addr": "server",
	"user": "user", "uid": "user", "pwd": "password", "initial catalog": "database",
	"trust server certificate": "trust", "host name in certificate": "hostname", "server certificate": "pin",
	"failover partner": "partner",
}

// synonyms are the keys of the other drivers.
var synonyms = map[form]map[string]string{
	formADO: {
		"data source": "server", "address": "server", "network address": "server", "addr": "server", "server": "server",
		"user id": "user", "user": "user", "uid": "user", "password": "password", "pwd": "password",
		"initial catalog": "database", "database": "database",
		"integrated security": "integrated", "trusted_connection": "integrated",
		"encrypt": "encrypt", "trustservercertificate": "trust", "trust server certificate": "trust",
		"hostnameincertificate": "hostname", "host name in certificate": "hostname",
		"servercertificate": "pin", "server certificate": "pin",
		"network library": "network", "net": "network", "network": "network",
		"failover partner": "partner", "failoverpartner": "partner",
	},
	formODBC: {
		"driver": "driver", "dsn": "dsn", "filedsn": "dsn",
		"server": "server", "address": "server", "addr": "server", "uid": "user", "pwd": "password", "database": "database",
		"trusted_connection": "integrated", "encrypt": "encrypt", "trustservercertificate": "trust",
		"hostnameincertificate": "hostname", "servercertificate": "pin", "network": "network", "net": "network",
		"failover_partner": "partner",
	},
	formOLEDB: {
		"provider": "provider", "data source": "server", "server": "server", "network address": "server", "address": "server",
		"user id": "user", "uid": "user", "password": "password", "pwd": "password",
		"initial catalog": "database", "database": "database",
		"integrated security": "integrated", "trusted_connection": "integrated",
		"use encryption for data": "encrypt", "encrypt": "encrypt",
		"trust server certificate": "trust", "trustservercertificate": "trust",
		"host name in certificate": "hostname", "hostnameincertificate": "hostname",
		"server certificate": "pin", "servercertificate": "pin",
		"network library": "network", "network": "network",
		"failover partner": "partner", "failoverpartner": "partner",
	},
	formJDBC: {
		"server": "server", "servername": "server", "port": "port", "portnumber": "port", "instancename": "instance",
		"database": "database", "databasename": "database", "user": "user", "username": "user", "password": "password",
		"integratedsecurity": "integrated", "encrypt": "encrypt", "trustservercertificate": "trust",
		"hostnameincertificate": "hostname", "servercertificate": "pin", "sslprotocol": "tlsmin",
		"trustmanagerclass": "trustmanager", "failoverpartner": "partner",
	},
}

// oledbProperties are the keys of an initialization string. The others belong into a provider string,
// and do not count beside the same thing as a property (Using Connection String Keywords with OLE DB
// Driver for SQL Server: the setting of the IDataInitialize::GetDataSource keyword is used).
var oledbProperties = []string{
	"data source", "network address", "user id", "password", "initial catalog", "integrated security", "use encryption for data",
	"trust server certificate", "host name in certificate", "server certificate", "network library", "failover partner",
}

// split cuts the text into tokens as the driver does.
func split(text string, f form, d Driver) ([]token, error) {
	var (
		tokens []token
		bad    *SyntaxError
	)
	switch f {
	case formURL:
		tokens, bad = splitURL(text)
	case formGoODBC:
		tokens, bad = splitBraced(text, len("odbc:"), f)
	case formODBC:
		tokens, bad = splitBraced(text, 0, f)
	case formOLEDB:
		tokens, bad = splitQuoted(text)
	case formJDBC:
		tokens, bad = splitJDBC(text)
	default:
		return splitADO(text, d)
	}
	if bad != nil {
		return nil, bad
	}
	name(tokens, f, d)
	if f == formODBC {
		for _, t := range tokens {
			// The grammar of MS-ODBCSTR skips spaces in front of a key, not behind it. A key that drivers
			// do not know is a warning (01S00), and they connect.
			if after := t.at + len(t.key); t.name != "" && text[after] != '=' {
				return nil, &SyntaxError{position(text, after), "a space stands before the equals sign; to ODBC it is part of the key, and the driver may not see the value"}
			}
		}
	}
	return tokens, nil
}

func name(tokens []token, f form, d Driver) {
	for i := range tokens {
		tokens[i].name = named(tokens[i].key, f, d)
	}
}

// splitADO reads as the one driver does, or as both do.
func splitADO(text string, d Driver) ([]token, error) {
	loose := splitLoose(text)
	name(loose, formADO, d)
	if d == GoMSSQLDB {
		return loose, nil
	}
	quoted, bad := splitQuoted(text)
	if bad != nil && d != AnyDriver {
		return nil, bad
	}
	if bad != nil { // SqlClient would refuse it, so it is written for go-mssqldb
		return loose, nil
	}
	name(quoted, formADO, d)
	if d == AnyDriver && !slices.EqualFunc(known(quoted), known(loose), func(a, b token) bool { return a.name == b.name && a.value == b.value }) {
		at := 0
		if i := strings.IndexAny(text, `"'`); i >= 0 {
			at = i
		}
		return nil, &SyntaxError{position(text, at), "the quoting here reads differently with SqlClient and with go-mssqldb; say which driver it is for"}
	}
	return quoted, nil
}

func known(tokens []token) []token {
	return slices.DeleteFunc(slices.Clone(tokens), func(t token) bool { return t.name == "" })
}
