"""Cancel, retry, retries, flows that fail, rescue."""

import json

import pytest

from support.wait import wait_until


def ask_for_verdict(db, scheduler, verb, target):
    """What becomes of a request: verdict and answer."""
    number = db.one(f"SELECT muster.{verb}(%s)", target)
    assert db.one("SELECT * FROM muster.request_status(%s)", number) == (
        False, None, None)
    scheduler.work()
    done, answer, verdict = db.one(
        "SELECT * FROM muster.request_status(%s)", number)
    assert done
    return verdict, answer


def ask(db, scheduler, verb, target):
    return ask_for_verdict(db, scheduler, verb, target)[1]


def test_each_answer_has_a_verdict(db, worker, scheduler):
    flow = db.flow({"bad": {"kind": "b"}, "after": {"kind": "b",
                                                    "needs": ["bad"]}})
    tasks = db.tasks(flow)
    ready, done = db.enqueue("c"), db.enqueue("a")
    one = worker()
    one.claim({"a": 1, "b": 1})
    one.finish(done)
    one.finish(tasks["bad"].id, outcome="f")
    scheduler.work()
    running = db.enqueue("a")
    one.claim({"a": 1})
    other = db.flow({"a": {"kind": "c"}})
    for verb, target, verdict, words in [
            ("cancel", 999, "refused", "there is no task"),
            ("cancel", done, "refused", "had ended"),
            ("cancel", running, "done", "was told"),
            ("cancel_flow", 999, "refused", "there is no flow"),
            ("cancel_flow", other, "done", "tasks are cancelled"),
            ("retry", 999, "refused", "there is no task"),
            ("retry", ready, "refused", "has not ended"),
            ("retry", done, "refused", "has succeeded"),
            ("retry", tasks["after"].id, "refused", "stays skipped"),
            ("retry", tasks["bad"].id, "done", "runs again"),
            ("cancel", ready, "done", "is cancelled"),
            ("pause", "q", "done", "is paused"),
            ("pause", "q", "done", "was paused already"),
            ("resume", "q", "done", "goes on"),
            ("resume", "q", "done", "was not paused")]:
        got, answer = ask_for_verdict(db, scheduler, verb, target)
        assert words in answer and got == verdict, answer
    assert db.one("SELECT verdict FROM muster.request_status(999)") is None
    one.finish(running)


def test_G2_a_claim_meets_what_a_cancel_left_and_what_the_retry_put(
        db, worker, scheduler):
    """Both rows of a task in one claim, among others: once the task was in no
    place any more."""
    tasks = db.enqueue_many("a", 6)
    for verb in ("cancel", "retry"):
        for task in tasks[1:5]:
            ask(db, scheduler, verb, task)
    one = worker()
    assert one.claim(20).ids == tasks
    assert not db.invariants()
    one.finish_all()


# Attempts.

def test_G2_failed_attempt_waits_and_runs_again(db, worker, scheduler):
    task = db.enqueue("a", max_attempts=3)
    one = worker()
    for attempt in (1, 2):
        assert one.claim(floors=False).tasks[0].attempt == attempt
        one.finish(task, outcome="r", delay=30, error=f"no {attempt}", ran=5)
        assert db.state(task) == "scheduled"
        assert not one.claim(floors=False).tasks
        db.rows("SELECT pg_sleep(0.04)")
        db.rows("SELECT * FROM muster.due(10, NULL)")
    assert one.claim(floors=False).tasks[0].attempt == 3
    one.finish(task, outcome="f", error="no 3")
    row = db.task(task)
    assert (row.state, row.attempt, row.error) == ("failed", 3, "no 3")


def test_G1_each_failure_is_kept(db, worker):
    task = db.enqueue("a")
    one = worker()
    for outcome, error in (("r", "one"), ("u", "two"), ("f", "three")):
        one.claim(floors=False)
        one.finish(task, outcome=outcome, error=error, ran=9)
    found = db.attempts(task)
    assert [(row.attempt, row.outcome, row.error, row.ran_ms, row.worker_id)
            for row in found] == [
        (1, "retried", "one", 9, one.id), (2, "put off", "two", 9, one.id),
        (2, "failed", "three", 9, one.id)]


