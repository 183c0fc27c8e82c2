"""Tasks that are functions in the database, beside tasks that do nothing."""

import rows
from table import median, ratio

FUNCTION = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE OR REPLACE FUNCTION bench.trivial(payload jsonb, inputs jsonb,
	task muster.task_context) RETURNS jsonb LANGUAGE sql
AS 'SELECT NULL::jsonb'
"""


def daemon_sql(bench, tasks):
    bench.forget()
    queues = {"sql": {"concurrency": rows.BATCH * bench.workers}}
    bench.fill(tasks, "sql", "trivial")
    with bench.daemon(queues, {"trivial": {"sql": "bench.trivial"}}) as daemon:
        daemon.wait_done(tasks)
    return bench.rate(rows.of_queue("sql"))


def sql_function(bench, rounds=3):
    """The call, its effect and its finish are one transaction for each task:
    it cannot be had in batches, as no-op tasks are."""
    bench.sql(FUNCTION)
    noops, calls = [], []
    for _ in range(rounds):
        noops.append(rows.daemon_noop(bench, 100000))
        calls.append(daemon_sql(bench, 60000))
    bench.table.add("daemon, no-op tasks", median(noops), "tasks/s")
    bench.table.add("daemon, sql of a trivial function", median(calls),
                    "tasks/s")
    bench.table.add("  of no-op tasks", ratio(calls, noops), at_least=0.25)


SHORT = (sql_function,)
