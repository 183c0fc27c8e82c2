"""The scheduler: wake-ups, due tasks, admission, requests, outages."""

import os
import signal
import time

import pytest

from support import processes
from support.wait import holds_for, wait_until

NEVER = "60s"  # a poll that cannot be the reason for what is seen


def enqueue_due(db, delay_ms):
    """A noop that is due after so long; the task and its time."""
    return db.rows("SELECT muster.enqueue('noop', run_at => t.at), t.at "
                   "FROM (SELECT now() + %s * interval '1 ms' AS at) t",
                   delay_ms)[0]


def lateness_ms(db, task, due_at):
    """From its time to its end, nearly its start: noops end when they start.
    Both are PostgreSQL's, so below 0 it was started too early."""
    return (db.task(task).finished_at - due_at).total_seconds() * 1000


def latency_ms(db, task):
    """From the commit to the start, nearly: noops end when they start."""
    row = db.task(task)
    return (row.finished_at - row.created_at).total_seconds() * 1000


def settle(db):
    """Until the scheduler and the workers sleep."""
    wait_until(lambda: db.one("SELECT count(*) FROM muster.sleepers") >= 2)


def test_E1_idle_worker_is_woken_by_a_notification(db, daemon, patience):
    daemon(poll_interval=NEVER, workers=1)
    settle(db)
    for _ in range(5):
        task = db.enqueue("noop")
        db.wait_state(task, limit=2)
        assert latency_ms(db, task) < 200 * patience


def test_E1_worker_without_room_does_not_keep_a_task(db, daemon, patience):
    """Two workers, one full: whichever is woken first, the task starts."""
    daemon(poll_interval=NEVER, workers=2,
           queues={"default": {"concurrency": 2}},
           handlers={"nap": {"exec": ["/bin/sleep", "3"]}})
    settle(db)
    nap = db.enqueue("nap")
    db.wait_state(nap, "running")
    time.sleep(0.5)
    other = db.enqueue("nap")
    db.wait_state(other, "running", limit=1.5 * patience)


@pytest.mark.parametrize("delay_ms", [300, 1500])
def test_B1_due_task_starts_on_time(db, daemon, patience, delay_ms):
    daemon(poll_interval=NEVER, workers=1)
    settle(db)
    delays = [delay_ms + 37 * number for number in range(10)]
    tasks = [enqueue_due(db, delay) for delay in delays]
    db.wait_done()
    late = [lateness_ms(db, task, due_at) for task, due_at in tasks]
    assert min(late) >= 0, late
    assert max(late) < 250 * patience, late


def test_B1_earlier_task_moves_the_timer(db, daemon, patience):
    daemon(poll_interval=NEVER, workers=1)
    db.one("SELECT muster.enqueue('noop', run_at => now() + '1 hour')")
    settle(db)
    soon, due_at = enqueue_due(db, 400)
    db.wait_state(soon, limit=3)
    assert lateness_ms(db, soon, due_at) < 250 * patience


def test_B1_due_task_of_a_transaction_that_committed_late(db, daemon):
    """Its time lies below the floor when it becomes visible."""
    daemon(poll_interval=NEVER, workers=1)
    session = db.session("app")
    session.send("BEGIN; SELECT muster.enqueue('noop', run_at => "
                 "clock_timestamp() + interval '200 ms')")
    session.answer()
    for _ in range(5):
        other = db.one("SELECT muster.enqueue('noop', run_at => "
                       "clock_timestamp() + interval '300 ms')")
        db.wait_state(other)
    session.send("COMMIT")
    session.answer()
    assert db.wait_done(5)["succeeded"] == 6


def test_A2_dependent_task_follows_at_once(db, daemon, patience):
    daemon(poll_interval=NEVER, workers=1)
    settle(db)
    first = db.enqueue("noop")
    db.wait_state(first)
    then = db.enqueue("noop", depends_on=[first])
    db.wait_state(then, limit=3)
    assert latency_ms(db, then) < 300 * patience


def test_A1_chain_of_a_flow_runs_without_the_poll(db, daemon):
    daemon(poll_interval=NEVER, workers=1)
    tasks = {f"t{number}": {"kind": "noop", "needs": [f"t{number - 1}"]
                            if number else []} for number in range(30)}
    flow = db.flow(tasks)
    assert db.wait_flow(flow, 10).state == "succeeded"


def test_B1_wide_fan_out_is_unlocked_in_pieces(db, daemon, is_long):
    daemon(poll_interval=NEVER, workers=2)
    width = 100000 if is_long else 15000
    tasks = {f"t{number}": {"kind": "noop", "needs": ["root"]}
             for number in range(width)}
    flow = db.flow({"root": {"kind": "noop"}, **tasks})
    assert db.wait_flow(flow, 120).succeeded == width + 1


