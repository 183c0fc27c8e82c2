"""Processes of a pool that break the protocol, that do not end, and whose
worker ends: daemon/handlers/pool*.c."""

import os
import signal

import pytest

from support.pool import hold, is_alive
from support.wait import holds_for, wait_until

BROKE = "it broke the protocol"


def wait_runs(pool, count):
    wait_until(lambda: len(pool.notes("ran")) >= count, 15,
               f"{count} have begun")


@pytest.mark.parametrize("text, words", [
    ("what?\n", 'sent a line that is not JSON: "what?"'),
    ("\n", "sent a line that is not JSON"),
    ('{"done":{"id":"ID"}\n', "sent a line that is not JSON"),
    ('[1]\n', "is not an object with one member"),
    ('{"done":{"id":"ID"},"x":1}\n', "is not an object with one member"),
    ('{"hallo":{}}\n', "is none of hello, done, fail, progress and chunk"),
    ('{"done":"ID"}\n', "has a message that is no object"),
    ('{"done":{"id":42}}\n', "has no id"),
    ('{"done":{"id":"999999"}}\n',
     "spoke of task 999999, which it does not have"),
    ('{"progress":{"id":"ID","fraction":2}}\n', "fraction is not 0 to 1"),
    ('{"chunk":{"id":"ID"}}\n', "chunk without data"),
    ('{"fail":{"id":"ID","retry":1}}\n', "retry is not true or false"),
    ('{"hello":{"protocol":1}}\n', "said hello twice"),
])
def test_pool_wrong_words_end_the_process(db, daemon, pool, text, words):
    """And nothing else: the task is tried again, the next ones run."""
    host = daemon(workers=1, handlers={"job": pool.handler(max_attempts=2)})
    host.log.allow(BROKE, "failed", "its processes fail")
    db.wait_state(db.enqueue("job"))
    task = db.enqueue("job", {"do": "raw", "text": text})
    error = db.wait_state(task, "failed").error
    assert "broke the protocol" in error and words in error
    assert pool.runs()[task] == 2
    first, second = pool.pids()[:2]
    for pid in (first, second):
        line = host.log.wait_for(f"process {pid} of job is ended")
        assert words in line.fields["message"] and line.level == "warning"
    db.wait_state(db.enqueue("job"))
    assert not is_alive(first) and not is_alive(second)


def test_pool_bytes_that_are_no_text(db, daemon, pool, folder):
    host = daemon(workers=1, handlers={
        "job": {"pool": ["/usr/bin/python3", "-c", "import os,time\n"
                         "os.write(3, b'\\xff\\xfe\\n'); time.sleep(60)"],
                "max_attempts": 1}})
    host.log.allow(BROKE, "its processes fail")
    db.enqueue("job")
    assert r"\xff\xfe" in host.log.wait_for("is not valid UTF-8").message


def test_pool_answers_twice(db, daemon, pool, folder):
    """The first answer counts; what else it ran is tried again."""
    host = daemon(workers=1, handlers={
        "job": pool.handler(concurrency=2, max_attempts=2)})
    host.log.allow(BROKE)
    other = db.enqueue("job", hold(folder))
    wait_runs(pool, 1)
    task = db.enqueue("job", {"do": "raw", "text":
                              '{"done":{"id":"ID","result":1}}\n' * 2})
    assert db.wait_state(task).result == 1
    host.log.wait_for(f"answered task {task} a second time")
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    db.wait_state(other)
    assert pool.runs() == {other: 2, task: 1}


def test_pool_late_progress_is_no_harm(db, daemon, pool):
    daemon(workers=1, handlers={"job": pool.handler()})
    db.wait_state(db.enqueue("job", {"do": "raw", "text": (
        '{"done":{"id":"ID"}}\n{"progress":{"id":"ID","fraction":1}}\n')}))
    db.wait_state(db.enqueue("job", {"do": "progress"}))
    assert len(pool.pids()) == 1


def test_pool_half_a_line(db, daemon, pool):
    """Ten seconds of silence in the middle of a line, not less."""
    host = daemon(workers=1, handlers={"job": pool.handler(max_attempts=1)})
    host.log.allow(BROKE, "failed", "its processes fail")
    task = db.enqueue("job", {"do": "raw", "text": '{"done":{"id":'})
    wait_runs(pool, 1)
    holds_for(lambda: db.state(task) == "running", 8, "it may go on")
    assert "half a line" in db.wait_state(task, "failed").error


def test_pool_that_never_reads(db, daemon, pool):
    """With 4 MiB that wait for it nothing more is claimed."""
    host = daemon(workers=1, handlers={
        "job": pool.handler(concurrency=100, start="never_read",
                            max_attempts=1)})
    host.log.allow(BROKE, "failed", "its processes fail")
    db.enqueue_many("job", [{"text": "x" * 900000}] * 20)
    wait_until(lambda: db.states() == {"running": 5, "ready": 15}, 10,
               "it has what fits")
    more = db.enqueue_many("job", 5)
    holds_for(lambda: db.states(more) == {"ready": 5}, 3, "no more are")
    line = host.log.wait_for("has read nothing", limit=30)
    assert "for 20 s" in line.message


