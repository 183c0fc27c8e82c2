"""How ends of tasks are counted in their flows, and when a flow ends."""

import pytest

from sql import conftest


def one_task(db, kind="a", **more):
    """A flow of one task of this kind, and its task."""
    flow = db.flow({"x": {"kind": kind, **more}})
    return flow, db.tasks(flow)["x"].id


def counts(db, flow):
    row = db.flow_status(flow)
    return (row.state, row.total, row.open, row.succeeded, row.failed,
            row.cancelled, row.skipped)


def settle(db, scheduler):
    scheduler.work()
    assert db.invariants() == []


def test_A4_a_flow_counts_the_same_before_and_after_it_is_folded(
        db, worker, scheduler):
    """Of a batch with tasks of no flow, of several flows and outcomes."""
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"}, "c": {"kind": "c"},
                    "d": {"kind": "c", "needs": ["b"]}})
    other, _ = one_task(db)
    db.enqueue("a")
    one = worker()
    one.claim({"a": 3, "b": 1})
    failing = db.tasks(flow)["b"].id
    one.turn([(task, "f" if task == failing else "s", {"error": "no"})
              for task in one.held])
    db.one("SELECT muster.cancel(%s)", db.tasks(flow)["c"].id)
    scheduler.carry_out()
    scheduler.unlock()
    assert counts(db, flow)[1:] == (4, 0, 1, 1, 1, 1)
    assert counts(db, other)[1:] == (1, 0, 1, 0, 0, 0)
    assert db.flow_status(flow).finished_at is None
    assert db.invariants() == []
    scheduler.fold()
    assert counts(db, flow) == ("failed", 4, 0, 1, 1, 1, 1)
    assert counts(db, other) == ("succeeded", 1, 0, 1, 0, 0, 0)
    assert "b: no" in db.flow_status(flow).error
    settle(db, scheduler)


@pytest.mark.parametrize("apart", [1, 100])
def test_A4_only_the_flows_whose_tasks_ended_are_counted(
        db, worker, scheduler, apart):
    """Of neighbours and of flows far from each other: turns of nothing but
    successes and one with failures, counted by one call, before and after."""
    flows = []
    for kind in "aabbaabb":
        flows.append(db.flow({"x": {"kind": kind}, "y": {"kind": kind},
                              "z": {"kind": "z", "needs": ["x", "y"],
                                    "needs_mode": "any"}}))
        db.rows("SELECT nextval('muster.flow_id') "
                "FROM generate_series(2, %s)", apart)
    one = worker()
    one.claim({"a": 3}, limit=3)
    one.finish_all()
    one.claim({"a": 1}, limit=1)
    one.finish_all("f")
    one.claim({"a": 4}, limit=4)
    one.finish_all()
    expected = {flow: (3, 3, 0, 0) for flow in flows}
    for flow in (flows[0], flows[4], flows[5]):
        expected[flow] = (3, 1, 2, 0)
    expected[flows[1]] = (3, 1, 1, 1)
    for folds in (8, 0):
        assert {flow: counts(db, flow)[1:5] for flow in flows} == expected
        assert db.invariants() == []
        assert scheduler.fold() == folds
    assert db.one("SELECT count(*) FROM muster.flow_uncounted") == 0
    settle(db, scheduler)


def test_A1_what_holds_one_flow_holds_none_of_its_neighbours(
        db, worker, scheduler):
    """Three end at once, but one of them has an arrival."""
    flows = [one_task(db)[0] for _ in range(3)]
    one = worker()
    one.claim(3)
    one.finish_all()
    db.enqueue("b", flow_id=flows[1])
    scheduler.fold()
    assert [db.flow_status(flow).state for flow in flows] == [
        "succeeded", "running", "succeeded"]
    settle(db, scheduler)
    one.claim({"b": 1})
    one.finish_all()
    settle(db, scheduler)
    assert counts(db, flows[1]) == ("succeeded", 2, 0, 2, 0, 0, 0)


def test_counting_leaves_the_indexes_of_flows_alone(db, worker, scheduler):
    """What changes all the time is in no index, and a new row finds room in
    its page: of 200 neighbours in one update as well, and once a count."""
    one = worker()
    db.rows("SELECT muster.submit_flow('{\"tasks\": {\"a\": {\"kind\": "
            "\"a\"}, \"b\": {\"kind\": \"b\", \"needs\": [\"a\"], "
            "\"needs_mode\": \"any\"}}}') FROM generate_series(1, 200)")
    for kind in "ab":
        one.claim({kind: 200})
        one.finish_all()
        session = db.session("musterd")
        session.begin()
        session.run("SELECT muster.fold(1000)")
        assert tuple(session.run(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables "
            "WHERE relid = 'muster.flow'::regclass")[0]) == (200, 200)
        session.commit()
    assert db.one("SELECT count(*) FROM muster.flow "
                  "WHERE state = 'succeeded'") == 200


