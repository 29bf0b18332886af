//go:build !windows

package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSignals: the program itself ends in order when it is told to, by a person or by the system.
func TestSignals(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.Command(self, "trap", "ldap", "--posture", "honest")
		cmd.Args[0] = "connsec" // by which the test binary becomes the command
		stderr, err := cmd.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewReader(stderr)
		first, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(first, "connsec trap: ldap, honest, on "), first)
		require.NoError(t, cmd.Process.Signal(signal))
		rest, err := io.ReadAll(lines)
		require.NoError(t, err)
		assert.Equal(t, "connsec trap: no client came\n", string(rest), signal)
		var exit *exec.ExitError
		require.True(t, errors.As(cmd.Wait(), &exit), signal)
		assert.Equal(t, exitUnknown, exit.ExitCode(), signal)
	}
}
