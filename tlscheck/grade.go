package tlscheck

import (
	"cmp"
	"crypto/tls"
	"slices"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/tlswire"
)

// A grade sorts suites below the intermediate profile by what they cost; 0 is a good suite or
// an unknown one.
const (
	suiteDoubtful = iota + 1 // finite-field DHE, whose group the client cannot check; short tags
	suiteWeak                // no forward secrecy, CBC, RC4, 3DES, MD5
	suiteHopeless            // no encryption, no authentication, keys that can be searched
)

var suiteSeverity = [...]connsec.Severity{suiteDoubtful: connsec.Medium, suiteWeak: connsec.High, suiteHopeless: connsec.Critical}

// gradeOf grades a suite against Mozilla's intermediate profile.
func gradeOf(id uint16) int {
	if slices.Contains(profiles[Intermediate].suites, id) || slices.Contains(profiles[Intermediate].suites13, id) {
		return 0
	}
	s, known := tlswire.LookupSuite(id)
	switch w := s.Weakness; {
	case !known:
		return 0
	case w&(tlswire.NoEncryption|tlswire.Anonymous|tlswire.Export|tlswire.ShortKey) != 0:
		return suiteHopeless
	case w&(tlswire.RC4|tlswire.SmallBlock|tlswire.MD5|tlswire.NoForwardSecrecy|tlswire.CBC) != 0:
		return suiteWeak
	case w != 0:
		return suiteDoubtful
	}
	return 0 // ECDHE with another AEAD (CCM, ARIA-GCM): unusual, not weak
}

// weakness says what is wrong with a suite.
func weakness(id uint16) string {
	s, _ := tlswire.LookupSuite(id)
	return s.Weakness.String()
}

// suitesAtOneTime bounds an offer: some old servers choke on longer ones.
const suitesAtOneTime = 128

// weakSuites lists the graded TLS 1.2 suites that a server with an ordinary certificate, or
// without one, can negotiate, worst first. Suites for pre-shared keys, SRP and Kerberos need
// configuration of their own and are left out.
func weakSuites() []uint16 {
	var ids []uint16
	for _, id := range tlswire.Suites(tls.VersionTLS12) {
		s, _ := tlswire.LookupSuite(id)
		if gradeOf(id) > 0 && slices.Contains([]string{"RSA", "DHE", "ECDHE", "DH", "ECDH"}, s.KeyExchange) {
			ids = append(ids, id)
		}
	}
	slices.SortStableFunc(ids, func(a, b uint16) int { return cmp.Compare(gradeOf(b), gradeOf(a)) })
	return ids
}
