"""Flows: how many needs are wanted, every end, inputs, retry of a flow, what is
added while it runs; forced interleavings of settling, retry and admission."""

import json

import psycopg2
import pytest


def ask(db, scheduler, verb, target):
    """The answer of a request once it is carried out."""
    number = db.one(f"SELECT muster.{verb}(%s)", target)
    scheduler.work()
    done, answer, verdict = db.one(
        "SELECT * FROM muster.request_status(%s)", number)
    assert done, f"{verb} {target} is still open"
    assert verdict in ("done", "refused")
    return answer


def fan_in(db, mode, count=3, kind="b", when="succeeded", **more):
    """The ids of a flow's needs, and of the task that waits for them."""
    tasks = {f"n{i}": {"kind": "a"} for i in range(count)}
    tasks["last"] = {"kind": kind, "needs_mode": mode, "needs": [
        {"task": name, "when": when} for name in list(tasks)]}
    rows = db.tasks(db.flow(tasks, **more))
    return [rows[f"n{i}"].id for i in range(count)], rows["last"].id


def settle(db, scheduler):
    scheduler.work()
    assert db.invariants() == []


# How many needs are wanted.

@pytest.mark.parametrize("mode, ends, state", [
    ("all", "sss", "ready"), ("all", "ssf", "skipped"),
    ("all", "ss", "blocked"), ("any", "s", "ready"), ("any", "ff", "blocked"),
    ("any", "ffs", "ready"), ("any", "fff", "skipped"),
    ({"at_least": 2}, "s", "blocked"), ({"at_least": 2}, "ss", "ready"),
    ({"at_least": 2}, "fs", "blocked"), ({"at_least": 2}, "fss", "ready"),
    ({"at_least": 2}, "ff", "skipped"), ({"at_least": 3}, "f", "skipped"),
])
@pytest.mark.parametrize("how", ["flow", "waiting", "late"])
def test_A2_needs_mode(db, worker, scheduler, mode, ends, state, how):
    """Of a step, and of a task that was enqueued before its needs ended, and
    after."""
    text = mode if isinstance(mode, str) else f"at_least {mode['at_least']}"
    one = worker()
    if how == "flow":
        needs, last = fan_in(db, mode)
    else:
        needs = db.enqueue_many("a", 3)
        last = None
    one.claim({"a": 3})
    for late in (False, True):
        if how == ("late" if late else "waiting"):
            last = db.enqueue("b", depends_on=needs, needs_mode=text)
            settle(db, scheduler)
        if not late:
            for need, end in zip(needs, ends):
                one.finish(need, outcome=end, error="broke")
                assert db.invariants() == []
    settle(db, scheduler)
    assert db.state(last) == state
    if state == "skipped":
        assert f"task {needs[ends.index('f')]}, which failed" in \
            db.task(last).error or "failed" in db.task(last).error
    if state == "blocked":
        assert "it waits for" in db.one(
            "SELECT reason FROM muster.why(%s) WHERE depth = 0", last)
    one.finish_all()  # what ends afterwards changes nothing
    settle(db, scheduler)
    assert db.state(last) == {"blocked": "ready"}.get(state, state) or \
        (mode, ends) == ("any", "ff")


def test_A2_a_task_that_is_freed_early_sees_who_has_not_ended(
        db, worker, scheduler):
    needs, last = fan_in(db, "any")
    one = worker()
    one.claim({"a": 3})
    one.finish(needs[1], result="7")
    claimed, = one.claim({"b": 1}).tasks
    assert claimed.id == last
    inputs = json.loads(db.one("SELECT muster.inputs(%s)", last))
    assert {name: one["state"] for name, one in inputs.items()} == {
        "n0": "open", "n1": "succeeded", "n2": "open"}
    assert inputs["n1"]["result"] == 7
    one.finish_all()
    settle(db, scheduler)
    assert db.flow_status(claimed.flow).state == "succeeded"


@pytest.mark.parametrize("mode", [
    "some", "at_least", "at_least 0", "at_least -1", "at_least 3",
    "at_least 1.5", "at_least 9999999999", "", None])
def test_A2_needs_mode_that_makes_no_sense_is_refused(db, mode):
    needs = db.enqueue_many("a", 2)
    with pytest.raises(psycopg2.Error) as caught:
        db.enqueue("b", depends_on=needs, needs_mode=mode)
    assert caught.value.pgcode == "MU003"
    with pytest.raises(psycopg2.Error) as caught:
        db.enqueue("b", needs_mode="any")
    assert caught.value.pgcode == "MU003"


