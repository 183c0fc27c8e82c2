"""The example of scanners, analysts and a chief: etc/examples/market-scan."""

import os
import re

import pytest

from support.wait import wait_until

pytestmark = pytest.mark.plain
EXAMPLE = os.path.abspath(os.path.join(
    os.path.dirname(__file__), "..", "..", "etc", "examples", "market-scan"))
ANALYSTS = {"technical", "fundamental", "news", "mood", "risk"}


def read(name):
    with open(os.path.join(EXAMPLE, name), encoding="utf-8") as file:
        return file.read()


def handlers():
    """Those of the example's musterd.yaml."""
    found = {}
    for kind, how, what in re.findall(
            r"^  (\w+): +{(\w+): (.*)}$",
            read("musterd.yaml").split("schedules:")[0], re.M):
        found[kind] = (
            {"pool": ["/usr/bin/python3", os.path.join(EXAMPLE, "tasks.py")]}
            if how == "pool" else dict(re.findall(
                r"(\w+): ([\w.]+)", f"{how}: {what}")))
    return found


def call_analysts(db, host):
    """Each worker has a process for them: more tasks than slots of one."""
    db.enqueue_many("analyse", [{"symbol": "S00", "as": "mood"}] * 100)
    wait_until(lambda: all(
        pool["processes"]["ready"] for worker in host.status()["workers"]
        for pool in worker["pools"] if pool["kind"] == "analyse"), 60)


def schedules():
    """Those of the example, sixty times as often."""
    found = {}
    for name, every, unit, kind, scanner in re.findall(
            r"^  (\w+): +{every: (\d+)([ms]), kind: (\w+)"
            r"(?:, payload: {scanner: (\w+)})?}$", read("musterd.yaml"), re.M):
        seconds = int(every) if unit == "m" else int(every) // 60
        found[name] = {"every": f"{seconds}s", "kind": kind, **(
            {"payload": {"scanner": scanner}} if scanner else {})}
    return found


def first_run(db, name):
    """The task of the schedule's first tick; there are no more."""
    task = wait_until(lambda: db.rows(
        "SELECT task_id FROM muster.schedule_runs WHERE schedule = %s"
        " AND task_id IS NOT NULL ORDER BY tick LIMIT 1", name), 30)[0][0]
    db.rows("SELECT muster.pause_schedule(%s)", name)
    return task


def most_at_a_time(results):
    """How many of these were under way at the same moment."""
    moments = sorted([(one["began"], 1) for one in results]
                     + [(one["ended"], -1) for one in results])
    now = most = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def discuss(db, flow, symbol):
    """Checks a discussion; the votes of those that came back."""
    tasks = db.tasks(flow)
    assert tasks.keys() == ANALYSTS | {"chief"}
    told = {name for name in ANALYSTS if tasks[name].state == "succeeded"}
    chief = tasks["chief"].result
    assert chief["symbol"] == symbol
    assert chief["votes"] == {name: tasks[name].result["vote"]
                              for name in told}
    assert chief["silent"] == {name: f"no {name} data on {symbol}"
                               for name in ANALYSTS - told}
    assert most_at_a_time([tasks[name].result for name in told]) == len(told)
    mean = sum(chief["votes"].values()) / max(len(told), 1)
    assert chief["buy"] == (len(told) >= 3 and mean > 0)
    return told


def test_A2_A5_C2_market_scan(db, daemon, patience):
    db.rows(read("market.sql"))
    db.rows("GRANT muster_client TO musterd")
    assert schedules().keys() == {"fast", "slow", "positions"}
    # So that no analyst waits for a process to start while others work.
    db.rows("SELECT muster.pause_kind('scan_market')")
    host = daemon(handlers=handlers(), schedules=schedules(),
                  queues={"default": {"concurrency": 100}})
    host.log.allow("(analyse) failed")
    positions = first_run(db, "positions")
    scans = [first_run(db, "fast"), first_run(db, "slow")]
    call_analysts(db, host)
    db.rows("SELECT muster.resume_kind('scan_market')")
    db.wait_done(60 * patience)
    decided = []
    for scan in scans:
        flow = int(db.task(scan).result["flow"])
        assert db.wait_flow(flow).state == "succeeded"
        tasks = db.tasks(flow)
        scanned = tasks["scan"].result
        assert [one["symbol"] for one in scanned] == [
            f"S{n:02}" for n in range(100)], "gathered in order"
        assert 2 <= most_at_a_time(scanned) <= 10
        found = [one["symbol"] for one in scanned if one["found"]]
        assert found, "the market is made up so that there is something"
        for symbol, discussed in zip(found, tasks["discuss"].result,
                                     strict=True):
            decided.append(discuss(db, int(discussed["flow"]), symbol))
    assert any(len(votes) < 5 for votes in decided), "some analyst failed"
    assert any(len(votes) >= 3 for votes in decided)
    assert db.task(positions).result == {"open": 10}
