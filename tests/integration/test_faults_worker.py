"""Workers and supervisors that are killed or stopped in the middle of work."""

import os
import signal
import time

from support import processes
from support.wait import holds_for, wait_until


def leases_of(db, worker):
    return db.one("SELECT count(*) FROM muster.lease WHERE worker_id = %s",
                  worker)


def kill_worker(db, daemon, limit):
    """kill -9 of the only worker: all it held is handed back within `limit`
    seconds, and none of its handlers is left."""
    pid, worker = daemon.workers()[0], daemon.worker_ids()[0]
    handlers = processes.descendants(pid)
    begin = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: leases_of(db, worker) == 0, limit,
               "the dead worker's leases are handed back", every=0.005)
    wait_until(lambda: not any(map(processes.alive, handlers)), limit,
               "the dead worker's handlers are gone", every=0.005)
    return time.monotonic() - begin


def test_E2_killed_worker_with_50_running_programs(
        db, daemon, ledger, folder, patience):
    """(a): runnable again in a second, nothing lost, no attempt charged."""
    go = os.path.join(folder, "go")
    musterd = daemon(workers=1, queues={"default": {"concurrency": 50}},
                     handlers={"nap": ledger.handler(
                         then=f"test -e {go} || sleep 300")})
    musterd.log.allow("worker")
    tasks = db.enqueue_many("nap", 50)
    wait_until(lambda: len(ledger.count()) == 50, 30, "all 50 run")
    open(go, "w", encoding="utf-8").close()
    kill_worker(db, musterd, 1 * patience)
    assert db.wait_done() == {"succeeded": 50}
    assert ledger.count() == {task: 2 for task in tasks}
    assert {db.task(task).attempt for task in tasks} == {1}
    musterd.log.wait_for("SIGKILL")


def test_E2_killed_worker_right_after_a_claim(db, daemon, patience, is_long):
    """(b): claimed, perhaps not even started."""
    musterd = daemon(workers=1, queues={"default": {"concurrency": 200}})
    musterd.log.allow("worker")
    total = 0

    def claimed():
        nonlocal total
        total += len(db.enqueue_many("noop", 5000))
        return db.one("SELECT EXISTS (SELECT FROM muster.lease)")

    for _ in range(10 if is_long else 4):
        wait_until(claimed, 10, "something is claimed", every=0)
        kill_worker(db, musterd, 1 * patience)
        assert db.wait_done(60) == {"succeeded": total}
        musterd.wait_running()


def test_G3_poisonous_task_ends_and_takes_nothing_with_it(
        db, daemon, ledger, patience):
    """A program that kills its worker every time."""
    musterd = daemon(workers=1, crash_limit=2, handlers={
        "poison": {"exec": ["/bin/sh", "-c", "kill -9 $PPID; sleep 300"]},
        "good": ledger.handler()})
    musterd.log.allow("worker", "task")
    poison = db.enqueue("poison")
    good = db.enqueue_many("good", 5)
    row = db.wait_state(poison, "failed", 60 * patience)
    assert "SIGKILL" in row.error
    for task in good:
        db.wait_state(task, "succeeded", 30 * patience)


def test_E2_stopped_worker_is_replaced(db, daemon, ledger, folder, patience):
    """SIGSTOP: the watchdog's limit and two seconds more."""
    go = os.path.join(folder, "go")
    musterd = daemon(workers=2, watchdog="2s", handlers={
        "nap": ledger.handler(then=f"test -e {go} || sleep 300")},
        queues={"default": {"concurrency": 20}})
    musterd.log.allow("worker")
    tasks = db.enqueue_many("nap", 20)
    wait_until(lambda: len(ledger.count()) == 20, 20, "all run")
    pid, worker = musterd.workers()[0], musterd.worker_ids()[0]
    held = {int(task["task"]) for row in musterd.status()["workers"]
            if row["slot"] == 0 for task in row["running"]}
    handlers = processes.descendants(pid)
    open(go, "w", encoding="utf-8").close()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: leases_of(db, worker) == 0, (2 + 2) * patience,
               "the stopped worker's tasks are handed back")
    wait_until(lambda: not any(map(processes.alive, handlers + [pid])),
               2 * patience, "it and its handlers are gone")
    for task in held:
        db.wait_state(task)
        assert ledger.count()[task] == 2
    musterd.log.wait_for("has not turned")
    for task in set(tasks) - held:
        db.request("cancel", task)
    db.wait_done()


