package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

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
				kept, err := namedSecrets(f.Secrets, given, *deployment)
				if err != nil {
					return err
				}
				if *key != "" {
					if f.Key, err = audit.ReadSecret(*key); err != nil {
						return err
					}
				}
				var reports []connsec.Report
				bar := c.progress()
				for _, name := range c.args {
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

// namedSecrets reads the secrets, and returns the files that they are kept in.
func namedSecrets(into map[string]connsec.Secret, given []string, deployment string) (kept map[string]string, err error) {
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
			return nil, usagef("--secret takes NAME=FILE; a secret is never given as an argument, which every user of the machine sees")
		}
		secret, err := audit.ReadSecret(file)
		switch {
		case noSuchFile(err):
			return nil, usagef("--secret %s: there is no such file; name the file that holds the secret", name)
		case err != nil:
			return nil, err
		}
		if err := add(name, file, secret); err != nil {
			return nil, err
		}
	}
	if deployment == "" {
		return kept, nil
	}
	d, err := audit.Load(deployment)
	if err != nil {
		return nil, err
	}
	secrets, err := d.Secrets()
	if err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s names no file with a password or secret", deployment)
	}
	for _, s := range secrets {
		if err := add(s.Name, s.File, s.Secret); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// lookThrough looks through one folder or file. Positions in the report are paths from here.
func lookThrough(ctx context.Context, f apisec.Finder, name string, kept map[string]string, noGit bool, bar *progress) (connsec.Report, error) {
	info, err := os.Stat(name)
	if err != nil {
		return connsec.Report{}, err
	}
	dir, only := name, ""
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return connsec.Report{}, usagef("%s is neither a folder nor a regular file", name)
		}
		dir, only = filepath.Split(name)
		if dir == "" {
			dir = "."
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return connsec.Report{}, err
	}
	defer root.Close()
	f.FS, f.Dir, f.Name = apisec.Folder(root), dir, name
	if only != "" {
		f.FS = oneFile{f.FS, only}
	}
	if noGit {
		f.Dir = ""
	}
	f.Declared = map[string][]string{}
	for secret, file := range kept {
		if inside, ok := within(dir, file); ok {
			f.Declared[secret] = []string{inside}
		}
	}
	f.Progress = func(files int, bytes int64) {
		if files%64 == 0 || bytes>>20 > 0 {
			bar.show(fmt.Sprintf("%s: %d files, %d MB", name, files, bytes>>20))
		}
	}
	e, err := f.Find(ctx)
	if err != nil {
		return connsec.Report{}, err
	}
	r := e.Judge()
	base := filepath.ToSlash(e.Target) // which is the name, without a secret that stands in it
	if only != "" {
		base = path.Dir(base)
	}
	for i := range r.Findings {
		if at := r.Findings[i].Source; at != nil {
			at.File = path.Join(base, at.File)
		}
	}
	return r, nil
}

// within is the path of a file in a folder, if it is there.
func within(dir, file string) (string, bool) {
	for _, p := range []*string{&dir, &file} {
		full, err := filepath.Abs(*p)
		if err != nil {
			return "", false
		}
		if real, err := filepath.EvalSymlinks(full); err == nil {
			full = real
		}
		*p = full
	}
	rel, err := filepath.Rel(dir, file)
	rel = filepath.ToSlash(rel)
	return rel, err == nil && fs.ValidPath(rel)
}

// oneFile is a folder of which only one file is there.
type oneFile struct {
	fs.FS
	name string
}

func (o oneFile) ReadDir(dir string) ([]fs.DirEntry, error) {
	if dir != "." {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	info, err := fs.Stat(o.FS, o.name) // a link to a file that was named is followed
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return []fs.DirEntry{fs.FileInfoToDirEntry(info)}, nil
}
