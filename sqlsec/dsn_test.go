package sqlsec

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
)

const canary = "c4NaryS3cret"

func mustParse(tb testing.TB, text string, d Driver) Config {
	tb.Helper()
	c, err := ParseDSN(text, d)
	require.NoError(tb, err)
	return c
}

func TestParseDSNForms(t *testing.T) {
	for _, tt := range []struct {
		name, dsn string
		hint      Driver
		driver    Driver
		host      string
		instance  string
		port      uint16
		user      string
		level     Encryption
		trust     bool
	}{
		{"go url", "sqlserver://app:" + canary + "@db.corp.example:1444/inst?database=x&encrypt=true", AnyDriver, GoMSSQLDB, "db.corp.example", "inst", 1444, "app", Mandatory, false},
		{"go url keys have no synonyms", "sqlserver://app@db.corp.example?encrypt=true&trust+server+certificate=true", AnyDriver, GoMSSQLDB, "db.corp.example", "", 0, "app", Mandatory, false},
		{"go url pair with semicolon is dropped", "sqlserver://app@db.corp.example?encrypt=true;x=y", AnyDriver, GoMSSQLDB, "db.corp.example", "", 0, "app", LoginOnly, false},
		{"go url ipv6", "sqlserver://app@[2001:db8::1]:1433?encrypt=strict", AnyDriver, GoMSSQLDB, "2001:db8::1", "", 1433, "app", Strict, false},
		{"ado", `Server=tcp:db.corp.example\INST,1433;User ID=app;Pwd=` + canary + `;Encrypt=yes;Trust Server Certificate=true`, AnyDriver, AnyDriver, "db.corp.example", "INST", 1433, "app", Mandatory, true},
		{"ado last wins", "server=a.example;encrypt=true;encrypt=false", GoMSSQLDB, GoMSSQLDB, "a.example", "", 0, "", LoginOnly, false},
		{"ado go disable", "server=a.example;encrypt=disable", AnyDriver, AnyDriver, "a.example", "", 0, "", Off, false},
		{"ado without server is localhost to go", "user id=app;encrypt=true", GoMSSQLDB, GoMSSQLDB, "localhost", "", 0, "app", Mandatory, false},
		{"go odbc", "odbc:server=db.corp.example;port=1500;user id=app;password={" + canary + "};encrypt=true", AnyDriver, GoMSSQLDB, "db.corp.example", "", 1500, "app", Mandatory, false},
		{"sqlclient 4 default", "Data Source=db.corp.example;Integrated Security=SSPI", SqlClient4, SqlClient4, "db.corp.example", "", 0, "", Mandatory, false},
		{"sqlclient 3 default", "Data Source=db.corp.example;Integrated Security=true", SqlClient3, SqlClient3, "db.corp.example", "", 0, "", LoginOnly, false},
		{"sqlclient empty means absent", "Data Source=db.corp.example;Encrypt=;", SqlClient4, SqlClient4, "db.corp.example", "", 0, "", Mandatory, false},
		{"sqlclient quotes", `Data Source="db.corp.example";Password='a;Encrypt=false;''b';Encrypt=strict`, SqlClient4, SqlClient4, "db.corp.example", "", 0, "", Strict, false},
		{"odbc 18 default", "Driver={ODBC Driver 18 for SQL Server};Server=tcp:db.corp.example,1433;UID=app;PWD={" + canary + "}", AnyDriver, ODBC18, "db.corp.example", "", 1433, "app", Mandatory, false},
		{"odbc 17 default", "Driver={ODBC Driver 17 for SQL Server};Server=db.corp.example", AnyDriver, ODBC17, "db.corp.example", "", 0, "", LoginOnly, false},
		{"odbc braces protect", "Driver={ODBC Driver 18 for SQL Server};Server=db.corp.example;PWD={a;Encrypt=no;}}b};Encrypt=strict", AnyDriver, ODBC18, "db.corp.example", "", 0, "", Strict, false},
		{"odbc first wins", "Driver={ODBC Driver 18 for SQL Server};Server=db.corp.example;Encrypt=no;Encrypt=yes", AnyDriver, ODBC18, "db.corp.example", "", 0, "", LoginOnly, false},
		{"odbc windows driver", "Driver={SQL Server};Server=db.corp.example", AnyDriver, ODBC17, "db.corp.example", "", 0, "", LoginOnly, false},
		{"odbc driver unheard of", "Driver=FreeTDS;Server=db.corp.example", AnyDriver, AnyDriver, "db.corp.example", "", 0, "", LoginOnly, false},
		{"ole db 19 default", "Provider=MSOLEDBSQL19;Data Source=db.corp.example;Integrated Security=SSPI", AnyDriver, OLEDB19, "db.corp.example", "", 0, "", Mandatory, false},
		{"ole db 18 default", "Provider=MSOLEDBSQL;Data Source=db.corp.example", AnyDriver, OLEDB18, "db.corp.example", "", 0, "", LoginOnly, false},
		{"ole db", "Provider=SQLNCLI11;Data Source=db.corp.example;Use Encryption for Data=True;Trust Server Certificate=yes", AnyDriver, OLEDB18, "db.corp.example", "", 0, "", Mandatory, true},
		{"jdbc unknown version", `jdbc:sqlserver://db.corp.example\inst:1433;user=app;password={` + canary + `}`, AnyDriver, AnyDriver, "db.corp.example", "inst", 1433, "app", LoginOnly, false},
		{"jdbc 11 default", "jdbc:sqlserver://db.corp.example;databaseName=x", JDBC11, JDBC11, "db.corp.example", "", 0, "", Mandatory, false},
		{"jdbc properties", "jdbc:sqlserver://;serverName=db.corp.example;portNumber=1500;encrypt=false", JDBC11, JDBC11, "db.corp.example", "", 1500, "", LoginOnly, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, tt.dsn, tt.hint)
			got := []any{c.Driver, c.Host, c.Instance, c.Port, c.User, c.Encryption, c.TrustServerCertificate}
			assert.Equal(t, []any{tt.driver, tt.host, tt.instance, tt.port, tt.user, tt.level, tt.trust}, got)
			if strings.Contains(tt.dsn, canary) {
				assert.Equal(t, canary, c.Password.Reveal())
			}
			assertNoCanary(t, c)
		})
	}
}

