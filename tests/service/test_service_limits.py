"""Limits of tasks under the unit, by cgroups that it delegates and without."""

import os

import pytest

from support import build
from support.service import shell
from support.wait import holds_for, wait_until

TREE = "/sys/fs/cgroup/system.slice/musterd.service"
HOLD = ("/usr/bin/python3 -c 'import time; held = bytearray(%d << 20);"
        " held[::4096] = bytes([1]) * len(held[::4096]); time.sleep(60)'")


def _drop_in():
    path = os.path.join(build.TOP, "systemd", "musterd-delegate.conf")
    with open(path, encoding="utf-8") as file:
        return file.read().split("[Service]\n", 1)[1]


@pytest.fixture
def delegated(service):
    """The service with the drop-in that is shipped; not started."""
    service.drop_in(_drop_in())
    yield service
    service.box.try_run("systemctl", "stop", service.unit)


def _folders(box, below="tasks/worker.*"):
    """Those of tasks, by their names."""
    lines = box.run(f"cd {TREE} && ls -d {below}/*/ 2>/dev/null || true")
    return [line.rstrip("/").rsplit("/", 1)[1] for line in lines.splitlines()]


def _processes(box, word):
    """Pids of those with that word in their command line."""
    return box.try_run("pgrep", "-f", word).stdout.split()


def _need(box, controller):
    """A test of what only that controller can do."""
    box.run(f"test -d {TREE}/tasks")
    if controller not in box.run(
            f"cat {TREE}/tasks/cgroup.subtree_control").split():
        pytest.skip(f"not run: this machine has no controller {controller} "
                    "in the tree of cgroup version 2 (./runtests --long has)")


def _fails(service, kind, **more):
    task = service.enqueue(kind, max_attempts=1, **more)
    return service.wait_task(task, "failed", 40)[1]


# Without Delegate=

def test_limits_without_delegation(service):
    """Are kept by rlimits and looking; which are not, the log says."""
    service.start(handlers={
        "greedy": {"exec": shell(HOLD % 120), "memory_max": "64M"},
        "slow": {"exec": ["/bin/true"], "cpu_max": 0.5, "pids_max": 5}})
    assert [line for line in service.messages()
            if line.startswith("limits of tasks: by rlimits")]
    assert [line for line in service.messages("PRIORITY=4") if line.startswith(
        "cpu_max of slow, pids_max of slow: not kept")]
    assert _fails(service, "greedy").startswith("ended by memory_max (64M)")
    assert service.wait_task(service.enqueue("slow"))[1] == ""


# With it

def test_each_task_has_a_cgroup(delegated, box):
    """Which is removed after it; the daemon's own processes have a leaf."""
    delegated.start(handlers={"nap": {"exec": shell(
        "cat /proc/self/cgroup; exec sleep $(cat)")}})
    assert [line for line in delegated.messages()
            if line.startswith("limits of tasks: each has a cgroup below "
                               f"{TREE}/tasks")]
    assert not [line for line in delegated.messages("PRIORITY=4")
                if "cgroup" in line]
    tasks = [delegated.enqueue("nap", 3) for _ in range(3)]
    wait_until(lambda: len(_folders(box)) == 3, 10, "three have one", every=0.1)
    assert {name.split(".")[0] for name in _folders(box)} == set(
        map(str, tasks))
    assert not delegated.pids()
    main = delegated.main_pid()
    assert f"{main}" in box.run(f"cat {TREE}/supervisor/cgroup.procs").split()
    for task in tasks:
        found = delegated.wait_task(task)[0]
        assert "musterd.service/tasks/worker." in found
        assert f"/{task}." in found
    wait_until(lambda: not _folders(box), 5, "they are gone", every=0.1)
    box.run("systemctl reload musterd")
    assert delegated.wait_task(delegated.enqueue("nap", 1))[1] == ""


def test_who_calls_setsid_ends_with_its_task(delegated, box):
    """Twice forked, out of the group and without a parent; what the task made
    of it stays."""
    delegated.start(handlers={"leave": {"exec": shell(
        "setsid -f sh -c 'exec sleep 4711'; sleep 0.3; echo 1")}})
    assert delegated.wait_task(delegated.enqueue("leave"))[:2] == ["1", ""]
    wait_until(lambda: not _processes(box, "sleep 4711"), 5, "it ended",
               every=0.1)
    wait_until(lambda: not _folders(box), 5, "its group is gone", every=0.1)


def test_time_out_ends_who_called_setsid(delegated, box):
    delegated.start(handlers={"hang": {
        "exec": shell("trap '' TERM; setsid sleep 4712 & setsid -f sh -c "
                      "\"trap '' TERM; sleep 4712; sleep 4712\"; "
                      "sleep 4712; sleep 4712"),
        "timeout": "1s", "grace": "500ms"}})
    assert "timed out after 1s" in _fails(delegated, "hang")
    wait_until(lambda: not _processes(box, "sleep 4712"), 5, "all ended",
               every=0.1)


def test_memory_max_counts_who_called_setsid(delegated, box):
    """By the controller or, without one, by looking at the group."""
    delegated.start(handlers={"greedy": {
        "exec": shell(f"setsid -f {HOLD % 120}; sleep 4713"),
        "memory_max": "64M"}})
    assert _fails(delegated, "greedy").startswith("ended by memory_max (64M)")
    wait_until(lambda: not _processes(box, "held = bytearray|sleep 4713"), 5,
               "all ended", every=0.1)


