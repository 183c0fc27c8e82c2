"""Tasks with more needs than are locked at once: these are placed a piece at a
time, while all else goes on. Here that are three."""

import functools
import itertools
import random

import pytest

PIECE = 3


@pytest.fixture
def db(db):
    db.rows("CREATE OR REPLACE FUNCTION muster.needs_at_once() RETURNS int"
            f" LANGUAGE sql IMMUTABLE AS 'SELECT {PIECE}'")
    return db


@pytest.fixture
def worker(worker):
    """worker() is the same each time: a new session makes its plans anew."""
    return functools.cache(worker)


def piece(scheduler, times=1):
    for _ in range(times):
        scheduler.admit(PIECE)


def begun(db, scheduler, count=8, pieces=0, **more):
    """The ids of needs, and of the task that waits for them, some pieces of
    which are placed."""
    needs = db.enqueue_many("a", count)
    task = db.enqueue("b", depends_on=needs, **more)
    piece(scheduler, 1 + pieces)
    assert sound(db) and db.state(task) == "blocked"
    return needs, task


def sound(db):
    return db.invariants() == []


def running(db, worker, needs):
    one = worker()
    one.claim({"a": 100})
    assert set(needs) <= one.held.keys()
    return one


def waits(db, task):
    return tuple(db.one("SELECT need, spare FROM muster.blocked"
                        " WHERE task_id = %s", task))


def unplaced(db):
    return db.one("SELECT count(*) FROM muster.placing")


def held(db, ids):
    """How many of these tasks somebody holds."""
    other = db.session("musterd")
    other.begin()
    free = other.run("SELECT id FROM muster.task WHERE id = ANY (%s)"
                     " FOR UPDATE SKIP LOCKED", ids)
    other.rollback()
    other.close()
    return len(ids) - len(free)


def test_A2_others_are_admitted_between_pieces(db, scheduler):
    needs, task = begun(db, scheduler, 9, pieces=1)
    other = db.enqueue("b", depends_on=needs[:1])
    third = db.enqueue("b", depends_on=needs[-1:])
    left = unplaced(db)
    piece(scheduler)
    assert db.state(other) == "arriving" and unplaced(db) == left
    assert scheduler.admit(PIECE) == PIECE  # there is more to do at once
    assert db.states([other, third]) == {"blocked": 2}
    assert sound(db) and unplaced(db) == 1
    piece(scheduler)
    assert unplaced(db) == 0 and waits(db, task) == (9, 0)


def test_B5_slots_are_given_back_between_pieces(db, worker, scheduler):
    """What the end of a keyed task has left to admission."""
    begun(db, scheduler)
    db.enqueue("c", lock_key="k")
    piece(scheduler, 2)
    one = worker()
    task, = one.claim({"c": 1}).ids
    other = db.session("musterd")
    other.begin()
    other.run("SELECT FROM muster.lock_key FOR UPDATE")
    one.finish(task)
    other.rollback()
    assert db.rows("SELECT id FROM muster.lock_freed")
    assert unplaced(db)
    piece(scheduler)
    assert not db.rows("SELECT id FROM muster.lock_freed")
    assert unplaced(db) and sound(db)


def test_A2_needs_that_end_between_pieces(db, worker, scheduler):
    """Each end counts once, whether a piece or an edge tells it."""
    for (mode, ends, state), pieces in itertools.product((
            ("all", "ssssssss", "ready"), ("all", "sssssssf", "skipped"),
            ("all", "fsssssss", "skipped"), ("any", "ffffffff", "skipped"),
            ("any", "fffffffs", "ready"), ("any", "sfffffff", "ready"),
            ("at_least 4", "sfsfsfsf", "ready"),
            ("at_least 5", "sfsfsfsf", "skipped")), range(4)):
        print(mode, ends, pieces)
        needs, task = begun(db, scheduler, pieces=pieces, needs_mode=mode)
        one = running(db, worker, needs)
        for need, end in zip(needs, ends):
            one.finish(need, outcome=end)
            assert sound(db)
        scheduler.unlock()
        piece(scheduler, 4)
        scheduler.work()
        assert sound(db) and db.state(task) == state and unplaced(db) == 0


