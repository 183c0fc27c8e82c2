"""Schedules: what a tick becomes, who fires it, how they are changed."""

import datetime
import json

import psycopg2
import pytest

from support.wait import wait_until

HOUR = datetime.timedelta(hours=1)


class Schedules:
    """Schedules of one database, with a clock that the tests move: a tick is
    put into the past."""

    def __init__(self, db):
        self.db = db
        self.session = db.session("musterd")

    def add(self, name="hourly", kind="a", **named):
        if "cron" not in named and "every" not in named:
            named["every"] = "1 h"
        keys = ", ".join(f"{key} => %s" for key in named)
        self.db.session("app").run(
            f"SELECT muster.schedule(%s, %s, {keys})", name, kind,
            *(json.dumps(value) if isinstance(value, dict) else value
              for value in named.values()))
        return name

    def back(self, ticks, name="hourly"):
        """Now `ticks` of them (hours) are due; the first of them."""
        return self.db.one(
            "UPDATE muster.schedule SET next_tick = x.at, next_at = x.at,"
            " last_tick = least(last_tick, x.at - interval '1 s') "
            "FROM (SELECT to_timestamp((floor(extract(epoch FROM now())"
            " / 3600) - %s) * 3600) AS at) x "
            "WHERE name = %s RETURNING next_tick", ticks - 1, name)

    def again(self, name="hourly"):
        """Another tick, as if an hour had passed since the last."""
        self.db.rows("UPDATE muster.schedule_run "
                     "SET tick = tick - interval '1 h'")
        self.back(1, name)
        assert self.fire() == 1

    def fire(self, limit=1000, floor=None):
        return self.session.one("SELECT fired FROM muster.fire(%s, %s)",
                                limit, floor)

    def sync(self, items, instance="host-1"):
        return tuple(self.session.one(
            "SELECT * FROM muster.schedules_sync(%s, %s)", instance,
            json.dumps(items)))

    def runs(self, name="hourly"):
        return self.db.rows("SELECT * FROM muster.schedule_runs "
                            "WHERE schedule = %s ORDER BY tick", name)

    def outcomes(self, name="hourly"):
        return [run.outcome for run in self.runs(name)]

    def row(self, name="hourly"):
        return self.db.one("SELECT * FROM muster.schedules "
                           "WHERE name = %s", name)

    def names(self):
        return [row.name for row in self.db.rows(
            "SELECT name FROM muster.schedules ORDER BY name")]


@pytest.fixture
def schedules(db):
    return Schedules(db)


def item(**more):
    """As a configuration brings it."""
    return {"kind": "a", "queue": "default", "every_ms": 3600000,
            "timezone": "UTC", "priority": 0, "jitter_ms": 0,
            "missed": "run_once", "overlap": "skip", "payload": {}, **more}


# A tick.

def test_C2_a_tick_becomes_a_task_that_knows_of_it(db, schedules):
    schedules.add(payload={"x": 1}, queue="q", priority=5, max_attempts=2,
                  timeout="7 s", kind="b")
    assert schedules.fire() == 0
    tick = schedules.back(1)
    assert schedules.fire() == 1
    run, = schedules.runs()
    assert (run.tick, run.outcome) == (tick, "run")
    task = db.task(run.task_id)
    assert (task.kind, task.queue, task.priority, task.max_attempts,
            task.state) == ("b", "q", 5, 2, "ready")
    assert task.payload == {"x": 1, "schedule": {
        "name": "hourly", "tick": f"{tick:%Y-%m-%dT%H:%M:%S}.000Z"}}
    assert db.one("SELECT timeout_ms FROM muster.task") == 7000
    row = schedules.row()
    assert (row.next_at, row.last_tick, row.last_task, row.last_state,
            row.last_outcome, row.source) == (
                tick + HOUR, tick, run.task_id, "open", "run", "sql")
    assert schedules.fire() == 0


def test_C2_a_payload_of_its_own_shape_is_left_alone(db, schedules):
    schedules.add("list", payload="[1]")
    schedules.add("own", payload={"schedule": None})
    schedules.back(1, "list"), schedules.back(1, "own")
    assert schedules.fire() == 2
    assert sorted(map(str, (row.payload for row in db.rows(
        "SELECT payload FROM muster.task_status")))) == [
            "[1]", "{'schedule': None}"]


