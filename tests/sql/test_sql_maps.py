"""Maps and nested flows: what is created, in which order, how it ends, is
cancelled, retried and purged; and what may come in between."""

import json

import psycopg2
import pytest

from support.wait import wait_until

ITEM = {"kind": "a"}


def mapped(over, **more):
    """A flow of one map over a literal list."""
    step = {**ITEM, **{key: more.pop(key) for key in ("chunk", "payload")
                       if key in more}}
    return {"m": {**step, "map": {"over": over, **more} if more else over}}


def items(db, task):
    return db.rows("SELECT * FROM muster.map_items WHERE map_id = %s "
                   "ORDER BY index", task)


def child(db, task):
    return db.one("SELECT flow_id FROM muster.containers WHERE task_id = %s",
                  task)


def work(worker, scheduler, fail=lambda payload: False, result=None,
         rounds=100):
    """Runs all there is to run; the payloads in the order of their start."""
    seen = []
    for _ in range(rounds):
        scheduler.work()
        claimed = worker.claim(50).tasks
        if not claimed:
            return seen
        ended = []
        for task in claimed:
            payload = json.loads(task.payload)
            seen.append(payload)
            bad = fail(payload)
            ended.append((task.id, "f", {"error": "bad item"}) if bad else (
                task.id, "s", {"result": json.dumps(
                    result(payload) if result else payload)}))
        worker.turn(ended)
    raise AssertionError("there is always more")


def verdict(db, scheduler, verb, target):
    number = db.one(f"SELECT muster.{verb}(%s)", target)
    scheduler.work()
    return db.one("SELECT verdict FROM muster.request_status(%s)", number)


# What a map makes of its list.

def test_A5_map_over_a_literal_list_gathers_in_order(db, worker, scheduler):
    flow = db.flow({**mapped(["x", {"y": 1}, None], payload={"p": 1}),
                    "after": {"kind": "b", "needs": ["m"]}})
    one = worker()
    scheduler.work()
    tasks = db.tasks(flow)
    assert (tasks["m"].state, tasks["m"].kind, tasks["m"].queue) == (
        "running", "map", "-")
    assert tasks["after"].state == "blocked"
    assert not db.invariants()
    seen = work(one, scheduler, result=lambda payload: payload.get("index"))
    assert seen == [{"p": 1, "item": "x", "index": 0},
                    {"p": 1, "item": {"y": 1}, "index": 1},
                    {"p": 1, "item": None, "index": 2}, {}]
    assert db.tasks(flow)["m"].result == [0, 1, 2]
    assert db.flow_status(flow).state == "succeeded"
    assert [row.index for row in items(db, tasks["m"].id)] == [0, 1, 2]
    assert not db.invariants()


@pytest.mark.parametrize("chunk, sizes", [(1, [1] * 7), (3, [3, 3, 1]),
                                          (7, [7]), (1000, [7])])
def test_A5_chunks_of_a_result(db, worker, scheduler, chunk, sizes):
    flow = db.flow({"list": {"kind": "b"}, "m": {
        **ITEM, "needs": ["list"], "map": {"from": "list"}, "chunk": chunk}})
    one = worker()
    one.claim({"b": 1})
    one.turn([(db.tasks(flow)["list"].id, "s",
               {"result": json.dumps(list(range(7)))})])
    seen = work(one, scheduler, result=lambda payload: payload["items"])
    assert [len(payload["items"]) for payload in seen] == sizes
    assert sum((payload["items"] for payload in seen), []) == list(range(7))
    assert [payload["index"] for payload in seen] == [
        sum(sizes[:i]) for i in range(len(sizes))]
    assert sum(db.tasks(flow)["m"].result, []) == list(range(7))


def test_A5_an_empty_list_succeeds_at_once(db, worker, scheduler):
    flow = db.flow({**mapped([]), "after": {"kind": "b", "needs": ["m"]}})
    scheduler.work()
    task = db.tasks(flow)["m"]
    assert (task.state, task.result) == ("succeeded", [])
    assert worker().claim({"b": 1}).ids == [db.tasks(flow)["after"].id]


@pytest.mark.parametrize("result, words", [
    ("{\"a\": 1}", "is no list to map over, but an object"),
    ("7", "is no list to map over, but number"),
    (None, "is no list to map over, but null")])
def test_A5_what_is_no_list_fails_the_map(db, worker, scheduler, result,
                                          words):
    flow = db.flow({"list": {"kind": "b"}, "m": {
        **ITEM, "needs": ["list"], "map": {"from": "list"}}})
    one = worker()
    one.claim({"b": 1})
    one.turn([(db.tasks(flow)["list"].id, "s", {"result": result})])
    scheduler.work()
    task = db.tasks(flow)["m"]
    assert task.state == "failed" and words in task.error
    assert words in db.flow_status(flow).error


