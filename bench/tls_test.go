package bench

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

const host = "central.corp.internal"

// connsec builds the CLI once per benchmark.
func connsec(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "connsec")
	if out, err := exec.Command("go", "build", "-o", program, "../examples/connsec").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return program
}

// peer is one program with its arguments. It may exit with a status that means findings.
type peer struct {
	name    string
	program string // looked up with realsrv.Need unless it is a path
	args    []string
}

func (p peer) bench(b *testing.B) {
	b.Run(p.name, func(b *testing.B) {
		program := p.program
		if !filepath.IsAbs(program) {
			program = realsrv.Need(b, program)
		}
		for b.Loop() {
			cmd := exec.Command(program, p.args...)
			if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkTLS looks at one nginx: versions, weak suites, group and certificate. The peers do
// not do quite the same: sslscan lists every suite and group, nmap every suite and the
// certificate, s_client makes one handshake and judges the chain only.
func BenchmarkTLS(b *testing.B) {
	program := connsec(b)
	ca := testca.MustNew(b)
	dir := b.TempDir()
	files := ca.MustIssue(b, testca.Leaf{Names: []string{host}}).MustWriteFiles(b, dir, "server")
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, ca.PEM(), 0o600); err != nil {
		b.Fatal(err)
	}
	near := realsrv.Nginx{TLS: realsrv.Material(files)}.Start(b).HTTPS
	for _, at := range []struct{ name, addr string }{{"loopback", near}, {"50ms", distant(b, near, 50*time.Millisecond)}} {
		ip, port, _ := net.SplitHostPort(at.addr)
		b.Run(at.name, func(b *testing.B) {
			for _, p := range []peer{
				{"connsec", program, []string{"tls", "--connect", at.addr, "--ca", root, host}},
				{"s_client", "openssl", []string{"s_client", "-connect", at.addr, "-servername", host, "-CAfile", root, "-verify_return_error"}},
				{"sslscan", "sslscan", []string{"--no-colour", at.addr}},
				{"nmap", "nmap", []string{"-Pn", "-n", "-p", port, "--script", "+ssl-enum-ciphers,+ssl-cert", ip}},
			} {
				p.bench(b)
			}
		})
	}
}
