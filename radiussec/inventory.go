package radiussec

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/internal/strength"
)

// Inventory is what a RADIUS server knows of its clients, or a proxy of its servers too. It is
// read by [ReadClients] and [ReadNPS], or made by a program.
type Inventory struct {
	Target  string        // what the report is about: a file's name
	Clients []ClientEntry // in the order of the file
	// Context are words that an attacker would try first, as in [Config.Context].
	Context []string
	// Others are secrets configured elsewhere, by what they are for, to find reuse.
	Others map[string]connsec.Secret
	// Problems are parts of the files that could not be read, as sentences. A report over
	// the rest would be a half-truth without them.
	Problems []Problem
}

// Problem is something that was not understood, and where.
type Problem struct {
	Text   string           `json:"text"`
	Source connsec.Position `json:"source"`
}

// Role is which end of the connection an entry describes.
type Role uint8

const (
	// RoleClient is one that may ask this server.
	RoleClient Role = iota
	// RoleServer is a server that this one asks as a proxy (FreeRADIUS: home_server).
	RoleServer
)

// Demand is whether something is required of a client, as the file says.
type Demand string

// The demands. Auto is FreeRADIUS's: the client's first packet decides.
const (
	Unset Demand = ""
	Yes   Demand = "yes"
	No    Demand = "no"
	Auto  Demand = "auto"
)

// ClientEntry is one entry of an inventory.
type ClientEntry struct {
	Name    string
	Role    Role
	Address string // as written: an address, a network, a name
	Secret  connsec.Secret
	// Unresolved says why Secret is not known, such as a reference to the environment.
	Unresolved string
	Transport  Transport
	Disabled   bool
	// MessageAuthenticator and ProxyState are what is demanded of its requests: that they
	// carry the one, and that they do not carry the other without the one.
	MessageAuthenticator, ProxyState Demand
	// Quoted is set if the file puts the secret in quotes.
	Quoted bool
	Source connsec.Position
}

func (c ClientEntry) String() string {
	who := setting.OneLine(c.Name)
	if c.Address != "" && c.Address != c.Name {
		who += " (" + setting.OneLine(c.Address) + ")"
	}
	return who
}

