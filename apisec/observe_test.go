package apisec_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tokenServer is a token endpoint with postures. It reads credentials as net/http does.
type tokenServer struct {
	fromURL     bool // takes them from the URL, too
	distinguish bool // answers none at all otherwise than wrong ones
	everybody   bool
	untyped     bool // tokens come without token_type
	byHeader    bool // 401 to a client in a header only, else 400 (RFC 6749 §5.2)
	echo        bool
	noStore     bool
	status      int    // of a refusal; 0: 401
	code        string // of a refusal; "": invalid_client
	challenge   string
	life        string
	granted     string

	mu   sync.Mutex
	seen []string // what every request carried
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization")+" "+string(body))
	s.mu.Unlock()
	w.Header().Set("Strict-Transport-Security", "max-age=63072000")
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if s.noStore {
		w.Header().Set("Cache-Control", "private, No-Store")
	}
	var in struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	_ = json.Unmarshal(body, &in)
	if user, password, ok := r.BasicAuth(); ok {
		in.ID, in.Secret = user, password
	}
	if q := r.URL.Query(); s.fromURL && q.Has("client_secret") {
		in.ID, in.Secret = q.Get("client_id"), q.Get("client_secret")
	}
	switch {
	case s.everybody, in.ID == id && in.Secret == strong:
		life := s.life
		if life == "" {
			life = `,"expires_in":1800`
		}
		kind := `,"token_type":"Bearer"`
		if s.untyped {
			kind = ""
		}
		_, _ = io.WriteString(w, `{"access_token":"t0ken"`+kind+life+s.granted+`}`)
	case s.distinguish && in.ID == "":
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_request"}`)
	default:
		if s.challenge != "" {
			w.Header().Set("WWW-Authenticate", s.challenge)
		}
		status, code := s.status, s.code
		if _, _, header := r.BasicAuth(); s.byHeader && !header {
			status = 400
		}
		if status == 0 {
			status = 401
		}
		if code == "" {
			code = "invalid_client"
		}
		if s.echo {
			code += " " + in.Secret
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":"`+code+`"}`)
	}
}

// closedPort is a port of this machine on which nobody listens.
func closedPort(tb testing.TB) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(tb, l.Close())
	return uint16(port)
}

