"""Inner steps of flows: a success that frees what alone depends on it is told to
that alone, and the flow knows it all the same."""

import functools

import pytest

DIAMOND = {"a": {"kind": "a"}, "b": {"kind": "b", "needs": ["a"]},
           "c": {"kind": "c", "needs": ["a"]},
           "z": {"kind": "z", "needs": ["b", "c"]}}
PAIR = {"a": {"kind": "a"}, "b": {"kind": "b"},
        "z": {"kind": "z", "needs": ["a", "b"]}}


@pytest.fixture
def crew(worker):
    """Makes workers of all kinds."""
    return functools.partial(worker, kinds=tuple("abcdefxyz"))


def counts(db, flow):
    row = db.flow_status(flow)
    assert db.invariants() == []
    return (row.state, row.total, row.open, row.succeeded, row.failed,
            row.cancelled, row.skipped)


def run(worker, kind, outcome="s"):
    """Claims all of this kind, and ends it so."""
    assert worker.claim({kind: 100}).ids
    worker.finish_all(outcome)


def uncounted(db):
    return db.one("SELECT count(*) FROM muster.flow_uncounted")


def task(db, flow, name):
    return db.tasks(flow)[name].id


def inner(db, flow):
    return {row.name for row in db.rows(
        "SELECT name FROM muster.task WHERE flow_id = %s AND sole < 0", flow)}


def to_the_end(db, worker, scheduler, flow):
    """Whatever is left of it; what is counted is what there is."""
    for _ in range(6):
        scheduler.work()
        counts(db, flow)
        if worker.claim(100).ids:
            worker.finish_all()
    status = counts(db, flow)
    assert db.flow_status(flow).finished_at is not None
    return status


def test_A4_inner_steps_are_told_to_nobody_and_counted(
        db, crew, scheduler):
    """From the first step to the last, for who looks and in what is told of
    the end; the flow's row is written once."""
    names = [f"b{i}" for i in range(8)]
    flow = db.flow({"a": {"kind": "a"}, "z": {"kind": "z", "needs": names},
                    **{name: {"kind": "b", "needs": ["a"]}
                       for name in names}})
    assert inner(db, flow) == {"a", *names}
    one = crew()
    for kind, done in (("a", 1), ("b", 9)):
        run(one, kind)
        assert uncounted(db) == 0 and scheduler.fold() == 0
        assert counts(db, flow) == ("running", 10, 10 - done, done, 0, 0, 0)
    run(one, "z")
    assert uncounted(db) == 1
    assert counts(db, flow) == ("running", 10, 0, 10, 0, 0, 0)
    told = db.session("musterd").run(
        "SELECT * FROM muster.fold_told(1000, true)")[0]
    assert (told.done, told.flow_id, told.state, told.total, told.succeeded,
            told.failed) == (2, flow, "succeeded", 10, 10, 0)
    assert counts(db, flow) == ("succeeded", 10, 0, 10, 0, 0, 0)


@pytest.mark.parametrize("steps", [100, 101])
def test_A4_only_small_flows_have_inner_steps(db, crew, scheduler, steps):
    """Of the others each end is counted, since to look at all of their steps
    would take too long."""
    names = [f"a{i}" for i in range(steps - 1)]
    flow = db.flow({"z": {"kind": "z", "needs": names},
                    **{name: {"kind": "a"} for name in names}})
    one = crew()
    run(one, "a")
    assert uncounted(db) == (0 if steps == 100 else 100)
    assert len(inner(db, flow)) == (99 if steps == 100 else 0)
    run(one, "z")
    scheduler.work()
    assert counts(db, flow) == ("succeeded", steps, 0, steps, 0, 0, 0)


