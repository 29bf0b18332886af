package ldapsec

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
	"github.com/go-ldap/ldap/v3"
)

// Observation is what was seen of the servers of a setting. It marshals to JSON and back, so
// that it can be judged elsewhere, later, by newer rules.
type Observation struct {
	Target    string        `json:"target"`
	At        time.Time     `json:"at"`
	Duration  time.Duration `json:"duration"`
	Discovery *Discovery    `json:"discovery,omitempty"` // nil: the servers stand in the setting
	Servers   []Server      `json:"servers"`             // one for each address of each name
}

// Discovery is what DNS said about a domain's controllers.
type Discovery struct {
	Domain  string   `json:"domain"`
	Found   []string `json:"found,omitempty"`    // SRV targets in the order to try them
	LeftOut int      `json:"left_out,omitempty"` // how many at the end of Found were not looked at
	None    bool     `json:"none,omitempty"`     // DNS says that there are none
	Problem string   `json:"problem,omitempty"`  // why there is no answer
}

// Server is what was seen of one server, which is one address of a name: the name of a whole
// domain has one for each controller, and what one of them refuses another may accept. A nil
// answer means that the question was not asked, because the connection for it could not be had
// or another answer made it needless.
type Server struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address,omitzero"` // zero: see Problem
	Kind    Kind       `json:"kind"`
	Problem string     `json:"problem,omitempty"` // why nothing could be seen, such as an unknown name
	// RootDSE is the one from inside TLS, if it is shown there.
	RootDSE *RootDSE `json:"root_dse,omitempty"`
	// NoRootDSE is how the search for the root DSE ended, if that is why there is none.
	NoRootDSE *SearchAnswer `json:"no_root_dse,omitempty"`
	// PlainRootDSE is what was shown in clear, beside a RootDSE from inside TLS to compare it
	// with.
	PlainRootDSE *RootDSE `json:"plain_root_dse,omitempty"`

	// TLS holds the looks at the ports that speak TLS: LDAPS first, then the global catalog
	// and START TLS where they were asked for. Each covers all addresses of the name, and
	// stands with the first of them.
	TLS []TLSLook `json:"tls,omitempty"`
	// Unverified says why there was no verified TLS connection to ask the questions on that
	// need one. Empty: there was.
	Unverified string `json:"unverified,omitempty"`
	// Plain is the port without TLS.
	Plain Port `json:"plain"`

	// CleartextBind is the answer to a simple bind of a random, non-existent DN in clear.
	CleartextBind *Answer `json:"cleartext_bind,omitempty"`
	// NullSession is the answer to an NTLM bind of nobody, unsigned, in clear.
	NullSession *Answer `json:"null_session,omitempty"`
	// NoBinding, NullInTLS and WrongBinding are the answers to NTLM binds inside TLS: of a
	// random user without channel binding, of nobody, and of a random user with a channel
	// binding for another certificate.
	NoBinding    *Answer `json:"no_binding,omitempty"`
	NullInTLS    *Answer `json:"null_in_tls,omitempty"`
	WrongBinding *Answer `json:"wrong_binding,omitempty"`

	StartTLS        *StartTLSLook `json:"start_tls,omitempty"`
	AnonymousSearch *SearchAnswer `json:"anonymous_search,omitempty"`
	NullBaseSearch  *SearchAnswer `json:"null_base_search,omitempty"`
}

func (s Server) address() netip.Addr { return s.Address }

// Kind is what kind of server the root DSE shows. What an answer proves depends on it.
type Kind string

// The kinds that are told apart.
const (
	UnknownKind     Kind = ""
	ActiveDirectory Kind = "active-directory"
	Samba           Kind = "samba"
	OpenLDAP        Kind = "openldap"
	DirectoryServer Kind = "389-ds"
)

// controller reports whether the server follows the rules of Active Directory.
func (k Kind) controller() bool { return k == ActiveDirectory || k == Samba }

// TLSLook is what was seen of one way to TLS.
type TLSLook struct {
	Way         string               `json:"way"` // "ldaps" or "starttls"
	Port        uint16               `json:"port"`
	Observation tlscheck.Observation `json:"observation"`
}

// Port is whether a port could be connected to.
type Port struct {
	Number  uint16           `json:"number"`
	Problem tlscheck.Problem `json:"problem,omitzero"` // zero: it is open
}

