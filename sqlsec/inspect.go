package sqlsec

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"github.com/connsec/connsec"
)

// Inspection is what the server says about itself to a login. It marshals to JSON and back.
type Inspection struct {
	Subject string    `json:"subject"` // the server's own name for itself
	At      time.Time `json:"at"`

	// Session is the connection that was asked on, nil if it may not be seen.
	Session *Sessions `json:"session,omitempty"`
	// Sessions are all connections of clients, by what they have in common.
	Sessions []Sessions `json:"sessions,omitempty"`
	// SessionsProblem says why one of the two is missing, and what would help.
	SessionsProblem string `json:"sessions_problem,omitempty"`

	// ForceEncryption, ForceStrict and Certificate are the values under SuperSocketNetLib; nil
	// if the registry has none, or may not be read.
	ForceEncryption *int    `json:"force_encryption,omitempty"`
	ForceStrict     *int    `json:"force_strict,omitempty"`
	Certificate     *string `json:"certificate,omitempty"` // thumbprint; "": none is chosen
	// RegistryProblem says why they are missing, and what would help.
	RegistryProblem string `json:"registry_problem,omitempty"`
}

// Sessions are connections that sys.dm_exec_connections describes in the same way.
type Sessions struct {
	Encrypted bool   `json:"encrypted"`
	Transport string `json:"transport"`   // "TCP", "Shared memory", "Named pipe"
	Auth      string `json:"auth_scheme"` // "SQL", "NTLM", "KERBEROS"
	Count     int    `json:"count"`
}

// The statements of Inspect. The views need VIEW SERVER STATE, from SQL Server 2022 on VIEW
// SERVER SECURITY STATE. Logical sessions of MARS ("Session") and mirroring endpoints say
// nothing about encryption of their own.
const (
	queryName     = `SELECT @@SERVERNAME`
	querySession  = `SELECT encrypt_option, net_transport, auth_scheme FROM sys.dm_exec_connections WHERE session_id = @@SPID AND net_transport <> 'Session'`
	querySessions = `SELECT encrypt_option, net_transport, auth_scheme, COUNT_BIG(*) AS sessions FROM sys.dm_exec_connections ` +
		`WHERE net_transport <> 'Session' AND (protocol_type IS NULL OR protocol_type = 'TSQL') ` +
		`GROUP BY encrypt_option, net_transport, auth_scheme ORDER BY encrypt_option, net_transport, auth_scheme`
	// xp_instance_regread replaces MSSQLServer by the instance's own key. It reads, and 'no_output'
	// keeps a missing value from becoming an error.
	queryRegistry = `DECLARE @force int, @strict int, @certificate nvarchar(512), @key nvarchar(200) = N'SOFTWARE\Microsoft\Microsoft SQL Server\MSSQLServer\SuperSocketNetLib';
EXEC master.dbo.xp_instance_regread N'HKEY_LOCAL_MACHINE', @key, N'ForceEncryption', @force OUTPUT, 'no_output';
EXEC master.dbo.xp_instance_regread N'HKEY_LOCAL_MACHINE', @key, N'ForceStrict', @strict OUTPUT, 'no_output';
EXEC master.dbo.xp_instance_regread N'HKEY_LOCAL_MACHINE', @key, N'Certificate', @certificate OUTPUT, 'no_output';
SELECT @force AS force_encryption, @strict AS force_strict, @certificate AS certificate;`
)

// Inspect asks a server about its encryption, on one connection of db. It only reads. What the
// login may not see is missing from the answer, with the grant that is needed; the error is
// for a server that cannot be asked at all.
func Inspect(ctx context.Context, db *sql.DB) (Inspection, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return Inspection{}, err
	}
	defer conn.Close()
	o := Inspection{At: time.Now()}
	var name sql.NullString
	if err := conn.QueryRowContext(ctx, queryName).Scan(&name); err != nil {
		return Inspection{}, fmt.Errorf("sqlsec: the server does not answer a query: %w", oneLine{err})
	}
	if o.Subject = printable(name.String); o.Subject == "" {
		o.Subject = "SQL Server"
	}
	const grantView = "GRANT VIEW SERVER STATE (SQL Server 2022 and later: VIEW SERVER SECURITY STATE) to this login"
	if err := o.readSessions(ctx, conn); err != nil {
		o.SessionsProblem = missing(err, grantView)
	}
	if err := o.readRegistry(ctx, conn); err != nil {
		o.RegistryProblem = missing(err, "GRANT EXECUTE ON master.dbo.xp_instance_regread to this login")
	}
	return o, ctx.Err()
}

func (o *Inspection) readSessions(ctx context.Context, conn *sql.Conn) error {
	var encrypted string
	one := Sessions{Count: 1}
	if err := conn.QueryRowContext(ctx, querySession).Scan(&encrypted, &one.Transport, &one.Auth); err != nil {
		return err
	}
	one.Encrypted = strings.EqualFold(encrypted, "TRUE")
	o.Session = &one
	rows, err := conn.QueryContext(ctx, querySessions)
	if err != nil {
		return err
	}
	defer rows.Close()
	const maxGroups = 100 // two options, four transports, six schemes
	for rows.Next() && len(o.Sessions) < maxGroups {
		var s Sessions
		if err := rows.Scan(&encrypted, &s.Transport, &s.Auth, &s.Count); err != nil {
			return err
		}
		s.Encrypted = strings.EqualFold(encrypted, "TRUE")
		o.Sessions = append(o.Sessions, s)
	}
	return rows.Err()
}

