"""The measurements of a short run. Each compares a figure of the daemon with
the floor that bare programs reach in the same run, measured the same way."""

import contextlib
import os
import subprocess
import time

from servers import Daemon, wait_until
from table import median, percentile, ratio

NOOP = {"noop": {"noop": True}}

BATCH = 1000  # tasks in a turn: as many as a worker takes at most


class Bench:
    """What the measurements share: servers, programs, the table."""

    def __init__(self, build, scratch, postgres, redis, workers, table):
        self.build = build
        self.scratch = scratch
        self.postgres = postgres
        self.redis = redis
        self.workers = workers
        self.table = table

    def program(self, name, *arguments):
        """One of bench/; its output."""
        return subprocess.run(
            self.command(name, *arguments), check=True, text=True,
            stdout=subprocess.PIPE).stdout

    def command(self, name, *arguments):
        return [os.path.join(self.build, "bench", name),
                *map(str, arguments)]

    def sql(self, text):
        return self.postgres.sql(text)

    def value(self, text):
        return self.postgres.value(text)

    def daemon(self, queues, handlers, **more):
        return Daemon(self, queues, handlers, **more)

    def fill(self, count, queue, kind="noop", payload="{}", run_at="NULL"):
        """So many tasks, ten thousand in a transaction."""
        for start in range(0, count, 10000):
            number = min(10000, count - start)
            self.sql(f"SELECT count(*) FROM muster.enqueue_many('{kind}',"
                     f" array_fill('{payload}'::jsonb, ARRAY[{number}]),"
                     f" queue => '{queue}', run_at => {run_at})")

    @contextlib.contextmanager
    def paused(self, queue):
        """Nothing of the queue is claimed until the end of the block."""
        self.request(f"muster.pause('{queue}')")
        yield
        self.request(f"muster.resume('{queue}')")

    def request(self, call):
        number = self.value(f"SELECT {call}")
        wait_until(lambda: self.value(
            f"SELECT count(*) FROM muster.request_status({number})"
            " WHERE done") == "1", 30, call)

    def rate(self, where):
        """Tasks a second from the first finish to the last."""
        count, seconds = self.sql(
            "SELECT count(*), extract(epoch FROM"
            " max(finished_at) - min(finished_at))"
            f" FROM muster.task WHERE state = 's' AND {where}")[0]
        return int(count) / float(seconds)

    def forget(self):
        """Empty tables and fresh statistics for the next measurement."""
        self.sql("TRUNCATE muster.task, muster.ready, muster.edge,"
                 " muster.needs, muster.blocked, muster.flow,"
                 " muster.flow_delta, muster.flow_ends, muster.finished,"
                 " muster.attempt, muster.container, muster.container_plan,"
                 " muster.map_page, muster.expansion,"
                 " muster.arriving, muster.waiting, muster.unique_key,"
                 " muster.lock_key, muster.lock_held, muster.lock_floor,"
                 " muster.lock_closed, muster.lock_freed;"
                 " VACUUM ANALYZE; CHECKPOINT")


def of_queue(queue):
    return ("route_id IN (SELECT id FROM muster.route"
            f" WHERE queue = '{queue}')")


def deletes(bench, rows=400000, batch=200):
    bench.sql("DROP TABLE IF EXISTS bench_narrow;"
              " CREATE TABLE bench_narrow (id bigint PRIMARY KEY, n int);"
              f" INSERT INTO bench_narrow SELECT i, i"
              f" FROM generate_series(1, {rows}) i;"
              " VACUUM ANALYZE bench_narrow; CHECKPOINT")
    return float(bench.program(
        "floor", "delete", bench.postgres.conninfo(), bench.workers, batch,
        rows))


def floor(bench, tasks, batch=BATCH, before=lambda: None):
    bench.forget()
    before()
    bench.fill(tasks, "floor")
    bench.program("floor", "turn", bench.postgres.conninfo(), bench.workers,
                  batch, "floor", "noop")
    return bench.rate(of_queue("floor"))


def daemon_noop(bench, tasks):
    bench.forget()
    queues = {"noop": {"concurrency": BATCH * bench.workers}}
    bench.fill(tasks, "noop")
    with bench.daemon(queues, NOOP) as daemon:
        daemon.wait_done(tasks)
    return bench.rate(of_queue("noop"))


