package setting

import (
	"fmt"
	"slices"
	"strings"
)

// Enum is the names of an enumeration whose values count from 0: how it prints, and how it
// stands in JSON, YAML and flags.
type Enum[E ~uint8] struct {
	Package string   // in front of errors: "ldapsec"
	Kind    string   // what it is an enumeration of: "bind method"
	Names   []string // by value
}

// Name returns the name of a value, or "kind(7)".
func (e Enum[E]) Name(v E) string {
	if int(v) < len(e.Names) {
		return e.Names[v]
	}
	return fmt.Sprintf("%s(%d)", e.Kind, uint8(v))
}

// Encode is MarshalText: it refuses a value without a name.
func (e Enum[E]) Encode(v E) ([]byte, error) {
	if int(v) >= len(e.Names) {
		return nil, fmt.Errorf("%s: cannot encode invalid %s", e.Package, e.Name(v))
	}
	return []byte(e.Names[v]), nil
}

// Decode is UnmarshalText: it takes exactly the names.
func (e Enum[E]) Decode(text []byte, into *E) error {
	i := slices.Index(e.Names, string(text))
	if i < 0 {
		return fmt.Errorf("%s: unknown %s %q (one of %s)", e.Package, e.Kind, OneLine(string(text)), strings.Join(slices.DeleteFunc(slices.Clone(e.Names), func(n string) bool { return n == "" }), ", "))
	}
	*into = E(i)
	return nil
}
