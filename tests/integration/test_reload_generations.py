"""Reloads of a daemon that works: what two generations do together."""

import os
import random
import signal
import time

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


# When the process was made, and when it ended, in hundredths of a second
# since boot: closer to what the worker does than what a date program says.
CLOCKED_SCRIPT = (
    "read -r line </proc/self/stat; set -- $line; read t; "
    'echo "$MUSTER_TASK ${{22}} 1" >>{file}; sleep $t; '
    'read -r up rest </proc/uptime; echo "$MUSTER_TASK $up -1" >>{file}')


def clocked_events(path):
    """[(hundredths, step)], ends first where both are in the same one."""
    events = []
    with open(path, encoding="utf-8") as file:
        for _, at, step in (line.split() for line in file):
            events.append((int(at.replace(".", "")), int(step)))
    return sorted(events)


def boot_time():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 100)


def at_starts(path, begin, end):
    """How many ran, the new one included, whenever one started between."""
    running, found = 0, []
    for at, step in clocked_events(path):
        running += step
        if step > 0 and begin < at < end:
            found.append(running)
    return found


@pytest.mark.parametrize("of", ["queue", "handler"])
def test_A3_lowered_concurrency_starts_nothing_beyond_it(
        db, daemon, folder, patience, is_long, of):
    """Workers that run more than their new parts keep what they run; the
    others start nothing that would be too much, and all is used in the
    end."""
    path = os.path.join(folder, "events")

    def limits(number):
        nap = {"exec": ["/bin/sh", "-c", CLOCKED_SCRIPT.format(file=path)]}
        return {"queues": {"default": {
                    "concurrency": number if of == "queue" else 40}},
                "handlers": {"nap": nap if of == "queue" else
                             {**nap, "concurrency": number}}}

    musterd = daemon(workers=3, **limits(12))
    naps = random.Random(5).choices([0.1, 2.5], k=300 if is_long else 100)
    tasks = db.enqueue_many("nap", naps)
    wait_until(lambda: os.path.exists(path) and
               12 in at_starts(path, 0, boot_time()), 20 * patience)
    phases = []
    for number in [6, 12, 5, 12, 4] * (3 if is_long else 1):
        musterd.reload(**limits(number))
        begin = boot_time()
        wait_until(lambda: boot_time() > begin + 120, 5, "a while")
        phases.append((number, begin + 1, boot_time()))
    assert db.wait_done(120 * patience) == {"succeeded": len(tasks)}
    phases[-1] = (number, phases[-1][1], boot_time())
    for number, begin, end in phases:
        assert max(at_starts(path, begin, end), default=0) <= number, phases
    assert max(at_starts(path, *phases[-1][1:])) == number, "all is used"
    assert len(clocked_events(path)) == 2 * len(tasks)  # each ran once


def test_A3_lowered_concurrency_counts_what_is_about_to_start(
        db, daemon, folder, patience):
    """Tasks whose payload is still to come have slots; those that are too
    many go back to the line, without a charge."""
    path = os.path.join(folder, "events")
    script = SCRIPT.replace("sleep 0.1", "sleep 2").format(file=path)
    musterd = daemon(workers=1, queues={"default": {"concurrency": 4}},
                     handlers={"nap": {"exec": ["/bin/sh", "-c", script]}})
    db.rows("CREATE OR REPLACE FUNCTION muster.payload(p_task bigint) "
            "RETURNS text LANGUAGE sql AS $$ SELECT pg_sleep(0.5); "
            "SELECT t.payload FROM muster.task t WHERE t.id = p_task $$")
    tasks = db.enqueue_many("nap", ["x" * 100000] * 4)
    wait_until(lambda: db.states() == {"running": 4}, 10, "all are claimed")
    musterd.reload(queues={"default": {"concurrency": 1}})
    assert not os.path.exists(path), "none has started"
    assert db.wait_done(60 * patience) == {"succeeded": 4}
    assert most_at_once(path) == 1
    assert {db.task(task).attempt for task in tasks} == {1}