def test_C2_ticks_of_every_are_multiples_since_1970(db, schedules):
    schedules.add(every="3 min")
    schedules.add("odd", every="7.5 s")
    for name, seconds in ("hourly", 180), ("odd", 7.5):
        at = schedules.row(name).next_at.timestamp()
        assert at % seconds == 0
        assert 0 < at - db.one("SELECT extract(epoch FROM now())::float") \
            <= seconds


def test_C2_fire_says_how_long_to_sleep(db, schedules):
    fire = "SELECT fired, next_in_ms FROM muster.fire(%s, NULL)"
    assert db.one(fire, 10) == (0, None)
    schedules.add(every="1 h")
    left = db.one("SELECT 1000 * (3600 - extract(epoch FROM now())::numeric"
                  " % 3600)")
    fired, wait_ms = db.one(fire, 10)
    assert fired == 0 and left - 5000 < wait_ms <= left + 1
    schedules.add("second")
    schedules.back(1), schedules.back(1, "second")
    assert db.one(fire, 1) == (1, 0)
    assert db.one(fire, 10)[0] == 1


def test_C2_a_floor_hides_dead_entries_but_nothing_new(db, schedules):
    schedules.add()
    floor = db.one("SELECT floor FROM muster.fire(10, NULL)")
    assert floor <= db.one("SELECT clock_timestamp()")
    schedules.add("soon", every="1 s")
    wait_until(lambda: schedules.fire(10, floor) == 1, 5, "it is fired")
    assert schedules.outcomes("soon") == ["run"]


def test_C2_jitter_is_the_same_for_the_same_tick(db, schedules):
    schedules.add(jitter="30 min")
    rows = db.rows(
        "SELECT muster.schedule_at(s, t) AS at, t, muster.schedule_at(s, t)"
        " = muster.schedule_at(s, t) AS same FROM muster.schedule s,"
        " generate_series(now(), now() + '2 days', '1 h') t")
    delays = {row.at - row.t for row in rows}
    assert all(row.same for row in rows) and len(delays) > 40
    assert min(delays) >= 0 * HOUR and max(delays) <= HOUR / 2


# Missed ticks.

def test_C2_missed_run_once_runs_the_newest(db, schedules):
    schedules.add(missed="run_once")
    first = schedules.back(30)
    assert schedules.fire() == 1
    run, = schedules.runs()
    assert (run.outcome, run.tick, run.missed_since) == (
        "run", first + 29 * HOUR, first)
    assert schedules.row().next_at == first + 30 * HOUR


def test_C2_missed_skip_leaves_out_what_is_late(db, schedules):
    schedules.add(missed="skip", cron="0 0 1 1 *")
    tick = db.one("UPDATE muster.schedule SET next_tick = now() - '61 s'"
                  "::interval, next_at = now() - '61 s'::interval "
                  "RETURNING next_tick")
    assert schedules.fire() == 1
    run, = schedules.runs()
    assert (run.outcome, run.tick, run.task_id) == ("missed", tick, None)
    db.rows("UPDATE muster.schedule SET next_tick = now() - '50 s'"
            "::interval, next_at = now() - '50 s'::interval")
    assert schedules.fire() == 1
    assert schedules.outcomes() == ["missed", "run"]


def test_C2_missed_run_all_makes_up_for_each_and_at_most_a_hundred(
        db, schedules):
    schedules.add(missed="run_all", overlap="allow")
    first = schedules.back(4)
    for _ in range(4):
        assert schedules.fire() == 1
    assert schedules.fire() == 0
    assert [run.tick for run in schedules.runs()] == [
        first + n * HOUR for n in range(4)]
    schedules.add("long", missed="run_all", overlap="allow")
    first = schedules.back(2000, "long")
    while schedules.fire():
        pass
    runs = schedules.runs("long")
    assert len(runs) == 101
    assert [run.tick for run in runs] == [
        first + n * HOUR for n in [*range(100), 1999]]
    assert runs[-1].missed_since == first + 100 * HOUR


