"""The helpers' enqueue() over an application's own connection."""

import datetime
import importlib
import importlib.util
import json
import os
import subprocess

import psycopg2
import psycopg2.extras
import pytest

pytestmark = pytest.mark.plain
SDK = os.path.join(os.path.dirname(__file__), "..", "..", "sdk")


@pytest.fixture(scope="module")
def muster():
    spec = importlib.util.spec_from_file_location(
        "muster", os.path.join(SDK, "python", "muster.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DRIVERS = [name for name in ("psycopg2", "psycopg")
           if importlib.util.find_spec(name)]


@pytest.fixture(params=DRIVERS)
def app(request, db):
    driver = importlib.import_module(request.param)
    connection = driver.connect(db.conninfo("app"))
    yield connection
    connection.close()


def count(db):
    return db.one("SELECT count(*) FROM muster.task")


def test_sdk_python_enqueues_in_the_callers_transaction(db, app, muster):
    task = muster.enqueue(app, "resize", {"name": "ä%s\u2028"})
    assert count(db) == 0
    app.rollback()
    assert count(db) == 0
    again = muster.enqueue(app, "resize", {"name": "ä%s\u2028"})
    app.commit()
    assert isinstance(again, int) and again != task
    assert db.rows("SELECT id, payload::jsonb FROM muster.task") == \
        [(again, {"name": "ä%s\u2028"})]


@pytest.mark.parametrize("payload", [{}, [], None, "words", 1.5, 2 ** 70])
def test_sdk_python_payload_is_any_json(db, app, muster, payload):
    task = muster.enqueue(app, "resize", payload)
    app.commit()
    assert db.one("SELECT payload FROM muster.task WHERE id = %s", task) == \
        {None: "null", "words": '"words"'}.get(
            payload if isinstance(payload, (str, type(None))) else 0,
            str(payload))


def test_sdk_python_options(db, app, muster):
    at = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)
    first = muster.enqueue(app, "resize", queue="mail", priority=7,
                           max_attempts=3, timeout=90.5, run_at=at,
                           wake=False)
    second = muster.enqueue(app, "resize", depends_on=[first],
                            depends_when="finished", needs_mode="any",
                            timeout=datetime.timedelta(minutes=2))
    app.commit()
    task = db.rows("SELECT t.max_attempts, t.timeout_ms, t.rank, r.queue,"
                   " r.kind, s.run_at FROM muster.task t"
                   " JOIN muster.route r ON r.id = t.route_id"
                   " JOIN muster.scheduled s ON s.task_id = t.id"
                   " WHERE t.id = %s", first)[0]
    assert task == (3, 90500, -7, "mail", "resize", at)
    assert db.one("SELECT timeout_ms FROM muster.task WHERE id = %s",
                  second) == 120000
    assert db.one("SELECT ids, least FROM muster.needs WHERE task_id = %s",
                  second) == ([first], 1)


def test_sdk_python_refusal_is_the_databases(db, app, muster):
    with pytest.raises(Exception) as caught:
        muster.enqueue(app, "resize", priority=5000)
    assert "MU003" in (getattr(caught.value, "pgcode", None),
                       getattr(caught.value, "sqlstate", None))


def test_sdk_python_enqueues_many(db, app, muster):
    payloads = [{"n": n} for n in range(300)] + [None, "a"]
    tasks = muster.enqueue_many(app, "resize", payloads, priority=2)
    assert count(db) == 0
    app.commit()
    assert len(tasks) == 302
    assert [row[0] for row in db.rows(
        "SELECT payload::jsonb FROM muster.task ORDER BY"
        " array_position(%s, id)", tasks)] == payloads
    assert muster.enqueue_many(app, "resize", []) == []


def test_sdk_python_takes_connections_with_rows_of_other_shapes(
        db, muster):
    for factory in (psycopg2.extras.RealDictCursor,
                    psycopg2.extras.DictCursor,
                    psycopg2.extras.NamedTupleCursor):
        connection = psycopg2.connect(db.conninfo("app"),
                                      cursor_factory=factory)
        assert muster.enqueue(connection, "resize") > 0
        assert len(muster.enqueue_many(connection, "resize", [1, 2])) == 2
        connection.close()


# Node: what it would ask its client for is asked over a connection of ours.

RECORD = """
const muster = require(process.argv[1]);
const asked = [];
const client = { async query(text, values) {
  asked.push([text, values]);
  return { rows: [{ id: '1' }] };
} };
const calls = JSON.parse(process.argv[2]);
(async () => {
  for (const [name, ...given] of calls) {
    await muster[name](client, ...given);
  }
  console.log(JSON.stringify(asked));
})();
"""


@pytest.fixture
def node_calls(db):
    """node_calls(["enqueue", "resize", …], …): the ids of each call."""
    connection = psycopg2.connect(db.conninfo("app"))
    cursor = connection.cursor()

    def run(*calls):
        said = subprocess.run(
            ["node", "-e", RECORD, os.path.join(SDK, "node", "muster.js"),
             json.dumps(calls)], check=True, capture_output=True, timeout=60)
        found = []
        for text, values in json.loads(said.stdout):
            cursor.execute("PREPARE asked AS " + text)
            cursor.execute(f"EXECUTE asked({', '.join(['%s'] * len(values))})",
                           values)
            ids = [row[0] for row in cursor.fetchall()]
            assert all(isinstance(one, str) for one in ids)
            found.append([int(one) for one in ids])
            cursor.execute("DEALLOCATE asked")
        connection.commit()
        return found

    yield run
    connection.close()


def test_sdk_node_enqueues(db, node_calls):
    payloads = [{"name": "ä$1'\u2028"}, [], None, "words", 1.5]
    found = node_calls(*(["enqueue", "resize", payload]
                         for payload in payloads))
    for payload, (task,) in zip(payloads, found):
        assert db.one("SELECT payload::jsonb FROM muster.task WHERE id = %s",
                      task) == payload


def test_sdk_node_options(db, node_calls):
    (first,), = node_calls(["enqueue", "resize", {}, {
        "queue": "mail", "priority": 7, "maxAttempts": 3, "timeout": 90.5,
        "runAt": "2100-01-01T00:00:00Z", "wake": False}])
    (second,), = node_calls(["enqueue", "resize", {}, {
        "dependsOn": [str(first)], "dependsWhen": "finished",
        "needsMode": "at_least 1", "timeout": "2 min"}])
    assert db.rows(
        "SELECT t.max_attempts, t.timeout_ms, t.rank, r.queue, s.run_at"
        " FROM muster.task t JOIN muster.route r ON r.id = t.route_id"
        " JOIN muster.scheduled s ON s.task_id = t.id"
        " WHERE t.id = %s", first) == [(
            3, 90500, -7, "mail",
            datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc))]
    assert db.one("SELECT timeout_ms FROM muster.task WHERE id = %s",
                  second) == 120000
    assert db.one("SELECT ids, least FROM muster.needs WHERE task_id = %s",
                  second) == ([first], 1)


def test_sdk_node_enqueues_many(db, node_calls):
    payloads = [{"n": n} for n in range(300)] + [None, "a"]
    tasks, none = node_calls(
        ["enqueueMany", "resize", payloads, {"priority": 2}],
        ["enqueueMany", "resize", []])
    assert none == [] and count(db) == 302
    assert [row[0] for row in db.rows(
        "SELECT payload::jsonb FROM muster.task ORDER BY"
        " array_position(%s, id)", tasks)] == payloads
