// Command settings-page is the settings page of a server product that judges what is typed into it,
// on every change and before it is stored. It listens on loopback, stores nothing, and looks at
// nothing but the certificate files of the product's data directory:
//
//	go run ./examples/settings-page
//
// It is meant to be copied from. A product has its own form, sign-in and HTTPS; what it takes from
// here is [sections], the way from a form to a Config and its findings, and that no secret comes
// back: not in the page, not in a finding, not in an error.
package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/radiussec"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/sqlsec"
	"github.com/connsec/connsec/tlscheck"
)

// section is one connection of the product: the fields of its form, and what judges them.
type section struct {
	ID, Title, About string
	Fields           []field
	check            func(context.Context, values) (connsec.Report, error)
}

// field is one control. Its name in the form is that of the section, a dash and its own.
type field struct {
	Name, Label, Hint string
	Kind              kind
	Options           []string // of a choice; the first is the default
}

type kind string

const (
	text   kind = "text"
	number kind = "number"
	choice kind = "choice"
	tick   kind = "tick"   // ticked unless the administrator takes it away
	secret kind = "secret" // typed, never shown
)

// sections are the page. dir is the product's data directory.
func sections(dir string) []section {
	return []section{
		{ID: "https", Title: "Web server", About: "The name that clients have in their settings, and the files from which HTTPS is served.",
			Fields: []field{
				{Name: "name", Label: "Host name", Kind: text, Hint: "Such as central.corp.example"},
				{Name: "folder", Label: "Certificate folder", Kind: text, Hint: "Below the data directory, with server.pfx, server.cer and server.key"},
				{Name: "password", Label: "Password of the PFX file", Kind: secret},
			}, check: certificate(dir)},
		{ID: "ldap", Title: "Directory (LDAP)", About: "Where users are looked up, and how their passwords are checked.",
			Fields: []field{
				{Name: "server", Label: "Server", Kind: text, Hint: "Such as dc1.corp.example"},
				{Name: "security", Label: "Security", Kind: choice, Options: []string{"TLS", "START TLS", "None"}},
				{Name: "port", Label: "Port", Kind: number, Hint: "Empty: the usual one"},
				{Name: "user", Label: "Account", Kind: text, Hint: "Such as reader@corp.example"},
				{Name: "password", Label: "Password", Kind: secret},
			}, check: directory},
		{ID: "sql", Title: "Database (SQL Server)", About: "A connection string of any of the usual drivers. It may hold a password, so it is not shown again.",
			Fields: []field{
				{Name: "string", Label: "Connection string", Kind: secret, Hint: "Such as Server=sql1.corp.example;Encrypt=Strict;…"},
			}, check: database},
		{ID: "smtp", Title: "Outgoing mail (SMTP)", About: "The server that takes the product’s mail.",
			Fields: []field{
				{Name: "server", Label: "Server", Kind: text, Hint: "Such as mail.corp.example"},
				{Name: "security", Label: "Security", Kind: choice, Options: []string{"TLS", "STARTTLS", "STARTTLS if available", "None"}},
				{Name: "port", Label: "Port", Kind: number, Hint: "Empty: the usual one"},
				{Name: "verify", Label: "Verify the server’s certificate", Kind: tick},
				{Name: "user", Label: "Account", Kind: text},
				{Name: "password", Label: "Password", Kind: secret},
				{Name: "sender", Label: "Sender", Kind: text, Hint: "Such as central@corp.example"},
			}, check: mail},
		{ID: "radius", Title: "Sign-in (RADIUS)", About: "The server that decides on sign-ins.",
			Fields: []field{
				{Name: "server", Label: "Server", Kind: text, Hint: "Such as radius1.corp.example"},
				{Name: "transport", Label: "Transport", Kind: choice, Options: []string{"TLS", "UDP"}},
				{Name: "port", Label: "Port", Kind: number, Hint: "Empty: the usual one"},
				{Name: "secret", Label: "Shared secret", Kind: secret, Hint: "Over TLS: empty"},
			}, check: radius},
	}
}

