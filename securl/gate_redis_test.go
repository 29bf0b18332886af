package securl_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/securl"
)

// The stores of scs are ours, and ours is one of scs.
var (
	_ securl.Sessions = (*redisstore.RedisStore)(nil)
	_ securl.Sessions = (*memstore.MemStore)(nil)
	_ securl.Sessions = scs.Store(nil)
	_ scs.Store       = (*securl.MemorySessions)(nil)
)

const nodeVar = "CONNSEC_TEST_NODE"

// node is a gate of this process, with its sessions in Redis.
func node(t testing.TB, addr, password string) http.Handler {
	pool := &redis.Pool{MaxIdle: 4, Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", addr, redis.DialPassword(password), redis.DialConnectTimeout(10*time.Second), redis.DialReadTimeout(10*time.Second))
	}}
	t.Cleanup(func() { pool.Close() })
	h, err := securl.Gate{
		Recipients: campaign(t), Base: "/campaign/", Sessions: redisstore.New(pool),
		Key: connsec.NewSecret("a key that all nodes have in common"),
	}.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := securl.SignedIn(r.Context())
		fmt.Fprintf(w, "process=%d who=%s", os.Getpid(), who.ID)
	}))
	require.NoError(t, err)
	return h
}

func serveTLS(t testing.TB, h http.Handler, chain, key string) *httptest.Server {
	cert, err := tls.LoadX509KeyPair(chain, key)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestGateTwoProcesses runs two nodes of a site, in two processes, with a real Redis between them.
func TestGateTwoProcesses(t *testing.T) {
	if given := os.Getenv(nodeVar); given != "" {
		// The other process: the test binary, run by itself.
		arg := strings.Split(given, "|")
		s := serveTLS(t, node(t, arg[0], arg[1]), arg[2], arg[3])
		fmt.Println("serving", s.URL)
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends, however it does
		return
	}
	store := realsrv.Redis{}.Start(t)
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{gateHost}}).MustWriteFiles(t, t.TempDir(), "server")
	here := serveTLS(t, node(t, store.Addr, store.Password.Reveal()), files.Chain, files.Key)

	cmd := exec.Command(os.Args[0], "-test.run=^TestGateTwoProcesses$")
	cmd.Env = append(os.Environ(), nodeVar+"="+strings.Join([]string{store.Addr, store.Password.Reveal(), files.Chain, files.Key}, "|"))
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	var there string
	for lines := bufio.NewScanner(out); there == "" && lines.Scan(); {
		there, _ = strings.CutPrefix(lines.Text(), "serving ")
	}
	require.True(t, strings.HasPrefix(there, "https://"), there)

	visit := func(origin string) *browser {
		p := &protectedSite{ca: ca, server: &httptest.Server{URL: origin}}
		return p.browser(t)
	}
	own := fmt.Sprintf("process=%d who=ann", os.Getpid())

	a := visit(here.URL)
	first := a.signIn("/campaign/ann", annPassword).cookie(cookieName)
	require.NotEmpty(t, first)
	assert.Equal(t, own, a.get("/campaign/ann").body)

	b := visit(there)
	open := b.withCookie("/campaign/ann", cookieName+"="+first)
	assert.Equal(t, http.StatusOK, open.StatusCode, "a session made here must open there")
	assert.Contains(t, open.body, "who=ann")
	assert.NotEqual(t, own, open.body, "it must be another process")
	assert.Equal(t, http.StatusSeeOther, b.withCookie("/campaign/bob", cookieName+"="+first).StatusCode)

	second := b.signIn("/campaign/ann", annPassword).cookie(cookieName)
	bobs := visit(there).signIn("/campaign/bob", bobPassword).cookie(cookieName)
	assert.Equal(t, own, a.withCookie("/campaign/ann", cookieName+"="+second).body, "and the other way round")

	// What Redis holds opens nothing, and does not stay.
	conn, err := redis.Dial("tcp", store.Addr, redis.DialPassword(store.Password.Reveal()))
	require.NoError(t, err)
	defer conn.Close()
	keys, err := redis.Strings(conn.Do("KEYS", "*"))
	require.NoError(t, err)
	assert.Len(t, keys, 3)
	for _, key := range keys {
		value, err := redis.String(conn.Do("GET", key))
		require.NoError(t, err)
		for _, cookie := range []string{first, second, bobs} {
			assert.NotContains(t, key+value, cookie[:43])
		}
		ttl, err := redis.Int(conn.Do("TTL", key))
		require.NoError(t, err)
		assert.Positive(t, ttl)
		assert.LessOrEqual(t, ttl, int((time.Hour + 5*time.Minute).Seconds()))
	}

	// A sign-out there ends both here.
	assert.Equal(t, http.StatusSeeOther, b.post("/campaign/signout", nil).StatusCode)
	for _, dead := range []string{first, second} {
		assert.Equal(t, http.StatusSeeOther, a.withCookie("/campaign/ann", cookieName+"="+dead).StatusCode)
		assert.Equal(t, http.StatusSeeOther, b.withCookie("/campaign/ann", cookieName+"="+dead).StatusCode)
	}
	assert.Equal(t, http.StatusOK, a.withCookie("/campaign/bob", cookieName+"="+bobs).StatusCode)
	assert.Equal(t, http.StatusSeeOther, a.signIn("/campaign/ann", annPassword).StatusCode)
	assert.Equal(t, own, a.get("/campaign/ann").body)

	// Without its store a node opens nothing.
	_, err = conn.Do("FLUSHALL")
	require.NoError(t, err)
	assert.Equal(t, http.StatusSeeOther, a.get("/campaign/ann").StatusCode)
}

