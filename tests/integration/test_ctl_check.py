"""musterctl check: what a daemon needs, and each way it can be wrong."""

import json
import os
import socket
import subprocess

import pytest

from support import build
from support.daemon import ctl, write_config


def check(config, *words, code=0):
    items = json.loads(ctl("check", "--json", *words, config=config,
                           code=code))
    return {item["what"]: item for item in items}


@pytest.fixture
def config(db, redis, folder):
    def write(**changes):
        path = os.path.join(folder, "check.yaml")
        write_config(path, {
            "database": db.conninfo(), "redis": redis.url,
            "runtime_dir": folder, "queues": {"default": {"concurrency": 1}},
            "handlers": {"nap": {"exec": ["/bin/sleep", "1"]}}, **changes})
        return path
    return write


def test_I1_check_all_is_right(config):
    items = check(config(), "--invariants")
    assert set(items) == {"configuration", "database", "schema", "rights",
                          "redis", "handler", "invariants"}
    assert all(item["ok"] for item in items.values())
    text = ctl("check", config=config())
    assert "wrong" not in text and "nap runs /bin/sleep" in text


@pytest.mark.parametrize("handler, words", [
    ({"exec": ["/nowhere/program"]}, "does not exist"),
    ({"exec": ["/etc/passwd"]}, "is not executable"),
    ({"exec": ["/bin"]}, "is not executable"),
    ({"sql": "app.missing"}, "there is no function app.missing"),
    ({"sql": "pg_catalog.now", "role": "nosuch"}, "there is no function"),
])
def test_check_finds_wrong_handlers(config, handler, words):
    item = check(config(handlers={"h": handler}), code=1)["handler"]
    assert not item["ok"] and words in item["detail"]


@pytest.mark.parametrize("handler, words", [
    ({"pool": ["/nowhere/program"]}, "does not exist"),
    ({"pool": ["/etc/passwd"]}, "is not executable"),
    ({"plugin": "/nowhere/plugin.so"}, "cannot open shared object"),
    ({"plugin": "/etc/passwd"}, "/etc/passwd: "),
    ({"plugin": build.path("old_plugin.so")}, "a plugin of version 7"),
    ({"plugin": build.path("no_plugin.so")}, "has no muster_plugin"),
])
def test_check_finds_wrong_programs_and_plugins(config, handler, words):
    item = check(config(handlers={"h": handler}), code=1)["handler"]
    assert not item["ok"] and words in item["detail"]


def test_check_survives_plugins_that_crash_or_hang(config, folder):
    """Loading runs their constructors, in a process of its own."""
    def plugin(body):
        path = os.path.join(folder, "plugin")
        with open(f"{path}.c", "w", encoding="ascii") as file:
            file.write("#include <unistd.h>\n#include <stdlib.h>\n"
                       "__attribute__((constructor)) static void begin(void)"
                       f"{{ {body} }}\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", f"{path}.so",
                        f"{path}.c"], check=True)
        return {"h": {"plugin": f"{path}.so"}}

    for body, words in (("abort();", "SIGABRT"), ("_exit(3);", "code 3"),
                        ("pause();", "does not load within 10 s")):
        item = check(config(handlers=plugin(body)), code=1)["handler"]
        assert not item["ok"] and words in item["detail"]


def test_check_takes_pools_plugins_and_servers_that_work(config, web):
    """No request is sent to the server."""
    server = web()
    for handler in ({"pool": ["/bin/cat"]},
                    {"plugin": build.path("trial_plugin.so")},
                    {"http": server.url(), "allow_private": True}):
        item = check(config(handlers={"h": handler}))["handler"]
        assert item["ok"]
    assert not server.requests
    assert f"(127.0.0.1, port {server.port})" in item["detail"]


@pytest.mark.parametrize("url, words", [
    ("http://no.such.name.invalid/", "Could not resolve host"),
    ("http://127.0.0.1:9/", "Failed to connect to 127.0.0.1 port 9"),
])
def test_check_finds_http_servers_that_are_away(config, url, words):
    handler = {"http": url, "allow_private": True}
    item = check(config(handlers={"h": handler}), code=75)["handler"]
    assert not item["ok"] and words in item["detail"]


def test_check_http_has_the_time_limit_of_connect(config):
    """A server that says nothing in a TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        handler = {"http": f"https://127.0.0.1:{server.getsockname()[1]}/",
                   "allow_private": True, "connect_timeout": "300ms"}
        item = check(config(handlers={"h": handler}), code=75)["handler"]
    assert not item["ok"] and "timeout" in item["detail"]


def test_check_http_refuses_private_addresses(config, web):
    server = web()
    handler = {"http": server.url("localhost")}
    item = check(config(handlers={"h": handler}), code=1)["handler"]
    assert "has the private address" in item["detail"]
    assert server.connections == 0


def test_check_http_verifies_tls(config, web, authority):
    """By ca_file, the name included."""
    server = web(context=authority.context())

    def item(host, code, **more):
        handler = {"http": server.url(host), "allow_private": True, **more}
        return check(config(handlers={"h": handler}), code=code)["handler"]

    assert item("localhost", 0, ca_file=authority.file)["ok"]
    assert "certificate" in item("localhost", 1)["detail"]
    assert "matches target host name" in item(
        "127.0.0.1", 1, ca_file=authority.file)["detail"]
    assert "/nowhere/ca.pem" in item(
        "localhost", 1, ca_file="/nowhere/ca.pem")["detail"]


def test_check_finds_servers_that_are_away(config, folder):
    item = check(config(redis=f"unix://{folder}/none.sock"), code=75)["redis"]
    assert not item["ok"]
    items = check(config(database=f"host={folder} dbname=x"), code=75)
    assert not items["database"]["ok"]


def test_check_finds_a_lack_of_rights(db, config):
    items = check(config(database=db.conninfo("app")), code=78)
    assert not items["rights"]["ok"]


def test_check_finds_violated_invariants(db, config):
    task = db.enqueue("a")
    db.rows("DELETE FROM muster.ready")
    items = check(config(), "--invariants", code=1)
    assert str(task) in items["invariants"]["detail"]
    db.rows("DELETE FROM muster.task")