// TestSpellings holds what drivers make of spellings that look safe, and of those that look worse
// than they are. Each has the document that says so.
func TestSpellings(t *testing.T) {
	const (
		// Of equal keys the last counts; a value that is empty is null, and null is the default.
		sqlClient = "SqlConnection.ConnectionString; DbConnectionOptions.ParseInternal in dotnet/SqlClient"
		// "If any keywords are repeated in the connection string, the driver uses the value
		// associated with the first occurrence of the keyword."
		odbc = "ODBC Programmer's Reference, SQLDriverConnect"
		// Of equal keys the last counts, of Provider the first.
		oledb = "OLE DB connection string syntax, setting values multiple times"
		// Where both stand, the property counts and not the keyword of the provider string.
		oledb3  = "Using Connection String Keywords with OLE DB Driver for SQL Server"
		oledb2  = "MicrosoftDocs/sql-docs issue 7623: Encrypt beside Provider= is taken and has no effect"
		jdbc    = "Setting the connection properties, trustManagerClass"
		partner = "SqlConnection.ConnectionString, Failover Partner; the same key of the other drivers"
		goReads = "go-mssqldb, msdsn"
	)
	for _, tt := range []struct {
		dsn    string
		driver Driver
		rule   *connsec.Rule
		want   connsec.Outcome
		source string
	}{
		{"Server=a.corp.example;Encrypt=true;Encrypt=", SqlClient3, RuleEncryptionUnset, connsec.Fail, sqlClient},
		{"Server=a.corp.example;Encrypt=false;Encrypt=", SqlClient4, RuleEncryptionUnset, connsec.Pass, sqlClient},
		{"Server=a.corp.example;Encrypt=true;encrypt=false", SqlClient4, RuleEncryptionLoginOnly, connsec.Fail, sqlClient},
		{"Server=a.corp.example;ENCRYPT = 'strict' ; ", SqlClient4, RuleNotStrict, connsec.Pass, sqlClient},
		{"Server=a.corp.example;Encrypt=true;Trust Server Certificate=yes;TrustServerCertificate=", SqlClient4, RuleTrustServerCertificate, connsec.Pass, sqlClient},
		{"Server=a.corp.example;Encrypt=true;TrustServerCertificate=no;Trust Server Certificate=yes", SqlClient4, RuleTrustServerCertificate, connsec.Fail, sqlClient},
		{"Server=a.corp.example;Encrypt=optional", SqlClient4, RuleTrustServerCertificate, connsec.NotApplicable, sqlClient},

		{"Driver={ODBC Driver 17 for SQL Server};Server=a.corp.example;Encrypt=no;Encrypt=yes", AnyDriver, RuleEncryptionLoginOnly, connsec.Fail, odbc},
		{"Driver={ODBC Driver 18 for SQL Server};Server=a.corp.example;Encrypt={strict};TrustServerCertificate=yes", AnyDriver, RuleTrustServerCertificate, connsec.Pass, odbc},
		{"Driver={ODBC Driver 18 for SQL Server};Server=lpc:a.corp.example;Encrypt=yes;Net=dbnmpntw", AnyDriver, RuleNamedPipe, connsec.Fail, odbc},

		{"Provider=MSOLEDBSQL;Provider=MSOLEDBSQL19;Data Source=a.corp.example", AnyDriver, RuleEncryptionUnset, connsec.Fail, oledb},
		{"Provider=MSOLEDBSQL;Data Source=a.corp.example;Use Encryption for Data=True;Use Encryption for Data=False", AnyDriver, RuleEncryptionLoginOnly, connsec.Fail, oledb},
		{"Provider=MSOLEDBSQL;Data Source=a.corp.example;Encrypt=yes", AnyDriver, RuleEncryptionUnset, connsec.Inconclusive, oledb2},
		{"Provider=MSOLEDBSQL;Data Source=a.corp.example;Encrypt=yes", AnyDriver, RuleEncryptionLoginOnly, connsec.Inconclusive, oledb2},
		{"Provider=MSOLEDBSQL;Data Source=a.corp.example;Encrypt=yes", AnyDriver, RuleTrustServerCertificate, connsec.Inconclusive, oledb2},
		{"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Encrypt=yes", AnyDriver, RuleEncryptionLoginOnly, connsec.Pass, oledb2},
		{"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Encrypt=strict", AnyDriver, RuleNotStrict, connsec.Inconclusive, oledb2},
		{"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Encrypt=strict;Trust Server Certificate=yes", AnyDriver, RuleTrustServerCertificate, connsec.Fail, oledb2},
		{"Provider=MSOLEDBSQL;Data Source=a.corp.example;Encrypt=no", AnyDriver, RuleEncryptionLoginOnly, connsec.Fail, oledb2},
		{"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Use Encryption for Data=False;Encrypt=yes", AnyDriver, RuleEncryptionLoginOnly, connsec.Fail, oledb3},
		{"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Encrypt=no;Use Encryption for Data=Strict", AnyDriver, RuleNotStrict, connsec.Pass, oledb3},
		{"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Use Encryption for Data=Strict;Encrypt=no", AnyDriver, RuleNotStrict, connsec.Pass, oledb3},
		{"Provider=MSOLEDBSQL;Data Source=a.corp.example;Use Encryption for Data=True;Trust Server Certificate=True;TrustServerCertificate=no", AnyDriver, RuleTrustServerCertificate, connsec.Fail, oledb3},
		{"Provider=MSOLEDBSQL;Data Source=a.corp.example;Use Encryption for Data=True;Trust Server Certificate=True;Trust Server Certificate=", AnyDriver, RuleTrustServerCertificate, connsec.Fail, "what an empty one means is not documented"},
		{"Provider=MSOLEDBSQL19;Data Source=sql1;Use Encryption for Data=Strict;Server=a.corp.example", AnyDriver, RuleName, connsec.Fail, oledb3},

		{"jdbc:sqlserver://a.corp.example;encrypt=true;trustManagerClass=com.example.TakeAll", JDBC11, RuleTrustServerCertificate, connsec.Inconclusive, jdbc},
		{"jdbc:sqlserver://a.corp.example;encrypt=true;trustManagerClass=", JDBC11, RuleTrustServerCertificate, connsec.Pass, jdbc},

		{"Server=a.corp.example;Encrypt=strict;Failover Partner=sql2", SqlClient4, RuleName, connsec.Fail, partner},
		{`Server=a.corp.example;Encrypt=strict;Failover Partner=tcp:b.corp.example\INST,1433`, SqlClient4, RuleName, connsec.Pass, partner},
		{"Server=a.corp.example;Encrypt=strict;Failover Partner=192.0.2.1;HostNameInCertificate=a.corp.example", SqlClient4, RuleName, connsec.Pass, partner},
		{"Driver={ODBC Driver 18 for SQL Server};Server=a.corp.example;Failover_Partner=.", AnyDriver, RuleName, connsec.Fail, partner},
		{"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Failover Partner=sql2", AnyDriver, RuleName, connsec.Fail, partner},
		{"jdbc:sqlserver://a.corp.example;failoverPartner=sql2", JDBC11, RuleName, connsec.Fail, partner},
		{"sqlserver://a.corp.example?encrypt=strict&failoverpartner=sql2", AnyDriver, RuleName, connsec.Fail, partner},

		{"sqlserver://a.corp.example?Encrypt=Disable", AnyDriver, RuleEncryptionOff, connsec.Fail, goReads},
		{"sqlserver://a.corp.example?encrypt=disable", AnyDriver, RuleTrustServerCertificate, connsec.NotApplicable, goReads},
		{"server=a.corp.example;encrypt=true;encrypt=0", GoMSSQLDB, RuleEncryptionLoginOnly, connsec.Fail, goReads},
		{`server=a.corp.example;password="x;encrypt=true`, GoMSSQLDB, RuleEncryptionUnset, connsec.Fail, goReads},
		{"server=a.corp.example;'encrypt'=true", GoMSSQLDB, RuleEncryptionUnset, connsec.Fail, goReads},
	} {
		t.Run(tt.dsn, func(t *testing.T) {
			got := mustParse(t, tt.dsn, tt.driver).Validate().Of(tt.rule)[0]
			assert.Equal(t, tt.want, got.Outcome, "%s (%s)", got.Detail, tt.source)
		})
	}
	f := mustParse(t, "Server=a.corp.example;Encrypt=strict;Failover Partner=sql2", SqlClient4).Validate().Of(RuleName)[0]
	assert.Equal(t, 38, f.Source.Column, "it points to the partner")
}

