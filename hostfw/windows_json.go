package hostfw

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// WindowsExport is the PowerShell command that writes the JSON that [Parse] reads, for Windows
// PowerShell 5.1 and PowerShell 7, in an elevated session. It reads and changes nothing else, and
// writes firewall.json to the current directory.
//
// It asks for the ActiveStore: what applies at the moment, from local rules and Group Policy
// together. Without that the cmdlets show local rules only. The filters come as lists of their
// own and are joined by InstanceID when they are read, since asking for each rule's takes minutes.
const WindowsExport = `$s = @{ PolicyStore = 'ActiveStore' }; ` +
	`[ordered]@{ PolicyStore = 'ActiveStore'; Computer = $env:COMPUTERNAME; ` +
	`Profiles = @(Get-NetFirewallProfile @s | Select-Object Name, Enabled, DefaultInboundAction, AllowInboundRules, AllowLocalFirewallRules); ` +
	`Rules = @(Get-NetFirewallRule @s | Select-Object InstanceID, DisplayName, Enabled, Direction, Action, Profile, Owner, PolicyStoreSourceType, PolicyAppId, RemoteDynamicKeywordAddresses); ` +
	`PortFilters = @(Get-NetFirewallPortFilter @s | Select-Object InstanceID, Protocol, LocalPort, RemotePort, DynamicTarget); ` +
	`AddressFilters = @(Get-NetFirewallAddressFilter @s | Select-Object InstanceID, LocalAddress, RemoteAddress); ` +
	`ApplicationFilters = @(Get-NetFirewallApplicationFilter @s | Select-Object InstanceID, Program, Package); ` +
	`ServiceFilters = @(Get-NetFirewallServiceFilter @s | Select-Object InstanceID, Service); ` +
	`InterfaceFilters = @(Get-NetFirewallInterfaceFilter @s | Select-Object InstanceID, InterfaceAlias); ` +
	`InterfaceTypeFilters = @(Get-NetFirewallInterfaceTypeFilter @s | Select-Object InstanceID, InterfaceType); ` +
	`SecurityFilters = @(Get-NetFirewallSecurityFilter @s | Select-Object InstanceID, Authentication, Encryption, OverrideBlockRules, LocalUser, RemoteUser, RemoteMachine) ` +
	`} | ConvertTo-Json -Depth 4 | Out-File -Encoding utf8 firewall.json`

// psValue is a property as ConvertTo-Json writes it: text, a number, a truth value, a list of
// them, null, or, by PowerShell 5.1 for some lists, {"value": […], "Count": 2}.
type psValue struct {
	known bool // the property is there
	items []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *psValue) UnmarshalJSON(data []byte) error {
	v.known, v.items = true, nil
	return v.add(data, 0)
}

