"""Several hosts, clients that dawdle, servers that are not there."""

import time

from support.wait import holds_for, wait_until

AWAY = ("database", "postgres", "server closed", "lost", "away", "connect")


def _handlers(ledger):
    return {"noop": {"noop": True},
            "quick": ledger.handler(first="sleep 0.1")}


def test_C1_without_redis_in_the_configuration(db, daemon):
    """One line at start says what is lost; nothing else changes."""
    host = daemon(redis=None)
    host.log.allow("redis")
    db.enqueue_many("noop", 100)
    assert db.wait_done() == {"succeeded": 100}
    lines = host.log.find("redis is configured")
    assert len(lines) == 1, lines


def test_I3_two_daemons_share_the_work(db, daemon, ledger):
    """Each task runs once, both hosts take part."""
    hosts = [daemon(handlers=_handlers(ledger)) for _ in range(2)]
    tasks = db.enqueue_many("quick", 120)
    assert db.wait_done(60) == {"succeeded": 120}
    assert set(ledger.count().values()) == {1}
    assert set(ledger.count()) == set(tasks)
    assert all(host.total("succeeded") > 0 for host in hosts)


def test_I3_database_away_at_start_is_waited_for(
        own_postgres, db, daemon):
    host = daemon.make()
    host.config["database"] = db.conninfo()
    own_postgres.stop("fast")
    host.start(wait=False)
    host.log.allow(*AWAY)
    wait_until(host.try_status, 10, "the supervisor answers")
    holds_for(lambda: host.is_alive
              and host.status()["state"] == "starting", 2)
    own_postgres.start()
    host.wait_running(30)
    task = db.enqueue("noop")
    db.wait_state(task)


def test_B5_no_turn_waits_for_a_client(db, daemon):
    """A client enqueues with dependencies and keeps its transaction open:
    nobody else's work is held up, no lock of it is waited for."""
    daemon(handlers={"noop": {"noop": True}})
    parents = db.enqueue_many("noop", 50, run_at="2099-01-01")
    client = db.session("app")
    client.begin()
    for parent in reversed(parents):
        client.run("SELECT muster.enqueue('noop', depends_on => %s::bigint[])",
                   [parent])
    slow = []
    end = time.monotonic() + 3
    while time.monotonic() < end:
        begin = time.monotonic()
        db.wait_state(db.enqueue("noop"), limit=5)
        slow.append(time.monotonic() - begin)
        waiting = db.one("SELECT count(*) FROM pg_stat_activity "
                         "WHERE wait_event_type = 'Lock'")
        assert waiting == 0
    client.commit()
    slow.sort()
    assert slow[len(slow) // 2] < 1, slow[-5:]
    db.rows("SELECT muster.cancel(id) FROM muster.task_status "
            "WHERE state IN ('scheduled')")
    db.wait_done()
