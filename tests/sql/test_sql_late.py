"""What joins a flow while it runs, is being stopped, or has ended, or leaves it then;
what hangs on the failure that stops a flow; forced interleavings of both."""

import psycopg2
import pytest


def settle(db, scheduler):
    scheduler.work()
    assert db.invariants() == []


def ended(db, worker, scheduler, how):
    """A flow that has ended so; its row."""
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "a"}})
    one = worker()
    if how == "cancelled":
        db.one("SELECT muster.cancel_flow(%s)", flow)
    else:
        one.claim({"a": 2})
        one.finish_all("f" if how == "failed" else "s")
    settle(db, scheduler)
    status = db.flow_status(flow)
    assert status.state == how and status.finished_at
    return status


def told(db, flow):
    """How often it is told that the flow has ended."""
    return db.one("SELECT count(*) FROM muster.finished WHERE flow_id = %s",
                  flow)


# What is taken away.

@pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled"])
def test_G2_a_task_of_an_ended_flow_is_deleted(db, worker, scheduler, how):
    """It is counted no more, and what failed no longer matters once it is gone;
    but the flow ends no second time."""
    before = ended(db, worker, scheduler, how)
    for left, name in ((1, "x"), (0, "y")):
        db.one("SELECT muster.delete(%s)", db.tasks(before.id)[name].id)
        settle(db, scheduler)
        after = db.flow_status(before.id)
        assert (after.state, after.total, getattr(after, how)) == (
            how if left else "succeeded", left, left)
        assert after.error == ("y: failed" if how == "failed" and left
                               else None)
        assert after.finished_at == before.finished_at
        assert told(db, before.id) == 1


# What comes too late.

@pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled"])
def test_A1_a_late_task_leaves_an_ended_flow_as_it_is(
        db, worker, scheduler, how):
    """Whoever takes it: admission, or a request that comes before."""
    before = ended(db, worker, scheduler, how)
    for taken_by in ("admission", "cancel", "cancel_flow", "delete"):
        task = db.enqueue("b", flow_id=before.id)
        if taken_by != "admission":
            db.one(f"SELECT muster.{taken_by}(%s)",
                   before.id if taken_by == "cancel_flow" else task)
            scheduler.carry_out()
        settle(db, scheduler)
        assert db.flow_status(before.id) == before
        assert told(db, before.id) == 1
        assert set(db.tasks(before.id)) == {"x", "y"}
        if taken_by == "delete":
            assert not db.rows("SELECT FROM muster.task WHERE id = %s", task)
            continue
        row = db.task(task)
        assert (row.state, row.flow_id) == ("cancelled", None)
        if taken_by == "admission":
            assert row.error == f"flow {before.id} had ended"
            assert row.error in db.one(
                "SELECT reason FROM muster.why(%s)", task)


def test_A1_a_cancel_steps_over_an_arrival_whose_flow_just_ends(
        db, worker, scheduler):
    flow = db.flow({"x": {"kind": "a"}})
    one = worker()
    one.claim()
    one.finish_all()
    folder = db.session("musterd")
    folder.begin()
    folder.run("SELECT muster.fold(10)")
    task = db.enqueue("b", flow_id=flow)
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.carry_out()
    assert db.state(task) == "arriving"
    folder.commit()
    scheduler.carry_out()
    assert db.state(task) == "cancelled"
    settle(db, scheduler)
    status = db.flow_status(flow)
    assert (status.state, status.total) == ("succeeded", 1)


def test_G2_a_retry_brings_back_what_was_of_the_flow(db, worker, scheduler):
    """Not what came after its end; that runs outside of it, if it is retried."""
    flow = ended(db, worker, scheduler, "failed").id
    task = db.enqueue("b", flow_id=flow)
    settle(db, scheduler)
    db.one("SELECT muster.retry_flow(%s)", flow)
    settle(db, scheduler)
    assert db.state(task) == "cancelled"
    one = worker()
    assert len(one.claim().ids) == 2
    one.finish_all()
    settle(db, scheduler)
    before = db.flow_status(flow)
    assert (before.state, before.total) == ("succeeded", 2)
    db.one("SELECT muster.retry(%s)", task)
    settle(db, scheduler)
    assert one.claim().ids == [task]
    one.finish_all()
    settle(db, scheduler)
    assert db.flow_status(flow) == before