def test_A2_a_need_ends_while_its_piece_is_open(db, worker, scheduler):
    """The turn waits, and tells it by the edge."""
    needs, task = begun(db, scheduler)
    one = running(db, worker, needs)
    scheduler.session.begin()
    piece(scheduler)
    one.send_turn([(needs[0], "s"), (needs[7], "s")])
    one.session.wait_blocked()
    scheduler.session.commit()
    one.answer()
    assert waits(db, task) == (7, 0) and sound(db)
    piece(scheduler, 2)
    assert waits(db, task) == (6, 0) and sound(db)


def test_A2_a_piece_while_a_need_of_it_just_ends(db, worker, scheduler):
    """The piece waits, and tells it."""
    needs, task = begun(db, scheduler)
    one = running(db, worker, needs)
    one.session.begin()
    one.finish(needs[1])
    scheduler.session.send("SELECT muster.admit(3)")
    scheduler.session.wait_blocked()
    one.session.commit()
    scheduler.session.answer()
    assert waits(db, task) == (7, 0) and sound(db)


def test_A2_a_piece_tells_while_an_end_tells(db, worker, scheduler):
    """Both want the row of the task that waits: one waits for the other, and
    both count."""
    needs, task = begun(db, scheduler, pieces=1)
    one = running(db, worker, needs)
    one.finish(needs[3])
    one.session.begin()
    one.finish(needs[0])
    scheduler.session.send("SELECT muster.admit(3)")
    scheduler.session.wait_blocked()
    one.session.commit()
    scheduler.session.answer()
    assert waits(db, task) == (6, 0) and sound(db)


def test_A2_an_end_frees_the_task_while_a_piece_is_open(
        db, worker, scheduler):
    """The first that is met is enough: what is told later finds nothing."""
    needs, task = begun(db, scheduler, 12, pieces=1, needs_mode="any")
    one = running(db, worker, needs)
    one.finish(needs[3])
    one.session.begin()
    one.finish(needs[0])
    scheduler.session.send("SELECT muster.admit(3)")
    scheduler.session.wait_blocked()
    one.session.commit()
    scheduler.session.answer()
    piece(scheduler)
    assert db.state(task) == "ready" and sound(db) and unplaced(db) == 0
    one.finish(*needs[1:3], *needs[4:])
    assert one.claim({"b": 2}).ids == [task]


def test_A2_a_piece_that_is_undone_is_done_again(db, worker, scheduler):
    needs, task = begun(db, scheduler, pieces=1)
    one = running(db, worker, needs)
    one.finish(needs[4])
    scheduler.session.begin()
    piece(scheduler)
    scheduler.session.rollback()
    assert sound(db) and waits(db, task) == (8, 0)
    one.finish(needs[3])
    piece(scheduler, 2)
    assert waits(db, task) == (6, 0) and sound(db)


def test_A2_cancel_between_pieces(db, worker, scheduler):
    """And brought back before its row in the line is met, which is of the
    earlier life: all counts once."""
    for pieces in range(3):
        needs, task = begun(db, scheduler, pieces=pieces)
        one = running(db, worker, needs)
        one.finish(needs[0], needs[7])
        db.one("SELECT muster.cancel(%s)", task)
        scheduler.carry_out()
        assert sound(db) and unplaced(db) == 1
        assert db.state(task) == "cancelled"
        scheduler.unlock()
        db.one("SELECT muster.retry(%s)", task)
        while db.state(task) == "cancelled":
            scheduler.carry_out()
            assert sound(db)
        assert unplaced(db) == 2
        piece(scheduler, 4)
        assert sound(db) and unplaced(db) == 1 and waits(db, task) == (8, 0)
        piece(scheduler, 3)
        assert sound(db) and unplaced(db) == 0 and waits(db, task) == (6, 0)


def test_A2_delete_between_pieces(db, worker, scheduler):
    for pieces in range(3):
        needs, task = begun(db, scheduler, pieces=pieces)
        running(db, worker, needs).finish(needs[0], needs[7])
        db.one("SELECT muster.delete(%s)", task)
        for _ in range(3):
            scheduler.carry_out()
            scheduler.unlock()
        assert sound(db) and unplaced(db) == 1
        assert db.rows("SELECT id FROM muster.task WHERE id = %s", task) == []
        piece(scheduler)
        assert sound(db) and unplaced(db) == 0


