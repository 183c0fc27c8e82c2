"""Behind a pooler that gives each transaction another session."""

import os
import signal
import statistics
import time

import psycopg2
import pytest

from support.pgbouncer import Pgbouncer
from support.wait import wait_until

WORDS = ("database", "PostgreSQL", "connection")

FUNCTION = """
CREATE TABLE public.effect (task bigint);
GRANT INSERT ON public.effect TO musterd;
CREATE FUNCTION public.work(payload jsonb, inputs jsonb,
	task muster.task_context) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.effect VALUES (task.id);
	PERFORM pg_sleep((payload->>'nap')::float);
	RETURN payload;
END
$$;
"""


@pytest.fixture
def pooler(postgres, db, session_folder):
    """In front of the test's database; gone before the database is."""
    server = Pgbouncer(os.path.join(session_folder, f"pb-{db.name}"), postgres)
    server.create().start()
    yield server
    server.stop()


@pytest.fixture
def pooled(pooler, db, daemon):
    """pooled(**configuration) starts a musterd behind the pooler."""
    def start(**config):
        return daemon(**{"database": pooler.conninfo(db.name),
                         "direct_database": db.conninfo(),
                         "prepared_statements": False, "workers": 3,
                         **config})
    return start


def _handlers(ledger):
    return {"noop": {"noop": True},
            "work": ledger.handler(then=f"sleep 0.1; {ledger.note('end')}")}


def _through(db):
    """The names of those who have a session with the server now."""
    return {row[0] for row in db.rows(
        "SELECT application_name FROM pg_stat_activity "
        "WHERE datname = current_database() AND usename = 'musterd'")}


def test_B2_several_workers_share_few_sessions(db, pooled, ledger, patience):
    host = pooled(handlers=_handlers(ledger))
    noops = db.enqueue_many("noop", 5000)
    work = db.enqueue_many("work", 60)
    assert db.wait_done(30 * patience) == {"succeeded": len(noops + work)}
    assert ledger.count("end") == {task: 1 for task in work}
    assert all(row["succeeded"] > 0 for row in host.status()["workers"])
    assert db.one("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                  "current_database() AND usename = 'musterd'") <= 4
    assert "musterd listener" in _through(db)
    assert not db.rows("SELECT FROM muster.attempts")


def test_nothing_is_set_in_the_sessions_of_a_pooler(db, pooler, pooled):
    """They serve others, too."""
    db.rows(f"ALTER DATABASE {db.name} SET jit = on")
    pooled()
    db.wait_state(db.enqueue("noop"))
    client = psycopg2.connect(pooler.conninfo(db.name), connect_timeout=5)
    client.autocommit = True
    found = set()
    with client.cursor() as cursor:
        for _ in range(9):  # each time another session
            cursor.execute("SELECT current_setting('statement_timeout'), "
                           "current_setting('jit')")
            found.add(cursor.fetchone())
    client.close()
    assert found == {("0", "on")}


def test_E1_wake_ups_come_past_the_pooler(db, pooled, ledger, patience):
    """The next poll would come after a minute."""
    host = pooled(workers=1, poll_interval="60s", handlers=_handlers(ledger))
    wait_until(lambda: db.one(
        "SELECT count(*) FROM muster.sleepers WHERE id = %s",
        host.worker_ids()[0]), 5, "it sleeps")
    took = []
    for _ in range(5):
        begin = time.monotonic()
        db.wait_state(db.enqueue("noop"))
        took.append(time.monotonic() - begin)
    assert statistics.median(took) < 0.5 * patience, took


def test_B2_reload_and_drain_behind_a_pooler(db, pooled, ledger, patience):
    """New workers, fewer of them, a stop with tasks running, a new start:
    each task is done once."""
    host = pooled(handlers=_handlers(ledger))
    tasks = db.enqueue_many("work", 150)
    wait_until(lambda: ledger.count("end"), 10 * patience, "it works")
    assert host.reload(cluster="other")["changed"] == "new workers"
    host.reload(queues={"default": {"concurrency": 10}}, workers=2)
    noops = db.enqueue_many("noop", 1000)
    host.stop()
    assert not db.one("SELECT count(*) FROM muster.lease")
    assert db.open_count() > 0
    host.start()
    assert db.wait_done(30 * patience) == {"succeeded": len(tasks + noops)}
    assert ledger.count("end") == {task: 1 for task in tasks}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL],
                         ids=["stopped", "killed"])
def test_I3_pooler_restarted_under_load(
        db, pooler, pooled, ledger, is_long, patience, how):
    host = pooled(handlers=_handlers(ledger))
    host.log.allow(*WORDS)
    pids = host.workers()
    rounds = 10 if is_long else 4
    work = db.enqueue_many("work", 100 * rounds)
    noops = []
    for _ in range(rounds):
        noops += db.enqueue_many("noop", 2000)
        pooler.restart(how)
        done = db.states()["succeeded"]
        wait_until(lambda: db.states()["succeeded"] > done + 100
                   or not db.open_count(), 30 * patience, "work goes on")
    assert db.wait_done(60 * patience) == {"succeeded": len(work + noops)}
    assert ledger.count("end") == {task: 1 for task in work}
    assert db.one("SELECT sum(rescues) FROM muster.task") == 0
    assert db.one("SELECT count(*) FROM muster.lease") == 0
    assert host.workers() == pids


def test_F1_sql_tasks_keep_their_limits_past_the_pooler(db, pooled):
    """Their session is their own: it has a limit, and it can be cancelled."""
    db.rows(FUNCTION)
    host = pooled(handlers={"work": {"sql": "public.work", "grace": "60s"}})
    host.log.allow("failed")
    slow = db.enqueue("work", {"nap": 60}, timeout="300ms", max_attempts=1)
    gone = db.enqueue("work", {"nap": 60})
    wait_until(lambda: db.state(gone) == "running", 10)
    db.request("cancel", gone)
    quick = [db.enqueue("work", {"nap": 0}) for _ in range(20)]
    assert "timed out after 300ms" in db.wait_state(slow, "failed").error
    db.wait_state(gone, "cancelled")
    db.wait_done()
    assert sorted(row.task for row in db.rows("SELECT * FROM effect")) == quick
    assert not db.rows("SELECT FROM pg_stat_activity "
                       "WHERE query LIKE '%%sql_task%%' AND state = 'active' "
                       "AND pid <> pg_backend_pid()")


def test_prepared_statements_behind_a_pooler_are_told(db, pooled, patience):
    """The log says what to do; until then outcomes may go untold, but once it
    is done all tasks are."""
    host = pooled(prepared_statements=True, shutdown_timeout="2s", wait=False)
    host.log.allow(*WORDS, "trying again", "prepared statement", "unrecorded",
                   "not recorded", "rescue", "fenced")
    host.log.wait_for("set prepared_statements: false", 20 * patience,
                      level="warning")
    db.enqueue_many("noop", 50)
    host.signal(signal.SIGTERM)
    assert host.wait_exit() in (0, 75)
    host.write(prepared_statements=False)
    host.start()
    assert db.wait_done(30 * patience) == {"succeeded": 50}


def test_wake_ups_through_a_pooler_are_warned_of(db, pooler, daemon):
    """The poll still finds the tasks."""
    host = daemon(database=pooler.conninfo(db.name),
                  prepared_statements=False)
    host.log.allow("direct_database")
    host.log.wait_for("direct_database", 10, level="warning")
    db.wait_state(db.enqueue("noop"))
