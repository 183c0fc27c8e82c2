"""What each signal to the supervisor does, and how it ends."""

import os
import signal
import time

import pytest

from support import processes
from support.wait import holds_for, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_C4_signal_stops_gracefully(supervisor, number):
    daemon = supervisor()
    children = daemon.children()
    assert len(children) == 3
    daemon.signal(number)
    assert daemon.wait_exit(5) == 0
    assert not [pid for pid in children if processes.alive(pid)]
    assert not os.path.exists(f"{daemon.runtime_dir}/control.sock")
    daemon.log.finish()
    assert daemon.log.find("stopped (exit code 0)")
    assert len(daemon.log.find("as it was asked to end")) == 3
    # workers first, with all but the grace of the time limit
    drains = daemon.log.find("drain: ")
    assert [line.fields["role"] for line in drains] == [
        "worker", "worker", "scheduler"]
    assert "drain: 1500 ms, 3000 ms" in drains[0].message


def test_C4_stubborn_workers_are_killed_at_the_deadline(supervisor):
    daemon = supervisor(worker="stubborn handlers", shutdown_timeout="1s")
    daemon.log.allow("is not gone in time", "while all ends",
                     "killed by signal 9")
    took = daemon.stop()
    assert 1 <= took < 3
    daemon.log.finish()
    assert len(daemon.log.find("is not gone in time")) == 2
    # the last rescues were still carried out
    reports = daemon.log.find("death report")
    assert len(reports) == 2
    assert all("crashed 0" in report.message for report in reports)
    assert not daemon.log.find("are rescued at the next start")


def test_C4_worker_that_crashes_while_it_drains_is_reported_as_a_crash(
        supervisor):
    daemon = supervisor(worker="stubborn handlers", shutdown_timeout="3s")
    daemon.log.allow("is not gone in time", "while all ends",
                     "killed by signal")
    workers = daemon.workers()
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: len(daemon.log.find("drain: ")) == 2)
    os.kill(workers[0], signal.SIGABRT)
    assert daemon.wait_exit(10) == 0
    daemon.log.finish()
    assert {line.message.split()[4]: line.message.split()[-1]
            for line in daemon.log.find("death report")} == {
        str(workers[0]): "1", str(workers[1]): "0"}


def test_C4_second_signal_within_a_second_is_the_same(supervisor):
    daemon = supervisor(worker="stubborn", shutdown_timeout="2s")
    daemon.log.allow("is not gone in time", "while all ends")
    begin = time.monotonic()
    for _ in range(5):
        daemon.signal(signal.SIGINT)
    assert daemon.wait_exit(10) == 0
    assert time.monotonic() - begin > 2
    assert not daemon.log.find("stopping at once")


def test_C4_second_signal_later_stops_at_once(supervisor):
    daemon = supervisor(worker="stubborn", shutdown_timeout="60s")
    daemon.log.allow("is not gone in time", "while all ends")
    daemon.signal(signal.SIGTERM)
    holds_for(lambda: daemon.is_alive, 1.1)
    begin = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_exit(10) == 0
    assert time.monotonic() - begin < 3
    assert daemon.log.wait_for("SIGTERM again: stopping at once")


def test_C4_stop_while_the_scheduler_waits_for_the_database(supervisor):
    daemon = supervisor(wait=False, scheduler="no-ready")
    wait_until(lambda: daemon.try_status() and
               "waiting for something" in daemon.status()["status"])
    assert daemon.status()["state"] == "starting"
    assert daemon.stop() < 2


def test_C4_stop_right_after_the_start(supervisor):
    for _ in range(5):
        daemon = supervisor(wait=False)
        wait_until(lambda: daemon.log.find("start: slot") or
                   daemon.try_status() or not daemon.is_alive)
        assert daemon.stop() < 3


def test_C4_exit_75_when_postgresql_could_not_be_told(supervisor):
    daemon = supervisor(worker="unrecorded")
    daemon.log.allow("exited with 75")
    daemon.stop(expect=75)


def test_C4_drain_over_the_socket_is_a_graceful_stop(supervisor):
    daemon = supervisor()
    assert daemon.control("drain") == {"ok": True}
    assert daemon.wait_exit(5) == 0


def test_C4_children_ignore_the_terminals_signals(supervisor):
    daemon = supervisor()
    children = daemon.children()
    for pid in children:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP,
                       signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
            os.kill(pid, number)
    holds_for(lambda: daemon.children() == children, 0.3)
    assert daemon.status()["workers"][0]["restarts"] == 0


def test_C4_reload_is_ignored_while_stopping(supervisor):
    daemon = supervisor(worker="stubborn", shutdown_timeout="1s")
    daemon.log.allow("is not gone in time", "while all ends")
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: daemon.status()["state"] == "draining")
    daemon.signal(signal.SIGHUP)
    answer = daemon.control("reload")
    assert not answer["ok"] and "is stopping" in answer["error"]
    assert daemon.wait_exit(5) == 0
    assert not daemon.log.find("reloaded")


def test_I2_sigusr1_logs_the_state(supervisor):
    daemon = supervisor(worker="handlers")
    wait_until(lambda: len(daemon.status()["workers"][0]["running"]) == 2)
    daemon.signal(signal.SIGUSR1)
    line = daemon.log.wait_for("state: running")
    assert "2 workers, configuration 1" in line.message
    daemon.log.wait_for("worker 0 (pid")
    assert daemon.log.wait_for("task 4200 has run for", task=4200) or True
    daemon.log.wait_for("state of fake 1")


def test_I2_dump_logs_the_state(supervisor):
    daemon = supervisor()
    assert daemon.control("dump") == {"ok": True}
    daemon.log.wait_for("state: running")


def test_C4_sigusr2_does_no_harm(supervisor):
    daemon = supervisor()
    daemon.signal(signal.SIGUSR2)
    daemon.log.wait_for("SIGUSR2 has no effect")
    assert daemon.status()["state"] == "running"
