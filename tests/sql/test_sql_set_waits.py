"""Steps of a flow that wait for the same: a set, one row of blocked and one edge a
need."""

import pytest


def fan(db, needs=("n",), members=3, when="finished", **more):
    """Needs of kind a, and members of kind b that wait for all of them, or as
    `more` says; the ids of the needs and those of the members."""
    tasks = {need: {"kind": "a"} for need in needs}
    tasks.update({f"m{i:02}": {"kind": "b", **more, "needs": [
        {"task": need, "when": when} for need in needs]}
        for i in range(members)})
    rows = db.tasks(db.flow(tasks))
    ids = [rows[name].id for name in tasks]
    return ids[:len(needs)], ids[len(needs):]


def blocked(db):
    return [tuple(row) for row in db.rows(
        "SELECT coalesce(first, task_id), n, mixed FROM muster.blocked "
        "ORDER BY task_id")]


def edges(db, *needs):
    return db.one("SELECT count(*) FROM muster.edge WHERE need = ANY (%s)",
                  list(needs))


def own_edge(db, need, task):
    return db.rows("SELECT life FROM muster.edge WHERE need = %s "
                   "AND task_id = %s", need, task) != []


def cancelled(db, scheduler, *tasks):
    for task in tasks:
        db.one("SELECT muster.cancel(%s)", task)
    while scheduler.carry_out():
        pass
    assert {db.state(task) for task in tasks} == {"cancelled"}


def asked(db, scheduler, call, *arguments):
    number = db.one(f"SELECT muster.{call}", *arguments)
    while scheduler.carry_out():
        pass
    assert db.invariants() == []
    return db.one("SELECT answer FROM muster.request_status(%s)", number)


def runs(db, one, scheduler):
    """What of kind b there is to run; each runs once."""
    scheduler.work()
    ids = one.claim({"b": 100}, floors=False).ids
    assert len(ids) == len(set(ids))
    assert db.invariants() == []
    return ids


# Submitting.

def test_A2_what_waits_for_the_same_is_one_row_with_one_edge(db, worker):
    needs, members = fan(db, ("n", "o"), 20)
    assert members == [members[0] + i for i in range(16)] + [
        members[16] + i for i in range(4)]
    assert blocked(db) == [(members[0], 16, False), (members[16], 4, False)]
    assert edges(db, *needs) == 4
    assert {db.state(task) for task in members} == {"blocked"}
    assert db.one("SELECT sum(blocked) FROM muster.queue_stats") == 20
    one = worker()
    one.claim({"a": 2})
    one.finish(needs[0])
    assert db.why(members[3])[0].reason == "m03 (b): it waits for 1 task"
    assert [row.task_id for row in db.why(members[3])] == [
        members[3], needs[1]]
    one.finish(needs[1], outcome="f")
    assert blocked(db) == []
    assert db.states(members) == {"ready": 20}
    assert one.claim({"b": 100}).ids == members


@pytest.mark.parametrize("more", [
    {"priority": 1}, {"lock": "x"}, {"run_at": "2001-01-01T00:00:00Z"},
    {"kind": "c"}, {"queue": "other"}, {"needs_mode": "any"},
    {"needs": ["n"]}, {"needs": ["n", {"task": "o", "when": "finished"}]},
    {"needs": ["n", "o", "p"]}, {"expect": "1h"}, {"map": [1]}])
def test_A2_what_waits_for_other_things_is_in_no_set(db, more):
    tasks = {need: {"kind": "a"} for need in "nop"}
    tasks["x"] = {"kind": "b", "needs": ["n", "o"]}
    tasks["y"] = {"kind": "b", "needs": ["o", "n"], "needs_mode": "all"}
    tasks["z"] = {"kind": "b", "needs": ["n", "o"], **more}
    rows = db.tasks(db.flow(tasks))
    assert sorted(blocked(db)) == sorted([
        (rows["x"].id, 2, False), (rows["z"].id, 1, False)])


