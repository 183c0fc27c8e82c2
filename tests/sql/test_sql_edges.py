"""Dependencies: conditions, skipping, admission, wide and deep graphs."""

import json
import random

import psycopg2
import pytest


def ended(one, task, outcome):
    one.finish(task, outcome=outcome, error=None if outcome == "s" else "no")


def sole(db, task):
    return db.one("SELECT abs(sole) FROM muster.task WHERE id = %s", task)


@pytest.mark.parametrize("when, outcome, state", [
    ("succeeded", "s", "ready"), ("succeeded", "f", "skipped"),
    ("finished", "s", "ready"), ("finished", "f", "ready"),
    ("failed", "s", "skipped"), ("failed", "f", "ready"),
])
@pytest.mark.parametrize("late", [False, True])
def test_A2_conditions(db, worker, scheduler, when, outcome, state, late):
    """`late`: the need had ended when the dependent was enqueued."""
    one = worker()
    need = db.enqueue("a")
    one.claim()
    if late:
        ended(one, need, outcome)
    task = db.enqueue("a", depends_on=[need], depends_when=when)
    assert db.state(task) == "arriving"
    scheduler.work()
    if not late:
        assert db.state(task) == "blocked"
        ended(one, need, outcome)
        scheduler.work()
    assert db.state(task) == state
    if state == "skipped":
        assert f"needs task {need}, which" in db.task(task).error


@pytest.mark.parametrize("when, state", [
    ("succeeded", "skipped"), ("finished", "ready"), ("failed", "skipped")])
def test_A2_cancelled_need(db, scheduler, when, state):
    need = db.enqueue("a")
    task = db.enqueue("a", depends_on=[need], depends_when=when)
    scheduler.work()
    db.one("SELECT muster.cancel(%s)", need)
    scheduler.work()
    assert db.state(task) == state


def test_A2_gathering_task_sees_every_outcome(db, worker, scheduler):
    flow = db.flow({
        "good": {"kind": "a"}, "bad": {"kind": "a"},
        "gather": {"kind": "b", "needs": [
            {"task": "good", "when": "finished"},
            {"task": "bad", "when": "finished"}]}})
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 5})
    one.finish(tasks["good"].id, result='{"n": 1e3}')
    one.finish(tasks["bad"].id, outcome="f", error="it broke")
    claimed, = one.claim({"b": 1}).tasks
    assert claimed.has_needs and claimed.id == tasks["gather"].id
    assert json.loads(db.one("SELECT muster.inputs(%s)", claimed.id)) == {
        "good": {"task": str(tasks["good"].id), "state": "succeeded",
                 "result": {"n": 1000}},
        "bad": {"task": str(tasks["bad"].id), "state": "failed",
                "result": None, "error": "it broke"}}


def test_inputs_without_needs_are_empty(db):
    assert db.one("SELECT muster.inputs(%s)", db.enqueue("a")) == "{}"


def test_inputs_of_many_are_limited_by_bytes(db, worker, scheduler):
    """Whole ones, in the order asked for, and one in any case."""
    need = db.enqueue("a")
    one = worker()
    one.claim()
    one.finish(need, result='"' + "x" * 1000 + '"')
    tasks = [db.enqueue("b", depends_on=[need]) for _ in range(6)]
    scheduler.work()

    def given(limit):
        rows = db.rows("SELECT * FROM muster.inputs_of(%s, %s)",
                       tasks[::-1], limit)
        assert all(json.loads(row.inputs) for row in rows)
        return [row.task for row in rows]
    assert given(10 ** 6) == tasks[::-1]
    assert given(2500) == tasks[:2:-1]
    assert given(0) == given(-1) == tasks[:4:-1]


def test_A3_routes_of_a_claim_may_share_a_bound(db, worker):
    """-1 bounds the routes after it, -2 some of them."""
    one = worker()
    db.enqueue_many("a", 9)
    db.enqueue_many("b", 9)
    db.enqueue_many("c", 9)
    a, b, c = (one.routes["default", kind] for kind in "abc")

    def got(routes, wants):
        one.session.begin()
        rows = one.session.run(
            "SELECT route FROM muster.turn(%s, '{}', '{}', '', '{}', '{}', "
            "'{}', '{}', %s, %s, 100, 10000, '{}', '{}', '{}', '{}') "
            "WHERE what = 'c'", one.id, routes, wants)
        one.session.rollback()
        found = [row.route for row in rows]
        return found.count(a), found.count(b), found.count(c)
    assert got([a, b, c], [5, 5, 5]) == (5, 5, 5)
    first, second, third = got([-1, a, b, -1, c], [7, 5, 5, 8, 20])
    assert first + second == 7 and max(first, second) == 5 and third == 8
    first, second, third = got([-1, -2, a, b, -2, c], [8, 3, 5, 5, 9, 7])
    assert first + second <= 3 and first + second + third == 8
    assert third <= 7