@pytest.mark.parametrize("mode", [
    "some", {"at_least": 0}, {"at_least": 3}, {"at_least": "1"}, {}, 1, None,
    {"at_least": 1, "at_most": 2}, {"at_least": 1.5}])
def test_A2_needs_mode_of_a_step_that_makes_no_sense_is_refused(db, mode):
    with pytest.raises(psycopg2.Error, match="needs_mode") as caught:
        db.flow({"a": {"kind": "a"}, "b": {"kind": "a"}, "last": {
            "kind": "b", "needs": ["a", "b"], "needs_mode": mode}})
    assert caught.value.pgcode == "MU003"


def test_A2_task_needs_tell_the_mode(db):
    for mode, text in (("all", "all"), ("any", "any"),
                       ({"at_least": 2}, "at_least 2")):
        _, last = fan_in(db, mode)
        assert {row.needs_mode for row in db.rows(
            "SELECT * FROM muster.task_needs WHERE task_id = %s",
            last)} == {text}


def test_G2_skipped_for_too_few_comes_back_when_enough_are_met(
        db, worker, scheduler):
    needs, last = fan_in(db, {"at_least": 2})
    one = worker()
    one.claim({"a": 3})
    one.finish_all("f")
    settle(db, scheduler)
    assert db.state(last) == "skipped"
    for count, state in ((1, "skipped"), (2, "ready")):
        ask(db, scheduler, "retry", needs[count])
        assert db.invariants() == []
        one.claim({"a": 3}, floors=False)
        one.finish_all()
        settle(db, scheduler)
        assert db.state(last) == state


def test_G2_what_comes_back_counts_the_end_that_brings_it_once(
        db, worker, scheduler):
    """A need that ended a second time was once counted twice, for the task
    that came back and then ran beside its other, open, need."""
    needs, last = fan_in(db, "all", 2)
    one = worker()
    one.claim({"a": 1}, limit=1)
    first, = one.held
    one.finish(first, outcome="f")
    settle(db, scheduler)
    assert db.state(last) == "skipped"
    ask(db, scheduler, "retry", first)
    one.claim({"a": 2}, floors=False)
    one.finish(first)
    settle(db, scheduler)
    assert db.state(last) == "blocked"
    one.finish_all()
    assert db.state(last) == "ready"
    assert len(needs) == 2


def test_G2_a_task_waits_for_the_new_end_of_a_need_that_runs_again(
        db, worker, scheduler):
    """Whatever the end before would have meant for it."""
    need, other = db.enqueue_many("a", 2)
    task = db.enqueue("b", depends_on=[need, other], depends_when="finished")
    scheduler.work()
    one = worker()
    one.claim({"a": 2})
    one.finish(need, other, outcome="f")
    one.claim({"b": 1})
    one.finish(task, outcome="f")
    settle(db, scheduler)
    ask(db, scheduler, "retry", need)
    answer = ask(db, scheduler, "retry", task)
    assert f"comes back when task {need}" in answer
    assert db.state(task) == "blocked"
    assert db.invariants() == []
    one.claim({"a": 1}, floors=False)
    one.finish_all()
    settle(db, scheduler)
    assert db.state(task) == "ready"


# Every end.

def end_by_turn(outcome):
    def end(_db, _scheduler, one, need):
        one.finish(need, outcome=outcome, error="timed out")
    return end


def end_by_request(verb):
    def end(db, scheduler, one, need):
        one.finish(need, outcome="b")
        ask(db, scheduler, verb, need)
    return end


def end_by_rescue(db, _scheduler, one, _need):
    db.rows("SELECT * FROM muster.rescue(%s, 'crash', NULL, 0)", one.id)


def end_by_skip(db, scheduler, one, need):
    """Its own need fails."""
    ask(db, scheduler, "cancel", db.one(
        "SELECT needs_id FROM muster.task_needs WHERE task_id = %s", need))


