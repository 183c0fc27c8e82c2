"""musterctl enqueue: what goes in, and bad input."""

import json
import resource
import subprocess

import pytest
from support import build
from support.daemon import ctl


@pytest.fixture
def enqueue(db):
    def run(*words, code=0, **more):
        return ctl("enqueue", *words, "--database", db.conninfo(), code=code,
                   **more)
    return run


def test_B5_enqueue_prints_the_id(db, enqueue):
    task = int(enqueue("resize", '{"name": "a.png", "n": 0.10}'))
    row = db.task(task)
    assert (row.kind, row.queue, row.state) == ("resize", "default", "ready")
    assert db.one("SELECT payload::text FROM muster.task_status") == \
        '{"n": 0.10, "name": "a.png"}'
    assert json.loads(enqueue("resize", "--json")) == {
        "task": str(task + 1), "outcome": "new"}


def test_B6_enqueue_says_what_came_of_a_unique_key(db, enqueue):
    def outcome(*words):
        said = json.loads(enqueue("a", "--json", "-u", "k", *words))
        return int(said["task"]), said["outcome"]

    first, what = outcome("--unique-for", "1h")
    assert what == "new"
    assert outcome() == (first, "kept")
    newer, what = outcome("--on-conflict", "replace")
    assert what == "replacing" and newer != first
    enqueue("a", "-u", "k", "--on-conflict", "error", code=1)
    enqueue("a", "-u", "k", "--on-conflict", "wait", code=2)
    enqueue("a", "--unique-for", "1h", code=2)
    assert db.states() == {"ready": 1, "arriving": 1}


def test_A3_enqueue_with_a_concurrency_key(db, enqueue):
    task = int(enqueue("a", "--lock", "gpu", "--lock-limit", "2"))
    assert db.task(task).lock_key == "gpu"
    assert db.one("SELECT lock_limit FROM muster.task") == 2
    enqueue("a", "--lock", "gpu", "--lock-limit", "0", code=2)
    enqueue("a", "--lock-limit", "2", code=2)


def test_enqueue_options(db, enqueue):
    first = int(enqueue("a"))
    task = int(enqueue("b", "--queue", "reports", "-p", "-7",
                       "--max-attempts", "3", "--timeout", "1h30m",
                       "--after", first, "--when", "finished"))
    row = db.task(task)
    assert (row.queue, row.priority, row.max_attempts) == ("reports", -7, 3)
    assert row.state == "arriving"
    assert db.one("SELECT timeout_ms FROM muster.task WHERE id = %s",
                  task) == 5400000
    assert db.rows("SELECT needs_id, needs_when FROM muster.task_needs "
                   "WHERE task_id = %s", task) == [(first, "finished")]
    later = int(enqueue("b", "--in", "1h"))
    assert db.one("SELECT run_at - now() BETWEEN '59 min' AND '1 h' "
                  "FROM muster.task_status WHERE id = %s", later)
    dated = int(enqueue("b", "--at", "2100-01-01 00:00Z"))
    assert db.one("SELECT run_at = '2100-01-01 00:00Z' "
                  "FROM muster.task_status WHERE id = %s", dated)


def test_enqueue_from_standard_input(db, enqueue):
    task = int(enqueue("a", "-", input='{"digits": 12345678901234567890}'))
    assert db.one("SELECT payload->>'digits' FROM muster.task_status "
                  "WHERE id = %s", task) == "12345678901234567890"


@pytest.mark.parametrize("payload, words", [
    ("no json", "invalid input syntax for type json"),
    ("", "invalid input syntax for type json"),
    ("{", "invalid input syntax for type json"),
    ('{"a": "\x01"}', "must be escaped"),
    ('{"a": "\\u0000"}', "cannot be converted to text"),
    ('{"a": "\x1b]0;evil\x07"}', "must be escaped"),
    ('"\x00"', "NUL character"),
])
def test_bad_payload_is_refused(db, enqueue, payload, words):
    done = enqueue("a", "-", input=payload, code=None)
    assert done.returncode == 1
    assert words in done.stderr and done.stdout == ""
    assert "\x1b" not in done.stderr and "\x07" not in done.stderr
    assert db.rows("SELECT 1 FROM muster.task") == []


