"""What events cost: with a subscriber to all of them, and with none."""

import contextlib
import signal
import subprocess

from rows import BATCH, NOOP, of_queue
from servers import die_with_parent, wait_until
from table import median, ratio


@contextlib.contextmanager
def subscriber(bench):
    """Reads all events and counts them."""
    with subprocess.Popen(
            ["redis-cli", "-s", bench.redis.socket, "PSUBSCRIBE",
             "muster:bench:events:*"], stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent(signal.SIGKILL)) as process:
        wait_until(lambda: patterns(bench) == 1, 10, "somebody listens")
        yield
        process.terminate()
    wait_until(lambda: patterns(bench) == 0, 10, "nobody listens")


def patterns(bench):
    return int(subprocess.run(
        ["redis-cli", "-s", bench.redis.socket, "PUBSUB", "NUMPAT"],
        check=True, text=True, stdout=subprocess.PIPE).stdout)


def run(bench, tasks, **more):
    """(tasks/s, events dropped / events)"""
    bench.forget()
    bench.fill(tasks, "noop")
    queues = {"noop": {"concurrency": BATCH * bench.workers}}
    with bench.daemon(queues, NOOP, **more) as daemon:
        daemon.wait_done(tasks)
        workers = daemon.status()["workers"]
    dropped, published = (sum(worker[name] for worker in workers)
                          for name in ("events_dropped", "events_published"))
    return bench.rate(of_queue("noop")), dropped / max(1, dropped + published)


def events(bench, tasks=200000, rounds=5):
    """In turns, so that what else the machine does hits them alike."""
    heard, unheard, without, lost = [], [], [], []
    for _ in range(rounds):
        with subscriber(bench):
            rate, share = run(bench, tasks)
        heard.append(rate)
        lost.append(share)
        unheard.append(run(bench, tasks)[0])
        without.append(run(bench, tasks, redis=None)[0])
    bench.table.add("no-op tasks, nobody subscribes to events",
                    median(unheard), "tasks/s")
    bench.table.add("  of those without Redis, so without events",
                    ratio(unheard, without))
    bench.table.add("no-op tasks, one subscribes to all events",
                    median(heard), "tasks/s")
    bench.table.add("  of those that nobody hears", ratio(heard, unheard))
    bench.table.add("  of the events, dropped", median(lost))


EVENTS = (events,)
