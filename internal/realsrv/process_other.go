//go:build !linux

package realsrv

import "testing"

// Start skips: no daemon was found by Need.
func Start(tb testing.TB, _ Cmd) *Process {
	tb.Helper()
	settle(tb, "linux", errLinux)
	return nil
}

// lockFile locks nothing: no domain is provisioned here.
func lockFile(string) (unlock func(), err error) { return nil, errLinux }

type watcher struct{}

// Stop has nothing to stop.
func (p *Process) Stop() {}

// Run skips, as Start does.
func Run(tb testing.TB, _ Cmd) (string, error) {
	tb.Helper()
	settle(tb, "linux", errLinux)
	return "", errLinux
}
