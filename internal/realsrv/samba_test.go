package realsrv_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

func TestSamba(t *testing.T) {
	realsrv.Need(t, "samba")
	m := material(t, testca.Leaf{Names: []string{realsrv.SambaHost}})
	const ok, strong, invalid = 0, 8, 49 // LDAP result codes
	tests := []struct {
		name           string
		trixie         bool
		mode           realsrv.SambaStrongAuth
		simple, gssapi int // in the clear
		overTLS        int // GSSAPI without channel bindings
	}{
		{"yes", false, realsrv.SambaStrongAuthYes, strong, strong, strong},
		{"SASL over TLS", false, realsrv.SambaStrongAuthSASLOverTLS, strong, strong, ok},
		{"no", false, realsrv.SambaStrongAuthNo, ok, ok, ok},
		{"yes", true, realsrv.SambaStrongAuthYes, strong, strong, invalid},
		{"no bindings", true, realsrv.SambaStrongAuthNoBindings, strong, strong, ok},
		{"SASL over TLS", true, realsrv.SambaStrongAuthSASLOverTLS, strong, strong, ok},
		{"no", true, realsrv.SambaStrongAuthNo, ok, ok, ok},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s/trixie=%t", tt.name, tt.trixie), func(t *testing.T) {
			t.Parallel()
			root := ""
			if tt.trixie {
				root = realsrv.Trixie(t, "samba")
			}
			srv := realsrv.Samba{TLS: m, StrongAuth: tt.mode, Root: root}.Start(t)
			env := append(srv.Env(t), "LDAPTLS_CACERT="+m.CA)
			run := func(program string, args ...string) int {
				out, err := realsrv.Run(t, realsrv.Cmd{Path: realsrv.Need(t, program), Args: args, Env: env, Secrets: []string{srv.Password.Reveal()}})
				code := status(t, out, err)
				t.Logf("%s: %d", program, code)
				return code
			}
			search := func(url string, how ...string) int {
				return run("ldapsearch", append([]string{"-H", url, "-b", "", "-s", "base", "-LLL", "defaultNamingContext"}, how...)...)
			}
			simple := []string{"-x", "-D", srv.User + "@" + realsrv.SambaRealm, "-w", srv.Password.Reveal()}
			plain, over := "ldap://"+realsrv.SambaHost, "ldaps://"+realsrv.SambaHost
			assert.Equal(t, ok, search(plain, "-x"), "anonymous root DSE")
			assert.Equal(t, tt.simple, search(plain, simple...), "simple bind in the clear")
			assert.Equal(t, ok, search(over, simple...), "simple bind over TLS")
			assert.Equal(t, ok, search(plain, append(simple, "-ZZ")...), "simple bind after StartTLS")
			assert.Equal(t, invalid, search(over, "-x", "-D", "administrator@CORP.EXAMPLE", "-w", "wrong"))

			dir := realsrv.NewDir(t, "")
			require.Zero(t, run("sh", "-c", `printf %s "$1" | kinit "$2"`, "sh", srv.Password.Reveal(), srv.User), dir.Path())
			assert.Equal(t, tt.gssapi, search(plain, "-Y", "GSSAPI", "-Q", "-O", "maxssf=0"), "unsigned")
			assert.Equal(t, ok, search(plain, "-Y", "GSSAPI", "-Q", "-O", "minssf=1,maxssf=1"), "signed")
			assert.Equal(t, ok, search(plain, "-Y", "GSSAPI", "-Q", "-O", "minssf=56"), "sealed")
			assert.Equal(t, tt.overTLS, search(over, "-Y", "GSSAPI", "-Q", "-O", "maxssf=0"), "over TLS without channel bindings")
			if tt.trixie {
				env = append(env, "LDAPSASL_CBINDING=tls-endpoint")
				assert.Equal(t, ok, search(over, "-Y", "GSSAPI", "-Q", "-O", "maxssf=0"), "over TLS with them")
			}
		})
	}
}
