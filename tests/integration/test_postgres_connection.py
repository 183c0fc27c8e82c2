"""The event-driven connection to PostgreSQL (common/pg.h), with a probe."""

import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from support.postgres import Postgres
from support.probe import Probe
from support.standby import Standby
from support.wait import wait_until


@pytest.fixture(scope="module")
def blank(session_folder):
    """A cluster that was never started, to be copied."""
    return Postgres(f"{session_folder}/blank").create()


@pytest.fixture(scope="module")
def shared(session_folder, blank):
    """A running server for tests that leave it alone."""
    postgres = Postgres(f"{session_folder}/shared").copy(blank).start()
    yield postgres
    postgres.stop("immediate")


@pytest.fixture
def server(session_folder, request, blank):
    """A server that may be stopped and frozen; without any schema."""
    number = abs(hash(request.node.name)) % 100000
    postgres = Postgres(f"{session_folder}/c{number}").copy(blank)
    yield postgres
    if postgres.process is not None:
        postgres.thaw()
        postgres.stop("immediate")
    shutil.rmtree(postgres.folder, ignore_errors=True)


@pytest.fixture
def probe():
    made = []

    def start(conninfo, *options):
        made.append(Probe("pg_probe", conninfo, *options))
        return made[-1]
    yield start
    for one in made:
        one.kill()


def conninfo(server):
    return server.conninfo("postgres")


def assert_turning(probe, patience, limit_ms=100):
    assert probe.quit() < limit_ms * patience


@pytest.mark.parametrize("prepare", ["prepare", "plain"])
def test_B2_statements_are_answered_in_order(shared, probe, prepare):
    one = probe(conninfo(shared), prepare)
    one.expect("ready")
    for number in range(50):
        one.order(f"send t{number % 5} SELECT {number % 5} * 10")
    for number in range(50):
        assert one.expect("result").split()[1] == f"t{number % 5}"
    assert one.count("result") == 50
    one.order("send p SELECT count(*) FROM pg_prepared_statements")
    count = int(one.expect("result p").split()[-1])
    assert count == (6 if prepare == "prepare" else 0)
    one.quit()


def test_session_is_set_up_and_nothing_lowers_durability(server, probe):
    server.start()
    for setting in "default_transaction_isolation = 'serializable'", "jit = on":
        server.run(f"ALTER DATABASE postgres SET {setting}")
    one = probe(conninfo(server), "limit=7000")
    one.expect("ready")
    for setting, value in {
            "transaction_isolation": "read committed",
            "application_name": "probe", "client_encoding": "UTF8",
            "synchronous_commit": "on", "fsync": "on", "jit": "off",
            "statement_timeout": "7s"}.items():
        one.order(f"send s{setting} SELECT current_setting('{setting}')")
        assert one.expect("result s").endswith(f" ok 1 {value}")
    one.quit()


def test_I3_server_absent_at_start_is_waited_for(server, probe, patience):
    one = probe(conninfo(server))
    assert "No such file" in one.expect("lost")
    one.expect("lost")
    one.order("send a SELECT 1")
    one.expect("refused a")
    server.start()
    one.expect("ready", 5)
    one.order("send b SELECT 1")
    one.expect("result b ok")
    assert_turning(one, patience)


def test_I3_restart_forgets_prepared_statements_and_listens_again(
        server, probe, patience):
    server.start()
    one = probe(conninfo(server), "prepare", "listen=news")
    for mode in ["immediate", "fast", "immediate"]:
        one.expect("ready")
        one.order("send a SELECT 41 + 1")
        assert one.expect("result a").endswith("ok 1 42")
        server.run("NOTIFY news, 'hello'")
        one.expect("notify news hello")
        one.order("send b SELECT pg_sleep(60)")
        one.order("send c SELECT 2")
        wait_until(lambda: "pg_sleep" in str(active(server)))
        server.restart(mode)
        one.expect("result b lost")
        one.expect("result c lost")
        one.expect("lost")
    one.expect("ready")
    assert_turning(one, patience)


def active(server):
    connection = server.connect("postgres")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid, query FROM pg_stat_activity"
                       " WHERE application_name = 'probe'")
        rows = cursor.fetchall()
    connection.close()
    return rows


def test_E1_F1_frozen_server_is_given_up_by_the_statement_limit(
        server, probe, patience):
    server.start()
    one = probe(conninfo(server), "limit=500", "connect=400")
    one.expect("ready")
    server.freeze()
    one.order("send a SELECT 1")
    one.expect("result a lost", 3)
    assert "statement limit" in one.expect("lost")
    assert "no answer" in one.expect("lost", 3)
    server.thaw()
    one.expect("ready", 6)
    one.order("send a SELECT 1")
    one.expect("result a ok")
    assert_turning(one, patience)


