package radiussec_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/radiussec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// strong is a secret of 32 random digits.
const strong = "kq7dz4mw-b3xv6hnp-tjr5cy2s-gf4ae7ul"

func udp(secret string) radiussec.Config {
	return radiussec.Config{Transport: radiussec.UDP, Servers: []radiussec.Server{{Host: host, Secret: connsec.NewSecret(secret)}}}
}

func overTLS() radiussec.Config {
	return radiussec.Config{
		Servers: []radiussec.Server{{Host: host}}, Roots: x509.NewCertPool(), ClientCertificates: []tls.Certificate{{}},
	}
}

func with(c radiussec.Config, change func(*radiussec.Config)) radiussec.Config {
	change(&c)
	return c
}

func TestSettings(t *testing.T) {
	type rules = []*connsec.Rule
	udpAlways := radiussec.RuleTransportUDP
	weak := func(r ...*connsec.Rule) rules { return append(r, udpAlways, radiussec.RuleMethodWeak) }
	tests := map[string]struct {
		c               radiussec.Config
		failed, passed  rules
		unknown, absent rules
	}{
		"sound, TLS": {overTLS(), nil, rules{
			radiussec.RuleTransportUDP, radiussec.RuleName, radiussec.RuleTLSSecret, radiussec.RuleTLSSystemRoots, radiussec.RuleTLSIdentity,
			radiussec.RuleTLSClientCertificate, radiussec.RuleMethodWeak, radiussec.RuleMessageAuthenticatorOff,
		}, nil, rules{radiussec.RuleSecretMissing, radiussec.RuleSecretShort, radiussec.RuleSecretWeak, radiussec.RuleSecretNotSpecific}},
		"best over UDP": {udp(strong), rules{udpAlways}, rules{
			radiussec.RuleSecretMissing, radiussec.RuleSecretShort, radiussec.RuleSecretWeak, radiussec.RuleSecretCharset, radiussec.RuleSecretNotSpecific,
			radiussec.RuleMethodWeak, radiussec.RuleMessageAuthenticatorOff, radiussec.RuleName,
		}, rules{radiussec.RuleSecretReused}, rules{radiussec.RuleTLSSecret, radiussec.RuleTLSSystemRoots}},
		"no secret":        {udp(""), weak(radiussec.RuleSecretMissing), nil, nil, rules{radiussec.RuleSecretShort, radiussec.RuleSecretReused}},
		"default":          {udp("testing123"), weak(radiussec.RuleSecretShort, radiussec.RuleSecretWeak), nil, nil, nil},
		"default, long":    {udp("Shared-Secret"), weak(radiussec.RuleSecretShort, radiussec.RuleSecretWeak), nil, nil, nil},
		"long words":       {udp("MyQRadiusServerProductionSecret2024"), weak(radiussec.RuleSecretWeak), rules{radiussec.RuleSecretShort}, nil, nil},
		"context":          {with(udp("Kwyjibo-Radius-Corp-Kwyjibo-01"), func(c *radiussec.Config) { c.Context = []string{"Kwyjibo GmbH"} }), weak(radiussec.RuleSecretWeak), nil, nil, nil},
		"random and short": {udp("kq7dz4mwb3xv6hnp"), weak(radiussec.RuleSecretShort, radiussec.RuleSecretWeak), nil, nil, nil},
		"charset":          {udp(strong + ",x"), rules{udpAlways, radiussec.RuleSecretCharset}, nil, nil, nil},
		"beyond ASCII":     {udp(strong + "é"), rules{udpAlways, radiussec.RuleSecretCharset}, nil, nil, nil},
		"space at the end": {udp(strong + " "), rules{udpAlways, radiussec.RuleSecretCharset}, nil, nil, nil},
		"NUL":              {udp(strong + "\x00"), rules{udpAlways, radiussec.RuleSecretCharset}, nil, nil, nil},
		"reused": {with(udp(strong), func(c *radiussec.Config) {
			c.Others = map[string]connsec.Secret{"the REST API": connsec.NewSecret(strong)}
		}), rules{udpAlways, radiussec.RuleSecretReused}, nil, nil, nil},
		"not reused": {with(udp(strong), func(c *radiussec.Config) {
			c.Others = map[string]connsec.Secret{"the REST API": connsec.NewSecret("another")}
		}), rules{udpAlways}, rules{radiussec.RuleSecretReused}, nil, nil},
		"one for two servers": {with(udp(strong), func(c *radiussec.Config) {
			c.Servers = append(c.Servers, radiussec.Server{Host: "radius2.corp.example", Secret: connsec.NewSecret(strong)})
		}), rules{udpAlways, radiussec.RuleSecretNotSpecific}, nil, nil, nil},
		"CHAP":             {with(udp(strong), func(c *radiussec.Config) { c.Method = radiussec.CHAP }), weak(), nil, nil, nil},
		"MS-CHAP":          {with(udp(strong), func(c *radiussec.Config) { c.Method = radiussec.MSCHAP }), weak(), nil, nil, nil},
		"MS-CHAP v2":       {with(udp(strong), func(c *radiussec.Config) { c.Method = radiussec.MSCHAPv2 }), weak(), nil, nil, nil},
		"EAP":              {with(udp(strong), func(c *radiussec.Config) { c.Method = radiussec.EAP }), rules{udpAlways}, rules{radiussec.RuleMethodWeak}, nil, nil},
		"MS-CHAP in TLS":   {with(overTLS(), func(c *radiussec.Config) { c.Method = radiussec.MSCHAPv2 }), nil, rules{radiussec.RuleMethodWeak}, nil, nil},
		"unknown method":   {with(overTLS(), func(c *radiussec.Config) { c.Method = 99 }), nil, nil, rules{radiussec.RuleMethodWeak}, nil},
		"signing optional": {with(udp(strong), func(c *radiussec.Config) { c.MessageAuthenticator = radiussec.SigningOptional }), rules{udpAlways, radiussec.RuleMessageAuthenticatorOff}, nil, nil, nil},
		"signing off":      {with(udp(strong), func(c *radiussec.Config) { c.MessageAuthenticator = radiussec.SigningOff }), rules{udpAlways, radiussec.RuleMessageAuthenticatorOff}, nil, nil, nil},
		"address, UDP":     {with(udp(strong), func(c *radiussec.Config) { c.Servers[0].Host = "192.0.2.1" }), rules{udpAlways}, rules{radiussec.RuleName}, nil, nil},
		"address, TLS":     {with(overTLS(), func(c *radiussec.Config) { c.Servers = []radiussec.Server{{Host: "192.0.2.1"}} }), rules{radiussec.RuleName}, nil, nil, nil},
		"short name":       {with(udp(strong), func(c *radiussec.Config) { c.Servers[0].Host = "radius" }), rules{udpAlways, radiussec.RuleName}, nil, nil, nil},
		"secret in TLS":    {with(overTLS(), func(c *radiussec.Config) { c.Servers[0].Secret = connsec.NewSecret(strong) }), rules{radiussec.RuleTLSSecret}, nil, nil, nil},
		"fixed secret":     {with(overTLS(), func(c *radiussec.Config) { c.Servers[0].Secret = connsec.NewSecret("radsec") }), nil, rules{radiussec.RuleTLSSecret}, nil, nil},
		"system roots":     {with(overTLS(), func(c *radiussec.Config) { c.Roots = nil }), rules{radiussec.RuleTLSSystemRoots}, nil, nil, nil},
		"both roots":       {with(overTLS(), func(c *radiussec.Config) { c.SystemRoots = true }), rules{radiussec.RuleTLSSystemRoots}, nil, nil, nil},
		"CN":               {with(overTLS(), func(c *radiussec.Config) { c.Identity = radiussec.CommonName }), rules{radiussec.RuleTLSIdentity}, nil, nil, nil},
		"no certificate":   {with(overTLS(), func(c *radiussec.Config) { c.ClientCertificates = nil }), rules{radiussec.RuleTLSClientCertificate}, nil, nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := tt.c.Validate()
			ruletest.ExpectFailed(t, r, tt.failed...)
			if tt.passed != nil {
				ruletest.Expect(t, r, connsec.Pass, tt.passed...)
			}
			if tt.unknown != nil {
				ruletest.Expect(t, r, connsec.Inconclusive, tt.unknown...)
			}
			if tt.absent != nil {
				ruletest.Expect(t, r, connsec.NotApplicable, tt.absent...)
			}
		})
	}
}