def throughput(bench, tasks=200000, rounds=5):
    """In turns, so that what else the machine does hits them alike."""
    bare, floors, daemons = [], [], []
    for _ in range(rounds):
        bare.append(deletes(bench))
        floors.append(floor(bench, tasks))
        daemons.append(daemon_noop(bench, tasks))
    bench.table.add("bare DELETE … RETURNING, batches of 200",
                    median(bare), "rows/s")
    bench.table.add("SQL floor: bare turns", median(floors), "tasks/s")
    bench.table.add("  of bare deletes", ratio(floors, bare),
                    at_least=0.35)
    bench.table.add("daemon, no-op tasks", median(daemons), "tasks/s")
    bench.table.add("  of the floor", ratio(daemons, floors),
                    at_least=0.6)


def latencies_ms(bench, returned):
    """From the return of each enqueue until the finish reached the server,
    which both a bare worker and the daemon send at once."""
    ids = ",".join(returned)
    wait_until(lambda: bench.value(
        "SELECT count(*) FROM muster.task WHERE finished_at IS NULL"
        f" AND id IN ({ids})") == "0", 60, "the last tasks end")
    finished = bench.sql(
        "SELECT id, (extract(epoch FROM finished_at) * 1e6)::bigint"
        f" FROM muster.task WHERE id IN ({ids})")
    return [(int(at) - returned[task]) / 1000 for task, at in finished]


def enqueue_paced(bench, queue, count, gap_ms=20):
    """{id: when enqueue had returned, us}"""
    text = bench.program("enqueue", "paced", bench.postgres.conninfo(),
                         gap_ms, count, queue, "noop")
    pairs = [line.split() for line in text.splitlines()]
    return {task: int(at) for task, at in pairs}


def latency_bare(bench, count):
    with subprocess.Popen(
            bench.command("latency", bench.postgres.conninfo(), "bare",
                          "noop", count),
            stdout=subprocess.PIPE, text=True) as bare:
        if bare.stdout.readline() != "ready\n":
            raise SystemExit("bench: the bare worker did not start")
        returned = enqueue_paced(bench, "bare", count)
    return latencies_ms(bench, returned)


def latency_daemon(bench, count):
    queues = {"idle": {"concurrency": 20}}
    with bench.daemon(queues, NOOP):
        time.sleep(1.5)  # until it sleeps
        return latencies_ms(bench, enqueue_paced(bench, "idle", count))


def latency(bench, count=300):
    bench.forget()
    bare = latency_bare(bench, count)
    daemon = latency_daemon(bench, count)
    for share, limit in ((0.5, 2), (0.95, None), (0.99, 4)):
        name = f"p{round(share * 100)}"
        floor_ms = percentile(bare, share)
        figure = percentile(daemon, share)
        bench.table.add(f"pick-up latency {name}, bare LISTEN and turn",
                        floor_ms, "ms")
        bench.table.add(f"pick-up latency {name}, daemon", figure, "ms")
        bench.table.add("  times the bare one", figure / floor_ms,
                        at_most=limit)


def submit_diamonds(bench, count, queue):
    """Flows of 1 → 8 → 1."""
    flow = ('{"flow": "diamond", "tasks": {"a": {"kind": "noop", "queue":'
            f' "{queue}"}}, "z": {{"kind": "noop", "queue": "{queue}",'
            ' "needs": [' + ", ".join(f'"b{i}"' for i in range(8)) + ']}, '
            + ", ".join(f'"b{i}": {{"kind": "noop", "queue": "{queue}",'
                        ' "needs": ["a"]}' for i in range(8)) + "}}")
    bench.sql(f"SELECT count(muster.submit_flow('{flow}'))"
              f" FROM generate_series(1, {count})")


def daemon_flows(bench, count):
    bench.forget()
    submit_diamonds(bench, count, "flow")
    queues = {"flow": {"concurrency": BATCH * bench.workers}}
    with bench.daemon(queues, NOOP) as daemon:
        daemon.wait_done(10 * count)
    return bench.rate(of_queue("flow"))


def flows(bench, count=12000, rounds=3):
    waiting, plain = [], []
    for _ in range(rounds):
        waiting.append(daemon_flows(bench, count))
        plain.append(daemon_noop(bench, 10 * count))
    bench.table.add("flows of 1 → 8 → 1, no-op tasks", median(waiting),
                    "tasks/s")
    bench.table.add("  of as many without dependencies",
                    ratio(waiting, plain), at_least=0.6)


