"""Handlers of every kind do their work under the hardened unit: those of a
language with its helper, services, plugins; and their limits hold there."""

import json
import os
import shutil

import pytest

from support import build
from support.service import shell
from support.wait import wait_until

PYTHON = """\
import os, sys, time
sys.path.insert(0, os.environ["SDK"])
import muster

@muster.task("work")
def work(payload, ctx):
    return globals()[payload["do"]](payload, ctx)

def add(payload, ctx):
    ctx.progress(0.5, "half")
    return sum(payload["numbers"])

def crash(payload, ctx):
    os._exit(7)

def hang(payload, ctx):
    while True:
        try:
            time.sleep(60)
        except muster.Cancelled:
            pass

def hold(payload, ctx):
    held = bytearray(300 << 20)
    held[::4096] = b"1" * len(held[::4096])
    time.sleep(60)

@muster.task("later")
async def later(payload, ctx):
    return payload

muster.run()
"""

# V8 compiles what is called so often, and WebAssembly at once.
NODE = """\
const muster = require(process.env.SDK + '/muster.js');
const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127,
  127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32,
  0, 32, 1, 106, 11]);

function turn(number) { return (number * 31 + 7) % 1000003; }

muster.task('work', async ({ rounds }, ctx) => {
  let number = 1;
  for (let i = 0; i < rounds; i++) number = turn(number);
  ctx.progress(0.5);
  const { instance } = await WebAssembly.instantiate(wasm);
  return { number, sum: instance.exports.add(40, 2) };
});
muster.run({ concurrency: 4 });
"""

SERVER = """\
import http.server, json, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "pause" in body["payload"]:
            time.sleep(body["payload"]["pause"])
        told = {"secret": self.headers["Authorization"] == "Bearer hunter2",
                "key": self.headers["Idempotency-Key"],
                "twice": body["payload"].get("n", 0) * 2}
        data = json.dumps(told).encode() + b" " * body["payload"].get("pad", 0)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
http.server.ThreadingHTTPServer(("127.0.0.1", 8765), Answer).serve_forever()
"""

GREEDY_FOR_FILES = """\
import json
try:
    held = [open("/dev/null") for _ in range(50)]
except OSError as error:
    print(json.dumps(error.strerror))
"""


def _sdk(box, language):
    """Where `make install` has put a helper."""
    return os.path.dirname(box.run(
        f"ls /usr/share/musterd/sdk/{language}/muster.* "
        f"/usr/local/share/musterd/sdk/{language}/muster.* 2>/dev/null | "
        "head -n 1; true"))


def _fails(service, kind, payload=None, limit=40):
    return service.wait_task(
        service.enqueue(kind, payload, max_attempts=1), "failed", limit)[1]


@pytest.fixture
def python(box):
    """The configuration of a pool of a Python program."""
    box.write("/srv/app/tasks.py", PYTHON)
    return {"pool": ["/usr/bin/python3", "/srv/app/tasks.py"],
            "processes": 2, "environment": {"SDK": _sdk(box, "python")}}


def test_I1_python_pool_works_under_the_unit(service, python):
    service.start(handlers={"work": python, "later": python})
    add = {"do": "add", "numbers": [20, 22]}
    assert service.wait_task(service.enqueue("work", add))[0] == "42"
    assert json.loads(service.wait_task(
        service.enqueue("later", {"a": [1]}))[0]) == {"a": [1]}
    assert _fails(service, "work", {"do": "crash"}) == "exit status 7"
    assert service.wait_task(service.enqueue("work", add))[0] == "42"


def test_I1_limits_of_a_pool_hold_under_the_unit(service, python):
    service.start(handlers={
        "work": {**python, "memory_max": "128M", "timeout": "1s",
                 "grace": "500ms"}})
    assert "timed out after 1s" in _fails(service, "work", {"do": "hang"})
    service.write(handlers={"work": {**python, "memory_max": "128M"}})
    service.box.run("systemctl reload musterd")
    assert "memory_max (128M)" in _fails(service, "work", {"do": "hold"})
    assert service.wait_task(service.enqueue(
        "work", {"do": "add", "numbers": [1]}))[0] == "1"


