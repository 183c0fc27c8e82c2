"""Tasks with concurrency keys beside tasks without."""

import rows
from servers import wait_until
from table import median, ratio


def fill_keyed(bench, count, keys, queue):
    """So many tasks, of each key as many as of any other, all in their lines
    before the daemon comes."""
    for start in range(0, count, 10000):
        bench.sql("SELECT count(*) FROM muster.enqueue_many('noop',"
                  " array_fill('{}'::jsonb, ARRAY[10000]),"
                  f" queue => '{queue}', wake => false, lock_keys => ARRAY("
                  f"SELECT 'key ' || i % {keys} FROM generate_series({start},"
                  f" {start + 9999}) i))")
    while bench.value("SELECT muster.admit(1000)") != "0":
        pass


def daemon_keyed(bench, tasks, keys):
    bench.forget()
    queues = {"noop": {"concurrency": rows.BATCH * bench.workers}}
    fill_keyed(bench, tasks, keys, "noop")
    with bench.daemon(queues, rows.NOOP) as daemon:
        daemon.wait_done(tasks)
    return bench.rate(rows.of_queue("noop"))


def one_key(bench, waiting, tasks=5000):
    """One task at a time, some a turn, however long the line is."""
    bench.forget()
    fill_keyed(bench, waiting, 1, "noop")
    with bench.daemon({"noop": {}}, rows.NOOP):
        wait_until(lambda: int(bench.value(
            "SELECT count(*) FROM muster.task WHERE state = 's'")) >= tasks,
            120, f"{tasks} tasks of one key")
    return bench.rate(rows.of_queue("noop"))


def keys(bench, tasks=200000, rounds=3):
    plain, keyed, more = [], [], []
    short, long = [], []
    for _ in range(rounds):
        plain.append(rows.daemon_noop(bench, tasks))
        keyed.append(daemon_keyed(bench, tasks, 10000))
        more.append(daemon_keyed(bench, tasks, 100000))
        short.append(one_key(bench, 10000))
        long.append(one_key(bench, 100000))
    bench.table.add("daemon, no-op tasks", median(plain), "tasks/s")
    bench.table.add("daemon, over 10,000 concurrency keys", median(keyed),
                    "tasks/s")
    bench.table.add("  of those without keys", ratio(keyed, plain),
                    at_least=0.5)
    bench.table.add("daemon, over 100,000 concurrency keys", median(more),
                    "tasks/s")
    bench.table.add("  of those without keys", ratio(more, plain))
    bench.table.add("daemon, one key, 10,000 tasks in its line",
                    median(short), "tasks/s")
    bench.table.add("daemon, one key, 100,000 tasks in its line",
                    median(long), "tasks/s")
    bench.table.add("  of a line of 10,000", ratio(long, short),
                    at_least=0.8)


SHORT = (keys,)
