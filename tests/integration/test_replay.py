"""musterctl replay: traced workflows run anew."""

import glob
import json
import os
import signal
import subprocess

import pytest
from support import build, processes
from support.daemon import ctl
from support.wait import wait_until

TRACES = os.environ.get("MUSTER_TRACES", os.path.join(
    os.path.dirname(build.TOP), "shared", "data", "workflows"))


def trace(tasks):
    """{id: (seconds, parents)} as WfFormat."""
    return json.dumps({"name": "small", "workflow": {
        "specification": {"tasks": [
            {"id": name, "parents": parents}
            for name, (_, parents) in tasks.items()]},
        "execution": {"tasks": [
            {"id": name, "runtimeInSeconds": seconds}
            for name, (seconds, _) in tasks.items()]}}})


DIAMOND = trace({"a": (2, []), "b": (3, ["a"]), "c": (5, ["a"]),
                 "d": (1, ["b", "c"])})


@pytest.fixture
def file(folder):
    path = os.path.join(folder, "trace.json")

    def write(text):
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path
    return write


def replay(db, *arguments, code=0):
    return ctl("replay", "--database", db.conninfo("musterd"), *arguments,
               code=code)


def test_replay_of_a_diamond(db, file):
    said = json.loads(replay(db, "--json", "--slots", "2", "--speed", "20",
                             file(DIAMOND)))
    assert said["tasks"] == 4 and said["edges"] == 4 and said["slots"] == 2
    assert said["critical_path"] == 0.4 and said["work"] == 0.55
    assert said["bound"] == 0.4 and said["simulated_ratio"] == 1
    assert 0.398 <= said["makespan"] < 5
    assert said["ratio"] == pytest.approx(said["makespan"] / 0.4, abs=1e-3)
    assert db.rows("SELECT name, state, ran_ms >= 50 FROM muster.task_status"
                   " ORDER BY name") == [
        (name, "succeeded", True) for name in "abcd"]
    assert db.rows("SELECT DISTINCT kind FROM muster.task_status ORDER BY 1"
                   ) == [(f"replay-{i}",) for i in range(4)]


def test_replay_holds_to_its_slots(db, file):
    replay(db, "--slots", "3", "--speed", "10", file(
        trace({f"t{i}": (1, []) for i in range(9)})))
    [(most,)] = db.rows(
        "SELECT max((SELECT count(*) FROM muster.task_status b"
        " WHERE b.finished_at - b.ran_ms * interval '1 ms' + interval '5 ms'"
        " < a.finished_at AND b.finished_at > a.finished_at"
        " - interval '1 ms')) FROM muster.task_status a")
    assert most <= 3


def test_makespan_counts_less_than_a_millisecond(db, file):
    """What a task ran is known in whole milliseconds."""
    said = json.loads(replay(db, "--json", file(trace({"a": (0.0201, [])}))))
    assert said["makespan"] >= 0.0201 and said["ratio"] >= 1


def test_replay_of_tasks_that_took_no_time(db, file):
    """They count as any other: roots, in the middle and at the end."""
    said = json.loads(replay(db, "--json", "--speed", "10", file(trace(
        {"a": (0, []), "b": (1, ["a"]), "c": (0, ["b"]), "d": (2, ["c"]),
         "e": (0, ["d", "a"]), "f": (0, [])}))))
    assert said["tasks"] == 6 and said["edges"] == 5
    assert said["bound"] == 0.3 and said["simulated_ratio"] == 1
    assert db.rows("SELECT count(*)::int FROM muster.task_status"
                   " WHERE state = 'succeeded'") == [(6,)]


def test_replay_for_people(db, file):
    said = replay(db, "--slots", "2", "--speed", "50", file(DIAMOND))
    assert said.startswith("small: 4 tasks, 4 edges, 2 slots, 50 times fast")
    assert "of the bound" in said and "critical path first" in said


@pytest.mark.parametrize("arguments, text, code, words", [
    ((), "{", 1, "trace.json:1:1: "),
    ((), '{"a": 1}', 1, "no WfFormat 1.5"),
    (("--slots", "0"), DIAMOND, 2, "--slots is a whole number"),
    (("--speed", "-1"), DIAMOND, 2, "--speed is a number above 0")])
def test_replay_refuses(db, file, arguments, text, code, words):
    said = replay(db, *arguments, file(text), code=None)
    assert said.returncode == code
    assert words in said.stderr
    assert not db.rows("SELECT id FROM muster.task")


def test_F2_interrupted_replay_leaves_nothing(db, file):
    program = subprocess.Popen(
        [build.path("musterctl"), "replay", "--database",
         db.conninfo("musterd"), file(trace({"a": (600, []),
                                             "b": (1, ["a"])}))],
        env=build.environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: db.rows(
            "SELECT id FROM muster.task_status"
            " WHERE state = 'running' AND name = 'a'"), 30)
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 130
    finally:
        program.kill()
        program.wait()
    assert sorted(db.rows("SELECT name, state FROM muster.task_status")) == [
        ("a", "cancelled"), ("b", "cancelled")]
    wait_until(lambda: not processes.strangers(), 10)


@pytest.mark.parametrize("name", ["montage", "1000genome", "rnaseq",
                                  "seismology"])
def test_replay_of_real_traces(db, name):
    """Each task once, after all it needs, on no more slots than are given."""
    found = glob.glob(os.path.join(TRACES, name + "*.json"))
    if not found:
        pytest.skip(f"no trace of {name} in {TRACES}")
    said = json.loads(replay(db, "--json", "--speed", "2000", found[0]))
    assert said["ratio"] > 0.9
    assert 1 <= said["simulated_ratio"] <= said["first_come_ratio"] + 0.1
    assert db.rows("SELECT count(*)::int FROM muster.task_status"
                   " WHERE state = 'succeeded'") == [(said["tasks"],)]
    assert not db.rows(
        "SELECT n.task_id FROM muster.task_needs n"
        " JOIN muster.task_status t ON t.id = n.task_id"
        " JOIN muster.task_status u ON u.id = n.needs_id"
        " WHERE t.finished_at - t.ran_ms * interval '1 ms'"
        " < u.finished_at - interval '5 ms'")


def test_killed_replay_leaves_no_daemon(db, file):
    program = subprocess.Popen(
        [build.path("musterctl"), "replay", "--database",
         db.conninfo("musterd"), file(trace({"a": (600, [])}))],
        env=build.environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    wait_until(lambda: db.rows(
        "SELECT id FROM muster.task_status WHERE state = 'running'"), 30)
    program.kill()
    program.wait()
    wait_until(lambda: not processes.strangers(), 20)
