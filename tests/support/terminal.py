"""musterctl before the eyes of a person: on a terminal of its own."""

import fcntl
import os
import pty
import select
import struct
import termios

from . import build


def on_terminal(config, words, environment=None, columns=60):
    """Everything that it wrote to a terminal, and its exit code."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 24, columns, 0, 0))
        os.environ.update({**build.environment(), "TERM": "xterm",
                           **(environment or {})})
        os.execv(build.path("musterctl"),
                 ["musterctl", "-c", config, *words])
    out = b""
    while True:
        if not select.select([fd], [], [], 60)[0]:
            raise AssertionError("it hangs")
        try:
            more = os.read(fd, 65536)
        except OSError:
            break
        out += more
    os.close(fd)
    return out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
