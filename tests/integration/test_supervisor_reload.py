"""Reloads: in place, by new workers, refused, one after another."""

import os
import signal
import threading

import pytest

from support import processes
from support.wait import holds_for, wait_until


def bad_line(daemon):
    """Breaks the file; the place that the error must name."""
    daemon.write_raw("database: host=/nowhere\nworkrs: 3\n")
    return f"{daemon.config_path}:2:1"


def test_I1_change_in_place_keeps_the_processes(supervisor):
    daemon = supervisor()
    children = daemon.children()
    answer = daemon.reload(queues={"default": {"concurrency": 7}})
    assert answer == {"ok": True, "generation": 2, "changed": "in place"}
    assert daemon.children() == children
    wait_until(lambda: len(daemon.log.find("took configuration 2")) == 3, 10,
               "all have said so")
    status = daemon.status()
    assert status["generation"] == 2 and status["state"] == "running"
    assert {worker["generation"] for worker in status["workers"]} == {2}


def test_I1_sighup_reloads(supervisor):
    daemon = supervisor()
    daemon.write(log_level="debug")
    daemon.signal(signal.SIGHUP)
    line = daemon.log.wait_for("configuration 2 is in force")
    assert line.level == "notice" and line.fields["message_id"]


def test_I1_nothing_changed(supervisor):
    daemon = supervisor()
    assert daemon.reload() == {
        "ok": True, "generation": 1, "changed": "nothing"}


def test_I1_wrong_file_changes_nothing_and_is_told(supervisor):
    daemon = supervisor()
    children = daemon.children()
    daemon.log.allow("musterd.yaml:", "is refused")
    place = bad_line(daemon)
    answer = daemon.control("reload")
    assert not answer["ok"]
    assert answer["error"].startswith(place) and "workrs" in answer["error"]
    assert answer["errors"][0] == answer["error"]
    daemon.log.wait_for(place, level="error")
    status = daemon.status()
    assert status["config"]["refused"] == answer["error"]
    assert answer["error"] in status["status"]
    assert status["generation"] == 1 and daemon.children() == children
    daemon.write(queues={"default": {"concurrency": 3}})
    assert daemon.reload()["generation"] == 2
    assert daemon.status()["config"]["refused"] is None
    assert "refused" not in daemon.status()["status"]


def test_I1_missing_file_changes_nothing(supervisor):
    daemon = supervisor()
    daemon.log.allow("musterd.yaml", "is refused")
    os.unlink(daemon.config_path)
    assert not daemon.control("reload")["ok"]
    assert daemon.status()["state"] == "running"


def test_I1_change_that_needs_a_restart_is_refused(supervisor):
    daemon = supervisor()
    daemon.log.allow("needs a restart", "is refused")
    daemon.write(log_format="text")
    answer = daemon.control("reload")
    assert "'log_format' has changed, which needs a restart" in answer["error"]
    assert daemon.status()["generation"] == 1


def test_I1_new_workers_are_ready_before_the_old_ones_leave(supervisor):
    daemon = supervisor()
    old = daemon.children()
    answer = daemon.reload(cluster="other")
    assert answer == {"ok": True, "generation": 2, "changed": "new workers"}
    wait_until(lambda: not set(daemon.children()) & set(old))
    assert len(daemon.children()) == 3
    # each new worker saw the boards of both old ones
    wait_until(lambda: len(daemon.log.find(
        "configuration 2, first 0, others 2")) == 2)
    # the old ones left when all new ones were there, and in peace
    wait_until(lambda: len(daemon.log.find("drain: ")) == 3)
    drains = daemon.log.find("drain: ")
    last_start = max(line.fields["time"] for line in
                     daemon.log.find("configuration 2, first 0"))
    assert last_start <= min(line.fields["time"] for line in drains)
    assert "drain: 31536000000 ms, 31536000000 ms" in drains[0].message
    assert daemon.status()["workers"][0]["restarts"] == 0


def test_I1_new_workers_that_fail_leave_the_old_ones(supervisor):
    daemon = supervisor()
    old = daemon.workers()
    daemon.log.allow("workers with the new configuration failed",
                     "is refused")
    daemon.behave("worker", "exit-78")
    daemon.write(cluster="other")
    answer = daemon.control("reload")
    assert not answer["ok"]
    assert "exited with 78 (configuration or schema)" in answer["error"]
    wait_until(lambda: len(daemon.children()) == 3)
    assert daemon.workers() == old
    assert daemon.status()["generation"] == 1
    # and the next one works
    daemon.behave("worker", "")
    assert daemon.reload()["generation"] == 2


def test_I1_stop_in_the_middle_of_a_reload(supervisor):
    daemon = supervisor()
    daemon.behave("worker", "unready")
    daemon.write(cluster="other")
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(daemon.control("reload")))
    waiting.start()
    wait_until(lambda: len(daemon.children()) == 6)
    assert daemon.status()["state"] == "reloading"
    assert daemon.stop() < 4
    waiting.join(5)
    assert "is stopping" in answers[0]["error"]


def test_E2_old_worker_that_dies_in_a_reload(supervisor):
    daemon = supervisor()
    daemon.log.allow("killed by signal 9", "exited with 78", "is refused")
    daemon.behave("worker", "unready")
    daemon.write(cluster="other")
    waiting = threading.Thread(target=daemon.control, args=("reload", 40))
    waiting.start()
    wait_until(lambda: len(daemon.children()) == 6)
    old = daemon.kill_worker(0)
    wait_until(lambda: not processes.alive(old))
    # the new ones are given up: one of them dies; the old slot is filled
    daemon.behave("worker", "")
    coming = [worker["pid"] for worker in daemon.status()["workers"]
              if worker["state"] == "starting"]
    os.kill(coming[1], signal.SIGKILL)
    waiting.join(10)
    wait_until(lambda: len(daemon.workers()) == 2 and daemon.worker(0), 10)
    wait_until(lambda: len(daemon.children()) == 3)
    assert daemon.status()["generation"] == 1