def test_F1_server_ends_a_statement_that_nobody_waits_for(shared, probe):
    one = probe(conninfo(shared), "limit=1000")
    one.expect("ready")
    one.order("send a SELECT pg_sleep(30)")
    line = one.expect("result a")
    assert "lost" in line or "57014" in line
    wait_until(lambda: "pg_sleep(30)" not in
               [query for _, query in active(shared) if query == "active"])
    one.quit()


def test_refused_statement_keeps_the_session(shared, probe):
    one = probe(conninfo(shared), "prepare")
    one.expect("ready")
    for sql, state in {"SELECT 1/0": "22012", "SELECT nothing": "42703",
                       "SELEC": "42601", "SELECT f()": "42883"}.items():
        one.order(f"send bad {sql}")
        assert one.expect("result bad").split()[3] == state
    one.order("send good SELECT 7")
    one.expect("result good ok 1 7")
    assert one.count("lost") == 0
    one.quit()


def test_terminated_backend_leaves_the_outcome_unknown(shared, probe):
    one = probe(conninfo(shared))
    pid = one.expect("ready").split()[1]
    one.order("send a SELECT pg_sleep(60)")
    wait_until(lambda: "pg_sleep" in str(active(shared)))
    shared.run(f"SELECT pg_terminate_backend({pid})")
    one.expect("result a lost")
    assert "terminating connection" in one.expect("lost")
    one.expect("ready")
    one.quit()


def test_changed_result_type_is_prepared_anew(shared, probe):
    shared.run("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    one = probe(conninfo(shared), "prepare")
    one.expect("ready")
    one.order("send f SELECT f()")
    one.expect("result f ok 1 1")
    shared.run("DROP FUNCTION f(); CREATE FUNCTION f() RETURNS text"
               " LANGUAGE sql AS $$SELECT 'new'$$")
    one.order("send f SELECT f()")
    assert "0A000" in one.expect("result f")
    one.expect("ready")
    one.order("send f SELECT f()")
    one.expect("result f ok 1 new")
    one.quit()


def test_deallocated_statement_starts_a_new_session(shared, probe):
    one = probe(conninfo(shared), "prepare")
    one.expect("ready")
    one.order("send a SELECT 1")
    one.expect("result a ok")
    one.order("send d DEALLOCATE a")
    one.expect("result d ok")
    one.order("send a SELECT 1")
    assert "26000" in one.expect("result a")
    assert "transaction pooler" in one.expect("lost")
    one.expect("ready")
    one.order("send a SELECT 1")
    one.expect("result a ok")
    one.quit()


@pytest.mark.parametrize("when", ["ready", "lost", "notify", "a"])
def test_connection_freed_inside_its_callbacks(server, probe, when):
    one = probe(conninfo(server), "prepare", "listen=news")
    if when == "ready":
        one.order("free ready")
    server.start()
    if when != "ready":
        one.expect("ready")
        one.order(f"free {when}")
    one.order("send a SELECT pg_sleep(0.5)")  # the others come meanwhile
    for tag in ["b", "c"]:
        one.order(f"send {tag} SELECT 1")
    if when in ("lost", "notify"):
        one.expect("result c ok")
    if when == "lost":
        one.order("send d SELECT pg_sleep(60)")
        one.order("reset")
        one.expect("result d lost")
    if when == "notify":
        server.run("NOTIFY news, 'x'; NOTIFY news, 'y'")
    one.expect("freed")
    if when == "a":
        assert [line for line in one.lines if line.startswith("result")][1:] \
            == ["result b lost", "result c lost"]
    one.quit()


@pytest.mark.parametrize("when", ["ready", "a", "lost"])
def test_statement_sent_inside_a_callback(server, probe, when):
    one = probe(conninfo(server), "prepare")
    if when == "ready":
        one.order("resend ready SELECT 'inside'")
    server.start()
    one.expect("ready")
    if when != "ready":
        one.order(f"resend {when} SELECT 'inside'")
    one.order("send a SELECT 1")
    if when == "lost":
        one.order("reset")
        one.expect("refused resent")
    else:
        one.expect("result resent ok 1 inside")
    one.quit()


def test_reset_starts_anew_at_once(shared, probe):
    one = probe(conninfo(shared))
    one.expect("ready")
    for _ in range(5):
        one.order("send a SELECT pg_sleep(60)")
        one.order("reset")
        one.expect("result a lost")
        assert one.expect("lost") == "lost as ordered"
        one.expect("ready", 1)
    one.order("drop")
    one.quit()


def test_E1_large_parameter_and_result(shared, probe, patience):
    one = probe(conninfo(shared), "prepare")
    one.expect("ready")
    one.order("big a 30000000")
    one.expect("result a ok 1 30000000", 20)
    one.order("send b SELECT repeat('y', 20000000)")
    one.expect("result b ok 1 yyyy", 20)
    assert_turning(one, patience, 1000)


def listen_on_tcp(server, settings=""):
    """On a free port, which is returned; not started yet."""
    port = free_port()
    path = f"{server.data}/postgresql.conf"
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"listen_addresses = '127.0.0.1'\nport = {port}\n"
                   + settings)
    return port


