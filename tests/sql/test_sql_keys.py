"""Concurrency keys: at most so many of a key at a time, whatever happens."""

import json
import random

import pytest


def standing(db, state, key="k"):
    """The tasks of the key in that state, as they were enqueued."""
    return [row.id for row in db.rows(
        "SELECT id FROM muster.task_status WHERE lock_key = %s "
        "AND state = %s ORDER BY id", key, state)]


def keyed(db, scheduler, count, key="k", **named):
    ids = [db.enqueue("a", lock_key=key, **named) for _ in range(count)]
    scheduler.work()
    return ids


def test_A3_a_key_lets_one_run_and_hands_over_in_the_same_transaction(
        db, worker, scheduler):
    ids = keyed(db, scheduler, 3)
    assert [db.state(task) for task in ids] == ["ready", "waiting", "waiting"]
    assert db.one("SELECT waiting FROM muster.queue_stats") == 2
    one = worker()
    for task in ids:
        assert one.claim().ids == [task]
        assert not worker().claim().ids
        one.finish(task)
    assert db.states() == {"succeeded": 3}
    last, = keyed(db, scheduler, 1)
    assert one.claim().ids == [last]


def test_A3_a_limit_of_several_and_the_newest_holds(db, worker, scheduler):
    keyed(db, scheduler, 5, lock_limit=2)
    assert len(standing(db, "ready")) == 2
    keyed(db, scheduler, 1, lock_limit=4)
    assert len(standing(db, "ready")) == 4
    keyed(db, scheduler, 2, lock_limit=1)
    one = worker()
    while db.open_count():
        most = len(one.claim().ids)
        for task in list(one.held):
            one.finish(task)
        scheduler.work()
    assert most == 1, "a lowered limit holds as those who have a slot end"


def test_A3_a_turn_hands_over_several_slots_of_several_keys(
        db, worker, scheduler):
    """Ends of one key, and of others between them, in one turn: as many heirs
    as slots, the oldest, and what has no heir is given back."""
    ids = [db.enqueue("a", lock_key="kl"[i % 2], lock_limit=3)
           for i in range(14)]
    scheduler.work()
    one = worker()
    for heirs in (ids[6:12], ids[12:], []):
        assert len(one.claim().ids) > 0
        one.finish_all()
        assert sorted(standing(db, "ready", "k") + standing(
            db, "ready", "l")) == heirs
    assert len(keyed(db, scheduler, 4, "k", lock_limit=3)) == 4
    assert len(standing(db, "ready")) == 3


def test_A3_keys_do_not_meet(db, worker, scheduler):
    for key in "kl":
        keyed(db, scheduler, 2, key)
    assert len(worker().claim().ids) == 2


def test_A3_the_urgent_goes_first_and_nobody_waits_for_ever(
        db, worker, scheduler):
    keyed(db, scheduler, 1)
    low = keyed(db, scheduler, 5)
    urgent = keyed(db, scheduler, 150, priority=5)
    one = worker()
    order = []
    while one.claim().ids:
        order += list(one.held)
        one.finish_all()
    assert [task for task in order[1:] if task in low] == low
    assert [task for task in order if task in urgent] == urgent
    assert order.index(low[0]) < 150, "one hand-over in 16 begins at the other end"


def test_A3_of_a_pause_only_who_has_a_slot_gives_one_back(
        db, worker, scheduler):
    """The row of a cancelled task is still in the line of its queue."""
    first, _ = keyed(db, scheduler, 2)
    db.rows("SELECT muster.cancel(%s)", first)
    scheduler.work()
    db.rows("SELECT muster.pause('default')")
    scheduler.work()
    assert not standing(db, "ready")


def test_A3_a_delayed_task_holds_no_slot(db, worker, scheduler):
    delayed, = keyed(db, scheduler, 1, run_at="2100-01-01")
    first, second = keyed(db, scheduler, 2)
    assert db.state(delayed) == "scheduled"
    one = worker()
    assert one.claim().ids == [first]
    one.finish(first, outcome="r", delay=60000)
    assert db.state(first) == "scheduled"
    assert one.claim().ids == [second]
    db.rows("UPDATE muster.scheduled SET run_at = now() - interval '1 s'")
    scheduler.work()
    assert db.state(first) == db.state(delayed) == "waiting"
    one.finish(second)
    assert len(one.claim().ids) == 1


