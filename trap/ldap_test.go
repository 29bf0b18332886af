package trap_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec/internal/ldapwire"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/trap"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func startLDAP(t testing.TB, p trap.LDAPPosture) *trap.LDAP {
	t.Helper()
	s, err := trap.NewLDAP(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// lastLDAP waits for n connections to end and returns the record of the last.
func lastLDAP(t testing.TB, s *trap.LDAP, n int) trap.LDAPConnection {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, s.Await(ctx, n))
	return s.Observed()[n-1]
}

func ldapTLS(s *trap.LDAP) *tls.Config {
	return &tls.Config{RootCAs: s.Roots(), ServerName: "server.trap.test", MinVersion: tls.VersionTLS12}
}

func TestTheHonestLDAPTrapServesGoLDAP(t *testing.T) {
	s := startLDAP(t, trap.LDAPHonest)
	use := func(conn *ldap.Conn) {
		t.Helper()
		require.NoError(t, conn.Bind("cn=svc", "pw"))
		res, err := conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, nil))
		require.NoError(t, err)
		assert.Equal(t, "dc=corp,dc=example", res.Entries[0].GetAttributeValue("namingContexts"))
		require.NoError(t, conn.Close())
	}
	conn, err := ldap.DialURL(s.URL(), ldap.DialWithTLSConfig(ldapTLS(s)))
	require.NoError(t, err)
	use(conn)
	r := lastLDAP(t, s, 1)
	assert.Equal(t, trap.Trusted, r.TLS.Trust)
	assert.True(t, r.Bind && r.Password && r.ClosedByClient)
	assert.False(t, r.Cleartext || r.BindInClear || r.PasswordInClear || r.StartTLS)
	assert.Equal(t, 1, r.Searches)

	conn, err = ldap.DialURL("ldap://" + s.Addr())
	require.NoError(t, err)
	require.NoError(t, conn.StartTLS(ldapTLS(s)))
	use(conn)
	r = lastLDAP(t, s, 2)
	assert.True(t, r.StartTLS && r.Cleartext && r.Password)
	assert.False(t, r.PasswordInClear)

	conn, err = ldap.DialURL("ldap://" + s.Addr())
	require.NoError(t, err)
	assert.True(t, ldap.IsErrorWithCode(conn.Bind("cn=svc", "pw"), ldap.LDAPResultConfidentialityRequired))
	require.NoError(t, conn.Close())
	r = lastLDAP(t, s, 3)
	assert.True(t, r.BindInClear && r.PasswordInClear, "the refusal comes too late for the client")
}

func TestGoLDAPRefusesBadCertificates(t *testing.T) {
	for _, p := range []trap.LDAPPosture{trap.LDAPExpired, trap.LDAPWrongName, trap.LDAPSelfSigned, trap.LDAPUntrusted} {
		t.Run(p.String(), func(t *testing.T) {
			s := startLDAP(t, p)
			_, err := ldap.DialURL(s.URL(), ldap.DialWithTLSConfig(ldapTLS(s)))
			require.Error(t, err)
			r := lastLDAP(t, s, 1)
			assert.Equal(t, trap.Refused, r.TLS.Trust)
			assert.False(t, r.Bind)
		})
	}
}