def test_payload_of_bytes_that_are_no_text(db, enqueue, folder):
    done = ctl("enqueue", "a", "\udcff\udcfe", "--database", db.conninfo(),
               code=None)
    assert done.returncode == 1
    assert db.rows("SELECT 1 FROM muster.task") == []


def test_payload_of_100_MB_is_refused_here(db, enqueue, patience):
    done = enqueue("a", "-", input='"' + "x" * 100_000_000 + '"', code=None,
                   limit=60 * patience)
    assert done.returncode == 1
    assert "payload of 100000002 bytes is over max_payload (1048576)" in \
        done.stderr
    assert "store the data elsewhere" in done.stderr
    assert db.rows("SELECT 1 FROM muster.task") == []


@pytest.mark.skipif(build.is_sanitized(), reason="a sanitizer reserves terabytes")
def test_payload_without_end_is_not_kept(db):
    limit = 96 << 20
    with open("/dev/zero", "rb") as zeros:
        done = subprocess.run(
            [build.path("musterctl"), "enqueue", "a", "-", "--database",
             db.conninfo()], stdin=zeros, capture_output=True, text=True,
            check=False, timeout=60, preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_AS, (limit, limit)))
    assert done.returncode == 1, done.stderr
    assert "more than 536870912 bytes is over max_payload" in done.stderr


def test_payload_may_be_written_loosely(db, enqueue):
    """What the database makes smaller than the limit is taken."""
    text = '{"a":' + " " * 2_000_000 + '"' + "\\u0061" * 300_000 + '"}'
    enqueue("a", "-", input=text)
    assert db.one("SELECT size FROM muster.task") == 300_009
    done = enqueue("a", "-", input=json.dumps("x" * 1_100_000), code=None)
    assert done.returncode == 1
    assert "payload of 1100002 bytes is over max_payload (1048576)" in \
        done.stderr
    assert "Store the data elsewhere" in done.stderr


@pytest.mark.parametrize("words", [
    ["a", "--priority", "high"], ["a", "--priority", "1001"],
    ["a", "--max-attempts", "0"], ["a", "--in", "soon"],
    ["a", "--timeout", "30"], ["a", "--after", "x"], ["a", "--flow", "0"],
    ["a", "--in", "1s", "--at", "now"], ["a", "--bogus"], ["a", "{}", "{}"],
    [], ["a", "--priority"], ["a", "--json=yes"]])
def test_wrong_usage(db, enqueue, words):
    done = enqueue(*words, code=None)
    assert done.returncode == 2, done.stderr
    assert "usage: musterctl enqueue" in done.stderr
    assert db.rows("SELECT 1 FROM muster.task") == []


@pytest.mark.parametrize("words, said", [
    (["a", "--at", "whenever"], "whenever"),
    (["a", "--after", "999"], "there is no task 999"),
    (["a", "--flow", "999"], "there is no flow 999"),
    (["a", "--when", "never", "--after", "1"], "never"),
    (["", "{}"], "kind"),
    (["a", "--queue", ""], "queue"),
])
def test_refused_by_the_database(db, enqueue, words, said):
    done = enqueue(*words, code=None)
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "nothing was enqueued" in done.stderr


def test_unknown_kind_or_queue_is_refused(db, daemon, musterctl):
    daemon(handlers={"resize": {"noop": True}})
    done = musterctl("enqueue", "rezise", code=None)
    assert done.returncode == 1
    assert "no live worker handles tasks of kind 'rezise'" in done.stderr
    assert "did you mean 'resize'?" in done.stderr
    done = musterctl("enqueue", "resize", "--queue", "nosuch", code=None)
    assert done.returncode == 1
    assert "from queue 'nosuch'" in done.stderr
    assert db.rows("SELECT 1 FROM muster.task") == []
    task = int(musterctl("enqueue", "rezise", "--no-check"))
    assert db.state(task) == "ready"
    db.wait_state(int(musterctl("enqueue", "resize")))


def test_without_a_worker_it_waits(db, enqueue):
    done = enqueue("a", code=None)
    assert done.returncode == 0
    assert "no worker is alive" in done.stderr
