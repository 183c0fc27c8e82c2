"""Fixtures: private servers for the session, a database and daemons a test.

`db` is a migrated database of the test's own; `daemon(handlers=…)` starts a
musterd on it; at the end of the test every daemon is stopped, its log must
hold no unexpected warning, no process may be left, and the invariants of the
schema must hold. See README.md.
"""

import itertools
import os
import shutil
import signal
import tempfile

import pytest

from support import build, processes
from support.daemon import Daemon, ctl
from support.database import Database
from support.ledger import Ledger
from support.postgres import Postgres
from support.redis import Redis
from support.wait import wait_until

_numbers = itertools.count(1)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true",
                     help="also what takes minutes")


def _interrupt(number, frame):
    raise KeyboardInterrupt(f"signal {number}")


def pytest_configure():
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, _interrupt)  # fixtures clean up


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes long; ask with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Fixtures learn here whether the test failed."""
    report = (yield).get_result()
    setattr(item, "report_" + report.when, report)


def _failed(request):
    report = getattr(request.node, "report_call", None)
    return report is not None and report.failed


@pytest.fixture(scope="session")
def is_long(request):
    """Whether the long run was asked for: more rounds, larger figures."""
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def session_folder():
    """Short, because of socket names, and open, because of postgres. In
    memory where there is room: a test makes a thousand files, and ext4 spends
    more time on that than the test on its own work."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
    folder = tempfile.mkdtemp(prefix="mt-", dir=place)
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder(session_folder):
    """A short folder of the test's own that every account may enter."""
    path = os.path.join(session_folder, f"t{next(_numbers)}")
    os.makedirs(path, mode=0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


# Servers.

def prepare(postgres):
    """The template of all databases, and the logins of the tests."""
    postgres.run("CREATE DATABASE muster_template")
    ctl("migrate", "--database", postgres.conninfo("muster_template"))
    postgres.run(
        "CREATE ROLE musterd LOGIN IN ROLE muster_worker;"
        "CREATE ROLE app LOGIN IN ROLE muster_client;"
        "CREATE ROLE reader LOGIN IN ROLE muster_reader")


@pytest.fixture(scope="session")
def prepared(session_folder):
    """A stopped cluster with all that is needed, to be copied."""
    server = Postgres(os.path.join(session_folder, "pg")).create().start()
    try:
        prepare(server)
    finally:
        server.stop()
    return server


@pytest.fixture(scope="session")
def postgres(session_folder, prepared):
    """The server of all tests that do it no harm."""
    server = Postgres(os.path.join(session_folder, "pg0"))
    server.copy(prepared).start()
    yield server
    server.stop("immediate")


@pytest.fixture(scope="session")
def redis(session_folder):
    """The Redis of all tests that do it no harm."""
    server = Redis(os.path.join(session_folder, "redis")).create().start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres(session_folder, prepared):
    """A server that the test may restart or freeze; `db` is then on it."""
    server = Postgres(os.path.join(session_folder, f"pg{next(_numbers)}"))
    server.copy(prepared).start()
    yield server
    if server.process is not None:
        server.thaw()
    server.stop("immediate")
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def own_redis(session_folder):
    """A Redis that the test may restart or freeze."""
    server = Redis(os.path.join(session_folder, f"redis{next(_numbers)}"))
    server.create().start()
    yield server
    if server.process is not None:
        server.thaw()
        server.stop()


# Of the test's own.

@pytest.fixture
def db(request):
    """A migrated database. On `own_postgres` if the test names it."""
    owner = "own_postgres" if "own_postgres" in request.fixturenames \
        else "postgres"
    server = request.getfixturevalue(owner)
    name = f"test_{next(_numbers)}"
    server.run(f"CREATE DATABASE {name} TEMPLATE muster_template "
               "STRATEGY FILE_COPY")
    database = Database(server, name)
    log_start = server.log_size()
    yield database
    try:
        wrong = database.invariants()
        log = server.log_since(log_start)
    finally:
        database.close()
        server.run(f"DROP DATABASE {name} WITH (FORCE)")
    assert not wrong, f"invariants are violated: {wrong[:10]}"
    assert "deadlock detected" not in log or \
        "deadlock" in request.node.name, log


@pytest.fixture
def empty_db(postgres):
    """A database without the schema."""
    name = f"test_{next(_numbers)}"
    postgres.run(f"CREATE DATABASE {name}")
    database = Database(postgres, name)
    yield database
    database.close()
    postgres.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger(folder):
    return Ledger(os.path.join(folder, "ledger"))


class Daemons:
    """Makes daemons on the test's database; calling it starts one."""

    def __init__(self, db, redis, folder):
        self.db = db
        self.redis = redis
        self.folder = folder
        self.made = []

    def __call__(self, wait=True, **config):
        return self.make(**config).start(wait)

    def make(self, **config):
        """Not started. Keywords are keys of musterd.yaml; None removes."""
        number = len(self.made)
        defaults = {
            "database": self.db.conninfo(), "redis": self.redis.url,
            "cluster": self.db.name, "workers": 2, "log_level": "info",
            "log_format": "json", "shutdown_timeout": "10s",
            "queues": {"default": {"concurrency": 20}},
            "handlers": {"noop": {"noop": True}},
        }
        config = {key: value for key, value in {**defaults, **config}.items()
                  if value is not None}
        made = Daemon(os.path.join(self.folder, f"d{number}"), config)
        self.made.append(made)
        return made

    def end(self):
        """Stops all; a sentence for each thing that was wrong."""
        wrong = []
        for made in self.made:
            forced = made.end()
            if forced:
                wrong.append(f"did not stop, killed {forced}")
        for made in self.made:
            if made.log:
                wrong += [f"log: {line}" for line in made.log.trouble()]
        left = _left_behind()
        if left:
            wrong.append("left behind: " + processes.describe(left))
            processes.kill_all(left)
        return wrong


def _left_behind():
    """Processes that outlive their daemon; those just dying may finish."""
    try:
        wait_until(lambda: not processes.strangers(), 3)
    except AssertionError:
        pass
    return processes.strangers()


@pytest.fixture
def daemon(request, db, folder):
    """daemon(handlers={…}) starts a musterd and gives its Daemon."""
    owner = "own_redis" if "own_redis" in request.fixturenames else "redis"
    daemons = Daemons(db, request.getfixturevalue(owner), folder)
    yield daemons
    wrong = daemons.end()
    if _failed(request):
        for made in daemons.made:
            if made.log:
                print(f"log of {made.folder}:\n{made.log.tail()}")
    assert not wrong, "\n".join(wrong[:20])


@pytest.fixture
def musterctl(daemon):
    """musterctl(...) with the configuration of the first daemon."""
    return lambda *words, **more: ctl(
        *words, config=daemon.made[0].config_path, **more)


@pytest.fixture(scope="session")
def patience():
    """A factor for time limits: sanitizers make everything slower."""
    return 4 if build.is_sanitized() else 1
