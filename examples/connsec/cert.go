package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/internal/disk"
	"github.com/connsec/connsec/tlscheck"
)

func certCommand() command {
	return command{
		name: "cert", args: "FILE…|DIR…", about: "judge certificate files – PFX, CER, CRT, PEM, DER, KEY – as a set; or make a key and a request with --request",
		shares: serverFlags | reportFlags,
		setup: func(fs *flag.FlagSet, shared *common) func(context.Context, *call) error {
			var hosts fileList
			fs.Var(&hosts, "name", "`FQDN` that clients use (with --request: repeatable)")
			passwordFile := fs.String("password-file", "", "`FILE` with the password of the PFX")
			live := fs.String("live", "", "`HOST[:PORT]` that should serve these files; --connect applies to it")
			request := fs.String("request", "", "write a new key and a request for it to `PREFIX`.key and PREFIX.csr")
			rsa := fs.Bool("rsa", false, "with --request: an RSA key, for software without elliptic curves")
			return func(ctx context.Context, c *call) error {
				if *request != "" {
					return newRequest(c, *request, *rsa, hosts)
				}
				switch {
				case len(c.args) == 0:
					return usagef("which files?")
				case len(hosts) > 1:
					return usagef("one --name at a time")
				}
				sets, err := fileSets(c.args)
				if err != nil {
					return err
				}
				var password connsec.Secret
				if *passwordFile != "" {
					if password, err = audit.ReadSecret(*passwordFile); err != nil {
						return err
					}
				}
				roots, known, crls, err := shared.trust(ctx)
				if err != nil {
					return err
				}
				var reports []connsec.Report
				for _, s := range sets {
					s.Name, s.Password, s.Strength = strings.Join(hosts, ""), password, audit.PasswordBits
					s.Roots, s.Known, s.CRLs, s.AsOf = roots, known, crls, shared.asOf.Time
					if *live != "" {
						host, port, err := hostPort(*live)
						if err != nil {
							return err
						}
						e := tlscheck.Endpoint{Host: host, Port: port, Connect: shared.connect}
						s.Live = func(ctx context.Context) (*x509.Certificate, error) { return e.Leaf(ctx) }
					}
					r, err := s.Probe(ctx)
					if err != nil {
						return err
					}
					reports = append(reports, r)
				}
				return c.finish(reports)
			}
		},
	}
}

// fileSets makes one set of each directory, and one of all files.
func fileSets(args []string) ([]tlscheck.FileSet, error) {
	var sets []tlscheck.FileSet
	var files []string
	for _, arg := range args {
		if info, err := os.Stat(arg); err != nil || !info.IsDir() {
			files = append(files, arg)
			continue
		}
		s, err := tlscheck.OpenDir(arg)
		if err != nil {
			return nil, err
		}
		sets = append(sets, s)
	}
	if len(files) > 0 {
		s, err := tlscheck.OpenFiles(files...)
		if err != nil {
			return nil, err
		}
		sets = append(sets, s)
	}
	return sets, nil
}

func newRequest(c *call, prefix string, rsa bool, names []string) error {
	algorithm := tlscheck.ECDSAP256
	if rsa {
		algorithm = tlscheck.RSA3072
	}
	r, err := tlscheck.NewRequest(algorithm, names...)
	if err != nil {
		return err
	}
	key, err := r.KeyPEM()
	if err != nil {
		return err
	}
	// Both or none: a key whose request is not there would be in the way the next time.
	if err := writeNew(prefix+".key", []byte(key.Reveal()), 0o600); err != nil {
		return err
	}
	if err := writeNew(prefix+".csr", r.PEM(), 0o644); err != nil {
		_ = os.Remove(prefix + ".key")
		return err
	}
	fmt.Fprintf(c.out, "%s.key\n%[1]s.csr\n", prefix)
	return nil
}

// writeNew never replaces a file: an overwritten key is a lost certificate.
func writeNew(name string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := disk.Fill(f, name, mode, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(name))
}