ENDS = {
    "succeeded": (end_by_turn("s"), "ready"),
    "failed": (end_by_turn("f"), "skipped"),
    "timed out": (end_by_turn("f"), "skipped"),
    "cancelled while it ran": (end_by_turn("c"), "skipped"),
    "cancelled": (end_by_request("cancel"), "skipped"),
    "deleted": (end_by_request("delete"), "skipped"),
    "rescued to death": (end_by_rescue, "skipped"),
    "skipped": (end_by_skip, "skipped"),
}


@pytest.mark.parametrize("end", ENDS)
def test_A2_every_end_of_a_need_settles(db, worker, scheduler, end):
    before = [db.enqueue("c")] if end == "skipped" else []
    need = db.enqueue("a", depends_on=before)
    strict = db.enqueue("b", depends_on=[need])
    gather = db.enqueue("b", depends_on=[need], depends_when="finished")
    below = db.enqueue("b", depends_on=[strict, gather])
    scheduler.work()
    one = worker()
    one.claim({"a": 1})
    how, state = ENDS[end]
    how(db, scheduler, one, need)
    settle(db, scheduler)
    assert db.state(strict) == state
    assert db.state(gather) == "ready"
    assert db.state(below) == {"ready": "blocked"}.get(state, state)


# Deletion.

def test_A2_deleting_an_ended_need_leaves_what_it_meant(db, worker,
                                                        scheduler):
    """Those that wait were told of its end."""
    needs, last = fan_in(db, {"at_least": 2})
    one = worker()
    one.claim({"a": 3})
    one.finish(needs[0])
    assert ask(db, scheduler, "delete", needs[0]).endswith("is deleted")
    assert db.invariants() == []
    assert db.state(last) == "blocked"
    one.finish(needs[2])
    claimed, = one.claim({"b": 1}).tasks
    inputs = json.loads(db.one("SELECT muster.inputs(%s)", claimed.id))
    assert [inputs[str(needs[0])]["state"], inputs["n1"]["state"],
            inputs["n2"]["state"]] == ["deleted", "open", "succeeded"]
    one.finish_all()
    settle(db, scheduler)
    status = db.flow_status(claimed.flow)
    assert (status.state, status.total, status.succeeded) == (
        "succeeded", 3, 3)


def test_deleting_what_can_not_be_deleted(db, worker, scheduler):
    assert "there is no task 99" in ask(db, scheduler, "delete", 99)
    task = db.enqueue("a")
    one = worker()
    one.claim()
    assert "delete it when it has ended" in ask(db, scheduler, "delete", task)
    assert one.turn().cancel == {task}
    one.finish(task, outcome="c")
    assert ask(db, scheduler, "delete", task) == f"task {task} is deleted"
    assert db.rows("SELECT id FROM muster.task") == []
    settle(db, scheduler)


def test_a_flow_whose_last_open_task_is_deleted_ends(db, worker, scheduler):
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"}})
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 1})
    one.finish_all()
    ask(db, scheduler, "delete", tasks["b"].id)
    settle(db, scheduler)
    assert db.flow_status(flow).state == "succeeded"
    ask(db, scheduler, "delete", tasks["a"].id)
    settle(db, scheduler)
    db.rows("SELECT muster.purge(1000, '{\"\"}', '{0}')")
    assert db.rows("SELECT id FROM muster.flow") == []


def test_purge_leaves_a_task_whose_dependents_are_still_being_told(
        db, worker, scheduler):
    """A fan-in never hangs because a need vanished."""
    need = db.enqueue("a")
    ids = [db.enqueue("b", depends_on=[need]) for _ in range(3)]
    scheduler.work()
    ask(db, scheduler, "cancel", need)  # told by unlock() …
    db.rows("UPDATE muster.remainder SET cursor = 0")
    need = db.enqueue("a")
    more = [db.enqueue("b", depends_on=[need]) for _ in range(3)]
    scheduler.admit()
    number = db.one("SELECT muster.cancel(%s)", need)
    assert scheduler.carry_out() and number  # … which has not run
    assert db.one("SELECT muster.purge_tasks(ARRAY[%s])", need) == []
    settle(db, scheduler)
    assert db.states(ids + more) == {"skipped": 6}


