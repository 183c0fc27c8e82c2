"""A private pgbouncer that pools transactions, on a Unix socket."""

import os
import shutil
import signal
import subprocess

import psycopg2

from . import processes
from .wait import wait_until

PORT = 6432

# Few sessions, used in turn: what one transaction leaves in its session, the
# next one finds there, whoever's it is.
SETTINGS = """
[databases]
* = host={postgres}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
max_client_conn = 200
logfile =
"""


class Pgbouncer:
    """In front of `postgres`. `folder` must be short, as the server's."""

    def __init__(self, folder, postgres):
        self.folder = folder
        self.postgres = postgres
        self.process = None

    def create(self, users=("postgres", "musterd")):
        os.makedirs(self.folder, mode=0o755)
        self._write("users", "".join(f'"{user}" ""\n' for user in users))
        self._write("ini", SETTINGS.format(
            postgres=self.postgres.folder, port=PORT, folder=self.folder))
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(self.folder, "postgres", "postgres")
        return self

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w",
                  encoding="utf-8") as file:
            file.write(text)

    def start(self):
        account = {} if os.geteuid() != 0 else {
            "user": "postgres", "group": "postgres", "extra_groups": []}
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["pgbouncer", os.path.join(self.folder, "ini")],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log,
                preexec_fn=processes.die_with_parent(signal.SIGKILL),
                **account)
        processes.known.add(self.process.pid)
        wait_until(self._answers, 10, "pgbouncer accepts connections")
        return self

    def _answers(self):
        assert self.process.poll() is None, "pgbouncer ended at its start"
        try:
            psycopg2.connect(self.conninfo("postgres", "postgres"),
                             connect_timeout=5).close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self, number=signal.SIGTERM):
        """SIGTERM drops all clients at once; SIGKILL: as in a crash."""
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(20)
        processes.known.discard(self.process.pid)
        self.process = None

    def restart(self, number=signal.SIGTERM):
        self.stop(number)
        self.start()

    def conninfo(self, database, user="musterd"):
        return (f"host={self.folder} port={PORT} dbname={database} "
                f"user={user}")
