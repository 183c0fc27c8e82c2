"""Pools against no-ops: what the way over a socket and back costs."""

import os

from rows import BATCH, daemon_noop, of_queue
from table import median, ratio

CONCURRENCY = 500  # of a process: batches may grow with the load


def pooled(bench, program, tasks, concurrency):
    bench.forget()
    processes = bench.workers
    queues = {"pool": {"concurrency": BATCH * bench.workers}}
    handlers = {"pooled": {
        "pool": [*program, str(concurrency)],
        "processes": processes}}
    bench.fill(tasks, "pool", "pooled")
    with bench.daemon(queues, handlers) as daemon:
        daemon.wait_done(tasks)
    return bench.rate(of_queue("pool"))


def compare(bench, name, program, at_least=None, tasks=100000, rounds=3):
    noops, batched, single = [], [], []
    for _ in range(rounds):
        noops.append(daemon_noop(bench, tasks))
        batched.append(pooled(bench, program, tasks, CONCURRENCY))
        single.append(pooled(bench, program, tasks // 4, 1))
    bench.table.add(f"pool, {name}, {CONCURRENCY} tasks a process",
                    median(batched), "tasks/s")
    bench.table.add("  of no-op tasks", ratio(batched, noops),
                    at_least=at_least)
    bench.table.add(f"pool, {name}, one task a process", median(single),
                    "tasks/s")


def python(name):
    return ["/usr/bin/python3", os.path.join(
        os.path.dirname(os.path.abspath(__file__)), name)]


def pool_python(bench):
    """One process a worker, of a handler that returns at once."""
    compare(bench, "Python", python("pool_handler.py"), 0.5)


def pool_sdk(bench):
    compare(bench, "Python with muster.py", python("pool_sdk.py"))


def pool_c(bench):
    compare(bench, "C", bench.command("pool"), 0.6)


SHORT = (pool_python, pool_sdk, pool_c)
