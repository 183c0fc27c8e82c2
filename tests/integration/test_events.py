"""What happens, told on Redis to whoever subscribes (D1)."""

import json
import os
import signal
import subprocess
import time

import pytest

from support import build, processes
from support.redis import Listener
from support.teller import teller
from support.wait import holds_for, wait_until


@pytest.fixture
def events(db, redis):
    """Every event of this test's cluster."""
    with Listener(redis, f"muster:{db.name}:events:*") as listener:
        yield listener


def found(listener, kind=None, **wanted):
    """The events, as objects; of a type, with these members."""
    every = []
    for _, channel, text in list(listener.messages):
        event = json.loads(text)
        assert channel.endswith(":events:" + event["type"])
        every.append(event)
    return [event for event in every
            if kind in (None, event["type"])
            and all(event.get(key) == value
                    for key, value in wanted.items())]


def wait_event(listener, kind, limit=15, **wanted):
    wait_until(lambda: found(listener, kind, **wanted), limit,
               f"{kind} {wanted}")
    return found(listener, kind, **wanted)[0]


def types_of(listener, task):
    return [event["type"] for event in found(listener, task=str(task))]


def test_D1_events_of_each_type(db, daemon, events):
    host = daemon(workers=1, handlers={
        "noop": {"noop": True},
        "good": teller("progress 0.5 half; sleep 0.05"),
        "bad": {"exec": ["/bin/sh", "-c", "echo it broke >&2; exit 65"]},
        "flaky": {"exec": ["/bin/sh", "-c", "exit 1"],
                  "backoff": {"first": "1h"}},
        "long": {"exec": ["/bin/sleep", "60"], "grace": "1s"}})
    host.log.allow("failed")
    flow = db.flow({"a": {"kind": "good"}, "b": {"kind": "noop",
                                                 "needs": ["a"]}}, "two")
    good = db.tasks(flow)["a"].id
    bad, flaky, long = (db.enqueue(kind) for kind in ("bad", "flaky", "long"))
    worker = str(host.worker_ids()[0])

    up = wait_event(events, "worker.up")
    assert up["worker"] == worker and up["pid"] == host.workers()[0]
    assert up["host"] and up["instance"]
    done = wait_event(events, "task.finished", task=str(good))
    started = wait_event(events, "task.started", task=str(good))
    for event in (started, done):
        assert event["v"] == 1 and abs(event["at"] - time.time()) < 60
        assert event["kind"] == "good" and event["queue"] == "default"
        assert event["flow"] == str(flow) and event["attempt"] == 1
        assert event["worker"] == worker
    assert done["ran_ms"] >= 50 and "error" not in done
    assert wait_event(events, "task.progressed", task=str(good),
                      fraction=0.5, note="half")
    assert types_of(events, good) == [
        "task.started", "task.progressed", "task.finished"]
    failed = wait_event(events, "task.failed", task=str(bad))
    assert "it broke" in failed["error"] and "flow" not in failed
    retried = wait_event(events, "task.retried", task=str(flaky))
    assert 1800e3 < retried["again_in_ms"] < 5400e3
    wait_event(events, "task.started", task=str(long))
    db.request("cancel", long)
    wait_event(events, "task.cancelled", task=str(long))
    ended = wait_event(events, "flow.finished")
    assert ended["flow"] == str(flow) and ended["name"] == "two"
    assert ended["state"] == "succeeded" and "error" not in ended
    assert [ended[key] for key in ("total", "succeeded", "failed",
                                   "cancelled", "skipped")] == [2, 2, 0, 0, 0]
    assert db.flow_status(flow).finished_at, "only when it is true"
    host.stop()
    [down] = found(events, "worker.down")
    assert down["worker"] == worker and down["pid"] == up["pid"]


