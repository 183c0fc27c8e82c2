"""Limits that hold across hosts: two daemons on one database."""

import json
import os
import signal
import time

import pytest

from support import processes
from support.wait import wait_until


@pytest.fixture
def work(ledger):
    """An exec handler that notes when it starts and when it ends."""
    def handler(seconds, **more):
        note = f"$(date +%s.%N) >>{ledger.path}"
        return {"exec": ["/bin/sh", "-c",
                         f"echo + {note}; sleep {seconds}; echo - {note}"],
                **more}
    return handler


@pytest.fixture
def hosts(daemon, work):
    """hosts(seconds, max_running=3): two daemons whose queue has these
    limits, and whose tasks of kind `work` take so long."""
    def start(seconds, kind=None, **limits):
        return [daemon(queues={"default": {"concurrency": 20, **limits}},
                       handlers={"work": work(seconds, **(kind or {})),
                                 "noop": {"noop": True}})
                for _ in range(2)]
    return start


def marks(ledger):
    """In order of time: (moment, +1 for a start, -1 for an end)."""
    with open(ledger.path, encoding="utf-8") as file:
        lines = [line.split() for line in file]
    return sorted((float(at), 1 if mark == "+" else -1) for mark, at in lines)


def starts(ledger):
    return [at for at, change in marks(ledger) if change > 0]


def most_at_once(ledger, since=0):
    running = most = 0
    for at, change in marks(ledger):
        running += change
        if at >= since:
            most = max(most, running)
    return most


def used(ledger):
    """How many ran at once in the mean, from the first start to the last end."""
    at = [at for at, _ in marks(ledger)]
    return sum(-at * change for at, change in marks(ledger)) / (at[-1] - at[0])


def lent(db):
    """{worker: slots}."""
    return dict(db.rows(
        "SELECT worker_id, held FROM muster.budget b "
        "JOIN muster.borrowed n ON n.budget_id = b.id WHERE held > 0"))


@pytest.mark.parametrize("scope", ["queue", "kind"])
def test_A3_max_running_holds_across_hosts(db, hosts, ledger, scope, patience):
    """Never more than three at once, all three used, none kept for nothing."""
    limit = {"max_running": 3}
    hosts(0.05, **(limit if scope == "queue" else {"kind": limit}))
    db.enqueue_many("work", 60)
    db.wait_done(30 * patience)
    assert most_at_once(ledger) == 3
    assert used(ledger) > 1.15
    wait_until(lambda: not lent(db), 5)


def test_A3_rate_holds_across_hosts(db, hosts, ledger, patience):
    hosts(0, rate={"rate": "20/s", "burst": 5})
    db.enqueue_many("work", 45)
    db.wait_done()
    found = starts(ledger)
    # A process starts a while after its task, each a different one.
    for i, start in enumerate(found):
        for j in range(i, len(found)):
            assert j - i + 1 <= 5 + 20 * (found[j] - start + 0.15 * patience)
    assert found[-1] - found[0] < (45 - 5) / 20 * 1.5 * patience


def test_A3_one_a_day(db, daemon):
    """The first starts at once, the second says when it may."""
    daemon(queues={"default": {"rate": "1/d"}})
    first, second = db.enqueue("noop"), db.enqueue("noop")
    db.wait_state(first)
    wait_until(lambda: "rate 1/d of queue default: next at" in db.why(
        second)[0].reason, 5)
    assert db.state(second) == "ready"


def test_A3_killed_worker_returns_its_slots(db, daemon):
    """Once its handlers are gone: never are there more than two."""
    made = [daemon(queues={"default": {"max_running": 2}},
                   handlers={"work": {"exec": ["/bin/sleep", "0.2"]}})
            for _ in range(2)]

    def look():
        return {pid for each in made for pid in each.children()
                if processes.command_line(pid).startswith("/bin/sleep")}

    def handlers():
        return len(look() & look())  # so these ran at the same time
    db.enqueue_many("work", 20)
    wait_until(lambda: db.states().get("running") == 2, 10, "both slots taken")
    victim = next(iter(lent(db)))
    for each in made:
        each.log.allow("worker")
    os.kill(db.one("SELECT pid FROM muster.worker WHERE id = %s", victim),
            signal.SIGKILL)

    def done():
        if handlers() > 2:
            pytest.fail("more than two at once")
        return db.open_count() == 0
    wait_until(done, 30)
    assert db.states() == {"succeeded": 20}
    assert victim not in lent(db)


def test_A3_lowered_limit_starts_no_more(db, hosts, ledger):
    """On one host only: the smallest counts. What runs goes on."""
    made = hosts(0.1, max_running=6)
    db.enqueue_many("work", 36)
    wait_until(lambda: most_at_once(ledger) == 6, 10)
    made[0].write(queues={"default": {"concurrency": 20, "max_running": 1}})
    made[0].reload()
    lowered = time.time() + 0.5
    db.wait_done()
    assert most_at_once(ledger, lowered) == 1


def test_A3_paused_kind_stands_still_on_all_hosts(db, hosts, musterctl):
    hosts(0)
    assert "kind work is paused" in musterctl("pause", "--kind", "work")
    task, other = db.enqueue("work"), db.enqueue("noop")
    db.wait_state(other)
    assert "kind work is paused since" in musterctl("why", task)
    assert json.loads(musterctl("status", "--json"))["database"][
        "paused_kinds"] == ["work"]
    assert db.state(task) == "ready"
    assert "goes on" in musterctl("resume", "--kind", "work")
    db.wait_state(task)


def test_A6_low_priority_moves_under_a_limit(db, hosts):
    """While many more urgent ones wait, that came later, and only two run."""
    low = db.enqueue("work", priority=-1000)
    db.enqueue_many("work", 1000, priority=1000)
    hosts(0.01, max_running=2)
    db.wait_state(low, limit=60)
    assert db.one("SELECT count(*) FROM muster.ready") > 0
    db.request("pause", "default")


def test_A6_no_host_starves_at_a_limit(db, daemon, work):
    """Each knows a kind that the other does not, and one slot is for both."""
    for kind in "one", "two":
        daemon(queues={"default": {"max_running": 1}},
               handlers={kind: work(0.01)})
    for kind in "one", "two":
        db.enqueue_many(kind, 500)

    def done(kind):
        return db.one("SELECT count(*) FROM muster.task_status "
                      "WHERE kind = %s AND state = 'succeeded'", kind)
    wait_until(lambda: done("one") > 5 and done("two") > 5, 20)
    assert done("one") < 500 and done("two") < 500
    db.request("pause", "default")


def test_H1_limits_are_shown(db, hosts, musterctl, ledger):
    hosts(5, max_running=1, kind={"rate": "100/m"})
    first = db.enqueue("work")
    wait_until(lambda: starts(ledger), 10)
    second = db.enqueue("work")
    row = json.loads(musterctl("queues", "--json"))[-1]
    assert row["limits"] == "queue 1/1, kind 100/m"
    assert json.loads(musterctl("status", "--json"))["database"][
        "limits"] == ["queue default 1/1", "kind work 100/m"]
    wait_until(lambda: "limit reached: queue default runs 1 of max_running 1"
               in musterctl("why", second), 5)
    for task in (second, first):
        musterctl("cancel", task)


def test_lengths_are_learned(db, daemon, work):
    daemon(handlers={"work": work(0.1)})
    db.enqueue_many("work", 4)
    db.wait_done()
    daemon.made[0].stop()
    db.rows("SELECT muster.tidy()")
    ms = db.one("SELECT ms FROM muster.kind_length WHERE kind = 'work'")
    assert 100 <= ms < 1000
