"""Many at once: requests by filter and by ids, enqueuing by arrays and by
COPY."""

import io
import json

import psycopg2
import pytest

STATUS = ("SELECT s.*, p.* FROM unnest(ARRAY[%s]) r(id), "
          "muster.request_status(r.id) s, muster.request_progress(r.id) p")


def ask(db, scheduler, call, *arguments):
    """The answer to a request that is carried out at once."""
    request = db.one(f"SELECT muster.{call}", *arguments)
    scheduler.work()
    row = db.one(STATUS, request)
    assert row.done and row.count == row.total
    return row


def where(db, scheduler, verb, **keys):
    return ask(db, scheduler, f"{verb}_where(%s)", json.dumps(keys))


def line(db):
    """(rank, task) of what is ready, in the order of the lines."""
    return db.rows(
        "SELECT r.rank, r.task_id FROM muster.ready r JOIN muster.task t "
        "ON t.id = r.task_id AND t.ticket = r.ticket AND t.state IS NULL "
        "ORDER BY r.rank, r.lane, r.seq")


# By filter.

def test_G2_retry_by_filter_brings_back_what_matches(db, worker, scheduler):
    one = worker()
    odd = [db.enqueue("a"), db.enqueue("b")]
    bad = db.enqueue_many("a", 700)
    one.claim(1000)
    one.finish(*bad, outcome="f", error="no luck at all")
    one.finish(*odd, outcome="f", error="broke")
    state = {"state": "failed"}
    assert db.one("SELECT muster.count_where('retry', %s)",
                  json.dumps({**state, "kind": "a"})) == 701
    row = where(db, scheduler, "retry", error="no luck%", **state)
    assert row.answer == "700 tasks run again" and row.verdict == "done"
    assert (row.count, row.total) == (700, 700)
    assert db.states(bad) == {"ready": 700}
    assert db.states(odd) == {"failed": 2}
    row = where(db, scheduler, "retry", kind="b", queue="default")
    assert row.answer == "1 task runs again"
    row = where(db, scheduler, "retry", kind="b")
    assert row.answer == "no such task" and row.verdict == "done"


def test_G2_retry_by_filter_of_a_chain_brings_back_all_of_it(
        db, worker, scheduler):
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "b", "needs": ["x"]},
                    "z": {"kind": "b", "needs": ["y"]}})
    one = worker()
    tasks = db.tasks(flow)
    one.claim()
    one.finish(tasks["x"].id, outcome="f")
    scheduler.work()
    assert db.states() == {"failed": 1, "skipped": 2}
    alone = where(db, scheduler, "retry", flow=flow, name="z",
                  state="skipped")
    assert alone.verdict == "refused"
    assert alone.answer == "1 task stays as it is: a need is not met"
    row = where(db, scheduler, "retry", flow=flow,
                state=["failed", "skipped"])
    assert row.answer == ("1 task runs again; 2 tasks come back when a need "
                          "of theirs, which runs again, is met")
    for _ in range(3):
        one.claim()
        one.finish_all()
        scheduler.work()
    assert db.flow_status(flow).state == "succeeded"


def test_G2_retry_by_filter_of_what_a_failure_cancelled(
        db, worker, scheduler):
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "b", "needs": ["x"]},
                    "z": {"kind": "b", "needs": ["y", "w"]},
                    "w": {"kind": "c"}}, on_failure="cancel")
    one = worker()
    one.claim({"a": 1})
    one.finish_all("f")
    scheduler.work()
    assert db.flow_status(flow).state == "failed"
    where(db, scheduler, "retry", flow=flow,
          state=["failed", "cancelled", "skipped"])
    for _ in range(3):
        one.claim()
        one.finish_all()
        scheduler.work()
    assert db.states() == {"succeeded": 4}
    assert db.flow_status(flow).state == "succeeded"