def test_I3_frozen_host_is_rescued_and_fenced(
        db, daemon, ledger, folder, patience):
    """Worker and supervisor stop; another host's daemon takes over; what
    thaws writes nothing."""
    first = daemon(workers=1, watchdog="30s", handlers={
        "nap": ledger.handler(then="sleep 2; " + ledger.note("end"))})
    tasks = db.enqueue_many("nap", 4)
    wait_until(lambda: len(ledger.count()) == 4, 20, "all run")
    old_worker = first.worker_ids()[0]
    frozen = [first.pid, first.scheduler(), first.workers()[0]]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    second = daemon(workers=1, handlers={
        "nap": ledger.handler(then="sleep 20; " + ledger.note("end"))})
    for made in (first, second):
        made.log.allow("worker", "fenced", "dead", "redis", "Redis",
                       "heartbeat", "PostgreSQL", "database", "connection")
    wait_until(lambda: leases_of(db, old_worker) == 0, 15 * patience,
               "the frozen host's tasks are handed back")
    wait_until(lambda: set(ledger.count().values()) == {2}, 10 * patience,
               "the second host runs them")
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: first.worker_ids().get(0) not in (None, 0, old_worker),
               20 * patience, "the thawed worker registers anew")
    assert time.monotonic() - begin < 60 * patience
    assert db.states(tasks) == {"running": 4}, "nothing thawed was written"
    new_worker = second.worker_ids()[0]
    assert db.wait_done(60) == {"succeeded": 4}
    assert {db.task(task).worker_id for task in tasks} == {new_worker}
    assert {db.task(task).attempt for task in tasks} == {1}
    assert set(ledger.count().values()) == {2}


def two_hosts(db, daemon, patience):
    """A daemon that is watched by another for longer than the limit; the id
    of its worker, which runs a task."""
    first = daemon(workers=1, watchdog="60s", handlers={
        "nap": {"exec": ["/bin/sleep", "300"]}})
    second = daemon(workers=1)
    for made in (first, second):
        made.log.allow("worker", "dead", "fenced", "supervisor", "database",
                       "connection")
    begin = time.monotonic()
    task = db.enqueue("nap")
    db.wait_state(task, "running")
    wait_until(lambda: time.monotonic() - begin > 11.5, 15 * patience,
               "the second one is connected for longer than the limit",
               every=0.2)
    return first, task, first.worker_ids()[0]


def is_dead(db, worker):
    return db.one("SELECT dead_at IS NOT NULL FROM muster.worker "
                  "WHERE id = %s", worker)


def session_of(db, worker):
    return db.one("SELECT backend_pid FROM muster.worker WHERE id = %s",
                  worker)