// A host to look at is no setting: nothing is known of what its clients say.
func TestServerOnly(t *testing.T) {
	r := Config{Host: "a.corp.example", ServerOnly: true}.Validate()
	require.Len(t, r.Findings, 1)
	ruletest.Expect(t, r, connsec.Pass, RuleName)
	ruletest.ExpectFailed(t, Config{Host: "sql1", ServerOnly: true}.Validate(), RuleName)
}

// TestHardenProviderWord: what is added is the key that the provider looks at for certain.
func TestHardenProviderWord(t *testing.T) {
	for in, want := range map[string]string{
		"Provider=MSOLEDBSQL;Data Source=a.corp.example;Encrypt=no":                                  ";Use Encryption for Data=true",
		"Provider=MSOLEDBSQL;Data Source=a.corp.example;Encrypt=yes":                                 ";Use Encryption for Data=true",
		"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Encrypt=strict":                            ";Use Encryption for Data=strict",
		"Provider=MSOLEDBSQL;Data Source=a.corp.example;Use Encryption for Data=true;Encrypt=no":     "",
		"Provider=MSOLEDBSQL19;Data Source=a.corp.example;Encrypt=no;Use Encryption for Data=Strict": "",
	} {
		h, err := mustParse(t, in, AnyDriver).Harden()
		require.NoError(t, err)
		assert.Equal(t, in+want, h.DSN().Reveal())
		ruletest.Expect(t, h.Remaining, connsec.Pass, RuleEncryptionUnset, RuleEncryptionLoginOnly, RuleTrustServerCertificate)
	}
	h, err := mustParse(t, "Provider=MSOLEDBSQL19;Data Source=a.corp.example;Encrypt=strict;Trust Server Certificate=yes", AnyDriver).Harden()
	require.NoError(t, err)
	assert.Contains(t, h.DSN().Reveal(), ";Trust Server Certificate=false;Use Encryption for Data=strict")
}

func assertNoCanary(t *testing.T, c Config) {
	t.Helper()
	r, err := json.Marshal(c.Validate())
	require.NoError(t, err)
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), fmt.Sprintf("%+v", c.dsn), string(r), c.Subject()} {
		assert.NotContains(t, shown, canary)
	}
	if h, err := c.Harden(); err == nil {
		assert.NotContains(t, h.Diff()+fmt.Sprintf("%+v %#v", h, h), canary)
	} else {
		assert.NotContains(t, err.Error(), canary)
	}
}

func TestParseDSNRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, dsn string
		driver    Driver
		column    int
		want      string
	}{
		{"empty", "  ", AnyDriver, 1, "empty"},
		{"nul", "server=\x00", AnyDriver, 8, "NUL"},
		{"long", strings.Repeat("x", maxDSN+1), AnyDriver, maxDSN + 1, "32 KiB"},
		{"no server", "user id=x;Encrypt=true", SqlClient4, 1, "names no server"},
		{"no server, driver unknown", "encrypt=true", AnyDriver, 1, "names no server"},
		{"word that no driver knows", "server=a.example;encrypt=" + canary, AnyDriver, 18, "encrypt has a value"},
		{"ODBC word", "Driver={ODBC Driver 17 for SQL Server};Server=a.example;Encrypt=true", AnyDriver, 57, "ODBC knows"},
		{"disable is a word of go-mssqldb only", "server=a.example;encrypt=disable", SqlClient4, 18, "refuses"},
		{"trust", "server=a.example;trustservercertificate=" + canary, GoMSSQLDB, 18, "neither"},
		{"port", "server=a.example,1433x;encrypt=true", GoMSSQLDB, 1, "port"},
		{"url port", "sqlserver://sa:" + canary + "@a.example:99999", AnyDriver, 39, "port"},
		{"url duplicate", "sqlserver://a.example?encrypt=true&Encrypt=false", AnyDriver, 36, "twice"},
		{"url unescaped slash", "sqlserver://sa:x@y/" + canary + "@a.example", AnyDriver, 13, "percent"},
		{"url unescaped question mark", "sqlserver://sa:12?" + canary + "@a.example", AnyDriver, 13, "percent"},
		{"url unescaped hash", "sqlserver://sa:12#" + canary + "@a.example", AnyDriver, 13, "percent"},
		{"url broken escape", "sqlserver://sa:" + canary + "%zz@a.example", AnyDriver, 1, "no valid URL"},
		{"url pin and host name", "sqlserver://a.example?servercertificate=x.pem&hostnameincertificate=b.example", AnyDriver, 23, "excludes"},
		{"sqlclient unclosed quote", "Server=a.example;Password='" + canary, SqlClient4, 27, "not closed"},
		{"sqlclient semicolon in password", "Server=a.example;Password=a;" + canary, SqlClient4, 29, "no value"},
		{"sqlclient after quote", "Server=a.example;Password='a'" + canary, SqlClient4, 30, "closing quote"},
		{"sqlclient ends with quote", "Server=a.example;Password=" + canary + "'", SqlClient4, 27, "ends with a quote"},
		{"no key", "Server=a.example;=" + canary, SqlClient4, 18, "no key"},
		{"no key, behind other letters", "Server=zürich😀.example;=" + canary, SqlClient4, 24, "no key"},
		{"two readings", "Server=a.example;Password='x;Encrypt=true;y'", AnyDriver, 27, "differently"},
		{"odbc unclosed", "Driver={x};Server=a.example;PWD={" + canary, AnyDriver, 33, "not closed"},
		{"odbc after brace", "Driver={x};Server=a.example;PWD={a}" + canary, AnyDriver, 36, "closing brace"},
		{"odbc no key", "Driver={x};=a", AnyDriver, 12, "no key"},
		{"odbc semicolon in password", "Driver={ODBC Driver 17 for SQL Server};Server=a.example;PWD=x;" + canary + ";Encrypt=yes", AnyDriver, 63, "no value"},
		{"odbc space behind a key", "Driver={ODBC Driver 17 for SQL Server};Server=a.example;Encrypt =yes", AnyDriver, 64, "a space stands before"},
		{"jdbc key alone", "jdbc:sqlserver://a.example;" + canary + ";encrypt=true", JDBC11, 28, "no value"},
		{"jdbc for another server", "jdbc:postgresql://a.example/" + canary, AnyDriver, 1, "jdbc:sqlserver://"},
		{"protocol", "server=a.example;protocol=" + canary, GoMSSQLDB, 18, "protocol"},
		{"driver", "server=a.example", Driver(99), 1, "driver"},
		{"URL for ODBC", "sqlserver://a.example", ODBC18, 1, "another driver"},
		{"odbc: for SqlClient", "odbc:server=a.example", SqlClient4, 1, "another driver"},
		{"JDBC for SqlClient", "jdbc:sqlserver://a.example", SqlClient4, 1, "another driver"},
		{"ODBC 17 for ODBC 18", "Driver={ODBC Driver 17 for SQL Server};Server=a.example", ODBC18, 1, "another driver"},
		{"OLE DB 18 for OLE DB 19", "Provider=MSOLEDBSQL;Data Source=a.example", OLEDB19, 1, "another driver"},
		{"OLE DB for SqlClient", "Provider=MSOLEDBSQL;Data Source=a.example", SqlClient4, 1, "another driver"},
		{"ODBC for go-mssqldb", "Driver={ODBC Driver 18 for SQL Server};Server=a.example", GoMSSQLDB, 1, "another driver"},
		{"jdbc duplicate", "jdbc:sqlserver://a.example;encrypt=true;Encrypt=false", JDBC11, 41, "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseDSN(tt.dsn, tt.driver)
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax)
			assert.Contains(t, err.Error(), tt.want)
			assert.NotContains(t, err.Error(), canary)
			assert.Equal(t, tt.column, syntax.Position.Column, err)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestValidate(t *testing.T) {
	advice := []*connsec.Rule{RuleNotStrict}
	for _, tt := range []struct {
		name, dsn string
		driver    Driver
		failed    []*connsec.Rule
		passed    []*connsec.Rule
	}{
		{"best", "sqlserver://db.corp.example?encrypt=strict&tlsmin=1.3", AnyDriver, nil, []*connsec.Rule{
			RuleEncryptionUnset, RuleEncryptionOff, RuleEncryptionLoginOnly, RuleTrustServerCertificate, RuleCertificatePinOnly, RuleName,
			RuleTLSMinimum, RuleTLSMinimumUnknown, RulePasswordInDSN, RuleNamedPipe, RuleNotStrict,
		}},
		{"unset in go", "sqlserver://db.corp.example", AnyDriver, append(advice, RuleEncryptionUnset), nil},
		{"unset, unknown driver", "server=db.corp.example", AnyDriver, append(advice, RuleEncryptionUnset), nil},
		{"unset in ODBC 17", "Driver={ODBC Driver 17 for SQL Server};Server=db.corp.example", AnyDriver, append(advice, RuleEncryptionUnset), nil},
		{"unset in ODBC 18", "Driver={ODBC Driver 18 for SQL Server};Server=db.corp.example", AnyDriver, advice, []*connsec.Rule{RuleEncryptionUnset, RuleTrustServerCertificate}},
		{"unset in SqlClient 4", "Server=db.corp.example", SqlClient4, advice, []*connsec.Rule{RuleEncryptionUnset}},
		{"unset in JDBC 10.2", "jdbc:sqlserver://db.corp.example", JDBC11, advice, []*connsec.Rule{RuleEncryptionUnset}},
		{"unset in OLE DB 19", "Provider=MSOLEDBSQL19;Data Source=db.corp.example", AnyDriver, advice, []*connsec.Rule{RuleEncryptionUnset}},
		{"off", "sqlserver://db.corp.example?encrypt=disable", AnyDriver, append(advice, RuleEncryptionOff), nil},
		{"optional", "sqlserver://db.corp.example?encrypt=false", AnyDriver, append(advice, RuleEncryptionLoginOnly), nil},
		{"trust", "sqlserver://db.corp.example?encrypt=true&TrustServerCertificate=true", AnyDriver, append(advice, RuleTrustServerCertificate), nil},
		{"trust has no effect in strict", "sqlserver://db.corp.example?encrypt=strict&TrustServerCertificate=true", AnyDriver, nil, []*connsec.Rule{RuleTrustServerCertificate}},
		{"trust with unset", "sqlserver://db.corp.example?TrustServerCertificate=true", AnyDriver, append(advice, RuleEncryptionUnset, RuleTrustServerCertificate), nil},
		{"pin", "sqlserver://db.corp.example?encrypt=strict&servercertificate=x.pem", AnyDriver, []*connsec.Rule{RuleCertificatePinOnly}, nil},
		{"address", "sqlserver://192.0.2.1?encrypt=strict", AnyDriver, []*connsec.Rule{RuleName}, nil},
		{"short name", `Server=sql1\prod;Encrypt=strict`, AnyDriver, []*connsec.Rule{RuleName}, nil},
		{"dot", "Server=.;Encrypt=strict", AnyDriver, []*connsec.Rule{RuleName}, nil},
		{"local", "Server=(local);Encrypt=strict", AnyDriver, []*connsec.Rule{RuleName}, nil},
		{"address with host name", "Server=192.0.2.1;Encrypt=strict;HostNameInCertificate=db.corp.example", AnyDriver, nil, []*connsec.Rule{RuleName}},
		{"host name is no name either", "Server=192.0.2.1;Encrypt=strict;HostNameInCertificate=sql1", AnyDriver, []*connsec.Rule{RuleName}, nil},
		{"tls 1.0", "sqlserver://db.corp.example?encrypt=strict&tlsmin=1.0", AnyDriver, []*connsec.Rule{RuleTLSMinimum}, []*connsec.Rule{RuleTLSMinimumUnknown}},
		{"tls 1.2", "sqlserver://db.corp.example?encrypt=strict&tlsmin=1.2", AnyDriver, nil, []*connsec.Rule{RuleTLSMinimum}},
		{"tls typo", "sqlserver://db.corp.example?encrypt=strict&tlsmin=TLS1.3", AnyDriver, []*connsec.Rule{RuleTLSMinimumUnknown}, nil},
		{"jdbc tls 1.1", "jdbc:sqlserver://db.corp.example;encrypt=strict;sslProtocol=TLSv1.1", JDBC11, []*connsec.Rule{RuleTLSMinimum}, nil},
		{"jdbc tls 1.0", "jdbc:sqlserver://db.corp.example;encrypt=strict;sslProtocol=TLSv1", JDBC11, []*connsec.Rule{RuleTLSMinimum}, nil},
		{"password", "sqlserver://app:x@db.corp.example?encrypt=strict", AnyDriver, []*connsec.Rule{RulePasswordInDSN}, []*connsec.Rule{RuleLoginSA}},
		{"sa", "sqlserver://SA@db.corp.example?encrypt=strict", AnyDriver, []*connsec.Rule{RuleLoginSA}, []*connsec.Rule{RulePasswordInDSN}},
		{"pipe by prefix", "Server=np:db.corp.example;Encrypt=strict", AnyDriver, []*connsec.Rule{RuleNamedPipe}, nil},
		{"pipe by path", `Server=\\db.corp.example\pipe\sql\query;Encrypt=strict`, AnyDriver, []*connsec.Rule{RuleNamedPipe}, nil},
		{"pipe by library", "Server=db.corp.example;Network Library=dbnmpntw;Encrypt=strict", SqlClient4, []*connsec.Rule{RuleNamedPipe}, nil},
		{"pipe by protocol", "sqlserver://db.corp.example?protocol=np&encrypt=strict", AnyDriver, []*connsec.Rule{RuleNamedPipe}, nil},
		{"shared memory", "Server=lpc:db.corp.example;Encrypt=strict", AnyDriver, nil, []*connsec.Rule{RuleNamedPipe}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := mustParse(t, tt.dsn, tt.driver).Validate()
			ruletest.ExpectFailed(t, r, tt.failed...)
			if len(tt.passed) > 0 {
				ruletest.Expect(t, r, connsec.Pass, tt.passed...)
			}
		})
	}
	t.Run("a data source may say the rest", func(t *testing.T) {
		r := mustParse(t, "DSN=Central;UID=app", AnyDriver).Validate()
		ruletest.Expect(t, r, connsec.Inconclusive, RuleEncryptionUnset, RuleName, RuleNotStrict)
		ruletest.ExpectFailed(t, r)
		assert.Equal(t, "DSN Central", r.Target)
	})
	t.Run("a data source may weaken what a driver would do", func(t *testing.T) {
		c := mustParse(t, "DSN=Central;UID=app", ODBC18)
		ruletest.Expect(t, c.Validate(), connsec.Inconclusive, RuleEncryptionUnset, RuleTrustServerCertificate, RuleCertificatePinOnly, RuleNamedPipe)
		h, err := c.Harden()
		require.NoError(t, err)
		ruletest.Expect(t, h.Remaining, connsec.Pass, RuleEncryptionUnset)
		ruletest.Expect(t, h.Remaining, connsec.Inconclusive, RuleTrustServerCertificate)
		ruletest.Expect(t, mustParse(t, "DSN=Central;Encrypt=yes;TrustServerCertificate=no;UID=app", ODBC18).Validate(), connsec.Pass,
			RuleEncryptionUnset, RuleTrustServerCertificate)
		ruletest.Expect(t, mustParse(t, "Driver=FreeTDS;Server=db.corp.example;TrustServerCertificate=no", AnyDriver).Validate(), connsec.Inconclusive,
			RuleTrustServerCertificate)
		fields := Config{DataSource: "Central", Driver: ODBC18, Encryption: Mandatory}
		for _, f := range fields.Validate().Findings {
			assert.NotContains(t, f.Detail, "defect", f.Rule.ID)
		}
	})
	t.Run("what is not known is not judged", func(t *testing.T) {
		r := mustParse(t, "Driver=FreeTDS;Server=db.corp.example;Encryption=require;Encrypt=true", AnyDriver)
		ruletest.Expect(t, r.Validate(), connsec.Inconclusive, RuleEncryptionUnset, RuleNotStrict)
		ruletest.ExpectFailed(t, r.Validate())
		_, err := r.Harden()
		assert.ErrorIs(t, err, errForeign)
		ruletest.Expect(t, mustParse(t, "Provider=MSOLEDBSQL;Data Source=db.corp.example;Encrypt=yes", AnyDriver).Validate(), connsec.Inconclusive, RuleEncryptionUnset)
	})
	t.Run("a literal", func(t *testing.T) {
		ruletest.ExpectFailed(t, Config{Host: "db.corp.example"}.Validate())
		ruletest.ExpectFailed(t, Config{Host: "db.corp.example", Encryption: LoginOnly, TLSMinimum: tls.VersionTLS11}.Validate(),
			RuleEncryptionLoginOnly, RuleTLSMinimum, RuleNotStrict)
	})
}