def test_F2_cancel_by_filter_takes_what_is_in_that_state(
        db, worker, scheduler):
    one = worker()
    running = db.enqueue_many("a", 2)
    one.claim()
    ready = db.enqueue_many("a", 600)
    other = db.enqueue("b")
    later = db.enqueue("a", run_at="2100-01-01")
    after = db.enqueue("a", depends_on=[other])
    row = where(db, scheduler, "cancel", kind="a", state="ready")
    assert row.answer == "600 tasks are cancelled"
    assert db.states(ready) == {"cancelled": 600}
    row = where(db, scheduler, "cancel", kind="a", queue="default")
    assert row.answer == ("2 tasks are cancelled; 2 tasks are running; their "
                          "workers were told")
    assert one.turn().cancel == set(running)
    assert db.states([later, after, other]) == {"cancelled": 2, "ready": 1}
    one.finish(*running, outcome="c")
    assert db.states(running) == {"cancelled": 2}


def test_F2_filter_by_age(db, worker, scheduler):
    old, young = db.enqueue("a"), db.enqueue("a")
    db.rows("UPDATE muster.task SET created_at = now() - interval '2 h' "
            "WHERE id = %s", old)
    hour = db.one("SELECT now() - interval '1 h'").isoformat()
    assert where(db, scheduler, "cancel", before=hour).total == 1
    assert (db.state(old), db.state(young)) == ("cancelled", "ready")
    assert where(db, scheduler, "retry", state="cancelled",
                 before=hour).total == 0
    assert where(db, scheduler, "retry", state="cancelled",
                 since=hour).total == 1
    assert db.states() == {"ready": 2}


def test_F2_cancel_of_what_has_left_the_state_that_was_asked_for(
        db, worker, scheduler):
    """Who asks for what is ready does not mean what runs by then."""
    ids = db.enqueue_many("a", 3)
    request = db.one("SELECT muster.cancel_where('{\"state\": \"ready\"}')")
    one = worker()
    one.claim(1)
    scheduler.work()
    row = db.one(STATUS, request)
    assert row.answer == ("2 tasks are cancelled; 1 task was in another "
                          "state by then")
    assert db.states(ids) == {"running": 1, "cancelled": 2}
    assert not one.turn().cancel


@pytest.mark.parametrize("call, words", [
    ("cancel_where('{}')", "that would cancel every task"),
    ("cancel_where(NULL)", "no filter is given"),
    ("retry_where('[]')", "that would retry every task"),
    ("cancel_where('{\"quene\": \"x\"}')", 'unknown key "quene"'),
    ("cancel_where('{\"kind\": 5}')", "kind of the filter is no string"),
    ("cancel_where('{\"flow\": \"x\"}')", "flow of the filter is no number"),
    ("cancel_where('{\"flow\": 1e30}')", "is no id of a flow"),
    ("cancel_where('{\"state\": \"failed\"}')",
     'state "failed" of the filter is none of those to cancel: arriving'),
    ("retry_where('{\"state\": [\"failed\", 1]}')", 'state "1"'),
    ("retry_where('{\"state\": []}')", "state null"),
    ("retry_where('{\"since\": \"tomorow\"}')", "since of the filter is no "
     'time: "tomorow"'),
    ("count_where('purge', '{\"kind\": \"a\"}')", 'nothing is called "purge"'),
    ("reprioritise_where('{\"kind\": \"a\"}', 1001)", "priority 1001 is not"),
    ("reprioritise('{1,2}', '{1}')", "2 ids, but 1 priorities"),
    ("reprioritise('{1,2}', '{1,1001}')", "priority 1001 is not between"),
    ("reprioritise('{1,2}', '{1,NULL}')", "priority null is not between"),
    ("reprioritise('{1,NULL}', '{1,2}')", "ids holds a null"),
    ("reprioritise('{7,1,7}', '{1,2,3}')", "task 7 stands more than once"),
])
def test_F2_a_wrong_request_is_refused_at_once(db, call, words):
    app = db.session("app")
    with pytest.raises(psycopg2.Error) as caught:
        app.run(f"SELECT muster.{call}")
    assert caught.value.pgcode == "MU003"
    assert words in caught.value.diag.message_primary
    assert db.one("SELECT count(*) FROM muster.request") == 0