def test_G2_retry_while_a_need_has_yet_to_tell_of_its_second_end(
        db, worker, scheduler):
    """It told that it failed, which the task wanted; now it has succeeded."""
    (need,), last = fan_in(db, "any", 1, when="failed")
    one = worker()
    one.claim({"a": 1})
    one.turn([(need, "f")])
    ask(db, scheduler, "cancel", last)
    ask(db, scheduler, "retry", need)
    one.claim({"a": 1})
    one.turn([(need, "s")])  # unlock() has not run
    db.one("SELECT muster.retry(%s)", last)
    scheduler.carry_out()
    assert db.state(last) == "blocked"
    assert one.claim({"b": 1}).ids == []
    settle(db, scheduler)
    assert db.state(last) == "skipped"


# Inputs.

def test_A2_inputs_are_bounded(db, worker, scheduler):
    """A wide gathering task: failures first, then what fits."""
    count = 6000
    tasks = {f"step-{i}": {"kind": "a"} for i in range(count)}
    tasks["last"] = {"kind": "b", "needs": [
        {"task": name, "when": "finished"} for name in list(tasks)]}
    flow = db.flow(tasks)
    rows = db.tasks(flow)
    bad = rows[f"step-{count - 1}"].id
    one = worker()
    one.claim({"a": count})
    ended = [(task, "s", {"result": '"%s"' % ("é" * 2000)})
             for task in one.held if task != bad]
    one.turn(ended + [(bad, "f", {"error": "x" * 5000})])
    settle(db, scheduler)
    text = db.one("SELECT muster.inputs(%s)", rows["last"].id)
    assert 1_100_000 < len(text.encode()) <= 2_700_000
    inputs = json.loads(text)
    assert list(inputs)[0] == f"step-{count - 1}"
    assert len(inputs[f"step-{count - 1}"]["error"]) == 1001
    mark = inputs.pop("")
    assert mark == {"truncated": True, "needs": count,
                    "left_out": count - len(inputs)}
    cut = [one for one in inputs.values() if one.get("truncated")]
    assert cut and all(one["result"] is None and one["state"] == "succeeded"
                       for one in cut)
    assert len(cut) < len(inputs) - 300


def test_A2_a_result_that_does_not_fit_leaves_room_for_others(
        db, worker, scheduler):
    needs, last = fan_in(db, "all")
    one = worker()
    one.claim({"a": 3})
    one.turn([(need, "s", {"result": '"%s"' % (letter * size)})
              for need, letter, size in zip(
                  needs, "xyz", (1_500_000, 1_500_000, 1000))])
    inputs = json.loads(db.one("SELECT muster.inputs(%s)", last))
    assert len(inputs["n0"]["result"]) == 1_500_000
    assert inputs["n1"] == {"task": str(needs[1]), "state": "succeeded",
                            "result": None, "truncated": True}
    assert len(inputs["n2"]["result"]) == 1000
    assert "" not in inputs


def test_A2_a_result_that_is_the_only_one_fits_always(db, worker, scheduler):
    need = db.enqueue("a")
    last = db.enqueue("b", depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim({"a": 1})
    one.turn([(need, "s", {"result": '"%s"' % ("x" * 4_000_000)})])
    inputs = json.loads(db.one("SELECT muster.inputs(%s)", last))
    assert len(inputs[str(need)]["result"]) == 4_000_000


# A flow as a whole.

def test_A4_a_stopped_flow_cancels_what_runs_and_names_every_failure(
        db, worker, scheduler):
    flow = db.flow({"bad": {"kind": "a"}, "worse": {"kind": "a"},
                    "long": {"kind": "b"}, "after": {
                        "kind": "c", "needs": ["long"]}},
                   on_failure="cancel")
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 2, "b": 1})
    one.turn([(tasks["bad"].id, "f", {"error": "broke"})])
    settle(db, scheduler)
    assert one.turn([(tasks["worse"].id, "f", {"error": "too"})]).cancel == {
        tasks["long"].id}
    one.finish(tasks["long"].id, outcome="c")
    settle(db, scheduler)
    status = db.flow_status(flow)
    assert (status.state, status.error) == (
        "failed", "bad: broke\nworse: too")
    assert db.states() == {"failed": 2, "cancelled": 2}


