package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	if len(args) == 0 {
		usage(err)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
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
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	shared := &common{}
	shared.declare(fs)
	if c.endless {
		fs.Lookup("timeout").Usage = "`TIME` for the whole run (default none)"
	}
	do := c.setup(fs, shared)
	positional, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(out, fs)
		return exitClean
	case err != nil:
		fmt.Fprintf(errOut, "connsec %s: %s; connsec help %s explains\n", c.name, strings.TrimSpace(err.Error()), c.name)
		return exitUsage
	}
	if c.endless && !isSet(fs, "timeout") {
		shared.timeout = 0
	}
	if shared.timeout < 0 {
		fmt.Fprintf(errOut, "connsec %s: --timeout is negative; 0 means none\n", c.name)
		return exitUsage
	}
	if shared.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, shared.timeout)
		defer cancel()
	}
	written := &output{Writer: out}
	err = do(ctx, &call{args: positional, in: in, out: written, err: errOut, common: shared})
	if written.lost != nil && (err == nil || errors.As(err, new(outcome))) {
		err = written.lost // what was found did not arrive
	}
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

func isSet(fs *flag.FlagSet, name string) (set bool) {
	fs.Visit(func(f *flag.Flag) { set = set || f.Name == name })
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

// unreached marks an error about the network rather than the input.
type unreached struct{ error }

func (u unreached) Unwrap() error { return u.error }

// parse lets flags stand before, between and behind the arguments; "--" ends them.
func parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var positional []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
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

// oneLine drops the package prefix that Go errors carry, and line breaks.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, pkg := range []string{"connsec: ", "tlscheck: ", "audit: ", "report: ", "ldapsec: ", "sqlsec: ", "smtpsec: ", "radiussec: ", "apisec: ", "circlehttps: ", "trap: ", "securl: ", "hostfw: "} {
		text = strings.TrimPrefix(text, pkg)
	}
	return printable(text) // a server may have had a say in it
}

func usage(w io.Writer) {
	fmt.Fprint(w, "connsec checks, hardens and proves the connections a server product depends on.\n\nusage: connsec COMMAND [FLAGS] [ARGUMENTS]\n\n")
	list(w, commands())
	fmt.Fprint(w, "\nconnsec help COMMAND shows its flags.\n"+
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

func (c command) help(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprintf(w, "usage: connsec %s\n\n%s\n\n", strings.TrimSpace(c.name+" [FLAGS] "+c.args), hang(0, c.about))
	fs.VisitAll(func(f *flag.Flag) {
		placeholder, text := flag.UnquoteUsage(f)
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = " -"
		}
		fmt.Fprintf(w, "  %s%-20s %s\n", dashes, strings.TrimSpace(f.Name+" "+placeholder), hang(25, text))
	})
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