def test_names_are_looked_up_off_the_loop(server, probe, patience):
    port = listen_on_tcp(server)
    server.start(wait=False)
    one = probe(f"host=localhost port={port} dbname=postgres"
                " user=postgres")
    one.expect("ready")
    assert_turning(one, patience)
    one = probe(f"host=no-such-host.invalid,localhost port={port}"
                " dbname=postgres user=postgres connect_timeout=5")
    one.expect("ready", 10)
    one.quit()
    one = probe(f"host=no-such-host.invalid port={port} user=postgres")
    assert "host 'no-such-host.invalid' not found" in one.expect("lost")
    one.quit()


def test_E1_F1_large_results_over_tls(server, probe, patience):
    """What TLS has read from the socket already is not forgotten there."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
         "-subj", "/CN=localhost", "-days", "1",
         "-keyout", f"{server.data}/server.key",
         "-out", f"{server.data}/server.crt"],
        check=True, capture_output=True)
    for name in ("server.key", "server.crt"):
        os.chmod(f"{server.data}/{name}", 0o600)
        if os.geteuid() == 0:
            shutil.chown(f"{server.data}/{name}", "postgres", "postgres")
    port = listen_on_tcp(server, "ssl = on\n")
    server.start(wait=False)
    one = probe(f"host=localhost port={port} dbname=postgres user=postgres"
                f" sslmode=verify-full sslrootcert={server.data}/server.crt",
                "prepare")
    one.expect("ready")
    one.order("send tls SELECT ssl FROM pg_stat_ssl"
              " WHERE pid = pg_backend_pid()")
    assert one.expect("result tls").endswith("t")
    for size in (100, 16000, 17000, 300000, 9000000):
        one.order(f"big a {size}")
        one.expect(f"result a ok 1 {size}", 20)
        one.order(f"send r{size} SELECT repeat('z', {size})")
        one.expect(f"result r{size} ok 1 zzz", 20)
    assert_turning(one, patience, 1000)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_F1_I3_host_that_never_answers_is_passed_over(shared, probe):
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        one = probe(
            f"host=127.0.0.1,{shared.folder} port={hole.getsockname()[1]},5432"
            " dbname=postgres user=postgres connect_timeout=1")
        start = time.monotonic()
        one.expect("ready")
        assert time.monotonic() - start < 3
        one.quit()


@pytest.mark.parametrize("text, words", [
    ("host=a,b,c port=1,2", "different numbers"),
    ("hst=x", "invalid connection option"),
    ("host=/nowhere sslmode=maybe", "sslmode"),
    ("service=no-such-service", "no-such-service"),
])
def test_bad_conninfo_is_told(probe, text, words):
    one = probe(text)
    assert words in one.expect("lost")
    one.quit()


def test_read_only_database_is_not_used(server, probe):
    server.start()
    server.run("ALTER DATABASE postgres"
               " SET default_transaction_read_only = on")
    one = probe(conninfo(server))
    assert "read-only" in one.expect("lost")
    one.quit()
    one = probe(conninfo(server) + " target_session_attrs=any")
    one.expect("ready")
    one.quit()


def test_G1_password_is_never_in_a_reason(server, probe):
    one = probe(f"host={server.folder} user=x password=s3cret")
    assert not re.search("s3cret", one.expect("lost"))
    one.quit()


@pytest.fixture
def standby(server):
    server.start()
    made = Standby(server.folder + "s", server).create().start()
    yield made
    made.stop("immediate")
    shutil.rmtree(made.folder, ignore_errors=True)


def both(server, standby):
    return (f"host={server.folder},{standby.folder} dbname=postgres"
            " user=postgres")


def test_I3_promoted_standby_is_followed(server, standby, probe):
    one = probe(both(server, standby), "prepare")
    assert one.expect("ready").endswith("timeline 1")
    one.order("send a SELECT 1")
    one.expect("result a ok")
    server.stop("immediate")
    one.expect("lost")
    wait_until(lambda: any("not" in line or "read-only" in line
                           for line in one.lines))
    standby.promote()
    assert one.expect("ready").endswith("timeline 2")
    one.order("send a SELECT 1")
    one.expect("result a ok")
    one.quit()


def test_I3_former_primary_that_comes_back_is_refused(
        server, standby, probe):
    one = probe(both(server, standby))
    one.expect("ready")
    server.stop("immediate")
    standby.promote()
    one.expect("ready")
    server.start()  # two primaries now, and the old one comes first
    one.order("reset")
    assert one.expect("ready").endswith("timeline 2")
    standby.stop("fast")
    one.expect("lost")
    wait_until(lambda: any("former primary" in line for line in one.lines))
    assert one.count("ready") == 3
    one.quit()


def test_I3_standby_alone_is_not_used(server, standby, probe):
    one = probe(standby.conninfo("postgres"))
    assert "standby" in one.expect("lost")
    standby.promote()
    one.expect("ready")
    one.quit()