def retried(db, scheduler, flow):
    answer = ask(db, scheduler, "retry_flow", flow)
    assert db.invariants() == []
    return answer


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_G2_retry_of_a_flow_reruns_what_failed_and_hung_on_it(
        db, worker, scheduler, limit):
    """… and nothing else: not what succeeded, nor what was skipped for
    that. The order of the steps is none of their needs."""
    flow = db.flow([
        {"name": "last", "kind": "b", "needs": ["mid", "good"]},
        {"name": "mid", "kind": "b", "needs": ["bad"]},
        {"name": "gather", "kind": "b", "needs": [
            {"task": "bad", "when": "finished"}]},
        {"name": "repair", "kind": "b", "needs": [
            {"task": "good", "when": "failed"}]},
        {"name": "behind", "kind": "b", "needs": ["repair"]},
        {"name": "bad", "kind": "a", "needs": ["good"]},
        {"name": "good", "kind": "a"}])
    tasks = db.tasks(flow)
    one = worker()
    one.claim({"a": 1})
    one.finish_all()
    one.claim({"a": 1})
    one.finish(tasks["bad"].id, outcome="f", error="broke")
    scheduler.work()
    one.claim({"b": 5})
    one.finish(tasks["gather"].id)
    settle(db, scheduler)
    assert db.flow_status(flow).error == "bad: broke"
    number = db.one("SELECT muster.retry_flow(%s)", flow)
    while scheduler.carry_out(limit):
        assert db.invariants() == []
    assert db.one("SELECT answer FROM muster.request_status(%s)", number) \
        == f"flow {flow}: 3 tasks that had not succeeded run again"
    assert {name: row.state for name, row in db.tasks(flow).items()} == {
        "last": "blocked", "mid": "blocked", "gather": "succeeded",
        "repair": "skipped", "behind": "skipped", "bad": "ready",
        "good": "succeeded"}
    scheduler.work()
    assert db.flow_status(flow).state == "running"
    assert db.flow_status(flow).error is None
    for kind in "abb":
        assert len(one.claim({kind: 5}, floors=False).ids) == 1
        one.finish_all()
        settle(db, scheduler)
    assert db.flow_status(flow).state == "succeeded"


@pytest.mark.parametrize("how", ["failure", "request"])
def test_G2_retry_of_a_flow_reruns_what_its_stop_cancelled(
        db, worker, scheduler, how):
    """In order: a task that wants only the end of another waits for it, though
    that had ended before, as cancelled."""
    flow = db.flow({
        "a": {"kind": "a"}, "done": {"kind": "c"},
        "b": {"kind": "b", "needs": ["a"]},
        "c": {"kind": "b", "needs": [{"task": "b", "when": "finished"},
                                     "done"]}}, on_failure="cancel")
    one = worker()
    one.claim({"c": 1})
    one.finish_all()
    if how == "failure":
        one.claim({"a": 1})
        one.finish_all("f")
    else:
        db.one("SELECT muster.cancel_flow(%s)", flow)
    settle(db, scheduler)
    assert db.flow_status(flow).finished_at
    assert "3 tasks" in retried(db, scheduler, flow)
    for kind in "abb":
        assert len(one.claim(5, floors=False).ids) == 1
        one.finish_all()
        settle(db, scheduler)
        assert kind
    assert db.flow_status(flow).state == "succeeded"


def test_G2_retry_of_a_flow_again_and_again(db, worker, scheduler):
    """Each time another step of the chain fails."""
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "a", "needs": ["a"]},
                    "c": {"kind": "a", "needs": [
                        "b", {"task": "a", "when": "finished"}]}})
    one = worker()
    for done in range(4):
        for _ in range(done if done == 1 else min(done, 1)):
            one.claim(floors=False)
            one.finish_all()
            settle(db, scheduler)
        if done == 3:
            break
        one.claim(floors=False)
        one.finish_all("f")
        settle(db, scheduler)
        assert db.flow_status(flow).state == "failed"
        assert f"{3 - done} tasks" in retried(db, scheduler, flow)
    assert db.flow_status(flow).state == "succeeded"


def test_G2_retry_of_a_flow_is_refused(db, worker, scheduler):
    assert "there is no flow 99" in retried(db, scheduler, 99)
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"}})
    assert "nothing of it failed" in retried(db, scheduler, flow)
    one = worker()
    one.claim({"a": 1})
    db.one("SELECT muster.cancel_flow(%s)", flow)
    scheduler.work()
    assert "still being cancelled" in retried(db, scheduler, flow)
    one.finish_all()
    settle(db, scheduler)
    assert "1 tasks" in retried(db, scheduler, flow)
    one.claim(floors=False)
    one.finish_all()
    settle(db, scheduler)
    assert "nothing of it failed" in retried(db, scheduler, flow)


