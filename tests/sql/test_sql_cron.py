"""muster.cron_next: against a model that looks at every minute, on the nights
when clocks change, and over what is right and wrong to write."""

import datetime
import pathlib
import random
import zoneinfo

import psycopg2
import pytest

EXPRESSIONS = (pathlib.Path(__file__).resolve().parents[1]
               / "support" / "cron_expressions")
UTC = datetime.timezone.utc
MINUTE = datetime.timedelta(minutes=1)


def at(text, zone="UTC"):
    """A moment: '2026-03-29 01:30', with '+' at the end for its second
    standing."""
    moment = datetime.datetime.fromisoformat(text.rstrip("+"))
    return moment.replace(tzinfo=zoneinfo.ZoneInfo(zone),
                          fold=text.endswith("+")).astimezone(UTC)


def ticks(session, cron, zone, after, count):
    """The next `count` ticks, in UTC."""
    return [row.at.astimezone(UTC) for row in session.run(
        "WITH RECURSIVE tick(n, at) AS ("
        " SELECT 1, muster.cron_next(%s, %s, %s) UNION ALL"
        " SELECT n + 1, muster.cron_next(%s, %s, at) FROM tick WHERE n < %s)"
        " SELECT at FROM tick", cron, zone, after, cron, zone, count)]


def shown(session, cron, zone, after, count):
    """The same as clocks show them: '29 03:00 +2'."""
    local = [moment.astimezone(zoneinfo.ZoneInfo(zone))
             for moment in ticks(session, cron, zone, after, count)]
    return [f"{moment:%d %H:%M} {moment.utcoffset().total_seconds() / 3600:+g}"
            for moment in local]


@pytest.fixture
def session(db):
    return db.session("app")


# What may be written.

def lines(sign):
    return [line[2:] for line in
            EXPRESSIONS.read_text(encoding="utf-8").splitlines()
            if line[:1] == sign]


def test_C2_right_expressions_have_a_next_tick(session):
    for text in lines("+"):
        assert session.one("SELECT muster.cron_next(%s, 'UTC', now()) > now()",
                           text), text


def test_C2_wrong_expressions_are_refused_with_a_reason(db):
    session = db.session("app")
    for text in lines("-"):
        with pytest.raises(psycopg2.Error) as error:
            session.one("SELECT muster.cron_next(%s, 'UTC', now())", text)
        assert error.value.pgcode == "MU003", (text, error.value)


# Single rules.

TICKS = [
    ("0 3 * * *", ["2026-01-15 03:00", "2026-01-16 03:00"]),
    ("*/20 * * * *", ["2026-01-15 00:20", "2026-01-15 00:40",
                      "2026-01-15 01:00"]),
    ("30 9 * * mon-fri", ["2026-01-15 09:30", "2026-01-16 09:30",
                          "2026-01-19 09:30"]),
    ("0 0 L * *", ["2026-01-31 00:00", "2026-02-28 00:00",
                   "2026-03-31 00:00"]),
    ("0 0 * * 5L", ["2026-01-30 00:00", "2026-02-27 00:00",
                    "2026-03-27 00:00", "2026-04-24 00:00"]),
    ("0 0 13 * 5", ["2026-01-16 00:00", "2026-01-23 00:00",
                    "2026-01-30 00:00", "2026-02-06 00:00",
                    "2026-02-13 00:00"]),
    ("0 0 */2 * 5", ["2026-01-23 00:00", "2026-02-13 00:00"]),
    ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
    ("0 0 29 2 */7", ["2032-02-29 00:00", "2060-02-29 00:00"]),
    ("0 0 31 * *", ["2026-01-31 00:00", "2026-03-31 00:00"]),
    ("0 12 1 jan,jul *", ["2026-07-01 12:00", "2027-01-01 12:00"]),
    ("@yearly", ["2027-01-01 00:00"]),
    ("59 59 23 31 12 *", ["2026-12-31 23:59:59"]),
    ("*/25 * * * * *", ["2026-01-15 00:00:25", "2026-01-15 00:00:50",
                        "2026-01-15 00:01:00"]),
]


def test_C2_ticks(session):
    for cron, wanted in TICKS:
        assert ticks(session, cron, "UTC", at("2026-01-15 00:00"),
                     len(wanted)) == [at(one) for one in wanted], cron


def test_C2_a_leap_day_across_a_century(session):
    assert ticks(session, "0 0 29 2 *", "UTC", at("2096-03-01"), 1) == [
        at("2104-02-29")]


