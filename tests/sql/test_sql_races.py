"""Two sessions, one after the other or one waiting for the other, in every
order that has been seen to go wrong."""

import time

import psycopg2
import pytest


# A worker against itself.

def test_B2_a_turn_of_a_lost_session_is_waited_for(db, worker):
    """The worker has reconnected while its last turn still runs: reading back
    shows what that turn claims."""
    task = db.enqueue("a")
    lost = worker()
    lost.session.begin()
    lost.claim()
    new = db.session("musterd")
    new.send("SELECT muster.worker_register(%s, 'host-1', 'host', 42, '0.1', "
             "'{default}', '{a}')", lost.id)
    new.wait_blocked()
    lost.session.commit()
    new.answer()
    assert [row.task for row in new.run(
        "SELECT * FROM muster.worker_leases(%s)", lost.id)] == [task]


# Enqueue against finish.

def test_A2_enqueue_with_a_need_while_the_need_ends(db, worker, scheduler):
    """The client's transaction began before the finish, commits after it."""
    need = db.enqueue("a")
    one = worker()
    one.claim()
    client = db.session("app")
    client.begin()
    task = client.one("SELECT muster.enqueue('b', depends_on => ARRAY[%s])",
                      need)
    one.finish(need)
    client.commit()
    scheduler.work()
    assert one.claim({"b": 1}).ids == [task]


def test_A2_admission_while_the_finish_is_under_way(db, worker, scheduler):
    need = db.enqueue("a")
    one = worker()
    one.claim()
    task = db.enqueue("b", depends_on=[need])
    one.session.begin()
    one.finish(need)
    scheduler.session.send("SELECT muster.admit(10)")
    scheduler.session.wait_blocked()
    one.session.commit()
    assert scheduler.session.answer()[0][0] == 1
    assert db.state(task) == "ready"


def test_A2_finish_while_the_admission_is_under_way(db, worker, scheduler):
    need = db.enqueue("a")
    one = worker()
    one.claim()
    task = db.enqueue("b", depends_on=[need])
    scheduler.session.begin()
    scheduler.admit()
    one.send_turn([(need, "s")])
    one.session.wait_blocked()
    scheduler.session.commit()
    one.answer()
    assert db.state(task) == "ready"


def test_A2_finish_of_a_step_that_just_gets_a_second_dependent(
        db, worker, scheduler):
    tasks = db.tasks(db.flow({"need": {"kind": "a"},
                              "one": {"kind": "b", "needs": ["need"]}}))
    need = tasks["need"].id
    one = worker()
    one.claim({"a": 1})
    late = db.enqueue("b", depends_on=[need])
    scheduler.session.begin()
    scheduler.admit()
    one.send_turn([(need, "s")])
    one.session.wait_blocked()
    scheduler.session.commit()
    one.answer()
    assert db.state(tasks["one"].id) == db.state(late) == "ready"


def test_enqueue_in_descending_order_stalls_nobody(db, worker, scheduler):
    """Two enqueues in one transaction, each naming a running task, the later
    first: once a deadlock whose victim was the turn."""
    first, second = db.enqueue_many("a", 2)
    one = worker()
    one.claim()
    client = db.session("app")
    client.begin()
    client.run("SELECT muster.enqueue('b', depends_on => ARRAY[%s])", second)
    one.session.begin()
    one.finish(first)
    client.run("SELECT muster.enqueue('b', depends_on => ARRAY[%s])", first)
    one.finish(second)
    one.session.commit()
    client.commit()
    scheduler.work()
    assert len(one.claim({"b": 2}).ids) == 2


@pytest.mark.parametrize("isolation", [
    "read committed", "repeatable read", "serializable"])
