"""Concurrency keys: at most so many of a key at a time, whatever happens."""

import pytest


def holders(db, key="k"):
    """The tasks that have a slot."""
    return {row.id for row in db.rows(
        "SELECT id FROM muster.task_status WHERE lock_key = %s "
        "AND state IN ('ready', 'running')", key)}


def test_A3_a_key_lets_one_run_and_hands_over_in_the_same_transaction(
        db, worker, scheduler):
    ids = [db.enqueue("a", lock_key="k") for _ in range(3)]
    scheduler.work()
    assert [db.state(task) for task in ids] == ["ready", "waiting", "waiting"]
    one = worker()
    for task in ids:
        assert one.claim().ids == [task]
        assert not worker().claim().ids
        one.finish(task)
    assert db.states() == {"succeeded": 3}
    assert db.enqueue("a", lock_key="k")
    scheduler.work()
    assert len(one.claim().ids) == 1