func TestTheLengthSteps(t *testing.T) {
	for n, want := range map[int]connsec.Severity{
		1: connsec.Critical, 8: connsec.Critical, 9: connsec.High, 10: connsec.High, 11: connsec.High, 12: connsec.High,
		13: connsec.High, 15: connsec.High, 16: connsec.Medium, 23: connsec.Medium, 24: 0,
	} {
		f := udp(strong[:n]).Validate().Of(radiussec.RuleSecretShort)[0]
		if want == 0 {
			assert.Equal(t, connsec.Pass, f.Outcome, n)
			continue
		}
		assert.Equal(t, connsec.Fail, f.Outcome, n)
		assert.Equal(t, want, f.Severity, n)
	}
}

func TestNewSecrets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := radiussec.NewSecret()
		r := udp(s.Reveal()).Validate()
		for _, rule := range []*connsec.Rule{
			radiussec.RuleSecretMissing, radiussec.RuleSecretShort, radiussec.RuleSecretWeak, radiussec.RuleSecretCharset, radiussec.RuleMethodWeak,
		} {
			require.Equal(rt, connsec.Pass, r.Of(rule)[0].Outcome, rule.ID)
		}
		require.Regexp(rt, `^([a-z2-7]{8}-){3}[a-z2-7]{8}$`, s.Reveal())
	})
	assert.False(t, radiussec.NewSecret().Equal(radiussec.NewSecret()))
	for _, s := range radiussec.RolloverPlan() {
		assert.NotEmpty(t, s.Where+s.Do+s.Why)
	}
}

