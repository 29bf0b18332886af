package sqlsec

import (
	"cmp"
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// Hardening is the smallest change of a connection string that makes it demand verified
// encryption.
type Hardening struct {
	// Config is the changed setting, parsed anew.
	Config Config
	// Remaining is Config's report. What it still fails, no change of the text alone can
	// mend: a name that is no DNS name, a password that has to go elsewhere.
	Remaining connsec.Report

	edits []edit
	text  connsec.Secret
}

// edit replaces a piece of the text.
type edit struct {
	from, to    int
	put         string
	before, now string // the key with its value, as Diff shows it; before is empty for an addition
}

// DSN returns the changed connection string, in the user's own words otherwise. It contains
// the password if the original did.
func (h Hardening) DSN() connsec.Secret { return h.text }

// Changed reports whether there is anything to change.
func (h Hardening) Changed() bool { return len(h.edits) > 0 }

// Diff shows what changes, one line for each key that goes ("-") or comes ("+"). Keys that
// stay are not shown, and neither is any secret.
func (h Hardening) Diff() string {
	var b strings.Builder
	for _, e := range h.edits {
		if e.before != "" {
			b.WriteString("-" + e.before + "\n")
		}
		b.WriteString("+" + e.now + "\n")
	}
	return b.String()
}

var errQuoting = errors.New("sqlsec: nothing can be added to the connection string, because a quote in it is not closed; close it, or say which driver it is for")

var errForeign = errors.New("sqlsec: the ODBC driver is none of Microsoft's, and its keys are not known here")

// Harden says what to change in the connection string that c came from. Encryption becomes
// mandatory (strict stays strict), the server's certificate is verified, TLS begins at 1.2,
// and a named pipe becomes TCP. The words are those of the string's own driver. It asks the
// server for what it may not have yet: a certificate that verifies.
func (c Config) Harden() (Hardening, error) {
	if c.dsn == nil {
		return Hardening{}, errors.New("sqlsec: only a setting from ParseDSN can be hardened; change the fields of this one")
	}
	if c.dsn.foreign {
		return Hardening{}, errForeign
	}
	edits := c.edits()
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	text := c.dsn.text.Reveal()
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(text[at:e.from])
		b.WriteString(e.put)
		at = e.to
	}
	b.WriteString(text[at:])
	changed, err := ParseDSN(b.String(), c.Driver)
	if err != nil || len(changed.edits()) > 0 { // what was added landed inside a value
		return Hardening{}, errQuoting
	}
	changed.Source, changed.Connect, changed.Roots, changed.Known, changed.CRLs, changed.AsOf = c.Source, c.Connect, c.Roots, c.Known, c.CRLs, c.AsOf
	changed.Waivers, changed.Dialer, changed.Resolver, changed.Now = c.Waivers, c.Dialer, c.Resolver, c.Now
	return Hardening{Config: changed, Remaining: changed.Validate(), edits: edits, text: connsec.NewSecret(b.String())}, nil
}

func (c Config) edits() []edit {
	var edits []edit
	text, f := c.dsn.text.Reveal(), c.dsn.form
	yes, no := "true", "false"
	if f == formODBC {
		yes, no = "yes", "no"
	}
	replace := func(name, value string) {
		p := c.dsn.pairs[name]
		key := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text[p.at:p.from]), "="))
		edits = append(edits, edit{p.from, p.to, value, key + "=" + printable(text[p.from:p.to]), key + "=" + value})
	}

	switch {
	case c.ignored(): // the property is what surely counts, and counts beside it
		if c.Encryption == Strict && c.Driver == OLEDB19 {
			yes = "strict"
		}
		edits = append(edits, c.add(text, encryptKey(f), yes))
	case c.Encryption == Off || c.Encryption == LoginOnly, c.unset() && c.DataSource != "": // what stands here overrides a data source
		if p, there := c.dsn.pairs["encrypt"]; there && p.from > p.at {
			replace("encrypt", yes)
			break
		}
		edits = append(edits, c.add(text, encryptKey(f), yes))
	}
	if c.TrustServerCertificate && (c.Encryption != Strict || c.ignored()) {
		replace("trust", no)
	}
	if c.TLSMinimum != 0 && c.TLSMinimum < tls.VersionTLS12 || c.dsn.tlsMinUnknown {
		if f == formJDBC {
			replace("tlsmin", "TLSv1.2")
		} else {
			replace("tlsmin", "1.2")
		}
	}
	if p, there := c.dsn.pairs["pin"]; there && c.ServerCertificate != "" && c.Driver == GoMSSQLDB {
		// The same file as the one trust anchor: name and expiry are verified again.
		end := p.at + len("servercertificate")
		if strings.EqualFold(text[p.at:min(end, len(text))], "servercertificate") {
			edits = append(edits, edit{p.at, end, "certificate", "serverCertificate=(a file)", "certificate=(the same file)"})
		}
	}
	if c.Protocol == NamedPipe && !strings.HasPrefix(c.Host, `\\`) {
		edits = append(edits, c.viaTCP(text)...)
	}
	return edits
}

// viaTCP turns every key that asks for a named pipe.
func (c Config) viaTCP(text string) []edit {
	var edits []edit
	for _, k := range []struct{ name, from, to string }{{"protocol", "np", "tcp"}, {"network", "dbnmpntw", "dbmssocn"}} {
		if p, there := c.dsn.pairs[k.name]; there && strings.EqualFold(text[p.from:p.to], k.from) {
			edits = append(edits, edit{p.from, p.to, k.to, k.name + "=" + k.from, k.name + "=" + k.to})
		}
	}
	if p, there := c.dsn.pairs["server"]; there {
		for _, quote := range []string{"", `"`, "'", "{"} {
			if hasPrefixFold(text[p.from:p.to], quote+"np:") {
				from := p.from + len(quote)
				edits = append(edits, edit{from, from + len("np"), "tcp", "server=np:…", "server=tcp:…"})
			}
		}
	}
	return edits
}

// encryptKey is the key as the form's documentation writes it.
func encryptKey(f form) string {
	switch f {
	case formODBC, formADO:
		return "Encrypt"
	case formOLEDB:
		return "Use Encryption for Data"
	}
	return "encrypt"
}

// add puts a key at the end.
func (c Config) add(text, key, value string) edit {
	pair := key + "=" + value
	if c.dsn.form != formURL {
		end := len(strings.TrimRight(text, " \t\r\n"))
		if strings.HasSuffix(text[:end], ";") {
			return edit{end, end, pair, "", pair}
		}
		return edit{end, end, ";" + pair, "", pair}
	}
	end := strings.IndexByte(text, '#') // the driver does not see a fragment
	if end < 0 {
		end = len(text)
	}
	separator := "?"
	if i := strings.IndexByte(text[:end], '?'); i >= 0 {
		separator = "&"
		if i == end-1 || text[end-1] == '&' {
			separator = ""
		}
	}
	return edit{end, end, separator + pair, "", pair}
}
