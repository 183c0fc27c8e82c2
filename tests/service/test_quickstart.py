"""./quickstart in a box of its own, as people run it, and what installs the
packages of all tests."""

import os
import subprocess

import pytest

from support import build
from support.box import Box

SERVERS = "'postgresql*' 'redis*'"
TESTS = SERVERS + " 'nginx*' pgbouncer systemd-container"
RUNNING = "pgrep -la 'postgres|redis-server|musterd|nginx|pgbouncer'"


@pytest.fixture
def fresh():
    """A box with a clone of this tree below /root and one of ann's, who may
    use sudo. It shares the machine's network, for apt."""
    made = Box("fresh")
    try:
        made.make()
        for folder in ("/root/clone", "/home/ann/clone"):
            subprocess.run([os.path.join(build.TOP, ".ci", "tree"),
                            made.path(folder)], check=True)
        made.up(private=False)
        made.run("useradd -s /bin/bash ann; chown -R ann: /home/ann; "
                 "chmod 700 /home/ann")
        yield made
    finally:
        made.remove()


def enabled_and_listening(box):
    """Of the box's own processes: its network is the machine's."""
    return box.run("systemctl list-unit-files --state=enabled --no-legend | "
                   "sort; ss -Hltnup | sed -n 's/  *users:.*//p' | sort")


def check_end(box, text):
    """The flow succeeded, nothing runs, and the commands shown work."""
    assert "flow 1 succeeded" in text, text[-3000:]
    assert "flaky check" in text and "attempt 2" in text
    assert box.try_run(RUNNING).stdout == ""
    folder = box.run("ls -d /tmp/musterd-quickstart.*")
    assert f"{folder}/look status" in text
    assert "running" in box.run(f"{folder}/look", "status")
    number = text.split("look why ")[1].split()[0]
    assert "succeeded" in box.run(f"{folder}/look", "why", number)
    assert "first attempt fails on purpose" in box.run(
        "cat", f"{folder}/log/musterd.log")
    assert box.try_run(RUNNING).stdout == ""
    return folder


def test_quickstart_from_a_clone_below_root(fresh):
    """As after sudo -i: who called it cannot read there."""
    before = enabled_and_listening(fresh)
    text = fresh.run("cd /root/clone && SUDO_UID=$(id -u ann) ./quickstart",
                     limit=900)
    check_end(fresh, text)
    assert enabled_and_listening(fresh) == before


@pytest.mark.long
def test_quickstart_installs_and_starts_nothing_else(fresh):
    """On a real Debian apt starts and enables what it installs."""
    fresh.run(f"apt-get purge -y {SERVERS} libyaml-dev; "
              "rm -rf /etc/postgresql* /var/lib/postgresql", limit=300)
    assert fresh.try_run("command -v redis-server").returncode != 0
    before = enabled_and_listening(fresh)
    text = fresh.run("cd /root/clone && ./quickstart", limit=1200)
    check_end(fresh, text)
    assert enabled_and_listening(fresh) == before
    assert fresh.run("pg_lsclusters -h") == ""


@pytest.mark.long
@pytest.mark.parametrize("command", ["sudo ./quickstart", "./quickstart"])
def test_quickstart_from_an_ordinary_account(fresh, command):
    """Builds as that account and leaves nothing of root's."""
    fresh.run("apt-get install -y sudo", limit=300)
    fresh.write("/etc/sudoers.d/ann", "ann ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    fresh.run("apt-get purge -y libyaml-dev redis-server", limit=300)
    fresh.run("touch /stamp")
    text = fresh.run("bash", "-lc", f"cd ~ann/clone && {command}", user="ann",
                     limit=1200)
    folder = check_end(fresh, text)
    assert fresh.run("find /home/ann " + folder + " -user root") == ""


@pytest.mark.long
def test_installing_for_tests_starts_and_enables_nothing(fresh):
    """What ./runtests installs, on a machine that has none of it."""
    fresh.run(f"apt-get purge -y {TESTS}; "
              "rm -rf /etc/postgresql* /var/lib/postgresql", limit=300)
    before = enabled_and_listening(fresh)
    fresh.run("cd /root/clone && .ci/install build servers test box",
              limit=600)
    fresh.run("command -v nginx pgbouncer systemd-nspawn redis-server")
    assert enabled_and_listening(fresh) == before
    assert fresh.try_run(RUNNING).stdout == ""
    assert fresh.run("pg_lsclusters -h") == ""