@pytest.mark.parametrize("outcome", ["b", "r", "u"])
def test_A3_who_goes_on_at_once_keeps_its_slot(
        db, worker, scheduler, outcome):
    first, _ = keyed(db, scheduler, 2)
    one = worker()
    one.claim()
    one.finish(first, outcome=outcome)
    assert standing(db, "ready") == [first]


def test_A3_rescue_keeps_the_slot_or_gives_it_back(db, worker, scheduler):
    first, second = keyed(db, scheduler, 2)
    for rescues in range(2):
        one = worker()
        assert one.claim().ids == [first]
        db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    assert db.state(first) == "scheduled", "the second time it waits"
    assert standing(db, "ready") == [second]


def test_A3_cancel_of_holder_waiter_and_runner(db, worker, scheduler):
    ids = keyed(db, scheduler, 5)
    for task in (ids[0], ids[2]):
        db.rows("SELECT muster.cancel(%s)", task)
    scheduler.work()
    assert standing(db, "cancelled") == [ids[0], ids[2]]
    assert standing(db, "ready") == [ids[1]]
    one = worker()
    assert one.claim().ids == [ids[1]]
    db.rows("SELECT muster.cancel(%s)", ids[1])
    scheduler.work()
    one.finish(ids[1], outcome="b")
    assert db.state(ids[1]) == "cancelled"
    assert one.claim().ids == [ids[3]]


def test_A3_a_paused_queue_holds_up_no_key(db, worker, scheduler):
    shut = [db.enqueue("a", lock_key="k", queue="q") for _ in range(3)]
    scheduler.work()
    other, = keyed(db, scheduler, 1)
    assert db.state(other) == "waiting"
    db.rows("SELECT muster.pause('q')")
    scheduler.work()
    assert standing(db, "ready") == [other]
    assert "paused" in db.why(shut[0])[0].reason
    one = worker(queues=("default", "q"))
    assert one.turn(want={"a": 10}).ids == [other]
    one.finish(other)
    assert not standing(db, "ready")
    db.rows("SELECT muster.resume('q')")
    scheduler.work()
    assert len(standing(db, "ready")) == 1


def test_A3_retry_and_needs_go_through_the_key(db, worker, scheduler):
    first, second = keyed(db, scheduler, 2)
    one = worker()
    one.claim()
    one.finish(first, outcome="f")
    db.rows("SELECT muster.retry(%s)", first)
    after = db.enqueue("b", depends_on=[second], lock_key="k")
    scheduler.work()
    assert db.state(first) == "waiting" and db.state(after) == "blocked"
    one.claim()
    one.finish(second)
    scheduler.work()
    assert standing(db, "ready") == [first]
    assert db.state(after) == "waiting"
    one.claim()
    one.finish(first)
    assert one.claim().ids == [after]


def test_A3_steps_of_a_flow_have_keys(db, worker, scheduler):
    flow = db.flow({
        "x": {"kind": "a", "lock": "k"},
        "y": {"kind": "a", "lock": {"key": "k", "limit": 1}},
        "z": {"kind": "b", "lock": "k", "needs": ["x", "y"]}})
    one = worker()
    for _ in range(3):
        scheduler.work()
        assert len(one.claim().ids) == 1
        one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded"


@pytest.mark.parametrize("lock", [
    "", 3, [], {}, {"key": 3}, {"key": "k", "limit": 0},
    {"key": "k", "limit": "2"}, {"key": "k", "slots": 2}])
def test_a_wrong_lock_of_a_step_is_named(db, lock):
    with pytest.raises(Exception, match='task "x": lock'):
        db.flow({"x": {"kind": "a", "lock": lock}})


def test_G3_why_names_the_holder_its_host_and_the_line(
        db, worker, scheduler):
    first, second, third = keyed(db, scheduler, 3)
    reasons = [row.reason for row in db.why(third)]
    assert f"task {first} which is ready" in reasons[0]
    assert "1 before it" in reasons[0] and len(reasons) == 2
    one = worker()
    one.claim()
    reason = db.why(second)[0].reason
    assert f'key "k", which is held by task {first} on host host since' \
        in reason
    assert "0 before it" in reason


def test_unused_keys_go(db, worker, scheduler):
    keyed(db, scheduler, 1, "used")
    unused, = keyed(db, scheduler, 1, "unused")
    worker().turn(want={"a": 2})
    db.rows("SELECT muster.cancel(%s)", unused)
    one = worker()
    scheduler.work()
    db.rows("UPDATE muster.lock_held SET at = now() - interval '1 h'")
    for lease in db.rows("SELECT * FROM muster.lease"):
        db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, NULL)",
                lease.worker_id)
    scheduler.work()
    db.rows("UPDATE muster.lock_held SET at = now() - interval '1 h'")
    db.rows("SELECT muster.purge(1000, '{}', '{}')")
    assert [row.name for row in db.rows(
        "SELECT name FROM muster.lock_key")] == ["used"]
    again, = keyed(db, scheduler, 1, "unused")
    assert again in one.claim().ids


