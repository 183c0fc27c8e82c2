"""musterctl why: a reason for every place, and the root of them all."""

import json
import time

import pytest
from support.wait import wait_until


def why(db, task):
    return db.why(task)[0].reason


def root(db, task):
    """The one row that is the root."""
    found = [row for row in db.why(task) if row.root]
    assert len(found) == 1
    return found[0]


def chain(db, count, kind="a", **first):
    """A flow in which each task needs the one before; their ids in order."""
    flow = db.flow({"s0": {"kind": kind, **first},
                    **{f"s{n}": {"kind": "b", "needs": [f"s{n - 1}"]}
                       for n in range(1, count)}})
    tasks = db.tasks(flow)
    return [tasks[f"s{n}"].id for n in range(count)]


def test_H3_root_is_a_need_that_failed_three_levels_up(db, worker, scheduler):
    ids = chain(db, 4)
    one = worker()
    one.claim()
    one.finish(ids[0], outcome="f", error="disk is full")
    scheduler.work()
    assert db.states() == {"failed": 1, "skipped": 3}
    row = root(db, ids[3])
    assert (row.depth, row.task_id) == (3, ids[0])
    assert row.reason == "s0 (a): it failed: disk is full"
    assert root(db, ids[0]).depth == 0


def test_H3_root_of_what_waits_three_levels_deep(db, worker):
    ids = chain(db, 4)
    one = worker()
    assert "waits for a free slot" in root(db, ids[3]).reason
    one.claim()
    assert f"it is run by worker {one.id} (process 42 on host) since" in \
        root(db, ids[3]).reason
    assert root(db, ids[3]).task_id == ids[0]


def test_H3_root_of_a_chain_of_10_000(db, worker, scheduler):
    ids = chain(db, 10000, run_at="2100-01-01T00:00:00Z")
    began = time.monotonic()
    rows = db.why(ids[-1])
    assert time.monotonic() - began < 30
    assert len(rows) == 201
    assert [row.depth for row in rows] == [*range(200), 9999]
    assert rows[-1].root and rows[-1].task_id == ids[0]
    assert rows[-1].reason.startswith("s0 (a): it waits until 2100-01-01")
    assert sum(row.root for row in rows) == 1


def test_H3_root_of_a_wide_and_deep_graph_is_found(db):
    """A ladder: every step needs both of the step before."""
    tasks = {"l0": {"kind": "a"}, "r0": {"kind": "a"}}
    for n in range(1, 300):
        for side in "lr":
            tasks[f"{side}{n}"] = {"kind": "b", "needs": [
                f"l{n - 1}", f"r{n - 1}"]}
    flow = db.flow(tasks)
    row = root(db, db.tasks(flow)["r299"].id)
    assert row.depth == 299 and row.reason.startswith("l0 (a): it is ready")


def test_H3_root_is_what_does_not_end_by_itself(db, worker, scheduler):
    """Of four needs: one runs, one is in the line, one has a time, one has a
    kind that nobody knows."""
    flow = db.flow({"runs": {"kind": "a"}, "ready": {"kind": "b"},
                    "later": {"kind": "a", "run_at": "2100-01-01T00:00:00Z"},
                    "odd": {"kind": "zzz"},
                    "end": {"kind": "a", "needs": [
                        "runs", "ready", "later", "odd"]}})
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 1})
    assert root(db, tasks["end"].id).task_id == tasks["odd"].id
    db.one("SELECT muster.pause('default')")
    scheduler.work()
    assert root(db, tasks["end"].id).task_id == tasks["ready"].id
    db.one("SELECT muster.resume('default')")
    scheduler.work()
    worker(kinds=("zzz",)).claim({"zzz": 1})
    assert root(db, tasks["end"].id).task_id == tasks["later"].id


def test_H3_paused_queue(db, worker, scheduler):
    task = db.enqueue("a")
    worker()
    db.one("SELECT muster.pause('default')")
    scheduler.work()
    assert "its queue default is paused since 2" in root(db, task).reason