@pytest.mark.parametrize("start, words", [
    ("mute", "sent no hello within 500ms (start_timeout)"),
    ("twice", "said hello twice"),
    ("garbage", "is not JSON"),
])
def test_pool_wrong_starts(db, daemon, pool, start, words):
    host = daemon(workers=1, handlers={
        "job": pool.handler(start=start, start_timeout="500ms")})
    host.log.allow(BROKE, "failed", "its processes fail")
    db.enqueue("job")
    host.log.wait_for(words, level="warning")
    wait_until(lambda: len(pool.pids()) >= 2, 15, "it is tried again")
    assert not is_alive(pool.pids()[0])


@pytest.mark.parametrize("hello, words", [
    ('{"protocol":2}', "protocol that is not 1"),
    ('{}', "without a protocol"),
    ('{"protocol":1,"concurrency":0}', "concurrency is not 1 to 1000"),
    ('{"protocol":1,"kinds":["other", "more"]}', "does not serve job"),
])
def test_pool_wrong_hellos(db, daemon, pool, hello, words):
    host = daemon(workers=1, handlers={"job": {"pool": [
        "/bin/sh", "-c", f"echo '{{\"hello\":{hello}}}' >&3; sleep 60"]}})
    host.log.allow(BROKE, "failed", "its processes fail")
    db.enqueue("job")
    host.log.wait_for(words, level="warning")


def test_pool_kinds_of_the_hello(db, daemon, pool):
    daemon(workers=1, handlers={"job": pool.handler(more=(
        "--kinds", "other,job"))})
    db.wait_state(db.enqueue("job"))


def test_pool_closes_its_socket(db, daemon, pool):
    """And lives: it is ended, its task fails."""
    host = daemon(workers=1, handlers={"job": {"pool": [
        "/bin/sh", "-c", 'echo \'{"hello":{"protocol":1}}\' >&3;'
        "read line <&3; exec 3>&-; sleep 60"], "max_attempts": 1}})
    host.log.allow(BROKE, "failed", "its processes fail")
    task = db.enqueue("job")
    assert "closed its socket and did not end" in \
        db.wait_state(task, "failed").error


# Cancel.

def test_pool_cancel_is_told(db, daemon, pool):
    """The process that ends the task when it is told lives on."""
    host = daemon(workers=1, handlers={"job": pool.handler(concurrency=2)})
    task = db.enqueue("job", {"do": "hang"})
    wait_runs(pool, 1)
    db.request("cancel", task)
    assert "as told" in db.wait_state(task, "cancelled").error
    assert [rest for _, rest in pool.notes("cancel")] == [
        [str(task), "asked"]]
    db.wait_state(db.enqueue("job"))
    assert len(pool.pids()) == 1
    assert host.log.find("cancelled, as asked")


def test_pool_cancel_of_what_waits(db, daemon, pool, folder):
    daemon(workers=1, handlers={"job": pool.handler(start="slow")})
    task = db.enqueue("job")
    wait_until(lambda: db.state(task) == "running", 5, "it is claimed")
    db.request("cancel", task)
    db.wait_state(task, "cancelled")
    assert not pool.runs()


@pytest.mark.parametrize("start", ["well", "deaf"])
def test_pool_cancel_ends_what_does_not_end(db, daemon, pool, folder, start):
    """The group; its other tasks run again and are not charged for it."""
    host = daemon(workers=1, handlers={
        "job": pool.handler(concurrency=3, start=start, grace="300ms",
                            max_attempts=1)})
    other = db.enqueue("job", hold(folder))
    wait_runs(pool, 1)
    task = db.enqueue("job", {"do": "fork"})
    wait_runs(pool, 2)
    group = pool.pids()[0]
    wait_until(lambda: len(host.handlers()) >= 2, 5, "there is a child")
    db.request("cancel", task)
    row = db.wait_state(task, "cancelled")
    assert ("SIGKILL" if start == "deaf" else "SIGTERM") in row.error
    wait_until(lambda: not is_alive(group), 5, "the process is gone")
    with pytest.raises(ProcessLookupError):
        wait_until(lambda: os.killpg(group, 0), 5, "the group is gone")
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    assert db.wait_state(other).result != group
    assert pool.runs() == {other: 2, task: 1}


def test_pool_time_limit(db, daemon, pool):
    """Counted from when a process has it, not from the process' start."""
    host = daemon(workers=1, handlers={
        "job": pool.handler(concurrency=2, start="slow", timeout="300ms",
                            grace="200ms", max_attempts=1)})
    host.log.allow("timed out")
    quick = db.enqueue("job")
    db.wait_state(quick)
    told = db.enqueue("job", {"do": "hang"})
    error = db.wait_state(told, "failed").error
    assert "timed out after 300ms" in error and "as told" in error
    deaf = db.enqueue("job", {"do": "ignore"})
    assert "timed out after 300ms" in db.wait_state(deaf, "failed").error
    assert [rest[1] for _, rest in pool.notes("cancel")] == ["timeout"] * 2
    assert pool.runs()[quick] == 1


# The end.