func TestFindingsPointAtTheKey(t *testing.T) {
	c := mustParse(t, "server=10.0.0.1;user id=sa;\npassword=x;encrypt=no", GoMSSQLDB)
	c.Source = connsec.Position{File: "app.config", Line: 7, Column: 20}
	r := c.Validate()
	for rule, want := range map[*connsec.Rule]string{
		RuleName: "app.config:7:20", RuleLoginSA: "app.config:7:36", RulePasswordInDSN: "app.config:8:1", RuleEncryptionLoginOnly: "app.config:8:12",
	} {
		require.Len(t, r.Of(rule), 1)
		assert.Equal(t, want, r.Of(rule)[0].Source.String(), rule.ID)
	}
	c = mustParse(t, "server=db.corp.example", GoMSSQLDB)
	assert.Equal(t, &connsec.Position{Line: 1, Column: 1}, c.Validate().Of(RuleEncryptionUnset)[0].Source)
}

func TestHarden(t *testing.T) {
	pw := canary
	for _, tt := range []struct {
		name, dsn string
		driver    Driver
		want      string
		diff      string
	}{
		{"nothing to do", "server=db.corp.example;encrypt=true", GoMSSQLDB, "server=db.corp.example;encrypt=true", ""},
		{"strict stays", "sqlserver://db.corp.example?encrypt=strict&trustservercertificate=true", AnyDriver, "sqlserver://db.corp.example?encrypt=strict&trustservercertificate=true", ""},
		{"url without query", "sqlserver://app:" + pw + "@db.corp.example", AnyDriver, "sqlserver://app:" + pw + "@db.corp.example?encrypt=true", "+encrypt=true\n"},
		{"url with query", "sqlserver://db.corp.example?database=x", AnyDriver, "sqlserver://db.corp.example?database=x&encrypt=true", "+encrypt=true\n"},
		{"url with empty query", "sqlserver://db.corp.example?", AnyDriver, "sqlserver://db.corp.example?encrypt=true", "+encrypt=true\n"},
		{"url with fragment", "sqlserver://db.corp.example?database=x#y", AnyDriver, "sqlserver://db.corp.example?database=x&encrypt=true#y", "+encrypt=true\n"},
		{"disable", "server=db.corp.example;Encrypt=disable;pwd=" + pw, GoMSSQLDB, "server=db.corp.example;Encrypt=true;pwd=" + pw, "-Encrypt=disable\n+Encrypt=true\n"},
		{"trust and tls", "server=db.corp.example; TrustServerCertificate = yes ;tlsmin=1.0;encrypt=no;", GoMSSQLDB, "server=db.corp.example; TrustServerCertificate = false ;tlsmin=1.2;encrypt=true;", "-TrustServerCertificate=yes\n+TrustServerCertificate=false\n-tlsmin=1.0\n+tlsmin=1.2\n-encrypt=no\n+encrypt=true\n"},
		{"odbc words", "Driver={ODBC Driver 17 for SQL Server};Server=db.corp.example;PWD={" + pw + "};TrustServerCertificate=yes", AnyDriver, "Driver={ODBC Driver 17 for SQL Server};Server=db.corp.example;PWD={" + pw + "};TrustServerCertificate=no;Encrypt=yes", "-TrustServerCertificate=yes\n+TrustServerCertificate=no\n+Encrypt=yes\n"},
		{"ole db words", "Provider=MSOLEDBSQL;Data Source=db.corp.example", AnyDriver, "Provider=MSOLEDBSQL;Data Source=db.corp.example;Use Encryption for Data=True", "+Use Encryption for Data=True\n"},
		{"jdbc", "jdbc:sqlserver://db.corp.example;sslProtocol=TLSv1", JDBC10, "jdbc:sqlserver://db.corp.example;sslProtocol=TLSv1.2;encrypt=true", "-sslProtocol=TLSv1\n+sslProtocol=TLSv1.2\n+encrypt=true\n"},
		{"quoted value", `Server=db.corp.example;Encrypt="false"`, SqlClient4, `Server=db.corp.example;Encrypt=true`, "-Encrypt=\"false\"\n+Encrypt=true\n"},
		{"last of two", "server=db.corp.example;encrypt=true;encrypt=false", GoMSSQLDB, "server=db.corp.example;encrypt=true;encrypt=true", "-encrypt=false\n+encrypt=true\n"},
		{"pipe", "server=np:db.corp.example;encrypt=true", SqlClient4, "server=tcp:db.corp.example;encrypt=true", "-server=np:…\n+server=tcp:…\n"},
		{"pin", "sqlserver://db.corp.example?encrypt=true&serverCertificate=x.pem", AnyDriver, "sqlserver://db.corp.example?encrypt=true&certificate=x.pem", "-serverCertificate=(a file)\n+certificate=(the same file)\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := mustParse(t, tt.dsn, tt.driver).Harden()
			require.NoError(t, err)
			want := strings.ReplaceAll(tt.want, "Use Encryption for Data=True", "Use Encryption for Data=true")
			assert.Equal(t, want, h.DSN().Reveal())
			assert.Equal(t, strings.ReplaceAll(tt.diff, "Data=True", "Data=true"), h.Diff())
			assert.Equal(t, tt.diff != "", h.Changed())
			assert.NoError(t, h.Remaining.Err(connsec.High))
			assert.NotContains(t, h.Diff(), canary)
			again, err := h.Config.Harden()
			require.NoError(t, err)
			assert.False(t, again.Changed(), "hardening is idempotent")
		})
	}
	_, err := Config{Host: "db.corp.example"}.Harden()
	assert.Error(t, err)
	_, err = mustParse(t, `server=db.corp.example;pwd="`+canary, GoMSSQLDB).Harden()
	assert.ErrorIs(t, err, errQuoting)
}

