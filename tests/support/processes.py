"""Processes as /proc shows them, and the care that none is left behind.

pytest becomes a subreaper, so whatever a dead daemon leaves is handed to it
and can be found. Servers of the tests register themselves as known.
"""

import ctypes
import os
import signal

from .wait import wait_until

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

known = set()  # pids of children that belong to the tests themselves


def become_subreaper():
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(number=signal.SIGKILL):
    """A preexec_fn: the child gets this signal when pytest dies."""
    return lambda: _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def stat(pid):
    """(name, state, parent, start time in ticks), or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8",
                  errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, rest = text.split("(", 1)[1].rsplit(")", 1)
    rest = rest.split()
    return name, rest[0], int(rest[1]), int(rest[19])


def alive(pid):
    """Exists and is no zombie."""
    facts = stat(pid)
    return facts is not None and facts[1] not in "ZX"


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def every():
    """{pid: stat} of all processes."""
    found = {int(name): stat(name)
             for name in os.listdir("/proc") if name.isdigit()}
    return {pid: facts for pid, facts in found.items() if facts}


def descendants(pid):
    """Pids of all living processes below `pid`, children first."""
    children = {}
    for child, facts in every().items():
        children.setdefault(facts[2], []).append(child)
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return [child for child in found if alive(child)]


def strangers():
    """Living descendants of pytest that no server of the tests accounts for;
    reaps the dead among those that were handed over."""
    facts = every()
    mine = {pid for pid, fact in facts.items() if fact[2] == os.getpid()}
    found = []
    for pid in mine - known:
        if facts[pid][1] == "Z":
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        else:
            found += [pid] + descendants(pid)
    return found


def describe(pids):
    return "; ".join(f"{pid} {command_line(pid) or stat(pid)}" for pid in pids)


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _is_stopped(pid):
    facts = stat(pid)
    return facts is not None and facts[1] == "T"


def stop_tree(pid):
    """SIGSTOP for a process and all below it: a frozen host or server."""
    tree = [pid] + descendants(pid)
    for each in tree:
        _quietly(each, signal.SIGSTOP)
    wait_until(lambda: all(_is_stopped(each) or not alive(each)
                           for each in tree))


def continue_tree(pid):
    """Only what is stopped: the stop by which a sanitizer looks for leaks when
    a process ends would be lost, and it would wait for that for ever."""
    for each in filter(_is_stopped, [pid] + descendants(pid)):
        _quietly(each, signal.SIGCONT)


def _quietly(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
