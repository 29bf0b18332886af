package hostfw

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// netshLanguage is the words of one language in what netsh prints. Labels are in the form of
// [label]. Words that are not here are not guessed: an unknown label with a value other than
// "any" makes its rule uncertain, and an unknown direction, profile or action is an error.
type netshLanguage struct {
	name     string
	labels   map[string]netshField
	words    map[string]string // values, in lower case, to the English ones
	settings []string          // by profile: how the heading of "show allprofiles" begins
	state    string            // labels there
	policy   string
	local    string
}

// netshField is what a label says.
type netshField uint8

const (
	fieldUnknown netshField = iota
	fieldName
	fieldEnabled
	fieldDirection
	fieldProfiles
	fieldLocalIP
	fieldRemoteIP
	fieldProtocol
	fieldLocalPort
	fieldRemotePort
	fieldProgram
	fieldService
	fieldInterfaces
	fieldSecurity
	fieldSource
	fieldAction
	fieldRemoteComputers
	fieldRemoteUsers
	fieldIrrelevant // description, grouping, edge traversal
)

// netshLanguages are the words as public captures of the command's output have them; the sources
// stand in testdata/windows/README.md, as does which words no capture confirms. Some are
// surprising and right: a French "in" is "Actif", a German "out" is "Aus".
var netshLanguages = []netshLanguage{
	{
		name: "English",
		labels: map[string]netshField{
			"rulename": fieldName, "description": fieldIrrelevant, "enabled": fieldEnabled, "direction": fieldDirection,
			"profiles": fieldProfiles, "grouping": fieldIrrelevant, "localip": fieldLocalIP, "remoteip": fieldRemoteIP,
			"protocol": fieldProtocol, "localport": fieldLocalPort, "remoteport": fieldRemotePort, "edgetraversal": fieldIrrelevant,
			"program": fieldProgram, "service": fieldService, "interfacetypes": fieldInterfaces, "security": fieldSecurity,
			"rulesource": fieldSource, "action": fieldAction, "remotecomputergroup": fieldRemoteComputers,
			"remoteusergroup": fieldRemoteUsers,
		},
		words: map[string]string{
			"yes": "yes", "no": "no", "in": "in", "out": "out", "domain": "Domain", "private": "Private", "public": "Public",
			"allow": "allow", "block": "block", "bypass": "bypass", "notrequired": "notrequired", "local setting": "local",
			"on": "on", "off": "off",
		},
		settings: []string{"domain profile settings", "private profile settings", "public profile settings"},
		state:    "state", policy: "firewallpolicy", local: "localfirewallrules",
	},
	{
		name: "French",
		labels: map[string]netshField{
			"nomdelarègle": fieldName, "description": fieldIrrelevant, "activé": fieldEnabled, "direction": fieldDirection,
			"profiles": fieldProfiles, "profils": fieldProfiles, "groupement": fieldIrrelevant, "localip": fieldLocalIP,
			"remoteip": fieldRemoteIP, "protocole": fieldProtocol, "localport": fieldLocalPort, "remoteport": fieldRemotePort,
			"traverséelatérale": fieldIrrelevant, "programme": fieldProgram, "service": fieldService,
			"typesdinterfaces": fieldInterfaces, "typesdinterface": fieldInterfaces, "interfacetypes": fieldInterfaces,
			"sécurité": fieldSecurity, "sourcedelarègle": fieldSource, "action": fieldAction,
		},
		words: map[string]string{
			"oui": "yes", "non": "no", "actif": "in", "domaine": "Domain", "privé": "Private", "public": "Public",
			"autoriser": "allow", "bloquer": "block", "notrequired": "notrequired",
		},
		settings: []string{"paramètres profil de domaine", "paramètres profil privé", "paramètres profil public"},
		state:    "état", policy: "stratégiedeparefeu", local: "localfirewallrules",
	},
	{
		name: "German",
		labels: map[string]netshField{
			"regelname": fieldName, "beschreibung": fieldIrrelevant, "aktiviert": fieldEnabled, "richtung": fieldDirection,
			"profile": fieldProfiles, "gruppierung": fieldIrrelevant, "lokalesip": fieldLocalIP, "lokaleip": fieldLocalIP,
			"remoteip": fieldRemoteIP, "protokoll": fieldProtocol, "lokalerport": fieldLocalPort, "remoteport": fieldRemotePort,
			"edgeausnahme": fieldIrrelevant, "programm": fieldProgram, "dienst": fieldService, "schnittstellentypen": fieldInterfaces,
			"sicherheit": fieldSecurity, "regelquelle": fieldSource, "aktion": fieldAction,
		},
		words: map[string]string{
			"ja": "yes", "nein": "no", "eingehend": "in", "aus": "out", "domäne": "Domain", "privat": "Private", "öffentlich": "Public",
			"zulassen": "allow", "blocken": "block", "blockieren": "block", "nicht erforderlich": "notrequired",
			"notrequired": "notrequired", "lokale einstellung": "local", "ein": "on",
		},
		settings: []string{"domänenprofil-einstellungen", "privates profil-einstellungen", "öffentliches profil-einstellungen"},
		state:    "status", policy: "firewallrichtlinie", local: "localfirewallrules",
	},
}