// agreesWithMSDSN compares with the parser of the driver itself. TLS files do not exist here,
// and the protocols of Windows are not linked: such strings are left out.
//
// It reports whether there was anything to compare.
func agreesWithMSDSN(t require.TestingT, text string) bool {
	theirs, err := msdsn.Parse(text)
	ours, ourErr := ParseDSN(text, GoMSSQLDB)
	if err != nil || ourErr != nil {
		return false
	}
	if ours.Protocol != TCP || strings.ContainsRune(text, '�') || ours.Certificate != "" || ours.ServerCertificate != "" {
		return false
	}
	wantEncryption := map[msdsn.Encryption]Encryption{
		msdsn.EncryptionOff: LoginOnly, msdsn.EncryptionDisabled: Off, msdsn.EncryptionRequired: Mandatory, msdsn.EncryptionStrict: Strict,
	}[theirs.Encryption]
	require.Equal(t, wantEncryption, ours.Encryption)
	if !ours.dsn.encryptionUnset && ours.Encryption != Off && ours.Encryption != Strict {
		require.Equal(t, theirs.TrustServerCertificate, ours.TrustServerCertificate)
	}
	if ours.dsn.encryptionUnset && !ours.dsn.trustSet {
		require.True(t, theirs.TrustServerCertificate, "silence trusts everything")
	}
	require.Equal(t, theirs.User, ours.User)
	require.Equal(t, theirs.Password, ours.Password.Reveal())
	require.Equal(t, theirs.Database, ours.Database)
	if host := strings.TrimSuffix(strings.TrimPrefix(theirs.Host, "["), "]"); host != theirs.Host {
		require.Contains(t, theirs.Host, ours.host()) // brackets belong to the URL form only
	} else {
		require.Equal(t, theirs.Host, ours.host())
	}
	require.Equal(t, theirs.Instance, ours.Instance)
	require.Equal(t, theirs.FailOverPartner, ours.FailoverPartner)
	if ours.HostNameInCertificate != "" && theirs.TLSConfig != nil {
		require.Equal(t, theirs.TLSConfig.ServerName, ours.HostNameInCertificate)
	}
	if !strings.HasPrefix(theirs.Parameters["protocol"], "admin") {
		require.Equal(t, theirs.Port, uint64(ours.Port))
	}
	if ours.Encryption != Off && theirs.TLSConfig != nil {
		require.Equal(t, theirs.TLSConfig.MinVersion, ours.TLSMinimum)
	}
	return true
}