def test_A2_a_member_moved_up_comes_after_its_needs(db):
    """Whatever the order in which the steps are given."""
    flow = db.one("SELECT muster.submit_flow(%s)", """{"tasks": [
        {"name": "z", "kind": "a", "needs": ["m0", "m1"]},
        {"name": "m0", "kind": "b", "needs": ["n", "o"]},
        {"name": "y", "kind": "a", "needs": ["m2"]},
        {"name": "o", "kind": "a"},
        {"name": "m1", "kind": "b", "needs": ["o", "n"]},
        {"name": "n", "kind": "a"},
        {"name": "m2", "kind": "b", "needs": ["n", "o"]}]}""")
    ids = {name: row.id for name, row in db.tasks(flow).items()}
    assert (ids["m0"], 3, False) in blocked(db)
    assert max(ids["n"], ids["o"]) < ids["m0"] == ids["m1"] - 1 \
        == ids["m2"] - 2
    assert ids["z"] > ids["m1"] and ids["y"] > ids["m2"]
    assert db.invariants() == []


def test_A2_where_others_draw_ids_meanwhile_there_is_no_set(db, worker):
    db.rows("ALTER SEQUENCE muster.task_id INCREMENT BY 2")
    needs, members = fan(db)
    assert blocked(db) == [(member, 1, False) for member in members]
    one = worker()
    one.claim({"a": 1})
    one.finish(*needs)
    assert one.claim({"b": 9}).ids == members


def test_A2_a_nested_flow_has_sets(db, worker, scheduler):
    db.flow({"in": {"flow": {"tasks": {"n": {"kind": "a"}, **{
        f"m{i}": {"kind": "b", "needs": ["n"]} for i in range(5)}}}}})
    scheduler.work()
    assert [row[1] for row in blocked(db)] == [5]
    one = worker()
    one.finish(*one.claim({"a": 1}).ids)
    assert len(runs(db, one, scheduler)) == 5
    one.finish_all()
    scheduler.work()
    assert db.states() == {"succeeded": 7}


# What becomes of members.

def test_A2_a_set_that_cannot_run_is_skipped_but_for_what_was_cancelled(
        db, worker, scheduler):
    needs, members = fan(db, when="succeeded")
    cancelled(db, scheduler, members[1])
    one = worker()
    one.claim({"a": 1})
    one.finish(*needs, outcome="f")
    assert db.states(members) == {"cancelled": 1, "blocked": 2}
    scheduler.work()
    assert db.states(members) == {"cancelled": 1, "skipped": 2}
    asked(db, scheduler, "retry(%s)", needs[0])
    one.claim({"a": 1}, floors=False)
    one.finish(*needs)
    assert runs(db, one, scheduler) == [members[0], members[2]]


def test_A2_a_set_that_is_to_be_skipped_hears_of_its_other_needs(
        db, worker, scheduler):
    needs, members = fan(db, ("n", "o", "p"), when="succeeded")
    one = worker()
    one.claim({"a": 3})
    for need, end in zip(needs, "fsf"):
        one.finish(need, outcome=end)
        assert db.invariants() == []
        assert db.states(members) == {"blocked": 3}
        assert db.one("SELECT count(*) FROM muster.remainder") == 1
    scheduler.work()
    assert db.states(members) == {"skipped": 3}
    assert blocked(db) == []


@pytest.mark.parametrize("gone", [1, 3])
def test_G1_cancelled_members_do_not_run(db, worker, scheduler, gone):
    needs, members = fan(db)
    flow = db.task(needs[0]).flow_id
    cancelled(db, scheduler, *members[:gone])
    assert db.invariants() == []
    one = worker()
    one.claim({"a": 1})
    one.finish(*needs)
    assert runs(db, one, scheduler) == members[gone:]
    one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).finished_at
    assert db.one("SELECT count(*) FROM muster.ready") == 0


