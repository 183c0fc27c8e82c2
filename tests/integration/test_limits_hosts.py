"""Limits that hold across hosts: two daemons on one database."""

import os
import signal
import time

import pytest

from support.wait import wait_until


def handler(ledger, seconds):
    """Notes when it starts and ends."""
    return ledger.handler(then=f"sleep {seconds}")


@pytest.fixture
def hosts(daemon, ledger):
    """hosts(limits, seconds): two daemons with these limits of the queue."""
    def start(seconds, handler_keys=None, workers=2, **limits):
        made = [daemon.make(
            workers=workers, queues={"default": {"concurrency": 20, **limits}},
            handlers={"work": {"exec": [
                "/bin/sh", "-c",
                f"echo + $(date +%s.%N) >>{ledger.path}; sleep {seconds}; "
                f"echo - $(date +%s.%N) >>{ledger.path}"],
                **(handler_keys or {})}})
            for _ in range(2)]
        for each in made:
            each.start()
        return made
    return start


def spans(ledger):
    """The marks in order of time: (moment, +1 or -1)."""
    with open(ledger.path, encoding="utf-8") as file:
        marks = [line.split() for line in file]
    return sorted((float(at), 1 if mark == "+" else -1) for mark, at in marks)


def most_at_once(ledger):
    running = most = 0
    for _, change in spans(ledger):
        running += change
        most = max(most, running)
    return most


@pytest.mark.parametrize("scope", ["queue", "kind"])
def test_A3_max_running_holds_across_hosts(db, hosts, ledger, scope):
    """Never more than three at once, and nearly always three."""
    limit = {"max_running": 3}
    hosts(0.05, **(limit if scope == "queue" else {"handler_keys": limit}))
    began = time.monotonic()
    db.enqueue_many("work", 60)
    db.wait_done()
    took = time.monotonic() - began
    assert most_at_once(ledger) == 3
    assert took < 60 / 3 * 0.05 * 3
    wait_until(lambda: db.one("SELECT held FROM muster.limit_status") == 0, 5)
