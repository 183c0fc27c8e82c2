"""Rows of ready that stand for several tasks."""


def steps(db, count, kind="a", **more):
    """The tasks of a flow of so many steps that wait for nothing."""
    flow = db.flow({f"s{i}": {"kind": kind, **more} for i in range(count)})
    return [row.id for row in db.rows(
        "SELECT id FROM muster.task WHERE flow_id = %s ORDER BY id", flow)]


def as_set(db, ids):
    """Lets one row stand for these, where the first of them stands."""
    db.rows("DELETE FROM muster.ready WHERE task_id = ANY (%s)", ids[1:])
    db.rows("UPDATE muster.ready r SET n = %s, size = %s * (SELECT max(t.size) "
            "FROM muster.task t WHERE t.id = ANY (%s)) WHERE r.task_id = %s",
            len(ids), len(ids), ids, ids[0])
    return ids


def rows(db):
    return [tuple(row) for row in db.rows(
        "SELECT task_id, n FROM muster.ready ORDER BY route_id, rank, lane, seq")]


def test_a_claim_takes_whole_sets_and_splits_the_last(db, worker):
    ids = steps(db, 40)
    as_set(db, ids[0:16])
    as_set(db, ids[17:33])
    one = worker()
    assert one.claim(20).ids == ids[:20]
    assert rows(db)[0] == (ids[20], 13)
    assert one.claim(13).ids == ids[20:33]
    assert one.claim(100).ids == ids[33:]
    assert rows(db) == []
    one.finish_all()
