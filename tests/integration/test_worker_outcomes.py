"""What becomes of an outcome: recorded, retried, refused, kept, fenced."""

import json
import os
import signal

import pytest

from support.wait import holds_for, wait_until

# What a handler does to write a bad result, and words of the error that its
# task then ends with. Only nesting is left for the server to refuse.
BAD_RESULTS = {
    "nul": (r"""printf '"\\u0000"'""", "holds \\u0000"),
    "surrogate": (r"""printf '"\\ud800"'""", "half of a surrogate pair"),
    "number": ("echo 1e200000", "a number beyond what PostgreSQL keeps"),
    "byte": (r"printf '\377'", "UTF-8"),
    "large": ("printf '%0*d' 10000000 1", "max_result"),
    "nesting": ("head -c 200000 /dev/zero | tr '\\0' '['; "
                "head -c 200000 /dev/zero | tr '\\0' ']'", "54001"),
}


def _many_results_at_once(postgres, db, bad):
    """300 outcomes of which one cannot be stored wait for the server, so they
    go with one turn. The ids: the bad one, the others."""
    good = db.enqueue_many("good", 299)
    one = db.enqueue(bad)
    wait_until(lambda: db.states()["running"] == 300, 20, "all are claimed")
    return one, good


@pytest.mark.parametrize("what", BAD_RESULTS)
def test_G1_B2_a_bad_result_in_a_batch_of_300(
        own_postgres, db, daemon, folder, what, patience):
    """Its task fails with a clear error, the others are recorded."""
    line, word = BAD_RESULTS[what]
    gate = os.path.join(folder, "gate")
    wait = f"while [ ! -e {gate} ]; do sleep 0.1; done; "
    host = daemon(
        workers=1, queues={"default": {"concurrency": 300}},
        handlers={"good": {"exec": ["/bin/sh", "-c", wait + "echo 1"]},
                  what: {"exec": ["/bin/sh", "-c", wait + line]}})
    host.log.allow("failed", "refused", "database", "PostgreSQL",
                   "held the event loop")
    one, good = _many_results_at_once(own_postgres, db, what)
    own_postgres.freeze()
    open(gate, "w").close()
    wait_until(lambda: not host.handlers(), 40 * patience, "all ended")
    own_postgres.thaw()
    assert db.wait_done(40 * patience) == {"succeeded": 299, "failed": 1}
    assert word in db.task(one).error
    bisected = bool(host.log.find("was refused", task=one))
    assert bisected == (what == "nesting")
    assert db.states(good) == {"succeeded": 299}


def test_G1_error_texts_are_made_fit(db, daemon):
    """Bytes that are no text do not lose the error, or the task."""
    host = daemon(handlers={"bad": {
        "exec": ["/bin/sh", "-c", r"printf 'a\377\000b' >&2; exit 65"]}})
    host.log.allow("failed")
    task = db.enqueue("bad")
    row = db.wait_state(task, "failed")
    assert "a\ufffd" in row.error and "b" in row.error


def test_G2_attempts_are_retried_and_each_error_is_kept(db, daemon):
    host = daemon(handlers={"flaky": {
        "exec": ["/bin/sh", "-c",
                 'echo "try $MUSTER_ATTEMPT" >&2; test $MUSTER_ATTEMPT -gt 2'],
        "backoff": {"first": "50ms", "factor": 2, "jitter": 0}}})
    task = db.enqueue("flaky")
    assert db.wait_state(task).attempt == 3
    kept = db.attempts(task)
    assert [(row.attempt, row.outcome) for row in kept][:2] == [
        (1, "retried"), (2, "retried")]
    assert "try 1" in kept[0].error and "try 2" in kept[1].error
    host.log.wait_for("again in 100ms", task=task)
    assert len(host.log.find("again in 50ms", task=task)) == 1
    assert len(host.log.find("again in 100ms", task=task)) == 1


def test_G2_limit_of_attempts_is_the_enqueuers_or_the_handlers(db, daemon):
    host = daemon(handlers={"never": {
        "exec": ["/bin/false"], "max_attempts": 3,
        "backoff": {"first": "10ms"}}})
    host.log.allow("failed")
    own = db.enqueue("never", max_attempts=1)
    usual = db.enqueue("never")
    assert db.wait_state(own, "failed").attempt == 1
    assert db.wait_state(usual, "failed").attempt == 3
    assert db.request("retry", usual)
    wait_until(lambda: len(db.attempts(usual)) == 6, 15, "tried again")
    db.wait_state(usual, "failed")


