"""Retention: that it keeps up, in pieces that are bounded; what stays, and does not
stand in its way; whose retention a flow has."""

import pytest

KEEP = {"": 0}


def purge(db, limit=10000, keep=None):
    keep = KEEP if keep is None else keep
    return db.one("SELECT * FROM muster.purge(%s, %s, %s)", limit, list(keep),
                  list(keep.values()))


def purge_all(db, limit, keep=None):
    """As a scheduler does it: again at once as long as there is more."""
    calls = []
    while not calls or calls[-1].done >= limit:
        calls.append(purge(db, limit, keep))
        assert len(calls) < 500, "it goes round"
    assert not db.invariants()
    return calls


def tasks_left(db):
    return db.one("SELECT count(*) FROM muster.task")


def run(one, count=1, per_turn=1):
    """So many tasks, in turns of so many: each turn is a row."""
    for _ in range(0, count, per_turn):
        one.claim(per_turn, limit=per_turn)
        one.finish_all()


def run_flows(one, scheduler):
    for _ in range(20):
        scheduler.work()
        one.claim(1000)
        one.finish_all()
    scheduler.work()


def test_H1_purge_says_that_there_is_more_whatever_the_rows_size(db, worker):
    db.enqueue_many("a", 30)
    one = worker(kinds=("a",))
    run(one, 30)
    calls = purge_all(db, 10)
    assert [call.gone for call in calls] == [10, 10, 10, 0]
    db.enqueue_many("a", 60)
    run(one, 60, 20)
    calls = purge_all(db, 10)
    assert [call.gone for call in calls] == [20, 20, 20, 0]
    assert tasks_left(db) == db.noted() == 0


def test_H1_purge_says_when_there_will_be_something(db, worker):
    assert 59000 < purge(db, keep={"": 60000}).next_in_ms <= 60000
    db.enqueue("a")
    run(worker(kinds=("a",)))
    assert 50000 < purge(db, keep={"": 60000}).next_in_ms <= 60000
    db.age("55 s")
    assert 0 < purge(db, keep={"": 60000}).next_in_ms < 5000
    assert purge(db, keep={}).next_in_ms is None


def test_H1_what_else_is_old_is_removed_until_nothing_is_left(db):
    for number in range(25):
        db.enqueue("a", unique_key=f"k{number}", unique_for="1 h")
        db.one("SELECT muster.pause('q')")
    db.rows("UPDATE muster.unique_key SET until = now() - interval '1 s'")
    db.rows("UPDATE muster.request SET done_at = now() - interval '2 days'")
    purge_all(db, 10)
    for table in ("unique_key", "request"):
        assert db.one(f"SELECT count(*) FROM muster.{table}") == 0


def test_H1_what_stays_hides_nothing_and_does_not_go_round(
        db, worker, scheduler):
    needs = db.enqueue_many("a", 20)
    db.enqueue("b", depends_on=needs, run_at="2099-01-01T00:00:00Z")
    scheduler.work()
    one = worker(kinds=("a",))
    run(one, 20)
    free = db.enqueue_many("a", 20)
    run(one, 20)
    calls = purge_all(db, 10)
    assert sum(call.gone for call in calls) == 20 and len(calls) < 8
    assert db.states(needs) == {"succeeded": 20} and not db.states(free)
    assert db.one("SELECT min(at) > now() + interval '5 min' "
                  "FROM muster.kept") is True


def test_H1_a_host_holds_up_no_other_hosts_queue(db, worker):
    """Whoever looks first, and however long it keeps its own."""
    one = worker(queues=("q1", "q2"))
    for queue in ("q1", "q2"):
        db.enqueue_many("a", 3, queue=queue)
    one.claim(10)
    one.finish_all()
    assert purge(db, keep={"q1": 0}).gone == 3
    db.rows("UPDATE muster.task SET finished_at = finished_at - "
            "interval '1 h'")
    db.age("1 h")
    assert purge(db, keep={"q1": 0}).gone == 0, "it does not know q2"
    db.rows("UPDATE muster.task SET finished_at = finished_at - "
            "interval '2 h'")
    db.age("2 h")
    assert purge(db, keep={"q2": 3600000}).gone == 3


def test_H1_a_long_retention_is_met_to_a_part_of_it(db, worker):
    one = worker(queues=("q1", "q2"))
    db.enqueue_many("a", 3, queue="q2")
    one.claim(10)
    one.finish_all()
    keep = {"q1": 0, "q2": 6400000}
    call = purge(db, keep=keep)
    assert call.gone == 0
    wait = db.one("SELECT extract(epoch FROM at - now()) FROM muster.kept")
    assert 6390 < wait < 6510
    db.rows("UPDATE muster.task SET finished_at = finished_at - "
            "interval '6510 s'")
    db.age("6510 s")
    assert purge(db, keep=keep).gone == 3


