"""The supervisor with children that do as a test tells them.

The program is a musterd whose worker and scheduler are those of
tests/unit/fake_child.c: no server is needed, and they can crash, hang, lie or
be stubborn. What they do stands in files of runtime_dir, read at their start.
"""

import os
import signal

from . import processes
from .daemon import Daemon


class Supervisor(Daemon):
    program = "musterd_fake"

    def behave(self, role, *words):
        """From their next start on, `worker`s or the `scheduler` do this."""
        path = os.path.join(self.runtime_dir, f"{role}.behaviour")
        with open(path, "w", encoding="utf-8") as file:
            file.write(" ".join(words))

    def worker(self, slot=0):
        """Pid of the worker that serves in a slot, once it runs."""
        return {worker["slot"]: worker["pid"]
                for worker in self.status()["workers"]
                if worker["state"] == "running"}.get(slot)

    def kill_worker(self, slot=0, number=signal.SIGKILL):
        pid = self.worker(slot)
        os.kill(pid, number)
        return pid

    def descriptors(self, pid=None):
        """{number: what it is} of the supervisor or another process."""
        folder = f"/proc/{pid or self.pid}/fd"
        found = {}
        for name in os.listdir(folder):
            try:
                found[int(name)] = os.readlink(os.path.join(folder, name))
            except FileNotFoundError:
                pass  # closed meanwhile
        return found

    def zombies(self):
        return [pid for pid, facts in processes.every().items()
                if facts[2] == self.pid and facts[1] == "Z"]
