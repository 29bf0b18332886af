package apisec

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/internal/strength"
	"github.com/connsec/connsec/tlscheck"
)

// settingChecks judge a client's setting.
var settingChecks = []connsec.Check[judged]{
	{Rule: RuleTokenURL, Judge: judgeTokenURL},
	{Rule: RuleTokenURLCleartext, Judge: judgeCleartext},
	{Rule: RuleTokenURLName, Judge: judgeName},
	{Rule: RuleSecretInURL, Judge: judgeInURL},
	{Rule: RuleSecretWeak, Judge: judgeWeak},
	{Rule: RuleSecretShared, Judge: judgeShared},
	{Rule: RuleSecretLiteral, Judge: judgeLiteral},
	{Rule: RuleSecretOld, Judge: judgeOld},
	{Rule: RuleSecretExpired, Judge: judgeExpired},
	{Rule: RuleSecretExpiresSoon, Judge: judgeExpiresSoon},
	{Rule: RuleSecretNoExpiry, Judge: judgeNoExpiry},
	{Rule: RuleSecretDates, Judge: judgeDates},
	{Rule: RuleSecretNoOwner, Judge: judgeNoOwner},
	{Rule: RuleGrantPIN, Judge: judgeGrant},
	{Rule: RuleScopeWide, Judge: judgeScope},
}

// judged is a setting with what several judges need of it.
type judged struct {
	Client
	url     tokenURL
	problem string // why there is no url
	at      time.Time
	// same are clients of one inventory that have the secret, too; inventory is set if they
	// were looked for.
	same      []string
	inventory bool
}

func newJudged(c Client) judged {
	j := judged{Client: c, at: c.asOf()}
	j.url, j.problem = parseTokenURL(c.TokenURL)
	return j
}

// noClient: only an endpoint is given, which is looked at without a client's secret.
func (j judged) noClient() bool { return j.ID == "" && j.Secret.IsEmpty() }

const noClient = "no client is given, only an endpoint"

// RuleTokenURL: an address that leaves nothing to guess.
var RuleTokenURL = &connsec.Rule{
	ID: "api-token-url-invalid", Title: "The token URL is not a plain URL",
	Why:      "Programs repair a malformed address each in its own way, and the secret goes to where the repair points. A fragment is never sent and must not be there.",
	Fix:      "Enter scheme, fully qualified name, port and path: https://central.corp.example:8093/api/auth/token.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("6749", "3.2"), rfc("3986", "3")}, Since: "0.1.0",
}

func judgeTokenURL(j judged) connsec.Verdict {
	switch {
	case j.problem != "":
		return connsec.Failed("%s", j.problem)
	case j.url.url.Fragment != "" || strings.Contains(j.TokenURL, "#"):
		return connsec.Failed("the token URL has a fragment (#)")
	}
	return connsec.Passed("scheme, host and path can be told apart")
}

// RuleTokenURLCleartext: no TLS.
var RuleTokenURLCleartext = &connsec.Rule{
	ID: "api-token-url-cleartext", Title: "Tokens are asked for without TLS",
	Why:      "Secret and token go over the network in clear: anyone on the path has the client's rights from then on, until somebody changes the secret.",
	Fix:      "Write https:// and the port of the server's HTTPS, and change the secret, which has to be taken for known to others.",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{rfc("6749", "3.2"), rfc("6749", "2.3.1"), rfc("6819", "4.3.3"), refGuide}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleTokenURL},
}

func judgeCleartext(j judged) connsec.Verdict {
	if j.url.url.Scheme != "https" {
		return connsec.Failed("the token URL begins with http://")
	}
	return connsec.Passed("the token URL begins with https://")
}

// RuleTokenURLName: the name rules.
var RuleTokenURLName = &connsec.Rule{
	ID: "api-token-url-name", Title: "The token endpoint is not given by its fully qualified name",
	Why:      "The certificate proves a name. With an address, a short name or a name under somebody else's control there is nothing to compare it with, and the secret goes to whoever answers.",
	Fix:      "Enter the name that stands in the server's certificate, with its domain: central.corp.example.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{refGuide, rfc("9525", "6.1"), rfc("6749", "10.9")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleTokenURL},
}

func judgeName(j judged) connsec.Verdict {
	if v := tlscheck.JudgeName(j.url.host); v.Outcome != connsec.Pass {
		return v
	}
	for _, h := range j.Hosts {
		host, _, _ := strings.Cut(h, ":")
		if v := tlscheck.JudgeName(host); v.Outcome != connsec.Pass {
			v.Detail = "a further host: " + v.Detail
			return v
		}
	}
	return connsec.Passed("a fully qualified name")
}

