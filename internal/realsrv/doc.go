// Package realsrv runs real daemons for tests: nginx, OpenSSL's s_server, gnutls-serv, slapd,
// Samba as a domain controller, Postfix, Exim, OpenSMTPD, FreeRADIUS, radsecproxy, FreeTDS's
// tdspool, Redis, and headless Chromium as a client.
//
// A daemon is a struct whose fields are its posture and whose zero value is a hardened one.
// Start renders its configuration into a directory of its own, runs it as a child process,
// waits until it listens, and stops it at the end of the test:
//
//	ca := testca.MustNew(t)
//	cert := ca.MustIssue(t, testca.Leaf{Names: []string{"server.corp.example"}})
//	files := cert.MustWriteFiles(t, t.TempDir(), "server")
//	srv := realsrv.Nginx{TLS: realsrv.Material(files), Posture: realsrv.NginxWeak}.Start(t)
//	dial(srv.HTTPS) // "127.0.0.1:23817", as "server.corp.example"
//
// Programs that a machine does not have skip the test, in [Need] and nowhere else; the
// environment variable CONNSEC_REQUIRE names those that must not be missing, or says "all".
// Names that are no programs stand for abilities: "root" (run as root), "netns" (make network
// namespaces), "trixie" (a Debian 13 root directory, for daemons that Debian 12 has too old a
// version of; see [Trixie]).
//
// # What keeps it harmless
//
// Every daemon listens on addresses of 127.0.0.0/8 only, or inside a network namespace that
// has nothing but a loopback interface ([NewNetns]), and has no relay, forwarder or upstream
// beyond it. A daemon that the test process did not come to stop, because it crashed, is
// told to stop by the kernel (PR_SET_PDEATHSIG) or by a watcher. Namespaces have no name and vanish with
// their last process, ports are reserved by sockets that do the same, and nothing is ever
// mounted. What a crash does leave are directories named connsec-* in the temporary directory.
// What stays by intention is Samba's provisioned domain, in /var/lib/connsec.
//
// Passwords and shared secrets stand in the daemons' files, which are readable by them only,
// and are taken out of logs before a test shows them.
//
// Real daemons run on Linux. Elsewhere every Need skips.
package realsrv