def test_G2_put_off_is_not_charged(db, worker):
    task = db.enqueue("a")
    one = worker()
    for snoozes in range(3):
        claimed, = one.claim(floors=False).tasks
        assert (claimed.attempt, claimed.snoozes) == (1, snoozes)
        one.finish(task, outcome="u", error="not now")


def test_given_back_is_ready_at_once_and_leaves_no_trace(db, worker):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    one.finish(task, outcome="b")
    assert db.state(task) == "ready" and db.attempts(task) == []
    assert one.claim().tasks[0].attempt == 1


def test_success_keeps_its_place_in_history(db, worker):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    one.finish(task, outcome="r", error="first")
    one.claim(floors=False)
    one.finish(task)
    row = db.task(task)
    assert (row.state, row.attempt, row.worker_id) == ("succeeded", 2, one.id)


# Cancel.

def test_F2_cancel_in_each_place(db, worker, scheduler):
    one = worker()
    running = db.enqueue("a")
    one.claim()
    ready = db.enqueue("a")
    delayed = db.one("SELECT muster.enqueue('a', run_at => now() + "
                     "interval '1 h')")
    blocked = db.enqueue("a", depends_on=[running])
    scheduler.admit()
    arriving = db.enqueue("a", depends_on=[running])
    for task in (ready, delayed, blocked, arriving):
        number = db.one("SELECT muster.cancel(%s)", task)
        scheduler.carry_out()
        assert db.one("SELECT answer FROM muster.request_status(%s)",
                      number) == f"task {task} is cancelled"
        assert db.state(task) == "cancelled"
    assert "its worker was told" in ask(db, scheduler, "cancel", running)
    assert one.turn().cancel == {running}
    assert one.turn().cancel == {running}  # until it has ended
    assert one.claim().ids == []  # the row of `ready` is stale
    assert db.one("SELECT count(*) FROM muster.ready") == 0
    one.finish(running, outcome="c", error="cancelled")
    assert db.state(running) == "cancelled" and not one.turn().cancel
    assert "had ended: cancelled" in ask(db, scheduler, "cancel", running)
    assert "no task 999" in ask(db, scheduler, "cancel", 999)


@pytest.mark.parametrize("outcome, state", [
    ("s", "succeeded"), ("f", "failed"), ("r", "cancelled"),
    ("u", "cancelled"), ("b", "cancelled"), ("c", "cancelled")])
def test_F2_what_ends_while_it_is_being_cancelled(
        db, worker, scheduler, outcome, state):
    task, other = db.enqueue_many("a", 2)
    one = worker()
    one.claim()
    ask(db, scheduler, "cancel", task)
    one.turn([(task, outcome, {"delay": 0}), (other, "s", {})])
    assert db.state(task) == state
    assert db.state(other) == "succeeded"
    assert db.one("SELECT count(*) FROM muster.cancelling") == 0


def test_F2_plain_success_of_a_cancelled_task(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    ask(db, scheduler, "cancel", task)
    one.finish(task)
    assert db.state(task) == "succeeded"
    assert db.one("SELECT count(*) FROM muster.cancelling") == 0


def test_F2_cancelled_running_task_of_a_dead_worker(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    ask(db, scheduler, "cancel", task)
    db.rows("SELECT * FROM muster.rescue(%s, 'killed', NULL, 3)", one.id)
    assert db.state(task) == "cancelled"


def test_F2_cancel_a_flow(db, worker, scheduler):
    flow = db.flow({
        "running": {"kind": "a"}, "ready": {"kind": "b"},
        "later": {"kind": "b", "needs": ["running"]},
        "delayed": {"kind": "b", "run_at": "2100-01-01T00:00:00Z"},
        "done": {"kind": "c"}})
    other = db.enqueue("b")
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 1, "c": 1})
    one.finish(tasks["done"].id)
    assert "3 tasks are cancelled, the workers of 1 running" in ask(
        db, scheduler, "cancel_flow", flow)
    assert db.flow_status(flow).state == "cancelling"
    one.finish(tasks["running"].id, outcome="c")
    scheduler.work()
    status = db.flow_status(flow)
    assert (status.state, status.succeeded, status.cancelled) == (
        "cancelled", 1, 4)
    assert one.claim().ids == [other]
    assert "no flow 999" in ask(db, scheduler, "cancel_flow", 999)


