"""The daemon's two sides as thin callers of the SQL, driven by the tests."""

import collections
import itertools
import random

from support.wait import wait_until

_numbers = itertools.count(1)
KINDS = ("a", "b", "c")

Task = collections.namedtuple(
    "Task", "lease id route rank lane seq flow attempt snoozes max_attempts "
    "timeout_ms has_needs payload rescues followers expect_ms head")


class Answer:
    """The rows of a turn, by what they are. Those that follow have the lease
    and route of the first of their chain, which is their `head`."""

    def __init__(self, rows):
        first = [Task(*row[1:], None) for row in rows if row.what == "c"]
        told = {row.task: Task(*row[1:], None) for row in rows
                if row.what == "n"}
        self.tasks = first + [
            told.pop(id)._replace(lease=task.lease, route=task.route,
                                  seq=task.seq, head=task.id)
            for task in first for id in task.followers or []]
        assert not told, "they follow nobody"
        self.ids = [task.id for task in self.tasks]
        self.fenced = {(row.lease, row.task) for row in rows
                       if row.what == "f"}
        self.cancel = {row.task for row in rows if row.what == "x"}
        self.floors = {(row.route, row.rank, row.lane): row.seq
                       for row in rows if row.what == "l"}
        self.dead = any(row.what == "d" for row in rows)


class Worker:
    """A worker with its own session and leases. `finish` and `claim` are
    turns; `held` maps each task to its lease."""

    def __init__(self, db, kinds=KINDS, queues=("default",), user="musterd",
                 number=None, instance="host-1"):
        self.db = db
        self.id = number or random.getrandbits(62) + next(_numbers)
        self.session = db.session(user)
        self.instance = instance
        self.held = {}
        self.floors = {}
        self.routes = {}
        self.register(kinds, queues)

    def register(self, kinds=KINDS, queues=("default",)):
        rows = self.session.run(
            "SELECT * FROM muster.worker_register(%s, %s, 'host', 42, '0.1', "
            "%s, %s)", self.id, self.instance, list(queues), list(kinds))
        self.routes = {(row.queue, row.kind): row.route for row in rows}

    def arguments(self, ended=(), want=0, limit=None, max_bytes=10 ** 7,
                  floors=True, chain=None):
        """The SQL of a turn and its parameters. `ended`: (task, outcome) or
        (task, outcome, {"ran", "delay", "result", "error", "lease"}). `chain`:
        so many followers come with each keyed task."""
        ended = [(*each, {})[:3] for each in ended]
        wants = ({route: want for route in self.routes.values()}
                 if isinstance(want, int)
                 else {self.routes["default", kind]: n
                       for kind, n in want.items()})
        wants = {route: n for route, n in wants.items() if n > 0}
        leases = [more.get("lease", self.held.get(task, 0))
                  for task, _, more in ended]
        known = list(self.floors.items()) if floors else []
        rich = any(more.keys() - {"lease"} for _, _, more in ended)

        def column(name):
            return [more.get(name) for _, _, more in ended] if rich else []
        return ("SELECT * FROM muster.turn(%s, %s, %s, %s, %s::int[], "
                "%s::bigint[], %s::text[], %s::text[], %s::int[], %s::int[], "
                "%s, %s, %s::int[], %s::int[], %s::int[], %s::bigint[], "
                "%s::int[])",
                self.id, leases, [task for task, _, _ in ended],
                "".join(outcome for _, outcome, _ in ended), column("ran"),
                column("delay"), column("result"), column("error"),
                list(wants), list(wants.values()),
                sum(wants.values()) * (1 + (chain or 0))
                if limit is None else limit, max_bytes,
                [key[0] for key, _ in known], [key[1] for key, _ in known],
                [key[2] for key, _ in known], [seq for _, seq in known],
                chain and [chain] * len(wants))

    def turn(self, ended=(), want=0, **more):
        sql, *arguments = self.arguments(ended, want, **more)
        # Without the casts '{}' has no type.
        sql = sql.replace("turn(%s, %s, %s", "turn(%s, %s::bigint[], "
                          "%s::bigint[]", 1)
        return self.took(self.session.run(sql, *arguments), ended)

    def send_turn(self, ended=(), want=0, **more):
        sql, *arguments = self.arguments(ended, want, **more)
        sql = sql.replace("turn(%s, %s, %s", "turn(%s, %s::bigint[], "
                          "%s::bigint[]", 1)
        self.session.send(sql, *arguments)
        self._sent = ended

    def answer(self, limit=10):
        return self.took(self.session.answer(limit), self._sent)

    def took(self, rows, ended):
        answer = Answer(rows)
        for each in ended:
            self.held.pop(each[0], None)
        for task in answer.tasks:
            self.held[task.id] = task.lease
        self.floors.update(answer.floors)
        return answer

    def claim(self, want=10, **more):
        return self.turn(want=want, **more)

    def finish(self, *tasks, outcome="s", **more):
        ended = [(task, outcome, more) if more else (task, outcome)
                 for task in tasks]
        return self.turn(ended)

    def finish_all(self, outcome="s"):
        return self.finish(*list(self.held), outcome=outcome)


class Scheduler:
    """What a scheduler does between its naps, until nothing is left."""

    STEPS = ("SELECT muster.admit(1000)", "SELECT muster.carry_out(1000)",
             "SELECT muster.unlock(1000)",
             "SELECT moved FROM muster.due(1000, NULL)",
             "SELECT fired FROM muster.fire(1000, NULL)",
             "SELECT muster.fold(1000)", "SELECT muster.expand(1000)")

    def __init__(self, db):
        self.db = db
        self.session = db.session("musterd")

    def work(self):
        """Until a whole round does nothing."""
        for _ in range(1000):
            if not sum([self.session.one(step) for step in self.STEPS]):
                return
        raise AssertionError("the scheduler does not come to rest")

    def __getattr__(self, step):
        """scheduler.admit(), .unlock(limit), …: one call."""
        return lambda limit=1000: self.session.one(
            f"SELECT muster.{step}(%s)", limit)


class Listener:
    """Hears what is notified."""

    def __init__(self, db):
        self.db = db
        self.session = db.session("musterd")
        self.session.run("LISTEN muster")

    def heard(self):
        """Everything notified until now."""
        self.db.rows("SELECT pg_notify('muster', 'that was all')")
        found = []

        def all_there():
            self.session.connection.poll()
            found.extend(note.payload
                         for note in self.session.connection.notifies)
            self.session.connection.notifies.clear()
            return "that was all" in found
        wait_until(all_there, 5)
        return found[:-1]


def sleep_on(db, *queues, number=1):
    db.rows("SELECT muster.sleep_on('host-1', %s, %s)", number, list(queues))
