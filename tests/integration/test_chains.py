"""Quick tasks of a concurrency key come many at a time, and run one by one."""

import json
import os
import signal
import threading
import time

import pytest

from support import build
from support.wait import wait_until

QUICK = {"first": "10ms", "max": "50ms"}
ENDS = {"succeeded", "cancelled"}

ALONE = r"""
read -r payload
lock=${payload#*\"lock\": \"}
exec 9>"${lock%%\"*}"
flock -n 9 || echo "$payload" >>OVERLAPS
case "$MUSTER_ATTEMPT $payload" in "1 "*'"fail": true'*) exit 1;; esac
"""

FUNCTION = """
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO musterd;
CREATE FUNCTION app.alone(payload jsonb, inputs jsonb,
	task muster.task_context) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	v_key bigint := hashtextextended(payload->>'lock', 0);
BEGIN
	IF NOT pg_try_advisory_lock(v_key) THEN
		RAISE EXCEPTION 'overlap' USING ERRCODE = 'MU005';
	END IF;
	PERFORM pg_sleep(0.0005), pg_advisory_unlock(v_key);
	IF task.attempt = 1 AND (payload->>'fail')::boolean THEN
		RAISE EXCEPTION 'as told';
	END IF;
	RETURN NULL;
END
$$;
"""


class Alone:
    """An http server's word on who was with it at the same time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = set()
        self.overlaps = []

    def respond(self, request):
        payload = json.loads(request.body)["payload"]
        key = payload["lock"]
        with self.lock:
            if key in self.inside:
                self.overlaps.append(key)
            self.inside.add(key)
        time.sleep(0.001)
        with self.lock:
            self.inside.discard(key)
        first = request.headers["Muster-Attempt"] == "1"
        return (500 if payload["fail"] and first else 200, {}, b"")


def _leases(db):
    return db.one("SELECT last_value FROM muster.lease_id")


def test_A3_quick_tasks_of_a_key_cost_no_turn_each(db, daemon):
    """A claim is a lease: there are far fewer than tasks, though no two of
    them ran at a time."""
    daemon(handlers={"noop": {"noop": True}}, workers=1)
    db.enqueue_many("noop", 100)
    db.wait_done()
    before = _leases(db)
    db.enqueue_many("noop", 480, lock_keys=["one"] * 480)
    assert db.wait_done() == {"succeeded": 580}
    assert _leases(db) - before < 480 / 10
    assert not db.invariants()


def test_A3_what_follows_a_slow_task_goes_back_to_its_line(
        db, daemon, pool, patience):
    """A more urgent one comes before them."""
    host = daemon(workers=1, queues={"default": {"concurrency": 1}},
                  handlers={"work": pool.handler()})

    def naps(*lengths):
        return [{"do": "sleep", "seconds": length} for length in lengths]

    db.enqueue_many("work", naps(*[0] * 200))
    db.wait_done()
    slow, *after = db.enqueue_many("work", naps(2 + 2 * patience, *[0] * 5),
                                   lock_keys=["one"] * 6)
    wait_until(lambda: host.total("released") == 5, 1 + 2 * patience,
               "they are given back")
    urgent = db.enqueue("work", naps(0)[0], lock_key="one", priority=5)
    assert db.state(slow) == "running"
    db.wait_done()
    ran = [int(task) for _, (task,) in pool.notes("ran")][200:]
    assert ran == [slow, urgent, *after]
    assert not db.invariants()


def _handlers(folder, pool, server, threads):
    overlaps = os.path.join(folder, "overlaps")
    return {
        "exec": {"exec": ["/bin/sh", "-c", ALONE.replace(
            "OVERLAPS", overlaps)]},
        "pool": pool.handler(concurrency=10, processes=1),
        "http": {"http": server.url(), "allow_private": True},
        "sql": {"sql": "app.alone"},
        "plugin": {"plugin": build.path("trial_plugin.so"),
                   "threads": threads},
        "noop": {"noop": True}}


KEYS, EACH = 4, 20


def _wave(db, folder, kinds):
    """Some of each key of each kind; every eighth fails at first. Their ids,
    in order."""
    ids = []
    for kind in kinds:
        keys = [f"{kind} {i % KEYS}" for i in range(KEYS * EACH)]
        ids += db.enqueue_many(kind, [
            {"do": "alone", "lock": os.path.join(folder, key.replace(" ", ".")),
             "fail": i % 8 == 0} for i, key in enumerate(keys)],
            lock_keys=keys)
    return ids


def test_A3_C2_nothing_of_a_key_overlaps_whatever_happens(
        db, daemon, folder, pool, web):
    db.rows(FUNCTION)
    alone = Alone()
    server = web(alone.respond)
    hosts = [daemon(
        workers=2, shutdown_timeout="5s",
        defaults={"backoff": QUICK, "max_attempts": 9},
        handlers=_handlers(folder, pool, server, threads)) for threads in
        (2, 3)]
    for host in hosts:
        host.log.allow("failed", "worker", "put off", "task", "fenced",
                       "handler", "process")
    seen, everything, cancelled = 0, [], []

    def follow():
        return db.one("SELECT count(*) FROM muster.lease "
                      "WHERE followers IS NOT NULL")

    def run(event=lambda: None):
        nonlocal seen
        ids = _wave(db, folder, hosts[0].config["handlers"])
        everything.extend(ids)
        cancelled.extend(ids[7::40])
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            seen += follow()
        for task in ids[7::40]:
            db.one("SELECT muster.cancel(%s)", task)
        event()

    run()
    db.wait_done(60)
    run(lambda: hosts[0].reload(queues={"default": {"concurrency": 6}}))
    run(lambda: os.kill(hosts[1].workers()[0], signal.SIGKILL))
    run(lambda: hosts[0].stop())
    hosts[0].start()
    db.wait_done(60)
    states = {row.id: (row.state, row.error) for row in db.rows(
        "SELECT id, state, error FROM muster.task_status")}
    assert not [(task, *end) for task, end in states.items() if end[0] not in
                (ENDS if task in cancelled else {"succeeded"})]
    assert sorted(states) == sorted(everything)
    assert not alone.overlaps and not pool.notes("overlap")
    assert not os.path.exists(os.path.join(folder, "overlaps"))
    assert seen > 0 and not db.invariants()
