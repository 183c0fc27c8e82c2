"""What tasks tell while they run: from a program's FIFO to Redis."""

import json
import os
import re
import stat
import time
from statistics import median

import pytest

from support.redis import Listener
from support.teller import teller
from support.wait import holds_for, wait_until


@pytest.fixture
def listen(db, redis):
    """Everything that tasks of this test publish."""
    with Listener(redis, f"muster:{db.name}:task:*") as listener:
        yield listener


def told(listener, task):
    """The messages of a task."""
    return [json.loads(text) for _, channel, text in list(listener.messages)
            if channel.endswith(f":{task}")]


def wait_end(listener, task, limit=15):
    """All messages of a task, once it has ended."""
    wait_until(lambda: any(each["type"] == "end"
                           for each in told(listener, task)), limit, "the end")
    return told(listener, task)


def fifos(host):
    return sorted(name for name in os.listdir(host.runtime_dir)
                  if "events." in name)


def key_of(db, task):
    return f"muster:{db.name}:progress:{task}"


def gate(script, folder):
    """A teller whose function `go` waits until open_gate()."""
    made = teller('go() { while [ ! -e "$0" ]; do sleep 0.02; done; }\n'
                  + script)
    made["exec"].append(os.path.join(folder, "gate"))
    return made


def open_gate(folder):
    with open(os.path.join(folder, "gate"), "w", encoding="utf-8"):
        pass


def test_D4_progress_chunks_and_the_end_come_through_redis(
        db, redis, daemon, listen, folder):
    daemon(handlers={"scan": gate(
        'progress 0.25 "page 1 of 4"; chunk "{\\"n\\": 0.10}"; go;'
        'chunk 7; progress 1 done', folder)})
    task = db.enqueue("scan")
    wait_until(lambda: len(told(listen, task)) == 2, 10, "both are there")
    first = json.loads(redis.command("GET", key_of(db, task)))
    assert 0 < redis.command("TTL", key_of(db, task)) <= 3600
    open_gate(folder)
    found = wait_end(listen, task)
    db.wait_state(task)
    for each in found:
        assert each.pop("v") == 1 and each.pop("task") == str(task)
        assert abs(each.pop("at") - time.time()) < 60
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, [
        {"type": "progress", "fraction": 0.25, "note": "page 1 of 4"},
        {"type": "chunk", "data": {"n": 0.10}},
        {"type": "chunk", "data": 7},
        {"type": "progress", "fraction": 1, "note": "done"},
        {"type": "end", "outcome": "succeeded"}]))
    assert found[-1]["type"] == "end"
    assert first["fraction"] == 0.25 and first["note"] == "page 1 of 4"
    assert any('"data":{"n": 0.10}' in text
               for _, _, text in listen.messages), "as it was written"
    wait_until(lambda: redis.command("EXISTS", key_of(db, task)) == 0, 5,
               "no progress of what is over")


@pytest.mark.parametrize("script, outcome", [
    ("exit 65", "failed"), ("exit 1", "retried"), ("sleep 30", "cancelled")])
def test_D4_the_end_says_how(db, daemon, listen, script, outcome):
    host = daemon(handlers={"scan": teller(
        "progress 0.5; " + script, max_attempts=2, backoff={"first": "1h"},
        grace="1s")})
    host.log.allow("task 1 (scan) failed")
    task = db.enqueue("scan")
    wait_until(lambda: told(listen, task), 10, "it runs")
    if outcome == "cancelled":
        db.request("cancel", task)
    assert wait_end(listen, task)[-1]["outcome"] == outcome


def test_D4_what_says_nothing_publishes_nothing(db, daemon, listen):
    host = daemon(handlers={"quiet": {"exec": ["/bin/true"]},
                            "noop": {"noop": True}})
    db.enqueue_many("quiet", 10)
    db.enqueue_many("noop", 100)
    db.wait_done()
    assert listen.messages == []
    assert host.total("streamed") == 0


def test_progress_is_held_to_a_rate_and_the_last_one_comes(
        db, daemon, listen):
    """Twenty thousand within a second or so."""
    host = daemon(handlers={"fast": teller(
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); progress 0.$i; done;"
        "progress 1 last")})
    task = db.enqueue("fast")
    found = wait_end(listen, task, 60)
    times = [at for at, _, text in listen.messages
             if '"progress"' in text]
    took = times[-1] - times[0]
    assert len(times) <= took * 20 + 3, (len(times), took)
    assert len(times) >= 3
    assert found[-2]["note"] == "last" and found[-1]["type"] == "end"
    assert host.total("stream_dropped") == 0


def test_chunks_come_all_and_in_order(db, daemon, listen):
    daemon(handlers={"count": teller(
        "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); chunk $i; done")})
    task = db.enqueue("count")
    found = wait_end(listen, task, 60)
    assert [each["data"] for each in found[:-1]] == list(range(1, 1001))