def test_C2_the_newest_missed_tick_of_cron(db, schedules):
    for cron in "* * * * *", "*/7 3 * * *", "0 0 1 1 *", "30 2 29 2 *":
        schedules.add(cron=cron, timezone="Europe/Berlin")
        assert db.one(
            "SELECT x.newest <= now() AND muster.schedule_tick(s, x.newest)"
            " > now() AND muster.schedule_tick(s, x.newest - interval '1 s')"
            " = x.newest FROM muster.schedule s CROSS JOIN LATERAL (SELECT"
            " muster.schedule_newest(s, muster.schedule_tick(s,"
            " now() - interval '9 years'), now()) AS newest) x")


# Overlapping ticks.

def test_C2_overlap_skip_leaves_out_while_the_last_is_open(
        db, schedules, worker):
    schedules.add(overlap="skip")
    schedules.again()
    one = worker()
    one.claim()
    schedules.again()
    assert schedules.outcomes() == ["run", "overlapped"]
    one.finish(schedules.runs()[0].task_id)
    schedules.again()
    assert schedules.outcomes() == ["run", "overlapped", "run"]


def test_C2_overlap_allow_runs_beside(db, schedules):
    schedules.add(overlap="allow")
    schedules.again(), schedules.again()
    assert schedules.outcomes() == ["run", "run"]
    assert db.states() == {"ready": 2}


def test_C2_overlap_queue_lets_one_wait_until_the_last_has_ended(
        db, schedules, worker, scheduler):
    schedules.add(overlap="queue")
    one = worker()
    outcomes = []
    for _ in range(4):
        schedules.again()
        scheduler.work()
        outcomes.append(schedules.runs()[-1].outcome)
    assert outcomes == ["run", "queued", "overlapped", "overlapped"]
    first, second = [run.task_id for run in schedules.runs() if run.task_id]
    assert db.state(second) == "blocked"
    assert one.claim().ids == [first]
    one.finish(first, outcome="f")
    scheduler.work()
    assert one.claim().ids == [second]
    # It runs: now another one may wait.
    schedules.again()
    assert schedules.runs()[-1].outcome == "queued"


# What cannot be.

def test_C2_what_cannot_be_enqueued_is_told_and_stops_nobody(db, schedules):
    schedules.add(payload={"x": "y" * 5000})
    schedules.add("other")
    db.rows("UPDATE muster.setting SET value = '4000'")
    schedules.back(1), schedules.back(1, "other")
    assert schedules.fire() == 2
    run, = schedules.runs()
    assert run.outcome == "refused" and "max_payload" in run.error
    assert schedules.outcomes("other") == ["run"]
    assert schedules.fire() == 0


def test_C2_a_time_zone_that_is_gone_is_told_and_tried_again(db, schedules):
    schedules.add(cron="0 * * * *", timezone="Europe/Berlin")
    schedules.back(1)
    db.rows("UPDATE muster.schedule SET timezone = 'Europe/Atlantis'")
    assert schedules.fire() == 1
    assert schedules.outcomes() == ["refused"]
    assert schedules.fire() == 0
    db.rows("UPDATE muster.schedule SET timezone = 'Europe/Berlin',"
            " next_at = now()")
    assert schedules.fire() == 1
    assert schedules.row().next_at > db.one("SELECT now()")


WRONG = [
    ({"every": "1 h", "cron": "* * * * *"}, "either every or cron"),
    ({"every": None}, "either every or cron"),
    ({"every": "0.5 s"}, "between 1 s and"),
    ({"every": "2 years"}, "between 1 s and"),
    ({"cron": "0 0 30 2 *"}, "no month it names"),
    ({"cron": "61 * * * *"}, "minute: 61"),
    ({"timezone": "Europe/Berln"}, "no time zone"),
    ({"timezone": "CEST"}, "no time zone"),
    ({"missed": "never"}, "missed is none of"),
    ({"missed": None}, "missed is none of"),
    ({"overlap": "all"}, "overlap is none of"),
    ({"jitter": "2 days"}, "jitter is not"),
    ({"jitter": "-1 s"}, "jitter is not"),
    ({"priority": 1001}, "priority 1001"),
    ({"kind": "a b"}, "may not be named"),
    ({"name": ""}, "has no name"),
    ({"queue": None}, "has no name"),
]


def test_C2_wrong_schedules_are_refused(schedules):
    for named, wrong in WRONG:
        with pytest.raises(psycopg2.Error, match=wrong) as error:
            schedules.add(**named)
        assert error.value.pgcode == "MU003"
    assert not schedules.names()