def test_F2_filters_are_values_never_sql(db, scheduler):
    task = db.enqueue("a")
    for key in ("queue", "kind", "name", "error"):
        assert where(db, scheduler, "cancel",
                     **{key: "x' OR true OR '' = '"}).total == 0
    assert db.state(task) == "ready"


# Reprioritise.

def test_B3_ready_tasks_move_in_the_line(db, worker, scheduler):
    ids = db.enqueue_many("a", 4)
    row = ask(db, scheduler, "reprioritise(%s, %s)",
              [ids[3], ids[1], 10 ** 15], [5, 5, 5])
    assert row.answer == ("2 ready tasks moved in the line; 1 task had ended "
                          "or does not exist")
    assert row.verdict == "done"
    assert line(db) == [(-5, ids[3]), (-5, ids[1]), (0, ids[0]), (0, ids[2])]
    row = ask(db, scheduler, "reprioritise(%s, %s)", [ids[0]], [-3])
    assert row.answer == "1 ready task moved in the line"
    assert line(db)[2:] == [(0, ids[2]), (3, ids[0])]
    assert sorted(db.rows("SELECT rank FROM muster.lanes")) == [
        (-5,), (0,), (3,)]
    one = worker()
    taken = [task for _ in range(20) for task in one.claim(1).ids]
    assert sorted(taken) == ids, "whatever the weights, each of them once"


def test_B3_every_place_has_the_new_priority(db, worker, scheduler):
    one = worker()
    running = db.enqueue("a")
    one.claim()
    ready = db.enqueue("a")
    later = db.enqueue("a", run_at="2100-01-01")
    blocked = db.enqueue("a", depends_on=[running])
    scheduler.work()
    arriving = db.enqueue("a", depends_on=[running])
    done = db.enqueue("b")
    one.claim({"b": 1})
    one.finish(done)
    ids = [running, ready, later, blocked, arriving, done]
    request = db.one("SELECT muster.reprioritise(%s, %s)", ids, [9] * 6)
    for _ in range(3):
        scheduler.carry_out()
    row = db.one(STATUS, request)
    assert row.answer == (
        "1 ready task moved in the line; 3 waiting tasks will be ready with "
        "it; 1 running task has it for another attempt; 1 task had ended or "
        "does not exist")
    row = ask(db, scheduler, "reprioritise(%s, %s)", [ready], [9])
    assert row.answer == "1 task had it already"
    assert row.verdict == "refused"
    db.rows("UPDATE muster.scheduled SET run_at = now()")
    one.finish(running, outcome="r", delay=0)
    scheduler.work()
    assert [db.task(task).priority for task in ids] == [9] * 5 + [0]
    assert sorted(line(db)) == [
        (-9, task) for task in sorted([running, ready, later])]
    one.claim()
    one.finish(running)
    scheduler.work()
    assert sorted(line(db)) == [(-9, blocked), (-9, arriving)]


def test_B3_a_task_met_twice_by_one_claim_is_claimed_once(
        db, worker, scheduler):
    """Its old row and its new one are taken by the same turn."""
    ids = db.enqueue_many("a", 6)
    for priority in (1, 2, 3):
        ask(db, scheduler, "reprioritise(%s, %s)", ids[:3], [priority] * 3)
    one = worker()
    got = one.claim(100)
    assert sorted(got.ids) == ids
    one.finish_all()
    assert db.states() == {"succeeded": 6}


def test_G2_a_task_that_was_cancelled_and_retried_is_claimed_once(
        db, worker, scheduler):
    first, second, third = db.enqueue_many("a", 3)
    ask_one = "SELECT muster.{}(%s)"
    for _ in range(3):
        for verb in ("cancel", "retry"):
            db.one(ask_one.format(verb), second)
            scheduler.work()
    one = worker()
    assert sorted(one.claim(100).ids) == [first, second, third]