@pytest.mark.parametrize("again", [False, True])
def test_C4_a_set_of_which_one_was_moved_goes_one_by_one(
        db, worker, scheduler, again):
    needs, members = fan(db)
    asked(db, scheduler, "reprioritise(%s, ARRAY[5])", [members[2]])
    if again:
        asked(db, scheduler, "reprioritise(%s, ARRAY[0])", [members[2]])
    assert blocked(db) == [(members[0], 3, True)]
    assert db.task(members[2]).priority == (0 if again else 5)
    cancelled(db, scheduler, members[0])
    one = worker()
    one.claim({"a": 1})
    one.finish(*needs)
    assert [tuple(row) for row in db.rows(
        "SELECT task_id, n, -rank FROM muster.ready ORDER BY task_id")] == [
        (members[1], 1, 0), (members[2], 1, 0 if again else 5)]
    assert one.claim({"b": 2}).ids == members[1:]


def test_C4_a_mixed_set_that_cannot_run_is_skipped(db, worker, scheduler):
    needs, members = fan(db, when="succeeded")
    asked(db, scheduler, "reprioritise(%s, ARRAY[5])", [members[2]])
    one = worker()
    one.claim({"a": 1})
    one.finish(*needs, outcome="f")
    scheduler.work()
    assert db.states(members) == {"skipped": 3}


def test_A2_a_task_may_need_a_member(db, worker, scheduler):
    needs, members = fan(db)
    task = db.enqueue("c", depends_on=[members[1]],
                      flow_id=db.task(needs[0]).flow_id)
    scheduler.work()
    one = worker()
    one.claim({"a": 1})
    one.finish(*needs)
    assert db.state(task) == "blocked"
    one.claim({"b": 3})
    one.finish(members[1])
    assert db.state(task) == "ready"


def test_A3_a_member_has_its_unique_key(db, worker, scheduler):
    flow = db.flow({"n": {"kind": "a"}, **{
        f"m{i}": {"kind": "b", "needs": ["n"], "unique_key": f"u{i}"}
        for i in range(2)}})
    rows = db.tasks(flow)
    assert [row[1] for row in blocked(db)] == [2]
    assert db.enqueue("b", unique_key="u1") == rows["m1"].id
    cancelled(db, scheduler, rows["m1"].id)
    scheduler.work()
    assert db.enqueue("b", unique_key="u1") > rows["m1"].id


# Deleting.

def test_G3_the_row_and_the_edges_of_a_set_go_with_its_last_member(
        db, worker, scheduler):
    needs, members = fan(db, ("n", "o"))
    for task in members:
        assert edges(db, *needs) == 2
        asked(db, scheduler, "delete(%s)", task)
    assert blocked(db) == []
    assert edges(db, *needs) == 0
    one = worker()
    one.claim({"a": 2})
    one.finish(*needs)
    scheduler.work()
    assert db.states() == {"succeeded": 2}


def test_G3_deleting_the_last_member_waits_for_who_settles_its_set(
        db, worker, scheduler):
    needs, members = fan(db, ("n", "o"), 2)
    cancelled(db, scheduler, members[1])
    asked(db, scheduler, "delete(%s)", members[0])
    one = worker()
    one.claim({"a": 2})
    one.session.begin()
    one.finish(needs[0])
    db.one("SELECT muster.delete(%s)", members[1])
    assert scheduler.carry_out() == 0
    one.session.commit()
    scheduler.work()
    assert blocked(db) == [] and edges(db, *needs) == 0


def test_G3_a_need_that_is_deleted_is_cancelled_for_the_set(
        db, worker, scheduler):
    needs, members = fan(db, ("n", "o"), needs_mode={"at_least": 1})
    asked(db, scheduler, "delete(%s)", needs[0])
    assert runs(db, worker(), scheduler) == members
    assert edges(db, *needs) == 1


def test_G3_a_set_whose_need_is_deleted_before_it_is_skipped(
        db, worker, scheduler):
    """Its row stands without an edge until then."""
    needs, members = fan(db, when="succeeded")
    asked(db, scheduler, "delete(%s)", needs[0])
    scheduler.unlock()
    asked(db, scheduler, "delete(%s)", needs[0])
    assert db.one("SELECT count(*) FROM muster.edge") == 0
    assert [row[1] for row in blocked(db)] == [3]
    scheduler.work()
    assert db.states(members) == {"skipped": 3}


