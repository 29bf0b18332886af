package apisec

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// RuleExposed: a secret stands nowhere but where it is kept.
var RuleExposed = &connsec.Rule{
	ID: "api-secret-exposed", Title: "A secret stands where it is not meant to be",
	Why:      "Whoever can read the file, the archive or the repository, or a backup of it, can act as the client. Encoding hides nothing.",
	Fix:      "Replace the secret at the server and revoke the old one: it has to be taken as known. Then take it out of the place, and let the program read it from a secret store. Taking it out of a git history comes last and helps only those who have not cloned it.",
	Severity: connsec.Critical, Refs: []connsec.Citation{refOWASPSecrets, rfc("6819", "4.1.1"), refGuide}, Since: "0.1.0",
}

// RulePattern: nothing looks like a secret.
var RulePattern = &connsec.Rule{
	ID: "api-secret-pattern", Title: "Something looks like a secret in the clear",
	Why:      "If it is one, whoever can read the file, the archive or the repository has it.",
	Fix:      "If it is a real secret, replace and revoke it, and let the program read the new one from a secret store. If it is an example or a test key, accept it by a waiver that says so.",
	Severity: connsec.Medium, Refs: []connsec.Citation{refOWASPSecrets}, Since: "0.1.0",
}

var refOWASPSecrets = connsec.Citation{
	Doc: "OWASP Secrets Management Cheat Sheet", URL: "https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html",
}

func exposureRules() []*connsec.Rule { return []*connsec.Rule{RuleExposed, RulePattern} }

const (
	// maxFindings bounds the findings about one secret, and about what was not read.
	maxFindings = 100
	maxUnknown  = 20
)

// Judge gives one finding for each hit, up to 100 for each secret, one for each secret that was
// not found, and one for each thing that was not read, up to 20. If anything was not read, that
// no hit was found is inconclusive.
func (e Exposure) Judge() connsec.Report {
	j := exposed{Exposure: e}
	for _, s := range e.Secrets {
		j.secret(s.Name)
	}
	if e.Patterns {
		j.patterns()
	}
	j.unread()
	return connsec.Report{Target: e.Target, At: e.At, Duration: e.Duration, Findings: j.findings}
}

type exposed struct {
	Exposure
	findings []connsec.Finding
}

// say adds a finding.
func (j *exposed) say(rule *connsec.Rule, subject string, at *connsec.Position, v connsec.Verdict) {
	f := connsec.Run(subject, v, []connsec.Check[connsec.Verdict]{{Rule: rule, Judge: func(v connsec.Verdict) connsec.Verdict { return v }}})[0]
	f.Source = at
	j.findings = append(j.findings, f)
}

// secret judges the hits of one secret.
func (j *exposed) secret(name string) {
	var hits, declared []Hit
	for _, h := range j.Hits {
		switch {
		case h.Secret != name:
		case h.Declared:
			declared = append(declared, h)
		default:
			hits = append(hits, h)
		}
	}
	j.hits(RuleExposed, hits, name)
	if len(hits) > 0 {
		return
	}
	where := "it stands nowhere"
	if len(declared) > 0 {
		where = "it stands only where it is declared to, in " + listed(pathsOf(declared))
	}
	j.none(RuleExposed, name, where)
}

func (j *exposed) patterns() {
	// What a known secret was found in looks like one, too.
	known := map[string]bool{}
	for _, s := range j.Secrets {
		known[s.Fingerprint] = true
	}
	var hits []Hit
	for _, h := range j.Hits {
		if h.Pattern != "" && !known[h.Fingerprint] {
			hits = append(hits, h)
		}
	}
	j.hits(RulePattern, hits, "")
	if len(hits) == 0 {
		j.none(RulePattern, j.Target, "nothing looks like a secret")
	}
}

// hits gives a finding for each, and one for those that are too many.
func (j *exposed) hits(rule *connsec.Rule, hits []Hit, name string) {
	for i, h := range hits {
		if i == maxFindings {
			subject := j.Target
			if name != "" {
				subject = name
			}
			rest := hits[i:]
			j.say(rule, subject, nil, connsec.Failed("and %s in %s", number(len(rest), "more place", "more places"), listed(pathsOf(rest))))
			return
		}
		subject := h.Where()
		if name != "" {
			subject = name + " in " + subject
		}
		v := connsec.Failed("%s", h.sentence())
		if slices.ContainsFunc(patterns, func(p pattern) bool { return p.sure && p.name == h.Pattern }) {
			v = v.As(connsec.High)
		}
		v = v.With("fingerprint", h.Fingerprint).With("offset", h.Offset)
		if h.Git != nil {
			v = v.With("object", h.Git.ID)
			if h.Git.Commit != "" {
				v = v.With("commit", h.Git.Commit)
			}
		}
		j.say(rule, subject, h.position(), v)
	}
}

