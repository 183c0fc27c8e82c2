"""Overtaking in the line before a concurrency key: who is ready with a slot and
not yet claimed gives it to one of a higher priority."""

import random

import pytest


def standing(db, state, key="k"):
    """The tasks of the key in that state, as they were enqueued."""
    return [row.id for row in db.rows(
        "SELECT id FROM muster.task_status WHERE lock_key = %s "
        "AND state = %s ORDER BY id", key, state)]


def line_of(db, key="k"):
    """Those who wait for the key, in the order in which they stand."""
    return [row.task_id for row in db.rows(
        "SELECT task_id FROM muster.waiting WHERE lock_id = "
        "muster.lock_number(%s) ORDER BY line, seq", key)]


def keyed(db, scheduler, count, key="k", **named):
    ids = [db.enqueue("a", lock_key=key, **named) for _ in range(count)]
    scheduler.work()
    return ids


@pytest.fixture(name="calm")
def _calm(worker, scheduler):
    """A worker; neither it nor the scheduler hands on a slot by age for some
    twenty hand-overs."""
    one = worker()
    for session in (one.session, scheduler.session):
        session.run("SELECT setseed(0.5)")
        session.run("SET lock_timeout = '100 ms'")
    return one


def test_A3_the_more_urgent_overtakes_who_is_not_yet_claimed(
        db, calm, scheduler):
    """Of several the least urgent, and of these the youngest; it goes back to
    the head of its own line, and has its turn in its old order."""
    low = keyed(db, scheduler, 5, lock_limit=3)
    assert standing(db, "ready") == low[:3]
    middle, = keyed(db, scheduler, 1, lock_limit=3, priority=2)
    assert standing(db, "ready") == low[:2] + [middle]
    assert line_of(db) == low[2:]
    urgent = keyed(db, scheduler, 4, lock_limit=3, priority=5)
    assert standing(db, "ready") == urgent[:3]
    assert line_of(db) == [urgent[3], middle] + low
    assert db.invariants() == []
    done = []
    while calm.claim({"a": 1}).ids:
        done += calm.held
        calm.finish_all()
    assert done == urgent + [middle] + low


def test_A3_of_one_priority_nobody_is_overtaken(db, scheduler):
    """Not even by a step of a flow, whose line comes before that of a task of
    none."""
    first, = keyed(db, scheduler, 1, priority=3)
    keyed(db, scheduler, 2, priority=3)
    db.flow({"x": {"kind": "a", "lock": "k", "priority": 3}})
    scheduler.work()
    assert standing(db, "ready") == [first]


def test_A3_who_runs_is_not_overtaken(db, calm, scheduler):
    low = keyed(db, scheduler, 2)
    assert calm.claim().ids == low[:1]
    urgent, = keyed(db, scheduler, 1, priority=5)
    assert standing(db, "running") == low[:1]
    assert line_of(db) == [urgent, low[1]]
    calm.finish(low[0], outcome="b")
    scheduler.work()
    assert standing(db, "ready") == [urgent], "it was given back"
    assert line_of(db) == low


def test_A3_who_was_rescued_is_overtaken(db, calm, scheduler):
    low, = keyed(db, scheduler, 1)
    calm.claim()
    urgent, = keyed(db, scheduler, 1, priority=5)
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", calm.id)
    scheduler.work()
    assert standing(db, "ready") == [urgent] and line_of(db) == [low]


def test_A3_who_comes_due_or_back_overtakes(db, calm, scheduler):
    low, = keyed(db, scheduler, 1)
    due, = keyed(db, scheduler, 1, priority=1, run_at="2100-01-01")
    back, = keyed(db, scheduler, 1, priority=2, run_at="2100-01-01")
    db.rows("SELECT muster.cancel(%s)", back)
    scheduler.work()
    assert standing(db, "ready") == [low]
    db.rows("UPDATE muster.scheduled SET run_at = now() - interval '1 s'")
    scheduler.work()
    assert standing(db, "ready") == [due]
    db.rows("SELECT muster.retry(%s)", back)
    scheduler.work()
    assert standing(db, "ready") == [back] and line_of(db) == [due, low]


def test_G2_a_changed_priority_overtakes_and_is_overtaken(
        db, calm, scheduler):
    first, second, third = keyed(db, scheduler, 3)

    def reprioritise(task, priority):
        db.rows("SELECT muster.reprioritise(ARRAY[%s], ARRAY[%s])",
                task, priority)
        scheduler.work()
    reprioritise(third, 5)
    assert standing(db, "ready") == [third]
    assert line_of(db) == [first, second]
    reprioritise(third, -1)
    assert standing(db, "ready") == [first]
    assert line_of(db) == [second, third]
    reprioritise(first, 7)
    reprioritise(second, 6)
    assert standing(db, "ready") == [first]


