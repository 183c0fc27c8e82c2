"""Servers for the http handler: they answer as a function of the test says,
and remember what they were asked."""

import http.server
import os
import socket
import ssl
import subprocess
import threading
import time


class Request:
    def __init__(self, handler, body):
        self.path = handler.path
        self.headers = handler.headers
        self.body = body
        self.connection = handler.connection_number
        self.at = time.monotonic()
        self.rfile = handler.rfile
        self.wfile = handler.wfile
        self.socket = handler.connection


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    def setup(self):
        self.server.web.connections += 1
        self.connection_number = self.server.web.connections
        self.server.web.change_open(1)
        super().setup()

    def finish(self):
        super().finish()
        self.server.web.change_open(-1)

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        web = self.server.web
        request = Request(self, self.rfile.read(length) if web.reads else b"")
        web.begin(request)
        try:
            answer = web.respond(request)
        finally:
            web.end()
        if not answer:  # it has dealt with the socket itself
            self.close_connection = answer is None
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, *_):
        pass  # clients go away, as tests make them


class Web:
    """`respond(request)` gives (status, headers, body), or None when it has
    written to request.socket what it wanted; () is None and the connection
    goes on. `context` makes it TLS."""

    def __init__(self, respond, context=None, address="127.0.0.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = type("Server", (_Server,), {"address_family": family})
        self.respond = respond
        self.requests = []
        self.connections = 0
        self.open = 0  # of them
        self.now = self.most = 0
        self.reads = True  # False: answers without reading the body
        self._lock = threading.Lock()
        self._server = kind((address, 0), _Handler)
        self._server.web = self
        self.port = self._server.server_address[1]
        self.scheme = "https" if context else "http"
        if context:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True,
                do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def begin(self, request):
        with self._lock:
            self.requests.append(request)
            self.now += 1
            self.most = max(self.most, self.now)

    def end(self):
        with self._lock:
            self.now -= 1

    def change_open(self, by):
        with self._lock:
            self.open += by

    def url(self, host="127.0.0.1", path="/in"):
        return f"{self.scheme}://{host}:{self.port}{path}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def is_closed_by_peer(connection, limit):
    """Whether the client closes the connection within so many seconds."""
    connection.settimeout(limit)
    try:
        return connection.recv(1) == b""
    except socket.timeout:
        return False
    except OSError:
        return True


class Authority:
    """A private CA with a server's certificate for localhost."""

    def __init__(self, folder):
        self.folder = folder
        self.file = os.path.join(folder, "ca.pem")
        self.certificate = os.path.join(folder, "server.pem")
        self.key = os.path.join(folder, "server.key")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=private authority", "-keyout", "ca.key",
                      "-out", "ca.pem")
        self._openssl("req", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-subj",
                      "/CN=localhost", "-keyout", "server.key", "-out",
                      "server.csr")
        with open(os.path.join(folder, "names"), "w",
                  encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem",
                      "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                      "-extfile", "names", "-out", "server.pem")

    def _openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context
