"""sql tasks: the effect happens exactly once, or not at all."""

import os
import signal

import pytest

from support.wait import wait_until

FUNCTION = """
CREATE SCHEMA app;
CREATE TABLE app.effect (task bigint, payload jsonb);
CREATE FUNCTION app.work(payload jsonb, inputs jsonb,
	task muster.task_context) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.effect VALUES (task.id, payload);
	PERFORM pg_sleep(coalesce((payload->>'nap')::float, 0));
	IF payload ? 'fail' THEN
		RAISE EXCEPTION '%', payload->>'fail';
	END IF;
	RETURN jsonb_build_object('who', current_user, 'inputs', inputs);
END
$$;
CREATE ROLE app_{number};
GRANT app_{number} TO musterd;
GRANT muster_client TO app_{number};
GRANT USAGE ON SCHEMA app TO app_{number};
GRANT INSERT ON app.effect TO app_{number};
"""
_numbers = iter(range(1000000))


@pytest.fixture
def work(db):
    """Configuration of a handler that calls app.work as a role of its own."""
    number = f"{os.getpid()}_{next(_numbers)}"
    db.rows(FUNCTION.replace("{number}", number))
    yield {"sql": "app.work", "role": f"app_{number}"}
    db.rows("DROP SCHEMA app CASCADE")
    db.rows(f"DROP ROLE app_{number}")


def _effects(db):
    return [row.task for row in db.rows("SELECT task FROM app.effect")]


def test_sql_task_runs_as_its_role_and_returns_a_result(db, daemon, work):
    daemon(handlers={"work": work, "noop": {"noop": True}})
    flow = db.flow({"a": {"kind": "work", "payload": {"n": 1}},
                    "b": {"kind": "work", "needs": ["a"]}})
    db.wait_flow(flow)
    tasks = db.tasks(flow)
    assert tasks["a"].result == {"who": work["role"], "inputs": {}}
    assert tasks["b"].result["inputs"]["a"]["result"] == tasks["a"].result
    assert sorted(_effects(db)) == sorted(task.id for task in tasks.values())


def test_many_sql_tasks_each_once(db, daemon, work):
    daemon(handlers={"work": work})
    tasks = db.enqueue_many("work", 300)
    assert db.wait_done() == {"succeeded": 300}
    assert sorted(_effects(db)) == sorted(tasks)
    assert db.one("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                  "current_database() AND application_name LIKE "
                  "'musterd sql%%'") <= 16


def test_G1_failing_function_fails_only_its_task(db, daemon, work):
    host = daemon(handlers={"work": {**work, "max_attempts": 1}})
    host.log.allow("failed")
    bad = db.enqueue("work", {"fail": "no such customer"})
    good = db.enqueue_many("work", 20)
    db.wait_done()
    assert db.states(good) == {"succeeded": 20}
    row = db.task(bad)
    assert row.state == "failed" and "no such customer" in row.error
    assert bad not in _effects(db)


def test_F1_F2_sql_task_is_cancelled_and_timed_out(db, daemon, work):
    host = daemon(handlers={"work": {**work, "max_attempts": 1}})
    host.log.allow("failed")
    asked = db.enqueue("work", {"nap": 60})
    late = db.enqueue("work", {"nap": 61}, timeout="500ms")
    assert "timed out" in db.wait_state(late, "failed").error
    wait_until(lambda: db.state(asked) == "running", 5)
    db.request("cancel", asked)
    db.wait_state(asked, "cancelled")
    assert _effects(db) == []
    wait_until(lambda: db.one(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
        "query LIKE '%%sql_task%%' AND pid <> pg_backend_pid()") == 0, 5,
        "no call goes on")


def test_sql_task_whose_connection_breaks_runs_again_uncharged(
        db, daemon, work):
    daemon(handlers={"work": work})
    task = db.enqueue("work", {"nap": 1})
    wait_until(lambda: db.one(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE query LIKE '%%sql_task%%' AND state = 'active' "
        "AND pid <> pg_backend_pid()"), 10, "its backend was killed")
    assert db.wait_state(task).attempt == 1
    assert _effects(db) == [task]


