"""Maps: what it costs that a scheduler makes the tasks, beside tasks that were
enqueued before."""

import time

from rows import BATCH, NOOP, daemon_noop, of_queue
from table import median, ratio


def submit(bench, items):
    bench.sql("SELECT muster.submit_flow(jsonb_build_object('flow', 'wide',"
              " 'tasks', jsonb_build_object('m', jsonb_build_object("
              " 'kind', 'noop', 'queue', 'map', 'map',"
              f" (SELECT jsonb_agg(i) FROM generate_series(1, {items}) i)"
              ")))::text::jsonb)")


def run_map(bench, items):
    """Items a second from the end of the submission to that of the flow, and
    the daemon's memory when half of it was done."""
    bench.forget()
    queues = {"map": {"concurrency": BATCH * bench.workers}}
    with bench.daemon(queues, NOOP) as daemon:
        submit(bench, items)
        begin = time.monotonic()
        daemon.wait(lambda: daemon.done() >= items / 2, "half the items", 3600)
        memory = daemon.memory_kb()
        daemon.wait(lambda: bench.value(
            "SELECT count(*) FROM muster.flow_status"
            " WHERE state = 'succeeded'") == "2", "the map", 3600)
        seconds = time.monotonic() - begin
    assert bench.value("SELECT count(*) FROM muster.task WHERE state = 's'"
                       f" AND {of_queue('map')}") == str(items)
    return items / seconds, memory


def maps(bench, items=100000, rounds=3):
    plain, mapped = [], []
    for _ in range(rounds):
        plain.append(daemon_noop(bench, items))
        mapped.append(run_map(bench, items)[0])
    bench.table.add(f"items of a map of {items:,} no-ops", median(mapped),
                    "items/s")
    bench.table.add("  of no-op tasks enqueued before",
                    ratio(mapped, plain))


def map_million(bench, items=1000000):
    small = run_map(bench, items // 20)[1]
    rate, large = run_map(bench, items)
    bench.table.add(f"items of a map of {items:,} no-ops", rate, "items/s")
    for role in ("worker", "scheduler"):
        bench.table.add(
            f"  memory, {role}, in the middle of it", large[role] / 1024,
            "MB", at_most=max(small[role] / 1024 * 1.5, 8),
            note=f"of {items // 20:,} items {small[role] / 1024:.1f} MB")


SHORT = (maps,)
LONG = (map_million,)