def test_A1_a_task_that_comes_when_its_flow_is_retried_joins_it(
        db, worker, scheduler):
    flow = ended(db, worker, scheduler, "failed").id
    task = db.enqueue("b", flow_id=flow)
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.session.begin()
    scheduler.carry_out()
    admitter = db.session("musterd")
    admitter.send("SELECT muster.admit(10)")
    admitter.wait_blocked()
    scheduler.session.commit()
    admitter.answer()
    settle(db, scheduler)
    assert db.task(task).flow_id == flow and db.state(task) == "ready"
    assert db.flow_status(flow).total == 3


def test_A1_what_joins_a_flow_that_is_being_stopped_comes_back_with_it(
        db, worker, scheduler):
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "c"}},
                   on_failure="cancel")
    one = worker()
    one.claim({"a": 1, "c": 1})
    one.finish(db.tasks(flow)["x"].id, outcome="f", error="broke")
    task = db.enqueue("b", flow_id=flow)
    scheduler.admit()  # before the stop is carried out
    assert db.task(task).error == f"flow {flow} was being cancelled"
    settle(db, scheduler)
    one.finish_all("c")
    settle(db, scheduler)
    status = db.flow_status(flow)
    assert (status.state, status.total, status.cancelled) == ("failed", 3, 2)
    db.one("SELECT muster.retry_flow(%s)", flow)
    settle(db, scheduler)
    assert set(one.claim(floors=False).ids) == {
        row.id for row in db.tasks(flow).values()} | {task}


# The failure of what was added.

def added_fails(db, one, scheduler, flow, hands=1):
    """Added by a running task, the next by that one, …; the last fails."""
    for _ in range(hands):
        task = db.enqueue("b", flow_id=flow)
        settle(db, scheduler)
        assert one.claim({"b": 1}).ids == [task]
    one.finish(task, outcome="f", error="broke")
    settle(db, scheduler)


@pytest.mark.parametrize("hands", [1, 3])
@pytest.mark.parametrize("how, state", [
    ("cancel", "cancelled"), ("continue", "ready")])
def test_A4_the_failure_of_an_added_task_stops_its_flow(
        db, worker, scheduler, how, state, hands):
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "c"}}, on_failure=how)
    one = worker()
    one.claim({"a": 1})
    added_fails(db, one, scheduler, flow, hands)
    assert db.tasks(flow)["y"].state == state
    assert one.turn().cancel == (set(one.held) if how == "cancel" else set())


@pytest.mark.parametrize("inner", [
    {"flow": {"on_failure": "cancel", "tasks": {
        "x": {"kind": "a"}, "y": {"kind": "c"}}}},
    {"kind": "a", "map": {"over": [1, 2], "on_failure": "cancel"}}])
def test_A4_the_failure_of_an_added_task_stops_the_inner_flow(
        db, worker, scheduler, inner):
    flow = db.flow({"in": inner, "other": {"kind": "c", "needs": [
        {"task": "in", "when": "finished"}]}})
    scheduler.work()
    inside = db.one("SELECT id FROM muster.flow WHERE parent_task IS NOT NULL")
    one = worker()
    one.claim({"a": 1})
    added_fails(db, one, scheduler, inside)
    one.finish_all("c")
    settle(db, scheduler)
    status = db.flow_status(inside)
    assert (status.state, status.total, status.failed, status.cancelled) == (
        "failed", 3, 1, 2)
    assert db.tasks(flow)["in"].state == "failed"
    assert db.tasks(flow)["other"].state == "ready"


# What hangs on the failure that stops the flow.

WHENS = {"f": {"kind": "b", "needs": [{"task": "bad", "when": "failed"}]},
         "a": {"kind": "b", "needs": [{"task": "bad", "when": "finished"}]},
         "any": {"kind": "b", "needs_mode": "any", "needs": [
             {"task": "bad", "when": "failed"}, "worse"]},
         "s": {"kind": "b", "needs": ["bad"]},
         "key": {"kind": "b", "lock": "k", "needs": [
             {"task": "bad", "when": "failed"}]},
         "map": {"kind": "b", "map": {"over": [1]}, "needs": [
             {"task": "bad", "when": "finished"}]}}


def failing(db, worker, kind="a"):
    """A flow whose step `bad` has failed; the flow and a worker."""
    flow = db.flow({"bad": {"kind": kind}, "worse": {"kind": kind}, **WHENS},
                   on_failure="cancel")
    one = worker()
    one.claim({kind: 2})
    one.finish(db.tasks(flow)["bad"].id, outcome="f", error="broke")
    return flow, one


def none_ran(db, one, flow):
    assert one.claim({"b": 9}, floors=False).ids == []
    tasks = db.tasks(flow)
    assert {tasks[name].state for name in WHENS} == {"cancelled"}
    assert {tasks[name].error for name in WHENS} == {
        "its flow was stopped by a failure"}