// TestNoSecretLeaks looks for a secret, and for parts of it, in everything that comes out.
func TestNoSecretLeaks(t *testing.T) {
	for _, secret := range []string{"hunter2", "correct horse, battery", "P@ssw0rd-of-Kwyjibo", strong} {
		c := udp(secret)
		c.Others = map[string]connsec.Secret{"x": connsec.NewSecret(secret)}
		report, err := json.Marshal(c.Validate())
		require.NoError(t, err)
		setting, err := json.Marshal(c)
		require.NoError(t, err)
		_, errClient := c.Client(deadline(t))
		all := string(report) + string(setting) + fmt.Sprintf("%v %+v %#v %v", c, c, c, errClient)
		assert.NotContains(t, all, secret)
		assert.NotContains(t, all, secret[:5])
	}
}

func TestSettingsInJSON(t *testing.T) {
	c, err := radiussec.ParseJSON([]byte(`{"servers":[{"host":"radius.corp.example","secret":"s3cret-value"}],"transport":"udp","method":"ms-chap-v2","message_authenticator":"off"}`))
	require.NoError(t, err)
	assert.Equal(t, "s3cret-value", c.Servers[0].Secret.Reveal())
	assert.Equal(t, []any{radiussec.UDP, radiussec.MSCHAPv2, radiussec.SigningOff}, []any{c.Transport, c.Method, c.MessageAuthenticator})
	for _, bad := range []string{"", "{", `{"secret":1}`, `{"servers":[{"secret":"s3cret-value"}],"transport":"s3cret-value2"} x`, `{"servers":"s3cret-value"}`, `{"transport":"tcp"}`, "{} {}"} {
		_, err := radiussec.ParseJSON([]byte(bad))
		require.Error(t, err, bad)
		assert.NotContains(t, err.Error(), "s3cret-value\"", bad)
		assert.NotContains(t, err.Error(), "\n")
		assert.True(t, strings.HasPrefix(err.Error(), "radiussec: "), err)
	}
}

func TestClientsAreRefusedToBadSettings(t *testing.T) {
	for name, c := range map[string]radiussec.Config{
		"weak secret":      udp("testing123"),
		"no secret":        udp(""),
		"no server":        {Transport: radiussec.UDP},
		"signing optional": with(udp(strong), func(c *radiussec.Config) { c.MessageAuthenticator = radiussec.SigningOptional }),
		"signing off":      with(udp(strong), func(c *radiussec.Config) { c.MessageAuthenticator = radiussec.SigningOff }),
		"MS-CHAP":          with(udp(strong), func(c *radiussec.Config) { c.Method = radiussec.MSCHAP }),
		"system roots":     with(overTLS(), func(c *radiussec.Config) { c.Roots = nil }),
		"CN":               with(overTLS(), func(c *radiussec.Config) { c.Identity = radiussec.CommonName }),
		"transport":        with(udp(strong), func(c *radiussec.Config) { c.Transport = 7 }),
	} {
		_, err := c.Client(deadline(t))
		assert.Error(t, err, name)
	}
	_, err := udp("testing123").Client(deadline(t))
	assert.ErrorIs(t, err, radiussec.RuleSecretWeak)
}
