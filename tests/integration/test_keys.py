"""Concurrency keys across hosts, with tasks that really run."""


def test_A3_a_limit_holds_over_two_hosts(db, daemon, ledger):
    """Never more than two of a key at a time, nor more than one of another,
    and what has no key goes on beside them."""
    handlers = {"quick": ledger.handler(first="sleep 0.05")}
    hosts = [daemon(handlers=handlers, workers=2) for _ in range(2)]
    ids = {
        "two": db.enqueue_many("quick", 24, lock_keys=["two"] * 24,
                               lock_limit=2),
        "one": db.enqueue_many("quick", 10, lock_keys=["one"] * 10)}
    db.enqueue_many("quick", 20)
    most = {"two": 0, "one": 0}
    while db.open_count():
        for key in ids:
            running = db.one(
                "SELECT count(*) FROM muster.task t WHERE lock_key = %s AND "
                "id IN (SELECT unnest(task_ids) FROM muster.lease)", key)
            most[key] = max(most[key], running)
    assert db.states() == {"succeeded": 54}
    assert most == {"two": 2, "one": 1}
    assert set(ledger.count().values()) == {1}
    assert hosts