def test_F2_large_flow_is_cancelled_in_pieces(db, scheduler):
    flow = db.flow({"root": {"kind": "a"}, **{
        f"leaf{n}": {"kind": "b", "needs": ["root"]} for n in range(500)}})
    db.one("SELECT muster.cancel_flow(%s)", flow)
    for _ in range(20):
        scheduler.carry_out(50)
        assert db.invariants() == []
    scheduler.work()
    assert db.flow_status(flow).cancelled == 501


def test_A4_first_failure_cancels_the_rest(db, worker, scheduler):
    flow = db.flow({
        "bad": {"kind": "a"}, "running": {"kind": "a"},
        "ready": {"kind": "b"},
        "later": {"kind": "b", "needs": [{"task": "bad",
                                          "when": "finished"}]}},
        on_failure="cancel")
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 2})
    one.finish(tasks["bad"].id, outcome="f", error="broke")
    scheduler.work()
    assert one.turn().cancel == {tasks["running"].id}
    one.finish(tasks["running"].id, outcome="f", error="broke too")
    scheduler.work()
    status = db.flow_status(flow)
    assert (status.state, status.failed, status.cancelled) == ("failed", 2, 2)
    assert status.error == "bad: broke\nrunning: broke too"


def test_A4_continue_lets_independent_branches_end(db, worker, scheduler):
    flow = db.flow({
        "bad": {"kind": "a"}, "after": {"kind": "b", "needs": ["bad"]},
        "good": {"kind": "a"}, "end": {"kind": "b", "needs": ["good"]}},
        on_failure="continue")
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 2})
    one.finish(tasks["bad"].id, outcome="f", error="broke")
    one.finish(tasks["good"].id)
    scheduler.work()
    assert one.claim({"b": 2}).ids == [tasks["end"].id]
    one.finish_all()
    scheduler.work()
    status = db.flow_status(flow)
    assert (status.state, status.succeeded, status.skipped) == (
        "failed", 2, 1)


def test_A4_error_names_the_first_hundred_failures(db, worker, scheduler):
    flow = db.flow({f"s{n:03}": {"kind": "a"} for n in range(150)})
    one = worker()
    one.claim(200)
    one.finish_all("f")
    scheduler.work()
    error = db.flow_status(flow).error
    assert error.startswith("s000: failed\ns001")
    assert error.endswith("s099: failed\nand 50 more")


# Retry.

def test_G2_retry_brings_a_failed_task_back(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    one.finish(task, outcome="f", error="broke")
    assert ask(db, scheduler, "retry", task) == f"task {task} runs again"
    claimed, = one.claim(floors=False).tasks
    assert (claimed.id, claimed.attempt) == (task, 1)
    one.finish(task)
    assert db.state(task) == "succeeded"
    assert [row.error for row in db.attempts(task)] == ["broke"]
    assert "has succeeded" in ask(db, scheduler, "retry", task)
    assert "no task 999" in ask(db, scheduler, "retry", 999)


def test_G2_open_task_is_not_retried(db, scheduler):
    task = db.enqueue("a")
    assert "has not ended: it is ready" in ask(db, scheduler, "retry", task)


def test_G2_cancelled_ready_task_comes_back_once(db, worker, scheduler):
    task = db.enqueue("a")
    ask(db, scheduler, "cancel", task)
    ask(db, scheduler, "retry", task)
    one = worker()
    assert one.claim().ids == [task]
    assert one.claim(floors=False).ids == []


def test_G2_retry_brings_back_what_was_skipped_for_it(db, worker, scheduler):
    flow = db.flow({
        "a": {"kind": "a"}, "b": {"kind": "b", "needs": ["a"]},
        "c": {"kind": "b", "needs": ["b"]},
        "d": {"kind": "b", "needs": ["c", {"task": "a",
                                           "when": "finished"}]}})
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 1})
    one.finish(tasks["a"].id, outcome="f", error="broke")
    scheduler.work()
    assert db.flow_status(flow).state == "failed"
    assert db.flow_status(flow).skipped == 3
    assert "it needs task" in ask(db, scheduler, "retry", tasks["b"].id)
    ask(db, scheduler, "retry", tasks["a"].id)
    assert db.flow_status(flow).state == "running"
    assert db.states() == {"ready": 1, "skipped": 3}
    one.claim({"a": 1}, floors=False)
    one.finish_all()
    for name in "bcd":
        scheduler.work()
        assert db.invariants() == []
        assert one.claim(5, floors=False).ids == [tasks[name].id]
        one.finish_all()
    scheduler.work()
    status = db.flow_status(flow)
    assert (status.state, status.succeeded) == ("succeeded", 4)


