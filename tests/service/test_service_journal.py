"""What the journal holds, and under which fields."""

from support.service import shell
from support.wait import holds_for, wait_until


def test_I2_journal_by_task(service, box):
    service.start(handlers={"bad": {
        "exec": shell("echo from the handler >&2; exit 3"),
        "max_attempts": 2, "backoff": {"first": "100ms"}}})
    task = service.enqueue("bad")
    service.wait_task(task, "failed")
    entries = service.journal(f"MUSTER_TASK={task}")
    said = [entry for entry in entries
            if entry["MESSAGE"] == "from the handler"]
    assert [entry["MUSTER_ATTEMPT"] for entry in said] == ["1", "2"]
    for entry in said:
        assert entry["MUSTER_KIND"] == "bad"
        assert entry["MUSTER_QUEUE"] == "default"
        assert entry["MUSTER_WORKER"] in ("0", "1")
        assert len(entry["MESSAGE_ID"]) == 32
    failures = [entry for entry in entries if entry not in said]
    assert failures, "its failures are logged with its id"
    assert all(int(entry["PRIORITY"]) <= 5 for entry in failures)


def test_I2_what_a_handler_says_as_an_object_has_fields(service, box):
    """At its own level, and none of ours in its hands."""
    service.start(handlers={"sizes": {"exec": shell(
        'printf \'%s\\n\' \'{"log":{"level":4,"message":"no such size",'
        '"size":7,"muster_task":"9","priority":0,"_uid":"0"}}\' >&2')}})
    task = service.enqueue("sizes")
    service.wait_task(task)
    entry, = [one for one in service.journal(f"MUSTER_TASK={task}")
              if one["MESSAGE"] == "no such size"]
    assert entry["PRIORITY"] == "4" and entry["HANDLER_SIZE"] == "7"
    assert entry["HANDLER_MUSTER_TASK"] == "9"
    assert entry["HANDLER_PRIORITY"] == "0" and entry["HANDLER__UID"] == "0"
    assert entry["MUSTER_KIND"] == "sizes" and entry["_UID"] != "0"


def test_I2_nothing_at_info_per_task(service, box):
    service.start()
    for _ in range(20):
        service.wait_task(service.enqueue("noop"))
    assert service.journal("_SYSTEMD_UNIT=musterd.service", "PRIORITY=7") == []
    assert not [entry for entry in service.journal()
                if "MUSTER_TASK" in entry]


def test_I2_foreign_control_characters_are_escaped(service, box):
    service.start(handlers={"bell": {
        "exec": shell(r"printf 'a\033[31mb\tc\n' >&2")}})
    task = service.enqueue("bell")
    service.wait_task(task)
    messages = service.messages(f"MUSTER_TASK={task}")
    assert any(r"a\x1b[31mb" in str(message) for message in messages), messages


def test_F3_cancellation_is_no_error(service, box):
    service.start(handlers={"nap": {"exec": shell("sleep 300")}})
    task = service.enqueue("nap")
    wait_until(lambda: service.task_state(task) == "running", 10, "it runs")
    service.ctl("cancel", task)
    service.wait_task(task, "cancelled")
    assert not [entry for entry in service.journal(f"MUSTER_TASK={task}")
                if int(entry["PRIORITY"]) <= 4]


def test_I2_start_and_stop_have_their_message_ids(service, box):
    service.start()
    box.run("systemctl stop musterd")
    ids = {entry.get("MESSAGE_ID") for entry in service.journal()}
    assert len(ids - {None}) >= 2


def test_E1_stopped_journald_blocks_no_loop(service, box):
    """SIGSTOP for journald while hundreds of lines are logged."""
    service.start(watchdog="1s", handlers={
        "loud": {"exec": shell("yes loud | head -n 500 >&2")},
        "noop": {"noop": True}})
    pids = service.worker_pids()
    journald = box.run("systemctl show systemd-journald -P MainPID")
    box.run("kill", "-STOP", journald)
    try:
        tasks = [service.enqueue("loud") for _ in range(10)]
        for task in tasks:
            service.wait_task(task)
        holds_for(lambda: service.worker_pids() == pids, 4, "workers live",
                  every=0.5)
    finally:
        box.run("kill", "-CONT", journald)
    service.wait_task(service.enqueue("noop"))
    assert service.worker_pids() == pids
    assert service.show("NRestarts") == "0"

