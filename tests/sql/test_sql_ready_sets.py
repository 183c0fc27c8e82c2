"""Rows of ready that stand for several tasks: the items of a map."""

import json

import pytest

from sql.daemon import sleep_on


def items(db, scheduler, over, kind="a", **more):
    """The tasks of a map over a list, ready, in the order of the list."""
    flow = db.flow({"m": {"kind": kind, "map": {"over": over, **more}}})
    scheduler.work()
    return ids_of(db, flow)


def ids_of(db, flow):
    return [row.id for row in db.rows(
        "SELECT t.id FROM muster.task t JOIN muster.container_plan p "
        "ON p.flow_id = t.flow_id JOIN muster.task m ON m.id = p.task_id "
        "WHERE m.flow_id = %s ORDER BY t.id", flow)]


def rows(db):
    """(first task, how many, size) of what is ready, in the order of the
    line."""
    return [tuple(row) for row in db.rows(
        "SELECT task_id, n, size FROM muster.ready ORDER BY seq")]


def counts(db):
    return [row[1] for row in rows(db)]


def payload_size(db, task):
    return db.one("SELECT size FROM muster.task WHERE id = %s", task)


# The rows.

def test_A5_items_stand_sixteen_to_a_row(db, worker, scheduler):
    ids = items(db, scheduler, list(range(40)))
    size = payload_size(db, ids[-1])
    assert sorted(counts(db)) == [9, 15, 16]
    assert [row[0] for row in rows(db)] == [ids[0], ids[15], ids[31]]
    assert all(row[2] == row[1] * size for row in rows(db)[1:])
    one = worker()
    assert one.claim(100).ids == ids
    one.finish_all()
    scheduler.work()
    assert db.invariants() == []


def test_A5_numbers_that_others_drew_divide_the_rows(db, worker, scheduler):
    """A set is of tasks that follow one another by id."""
    flow = db.flow({"m": {"kind": "a", "map": list(range(20))}})
    db.rows("ALTER SEQUENCE muster.task_id INCREMENT 3")
    scheduler.work()
    ids = ids_of(db, flow)
    assert counts(db) == [1] * 20
    assert worker().claim(100).ids == ids


def test_A5_large_items_stand_alone(db, worker, scheduler):
    ids = items(db, scheduler, ["x" * 70000, 1, 2])
    assert counts(db) == [1, 1, 1]
    assert worker().claim(100).ids == ids


def test_A5_max_running_counts_tasks_that_stand_in_rows(db, worker,
                                                        scheduler):
    ids = items(db, scheduler, list(range(50)), max_running=20)
    assert sum(counts(db)) == len(ids) == 20
    one, seen = worker(), []
    while len(seen) < 50:
        got = one.claim(7).ids
        assert got and got == sorted(got)
        seen += got
        one.finish_all()
        scheduler.work()
        assert sum(counts(db)) <= 20
        assert db.invariants() == []
    assert seen == sorted(seen) and len(set(seen)) == 50


def test_counts_of_what_is_ready_are_of_tasks(db, worker, scheduler,
                                              listener):
    sleep_on(db, "default")
    ids = items(db, scheduler, list(range(40)))
    assert listener.heard() == ["ready default 40"]
    one = worker(kinds=("a",))
    assert db.states(ids) == {"ready": 40}
    assert db.one("SELECT ready FROM muster.queue_stats "
                  "WHERE queue = 'default' AND kind = 'a'") == 40
    assert "20 before it" in "".join(map(str, db.rows(
        "SELECT * FROM muster.why(%s)", ids[20])))
    assert db.one("SELECT muster.borrow_ready(%s, 'q', 'default', 25)",
                  one.id) == 25
    assert db.one("SELECT muster.borrow_ready(%s, 'q', 'default', 100)",
                  one.id) == 40
    db.rows("SELECT muster.pause('default')")
    scheduler.work()
    assert one.claim().ids == []
    listener.heard()
    db.rows("SELECT muster.resume('default')")
    scheduler.work()
    assert "ready default 40" in listener.heard()


# Claims.