def test_G2_retry_of_a_flow_leaves_what_was_cancelled_alone(
        db, worker, scheduler):
    """Somebody did not want it: that was no failure of the flow."""
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"}})
    ask(db, scheduler, "cancel", db.tasks(flow)["b"].id)
    one = worker()
    one.claim({"a": 1})
    one.finish_all("f")
    settle(db, scheduler)
    assert "1 tasks" in retried(db, scheduler, flow)
    assert db.states() == {"ready": 1, "cancelled": 1}


@pytest.mark.parametrize("which", [slice(0, 1), slice(0, 3), slice(1, 6, 2)])
def test_G2_tasks_that_stand_in_line_twice_are_claimed_once(
        db, worker, scheduler, which):
    """Cancelled while they were ready, and brought back: their old rows are
    met in the same claim. Once such a task was lost."""
    ids = db.enqueue_many("a", 6)
    for verb in ("cancel", "retry"):
        for task in ids[which]:
            ask(db, scheduler, verb, task)
    one, other = worker(), worker()
    other.claim({"a": 1}, limit=1)
    assert sorted(one.claim(99).ids + list(other.held)) == ids
    assert db.invariants() == []


# Adding to a flow that runs.

def test_A1_what_a_task_adds_to_its_flow_is_never_too_late(
        db, worker, scheduler):
    """Committed just before the task's end, admitted long after it."""
    flow = db.flow({"a": {"kind": "a"}})
    first, = one_claim = worker().claim({"a": 1}).ids
    assert one_claim
    one = db.session("musterd")
    added = db.enqueue("b", flow_id=flow, depends_on=[first])
    plain = db.enqueue("b", flow_id=flow)
    holder = db.one("SELECT worker_id FROM muster.lease")
    lease = db.one("SELECT id FROM muster.lease")
    one.run("SELECT * FROM muster.turn(%s, ARRAY[%s]::bigint[], "
            "ARRAY[%s]::bigint[], 's', '{}', '{}', '{}', '{}', '{}', '{}', "
            "0, 0, '{}', '{}', '{}', '{}')", holder, lease, first)
    for _ in range(3):
        scheduler.fold()
    assert db.flow_status(flow).finished_at is None
    settle(db, scheduler)
    assert db.states([added, plain]) == {"ready": 2}
    last = worker()
    last.claim({"b": 2})
    last.finish_all()
    settle(db, scheduler)
    status = db.flow_status(flow)
    assert (status.state, status.total) == ("succeeded", 3)


def test_A1_the_fold_sees_an_admission_under_way(db, worker, scheduler):
    """The end of the flow waits for it, then sees what it added."""
    flow = db.flow({"a": {"kind": "a"}})
    one = worker()
    one.claim({"a": 1})
    added = db.enqueue("b", flow_id=flow)
    one.finish_all()
    admitter = db.session("musterd")
    admitter.begin()
    admitter.run("SELECT muster.admit(10)")
    scheduler.session.send("SELECT muster.fold(10)")
    scheduler.session.wait_blocked()
    admitter.commit()
    scheduler.session.answer()
    assert db.flow_status(flow).finished_at is None
    settle(db, scheduler)
    assert (db.state(added), db.flow_status(flow).state) == (
        "ready", "running")


def test_A1_admission_waits_for_the_end_of_a_flow(db, worker, scheduler):
    """A stranger's task that comes while the flow ends is too late."""
    flow = db.flow({"a": {"kind": "a"}})
    one = worker()
    one.claim({"a": 1})
    one.finish_all()
    scheduler.session.begin()
    scheduler.fold()
    added = db.enqueue("b", flow_id=flow)
    admitter = db.session("musterd")
    admitter.send("SELECT muster.admit(10)")
    admitter.wait_blocked()
    scheduler.session.commit()
    admitter.answer()
    settle(db, scheduler)
    assert db.task(added).error == f"flow {flow} had ended"
    assert db.flow_status(flow).state == "succeeded"


def test_F2_what_is_cancelled_before_it_is_admitted_counts_in_its_flow(
        db, scheduler):
    flow = db.flow({"a": {"kind": "a"}})
    added = db.enqueue("b", flow_id=flow)
    db.one("SELECT muster.cancel_flow(%s)", flow)
    scheduler.carry_out()
    assert db.state(added) == "cancelled"
    settle(db, scheduler)
    status = db.flow_status(flow)
    assert (status.state, status.total, status.cancelled) == (
        "cancelled", 2, 2)