func TestServers(t *testing.T) {
	t.Parallel()
	type rules = []*connsec.Rule
	tests := map[string]struct {
		server  *tokenServer
		change  func(*apisec.Client)
		failed  rules
		passed  rules
		unknown rules
		skipped rules
	}{
		"sound": {&tokenServer{distinguish: true, noStore: true}, nil, nil, rules{
			apisec.RuleUnknownClientAccepted, apisec.RuleEndpointCleartext, apisec.RuleURLSecretAccepted, apisec.RuleSecretEchoed, apisec.RuleRefusalUnclear, apisec.RuleTokenCacheable,
		}, nil, rules{apisec.RuleSecretRefused, apisec.RuleTokenLongLived, apisec.RuleScopeGranted, apisec.RuleSecretFileExposed}},
		"sound, tried": {&tokenServer{distinguish: true, noStore: true, granted: `,"scope":"reports"`}, func(c *apisec.Client) { c.TryToken = true }, nil, rules{
			apisec.RuleSecretRefused, apisec.RuleTokenCacheable, apisec.RuleTokenLongLived, apisec.RuleScopeGranted,
		}, nil, nil},
		"sound, Basic": {&tokenServer{distinguish: true, noStore: true, challenge: "Basic realm=\"x\""}, func(c *apisec.Client) { c.Style = apisec.Basic }, nil, rules{apisec.RuleRefusalUnclear}, nil, nil},
		"everybody": {&tokenServer{everybody: true}, nil, rules{apisec.RuleUnknownClientAccepted, apisec.RuleTokenCacheable}, nil,
			rules{apisec.RuleURLSecretAccepted}, rules{apisec.RuleRefusalUnclear}},
		"everybody, no type": {&tokenServer{everybody: true, untyped: true, noStore: true}, nil, rules{apisec.RuleUnknownClientAccepted}, nil,
			rules{apisec.RuleURLSecretAccepted}, nil},
		"no type, tried": {&tokenServer{distinguish: true, noStore: true, untyped: true}, func(c *apisec.Client) { c.TryToken = true }, nil, nil,
			rules{apisec.RuleSecretRefused}, rules{apisec.RuleTokenLongLived, apisec.RuleScopeGranted}},
		"from the URL, Basic": {&tokenServer{distinguish: true, fromURL: true, noStore: true, byHeader: true, challenge: "Basic"}, func(c *apisec.Client) { c.Style = apisec.Basic },
			rules{apisec.RuleURLSecretAccepted}, nil, nil, nil},
		"sound, Basic and 400": {&tokenServer{distinguish: true, noStore: true, byHeader: true, challenge: "Basic"}, func(c *apisec.Client) { c.Style = apisec.Basic },
			nil, rules{apisec.RuleURLSecretAccepted, apisec.RuleUnknownClientAccepted}, nil, nil},
		"alike":           {&tokenServer{noStore: true}, nil, nil, nil, rules{apisec.RuleURLSecretAccepted}, nil},
		"from the URL":    {&tokenServer{distinguish: true, fromURL: true, noStore: true}, nil, rules{apisec.RuleURLSecretAccepted}, nil, nil, nil},
		"echo":            {&tokenServer{distinguish: true, echo: true, noStore: true}, nil, rules{apisec.RuleSecretEchoed, apisec.RuleRefusalUnclear}, nil, nil, nil},
		"403":             {&tokenServer{status: 403, code: "forbidden", noStore: true}, nil, nil, nil, rules{apisec.RuleUnknownClientAccepted}, rules{apisec.RuleRefusalUnclear}},
		"invalid_grant":   {&tokenServer{status: 400, code: "invalid_grant", noStore: true}, nil, rules{apisec.RuleRefusalUnclear}, rules{apisec.RuleUnknownClientAccepted}, nil, nil},
		"no challenge":    {&tokenServer{noStore: true}, func(c *apisec.Client) { c.Style = apisec.Basic }, rules{apisec.RuleRefusalUnclear}, nil, nil, nil},
		"refusal kept":    {&tokenServer{}, nil, nil, nil, rules{apisec.RuleTokenCacheable}, nil},
		"token kept":      {&tokenServer{}, func(c *apisec.Client) { c.TryToken = true }, rules{apisec.RuleTokenCacheable}, nil, nil, nil},
		"long":            {&tokenServer{noStore: true, life: `,"expires_in":7200`}, func(c *apisec.Client) { c.TryToken = true }, rules{apisec.RuleTokenLongLived}, nil, nil, nil},
		"life not said":   {&tokenServer{noStore: true, life: ` `}, func(c *apisec.Client) { c.TryToken = true }, nil, nil, rules{apisec.RuleTokenLongLived}, nil},
		"granted more":    {&tokenServer{noStore: true, granted: `,"scope":"reports users"`}, func(c *apisec.Client) { c.TryToken = true }, rules{apisec.RuleScopeGranted}, nil, nil, nil},
		"granted, silent": {&tokenServer{noStore: true}, func(c *apisec.Client) { c.TryToken = true }, nil, rules{apisec.RuleScopeGranted}, nil, nil},
		"wrong secret": {&tokenServer{noStore: true}, func(c *apisec.Client) { c.TryToken, c.Secret = true, apisec.NewSecret() },
			rules{apisec.RuleSecretRefused}, nil, nil, rules{apisec.RuleTokenLongLived, apisec.RuleScopeGranted}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := with(endpoint(t, tt.server.ServeHTTP), func(c *apisec.Client) { c.PlainPort = closedPort(t) })
			if tt.change != nil {
				tt.change(&c)
			}
			c.AsOf = time.Time{}
			c.Created, c.Expires = time.Now().AddDate(0, 0, -3), time.Now().AddDate(0, 0, 60)
			o, err := c.Observe(deadline(t))
			require.NoError(t, err)
			// The facts survive the way to another machine.
			kept, err := json.Marshal(o)
			require.NoError(t, err)
			var back apisec.Observation
			require.NoError(t, json.Unmarshal(kept, &back))
			r := back.Judge()
			ruletest.ExpectFailed(t, r, tt.failed...)
			for o, rules := range map[connsec.Outcome]rules{connsec.Pass: tt.passed, connsec.Inconclusive: tt.unknown, connsec.NotApplicable: tt.skipped} {
				if len(rules) > 0 {
					ruletest.Expect(t, r, o, rules...)
				}
			}
			for _, request := range tt.server.seen {
				if c.TryToken { // once, and not in the URL
					break
				}
				assert.NotContains(t, request, strong)
				assert.NotContains(t, request, id)
			}
			assert.NotContains(t, string(kept), strong)
			assert.NotContains(t, string(kept), "t0ken")
			tokens := 0
			for _, request := range tt.server.seen {
				if strings.HasPrefix(request, "POST") {
					tokens++
				}
				if strings.Contains(request, c.Secret.Reveal()) {
					assert.True(t, c.TryToken)
				}
			}
			want := 3
			if c.TryToken {
				want++
			}
			assert.Equal(t, want, tokens, "as doc.go says")
		})
	}
}

