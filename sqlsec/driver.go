package sqlsec

import (
	"slices"

	"github.com/connsec/connsec/internal/setting"
)

// Driver is a client library, or a range of its versions that share their defaults. It decides
// how a connection string is read and what a missing key means.
type Driver uint8

// The drivers. Where the text itself tells (its scheme, "Driver={…}", "Provider=…"), that is
// taken; the rest has to be said.
const (
	// AnyDriver is not known: the text is read as the drivers agree to read it, and what it
	// leaves out is judged by the weakest default among them.
	AnyDriver Driver = iota
	// GoMSSQLDB is github.com/microsoft/go-mssqldb. Without "encrypt" it encrypts the login
	// only, trusts every certificate, and takes "not supported" for an answer.
	GoMSSQLDB
	// ODBC17 is the Microsoft ODBC Driver up to 17, SQL Server Native Client and the driver
	// that comes with Windows. Default: login only.
	ODBC17
	// ODBC18 is the Microsoft ODBC Driver from 18 on. Default: mandatory.
	ODBC18
	// OLEDB18 is MSOLEDBSQL (up to 18), SQLNCLI and SQLOLEDB. Default: login only.
	OLEDB18
	// OLEDB19 is MSOLEDBSQL19. Default: mandatory.
	OLEDB19
	// SqlClient3 is System.Data.SqlClient, and Microsoft.Data.SqlClient up to 3. Default:
	// login only.
	SqlClient3
	// SqlClient4 is Microsoft.Data.SqlClient from 4 on. Default: mandatory.
	SqlClient4
	// JDBC10 is the Microsoft JDBC Driver before 10.2. Default: login only.
	JDBC10
	// JDBC11 is the Microsoft JDBC Driver from 10.2 on. Default: mandatory.
	JDBC11
)

var (
	drivers = setting.Enum[Driver]{Package: "sqlsec", Kind: "driver", Names: []string{
		"any", "go-mssqldb", "odbc17", "odbc18", "oledb18", "oledb19", "sqlclient3", "sqlclient4", "jdbc10", "jdbc11",
	}}
	driverTitles = []string{
		AnyDriver: "a driver that is not named", GoMSSQLDB: "go-mssqldb", ODBC17: "ODBC Driver 17 and before", ODBC18: "ODBC Driver 18 and later",
		OLEDB18: "OLE DB Driver 18 and before", OLEDB19: "OLE DB Driver 19 and later",
		SqlClient3: "System.Data.SqlClient and Microsoft.Data.SqlClient before 4", SqlClient4: "Microsoft.Data.SqlClient 4 and later",
		JDBC10: "JDBC Driver before 10.2", JDBC11: "JDBC Driver 10.2 and later",
	}
	// mandatoryByDefault are those that demand encryption without the key.
	mandatoryByDefault = []Driver{ODBC18, OLEDB19, SqlClient4, JDBC11}
)

// Drivers returns all drivers.
func Drivers() []Driver {
	out := make([]Driver, len(drivers.Names))
	for i := range out {
		out[i] = Driver(i)
	}
	return out
}

// Valid reports whether d is one of the named drivers.
func (d Driver) Valid() bool { return int(d) < len(drivers.Names) }

// String returns the short name, such as "odbc18".
func (d Driver) String() string { return drivers.Name(d) }

// Title returns the name for a reader, such as "ODBC Driver 18 and later".
func (d Driver) Title() string {
	if !d.Valid() {
		return d.String()
	}
	return driverTitles[d]
}

// MandatoryByDefault reports whether the driver demands encryption when its setting does not
// say anything.
func (d Driver) MandatoryByDefault() bool { return slices.Contains(mandatoryByDefault, d) }

// ParseDriver is the inverse of [Driver.String]. Names are exact.
func ParseDriver(name string) (d Driver, err error) {
	err = drivers.Decode([]byte(name), &d)
	return d, err
}

// MarshalText writes the name.
func (d Driver) MarshalText() ([]byte, error) { return drivers.Encode(d) }

// UnmarshalText accepts exactly the names that MarshalText writes.
func (d *Driver) UnmarshalText(text []byte) error { return drivers.Decode(text, d) }

// Encryption is what a client demands of the connection.
type Encryption uint8

// The levels. The zero value is the strictest.
const (
	// Strict is TDS 8.0: TLS comes first, nothing at all is in clear, and the certificate is
	// always verified. SQL Server 2022 and later, Azure SQL.
	Strict Encryption = iota
	// Mandatory is TLS after a PRELOGIN in clear, or no connection.
	Mandatory
	// LoginOnly encrypts the login packet if the server can, and the rest if it insists.
	LoginOnly
	// Off never encrypts.
	Off
)

var encryptions = setting.Enum[Encryption]{Package: "sqlsec", Kind: "encryption", Names: []string{"strict", "mandatory", "login-only", "off"}}

// Valid reports whether e is one of the named levels.
func (e Encryption) Valid() bool { return int(e) < len(encryptions.Names) }

// String returns "strict", "mandatory", "login-only" or "off".
func (e Encryption) String() string { return encryptions.Name(e) }

// ParseEncryption is the inverse of [Encryption.String]. Names are exact.
func ParseEncryption(name string) (e Encryption, err error) {
	err = encryptions.Decode([]byte(name), &e)
	return e, err
}

// MarshalText writes the name.
func (e Encryption) MarshalText() ([]byte, error) { return encryptions.Encode(e) }

// UnmarshalText accepts exactly the names that MarshalText writes.
func (e *Encryption) UnmarshalText(text []byte) error { return encryptions.Decode(text, e) }

// Protocol is what carries TDS.
type Protocol uint8

// The protocols.
const (
	TCP          Protocol = iota // also the dedicated administrator connection
	NamedPipe                    // SMB, which has its own encryption and authentication, or none
	SharedMemory                 // inside one machine
)

var protocols = setting.Enum[Protocol]{Package: "sqlsec", Kind: "protocol", Names: []string{"tcp", "named-pipe", "shared-memory"}}

// String returns "tcp", "named-pipe" or "shared-memory".
func (p Protocol) String() string { return protocols.Name(p) }
