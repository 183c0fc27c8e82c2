"""Many SIGHUPs under load, half of them with a broken file."""

import signal

from support.wait import wait_until

BROKEN = ["nonsense: 1", "workers: many", "queues: {default: 3}",
          "handlers: {quick: {exec: }", "workers: 1\nworkers: 2"]


def good(ledger, number):
    """A configuration that shows its number in each result."""
    return {
        "workers": 1 + number % 3,
        "log_level": ["info", "notice", "info"][number % 3],
        "queues": {"default": {"concurrency": 4 + number % 5}},
        "handlers": {"quick": ledger.handler(
            then=f"{ledger.note('end')}; echo {number}")},
    }



def test_I1_many_reloads_lose_and_repeat_nothing(
        db, daemon, ledger, is_long, patience):
    musterd = daemon(**good(ledger, 0))
    musterd.log.allow("configuration", musterd.config_path)
    rounds = 100 if is_long else 20
    tasks = []
    for number in range(1, rounds + 1):
        tasks += db.enqueue_many("quick", 10)
        if number % 2:
            musterd.write(**good(ledger, number))
            last = number
        else:
            with open(musterd.config_path, "a", encoding="utf-8") as file:
                file.write(BROKEN[number // 2 % len(BROKEN)] + "\n")
        reload_by_signal(musterd, refused=number % 2 == 0, patience=patience)
    assert db.wait_done(60 * patience) == {"succeeded": len(tasks)}
    assert ledger.count("end") == {task: 1 for task in tasks}
    assert {db.task(task).attempt for task in tasks} == {1}
    task = db.enqueue("quick")
    assert db.wait_state(task).result == last
    status = musterd.status()
    assert musterd.config_path in str(status["config"]["refused"])


def reload_by_signal(musterd, refused, patience):
    """SIGHUP, and the wait for its verdict as `musterctl status` sees it."""
    before = musterd.status()["config"]
    lines = len(musterd.log.find(musterd.config_path + ":", level="error"))
    musterd.signal(signal.SIGHUP)
    if refused:
        wait_until(lambda: len(musterd.log.find(
            musterd.config_path + ":", level="error")) > lines,
            20 * patience, "the broken file is logged with its line")
        wait_until(lambda: musterd.status()["config"]["refused"], 5,
                   "status says that it was refused")
    else:
        wait_until(lambda: musterd.status()["config"]["loaded_at"]
                   != before["loaded_at"]
                   and musterd.status()["state"] == "running"
                   and not musterd.status()["config"]["refused"],
                   30 * patience, "the good file is in force")
