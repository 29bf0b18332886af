package tlscheck

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/connsec/connsec"
)

//go:generate go run ./internal/mozilla -in ../../shared/data/mozilla-tls-guidelines-6.0.json -out profile_data.go

// Profile is one of Mozilla's server-side TLS configurations, version 6.0. The zero value is
// the strictest.
type Profile uint8

const (
	// Modern is TLS 1.3 only.
	Modern Profile = iota
	// Intermediate adds TLS 1.2 with forward secret AEAD suites, for clients from 2014 on.
	Intermediate
)

type profile struct {
	minVersion uint16
	suites     []uint16 // TLS 1.2; crypto/tls does not let TLS 1.3 suites be chosen, and has only good ones
	suites13   []uint16
	groups     []tls.CurveID
	hstsMinAge int // seconds
}

// String returns Mozilla's name of the profile.
func (p Profile) String() string {
	switch p {
	case Modern:
		return "modern"
	case Intermediate:
		return "intermediate"
	}
	return fmt.Sprintf("profile(%d)", uint8(p))
}

// MarshalText writes the name.
func (p Profile) MarshalText() ([]byte, error) {
	if int(p) >= len(profiles) {
		return nil, fmt.Errorf("tlscheck: no such profile: %d", uint8(p))
	}
	return []byte(p.String()), nil
}

// UnmarshalText accepts the names.
func (p *Profile) UnmarshalText(text []byte) error {
	switch string(text) {
	case "modern":
		*p = Modern
	case "intermediate":
		*p = Intermediate
	default:
		return errors.New("tlscheck: the profile is modern or intermediate")
	}
	return nil
}

func (p Profile) config() (*tls.Config, error) {
	if int(p) >= len(profiles) {
		return nil, fmt.Errorf("tlscheck: no such profile: %d", uint8(p))
	}
	d := profiles[p]
	return &tls.Config{
		MinVersion:       d.minVersion,
		CipherSuites:     append([]uint16(nil), d.suites...),
		CurvePreferences: append([]tls.CurveID(nil), d.groups...),
	}, nil
}

// ClientConfig returns the configuration of a client that talks to name and nobody else: the
// chain is verified against roots (nil: the system's), the name against the certificate, and
// versions, suites and groups below the profile are refused. The name must be fully
// qualified; the error says which name rule it breaks. A trailing dot is dropped, an
// internationalised name is converted.
func ClientConfig(p Profile, name string, roots *x509.CertPool) (*tls.Config, error) {
	fqdn, err := ParseFQDN(name)
	if err != nil {
		return nil, err
	}
	cfg, err := p.config()
	if err != nil {
		return nil, err
	}
	cfg.ServerName = fqdn.String()
	cfg.RootCAs = roots
	return cfg, nil
}

// ServerConfig returns the configuration of a server with the given certificates. It refuses
// certificates that no client should accept: without key or SAN, with a weak key or a weak
// signature. The chain is not verified against roots, because servers do not know their
// clients' roots; probe the running server for that.
func ServerConfig(p Profile, certs ...tls.Certificate) (*tls.Config, error) {
	if len(certs) == 0 {
		return nil, errors.New("tlscheck: a TLS server needs at least one certificate")
	}
	for i, c := range certs {
		if len(c.Certificate) == 0 || c.PrivateKey == nil {
			return nil, fmt.Errorf("tlscheck: certificate %d has no chain or no private key", i)
		}
		var chain Certificates
		for _, der := range c.Certificate {
			parsed, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("tlscheck: certificate %d: %w", i, err)
			}
			chain = append(chain, parsed)
		}
		o := ChainObservation{Subject: fmt.Sprintf("certificate %d", i), Certs: chain}
		r := connsec.Report{Target: o.Subject, Findings: connsec.Run(o.Subject, o, ownCertChecks)}
		if err := r.Err(connsec.High); err != nil {
			return nil, err
		}
	}
	cfg, err := p.config()
	if err != nil {
		return nil, err
	}
	cfg.Certificates = append([]tls.Certificate(nil), certs...)
	return cfg, nil
}

// ownCertChecks need neither a client's roots nor its clock.
var ownCertChecks = []connsec.Check[ChainObservation]{
	{Rule: RuleNoSAN, Judge: onLeaf(judgeNoSAN)},
	{Rule: RuleWeakKey, Judge: onLeaf(judgeWeakKey)},
	{Rule: RuleWeakSignature, Judge: onLeaf(judgeWeakSignature)},
	{Rule: RuleEKUServerAuth, Judge: onLeaf(judgeEKUServerAuth)},
}