def test_A4_steps_that_may_be_passed_over_are_no_inner_ones(
        db, crew, scheduler):
    """What runs without them, maps and nested flows, what has several
    dependents or none."""
    flow = db.flow({
        "a": {"kind": "a"}, "b": {"kind": "a"},
        "any": {"kind": "z", "needs": ["a", "b"], "needs_mode": "any"},
        "map": {"kind": "a", "map": [1, 2]},
        "after": {"kind": "z", "needs": ["map"]},
        "nested": {"flow": {"tasks": {"x": {"kind": "a"}, "y": {
            "kind": "z", "needs": ["x"]}}}, "needs": ["after"]},
        "two": {"kind": "a"}, "one": {"kind": "y", "needs": ["two"]},
        "other": {"kind": "z", "needs": ["two"]}})
    assert inner(db, flow) == {"after"}
    assert to_the_end(db, crew(), scheduler, flow) == (
        "succeeded", 9, 0, 9, 0, 0, 0)
    nested = db.one("SELECT flow_id FROM muster.container_plan "
                    "WHERE task_id = %s", task(db, flow, "nested"))
    assert inner(db, nested) == {"x"}
    assert counts(db, nested) == ("succeeded", 2, 0, 2, 0, 0, 0)


def test_A4_a_turn_of_inner_steps_others_and_plain_tasks(
        db, crew, scheduler):
    """With a failure and without; plain tasks are noted for their retention."""
    for outcome in "sf":
        plain = db.enqueue("a")
        flow = db.flow({**DIAMOND, "d": {"kind": "a"}, "e": {"kind": "a"},
                        "f": {"kind": "f", "needs": ["e"]}})
        one = crew()
        one.claim({"a": 4})
        failing = task(db, flow, "d")
        one.turn([(each, outcome if each == failing else "s",
                   {"error": "no"}) for each in one.held])
        assert uncounted(db) == 2
        assert [row.ids for row in db.rows(
            "SELECT ids FROM muster.finished WHERE ids IS NOT NULL "
            "ORDER BY at DESC LIMIT 1")] == [[plain]]
        status = to_the_end(db, one, scheduler, flow)
        assert status == (("succeeded", 7, 0, 7, 0, 0, 0) if outcome == "s"
                          else ("failed", 7, 0, 6, 1, 0, 0))


# What they free does not run.

@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("first", ["success", "skip"])
def test_A4_a_success_against_the_skip_of_what_it_frees(
        db, crew, scheduler, first, beside):
    """It is told to the flow if nothing waits for it any more; in a turn of
    successes and in one with a failure."""
    flow = db.flow(PAIR)
    one, other = crew(), crew()
    one.claim({"a": 1})
    other.claim({"b": 1})
    failing = beside and db.enqueue("c")
    one.claim({"c": 1})
    ends = [(each, "f", {"error": "no"}) if each == failing else (each, "s")
            for each in one.held]
    if first == "success":
        one.turn(ends)
        assert uncounted(db) == 0
        other.finish_all("f")
    else:
        other.finish_all("f")
        scheduler.work()
        assert counts(db, flow) == ("running", 3, 1, 0, 1, 0, 1)
        one.turn(ends)
        assert uncounted(db) == 1
    scheduler.work()
    assert counts(db, flow) == ("failed", 3, 0, 1, 1, 0, 1)


@pytest.mark.parametrize("first", ["success", "failure"])
def test_A4_a_success_and_a_failure_under_way_together(
        db, crew, scheduler, first):
    """The second waits for the row of what both of them are needed by."""
    flow = db.flow(PAIR)
    good, bad = crew(), crew()
    good.claim({"a": 1})
    bad.claim({"b": 1})
    ends = {good: [(task(db, flow, "a"), "s")],
            bad: [(task(db, flow, "b"), "f", {"error": "no"})]}
    before, after = (good, bad) if first == "success" else (bad, good)
    before.session.begin()
    before.turn(ends[before])
    after.send_turn(ends[after])
    after.session.wait_blocked()
    before.session.commit()
    after.answer()
    counts(db, flow)
    scheduler.work()
    assert counts(db, flow) == ("failed", 3, 0, 1, 1, 0, 1)


