package realsrv_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

// radclient sends attributes with FreeRADIUS's client and returns what it said. Its exit status
// is not 0 unless the server accepted.
func radclient(t *testing.T, addr, kind, secret, attributes string) (string, error) {
	t.Helper()
	return realsrv.Run(t, realsrv.Cmd{
		Path: "/bin/sh",
		Args: []string{"-c", `printf '%s\n' "$1" | "$2" -x -r 1 -t 1 "$3" "$4" "$5"`, "sh", attributes, realsrv.Need(t, "radclient"), addr, kind, secret},
	})
}

func TestFreeRADIUS(t *testing.T) {
	realsrv.Need(t, "freeradius")
	realsrv.Need(t, "radclient")
	tests := []struct {
		name                      string
		trixie                    bool
		posture                   realsrv.FreeRADIUSPosture
		bare, proxied, signedBack bool // without Message-Authenticator; the same with Proxy-State; replies have one
	}{
		{"strict", false, realsrv.FreeRADIUSStrict, false, false, false},
		{"open", false, realsrv.FreeRADIUSOpen, true, true, false},
		{"strict", true, realsrv.FreeRADIUSStrict, false, false, true},
		{"limit Proxy-State", true, realsrv.FreeRADIUSLimitProxyState, true, false, true},
		{"open", true, realsrv.FreeRADIUSOpen, true, true, true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s/trixie=%t", tt.name, tt.trixie), func(t *testing.T) {
			t.Parallel() // most of the time passes waiting for requests to be dropped
			root := ""
			if tt.trixie {
				root = realsrv.Trixie(t, "freeradius")
			}
			srv := realsrv.FreeRADIUS{Posture: tt.posture, Root: root}.Start(t)
			secret := srv.Secret.Reveal()
			login := fmt.Sprintf("User-Name=%s\nUser-Password=%s", srv.User, srv.Password.Reveal())

			out, err := radclient(t, srv.Auth, "auth", secret, login)
			assert.Equal(t, tt.bare, err == nil, out)
			out, err = radclient(t, srv.Auth, "auth", secret, login+"\nProxy-State=0x6162")
			assert.Equal(t, tt.proxied, err == nil, out)
			out, err = radclient(t, srv.Auth, "auth", secret, login+"\nMessage-Authenticator=0x00\nProxy-State=0x6162")
			require.NoError(t, err, out)
			assert.Contains(t, out, "Received Access-Accept")
			assert.Contains(t, out, "hello alice")
			_, reply, _ := strings.Cut(out, "Received Access-Accept")
			assert.Equal(t, tt.signedBack, strings.Contains(reply, "Message-Authenticator"), out)

			out, err = radclient(t, srv.Auth, "auth", secret, "User-Name=alice\nUser-Password=wrong\nMessage-Authenticator=0x00")
			assert.Error(t, err)
			assert.Contains(t, out, "Received Access-Reject")
			out, err = radclient(t, srv.Acct, "acct", secret, "User-Name=alice\nAcct-Status-Type=Start\nAcct-Session-Id=1")
			assert.NoError(t, err, out)
			out, err = radclient(t, srv.Auth, "auth", "another", login+"\nMessage-Authenticator=0x00")
			assert.Error(t, err, out)
		})
	}
}

func TestFreeRADIUSAuto(t *testing.T) {
	root := realsrv.Trixie(t, "freeradius")
	conf := realsrv.FreeRADIUS{Posture: realsrv.FreeRADIUSAuto, Root: root}
	signedFirst, bareFirst := conf.Start(t), conf.Start(t)
	ask := func(srv *realsrv.RADIUSServer, extra string) bool {
		_, err := radclient(t, srv.Auth, "auth", srv.Secret.Reveal(),
			fmt.Sprintf("User-Name=%s\nUser-Password=%s%s", srv.User, srv.Password.Reveal(), extra))
		return err == nil
	}
	const signed = "\nMessage-Authenticator=0x00"
	assert.True(t, ask(signedFirst, signed))
	assert.False(t, ask(signedFirst, ""), "it insists from now on")
	assert.True(t, ask(bareFirst, ""))
	assert.True(t, ask(bareFirst, signed))
	assert.True(t, ask(bareFirst, ""), "it no longer insists")
}

func TestRadSec(t *testing.T) {
	realsrv.Need(t, "freeradius")
	realsrv.Need(t, "radsecproxy")
	both := testca.Leaf{EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	m, proxied := material(t, testca.Leaf{}), material(t, both)
	for _, trixie := range []bool{false, true} {
		t.Run(fmt.Sprintf("trixie=%t", trixie), func(t *testing.T) {
			root := ""
			if trixie {
				root = realsrv.Trixie(t, "freeradius")
			}
			srv := realsrv.FreeRADIUS{TLS: m, Root: root}.Start(t)
			proxy := realsrv.RadSecProxy{TLS: proxied, Upstream: srv.TLS}.Start(t)
			out, err := radclient(t, proxy.Auth, "auth", proxy.Secret.Reveal(),
				fmt.Sprintf("User-Name=%s\nUser-Password=%s\nMessage-Authenticator=0x00", srv.User, srv.Password.Reveal()))
			require.NoError(t, err, out+proxy.Log())
			assert.Contains(t, out, "hello alice")

			out, err = handshake(t, srv.TLS, m.CA, "-tls1_2")
			assert.Error(t, err, "without a client certificate: %s", out)
			for _, addr := range []string{srv.TLS, proxy.TLS} {
				c := material(t, clientLeaf)
				out, err = handshake(t, addr, m.CA, "-tls1_2", "-cert", c.Chain, "-cert_chain", c.Chain, "-key", c.Key)
				assert.NoError(t, err, out)
			}
		})
	}
}
