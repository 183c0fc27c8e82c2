"""Chains: with a task that has a concurrency key some more of its key come at
once, which one worker runs one after the other under one slot."""

import collections
import random

import pytest


def keyed(db, scheduler, count, key="k", kind="a", **named):
    ids = [db.enqueue(kind, lock_key=key, **named) for _ in range(count)]
    scheduler.work()
    return ids


def chains(answer):
    """Of each claimed task those that follow it, in order."""
    return {task.id: task.followers or [] for task in answer.tasks
            if task.head is None}


def slots(db, key="k"):
    return db.one("SELECT held FROM muster.lock_held WHERE lock_id = "
                  "muster.lock_number(%s) ORDER BY gen DESC LIMIT 1", key)


def test_A3_a_chain_comes_from_the_head_of_the_line_under_one_slot(
        db, worker, scheduler):
    low = keyed(db, scheduler, 6)
    first, urgent = keyed(db, scheduler, 2, priority=5)
    one = worker()
    assert chains(one.claim(chain=4)) == {first: [urgent, *low[:3]]}
    assert not worker().claim(chain=4).ids, "one slot, which is held"
    assert not db.invariants()
    one.finish_all()
    assert len(one.claim(chain=9).ids) == 3
    one.finish_all()
    assert db.states() == {"succeeded": 8}
    assert slots(db) == 0 and not db.invariants()


def test_A3_many_chains_beside_tasks_without_keys(db, worker, scheduler):
    """Leases of up to 200 tasks, a chain in one, the ids of each ascending."""
    db.rows("SELECT count(*) FROM muster.enqueue_many('a', array_fill("
            "'{}'::jsonb, ARRAY[900]), lock_keys => ARRAY(SELECT "
            "CASE WHEN i % 3 > 0 THEN 'k' || i % 50 END "
            "FROM generate_series(1, 900) i))")
    scheduler.work()
    one = worker()
    answer = one.claim(600, chain=7)
    assert len(answer.ids) == 300 + 50 * 8
    lease_of = {task.id: task.lease for task in answer.tasks}
    assert all(lease_of[task.head] == task.lease for task in answer.tasks
               if task.head is not None)
    rows = db.rows("SELECT * FROM muster.lease")
    assert all(row.task_ids == sorted(row.task_ids) for row in rows)
    assert max(len(row.task_ids) for row in rows) <= 200
    assert len(rows) <= 5
    assert {task: row.id for row in rows for task in row.task_ids} == lease_of
    assert sum(len(row.followers) for row in rows if row.followers) == 350
    assert not db.invariants()
    one.finish(*random.Random(1).sample(answer.ids, 300))
    assert not db.invariants()
    one.finish_all()
    assert not db.invariants()


def test_A3_a_chain_passes_by_nobody(db, worker, scheduler):
    """It ends before the first of another route, though more of its own stand
    behind that."""
    first, second = keyed(db, scheduler, 2)
    other, = keyed(db, scheduler, 1, kind="b")
    keyed(db, scheduler, 2)
    one = worker()
    assert chains(one.claim({"a": 5}, chain=9)) == {first: [second]}
    one.finish_all()
    assert db.state(other) == "ready"


def test_A3_a_chain_keeps_to_what_the_claim_may_take(db, worker, scheduler):
    ids = [db.enqueue("a", {"x": "y" * 1000}, lock_key=key)
           for key in ("k", "l") for _ in range(5)]
    big = db.enqueue("a", {"x": "y" * 70000}, lock_key="m")
    bigger = db.enqueue("a", {"x": "y" * 70000}, lock_key="m")
    scheduler.work()
    one = worker()
    found = chains(one.claim({"a": 2}, chain=4, limit=5))
    assert set(found) == {ids[0], ids[5]}
    assert sorted(map(len, found.values())) == [1, 2], "about as many of each"
    assert set(sum(found.values(), [])) < {*ids[1:3], *ids[6:8]}
    one.finish_all()
    one.session.run("SELECT setseed(0.5)")
    found = one.claim({"a": 3}, chain=4, limit=9, max_bytes=10 ** 5)
    assert chains(found)[big] == []
    assert not db.invariants()
    one.finish_all()
    found = one.claim({"a": 3}, chain=4, max_bytes=10 ** 6)
    assert bigger in found.ids
    assert [task.payload for task in found.tasks if task.id == bigger] == [
        None]
    one.finish_all("b")
    scheduler.work()
    assert not db.invariants()


