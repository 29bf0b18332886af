package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/tlscheck"
)

// protectionFlags declares what Circle is set to.
func protectionFlags(fs *flag.FlagSet) func() (securl.Project, error) {
	file := fs.String("project", "", "these settings, as YAML in `FILE`; the flags below come on top")
	var p securl.Project
	var keys fileList
	fs.TextVar(&p.SecURL, "securl", p.SecURL, "SecURL of the project: `on` (default) or off")
	fs.TextVar(&p.Method, "method", p.Method, "password hashing: `md5` (default) or none")
	fs.TextVar(&p.UserName, "user-name", p.UserName, "is a user-name field selected? `on` or off")
	fs.TextVar(&p.HTTPS, "https", p.HTTPS, "Use HTTPS of the project: `on` or off")
	fs.TextVar(&p.Product, "product", p.Product, "what publishes the site: `site`, template-instance or ustore")
	fs.StringVar(&p.XMPL, "xmpl", "", "`VERSION` of the XMPL server, such as 3.5")
	fs.StringVar(&p.RecipientKey, "recipient-key", "", "`PATTERN` of the recipient keys, such as [[firstname]].[[lastname]], or auto")
	fs.Var(&keys, "sample-key", "a recipient `KEY` of the project, to be judged by its looks; repeatable")
	fs.StringVar(&p.SiteURL, "site-url", "", "`URL` of the site (default: the one that is looked at)")
	fs.StringVar(&p.LoginURL, "login-url", "", "loginUrl of xmpcustom.js (default: read from the site)")
	fs.Var(span{&p.Lifetime}, "lifetime", "how long a sign-in lasts, as a `TIME` such as 1h")
	return func() (securl.Project, error) {
		p.SampleKeys = keys
		if *file == "" {
			return p, nil
		}
		from, err := audit.LoadSecURL(*file)
		if err != nil {
			return from, err
		}
		fs.Visit(func(f *flag.Flag) {
			switch f.Name {
			case "securl":
				from.SecURL = p.SecURL
			case "method":
				from.Method = p.Method
			case "user-name":
				from.UserName = p.UserName
			case "https":
				from.HTTPS = p.HTTPS
			case "product":
				from.Product = p.Product
			case "xmpl":
				from.XMPL = p.XMPL
			case "recipient-key":
				from.RecipientKey = p.RecipientKey
			case "sample-key":
				from.SampleKeys = p.SampleKeys
			case "site-url":
				from.SiteURL = p.SiteURL
			case "login-url":
				from.LoginURL = p.LoginURL
			case "lifetime":
				from.Lifetime = p.Lifetime
			}
		})
		return from, nil
	}
}

func securlCheck() command {
	return command{
		name: "securl check", args: "[URL]", about: "judge the settings of a protected site and, with its https address, what it and its XMPL server answer",
		shares: serverFlags | reportFlags,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			project := protectionFlags(fs)
			var live securl.Live
			fs.StringVar(&live.RecipientID, "recipient", "", "`KEY` of a recipient made for the test (default: a random one, of which less can be told)")
			fs.StringVar(&live.UserName, "test-user", "", "that recipient's user `NAME`")
			password := fs.String("password-file", "", "`FILE` with that recipient's password: signs in, and sees how long that lasts")
			fs.StringVar(&live.OtherRecipientID, "other-recipient", "", "`KEY` of a second recipient made for the test: does the first one's token open that one's data?")
			fs.StringVar(&live.OtherUserName, "other-user", "", "the second recipient's user `NAME`")
			otherPassword := fs.String("other-password-file", "", "`FILE` with the second recipient's password")
			fs.BoolVar(&live.Wait, "wait", false, "wait an hour after the sign-in to see whether it ends; needs --timeout 0")
			fs.IntVar(&live.Guesses, "guesses", 0, fmt.Sprintf("try `N` wrong passwords (default 5, -1 for none; more, up to %d, are tried for --recipient and may lock it)", securl.MostGuesses))
			return func(ctx context.Context, c *call) error {
				p, err := project()
				if err != nil {
					return err
				}
				switch {
				case len(c.args) > 1:
					return usagef("one URL at a time")
				case len(c.args) == 0 && (live.RecipientID != "" || *password != "" || live.OtherRecipientID != "" || *otherPassword != "" || live.Wait || live.Guesses != 0):
					return usagef("which URL? Recipients, their passwords, --wait and --guesses are about a site that is served")
				case len(c.args) == 0:
					return c.finish([]connsec.Report{p.Validate()})
				case (live.OtherRecipientID == "") != (*otherPassword == "") || live.OtherRecipientID != "" && *password == "":
					return usagef("a second recipient takes --other-recipient and --other-password-file, after --recipient and --password-file")
				case live.Wait && shared.timeout != 0 && shared.timeout < securl.Lifetime+5*time.Minute:
					return usagef("waiting takes an hour: give --timeout 0, too")
				}
				live.URL, live.Project = c.args[0], p
				if *password != "" {
					if live.Password, err = audit.ReadSecret(*password); err != nil {
						return err
					}
				}
				if *otherPassword != "" {
					if live.OtherPassword, err = audit.ReadSecret(*otherPassword); err != nil {
						return err
					}
				}
				roots, known, crls, err := shared.trust(ctx)
				if err != nil {
					return err
				}
				live.Endpoint = tlscheck.Endpoint{Connect: shared.connect, Roots: roots, Known: known, CRLs: crls, AsOf: shared.asOf.Time}
				return c.probe(ctx, []target{{c.args[0], securl.RuleDataOpen, live.Validate, live.Probe}})
			}
		},
	}
}
