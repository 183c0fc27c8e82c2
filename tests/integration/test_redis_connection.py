"""The event-driven connection to Redis (common/redis.h), with a probe."""

import signal
import socket
import time

import pytest

from support.probe import Probe
from support.redis import Redis
from support.wait import wait_until


@pytest.fixture
def server(folder):
    redis = Redis(f"{folder}/redis").create()
    yield redis
    if redis.process is not None:
        redis.thaw()
        redis.stop(signal.SIGKILL)


@pytest.fixture
def probe():
    made = []

    def start(url):
        made.append(Probe("redis_probe", url))
        return made[-1]
    yield start
    for one in made:
        one.kill()


def test_commands_are_answered(server, probe):
    server.start()
    one = probe(server.url)
    one.expect("up")
    one.order("ask SET a 1 PX 60000")
    one.expect("reply 1/1 OK")
    one.order("ask MGET a b")
    one.expect("reply 1/2 1")
    one.expect("reply 2/2 nil")
    one.order("ask GET b")
    one.expect("reply 1/1 nil")
    one.order("ask INCR a")
    one.expect("reply 1/1 2")
    one.order("ask NONSENSE")
    one.expect("reply lost")
    one.expect("trouble ERR unknown command")
    one.order("ask GET a")
    one.expect("reply 1/1 2")
    assert one.count("trouble") == 1
    one.quit()


def test_C1_redis_absent_at_start_and_restarted(server, probe, patience):
    one = probe(server.url)
    one.expect("down No such file")
    one.order("ask PING")
    one.expect("refused -107")
    for _ in range(3):
        server.start()
        one.expect("up", 4)
        one.order("ask PING")
        one.expect("reply 1/1 PONG")
        server.stop(signal.SIGKILL)
        one.expect("down")
    assert one.count("down") == 4, "each change is told once"
    one.order("counts")
    one.expect("counts pending 0 dropped 1")
    assert one.quit() < 500 * patience


def test_E1_frozen_redis_is_given_up_and_memory_is_bounded(
        server, probe, patience):
    server.start()
    one = probe(server.url)
    one.expect("up")
    server.freeze()
    one.order("flood 5000 100")
    one.expect("counts pending 2000 dropped 3000")
    one.order("ask PING")
    one.expect("refused -105")
    one.expect("down no answer", 8)
    one.order("counts")
    one.expect("counts pending 0 dropped 3001")
    server.thaw()
    one.expect("up", 10)
    assert one.quit() < 500 * patience


def test_E1_large_commands_are_bounded_in_bytes(server, probe, patience):
    server.start()
    one = probe(server.url)
    one.expect("up")
    server.freeze()
    one.order("flood 100 100000")
    one.expect("counts pending 41 dropped 59")
    server.thaw()
    wait_until(lambda: (one.order("counts"), one.expect("counts"))[1]
               .startswith("counts pending 0"))
    assert one.quit() < 500 * patience


@pytest.mark.parametrize("when", ["up", "down", "reply", "lost reply"])
def test_connection_freed_inside_its_callbacks(server, probe, when):
    one = probe(server.url)
    if when == "up":
        one.order("free up")
    server.start()
    if when != "up":
        one.expect("up")
        one.order("free " + when.split()[-1])
    if when == "reply":
        for _ in range(3):
            one.order("ask PING")
    if when == "lost reply":
        server.freeze()
        for _ in range(3):
            one.order("ask PING")
        wait_until(lambda: (one.order("counts"), one.expect("counts"))[1]
                   .startswith("counts pending 3"))
    if when in ("down", "lost reply"):
        server.stop(signal.SIGKILL)
    one.expect("freed")
    one.quit()


@pytest.mark.parametrize("when", ["up", "down", "reply"])
def test_command_sent_inside_a_callback(server, probe, when):
    one = probe(server.url)
    if when == "up":
        one.order("again up")
    server.start()
    one.expect("up")
    if when != "up":
        one.order(f"again {when}")
    one.order("ask ECHO first")
    if when == "down":
        server.stop(signal.SIGKILL)
        one.expect("refused -107")
    else:
        one.expect("reply 1/1 PONG")
    one.order("drop")
    one.quit()


def test_password_database_and_refusals(server, probe):
    server.start()
    server.command("CONFIG", "SET", "requirepass", "p@ss/w")
    one = probe(server.url.replace("unix://", "unix://:p%40ss%2Fw@") + "?db=3")
    one.expect("up")
    one.order("ask SET a 3")
    one.expect("reply 1/1 OK")
    one.order("ask INFO keyspace")
    wait_until(lambda: any("db3:keys=1" in line for line in one.lines))
    one.quit()
    one = probe(server.url)
    assert "NOAUTH" in one.expect("down")
    one.quit()
    one = probe(server.url.replace("unix://", "unix://:wrong@"))
    assert "WRONGPASS" in one.expect("down")
    one.quit()
    one = probe(server.url.replace("unix://", "unix://:p%40ss%2Fw@") + "?db=99")
    assert "out of range" in one.expect("down")
    one.quit()


def test_C1_full_redis_is_told_and_kept(server, probe):
    server.start("--maxmemory", "1")
    one = probe(server.url)
    one.expect("up")
    one.order("ask SET a " + "x" * 100)
    one.expect("reply lost")
    assert "OOM" in one.expect("trouble")
    one.order("ask PING")
    one.expect("reply 1/1 PONG")
    assert one.count("down") == 0
    one.quit()


def test_I3_replica_is_left_for_another_server(server, probe):
    server.start()
    one = probe(server.url)
    one.expect("up")
    server.command("REPLICAOF", "127.0.0.1", "1")
    one.order("ask SET a 1")
    one.expect("reply lost")
    assert "READONLY" in one.expect("down")
    server.command("REPLICAOF", "NO", "ONE")
    one.expect("up")
    one.quit()


def test_names_are_looked_up_off_the_loop(server, probe, patience):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    one = probe(f"redis://localhost:{port}/2")
    one.expect("down")
    server.start("--port", str(port), "--bind", "127.0.0.1")
    one.expect("up", 8)
    one.quit()
    one = probe(f"redis://no-such-host.invalid:{port}")
    one.expect("down host 'no-such-host.invalid' not found", 8)
    assert one.quit() < 500 * patience


def test_F1_host_that_never_answers(probe, patience):
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        start = time.monotonic()
        one = probe(f"redis://127.0.0.1:{hole.getsockname()[1]}")
        one.expect("down no answer within 5 s", 8)
        assert time.monotonic() - start < 7
        assert one.quit() < 500 * patience


@pytest.mark.parametrize("url", [
    "redis://", "unix://relative", "unix:///", "http://x", "redis://h:0",
    "redis://h:99999", "redis://h/x", "redis://h/-1", "redis://a%zz@h",
    "redis://[::1", "unix:///s?x=1", "redis://p%00@h"])
def test_bad_addresses_are_told(probe, url):
    one = probe(url)
    one.expect("bad not an address")
