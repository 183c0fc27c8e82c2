"""Limits across hosts: what one costs that is not reached, and whether one that
is reached keeps its slots busy."""

import rows
from table import median, ratio

SLEEP_S = 0.05
SLOTS = 4


def noops(bench, tasks, limits):
    bench.forget()
    queues = {"noop": {"concurrency": rows.BATCH * bench.workers, **limits}}
    bench.fill(tasks, "noop")
    with bench.daemon(queues, rows.NOOP) as daemon:
        daemon.wait_done(tasks)
    return bench.rate(rows.of_queue("noop"))


def sleeps(bench, tasks, limits):
    bench.forget()
    bench.fill(tasks, "sleep", "sleep")
    with bench.daemon({"sleep": limits}, {
            "sleep": {"exec": ["/bin/sleep", str(SLEEP_S)]}}) as daemon:
        daemon.wait_done(tasks)
    return bench.rate(rows.of_queue("sleep"))


def limit(bench, tasks=200000, rounds=3):
    free, slots, rates, reached, local = [], [], [], [], []
    for _ in range(rounds):
        free.append(noops(bench, tasks, {}))
        slots.append(noops(bench, tasks, {"max_running": 1000000}))
        rates.append(noops(bench, tasks, {"rate": {
            "rate": "1000000/s", "burst": 1000000}}))
        reached.append(sleeps(bench, 300, {"max_running": SLOTS}))
        local.append(sleeps(bench, 300, {"concurrency": SLOTS}))
    bench.table.add("daemon, no-op tasks", median(free), "tasks/s")
    bench.table.add("  max_running, not reached", median(slots), "tasks/s")
    bench.table.add("  of those without", ratio(slots, free), at_least=0.9)
    bench.table.add("  rate, not reached", median(rates), "tasks/s")
    bench.table.add("  of those without", ratio(rates, free), at_least=0.9)
    bench.table.add(f"tasks of {SLEEP_S} s, concurrency {SLOTS}",
                    median(local), "tasks/s")
    bench.table.add(f"  max_running {SLOTS}", median(reached), "tasks/s")
    bench.table.add("  of slots / time", median(reached) * SLEEP_S / SLOTS,
                    at_least=0.9)


SHORT = (limit,)