func (o *Inspection) readRegistry(ctx context.Context, conn *sql.Conn) error {
	var force, strict sql.NullInt64
	var certificate sql.NullString
	if err := conn.QueryRowContext(ctx, queryRegistry).Scan(&force, &strict, &certificate); err != nil {
		return err
	}
	if force.Valid {
		n := int(force.Int64)
		o.ForceEncryption = &n
	}
	if strict.Valid {
		n := int(strict.Int64)
		o.ForceStrict = &n
	}
	if certificate.Valid {
		s := strings.ToLower(printable(strings.TrimSpace(certificate.String)))
		o.Certificate = &s
	}
	return nil
}

// missing says why a fact is not there: for want of a permission, or what the server says.
func missing(err error, grant string) string {
	var e mssql.Error
	if errors.As(err, &e) {
		switch e.Number {
		case 229, 297, 300: // EXECUTE denied; no permission for the action; VIEW SERVER STATE denied
			return grant
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return "the server does not show it"
	}
	return printable(oneLine{err}.Error())
}

// Judge applies the rules on what a server says about itself.
func (o Inspection) Judge() connsec.Report {
	return connsec.Report{Target: o.Subject, At: o.At, Findings: connsec.Run(o.Subject, o, inspectionChecks)}
}

var inspectionChecks = []connsec.Check[Inspection]{
	{Rule: RuleSessionUnencrypted, Judge: judgeSession},
	{Rule: RuleSessionsUnencrypted, Judge: judgeSessions},
	{Rule: RuleForceEncryptionUnset, Judge: judgeForceEncryption},
}

var dmExecConnections = connsec.Citation{
	Doc: "Microsoft Learn", Section: "sys.dm_exec_connections",
	URL: "https://learn.microsoft.com/sql/relational-databases/system-dynamic-management-views/sys-dm-exec-connections-transact-sql",
}

// onWire reports whether a transport leaves the machine.
func onWire(transport string) bool { return !strings.EqualFold(transport, "Shared memory") }

// RuleSessionUnencrypted: the connection that the product itself uses.
var RuleSessionUnencrypted = &connsec.Rule{
	ID: "sql-session-unencrypted", Title: "The server sees this connection without encryption",
	Why:      "What this connection carries crosses the network in clear, or something between client and server takes the encryption off.",
	Fix:      "Set Encrypt to mandatory or strict in this client's connection string, and look for a proxy on the way if it is set already.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{dmExecConnections, myqSQL}, Since: "0.1.0",
}

func judgeSession(o Inspection) connsec.Verdict {
	switch s := o.Session; {
	case s == nil:
		return connsec.Unknown("the login may not see its own connection: %s", o.SessionsProblem)
	case !onWire(s.Transport):
		return connsec.Skipped("the connection is inside the machine")
	case s.Encrypted:
		return connsec.Passed("the server sees it encrypted, by %s with %s", printable(s.Transport), printable(s.Auth))
	default:
		return connsec.Failed("the server sees it in clear, by %s with %s", printable(s.Transport), printable(s.Auth))
	}
}

// RuleSessionsUnencrypted: who would be locked out, and who is readable today.
var RuleSessionsUnencrypted = &connsec.Rule{
	ID: "sql-sessions-unencrypted", Title: "Some clients are connected without encryption",
	Why:      "Their queries and results can be read and changed on the network.",
	Fix:      "Find them in sys.dm_exec_connections and sys.dm_exec_sessions (host_name, program_name), set Encrypt in their connection strings, then force encryption on the server.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{dmExecConnections, myqSQL}, Since: "0.1.0",
}

func judgeSessions(o Inspection) connsec.Verdict {
	clear, all := 0, 0
	var kinds []string
	for _, s := range o.Sessions {
		if !onWire(s.Transport) {
			continue
		}
		all += s.Count
		if !s.Encrypted {
			clear += s.Count
			kinds = append(kinds, fmt.Sprintf("%d by %s with %s", s.Count, printable(s.Transport), printable(s.Auth)))
		}
	}
	switch {
	case clear > 0:
		return connsec.Failed("%d of %d connections are in clear", clear, all).With("clear", strings.Join(kinds, "; "))
	case o.SessionsProblem != "" || all == 0:
		return connsec.Unknown("the login may not see all connections: %s", cmpOr(o.SessionsProblem, "the server shows none"))
	case all == 1:
		return connsec.Unknown("the login sees one connection only, which may be its own; GRANT VIEW SERVER STATE shows all")
	}
	return connsec.Passed("all %d connections are encrypted", all)
}

// RuleForceEncryptionUnset: the setting behind [RuleEncryptionNotForced].
var RuleForceEncryptionUnset = &connsec.Rule{
	ID: "sql-force-encryption-unset", Title: "Force Encryption is off in the server's settings",
	Why:      RuleEncryptionNotForced.Why,
	Fix:      RuleEncryptionNotForced.Fix,
	Severity: connsec.High,
	Refs:     RuleEncryptionNotForced.Refs, Since: "0.1.0",
}

func judgeForceEncryption(o Inspection) connsec.Verdict {
	certificate := "not told"
	if o.Certificate != nil {
		certificate = cmpOr(*o.Certificate, "none chosen")
	}
	switch {
	case o.ForceStrict != nil && *o.ForceStrict == 1:
		return connsec.Passed("ForceStrict is 1").With("certificate", certificate)
	case o.ForceEncryption == nil:
		return connsec.Unknown("the setting cannot be read: %s", cmpOr(o.RegistryProblem, "the registry has no such value"))
	case *o.ForceEncryption == 1:
		return connsec.Passed("ForceEncryption is 1").With("certificate", certificate)
	}
	return connsec.Failed("ForceEncryption is %d", *o.ForceEncryption).With("certificate", certificate)
}
