"""A worker's side of the pool protocol, for tests: starts a program with a
socket, sends it lines and reads what it says."""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 30  # seconds that anything may take


class FakeWorker:
    def __init__(self, source, environment=None):
        """`source`: a program in Python that imports muster."""
        self.sock, its = socket.socketpair()
        self.fd = its.fileno()
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-c", textwrap.dedent(source)],
            pass_fds=[self.fd], stdin=subprocess.DEVNULL,
            stdout=self.out, stderr=self.err,
            env={**os.environ, "PYTHONPATH": os.path.dirname(HERE),
                 "PYTHONWARNINGS": "error::ResourceWarning",
                 "MUSTER_FD": str(self.fd), **(environment or {})})
        its.close()
        self.rest = b""
        self.said = []  # messages that nobody asked for yet

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.out.close()
        self.err.close()

    def close(self):
        self.sock.close()

    # To the program.

    def send(self, *messages):
        self.sock.sendall(b"".join(
            json.dumps(one, ensure_ascii=False).encode() + b"\n"
            for one in messages))

    @staticmethod
    def run_message(id, kind, payload=None, **more):
        return {"run": {
            "id": str(id), "kind": kind, "attempt": 1, "token": f"9-{id}",
            "deadline": 1732000000.5, "timeout_ms": 30000,
            "payload": payload, "inputs": {}, **more}}

    def run(self, id, kind, payload=None, **more):
        self.send(self.run_message(id, kind, payload, **more))

    def cancel(self, id, reason="asked"):
        self.send({"cancel": {"id": str(id), "reason": reason}})

    def drain(self):
        self.send({"drain": {}})

    # From it.

    def next(self, limit=LIMIT):
        """The next message as (type, body); None at its end of file."""
        while not self.said:
            if not self._read(limit):
                return None
        return self.said.pop(0)

    def _read(self, limit):
        if not select.select([self.sock], [], [], limit)[0]:
            raise AssertionError(f"nothing was said in {limit} s")
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            assert not self.rest, f"half a line: {self.rest!r}"
            return False
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            (kind, body), = json.loads(line.decode()).items()
            self.said.append((kind, body))
        return True

    def hello(self):
        kind, body = self.next()
        assert kind == "hello", kind
        return body

    def expect(self, kind, id):
        """The next message, which must be this one."""
        found = self.next()
        assert found is not None and found[0] == kind and \
            found[1]["id"] == str(id), f"{found} instead of {kind} {id}"
        return found[1]

    def answers(self, count):
        """{id: (type, body)} of the next so many answers."""
        found = {}
        while len(found) < count:
            message = self.next()
            assert message is not None, f"it ended after {found}"
            if message[0] in ("done", "fail"):
                assert message[1]["id"] not in found, "answered twice"
                found[message[1]["id"]] = message
        return found

    def is_silent(self, seconds):
        return not self.said and \
            not select.select([self.sock], [], [], seconds)[0]

    def end(self):
        """Waits for its end: (exit code, stdout, stderr)."""
        self.process.wait(LIMIT)
        for file in self.out, self.err:
            file.seek(0)
        return (self.process.returncode, self.out.read().decode(),
                self.err.read().decode())


def wait_for_file(path):
    end = time.monotonic() + LIMIT
    while not os.path.exists(path):
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.005)
