"""What a scheduler is told that there is to do: never too little."""


def look(scheduler):
    """The chores for which there is something."""
    row = scheduler.session.run("SELECT * FROM muster.look()")[0]
    return {name for name, found in zip(row._fields, row) if found}


def test_look_finds_nothing_where_nothing_is(db, worker, scheduler):
    db.enqueue("k")
    db.rows("SELECT muster.enqueue('k', run_at => now() + interval '1 h')")
    one = worker(kinds=["k"])
    one.claim()
    assert look(scheduler) == set()
    one.finish_all()
    scheduler.work()
    assert look(scheduler) == set()


def test_look_finds_requests(db, scheduler):
    task = db.enqueue("k")
    db.rows("SELECT muster.cancel(%s)", task)
    assert "carry_out" in look(scheduler)
    scheduler.carry_out()
    assert "carry_out" not in look(scheduler)


def test_look_finds_what_arrives_and_keys_given_back(db, worker, scheduler):
    db.enqueue("k", lock_key="a")
    assert look(scheduler) == {"admit"}
    scheduler.work()
    assert look(scheduler) == set()
    db.rows("INSERT INTO muster.lock_freed (lock_id, n)"
            " SELECT id, 0 FROM muster.lock_key")
    assert look(scheduler) == {"admit"}
    scheduler.work()
    assert look(scheduler) == set()


def test_look_finds_pieces_of_needs_still_to_place(db, worker, scheduler):
    worker(kinds=["k"])
    needs = db.enqueue_many("k", 1500)
    db.rows("SELECT muster.enqueue('k', depends_on => %s)", needs)
    seen = []
    while "admit" in look(scheduler):
        scheduler.admit(500)
        seen.append(db.one("SELECT count(*) FROM muster.placing"))
    assert 1 in seen and seen[-1] == 0
    assert db.one("SELECT count(*) FROM muster.blocked") == 1


def test_look_finds_ends_of_flows_and_what_is_unlocked(db, worker, scheduler):
    steps = {"a": {"kind": "k"}}
    steps.update({f"b{i}": {"kind": "k", "needs": ["a"]}
                  for i in range(3000)})
    db.flow(steps)
    one = worker(kinds=["k"], queues=["default"])
    one.claim()
    one.finish_all("f")
    found = look(scheduler)
    assert {"unlock", "fold"} <= found
    while "unlock" in look(scheduler):
        assert scheduler.unlock() > 0
    while "fold" in look(scheduler):
        assert scheduler.fold() > 0
    assert look(scheduler) == set()


def test_look_finds_what_is_added_to_a_flow(db, worker, scheduler):
    flow = db.flow({"a": {"kind": "k"}})
    db.rows("SELECT muster.enqueue('k', flow_id => %s)", flow)
    assert look(scheduler) == {"admit"}
    scheduler.admit()
    assert look(scheduler) == {"fold"}
    scheduler.fold()
    assert look(scheduler) == set()


def test_look_finds_maps(db, worker, scheduler):
    worker(kinds=["k"])
    db.flow({"m": {"kind": "k", "map": {"over": [1, 2, 3]}}})
    assert "expand" in look(scheduler)
