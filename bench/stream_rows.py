"""What running tasks tell: from a program's write into its worker's FIFO,
through Redis, to a line of `musterctl tail`."""

import json
import os
import signal
import subprocess
import sys
import time

from rows import NOOP
from servers import die_with_parent, wait_until
from table import median, percentile

WRITER = r"""
import json, os, sys, time
count, gap, gate = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
ids = {"id": os.environ["MUSTER_TASK"], "token": os.environ["MUSTER_TOKEN"]}
fifo = os.open(os.environ["MUSTER_EVENTS"], os.O_WRONLY)
while not os.path.exists(gate):
    time.sleep(0.01)
for _ in range(count):
    line = json.dumps({"chunk": {**ids, "data": time.time()}})
    os.write(fifo, line.encode() + b"\n")
    time.sleep(gap) if gap else None
"""


def tailed(bench, count, gap, load=False):
    """(when written, when shown) of each chunk of one task."""
    gate = os.path.join(bench.scratch, f"gate.{count}.{gap}.{load}")
    handlers = {**NOOP, "tell": {"exec": [
        sys.executable, "-c", WRITER, str(count), str(gap), gate]}}
    queues = {"tell": {"concurrency": 2}, "noop": {"concurrency": 400}}
    bench.forget()
    with bench.daemon(queues, handlers) as daemon:
        config = os.path.join(daemon.folder, "musterd.yaml")
        if load:
            bench.fill(60000, "noop")
        task = bench.value("SELECT muster.enqueue('tell', queue => 'tell')")
        with subprocess.Popen(
                [os.path.join(bench.build, "musterctl"), "-c", config,
                 "tail", task, "--json"], stdout=subprocess.PIPE,
                preexec_fn=die_with_parent(signal.SIGKILL)) as tail:
            wait_until(lambda: bench.value(
                "SELECT state FROM muster.task_status WHERE id = "
                + task) == "running", 30, "the teller runs")
            time.sleep(0.7)  # until tail listens
            open(gate, "w", encoding="utf-8").close()
            seen = [(line, time.time()) for line in tail.stdout]
    found = [(json.loads(line), at) for line, at in seen]
    return [(line["chunk"], at) for line, at in found if "chunk" in line]


def stream(bench, count=1000, flood=20000):
    for load, name in ((False, "idle"), (True, "beside no-ops")):
        pairs = tailed(bench, count, 0.005, load)
        delays = [(at - told) * 1000 for told, at in pairs]
        bench.table.add(f"progress to musterctl tail p50, {name}",
                        median(delays), "ms")
        bench.table.add(f"progress to musterctl tail p99, {name}",
                        percentile(delays, 0.99), "ms", at_most=50)
        bench.table.add("  of what was told, shown", len(pairs) / count,
                        at_least=1)
    pairs = tailed(bench, flood, 0)
    rate = len(pairs) / (pairs[-1][1] - pairs[0][0])
    bench.table.add("chunks of one task through musterctl tail", rate,
                    "chunks/s")
    bench.table.add("  of what was told, shown", len(pairs) / flood)


STREAM = (stream,)