def test_no_turn_waits_for_a_client_that_keeps_its_transaction_open(
        db, worker, scheduler, isolation):
    """Everything a client can do, then nothing for long."""
    ids = db.enqueue_many("a", 6)
    flow = db.flow({"x": {"kind": "c"}})
    one = worker()
    one.claim({"a": 3})
    client = db.session("app", isolation)
    client.begin()
    for task in ids:
        client.run("SELECT muster.enqueue('b', depends_on => ARRAY[%s])",
                   task)
    client.run("SELECT muster.enqueue('new-kind', queue => 'new-queue')")
    client.run("SELECT muster.enqueue('b', flow_id => %s)", flow)
    client.run("SELECT muster.enqueue_many('b', '{1,2,3}', priority => 9)")
    client.run("SELECT muster.cancel(%s), muster.retry(%s), "
               "muster.cancel_flow(%s), muster.pause('default')",
               ids[5], ids[4], flow)
    client.run("SELECT muster.submit_flow("
               "'{\"tasks\": {\"x\": {\"kind\": \"newer-kind\"}}}')")
    one.session.run("SET lock_timeout = '100 ms'")
    scheduler.session.run("SET lock_timeout = '100 ms'")
    one.finish_all()
    assert one.claim().ids
    one.finish_all("r")
    other = worker(kinds=("new-kind", "newer-kind"), queues=("new-queue",))
    assert not other.claim().ids
    db.one("SELECT muster.cancel(%s)", ids[3])
    scheduler.work()
    db.rows("SELECT muster.mark()")
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", other.id)
    client.commit()
    scheduler.work()


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_clients_work_under_any_isolation(db, worker, scheduler, isolation):
    """The snapshot is older than the route, the lane and the end of the
    need."""
    need = db.enqueue("a")
    client = db.session("app", isolation)
    client.begin()
    client.run("SELECT count(*) FROM muster.queue_stats")
    one = worker()
    one.claim()
    db.enqueue("b", priority=5)
    one.finish(need)
    plain = client.one("SELECT muster.enqueue('b', priority => 5)")
    after = client.one("SELECT muster.enqueue('c', depends_on => ARRAY[%s])",
                       need)
    flow = client.one("SELECT muster.submit_flow("
                      "'{\"tasks\": {\"x\": {\"kind\": \"c\"}}}')")
    number = client.one("SELECT muster.pause('q9')")
    client.commit()
    scheduler.work()
    assert db.one("SELECT done FROM muster.request_status(%s)", number)
    assert db.state(plain) == db.state(after) == "ready"
    assert set(one.claim().ids) == {
        plain, plain - 1, after, db.tasks(flow)["x"].id}


@pytest.mark.parametrize("call", [
    "turn(1, '{}', '{}', '', '{}', '{}', '{}', '{}', '{}', '{}', 0, 0, "
    "'{}', '{}', '{}', '{}')", "admit(1)", "unlock(1)", "carry_out(1)",
    "fold(1)", "due(1, NULL)", "rescue(1, 'x', NULL, 3)", "mark()",
    "purge(1, '{}', '{}')", "worker_leave(1)",
    "worker_register(1, 'i', 'h', 1, 'v', '{a}', '{a}')"])
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_settling_refuses_another_isolation(db, call, isolation):
    session = db.session("musterd", isolation)
    with pytest.raises(psycopg2.Error) as caught:
        session.run(f"SELECT muster.{call}")
    assert caught.value.pgcode == "MU004"


# Finish against finish.

def test_A2_two_finishes_of_a_shared_dependent(db, worker, scheduler):
    """The second waits for the first at the dependent, then sees its
    decrement."""
    needs = db.enqueue_many("a", 2)
    task = db.enqueue("b", depends_on=needs)
    scheduler.work()
    one, other = worker(), worker()
    one.claim(1, limit=1)
    other.claim(1, limit=1, floors=False)
    one.session.begin()
    one.finish_all()
    other.send_turn([(each, "s") for each in other.held])
    other.session.wait_blocked()
    one.session.commit()
    other.answer()
    assert db.state(task) == "ready"


def test_A2_two_finishes_of_many_shared_dependents_in_both_orders(
        db, worker, scheduler):
    """Locked in the order of the dependents, whatever the needs' order."""
    needs = db.enqueue_many("a", 4)
    client = db.session("app")
    ids = [client.one("SELECT muster.enqueue('b', depends_on => %s)",
                      [needs[n % 4], needs[(n + 1) % 4]]) for n in range(40)]
    scheduler.work()
    one, other = worker(), worker()
    one.claim(2, limit=2)
    other.claim(2, limit=2)
    one.session.begin()
    one.finish_all()
    other.send_turn([(each, "s") for each in reversed(list(other.held))])
    other.session.wait_blocked()
    one.session.commit()
    other.answer()
    assert db.states(ids) == {"ready": 40}


def test_A2_one_succeeds_while_the_other_fails(db, worker, scheduler):
    needs = db.enqueue_many("a", 2)
    task = db.enqueue("b", depends_on=needs)
    scheduler.work()
    one, other = worker(), worker()
    one.claim(1, limit=1)
    other.claim(1, limit=1, floors=False)
    one.session.begin()
    one.finish_all("f")
    other.send_turn([(each, "s") for each in other.held])
    other.session.wait_blocked()
    one.session.commit()
    other.answer()
    scheduler.work()
    assert db.state(task) == "skipped"