def test_F2_requests_are_carried_out(db, daemon):
    daemon(poll_interval=NEVER, workers=1,
           handlers={"nap": {"exec": ["/bin/sleep", "60"]},
                     "noop": {"noop": True}})
    settle(db)
    later = db.one("SELECT muster.enqueue('noop', run_at => now() + '1 h')")
    db.request("cancel", later, limit=3)
    assert db.state(later) == "cancelled"
    nap = db.enqueue("nap")
    db.wait_state(nap, "running")
    db.request("cancel", nap, limit=3)
    db.wait_state(nap, "cancelled", limit=3)
    db.request("retry", later, limit=3)
    db.wait_state(later, "succeeded", limit=3)


def test_H1_retention_purges_what_is_old(db, daemon):
    daemon(queues={"default": {"concurrency": 20, "retention": "1s"}},
           workers=1)
    for _ in range(50):
        db.enqueue("noop")  # small turns, a row each
    wait_until(lambda: db.one("SELECT count(*) FROM muster.task") == 0, 10)
    assert db.noted() == 0 and db.invariants() == []


def test_H1_retention_purges_maps_and_nested_flows(db, daemon):
    daemon(queues={"default": {"concurrency": 20, "retention": "0s"}},
           workers=1)
    noop = {"kind": "noop"}
    item = {**noop, "map": {"over": list(range(700))}}
    flows = [db.flow({"m": item, "n": {"flow": {"tasks": {
        "a": noop, "m": item, "b": {**noop, "needs": ["m"]}}}}})
        for _ in range(2)] + [db.flow({"a": noop, "b": {
            **noop, "needs": ["a"]}}) for _ in range(50)]
    assert flows
    for table in ("flow", "task", "container_plan", "finished", "kept"):
        wait_until(lambda: db.one(
            f"SELECT count(*) FROM muster.{table}") == 0, 15, table)
    assert db.invariants() == []


def test_B1_poll_is_the_backstop_when_nothing_was_notified(db, daemon):
    daemon(poll_interval="300ms", workers=1)
    settle(db)
    first = db.enqueue("noop", wake=False)
    db.wait_state(first, limit=3)
    then = db.enqueue("noop", depends_on=[first], wake=False)
    db.wait_state(then, limit=3)


def test_I3_postgres_restart_forgets_no_notification(
        own_postgres, db, daemon):
    musterd = daemon(poll_interval=NEVER, workers=1)
    musterd.log.allow("database")
    for mode in ["immediate", "fast"]:
        own_postgres.restart(mode)
        task = db.enqueue("noop")
        then = db.enqueue("noop", depends_on=[task])
        db.wait_state(then, limit=10)
    settle(db)
    task = db.enqueue("noop")
    db.wait_state(task, limit=3)


def test_E2_reported_death_is_rescued_at_once(db, daemon, patience):
    musterd = daemon(workers=2, handlers={
        "nap": {"exec": ["/bin/sleep", "300"]}})
    musterd.log.allow("worker", "rescue")
    tasks = db.enqueue_many("nap", 10)
    wait_until(lambda: db.states(tasks)["running"] == 10)
    ids = db.rows("SELECT worker_id FROM muster.lease")
    pids = musterd.workers()
    begin = time.monotonic()
    os.kill(pids[0], signal.SIGKILL)
    dead = wait_until(lambda: db.rows(
        "SELECT id FROM muster.worker WHERE dead_at IS NOT NULL"))
    assert time.monotonic() - begin < 1 * patience
    assert len(dead) == 1 and len(ids) >= 1
    wait_until(lambda: db.states(tasks)["running"] == 10)


def test_E2_death_report_waits_for_the_database(own_postgres, db, daemon):
    musterd = daemon(workers=1, handlers={
        "nap": {"exec": ["/bin/sleep", "300"]}})
    musterd.log.allow("worker", "database")
    task = db.enqueue("nap")
    db.wait_state(task, "running")
    worker = db.task(task).worker_id or db.one(
        "SELECT worker_id FROM muster.lease")
    own_postgres.stop("fast")
    os.kill(musterd.workers()[0], signal.SIGKILL)
    wait_until(lambda: musterd.workers().get(0))
    own_postgres.start()
    wait_until(lambda: db.one("SELECT dead_at FROM muster.worker"
                              " WHERE id = %s", worker), 10)
    db.wait_state(task, "running")


def test_E2_report_survives_the_scheduler(own_postgres, db, daemon):
    """The scheduler dies with the report; its successor gets it again."""
    musterd = daemon(workers=1, handlers={
        "nap": {"exec": ["/bin/sleep", "300"]}})
    musterd.log.allow("worker", "scheduler", "database")
    task = db.enqueue("nap")
    db.wait_state(task, "running")
    worker = db.one("SELECT worker_id FROM muster.lease")
    own_postgres.freeze()
    os.kill(musterd.workers()[0], signal.SIGKILL)
    time.sleep(0.3)
    os.kill(musterd.scheduler(), signal.SIGKILL)
    time.sleep(0.3)
    own_postgres.thaw()
    wait_until(lambda: db.one("SELECT dead_at FROM muster.worker"
                              " WHERE id = %s", worker), 15)
    db.wait_state(task, "running", limit=15)