def test_G2_try_later_is_not_charged(db, daemon, ledger):
    """Exit 75 is retried, and the attempt stays the first."""
    daemon(handlers={"later": ledger.handler(
        then=f'test $(grep -c "^$MUSTER_TASK " {ledger.path}) -gt 3 || '
             "exit 75", backoff={"first": "20ms"})})
    task = db.enqueue("later")
    assert db.wait_state(task).attempt == 1
    assert ledger.count()[task] == 4
    assert {attempt for _, attempt, _ in ledger.lines()} == {1}


def test_G2_hard_failure_is_final(db, daemon, ledger):
    host = daemon(handlers={"bad": ledger.handler(then="exit 65")})
    host.log.allow("failed")
    task = db.enqueue("bad")
    assert db.wait_state(task, "failed").attempt == 1
    assert ledger.count()[task] == 1


def test_B2_outcomes_are_kept_while_the_database_is_away(
        own_postgres, db, daemon, ledger):
    """What ends meanwhile is recorded once it is back, and not run again."""
    host = daemon(handlers={"slow": ledger.handler(
        then=f"sleep 0.5; {ledger.note('end')}; echo 7")})
    host.log.allow("database", "PostgreSQL")
    tasks = db.enqueue_many("slow", 15)
    wait_until(lambda: len(ledger.count()) == 15, 15, "all run")
    db.close()
    own_postgres.stop("immediate")
    wait_until(lambda: len(ledger.count("end")) == 15, 15, "all ended")
    own_postgres.start()
    db.wait_done(30)
    assert db.states(tasks) == {"succeeded": 15}
    assert set(ledger.count().values()) == {1}
    assert {row.result for row in db.rows(
        "SELECT result FROM muster.task_status")} == {7}


def test_E2_a_stopped_worker_that_was_rescued_writes_nothing(
        db, daemon, ledger):
    """It finds itself dead, registers under a new id, and its outcomes count
    for nothing; the tasks run again and are finished once."""
    host = daemon(workers=1, watchdog="60s", handlers={
        "slow": ledger.handler(then="sleep 0.5")})
    host.log.allow("fenced", "dead", "rescue", "worker", "slow callback")
    tasks = db.enqueue_many("slow", 8)
    wait_until(lambda: len(ledger.count()) == 8, 10, "all run")
    number, pid = host.worker_ids()[0], host.workers()[0]
    os.kill(pid, signal.SIGSTOP)
    db.rows("SELECT muster.rescue(%s, 'test', NULL, 3)", number)
    assert db.states(tasks) == {"ready": 8}
    os.kill(pid, signal.SIGCONT)
    db.wait_done()
    assert host.worker_ids()[0] != number
    host.log.wait_for("fenced")
    assert db.rows("SELECT DISTINCT worker_id FROM muster.task_status") == [
        (host.worker_ids()[0],)]
    assert set(ledger.count().values()) == {2}


def test_B2_a_lost_answer_is_not_a_no(own_postgres, db, daemon):
    """The backends are killed again and again in the middle of turns: what
    was claimed is given back, what was recorded is not run again."""
    host = daemon(handlers={"noop": {"noop": True}})
    host.log.allow("database", "PostgreSQL", "terminating", "refused")
    number = 20000
    db.enqueue_many("noop", number)

    def kill():
        db.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE 'musterd worker%%' "
                "AND state = 'active'")
        return db.open_count() == 0
    wait_until(kill, 60, "all is done", every=0.05)
    assert db.states() == {"succeeded": number}
    assert db.one("SELECT count(*) FROM muster.lease") == 0
    assert db.rows("SELECT * FROM muster.attempts") == []


def test_C1_heartbeats_live_as_long_as_the_worker(
        db, redis, daemon, patience):
    host = daemon(cluster="beats")
    keys = {f"muster:beats:worker:{number}"
            for number in host.worker_ids().values()}
    wait_until(lambda: set(redis.keys("muster:beats:*")) == keys, 5, "beats")
    for key in keys:
        assert 0 < redis.command("PTTL", key) <= 3000
        assert json.loads(redis.command("GET", key))["pid"] \
            in host.workers().values()
    holds_for(lambda: set(redis.keys("muster:beats:*")) == keys, 1.5, "beats")
    host.stop()
    wait_until(lambda: redis.keys("muster:beats:*") == [], patience,
               "signed off")
