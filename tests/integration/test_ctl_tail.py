"""musterctl tail and task: what running tasks tell, as it comes."""

import json
import os
import pty
import signal
import subprocess
import threading
import time

import pytest

from support import build, processes
from support.teller import teller
from support.wait import wait_until


class Tail:
    """musterctl tail in the background; `lines` with the time of each."""

    def __init__(self, config, *words, terminal=False):
        self.lines = []
        self.begin = time.monotonic()
        out = subprocess.PIPE
        if terminal:
            self.master, out = pty.openpty()
        self.process = subprocess.Popen(
            [build.path("musterctl"), "-c", config, "tail",
             *map(str, words)], stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.PIPE, text=True, cwd="/",
            env={**build.environment(), "LC_ALL": "C.UTF-8"},
            preexec_fn=processes.die_with_parent(signal.SIGKILL))
        if terminal:
            os.close(out)
            self.file = os.fdopen(self.master, "r", encoding="utf-8",
                                  newline="")
        else:
            self.file = self.process.stdout
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for line in self.file:
                self.lines.append((time.time(), line.rstrip("\r\n")))
        except OSError:
            pass  # a terminal whose other end is closed

    def text(self):
        return "\n".join(line for _, line in self.lines)

    def wait_for(self, part, limit=15):
        wait_until(lambda: part in self.text(), limit,
                   f"tail says {part}: {self.text()}")

    def wait_exit(self, limit=20):
        code = self.process.wait(limit)
        self.thread.join(5)
        return code

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        self.thread.join(5)


@pytest.fixture
def tail(daemon):
    made = []

    def start(*words, **more):
        made.append(Tail(daemon.made[0].config_path, *words, **more))
        return made[-1]
    yield start
    for each in made:
        each.end()


def gate(script, folder, **more):
    made = teller('go() { while [ ! -e "$0" ]; do sleep 0.02; done; }\n'
                  + script, **more)
    made["exec"].append(os.path.join(folder, "gate"))
    return made


def open_gate(folder):
    with open(os.path.join(folder, "gate"), "w", encoding="utf-8"):
        pass


def test_D4_tail_shows_what_a_task_tells(db, daemon, folder, tail):
    daemon(handlers={"scan": gate(
        'progress 0.25 "page 1 of 4"; go; chunk \'{"n": 0.10}\';'
        'chunk \'"a line\\n"\'; progress 1 done', folder)})
    task = db.enqueue("scan", queue="default")
    seen = tail(task)
    seen.wait_for("25%  page 1 of 4")
    open_gate(folder)
    assert seen.wait_exit() == 0
    words = [line.split(" ", 3)[3:] or [line] for _, line in seen.lines]
    said = [line.split(f" {task} scan ")[1] for _, line in seen.lines]
    assert said[0] == "running" or said[1] == "running", words
    assert "25%  page 1 of 4" in said
    assert said.index('| {"n": 0.10}') + 1 == said.index("| a line\\n")
    assert "100%  done" in said
    assert said[-1].startswith("succeeded after ")


def test_D4_tail_comes_late_and_sees_the_last_progress(
        db, daemon, folder, tail, musterctl):
    daemon(handlers={"scan": gate("progress 0.4 so-far; go", folder)})
    task = db.enqueue("scan")
    wait_until(lambda: "so-far" in musterctl("task", task), 10)
    assert "progress  40%  so-far  (" in musterctl("task", task)
    shown = json.loads(musterctl("task", task, "--json"))["task"]["progress"]
    assert shown["fraction"] == 0.4 and shown["note"] == "so-far"
    seen = tail(task)
    seen.wait_for("40%  so-far", 5)
    open_gate(folder)
    assert seen.wait_exit() == 0
    assert "so-far" not in musterctl("task", task)
    assert json.loads(
        musterctl("task", task, "--json"))["task"]["progress"] is None


def test_D4_tail_json_is_one_object_a_line(db, daemon, folder, tail):
    daemon(handlers={"scan": gate(
        "go; progress 0.5 half;"
        "chunk '{\"n\":  12345678901234567890, \"x\": [0.10, 1e400]}';"
        "chunk '\"\\u001b[31m\u009b\x7f\"'; exit 65", folder)})
    daemon.made[0].log.allow("failed, attempt")
    task = db.enqueue("scan")
    seen = tail(task, "--json")
    seen.wait_for("running")
    time.sleep(0.1)
    open_gate(folder)
    assert seen.wait_exit() == 1
    found = [json.loads(line) for _, line in seen.lines]
    assert all(each["task"] == str(task) for each in found)
    assert [each["progress"] for each in found if "progress" in each] == \
        [{"fraction": 0.5, "note": "half"}]
    assert '"chunk":{"n":  12345678901234567890, "x": [0.10, 1e400]}' \
        in seen.text(), "numbers as they were written"
    assert "\x1b[31m\u009b\x7f" in [each.get("chunk") for each in found]
    assert found[-1]["state"] == "failed"
    assert "\u009b" not in seen.text() and "\x7f" not in seen.text()