def test_pool_drains_with_the_daemon(db, daemon, pool, folder):
    """Running tasks end, then `drain`, then the processes, by themselves."""
    host = daemon(workers=2, handlers={
        "job": pool.handler(concurrency=2, processes=4)})
    tasks = db.enqueue_many("job", [{"do": "sleep", "seconds": 1}] * 8)
    wait_runs(pool, 4)
    assert host.stop() < 8
    assert len(pool.pids("left")) == len(pool.pids())
    assert set(pool.runs().values()) == {1}
    states = db.states(tasks)
    assert states["succeeded"] == len(pool.runs())
    assert states["ready"] == 8 - len(pool.runs())


def test_pool_that_does_not_drain(db, daemon, pool):
    """A process deaf to everything ends with the daemon, in time."""
    host = daemon(workers=1, shutdown_timeout="4s", handlers={
        "job": {"pool": ["/bin/sh", "-c", "trap '' TERM;"
                         'echo \'{"hello":{"protocol":1}}\' >&3;'
                         "read line <&3; sleep 60; sleep 60"],
                "grace": "1s"}})
    host.log.allow("did not stop")
    task = db.enqueue("job")
    wait_until(lambda: host.handlers(), 10, "it runs")
    handlers = host.handlers()
    assert host.stop() < 5
    assert not any(is_alive(pid) for pid in handlers)
    assert db.state(task) == "ready"


def test_pool_reload_replaces_processes(db, daemon, pool, folder):
    """The old process ends what it has; nothing runs twice."""
    host = daemon(workers=1, handlers={"job": pool.handler(processes=2)})
    task = db.enqueue("job", hold(folder))
    wait_runs(pool, 1)
    host.reload(handlers={"job": pool.handler(concurrency=2, processes=2)})
    db.wait_state(db.enqueue("job"))
    assert len(pool.pids()) == 2
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    assert db.wait_state(task).result == pool.pids()[0]
    wait_until(lambda: len(pool.pids("left")) == 1, 10, "the old one left")
    assert set(pool.runs().values()) == {1}


def test_I1_pool_of_a_new_configuration_serves_at_once(
        db, daemon, pool, folder):
    """However many tasks the old processes have. Each of these ends with
    its own tasks, and an idle one now; the new ones have their number."""
    host = daemon(workers=1, handlers={"job": pool.handler(
        processes={"min": 4, "max": 4})})
    held = db.enqueue_many("job", [hold(folder)] * 3)
    wait_runs(pool, 3)
    wait_until(lambda: len(pool.pids()) == 4, 10, "the minimum is there")
    old = set(pool.pids())
    host.reload(handlers={"job": pool.handler(
        processes=1, more=["--kinds", "job"])})
    wait_until(lambda: len(pool.pids("left")) == 1, 10, "the idle one leaves")
    later = db.enqueue_many("job", [hold(folder, "later")] * 3)
    wait_until(lambda: db.states(later) == {"running": 1, "ready": 2}, 10,
               "a new process serves")
    # Tasks that take so long are not claimed ahead of those that are due.
    holds_for(lambda: db.states(later) == {"running": 1, "ready": 2}, 0.3,
              "no more than the new process can have")
    open(os.path.join(folder, "go"), "w", encoding="utf-8").close()
    for task in held:
        assert db.wait_state(task).result in old
    wait_until(lambda: len(pool.pids("left")) == 4, 10, "the old ones left")
    holds_for(lambda: db.states(later) == {"running": 1, "ready": 2}, 0.5,
              "no more than the new process can have")
    open(os.path.join(folder, "later"), "w", encoding="utf-8").close()
    assert db.wait_done() == {"succeeded": 6}
    new, = set(pool.pids()) - old
    assert {db.task(task).result for task in later} == {new}
    assert set(pool.runs().values()) == {1}


def test_I1_pool_whose_command_was_wrong_is_mended(db, daemon, pool):
    """What waits for an old process goes to a new one, uncharged."""
    host = daemon(workers=1, handlers={"job": pool.handler(start="mute")})
    task = db.enqueue("job")
    wait_until(pool.pids, 10, "a process starts")
    host.reload(handlers={"job": pool.handler()})
    assert db.wait_state(task, limit=10).attempt == 1
    assert db.attempts(task) == []
    wait_until(lambda: len(host.handlers()) == 1, 10, "the old one is gone")


@pytest.mark.parametrize("payload", [{"do": "fork"}, {}])
def test_pool_dies_with_its_worker(db, daemon, pool, payload):
    """Busy or idle, and its descendants too; its tasks run elsewhere."""
    host = daemon(workers=1, handlers={
        "job": pool.handler(concurrency=2)})
    host.log.allow("worker 0", "crash", "rescue", "handed back", "died")
    task = db.enqueue("job", payload)
    if payload:
        wait_runs(pool, 1)
        wait_until(lambda: len(host.handlers()) >= 2, 5, "it has a child")
    else:
        db.wait_state(task)
    handlers = host.handlers()
    os.kill(host.workers()[0], signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in handlers), 10,
               "nothing is left of it")
    if payload:
        wait_runs(pool, 2)
    host.wait_running()
    db.wait_state(db.enqueue("job"))