# One after the other, or one waiting for the other.

def test_A3_admission_while_the_finish_is_under_way(db, worker, scheduler):
    """The finish has given the slot back; the newcomer gets it."""
    first, = keyed(db, scheduler, 1)
    one = worker()
    one.claim()
    second = db.enqueue("a", lock_key="k")
    one.session.begin()
    one.finish(first)
    scheduler.session.send("SELECT muster.admit(10)")
    scheduler.session.wait_blocked()
    one.session.commit()
    scheduler.session.answer()
    assert db.state(second) == "ready"


def test_A3_finish_while_the_admission_is_under_way(db, worker, scheduler):
    """The finish sees no heir and cannot have the mutex: it waits for nobody,
    and admission does the rest."""
    first, = keyed(db, scheduler, 1)
    one = worker()
    one.claim()
    second = db.enqueue("a", lock_key="k")
    scheduler.session.begin()
    scheduler.admit()
    one.session.run("SET lock_timeout = '100 ms'")
    one.finish(first)
    scheduler.session.commit()
    assert db.state(second) == "waiting"
    scheduler.work()
    assert db.state(second) == "ready"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_A3_finish_beside_finish(db, worker, scheduler, end):
    """Two slots and one heir, which the first finish takes: the second waits
    for nobody, and whichever way the first ends, no slot is lost."""
    keyed(db, scheduler, 3, lock_limit=2)
    one, two = worker(), worker()
    first, = one.claim({"a": 1}).ids
    second, = two.claim({"a": 1}).ids
    one.session.begin()
    one.finish(first)
    two.session.run("SET lock_timeout = '100 ms'")
    two.finish(second)
    getattr(one.session, end)()
    scheduler.work()
    assert len(standing(db, "ready")) == 1
    assert not standing(db, "waiting")
    assert not db.invariants()


def test_A3_hand_over_beside_rescue(db, worker, scheduler):
    keyed(db, scheduler, 4, lock_limit=2)
    one, two = worker(), worker()
    first, = one.claim({"a": 1}).ids
    second, = two.claim({"a": 1}).ids
    one.session.begin()
    one.finish(first)
    rescuer = db.session("musterd")
    rescuer.run("SET lock_timeout = '100 ms'")
    rescuer.run("SELECT * FROM muster.rescue(%s, 'x', NULL, 0)", two.id)
    assert db.state(second) == "failed"
    one.session.commit()
    scheduler.work()
    assert len(standing(db, "ready")) == 2
    assert not db.invariants()


def test_A3_cancel_of_the_heir_beside_the_hand_over(db, worker, scheduler):
    first, second = keyed(db, scheduler, 2)
    one = worker()
    one.claim()
    one.session.begin()
    one.finish(first)
    db.rows("SELECT muster.cancel(%s)", second)
    scheduler.session.run("SET lock_timeout = '100 ms'")
    scheduler.carry_out()
    one.session.commit()
    scheduler.work()
    assert db.state(second) == "cancelled"
    assert not db.invariants()
    third, = keyed(db, scheduler, 1)
    assert db.state(third) == "ready"


def test_A3_hand_over_beside_a_cancel_of_the_heir(db, worker, scheduler):
    """The heir is just being cancelled, which may be undone: the slot is not
    lost and not given back for good."""
    first, second = keyed(db, scheduler, 2)
    canceller = db.session("musterd")
    canceller.begin()
    canceller.run("SELECT FROM muster.task WHERE id = %s FOR UPDATE", second)
    canceller.run("SELECT muster.cancel_keyed(%s)", [second])
    one = worker()
    one.claim()
    one.session.run("SET lock_timeout = '100 ms'")
    one.finish(first)
    canceller.rollback()
    scheduler.work()
    assert db.state(second) == "ready"


