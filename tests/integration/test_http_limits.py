"""http handlers: time limits, cancelling, and servers that do not answer."""

import os
import re
import socket
import threading
import time

import pytest

from support.wait import wait_until
from support.web import is_closed_by_peer


def hook(server, **more):
    return {"http": server.url(), "allow_private": True,
            "backoff": {"first": "20ms", "jitter": 0}, **more}


class Silent:
    """Responds never; `gone` counts the clients that closed."""

    def __init__(self, limit=30):
        self.gone = []
        self.limit = limit

    def __call__(self, request):
        if is_closed_by_peer(request.socket, self.limit):
            self.gone.append(time.monotonic())
        request.socket.close()


@pytest.fixture
def deaf():
    """A port whose server accepts nobody: its line is full."""
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    line = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(server.getsockname())
        line.append(one)
    yield server.getsockname()[1]
    for one in line + [server]:
        one.close()


def test_F1_http_connect_has_a_time_limit(db, daemon, deaf):
    host = daemon(handlers={"hook": {
        "http": f"http://127.0.0.1:{deaf}/", "allow_private": True,
        "connect_timeout": "300ms", "max_attempts": 1, "timeout": "1m"}})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed", 10)
    assert "timed out after" not in row.error
    assert "Timeout was reached" in row.error or "timeout after" in row.error


def test_F1_http_tls_has_the_time_limit_of_connect(db, daemon):
    """The server is there, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = daemon(handlers={"hook": {
            "http": f"https://127.0.0.1:{server.getsockname()[1]}/",
            "allow_private": True, "connect_timeout": "300ms",
            "max_attempts": 1, "timeout": "1m"}})
        host.log.allow("failed")
        row = db.wait_state(db.enqueue("hook"), "failed", 10)
    assert row.error == "SSL connection timeout"


def test_F1_http_endless_headers_are_cut_off(db, daemon, web):
    def respond(request):
        request.socket.sendall(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                request.socket.sendall(b"X-More: " + b"x" * 4000 + b"\r\n")
        except OSError:
            return None

    server = web(respond)
    host = daemon(handlers={"hook": hook(server, max_attempts=1)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert row.error == "status 200, then more than 262144 bytes of headers"


def test_F1_http_whole_has_the_tasks_time_limit(db, daemon, web):
    """The transfer ends at once, grace or not, and says where it was."""
    silent = Silent()
    server = web(silent)
    host = daemon(handlers={"hook": hook(
        server, timeout="400ms", grace="10s", max_attempts=1)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed", 10)
    assert row.error == "timed out after 400ms: without an answer"
    wait_until(lambda: silent.gone, 2, "the connection is closed")
    assert 0.3 < silent.gone[0] - server.requests[0].at < 3


def test_F1_http_answer_that_trickles_has_the_limit_too(db, daemon, web):
    def respond(request):
        request.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        try:
            while True:
                request.socket.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            return None

    server = web(respond)
    host = daemon(handlers={"hook": hook(
        server, timeout="500ms", max_attempts=1)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed", 10)
    assert row.error == "timed out after 500ms: in the middle of the answer"


def test_F2_F3_http_cancel_ends_the_transfer_at_once(db, daemon, web):
    silent = Silent()
    server = web(silent)
    host = daemon(handlers={"hook": hook(server, grace="10s")})
    tasks = db.enqueue_many("hook", 5)
    wait_until(lambda: len(server.requests) == 5, 10, "all are sent")
    began = time.monotonic()
    for task in tasks:
        assert db.request("cancel", task)
    for task in tasks:
        row = db.wait_state(task, "cancelled", 5)
        assert row.error == "cancelled: without an answer"
    wait_until(lambda: len(silent.gone) == 5, 3, "connections are closed")
    assert max(silent.gone) - began < 3
    assert not host.log.find("", level="warning")
    assert not host.log.find("failed")


def test_F2_http_cancel_of_many_that_connect_or_wait(db, daemon, deaf):
    """Those that have no connection yet end as quickly."""
    daemon(queues={"default": {"concurrency": 200}}, handlers={"hook": {
        "http": f"http://127.0.0.1:{deaf}/", "allow_private": True}})
    tasks = db.enqueue_many("hook", 200)
    wait_until(lambda: db.states(tasks)["running"] == 200, 10, "all run")
    for task in tasks:
        db.rows("SELECT muster.cancel(%s)", task)
    assert db.wait_done(10) == {"cancelled": 200}


def test_C4_http_stop_hands_tasks_back(db, daemon, web):
    """Uncharged, within the limit, though the server is silent."""
    server = web(Silent())
    host = daemon(shutdown_timeout="2s",
                  handlers={"hook": hook(server, grace="10s")})
    task = db.enqueue("hook", max_attempts=1)
    wait_until(lambda: server.requests, 10, "it is sent")
    began = time.monotonic()
    host.stop()
    assert time.monotonic() - began < 4
    row = db.task(task)
    assert row.state == "ready"


def test_E1_http_slow_server_holds_back_only_its_own(
        db, daemon, web, deaf, patience):
    """A hundred tasks hang on a silent server, a hundred on one that accepts
    nobody, others on a name that cannot be found; the rest is as quick as
    ever and no loop is held up."""
    silent, quick = web(Silent()), web(lambda request: (200, {}, b""))
    host = daemon(
        queues={"slow": {"concurrency": 300}, "default": {"concurrency": 20}},
        handlers={
            "silent": hook(silent), "quick": hook(quick), "deaf": {
                "http": f"http://127.0.0.1:{deaf}/", "allow_private": True},
            "lost": {"http": "http://no.such.name.invalid/"},
            "noop": {"noop": True}})
    for kind in ("silent", "deaf", "lost"):
        db.enqueue_many(kind, 100, queue="slow")
    wait_until(lambda: len(silent.requests) == 100, 20 * patience, "they hang")
    took = []
    for number in range(20):
        began = time.monotonic()
        db.wait_state(db.enqueue(("quick", "noop")[number % 2]))
        took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.2 * patience, took
    for line in host.log.find("held the event loop for"):
        held = int(re.search(r"for (\d+) ms", line.message)[1])
        assert held < 500 * patience, line


def processor_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_E1_http_connection_closed_while_idle_keeps_nobody_busy(
        db, daemon, web):
    """The worker is told of it once, though no transfer uses it."""
    closed = threading.Event()

    def close(connection):
        time.sleep(0.2)  # the answer is on its way
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    def respond(request):
        threading.Thread(target=close, args=(request.socket,)).start()
        return 200, {}, b""

    host = daemon(workers=1, handlers={"hook": hook(web(respond))})
    db.wait_state(db.enqueue("hook"))
    assert closed.wait(5)
    pid = host.status()["workers"][0]["pid"]
    before = processor_s(pid)
    time.sleep(2)
    assert processor_s(pid) - before < 0.3


def test_E1_http_many_at_once_do_not_hold_the_loop(
        db, daemon, web, patience):
    """A thousand that become ready together, over a hundred connections."""
    server = web()
    host = daemon(workers=1, queues={"default": {"concurrency": 100}},
                  handlers={"hook": hook(server)})
    db.enqueue_many("hook", 1000)
    assert db.wait_done(60 * patience) == {"succeeded": 1000}
    assert server.connections <= 100
    assert host.total("succeeded") == 1000
