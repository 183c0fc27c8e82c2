"""What status shows of pools: processes, tasks, crashes, back-off."""

import os
import signal

from support.pool import hold
from support.wait import wait_until


def shown(host, kind="job"):
    (worker,) = host.status()["workers"]
    return next(pool for pool in worker["pools"] if pool["kind"] == kind)


def wait_shown(host, limit=10, **wanted):
    """`wanted` names processes (ready=2) or members of the pool."""
    def fits():
        pool = shown(host)
        both = {**pool, **pool["processes"]}
        return pool if all(both[name] == value
                           for name, value in wanted.items()) else None
    return wait_until(fits, limit, f"a pool with {wanted}")


def table(musterctl):
    return next((part.splitlines()
                 for part in musterctl("status").split("\n\n")
                 if part.startswith("POOL")), None)


def test_pool_processes_and_tasks_are_shown(
        db, daemon, pool, folder, musterctl):
    host = daemon(workers=1, handlers={
        "job": pool.handler(concurrency=2, processes=2),
        "other": pool.handler()})
    assert table(musterctl) is None
    wait_shown(host, max=2, starting=0, ready=0, started=0)
    db.enqueue_many("job", [hold(folder)] * 5)
    found = wait_shown(host, ready=2, busy=2, running=4, started=2)
    assert (found["crashed"], found["error"], found["next_start_ms"]) == (
        0, None, None)
    title, row = table(musterctl)
    assert title.split()[:3] == ["POOL", "SLOT", "STARTING"]
    assert row.split()[:7] == ["job", "0", "0", "2", "2", "0", "2"]
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    assert db.wait_done() == {"succeeded": 5}
    wait_shown(host, ready=2, busy=0, running=0, waiting=0)
    assert shown(host, "other")["started"] == 0


def test_pool_that_starts_slowly_is_shown(db, daemon, pool, folder):
    host = daemon(workers=1, handlers={"job": pool.handler(start="slow")})
    db.enqueue("job", {})
    wait_shown(host, starting=1, ready=0)
    wait_shown(host, starting=0, ready=1)
    db.wait_done()


def test_pool_process_that_ends_is_shown(db, daemon, pool):
    """It has done enough, and is in no hurry to go."""
    host = daemon(workers=1, handlers={"job": pool.handler(
        start="lingering", recycle={"tasks": 1}, grace="3s")})
    db.wait_state(db.enqueue("job"))
    wait_shown(host, ending=1)
    wait_shown(host, ending=0, ready=1, started=2, crashed=0)


def test_pool_crash_of_one_that_worked_is_shown(db, daemon, pool):
    """It is counted, with what it said; the next one starts at once."""
    host = daemon(workers=1, handlers={"job": pool.handler(max_attempts=1)})
    host.log.allow("job", "failed")
    db.wait_state(db.enqueue("job"))
    crash = db.enqueue("job", {"do": "crash", "signal": signal.SIGSEGV})
    db.wait_state(crash, "failed")
    db.wait_state(db.enqueue("job"))
    found = wait_shown(host, ready=1, started=2, crashed=1)
    assert found["error"] == "killed by signal 11 (SIGSEGV): out of luck"
    assert found["next_start_ms"] is None and found["failures"] == 0
    assert 0 <= found["error_ms"] < 60000


def test_pool_crash_loop_is_shown_until_it_works(
        db, daemon, pool, folder, musterctl):
    """When the next start is, how often it failed, and why; no more then."""
    start = os.path.join(folder, "start")
    os.symlink("/bin/false", start)
    handler = pool.handler()
    handler["pool"] = [start, *handler["pool"][1:]]
    host = daemon(workers=1, handlers={"job": handler})
    host.log.allow("job")
    task = db.enqueue("job")
    found = wait_until(
        lambda: (pool := shown(host))["failures"] >= 4 and
        pool["crashed"] == pool["started"] == pool["failures"] and
        pool["next_start_ms"] and pool, 20,
        "a back-off, and no process that has started and not yet failed")
    assert found["error"].startswith("exit status 1")
    assert found["next_start_ms"] <= 30000
    assert "exit status 1" in table(musterctl)[1]
    os.symlink("/usr/bin/python3", start + ".new")
    os.rename(start + ".new", start)
    db.wait_state(task, limit=60)
    found = wait_shown(host, ready=1, failures=0, next_start_ms=None)
    assert found["crashed"] >= 4


def test_pool_without_a_program_is_shown(db, daemon, pool):
    handler = pool.handler()
    handler["pool"] = ["/nowhere/handler"]
    host = daemon(workers=1, handlers={"job": handler})
    host.log.allow("job")
    db.enqueue("job")
    found = wait_until(lambda: (pool := shown(host))["crashed"] and pool, 10,
                       "a failed start")
    assert found["error"] == \
        "cannot run /nowhere/handler: No such file or directory"
    assert found["started"] == 0 and found["next_start_ms"] is not None
