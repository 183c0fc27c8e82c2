"""plugin: C code on threads of the worker."""

import os

import pytest

from support import build
from support.wait import wait_until


@pytest.fixture
def trial():
    def handler(file="trial_plugin.so", **more):
        return {"plugin": build.path(file), "max_attempts": 1,
                "grace": "300ms", **more}
    return handler


def _do(db, word, n=0, kind="work", **more):
    return db.enqueue(kind, {"do": word, "n": n}, **more)


def test_plugin_gets_its_task_and_gives_a_result(db, daemon, trial):
    daemon(handlers={"work": trial(), "noop": {"noop": True}})
    flow = db.flow({
        "a": {"kind": "work", "payload": {"do": "text"}},
        "b": {"kind": "work", "payload": {"do": "echo", "n": 5},
              "needs": ["a"]}})
    db.wait_flow(flow)
    tasks = db.tasks(flow)
    assert tasks["a"].result == 'just "words"'
    told = tasks["b"].result
    assert told["payload"] == {"do": "echo", "n": 5}
    assert told["inputs"]["a"]["result"] == 'just "words"'
    assert told["kind"] == "work" and told["attempt"] == 1
    assert told["token"].endswith(f"-{tasks['b'].id}")
    assert told["deadline"] > 1700000000000
    none = _do(db, "nothing")
    assert db.wait_state(none).result is None


def test_plugin_results_that_do_not_fit(db, daemon, trial):
    host = daemon(max_result="1M", handlers={"work": trial(max_attempts=3)})
    host.log.allow("failed")
    good = _do(db, "big", 1000000)
    for word, n, why in (("big", 2000000, "max_result"),
                         ("rubbish", 0, "UTF-8"), ("nul", 0, "u0000")):
        row = db.wait_state(_do(db, word, n), "failed")
        assert why in row.error and row.attempt == 1
    assert len(db.wait_state(good).result) == 1000000


def test_plugin_failures(db, daemon, trial):
    host = daemon(handlers={"work": trial(max_attempts=2, backoff={
        "first": "50ms"})})
    host.log.allow("failed", "put off")
    soft, hard = _do(db, "fail"), _do(db, "hard")
    assert db.wait_state(soft, "failed").attempt == 2
    row = db.wait_state(hard, "failed")
    assert row.attempt == 1 and row.error.startswith("no luck")
    later = _do(db, "later")
    wait_until(lambda: db.attempts(later), 10, "it was put off")
    assert db.attempts(later)[0].outcome == "put off"
    wait_until(lambda: db.task(later).attempt == 0, 10,
               "not charged: what runs shows one more")


def test_plugin_thread_is_set_up(db, daemon, trial):
    daemon(handlers={"work": trial()})
    told = db.wait_state(_do(db, "thread")).result
    assert told["name"] == "p:work" and told["masked"]
    assert told["stack"] >= 1 << 20


def test_plugins_that_block_do_not_stop_the_loop(db, daemon, trial):
    host = daemon(workers=1, handlers={"work": trial(threads=2),
                                       "noop": {"noop": True}})
    slow = [_do(db, "nap", 2000) for _ in range(4)]
    wait_until(lambda: list(db.states(slow).values()) and
               db.states(slow).get("running") == 2, 5, "two at a time")
    beats = host.total("heartbeats")
    quick = db.enqueue_many("noop", 200)
    wait_until(lambda: db.states(quick) == {"succeeded": 200}, 1.5)
    wait_until(lambda: host.total("heartbeats") > beats, 1.8)
    assert db.states(slow).get("running") == 2
    db.wait_done()
    assert db.states(slow) == {"succeeded": 4}


def test_many_short_plugin_tasks(db, daemon, trial):
    daemon(handlers={"work": trial(queue_limit=50)})
    tasks = [db.enqueue_many("work", 1000)]
    db.wait_done()
    assert db.states(tasks[0]) == {"succeeded": 1000}


def test_plugin_progress(db, daemon, trial):
    daemon(handlers={"work": trial()})
    assert db.wait_state(_do(db, "progress")).state == "succeeded"


def test_F1_F2_plugin_is_told_to_end(db, daemon, trial):
    host = daemon(handlers={"work": trial()})
    host.log.allow("failed")
    late = _do(db, "doze", 60000, timeout="300ms")
    error = db.wait_state(late, "failed").error
    assert "timed out" in error and "woken up" in error
    polls = _do(db, "poll", timeout="300ms")
    assert "descriptor" in db.wait_state(polls, "failed").error
    asked = _do(db, "doze", 60001)
    wait_until(lambda: db.state(asked) == "running", 5)
    db.request("cancel", asked)
    db.wait_state(asked, "cancelled")


