"""Random flows with random ends, run by simulated workers, against a model of
what must become of each task. The model knows no order of events: what a task
ends as follows from the ends of its needs, whenever they come."""

import json
import random

import pytest

from sql.daemon import Worker

MET = {"succeeded": "s", "finished": "sfck", "failed": "f"}
NAMES = {"s": "succeeded", "f": "failed", "c": "cancelled", "k": "skipped"}


class Step:
    """A task: what it waits for, and its fate where it comes to run: s, f, c
    as in a turn, r: fails once, then succeeds, d: kills its workers; x, D: is
    cancelled, deleted, before anything runs."""

    def __init__(self, dice, earlier):
        self.id = None
        self.needs = dice.sample(earlier, min(len(earlier),
                                              dice.randrange(4)))
        self.when = {need: dice.choice(["succeeded", "succeeded", "finished",
                                        "failed"]) for need in self.needs}
        self.least = dice.choice([None, 1, dice.randint(1, len(self.needs))]
                                 ) if self.needs else None
        self.fate = dice.choice("sssssssffcrdxD")
        self.state = None  # the model's

    def mode(self):
        return {None: "all", 1: "any"}.get(self.least,
                                           {"at_least": self.least})

    def spare(self, ends):
        """How many more of its needs may end otherwise; None: is to come."""
        unmet = sum(end is not None and end not in MET[self.when[need]]
                    and (end, self.when[need]) != ("gone", "finished")
                    for need, end in ends.items())
        return len(self.needs) - (self.least or len(self.needs)) - unmet

    def end(self):
        """What it ends as, its needs having ended."""
        if self.fate in "xD":
            return "c"
        if self.spare({need: need.state for need in self.needs}) < 0:
            return "k"
        return {"r": "s", "d": "f"}.get(self.fate, self.fate)


class Flow:
    def __init__(self, db, dice):
        self.db = db
        self.dice = dice
        self.steps = []
        self.retried = False
        for _ in range(dice.randrange(1, 11)):
            self.steps.append(Step(dice, self.steps))
        self.fast = dice.random() < 0.25
        if self.fast:
            for step in self.steps:
                step.fate = {"x": "s", "D": "s"}.get(step.fate, step.fate)
        self.submit()
        self.added = dice.random() < 0.3
        if self.added:
            self.add()
        for step in self.steps:
            if step.fate in "xD":
                verb = {"x": "cancel", "D": "delete"}[step.fate]
                db.one(f"SELECT muster.{verb}(%s)", step.id)

    def submit(self):
        names = {step: f"s{i}" for i, step in enumerate(self.steps)}
        order = self.dice.sample(self.steps, len(self.steps))
        self.number = self.db.one("SELECT muster.submit_flow(%s)", json.dumps({
            "on_failure": "cancel" if self.fast else "continue", "tasks": [{
                "name": names[step], "kind": "a", "needs_mode": step.mode(),
                "needs": [{"task": names[need], "when": step.when[need]}
                          for need in step.needs],
                **({} if step.needs else {"needs_mode": "all"}),
            } for step in order]}))
        rows = self.db.tasks(self.number)
        for step, name in names.items():
            step.id = rows[name].id

    def add(self):
        """A task that joins the flow from outside, after some of it."""
        step = Step(self.dice, self.steps)
        when = self.dice.choice(list(MET))
        step.when = {need: when for need in step.needs}
        mode = step.mode() if step.needs else "all"
        step.id = self.db.enqueue(
            "a", flow_id=self.number, depends_when=when,
            depends_on=[need.id for need in step.needs],
            needs_mode=mode if isinstance(mode, str)
            else f"at_least {step.least}")
        step.fate = {"x": "s", "D": "s"}.get(step.fate, step.fate)
        self.steps.append(step)

    def run_model(self):
        for step in self.steps:
            step.state = step.end()
        for step in self.steps:
            if step.fate == "D":
                step.state = "gone"

    def check(self):
        """The flow is at its end, each task what the model says."""
        states = dict(self.db.rows("SELECT id, state FROM muster.task "
                                   "WHERE flow_id = %s", self.number))
        status = self.db.flow_status(self.number)
        assert status.finished_at and status.open == 0
        counts = {letter: list(states.values()).count(letter)
                  for letter in NAMES}
        assert {letter: getattr(status, name)
                for letter, name in NAMES.items()} == counts
        assert status.state == ("failed" if counts["f"] else "cancelled"
                                if counts["c"] else "succeeded")
        assert len((status.error or "").splitlines()) == counts["f"]
        if self.fast:
            self.check_stopped(states)
        else:
            assert states == {step.id: step.state for step in self.steps
                              if step.state != "gone"}

    def check_stopped(self, states):
        """What a stop takes depends on the moment, and so does what a retry
        brings back when the flow is stopped again; all else is as ever."""
        assert set(states) == {step.id for step in self.steps}
        for step in self.steps:
            before = step.state if self.retried else None
            step.state = states[step.id]
            if before == "s":
                assert step.state == "s"
            elif step.state != "c":
                assert step.state in (step.end(), before)

    # Bringing back.

    def delete_some(self):
        """Tasks that have ended; what that meant to others stays."""
        for step in self.steps:
            if not self.fast and step.state != "gone" \
                    and self.dice.random() < 0.05:
                step.state = "gone"
                self.db.one("SELECT muster.delete(%s)", step.id)

    def retry(self):
        """Asks for it and runs the model."""
        self.retried = True
        old = [step.state for step in self.steps]
        for step in self.steps:
            step.fate = self.dice.choice("sssssfcrd")
        chosen = [step for step in self.steps if step.state in ("f", "k", "c")]
        if self.added or self.fast or not chosen or self.dice.random() < 0.6:
            self.db.one("SELECT muster.retry_flow(%s)", self.number)
            if not self.fast:
                self.retry_flow(old)
            return
        step = self.dice.choice(chosen)
        self.db.one("SELECT muster.retry(%s)", step.id)
        if step.spare({need: need.state for need in step.needs}) < 0:
            return
        step.state = step.end()
        for other in self.steps:  # what was skipped comes back where it can
            if other is not step and other.state == "k":
                other.state = other.end()

    def retry_flow(self, old):
        again = set()
        for step, state in zip(self.steps, old):
            if state in ("f", "k") and step.spare({
                    need: None if need in again else need.state
                    for need in step.needs}) >= 0:
                again.add(step)
        for step in self.steps:
            if step in again:
                step.state = step.end()


