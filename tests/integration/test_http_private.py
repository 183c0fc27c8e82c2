"""http handlers: whom they trust, what they may reach, what they keep to
themselves."""

import os
import socket
import subprocess

import pytest

from support import build
from support.wait import wait_until


def hook(server, host="127.0.0.1", **more):
    return {"http": server.url(host), "allow_private": True,
            "backoff": {"first": "20ms", "jitter": 0}, **more}


def shown(host, environment):
    """What musterd -T prints."""
    return subprocess.run(
        [build.path("musterd"), "-T", "-c", host.config_path], check=True,
        env={**build.environment(), **environment}, stdout=subprocess.PIPE,
        text=True).stdout


# TLS.

def test_G1_http_tls_is_verified(db, daemon, web, authority):
    """By the private CA of ca_file; by the system's it does not pass."""
    server = web(lambda request: (200, {}, b"1"), context=authority.context())
    host = daemon(handlers={
        "known": hook(server, "localhost", ca_file=authority.file),
        "unknown": hook(server, "localhost", max_attempts=1)})
    host.log.allow("failed")
    known, unknown = db.enqueue("known"), db.enqueue("unknown")
    assert db.wait_state(known).result == 1
    assert "certificate" in db.wait_state(unknown, "failed").error
    assert len(server.requests) == 1


def test_G1_http_tls_name_must_be_the_servers(db, daemon, web, authority):
    server = web(context=authority.context())
    host = daemon(handlers={"hook": hook(
        server, "127.0.0.1", ca_file=authority.file, max_attempts=1)})
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    assert "matches target host name '127.0.0.1'" in row.error
    assert not server.requests