def test_A2_cancel_while_a_piece_is_open(db, scheduler):
    """The request steps over what the piece holds, and is met again."""
    _, task = begun(db, scheduler)
    scheduler.session.begin()
    piece(scheduler)
    other = db.session("musterd")
    db.one("SELECT muster.cancel(%s)", task)
    other.one("SELECT muster.carry_out(10)")
    assert db.state(task) == "blocked"
    scheduler.session.commit()
    other.one("SELECT muster.carry_out(10)")
    assert db.state(task) == "cancelled"
    scheduler.work()
    assert sound(db) and unplaced(db) == 0


def test_A2_a_need_retried_between_pieces(db, worker, scheduler):
    """It ended, as it did not want, when the task came, and ends again before
    or after its piece."""
    for at, (first, second), mode in itertools.product(
            (0, 4), ("sf", "fs"), ("all", "any")):
        print(at, first, second, mode)
        needs = db.enqueue_many("a", 8)
        one = running(db, worker, needs)
        watcher = db.enqueue("c", depends_on=needs, depends_when="finished")
        scheduler.work()
        one.finish(needs[at], outcome="f")
        task = db.enqueue(
            "b", depends_on=needs, needs_mode=mode,
            depends_when="failed" if first == "s" else "succeeded")
        db.one("SELECT muster.retry(%s)", needs[at])
        scheduler.carry_out()
        piece(scheduler, 2)
        assert sound(db)
        one.claim({"a": 1})
        one.finish(needs[at], outcome=second)
        assert sound(db)
        piece(scheduler, 3)
        assert sound(db)
        scheduler.work()
        met = (second == "f") == (first == "s")
        assert sound(db) and db.state(watcher) == "blocked"
        assert db.state(task) == ("ready" if mode == "any" and met else
                                  "skipped" if mode == "all" and not met
                                  else "blocked")


def test_A2_a_need_that_is_deleted_between_pieces(db, worker, scheduler):
    needs, task = begun(db, scheduler, pieces=1)
    db.one("SELECT muster.delete(%s)", needs[5])
    scheduler.carry_out()
    scheduler.work()
    assert sound(db) and db.state(task) == "skipped" and unplaced(db) == 0


def test_A2_purge_leaves_needs_that_are_yet_to_be_looked_at(
        db, worker, scheduler):
    needs, task = begun(db, scheduler)
    one = running(db, worker, needs)
    one.finish_all()
    db.rows("SELECT muster.purge(1000, ARRAY[''], '{0}')")
    assert db.states(needs) == {"succeeded": 8}
    scheduler.work()
    assert db.state(task) == "ready" and sound(db)


def test_A4_a_flow_does_not_end_while_a_task_of_it_is_half_placed(
        db, worker, scheduler):
    """Its last step enqueues into it: all else of it has ended."""
    flow = db.flow({"x": {"kind": "c"}})
    needs = db.enqueue_many("a", 8)
    one = running(db, worker, needs)
    step, = one.claim({"c": 1}).ids
    task = db.enqueue("b", depends_on=needs, flow_id=flow)
    piece(scheduler, 2)
    one.finish(step, *needs)
    scheduler.fold()
    assert db.flow_status(flow).state == "running" and sound(db)
    scheduler.work()
    assert one.claim({"b": 1}).ids == [task] and sound(db)
    one.finish(task)
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded" and sound(db)


def test_G1_a_flow_that_is_cancelled_reaches_a_half_placed_task(
        db, scheduler):
    flow = db.flow({"x": {"kind": "c"}})
    needs = db.enqueue_many("a", 8)
    task = db.enqueue("b", depends_on=needs, flow_id=flow)
    piece(scheduler, 2)
    db.one("SELECT muster.cancel_flow(%s)", flow)
    scheduler.carry_out()
    assert db.state(task) == "cancelled"
    scheduler.work()
    assert db.flow_status(flow).state == "cancelled"
    assert sound(db) and unplaced(db) == 0


