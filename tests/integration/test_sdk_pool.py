"""Programs written with the helpers of sdk/, run by a pool."""

import os
import shutil

import pytest

from support import build
from support.wait import wait_until

SDK = os.path.join(os.path.dirname(__file__), "..", "..", "sdk")

PYTHON = """
import asyncio, sys, time
sys.path.insert(0, %r)
import muster

@muster.task("double")
def double(payload, ctx):
    ctx.progress(0.5, "half")
    return {"twice": payload["n"] * 2, "attempt": ctx.attempt}

@muster.task("ids")
def ids(payload, ctx):
    needed = ctx.inputs.get("first", {}).get("task")
    return [ctx.id, ctx.token, needed, payload]

@muster.task("nap")
async def nap(payload):
    await asyncio.sleep(payload["s"])
    return "slept"

@muster.task("fragile")
def fragile(payload):
    if payload == "for good":
        raise muster.Fail("never again")
    raise ValueError("once more")

muster.run(concurrency=8)
"""

NODE = """
const muster = require(%r);
muster.task('double', async (payload) => ({twice: payload.n * 2}));
muster.task('ids', async (payload, ctx) =>
  [ctx.id, ctx.token, ctx.inputs.first?.task ?? null, payload]);
muster.task('fragile', async (payload) => {
  throw new muster.Fail('never again');
});
muster.task('nap', async (payload) => 'slept');
muster.run({concurrency: 8});
"""

LANGUAGES = {
    "python": ("/usr/bin/python3", PYTHON % os.path.join(SDK, "python"),
               "tasks.py"),
    "node": (shutil.which("node"), NODE % os.path.join(SDK, "node", "muster.js"),
             "tasks.js"),
}


@pytest.fixture(params=LANGUAGES)
def program(request, folder):
    interpreter, text, name = LANGUAGES[request.param]
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return [interpreter, path]


def test_A3_tasks_of_a_helper_run_in_a_pool(db, daemon, program):
    handler = {"pool": program, "processes": 1}
    daemon(workers=1, handlers={"double": handler, "fragile": {
        **handler, "max_attempts": 1}}).log.allow("failed")
    tasks = db.enqueue_many("double", [{"n": n} for n in range(200)])
    bad = db.enqueue("fragile", "for good")
    assert "never again" in db.wait_state(bad, "failed").error
    assert db.wait_done()["succeeded"] == 200
    for n, task in enumerate(tasks):
        assert db.task(task).result["twice"] == 2 * n


def test_A3_ids_keep_all_their_bits(db, daemon, program):
    """As those of a table that has seen more than 2^53 tasks."""
    db.rows("SELECT setval('muster.task_id', %s)", 2 ** 62 + 1)
    daemon(workers=1, handlers={"ids": {"pool": program, "processes": 1}})
    flow = db.flow({"first": {"kind": "ids", "payload": 2 ** 53},
                    "then": {"kind": "ids", "needs": ["first"]}})
    db.wait_flow(flow)
    first, then = (db.tasks(flow)[name] for name in ("first", "then"))
    assert first.id > 2 ** 62 and first.result[0] == str(first.id)
    assert first.result[1].endswith(f"-{first.id}")
    assert first.result[3] == 2 ** 53
    assert then.result[2] == str(first.id)


def test_C3_async_tasks_share_a_process(db, daemon, folder):
    interpreter, text, name = LANGUAGES["python"]
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    musterd = daemon(workers=1, handlers={
        "nap": {"pool": [interpreter, path], "processes": 1}})
    tasks = [db.enqueue("nap", {"s": 60}) for _ in range(8)]
    wait_until(lambda: db.states().get("running") == 8, 20, "all run at once")
    for task in tasks:
        db.request("cancel", task)
    assert db.wait_done() == {"cancelled": 8}
    assert not musterd.log.find("killed")


def test_F1_memory_max_ends_a_process_of_a_pool(db, daemon, folder):
    path = os.path.join(folder, "tasks.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""
import sys, time
sys.path.insert(0, {os.path.join(SDK, "python")!r})
import muster
kept = []

@muster.task("eat")
def eat(payload):
    kept.append(b"x" * (payload["mb"] << 20))
    time.sleep(payload.get("s", 0))

muster.run()
""")
    patience = 4 if build.is_sanitized() else 1
    daemon(workers=1, handlers={"eat": {
        "pool": ["/usr/bin/python3", path], "memory_max": "100M",
        "max_attempts": 1}}).log.allow("eat", "memory_max", "failed")
    fat = db.enqueue("eat", {"mb": 200, "s": 60})
    error = db.wait_state(fat, "failed", limit=20 * patience).error
    assert "ended by memory_max (100M)" in error
    db.wait_state(db.enqueue("eat", {"mb": 1}))