@pytest.mark.parametrize("first", ["success", "cancel"])
def test_F2_a_success_against_the_cancel_of_what_it_frees(
        db, crew, scheduler, first):
    """Both are under way: who comes second sees what the first has done."""
    flow = db.flow(PAIR)
    one = crew()
    one.claim({"a": 1})
    ends = [(task(db, flow, "a"), "s")]
    db.one("SELECT muster.cancel(%s)", task(db, flow, "z"))
    other = db.session("musterd")
    if first == "success":
        one.session.begin()
        one.turn(ends)
        scheduler.carry_out()
        one.session.commit()
    else:
        other.begin()
        assert other.one("SELECT muster.carry_out(100)") == 1
        one.send_turn(ends)
        one.session.wait_blocked()
        other.commit()
        one.answer()
        assert uncounted(db) == 2
    scheduler.work()
    assert counts(db, flow) == ("running", 3, 1, 1, 0, 1, 0)
    run(one, "b")
    scheduler.work()
    assert counts(db, flow) == ("cancelled", 3, 0, 2, 0, 1, 0)


@pytest.mark.parametrize("cancelled", [1, 3])
def test_F2_what_it_frees_is_a_set_of_which_tasks_are_cancelled(
        db, crew, scheduler, cancelled):
    """The row of the set stays where it is; nobody may be left in it."""
    names = ["b0", "b1", "b2"]
    flow = db.flow({"a": {"kind": "a"}, **{
        name: {"kind": "b", "needs": ["a"]} for name in names}})
    assert db.one("SELECT n FROM muster.blocked") == 3
    one = crew()
    one.claim({"a": 1})
    for name in names[:cancelled]:
        db.one("SELECT muster.cancel(%s)", task(db, flow, name))
    scheduler.work()
    assert counts(db, flow) == ("running", 4, 4 - cancelled, 0, 0,
                                cancelled, 0)
    one.finish_all()
    scheduler.work()
    left = 3 - cancelled
    assert counts(db, flow) == ("running" if left else "cancelled", 4, left,
                                1, 0, cancelled, 0)
    assert to_the_end(db, one, scheduler, flow) == (
        "cancelled", 4, 0, 1 + left, 0, cancelled, 0)


def test_F2_all_of_it_is_cancelled_while_an_inner_step_runs(
        db, crew, scheduler):
    flow = db.flow(DIAMOND)
    one = crew()
    run(one, "a")
    one.claim({"b": 1})
    db.one("SELECT muster.cancel_flow(%s)", flow)
    scheduler.work()
    assert counts(db, flow) == ("cancelling", 4, 1, 1, 0, 2, 0)
    one.finish_all()
    scheduler.work()
    assert counts(db, flow) == ("cancelled", 4, 0, 2, 0, 2, 0)


# What else depends on them.

@pytest.mark.parametrize("under_way", ["nothing", "success", "admission"])
@pytest.mark.parametrize("inside", [False, True])
def test_A2_a_success_against_another_edge(
        db, crew, scheduler, inside, under_way):
    """From then on there is another whom it tells, and its flow is told, too;
    that does not end before what the step frees there has ended."""
    flow = db.flow(PAIR)
    one = crew()
    one.claim({"a": 1})
    ends = [(task(db, flow, "a"), "s")]
    late = db.enqueue("c", depends_on=[task(db, flow, "a")],
                      flow_id=flow if inside else None)
    if under_way == "success":
        one.session.begin()
        one.turn(ends)
        scheduler.session.send("SELECT muster.admit(10)")
        scheduler.session.wait_blocked()
        one.session.commit()
        scheduler.session.answer()
    else:
        scheduler.session.begin()
        scheduler.admit()
        if under_way == "nothing":
            scheduler.session.commit()
            one.turn(ends)
        else:
            one.send_turn(ends)
            one.session.wait_blocked()
            scheduler.session.commit()
            one.answer()
    more = int(inside)
    assert db.state(late) == "ready"
    for _ in range(2):
        assert counts(db, flow) == (
            "running", 3 + more, 2 + more, 1, 0, 0, 0)
        scheduler.work()
    run(one, "b")
    scheduler.work()
    assert counts(db, flow) == ("running", 3 + more, 1 + more, 2, 0, 0, 0)
    run(one, "z")
    run(one, "c")
    scheduler.work()
    assert counts(db, flow) == (
        "succeeded", 3 + more, 0, 3 + more, 0, 0, 0)