def test_A5_a_list_of_a_need_that_failed_fails_the_map(db, worker, scheduler):
    flow = db.flow({"list": {"kind": "b"}, "m": {
        **ITEM, "needs": [{"task": "list", "when": "finished"}],
        "map": {"from": "list"}}})
    one = worker()
    one.claim({"b": 1})
    one.finish_all("f")
    scheduler.work()
    assert db.tasks(flow)["m"].error == (
        '"list", whose result is to be mapped over, failed')


def test_A5_an_item_over_max_payload_is_refused(db, worker, scheduler):
    """At once, or where its flow is inside another, when that is opened."""
    db.rows("SELECT muster.set_setting('max_payload', '100')")
    with pytest.raises(psycopg2.Error, match="over max_payload"):
        db.flow(mapped(["x" * 200]))
    flow = db.flow({"in": {"flow": {"tasks": mapped(["x" * 200])}}})
    scheduler.work()
    assert "over max_payload" in db.tasks(flow)["in"].error
    assert not db.invariants()


def test_A5_more_than_fits_is_left_where_it_is(db, worker, scheduler):
    flow = db.flow(mapped([1, 2]))
    seen = work(worker(), scheduler, result=lambda _: "x" * 600000)
    task = db.tasks(flow)["m"]
    assert len(seen) == 2 and task.result["gathered"] is False
    assert task.result["tasks"] == 2
    assert [len(row.result) for row in db.rows(task.result["see"])] == [
        600000] * 2


def test_A5_attributes_are_those_of_the_items(db, worker, scheduler):
    flow = db.flow({"m": {"kind": "a", "map": [1], "priority": 7,
                          "max_attempts": 3, "timeout": "5s"}})
    scheduler.work()
    item = items(db, db.tasks(flow)["m"].id)[0].task_id
    row = db.one("SELECT rank, max_attempts, timeout_ms FROM muster.task "
                 "WHERE id = %s", item)
    assert tuple(row) == (-7, 3, 5000)