def test_A3_a_paused_queue_overtakes_nobody(db, calm, scheduler):
    low, = keyed(db, scheduler, 1)
    db.rows("SELECT muster.pause('q')")
    shut, = keyed(db, scheduler, 1, queue="q", priority=5)
    assert standing(db, "ready") == [low]
    assert db.rows("SELECT * FROM muster.lock_freed") == [], "settled"
    urgent, = keyed(db, scheduler, 1, priority=1)
    assert standing(db, "ready") == [urgent], "behind one who cannot run"
    db.rows("SELECT muster.resume('q')")
    scheduler.work()
    assert standing(db, "ready") == [shut]
    assert line_of(db) == [urgent, low]


def test_A3_a_lowered_limit_is_kept_by_those_who_overtake(
        db, calm, scheduler):
    low = keyed(db, scheduler, 3, lock_limit=3)
    running = calm.claim({"a": 1}).ids
    urgent = keyed(db, scheduler, 3, lock_limit=1, priority=5)
    assert standing(db, "ready") == urgent[:2]
    assert line_of(db) == urgent[2:] + low[1:]
    calm.finish(*running)
    assert standing(db, "ready") == urgent[:2]
    one, = calm.claim({"a": 1}).ids
    calm.finish(one)
    scheduler.work()
    assert standing(db, "ready") == urgent[1:2]


def test_A3_who_has_its_slot_by_age_is_not_overtaken(
        db, calm, scheduler):
    """Else what is little urgent would wait for ever beside a stream of what
    is urgent."""
    keyed(db, scheduler, 2, priority=5)
    low = keyed(db, scheduler, 3)
    aged = 0
    for _ in range(200):
        calm.claim()
        calm.finish_all()
        now, = standing(db, "ready")
        keyed(db, scheduler, 1, priority=7)
        if now in low:
            assert standing(db, "ready") == [now]
            aged += 1
            if aged == 2:
                break
    assert aged == 2


# Beside others: one after the other, or while a transaction stays open.

@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_A3_overtaking_beside_a_claim_under_way(db, calm, scheduler, end):
    """Who is just claiming it wins; if that is undone, it is seen later."""
    low, = keyed(db, scheduler, 1)
    calm.session.begin()
    assert calm.claim().ids == [low]
    urgent = db.enqueue("a", lock_key="k", priority=5)
    scheduler.admit()
    assert line_of(db) == [urgent]
    getattr(calm.session, end)()
    scheduler.work()
    assert standing(db, "running" if end == "commit" else "waiting") == [low]
    assert db.state(urgent) == ("waiting" if end == "commit" else "ready")
    assert db.invariants() == []


def test_A3_a_claim_beside_an_overtaking_under_way(db, calm, scheduler):
    low, = keyed(db, scheduler, 1)
    urgent = db.enqueue("a", lock_key="k", priority=5)
    scheduler.session.begin()
    scheduler.admit()
    assert not calm.claim().ids, "it waits for nobody, and gets neither"
    scheduler.session.commit()
    assert calm.claim(floors=False).ids == [urgent]
    assert line_of(db) == [low] and db.invariants() == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_A3_overtaking_beside_a_cancel_under_way(db, calm, scheduler, end):
    """The canceller has locked the task and takes it for one that is ready, which
    it has to stay."""
    low, = keyed(db, scheduler, 1)
    canceller = db.session("musterd")
    canceller.begin()
    canceller.run("SELECT FROM muster.task WHERE id = %s FOR UPDATE", low)
    urgent = db.enqueue("a", lock_key="k", priority=5)
    scheduler.admit()
    assert line_of(db) == [urgent] and standing(db, "ready") == [low]
    canceller.run("SELECT * FROM muster.cancel_tasks(%s, 'x', true)", [low])
    getattr(canceller, end)()
    scheduler.work()
    assert standing(db, "ready") == [urgent]
    assert db.state(low) == ("cancelled" if end == "commit" else "waiting")
    assert db.invariants() == []


@pytest.mark.parametrize("verb", ["cancel(%s)", "reprioritise(ARRAY[%s], '{9}')"])
def test_A3_a_request_beside_an_overtaking_under_way(
        db, calm, scheduler, verb):
    low, = keyed(db, scheduler, 1)
    urgent = db.enqueue("a", lock_key="k", priority=5)
    scheduler.session.begin()
    scheduler.admit()
    db.rows(f"SELECT muster.{verb}", low)
    other = db.session("musterd")
    other.run("SET lock_timeout = '100 ms'")
    other.run("SELECT muster.carry_out(100)")
    scheduler.session.commit()
    assert standing(db, "ready") == [urgent] and db.invariants() == []
    scheduler.work()
    assert db.state(urgent) == ("ready" if verb < "d" else "waiting")
    assert db.state(low) == ("cancelled" if verb < "d" else "ready")


