"""musterctl status, workers, queues, tasks, task, why."""

import json
import os

from support.daemon import ctl, write_config


def look(db, *words, user="reader", **more):
    return ctl(*words, "--database", db.conninfo(user), **more)


def as_json(db, *words, **more):
    return json.loads(look(db, *words, "--json", **more))


def test_H1_queues(db):
    db.enqueue_many("a", 3)
    db.enqueue("b", queue="reports", run_at="2100-01-01")
    assert {(row["queue"], row["kind"], row["ready"], row["scheduled"])
            for row in as_json(db, "queues")} == \
        {("default", "a", 3, 0), ("reports", "b", 0, 1)}
    lines = look(db, "queues").splitlines()
    assert lines[0].split()[:3] == ["QUEUE", "KIND", "READY"]
    assert lines[1].split()[:3] == ["default", "a", "3"]


def test_tasks_and_filters(db):
    first = db.enqueue_many("a", 60)
    other = db.enqueue("b", queue="reports", priority=5)
    assert len(as_json(db, "tasks")) == 50
    assert len(as_json(db, "tasks", "--limit", "1000")) == 61
    assert as_json(db, "tasks", "--limit", "0") == []
    assert [row["id"] for row in as_json(db, "tasks", "-q", "reports")] == \
        [str(other)]
    assert len(as_json(db, "tasks", "-k", "a", "-s", "ready", "-n", "99")) == 60
    assert as_json(db, "tasks", "--state", "failed") == []
    assert look(db, "tasks", "--state", "failed") == "no such task\n"
    row = as_json(db, "tasks", "--queue", "reports")[0]
    assert row["priority"] == 5 and row["state"] == "ready"
    assert row["created_at"].endswith("Z") and row["finished_at"] is None
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "a", "needs": ["x"]}})
    rows = as_json(db, "tasks", "--flow", flow)
    assert {row["name"]: row["state"] for row in rows} == \
        {"x": "ready", "y": "blocked"}
    assert as_json(db, "tasks", "--queue", "'; DROP TABLE muster.task --") == []
    assert first[0] == 1


def test_G1_task_shows_attempts_needs_and_result(db, daemon):
    one = daemon(handlers={
        "ok": {"exec": ["/bin/echo", '{"pages": 0.10}']},
        "flaky": {"exec": ["/bin/sh", "-c",
                           'echo "try $MUSTER_ATTEMPT" >&2; '
                           'test "$MUSTER_ATTEMPT" -gt 1'],
                  "backoff": {"first": "10ms"}}})
    one.log.allow("attempt")
    first = db.enqueue("ok")
    task = db.enqueue("flaky", {"digits": 1}, depends_on=[first])
    db.wait_state(task)
    shown = as_json(db, "task", task)
    assert shown["task"]["state"] == "succeeded"
    assert shown["task"]["payload"] == {"digits": 1}
    assert shown["task"]["attempt"] == 2
    assert [row["attempt"] for row in shown["attempts"]] == [1]
    assert "try 1" in shown["attempts"][0]["error"]
    assert shown["needs"] == [{"task": str(first), "name": "ok",
                               "needs_when": "succeeded",
                               "state": "succeeded"}]
    assert look(db, "task", task).count("try 1") == 1
    text = look(db, "task", first)
    assert '{"pages": 0.10}' in text
    assert "try 1" in look(db, "task", task)


def test_task_that_is_not_there(db):
    for verb in ("task", "why"):
        done = look(db, verb, "7", code=None, user="musterd")
        assert done.returncode == 1
        assert "there is no task 7" in done.stderr


def test_control_characters_are_escaped(db):
    task = db.enqueue("a")
    db.rows("UPDATE muster.task SET error = E'red \\x1b[31m\\n\\u009b2J', "
            "state = 'f', finished_at = now() WHERE id = %s", task)
    db.rows("DELETE FROM muster.ready")
    for words in (["tasks"], ["task", task]):
        text = look(db, *words)
        assert "red \\x1b[31m" in text and "\\x9b2J" in text
        assert "\x1b" not in text and "\x9b" not in text
    assert as_json(db, "tasks")[0]["error"] == "red \x1b[31m\n\x9b2J"


def test_H3_why_down_to_the_root_cause(db):
    root = db.enqueue("a", run_at="2100-01-01")
    flow = db.flow({"x": {"kind": "a", "run_at": "2100-01-01T00:00:00Z"},
                    "y": {"kind": "a", "needs": ["x"]},
                    "z": {"kind": "a", "needs": ["y"]}})
    last = db.tasks(flow)["z"].id
    rows = as_json(db, "why", last, user="musterd")
    assert [row["depth"] for row in rows] == [0, 1, 2]
    assert rows[-1]["task_id"] == str(db.tasks(flow)["x"].id)
    assert "2100" in rows[-1]["reason"]
    lines = look(db, "why", last, user="musterd").splitlines()
    assert lines[1].startswith("  ↳ ") and lines[2].startswith("    ↳ ")
    assert as_json(db, "why", root, user="musterd")


def test_E2_status_and_workers(db, daemon, musterctl):
    one = daemon(workers=2, handlers={"nap": {"exec": ["/bin/sleep", "2"]}})
    task = db.enqueue("nap")
    db.wait_state(task, "running")
    status = json.loads(musterctl("status", "--json"))
    assert status["daemon"]["state"] == "running"
    assert status["daemon"]["pid"] == one.pid
    assert len(status["daemon"]["workers"]) == 2
    assert status["database"]["workers"] == 2
    assert status["database"]["running"] == 1
    text = musterctl("status")
    assert "musterd" in text and "SLOT" in text and "scheduler" in text
    workers = json.loads(musterctl("workers", "--json"))
    assert len(workers) == 2
    assert all(row["kinds"] == ["nap"] and row["queues"] == ["default"]
               for row in workers)
    assert sum(row["running"] for row in workers) == 1
    assert "nap" in musterctl("workers")
    db.wait_state(task)


def test_status_without_a_daemon(db, folder):
    path = os.path.join(folder, "c.yaml")
    write_config(path, {"database": db.conninfo(), "runtime_dir": folder})
    done = ctl("status", config=path, code=None)
    assert done.returncode == 75
    assert "musterd is not running" in done.stderr
    assert "schema" in done.stdout
    shown = json.loads(ctl("status", "--json", config=path, code=75))
    assert shown["daemon"] is None and shown["database"]["ready"] == 0


def test_status_without_a_database(db, daemon, musterctl, own_postgres):
    one = daemon()
    one.log.allow("PostgreSQL", "database", "connection")
    own_postgres.stop("immediate")
    done = musterctl("status", code=None)
    assert done.returncode == 75
    assert "SLOT" in done.stdout
    own_postgres.start()
    one.wait_running()
