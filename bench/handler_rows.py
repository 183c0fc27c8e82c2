"""What handlers may do to a worker: crash, leak, leave children, compute."""

import os
import time

PROGRAM = ["/usr/bin/python3", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "wild_handler.py")]
QUICK = {"first": "10ms", "max": "50ms"}


def below(pid):
    """Living processes below one."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8",
                          errors="replace") as file:
                    facts = file.read().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if facts[0] != "Z":
                children.setdefault(int(facts[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        more = children.get(todo.pop(), [])
        found += more
        todo += more
    return found


def wild_handlers(bench, tasks=10000):
    """Of 10,000 tasks each ends as it should, nothing is left behind, and the
    workers need no more memory at the end than after a fifth."""
    bench.forget()
    handlers = {"wild": {
        "pool": PROGRAM, "processes": 2 * bench.workers, "max_attempts": 3,
        "backoff": QUICK, "recycle": {"memory": "20M"}, "grace": "1s"}}
    queues = {"wild": {"concurrency": 50 * bench.workers}}
    began = time.monotonic()
    with bench.daemon(queues, handlers, log_level="error") as daemon:
        feed_wild(bench, daemon, 0, tasks // 5)
        before = daemon.memory_kb()["workers"]
        feed_wild(bench, daemon, tasks // 5, tasks)
        after = daemon.memory_kb()["workers"]
        took = time.monotonic() - began
        pids = [pid for worker in daemon.status()["workers"]
                for pid in below(worker["pid"])]
    left = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    bench.table.add(f"wild handlers, {tasks:,} tasks", tasks / took, "tasks/s")
    bench.table.add("  that ended as they should not", wrong(bench),
                    at_most=0)
    bench.table.add("  processes left behind", len(left), at_most=0)
    bench.table.add("  growth of a worker",
                    (after - before) / 1024 / bench.workers, "MB", at_most=0.2)


def feed_wild(bench, daemon, first, after, step=500):
    """Bit by bit: what crashes each time would else be all that is left at the
    end, and each crash of a process that has done nothing makes the next start
    wait longer."""
    for start in range(first, after, step):
        bench.sql("SELECT count(*) FROM muster.enqueue_many('wild', ARRAY("
                  "SELECT jsonb_build_object('n', n) FROM generate_series("
                  f"{start}, {start + step - 1}) n), queue => 'wild')")
        left = 0 if start + step == after else step // 2
        daemon.wait(lambda: int(bench.value(
            "SELECT count(*) FROM muster.task WHERE finished_at IS NULL"))
            <= left, "wild tasks", 1800)


def wrong(bench):
    """Not with its own number as the result, or the crash as the error."""
    return int(bench.value(
        "SELECT count(*) FROM muster.task_status WHERE NOT CASE"
        " WHEN (payload->>'n')::int % 100 = 0 THEN state = 'failed'"
        "  AND attempt = 3 AND error LIKE 'exit status 7%'"
        " ELSE state = 'succeeded' AND result = payload->'n'"
        "  AND attempt = CASE (payload->>'n')::int % 100 WHEN 50 THEN 2"
        "  ELSE 1 END END"))


def loop_lag(bench, seconds=60, each=0.5):
    """Twice as many handlers as processors compute without a pause."""
    bench.forget()
    many = 2 * os.cpu_count()
    handlers = {"spin": {"pool": [*PROGRAM, "spin"], "processes": many}}
    queues = {"spin": {"concurrency": many}}
    tasks = int(seconds / each * many)
    bench.fill(tasks, "spin", "spin", '{"s": %g}' % each)
    with bench.daemon(queues, handlers) as daemon:
        daemon.wait_done(tasks)
        lags = [worker["lag_us"] for worker in daemon.status()["workers"]]
    for name, limit in (("p50", None), ("p99", 5)):
        bench.table.add(
            f"loop lag {name} beside {many} handlers that compute",
            max(lag[name] for lag in lags) / 1000, "ms", at_most=limit)


SHORT = (wild_handlers, loop_lag)
