package circlehttps

import (
	"cmp"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// RuleConfigMissing: the site has the xmpcfg.js of its project, and its pages load it.
var RuleConfigMissing = &connsec.Rule{
	ID: "circle-config-missing", Title: "The site has no xmpcfg.js, or a page does not load it",
	Why:      "The XMPL library reads the address of its server and the project's token from xmpcfg. Without it the page stops with a script error.",
	Fix:      "Download xmpcfg.js in Circle, put it into the site's root folder, and load it in the page with a script tag.",
	Severity: connsec.High, Refs: []connsec.Citation{wikiLibrary, guide}, Since: "0.1.0",
}

// RuleConfigUnreadable: xmpcfg.js is what a browser can run.
var RuleConfigUnreadable = &connsec.Rule{
	ID: "circle-config-unreadable", Title: "xmpcfg.js cannot be used",
	Why:      "A browser that stops at an error in xmpcfg.js, or finds no address in it, has no server to talk to.",
	Fix:      "Download xmpcfg.js in Circle again and replace the file.",
	Severity: connsec.High, Refs: []connsec.Citation{wikiLibrary, clientSource}, Since: "0.1.0",
}

// RuleConfigHTTP: the API address begins with https.
var RuleConfigHTTP = &connsec.Rule{
	ID: "circle-config-http", Title: "The site talks to the XMPL server over HTTP",
	Why:      "Recipients' data, and with SecURL their passwords, travel in the clear. A page that came over HTTPS gets no data at all, because browsers block such requests.",
	Fix:      "Tick Use HTTPS in the Circle project, download xmpcfg.js and replace the file in the site's root folder.",
	Severity: connsec.High, Refs: []connsec.Citation{guide, mixedBlocked}, Since: "0.1.0",
}

// RuleConfigSchemeMismatch: xmpcfg.js was downloaded after the project's last switch.
var RuleConfigSchemeMismatch = &connsec.Rule{
	ID: "circle-config-scheme-mismatch", Title: "xmpcfg.js is from before the project was switched",
	Why:      "The project's Use HTTPS and the address in xmpcfg.js have to change together. A stale file addresses a server in the way that the project no longer uses.",
	Fix:      "Download xmpcfg.js in Circle again and replace the file.",
	Severity: connsec.Medium, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

// RuleConfigTokenMismatch: token and project are one download.
var RuleConfigTokenMismatch = &connsec.Rule{
	ID: "circle-config-token-mismatch", Title: "The access token belongs to another project",
	Why:      "The middle part of the token that Circle writes is the project's ID. If they differ, the file was put together from two projects, and the site works on the data of the one in the token.",
	Fix:      "Download xmpcfg.js of the right project and replace the file; do not edit it.",
	Severity: connsec.Medium, Refs: []connsec.Citation{wikiLibrary}, Since: "0.1.0",
}

// RuleConfigHost: the API address has a name that a certificate can have.
var RuleConfigHost = &connsec.Rule{
	ID: "circle-config-host", Title: "The XMPL server is addressed by IP address or internal name",
	Why:      "Circle's HTTPS needs a certificate with the domain name of the server. Public authorities issue none for private addresses and internal names, and visitors from outside do not reach them.",
	Fix:      "Set the external address of the XMPL server to its public domain name (repair the XMPL installation), then download xmpcfg.js again.",
	Severity: connsec.Medium, Refs: []connsec.Citation{kba90, guide}, Since: "0.1.0",
}

// RuleConfigUppercaseURL: the address stands under the documented key.
var RuleConfigUppercaseURL = &connsec.Rule{
	ID: "circle-config-uppercase-url", Title: "The address in xmpcfg.js stands under URL instead of url",
	Why:      "The library falls back to URL only for old files, and documents url alone. Such a file was not downloaded for a long time or was edited by hand.",
	Fix:      "Download xmpcfg.js in Circle again and replace the file.",
	Severity: connsec.Low, Refs: []connsec.Citation{wikiLibrary, clientSource}, Since: "0.1.0",
}

// RuleConfigOrder: xmpcfg comes before the library of the fifth generation.
var RuleConfigOrder = &connsec.Rule{
	ID: "circle-config-order", Title: "The page loads xmpcfg.js after the XMPL library",
	Why:      "The fifth generation of the library reads xmpcfg when it starts. Loaded later, xmpcfg is not there yet.",
	Fix:      "Put the script tag of xmpcfg.js before that of xmpl.min.js, and give neither async.",
	Severity: connsec.Medium, Refs: []connsec.Citation{wikiCheatSheet}, Since: "0.1.0",
}

// RuleConfigSeveral: there is one definition for one project.
var RuleConfigSeveral = &connsec.Rule{
	ID: "circle-config-several", Title: "Several definitions of xmpcfg are live",
	Why:      "The last definition that a page runs holds, which depends on the order of lines and files. The others get forgotten when the scheme changes.",
	Fix:      "Keep one xmpcfg.js in the site's root folder and remove or comment out the other definitions.",
	Severity: connsec.Medium, Refs: []connsec.Citation{wikiLibrary}, Since: "0.1.0",
}

// configs judges everything about xmpcfg.
func (j *judgement) configs() {
	j.configMissing()
	type held struct {
		file string
		def  Definition
		all  []Definition
	}
	var readable []held
	for _, c := range j.Configs {
		if len(c.Definitions) == 0 {
			if c.Problem != "" {
				at := c.Source
				if at.File == "" {
					at.File = c.File
				}
				j.say(RuleConfigUnreadable, c.File, at, connsec.Failed("%s", c.Problem))
			}
			continue
		}
		d := c.Definitions[len(c.Definitions)-1]
		v := judgeReadable(d)
		j.say(RuleConfigUnreadable, c.File, d.Source, v)
		if _, ok := d.Scheme(); ok && len(j.Overrides) == 0 && !slices.Contains(d.Computed, "url") && !slices.Contains(d.Computed, "URL") && !slices.Contains(d.Computed, "access") {
			readable = append(readable, held{c.File, d, c.Definitions})
		}
	}
	for _, at := range j.Overrides {
		j.say(RuleConfigUnreadable, at.File, at, connsec.Unknown("this script assigns the address in xmpcfg, so the file does not tell what it is"))
	}
	if len(j.Configs) == 0 && len(j.Overrides) == 0 {
		j.site(RuleConfigUnreadable, connsec.Skipped("the site has no xmpcfg.js"))
	}
	rules := []struct {
		rule  *connsec.Rule
		judge func(Definition) connsec.Verdict
	}{
		{RuleConfigHTTP, j.judgeConfigHTTP}, {RuleConfigSchemeMismatch, j.judgeSchemeMismatch}, {RuleConfigTokenMismatch, judgeToken},
		{RuleConfigHost, judgeHost}, {RuleConfigUppercaseURL, judgeUppercase},
	}
	for _, r := range rules {
		if len(readable) == 0 {
			j.site(r.rule, connsec.Skipped("no definition of xmpcfg could be read"))
		}
		for _, h := range readable {
			at := h.def.URL.Source
			if r.rule == RuleConfigTokenMismatch && h.def.ProjectID.Stated() {
				at = h.def.ProjectID.Source
			}
			v := r.judge(h.def)
			if r.rule == RuleConfigHTTP && v.Outcome == connsec.Pass && slices.ContainsFunc(h.all, func(d Definition) bool { s, _ := d.Scheme(); return s == HTTP }) {
				v = connsec.Unknown("the last definition says HTTPS, and another live one HTTP")
			}
			j.say(r.rule, h.file, at, v)
		}
	}
	j.configOrder()
	j.configSeveral()
}

func (j *judgement) configMissing() {
	found := len(j.Configs)
	for _, p := range j.Pages {
		scripts := p.role("xmpcfg")
		for _, s := range scripts {
			if s.Missing {
				j.say(RuleConfigMissing, p.File, s.Source, connsec.Failed("the page loads %s, and there is no such file", s.Src))
				found = -1
			}
		}
		library := p.role("library")
		if len(scripts) > 0 || len(library) == 0 || p.Fragment {
			continue
		}
		// A bundle may carry the definition instead.
		if slices.ContainsFunc(j.Configs, func(c ConfigFact) bool { return c.Inline && readerOf(c.File) != asHTML }) {
			j.say(RuleConfigMissing, p.File, library[0].Source, connsec.Unknown("the page does not load xmpcfg.js, but another script of the site defines xmpcfg"))
			continue
		}
		j.say(RuleConfigMissing, p.File, library[0].Source, connsec.Failed("the page loads the XMPL library but no xmpcfg.js"))
		found = -1
	}
	switch {
	case found > 0:
		j.site(RuleConfigMissing, connsec.Passed("xmpcfg stands in %s", j.Configs[0].File))
	case found < 0:
	case slices.ContainsFunc(j.Unread, func(u Unread) bool { return strings.EqualFold(path.Base(u.File), "xmpcfg.js") }):
		j.site(RuleConfigMissing, connsec.Unknown("xmpcfg.js is there but could not be read"))
	case len(j.Unread) > 0:
		j.site(RuleConfigMissing, connsec.Unknown("xmpcfg is not in what was read, but %s", count(len(j.Unread), "file could not be read", "files could not be read")))
	default:
		j.site(RuleConfigMissing, connsec.Failed("no file of the site defines xmpcfg; if this is not the site's root folder, name that one"))
	}
}

func judgeReadable(d Definition) connsec.Verdict {
	for _, key := range []string{"xmpcfg", "access", "url", "URL", "accessToken"} {
		if slices.Contains(d.Computed, key) {
			return connsec.Unknown("%s is computed when the page runs, so the file does not tell what it is", key)
		}
	}
	_, ok := d.Scheme()
	switch {
	case d.URL.Text == "":
		return connsec.Failed("xmpcfg has no access.url")
	case !ok || d.Host() == "":
		return connsec.Failed("access.url is not an absolute http or https address")
	case !d.HasToken:
		return connsec.Failed("xmpcfg has no access.accessToken")
	}
	return connsec.Passed("address and token are plain strings").With("url", shown([]byte(d.URL.Text)))
}

func (j *judgement) judgeConfigHTTP(d Definition) connsec.Verdict {
	scheme, _ := d.Scheme()
	if scheme == HTTPS {
		return connsec.Passed("the XMPL server is addressed over HTTPS").With("url", shown([]byte(d.URL.Text)))
	}
	if !j.project.https() {
		if on, why := j.secURL(); on {
			return connsec.Failed("passwords travel over HTTP: %s, but the project does not use HTTPS", why).With("url", shown([]byte(d.URL.Text))).As(connsec.Critical)
		}
		return connsec.Skipped("the project does not use HTTPS")
	}
	v := connsec.Failed("the XMPL server is addressed over HTTP").With("url", shown([]byte(d.URL.Text)))
	if on, _ := j.secURL(); on {
		v = v.As(connsec.Critical)
	}
	return v
}

func (j *judgement) judgeSchemeMismatch(d Definition) connsec.Verdict {
	scheme, _ := d.Scheme()
	says := map[Scheme]string{HTTPS: "HTTPS", HTTP: "HTTP"}[scheme]
	switch {
	case j.project.HTTPS == Unstated:
		return connsec.Skipped("the project's Use HTTPS is not stated")
	case j.project.HTTPS == On && scheme == HTTP:
		return connsec.Failed("the project uses HTTPS, and this file says HTTP")
	case j.project.HTTPS == Off && scheme == HTTPS:
		return connsec.Failed("the project does not use HTTPS, and this file says HTTPS")
	}
	return connsec.Passed("project and file agree on %s", says)
}

func judgeToken(d Definition) connsec.Verdict {
	id := strings.ToLower(strings.TrimSpace(d.ProjectID.Text))
	switch {
	case slices.Contains(d.Computed, "accessToken") || slices.Contains(d.Computed, "circleProjectID"):
		return connsec.Unknown("token or project ID is computed when the page runs")
	case !d.HasToken || id == "":
		return connsec.Skipped("the file has no access token or no circleProjectID")
	case !d.TokenKnown:
		return connsec.Unknown("the access token does not have the form that Circle writes, so the project in it cannot be told")
	case d.TokenProject != id:
		return connsec.Failed("circleProjectID is %s, and the token is that of %s", clip(id), d.TokenProject)
	}
	return connsec.Passed("the token is that of circleProjectID %s", clip(id))
}

// Names that no public DNS has (RFC 6761, RFC 6762, RFC 8375, ICANN's reserved .internal, and
// what administrators use).
var privateSuffixes = []string{".local", ".localhost", ".localdomain", ".internal", ".intranet", ".lan", ".home", ".corp", ".private", ".home.arpa"}

// unnameable says why a public certificate cannot carry the host, or "".
func unnameable(host string) string {
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		if addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
			return "a private IP address"
		}
		return "an IP address"
	}
	if !strings.Contains(host, ".") {
		return "a single label"
	}
	for _, s := range privateSuffixes {
		if strings.HasSuffix(host, s) {
			return "an internal name"
		}
	}
	return ""
}