def test_D2_purge_leaves_no_edge_to_a_set(db, worker, scheduler):
    needs, members = fan(db, ("n", "o"), 5)
    one = worker()
    one.claim({"a": 2})
    one.finish(*needs)
    one.finish(*one.claim({"b": 5}).ids)
    scheduler.work()
    while db.noted():
        db.rows("SELECT muster.purge(2, '{\"\"}', '{0}')")
        assert db.invariants() == []
    assert db.states() == {}
    assert db.one("SELECT count(*) FROM muster.edge") == 0


# Bringing back. What was a member gets a row and edges of its own, as if the edges
# of its set had been its own all the time.

def test_G2_a_member_waits_anew_for_what_is_open(db, worker, scheduler):
    needs, members = fan(db)
    cancelled(db, scheduler, members[1])
    asked(db, scheduler, "retry(%s)", members[1])
    assert blocked(db) == [(members[1], 1, False), (members[0], 3, True)]
    assert own_edge(db, needs[0], members[1])
    one = worker()
    one.claim({"a": 1})
    one.finish(*needs)
    assert sorted(runs(db, one, scheduler)) == members


def test_G2_a_member_whose_needs_have_ended_runs_at_once(
        db, worker, scheduler):
    needs, members = fan(db)
    cancelled(db, scheduler, members[1])
    one = worker()
    one.claim({"a": 1})
    one.finish(*needs, outcome="f")
    assert "runs again" in asked(db, scheduler, "retry(%s)", members[1])
    assert sorted(runs(db, one, scheduler)) == members


@pytest.mark.parametrize("end", "sf")
def test_G2_a_member_is_told_when_a_need_that_it_counted_ends_otherwise(
        db, worker, scheduler, end):
    """One of two needs is enough; the first failed before the member came
    back, and runs again."""
    needs, members = fan(db, ("n", "o"), when="succeeded", needs_mode="any")
    cancelled(db, scheduler, members[1])
    one = worker()
    one.claim({"a": 2})
    one.finish(needs[0], outcome="f")
    asked(db, scheduler, "retry(%s)", members[1])
    assert db.state(members[1]) == "blocked"
    asked(db, scheduler, "retry(%s)", needs[0])
    assert db.state(members[1]) == "blocked"
    one.claim({"a": 1}, floors=False)
    one.finish(needs[0], outcome=end)
    assert sorted(runs(db, one, scheduler)) == (members if end == "s" else [])
    one.finish(needs[1], outcome="f")
    scheduler.work()
    assert db.states(members) == (
        {"running": 3} if end == "s" else {"skipped": 3})


@pytest.mark.parametrize("passed", [False, True])
def test_G2_a_member_comes_back_while_an_end_is_still_told(
        db, worker, scheduler, passed):
    """passed: the telling is beyond the member, and not yet at its set."""
    needs, members = fan(db)
    cancelled(db, scheduler, *members[:2])
    asked(db, scheduler, "retry(%s)", members[1])
    db.one("SELECT muster.cancel(%s)", needs[0])
    scheduler.carry_out()
    if passed:
        assert scheduler.unlock(1)
        assert (db.state(members[1]), db.state(members[2])) == (
            "ready", "blocked")
    asked(db, scheduler, "retry(%s)", members[0])
    assert db.state(members[0]) == ("ready" if passed else "blocked")
    assert sorted(runs(db, worker(), scheduler)) == members


@pytest.mark.parametrize("end", "sf")
def test_G2_a_member_comes_back_while_a_second_end_is_still_told(
        db, worker, scheduler, end):
    needs, members = fan(db, ("n", "o"), when="failed", needs_mode="any")
    one = worker()
    one.claim({"a": 2})
    cancelled(db, scheduler, members[1])
    db.one("SELECT muster.cancel(%s)", needs[0])
    scheduler.work()
    one.finish(needs[0], outcome="c")
    scheduler.work()
    asked(db, scheduler, "retry(%s)", needs[0])
    one.claim({"a": 1}, floors=False)
    one.finish(needs[0], outcome=end)
    assert db.one("SELECT count(*) FROM muster.remainder") == 1
    asked(db, scheduler, "retry(%s)", members[1])
    assert db.state(members[1]) == "blocked"
    assert sorted(runs(db, one, scheduler)) == (
        [] if end == "s" else members)
    one.finish(needs[1])
    scheduler.work()
    assert db.states(members) == (
        {"skipped": 3} if end == "s" else {"running": 3})


