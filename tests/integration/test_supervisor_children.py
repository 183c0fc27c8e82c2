"""Children that die, hang, lie, or leave processes behind."""

import os
import re
import signal
import subprocess
import time

import pytest

from support import build, processes
from support.wait import holds_for, wait_until


def test_E2_killed_worker_is_replaced_at_once(supervisor):
    daemon = supervisor()
    other = daemon.worker(1)
    daemon.log.allow("killed by signal 9 (SIGKILL)")
    begin = time.monotonic()
    killed = daemon.kill_worker(0)
    wait_until(lambda: daemon.worker(0) not in (None, killed), 5)
    assert time.monotonic() - begin < (1 if not build.is_sanitized() else 4)
    assert daemon.worker(1) == other
    line = daemon.log.wait_for("worker 0 (pid")
    assert re.search(r"worker 0 \(pid \d+\) killed by signal 9 \(SIGKILL\) "
                     r"after \d+\.\d\d s; starting another one", line.message)
    assert line.fields["message_id"]
    worker = daemon.status()["workers"][0]
    assert worker["slot"] == 0 and worker["restarts"] == 1


def test_E2_death_report_names_what_was_running(supervisor):
    daemon = supervisor(worker="handlers")
    daemon.log.allow("killed by signal 9")
    wait_until(lambda: len(daemon.status()["workers"][1]["running"]) == 2)
    assert {task["task"] for task in
            daemon.status()["workers"][1]["running"]} == {"4210", "4211"}
    pid = daemon.kill_worker(1)
    line = daemon.log.wait_for("death report 1")
    assert f"worker {pid} killed by signal 9 (SIGKILL), 2 started, known 1, " \
        "crashed 1" in line.message
    daemon.log.wait_for("and with 2 tasks running")


def test_E2_handlers_dont_outlive_their_worker(supervisor):
    daemon = supervisor(worker="handlers", workers=1)
    daemon.log.allow("killed by signal 9")
    pid = daemon.worker(0)
    # per task: the handler, its child, and one in a session of its own
    wait_until(lambda: len(processes.descendants(pid)) == 6)
    handlers = processes.descendants(pid)
    daemon.behave("worker", "")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not [handler for handler in handlers
                            if processes.alive(handler)], 2)
    wait_until(lambda: daemon.worker(0) not in (None, pid))
    wait_until(lambda: not daemon.zombies(), 2)
    daemon.log.wait_for("handler processes whose worker is gone")
    assert len(daemon.children()) == 2


def test_E2_dead_scheduler_is_replaced_and_told_again(supervisor):
    daemon = supervisor(scheduler="no-ack")
    daemon.log.allow("killed by signal 9")
    for slot in (0, 1):
        before = daemon.kill_worker(slot)
        wait_until(lambda: daemon.worker(slot) not in (None, before))
    wait_until(lambda: len(daemon.log.find("death report")) == 2)
    daemon.behave("scheduler", "")
    os.kill(daemon.scheduler(), signal.SIGKILL)
    wait_until(lambda: len(daemon.log.find("death report")) == 4)
    # only the first scheduler of all rescues whatever there is
    starts = daemon.log.find("start: slot -1")
    assert ["first 1" in line.message for line in starts] == [True, False]
    # the new one knows all workers
    wait_until(lambda: {int(worker["worker"]) for worker in
                        daemon.status()["workers"]} <=
               {int(line.message.split()[1]) for line in
                daemon.log.find("worker ", role="scheduler")
                if line.message.split()[1].isdigit()})
    # and once acknowledged they are not told a third time
    os.kill(daemon.scheduler(), signal.SIGKILL)
    wait_until(lambda: len(daemon.log.find("start: slot -1")) == 3)
    wait_until(lambda: daemon.status()["scheduler"]["state"] == "running")
    assert len(daemon.log.find("death report")) == 4


