"""The example of a program that is dear to start: etc/examples/model-host."""

import os
import time

import pytest

from support.wait import wait_until

pytestmark = pytest.mark.plain
PROGRAM = os.path.join(os.path.dirname(__file__), "..", "..", "etc",
                       "examples", "model-host", "tasks.py")


def host(**more):
    return {"pool": ["/usr/bin/python3", os.path.abspath(PROGRAM)], **more}


def lag_ms(musterd):
    return max(worker["lag_us"]["p99"] for worker in
               musterd.status()["workers"]) / 1000


def test_C3_D4_E1_model_host(db, daemon, musterctl, patience):
    musterd = daemon(
        workers=1, queues={"default": {"concurrency": 250}},
        handlers={"answer": host(processes=2, idle_timeout="2s"),
                  "predict": host(processes=1, idle_timeout="2s")})
    begin = time.monotonic()
    tasks = [db.enqueue("answer", {"question": f"what is {n}"})
             for n in range(200)]
    blocking = db.enqueue("predict", {"seconds": 2})
    states = db.wait_done(60 * patience)
    assert states == {"succeeded": 201}
    assert time.monotonic() - begin < 30 * patience
    processes = {db.task(task).result["process"] for task in tasks}
    assert 1 <= len(processes) <= 2
    # The report of a process that has ended ends with its last lines. One that
    # was ready when all was answered already loaded too.
    loaded = [line.message.split()[-1]
              for line in musterd.log.find("model loaded by process")
              if line.message.startswith("model loaded")]
    assert len(loaded) == len(set(loaded)) <= 2 + 1, "once a process"
    assert {str(process) for process in processes
            | {db.task(blocking).result["process"]}} <= set(loaded)
    assert db.task(tasks[7]).result["answer"] == "WHAT IS 7"
    assert db.task(blocking).result["process"] not in processes
    assert lag_ms(musterd) < 500 * patience, "no heartbeat was late"
    assert db.one("SELECT max(rescues) FROM muster.task") == 0
    pids = processes | {db.task(blocking).result["process"]}
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}")
                               for pid in pids),
               20 * patience, "idle processes end")


def test_D4_answers_of_the_model_host_stream(db, daemon, musterctl, patience):
    daemon(workers=1, handlers={"answer": host(processes=1)})
    task = db.enqueue("answer", {"question": "one two three", "pause": 0.5})
    said = musterctl("tail", str(task))
    for word in ("ONE", "TWO", "THREE"):
        assert word in said
