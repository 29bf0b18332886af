package radiussec

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/internal/strength"
	"github.com/connsec/connsec/tlscheck"
)

// settingChecks judge a client's setting as a whole, serverSettingChecks each of its servers,
// and clientChecks each entry of a server's inventory.
var (
	settingChecks = []connsec.Check[Config]{
		{Rule: RuleTransportUDP, Judge: judgeTransportUDP},
		{Rule: RuleMessageAuthenticatorOff, Judge: judgeSigning},
		{Rule: RuleTLSSystemRoots, Judge: judgeSystemRoots},
		{Rule: RuleTLSIdentity, Judge: judgeIdentity},
		{Rule: RuleTLSClientCertificate, Judge: judgeOwnCertificate},
	}
	serverSettingChecks = []connsec.Check[setServer]{
		{Rule: RuleName, Judge: judgeName},
		{Rule: RuleSecretMissing, Judge: onSecret(judgeMissing)},
		{Rule: RuleSecretShort, Judge: onSecret(judgeShort)},
		{Rule: RuleSecretWeak, Judge: onSecret(judgeWeak)},
		{Rule: RuleSecretReused, Judge: onSecret(judgeReused)},
		{Rule: RuleSecretCharset, Judge: onSecret(judgeCharset)},
		{Rule: RuleSecretNotSpecific, Judge: judgeSpecific},
		{Rule: RuleTLSSecret, Judge: func(s setServer) connsec.Verdict { return judgeTLSSecret(s.shared()) }},
		{Rule: RuleMethodWeak, Judge: judgeMethod},
	}
	clientChecks = []connsec.Check[entry]{
		{Rule: RuleSecretMissing, Judge: onEntry(judgeMissing)},
		{Rule: RuleSecretShort, Judge: onEntry(judgeShort)},
		{Rule: RuleSecretWeak, Judge: onEntry(judgeWeak)},
		{Rule: RuleSecretReused, Judge: onEntry(judgeReused)},
		{Rule: RuleSecretCharset, Judge: onEntry(judgeCharset)},
		{Rule: RuleTLSSecret, Judge: func(e entry) connsec.Verdict { return judgeTLSSecret(e.shared()) }},
		{Rule: RuleClientRange, Judge: judgeRange},
		{Rule: RuleMessageAuthenticatorOff, Judge: judgeDemand},
		{Rule: RuleTransportUDP, Judge: judgeEntryTransport},
	}
)

// setServer is one server of a setting.
type setServer struct {
	Config
	Server
	index    int
	strength func() strength.Estimate // of the secret; estimated when first asked
}

// shared is a shared secret with what is known about it.
type shared struct {
	secret     connsec.Secret
	unresolved string
	disabled   bool
	transport  Transport
	strength   func() strength.Estimate
	same       []string // entries of the same inventory
	sameMore   int
	other      string // a purpose elsewhere
	compared   string // with what
}

func (s setServer) shared() shared {
	k := shared{
		secret: s.Secret, transport: s.Transport, strength: s.strength, compared: fmt.Sprintf("%d other configured secrets", len(s.Others)),
	}
	for _, purpose := range sortedKeys(s.Others) {
		if !s.Secret.IsEmpty() && s.Secret.Equal(s.Others[purpose]) {
			k.other = setting.OneLine(purpose)
			break
		}
	}
	if len(s.Others) == 0 {
		k.compared = ""
	}
	return k
}

func (e entry) shared() shared {
	return shared{
		secret: e.Secret, unresolved: e.Unresolved, disabled: e.Disabled, transport: e.Transport, strength: func() strength.Estimate { return e.strength },
		same: e.same, sameMore: e.sameMore, other: e.other, compared: "the other entries",
	}
}

// onSecret judges the shared secret of a server over UDP.
func onSecret(judge func(shared) connsec.Verdict) func(setServer) connsec.Verdict {
	return func(s setServer) connsec.Verdict { return onUDP(judge, s.shared()) }
}

func onEntry(judge func(shared) connsec.Verdict) func(entry) connsec.Verdict {
	return func(e entry) connsec.Verdict { return onUDP(judge, e.shared()) }
}

func onUDP(judge func(shared) connsec.Verdict, s shared) connsec.Verdict {
	switch {
	case s.transport == TLS:
		return connsec.Skipped("over TLS the shared secret is fixed and protects nothing")
	case s.disabled:
		return connsec.Skipped("the entry is disabled")
	case s.unresolved != "":
		return connsec.Unknown("the secret is not known: %s", s.unresolved)
	}
	return judge(s)
}

