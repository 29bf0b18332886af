package trap

import (
	"fmt"

	"github.com/connsec/connsec/internal/setting"
)

// postures are the ways in which one kind of trap behaves, by name: the honest one first, as its
// value is zero. What is exported of them for each kind is derived from this.
type postures[P ~uint8] struct{ setting.Enum[P] }

func posturesOf[P ~uint8](protocol string, names ...string) postures[P] {
	return postures[P]{setting.Enum[P]{Package: "trap", Kind: protocol + " posture", Names: names}}
}

func (t postures[P]) all() []P {
	out := make([]P, len(t.Names))
	for i := range out {
		out[i] = P(i)
	}
	return out
}

func (t postures[P]) parse(name string) (p P, err error) {
	err = t.Decode([]byte(name), &p)
	return p, err
}

// check says that there is no such posture.
func (t postures[P]) check(p P) error {
	if int(p) >= len(t.Names) {
		return fmt.Errorf("trap: unknown %s", t.Name(p))
	}
	return nil
}

// identity makes the certificate that the posture asks for.
func (t postures[P]) identity(o Options, p P) (identity, error) {
	if err := t.check(p); err != nil {
		return identity{}, err
	}
	return newIdentity(o, flaws[t.Names[p]])
}

// flaws are what is wrong with the certificate in postures of these names, which mean the same in
// every trap. In all others the certificate is sound.
var flaws = map[string]flaw{
	"expired": flawExpired, "not-yet-valid": flawNotYetValid, "wrong-name": flawWrongName,
	"common-name-only": flawCommonNameOnly, "common-name": flawCommonNameOnly,
	"self-signed": flawSelfSigned, "untrusted": flawUntrusted, "no-intermediate": flawNoIntermediate, "client-only": flawClientOnly,
	"wildcard": flawWildcard, "partial-wildcard": flawPartialWildcard, "sha1": flawSHA1, "rc4-only": flawRSA,
}