def test_D1_a_failed_flow_names_its_failures(db, daemon, events):
    host = daemon(handlers={
        "bad": {"exec": ["/bin/sh", "-c", "echo no luck >&2; exit 65"]}})
    host.log.allow("failed")
    flow = db.flow({"a": {"kind": "bad"}, "b": {"kind": "bad",
                                                "needs": ["a"]}})
    ended = wait_event(events, "flow.finished", flow=str(flow))
    assert ended["state"] == "failed" and "no luck" in ended["error"]
    assert (ended["failed"], ended["cancelled"] + ended["skipped"]) == (1, 1)


def test_D1_sql_tasks_are_told_when_they_are_committed(db, daemon, events):
    db.rows("CREATE FUNCTION public.work(jsonb, jsonb, muster.task_context)"
            " RETURNS jsonb LANGUAGE sql AS 'SELECT $1'")
    daemon(handlers={"work": {"sql": "public.work"}})
    task = db.enqueue("work")
    wait_event(events, "task.finished", task=str(task))
    assert types_of(events, task) == ["task.started", "task.finished"]


def test_D1_nothing_is_told_of_a_fenced_finish(db, daemon, events, folder):
    """A frozen worker was rescued; what it finishes counts for nothing."""
    gate = os.path.join(folder, "gate")
    host = daemon(workers=1, watchdog="60s", handlers={"wait": {
        "exec": ["/bin/sh", "-c",
                 f"while [ ! -e {gate} ]; do sleep 0.02; done"]}})
    host.log.allow("fenced", "is dead by the database", "is dead (")
    task = db.enqueue("wait")
    wait_event(events, "task.started", task=str(task))
    worker = host.worker_ids()[0]
    db.rows("SELECT muster.pause('default')")
    wait_until(lambda: db.one("SELECT count(*) FROM muster.paused"), 10,
               "nothing starts anew")
    db.rows("SELECT muster.rescue(%s, 'a test', NULL, NULL)", worker)
    open(gate, "w", encoding="utf-8").close()
    host.log.wait_for("fenced", limit=20)
    wait_until(lambda: len(found(events, "worker.up")) == 2, 10,
               "it is up again, under another id")
    holds_for(lambda: types_of(events, task) == ["task.started"], 0.5)


def test_D1_worker_down_tells_of_a_death_and_of_its_victims(
        db, daemon, events):
    host = daemon(workers=1, crash_limit=0,
                  handlers={"long": {"exec": ["/bin/sleep", "60"]}})
    host.log.allow("worker", "killed")
    worker = str(host.worker_ids()[0])
    task = db.enqueue("long")
    wait_event(events, "task.started", task=str(task))
    os.kill(host.workers()[0], signal.SIGKILL)
    down = wait_event(events, "worker.down", worker=worker)
    assert "killed" in down["cause"].lower()
    failed = wait_event(events, "task.failed", task=str(task))
    assert failed["kind"] == "long" and failed["queue"] == "default"
    assert failed["worker"] == worker and "killed" in failed["error"].lower()
    wait_until(lambda: len(found(events, "worker.up")) == 2, 10, "the next")
    assert not db.one("SELECT was_alive FROM muster.rescue_told("
                      "%s, 'again', NULL, NULL, NULL)", int(worker)), "once"


def test_D1_a_flood_is_told_in_full_to_who_listens(db, daemon, events):
    host = daemon(workers=1, queues={"default": {"concurrency": 1000}})
    db.enqueue_many("noop", 10)  # somebody listens: now it is known
    db.wait_done()
    wait_until(lambda: len(found(events, "task.finished")) == 10, 5, "ten")
    db.enqueue_many("noop", 5000)
    db.wait_done()
    wait_until(lambda: len(found(events, "task.finished")) == 5010, 15,
               "all of them")
    assert len(found(events, "task.started")) == 5010
    assert host.total("events_dropped") == 0
    assert host.total("events_published") >= 10020


