"""musterd as a child of the tests, and a way to talk to it."""

import json
import os
import re
import signal
import socket
import subprocess
import time

from . import build, processes
from .daemonlog import DaemonLog
from .wait import wait_until


def yaml(value):
    """A value as YAML on one line. Words stay unquoted: a quoted text is
    never a duration, a size or a level."""
    if isinstance(value, dict):
        return "{" + ", ".join(
            f"{yaml(key)}: {yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(yaml, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[a-zA-Z0-9_./]+", value):
        return value
    return json.dumps(value)


def write_config(path, config):
    """A mapping as YAML, one top-level key a line."""
    with open(path, "w", encoding="utf-8") as file:
        for key, value in config.items():
            file.write(f"{key}: {yaml(value)}\n")


class Daemon:
    """`folder` must be short: the control socket lives below it."""

    program = "musterd"

    def __init__(self, folder, config):
        self.folder = folder
        self.config_path = os.path.join(folder, "musterd.yaml")
        self.conf_d = os.path.join(folder, "conf.d")
        self.runtime_dir = config.get(
            "runtime_dir", os.path.join(folder, "run"))
        self.config = {"runtime_dir": self.runtime_dir, **config}
        self.process = None
        self.log = None
        self.pid = None
        self._before = set()
        os.makedirs(self.conf_d)
        os.makedirs(self.runtime_dir, exist_ok=True)
        self.write()

    # Configuration.

    def write(self, **changes):
        """Changes top-level keys of musterd.yaml (None removes one); a reload
        or a start makes them count."""
        self.config.update(changes)
        self.config = {key: value for key, value in self.config.items()
                       if value is not None}
        write_config(self.config_path, self.config)

    def write_raw(self, text, name=None):
        """Text as it is: musterd.yaml, or the named file in conf.d."""
        path = os.path.join(self.conf_d, name) if name else self.config_path
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    # Life.

    def start(self, wait=True, environment=None, limit=30):
        self._before = set(processes.every())
        environment = {**build.environment(), "LC_ALL": "C.UTF-8",
                       **(environment or {})}
        self.process = subprocess.Popen(
            [build.path(self.program), "-c", self.config_path], cwd="/",
            env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            preexec_fn=processes.die_with_parent(signal.SIGTERM))
        self.pid = self.process.pid
        processes.known.add(self.pid)
        allowed = self.log._allowed if self.log else []
        self.log = DaemonLog(self.process.stderr)
        self.log.allow(*allowed)
        if wait:
            self.wait_running(limit)
        return self

    def wait_running(self, limit=30, workers=None):
        """Until every worker is connected and claims."""
        wanted = workers or self.config.get("workers")
        wait_until(lambda: self._is_running(wanted), limit,
                   "musterd is running")

    def _is_running(self, wanted):
        if self.process.poll() is not None:
            self.log.finish()
            raise RuntimeError(f"musterd ended with {self.process.returncode}"
                               f"\n{self.log.tail()}")
        status = self.try_status()
        if not status or status["state"] != "running":
            return False
        running = [worker for worker in status["workers"]
                   if worker["state"] == "running"]
        return len(running) == wanted if isinstance(wanted, int) else running

    @property
    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self, limit=None, expect=0):
        """SIGTERM, waits, and asserts the exit code; the seconds it took."""
        begin = time.monotonic()
        if self.is_alive:
            self.signal(signal.SIGTERM)
        code = self.wait_exit(limit or 60)
        assert code == expect, (
            f"musterd ended with {code}, not {expect}\n{self.log.tail()}")
        return time.monotonic() - begin

    def kill(self):
        """kill -9 of the supervisor alone."""
        self.signal(signal.SIGKILL)
        return self.wait_exit(10)

    def wait_exit(self, limit=60):
        code = self.process.wait(limit)
        processes.known.discard(self.pid)
        return code

    def end(self):
        """For the fixture: what is left ends, by force if need be. The pids
        that had to be killed."""
        forced = []
        if self.is_alive:
            processes.continue_tree(self.pid)
            self.signal(signal.SIGTERM)
            try:
                self.wait_exit(60)
            except subprocess.TimeoutExpired:
                forced = [self.pid] + processes.descendants(self.pid)
                processes.kill_all(forced)
                self.wait_exit(10)
        if self.log:
            self.log.finish()
        return forced

    # Processes.

    def children(self):
        """Everything below the supervisor that lives."""
        return processes.descendants(self.pid)

    def workers(self):
        """{slot: pid} of the workers that serve now."""
        return {worker["slot"]: worker["pid"]
                for worker in self.status()["workers"]
                if worker["state"] != "draining"}

    def worker_ids(self):
        """{slot: id in the database}, as numbers."""
        return {worker["slot"]: int(worker["worker"])
                for worker in self.status()["workers"]}

    def scheduler(self):
        return self.status()["scheduler"]["pid"]

    def handlers(self):
        """Pids of processes below the workers."""
        return [pid for worker in self.workers().values()
                for pid in processes.descendants(worker)]

    # The control socket.

    def control(self, verb, limit=30, **more):
        """One request; the answer as it came."""
        path = os.path.join(self.runtime_dir, "control.sock")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(limit)
            connection.connect(path)
            connection.sendall(
                json.dumps({"verb": verb, **more}).encode() + b"\n")
            with connection.makefile() as file:
                text = file.readline()
        assert text.endswith("\n"), f"no whole answer to {verb}: {text!r}"
        return json.loads(text)

    def status(self):
        answer = self.control("status")
        assert answer["ok"], answer
        return answer

    def try_status(self):
        """None while nobody answers."""
        try:
            return self.status()
        except (OSError, AssertionError):
            return None

    def reload(self, limit=30, **changes):
        """Writes the changes and reloads; the verdict must be good."""
        if changes:
            self.write(**changes)
        answer = self.control("reload", limit)
        assert answer["ok"], answer
        return answer

    def total(self, counter):
        """A counter of all workers together, such as "succeeded"."""
        return sum(worker[counter] for worker in self.status()["workers"])


def ctl(*arguments, config=None, code=0, input=None, environment=None,
        limit=60):
    """Runs musterctl; its standard output. `code` None: whatever it was, and
    the finished process is returned."""
    before = ["-c", config] if config else []
    done = subprocess.run(
        [build.path("musterctl"), *before, *map(str, arguments)],
        stdin=None if input is not None else subprocess.DEVNULL, input=input,
        capture_output=True, text=True, timeout=limit, cwd="/",
        env={**build.environment(), "LC_ALL": "C.UTF-8",
             **(environment or {})}, check=False)
    if code is None:
        return done
    assert done.returncode == code, (
        f"musterctl {arguments} gave {done.returncode}, not {code}\n"
        f"{done.stdout}{done.stderr}")
    return done.stdout
