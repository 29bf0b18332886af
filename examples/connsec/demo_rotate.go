package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/tlscheck"
)

// demoRotation lets the secret of one client turn once, against a token endpoint on loopback and
// with a clock of its own, and tells what happens.
func demoRotation(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "connsec-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	const name = "central.corp.internal"
	ca, err := testca.New(testca.Options{})
	if err != nil {
		return err
	}
	leaf, err := ca.Issue(testca.Leaf{Names: []string{name}})
	if err != nil {
		return err
	}
	first := apisec.Credential{ClientID: "reports", KeyID: "key-1", Secret: apisec.NewSecret()}
	endpoint := &demoIssuer{secrets: map[string]apisec.Credential{first.KeyID: first}, made: 1}
	addr, stop, err := endpoint.serve(leaf.TLS())
	if err != nil {
		return err
	}
	defer stop()

	now := time.Now()
	first.Created = now.AddDate(0, 0, -76)
	place := apisec.FileDistributor{Path: filepath.Join(dir, "client.json")}
	if err := place.Activate(ctx, first); err != nil {
		return err
	}
	began := now
	n := &narrator{demoIssuer: endpoint, FileDistributor: place, say: func(step, what string) {
		at := "day 76"
		if d := now.Sub(began); d > time.Hour {
			at = fmt.Sprintf("+%d h", int(d.Hours()))
		}
		fmt.Fprintf(w, "  %-7s %-9s %s\n", at, step, what)
	}}
	client := apisec.Client{TokenURL: "https://" + name + "/api/auth/token", Connect: addr, Roots: ca.Pool()}
	n.verifier = apisec.TokenVerifier{Client: client}
	r := apisec.Rotation{
		Name: "reports", Store: apisec.FileStore{Path: filepath.Join(dir, "state")}, Issuer: n, Distributor: n, Verifier: n,
		Now: func() time.Time { return now },
	}
	o, err := r.Start(ctx, first)
	if err != nil {
		return err
	}
	for range 5 { // it takes two
		if o, err = r.Continue(ctx); err != nil {
			return err
		}
		if o.State.Step == apisec.Steady {
			break
		}
		if _, from := o.Next(); from.After(now) {
			now = from
		}
	}
	used, err := place.Read(ctx)
	if err != nil {
		return err
	}
	if o.State.Step != apisec.Steady || o.State.Turns != 1 || endpoint.live() != 1 || !endpoint.accepts(used) || endpoint.accepts(first) {
		return errors.New("the demo's rotation did not end as it should; please report this as a defect")
	}
	return nil
}

// narrator tells what a rotation does.
type narrator struct {
	*demoIssuer
	apisec.FileDistributor
	verifier apisec.TokenVerifier
	say      func(step, what string)
}

func (n *narrator) Create(ctx context.Context, label string) (apisec.Credential, error) {
	c, err := n.demoIssuer.Create(ctx, label)
	n.say("create", fmt.Sprintf("the server makes %s beside the one in use", c.KeyID))
	return c, err
}

func (n *narrator) Stage(ctx context.Context, c apisec.Credential) error {
	n.say("stage", "it is written beside the clients' file, mode 0600")
	return n.FileDistributor.Stage(ctx, c)
}

func (n *narrator) Activate(ctx context.Context, c apisec.Credential) error {
	n.say("activate", "clients read "+c.KeyID+" from now on; the old one drains")
	return n.FileDistributor.Activate(ctx, c)
}

func (n *narrator) Revoke(ctx context.Context, c apisec.Credential) error {
	n.say("revoke", "the server is told to forget "+c.KeyID)
	return n.demoIssuer.Revoke(ctx, c)
}

func (n *narrator) Verify(ctx context.Context, c apisec.Credential) error {
	err := n.verifier.Verify(ctx, c)
	name := c.KeyID
	if name == "" {
		name = "a secret that does not exist"
	}
	said := name + " gets a token"
	var answer *apisec.TokenError
	switch {
	case errors.As(err, &answer):
		said = fmt.Sprintf("%s gets none: %d %s", name, answer.Status, answer.Code)
	case err != nil:
		said = "it cannot be told whether " + name + " works"
	}
	n.say("verify", said)
	return err
}

// demoIssuer is a small server of tokens, whose clients have several secrets. It makes and
// revokes them itself.
type demoIssuer struct {
	mu      sync.Mutex
	secrets map[string]apisec.Credential // by key
	made    int
	status  int // of every answer, if not 0
}

// serve listens on loopback.
func (e *demoIssuer) serve(certificate tls.Certificate) (addr string, stop func(), err error) {
	cfg, err := tlscheck.ServerConfig(tlscheck.Modern, certificate)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: e, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(tls.NewListener(listener, cfg)) }()
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

func (e *demoIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		var body struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
		_ = json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&body)
		id, secret = body.ID, body.Secret
	}
	status, answer := http.StatusUnauthorized, `{"error":"invalid_client"}`
	if e.accepts(apisec.Credential{ClientID: id, Secret: connsec.NewSecret(secret)}) {
		status, answer = http.StatusOK, `{"access_token":"demo","token_type":"Bearer","expires_in":1800}`
	}
	e.mu.Lock()
	if e.status != 0 {
		status, answer = e.status, ""
	}
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func (e *demoIssuer) accepts(c apisec.Credential) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, live := range e.secrets {
		if live.ClientID == c.ClientID && live.Secret.Equal(c.Secret) {
			return true
		}
	}
	return false
}

func (e *demoIssuer) live() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.secrets)
}

// Create implements [apisec.Issuer].
func (e *demoIssuer) Create(_ context.Context, label string) (apisec.Credential, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made++
	c := apisec.Credential{ClientID: "reports", KeyID: "key-" + strconv.Itoa(e.made), Label: label, Secret: apisec.NewSecret()}
	e.secrets[c.KeyID] = c
	return c, nil
}

// Lookup implements [apisec.Issuer].
func (e *demoIssuer) Lookup(_ context.Context, label string) (found []apisec.Credential, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.secrets {
		if c.Label == label {
			found = append(found, c)
		}
	}
	return found, nil
}

// Revoke implements [apisec.Issuer].
func (e *demoIssuer) Revoke(_ context.Context, c apisec.Credential) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.secrets, c.KeyID)
	return nil
}
