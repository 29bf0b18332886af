//go:build matrix && linux

package sqlsec

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/trap"
)

// nmap reads the answer to PRELOGIN with code of its own, and it and we have to take the trap
// for the same server. It takes most of a minute, and so has a build tag:
//
//	go test -tags matrix ./sqlsec -run Nmap
//
// The scripts of nmap 7.93 read the version and then end with an error of their own. Its
// ssl-cert sees no certificate: over TDS it offers static RSA and DHE with CBC or RC4 only,
// which a server with sound settings refuses.
func TestNmapSeesTheSame(t *testing.T) {
	program := realsrv.Need(t, "nmap")
	// Port 1433, where nmap expects SQL Server, of an address that nobody else uses.
	s, err := trap.Options{Listen: "127.14.33.14:1433", Names: []string{trapName}, Timeout: 5 * time.Second}.SQL(trap.SQLConfig{NoTDS8: true})
	require.NoError(t, err)
	defer s.Close()
	theirs, err := exec.Command(program, "-n", "-Pn", "-sV", "-p", "1433", "--script", "ms-sql-info,ms-sql-ntlm-info", "127.14.33.14").CombinedOutput()
	require.NoError(t, err, string(theirs))
	o := observe(t, against(s))
	assert.Equal(t, "16.0.4135", o.Addresses[0].Off.Version)
	assert.Contains(t, string(theirs), "Microsoft SQL Server 2022 16.00.4135")
}

// BenchmarkNmap is nmap's look at the same trap, beside BenchmarkProbe.
func BenchmarkNmap(b *testing.B) {
	program := realsrv.Need(b, "nmap")
	s, err := trap.Options{Listen: "127.14.33.14:1433", Names: []string{trapName}, Timeout: 5 * time.Second}.SQL(trap.SQLConfig{NoTDS8: true})
	require.NoError(b, err)
	defer s.Close()
	for b.Loop() {
		_, err := exec.Command(program, "-n", "-Pn", "-p", "1433", "--script", "ms-sql-info,ssl-cert", "127.14.33.14").CombinedOutput()
		require.NoError(b, err)
	}
}
