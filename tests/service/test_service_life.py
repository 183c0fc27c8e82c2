"""Start, reload, watchdog, stop and death under systemd."""

from support.box import CLUSTER, DATABASE, server_version
from support.service import shell
from support.wait import wait_until


def test_I1_active_when_ready(service):
    service.start()
    assert service.state() == "active running"
    assert service.show("StatusText")
    status = service.ctl("status")
    assert "running" in status


def test_I1_started_at_boot_when_enabled(service, box):
    service.write()
    box.run("systemctl", "enable", "-q", "musterd",
            f"postgresql@{server_version()}-{CLUSTER}", "redis-server")
    try:
        box.stop()
        box.up()
        service.wait_state("active running")
        service.wait_task(service.enqueue("noop"))
    finally:
        box.run("systemctl", "disable", "-q", "musterd",
                f"postgresql@{server_version()}-{CLUSTER}", "redis-server")


def test_I1_reload_applies(service, box):
    service.start()
    task = service.enqueue("later")
    service.write(handlers={"noop": {"noop": True}, "later": {"noop": True}})
    box.run("systemctl", "reload", "musterd")
    assert service.state() == "active running"
    service.wait_task(task)


def test_I1_refused_reload_says_where(service, box):
    service.start()
    pid = service.main_pid()
    box.write(service.config_path, "database: host=/run/postgresql\nwoorkers: 2\n")
    done = box.try_run("systemctl", "reload", "musterd")
    assert done.returncode != 0
    assert service.state() == "active running"
    assert service.main_pid() == pid
    assert ":2:1:" in service.show("StatusText")
    # The daemon is asked whatever its file says; the database cannot be.
    assert ":2:1:" in service.ctl("status", code=78)
    assert any(":2:1:" in message for message in service.messages())
    service.wait_task(service.enqueue("noop"))


def test_I1_reload_by_kill_hup(service, box):
    service.start()
    service.write(handlers={"later": {"noop": True}})
    box.run("systemctl", "kill", "--kill-whom=main", "-s", "HUP", "musterd")
    service.wait_task(service.enqueue("later"))
    assert service.state() == "active running"


def test_E2_stopped_worker_is_replaced_and_no_watchdog_fires(service, box):
    service.start(watchdog="2s")
    pid = service.worker_pids()[0]
    box.run("kill", "-STOP", str(pid))
    wait_until(lambda: pid not in service.worker_pids()
               and len(service.worker_pids()) == 2,
               15, "the stopped worker is replaced")
    assert service.show("NRestarts") == "0"
    service.wait_task(service.enqueue("noop"))


def test_E2_watchdog_restarts_a_stopped_supervisor(service, box):
    service.start()
    service.drop_in("WatchdogSec=3s\n")
    box.run("systemctl restart musterd")
    pid = service.main_pid()
    box.run("kill", "-STOP", str(pid))
    wait_until(lambda: service.main_pid() not in (0, pid)
               and service.state() == "active running", 40,
               "systemd restarted it", every=0.2)
    assert service.show("NRestarts") == "1"
    service.wait_task(service.enqueue("noop"))


def test_C4_stop_drains_and_leaves_nothing(service, box):
    service.start(handlers={"nap": {"exec": shell("sleep 1; echo 7")}})
    task = service.enqueue("nap")
    wait_until(lambda: service.task_state(task) == "running", 10, "it runs")
    box.run("systemctl stop musterd")
    assert service.show("Result") == "success"
    assert service.state() == "inactive dead"
    assert service.task_state(task) == "succeeded"
    assert service.pids() == []


def test_C4_stop_longer_than_the_units_limit(service, box):
    service.drop_in("TimeoutStopSec=2s\n")
    service.start(shutdown_timeout="20s",
                  handlers={"nap": {"exec": shell("sleep 5")}})
    task = service.enqueue("nap")
    wait_until(lambda: service.task_state(task) == "running", 10, "it runs")
    box.run("systemctl stop musterd")
    assert service.show("Result") == "success"
    assert service.task_state(task) == "succeeded"