def test_A3_a_lowered_limit_ends_chains(db, worker, scheduler):
    keyed(db, scheduler, 6, lock_limit=2)
    keyed(db, scheduler, 1, lock_limit=1)
    one = worker()
    answer = one.claim(chain=4)
    assert chains(answer) == {id: [] for id in answer.ids}


def test_A3_a_paused_kind_comes_in_no_chain(db, worker, scheduler):
    first, = keyed(db, scheduler, 1)
    keyed(db, scheduler, 1, kind="b")
    keyed(db, scheduler, 1)
    db.rows("SELECT muster.pause_kind('b')")
    scheduler.work()
    one = worker()
    assert chains(one.claim(chain=4)) == {first: []}
    one.finish_all()
    assert one.claim().ids, "the slot goes to who can run"


def test_A3_several_slots_have_a_chain_each(db, worker, scheduler):
    ids = keyed(db, scheduler, 9, lock_limit=2)
    one = worker()
    assert chains(one.claim(chain=2)) == {
        ids[0]: [ids[2], ids[4]], ids[1]: [ids[3], ids[5]]}
    one.finish(ids[0], ids[2], ids[4])
    assert db.one("SELECT count(*) FROM muster.ready") == 0, \
        "as many slots stay as tasks, at most those that it had"
    one.finish(ids[1], ids[3])
    assert db.state(ids[6]) == "ready", "one is left, with one slot"
    assert not db.invariants()
    one.finish(ids[5])
    assert db.state(ids[7]) == "ready" and slots(db) == 2
    assert not db.invariants()


def test_A3_what_short_lines_leave_goes_to_longer_ones(db, worker, scheduler):
    hot = keyed(db, scheduler, 12, key="hot", lock_limit=2)
    short = [keyed(db, scheduler, 1, key=f"short {i}")[0] for i in range(3)]
    one = worker()
    assert chains(one.claim({"a": 5}, chain=9, limit=12)) == {
        hot[0]: hot[2:9:2], hot[1]: hot[3:9:2],
        **{id: [] for id in short}}, "in the order of the line"
    assert not db.invariants()
    one.finish_all()
    assert chains(one.claim(chain=9)) == {hot[9]: [hot[11]], hot[10]: []}
    one.finish_all()
    assert slots(db, "hot") == 0 and not db.invariants()


def test_A3_G2_a_chain_beside_what_was_moved(db, worker, scheduler):
    """What a moved task leaves behind is neither told nor leased."""
    moved = db.enqueue("a")
    first, second = keyed(db, scheduler, 2)
    db.rows("SELECT muster.reprioritise(ARRAY[%s], '{-5}')", moved)
    scheduler.work()
    one = worker()
    assert chains(one.claim({"a": 2}, chain=3)) == {first: [second]}
    assert db.one("SELECT task_ids FROM muster.lease") == [first, second]
    assert not db.invariants()
    one.finish_all()
    assert one.claim().ids == [moved]


def test_A3_a_slot_stays_in_a_lease_while_somebody_follows(
        db, worker, scheduler):
    """Whoever leaves, in whatever way: a follower takes over the slot, and who
    goes on at once stands in line again."""
    first, second, third, last = keyed(db, scheduler, 4)
    one = worker()
    assert chains(one.claim(chain=2)) == {first: [second, third]}
    one.finish(first, outcome="b")
    assert db.state(first) == "arriving"
    assert db.rows("SELECT followers FROM muster.lease")[0][0] == [third]
    assert not db.invariants()
    one.finish(second, outcome="u", delay=3600000)
    assert db.state(second) == "scheduled" and slots(db) == 1
    assert db.one("SELECT count(*) FROM muster.ready") == 0
    assert not db.invariants()
    scheduler.work()
    one.finish(third, outcome="r", delay=0)
    assert db.state(third) == "ready", "it has the slot, and keeps it"
    assert db.state(first) == db.state(last) == "waiting"
    assert not db.invariants()


@pytest.mark.parametrize("outcome, delay, state", [
    ("s", 0, "succeeded"), ("f", 0, "failed"), ("b", 0, "arriving"),
    ("u", 3600000, "scheduled"), ("r", 0, "arriving"), ("c", 0, "cancelled")])
def test_A3_a_follower_that_leaves_frees_nothing(
        db, worker, scheduler, outcome, delay, state):
    ids = keyed(db, scheduler, 5)
    one = worker()
    one.claim(chain=2)
    one.finish(ids[1], outcome=outcome, delay=delay)
    assert db.state(ids[1]) == state
    assert db.one("SELECT count(*) FROM muster.ready") == 0
    assert not db.invariants()
    one.finish(ids[0], ids[2])
    assert db.one("SELECT count(*) FROM muster.ready") == 1
    scheduler.work()
    assert not db.invariants()


