"""What a worker's memory comes to, and that it stays there."""

import os

import pytest

from support import build, processes
from support.wait import holds_for, wait_until

pytestmark = pytest.mark.skipif(
    build.is_sanitized(), reason="sanitizers keep what was freed")


def _private_dirty(pid):
    """In kB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file
                   if line.startswith("Private_Dirty"))


def test_worker_holds_500_tasks_of_1_kB_in_8_MB(db, daemon):
    host = daemon(workers=1, queues={"default": {"concurrency": 500}},
                  handlers={"nap": {"exec": ["/bin/sleep", "5"]}})
    worker = host.workers()[0]
    db.enqueue_many("nap", [{"text": "x" * 1000}] * 500)
    wait_until(lambda: len(host.handlers()) == 500, 120, "all run")
    assert _private_dirty(worker) < 8000
    db.wait_done()
    assert _private_dirty(worker) < 8000


def _peak(pid):
    """In kB, of what was ever resident."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file
                    if line.startswith("VmHWM"))


def test_inputs_are_limited_by_bytes(db, daemon, folder):
    """200 tasks of 1 MB of inputs each: the worker holds 64 MB and what one
    fetch brings, then runs the next as others end."""
    gate = os.path.join(folder, "gate")
    host = daemon(workers=1, queues={"default": {"concurrency": 200}},
                  handlers={
        "give": {"exec": ["/bin/sh", "-c", "printf '\"%0*d\"' 1000000 1"]},
        "take": {"exec": ["/bin/sh", "-c",
                          f"until [ -e {gate} ]; do sleep 0.2; done; "
                          'wc -c <"$MUSTER_INPUTS"']}})
    worker = host.workers()[0]
    flow = db.flow({"g": {"kind": "give"}, **{
        f"t{number}": {"kind": "take", "needs": ["g"]}
        for number in range(200)}})
    wait_until(lambda: db.states()["running"] == 200, 20, "all have a slot")
    wait_until(lambda: len(_takers(worker)) > 60, 60, "as many run as may")
    holds_for(lambda: len(_takers(worker)) < 72, 1, "the others wait")
    open(gate, "w").close()
    db.wait_flow(flow, 60)
    assert db.states() == {"succeeded": 201}
    assert {row.result for row in db.tasks(flow).values()
            if row.name != "g"} == {db.tasks(flow)["t0"].result}
    assert db.tasks(flow)["t0"].result > 1000000
    assert _peak(worker) < 90000


def _takers(worker):
    """The shells that run, not what they call."""
    return [pid for pid, facts in processes.every().items()
            if facts[2] == worker]


def _wait_empty(db, limit):
    """As wait_done, without counting a million rows each time."""
    wait_until(lambda: not db.one(
        "SELECT EXISTS (SELECT FROM muster.ready) "
        "OR EXISTS (SELECT FROM muster.lease)"), limit, "all is done",
        every=0.1)


def test_memory_does_not_grow_with_tasks(db, daemon, is_long):
    """Less than 0.1 MB a million, after a warm-up."""
    batch, rounds = (100000, 10) if is_long else (20000, 5)
    host = daemon(workers=1, queues={"default": {"concurrency": 200}})
    worker = host.workers()[0]
    db.enqueue_many("noop", [{"text": "x" * 1000}] * 20000)
    db.wait_done(60)
    before = _private_dirty(worker)
    for _ in range(rounds):
        db.enqueue_many("noop", batch)
        _wait_empty(db, 120)
    after = _private_dirty(worker)
    assert after < 8000
    assert after - before <= max(100 * batch * rounds / 1000000, 40)