def test_G2_dependent_that_still_waits_is_told_the_difference(
        db, worker, scheduler):
    """Its counters stay right when a need ends twice."""
    first, second = db.enqueue_many("a", 2)
    task = db.enqueue("b", depends_on=[first, second],
                      depends_when="finished")
    scheduler.work()
    one = worker()
    one.claim({"a": 2})
    one.finish(first, outcome="f", error="broke")
    assert db.one("SELECT need FROM muster.blocked") == 1
    ask(db, scheduler, "retry", first)
    assert db.invariants() == []
    one.claim({"a": 1}, floors=False)
    one.finish(first)
    scheduler.work()
    assert db.one("SELECT need FROM muster.blocked") == 1
    one.finish(second)
    assert db.state(task) == "ready"


def test_G2_need_added_in_a_later_life(db, worker, scheduler):
    first, second = db.enqueue_many("a", 2)
    old = db.enqueue("b", depends_on=[first, second],
                     depends_when="finished")
    scheduler.work()
    one = worker()
    one.claim({"a": 2})
    one.finish(first, outcome="f", error="broke")
    ask(db, scheduler, "retry", first)
    new = db.enqueue("b", depends_on=[first, second])
    scheduler.work()
    assert db.invariants() == []
    assert dict(db.rows("SELECT task_id, need FROM muster.blocked")) == {
        old: 1, new: 2}
    one.claim({"a": 1}, floors=False)
    one.finish(first)
    scheduler.work()
    assert dict(db.rows("SELECT task_id, need FROM muster.blocked")) == {
        old: 1, new: 1}
    one.finish(second)
    scheduler.work()
    assert db.state(old) == db.state(new) == "ready"


def test_G2_retried_task_that_fails_again_changes_nothing(
        db, worker, scheduler):
    flow = db.flow({"a": {"kind": "a"},
                    "b": {"kind": "b", "needs": ["a"]}})
    tasks = db.tasks(flow)
    one = worker()
    for _ in range(3):
        one.claim({"a": 1}, floors=False)
        one.finish(tasks["a"].id, outcome="f", error="broke")
        scheduler.work()
        assert db.states() == {"failed": 1, "skipped": 1}
        assert db.flow_status(flow).state == "failed"
        ask(db, scheduler, "retry", tasks["a"].id)
        assert db.invariants() == []


def test_G2_skipped_task_whose_need_runs_again_waits_for_it(
        db, worker, scheduler):
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b", "needs": ["a"]}},
                   on_failure="cancel")
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 1})
    one.finish(tasks["a"].id, outcome="f", error="broke")
    scheduler.work()
    ask(db, scheduler, "retry", tasks["a"].id)
    answer = ask(db, scheduler, "retry", tasks["b"].id)
    assert "comes back when task" in answer
    assert db.invariants() == []
    one.claim({"a": 1}, floors=False)
    one.finish(tasks["a"].id)
    scheduler.work()
    assert db.state(tasks["b"].id) == "ready"
    assert db.flow_status(flow).state == "running"


def test_G2_retry_waits_for_the_remainder(db, worker, scheduler):
    flow = db.flow({"root": {"kind": "a"}, **{
        f"leaf{n}": {"kind": "bc"[n % 2], "priority": n // 2 - 1000,
                     "needs": ["root"]} for n in range(2500)}})
    root = db.tasks(flow)["root"].id
    one = worker()
    one.claim({"a": 1})
    one.finish(root, outcome="f", error="broke")
    number = db.one("SELECT muster.retry(%s)", root)
    assert scheduler.carry_out() == 0
    assert not db.one("SELECT done FROM muster.request_status(%s)", number)
    scheduler.work()
    assert db.one("SELECT done FROM muster.request_status(%s)", number)
    one.claim({"a": 1}, floors=False)
    one.finish(root)
    while scheduler.unlock(400):
        assert db.invariants() == []
    assert db.states() == {"succeeded": 1, "ready": 2500}