// TestGateCurl walks the whole way with curl and its cookie jar, which knows the rules of
// __Host- cookies and of redirects by itself.
func TestGateCurl(t *testing.T) {
	curl := realsrv.Need(t, "curl")
	p := newProtectedSite(t, nil)
	dir := realsrv.NewDir(t, "")
	files := p.ca.MustIssue(t, testca.Leaf{Names: []string{gateHost}}).MustWriteFiles(t, dir.Path(), "x")
	host, port, _ := strings.Cut(strings.TrimPrefix(p.server.URL, "https://"), ":")
	origin := "https://" + gateHost + ":" + port

	jar := dir.Path("jar")
	run := func(args ...string) string {
		t.Helper()
		all := append([]string{"--silent", "--show-error", "--cacert", files.CA, "--connect-to", gateHost + ":" + port + ":" + host + ":" + port,
			"--cookie", jar, "--cookie-jar", jar, "--max-time", "20", "--write-out", "\n%{http_code} %{url_effective} %{num_redirects}"}, args...)
		out, err := realsrv.Run(t, realsrv.Cmd{Path: curl, Args: all})
		require.NoError(t, err, out)
		return out
	}
	last := func(out string) string { return out[strings.LastIndexByte(out, '\n')+1:] }

	page := run("--location", origin+"/campaign/ann?xmpsrc=mail")
	assert.True(t, strings.HasPrefix(last(page), "200 "+origin+"/campaign/login?"), last(page))
	assert.True(t, strings.HasSuffix(last(page), " 1"), last(page))
	send := func(page, password string) string {
		fields := reply{body: page}.fields(t)
		fields.Set("password", password)
		args := []string{"--location"}
		for k := range fields {
			args = append(args, "--data-urlencode", k+"="+fields.Get(k))
		}
		return run(append(args, origin+"/campaign/login")...)
	}
	bad := send(page, "wrong")
	assert.Equal(t, "403 "+origin+"/campaign/login 0", last(bad))
	good := send(bad, annPassword)
	assert.Equal(t, "200 "+origin+"/campaign/ann?xmpsrc=mail 1", last(good))
	assert.Contains(t, good, "who=ann")
	assert.Contains(t, run(origin+"/campaign/offers.html"), "who=ann")
	assert.Contains(t, last(run("--location", origin+"/campaign/bob")), "200 "+origin+"/campaign/login?rid=bob")
	p.clock.add(time.Hour)
	assert.Contains(t, last(run("--location", origin+"/campaign/ann")), "200 "+origin+"/campaign/login?")
	good = send(run("--location", origin+"/campaign/ann"), annPassword)
	assert.Contains(t, good, "who=ann")
	out := run("--verbose", "--location", "--data", "", origin+"/campaign/signout")
	assert.Equal(t, "200 "+origin+"/campaign/signout 1", last(out))
	assert.Contains(t, out, "signed out")
	// curl reads its jar once more before it writes it, which revives what was deleted. What
	// counts is what it sends after the redirect.
	sent := regexp.MustCompile(`(?m)^> cookie: (.*)$`).FindAllStringSubmatch(strings.ToLower(out), -1)
	require.Len(t, sent, 2, out)
	assert.Contains(t, sent[0][1], strings.ToLower(cookieName)+"=")
	assert.NotContains(t, sent[1][1], strings.ToLower(cookieName)+"=")
	assert.Contains(t, sent[1][1], strings.ToLower(cookieName)+"-device=")
	assert.Equal(t, "303 "+origin+"/campaign/ann 0", last(run(origin+"/campaign/ann")))
}
