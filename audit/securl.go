package audit

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/tlscheck"
)

// SecURL is an item of the section securl, given in one of four ways: as the password hashing
// setting of a Circle project alone (method); as a protected site – what Circle is set to
// (project), the address it is served at (site), or both; as a recipient list (list); or as a
// column in SQL Server (sql, table and key). Columns are read from end to end and never written.
type SecURL struct {
	Method *securl.Method `yaml:"method"` // md5 or none

	Project      *securl.Project `yaml:"project"`       // what Circle is set to
	Site         string          `yaml:"site"`          // the https address it is served at
	Connect      string          `yaml:"connect"`       // ADDR[:PORT] for site
	Recipient    string          `yaml:"recipient"`     // key of a recipient made for tests
	TestUser     string          `yaml:"test_user"`     // that recipient's user name
	PasswordFile string          `yaml:"password_file"` // and password: sign in, and see how long that lasts
	Other        *OtherRecipient `yaml:"other"`         // a second one: does the first one's token open its data?
	Guesses      int             `yaml:"guesses"`       // wrong passwords to try; more than 5 are tried for recipient

	List        string           `yaml:"list"`      // CSV or TSV file with a header row
	Delimiter   Delimiter        `yaml:"delimiter"` // default: a comma
	NoQuotes    bool             `yaml:"no_quotes"` // quotation marks are part of the values
	Encoding    securl.Collation `yaml:"encoding"`  // code page of the file, CP1252; default: UTF-8
	Null        string           `yaml:"null"`      // what stands for NULL
	RecipientID string           `yaml:"id"`        // column to compare passwords with
	UserName    string           `yaml:"user"`      // another one
	Width       int              `yaml:"width"`     // characters that the column holds in the database

	SQL    *SQL   `yaml:"sql"`    // the database; the login reads the table
	Schema string `yaml:"schema"` // of the table; default dbo
	Table  string `yaml:"table"`  // with the recipients
	Key    string `yaml:"key"`    // a column that is unique

	Column    string           `yaml:"column"`    // the password column of list or table
	Collation securl.Collation `yaml:"collation"` // of the database, if its passwords are beyond ASCII

	Source connsec.Position `yaml:"-"` // where the item stands
}

// OtherRecipient is a second recipient made for tests, with other data than the first.
type OtherRecipient struct {
	Recipient    string `yaml:"recipient"`     // its key
	TestUser     string `yaml:"test_user"`     // its user name
	PasswordFile string `yaml:"password_file"` // and password
}

// Delimiter stands between the fields of a list: a character, or the word tab.
type Delimiter byte