def test_B1_a_claim_takes_whole_rows_and_splits_the_last(db, worker,
                                                         scheduler):
    ids = items(db, scheduler, list(range(60)))
    one = worker()
    assert one.claim(20).ids == ids[:20]
    assert counts(db) == [11, 16, 13]
    assert rows(db)[0] == (ids[20], 11, 11 * payload_size(db, ids[20]))
    assert db.invariants() == []
    assert one.claim(11).ids == ids[20:31]
    assert one.claim(1).ids == [ids[31]]
    assert one.claim(100).ids == ids[32:]
    assert one.claim(100, floors=False).ids == rows(db) == []
    one.finish_all()
    scheduler.work()
    assert db.invariants() == []


@pytest.mark.parametrize("order", [
    [1] * 40 + [16] * 10, [16] * 10 + [1] * 40, [1, 16, 3] * 10, [2] * 40])
def test_B1_no_more_rows_are_locked_than_make_up_a_claim(db, worker, scheduler,
                                                         order):
    """What one transaction has claimed another steps over: the rest of the
    row that was split, and nothing else."""
    ids = items(db, scheduler, list(range(sum(order))))
    arrange(db, order)
    one, other = worker(), worker()
    one.session.begin()
    assert one.claim(45).ids == ids[:45]
    got = other.claim(1000).ids
    assert got == ids[-len(got):] and len(ids) - 45 - len(got) < 16
    one.session.commit()
    assert sorted(got + other.claim(1000, floors=False).ids) == ids[45:]
    assert db.invariants() == []


def arrange(db, order):
    """The items of one map in rows of these sizes."""
    row = db.one("SELECT r FROM muster.ready r ORDER BY seq LIMIT 1")
    assert row
    db.rows("CREATE TABLE was AS SELECT min(task_id) AS first, min(at) AS at, "
            "min(route_id) AS route, min(rank) AS rank, min(lane) AS lane "
            "FROM muster.ready")
    db.rows("DELETE FROM muster.ready")
    db.rows("INSERT INTO muster.ready (seq, task_id, at, route_id, size, "
            "rank, lane, ticket, n) SELECT nextval('muster.ready_seq'), "
            "first + before, at, route, 20 * u.n, rank, lane, 0, u.n "
            "FROM was, (SELECT x.n, x.o, sum(x.n) OVER (ORDER BY x.o) - x.n "
            "AS before FROM unnest(%s) WITH ORDINALITY x(n, o)) u "
            "ORDER BY u.o", order)
    db.rows("DROP TABLE was")


def test_B1_rows_of_several_lines_come_in_the_order_of_tasks(
        db, worker, scheduler):
    """A turn is answered by task; a lease's tasks ascend."""
    first = items(db, scheduler, list(range(20)))
    plain = db.enqueue_many("a", 5)
    second = items(db, scheduler, list(range(20)), kind="b")
    one = worker()
    answer = one.claim(100)
    assert answer.ids == sorted(first + plain + second)
    route = {task.id: task.route for task in answer.tasks}
    assert {route[task] for task in first + plain} == {
        one.routes["default", "a"]}
    assert {route[task] for task in second} == {one.routes["default", "b"]}
    assert db.invariants() == []


def test_B1_bytes_divide_a_row(db, worker, scheduler):
    ids = items(db, scheduler, ["x" * 1000] * 20)
    size = payload_size(db, ids[0])
    one = worker()
    # A set counts the largest of its payloads for each; indexes have digits.
    assert one.claim(max_bytes=3 * size + 50).ids == ids[:3]
    assert one.claim(max_bytes=10).ids == ids[3:4]  # the first always fits
    assert one.claim(2, max_bytes=3 * size + 50).ids == ids[4:6]
    assert one.claim(100, max_bytes=10 ** 6).ids == ids[6:]
    assert db.invariants() == []


# Two at once.

def test_B1_a_row_that_is_being_split_is_stepped_over_and_told_of(
        db, worker, scheduler, listener):
    ids = items(db, scheduler, list(range(15)))
    assert counts(db) == [15]
    sleep_on(db, "default")
    one, other = worker(), worker()
    one.session.begin()
    assert one.claim(4).ids == ids[:4]
    assert other.claim(4).ids == []
    assert listener.heard() == []
    one.session.commit()
    assert listener.heard() == ["ready default 11"]
    assert other.claim(4, floors=False).ids == ids[4:8]
    assert db.invariants() == []


def test_B1_a_split_that_is_undone_leaves_the_row(db, worker, scheduler,
                                                  listener):
    ids = items(db, scheduler, list(range(15)))
    sleep_on(db, "default")
    one, other = worker(), worker()
    one.session.begin()
    one.claim(4)
    one.session.rollback()
    assert counts(db) == [15] and listener.heard() == []
    assert other.claim(100).ids == ids
    assert db.invariants() == []