@pytest.mark.parametrize("started", [None, []])
def test_B3_a_chain_of_a_dead_worker(db, worker, scheduler, started):
    """Who has the slot is ready with it, its followers stand in line."""
    ids = keyed(db, scheduler, 4)
    one = worker()
    one.claim(chain=2)
    db.rows("SELECT * FROM muster.rescue(%s, 'x', %s::bigint[], 3)", one.id,
            started)
    assert [db.state(task) for task in ids] == [
        "ready", "arriving", "arriving", "waiting"]
    assert not db.invariants()
    scheduler.work()
    two = worker()
    done = []
    while two.claim(chain=5).ids:
        done += two.held
        two.finish_all()
    assert sorted(done) == ids


def test_B3_a_chain_that_is_lost_again_and_at_last(db, worker, scheduler):
    """Put off and failed by rescues: no slot is handed on that a follower never
    had."""
    ids = keyed(db, scheduler, 4)
    for _ in range(3):
        one = worker()
        one.claim(chain=2)
        db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 2)", one.id)
        assert not db.invariants()
        db.rows("UPDATE muster.scheduled SET run_at = now() - interval '1 s'")
        scheduler.work()
        assert not db.invariants()
    assert "failed" in {db.state(task) for task in ids}


def test_A3_G2_cancel_and_reprioritise_of_a_follower(db, worker, scheduler):
    first, second, third, last = keyed(db, scheduler, 4)
    one = worker()
    one.claim(chain=2)
    db.rows("SELECT muster.cancel(%s), muster.reprioritise(ARRAY[%s], '{5}')",
            second, third)
    scheduler.work()
    assert one.turn().cancel == {second}
    assert db.state(third) == "running"
    one.finish(second, outcome="b")
    assert db.state(second) == "cancelled" and not db.invariants()
    one.finish(third, outcome="b")
    scheduler.work()
    one.session.run("SELECT setseed(0.5)")  # not the turn of the lowest
    one.finish(first)
    assert db.state(third) == "ready", "more urgent than the one before it"
    assert db.state(last) == "waiting"


def test_A2_what_needs_a_follower_is_freed_by_it(db, worker, scheduler):
    """The long way of a finish: needs, a flow, a unique key."""
    flow = db.flow({name: {"kind": "a", "lock": "k"} for name in "xyz"})
    unique = db.enqueue("a", lock_key="k", unique_key="u")
    scheduler.work()
    after = db.enqueue("b", depends_on=[unique])
    scheduler.work()
    one = worker()
    assert len(one.claim({"a": 1}, chain=3).ids) == 4
    last, = keyed(db, scheduler, 1)
    one.finish(unique)
    assert db.state(after) == "ready" and db.state(last) == "waiting"
    one.finish_all()
    assert db.state(last) == "ready"
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded"


def test_G3_why_names_who_has_the_slot_and_not_who_follows(
        db, worker, scheduler):
    first, second, third = keyed(db, scheduler, 3)
    one = worker()
    one.claim(chain=1)
    reason = db.why(third)[0].reason
    assert f"task {first} " in reason and f"task {second} " not in reason
    assert "others of its key come first" in db.why(second)[0].reason


# Two sessions.

def test_A3_a_chain_beside_a_cancel_of_one_in_line(db, worker, scheduler):
    """The cancel, which cannot hold off the turn, goes on without, and meets
    the follower when it runs."""
    first, second = keyed(db, scheduler, 2)
    db.rows("SELECT muster.cancel(%s)", second)
    one = worker()
    one.session.begin()
    assert chains(one.claim(chain=3)) == {first: [second]}
    scheduler.session.run("SET lock_timeout = '200 ms'")
    scheduler.carry_out()
    one.session.commit()
    assert db.state(second) == "running"
    scheduler.work()
    assert one.turn().cancel == {second}
    one.finish(second, outcome="c")
    one.finish(first)
    assert db.state(second) == "cancelled"
    assert slots(db) == 0 and not db.invariants()


def test_A3_a_cancel_of_one_in_line_beside_a_chain(db, worker, scheduler):
    """What is just being cancelled is stepped over, and comes back if that is
    undone."""
    first, second, third = keyed(db, scheduler, 3)
    canceller = db.session("musterd")
    canceller.begin()
    canceller.run("SELECT FROM muster.task WHERE id = %s FOR UPDATE", second)
    canceller.run("SELECT muster.cancel_keyed(%s)", [second])
    one = worker()
    one.session.run("SET lock_timeout = '100 ms'")
    assert chains(one.claim(chain=3)) == {first: [third]}
    canceller.rollback()
    assert not db.invariants()
    one.finish_all()
    assert db.state(second) == "ready" and not db.invariants()


