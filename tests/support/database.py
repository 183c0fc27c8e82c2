"""A database of one test's own, with the words the tests use for tasks."""

import collections
import json
import threading

import psycopg2
import psycopg2.extras

from .wait import wait_until

FINAL = {"succeeded", "failed", "cancelled", "skipped"}


class Database:
    """Talks as the superuser unless another user is named. `musterd` is the
    daemon's login, `app` an application's, `reader` someone who looks on."""

    def __init__(self, postgres, name):
        self.postgres = postgres
        self.name = name
        self._connection = None
        self._sessions = []

    def conninfo(self, user="musterd"):
        return self.postgres.conninfo(self.name, user)

    def connect(self, user="postgres", **more):
        return self.postgres.connect(self.name, user, **more)

    def session(self, user="postgres", isolation=None):
        """A session of its own for interleavings; closed with the test."""
        session = Session(self, user, isolation)
        self._sessions.append(session)
        return session

    def close(self):
        for session in self._sessions:
            session.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def rows(self, sql, *arguments):
        """All rows, each a tuple with named fields."""
        try:
            return self._rows(sql, arguments)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            if self._connection is None or not self._connection.closed:
                raise
            self._connection = None  # the server was restarted
            return self._rows(sql, arguments)

    def _rows(self, sql, arguments):
        if self._connection is None:
            self._connection = self.connect(
                cursor_factory=psycopg2.extras.NamedTupleCursor)
        with self._connection.cursor() as cursor:
            cursor.execute(sql, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, sql, *arguments):
        """The only row; its value when it has one column."""
        found = self.rows(sql, *arguments)
        assert len(found) == 1, f"{len(found)} rows from: {sql}"
        return found[0][0] if len(found[0]) == 1 else found[0]

    # Tasks.

    def enqueue(self, kind, payload=None, **named):
        """muster.enqueue; named parameters as SQL has them. Its id."""
        named = {"payload": json.dumps({} if payload is None else payload),
                 **named}
        return self.one(*_call("enqueue", kind, named))

    def enqueue_many(self, kind, payloads, **named):
        """muster.enqueue_many; ids in order. A number means so many {}."""
        if isinstance(payloads, int):
            payloads = [{}] * payloads
        texts = [json.dumps(payload) for payload in payloads]
        found = self.rows(*_call("enqueue_many", kind,
                                 {"payloads": texts, **named}))
        return [row[0] for row in found]

    def flow(self, tasks, name="test", **more):
        """muster.submit_flow of {"name": {"kind": …}}; the flow's id."""
        text = json.dumps({"flow": name, "tasks": tasks, **more})
        return self.one("SELECT muster.submit_flow(%s)", text)

    def task(self, task):
        """The row of muster.task_status."""
        return self.one("SELECT * FROM muster.task_status WHERE id = %s", task)

    def tasks(self, flow):
        """{name: row} of a flow."""
        return {row.name: row for row in self.rows(
            "SELECT * FROM muster.task_status WHERE flow_id = %s", flow)}

    def flow_status(self, flow):
        return self.one("SELECT * FROM muster.flow_status WHERE id = %s", flow)

    def attempts(self, task):
        return self.rows("SELECT * FROM muster.attempts WHERE task_id = %s "
                         "ORDER BY at", task)

    def state(self, task):
        return self.one(
            "SELECT state FROM muster.task_status WHERE id = %s", task)

    def states(self, tasks=None):
        """How many of these tasks (or of all) are in each state."""
        where = "" if tasks is None else "WHERE id = ANY(%s)"
        found = self.rows(
            f"SELECT state, count(*) FROM muster.task_status {where} "
            "GROUP BY state", *([] if tasks is None else [list(tasks)]))
        return collections.Counter({state: count for state, count in found})

    def noted(self):
        """How many rows retention has yet to look at."""
        return self.one("SELECT (SELECT count(*) FROM muster.finished)"
                        " + (SELECT count(*) FROM muster.kept)")

    def age(self, interval):
        """What retention has noted, it noted so much earlier."""
        for table in ("finished", "kept"):
            self.rows(f"UPDATE muster.{table} SET at = at - %s::interval",
                      interval)
        self.rows("DELETE FROM muster.time_mark")

    def open_count(self):
        return sum(count for state, count in self.states().items()
                   if state not in FINAL)

    def wait_state(self, task, state="succeeded", limit=15):
        """Waits until the task is in that state; its row."""
        states = {state} if isinstance(state, str) else set(state)
        wait_until(lambda: self.state(task) in states, limit,
                   f"task {task} is {' or '.join(sorted(states))}")
        return self.task(task)

    def wait_done(self, limit=30):
        """Waits until no task is open; how many ended in each state."""
        wait_until(lambda: self.open_count() == 0, limit,
                   "every task has ended", every=0.1)
        return self.states()

    def wait_flow(self, flow, limit=30):
        """Waits until the flow has ended; its row."""
        wait_until(lambda: self.flow_status(flow).finished_at, limit,
                   f"flow {flow} has ended")
        return self.flow_status(flow)

    def request(self, call, *arguments, limit=10):
        """Sends a request such as "cancel" and waits for its answer."""
        marks = ", ".join(["%s"] * len(arguments))
        number = self.one(f"SELECT muster.{call}({marks})", *arguments)
        wait_until(lambda: self.one(
            "SELECT done FROM muster.request_status(%s)", number), limit,
            f"{call}{arguments} is carried out")
        return self.one(
            "SELECT answer FROM muster.request_status(%s)", number)

    def why(self, task):
        return self.rows("SELECT * FROM muster.why(%s)", task)

    def invariants(self):
        """What muster.check_invariants() finds wrong; empty when all is
        well."""
        return self.rows("SELECT * FROM muster.check_invariants()")


