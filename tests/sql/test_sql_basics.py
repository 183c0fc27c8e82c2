"""A task's way from enqueue to its end."""

import json

import psycopg2
import pytest


def test_B5_enqueued_task_is_claimed_and_finished(db, worker):
    task = db.enqueue("a", {"x": 1}, priority=3, max_attempts=4,
                      timeout="90 s")
    one = worker()
    claimed, = one.claim().tasks
    assert (claimed.id, claimed.attempt, claimed.max_attempts,
            claimed.timeout_ms) == (task, 1, 4, 90000)
    assert db.one("SELECT rank FROM muster.task WHERE id = %s", task) == -3
    assert json.loads(claimed.payload) == {"x": 1}
    assert db.state(task) == "running"
    one.finish(task, ran=7, result='{"y": 12345678901234567890}')
    row = db.task(task)
    assert (row.state, row.attempt, row.ran_ms) == ("succeeded", 1, 7)
    assert db.one("SELECT result::text FROM muster.task WHERE id = %s",
                  task) == '{"y": 12345678901234567890}'
    assert row.finished_at >= row.created_at


def test_B5_enqueue_many_gives_ids_in_order(db, worker):
    ids = db.enqueue_many("a", [{"n": n} for n in range(1000)])
    assert ids == sorted(ids)
    tasks = worker().claim(1000).tasks
    assert [json.loads(task.payload)["n"] for task in tasks] == \
        list(range(1000))


def test_B5_enqueue_belongs_to_the_callers_transaction(db, worker):
    client = db.session("app")
    client.begin()
    client.run("SELECT muster.enqueue('a')")
    one = worker()
    assert not one.claim().tasks
    client.rollback()
    assert not one.claim(floors=False).tasks
    client.begin()
    task = client.one("SELECT muster.enqueue('a')")
    client.commit()
    assert one.claim(floors=False).ids == [task]


def test_B5_prepared_transaction_with_wake_off(db, worker):
    db.rows("SELECT muster.sleep_on('i', 1, '{default}')")
    client = db.session("app")
    client.begin()
    task = client.one("SELECT muster.enqueue('a', wake => false)")
    client.run("PREPARE TRANSACTION 'p1'")
    client.run("COMMIT PREPARED 'p1'")
    assert worker().claim().ids == [task]


@pytest.mark.parametrize("call, words", [
    ("'a', priority => 1001", "priority 1001"),
    ("'a', priority => NULL", "priority null"),
    ("'a', max_attempts => 0", "max_attempts 0"),
    ("'a', timeout => '-1 s'", "timeout"),
    ("''", "the kind has no name"),
    ("NULL", "the kind has no name"),
    ("'a b'", "a kind may not be named"),
    ("'a', queue => E'x\\ny'", "a queue may not be named"),
    ("repeat('x', 201)", "a kind may not be named"),
    ("'a', depends_on => '{999}'", "no task 999"),
    ("'a', depends_on => '{NULL}'", "holds a null"),
    ("'a', flow_id => 999", "no flow 999"),
    ("'a', jsonb_build_object('x', repeat('y', 1100000))", "over max_payload"),
])
def test_B5_bad_arguments_are_refused(db, call, words):
    with pytest.raises(psycopg2.Error, match=words) as caught:
        db.rows(f"SELECT muster.enqueue({call})")
    assert caught.value.pgcode == "MU003"


def test_B5_condition_of_needs_must_be_known(db):
    task = db.enqueue("a")
    with pytest.raises(psycopg2.Error, match='depends_when "maybe"'):
        db.enqueue("a", depends_on=[task], depends_when="maybe")


def test_B5_max_payload_is_a_setting(db):
    db.rows("SELECT muster.set_setting('max_payload', '100')")
    assert db.session("app").one("SELECT muster.max_payload()") == 100
    db.enqueue("a", "x" * 98)
    with pytest.raises(psycopg2.Error, match="payload of 101 bytes"):
        db.enqueue("a", "x" * 99)
    with pytest.raises(psycopg2.Error, match="payload of 101 bytes"):
        db.enqueue_many("a", ["x", "x" * 99])
    with pytest.raises(psycopg2.Error, match="payload of 101 bytes"):
        db.flow({"s": {"kind": "a", "payload": "x" * 99}})
    with pytest.raises(psycopg2.Error, match="no setting"):
        db.rows("SELECT muster.set_setting('colour', 'red')")


def test_B5_payload_keeps_its_numbers(db, worker):
    text = '{"n": [12345678901234567890, 0.10, 1e400]}'
    db.rows("SELECT muster.enqueue('a', %s)", text)
    payload = worker().claim().tasks[0].payload
    assert "12345678901234567890" in payload and "0.10" in payload
    assert "1" + "0" * 400 in payload


def test_large_payloads_are_fetched_singly(db, worker):
    task = db.enqueue("a", "x" * 70000)
    claimed, = worker().claim().tasks
    assert claimed.payload is None
    assert len(db.one("SELECT muster.payload(%s)", task)) == 70002


