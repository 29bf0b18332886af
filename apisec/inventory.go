package apisec

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/setting"
)

// Inventory is a list of clients, such as all that one product has, or all that one server
// knows. Beside what [Client.Validate] says of each it finds secrets that two of them share.
type Inventory struct {
	Target  string   // what the report is about. Empty: "REST API clients"
	Clients []Client // in the order of the report
	// Others are secrets configured elsewhere, by what they are for, to find reuse.
	Others map[string]connsec.Secret
	// AsOf is the day of judgement for clients that have none of their own. Zero: theirs.
	AsOf time.Time
}

// Validate judges every client. Secrets are compared by a keyed hash with a key that is made
// for the call and forgotten with it; no list of them in clear comes about.
func (inv Inventory) Validate() connsec.Report {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	digest := func(s connsec.Secret) (sum [sha256.Size]byte) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(s.Reveal()))
		mac.Sum(sum[:0])
		return sum
	}
	holders := map[[sha256.Size]byte][]int{} // a negative number is the complement of an index of purposes
	sums := make([][sha256.Size]byte, len(inv.Clients))
	for i, c := range inv.Clients {
		if !c.Secret.IsEmpty() {
			sums[i] = digest(c.Secret)
			holders[sums[i]] = append(holders[sums[i]], i)
		}
	}
	purposes := slices.Sorted(maps.Keys(inv.Others))
	for i, purpose := range purposes {
		if s := inv.Others[purpose]; !s.IsEmpty() {
			holders[digest(s)] = append(holders[digest(s)], ^i)
		}
	}
	r := connsec.Report{Target: inv.Target}
	if r.Target == "" {
		r.Target = "REST API clients"
	}
	for i, c := range inv.Clients {
		if c.AsOf.IsZero() {
			c.AsOf = inv.AsOf
		}
		j := newJudged(c)
		j.inventory = len(inv.Clients)+len(inv.Others) > 1
		if !c.Secret.IsEmpty() {
			for _, other := range holders[sums[i]] {
				switch {
				case other < 0:
					purpose := purposes[^other]
					if holdsSecret(purpose, c.Secret) {
						purpose = "another one"
					}
					j.same = append(j.same, setting.OneLine(purpose))
				case other != i:
					j.same = append(j.same, inv.Clients[other].subject())
				}
			}
		}
		r.Findings = append(r.Findings, connsec.Run(c.subject(), j, settingChecks)...)
	}
	return r
}
