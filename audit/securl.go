package audit

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/securl"
)

// SecURL is an item of the section securl: passwords of XMPie SecURL, given in one of three
// ways – as the password hashing setting of a Circle project (method), as a recipient list
// (list), or as a column in SQL Server (sql, table and key). Columns are read from end to end
// and never written.
type SecURL struct {
	Method *securl.Method `yaml:"method"` // md5 or none

	List        string           `yaml:"list"` // CSV or TSV file with a header row
	Delimiter   Delimiter        `yaml:"delimiter"`
	NoQuotes    bool             `yaml:"no_quotes"`
	Encoding    securl.Collation `yaml:"encoding"` // code page of the file, CP1252; default: UTF-8
	Null        string           `yaml:"null"`     // what stands for NULL
	RecipientID string           `yaml:"id"`       // column to compare passwords with
	UserName    string           `yaml:"user"`     // another one
	Width       int              `yaml:"width"`    // characters that the column holds in the database

	SQL    *SQL   `yaml:"sql"` // the database; the login reads the table
	Schema string `yaml:"schema"`
	Table  string `yaml:"table"`
	Key    string `yaml:"key"` // a column that is unique

	Column    string           `yaml:"column"`    // the password column of list or table
	Collation securl.Collation `yaml:"collation"` // of the database, if its passwords are beyond ASCII

	Source connsec.Position `yaml:"-"`
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
	for _, is := range []bool{s.Method != nil, s.List != "", s.SQL != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return check{}, errors.New("give one of method, list and sql")
	case s.Method != nil:
		h := securl.Hasher{Method: *s.Method}
		return check{subject: h.Validate().Target, source: s.Source, root: securl.RulePlaintext,
			run: func(context.Context) (connsec.Report, error) { return h.Validate(), nil }}, nil
	case s.Column == "":
		return check{}, errors.New("column is missing: name the one with the passwords")
	case s.List != "":
		return s.list(d, env), nil
	case s.Table == "" || s.Key == "":
		return check{}, errors.New("give table and key")
	}
	return s.table(d, env)
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
