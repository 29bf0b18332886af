package ldapsec_test

import (
	"context"
	"testing"

	"github.com/connsec/connsec/trap"
)

// BenchmarkProbe is one server on loopback, all questions.
func BenchmarkProbe(b *testing.B) {
	for _, p := range []trap.LDAPPosture{trap.LDAP389, trap.LDAPControllerOpen} {
		b.Run(p.String(), func(b *testing.B) {
			_, c := spring(b, p)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Probe(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkJudge(b *testing.B) {
	_, c := spring(b, trap.LDAPControllerOpen)
	o, err := c.Observe(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		o.Judge()
	}
}

func BenchmarkDial(b *testing.B) {
	_, c := spring(b, trap.LDAPHonest)
	b.ReportAllocs()
	for b.Loop() {
		conn, err := c.Dial(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		_ = conn.Close()
	}
}