def test_A2_time_key_and_priority_of_a_half_placed_task(
        db, worker, scheduler):
    """It has them when it is free: what it stands with in the meantime is as
    of any that waits."""
    needs, task = begun(db, scheduler, pieces=1, lock_key="k")
    first = db.enqueue("b", lock_key="k")
    one = running(db, worker, needs)
    db.one("SELECT muster.reprioritise(ARRAY[%s], '{7}')", task)
    scheduler.carry_out()
    scheduler.admit()
    one.finish_all()
    scheduler.work()
    assert db.state(first) in ("ready", "waiting") and sound(db)
    assert db.task(task).priority == 7
    answer = one.claim({"b": 1})
    one.finish(*answer.ids)
    assert {*answer.ids, *one.claim({"b": 1}).ids} == {first, task}
    later = db.enqueue("b", depends_on=needs, run_at="2100-01-01")
    piece(scheduler, 4)
    assert db.state(later) == "scheduled" and sound(db)


def test_E1_the_mark_of_arrivals_stays_before_a_half_placed_task(
        db, scheduler):
    """However many have arrived and are gone since."""
    _, task = begun(db, scheduler, pieces=1)
    db.rows("SELECT nextval('muster.arriving_seq')"
            " FROM generate_series(1, 3000)")
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    piece(scheduler, 2)
    assert unplaced(db) == 0 and sound(db)
    db.rows("SELECT muster.mark()")
    assert db.one("SELECT muster.list_mark('arriving')") > 3000


def wrong(db, change, *arguments):
    """What the invariants would say to that."""
    one = db.session()
    one.begin()
    one.run(change, *arguments)
    rows = one.run("SELECT * FROM muster.check_invariants()")
    one.rollback()
    one.close()
    return [row.detail for row in rows]


def test_A2_what_would_be_wrong_with_a_half_placed_task(
        db, worker, scheduler):
    _, task = begun(db, scheduler)
    assert wrong(db, "DELETE FROM muster.placing") == [
        "blocked without an edge"]
    assert wrong(db, "UPDATE muster.blocked SET spare = 1") == [
        "blocked with need 8 spare 1, and 8 of its needs are not looked at"]
    piece(scheduler)
    assert wrong(db, "UPDATE muster.placing SET placed = 2") == [
        "blocked with need 8 spare 0, but of its 8 needs, 8 of which are "
        "wanted, 9 are to come, 0 met and -1 had ended before"]
    assert "3 of its 8 needs are looked at, it stands in line for more 2 times" \
        in wrong(db, "INSERT INTO muster.placing (task_id, life, placed)"
                 " SELECT task_id, life, placed FROM muster.placing")
    assert "8 of its 8 needs are looked at, it stands in line for more 1 times" \
        in wrong(db, "UPDATE muster.placing SET placed = 8")


def test_A2_what_would_be_wrong_with_a_half_cleared_task(
        db, worker, scheduler):
    needs, task, _ = ended(db, worker, scheduler)
    retry(db, scheduler, task)
    piece(scheduler)
    assert wrong(db, "UPDATE muster.blocked SET spare = 0") == [
        f"blocked with need {2 ** 30 + 8} spare 0, and 8 of its needs are not "
        "looked at"]
    assert wrong(db, "INSERT INTO muster.edge VALUES (%s, %s, 0, 's')",
                 needs[2], task) == [
        f"its edge from {needs[2]} is of an earlier life, and was taken away"]


def test_B5_who_asks_for_its_key_holds_no_need(db, worker, scheduler):
    needs = db.enqueue_many("a", 2)
    task = db.enqueue("b", depends_on=needs, lock_key="k")
    scheduler.admit()
    running(db, worker, needs).finish_all()
    assert db.state(task) == "arriving"
    scheduler.session.begin()
    scheduler.admit()
    assert held(db, needs) == 0
    scheduler.session.commit()
    assert db.state(task) == "ready"


def test_H4_why_of_a_half_placed_task(db, worker, scheduler):
    _, task = begun(db, scheduler, pieces=1)
    assert "no musterd runs" in db.why(task)[0].reason
    worker()
    assert "it waits for 8 tasks" in db.why(task)[0].reason