// stateWords are the words for a profile's state. "Actif" and "Aus" mean something else in rules.
var stateWords = map[string]toggle{"on": on, "off": off, "actif": on, "inactif": off, "ein": on, "aus": off}

const netshHow = "; write one with: netsh advfirewall show allprofiles > firewall.txt & netsh advfirewall firewall show rule name=all dir=in verbose >> firewall.txt"

var errNoNetsh = errors.New("hostfw: this is no output of netsh in English, French or German; use the JSON export, which has no language")

// label brings a label into the form of the tables: lower case, letters only.
func label(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '-', '\'', '’', '\u00a0', '\u202f':
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// netshLine takes a line apart at its first colon, which French has a space before.
func netshLine(line string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(strings.ReplaceAll(line, "\u00a0", " "), ":")
	return strings.TrimSpace(key), strings.TrimSpace(value), ok && key != ""
}

// languageOf finds the language by the labels of rules' names and by headings of profiles.
func languageOf(text string) *netshLanguage {
	for line := range strings.Lines(text) {
		key, _, ok := netshLine(line)
		if !ok {
			continue
		}
		for i := range netshLanguages {
			l := &netshLanguages[i]
			if l.labels[label(key)] == fieldName || l.heading(key) >= 0 {
				return l
			}
		}
	}
	return nil
}

// heading is which profile's settings a heading begins, or -1.
func (l *netshLanguage) heading(key string) int {
	return slices.Index(l.settings, strings.ToLower(key))
}

// mostNetshLine bounds a line. A rule's addresses stand on one.
const mostNetshLine = 1 << 20

// parseNetsh compiles what "netsh advfirewall firewall show rule name=all verbose" prints, with
// what "netsh advfirewall show allprofiles" prints before or after it. Without the second,
// whether the firewall is on and what it does by default is not known, and with it every answer.
func parseNetsh(data []byte) (*program, error) {
	text, err := windowsText(data)
	if err != nil {
		return nil, err
	}
	language := languageOf(text)
	if language == nil {
		return nil, errNoNetsh
	}
	p := netshParser{language: language}
	number := 0
	for line := range strings.Lines(text) {
		number++
		if len(line) > mostNetshLine {
			return nil, fmt.Errorf("hostfw: line %d is longer than %d bytes", number, mostNetshLine)
		}
		if err := p.line(strings.TrimRight(line, "\r\n"), number); err != nil {
			return nil, err
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	if p.rules == nil && !p.anyProfile && !p.anyRule {
		return nil, errors.New("hostfw: there are neither rules nor profiles" + netshHow)
	}
	return windowsProgram(p.profiles, p.rules), nil
}

// netshParser reads line by line.
type netshParser struct {
	language   *netshLanguage
	profiles   [3]windowsProfile
	anyProfile bool
	anyRule    bool
	rules      []*windowsRule

	profile int // whose settings are being read, from 1; 0 is none
	rule    *netshRule
}

// netshRule is the lines of one rule.
type netshRule struct {
	line   int
	fields map[netshField]string
	other  []string // labels that are not known, with their values
	last   netshField
	twice  bool
}

func (p *netshParser) line(line string, number int) error {
	trimmed := strings.TrimSpace(strings.ReplaceAll(line, "\u00a0", " "))
	if trimmed == "" || strings.Trim(trimmed, "-") == "" {
		return nil
	}
	key, value, hasColon := netshLine(line)
	indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
	if hasColon && !indented {
		if i := p.language.heading(key); i >= 0 {
			if err := p.finish(); err != nil {
				return err
			}
			p.profile, p.anyProfile = i+1, true
			p.profiles[i] = windowsProfile{localRules: unstated}
			return nil
		}
		for _, l := range netshLanguages {
			if l.name != p.language.name && l.labels[label(key)] == fieldName && p.language.labels[label(key)] != fieldName {
				return fmt.Errorf("hostfw: line %d: a rule in %s after others in %s: one file of one language", number, l.name, p.language.name)
			}
		}
		if p.language.labels[label(key)] == fieldName {
			if err := p.finish(); err != nil {
				return err
			}
			if len(p.rules) >= mostRules {
				return fmt.Errorf("hostfw: line %d: more than %d rules", number, mostRules)
			}
			p.profile, p.anyRule = 0, true
			p.rule = &netshRule{line: number, fields: map[netshField]string{fieldName: value}}
			return nil
		}
	}
	switch {
	case p.rule != nil:
		p.rule.add(p.language, key, value, trimmed, hasColon && !indented, indented)
	case p.profile > 0:
		return p.setting(trimmed, number)
	}
	return nil
}

// add takes one line of a rule. An indented one goes on with the value before; anything else
// without a label is the end, "Ok.".
func (r *netshRule) add(l *netshLanguage, key, value, whole string, labelled, indented bool) {
	switch {
	case indented:
		if r.last != fieldProtocol && r.last != fieldIrrelevant && r.last != fieldUnknown {
			r.fields[r.last] += "," + whole
		}
		return
	case !labelled:
		return
	}
	field := l.labels[label(key)]
	r.last = field
	if field == fieldUnknown {
		if value != "" && !isAny(value) {
			r.other = append(r.other, key+": "+value)
		}
		return
	}
	if _, ok := r.fields[field]; ok && field != fieldIrrelevant {
		r.twice = true
		return
	}
	r.fields[field] = value
}

// setting takes one line of a profile: a name, two spaces or more, and a value.
func (p *netshParser) setting(line string, number int) error {
	key, value, ok := strings.Cut(line, "  ")
	if !ok {
		return nil
	}
	value = strings.TrimSpace(value)
	profile := &p.profiles[p.profile-1]
	switch label(key) {
	case p.language.state:
		if profile.enabled, ok = stateWords[strings.ToLower(value)]; !ok {
			profile.why = key + " " + setting.OneLine(value)
		}
	case p.language.policy:
		inbound, _, _ := strings.Cut(value, ",")
		switch strings.ToLower(strings.TrimSpace(inbound)) {
		case "blockinbound":
			profile.allowDefault, profile.inboundRules = off, on
		case "blockinboundalways":
			profile.allowDefault, profile.inboundRules = off, off
		case "allowinbound":
			profile.allowDefault, profile.inboundRules = on, on
		default:
			return fmt.Errorf("hostfw: line %d: unknown firewall policy %s of profile %s", number, quoted(value), profileNames[p.profile-1])
		}
	case p.language.local:
		// "N/A (GPO-store only)" is what a host without Group Policy says.
		if v := strings.ToLower(value); v == "disable" || v == "deaktivieren" || v == "désactiver" {
			profile.localRules = off
		}
	}
	return nil
}

// finish compiles the rule that ends here.
func (p *netshParser) finish() error {
	r := p.rule
	p.rule = nil
	if r == nil {
		return nil
	}
	compiled, err := r.compile(p.language)
	if err != nil {
		return fmt.Errorf("hostfw: line %d: rule %s: %w", r.line, quoted(r.fields[fieldName]), err)
	}
	if compiled != nil {
		p.rules = append(p.rules, compiled)
	}
	return nil
}

// word translates one value.
func (l *netshLanguage) word(s string) string { return l.words[strings.ToLower(strings.TrimSpace(s))] }

// compile returns nil for a rule that is disabled, outbound, or about a protocol without ports.
func (r *netshRule) compile(l *netshLanguage) (*windowsRule, error) {
	unknown := func(what string, field netshField) error {
		return fmt.Errorf("unknown %s %s in %s; use the JSON export, which has no language", what, quoted(r.fields[field]), l.name)
	}
	out := &windowsRule{name: r.fields[fieldName]}
	switch l.word(r.fields[fieldEnabled]) {
	case "yes":
	case "no":
		return nil, nil
	default:
		return nil, unknown("value of Enabled", fieldEnabled)
	}
	switch l.word(r.fields[fieldDirection]) {
	case "in":
	case "out":
		return nil, nil
	default:
		return nil, fmt.Errorf("unknown direction %s in %s; export with dir=in, or as JSON", quoted(r.fields[fieldDirection]), l.name)
	}
	switch l.word(r.fields[fieldAction]) {
	case "allow":
	case "block":
		out.block = true
	case "bypass":
		out.bypass = true
	default:
		return nil, unknown("action", fieldAction)
	}
	for _, name := range strings.Split(r.fields[fieldProfiles], ",") {
		i := slices.Index(profileNames, l.word(name))
		switch {
		case i >= 0:
			out.profiles |= 1 << i
		case isAny(strings.TrimSpace(name)):
			out.profiles = allProfiles
		default:
			return nil, unknown("profile", fieldProfiles)
		}
	}
	known := false
	if out.protocols, known = protocolsOf(r.value(fieldProtocol)); !known {
		out.unmodelled = append(out.unmodelled, "protocol "+quoted(r.fields[fieldProtocol]))
	}
	if out.protocols != nil && len(out.protocols) == 0 {
		return nil, nil // ICMP and the like
	}
	out.ports = portsValue(r.value(fieldLocalPort))
	out.remotePorts = portsValue(r.value(fieldRemotePort))
	out.sources = addressesValue(r.value(fieldRemoteIP))
	out.locals = addressesValue(r.value(fieldLocalIP))
	out.bind("program", r.value(fieldProgram))
	out.bind("service", r.value(fieldService))
	if err := out.types(r.value(fieldInterfaces)); err != nil {
		out.unmodelled = append(out.unmodelled, err.Error())
	}
	switch security, ok := r.fields[fieldSecurity]; {
	case !ok:
		// Without "verbose" a block for one program looks like one for all.
		out.unmodelled = append(out.unmodelled, "its program and security are not in the export (verbose)")
	case l.word(security) != "notrequired" && !isAny(security):
		out.secured = "only what IPsec secures (" + setting.OneLine(security) + ")"
	}
	if !r.value(fieldRemoteComputers).none() || !r.value(fieldRemoteUsers).none() {
		out.secured = "authorised peers"
	}
	if source, ok := r.fields[fieldSource]; ok {
		source = strings.ToLower(source)
		switch {
		case l.word(source) == "local":
			out.store = storeLocal
		case strings.Contains(source, "policy"), strings.Contains(source, "richtlinie"), strings.Contains(source, "stratégie"):
			out.store = storeOther
		}
	}
	if r.twice {
		out.unmodelled = append(out.unmodelled, "a label stands twice")
	}
	for _, other := range r.other {
		out.unmodelled = append(out.unmodelled, setting.OneLine(other))
	}
	return out, nil
}

// value is a field as the other format has it.
func (r *netshRule) value(f netshField) psValue {
	s, ok := r.fields[f]
	if !ok || s == "" {
		return psValue{known: ok}
	}
	if f == fieldProtocol || f == fieldProgram || f == fieldService {
		return psValue{known: true, items: []string{s}}
	}
	return psValue{known: true, items: strings.Split(s, ",")}
}