def test_E2_crash_loop_backs_off_and_says_so(supervisor):
    daemon = supervisor(wait=False, worker="crash", workers=1)
    daemon.log.allow("killed by signal 11", "exited with", "in a row",
                     "AddressSanitizer", "DEADLYSIGNAL", "==", "    #", "  ")
    daemon.log.wait_for("has ended 5 times in a row", 60)
    deaths = len(daemon.log.find("another one starts in"))
    assert 4 <= deaths <= 8
    wait_until(lambda: daemon.status()["workers"][0]["state"] == "back-off",
               10)
    assert "worker 0" in daemon.status()["status"]
    daemon.behave("worker", "")
    daemon.wait_running(30)
    assert daemon.stop() < 3


def test_E2_stopped_worker_is_replaced(supervisor, patience):
    daemon = supervisor(worker="handlers", watchdog="1s")
    daemon.log.allow("has not turned", "killed by signal 6 (SIGABRT)")
    pid = daemon.worker(0)
    wait_until(lambda: len(processes.descendants(pid)) == 6)
    handlers = processes.descendants(pid)
    begin = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: daemon.worker(0) not in (None, pid), 10)
    assert time.monotonic() - begin < 3 + patience - 1
    assert not [one for one in handlers if processes.alive(one)]
    line = daemon.log.wait_for("has not turned", level="error")
    assert f"worker 0 (pid {pid}): its loop has not turned for 1" \
        in line.message
    assert "may be stopped" in line.message


def test_E1_hung_callback_is_named(supervisor):
    daemon = supervisor(wait=False, worker="spin", watchdog="1s", workers=1)
    daemon.log.allow("has not turned", "killed by signal", "exited with",
                     "==", "    #", "AddressSanitizer", "not gone in time",
                     "  ")
    line = daemon.log.wait_for("it hangs in 'spinning'")
    assert "aborting it" in line.message
    daemon.log.wait_for("killed by signal 6 (SIGABRT)", 20)


def test_E2_watchdog_blames_nobody_when_all_slept(supervisor):
    daemon = supervisor(watchdog="1s")
    children = daemon.children()
    processes.stop_tree(daemon.pid)
    time.sleep(3)  # nothing to wait for: all of it is stopped
    processes.continue_tree(daemon.pid)
    holds_for(lambda: daemon.children() == children, 1.5)
    assert not daemon.log.find("has not turned")


def test_E2_nonsense_from_a_child_ends_it(supervisor):
    daemon = supervisor(wait=False, worker="nonsense", workers=1)
    daemon.log.allow("makes no sense", "killed by signal 9", "in a row")
    daemon.log.wait_for("sent a message that makes no sense")
    daemon.behave("worker", "")
    daemon.wait_running()


def test_E2_wrong_schema_at_the_start_ends_it_with_78(supervisor):
    daemon = supervisor(wait=False, scheduler="exit-78")
    daemon.log.allow("exited with 78 (configuration or schema)")
    assert daemon.wait_exit(10) == 78
    daemon.log.finish()
    assert daemon.log.find("nothing can be done without a change")
    assert not daemon.log.find("start: slot 0")


def test_E2_wrong_schema_later_is_tried_again(supervisor):
    daemon = supervisor()
    daemon.log.allow("killed by signal 9", "exited with 78", "in a row")
    daemon.behave("worker", "exit-78")
    daemon.kill_worker(0)
    daemon.log.wait_for("exited with 78 (configuration or schema)")
    daemon.behave("worker", "")
    daemon.wait_running()