# Rescue.

def test_E2_rescued_tasks_run_again(db, worker):
    ids = db.enqueue_many("a", 5)
    one = worker()
    one.claim()
    started = ids[:2]
    back, failed = db.one("SELECT * FROM muster.rescue(%s, 'signal 9', %s, 3)",
                          one.id, started)
    assert (back, failed) == (5, 0)
    assert db.states() == {"ready": 5}
    assert [db.attempts(task)[0].outcome for task in started] == ["lost"] * 2
    assert db.attempts(ids[4]) == []
    assert dict(db.rows("SELECT id, rescues FROM muster.task"))[ids[0]] == 1
    again = db.one("SELECT * FROM muster.rescue(%s, 'signal 9', %s, 3)",
                   one.id, started)
    assert tuple(again) == (0, 0)
    assert one.turn().dead and one.claim().dead
    assert sorted(worker().claim().ids) == ids


def test_G3_task_that_kills_its_worker_fails_in_the_end(
        db, worker, scheduler):
    task, other = db.enqueue("a"), db.enqueue("b")
    waits = []
    for _ in range(4):
        one = worker()
        assert task in one.claim(floors=False).ids
        db.rows("SELECT * FROM muster.rescue(%s, 'signal 11', %s, 3)",
                one.id, [task])
        waits.append(db.task(task).run_at is not None)
        db.rows("UPDATE muster.scheduled SET run_at = now()")
        scheduler.work()
    assert waits == [False, True, True, False]
    row = db.task(task)
    assert row.state == "failed"
    assert row.error == "lost with its worker 4 times, at last: signal 11"
    assert [each.outcome for each in db.attempts(task)] == [
        "lost", "lost", "lost", "failed"]
    assert db.state(other) == "ready"


def test_C4_tasks_of_a_worker_that_did_not_crash_are_never_blamed(
        db, worker, scheduler):
    """It was told to stop, or its host vanished; what had a crash before
    does not wait either."""
    task, inside = db.enqueue("a"), db.enqueue("b", max_attempts=1)
    one = worker()
    one.claim()
    db.rows("SELECT * FROM muster.rescue(%s, 'signal 11', %s, 3)",
            one.id, [task])
    for number in range(5):
        one = worker()
        assert one.claim(floors=False).ids == [task, inside]
        assert tuple(db.one(
            "SELECT * FROM muster.rescue(%s, 'away', %s, NULL, %s)",
            one.id, [task, inside] if number else None, [inside])) == (2, 0)
        assert db.states() == {"ready": 2}
    assert db.rows("SELECT rescues, attempts FROM muster.task ORDER BY id") \
        == [(1, 0), (0, 0)]
    assert [each.outcome for each in db.attempts(inside)] == ["lost"] * 5


def test_G3_its_dependents_are_skipped(db, worker, scheduler):
    task = db.enqueue("a")
    after = db.enqueue("b", depends_on=[task])
    scheduler.work()
    one = worker()
    one.claim()
    db.rows("SELECT * FROM muster.rescue(%s, 'signal 11', NULL, 0)", one.id)
    scheduler.work()
    assert db.state(after) == "skipped"


def test_worker_that_leaves_gives_back_and_is_gone(db, worker):
    db.enqueue_many("a", 3)
    one = worker()
    one.claim()
    db.rows("SELECT muster.sleep_on('host-1', %s, '{default}')", one.id)
    db.rows("SELECT muster.worker_leave(%s)", one.id)
    assert db.states() == {"ready": 3}
    assert db.one("SELECT count(*) FROM muster.worker") == 0
    assert db.one("SELECT count(*) FROM muster.sleepers") == 0
    assert db.one("SELECT count(*) FROM muster.attempt") == 0


def test_worker_signs_show_who_lives(db, worker):
    one, other = worker(), worker()
    db.enqueue_many("a", 3)
    one.claim()
    db.rows("SELECT * FROM muster.rescue(%s, 'gone', NULL, 3)", other.id)
    sign, = db.rows("SELECT * FROM muster.worker_signs()")
    assert (sign.worker, sign.leased, sign.host) == (one.id, 3, "host")
    before = sign.beats
    assert db.one("SELECT muster.beat(%s)", one.id)
    assert not db.one("SELECT muster.beat(%s)", other.id)
    assert db.rows("SELECT beats FROM muster.worker_signs()") == [
        (before + 1,)]