# Brought back.

def ended(db, worker, scheduler, count=8, done=slice(None), **more):
    """Needs, of which some are done, a task that has waited for these and
    failed, and their worker."""
    needs, task = begun(db, scheduler, count, **more)
    scheduler.work()
    one = running(db, worker, needs)
    one.finish(*needs[done])
    scheduler.work()
    assert one.claim({"b": 1}).ids == [task]
    one.finish(task, outcome="f")
    return needs, task, one


def retry(db, scheduler, task, calls=None):
    """The answer, or null after so many calls."""
    number = db.one("SELECT muster.retry(%s)", task)
    for _ in range(20 if calls is None else calls):
        scheduler.carry_out()
        assert sound(db)
    return db.one("SELECT answer FROM muster.request_status(%s)", number)


def ways_back(db, task):
    """The requests that bring it back, and what they are answered."""
    flow = db.one("SELECT flow_id FROM muster.task WHERE id = %s", task)
    looked = "back when its needs, which are looked at again, are met"
    return {
        "alone": ("retry(%s)", task, f"task {task} comes {looked}"),
        "flow": ("retry_flow(%s)", flow,
                 f"flow {flow}: 1 tasks that had not succeeded run again"),
        "filter": ("retry_where(%s)", '{"kind": "b"}',
                   f"1 task comes {looked}")}


@pytest.mark.parametrize("way", ["alone", "flow", "filter"])
def test_A2_a_retry_locks_few_needs_at_once(db, worker, scheduler, way):
    """Not one before the task is open again."""
    names = [f"n{i}" for i in range(8)]
    rows = db.tasks(db.flow({name: {"kind": "a"} for name in names} | {
        "x": {"kind": "b", "needs": names}}))
    needs, task = sorted(rows[name].id for name in names), rows["x"].id
    one = running(db, worker, needs)
    one.finish_all()
    assert one.claim({"b": 1}).ids == [task]
    one.finish(task, outcome="f")
    scheduler.work()
    call, argument, answer = ways_back(db, task)[way]
    number = db.one(f"SELECT muster.{call}", argument)
    found = held_by_each(db, scheduler, "carry_out", needs,
                         lambda: db.state(task) == "failed")
    assert set(found) == {0} and sound(db)
    while scheduler.carry_out():
        pass
    assert db.one("SELECT answer FROM muster.request_status(%s)",
                  number) == answer
    assert db.flow_status(rows["x"].flow_id).state == "running"
    found = held_by_each(db, scheduler, "admit", needs, lambda: unplaced(db))
    assert found == [3, 3, 2, 3, 3, 2]
    scheduler.work()
    assert db.states([task]) == {"ready": 1}
    assert db.flow_status(rows["x"].flow_id).state == "running"
    assert one.claim({"b": 1}).ids == [task]
    one.finish(task)
    scheduler.work()
    assert db.flow_status(rows["x"].flow_id).state == "succeeded"


def held_by_each(db, scheduler, step, needs, goes_on):
    """How many of them each of these calls holds."""
    found = []
    while goes_on():
        scheduler.session.begin()
        getattr(scheduler, step)()
        found.append(held(db, needs))
        scheduler.session.commit()
        assert sound(db) and len(found) < 20
    return found


def test_A2_a_second_end_locks_few_needs_at_once(db, worker, scheduler):
    """Each of two needs is retried alone: the task comes back by the first, finds
    the other, is skipped again and comes back by that."""
    needs, task = begun(db, scheduler)
    scheduler.work()
    one = running(db, worker, needs)
    one.finish(needs[1], needs[7], outcome="f")
    one.finish_all()
    scheduler.work()
    assert db.state(task) == "skipped"
    for need, state in (needs[1], "skipped"), (needs[7], "ready"):
        retry(db, scheduler, need, 1)
        one.claim({"a": 1})
        one.finish(need)
        found = held_by_each(db, scheduler, "unlock", needs, lambda: db.one(
            "SELECT count(*) FROM muster.remainder"))
        assert found == [1] and db.state(task) == "blocked"
        found = held_by_each(db, scheduler, "admit", needs,
                             lambda: unplaced(db))
        assert found == [3, 3, 2, 3, 3, 2]
        scheduler.work()
        assert db.state(task) == state and sound(db)


