package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// Exit codes.
const (
	exitClean    = 0 // nothing at or above --fail-on
	exitFindings = 1 // something failed
	exitUsage    = 2 // usage, or input that cannot be read
	exitUnknown  = 3 // nothing failed, but something at or above --fail-on could not be tested
)

// A command of the CLI. Each stands in a file of its own.
type command struct {
	name  string
	args  string // what follows the flags, for the usage line
	about string
	// endless commands run until they are interrupted unless --timeout is given.
	endless bool
	// shares are the shared flags that mean something to this command, beside --timeout.
	shares shared
	// sub makes this a family: the first argument picks one of these, which are named
	// "family member".
	sub []command
	// setup declares the command's own flags and returns what runs it. A family that has one
	// runs it where the first argument is none of its members.
	setup func(*flag.FlagSet, *common) func(context.Context, *call) error
}

// call is one invocation: its arguments and its streams.
type call struct {
	args     []string
	in       io.Reader
	out, err io.Writer
	common   *common
}

func commands() []command {
	return []command{
		demoCommand(),
		auditCommand(),
		tlsCommand(),
		httpCommand(),
		ldapCommand(),
		sqlCommand(),
		smtpCommand(),
		radiusCommand(),
		restCommand(),
		secretCommand(),
		trapCommand(),
		certCommand(),
		nameCommand(),
		securlCommand(),
		circleCommand(),
		firewallCommand(),
		rulesCommand(),
	}
}

// usageError is a mistake in the command line.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// outcome carries an exit code that is not an error: the report has said everything.
type outcome int

func (o outcome) Error() string { return fmt.Sprintf("exit %d", int(o)) }

// Run runs one command and returns the exit code. Reports go to out; progress and errors, one
// line each, to err.
func Run(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	written := &output{Writer: out}
	code := dispatch(ctx, args, in, written, err)
	if written.lost != nil && code != exitUsage { // which has said why
		fmt.Fprintf(err, "connsec: %s\n", oneLine(written.lost)) // what was found did not arrive
		return exitUsage
	}
	return code
}

func dispatch(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	if len(args) == 0 {
		usage(err)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "version", "-version", "--version":
		fmt.Fprintln(out, version())
		return exitClean
	case "help", "-h", "-help", "--help":
		if len(rest) == 0 {
			usage(out)
			return exitClean
		}
		name, rest = rest[0], append(rest[1:len(rest):len(rest)], "-h")
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(ctx, rest, in, out, err)
		}
	}
	fmt.Fprintf(err, "connsec: unknown command %q; connsec help lists them\n", name)
	return exitUsage
}

func (c command) run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	if len(c.sub) > 0 && (c.setup == nil || len(args) > 0 && c.has(args[0])) {
		return c.runSub(ctx, args, in, out, errOut)
	}
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	shared := &common{}
	shared.declare(flags, c.shares)
	if c.endless {
		flags.Lookup("timeout").Usage = "`TIME` for the whole run (default none)"
	}
	do := c.setup(flags, shared)
	positional, err := parse(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(out, flags)
		return exitClean
	case err != nil:
		fmt.Fprintf(errOut, "connsec %s: %s; connsec help %s explains\n", c.name, flagMistake(err), c.name)
		return exitUsage
	}
	if c.endless && !isSet(flags, "timeout") {
		shared.timeout = 0
	}
	if shared.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, shared.timeout)
		defer cancel()
	}
	err = do(ctx, &call{args: positional, in: &input{ctx: ctx, from: in}, out: out, err: errOut, common: shared})
	var (
		code  outcome
		wrong usageError
	)
	switch {
	case err == nil:
		return exitClean
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &wrong):
		fmt.Fprintf(errOut, "connsec %s: %s; connsec help %s explains\n", c.name, wrong.message, c.name)
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(errOut, "connsec %s: interrupted\n", c.name)
		return exitUnknown
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		fmt.Fprintf(errOut, "connsec %s: not done after %s; --timeout TIME gives it longer, --timeout 0 as long as it takes\n", c.name, shared.timeout)
		return exitUnknown
	}
	fmt.Fprintf(errOut, "connsec %s: %s\n", c.name, oneLine(err))
	if errors.As(err, new(unreached)) {
		return exitUnknown
	}
	return exitUsage
}

// has reports whether the name is one of the family's members.
func (c command) has(member string) bool {
	return slices.ContainsFunc(c.sub, func(s command) bool { return s.name == c.name+" "+member })
}

// runSub runs the member of a family that the first argument names.
func (c command) runSub(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var members []string
	for _, s := range c.sub {
		member := strings.TrimPrefix(s.name, c.name+" ")
		if len(args) > 0 && args[0] == member {
			return s.run(ctx, args[1:], in, out, errOut)
		}
		members = append(members, member)
	}
	if len(args) > 0 {
		switch args[0] {
		case "-h", "-help", "--help", "help":
			fmt.Fprintf(out, "usage: connsec %s COMMAND [FLAGS] [ARGUMENTS]\n\n%s\n\n", c.name, hang(0, c.about))
			list(out, c.sub)
			fmt.Fprintf(out, "\nconnsec help %s COMMAND shows the flags of one.\n", c.name)
			return exitClean
		}
		fmt.Fprintf(errOut, "connsec %s: unknown command %q; there is %s\n", c.name, args[0], strings.Join(members, ", "))
		return exitUsage
	}
	fmt.Fprintf(errOut, "connsec %s: which command? one of %s; connsec help %s explains\n", c.name, strings.Join(members, ", "), c.name)
	return exitUsage
}