def register_with_lock(session, number):
    session.run("SELECT * FROM muster.worker_register(%s, 'i', 'host', 42, "
                "'0.1', '{default}', '{a}', true)", number)


def ended(db, *workers, up_ms=0):
    return {row[0] for row in db.rows(
        "SELECT muster.sessions_ended(%s, %s)", list(workers), up_ms)}


def locked(db, number):
    return db.one("SELECT locked FROM muster.worker_signs() "
                  "WHERE worker = %s", number)


def test_I3_end_of_a_session_that_had_locked_its_worker_is_known(db, worker):
    large, small, other = 2 ** 62 + 2 ** 31 + 1, 7, worker()
    sessions = {number: db.session("musterd") for number in (large, small)}
    for number, session in sessions.items():
        register_with_lock(session, number)
        assert locked(db, number)
    everyone = (large, small, other.id)
    assert not locked(db, other.id), "one that took no lock"
    assert ended(db, *everyone) == set()
    for number, session in sessions.items():
        session.close()
        wait_until(lambda: number in ended(db, *everyone), 5)
    assert ended(db, *everyone, up_ms=10 ** 9) == set(), \
        "the server is up for less long"
    register_with_lock(db.session("musterd"), large)
    assert ended(db, *everyone) == {small}
    db.rows("SELECT * FROM muster.rescue(%s, 'gone', NULL, 3)", small)
    assert ended(db, *everyone) == set(), "it is dead already"


def test_I3_session_that_came_too_early_for_the_lock_does_without(db):
    """The server has not noticed yet that the former one is gone."""
    former, session = db.session("musterd"), db.session("musterd")
    register_with_lock(former, 7)
    register_with_lock(session, 7)
    assert not locked(db, 7)
    former.close()
    assert ended(db, 7) == set()
    register_with_lock(session, 7)
    assert locked(db, 7)


def test_I3_lock_counts_for_nothing_behind_a_pooler(db):
    """It hands out another session than the one that registered."""
    session = db.session("musterd")
    register_with_lock(session, 7)
    assert session.one("SELECT muster.beat(7)")
    assert locked(db, 7)
    assert db.one("SELECT muster.beat(7)")
    assert not locked(db, 7)


# Who waits for whom.

def test_F2_a_request_for_one_task_waits_for_none_for_many(db, scheduler):
    ids = db.enqueue_many("a", 600)
    db.one("SELECT muster.reprioritise_where('{\"kind\": \"a\"}', 5)")
    number = db.one("SELECT muster.cancel(%s)", ids[-1])
    scheduler.carry_out()
    assert db.one("SELECT done FROM muster.request_status(%s)", number)
    assert db.one("SELECT count(*) FROM muster.request_part") > 0


def test_G2_a_retry_holds_off_no_turn(db, worker, scheduler):
    task, other = db.enqueue("a"), db.enqueue("b")
    one = worker()
    one.claim({"a": 1})
    one.finish(task, outcome="f")
    db.one("SELECT muster.retry(%s)", task)
    scheduler.session.begin()
    assert scheduler.carry_out() == 1
    one.session.run("SET lock_timeout = '1 s'")
    assert one.claim({"b": 1}).ids == [other]
    scheduler.session.commit()
    assert one.claim({"a": 1}).ids == [task]


def test_A1_an_admission_takes_as_many_needs_as_tasks(db, scheduler):
    """Who ends one of the needs waits for it."""
    needs = db.enqueue_many("a", 40)
    late = [db.enqueue("b", depends_on=needs) for _ in range(3)]
    assert scheduler.admit(100) == 100  # there are more
    assert db.states(late) == {"blocked": 2, "arriving": 1}
    assert scheduler.admit(30) == 1, "one alone may have more"
    assert db.states(late) == {"blocked": 3}
    assert scheduler.admit() == 0


