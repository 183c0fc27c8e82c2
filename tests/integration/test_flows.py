"""Flows by musterctl and the daemon: how many needs are wanted, retry of a
flow, deletion, what a task adds to its own flow."""

import json
import os

from support.wait import wait_until

FLOW = """
flow: mirrors
tasks:
  one:   {kind: bad}
  two:   {kind: noop}
  three: {kind: noop, needs: [one]}
  first: {kind: noop, needs: [one, two], needs_mode: any}
  both:  {kind: noop, needs: [one, two], needs_mode: {at_least: 2}}
"""


def test_A2_needs_mode_and_retry_of_a_flow_file(db, daemon, musterctl, folder):
    mark = os.path.join(folder, "mark")
    daemon(handlers={
        "bad": {"exec": ["/bin/sh", "-c", f"test -e {mark}"],
                "max_attempts": 1},
        "noop": {"noop": True}}).log.allow("failed")
    path = os.path.join(folder, "flow.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(FLOW)
    assert '"both" [label="both\\n2 of 2"];' in musterctl("graph", path)
    musterctl("run", path, code=1)
    flow = db.one("SELECT id FROM muster.flow")
    assert {name: row.state for name, row in db.tasks(flow).items()} == {
        "one": "failed", "two": "succeeded", "three": "skipped",
        "first": "succeeded", "both": "skipped"}
    dot = musterctl("graph", "--flow", flow)
    assert '[label="first\\n1 of 2", fillcolor=palegreen]' in dot
    open(mark, "w", encoding="utf-8").close()
    assert "3 tasks" in musterctl("retry", "--flow", flow)
    wait_until(lambda: db.flow_status(flow).state == "succeeded", 15,
               "the flow has succeeded")
    assert db.states() == {"succeeded": 5}
    assert musterctl("retry", "--flow", flow, code=1)


def test_A2_deleting_a_need_lets_nobody_hang(db, daemon, musterctl):
    daemon(handlers={"noop": {"noop": True}})
    need = db.enqueue("unknown")
    gather = db.enqueue("noop", depends_on=[need], depends_when="finished")
    assert musterctl("delete", need) == f"task {need} is deleted\n"
    db.wait_state(gather)
    assert json.loads(db.one("SELECT muster.inputs(%s)", gather)) == {
        str(need): {"task": str(need), "state": "deleted", "result": None}}
    assert musterctl("delete", need, code=1)
