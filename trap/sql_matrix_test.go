//go:build matrix

package trap_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/sqlsec"
	"github.com/connsec/connsec/trap"
)

var update = flag.Bool("update", false, "write the matrix into docs/traps.md")

// TestSQLMatrix sends every client into every posture and prints what it did. It needs tsql,
// and node with tedious: npm install --prefix DIR tedious@19.2.2, then
//
//	NODE_PATH=DIR/node_modules go test -tags matrix ./trap -run SQLMatrix -update
func TestSQLMatrix(t *testing.T) {
	node, freetds := realsrv.Need(t, "node"), realsrv.Need(t, "tsql")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	golang := func(params string, verify bool) func(*testing.T, *trap.SQL) {
		return func(t *testing.T, s *trap.SQL) { _ = ask(goClient(t, s, params, verify)) }
	}
	freeTDS := func(settings ...string) func(*testing.T, *trap.SQL) {
		return func(t *testing.T, s *trap.SQL) { _, _ = tsql(t, freetds, s, settings...) }
	}
	tedious := func(encrypt, trust string) func(*testing.T, *trap.SQL) {
		return func(t *testing.T, s *trap.SQL) {
			_, port := hostPort(t, s.Addr())
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			out, _ := exec.CommandContext(ctx, node, "testdata/tedious.js", strconv.FormatUint(port, 10), encrypt, trust, ca).CombinedOutput()
			require.NotContains(t, string(out), "MODULE_NOT_FOUND")
		}
	}
	own := func(level sqlsec.Encryption) func(*testing.T, *trap.SQL) {
		return func(t *testing.T, s *trap.SQL) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			c := sqlsec.Config{
				Host: "sql.corp.example", Encryption: level, User: "app", Password: connsec.NewSecret("not-a-secret"),
				Roots: s.Roots(), Dialer: toTrap(s.Addr()), Resolver: somewhere{},
			}
			if db, err := c.Open(ctx); err == nil {
				_ = db.Close()
			}
		}
	}
	clients := []struct {
		name string
		run  func(*testing.T, *trap.SQL)
	}{
		{"go-mssqldb, nothing said", golang("", false)},
		{"go-mssqldb, encrypt=disable", golang("&encrypt=disable", true)},
		{"go-mssqldb, encrypt=true", golang("&encrypt=true", true)},
		{"go-mssqldb, encrypt=strict", golang("&encrypt=strict", true)},
		{"FreeTDS, nothing said", freeTDS()},
		{"FreeTDS, require", freeTDS("encryption = require")},
		{"FreeTDS, require, ca file", freeTDS("encryption = require", "ca file = "+ca)},
		{"tedious, encrypt: false", tedious("false", "false")},
		{"tedious, encrypt: true, trust", tedious("true", "true")},
		{"tedious, encrypt: true", tedious("true", "false")},
		{"tedious, encrypt: strict", tedious("strict", "false")},
		{"sqlsec.Open, mandatory", own(sqlsec.Mandatory)},
		{"sqlsec.Open, strict", own(sqlsec.Strict)},
	}
	postures := []trap.SQLPosture{
		trap.SQLForced, trap.SQLOptional, trap.SQLStrict, trap.SQLNotSupported, trap.SQLAnswerOff, trap.SQLAnswerRequired, trap.SQLRequiredNoTLS,
		trap.SQLFallbackCertificate, trap.SQLExpired, trap.SQLWrongName, trap.SQLUntrusted,
	}
	var table bytes.Buffer
	fmt.Fprint(&table, "| client |")
	for _, p := range postures {
		fmt.Fprintf(&table, " %s |", p)
	}
	fmt.Fprint(&table, "\n|---|", strings.Repeat("---|", len(postures)), "\n")
	for _, client := range clients {
		fmt.Fprintf(&table, "| %s |", client.name)
		for _, p := range postures {
			s, err := trap.Options{Names: []string{"sql.corp.example", "localhost", "127.0.0.1"}, Timeout: 5 * time.Second}.SQL(trap.SQLConfig{Posture: p})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(ca, s.CA(), 0o600))
			client.run(t, s)
			require.NoError(t, s.Close())
			fmt.Fprintf(&table, " %s |", outcome(p, s.Observed()))
		}
		fmt.Fprint(&table, "\n")
	}
	t.Log("\n" + table.String())
	if *update {
		const file, begin, end = "../docs/traps.md", "<!-- sql matrix -->\n", "<!-- /sql matrix -->"
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		before, rest, ok := strings.Cut(string(text), begin)
		require.True(t, ok)
		_, after, ok := strings.Cut(rest, end)
		require.True(t, ok)
		require.NoError(t, os.WriteFile(file, []byte(before+begin+table.String()+end+after), 0o644))
	}
}

// outcome is the worst that happened on any connection.
func outcome(p trap.SQLPosture, seen []trap.SQLConnection) string {
	impostor := p >= trap.SQLNotSupported && p != trap.SQLAnswerRequired && p != trap.SQLAnswerOn && p != trap.SQLAnswerOff
	worst := "refused"
	for _, c := range seen {
		switch {
		case c.PasswordInClear:
			return "**password in clear**"
		case c.Login && impostor:
			worst = "**fooled**"
		case c.Login && c.QueriesInClear > 0:
			worst = "login in TLS, data in clear"
		case c.Login && worst == "refused":
			worst = "in TLS"
		}
	}
	return worst
}

type toTrap string

func (d toTrap) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, string(d))
}

type somewhere struct{}

func (somewhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.10")}, nil
}