func TestACarelessLDAPClientIsCaught(t *testing.T) {
	t.Run("falls back to clear when START TLS is stripped", func(t *testing.T) {
		s := startLDAP(t, trap.LDAPStripping)
		conn, err := ldap.DialURL("ldap://" + s.Addr())
		require.NoError(t, err)
		require.Error(t, conn.StartTLS(ldapTLS(s)))
		require.NoError(t, conn.Close())
		conn, err = ldap.DialURL("ldap://" + s.Addr())
		require.NoError(t, err)
		require.NoError(t, conn.Bind("cn=svc", "pw"), "the attacker plays along")
		require.NoError(t, conn.Close())
		assert.True(t, lastLDAP(t, s, 2).PasswordInClear)
		assert.True(t, s.Observed()[0].StartTLS)
	})
	t.Run("takes an injected answer for the server's", func(t *testing.T) {
		s := startLDAP(t, trap.LDAPInjecting)
		// The careless client reads more than one message before it starts TLS, and keeps it.
		raw, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		defer raw.Close()
		_, err = raw.Write(ldapwire.Extended(1, ldapwire.OIDStartTLS))
		require.NoError(t, err)
		for _, op := range []byte{ldapwire.OpExtendedResponse, ldapwire.OpBindResponse} {
			m, err := ldapwire.Read(raw, ldapwire.MaxMessage)
			require.NoError(t, err)
			assert.Equal(t, op, m.Op)
		}
		inside := tls.Client(raw, ldapTLS(s))
		_, err = inside.Write(ldapwire.Bind(2, "cn=svc", ldapwire.AuthSimple, []byte("pw"))) // which it takes for answered
		require.NoError(t, err)
		_, err = inside.Write(ldapwire.Search(3, "dc=corp", ldapwire.ScopeSub, 1, 1))
		require.NoError(t, err)
		require.NoError(t, inside.Close())
		r := lastLDAP(t, s, 1)
		assert.Equal(t, 1, r.Searches, "it goes on after a bind that was refused")
	})
	t.Run("follows a referral into the clear", func(t *testing.T) {
		s := startLDAP(t, trap.LDAPReferring)
		conn, err := ldap.DialURL(s.URL(), ldap.DialWithTLSConfig(ldapTLS(s)))
		require.NoError(t, err)
		require.NoError(t, conn.Bind("cn=svc", "pw"))
		_, err = conn.Search(ldap.NewSearchRequest("dc=corp", ldap.ScopeBaseObject, 0, 0, 0, false, "(a=*)", nil, nil))
		var refused *ldap.Error
		require.ErrorAs(t, err, &refused)
		require.NoError(t, conn.Close())
		next, err := ldap.DialURL("ldap://" + s.Addr())
		require.NoError(t, err)
		require.NoError(t, next.Bind("cn=svc", "pw"))
		require.NoError(t, next.Close())
		assert.True(t, lastLDAP(t, s, 2).PasswordInClear)
	})
}

// TestGoLDAPIsNotTakenInByTheInjection: it forgets what it has read before TLS.
func TestGoLDAPIsNotTakenInByTheInjection(t *testing.T) {
	s := startLDAP(t, trap.LDAPInjecting)
	conn, err := ldap.DialURL("ldap://" + s.Addr())
	require.NoError(t, err)
	if conn.StartTLS(ldapTLS(s)) == nil {
		assert.True(t, ldap.IsErrorWithCode(conn.Bind("cn=svc", "pw"), ldap.LDAPResultInvalidCredentials))
	}
	require.NoError(t, conn.Close())
	assert.False(t, lastLDAP(t, s, 1).PasswordInClear)
}

func TestTheBufferingTrapCarriesOutWhatWasGlued(t *testing.T) {
	for _, p := range []trap.LDAPPosture{trap.LDAPBuffering, trap.LDAPHonest} {
		s := startLDAP(t, p)
		raw, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		_, err = raw.Write(append(ldapwire.Extended(1, ldapwire.OIDStartTLS), ldapwire.Search(2, "", ldapwire.ScopeBase, 1, 1)...))
		require.NoError(t, err)
		_, err = ldapwire.Read(raw, ldapwire.MaxMessage)
		require.NoError(t, err)
		inside := tls.Client(raw, ldapTLS(s))
		err = inside.Handshake()
		if p == trap.LDAPHonest {
			assert.Error(t, err)
		} else {
			require.NoError(t, err)
			m, err := ldapwire.Read(inside, ldapwire.MaxMessage)
			require.NoError(t, err)
			assert.EqualValues(t, 2, m.ID)
		}
		require.NoError(t, raw.Close())
	}
}

