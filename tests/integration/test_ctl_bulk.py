"""musterctl cancel, retry and reprioritise of many tasks, and why."""

import json
import os
import pty
import select
import subprocess
import time

import pytest
from support import build
from support.daemon import ctl
from support.wait import wait_until


class Terminal:
    """musterctl at a terminal of its own."""

    def __init__(self, db, *arguments):
        self.text = ""
        self.end, inner = pty.openpty()
        self.process = subprocess.Popen(
            [build.path("musterctl"), *map(str, arguments), "--database",
             db.conninfo()], stdin=inner, stdout=inner, stderr=inner,
            env={**build.environment(), "LC_ALL": "C.UTF-8",
                 "TERM": "xterm"}, start_new_session=True)
        os.close(inner)

    def read(self, words, limit=20):
        """Until these words were shown."""
        until = time.monotonic() + limit
        while words not in self.text:
            ready, _, _ = select.select([self.end], [], [], 0.1)
            try:
                self.text += os.read(self.end, 65536).decode(
                    errors="replace") if ready else ""
            except OSError:  # its end
                break
            if time.monotonic() > until:
                break
        assert words in self.text, repr(self.text)

    def write(self, text):
        os.write(self.end, text.encode())

    def wait(self, limit=20):
        code = self.process.wait(limit)
        os.close(self.end)
        return code


def look(db, *arguments, **more):
    return ctl(*arguments, "--database", db.conninfo(), **more)


def test_G2_retry_by_filter(db, daemon, musterctl, folder):
    mark = os.path.join(folder, "mark")
    handler = {"exec": ["/bin/sh", "-c", f"test -e {mark}"],
               "max_attempts": 1}
    daemon(handlers={"a": handler, "b": handler}).log.allow("failed")
    first = db.enqueue_many("a", 3)
    other = db.enqueue("b")
    db.wait_done()
    open(mark, "w", encoding="utf-8").close()
    assert musterctl("retry", "--state", "failed", "--kind", "a", "--since",
                     "1h", "--dry-run") == "3 tasks to retry\n"
    assert musterctl("retry", "--kind", "a", "--before", "1h", "--dry-run",
                     "--json") == '{"tasks":0}\n'
    assert musterctl("retry", "--state", "failed", "--kind", "a", "--since",
                     "1h") == "3 tasks run again\n"
    wait_until(lambda: db.states(first) == {"succeeded": 3}, 15, "they ran")
    assert db.state(other) == "failed"
    answer = json.loads(musterctl("retry", "--error", "exit%", "--json"))
    assert answer[0]["tasks"] == "1" and answer[0]["verdict"] == "done"
    assert answer[0]["answer"] == "1 task runs again"
    assert musterctl("retry", "--kind", "a") == "no such task\n"


def test_F2_cancel_by_filter(db, daemon, musterctl):
    daemon(handlers={"nap": {"exec": ["/bin/sleep", "60"], "grace": "1s"}})
    running = db.enqueue("nap")
    db.wait_state(running, "running")
    later = db.enqueue_many("nap", 4, run_at="2100-01-01")
    flow = db.flow({"x": {"kind": "nap", "run_at": "2100-01-01T00:00:00Z"},
                    "y": {"kind": "nap", "needs": ["x"]}})
    assert musterctl("cancel", "--flow", flow, "--dry-run") == \
        "2 tasks to cancel\n"
    assert musterctl("cancel", "--flow", flow, "--name", "y") == \
        "1 task is cancelled\n"
    assert musterctl("cancel", "--kind", "nap", "--state",
                     "scheduled,blocked") == "5 tasks are cancelled\n"
    assert db.states(later) == {"cancelled": 4}
    assert musterctl("cancel", "--queue", "default", "--since", "1h") == (
        "1 task is running; its worker was told\n")
    db.wait_state(running, "cancelled")


def test_B3_reprioritise_by_ids_and_by_filter(db, daemon, musterctl):
    daemon()
    ids = db.enqueue_many("nobody", 4)
    done = db.enqueue("noop")
    db.wait_state(done)
    assert musterctl("reprioritise", ids[3], ids[1], "--priority", "7") == \
        "2 ready tasks moved in the line\n"
    assert [db.task(task).priority for task in ids] == [0, 7, 0, 7]
    refused = musterctl("reprioritise", done, "-p", "7", code=None)
    assert refused.returncode == 1
    assert refused.stdout == "1 task had ended or does not exist\n"
    assert musterctl("reprioritise", "--kind", "nobody", "-p", "-3") == \
        "4 ready tasks moved in the line\n"
    assert "no musterd" not in musterctl("why", ids[0])


