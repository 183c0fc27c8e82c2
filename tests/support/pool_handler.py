#!/usr/bin/python3
"""A process of a pool that speaks the protocol by hand and, on request, badly.

Arguments: `--concurrency N`, `--kinds a,b`, `--ledger FILE` (a line for each
start and each run), `--start WORD` what it does before its hello. What it does
with a task stands in the payload's "do"; see the functions called do_….
"""

import argparse
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time


class Handler:
    def __init__(self, options):
        self.options = options
        self.socket = socket.socket(fileno=int(os.environ["MUSTER_FD"]))
        self.socket.set_inheritable(False)
        self.lock = threading.Lock()
        self.cancelled = {}
        self.draining = False
        self.held = []

    def note(self, *words):
        if self.options.ledger:
            line = " ".join(map(str, (os.getpid(),) + words)) + "\n"
            with open(self.options.ledger, "a", encoding="utf-8") as file:
                file.write(line)

    # Words.

    def raw(self, data):
        with self.lock:
            self.socket.sendall(data)

    def send(self, kind, **members):
        self.raw(json.dumps({kind: members}).encode() + b"\n")

    def done(self, task, result=None):
        self.send("done", id=task["id"], result=result)

    def hello(self):
        members = {"protocol": 1, "concurrency": self.options.concurrency}
        if self.options.kinds:
            members["kinds"] = self.options.kinds.split(",")
        self.send("hello", **members)

    # The loop.

    def run(self):
        self.note("started")
        getattr(self, "start_" + self.options.start)()
        with self.socket.makefile("rb") as lines:
            for line in lines:
                self.take(json.loads(line))
        self.note("left")
        if self.options.start == "lingering":
            time.sleep(3600)

    def take(self, message):
        (kind, members), = message.items()
        if kind == "drain":
            self.draining = True
            self.note("drain")
        elif kind == "cancel":
            self.note("cancel", members["id"], members["reason"])
            self.cancelled.setdefault(
                members["id"], threading.Event()).set()
        else:
            self.cancelled.setdefault(members["id"], threading.Event())
            self.note("ran", members["id"])
            self.start(members)

    def start(self, task):
        payload = task["payload"]
        do = payload.get("do", "echo") if isinstance(payload, dict) else "echo"
        call = getattr(self, "do_" + do)
        if self.options.concurrency == 1:
            call(task, payload)
        else:
            threading.Thread(
                target=call, args=(task, payload), daemon=True).start()

    # Starts.

    def start_well(self):
        self.hello()

    def start_lingering(self):
        """Does not end when its socket has."""
        self.hello()

    def start_slow(self):
        time.sleep(0.5)
        self.hello()

    def start_mute(self):
        time.sleep(3600)

    def start_deaf(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.hello()

    def start_crash(self):
        print("no model", file=sys.stderr, flush=True)
        sys.exit(3)

    def start_twice(self):
        self.hello()
        self.hello()

    def start_garbage(self):
        self.raw(b"hello, world\n")
        time.sleep(3600)

    def start_never_read(self):
        self.hello()
        time.sleep(3600)

    # Tasks.

    def do_echo(self, task, payload):
        self.done(task, {"payload": payload, "pid": os.getpid()})

    def do_task(self, task, payload):
        self.done(task, task)

    def do_raw(self, task, payload):
        """What the payload says, with ID for the task's id."""
        self.raw(payload["text"].replace("ID", task["id"]).encode())

    def do_hold(self, task, payload):
        """Answers when its file exists."""
        while not os.path.exists(payload["file"]):
            time.sleep(0.01)
        self.done(task, os.getpid())

    def do_say(self, task, payload):
        print(payload["out"], flush=True)
        print(payload["err"], file=sys.stderr, flush=True)
        self.done(task)

    def do_fail(self, task, payload):
        self.send("fail", id=task["id"], **payload["with"])

    def do_crash(self, task, payload):
        print("out of luck", file=sys.stderr, flush=True)
        time.sleep(payload.get("after", 0))
        if "signal" in payload:
            os.kill(os.getpid(), payload["signal"])
            time.sleep(60)
        os._exit(payload.get("code", 1))

    def do_hang(self, task, payload):
        """Ends when it is told to."""
        self.cancelled[task["id"]].wait()
        self.send("fail", id=task["id"], error="cancelled, as told")

    def do_ignore(self, task, payload):
        time.sleep(3600)

    def do_fork(self, task, payload):
        """Leaves a child in its group and hangs."""
        if os.fork() == 0:
            time.sleep(3600)
        time.sleep(3600)

    def do_sleep(self, task, payload):
        time.sleep(payload["seconds"])
        self.done(task, os.getpid())

    def do_alone(self, task, payload):
        """Notes "overlap" if another one has its lock meanwhile."""
        with open(payload["lock"], "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.note("overlap", payload["lock"])
            time.sleep(0.001)
        if payload["fail"] and task["attempt"] == 1:
            self.send("fail", id=task["id"], error="as told")
        else:
            self.done(task)

    def do_progress(self, task, payload):
        self.send("progress", id=task["id"], fraction=0.5, note="half \n")
        self.send("chunk", id=task["id"], data=[1, 2])
        self.done(task)

    def do_tell(self, task, payload):
        """Into the FIFO of programs, and then at once its answer."""
        with open(os.environ["MUSTER_EVENTS"], "r+b", buffering=0) as fifo:
            fifo.write(json.dumps({"progress": {
                "id": task["id"], "token": task["token"],
                "fraction": 0.7}}).encode() + b"\n")
        self.done(task)

    def do_large(self, task, payload):
        self.done(task, "x" * payload["size"])

    def do_eat(self, task, payload):
        self.held.append(bytearray(payload["size"]))
        time.sleep(payload.get("seconds", 0))
        self.done(task, os.getpid())

    def do_swap(self, task, payload):
        """Answers two tasks in the other order, in one write."""
        self.held.append(task["id"])
        if len(self.held) < payload["count"]:
            return
        held, self.held = self.held, []
        self.raw(b"".join(
            json.dumps({"done": {"id": one, "result": one}}).encode() + b"\n"
            for one in reversed(held)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--ledger")
    parser.add_argument("--start", default="well")
    Handler(parser.parse_args()).run()


if __name__ == "__main__":
    main()
