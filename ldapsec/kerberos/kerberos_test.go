package kerberos_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/ldapsec"
	"github.com/connsec/connsec/ldapsec/kerberos"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ ldapsec.GSSClient = (*kerberos.Client)(nil)

// one resolves every name to one address.
type one netip.Addr

func (o one) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.Addr(o)}, nil
}

func (one) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{IsNotFound: true}
}

// unbound drops the channel binding, as clients without support for it do.
type unbound struct{ *kerberos.Client }

func (u unbound) Init(ctx context.Context, service string, _ []byte) ([]byte, error) {
	return u.Client.Init(ctx, service, nil)
}

// wrong binds to another certificate.
type wrong struct{ *kerberos.Client }

func (w wrong) Init(ctx context.Context, service string, _ []byte) ([]byte, error) {
	return w.Client.Init(ctx, service, []byte("tls-server-end-point:another certificate"))
}

func TestSambaTakesTheBoundTicketOnly(t *testing.T) {
	realsrv.Need(t, "samba")
	root := realsrv.Trixie(t, "samba")
	ca := testca.MustNew(t)
	files := ca.MustIssue(t, testca.Leaf{Names: []string{realsrv.SambaHost}}).MustWriteFiles(t, t.TempDir(), "dc")
	srv := realsrv.Samba{TLS: realsrv.Material(files), Root: root}.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := ldapsec.Config{
		Servers: []string{realsrv.SambaHost}, Method: ldapsec.Kerberos, Roots: ca.Pool(), Resolver: one(netip.MustParseAddr(srv.IP)),
	}
	whoAmI := func(g ldapsec.GSSClient) (string, error) {
		c := c
		c.Kerberos = g
		conn, err := c.Dial(ctx)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		who, err := conn.WhoAmI(nil)
		if err != nil {
			return "", err
		}
		return who.AuthzID, nil
	}
	const administrator = `u:CORP\Administrator`

	client, err := kerberos.FromPassword(srv.User, realsrv.SambaRealm, srv.Password, srv.KRB5Config)
	require.NoError(t, err)
	defer client.Destroy()
	who, err := whoAmI(client)
	require.NoError(t, err)
	assert.Equal(t, administrator, who)
	who, err = whoAmI(client)
	require.NoError(t, err, "again, with the ticket that is there")
	assert.Equal(t, administrator, who)

	_, err = whoAmI(unbound{client})
	assert.ErrorContains(t, err, "80090346")
	_, err = whoAmI(wrong{client})
	assert.ErrorContains(t, err, "80090346")

	t.Run("credential cache", func(t *testing.T) {
		run := func(program string, args ...string) {
			t.Helper()
			out, err := realsrv.Run(t, realsrv.Cmd{Path: realsrv.Need(t, program), Args: args, Env: srv.Env(t), Secrets: []string{srv.Password.Reveal()}})
			require.NoError(t, err, "%s", out)
		}
		run("sh", "-c", `printf %s "$1" | kinit "$2"`, "sh", srv.Password.Reveal(), srv.User)
		client, err := kerberos.FromCache(filepath.Join(filepath.Dir(srv.KRB5Config), "ccache"), srv.KRB5Config)
		require.NoError(t, err)
		defer client.Destroy()
		who, err := whoAmI(client)
		require.NoError(t, err)
		assert.Equal(t, administrator, who)
	})
	t.Run("keytab", func(t *testing.T) {
		kt := keytab.New()
		require.NoError(t, kt.AddEntry("Administrator", realsrv.SambaRealm, srv.Password.Reveal(), time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96))
		data, err := kt.Marshal()
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "keytab")
		require.NoError(t, os.WriteFile(file, data, 0o600))
		client, err := kerberos.FromKeytab("Administrator", realsrv.SambaRealm, file, srv.KRB5Config)
		require.NoError(t, err)
		defer client.Destroy()
		who, err := whoAmI(client)
		require.NoError(t, err)
		assert.Equal(t, administrator, who)
	})
	t.Run("wrong password", func(t *testing.T) {
		client, err := kerberos.FromPassword(srv.User, realsrv.SambaRealm, connsec.NewSecret("not it"), srv.KRB5Config)
		require.NoError(t, err)
		defer client.Destroy()
		_, err = whoAmI(client)
		require.ErrorContains(t, err, "no ticket for ldap/"+realsrv.SambaHost)
		assert.NotContains(t, err.Error(), "not it")
	})
}

func TestMissingFilesAreNamed(t *testing.T) {
	_, err := kerberos.FromKeytab("u", "R", "/nonexistent/keytab", "/nonexistent/krb5.conf")
	assert.ErrorContains(t, err, "krb5.conf")
	_, err = kerberos.FromCache("/nonexistent/cache", "/nonexistent/krb5.conf")
	assert.ErrorContains(t, err, "krb5.conf")
}
