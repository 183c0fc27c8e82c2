"""Waking, marks, retention, why, roles, bad values, sql tasks, invariants."""

import os
import re

import psycopg2
import pytest

from sql.daemon import sleep_on
from support import build


# Waking.

def test_nobody_is_notified_while_nobody_sleeps(db, listener, worker,
                                                scheduler):
    need = db.enqueue("a")
    db.enqueue_many("a", 5)
    db.enqueue("a", depends_on=[need])
    scheduler.work()
    worker().claim(1)
    assert listener.heard() == []


def test_one_notification_a_transaction_and_queue(db, listener):
    sleep_on(db, "default", "q2")
    client = db.session("app")
    client.begin()
    for _ in range(5):
        client.run("SELECT muster.enqueue('a')")
    client.run("SELECT muster.enqueue_many('a', '{1,2,3}')")
    client.run("SELECT muster.enqueue('a', queue => 'q2')")
    client.run("SELECT muster.enqueue('a', queue => 'q3')")
    assert listener.heard() == []
    client.commit()
    assert sorted(listener.heard()) == ["ready default 8", "ready q2 1"]


def test_wake_false_is_silent(db, listener):
    sleep_on(db, "default", "")
    db.enqueue("a", wake=False)
    db.enqueue_many("a", 3, wake=False)
    db.rows("SELECT muster.enqueue('a', run_at => now() + interval '1 h', "
            "wake => false)")
    assert listener.heard() == []


def test_who_sleeps_is_looked_up_at_commit(db, listener):
    client = db.session("app")
    client.begin()
    client.run("SELECT muster.enqueue('a')")
    sleep_on(db, "default")
    client.commit()
    assert listener.heard() == ["ready default 1"]
    db.rows("SELECT muster.wake_up(1)")
    db.enqueue("a")
    assert listener.heard() == []


def test_what_was_rolled_back_is_not_told(db, listener):
    sleep_on(db, "default")
    client = db.session("app")
    client.begin()
    client.run("SAVEPOINT s")
    client.run("SELECT muster.enqueue_many('a', '{1,2,3}')")
    client.run("ROLLBACK TO s")
    client.run("SELECT muster.enqueue('a')")
    client.commit()
    assert listener.heard() == ["ready default 1"]


def test_constraints_made_immediate_lose_no_notification(db, listener):
    sleep_on(db, "default")
    client = db.session("app")
    client.begin()
    client.run("SELECT muster.enqueue('a')")
    client.run("SET CONSTRAINTS ALL IMMEDIATE")
    client.run("SET CONSTRAINTS ALL DEFERRED")
    client.run("SELECT muster.enqueue('a')")
    client.commit()
    assert listener.heard() == ["ready default 1"]  # twice, told once


def test_an_old_snapshot_notifies_whether_or_not_someone_sleeps(db, listener):
    client = db.session("app", "repeatable read")
    client.run("SELECT muster.enqueue('a')")
    assert listener.heard() == ["ready default 1"]


def test_work_for_a_scheduler_is_told_once(db, listener):
    need = db.enqueue("a")
    sleep_on(db, "")
    client = db.session("app")
    client.begin()
    for _ in range(3):
        client.run("SELECT muster.enqueue('a', depends_on => ARRAY[%s])",
                   need)
    client.run("SELECT muster.cancel(%s)", need)
    client.commit()
    assert listener.heard() == ["work", "request"]


def test_requests_are_told_once_whoever_sleeps(db, listener):
    client = db.session("app")
    client.begin()
    for queue in "a", "b", "c":
        client.run("SELECT muster.pause(%s)", queue)
    client.commit()
    assert listener.heard() == ["request"]


def test_only_an_earlier_due_time_is_told(db, listener):
    sleep_on(db, "")
    for minutes, told in ((10, ["work"]), (20, []), (5, ["work"]), (7, [])):
        db.rows("SELECT muster.enqueue('a', run_at => now() + %s * "
                "interval '1 min')", minutes)
        assert listener.heard() == told


def sleepers(db):
    return {row.id for row in db.rows("SELECT id FROM muster.sleepers")}


def test_E1_sleepers_that_never_wake_are_taken_off_the_list(db, worker):
    one, left, dead, late = (worker() for _ in range(4))
    for each in (one, left, dead):
        sleep_on(db, "default", number=each.id)
    db.rows("SELECT muster.worker_leave(%s)", left.id)
    db.rows("SELECT * FROM muster.rescue(%s, 'gone', NULL, 3)", dead.id)
    assert sleepers(db) == {one.id}, "they went with their worker"
    db.rows("SELECT * FROM muster.rescue(%s, 'gone', NULL, 3)", late.id)
    for number in (late.id, 7, -1, -2):
        sleep_on(db, "default", number=number)
    db.rows("UPDATE muster.sleepers SET listed_at = now() - CASE id "
            "WHEN -1 THEN interval '4 min' ELSE interval '2 min' END "
            "WHERE id IN (-1, -2, %s)", one.id)
    db.rows("SELECT muster.purge(100, '{}', '{}')")
    assert sleepers(db) == {one.id, -2}