def test_A2_an_admission_holds_no_more_than_a_thousand_needs(db, scheduler):
    """Whatever it may take, and however many one task has."""
    def held(ids):
        other = db.session("musterd")
        other.begin()
        free = other.run("SELECT id FROM muster.task WHERE id = ANY (%s)"
                         " FOR UPDATE SKIP LOCKED", ids)
        other.close()
        return len(ids) - len(free)
    needs = db.enqueue_many("a", 2300)
    task = db.enqueue("b", depends_on=needs)
    found = []
    while not found or db.rows("SELECT seq FROM muster.placing"):
        scheduler.session.begin()
        assert scheduler.admit(5000) >= 5000
        found.append(held(needs))
        scheduler.session.commit()
        assert db.invariants() == []
    assert found[0] == 0 and sum(found) == 2300 and max(found) <= 1000
    assert scheduler.admit() == 0
    assert db.rows("SELECT need FROM muster.blocked WHERE task_id = %s",
                   task) == [(2300,)]
    assert db.rows("SELECT count(*) FROM muster.edge") == [(2300,)]
    few = [db.enqueue("b", depends_on=needs[:300]) for _ in range(4)]
    scheduler.session.begin()
    scheduler.admit(5000)
    assert held(few) == 3
    scheduler.session.commit()


def test_G2_a_retry_that_waits_keeps_back_nobody(db, scheduler):
    """What it waits for was asked for after it, and one thing is done a
    call."""
    flows = [db.one("SELECT muster.submit_flow(%s)", json.dumps(
        {"tasks": {"t": {"kind": "a"}}})) for _ in range(3)]
    numbers = [db.one(f"SELECT muster.{verb}_flow(%s)", flow)
               for verb in ("retry", "cancel") for flow in flows]
    for _ in range(40):
        scheduler.carry_out(1)
    for number in numbers:
        assert db.one("SELECT done FROM muster.request_status(%s)", number)


def test_G2_a_round_ends_with_the_last_that_was_there(db):
    """Whether a call stops there since it met enough, or for want of more."""
    session = db.session()
    for last, more in ((6, True), (7, False), (None, False), (9, False)):
        assert session.one("SELECT muster.carry_noted(1, %s, 7, 0)",
                           last) == more


@pytest.mark.parametrize("verb, count", [("retry", 2000), ("retry_flow", 1000)])
def test_G2_very_many_that_can_do_nothing_yet_keep_no_call_for_long(
        db, worker, verb, count, is_long):
    """A call looks at some of them, the next at those behind, so that each gets
    its turn: who stands behind them, and one before them that waits for that;
    and when nothing goes on any more there is an end."""
    count = 20000 if is_long else count
    scheduler = db.session()
    scheduler.run("SET track_functions = 'all'")
    flow = db.flow({"t": {"kind": "a"}})
    one = worker()
    task, = one.claim().ids
    one.finish(task, outcome="f")
    scheduler.run("SELECT muster.fold(10)")
    db.rows("INSERT INTO muster.remainder (task_id, outcome) "
            "VALUES (%s, 'f')", task)  # its end is still being told
    other = db.flow({"t": {"kind": "b"}})
    numbers = [db.one("SELECT muster.retry_flow(%s)", other)]
    db.rows(f"SELECT count(muster.{verb}(%s)) FROM generate_series(1, %s)",
            task if verb == "retry" else flow, count)
    numbers += [db.one("SELECT muster.cancel_flow(%s)", other),
                db.one("SELECT muster.cancel(%s)", db.enqueue("c"))]

    def calls():
        """How many requests each looked at, until there is no more to do."""
        looks = []
        while len(looks) < count:
            scheduler.begin()
            more = scheduler.one("SELECT muster.carry_out(1000)")
            scheduler.run("SELECT pg_stat_force_next_flush()")
            looks.append(scheduler.one(
                "SELECT coalesce(sum(calls), 0)::int FROM "
                "pg_stat_xact_user_functions WHERE funcname = 'carry_one'"))
            scheduler.commit()
            if not more:
                return looks
        raise AssertionError("there is no end")

    looks = calls()
    assert max(looks) <= 600 and sum(looks) <= 5 * (count + 3)
    assert [db.one("SELECT done FROM muster.request_status(%s)", number)
            for number in numbers] == [True] * 3
    assert db.one("SELECT count(*) FROM muster.request "
                  "WHERE done_at IS NULL") == count
    db.rows("DELETE FROM muster.remainder")
    calls()
    assert db.one("SELECT count(*) FROM muster.request "
                  "WHERE done_at IS NULL") == 0