def test_A4_a_flow_does_not_end_before_an_end_under_way(
        db, worker, scheduler):
    """The finish that drew its place in the list first commits last."""
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"}})
    one, other = worker(), worker()
    one.claim({"a": 1})
    other.claim({"b": 1})
    one.session.begin()
    one.finish_all()
    other.finish_all()
    scheduler.fold()
    assert counts(db, flow) == ("running", 2, 1, 1, 0, 0, 0)
    one.session.commit()
    scheduler.fold()
    assert counts(db, flow) == ("succeeded", 2, 0, 2, 0, 0, 0)
    settle(db, scheduler)


def test_A4_the_mark_of_the_ends_does_not_pass_one_under_way(
        db, worker, scheduler):
    flow, _ = one_task(db)
    one = worker()
    one.claim()
    one.session.begin()
    one.finish_all()
    db.rows("SELECT nextval('muster.flow_delta_id') "
            "FROM generate_series(1, 5000)")
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    assert db.one("SELECT muster.list_mark('flow_ends')") == 0
    one.session.commit()
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    db.rows("SELECT nextval('muster.flow_delta_id') "
            "FROM generate_series(1, 5000)")
    assert counts(db, flow)[1:4] == (1, 0, 1)
    scheduler.fold()
    assert db.flow_status(flow).state == "succeeded"
    for _ in range(3):
        db.rows("SELECT muster.mark()")
    assert db.one("SELECT muster.list_mark('flow_ends')") > 5000
    flow, _ = one_task(db)
    one.claim()
    one.finish_all()
    assert counts(db, flow)[1:4] == (1, 0, 1)
    settle(db, scheduler)
    assert db.flow_status(flow).state == "succeeded"


def test_A1_what_was_admitted_holds_a_flow_whose_turn_to_count_it_has_not_come(
        db, worker, scheduler):
    """The end of the only task is counted in a call that has no room for the
    arrival of the second."""
    first, _ = one_task(db, "b")
    flow, _ = one_task(db)
    one = worker()
    one.claim({"a": 1})
    db.enqueue("c", flow_id=first)
    db.enqueue("c", flow_id=flow)
    scheduler.admit(1)
    scheduler.admit()
    one.finish_all()
    scheduler.fold(1)
    assert counts(db, flow) == ("running", 2, 1, 1, 0, 0, 0)
    settle(db, scheduler)
    one.claim({"b": 1, "c": 2})
    one.finish_all()
    settle(db, scheduler)
    assert {db.flow_status(each).state for each in (first, flow)} == {
        "succeeded"}


def test_A1_an_arrival_while_the_end_is_counted(db, worker, scheduler):
    """It commits after the flow's row was taken, so it is not in what the
    count of ends has read; what is read afterwards tells of it."""
    flow, _ = one_task(db)
    one = worker()
    one.claim()
    one.finish_all()
    holder = db.session("musterd")
    holder.begin()
    holder.run("SELECT FROM muster.flow WHERE id = %s FOR SHARE", flow)
    scheduler.session.send("SELECT muster.fold(10)")
    scheduler.session.wait_blocked()
    db.enqueue("b", flow_id=flow)
    holder.commit()
    scheduler.session.answer()
    assert db.flow_status(flow).finished_at is None
    assert db.one("SELECT count(*) FROM muster.finished "
                  "WHERE flow_id = %s", flow) == 0
    settle(db, scheduler)
    one.claim({"b": 1})
    one.finish_all()
    settle(db, scheduler)
    assert counts(db, flow) == ("succeeded", 2, 0, 2, 0, 0, 0)


def test_F2_a_cancel_of_the_flow_while_an_end_of_it_is_counted(
        db, worker, scheduler):
    """The count waits for the flow's row, and goes by what is in it then."""
    flow = db.flow({"a": {"kind": "a"}, "b": {"kind": "b"}})
    one = worker()
    one.claim({"a": 1})
    one.finish_all()
    db.one("SELECT muster.cancel_flow(%s)", flow)
    other = db.session("musterd")
    other.begin()
    other.run("SELECT muster.carry_out(100)")
    scheduler.session.send("SELECT muster.fold(10)")
    scheduler.session.wait_blocked()
    other.commit()
    scheduler.session.answer()
    assert counts(db, flow) == ("cancelling", 2, 0, 1, 0, 1, 0)
    settle(db, scheduler)
    assert counts(db, flow) == ("cancelled", 2, 0, 1, 0, 1, 0)


