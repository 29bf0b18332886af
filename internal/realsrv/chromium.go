package realsrv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Chromium is a headless browser for a test, with a profile of its own that trusts nobody but
// the system's authorities and CA. It reaches loopback addresses only.
type Chromium struct {
	// CA is the path of a PEM file with authorities to trust, or "".
	CA string
	// Hosts maps names to where they are, such as "server.corp.example" to "127.0.0.1:8443";
	// without a port, the one of the URL is kept.
	Hosts map[string]string
}

// Browser says how to run one: by hand, or by a driver that wants to start it itself.
type Browser struct {
	Path string
	// Args are the switches; "--dump-dom URL" and the like are added to them. The one for the
	// profile, --user-data-dir, is among them.
	Args []string
	// Env is its environment, with a home directory of its own, where its authorities are.
	Env []string
}

// Prepare makes the profile.
func (c Chromium) Prepare(tb testing.TB) Browser {
	tb.Helper()
	path := Need(tb, "chromium")
	dir := NewDir(tb, "")
	dir.mkdir(tb, 0o700, "home/.pki/nssdb", "profile")
	b := Browser{
		Path: path,
		Env:  append(environment(), "HOME="+dir.Path("home"), "XDG_CONFIG_HOME="+dir.Path("home"), "XDG_CACHE_HOME="+dir.Path("home")),
		Args: []string{
			"--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-extensions",
			"--user-data-dir=" + dir.Path("profile"),
			// It would otherwise call home, at every start.
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
			"--disable-domain-reliability", "--no-pings", "--metrics-recording-only",
			"--disable-dev-shm-usage", // which is small in containers
		},
	}
	if os.Geteuid() == 0 {
		b.Args = append(b.Args, "--no-sandbox") // its sandbox refuses root
	}
	var rules []string
	for name, address := range c.Hosts {
		rules = append(rules, "MAP "+name+" "+address)
	}
	rules = append(rules, "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1", "EXCLUDE localhost")
	b.Args = append(b.Args, "--host-resolver-rules="+strings.Join(rules, ","))
	if c.CA != "" {
		certutil := Need(tb, "certutil")
		db := "sql:" + dir.Path("home/.pki/nssdb")
		ca, err := filepath.Abs(c.CA)
		if err != nil {
			tb.Fatalf("realsrv: %v", err)
		}
		for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-n", "test authority", "-t", "C,,", "-i", ca}} {
			if out, err := Run(tb, Cmd{Path: certutil, Args: append([]string{"-d", db}, args...)}); err != nil {
				tb.Fatalf("realsrv: certutil: %v\n%s", err, out)
			}
		}
	}
	return b
}

// DOM loads a page and returns its document as HTML once its scripts have run. Chromium's own
// error page, and a certificate it refuses, are no error: they are another document.
func (b Browser) DOM(tb testing.TB, url string) (string, error) {
	tb.Helper()
	return Run(tb, Cmd{Path: b.Path, Args: append(append([]string{}, b.Args...), "--dump-dom", url), Env: b.Env})
}
