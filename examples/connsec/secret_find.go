package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/audit"
)

func secretFindCommand() command {
	return command{
		name: "secret find", args: "DIR|FILE…", endless: true,
		about:  "find where known secrets stand, in whatever encoding: in files, archives and the history of git repositories",
		shares: reportFlags,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			var given, exclude fileList
			fs.Var(&given, "secret", "look for the secret in FILE and call it NAME, given as `NAME=FILE`; where FILE itself is looked through, it may stand there; repeatable")
			deployment := fs.String("secrets", "", "look for the passwords and secrets that the deployment in `FILE` names")
			patterns := fs.Bool("patterns", false, "look for what looks like a secret, too")
			fs.Var(&exclude, "exclude", "leave out files and folders called `PATTERN`, such as '*.pdf'; repeatable")
			key := fs.String("fingerprint-key", "", "the key in `FILE` makes fingerprints comparable between runs (default: random)")
			noGit := fs.Bool("no-git", false, "leave out the histories of git repositories; nothing is clean then where there is one")
			return func(ctx context.Context, c *call) error {
				if len(c.args) == 0 {
					return usagef("which folders or files?")
				}
				if len(given) == 0 && *deployment == "" && !*patterns {
					return usagef("look for what? give --secret NAME=FILE, --secrets DEPLOYMENT or --patterns")
				}
				f := apisec.Finder{Patterns: *patterns, Exclude: exclude, Secrets: map[string]connsec.Secret{}}
				kept, left, err := namedSecrets(f.Secrets, given, *deployment)
				if err != nil {
					return err
				}
				if *key != "" {
					if f.Key, err = audit.ReadSecret(*key); err != nil {
						return err
					}
				}
				var reports []connsec.Report
				if len(left) > 0 {
					reports = append(reports, connsec.Report{Target: *deployment, At: time.Now(), Findings: left})
				}
				bar := c.progress()
				for _, name := range c.args {
					if len(f.Secrets) == 0 && !f.Patterns {
						break
					}
					r, err := lookThrough(ctx, f, name, kept, *noGit, bar)
					bar.clear()
					if err != nil {
						return err
					}
					reports = append(reports, r)
				}
				return c.finish(reports)
			}
		},
	}
}

// namedSecrets reads the secrets, and returns the files that they are kept in, and what there is to
// say of those of the deployment that cannot be looked for: they keep nobody from looking for the
// others.
func namedSecrets(into map[string]connsec.Secret, given []string, deployment string) (kept map[string]string, left []connsec.Finding, err error) {
	kept = map[string]string{}
	add := func(name, file string, secret connsec.Secret) error {
		if _, twice := into[name]; twice {
			return usagef("two secrets are called %s", name)
		}
		into[name], kept[name] = secret, file
		return nil
	}
	for _, text := range given {
		name, file, ok := strings.Cut(text, "=")
		if !ok || name == "" || file == "" {
			return nil, nil, usagef("--secret takes NAME=FILE; a secret is never given as an argument, which every user of the machine sees")
		}
		secret, err := audit.ReadSecret(file)
		switch {
		case noSuchFile(err):
			return nil, nil, usagef("--secret %s: there is no such file; name the file that holds the secret", name)
		case err != nil:
			return nil, nil, err
		}
		if err := add(name, file, secret); err != nil {
			return nil, nil, err
		}
	}
	if deployment == "" {
		return kept, left, nil
	}
	d, err := audit.Load(deployment)
	if err != nil {
		return nil, nil, err
	}
	secrets, err := d.Secrets()
	if err != nil {
		return nil, nil, err
	}
	if len(secrets) == 0 {
		return nil, nil, fmt.Errorf("%s names no file with a password or secret", deployment)
	}
	for _, s := range secrets {
		if err := apisec.Searchable(s.Name, s.Secret); err != nil {
			rule := apisec.RuleExposed
			left = append(left, connsec.Finding{Rule: rule, Severity: rule.Severity, Outcome: connsec.Inconclusive, Subject: s.Name, Detail: oneLine(err)})
			continue
		}
		if err := add(s.Name, s.File, s.Secret); err != nil {
			return nil, nil, err
		}
	}
	return kept, left, nil
}

// lookThrough looks through one folder or file. Positions in the report are paths from here.
func lookThrough(ctx context.Context, f apisec.Finder, name string, kept map[string]string, noGit bool, bar *progress) (connsec.Report, error) {
	f.Progress = func(files int, bytes int64) {
		if files%64 == 0 || bytes>>20 > 0 {
			bar.show(fmt.Sprintf("%s: %d files, %d MB", name, files, bytes>>20))
		}
	}
	e, err := audit.LookThrough(ctx, f, name, kept, !noGit)
	if err != nil {
		return connsec.Report{}, err
	}
	r := e.Judge()
	base := filepath.ToSlash(e.Target) // which is the name, without a secret that stands in it
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		base = path.Dir(base)
	}
	for i := range r.Findings {
		if at := r.Findings[i].Source; at != nil {
			at.File = path.Join(base, at.File)
		}
	}
	return r, nil
}
