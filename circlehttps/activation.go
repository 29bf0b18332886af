package circlehttps

import (
	"slices"

	"github.com/connsec/connsec"
)

// StepState is how far a step of the activation is.
type StepState uint8

const (
	// Unchecked: what was looked at does not tell.
	Unchecked StepState = iota
	// Done: the step's rules passed.
	Done
	// Open: a rule of the step failed.
	Open
	// NotNeeded: the step does not apply to the project.
	NotNeeded
)

var stepStates = []string{"unchecked", "done", "open", "not-needed"}

// String returns "unchecked", "done", "open" or "not-needed".
func (s StepState) String() string { return name(stepStates, int(s)) }

// MarshalText writes the name.
func (s StepState) MarshalText() ([]byte, error) { return marshalName(stepStates, int(s)) }

// UnmarshalText accepts the names that MarshalText writes.
func (s *StepState) UnmarshalText(text []byte) error {
	return unmarshalName(s, stepStates, "state", text)
}

// Step is one step of switching a project.
type Step struct {
	Title string `json:"title"`
	// Do says what to do, and where.
	Do string `json:"do"`
	// Check says how to see that it is done, if no rule does.
	Check string `json:"check"`
	// Rules name the rules that tell the state.
	Rules []string  `json:"rules,omitempty"`
	State StepState `json:"state"`
	// Findings are those that keep the step open.
	Findings []connsec.Finding `json:"findings,omitempty"`
}

// Activation returns the steps of the guide in order: to HTTPS, or back if the project's HTTPS
// is Off. The reports – of [Project.Validate], [Site.Check] and [Live.Probe], as far as there
// are any – tell how far each step is; a step whose rules no report has looked at, or could
// not tell, is Unchecked.
func Activation(p Project, reports ...connsec.Report) []Step {
	steps := forward
	if !p.https() {
		steps = backward
	}
	var findings []connsec.Finding
	for _, r := range reports {
		findings = append(findings, r.Findings...)
	}
	var out []Step
	for _, s := range steps(p) {
		if s.State == Unchecked {
			s.settle(findings)
		}
		out = append(out, s)
	}
	return out
}

func (s *Step) settle(findings []connsec.Finding) {
	passed, unclear := false, false
	for _, f := range findings {
		if !slices.Contains(s.Rules, f.Rule.ID) {
			continue
		}
		switch f.Outcome {
		case connsec.Fail:
			s.State = Open
			s.Findings = append(s.Findings, f)
		case connsec.Inconclusive:
			unclear = true
		case connsec.Pass, connsec.Waived:
			passed = true
		}
	}
	if s.State == Unchecked && passed && !unclear {
		s.State = Done
	}
}

func ids(rules ...*connsec.Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.ID)
	}
	return out
}

func neededIf(needed bool) StepState {
	if needed {
		return Unchecked
	}
	return NotNeeded
}

func forward(p Project) []Step {
	return []Step{
		{Title: "XMPL is 2.2 or newer", Do: "Update the XMPL server and the library in the site; with SecURL, to 3.0.", Check: "The XMPL server shows its version; the library says it in its first lines.",
			Rules: ids(RuleXMPLVersion)},
		{Title: "Certificate on the default IIS site", Do: "Install the certificate with the domain name of the XMPL server in IIS, on the default site, and bind port 443 to it.",
			Check: "https://DOMAIN/XMPieXMPL_REST_API answers without a warning.", Rules: ids(RuleAPIHTTPS)},
		{Title: "External address of the XMPL server", Do: "If the certificate's domain is not the external address of the XMPL server, repair the XMPL installation and set it.",
			Check: "A freshly downloaded xmpcfg.js names the domain.", Rules: ids(RuleConfigHost)},
		{Title: "Friendly addresses with the key as suffix", Do: "Set the project's friendly URL to the form domain/KEY.", Check: "The project's settings in Circle.",
			Rules: ids(RuleFriendlyURLPrefix), State: neededIf(p.FriendlyURL != NoFriendlyURL)},
		{Title: "Use HTTPS", Do: "Tick Use HTTPS in the project's settings in Circle.", Check: "The project's settings in Circle.", State: stated(p.HTTPS, On)},
		{Title: "xmpcfg.js", Do: "Download xmpcfg.js in Circle again and replace the file in the site's root folder.", Check: "Its url begins with https://.",
			Rules: ids(RuleConfigMissing, RuleConfigUnreadable, RuleConfigHTTP, RuleConfigSchemeMismatch, RuleConfigTokenMismatch, RuleConfigSeveral, RuleConfigServed)},
		{Title: "Links in the pages", Do: "Rewrite what is written with http:// (circle fix does what is provably right), and publish the site.", Check: "The browser's console shows no mixed content.",
			Rules: ids(RuleLinkActive, RuleLinkPassive, RuleLinkForm, RuleLinkNavigation, RuleLinkCanonical, RuleLinkWebSocket)},
		{Title: "SecURL", Do: "Set loginUrl in xmpcustom.js to the https address of the login page and load it in all pages.", Check: "A page asked for without sign-in leads to the login page over HTTPS.",
			Rules: ids(RuleCustomMissing, RuleCustomNotLoaded, RuleCustomLoginURL, RuleCustomOtherSite), State: neededIf(p.SecURL != Off)},
		{Title: "Port 80", Do: "Leave port 80 open for what still needs HTTP (" + exceptions(p) + "); else close it, or add the HTTP Redirect module of IIS.",
			Check: "http://DOMAIN is refused or redirects.", Rules: ids(RulePort80, RuleNoRedirect)},
		{Title: "Verification", Do: "Open the site over HTTPS, sign in, send each form.", Check: "circle probe finds nothing.", Rules: ids(RuleConfigHTTP, RuleAPIHTTPS, RuleNoRedirect, RuleHSTS, RuleLinkActive)},
	}
}

func backward(p Project) []Step {
	return []Step{
		{Title: "SecURL is off", Do: "Switch SecURL off first: over HTTP, passwords travel in the clear.", Check: "The project's settings in Circle.", State: stated(p.SecURL, Off)},
		{Title: "Strict-Transport-Security", Do: "Serve the header with max-age=0 and wait until visitors' browsers have seen it; before that they refuse HTTP.",
			Check: "The header in the site's HTTPS answers."},
		{Title: "Redirect", Do: "Remove the redirect to HTTPS in IIS and open port 80.", Check: "http://DOMAIN shows the site."},
		{Title: "Use HTTPS", Do: "Untick Use HTTPS in the project's settings in Circle.", Check: "The project's settings in Circle.", State: stated(p.HTTPS, Off)},
		{Title: "xmpcfg.js", Do: "Download xmpcfg.js in Circle again and replace the file in the site's root folder.", Check: "Its url begins with http://.",
			Rules: ids(RuleConfigSchemeMismatch)},
		{Title: "Links in the pages", Do: "Links with https:// go on working as long as the certificate is valid. To have the old ones, put back the originals that circle fix kept.",
			Check: "The site works with the certificate removed."},
	}
}

func stated(is, want Setting) StepState {
	switch is {
	case want:
		return Done
	case Unstated:
		return Unchecked
	}
	return Open
}

func exceptions(p Project) string {
	if len(p.Port80) == 0 {
		return "nothing, as the project says"
	}
	out := ""
	for i, e := range p.Port80 {
		if i > 0 {
			out += ", "
		}
		out += e.String()
	}
	return out
}
