package sqlsec

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/internal/tdswire"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
)

// trapName is a name that honest traps have a certificate for and that the name rules take.
const trapName = "sql.corp.example"

func startTrap(t testing.TB, c trap.SQLConfig) *trap.SQL {
	t.Helper()
	s, err := trap.Options{Names: []string{trapName}, Timeout: 5 * time.Second}.SQL(c)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// local sends every dial to a loopback address of the test's choosing and counts them.
type local struct {
	tcp, udp string
	dials    atomic.Int64
}

func (d *local) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to := d.tcp
	if strings.HasPrefix(network, "udp") {
		to = d.udp
	} else {
		d.dials.Add(1)
	}
	if to == "" {
		to = "127.0.0.1:1" // where nothing listens
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

type fixed []netip.Addr

func (f fixed) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return f, nil }

// against is a setting that reaches the trap under its name.
func against(s *trap.SQL) Config {
	return Config{
		Host: trapName, Encryption: Mandatory, Roots: s.Roots(),
		Dialer: &local{tcp: s.Addr()}, Resolver: fixed{netip.MustParseAddr("192.0.2.10")},
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func observe(t testing.TB, c Config) Observation {
	t.Helper()
	o, err := c.Observe(testContext(t))
	require.NoError(t, err)
	return o
}

func TestObservePostures(t *testing.T) {
	all := []*connsec.Rule{RuleUnreachable, RuleEncryptionUnsupported, RuleEncryptionNotForced, RuleStrictUnavailable, RuleFallbackCertificate, RuleVersionUnsupported}
	for _, tt := range []struct {
		name         string
		c            trap.SQLConfig
		failed       []*connsec.Rule
		passed       []*connsec.Rule
		inconclusive []*connsec.Rule
	}{
		{"forced", trap.SQLConfig{}, nil, all, nil},
		{"forced, 2019", trap.SQLConfig{NoTDS8: true, Version: "15.0.4430"}, []*connsec.Rule{RuleStrictUnavailable},
			[]*connsec.Rule{RuleUnreachable, RuleEncryptionUnsupported, RuleEncryptionNotForced, RuleFallbackCertificate, RuleVersionUnsupported}, nil},
		{"optional", trap.SQLConfig{Posture: trap.SQLOptional}, []*connsec.Rule{RuleEncryptionNotForced}, []*connsec.Rule{RuleEncryptionUnsupported, RuleStrictUnavailable}, nil},
		{"strict", trap.SQLConfig{Posture: trap.SQLStrict}, nil, []*connsec.Rule{RuleUnreachable, RuleEncryptionUnsupported, RuleEncryptionNotForced, RuleStrictUnavailable, RuleFallbackCertificate},
			[]*connsec.Rule{RuleVersionUnsupported}},
		{"not supported", trap.SQLConfig{Posture: trap.SQLNotSupported}, []*connsec.Rule{RuleEncryptionUnsupported, RuleStrictUnavailable}, []*connsec.Rule{RuleUnreachable}, nil},
		{"always off", trap.SQLConfig{Posture: trap.SQLAnswerOff}, []*connsec.Rule{RuleEncryptionUnsupported, RuleStrictUnavailable}, nil, []*connsec.Rule{RuleFallbackCertificate}},
		{"fallback", trap.SQLConfig{Posture: trap.SQLFallbackCertificate}, []*connsec.Rule{
			RuleFallbackCertificate, tlscheck.RuleSelfSigned, tlscheck.RuleNoSAN,
		}, []*connsec.Rule{RuleEncryptionNotForced}, nil},
		{"expired", trap.SQLConfig{Posture: trap.SQLExpired}, []*connsec.Rule{tlscheck.RuleExpired}, []*connsec.Rule{RuleFallbackCertificate}, nil},
		{"wrong name", trap.SQLConfig{Posture: trap.SQLWrongName}, []*connsec.Rule{tlscheck.RuleNameMismatch}, nil, nil},
		{"TLS 1.0", trap.SQLConfig{Posture: trap.SQLTLS10Only}, []*connsec.Rule{tlscheck.RuleVersionLegacy, RuleStrictUnavailable}, nil, nil},
		{"2014", trap.SQLConfig{Version: "12.0.6024"}, []*connsec.Rule{RuleVersionUnsupported}, nil, nil},
		{"2014 or Azure", trap.SQLConfig{Version: "12.0.2000"}, nil, nil, []*connsec.Rule{RuleVersionUnsupported}},
		{"truncated", trap.SQLConfig{Posture: trap.SQLTruncatedPacket}, []*connsec.Rule{RuleUnreachable}, nil, nil},
		{"short length", trap.SQLConfig{Posture: trap.SQLShortLength}, nil, nil, []*connsec.Rule{RuleUnreachable}},
		{"wild offsets", trap.SQLConfig{Posture: trap.SQLWildOffsets}, nil, nil, []*connsec.Rule{RuleUnreachable}},
		{"endless", trap.SQLConfig{Posture: trap.SQLEndlessMessage}, nil, nil, []*connsec.Rule{RuleUnreachable}},
		{"early close", trap.SQLConfig{Posture: trap.SQLEarlyClose}, []*connsec.Rule{RuleUnreachable}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startTrap(t, tt.c)
			o := observe(t, against(s))
			r := o.Judge()
			failed := map[*connsec.Rule]bool{}
			for _, f := range r.Failed(connsec.Info) {
				failed[f.Rule] = true
			}
			for _, rule := range tt.failed {
				assert.True(t, failed[rule], "%s should fail", rule.ID)
				if !strings.HasPrefix(rule.ID, "sql-") {
					delete(failed, rule)
				}
			}
			sqlOnly := r
			sqlOnly.Findings = nil
			for _, f := range r.Findings {
				if strings.HasPrefix(f.Rule.ID, "sql-") {
					sqlOnly.Findings = append(sqlOnly.Findings, f)
				}
			}
			var want []*connsec.Rule
			for _, rule := range tt.failed {
				if strings.HasPrefix(rule.ID, "sql-") {
					want = append(want, rule)
				}
			}
			ruletest.ExpectFailed(t, sqlOnly, want...)
			if tt.passed != nil {
				ruletest.Expect(t, sqlOnly, connsec.Pass, tt.passed...)
			}
			if tt.inconclusive != nil {
				ruletest.Expect(t, sqlOnly, connsec.Inconclusive, tt.inconclusive...)
			}
			for _, c := range s.Observed() {
				assert.False(t, c.Login, "observing never logs in")
			}
			if tt.name == "forced" {
				assert.NoError(t, r.Err(connsec.Medium))
			}

			again, err := json.Marshal(o)
			require.NoError(t, err)
			var back Observation
			require.NoError(t, json.Unmarshal(again, &back))
			one, err := json.Marshal(r)
			require.NoError(t, err)
			two, err := json.Marshal(back.Judge())
			require.NoError(t, err)
			assert.JSONEq(t, string(one), string(two), "a recorded observation is judged the same")
		})
	}
}

// The wire answers of the trap are those of the table in MS-TDS 2.2.6.5.
func TestObserveSeesTheTable(t *testing.T) {
	for p, want := range map[trap.SQLPosture][3]string{
		trap.SQLForced: {"REQ", "ON", "REQ"}, trap.SQLOptional: {"OFF", "ON", "NOT_SUP"}, trap.SQLNotSupported: {"NOT_SUP", "NOT_SUP", "NOT_SUP"},
	} {
		a := observe(t, against(startTrap(t, trap.SQLConfig{Posture: p}))).Addresses[0]
		assert.Equal(t, want, [3]string{a.Off.Encryption, a.On.Encryption, a.NotSup.Encryption}, p.String())
		assert.Equal(t, "16.0.4135", a.Off.Version)
	}
}

// hostNameInCertificate makes a server verifiable that is given by address.
func TestObserveByAddress(t *testing.T) {
	s := startTrap(t, trap.SQLConfig{})
	c := against(s)
	c.Host, c.Resolver = "192.0.2.10", nil
	ruletest.Expect(t, observe(t, c).Judge(), connsec.Fail, tlscheck.RuleNameMismatch)
	c.HostNameInCertificate = trapName
	o := observe(t, c)
	assert.NoError(t, o.Judge().Err(connsec.Medium))
	assert.Equal(t, "192.0.2.10", o.Subject)
}

func TestAddressesBeyondTheLimitAreNotPassed(t *testing.T) {
	s := startTrap(t, trap.SQLConfig{})
	c := against(s)
	var addrs fixed
	for i := range 20 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	c.Resolver = addrs
	o := observe(t, c)
	require.Len(t, o.Addresses, maxAddresses+1)
	data, err := json.Marshal(o)
	require.NoError(t, err)
	var back Observation
	require.NoError(t, json.Unmarshal(data, &back))
	found := back.Judge().Of(RuleUnreachable)
	require.Len(t, found, 2)
	assert.Equal(t, connsec.Pass, found[0].Outcome)
	assert.Equal(t, connsec.Inconclusive, found[1].Outcome)
	assert.Equal(t, trapName+" [others]", found[1].Subject)
	assert.Contains(t, found[1].Detail, "4 more addresses")
}

func TestObserveDeadline(t *testing.T) {
	s := startTrap(t, trap.SQLConfig{Posture: trap.SQLStalled})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	o, err := against(s).Observe(ctx)
	require.NoError(t, err)
	assert.Equal(t, tlscheck.Timeout, o.Addresses[0].Off.Problem.Kind)
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, RuleUnreachable)
}

func TestObserveClosedPort(t *testing.T) {
	c := Config{Host: trapName, Dialer: &local{}, Resolver: fixed{netip.MustParseAddr("192.0.2.10")}}
	o := observe(t, c)
	r := o.Judge()
	ruletest.ExpectFailed(t, r)
	ruletest.Expect(t, r, connsec.Inconclusive, RuleUnreachable)
	ruletest.Expect(t, r, connsec.NotApplicable, RuleEncryptionUnsupported, RuleEncryptionNotForced, RuleStrictUnavailable, RuleFallbackCertificate, RuleVersionUnsupported)
	ruletest.Expect(t, r, connsec.Pass, RuleBrowserExposed)
}

func TestObserveRefusesWhatIsNotTCP(t *testing.T) {
	for _, c := range []Config{{Host: `\\x\pipe\y`, Protocol: NamedPipe}, {}} {
		_, err := c.Observe(testContext(t))
		assert.Error(t, err)
	}
}

// startBrowser is SQL Server Browser with the given answer to each kind of request.
func startBrowser(t testing.TB, all, one string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			text := all
			if n > 0 && b[0] == 4 {
				text = one
			}
			_, _ = conn.WriteTo(append([]byte{5, byte(len(text)), byte(len(text) >> 8)}, text...), from)
		}
	}()
	return conn.LocalAddr().String()
}