// TestLdapsearchAgrees has an independent client say of each posture what the trap says of
// the client.
func TestLdapsearchAgrees(t *testing.T) {
	program := realsrv.Need(t, "ldapsearch")
	for name, tc := range map[string]struct {
		posture trap.LDAPPosture
		scheme  string
		args    []string
		status  int // LDAP result, 254 and 255 for no answer or connection, 1 for no START TLS
		check   func(t *testing.T, r trap.LDAPConnection)
	}{
		"honest LDAPS": {trap.LDAPHonest, "ldaps", nil, 0, func(t *testing.T, r trap.LDAPConnection) {
			assert.True(t, r.Password && r.TLS.Trust == trap.Trusted && !r.PasswordInClear)
		}},
		"honest START TLS": {trap.LDAPHonest, "ldap", []string{"-ZZ"}, 0, func(t *testing.T, r trap.LDAPConnection) {
			assert.True(t, r.StartTLS && r.Password && !r.PasswordInClear)
		}},
		"expired":     {trap.LDAPExpired, "ldaps", nil, 255, refusedTLS},
		"wrong name":  {trap.LDAPWrongName, "ldaps", nil, 255, refusedTLS},
		"self-signed": {trap.LDAPSelfSigned, "ldaps", nil, 255, refusedTLS},
		"untrusted":   {trap.LDAPUntrusted, "ldaps", nil, 255, refusedTLS},
		"stripped, and START TLS required": {trap.LDAPStripping, "ldap", []string{"-ZZ"}, 1, func(t *testing.T, r trap.LDAPConnection) {
			assert.True(t, r.StartTLS && !r.Bind)
		}},
		"stripped, and START TLS hoped for": {trap.LDAPStripping, "ldap", []string{"-Z"}, 0, func(t *testing.T, r trap.LDAPConnection) {
			assert.True(t, r.StartTLS && r.PasswordInClear)
		}},
		"no TLS": {trap.LDAPPlaintext, "ldap", nil, 0, func(t *testing.T, r trap.LDAPConnection) { assert.True(t, r.PasswordInClear) }},
		"389-ds": {trap.LDAP389, "ldap", nil, 13, func(t *testing.T, r trap.LDAPConnection) { assert.True(t, r.PasswordInClear) }},
		"domain controller": {trap.LDAPController, "ldap", nil, 8, func(t *testing.T, r trap.LDAPConnection) {
			assert.True(t, r.PasswordInClear)
		}},
		"oversize":   {trap.LDAPOversize, "ldaps", nil, 254, func(*testing.T, trap.LDAPConnection) {}},
		"indefinite": {trap.LDAPIndefinite, "ldaps", nil, 254, func(*testing.T, trap.LDAPConnection) {}},
		"banner":     {trap.LDAPBanner, "ldaps", nil, 254, func(*testing.T, trap.LDAPConnection) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := 10 * time.Second
			if tc.posture == trap.LDAPOversize || tc.posture == trap.LDAPBanner {
				limit = 2 * time.Second // ldapsearch waits for the rest until the trap has had enough
			}
			s, err := trap.Options{Names: []string{"127.0.0.1"}, Timeout: limit}.LDAP(tc.posture)
			require.NoError(t, err)
			defer s.Close()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(ca, s.CA(), 0o600))
			out, err := realsrv.Run(t, realsrv.Cmd{
				Path: program,
				Args: append([]string{"-x", "-D", "cn=svc", "-w", "pw", "-H", tc.scheme + "://" + s.Addr(), "-s", "base", "-b", "", "-o", "nettimeout=3"}, tc.args...),
				Env:  []string{"LDAPTLS_CACERT=" + ca},
			})
			assert.Equal(t, tc.status, exitStatus(err), "%s", out)
			tc.check(t, lastLDAP(t, s, 1))
		})
	}
}

func refusedTLS(t *testing.T, r trap.LDAPConnection) {
	// libldap looks at the certificate after the handshake, and leaves without a word.
	assert.NotEqual(t, trap.Trusted, r.TLS.Trust)
	assert.False(t, r.Bind)
}

func exitStatus(err error) int {
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestLDAPPostureNames(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range trap.LDAPPostures() {
		back, err := trap.ParseLDAPPosture(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, back)
		assert.False(t, seen[p.String()])
		seen[p.String()] = true
	}
	_, err := trap.ParseLDAPPosture("honset")
	assert.ErrorContains(t, err, "one of honest, ")
	_, err = trap.NewLDAP(200)
	assert.Error(t, err)
	assert.True(t, strings.HasPrefix(trap.LDAPPosture(200).String(), "LDAP posture("))
}

func TestTheLDAPTrapEndsWithItsClients(t *testing.T) {
	for _, p := range trap.LDAPPostures() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := startLDAP(t, p)
			for _, data := range [][]byte{ldapwire.Search(1, "", 0, 1, 1), []byte("GET / HTTP/1.0\r\n\r\n"), {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, {0x16, 3, 1}, nil} {
				conn, err := net.Dial("tcp", s.Addr())
				require.NoError(t, err)
				_, err = conn.Write(data)
				require.NoError(t, err)
				require.NoError(t, conn.Close())
			}
			lastLDAP(t, s, 4)
		})
	}
}

func ExampleNewLDAP() {
	s, err := trap.NewLDAP(trap.LDAPStripping)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	// A client with a setting without TLS.
	conn, err := ldap.DialURL("ldap://" + s.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = conn.Bind("cn=svc", "password")
	_ = conn.Close()

	_ = s.Await(context.Background(), 1)
	for _, c := range s.Observed() {
		fmt.Println("password in clear:", c.PasswordInClear)
	}
	// Output: password in clear: true
}
