"""The control socket and its clients, the locks, the starts beside others."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest

from support import build, processes
from support.wait import holds_for, wait_until


def connect(daemon):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{daemon.runtime_dir}/control.sock")
    connection.settimeout(20)
    return connection


def ask(daemon, data):
    with connect(daemon) as connection:
        connection.sendall(data)
        return json.loads(connection.makefile().readline())


@pytest.mark.parametrize("request_line", [
    b"\n", b"nonsense\n", b"[]\n", b"{}\n", b'{"verb":7}\n',
    b'{"verb":"fly"}\n', b'{"verb":"status","verb":"drain"}\n',
    b'{"verb":"status"\n', b"\0\xff\xfe\n", b"[" * 3000 + b"\n"])
def test_F1_wrong_requests_get_a_clear_answer(supervisor, request_line):
    daemon = supervisor(workers=1)
    answer = ask(daemon, request_line)
    assert answer["ok"] is False and answer["error"]
    assert daemon.status()["state"] == "running"


def test_F1_several_requests_on_one_connection(supervisor):
    daemon = supervisor(workers=1)
    with connect(daemon) as connection:
        connection.sendall(b'{"verb":"status"}\n' * 50)
        file = connection.makefile()
        for _ in range(50):
            assert json.loads(file.readline())["ok"]


def test_F1_client_that_stops_sending_gets_its_answer(supervisor):
    daemon = supervisor(workers=1)
    with connect(daemon) as connection:
        connection.sendall(b'{"verb":"reload"}\n{"verb":"status"}\n')
        connection.shutdown(socket.SHUT_WR)
        lines = connection.makefile().read().splitlines()
    assert len(lines) == 2 and all(json.loads(line)["ok"] for line in lines)


def test_F1_endless_request_is_cut_off(supervisor):
    daemon = supervisor(workers=1)
    with connect(daemon) as connection:
        try:
            for _ in range(1000):
                connection.sendall(b"x" * 1024)
        except (BrokenPipeError, ConnectionResetError):
            pass
        else:
            raise AssertionError("a request of 1 MB was taken")
    assert daemon.status()["ok"]


def test_F1_crowd_does_not_shut_others_out(supervisor):
    daemon = supervisor(workers=1)
    before = len(daemon.descriptors())
    crowd = [connect(daemon) for _ in range(100)]
    wait_until(daemon.try_status)  # once the crowd has been let in
    assert len(daemon.descriptors()) <= before + 40
    for connection in crowd:
        connection.close()
    wait_until(lambda: len(daemon.descriptors()) <= before)


def test_F1_client_that_does_not_read_is_bounded(supervisor):
    daemon = supervisor(workers=2)
    with connect(daemon) as connection:
        connection.settimeout(1)
        try:
            for _ in range(3000):
                connection.sendall(b'{"verb":"status"}\n' * 10)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        with open(f"/proc/{daemon.pid}/statm", encoding="utf-8") as file:
            resident = int(file.read().split()[1]) * 4
        assert resident < 60000 * (10 if build.is_sanitized() else 1)
        assert daemon.status()["ok"]
        # and is dropped in the end
        connection.settimeout(20)

        def is_dropped():
            return not [what for what in daemon.descriptors().values()
                        if what == f"socket:[{inode}]"]
        inode = os.fstat(connection.fileno()).st_ino
        wait_until(is_dropped, 15)


def test_F1_idle_client_is_dropped(supervisor):
    daemon = supervisor(workers=1)
    with connect(daemon) as connection:
        begin = time.monotonic()
        assert connection.recv(1) == b""
        assert 8 < time.monotonic() - begin < 15


def test_I1_strangers_may_look_but_not_touch(supervisor):
    daemon = supervisor(workers=1)
    script = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(sys.argv[2].encode()+b'\\n'); print(s.makefile().readline())")

    def as_nobody(verb, *groups):
        """Another account, by its number, with these groups."""
        def become():
            os.setgroups(list(groups))
            os.setgid(65534)
            os.setuid(65534)
        done = subprocess.run(
            ["/usr/bin/python3", "-c", script,
             f"{daemon.runtime_dir}/control.sock", json.dumps({"verb": verb})],
            preexec_fn=become, capture_output=True, text=True, check=True,
            cwd="/")
        return json.loads(done.stdout)

    os.chmod(daemon.folder, 0o755)
    assert as_nobody("status")["ok"]
    for verb in ("reload", "drain", "log-level", "dump"):
        answer = as_nobody(verb)
        assert not answer["ok"]
        assert answer["error"].startswith(f"permission denied: {verb} is for")
    daemon.reload(admin_group="games")
    gid = next(int(line.split(":")[2]) for line in open("/etc/group")
               if line.startswith("games:"))
    assert as_nobody("dump", gid)["ok"]
    assert not as_nobody("dump", gid + 1)["ok"]


def test_I1_two_daemons_on_one_folder(supervisor):
    daemon = supervisor(workers=1)
    done = subprocess.run(
        [build.path(daemon.program), "-c", daemon.config_path],
        env=build.environment(), capture_output=True, text=True, timeout=20,
        check=False)
    assert done.returncode == 1
    assert f"another musterd (pid {daemon.pid}) runs on" in done.stderr
    assert daemon.status()["pid"] == daemon.pid


def test_I1_stale_socket_is_replaced(supervisor):
    daemon = supervisor(workers=1)
    daemon.kill()
    assert os.path.exists(f"{daemon.runtime_dir}/control.sock")
    daemon.start()
    assert daemon.status()["ok"]


def test_E2_killed_supervisor_leaves_nobody(supervisor):
    daemon = supervisor(worker="handlers")
    children = daemon.children()
    assert len(children) >= 3
    daemon.kill()
    wait_until(lambda: not [pid for pid in children
                            if processes.alive(pid)
                            and "musterd" in processes.command_line(pid)], 5)
    daemon.start()
    starts = daemon.log.find("start: slot -1")
    assert "first 1" in starts[0].message
    processes.kill_all(processes.strangers())


def test_E2_next_start_waits_for_orphans_and_rescues_first(supervisor):
    daemon = supervisor(worker="stubborn", workers=1)
    orphan = daemon.worker(0)
    daemon.kill()
    daemon.behave("worker", "")
    daemon.start(wait=False)
    daemon.log.wait_for("workers of an earlier musterd still run")
    holds_for(lambda: not daemon.log.find("start: slot"), 0.5)
    os.kill(orphan, signal.SIGKILL)
    daemon.wait_running()
    lines = [line.message for line in daemon.log.lines]
    assert next(line for line in lines if line.startswith("start: slot")) \
        == "start: slot -1, configuration 1, first 1, others 0"


def test_E2_next_start_does_not_wait_for_ever(supervisor):
    daemon = supervisor(worker="stubborn", workers=1, shutdown_timeout="1s")
    orphan = daemon.worker(0)
    daemon.kill()
    daemon.behave("worker", "")
    daemon.start(wait=False)
    daemon.log.allow("an earlier musterd")
    daemon.wait_running(15)
    assert not processes.alive(orphan)


def test_E2_next_start_kills_who_hangs_and_all_below_it(supervisor, patience):
    """Handlers, their children, and one that left its process group. Who is
    healthy has shutdown_timeout to end."""
    daemon = supervisor(worker="handlers stubborn", workers=2, watchdog="2s",
                        shutdown_timeout="4s")
    hung, healthy = daemon.worker(0), daemon.worker(1)
    wait_until(lambda: len(processes.descendants(hung)) == 6)
    below = processes.descendants(hung)
    os.kill(hung, signal.SIGSTOP)
    daemon.kill()
    daemon.behave("worker", "")
    daemon.log.allow("an earlier musterd")
    daemon.start(wait=False)
    wait_until(lambda: not any(map(processes.alive, [hung] + below)),
               4 * patience, "the hung one is gone, and all below it")
    assert processes.alive(healthy), "it drains"
    daemon.wait_running(15 * patience)
    assert not processes.alive(healthy)


def test_I1_folder_is_made(supervisor):
    daemon = supervisor.make(workers=1)
    os.rmdir(daemon.runtime_dir)
    daemon.start()
    assert daemon.status()["ok"]


def test_I1_folder_that_cannot_be_made(supervisor):
    daemon = supervisor.make(workers=1)
    daemon.write(runtime_dir=daemon.config_path + "/run")
    daemon.start(wait=False)
    assert daemon.wait_exit(10) == 1
    daemon.log.allow("cannot make the runtime_dir")
    daemon.log.finish()
    assert daemon.log.find("cannot make the runtime_dir")


def test_I1_wrong_configuration_at_the_start(supervisor):
    daemon = supervisor.make(workers=1)
    daemon.write_raw("workrs: 3\n")
    daemon.start(wait=False)
    assert daemon.wait_exit(10) == 78
    daemon.log.finish()
    assert daemon.log.find(f"{daemon.config_path}:1:1")
    daemon.log.allow("")


@pytest.mark.parametrize("arguments,code,words", [
    (["--version"], 0, "musterd 0.1.0"),
    (["--help"], 0, "usage: musterd"),
    (["--fly"], 2, "try 'musterd --help'"),
    (["extra"], 2, "unexpected 'extra'"),
    (["--role=worker", "--slot=0"], 2, "supervisor's own use"),
    (["--role=pilot"], 2, "no role 'pilot'"),
    (["-t", "-c", "/nowhere.yaml"], 78, "/nowhere.yaml"),
])
def test_I1_command_line(arguments, code, words):
    done = subprocess.run(
        [build.path("musterd_fake"), *arguments],
        env=build.environment(), capture_output=True, text=True, timeout=20,
        check=False)
    assert done.returncode == code
    assert words in done.stdout + done.stderr


def test_I1_check_and_show(supervisor):
    daemon = supervisor.make(
        workers=1, database="host=/nowhere password=secret")
    program = build.path(daemon.program)

    def run(*arguments, environment=None):
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=20,
            env={**build.environment(), **(environment or {})}, check=False)
    assert run("-t", "-c", daemon.config_path).returncode == 0
    shown = run("-T", environment={"MUSTERD_CONFIG": daemon.config_path})
    assert shown.returncode == 0
    assert "/nowhere" in shown.stdout and "secret" not in shown.stdout
