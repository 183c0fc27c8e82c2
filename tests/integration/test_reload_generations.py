"""Reloads of a daemon that works: what two generations do together."""

import os

from support.wait import wait_until

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