# Again.

def test_G2_a_failed_inner_step_runs_again(db, crew, scheduler):
    """What failed is counted as ever, and so is its success in a later life."""
    flow = db.flow(PAIR)
    one = crew()
    run(one, "a", "f")
    scheduler.work()
    assert counts(db, flow) == ("running", 3, 1, 0, 1, 0, 1)
    run(one, "b")
    scheduler.work()
    assert counts(db, flow) == ("failed", 3, 0, 1, 1, 0, 1)
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.work()
    assert counts(db, flow) == ("running", 3, 2, 1, 0, 0, 0)
    run(one, "a")
    scheduler.work()
    assert counts(db, flow) == ("running", 3, 1, 2, 0, 0, 0)
    run(one, "z")
    scheduler.work()
    assert counts(db, flow) == ("succeeded", 3, 0, 3, 0, 0, 0)


def test_G2_an_inner_step_runs_again_after_what_it_frees(
        db, crew, scheduler):
    """All others have succeeded, and that it has not ended is seen."""
    flow = db.flow({"a": {"kind": "a"}, "z": {"kind": "z", "needs": [
        {"task": "a", "when": "finished"}]}})
    one = crew()
    run(one, "a", "f")
    run(one, "z")
    scheduler.work()
    assert counts(db, flow) == ("failed", 2, 0, 1, 1, 0, 0)
    db.one("SELECT muster.retry(%s)", task(db, flow, "a"))
    scheduler.work()
    assert counts(db, flow) == ("running", 2, 1, 1, 0, 0, 0)
    run(one, "a")
    scheduler.work()
    assert counts(db, flow) == ("succeeded", 2, 0, 2, 0, 0, 0)


@pytest.mark.parametrize("first", ["retry", "success"])
def test_G2_a_success_while_its_flow_is_retried(db, crew, scheduler, first):
    """What it frees was skipped for another, and comes back."""
    flow = db.flow(PAIR)
    one, other = crew(), crew()
    one.claim({"a": 1})
    run(other, "b", "f")
    scheduler.work()
    ends = [(task(db, flow, "a"), "s")]
    db.one("SELECT muster.retry_flow(%s)", flow)
    if first == "retry":
        scheduler.session.begin()
        assert scheduler.carry_out() > 0
        one.send_turn(ends)
        one.session.wait_blocked()
        scheduler.session.commit()
        one.answer()
    else:
        one.session.begin()
        one.turn(ends)
        scheduler.carry_out()
        one.session.commit()
    scheduler.work()
    assert counts(db, flow) == ("running", 3, 2, 1, 0, 0, 0)
    assert to_the_end(db, one, scheduler, flow) == (
        "succeeded", 3, 0, 3, 0, 0, 0)


def test_G2_a_set_that_lost_a_step_to_a_cancel_gets_it_back(
        db, crew, scheduler):
    """With an edge of its own to what the set waited for, which succeeded and
    is still counted."""
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"}, **{
        name: {"kind": "c", "needs": ["a", "b"]} for name in ("x", "y")}})
    one = crew()
    run(one, "a")
    db.one("SELECT muster.cancel(%s)", task(db, flow, "x"))
    scheduler.work()
    db.one("SELECT muster.retry(%s)", task(db, flow, "x"))
    scheduler.work()
    assert counts(db, flow) == ("running", 4, 3, 1, 0, 0, 0)
    assert to_the_end(db, one, scheduler, flow) == (
        "succeeded", 4, 0, 4, 0, 0, 0)