def test_G2_members_of_wide_sets_come_back_in_pieces(db, worker, scheduler):
    """Those that come back have edges of their own at once; the telling, which
    meets these later than their set or before it, tells none twice."""
    needs, members = fan(db, ("n", "o"), 40, when="succeeded")
    one = worker()
    one.claim({"a": 2})
    one.finish(needs[0], outcome="f")
    scheduler.work()
    assert db.states(members) == {"skipped": 40}
    asked(db, scheduler, "retry(%s)", needs[0])
    one.claim({"a": 1}, floors=False)
    one.finish(needs[0])
    seen = set()
    while scheduler.unlock(1):
        assert db.invariants() == []
        seen.add(db.states(members)["blocked"])
    assert seen >= {16, 32, 40}
    one.finish(needs[1])
    assert sorted(runs(db, one, scheduler)) == members


def test_G2_a_flow_of_sets_comes_back(db, worker, scheduler):
    needs, members = fan(db, ("n", "o"), 20, when="succeeded")
    flow = db.task(needs[0]).flow_id
    one = worker()
    one.claim({"a": 2})
    one.finish(needs[0], outcome="f")
    one.finish(needs[1])
    scheduler.work()
    assert db.flow_status(flow).skipped == 20
    asked(db, scheduler, "retry_flow(%s)", flow)
    assert len(blocked(db)) == 20
    one.claim({"a": 1}, floors=False)
    one.finish(needs[0])
    assert sorted(runs(db, one, scheduler)) == members
    one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded"


# Races.

# A turn and a request that ends or moves tasks exclude each other; what tells of
# ends beside them is unlock().

@pytest.mark.parametrize("when", ["finished", "succeeded"])
def test_G1_a_set_moves_while_a_member_is_cancelled(
        db, worker, scheduler, when):
    needs, members = fan(db, when=when)
    cancelled(db, scheduler, needs[0])
    number = db.one("SELECT muster.cancel(%s)", members[1])
    scheduler.session.begin()
    scheduler.carry_out()
    other = db.session("musterd")
    other.send("SELECT muster.unlock(10)")
    other.wait_blocked()
    scheduler.session.commit()
    other.answer()
    assert db.one("SELECT verdict FROM muster.request_status(%s)",
                  number) == "done"
    assert db.invariants() == []
    assert runs(db, worker(), scheduler) == (
        [members[0], members[2]] if when == "finished" else [])
    assert db.state(members[1]) == "cancelled"


@pytest.mark.parametrize("when", ["finished", "succeeded"])
def test_G1_a_member_is_cancelled_while_its_set_moves(
        db, worker, scheduler, when):
    needs, members = fan(db, when=when)
    cancelled(db, scheduler, needs[0])
    other = db.session("musterd")
    other.begin()
    assert other.one("SELECT muster.unlock(10)")
    db.one("SELECT muster.cancel(%s)", members[1])
    assert scheduler.carry_out() == 0
    other.commit()
    assert scheduler.carry_out() == 1
    assert runs(db, worker(), scheduler) == (
        [members[0], members[2]] if when == "finished" else [])
    assert db.state(members[1]) == "cancelled"


def test_G1_a_member_is_cancelled_while_its_set_is_taken_apart(
        db, worker, scheduler):
    needs, members = fan(db, when="succeeded")
    cancelled(db, scheduler, needs[0])
    assert scheduler.unlock() and db.invariants() == []
    other = db.session("musterd")
    other.begin()
    assert other.one("SELECT muster.unlock(10)")
    db.one("SELECT muster.cancel(%s)", members[1])
    assert scheduler.carry_out() == 0
    other.commit()
    assert scheduler.carry_out() == 0  # it is about to be skipped
    scheduler.work()
    assert db.states(members) == {"skipped": 3}