// RuleSecretInURL: a secret where everybody writes it down.
var RuleSecretInURL = &connsec.Rule{
	ID: "api-secret-in-url", Title: "Credentials stand in the URL",
	Why:      "Servers, proxies and browsers write URLs into logs and histories, and pass them on as Referer. Whoever reads one of those has the secret.",
	Fix:      "Send the secret in the Authorization header (Basic) or, where the server wants that, in the body; take it out of the URL, and change it if it was there.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("6749", "2.3.1"), rfc("6819", "4.6.7"), rfc("3986", "3.2.1")}, Since: "0.1.0",
}

// credentialKeys are the names of query parameters that carry what nobody else should have.
var credentialKeys = []string{
	"secret", "password", "passwd", "pwd", "pass", "token", "apikey", "key", "auth", "credential", "assertion", "signature", "sig", "code", "pin", "card",
}

// keyAtEnd finds "subscription-key" and not "monkey".
var keyAtEnd = regexp.MustCompile(`(?i)[^a-z]key$`)

func judgeInURL(j judged) connsec.Verdict {
	switch {
	case j.Style == Query:
		return connsec.Failed("the secret is sent as a query parameter")
	case int(j.Style) >= len(styles.Names):
		return connsec.Unknown("%s is no known style", j.Style)
	case j.problem != "":
		// Not even what is no URL may hold the secret.
		if holdsSecret(j.TokenURL, j.Secret) {
			return connsec.Failed("the secret stands in the token URL")
		}
		return connsec.Skipped("there is no token URL that can be read")
	case j.url.url.User != nil:
		return connsec.Failed("a user, or a user and a password, stand before the host name of the token URL")
	case holdsSecret(j.TokenURL, j.Secret):
		return connsec.Failed("the secret stands in the token URL")
	}
	for key := range j.url.url.Query() {
		plain := strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "").Replace(key))
		for _, word := range credentialKeys {
			// Short words would be found inside of others: "pin" in "shipping".
			if plain == word || len(word) > 4 && strings.Contains(plain, word) || word == "key" && keyAtEnd.MatchString(key) {
				return connsec.Failed("a query parameter of the token URL is named like a credential (%s)", word)
			}
		}
	}
	return connsec.Passed("the secret is sent in %s", map[Style]string{Basic: "a header", Form: "the body", JSON: "the body"}[j.Style])
}

// holdsSecret finds the secret in a URL, plain or percent-encoded.
func holdsSecret(text string, secret connsec.Secret) bool {
	value := secret.Reveal()
	if len(value) < 4 {
		return false
	}
	decoded, err := url.PathUnescape(text)
	return strings.Contains(text, value) || err == nil && strings.Contains(decoded, value) ||
		strings.Contains(text, url.QueryEscape(value))
}

// RuleSecretWeak: a secret that can be guessed.
var RuleSecretWeak = &connsec.Rule{
	ID: "api-secret-weak", Title: "The client secret can be guessed",
	Why:      "The token endpoint can be asked by everybody, all day. A secret of words, dates, published examples, or of less than 128 random bits can be found, and with it everything that the client may do.",
	Fix:      "Let the server make the secret, or make one of 160 random bits: connsec secret new --for rest.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("6749", "10.10"), rfc("6749", "2.3.1"), rfc("6819", "5.1.4.2.2")}, Since: "0.1.0",
}

// requiredBits is RFC 6749 §10.10: guessing has to have a probability of at most 2^-128.
// recommendedBits is what it recommends.
const (
	requiredBits    = 128
	recommendedBits = 160
)

// published are secrets in vendors' documentation, which others have typed in before.
var published = []string{
	"89fbf537fe689fca26f67abae7a557106f4348d5", // MyQ REST API, Authentication methods
	"gX1fBat3bV", "7Fjfp0ZBr1KtDRbnfVdmIw", // RFC 6749 §4.1.3, §2.3.1
	"cf136dc3c1fc93f31185e5885805d", // RFC 7591 §3.2.1
}

var guid = regexp.MustCompile(`^\{?[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\}?$`)