def test_it_costs_the_database_nothing(db, postgres, daemon):
    """Not a statement of the worker's more than without."""
    db.rows(f"ALTER ROLE musterd IN DATABASE {db.name} "
            "SET log_statement = 'all'")
    daemon(workers=1, poll_interval="60s", handlers={
        "quiet": teller("sleep 0.3"),
        "loud": teller("for i in 1 2 3 4 5 6 7 8 9; do progress 0.$i; "
                       "chunk $i; sleep 0.03; done")})

    def statements(kind):
        begin = postgres.log_size()
        task = db.enqueue(kind)
        db.wait_state(task)
        time.sleep(0.3)  # the worker goes back to sleep
        return len(re.findall(r"musterd worker.*LOG:  (?:execute|statement)",
                              postgres.log_since(begin)))
    statements("quiet")  # prepares what it needs
    without = [statements("quiet") for _ in range(5)]
    told_some = [statements("loud") for _ in range(5)]
    assert max(without) > 0, "the log tells nothing"
    assert median(told_some) <= median(without), (without, told_some)
    assert sum(told_some) < sum(without) + 9, (without, told_some)


# The FIFO.

def test_the_fifo_is_private_and_goes_with_its_worker(db, daemon):
    host = daemon(workers=2)
    wanted = sorted(f"events.{pid}" for pid in host.workers().values())
    assert fifos(host) == wanted
    for name in wanted:
        mode = os.stat(os.path.join(host.runtime_dir, name)).st_mode
        assert stat.S_ISFIFO(mode) and stat.S_IMODE(mode) == 0o600
    host.stop()
    assert fifos(host) == []


def test_what_is_told_last_is_heard_before_the_answer(
        db, daemon, listen, pool):
    """Of a program that ends, and of one that stays."""
    daemon(workers=1, handlers={
        "last": teller("progress 0.7"),
        "pooled": pool.handler(concurrency=50)})
    tasks = (db.enqueue_many("last", 20)
             + db.enqueue_many("pooled", [{"do": "tell"}] * 400))
    assert db.wait_done() == {"succeeded": 420}
    for task in tasks:
        assert [each["type"] for each in wait_end(listen, task)] == \
            ["progress", "end"]


def test_stale_fifos_are_removed(db, daemon):
    host = daemon.made[0] if daemon.made else daemon.make(workers=1)
    os.mkfifo(os.path.join(host.runtime_dir, "events.1"))
    os.mkfifo(os.path.join(host.runtime_dir, ".events.99999999"))
    with open(os.path.join(host.runtime_dir, "events"), "w",
              encoding="utf-8"):
        pass
    host.start()
    (pid,) = host.workers().values()
    assert fifos(host) == [f"events.{pid}"]
    assert os.path.exists(os.path.join(host.runtime_dir, "events"))
    host.log.allow("killed", "ended", "died", "rescue")
    os.kill(pid, 9)
    wait_until(lambda: host.try_status() and host.workers()
               and pid not in host.workers().values(), 20, "another worker")
    host.wait_running()
    (new,) = host.workers().values()
    wait_until(lambda: fifos(host) == [f"events.{new}"], 5,
               "only the new one's")


def test_garbage_harms_nobody(db, daemon, listen, folder):
    """Others write what they like into the FIFO; the log is told once."""
    host = daemon(workers=1, handlers={"slow": gate(
        "progress 0.1; go; progress 0.9 still", folder)})
    one = db.enqueue("slow")
    wait_until(lambda: told(listen, one), 10, "it runs")
    lease = db.one("SELECT id FROM muster.lease")
    (name,) = fifos(host)
    path = os.path.join(host.runtime_dir, name)

    def line(task=one, token=None, **more):
        return json.dumps({"progress": {
            "id": str(task), "token": token or f"{lease}-{one}",
            "fraction": 0.5, **more}}, separators=(",", ":")) + "\n"
    bad = ["\n", "hello\n", "{}\n", "[]\n", "\0\xff\n",
           line(token=f"{lease + 1}-{one}", note="forged"),
           line(task=one + 1, note="forged"),
           line(token=f"{lease}-{one + 1}", note="forged"),
           line(fraction="0.5"), line(fraction=1, note=7),
           '{"chunk":{"id":"%d","token":"%d-%d"}}\n' % (one, lease, one),
           line(note="x" * 5000), "y" * 100000 + "\n"]
    half = line(note="half")[:-20]
    with open(path, "wb", buffering=0) as fifo:
        for text in bad:
            fifo.write(text.encode("latin-1"))
        fifo.write(half.encode())
        fifo.write(line(note="whole").encode())
    wait_until(lambda: any(each.get("note") == "whole"
                           for each in told(listen, one)), 10, "it is heard")
    assert host.total("events_refused") == len(bad) - 1 + 1
    with open(path, "wb", buffering=0) as fifo:
        fifo.write(b'{"progress":{"id"')  # its writer is gone
    open_gate(folder)
    notes = [each.get("note") for each in wait_end(listen, one)]
    assert notes == ["", "whole", "still", None]
    db.wait_state(one)
    assert len(host.log.find("a line in ")) == 1