// values are the fields of one section, by their own names.
type values map[string]string

// port is 0 if the field is empty.
func (v values) port(name string) (uint16, error) {
	if v[name] == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v[name], 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("a port is a number from 1 to 65535")
	}
	return uint16(n), nil
}

// certificate judges the name at once, and reads the files if a folder is given.
func certificate(dir string) func(context.Context, values) (connsec.Report, error) {
	return func(ctx context.Context, v values) (connsec.Report, error) {
		if v["folder"] == "" {
			return tlscheck.CheckName(v["name"]), nil
		}
		if !filepath.IsLocal(v["folder"]) { // a page must not read the whole disk
			return connsec.Report{}, errors.New("the folder is below the data directory; give it without .. and without a drive")
		}
		files, err := tlscheck.OpenDir(filepath.Join(dir, v["folder"]))
		if err != nil {
			return connsec.Report{}, err
		}
		files.Name, files.Password, files.Strength = v["name"], connsec.NewSecret(v["password"]), audit.PasswordBits
		return files.Probe(ctx)
	}
}

func directory(_ context.Context, v values) (connsec.Report, error) {
	port, err := v.port("port")
	if err != nil {
		return connsec.Report{}, err
	}
	c, err := ldapsec.ParseForm(v["server"], v["security"], "", port)
	if err != nil {
		return connsec.Report{}, err
	}
	c.BindDN, c.Password = v["user"], connsec.NewSecret(v["password"])
	return c.Validate(), nil
}

func database(_ context.Context, v values) (connsec.Report, error) {
	c, err := sqlsec.ParseDSN(v["string"], sqlsec.AnyDriver) // errors hold nothing of the string
	if err != nil {
		return connsec.Report{}, err
	}
	return c.Validate(), nil
}

func mail(_ context.Context, v values) (connsec.Report, error) {
	port, err := v.port("port")
	if err != nil {
		return connsec.Report{}, err
	}
	c, err := smtpsec.ParseForm(smtpsec.Form{
		Server: v["server"], Port: port, Security: v["security"], NoValidation: v["verify"] == "",
		User: v["user"], Password: connsec.NewSecret(v["password"]), Sender: v["sender"],
	})
	if err != nil {
		return connsec.Report{}, err
	}
	return c.Validate(), nil
}

func radius(_ context.Context, v values) (connsec.Report, error) {
	port, err := v.port("port")
	if err != nil {
		return connsec.Report{}, err
	}
	c := radiussec.Config{Servers: []radiussec.Server{{Host: v["server"], Port: port, Secret: connsec.NewSecret(v["secret"])}}}
	if err := c.Transport.UnmarshalText([]byte(strings.ToLower(v["transport"]))); err != nil {
		return connsec.Report{}, err
	}
	return c.Validate(), nil
}

// result is what the page shows of a section.
type result struct {
	Empty    bool // nothing is typed yet
	Problem  string
	Findings []connsec.Finding // failed first, the worst on top; then those that could not be told
	Failed   int
	Passed   int
}

// judge takes a section's fields from the form and runs its check.
func (s section) judge(ctx context.Context, form url.Values) result {
	v, empty := values{}, true
	for _, f := range s.Fields {
		value := form.Get(s.ID + "-" + f.Name)
		if f.Kind != secret {
			value = strings.TrimSpace(value)
		}
		v[f.Name] = value
		empty = empty && (value == "" || f.Kind == choice || f.Kind == tick)
	}
	if empty {
		return result{Empty: true}
	}
	report, err := s.check(ctx, v)
	if err != nil {
		_, message, found := strings.Cut(err.Error(), ": ") // without the package's name
		if !found {
			message = err.Error()
		}
		return result{Problem: message}
	}
	r := result{Failed: report.Count(connsec.Fail), Passed: report.Count(connsec.Pass)}
	for _, f := range report.Findings {
		if f.Outcome == connsec.Fail || f.Outcome == connsec.Inconclusive {
			r.Findings = append(r.Findings, f)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b connsec.Finding) int {
		return cmp.Or(cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(b.Severity, a.Severity))
	})
	return r
}

