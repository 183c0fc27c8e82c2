"""Requests to servers that answer at once, beside what wrk and bare libcurl get
from them: nginx, and an HTTP server of Node's."""

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

CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200; }} }}
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
REQUEST = """
wrk.method = "POST"
wrk.body = '{"payload":{},"inputs":{}}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Idempotency-Key"] = "bench-1000000"
wrk.headers["Muster-Fencing-Token"] = "1000000-1000000"
wrk.headers["Muster-Task"] = "1000000"
wrk.headers["Muster-Kind"] = "hook"
wrk.headers["Muster-Attempt"] = "1"
wrk.headers["traceparent"] = "00-" .. string.rep("a", 32) .. "-" ..
    string.rep("b", 16) .. "-01"
"""


class Nginx:
    def __init__(self, scratch):
        self.folder = os.path.join(scratch, "nginx")
        os.mkdir(self.folder)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self):
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIG.format(folder=self.folder, port=self.port))
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


class Node:
    """An application server as people write them; it has one thread."""

    def __init__(self, scratch):
        self.path = os.path.join(scratch, "server.js")

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
    """Requests a second."""
    script = os.path.join(bench.scratch, "request.lua")
    with open(script, "w", encoding="ascii") as file:
        file.write(REQUEST)
    text = subprocess.run(
        [WRK, "-t", str(bench.workers), "-c", str(connections), "-d",
         f"{seconds}s", "-s", script, url], check=True, text=True,
        stdout=subprocess.PIPE).stdout
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", text)[1])


def daemon_posts(bench, url, connections, tasks):
    bench.forget()
    bench.fill(tasks, "hooks", "hook")
    handlers = {"hook": {"http": url, "allow_private": True}}
    queues = {"hooks": {"concurrency": connections}}
    with bench.daemon(queues, handlers) as daemon:
        daemon.wait_done(tasks)
    return bench.rate(of_queue("hooks"))


def libcurl(bench, url, connections, seconds=3):
    """Requests a second: what the library allows with nothing else to do."""
    return float(bench.program(
        "http", bench.workers, connections, seconds, url))


def compare(bench, name, server, tasks, connections, rounds=3):
    """In turns. wrk has as many threads as there are workers."""
    wrks, bare, daemons = [], [], []
    with server:
        for _ in range(rounds):
            wrks.append(wrk(bench, server.url, connections))
            bare.append(libcurl(bench, server.url, connections))
            daemons.append(
                daemon_posts(bench, server.url, connections, tasks))
    bench.table.add(f"{name}: wrk, {connections} connections", median(wrks),
                    "requests/s")
    bench.table.add(f"{name}: bare libcurl", median(bare), "requests/s")
    bench.table.add("  of wrk", ratio(bare, wrks))
    bench.table.add(f"{name}: daemon, http", median(daemons), "tasks/s",
                    at_least=5000)
    bench.table.add("  of wrk", ratio(daemons, wrks), at_least=0.8)
    bench.table.add("  of bare libcurl", ratio(daemons, bare))


def http(bench, connections=64):
    """A server answers with one process, over as many connections as tasks
    run at a time."""
    for name, program, server, tasks in (
            ("nginx", NGINX, Nginx, 120000), ("node", NODE, Node, 90000)):
        missing = [each for each, path in ((name, program), ("wrk", WRK))
                   if path is None]
        if missing:
            print(f"http to {name}: skipped, {' and '.join(missing)} not "
                  "installed", flush=True)
        else:
            compare(bench, name, server(bench.scratch), tasks, connections)


HTTP = (http,)