def test_plugin_that_does_not_listen_is_left_alone(db, daemon, trial):
    host = daemon(workers=1, handlers={"work": trial(threads=2)})
    host.log.allow("failed", "do not end")
    deaf = _do(db, "nap", 4000, timeout="200ms")
    row = db.wait_state(deaf, "failed", limit=3)
    assert "timed out" in row.error and "left alone" in row.error
    assert "1 of 2 threads" in host.status()["workers"][0]["status"]
    # Its place is taken by another thread: two run still.
    more = [_do(db, "nap", 700) for _ in range(2)]
    wait_until(lambda: db.states(more).get("running") == 2, 2)
    db.wait_done()


def test_worker_whose_threads_are_all_stuck_is_replaced(db, daemon, trial):
    host = daemon(workers=1, handlers={"work": trial(threads=2)})
    host.log.allow("failed", "do not end", "worker")
    before = host.workers()[0]
    for _ in range(2):
        _do(db, "nap", 60000, timeout="200ms")
    db.wait_done()
    wait_until(lambda: host.try_status() and host.workers().get(0)
               not in (None, before), 15, "another worker")
    assert db.wait_state(_do(db, "text")).result == 'just "words"'


@pytest.mark.parametrize("file, why", [
    ("old_plugin.so", "version 7"), ("no_plugin.so", "muster_plugin")])
def test_plugin_that_cannot_be_loaded(db, daemon, trial, file, why):
    host = daemon(workers=1, handlers={"work": trial(file)})
    host.log.allow("cannot run", "put off")
    assert why in host.status()["workers"][0]["status"]
    task = _do(db, "text")
    wait_until(lambda: db.attempts(task), 10)
    assert db.task(task).attempt == 0 and db.state(task) != "failed"
    assert why in db.task(task).error


def test_plugin_that_appears_later(db, daemon, trial, folder):
    path = os.path.join(folder, "late.so")
    host = daemon(workers=1, handlers={"work": {
        **trial(), "plugin": path, "backoff": {"first": "100ms",
                                               "max": "300ms"}}})
    host.log.allow("cannot run", "put off")
    task = _do(db, "text")
    wait_until(lambda: db.attempts(task), 10)
    os.symlink(build.path("trial_plugin.so"), path)
    assert db.wait_state(task).attempt == 1


def test_plugin_that_crashes_alone_is_charged(db, daemon, trial):
    host = daemon(workers=1, handlers={"work": trial(max_attempts=2)})
    host.log.allow("killed", "dead", "worker", "rescue", "failed")
    task = _do(db, "crash")
    row = db.wait_state(task, "failed", limit=30)
    assert "its last attempt ended with its worker" in row.error
    assert db.one("SELECT rescues FROM muster.task WHERE id = %s", task) == 2
    assert db.wait_state(_do(db, "text"), limit=30)


def test_plugin_that_crashes_in_company_charges_nobody(db, daemon, trial):
    """Who did it is not known, so each runs alone the next time, and only the
    one that kills alone is charged."""
    host = daemon(workers=1, handlers={"work": trial(max_attempts=2,
                                                     threads=4)})
    host.log.allow("killed", "dead", "worker", "rescue", "failed")
    good = [_do(db, "doze", 1500) for _ in range(3)]
    wait_until(lambda: db.states(good).get("running") == 3, 5)
    bad = _do(db, "crash", 100)
    row = db.wait_state(bad, "failed", limit=60)
    db.wait_done(60)
    assert db.states(good) == {"succeeded": 3}
    assert [db.task(task).attempt for task in good] == [1, 1, 1]
    assert row.error


def test_worker_death_charges_no_program(db, daemon, trial):
    """An exec task beside a plugin that crashes: handed back uncharged."""
    host = daemon(workers=1, handlers={
        "work": trial(max_attempts=1),
        "nap": {"exec": ["/bin/sleep", "2"], "max_attempts": 1}})
    host.log.allow("killed", "dead", "worker", "rescue", "failed")
    program = db.enqueue("nap")
    wait_until(lambda: db.state(program) == "running", 5)
    bad = _do(db, "crash")
    db.wait_state(bad, "failed", limit=30)
    assert db.wait_state(program, limit=30).attempt == 1


def test_C4_drain_hands_a_plugin_task_back(db, daemon, trial):
    host = daemon(handlers={"work": trial()}, shutdown_timeout="2s")
    task = _do(db, "doze", 60000)
    wait_until(lambda: db.state(task) == "running", 10)
    host.stop()
    assert db.task(task).state == "ready" and db.attempts(task) == []


def test_example_plugin(db, daemon):
    path = os.path.join(build.BUILD, "plugins", "example.so")
    daemon(handlers={"primes": {"plugin": path}})
    task = db.enqueue("primes", {"below": 100000})
    assert db.wait_state(task).result == {"primes": 9592}
