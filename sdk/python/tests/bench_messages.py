"""How many trivial tasks a second a handler process gets through, against a
worker that keeps `window` of them in flight and does nothing else.

    /usr/bin/python3 sdk/python/tests/bench_messages.py [--kind plain|async]
        [--concurrency 1] [--window 200] [--seconds 3] [PROGRAM...]

PROGRAM is measured instead of one that uses muster.py; it says itself how many
it takes at a time.
"""

import argparse
import os
import socket
import subprocess
import sys
import time

HANDLER = """
import sys
sys.path.insert(0, sys.argv[1])
import muster

@muster.task("plain")
def plain(payload):
    pass

if sys.argv[2] == "async":
    @muster.task("async")
    async def on_the_loop(payload):
        pass

muster.run(int(sys.argv[3]), prefetch=int(sys.argv[4]) - int(sys.argv[3]))
"""


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["plain", "async"], default="plain")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--window", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("program", nargs="*")
    return parser.parse_args()


def start(given):
    mine, its = socket.socketpair()
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    process = subprocess.Popen(
        given.program or [
            sys.executable, "-B", "-c", HANDLER, folder, given.kind,
            str(given.concurrency), str(given.window)],
        pass_fds=[its.fileno()],
        env={**os.environ, "MUSTER_FD": str(its.fileno())})
    its.close()
    return mine, process


def measure(sock, given):
    run = ('{"run":{"id":"%d","kind":"' + given.kind + '","attempt":1,'
           '"token":"9-%d","deadline":1732000000.5,"timeout_ms":30000,'
           '"payload":{"name":"a.png","size":640},"inputs":{}}}\n')
    lines = [(run % (n, n)).encode() for n in range(1000000, 1050000)]
    sent = done = 0
    want = given.window
    end = time.monotonic() + given.seconds
    began = None
    while time.monotonic() < end:
        start = sent % len(lines)
        batch = lines[start:start + want]
        sock.sendall(b"".join(batch))
        sent += len(batch)
        want -= len(batch)
        answered = sock.recv(262144).count(b'{"done":')
        done += answered
        want += answered
        if began is None:
            began, done = time.monotonic(), 0
    return done / (time.monotonic() - began)


def main():
    given = arguments()
    sock, process = start(given)
    assert b"hello" in sock.recv(4096)
    rate = measure(sock, given)
    sock.close()
    process.wait(10)
    print(f"{given.kind}, concurrency {given.concurrency}, window "
          f"{given.window}: {rate:,.0f} tasks/s ({2 * rate:,.0f} messages/s)")


if __name__ == "__main__":
    main()
