package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/securl"
)

func securlCommand() command {
	return command{
		name: "securl", about: "XMPie SecURL: check a protected site; hash and verify passwords, judge and convert recipient lists, migrate a column in SQL Server",
		sub: []command{securlCheck(), securlHash(), securlVerify(), securlClassify(), securlConvert(), securlMigrate()},
	}
}

// collationFlags declares the two ways to say what decides about the bytes of a password.
func collationFlags(fs *flag.FlagSet) func() (securl.Collation, error) {
	name := fs.String("collation", "", "default collation of the database, by `NAME`; only passwords beyond ASCII need it")
	page := fs.Int("code-page", 0, "the same by the `NUMBER` of its code page, such as 1252")
	return func() (securl.Collation, error) {
		switch {
		case *name != "" && *page != 0:
			return securl.Collation{}, usagef("give either --collation or --code-page")
		case *page != 0:
			return securl.NewCollation(*page)
		case *name != "":
			return securl.ParseCollation(*name)
		}
		return securl.Collation{}, nil
	}
}

// listFlags declares how a recipient list is written.
func listFlags(fs *flag.FlagSet) func() (securl.List, error) {
	var l securl.List
	delimiter := audit.Delimiter(',')
	fs.StringVar(&l.Column, "column", "", "`NAME` of the password column in the header row")
	fs.TextVar(&delimiter, "delimiter", delimiter, "`CHARACTER` between fields, or tab (default comma)")
	fs.BoolVar(&l.NoQuotes, "no-quotes", false, "a quotation mark is an ordinary character")
	fs.TextVar(&l.Encoding, "encoding", l.Encoding, "`CODE PAGE` of the file, such as CP1252 (default UTF-8)")
	fs.StringVar(&l.Null, "null", "", "`TEXT` that stands for NULL where it is not quoted")
	return func() (securl.List, error) {
		if l.Column == "" {
			return l, usagef("which --column holds the passwords?")
		}
		l.Delimiter = byte(delimiter)
		return l, nil
	}
}

// textOrJSON refuses the formats that are for reports only.
func (c *call) textOrJSON() error {
	if f := c.common.format; f != report.Text && f != report.JSON {
		return usagef("this is printed as text or json")
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// counted is "3 hashed, 1 empty", without what is zero.
func counted(counts ...count) string {
	var out []string
	for _, c := range counts {
		if c.n > 0 {
			out = append(out, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

type count struct {
	n    int64
	what string
}