// Answer is an LDAP result, or why there was none.
type Answer struct {
	Code       int    `json:"code"` // meaningless if Problem is set
	Diagnostic string `json:"diagnostic,omitempty"`
	Problem    string `json:"problem,omitempty"`
}

func answerOf(r ldapwire.Result, err error) *Answer {
	if err != nil {
		return &Answer{Problem: setting.OneLine(problemOf(err))}
	}
	return &Answer{Code: r.Code, Diagnostic: setting.OneLine(r.Diagnostic)}
}

// String is "result 49 (invalidCredentials): …" or the problem.
func (a Answer) String() string {
	if a.Problem != "" {
		return a.Problem
	}
	return describe(ldapwire.Result{Code: a.Code, Diagnostic: a.Diagnostic})
}

// is reports whether there was an answer with one of the codes.
func (a *Answer) is(codes ...int) bool {
	return a != nil && a.Problem == "" && slices.Contains(codes, a.Code)
}

// badBindings is SEC_E_BAD_BINDINGS, with which Active Directory and Samba begin the
// diagnostic of a bind that they refuse for its channel binding.
const badBindings = "80090346"

func (a *Answer) badBindings() bool {
	return a.is(ldapwire.ResultInvalidCredentials) && strings.Contains(a.Diagnostic, badBindings)
}

// comparedCredentials reports whether a domain controller got as far as the credentials of an
// NTLM bind: SEC_E_LOGON_DENIED, with "no such user" or "wrong password" as Win32 error. Any
// other refusal, as with NTLM switched off, says nothing about what it checked before.
func (a *Answer) comparedCredentials() bool {
	if !a.is(ldapwire.ResultInvalidCredentials) {
		return false
	}
	return strings.Contains(a.Diagnostic, "data 52e") || strings.Contains(a.Diagnostic, "data 525")
}

// SearchAnswer is how an anonymous search ended.
type SearchAnswer struct {
	Answer
	Base   string `json:"base"`
	Way    string `json:"way"` // "ldaps" or "ldap"
	Entry  bool   `json:"entry"`
	Sample string `json:"sample,omitempty"` // DN of the entry that was returned
}

// StartTLSLook is how the server took a StartTLS request with another request glued behind
// it in the same segment.
type StartTLSLook struct {
	Answer
	// Glued says what became of the glued request.
	Glued Glued `json:"glued"`
	// Detail says why Glued is unknown.
	Detail string `json:"detail,omitempty"`
}

// Offered reports whether the server agreed to TLS.
func (l StartTLSLook) Offered() bool { return l.Answer.is(ldapwire.ResultSuccess) }

// Glued is the fate of a request that was sent in clear together with a StartTLS request.
type Glued string

// The fates of a glued request.
const (
	GluedUnknown   Glued = ""
	GluedDiscarded Glued = "discarded"         // TLS began and it was not answered inside
	GluedRefused   Glued = "refused"           // START TLS, or the handshake, failed because of it
	GluedBefore    Glued = "answered-before"   // it was answered in clear before TLS began, and not inside
	GluedInTLS     Glued = "answered-in-tls"   // the server took it for part of the TLS session
	GluedInClear   Glued = "answered-in-clear" // it was answered in clear where the handshake belongs
)

// RootDSE is what the server tells everybody about itself (RFC 4512, 5.1). Lists are bounded.
type RootDSE struct {
	Way             string   `json:"way"` // "ldaps" or "ldap"
	VendorName      string   `json:"vendor_name,omitempty"`
	VendorVersion   string   `json:"vendor_version,omitempty"`
	DNSHostName     string   `json:"dns_host_name,omitempty"`
	DefaultContext  string   `json:"default_naming_context,omitempty"`
	NamingContexts  []string `json:"naming_contexts,omitempty"`
	SASLMechanisms  []string `json:"sasl_mechanisms,omitempty"`
	Extensions      []string `json:"supported_extensions,omitempty"`
	Capabilities    []string `json:"supported_capabilities,omitempty"`
	DomainLevel     string   `json:"domain_functionality,omitempty"`
	ForestLevel     string   `json:"forest_functionality,omitempty"`
	ControllerLevel string   `json:"domain_controller_functionality,omitempty"`
	ObjectClasses   []string `json:"object_classes,omitempty"`
	OtherAttributes []string `json:"other_attributes,omitempty"` // names only
}

// rootAttributes is what the root DSE is asked for: the user attributes and those operational
// ones that tell the kind of server apart.
var rootAttributes = []string{
	"*", "vendorName", "vendorVersion", "dnsHostName", "defaultNamingContext", "namingContexts", "supportedSASLMechanisms",
	"supportedExtension", "supportedCapabilities", "domainFunctionality", "forestFunctionality", "domainControllerFunctionality",
}