class World:
    """Workers and schedulers that take steps in a random order."""

    def __init__(self, db, scheduler, dice):
        self.db = db
        self.scheduler = scheduler
        self.dice = dice
        self.workers = [Worker(db), Worker(db)]
        self.fates = {}
        self.failed_once = set()

    def close(self):
        for one in self.workers:
            one.session.close()

    def work(self):
        """A few steps of the scheduler, each of a random size."""
        for step in self.dice.sample(self.scheduler.STEPS, 3):
            self.scheduler.session.one(step.replace(
                "1000", str(self.dice.choice([1, 3, 20, 1000]))))

    def turn(self, number):
        one = self.workers[number]
        ended, killers = [], []
        for task in one.held:
            fate = self.fates[task]
            if fate == "r":
                fate = "s" if task in self.failed_once else "r"
                self.failed_once.add(task)
            if fate == "d":
                killers.append(task)
            elif killers or self.dice.random() < 0.8:
                ended.append((task, fate, {"delay": 0, "error": "broke"}
                              if fate != "s" else {}))
        answer = one.turn(ended, want=0 if killers
                          else self.dice.choice([1, 5, 100]),
                          floors=self.dice.random() < 0.5)
        for task in answer.cancel:  # the handler heeds it
            self.fates[task] = "c"
        if killers:
            self.kill(number, killers)

    def kill(self, number, killers):
        """With nothing but these in its hands."""
        one = self.workers[number]
        one.finish(*[task for task in one.held if task not in killers],
                   outcome="b")
        self.db.rows("SELECT * FROM muster.rescue(%s, 'crash', NULL, 0)",
                     one.id)
        one.session.close()
        self.workers[number] = Worker(self.db)

    def run(self, flows):
        self.fates = {step.id: step.fate for flow in flows
                      for step in flow.steps}
        for steps in range(3000):
            self.work()
            self.turn(self.dice.randrange(2))
            if steps % 40 == 39:
                assert self.db.invariants() == []
                if not self.open_count():
                    self.scheduler.work()  # may bring some back
                    if not self.open_count():
                        break
        assert self.db.invariants() == []
        assert not self.open_count()

    def open_count(self):
        return self.db.one("SELECT count(*) FROM muster.task "
                           "WHERE state IS NULL")


def play(db, scheduler, dice, count):
    """So many flows at once, run, partly deleted, brought back and purged."""
    flows = [Flow(db, dice) for _ in range(count)]
    while scheduler.session.one("SELECT muster.carry_out(10000)"):
        pass
    world = World(db, scheduler, dice)
    for flow in flows:
        flow.run_model()
    world.run(flows)
    for flow in flows:
        flow.check()
        flow.delete_some()
    scheduler.work()
    for _ in range(2):
        for flow in flows:
            flow.retry()
        world.fates = {step.id: step.fate for flow in flows
                       for step in flow.steps}
        world.failed_once.clear()
        world.run(flows)
        for flow in flows:
            flow.check()
    world.close()
    for _ in range(200):
        if not db.one("SELECT muster.purge(100000, '{\"\"}', '{0}') + "
                      "(SELECT count(*) FROM muster.finished)"):
            break
    assert db.one("SELECT count(*) FROM muster.task") == 0
    assert db.one("SELECT count(*) FROM muster.edge") == 0


@pytest.mark.parametrize("part", range(4))
def test_A2_random_flows_end_as_the_model_says(db, scheduler, is_long, part):
    for number in range(25 if is_long else 1):
        seed = random.getrandbits(32)
        print("seed", seed, "part", part, "number", number)
        play(db, scheduler, random.Random(seed), 60)