def test_E2_children_get_a_clean_environment(supervisor, folder):
    daemon = supervisor(environment={
        "NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "60000000",
        "WATCHDOG_PID": "1", "LISTEN_FDS": "1", "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "x", "KEPT": "yes"})
    for pid in daemon.children():
        with open(f"/proc/{pid}/environ", "rb") as file:
            names = {item.split(b"=")[0] for item in file.read().split(b"\0")}
        assert b"KEPT" in names
        assert not names & {b"NOTIFY_SOCKET", b"WATCHDOG_USEC",
                            b"WATCHDOG_PID", b"LISTEN_FDS", b"LISTEN_PID",
                            b"LISTEN_FDNAMES"}


def test_E2_children_get_their_descriptors_and_no_more(supervisor):
    daemon = supervisor(environment={"ASAN_OPTIONS": "detect_leaks=0"})
    own = set(daemon.descriptors().values())
    workers = {pid: slot for slot, pid in daemon.workers().items()}
    for pid in daemon.children():
        handed = {number: what for number, what in
                  daemon.descriptors(pid).items() if 3 <= number <= 7}
        role = processes.command_line(pid)
        assert "musterd-scoreboard" in handed[4]
        assert "musterd-config" in handed[5]
        assert handed[7].endswith("/workers.lock")
        assert ("eventfd" in handed[6]) == ("--role=worker" in role)
        # the boards of the workers that were there before
        boards = [number for number, what in daemon.descriptors(pid).items()
                  if number > 7 and "scoreboard" in what]
        assert boards == list(range(8, 8 + workers.get(pid, 0)))
        # nothing of the supervisor's but what is shared on purpose
        strange = {what for number, what in daemon.descriptors(pid).items()
                   if number > 7 and number not in boards and what in own}
        assert not {what for what in strange if "socket" in what
                    or what.startswith("/")}


def test_E2_children_start_with_clean_signals(supervisor):
    daemon = supervisor()
    for pid in daemon.children():
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.split(":\t") for line in file
                          if line.startswith("Sig"))
        assert int(status["SigBlk"], 16) == 0
        ignored = {number for number in range(1, 65)
                   if int(status["SigIgn"], 16) >> (number - 1) & 1}
        assert ignored == {signal.SIGHUP, signal.SIGINT, signal.SIGUSR1,
                           signal.SIGUSR2, signal.SIGPIPE, signal.SIGTERM}


def test_E2_deaths_leak_nothing(supervisor, is_long):
    daemon = supervisor(worker="handlers", workers=1)
    daemon.log.allow("killed by signal 9", "in a row")
    before = len(daemon.descriptors())
    for _ in range(8 if is_long else 4):  # the back-off makes it slow
        pid = daemon.kill_worker(0)
        wait_until(lambda: daemon.worker(0) not in (None, pid), 60)
    wait_until(lambda: len(daemon.descriptors()) <= before, 5)
    wait_until(lambda: not daemon.zombies())


def private_dirty_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file
                    if line.startswith("Private_Dirty"))


@pytest.mark.skipif(build.is_sanitized(), reason="sanitizers take memory")
def test_E2_supervisor_stays_small(supervisor):
    daemon = supervisor(worker="handlers", workers=8)
    daemon.log.allow("killed by signal 9", "in a row")
    for slot in range(8):
        pid = daemon.kill_worker(slot)
        wait_until(lambda: daemon.worker(slot) not in (None, pid), 20)
    for number in range(10):
        daemon.reload(queues={"default": {"concurrency": number + 1}})
    for _ in range(200):
        daemon.status()
    assert private_dirty_kb(daemon.pid) < 3000


def test_E2_children_of_the_shell_before_are_left_alone(folder, supervisor):
    """exec musterd 2> >(tee log): the tee is a child of what becomes it."""
    daemon = supervisor.make(workers=1)
    daemon.behave("worker", "")
    shell = subprocess.Popen(
        ["bash", "-c", "sleep 1000 & exec \"$0\" -c \"$1\"",
         build.path(daemon.program), daemon.config_path],
        env=build.environment(), stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    processes.known.add(shell.pid)
    try:
        wait_until(lambda: daemon.try_status() and
                   daemon.status()["state"] == "running")
        daemon.pid = shell.pid
        pid = daemon.kill_worker(0)
        wait_until(lambda: daemon.worker(0) not in (None, pid))
        left = [one for one in processes.descendants(shell.pid)
                if "sleep 1000" in processes.command_line(one)]
        assert len(left) == 1
        shell.terminate()
        assert shell.wait(10) == 0
        assert processes.alive(left[0])
        processes.kill_all(left)
    finally:
        shell.kill()
        shell.wait()
        processes.known.discard(shell.pid)
