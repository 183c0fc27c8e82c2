"""PostgreSQL, Redis and the reader of the log, restarted or stopped."""

import pytest

from support.wait import holds_for, wait_until

WORDS = ("PostgreSQL", "database", "Redis", "redis", "connection")


def rescues(db):
    return db.one("SELECT coalesce(sum(rescues), 0) FROM muster.task")


def handlers(ledger):
    return {"noop": {"noop": True},
            "work": ledger.handler(then=f"sleep 0.2; {ledger.note('end')}")}


def progress(db, tasks, more, limit):
    """Waits until `more` tasks have ended than when it was called."""
    done = db.states(tasks)["succeeded"]
    wait_until(lambda: db.states(tasks)["succeeded"] >= min(
        done + more, len(tasks)), limit, "work goes on", every=0.1)


def test_I3_postgres_restarted_under_load(
        own_postgres, db, daemon, ledger, is_long, patience):
    musterd = daemon(handlers=handlers(ledger),
                     queues={"default": {"concurrency": 10}})
    musterd.log.allow(*WORDS)
    pids = musterd.workers()
    rounds = 10 if is_long else 4
    work = db.enqueue_many("work", 60 * rounds)
    for number in range(rounds):
        noops = db.enqueue_many("noop", 2000)
        own_postgres.restart("immediate" if number % 2 else "fast")
        progress(db, work + noops, 40, 30 * patience)
    states = db.wait_done(60 * patience)
    assert states == {"succeeded": 60 * rounds + 2000 * rounds}
    assert ledger.count("end") == {task: 1 for task in work}
    assert rescues(db) == 0, "no task of a live worker is rescued"
    assert musterd.workers() == pids, "no worker was lost"


def test_C1_redis_restarted_under_load(
        own_redis, db, daemon, ledger, is_long, patience):
    musterd = daemon(handlers=handlers(ledger),
                     queues={"default": {"concurrency": 10}})
    musterd.log.allow(*WORDS)
    pids = musterd.workers()
    rounds = 10 if is_long else 4
    work = db.enqueue_many("work", 40 * rounds)
    for _ in range(rounds):
        own_redis.restart()
        progress(db, work, 20, 20 * patience)
    assert db.wait_done(30 * patience) == {"succeeded": 40 * rounds}
    assert ledger.count("end") == {task: 1 for task in work}
    assert rescues(db) == 0
    assert musterd.workers() == pids
    wait_until(lambda: len(own_redis.keys("muster:*:worker:*")) == 2,
               10 * patience, "both workers beat again")


def loops_tick(musterd, pids):
    """The control socket answers, and the same workers live."""
    status = musterd.status()
    assert {row["slot"]: row["pid"] for row in status["workers"]} == pids
    assert status["scheduler"]["restarts"] == 0
    return True


@pytest.mark.parametrize("who", ["postgres", "redis", "log"])
def test_E1_stopped_neighbour_blocks_no_loop(
        own_postgres, own_redis, db, daemon, ledger, patience, who):
    """SIGSTOP for three times the watchdog's limit."""
    musterd = daemon(watchdog=f"{patience}s", handlers={
        **handlers(ledger),
        "loud": {"exec": ["/bin/sh", "-c", "yes loud | head -n 900 >&2"]}})
    musterd.log.allow(*WORDS, "suppressed", "loud")
    pids = musterd.workers()
    stop, go_on = {
        "postgres": (own_postgres.freeze, own_postgres.thaw),
        "redis": (own_redis.freeze, own_redis.thaw),
        "log": (musterd.log.pause, musterd.log.resume)}[who]
    before = db.enqueue_many("work", 20)
    if who == "log":
        before += db.enqueue_many("loud", 200)
    stop()
    try:
        holds_for(lambda: loops_tick(musterd, pids), 3.5 * patience, "loops tick",
                  every=0.2)
        if who != "postgres":
            assert db.wait_done(60 * patience) == {"succeeded": len(before)}
    finally:
        go_on()
    after = db.enqueue("noop")
    db.wait_state(after, limit=20 * patience)
    assert db.wait_done(60 * patience) == {"succeeded": len(before) + 1}
    assert set(ledger.count("end").values()) == {1}
    assert rescues(db) == 0
    assert loops_tick(musterd, pids)
    for row in musterd.status()["workers"]:
        assert row["lag_us"]["max"] < 1_000_000 * patience, row["lag_us"]
