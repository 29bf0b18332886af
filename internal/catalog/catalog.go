// Package catalog gathers the rules of all packages, for the documentation and for the tests
// that hold every rule to the same form. It is internal because it imports everything; a
// program that needs rules takes the Rules() of the packages that it uses.
package catalog

//go:generate go run ./gen -out ../../docs/rules.md

import (
	"slices"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/circlehttps"
	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/radiussec"
	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/smtpsec"
	"github.com/connsec/connsec/sqlsec"
	"github.com/connsec/connsec/tlscheck"
)

// Package is one package that has rules.
type Package struct {
	Name  string // the directory below the module's root
	About string // what its rules judge, as a heading
	Rules []*connsec.Rule
}

// Packages returns the packages that have rules. A new one adds its line here.
func Packages() []Package {
	return []Package{
		{"tlscheck", "TLS, certificates and host names", tlscheck.Rules()},
		{"ldapsec", "LDAP and Active Directory", ldapsec.Rules()},
		{"sqlsec", "Microsoft SQL Server", sqlsec.Rules()},
		{"smtpsec", "SMTP submission and relay", smtpsec.Rules()},
		{"radiussec", "RADIUS", radiussec.Rules()},
		{"apisec", "REST API client secrets", apisec.Rules()},
		{"securl", "password columns and protected sites", securl.Rules()},
		{"circlehttps", "XMPie Circle sites", circlehttps.Rules()},
		{"hostfw", "Host firewalls", hostfw.Rules()},
	}
}

// Retired are the IDs of rules that existed in a release and were withdrawn, with the version
// that withdrew them. An ID on this list is never used again: reports, waivers and dashboards
// out there still mean the old rule by it.
var Retired = map[string]string{}

// All returns the rules of all packages, ordered by package and then as the package orders them.
func All() []*connsec.Rule {
	var all []*connsec.Rule
	for _, p := range Packages() {
		all = slices.Concat(all, p.Rules)
	}
	return all
}
