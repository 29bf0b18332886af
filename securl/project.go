package securl

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// Setting is a switch of the Circle project as far as it is known.
type Setting uint8

const (
	// Unstated: not known. What that means stands with each field.
	Unstated Setting = iota
	On
	Off
)

var settings = setting.Enum[Setting]{Package: "securl", Kind: "setting", Names: []string{"", "on", "off"}}

// String returns "on", "off" or "".
func (s Setting) String() string { return settings.Name(s) }

// MarshalText writes the name.
func (s Setting) MarshalText() ([]byte, error) { return settings.Encode(s) }

// UnmarshalText accepts "on", "off" and "".
func (s *Setting) UnmarshalText(text []byte) error { return settings.Decode(text, s) }

// Product is what publishes the site.
type Product uint8

const (
	// ProductUnstated: not known.
	ProductUnstated Product = iota
	// Site is a web site of a Circle project, managed by Circle or on a server of one's own.
	Site
	// TemplateInstance is an instance that was made of a project's template.
	TemplateInstance
	// UStore is a campaign that is ordered in a uStore shop (Campaign-on-Demand).
	UStore
)

var products = setting.Enum[Product]{Package: "securl", Kind: "product", Names: []string{"", "site", "template-instance", "ustore"}}

// String returns "site", "template-instance", "ustore" or "".
func (p Product) String() string { return products.Name(p) }

// MarshalText writes the name.
func (p Product) MarshalText() ([]byte, error) { return products.Encode(p) }

// UnmarshalText accepts the names.
func (p *Product) UnmarshalText(text []byte) error { return products.Decode(text, p) }

// AutoKey is the [Project.RecipientKey] of a project whose keys Circle makes itself ("auto-generate
// a secure ID").
const AutoKey = "auto"

// Project is the protection of a site as it is set in Circle. In the zero value SecURL is on,
// passwords are hashed by MD5, and nothing else is known: what is not stated is Inconclusive.
type Project struct {
	// Name is shown in reports.
	Name string `json:"name,omitempty" yaml:"name,omitempty"`
	// SecURL is the switch itself. Unstated means On: this package is about it.
	SecURL Setting `json:"securl,omitempty" yaml:"securl,omitempty"`
	// Method is the password hashing. Default md5, the best that Circle offers.
	Method Method `json:"method" yaml:"method"`
	// UserName says whether a user-name field is selected, so that visitors type both.
	UserName Setting `json:"user_name,omitempty" yaml:"user_name,omitempty"`
	// XMPL is the version of the XMPL server, such as "3.5".
	XMPL string `json:"xmpl,omitempty" yaml:"xmpl,omitempty"`
	// HTTPS is the project's "Use HTTPS".
	HTTPS Setting `json:"https,omitempty" yaml:"https,omitempty"`
	// Product is what publishes the site.
	Product Product `json:"product,omitempty" yaml:"product,omitempty"`
	// RecipientKey is the pattern of the recipient keys, such as "[[firstname]].[[lastname]]",
	// or [AutoKey].
	RecipientKey string `json:"recipient_key,omitempty" yaml:"recipient_key,omitempty"`
	// SampleKeys are a few recipient keys of the project, to be judged by their looks. They are
	// shown nowhere.
	SampleKeys []string `json:"-" yaml:"sample_keys,omitempty"`
	// SiteURL is where the site is published, such as "https://www.example.com/spring/".
	SiteURL string `json:"site_url,omitempty" yaml:"site_url,omitempty"`
	// LoginURL is the loginUrl of xmpcustom.js, absolute or relative to the site.
	LoginURL string `json:"login_url,omitempty" yaml:"login_url,omitempty"`
	// Lifetime is how long a sign-in lasts. Zero means one hour, which Circle has no field to
	// change; a site behind something else than Circle may differ.
	Lifetime time.Duration `json:"lifetime,omitempty" yaml:"lifetime,omitempty"`
}

// ParseProject reads a project from JSON. Unknown fields are refused.
func ParseProject(data []byte) (Project, error) {
	p, err := setting.ParseJSON[struct {
		Project
		SampleKeys []string `json:"sample_keys"`
	}]("securl", data)
	p.Project.SampleKeys = p.SampleKeys
	return p.Project, err
}

func (p Project) protected() bool { return p.SecURL != Off }

func (p Project) name() string {
	if p.Name != "" {
		return setting.OneLine(p.Name)
	}
	return "SecURL project"
}

// site returns the parsed SiteURL, nil if it is empty or unusable.
func (p Project) site() *url.URL {
	u, err := url.Parse(p.SiteURL)
	if p.SiteURL == "" || err != nil || u.Hostname() == "" {
		return nil
	}
	return u
}

// problem says what is wrong with the text fields, or nil.
func (p Project) problem() error {
	if u := p.site(); p.SiteURL != "" && (u == nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil) {
		return errors.New(`securl: site_url must be an absolute address without credentials, such as "https://www.example.com/spring/"`)
	}
	if p.Lifetime < 0 {
		return errors.New("securl: lifetime must not be negative")
	}
	return nil
}

// Validate judges the settings alone, without asking anybody.
func (p Project) Validate() connsec.Report {
	return connsec.Report{Target: p.name(), Findings: connsec.Run(p.name(), p, projectChecks)}
}

// version is major and minor of an XMPL version.
type version struct{ major, minor int }

func (v version) less(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// parseVersion reads "3", "3.5", "3.1.4" and "V3.5".
func parseVersion(s string) (version, bool) {
	parts := strings.Split(strings.TrimLeft(strings.TrimSpace(s), "vV"), ".")
	var v version
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || i > 3 {
			return version{}, false
		}
		switch i {
		case 0:
			v.major = int(n)
		case 1:
			v.minor = int(n)
		}
	}
	return v, true
}