@pytest.mark.parametrize("words, said", [
    (["cancel"], "give the id of a task, --flow ID or a filter"),
    (["cancel", "--yes"], "give the id of a task, --flow ID or a filter"),
    (["cancel", "--dry-run"], "filters and --dry-run are for many"),
    (["cancel", "1", "--kind", "a"], "filters and --dry-run are for many"),
    (["retry", "1", "--dry-run"], "filters and --dry-run are for many"),
    (["retry"], "give the id of a task, --flow ID, --failed or a filter"),
    (["retry", "1", "--failed"], "give the id of a task"),
    (["retry", "--since", "soon"], "--since 'soon' is no duration"),
    (["cancel", "--state", "raedy"], "'raedy' is no state"),
    (["cancel", "--kind", "a", "--flow", "x"], "'x' is no id of a flow"),
    (["reprioritise", "1"], "give --priority from -1000 to 1000"),
    (["reprioritise", "1", "-p", "1001"], "give --priority"),
    (["reprioritise", "-p", "5"], "give ids of tasks, --flow ID or a filter"),
    (["reprioritise", "1", "x", "-p", "5"], "'x' is no id"),
])
def test_F2_what_is_not_said_is_refused(db, words, said):
    done = look(db, *words, code=None)
    assert done.returncode == 2 and said in done.stderr
    assert db.one("SELECT count(*) FROM muster.request") == 0


def test_F2_state_that_does_not_suit_the_verb_is_refused(db):
    done = look(db, "cancel", "--state", "failed", code=None)
    assert done.returncode == 1
    assert "none of those to cancel: arriving" in done.stderr


def test_F2_a_person_is_asked_before_it_is_done_to_many(db):
    db.enqueue_many("a", 3)
    count = "SELECT count(*) FROM muster.request"
    one = Terminal(db, "cancel", "--kind", "a", "--no-wait")
    one.read("cancel 3 tasks? [y/N] ")
    one.write("n\n")
    one.read("nothing was done")
    assert one.wait() == 1 and db.one(count) == 0
    one = Terminal(db, "cancel", "--kind", "a", "--no-wait")
    one.read("cancel 3 tasks? [y/N] ")
    one.write("y\n")
    one.read("requested")
    assert one.wait() == 0 and db.one(count) == 1
    one = Terminal(db, "cancel", "--kind", "a", "--no-wait", "--yes")
    one.read("requested")
    assert one.wait() == 0 and db.one(count) == 2
    assert "[y/N]" not in one.text


def test_B3_bar_while_many_are_worked_off(db):
    """It comes after a second, shows what is done, and goes."""
    ids = db.enqueue_many("a", 1000)
    one = Terminal(db, "reprioritise", "--kind", "a", "-p", "5", "--yes")
    one.read("░░ 0 of 1000")
    session = db.session("musterd")
    while db.one("SELECT sum(count) FROM muster.request") < 200:
        session.one("SELECT muster.carry_out(1000)")
    done = db.one("SELECT sum(count) FROM muster.request")
    one.read("█" * (done * 30 // 1000))
    one.read(f"░ {done} of 1000")
    while session.one("SELECT muster.carry_out(1000)"):
        pass
    one.read("1000 ready tasks moved in the line")
    assert one.wait() == 0
    assert one.text.rsplit("\r\x1b[K", 1)[1].startswith("1000 ready tasks")
    assert db.task(ids[0]).priority == 5


@pytest.mark.parametrize("count", [
    20000, pytest.param(100000, marks=pytest.mark.long)])
def test_B3_many_by_one_statement(db, daemon, count):
    """In batches beside a daemon that has other things to do."""
    ids = db.enqueue_many("nobody", count)
    daemon()
    other = db.enqueue("noop")
    request = db.one("SELECT muster.reprioritise(%s, array_fill(5, "
                     "ARRAY[%s]))", ids, count)
    db.wait_state(other)
    wait_until(lambda: db.one(
        "SELECT done FROM muster.request_status(%s)", request), 60, "done")
    assert db.one("SELECT answer FROM muster.request_status(%s)",
                  request) == f"{count} ready tasks moved in the line"


def test_H3_why_ends_with_the_root_cause(db):
    flow = db.flow({"s0": {"kind": "a", "run_at": "2100-01-01T00:00:00Z"},
                    **{f"s{n}": {"kind": "a", "needs": [f"s{n - 1}"]}
                       for n in range(1, 300)}})
    tasks = db.tasks(flow)
    lines = look(db, "why", tasks["s299"].id).splitlines()
    assert len(lines) == 203
    assert lines[0] == "s299 (a): it waits for 1 task"
    assert lines[200].strip() == "… and 99 more"
    assert lines[-1].startswith(
        f"root cause: task {tasks['s0'].id}, s0 (a): it waits until 2100-01")
    assert "root cause" not in look(db, "why", tasks["s0"].id)
    rows = json.loads(look(db, "why", tasks["s299"].id, "--json"))
    assert [row["root"] for row in rows] == [False] * 200 + [True]
    assert rows[-1]["depth"] == 299


def test_H3_why_when_the_schema_is_too_new(db):
    task = db.enqueue("a")
    db.rows("INSERT INTO muster.schema_version SELECT 99, 98, 'x', now()")
    done = look(db, "why", task, code=None)
    assert done.returncode == 78
    assert "root cause: the schema is of version 99" in done.stdout
    assert "refuses it" in done.stdout
    rows = json.loads(look(db, "why", task, "--json", code=78))
    assert rows[0]["root"] and "version 99" in rows[0]["reason"]
