"""From the claim to the end of a task: slots, limits, cancel, inputs."""

import json
import os
import random
import signal
import time

import pytest

from support.wait import holds_for, wait_until


def _most_at_once(ledger):
    """How many ran at a time, at most, by the order of "ran" and "end"."""
    now = most = 0
    for _, _, word in ledger.lines():
        now += {"ran": 1, "end": -1}[word]
        most = max(most, now)
    return most


def _counted(ledger, seconds, **more):
    return ledger.handler(
        then=f"sleep {seconds}; {ledger.note('end')}", **more)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_A3_concurrency_of_a_queue_holds_for_the_instance(
        db, daemon, ledger, workers):
    daemon(workers=workers, queues={"default": {"concurrency": 5}},
           handlers={"job": _counted(ledger, 0.1)})
    db.enqueue_many("job", 40)
    db.wait_done()
    assert _most_at_once(ledger) == 5


def test_A3_concurrency_of_a_handler_holds_for_the_instance(
        db, daemon, ledger):
    daemon(handlers={"job": _counted(ledger, 0.5, concurrency=3),
                     "noop": {"noop": True}})
    db.enqueue_many("job", 20)
    db.enqueue_many("noop", 500)
    db.wait_done()
    assert _most_at_once(ledger) == 3


def test_A1_slow_tasks_are_not_parked_in_a_busy_worker(db, daemon, ledger):
    """As many slow tasks as there are slots run at once, whichever worker
    came first, also after quick ones that were claimed far ahead; none had to
    be given back for it."""
    host = daemon(workers=2, queues={"default": {"concurrency": 8}}, handlers={
        "noop": {"noop": True}, "slow": _counted(ledger, 1)})
    db.enqueue_many("noop", 2000)
    db.wait_done()
    db.enqueue_many("slow", 8)
    db.wait_done()
    assert _most_at_once(ledger) == 8
    assert host.total("released") == 0


def _quick_and_slow(ledger):
    """Two slow kinds, which note when they were forked, by which worker
    soever: a shell may come to run late."""
    slow = {"exec": ["/bin/sh", "-c", "read -r stat </proc/$$/stat; "
                     f"set -- $stat; {ledger.note('${22}.$1')}; sleep 0.4"]}
    return {"noop": {"noop": True}, "a": slow, "b": slow}


def _learn(db):
    """The daemon learns how long each takes."""
    for kind, number in {"noop": 2000, "a": 8, "b": 8}.items():
        db.enqueue_many(kind, number)
        db.wait_done()


def _out_of_order(ledger, tasks):
    """By how many places one of them was forked too soon or too late."""
    forked = {task: [int(part) for part in word.split(".")]
              for task, _, word in ledger.lines() if task in tasks}
    began = sorted(forked, key=forked.get)
    return max(abs(began.index(task) - at) for at, task in enumerate(tasks))


def test_A1_slow_tasks_beside_quick_ones_keep_their_order(
        db, daemon, ledger, patience):
    """Two slow kinds and a stream of quick tasks share a queue on two
    workers, while another queue is idle: no worker claims a slow task that
    it has to give back, so they start in the order of their line."""
    host = daemon(workers=2, queues={"default": {"concurrency": 8},
                                     "idle": {"concurrency": 20}},
                  handlers=_quick_and_slow(ledger))
    _learn(db)
    released = host.total("released")
    tasks = [db.enqueue("ab"[number % 2]) for number in range(64)]
    while db.states(tasks)["succeeded"] < len(tasks):
        db.enqueue_many("noop", 100)
        assert db.one(
            "SELECT count(*) FROM muster.task_status WHERE state = 'running' "
            "AND kind <> 'noop'") <= 8
    db.wait_done(30 * patience)
    assert host.total("released") == released
    assert _out_of_order(ledger, tasks) <= 8


def test_A1_slow_tasks_keep_their_order_while_turns_are_held_up(
        db, daemon, ledger, patience):
    """PostgreSQL does not answer one worker or the other for up to half a
    second, again and again, so that all slots of one are taken at a time:
    none is claimed for a slot that comes free much later."""
    host = daemon(workers=2, queues={"default": {"concurrency": 8}},
                  handlers=_quick_and_slow(ledger))
    _learn(db)
    released = host.total("released")
    backends = [row[0] for row in db.rows(
        "SELECT backend_pid FROM muster.worker ORDER BY id")]
    dice = random.Random(1)
    tasks = [db.enqueue("ab"[number % 2]) for number in range(56)]
    while db.states(tasks)["succeeded"] < len(tasks):
        db.enqueue_many("noop", 100)
        backend = dice.choice(backends)
        os.kill(backend, signal.SIGSTOP)
        try:
            time.sleep(dice.uniform(0.05, 0.5))
        finally:
            os.kill(backend, signal.SIGCONT)
        time.sleep(dice.uniform(0, 0.1))
    db.wait_done(30 * patience)
    assert host.total("released") == released
    assert _out_of_order(ledger, tasks) <= 8


