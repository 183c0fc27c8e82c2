"""Reloads of a daemon that works: what two generations do together."""

import os
import signal

import pytest

from support.wait import wait_until

# Reads how long to work from standard input.
SLOW_SCRIPT = ('read t; echo "1 $(date +%s%N)" >>{file}; sleep $t; '
               'echo "-1 $(date +%s%N)" >>{file}')
SCRIPT = ('echo "1 $(date +%s%N)" >>{file}; sleep 0.1; '
          'echo "-1 $(date +%s%N)" >>{file}')


def most_at_once(path):
    """The largest number of handlers that ran at a time."""
    with open(path, encoding="utf-8") as file:
        events = sorted((int(at), int(step)) for step, at in
                        (line.split() for line in file))
    running = most = 0
    for _, step in events:
        running += step
        most = max(most, running)
    return most


def test_I1_two_generations_share_the_concurrency(db, daemon, folder):
    path = os.path.join(folder, "events")
    musterd = daemon(workers=2, queues={"default": {"concurrency": 6}},
                     handlers={"nap": {"exec": [
                         "/bin/sh", "-c", SCRIPT.format(file=path)]}})
    tasks = db.enqueue_many("nap", 400)
    wait_until(lambda: os.path.exists(path))
    for number in range(5):
        before = set(musterd.workers().values())
        answer = musterd.reload(cluster=f"c{number}")
        assert answer["changed"] == "new workers"
        assert not before & set(musterd.workers().values())
    db.wait_done()
    assert {db.task(task).attempt for task in tasks[:20]} == {1}
    with open(path, encoding="utf-8") as file:
        assert file.read().count("\n") == 800  # each ran once
    assert most_at_once(path) <= 6


@pytest.mark.parametrize("signalled", [False, True])
def test_A3_another_number_of_workers_keeps_the_concurrency(
        db, daemon, folder, signalled, patience):
    """Also while long tasks of the workers that leave still run."""
    path = os.path.join(folder, "events")
    musterd = daemon(workers=3, queues={"default": {"concurrency": 6}},
                     handlers={"nap": {"exec": [
                         "/bin/sh", "-c", SLOW_SCRIPT.format(file=path)]}})
    naps = [2 if number % 3 else 0.1 for number in range(48)]
    tasks = db.enqueue_many("nap", naps)
    wait_until(lambda: os.path.exists(path))
    for number in [1, 4, 2]:
        musterd.write(workers=number)
        if signalled:
            musterd.signal(signal.SIGHUP)
        else:
            musterd.reload()
        wait_until(lambda: len(musterd.workers()) == number, 10 * patience,
                   f"{number} workers")
    assert db.wait_done(60 * patience) == {"succeeded": len(tasks)}
    with open(path, encoding="utf-8") as file:
        assert file.read().count("\n") == 96  # each ran once
    assert most_at_once(path) == 6
