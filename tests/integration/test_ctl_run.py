"""musterctl run, graph and tail: flow files from submission to the end."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
from support import build
from support.daemon import ctl
from support.terminal import on_terminal
from support.wait import wait_until

FLOW = """
flow: nightly
tasks:
  extract: {kind: noop}
  clean:   {kind: noop, needs: [extract]}
  report:  {kind: noop, needs: [clean, {task: extract, when: finished}]}
"""

NAPS = """
flow: long
tasks:
  first: {kind: nap}
  second: {kind: noop, needs: [first]}
"""


@pytest.fixture
def flow_file(folder):
    def write(text):
        path = os.path.join(folder, "flow.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path
    return write


def nap(seconds):
    return {"exec": ["/bin/sleep", str(seconds)], "grace": "1s"}


def test_A1_run_to_success(db, daemon, musterctl, flow_file):
    daemon()
    said = musterctl("run", flow_file(FLOW))
    lines = said.splitlines()
    assert re.fullmatch(r"flow \d+: nightly, 3 tasks", lines[0])
    assert re.fullmatch(r"flow \d+ succeeded after \S+: 3 succeeded",
                        lines[-1])
    assert re.search(r" \d+ report succeeded", said)
    assert "\x1b" not in said


def test_A4_run_to_failure(db, daemon, musterctl, flow_file):
    daemon(handlers={"bad": {"exec": [
        "/bin/sh", "-c", "printf 'no \\033[31mluck' >&2; exit 65"]},
        "noop": {"noop": True}}).log.allow("failed")
    done = musterctl("run", flow_file(
        "flow: x\non_failure: cancel\ntasks:\n  a: {kind: bad}\n"
        "  b: {kind: noop, needs: [a]}\n"), code=None)
    assert done.returncode == 1
    assert re.search(r" a failed.*no \\x1b\[31mluck", done.stdout)
    assert "failed" in done.stdout.splitlines()[-1]
    assert "\x1b" not in done.stdout


def test_run_json_lines(db, daemon, musterctl, flow_file):
    daemon()
    lines = [json.loads(line) for line in musterctl(
        "run", "--json", flow_file(FLOW)).splitlines()]
    assert lines[-1]["state"] == "succeeded" and lines[-1]["succeeded"] == 3
    done = {line["name"] for line in lines[:-1]
            if line["state"] == "succeeded"}
    assert done == {"extract", "clean", "report"}
    assert all(isinstance(line["task"], str) for line in lines[:-1])


def test_run_detached_and_tail(db, daemon, musterctl, flow_file):
    daemon()
    flow = int(musterctl("run", "--detach", flow_file(FLOW)))
    said = musterctl("tail", "--flow", flow)
    assert f"flow {flow} succeeded" in said.splitlines()[-1]
    task = db.tasks(flow)["clean"].id
    assert f"{task} clean succeeded" in musterctl("tail", task)
    other = json.loads(musterctl("run", "-d", "--json", flow_file(FLOW)))
    assert int(other["flow"]) == flow + 1
    assert db.wait_flow(flow + 1).state == "succeeded"


def test_tail_of_what_is_not_there(db):
    for words in (["tail", "7"], ["tail", "--flow", "7"]):
        done = ctl(*words, "--database", db.conninfo(), code=None)
        assert done.returncode == 1
        assert "there is no" in done.stderr


def start(words, config, **more):
    return subprocess.Popen(
        [build.path("musterctl"), "-c", config, *words],
        stdin=subprocess.DEVNULL, text=True, env=build.environment(), **more)


def test_F2_interrupt_cancels_the_flow(db, daemon, flow_file):
    config = daemon(
        handlers={"nap": nap(60), "noop": {"noop": True}}).config_path
    process = start(["run", flow_file(NAPS)], config, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE)
    wait_until(lambda: db.states()["running"] == 1, 15, "first runs")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "cancelling flow" in err
    assert re.search(r"flow \d+ cancelled", out)
    assert db.states() == {"cancelled": 2}


def test_F2_second_interrupt_ends_it_at_once(db, flow_file):
    """Nobody carries the cancellation out: it would be waited for."""
    process = subprocess.Popen(
        [build.path("musterctl"), "--database", db.conninfo(), "run",
         "--no-check", flow_file(NAPS)], stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=build.environment())
    wait_until(lambda: db.states()["ready"] == 1, 15, "it is submitted")
    process.send_signal(signal.SIGTERM)
    assert "cancelling flow" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 130


@pytest.mark.parametrize("text, place, words", [
    ("flow: x\ntasks:\n  a: {kind: noop, needs: [b]}\n"
     "  b: {kind: noop, needs: [a]}\n", "3:3", "circle: a → b → a"),
    ("flow: x\ntasks:\n  a: {kind: noop, needs: [gone]}\n", "3:27",
     "needs 'gone'"),
    ("flow: x\ntasks:\n  a: {kind: noop}\n  a: {kind: noop}\n", "4:3",
     "duplicate key 'a'"),
    ("flow: x\ntasks:\n  a: {knd: noop}\n", "3:7", "did you mean 'kind'?"),
    ("flow: x\ntasks:\n  a: {kind: noup}\n", "3:13",
     "did you mean 'noop'?"),
    ("flow: x\ntasks:\n  a: {kind: noop, queue: q}\n", "3:13",
     "from queue 'q'"),
    ("flow: \"x\ntasks: 1\n", "3:1", "unexpected end"),
])
def test_wrong_flow_is_refused_before_it_is_stored(
        db, daemon, musterctl, flow_file, text, place, words):
    daemon()
    path = flow_file(text)
    done = musterctl("run", path, code=None)
    assert done.returncode == 1
    assert f"{path}:{place}: " in done.stderr, done.stderr
    assert words in done.stderr
    assert db.rows("SELECT 1 FROM muster.flow") == []


def test_run_without_a_worker(db, flow_file):
    done = ctl("run", flow_file(FLOW), "--database", db.conninfo(), code=None)
    assert done.returncode == 1
    assert "no worker is alive" in done.stderr
    assert db.rows("SELECT 1 FROM muster.flow") == []
    flow = int(ctl("run", "-d", "--no-check", flow_file(FLOW), "--database",
                   db.conninfo()))
    assert db.flow_status(flow).total == 3


def test_payload_digits_survive(db, flow_file):
    ctl("run", "-d", "--no-check", "-", "--database", db.conninfo(),
        input="flow: x\ntasks:\n  a: {kind: k, payload: {n: "
        "12345678901234567890, d: 0.10, e: 1e400, s: '0.10', o: 0777}}\n")
    text = db.one("SELECT payload::text FROM muster.task_status")
    assert '"n": 12345678901234567890' in text
    assert '"d": 0.10' in text and '"s": "0.10"' in text
    assert '"o": "0777"' in text and "1" + "0" * 400 in text


@pytest.mark.plain
def test_flow_of_100000_tasks(db, flow_file, patience):
    lines = ["flow: wide", "tasks:", "  t0: {kind: k}"]
    lines += [f"  t{i}: {{kind: k, needs: [t{i // 10}]}}"
              for i in range(1, 100000)]
    lines[3] = "  t1: {kind: k, needs: [t0]}"
    begin = time.monotonic()
    flow = int(ctl("run", "-d", "--no-check", "-", "--database",
                   db.conninfo(), input="\n".join(lines) + "\n",
                   limit=120 * patience))
    assert time.monotonic() - begin < 60 * patience
    assert db.flow_status(flow).total == 100000


def test_F1_database_restart_is_waited_out(own_postgres, db, daemon,
                                           musterctl, flow_file):
    one = daemon(handlers={"nap": nap(3), "noop": {"noop": True}})
    one.log.allow("connection", "PostgreSQL", "database")
    process = start(["run", flow_file(NAPS)], one.config_path,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: db.states()["running"] == 1, 15, "first runs")
    own_postgres.restart()
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, out + err
    assert "succeeded" in out.splitlines()[-1]


def test_H4_live_tree(db, daemon, flow_file):
    config = daemon(handlers={"nap": nap(1), "noop": {"noop": True}}
                    ).config_path
    text = ("flow: x\ntasks:\n  start: {kind: nap}\n"
            "  left: {kind: noop, needs: [start]}\n"
            "  right: {kind: noop, needs: [start]}\n"
            "  join: {kind: noop, needs: [left, right]}\n")
    out, code = on_terminal(config, ["run", flow_file(text)])
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert "▶ start" in plain and "├─ · left waits for start" in plain
    assert "└─ · join waits for left, right" in plain
    assert "0 of 4" in plain and "4 of 4" in plain
    assert "\x1b[32m✔ start" in out
    assert re.search(r"flow \d+ succeeded", plain)
    frames = re.split(r"\x1b\[\d+A\r\x1b\[J", plain)
    assert len(frames) > 3
    assert all(len(line) < 60 for frame in frames
               for line in frame.splitlines())


def test_H4_live_tree_without_colours(db, daemon, flow_file):
    config = daemon().config_path
    out, code = on_terminal(config, ["run", flow_file(FLOW)],
                            {"NO_COLOR": "1"})
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*m", out)


def test_H4_graph(db, daemon, musterctl, flow_file):
    path = flow_file(FLOW)
    dot = ctl("graph", path)
    assert dot.startswith('digraph "nightly" {')
    assert '"extract" -> "clean";' in dot
    assert '"extract" -> "report" [label="finished", style=dashed];' in dot
    document = json.loads(ctl("graph", "--json", path))
    flow = db.one("SELECT muster.submit_flow(%s)", json.dumps(document))
    daemon()
    db.wait_flow(flow)
    dot = musterctl("graph", "--flow", flow)
    assert 'label="clean", fillcolor=palegreen' in dot
    assert dot.count("->") == 3
    stored = json.loads(musterctl("graph", "--flow", flow, "--json"))
    assert sorted(task["name"] for task in stored["tasks"]) == \
        ["clean", "extract", "report"]
    assert len(stored["needs"]) == 3
    assert musterctl("graph", "--flow", "999", code=None).returncode == 1


def test_graph_of_hostile_names(flow_file):
    dot = ctl("graph", flow_file(
        'flow: "a\\"b"\ntasks:\n  "x\\"; y\\\\\\e[0m": {kind: k}\n'))
    assert dot.splitlines()[0] == 'digraph "a\\"b" {'
    assert '\t"x\\"; y\\\\\\\\x1b[0m";' in dot.splitlines()