//go:embed page.html page.css page.js
var files embed.FS

// rulesURL is where each rule is explained.
const rulesURL = "https://github.com/connsec/connsec/blob/main/docs/rules.md#"

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"rule": func(r *connsec.Rule) string { return rulesURL + r.ID },
}).ParseFS(files, "page.html"))

// view is a section with what was typed, except for secrets, and the result.
type view struct {
	section
	Result result
	form   url.Values // nil: as the page begins
}

// Value is what a field shows.
func (v view) Value(f field) string {
	if f.Kind == secret {
		return ""
	}
	return v.form.Get(v.ID + "-" + f.Name)
}

// Ticked is whether a box is.
func (v view) Ticked(f field) bool { return v.form == nil || v.Value(f) != "" }

// policy lets the page load its own style and script and ask its own server, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// handler is the page. A form without scripts is sent to / as a whole; with them, each section is
// sent to /check/ as it changes.
func handler(dir string) http.Handler {
	all := sections(dir)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		views := make([]view, len(all))
		for i, s := range all {
			views[i] = view{section: s, Result: result{Empty: true}}
		}
		render(w, "page", views)
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		views := make([]view, len(all))
		for i, s := range all {
			views[i] = view{s, s.judge(r.Context(), r.PostForm), r.PostForm}
		}
		render(w, "page", views)
	})
	mux.HandleFunc("POST /check/{section}", func(w http.ResponseWriter, r *http.Request) {
		i := slices.IndexFunc(all, func(s section) bool { return s.ID == r.PathValue("section") })
		if i < 0 {
			http.NotFound(w, r)
			return
		}
		render(w, "result", all[i].judge(r.Context(), r.PostForm))
	})
	mux.Handle("GET /page.css", http.FileServerFS(files))
	mux.Handle("GET /page.js", http.FileServerFS(files))
	return guard(mux)
}

// guard is for every request: the headers, a bound, and no requests that other sites make.
func guard(next http.Handler) http.Handler {
	const maxForm, patience = 64 << 10, 20 * time.Second
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer, forms come from the origin "null"
		h.Set("Cache-Control", "no-store")
		if !local(r.Host) { // a name of an attacker's that leads to 127.0.0.1
			http.Error(w, "This page is for this machine only.", http.StatusForbidden)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "The form cannot be read.", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func render(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		panic(http.ErrAbortHandler) // the reader is gone
	}
}

const usage = `usage: settings-page [--listen ADDR:PORT] [--data DIR]

Shows a settings page on loopback that judges what is typed into it.

  --listen ADDR:PORT   default 127.0.0.1:8080; port 0 takes a free one
  --data DIR           the product's data directory, default .
`

// Run serves until ctx ends, and returns the exit status: 0, or 2 if it cannot serve.
func Run(ctx context.Context, args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("settings-page", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	listen := flags.String("listen", "127.0.0.1:8080", "")
	data := flags.String("data", ".", "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return 0
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unknown argument %q", flags.Arg(0))
	case err == nil && !local(*listen):
		err = errors.New("--listen takes a loopback address only, for there is neither HTTPS nor a sign-in")
	}
	if err != nil {
		fmt.Fprintf(errOut, "settings-page: %v; --help explains\n", err)
		return 2
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintf(errOut, "settings-page: %v\n", err)
		return 2
	}
	server := &http.Server{
		Handler: handler(*data), ErrorLog: log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	fmt.Fprintf(out, "The settings page is at http://%s/. Ctrl-C ends it.\n", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintf(errOut, "settings-page: %v\n", err)
		return 2
	}
	return 0
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
