"""What takes many minutes: the cost of neighbours, of an old snapshot, of a
wide fan-out."""

import contextlib
import re
import threading
import time

from rows import (BATCH, NOOP, enqueue_paced, floor, latencies_ms, of_queue,
                  submit_diamonds)
from table import median, percentile, ratio


WARM_UP = 10000  # tasks


def neighbours(bench, tasks=100000, each=500000, rounds=3):
    """A claim and a finish beside a million tasks that wait, by plans made
    while the tables were empty."""
    bench.sql("ALTER SYSTEM SET autovacuum = off")
    bench.sql("SELECT pg_reload_conf()")
    alone, crowded = [], []
    for _ in range(rounds):
        alone.append(floor(bench, tasks))
        crowded.append(floor(
            bench, tasks, before=lambda: add_neighbours(bench, each)))
    bench.sql("ALTER SYSTEM RESET autovacuum")
    bench.sql("SELECT pg_reload_conf()")
    bench.table.add("bare turns, nothing beside the queue", median(alone),
                    "tasks/s")
    bench.table.add(f"bare turns beside {2 * each:,} waiting tasks",
                    median(crowded), "tasks/s")
    bench.table.add("  times the cost alone", ratio(alone, crowded),
                    at_most=1.2)


def add_neighbours(bench, each):
    """Half of them delayed, half blocked in flows of 100,000."""
    bench.fill(each, "later", run_at="now() + interval '1 day'")
    width = min(each, 100000)
    flow = ("jsonb_build_object('flow', 'wide', 'tasks', (SELECT"
            " jsonb_object_agg('t' || i, CASE i WHEN 1 THEN"
            " '{\"kind\": \"noop\", \"queue\": \"later\","
            " \"run_at\": \"2100-01-01\"}'::jsonb ELSE"
            " '{\"kind\": \"noop\", \"queue\": \"later\","
            " \"needs\": [\"t1\"]}' END)"
            f" FROM generate_series(1, {width}) i))")
    for _ in range(each // width):
        bench.sql(f"SELECT muster.submit_flow({flow})")


def old_snapshot(bench, rounds=5):
    """A transaction that sees the tables as they were, all the while."""
    for name, one_step, step, steps in (
            ("no-ops", plain_step, 50000, 6),
            ("half with keys, half in flows", mixed_step, 20000, 6)):
        firsts, lasts = [], []
        for _ in range(rounds):
            rates = beside_old_snapshot(bench, one_step, step, steps)
            firsts.append(rates[0])
            lasts.append(rates[-1])
        bench.table.add(f"{name}, first {step:,} with an old snapshot",
                        median(firsts), "tasks/s")
        bench.table.add(f"  last {step:,} of {step * steps:,}",
                        median(lasts), "tasks/s")
        bench.table.add("  last of first", ratio(lasts, firsts), at_least=0.8)


def beside_old_snapshot(bench, one_step, step, steps):
    """The rates of so many tasks each."""
    bench.forget()
    queues = {"noop": {"concurrency": BATCH * bench.workers}}
    with bench.daemon(queues, NOOP) as daemon:
        bench.fill(WARM_UP, "noop")
        daemon.wait_done(WARM_UP)
        with bench.postgres.session() as session:
            session.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ;"
                                " SELECT count(*) FROM muster.task;\n")
            session.stdin.flush()
            session.stdout.readline()
            return [one_step(bench, daemon, step, number)
                    for number in range(steps)]


def plain_step(bench, daemon, step, number):
    last = int(bench.value("SELECT coalesce(max(id), 0) FROM muster.task"))
    with bench.paused("noop"):
        bench.fill(step, "noop")
    daemon.wait_done(WARM_UP + step * (number + 1))
    return bench.rate(f"id > {last} AND {of_queue('noop')}")


