"""SIGTERM at any moment, under load."""

import os
import random
import re
import signal
import time

import pytest

from support import processes
from support.wait import wait_until

TIMEOUT = 2  # shutdown_timeout in seconds


def handlers(ledger):
    return {
        "noop": {"noop": True},
        "quick": ledger.handler(then=ledger.note("end")),
        "stubborn": ledger.handler(
            first="trap '' TERM", then="sleep 60; sleep 60"),
        "nap": ledger.handler(then="sleep 60"),
    }


def listed(log):
    """The tasks that the log says finished without being recorded."""
    return {int(number) for line in log.find("not recorded")
            for number in re.findall(r"\b\d+\b", line.message)}


def stop_under_load(db, musterd, patience, frozen):
    """One round: start, load, SIGTERM somewhere, over in time."""
    musterd.start()
    db.enqueue_many("quick", 40)
    db.enqueue_many("noop", 500)
    time_of_load = random.uniform(0, 0.5)
    end = time.monotonic() + time_of_load
    wait_until(lambda: time.monotonic() > end, 5, "the load runs a while")
    if frozen:
        db.postgres.freeze()
    begin = time.monotonic()
    musterd.signal(signal.SIGTERM)
    code = musterd.wait_exit(60)
    took = time.monotonic() - begin
    if frozen:
        db.postgres.thaw()
    musterd.log.finish()
    assert took < (TIMEOUT + 2) * patience, f"{took:.1f} s"
    assert code == 0 or frozen and code == 75, musterd.log.tail()
    return listed(musterd.log) if code == 75 else set()


@pytest.mark.parametrize("frozen", [False, True])
def test_C4_sigterm_under_load(
        own_postgres, db, daemon, ledger, is_long, patience, frozen):
    random.seed(7)
    musterd = daemon.make(
        shutdown_timeout=f"{TIMEOUT}s", handlers=handlers(ledger),
        defaults={"grace": "500ms"}, queues={"default": {"concurrency": 30}})
    endless = [db.enqueue("stubborn"), db.enqueue("nap")]
    may_repeat = set()
    for _ in range(50 if is_long else 5):
        may_repeat |= stop_under_load(db, musterd, patience, frozen)
        musterd.log.allow("PostgreSQL", "database", "task", "recorded",
                          "connection")
        if not frozen:
            check_recorded(db, ledger)
    musterd.start()
    for task in endless:
        db.request("cancel", task)
    states = db.wait_done(60 * patience)
    assert states["cancelled"] == 2
    assert set(states) == {"cancelled", "succeeded"}
    for task in endless:
        assert db.task(task).attempt <= 1, "a drain charges no attempt"
    repeated = {task for task, count in ledger.count("end").items()
                if count > 1}
    assert repeated <= may_repeat


def check_recorded(db, ledger):
    """What ended before the stop is recorded; nothing is left claimed."""
    assert db.one("SELECT count(*) FROM muster.lease") == 0
    ended = list(ledger.count("end"))
    assert db.states(ended) == {"succeeded": len(ended)}
    assert not db.invariants()


def test_C4_G3_only_a_crash_counts_towards_crash_limit(
        own_postgres, db, daemon, ledger, patience):
    """Neither does a stop that PostgreSQL could not be told of, nor the end
    of all processes at once. With a limit of 0 a single crash is too much."""
    musterd = daemon(workers=1, crash_limit=0, shutdown_timeout="1s",
                     defaults={"grace": "200ms"}, handlers=handlers(ledger))
    musterd.log.allow("PostgreSQL", "database", "task", "connection", "worker")
    task = db.enqueue("nap")
    for number in range(1, 5):
        wait_until(lambda: ledger.count()[task] == number, 20 * patience,
                   "it runs")
        if number % 2:
            db.postgres.freeze()
            musterd.signal(signal.SIGTERM)
        else:
            processes.kill_all([musterd.pid, *musterd.children()])
        musterd.wait_exit(60)
        db.postgres.thaw()
        musterd.start()
    wait_until(lambda: ledger.count()[task] == 5, 20 * patience, "it runs")
    assert len(db.attempts(task)) >= 2, "the history knows"
    os.kill(musterd.workers()[0], signal.SIGKILL)
    row = db.wait_state(task, "failed", 20 * patience)
    assert "lost with its worker 1 times" in row.error


def test_C4_second_sigterm_stops_at_once(db, daemon, ledger, patience):
    musterd = daemon(shutdown_timeout="60s", handlers=handlers(ledger))
    db.enqueue("nap")
    wait_until(ledger.count, 10, "it runs")
    musterd.signal(signal.SIGTERM)
    musterd.signal(signal.SIGTERM)  # Ctrl-C under make delivers two
    musterd.log.wait_for("tasks that run have")
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() - begin > 1.2, 5, "a second later")
    assert musterd.is_alive
    musterd.signal(signal.SIGTERM)
    assert musterd.wait_exit(10 * patience) == 0
    assert db.states() == {"ready": 1}


def test_C4_last_words_while_another_worker_still_runs(
        own_redis, db, daemon, folder, patience):
    """A worker that has ended waits for a Redis that hangs, and still looks
    at what the other one runs: it needs all that it had."""
    script = f"until [ -e {folder}/$MUSTER_TASK ]; do sleep 0.05; done"
    musterd = daemon(shutdown_timeout="4s", defaults={"grace": "1s"},
                     queues={"default": {"concurrency": 4}},
                     handlers={"nap": {"exec": ["/bin/sh", "-c", script]}})
    musterd.log.allow("redis")
    tasks = db.enqueue_many("nap", 4)
    wait_until(lambda: db.states() == {"running": 4}, 10 * patience, "all run")
    musterd.reload(queues={"default": {"concurrency": 2}})
    own_redis.freeze()
    musterd.signal(signal.SIGTERM)
    first = db.task(tasks[0]).worker_id
    for task in tasks:
        if db.task(task).worker_id == first:
            open(f"{folder}/{task}", "w", encoding="utf-8").close()
    assert musterd.wait_exit(20 * patience) == 0
    states = db.states()
    assert states["succeeded"] == 2 and states["ready"] == 2
