package smtpsec

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/connsec/connsec/internal/setting"
	"github.com/connsec/connsec/tlscheck"
	"github.com/miekg/dns"
)

// DNS is the resolver that is asked for what a mail domain publishes.
type DNS struct {
	// Server is "ADDR[:PORT]" of a recursive resolver. Empty: the first one of
	// /etc/resolv.conf; where there is no such file, it has to be given.
	Server string
	// Trusted says that this resolver validates DNSSEC and that nobody can tamper with the way
	// to it, as with one on this machine. Only then does its word that an answer is authentic
	// (the AD bit) count; otherwise everything about DANE is inconclusive.
	Trusted bool
}

// Lookup is the answer to one DNS question.
type Lookup struct {
	Name string `json:"name"`
	// Records are the answers in text; for TXT, the strings of one record joined.
	Records []string `json:"records,omitempty"`
	// Authentic is the resolver's word that DNSSEC validation succeeded.
	Authentic bool `json:"authentic,omitempty"`
	// Problem says why there is no answer. That a name or record does not exist is an answer.
	Problem string `json:"problem,omitempty"`
}

// TLSA is one record of RFC 6698, 2.1.
type TLSA struct {
	Usage    uint8  `json:"usage"`
	Selector uint8  `json:"selector"`
	Matching uint8  `json:"matching"`
	Data     string `json:"data"` // hex
}

// Policy is what a mail domain publishes about TLS for its incoming mail.
type Policy struct {
	Subject string    `json:"subject"`
	Domain  string    `json:"domain"`
	Host    string    `json:"host"`
	At      time.Time `json:"at"`
	// Problem says why nothing was asked.
	Problem string `json:"problem,omitempty"`
	// Trusted is [DNS.Trusted].
	Trusted bool `json:"resolver_trusted"`

	MX     Lookup `json:"mx_lookup"`
	STS    Lookup `json:"mta_sts_lookup"`
	Report Lookup `json:"tls_rpt_lookup"`
	TLSA   Lookup `json:"tlsa_lookup"`

	// STSText is the policy that was fetched; STSFailed says what was wrong with the way to it,
	// STSUnseen that it could not be tried.
	STSText   string `json:"mta_sts_policy,omitempty"`
	STSFailed string `json:"mta_sts_failed,omitempty"`
	STSUnseen string `json:"mta_sts_unseen,omitempty"`

	TLSARecords []TLSA `json:"tlsa,omitempty"`
	// Chains are those that the host shows behind STARTTLS, by address; Unseen are its addresses
	// that take connections, as far as is known, and showed none.
	Chains []tlscheck.Certificates `json:"chains,omitempty"`
	Unseen []netip.Addr            `json:"unseen,omitempty"`
}

func (c Config) policySubject() string {
	if c.Domain == "" {
		return setting.OneLine(hostOf(c.Host))
	}
	return setting.OneLine(hostOf(c.Domain))
}

// hold takes over the chains that were seen.
func (p *Policy) hold(l ClearLook) {
	for _, a := range l.Addresses {
		switch chain := chainAt(l.TLS, a.Address); {
		case len(chain) > 0:
			p.Chains = append(p.Chains, chain)
		case a.Problem.Kind != tlscheck.Refused: // senders go on to the next address
			p.Unseen = append(p.Unseen, a.Address.Addr())
		}
	}
}

// strayHost says that the domain's mail goes elsewhere, so that nothing which was seen is about it.
func (p Policy) strayHost() string {
	if p.MX.Problem != "" || len(p.MX.Records) == 0 || slices.Contains(p.MX.Records, strings.ToLower(p.Host)) {
		return ""
	}
	return p.Host + " is not among the mail servers of " + p.Domain + ", which are " + strings.Join(p.MX.Records, " ")
}