@pytest.mark.parametrize("limit", [3, 20])
def test_H1_a_flow_is_purged_in_bounded_pieces(db, worker, scheduler, limit):
    db.flow({"m": {"kind": "a", "map": {"over": list(range(200))}},
             **{f"s{n}": {"kind": "a"} for n in range(100)}})
    run_flows(worker(), scheduler)
    calls = purge_all(db, limit)
    assert max(call.gone for call in calls) <= limit
    assert max(call.done for call in calls) <= limit + 40
    assert sum(call.gone for call in calls) == 301
    for table in ("task", "flow", "container_plan", "finished", "kept"):
        assert db.one(f"SELECT count(*) FROM muster.{table}") == 0


def test_H1_many_flows_together_are_bounded(db, worker, scheduler):
    for _ in range(12):
        db.flow({f"s{n}": {"kind": "a"} for n in range(110)})
    run_flows(worker(), scheduler)
    calls = purge_all(db, 100)
    assert sum(call.gone for call in calls) == 1320
    assert max(call.done for call in calls) <= 400
    assert tasks_left(db) == db.noted() == 0


def test_H1_small_flows_are_purged_many_at_once(db, worker, scheduler):
    flows = [db.flow({"a": {"kind": "a"}, "b": {"kind": "b", "needs": ["a"]}})
             for _ in range(30)]
    stays = db.tasks(flows[3])["b"].id
    db.enqueue("c", depends_on=[stays], run_at="2099-01-01T00:00:00Z")
    run_flows(worker(), scheduler)
    assert purge(db, 1000).gone == 58
    assert [row.id for row in db.rows("SELECT id FROM muster.flow")] == [
        flows[3]]
    assert not db.invariants() and purge(db).done == 0


@pytest.mark.parametrize("inside", ["map", "flow"])
def test_H1_a_flow_has_the_longest_retention_in_it(
        db, worker, scheduler, inside):
    """Of its own tasks and of those of its maps and nested flows; that these
    are tasks of no queue says nothing."""
    step = {"kind": "b", "queue": "q2"}
    db.flow({"a": {"kind": "a"}, "in": {**step, "map": [1, 2]}
             if inside == "map" else {"flow": {"tasks": {
                 "x": step, "y": {"kind": "a"}}}}})
    run_flows(worker(queues=("default", "q2")), scheduler)
    keep = {"default": 0, "q2": 3600000}
    assert purge_all(db, 1000, keep)[-1].gone == 0 and tasks_left(db) == 4
    db.rows("UPDATE muster.task SET finished_at = finished_at - "
            "interval '1 h'")
    db.age("1 h")
    purge_all(db, 1000, keep)
    assert tasks_left(db) == 0
    assert db.one("SELECT count(*) FROM muster.flow") == 0


@pytest.mark.parametrize("limit", [20, 1000])
def test_H1_purge_steps_over_what_others_hold(db, worker, scheduler, limit):
    flows = [db.flow({f"s{n}": {"kind": "a"} for n in range(15)})
             for _ in range(3)]
    run_flows(worker(), scheduler)
    other, third = db.session(), db.session()
    other.begin()
    other.run("SELECT FROM muster.flow WHERE id = %s FOR SHARE", flows[0])
    third.begin()
    third.run("SELECT FROM muster.task WHERE flow_id = %s AND name = 's7' "
              "FOR NO KEY UPDATE", flows[1])
    one = db.session("musterd")
    one.run("SET lock_timeout = '100 ms'")
    for _ in range(20):
        one.run("SELECT muster.purge(%s, '{\"\"}', '{0}')", limit)
    assert tasks_left(db) == 16
    other.commit()
    third.commit()
    db.age("1 h")
    purge_all(db, limit)
    assert tasks_left(db) == 0 and db.noted() == 0


def test_H1_a_flow_that_runs_again_is_let_go(db, worker, scheduler):
    flow = db.flow({f"s{n}": {"kind": "a"} for n in range(50)})
    one = worker()
    tasks = one.claim(100).ids
    one.turn([(task, "s") for task in tasks[:-1]] + [(tasks[-1], "f")])
    scheduler.work()
    assert purge(db, 20).gone == 0 and db.noted() == 1, "it has but looked"
    db.one("SELECT muster.retry(%s)", tasks[-1])
    scheduler.work()
    purge_all(db, 20)
    assert db.flow_status(flow).state == "running" and db.noted() == 0
    run_flows(one, scheduler)
    purge_all(db, 20)
    assert tasks_left(db) == 0 and not db.rows("SELECT FROM muster.flow")


def test_H1_the_lists_of_retention_are_entered_at_their_marks(
        db, worker, scheduler):
    """What is purged is not walked over again, and an end that commits late is
    not passed by, however long its transaction has been open."""
    late, early = db.enqueue_many("a", 2)
    one = worker()
    one.claim()
    one.session.begin()
    one.session.run("SELECT now()")
    db.rows("SELECT pg_sleep(1.1)")
    other = worker()
    for _ in range(3):
        task = db.enqueue("c")
        other.claim({"c": 1})
        other.finish(task)
        scheduler.session.run("SELECT muster.mark()")
    assert purge(db).gone == 3
    scheduler.session.run("SELECT muster.mark()")
    mark = "SELECT muster.time_mark('finished') > now() - interval '1 s'"
    assert db.one(mark) is True
    one.finish(late, early)
    one.session.commit()
    assert purge(db).gone == 2
