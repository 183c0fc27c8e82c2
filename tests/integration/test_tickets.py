"""The example of tickets: etc/examples/tickets, as it is shipped."""

import json
import os

import pytest

from support import build
from support.redis import Listener
from support.wait import wait_until

EXAMPLE = os.path.join(build.TOP, "etc", "examples", "tickets")


@pytest.fixture
def host(db, daemon, folder):
    """A daemon with the example's own configuration in conf.d."""
    with open(os.path.join(EXAMPLE, "schema.sql"), encoding="utf-8") as file:
        db.rows(file.read())
    db.rows("GRANT USAGE ON SCHEMA tickets TO app;"
            "GRANT SELECT, INSERT ON tickets.ticket TO app")
    made = daemon.make(workers=2)
    with open(os.path.join(EXAMPLE, "tickets.yaml"),
              encoding="utf-8") as file:
        made.write_raw(file.read().replace("/srv/tickets", EXAMPLE),
                       "tickets.yaml")
    return made.start()


@pytest.fixture
def ended(db, redis):
    """{flow's name: the event of its end}, for a subscriber."""
    with Listener(redis, f"muster:{db.name}:events:flow.finished") as listener:
        yield lambda: {event["name"]: event for event in (
            json.loads(text) for _, _, text in list(listener.messages))}


def submit(db, subject, body, end="commit"):
    """As the application does, in a transaction of its own."""
    session = db.session("app")
    session.begin()
    number = session.one("SELECT tickets.submit(%s, %s)", subject, body)
    getattr(session, end)()
    return number


def ticket(db, number):
    return db.one("SELECT * FROM tickets.ticket WHERE id = %s", number)


def test_A1_A2_B5_D1_tickets(db, redis, host, ended):
    host.log.allow("the model found no words")
    submit(db, "Undone", "It has no flow", end="rollback")
    assert db.states() == {} and not db.rows("SELECT * FROM muster.flow")
    first = submit(db, "Printer", "It prints nothing but blue")
    wait_until(lambda: ticket(db, first).state == "open", 15, "it is stored")
    assert ticket(db, first).embedding is None, "that comes later"
    wait_until(lambda: f"ticket {first}" in ended(), 15, "it is told")
    assert ended()[f"ticket {first}"]["state"] == "succeeded"
    assert abs(sum(ticket(db, first).embedding) - 1) < 1e-6
    steps = {row.name: row for row in db.rows(
        "SELECT * FROM muster.task_status WHERE flow_id IS NOT NULL")}
    assert steps["embed"].finished_at > steps["store"].finished_at

    same = submit(db, "printer", "it prints nothing but BLUE")
    empty = submit(db, " ", "no subject")
    db.request("pause", "default")
    numbers = submit(db, "Numbers", "404 500")
    wait_until(lambda: db.one(
        "SELECT count(*) FROM muster.task_status WHERE state = 'failed'") == 1,
        15, "its embedding fails before it is stored")
    db.request("resume", "default")
    names = {f"ticket {number}" for number in (same, empty, numbers)}
    wait_until(lambda: names <= set(ended()), 15, "all are told")
    assert (ticket(db, same).state, ticket(db, same).note) == (
        "duplicate", f"the same as ticket {first}")
    assert (ticket(db, empty).state, ticket(db, empty).note) == (
        "refused", "it has no subject")
    assert ticket(db, numbers).state == "open", "no harm to the ticket"
    assert ticket(db, numbers).embedding is None
    told = ended()[f"ticket {numbers}"]
    assert told["state"] == "failed" and "no words" in told["error"]
    assert (told["failed"], told["skipped"]) == (1, 1)


def test_D2_a_message_becomes_a_ticket(db, redis, host, ended):
    wait_until(lambda: redis.command(
        "PUBLISH", "tickets.created",
        '{"subject": "Mouse", "body": "It squeaks"}') == 1, 15, "it listens")
    wait_until(lambda: "ticket 1" in ended(), 15, "it is told")
    assert ticket(db, 1).subject == "Mouse"
    assert ticket(db, 1).state == "open"
