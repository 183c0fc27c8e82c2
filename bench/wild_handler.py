#!/usr/bin/python3
"""A process of a pool that does all that a handler should not: it leaks, writes
to standard output, leaves children behind and crashes. The payload's `n` says
what; the result is n.

    n % 100 == 0    crashes each time, with status 7
    n % 100 == 50   crashes at its first attempt, by SIGSEGV
    n % 20 == 7     leaves a child in its process group
    n % 20 == 13    leaves a child in a session of its own

`wild_handler.py spin` computes without a pause instead, for payload.s seconds.
"""

import json
import os
import signal
import socket
import sys
import time

held = []


def leave_child(session):
    """It knows nothing of the socket and lives for an hour."""
    if os.fork() == 0:
        if session:
            os.setsid()
        os.closerange(3, 100)
        os.execv("/bin/sleep", ["sleep", "3600"])


def wild(task):
    n = task["payload"]["n"]
    held.append(b"leak" * 25000)
    os.write(1, b"words of %d \xff\x1b[0m\n" % n)
    if n % 20 in (7, 13):
        leave_child(n % 20 == 13)
    if n % 100 == 0:
        os._exit(7)
    if n % 100 == 50 and task["attempt"] == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    return n


def spin(task):
    end = time.monotonic() + task["payload"]["s"]
    while time.monotonic() < end:
        pass


def main():
    run = spin if sys.argv[1:] == ["spin"] else wild
    worker = socket.socket(fileno=int(os.environ["MUSTER_FD"]))
    worker.set_inheritable(False)
    worker.sendall(b'{"hello":{"protocol":1}}\n')
    with worker.makefile("rb") as lines:
        for line in lines:
            task = json.loads(line).get("run")
            if task is not None:
                answer = {"id": task["id"], "result": run(task)}
                worker.sendall(json.dumps({"done": answer}).encode() + b"\n")


main()
