"""A probe (tests/integration/probes): a connection of common/ under orders."""

import subprocess
import threading

from . import build, processes
from .wait import wait_until


class Probe:
    def __init__(self, name, *arguments):
        self.process = subprocess.Popen(
            [build.path(name), *arguments], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=build.environment(), preexec_fn=processes.die_with_parent())
        processes.known.add(self.process.pid)
        self.lines = []
        self._seen = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def expect(self, start, limit=10):
        """The next line from here on that starts so; those before it are
        passed over."""
        def found():
            for index in range(self._seen, len(self.lines)):
                if self.lines[index].startswith(start):
                    self._seen = index + 1
                    return self.lines[index]
            self._assert_alive()
            return None
        return wait_until(found, limit, f"'{start}' after "
                          f"{self.lines[max(0, self._seen - 3):][-20:]}")

    def _assert_alive(self):
        if self.process.poll() not in (None, 0):
            raise RuntimeError(self.process.stderr.read())

    def count(self, start):
        return sum(line.startswith(start) for line in self.lines)

    def quit(self, limit=20):
        """Ends it; the longest time in ms its loop did not turn. It must
        have ended well, with nothing said by a sanitizer."""
        self.order("quit")
        self.process.stdin.close()
        code = self.process.wait(limit)
        self._reader.join(5)
        wrong = self.process.stderr.read()
        assert code == 0, f"exit {code}: {wrong}"
        return int(self.expect("gap").split()[1])

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout,
                     self.process.stderr):
            pipe.close()
        processes.known.discard(self.process.pid)
