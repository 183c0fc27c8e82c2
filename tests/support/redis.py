"""A private Redis on a Unix socket, and the few words needed to ask it."""

import os
import signal
import socket
import subprocess
import threading
import time

from . import processes
from .wait import wait_until


class Redis:
    def __init__(self, folder):
        self.folder = folder
        self.socket = os.path.join(folder, "redis.sock")
        self.url = "unix://" + self.socket
        self.process = None

    def create(self):
        os.makedirs(self.folder, mode=0o755)
        return self

    def start(self, *options):
        with open(os.path.join(self.folder, "redis.log"), "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", "0", "--unixsocket", self.socket,
                 "--unixsocketperm", "777", "--save", "", "--appendonly", "no",
                 "--dir", self.folder, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=processes.die_with_parent(signal.SIGKILL))
        processes.known.add(self.process.pid)
        wait_until(self._answers, 10, "Redis answers")
        return self

    def _answers(self):
        assert self.process.poll() is None, "redis-server ended at its start"
        try:
            return self.command("PING") == "PONG"
        except OSError:
            return False

    def stop(self, number=signal.SIGTERM):
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(20)
        processes.known.discard(self.process.pid)
        self.process = None

    def restart(self):
        self.stop(signal.SIGKILL)
        self.start()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words):
        """One command on a connection of its own; its reply as text, int,
        None or a list."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(self.socket)
            parts = [str(word).encode() for word in words]
            connection.sendall(b"*%d\r\n" % len(parts) + b"".join(
                b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
            with connection.makefile("rb") as file:
                return _reply(file)

    def keys(self, pattern="*"):
        return self.command("KEYS", pattern)


def _reply(file):
    line = file.readline().decode().rstrip("\r\n")
    kind, rest = line[:1], line[1:]
    if kind == "+":
        return rest
    if kind == "-":
        raise OSError(rest)
    if kind == ":":
        return int(rest)
    if kind == "$":
        if int(rest) < 0:
            return None
        return file.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == "*":
        return [_reply(file) for _ in range(int(rest))]
    raise OSError(f"not a reply: {line!r}")


class Listener:
    """A subscription of its own: what was published, as it came, in
    `messages`: (seconds on the monotonic clock, channel, text)."""

    def __init__(self, redis, pattern):
        self.messages = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(redis.socket)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(b"*2\r\n$10\r\nPSUBSCRIBE\r\n$%d\r\n%s\r\n"
                             % (len(pattern), pattern.encode()))
        assert _reply(self._file)[0] == "psubscribe"
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            while True:
                kind, _, channel, text = _reply(self._file)
                if kind == "pmessage":
                    self.messages.append((time.monotonic(), channel, text))
        except (OSError, ValueError):
            pass  # closed, or Redis ended

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            self.close()
        except OSError:
            pass  # Redis ended before