def test_A2_needs_settled_at_admission_stay_known(db, worker, scheduler):
    need = db.enqueue("a")
    one = worker()
    one.claim()
    one.finish(need, result='"here"')
    task = db.enqueue("a", depends_on=[need, need])
    scheduler.work()
    assert one.claim().ids == [task]
    assert json.loads(db.one("SELECT muster.inputs(%s)", task))[str(need)][
        "result"] == "here"
    assert db.rows("SELECT needs_id, needs_when FROM muster.task_needs "
                   "WHERE task_id = %s", task) == [(need, "succeeded")]


def test_A2_dependents_in_the_same_transaction_in_any_order(
        db, worker, scheduler):
    client = db.session("app")
    client.begin()
    first = client.one("SELECT muster.enqueue('a')")
    second = client.one("SELECT muster.enqueue('a', depends_on => ARRAY[%s])",
                        first)
    third = client.one("SELECT muster.enqueue('a', depends_on => "
                       "ARRAY[%s, %s])", second, first)
    client.commit()
    scheduler.work()
    one = worker()
    for expected in (first, second, third):
        assert one.claim().ids == [expected]
        one.finish_all()


def test_A2_a_step_with_one_dependent_gets_another(db, worker, scheduler):
    """What a step alone frees stands in its own row, until there is more."""
    flow = db.flow({"need": {"kind": "a"}, "other": {"kind": "a"},
                    "one": {"kind": "b", "needs": ["need"]},
                    "two": {"kind": "b", "needs": ["other"]}})
    tasks = db.tasks(flow)
    assert sole(db, tasks["need"].id) == tasks["one"].id
    assert sole(db, tasks["one"].id) is None
    late = db.enqueue("c", depends_on=[tasks["need"].id])
    scheduler.work()
    assert sole(db, tasks["need"].id) is None
    assert sole(db, tasks["other"].id) == tasks["two"].id
    one = worker()
    one.claim({"a": 2})
    one.finish_all()
    assert {db.state(task) for task in (
        tasks["one"].id, tasks["two"].id, late)} == {"ready"}


@pytest.mark.parametrize("outcome, states", [
    ("s", ["ready", "skipped"]), ("f", ["skipped", "ready"])])
def test_A2_one_dependent_that_waits_for_a_failure(
        db, worker, scheduler, outcome, states):
    flow = db.flow({
        "up": {"kind": "a"}, "down": {"kind": "a"},
        "works": {"kind": "b", "needs": ["up"]},
        "mends": {"kind": "b", "needs": [
            {"task": "down", "when": "failed"}]}})
    tasks = db.tasks(flow)
    assert sole(db, tasks["up"].id) == tasks["works"].id
    assert sole(db, tasks["down"].id) is None
    one = worker()
    one.claim({"a": 2})
    one.finish_all(outcome=outcome)
    scheduler.work()
    assert [db.state(tasks[name].id) for name in ("works", "mends")] == states


def test_A2_skips_run_down_a_chain(db, worker, scheduler):
    flow = db.flow({"s0": {"kind": "a"}, **{
        f"s{n}": {"kind": "a", "needs": [f"s{n - 1}"]}
        for n in range(1, 20)}})
    one = worker()
    one.claim()
    one.finish_all("f")
    scheduler.work()
    assert db.states() == {"failed": 1, "skipped": 19}
    status = db.flow_status(flow)
    assert (status.state, status.failed, status.skipped, status.open) == (
        "failed", 1, 19, 0)


def test_A2_task_with_a_time_waits_for_it_after_its_needs(
        db, worker, scheduler):
    need = db.enqueue("a")
    task = db.one("SELECT muster.enqueue('a', depends_on => ARRAY[%s], "
                  "run_at => clock_timestamp() + interval '1 h')", need)
    scheduler.work()
    one = worker()
    one.claim()
    one.finish(need)
    assert db.state(task) == "scheduled"