@pytest.mark.parametrize("priority, first", [(9, True), (-9, False)])
def test_G2_overtaking_beside_a_changing_priority(
        db, calm, scheduler, priority, first):
    low, = keyed(db, scheduler, 1)
    db.rows("SELECT muster.reprioritise(ARRAY[%s], ARRAY[%s])", low, priority)
    other = db.session("musterd")
    other.begin()
    other.run("SELECT muster.carry_out(100)")
    urgent = db.enqueue("a", lock_key="k", priority=5)
    scheduler.admit()
    assert line_of(db) == [urgent]
    other.commit()
    scheduler.work()
    assert standing(db, "ready") == [low if first else urgent]
    assert db.invariants() == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_A3_overtaking_beside_a_hand_over(db, calm, worker, scheduler, end):
    """Two slots: one is just handed on, the other is taken over."""
    low = keyed(db, scheduler, 3, lock_limit=2)
    assert calm.claim({"a": 1}).ids == low[:1]
    calm.session.begin()
    calm.finish(low[0])
    urgent = [db.enqueue("a", lock_key="k", lock_limit=2, priority=5)
              for _ in range(2)]
    scheduler.admit()
    assert standing(db, "ready") == urgent[:1]
    getattr(calm.session, end)()
    assert db.invariants() == []
    # Who has come to the slot at the same moment is seen at the next look.
    db.rows("INSERT INTO muster.lock_freed (lock_id, n) "
            "VALUES (muster.lock_number('k'), 0)")
    scheduler.work()
    gone = end == "commit"
    assert standing(db, "ready") == (urgent if gone else urgent[:1])
    assert set(line_of(db)) == set(low[1:] if gone else urgent[1:] + low[1:])
    assert db.invariants() == []


def test_A3_a_hand_over_beside_an_overtaking_under_way(
        db, calm, worker, scheduler):
    """The freed slot goes to nobody, since the mutex is taken: to the head of
    the line, when admission looks again."""
    low = keyed(db, scheduler, 2, lock_limit=2)
    assert calm.claim({"a": 1}).ids == low[:1]
    urgent = db.enqueue("a", lock_key="k", lock_limit=2, priority=5)
    scheduler.session.begin()
    scheduler.admit()
    calm.finish(low[0])
    scheduler.session.commit()
    assert standing(db, "ready") == [urgent] and db.invariants() == []
    scheduler.work()
    assert standing(db, "ready") == [low[1], urgent]


def test_A3_two_overtake_and_one_of_two_is_just_claimed(
        db, calm, worker, scheduler):
    low = keyed(db, scheduler, 2, lock_limit=2)
    calm.session.begin()
    claimed, = calm.claim({"a": 1}).ids
    urgent = [db.enqueue("a", lock_key="k", lock_limit=2, priority=p)
              for p in (5, 6)]
    scheduler.admit()
    assert standing(db, "ready") == sorted([urgent[1], claimed])
    calm.session.rollback()
    scheduler.work()
    assert standing(db, "ready") == urgent and line_of(db) == low
    assert db.invariants() == []


def test_A3_overtaking_beside_a_hand_over_to_one_of_two_who_are_urgent(
        db, calm, worker, scheduler):
    """Two are given back, and might be overtaken by two, one of whom just gets
    a slot of another: of the two the younger gives way to the other."""
    low = keyed(db, scheduler, 3, lock_limit=3)
    other = worker()
    assert other.claim({"a": 1}).ids == low[:1]
    assert calm.claim().ids == low[1:]
    urgent = keyed(db, scheduler, 2, lock_limit=3, priority=5)
    calm.finish(*low[1:], outcome="b")
    other.session.run("SELECT setseed(0.5)")
    other.session.begin()
    other.finish(low[0])
    scheduler.admit()
    assert standing(db, "ready") == [low[1], urgent[1]]
    other.session.commit()
    scheduler.work()
    assert standing(db, "ready") == [low[1], *urgent]
    assert line_of(db) == low[2:] and db.invariants() == []


def test_A3_the_floor_of_a_line_lets_in_who_was_overtaken(
        db, calm, scheduler):
    low = keyed(db, scheduler, 5)
    floor = db.one("SELECT seq FROM muster.waiting ORDER BY seq LIMIT 1")
    db.rows("INSERT INTO muster.lock_floor VALUES (muster.lock_number('k'), "
            "nextval('muster.lock_gen'), 8, %s)", floor)
    urgent, = keyed(db, scheduler, 1, priority=5)
    assert line_of(db) == low and db.invariants() == []
    assert calm.claim().ids == [urgent]
    calm.finish(urgent)
    assert calm.claim().ids == low[:1]


