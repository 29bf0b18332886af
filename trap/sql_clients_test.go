package trap_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/trap"
)

// tsql runs FreeTDS's client with the given lines in its configuration, and returns what it
// printed. With "ca file" it verifies.
func tsql(t testing.TB, program string, s *trap.SQL, settings ...string) (string, error) {
	t.Helper()
	host, port := hostPort(t, s.Addr())
	conf := filepath.Join(t.TempDir(), "freetds.conf")
	text := fmt.Sprintf("[trap]\nhost = %s\nport = %d\ntds version = 7.4\n%s\n", host, port, strings.Join(settings, "\n"))
	require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
	cmd := exec.Command(program, "-S", "trap", "-U", "app", "-P", "not-a-secret")
	cmd.Env = append(os.Environ(), "FREETDSCONF="+conf, "FREETDS="+conf)
	cmd.Stdin = strings.NewReader("SELECT 1\ngo\nexit\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// FreeTDS is an implementation of TDS that has nothing in common with go-mssqldb and with us.
func TestSQLServesFreeTDS(t *testing.T) {
	program := realsrv.Need(t, "tsql")
	for _, tt := range []struct {
		posture    trap.SQLPosture
		encryption string
		asked      string
		in         bool // it logs in
		inClear    bool // and the password is in clear
		dataClear  bool
	}{
		{trap.SQLForced, "request", "OFF", true, false, false},
		{trap.SQLForced, "require", "ON", true, false, false},
		{trap.SQLOptional, "request", "OFF", true, false, true},
		{trap.SQLOptional, "require", "ON", true, false, false},
		{trap.SQLOptional, "off", "NOT_SUP", true, true, true},
		{trap.SQLNotSupported, "request", "OFF", true, true, true},
		{trap.SQLNotSupported, "require", "ON", false, false, false},
		{trap.SQLForced, "off", "NOT_SUP", false, false, false},
		{trap.SQLStrict, "require", "", false, false, false},
	} {
		t.Run(fmt.Sprint(tt.posture, " ", tt.encryption), func(t *testing.T) {
			s := startSQL(t, trap.Options{}, trap.SQLConfig{Posture: tt.posture})
			out, _ := tsql(t, program, s, "encryption = "+tt.encryption)
			c := last(t, s)
			assert.Equal(t, tt.asked, c.Asked)
			assert.Equal(t, tt.in, strings.Contains(out, "(1 row affected)"), out)
			assert.Equal(t, tt.in, c.Login)
			assert.Equal(t, tt.inClear, c.PasswordInClear)
			assert.Equal(t, tt.dataClear, c.QueriesInClear > 0)
			if tt.in {
				assert.Equal(t, []string{"TSQL", "7.4"}, []string{c.Application, c.TDSVersion})
			}
		})
	}
	for _, p := range []trap.SQLPosture{trap.SQLForced, trap.SQLUntrusted, trap.SQLFallbackCertificate, trap.SQLExpired, trap.SQLWrongName} {
		t.Run("verifying "+p.String(), func(t *testing.T) {
			s := startSQL(t, trap.Options{}, trap.SQLConfig{Posture: p})
			ca := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(ca, s.CA(), 0o600))
			out, _ := tsql(t, program, s, "encryption = require", "ca file = "+ca)
			assert.Equal(t, p == trap.SQLForced, strings.Contains(out, "(1 row affected)"), out)
			assert.Equal(t, p == trap.SQLForced, last(t, s).Login)
		})
	}
}