// none says that a search found nothing, which is a pass only if everything was searched.
func (j *exposed) none(rule *connsec.Rule, subject, where string) {
	looked := fmt.Sprintf("%s among %s", where, j.searched())
	switch unread := len(j.Unread) + j.MoreUnread; {
	case j.MoreHits > 0:
		j.say(rule, subject, nil, connsec.Unknown("%s in what was recorded, but %s not", where, number(j.MoreHits, "hit was", "hits were")))
	case unread > 0:
		j.say(rule, subject, nil, connsec.Unknown("%s; but %s", looked, number(unread, "part could not be read", "parts could not be read")))
	case j.Files+j.Objects == 0:
		j.say(rule, subject, nil, connsec.Unknown("there was no file to look through"))
	default:
		j.say(rule, subject, nil, connsec.Passed("%s", looked))
	}
}

// searched says how much was.
func (e Exposure) searched() string {
	parts := []string{number(e.Files, "file", "files")}
	if e.Members > 0 {
		parts = append(parts, number(e.Members, "packed file", "packed files"))
	}
	if e.Objects > 0 {
		parts = append(parts, number(e.Objects, "git object", "git objects"))
	}
	text := strings.Join(parts, ", ") + ", " + size(e.Bytes)
	if e.Links > 0 {
		text += "; " + number(e.Links, "symbolic link was", "symbolic links were") + " not followed"
	}
	if e.Special > 0 {
		text += "; " + number(e.Special, "pipe, socket or device was", "pipes, sockets and devices were") + " not read"
	}
	if e.Excluded > 0 {
		text += fmt.Sprintf("; %d left out on request", e.Excluded)
	}
	return text
}

func (j *exposed) unread() {
	rule := RuleExposed
	if len(j.Secrets) == 0 {
		rule = RulePattern
	}
	for i, u := range j.Unread {
		if i == maxUnknown {
			j.say(rule, j.Target, nil, connsec.Unknown("and %s", number(len(j.Unread)-i+j.MoreUnread, "more part that was not read", "more parts that were not read")))
			return
		}
		where := u.Path
		if u.Member != "" {
			where += "!" + u.Member
		}
		j.say(rule, where, &connsec.Position{File: u.Path}, connsec.Unknown("%s", u.Detail))
	}
}

// Where names the place of a hit without its line: a path, "backup.zip!etc/app.conf", or
// "etc/app.conf in commit 0123456".
func (h Hit) Where() string {
	where := h.Path
	if g := h.Git; g != nil {
		switch {
		case g.Type == "commit" || g.Type == "tag":
			where += ", message of " + g.Type + " " + short(g.ID)
		case g.Commit == "":
			where += ", " + g.Type + " " + short(g.ID) + " of no commit"
		case g.Type == "blob":
			where += ", " + g.Path + " in commit " + short(g.Commit)
		default:
			where += ", " + g.Type + " " + short(g.ID) + " of commit " + short(g.Commit)
		}
	}
	if h.Member != "" {
		where += "!" + h.Member
	}
	return where
}

// sentence says what was seen, with the place inside of an archive or object, which the
// position does not say.
func (h Hit) sentence() string {
	where := "here"
	switch {
	case h.InName:
		where = "in the name itself"
	case (h.Member != "" || h.Git != nil) && h.Line > 0:
		where = fmt.Sprintf("at %d:%d in it", h.Line, h.Column)
	case h.Line == 0:
		where = fmt.Sprintf("at byte %d", h.Offset)
	}
	switch {
	case strings.HasPrefix(h.Pattern, "A"):
		return "what stands " + where + " looks like an " + h.Pattern
	case h.Pattern != "":
		return "what stands " + where + " looks like a " + h.Pattern
	case h.Form == "verbatim":
		return h.Secret + " stands " + where + " as it is"
	}
	return h.Secret + " stands " + where + ", " + h.Form
}

// position is the file on disk, with a line only if that is one of this file.
func (h Hit) position() *connsec.Position {
	p := &connsec.Position{File: h.Path}
	if h.Git != nil && path.Base(h.Path) == ".git" && h.Git.Path != "" {
		p.File = path.Join(path.Dir(h.Path), h.Git.Path) // as it is called in the work tree
	}
	if h.Member == "" && h.Git == nil && !h.InName {
		p.Line, p.Column = h.Line, h.Column
	}
	return p
}

func short(id string) string { return id[:min(len(id), 12)] }

func pathsOf(hits []Hit) []string {
	var out []string
	for _, h := range hits {
		if !slices.Contains(out, h.Path) {
			out = append(out, h.Path)
		}
	}
	return out
}

// listed names a few.
func listed(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %s", strings.Join(names[:few], ", "), number(len(names)-few, "other file", "other files"))
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}