def test_A2_finishes_that_want_one_more_beside_a_shared_dependent(
        db, worker, scheduler):
    """One success is enough for the last task: whoever brings it must not take
    it before he has the shared one, since the other wants both, too."""
    needs = db.enqueue_many("a", 3)
    shared = db.enqueue("b", depends_on=needs, depends_when="finished")
    held = db.enqueue("b", depends_on=needs[1:], depends_when="finished")
    either = db.enqueue("b", depends_on=needs[:2], needs_mode="any")
    scheduler.work()
    one, other = worker(), worker()
    one.claim(1, limit=1)
    other.claim(1, limit=1, floors=False)
    third = db.session()
    third.begin()
    third.run("SELECT FROM muster.blocked WHERE task_id = %s FOR UPDATE", held)
    other.send_turn([(each, "f") for each in other.held])
    other.session.wait_blocked()  # holds the shared one
    one.send_turn([(each, "s") for each in one.held])
    one.session.wait_blocked()
    third.commit()
    other.answer()
    one.answer()
    assert db.state(either) == "ready"
    one.claim(1, limit=1)
    one.finish(needs[2])
    assert db.states([shared, held]) == {"ready": 2}


def test_A2_a_dependent_of_one_finish_goes_while_another_holds_the_next(
        db, worker, scheduler):
    """The finish that brings all that a task needs takes it at once, then
    waits for the one that it shares."""
    needs = db.enqueue_many("a", 2)
    shared = db.enqueue("b", depends_on=needs)
    own = db.enqueue("b", depends_on=needs[:1])
    more = db.enqueue("b", depends_on=needs[1:])
    scheduler.work()
    one, other = worker(), worker()
    one.claim(1, limit=1)
    other.claim(1, limit=1, floors=False)
    other.session.begin()
    other.finish_all()
    one.send_turn([(each, "s") for each in one.held])
    one.session.wait_blocked()
    assert db.rows("SELECT task_id FROM muster.blocked WHERE task_id = %s "
                   "FOR UPDATE SKIP LOCKED", own) == []  # it has it already
    other.session.commit()
    one.answer()
    assert db.states([shared, own, more]) == {"ready": 3}


def test_G2_second_end_and_a_finish_meet_crosswise(db, worker, scheduler):
    """Both want both dependents, which have counted the first end already:
    the one that tells of the second end gives way."""
    again, need, other_need = db.enqueue_many("a", 3)
    shared = db.enqueue("b", depends_on=[again, need, other_need],
                        depends_when="finished")
    last = db.enqueue("b", depends_on=[again, need], depends_when="finished")
    scheduler.work()
    one = worker()
    one.claim({"a": 1}, limit=1)
    one.finish(again, outcome="f")
    one.claim({"a": 1}, limit=1, floors=False)
    db.one("SELECT muster.retry(%s)", again)
    scheduler.carry_out()
    other = worker()
    while again not in other.held:
        other.claim({"a": 1}, limit=1, floors=False)
    other.finish(again)
    third = db.session()
    third.begin()
    third.run("SELECT FROM muster.blocked WHERE task_id = %s FOR UPDATE",
              shared)
    scheduler.session.send("SELECT muster.unlock(10)")
    scheduler.session.wait_blocked()
    one.send_turn([(need, "s")])
    one.session.wait_blocked()
    third.commit()
    assert scheduler.session.answer()[0][0] > 0
    one.answer()
    scheduler.work()
    assert (db.state(shared), db.state(last)) == ("blocked", "ready")
    other.finish_all()
    assert db.state(shared) == "ready"


def test_A2_unlocking_a_skip_and_a_cancel_crosswise_with_a_finish(
        db, worker, scheduler):
    """What a skip tells and what a cancel left to tell are two steps: in one
    their dependents would be locked in no order."""
    fails, ends, cancelled, last = db.enqueue_many("a", 4)
    low = db.enqueue("b", depends_on=[ends, cancelled],
                     depends_when="finished")
    held = db.enqueue("b", depends_on=[ends, last])
    skipped = db.enqueue("b", depends_on=[fails])
    high = db.enqueue("b", depends_on=[ends, skipped],
                      depends_when="finished")
    scheduler.work()
    one = worker()
    one.claim(2, limit=2)
    one.finish(fails, outcome="f")
    db.one("SELECT muster.cancel(%s)", cancelled)
    scheduler.carry_out()
    third = db.session()
    third.begin()
    third.run("SELECT FROM muster.blocked WHERE task_id = %s FOR UPDATE", held)
    one.send_turn([(ends, "s")])
    one.session.wait_blocked()  # holds the low one
    scheduler.session.send("SELECT muster.unlock(10)")
    time.sleep(0.2)
    third.commit()
    scheduler.session.answer()
    one.answer()
    scheduler.work()
    assert db.state(skipped) == "skipped"
    assert db.states([low, high]) == {"ready": 2}
    one.claim({"a": 2})  # one row is that of the cancelled
    one.finish(last)
    assert db.state(held) == "ready"


