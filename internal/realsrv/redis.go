package realsrv

import (
	"testing"

	"github.com/connsec/connsec"
)

// Redis is a key-value server in the clear on 127.0.0.1, with a password, that writes nothing to
// disk.
type Redis struct{}

// RedisServer is a running one.
type RedisServer struct {
	*Process
	Addr     string
	Password connsec.Secret
}

// Start runs redis-server.
func (Redis) Start(tb testing.TB) *RedisServer {
	tb.Helper()
	path := Need(tb, "redis-server")
	dir := NewDir(tb, "")
	s := &RedisServer{Addr: at(FreePort(tb)), Password: newPassword()}
	conf := dir.write(tb, "redis.conf", 0o600, render(tb, redisConf, map[string]any{
		"Dir": dir.Inside(), "Port": port(tb, s.Addr), "Password": s.Password.Reveal(),
	}))
	s.Process = Start(tb, Cmd{Path: path, Args: []string{conf}, TCP: []string{s.Addr}, Secrets: []string{s.Password.Reveal()}})
	return s
}

const redisConf = `bind 127.0.0.1
port {{.Port}}
protected-mode yes
requirepass {{.Password}}
daemonize no
dir {{.Dir}}
save ""
appendonly no
databases 1
maxmemory 64mb
maxmemory-policy noeviction
`