def test_F1_configuration_that_cannot_be_read_in_time(supervisor):
    """A file that is a pipe: reading it would wait for ever."""
    daemon = supervisor(workers=1)
    daemon.log.allow("x.yaml", "is refused", "configuration")
    os.mkfifo(os.path.join(daemon.conf_d, "x.yaml"))
    answer = daemon.control("reload")
    assert not answer["ok"]
    assert daemon.status()["state"] == "running"


@pytest.mark.long
def test_I1_new_workers_that_are_never_ready_leave_the_old_ones(supervisor):
    daemon = supervisor()
    old = daemon.workers()
    daemon.log.allow("not ready within 30 s", "is refused")
    daemon.behave("worker", "unready")
    daemon.write(cluster="other")
    assert "not ready within 30 s" in daemon.control("reload", 40)["error"]
    wait_until(lambda: len(daemon.children()) == 3)
    assert daemon.workers() == old


def test_I1_more_and_fewer_workers(supervisor):
    """All are replaced: only so their shares fit to what still runs."""
    daemon = supervisor(workers=1)
    first = daemon.worker(0)
    assert daemon.reload(workers=4)["changed"] == "new workers"
    assert sorted(daemon.workers()) == [0, 1, 2, 3]
    assert daemon.worker(0) != first
    daemon.reload(workers=2)
    wait_until(lambda: len(daemon.children()) == 3)
    assert sorted(daemon.workers()) == [0, 1]
    assert len(daemon.log.find("configuration 3, first 0, others 4")) == 2
    daemon.reload(workers=3)
    assert sorted(daemon.workers()) == [0, 1, 2]


def test_I1_surplus_workers_finish_their_tasks(supervisor):
    daemon = supervisor(workers=3, worker="stubborn")
    daemon.log.allow("killed by signal 9", "is not gone in time",
                     "while all ends")
    old = daemon.workers()
    daemon.behave("worker", "")
    daemon.reload(workers=2)
    # they are busy for long; nobody kills them, and they can be waited for
    holds_for(lambda: all(map(processes.alive, old.values())), 0.5)
    assert [worker["state"] for worker in daemon.status()["workers"]
            if worker["slot"] == 2] == ["draining"]
    # one that is started anew reckons with them, too, and who serves
    assert daemon.log.find("slot 1, configuration 2, first 0, others 3")
    daemon.kill_worker(1)
    daemon.log.wait_for("slot 1, configuration 2, first 0, others 4")
    # other changes go on, a third generation has to wait
    assert daemon.reload(log_level="notice")["changed"] == "in place"
    daemon.write(workers=3)
    waiting = threading.Thread(target=daemon.control, args=("reload",))
    waiting.start()
    wait_until(lambda: "reload waits" in daemon.status()["status"])
    for pid in old.values():
        os.kill(pid, signal.SIGKILL)
    waiting.join(10)
    assert not waiting.is_alive()
    assert daemon.status()["generation"] == 4


def test_I1_two_generations_at_most(supervisor):
    daemon = supervisor(worker="stubborn", workers=1)
    daemon.log.allow("killed by signal 9", "is not gone in time",
                     "while all ends")
    first = daemon.worker(0)
    daemon.behave("worker", "")
    daemon.reload(cluster="b")
    assert len(daemon.status()["workers"]) == 2
    daemon.write(cluster="c")
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(daemon.control("reload")))
    waiting.start()
    wait_until(lambda: "reload waits" in daemon.status()["status"])
    assert daemon.status()["state"] == "reloading"
    holds_for(lambda: len(daemon.status()["workers"]) == 2, 0.3)
    os.kill(first, signal.SIGKILL)
    waiting.join(10)
    assert answers[0]["ok"] and answers[0]["generation"] == 3
    wait_until(lambda: len(daemon.children()) == 2)


def test_I1_reloads_asked_for_meanwhile_are_one(supervisor):
    daemon = supervisor()
    answers = []
    threads = [threading.Thread(
        target=lambda: answers.append(daemon.control("reload")))
        for _ in range(20)]
    daemon.write(log_level="debug")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 20 and all(answer["ok"] for answer in answers)
    assert {answer["generation"] for answer in answers} == {2}
    assert len(daemon.log.find("reloaded")) <= 20


def test_I1_hundred_sighups_half_of_them_wrong(supervisor, is_long):
    daemon = supervisor(workers=1)
    daemon.log.allow("musterd.yaml:", "is refused")
    before = len(daemon.descriptors())
    children = daemon.children()
    rounds = 50 if is_long else 15
    for number in range(rounds):
        daemon.write(queues={"default": {"concurrency": number + 2}})
        daemon.signal(signal.SIGHUP)
        wait_until(
            lambda: daemon.status()["generation"] == number + 2, 10)
        place = bad_line(daemon)
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: len(daemon.log.find(place, level="error")) ==
                   number + 1)
    wait_until(lambda: daemon.status()["state"] == "running")
    status = daemon.status()
    assert status["generation"] == rounds + 1
    assert status["config"]["refused"].startswith(place)
    assert daemon.children() == children
    wait_until(lambda: len(daemon.descriptors()) <= before)


def test_I1_log_level_over_the_socket(supervisor):
    daemon = supervisor()
    assert daemon.control("log-level", level="debug") == {"ok": True}
    daemon.log.allow("killed by signal 9")
    daemon.kill_worker(0)
    daemon.log.wait_for("worker 0 started", level="debug")
    assert not daemon.control("log-level", level="loud")["ok"]
    assert not daemon.control("log-level")["ok"]
