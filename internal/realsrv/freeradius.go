package realsrv

import (
	"testing"

	"github.com/connsec/connsec"
)

// FreeRADIUSPosture is what FreeRADIUS demands of requests over UDP (BlastRADIUS,
// CVE-2024-3596). Debian 12's 3.2.1 predates that attack: its replies carry no
// Message-Authenticator in any posture. Those of 3.2.7, in Debian 13, always do.
type FreeRADIUSPosture uint8

const (
	// FreeRADIUSStrict drops requests without a Message-Authenticator.
	FreeRADIUSStrict FreeRADIUSPosture = iota
	// FreeRADIUSLimitProxyState drops those that have a Proxy-State, which the attack needs.
	// 3.2.7 only.
	FreeRADIUSLimitProxyState
	// FreeRADIUSAuto makes the first packet of a client decide what is demanded of the rest.
	// 3.2.7 only.
	FreeRADIUSAuto
	// FreeRADIUSOpen takes any request.
	FreeRADIUSOpen
)

var freeradiusLines = []string{
	FreeRADIUSStrict:          "require_message_authenticator = yes",
	FreeRADIUSLimitProxyState: "require_message_authenticator = no\n  limit_proxy_state = yes",
	FreeRADIUSAuto:            "require_message_authenticator = auto\n  limit_proxy_state = auto",
	FreeRADIUSOpen:            "require_message_authenticator = no",
}

// FreeRADIUS is a server for PAP, CHAP, MS-CHAP, accounting and Status-Server over UDP, and the
// same over TLS if it has TLS material.
type FreeRADIUS struct {
	// TLS is optional. Clients over TLS must have a certificate of TLS.CA for clients.
	TLS     Material
	Posture FreeRADIUSPosture
	Extra   string // further configuration, outside every section
	Root    string // from Trixie(t, "freeradius"): 3.2.7
}

// RADIUSServer is a running FreeRADIUS or radsecproxy.
type RADIUSServer struct {
	*Process
	Auth string // address, UDP
	Acct string // address, UDP; FreeRADIUS only
	TLS  string // address, TCP; "" without TLS material. The shared secret there is "radsec" (RFC 6614 §2.3)

	Secret   connsec.Secret // shared with every address of 127.0.0.0/8, over UDP
	User     string
	Password connsec.Secret
}

// Start runs freeradius.
func (f FreeRADIUS) Start(tb testing.TB) *RADIUSServer {
	tb.Helper()
	path := locate(tb, f.Root, "freeradius")
	if f.Root == "" && (f.Posture == FreeRADIUSLimitProxyState || f.Posture == FreeRADIUSAuto) {
		tb.Fatalf("realsrv: FreeRADIUS 3.2.1 cannot limit Proxy-State; set Root")
	}
	lines := freeradiusLines[f.Posture]
	if f.Root != "" && f.Posture == FreeRADIUSOpen {
		lines += "\n  limit_proxy_state = no" // which is auto otherwise
	}
	dir := NewDir(tb, f.Root)
	dir.mkdir(tb, 0o755, "log", "run")
	s := &RADIUSServer{
		Auth: at(FreePort(tb)), Acct: at(FreePort(tb)),
		Secret: newPassword(), User: "alice", Password: newPassword(),
	}
	secrets := []string{s.Secret.Reveal(), s.Password.Reveal()}
	values := map[string]any{
		"Dir": dir.Inside(), "Lines": lines, "Extra": f.Extra,
		"AuthPort": port(tb, s.Auth), "AcctPort": port(tb, s.Acct), "TLSPort": "", "TLS": Material{},
		"Secret": secrets[0], "User": s.User, "Password": secrets[1],
	}
	var tcp []string
	if f.TLS != (Material{}) {
		s.TLS = at(FreePort(tb))
		tcp = append(tcp, s.TLS)
		values["TLS"], values["TLSPort"] = f.TLS.install(tb, dir, "server"), port(tb, s.TLS)
	}
	dir.write(tb, "radiusd.conf", 0o600, render(tb, freeradiusConf, values))
	dir.write(tb, "users", 0o600, render(tb, "{{.User}} Cleartext-Password := \"{{.Password}}\"\n      Reply-Message = \"hello {{.User}}\"\n", values))
	s.Process = Start(tb, Cmd{
		Path:    path,
		Args:    []string{"-f", "-l", "stdout", "-d", dir.Inside()},
		Root:    f.Root,
		TCP:     tcp,
		UDP:     []string{s.Auth, s.Acct},
		Secrets: secrets,
	})
	return s
}

// One item per line: the parser wants it so.
const freeradiusConf = `prefix = /usr
localstatedir = {{.Dir}}
logdir = {{.Dir}}/log
raddbdir = {{.Dir}}
confdir = ${raddbdir}
run_dir = {{.Dir}}/run
libdir = /usr/lib/freeradius
pidfile = ${run_dir}/radiusd.pid
max_request_time = 30
cleanup_delay = 0
max_requests = 65536
hostname_lookups = no
log {
  destination = stdout
}
security {
  allow_core_dumps = no
  max_attributes = 200
  reject_delay = 0
  status_server = yes
}
proxy_requests = no
thread pool {
  start_servers = 2
  max_servers = 8
  min_spare_servers = 1
  max_spare_servers = 4
  max_requests_per_server = 0
}
client loopback {
  ipaddr = 127.0.0.0/8
  secret = "{{.Secret}}"
  proto = udp
  {{.Lines}}
}
clients radsec {
  client radsec {
    ipaddr = 127.0.0.0/8
    proto = tls
    secret = radsec
    limit {
      max_connections = 256
      lifetime = 0
      idle_timeout = 30
    }
  }
}
modules {
  pap {
  }
  chap {
  }
  mschap {
  }
  files {
    usersfile = {{.Dir}}/users
  }
  always ok {
    rcode = ok
  }
}
{{.Extra}}
server default {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = {{.AuthPort}}
  }
  listen {
    type = acct
    ipaddr = 127.0.0.1
    port = {{.AcctPort}}
  }
{{- if .TLSPort}}
  listen {
    type = auth+acct
    ipaddr = 127.0.0.1
    port = {{.TLSPort}}
    proto = tcp
    clients = radsec
    limit {
      max_connections = 64
      lifetime = 0
      idle_timeout = 30
    }
    tls {
      private_key_file = {{.TLS.Key}}
      certificate_file = {{.TLS.Chain}}
      ca_file = {{.TLS.CA}}
      require_client_cert = yes
      cipher_list = "DEFAULT"
      tls_min_version = "1.2"
      tls_max_version = "1.3"
      cache {
        enable = no
      }
    }
  }
{{- end}}
  authorize {
    files
    chap
    mschap
    pap
  }
  authenticate {
    Auth-Type PAP {
      pap
    }
    Auth-Type CHAP {
      chap
    }
    Auth-Type MS-CHAP {
      mschap
    }
  }
  preacct {
    ok
  }
  accounting {
    ok
  }
}
`