func TestBrowser(t *testing.T) {
	s := startTrap(t, trap.SQLConfig{})
	_, port, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	one := "ServerName;SQL1;InstanceName;PROD;IsClustered;No;Version;16.0.1000.6;tcp;" + port + ";np;\\\\SQL1\\pipe\\MSSQL$PROD\\sql\\query;;"
	all := one + "ServerName;SQL1;InstanceName;TEST;IsClustered;No;Version;15.0.2000.5;;"
	udp := startBrowser(t, all, one)

	t.Run("tells the port of an instance", func(t *testing.T) {
		c := against(s)
		c.Instance, c.Dialer = "prod", &local{tcp: s.Addr(), udp: udp}
		o := observe(t, c)
		assert.Equal(t, port, strconv.Itoa(int(o.Port)))
		assert.Equal(t, "REQ", o.Addresses[0].Off.Encryption)
		ruletest.Expect(t, o.Judge(), connsec.Fail, RuleBrowserExposed)
	})
	t.Run("lists all where the port is known", func(t *testing.T) {
		c := against(s)
		c.Dialer = &local{tcp: s.Addr(), udp: udp}
		o := observe(t, c)
		require.Len(t, o.Browser.Instances, 2)
		assert.Equal(t, Instance{Name: "TEST", Server: "SQL1", Version: "15.0.2000.5"}, o.Browser.Instances[1])
	})
	t.Run("does not know the instance", func(t *testing.T) {
		c := against(s)
		c.Instance, c.Dialer = "other", &local{tcp: s.Addr(), udp: udp}
		o := observe(t, c)
		assert.Empty(t, o.Addresses)
		ruletest.ExpectFailed(t, o.Judge(), RuleUnreachable, RuleBrowserExposed)
	})
	t.Run("is silent", func(t *testing.T) {
		quiet, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		defer quiet.Close()
		c := against(s)
		c.Instance, c.Dialer = "prod", &local{tcp: s.Addr(), udp: quiet.LocalAddr().String()}
		o := observe(t, c)
		ruletest.Expect(t, o.Judge(), connsec.Inconclusive, RuleUnreachable, RuleBrowserExposed)
	})
}