def test_A2_one_batch_settles_all_needs_of_a_dependent(db, worker, scheduler):
    needs = db.enqueue_many("a", 50)
    task = db.enqueue("b", depends_on=needs)
    scheduler.work()
    one = worker()
    one.claim({"a": 100})
    assert db.one("SELECT need FROM muster.blocked") == 50
    one.finish(*needs[:30])
    assert db.one("SELECT need FROM muster.blocked") == 20
    one.finish_all()
    assert one.claim({"b": 1}).ids == [task]


def apart(n):
    """What no two of some thousand have in common: each has a row of its own."""
    return {"kind": "bcd"[n % 3], "priority": n // 3 - 1000}


def test_wide_fan_out_is_settled_in_pieces(db, worker, scheduler):
    flow = db.flow({"root": {"kind": "a"}, **{
        f"leaf{n}": {**apart(n), "needs": ["root"]} for n in range(5000)}})
    one = worker()
    one.claim({"a": 1})
    one.finish_all()
    assert db.one("SELECT count(*) FROM muster.ready") == 2000
    assert db.one("SELECT count(*) FROM muster.remainder") == 1
    assert db.invariants() == []
    assert db.state(db.tasks(flow)["root"].id) == "succeeded"
    while scheduler.unlock(700):
        assert db.invariants() == []
    assert db.one("SELECT count(*) FROM muster.ready") == 5000


def test_many_wide_needs_end_in_one_turn(db, worker, scheduler):
    """Remainders of several needs at once, each with its cursor."""
    tasks = {f"root{r}": {"kind": "a"} for r in range(4)}
    for n in range(1500):
        tasks[f"leaf{n}"] = {**apart(n), "needs": [
            {"task": f"root{r}", "when": "finished"} for r in range(4)]}
    db.flow(tasks)
    one = worker()
    ids = one.claim({"a": 4}).ids
    one.turn([(ids[0], "s"), (ids[1], "f"), (ids[2], "s"), (ids[3], "f")])
    assert db.invariants() == []
    while scheduler.unlock(333):
        assert db.invariants() == []
    assert db.one("SELECT count(*) FROM muster.ready") == 1500


def test_failed_need_of_many_skips_them_in_pieces(db, worker, scheduler):
    db.flow({"root": {"kind": "a"}, **{
        f"leaf{n}": {"kind": "b", "needs": ["root"]} for n in range(3000)}})
    one = worker()
    one.claim({"a": 1})
    one.finish_all("f")
    assert db.invariants() == []
    while scheduler.unlock(700):
        assert db.invariants() == []
    assert db.states() == {"failed": 1, "skipped": 3000}


def test_need_that_was_purged_is_no_success(db, worker, scheduler):
    """A client with an old snapshot names a task that is gone meanwhile."""
    client = db.session("app", "repeatable read")
    need = db.enqueue("a")
    client.begin()
    client.run("SELECT count(*) FROM muster.task_status")
    one = worker()
    one.claim()
    one.finish(need)
    db.rows("SELECT muster.purge(1000, '{\"\"}', '{0}')")
    task = client.one("SELECT muster.enqueue('a', depends_on => ARRAY[%s])",
                      need)
    client.commit()
    scheduler.work()
    assert db.task(task).error == f"needs task {need}, which does not exist"


# Flows, as they are submitted.

def test_B5_lanes_follow_the_longest_remaining_path(db):
    flow = db.flow({
        "a": {"kind": "a"}, "b": {"kind": "a", "needs": ["a"]},
        "c": {"kind": "a", "needs": ["b"], "expect": "6s"},
        "d": {"kind": "a"}})
    lanes = dict(db.rows("SELECT name, lane FROM muster.task "
                         "WHERE flow_id = %s", flow))
    assert lanes == {"a": 0, "b": 1, "c": 2, "d": 6}


def test_B5_lanes_part_a_flow_by_its_own_tasks(db):
    """A path that is far longer than all others leaves them lanes of their
    own; equal paths share one."""
    flow = db.flow({"long": {"kind": "a", "expect": "1d"}, **{
        f"{name}{length}": {"kind": "a", "expect": f"{length}s"}
        for length in range(1, 101) for name in "xy"}})
    lanes = dict(db.rows("SELECT name, lane FROM muster.task "
                         "WHERE flow_id = %s", flow))
    short = [lanes[f"x{length}"] for length in range(100, 0, -1)]
    assert lanes["long"] == 0 and short == sorted(short)
    assert short == [lanes[f"y{length}"] for length in range(100, 0, -1)]
    assert set(short) == set(range(1, 8))


def test_A6_the_longest_path_comes_first_within_a_lane_too(db, worker):
    """Its tasks become ready at once, and are so near each other in length
    that they share lanes; a need has a lower id than what needs it."""
    lengths = random.Random(6).sample(range(1000, 1100), 100)
    flow = db.flow({"last": {"kind": "a", "needs": [f"x{length}" for length
                                                    in lengths]},
                    **{f"x{length}": {"kind": "a", "needs": ["first"],
                                      "expect": f"{length}s"}
                       for length in lengths},
                    "first": {"kind": "a"}})
    wanted = (["first"]
              + [f"x{length}" for length in sorted(lengths, reverse=True)]
              + ["last"])
    assert [row.name for row in db.rows(
        "SELECT name FROM muster.task WHERE flow_id = %s ORDER BY id",
        flow)] == wanted
    one = worker()
    one.finish(*one.claim().ids)
    assert [row.name for row in db.rows(
        "SELECT t.name FROM muster.ready r JOIN muster.task t"
        " ON t.id BETWEEN r.task_id AND r.task_id + r.n - 1"
        " ORDER BY r.lane, r.seq, t.id")] == wanted[1:-1]


def test_A6_a_worker_hears_how_urgent_its_tasks_are(db, worker):
    one = worker()
    db.enqueue("a")
    assert [task.seq for task in one.claim().tasks] == [None]
    db.flow({"long": {"kind": "b", "expect": "9s"},
             "short": {"kind": "a", "expect": "1s"}})
    urgent = db.enqueue("a", priority=2)
    plain = db.enqueue("c")
    db.flow({"x": {"kind": "c"}})
    lanes = dict(db.rows("SELECT id, 9 * rank + lane FROM muster.task"
                         " WHERE state IS NULL"))
    got = {task.id: task.seq for task in one.claim(want=9).tasks
           if task.id in lanes}
    assert got == {task: lanes[task] for task in got}
    assert got[urgent] == -18 + 8 and got[plain] == 8
    assert sorted(got.values())[:2] == [-10, 0] and len(got) == 5


def test_A6_a_worker_hears_how_long_steps_are_expected_to_take(db, worker):
    db.flow({"x": {"kind": "a", "expect": "2.5s"}, "y": {"kind": "a"}})
    db.enqueue("a")
    told = [task.expect_ms for task in worker().claim().tasks]
    assert sorted(told, key=str) == [2500, None, None]


def test_A1_independent_tasks_of_a_flow_are_ready_together(db, worker):
    db.flow({name: {"kind": "a"} for name in ("x", "y", "z")})
    assert len(worker().claim().ids) == 3


@pytest.mark.parametrize("tasks, words", [
    ({"a": {"kind": "a", "needs": ["a"]}}, 'cycle of needs: "a" <- "a"'),
    ({"a": {"kind": "a", "needs": ["c"]}, "b": {"kind": "a", "needs": ["a"]},
      "c": {"kind": "a", "needs": ["b"]}, "d": {"kind": "a"},
      "e": {"kind": "a", "needs": ["c"]}, "f": {"kind": "a", "needs": ["d"]},
      }, 'cycle of needs: "(a|b|c)" <- "(a|b|c)" <- "(a|b|c)" <- '),
    ({"a": {"kind": "a", "needs": ["zz"]}}, 'task "a": needs "zz", which is'),
    ({"b": {"kind": "a"}, "a": {"kind": "a", "needs": ["b", "b"]}},
     'task "a": needs "b" twice'),
    ([{"name": "a", "kind": "a"}, {"name": "a", "kind": "b"}],
     'task "a": stands there twice'),
    ([{"kind": "a"}], "task number 1 has no name"),
    ({"a": {"kind": "a", "colour": 1}}, 'task "a": colour: 1 is not known'),
    ({"a": {}}, 'task "a": has no kind'),
    ({"a": 5}, 'task "a": must be an object'),
    ({"a": {"kind": 5}}, 'task "a": kind: 5 must be a string'),
    ({"a": {"kind": "x y"}}, "a kind may not be named"),
    ({"a": {"kind": "a", "priority": 1.5}}, "must be a whole number"),
    ({"a": {"kind": "a", "priority": 1001}}, "between -1000 and 1000"),
    ({"a": {"kind": "a", "max_attempts": 0}}, "must be at least 1"),
    ({"a": {"kind": "a", "timeout": "soon"}}, "must be a duration"),
    ({"a": {"kind": "a", "run_at": "soon"}}, "must be a time"),
    ({"a": {"kind": "a", "needs": "b"}}, "must be a list"),
    ({"a": {"kind": "a", "needs": [5]}}, "needs 5: must be a name"),
    ({"b": {"kind": "a"}, "a": {"kind": "a", "needs": [
        {"task": "b", "when": "never"}]}}, 'needs "b" when "never"'),
    ({}, "a flow without tasks"),
])
def test_B5_wrong_flows_are_refused_and_nothing_is_stored(db, tasks, words):
    with pytest.raises(psycopg2.Error, match=words) as caught:
        db.flow(tasks)
    assert caught.value.pgcode == "MU003"
    assert db.one("SELECT count(*) FROM muster.task") == 0


@pytest.mark.parametrize("more, words", [
    ({"on_failure": "explode"}, "on_failure is"), ({"colour": 1}, "colour"),
    ({"flow": 5}, "flow is its name")])
def test_B5_wrong_outermost_keys(db, more, words):
    with pytest.raises(psycopg2.Error, match=words):
        db.rows("SELECT muster.submit_flow(%s)", json.dumps(
            {"tasks": {"a": {"kind": "a"}}, **more}))


def test_B5_order_of_a_list_is_kept(db):
    flow = db.flow([{"name": name, "kind": "a"} for name in "zyxabc"])
    names = [row[0] for row in db.rows(
        "SELECT name FROM muster.task WHERE flow_id = %s ORDER BY id", flow)]
    assert names == list("zyxabc")


@pytest.mark.parametrize("shape", ["tree", "chain", "fan-in"])
def test_B5_flow_of_100000_tasks(db, shape):
    need = {"tree": "jsonb_build_array('t' || i / 2)",
            "chain": "jsonb_build_array('t' || (i - 1))",
            "fan-in": "'[]'::jsonb"}[shape]
    first = ("(SELECT jsonb_agg('t' || n) FROM generate_series(2, 100000) n)"
             if shape == "fan-in" else "'[]'::jsonb")
    flow = db.one(
        "SELECT muster.submit_flow(jsonb_build_object('flow', 'big', 'tasks',"
        " (SELECT jsonb_object_agg('t' || i, jsonb_build_object('kind', 'a', "
        f"'needs', CASE WHEN i = 1 THEN {first} ELSE {need} END)) "
        "FROM generate_series(1, 100000) i)))")
    assert db.flow_status(flow).open == 100000
    assert db.one("SELECT count(*) FROM muster.ready") == (
        99999 if shape == "fan-in" else 1)


def test_B5_cycle_among_100000_tasks_is_found(db):
    with pytest.raises(psycopg2.Error, match="cycle of needs"):
        db.rows("SELECT muster.submit_flow(jsonb_build_object('tasks', "
                "(SELECT jsonb_object_agg('t' || i, jsonb_build_object("
                "'kind', 'a', 'needs', jsonb_build_array('t' || "
                "(i % 100000 + 1)))) FROM generate_series(1, 100000) i)))")


def test_task_joins_a_running_flow(db, worker, scheduler):
    flow = db.flow({"x": {"kind": "a"}})
    task = db.enqueue("b", flow_id=flow)
    scheduler.work()
    assert db.flow_status(flow).total == 2
    one = worker()
    one.claim({"a": 1})
    one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).state == "running"
    assert one.claim({"b": 1}).ids == [task]
    one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded"


def test_task_that_joins_an_ended_flow_is_cancelled(db, worker, scheduler):
    flow = db.flow({"x": {"kind": "a"}})
    one = worker()
    one.claim()
    one.finish_all()
    scheduler.work()
    task = db.enqueue("b", flow_id=flow)
    scheduler.work()
    assert db.task(task).error == f"flow {flow} had ended"
    assert db.invariants() == []