@pytest.mark.parametrize("claim_ends", ["commit", "rollback"])
def test_A3_a_chain_beside_the_admission_of_a_more_urgent_task(
        db, worker, scheduler, claim_ends):
    first, second, _ = keyed(db, scheduler, 3)
    one = worker()
    one.session.begin()
    one.claim(chain=1)
    urgent = db.enqueue("a", lock_key="k", priority=5)
    scheduler.session.run("SET lock_timeout = '100 ms'")
    scheduler.admit()
    getattr(one.session, claim_ends)()
    assert db.state(urgent) == "waiting" and not db.invariants()
    if claim_ends == "rollback":
        one.held.clear()
        assert chains(one.claim(chain=2)) == {first: [urgent, second]}
    else:
        one.session.run("SELECT setseed(0.5)")
        one.finish_all()
        assert db.state(urgent) == "ready"
    scheduler.work()
    assert not db.invariants()


def test_A3_an_admission_under_way_beside_a_chain(db, worker, scheduler):
    """The claim waits for no mutex, and does without who is not there yet."""
    first, second = keyed(db, scheduler, 2)
    third = db.enqueue("a", lock_key="k")
    scheduler.session.begin()
    scheduler.admit()
    one = worker()
    one.session.run("SET lock_timeout = '100 ms'")
    assert chains(one.claim(chain=2)) == {first: [second]}
    scheduler.session.commit()
    one.finish_all()
    assert db.state(third) == "ready" and not db.invariants()


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_A3_a_chain_beside_a_hand_over_of_its_key(db, worker, scheduler, end):
    """Of two slots one is handed on while a chain that comes with the other has
    taken all that stand in line: it is neither lost nor given twice."""
    ids = keyed(db, scheduler, 4, lock_limit=2)
    two = worker()
    assert two.claim({"a": 1}).ids == [ids[0]]
    one = worker()
    one.session.begin()
    assert chains(one.claim(chain=5)) == {ids[1]: ids[2:]}
    two.session.run("SET lock_timeout = '100 ms'")
    two.finish_all()
    getattr(one.session, end)()
    scheduler.work()
    assert not db.invariants()
    assert db.one("SELECT count(*) FROM muster.ready") == (
        0 if end == "commit" else 2)
    if end == "rollback":
        one.held.clear()
    while one.claim(chain=5).ids or one.held:
        one.finish_all()
    assert not db.open_count() and slots(db) == 0


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_A3_a_hand_over_beside_a_chain_of_its_key(db, worker, scheduler, end):
    ids = keyed(db, scheduler, 5, lock_limit=2)
    one, two = worker(), worker()
    assert two.claim({"a": 1}).ids == [ids[0]]
    two.session.run("SELECT setseed(0.5)")
    two.session.begin()
    two.finish_all()
    one.session.run("SET lock_timeout = '100 ms'")
    assert chains(one.claim(chain=5)) == {ids[1]: ids[3:]}
    getattr(two.session, end)()
    assert db.state(ids[2]) == ("ready" if end == "commit" else "waiting")
    scheduler.work()
    assert not db.invariants()


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_B3_half_of_a_lease_ends_while_its_worker_is_rescued(
        db, worker, scheduler, end):
    ids = keyed(db, scheduler, 5)
    one = worker()
    one.claim(chain=3)
    one.session.begin()
    one.finish(ids[0], ids[2])
    rescuer = db.session("musterd")
    rescuer.send("SELECT * FROM muster.rescue(%s, 'x', '{}', 3)", one.id)
    rescuer.wait_blocked()
    getattr(one.session, end)()
    rescuer.answer()
    assert not db.invariants()
    assert db.one("SELECT count(*) FROM muster.ready") == 1
    assert db.state(ids[1]) == ("ready" if end == "commit" else "arriving")
    scheduler.work()
    assert not db.invariants()


def test_A3_who_is_given_back_is_admitted_while_its_followers_stay(
        db, worker, scheduler):
    """The first leaves in a turn that has not ended, the admission does not
    meet it; afterwards it stands in line, and no second one has a slot."""
    first, second, third = keyed(db, scheduler, 3)
    one = worker()
    one.claim(chain=2)
    one.session.begin()
    one.finish(first, outcome="b")
    scheduler.session.run("SET lock_timeout = '100 ms'")
    scheduler.admit()
    one.session.commit()
    scheduler.work()
    assert db.state(first) == "waiting" and not db.invariants()
    assert not worker().claim(chain=2).ids
    one.finish(second, third)
    assert db.state(first) == "ready" and not db.invariants()