def test_C2_a_fraction_of_a_second_is_no_tick_of_its_own(session):
    for ms in 1, 400, 600, 999:
        after = at("2026-01-15 12:00") + datetime.timedelta(milliseconds=ms)
        assert ticks(session, "0 12 * * *", "UTC", after, 1) == [
            at("2026-01-16 12:00")]
        assert ticks(session, "* * 12 * * *", "UTC", after, 2) == [
            at("2026-01-15 12:00:01"), at("2026-01-15 12:00:02")]
        assert ticks(session, "* * * * * *", "UTC", after, 2) == [
            at("2026-01-15 12:00:01"), at("2026-01-15 12:00:02")]


# The nights. What is fixed runs once, what runs all day runs in real time.

NIGHTS = [
    # Berlin, 2026-03-29: 2:00 becomes 3:00.
    ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00",
     ["29 03:00 +2", "30 02:30 +2"]),
    ("0 2 * * *", "Europe/Berlin", "2026-03-28 12:00",
     ["29 03:00 +2", "30 02:00 +2"]),
    ("*/10 2 * * *", "Europe/Berlin", "2026-03-28 12:00",
     ["29 03:00 +2", "30 02:00 +2"]),
    ("0 2,3 * * *", "Europe/Berlin", "2026-03-28 12:00",
     ["29 03:00 +2", "30 02:00 +2"]),
    ("30 2,3 * * *", "Europe/Berlin", "2026-03-28 12:00",
     ["29 03:00 +2", "29 03:30 +2", "30 02:30 +2"]),
    ("*/30 * * * *", "Europe/Berlin", "2026-03-29 01:00",
     ["29 01:30 +1", "29 03:00 +2", "29 03:30 +2"]),
    ("5 * * * *", "Europe/Berlin", "2026-03-29 01:00",
     ["29 01:05 +1", "29 03:05 +2", "29 04:05 +2"]),
    # Berlin, 2026-10-25: 3:00 becomes 2:00.
    ("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00",
     ["25 02:30 +2", "26 02:30 +1"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25 02:10+",
     ["26 02:30 +1"]),
    ("*/30 2,3 * * *", "Europe/Berlin", "2026-10-24 12:00",
     ["25 02:00 +2", "25 02:30 +2", "25 03:00 +1", "25 03:30 +1"]),
    ("*/30 * * * *", "Europe/Berlin", "2026-10-25 02:00",
     ["25 02:30 +2", "25 02:00 +1", "25 02:30 +1", "25 03:00 +1"]),
    ("5 * * * *", "Europe/Berlin", "2026-10-25 02:00",
     ["25 02:05 +2", "25 02:05 +1", "25 03:05 +1"]),
    # New York, 2026-03-08 and 2026-11-01.
    ("15 2 * * *", "America/New_York", "2026-03-07 12:00",
     ["08 03:00 -4", "09 02:15 -4"]),
    ("15 1 * * *", "America/New_York", "2026-10-31 12:00",
     ["01 01:15 -4", "02 01:15 -5"]),
    ("0 * * * *", "America/New_York", "2026-11-01 00:30",
     ["01 01:00 -4", "01 01:00 -5", "01 02:00 -5"]),
    # Lord Howe, by half an hour: 2026-10-04 2:00 becomes 2:30, 2026-04-05
    # 2:00 becomes 1:30.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00",
     ["04 02:30 +11", "05 02:15 +11"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00",
     ["05 01:45 +11", "06 01:45 +10.5"]),
    ("*/15 * * * *", "Australia/Lord_Howe", "2026-10-04 01:30",
     ["04 01:45 +10.5", "04 02:30 +11", "04 02:45 +11"]),
    ("*/15 * * * *", "Australia/Lord_Howe", "2026-04-05 01:30",
     ["05 01:45 +11", "05 01:30 +10.5", "05 01:45 +10.5", "05 02:00 +10.5"]),
    # Apia had no 2011-12-30; Tokyo's clocks never change.
    ("0 3 * * *", "Pacific/Apia", "2011-12-29 12:00",
     ["31 00:00 +14", "31 03:00 +14"]),
    ("0 3 * * *", "Asia/Tokyo", "2026-03-28 12:00",
     ["29 03:00 +9", "30 03:00 +9"]),
]


def test_C2_nights_of_clock_change(session):
    for cron, zone, after, wanted in NIGHTS:
        assert shown(session, cron, zone, at(after, zone),
                     len(wanted)) == wanted, (cron, zone, after)


# Against a model that knows only whether a minute matches.

RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]


