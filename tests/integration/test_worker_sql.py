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
