"""A host with systemd as process 1, PostgreSQL, Redis and musterd installed.

`box` is the host, made once; `service` is musterd.service in it with a
configuration of the test's own, started and, at the end, stopped and checked.
"""

import os
import subprocess

import pytest

from support import build
from support.box import CLUSTER, DATABASE, Box, remove_forgotten, server_version
from support.service import Service


def install(box):
    """`make install` into the box's disk, and what a package would do."""
    done = subprocess.run(
        ["make", "-s", "-C", build.BUILD, "install", "DESTDIR=" + box.root],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def set_up_servers(box):
    """A cluster with Debian's own rules (peer authentication), Redis, the
    schema, and the daemon's login."""
    version = server_version()
    box.run(f"pg_createcluster --port 5432 {version} {CLUSTER}", limit=60)
    box.run(f"systemctl start postgresql@{version}-{CLUSTER} redis-server")
    box.run("createdb", DATABASE, user="postgres")
    box.run("musterctl", "migrate", "--database",
            f"host=/run/postgresql dbname={DATABASE}", user="postgres")
    box.sql("CREATE ROLE musterd LOGIN IN ROLE muster_worker")


@pytest.fixture(scope="session")
def box():
    assert os.geteuid() == 0, "the service tests need root"
    remove_forgotten()
    made = Box("musterd")
    try:
        made.make()
        subprocess.run(["rm", "-rf", made.path("/etc/postgresql"),
                        made.path("/var/lib/postgresql")], check=True)
        os.makedirs(made.path("/etc/postgresql"))
        os.makedirs(made.path("/var/lib/postgresql"))
        subprocess.run(["chown", "postgres:", made.path("/var/lib/postgresql"),
                        made.path("/etc/postgresql")], check=True)
        install(made)
        made.up()
        made.run("systemd-sysusers")
        set_up_servers(made)
        yield made
    finally:
        made.remove()


@pytest.fixture
def service(box):
    """musterd.service, configured and not started."""
    made = Service(box)
    made.reset()
    if build.is_sanitized():  # LeakSanitizer needs ptrace
        made.drop_in("Environment=ASAN_OPTIONS=detect_leaks=0\n")
    yield made
    made.end()
