"""An SMTP server as one writes it in an afternoon: what it has read beyond STARTTLS stays in the
buffer, and is carried out within TLS."""
import socketserver
import ssl
import sys

context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(sys.argv[2], sys.argv[3])
context.set_ciphers("ECDHE+AESGCM")


class Careless(socketserver.BaseRequestHandler):
    def line(self):
        while b"\n" not in self.buffered:
            more = self.request.recv(4096)
            if not more:
                return b"QUIT"
            self.buffered += more
        line, _, self.buffered = self.buffered.partition(b"\n")
        return line.strip().upper()

    def handle(self):
        self.buffered = b""
        secure = False
        self.request.sendall(b"220 careless ESMTP\r\n")
        while True:
            verb = self.line().split(b" ")[0]
            if verb == b"EHLO":
                offer = b"AUTH PLAIN" if secure else b"STARTTLS"
                self.request.sendall(b"250-careless\r\n250 " + offer + b"\r\n")
            elif verb == b"STARTTLS" and not secure:
                self.request.sendall(b"220 go ahead\r\n")
                self.request = context.wrap_socket(self.request, server_side=True)
                secure = True
            elif verb == b"NOOP":
                self.request.sendall(b"250 ok\r\n")
            elif verb == b"QUIT":
                self.request.sendall(b"221 bye\r\n")
                return
            else:
                self.request.sendall(b"530 STARTTLS first\r\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # handshakes that fail are what is expected of a server


Server(("127.0.0.1", int(sys.argv[1])), Careless).serve_forever()
