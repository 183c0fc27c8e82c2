"""What a worker's session does before there is anything to do."""

from sql.daemon import Worker
from support.wait import wait_until

PLANS = ("SELECT count(*) FROM pg_backend_memory_contexts"
         " WHERE name = 'CachedPlan'")


def everything(db):
    """How many rows each table has."""
    return {name: db.one(f"SELECT count(*) FROM muster.{name}") for (name,)
            in db.rows("SELECT relname FROM pg_class WHERE relkind = 'r'"
                       " AND relnamespace = 'muster'::regnamespace")}


def run_flow(db, one):
    """Levels of 20, 10 and 1, ended by twos and threes."""
    db.flow({**{f"a{i}": {"kind": "a"} for i in range(20)},
             **{f"b{i}": {"kind": "b", "needs": [f"a{i}", f"a{19 - i}"]}
                for i in range(10)},
             "c": {"kind": "a", "needs": [f"b{i}" for i in range(10)]}})
    one.claim(5)
    while one.held:
        some = list(one.held)[::2][:3]
        one.turn([(task, "s", {"ran": 5}) for task in some], 3)


def test_E1_a_session_that_was_warmed_up_has_planned_what_turns_do(db):
    cold, warm = (Worker(db, user="postgres") for _ in range(2))
    grown = {}
    for one in (cold, warm):
        one.claim(1)
        if one is warm:
            one.session.run("SELECT muster.warm_up(%s)", one.id)
        before = one.session.one(PLANS)
        run_flow(db, one)
        grown[one] = one.session.one(PLANS) - before
    assert grown[cold] > 30
    assert grown[warm] < grown[cold] / 5, (grown[cold], grown[warm])
    assert db.invariants() == []


def test_to_warm_up_leaves_nothing_and_tells_nobody(db, worker, listener):
    one = worker()
    before = everything(db)
    listener.heard()
    one.session.run("SELECT muster.sleep_on('other', 5, '{default}')")
    before["sleepers"] += 1
    for _ in range(20):
        one.session.run("SELECT muster.warm_up(%s)", one.id)
    assert everything(db) == before
    assert listener.heard() == []
    assert one.claim(5).ids == []
    assert db.invariants() == []


def test_workers_warm_up_beside_each_other(db, worker):
    """Neither waits for what the other has made up and not yet undone: both have
    made it when their turns are held up."""
    one, two, third = worker(), worker(), db.session()
    third.run("SELECT pg_advisory_lock(hashtext('muster turn'))")
    for each in (one, two):
        each.session.send("SELECT muster.warm_up(%s)", each.id)
    wait_until(lambda: db.one("SELECT count(*) FROM pg_stat_activity WHERE"
                              " datname = current_database()"
                              " AND wait_event = 'advisory'") == 2, 5)
    third.run("SELECT pg_advisory_unlock(hashtext('muster turn'))")
    for each in (one, two):
        each.session.answer()
