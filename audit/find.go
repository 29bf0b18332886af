package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
)

// Find is an item of the section find: folders and files in which the deployment's secrets should
// stand nowhere but where they are kept. Looked for are those of all sections that have them in
// files. Nothing is written; how much is read is bounded as [apisec.Finder] says, and by the
// deadline of the run, beyond which the rest is unread.
type Find struct {
	Path        []string `yaml:"path"`         // folders and files; archives and git histories are looked into
	SecretFiles []string `yaml:"secret_files"` // files with one more secret each
	Patterns    bool     `yaml:"patterns"`     // look for what looks like a secret, too
	Exclude     []string `yaml:"exclude"`      // names of files and folders to leave out, such as *.pdf
	KeyFile     string   `yaml:"key_file"`     // makes fingerprints comparable between runs; default: random

	Source connsec.Position `yaml:"-"`
}

func (f Find) check(d *Deployment, env *environment) (check, error) {
	if len(f.Path) == 0 {
		return check{}, errors.New("give path: the folders or files to look through")
	}
	for _, name := range f.Path {
		if _, err := os.Stat(d.path(name)); err != nil {
			return check{}, fileError(name, err)
		}
	}
	for _, pattern := range f.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			return check{}, fmt.Errorf("exclude: %q is no pattern for names; write one such as *.pdf", clip(pattern))
		}
	}
	secrets, err := d.Secrets()
	if err != nil {
		return check{}, err
	}
	for _, name := range f.SecretFiles {
		file := d.path(name)
		if slices.ContainsFunc(secrets, func(s NamedSecret) bool { return s.File == file }) {
			continue
		}
		secret, err := ReadSecret(file)
		if err != nil {
			return check{}, err
		}
		secrets = append(secrets, NamedSecret{"secret (" + name + ")", file, secret})
	}
	finder := apisec.Finder{Secrets: map[string]connsec.Secret{}, Patterns: f.Patterns, Exclude: f.Exclude, Now: env.Now}
	kept := map[string]string{}
	var left []connsec.Finding // what cannot be looked for
	for _, s := range secrets {
		if err := apisec.Searchable(s.Name, s.Secret); err != nil {
			left = append(left, untold(s.Name, err))
			continue
		}
		finder.Secrets[s.Name], kept[s.Name] = s.Secret, s.File
	}
	if len(secrets) == 0 && !f.Patterns {
		return check{}, errors.New("nothing to look for: no section names a file with a secret; give secret_files, or patterns: true")
	}
	if f.KeyFile != "" {
		if finder.Key, err = ReadSecret(d.path(f.KeyFile)); err != nil {
			return check{}, err
		}
	}
	return check{subject: f.Path[0], source: f.Source, root: apisec.RuleExposed, run: func(ctx context.Context) (connsec.Report, error) {
		out := connsec.Report{Findings: slices.Clone(left)}
		if len(finder.Secrets) == 0 && !finder.Patterns {
			return out, nil
		}
		// A search takes all processors, so that two at a time take no less long.
		env.search.Lock()
		defer env.search.Unlock()
		for _, name := range f.Path {
			e, err := LookThrough(ctx, finder, d.path(name), kept, true)
			if err != nil { // what was found in the others stays
				out.Findings = append(out.Findings, untold(name, err))
				continue
			}
			out.Findings = append(out.Findings, judgeIn(filepath.ToSlash(name), d.path(name), e)...)
		}
		return out, nil
	}}, nil
}

// untold is the finding about what could not be looked for, or looked through.
func untold(subject string, err error) connsec.Finding {
	rule := apisec.RuleExposed
	return connsec.Finding{Rule: rule, Severity: rule.Severity, Outcome: connsec.Inconclusive, Subject: subject, Detail: oneLine(err)}
}

// judgeIn judges what was found in a folder or file, with paths that can be opened from the
// deployment file, so that findings of several folders can be told apart.
func judgeIn(name, full string, e apisec.Exposure) []connsec.Finding {
	if e.Target != full { // a secret stands in the name itself
		name = e.Target
	}
	base := name
	if len(e.Hits)+len(e.Unread) > 0 {
		if info, err := os.Stat(full); err == nil && !info.IsDir() {
			base = path.Dir(name)
		}
	}
	for i := range e.Hits {
		e.Hits[i].Path = path.Join(base, e.Hits[i].Path)
	}
	for i := range e.Unread {
		e.Unread[i].Path = path.Join(base, e.Unread[i].Path)
	}
	e.Target = name
	findings := e.Judge().Findings
	for i, f := range findings {
		if f.Source == nil && f.Subject != name { // about a secret, and all that was looked through
			findings[i].Subject = f.Subject + " in " + name
		}
	}
	return findings
}

// LookThrough looks for the secrets of the finder in one folder or file, whose FS, Dir, Name and
// Declared it sets: a secret may stand in the file that it is kept in, by its name. Paths in the
// result begin in the folder. Without history, git repositories are reported as unread.
func LookThrough(ctx context.Context, f apisec.Finder, name string, kept map[string]string, history bool) (apisec.Exposure, error) {
	info, err := os.Stat(name)
	if err != nil {
		return apisec.Exposure{}, fileError(name, err)
	}
	dir, only := name, ""
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return apisec.Exposure{}, fmt.Errorf("%s: is neither a folder nor a regular file", name)
		}
		if dir, only = filepath.Split(name); dir == "" {
			dir = "."
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return apisec.Exposure{}, fileError(dir, err)
	}
	defer root.Close()
	f.FS, f.Dir, f.Name = apisec.Folder(root), dir, name
	if only != "" {
		f.FS = oneFile{f.FS, only}
	}
	if !history {
		f.Dir = ""
	}
	f.Declared = map[string][]string{}
	for secret, file := range kept {
		if inside, ok := within(dir, file); ok {
			f.Declared[secret] = []string{inside}
		}
	}
	return f.Find(ctx)
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