def test_E1_saying_again_that_one_sleeps_writes_only_now_and_then(db):
    said = "SELECT muster.sleep_on('test', -3, '{\"\"}')"
    row = "SELECT xmin::text, queues FROM muster.sleepers"
    assert db.one(said) is True
    before = db.one(row)
    assert db.one(said) is False
    assert db.one(row) == before
    db.rows("UPDATE muster.sleepers SET listed_at = now() - interval '2 min'")
    assert db.one(said) is False
    assert db.one("SELECT now() - listed_at < interval '1 min' "
                  "FROM muster.sleepers")
    assert db.one("SELECT muster.sleep_on('test', -3, '{a}')") is False
    assert db.one(row).queues == ["a"]


def test_daemon_wakes_sleepers_too(db, listener, worker, scheduler):
    """Unlocked, due, given back, rescued, resumed."""
    need = db.enqueue("a")
    db.enqueue("b", depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim()
    sleep_on(db, "default")
    sleep_on(db, "", number=2)
    one.finish(need)
    assert listener.heard() == ["ready default 1"]
    one.claim()
    one.finish_all("b")
    assert listener.heard() == ["ready default 1"]
    one.claim()
    one.turn([(task, "r", {"delay": 20}) for task in one.held])
    assert listener.heard() == ["work"]
    db.rows("SELECT pg_sleep(0.03)")
    db.rows("SELECT * FROM muster.due(10, NULL)")
    assert listener.heard() == ["ready default 1"]
    one.claim()
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    assert listener.heard() == ["ready default 1"]
    db.one("SELECT muster.pause('default')")
    scheduler.work()
    db.one("SELECT muster.resume('default')")
    listener.heard()
    scheduler.work()
    assert listener.heard() == ["ready default 1"]


def chain_of(db, *kinds):
    """Tasks of these kinds, each of which waits for the one before it."""
    tasks = [db.enqueue(kinds[0])]
    for kind in kinds[1:]:
        tasks.append(db.enqueue(kind, depends_on=[tasks[-1]]))
    return tasks


def test_B1_a_turn_tells_nobody_of_what_it_claims_itself(db, listener, worker,
                                                        scheduler):
    tasks = chain_of(db, "a", "b", "b", "c")
    scheduler.work()
    one = worker()
    one.claim()
    sleep_on(db, "default")
    answer = one.turn([(tasks[0], "s")], want=2)
    assert answer.ids == [tasks[1]]
    answer = one.turn([(tasks[1], "s")], want={"b": 2})
    assert answer.ids == [tasks[2]]
    assert listener.heard() == []
    one.turn([(tasks[2], "s")], want={"b": 2})  # has no room for it
    assert listener.heard() == ["ready default 1"]


@pytest.mark.parametrize("wants, told", [
    ({"want": {"b": 3}}, 3), ({"want": 5, "limit": 2}, 3),
    ({"want": 5, "max_bytes": 1}, 5),  # of two it says so twice
    ({"want": {"a": 5}}, 3), ({"want": 0}, 3)])
def test_B1_what_a_turn_may_leave_ready_is_told(db, listener, worker,
                                                scheduler, wants, told):
    need = db.enqueue("a")
    for _ in range(3):
        db.enqueue("b", {"n": 1}, depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim()
    sleep_on(db, "default")
    one.turn([(need, "s")], **wants)
    assert listener.heard() == [f"ready default {told}"]


def test_B1_a_turn_does_not_wake_its_own_worker(db, listener, worker,
                                                scheduler):
    """It looks by itself once it has room."""
    tasks = chain_of(db, "a", "b")
    scheduler.work()
    one = worker()
    one.claim()
    sleep_on(db, "default", number=one.id)
    one.turn([(tasks[0], "s")])
    assert listener.heard() == []
    db.enqueue("a")
    assert listener.heard() == ["ready default 1"]


def test_B1_after_a_turn_the_same_transaction_tells_at_once(
        db, listener, worker, scheduler):
    tasks = chain_of(db, "a", "b")
    one = worker()
    one.claim()
    sleep_on(db, "default")
    scheduler.work()
    one.session.begin()
    one.claim()
    one.session.run("SELECT muster.worker_leave(%s)", one.id)
    one.session.commit()
    assert tasks and listener.heard() == ["ready default 1"]


def test_remainders_and_stopped_flows_are_work(db, listener, worker,
                                               scheduler):
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b", "needs": ["a"]}},
                   on_failure="cancel")
    one = worker()
    one.claim()
    sleep_on(db, "")
    one.finish_all("f")
    assert listener.heard() == ["work"]
    scheduler.work()
    assert db.flow_status(flow).state == "failed"


def test_cancel_notifies_the_worker_always(db, listener, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.work()
    assert listener.heard() == ["request", f"cancel {one.id}"]
    one.finish(task, outcome="c")


# Floors and marks.

def test_B1_what_committed_late_is_found_by_a_sweep(db, worker):
    client = db.session("app")
    client.begin()
    late = client.one("SELECT muster.enqueue('a')")
    ids = db.enqueue_many("a", 10)
    one = worker()
    assert one.claim(5, limit=5).ids == ids[:5]
    assert one.claim(20).ids == ids[5:]
    client.commit()
    assert one.claim(20).ids == []  # below the floor
    assert one.claim(20, floors=False).ids == [late]


def marks(db):
    return {row.lane: row.mark for row in db.rows(
        "SELECT lane, mark FROM muster.lane_mark WHERE route_id > 0")}


def test_B1_mark_passes_no_transaction_that_is_open(db, worker):
    db.enqueue_many("a", 3000)
    client = db.session("app")
    client.begin()
    late = client.one("SELECT muster.enqueue('a')")
    db.enqueue_many("a", 3000)
    one = worker()
    while one.claim(1000, floors=False).tasks:
        one.finish_all()
    for _ in range(3):
        db.rows("SELECT muster.mark()")
        assert marks(db).get(8, 0) <= 3001
    client.commit()
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    assert one.claim(20, floors=False).ids == [late]
    one.finish_all()
    db.enqueue_many("a", 1)
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    assert marks(db)[8] >= 3000


def test_B1_mark_ignores_readers_and_claims_that_come_to_nothing(db, worker):
    reader = db.session()
    reader.run("SET default_transaction_isolation = 'repeatable read'")
    reader.begin()
    reader.run("SELECT count(*) FROM muster.task")
    ids = db.enqueue_many("a", 3000)
    one, other = worker(), worker()
    while len(one.claim(1000).tasks) == 1000:
        one.finish_all()
    one.finish_all()
    first = db.enqueue("a")
    other.session.begin()
    assert other.claim().ids == [first]
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    other.session.rollback()
    db.rows("SELECT muster.mark()")
    assert one.claim(10, floors=False).ids == [first]
    assert marks(db) in ({}, {8: 3001}) and len(ids) == 3000
    reader.commit()


def test_B1_mark_of_scheduled_passes_no_open_transaction(db):
    client = db.session("app")
    client.begin()
    late = client.one("SELECT muster.enqueue('a', run_at => "
                      "clock_timestamp() + interval '400 ms')")
    db.rows("SELECT pg_sleep(0.5)")
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    assert db.one("SELECT moved FROM muster.due(10, NULL)") == 0
    client.commit()
    assert db.one("SELECT moved FROM muster.due(10, NULL)") == 1
    assert db.state(late) == "ready"
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    assert db.one("SELECT count(*) FROM muster.scheduled_mark") == 1


def list_mark(db, name):
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    return db.one("SELECT muster.list_mark(%s)", name)


def test_E1_admission_goes_past_what_an_old_snapshot_keeps(db, scheduler):
    reader = db.session("reader", "repeatable read")
    reader.begin()
    reader.run("SELECT count(*) FROM muster.task_status")
    db.rows("SELECT muster.mark()")
    client = db.session("app")
    client.begin()
    late = client.one("SELECT muster.enqueue('a', lock_key => 'late')")
    db.enqueue_many("a", 1500, lock_keys=[f"k{n}" for n in range(1500)])
    while scheduler.admit():
        pass
    assert list_mark(db, "arriving") <= 1
    client.commit()
    assert scheduler.admit() == 1 and db.state(late) == "ready"
    scheduler.work()
    assert list_mark(db, "arriving") > 1500
    again = db.enqueue("a", lock_key="late")  # waits; comes back when it is old
    scheduler.work()
    assert db.state(again) == "waiting"
    db.one("SELECT muster.cancel(%s)", late)
    scheduler.work()
    assert db.state(again) == "ready"


def test_E1_requests_go_past_what_an_old_snapshot_keeps(db, scheduler):
    reader = db.session("reader", "repeatable read")
    reader.begin()
    reader.run("SELECT count(*) FROM muster.task_status")
    task = db.enqueue("a")
    db.rows("SELECT muster.mark()")
    client = db.session("app")
    client.begin()
    late = client.one("SELECT muster.cancel(%s)", task)
    db.rows("SELECT muster.cancel(1000000000000) FROM generate_series(1, 1500)")
    while scheduler.carry_out():
        pass
    assert list_mark(db, "request") <= late
    client.commit()
    while scheduler.carry_out():
        pass
    assert db.state(task) == "cancelled"
    assert list_mark(db, "request") > 1500


def test_E1_a_request_has_its_number_after_its_transaction(db):
    """Between the two a mark could pass it."""
    client = db.session()
    client.begin()
    client.run("SELECT muster.request_number()")
    assert client.one("SELECT pg_current_xact_id_if_assigned()") is not None
    client.rollback()


def mark_writes(db):
    """Calls mark(); whether it wrote anything."""
    session = db.session()
    session.begin()
    session.run("SELECT muster.mark()")
    wrote = session.one("SELECT pg_current_xact_id_if_assigned()")
    session.commit()
    session.close()
    return wrote is not None


def test_E1_mark_writes_nothing_while_nothing_is_drawn(db, worker):
    assert mark_writes(db), "the first probe"
    assert mark_writes(db), "the mark of scheduled begins"
    assert not mark_writes(db)
    db.enqueue_many("a", 3000)
    assert mark_writes(db), "a sequence has moved"
    assert not mark_writes(db)
    one = worker()
    while one.claim(1000).tasks:
        one.finish_all()
    assert mark_writes(db), "a line was emptied: its mark moves"
    assert marks(db) == {8: 3000}
    assert not mark_writes(db)


def test_E1_mark_writes_nothing_while_its_probe_is_not_settled(db):
    client = db.session("app")
    client.begin()
    client.run("SELECT muster.enqueue('a')")
    assert mark_writes(db)
    db.enqueue("a")
    assert not mark_writes(db)
    client.commit()
    assert mark_writes(db)


def test_doubles_of_routes_and_lanes_are_folded(db, worker, scheduler):
    """Two clients that don't see each other make the same ones."""
    first, second = db.session("app"), db.session("app")
    for client in (first, second):
        client.begin()
        client.run("SELECT muster.enqueue('fresh', queue => 'q')")
    first.commit()
    second.commit()
    assert db.one("SELECT count(*) FROM muster.route") == 2
    one = worker(kinds=["fresh"], queues=["q"])
    assert len(one.claim().ids) == 2
    scheduler.session.run("SELECT muster.tidy()")
    assert db.one("SELECT count(*) FROM muster.route") == 1
    assert db.one("SELECT count(*) FROM muster.lanes") == 1
    one.finish_all()


def test_numbers_of_routes_that_collide_are_told_apart(db, worker):
    """A route that takes another pair's number is met by probing on."""
    number = db.one("SELECT muster.route_of('q', 'k')")
    db.rows("UPDATE muster.route SET kind = 'other'")
    assert db.one("SELECT muster.route_of('q', 'k')") != number


# Retention.

def purge(db, keep, limit=10000):
    return db.one("SELECT gone FROM muster.purge(%s, %s, %s)", limit, list(keep),
                  list(keep.values()))


def test_purge_keeps_by_queue(db, worker):
    one = worker(queues=("default", "q2", "q3"))
    ids = {queue: db.enqueue_many("a", 3, queue=queue)
           for queue in ("default", "q2", "q3")}
    one.claim(20)
    one.finish_all()
    open_task = db.enqueue("a")
    db.rows("UPDATE muster.task SET finished_at = finished_at - "
            "interval '2 h'")
    db.age("2 h")
    assert purge(db, {"default": 3600000, "q2": 7200000 + 3600000}) == 3
    assert db.states(ids["q2"] + ids["q3"]) == {"succeeded": 6}
    assert db.states(ids["default"]) == {}
    assert db.state(open_task) == "ready"
    db.age("10 h")
    assert purge(db, {"q2": 3600000}) == 3
    db.age("2 days")
    assert purge(db, {"": 3600000}) == 3
    assert db.states() == {"ready": 1}


def test_purge_keeps_what_open_tasks_depend_on(db, worker, scheduler):
    need = db.enqueue("a")
    other = db.enqueue("c")
    task = db.enqueue("b", depends_on=[need, other])
    scheduler.work()
    one = worker()
    one.claim({"a": 1})
    one.finish(need)
    assert purge(db, {"": 0}) == 0
    assert db.state(need) == "succeeded"
    one.claim({"c": 1})
    one.finish(other)
    one.claim({"b": 1})
    one.finish(task)
    db.age("1 h")
    assert purge(db, {"": 0}) == 3
    for table in ("task", "edge", "needs", "finished", "kept"):
        assert db.one(f"SELECT count(*) FROM muster.{table}") == 0


def test_purge_takes_flows_as_a_whole(db, worker, scheduler):
    flow = db.flow({f"s{n}": {"kind": "a"} for n in range(25)})
    one = worker()
    one.claim(10, limit=10)
    one.finish_all()
    scheduler.work()
    assert purge(db, {"": 0}) == 0
    one.claim(100)
    one.finish_all()
    scheduler.work()
    gone = []
    while db.noted():
        gone.append(purge(db, {"": 0}, limit=10))
        assert db.invariants() == []
    assert sum(gone) == 25 and max(gone) == 10
    assert db.rows("SELECT id FROM muster.flow WHERE id = %s", flow) == []


def test_purge_removes_attempts_and_old_answers(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    one.finish(task, outcome="f", error="x")
    db.one("SELECT muster.pause('q')")
    scheduler.work()
    other = worker()
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", other.id)
    db.rows("UPDATE muster.request SET done_at = now() - interval '2 days'")
    db.rows("UPDATE muster.worker SET dead_at = now() - interval '2 days' "
            "WHERE dead_at IS NOT NULL")
    assert purge(db, {"": 0}) == 1
    for table in ("attempt", "request"):
        assert db.one(f"SELECT count(*) FROM muster.{table}") == 0
    assert db.one("SELECT id FROM muster.worker") == one.id


def test_retried_task_is_not_purged(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    one.finish(task, outcome="f")
    db.one("SELECT muster.retry(%s)", task)
    scheduler.work()
    assert purge(db, {"": 0}) == 0
    assert db.state(task) == "ready"


# Why.

def test_H3_why_leads_to_the_root(db, worker, scheduler):
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b", "needs": ["a"]},
                    "c": {"kind": "b", "needs": ["b"]}})
    tasks = db.tasks(flow)
    one = worker(kinds=("a",))
    rows = db.why(tasks["c"].id)
    assert [(row.depth, row.task_id) for row in rows] == [
        (0, tasks["c"].id), (1, tasks["b"].id), (2, tasks["a"].id)]
    assert rows[0].reason == "c (b): it waits for 1 task"
    assert "waits for a free slot: 0 before it, 0 running" in rows[2].reason
    one.claim()
    reason = db.why(tasks["c"].id)[2].reason
    assert f"run by worker {one.id} (process 42 on host)" in reason
    one.finish(tasks["a"].id, outcome="f", error="broke")
    scheduler.work()
    rows = db.why(tasks["c"].id)
    assert rows[0].reason.startswith("c (b): it was skipped: needs task")
    assert rows[2].reason == "a (a): it failed: broke"


def test_H3_why_of_every_place(db, worker, scheduler):
    def why(task):
        return db.why(task)[0].reason
    plain = db.enqueue("a")
    assert "no live worker" in why(plain)
    one = worker(kinds=("b",))
    assert "no live worker runs kind a in queue default" in why(plain)
    later = db.one("SELECT muster.enqueue('b', run_at => now() + "
                   "interval '1 h')")
    assert "it waits until" in why(later)
    after = db.enqueue("b", depends_on=[plain])
    assert "waits for a scheduler" in why(after)
    assert db.why(after)[1].task_id == plain
    db.one("SELECT muster.cancel(%s)", plain)
    scheduler.carry_out()
    assert "cancelled on request of postgres" in why(plain)
    scheduler.work()
    assert "it was skipped" in why(after)
    assert why(999) == "there is no task 999"
    done = db.enqueue("b")
    one.claim()
    one.finish(done)
    assert "it has succeeded" in why(done)
    again = db.enqueue("b")
    one.claim()
    one.finish(again, outcome="r", delay=60000, error="no luck")
    assert "after: no luck" in why(again)


def test_H3_why_of_a_wide_graph_is_bounded(db):
    flow = db.flow({**{f"s{n}": {"kind": "a"} for n in range(300)}, "end": {
        "kind": "b", "needs": [f"s{n}" for n in range(300)]}})
    rows = db.why(db.tasks(flow)["end"].id)
    assert len(rows) == 6 and rows[0].reason.endswith("it waits for 300 tasks")


# Bad values.

@pytest.mark.parametrize("value", [
    '{"x": "\\u0000"}', '"\\ud800"', "1e200000", '"' + "x" * 10, "{", ""])
def test_G1_one_bad_result_of_300_is_refused_and_the_rest_goes_singly(
        db, worker, value):
    """As the worker does: the batch is refused whole, with nothing written,
    and is bisected; the guilty one fails with its SQLSTATE."""
    ids = db.enqueue_many("a", 300)
    one = worker()
    one.claim(300)
    held = dict(one.held)
    ended = [(task, "s", {"result": value if task == ids[123] else '"ok"',
                          "lease": held[task]}) for task in ids]

    def write(some):
        try:
            one.turn(some)
        except psycopg2.Error as error:
            assert error.pgcode[:2] in ("22", "54")
            if len(some) == 1:
                task, _, more = some[0]
                one.turn([(task, "f", {"error": error.pgcode, **{
                    "lease": more["lease"]}})])
                return
            write(some[:len(some) // 2])
            write(some[len(some) // 2:])
    write(ended)
    assert db.states() == {"succeeded": 299, "failed": 1}
    assert re.match("22|54", db.task(ids[123]).error)


def test_G1_B2_jsonb_takes_and_refuses_what_workers_think_it_does(db):
    """tests/corpus/json, by which the workers' validator is tested."""
    folder = os.path.join(build.TOP, "tests", "corpus", "json")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = file.read()
        try:
            db.rows("SELECT jsonb_typeof(%s)", text)
            taken = True
        except psycopg2.Error as error:
            assert error.pgcode[:2] == "22", name
            taken = False
        assert taken == name.startswith("fit-"), name
    db.rows("SELECT jsonb_typeof((repeat('9', 131072) || '.' || "
            "repeat('0', 16383))::jsonb)")
    for text in ("repeat('9', 131073)", "'0.' || repeat('0', 16384)"):
        with pytest.raises(psycopg2.Error, match="overflows numeric"):
            db.rows(f"SELECT jsonb_typeof(({text})::jsonb)")


def test_G1_bytes_that_are_no_utf8_are_refused_by_the_server(db, worker):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    with pytest.raises(psycopg2.Error) as caught:
        one.session.run(
            f"SELECT * FROM muster.turn({one.id}, '{{{one.held[task]}}}', "
            f"'{{{task}}}', 'f', '{{}}', '{{}}', '{{}}', "
            "ARRAY[convert_from('\\xff', 'UTF8')], '{}', '{}', 0, 0, '{}', "
            "'{}', '{}', '{}')")
    assert caught.value.pgcode == "22021"
    assert db.state(task) == "running"
    one.finish(task)


def test_large_results_and_errors_are_kept(db, worker):
    good, bad = db.enqueue_many("a", 2)
    one = worker()
    one.claim()
    one.turn([(good, "s", {"result": '"' + "x" * 10 ** 7 + '"'}),
              (bad, "f", {"error": "y" * 10 ** 7})])
    assert len(db.task(good).result) == 10 ** 7
    assert len(db.task(bad).error) == 10 ** 7


# Roles.

def test_roles_may_do_what_they_should_and_no_more(db):
    app, reader = db.session("app"), db.session("reader")
    task = app.one("SELECT muster.enqueue('a')")
    assert app.one("SELECT state FROM muster.task_status WHERE id = %s",
                   task) == "ready"
    assert reader.one("SELECT ready FROM muster.queue_stats") == 1
    assert reader.run("SELECT * FROM muster.why(%s)", task)
    for session, sql in (
            (reader, "SELECT muster.enqueue('a')"),
            (reader, "SELECT * FROM muster.task"),
            (app, "SELECT * FROM muster.task"),
            (app, "DELETE FROM muster.ready"),
            (app, "SELECT muster.admit(1)"),
            (app, "SELECT muster.route_of('a', 'b')"),
            (app, "SELECT muster.set_setting('max_payload', '1')"),
            (db.session("musterd"), "CREATE TABLE muster.x ()"),
            (db.session("musterd"), "DELETE FROM muster.schema_version")):
        with pytest.raises(psycopg2.Error) as caught:
            session.run(sql)
        assert caught.value.pgcode == "42501", sql


def test_every_view_can_be_read_by_those_who_may(db, worker, scheduler):
    """With rows in it: what its columns call is called only then."""
    one = worker()
    db.flow({"m": {"kind": "b", "map": [1, 2]}, "n": {
        "kind": "b", "needs": ["m"]}})
    task = db.enqueue("a")
    one.claim({"a": 1})
    one.finish(task, outcome="f", error="x")
    scheduler.work()
    db.one("SELECT muster.schedule('s', 'a', every => '1 h')")
    db.rows("UPDATE muster.schedule SET last_task = %s", task)
    db.rows("INSERT INTO muster.schedule_run (schedule, at, tick, task_id, "
            "outcome) VALUES ('s', now(), now(), %s, 'r')", task)
    db.one("SELECT muster.pause_kind('c')")
    scheduler.work()
    one.session.run(
        "SELECT * FROM muster.borrow(%s, '{q}', '{default}', '{5}', '{7}', "
        "'{7}', '{1}', '{0}', '{0}', '{0}', '{0}', '{0}', '{0}')", one.id)
    for user, role in (("app", "muster_client"), ("reader", "muster_reader")):
        session = db.session(user)
        names = [row.name for row in db.rows(
            "SELECT c.oid::regclass::text AS name FROM pg_class c "
            "WHERE c.relnamespace = 'muster'::regnamespace "
            "AND c.relkind IN ('v', 'r') "
            "AND has_table_privilege(%s, c.oid, 'SELECT')", role)]
        assert len(names) > 12
        for name in names:
            rows = session.run(f"SELECT * FROM {name}")
            assert rows or name == "muster.enqueue_rows", name


def test_public_functions_trust_no_search_path(db):
    db.rows("CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO app;"
            "CREATE FUNCTION evil.hashtextextended(text, bigint) RETURNS "
            "bigint LANGUAGE plpgsql AS "
            "'BEGIN RAISE EXCEPTION ''caught''; END'")
    app = db.session("app")
    app.run("SET search_path = evil, pg_catalog")
    assert app.one("SELECT muster.enqueue('a')")


def test_every_definers_function_sets_its_search_path(db):
    assert db.rows(
        "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = "
        "'muster'::regnamespace AND NOT coalesce(proconfig::text LIKE "
        "'%%search_path=pg_catalog, pg_temp%%', false)") == []


# SQL tasks.

@pytest.fixture
def function(db):
    db.rows("""
        CREATE TABLE public.effect (task bigint, who text);
        CREATE ROLE sql_role_%(name)s;
        GRANT sql_role_%(name)s TO musterd;
        GRANT INSERT, SELECT ON public.effect TO sql_role_%(name)s;
        CREATE FUNCTION public.work(payload jsonb, inputs jsonb,
            task muster.task_context) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.effect VALUES (task.id, current_user);
            IF payload ? 'fail' THEN
                RAISE EXCEPTION 'no luck';
            END IF;
            RETURN jsonb_build_object('attempt', task.attempt, 'kind',
                task.kind, 'inputs', inputs, 'token', task.token,
                'seqscan', current_setting('enable_seqscan'));
        END $$""".replace("%(name)s", db.name))
    yield f"sql_role_{db.name}"
    db.rows("DROP FUNCTION public.work; DROP TABLE public.effect;"
            f"DROP ROLE sql_role_{db.name}")


def run_sql(one, task, role, name="public.work"):
    one.session.run("SELECT * FROM muster.sql_tasks(%s, %s, %s, %s, %s, 1000)",
                    one.id, [one.held[task]], [task], name, role)


def test_sql_task_is_its_effect_and_its_finish(db, worker, function):
    task, other = db.enqueue("a"), db.enqueue("a")
    one = worker()
    one.claim()
    run_sql(one, task, function)
    row = db.task(task)
    assert row.state == "succeeded"
    assert row.result == {
        "attempt": 1, "kind": "a", "inputs": {}, "seqscan": "on",
        "token": f"{one.held[task]}-{task}"}
    assert db.rows("SELECT * FROM public.effect") == [(task, function)]
    assert one.session.one("SELECT current_user") == "musterd"
    assert db.one("SELECT task_ids FROM muster.lease") == [other]


def test_sql_task_that_is_fenced_leaves_no_effect(db, worker, function):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    with pytest.raises(psycopg2.Error) as caught:
        run_sql(one, task, function)
    assert caught.value.pgcode == "MU002"
    assert db.rows("SELECT * FROM public.effect") == []
    assert db.state(task) == "ready"


def test_sql_task_fenced_while_it_runs(db, worker, function):
    db.rows("""CREATE FUNCTION public.slow(payload jsonb, inputs jsonb,
        task muster.task_context) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.effect VALUES (task.id, 'slow');
            PERFORM pg_advisory_xact_lock(77);
            RETURN NULL;
        END $$""")
    task = db.enqueue("a")
    one = worker()
    one.claim()
    gate = db.session()
    gate.run("SELECT pg_advisory_lock(77)")
    one.session.send("SELECT muster.sql_tasks(%s, %s, %s, 'public.slow', %s,"
                     " 1000)", one.id, [one.held[task]], [task], function)
    one.session.wait_blocked()
    db.rows("SET lock_timeout = '1 s'")  # the rescue waits for nobody
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    gate.run("SELECT pg_advisory_unlock(77)")
    with pytest.raises(psycopg2.Error) as caught:
        one.session.answer()
    assert caught.value.pgcode == "MU002"
    assert db.rows("SELECT * FROM public.effect") == []
    db.rows("DROP FUNCTION public.slow")


def test_sql_task_that_raises_comes_out_as_it_is(db, worker, function):
    task = db.enqueue("a", {"fail": True})
    one = worker()
    one.claim()
    with pytest.raises(psycopg2.Error, match="no luck"):
        run_sql(one, task, function)
    assert db.state(task) == "running"
    assert one.session.one("SELECT current_user") == "musterd"
    with pytest.raises(psycopg2.Error):
        run_sql(one, task, function, "no_such(); DROP TABLE muster.task")
    one.finish(task, outcome="f", error="no luck")


# Invariants: each is found when it is broken.

@pytest.mark.parametrize("number, harm", [
    (1, "DELETE FROM muster.ready"),
    (1, "INSERT INTO muster.ready SELECT 999, task_id, at, route_id, size, "
        "rank, lane, ticket FROM muster.ready LIMIT 1"),
    (1, "UPDATE muster.task SET state = 's' WHERE id = (SELECT task_id FROM "
        "muster.ready LIMIT 1)"),
    (1, "UPDATE muster.lease SET task_ids = task_ids || 12345::bigint"),
    (2, "UPDATE muster.blocked SET need = need + 1"),
    (2, "DELETE FROM muster.edge"),
    (3, "UPDATE muster.worker SET dead_at = now()"),
    (3, "INSERT INTO muster.cancelling VALUES (1, 1)"),
    (5, "UPDATE muster.flow SET succeeded = 1"),
    (6, "INSERT INTO muster.edge VALUES (1, 999, 0, 's')")])
def test_invariants_are_found_when_broken(db, worker, number, harm):
    db.flow({"x": {"kind": "a"}, "y": {"kind": "a", "needs": ["x"]}})
    db.enqueue_many("b", 2)
    worker().claim({"b": 1})
    assert db.invariants() == []
    session = db.session()
    session.begin()
    session.run(harm)
    found = session.run("SELECT invariant FROM muster.check_invariants()")
    session.rollback()
    assert number in {row.invariant for row in found}


# Plans.

def test_B1_plans_made_on_empty_tables_stay_good(db, worker, scheduler):
    """A session that planned everything on empty, analysed tables keeps its
    cost when there are many rows beside its own."""
    db.rows("ANALYZE")
    one = worker()
    for _ in range(8):
        first = db.enqueue("a")
        db.enqueue("a", depends_on=[first])
        scheduler.work()
        one.claim(floors=False)
        one.finish_all("r")
        db.rows("UPDATE muster.scheduled SET run_at = now()")
        scheduler.work()
        one.claim(floors=False)
        one.finish_all()
        one.claim(floors=False)
        one.finish_all()
    db.rows("INSERT INTO muster.task (id, created_at, route_id, size, rank, "
            "lane, payload) SELECT 1000000 + i, now(), 1, 2, 0, 8, '{}' "
            "FROM generate_series(1, 200000) i")
    db.rows("INSERT INTO muster.scheduled SELECT now() + interval '1 h', "
            "1000000 + i, 1, 2, 0, 8, 0 FROM generate_series(1, 100000) i")
    db.rows("INSERT INTO muster.blocked SELECT 1100000 + i, NULL, 1, 0, 1, "
            "2, 0, 8, 0 FROM generate_series(1, 100000) i")
    db.rows("INSERT INTO muster.edge SELECT 1000001, 1100000 + i, 0, 's' "
            "FROM generate_series(1, 100000) i")
    needs = db.enqueue_many("a", 100)
    for need in needs:
        db.enqueue("b", depends_on=[need])
    before = reads(db)
    scheduler.admit()
    one.claim(200, floors=False)
    one.finish_all()
    one.claim(200, floors=False)
    one.finish_all("f")
    scheduler.unlock()
    scheduler.fold()
    after = reads(db)
    for table in ("task", "blocked", "scheduled", "edge"):
        assert after[table] - before[table] < 10000, table
    db.rows("DELETE FROM muster.blocked; DELETE FROM muster.scheduled;"
            "DELETE FROM muster.edge; DELETE FROM muster.task "
            "WHERE id > 1000000")


def reads(db):
    """Rows read so far, by table."""
    def settled():
        return db.rows("SELECT pg_stat_clear_snapshot()")
    db.rows("SELECT pg_sleep(1.2)")  # statistics are sent once a second
    settled()
    return dict(db.rows(
        "SELECT relname::text, seq_tup_read + coalesce(idx_tup_fetch, 0) "
        "FROM pg_stat_user_tables WHERE schemaname = 'muster'"))


# Whose attempt a worker's death was.

def _rescue_inside(db, one, started, inside, limit=3):
    return db.rows("SELECT * FROM muster.rescue(%s, 'crash', %s, %s, %s)",
                   one.id, started, limit, inside)


def test_rescue_charges_the_only_task_inside_the_worker(db, worker):
    inside, beside, waiting = (db.enqueue("a") for _ in range(3))
    one = worker()
    one.claim()
    _rescue_inside(db, one, [inside, beside], [inside])
    rows = db.rows("SELECT id, attempts, rescues FROM muster.task ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (inside, 1, 1), (beside, 0, 1), (waiting, 0, 0)]
    assert db.states() == {"ready": 3}


def test_rescue_charges_nobody_when_several_were_inside(db, worker):
    tasks = [db.enqueue("a") for _ in range(3)]
    one = worker()
    one.claim()
    _rescue_inside(db, one, tasks, tasks[:2])
    assert db.one("SELECT sum(attempts) FROM muster.task") == 0
    assert db.states() == {"ready": 3}


def test_rescue_fails_a_guilty_task_after_its_last_attempt(db, worker):
    task = db.enqueue("a", max_attempts=1)
    one = worker()
    one.claim()
    assert [tuple(row) for row in _rescue_inside(db, one, [task], [task])] \
        == [(0, 1)]
    assert db.state(task) == "failed"
    assert db.task(task).attempt == 1


def test_claim_tells_how_often_a_task_was_rescued(db, worker):
    task = db.enqueue("a")
    one = worker()
    assert [claimed.rescues for claimed in one.claim().tasks] == [0]
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    two = worker()
    assert [(claimed.id, claimed.rescues) for claimed in two.claim().tasks] \
        == [(task, 1)]
