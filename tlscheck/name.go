package tlscheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/connsec/connsec"
	"golang.org/x/net/idna"
)

// FQDN is a fully qualified DNS host name that [ParseFQDN] has accepted. Values compare with
// ==. The zero value is no name at all.
type FQDN struct {
	ascii string // lower-case A-labels, no trailing dot
}

// ParseFQDN reads the name of a host, as an administrator types it into a settings page. It
// accepts exactly the texts in which [CheckName] finds nothing of [connsec.Medium] or above.
// One trailing dot is dropped, upper case folded, and Unicode converted to A-labels
// (UTS #46, non-transitional), so that the result fits DNS, SNI, certificates and SPNs alike.
//
// The error unwraps to the rules that failed, so errors.Is(err, RuleIPLiteral) works.
func ParseFQDN(s string) (FQDN, error) {
	n := readName(s)
	if err := n.report().Err(connsec.Medium); err != nil {
		return FQDN{}, err
	}
	return FQDN{n.ascii}, nil
}

// CheckName applies all name-* rules to a text that stands where a host name belongs. It is
// pure and takes microseconds: fit for every keystroke.
//
// The subject of the findings is the text made fit for display: cleaned of control
// characters, cut to a sane length, and without what stands before an @, because that could
// be a password.
//
// It does not look the name up, and does not know which top-level domains exist. Of look-alike
// names it finds those that mix scripts within a label, not those written wholly in another
// script.
func CheckName(s string) connsec.Report { return readName(s).report() }

// JudgeName is [CheckName] as one verdict, for a rule of another package about a name of its own:
// it fails with the worst of the name rules that [ParseFQDN] refuses a name for, and lists their
// IDs as evidence.
func JudgeName(s string) connsec.Verdict {
	failed := CheckName(s).Failed(connsec.Medium)
	if len(failed) == 0 {
		return connsec.Passed("a fully qualified name")
	}
	worst := slices.MaxFunc(failed, func(a, b connsec.Finding) int { return int(a.Severity) - int(b.Severity) })
	ids := make([]string, len(failed))
	for i, f := range failed {
		ids[i] = f.Rule.ID
	}
	return connsec.Failed("%s", worst.Detail).As(worst.Severity).With("rules", strings.Join(ids, " "))
}

// String returns lower-case A-labels without a trailing dot, as they stand in a certificate.
func (f FQDN) String() string { return f.ascii }

// Unicode returns the name for people to read. It is only for display: two names that look
// the same may differ.
func (f FQDN) Unicode() string {
	u, err := idna.Display.ToUnicode(f.ascii)
	if err != nil {
		return f.ascii
	}
	return u
}

// IsZero reports whether this is the zero value, which is no name.
func (f FQDN) IsZero() bool { return f.ascii == "" }

// MarshalText writes what String returns.
func (f FQDN) MarshalText() ([]byte, error) { return []byte(f.ascii), nil }

// UnmarshalText reads a name as [ParseFQDN] does. The empty text gives the zero value, so that
// an optional name survives the way there and back.
func (f *FQDN) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*f = FQDN{}
		return nil
	}
	v, err := ParseFQDN(string(text))
	if err != nil {
		return fmt.Errorf("tlscheck: not a fully qualified host name: %w", err)
	}
	*f = v
	return nil
}