class Model:
    """What is known of the keyed tasks from what was asked for and what workers
    got: no look at any place."""

    LIMITS = {"k": 1, "l": 2, "m": 4}

    def __init__(self, db, dice):
        self.db = db
        self.dice = dice
        self.open = {}  # task: [key, priority, queue]
        self.late = set()  # not yet due
        self.moved = set()  # whose order is not that of its number any more
        self.running = set()
        self.paused = False
        self.first = {}  # (key, priority): the last that was claimed first

    def enqueue(self):
        key = self.dice.choice(list(self.LIMITS))
        priority = self.dice.choice([0, 0, 3, 5])
        queue = self.dice.choice(["default", "default", "q"])
        late = self.dice.random() < 0.1
        task = self.db.enqueue(
            "a", lock_key=key, lock_limit=self.LIMITS[key], priority=priority,
            queue=queue, run_at="2100-01-01" if late else None)
        self.open[task] = [key, priority, queue]
        if late:
            self.late.add(task)
        if late or queue == "q":
            self.moved.add(task)

    def pick(self):
        return self.dice.choice(sorted(self.open)) if self.open else None

    def claimed(self, tasks):
        """Of one key and priority they come in the order of their numbers."""
        for task in sorted(tasks):
            assert task in self.open and task not in self.running
            assert not (self.paused and self.open[task][2] == "q")
            self.running.add(task)
            if task not in self.moved:
                line = tuple(self.open[task][:2])
                assert task > self.first.get(line, 0), "out of its order"
                self.first[line] = task
                self.moved.add(task)

    def check(self):
        for key, limit in self.LIMITS.items():
            able = {task for task, (its, _, queue) in self.open.items()
                    if its == key and task not in self.running
                    and task not in self.late
                    and not (self.paused and queue == "q")}
            busy = sum(self.open[task][0] == key for task in self.running)
            ready = set(standing(self.db, "ready", key))
            assert ready <= able
            assert len(ready) == min(limit - busy, len(able))
            by_age = {row.task_id for row in self.db.rows(
                "SELECT task_id FROM muster.ready WHERE aged")}
            worst = min((self.open[task][1] for task in ready - by_age),
                        default=1000)
            best = max((self.open[task][1] for task in able - ready),
                       default=-1000)
            assert worst >= best, "the less urgent has the slot"


@pytest.mark.parametrize("seed", range(2))
def test_A3_overtaking_at_random(db, worker, scheduler, seed, is_long):
    """Whatever happens, at each quiet moment no task that is ready and not
    claimed is less urgent than one that waits for its key, but by age."""
    for dice in [random.Random(f"{seed} {n}")
                 for n in range(20 if is_long else 1)]:
        run_random(db, worker, scheduler, dice)


def run_random(db, worker, scheduler, dice):
    model = Model(db, dice)
    workers = [worker(queues=("default", "q")) for _ in range(2)]
    for _ in range(60):
        step = dice.randrange(10)
        one = dice.choice(workers)
        task = model.pick()
        if step <= 3:
            for _ in range(dice.randrange(1, 4)):
                model.enqueue()
        elif step == 4:
            model.claimed(one.claim(dice.randrange(1, 4)).ids)
        elif step <= 6 and one.held:
            task = dice.choice(list(one.held))
            outcome = dice.choice("ssfrub")
            late = outcome in "ru" and dice.random() < 0.5
            one.finish(task, outcome=outcome, delay=3600000 if late else 0)
            model.running.remove(task)
            if outcome in "sf":
                del model.open[task]
            elif late:
                model.late.add(task)
        elif step == 7 and task and task not in model.running:
            db.rows("SELECT muster.cancel(%s)", task)
            del model.open[task]
        elif step == 8 and task and task not in model.running:
            model.open[task][1] = dice.choice([0, 3, 5, 7])
            model.moved.add(task)
            db.rows("SELECT muster.reprioritise(ARRAY[%s], ARRAY[%s])",
                    task, model.open[task][1])
        elif step == 9 and dice.random() < 0.5:
            model.paused = not model.paused
            db.rows("SELECT muster.%s('q')" % (
                "pause" if model.paused else "resume"))
        elif step == 9:
            db.rows("UPDATE muster.scheduled SET run_at = now()")
            model.late.clear()
        scheduler.work()
        model.check()
        assert db.invariants() == []
    finish_random(db, workers, scheduler, model)


def finish_random(db, workers, scheduler, model):
    """Nothing was lost."""
    db.rows("SELECT muster.resume('q')")
    db.rows("UPDATE muster.scheduled SET run_at = now()")
    model.paused = False
    model.late.clear()
    while model.open:
        for one in workers:
            scheduler.work()
            model.check()
            model.claimed(one.claim(floors=False).ids)
            for task in list(one.held):
                one.finish(task)
                model.running.remove(task)
                del model.open[task]
    assert db.open_count() == 0