def test_E2_earlier_workers_are_rescued_before_ready(db, daemon):
    db.one("SELECT count(*) FROM muster.worker_register(77, 'other', 'h', 1,"
           " '0', '{default}', '{noop}')")
    musterd = daemon(workers=1)
    instance = db.one("SELECT DISTINCT instance FROM muster.worker"
                      " WHERE id <> 77")
    musterd.stop()
    task = db.enqueue("noop")
    db.one("SELECT count(*) FROM muster.worker_register(78, %s, 'h', 1,"
           " '0', '{default}', '{noop}')", instance)
    route = db.one("SELECT id FROM muster.route LIMIT 1")
    db.rows("SELECT * FROM muster.turn(78, '{}', '{}', '', '{}', '{}', '{}',"
            " '{}', ARRAY[%s], '{5}', 5, 1000000, '{}', '{}', '{}', '{}')",
            route)
    assert db.state(task) == "running"
    musterd.start()
    assert db.one("SELECT dead_at FROM muster.worker WHERE id = 78")
    assert db.one("SELECT dead_at FROM muster.worker WHERE id = 77") is None
    db.wait_state(task)


def test_I3_worker_without_signs_is_given_up(db, daemon, patience):
    musterd = daemon(workers=1)
    musterd.log.allow("is dead")
    begin = time.monotonic()
    db.one("SELECT count(*) FROM muster.worker_register(77, 'other', 'h', 1,"
           " '0', '{default}', '{noop}')")
    wait_until(lambda: db.one(
        "SELECT dead_at FROM muster.worker WHERE id = 77"), 20 * patience)
    assert time.monotonic() - begin > 9.5
    attempts = db.rows("SELECT 1 FROM muster.worker WHERE id <> 77 AND"
                       " dead_at IS NOT NULL")
    assert not attempts, "its own worker is alive"


@pytest.mark.parametrize("sign", ["beat", "redis"])
def test_I3_one_sign_is_enough(db, daemon, redis, sign):
    musterd = daemon(workers=1)
    db.one("SELECT count(*) FROM muster.worker_register(77, 'other', 'h', 1,"
           " '0', '{default}', '{noop}')")
    key = f"muster:{musterd.config['cluster']}:worker:77"

    def give_sign():
        if sign == "beat":
            db.one("SELECT muster.beat(77)")
        else:
            redis.command("SET", key, "{}", "PX", 3000)
        return db.one("SELECT dead_at IS NULL FROM muster.worker"
                      " WHERE id = 77")
    holds_for(give_sign, 13, "the worker lives", every=1)
    db.rows("DELETE FROM muster.worker WHERE id = 77")


def test_I3_outage_starts_the_limit_anew(own_postgres, db, daemon):
    musterd = daemon(workers=1)
    musterd.log.allow("database", "is dead")
    db.one("SELECT count(*) FROM muster.worker_register(77, 'other', 'h', 1,"
           " '0', '{default}', '{noop}')")
    time.sleep(6)
    own_postgres.freeze()
    time.sleep(5)
    own_postgres.thaw()
    thawed = time.monotonic()
    wait_until(lambda: db.one(
        "SELECT dead_at FROM muster.worker WHERE id = 77"), 30)
    assert time.monotonic() - thawed > 9


def test_I1_reload_changes_the_scheduler_in_place(db, daemon):
    musterd = daemon(workers=1, poll_interval=NEVER)
    before = musterd.scheduler()
    musterd.reload(poll_interval="200ms")
    assert musterd.scheduler() == before
    settle(db)
    first = db.enqueue("noop", wake=False)
    db.wait_state(first, limit=3)


def test_E1_scheduler_comes_back_to_the_list_of_sleepers(db, daemon, patience):
    """Another one held it for gone. What came meanwhile is found."""
    daemon(poll_interval=NEVER, workers=1)
    settle(db)
    mine = "SELECT id FROM muster.sleepers WHERE id < 0"
    number = db.one(mine)
    later = db.one("SELECT muster.enqueue('noop', run_at => now() + '1 h')")
    db.rows("DELETE FROM muster.sleepers WHERE id < 0")
    db.one("SELECT muster.cancel(%s)", later)
    wait_until(lambda: db.rows(mine), 7 * patience, "it is there again")
    assert db.one(mine) == number
    db.wait_state(later, "cancelled", limit=2 * patience)


def test_C4_scheduler_leaves_no_sleeper_behind(db, daemon):
    musterd = daemon(workers=2)
    settle(db)
    musterd.stop()
    assert db.one("SELECT count(*) FROM muster.sleepers") == 0
    assert not processes.strangers()


def test_I1_max_payload_of_the_configuration_holds_in_the_database(db, daemon):
    musterd = daemon(max_payload="2k")
    wait_until(lambda: db.one("SELECT muster.max_payload()") == 2048)
    musterd.reload(max_payload="4k")
    wait_until(lambda: db.one("SELECT muster.max_payload()") == 4096)
    musterd.log.wait_for("max_payload in the database is now 4096 bytes")