# Settle against settle.

@pytest.mark.parametrize("first, second, state", [
    ("s", "s", "ready"), ("s", "f", "ready"), ("f", "s", "ready"),
    ("f", "f", "skipped")])
def test_A2_two_ends_at_once_of_which_any_is_enough(
        db, worker, scheduler, first, second, state):
    needs, last = fan_in(db, "any", 2)
    one, other = worker(), worker()
    one.claim({"a": 1})
    other.claim({"a": 1}, floors=False)
    one.session.begin()
    one.finish_all(first)
    other.send_turn([(each, second) for each in other.held])
    other.session.wait_blocked()
    one.session.commit()
    other.answer()
    settle(db, scheduler)
    assert db.state(last) == state
    assert db.one("SELECT count(*) FROM muster.ready") == (state == "ready")
    assert len(needs) == 2


# Retry against settle.

def test_G2_retry_of_a_flow_against_an_end_under_way(db, worker, scheduler):
    """It steps back while a need is being finished, and sees its end."""
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"},
                    "last": {"kind": "c", "needs": ["a", "b"]}})
    one, other = worker(), worker()
    one.claim({"a": 1})
    other.claim({"b": 1})
    one.finish_all("f")
    settle(db, scheduler)
    other.session.begin()
    other.finish_all()
    number = db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.carry_out()
    assert not db.one("SELECT done FROM muster.request_status(%s)", number)
    assert db.tasks(flow)["last"].state == "skipped"
    other.session.commit()
    settle(db, scheduler)
    assert {name: row.state for name, row in db.tasks(flow).items()} == {
        "a": "ready", "b": "succeeded", "last": "blocked"}
    assert db.one("SELECT need FROM muster.blocked") == 1


def test_G2_end_of_a_need_against_a_retry_of_the_flow(db, worker, scheduler):
    """It waits at the task, then finds the dependent that came back."""
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"},
                    "last": {"kind": "c", "needs": ["a", "b"]}})
    one, other = worker(), worker()
    one.claim({"a": 1})
    other.claim({"b": 1})
    one.finish_all("f")
    settle(db, scheduler)
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.session.begin()
    scheduler.carry_out()
    other.send_turn([(each, "s") for each in other.held])
    other.session.wait_blocked()
    scheduler.session.commit()
    other.answer()
    settle(db, scheduler)
    assert db.one("SELECT need FROM muster.blocked") == 1
    one.claim({"a": 1}, floors=False)
    one.finish_all()
    settle(db, scheduler)
    assert db.tasks(flow)["last"].state == "ready"


def test_A4_a_failure_while_the_flow_is_retried_stops_it_again(
        db, worker, scheduler):
    """The walk is over then: it brings nothing back that the stop took."""
    flow = db.flow({f"s{i}": {"kind": "a"} for i in range(6)},
                   on_failure="cancel")
    one = worker()
    one.claim({"a": 1}, limit=1)
    one.finish_all("f")
    settle(db, scheduler)
    number = db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.carry_out(3)
    assert db.states() == {"ready": 3, "cancelled": 3}
    held = one.claim({"a": 9}, floors=False).ids
    one.finish(held[0], outcome="f")
    one.finish(*held[1:], outcome="b")
    other = db.session("musterd")
    other.begin()
    other.run("SELECT FROM muster.task WHERE id = %s FOR UPDATE", max(held) + 1)
    scheduler.carry_out()  # the retry steps back, the stop goes on
    other.commit()
    settle(db, scheduler)
    assert db.one("SELECT answer FROM muster.request_status(%s)", number) \
        .endswith("run again, and then it was stopped again")
    assert db.states() == {"failed": 1, "cancelled": 5}


# Retry in pieces.

def run_all(worker, scheduler, bad=()):
    """Whatever there is to run; these fail."""
    for _ in range(10):
        scheduler.work()
        for task in worker.claim(50).ids:
            worker.finish(task, outcome="f" if task in bad else "s")
    scheduler.work()