// RuleSecretMissing: no secret at all.
var RuleSecretMissing = &connsec.Rule{
	ID: "radius-secret-missing", Title: "There is no shared secret",
	Why:      "The secret is all that authenticates the server's answers over UDP and hides passwords. Without one, anyone on the path logs in as anybody and reads every password.",
	Fix:      "Generate a secret for this client and server (connsec secret new --for radius) and enter it on both.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{refGuide, rfc("2865", "3")}, Since: "0.1.0",
}

func judgeMissing(s shared) connsec.Verdict {
	if s.secret.IsEmpty() {
		return connsec.Failed("no secret is set")
	}
	return connsec.Passed("a secret is set")
}

// RuleSecretShort: few octets.
var RuleSecretShort = &connsec.Rule{
	ID: "radius-secret-short", Title: "The shared secret is shorter than 24 octets",
	Why:      "One captured packet is enough to try secrets offline, at 64·10⁹ per second and GPU: every secret of 8 characters falls in hours. With the secret, passwords are read and answers forged.",
	Fix:      "Use at least 24 random octets; 32 base32 digits (connsec secret new --for radius) fit everywhere.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{deprecating(""), rfc("2865", "3"), refClientsConf}, Since: "0.1.0",
}

func judgeShort(s shared) connsec.Verdict {
	n := len(s.secret.Reveal())
	switch {
	case n == 0:
		return connsec.Skipped("there is no secret")
	case n <= 8:
		return connsec.Failed("at most 8 octets: to be taken for known to others as soon as it was used").As(connsec.Critical)
	case n <= 10:
		return connsec.Failed("9 or 10 octets: within reach of an attacker with means")
	case n <= 12:
		return connsec.Failed("11 or 12 octets: implementations have to warn about it")
	case n < 16:
		return connsec.Failed("13 to 15 octets: less than RFC 2865 asked for in 2000")
	case n < 24:
		return connsec.Failed("16 to 23 octets: no longer adequate").As(connsec.Medium)
	}
	return connsec.Passed("24 octets or more")
}

// RuleSecretWeak: easily guessed.
var RuleSecretWeak = &connsec.Rule{
	ID: "radius-secret-weak", Title: "The shared secret can be guessed",
	Why:      "Guessing needs one captured packet and no contact with the server. Words, names, dates and what products ship with are tried first, whatever the length.",
	Fix:      "Let a generator make the secret (connsec secret new --for radius); nobody needs to remember it.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{deprecating(""), refClientsConf}, Since: "0.1.0",
}

func judgeWeak(s shared) connsec.Verdict {
	if s.secret.IsEmpty() {
		return connsec.Skipped("there is no secret")
	}
	// The number itself would tell an attacker where to start; the class is enough.
	switch st := s.strength(); {
	case st.Known:
		return connsec.Failed("it is a default or example that attackers try first").As(connsec.Critical)
	case st.Bits < strength.Crackable:
		return connsec.Failed("its estimated strength is below %d bits", strength.Crackable)
	case st.Bits < strength.Adequate:
		return connsec.Failed("its estimated strength is below %d bits", strength.Adequate).As(connsec.Medium)
	}
	return connsec.Passed("its estimated strength is %d bits or more", strength.Adequate)
}

// RuleSecretReused: the same secret elsewhere.
var RuleSecretReused = &connsec.Rule{
	ID: "radius-secret-reused", Title: "The shared secret is used elsewhere, too",
	Why:      "Whoever takes one of the devices, or its backup, has the secret of all: they can pose as the server to each, and read the passwords of each.",
	Fix:      "Give every client and server pair a generated secret of its own.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("2865", "3"), deprecating(""), refClientsConf}, Since: "0.1.0",
}

func judgeReused(s shared) connsec.Verdict {
	switch {
	case s.secret.IsEmpty():
		return connsec.Skipped("there is no secret")
	case len(s.same) > 0:
		others := strings.Join(s.same, ", ")
		if s.sameMore > 0 {
			others += fmt.Sprintf(" and %d more", s.sameMore)
		}
		return connsec.Failed("the same secret as %s", others)
	case s.other != "":
		return connsec.Failed("the same secret as %s", s.other)
	case s.compared == "":
		return connsec.Unknown("there is nothing to compare it with")
	}
	return connsec.Passed("different from %s", s.compared)
}