def test_G2_a_task_of_many_needs_is_retried(db, crew, scheduler):
    """Its edges are taken away; an inner step that it needs, and that had
    succeeded before, is still counted."""
    db.rows("CREATE OR REPLACE FUNCTION muster.needs_at_once() RETURNS int"
            " LANGUAGE sql IMMUTABLE AS 'SELECT 1'")
    flow = db.flow(PAIR)
    one = crew()
    run(one, "a")
    many = db.enqueue("c", depends_on=[task(db, flow, "a"),
                                       task(db, flow, "z")])
    db.one("SELECT muster.cancel(%s)", many)
    scheduler.work()
    db.one("SELECT muster.retry(%s)", many)
    scheduler.work()
    assert counts(db, flow) == ("running", 3, 2, 1, 0, 0, 0)
    assert to_the_end(db, one, scheduler, flow) == (
        "succeeded", 3, 0, 3, 0, 0, 0)
    assert db.state(many) == "succeeded"


# Deleted.

def test_G2_what_an_inner_step_frees_is_deleted(db, crew, scheduler):
    """Nothing else of the flow is open, and it goes on as long as that runs."""
    flow = db.flow(PAIR)
    one = crew()
    run(one, "a")
    one.claim({"b": 1})
    db.one("SELECT muster.delete(%s)", task(db, flow, "z"))
    scheduler.work()
    assert counts(db, flow) == ("running", 2, 1, 1, 0, 0, 0)
    one.finish_all()
    scheduler.work()
    assert counts(db, flow) == ("succeeded", 2, 0, 2, 0, 0, 0)


@pytest.mark.parametrize("when", ["running", "ended"])
def test_G2_an_inner_step_that_succeeded_is_deleted(
        db, crew, scheduler, when):
    """It is counted by nobody after that, before and after it is folded."""
    flow = db.flow(PAIR)
    one = crew()
    run(one, "a")
    if when == "ended":
        to_the_end(db, one, scheduler, flow)
    db.one("SELECT muster.delete(%s)", task(db, flow, "a"))
    scheduler.carry_out()
    scheduler.unlock()
    scheduler.carry_out()
    expected = (2, 2, 0) if when == "running" else (2, 0, 2)
    for _ in range(2):
        assert counts(db, flow)[1:4] == expected
        scheduler.fold()
    assert to_the_end(db, one, scheduler, flow) == (
        "succeeded", 2, 0, 2, 0, 0, 0)


# Of old.

def test_B5_a_flow_of_an_older_version_ends(db, crew, scheduler):
    """All of its steps tell of their ends."""
    flow = db.flow(PAIR)
    db.rows("UPDATE muster.task SET sole = abs(sole)")
    db.rows("UPDATE muster.flow SET inner_steps = 0, inner_to = NULL")
    one = crew()
    run(one, "a")
    assert uncounted(db) == 1
    assert to_the_end(db, one, scheduler, flow) == (
        "succeeded", 3, 0, 3, 0, 0, 0)


@pytest.mark.parametrize("harm", [
    # told to nobody, counted by nobody
    "UPDATE muster.task SET sole = NULL WHERE name = 'a'",
    "UPDATE muster.flow SET inner_to = inner_to - 1",
    # told, and counted all the same
    "UPDATE muster.flow SET succeeded = 1",
    "INSERT INTO muster.flow_ends (n, flows, states) SELECT 1, ARRAY[id], '{}' "
    "FROM muster.flow",
    # ended before its time, or not at all
    "UPDATE muster.flow SET finished_at = now()",
    "UPDATE muster.task SET state = 's' WHERE name <> 'a'",
    "UPDATE muster.flow SET inner_steps = inner_steps + 1"])
def test_invariants_of_inner_steps_are_found_when_broken(db, crew, harm):
    db.flow(PAIR)
    one = crew()
    run(one, "a")
    one.claim({"b": 1})
    assert db.invariants() == []
    session = db.session()
    session.begin()
    session.run(harm)
    found = session.run("SELECT invariant FROM muster.check_invariants()")
    session.rollback()
    assert 5 in {row.invariant for row in found}