def test_B2_two_finishes_of_one_lease_at_a_time(db, worker, scheduler):
    """Those of sql tasks come by another session: the second sees what the first
    left of the chain."""
    ids = keyed(db, scheduler, 4)
    one = worker()
    one.claim(chain=2)
    lease = one.held[ids[1]]
    one.session.begin()
    one.finish(ids[0])
    other = db.session("musterd")
    other.send("SELECT muster.finish_sql(%s, ARRAY[%s, %s], ARRAY[%s, %s], "
               "'{}', '{}')", one.id, lease, lease, ids[1], ids[2])
    other.wait_blocked()
    one.session.commit()
    other.answer()
    assert db.state(ids[3]) == "ready" and not db.invariants()


# At random.

class Model:
    """What the workers hold, as lists that are worked off from their heads: the
    first of each may run, and of a key never more than its limit."""

    def __init__(self, limits, key_of):
        self.limits = limits
        self.key_of = key_of
        self.lists = collections.defaultdict(list)

    def claimed(self, one, answer):
        for head, rest in chains(answer).items():
            self.lists[one].append([head] + rest)

    def left(self, one, tasks):
        self.lists[one] = [kept for kept in (
            [task for task in each if task not in tasks]
            for each in self.lists[one]) if kept]

    def check(self):
        running = collections.Counter(
            self.key_of[each[0]] for held in self.lists.values()
            for each in held)
        assert all(n <= self.limits[key] for key, n in running.items()
                   if key is not None), running


def random_life(db, worker, scheduler, seed, steps):
    dice = random.Random(seed)
    limits = {"k": 1, "l": 2, "m": 3}
    model = Model(limits, {})
    workers = [worker() for _ in range(3)]
    for _ in range(steps):
        step = dice.randrange(10)
        one = dice.choice(workers)
        if step <= 2:
            for _ in range(dice.randrange(1, 8)):
                key = dice.choice([None, "k", "k", "l", "m"])
                task = db.enqueue(dice.choice("aaab"), **(
                    {"lock_key": key, "lock_limit": limits[key]}
                    if key else {}), priority=dice.choice([0, 0, 5]))
                model.key_of[task] = key
        elif step <= 4:
            model.claimed(one, one.claim(dice.randrange(1, 4), chain=dice.choice(
                [None, 1, 3, 16]), limit=dice.choice([None, 5])))
        elif step <= 7 and one.held:
            ended = dice.sample(sorted(one.held),
                                dice.randrange(1, len(one.held) + 1))
            outcomes = dice.choice(["s", "ssb", "sfrubc"])
            one.turn([(task, dice.choice(outcomes),
                       {"delay": dice.choice([0, 3600000])})
                      for task in ended])
            model.left(one, ended)
        elif step == 8:
            db.rows("SELECT muster.cancel(%s)",
                    dice.choice(sorted(model.key_of) or [0]))
            for held in one.turn().cancel & set(one.held):
                one.finish(held, outcome="c")
                model.left(one, [held])
        elif dice.random() < 0.3:
            db.rows("SELECT * FROM muster.rescue(%s, 'x', %s::bigint[], %s)",
                    one.id, dice.choice([None, []]), dice.choice([None, 2]))
            model.lists.pop(one, None)
            one.session.close()
            workers[workers.index(one)] = worker()
        model.check()
        assert not db.invariants()
        if dice.random() < 0.7:
            scheduler.work()
            assert not db.invariants()
    finish_off(db, scheduler, workers, model)
    for one in workers:
        one.session.close()


def finish_off(db, scheduler, workers, model):
    for _ in range(300):
        db.rows("UPDATE muster.scheduled SET run_at = now() - interval '1 s'")
        scheduler.work()
        for one in workers:
            model.left(one, list(one.held))
            one.finish_all()
            model.claimed(one, one.claim(chain=8))
            model.check()
        if not db.open_count():
            break
    assert not db.open_count() and not db.invariants()
    assert {slots(db, key) or 0 for key in model.limits} == {0}


def test_A3_chains_at_random(db, worker, scheduler, is_long):
    seeds = range(40) if is_long else [random.getrandbits(16), 1]
    for seed in seeds:
        print("seed", seed)
        random_life(db, worker, scheduler, seed, 50)
