"""A throw-away host with systemd as process 1, made by service/sysbox."""

import json
import os
import subprocess

from . import build
from .wait import SLOW

SYSBOX = os.path.join(build.TOP, "tests", "service", "sysbox")
FOLDER = os.environ.get("SYSBOX_DIR", "/run/sysbox")
CLUSTER = "muster"
DATABASE = "app"


class Box:
    """A throw-away host; see sysbox. Commands run inside as root."""

    def __init__(self, name):
        """The name is made this test run's own: several may go on."""
        self.name = f"{name}-{os.getpid()}"
        self.root = os.path.join(FOLDER, self.name, "root")

    def _sysbox(self, command, *more, limit=120):
        done = subprocess.run(
            [SYSBOX, command, self.name, *more],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=limit * SLOW, check=False)
        assert done.returncode == 0, (
            f"sysbox {command}: {done.stdout}{done.stderr}")

    def make(self):
        self._sysbox("make")

    def up(self, private=True):
        """Boots; `private`: with a loopback of its own and nothing else."""
        self._sysbox("up", *(["--private-network"] if private else []))

    def crash(self):
        self._sysbox("crash")

    def stop(self):
        self._sysbox("stop")

    def remove(self):
        self._sysbox("rm")

    def try_run(self, *words, user=None, limit=60, **more):
        """A command given as words, or as one shell line."""
        if len(words) == 1:
            words = ["sh", "-c", words[0]]
        if user:
            words = ["runuser", "-u", user, "--", *words]
        return subprocess.run(
            [SYSBOX, "run", self.name, *words],
            capture_output=True, text=True, timeout=limit * SLOW, check=False,
            **({"stdin": subprocess.DEVNULL} if "input" not in more else {}),
            **more)

    def run(self, *words, code=0, **more):
        """As try_run; asserts the exit code; standard output."""
        done = self.try_run(*words, **more)
        assert done.returncode == code, (
            f"{words} gave {done.returncode}: "
            f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.strip("\n")

    def path(self, inside):
        """The outside name of a file of the box's disk (not below /tmp or
        /run, which are its own)."""
        return self.root + inside

    def write(self, inside, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(inside)), exist_ok=True)
        with open(self.path(inside), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(inside), mode)

    def sql(self, statement, database=DATABASE):
        """Rows as lists of text, by psql as the superuser."""
        text = self.run("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-F", "\t",
                        "-d", database, "-c", statement, user="postgres")
        return [line.split("\t") for line in text.splitlines()]

    def value(self, statement):
        return self.sql(statement)[0][0]

    def journal(self, *matches):
        """Journal entries with these fields, oldest first, as mappings."""
        self.run("journalctl", "--sync")
        text = self.run("journalctl", "-q", "-o", "json", *matches)
        return [json.loads(line) for line in text.splitlines()]


def remove_forgotten():
    """Boxes of test runs that were killed."""
    for name in os.listdir(FOLDER) if os.path.isdir(FOLDER) else []:
        pid = name.rsplit("-", 1)[-1]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            subprocess.run([SYSBOX, "rm", name], check=False,
                           stdin=subprocess.DEVNULL, capture_output=True)


def server_version():
    return sorted(os.listdir("/usr/lib/postgresql"), key=float)[-1]


def unit_path(box, name):
    """The file of musterd.service or musterd@.service."""
    path = box.run("systemctl", "show", "musterd", "-P", "FragmentPath")
    return os.path.join(os.path.dirname(path), name)