// Caps on what is kept of a root DSE.
const (
	maxValues   = 64
	maxValueLen = 256
)

func readRootDSE(way string, attrs []ldapwire.Attribute) *RootDSE {
	d := &RootDSE{Way: way}
	single := map[string]*string{
		"vendorname": &d.VendorName, "vendorversion": &d.VendorVersion, "dnshostname": &d.DNSHostName,
		"defaultnamingcontext": &d.DefaultContext, "domainfunctionality": &d.DomainLevel,
		"forestfunctionality": &d.ForestLevel, "domaincontrollerfunctionality": &d.ControllerLevel,
	}
	multi := map[string]*[]string{
		"namingcontexts": &d.NamingContexts, "supportedsaslmechanisms": &d.SASLMechanisms,
		"supportedextension": &d.Extensions, "supportedcapabilities": &d.Capabilities, "objectclass": &d.ObjectClasses,
	}
	for _, a := range attrs {
		name := strings.ToLower(a.Name)
		switch {
		case len(a.Values) == 0:
		case single[name] != nil:
			*single[name] = clipValue(a.Values[0])
		case multi[name] != nil:
			for _, v := range a.Values[:min(len(a.Values), maxValues)] {
				*multi[name] = append(*multi[name], clipValue(v))
			}
		case len(d.OtherAttributes) < maxValues:
			d.OtherAttributes = append(d.OtherAttributes, clipValue(a.Name))
		}
	}
	return d
}

func clipValue(s string) string {
	if len(s) > maxValueLen {
		s = s[:maxValueLen]
	}
	return strings.ToValidUTF8(s, "?")
}

// kind tells the server's kind by its own words: an Active Directory capability
// (MS-ADTS 3.1.1.3.4.3), OpenLDAP's object class, or the vendor's name.
func (d *RootDSE) kind() Kind {
	switch {
	case d == nil:
		return UnknownKind
	case slices.Contains(d.Capabilities, ldapwire.OIDActiveDirectory):
		if strings.Contains(d.VendorName, "Samba") {
			return Samba
		}
		return ActiveDirectory
	case slices.ContainsFunc(d.ObjectClasses, func(s string) bool { return strings.EqualFold(s, "OpenLDAProotDSE") }):
		return OpenLDAP
	case strings.Contains(d.VendorName, "389 Project"), strings.HasPrefix(d.VendorVersion, "389-Directory"):
		return DirectoryServer
	}
	return UnknownKind
}

// listsStartTLS reports whether the root DSE says that the server offers START TLS.
func (d *RootDSE) listsStartTLS() bool {
	return d != nil && slices.Contains(d.Extensions, ldapwire.OIDStartTLS)
}

// lacksStartTLS reports whether the root DSE lists extensions, all of them, and START TLS is none.
// A list that is not shown at all may be an access rule.
func (d *RootDSE) lacksStartTLS() bool {
	return d != nil && len(d.Extensions) > 0 && len(d.Extensions) < maxValues && !d.listsStartTLS()
}

// base is where the directory's own entries begin.
func (d *RootDSE) base() string {
	switch {
	case d == nil:
		return ""
	case d.DefaultContext != "":
		return d.DefaultContext
	case len(d.NamingContexts) > 0:
		return d.NamingContexts[0]
	}
	return ""
}

// holds reports whether a DN is below one of the naming contexts, so that its absence means
// that it is not shown.
func (d *RootDSE) holds(dn string) bool {
	if d == nil {
		return false
	}
	name, err := ldap.ParseDN(dn)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(append(d.NamingContexts, d.DefaultContext), func(context string) bool {
		above, err := ldap.ParseDN(context)
		return err == nil && len(above.RDNs) > 0 && (above.EqualFold(name) || above.AncestorOfFold(name))
	})
}

// tells lists what an anonymous reader learns beyond what RFC 4512 needs a client to know.
func (d *RootDSE) tells() []string {
	var out []string
	add := func(what, value string) {
		if value != "" {
			out = append(out, what+" "+setting.OneLine(value))
		}
	}
	add("host name", d.DNSHostName)
	add("naming context", d.base())
	add("product", strings.TrimSpace(d.VendorName+" "+d.VendorVersion))
	add("domain functional level", d.DomainLevel)
	return out
}
