package circlehttps

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// Setting is a switch of the Circle project as far as it is known.
type Setting uint8

const (
	// Unstated: what it means stands with each field.
	Unstated Setting = iota
	On
	Off
)

var settingNames = []string{"", "on", "off"}

// String returns "on", "off" or "".
func (s Setting) String() string { return name(settingNames, int(s)) }

// MarshalText writes the name.
func (s Setting) MarshalText() ([]byte, error) { return marshalName(settingNames, int(s)) }

// UnmarshalText accepts "on", "off" and "".
func (s *Setting) UnmarshalText(text []byte) error {
	return unmarshalName(s, settingNames, "setting", text)
}

// FriendlyURL says where a personalized address carries the recipient key.
type FriendlyURL uint8

const (
	// FriendlyUnstated: not known, so not judged.
	FriendlyUnstated FriendlyURL = iota
	// NoFriendlyURL: only addresses such as https://site.example/campaign/index.html?rid=KEY.
	NoFriendlyURL
	// KeyAsSuffix: https://site.example/campaign/KEY. The only friendly form that HTTPS supports.
	KeyAsSuffix
	// KeyAsPrefix: https://KEY.site.example. Needs a name of its own in DNS and certificate.
	KeyAsPrefix
)

var friendlyNames = []string{"", "none", "suffix", "prefix"}

// String returns "none", "suffix", "prefix" or "".
func (f FriendlyURL) String() string { return name(friendlyNames, int(f)) }

// MarshalText writes the name.
func (f FriendlyURL) MarshalText() ([]byte, error) { return marshalName(friendlyNames, int(f)) }

// UnmarshalText accepts "none", "suffix", "prefix" and "".
func (f *FriendlyURL) UnmarshalText(text []byte) error {
	return unmarshalName(f, friendlyNames, "friendly URL form", text)
}

// Exception is something of the project that still needs HTTP, and therefore port 80.
type Exception uint8

const (
	// Email: e-mail touchpoints, whose content Circle fetches over HTTP.
	Email Exception = iota + 1
	// PDFOnDemand: documents that are made when a recipient asks for them.
	PDFOnDemand
	// XMPieURL: pages that use the content object XMPieRURL, which stays an HTTP address.
	XMPieURL
)

var exceptionNames = []string{"", "email", "pdf-on-demand", "xmpie-rurl"}

// String returns "email", "pdf-on-demand" or "xmpie-rurl".
func (e Exception) String() string { return name(exceptionNames, int(e)) }

// MarshalText writes the name and refuses the zero value.
func (e Exception) MarshalText() ([]byte, error) {
	if e == 0 {
		return nil, errors.New("circlehttps: exception without a name")
	}
	return marshalName(exceptionNames, int(e))
}

// UnmarshalText accepts exactly the names that MarshalText writes.
func (e *Exception) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("circlehttps: exception without a name")
	}
	return unmarshalName(e, exceptionNames, "port 80 exception", text)
}

func name(names []string, i int) string {
	if i >= len(names) {
		return fmt.Sprintf("invalid(%d)", i)
	}
	return names[i]
}

func marshalName(names []string, i int) ([]byte, error) {
	if i >= len(names) {
		return nil, fmt.Errorf("circlehttps: cannot encode %s", name(names, i))
	}
	return []byte(names[i]), nil
}

func unmarshalName[E ~uint8](e *E, names []string, what string, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("circlehttps: unknown %s %q (one of %s)", what, clip(string(text)), strings.Join(names[1:], ", "))
	}
	*e = E(i)
	return nil
}

// Project is what the administrator set in Circle. The zero value stands for a project with
// HTTPS on and nothing else known.
type Project struct {
	// Name is shown in reports.
	Name string `json:"name,omitempty" yaml:"name,omitempty"`
	// HTTPS is the project's "Use HTTPS". Unstated means On: this package is about it.
	HTTPS Setting `json:"https,omitempty" yaml:"https,omitempty"`
	// SecURL is the protection of the site by password. Unstated means On if the site has
	// xmpcustom.js or a sign-in form, and Off otherwise.
	SecURL Setting `json:"securl,omitempty" yaml:"securl,omitempty"`
	// SiteURL is where the site is published, such as "https://www.example.com/spring".
	// Without it, a login address of another site cannot be told from one of this site.
	SiteURL string `json:"site_url,omitempty" yaml:"site_url,omitempty"`
	// FriendlyURL is the form of the personalized addresses. Unstated is not judged.
	FriendlyURL FriendlyURL `json:"friendly_url,omitempty" yaml:"friendly_url,omitempty"`
	// XMPL is the version of the XMPL server, such as "3.5". Empty means not known.
	XMPL string `json:"xmpl,omitempty" yaml:"xmpl,omitempty"`
	// Port80 lists what still needs HTTP. Empty means nothing does, so that port 80 should
	// be closed or redirect.
	Port80 []Exception `json:"port_80,omitempty" yaml:"port_80,omitempty"`
}

func (p Project) https() bool { return p.HTTPS != Off }

func (p Project) name() string {
	if p.Name != "" {
		return p.Name
	}
	return "Circle project"
}

// site returns the parsed SiteURL, nil if it is empty or unusable (see problem).
func (p Project) site() *url.URL {
	u, err := url.Parse(p.SiteURL)
	if p.SiteURL == "" || err != nil || u.Host == "" {
		return nil
	}
	return u
}

// problem says what is wrong with the text fields, or nil.
func (p Project) problem() error {
	if p.SiteURL != "" {
		if u := p.site(); u == nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
			return errors.New(`circlehttps: site_url must be an absolute address without credentials, such as "https://www.example.com/spring"`)
		}
	}
	if p.XMPL != "" && parseVersion(p.XMPL) == nil {
		return fmt.Errorf("circlehttps: xmpl %q is not a version such as \"3.5\"", clip(p.XMPL))
	}
	return nil
}

// Validate judges the project's settings alone, without looking at a site.
func (p Project) Validate() connsec.Report {
	return connsec.Report{
		Target: p.name(),
		Findings: connsec.Run(p.name(), p, []connsec.Check[Project]{
			{Rule: RuleFriendlyURLPrefix, Judge: judgeFriendlyURL},
			{Rule: RuleXMPLVersion, Judge: judgeServerVersion},
		}),
	}
}

// clip bounds foreign text that is shown.
func clip(s string) string {
	const most = 64
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