def test_A3_keyed_tasks_at_random(db, worker, scheduler, is_long):
    """Everything that can happen to keyed tasks; no key is ever held by more
    than it allows, none is forgotten."""
    dice = random.Random(7)
    workers = [worker() for _ in range(3)]
    limits = {"k": 1, "l": 2, "m": 3}
    for _ in range(600 if is_long else 120):
        step = dice.randrange(7)
        one = dice.choice(workers)
        key = dice.choice(list(limits))
        if step <= 1:
            db.enqueue("a", lock_key=key, lock_limit=limits[key],
                       priority=dice.choice([0, 0, 5]),
                       run_at=dice.choice([None, None, "2000-01-01",
                                           "2100-01-01"]))
        elif step == 2:
            one.claim(dice.randrange(1, 4))
        elif step == 3 and one.held:
            task = dice.choice(list(one.held))
            one.finish(task, outcome=dice.choice("ssfrub"),
                       delay=dice.choice([0, 3600000]))
        elif step == 4:
            known = db.rows("SELECT id FROM muster.task_status "
                            "WHERE finished_at IS NULL")
            if known:
                db.rows("SELECT muster.cancel(%s)", dice.choice(known).id)
        elif step == 5:
            db.rows("SELECT muster.%s('default')" % dice.choice(
                ["pause", "resume", "resume"]))
        scheduler.work()
        assert not db.invariants()
    db.rows("SELECT muster.resume('default')")
    db.rows("UPDATE muster.scheduled SET run_at = now() - interval '1 s'")
    for _ in range(200):
        scheduler.work()
        for one in workers:
            one.finish_all()
            one.claim()
        if not db.open_count():
            break
    assert not db.open_count()


def test_A3_a_long_line_is_entered_where_somebody_stands(
        db, worker, scheduler):
    """Dead rows, which an old snapshot may keep, are not walked over: the floor
    follows the head of the line. Whoever comes in below it is found."""
    db.rows("SELECT count(*) FROM muster.enqueue_many('a', array_fill("
            "'{}'::jsonb, ARRAY[1500]), lock_keys => array_fill("
            "'k'::text, ARRAY[1500]))")
    scheduler.work()
    one = worker()
    one.claim()
    one.session.run("SELECT setseed(0.5)")
    floors = []
    for _ in range(1200):
        one.turn([(task, "s") for task in one.held], want={"a": 1})
        floors += [row.seq for row in db.rows(
            "SELECT seq FROM muster.lock_floor")]
    assert floors == sorted(floors) and floors[-1] > 300
    assert db.one("SELECT count(*) FROM muster.lock_floor") == 1
    urgent, = keyed(db, scheduler, 1, priority=5)
    assert not db.invariants()
    for _ in range(100):
        one.finish_all()
        if urgent in one.claim({"a": 1}).ids:
            break
    assert db.state(urgent) == "running"
    one.finish_all()
    db.rows("UPDATE muster.lock_floor SET seq = 1000000, line = 8")
    assert not one.claim({"a": 10}).ids[1:]
    one.finish_all()
    assert not one.claim().ids, "the line is entered at its floor"
    db.rows("DELETE FROM muster.lock_floor")
    db.rows("INSERT INTO muster.lock_freed (lock_id, n) "
            "VALUES (muster.lock_number('k'), 0)")
    scheduler.work()


def test_A3_a_slot_comes_back_while_the_floor_of_another_key_moves(
        db, worker, scheduler):
    """Both by one turn: one key has no heir, of the other a line is done."""
    first, _, last = keyed(db, scheduler, 3)
    other = db.enqueue("a", lock_key="other")
    scheduler.work()
    db.rows("INSERT INTO muster.lock_floor VALUES (muster.lock_number('k'), "
            "nextval('muster.lock_gen'), -100, 0)")
    one = worker()
    assert set(one.claim().ids) == {first, other}
    one.session.run("SELECT setseed(0.5)")
    one.finish_all()
    assert db.one("SELECT f.seq = w.seq AND f.line = w.line "
                  "FROM muster.lock_floor f, muster.waiting w "
                  "WHERE w.task_id = %s", last)
    assert db.one("SELECT held FROM muster.lock_held WHERE lock_id = "
                  "muster.lock_number('other') ORDER BY gen DESC LIMIT 1") == 0
    assert not db.invariants()


def test_A3_a_kind_that_is_paused_holds_up_no_key(db, worker, scheduler):
    keyed(db, scheduler, 1)
    other = db.enqueue("b", lock_key="k")
    db.rows("SELECT muster.pause_kind('a')")
    scheduler.work()
    assert standing(db, "ready") == [other]
    db.rows("SELECT muster.resume_kind('a')")
    worker(kinds=("b",)).turn(want={"b": 1})
    scheduler.work()
    assert len(standing(db, "waiting")) == 1