// UnmarshalText takes one ASCII character, or "tab".
func (d *Delimiter) UnmarshalText(text []byte) error {
	switch s := string(text); {
	case s == "tab" || s == `\t`:
		*d = '\t'
	case len(s) == 1:
		*d = Delimiter(s[0])
	default:
		return fmt.Errorf("%q is not a delimiter; write one character, or tab", clip(s))
	}
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (d Delimiter) MarshalText() ([]byte, error) {
	if d == '\t' {
		return []byte("tab"), nil
	}
	return []byte{byte(d)}, nil
}

func (s SecURL) check(d *Deployment, env *environment) (check, error) {
	given := 0
	site := s.Project != nil || s.Site != ""
	for _, is := range []bool{s.Method != nil, site, s.List != "", s.SQL != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return check{}, errors.New("give one of method, project or site, list, and sql")
	case s.Method != nil:
		h := securl.Hasher{Method: *s.Method}
		return check{subject: h.Validate().Target, source: s.Source, root: securl.RulePlaintext,
			run: func(context.Context) (connsec.Report, error) { return h.Validate(), nil }}, nil
	case site:
		return s.site(d, env)
	case s.Column == "":
		return check{}, errors.New("column is missing: name the one with the passwords")
	case s.List != "":
		return s.list(d, env), nil
	case s.Table == "" || s.Key == "":
		return check{}, errors.New("give table and key")
	}
	return s.table(d, env)
}

func (s SecURL) site(d *Deployment, env *environment) (check, error) {
	var p securl.Project
	if s.Project != nil {
		p = *s.Project
	}
	if s.Site == "" {
		if s.Recipient != "" || s.PasswordFile != "" || s.Other != nil || s.Guesses != 0 || s.Connect != "" {
			return check{}, errors.New("recipient, password_file, other, guesses and connect are about a site; give its address as site")
		}
		return check{subject: p.Validate().Target, source: s.Source, root: securl.RuleDataOpen,
			run: func(context.Context) (connsec.Report, error) { return p.Validate(), nil }}, nil
	}
	live := securl.Live{URL: s.Site, Project: p, RecipientID: s.Recipient, UserName: s.TestUser, Guesses: s.Guesses, Endpoint: tlscheck.Endpoint{
		Connect: s.Connect, Roots: env.roots, Known: env.known, CRLs: env.crls, AsOf: env.asOf, Dialer: env.Dialer, Resolver: env.Resolver, Now: env.Now,
	}}
	path, otherPath := d.path(s.PasswordFile), ""
	if s.Other != nil {
		if s.Other.Recipient == "" || s.Other.PasswordFile == "" {
			return check{}, errors.New("other needs recipient and password_file")
		}
		live.OtherRecipientID, live.OtherUserName, otherPath = s.Other.Recipient, s.Other.TestUser, d.path(s.Other.PasswordFile)
	}
	return check{subject: s.Site, source: s.Source, root: securl.RuleDataOpen, validate: live.Validate, run: func(ctx context.Context) (connsec.Report, error) {
		if path != "" {
			var err error
			if live.Password, err = ReadSecret(path); err != nil {
				return connsec.Report{}, err
			}
		}
		if otherPath != "" {
			var err error
			if live.OtherPassword, err = ReadSecret(otherPath); err != nil {
				return connsec.Report{}, err
			}
		}
		return live.Probe(ctx)
	}}, nil
}

func (s SecURL) list(d *Deployment, env *environment) check {
	l := securl.List{Column: s.Column, RecipientID: s.RecipientID, UserName: s.UserName,
		Delimiter: byte(s.Delimiter), NoQuotes: s.NoQuotes, Encoding: s.Encoding, Null: s.Null}
	o := securl.ClassifyOptions{Subject: s.List + ": " + s.Column, Collation: s.Collation, Width: s.Width, Now: env.Now}
	path := d.path(s.List)
	return check{subject: o.Subject, source: s.Source, root: securl.RulePlaintext, run: func(ctx context.Context) (connsec.Report, error) {
		f, err := os.Open(path)
		if err != nil {
			return connsec.Report{}, fileError(s.List, err)
		}
		defer f.Close()
		facts, err := securl.Classify(ctx, l.Values(f), o)
		if err != nil {
			return connsec.Report{}, err
		}
		return facts.Judge(), nil
	}}
}

func (s SecURL) table(d *Deployment, env *environment) (check, error) {
	server, err := s.SQL.client(d, env)
	if err != nil {
		return check{}, fmt.Errorf("the database: %w", err)
	}
	m := securl.Migration{Schema: s.Schema, Table: s.Table, Column: s.Column, Key: s.Key, Collation: s.Collation, Now: env.Now}
	subject := fmt.Sprintf("%s: %s.%s", server.Subject(), s.Table, s.Column)
	return check{subject: subject, source: s.Source, root: securl.RulePlaintext, run: func(ctx context.Context) (connsec.Report, error) {
		db, err := server.Open(ctx)
		if err != nil {
			return connsec.Report{}, err
		}
		defer db.Close()
		m.DB = db
		p, err := m.Plan(ctx)
		if err != nil {
			return connsec.Report{}, err
		}
		if p.Facts.At.IsZero() { // the table or column is not as said, and was not read
			return connsec.Report{}, p.Err()
		}
		return p.Report(), nil
	}}, nil
}

// LoadSecURL reads a file that holds nothing but the settings of a protected site, as they stand
// under project in the section securl.
func LoadSecURL(path string) (securl.Project, error) {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return securl.Project{}, err
	}
	var p securl.Project
	return p, decode(path, data, &p)
}
