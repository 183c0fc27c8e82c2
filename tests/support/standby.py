"""A streaming standby of a private PostgreSQL, to be promoted by a test."""

import os
import shutil
import subprocess

from .postgres import Postgres, _account, program
from .wait import wait_until


class Standby(Postgres):
    def __init__(self, folder, primary):
        super().__init__(folder)
        self.primary = primary

    def create(self, settings=""):
        os.makedirs(self.folder, mode=0o755)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(
            [program("pg_basebackup"), "-h", self.primary.folder,
             "-U", "postgres", "-D", self.data, "-R", "-X", "stream",
             "-c", "fast", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.folder,
            **_account())
        conf = os.path.join(self.data, "postgresql.conf")
        with open(conf, "a", encoding="utf-8") as file:
            file.write(f"unix_socket_directories = '{self.folder}'\n"
                       + settings)
        return self

    def caught_up(self):
        """Whether it has all that the primary has written."""
        with self.primary.connect("postgres") as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_wal_lsn()")
                written = cursor.fetchone()[0]
        with self.connect("postgres") as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn",
                               [written])
                return cursor.fetchone()[0]

    def promote(self):
        self.run("SELECT pg_promote()")
        wait_until(self._is_primary, 20, "the standby is promoted")

    def _is_primary(self):
        with self.connect("postgres") as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT NOT pg_is_in_recovery()")
                return cursor.fetchone()[0]
