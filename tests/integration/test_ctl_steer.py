"""musterctl cancel, retry, pause, resume, and what goes over the socket."""

import json
import os
import threading

import pytest
from support.daemon import ctl, write_config
from support.wait import wait_until


def test_F2_cancel_a_task(db, daemon, musterctl):
    daemon(handlers={"nap": {"exec": ["/bin/sleep", "60"], "grace": "1s"}})
    running = db.enqueue("nap")
    later = db.enqueue("nap", run_at="2100-01-01")
    db.wait_state(running, "running")
    assert musterctl("cancel", later) == f"task {later} is cancelled\n"
    assert "its worker was told" in musterctl("cancel", running)
    db.wait_state(running, "cancelled")
    done = musterctl("cancel", later, code=None)
    assert done.returncode == 1 and "had ended: cancelled" in done.stdout
    answer = json.loads(musterctl("cancel", "999", "--json", code=1))
    assert answer[0]["done"] and "there is no task 999" in answer[0]["answer"]
    assert answer[0]["verdict"] == "refused"


def test_refusal_is_told_by_the_verdict_not_by_words(db, daemon, musterctl):
    daemon()
    db.rows("""CREATE OR REPLACE FUNCTION muster.answer(
        p_request bigint, p_verdict text, p_answer text) RETURNS int
        LANGUAGE plpgsql AS $$ BEGIN UPDATE muster.request SET answer = 'so',
        done_at = now(), verdict = p_verdict WHERE id = p_request;
        RETURN 1; END $$""")
    assert musterctl("cancel", "999", code=1) == "so\n"
    assert musterctl("pause", "default") == "so\n"


def test_F2_cancel_a_flow(db, daemon, musterctl):
    daemon(handlers={"nap": {"exec": ["/bin/sleep", "60"], "grace": "1s"}})
    flow = db.flow({"a": {"kind": "nap"}, "b": {"kind": "nap",
                                                "needs": ["a"]}})
    wait_until(lambda: db.states()["running"] == 1, 15, "a runs")
    assert f"flow {flow}: " in musterctl("cancel", "--flow", flow)
    assert db.wait_flow(flow).state == "cancelled"


def test_G2_retry_by_id_and_by_filter(db, daemon, musterctl, folder):
    mark = os.path.join(folder, "mark")
    handler = {"exec": ["/bin/sh", "-c", f"test -e {mark}"],
               "max_attempts": 1}
    daemon(handlers={"a": handler, "b": handler}).log.allow("failed")
    first, second = db.enqueue("a"), db.enqueue("a")
    other = db.enqueue("b")
    flow = db.flow({"x": {"kind": "b"}, "y": {"kind": "b", "needs": ["x"]}})
    db.wait_done()
    assert db.states() == {"failed": 4, "skipped": 1}
    open(mark, "w", encoding="utf-8").close()
    assert musterctl("retry", first) == f"task {first} runs again\n"
    db.wait_state(first)
    assert musterctl("retry", first, code=None).returncode == 1
    assert musterctl("retry", "--failed", "--kind", "a") == \
        "1 task runs again\n"
    db.wait_state(second)
    assert db.state(other) == "failed"
    musterctl("retry", "--flow", flow)
    wait_until(lambda: db.flow_status(flow).state == "succeeded", 15,
               "the flow has succeeded at last")
    assert len(json.loads(musterctl("retry", "--failed", "--json"))) == 1
    db.wait_done()
    assert db.states() == {"succeeded": 5}
    assert musterctl("retry", "--failed") == "no such task\n"


def test_A4_retry_of_a_flow_that_a_failure_stopped(db, daemon, musterctl,
                                                   folder):
    mark = os.path.join(folder, "mark")
    daemon(handlers={
        "bad": {"exec": ["/bin/sh", "-c", f"test -e {mark}"],
                "max_attempts": 1},
        "nap": {"exec": ["/bin/sh", "-c", f"test -e {mark} || sleep 60"],
                "grace": "1s"},
        "noop": {"noop": True}}).log.allow("failed")
    flow = db.flow({"beside": {"kind": "nap"},
                    "first": {"kind": "noop"},
                    "bad": {"kind": "bad", "needs": ["first"]},
                    "after": {"kind": "noop", "needs": ["bad", "beside"]}},
                   on_failure="cancel")
    assert db.wait_flow(flow).state == "failed"
    open(mark, "w", encoding="utf-8").close()
    musterctl("retry", "--flow", flow)
    wait_until(lambda: db.flow_status(flow).state == "succeeded", 20,
               "the flow has succeeded at last")
    assert db.states() == {"succeeded": 4}