// two is a name with two addresses, of which the first takes connections to TLS only.
type two struct {
	tlscheck.Resolver
	tls, plain string
	plainPort  string
}

func (two) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}, nil
}

func (d two) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch address {
	case "192.0.2.1:8093", "192.0.2.2:8093":
		return (&net.Dialer{}).DialContext(ctx, network, d.tls)
	case "192.0.2.2:" + d.plainPort:
		return (&net.Dialer{}).DialContext(ctx, network, d.plain)
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// TestWithoutTLSAtAnotherAddress: the first of a name's addresses does not speak for the others.
func TestWithoutTLSAtAnotherAddress(t *testing.T) {
	plain := httptest.NewServer(&tokenServer{})
	defer plain.Close()
	c := endpoint(t, (&tokenServer{distinguish: true, noStore: true}).ServeHTTP)
	d := two{tls: c.Connect, plain: plain.Listener.Addr().String(), plainPort: "8083"}
	c.Connect, c.Dialer, c.Resolver, c.PlainPort = "", d, d, 8083
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Fail, apisec.RuleEndpointCleartext)

	d.plainPort = "none"
	c.Dialer, c.Resolver = d, d
	r, err = c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Pass, apisec.RuleEndpointCleartext)
}

// TestBusyServers: who is turned away because of being one too many does not go on asking.
func TestBusyServers(t *testing.T) {
	for status, want := range map[int]int{http.StatusTooManyRequests: 1, http.StatusServiceUnavailable: 1, http.StatusInternalServerError: 4} {
		server := &tokenServer{distinguish: true, noStore: true, status: status, code: "temporarily_unavailable"}
		c := with(endpoint(t, server.ServeHTTP), func(c *apisec.Client) {
			c.PlainPort, c.TryToken, c.Secret = closedPort(t), true, apisec.NewSecret()
		})
		o, err := c.Observe(deadline(t))
		require.NoError(t, err)
		asked := 0
		for _, request := range server.seen {
			if strings.HasPrefix(request, "POST") {
				asked++
			}
		}
		assert.Equal(t, want, asked, status)
		r := o.Judge()
		ruletest.Expect(t, r, connsec.Inconclusive, apisec.RuleUnknownClientAccepted, apisec.RuleURLSecretAccepted, apisec.RuleSecretRefused)
		assert.Contains(t, r.Of(apisec.RuleUnknownClientAccepted)[0].Detail, "try again later")
	}
}

// TestWithoutTLS puts the endpoint on a port without TLS beside the one with.
func TestWithoutTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		handler  http.HandlerFunc
		outcome  connsec.Outcome
		severity connsec.Severity
	}{
		"works":   {(&tokenServer{}).ServeHTTP, connsec.Fail, connsec.High},
		"for all": {(&tokenServer{everybody: true}).ServeHTTP, connsec.Fail, connsec.High},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+host+"/", http.StatusPermanentRedirect)
		}, connsec.Fail, connsec.Low},
		"403": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, connsec.Pass, connsec.High},
		"404": {http.NotFound, connsec.Pass, connsec.High},
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, connsec.Inconclusive, connsec.High},
	} {
		t.Run(name, func(t *testing.T) {
			plain := httptest.NewServer(tt.handler)
			defer plain.Close()
			c := endpoint(t, (&tokenServer{distinguish: true}).ServeHTTP)
			c.PlainPort = netip.MustParseAddrPort(plain.Listener.Addr().String()).Port()
			o, err := c.Observe(deadline(t))
			require.NoError(t, err)
			f := o.Judge().Of(apisec.RuleEndpointCleartext)[0]
			assert.Equal(t, tt.outcome, f.Outcome, f.Detail)
			assert.Equal(t, tt.severity, f.Severity)
			require.NotNil(t, o.Plain)
		})
	}
}

