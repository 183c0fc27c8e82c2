"""http handlers over TLS, which libcurl carries: what holds without it holds
here."""

import socket
import threading
import time

import pytest

from support.wait import wait_until
from support.web import is_closed_by_peer


@pytest.fixture
def hook(web, authority):
    """A server over TLS, and the configuration of a handler for it."""
    def make(respond, **more):
        server = web(respond, context=authority.context())
        return server, {"http": server.url("localhost"),
                        "allow_private": True, "ca_file": authority.file,
                        "backoff": {"first": "20ms", "jitter": 0}, **more}

    return make


def test_B5_http_tls_task_and_its_keys_are_sent(db, daemon, hook):
    server, config = hook(lambda request: (200, {}, b'{"n": 0.10}'),
                          headers={"X-Site": "north", "X-Empty": ""})
    host = daemon(cluster="Prod.1", handlers={"hook": config})
    task = db.enqueue("hook", {"text": "x" * 300000})
    row = db.wait_state(task)
    assert row.result == {"n": 0.1} and not host.log.find("failed")
    (request,) = server.requests
    payload = db.one("SELECT payload::text FROM muster.task WHERE id = %s",
                     task)
    assert request.body.decode() == f'{{"payload":{payload},"inputs":{{}}}}'
    head = request.headers
    assert head["Content-Type"] == "application/json"
    assert head["Idempotency-Key"] == f"Prod.1-{task}"
    assert head["Muster-Fencing-Token"].endswith(f"-{task}")
    assert (head["Muster-Task"], head["Muster-Kind"],
            head["Muster-Attempt"]) == (str(task), "hook", "1")
    assert head["traceparent"].startswith("00-")
    assert (head["X-Site"], head["X-Empty"]) == ("north", "")
    assert head["Expect"] is None and head["Muster-Flow"] is None
    flow = db.flow({"step": {"kind": "hook"}})
    db.wait_flow(flow)
    head = server.requests[-1].headers
    assert (head["Muster-Flow"], head["X-Site"]) == (str(flow), "north")


def test_G2_http_tls_answers_mean_the_same(db, daemon, hook):
    """In turn: busy with a time, broken in the middle, an error, a result."""
    def respond(request):
        number = len(server.requests)
        if number == 1:
            return 503, {"Retry-After": "1"}, b"busy"
        if number == 2:
            request.socket.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
            return None
        return (500, {}, b"boom") if number == 3 else (200, {}, b"7")

    server, config = hook(respond)
    daemon(handlers={"hook": config})
    task = db.enqueue("hook")
    row = db.wait_state(task)
    assert (row.result, row.attempt) == (7, 3)
    errors = [attempt.error for attempt in db.attempts(task)]
    assert errors[0] == "status 503: busy"
    assert errors[1].startswith("status 200, then ")
    assert errors[2] == "status 500: boom"
    assert server.requests[1].at - server.requests[0].at > 0.8


@pytest.mark.parametrize("answer, error", [
    ((302, {"Location": "/else"}, b""),
     "status 302, to {}; redirects are not followed"),
    ((200, {}, b"x" * 5000),
     "the answer is larger than max_result (4096 bytes)"),
    ((410, {}, b"gone"), "status 410: gone")])
def test_G1_http_tls_answers_that_fail_for_good(
        db, daemon, hook, answer, error):
    server, config = hook(lambda request: answer)
    host = daemon(max_result="4k", handlers={"hook": config})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert row.error == error.format(server.url("localhost", path="/else"))
    assert row.attempt == 1


def test_F1_http_tls_has_the_tasks_time_limit(db, daemon, hook):
    gone = threading.Event()

    def respond(request):
        if is_closed_by_peer(request.socket, 20):
            gone.set()
        request.socket.close()

    _, config = hook(respond, timeout="400ms", max_attempts=1)
    host = daemon(handlers={"hook": config})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert row.error == "timed out after 400ms: without an answer"
    assert gone.wait(5)


def test_A3_http_tls_connections_are_reused(db, daemon, hook):
    gate = threading.Event()
    server, config = hook(
        lambda request: (gate.wait(0.002), (200, {}, b""))[1], concurrency=3)
    daemon(workers=1, handlers={"hook": config})
    db.enqueue_many("hook", 60)
    assert db.wait_done() == {"succeeded": 60}
    assert server.most == 3 and server.connections <= 4


def test_G2_http_tls_connection_that_died_idle_costs_no_attempt(
        db, daemon, hook):
    def close(connection):
        time.sleep(0.1)  # the answer is on its way
        connection.shutdown(socket.SHUT_RDWR)

    def respond(request):
        threading.Thread(target=close, args=(request.socket,)).start()
        return 200, {}, b""

    server, config = hook(respond, max_attempts=1)
    daemon(workers=1, handlers={"hook": config})
    for number in range(3):
        db.wait_state(db.enqueue("hook"))
        wait_until(lambda: server.open == 0, 5, "it is closed")
        assert server.connections == number + 1