def test_A2_a_piece_is_as_long_as_the_last_one_lets_it_be(db, scheduler):
    """Who holds a need makes one long: the next has fewer."""
    db.rows("CREATE OR REPLACE FUNCTION muster.needs_at_once() RETURNS int"
            " LANGUAGE sql IMMUTABLE AS 'SELECT 250'")
    needs = db.enqueue_many("a", 600)
    task = db.enqueue("b", depends_on=needs)
    scheduler.session.run("SELECT muster.piece_took(1000, '1 ms')")
    scheduler.admit()
    other = db.session("musterd")
    other.begin()
    other.run("SELECT FROM muster.task WHERE id = %s FOR UPDATE", needs[0])
    scheduler.session.send("SELECT muster.admit(1000)")
    scheduler.session.wait_blocked()
    db.rows("SELECT pg_sleep(0.1)")
    other.rollback()
    scheduler.session.answer()
    assert placed(db, task) == 250
    scheduler.admit()
    assert placed(db, task) == 350 and sound(db)


def placed(db, task):
    return db.one("SELECT placed FROM muster.placing WHERE task_id = %s", task)


def test_B5_a_retry_whose_unique_key_is_held_leaves_the_edges(
        db, worker, scheduler):
    """So the task comes back by itself when a need ends well."""
    needs, task = begun(db, scheduler, needs_mode="at_least 8",
                        unique_key="u")
    scheduler.work()
    one = running(db, worker, needs)
    one.finish(needs[0], outcome="f")
    scheduler.work()
    assert db.state(task) == "skipped"
    other = db.enqueue("c", unique_key="u")
    retry(db, scheduler, needs[0])
    assert retry(db, scheduler, task) == (
        f'task {task} stays skipped: its unique key "u" is held by task '
        f"{other}")
    assert unplaced(db) == 0
    db.one("SELECT muster.cancel(%s)", other)
    scheduler.work()
    one.claim({"a": 1})
    one.finish_all()
    scheduler.work()
    assert db.state(task) == "ready" and sound(db)


@pytest.mark.parametrize("second", "sf")
def test_A2_a_need_retried_while_its_dependent_is_brought_back(
        db, worker, scheduler, second):
    """At every point of the way the need comes back, and at every later one it
    ends: its old edge tells nothing, whatever a piece tells."""
    needs, task, one = ended(db, worker, scheduler, 12, slice(1),
                             needs_mode="any")
    one.finish(*needs[1:], outcome="f")
    scheduler.unlock()
    points = [(back, end) for back in (0, 5, 9, 11) for end in (0, 5, 9, 11)
              if back <= end]
    for need, (back, end) in zip(needs[1:], points):
        number = db.one("SELECT muster.retry(%s)", task)
        for step in range(12):
            if step == back:
                assert "runs again" in retry(db, scheduler, need, 1)
            if step == end:
                one.claim({"a": 1})
                one.finish(need, outcome=second)
            scheduler.carry_out(), scheduler.admit()
            assert sound(db), (back, end, step)
            scheduler.unlock()
            assert sound(db), (back, end, step)
        scheduler.work()
        assert db.one("SELECT done FROM muster.request_status(%s)", number)
        assert one.claim({"b": 1}).ids == [task]
        one.finish(task, outcome="f")


def test_A2_edges_of_an_earlier_life_tell_nothing(db, worker, scheduler):
    """Needs that were open when the task ran tell their first end by them,
    unless they are gone; what they have told by then is forgotten."""
    for pieces in range(4):
        needs, task, one = ended(db, worker, scheduler, done=slice(5, 8),
                                 needs_mode="at_least 3")
        assert "comes back" in retry(db, scheduler, task)
        piece(scheduler, pieces)
        one.finish(needs[1], needs[3])
        piece(scheduler, 3 - pieces)
        assert waits(db, task) == (3, 5) and sound(db)
        piece(scheduler)
        assert waits(db, task) == (2, 5) and sound(db)
        one.finish(needs[2])
        assert waits(db, task) == (1, 5) and sound(db)
        piece(scheduler)
        assert db.state(task) == "ready" and sound(db)
        one.claim({"b": 1})
        one.finish_all()
        scheduler.work()