func judgeWeak(j judged) connsec.Verdict {
	value := j.Secret.Reveal()
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case value == "":
		return connsec.Unknown("no secret is given, so its strength cannot be judged")
	case strings.EqualFold(value, j.ID):
		return connsec.Failed("the secret is the identifier, which is public").As(connsec.Critical)
	case slices.Contains(published, value):
		return connsec.Failed("the secret is a published example").As(connsec.Critical)
	}
	// Numbers would tell an attacker where to start; the class is enough.
	e := strength.Of(value, j.words())
	switch {
	case e.Known:
		return connsec.Failed("the secret is a default or example that attackers try first").As(connsec.Critical)
	case e.Bits < strength.Crackable:
		return connsec.Failed("its estimated strength is below %d bits", strength.Crackable)
	case guid.MatchString(value):
		// RFC 9562 §8: 122 bits at most, and generators need not make them unpredictable.
		return connsec.Failed("the secret is a GUID, of which at most 122 bits are random").As(connsec.Medium)
	case room(value) < requiredBits:
		return connsec.Failed("it is too short, or of too few kinds of characters, for %d bits", requiredBits)
	case e.Bits < adequate(value):
		return connsec.Failed("its estimated strength is below %.0f bits", adequate(value)).As(connsec.Medium)
	case room(value) < recommendedBits:
		return connsec.Passed("there is room for %d bits, not for the %d that are recommended, and nothing predictable is seen", requiredBits, recommendedBits)
	}
	return connsec.Passed("there is room for %d bits, and nothing predictable is seen", recommendedBits)
}

// adequate is the least estimate that passes. Hexadecimal digits have runs and dates in them by
// chance: of 150,000 random secrets of 32 digits, 51 were estimated below 80 bits, the lowest at 71.
func adequate(secret string) float64 {
	const digits = 70
	if strings.Trim(strings.ToLower(secret), "0123456789abcdef") == "" {
		return digits
	}
	return strength.Adequate
}

