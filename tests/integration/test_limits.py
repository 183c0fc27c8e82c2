"""Limits of handlers' programs where there are no cgroups: each is broken by
a real program, and the task's error says which it was."""

import json
import os
import re
import resource
import subprocess
import time

import pytest

from support import build
from support.wait import holds_for, wait_until

PYTHON = "/usr/bin/python3"

# Takes memory for real, keeps it, and says how far it came.
HOLD = """
import sys, time
held = bytearray(0)
def hold(megabytes):
    global held
    held = bytearray(megabytes << 20)
    held[::4096] = bytes([1]) * len(held[::4096])
"""


def _python(code, **more):
    return {"exec": [PYTHON, "-c", code], "max_attempts": 1, **more}


def _shell(line, **more):
    return {"exec": ["/bin/sh", "-c", line], "max_attempts": 1, **more}


def _fails(db, kind, limit=20, **named):
    task = db.enqueue(kind, **named)
    return db.wait_state(task, "failed", limit).error


def _nothing_left(host):
    wait_until(lambda: not host.handlers(), 5, "nothing is left")


# memory_max

def test_memory_max_ends_a_process_that_takes_more(db, daemon):
    """Its error says which limit, and what it held."""
    host = daemon(handlers={"greedy": _python(
        HOLD + "print('taking', file=sys.stderr, flush=True)\n"
        "hold(120); time.sleep(60)", memory_max="64M")})
    host.log.allow("failed")
    error = _fails(db, "greedy")
    held = re.match(
        r"ended by memory_max \(64M\): its processes held (\d+)M:", error)
    assert held and 64 <= int(held.group(1)) < 150, error
    assert error.endswith("taking")
    _nothing_left(host)


def test_memory_max_counts_all_processes_of_a_task(db, daemon):
    """Four that hold a third of it each, started by a shell."""
    child = f"{PYTHON} -c '{HOLD}hold(40); time.sleep(60)' & "
    host = daemon(handlers={"many": _shell(child * 4 + "wait",
                                           memory_max="120M")})
    host.log.allow("failed")
    assert _fails(db, "many").startswith("ended by memory_max (120M)")
    _nothing_left(host)


def test_memory_max_counts_those_that_leave_the_group(db, daemon):
    """And kills them: a process that called setsid, below its leader."""
    host = daemon(handlers={"away": _python(
        HOLD + "import os\n"
        "if os.fork():\n    time.sleep(60)\n"
        "os.setsid()\nhold(120)\ntime.sleep(60)", memory_max="64M")})
    host.log.allow("failed")
    assert _fails(db, "away").startswith("ended by memory_max (64M)")
    _nothing_left(host)


def test_memory_max_counts_shared_pages_once(db, daemon):
    """Ten children of one that holds 50M share it."""
    daemon(handlers={"fork": _python(
        HOLD + "import os\nhold(50)\n"
        "for i in range(10):\n"
        "    if not os.fork():\n        time.sleep(1.5); os._exit(0)\n"
        "for i in range(10):\n    os.wait()", memory_max="150M")})
    task = db.enqueue("fork")
    assert db.wait_state(task).error is None


def test_memory_max_bounds_a_burst_between_two_looks(db, daemon):
    """No process gets more private data than twice it and a gigabyte."""
    daemon(handlers={"map": _python(
        "import mmap\n"
        "try:\n    mmap.mmap(-1, 1200 << 20, flags=mmap.MAP_PRIVATE)\n"
        "    print('mapped')\n"
        "except OSError as error:\n    print(error.errno)",
        memory_max="64M")})
    assert db.wait_state(db.enqueue("map")).result == 12


def test_memory_max_lets_others_be(db, daemon):
    """A neighbour of the same kind that stays below runs on."""
    host = daemon(workers=1, handlers={"take": _python(
        HOLD + "import json\nhold(json.load(sys.stdin)['m'])\n"
        "time.sleep(2)\nprint(1)", memory_max="100M")})
    host.log.allow("failed")
    small = db.enqueue("take", {"m": 10})
    large = db.enqueue("take", {"m": 200})
    assert db.wait_state(large, "failed").error.startswith("ended by")
    assert db.wait_state(small).result == 1


# cpu_time

WORN = "ended by cpu_time ({}): a process used up its processor time"