def test_B3_reprioritise_beside_a_claim_under_way(db, worker, scheduler):
    """The claim has taken its tasks and is not committed: they are not moved,
    and keep the new priority for their next attempt once it is."""
    ids = db.enqueue_many("a", 4)
    one = worker()
    one.session.begin()
    assert one.claim(2).ids == ids[:2]
    request = db.one("SELECT muster.reprioritise(%s, %s)", ids, [5] * 4)
    assert scheduler.carry_out() == 0
    assert db.one("SELECT count(*) FROM muster.ready") == 4
    one.session.commit()
    scheduler.work()
    row = db.one(STATUS, request)
    assert row.answer == ("2 ready tasks moved in the line; 2 running tasks "
                          "have it for another attempt")
    assert sorted(one.claim().ids) == ids[2:]


def test_B3_claim_waits_for_a_reprioritise_under_way(db, worker, scheduler):
    ids = db.enqueue_many("a", 3)
    one = worker()
    db.one("SELECT muster.reprioritise(%s, %s)", [ids[2]], [5])
    scheduler.session.begin()
    scheduler.carry_out()
    one.send_turn(want=100)
    one.session.wait_blocked()
    scheduler.session.commit()
    answer = one.answer()
    assert sorted(answer.ids) == ids
    scheduler.work()
    assert db.states() == {"running": 3}
    assert db.task(ids[2]).priority == 5