// RuleSecretCharset: characters that get lost on the way into a configuration.
var RuleSecretCharset = &connsec.Rule{
	ID: "radius-secret-charset", Title: "The shared secret has characters that configurations change",
	Why:      "FreeRADIUS cuts an unquoted secret at a comma and expands a dollar sign; XML, shells and web forms have characters of their own; letters beyond ASCII have several encodings. What is in use then is shorter than what was meant, or differs between the two ends.",
	Fix:      "Use letters, digits and hyphens only, as a generated secret does (connsec secret new --for radius).",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{refClientsConf, rfc("2865", "3")}, Since: "0.1.0",
}

const hazards = " ,\"'`\\$#%{};&<>"

func judgeCharset(s shared) connsec.Verdict {
	v := s.secret.Reveal()
	switch {
	case v == "":
		return connsec.Skipped("there is no secret")
	case v != strings.TrimSpace(v):
		return connsec.Failed("it begins or ends with a space, which many forms drop").As(connsec.Medium)
	case strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return connsec.Failed("it has control characters").As(connsec.Medium)
	case strings.ContainsFunc(v, func(r rune) bool { return r > '~' }):
		return connsec.Failed("it has letters beyond ASCII").As(connsec.Medium)
	case strings.ContainsAny(v, hazards):
		return connsec.Failed("it has punctuation or spaces that configuration files treat specially")
	}
	return connsec.Passed("no character that configurations treat specially")
}

// RuleSecretNotSpecific: one secret for several servers.
var RuleSecretNotSpecific = &connsec.Rule{
	ID: "radius-secret-not-specific", Title: "One shared secret serves several servers",
	Why:      "A secret says that the other end is the server only if no one else has it. With one for all, the operator or thief of one server can answer in the place of every other.",
	Fix:      "Enter a secret of its own for each server.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("2865", "3"), deprecating("")}, Since: "0.1.0",
}

func judgeSpecific(s setServer) connsec.Verdict {
	switch {
	case s.Transport == TLS:
		return connsec.Skipped("over TLS the certificate identifies the server")
	case s.Secret.IsEmpty():
		return connsec.Skipped("there is no secret")
	}
	for i, o := range s.Servers {
		if i != s.index && !o.Secret.IsEmpty() && o.Secret.Equal(s.Secret) {
			return connsec.Failed("the same secret as for %s", s.subject(o))
		}
	}
	return connsec.Passed("no other server of this setting has it")
}

// RuleTransportUDP: no TLS.
var RuleTransportUDP = &connsec.Rule{
	ID: "radius-transport-udp", Title: "RADIUS travels over UDP instead of TLS",
	Why:      "User names, addresses and group memberships can be read by anyone on the path, and only MD5 and the secret keep answers from being forged.",
	Fix:      "Use RADIUS over TLS (RadSec, port 2083), directly or through radsecproxy on both sides; until then keep the packets inside a VPN or IPsec.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{deprecating(""), rfc("6614", "1"), refBlast}, Since: "0.1.0",
}

func judgeTransportUDP(c Config) connsec.Verdict {
	switch c.Transport {
	case TLS:
		return connsec.Passed("RADIUS over TLS")
	case UDP:
		return connsec.Failed("RADIUS over UDP")
	}
	return connsec.Unknown("%s is no known transport", c.Transport)
}

func judgeEntryTransport(e entry) connsec.Verdict {
	if e.Disabled {
		return connsec.Skipped("the entry is disabled")
	}
	return judgeTransportUDP(Config{Transport: e.Transport})
}

// RuleMethodWeak: the password travels badly protected.
var RuleMethodWeak = &connsec.Rule{
	ID: "radius-method-weak", Title: "The login method does not protect the password on this way",
	Why:      "MS-CHAP responses are broken in hours whoever captures them, CHAP falls to a dictionary, and PAP over UDP is exactly as good as the shared secret.",
	Fix:      "Use PAP over TLS, EAP-TLS, or, over UDP, PAP with a generated secret. Do not use CHAP or MS-CHAP outside of TLS.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{deprecating("")}, Since: "0.1.0",
}