# Named parameters whose type PostgreSQL would not guess from a literal.
_CASTS = {"payload": "jsonb", "payloads": "jsonb[]", "depends_on": "bigint[]",
          "run_at": "timestamptz", "timeout": "interval"}


def _call(function, kind, named):
    parts = [f"{name} => %s::{_CASTS[name]}" if name in _CASTS
             else f"{name} => %s" for name in named]
    return (f"SELECT muster.{function}(kind => %s, {', '.join(parts)})",
            kind, *named.values())


class Session:
    """One session, for forced interleavings: in a transaction from `begin`
    on, its statements may be sent to the background and found waiting."""

    def __init__(self, database, user, isolation):
        self.database = database
        self.connection = database.connect(
            user, cursor_factory=psycopg2.extras.NamedTupleCursor)
        self.pid = self.connection.get_backend_pid()
        if isolation:
            self.run(f"SET default_transaction_isolation = '{isolation}'")
        self._thread = None
        self._answer = None

    def run(self, sql, *arguments):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, arguments or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, sql, *arguments):
        row = self.run(sql, *arguments)[0]
        return row[0] if len(row) == 1 else row

    def begin(self):
        self.run("BEGIN")

    def commit(self):
        self.run("COMMIT")

    def rollback(self):
        self.run("ROLLBACK")

    def send(self, sql, *arguments):
        """Starts a statement in the background; `answer` fetches it."""
        assert self._thread is None, "one statement at a time"
        self._answer = None
        self._thread = threading.Thread(
            target=self._work, args=(sql, arguments), daemon=True)
        self._thread.start()

    def _work(self, sql, arguments):
        try:
            self._answer = (self.run(sql, *arguments), None)
        except psycopg2.Error as error:
            self._answer = (None, error)

    def answer(self, limit=10):
        """The rows of what was sent; raises what it raised."""
        self._thread.join(limit)
        assert not self._thread.is_alive(), "still waiting"
        self._thread = None
        rows, error = self._answer
        if error is not None:
            raise error
        return rows

    def is_blocked(self):
        """Waits for a lock of another session."""
        return self.database.one(
            "SELECT cardinality(pg_blocking_pids(%s)) > 0", self.pid)

    def wait_blocked(self, limit=5):
        wait_until(self.is_blocked, limit, "the session waits for a lock")

    def close(self):
        if self._thread is not None:
            self.connection.cancel()
            self._thread.join(5)
        self.connection.close()