def test_G2_retry_of_a_cancelled_flow_whose_first_piece_had_succeeded(
        db, worker, scheduler):
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "b", "needs": ["x"]},
                    "z": {"kind": "b", "needs": ["x"]}})
    one = worker()
    one.claim()
    one.finish_all()
    db.one("SELECT muster.cancel_flow(%s)", flow)
    scheduler.work()
    assert db.states() == {"succeeded": 1, "cancelled": 2}
    db.one("SELECT muster.retry_flow(%s)", flow)
    while scheduler.carry_out(1):
        pass
    assert db.states() == {"succeeded": 1, "ready": 2}


@pytest.mark.parametrize("later", [False, True])
def test_A2_retry_skips_what_ran_since_its_need_failed(
        db, worker, scheduler, later):
    """Whether it is met with its need or after that has succeeded."""
    flow = db.flow({"x": {"kind": "a"},
                    "y": {"kind": "b", "needs": [{"task": "x",
                                                  "when": "failed"}]},
                    "z": {"kind": "c", "needs": [{"task": "y",
                                                  "when": "failed"}]}})
    one = worker()
    run_all(one, scheduler, [row.id for row in db.tasks(flow).values()])
    assert db.states() == {"failed": 3}
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.carry_out(1 if later else 1000)
    one.claim()
    one.finish_all()
    scheduler.unlock()
    run_all(one, scheduler)
    assert {name: row.state for name, row in db.tasks(flow).items()} == {
        "x": "succeeded", "y": "skipped", "z": "skipped"}
    assert db.flow_status(flow).state == "succeeded"


def test_A2_what_fails_anew_during_a_retry_is_not_brought_back_again(
        db, worker, scheduler):
    """It was skipped, came back with its need, and failed before the retry had
    come to it."""
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "b", "needs": ["x"]}})
    tasks = {name: row.id for name, row in db.tasks(flow).items()}
    one = worker()
    run_all(one, scheduler, [tasks["x"]])
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.carry_out(1)
    one.claim()
    one.finish(tasks["x"])
    scheduler.unlock()
    assert one.claim().ids == [tasks["y"]]
    one.finish(tasks["y"], outcome="f")
    run_all(one, scheduler)
    assert db.state(tasks["y"]) == "failed"
    assert db.flow_status(flow).state == "failed"


def test_A2_G2_retry_in_pieces_brings_a_task_back_after_all_of_its_needs(
        db, worker, scheduler):
    """One of them succeeds before the retry has come to the other, whose failure
    of old is what the task would run on."""
    flow = db.flow([
        {"name": "x", "kind": "a"}, {"name": "y", "kind": "a"},
        {"name": "last", "kind": "b", "needs": [
            "x", {"task": "y", "when": "failed"}]}])
    tasks = {name: row.id for name, row in db.tasks(flow).items()}
    assert tasks["x"] < tasks["y"] < tasks["last"]
    one = worker()
    run_all(one, scheduler, tasks.values())
    assert db.states() == {"failed": 2, "skipped": 1}
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.carry_out(1)
    assert one.claim().ids == [tasks["x"]]
    one.finish(tasks["x"])
    scheduler.unlock()
    assert not one.claim().ids
    run_all(one, scheduler)
    assert {name: row.state for name, row in db.tasks(flow).items()} == {
        "x": "succeeded", "y": "succeeded", "last": "skipped"}


def test_A2_G2_retry_in_pieces_brings_back_what_was_skipped_since_it_began(
        db, worker, scheduler):
    """The flow still runs: its last need but one fails before, and the first, which
    runs again, succeeds before the retry has come there."""
    flow = db.flow([
        *({"name": name, "kind": name} for name in "abc"),
        {"name": "last", "kind": "b", "needs": ["a", "b", "c"],
         "needs_mode": {"at_least": 2}}])
    tasks = {name: row.id for name, row in db.tasks(flow).items()}
    one = worker()
    one.claim()
    one.finish(tasks["a"], outcome="f")
    scheduler.work()
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.carry_out(1)
    one.claim()
    one.finish(tasks["a"])
    one.finish(tasks["c"], outcome="f")
    while scheduler.unlock():
        pass
    assert db.state(tasks["last"]) == "skipped"
    settle(db, scheduler)
    assert db.state(tasks["last"]) == "blocked"
    one.finish(tasks["b"])
    settle(db, scheduler)
    assert db.state(tasks["last"]) == "ready"
