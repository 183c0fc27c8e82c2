"""musterd.service in a box."""

import json
import os
import re

from .box import CLUSTER, DATABASE, server_version, unit_path
from .daemon import write_config
from .wait import wait_until


class Service:
    """The unit and its configuration; `reset` before each test."""

    unit = "musterd"

    def __init__(self, box):
        self.box = box
        text = box.run("cat", unit_path(box, "musterd.service"))
        self.config_path = re.search(
            r"^ExecStart=\S+ -c (\S+)", text, re.M).group(1)
        self.begin = 0
        self.config = {}

    def reset(self):
        """As freshly installed: default configuration, nothing running."""
        self.box.try_run("systemctl", "stop", self.unit)
        self.box.try_run("systemctl", "revert", self.unit)
        self.box.try_run("systemctl", "reset-failed", self.unit)
        self.box.run("systemctl daemon-reload")
        self.box.run("systemctl start redis-server "
                     f"postgresql@{server_version()}-{CLUSTER}")
        self.config = {
            "database": f"host=/run/postgresql dbname={DATABASE} user=musterd",
            "redis": "redis://127.0.0.1:6379/0", "cluster": "box",
            "workers": 2, "shutdown_timeout": "5s",
            "queues": {"default": {"concurrency": 10}},
            "handlers": {"noop": {"noop": True}},
        }
        self.box.run(f"rm -rf {os.path.dirname(self.config_path)}/conf.d/*")
        self.write()
        self.begin = int(self.box.run("date +%s%6N"))

    def write(self, **changes):
        self.config = {key: value for key, value in
                       {**self.config, **changes}.items() if value is not None}
        path = self.box.path(self.config_path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_config(path, self.config)

    def start(self, **changes):
        self.write(**changes)
        self.box.run("systemctl", "start", self.unit, limit=60)

    def show(self, name):
        return self.box.run("systemctl", "show", self.unit, "-P", name)

    def state(self):
        return self.show("ActiveState") + " " + self.show("SubState")

    def wait_state(self, state, limit=30):
        wait_until(lambda: self.state() == state, limit,
                   f"{self.unit} is {state}", every=0.1)

    def main_pid(self):
        return int(self.show("MainPID"))

    def pids(self):
        """Of the unit's cgroup, as the box numbers them."""
        return self.box.run(
            f"cat /sys/fs/cgroup$(systemctl show {self.unit} -P ControlGroup)"
            "/cgroup.procs 2>/dev/null || true").split()

    def ctl(self, *words, **more):
        return self.box.run("musterctl", "-c", self.config_path,
                            *map(str, words), **more)

    def daemon_status(self):
        """What the control socket says, as a mapping."""
        return json.loads(self.ctl("status", "--json"))["daemon"]

    def worker_pids(self):
        return [worker["pid"] for worker in self.daemon_status()["workers"]
                if worker["state"] == "running"]

    def enqueue(self, kind, payload=None, **named):
        more = "".join(f", {name} => {value}" for name, value in named.items())
        return int(self.box.value(
            f"SELECT muster.enqueue('{kind}', "
            f"'{json.dumps(payload or {})}'{more})"))

    def task_state(self, task):
        return self.box.value(
            f"SELECT state FROM muster.task_status WHERE id = {task}")

    def wait_task(self, task, state="succeeded", limit=20):
        wait_until(lambda: self.task_state(task) == state, limit,
                   f"task {task} is {state}", every=0.1)
        return self.box.sql(
            "SELECT result, error, attempt FROM muster.task_status "
            f"WHERE id = {task}")[0]

    def journal(self, *matches):
        """Since the test began. (--after-cursor and a match lose one.)"""
        return [entry for entry in self.box.journal(
                    "SYSLOG_IDENTIFIER=musterd", *matches)
                if int(entry["__REALTIME_TIMESTAMP"]) >= self.begin]

    def messages(self, *matches):
        return [entry["MESSAGE"] for entry in self.journal(*matches)]

    def drop_in(self, text):
        """Lines for [Service] beside the unit's own."""
        self.box.run("mkdir", "-p", f"/etc/systemd/system/{self.unit}.service.d")
        self.box.write(
            f"/etc/systemd/system/{self.unit}.service.d/test.conf",
            "[Service]\n" + text)
        self.box.run("systemctl daemon-reload")

    def end(self):
        self.box.try_run("systemctl", "stop", self.unit)
        left = self.pids()
        self.box.run("systemctl start "
                     f"postgresql@{server_version()}-{CLUSTER}")
        wrong = self.box.sql("SELECT * FROM muster.check_invariants()")
        assert not left, f"left in the unit's cgroup: {left}"
        assert not wrong, f"invariants are violated: {wrong[:5]}"


def shell(line):
    """An exec handler that is a shell line."""
    return ["/bin/sh", "-c", line]
