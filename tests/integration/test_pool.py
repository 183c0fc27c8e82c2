"""The pool handler: processes, tasks and their ends."""

import collections
import json
import os
import signal

import pytest

from support.pool import PROGRAM, QUICK, hold
from support.wait import holds_for, wait_until


def test_pool_runs_tasks_in_one_process(db, daemon, pool):
    daemon(workers=1, handlers={"job": pool.handler()})
    tasks = db.enqueue_many("job", [{"n": n} for n in range(50)])
    assert db.wait_done() == {"succeeded": 50}
    assert len(pool.pids()) == 1
    for n, task in enumerate(tasks):
        assert db.task(task).result["payload"] == {"n": n}


def test_pool_task_comes_with_all_it_needs(db, daemon, pool):
    """Large numbers and fractions travel as they were written."""
    daemon(workers=1, handlers={
        "job": pool.handler(timeout="90s"), "raw": pool.handler()})
    task = db.enqueue("job", {"do": "task"})
    seen = db.wait_state(task).result
    assert seen["id"] == str(task) and seen["kind"] == "job"
    assert seen["attempt"] == 1 and seen["timeout_ms"] == 90000
    assert seen["token"].endswith(f"-{task}") and seen["inputs"] == {}
    assert abs(seen["deadline"] - db.one(
        "SELECT extract(epoch FROM now())::float8") - 90) < 15
    flow = db.flow({"a": {"kind": "raw", "payload": {
        "do": "raw", "text": '{"done":{"id":"ID","result":'
        '[12345678901234567890, 0.10, 1e400]}}\n'}},
        "b": {"kind": "job", "payload": {"do": "task"}, "needs": ["a"]}})
    db.wait_flow(flow)
    assert db.one(
        "SELECT result::text FROM muster.task_status WHERE id = %s",
        db.tasks(flow)["a"].id).startswith(
            "[12345678901234567890, 0.10, 1000000")
    assert db.tasks(flow)["b"].result["flow"] == str(flow)
    assert "flow" not in seen
    inputs = db.tasks(flow)["b"].result["inputs"]
    assert inputs["a"]["state"] == "succeeded"


def test_F1_a_short_limit_is_not_behind_a_long_one(
        db, daemon, pool, patience):
    """One that is told later ends first, and then the next one."""
    host = daemon(workers=1, handlers={"job": pool.handler(
        concurrency=3, timeout="60s", max_attempts=1)})
    host.log.allow("timed out")
    long, late, soon = (db.enqueue("job", {"do": "hang"}, timeout=timeout)
                        for timeout in (None, "2s", "300ms"))
    db.wait_state(soon, "failed", limit=10)
    assert db.state(late) == "running" or patience > 1
    db.wait_state(late, "failed", limit=10)
    assert db.state(long) == "running"
    assert db.task(late).ran_ms >= 2000 and db.task(soon).ran_ms >= 300
    assert db.task(soon).ran_ms < 1500 * patience


def test_F1_many_limits_at_once(db, daemon, pool):
    host = daemon(
        workers=1, queues={"default": {"concurrency": 300}},
        handlers={"job": pool.handler(
            concurrency=300, timeout="1s", max_attempts=1)})
    host.log.allow("timed out")
    tasks = db.enqueue_many("job", [{"do": "hang"}] * 300)
    assert db.wait_done() == {"failed": 300}
    told = {int(rest[0]) for _, rest in pool.notes("cancel")}
    assert told == set(tasks)


def test_pool_starts_once_however_many_ask(db, daemon, pool, folder):
    """The first process is started alone; the others as it is not enough."""
    daemon(workers=1, handlers={
        "job": pool.handler(start="slow", processes=4)})
    tasks = db.enqueue_many("job", [hold(folder)] * 40)
    wait_until(lambda: pool.pids(), 10, "the first starts")
    holds_for(lambda: len(pool.pids()) == 1 or pool.runs(), 0.3)
    wait_until(lambda: len(pool.runs()) == 4, 30, "four run")
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    assert db.wait_done() == {"succeeded": 40}
    assert len(pool.pids()) == 4
    assert set(pool.runs()) == set(tasks)


def test_pool_starts_nothing_without_a_task(db, daemon, pool):
    host = daemon(workers=1, handlers={
        "job": pool.handler(processes={"min": 2, "max": 2}),
        "noop": {"noop": True}})
    db.enqueue("noop")
    db.wait_done()
    assert not pool.pids() and not host.handlers()


def test_pool_processes_are_shared_by_the_workers(db, daemon, pool, folder):
    """Three for two workers, however much there is to do."""
    host = daemon(workers=2, handlers={"job": pool.handler(processes=3)})
    db.enqueue_many("job", [hold(folder)] * 12)
    wait_until(lambda: len(pool.runs()) == 3, 15, "three run")
    holds_for(lambda: len(pool.runs()) == 3, 0.5, "no fourth")
    assert len(host.handlers()) == 3
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    assert db.wait_done() == {"succeeded": 12}
    assert len(pool.pids()) == 3