func judgeMethod(s setServer) connsec.Verdict {
	switch {
	case int(s.Method) >= len(methods.Names):
		return connsec.Unknown("%s is no known method", s.Method)
	case s.Transport == TLS:
		return connsec.Passed("%s inside TLS", s.Method)
	case s.Method == EAP:
		return connsec.Passed("EAP protects itself")
	case s.Method == MSCHAP, s.Method == MSCHAPv2:
		return connsec.Failed("%s over UDP", s.Method)
	case s.Method == CHAP:
		return connsec.Failed("CHAP over UDP").As(connsec.Medium)
	case s.Secret.IsEmpty():
		return connsec.Failed("PAP over UDP without a secret").As(connsec.Critical)
	}
	for _, v := range []connsec.Verdict{judgeShort(s.shared()), judgeWeak(s.shared())} {
		if sev := max(v.Severity, RuleMethodWeak.Severity); v.Outcome == connsec.Fail && (v.Severity == 0 || v.Severity >= connsec.High) {
			return connsec.Failed("PAP over UDP with a weak secret: %s", v.Detail).As(sev)
		} else if v.Outcome == connsec.Fail {
			return connsec.Failed("PAP over UDP with a secret that is not strong: %s", v.Detail).As(connsec.Medium)
		}
	}
	return connsec.Passed("PAP over UDP with a strong secret")
}

// RuleMessageAuthenticatorOff: requests or answers go unsigned.
var RuleMessageAuthenticatorOff = &connsec.Rule{
	ID: "radius-message-authenticator-off", Title: "The Message-Authenticator is not required",
	Why:      "Without it, an attacker on the path turns a reject into an accept in minutes without knowing the secret (Blast-RADIUS), whatever the secret's length.",
	Fix:      "Send a Message-Authenticator in every request and require it: FreeRADIUS require_message_authenticator = yes, NPS \"Access-Request messages must contain the Message-Authenticator attribute\", and the corresponding option of each client.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refBlast, deprecating("Clients and Access-Request"), rfc("3579", "3.2"), refNPS, refClientsConf}, Since: "0.1.0",
}

func judgeSigning(c Config) connsec.Verdict {
	switch {
	case int(c.MessageAuthenticator) >= len(signings.Names):
		return connsec.Unknown("%s is no known use of the attribute", c.MessageAuthenticator)
	case c.Transport == TLS:
		return connsec.Passed("TLS protects requests and answers")
	case c.MessageAuthenticator == SigningRequired:
		return connsec.Passed("sent in every request and required in every answer")
	case c.MessageAuthenticator == SigningOptional:
		return connsec.Failed("answers without it are accepted")
	}
	return connsec.Failed("it is neither sent nor required").As(connsec.Critical)
}

func judgeDemand(e entry) connsec.Verdict {
	switch {
	case e.Disabled:
		return connsec.Skipped("the entry is disabled")
	case e.Transport == TLS:
		return connsec.Passed("TLS protects requests and answers")
	case e.MessageAuthenticator == Yes:
		return connsec.Passed("required")
	case e.MessageAuthenticator == Auto:
		return connsec.Failed("auto: the first packet after a start decides, whoever sends it").As(connsec.Medium)
	case e.MessageAuthenticator == No && e.ProxyState == Yes:
		return connsec.Failed("not required, but a Proxy-State without it is refused").As(connsec.Medium)
	case e.MessageAuthenticator == No:
		return connsec.Failed("not required")
	}
	return connsec.Unknown("the file does not say, and the default depends on the server's release (FreeRADIUS: no up to 3.2.4, auto since)")
}

// RuleName: the name rules, for each server.
var RuleName = &connsec.Rule{
	ID: "radius-name", Title: "The server is not given by a valid, fully qualified name",
	Why:      "Over TLS the certificate proves a name, and there is nothing to compare an address or a short name with. A short name is completed by whatever search list the machine has at the time.",
	Fix:      "Enter the server's full name as it stands in its certificate; over UDP a fixed address will do.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refGuide, radsecBis("4.2.1"), rfc("9525", "6.1")}, Since: "0.1.0",
}

func judgeName(s setServer) connsec.Verdict {
	if a, err := netip.ParseAddr(s.Host); err == nil && s.Transport == UDP && !a.IsUnspecified() {
		return connsec.Passed("an address; over UDP there is no certificate that names the server")
	}
	return tlscheck.JudgeName(s.Host)
}

// RuleClientRange: one secret for a network.
var RuleClientRange = &connsec.Rule{
	ID: "radius-client-range", Title: "One entry, and so one secret, covers a whole network",
	Why:      "Every device of the network, and whoever finds a free address in it, may use the secret; it cannot be changed for one without changing it for all.",
	Fix:      "Make one entry with a secret of its own per client address (/32 or /128).",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{deprecating(""), refClientsConf}, Since: "0.1.0",
}