def test_H3_no_host_knows_the_kind_or_the_queue(db, worker):
    worker(kinds=("a",))
    assert why(db, db.enqueue("b")) == (
        "b: it is ready, but no live worker runs kind b in queue default: "
        "no host knows the kind")
    assert why(db, db.enqueue("a", queue="q")) == (
        "a: it is ready, but no live worker runs kind a in queue q: "
        "host host knows the kind, but not that queue")


def test_H3_no_worker_alive(db, worker):
    task = db.enqueue("a")
    assert why(db, task) == "a: it is ready, but there is no live worker"
    one = worker()
    db.rows("UPDATE muster.worker SET last_beat_at = '2020-01-01 12:00Z'")
    assert "no live worker: the last sign of one came at 2020-01-01" in why(
        db, task)
    one.claim()
    assert "its last sign of life came at 2020-01-01" in why(db, task)


def test_H3_no_scheduler_alive(db, worker, scheduler):
    need = db.enqueue("a", run_at="2100-01-01")
    task = db.enqueue("a", depends_on=[need])
    assert why(db, task) == ("a: it waits for a scheduler to admit it, but "
                             "none is alive: no musterd runs")
    assert root(db, task).task_id == need
    db.rows("SELECT muster.sleep_on('host-1', -1, '{\"\"}')")
    assert why(db, task) == "a: it waits for a scheduler to admit it"
    db.rows("UPDATE muster.sleepers SET listed_at = now() - interval '1 h'")
    named = db.session("musterd")
    named.run("SET application_name = 'musterd scheduler'")
    assert why(db, task) == "a: it waits for a scheduler to admit it"
    named.close()
    wait_until(lambda: "none is alive" in why(db, task), 5, "it is gone")
    db.rows("UPDATE muster.scheduled SET run_at = '2020-01-01'")
    assert why(db, need) == ("a: it waits for a scheduler to move it, since "
                             "its time has come, but none is alive: no "
                             "musterd runs")
    worker()
    assert "it waits until 2020-01-01" in why(db, need)


def test_H3_retry_back_off_with_its_last_error(db, worker):
    task = db.enqueue("a", max_attempts=5)
    one = worker()
    one.claim()
    one.finish(task, outcome="r", delay=60000, error="connection refused")
    assert why(db, task).endswith(
        ", for attempt 2 of 5, after: connection refused")
    other = db.enqueue("a", run_at="2100-01-01")
    assert why(db, other).startswith("a: it waits until 2100-01-01")
    assert "attempt" not in why(db, other)


def test_H3_place_in_the_line(db, worker, scheduler):
    worker()
    ids = db.enqueue_many("a", 30)
    urgent = db.enqueue("a", priority=5)
    assert "free slot: 11 before it, 0 running" in why(db, ids[10])
    assert "free slot: 0 before it" in why(db, urgent)
    db.one("SELECT muster.reprioritise(%s, %s)", [ids[10]], [7])
    scheduler.work()
    assert "free slot: 0 before it" in why(db, ids[10])
    assert "free slot: 1 before it" in why(db, urgent)


@pytest.mark.parametrize("outcome, words", [
    ("s", "a: it has succeeded"), ("f", "a: it failed: no luck"),
    ("c", "a: it was cancelled: no luck")])
def test_H3_ended(db, worker, outcome, words):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    one.finish(task, outcome=outcome, error="no luck")
    row = root(db, task)
    assert row.reason.startswith(words) and row.depth == 0


def test_H3_what_a_reader_and_an_application_see(db):
    ids = chain(db, 3)
    for user in ("app", "reader", "musterd"):
        rows = db.session(user).run("SELECT * FROM muster.why(%s)", ids[2])
        assert [row.root for row in rows] == [False, False, True]


def test_H3_large_payloads_cost_why_nothing(db, worker):
    worker()
    task = db.enqueue("a", {"x": "y" * 900000})
    assert "waits for a free slot" in why(db, task)
    assert json.dumps(db.task(task).payload).count("y") == 900000