def test_claim_is_bounded_in_bytes(db, worker):
    ids = db.enqueue_many("a", ["x" * 30000] * 5)
    one = worker()
    assert one.claim(max_bytes=65000).ids == ids[:2]
    assert one.claim(max_bytes=10).ids == ids[2:3]  # the first always fits
    assert one.claim(max_bytes=10 ** 6).ids == ids[3:]


def test_delayed_task_becomes_ready_when_due(db, worker, scheduler):
    task = db.one("SELECT muster.enqueue('a', run_at => "
                  "clock_timestamp() + interval '600 ms')")
    past = db.one("SELECT muster.enqueue('a', run_at => '2020-01-01')")
    one = worker()
    assert one.claim().ids == [past]
    assert db.state(task) == "scheduled"
    moved, next_in_ms, floor = db.one("SELECT * FROM muster.due(10, NULL)")
    assert moved == 0 and 0 < next_in_ms <= 600
    db.rows("SELECT pg_sleep(%s)", next_in_ms / 1000)
    moved, next_in_ms, floor = db.one("SELECT * FROM muster.due(10, %s)",
                                      floor)
    assert (moved, next_in_ms) == (1, None)
    assert one.claim().ids == [task]


def test_due_moves_a_bounded_number_and_says_there_is_more(db, scheduler):
    db.rows("SELECT muster.enqueue_many('a', array_fill('1'::jsonb, "
            "ARRAY[25]), run_at => clock_timestamp() + interval '500 ms')")
    db.rows("SELECT pg_sleep(0.6)")
    floor, total = None, []
    for _ in range(3):
        moved, next_in_ms, floor = db.one(
            "SELECT * FROM muster.due(10, %s)", floor)
        total.append((moved, next_in_ms))
    assert total == [(10, 0), (10, 0), (5, None)]


def test_B1_stale_rows_and_others_tasks_are_stepped_over(db, worker):
    ids = db.enqueue_many("a", 6)
    one, other = worker(), worker()
    one.session.begin()
    assert one.claim(2).ids == ids[:2]
    assert other.claim(2).ids == ids[2:4]  # does not wait
    one.session.rollback()
    assert other.claim(10).ids == ids[4:]  # its floor is past the two
    assert other.claim(10, floors=False).ids == ids[:2]


