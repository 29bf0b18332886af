//go:build !linux

package realsrv

import "testing"

// Start skips: no daemon was found by Need.
func Start(tb testing.TB, _ Cmd) *Process {
	tb.Helper()
	settle(tb, "linux", errLinux)
	return nil
}

// Stop has nothing to stop.
func (p *Process) Stop() {}

// Run skips, as Start does.
func Run(tb testing.TB, _ Cmd) (string, error) {
	tb.Helper()
	settle(tb, "linux", errLinux)
	return "", errLinux
}