def chain(bench, length=1000):
    """From the end of a task to the end of the one that waits for it."""
    bench.forget()
    with bench.daemon({"chain": {"concurrency": 10}}, NOOP) as daemon:
        bench.sql("SELECT muster.submit_flow(jsonb_build_object('tasks',"
                  " (SELECT jsonb_object_agg('t' || i, jsonb_build_object("
                  "'kind', 'noop', 'queue', 'chain', 'needs', CASE WHEN i > 1"
                  " THEN jsonb_build_array('t' || i - 1) ELSE '[]' END))"
                  f" FROM generate_series(1, {length}) i)))")
        daemon.wait_done(length)
    times = [float(row[0]) for row in bench.sql(
        "SELECT extract(epoch FROM finished_at) * 1000 FROM muster.task"
        f" WHERE {of_queue('chain')} ORDER BY finished_at")]
    hops = [after - before for before, after in zip(times, times[1:])]
    bench.table.add(f"a chain of {length:,} no-op tasks, a hop p50",
                    percentile(hops, 0.5), "ms", at_most=2.0)
    bench.table.add("  p99", percentile(hops, 0.99), "ms")


def executables(bench, count=2000, children=16, rounds=5):
    """A program that does nothing, as many at a time on both sides."""
    bare, daemons = [], []
    handlers = {"true": {"exec": ["/bin/true"]}}
    for _ in range(rounds):
        bench.forget()
        bare.append(float(bench.program(
            "spawn", bench.workers, children, count, "/bin/true")))
        bench.fill(count, "exec", "true")
        queues = {"exec": {"concurrency": children}}
        with bench.daemon(queues, handlers) as daemon:
            daemon.wait_done(count)
        daemons.append(bench.rate(of_queue("exec")))
    bench.table.add("bare posix_spawn loop", median(bare), "processes/s")
    bench.table.add("daemon, exec of /bin/true", median(daemons), "tasks/s")
    bench.table.add("  of the bare loop", ratio(daemons, bare),
                    at_least=0.75)


def enqueues(bench, count=4000):
    """Two clients; then the same with somebody asleep on the queue."""
    def run(mode, queue, total):
        return float(bench.program(
            "enqueue", mode, bench.postgres.conninfo(), 2, total, queue,
            "noop"))
    bench.forget()
    bench.table.add("enqueue, one a transaction, 2 clients",
                    run("single", "nobody", count), "tasks/s")
    bench.table.add("enqueue_many, 1,000 a transaction, 2 clients",
                    run("many", "nobody", 40000), "tasks/s")
    bench.sql("SELECT muster.sleep_on('bench', 1, '{asleep}')")
    bench.table.add("enqueue with sleepers, 2 clients",
                    run("single", "asleep", count), "tasks/s")
    bench.sql("SELECT muster.wake_up(1)")


def memory(bench, tasks=100000):
    """Private dirty pages: with 500 tasks of 1 kB running, and what a stream
    of no-ops adds."""
    bench.forget()
    naps = 500 * bench.workers
    handlers = {**NOOP, "nap": {"exec": ["/bin/sleep", "20"],
                                "grace": "1s"}}
    queues = {"nap": {"concurrency": naps}, "noop": {"concurrency": 400}}
    bench.fill(naps, "nap", "nap", '{"text": "%s"}' % ("x" * 1000))
    with bench.daemon(queues, handlers) as daemon:
        daemon.wait(lambda: daemon.running() >= naps * 0.9, "tasks run")
        figures = daemon.memory_kb()
        daemon.wait_done(naps)
        grown = growth_kb(bench, daemon, naps, tasks) / bench.workers
    bench.table.add("private dirty memory, supervisor",
                    figures["supervisor"] / 1024, "MB", at_most=3.0)
    bench.table.add("private dirty memory, scheduler",
                    figures["scheduler"] / 1024, "MB")
    bench.table.add("private dirty memory, worker, 500 tasks of 1 kB",
                    figures["worker"] / 1024, "MB", at_most=8.0)
    bench.table.add("a worker's growth over a million tasks",
                    grown / 1024 * 1e6 / tasks, "MB", at_most=0.1,
                    note=f"from {tasks:,} tasks")


def growth_kb(bench, daemon, done, tasks):
    """Of all workers, after a warm-up of as many tasks."""
    sizes = []
    for number in (1, 2):
        bench.fill(tasks, "noop")
        daemon.wait_done(done + number * tasks)
        sizes.append(daemon.memory_kb()["workers"])
    return sizes[1] - sizes[0]


SHORT = (throughput, latency, flows, chain, executables, enqueues, memory)
