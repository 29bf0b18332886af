package audit

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

// Certificates is an item of the section certificates: the files from which a server loads
// its certificate, as a directory or one by one.
type Certificates struct {
	Dir          string `yaml:"dir"`           // with server.pfx, server.cer and server.key
	PFX          string `yaml:"pfx"`           // PKCS #12 with key and chain
	CER          string `yaml:"cer"`           // certificates, leaf first
	KEY          string `yaml:"key"`           // private key
	PasswordFile string `yaml:"password_file"` // of the PFX
	Name         string `yaml:"name"`          // DNS name that clients use
	// Live is the endpoint that serves these files: its certificate has to be the same.
	Live *HTTPS `yaml:"live"`

	Source connsec.Position `yaml:"-"` // where the item stands
}

func (c Certificates) check(d *Deployment, env *environment) (check, error) {
	files := tlscheck.FileSet{PFX: d.path(c.PFX), CER: d.path(c.CER), KEY: d.path(c.KEY)}
	switch {
	case c.Dir != "" && (c.PFX != "" || c.CER != "" || c.KEY != ""):
		return check{}, errors.New("give either dir, or pfx, cer and key")
	case c.Dir != "":
		var err error
		if files, err = tlscheck.OpenDir(d.path(c.Dir)); err != nil {
			return check{}, err
		}
	case c.PFX == "" && c.CER == "" && c.KEY == "":
		return check{}, errors.New("give dir, or pfx, cer and key")
	}
	if c.PasswordFile != "" {
		var err error
		if files.Password, err = ReadSecret(d.path(c.PasswordFile)); err != nil {
			return check{}, err
		}
	}
	files.Name, files.Strength = c.Name, PasswordBits
	files.Roots, files.Known, files.CRLs, files.AsOf, files.Now = env.roots, env.known, env.crls, env.asOf, env.Now
	if c.Live != nil {
		if c.Live.Host == "" {
			return check{}, errNoHost
		}
		live := tlscheck.Endpoint{Host: c.Live.Host, Port: c.Live.Port, Connect: c.Live.Connect, Dialer: env.Dialer, Resolver: env.Resolver}
		files.Live = func(ctx context.Context) (*x509.Certificate, error) { return live.Leaf(ctx) }
	}
	return check{subject: subjectOf(files), source: c.Source, root: tlscheck.RuleFilesUnreadable, run: files.Probe}, nil
}

func subjectOf(s tlscheck.FileSet) string {
	for _, name := range []string{s.Subject, s.PFX, s.CER, s.KEY} {
		if name != "" {
			return name
		}
	}
	return "certificate files"
}

// PasswordBits estimates how many bits of guessing a password resists: the logarithm of
// zxcvbn's guess count. Passwords are judged by their first 64 characters, because the
// estimate takes time that grows with the square of the length. It is what
// [tlscheck.FileSet.Strength] wants.
func PasswordBits(password string) float64 {
	const most = 64
	if r := []rune(password); len(r) > most {
		password = string(r[:most])
	}
	return zxcvbn.PasswordStrength(password, nil).Entropy
}
