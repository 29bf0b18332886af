package smtpsec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/connsec/connsec/internal/setting"
)

// STSPolicy is an MTA-STS policy (RFC 8461, 3.2).
type STSPolicy struct {
	Mode   string   `json:"mode"` // enforce, testing or none
	MaxAge int64    `json:"max_age"`
	MX     []string `json:"mx,omitempty"` // names; a leading "*." stands for one label
}

const (
	// maxPolicy is the size up to which RFC 8461, 3.3 suggests to read.
	maxPolicy = 64 << 10
	maxMX     = 256
	// maxMaxAge is the most that RFC 8461, 3.2 lets a policy last: about a year.
	maxMaxAge = 31_557_600
)

// ParseSTSPolicy reads the text of a policy. Unknown fields are skipped, as RFC 8461 has it;
// everything else has to be right.
func ParseSTSPolicy(text string) (STSPolicy, error) {
	var p STSPolicy
	if len(text) > maxPolicy {
		return p, fmt.Errorf("the policy has more than %d bytes", maxPolicy)
	}
	seen := map[string]bool{}
	age := ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.Trim(line, " \t\r")
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		key, value = strings.TrimRight(key, " \t"), strings.Trim(value, " \t")
		if !ok {
			return STSPolicy{}, fmt.Errorf("line %d of the policy is not key: value", i+1)
		}
		if first := !seen[key]; !first && key != "mx" {
			continue // RFC 8461, 3.2: of repeated fields the first counts
		}
		seen[key] = true
		switch key {
		case "version":
			if value != "STSv1" {
				return STSPolicy{}, errors.New("the policy's version is not STSv1")
			}
		case "mode":
			p.Mode = value
		case "max_age":
			age = value
		case "mx":
			if !isPattern(value) {
				return STSPolicy{}, fmt.Errorf("line %d of the policy has no host name", i+1)
			}
			if len(p.MX) >= maxMX {
				return STSPolicy{}, fmt.Errorf("the policy names more than %d hosts", maxMX)
			}
			p.MX = append(p.MX, strings.ToLower(strings.TrimSuffix(value, ".")))
		}
	}
	switch {
	case !seen["version"]:
		return STSPolicy{}, errors.New("the policy has no version")
	case !slices.Contains([]string{"enforce", "testing", "none"}, p.Mode):
		return STSPolicy{}, errors.New("the policy's mode is none of enforce, testing, none")
	case p.Mode != "none" && len(p.MX) == 0:
		return STSPolicy{}, errors.New("the policy names no host")
	}
	n, err := strconv.ParseInt(age, 10, 64)
	if err != nil || n < 0 || n > maxMaxAge || len(age) > 10 {
		return STSPolicy{}, fmt.Errorf("the policy's max_age is not a number from 0 to %d", maxMaxAge)
	}
	p.MaxAge = n
	return p, nil
}

func isPattern(s string) bool {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "*."), ".")
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	}) && !strings.Contains(s, "..") && s[0] != '.'
}

// Covers reports whether the policy permits a host (RFC 8461, 4.1): a wildcard stands for
// exactly one label.
func (p STSPolicy) Covers(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, mx := range p.MX {
		if mx == host {
			return true
		}
		if parent, ok := strings.CutPrefix(mx, "*."); ok {
			if first, rest, found := strings.Cut(host, "."); found && first != "" && rest == parent {
				return true
			}
		}
	}
	return false
}

// record finds the one TXT record of a kind, "STSv1" or "TLSRPTv1", and returns its fields.
// RFC 8461, 3.1 and RFC 8460, 3: other records are ignored, and of several none counts.
func record(txt []string, version string) (fields map[string]string, err error) {
	var found []string
	for _, t := range txt {
		// The version comes first and is followed by a semicolon, or by nothing.
		first, _, _ := strings.Cut(t, ";")
		if strings.TrimRight(first, " \t") == "v="+version {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return nil, nil
	case len(found) > 1:
		return nil, fmt.Errorf("there are %d records with v=%s, so none counts", len(found), version)
	case len(found[0]) > maxLine:
		return nil, errors.New("the record is too long")
	}
	fields = map[string]string{}
	for _, f := range strings.Split(found[0], ";") {
		f = strings.Trim(f, " \t")
		if f == "" {
			continue
		}
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, errors.New("the record has a field without a value")
		}
		if _, twice := fields[key]; !twice {
			fields[key] = value
		}
	}
	return fields, nil
}

// stsID is the policy's id in its TXT record: 1 to 32 letters and digits.
func stsID(txt []string) (id string, err error) {
	fields, err := record(txt, "STSv1")
	if fields == nil {
		return "", err
	}
	id = fields["id"]
	if id == "" || len(id) > 32 || strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) {
		return "", errors.New("the record's id is not 1 to 32 letters and digits")
	}
	return id, nil
}

// reportTo are the addresses for reports about TLS (RFC 8460, 3).
func reportTo(txt []string) ([]string, error) {
	fields, err := record(txt, "TLSRPTv1")
	if fields == nil {
		return nil, err
	}
	var out []string
	for _, u := range strings.Split(fields["rua"], ",") {
		u = strings.Trim(u, " \t")
		lower := strings.ToLower(u)
		if !strings.HasPrefix(lower, "mailto:") && !strings.HasPrefix(lower, "https://") || strings.HasSuffix(lower, ":") || strings.HasSuffix(lower, "//") {
			return nil, errors.New("the record's rua is neither a mailto: nor an https: address")
		}
		out = append(out, setting.OneLine(u))
	}
	return out, nil
}
