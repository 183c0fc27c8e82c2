"""Messages on channels of Redis that become tasks (D2)."""

import json
import os
import signal
import subprocess
import time

import pytest

from support import build
from support.daemon import write_config
from support.wait import holds_for, wait_until

TICKETS = {"tickets": {"channel": "tickets.new", "kind": "index"}}
QUIET = {"handlers": {"index": {"noop": True}, "other": {"noop": True}},
         "workers": 1}


def payloads(db, kind="index"):
    return [row[0] for row in db.rows(
        "SELECT payload FROM muster.task_status WHERE kind = %s ORDER BY id",
        kind)]


def listeners(redis, channel):
    return redis.command("PUBSUB", "NUMSUB", channel)[1]


def wait_listens(redis, channel, number=1, limit=15):
    wait_until(lambda: listeners(redis, channel) == number, limit,
               f"{number} listen to {channel}")


def holders(db):
    """{pid of the scheduler's session}"""
    return {row[0] for row in db.rows(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND"
        " objsubid = 2 AND granted AND classid::int8::bit(32)::int ="
        " hashtext('muster trigger') AND database = (SELECT oid FROM"
        " pg_database WHERE datname = current_database())")}


def test_D2_messages_become_tasks(db, redis, daemon):
    host = daemon(triggers={
        **TICKETS,
        "second": {"channel": "tickets.new", "kind": "other",
                   "queue": "slow", "priority": 7},
        "every": {"pattern": "other.*", "kind": "index"}},
        queues={"default": {"concurrency": 5}, "slow": {"concurrency": 5}},
        **QUIET)
    wait_listens(redis, "tickets.new")
    wait_until(lambda: redis.command("PUBSUB", "NUMPAT") == 1, 5, "pattern")
    for message in ('{"id": 7, "no": 0.10}', "plain text", '"a string"',
                    '[1, 2]', '{"half": ', '{"nul": "\\u0000"}'):
        assert redis.command("PUBLISH", "tickets.new", message) == 1
    redis.command("PUBLISH", "other.one", "17")
    wait_until(lambda: sum(db.states().values()) == 13, 10, "all are tasks")
    db.wait_done()
    expected = [{"id": 7, "no": 0.10}, {"message": "plain text"}, "a string",
                [1, 2], {"message": '{"half": '},
                {"message": '{"nul": "\\u0000"}'}]
    assert payloads(db, "other") == expected, "several triggers all run"
    assert sorted(map(str, payloads(db))) == sorted(
        map(str, expected + [17]))
    assert db.rows("SELECT DISTINCT queue, priority FROM muster.task_status"
                   " WHERE kind = 'other'") == [("slow", 7)]
    counters = host.status()["scheduler"]
    assert counters["triggered"] == 13
    assert counters["triggers_dropped"] == 0


def test_D2_one_task_a_message_and_another_host_takes_over(
        db, redis, daemon, patience):
    hosts = [daemon(triggers=TICKETS, **QUIET) for _ in range(2)]
    for host in hosts:
        host.log.allow("the supervisor is gone", "is dead (")
    wait_listens(redis, "tickets.new")
    for number in range(200):
        redis.command("PUBLISH", "tickets.new", number)
    wait_until(lambda: len(payloads(db)) == 200, 10, "all are tasks")
    first = holders(db)
    assert len(first) == 1
    [holder] = [host for host in hosts if host.log.find("this host acts on")]
    holder.kill()
    begin = time.monotonic()
    wait_until(lambda: holders(db) and holders(db) != first, 20,
               "another one holds the lock")
    wait_listens(redis, "tickets.new")
    assert time.monotonic() - begin < 3 * patience
    for number in range(200, 300):
        redis.command("PUBLISH", "tickets.new", number)
    wait_until(lambda: len(payloads(db)) == 300, 10, "and acts")
    assert payloads(db) == list(range(300)), "one task a message"


def test_D2_who_lost_its_session_enqueues_nothing(
        db, redis, daemon, own_postgres):
    """The lock is another's before the holder knows that its session is gone:
    its scheduler is stopped meanwhile."""
    hosts = [daemon(triggers=TICKETS, watchdog="60s", **QUIET)
             for _ in range(2)]
    for host in hosts:
        host.log.allow("messages are dropped", "database is away")
    wait_listens(redis, "tickets.new")
    [holder] = [host for host in hosts if host.log.find("this host acts on")]
    [other] = [host for host in hosts if host is not holder]
    [session] = holders(db)
    scheduler = holder.scheduler()
    os.kill(scheduler, signal.SIGSTOP)
    try:
        db.rows("SELECT pg_terminate_backend(%s)", session)
        other.log.wait_for("this host acts on", limit=10)
        wait_listens(redis, "tickets.new", 2)  # the stopped one, too
        for number in range(50):
            redis.command("PUBLISH", "tickets.new", number)
        wait_until(lambda: len(payloads(db)) == 50, 10, "by the other")
    finally:
        os.kill(scheduler, signal.SIGCONT)
    wait_listens(redis, "tickets.new", 1)
    holds_for(lambda: payloads(db) == list(range(50)), 0.5)