def test_pool_gives_a_process_as_many_as_it_said(db, daemon, pool, folder):
    daemon(workers=1, handlers={
        "job": pool.handler(concurrency=5, processes=2)})
    db.enqueue_many("job", [hold(folder)] * 30)
    wait_until(lambda: len(pool.runs()) == 10, 15, "ten run")
    holds_for(lambda: len(pool.runs()) == 10, 0.5, "no eleventh")
    counts = collections.Counter(pid for pid, _ in pool.notes("ran"))
    assert sorted(counts.values()) == [5, 5]
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    assert db.wait_done() == {"succeeded": 30}


def test_pool_concurrency_of_the_kind_holds(db, daemon, pool, folder):
    daemon(workers=2, handlers={
        "job": pool.handler(concurrency=10, processes=4) | {"concurrency": 3}})
    db.enqueue_many("job", [hold(folder)] * 10)
    wait_until(lambda: len(pool.runs()) == 3, 15, "three run")
    holds_for(lambda: len(pool.runs()) == 3, 0.5, "no fourth")
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    db.wait_done()


def test_pool_answers_in_any_order_and_many_at_once(db, daemon, pool):
    daemon(workers=1, handlers={"job": pool.handler(concurrency=20)})
    tasks = db.enqueue_many("job", [{"do": "swap", "count": 10}] * 100)
    assert db.wait_done() == {"succeeded": 100}
    assert all(db.task(task).result == str(task) for task in tasks)


def test_pool_large_payloads_and_results(db, daemon, pool):
    """What is written waits while what comes is read: no deadlock."""
    host = daemon(workers=1, handlers={"job": pool.handler(concurrency=20)})
    host.log.allow("more than max_result")
    text = "x" * 900000
    tasks = db.enqueue_many("job", [{"text": text, "n": n}
                                    for n in range(20)])
    large = db.enqueue("job", {"do": "large", "size": 1 << 21})
    states = db.wait_done()
    assert states == {"succeeded": 20, "failed": 1}
    assert "more than max_result" in db.task(large).error
    for n, task in enumerate(tasks):
        assert db.task(task).result["payload"] == {"text": text, "n": n}


def test_pool_message_too_large(db, daemon, pool):
    host = daemon(workers=1, max_message="64k",
                  handlers={"job": pool.handler(max_attempts=1)})
    host.log.allow("max_message", "its processes fail", "failed")
    out = db.enqueue("job", {"text": "x" * 70000})
    assert "larger than max_message" in db.wait_state(out, "failed").error
    back = db.enqueue("job", {"do": "large", "size": 70000})
    error = db.wait_state(back, "failed").error
    assert "a line of more than 65536 bytes" in error
    assert db.wait_state(db.enqueue("job"))


@pytest.mark.parametrize("answer, state, part", [
    ({"error": "no luck"}, "failed", "no luck"),
    ({}, "failed", "failed without saying why"),
    ({"error": "never", "retry": False}, "failed", "never"),
    ({"error": "later", "after": 0.3}, "failed", "later"),
])
def test_pool_fail(db, daemon, pool, answer, state, part):
    host = daemon(workers=1, handlers={"job": pool.handler(max_attempts=2)})
    host.log.allow("failed")
    task = db.enqueue("job", {"do": "fail", "with": answer})
    assert part in db.wait_state(task, state).error
    attempts = 1 if answer.get("retry") is False else 2
    assert pool.runs()[task] == attempts
    assert len(pool.pids()) == 1
    if "after" in answer:
        first, second = [row.at for row in db.attempts(task)][:2]
        assert (second - first).total_seconds() > 0.25


def test_pool_escapes_in_errors(db, daemon, pool):
    host = daemon(workers=1, handlers={"job": pool.handler(max_attempts=1)})
    host.log.allow("failed")
    task = db.enqueue("job", {"do": "raw", "text": (
        '{"fail":{"id":"ID","error":"\\"\\\\\\/\\b\\n\\u20ac \\ud83d'
        '\\ude00 \\ud800 \\ud800\\u0041 \\udc00 \\u0000"}}\n')})
    assert db.wait_state(task, "failed").error == (
        '"\\/\b\n€ 😀 \ufffd \ufffdA \ufffd \ufffd')


def test_pool_results_that_cannot_be_stored(db, daemon, pool):
    host = daemon(workers=1, handlers={"job": pool.handler()})
    host.log.allow("failed")
    bad = db.enqueue("job", {
        "do": "raw", "text": '{"done":{"id":"ID","result":"\\u0000"}}\n'})
    assert "the result holds" in db.wait_state(bad, "failed").error
    none = db.enqueue("job", {"do": "raw", "text": '{"done":{"id":"ID"}}\n'})
    assert db.wait_state(none).result is None
    assert pool.runs() == {bad: 1, none: 1} and len(pool.pids()) == 1


def test_pool_output_is_logged_with_its_task(db, daemon, pool):
    host = daemon(workers=1, handlers={"job": pool.handler()})
    for n in range(20):
        task = db.enqueue("job", {"do": "say", "out": f"out {n}",
                                  "err": f"err {n}"})
        db.wait_state(task)
        for word in ("out", "err"):
            line = host.log.wait_for(f"{word} {n}")
            assert line.fields["task"] == str(task), line
            assert line.fields["kind"] == "job", line


