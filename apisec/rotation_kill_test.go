package apisec_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// secretServer issues tokens, and has an interface for its clients' secrets: POST /secrets makes
// one and shows it once, GET /secrets?label= lists, DELETE /secrets/KEY revokes.
type secretServer struct {
	mu      sync.Mutex
	secrets map[string]apisec.Credential // by key
	made    int
}

func newSecretServer() *secretServer {
	return &secretServer{secrets: map[string]apisec.Credential{"first": {ClientID: id, KeyID: "first", Secret: connsec.NewSecret(strong)}}}
}

// start serves on loopback, as host.
func (s *secretServer) start(tb testing.TB) (addr string, ca *testca.CA) {
	ca = testca.MustNew(tb)
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, ca.MustIssue(tb, testca.Leaf{Names: []string{host}}).TLS())
	require.NoError(tb, err)
	server := httptest.NewUnstartedServer(s)
	server.TLS, server.Config.ErrorLog = cfg, log.New(io.Discard, "", 0)
	server.StartTLS()
	tb.Cleanup(server.Close)
	return server.Listener.Addr().String(), ca
}

// secretJSON is a secret as the server shows it.
type secretJSON struct {
	ID     string `json:"client_id"`
	Key    string `json:"key_id"`
	Label  string `json:"label"`
	Secret string `json:"client_secret,omitempty"`
}

func (s *secretServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/api/auth/token":
		var in secretJSON
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			answer(w, 400, `{"error":"invalid_request"}`)
			return
		}
		for _, c := range s.secrets {
			if c.ClientID == in.ID && c.Secret.Reveal() == in.Secret {
				answer(w, 200, `{"access_token":"t0ken","token_type":"Bearer","expires_in":1800}`)
				return
			}
		}
		answer(w, 401, `{"error":"invalid_client"}`)
	case r.Method == http.MethodPost && r.URL.Path == "/secrets":
		s.made++
		c := apisec.Credential{ClientID: id, KeyID: fmt.Sprint("k", s.made), Label: r.FormValue("label"), Secret: connsec.NewSecret(fmt.Sprintf("0f9e8d7c6b5a49382716f5e4d3c2b1a0f9%06x", s.made))}
		s.secrets[c.KeyID] = c
		_ = json.NewEncoder(w).Encode(secretJSON{c.ClientID, c.KeyID, c.Label, c.Secret.Reveal()})
	case r.Method == http.MethodGet && r.URL.Path == "/secrets":
		found := []secretJSON{}
		for _, c := range s.secrets {
			if c.Label == r.FormValue("label") {
				found = append(found, secretJSON{c.ClientID, c.KeyID, c.Label, ""})
			}
		}
		_ = json.NewEncoder(w).Encode(found)
	case r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/secrets/"):
		delete(s.secrets, strings.TrimPrefix(r.URL.Path, "/secrets/"))
		w.WriteHeader(http.StatusNoContent)
	default:
		http.NotFound(w, r)
	}
}

// serverIssuer speaks to a secretServer.
type serverIssuer struct{ http *http.Client }

func (i serverIssuer) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+host+":8093"+path, nil)
	if err != nil {
		return err
	}
	resp, err := i.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the server answers %d", resp.StatusCode)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func (i serverIssuer) Create(ctx context.Context, label string) (apisec.Credential, error) {
	var s secretJSON
	err := i.call(ctx, http.MethodPost, "/secrets?label="+url.QueryEscape(label), &s)
	return apisec.Credential{ClientID: s.ID, KeyID: s.Key, Label: s.Label, Secret: connsec.NewSecret(s.Secret)}, err
}

func (i serverIssuer) Lookup(ctx context.Context, label string) ([]apisec.Credential, error) {
	var all []secretJSON
	err := i.call(ctx, http.MethodGet, "/secrets?label="+url.QueryEscape(label), &all)
	var out []apisec.Credential
	for _, s := range all {
		out = append(out, apisec.Credential{ClientID: s.ID, KeyID: s.Key, Label: s.Label})
	}
	return out, err
}

func (i serverIssuer) Revoke(ctx context.Context, c apisec.Credential) error {
	return i.call(ctx, http.MethodDelete, "/secrets/"+url.PathEscape(c.KeyID), nil)
}

// over is a client for a server at an address, whose certificate is verified as ever.
func over(roots *x509.CertPool, addr string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
}

