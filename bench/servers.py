"""The servers of a bench: a private PostgreSQL and Redis, and the daemon.

PostgreSQL runs with its default settings: fsync and synchronous_commit are on,
and nothing here lowers them.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

_libc = ctypes.CDLL(None)


def die_with_parent(number):
    """A preexec_fn: nothing outlives the bench, however it ends."""
    return lambda: _libc.prctl(1, int(number), 0, 0, 0)


def wait_until(condition, limit, what):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: {what}: not within {limit} s")
        time.sleep(0.02)


class Postgres:
    def __init__(self, folder):
        self.folder = folder
        self.log = os.path.join(folder, "postgres.log")
        self.process = None
        bindir = subprocess.check_output(["pg_config", "--bindir"], text=True)
        self.bindir = bindir.strip()

    def _account(self):
        if os.geteuid() != 0:
            return {}
        return {"user": "postgres", "group": "postgres", "extra_groups": []}

    def start(self):
        data = os.path.join(self.folder, "data")
        os.mkdir(self.folder)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(
            [f"{self.bindir}/initdb", "-D", data, "-A", "trust", "--no-sync",
             "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.folder,
            **self._account())
        with open(os.path.join(data, "postgresql.conf"), "a",
                  encoding="utf-8") as file:
            file.write(f"listen_addresses = ''\n"
                       f"unix_socket_directories = '{self.folder}'\n"
                       f"log_line_prefix = '%m [%p] %q%a '\n")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [f"{self.bindir}/postgres", "-D", data], cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent(signal.SIGQUIT),
                **self._account())
        wait_until(self._answers, 60, "PostgreSQL starts")

    def _answers(self):
        return subprocess.run(
            [f"{self.bindir}/pg_isready", "-q", "-h", self.folder],
            check=False).returncode == 0

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def conninfo(self, database="bench"):
        return f"host={self.folder} dbname={database} user=postgres"

    def sql(self, text, database="bench"):
        """Runs statements; the rows of the last as lists of strings."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v",
             "ON_ERROR_STOP=1", "-d", self.conninfo(database)],
            input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: {text[:200]}\n{done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def value(self, text):
        return self.sql(text)[0][0]

    def session(self):
        """A psql that reads statements from its stdin as they come."""
        return subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
             "-d", self.conninfo()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent(signal.SIGKILL))


class Redis:
    def __init__(self, folder):
        self.folder = folder
        self.socket = os.path.join(folder, "redis.sock")
        self.process = None

    def start(self):
        os.mkdir(self.folder)
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket,
             "--save", "", "--appendonly", "no", "--dir", self.folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent(signal.SIGKILL))
        wait_until(lambda: os.path.exists(self.socket), 20, "Redis starts")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)


class Daemon:
    """musterd with the handlers of one measurement."""

    def __init__(self, bench, queues, handlers, **more):
        self.folder = tempfile.mkdtemp(dir=bench.scratch)
        self.program = os.path.join(bench.build, "musterd")
        self.workers = bench.workers
        self.config = {
            "database": bench.postgres.conninfo(),
            "redis": f"unix://{bench.redis.socket}",
            "cluster": "bench",
            "workers": bench.workers,
            "runtime_dir": os.path.join(self.folder, "run"),
            "log_level": "warning",
            "queues": queues,
            "handlers": handlers,
            **more,
        }
        self.process = None

    def __enter__(self):
        path = os.path.join(self.folder, "musterd.yaml")
        os.mkdir(self.config["runtime_dir"])
        with open(path, "w", encoding="utf-8") as file:
            for key, value in self.config.items():
                if value is None:
                    continue
                file.write(f"{key}: {json.dumps(value)}\n")
        environment = {key: value for key, value in os.environ.items()
                       if key in ("PATH", "HOME", "LANG")}
        self.process = subprocess.Popen(
            [self.program, "-c", path], env=environment,
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent(signal.SIGTERM))
        wait_until(self._runs, 30, "musterd starts")
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(60)

    def _runs(self):
        if self.process.poll() is not None:
            raise SystemExit(
                f"bench: musterd ended with {self.process.returncode}")
        try:
            status = self.status()
        except OSError:
            return False
        running = [worker for worker in status["workers"]
                   if worker["state"] == "running"]
        return status["state"] == "running" and len(running) == self.workers

    def status(self):
        path = os.path.join(self.config["runtime_dir"], "control.sock")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(path)
            connection.sendall(b'{"verb":"status"}\n')
            with connection.makefile() as file:
                return json.loads(file.readline())

    def wait(self, condition, what, limit=600):
        """As wait_until, and the daemon must live."""
        end = time.monotonic() + limit
        while not condition():
            if self.process.poll() is not None:
                raise SystemExit("bench: musterd ended")
            if time.monotonic() > end:
                raise SystemExit(f"bench: {what}: not within {limit} s")
            time.sleep(0.1)

    def wait_done(self, count):
        """Until it has so many tasks behind it, by its own counters."""
        self.wait(lambda: self.done() >= count, f"{count} tasks")

    def done(self):
        return sum(worker["succeeded"]
                   for worker in self.status()["workers"])

    def running(self):
        return sum(len(worker["running"])
                   for worker in self.status()["workers"])

    def memory_kb(self):
        """Private dirty memory by role; of the workers the largest."""
        status = self.status()
        workers = [private_dirty_kb(worker["pid"])
                   for worker in status["workers"]]
        return {"supervisor": private_dirty_kb(self.process.pid),
                "scheduler": private_dirty_kb(status["scheduler"]["pid"]),
                "worker": max(workers), "workers": sum(workers)}


def private_dirty_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1])
    raise SystemExit(f"bench: no memory figures of process {pid}")
