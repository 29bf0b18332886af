"""A token endpoint after RFC 6749 with an interface for its clients, for tests.

Each client has one secret, so that two overlap as two clients. It shows a secret once, knows a
new client only from the third request for it on, and keeps a removed one for two more requests,
as servers with several nodes do. Identifiers and secrets are refused with 401 invalid_client.

usage: client_registry.py PORT CHAIN KEY CLIENT_ID SECRET_FILE
"""

import base64
import http.server
import json
import secrets
import socketserver
import ssl
import sys
import urllib.parse
import uuid

port, chain, key, first, secret_file = sys.argv[1:]
clients = {first: {"secret": open(secret_file).read().strip(), "label": "", "asked": 9, "left": None}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def credentials(self, body):
        """The identifier and secret, from the header or the body (RFC 6749 section 2.3.1)."""
        header = self.headers.get("Authorization", "")
        if header.startswith("Basic "):
            user, _, password = base64.b64decode(header[6:]).decode().partition(":")
            return urllib.parse.unquote_plus(user), urllib.parse.unquote_plus(password)
        if self.headers.get("Content-Type", "").startswith("application/json"):
            form = json.loads(body)
        else:
            form = dict(urllib.parse.parse_qsl(body))
        return form.get("client_id", ""), form.get("client_secret", "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        path = urllib.parse.urlsplit(self.path)
        if path.path == "/clients":
            label = urllib.parse.parse_qs(path.query)["label"][0]
            name = str(uuid.uuid4())
            clients[name] = {"secret": secrets.token_hex(20), "label": label, "asked": 0, "left": None}
            self.reply(201, {"client_id": name, "client_secret": clients[name]["secret"], "label": label})
            return
        name, secret = self.credentials(body)
        client = clients.get(name)
        if client is None or not secrets.compare_digest(client["secret"], secret):
            self.reply(401, {"error": "invalid_client"})
            return
        client["asked"] += 1
        if client["left"] is not None:
            client["left"] -= 1
            if client["left"] <= 0:
                del clients[name]
        if client["asked"] < 3:
            self.reply(401, {"error": "invalid_client"})
            return
        self.reply(200, {"access_token": secrets.token_urlsafe(32), "token_type": "Bearer", "expires_in": 1800})

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        label = query.get("label", [None])[0]
        self.reply(200, [
            {"client_id": name, "label": c["label"]}
            for name, c in clients.items() if c["left"] is None and (label is None or c["label"] == label)
        ])

    def do_DELETE(self):
        client = clients.get(self.path.rsplit("/", 1)[1])
        if client is not None and client["left"] is None:
            client["left"] = 2
        self.reply(204)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)


class Server(http.server.ThreadingHTTPServer):
    # HTTPServer's own looks the machine's name up, which can take long.
    server_bind = socketserver.TCPServer.server_bind


server = Server(("127.0.0.1", int(port)), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
