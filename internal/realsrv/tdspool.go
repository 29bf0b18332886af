package realsrv

import "testing"

// TDSPool is FreeTDS's connection pool, which speaks TDS as a server does. It has no database
// behind it, so a login never succeeds; to PRELOGIN it answers that encryption is not supported,
// whatever the client asks for. It listens on all addresses and so runs in a network namespace
// behind a forwarder, as [GnuTLS] does.
type TDSPool struct{}

// TDSPoolServer is a running one.
type TDSPoolServer struct {
	*Process
	Addr string
}

// Start runs tdspool.
func (TDSPool) Start(tb testing.TB) *TDSPoolServer {
	tb.Helper()
	path := Need(tb, "tdspool")
	ns := NewNetns(tb)
	dir := NewDir(tb, "")
	pool := dir.write(tb, "pool.conf", 0o600, []byte(tdspoolConf))
	servers := dir.write(tb, "freetds.conf", 0o600, []byte(freetdsConf))
	const inside = Loopback + ":1433"
	p := Start(tb, Cmd{
		Path:  path,
		Args:  []string{"-c", pool, "pool"},
		Env:   environment("FREETDSCONF="+servers, "FREETDS="+servers),
		Netns: ns,
		TCP:   []string{inside},
	})
	return &TDSPoolServer{Process: p, Addr: ns.Forward(tb, inside)}
}

// No connection to the server behind is made before a client asks for one.
const tdspoolConf = `[global]
	min pool conn = 0
	max pool conn = 2
[pool]
	user = pool
	password = pool
	server = nowhere
	database = master
	server user = pool
	server password = pool
	port = 1433
	min pool conn = 0
	max pool conn = 2
`

const freetdsConf = `[nowhere]
	host = 127.0.0.1
	port = 9
	tds version = 7.4
`