func isSet(flags *flag.FlagSet, name string) (set bool) {
	flags.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// output remembers that something could not be written, so that no command has to look: a
// secret or a report that went nowhere must not end with status 0.
type output struct {
	io.Writer
	lost error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.lost == nil {
		o.lost = err
	}
	return n, err
}

// input is standard input until ctx ends: nothing else ends the read of a terminal or a pipe. That
// read is then left to the end of the process.
type input struct {
	ctx  context.Context
	from io.Reader

	buf  []byte
	read chan int // of the read under way
	rest []byte
	err  error
}

func (i *input) Read(p []byte) (int, error) {
	if len(i.rest) == 0 && i.err == nil {
		if i.buf == nil {
			i.buf, i.read = make([]byte, 64<<10), make(chan int, 1)
		}
		var failed error
		go func() {
			var n int
			n, failed = i.from.Read(i.buf)
			i.read <- n
		}()
		select {
		case n := <-i.read:
			i.rest, i.err = i.buf[:n], failed
		case <-i.ctx.Done():
			i.err = i.ctx.Err() // and nothing is read again, so that buf is not used twice
		}
	}
	if len(i.rest) == 0 {
		return 0, i.err
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// version is what a report of a defect should name.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "connsec, of an unknown version"
	}
	out := "connsec " + info.Main.Version + ", " + info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" || s.Key == "vcs.modified" && s.Value == "true" {
			out += ", " + strings.TrimPrefix(s.Key, "vcs.") + " " + s.Value
		}
	}
	return out
}

// unreached marks an error about the network rather than the input.
type unreached struct{ error }

func (u unreached) Unwrap() error { return u.error }

// parse lets flags stand before, between and behind the arguments; "--" ends them.
func parse(flags *flag.FlagSet, args []string) ([]string, error) {
	var positional []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		rest := flags.Args()
		if len(rest) == 0 {
			return positional, nil
		}
		if used := len(args) - len(rest); used > 0 && args[used-1] == "--" {
			return append(positional, rest...), nil
		}
		positional = append(positional, rest[0])
		args = rest[1:]
	}
}

// prefixes are those of the packages' errors.
var prefixes = []string{"connsec: ", "tlscheck: ", "audit: ", "report: ", "ldapsec: ", "sqlsec: ", "smtpsec: ", "radiussec: ", "apisec: ", "circlehttps: ", "trap: ", "securl: ", "hostfw: "}

// oneLine drops the package prefix that Go errors carry, the system call in front of a file, and
// line breaks.
func oneLine(err error) string {
	text := err.Error()
	if pe, is := err.(*fs.PathError); is { // not one that is wrapped: its text is part of another
		text = pe.Path + ": " + pe.Err.Error()
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, pkg := range prefixes {
		text = strings.TrimPrefix(text, pkg)
	}
	return printable(text) // a server may have had a say in it
}

// flagMistake is an error of package flag in the words and with the dashes of the help.
func flagMistake(err error) string {
	text := oneLine(err)
	if name, unknown := strings.CutPrefix(text, "flag provided but not defined: -"); unknown {
		return "there is no flag " + dashed(name) + " here"
	}
	before, name, found := strings.Cut(text, " for flag -")
	if !found {
		return text
	}
	for _, pkg := range prefixes {
		name = strings.Replace(name, ": "+pkg, ": ", 1)
	}
	return before + " for " + dashed(name)
}

// dashed is a flag as it is typed. text may go on behind its name.
func dashed(text string) string {
	if name, _, _ := strings.Cut(text, ":"); len(name) == 1 {
		return "-" + text
	}
	return "--" + text
}

func usage(w io.Writer) {
	fmt.Fprint(w, "connsec checks, hardens and proves the connections a server product depends on.\n\nusage: connsec COMMAND [FLAGS] [ARGUMENTS]\n\n")
	list(w, commands())
	fmt.Fprint(w, "\nconnsec help COMMAND shows its flags, connsec version the version.\n"+
		"exit status: 0 clean, 1 findings, 2 usage or unreadable input, 3 could not test\n")
}

func list(w io.Writer, commands []command) {
	for _, c := range commands {
		args := c.args
		if c.setup == nil {
			args = "COMMAND"
		}
		head := strings.TrimSpace(c.name + " " + args)
		if len([]rune(head)) > 20 { // no room beside it
			head += "\n" + strings.Repeat(" ", 22)
		}
		fmt.Fprintf(w, "  %-20s %s\n", head, hang(23, c.about))
	}
}

func (c command) help(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, "usage: connsec %s\n\n%s\n\n", strings.TrimSpace(c.name+" [FLAGS] "+c.args), hang(0, c.about))
	own := 0
	for _, shared := range []bool{false, true} {
		if shared && own > 0 {
			fmt.Fprintln(w)
		}
		flags.VisitAll(func(f *flag.Flag) {
			if _, is := sharedFlags[f.Name]; is != shared {
				return
			}
			if !shared {
				own++
			}
			placeholder, text := flag.UnquoteUsage(f)
			dashes := "--"
			if len(f.Name) == 1 {
				dashes = " -"
			}
			fmt.Fprintf(w, "  %s%-20s %s\n", dashes, strings.TrimSpace(f.Name+" "+placeholder), hang(25, text))
		})
	}
	if len(c.sub) > 0 {
		fmt.Fprintf(w, "\nconnsec help %s COMMAND shows the flags of these:\n\n", c.name)
		list(w, c.sub)
	}
}

// exitCode says what a set of reports amounts to.
func exitCode(reports []connsec.Report, failOn connsec.Severity) error {
	unknown := false
	for _, r := range reports {
		if len(r.Failed(failOn)) > 0 {
			return outcome(exitFindings)
		}
		for _, f := range r.Findings {
			unknown = unknown || f.Outcome == connsec.Inconclusive && f.Severity >= failOn
		}
	}
	if unknown {
		return outcome(exitUnknown)
	}
	return nil
}
