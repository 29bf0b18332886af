package realsrv

import "testing"

// NginxPosture is how nginx speaks TLS.
type NginxPosture uint8

const (
	// NginxModern has TLS 1.2 and 1.3, no session tickets, and HSTS for two years.
	NginxModern NginxPosture = iota
	// NginxWeak has TLS 1.0 to 1.2 with every suite the library has, NULL and anonymous ones
	// included, and no HSTS.
	NginxWeak
)

// PlainHTTP is what a web server does on its clear-text port.
type PlainHTTP uint8

const (
	// HTTPOff does not listen.
	HTTPOff PlainHTTP = iota
	// HTTPRedirect sends every request to the HTTPS port, with 301.
	HTTPRedirect
	// HTTPServe serves the same page in the clear.
	HTTPServe
)

// Nginx is a web server with one page.
type Nginx struct {
	TLS     Material
	Posture NginxPosture
	HTTP    PlainHTTP
	Body    string // of the page; default a line of HTML
	Extra   string // further directives for the HTTPS server
	Zones   string // directives beside the servers, such as limit_req_zone
	Root    string // from Trixie(t, "nginx"): nginx 1.26 with OpenSSL 3.5
}

// NginxServer is a running one.
type NginxServer struct {
	*Process
	HTTPS string // address
	HTTP  string // address, "" with HTTPOff
}

// Start runs nginx.
func (n Nginx) Start(tb testing.TB) *NginxServer {
	tb.Helper()
	path := locate(tb, n.Root, "nginx")
	dir := NewDir(tb, n.Root)
	if n.Body == "" {
		n.Body = "<!doctype html><title>connsec</title><p>hello\n"
	}
	dir.mkdir(tb, 0o755, "www")
	dir.write(tb, "www/index.html", 0o644, []byte(n.Body))
	s := &NginxServer{HTTPS: at(FreePort(tb))}
	listen := []string{s.HTTPS}
	if n.HTTP != HTTPOff {
		s.HTTP = at(FreePort(tb))
		listen = append(listen, s.HTTP)
	}
	conf := dir.write(tb, "nginx.conf", 0o644, render(tb, nginxConf, map[string]any{
		"Dir": dir.Inside(), "TLS": n.TLS.install(tb, dir, "server"), "HTTPS": s.HTTPS, "HTTP": s.HTTP,
		"Port": port(tb, s.HTTPS), "Weak": n.Posture == NginxWeak, "Redirect": n.HTTP == HTTPRedirect, "Extra": n.Extra, "Zones": n.Zones,
	}))
	s.Process = Start(tb, Cmd{
		Path: path,
		Args: []string{"-p", dir.Inside(), "-c", conf, "-e", "stderr"},
		Root: n.Root,
		TCP:  listen,
	})
	return s
}

const nginxConf = `daemon off;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
  server_tokens off;
  types { text/html html; }
  root {{.Dir}}/www;
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;
  {{.Zones}}
  server {
    listen {{.HTTPS}} ssl;
    ssl_certificate {{.TLS.Chain}};
    ssl_certificate_key {{.TLS.Key}};
{{- if .Weak}}
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2;
    ssl_ciphers ALL:COMPLEMENTOFALL:@SECLEVEL=0;
{{- else}}
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
    ssl_session_tickets off;
    add_header Strict-Transport-Security "max-age=63072000" always;
{{- end}}
    {{.Extra}}
  }
{{- if .HTTP}}
  server {
    listen {{.HTTP}};
{{- if .Redirect}}
    return 301 https://$host:{{.Port}}$request_uri;
{{- end}}
  }
{{- end}}
}
`