// room is the entropy of a random string of this length and kind, in bits: an upper bound of
// what the secret can have.
func room(secret string) float64 {
	kinds := []struct {
		of   func(byte) bool
		size float64
	}{
		{func(b byte) bool { return b >= '0' && b <= '9' }, 10},
		{func(b byte) bool { return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' }, 16},
		{func(b byte) bool { return b >= '0' && b <= '9' || b >= 'A' && b <= 'F' }, 16},
		{func(b byte) bool { return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' }, 36},
		{func(b byte) bool { return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' }, 36},
		{func(b byte) bool {
			return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
		}, 62},
	}
	size := 94.0
	for _, k := range kinds {
		if strings.IndexFunc(secret, func(r rune) bool { return r > '~' || !k.of(byte(r)) }) < 0 {
			size = k.size
			break
		}
	}
	return float64(len(secret)) * math.Log2(size)
}

// RuleSecretShared: the same secret elsewhere.
var RuleSecretShared = &connsec.Rule{
	ID: "api-secret-shared", Title: "The client secret is used elsewhere, too",
	Why:      "Whoever takes it from one place can use it in the others, no log tells who did what, and it cannot be changed without breaking all of them at once.",
	Fix:      "Register a client of its own for each program and each service, each with a generated secret.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("7591", "3.2.1"), rfc("6819", "5.2.3.4"), owasp("1 Introduction")}, Since: "0.1.0",
}

func judgeShared(j judged) connsec.Verdict {
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case j.Secret.IsEmpty():
		return connsec.Unknown("no secret is given to compare")
	case len(j.same) > 0:
		return connsec.Failed("the same secret as %s", someOf(j.same))
	}
	for _, purpose := range slices.Sorted(maps.Keys(j.Others)) {
		if j.Secret.Equal(j.Others[purpose]) {
			if holdsSecret(purpose, j.Secret) {
				purpose = "another one"
			}
			return connsec.Failed("the same secret as %s", setting.OneLine(purpose))
		}
	}
	switch {
	case j.inventory:
		return connsec.Passed("different from those of the other clients")
	case len(j.Others) == 0:
		// A program that knows of one secret only has not failed to look.
		return connsec.Unknown("there is nothing to compare it with").As(connsec.Low)
	}
	return connsec.Passed("different from %d other configured secrets", len(j.Others))
}

// someOf names a few and counts the rest.
func someOf(names []string) string {
	const most = 3
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// RuleSecretLiteral: a secret in a configuration file.
var RuleSecretLiteral = &connsec.Rule{
	ID: "api-secret-literal", Title: "The client secret stands in a configuration file or script",
	Why:      "Such files are copied, mailed to support, backed up and checked in, and the secret goes with them to people who were never meant to have it.",
	Fix:      "Put a reference in its place: to the operating system's secret store (DPAPI, Key Vault, systemd credentials), or to a file of its own that only the service may read.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("6819", "5.3.1"), rfc("6819", "5.3.3"), owasp("1 Introduction"), {Doc: "CWE-798", URL: "https://cwe.mitre.org/data/definitions/798.html"}}, Since: "0.1.0",
}

func judgeLiteral(j judged) connsec.Verdict {
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case j.Storage == Literal:
		return connsec.Failed("the secret itself stands among other settings")
	case j.Storage == StorageUnknown:
		return connsec.Unknown("where the secret is kept is not said; set the storage")
	case int(j.Storage) >= len(storages.Names):
		return connsec.Unknown("%s is no known storage", j.Storage)
	case j.Storage == Environment:
		return connsec.Passed("it comes from the environment, which every process of the same user can read")
	}
	return connsec.Passed("the setting refers to it (%s)", j.Storage)
}

// RuleSecretOld: time works for whoever has a copy.
var RuleSecretOld = &connsec.Rule{
	ID: "api-secret-old", Title: "The client secret is older than the policy allows",
	Why:      "Every copy that was ever made, in a backup, a log, with somebody who has left, works until the secret is changed.",
	Fix:      "Change it, with an overlap in which both work: connsec secret rotate.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{owasp("2.7.2 Rotation")}, Since: "0.1.0",
}

func judgeOld(j judged) connsec.Verdict {
	age := j.at.Sub(j.Created)
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case j.Created.IsZero():
		return connsec.Unknown("when the secret was made is not known")
	case age < -day: // for time zones, as in judgeDates
		return connsec.Unknown("by its date the secret is still to be made, see %s", RuleSecretDates.ID)
	case age >= j.Policy.High():
		return connsec.Failed("the secret is %s old; from %s on it is overdue", days(age), days(j.Policy.High())).As(connsec.High)
	case age >= j.Policy.Medium():
		return connsec.Failed("the secret is %s old; the policy allows %s", days(age), days(j.Policy.Medium()))
	}
	return connsec.Passed("the secret is %s old; the policy allows %s", days(age), days(j.Policy.Medium()))
}

func days(d time.Duration) string {
	if n := int(d / day); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}

// RuleSecretExpired: nothing works with it any more.
var RuleSecretExpired = &connsec.Rule{
	ID: "api-secret-expired", Title: "The client secret has expired",
	Why:      "The client gets no more tokens, and what depends on it stands still; on such a morning a secret without end is made.",
	Fix:      "Make a new one, and have the next change planned before the end: connsec secret rotate.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("7591", "3.2.1"), owasp("2.7.4 Expiration")}, Since: "0.1.0",
}

func judgeExpired(j judged) connsec.Verdict {
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case j.Expires.IsZero():
		return connsec.Skipped("no end is known, see %s", RuleSecretNoExpiry.ID)
	case !j.at.Before(j.Expires):
		return connsec.Failed("the secret expired on %s", j.Expires.Format(time.DateOnly))
	}
	return connsec.Passed("the secret is good until %s", j.Expires.Format(time.DateOnly))
}

// RuleSecretExpiresSoon: time to change it.
var RuleSecretExpiresSoon = &connsec.Rule{
	ID: "api-secret-expires-soon", Title: "The client secret expires soon",
	Why:      "A change takes its time: two secrets have to overlap until every copy of the program has the new one.",
	Fix:      "Change it now: connsec secret rotate.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("7591", "3.2.1"), owasp("2.7.4 Expiration")}, Since: "0.1.0",
	DependsOn: []*connsec.Rule{RuleSecretExpired},
}

// soon leaves time for a change with an overlap of days.
const soon = 14 * day

func judgeExpiresSoon(j judged) connsec.Verdict {
	if left := j.Expires.Sub(j.at); left < soon {
		return connsec.Failed("the secret expires in %s", days(left))
	}
	return connsec.Passed("more than %s are left", days(soon))
}

// RuleSecretNoExpiry: a secret for ever.
var RuleSecretNoExpiry = &connsec.Rule{
	ID: "api-secret-no-expiry", Title: "The client secret never expires",
	Why:      "A forgotten client, and every lost copy of its secret, stays a way in for as long as the server runs.",
	Fix:      "Give the secret an end, at the server if it knows such a thing, and in the list of secrets in any case.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{owasp("2.7.4 Expiration"), rfc("7591", "3.2.1")}, Since: "0.1.0",
}

func judgeNoExpiry(j judged) connsec.Verdict {
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case j.Expires.IsZero():
		return connsec.Failed("no end is set")
	}
	return connsec.Passed("it ends on %s", j.Expires.Format(time.DateOnly))
}

// RuleSecretDates: dates that cannot be.
var RuleSecretDates = &connsec.Rule{
	ID: "api-secret-dates", Title: "The dates of the client secret cannot be right",
	Why:      "Age and end are judged by these dates. With wrong ones an old secret passes for new, and nobody is warned before it ends.",
	Fix:      "Enter when the secret was made, and when the server stops to take it. A life longer than the policy allows is not a plan: shorten it.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{owasp("2.7.4 Expiration"), rfc("7591", "3.2.1")}, Since: "0.1.0",
}

func judgeDates(j judged) connsec.Verdict {
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case j.Created.IsZero() && j.Expires.IsZero():
		return connsec.Skipped("no dates are given")
	case j.Created.After(j.at.Add(day)): // a day for time zones
		return connsec.Failed("it is said to have been made on %s, which is still to come", j.Created.Format(time.DateOnly))
	case j.Created.IsZero() || j.Expires.IsZero():
		return connsec.Passed("the one date that is given can be right")
	case !j.Expires.After(j.Created):
		return connsec.Failed("it is said to end on %s, before it was made on %s", j.Expires.Format(time.DateOnly), j.Created.Format(time.DateOnly))
	case j.Expires.Sub(j.Created) > j.Policy.High()+day: // a year has 366 days at times
		return connsec.Failed("it is to live for %s, and from %s on it is overdue", days(j.Expires.Sub(j.Created)), days(j.Policy.High()))
	}
	return connsec.Passed("it was made and ends in this order, within the policy")
}

// RuleSecretNoOwner: nobody to ask.
var RuleSecretNoOwner = &connsec.Rule{
	ID: "api-secret-no-owner", Title: "Nobody answers for the client secret",
	Why:      "When it leaks, nobody knows what stops if it is revoked; so it is not revoked.",
	Fix:      "Name a person or a team as its owner.",
	Severity: connsec.Low,
	Refs:     []connsec.Citation{owasp("2.11 Metadata"), rfc("6819", "5.2.3.6")}, Since: "0.1.0",
}

func judgeNoOwner(j judged) connsec.Verdict {
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case strings.TrimSpace(j.Owner) == "":
		return connsec.Failed("no owner is named")
	}
	return connsec.Passed("an owner is named")
}