def test_I1_http_missing_ca_file_is_shown_and_waited_for(
        db, daemon, web, authority, folder):
    """Its tasks are put off, uncharged, until it is there."""
    path = os.path.join(folder, "ca.pem")
    server = web(context=authority.context())
    host = daemon(handlers={"hook": hook(
        server, "localhost", ca_file=path, max_attempts=1)})
    host.log.allow("cannot run")
    wait_until(lambda: f"cannot run: {path}" in str(host.status()), 10,
               "it is shown")
    task = db.enqueue("hook")
    wait_until(lambda: db.attempts(task), 10, "an attempt")
    os.symlink(authority.file, path)
    assert db.wait_state(task).attempt == 1


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  log_format short "$connection $server_protocol";
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    access_log {folder}/access short;
    location /early {{ return 200; }}
    location / {{ proxy_pass http://127.0.0.1:{behind}; }}
  }}
}}
"""


@pytest.fixture
def nginx(folder, authority, web):
    """An HTTP/2 server over TLS: its port, and a function that gives (the
    connection, the protocol) of each request. What is behind it answers 1;
    /early is answered before the request has been read."""
    if not os.path.exists("/usr/sbin/nginx"):
        pytest.skip("nginx is not installed: no server that speaks HTTP/2")
    behind = web(lambda request: (200, {}, b"1"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(NGINX.format(
            folder=folder, port=port, behind=behind.port,
            key=authority.key, certificate=authority.certificate))
    with subprocess.Popen(["/usr/sbin/nginx", "-c", path],
                          stdin=subprocess.DEVNULL) as process:
        wait_until(lambda: os.path.exists(f"{folder}/pid"), 10, "nginx runs")
        yield port, lambda: [line.split() for line in
                             open(f"{folder}/access", encoding="ascii")]
        process.terminate()


def test_A3_http2_tasks_share_a_connection(db, daemon, nginx, authority):
    """A hundred at a time, one connection a worker."""
    port, requests = nginx
    daemon(workers=1, queues={"default": {"concurrency": 100}},
           handlers={"hook": {
               "http": f"https://localhost:{port}/", "allow_private": True,
               "ca_file": authority.file, "max_attempts": 1}})
    db.enqueue_many("hook", 300)
    assert db.wait_done() == {"succeeded": 300}
    assert {protocol for _, protocol in requests()} == {"HTTP/2.0"}
    assert len({connection for connection, _ in requests()}) == 1


def test_G1_http2_answer_before_the_request_was_read_counts(
        db, daemon, nginx, authority):
    """The server answers the head, and resets the stream."""
    port, _ = nginx
    daemon(workers=1, handlers={"hook": {
        "http": f"https://localhost:{port}/early", "allow_private": True,
        "ca_file": authority.file, "max_attempts": 1, "concurrency": 1}})
    db.enqueue_many("hook", [{"text": "x" * 100000}] * 20)
    assert db.wait_done() == {"succeeded": 20}


def test_G1_http2_early_answers_to_many_at_once_count(
        db, daemon, nginx, authority):
    """A hundred streams of a connection at a time, small and large, with a
    fresh handler each time: no answer is lost or waited for in vain."""
    port, requests = nginx

    def handlers(number):
        return {"hook": {
            "http": f"https://localhost:{port}/early", "allow_private": True,
            "ca_file": authority.file, "max_attempts": 1, "timeout": "20s",
            "headers": {"X-Round": str(number)}}}

    host = daemon(workers=1, queues={"default": {"concurrency": 100}},
                  handlers=handlers(0))
    for number in range(1, 25):
        size = (10, 100000)[number % 2]
        db.enqueue_many("hook", [{"text": "x" * size}] * 100)
        assert db.wait_done(60) == {"succeeded": 100 * number}
        host.reload(handlers=handlers(number))
    protocols = {protocol for _, protocol in requests()}
    assert "HTTP/2.0" in protocols
    lost = host.log.find("an answer was lost", level="info")
    assert ("HTTP/1.1" in protocols) == bool(lost)


# Where it may go.

@pytest.mark.parametrize("name", [
    "127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0",
    "2130706433", "[::]"])
def test_G1_http_private_addresses_are_refused(db, daemon, web, name):
    """By the address that would be connected to, whatever names it."""
    kind = "::" if name.startswith("[") else "0.0.0.0"
    server = web(address=kind)
    host = daemon(handlers={"hook": {
        "http": server.url(name), "max_attempts": 1}})
    host.log.allow("cannot run")
    task = db.enqueue("hook")
    wait_until(lambda: db.attempts(task), 10, "an attempt")
    error = db.attempts(task)[0].error
    assert "has the private address" in error and "allow_private" in error
    assert "cannot run" in str(host.status())
    assert server.connections == 0
    assert db.request("cancel", task)
    db.wait_state(task, "cancelled")


def test_G1_http_allow_private_lets_it_in_after_a_reload(db, daemon, web):
    """The task that was put off is not charged for it."""
    server = web()
    config = {"http": server.url("localhost"), "max_attempts": 1,
              "backoff": {"first": "100ms", "max": "100ms"}}
    host = daemon(handlers={"hook": config})
    task = db.enqueue("hook")
    wait_until(lambda: db.attempts(task), 10, "an attempt")
    host.reload(handlers={"hook": {**config, "allow_private": True}})
    assert db.wait_state(task).attempt == 1


def test_G1_http_proxies_of_the_environment_are_not_used(
        db, daemon, web):
    proxy = web(lambda request: (418, {}, b"proxy"))
    server = web(lambda request: (200, {}, b'"direct"'))
    host = daemon.make(handlers={"hook": hook(server)})
    host.start(environment={"http_proxy": proxy.url(), "all_proxy":
                            proxy.url(), "HTTP_PROXY": proxy.url()})
    assert db.wait_state(db.enqueue("hook")).result == "direct"
    assert not proxy.requests


# Headers.

def secret_file(folder, text):
    path = os.path.join(folder, "secret")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o600)
    return path


def test_I1_http_headers_come_from_configuration_and_files(
        db, daemon, web, folder):
    """Neither the log, nor -T, nor an error shows a secret, even where the
    server echoes it."""
    secret_file(folder, "Bearer hunter2-hunter2\n")
    server = web(lambda request: (400, {}, (
        f"you said {request.headers['Authorization']}, or"
        f" {request.headers['Authorization'].split()[1]}").encode()))
    host = daemon.make(log_level="debug", handlers={"hook": hook(
        server, headers={
            "Authorization": {"file": "${CREDENTIALS_DIRECTORY}/secret"},
            "X-Empty": "", "X-Site": "north: 5", "X-Api-Key": "inline-pw"})})
    environment = {"CREDENTIALS_DIRECTORY": folder}
    host.start(environment=environment)
    host.log.allow("failed")
    row = db.wait_state(db.enqueue("hook"), "failed")
    head = server.requests[0].headers
    assert head["Authorization"] == "Bearer hunter2-hunter2"
    assert (head["X-Empty"], head["X-Site"]) == ("", "north: 5")
    assert head["X-Api-Key"] == "inline-pw"
    assert row.error == "status 400: you said ***, or ***"
    printed = shown(host, environment)
    for text in (printed, host.log.tail(10000)):
        assert "hunter2" not in text and "inline-pw" not in text
    assert 'X-Site: "north: 5"' in printed


def test_I1_http_secrets_are_read_anew_at_reload(db, daemon, web, folder):
    """Also where nothing else has changed; and not before."""
    path = secret_file(folder, "one")
    server = web()
    host = daemon(handlers={"hook": hook(
        server, headers={"X-Token": {"file": path}})})
    db.wait_state(db.enqueue("hook"))
    secret_file(folder, "two")
    db.wait_state(db.enqueue("hook"))
    host.reload()
    db.wait_state(db.enqueue("hook"))
    assert [request.headers["X-Token"] for request in server.requests] == [
        "one", "one", "two"]


@pytest.mark.parametrize("text, words", [
    (None, "No such file"), ("", "is empty"),
    ("a\r\nX-Evil: 1\n", "more than one line"),
    ("x" * 10000, "too large")])
def test_I1_http_bad_secret_is_shown_and_waited_for(
        db, daemon, web, folder, text, words):
    path = os.path.join(folder, "secret")
    if text is not None:
        secret_file(folder, text)
    server = web()
    host = daemon(handlers={"hook": hook(
        server, headers={"X-Token": {"file": path}}, max_attempts=1)})
    host.log.allow("cannot run")
    if text is None:  # seen without a task
        host.log.wait_for(f"cannot run: {path}: {words}", level="warning")
        assert words in str(host.status())
    task = db.enqueue("hook")
    wait_until(lambda: words in str(host.status()), 10, "it is shown")
    wait_until(lambda: db.attempts(task), 10, "it is recorded")
    assert words in db.attempts(task)[0].error and not server.requests
    secret_file(folder, "fine")
    assert db.wait_state(task).attempt == 1
    assert server.requests[0].headers["X-Token"] == "fine"


WRONG = {
    "url: x": ("{http: ftp://x/}", "not an http:// or https:// URL"),
    "user": ("{http: 'http://u:hunter2@x/'}", "no user or password"),
    "host": ("{http: 'http:///in'}", "names no host"),
    "two": ("{http: http://x/, noop: true}", "needs exactly one of"),
    "own": ("{http: http://x/, headers: {content-length: 5}}",
            "content-length is the daemon's own"),
    "name": ("{http: http://x/, headers: {'a b': c}}",
             "'a b' is not the name of a header"),
    "line": (r'{http: http://x/, headers: {a: "b\r\nc: d"}}',
             "a control character"),
    "map": ("{http: http://x/, headers: {a: {fil: /x}}}",
            "not a text or {file: /path}"),
    "path": ("{http: http://x/, headers: {a: {file: x}}}",
             "'x' is not an absolute path"),
    "elsewhere": ("{noop: true, allow_private: true}",
                  "only a handler with http has it"),
}


@pytest.mark.parametrize("what", WRONG)
def test_I1_http_wrong_configuration_is_pointed_at(daemon, what):
    text, words = WRONG[what]
    host = daemon.make()
    host.write_raw(f"handlers:\n  hook: {text}\n", "http.yaml")
    done = subprocess.run(
        [build.path("musterd"), "-t", "-c", host.config_path], check=False,
        env=build.environment(), capture_output=True, text=True)
    assert done.returncode == 78
    assert "http.yaml:2:" in done.stderr and words in done.stderr
    assert "hunter2" not in done.stderr
