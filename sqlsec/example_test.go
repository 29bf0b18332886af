package sqlsec_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/sqlsec"
)

// What a settings page does on every keystroke.
func ExampleConfig_Validate() {
	c, err := sqlsec.ParseDSN("Server=10.0.0.5;Database=central;User ID=sa;Password=hunter2", sqlsec.GoMSSQLDB)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range c.Validate().Failed(connsec.Medium) {
		fmt.Printf("column %d: %s (%s): %s\n", f.Source.Column, f.Rule.ID, f.Severity, f.Detail)
	}
	fmt.Println(errors.Is(c.Validate().Err(connsec.High), sqlsec.RuleEncryptionUnset))
	// Output:
	// column 1: sql-encryption-unset (critical): it does not say; go-mssqldb then trusts every certificate and accepts a login in clear
	// column 1: sql-name (medium): 10.0.0.5: this is the IPv4 address 10.0.0.5
	// column 45: sql-password-in-dsn (medium): there is a password
	// column 34: sql-login-sa (medium): the login is sa
	// true
}

func ExampleConfig_Harden() {
	c, err := sqlsec.ParseDSN("sqlserver://app:hunter2@sql.corp.example?encrypt=false&TrustServerCertificate=true", sqlsec.AnyDriver)
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := c.Harden()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(h.Diff())
	fmt.Println(h.Remaining.Err(connsec.High))
	// Output:
	// -encrypt=false
	// +encrypt=true
	// -TrustServerCertificate=true
	// +TrustServerCertificate=false
	// <nil>
}

// A text that cannot be understood is not repeated: it may be a piece of a password.
func ExampleParseDSN_syntax() {
	_, err := sqlsec.ParseDSN("Server=sql.corp.example;Password=hun;ter2;Encrypt=true", sqlsec.SqlClient4)
	fmt.Println(err)
	// Output:
	// sqlsec: connection string, column 38: a key has no value; the password may contain a semicolon and needs quotes
}

func ExampleForceEncryptionPlan() {
	script, err := sqlsec.ForceEncryptionPlan{
		Platform: sqlsec.Linux, Host: "sql.corp.example",
		CertificateFile: "/etc/ssl/certs/mssql.pem", KeyFile: "/etc/ssl/private/mssql.key",
	}.Script()
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(script) {
		if strings.Contains(line, "set network.") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// "$mssql_conf" set network.tlscert "$certificate"
	// "$mssql_conf" set network.tlskey "$key"
	// "$mssql_conf" set network.tlsprotocols 1.2
	// "$mssql_conf" set network.forceencryption 1
}