var goSeeds = []string{
	"sqlserver://sa:p%40ss@db.corp.example:1433/inst?database=x&encrypt=true&TrustServerCertificate=false&tlsmin=1.2",
	"sqlserver://db.corp.example?encrypt=disable", "sqlserver://[::1]:1433?encrypt=strict&hostnameincertificate=a.example",
	"sqlserver://a?encrypt=true;x=y&database=%zz", "sqlserver://u@h/i?user+id=x", "sqlserver://h#f", "sqlserver:///?password=x",
	"server=tcp:db.corp.example,1433;user id=sa;password=\"a;b\"\"c\";encrypt=true", "server=.\\sqlexpress;pwd=x;;", "addr=(local);app=x;uid=y;encrypt=0",
	"Data Source=h,14;Initial Catalog=d;trust server certificate=1;encrypt=t", "server=a;encrypt=true;encrypt=false;=x;y", "encrypt", "server=admin:h;x=\"",
	"server=a;failover partner=b;host name in certificate=c", "sqlserver://a?failoverpartner=b&hostnameincertificate=", "odbc:server=h;failoverpartner={b}",
	"odbc:server=h;port=1;user id=a;password={p;}}w};encrypt=yes", "odbc:server={h\\i};encrypt", "odbc: server = h ; encrypt = no ", "odbc:server=h;database={d} ;x",
}

func TestAgreesWithMSDSN(t *testing.T) {
	for _, s := range goSeeds {
		t.Run("", func(t *testing.T) { agreesWithMSDSN(t, s) })
	}
}

