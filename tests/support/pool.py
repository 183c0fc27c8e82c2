"""Pools of tests: programs, what they note, what they are asked to do."""

import collections
import os

PROGRAM = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "pool_handler.py")
QUICK = {"first": "10ms", "max": "50ms"}


class Pool:
    """The configuration of one kind, and what its processes noted."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "pool-ledger")
        with open(self.path, "w", encoding="utf-8"):
            pass

    def handler(self, concurrency=1, start="well", more=(), **keys):
        return {"pool": ["/usr/bin/python3", PROGRAM, "--ledger", self.path,
                         "--concurrency", str(concurrency), "--start", start,
                         *more],
                "backoff": QUICK, **keys}

    def notes(self, word):
        """[(pid, words behind it)]"""
        with open(self.path, encoding="utf-8") as file:
            found = [line.split() for line in file]
        return [(int(pid), rest) for pid, what, *rest in found if what == word]

    def pids(self, word="started"):
        return [pid for pid, _ in self.notes(word)]

    def runs(self):
        """{task: how often it ran}"""
        return collections.Counter(
            int(rest[0]) for _, rest in self.notes("ran"))


def hold(folder, name="go"):
    return {"do": "hold", "file": os.path.join(folder, name)}


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
