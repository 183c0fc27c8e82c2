"""Schedules: fired by daemons, changed by reloads, shown by musterctl."""

import datetime
import json
import time

from support.wait import holds_for, wait_until

SECOND = datetime.timedelta(seconds=1)
EVERY_SECOND = {"tick": {"every": "1s", "kind": "noop", "overlap": "allow"}}


def runs(db, name="tick"):
    return db.rows("SELECT *, at - tick AS late FROM muster.schedule_runs "
                   "WHERE schedule = %s ORDER BY tick", name)


def names(db):
    return {row.name for row in db.rows("SELECT name FROM muster.schedules")}


def wait_runs(db, count, name="tick", limit=15):
    wait_until(lambda: len(runs(db, name)) >= count, limit,
               f"{count} ticks of {name} were fired")


def test_C2_a_schedule_of_each_second_runs_on_time(db, daemon, patience):
    daemon(schedules=EVERY_SECOND, workers=1, poll_interval="60s")
    wait_runs(db, 4)
    last = runs(db)[-2].task_id
    db.wait_state(last, limit=2 * patience)
    found = runs(db)[1:-1]
    assert all(run.outcome == "run" for run in found)
    assert all(datetime.timedelta(0) <= run.late < 0.3 * patience * SECOND
               for run in found)


def test_C2_two_hosts_fire_each_tick_once(db, daemon):
    """Two instances on one database, and none is the leader: when one ends
    the other has no gap."""
    first = daemon(schedules=EVERY_SECOND, workers=1)
    daemon(schedules=EVERY_SECOND, workers=1)
    wait_runs(db, 4)
    first.stop()
    before = len(runs(db))
    wait_runs(db, before + 2)
    found = runs(db)
    ticks = [run.tick for run in found]
    assert ticks == [ticks[0] + n * SECOND for n in range(len(ticks))]
    tasks = [run.task_id for run in found]
    assert len(set(tasks)) == len(tasks)
    assert db.one("SELECT count(*) FROM muster.task WHERE id <= %s",
                  tasks[-1]) == len(tasks)


def test_C2_a_reload_adds_changes_and_removes(db, daemon, musterctl):
    host = daemon(workers=1)
    musterctl("schedules")
    assert musterctl("schedules") == "nothing runs by the clock\n"
    host.write(schedules={
        "tick": {"every": "1s", "kind": "noop", "priority": -5,
                 "payload": {"a": [1, "b"]}},
        "nightly": {"cron": "0 3 * * *", "timezone": "Europe/Berlin",
                    "kind": "noop"}})
    host.reload()
    wait_runs(db, 1)
    task = db.task(runs(db)[0].task_id)
    assert task.priority == -5
    assert task.payload["a"] == [1, "b"]
    assert task.payload["schedule"]["name"] == "tick"
    wait_until(lambda: names(db) == {"tick", "nightly"})
    rows = {row["name"]: row
            for row in json.loads(musterctl("schedules", "--json"))}
    assert rows["tick"]["every_ms"] == 1000
    assert rows["tick"]["last_outcome"] == "run"
    assert rows["nightly"]["cron"] == "0 3 * * *"
    assert rows["nightly"]["timezone"] == "Europe/Berlin"
    assert not rows["nightly"]["paused"]
    table = musterctl("schedules")
    assert "0 3 * * *" in table and "Europe/Berlin" in table
    next_at = rows["nightly"]["next_at"]
    host.write(schedules={
        "nightly": {"cron": "0 3 * * *", "timezone": "Europe/Berlin",
                    "kind": "noop", "priority": 7}})
    host.reload()
    wait_until(lambda: names(db) == {"nightly"}, 5, "the other is gone")
    assert db.one("SELECT priority FROM muster.schedules") == 7
    assert json.loads(musterctl("schedules", "--json"))[0][
        "next_at"] == next_at
    count = len(runs(db))
    holds_for(lambda: len(runs(db)) == count, 1.5, "it is not fired")


def test_C2_ticks_missed_while_no_daemon_was_up_run_once(db, daemon):
    host = daemon(schedules=EVERY_SECOND, workers=1)
    wait_runs(db, 1)
    host.stop()
    last = runs(db)[-1].tick
    time.sleep(3)
    assert runs(db)[-1].tick == last
    host.start()
    wait_until(lambda: runs(db)[-1].tick > last, 10, "it is fired again")
    made_up = next(run for run in runs(db) if run.tick > last)
    assert made_up.missed_since == last + SECOND
    assert made_up.tick >= last + 3 * SECOND
    assert made_up.outcome == "run"


def test_C2_a_schedule_by_sql_is_seen_soon_and_wins_until_a_change(
        db, daemon):
    host = daemon(schedules=EVERY_SECOND, workers=1, poll_interval="60s")
    app = db.session("app")
    app.run("SELECT muster.schedule('own', 'noop', every => '1 s')")
    wait_runs(db, 1, "own", limit=5)
    app.run("SELECT muster.schedule('tick', 'noop', every => '1 h')")
    count = len(runs(db))
    holds_for(lambda: len(runs(db)) == count, 1.5, "it is not fired")
    host.write(crash_limit=4)
    host.reload()
    wait_runs(db, count + 1)
    assert names(db) == {"tick", "own"}


def test_C2_what_the_database_refuses_is_in_the_log(db, daemon):
    """This host knows the zone; PostgreSQL has none with leap seconds."""
    host = daemon(workers=1, schedules=EVERY_SECOND)
    wait_runs(db, 1)
    host.log.allow("not in force")
    host.write(schedules={"x": {"cron": "0 3 * * *", "kind": "noop",
                                "timezone": "right/Europe/Berlin"}})
    host.reload()
    host.log.wait_for("not in force: there is no time zone", limit=5)
    assert names(db) == {"tick"}
