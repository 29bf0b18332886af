package bench

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

// BenchmarkLDAP looks at one slapd over both ports. nmap reads the root DSE and the
// certificate; ldapsearch only the root DSE, over LDAPS: neither asks what is enforced.
func BenchmarkLDAP(b *testing.B) {
	program := connsec(b)
	ca := testca.MustNew(b)
	dir := b.TempDir()
	files := ca.MustIssue(b, testca.Leaf{Names: []string{host}}).MustWriteFiles(b, dir, "server")
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, ca.PEM(), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Setenv("LDAPTLS_CACERT", root)
	b.Setenv("LDAPTLS_REQCERT", "allow") // ldapsearch connects by address here
	near := realsrv.Slapd{TLS: realsrv.Material(files)}.Start(b)
	for _, at := range []struct{ name, plain, secure string }{
		{"loopback", near.LDAP, near.LDAPS},
		{"50ms", distant(b, near.LDAP, 50*time.Millisecond), distant(b, near.LDAPS, 50*time.Millisecond)},
	} {
		ip, plain, _ := net.SplitHostPort(at.plain)
		_, secure, _ := net.SplitHostPort(at.secure)
		b.Run(at.name, func(b *testing.B) {
			for _, p := range []peer{
				{"connsec", program, []string{"ldap", "--connect", at.secure, "--other-port", plain, "--ca", root, "ldaps://" + host}},
				{"ldapsearch", "ldapsearch", []string{"-x", "-H", "ldaps://" + at.secure, "-s", "base", "-b", "", "+"}},
				{"nmap", "nmap", []string{"-Pn", "-n", "-p", plain + "," + secure, "--script", "+ldap-rootdse,+ssl-cert", ip}},
			} {
				p.bench(b)
			}
		})
	}
}
