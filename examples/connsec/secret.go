package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/radiussec"
)

func secretCommand() command {
	return command{
		name: "secret", about: "make shared secrets, judge them, find where they leaked, roll them over",
		sub: []command{secretNewCommand(), secretCheckCommand(), secretFindCommand(), secretRotateCommand()},
	}
}

func secretNewCommand() command {
	return command{
		name: "secret new", args: "", about: "make a random secret",
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			purpose := fs.String("for", "radius", "what the secret is for: `KIND` radius (default) or rest")
			plan := fs.Bool("plan", false, "how to replace the old secret, step by step")
			return func(_ context.Context, c *call) error {
				switch {
				case *purpose != "radius" && *purpose != "rest":
					return usagef("secrets are made for radius and rest")
				case len(c.args) > 0:
					return usagef("secret new takes no arguments")
				case *purpose == "rest" && *plan:
					return usagef("the plan is for radius; connsec secret rotate replaces a secret of a REST client")
				case *purpose == "rest":
					fmt.Fprintln(c.out, apisec.NewSecret().Reveal())
					return nil
				}
				fmt.Fprintln(c.out, radiussec.NewSecret().Reveal())
				if *plan {
					for i, step := range radiussec.RolloverPlan() {
						fmt.Fprintf(c.out, "\n%d. %-6s %s\n", i+1, step.Where, hang(10, step.Do))
						fmt.Fprintf(c.out, "          %s\n", hang(10, step.Why))
					}
				}
				return nil
			}
		},
	}
}

func secretCheckCommand() command {
	return command{
		name: "secret check", args: "[FILE]", about: "judge a secret from a file, or from standard input",
		shares: reportFlags,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			purpose := fs.String("for", "radius", "what the secret is for: `KIND` radius (default) or rest")
			id := fs.String("id", "", "the client's `ID`, which a secret must not be made of (rest)")
			words := wordsFlag(fs)
			return func(ctx context.Context, c *call) error {
				switch {
				case *purpose != "radius" && *purpose != "rest":
					return usagef("secrets are judged for radius and rest")
				case len(c.args) > 1:
					return usagef("give one file, or none for standard input")
				}
				secret, name, err := readSecret(ctx, c)
				if err != nil {
					return err
				}
				if *purpose == "rest" {
					if secret.IsEmpty() {
						return fmt.Errorf("%s: there is no secret in it", name)
					}
					client := apisec.Client{Name: name, ID: *id, Secret: secret, Context: *words}
					return c.finish([]connsec.Report{aboutSecret(client.Validate())})
				}
				inventory := radiussec.Inventory{Target: name, Context: *words, Clients: []radiussec.ClientEntry{{Name: name, Secret: secret, Transport: radiussec.UDP}}}
				return c.finish([]connsec.Report{aboutSecret(inventory.Validate())})
			}
		},
	}
}

// aboutSecret keeps what is about the secret itself: a file knows nothing of clients.
func aboutSecret(r connsec.Report) connsec.Report {
	var kept []connsec.Finding
	for _, f := range r.Findings {
		switch f.Rule {
		case radiussec.RuleSecretMissing, radiussec.RuleSecretShort, radiussec.RuleSecretWeak, radiussec.RuleSecretCharset, apisec.RuleSecretWeak:
			kept = append(kept, f)
		}
	}
	r.Findings = kept
	return r
}

// readSecret never takes a secret from the arguments, where every user of the machine sees it.
func readSecret(ctx context.Context, c *call) (secret connsec.Secret, name string, err error) {
	if len(c.args) == 1 {
		secret, err = audit.ReadSecret(c.args[0])
		if noSuchFile(err) {
			err = usagef("there is no such file; name the file that holds the secret, or give it on standard input")
		}
		return secret, c.args[0], err
	}
	if fd, is := keyboard(c.in); is {
		text, err := c.typed(ctx, fd, "secret")
		return connsec.NewSecret(text), "standard input", err
	}
	secret, err = typedIn(c.in)
	return secret, "standard input", err
}

// typedIn is a secret, or a connection string, on standard input.
func typedIn(in io.Reader) (connsec.Secret, error) {
	data, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return connsec.Secret{}, err
	}
	return audit.ParseSecret("standard input", data)
}

// noSuchFile reports whether a file for a secret is not there. Its name is not repeated then: it
// may be the secret itself, typed by mistake.
func noSuchFile(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG)
}