# Rescue.

def test_E2_rescue_waits_for_an_open_turn_and_takes_its_claim(db, worker):
    ids = db.enqueue_many("a", 3)
    one = worker()
    one.session.begin()
    one.claim()
    killer = db.session("musterd")
    killer.send("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    killer.wait_blocked()
    one.session.commit()
    assert killer.answer()[0].handed_back == 3
    assert db.states(ids) == {"ready": 3}


def test_E2_turn_during_a_rescue_finds_itself_dead(db, worker):
    ids = db.enqueue_many("a", 3)
    one = worker()
    one.claim()
    killer = db.session("musterd")
    killer.begin()
    killer.run("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    one.send_turn([(ids[0], "s")], want=10)
    one.session.wait_blocked()
    killer.commit()
    answer = one.answer()
    assert answer.dead and not answer.tasks and not answer.fenced
    assert db.states(ids) == {"ready": 3}


def test_E2_rescue_against_a_finish_under_way(db, worker):
    ids = db.enqueue_many("a", 3)
    one = worker()
    one.claim()
    one.session.begin()
    one.finish(ids[1])
    killer = db.session("musterd")
    killer.send("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    killer.wait_blocked()
    one.session.commit()
    assert killer.answer()[0].handed_back == 2
    assert db.state(ids[1]) == "succeeded"


def test_E2_two_rescues_at_once(db, worker):
    db.enqueue_many("a", 3)
    one = worker()
    one.claim()
    killer, other = db.session("musterd"), db.session("musterd")
    killer.begin()
    killer.run("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    other.send("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    other.wait_blocked()
    killer.commit()
    assert other.answer()[0].handed_back == 0
    assert db.one("SELECT count(*) FROM muster.ready") == 3


def test_a_dead_workers_name_is_not_taken_again(db, worker):
    one = worker()
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    with pytest.raises(psycopg2.Error) as caught:
        one.register()
    assert caught.value.pgcode == "MU001"


def test_rescue_of_an_unknown_worker_does_nothing(db):
    assert tuple(db.one("SELECT * FROM muster.rescue(5, 'x', NULL, 3)")) == (
        0, 0)


# Fencing.

def test_B2_zombie_writes_nothing(db, worker):
    ids = db.enqueue_many("a", 3)
    one = worker()
    one.claim()
    db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    other = worker()
    other.claim(2, limit=2)
    answer = one.turn([(task, "s") for task in ids], want=5)
    assert answer.dead
    assert db.states() == {"running": 2, "ready": 1}
    other.finish_all()


def test_B2_fenced_finish_claims_nothing_and_the_rest_is_applied(db, worker):
    ids = db.enqueue_many("a", 3)
    db.enqueue("b")
    one = worker()
    one.claim({"a": 3})
    held = dict(one.held)
    one.finish(ids[0])
    answer = one.turn([(ids[0], "s", {"lease": held[ids[0]]}),
                       (ids[1], "s", {}), (777, "f", {"lease": 5}),
                       (ids[2], "s", {"lease": 999})], want=5)
    assert answer.fenced == {(held[ids[0]], ids[0]), (5, 777),
                             (999, ids[2])}
    assert not answer.tasks
    assert db.states(ids) == {"succeeded": 2, "running": 1}


def test_B2_another_workers_lease_is_fenced(db, worker):
    task = db.enqueue("a")
    one, other = worker(), worker()
    one.claim()
    lease = one.held[task]
    assert other.finish(task, lease=lease).fenced == {(lease, task)}
    assert db.state(task) == "running"


def test_B2_reply_lost_at_commit(db, worker):
    """The turn was committed, nobody heard of it: what the worker reads back
    tells all."""
    ids = db.enqueue_many("a", 5)
    one = worker()
    one.claim(2, limit=2)
    lease = one.held[ids[0]]
    one.turn([(task, "s") for task in ids[:2]], want=2)  # lost
    again = worker(number=one.id)
    rows = again.session.run("SELECT * FROM muster.worker_leases(%s)", one.id)
    assert {row.task for row in rows} == set(ids[2:4])
    states = dict(again.session.run("SELECT * FROM muster.task_states(%s)",
                                    ids[:2]))
    assert set(states.values()) == {"succeeded"}
    # Sent once more all the same, it is fenced and changes nothing.
    answer = again.turn([(task, "f", {"lease": lease}) for task in ids[:2]])
    assert answer.fenced == {(lease, task) for task in ids[:2]}
    assert db.states() == {"succeeded": 2, "running": 2, "ready": 1}


# Cancel and retry against all three.

def test_F2_cancel_while_a_claim_is_under_way(db, worker, scheduler):
    """The cancel steps over the task and comes back for it: as running."""
    task = db.enqueue("a")
    one = worker()
    one.session.begin()
    one.claim()
    number = db.one("SELECT muster.cancel(%s)", task)
    assert scheduler.carry_out() == 0
    one.session.commit()
    assert scheduler.carry_out() == 1
    assert "is running" in db.one(
        "SELECT answer FROM muster.request_status(%s)", number)
    assert one.turn().cancel == {task}
    one.finish(task, outcome="c")


def test_F2_claim_while_a_cancel_is_under_way(db, worker, scheduler):
    """The claim waits, then finds the row stale."""
    ids = db.enqueue_many("a", 3)
    one = worker()
    db.one("SELECT muster.cancel(%s)", ids[1])
    scheduler.session.begin()
    scheduler.carry_out()
    one.send_turn((), want=3)
    one.session.wait_blocked()
    scheduler.session.commit()
    assert one.answer().ids == [ids[0], ids[2]]
    assert db.one("SELECT task_ids FROM muster.lease") == [ids[0], ids[2]]
    assert db.state(ids[1]) == "cancelled"


def test_F2_claim_while_a_cancel_is_undone(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.session.begin()
    scheduler.carry_out()
    one.send_turn((), want=3)
    one.session.wait_blocked()
    scheduler.session.rollback()
    assert one.answer().ids == [task]
    scheduler.work()
    assert one.turn().cancel == {task}
    one.finish(task, outcome="c")


@pytest.mark.parametrize("outcome, state", [
    ("s", "succeeded"), ("r", "cancelled"), ("b", "cancelled")])
def test_F2_cancel_while_the_finish_is_under_way(
        db, worker, scheduler, outcome, state):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    one.session.begin()
    one.finish(task, outcome=outcome, delay=100000)
    db.one("SELECT muster.cancel(%s)", task)
    assert scheduler.carry_out() == 0
    one.session.commit()
    scheduler.work()
    assert db.state(task) == state
    assert not one.turn(want=5).tasks


@pytest.mark.parametrize("outcome, state", [
    ("s", "succeeded"), ("r", "cancelled"), ("b", "cancelled")])
def test_F2_finish_while_the_cancel_is_under_way(
        db, worker, scheduler, outcome, state):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.session.begin()
    scheduler.carry_out()
    one.send_turn([(task, outcome, {"delay": 100000})])
    one.session.wait_blocked()
    scheduler.session.commit()
    one.answer()
    assert db.state(task) == state
    assert db.one("SELECT count(*) FROM muster.cancelling") == 0


def test_F2_cancel_of_a_blocked_task_while_its_need_ends(
        db, worker, scheduler):
    need = db.enqueue("a")
    task = db.enqueue("b", depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim()
    one.session.begin()
    one.finish(need)
    db.one("SELECT muster.cancel(%s)", task)
    assert scheduler.carry_out() == 0  # its place is just being changed
    one.session.commit()
    scheduler.work()
    assert db.state(task) == "cancelled"
    assert not one.claim().tasks


def test_F2_need_ends_while_a_blocked_task_is_being_cancelled(
        db, worker, scheduler):
    need = db.enqueue("a")
    task = db.enqueue("b", depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim()
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.session.begin()
    scheduler.carry_out()
    one.send_turn([(need, "s")], want=5)
    one.session.wait_blocked()
    scheduler.session.commit()
    assert not one.answer().tasks
    assert db.state(task) == "cancelled"


def test_F2_turn_that_claims_and_unlocks_against_a_cancel_of_both(
        db, worker, scheduler):
    """The turn, which would hold the dependent, waits before it holds
    anything; the cancel need not wait for it."""
    need = db.enqueue("a")
    blocked = db.enqueue("c", depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim()
    ready = db.enqueue("b")
    flow_like = [db.one("SELECT muster.cancel(%s)", each)
                 for each in (ready, blocked)]
    scheduler.session.begin()
    assert scheduler.carry_out() == 2
    one.send_turn([(need, "s")], want={"b": 1})
    one.session.wait_blocked()
    scheduler.session.commit()
    assert not one.answer().tasks
    scheduler.work()
    assert db.states([ready, blocked]) == {"cancelled": 2}
    assert db.one("SELECT count(*) FROM muster.request "
                  "WHERE id = ANY(%s) AND done_at IS NULL", flow_like) == 0


def test_F2_cancel_beside_a_turn_that_does_not_end(db, worker, scheduler):
    """What runs is told, what is ready has to wait; other turns do not."""
    one, two = worker(), worker()
    running = db.enqueue("a")
    two.claim()
    ready = db.enqueue_many("a", 2)
    one.session.begin()
    one.turn()
    numbers = [db.one("SELECT muster.cancel(%s)", each)
               for each in (running, ready[0])]
    assert scheduler.carry_out() == 1
    assert db.rows("SELECT id FROM muster.request WHERE done_at IS NULL") == \
        [(numbers[1],)]
    assert two.turn().cancel == {running}
    one.session.commit()
    assert scheduler.carry_out() == 1
    assert one.claim().ids == [ready[1]]
    two.finish(running, outcome="c")
    one.finish(ready[1])


def test_F2_cancel_against_a_rescue(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    killer = db.session("musterd")
    killer.begin()
    killer.run("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    db.one("SELECT muster.cancel(%s)", task)
    assert scheduler.carry_out() == 0
    killer.commit()
    scheduler.work()
    assert db.state(task) == "cancelled"


def test_F2_rescue_against_a_cancel(db, worker, scheduler):
    task = db.enqueue("a")
    one = worker()
    one.claim()
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.session.begin()
    scheduler.carry_out()
    killer = db.session("musterd")
    killer.send("SELECT * FROM muster.rescue(%s, 'x', NULL, 3)", one.id)
    killer.wait_blocked()
    scheduler.session.commit()
    killer.answer()
    assert db.state(task) == "cancelled"
    assert db.one("SELECT count(*) FROM muster.cancelling") == 0


def test_F2_cancel_while_the_task_becomes_due(db, worker, scheduler):
    task = db.one("SELECT muster.enqueue('a', run_at => clock_timestamp() + "
                  "interval '400 ms')")
    db.rows("SELECT pg_sleep(0.5)")
    mover = db.session("musterd")
    mover.begin()
    mover.run("SELECT * FROM muster.due(10, NULL)")
    db.one("SELECT muster.cancel(%s)", task)
    assert scheduler.carry_out() == 0
    mover.commit()
    scheduler.work()
    assert db.state(task) == "cancelled"
    assert not worker().claim().tasks


def test_F2_cancel_of_an_arriving_task_while_it_is_admitted(
        db, worker, scheduler):
    need = db.enqueue("a")
    task = db.enqueue("b", depends_on=[need])
    admitter = db.session("musterd")
    admitter.begin()
    admitter.run("SELECT muster.admit(10)")
    db.one("SELECT muster.cancel(%s)", task)
    assert scheduler.carry_out() == 0
    admitter.commit()
    scheduler.work()
    assert db.state(task) == "cancelled"


def test_F2_admission_while_an_arriving_task_is_cancelled(
        db, worker, scheduler):
    need = db.enqueue("a")
    task = db.enqueue("b", depends_on=[need])
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.session.begin()
    scheduler.carry_out()
    admitter = db.session("musterd")
    admitter.send("SELECT muster.admit(10)")
    admitter.wait_blocked()
    scheduler.session.commit()
    assert admitter.answer()[0][0] == 0
    assert db.state(task) == "cancelled"


def test_G2_retry_against_a_finish_of_its_need(db, worker, scheduler):
    """A cancelled task comes back while its need just ends: it waits for
    that need or sees its end, never neither."""
    need = db.enqueue("a")
    task = db.enqueue("b", depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim()
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.work()
    one.session.begin()
    one.finish(need)
    db.one("SELECT muster.retry(%s)", task)
    assert scheduler.carry_out() == 0
    one.session.commit()
    scheduler.work()
    assert db.state(task) == "ready"


def test_G2_finish_of_the_need_against_a_retry(db, worker, scheduler):
    need = db.enqueue("a")
    task = db.enqueue("b", depends_on=[need])
    scheduler.work()
    one = worker()
    one.claim()
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.work()
    db.one("SELECT muster.retry(%s)", task)
    scheduler.session.begin()
    scheduler.carry_out()
    one.send_turn([(need, "s")])
    one.session.wait_blocked()
    scheduler.session.commit()
    one.answer()
    assert db.state(task) == "ready"


def test_G2_revival_against_a_finish_of_another_need(db, worker, scheduler):
    first, second = db.enqueue_many("a", 2)
    task = db.enqueue("b", depends_on=[first, second])
    scheduler.work()
    one, other = worker(), worker()
    one.claim(1, limit=1)
    other.claim(1, limit=1, floors=False)
    one.finish_all("f")
    scheduler.work()
    assert db.state(task) == "skipped"
    db.one("SELECT muster.retry(%s)", first)
    scheduler.work()
    one.claim(1, limit=1, floors=False)
    one.finish_all()
    scheduler.session.begin()
    assert scheduler.unlock()
    other.send_turn([(each, "s") for each in other.held])
    other.session.wait_blocked()
    scheduler.session.commit()
    other.answer()
    assert db.state(task) == "ready"


def half_retried(db, worker, scheduler):
    """A retry of a flow has met the first of two needs, which has succeeded and has
    yet to tell of it, but not the other, nor `last`, skipped, that waits for both;
    what comes next has nothing to do with these."""
    tasks = {name: row.id for name, row in db.tasks(db.flow([
        *({"name": name, "kind": "a"} for name in ("x", "beside", "y")),
        {"name": "behind", "kind": "b", "needs": ["beside"]},
        {"name": "last", "kind": "b", "needs": ["x", "y"]}])).items()}
    one = worker()
    one.claim()
    one.finish_all("f")
    scheduler.work()
    assert db.states() == {"failed": 3, "skipped": 2}
    db.one("SELECT muster.retry_flow(flow_id) FROM muster.task WHERE id = %s",
           tasks["x"])
    scheduler.carry_out(1)
    assert one.claim().ids == [tasks["x"]]
    one.finish_all()
    return one, tasks["last"]


@pytest.mark.parametrize("end", "sf")
def test_A2_G2_second_end_of_a_need_while_a_retry_walks_past_its_dependent(
        db, worker, scheduler, end):
    """It is told after the dependent has come back, as it now counts it."""
    one, last = half_retried(db, worker, scheduler)
    scheduler.session.begin()
    scheduler.carry_out()
    other = db.session("musterd")
    other.send("SELECT muster.unlock(10)")
    other.wait_blocked()
    scheduler.session.commit()
    other.answer()
    scheduler.work()
    assert db.invariants() == []
    one.claim()
    one.finish_all(end)
    scheduler.work()
    assert db.state(last) == ("ready" if end == "s" else "skipped")


def test_A2_G2_retry_of_a_flow_steps_back_from_a_second_end_that_is_told(
        db, worker, scheduler):
    """Which leaves the dependent, whose other need is yet to come back, to it."""
    one, last = half_retried(db, worker, scheduler)
    scheduler.session.begin()
    assert scheduler.unlock()
    other = db.session("musterd")
    other.send("SELECT muster.carry_out(1)")
    assert other.answer()[0][0] == 0
    scheduler.session.commit()
    assert db.state(last) == "skipped"
    scheduler.work()
    assert db.states() == {"succeeded": 1, "ready": 2, "blocked": 2}
    assert db.invariants() == []
    one.claim()
    one.finish_all()
    scheduler.work()
    assert db.state(last) == "ready"


def test_A2_G2_skip_and_second_end_while_a_retry_has_just_passed(
        db, worker, scheduler):
    """The retry has met the dependent when that was open, so it is the need's end
    that brings it back."""
    tasks = {name: row.id for name, row in db.tasks(db.flow([
        *({"name": name, "kind": name} for name in "abc"),
        {"name": "last", "kind": "b", "needs": ["a", "b", "c"],
         "needs_mode": {"at_least": 2}}])).items()}
    one = worker()
    one.claim()
    one.finish(tasks["a"], outcome="f")
    scheduler.work()
    db.one("SELECT muster.retry_flow(flow_id) FROM muster.task WHERE id = %s",
           tasks["a"])
    scheduler.carry_out(1)
    one.claim()
    one.finish(tasks["a"])
    one.finish(tasks["c"], outcome="f")
    other = db.session("musterd")
    scheduler.session.begin()
    scheduler.carry_out()
    assert other.one("SELECT muster.unlock(10)") == 1
    assert db.state(tasks["last"]) == "skipped"
    other.send("SELECT muster.unlock(10)")
    other.wait_blocked()
    scheduler.session.commit()
    other.answer()
    scheduler.work()
    assert db.invariants() == []
    assert db.state(tasks["last"]) == "blocked"
    one.finish(tasks["b"])
    assert db.state(tasks["last"]) == "ready"


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_A2_second_end_of_a_need_while_its_dependent_is_just_skipped(
        db, worker, scheduler, limit):
    """And has yet to tell of that itself: then it comes back."""
    first, second = db.enqueue_many("a", 2)
    db.enqueue("c", depends_on=[first])
    task = db.enqueue("b", depends_on=[first, second], needs_mode="any")
    behind = db.enqueue("c", depends_on=[task])
    scheduler.work()
    one = worker()
    one.claim()
    one.finish(first, outcome="f")
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.work()
    for each in task, first:
        db.one("SELECT muster.retry(%s)", each)
        scheduler.work()
    later = db.enqueue("c", depends_on=[task])
    scheduler.work()
    one.claim()
    one.finish(first)
    one.finish(second, outcome="f")
    for _ in range(20):
        scheduler.unlock(limit)
        assert db.invariants() == []
    assert db.state(task) == "ready"
    assert db.states([behind, later]) == {"skipped": 2}
    one.claim({"b": 1})
    one.finish(task)
    scheduler.work()
    assert db.states([task, behind, later]) == {"succeeded": 1, "ready": 2}


def test_A2_second_end_of_a_need_brings_back_what_waits_for_each_other(
        db, worker, scheduler):
    """The one that wants another finished waits for its next end."""
    rows = db.tasks(db.flow([
        {"name": "need", "kind": "a"},
        {"name": "first", "kind": "b", "needs": ["need"]},
        {"name": "last", "kind": "c", "needs": [
            "need", {"task": "first", "when": "finished"}]}]))
    need, first, last = (rows[name].id for name in ("need", "first", "last"))
    scheduler.work()
    one = worker()
    one.claim()
    one.finish(need, outcome="f")
    scheduler.work()
    assert db.states([first, last]) == {"skipped": 2}
    db.one("SELECT muster.retry(%s)", need)
    scheduler.work()
    one.claim()
    one.finish(need)
    scheduler.work()
    assert db.invariants() == []
    assert one.claim().ids == [first]
    one.finish(first, outcome="f")
    scheduler.work()
    assert one.claim().ids == [last]


def test_G2_a_retry_by_filter_meets_needs_before_what_waits_for_them(
        db, worker, scheduler):
    """Even if somebody held a need when its turn came."""
    need, *beside = db.enqueue_many("a", 3)
    last = db.enqueue("b", depends_on=[need], depends_when="finished")
    very_last = db.enqueue("b", depends_on=[last], depends_when="finished")
    scheduler.work()
    one = worker()
    for _ in range(3):
        one.claim()
        one.finish_all("f")
    assert db.states() == {"failed": 5}
    db.one("SELECT muster.retry_where('{\"state\": \"failed\"}')")
    other = db.session("musterd")
    other.begin()
    other.run("SELECT FROM muster.task WHERE id = %s FOR UPDATE", need)
    scheduler.carry_out(1)
    assert db.states([need, *beside]) == {"failed": 1, "ready": 2}
    other.rollback()
    scheduler.work()
    assert db.states([need]) == {"ready": 1}
    assert db.states([last, very_last]) == {"blocked": 2}
    assert db.invariants() == []


def test_G2_second_end_of_a_need_leaves_to_a_retry_by_filter_what_it_lists(
        db, worker, scheduler):
    """So it waits for what comes back with it."""
    tasks = {name: row.id for name, row in db.tasks(db.flow([
        {"name": "x", "kind": "a"}, {"name": "y", "kind": "a"},
        {"name": "last", "kind": "b", "needs": [
            "x", {"task": "y", "when": "finished"}]}])).items()}
    one = worker()
    one.claim()
    one.finish_all("f")
    scheduler.work()
    db.one("SELECT muster.retry(%s)", tasks["x"])
    scheduler.work()
    one.claim()
    one.finish_all()
    db.one("SELECT muster.retry_where('{\"state\": [\"failed\", \"skipped\"]}')")
    while scheduler.unlock():
        assert db.invariants() == []
    assert db.state(tasks["last"]) == "skipped"
    scheduler.work()
    assert db.states() == {"succeeded": 1, "ready": 1, "blocked": 1}
    assert db.invariants() == []


def test_G2_retry_against_a_claim_of_its_stale_row(db, worker, scheduler):
    task = db.enqueue("a")
    db.one("SELECT muster.cancel(%s)", task)
    scheduler.work()
    db.one("SELECT muster.retry(%s)", task)
    one, other = worker(), worker()
    one.session.begin()
    assert not one.claim().tasks  # takes the stale row away
    scheduler.work()
    assert other.claim().ids == [task]
    one.session.commit()
    assert db.one("SELECT count(*) FROM muster.ready") == 0


# Everything at once.

def test_invariants_hold_in_a_storm(db, is_long):
    """Clients, workers, schedulers and rescuers on the same few flows."""
    from sql.storm import Storm
    storm = Storm(db, seconds=60 if is_long else 6)
    storm.run()
    assert storm.errors == []
    assert storm.finished > 100
    storm.settle()
    assert db.invariants() == []
    assert set(db.states()) <= {"succeeded", "failed", "cancelled",
                                "skipped"}
