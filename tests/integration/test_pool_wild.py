"""Handlers that crash, leak, write to standard output and leave children."""

import os

from support import build, processes
from support.pool import QUICK
from support.wait import wait_until

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                       "bench", "wild_handler.py")


def private_dirty(pid):
    """In kB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file
                   if line.startswith("Private_Dirty"))


def feed(db, numbers, patience, step=200):
    """Bit by bit, so that what crashes each time is not all that is left at
    the end; {number: task}"""
    tasks = {}
    for first in numbers[::step]:
        some = range(first, first + step)
        tasks.update(zip(some, db.enqueue_many(
            "wild", [{"n": n} for n in some])))
        left = 0 if some[-1] == numbers[-1] else step // 2
        wait_until(lambda: db.one(
            "SELECT count(*) FROM muster.task WHERE finished_at IS NULL")
            <= left, 120 * patience, "most are done")
    return tasks


def check(db, n, task):
    row = db.task(task)
    if n % 100 == 0:
        assert row.state == "failed" and row.attempt == 3, (n, row)
        assert row.error.startswith("exit status 7"), (n, row)
    else:
        assert row.state == "succeeded" and row.result == n, (n, row)
        assert row.attempt == (2 if n % 100 == 50 else 1), (n, row)


def test_E3_wild_handlers_harm_nobody_but_themselves(
        db, daemon, is_long, patience):
    """Every task ends as it should, no process is left, and the worker needs
    no more memory after all than after a part of them."""
    first, last = (1000, 10000) if is_long else (200, 600)
    host = daemon(workers=1, queues={"default": {"concurrency": 50}},
                  handlers={"wild": {
                      "pool": ["/usr/bin/python3", PROGRAM], "processes": 4,
                      "max_attempts": 3, "backoff": QUICK, "grace": "1s",
                      "recycle": {"tasks": 20, "memory": "14M"}}})
    host.log.allow("wild", "failed", "killed", "left")
    worker = host.workers()[0]
    tasks = feed(db, range(first), patience)
    before = private_dirty(worker)
    tasks.update(feed(db, range(first, last), patience))
    for n, task in tasks.items():
        check(db, n, task)
    assert host.log.find("is to be replaced")
    if not build.is_sanitized():
        assert private_dirty(worker) - before < 200
    left = host.handlers()
    host.stop()
    wait_until(lambda: not any(map(processes.alive, left)), 10,
               "nothing is left behind")
