"""Requests to servers that answer at once, beside what wrk, h2load and bare
libcurl get from them: nginx, without and with TLS, and an HTTP server of
Node's."""

import os
import re
import shutil
import signal
import socket
import subprocess

from servers import die_with_parent, wait_until
from rows import of_queue
from table import median, ratio

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
NODE = shutil.which("node")
WRK = shutil.which("wrk")
H2LOAD = shutil.which("h2load")

CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {server}
}}
"""

APPLICATION = """
const server = require("http").createServer((request, response) => {
  request.resume();
  response.end();
});
server.keepAliveTimeout = 600000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""

# As the daemon's requests are, so that both sides send as many bytes.
BODY = '{"payload":{},"inputs":{}}'
HEADERS = {
    "Content-Type": "application/json",
    "Idempotency-Key": "bench-1000000",
    "Muster-Fencing-Token": "1000000-1000000",
    "Muster-Task": "1000000", "Muster-Kind": "hook", "Muster-Attempt": "1",
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


class Nginx:
    program = NGINX
    server = "server {{ listen 127.0.0.1:{port}; location / {{ return 200; }} }}"

    def __init__(self, scratch):
        self.folder = os.path.join(scratch, "nginx")
        os.mkdir(self.folder)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.more = {}  # of the handler's configuration

    def __enter__(self):
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIG.format(
                folder=self.folder, server=self.server.format(
                    folder=self.folder, port=self.port)))
        self.process = subprocess.Popen(
            [NGINX, "-c", path], stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(signal.SIGTERM))
        wait_until(lambda: os.path.exists(f"{self.folder}/pid"), 10,
                   "nginx starts")
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder)


class NginxTls(Nginx):
    """With HTTP/2, before a server behind it, so that it reads the bodies."""
    server = """
  upstream behind {{ server unix:{folder}/behind; keepalive 64; }}
  server {{ listen unix:{folder}/behind; location / {{ return 200; }} }}
  server {{
    listen 127.0.0.1:{port} ssl http2; ssl_certificate {folder}/certificate;
    ssl_certificate_key {folder}/key;
    location / {{
      proxy_pass http://behind; proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}"""

    def __init__(self, scratch):
        super().__init__(scratch)
        self.url = f"https://localhost:{self.port}/"
        self.more = {"ca_file": os.path.join(self.folder, "certificate")}

    def __enter__(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-keyout", "key", "-out",
             "certificate"], cwd=self.folder, check=True,
            stderr=subprocess.DEVNULL)
        return super().__enter__()


class Node:
    """An application server as people write them; it has one thread."""
    program = NODE

    def __init__(self, scratch):
        self.path = os.path.join(scratch, "server.js")
        self.more = {}

    def __enter__(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write(APPLICATION)
        self.process = subprocess.Popen(
            [NODE, self.path], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent(signal.SIGTERM))
        port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{port}/"
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()


def wrk(bench, url, connections, seconds=3):
    """Requests a second; as many threads as there are workers."""
    script = os.path.join(bench.scratch, "request.lua")
    with open(script, "w", encoding="ascii") as file:
        file.write(f'wrk.method = "POST"\nwrk.body = \'{BODY}\'\n')
        for name, value in HEADERS.items():
            file.write(f'wrk.headers["{name}"] = "{value}"\n')
    text = subprocess.run(
        [WRK, "-t", str(bench.workers), "-c", str(connections), "-d",
         f"{seconds}s", "-s", script, url], check=True, text=True,
        stdout=subprocess.PIPE).stdout
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", text)[1])


def h2load(bench, url, *shape):
    """Requests a second; as many threads as there are workers."""
    body = os.path.join(bench.scratch, "request.json")
    with open(body, "w", encoding="ascii") as file:
        file.write(BODY)
    headers = [word for name, value in HEADERS.items()
               for word in ("-H", f"{name.lower()}: {value}")]
    text = subprocess.run(
        [H2LOAD, "-t", str(bench.workers), *map(str, shape), "-D", "3", "-d",
         body, *headers, url], check=True, text=True,
        stdout=subprocess.PIPE).stdout
    return float(re.search(r"finished in .*?, ([0-9.]+) req/s", text)[1])


def h2load_h1(bench, url, connections):
    return h2load(bench, url, "--h1", "-c", connections)


def h2load_h2(bench, url, streams):
    """Each worker has one connection, which carries its part of the streams,
    and so has each thread here."""
    return h2load(bench, url, "-c", bench.workers,
                  "-m", streams // bench.workers)


def libcurl(bench, url, connections, seconds=3):
    """Requests a second: what the library allows with nothing else to do."""
    return float(bench.program(
        "http", bench.workers, connections, seconds, url))


def daemon_posts(bench, server, connections, tasks):
    bench.forget()
    bench.fill(tasks, "hooks", "hook")
    handlers = {"hook": {
        "http": server.url, "allow_private": True, **server.more}}
    queues = {"hooks": {"concurrency": connections}}
    with bench.daemon(queues, handlers) as daemon:
        daemon.wait_done(tasks)
    return bench.rate(of_queue("hooks"))


def compare(bench, name, server, sides, tasks, connections, rounds=3):
    """In turns. `sides`: what else asks that server, and what of its rate the
    daemon should reach; None: nothing is promised."""
    rates = {side: [] for side in sides}
    daemons = []
    with server:
        for _ in range(rounds):
            for side, found in rates.items():
                found.append(side(bench, server.url, connections))
            daemons.append(daemon_posts(bench, server, connections, tasks))
    for side, found in rates.items():
        bench.table.add(f"{name}: {side.__name__}, {connections} at a time",
                        median(found), "requests/s")
    bench.table.add(f"{name}: daemon, http", median(daemons), "tasks/s",
                    at_least=5000)
    for side, found in rates.items():
        bench.table.add(f"  of {side.__name__}", ratio(daemons, found),
                        at_least=sides[side])


def http(bench, connections=64):
    """A server answers with one process, over as many connections as tasks
    run at a time; HTTP/2 over as many as there are workers."""
    plain = {wrk: 0.8, h2load_h1: 0.8, libcurl: None}
    for name, server, sides, tasks in (
            ("nginx", Nginx, plain, 200000),
            ("node", Node, plain, 150000),
            ("nginx, HTTP/2", NginxTls, {h2load_h2: None}, 60000)):
        if None in (server.program, WRK, H2LOAD):
            print(f"http to {name}: skipped, wrk, h2load, nginx or node is "
                  "not installed", flush=True)
        else:
            compare(bench, name, server(bench.scratch), sides, tasks,
                    connections)


HTTP = (http,)