def test_D1_what_nobody_hears_is_hardly_published(db, redis, daemon):
    host = daemon(workers=1, queues={"default": {"concurrency": 1000}})
    calls = publish_calls(redis)
    begin = time.monotonic()
    db.enqueue_many("noop", 8000)
    db.wait_done(60)
    seconds = time.monotonic() - begin
    tries = publish_calls(redis) - calls
    assert 2 <= tries <= 3 * 100 * (seconds + 1), (tries, seconds)
    assert host.total("events_published") == 0
    assert host.total("events_dropped") == 0


def publish_calls(redis):
    for line in redis.command("INFO", "commandstats").splitlines():
        if line.startswith("cmdstat_publish:"):
            return int(line.split("calls=")[1].split(",")[0])
    return 0


def test_D1_events_are_flushed_at_shutdown(db, own_redis, daemon):
    """More than are under way wait for a Redis that stands still when the
    daemon is told to end."""
    host = daemon(workers=1, queues={"default": {"concurrency": 200}},
                  handlers={"long": {"exec": ["/bin/sleep", "60"],
                                     "grace": "1s"},
                            "noop": {"noop": True}}, shutdown_timeout="3s")
    with Listener(own_redis, f"muster:{db.name}:events:*") as events:
        long = db.enqueue("long")
        db.enqueue_many("noop", 10)
        wait_until(lambda: len(found(events, "task.finished")) == 10, 10,
                   "it listens")
        own_redis.freeze()
        db.enqueue_many("noop", 500)
        wait_until(lambda: db.states() == {"succeeded": 510, "running": 1},
                   10, "they are done")
        host.signal(signal.SIGTERM)
        wait_until(lambda: db.rows("SELECT * FROM muster.worker") == [], 10,
                   "it left")
        own_redis.thaw()
        assert host.wait_exit() == 0
        wait_until(lambda: found(events, "worker.down"), 5, "the last one")
        assert len(found(events, "task.finished")) == 510
        assert types_of(events, long) == ["task.started", "task.released"]
        assert found(events)[-1]["type"] == "worker.down"


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_D1_musterctl_tail_shows_events(db, redis, daemon, words):
    host = daemon(workers=1)
    with subprocess.Popen(
            [build.path("musterctl"), "-c", host.config_path, "tail",
             "--events", "--type", "task.f*", *words], text=True,
            stdout=subprocess.PIPE, env=build.environment(),
            preexec_fn=processes.die_with_parent(signal.SIGKILL)) as tail:
        wait_until(lambda: redis.command("PUBSUB", "NUMPAT") == 1, 10,
                   "it listens")
        task = db.enqueue("noop")
        line = tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        assert tail.stdout.read() == "", "no other types"
        assert tail.wait(10) == 130
    if words:
        assert json.loads(line)["task"] == str(task)
    else:
        assert f" task.finished task={task} kind=noop queue=default" in line


def test_musterctl_tail_of_events_needs_redis(daemon, musterctl):
    host = daemon(workers=1, redis=None)
    host.log.allow("redis")
    done = musterctl("tail", "--events", code=None)
    assert done.returncode == 78 and "names none" in done.stderr


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_D1_redis_away_holds_up_nothing(db, own_redis, daemon, patience, how):
    host = daemon(workers=1, queues={"default": {"concurrency": 1000}})
    host.log.allow("no connection to redis", "events are dropped")
    with Listener(own_redis, f"muster:{db.name}:events:*") as listener:
        db.enqueue_many("noop", 10)
        db.wait_done()
        wait_until(lambda: len(found(listener, "task.finished")) == 10, 5,
                   "it listens")
        getattr(own_redis, how)()
        begin = time.monotonic()
        db.enqueue_many("noop", 15000)
        db.wait_done(60)
        assert time.monotonic() - begin < 10 * patience
        wait_until(lambda: host.total("events_dropped") > 10000, 15,
                   "bounded, so most are dropped and counted")
        begin = time.monotonic()
        host.stop()
        assert time.monotonic() - begin < 5 * patience