def test_paused_queue_gives_nothing_and_resumed_all(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker(queues=("default", "q2"))
    request = db.one("SELECT muster.pause('default')")
    scheduler.work()
    _, answer, verdict = db.one(
        "SELECT * FROM muster.request_status(%s)", request)
    assert verdict == "done" and "is paused" in answer
    other = db.enqueue("a", queue="q2")
    assert one.claim().ids == [other]
    assert "paused" in db.why(task)[0].reason
    assert db.one("SELECT paused FROM muster.queue_stats WHERE queue = "
                  "'default' AND kind = 'a'")
    db.one("SELECT muster.resume('default')")
    scheduler.work()
    assert one.claim().ids == [task]


def test_routes_wanted_only(db, worker):
    a, b = db.enqueue("a"), db.enqueue("b")
    one = worker()
    assert one.claim({"b": 5}).ids == [b]
    assert one.claim({"a": 5}).ids == [a]


def test_wants_and_limit_bound_a_claim(db, worker):
    a, b = db.enqueue_many("a", 10), db.enqueue_many("b", 10)
    one = worker()
    got = one.claim({"a": 3, "b": 2})
    assert sorted(got.ids) == a[:3] + b[:2]
    assert len(one.claim(10, limit=4).ids) == 4


def test_A6_urgent_first_then_oldest(db, worker):
    db.rows("SELECT setseed(0.1)")
    low = db.enqueue_many("a", 2, priority=-1)
    normal = db.enqueue_many("b", 2)
    high = db.enqueue_many("c", 2, priority=7)
    one = worker()
    one.session.run("SELECT setseed(0.5)")
    order = [one.claim(1, limit=1).ids[0] for _ in range(6)]
    assert order == high + normal + low


def test_A6_low_priority_does_not_starve(db, worker):
    low = db.enqueue("a", priority=-1000)
    one = worker()
    for turn in range(400):
        db.enqueue("b", priority=1000)
        if low in one.claim(1, limit=1).ids:
            break
        one.finish_all()
    assert turn < 399


def test_A6_oldest_head_of_a_rank_goes_first(db, worker):
    b = db.enqueue("b")
    a = db.enqueue("a")
    one = worker()
    one.session.run("SELECT setseed(0.5)")
    assert one.claim(1, limit=1).ids == [b]
    assert one.claim(1, limit=1).ids == [a]


def test_leases_hold_at_most_200_tasks(db, worker):
    db.enqueue_many("a", 450)
    one = worker()
    assert len(one.claim(450).ids) == 450
    assert db.rows("SELECT cardinality(task_ids) FROM muster.lease "
                   "ORDER BY id") == [(200,), (200,), (50,)]
    one.finish_all()
    assert db.one("SELECT count(*) FROM muster.lease") == 0


def test_lease_shrinks_as_its_tasks_end(db, worker):
    ids = db.enqueue_many("a", 5)
    one = worker()
    one.claim()
    one.finish(ids[3], ids[1])
    assert db.one("SELECT task_ids FROM muster.lease") == \
        [ids[0], ids[2], ids[4]]
    one.finish_all()
    assert db.one("SELECT count(*) FROM muster.lease") == 0


def test_finish_of_several_leases_in_any_order(db, worker):
    one, ids = worker(), []
    for _ in range(5):
        ids += db.enqueue_many("a", 3)
        one.claim(10)
    one.finish(*reversed(ids[2:]))
    assert db.states() == {"succeeded": 13, "running": 2}
    one.finish_all()
    assert db.states() == {"succeeded": 15}


@pytest.mark.parametrize("leases", ["in order", "crossed", "in part"])
def test_each_task_of_a_batch_gets_its_own_result(db, worker, leases):
    """The short way of successes that tell something, and the long one."""
    one = worker()
    ids = db.enqueue_many("a", 450)
    one.claim(450)
    if leases == "crossed":  # what was put back is in the youngest lease
        one.finish(*ids[:3], outcome="r", error="at first", ran=1)
        one.claim(3)
        ended = ids[3:] + ids[:3]
    else:
        ended = ids[:-1] if leases == "in part" else ids
    one.turn([(task, "s", {"ran": task % 100, "result": f'{{"n": {task}}}'})
              if task % 3 else (task, "s") for task in ended])
    rows = db.rows("SELECT id, ran_ms, result, error, attempts FROM muster.task"
                   " WHERE state = 's' ORDER BY id")
    again = ids[:3] if leases == "crossed" else []
    assert rows == [(task, task % 100, {"n": task}, None, 1 + (task in again))
                    if task % 3 else (task, None, None, None,
                                      1 + (task in again))
                    for task in sorted(ended)]
    assert db.one("SELECT count(*) FROM muster.lease") == \
        (leases == "in part")


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("apart", [1, 2, 10])
def test_ids_of_a_batch_close_together_and_far_apart(
        db, worker, scheduler, apart, told):
    """A batch is found by a walk along the index, or by a search for each."""
    one = worker(kinds=("a",))
    ids = []
    for n in range(60):
        ids.append(db.enqueue("a", {"n": n}))
        db.enqueue_many("b", apart - 1)
    for task in ids[5], ids[59]:
        db.one("SELECT muster.cancel(%s)", task)
    scheduler.work()
    left = [task for task in ids if task not in (ids[5], ids[59])]
    answer = one.claim(60)
    assert [(task.id, task.payload) for task in answer.tasks] == \
        [(task, f'{{"n": {ids.index(task)}}}') for task in left]
    assert db.one("SELECT task_ids FROM muster.lease") == left
    one.turn([(task, "s", {"ran": 1, "result": str(task)} if told else {})
              for task in left])
    assert db.rows("SELECT id, result FROM muster.task WHERE state = 's'"
                   " ORDER BY id") == \
        [(task, task if told else None) for task in left]
    assert db.states() == {"succeeded": 58, "cancelled": 2,
                           **({"ready": 60 * (apart - 1)}
                              if apart > 1 else {})}


@pytest.mark.parametrize("told, ran_ms", [({"ran": 5}, 5), ({}, None)])
def test_success_of_a_batch_clears_the_error_of_the_attempt_before(
        db, worker, told, ran_ms):
    one = worker()
    ids = db.enqueue_many("a", 3)
    one.claim()
    one.finish(*ids, outcome="r", error="at first", ran=1)
    one.claim()
    one.turn([(task, "s", told) for task in ids])
    assert db.rows("SELECT DISTINCT ran_ms, error FROM muster.task") == \
        [(ran_ms, None)]


def test_results_in_a_batch_unlock_what_waits_for_them(db, worker, scheduler):
    one = worker()
    first, second = db.enqueue_many("a", 2)
    last = db.enqueue("b", depends_on=[first, second])
    scheduler.work()
    one.claim({"a": 2})
    one.turn([(first, "s", {"ran": 1}), (second, "s", {"result": "2"})])
    scheduler.work()
    assert one.claim().ids == [last]


def test_views_show_queues_and_workers(db, worker):
    db.enqueue_many("a", 3)
    db.rows("SELECT muster.enqueue('a', run_at => now() + interval '1 h')")
    one = worker()
    one.claim(1)
    stats = db.one("SELECT * FROM muster.queue_stats WHERE kind = 'a'")
    assert (stats.ready, stats.running, stats.scheduled, stats.paused) == \
        (2, 1, 1, False)
    assert stats.oldest_ready_ms >= 0
    row = db.one("SELECT * FROM muster.worker_status")
    assert (row.id, row.running, row.queues) == (one.id, 1, ["default"])
