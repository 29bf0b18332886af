package realsrv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const (
	requireVar = "CONNSEC_REQUIRE"
	trixieVar  = "CONNSEC_TRIXIE"

	trixieDefault = "/var/lib/connsec/trixie"
	trixieStamp   = ".connsec-packages" // written when the root is complete
)

// Need returns the path of a program, or says why the test cannot run: it skips the test, or
// fails it if CONNSEC_REQUIRE names the program. That variable is a list with commas or
// spaces, or "all".
//
// For the names "root", "netns" and "trixie" see the package; what is returned for "trixie" is
// the root directory, and for the others nothing. "python3-prometheus-client" is a module; what is
// returned is the Python that has it.
func Need(tb testing.TB, program string) string {
	tb.Helper()
	path, err := look(program)
	settle(tb, program, err)
	return path
}

// Trixie is Need for a program inside the Debian 13 root. It returns the root, for the field
// Root of daemons that can run there. Both "trixie" and the program's own name in
// CONNSEC_REQUIRE make it mandatory. The root is at CONNSEC_TRIXIE, or where .ci/trixie makes
// it by default; entering it takes root.
func Trixie(tb testing.TB, program string) string {
	tb.Helper()
	Need(tb, "root")
	root := Need(tb, "trixie")
	_, err := lookIn(root, program)
	if err != nil {
		err = fmt.Errorf("%w; remake it with .ci/trixie", err)
	}
	settle(tb, program, err)
	return root
}

// settle is the only place in the project that skips.
func settle(tb testing.TB, name string, missing error) {
	tb.Helper()
	if missing == nil {
		return
	}
	if required(os.Getenv(requireVar), name) {
		tb.Fatalf("realsrv: %s is required by %s, but %v", name, requireVar, missing)
	}
	tb.Skipf("realsrv: %s: %v (set %s=%[1]s to make this an error)", name, missing, requireVar)
}

// required reports whether a list like "slapd,nginx samba" holds name or "all".
func required(list, name string) bool {
	words := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
	return slices.Contains(words, name) || slices.Contains(words, "all")
}

// look finds a program or an ability. An error says what is missing and how to get it.
func look(name string) (string, error) {
	if runtime.GOOS != "linux" {
		return "", errors.New("real daemons run on Linux only")
	}
	switch name {
	case "root":
		if os.Geteuid() != 0 {
			return "", errors.New("this takes root")
		}
		return "", nil
	case "netns":
		return "", probeNetns()
	case "trixie":
		root := os.Getenv(trixieVar)
		if root == "" {
			root = trixieDefault
		}
		if _, err := os.Stat(filepath.Join(root, trixieStamp)); err != nil {
			return "", fmt.Errorf("no finished Debian 13 root at %s; make one with .ci/trixie", root)
		}
		return filepath.Clean(root), nil
	case "python3-prometheus-client": // a module of the system's Python, whose path is returned
		const python = "/usr/bin/python3"
		if out, err := exec.Command(python, "-c", "import prometheus_client.openmetrics.parser").CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s does not have it (%s); .ci/packages names the Debian package", python, lastLine(string(out)))
		}
		return python, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	// Ordinary users have no sbin in their PATH, and .ci/run unpacks there what it cannot install.
	path, err := lookIn("/", name)
	if err != nil {
		path, err = lookIn(unpacked, name)
	}
	if err != nil {
		return "", errors.New("it is not installed; .ci/packages names the Debian package")
	}
	return path, nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// unpacked holds daemons whose packages exclude another one's, unpacked by .ci/run.
const unpacked = "/var/lib/connsec/unpacked"

// lookIn finds a program in the usual directories below root. The path is the one outside.
func lookIn(root, name string) (string, error) {
	for _, dir := range []string{"usr/sbin", "usr/bin", "sbin", "bin"} {
		path := filepath.Join(root, dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s in %s", name, root)
}

// locate returns the path of a program as a daemon that runs in root sees it. Root is "" for
// the machine itself, or from Trixie.
func locate(tb testing.TB, root, program string) string {
	tb.Helper()
	if root == "" {
		return Need(tb, program)
	}
	Need(tb, "root")
	path, err := lookIn(root, program)
	settle(tb, program, err)
	return strings.TrimPrefix(path, root)
}

// nssWrapper finds the library that lets programs see a hosts or passwd file of the test's.
func nssWrapper(tb testing.TB) string {
	tb.Helper()
	found, _ := filepath.Glob("/usr/lib/*/libnss_wrapper.so")
	if len(found) == 0 {
		settle(tb, "libnss-wrapper", errors.New("it is not installed; .ci/packages names the Debian package"))
		return ""
	}
	return found[0]
}