func judgeHost(d Definition) connsec.Verdict {
	host := d.Host()
	if why := unnameable(host); why != "" {
		return connsec.Failed("the host %s is %s", clip(host), why).With("host", clip(host))
	}
	return connsec.Passed("the host %s is a domain name", clip(host)).With("host", clip(host))
}

func judgeUppercase(d Definition) connsec.Verdict {
	if d.UpperURL {
		return connsec.Failed("the address stands under URL, and there is no url")
	}
	return connsec.Passed("the address stands under url")
}

func (j *judgement) configOrder() {
	judged := false
	for _, p := range j.Pages {
		configs, libraries := p.role("xmpcfg"), p.role("library")
		if len(configs) == 0 || len(libraries) == 0 {
			continue
		}
		judged = true
		c, l := configs[0], libraries[0]
		j.say(RuleConfigOrder, p.File, c.Source, judgeOrder(c, l, p.generation()))
	}
	if !judged {
		j.site(RuleConfigOrder, connsec.Skipped("no page loads both xmpcfg.js and the XMPL library by script tags"))
	}
}

// judgeOrder compares when two scripts run: those without defer first, each in document order
// (HTML 4.12.1).
func judgeOrder(config, library Script, generation int) connsec.Verdict {
	before := config.Deferred == library.Deferred && config.earlier(library) || !config.Deferred && library.Deferred
	switch {
	case config.Async || library.Async:
		return connsec.Unknown("a script with async runs whenever it has arrived")
	case before:
		return connsec.Passed("xmpcfg comes before the library")
	case generation == 3:
		return connsec.Passed("xmpcfg comes after the library, which this generation allows")
	case generation == 5:
		return connsec.Failed("xmpcfg comes after the library at line %d", library.Source.Line)
	}
	return connsec.Unknown("xmpcfg comes after the library, and the library's generation is not known")
}