def test_A5_at_most_so_many_at_a_time(db, worker, scheduler):
    db.flow(mapped(list(range(57)), max_running=10))
    one = worker()
    seen = 0
    while seen < 57:
        scheduler.work()
        assert not db.invariants()
        open_now = db.one("SELECT count(*) FROM muster.task "
                          "WHERE name LIKE '[%' AND state IS NULL")
        assert open_now == min(10, 57 - seen)
        got = one.claim(3).ids
        one.finish(*got)
        seen += len(got)
    scheduler.work()
    assert db.wait_done() == {"succeeded": 58}


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_A5_bounded_work_a_call(db, worker, scheduler, limit):
    """A list from a result in several pages, however little a call takes."""
    flow = db.flow({"list": {"kind": "b"}, "m": {
        **ITEM, "needs": ["list"], "map": {"from": "list"}, "chunk": 3}})
    one = worker()
    one.claim({"b": 1})
    one.turn([(db.tasks(flow)["list"].id, "s",
               {"result": json.dumps(list(range(1000)))})])
    scheduler.unlock()
    task, before = db.tasks(flow)["m"].id, 0
    for _ in range(2000):
        if not scheduler.expand(limit):
            break
        count = len(items(db, task)) if db.one(
            "SELECT flow_id IS NOT NULL FROM muster.container_plan "
            "WHERE task_id = %s", task) else 0
        assert count - before <= max(limit // 3, 1)
        before = count
        assert limit > 1 or before < 30 or not db.invariants()
        if limit == 1 and before >= 30:
            break
    assert limit == 1 or before == 334
    assert db.one("SELECT count(*) FROM muster.map_page") == (
        0 if limit > 1 else 5)


def test_A5_the_scheduler_is_fair_to_several_maps(db, scheduler):
    flow = db.flow({"a": {"kind": "a", "map": list(range(500))},
                    "b": {"kind": "b", "map": list(range(10))}})
    for _ in range(3):
        scheduler.expand(30)
    assert len(items(db, db.tasks(flow)["b"].id)) == 10


# Nested flows.

NESTED = {"outer": {"kind": "c"}, "in": {
    "needs": ["outer"], "priority": 4,
    "flow": {"tasks": {"outer": {"kind": "a"}, "in": {
        "flow": {"tasks": {"x": {"kind": "b"}}}, "needs": ["outer"]}}}},
    "end": {"kind": "c", "needs": ["in"]}}


def test_A4_a_flow_in_a_flow_in_a_flow(db, worker, scheduler):
    flow = db.flow(NESTED)
    one = worker()
    for kind, states in [("c", "outer"), ("a", "in"), ("b", "in"),
                         ("c", "end")]:
        scheduler.work()
        assert not db.invariants()
        assert len(one.claim({kind: 5}).ids) == 1
        one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded"
    tasks = db.tasks(flow)
    assert tasks["in"].kind == "flow"
    assert db.one("SELECT count(*) FROM muster.task WHERE rank = -4") == 4
    assert tasks["in"].result == {"in": {"x": None}}


def test_A4_a_failure_inside_names_itself_outside(db, worker, scheduler):
    flow = db.flow(NESTED)
    work(worker(), scheduler, fail=lambda _: db.one(
        "SELECT count(*) FROM muster.task WHERE name = 'x'") > 0)
    tasks = db.tasks(flow)
    assert tasks["in"].state == "failed" and tasks["end"].state == "skipped"
    assert tasks["in"].error == (
        "1 of 2 failed: in: 1 of 1 failed: x: bad item")
    assert "x: bad item" in db.flow_status(flow).error


def test_A4_on_failure_cancel_inside_stops_only_the_inside(
        db, worker, scheduler):
    flow = db.flow({"in": {"flow": {"on_failure": "cancel", "tasks": {
        "x": {"kind": "a"}, "y": {"kind": "b"}}}}, "other": {"kind": "c"}})
    one = worker()
    scheduler.work()
    one.claim({"a": 1})
    one.finish_all("f")
    scheduler.work()
    tasks = db.tasks(flow)
    assert tasks["in"].state == "failed" and tasks["other"].state == "ready"
    assert db.tasks(child(db, tasks["in"].id))["y"].state == "cancelled"


def nest(depth):
    flow = {"tasks": {"x": {"kind": "a"}}}
    for _ in range(depth - 1):
        flow = {"tasks": {"x": {"flow": flow}}}
    return flow["tasks"]


def test_A4_sixteen_deep_and_no_deeper(db, worker, scheduler):
    flow = db.flow(nest(16))
    assert len(work(worker(), scheduler)) == 1
    assert db.flow_status(flow).state == "succeeded"
    with pytest.raises(psycopg2.Error, match="16 deep"):
        db.flow(nest(17))


@pytest.mark.parametrize("step, words", [
    ({"kind": "a", "chunk": 2}, "a chunk and no map"),
    ({"map": [1]}, "has no kind"),
    ({"kind": "a", "map": 7}, "must be a list or"),
    ({"kind": "a", "map": {"from": "x", "over": [1]}}, "either from or over"),
    ({"kind": "a", "map": {}}, "either from or over"),
    ({"kind": "a", "map": {"from": "x"}}, "not among its needs"),
    ({"kind": "a", "map": {"over": 1}}, "over must be a list"),
    ({"kind": "a", "map": {"over": [], "max": 1}}, "unknown key \"max\""),
    ({"kind": "a", "map": {"over": [], "max_running": 0}}, "max_running"),
    ({"kind": "a", "map": {"over": [], "on_failure": "x"}}, "on_failure"),
    ({"kind": "a", "map": [], "chunk": 1.5}, "chunk: must be"),
    ({"kind": "a", "map": [], "payload": [1]}, "payload: must be an object"),
    ({"kind": "a", "map": [], "queue": "-"}, "maps and nested flows"),
    ({"kind": "a", "queue": "-"}, "maps and nested flows"),
    ({"kind": "a", "flow": {"tasks": {"y": {"kind": "a"}}}},
     "has flow and kind"),
    ({"flow": 7}, "a flow is an object"),
    ({"flow": {"tasks": {}}}, "without tasks"),
    ({"flow": {"tasks": {"y": {}}}}, 'task "y": has no kind'),
    ({"flow": {"tasks": {"y": {"kind": "a b"}}}}, "may not be named"),
    ({"flow": {"tasks": {"y": {"kind": "a", "needs": ["y"]}}}}, "a cycle"),
    ({"flow": {"tasks": {"y": {"kind": "a", "needs": ["x"]}}}},
     "not in the flow"),
])
def test_A5_A4_what_is_wrong_is_refused_by_name(db, step, words):
    with pytest.raises(psycopg2.Error) as caught:
        db.flow({"z": {"kind": "a"}, "x": step})
    assert caught.value.pgcode == "MU003"
    assert words in str(caught.value), caught.value
    assert 'task "x"' in str(caught.value) or "queue" in words \
        or "maps and" in words


@pytest.mark.parametrize("call", [
    "SELECT muster.enqueue('map', queue => '-')",
    "SELECT muster.enqueue_many('map', '{1}', queue => '-')",
    "SELECT muster.pause('-')",
    "SELECT * FROM muster.worker_register(1, 'i', 'h', 1, '0', '{-}', "
    "'{map}')"])
def test_nobody_else_uses_the_queue_of_containers(db, scheduler, call):
    db.flow(mapped([1]))
    scheduler.work()
    with pytest.raises(psycopg2.Error, match="maps and nested flows"):
        db.rows(call)


# Failing, cancelling, retrying.

def test_A5_failures_are_named_and_the_rest_goes_on(db, worker, scheduler):
    flow = db.flow(mapped(list(range(5))))
    work(worker(), scheduler, fail=lambda payload: payload["item"] in (1, 3))
    task = db.tasks(flow)["m"]
    assert task.error == "2 of 5 failed: [1]: bad item\n[3]: bad item"
    assert db.states([row.task_id for row in items(db, task.id)]) == {
        "succeeded": 3, "failed": 2}


def test_A4_on_failure_cancel_of_a_map(db, worker, scheduler):
    """With a window: what was not created will never be."""
    flow = db.flow(mapped(list(range(50)), max_running=4,
                          on_failure="cancel"))
    one = worker()
    scheduler.work()
    running = one.claim({"a": 2}).ids
    one.turn([(running[0], "f", {"error": "bad"})])
    scheduler.work()
    assert one.turn().cancel == {running[1]}
    one.finish(running[1], outcome="c")
    scheduler.work()
    task = db.tasks(flow)["m"]
    assert task.state == "failed" and "[0]: bad" in task.error
    assert db.states([row.task_id for row in items(db, task.id)]) == {
        "failed": 1, "cancelled": 3}
    assert not db.invariants()


@pytest.mark.parametrize("by", ["id", "flow", "its own flow", "on_failure"])
def test_F2_cancelling_a_map_reaches_what_runs(db, worker, scheduler, by):
    flow = db.flow({**mapped(list(range(20)), max_running=5),
                    "z": {"kind": "b"}}, on_failure="cancel")
    one = worker()
    scheduler.work()
    task = db.tasks(flow)["m"].id
    one.claim({"a": 2})
    running = list(one.held)
    if by == "on_failure":
        one.claim({"b": 1})
        one.finish(db.tasks(flow)["z"].id, outcome="f")
        scheduler.work()
    else:
        assert verdict(db, scheduler, *{
            "id": ("cancel", task), "flow": ("cancel_flow", flow),
            "its own flow": ("cancel_flow", child(db, task))}[by]) == "done"
    assert db.state(task) == "running"
    assert one.turn().cancel == set(running)
    one.turn([(id, "c") for id in running])
    scheduler.work()
    assert db.state(task) == "cancelled"
    assert db.states([row.task_id for row in items(db, task)]) == {
        "cancelled": 5}
    assert db.flow_status(child(db, task)).state == "cancelled"
    assert not db.invariants()


def test_F2_a_cancel_deep_inside_says_why(db, worker, scheduler):
    flow = db.flow(NESTED)
    one = worker()
    scheduler.work()
    one.claim({"c": 1})
    one.finish_all()
    scheduler.work()
    assert verdict(db, scheduler, "cancel_flow", flow) == "done"
    inner = db.tasks(child(db, db.tasks(flow)["in"].id))
    assert inner["outer"].state == inner["in"].state == "cancelled"
    assert inner["outer"].error == \
        "its flow was cancelled on request of postgres"
    assert db.tasks(flow)["in"].state == "cancelled"
    assert not db.invariants()


def test_F2_a_map_that_is_cut_between_two_items_is_cancelled(
        db, worker, scheduler):
    """All that was created has succeeded; the rest never comes."""
    flow = db.flow(mapped([1, 2, 3, 4], max_running=2))
    one = worker()
    scheduler.work()
    one.claim()
    one.finish_all()
    task = db.tasks(flow)["m"].id
    assert verdict(db, scheduler, "cancel", task) == "done"
    assert db.state(task) == "cancelled"
    assert db.flow_status(child(db, task)).state == "cancelled"
    assert db.flow_status(child(db, task)).succeeded == 2


def test_F2_successes_stand_when_the_cancel_comes_too_late(
        db, worker, scheduler):
    flow = db.flow(mapped([1]))
    one = worker()
    scheduler.work()
    one.claim()
    task = db.tasks(flow)["m"].id
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.carry_out()
    one.finish_all()
    scheduler.work()
    assert db.state(task) == "succeeded"


def test_A5_retrying_a_map_runs_what_failed_and_no_more(
        db, worker, scheduler):
    flow = db.flow({**mapped(list(range(30)), max_running=4),
                    "after": {"kind": "b", "needs": ["m"]}})
    one = worker()
    work(one, scheduler, fail=lambda payload: payload["item"] % 3 == 0)
    task = db.tasks(flow)["m"].id
    assert verdict(db, scheduler, "retry", task) == "done"
    assert db.state(task) == "running" and not db.invariants()
    seen = work(one, scheduler)
    assert sorted(payload["item"] for payload in seen
                  if payload) == list(range(0, 30, 3))
    assert db.flow_status(flow).state == "succeeded"
    assert [one["item"] for one in db.task(task).result] == list(range(30))
    assert db.tasks(flow)["after"].state == "succeeded"
    assert not db.invariants()


def test_A5_retrying_a_map_that_was_cut_creates_the_rest(
        db, worker, scheduler):
    flow = db.flow(mapped(list(range(20)), max_running=5))
    one = worker()
    scheduler.work()
    one.claim({"a": 2})
    one.finish_all()
    task = db.tasks(flow)["m"].id
    assert verdict(db, scheduler, "cancel", task) == "done"
    assert db.state(task) == "cancelled"
    assert verdict(db, scheduler, "retry", task) == "done"
    seen = work(one, scheduler)
    assert sorted(payload["item"] for payload in seen) == list(range(2, 20))
    assert [x["item"] for x in db.task(task).result if x] == list(
        range(2, 20))
    assert db.flow_status(flow).state == "succeeded"


def test_A4_retrying_a_nested_flow_reruns_what_hung_on_the_failure(
        db, worker, scheduler):
    flow = db.flow({"in": {"flow": {"tasks": {
        "a": {"kind": "a"}, "b": {"kind": "b"},
        "c": {"kind": "c", "needs": ["b"]},
        "d": {"flow": {"tasks": {"e": {"kind": "a"}}}, "needs": ["c"]}}}}})
    one = worker()
    scheduler.work()
    one.claim()
    inner = db.tasks(child(db, db.tasks(flow)["in"].id))
    one.finish(inner["a"].id)
    one.finish(inner["b"].id, outcome="f")
    scheduler.work()
    task = db.tasks(flow)["in"]
    assert task.state == "failed"
    assert verdict(db, scheduler, "retry", task.id) == "done"
    assert len(work(one, scheduler)) == 3
    assert db.states() == {"succeeded": 6}
    assert db.flow_status(flow).state == "succeeded"


def test_A4_retrying_a_cancelled_flow_in_a_flow(db, worker, scheduler):
    """What was blocked when it was cancelled waits again for its need."""
    flow = db.flow({"in": {"flow": {"tasks": {
        "b": {"kind": "b", "needs": ["z"]}, "z": {"kind": "a"}}}}})
    scheduler.work()
    task = db.tasks(flow)["in"].id
    verdict(db, scheduler, "cancel", task)
    assert db.states() == {"cancelled": 3}
    assert verdict(db, scheduler, "retry", task) == "done"
    assert not db.invariants()
    assert len(work(worker(), scheduler)) == 2
    assert db.states() == {"succeeded": 3}


def test_retry_of_a_single_item_leaves_the_rest(db, worker, scheduler):
    flow = db.flow(mapped([1, 2]))
    one = worker()
    work(one, scheduler, fail=lambda payload: True)
    task = db.tasks(flow)["m"].id
    assert verdict(db, scheduler, "retry", items(db, task)[0].task_id) \
        == "done"
    assert len(work(one, scheduler)) == 1
    assert db.state(task) == "failed"
    assert verdict(db, scheduler, "retry", task) == "done"
    assert len(work(one, scheduler)) == 1
    assert db.state(task) == "succeeded"


def test_H1_stats_show_containers_that_run(db, worker, scheduler):
    db.flow({"f": {"flow": {"tasks": {"x": ITEM}}}, **mapped([1, 2])})
    stats = ("SELECT kind, running, ready FROM muster.queue_stats "
             "WHERE queue = '-' ORDER BY kind")
    assert db.rows(stats) == [("flow", 0, 1), ("map", 0, 1)]
    scheduler.work()
    assert db.rows(stats) == [("flow", 1, 0), ("map", 1, 0)]
    work(worker(), scheduler)
    assert db.rows(stats) == [("flow", 0, 0), ("map", 0, 0)]


# Purging, why.

def purge(db, limit=1000):
    return db.one("SELECT gone FROM muster.purge(%s, '{\"\"}', '{0}')", limit)


def test_inner_flows_are_purged_with_the_outer(db, worker, scheduler):
    flow = db.flow({**NESTED, **mapped(list(range(40))), "late": {
        "kind": "c", "run_at": "2099-01-01T00:00:00Z"}})
    work(worker(), scheduler)
    assert db.open_count() == 1
    assert purge(db) == 0, "the outer one has not ended"
    verdict(db, scheduler, "cancel", db.tasks(flow)["late"].id)
    for _ in range(60):
        purge(db, 7)
        assert not db.invariants()
    assert db.one("SELECT count(*) FROM muster.task") == 0
    for table in ("flow", "container_plan", "container", "map_page"):
        assert db.one(f"SELECT count(*) FROM muster.{table}") == 0


def test_an_item_that_something_open_needs_is_not_purged(
        db, worker, scheduler):
    flow = db.flow(mapped([1, 2]))
    scheduler.work()
    item = items(db, db.tasks(flow)["m"].id)[0].task_id
    other = db.enqueue("c", depends_on=[item],
                       run_at="2099-01-01T00:00:00Z")
    scheduler.work()
    work(worker(), scheduler)
    purge(db)
    assert db.state(item) == "succeeded" and not db.invariants()
    verdict(db, scheduler, "cancel", other)
    db.age("1 h")
    for _ in range(5):
        purge(db)
    assert db.one("SELECT count(*) FROM muster.flow") == 0


def test_H3_why_goes_into_maps_and_nested_flows(db, worker, scheduler):
    flow = db.flow({"in": {"flow": {"tasks": {"m": {
        "kind": "a", "map": {"over": [1, 2, 3], "max_running": 2}}}}},
        "after": {"kind": "b", "needs": ["in"]}})
    task = db.tasks(flow)["after"].id
    assert "for a scheduler to expand it" in db.why(task)[1].reason
    scheduler.work()
    said = [(row.depth, row.reason) for row in db.why(task)]
    assert [depth for depth, _ in said] == [0, 1, 2, 3, 3]
    assert "1 of 1 tasks open" in said[1][1]
    assert "3 of 3 tasks open, at most 2 at a time" in said[2][1]
    assert "[0] (a): it is ready" in said[3][1]


# What may come in between.

def test_A5_a_cancel_while_the_map_is_taken_from_the_line(
        db, worker, scheduler):
    """It is in no place that the cancel sees; it is met in the next."""
    flow = db.flow(mapped([1, 2]))
    task = db.tasks(flow)["m"].id
    other = db.session("musterd")
    other.begin()
    assert other.one("SELECT muster.expand_take(1000)") == 1
    number = db.one("SELECT muster.cancel(%s)", task)
    assert scheduler.carry_out() == 0
    assert not db.one("SELECT done FROM muster.request_status(%s)", number)
    other.commit()
    assert not db.invariants()
    scheduler.work()
    assert db.states() == {"cancelled": 1}
    assert not db.invariants()


def test_A5_a_map_is_not_expanded_while_it_is_being_cancelled(
        db, worker, scheduler):
    flow = db.flow(mapped([1, 2]))
    task = db.tasks(flow)["m"].id
    db.one("SELECT muster.cancel(%s)", task)
    other = db.session("musterd")
    other.begin()
    assert other.one("SELECT muster.carry_out(100)") == 1
    scheduler.session.send("SELECT muster.expand(100)")
    scheduler.session.wait_blocked()
    other.commit()
    scheduler.session.answer()
    scheduler.work()
    assert db.states() == {"cancelled": 1}
    assert not db.invariants()


def test_A5_a_container_that_is_being_cancelled_is_left_alone(
        db, worker, scheduler):
    """Though a turn that takes long keeps the cancel from being alone."""
    flow = db.flow(mapped(list(range(10))))
    scheduler.expand(4)
    turn = db.session("musterd")
    turn.run("SELECT pg_advisory_lock_shared(hashtext('muster turn'))")
    db.one("SELECT muster.cancel(%s)", db.tasks(flow)["m"].id)
    other = db.session("musterd")
    other.begin()
    assert other.one("SELECT muster.carry_out(100)") == 1
    scheduler.session.send("SELECT muster.expand(4)")
    scheduler.session.wait_blocked()
    other.commit()
    scheduler.session.answer()
    turn.close()
    scheduler.work()
    assert db.states() == {"cancelled": 5}
    assert not db.invariants()


def test_A5_a_cancel_while_items_are_created(db, worker, scheduler):
    """Their flow is marked as stopped only after them, so it finds them; until
    then it holds up nobody."""
    flow = db.flow(mapped(list(range(10))))
    scheduler.expand(4)
    task = db.tasks(flow)["m"].id
    inner = child(db, task)
    assert len(items(db, task)) == 4
    scheduler.session.begin()
    scheduler.expand(4)
    other = db.session("musterd")
    db.one("SELECT muster.cancel_flow(%s)", inner)
    assert other.one("SELECT muster.carry_out(100)") == 0
    scheduler.session.commit()
    scheduler.work()
    assert db.states() == {"cancelled": 9}
    assert not db.invariants()


def test_A5_no_items_are_created_once_the_flow_is_stopped(
        db, worker, scheduler):
    flow = db.flow(mapped(list(range(10))))
    scheduler.expand(4)
    task = db.tasks(flow)["m"].id
    other = db.session("musterd")
    db.one("SELECT muster.cancel_flow(%s)", child(db, task))
    other.begin()
    other.one("SELECT muster.carry_out(100)")
    scheduler.session.send("SELECT muster.expand(100)")
    scheduler.session.wait_blocked()
    other.commit()
    scheduler.session.answer()
    scheduler.work()
    assert db.states() == {"cancelled": 5}
    assert db.flow_status(child(db, task)).total == 4
    assert not db.invariants()


def test_A5_two_schedulers_expand_one_map(db, worker, scheduler):
    flow = db.flow(mapped(list(range(10))))
    assert scheduler.expand(4) > 0
    other = db.session("musterd")
    other.begin()
    assert other.one("SELECT muster.expand(4)") > 0
    scheduler.session.run("SET lock_timeout = '200 ms'")
    assert scheduler.expand(4) == 0
    other.commit()
    scheduler.work()
    assert [row.index for row in items(db, db.tasks(flow)["m"].id)] == list(
        range(10))
    assert not db.invariants()


def test_A5_a_scheduler_dies_between_and_within_chunks(
        db, worker, scheduler):
    flow = db.flow(mapped(list(range(10)), max_running=7))
    for limit in (3, 3, 3, 3):
        dying = db.session("musterd")
        dying.begin()
        dying.one("SELECT muster.expand(%s)", limit)
        dying.close()
        assert not db.invariants()
        wait_until(lambda: db.one("SELECT count(*) FROM pg_locks WHERE "
                                  "locktype = 'advisory'") == 0, 5,
                   "its locks are gone")
        scheduler.expand(limit)
    task = db.tasks(flow)["m"].id
    assert len(items(db, task)) == 7
    work(worker(), scheduler)
    assert len(items(db, task)) == 10 and db.state(task) == "succeeded"


def test_A4_the_flow_ends_while_its_container_is_being_cancelled(
        db, worker, scheduler):
    """fold() steps over a container that a cancel holds; either order ends
    the container once."""
    flow = db.flow(mapped([1]))
    one = worker()
    scheduler.work()
    one.claim()
    one.finish_all()
    task = db.tasks(flow)["m"].id
    db.one("SELECT muster.cancel(%s)", task)
    other = db.session("musterd")
    other.begin()
    other.one("SELECT muster.carry_out(100)")
    scheduler.session.run("SET lock_timeout = '200 ms'")
    scheduler.fold()
    assert db.state(task) == "running"
    other.commit()
    scheduler.work()
    assert db.state(task) == "succeeded"
    assert not db.invariants()


def test_A4_a_cancel_while_the_flow_ends(db, worker, scheduler):
    flow = db.flow(mapped([1]))
    one = worker()
    scheduler.work()
    one.claim()
    one.finish_all()
    task = db.tasks(flow)["m"].id
    scheduler.session.begin()
    scheduler.fold()
    number = db.one("SELECT muster.cancel(%s)", task)
    other = db.session("musterd")
    assert other.one("SELECT muster.carry_out(100)") == 0
    scheduler.session.commit()
    scheduler.work()
    assert db.state(task) == "succeeded"
    assert db.one("SELECT verdict FROM muster.request_status(%s)",
                  number) == "refused"
    assert not db.invariants()


def test_A4_an_inner_flow_does_not_end_while_it_is_brought_back(
        db, worker, scheduler):
    """The first of its failures runs again, and ends, before the second is
    looked at."""
    flow = db.flow(mapped([1, 2], max_running=1))
    one = worker()
    work(one, scheduler, fail=lambda payload: True)
    task = db.tasks(flow)["m"].id
    db.one("SELECT muster.retry(%s)", task)
    scheduler.carry_out()
    scheduler.expand()
    scheduler.carry_out()
    assert len(one.claim().ids) == 1
    one.finish_all()
    scheduler.fold()
    assert db.state(task) == "running"
    work(one, scheduler)
    assert db.state(task) == "succeeded"


# What random flows have found.

def test_A4_a_nested_flow_whose_last_steps_were_skipped_gives_nothing(
        db, worker, scheduler):
    flow = db.flow({"in": {"flow": {"tasks": {"x": {"kind": "a"}, "y": {
        "kind": "a", "needs": [{"task": "x", "when": "failed"}]}}}}})
    work(worker(), scheduler)
    task = db.tasks(flow)["in"]
    assert (task.state, task.result) == ("succeeded", {})


def test_A5_mapped_before_its_list_is_there(db, worker, scheduler):
    flow = db.flow({"list": {"kind": "b"}, "other": {"kind": "c"}, "m": {
        **ITEM, "needs": ["list", "other"], "needs_mode": "any",
        "map": {"from": "list"}}})
    one = worker()
    one.claim({"c": 1})
    one.finish_all()
    scheduler.work()
    assert db.tasks(flow)["m"].error == (
        '"list", whose result is to be mapped over, has not ended')


def failed_inside(db, worker, scheduler, tasks, **more):
    """A nested flow of these tasks, all of which failed that ran, and that is
    asked to run again: its container, its tasks' ids."""
    flow = db.flow({"in": {"flow": {"tasks": tasks}}, **more})
    work(worker, scheduler, fail=lambda _: True)
    outer = db.tasks(flow)["in"].id
    inner = db.tasks(child(db, outer))
    db.one("SELECT muster.retry(%s)", outer)
    scheduler.carry_out()
    scheduler.expand()
    return outer, {name: row.id for name, row in inner.items()}


@pytest.mark.parametrize("limit", [1, 1000])
def test_A4_what_runs_again_inside_waits_for_a_need_that_does(
        db, worker, scheduler, limit):
    """The second had run since the first failed, and had failed, too; the
    third had been skipped, the fourth had run for that."""
    one = worker()
    outer, inner = failed_inside(db, one, scheduler, {
        "w": {"kind": "a"},
        "x": {"kind": "b", "needs": [{"task": "w", "when": "failed"}]},
        "y": {"kind": "a", "needs": ["w"]},
        "z": {"kind": "b", "needs": [{"task": "y", "when": "finished"}]}})
    while scheduler.carry_out(limit):
        pass
    assert {name: db.state(task) for name, task in inner.items()} == {
        "w": "ready", "x": "blocked", "y": "blocked", "z": "blocked"}
    for name in ("w", "y", "z"):
        assert one.claim().ids == [inner[name]]
        one.finish_all()
        scheduler.work()
    assert db.state(inner["x"]) == "skipped"
    assert db.state(outer) == "succeeded"


@pytest.mark.parametrize("by", ["cancel", "cancel_flow"])
def test_A5_cancelled_while_it_is_brought_back(db, worker, scheduler, by):
    """What was not yet brought back when the cancel came stays as it is."""
    db.flow(mapped([1, 2, 3], max_running=1))
    outer = db.one("SELECT id FROM muster.task")
    one = worker()
    work(one, scheduler, fail=lambda _: True)
    ids = [row.task_id for row in items(db, outer)]
    db.one("SELECT muster.retry(%s)", outer)
    scheduler.work()
    assert db.states(ids) == {"ready": 1, "failed": 2}
    db.one(f"SELECT muster.{by}(%s)",
           outer if by == "cancel" else child(db, outer))
    scheduler.work()
    assert not one.claim().ids
    assert [db.state(task) for task in ids] == ["cancelled"] + ["failed"] * 2
    assert db.state(outer) == ("cancelled" if by == "cancel" else "failed")


def test_A5_what_fails_while_others_are_brought_back_has_had_its_turn(
        db, worker, scheduler):
    """The second item was created when the map ran again, and failed before
    the first, which had been cancelled, could be brought back."""
    flow = db.flow(mapped([1, 2], max_running=1))
    outer = db.tasks(flow)["m"].id
    scheduler.work()
    db.one("SELECT muster.cancel(%s)", outer)
    scheduler.work()
    assert db.states([row.task_id for row in items(db, outer)]) == {
        "cancelled": 1}
    db.one("SELECT muster.retry(%s)", outer)
    scheduler.carry_out()
    scheduler.expand()
    scheduler.expand()
    one = worker()
    second, = one.claim().ids
    one.finish(second, outcome="f")
    scheduler.work()
    first, = one.claim().ids
    assert first < second
    one.finish(first)
    scheduler.work()
    assert not one.claim().ids
    assert db.state(second) == "failed" and db.state(outer) == "failed"


def test_A3_a_step_that_asks_for_its_lock_is_counted_in_its_flow(
        db, scheduler):
    flow = db.flow({"x": {"kind": "a", "lock": "k"}, "in": {"flow": {"tasks": {
        "y": {"kind": "a", "lock": "l"}}}}})
    assert db.state(db.tasks(flow)["x"].id) == "arriving"
    assert not db.invariants()
    scheduler.expand()
    assert not db.invariants()


def test_A4_cancelled_before_any_of_it_could_be_brought_back(
        db, worker, scheduler):
    """Somebody holds one of its tasks while the cancel is carried out."""
    one = worker()
    outer, inner = failed_inside(db, one, scheduler, {
        "x": {"kind": "a"}, "y": {"kind": "a"}})
    other = db.session()
    other.begin()
    other.run("SELECT FROM muster.task WHERE id = %s FOR SHARE", inner["y"])
    db.one("SELECT muster.cancel(%s)", outer)
    scheduler.work()
    other.commit()
    scheduler.work()
    assert not one.claim().ids
    assert db.states(inner.values()) == {"failed": 2}
    assert db.state(outer) == "cancelled"
