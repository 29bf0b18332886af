package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/securl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a browser without scripts that trusts the given servers.
func client(t *testing.T, servers ...*server) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	roots := servers[0].ca.Pool()
	for _, s := range servers[1:] {
		roots.AddCert(s.ca.Root)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second}
}

func get(t *testing.T, c *http.Client, address string) string {
	t.Helper()
	r, err := c.Get(address)
	require.NoError(t, err)
	return body(t, r)
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(text)
}

var hidden = regexp.MustCompile(`name="(rid|iid|to|token)" value="([^"]*)"`)

// signIn opens a recipient's address and sends the form.
func signIn(t *testing.T, c *http.Client, s *server, p person) string {
	t.Helper()
	form := url.Values{"password": {p.password}}
	for _, m := range hidden.FindAllStringSubmatch(get(t, c, s.url+p.key), -1) {
		form.Set(m[1], m[2])
	}
	r, err := c.PostForm(s.url+"login", form)
	require.NoError(t, err)
	return body(t, r)
}

func signOut(t *testing.T, c *http.Client, s *server) {
	t.Helper()
	r, err := c.Post(s.url+"signout", "application/x-www-form-urlencoded", nil)
	require.NoError(t, err)
	assert.Contains(t, body(t, r), "You are signed out")
}

func TestEachRecipientSeesTheirOwnPage(t *testing.T) {
	s, err := start(options{listen: "127.0.0.1:0", now: time.Now})
	require.NoError(t, err)
	defer s.close()
	for _, p := range people {
		c := client(t, s)
		assert.NotContains(t, get(t, c, s.url+p.key), p.name)
		assert.Contains(t, signIn(t, c, s, p), "Hello "+p.name)
		page := get(t, c, s.url+"offer.html")
		assert.Contains(t, page, p.offer)
		for _, other := range people {
			if other.key != p.key {
				assert.NotContains(t, page, other.offer)
				assert.NotContains(t, get(t, c, s.url+other.key), other.name)
			}
		}
		signOut(t, c, s)
		assert.NotContains(t, get(t, c, s.url+p.key), p.name)
	}
}

func TestUnknownContentObjectIsRefused(t *testing.T) {
	c, err := newCampaign()
	require.NoError(t, err)
	p := people[0]
	err = c.SetValues(t.Context(), p.key, map[string]string{"City": "Nice", "Nope": "x"})
	require.ErrorIs(t, err, securl.ErrNotAccepted, "the visitor's fault, not the service's")
	got, err := c.Values(t.Context(), p.key, []string{"City"})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"City": p.city}, got, "all or none")
}

func TestServersShareSessionsInRedis(t *testing.T) {
	store := realsrv.Redis{}.Start(t)
	o := options{listen: "127.0.0.1:0", redis: store.Addr, redisPassword: store.Password, now: time.Now}
	one, err := start(o)
	require.NoError(t, err)
	defer one.close()
	two, err := start(o)
	require.NoError(t, err)
	defer two.close()
	c := client(t, one, two)
	p := people[1]
	require.Contains(t, signIn(t, c, one, p), "Hello "+p.name)
	assert.Contains(t, get(t, c, two.url+p.key), "Hello "+p.name, "signed in at one, known at the other")
	signOut(t, c, two)
	assert.NotContains(t, get(t, c, one.url+p.key), p.name, "signed out at one, gone at the other")
}

func TestRedisThatDoesNotAnswer(t *testing.T) {
	o := options{listen: "127.0.0.1:0", redis: "127.0.0.1:1", redisPassword: connsec.NewSecret("hunter2"), now: time.Now}
	_, err := start(o)
	require.ErrorContains(t, err, "no answer from Redis at 127.0.0.1:1: ")
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	t.Chdir(t.TempDir())
	const ca = "ca.pem"
	in, typed := io.Pipe()
	out, printed := io.Pipe()
	var code int
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer printed.Close()
		code = Run(ctx, []string{"--listen", "127.0.0.1:0", "--ca", ca}, in, printed, printed)
	}()
	lines := bufio.NewReader(out)
	until := func(want string) string {
		for {
			line, err := lines.ReadString('\n')
			require.NoError(t, err, "before %q", want)
			assert.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 80)
			if strings.Contains(line, want) {
				return line
			}
		}
	}
	link := strings.TrimSpace(until(people[0].key))
	until("Ctrl-C")
	pem, err := os.ReadFile(ca)
	require.NoError(t, err)
	assert.Contains(t, string(pem), "BEGIN CERTIFICATE")
	assert.Regexp(t, `^https://localhost:\d+/campaign/`+people[0].key+`$`, link)
	_, err = typed.Write([]byte("\n"))
	require.NoError(t, err)
	until("hour has passed")
	require.NoError(t, typed.Close())
	cancel()
	<-done
	assert.Zero(t, code)
}

func TestMistakesAreOneLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--port", "1"}, "flag provided but not defined: -port; --help explains"},
		{[]string{"now"}, `unknown argument "now"; --help explains`},
		{[]string{"--listen", "127.0.0.1:99999"}, "cannot listen on 127.0.0.1:99999"},
		{[]string{"--redis-password-file", "/nonexistent"}, "no such file"},
		{[]string{"--listen", "127.0.0.1:0", "--ca", "/nonexistent/ca.pem"}, "no such file"},
	} {
		var out, errOut strings.Builder
		assert.Equal(t, 2, Run(t.Context(), c.args, strings.NewReader(""), &out, &errOut), c.args)
		assert.Contains(t, errOut.String(), c.want)
		assert.Equal(t, 1, strings.Count(errOut.String(), "\n"))
	}
	var out, errOut strings.Builder
	assert.Zero(t, Run(t.Context(), []string{"--help"}, strings.NewReader(""), &out, &errOut))
	assert.Contains(t, out.String(), "usage: protected-site")
}