def test_D4_tail_of_a_flow_shows_all_its_tasks(db, daemon, folder, tail):
    daemon(handlers={"part": gate("go; progress 0.5 $MUSTER_TASK; chunk 1",
                                  folder)})
    flow = db.flow({"a": {"kind": "part"}, "b": {"kind": "part"},
                    "c": {"kind": "part", "needs": ["a", "b"]}})
    seen = tail("--flow", flow)
    seen.wait_for("running")
    time.sleep(0.3)
    open_gate(folder)
    assert seen.wait_exit() == 0
    for row in db.tasks(flow).values():
        assert f" {row.id} {row.name} 50%  {row.id}" in seen.text()
        assert f" {row.id} {row.name} | 1" in seen.text()
    assert f"flow {flow} succeeded" in seen.lines[-1][1]


def test_control_characters_do_not_reach_a_terminal(
        db, daemon, folder, tail):
    daemon(handlers={"evil": gate(
        "go; progress 0.5 '\\u001b]0;owned\\u0007\\u009b2J';"
        "chunk '\"\\u001b[2J\"'; chunk '{\"k\\u001b\": \"\u009b1m\"}'",
        folder)})
    task = db.enqueue("evil")
    seen = tail(task, terminal=True)
    seen.wait_for("running")
    time.sleep(0.1)
    open_gate(folder)
    seen.wait_for("succeeded")
    evil = [line for _, line in seen.lines if "50%" in line or "| " in line]
    assert len(evil) == 3
    for line in evil:
        assert not any(ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0
                       for c in line), repr(line)
    assert "\\x1b]0;owned\\x07\\x9b2J" in seen.text()


def test_D4_tail_survives_a_restart_of_redis(
        db, own_redis, daemon, folder, tail):
    host = daemon(handlers={"scan": gate(
        "progress 0.1 before; go; progress 0.2 after; sleep 0.2; chunk 3",
        folder)})
    host.log.allow("redis")
    task = db.enqueue("scan")
    seen = tail(task)
    seen.wait_for("before")
    own_redis.restart()
    wait_until(lambda: own_redis.command(
        "PUBSUB", "NUMSUB", f"muster:{db.name}:task:{task}")[1], 10,
        "tail is back")
    open_gate(folder)
    assert seen.wait_exit() == 0
    assert "redis is away: " in seen.process.stderr.read()
    assert "after" in seen.text() and "| 3" in seen.text()


def test_F1_a_frozen_redis_delays_nobody_for_long(
        db, own_redis, daemon, folder, musterctl):
    host = daemon(handlers={"scan": gate("progress 0.1 x; go", folder)})
    host.log.allow("redis")
    task = db.enqueue("scan")
    wait_until(lambda: "10%" in musterctl("task", task), 10)
    own_redis.freeze()
    begin = time.monotonic()
    assert "running" in musterctl("task", task)
    assert time.monotonic() - begin < 8
    open_gate(folder)
    assert "succeeded" in musterctl("tail", task)
    assert time.monotonic() - begin < 15
    own_redis.thaw()


def test_tail_without_redis_shows_states(db, daemon, tail):
    daemon(redis=None, handlers={"scan": teller("progress 0.5 x; sleep 0.3")})
    task = db.enqueue("scan")
    seen = tail(task)
    assert seen.wait_exit() == 0
    assert "succeeded" in seen.text() and "50%" not in seen.text()


def test_a_slow_terminal_holds_up_nobody(db, daemon, tail, folder):
    """Twelve megabytes for someone who does not read."""
    host = daemon(workers=1, handlers={"flood": gate(
        "go; x=$(head -c 3500 /dev/zero | tr '\\0' x); i=0;"
        "while [ $i -lt 3500 ]; do i=$((i+1)); chunk \"\\\"$x\\\"\"; done",
        folder)})
    task = db.enqueue("flood")
    seen = tail(task)
    seen.wait_for("running")
    time.sleep(0.2)
    seen.process.send_signal(signal.SIGSTOP)
    open_gate(folder)
    row = db.wait_state(task, limit=30)
    assert row.ran_ms < 20000
    assert host.total("streamed") + host.total("stream_dropped") == 3501
    seen.process.send_signal(signal.SIGCONT)
    assert seen.wait_exit(30) == 0


def test_interrupting_tail_leaves_the_task(db, daemon, folder, tail):
    daemon(handlers={"scan": gate("progress 0.5 half; go", folder)})
    task = db.enqueue("scan")
    seen = tail(task)
    seen.wait_for("half")
    begin = time.monotonic()
    seen.process.send_signal(signal.SIGINT)
    assert seen.wait_exit() == 130
    assert time.monotonic() - begin < 2
    assert db.state(task) == "running"
    open_gate(folder)
    db.wait_state(task)


def test_D4_end_to_end_is_quick(db, daemon, tail, folder, patience):
    """From the program's write to tail's line."""
    daemon(workers=1, handlers={"scan": gate(
        "go; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do"
        " chunk $(date +%s.%N); sleep 0.02; done", folder)})
    task = db.enqueue("scan")
    seen = tail(task, "--json")
    seen.wait_for("running")
    time.sleep(0.2)
    open_gate(folder)
    assert seen.wait_exit() == 0
    delays = sorted(at - json.loads(line)["chunk"]
                    for at, line in seen.lines if '"chunk"' in line)
    assert len(delays) == 20
    print(delays)
    assert delays[10] < 0.05 * patience and delays[-1] < 0.5 * patience