// childSetting is what a child process is told.
type childSetting struct {
	Dir, Addr, CA string
}

const childVariable = "CONNSEC_TEST_ROTATION"

// TestRotationChild is the process that TestKilledProcess kills: it does one turn, and says on
// standard output where it is, before it goes on when it is told to.
func TestRotationChild(t *testing.T) {
	text := os.Getenv(childVariable)
	if text == "" {
		return // this is the parent
	}
	var c childSetting
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	in := bufio.NewReader(os.Stdin)
	at := func(point string) error {
		fmt.Printf("point %s\n", point)
		_, err := in.ReadString('\n')
		return err
	}
	require.NoError(t, c.turn(t, at))
	fmt.Println("ended")
}

// turn does one turn, from wherever an earlier process left it.
func (c childSetting) turn(t *testing.T, at func(string) error) error {
	now := today
	r := c.rotation(t, at)
	r.Now = func() time.Time { return now }
	for range 5 {
		o, err := r.Observe(t.Context())
		if now.Before(o.State.Clock) {
			now = o.State.Clock
		}
		switch {
		case errors.Is(err, apisec.ErrNoRotation):
			_, err = r.Start(t.Context(), apisec.Credential{ClientID: id, KeyID: "first", Secret: connsec.NewSecret(strong), Created: today.AddDate(0, 0, -80)})
		case err != nil:
		case o.State.Step == apisec.Steady:
			return nil
		default:
			if o.State.Step == apisec.Draining {
				now = now.Add(25 * time.Hour)
			}
			_, err = r.Continue(t.Context())
		}
		if err != nil {
			return err
		}
	}
	return errors.New("the turn did not end")
}

// rotation is the child's: files of its own, a server that is the parent's.
func (c childSetting) rotation(tb testing.TB, at func(string) error) apisec.Rotation {
	roots := x509.NewCertPool()
	require.True(tb, roots.AppendCertsFromPEM([]byte(c.CA)))
	setting := with(client(), func(s *apisec.Client) { s.Connect, s.Roots, s.Created = c.Addr, roots, time.Time{} })
	admin := over(roots, c.Addr)
	tb.Cleanup(admin.CloseIdleConnections)
	p := pointed{at: at}
	p.Issuer, p.Verifier = serverIssuer{admin}, apisec.TokenVerifier{Client: setting}
	files := apisec.FileDistributor{Path: filepath.Join(c.Dir, "client.json")}
	store := apisec.FileStore{Path: filepath.Join(c.Dir, "state")}
	p.Distributor = files.WithHook(func(point string) error { return at("clients' file, " + point) })
	return apisec.Rotation{Store: store.WithHook(func(point string) error { return at("state, " + point) }), Issuer: p, Distributor: p, Verifier: p}
}

// pointed says before and after each act where the process is.
type pointed struct {
	apisec.Issuer
	apisec.Verifier
	apisec.Distributor
	at func(string) error
}

func (p pointed) around(name string, do func() error) error {
	return errors.Join(p.at("before "+name), do(), p.at("after "+name))
}

func (p pointed) Create(ctx context.Context, label string) (c apisec.Credential, err error) {
	err = p.around("create", func() (err error) { c, err = p.Issuer.Create(ctx, label); return err })
	return c, err
}

func (p pointed) Revoke(ctx context.Context, c apisec.Credential) error {
	return p.around("revoke", func() error { return p.Issuer.Revoke(ctx, c) })
}

func (p pointed) Verify(ctx context.Context, c apisec.Credential) error {
	var answer error
	err := p.around("verify", func() error { answer = p.Verifier.Verify(ctx, c); return nil })
	return errors.Join(answer, err)
}

func (p pointed) Activate(ctx context.Context, c apisec.Credential) error {
	return p.around("activate", func() error { return p.Distributor.Activate(ctx, c) })
}

func (p pointed) Read(ctx context.Context) (apisec.Credential, error) {
	return p.Distributor.(apisec.Reader).Read(ctx)
}

// TestKilledProcess kills a real process before and after each act, and in the middle of writing
// files, and goes on itself with what that left on the disk and at the server.
func TestKilledProcess(t *testing.T) {
	points := killedAt(t, -1)
	require.Greater(t, len(points), 70)
	// Every act; and of the five points within each write of a file one, another each time.
	writes := 0
	for n, point := range points {
		if strings.Contains(point, ", ") {
			if writes++; (writes/5)%5 != writes%5 {
				continue
			}
		}
		t.Run(fmt.Sprintf("%d %s", n, point), func(t *testing.T) {
			t.Parallel()
			killedAt(t, n)
		})
	}
}