def test_A3_slots_follow_a_reload(db, daemon, ledger):
    """More slots are used at once; fewer as tasks end. A running task keeps
    the limits it was started with."""
    host = daemon(queues={"default": {"concurrency": 2}},
                  handlers={"job": _counted(ledger, 0.2)})
    db.enqueue_many("job", 30)
    wait_until(lambda: len(ledger.lines()) > 4, 10, "it works")
    assert _most_at_once(ledger) == 2
    host.write(queues={"default": {"concurrency": 6}})
    host.reload()
    db.wait_done()
    assert _most_at_once(ledger) == 6
    assert set(ledger.count().values()) == {1}


def test_I1_reload_adds_and_removes_kinds_and_queues(db, daemon):
    host = daemon(handlers={"noop": {"noop": True}})
    new = db.enqueue("later", queue="extra")
    host.write(queues={"default": {"concurrency": 5},
                       "extra": {"concurrency": 5}},
               handlers={"later": {"noop": True}})
    host.reload()
    db.wait_state(new)
    gone = db.enqueue("noop")
    holds_for(lambda: db.state(gone) == "ready", 1.5, "no handler for it")


def test_F1_time_limit_ends_the_attempt(db, daemon, ledger):
    """The handler's, or the enqueuer's; what ignores SIGTERM is killed."""
    host = daemon(handlers={
        "hang": ledger.handler(then="exec sleep 60", timeout="300ms",
                               max_attempts=1),
        "deaf": ledger.handler(first="trap '' TERM",
                               then="sleep 60; sleep 60", grace="200ms",
                               max_attempts=1)})
    host.log.allow("failed")
    hang = db.enqueue("hang")
    deaf = db.enqueue("deaf", timeout="300ms")
    assert "timed out after 300ms" in db.wait_state(hang, "failed").error
    assert "timed out after 300ms" in db.wait_state(deaf, "failed").error
    wait_until(lambda: not host.handlers(), 5, "nothing is left")


def test_F2_F3_cancel_reaches_what_runs_and_what_waits(
        db, daemon, ledger, patience):
    """Without an error in the log."""
    host = daemon(workers=1, queues={"default": {"concurrency": 2}},
                  handlers={"nap": ledger.handler(then="exec sleep 60")})
    tasks = db.enqueue_many("nap", 4)
    wait_until(lambda: len(ledger.lines()) == 2, 10, "two run")
    begin = time.monotonic()
    for task in reversed(tasks):
        db.request("cancel", task)
    assert db.wait_done() == {"cancelled": 4}
    assert time.monotonic() - begin < 3 * patience
    wait_until(lambda: len(host.log.find("cancelled, as asked")) == 2, 5,
               "both are in the log")


def test_A2_inputs_reach_a_task_with_needs(db, daemon, folder):
    out = f"{folder}/seen"
    daemon(handlers={
        "give": {"exec": ["/bin/sh", "-c", "cat"]},
        "take": {"exec": ["/bin/sh", "-c",
                          f'cat "$MUSTER_INPUTS" >{out}; cat']}})
    flow = db.flow({
        **{f"g{i}": {"kind": "give", "payload": {"i": i}} for i in range(40)},
        "t": {"kind": "take", "payload": [1],
              "needs": [f"g{i}" for i in range(40)]}})
    db.wait_flow(flow)
    with open(out, encoding="utf-8") as file:
        seen = json.load(file)
    assert {name: one["result"] for name, one in seen.items()} == {
        f"g{i}": {"i": i} for i in range(40)}
    assert {one["state"] for one in seen.values()} == {"succeeded"}
    assert db.tasks(flow)["t"].result == [1]


def test_many_tasks_with_inputs_and_large_payloads(db, daemon):
    """Payloads above what a turn carries are fetched one by one."""
    daemon(handlers={"size": {"exec": ["/bin/sh", "-c", "wc -c"]}})
    large = [db.enqueue("size", {"text": "x" * size})
             for size in (10, 65000, 66000, 500000, 900000) for _ in range(3)]
    db.wait_done()
    for task in large:
        row = db.task(task)
        assert row.state == "succeeded"
        assert row.result == len(json.dumps(row.payload))


def test_E1_a_worker_turns_while_hundreds_start(db, daemon, patience):
    host = daemon(workers=1, queues={"default": {"concurrency": 300}},
                  handlers={"nap": {"exec": ["/bin/sleep", "2"]}})
    db.enqueue_many("nap", 300)
    db.wait_done(40)
    lag = host.status()["workers"][0]["lag_us"]
    assert lag["max"] < 200000 * patience, lag
