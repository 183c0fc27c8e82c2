"""A storm: everybody does everything at once, at random, for some seconds."""

import json
import random
import threading
import time

import psycopg2

from sql.daemon import Scheduler, Worker


class Storm:
    """`errors` are what nobody may meet: whatever PostgreSQL raised."""

    def __init__(self, db, seconds, seed=None):
        self.db = db
        self.end = time.monotonic() + seconds
        self.seed = seed or random.getrandbits(32)
        self.errors = []
        self.finished = 0
        self.dead = threading.Event()
        self.lock = threading.Lock()

    def run(self):
        print("seed", self.seed)
        roles = [self.client] * 2 + [self.worker] * 3 + \
            [self.scheduler] * 2 + [self.rescuer]
        threads = [threading.Thread(target=self.guarded, args=(role, number))
                   for number, role in enumerate(roles)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def guarded(self, role, number):
        dice = random.Random(self.seed * 100 + number)
        try:
            while time.monotonic() < self.end and not self.errors:
                role(dice)
        except (psycopg2.Error, AssertionError) as error:
            self.errors.append(f"{role.__name__}: {error}")

    def client(self, dice):
        """One transaction that may be rolled back."""
        isolation = dice.choice([None, "repeatable read"])
        session = self.db.session("app", isolation)
        known = [row[0] for row in session.run(
            "SELECT id FROM muster.task_status ORDER BY id DESC LIMIT 60")]
        session.begin()
        for _ in range(dice.randrange(1, 6)):
            self.client_step(session, dice, known)
            time.sleep(dice.random() * 0.003)
        if isolation is None:  # last: two in one transaction could deadlock
            session.run("SELECT muster.enqueue('a', unique_key => %s, "
                        "on_conflict => %s)", dice.choice("uvw"),
                        dice.choice(["keep", "replace"]))
        session.run(dice.choice(["COMMIT"] * 9 + ["ROLLBACK"]))
        session.close()

    def client_step(self, session, dice, known):
        some = dice.sample(known, min(len(known), dice.randrange(4)))
        when = dice.choice(["succeeded", "finished", "failed"])
        step = dice.randrange(8)
        if step < 3:
            known.append(session.one(
                "SELECT muster.enqueue('a', priority => %s, depends_on => "
                "%s::bigint[], depends_when => %s, lock_key => %s, "
                "lock_limit => 2)", dice.randrange(-1, 2), some, when,
                dice.choice([None, None, "k", "l", "m"])))
        elif step == 3:
            session.run("SELECT muster.enqueue_many('b', '{1,2,3}')")
        elif step == 4:
            session.one("SELECT muster.submit_flow(%s)",
                        json.dumps(self.flow(dice)))
        elif step == 5 and known:
            session.one("SELECT muster.cancel(%s)", dice.choice(known))
        elif step == 6 and known:
            for task in some:
                session.one("SELECT muster.retry(%s)", task)
        elif step == 7:
            self.ask_for_many(session, dice)

    @staticmethod
    def ask_for_many(session, dice):
        flow = dice.randrange(1, 30)
        if dice.random() < 0.2:
            session.one("SELECT muster.cancel_flow(%s)", flow)
        elif dice.random() < 0.5:
            session.one("SELECT muster.retry_flow(%s)", flow)
        else:
            session.one("SELECT muster.retry_where(%s)", json.dumps({
                "state": dice.sample(["failed", "cancelled", "skipped"], 2),
                **dice.choice([{"flow": flow}, {"kind": "a"}])}))

    @staticmethod
    def flow(dice):
        tasks = {}
        for number in range(dice.randrange(1, 12)):
            needs = dice.sample(sorted(tasks), min(len(tasks),
                                                   dice.randrange(4)))
            tasks[f"s{number}"] = {"kind": dice.choice("abc"), "needs": [
                {"task": need, "when": dice.choice(
                    ["succeeded", "succeeded", "finished", "failed"])}
                for need in needs]}
            if dice.random() < 0.2:
                tasks[f"s{number}"]["lock"] = {
                    "key": dice.choice("klm"), "limit": 2}
        return {"flow": "storm", "tasks": tasks,
                "on_failure": dice.choice(["cancel", "continue"])}

    def worker(self, dice):
        """A worker's life; it ends when a rescuer took it for dead."""
        one = Worker(self.db)
        while time.monotonic() < self.end and not self.errors:
            ended = [(task, dice.choice("ssssssffrubc"), {"delay": 5})
                     for task in one.held if dice.random() < 0.7]
            if dice.random() < 0.5:
                ended = [(task, "s") for task, _, _ in ended]
            answer = one.turn(ended, want=dice.randrange(12),
                              floors=dice.random() < 0.5,
                              chain=dice.choice([None, 2, 16]))
            if answer.dead:
                break
            assert not answer.fenced, answer.fenced
            with self.lock:
                self.finished += len(ended)
        one.session.close()

    def scheduler(self, dice):
        one = Scheduler(self.db)
        while time.monotonic() < self.end and not self.errors:
            one.session.one(dice.choice(Scheduler.STEPS).replace(
                "1000", str(dice.choice([1, 5, 50, 1000]))))
            if dice.random() < 0.05:
                one.session.run("SELECT muster.mark()")
        one.session.close()

    def rescuer(self, dice):
        session = self.db.session("musterd")
        time.sleep(0.3)
        signs = session.run("SELECT worker FROM muster.worker_signs()")
        if signs:
            session.run("SELECT * FROM muster.rescue(%s, 'storm', %s, 3)",
                        dice.choice(signs).worker,
                        dice.choice([None, []]))
        session.close()

    def settle(self):
        """Until nothing is open: a last worker succeeds with everything."""
        for sign in self.db.rows("SELECT worker FROM muster.worker_signs()"):
            self.db.rows("SELECT * FROM muster.rescue(%s, 'end', '{}', 3)",
                         sign.worker)
        one, scheduler = Worker(self.db), Scheduler(self.db)
        for _ in range(1000):
            self.db.rows("UPDATE muster.scheduled SET run_at = now()")
            scheduler.work()
            answer = one.claim(100, floors=False)
            if not answer.tasks and not self.db.open_count():
                break
            one.finish_all()
        one.session.close()