def test_pause_and_resume(db, daemon, musterctl):
    daemon()
    assert "is paused" in musterctl("pause", "default")
    task = db.enqueue("noop")
    assert json.loads(musterctl("queues", "--json"))[0]["paused"] is True
    assert "paused" in musterctl("why", task)
    assert db.state(task) == "ready"
    assert "goes on" in musterctl("resume", "default")
    db.wait_state(task)


def test_requests_without_a_scheduler(db):
    done = ctl("pause", "default", "--no-wait", "--database", db.conninfo())
    assert done == "queue default: requested\n"
    done = ctl("cancel", "1", "--database", db.conninfo(), code=None,
               limit=60)
    assert done.returncode == 75
    assert "no scheduler answered" in done.stderr


def test_requests_as_an_application(db, daemon):
    daemon()
    task = db.enqueue("noop", run_at="2100-01-01")
    ctl("cancel", task, "--database", db.conninfo("app"))
    assert db.state(task) == "cancelled"


# Over the control socket.

def test_I1_reload_waits_for_the_verdict(db, daemon, musterctl):
    one = daemon()
    one.write(handlers={"noop": {"noop": True}, "more": {"noop": True}})
    musterctl("reload")
    task = db.enqueue("more")
    db.wait_state(task)


def test_I1_reload_of_a_wrong_file(daemon, musterctl):
    """The daemon is asked, though musterctl can't read the file either: it
    must say what is wrong, here and in its log and status."""
    one = daemon()
    one.log.allow("refused", "unknown key")
    one.write(watchdoc="3s")
    with open(one.config_path, encoding="utf-8") as file:
        line = file.read().split("watchdoc")[0].count("\n") + 1
    done = musterctl("reload", code=None)
    assert done.returncode == 1
    assert f"{one.config_path}:{line}:1: " in done.stderr
    assert "watchdog" in done.stderr
    answer = json.loads(musterctl("reload", "--json", code=1))
    assert answer["ok"] is False and "watchdoc" in answer["error"]
    assert one.log.find("watchdoc")
    done = musterctl("status", code=None)
    assert done.returncode == 78
    assert "refused" in done.stdout and "watchdoc" in done.stdout
    one.write(watchdoc=None)
    musterctl("reload")
    assert "refused" not in musterctl("status")


def test_I1_reload_of_no_yaml_at_all(daemon, musterctl):
    one = daemon()
    one.log.allow("refused", "expected")
    one.write_raw(f"runtime_dir: '{one.runtime_dir}'\nworkers: [1\n")
    done = musterctl("reload", code=None)
    assert done.returncode == 1
    assert f"{one.config_path}:" in done.stderr
    one.write_raw("workers: [1\n")
    done = musterctl("reload", code=None,
                     environment={"RUNTIME_DIRECTORY": one.runtime_dir})
    assert done.returncode == 1
    assert f"{one.config_path}:" in done.stderr


def test_log_level(daemon, musterctl):
    one = daemon()
    assert musterctl("log-level", "debug") == "the log level is debug now\n"
    assert musterctl("log-level", "info", "--json").startswith('{"ok":true')
    assert one.is_alive


def test_dump(daemon, musterctl):
    one = daemon()
    assert "log" in musterctl("dump")
    wait_until(lambda: one.log.find("worker"), 5, "the state is logged")


def test_C4_drain(db, daemon, musterctl):
    one = daemon(handlers={"nap": {"exec": ["/bin/sleep", "1"]}})
    task = db.enqueue("nap")
    db.wait_state(task, "running")
    musterctl("drain")
    assert one.wait_exit(20) == 0
    assert db.state(task) == "succeeded"
    done = musterctl("drain", code=None)
    assert done.returncode == 75
    assert "musterd is not running" in done.stderr


@pytest.mark.parametrize("answer", [b"", b"garbage\n", b"[]\n", None])
def test_F1_a_daemon_that_answers_badly(folder, answer):
    """A listener that ends, speaks nonsense, or says nothing at all."""
    import socket
    path = os.path.join(folder, "c.yaml")
    write_config(path, {"database": "dbname=x", "runtime_dir": folder})
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.join(folder, "control.sock"))
    server.listen()
    held = []

    def serve():
        connection, _ = server.accept()
        connection.recv(1000)
        if answer is None:
            held.append(connection)
            return
        connection.sendall(answer)
        connection.close()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    done = ctl("drain", config=path, code=None)
    assert done.returncode in (1, 75)
    assert "musterd" in done.stderr
    server.close()