ORDERS = [("unlock", "expand", "carry_out", "unlock"),
          ("carry_out", "unlock"), ("admit", "unlock", "fold", "carry_out")]


@pytest.mark.parametrize("order", ORDERS)
def test_A4_nothing_that_hangs_on_the_failure_runs(
        db, worker, scheduler, order):
    flow, one = failing(db, worker)
    outside = db.enqueue("c", depends_on=[db.tasks(flow)["bad"].id],
                         depends_when="failed")
    for step in order:
        getattr(scheduler, step)()
        assert one.claim({"b": 9}, floors=False).ids == []
        assert db.invariants() == []
    settle(db, scheduler)
    none_ran(db, one, flow)
    assert one.claim({"c": 1}).ids == [outside]
    one.finish(db.tasks(flow)["worse"].id, outcome="c")
    settle(db, scheduler)
    assert db.flow_status(flow).state == "failed"


def test_A4_the_stop_is_stepped_over_and_nothing_runs_meanwhile(
        db, worker, scheduler):
    """Somebody holds the flow, then what hangs on the failure, then its place."""
    flow, one = failing(db, worker)
    tasks = db.tasks(flow)
    one.finish(tasks["worse"].id, outcome="b")
    other = db.session("musterd")
    for held in (f"muster.flow WHERE id = {flow}",
                 f"muster.task WHERE id = {tasks['f'].id}",
                 f"muster.blocked WHERE task_id = {tasks['f'].id}"):
        other.begin()
        other.run(f"SELECT FROM {held} FOR UPDATE")
        for _ in range(2):
            scheduler.carry_out()
            scheduler.unlock()
        assert one.claim({"b": 9}, floors=False).ids == []
        assert db.state(tasks["f"].id) == "blocked"
        other.commit()
    settle(db, scheduler)
    none_ran(db, one, flow)


def test_A4_the_stop_is_under_way_while_edges_are_told(
        db, worker, scheduler):
    flow, one = failing(db, worker)
    stopper = db.session("musterd")
    stopper.begin()
    stopper.run("SELECT muster.carry_out(1000)")
    scheduler.session.run("SET lock_timeout = '5 s'")
    scheduler.unlock()
    one.send_turn(want={"b": 9})
    one.session.wait_blocked()
    stopper.commit()
    assert one.answer().ids == []
    settle(db, scheduler)
    none_ran(db, one, flow)


def test_A4_two_failures_at_once(db, worker, scheduler):
    """Of two turns: the second commits after the stop for the first."""
    flow, one = failing(db, worker)
    tasks = db.tasks(flow)
    one.session.begin()
    one.finish(tasks["worse"].id, outcome="f", error="broke too")
    for _ in range(3):
        scheduler.carry_out()
        scheduler.unlock()
    one.session.commit()
    scheduler.unlock()
    assert one.claim({"b": 9}, floors=False).ids == []
    settle(db, scheduler)
    none_ran(db, one, flow)
    status = db.flow_status(flow)
    assert status.error == "bad: broke\nworse: broke too"


def test_A4_a_crash_that_stops_a_flow_frees_nothing(db, worker, scheduler):
    flow = db.flow({"bad": {"kind": "a"}, "worse": {"kind": "a"}, **WHENS},
                   on_failure="cancel")
    one, other = worker(), worker()
    one.claim({"a": 2})
    db.rows("SELECT * FROM muster.rescue(%s, 'crash', NULL, 0)", one.id)
    scheduler.unlock()
    assert other.claim({"b": 9}).ids == []
    settle(db, scheduler)
    none_ran(db, other, flow)
    assert db.flow_status(flow).state == "failed"


def test_A4_a_nested_flow_that_fails_frees_nothing(db, worker, scheduler):
    flow = db.flow({"bad": {"flow": {"tasks": {"x": {"kind": "a"}}}},
                    "worse": {"kind": "c"}, **WHENS}, on_failure="cancel")
    one = worker()
    scheduler.work()
    one.claim({"a": 1})
    one.finish_all("f")
    scheduler.fold()
    scheduler.unlock()
    settle(db, scheduler)
    none_ran(db, one, flow)


