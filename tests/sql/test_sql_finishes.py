"""Finishes in every order and cut: what a turn tells of several leases."""

import random

import psycopg2
import pytest

from sql.daemon import KINDS


def claim_some(worker, rng):
    """Leases of several kinds, one a turn."""
    for _ in range(rng.randint(1, 4)):
        worker.claim(want={rng.choice(KINDS): rng.randint(1, 9)})


def told_of(held, rng):
    """Some of what is held, as a worker tells it: by lease, then by task."""
    some = rng.sample(sorted(held), rng.randint(1, len(held)))
    if rng.random() < 0.3:
        return sorted(held, key=lambda task: (held[task], task))
    return sorted(some, key=lambda task: (held[task], task))


def leases(db, worker):
    return {row.id: row.task_ids for row in db.rows(
        "SELECT id, task_ids FROM muster.lease WHERE worker_id = %s",
        worker.id)}


def of_lease(held):
    """{lease: its tasks, ascending}"""
    tasks = {}
    for task, lease in sorted(held.items()):
        tasks.setdefault(lease, []).append(task)
    return tasks


def strangers(held, foreign, rng):
    """Another worker's task in its lease or in one of ours, or one of ours in
    a lease that it is not in."""
    leases = sorted({*held.values(), *foreign.values()})
    wrong = rng.choice([0, leases[-1] + 1, *leases])
    task = rng.choice(sorted({**held, **foreign}))
    if held.get(task) == wrong:
        return []
    return [(task, "s", {"lease": wrong})]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("way", ["in order", "in any order", "with others"])
def test_B2_finishes_of_parts_of_leases(db, worker, seed, way):
    """Each is recorded with its own result, the rest stays in its lease, and
    what is not the worker's is fenced."""
    rng = random.Random(f"{seed} {way}")
    db.rows("SELECT muster.enqueue((ARRAY['a', 'b', 'c'])[i % 3 + 1])"
            " FROM generate_series(1, 150) i")
    one, other = worker(), worker()
    claim_some(one, rng)
    claim_some(other, rng)
    foreign = dict(other.held)
    for _ in range(8):
        claim_some(one, rng)
        held = dict(one.held)
        if not held:
            break
        told = told_of(held, rng)
        ended = [(task, "s", {"result": str(task), "lease": held[task]})
                 for task in told]
        strange = (strangers(held, foreign, rng) if way == "with others"
                   else [])
        ended += [each for each in strange if each[0] not in told]
        ended.sort(key=lambda each: (each[2]["lease"], each[0]))
        if way == "in any order":
            rng.shuffle(ended)
        answer = one.turn(ended)
        assert answer.fenced == {(more["lease"], task)
                                 for task, _, more in ended
                                 if task not in told}
        one.held = {task: lease for task, lease in held.items()
                    if task not in told}
        assert leases(db, one) == of_lease(one.held)
        for task in told:
            row = db.task(task)
            assert (row.state, row.result) == ("succeeded", task)
        assert {db.task(task).state for task in one.held} <= {"running"}
    assert leases(db, other) == of_lease(foreign)


def test_B2_finishes_told_twice_in_a_turn_are_fenced_or_one(db, worker):
    """Nonsense of a worker: nothing is counted twice, nothing else is lost."""
    db.enqueue_many("a", 6)
    one = worker()
    one.claim(want={"a": 6})
    first, second, *left = sorted(one.held)
    one.turn([(first, "s"), (first, "s"), (second, "s")])
    assert {db.task(task).state for task in (first, second)} == {"succeeded"}
    assert leases(db, one) == of_lease(one.held) and len(one.held) == len(left)


@pytest.mark.parametrize("outcome", ["z", "S", " "])
def test_B2_an_outcome_that_is_not_known_is_refused_and_loses_nothing(
        db, worker, outcome):
    """Among others, which are not recorded either: it is the worker's to tell
    them apart."""
    db.enqueue_many("a", 3)
    one = worker()
    one.claim()
    before = leases(db, one)
    first, second, third = one.held
    with pytest.raises(psycopg2.Error) as refused:
        one.turn([(first, "s"), (second, outcome), (third, "f")])
    assert refused.value.pgcode == "MU003"
    assert f"task {second} has the outcome '{outcome}'" in str(refused.value)
    assert leases(db, one) == before
    assert db.states() == {"running": 3}
    one.turn([(first, "s"), (second, "c"), (third, "f")])
    assert db.states() == {"succeeded": 1, "cancelled": 1, "failed": 1}


def test_B2_leases_that_reach_across_each_other(db, worker):
    """What succeeds and tells nothing else is told by lease: its ids need not
    ascend from one lease to the next."""
    tasks = [db.enqueue(kind) for kind in "abba"]
    one = worker()
    outer, inner = (one.claim(want={kind: 2}).ids for kind in "ab")
    assert (outer, inner) == ([tasks[0], tasks[3]], tasks[1:3])
    assert not one.finish(*outer, *inner).fenced
    assert db.states() == {"succeeded": 4}
    assert db.one("SELECT ids FROM muster.finished") == tasks
    assert not db.invariants()