// killedAt does a turn whose process is killed at the n-th point, and returns the points.
func killedAt(t *testing.T, n int) []string {
	server := newSecretServer()
	addr, ca := server.start(t)
	c := childSetting{Dir: t.TempDir(), Addr: addr, CA: string(ca.PEM())}
	first := apisec.FileDistributor{Path: filepath.Join(c.Dir, "client.json")}
	require.NoError(t, first.Activate(t.Context(), apisec.Credential{ClientID: id, Secret: connsec.NewSecret(strong)}))

	points, ended := runChild(t, c, n, func() {})
	if n >= 0 {
		require.False(t, ended)
		require.NoError(t, c.turn(t, func(string) error { return nil }))
	} else {
		require.True(t, ended)
	}

	// The same end: one secret lives, clients have it, it is the one on record.
	server.mu.Lock()
	defer server.mu.Unlock()
	require.Len(t, server.secrets, 1)
	used, err := first.Read(t.Context())
	require.NoError(t, err)
	o, err := apisec.Rotation{Store: apisec.FileStore{Path: filepath.Join(c.Dir, "state")}, Now: func() time.Time { return today.AddDate(0, 0, 3) }}.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, apisec.Steady, o.State.Step)
	require.Equal(t, 1, o.State.Turns)
	for key, live := range server.secrets {
		require.NotEqual(t, "first", key)
		require.True(t, used.Secret.Equal(live.Secret))
		require.Equal(t, key, o.State.Current.KeyID)
	}
	files, err := os.ReadDir(c.Dir)
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	assert.Equal(t, []string{"client.json", "state", "state.lock"}, names, "nothing with a secret in it is left behind")
	state, err := os.ReadFile(filepath.Join(c.Dir, "state"))
	require.NoError(t, err)
	assert.NotContains(t, string(state), used.Secret.Reveal())
	assert.NotContains(t, string(state), strong)
	return points
}

// Two processes: while one is at work the other is told so, and does nothing; when the first
// dies, the lock is free.
func TestTwoProcesses(t *testing.T) {
	server := newSecretServer()
	addr, ca := server.start(t)
	c := childSetting{Dir: t.TempDir(), Addr: addr, CA: string(ca.PEM())}
	r := c.rotation(t, func(string) error { return nil })
	r.Now = func() time.Time { return today }
	place := apisec.FileDistributor{Path: filepath.Join(c.Dir, "client.json")}
	require.NoError(t, place.Activate(t.Context(), apisec.Credential{ClientID: id, Secret: connsec.NewSecret(strong)}))
	met := false
	_, ended := runChild(t, c, 20, func() {
		met = true
		_, err := r.Continue(t.Context())
		assert.ErrorIs(t, err, apisec.ErrLocked)
		_, err = r.Abort(t.Context())
		assert.ErrorIs(t, err, apisec.ErrLocked)
		o, err := r.Observe(t.Context())
		assert.NoError(t, err, "looking is free")
		assert.NotEqual(t, apisec.Steady, o.State.Step)
	})
	require.True(t, met)
	require.False(t, ended)
	o, err := r.Continue(t.Context())
	require.NoError(t, err)
	assert.Equal(t, apisec.Draining, o.State.Step)
}

// runChild runs one process and kills it at the n-th point, -1: never. Before it does, it calls
// meanwhile.
func runChild(t *testing.T, c childSetting, n int, meanwhile func()) (points []string, ended bool) {
	setting, err := json.Marshal(c)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-test.run=^TestRotationChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), childVariable+"="+string(setting))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var said strings.Builder
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		line := lines.Text()
		point, is := strings.CutPrefix(line, "point ")
		switch {
		case line == "ended":
			ended = true
		case !is:
			said.WriteString(line + "\n")
		case len(points) == n:
			meanwhile()
			require.NoError(t, cmd.Process.Kill())
		default:
			points = append(points, point)
			_, err := io.WriteString(stdin, "\n")
			require.NoError(t, err)
		}
	}
	if err := cmd.Wait(); n < 0 {
		require.NoError(t, err, "%s%s", said.String(), stderr.String())
	}
	return points, ended
}