func TestPlainSettings(t *testing.T) {
	server := &tokenServer{}
	plain := httptest.NewServer(server)
	defer plain.Close()
	c := with(client(), func(c *apisec.Client) {
		c.TokenURL, c.Connect, c.TryToken = "http://"+host+"/api/auth/token", plain.Listener.Addr().String(), true
	})
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Fail, apisec.RuleTokenURLCleartext, apisec.RuleEndpointCleartext)
	ruletest.Expect(t, r, connsec.Inconclusive, apisec.RuleUnknownClientAccepted)
	ruletest.Expect(t, r, connsec.NotApplicable, apisec.RuleSecretEchoed, apisec.RuleURLSecretAccepted, apisec.RuleTokenCacheable)
	assert.Empty(t, r.Of(tlscheck.RuleHandshakeFailed))
	for _, request := range server.seen {
		assert.NotContains(t, request, strong, "the real secret is never sent in clear")
	}
}

// TestSecretsInPathsStayHome: the path of a token URL is part of every request of a probe.
func TestSecretsInPathsStayHome(t *testing.T) {
	server := &tokenServer{}
	plain := httptest.NewServer(server)
	defer plain.Close()
	c := endpoint(t, server.ServeHTTP)
	c.TokenURL += "/" + strong
	c.PlainPort = netip.MustParseAddrPort(plain.Listener.Addr().String()).Port()
	c.TryToken = true
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Fail, apisec.RuleSecretInURL)
	assert.NotEmpty(t, server.seen)
	for _, request := range server.seen {
		assert.NotContains(t, request, strong)
	}
}

// TestImpostorsGetNothing: what an impostor says about clients is not asked.
func TestImpostorsGetNothing(t *testing.T) {
	server := &tokenServer{everybody: true}
	c := with(endpoint(t, server.ServeHTTP), func(c *apisec.Client) {
		c.TokenURL = "https://another.corp.internal/token"
		c.PlainPort, c.TryToken = closedPort(t), true
	})
	r, err := c.Probe(deadline(t))
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Fail, tlscheck.RuleNameMismatch)
	ruletest.Expect(t, r, connsec.Inconclusive, apisec.RuleUnknownClientAccepted, apisec.RuleSecretRefused)
	for _, request := range server.seen {
		assert.NotContains(t, request, "POST")
	}
}

func TestFileFacts(t *testing.T) {
	file := func(e tlscheck.Exposure) *apisec.File { return &apisec.File{Path: "secret", Exposure: e} }
	for name, tt := range map[string]struct {
		file     *apisec.File
		outcome  connsec.Outcome
		severity connsec.Severity
	}{
		"its own":     {file(tlscheck.Exposure{Known: true, Mode: "-rw-------"}), connsec.Pass, connsec.High},
		"a group":     {file(tlscheck.Exposure{Known: true, To: []string{"the file's group"}}), connsec.Fail, connsec.Medium},
		"everybody":   {file(tlscheck.Exposure{Known: true, Wide: true, To: []string{"Users"}}), connsec.Fail, connsec.High},
		"not known":   {file(tlscheck.Exposure{}), connsec.Inconclusive, connsec.High},
		"not there":   {&apisec.File{Path: "secret", Missing: true}, connsec.Inconclusive, connsec.High},
		"none at all": {nil, connsec.NotApplicable, connsec.High},
	} {
		r := apisec.Observation{Subject: "reports", File: tt.file, Problem: "not asked"}.Judge()
		ruletest.Expect(t, r, tt.outcome, apisec.RuleSecretFileExposed)
		assert.Equal(t, tt.severity, r.Of(apisec.RuleSecretFileExposed)[0].Severity, name)
	}
}