@pytest.mark.parametrize("how", ["before the stop", "after"])
def test_G2_a_retry_of_the_flow_waits_for_the_stop(
        db, worker, scheduler, how):
    flow, one = failing(db, worker)
    one.finish(db.tasks(flow)["worse"].id, outcome="b")
    if how == "after":
        scheduler.carry_out()
        scheduler.unlock()
    number = db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.unlock()
    assert one.claim({"b": 9}).ids == []
    settle(db, scheduler)
    assert db.one("SELECT done FROM muster.request_status(%s)", number)
    if db.flow_status(flow).finished_at:  # it had come before the end
        db.one("SELECT muster.retry_flow(%s)", flow)
        settle(db, scheduler)
    assert one.claim({"b": 9}, floors=False).ids == []
    assert len(one.claim({"a": 9}, floors=False).ids) == 2
    one.finish_all()
    settle(db, scheduler)
    assert db.states([row.id for row in db.tasks(flow).values()]) == {
        "succeeded": 2, "skipped": 2, "ready": 3, "running": 1}


def test_G2_a_retry_of_the_failed_task_waits_for_the_stop(
        db, worker, scheduler):
    flow, one = failing(db, worker)
    bad = db.tasks(flow)["bad"].id
    db.one("SELECT muster.retry(%s)", bad)
    scheduler.unlock()
    settle(db, scheduler)
    assert db.state(bad) == "ready"
    one.claim({"a": 1}, floors=False)
    one.finish(bad, outcome="f", error="again")  # in its second life
    settle(db, scheduler)
    none_ran(db, one, flow)
    one.finish(db.tasks(flow)["worse"].id, outcome="c")
    settle(db, scheduler)
    db.one("SELECT muster.retry_flow(%s)", flow)
    settle(db, scheduler)
    one.claim({"a": 9}, floors=False)
    one.finish(bad, outcome="f", error="once more")
    scheduler.unlock()
    assert one.claim({"b": 9}, floors=False).ids == []
    settle(db, scheduler)
    none_ran(db, one, flow)


def test_A4_a_second_failure_brings_nothing_back_in_a_stopped_flow(
        db, worker, scheduler):
    """The step was cancelled at first, which skipped what waits for its failure."""
    flow = db.flow({"bad": {"kind": "a"}, "more": {"kind": "c"}, "after": {
        "kind": "b", "needs": [{"task": "bad", "when": "failed"}]}},
        on_failure="cancel")
    tasks = db.tasks(flow)
    db.one("SELECT muster.cancel(%s)", tasks["bad"].id)
    settle(db, scheduler)
    assert db.state(tasks["after"].id) == "skipped"
    db.one("SELECT muster.retry(%s)", tasks["bad"].id)
    settle(db, scheduler)
    one = worker()
    one.claim({"a": 9})
    one.finish_all("f")
    settle(db, scheduler)
    assert db.state(tasks["after"].id) == "skipped"
    assert db.flow_status(flow).state == "failed"


def test_A4_one_with_many_needs_does_not_run_by_the_failure_of_one(
        db, worker, scheduler):
    """It looks at its needs by pieces, and meets the failed one before the stop."""
    count = db.one("SELECT muster.needs_at_once()") + 1
    flow = db.flow({f"s{i}": {"kind": "a"} for i in range(count)},
                   on_failure="cancel")
    ids = sorted(row.id for row in db.tasks(flow).values())
    one = worker()
    one.claim({"a": count})
    task = db.enqueue("b", flow_id=flow, depends_on=ids,
                      depends_when="failed", needs_mode="any")
    scheduler.admit()  # begins to wait
    one.finish(ids[0], outcome="f", error="broke")
    for _ in range(3):
        scheduler.admit()
    scheduler.unlock()
    assert one.claim({"b": 1}).ids == []
    settle(db, scheduler)
    assert db.state(task) == "cancelled"


# What a flow may say.

def test_B5_durations_of_a_flow(db):
    for text, ms in (("1h30m", 5400000), ("1w2d3h4m5s6ms", 788645006),
                     ("1.5h", 5400000), ("250ms", 250), ("2m", 120000),
                     (90, 90000), ("1m1ms", 60001)):
        flow = db.flow({"x": {"kind": "a", "timeout": text, "expect": text}})
        assert db.one("SELECT timeout_ms FROM muster.task "
                      "WHERE flow_id = %s", flow) == ms


def test_B5_what_no_task_may_have_is_refused_in_a_flow(db):
    for key, value, words in (
            ("timeout", "30m1h", "must be a duration"),
            ("timeout", "1h1h", "must be a duration"),
            ("timeout", "1.5h30m", "must be a duration"),
            ("timeout", "", "must be a duration"),
            ("max_attempts", 1000001, "must be at most 1000000"),
            ("max_attempts", 9999999, "must be at most 1000000")):
        with pytest.raises(psycopg2.Error, match=words):
            db.flow({"x": {"kind": "a", key: value}})
    db.flow({"x": {"kind": "a", "max_attempts": 1000000}})