def test_G2_reprioritise_moves_those_who_wait_for_a_key(
        db, worker, scheduler):
    first, second, third = keyed(db, scheduler, 3)
    db.rows("SELECT muster.reprioritise(ARRAY[%s, %s], '{5, 5}')",
            first, third)
    scheduler.work()
    assert standing(db, "ready") == [first], "it keeps its slot"
    one = worker()
    order = []
    db.rows("SELECT setseed(0.5)")
    one.session.run("SELECT setseed(0.5)")
    while one.claim().ids:
        order += list(one.held)
        one.finish_all()
    assert order == [first, third, second]


def test_A3_a_map_with_a_key_holds_it_to_its_end(db, worker, scheduler):
    db.flow({"m": {"kind": "a", "map": [1, 2], "lock": "k"}})
    scheduler.work()
    other = db.enqueue("b", lock_key="k")
    scheduler.work()
    assert db.state(other) == "waiting"
    one = worker()
    assert len(one.claim().ids) == 2
    one.finish_all()
    scheduler.work()
    assert db.state(other) == "ready"


def test_A3_who_is_skipped_or_late_gives_back_no_slot(
        db, worker, scheduler):
    need = db.enqueue("b")
    flow = db.flow({"x": {"kind": "c"}})
    keyed(db, scheduler, 3)
    skipped = db.enqueue("a", lock_key="k", depends_on=[need])
    scheduler.work()
    one = worker(kinds=("b", "c"))
    one.claim({"b": 1, "c": 1})
    one.finish(need, outcome="f")
    one.finish_all()
    scheduler.work()
    late = db.enqueue("a", lock_key="k", flow_id=flow)
    scheduler.work()
    assert db.state(skipped) == "skipped" and db.state(late) == "cancelled"
    assert len(standing(db, "ready")) == 1
    assert not db.invariants()


@pytest.mark.parametrize("named", [
    {"lock_key": ""}, {"lock_key": "x" * 501},
    {"lock_key": "k", "lock_limit": 0}, {"lock_key": "k", "lock_limit": None}])
def test_wrong_keys_are_refused(db, named):
    with pytest.raises(Exception) as refused:
        db.enqueue("a", **named)
    assert refused.value.pgcode == "MU003"


def test_many_with_keys(db, scheduler):
    ids = db.enqueue_many("a", 3, lock_keys=["k", None, "k"])
    scheduler.work()
    assert [db.state(task) for task in ids] == ["ready", "ready", "waiting"]
    assert json.loads("{}") == db.task(ids[0]).payload


def test_A3_A4_locks_in_nested_flows(db, worker, scheduler):
    """Of steps without needs, with needs, and of a nested flow itself, which
    holds its slot while it runs; beside a task of none of these flows."""
    lock = {"key": "k", "limit": 2}
    first = keyed(db, scheduler, 1, lock_limit=2)
    step = {"kind": "a", "lock": lock}
    flow = db.flow({"in": {"flow": {"tasks": {
        "x": step, "y": step, "z": {**step, "needs": ["x"]},
        "deeper": {"flow": {"tasks": {"w": step, "v": step}},
                   "lock": "whole"}}}},
        "second": {"flow": {"tasks": {"u": {"kind": "b"}}}, "lock": "whole"}})
    one = worker()
    done = []
    for _ in range(20):
        scheduler.work()
        assert db.invariants() == []
        assert len(standing(db, "running", "whole")) <= 1
        got = one.claim().ids
        mine = [row.id for row in db.rows(
            "SELECT id FROM muster.task WHERE id = ANY(%s) AND lock_key = 'k'",
            got)]
        assert len(mine) <= 2
        done += mine
        one.finish_all()
    assert done[0] == first[0] and len(set(done)) == 6
    assert db.flow_status(flow).state == "succeeded"


def test_A3_A4_cancel_and_retry_of_locks_in_nested_flows(
        db, worker, scheduler):
    step = {"kind": "a", "lock": "k"}
    flow = db.flow({"in": {"flow": {"tasks": {
        name: step for name in "xyz"}}}})
    scheduler.work()
    assert len(standing(db, "ready")) == 1
    assert len(standing(db, "waiting")) == 2
    db.one("SELECT muster.cancel_flow(%s)", flow)
    scheduler.work()
    assert db.flow_status(flow).state == "cancelled"
    assert db.invariants() == []
    db.one("SELECT muster.retry_flow(%s)", flow)
    one = worker()
    for _ in range(3):
        scheduler.work()
        assert len(one.claim().ids) == 1
        one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded"
