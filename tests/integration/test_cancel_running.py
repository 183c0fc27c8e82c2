"""Cancelling what runs, on this host and on another, idle and under load."""

import os
import threading
import time

import pytest

from support.wait import wait_until

LIMIT = 0.2  # from the request to the signal
PAYLOADS = 2000


def napper(folder):
    """Notes when it was told to end, as seconds since 1970."""
    return {"exec": ["/bin/sh", "-c",
                     'trap \'date +%s.%N > "$0.$MUSTER_TASK"; kill $!; exit 1\' '
                     'TERM; sleep 60 & : > "$0.$MUSTER_TASK.up"; wait',
                     os.path.join(folder, "told")], "grace": "10s"}


def start(db, folder, queue="nap"):
    task = db.enqueue("nap", queue=queue)
    wait_until(lambda: os.path.exists(
        os.path.join(folder, f"told.{task}.up")), 20, "it runs")
    return task


def cancel(db, folder, task):
    """How long it took until the program had its signal, in seconds."""
    begin = time.time()
    db.one("SELECT muster.cancel(%s)", task)
    path = os.path.join(folder, f"told.{task}")
    text = wait_until(lambda: os.path.exists(path) and
                      open(path, encoding="utf-8").read(), 20, "it was told",
                      every=0.002)
    return float(text) - begin


def hosts(daemon, folder):
    """Two daemons on one database: each runs naps of a queue of its own."""
    made = [daemon(workers=1, poll_interval="60s",
                   queues={"default": {"concurrency": 200},
                           queue: {"concurrency": 20}},
                   handlers={"nap": napper(folder), "noop": {"noop": True}})
            for queue in ("near", "far")]
    return made


def check(took, patience):
    assert max(took) < LIMIT * patience, sorted(took)


class Load:
    """Keeps the queue of no-ops full."""

    def __init__(self, db):
        self.db = db
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.db.one(
            "SELECT count(*) FROM muster.task"
            " WHERE state IS NOT NULL") > 1000, 20, "under load")
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.thread.join(30)

    def _run(self):
        connection = self.db.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self.over.is_set():
                cursor.execute("SELECT count(*) FROM muster.ready")
                if cursor.fetchone()[0] < 2 * PAYLOADS:
                    cursor.execute(
                        "SELECT count(*) FROM muster.enqueue_many('noop',"
                        " array_fill('{}'::jsonb, ARRAY[%s]))", [PAYLOADS])
                else:
                    time.sleep(0.005)
        connection.close()


def test_F2_cancel_reaches_a_running_task_at_once(
        db, daemon, folder, patience):
    """Idle: whichever of the two daemons runs it."""
    hosts(daemon, folder)
    took = []
    for queue in ["near", "far"] * 5:
        took.append(cancel(db, folder, start(db, folder, queue)))
    check(took, patience)
    assert db.wait_done() == {"cancelled": 10}


def test_F2_cancel_is_as_fast_under_load(db, daemon, folder, patience):
    """The worker's queue is full of no-ops all the while."""
    made = hosts(daemon, folder)
    took = []
    with Load(db):
        before = sum(host.total("succeeded") for host in made)
        for queue in ["near", "far"] * 5:
            took.append(cancel(db, folder, start(db, folder, queue)))
        assert sum(host.total("succeeded") for host in made) > before + 1000
    check(took, patience)
    db.wait_done(60)


def test_F3_expected_cancellation_is_no_error(db, daemon, folder):
    (host, _) = hosts(daemon, folder)
    task = start(db, folder, "near")
    cancel(db, folder, task)
    db.wait_state(task, "cancelled")
    about = host.log.find("", task=str(task))
    assert {line.level for line in about} == {"info"}, about
    assert host.log.find(f"task {task} cancelled, as asked", level="info")


@pytest.mark.parametrize("queue", ["near", "far"])
def test_F2_musterctl_cancel(db, daemon, folder, musterctl, queue):
    hosts(daemon, folder)
    task = start(db, folder, queue)
    assert "its worker was told" in musterctl("cancel", task)
    assert "cancelled" in musterctl("tail", task, code=1)
