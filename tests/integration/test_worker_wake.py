"""How a worker learns of work: at once when idle, without a storm when busy."""

import statistics
import time

from support.wait import wait_until


def _sleepers(db):
    return {row[0] for row in db.rows(
        "SELECT id FROM muster.sleepers WHERE id > 0")}


def test_E1_idle_worker_is_registered_and_woken(
        db, daemon, ledger, patience):
    """It need not poll: the next poll would come after a minute."""
    host = daemon(workers=1, poll_interval="60s",
                  handlers={"job": ledger.handler()})
    wait_until(lambda: _sleepers(db) == set(host.worker_ids().values()), 5,
               "it sleeps")
    took = []
    for number in range(10):
        begin = time.monotonic()
        db.enqueue("job")
        wait_until(lambda: len(ledger.lines()) > number, 10, every=0.001)
        took.append(time.monotonic() - begin)
    assert statistics.median(took) < 0.1 * patience, took


def test_E1_an_idle_worker_warms_its_session_up_once(db, daemon):
    """What it does for the first time is not the first task's to pay for."""
    db.rows(f'ALTER DATABASE "{db.name}" SET track_functions = pl')
    daemon(workers=2, poll_interval="100ms")

    def warmed():
        return db.one("SELECT coalesce(sum(calls), 0)"
                      " FROM pg_stat_user_functions"
                      " WHERE funcname = 'warm_up'")
    wait_until(lambda: warmed() == 2, 10, "both have")
    db.enqueue_many("noop", 10)
    db.wait_done()
    time.sleep(1.5)  # sessions tell what they counted once a second
    assert warmed() == 2


def test_busy_worker_takes_itself_off_the_list_and_comes_back(db, daemon):
    """While turn follows turn nobody has to notify; when the work ends the
    worker is back on the list."""
    host = daemon(workers=1, queues={"default": {"concurrency": 1}},
                  handlers={"nap": {"exec": ["/bin/sleep", "0.02"]}})
    db.enqueue_many("nap", 200)
    wait_until(lambda: not _sleepers(db), 10, "it is off the list")
    db.wait_done(60)
    wait_until(lambda: _sleepers(db) == set(host.worker_ids().values()), 5,
               "it sleeps again")


def test_full_worker_takes_itself_off_the_list(db, daemon):
    host = daemon(workers=1, queues={"default": {"concurrency": 2}},
                  handlers={"nap": {"exec": ["/bin/sleep", "6"]}})
    db.enqueue_many("nap", 2)
    wait_until(lambda: not _sleepers(db), 5, "nobody sleeps")
    db.wait_done()
    wait_until(lambda: _sleepers(db) == set(host.worker_ids().values()), 5,
               "it sleeps again")


def test_B2_turns_stay_few_under_a_stream_of_single_tasks(db, daemon):
    """Thousands of single enqueues a few at a time: far fewer turns."""
    host = daemon(workers=1)
    before = host.status()["workers"][0]["turns"]
    begin = time.monotonic()
    for _ in range(1500):
        db.enqueue("noop")
    took = time.monotonic() - begin
    db.wait_done()
    turns = host.status()["workers"][0]["turns"] - before
    assert turns < 100 + 900 * (took + 1), (turns, took)
