"""Fixtures of the integration tests beside those of all."""

import os

import pytest

from support import processes
from support.pool import Pool
from support.supervisor import Supervisor
from support.wait import wait_until
from support.web import Authority, Web


class Supervisors:
    def __init__(self, folder):
        self.folder = folder
        self.made = []

    def __call__(self, wait=True, worker="", scheduler="", environment=None,
                 **config):
        """Starts one; `worker` and `scheduler`: how they behave."""
        made = self.make(**config)
        made.behave("worker", worker)
        made.behave("scheduler", scheduler)
        return made.start(wait, environment)

    def make(self, **config):
        config = {"database": "host=/nowhere", "workers": 2,
                  "log_level": "info", "log_format": "json",
                  "shutdown_timeout": "3s", "watchdog": "5s",
                  "handlers": {"noop": {"noop": True}}, **config}
        number = len(self.made)
        made = Supervisor(os.path.join(self.folder, f"s{number}"), config)
        self.made.append(made)
        return made


def _left():
    try:
        wait_until(lambda: not processes.strangers(), 5)
    except AssertionError:
        pass
    return processes.strangers()


@pytest.fixture
def supervisor(request, folder):
    """supervisor(workers=2) starts a musterd with tame children."""
    made = Supervisors(folder)
    yield made
    wrong = []
    for one in made.made:
        forced = one.end()
        if forced:
            wrong.append(f"did not stop, killed {forced}")
        if one.log:
            wrong += [f"log: {line}" for line in one.log.trouble()]
    left = _left()
    if left:
        wrong.append("left behind: " + processes.describe(left))
        processes.kill_all(left)
    report = getattr(request.node, "report_call", None)
    if report is not None and report.failed:
        for one in made.made:
            if one.log:
                print(f"log of {one.folder}:\n{one.log.tail(80)}")
    assert not wrong, "\n".join(wrong[:20])


@pytest.fixture
def pool(folder):
    """The program of a pool, and what its processes noted."""
    return Pool(folder)


@pytest.fixture
def web():
    """web(respond) starts a server; see support.web."""
    made = []

    def start(respond=lambda request: (200, {}, b""), **more):
        made.append(Web(respond, **more))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def authority(session_folder):
    """A private CA, and what it has signed."""
    folder = os.path.join(session_folder, "authority")
    os.mkdir(folder)
    return Authority(folder)