def test_G1_killed_supervisor_rescues_before_ready(service, box):
    service.start(handlers={"nap": {"exec": shell("sleep 300")},
                            "noop": {"noop": True}})
    tasks = [service.enqueue("nap") for _ in range(4)]
    wait_until(lambda: all(service.task_state(task) == "running"
                           for task in tasks), 15, "all run")
    before = set(service.pids())
    box.run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "musterd")
    service.wait_state("active running")
    # READY comes after the rescue: no lease of an earlier worker is left.
    assert box.value("SELECT count(*) FROM muster.lease l WHERE l.worker_id "
                     "NOT IN (SELECT id FROM muster.worker WHERE dead_at "
                     "IS NULL)") == "0"
    alive = set(service.pids())
    assert not before & alive, "processes of the killed one live"
    wait_until(lambda: all(service.task_state(task) == "running"
                           for task in tasks), 15, "all run again")
    attempts = box.sql("SELECT DISTINCT attempt FROM muster.task_status "
                       f"WHERE id IN ({','.join(map(str, tasks))})")
    assert attempts == [["1"]], "a death charges no attempt of exec tasks"
    box.sql("SELECT muster.cancel(id) FROM muster.task_status "
            "WHERE kind = 'nap' AND state IN ('ready', 'running')")
    for task in tasks:
        service.wait_task(task, "cancelled")


def test_I1_database_away_at_boot_is_waited_for(service, box):
    box.run(f"systemctl stop postgresql@{server_version()}-{CLUSTER}")
    service.write()
    box.run("systemctl start --no-block musterd")
    wait_until(lambda: "PostgreSQL" in service.show("StatusText")
               or "database" in service.show("StatusText"), 20,
               "the status says that the database is away")
    assert service.state() == "activating start"
    box.run(f"systemctl start postgresql@{server_version()}-{CLUSTER}")
    service.wait_state("active running")
    assert service.show("NRestarts") == "0"
    service.wait_task(service.enqueue("noop"))


def test_I1_wrong_configuration_is_not_restarted(service, box):
    box.write(service.config_path, "nonsense: 1\n")
    done = box.try_run("systemctl", "start", "musterd")
    assert done.returncode != 0
    assert service.show("ExecMainStatus") == "78"
    assert service.state() == "failed failed"
    assert any(":1:1:" in message for message in service.messages())


def test_I1_missing_schema_is_said(service, box):
    box.run("createdb", "bare", user="postgres")
    service.write(database="host=/run/postgresql dbname=bare user=musterd")
    box.try_run("systemctl", "start", "musterd")
    assert service.show("ExecMainStatus") == "78"
    assert any("musterctl migrate" in message
               for message in service.messages())


def test_I3_two_instances(service, box):
    service.start()
    folder = service.config_path.rsplit("/", 1)[0]
    box.write(f"{folder}/two.yaml", f"""
database: host=/run/postgresql dbname={DATABASE} user=musterd
runtime_dir: /run/musterd-two
workers: 1
queues: {{second: {{concurrency: 1}}}}
handlers: {{noop: {{noop: true}}}}
""")
    box.run("systemctl start musterd@two")
    try:
        service.wait_task(service.enqueue("noop", queue="'second'"))
        service.wait_task(service.enqueue("noop"))
    finally:
        box.run("systemctl stop musterd@two")
        box.run(f"rm {folder}/two.yaml")


def test_musterctl_as_root_becomes_the_service_user(service, box):
    service.start()
    task = service.enqueue("noop")
    service.wait_task(task)
    assert str(task) in service.ctl("tasks", "--state", "succeeded")


def test_I1_anybody_may_look_and_nobody_else_may_change(service, box):
    """Status for whoever can connect; changes for root and the service."""
    service.start()
    done = box.try_run("musterctl", "-c", service.config_path, "status",
                       "--json", user="nobody")
    assert '"state":"running"' in done.stdout, done.stderr
    done = box.try_run("musterctl", "-c", service.config_path, "drain",
                       user="nobody")
    assert done.returncode == 1
    assert service.state() == "active running"
    box.run("musterctl", "-c", service.config_path, "reload", user="musterd")


def test_I1_musterctl_finds_the_credentials_of_the_service(service, box):
    """As root, outside the service: the variable is not set there."""
    box.sql("ALTER ROLE musterd PASSWORD 'sesame'")
    box.write("/etc/muster-pgpass", "*:*:*:musterd:sesame\n", mode=0o600)
    service.drop_in("LoadCredential=pgpass:/etc/muster-pgpass\n")
    service.start(database=f"host=127.0.0.1 dbname={DATABASE} user=musterd "
                           "passfile=${CREDENTIALS_DIRECTORY}/pgpass")
    task = service.enqueue("noop")
    service.wait_task(task)
    assert str(task) in service.ctl("tasks", "--state", "succeeded")
    box.run("musterd", "-t", "-c", service.config_path)
    done = box.try_run("musterctl", "-c", service.config_path, "tasks",
                       user="nobody")
    assert done.returncode == 78
    assert ("/run/credentials/musterd.service: Permission denied; it is there "
            "for root while the service runs") in done.stderr
    box.run("systemctl stop musterd")
    done = box.try_run("musterctl", "-c", service.config_path, "tasks")
    assert done.returncode == 78
    assert "/run/credentials/musterd.service: No such file" in done.stderr
