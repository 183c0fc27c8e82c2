"""http handlers without TLS: the bytes of requests and answers."""

import json
import socket
import threading
import time

from support.wait import wait_until


def hook(server, **more):
    return {"http": server.url(), "allow_private": True, "max_attempts": 1,
            "backoff": {"first": "20ms", "jitter": 0}, **more}


def raw(*pieces, close=False):
    """A server that answers with these bytes, a piece at a time."""
    def respond(request):
        for piece in pieces:
            request.socket.sendall(piece)
            time.sleep(0.01)
        return None if close else ()

    return respond


def test_A3_http_lines_take_answers_of_every_form(db, daemon, web):
    """In pieces, in chunks, after others, with trailers; and the connection
    goes on to be used."""
    server = web(raw(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nRetry-",
        b"After: 9\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chu",
        b"nked\r\n\r\n4;a=b\r\n{\"a\"\r", b"\n5\r\n: 0.1\r\n2\r\n0}\r\n0",
        b"\r\nX-Sum: 1\r\n\r", b"\n"))
    daemon(workers=1, handlers={"hook": hook(server, concurrency=1)})
    tasks = db.enqueue_many("hook", 3)
    assert db.wait_done() == {"succeeded": 3}
    assert {db.one("SELECT result::text FROM muster.task WHERE id = %s", task)
            for task in tasks} == {'{"a": 0.10}'}
    assert server.connections == 1


def test_A3_http_lines_close_where_an_answer_has_no_end_of_its_own(
        db, daemon, web):
    """It ends with the connection, and the next task has another."""
    server = web(raw(b"HTTP/1.0 200 OK\r\n\r\n", b'"all of it"', close=True))
    daemon(workers=1, handlers={"hook": hook(server, concurrency=1)})
    tasks = db.enqueue_many("hook", 3)
    assert db.wait_done() == {"succeeded": 3}
    assert {db.task(task).result for task in tasks} == {"all of it"}
    assert server.connections == 3


def test_G1_http_lines_with_more_than_the_answer_are_not_used_again(
        db, daemon, web):
    """What a server sends unasked is no answer to the next request."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"
    server = web(raw(answer + answer.replace(b"\n1", b"\n2")))
    daemon(workers=1, handlers={"hook": hook(server, concurrency=1)})
    tasks = db.enqueue_many("hook", 5)
    assert db.wait_done() == {"succeeded": 5}
    assert {db.task(task).result for task in tasks} == {1}
    assert server.connections == 5


def test_B5_http_lines_carry_what_is_large_both_ways(db, daemon, web):
    """More than the socket takes at once, to a server that begins to read
    late; and nearly a result's limit back."""
    def respond(request):
        time.sleep(0.2)
        body = request.rfile.read(int(request.headers["Content-Length"]))
        payload = json.loads(body)["payload"]
        return 200, {}, json.dumps([len(payload["text"]), "x" * 900000,
                                    payload["text"][-3:]]).encode()

    server = web(respond)
    server.reads = False
    daemon(max_payload="16M", handlers={"hook": hook(server)})
    tasks = db.enqueue_many("hook", [
        {"text": "y" * size + "end"} for size in (10, 300000, 8000000)])
    assert db.wait_done(60) == {"succeeded": 3}
    assert [db.task(task).result for task in tasks] == [
        [size + 3, "x" * 900000, "end"] for size in (10, 300000, 8000000)]


def test_G2_http_lines_that_die_under_a_request_are_tried_once_more(
        db, daemon, web):
    """A server that closes idle connections may do so while a request is on
    its way; the second request is read by nobody."""
    def respond(request):
        if request.connection == 1 and len(server.requests) == 2:
            request.socket.shutdown(socket.SHUT_RDWR)
            return None
        return 200, {}, str(request.connection).encode()

    server = web(respond)
    daemon(workers=1, handlers={"hook": hook(server)})
    db.wait_state(db.enqueue("hook"))
    second = db.enqueue("hook")
    assert db.wait_state(second).result == 2
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert len(keys) == 3 and keys[1] == keys[2] != keys[0]
    assert db.task(second).attempt == 1


def test_G2_http_lines_that_are_new_and_die_fail_the_attempt(db, daemon, web):
    """A server that reads a request and closes has perhaps done it: nothing
    is sent behind the back of max_attempts."""
    server = web(raw(close=True))
    host = daemon(handlers={"hook": hook(server, max_attempts=2)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert row.error == "Empty reply from server" and row.attempt == 2
    assert len(server.requests) == 2


def test_B5_http_lines_say_what_is_configured_in_place_of_their_own(
        db, daemon, web):
    server = web(lambda request: (200, {}, b""))
    url = server.url(path="/a/../in?b=c&d")
    daemon(handlers={
        "hook": hook(server) | {"http": url},
        "other": hook(server, headers={
            "Host": "name.example", "user-agent": "me", "X-Empty": ""})})
    for kind in ("hook", "other"):
        db.wait_state(db.enqueue(kind))
    (first, second) = server.requests
    assert (first.path, second.path) == ("/in?b=c&d", "/in")
    assert first.headers["Host"] == f"127.0.0.1:{server.port}"
    assert first.headers["User-Agent"] == "musterd"
    assert second.headers.get_all("Host") == ["name.example"]
    assert second.headers.get_all("User-Agent") == ["me"]
    assert second.headers["X-Empty"] == ""
    for request in (first, second):
        assert request.headers.get_all("Accept") == ["*/*"]
        assert request.headers.get_all("Content-Type") == ["application/json"]
        assert len(request.headers.get_all("Content-Length")) == 1


def test_C4_http_lines_end_with_a_reload(db, daemon, web):
    """A generation that is gone leaves no connection; what is under way then
    ends on its own."""
    gate = threading.Event()

    def respond(request):
        gate.wait(20)
        return 200, {}, b"1"

    server = web(respond)
    host = daemon(workers=1, handlers={"hook": hook(server)})
    tasks = db.enqueue_many("hook", 5)
    wait_until(lambda: len(server.requests) == 5, 10, "all are sent")
    host.reload(handlers={"hook": hook(server, headers={"X-Round": "2"})})
    gate.set()
    assert db.wait_done() == {"succeeded": 5}
    wait_until(lambda: server.open == 0, 10, "their connections are closed")
    db.wait_state(db.enqueue("hook"))
    assert server.open == 1
