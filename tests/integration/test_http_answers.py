"""http handlers: what is sent, and what comes of each answer."""

import email.utils
import json
import re
import socket
import threading
import time

import pytest


def hook(server, **more):
    return {"http": server.url(), "allow_private": True,
            "backoff": {"first": "20ms", "jitter": 0}, **more}


def payload_text(db, task):
    return db.one("SELECT payload::text FROM muster.task WHERE id = %s", task)


def test_B5_http_payload_and_inputs_are_sent_by_bytes(db, daemon, web):
    """Numbers that JSON libraries change arrive as PostgreSQL wrote them."""
    server = web(lambda request: (200, {}, b'{"n": 0.10}'))
    daemon(handlers={"hook": hook(server)})
    first = db.one(
        "SELECT muster.enqueue('hook', '{\"a\": 12345678901234567890,"
        " \"b\": 0.10, \"c\": 1e400, \"d\": \"\\u00fc \\\"q\\\"\"}')")
    db.wait_state(first)
    second = db.enqueue("hook", depends_on=[first])
    db.wait_state(second)
    bodies = [request.body.decode() for request in server.requests]
    assert bodies[0] == f'{{"payload":{payload_text(db, first)},"inputs":{{}}}}'
    assert "12345678901234567890" in bodies[0] and "0.10" in bodies[0]
    assert '"n": 0.10' in bodies[1]
    sent = json.loads(bodies[1])
    assert list(sent) == ["payload", "inputs"] and sent["inputs"]
    kinds = {request.headers["Content-Type"] for request in server.requests}
    assert kinds == {"application/json"}


RESULTS = {
    "nothing": (b"", None),
    "json": (b' {"a": [1, 0.10]} ', {"a": [1, 0.1]}),
    "text": ("grüße".encode(), "grüße"),
}


@pytest.mark.parametrize("what", RESULTS)
def test_G1_http_body_is_the_result(db, daemon, web, what):
    body, result = RESULTS[what]
    server = web(lambda request: (201, {}, body))
    daemon(handlers={"hook": hook(server)})
    row = db.wait_state(db.enqueue("hook"))
    assert row.result == result and row.attempt == 1


BAD_RESULTS = {
    "bytes": (b"\xff\xfe", "UTF-8"),
    "nul": (b'"\\u0000"', "holds \\u0000"),
    "large": (b"x" * 5000, "max_result"),
}