def test_two_programs_share_the_fifo(db, daemon, listen):
    daemon(workers=1, handlers={"count": teller(
        "i=0; while [ $i -lt 300 ]; do i=$((i+1)); chunk $i; done")})
    tasks = db.enqueue_many("count", 4)
    for task in tasks:
        found = wait_end(listen, task, 60)
        assert [each["data"] for each in found[:-1]] == list(range(1, 301))


def test_a_note_may_hold_anything(db, daemon, listen):
    """Escapes are understood, and what would be too long is cut."""
    daemon(handlers={"odd": teller(
        r'''progress 0.5 'a\u00e4\ud83d\ude00\"\\\n\u001b[31m' '''),
        "long": teller(
            "progress 0.6 $(head -c 3000 /dev/zero | tr '\\0' x); progress 7;"
            "progress -1")})
    found = wait_end(listen, db.enqueue("odd"))
    assert found[0]["fraction"] == 0.5
    assert found[0]["note"] == 'a\u00e4\U0001f600"\\\n\x1b[31m'
    found = wait_end(listen, db.enqueue("long"))
    assert {each["fraction"] for each in found[:-1]} <= {0.6, 1, 0}
    assert all(len(each["note"]) <= 1024 for each in found[:-1])


def test_without_redis_programs_may_still_tell(db, daemon):
    host = daemon(redis=None, handlers={"loud": teller(
        "progress 0.5 half; chunk 1; chunk 2")})
    task = db.enqueue("loud")
    db.wait_state(task)
    assert host.total("streamed") == 0
    assert host.total("stream_dropped") == 0
    assert host.total("events_refused") == 0


# Redis that is away, frozen or restarted.

FLOOD = ("x=$(head -c 3500 /dev/zero | tr '\\0' x); i=0;"
         "while [ $i -lt 3000 ]; do i=$((i+1)); chunk \"\\\"$x\\\"\";"
         "progress 0.5 $i; done")


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_redis_that_does_not_take_it_holds_up_nobody(
        db, own_redis, daemon, how, patience):
    """Ten megabytes: a part is kept, the rest dropped and counted, and the
    worker neither grows nor waits."""
    host = daemon(workers=1, handlers={"flood": teller(FLOOD)})
    host.log.allow("redis")
    task = db.enqueue("flood", {})
    db.wait_state(task, limit=60)
    assert host.total("stream_dropped") == 0
    getattr(own_redis, how)()
    begin = time.monotonic()
    tasks = db.enqueue_many("flood", 2)
    db.wait_done(60)
    assert {db.state(each) for each in tasks} == {"succeeded"}
    assert host.total("stream_dropped") > 0
    assert time.monotonic() - begin < 40
    (pid,) = host.workers().values()
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        dirty = int(re.search(r"Private_Dirty: +(\d+)", file.read())[1])
    assert dirty < 64 * 1024 or patience > 1, "kB"
    assert len(host.log.find("what tasks tell is dropped")) == 1
    if how == "freeze":
        own_redis.thaw()
    else:
        own_redis.start()
    wait_until(lambda: "PONG" == own_redis.command("PING"), 10)
    with Listener(own_redis, f"muster:{db.name}:task:*") as listener:
        again = {}

        def heard():
            task = db.enqueue("flood")
            db.wait_state(task, limit=60)
            again[task] = told(listener, task)
            return again[task] and again[task][-1]["type"] == "end"
        wait_until(heard, 60, "it comes through again")


def test_D1_what_is_told_last_is_sent_before_the_worker_ends(
        db, daemon, listen):
    host = daemon(workers=1, shutdown_timeout="3s", handlers={"scan": teller(
        "trap 'chunk 1; progress 1 bye; exit 1' TERM; progress 0.1 up;"
        "sleep 60 & wait", grace="1s")})
    task = db.enqueue("scan")
    wait_until(lambda: told(listen, task), 10, "it runs")
    host.stop()
    found = told(listen, task)
    assert [each["type"] for each in found] == \
        ["progress", "chunk", "progress", "end"]
    assert found[-2]["note"] == "bye" and found[-1]["outcome"] == "retried"
    assert db.state(task) == "ready"


def test_what_waited_for_redis_comes_when_it_is_back(
        db, own_redis, daemon, folder):
    host = daemon(workers=1, handlers={"scan": gate(
        "progress 0.1; go; chunk 1; progress 0.2; chunk 2; progress 0.3 z",
        folder)})
    host.log.allow("redis")
    task = db.enqueue("scan")
    wait_until(lambda: own_redis.command("EXISTS", key_of(db, task)), 10,
               "it runs")
    own_redis.stop()
    open_gate(folder)
    db.wait_state(task)
    own_redis.start()
    with Listener(own_redis, f"muster:{db.name}:task:*") as listener:
        try:
            found = wait_end(listener, task, 10)
        except AssertionError:
            # It was sent before anybody could listen: as good.
            found = None
            assert host.total("stream_dropped") == 0
    if found:
        assert [each.get("data") or each.get("note") for each in found] == \
            [1, 2, "z", None]
    holds_for(lambda: not own_redis.command("EXISTS", key_of(db, task)), 0.5)