def test_B1_a_claim_goes_on_behind_what_others_hold(db, worker, scheduler):
    """What the look without locks counts may be held: those behind it are
    fewer to a row."""
    ids = items(db, scheduler, list(range(82)))
    arrange(db, [16] * 3 + [1] * 34)
    one, other = worker(), worker()
    one.session.begin()
    assert one.claim(40).ids == ids[:40]
    assert other.claim(30).ids == ids[48:78]
    one.session.commit()
    assert other.claim(100, floors=False).ids == ids[40:48] + ids[78:]
    assert db.invariants() == []


# Members that leave their set.

def test_F2_a_cancelled_member_is_left_out(db, worker, scheduler):
    ids = items(db, scheduler, list(range(15)))
    db.rows("SELECT muster.cancel(%s)", ids[2])
    scheduler.work()
    assert db.state(ids[2]) == "cancelled" and counts(db) == [15]
    assert db.invariants() == []
    one = worker()
    assert one.claim(4).ids == ids[:2] + ids[3:4]
    assert one.claim(100).ids == ids[4:]
    assert db.invariants() == []


@pytest.mark.parametrize("want", [1, 4, 100])
def test_G2_a_member_brought_back_runs_once(db, worker, scheduler, want):
    """Cancelled and brought back it stands on its own, too."""
    ids = items(db, scheduler, list(range(15)))
    db.rows("SELECT muster.cancel(%s)", ids[2])
    scheduler.work()
    db.rows("SELECT muster.retry(%s)", ids[2])
    scheduler.work()
    assert counts(db) == [15, 1]
    assert db.invariants() == []
    assert sorted(drain(db, worker(), want)) == ids
    assert db.invariants() == []


@pytest.mark.parametrize("want", [1, 4, 100])
def test_B3_moved_members_run_once_and_where_they_were_put(
        db, worker, scheduler, want):
    ids = items(db, scheduler, list(range(15)))
    db.rows("SELECT muster.reprioritise(%s, %s)", ids[3:6], [5, 5, -5])
    scheduler.work()
    assert counts(db) == [15, 1, 1, 1]
    assert db.invariants() == []
    got = drain(db, worker(), want)
    assert sorted(got) == ids
    if want == 1:
        assert got.index(ids[5]) == 14
    assert db.invariants() == []


def drain(db, one, want):
    got = []
    for _ in range(50):
        got += one.claim(want, floors=False).ids
        one.finish_all()
    assert rows(db) == []
    return got


def test_F2_a_cancelled_map_leaves_rows_that_nobody_claims(db, worker,
                                                           scheduler):
    flow = db.flow({"m": {"kind": "a", "map": list(range(40))}})
    scheduler.work()
    ids = ids_of(db, flow)
    one = worker()
    one.claim(10)
    db.rows("SELECT muster.cancel_flow(%s)", flow)
    scheduler.work()
    assert db.states(ids)["cancelled"] == 30
    assert one.claim(100).ids == [] and rows(db) == []
    one.finish_all("c")
    scheduler.work()
    assert db.invariants() == []


# The oracle.

@pytest.mark.parametrize("wrong", [
    "n = 17, size = 17", "lane = 8", "size = size + 1", "lock_id = 7",
    "n = n - 1, size = size / n * (n - 1)", "task_id = task_id - 1"])
def test_invariants_of_rows_for_several_are_found_when_broken(
        db, scheduler, wrong):
    items(db, scheduler, list(range(15)))
    session = db.session()
    session.begin()
    session.run(f"UPDATE muster.ready SET {wrong}")
    found = session.run("SELECT invariant FROM muster.check_invariants()")
    session.rollback()
    assert 1 in {row.invariant for row in found}


def test_payloads_and_results_of_members_are_their_own(db, worker, scheduler):
    flow = db.flow({"m": {"kind": "a", "map": [3, 1, 2]}})
    scheduler.work()
    one = worker()
    got = one.claim(10).tasks
    one.turn([(task.id, "s", {"result": str(json.loads(task.payload)["item"])})
              for task in got])
    scheduler.work()
    assert db.tasks(flow)["m"].result == [3, 1, 2]
