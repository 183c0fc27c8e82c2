"""Maps and nested flows, run by the daemon and shown by musterctl."""

import json
import os
import re
import time

import pytest

from support.daemon import ctl
from support.terminal import on_terminal
from support.wait import wait_until

FLOW = """
flow: nested
tasks:
  list:  {kind: list}
  pages: {kind: show, needs: [list], map: {from: list, max_running: 10},
          payload: {size: a4}}
  check:
    needs: [list]
    flow:
      on_failure: cancel
      tasks:
        list: {kind: noop}
        deep: {flow: {tasks: {x: {kind: noop}}}, needs: [list]}
  end:   {kind: noop, needs: [pages, check]}
"""
SHOW = "/bin/cat"


def shell(script, **more):
    return {"exec": ["/bin/sh", "-c", script], **more}


HANDLERS = {"noop": {"noop": True}, "show": {"exec": [SHOW]},
            "list": shell("echo '[1,2,3,4,5,6,7,8,9,10,11,12]'")}


@pytest.fixture
def flow_file(folder):
    def write(text=FLOW):
        path = os.path.join(folder, "flow.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path
    return write


def test_A5_H4_a_flow_file_with_a_map_and_flows_in_flows(
        db, daemon, musterctl, flow_file):
    daemon(handlers=HANDLERS)
    said = musterctl("run", flow_file())
    for name in ("list", "pages", "check", "check/list", "check/deep",
                 "check/deep/x", "end"):
        assert re.search(rf" \d+ {name} succeeded", said), said
    flow = db.one("SELECT min(id) FROM muster.flow")
    task = db.tasks(flow)["pages"]
    assert task.result == [{"item": n + 1, "index": n, "size": "a4"}
                           for n in range(12)]
    shown = musterctl("task", task.id)
    assert re.search(r"^map +\d+ +12 +0 +12", shown, re.M), shown
    document = json.loads(musterctl("task", task.id, "--json"))
    assert document["holds"][0]["succeeded"] == 12
    dot = musterctl("graph", "--flow", flow)
    assert 'label="check/deep/x", fillcolor=palegreen' in dot
    assert "peripheries=3" in dot and dot.count("shape=folder") == 2
    assert dot.count("->") == 7
    assert ctl("graph", flow_file()).count("->") == 7


def test_A5_H4_live_bar_of_a_map_and_subtree_of_a_flow(
        db, daemon, flow_file):
    config = daemon(handlers={**HANDLERS, "show": shell(
        "sleep 0.3; grep -q '\"item\": 3,' && exit 65; echo {}")})
    config.log.allow("failed")
    out, code = on_terminal(config.config_path, ["run", flow_file()])
    assert code == 1
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert re.search(r"[├└]─ . pages .*\d+ of 12", plain), plain
    assert re.search(r"12 of 12, 1 failed", plain), plain
    assert re.search(r"check/deep/x", plain)
    assert "░" in plain and "pages: 1 of 12 failed: [2]" in plain
    frames = re.split(r"\x1b\[\d+A\r\x1b\[J", plain)
    assert all(len(line) < 60 for frame in frames
               for line in frame.splitlines() if not line.startswith("flow"))


def test_A5_what_is_wrong_has_its_place(flow_file):
    done = ctl("graph", flow_file(
        "flow: x\ntasks:\n  a:\n    flow:\n      tasks:\n"
        "        b: {kind: k, map: {from: c}}\n"), code=None)
    assert done.returncode == 1
    assert re.search(r"flow.yaml:6:34: 'c' is not among the needs of 'b'",
                     done.stderr), done.stderr


def test_A5_run_refuses_a_kind_that_only_an_inner_flow_has(
        db, daemon, musterctl, flow_file):
    daemon()
    done = musterctl("run", flow_file(
        "flow: x\ntasks:\n  a: {flow: {tasks: {b: {kind: nobody}}}}\n"),
        code=None)
    assert done.returncode == 1 and "'nobody'" in done.stderr
    assert db.one("SELECT count(*) FROM muster.task") == 0


def test_F2_cancelling_a_container_ends_what_runs_in_it(
        db, daemon, musterctl):
    daemon(handlers={**HANDLERS, "nap": {"exec": ["/bin/sleep", "60"],
                                         "grace": "1s"}})
    flow = db.flow({
        "m": {"kind": "nap",
              "map": {"over": list(range(50)), "max_running": 5}},
        "f": {"flow": {"tasks": {"n": {"kind": "nap"}}}}})
    wait_until(lambda: db.one("SELECT count(*) FROM muster.task_status "
                              "WHERE kind = 'nap' AND state = 'running'")
               == 6, 15, "six naps")
    begin = time.monotonic()
    tasks = db.tasks(flow)
    said = musterctl("cancel", tasks["m"].id)
    assert "the tasks that it holds are cancelled" in said
    db.wait_state(tasks["m"].id, "cancelled")
    assert db.state(tasks["f"].id) == "running"
    musterctl("cancel", "--flow", flow)
    assert db.wait_flow(flow).state == "cancelled"
    assert time.monotonic() - begin < 15
    assert db.states() == {"cancelled": 8}


def test_G2_retry_of_a_map_by_musterctl(db, daemon, musterctl, folder):
    good = os.path.join(folder, "good")
    daemon(handlers={**HANDLERS, "show": shell(
        f"test -e {good} || ! grep -q '\"item\": 7,' || exit 65; echo 1")}
        ).log.allow("failed")
    flow = db.flow({"m": {"kind": "show", "map": [5, 6, 7, 8]}})
    db.wait_flow(flow)
    task = db.tasks(flow)["m"]
    assert "1 of 4 failed: [2]" in task.error
    with open(good, "w", encoding="utf-8"):
        pass
    musterctl("retry", task.id)
    assert db.wait_state(task.id).result == [1, 1, 1, 1]
    assert db.wait_flow(flow).state == "succeeded"


def test_A5_a_wide_map_ends_soon_after_its_last_item(
        db, daemon, is_long):
    """No polling in between: 2,000 items, 20 at a time, in chunks."""
    daemon(handlers=HANDLERS, workers=1, poll_interval="30s")
    count = 100000 if is_long else 2000
    flow = db.flow({"m": {"kind": "noop", "chunk": 5, "map": {
        "over": list(range(count)), "max_running": 20}}})
    db.wait_flow(flow, 600 if is_long else 20)
    task = db.tasks(flow)["m"]
    assert len(task.result) == count / 5
