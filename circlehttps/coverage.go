package circlehttps

// Covered says whether Circle's "Use HTTPS" covers something.
type Covered uint8

const (
	// ByCircle: it speaks HTTPS as soon as the project uses HTTPS.
	ByCircle Covered = iota + 1
	// ByHand: somebody has to change the site, the web server or a setting.
	ByHand
	// NotCovered: it stays HTTP, or does not work over HTTPS.
	NotCovered
)

var coveredNames = []string{"", "by-circle", "by-hand", "not-covered"}

// String returns "by-circle", "by-hand" or "not-covered".
func (c Covered) String() string { return name(coveredNames, int(c)) }

// MarshalText writes the name.
func (c Covered) MarshalText() ([]byte, error) { return marshalName(coveredNames, int(c)) }

// UnmarshalText accepts the names that MarshalText writes.
func (c *Covered) UnmarshalText(text []byte) error {
	return unmarshalName(c, coveredNames, "coverage", text)
}

// CoverageRow is one line of the table of what Circle covers by HTTPS.
type CoverageRow struct {
	What    string  `json:"what"`
	Covered Covered `json:"covered"`
	// Note says from which version on, or what to do instead.
	Note string `json:"note"`
	// Rules name the rules that look at it.
	Rules []string `json:"rules,omitempty"`
}

// Coverage returns what Circle covers by HTTPS and what it does not, as its help and knowledge
// base 0090 say.
func Coverage() []CoverageRow {
	return []CoverageRow{
		{"Links to pages of the site that Circle makes", ByCircle, "HTTPS needs XMPL 2.2.", []string{RuleXMPLVersion.ID}},
		{"Friendly addresses with the recipient key as suffix", ByCircle, "https://site.example/campaign/KEY.", []string{RuleFriendlyURLPrefix.ID}},
		{"Friendly addresses with the recipient key as prefix", NotCovered, "http://KEY.site.example stays HTTP; use the suffix form.", []string{RuleFriendlyURLPrefix.ID}},
		{"Circle Live Preview", ByCircle, "", nil},
		{"Address of the XMPL API", ByHand, "Download xmpcfg.js after each switch, in both directions, and replace the file in the site's root folder.",
			[]string{RuleConfigHTTP.ID, RuleConfigSchemeMismatch.ID, RuleAPIHTTPS.ID}},
		{"Certificate", ByHand, "On the default site in IIS, with the domain name of the XMPL server, once; for a new domain of a project, a further certificate.", []string{RuleAPIHTTPS.ID, RuleConfigHost.ID}},
		{"Links with http:// written into pages", NotCovered, "They go on in HTTP until somebody changes them.",
			[]string{RuleLinkActive.ID, RuleLinkPassive.ID, RuleLinkForm.ID, RuleLinkNavigation.ID}},
		{"Redirect from HTTP to HTTPS", ByHand, "Circle does none; add the HTTP Redirect module of IIS.", []string{RuleNoRedirect.ID}},
		{"Blocking of HTTP", ByHand, "Circle does not block it; close port 80 in the firewall if nothing needs it.", []string{RulePort80.ID}},
		{"E-mail touchpoints", NotCovered, "Their content is fetched over HTTP: leave port 80 open for it. A later edition of knowledge base 0090 no longer says so; try it with the version in use.",
			[]string{RulePort80.ID}},
		{"PDF on demand", NotCovered, "As e-mail touchpoints.", []string{RulePort80.ID}},
		{"Content object XMPieRURL", NotCovered, "It stays an HTTP address: leave port 80 open if pages or documents use it.", []string{RulePort80.ID}},
		{"SecURL", ByCircle, "Needs XMPL server and client 3.0 with Circle 4.7, and xmpcustom.js in the site; not for template instances and uStore campaigns.",
			[]string{RuleXMPLVersion.ID, RuleCustomMissing.ID}},
		{"Passwords at sign-in", ByHand, "The browser sends them as they were typed, so they are as safe as the address in xmpcfg.js.", []string{RuleConfigHTTP.ID, RuleCustomLoginURL.ID}},
	}
}