func (v *psValue) add(data []byte, depth int) error {
	data = bytes.TrimSpace(data)
	if depth > 3 || len(data) == 0 {
		return errors.New("a property nests too deep")
	}
	switch data[0] {
	case 'n':
	case '"':
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		v.items = append(v.items, s)
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		for _, item := range list {
			if err := v.add(item, depth+1); err != nil {
				return err
			}
		}
	case '{':
		var object struct {
			Value json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(data, &object); err != nil {
			return err
		}
		if object.Value == nil {
			return errors.New("a property is an object without a value")
		}
		return v.add(object.Value, depth+1)
	default: // a number, true or false
		v.items = append(v.items, string(data))
	}
	return nil
}

// text is a value of one item.
func (v psValue) text() string {
	if len(v.items) == 0 {
		return ""
	}
	return strings.TrimSpace(v.items[0])
}

// none reports whether the value is no condition: Any, empty, or null.
func (v psValue) none() bool {
	return len(v.items) == 0 || len(v.items) == 1 && (v.text() == "" || isAny(v.text()))
}

// or is another name of the same property.
func (v psValue) or(w psValue) psValue {
	if v.known {
		return v
	}
	return w
}

// psFilters are the properties of a rule's filters. They stand in an object of the filter's own,
// or in that of the rule.
type psFilters struct {
	InstanceID psValue

	Protocol, LocalPort, RemotePort, DynamicTarget, DynamicTransport psValue
	LocalAddress, RemoteAddress, RemoteDynamicKeywordAddresses       psValue
	Program, AppPath, Package                                        psValue
	Service, ServiceName                                             psValue
	InterfaceAlias, InterfaceType                                    psValue
	Authentication, Encryption, OverrideBlockRules                   psValue
	LocalUser, LocalUsers, RemoteUser, RemoteUsers                   psValue
	RemoteMachine, RemoteMachines                                    psValue
}

// psRule is a rule as Get-NetFirewallRule gives it.
type psRule struct {
	psFilters
	DisplayName, Name, Enabled, Direction, Action, Profile, Profiles, Owner psValue
	PolicyStoreSourceType, PolicyAppID                                      psValue
}

// psProfile is a profile as Get-NetFirewallProfile gives it.
type psProfile struct {
	Name, Profile, Enabled, DefaultInboundAction, AllowInboundRules, AllowLocalFirewallRules psValue
}

// psExport is what WindowsExport writes.
type psExport struct {
	PolicyStore psValue
	Rules       []psRule
	Profiles    []psProfile

	PortFilters, AddressFilters, ApplicationFilters, ServiceFilters []psFilters
	InterfaceFilters, InterfaceTypeFilters, SecurityFilters         []psFilters
}

// parseWindowsJSON compiles an export of the NetSecurity cmdlets: the object that WindowsExport
// writes, or a list of rules with the properties of their filters among their own. An export that
// does not say from which store it is may lack the rules of Group Policy; it is taken as it is.
func parseWindowsJSON(data []byte) (*program, error) {
	text, err := windowsText(data)
	if err != nil {
		return nil, err
	}
	const how = "export it with the command that \"connsec firewall export windows\" prints"
	var export psExport
	raw := bytes.TrimSpace([]byte(text))
	if bytes.HasPrefix(raw, []byte("[")) {
		err = json.Unmarshal(raw, &export.Rules)
	} else {
		err = json.Unmarshal(raw, &export)
	}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		line, column := lineOf(raw, int(syntax.Offset))
		return nil, fmt.Errorf("hostfw: line %d, column %d: this is not JSON: %s", line, column, setting.OneLine(syntax.Error()))
	case err != nil:
		return nil, fmt.Errorf("hostfw: this is no export of Windows Firewall's rules (%s); %s", setting.OneLine(err.Error()), how)
	case len(export.Rules) == 0:
		return nil, errors.New("hostfw: this JSON has no rules of Windows Firewall; " + how)
	case export.PolicyStore.text() != "" && !strings.EqualFold(export.PolicyStore.text(), "ActiveStore"):
		return nil, fmt.Errorf("hostfw: this is the policy store %s, not what applies on the host; %s", quoted(export.PolicyStore.text()), how)
	case len(export.Rules) > mostRules:
		return nil, fmt.Errorf("hostfw: more than %d rules", mostRules)
	}
	var profiles [3]windowsProfile
	for _, p := range export.Profiles {
		if err := p.into(&profiles); err != nil {
			return nil, err
		}
	}
	filters := joinFilters(export)
	var rules []*windowsRule
	for i, r := range export.Rules {
		if !r.Direction.known || !r.Action.known {
			return nil, fmt.Errorf("hostfw: rule %d has no Direction and Action: this is no export of Windows Firewall's rules; %s", i+1, how)
		}
		compiled, err := r.compile(filters)
		if err != nil {
			return nil, fmt.Errorf("hostfw: rule %d (%s): %w", i+1, quoted(r.display()), err)
		}
		if compiled != nil {
			rules = append(rules, compiled)
		}
	}
	return windowsProgram(profiles, rules), nil
}