def test_B3_reprioritise_beside_an_unlock_under_way(db, worker, scheduler):
    """What another transaction just makes ready is moved once it has."""
    need = db.enqueue("a")
    after = db.enqueue("b", depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim()
    request = db.one("SELECT muster.reprioritise(%s, %s)", [after], [5])
    keeper = db.session()
    keeper.begin()
    keeper.run("SELECT FROM muster.blocked FOR UPDATE")
    assert scheduler.carry_out() == 0
    assert not db.one("SELECT done FROM muster.request_status(%s)", request)
    keeper.commit()
    one.finish(need)
    scheduler.work()
    assert db.one("SELECT answer FROM muster.request_status(%s)",
                  request) == "1 ready task moved in the line"
    assert line(db) == [(-5, after)]
    assert one.claim().ids == [after]


def test_B3_reprioritise_beside_due(db, scheduler):
    later = db.enqueue("a", run_at="2100-01-01")
    db.rows("UPDATE muster.scheduled SET run_at = now()")
    mover = db.session("musterd")
    mover.begin()
    assert mover.run("SELECT moved FROM muster.due(10, NULL)") == [(1,)]
    request = db.one("SELECT muster.reprioritise(%s, %s)", [later], [5])
    assert scheduler.carry_out() == 0
    mover.commit()
    scheduler.work()
    assert db.one("SELECT answer FROM muster.request_status(%s)",
                  request) == "1 ready task moved in the line"


def test_B3_what_somebody_holds_is_met_again_when_the_rest_is_done(
        db, scheduler):
    ids = db.enqueue_many("a", 1200)
    request = db.one("SELECT muster.reprioritise(%s, %s)", ids, [5] * 1200)
    keeper = db.session()
    keeper.begin()
    keeper.run("SELECT FROM muster.task WHERE id = ANY (%s) FOR UPDATE",
               [ids[0], ids[700]])
    scheduler.work()
    row = db.one(STATUS, request)
    assert (row.done, row.count, row.total) == (False, 1198, 1200)
    keeper.commit()
    scheduler.work()
    row = db.one(STATUS, request)
    assert row.answer == "1200 ready tasks moved in the line"
    assert db.one("SELECT count(*) FROM muster.request_part") == 0


def test_B3_one_statement_for_many_is_worked_off_in_batches(
        db, worker, scheduler):
    """No call touches more than a batch, however much it is allowed."""
    ids = db.enqueue_many("a", 1000)
    one = worker()
    request = db.one("SELECT muster.reprioritise(%s, %s)", ids, [5] * 1000)
    counts, taken = [0], []
    while counts[-1] < 1000:
        touched = scheduler.carry_out(100000)
        counts.append(db.one(
            "SELECT count FROM muster.request_progress(%s)", request))
        assert touched == 100000 or counts[-1] == 1000, "there are more"
        taken += one.claim(1).ids
    steps = [after - before for before, after in zip(counts, counts[1:])]
    assert max(steps) <= 200 and min(steps) >= 1
    assert taken and len(taken) == len(set(taken))
    scheduler.work()
    assert db.one("SELECT done FROM muster.request_status(%s)", request)


SLOW = """
CREATE FUNCTION public.slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.002); RETURN new; END $$;
CREATE TRIGGER slowly BEFORE UPDATE ON muster.task
FOR EACH ROW EXECUTE FUNCTION public.slowly();
"""


@pytest.mark.parametrize("call", [
    "cancel_where('{\"kind\": \"b\"}')",
    "reprioritise_where('{\"kind\": \"b\"}', 5)",
    "cancel_flow((SELECT max(id) FROM muster.flow))"])
def test_B3_turns_go_on_beside_a_batch_on_a_slow_machine(
        db, worker, scheduler, call):
    """A batch of 200 would take 400 ms here: each task costs 2 ms more."""
    db.flow({f"t{n}": {"kind": "b"} for n in range(60)})
    db.enqueue_many("a", 200)
    one = worker(("a",))
    one.claim(1)
    scheduler.carry_out()
    db.rows(SLOW)
    request = db.one(f"SELECT muster.{call}")
    counts = [0]
    while not db.one("SELECT done FROM muster.request_status(%s)", request):
        scheduler.session.begin()
        scheduler.carry_out()
        one.send_turn(want=1)
        one.session.wait_blocked()
        scheduler.session.commit()
        assert one.answer().tasks
        counts.append(db.one("SELECT count FROM muster.request WHERE id = %s",
                             request))
    steps = [after - before for before, after in zip(counts, counts[1:])]
    assert sum(steps) == 60
    assert max(steps) <= 8, "the first eight take all the time that there is"


def test_B3_requests_of_an_application(db, scheduler):
    ids = db.enqueue_many("a", 2)
    app = db.session("app", "serializable")
    app.begin()
    app.run("SELECT muster.reprioritise(%s, %s)", ids, [1, 2])
    app.run("SELECT muster.reprioritise_where('{\"kind\": \"a\"}', 3)")
    app.run("SELECT muster.count_where('cancel', '{\"kind\": \"a\"}')")
    app.run("SELECT muster.cancel_where('{\"kind\": \"b\"}')")
    scheduler.work()
    assert [db.task(task).priority for task in ids] == [0, 0]
    app.commit()
    scheduler.work()
    assert [db.task(task).priority for task in ids] == [3, 3]
    for table in ("request", "request_part"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            app.run(f"INSERT INTO muster.{table} DEFAULT VALUES")


# Enqueue many.

def copy(session, columns, *rows):
    with session.connection.cursor() as cursor:
        cursor.copy_expert(
            f"COPY muster.enqueue_rows ({columns}) FROM STDIN",
            io.StringIO("".join("\t".join(row) + "\n" for row in rows)))


def test_B5_enqueue_many_with_an_array_for_each_task(db, worker):
    ids = [row[0] for row in db.rows(
        "SELECT muster.enqueue_many('a', ARRAY['1', '2', '3', '4']::jsonb[], "
        "priority => 2, run_at => '2100-01-01', "
        "priorities => '{5, NULL, -1, 0}', "
        "run_ats => '{2001-01-01, NULL, 2101-01-01, 2001-01-01}')")]
    assert ids == sorted(ids)
    rows = db.rows("SELECT id, payload, priority, state, "
                   "extract(year FROM run_at) FROM muster.task_status "
                   "ORDER BY id")
    assert rows == [(ids[0], 1, 5, "ready", None),
                    (ids[1], 2, 2, "scheduled", 2100),
                    (ids[2], 3, -1, "scheduled", 2101),
                    (ids[3], 4, 0, "ready", None)]
    assert sorted(worker().claim().ids) == [ids[0], ids[3]]


def test_B5_sleepers_are_told_of_what_is_ready_and_of_what_comes_next(db):
    db.rows("SELECT muster.sleep_on('host-1', -1, '{\"\"}')")
    db.rows("SELECT muster.sleep_on('host-1', 1, '{default}')")
    listener = db.session()
    listener.run("LISTEN muster")
    db.rows("SELECT muster.enqueue_many('a', '{1,2,3,4}', run_ats => "
            "ARRAY['2100-01-01', NULL, '2099-01-01', NULL]::timestamptz[])")
    listener.run("SELECT 1")
    assert sorted(note.payload for note in listener.connection.notifies) == [
        "ready default 2", "work"]


@pytest.mark.parametrize("arrays, words", [
    ("priorities => '{1}'", "2 payloads, but 1 priorities"),
    ("run_ats => '{NULL, NULL, NULL}'", "2 payloads, but 3 run_ats"),
    ("priorities => '{}'", "2 payloads, but 0 priorities"),
    ("priorities => '{0, -1001}'", "priority -1001 is not between"),
])
def test_B5_arrays_that_do_not_fit_are_refused(db, arrays, words):
    with pytest.raises(psycopg2.Error) as caught:
        db.rows(f"SELECT muster.enqueue_many('a', '{{1,2}}', {arrays})")
    assert caught.value.pgcode == "MU003"
    assert words in caught.value.diag.message_primary


def test_B5_100_000_in_one_call_in_order(db, worker):
    app = db.session("app")
    app.begin()
    app.run("SET LOCAL statement_timeout = '30 s'")
    ids = [row[0] for row in app.run(
        "SELECT muster.enqueue_many('a', array_agg(to_jsonb(n)), "
        "priorities => array_agg(n % 3)) FROM generate_series(1, 100000) n")]
    app.commit()
    assert len(ids) == 100000 and ids == sorted(ids)
    assert db.one("SELECT count(*) FROM muster.task t WHERE t.payload <> "
                  "(t.id - %s)::text", ids[0] - 1) == 0
    assert len(worker().claim(200).ids) == 200


def test_B5_copy_as_an_application_in_its_own_transaction(db, worker):
    app = db.session("app")
    app.begin()
    copy(app, "kind, payload, queue, priority, run_at",
         ["a", '{"n": 1, "s": "x\\\\ty\\\\\\\\ \u00e9"}', "default", "5",
          "\\N"],
         ["b", "\\N", "\\N", "\\N", "2100-01-01"],
         ["a", "[]", "other", "0", "2001-01-01"])
    copy(app, "payload, kind, max_attempts, timeout",
         ["7", "c", "3", "1 day 2 s"])
    assert db.one("SELECT count(*) FROM muster.task") == 0
    app.commit()
    rows = db.rows(
        "SELECT s.kind, s.queue, s.payload, s.priority, s.state, "
        "s.max_attempts, t.timeout_ms FROM muster.task_status s "
        "JOIN muster.task t ON t.id = s.id ORDER BY s.id")
    assert rows == [
        ("a", "default", {"n": 1, "s": "x\ty\\ \u00e9"}, 5, "ready", None,
         None),
        ("b", "default", {}, 0, "scheduled", None, None),
        ("a", "other", [], 0, "ready", None, None),
        ("c", "default", 7, 0, "ready", 3, 86402000)]
    app.begin()
    copy(app, "kind", ["a"])
    app.rollback()
    assert db.one("SELECT count(*) FROM muster.task") == 4
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        copy(db.session("reader"), "kind", ["a"])


def test_B5_copy_of_many_keeps_the_order_of_the_rows(db, worker):
    """More than are put together at a time, of two kinds, some large."""
    copy(db.session("app"), "kind, payload", *(
        ["ab"[n % 2], json.dumps([n, "x" * (n % 50 == 0) * 5000])]
        for n in range(3000)))
    for kind in (0, 1):
        assert [row.n for row in db.rows(
            "SELECT (payload ->> 0)::int AS n FROM muster.task_status "
            "WHERE kind = %s ORDER BY id", "ab"[kind])] == list(
                range(kind, 3000, 2))
    assert len(worker().claim({"a": 2000, "b": 2000}).ids) == 3000


@pytest.mark.parametrize("row, words", [
    (["a", "{}", "q", "1001", "1"], "row 700: priority 1001 is not between"),
    (["\\N", "{}", "q", "0", "1"], "row 700: the kind has no name"),
    (["", "{}", "q", "0", "1"], "row 700: the kind has no name"),
    (["a b", "{}", "q", "0", "1"], 'row 700: a kind may not be named "a b"'),
    (["a", "{}", "", "0", "1"], "row 700: the queue has no name"),
    (["a", "{}", "q", "0", "0"], "row 700: max_attempts 0 is not between"),
    (["a", '"' + "x" * 2000 + '"', "q", "0", "1"],
     "row 700: a payload of 2002 bytes is over max_payload (1500)"),
])
def test_B5_copy_says_which_row_is_wrong_and_stores_nothing(db, row, words):
    db.rows("UPDATE muster.setting SET value = '1500' "
            "WHERE name = 'max_payload'")
    rows = [["a", "{}", "q", "0", "1"]] * 1000
    rows[699] = row
    with pytest.raises(psycopg2.Error) as caught:
        copy(db.session("app"), "kind, payload, queue, priority, "
             "max_attempts", *rows)
    assert caught.value.pgcode == "MU003"
    assert words in caught.value.diag.message_primary
    assert db.one("SELECT count(*) FROM muster.task") == 0


def test_B5_copy_of_what_is_no_json_names_the_line(db):
    with pytest.raises(psycopg2.Error) as caught:
        copy(db.session("app"), "kind, payload", ["a", "1"], ["a", "{"])
    assert "line 2, column payload" in caught.value.diag.context
    assert db.one("SELECT count(*) FROM muster.task") == 0


def test_B5_insert_into_the_view(db, worker):
    app = db.session("app", "serializable")
    app.begin()
    app.run("INSERT INTO muster.enqueue_rows (kind, payload) SELECT 'a', "
            "to_jsonb(n) FROM generate_series(1, 500) n")
    app.run("SAVEPOINT s")
    app.run("INSERT INTO muster.enqueue_rows (kind) VALUES ('b')")
    app.run("ROLLBACK TO s")
    app.run("INSERT INTO muster.enqueue_rows (kind) SELECT 'c' WHERE false")
    app.commit()
    assert len(worker().claim(1000).ids) == 500
    assert db.rows("SELECT 1 FROM muster.enqueue_rows") == []


def test_B5_an_insert_within_an_insert_loses_nothing(db):
    db.rows("CREATE FUNCTION more(int) RETURNS jsonb LANGUAGE plpgsql AS $$"
            "BEGIN INSERT INTO muster.enqueue_rows (kind) VALUES ('b'); "
            "RETURN to_jsonb($1); END $$")
    db.rows("INSERT INTO muster.enqueue_rows (kind, payload) "
            "SELECT 'a', more(n) FROM generate_series(1, 10) n")
    assert db.rows("SELECT kind, count(*) FROM muster.task_status "
                   "GROUP BY kind ORDER BY kind") == [("a", 10), ("b", 10)]


# Keys in COPY.

def test_B6_A3_copy_with_keys_among_rows_without(db, worker, scheduler):
    app = db.session("app")
    first, = db.enqueue_many("a", 1, unique_keys=["held"])
    copy(app, "kind, payload, unique_key, unique_for, on_conflict, "
         "lock_key, lock_limit",
         ["a", "0", "\\N", "\\N", "\\N", "\\N", "\\N"],
         ["a", "1", "x", "\\N", "\\N", "\\N", "\\N"],
         ["a", "2", "x", "\\N", "keep", "\\N", "\\N"],
         ["b", "3", "\\N", "\\N", "\\N", "l", "2"],
         ["a", "4", "\\N", "\\N", "\\N", "\\N", "\\N"],
         ["b", "5", "y", "1 h", "error", "l", "2"],
         ["b", "6", "\\N", "\\N", "\\N", "l", "2"],
         ["a", "7", "held", "\\N", "replace", "m", "\\N"],
         ["a", "8", "held", "\\N", "\\N", "\\N", "\\N"])
    scheduler.work()
    rows = db.rows(
        "SELECT t.payload::int, s.state, t.unique_key, t.lock_key, "
        "t.lock_limit FROM muster.task t JOIN muster.task_status s "
        "USING (id) WHERE id <> %s ORDER BY id", first)
    assert rows == [
        (0, "ready", None, None, None), (1, "ready", "x", None, None),
        (3, "ready", None, "l", 2), (4, "ready", None, None, None),
        (5, "ready", "y", "l", 2), (6, "waiting", None, "l", 2),
        (7, "ready", "held", "m", 1)]
    assert db.state(first) == "cancelled"
    assert db.one("SELECT until > now() FROM muster.unique_key "
                  "WHERE key = 'y'")
    assert [task.payload for task in worker().claim({"a": 9}).tasks] == [
        "0", "1", "4", "7"]


@pytest.mark.parametrize("row, words, code", [
    (["", "\\N", "\\N", "\\N", "\\N"], "a unique_key has 1 to 500", "MU003"),
    (["\\N", "1 h", "\\N", "\\N", "\\N"], "unique_for needs a unique_key",
     "MU003"),
    (["k", "-1 h", "\\N", "\\N", "\\N"], "unique_for -01:00:00 is not",
     "MU003"),
    (["k", "\\N", "wait", "\\N", "\\N"], 'on_conflict "wait" is none of',
     "MU003"),
    (["\\N", "\\N", "\\N", "l", "0"], "lock_limit 0 is not between", "MU003"),
    (["held", "\\N", "error", "\\N", "\\N"], 'unique key "held" is held by '
     "task ", "MU006"),
])
def test_B6_A3_copy_says_which_row_has_a_wrong_key(db, row, words, code):
    db.enqueue("a", unique_key="held")
    rows = [["a", *["\\N"] * 5] for _ in range(9)]
    rows[3:3] = [["a", "\\N", "\\N", "\\N", "l", "2"], ["a", *row]]
    with pytest.raises(psycopg2.Error) as caught:
        copy(db.session("app"), "kind, unique_key, unique_for, on_conflict, "
             "lock_key, lock_limit", *rows)
    assert caught.value.pgcode == code
    assert f"row 5: {words}" in caught.value.diag.message_primary
    assert db.one("SELECT count(*) FROM muster.task") == 1


def test_B5_copy_names_a_wrong_row_after_one_with_a_key(db):
    with pytest.raises(psycopg2.Error, match="row 4: a kind may not be"):
        copy(db.session("app"), "kind, lock_key", ["a", "\\N"], ["a", "l"],
             ["a", "\\N"], ["a b", "\\N"], ["a", "\\N"], ["a", "l"])


@pytest.mark.parametrize("end, stored", [("commit", 1), ("rollback", 2)])
def test_B6_copy_goes_by_the_outcome_of_another(db, end, stored):
    """Whoever has just taken the key is waited for."""
    other, app = db.session("app"), db.session("app")
    other.begin()
    copy(other, "kind, unique_key", ["a", "k"])
    app.send("INSERT INTO muster.enqueue_rows (kind, unique_key) "
             "VALUES ('a', 'k'), ('b', 'l') RETURNING 1")
    app.wait_blocked()
    getattr(other, end)()
    assert len(app.answer()) == stored