@pytest.mark.parametrize("more", ["", "o"])
def test_G2_a_set_that_was_to_be_skipped_runs_when_its_need_ends_again(
        db, worker, scheduler, more):
    """Nobody has met its remainder in between."""
    needs, members = fan(db, "n" + more, when="succeeded")
    one = worker()
    one.claim({"a": 2})
    one.finish(needs[0], outcome="f")
    assert db.states(members) == {"blocked": 3}
    assert db.why(members[0])[0].reason.endswith("it is about to be skipped")
    asked(db, scheduler, "retry(%s)", needs[0])
    one.claim({"a": 1}, floors=False)
    one.finish(needs[0])
    held = db.session("musterd")
    held.begin()
    held.run("SELECT FROM muster.remainder WHERE was IS NULL FOR UPDATE")
    assert scheduler.unlock() and db.invariants() == []
    held.commit()
    scheduler.work()
    assert db.states(members) == {"blocked" if more else "ready": 3}
    one.finish(*needs[1:])
    assert runs(db, one, scheduler) == members


def test_C4_a_set_moves_while_a_member_is_reprioritised(
        db, worker, scheduler):
    needs, members = fan(db)
    cancelled(db, scheduler, needs[0])
    db.one("SELECT muster.reprioritise(%s, ARRAY[5])", [members[1]])
    scheduler.session.begin()
    scheduler.carry_out()
    other = db.session("musterd")
    other.send("SELECT muster.unlock(10)")
    other.wait_blocked()
    scheduler.session.commit()
    other.answer()
    assert db.invariants() == []
    assert db.one("SELECT task_id FROM muster.ready WHERE rank = -5") \
        == members[1]
    assert worker().claim({"b": 9}).ids == members


def test_C4_a_member_is_reprioritised_while_its_set_moves(
        db, worker, scheduler):
    needs, members = fan(db)
    cancelled(db, scheduler, needs[0])
    other = db.session("musterd")
    other.begin()
    assert other.one("SELECT muster.unlock(10)")
    db.one("SELECT muster.reprioritise(%s, ARRAY[5])", [members[1]])
    assert scheduler.carry_out() == 0
    other.commit()
    assert scheduler.carry_out()
    assert db.task(members[1]).priority == 5
    assert db.one("SELECT task_id FROM muster.ready WHERE rank = -5") \
        == members[1]
    assert worker().claim({"b": 9}).ids == members


def test_G2_a_set_moves_while_a_member_comes_back(db, worker, scheduler):
    needs, members = fan(db)
    cancelled(db, scheduler, members[1])
    one = worker()
    one.claim({"a": 1})
    db.one("SELECT muster.retry(%s)", members[1])
    scheduler.session.begin()
    scheduler.carry_out()
    one.send_turn([(needs[0], "s")])
    one.session.wait_blocked()  # for the need
    scheduler.session.commit()
    one.answer()
    assert sorted(runs(db, one, scheduler)) == members


def test_G2_a_member_comes_back_while_its_set_moves(db, worker, scheduler):
    needs, members = fan(db)
    cancelled(db, scheduler, members[1])
    one = worker()
    one.claim({"a": 1})
    one.session.begin()
    one.finish(*needs)
    db.one("SELECT muster.retry(%s)", members[1])
    assert scheduler.carry_out() == 0
    one.session.commit()
    assert sorted(runs(db, one, scheduler)) == members


@pytest.mark.parametrize("end", "sf")
def test_A2_two_needs_of_a_set_end_at_once(db, worker, scheduler, end):
    needs, members = fan(db, ("n", "o"), 20, when="succeeded")
    one, other = worker(), worker()
    one.claim({"a": 1}, limit=1)
    other.claim({"a": 1}, limit=1, floors=False)
    one.session.begin()
    one.finish_all(end)
    other.send_turn([(task, "s") for task in other.held])
    other.session.wait_blocked()
    one.session.commit()
    other.answer()
    assert runs(db, one, scheduler) == (members if end == "s" else [])
    assert db.states(members) == {"running" if end == "s" else "skipped": 20}
