"""Requests to a server that answers at once, beside what wrk gets from it."""

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


def http(bench, tasks=40000, connections=64, rounds=3):
    """In turns; the server has one process, as many connections as tasks
    run at a time."""
    missing = [name for name, path in (("nginx", NGINX), ("wrk", WRK))
               if path is None]
    if missing:
        print(f"http: skipped, {' and '.join(missing)} not installed",
              flush=True)
        return
    bare, daemons = [], []
    with Nginx(bench.scratch) as server:
        for _ in range(rounds):
            bare.append(wrk(bench, server.url, connections))
            daemons.append(
                daemon_posts(bench, server.url, connections, tasks))
    bench.table.add(f"wrk, {connections} connections", median(bare),
                    "requests/s")
    bench.table.add("daemon, http to a server that answers at once",
                    median(daemons), "tasks/s", at_least=5000)
    bench.table.add("  of wrk", ratio(daemons, bare), at_least=0.8)


HTTP = (http,)
