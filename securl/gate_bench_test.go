package securl

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/testca"
)

// endlessPeople are recipients "k0", "k1", … without end, with one password.
type endlessPeople struct{ stored string }

func (p endlessPeople) Recipient(_ context.Context, rid string) (Recipient, error) {
	if !strings.HasPrefix(rid, "k") {
		return Recipient{}, ErrNoRecipient
	}
	return Recipient{ID: rid, Password: p.stored}, nil
}

// spread reports operations per second of all workers, and the median and 99th percentile of one.
type spread struct {
	mu    sync.Mutex
	times []time.Duration
	start time.Time
}

// run calls op for each of b.N, in as many goroutines as there are processors times parallelism.
func (s *spread) run(b *testing.B, op func(n int)) {
	s.times = make([]time.Duration, 0, b.N)
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	s.start = time.Now()
	b.RunParallel(func(pb *testing.PB) {
		var own []time.Duration
		for pb.Next() {
			n := int(next.Add(1))
			t := time.Now()
			op(n)
			own = append(own, time.Since(t))
		}
		s.mu.Lock()
		s.times = append(s.times, own...)
		s.mu.Unlock()
	})
	b.StopTimer()
	seconds := time.Since(s.start).Seconds()
	slices.Sort(s.times)
	at := func(q float64) float64 {
		return float64(s.times[min(len(s.times)-1, int(q*float64(len(s.times))))].Nanoseconds()) / 1e3
	}
	b.ReportMetric(float64(len(s.times))/seconds, "ops/s")
	b.ReportMetric(at(0.5), "µs-p50")
	b.ReportMetric(at(0.99), "µs-p99")
}

func benchGate(b *testing.B, change func(*Gate)) *guard {
	g := Gate{Recipients: endlessPeople{hashed(b, pass)}}
	if change != nil {
		change(&g)
	}
	h, err := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := SignedIn(r.Context())
		io.WriteString(w, who.ID)
	}))
	require.NoError(b, err)
	return h.(*guard)
}

// million is how many sessions are alive while pages are read.
const million = 1_000_000

// fill makes sessions and returns some of their cookies, and the memory that all of them take.
func fill(b *testing.B, g *guard, sessions int) (cookies []string, bytes float64) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	now := g.door.clock.now()
	for i := range sessions {
		s := session{rid: "k" + strconv.Itoa(i), created: now, expires: now.Add(time.Hour), epoch: now.UnixNano()}
		token, err := g.door.commit(context.Background(), &s)
		require.NoError(b, err)
		if i%1000 == 0 {
			cookies = append(cookies, g.cookies.session+"="+token)
		}
	}
	return cookies, float64(heap() - before)
}

// BenchmarkGateRead reads protected pages with a million sessions alive: in the handler alone,
// and over TLS with connections that are kept.
func BenchmarkGateRead(b *testing.B) {
	b.Run("handler", func(b *testing.B) {
		g := benchGate(b, nil)
		cookies, bytes := fill(b, g, million)
		(&spread{}).run(b, func(n int) {
			r := httptest.NewRequest("GET", "https://www.example.com/offers.html", nil)
			r.Header.Set("Cookie", cookies[n%len(cookies)])
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				b.Errorf("status %d", w.Code)
			}
		})
		b.ReportMetric(bytes/million, "B/session")
	})
	b.Run("TLS", func(b *testing.B) {
		g := benchGate(b, nil)
		cookies, _ := fill(b, g, million)
		origin, client := benchServer(b, g)
		(&spread{}).run(b, func(n int) {
			r, err := http.NewRequest("GET", origin+"/offers.html", nil)
			if err != nil {
				b.Error(err)
				return
			}
			r.Header.Set("Cookie", cookies[n%len(cookies)])
			if status := benchDo(b, client, r); status != http.StatusOK {
				b.Errorf("status %d", status)
			}
		})
	})
}

func benchServer(b *testing.B, h http.Handler) (origin string, client *http.Client) {
	ca := testca.MustNew(b)
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.MustIssue(b, testca.Leaf{Names: []string{"www.example.com"}}).TLS()}}
	s.StartTLS()
	b.Cleanup(s.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), ServerName: "www.example.com"}}
	b.Cleanup(transport.CloseIdleConnections)
	return s.URL, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func benchDo(b *testing.B, client *http.Client, r *http.Request) int {
	res, err := client.Do(r)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// signInRequest is a form that is ready to be sent for a recipient, from an address of its own.
func signInRequest(g *guard, origin, rid, password string) *http.Request {
	cookie := strings.Repeat("A", tokenLength)
	f := form{rid: rid}
	fields := url.Values{"rid": {rid}, "iid": {""}, "to": {""}, "token": {f.token(cookie)}, "password": {password}}
	r, err := http.NewRequest("POST", origin+"/login", strings.NewReader(fields.Encode()))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", g.cookies.form+"="+cookie)
	return r
}

// BenchmarkGateSignIn signs in, each time another recipient, with Circle's MD5: in the handler
// alone, and over TLS with connections that are kept.
func BenchmarkGateSignIn(b *testing.B) {
	b.Run("handler", func(b *testing.B) {
		g := benchGate(b, nil)
		(&spread{}).run(b, func(n int) {
			r := signInRequest(g, "https://www.example.com", "k"+strconv.Itoa(n), pass)
			r.RemoteAddr, r.TLS = "192.0.2.1:1", &tls.ConnectionState{}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != http.StatusSeeOther {
				b.Errorf("status %d", w.Code)
			}
		})
	})
	b.Run("TLS", func(b *testing.B) {
		g := benchGate(b, nil)
		origin, client := benchServer(b, g)
		(&spread{}).run(b, func(n int) {
			if status := benchDo(b, client, signInRequest(g, origin, "k"+strconv.Itoa(n), pass)); status != http.StatusSeeOther {
				b.Errorf("status %d", status)
			}
		})
	})
}

// BenchmarkGateRefuse compares the time of sign-ins that are wrong in different ways. The medians
// should not tell them apart; each attempt is of another recipient and address, so that none is
// throttled.
func BenchmarkGateRefuse(b *testing.B) {
	ok := hashed(b, pass)
	for _, tt := range []struct{ name, prefix, stored, password string }{
		{"unknown", "u", ok, pass},
		{"wrong-password", "k", ok, "wrong password"},
		{"no-password", "k", "", pass},
		{"not-a-hash", "k", "correct horse", pass},
		{"empty", "k", ok, ""},
	} {
		b.Run(tt.name, func(b *testing.B) {
			d, err := Gate{Recipients: endlessPeople{tt.stored}}.door()
			require.NoError(b, err)
			s := spread{times: make([]time.Duration, 0, b.N)}
			n := 0
			for b.Loop() {
				n++
				a := attempt{rid: tt.prefix + strconv.Itoa(n), password: connsec.NewSecret(tt.password), addr: netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})}
				t := time.Now()
				_, _, err := d.signIn(context.Background(), a)
				s.times = append(s.times, time.Since(t))
				if err != errRefused {
					b.Fatal(err)
				}
			}
			slices.Sort(s.times)
			for _, q := range []int{25, 50, 75} {
				b.ReportMetric(float64(s.times[len(s.times)*q/100].Nanoseconds()), fmt.Sprintf("ns-p%d", q))
			}
		})
	}
}