def test_G2_a_retry_is_counted_before_the_end_that_it_undoes(
        db, worker, scheduler):
    flow, task = one_task(db)
    other, _ = one_task(db, "b")
    one = worker()
    one.claim({"b": 1})
    one.finish_all()
    one.claim({"a": 1})
    one.finish_all("f")
    db.one("SELECT muster.retry(%s)", task)
    scheduler.carry_out()
    scheduler.fold(1)
    assert db.flow_status(other).state == "succeeded"
    assert counts(db, flow) == ("running", 1, 1, 0, 0, 0, 0)
    settle(db, scheduler)
    assert counts(db, flow) == ("running", 1, 1, 0, 0, 0, 0)
    one.claim({"a": 1})
    one.finish_all()
    settle(db, scheduler)
    assert counts(db, flow) == ("succeeded", 1, 0, 1, 0, 0, 0)


@pytest.mark.parametrize("first", ["retry", "fold"])
def test_G2_a_retry_against_the_end_of_its_flow(db, worker, scheduler, first):
    """Both are under way, and neither sees the other; in either order of their
    commits the flow goes on."""
    flow, task = one_task(db)
    one = worker()
    one.claim()
    one.finish_all("f")
    db.one("SELECT muster.retry(%s)", task)
    other = db.session("musterd")
    other.begin()
    scheduler.session.begin()
    if first == "retry":
        assert other.one("SELECT muster.carry_out(100)") == 1
        scheduler.fold()
        other.commit()
        scheduler.session.commit()
    else:
        scheduler.fold()
        assert other.one("SELECT muster.carry_out(100)") == 1
        scheduler.session.commit()
        other.commit()
    settle(db, scheduler)
    assert counts(db, flow) == ("running", 1, 1, 0, 0, 0, 0)
    one.claim()
    one.finish_all()
    settle(db, scheduler)
    assert counts(db, flow) == ("succeeded", 1, 0, 1, 0, 0, 0)


def test_A4_a_flow_that_is_put_off_is_met_again(db, worker, scheduler):
    """Its only task was cancelled, and somebody is still to be told; nothing
    else points to the flow then. To meet it in vain is no work done."""
    flow, task = one_task(db)
    after = db.enqueue("b", depends_on=[task])
    scheduler.work()
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.carry_out()
    assert scheduler.fold() > 0
    assert scheduler.fold() == 0
    assert counts(db, flow) == ("running", 1, 0, 0, 0, 1, 0)
    assert db.flow_status(flow).finished_at is None
    scheduler.unlock()
    assert scheduler.fold() > 0
    assert counts(db, flow) == ("cancelled", 1, 0, 0, 0, 1, 0)
    settle(db, scheduler)
    assert db.state(after) == "skipped"
    assert db.one("SELECT count(*) FROM muster.flow_delta") == 0


def test_A4_no_more_ends_are_counted_at_a_time_than_may_be(
        db, worker, scheduler):
    """To the end of a turn."""
    flows = [one_task(db)[0] for _ in range(6)]
    one = worker()
    for _ in range(3):
        one.claim(2, limit=2)
        one.finish_all()
    left = []
    for _ in range(3):
        scheduler.fold(2)
        left.append(sum(db.flow_status(flow).finished_at is None
                        for flow in flows))
    assert left == [4, 2, 0]
    settle(db, scheduler)


def test_B5_a_flow_that_was_about_to_end_at_the_migration_ends(postgres):
    """What was counted, but not yet ended; and what was not counted yet."""
    postgres.run("CREATE DATABASE test_fold TEMPLATE template0")
    connection = postgres.connect("test_fold")
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN;" + conftest.FOUNDATION)
            for text in conftest.sql_texts()[:2]:
                cursor.execute(text)
            cursor.execute(
                "INSERT INTO muster.flow (id, created_at, total, succeeded, "
                "fail_fast) VALUES (1, now(), 2, 2, false), "
                "(2, now(), 2, 1, false), (3, now(), 2, 1, false);"
                "INSERT INTO muster.flow_delta (flow_id, failed) "
                "VALUES (2, 1)")
            for text in conftest.sql_texts()[2:]:
                cursor.execute(text)
            cursor.execute("COMMIT; SELECT muster.fold(1000);"
                           "SELECT state FROM muster.flow ORDER BY id")
            assert cursor.fetchall() == [
                ("succeeded",), ("failed",), ("running",)]
    finally:
        connection.close()
        postgres.run("DROP DATABASE test_fold WITH (FORCE)")