func judgeRange(e entry) connsec.Verdict {
	p, isAddress := e.network()
	switch {
	case e.Disabled:
		return connsec.Skipped("the entry is disabled")
	case e.Role == RoleServer:
		return connsec.Skipped("the entry is a server")
	case e.Transport == TLS:
		return connsec.Skipped("over TLS the certificate identifies the client")
	case e.Address == "":
		return connsec.Unknown("the entry has no address")
	case !isAddress && strings.Contains(e.Address, "/"):
		return connsec.Unknown("the address cannot be read")
	case !isAddress:
		return connsec.Passed("one client, by name")
	case p.Bits() == 0:
		return connsec.Failed("every address may use the secret").As(connsec.High)
	case !p.IsSingleIP():
		return connsec.Failed("a network of prefix length %d", p.Bits())
	}
	return connsec.Passed("one address")
}

// RuleTLSSecret: a secret of one's own over TLS.
var RuleTLSSecret = &connsec.Rule{
	ID: "radius-tls-secret", Title: "The secret over TLS is not the fixed one",
	Why:      "Over TLS the secret is \"radsec\" by definition and TLS protects the packets. Another one fails with servers that follow the standard, and is often one that guards something else.",
	Fix:      "Set the secret to radsec, or leave it empty where the product does that by itself.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{rfc("6614", "2.3"), radsecBis("3.2")}, Since: "0.1.0",
}

func judgeTLSSecret(s shared) connsec.Verdict {
	switch v := s.secret.Reveal(); {
	case s.transport != TLS:
		return connsec.Skipped("RADIUS over UDP")
	case s.disabled:
		return connsec.Skipped("the entry is disabled")
	case s.unresolved != "":
		return connsec.Unknown("the secret is not known: %s", s.unresolved)
	case v != "" && v != fixedSecret:
		return connsec.Failed("a secret other than the fixed one")
	}
	return connsec.Passed("the fixed secret, or none")
}

// RuleTLSSystemRoots: trust in everybody's authorities.
var RuleTLSSystemRoots = &connsec.Rule{
	ID: "radius-tls-system-roots", Title: "RADIUS over TLS trusts the operating system's authorities",
	Why:      "Any of a hundred public authorities, and whatever a proxy or an administrator added to the system, can then vouch for an impostor of the RADIUS server.",
	Fix:      "Trust the one authority that issues the RADIUS servers' certificates, and nothing else.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{radsecBis("4.2.1")}, Since: "0.1.0",
}

func judgeSystemRoots(c Config) connsec.Verdict {
	switch {
	case c.Transport != TLS:
		return connsec.Skipped("RADIUS over UDP")
	case c.SystemRoots || c.Roots == nil:
		return connsec.Failed("no authority is chosen for RADIUS: the operating system's decide")
	}
	return connsec.Passed("an authority is chosen for RADIUS")
}

// RuleTLSIdentity: the common name decides.
var RuleTLSIdentity = &connsec.Rule{
	ID: "radius-tls-identity-cn", Title: "The server is told by the common name of its certificate",
	Why:      "A common name is free text, and no authority's name constraints bind it: who can have a certificate with some text in it can pose as the server.",
	Fix:      "Compare the host name with the DNS names of the certificate's subjectAltName. In radsecproxy: no matchCertificateAttribute CN.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{radsecBis("4.2.1"), rfc("9525", "2")}, Since: "0.1.0",
}

func judgeIdentity(c Config) connsec.Verdict {
	switch {
	case c.Transport != TLS:
		return connsec.Skipped("RADIUS over UDP")
	case c.Identity == SubjectAltName:
		return connsec.Passed("the DNS names of the certificate are compared")
	case c.Identity == CommonName:
		return connsec.Failed("the common name is compared")
	}
	return connsec.Unknown("%s is no known identity", c.Identity)
}

// RuleTLSClientCertificate: the client has nothing to show.
var RuleTLSClientCertificate = &connsec.Rule{
	ID: "radius-tls-client-certificate", Title: "This client has no certificate for RADIUS over TLS",
	Why:      "Servers have to demand one. One that does not lets everyone use it to try passwords.",
	Fix:      "Issue a certificate with extended key usage clientAuth to this client, and enter it.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{radsecBis("4.2"), rfc("6614", "2.3")}, Since: "0.1.0",
}

func judgeOwnCertificate(c Config) connsec.Verdict {
	switch {
	case c.Transport != TLS:
		return connsec.Skipped("RADIUS over UDP")
	case len(c.ClientCertificates) == 0:
		return connsec.Failed("no client certificate is set")
	}
	return connsec.Passed("a client certificate is set")
}
