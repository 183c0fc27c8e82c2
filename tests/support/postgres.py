"""A private PostgreSQL: its own folder, a Unix socket there, no TCP port.

fsync and synchronous_commit keep their defaults (on). It never runs as root.
Without jit: what tests ask is short, and each session would load a compiler.
"""

import functools
import os
import shutil
import signal
import subprocess

import psycopg2

from . import processes
from .wait import wait_until

SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 100
shared_buffers = 64MB
log_line_prefix = '%m [%p] %q%a '
log_lock_waits = on
jit = off
"""


@functools.cache
def program(name):
    """The path of a program of the server's; pg_config names the folder."""
    folder = subprocess.check_output(["pg_config", "--bindir"], text=True)
    path = os.path.join(folder.strip(), name)
    assert os.path.exists(path), f"{path} is missing: install the server"
    return path


def _account():
    """Keywords for subprocess: who the server runs as."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


class Postgres:
    """One cluster. `folder` must be short (socket names are limited)."""

    def __init__(self, folder):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.log_path = os.path.join(folder, "postgres.log")
        self.process = None

    def create(self, settings=""):
        os.makedirs(self.folder, mode=0o755)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(
            [program("initdb"), "-D", self.data, "-A", "trust", "--no-sync",
             "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.folder,
            **_account())
        conf = os.path.join(self.data, "postgresql.conf")
        with open(conf, "a", encoding="utf-8") as file:
            file.write(SETTINGS.format(folder=self.folder) + settings)
        return self

    def copy(self, other):
        """A new cluster with all that the stopped `other` holds."""
        os.makedirs(self.folder, mode=0o755)
        subprocess.run(["cp", "-a", "--reflink=auto", other.data, self.data],
                       check=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        conf = os.path.join(self.data, "postgresql.conf")
        with open(conf, "a", encoding="utf-8") as file:
            file.write(SETTINGS.format(folder=self.folder))
        return self

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [program("postgres"), "-D", self.data], cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=processes.die_with_parent(signal.SIGQUIT),
                **_account())
        processes.known.add(self.process.pid)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, limit=30):
        wait_until(self._answers, limit, "PostgreSQL accepts connections")

    def _answers(self):
        assert self.process.poll() is None, self.log_tail()
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self, mode="fast"):
        """smart: waits for clients; fast; immediate: as in a crash."""
        if self.process is None:
            return
        self.process.send_signal({"smart": signal.SIGTERM,
                                  "fast": signal.SIGINT,
                                  "immediate": signal.SIGQUIT}[mode])
        self.process.wait(60)
        processes.known.discard(self.process.pid)
        self.process = None

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def freeze(self):
        """SIGSTOP for the server and every backend."""
        processes.stop_tree(self.process.pid)

    def thaw(self):
        processes.continue_tree(self.process.pid)

    def conninfo(self, database, user="postgres"):
        return f"host={self.folder} dbname={database} user={user}"

    def connect(self, database, user="postgres", **more):
        """A psycopg2 connection in autocommit."""
        connection = psycopg2.connect(
            self.conninfo(database, user), connect_timeout=5, **more)
        connection.autocommit = True
        return connection

    def run(self, sql, database="postgres"):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()

    def log_size(self):
        return os.path.getsize(self.log_path)

    def log_since(self, offset):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(offset)
            return file.read()

    def log_tail(self, size=2000):
        return self.log_since(max(0, self.log_size() - size))