def test_D2_a_flood_is_held_to_its_rate_and_says_so(
        db, redis, daemon, patience):
    host = daemon(triggers={"tickets": {
        "channel": "tickets.new", "kind": "index", "rate": "50/s",
        "burst": 20}}, **QUIET)
    host.log.allow("dropped messages")
    wait_listens(redis, "tickets.new")
    begin = time.monotonic()
    for number in range(2000):
        redis.command("PUBLISH", "tickets.new", number)
    seconds = time.monotonic() - begin
    line = host.log.wait_for("trigger 'tickets' dropped messages", limit=10)
    assert "over its rate of 50/s" in line.message
    counters = lambda: host.status()["scheduler"]  # noqa: E731
    wait_until(lambda: counters()["triggered"]
               + counters()["triggers_dropped"] == 2000, 10, "all counted")
    taken = len(payloads(db))
    assert taken == counters()["triggered"]
    assert 20 <= taken <= 20 + 50 * (seconds + 1)
    holds_for(lambda: len(host.log.find("dropped messages")) == 1, 1)


def test_D2_a_message_over_max_payload_is_refused(db, redis, daemon):
    """One that only the database refuses takes no other with it."""
    host = daemon(triggers=TICKETS, max_payload="1k", **QUIET)
    host.log.allow("dropped messages")
    wait_listens(redis, "tickets.new")
    redis.command("PUBLISH", "tickets.new", json.dumps("x" * 2000))
    redis.command("PUBLISH", "tickets.new", 1)
    assert "1 larger than max_payload" in host.log.wait_for(
        "dropped messages", limit=10).message
    wait_until(lambda: payloads(db) == [1], 5, "the other is a task")
    db.rows("SELECT muster.set_setting('max_payload', '100')")
    with_lock = db.session()
    with_lock.run("BEGIN; LOCK muster.route IN ACCESS EXCLUSIVE MODE")
    for message in (2, "y" * 200, 3, "z" * 200, 4):
        redis.command("PUBLISH", "tickets.new", json.dumps(message))
    time.sleep(0.2)  # they come in while the first statement waits
    with_lock.run("ROLLBACK")
    wait_until(lambda: payloads(db) == [1, 2, 3, 4], 10, "the fit ones")
    wait_until(lambda: host.status()["scheduler"]["triggers_dropped"] == 3, 5, "the others are counted")


def test_D2_a_reload_adds_and_removes_triggers(db, redis, daemon):
    host = daemon(triggers={**TICKETS, "twin": {
        "channel": "tickets.new", "kind": "other"}}, **QUIET)
    wait_listens(redis, "tickets.new")
    host.write(triggers={**TICKETS, "more": {"channel": "more.new",
                                             "kind": "other"}})
    host.signal(signal.SIGHUP)
    wait_listens(redis, "more.new")
    redis.command("PUBLISH", "more.new", 1)
    redis.command("PUBLISH", "tickets.new", 2)
    wait_until(lambda: payloads(db) == [2] and payloads(db, "other") == [1],
               10, "both")
    host.write(triggers={"more": {"channel": "more.new", "kind": "index"}})
    host.signal(signal.SIGHUP)
    wait_listens(redis, "tickets.new", 0)
    wait_listens(redis, "more.new")
    wait_until(lambda: len(host.log.find("'more': this host acts on")) == 2,
               10, "the changed one begins anew")
    redis.command("PUBLISH", "more.new", 3)
    wait_until(lambda: payloads(db) == [2, 3], 10, "the changed one")
    host.write(triggers=None)
    host.signal(signal.SIGHUP)
    wait_listens(redis, "more.new", 0)
    assert not holders(db)


def test_D2_redis_is_restarted(db, own_redis, daemon):
    host = daemon(triggers=TICKETS, **QUIET)
    host.log.allow("no connection to redis")
    wait_listens(own_redis, "tickets.new")
    own_redis.restart()
    wait_listens(own_redis, "tickets.new")
    own_redis.command("PUBLISH", "tickets.new", 1)
    wait_until(lambda: payloads(db) == [1], 10, "it is heard again")


def test_D2_the_database_is_restarted(db, own_postgres, redis, daemon):
    host = daemon(triggers=TICKETS, **QUIET)
    host.log.allow("database is away", "failed, trying again",
                   "messages are dropped")
    wait_listens(redis, "tickets.new")
    own_postgres.restart()
    wait_until(lambda: len(host.log.find("this host acts on")) == 2, 20,
               "the lock is held again")
    wait_listens(redis, "tickets.new")
    redis.command("PUBLISH", "tickets.new", 1)
    wait_until(lambda: payloads(db) == [1], 10, "it is heard again")


@pytest.mark.parametrize("trigger, url, says", [
    ({"channel": "a", "kind": "b"}, None, "there is no redis to listen to"),
    ({"kind": "b"}, "unix:///r", "exactly one of channel and pattern"),
    ({"channel": "a"}, "unix:///r", "needs the kind"),
    ({"channel": "a", "kind": "b", "rate": "fast"}, "unix:///r",
     "a rate such as 10/s")])
def test_D2_wrong_triggers_are_refused(folder, trigger, url, says):
    path = os.path.join(folder, "musterd.yaml")
    write_config(path, {
        "database": "host=/nowhere", "triggers": {"t": trigger},
        **({"redis": url} if url else {})})
    done = subprocess.run([build.path("musterd"), "-c", path, "-t"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 78 and says in done.stderr