func (s Script) earlier(than Script) bool {
	return cmp.Or(cmp.Compare(s.Source.Line, than.Source.Line), cmp.Compare(s.Source.Column, than.Source.Column)) < 0
}

func (j *judgement) configSeveral() {
	failed := false
	type where struct {
		url string
		at  connsec.Position
	}
	projects := map[string]where{}
	for _, c := range j.Configs {
		if n := len(c.Definitions); n > 1 {
			j.say(RuleConfigSeveral, c.File, c.Definitions[0].Source, connsec.Failed("%d definitions are live; the one in line %d holds", n, c.Definitions[n-1].Source.Line))
			failed = true
		}
		if len(c.Definitions) == 0 {
			continue
		}
		d := c.Definitions[len(c.Definitions)-1]
		id := strings.ToLower(d.ProjectID.Text)
		first, seen := projects[id]
		if id != "" && seen && first.url != d.URL.Text {
			j.say(RuleConfigSeveral, c.File, d.Source, connsec.Failed("the same project has another address in %s", first.at))
			failed = true
		}
		if !seen {
			projects[id] = where{d.URL.Text, d.Source}
		}
	}
	for _, p := range j.Pages {
		if configs := p.role("xmpcfg"); len(configs) > 1 {
			j.say(RuleConfigSeveral, p.File, configs[1].Source, connsec.Failed("the page runs %d definitions of xmpcfg", len(configs)))
			failed = true
		}
	}
	switch {
	case failed:
	case len(j.Configs) == 0:
		j.site(RuleConfigSeveral, connsec.Skipped("the site has no xmpcfg.js"))
	default:
		j.none(RuleConfigSeveral, "no second live definition")
	}
}