// lookPolicy asks DNS and fetches the MTA-STS policy.
func (c Config) lookPolicy(ctx context.Context, p *Policy) {
	p.At, p.Trusted = c.now(), c.DNS.Trusted
	domain, err := tlscheck.ParseFQDN(c.Domain)
	if err != nil {
		if p.Problem = "the mail domain is not a valid name"; c.Domain == "" {
			p.Problem = "no mail domain is given"
		}
		return
	}
	host, err := tlscheck.ParseFQDN(c.Host)
	if err != nil {
		p.Problem = "the host is not given by its fully qualified name"
		return
	}
	server, err := c.DNS.address()
	if err != nil {
		p.Problem = setting.OneLine(err.Error())
		return
	}
	p.Domain, p.Host = domain.String(), host.String()
	var wg sync.WaitGroup
	wg.Go(func() { p.MX, _ = lookup(ctx, server, p.Domain, dns.TypeMX) })
	wg.Go(func() { p.Report, _ = lookup(ctx, server, "_smtp._tls."+p.Domain, dns.TypeTXT) })
	wg.Go(func() {
		p.TLSA, p.TLSARecords = lookup(ctx, server, fmt.Sprintf("_%d._tcp.%s", c.clearPort(), p.Host), dns.TypeTLSA)
	})
	wg.Go(func() {
		p.STS, _ = lookup(ctx, server, "_mta-sts."+p.Domain, dns.TypeTXT)
		if id, err := stsID(p.STS.Records); err == nil && id != "" {
			c.fetchPolicy(ctx, p)
		}
	})
	wg.Wait()
}

// address is the resolver's, with its port.
func (d DNS) address() (string, error) {
	server, port := d.Server, "53"
	if server == "" {
		conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil || len(conf.Servers) == 0 {
			return "", errors.New("no DNS resolver is known; give the address of one")
		}
		server, port = conf.Servers[0], conf.Port
	}
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server, nil
	}
	return net.JoinHostPort(strings.Trim(server, "[]"), port), nil
}

const (
	dnsTimeout = 5 * time.Second
	maxRecords = 64
)

// lookup asks one question, by UDP and, if the answer does not fit, by TCP.
func lookup(ctx context.Context, server, name string, kind uint16) (Lookup, []TLSA) {
	l := Lookup{Name: name}
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	q.AuthenticatedData = true // RFC 6840, 5.7: asks the resolver to say whether it validated
	q.SetEdns0(1232, true)
	step, cancel := context.WithTimeout(ctx, 2*dnsTimeout)
	defer cancel()
	answer, _, err := (&dns.Client{Timeout: dnsTimeout}).ExchangeContext(step, q, server)
	if err == nil && answer.Truncated {
		answer, _, err = (&dns.Client{Net: "tcp", Timeout: dnsTimeout}).ExchangeContext(step, q, server)
	}
	switch {
	case err != nil:
		l.Problem = "DNS gives no answer: " + tlscheck.ProblemOf(err).Text
		return l, nil
	case len(answer.Question) != 1 || !strings.EqualFold(answer.Question[0].Name, q.Question[0].Name) || answer.Question[0].Qtype != kind:
		l.Problem = "DNS answers another question"
		return l, nil
	case answer.Rcode == dns.RcodeNameError:
	case answer.Rcode != dns.RcodeSuccess:
		// SERVFAIL is what a validating resolver says of forged or broken answers.
		l.Problem = "DNS answers " + dns.RcodeToString[answer.Rcode]
		return l, nil
	}
	l.Authentic = answer.AuthenticatedData
	var tlsa []TLSA
	for _, rr := range answer.Answer {
		if len(l.Records) >= maxRecords {
			break
		}
		switch rr := rr.(type) {
		case *dns.TXT:
			if kind == dns.TypeTXT {
				l.Records = append(l.Records, clipTXT(strings.Join(rr.Txt, "")))
			}
		case *dns.MX:
			if kind == dns.TypeMX {
				l.Records = append(l.Records, strings.ToLower(strings.TrimSuffix(rr.Mx, ".")))
			}
		case *dns.TLSA:
			if kind == dns.TypeTLSA {
				tlsa = append(tlsa, TLSA{rr.Usage, rr.Selector, rr.MatchingType, strings.ToLower(rr.Certificate)})
				l.Records = append(l.Records, setting.OneLine(fmt.Sprintf("%d %d %d %s", rr.Usage, rr.Selector, rr.MatchingType, rr.Certificate)))
			}
		}
	}
	return l, tlsa
}