def test_cpu_time_ends_a_busy_process(db, daemon):
    host = daemon(handlers={"busy": _python(
        "while True: pass", cpu_time="1s", timeout="30s")})
    host.log.allow("failed")
    assert _fails(db, "busy") == WORN.format("1s")


def test_cpu_time_kills_who_ignores_the_signal(db, daemon):
    """After as much processor time as grace."""
    host = daemon(handlers={"deaf": _python(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
        "while True: pass", cpu_time="2s", grace="1s", timeout="10m")})
    host.log.allow("failed")
    assert _fails(db, "deaf", 120) == WORN.format("2s")


def test_cpu_time_is_told_through_a_shell(db, daemon):
    """Whose command ran out of time."""
    host = daemon(handlers={"shell": _shell(
        f"{PYTHON} -c 'while True: pass'; exit $?", cpu_time="1s")})
    host.log.allow("failed")
    assert _fails(db, "shell").startswith(WORN.format("1s"))


def test_cpu_time_leaves_who_sleeps(db, daemon):
    daemon(handlers={"nap": _shell("sleep 1.5; echo 1", cpu_time="1s")})
    assert db.wait_state(db.enqueue("nap")).result == 1


# timeout

def test_timeout_ends_the_whole_group(db, daemon, folder):
    """Also grandchildren that ignore SIGTERM, and who was stopped."""
    out = os.path.join(folder, "ended")
    host = daemon(handlers={"tree": _shell(
        f"trap 'echo told >>{out}; exit 1' TERM; "
        "(trap '' TERM; sleep 61; sleep 61) & (kill -STOP $$) & "
        "while :; do sleep 0.1; done", timeout="500ms", grace="500ms")})
    host.log.allow("failed")
    begin = time.monotonic()
    assert "timed out after 500ms" in _fails(db, "tree")
    assert time.monotonic() - begin < 10
    _nothing_left(host)
    with open(out, encoding="utf-8") as file:
        assert file.read() == "told\n"


# What a program finds.

LOOK = """
import json, os, resource, sys
mask = os.umask(0)
print(json.dumps({
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "cpu": resource.getrlimit(resource.RLIMIT_CPU),
    "data": resource.getrlimit(resource.RLIMIT_DATA),
    "space": resource.getrlimit(resource.RLIMIT_AS),
    "nice": os.nice(0), "umask": mask, "folder": os.getcwd(),
    "word": os.environ.get("WORD")}))
"""
NONE = [resource.RLIM_INFINITY] * 2


