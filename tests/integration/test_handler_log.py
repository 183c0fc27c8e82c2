"""What programs say as objects: level, task and fields in the log."""

import json
import os
import shutil

import pytest

SDK = os.path.join(os.path.dirname(__file__), "..", "..", "sdk")

PYTHON = """
import asyncio, logging, os, sys
sys.path.insert(0, %r)
import muster
log = logging.getLogger("app.sizes")

@muster.task("speak")
async def speak(payload):
    await asyncio.sleep(payload.get("s", 0))
    log.warning("no such\\nsize: %%d", payload["n"],
                extra={"size": payload["n"], "task": "forged"})

@muster.task("large")
def large(payload, ctx):
    if payload["as"] == "chunk":
        ctx.chunk("x" * payload["size"])
    return "x" * payload["size"]

muster.run(concurrency=8)
""" % os.path.join(SDK, "python")

NODE = """
const muster = require(%r);
muster.task('speak', async ({ n, s }, ctx) => {
  await new Promise((resolve) => setTimeout(resolve, (s ?? 0) * 1000));
  ctx.log(`no such\\nsize: ${n}`, 'warning',
    { size: n, task: 'forged', logger: 'app.sizes' });
});
muster.task('large', ({ as, size }, ctx) => {
  if (as === 'chunk') {
    ctx.chunk('x'.repeat(size));
  }
  return 'x'.repeat(size);
});
muster.run({ concurrency: 8 });
""" % os.path.join(SDK, "node", "muster.js")

LANGUAGES = {"python": ("/usr/bin/python3", PYTHON),
             "node": (shutil.which("node"), NODE)}


@pytest.fixture(params=LANGUAGES)
def program(request, folder):
    interpreter, text = LANGUAGES[request.param]
    path = os.path.join(folder, "tasks")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return [interpreter, path]


def said(musterd, task):
    return musterd.log.wait_for("no such", level="warning", task=task).fields


def test_I2_a_helpers_log_has_level_task_and_fields(db, daemon, program):
    musterd = daemon(workers=1, handlers={"speak": {
        "pool": program, "processes": 1}})
    musterd.log.allow("no such")
    task = db.enqueue("speak", {"n": 7})
    db.wait_done()
    found = said(musterd, task)
    assert found["message"] == "no such\nsize: 7"
    assert found["HANDLER_SIZE"] == "7"
    assert found["HANDLER_LOGGER"] == "app.sizes"
    assert found["HANDLER_TASK"] == "forged"
    assert (found["kind"], found["queue"], found["attempt"]) == (
        "speak", "default", 1)


def test_I2_each_of_several_at_a_time_is_named(db, daemon, program):
    musterd = daemon(workers=1, handlers={"speak": {
        "pool": program, "processes": 1}})
    musterd.log.allow("no such")
    tasks = db.enqueue_many("speak", [{"n": n, "s": 0.5} for n in range(8)])
    db.wait_done()
    for n, task in enumerate(tasks):
        assert said(musterd, task)["HANDLER_SIZE"] == str(n)


@pytest.mark.parametrize("way", ["result", "chunk"])
def test_A3_a_helper_sends_nothing_over_max_message(db, daemon, program, way):
    """The task fails and says why; its process lives on."""
    musterd = daemon(workers=1, max_message="16K", handlers={"large": {
        "pool": program, "processes": 1, "max_attempts": 1}})
    musterd.log.allow("failed")
    bad = db.enqueue("large", {"as": way, "size": 20000})
    assert "larger than max_message (16384 bytes)" in \
        db.wait_state(bad, "failed").error
    (process,) = musterd.handlers()
    fine = db.enqueue("large", {"as": way, "size": 16000})
    assert len(db.wait_state(fine).result) == 16000
    assert musterd.handlers() == [process]


def test_I2_an_exec_program_may_speak_in_objects(db, daemon):
    lines = [
        {"log": {"level": "notice", "message": "notice", "id": "1",
                 "size": 7}},
        {"log": {"level": 3, "message": "its last word"}}]
    script = "".join(f"echo '{json.dumps(one)}' >&2\n" for one in lines)
    musterd = daemon(workers=1, handlers={
        "speak": {"exec": ["/bin/sh", "-c", f"{script}exit 1"],
                  "max_attempts": 1}})
    musterd.log.allow("failed", "its last word")
    task = db.enqueue("speak")
    error = db.wait_state(task, "failed").error
    assert error == "exit status 1:\nnotice\nits last word"
    found = musterd.log.wait_for("notice", level="notice", task=task).fields
    assert found["message"] == "notice" and found["HANDLER_SIZE"] == "7"
    musterd.log.wait_for("its last word", level="error", task=task)