def freeze(musterd):
    pids = [musterd.pid, musterd.scheduler(), *musterd.workers().values()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def test_I3_host_whose_processes_are_gone_is_given_up_sooner(
        db, daemon, patience):
    """Its session has ended and its key in Redis: there is no doubt."""
    first, task, worker = two_hosts(db, daemon, patience)
    handlers = first.handlers()
    pids = freeze(first)
    begin = time.monotonic()
    processes.kill_all(pids + handlers)
    first.wait_exit()
    wait_until(lambda: is_dead(db, worker), 8.5 * patience, "it is given up")
    assert time.monotonic() - begin > 2, "its key lives for longer"
    row = db.attempts(task)[0]
    assert "session has ended" in row.error, row


def test_I3_frozen_worker_keeps_its_session_for_the_whole_limit(
        db, daemon, patience):
    first, task, worker = two_hosts(db, daemon, patience)
    frozen = freeze(first)
    try:
        holds_for(lambda: not is_dead(db, worker), 8.5, "it may come back",
                  every=0.1)
        wait_until(lambda: is_dead(db, worker), 7 * patience)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert "no sign of life" in db.attempts(task)[0].error
    db.request("cancel", task)


def test_I3_worker_that_cannot_reconnect_lives_by_its_heartbeat(
        db, daemon, patience):
    """Its session is ended and no other let in, for longer than the limit;
    all that were there before are kept."""
    _, task, worker = two_hosts(db, daemon, patience)
    session = session_of(db, worker)
    db.rows(f"ALTER DATABASE {db.name} CONNECTION LIMIT 1")
    db.rows("SELECT pg_terminate_backend(%s)", session)
    holds_for(lambda: not is_dead(db, worker), 12, "its key is there",
              every=0.1)
    assert not db.one("SELECT EXISTS (SELECT FROM pg_locks WHERE "
                      "locktype = 'advisory' AND objid::bigint = %s)",
                      worker % 2 ** 32), "its session has ended"
    db.rows(f"ALTER DATABASE {db.name} CONNECTION LIMIT -1")
    wait_until(lambda: session_of(db, worker) != session, 20 * patience,
               "it is back")
    assert not is_dead(db, worker)
    assert db.state(task) == "running"
    db.request("cancel", task)


def test_E2_killed_supervisor_outside_systemd(db, daemon, ledger, patience):
    """Children see their socketpair close and drain; the next start waits
    for them, rescues the rest, and only then is ready."""
    handlers = {"nap": ledger.handler(then="sleep 1; " + ledger.note("end"))}
    musterd = daemon(workers=2, handlers=handlers)
    musterd.log.allow("supervisor", "worker", "scheduler")
    tasks = db.enqueue_many("nap", 60)
    wait_until(lambda: len(ledger.count()) >= 10, 20, "some run")
    children = musterd.children()
    musterd.kill()
    musterd.start()
    assert not [pid for pid in children if processes.alive(pid)], \
        "READY came before the earlier workers were gone"
    assert db.wait_done(60 * patience) == {"succeeded": 60}
    assert set(ledger.count("end")) == set(tasks)
    assert {db.task(task).attempt for task in tasks} == {1}
    assert max(ledger.count("end").values()) == 1, "a drain repeats nothing"


def test_E2_killed_supervisor_with_endless_handlers(
        db, daemon, ledger, folder, patience):
    """A handler that never ends goes with its worker's drain."""
    go = os.path.join(folder, "go")
    musterd = daemon(
        workers=1, shutdown_timeout="2s", defaults={"grace": "500ms"},
        handlers={"nap": ledger.handler(
            first="trap '' TERM",
            then=f"test -e {go} || sleep 300 || sleep 300")})
    musterd.log.allow("supervisor", "worker", "scheduler", "task")
    tasks = db.enqueue_many("nap", 10)
    wait_until(lambda: len(ledger.count()) == 10, 20, "all run")
    children = musterd.children()
    open(go, "w", encoding="utf-8").close()
    musterd.kill()
    wait_until(lambda: not any(map(processes.alive, children)),
               (2 + 3) * patience, "workers and handlers are gone")
    musterd.start()
    assert db.wait_done(30 * patience) == {"succeeded": 10}
    assert {db.task(task).attempt for task in tasks} == {1}


def test_E2_killed_supervisor_with_a_hung_worker(
        db, daemon, ledger, folder, patience):
    """It does not see that its supervisor is gone: the next start kills it
    and its handlers, and only then is ready."""
    go = os.path.join(folder, "go")
    musterd = daemon(workers=2, watchdog="2s", shutdown_timeout="60s",
                     handlers={"nap": ledger.handler(
                         then=f"test -e {go} || (setsid sleep 300; true)")})
    musterd.log.allow("supervisor", "worker", "scheduler", "earlier musterd")
    tasks = db.enqueue_many("nap", 10)
    wait_until(lambda: len(ledger.count()) == 10, 20, "all run")
    children = musterd.children()
    open(go, "w", encoding="utf-8").close()
    for pid in [*musterd.workers().values(), musterd.scheduler()]:
        os.kill(pid, signal.SIGSTOP)
    musterd.kill()
    begin = time.monotonic()
    musterd.start()
    assert time.monotonic() - begin < 10 * patience
    assert not [pid for pid in children if processes.alive(pid)], \
        "READY came before those who hung were gone"
    assert db.wait_done(30 * patience) == {"succeeded": 10}
    assert ledger.count() == {task: 2 for task in tasks}
    assert {db.task(task).attempt for task in tasks} == {1}


def test_E2_killed_scheduler_is_replaced(db, daemon, patience):
    musterd = daemon()
    musterd.log.allow("scheduler")
    pid = musterd.scheduler()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: musterd.scheduler() not in (0, pid), 10 * patience,
               "a new scheduler")
    task = db.enqueue("noop", depends_on=[db.enqueue("noop")])
    db.wait_state(task, limit=10 * patience)