def mixed_step(bench, daemon, step, number):
    """Those with keys arrive, and stand in line ten at a time."""
    begin = time.monotonic()
    bench.sql("SELECT count(*) FROM muster.enqueue_many('noop', array_fill("
              f"'{{}}'::jsonb, ARRAY[{step // 2}]), queue => 'noop', lock_keys"
              f" => ARRAY(SELECT 'k' || i % {step // 20}"
              f" FROM generate_series(1, {step // 2}) i))")
    submit_diamonds(bench, step // 20, "noop")
    daemon.wait_done(WARM_UP + step * (number + 1))
    return step / (time.monotonic() - begin)


def fan_out(bench, width=1000000, chunk=20000):
    """One task unlocks a million; others must not notice."""
    bench.forget()
    bench.sql("ALTER SYSTEM SET log_min_duration_statement = 1000")
    bench.sql("SELECT pg_reload_conf()")
    queues = {"gate": {"concurrency": 1}, "side": {"concurrency": 20},
              "wide": {"concurrency": BATCH * bench.workers}}
    with bench.daemon(queues, NOOP) as daemon:
        with bench.paused("gate"):
            root = bench.value("SELECT muster.enqueue('noop',"
                               " queue => 'gate')")
            for _ in range(width // chunk):
                bench.sql("SELECT count(muster.enqueue('noop', queue =>"
                          f" 'wide', depends_on => ARRAY[{root}]::bigint[],"
                          f" wake => false)) FROM generate_series(1, {chunk})")
            daemon.wait(lambda: bench.value(
                "SELECT EXISTS (SELECT FROM muster.arriving)") == "f",
                "all are admitted", 1800)
        latencies = latencies_meanwhile(bench, daemon, width)
    bench.table.add(f"unlocked by one task, {width:,} no-ops",
                    bench.rate(of_queue("wide")), "tasks/s")
    bench.table.add("latency p99 of another queue meanwhile",
                    percentile(latencies, 0.99), "ms", at_most=100)
    bench.table.add("the daemon's transactions over 1 s",
                    slow_statements(bench), at_most=0)
    bench.sql("ALTER SYSTEM RESET log_min_duration_statement")
    bench.sql("SELECT pg_reload_conf()")


def fan_in(bench, width=100000):
    """A task waits for so many; nobody else may wait long for a lock, whether
    the others are left alone or are meddled with all the while."""
    bench.sql("ALTER SYSTEM SET log_lock_waits = on")
    bench.sql("ALTER SYSTEM SET deadlock_timeout = '100ms'")
    bench.sql("SELECT pg_reload_conf()")
    fan_in_alone(bench, width)
    fan_in_enqueued(bench, width)
    fan_in_meddled(bench, width)
    bench.sql("ALTER SYSTEM RESET log_lock_waits")
    bench.sql("ALTER SYSTEM RESET deadlock_timeout")
    bench.sql("SELECT pg_reload_conf()")


def submit_fan_in(bench, width, queue="wide", last="noop"):
    """A tenth of them of another kind, so that there is a filter for it."""
    return bench.value(
        "SELECT muster.submit_flow(jsonb_build_object('tasks', (SELECT"
        f" jsonb_object_agg('t' || i, jsonb_build_object('queue', '{queue}',"
        " 'kind', CASE i % 10 WHEN 0 THEN 'spare' ELSE 'noop' END))"
        f" FROM generate_series(1, {width}) i) || jsonb_build_object('last',"
        f" jsonb_build_object('kind', '{last}', 'queue', '{queue}',"
        " 'max_attempts', 1, 'needs',"
        " (SELECT jsonb_agg(jsonb_build_object('task', 't' || i, 'when',"
        f" 'finished')) FROM generate_series(1, {width}) i)))))")


def fan_in_alone(bench, width):
    bench.forget()
    before = lock_waits(bench)
    submit_fan_in(bench, width)
    queues = {"side": {"concurrency": 20},
              "wide": {"concurrency": BATCH * bench.workers}}
    with bench.daemon(queues, SPARE) as daemon:
        latencies = latencies_meanwhile(bench, daemon, width)
        wait_flow(bench, daemon)
    bench.table.add(f"a task that waits for {width:,} no-ops",
                    bench.rate(of_queue("wide")), "tasks/s")
    bench.table.add("latency p99 of another queue meanwhile",
                    percentile(latencies, 0.99), "ms")
    bench.table.add("waits for a lock over 100 ms",
                    lock_waits(bench) - before, at_most=0)


def fan_in_enqueued(bench, width):
    """The one that waits is no step of a flow: it is admitted while the others
    run."""
    bench.forget()
    before = lock_waits(bench)
    bench.fill(width, "wide")
    bench.sql("SELECT muster.enqueue('noop', queue => 'wide', depends_on =>"
              f" ARRAY(SELECT id FROM muster.task WHERE {of_queue('wide')}))")
    queues = {"side": {"concurrency": 20},
              "wide": {"concurrency": BATCH * bench.workers}}
    with bench.daemon(queues, NOOP) as daemon:
        latencies = latencies_meanwhile(bench, daemon, width + 1)
    bench.table.add(f"a task enqueued to wait for {width:,} no-ops",
                    bench.rate(of_queue("wide")), "tasks/s")
    bench.table.add("latency p99 of another queue meanwhile",
                    percentile(latencies, 0.99), "ms")
    bench.table.add("waits for a lock over 100 ms",
                    lock_waits(bench) - before, at_most=0)


def fan_in_meddled(bench, width):
    """Cancelled, retried, moved, added to and asked about, while such a flow,
    whose last step fails each time, is retried as a whole."""
    bench.forget()
    before = lock_waits(bench)
    queues = {"side": {"concurrency": 20},
              "back": {"concurrency": BATCH * bench.workers},
              "wide": {"concurrency": BATCH * bench.workers,
                       "rate": f"{width // 20}/s"}}
    with bench.daemon(queues, SPARE) as daemon:
        back = submit_fan_in(bench, width, "back", "bad")
        wait_flow(bench, daemon)
        flow = submit_fan_in(bench, width)
        last = int(bench.value("SELECT max(id) FROM muster.task"))
        meddlers = [Meddler(bench, text.format(
            flow=flow, back=back, first=last - width, last=last, width=width))
            for text in MEDDLING]
        latencies = []
        with contextlib.ExitStack() as stack:
            for each in meddlers:
                stack.enter_context(each)
            while bench.value("SELECT count(*) FROM muster.task WHERE"
                              f" state IS NULL AND id < {last} AND id >="
                              f" {last - width}") != "0":
                latencies += latencies_ms(bench, enqueue_paced(
                    bench, "side", 50))
        wait_flow(bench, daemon)
    bench.table.add("rounds of meddling",
                    min(each.rounds for each in meddlers))
    bench.table.add("times that one came back by a retry of its flow",
                    int(bench.value("SELECT life FROM muster.task WHERE"
                                    f" flow_id = {back} AND name = 'last'")))
    bench.table.add("latency p99 of another queue meanwhile",
                    percentile(latencies, 0.99), "ms")
    bench.table.add("waits for a lock over 100 ms",
                    lock_waits(bench) - before, at_most=0)


def wait_flow(bench, daemon):
    daemon.wait(lambda: bench.value(
        "SELECT bool_and(state NOT IN ('running', 'cancelling'))"
        " FROM muster.flow_status") == "t", "the flow ends", 600)


SPARE = {**NOOP, "spare": {"noop": True}, "bad": {"exec": ["/bin/false"]}}

# What people do to a flow whose tasks are {first} to {last}, the one that waits
# for the others, and to the flow {back}, whose last step has failed.
MEDDLING = (
    "SELECT count(muster.cancel({first} + (random() * ({width} - 1))::int))"
    " FROM generate_series(1, 20);",
    "SELECT muster.cancel_where('{{\"flow\": {flow}, \"kind\": \"spare\"}}');"
    " SELECT pg_sleep(1); SELECT muster.retry_where('{{\"flow\": {flow},"
    " \"kind\": \"spare\", \"state\": \"cancelled\"}}');"
    " SELECT pg_sleep(1);",
    "SELECT muster.reprioritise_where('{{\"flow\": {flow}}}',"
    " (random() * 10)::int); SELECT pg_sleep(1);",
    "SELECT count(muster.enqueue('noop', queue => 'wide', flow_id => {flow},"
    " depends_when => 'finished', depends_on => (SELECT array_agg(u.id) FROM"
    " (SELECT unnest(l.task_ids) AS id FROM muster.lease l LIMIT 100) u)))"
    " FROM generate_series(1, 5);",
    "SELECT count(*) FROM muster.why({last});",
    "SELECT muster.retry_flow({back}); SELECT pg_sleep(1);",
)


class Meddler:
    """A client that says the same again and again, until it is left."""

    def __init__(self, bench, text):
        self.bench = bench
        self.text = text
        self.rounds = 0
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._left.set()
        self._thread.join()

    def _run(self):
        with self.bench.postgres.session() as session:
            while not self._left.wait(0.02):
                session.stdin.write(self.text + "\n\\echo said\n")
                session.stdin.flush()
                while session.stdout.readline() not in ("said\n", ""):
                    pass
                self.rounds += 1
            session.stdin.close()


def lock_waits(bench):
    with open(bench.postgres.log, encoding="utf-8", errors="replace") as log:
        return sum(1 for line in log if "still waiting for" in line)


def latencies_meanwhile(bench, daemon, width):
    """Of single tasks of another queue, until the wide one is done."""
    found = []
    while daemon.done() < width + len(found):
        returned = enqueue_paced(bench, "side", 200)
        found += latencies_ms(bench, returned)
    return found


def slow_statements(bench):
    with open(bench.postgres.log, encoding="utf-8", errors="replace") as log:
        return sum(1 for line in log
                   if re.search(r"musterd.*LOG:  duration:", line))


LONG = (neighbours, old_snapshot, fan_out, fan_in)