func clipTXT(s string) string {
	if len(s) > maxLine+1 { // one more than what counts as too long
		s = s[:maxLine+1]
	}
	return strings.ToValidUTF8(s, "?")
}

// fetchPolicy fetches the policy over verified HTTPS: without redirects, from the host that
// the domain gives by its name (RFC 8461, 3.3).
func (c Config) fetchPolicy(ctx context.Context, p *Policy) {
	step, cancel := context.WithTimeout(ctx, time.Minute) // as RFC 8461, 3.3 suggests
	defer cancel()
	host := "mta-sts." + p.Domain
	e := tlscheck.Endpoint{Host: host, Roots: c.Roots, Dialer: c.Dialer, Resolver: c.Resolver, Now: c.Now}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
			DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx, tlscheck.Intermediate) },
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(step, http.MethodGet, "https://"+host+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		p.STSUnseen = "the policy has no address"
		return
	}
	res, err := client.Do(req)
	if err != nil {
		var bad *tls.CertificateVerificationError
		problem := tlscheck.ProblemOf(err)
		switch {
		case errors.As(err, &bad):
			p.STSFailed = setting.OneLine("the certificate of " + host + " is not accepted: " + strings.TrimPrefix(bad.Err.Error(), "x509: "))
		case problem.Kind == tlscheck.Refused, problem.Kind == tlscheck.NotTLS, problem.Kind == tlscheck.Alert, problem.Kind == tlscheck.Closed:
			p.STSFailed = setting.OneLine(host + ": " + problem.Text)
		case strings.Contains(err.Error(), "does not exist in DNS"), strings.Contains(err.Error(), "has no address"):
			p.STSFailed = host + " has no address in DNS"
		default:
			p.STSUnseen = setting.OneLine(host + ": " + problem.Text)
		}
		return
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		p.STSFailed = host + " answers with status " + strconv.Itoa(res.StatusCode)
		return
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		p.STSFailed = "the policy is not served as text/plain"
		return
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPolicy+1))
	if err != nil {
		p.STSUnseen = setting.OneLine(host + ": " + tlscheck.ProblemOf(err).Text)
		return
	}
	p.STSText = strings.ToValidUTF8(string(body), "?")
}

// usable reports whether a record means something for mail (RFC 7672, 3.1).
func (t TLSA) usable() bool {
	return (t.Usage == 2 || t.Usage == 3) && t.Selector <= 1 && t.Matching <= 2 && t.Data != ""
}

func (t TLSA) is(cert *x509.Certificate) bool {
	data, err := dns.CertificateToDANE(t.Selector, t.Matching, cert)
	return err == nil && strings.EqualFold(data, t.Data)
}

// matches reports whether the record accepts a chain: DANE-EE its leaf, whatever else is in it
// (RFC 7672, 3.1.1); DANE-TA as the trust anchor under the host's name (3.1.2).
func (t TLSA) matches(chain tlscheck.Certificates, host string, at time.Time) bool {
	if len(chain) == 0 {
		return false
	}
	if t.Usage == 3 {
		return t.is(chain[0])
	}
	anchors := slices.Clone([]*x509.Certificate(chain[1:])) // the leaf is no authority
	if t.Selector == 0 && t.Matching == 0 {                 // the record itself holds the authority's certificate
		if der, err := hex.DecodeString(t.Data); err == nil {
			if cert, err := x509.ParseCertificate(der); err == nil {
				anchors = append(anchors, cert)
			}
		}
	}
	others := x509.NewCertPool()
	for _, cert := range chain[1:] {
		others.AddCert(cert)
	}
	for _, anchor := range anchors {
		if !anchor.IsCA || !t.is(anchor) {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(anchor)
		if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: others, CurrentTime: at}); err == nil {
			return true
		}
	}
	return false
}