@pytest.mark.parametrize("what", BAD_RESULTS)
def test_G1_http_bad_result_fails_for_good(db, daemon, web, what):
    body, words = BAD_RESULTS[what]
    server = web(lambda request: (200, {}, body))
    host = daemon(max_result="4k", handlers={"hook": hook(server)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert words in row.error and row.attempt == 1
    assert len(server.requests) == 1


def test_F1_http_endless_answer_is_cut_off(db, daemon, web):
    """One that says no length and never ends is not read to its end."""
    def respond(request):
        request.socket.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                request.socket.sendall(b"x" * 65536)
        except OSError:
            return None

    server = web(respond)
    host = daemon(handlers={"hook": hook(server)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert "max_result" in row.error


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_G2_http_busy_server_is_asked_again_uncharged(
        db, daemon, web, status, form):
    """After the time it names, and the attempt stays the first."""
    def respond(_):
        if len(server.requests) > 1:
            return 200, {}, b"7"
        after = "2" if form == "seconds" else email.utils.formatdate(
            time.time() + 3, usegmt=True)
        return status, {"Retry-After": after}, b"busy"

    server = web(respond)
    daemon(handlers={"hook": hook(server, max_attempts=1)})
    task = db.enqueue("hook")
    row = db.wait_state(task)
    assert (row.attempt, row.result) == (1, 7)
    pause = server.requests[1].at - server.requests[0].at
    assert 1.5 < pause < 6, pause
    assert f"status {status}: busy" in db.attempts(task)[0].error


AT_ONCE = {
    "zero": "0",
    "date": email.utils.formatdate(time.time() - 60, usegmt=True),
    "rfc850": "Sunday, 06-Nov-94 08:49:37 GMT",
    "asctime": "Sun Nov  6 08:49:37 1994",
}


@pytest.mark.parametrize("form", AT_ONCE)
def test_G2_http_busy_server_may_say_at_once(db, daemon, web, form):
    """0 and a time that has passed are no wish for the backoff; it is asked
    again soon, but not in a loop."""
    server = web(lambda request: (503 if len(server.requests) < 6 else 200,
                                  {"Retry-After": AT_ONCE[form]}, b""))
    daemon(handlers={"hook": hook(server, max_attempts=1, backoff={
        "first": "1m", "jitter": 0})})
    assert db.wait_state(db.enqueue("hook"), limit=20).attempt == 1
    pause = server.requests[5].at - server.requests[0].at
    assert 0.5 <= pause < 15, pause


@pytest.mark.parametrize("words", ["", "soon", "-5"])
def test_G2_http_retry_after_that_means_nothing_is_not_heard(
        db, daemon, web, words):
    server = web(lambda request: (503 if len(server.requests) < 2 else 200,
                                  {"Retry-After": words}, b""))
    daemon(handlers={"hook": hook(server, max_attempts=1, backoff={
        "first": "1500ms", "jitter": 0})})
    assert db.wait_state(db.enqueue("hook")).attempt == 1
    assert server.requests[1].at - server.requests[0].at > 1.2


def test_G2_http_busy_server_without_a_time_is_asked_by_backoff(
        db, daemon, web):
    server = web(lambda request: (503 if len(server.requests) < 4 else 200,
                                  {}, b""))
    daemon(handlers={"hook": hook(server, max_attempts=1)})
    assert db.wait_state(db.enqueue("hook")).attempt == 1
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_G1_http_4xx_fails_for_good(db, daemon, web, status):
    server = web(lambda request: (status, {}, b"no such\nhook"))
    host = daemon(handlers={"hook": hook(server)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert row.error == f"status {status}: no such\nhook"
    assert row.attempt == 1 and len(server.requests) == 1


def test_G2_http_5xx_fails_the_attempt(db, daemon, web):
    """The status and the first 4 KiB of the body are its error."""
    server = web(lambda request: (500 if len(server.requests) < 3 else 200, {},
                                  b"boom " + b"y" * 100000))
    daemon(max_result="1M", handlers={"hook": hook(server)})
    task = db.enqueue("hook")
    assert db.wait_state(task).attempt == 3
    error = db.attempts(task)[0].error
    assert error == "status 500: " + ("boom " + "y" * 5000)[:4096]


def broken(request):
    """Each way of breaking, in turn."""
    number = int(request.headers["Muster-Attempt"])
    if number == 2:
        request.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
    elif number == 3:
        request.socket.sendall(b"SSH-2.0-nonsense\r\n")
    elif number == 4:
        return 200, {}, b"4"
    request.socket.shutdown(socket.SHUT_RDWR)
    return None


def test_G2_http_broken_connections_fail_the_attempt(db, daemon, web):
    server = web(broken)
    daemon(handlers={"hook": hook(server)})
    task = db.enqueue("hook")
    assert db.wait_state(task).attempt == 4
    errors = [row.error for row in db.attempts(task)]
    assert errors[0] == "Empty reply from server"
    assert errors[1].startswith("status 200, then transfer closed with 8 ")
    assert errors[1].endswith(", after: 1")
    assert "HTTP/0.9" in errors[2]


def test_G2_http_server_that_is_not_there_fails_the_attempt(db, daemon, web):
    server = web()
    server.close()
    host = daemon(handlers={"hook": hook(server, max_attempts=2)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert "Failed to connect" in row.error and row.attempt == 2


def test_G2_http_unknown_name_fails_the_attempt(db, daemon):
    host = daemon(handlers={"hook": {
        "http": "http://no.such.name.invalid/", "max_attempts": 2,
        "backoff": {"first": "10ms"}}})
    host.log.allow("failed")
    tasks = db.enqueue_many("hook", 20)
    db.wait_done(60)
    rows = [db.task(task) for task in tasks]
    assert {row.attempt for row in rows} == {2}
    assert all(row.error.startswith("cannot find no.such.name.invalid: ")
               for row in rows)


@pytest.mark.parametrize("status", [200, 413])
def test_G1_http_answer_before_the_request_was_read_counts(
        db, daemon, web, status):
    """The server answers the head, closes, and the rest is not sent."""
    server = web(lambda request: (status, {"Connection": "close"}, b"7"))
    server.reads = False
    host = daemon(handlers={"hook": hook(server, max_attempts=1)})
    host.log.allow("failed")
    task = db.enqueue("hook", {"text": "x" * 900000})
    row = db.wait_state(task, "succeeded" if status == 200 else "failed")
    assert row.result == 7 or row.error == "status 413: 7"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_G1_http_redirects_are_not_followed(db, daemon, web, status):
    server = web(lambda request: (
        status, {"Location": "/else?where"}, b"moved"))
    host = daemon(handlers={"hook": hook(server)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert row.error == (
        f"status {status}, to {server.url(path='/else?where')}; redirects "
        "are not followed: moved")
    assert len(server.requests) == 1 and row.attempt == 1


def test_G2_http_key_is_the_same_for_all_attempts(db, daemon, web):
    """And the fencing token is that of each attempt's lease."""
    server = web(lambda request: (500 if len(server.requests) < 3 else 200,
                                  {}, b""))
    daemon(cluster="Prod.1", handlers={"hook": hook(server)})
    task = db.enqueue("hook")
    db.wait_state(task)
    heads = [request.headers for request in server.requests]
    assert {head["Idempotency-Key"] for head in heads} == {f"Prod.1-{task}"}
    tokens = [head["Muster-Fencing-Token"] for head in heads]
    assert all(re.fullmatch(rf"\d+-{task}", token) for token in tokens)
    leases = [int(token.split("-")[0]) for token in tokens]
    assert leases == sorted(set(leases))
    assert [head["Muster-Attempt"] for head in heads] == ["1", "2", "3"]
    assert {(head["Muster-Task"], head["Muster-Kind"], head["Muster-Flow"])
            for head in heads} == {(str(task), "hook", None)}
    flow = db.flow({"step": {"kind": "hook"}})
    db.wait_flow(flow)
    assert server.requests[-1].headers["Muster-Flow"] == str(flow)


def test_H2_http_each_attempt_has_a_trace(db, daemon, web):
    """Its id stands in the log lines of the attempt."""
    server = web(lambda request: (500 if len(server.requests) < 2 else 200,
                                  {}, b""))
    host = daemon(log_level="debug", handlers={"hook": hook(server)})
    task = db.enqueue("hook")
    db.wait_state(task)
    parents = [request.headers["traceparent"] for request in server.requests]
    found = [re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", parent)
             for parent in parents]
    assert all(found) and found[0][1] != found[1][1]
    host.log.wait_for("status 500", level="notice", task=task,
                      trace_id=found[0][1])
    host.log.wait_for("answered with status 200", level="debug", task=task,
                      trace_id=found[1][1])


def test_A3_http_connections_are_reused(db, daemon, web):
    """As many as tasks run at a time, not one a task; `concurrency` holds."""
    gate = threading.Event()
    server = web(lambda request: (gate.wait(0.002), (200, {}, b""))[1])
    daemon(workers=1, handlers={"hook": hook(server, concurrency=3)})
    db.enqueue_many("hook", 200)
    assert db.wait_done() == {"succeeded": 200}
    assert server.most == 3
    assert server.connections <= 4, server.connections


def test_G2_http_connection_that_died_idle_costs_no_attempt(db, daemon, web):
    """The server closes it between two tasks: the second is sent anew."""
    closed = threading.Semaphore(0)

    def close(connection):
        time.sleep(0.1)  # the answer is on its way
        connection.shutdown(socket.SHUT_RDWR)
        closed.release()

    def respond(request):
        threading.Thread(target=close, args=(request.socket,)).start()
        return 200, {}, b""

    server = web(respond)
    daemon(workers=1, handlers={"hook": hook(server, max_attempts=1)})
    for _ in range(3):
        db.wait_state(db.enqueue("hook"))
        assert closed.acquire(timeout=5)
    assert len(server.requests) == server.connections == 3