def test_pool_ends_idle_processes(db, daemon, pool):
    """Those beyond the minimum; the next task starts one."""
    host = daemon(workers=1, handlers={"job": pool.handler(
        processes={"min": 1, "max": 3}, idle_timeout="500ms")})
    db.enqueue_many("job", [{"do": "sleep", "seconds": 0.2}] * 9)
    db.wait_done()
    assert len(pool.pids()) == 3
    wait_until(lambda: len(host.handlers()) == 1, 10, "one is left")
    assert len(pool.pids("drain")) == len(pool.pids("left")) == 2
    holds_for(lambda: len(host.handlers()) == 1, 2, "the minimum stays")
    host.reload(handlers={"job": pool.handler(idle_timeout="200ms")})
    wait_until(lambda: not host.handlers(), 10, "the old one ends")
    db.wait_state(db.enqueue("job"))
    wait_until(lambda: not host.handlers(), 10, "all are ended")
    db.wait_state(db.enqueue("job"))


@pytest.mark.parametrize("recycle, payload, why", [
    ({"tasks": 20}, {}, "recycle.tasks"),
    ({"age": "1s"}, {"do": "sleep", "seconds": 0.01}, "recycle.age"),
    # Longer than it is from one look at memory to the next.
    ({"memory": "100M"}, {"do": "eat", "size": 1 << 20, "seconds": 0.01},
     "recycle.memory"),
])
def test_pool_recycles(db, daemon, pool, recycle, payload, why):
    """The next one is ready before the old one goes."""
    host = daemon(workers=1, handlers={
        "job": pool.handler(recycle=recycle, start="slow")})
    task = db.enqueue_many("job", [payload] * 400)
    assert db.wait_done(60) == {"succeeded": 400}
    assert len(pool.pids()) >= 2
    assert host.log.find(why, level="info")
    assert set(pool.runs().values()) == {1} and len(pool.runs()) == len(task)
    with open(pool.path, encoding="utf-8") as file:
        words = [line.split()[:2] for line in file]
    ready = set()
    for pid, word in words:  # the successor had begun before each drain
        if word == "started":
            ready.add(pid)
        if word == "drain":
            ready.discard(pid)
            assert ready, words[:20]


@pytest.mark.parametrize("payload, words", [
    ({"code": 3}, "exit status 3: out of luck"),
    ({"code": 0}, "exit status 0: out of luck"),
    ({"signal": int(signal.SIGSEGV)},
     "killed by signal 11 (SIGSEGV): out of luck"),
])
def test_pool_crash_fails_only_what_it_ran(db, daemon, pool, folder, payload,
                                           words):
    host = daemon(workers=1, handlers={
        "job": pool.handler(concurrency=2, processes=2, max_attempts=1)})
    host.log.allow("has ended", "failed", "its processes fail")
    db.wait_state(db.enqueue("job"))
    held = db.enqueue_many("job", [hold(folder)] * 2)
    wait_until(lambda: len(pool.runs()) == 3, 10, "both run")
    first = {pid for pid, rest in pool.notes("ran")
             if int(rest[0]) in held}
    crash = db.enqueue("job", {"do": "crash", **payload})
    assert db.wait_state(crash, "failed").error.startswith(words)
    host.log.wait_for(f"1 were running: {words}", level="warning")
    db.wait_state(db.enqueue("job"))
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    assert db.wait_done() == {"succeeded": 4, "failed": 1}
    assert {db.task(task).result for task in held} == first


def test_pool_that_cannot_start_backs_off(db, daemon, pool, musterctl):
    """Its tasks are put off without a charge; status and log say why."""
    host = daemon(workers=1, handlers={"job": pool.handler(start="crash")})
    host.log.allow("its processes fail", "has ended")
    task = db.enqueue("job")
    line = host.log.wait_for("its processes fail")
    assert "exit status 3: no model" in line.message
    wait_until(lambda: len(pool.pids()) >= 3, 20, "it is tried again")
    assert db.task(task).attempt == 0 or not db.attempts(task) or \
        db.state(task) != "failed"
    status = json.dumps(host.status())
    assert "its processes fail" in status and "no model" in status
    assert "no model" in musterctl("status")
    starts = len(pool.pids())
    holds_for(lambda: len(pool.pids()) <= starts + 8, 2, "it is not hot")
    host.reload(handlers={"job": pool.handler()})
    db.wait_state(task)
    wait_until(lambda: "no model" not in musterctl("status"), 10,
               "all is well again")


def test_pool_program_missing(db, daemon, pool, folder):
    program = os.path.join(folder, "later")
    host = daemon(workers=1, handlers={
        "job": {"pool": [program, "x"], "backoff": QUICK}})
    host.log.allow("cannot run")
    task = db.enqueue("job")
    host.log.wait_for(f"cannot run {program}: No such file")
    with open(program, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nexec /usr/bin/python3 {PROGRAM}\n")
    os.chmod(program, 0o755)
    db.wait_state(task, limit=30)