// lineOf is where a byte is, counted from 1.
func lineOf(data []byte, offset int) (line, column int) {
	before := data[:min(max(offset-1, 0), len(data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// gpoBoolean reads what NetSecurity.GpoBoolean prints: False 0, True 1, NotConfigured 2.
func gpoBoolean(v psValue) (toggle, bool) {
	switch strings.ToLower(v.text()) {
	case "true", "1":
		return on, true
	case "false", "0":
		return off, true
	case "notconfigured", "2":
		return unstated, true
	}
	return unstated, !v.known
}

// into sets one profile. In the ActiveStore everything is resolved; "NotConfigured" comes from
// another store, in which Group Policy may say otherwise.
func (p psProfile) into(profiles *[3]windowsProfile) error {
	name := p.Name.or(p.Profile).text()
	i := slices.IndexFunc(profileNames, func(n string) bool { return strings.EqualFold(n, name) })
	if i < 0 {
		return fmt.Errorf("hostfw: unknown profile %s", quoted(name))
	}
	to := windowsProfile{}
	for _, field := range []struct {
		name string
		from psValue
		to   *toggle
	}{
		{"Enabled", p.Enabled, &to.enabled},
		{"AllowInboundRules", p.AllowInboundRules, &to.inboundRules},
		{"AllowLocalFirewallRules", p.AllowLocalFirewallRules, &to.localRules},
	} {
		value, ok := gpoBoolean(field.from)
		if !ok {
			return fmt.Errorf("hostfw: profile %s: unknown value %s of %s", profileNames[i], quoted(field.from.text()), field.name)
		}
		*field.to = value
	}
	switch strings.ToLower(p.DefaultInboundAction.text()) {
	case "allow", "2":
		to.allowDefault = on
	case "block", "4":
		to.allowDefault = off
	case "notconfigured", "0":
		to.why = "NotConfigured in this store; export the ActiveStore"
	default:
		if p.DefaultInboundAction.known {
			return fmt.Errorf("hostfw: profile %s: unknown value %s of DefaultInboundAction", profileNames[i], quoted(p.DefaultInboundAction.text()))
		}
	}
	if to.enabled == unstated && p.Enabled.known || to.inboundRules == unstated && p.AllowInboundRules.known {
		to.why = "NotConfigured in this store; export the ActiveStore"
	}
	profiles[i] = to
	return nil
}

// filterSets are the filters of all rules, by kind and InstanceID.
type filterSets map[string]map[string][]*psFilters

func joinFilters(e psExport) filterSets {
	sets := filterSets{}
	for kind, list := range map[string][]psFilters{
		"port": e.PortFilters, "address": e.AddressFilters, "application": e.ApplicationFilters, "service": e.ServiceFilters,
		"interface": e.InterfaceFilters, "interface type": e.InterfaceTypeFilters, "security": e.SecurityFilters,
	} {
		byID := map[string][]*psFilters{}
		for i := range list {
			id := strings.ToLower(list[i].InstanceID.text())
			byID[id] = append(byID[id], &list[i])
		}
		sets[kind] = byID
	}
	return sets
}

// of returns a rule's filter of one kind. Without one the rule's own properties count. Two that
// differ, of rules with one name in two stores, cannot be told apart.
func (s filterSets) of(kind string, r *psRule) (f *psFilters, ambiguous bool) {
	found := s[kind][strings.ToLower(r.InstanceID.text())]
	if len(found) == 0 {
		return &r.psFilters, false
	}
	for _, other := range found[1:] {
		if !found[0].equal(other) {
			return found[0], true
		}
	}
	return found[0], false
}

func (f *psFilters) equal(g *psFilters) bool {
	a, b := f.values(), g.values()
	for i := range a {
		if a[i].known != b[i].known || !slices.Equal(a[i].items, b[i].items) {
			return false
		}
	}
	return true
}

func (f *psFilters) values() []psValue {
	return []psValue{f.Protocol, f.LocalPort, f.RemotePort, f.DynamicTarget, f.DynamicTransport, f.LocalAddress, f.RemoteAddress,
		f.RemoteDynamicKeywordAddresses, f.Program, f.AppPath, f.Package, f.Service, f.ServiceName, f.InterfaceAlias, f.InterfaceType,
		f.Authentication, f.Encryption, f.OverrideBlockRules, f.LocalUser, f.LocalUsers, f.RemoteUser, f.RemoteUsers,
		f.RemoteMachine, f.RemoteMachines}
}

func (r psRule) display() string {
	if s := r.DisplayName.or(r.Name).text(); s != "" {
		return s
	}
	return r.InstanceID.text()
}

// compile returns nil for a rule that is disabled or outbound.
func (r psRule) compile(filters filterSets) (*windowsRule, error) {
	switch strings.ToLower(r.Direction.text()) {
	case "inbound", "in", "1":
	case "outbound", "out", "2":
		return nil, nil
	default:
		return nil, fmt.Errorf("unknown Direction %s", quoted(r.Direction.text()))
	}
	out := &windowsRule{name: r.display()}
	switch strings.ToLower(r.Enabled.text()) {
	case "true", "1":
	case "false", "2":
		return nil, nil
	default:
		out.unmodelled = append(out.unmodelled, "Enabled "+quoted(r.Enabled.text()))
	}
	switch strings.ToLower(r.Action.text()) {
	case "allow", "2":
	case "allowbypass", "bypass", "3":
		out.bypass = true
	case "block", "4":
		out.block = true
	default: // NotConfigured
		return nil, fmt.Errorf("unknown Action %s", quoted(r.Action.text()))
	}
	var ok bool
	if out.profiles, ok = profileBits(r.Profile.or(r.Profiles)); !ok {
		return nil, fmt.Errorf("unknown Profile %s", quoted(strings.Join(r.Profile.or(r.Profiles).items, ",")))
	}
	switch strings.ToLower(r.PolicyStoreSourceType.text()) {
	case "local", "1":
		out.store = storeLocal
	case "":
	default:
		out.store = storeOther
	}
	out.bind("user", r.Owner)
	out.bind("package", r.PolicyAppID)

	// find says what narrows the rule if the export does not have the property.
	find := func(kind string) *psFilters {
		f, ambiguous := filters.of(kind, &r)
		if ambiguous {
			out.unmodelled = append(out.unmodelled, "two "+kind+" filters with its InstanceID")
		}
		return f
	}
	absent := func(property string, v psValue) {
		if !v.known || out.block && v.text() == "" {
			out.unmodelled = append(out.unmodelled, property+" is not in the export")
		}
	}
	// narrows is for what makes an allow rule smaller, so that it is taken as it is without, but
	// makes a block rule keep out less than it seems to.
	narrows := func(property string, v psValue) {
		if out.block && !v.known {
			out.unmodelled = append(out.unmodelled, property+" is not in the export")
		}
	}
	port := find("port")
	absent("Protocol", port.Protocol)
	absent("LocalPort", port.LocalPort)
	narrows("RemotePort", port.RemotePort)
	known := false
	if out.protocols, known = protocolsOf(port.Protocol); !known {
		out.unmodelled = append(out.unmodelled, "Protocol "+quoted(strings.Join(port.Protocol.items, ",")))
	}
	out.ports = portsValue(port.LocalPort)
	out.remotePorts = portsValue(port.RemotePort)
	if t := port.DynamicTarget.or(port.DynamicTransport); !t.none() && t.text() != "0" {
		out.unmodelled = append(out.unmodelled, "DynamicTarget "+quoted(t.text()))
	}
	address := find("address")
	absent("RemoteAddress", address.RemoteAddress)
	narrows("LocalAddress", address.LocalAddress)
	out.sources = addressesValue(address.RemoteAddress)
	out.locals = addressesValue(address.LocalAddress)
	if !address.RemoteDynamicKeywordAddresses.none() || !r.RemoteDynamicKeywordAddresses.none() {
		out.unmodelled = append(out.unmodelled, "RemoteDynamicKeywordAddresses")
	}
	application := find("application")
	absent("Program", application.Program.or(application.AppPath))
	out.bind("program", application.Program.or(application.AppPath))
	out.bind("package", application.Package)
	service := find("service")
	narrows("Service", service.Service.or(service.ServiceName))
	out.bind("service", service.Service.or(service.ServiceName))
	alias, kind := find("interface").InterfaceAlias, find("interface type").InterfaceType
	narrows("InterfaceAlias", alias)
	narrows("InterfaceType", kind)
	if !alias.none() {
		out.interfaces = append(out.interfaces, alias.items...)
	}
	if err := out.types(kind); err != nil {
		return nil, err
	}
	security := find("security")
	absent("Authentication", security.Authentication)
	for _, v := range []psValue{security.Encryption, security.Authentication} {
		if s := strings.ToLower(v.text()); s != "" && s != "notrequired" && s != "0" {
			out.secured = "only what IPsec secures (" + setting.OneLine(v.text()) + ")"
		}
	}
	for _, v := range []psValue{security.RemoteUser.or(security.RemoteUsers), security.RemoteMachine.or(security.RemoteMachines)} {
		if !v.none() {
			out.secured = "authorised peers " + quoted(v.text())
		}
	}
	if over, _ := gpoBoolean(security.OverrideBlockRules); over == on {
		out.bypass = true
	}
	out.bind("user", security.LocalUser.or(security.LocalUsers))
	if out.protocols != nil && len(out.protocols) == 0 {
		return nil, nil // ICMP and the like
	}
	return out, nil
}

// bind restricts the rule to somebody's sockets.
func (r *windowsRule) bind(kind string, v psValue) {
	anyService := kind == "service" && v.text() == "*" // "services only", whichever
	if v.none() && !anyService {
		return
	}
	if r.bound == nil {
		r.bound = map[string]string{}
	}
	r.bound[kind] = v.text()
}

// types adds the interface types: names, or the bits 1 wired, 2 wireless, 4 remote access.
func (r *windowsRule) types(v psValue) error {
	if v.none() {
		return nil
	}
	for _, item := range strings.Split(strings.Join(v.items, ","), ",") {
		item = strings.TrimSpace(item)
		if bits, err := strconv.ParseUint(item, 10, 3); err == nil {
			for i, name := range interfaceTypes {
				if bits&(1<<i) != 0 {
					r.interfaces = append(r.interfaces, name)
				}
			}
			continue
		}
		switch strings.ToLower(item) {
		case "wired", "lan":
			r.interfaces = append(r.interfaces, "Wired")
		case "wireless":
			r.interfaces = append(r.interfaces, "Wireless")
		case "remoteaccess", "ras":
			r.interfaces = append(r.interfaces, "RemoteAccess")
		default:
			return fmt.Errorf("unknown InterfaceType %s", quoted(item))
		}
	}
	return nil
}

// profileBits reads Profile: Any 0, Domain 1, Private 2, Public 4, sums and lists of them, or
// 2147483647, which the registry has for all.
func profileBits(v psValue) (uint8, bool) {
	var bits uint8
	for _, item := range strings.Split(strings.Join(v.items, ","), ",") {
		item = strings.TrimSpace(item)
		if n, err := strconv.ParseUint(item, 10, 31); err == nil {
			if n == 0 || n == 1<<31-1 {
				return allProfiles, true
			}
			if n > allProfiles {
				return 0, false
			}
			bits |= uint8(n)
			continue
		}
		if strings.EqualFold(item, "Any") || strings.EqualFold(item, "All") {
			return allProfiles, true
		}
		i := slices.IndexFunc(profileNames, func(n string) bool { return strings.EqualFold(n, item) })
		if i < 0 {
			return 0, false
		}
		bits |= 1 << i
	}
	return bits, bits != 0
}

// portless are the names that Windows has for protocols without ports.
var portless = []string{"icmpv4", "icmpv6", "igmp", "hopopt", "ipv6", "ipv6-route", "ipv6-frag", "ipv6-nonxt", "ipv6-opts", "gre", "vrrp", "pgm", "l2tp", "esp", "ah"}

// protocolsOf reads Protocol: a name or an IP protocol number. Empty, not nil, is one without
// ports. One that is not known may be any.
func protocolsOf(v psValue) (protocols []Protocol, known bool) {
	out := []Protocol{}
	items := v.items
	if len(items) == 0 {
		items = []string{""}
	}
	for _, item := range items {
		switch name := strings.ToLower(strings.TrimSpace(item)); name {
		case "tcp", "6":
			out = append(out, TCP)
		case "udp", "17":
			out = append(out, UDP)
		case "", "any", "*", "256", "beliebig", "tout":
			return nil, true
		default:
			name, _, _ = strings.Cut(name, ":") // "icmpv4:8,any"
			if _, err := strconv.ParseUint(name, 10, 8); err != nil && !slices.Contains(portless, name) {
				return nil, false
			}
		}
	}
	return out, true
}

func portsValue(v psValue) windowsPorts {
	if v.none() {
		return windowsPorts{}
	}
	return parsePorts(splitItems(v.items))
}

func addressesValue(v psValue) windowsAddresses {
	if v.none() {
		return windowsAddresses{}
	}
	return parseAddresses(splitItems(v.items))
}

// splitItems takes lists apart that a script has joined.
func splitItems(items []string) []string {
	return strings.FieldsFunc(strings.Join(items, ","), func(r rune) bool { return r == ',' || r == ' ' || r == ';' })
}
