package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"connsec": main})
}

// TestScripts runs the stories in testdata. They find two servers: $GOOD with the name
// central.corp.internal under the CA in good.pem, and $BAD with a certificate for another name
// under the CA in bad.pem; $CLOSED is an address where nothing listens, $CLOSEDPORT its port. $REST is a
// REST API that takes every client, with the name of $GOOD, under the CA in rest.pem. $SQL is a SQL Server named
// sql01.corp.internal under the CA in sql.pem, with a table of passwords; $FORCED and $WEAK are others,
// under forced.pem and weak.pem, that answer questions about themselves. $XMPL and $OPEN are
// protected sites at https://www.corp.example/spring/, under xmpl.pem and open.pem; the second gives
// its data away. $TOKENS is a token endpoint named central.corp.internal under the CA in tokens.pem,
// whose client reports has $SECRET.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":   status,
			"envsubst": envsubst,
			"raw":      raw,
			"endpoint": endpoint,
		},
		Setup: func(env *testscript.Env) error {
			good, err := trap.Options{Names: []string{"central.corp.internal"}}.HTTPS(trap.HTTPSHonest)
			if err != nil {
				return err
			}
			env.Defer(func() { _ = good.Close() })
			bad, err := trap.Options{Names: []string{"central.corp.internal"}}.HTTPS(trap.HTTPSWrongName)
			if err != nil {
				return err
			}
			env.Defer(func() { _ = bad.Close() })
			database, _, err := startCampaign()
			if err != nil {
				return err
			}
			env.Defer(func() { _ = database.Close() })
			servers := map[string]*trap.SQL{}
			for name, posture := range map[string]trap.SQLPosture{"forced": trap.SQLForced, "weak": trap.SQLOptional} {
				if servers[name], err = (trap.Options{Names: []string{"sql01.corp.internal"}}).SQL(trap.SQLConfig{Posture: posture}); err != nil {
					return err
				}
				env.Defer(func() { _ = servers[name].Close() })
				env.Setenv(strings.ToUpper(name), servers[name].Addr())
			}
			rest, err := trap.Options{Names: []string{"central.corp.internal"}}.REST(trap.RESTHonest)
			if err != nil {
				return err
			}
			env.Defer(func() { _ = rest.Close() })
			xmpl, err := trap.Options{Names: []string{"www.corp.example"}}.XMPL(trap.XMPLHonest)
			if err != nil {
				return err
			}
			env.Defer(func() { _ = xmpl.Close() })
			open, err := trap.Options{Names: []string{"www.corp.example"}}.XMPL(trap.XMPLDataOpen)
			if err != nil {
				return err
			}
			env.Defer(func() { _ = open.Close() })
			closed, err := closedPort()
			if err != nil {
				return err
			}
			_, port, err := net.SplitHostPort(closed)
			if err != nil {
				return err
			}
			env.Setenv("REST", rest.Addr())
			env.Setenv("CLOSEDPORT", port)
			tokens := &demoIssuer{secrets: map[string]apisec.Credential{
				"key-1": {ClientID: "reports", KeyID: "key-1", Secret: apisec.NewSecret()},
			}}
			tokensAt, root, err := startEndpoint(tokens)
			if err != nil {
				return err
			}
			env.Defer(tokensAt.stop)
			env.Values["tokens"] = tokens
			env.Setenv("TOKENS", tokensAt.addr)
			env.Setenv("SECRET", tokens.secrets["key-1"].Secret.Reveal())
			env.Setenv("GOOD", good.Addr())
			env.Setenv("BAD", bad.Addr())
			env.Setenv("SQL", database.Addr())
			env.Setenv("XMPL", xmpl.Addr())
			env.Setenv("OPEN", open.Addr())
			env.Setenv("CLOSED", closed)
			for name, pem := range map[string][]byte{
				"good.pem": good.CA(), "bad.pem": bad.CA(), "sql.pem": database.CA(), "rest.pem": rest.CA(),
				"xmpl.pem": xmpl.CA(), "open.pem": open.CA(), "tokens.pem": root,
				"forced.pem": servers["forced"].CA(), "weak.pem": servers["weak"].CA(),
			} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), pem, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// status runs a command and wants exactly the given exit status: status 3 connsec …
func status(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want, _ := strconv.Atoi(args[0]); code != want {
		ts.Fatalf("exit status %d, want %s", code, args[0])
	}
}

type listening struct {
	addr string
	stop func()
}

func startEndpoint(e *demoIssuer) (at listening, root []byte, err error) {
	ca, err := testca.New(testca.Options{})
	if err != nil {
		return at, nil, err
	}
	leaf, err := ca.Issue(testca.Leaf{Names: []string{"central.corp.internal"}})
	if err != nil {
		return at, nil, err
	}
	at.addr, at.stop, err = e.serve(leaf.TLS())
	return at, ca.PEM(), err
}

// endpoint does what a person does at the server of tokens: endpoint add CLIENT FILE, endpoint
// remove CLIENT; or what happens to a server: endpoint status 503.
func endpoint(ts *testscript.TestScript, _ bool, args []string) {
	e := ts.Value("tokens").(*demoIssuer)
	var secret string
	if args[0] == "add" {
		secret = strings.TrimSpace(ts.ReadFile(args[2]))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch args[0] {
	case "add":
		e.made++
		key := "made-" + strconv.Itoa(e.made)
		e.secrets[key] = apisec.Credential{ClientID: args[1], KeyID: key, Secret: connsec.NewSecret(secret)}
	case "remove":
		for key, c := range e.secrets {
			if c.ClientID == args[1] {
				delete(e.secrets, key)
			}
		}
	case "status":
		e.status, _ = strconv.Atoi(args[1])
	}
}

// envsubst replaces $VARIABLES in files.
func envsubst(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), 0o600))
	}
}