def test_what_a_dead_worker_left_is_killed(delegated, box):
    """Those that left their group too, and its folder is removed."""
    delegated.start(handlers={"nap": {"exec": shell(
        "setsid -f sleep 4714; sleep 4714"), "grace": "500ms"}})
    task = delegated.enqueue("nap")
    wait_until(lambda: len(_processes(box, "^sleep 4714")) == 2, 10,
               "it runs", every=0.1)
    before = set(_processes(box, "^sleep 4714"))
    folders = set(box.run(f"ls {TREE}/tasks | grep worker").split())
    for pid in delegated.worker_pids():
        box.run("kill", "-KILL", str(pid))
    wait_until(lambda: not before & set(_processes(box, "^sleep 4714")), 5,
               "they are gone", every=0.1)
    wait_until(lambda: not folders & set(
        box.run(f"ls {TREE}/tasks | grep worker || true").split()), 5,
        "and their folders", every=0.1)
    wait_until(lambda: len(_processes(box, "^sleep 4714")) == 2, 10,
               "it runs again", every=0.1)
    box.sql(f"SELECT muster.cancel({task})")
    delegated.wait_task(task, "cancelled")


def test_a_killed_supervisor_leaves_nothing(delegated, box):
    delegated.start(handlers={"nap": {"exec": shell(
        "setsid -f sleep 4715; sleep 4715"), "grace": "500ms"}})
    task = delegated.enqueue("nap")
    wait_until(lambda: len(_processes(box, "^sleep 4715")) == 2, 10,
               "it runs", every=0.1)
    before = set(_processes(box, "^sleep 4715"))
    main = delegated.main_pid()
    box.run("kill", "-KILL", str(main))
    wait_until(lambda: delegated.main_pid() not in (0, main), 20,
               "it is back", every=0.1)
    delegated.wait_state("active running")
    assert not before & set(_processes(box, "^sleep 4715"))
    wait_until(lambda: len(_folders(box)) == 1, 10, "it runs again", every=0.1)
    box.sql(f"SELECT muster.cancel({task})")
    delegated.wait_task(task, "cancelled")


def test_many_tasks_leave_no_group(delegated, box):
    delegated.start(handlers={"true": {"exec": ["/bin/true"]}})
    tasks = box.sql("SELECT muster.enqueue('true') "
                    "FROM generate_series(1, 300)")
    delegated.wait_task(int(tasks[-1][0]), limit=40)
    wait_until(lambda: box.value(
        "SELECT count(*) FROM muster.task_status "
        "WHERE kind = 'true' AND state <> 'succeeded'") == "0", 20, every=0.1)
    wait_until(lambda: not _folders(box), 5, "none is left", every=0.1)


# What takes a controller

@pytest.mark.controllers
def test_memory_max_is_kept_by_the_kernel(delegated, box):
    """An OOM kill is told from others."""
    delegated.start(handlers={
        "greedy": {"exec": shell(HOLD % 120), "memory_max": "64M"},
        "killed": {"exec": shell("kill -9 $$"), "memory_max": "64M"}})
    _need(box, "memory")
    assert _fails(delegated, "greedy").startswith(
        "ended by memory_max (64M): its processes needed more")
    assert _fails(delegated, "killed") == "killed by signal 9 (SIGKILL)"


@pytest.mark.controllers
def test_pids_max_bounds_a_fork_bomb(delegated, box):
    delegated.start(handlers={"bomb": {"exec": shell(
        "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; wait; exit 1"),
        "pids_max": 5}})
    _need(box, "pids")
    assert "pids_max, 5, was reached" in _fails(delegated, "bomb")


@pytest.mark.controllers
def test_cpu_max_slows_down(delegated, box):
    delegated.start(handlers={"busy": {"exec": [
        "/usr/bin/python3", "-c",
        "import time\nend = time.monotonic() + 2\nbegan = time.process_time()\n"
        "while time.monotonic() < end: pass\n"
        "print(time.process_time() - began)"],
        "cpu_max": 0.2}})
    _need(box, "cpu")
    used = float(delegated.wait_task(delegated.enqueue("busy"))[0])
    assert 0.2 < used < 0.8


# The unit

def test_the_unit_with_the_drop_in_is_closed(delegated, box):
    """It is as correct as before, its score as good; the tree of cgroups is
    read-only but for its own part."""
    done = box.try_run("systemd-analyze", "verify", "--man=no",
                       "musterd.service")
    assert (done.returncode, done.stderr) == (0, "")
    done = box.try_run("systemd-analyze", "security", "--no-pager",
                       "--threshold=20", "musterd.service")
    assert done.returncode == 0, done.stdout[-300:]
    delegated.start(handlers={"make": {"exec": shell(
        "mkdir /sys/fs/cgroup/system.slice/mine")}})
    assert "Read-only" in _fails(delegated, "make")


def test_a_template_unit_has_its_part_too(delegated, box):
    """musterd@NAME lies in a slice of its own."""
    box.run("mkdir", "-p", "/etc/systemd/system/musterd@.service.d")
    box.write("/etc/systemd/system/musterd@.service.d/delegate.conf",
              "[Service]\n" + _drop_in())
    config = delegated.config_path.replace("musterd.yaml", "part.yaml")
    delegated.write(runtime_dir="/run/musterd-part")
    box.run("cp", delegated.config_path, config)
    try:
        box.run("systemctl daemon-reload; systemctl start musterd@part")
        holds_for(lambda: box.run("systemctl is-active musterd@part"), 0.5)
        said = box.run("journalctl -u musterd@part -o cat --no-pager")
        assert "each has a cgroup below" in said
        assert "system-musterd.slice/musterd@part.service/tasks" in said
    finally:
        box.try_run("systemctl stop musterd@part; rm -r "
                    f"/etc/systemd/system/musterd@.service.d {config}; "
                    "systemctl daemon-reload")
        delegated.write(runtime_dir=None)