def test_E2_fenced_sql_task_leaves_no_effect(db, daemon, work):
    """A worker is stopped in the middle of the call and rescued: its call is
    undone, the task's effect is that of the second run alone."""
    host = daemon(workers=1, watchdog="60s", handlers={"work": work})
    host.log.allow("fenced", "dead", "rescue", "worker")
    task = db.enqueue("work", {"nap": 1})
    wait_until(lambda: db.one(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
        "query LIKE '%%sql_task%%' AND pid <> pg_backend_pid()"), 10)
    pid = host.workers()[0]
    os.kill(pid, signal.SIGSTOP)
    db.rows("SELECT muster.rescue(%s, 'test', NULL, 3)",
            host.worker_ids()[0])
    os.kill(pid, signal.SIGCONT)
    db.wait_state(task)
    assert _effects(db) == [task]


def test_C4_drain_hands_a_long_sql_task_back(db, daemon, work):
    host = daemon(handlers={"work": work}, shutdown_timeout="2s")
    task = db.enqueue("work", {"nap": 60})
    wait_until(lambda: db.state(task) == "running", 10)
    host.stop()
    row = db.task(task)
    assert row.state == "ready"
    assert _effects(db) == [] and db.attempts(task) == []


def _calls(db):
    """Backends that have a call under way."""
    return [row.pid for row in db.rows(
        "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND "
        "query LIKE '%%sql_tasks%%' AND pid <> pg_backend_pid()")]


def _connections(db):
    return {row.pid for row in db.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = "
        "current_database() AND application_name = 'musterd sql task'")}


def test_B4_slow_functions_hold_back_neither_claims_nor_heartbeats(
        db, daemon, work):
    host = daemon(workers=1, handlers={"work": work, "noop": {"noop": True}})
    slow = [db.enqueue("work", {"nap": 3}) for _ in range(8)]
    wait_until(lambda: len(_calls(db)) == 4, 10, "all connections are busy")
    beats = host.total("heartbeats")
    quick = db.enqueue_many("noop", 200)
    wait_until(lambda: db.states(quick) == {"succeeded": 200}, 2,
               "no-op tasks go on")
    wait_until(lambda: host.total("heartbeats") > beats, 2.5, "beats go on")
    assert len(_calls(db)) == 4
    db.wait_done(30)
    assert sorted(_effects(db)) == sorted(slow)


def test_G1_functions_that_raise_in_the_middle_of_a_batch(db, daemon, work):
    host = daemon(workers=1, handlers={"work": {**work, "max_attempts": 1}})
    host.log.allow("failed")
    db.enqueue_many("work", 5)
    db.wait_done()  # now it is known to be fast
    bad = [db.enqueue("work", {"fail": f"no {i}"}) for i in range(3)]
    db.rows("SELECT muster.enqueue_many('work', ARRAY(SELECT CASE WHEN "
            "i % 100 = 50 THEN jsonb_build_object('fail', i::text) ELSE "
            "'{}' END FROM generate_series(1, 1000) i))")
    assert db.wait_done(60) == {"failed": 13, "succeeded": 995}
    assert len(_effects(db)) == len(set(_effects(db))) == 995
    assert "no 1" in db.task(bad[1]).error
    # Company there was: fewer transactions than tasks.
    assert db.one("SELECT count(DISTINCT xmin::text) FROM muster.task "
                  "WHERE state = 's'") < 600


def test_function_that_needs_a_transaction_of_its_own(db, daemon, work):
    """Made in company, its second table of the same name is refused: called
    again alone it succeeds, and nothing is charged."""
    db.rows("""CREATE FUNCTION app.lonely(payload jsonb, inputs jsonb,
        task muster.task_context) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN
            CREATE TEMP TABLE mine (n int) ON COMMIT DROP;
            RETURN to_jsonb(task.attempt);
        END $$""")
    daemon(workers=1, handlers={"work": {"sql": "app.lonely"}})
    db.enqueue_many("work", 3)
    db.wait_done()
    db.enqueue_many("work", 100)
    assert db.wait_done(60) == {"succeeded": 103}
    assert db.one("SELECT count(*) FROM muster.task WHERE result = '1'") == 103


def test_company_of_a_slow_call_is_separated(db, daemon, work):
    daemon(workers=1, handlers={"work": work})
    db.enqueue_many("work", 5)
    db.wait_done()
    db.rows("SELECT muster.enqueue_many('work', ARRAY(SELECT CASE i WHEN 20 "
            "THEN '{\"nap\": 4}'::jsonb ELSE '{}' END "
            "FROM generate_series(1, 50) i))")
    wait_until(lambda: db.states().get("succeeded") == 54, 3,
               "the others did not wait for it")
    assert db.wait_done(20) == {"succeeded": 55}
    assert len(_effects(db)) == len(set(_effects(db))) == 55