// raw writes a file of bytes that no script can hold: raw FILE 'a\x00b' [TIMES].
func raw(ts *testscript.TestScript, _ bool, args []string) {
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	if len(args) > 2 {
		times, err := strconv.Atoi(args[2])
		ts.Check(err)
		text = strings.Repeat(text, times)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func run(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, err strings.Builder
	code := Run(t.Context(), args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func TestEveryCommandHasHelpWithin80Columns(t *testing.T) {
	all := commands()
	for i := 0; i < len(all); i++ {
		all = append(all, all[i].sub...)
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			code, out, errOut := run(t, append([]string{"help"}, strings.Fields(c.name)...)...)
			assert.Equal(t, exitClean, code)
			assert.Empty(t, errOut)
			assert.Contains(t, out, "usage: connsec "+c.name)
			for line := range strings.Lines(out) {
				assert.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 80, line)
			}
		})
	}
}

func TestUsageFitsTheScreen(t *testing.T) {
	_, out, _ := run(t, "help")
	for line := range strings.Lines(out) {
		assert.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 80, line)
	}
}

func TestDemoNeedsNothing(t *testing.T) {
	code, out, errOut := run(t, "demo")
	require.Equal(t, exitClean, code, errOut)
	assert.Empty(t, errOut)
	for _, r := range demoFailures {
		assert.Contains(t, out, r.ID)
	}
	for line := range strings.Lines(out) {
		assert.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 80, line)
	}
}

// The demo's own check must be able to fail.
func TestDemoChecksItself(t *testing.T) {
	weak, err := tlscheck.Endpoint{Host: "central", Connect: serveNothing(t)}.Probe(t.Context())
	require.NoError(t, err)
	assert.ErrorContains(t, asExpected(weak, weak), "the weak deployment does not fail")
	self := tlscheck.Chain{Name: "central.corp.internal", Certs: selfSigned(t)}.Judge()
	for _, r := range demoFailures {
		f := self.Of(tlscheck.RuleSelfSigned)[0]
		f.Rule = r
		self.Findings = append(self.Findings, f)
	}
	assert.ErrorContains(t, asExpected(self, self), "the hardened deployment has the fail finding")
}

func serveNothing(t *testing.T) string {
	addr, err := closedPort()
	require.NoError(t, err)
	return addr
}

func selfSigned(t *testing.T) tlscheck.Certificates {
	return testca.MustNew(t).MustSelfSigned(t, testca.Leaf{Names: []string{"central.corp.internal"}}).Chain
}

// What could not be written was not said.
func TestLostOutputIsNoSuccess(t *testing.T) {
	for _, args := range [][]string{
		{"demo"}, {"secret", "new"}, {"rules"}, {"name", "central.corp.internal"}, {"name", "central"}, {"circle", "plan"},
		{"help"}, {"help", "tls"}, {"help", "secret"}, {"version"},
	} {
		var errOut strings.Builder
		code := Run(t.Context(), args, strings.NewReader(""), full{}, &errOut)
		assert.Equal(t, exitUsage, code, args)
		assert.Contains(t, errOut.String(), "no space left", args)
		assert.Equal(t, 1, strings.Count(errOut.String(), "\n"), args)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// Whoever waits for somebody who types, or for a pipe, can be interrupted, and comes to an end.
func TestInterruptedInput(t *testing.T) {
	for _, args := range [][]string{
		{"name", "-"}, {"secret", "check"}, {"sql", "-"}, {"securl", "hash"}, {"securl", "verify", "X03MO1qnZdYdgyfeuILPmQ=="}, {"securl", "classify", "-", "--column", "P"},
	} {
		in, silent := io.Pipe() // nobody ever writes
		t.Cleanup(func() { _ = silent.Close() })
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, interrupt)
		var out, errOut strings.Builder
		code := Run(ctx, args, in, &out, &errOut)
		assert.Equal(t, exitUnknown, code, args)
		assert.Regexp(t, "^connsec .*: interrupted\n$", errOut.String())
		assert.Empty(t, out.String())

		errOut.Reset()
		code = Run(t.Context(), append(args, "--timeout", "1ms"), in, &out, &errOut)
		assert.Equal(t, exitUnknown, code, args)
		assert.Regexp(t, "^connsec .*: not done after 1ms; --timeout TIME gives it longer.*\n$", errOut.String())
	}
}

// Input is read to its end, in pieces of any size.
func TestInput(t *testing.T) {
	text := strings.Repeat("central.corp.internal\n", 10_000)
	for name, from := range map[string]io.Reader{
		"whole": strings.NewReader(text), "halves": iotest.HalfReader(strings.NewReader(text)), "end with the data": iotest.DataErrReader(strings.NewReader(text)),
	} {
		got, err := io.ReadAll(&input{ctx: t.Context(), from: from})
		require.NoError(t, err, name)
		assert.Equal(t, text, string(got), name)
	}
	_, err := io.ReadAll(&input{ctx: t.Context(), from: iotest.ErrReader(syscall.EIO)})
	assert.ErrorIs(t, err, syscall.EIO)
}