func TestVersions(t *testing.T) {
	judged := func(version string, host string, when time.Time) connsec.Verdict {
		return judgeVersionUnsupported(seenAddress{o: Observation{Host: host, At: when}, a: AddressObservation{Off: Answer{Version: version}}})
	}
	on := func(y int, m time.Month, d, h int) time.Time { return time.Date(y, m, d, h, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		version, host string
		when          time.Time
		want          connsec.Outcome
	}{
		{"13.0.7000", "", on(2026, 7, 14, 23), connsec.Pass},
		{"13.0.7000", "", on(2026, 7, 15, 1), connsec.Fail},
		{"17.0.1000", "", on(2026, 11, 23, 0), connsec.Pass},
		{"18.0.1", "", on(2026, 11, 23, 0), connsec.Inconclusive},
		{"10.50.6000", "", on(2026, 11, 23, 0), connsec.Fail},
		{"10.25.1", "", on(2026, 11, 23, 0), connsec.Inconclusive},
		{"12.0.2000", "x.database.windows.net", on(2026, 11, 23, 0), connsec.Pass},
		{"12.0.2000", "x.corp.example", on(2026, 11, 23, 0), connsec.Inconclusive},
		{"", "", on(2026, 11, 23, 0), connsec.Inconclusive},
	} {
		assert.Equal(t, tt.want, judged(tt.version, tt.host, tt.when).Outcome, tt)
	}
	for i := 1; i < len(releases); i++ {
		assert.False(t, releases[i].end.After(releases[i-1].end), releases[i].name)
	}
}

func TestJudgeAddressesApart(t *testing.T) {
	o := Observation{Subject: "db", Port: 1433, Addresses: []AddressObservation{
		{Address: netip.MustParseAddrPort("192.0.2.1:1433"), Off: Answer{Encryption: "REQ"}, On: Answer{Encryption: "ON"}, NotSup: Answer{Encryption: "REQ"}},
		{Address: netip.MustParseAddrPort("192.0.2.2:1433"), Off: Answer{Encryption: "OFF"}, On: Answer{Encryption: "ON"}, NotSup: Answer{Encryption: "NOT_SUP"}},
	}}
	found := o.Judge().Of(RuleEncryptionNotForced)
	require.Len(t, found, 2)
	assert.Equal(t, connsec.Pass, found[0].Outcome)
	assert.Equal(t, connsec.Fail, found[1].Outcome)
	assert.Equal(t, "db [192.0.2.2]", found[1].Subject)
}

// A server that says REQ to OFF and lets NOT_SUP in does not force anything.
func TestForcedNeedsBothAnswers(t *testing.T) {
	judged := func(off, notSup string, p tlscheck.Problem) connsec.Outcome {
		return judgeEncryptionNotForced(seenAddress{a: AddressObservation{Off: Answer{Encryption: off}, NotSup: Answer{Encryption: notSup, Problem: p}}}).Outcome
	}
	assert.Equal(t, connsec.Pass, judged("REQ", "REQ", tlscheck.Problem{}))
	assert.Equal(t, connsec.Pass, judged("REQ", "", tlscheck.Problem{Kind: tlscheck.Closed}))
	assert.Equal(t, connsec.Fail, judged("REQ", "NOT_SUP", tlscheck.Problem{}))
	assert.Equal(t, connsec.Inconclusive, judged("REQ", "", tlscheck.Problem{Kind: tlscheck.Timeout}))
	assert.Equal(t, connsec.Inconclusive, judged("", "", tlscheck.Problem{Kind: tlscheck.Timeout}))
	assert.Equal(t, connsec.Inconclusive, judged("0x07", "", tlscheck.Problem{}))
}

func TestPreloginProbeBytes(t *testing.T) {
	assert.Equal(t, []byte{
		0x12, 1, 0, 0x2f, 0, 0, 1, 0,
		0, 0, 0x1a, 0, 6, 1, 0, 0x20, 0, 1, 2, 0, 0x21, 0, 1, 3, 0, 0x22, 0, 4, 4, 0, 0x26, 0, 1, 0xff,
		0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0,
	}, preloginProbe(tdswire.EncryptReq))
}

// FreeTDS's tdspool is a server that truly does not encrypt, and not of our making.
func TestObserveTDSPool(t *testing.T) {
	s := realsrv.TDSPool{}.Start(t)
	c := Config{Host: trapName, Encryption: Mandatory, Dialer: &local{tcp: s.Addr}, Resolver: fixed{netip.MustParseAddr("192.0.2.10")}}
	o := observe(t, c)
	a := o.Addresses[0]
	assert.Equal(t, [3]string{"NOT_SUP", "NOT_SUP", "NOT_SUP"}, [3]string{a.Off.Encryption, a.On.Encryption, a.NotSup.Encryption})
	assert.Equal(t, "10.0.1600", a.Off.Version)
	r := o.Judge()
	ruletest.Expect(t, r, connsec.Fail, RuleEncryptionUnsupported, RuleVersionUnsupported)
	ruletest.Expect(t, r, connsec.Pass, RuleUnreachable)
}