def test_A2_a_need_that_freed_its_step_alone_leaves_that_to_the_piece(
        db, worker, scheduler):
    """Its row names the step: no more than an old edge may that tell it."""
    names = [f"n{i}" for i in range(5)]
    rows = db.tasks(db.flow({name: {"kind": "a"} for name in names} | {
        "x": {"kind": "b", "needs": names, "needs_mode": {"at_least": 3}}}))
    needs, task = sorted(rows[name].id for name in names), rows["x"].id
    one = running(db, worker, needs)
    one.finish(*needs[:3])
    scheduler.work()
    assert one.claim({"b": 1}).ids == [task]
    one.finish(task, outcome="f")
    assert "comes back" in retry(db, scheduler, task)
    piece(scheduler, 2)
    one.finish(needs[3])
    assert waits(db, task) == (3, 2) and sound(db)
    piece(scheduler)
    assert db.state(task) == "ready" and sound(db)


def test_A2_one_step_of_several_that_waited_together_is_brought_back(
        db, worker, scheduler):
    """The others' edges stay, and tell it nothing."""
    names = [f"n{i}" for i in range(5)]
    rows = db.tasks(db.flow({name: {"kind": "a"} for name in names} | {
        last: {"kind": kind, "needs": names, "needs_mode": "any"}
        for last, kind in (("x", "b"), ("y", "b"))}))
    needs = sorted(rows[name].id for name in names)
    one = running(db, worker, needs)
    one.finish(needs[0])
    scheduler.work()
    task, other = sorted(one.claim({"b": 2}).ids)
    one.finish(task, outcome="f")
    assert "comes back" in retry(db, scheduler, task)
    piece(scheduler, 2)
    one.finish(needs[4])
    assert waits(db, task) == (1, 4) and sound(db)
    piece(scheduler)
    assert db.state(task) == "ready" and sound(db)
    one.finish(*needs[1:4], other)
    scheduler.work()
    assert sound(db) and unplaced(db) == 0


def test_A2_a_need_ends_while_its_old_edge_is_taken_away(
        db, worker, scheduler):
    """The turn waits, and finds nobody to tell."""
    needs, task, one = ended(db, worker, scheduler, done=slice(5, 8),
                             needs_mode="at_least 3")
    retry(db, scheduler, task)
    scheduler.session.begin()
    piece(scheduler)
    one.send_turn([(needs[1], "s")])
    one.session.wait_blocked()
    scheduler.session.commit()
    one.answer()
    assert min(waits(db, task)) > 10 ** 9
    piece(scheduler, 2)
    assert waits(db, task) == (3, 5) and sound(db)
    piece(scheduler)
    assert waits(db, task) == (2, 5) and sound(db)


def test_A2_an_old_edge_goes_while_its_need_just_ends(db, worker, scheduler):
    """The piece waits; what it told then counts for nothing."""
    needs, task, one = ended(db, worker, scheduler, done=slice(5, 8),
                             needs_mode="at_least 3")
    retry(db, scheduler, task)
    piece(scheduler)
    one.session.begin()
    one.finish(needs[4])
    scheduler.session.send("SELECT muster.admit(3)")
    scheduler.session.wait_blocked()
    one.session.commit()
    scheduler.session.answer()
    piece(scheduler)
    assert waits(db, task) == (3, 5) and sound(db)
    piece(scheduler, 2)
    assert waits(db, task) == (1, 5) and sound(db)


def test_A2_an_end_that_is_yet_to_be_told_when_its_piece_comes(
        db, worker, scheduler):
    """That makes the edge, and counts nothing."""
    needs, task, one = ended(db, worker, scheduler, done=slice(5, 8),
                             needs_mode="at_least 3")
    one.finish(needs[0], outcome="f")
    retry(db, scheduler, needs[0], 1)
    one.claim({"a": 1})
    retry(db, scheduler, task)
    one.finish(needs[0])
    piece(scheduler, 4)
    assert waits(db, task) == (3, 5) and sound(db)
    scheduler.unlock()
    assert waits(db, task) == (2, 5) and sound(db)