def _core(size):
    """What a limit of that size comes to: sudo leaves none for cores, and only
    who has CAP_SYS_RESOURCE may raise it again."""
    if subprocess.run(["prlimit", f"--core={size}", "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode == 0:
        return size
    return resource.getrlimit(resource.RLIMIT_CORE)[1]


def test_limits_are_set_as_configured(db, daemon):
    daemon(handlers={"look": _python(
        LOOK, open_files=100, core="1M", cpu_time="90500ms", grace="9s",
        memory_max="32M", nice=5, umask="027", working_directory="/usr",
        environment={"WORD": "x y"})})
    data = (2 * 32 << 20) + (1 << 30)
    assert db.wait_state(db.enqueue("look")).result == {
        "files": [100, 100], "core": [_core(1 << 20)] * 2, "cpu": [91, 100],
        "data": [data] * 2, "space": NONE, "nice": os.nice(0) + 5,
        "umask": 0o027, "folder": "/usr", "word": "x y"}


def test_limits_that_are_not_configured(db, daemon):
    """No core; few files at first; everything else as the daemon has it."""
    mask = os.umask(0)
    os.umask(mask)
    daemon(handlers={"look": _python(LOOK)})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert db.wait_state(db.enqueue("look")).result == {
        "files": [min(1024, hard), hard], "core": [0, 0], "cpu": NONE,
        "data": NONE, "space": NONE, "nice": os.nice(0), "umask": mask,
        "folder": "/", "word": None}


def test_open_files_stops_who_opens_more(db, daemon):
    host = daemon(handlers={"open": _python(
        "files = [open('/dev/null') for i in range(100)]", open_files=50)})
    host.log.allow("failed")
    assert "Too many open files" in _fails(db, "open")


@pytest.mark.parametrize("size, dumped", [("64M", True), (None, False)])
def test_core_bounds_what_a_crash_leaves(db, daemon, folder, size, dumped):
    """The kernel says whether it wrote one."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        if file.read().startswith(("|", "/")):
            pytest.skip("cores of this machine do not go to the folder of "
                        "the process")
    if size and _core(64 << 20) == 0:
        pytest.skip("the hard limit of cores is 0, and may not be raised")
    os.chmod(folder, 0o777)
    host = daemon(handlers={"crash": _shell(
        "kill -SEGV $$", working_directory=folder,
        **({"core": size} if size else {}))})
    host.log.allow("failed")
    error = _fails(db, "crash")
    assert "killed by signal 11 (SIGSEGV)" in error
    assert ("core dumped" in error) == dumped
    assert bool([name for name in os.listdir(folder)
                 if name.startswith("core")]) == dumped


def test_limits_change_with_a_reload(db, daemon):
    """For tasks that start after it."""
    host = daemon(handlers={"look": _python(LOOK, nice=1)})
    assert db.wait_state(db.enqueue("look")).result["nice"] == os.nice(0) + 1
    host.reload(handlers={"look": _python(LOOK, nice=3)})
    assert db.wait_state(db.enqueue("look")).result["nice"] == os.nice(0) + 3


def test_one_that_left_its_group_ends_with_its_worker(db, daemon, folder):
    """It called setsid, and its parent is gone: no cgroup holds it."""
    out = os.path.join(folder, "pid")
    host = daemon(handlers={"leave": _shell(
        f"setsid -f sh -c 'echo $$ >{out}; exec sleep 60'; "
        f"while [ ! -s {out} ]; do sleep 0.05; done")})
    db.wait_state(db.enqueue("leave"))
    with open(out, encoding="utf-8") as file:
        pid = int(file.read())
    holds_for(lambda: os.path.exists(f"/proc/{pid}"), 0.5, "it lives on")
    host.stop()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 5, "it is gone")


def test_ten_kinds_of_limits_at_once(db, daemon):
    """None gets in another's way: 60 tasks, half of which break one."""
    host = daemon(handlers={
        "fine": _shell("echo 1", memory_max="100M", cpu_time="5s",
                       open_files=64, nice=1),
        "busy": _python("while True: pass", cpu_time="1s"),
        "greedy": _python(HOLD + "hold(120); time.sleep(60)",
                          memory_max="64M")},
        queues={"default": {"concurrency": 8}})
    host.log.allow("failed")
    fine = db.enqueue_many("fine", 48)
    bad = {kind: db.enqueue_many(kind, 4) for kind in ("busy", "greedy")}
    assert db.wait_done(60) == {"succeeded": 48, "failed": 8}
    assert db.states(fine) == {"succeeded": 48}
    assert all("cpu_time" in db.task(task).error for task in bad["busy"])
    assert all("memory_max" in db.task(task).error for task in bad["greedy"])
    assert json.dumps(host.status())


# Limits that take cgroups.

NEED_CGROUPS = {"slow": {"exec": ["/bin/true"], "cpu_max": 0.5},
                "few": {"exec": ["/bin/true"], "pids_max": 3}}
NOT_KEPT = "pids_max of few, cpu_max of slow"


def test_what_takes_cgroups_is_warned_of(db, daemon):
    """By `musterd -t`, at the start and after a reload; tasks run."""
    host = daemon(handlers=NEED_CGROUPS)
    host.log.allow(NOT_KEPT)
    done = subprocess.run(
        [build.path("musterd"), "-t", "-c", host.config_path],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env=build.environment())
    assert done.returncode == 0
    assert f"warning: {NOT_KEPT}: kept only where" in done.stderr
    assert len(host.log.find(NOT_KEPT)) == 1
    assert len(host.log.find("limits of tasks: by rlimits")) == 1
    db.wait_state(db.enqueue("slow"))
    host.reload(log_level="debug")
    wait_until(lambda: len(host.log.find(NOT_KEPT)) == 2, 5, "it is said again")
    host.reload(handlers={"slow": {"exec": ["/bin/true"]}})
    wait_until(lambda: len(host.log.find("reloaded")) == 2, 5, "it is done")
    assert len(host.log.find(NOT_KEPT)) == 2