# Changes.

def test_C2_a_change_of_the_ticks_gives_a_new_next_one(db, schedules):
    schedules.add(cron="0 0 1 1 *")
    far = schedules.row().next_at
    schedules.add(cron="0 0 1 1 *", payload={"x": 1})
    assert schedules.row().next_at == far
    schedules.add(cron="* * * * *")
    assert schedules.row().next_at < far


def test_C2_pausing_and_resuming(db, schedules):
    app = db.session("app")
    schedules.add()
    schedules.back(3)
    assert app.one("SELECT muster.pause_schedule('hourly')")
    assert not app.one("SELECT muster.pause_schedule('hourly')")
    assert schedules.fire() == 0 and schedules.row().next_at is None
    schedules.add(priority=3)
    assert schedules.row().paused_at is not None
    assert app.one("SELECT muster.resume_schedule('hourly')")
    assert schedules.row().next_at > db.one("SELECT now()")
    assert schedules.fire() == 0
    assert app.one("SELECT muster.unschedule('hourly')")
    assert not app.one("SELECT muster.unschedule('hourly')")


def test_C2_a_tick_that_has_run_does_not_run_again_under_its_name(
        db, schedules):
    schedules.add()
    tick = schedules.back(1)
    schedules.fire()
    db.rows("SELECT muster.unschedule('hourly')")
    schedules.add()
    schedules.back(1)
    assert schedules.fire() == 1
    run, = schedules.runs()
    assert run.tick == tick and db.states() == {"ready": 1}


def test_C2_a_configuration_replaces_its_own(db, schedules):
    assert schedules.sync({"x": item(), "y": item()}) == (2, 0)
    assert schedules.sync({"x": item(), "y": item()}) == (0, 0)
    schedules.add("z")
    schedules.back(3, "x")
    before = schedules.row("x")
    assert schedules.sync({"x": item(priority=1)}) == (1, 1)
    assert schedules.names() == ["x", "z"]
    assert schedules.row("x").next_at == before.next_at
    assert schedules.row("x").priority == 1
    assert schedules.sync({}) == (0, 1)
    assert schedules.names() == ["z"]


def test_C2_of_two_configurations_the_newest_holds_a_name(db, schedules):
    schedules.sync({"x": item(), "y": item()}, "host-1")
    assert schedules.sync({"y": item(kind="b")}, "host-2") == (1, 0)
    assert schedules.row("y").kind == "b"
    # y is host-2's now.
    assert schedules.sync({}, "host-1") == (0, 1)
    assert schedules.names() == ["y"]
    assert schedules.sync({}, "host-2") == (0, 1)


def test_C2_one_wrong_schedule_of_a_configuration_names_itself(
        db, schedules):
    with pytest.raises(psycopg2.Error, match="schedule y: priority"):
        schedules.sync({"x": item(), "y": item(priority=5000)})
    with pytest.raises(psycopg2.Error, match="no time zone \"Mars\""):
        schedules.sync({"x": item(timezone="Mars")})
    assert not schedules.names()


def test_C2_runs_are_kept_for_a_week(db, schedules):
    schedules.add()
    schedules.back(1), schedules.fire()
    db.rows("INSERT INTO muster.schedule_run SELECT at - interval '8 days', "
            "tick - interval '8 days', NULL, NULL, 'o', schedule "
            "FROM muster.schedule_run")
    assert len(schedules.runs()) == 2
    schedules.session.run("SELECT muster.purge(100, '{\"\"}', '{1000000}')")
    assert schedules.outcomes() == ["run"]


def test_C2_invariants_see_what_is_wrong_with_a_schedule(db, schedules):
    schedules.add()
    schedules.back(1), schedules.fire()
    wrongs = [
        "UPDATE muster.schedule SET next_at = NULL",
        "UPDATE muster.schedule SET paused_at = now()",
        "UPDATE muster.schedule SET next_at = next_tick - interval '1 s'",
        "UPDATE muster.schedule SET last_tick = next_tick",
        "UPDATE muster.schedule_run SET task_id = NULL",
        "UPDATE muster.schedule_run SET outcome = 'o'"]
    session = db.session()
    for wrong in wrongs:
        session.begin()
        session.run(wrong)
        assert session.one("SELECT invariant FROM muster.check_invariants()"
                           ) == 7, wrong
        session.rollback()


