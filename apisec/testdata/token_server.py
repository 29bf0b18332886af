"""A token endpoint with an API behind it, made of Python's http.server, ssl, urllib and json: an
independent reader of what apisec sends. Arguments: port, certificate, key, identifier, secret
file, style. It takes credentials in that style only."""

import base64
import http.server
import json
import secrets
import ssl
import sys
import urllib.parse

port, certificate, key, identifier, secret_file, style = sys.argv[1:]
with open(secret_file, encoding="utf-8") as f:
    secret = f.read()
tokens = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, answer, **headers):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Strict-Transport-Security", "max-age=63072000")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def credentials(self, body):
        """RFC 6749 section 2.3.1, or JSON."""
        header = self.headers.get("Authorization", "")
        if style == "basic":
            if not header.startswith("Basic "):
                return None
            user, _, password = base64.b64decode(header[6:]).decode("ascii").partition(":")
            return urllib.parse.unquote_plus(user), urllib.parse.unquote_plus(password)
        if header:
            return None
        if style == "json":
            fields = json.loads(body)
        else:
            fields = {k: v[0] for k, v in urllib.parse.parse_qs(body.decode("ascii"), strict_parsing=True).items()}
        if "client_id" not in fields:
            return None
        return fields["client_id"], fields["client_secret"]

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/revoke":
            tokens.clear()
            return self.reply(200, {})
        if self.path == "/echo":
            if self.headers.get("Authorization", "")[7:] not in tokens:
                return self.reply(401, {"error": "invalid_token"}, WWW_Authenticate="Bearer")
            return self.reply(200, {"body": body.decode()})
        try:
            given = self.credentials(body)
        except (ValueError, KeyError):
            given = None
        if given is None:
            return self.reply(400, {"error": "invalid_request"})
        if given != (identifier, secret):
            return self.reply(401, {"error": "invalid_client"}, WWW_Authenticate='Basic realm="token"')
        token = secrets.token_urlsafe(32)
        tokens.add(token)
        return self.reply(200, {"access_token": token, "token_type": "bearer", "expires_in": 1800, "scope": "reports"})

    def do_GET(self):
        self.reply(405, {})

    def log_message(self, *args):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.load_cert_chain(certificate, key)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, client_address):
        # The handshake belongs to the connection's own thread: a slow one must not stop others.
        with context.wrap_socket(request, server_side=True) as secure:
            self.RequestHandlerClass(secure, client_address, self)

    def handle_error(self, request, client_address):
        pass


Server(("127.0.0.1", int(port)), Handler).serve_forever()