// RuleGrantPIN: a user's PIN, card or password as a program's credential.
var RuleGrantPIN = &connsec.Rule{
	ID: "api-grant-pin", Title: "The client logs in with a user's PIN, card or password",
	Why:      "A PIN has four to six digits and a card number can be read in passing: whoever has the client secret can try them all. With a password the program gets everything that the user may do, and the user's second factor is worth nothing.",
	Fix:      "Use the grant client_credentials with scopes of the client's own, or let the user log in at the server (authorization code).",
	Severity: connsec.High,
	Refs:     []connsec.Citation{rfc("9700", "2.4"), refMyQGrants}, Since: "0.1.0",
}

func judgeGrant(j judged) connsec.Verdict {
	switch j.Grant {
	case ClientCredentials:
		return connsec.Passed("the client has its own credentials")
	case Password:
		return connsec.Failed("a user's name and password are sent")
	case LoginInfo:
		return connsec.Failed("a user's PIN or card number is sent")
	}
	return connsec.Unknown("%s is no known grant", j.Grant)
}

// RuleScopeWide: more rights than needed.
var RuleScopeWide = &connsec.Rule{
	ID: "api-scope-wide", Title: "The client may do more than its work takes",
	Why:      "Whoever gets hold of the secret or of a token can do all of it: read every user, change credit, pull reports.",
	Fix:      "Ask for the scopes that the work takes and no others, and have only those granted to the client at the server (of MyQ Central's credit, users and reports most clients need one).",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{rfc("9700", "2.3"), rfc("6749", "3.3"), refMyQGrants}, Since: "0.1.0",
}

// everything are names of scopes that stand for all there are.
var everything = []string{"*", "all", "full", "full_access", "fullaccess", "root", "superuser"}

func judgeScope(j judged) connsec.Verdict {
	for _, s := range j.Scopes {
		if slices.Contains(everything, strings.ToLower(s)) || strings.HasSuffix(s, "*") {
			return connsec.Failed("a scope that stands for everything is asked for: %s", setting.OneLine(s)).As(connsec.High)
		}
	}
	var extra []string
	for _, s := range j.Scopes {
		if !slices.Contains(j.Needed, s) {
			extra = append(extra, setting.OneLine(s))
		}
	}
	switch {
	case j.noClient():
		return connsec.Skipped(noClient)
	case len(j.Scopes) == 0:
		return connsec.Unknown("no scope is asked for, so that the server decides which are given (RFC 6749 §3.3)")
	case j.Needed == nil:
		return connsec.Unknown("which scopes the client's work takes is not said; list them as needed")
	case len(extra) > 0:
		return connsec.Failed("asked for and not needed: %s", someOf(extra))
	}
	return connsec.Passed("no scope is asked for that is not needed")
}