def random_field(randoms, low, high):
    """Its text and its values."""
    kind = randoms.random()
    if kind < 0.45:
        return "*", set(range(low, high + 1))
    if kind < 0.6:
        step = randoms.randint(2, max(2, high // 2))
        return f"*/{step}", set(range(low, high + 1, step))
    if kind < 0.75:
        first = randoms.randint(low, high)
        last = randoms.randint(first, high)
        step = randoms.randint(1, 5)
        return (f"{first}-{last}/{step}",
                set(range(first, last + 1, step)))
    values = {randoms.randint(low, high)
              for _ in range(randoms.randint(1, 4))}
    return ",".join(map(str, values)), values


class Model:
    def __init__(self, randoms):
        fields = [random_field(randoms, *limits) for limits in RANGES]
        if randoms.random() < 0.6:  # or little would happen in two days
            fields[3] = ("*", set(range(1, 13)))
        self.text = " ".join(text for text, _ in fields)
        (self.minutes, self.hours, self.days, self.months,
         self.weekdays) = (values for _, values in fields)
        self.either = not (fields[2][0].startswith("*")
                           or fields[4][0].startswith("*"))

    def matches(self, wall):
        by_month = wall.day in self.days
        by_week = wall.isoweekday() % 7 in self.weekdays
        day = (by_month or by_week if self.either
               else by_month and by_week)
        return (wall.minute in self.minutes and wall.hour in self.hours
                and wall.month in self.months and day)

    def ticks(self, zone, after, end):
        """Minute by minute."""
        zone = zoneinfo.ZoneInfo(zone)
        real = len(self.hours) == 24
        moment = after.replace(second=0, microsecond=0)
        before = moment.astimezone(zone).replace(tzinfo=None)
        found = []
        while moment < end:
            moment += MINUTE
            local = moment.astimezone(zone)
            wall = local.replace(tzinfo=None)
            runs = self.matches(wall) and (real or not local.fold)
            skipped = before + MINUTE
            while not real and skipped < wall.replace(fold=0):
                runs = runs or self.matches(skipped)
                skipped += MINUTE
            if runs:
                found.append(moment)
            before = wall.replace(fold=0)
        return found


CHANGES = {
    "Europe/Berlin": ["2026-03-29 01:00", "2026-10-25 01:00"],
    "America/New_York": ["2026-03-08 07:00", "2026-11-01 06:00"],
    "Australia/Lord_Howe": ["2026-10-03 15:30", "2026-04-04 15:00"],
    "America/Havana": ["2026-03-08 05:00", "2026-11-01 05:00"],
    "Africa/Casablanca": ["2026-02-15 02:00", "2026-03-22 02:00"],
    "Asia/Beirut": ["2026-03-28 22:00", "2026-10-24 21:00"],
    "Asia/Kathmandu": ["2026-03-29 01:00"],
    "UTC": ["2026-02-28 12:00"],
}


def test_C2_next_tick_is_that_of_a_model_that_walks_by_minutes(
        session, request):
    seed = random.randrange(10 ** 6)
    randoms = random.Random(seed)
    for _ in range(4000 if request.config.getoption("--long") else 300):
        model = Model(randoms)
        zone = randoms.choice(list(CHANGES))
        after = (at(randoms.choice(CHANGES[zone]))
                 + randoms.randint(-20 * 60, 3 * 60) * MINUTE)
        end = after + 26 * 60 * MINUTE
        wanted = model.ticks(zone, after, end)[:20]
        if not wanted and not possible(session, model.text):
            continue
        found = ticks(session, model.text, zone, after, len(wanted) + 1)
        if len(wanted) < 20:
            assert found.pop() > end, (seed, model.text, zone, after)
        assert found[:len(wanted)] == wanted, (seed, model.text, zone, after)


def possible(session, text):
    try:
        session.run("SELECT muster.cron_next(%s, 'UTC', now())", text)
    except psycopg2.Error as error:
        assert error.pgcode == "MU003"
        return False
    return True


def test_C2_thousands_of_next_ticks_take_seconds_at_most(session):
    took = session.one(
        "WITH began AS MATERIALIZED (SELECT clock_timestamp() AS at),"
        " done AS MATERIALIZED (SELECT count(muster.cron_next("
        "format('%s %s * * *', n % 60, n % 24), 'Europe/Berlin', now()))"
        " FROM began, generate_series(1, 2000) n)"
        " SELECT extract(epoch FROM clock_timestamp() - began.at)::float"
        " FROM began, done")
    assert took < 4