# Races.

def test_C2_two_schedulers_fire_a_tick_once(db, schedules):
    """The second comes while the first has fired and not yet committed."""
    schedules.add()
    schedules.back(1)
    first, second = schedules.session, db.session("musterd")
    fire = "SELECT fired FROM muster.fire(10, NULL)"
    first.begin()
    assert first.one(fire) == 1
    assert second.one(fire) == 0
    first.commit()
    assert second.one(fire) == 0
    assert schedules.outcomes() == ["run"]


def test_C2_a_scheduler_with_an_old_idea_fires_nothing_twice(db, schedules):
    """It found the row due, and waits for it; meanwhile the tick was fired by
    another. Even with the row taken back in time there is one run."""
    schedules.add()
    tick = schedules.back(1)
    first, second = schedules.session, db.session("musterd")
    first.begin()
    first.one("SELECT fired FROM muster.fire(10, NULL)")
    second.send("SELECT muster.fire_one(s, clock_timestamp()) FROM "
                "(SELECT x FROM muster.schedule x) y(s)")
    second.wait_blocked()
    first.commit()
    second.answer()
    run, = schedules.runs()
    assert run.tick == tick and db.states() == {"ready": 1}
    assert schedules.row().next_at == tick + HOUR


def test_C2_a_client_that_changes_a_schedule_holds_up_no_firing(
        db, schedules):
    """Nor does it hold up a scheduler that brings its configuration."""
    schedules.add()
    schedules.add("other")
    schedules.back(1), schedules.back(1, "other")
    client = db.session("app")
    client.begin()
    client.run("SELECT muster.pause_schedule('hourly')")
    assert schedules.fire() == 1
    assert schedules.outcomes("other") == ["run"]
    assert schedules.sync({"x": item()}) == (None, None)
    client.rollback()
    assert schedules.fire() == 1
    assert schedules.outcomes() == ["run"]
    assert schedules.sync({"x": item()}) == (1, 0)


def test_C2_a_schedule_is_removed_while_it_is_fired(db, schedules):
    schedules.add()
    schedules.back(1)
    schedules.session.begin()
    schedules.fire()
    client = db.session("app")
    client.send("SELECT muster.unschedule('hourly')")
    client.wait_blocked()
    schedules.session.commit()
    assert client.answer()[0][0]
    assert schedules.outcomes() == ["run"] and not schedules.names()


def test_C2_a_change_while_it_is_fired_keeps_the_next_tick(db, schedules):
    schedules.add()
    tick = schedules.back(1)
    schedules.session.begin()
    schedules.fire()
    client = db.session("app")
    client.send("SELECT muster.schedule('hourly', 'b', every => '1 h')")
    client.wait_blocked()
    schedules.session.commit()
    client.answer()
    row = schedules.row()
    assert (row.kind, row.next_at, row.last_tick) == ("b", tick + HOUR, tick)


# Who may.

def test_C2_clients_schedule_and_readers_look(db, schedules):
    schedules.add()
    reader = db.session("reader")
    assert reader.one("SELECT count(*) FROM muster.schedules") == 1
    assert reader.one("SELECT count(*) FROM muster.schedule_runs") == 0
    with pytest.raises(psycopg2.Error, match="permission denied"):
        reader.run("SELECT muster.unschedule('hourly')")
    with pytest.raises(psycopg2.Error, match="permission denied"):
        db.session("app").run("SELECT muster.fire(1, NULL)")


def test_C2_ten_thousand_schedules_cost_nothing_between_ticks(db, schedules):
    """By the pages that are looked at."""
    db.rows("INSERT INTO muster.schedule SELECT ('s' || n), "
            "now() + interval '1 h' * n, now() + interval '1 h' * n, NULL, "
            "NULL, NULL, 3600000, 0, NULL, 0, NULL, 0, NULL, 'a', 'default', "
            "NULL, 'UTC', 'skip', 'skip', NULL, '{}' "
            "FROM generate_series(1, 10000) n")
    for _ in range(3):
        db.rows("SELECT * FROM muster.fire(1000, NULL)")
    plan = db.one("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
                  "SELECT * FROM muster.fire(1000, NULL)")
    assert plan[0]["Plan"]["Shared Hit Blocks"] < 60