// TestAgreesWithMSDSNOnWholeStrings composes strings of what counts: keys twice and by other names,
// words for yes and no, quotes of all kinds, protocols, instances and ports.
func TestAgreesWithMSDSNOnWholeStrings(t *testing.T) {
	var keys []string
	for _, names := range []map[string]string{commonKeys, goSynonyms} {
		for key := range names {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	keys = append(keys, "encrypt", "encrypt", "trustservercertificate", "trust server certificate", "server", "app name", "x", "")
	values := []string{
		"true", "false", "Mandatory", "STRICT", "optional", "disable", "yes", "No", "1", "0", "t", "F", "", "x", "1.2", "TLS1.3", "sa", "1433", "70000",
		"h", ".", "(local)", `h\i`, "h,1433", "tcp:h", "TCP:h", "tcp:tcp:h", "np:h", "admin:h", "[::1]", "h.corp.example",
	}
	spaces := rapid.SampledFrom([]string{"", "", "", " ", "\t", "\n"})
	parsed := 0
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		form := rapid.SampledFrom([]form{formADO, formURL, formGoODBC}).Draw(t, "form")
		separator := ";"
		switch form {
		case formURL:
			b.WriteString("sqlserver://" + rapid.SampledFrom([]string{"h", "u:p@h", "u@h:1433", "[::1]:1433", "h/i", ""}).Draw(t, "authority") + "?")
			separator = "&"
		case formGoODBC:
			b.WriteString("odbc:")
		}
		for range rapid.IntRange(1, 6).Draw(t, "pairs") {
			key, value := rapid.SampledFrom(keys).Draw(t, "key"), rapid.SampledFrom(values).Draw(t, "value")
			if rapid.Bool().Draw(t, "upper") {
				key = strings.ToUpper(key)
			}
			quotes := rapid.SampledFrom([][2]string{{"", ""}, {"", ""}, {"", ""}, {`"`, `"`}, {"'", "'"}, {"{", "}"}, {`"`, ""}, {"", `"`}, {"{", "}}"}}).Draw(t, "quotes")
			value = quotes[0] + value + quotes[1]
			if form == formURL {
				key, value = url.QueryEscape(key), url.QueryEscape(value)
			}
			b.WriteString(spaces.Draw(t, "1") + key + spaces.Draw(t, "2") + "=" + spaces.Draw(t, "3") + value + spaces.Draw(t, "4") + separator)
		}
		if agreesWithMSDSN(t, b.String()) {
			parsed++
		}
	})
	assert.Positive(t, parsed, "nothing was compared")
}

// FuzzParseDSNAsGoMSSQLDB compares the three forms of go-mssqldb with its own parser.
func FuzzParseDSNAsGoMSSQLDB(f *testing.F) {
	for _, s := range goSeeds {
		f.Add(s)
	}
	if os.Getenv("MSSQL_USE_EPA") != "" { // the driver's parser reads it
		f.Fatal("unset MSSQL_USE_EPA")
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.IndexByte(s, 0) >= 0 {
			return
		}
		agreesWithMSDSN(t, s)
	})
}

// fuzzForm has the invariants of every form: no panic, errors without text, positions inside
// the text, the canary nowhere, hardening that hardens and changes nothing else.
func fuzzForm(f *testing.F, seeds []string, drivers ...Driver) {
	for _, s := range seeds {
		for _, d := range drivers {
			f.Add(s, uint8(d))
		}
	}
	f.Fuzz(func(t *testing.T, s string, d uint8) {
		c, err := ParseDSN(s, Driver(d))
		if err != nil {
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.LessOrEqual(t, syntax.Position.Column, len(s)+1)
			require.NotContains(t, err.Error(), canary)
			return
		}
		r := c.Validate()
		for _, finding := range r.Findings {
			require.NotEmpty(t, finding.Detail)
			require.NotContains(t, finding.Detail, "report as a defect")
			require.LessOrEqual(t, finding.Source.Column, len(s)+1)
		}
		if strings.Contains(c.Password.Reveal(), canary) && strings.Count(s, canary) == 1 {
			assertNoCanary(t, c)
		}
		h, err := c.Harden()
		if err != nil {
			require.True(t, errors.Is(err, errQuoting) || errors.Is(err, errForeign), err)
			return
		}
		require.NotContains(t, []Encryption{Off, LoginOnly}, h.Config.Encryption, "%q", h.DSN().Reveal())
		require.Equal(t, c.Password.Reveal(), h.Config.Password.Reveal())
		require.Equal(t, c.User, h.Config.User)
		require.Equal(t, c.Host, h.Config.Host)
		for _, rule := range []*connsec.Rule{RuleEncryptionUnset, RuleEncryptionOff, RuleEncryptionLoginOnly, RuleTrustServerCertificate, RuleTLSMinimum, RuleTLSMinimumUnknown} {
			require.NotEqual(t, connsec.Fail, h.Remaining.Of(rule)[0].Outcome, rule.ID)
		}
	})
}

func FuzzParseDSNADO(f *testing.F) {
	fuzzForm(f, append(goSeeds[7:12:12], `Server='a.example';Password="`+canary+`;""";Encrypt==x=1;Encrypt=strict`), AnyDriver, GoMSSQLDB, SqlClient3, SqlClient4)
}

func FuzzParseDSNURL(f *testing.F) {
	fuzzForm(f, append(goSeeds[:7:7], "sqlserver://app:"+canary+"@h?encrypt=no"), AnyDriver)
}

func FuzzParseDSNODBC(f *testing.F) {
	fuzzForm(f, append(goSeeds[13:len(goSeeds):len(goSeeds)], "Driver={ODBC Driver 17 for SQL Server};Server=np:h;PWD={"+canary+"}};};Encrypt=no", "DSN=x;Encrypt"), AnyDriver, ODBC17, ODBC18)
}

func FuzzParseDSNOLEDB(f *testing.F) {
	fuzzForm(f, []string{"Provider=MSOLEDBSQL;Data Source='h';Password=" + canary + ";Use Encryption for Data=no"}, AnyDriver, OLEDB18, OLEDB19)
}

func FuzzParseDSNJDBC(f *testing.F) {
	fuzzForm(f, []string{`jdbc:sqlserver://h\i:1433;user=x;password={` + canary + `;}}};sslProtocol=TLSv1;encrypt=false;`}, AnyDriver, JDBC10, JDBC11)
}