def test_worker_killed_in_the_middle_of_a_call(db, daemon, work):
    host = daemon(workers=1, handlers={"work": work})
    host.log.allow("killed", "dead", "worker", "rescue")
    task = db.enqueue("work", {"nap": 1.5})
    wait_until(lambda: _calls(db), 10)
    os.kill(host.workers()[0], signal.SIGKILL)
    db.wait_state(task, limit=30)
    wait_until(lambda: not _calls(db), 10, "the first call is gone")
    assert _effects(db) == [task]
    assert db.task(task).attempt == 1


def test_B4_connection_is_checked_before_use(db, daemon, work):
    """One that died unnoticed in its rest is found out by the check, and the
    task goes on a new one as if nothing had been."""
    host = daemon(workers=1, handlers={"work": work},
                  sql_connections={"size": 1, "overflow": 0,
                                   "check_after": "0s"})
    db.enqueue("work")
    db.wait_done()
    before = _connections(db)
    assert len(before) == 1
    os.kill(list(before)[0], signal.SIGSTOP)
    try:
        task = db.enqueue("work")
        db.wait_state(task, limit=10)
    finally:
        os.kill(list(before)[0], signal.SIGCONT)
    assert db.task(task).attempt == 1 and db.attempts(task) == []
    assert sorted(_effects(db))[-1] == task
    assert before.isdisjoint(_connections(db) - before)
    assert host.is_alive


def test_B4_old_connections_are_replaced(db, daemon, work):
    daemon(workers=1, handlers={"work": work},
           sql_connections={"size": 1, "overflow": 0, "max_age": "1s"})
    db.enqueue("work")
    db.wait_done()
    first = _connections(db)
    db.enqueue("work", {"nap": 1.1})
    db.wait_done()
    db.enqueue("work")
    db.wait_done()
    assert len(first) == 1 and first.isdisjoint(_connections(db))


def test_B4_overflow_opens_and_closes(db, daemon, work):
    daemon(workers=1, handlers={"work": work},
           sql_connections={"size": 1, "overflow": 2})
    for _ in range(5):
        db.enqueue("work", {"nap": 0.5})
    wait_until(lambda: len(_calls(db)) == 3, 10, "overflow is used")
    db.wait_done()
    wait_until(lambda: len(_connections(db)) == 1, 10, "back to size")


def test_sql_results_of_all_sizes(db, daemon, work):
    db.rows("""CREATE FUNCTION app.big(payload jsonb, inputs jsonb,
        task muster.task_context) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO app.effect VALUES (task.id, payload);
            RETURN to_jsonb(repeat(payload->>'text', (payload->>'n')::int));
        END $$""")
    host = daemon(workers=1, max_result="16M",
                  handlers={"work": {"sql": "app.big", "max_attempts": 3}})
    host.log.allow("failed")
    large = db.enqueue("work", {"text": "x", "n": 10000000})
    odd = db.enqueue("work", {"text": "é\u2028\"\\", "n": 2})
    huge = db.enqueue("work", {"text": "x", "n": 20000000})
    none = db.enqueue("work", {"n": 1})
    db.wait_done(60)
    assert len(db.task(large).result) == 10000000
    assert db.task(odd).result == "é\u2028\"\\" * 2
    assert db.task(none).result is None
    row = db.task(huge)
    assert row.state == "failed" and "max_result" in row.error
    assert row.attempt == 1
    assert sorted(_effects(db)) == sorted([large, odd, none])


def test_sql_result_with_a_nul_fails_its_task_alone(db, daemon, work):
    db.rows("""CREATE FUNCTION app.nul(payload jsonb, inputs jsonb,
        task muster.task_context) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN
            RETURN CASE WHEN payload ? 'nul' THEN '"\\u0000"' ELSE '1' END;
        END $$""")
    host = daemon(workers=1,
                  handlers={"work": {"sql": "app.nul", "max_attempts": 1}})
    host.log.allow("failed")
    bad = db.enqueue("work", {"nul": True})
    good = db.enqueue_many("work", 20)
    db.wait_done()
    assert db.states(good) == {"succeeded": 20}
    row = db.task(bad)
    assert row.state == "failed" and "22P05" in row.error


def test_share_transaction_1_gives_each_its_own(db, daemon, work):
    daemon(workers=1, handlers={"work": {**work, "share_transaction": 1}})
    db.enqueue_many("work", 100)
    assert db.wait_done() == {"succeeded": 100}
    assert db.one("SELECT count(DISTINCT xmin::text) FROM app.effect") == 100