// network returns the addresses that the entry is for. ok is false if Address is a name.
func (c ClientEntry) network() (p netip.Prefix, ok bool) {
	s := strings.TrimSpace(c.Address)
	if s == "*" {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if a.IsUnspecified() { // FreeRADIUS: 0.0.0.0 and :: stand for everybody
			return netip.PrefixFrom(a, 0), true
		}
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil
}

// maxEach is how many failures of one rule are listed; the rest are counted in one finding.
const maxEach = 1000

// Validate judges every entry. Where an entry does not fail it adds no finding of its own: per
// rule there is one that says how many passed, so that a report over 100,000 clients stays
// readable. At most 1000 failures of a rule are listed, and the rest counted.
//
// Equal secrets are found by a fingerprint under a key that is made for this call and
// forgotten; no fingerprint is shown.
func (inv Inventory) Validate() connsec.Report {
	report := connsec.Report{Target: inv.Target}
	words := strength.Words(inv.Context)
	entries := inv.compare(words)
	results := make([][]connsec.Finding, len(entries))
	judgeAll(len(entries), func(i int) {
		findings := connsec.Run(entries[i].String(), entries[i], clientChecks)
		// Passes are counted by the caller from what is left out here.
		kept := findings[:0]
		for _, f := range findings {
			if f.Outcome != connsec.Pass {
				if entries[i].Source != (connsec.Position{}) {
					f.Source = &entries[i].Source
				}
				kept = append(kept, f)
			}
		}
		results[i] = slices.Clip(slices.Clone(kept))
	})
	for _, check := range clientChecks {
		report.Findings = append(report.Findings, gather(inv.Target, check.Rule, results)...)
	}
	for _, p := range inv.Problems {
		source := p.Source
		report.Findings = append(report.Findings, connsec.Finding{
			Rule: RuleSecretMissing, Severity: RuleSecretMissing.Severity, Outcome: connsec.Inconclusive,
			Subject: inv.Target, Detail: p.Text, Source: &source,
		})
	}
	return report
}

// gather makes the findings of one rule from what the entries gave.
func gather(target string, rule *connsec.Rule, results [][]connsec.Finding) []connsec.Finding {
	var out []connsec.Finding
	var passed, skipped, overFailed, overUnknown int
	worst := connsec.Info
	for _, findings := range results {
		i := slices.IndexFunc(findings, func(f connsec.Finding) bool { return f.Rule == rule })
		switch {
		case i < 0:
			passed++
		case findings[i].Outcome == connsec.NotApplicable:
			skipped++
		case len(out) < maxEach:
			out = append(out, findings[i])
		case findings[i].Outcome == connsec.Fail:
			overFailed++
			worst = max(worst, findings[i].Severity)
		default:
			overUnknown++
		}
	}
	total := func(o connsec.Outcome, s connsec.Severity, format string, args ...any) {
		out = append(out, connsec.Finding{Rule: rule, Severity: s, Outcome: o, Subject: target, Detail: fmt.Sprintf(format, args...)})
	}
	if overFailed > 0 {
		total(connsec.Fail, worst, "%d more entries, not listed one by one", overFailed)
	}
	if overUnknown > 0 {
		total(connsec.Inconclusive, rule.Severity, "%d more entries, not listed one by one", overUnknown)
	}
	if passed > 0 {
		total(connsec.Pass, rule.Severity, "%d of %d entries", passed, len(results))
	} else if len(out) == 0 {
		total(connsec.NotApplicable, rule.Severity, "%d entries, for none of which the question arises", skipped)
	}
	return out
}

// entry is a client with what is only known from all of them.
type entry struct {
	*ClientEntry
	strength strength.Estimate
	same     []string // others with the same secret, the first few
	sameMore int
	other    string // what Others has the same secret for
}

// compare finds equal secrets, and estimates each distinct one once.
func (inv Inventory) compare(words []string) []entry {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		panic("radiussec: no randomness") // crypto/rand does the same
	}
	type fingerprint [16]byte
	type group struct {
		members  []int32
		other    string
		secret   string
		strength strength.Estimate
	}
	groups := make(map[fingerprint]*group, len(inv.Clients))
	var order []*group
	find := func(secret string) *group {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(secret))
		id := fingerprint(mac.Sum(nil)[:16])
		g := groups[id]
		if g == nil {
			g = &group{secret: secret}
			groups[id] = g
			order = append(order, g)
		}
		return g
	}
	entries := make([]entry, len(inv.Clients))
	of := make([]*group, len(inv.Clients))
	for i := range inv.Clients {
		c := &inv.Clients[i]
		entries[i].ClientEntry = c
		if !c.Secret.IsEmpty() && c.Transport != TLS {
			of[i] = find(c.Secret.Reveal())
			of[i].members = append(of[i].members, int32(i))
		}
	}
	distinct := order[:len(order):len(order)]
	for _, purpose := range sortedKeys(inv.Others) {
		if s := inv.Others[purpose]; !s.IsEmpty() {
			if g := find(s.Reveal()); g.other == "" {
				g.other = setting.OneLine(purpose)
			}
		}
	}
	judgeAll(len(distinct), func(i int) { distinct[i].strength = strength.Of(distinct[i].secret, words) })
	const shown = 3
	for i, g := range of {
		if g == nil {
			continue
		}
		entries[i].strength, entries[i].other = g.strength, g.other
		for _, m := range g.members[:min(len(g.members), shown+1)] {
			if int(m) != i && len(entries[i].same) < shown && !inv.Clients[m].pair(inv.Clients[i]) {
				entries[i].same = append(entries[i].same, inv.Clients[m].String())
			}
		}
		if len(entries[i].same) > 0 {
			entries[i].sameMore = max(0, len(g.members)-1-len(entries[i].same))
		}
	}
	return entries
}

// pair reports whether two entries are the same peer, such as one listed for IPv4 and again
// for another virtual server.
func (c ClientEntry) pair(o ClientEntry) bool {
	return c.Address != "" && c.Address == o.Address && c.Role == o.Role
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// judgeAll calls f for 0 to n-1, on all processors.
func judgeAll(n int, f func(int)) {
	const batch = 64
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n/batch+1) {
		wg.Go(func() {
			for {
				from := int(next.Add(batch)) - batch
				if from >= n {
					return
				}
				for i := from; i < min(from+batch, n); i++ {
					f(i)
				}
			}
		})
	}
	wg.Wait()
}

// Probe is [Inventory.Validate]; there is nothing to connect to. It lets an inventory stand
// where a [Config] does.
func (inv Inventory) Probe(context.Context) (connsec.Report, error) { return inv.Validate(), nil }