def test_H4_why_of_a_task_whose_needs_are_looked_at_again(
        db, worker, scheduler):
    _, task, _ = ended(db, worker, scheduler)
    retry(db, scheduler, task)
    assert "its needs are looked at again" in db.why(task)[0].reason
    piece(scheduler, 3)
    assert "it waits for 8 tasks" in db.why(task)[0].reason


def test_A2_a_retry_that_is_refused_changes_nothing(db, worker, scheduler):
    """The task still comes back by itself when a need ends well."""
    needs, task = begun(db, scheduler, needs_mode="at_least 6")
    scheduler.work()
    one = running(db, worker, needs)
    one.finish(needs[0], needs[3], needs[7], outcome="f")
    scheduler.work()
    assert db.state(task) == "skipped"
    assert retry(db, scheduler, task) == (
        f"task {task} stays skipped: it needs task {needs[7]}, which failed; "
        "retry that first")
    retry(db, scheduler, needs[7])
    one.claim({"a": 1})
    one.finish(*one.held)
    scheduler.work()
    assert db.state(task) == "ready" and sound(db)


def test_A2_a_task_that_comes_back_by_itself_during_its_retry(
        db, worker, scheduler):
    """And ends again: the request goes on with the life that it finds."""
    needs, task, one = ended(db, worker, scheduler, done=slice(1),
                             needs_mode="any")
    number = db.one("SELECT muster.retry(%s)", task)
    for _ in range(2):
        scheduler.carry_out()
    other = db.session("musterd")
    other.run("SELECT muster.bring_back(ARRAY[%s])", task)
    piece(scheduler, 4)
    assert one.claim({"b": 1}).ids == [task]
    one.finish(task, outcome="f")
    scheduler.work()
    assert sound(db) and db.state(task) == "ready"
    assert db.one("SELECT verdict FROM muster.request_status(%s)",
                  number) == "done"


@pytest.mark.parametrize("seed", range(4))
def test_A2_random_ends_between_pieces(db, worker, scheduler, seed):
    """Any order of pieces, ends, retries and cancels: after each the counts
    are those of the edges, and at the end all is told."""
    chance = random.Random(seed)
    for _ in range(3):
        count = chance.randint(4, 11)
        needs = db.enqueue_many("a", count)
        tasks = [db.enqueue("b", depends_on=needs, needs_mode=chance.choice(
            ["all", "any", f"at_least {chance.randint(2, count)}"]),
            depends_when=chance.choice(["succeeded", "failed", "finished"]))
            for _ in range(2)]
        one = running(db, worker, needs)
        steps = chance.choices(["piece", "end", "retry", "unlock", "cancel",
                                "again", "run"], (6, 8, 3, 3, 1, 3, 2), k=35)
        for step in steps:
            if step == "piece":
                scheduler.admit(chance.randint(1, 4))
            elif step == "end":
                for need in chance.sample(sorted(one.held), min(
                        len(one.held), chance.randint(1, 3))):
                    one.finish(need, outcome=chance.choice("sssff"))
                one.claim({"a": 9})
            elif step == "unlock":
                scheduler.unlock(chance.choice((1, 100)))
                scheduler.carry_out()
            elif step == "run":
                one.finish(*one.claim({"b": 1}).ids,
                           outcome=chance.choice("sf"))
            else:
                db.one("SELECT muster.retry(%s)" if step != "cancel"
                       else "SELECT muster.cancel(%s)", chance.choice(
                           needs if step == "retry" else tasks))
                scheduler.carry_out()
            assert sound(db), steps
        scheduler.work()
        while one.held:
            one.finish_all("s")
            one.claim({"a": 99})
        scheduler.work()
        assert sound(db) and unplaced(db) == 0
        assert db.states(needs + tasks).keys() <= {
            "succeeded", "failed", "skipped", "cancelled", "ready"}
        one.claim({"b": 9})
        one.finish_all()
