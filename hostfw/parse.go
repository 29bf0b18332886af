package hostfw

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// Kinds of exports, as they stand in [Ruleset].Kind.
const (
	KindNFTables = "nftables"
	KindIPTables = "iptables"
	KindWindows  = "windows-json"
	KindNetsh    = "windows-netsh"
)

// Parse reads a rule set, and finds out by itself which of these it is:
//
//   - nftables: nft -j list ruleset
//   - iptables: iptables-save and ip6tables-save, also legacy; one after the other in one file,
//     or each in its own, brought together with [Combine]
//   - Windows: [WindowsExport], a PowerShell command that prints JSON
//   - Windows: netsh advfirewall firewall show rule name=all verbose, in English, French or
//     German, with "show allprofiles" in front
//
// The name is that of the file or host. It stands in errors and findings, and helps where an
// export of iptables does not say for which IP version it is ("rules.v6").
func Parse(name string, data []byte) (Ruleset, error) {
	if len(data) > mostExport {
		return Ruleset{}, fmt.Errorf("hostfw: %s: %d bytes are too many for a rule set (at most %d)", setting.OneLine(name), len(data), mostExport)
	}
	kind, program, err := parseAny(name, data)
	if err != nil {
		return Ruleset{}, fmt.Errorf("hostfw: %s: %s", setting.OneLine(name), strings.TrimPrefix(err.Error(), "hostfw: "))
	}
	if chain, is := program.circle(); is {
		return Ruleset{}, fmt.Errorf("hostfw: %s: the chain %q calls itself, which no kernel allows; is the export complete?", setting.OneLine(name), chain)
	}
	program.settle()
	return Ruleset{Target: name, Kind: kind, program: program}, nil
}

func parseAny(name string, data []byte) (kind string, p *program, err error) {
	switch start := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\ufeff")), " \t\r\n"); {
	case len(start) == 0:
		return "", nil, errors.New("the export is empty: the command failed, or was iptables-save on a host without its rules; export with nft -j list ruleset")
	case start[0] == '{' && bytes.Contains(start[:min(len(start), 64)], []byte(`"nftables"`)):
		p, err = parseNFT(start)
		return KindNFTables, p, err
	case looksLikeIPTables(start):
		v6 := strings.Contains(strings.ToLower(filepath.Base(name)), "v6") || strings.Contains(filepath.Base(name), "ip6tables")
		p, err = parseIPTables(start, v6 && !generatedBy(start))
		return KindIPTables, p, err
	}
	switch text, err := windowsText(data); {
	case err != nil:
		return "", nil, err
	case strings.HasPrefix(strings.TrimSpace(text), "{"), strings.HasPrefix(strings.TrimSpace(text), "["):
		p, err = parseWindowsJSON(data)
		return KindWindows, p, err
	case languageOf(text) != nil:
		p, err = parseNetsh(data)
		return KindNetsh, p, err
	}
	return "", nil, errors.New("this is no rule set of a known kind; known are nft -j list ruleset, iptables-save, and the two exports of Windows")
}

// looksLikeIPTables reports whether the first line that is no comment begins a table.
func looksLikeIPTables(data []byte) bool {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return line[0] == '*'
		}
	}
	return generatedBy(data) // comments only: iptables-save of a host that never had a rule
}

// Combine is one host's rule set that was exported in parts, each of which a packet has to pass:
// iptables for IPv4 and for IPv6, or nftables beside iptables-legacy. What nft shows of rules that
// iptables-nft made, without being able to show all of it, gives way to the export of iptables,
// unless that one says that it is of iptables-legacy: then both are in force.
//
// The parts keep the order of nftables within one hook and priority.
func Combine(target string, parts ...Ruleset) (Ruleset, error) {
	if len(parts) == 1 {
		return Ruleset{Target: target, Kind: parts[0].Kind, program: parts[0].program}, nil
	}
	out := Ruleset{Target: target, program: &program{}}
	var has4, has6 bool
	for _, p := range parts {
		switch p.Kind {
		case KindNFTables, KindIPTables:
		case "":
			return Ruleset{}, errors.New("hostfw: there is no rule set to combine")
		default:
			return Ruleset{}, fmt.Errorf("hostfw: %s: an export of %s is complete and cannot be combined with others", setting.OneLine(p.Target), p.Kind)
		}
		if p.Kind == KindIPTables && !p.program.legacy {
			has4, has6 = has4 || p.program.notCovered4 == "", has6 || p.program.notCovered6 == ""
		}
	}
	all := out.program
	for i, p := range parts {
		if !strings.Contains(out.Kind, p.Kind) {
			out.Kind = strings.TrimPrefix(out.Kind+"+"+p.Kind, "+")
		}
		if i == 0 {
			all.notCovered4, all.notCovered6 = p.program.notCovered4, p.program.notCovered6
		}
		if p.program.notCovered4 == "" {
			all.notCovered4 = ""
		}
		if p.program.notCovered6 == "" {
			all.notCovered6 = ""
		}
		for _, s := range p.program.stages {
			if s.compat && (s.only4 && has4 || s.only6 && has6) {
				continue
			}
			all.stages = append(all.stages, s)
		}
	}
	if len(parts) == 0 {
		return Ruleset{}, errors.New("hostfw: there is no rule set to combine")
	}
	orderStages(all.stages)
	all.stages = slices.Clip(all.stages)
	return out, nil
}
