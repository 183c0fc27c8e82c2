"""What systemd is told."""

import os
import signal
import socket
import threading
import time

import pytest

from support.wait import holds_for, wait_until


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.messages = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                return
            self.messages.append((time.monotonic(), data.decode()))

    def lines(self):
        return [line for _, message in list(self.messages)
                for line in message.splitlines()]

    def status(self):
        return [line for line in self.lines() if line.startswith("STATUS=")]

    def wait_for(self, line, limit=10):
        return wait_until(lambda: line in self.lines(), limit, line)


@pytest.fixture
def systemd(folder):
    made = Systemd(f"{folder}/notify")
    yield made
    made.socket.close()


def start(supervisor, systemd, wait=True, watchdog_us=None, **more):
    environment = {"NOTIFY_SOCKET": systemd.path}
    if watchdog_us:
        environment["WATCHDOG_USEC"] = str(watchdog_us)
    return supervisor(wait=wait, environment=environment, **more)


def test_I1_ready_when_all_workers_are(supervisor, systemd):
    daemon = start(supervisor, systemd, wait=False, worker="no-ready")
    wait_until(lambda: "STATUS=starting: 0 of 2 workers ready; worker 1: "
               "waiting for something" in systemd.status())
    # it goes on waiting, and says that it does
    wait_until(lambda: systemd.lines().count(
        "EXTEND_TIMEOUT_USEC=15000000") >= 2)
    assert "READY=1" not in systemd.lines()
    assert daemon.is_alive
    assert daemon.stop() < 3
    assert "READY=1" not in systemd.lines()


def test_I1_ready_and_stopping(supervisor, systemd):
    daemon = start(supervisor, systemd)
    systemd.wait_for("READY=1")
    systemd.wait_for("STATUS=2 workers, configuration 1")
    daemon.stop()
    lines = systemd.lines()
    assert lines.index("STOPPING=1") > lines.index("READY=1")
    assert "EXTEND_TIMEOUT_USEC=8000000" in lines


def test_I1_reload_is_told_with_its_time(supervisor, systemd):
    daemon = start(supervisor, systemd)
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    daemon.reload(log_level="debug")
    message = next(text for _, text in systemd.messages
                   if "RELOADING=1" in text)
    usec = int(message.split("MONOTONIC_USEC=")[1].split()[0])
    assert before <= usec / 1e6 <= time.clock_gettime(time.CLOCK_MONOTONIC)
    wait_until(lambda: systemd.lines().count("READY=1") == 2)


def test_I1_refused_reload_ends_with_ready_too(supervisor, systemd):
    daemon = start(supervisor, systemd)
    daemon.log.allow("musterd.yaml:", "is refused")
    daemon.write_raw("workrs: 3\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: systemd.lines().count("READY=1") == 2)
    wait_until(lambda: "new configuration refused: "
               f"{daemon.config_path}:1:1" in systemd.status()[-1])


def test_I1_watchdog_is_fed_at_half_its_time(supervisor, systemd):
    daemon = start(supervisor, systemd, watchdog_us=600000, watchdog="1s")
    daemon.log.allow("WatchdogSec")
    wait_until(lambda: systemd.lines().count("WATCHDOG=1") >= 5)
    times = [at for at, text in systemd.messages if "WATCHDOG=1" in text]
    gaps = [later - at for at, later in zip(times, times[1:])]
    assert max(gaps) < 0.6
    # it stops when the supervisor's loop does
    daemon.signal(signal.SIGSTOP)
    count = wait_until(lambda: systemd.lines().count("WATCHDOG=1"))
    time.sleep(0.1)
    count = systemd.lines().count("WATCHDOG=1")
    holds_for(lambda: systemd.lines().count("WATCHDOG=1") == count, 1)
    daemon.signal(signal.SIGCONT)


def test_I1_short_watchdog_of_the_unit_is_warned_about(supervisor, systemd):
    daemon = start(supervisor, systemd, watchdog_us=2000000, watchdog="1s")
    daemon.log.allow("WatchdogSec")
    daemon.log.wait_for("less than three times 'watchdog'", level="warning")


def test_I1_watchdog_of_another_process_is_none(supervisor, systemd):
    daemon = supervisor(environment={
        "NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "100000",
        "WATCHDOG_PID": str(os.getpid())})
    holds_for(lambda: "WATCHDOG=1" not in systemd.lines(), 0.5)
    assert daemon.is_alive


def test_I1_abstract_socket(supervisor, folder):
    name = f"musterd-test-{os.getpid()}"
    systemd = Systemd("\0" + name)
    supervisor(environment={"NOTIFY_SOCKET": "@" + name})
    systemd.wait_for("READY=1")
    systemd.socket.close()


def test_E1_notify_socket_that_nobody_reads(supervisor, folder):
    """Its queue is full; the supervisor goes on, and tells it later."""
    path = f"{folder}/notify"
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    silent.bind(path)
    stuffing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stuffing.setblocking(False)
    try:
        while True:
            stuffing.sendto(b"x", path)
    except BlockingIOError:
        pass
    daemon = supervisor(environment={"NOTIFY_SOCKET": path})
    assert daemon.status()["state"] == "running"
    silent.settimeout(5)
    seen = b""
    while b"READY=1" not in seen:
        seen = silent.recv(65536)
    silent.close()
    stuffing.close()