def test_I1_node_pool_works_under_the_unit(service, box):
    """Its compiler needs memory that is written, then executed."""
    box.write("/srv/app/tasks.js", NODE)
    service.start(handlers={"work": {
        "pool": ["/usr/bin/node", "/srv/app/tasks.js"],
        "environment": {"SDK": _sdk(box, "node")}}})
    result = json.loads(service.wait_task(
        service.enqueue("work", {"rounds": 1000000}))[0])
    number = 1
    for _ in range(1000000):
        number = (number * 31 + 7) % 1000003
    assert result == {"number": number, "sum": 42}


@pytest.fixture
def server(box):
    """An HTTP server of the box's, and a credential of the unit's."""
    box.write("/srv/app/server.py", SERVER)
    box.write("/etc/musterd.secret", "Bearer hunter2\n", 0o600)
    box.run("systemd-run", "-q", "--unit=web", "-p", "DynamicUser=yes",
            "/usr/bin/python3", "/srv/app/server.py")
    wait_until(lambda: box.run("ss -Hltn 'sport = 8765'"), 10, "it listens",
               every=0.1)
    yield "http://127.0.0.1:8765/"
    box.try_run("systemctl stop web")


def test_I1_http_works_under_the_unit(service, server):
    service.drop_in("LoadCredential=web:/etc/musterd.secret\n")
    headers = {"Authorization": {"file": "${CREDENTIALS_DIRECTORY}/web"}}
    open_ = {"http": server, "headers": headers, "allow_private": True}
    service.start(max_result="64k", handlers={
        "call": {**open_, "timeout": "1s"}, "closed": {
            "http": server, "backoff": {"first": "100ms", "max": "100ms"}}})
    told = json.loads(service.wait_task(service.enqueue("call", {"n": 21}))[0])
    assert (told["secret"], told["twice"]) == (True, 42) and told["key"]
    assert "timed out after 1s" in _fails(service, "call", {"pause": 5})
    assert "max_result (65536 bytes)" in _fails(service, "call", {"pad": 1 << 20})
    refused = service.enqueue("closed")
    wait_until(lambda: "has the private address" in service.ctl("status"), 10,
               "it is put off", every=0.1)
    service.write(handlers={"call": open_, "closed": open_})
    service.box.run("systemctl reload musterd")
    assert service.wait_task(refused)[1] == ""
    assert "hunter2" not in "\n".join(service.messages())


@pytest.fixture
def example(box):
    """The example plugin, where the account musterd may read it."""
    folder = box.path("/usr/local/lib/app")
    os.makedirs(folder, exist_ok=True)
    shutil.copy(os.path.join(build.BUILD, "plugins", "example.so"), folder)
    return "/usr/local/lib/app/example.so"


def test_I1_plugin_works_under_the_unit(service, example):
    service.start(handlers={
        "primes": {"plugin": example, "threads": 2},
        "brief": {"plugin": example, "timeout": "1s"}})
    assert json.loads(service.wait_task(
        service.enqueue("primes", {"below": 100000}))[0]) == {"primes": 9592}
    assert "timed out after 1s" in _fails(
        service, "brief", {"below": 2000000000})
    assert "no number" in _fails(service, "primes", {"above": 1})


def test_I1_limits_of_exec_hold_under_the_unit(service):
    """Those that need no cgroup; the others: test_service_limits.py."""
    service.start(handlers={
        "busy": {"exec": shell("while :; do :; done"), "cpu_time": "1s"},
        "files": {"exec": ["/usr/bin/python3", "-c", GREEDY_FOR_FILES],
                  "open_files": 40},
        "hang": {"exec": shell("trap '' TERM; sleep 4720; sleep 4720"),
                 "timeout": "1s", "grace": "500ms"},
        "nice": {"exec": shell("echo $(($(ps -o ni= -p $$)"
                               " - $(ps -o ni= -p $PPID)))"), "nice": 7}})
    assert "cpu_time" in _fails(service, "busy")
    assert service.wait_task(
        service.enqueue("files"))[0] == '"Too many open files"'
    assert "timed out after 1s" in _fails(service, "hang")
    assert service.wait_task(service.enqueue("nice"))[0] == "7"
