package circlehttps

import (
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// RuleLinkActive: no script, style, frame or request over http.
var RuleLinkActive = &connsec.Rule{
	ID: "circle-link-active", Title: "Something that browsers block on a page over HTTPS is loaded over HTTP",
	Why:      "Scripts, style sheets, frames, requests, icons and the images of a srcset are blocked, so the page breaks. On a page over HTTP, anyone on the path can replace them, and with a script take the page over.",
	Fix:      "Write https:// if the host offers it (circle fix can do that), or put a copy of the file into the site.",
	Severity: connsec.High, Refs: []connsec.Citation{mixedBlocked, guide}, Since: "0.1.0",
}

// RuleLinkPassive: no image, audio or video over http.
var RuleLinkPassive = &connsec.Rule{
	ID: "circle-link-passive", Title: "An image or other medium is loaded over HTTP",
	Why:      "Browsers ask for it over HTTPS instead, and show nothing if that fails; older ones show what anyone on the path put in its place and take the lock off the page.",
	Fix:      "Write https:// if the host offers it (circle fix can do that), or put a copy of the file into the site.",
	Severity: connsec.Low, Refs: []connsec.Citation{mixedUpgraded, guide}, Since: "0.1.0",
}

// RuleLinkForm: no form is sent over http.
var RuleLinkForm = &connsec.Rule{
	ID: "circle-link-form", Title: "A form is sent over HTTP",
	Why:      "Everyone on the path reads what the visitor typed. Browsers warn before they send it.",
	Fix:      "Write https:// in the form's action, or a relative address.",
	Severity: connsec.High, Refs: []connsec.Citation{mixedForms, guide}, Since: "0.1.0",
}

// RuleLinkNavigation: no link leads to http.
var RuleLinkNavigation = &connsec.Rule{
	ID: "circle-link-navigation", Title: "A link leads to HTTP",
	Why:      "Circle does not redirect to HTTPS, so a link with http:// takes the visitor, and the recipient key in the address, back to HTTP.",
	Fix:      "Write https:// if the host offers it (circle fix can do that), or a relative address within the site.",
	Severity: connsec.Low, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

// RuleLinkCanonical: the page gives its https address to machines.
var RuleLinkCanonical = &connsec.Rule{
	ID: "circle-link-canonical", Title: "An address for search engines or previews says HTTP",
	Why:      "Search engines and previews send visitors to the HTTP address, which Circle does not redirect.",
	Fix:      "Write https:// in canonical links, Open Graph tags, sitemaps and linked data.",
	Severity: connsec.Low, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

// RuleLinkWebSocket: no ws: connection.
var RuleLinkWebSocket = &connsec.Rule{
	ID: "circle-link-websocket", Title: "A web socket is opened without TLS",
	Why:      "On a page over HTTPS browsers refuse a ws: connection; on a page over HTTP it can be read and changed on the path.",
	Fix:      "Write wss: if the host offers it.",
	Severity: connsec.High, Refs: []connsec.Citation{mixedBlocked}, Since: "0.1.0",
}

var linkRules = []struct {
	kind Kind
	rule *connsec.Rule
	none string
}{
	{Active, RuleLinkActive, "nothing that browsers block is loaded over HTTP"},
	{Passive, RuleLinkPassive, "no image or other medium over HTTP"},
	{FormTarget, RuleLinkForm, "no form over HTTP"},
	{Navigation, RuleLinkNavigation, "no link to HTTP"},
	{Canonical, RuleLinkCanonical, "no machine-readable address over HTTP"},
	{WebSocket, RuleLinkWebSocket, "no ws: address"},
}

// redirected is the Where of a link that is an answer of the server.
const redirected = "redirect of the server"

func (j *judgement) links() {
	if !j.project.https() {
		for _, r := range linkRules {
			j.site(r.rule, connsec.Skipped("the project does not use HTTPS"))
		}
		return
	}
	var own []string // hosts of which a link to HTTP leads back into the site
	for _, c := range j.Configs {
		for _, d := range c.Definitions {
			own = append(own, d.Host())
		}
	}
	if u := j.project.site(); u != nil {
		own = append(own, hostOf(j.project.SiteURL))
	}
	byKind := map[Kind][]Link{}
	for _, l := range j.Links {
		byKind[l.Kind] = append(byKind[l.Kind], l)
	}
	for _, r := range linkRules {
		for _, l := range byKind[r.kind] {
			v := connsec.Failed("%s: %s", l.Where, l.URL)
			switch {
			case l.Where == redirected:
				v = v.As(connsec.High)
			case r.kind == Active && (strings.HasSuffix(l.Where, "srcset") || l.Where == "link icon"):
				v = v.As(connsec.Medium) // cannot take the page over
			case l.Upgraded && r.kind != Canonical && r.kind != Navigation:
				v.Detail += " (the page's policy makes browsers use HTTPS)"
				v = v.As(connsec.Low)
			case r.kind == Navigation && l.Host != "" && slices.Contains(own, l.Host):
				v.Detail += " (back to HTTP on the site's own host)"
				v = v.As(connsec.Medium)
			}
			j.say(r.rule, l.Source.File, l.Source, v)
		}
		if r.kind == Active {
			j.unclear(byKind[UnknownUse])
			if len(byKind[Active])+len(byKind[UnknownUse])+len(j.Unread) > 0 {
				continue
			}
		}
		if len(byKind[r.kind]) == 0 {
			j.none(r.rule, "%s", r.none)
		}
	}
}

// unclear adds what could not be told under the gravest of the link rules: the addresses whose
// use is not visible, and the files that were not read.
func (j *judgement) unclear(links []Link) {
	for _, l := range links {
		j.say(RuleLinkActive, l.Source.File, l.Source, connsec.Unknown("%s: %s; what is done with it cannot be seen here", l.Where, l.URL))
	}
	for _, u := range j.Unread {
		j.say(RuleLinkActive, u.File, connsec.Position{File: u.File}, connsec.Unknown("%s", u.Problem))
	}
}
