"""musterctl migrate, and what other verbs say of a schema that is not right."""

import json
import os
import shutil
import subprocess
import threading
import time

import pytest
from support import build
from support.daemon import ctl
from support.postgres import Postgres, program
from support.wait import wait_until


def migrate(db, *words, user="postgres", code=0, **more):
    return ctl("migrate", "--database", db.conninfo(user), *words, code=code,
               **more)


def known_version():
    folder = os.path.join(build.TOP, "sql", "migrations")
    return max(int(name[:3]) for name in os.listdir(folder))


def has_schema(db):
    return db.one("SELECT to_regnamespace('muster') IS NOT NULL")


def test_B5_migrate_says_what_it_did_and_is_idempotent(empty_db):
    first = migrate(empty_db)
    assert "applied 001_" in first
    assert f"the schema is of version {known_version()} now" in first
    assert empty_db.one("SELECT muster.enqueue('x')") == 1
    again = migrate(empty_db)
    assert again == \
        f"nothing to do, the schema is of version {known_version()}\n"
    assert empty_db.one("SELECT count(*) FROM muster.task") == 1


def test_migrate_json(empty_db):
    first = json.loads(migrate(empty_db, "--json"))
    assert first["version_before"] == 0
    assert first["version"] == known_version()
    assert first["applied"][0].startswith("001_")
    assert first["functions_replaced"] is True
    again = json.loads(migrate(empty_db, "--json"))
    assert again["applied"] == [] and again["functions_replaced"] is False


def test_migrate_replaces_functions_that_changed(db):
    db.rows("UPDATE muster.schema_version SET content_hash = 'older'")
    db.rows("DROP FUNCTION muster.interval_ms CASCADE")
    said = migrate(db)
    assert "replaced" in said and "applied" not in said
    assert db.one("SELECT muster.interval_ms('2 s')") == 2000


def test_migrate_grants_again_what_was_taken(db):
    db.rows("REVOKE SELECT ON muster.task_status FROM muster_reader")
    migrate(db)
    db.session("reader").run("SELECT 1 FROM muster.task_status")


def test_migrate_refuses_a_newer_schema(db):
    db.rows("INSERT INTO muster.schema_version "
            "SELECT 99, 98, 'x', now()")
    done = migrate(db, code=None)
    assert done.returncode == 78
    assert "version 99" in done.stderr and "nothing was changed" in done.stderr
    assert ctl("tasks", "--database", db.conninfo(), code=None) \
        .returncode == 78
    db.rows("DELETE FROM muster.schema_version WHERE version = 99")


def test_newer_but_compatible_schema_is_used(db):
    db.rows("INSERT INTO muster.schema_version "
            "SELECT 99, %s, 'x', now()", known_version())
    ctl("tasks", "--database", db.conninfo())
    db.rows("DELETE FROM muster.schema_version WHERE version = 99")


def test_older_schema_is_told(db):
    db.rows("UPDATE muster.schema_version SET version = 0")
    done = ctl("tasks", "--database", db.conninfo(), code=None)
    assert done.returncode == 78
    assert "run musterctl migrate" in done.stderr
    db.rows("UPDATE muster.schema_version SET version = %s", known_version())


@pytest.mark.parametrize("verb", [
    ["tasks"], ["queues"], ["workers"], ["task", "1"], ["why", "1"],
    ["enqueue", "x"], ["cancel", "1"], ["tail", "1"]])
def test_missing_schema_is_told(empty_db, verb):
    done = ctl(*verb, "--database", empty_db.conninfo("postgres"), code=None)
    assert done.returncode == 78
    assert "run musterctl migrate" in done.stderr
    assert done.stdout == ""


def test_migrate_is_all_or_nothing(empty_db):
    empty_db.rows("CREATE SCHEMA muster CREATE TABLE task (mine int) ")
    empty_db.rows("ALTER SCHEMA muster OWNER TO muster_owner")
    done = migrate(empty_db, code=None)
    assert done.returncode == 1
    assert "001_" in done.stderr and "nothing was changed" in done.stderr
    assert empty_db.rows("SELECT relname FROM pg_class WHERE relnamespace = "
                         "'muster'::regnamespace") == [("task",)]


def test_migrate_twice_at_the_same_time(empty_db):
    said = []
    threads = [threading.Thread(target=lambda: said.append(migrate(empty_db)))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 3
    assert sum("applied 001_" in text for text in said) == 1


def test_read_only_database(db):
    db.rows(f"ALTER DATABASE {db.name} SET default_transaction_read_only = on")
    for verb in (["migrate"], ["enqueue", "x", "--no-check"], ["cancel", "1"]):
        done = ctl(*verb, "--database", db.conninfo("postgres"), code=None)
        assert done.returncode == 75, done.stderr
        assert "read-only" in done.stderr
    ctl("tasks", "--database", db.conninfo())


def test_F1_database_that_is_down(folder):
    done = ctl("tasks", "--database", f"host={folder} dbname=x", code=None)
    assert done.returncode == 75
    assert "cannot connect to the database" in done.stderr
    assert "try again" in done.stderr


def test_database_that_does_not_exist(postgres):
    done = ctl("tasks", "--database", postgres.conninfo("nosuch"), code=None)
    assert done.returncode == 78
    assert 'database "nosuch" does not exist' in done.stderr


def test_wrong_conninfo(folder):
    done = ctl("tasks", "--database", "host=/tmp bogus=1", code=None)
    assert done.returncode == 78
    assert "bogus" in done.stderr


def test_F1_frozen_server_does_not_hang_it(own_postgres, db, patience):
    own_postgres.freeze()
    done = ctl("tasks", "--database", db.conninfo() + " connect_timeout=2",
               code=None, limit=30 * patience)
    own_postgres.thaw()
    assert done.returncode == 75


def test_F1_frozen_server_in_the_middle(own_postgres, db, patience):
    """Connected already; the answer never comes, nor one to the cancel."""
    task = db.enqueue("x", run_at="2100-01-01")
    process = subprocess.Popen(
        [build.path("musterctl"), "cancel", str(task), "--time-limit", "2s",
         "--database", db.conninfo()], stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=build.environment())
    wait_until(lambda: db.rows("SELECT 1 FROM muster.request"), 15,
               "the request is there and its answer waited for")
    own_postgres.freeze()
    begin = time.monotonic()
    _, err = process.communicate(timeout=30 * patience)
    took = time.monotonic() - begin
    own_postgres.thaw()
    assert process.returncode == 75
    assert "no answer within 2 s" in err
    assert took < 10 * patience


def test_F1_slow_statement_is_cancelled(db):
    lock = db.session()
    lock.begin()
    lock.run("LOCK TABLE muster.worker")
    done = ctl("workers", "--time-limit", "1s", "--database", db.conninfo(),
               code=None)
    assert done.returncode == 75
    assert "no answer within 1 s" in done.stderr
    wait_until(lambda: not db.rows(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'musterctl'"), 5, "its backend is gone")
    lock.rollback()


# Rights.

@pytest.fixture
def bare_postgres(session_folder):
    """A server without any of our roles."""
    server = Postgres(os.path.join(session_folder, "pgbare")).create().start()
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(server.folder, ignore_errors=True)


def run_psql(conninfo, sql):
    return subprocess.run([program("psql"), "-XqAtv", "ON_ERROR_STOP=1",
                           conninfo], input=sql, text=True, check=True,
                          capture_output=True).stdout.strip()


@pytest.mark.plain
def test_migrate_creates_roles_or_prints_their_sql(bare_postgres):
    server = bare_postgres
    server.run("CREATE ROLE landlord LOGIN")
    server.run("CREATE DATABASE app OWNER landlord")
    own = server.conninfo("app", "landlord")
    done = ctl("migrate", "--database", own, code=None)
    assert done.returncode == 78
    assert "CREATE ROLE muster_owner NOLOGIN;" in done.stdout
    assert 'GRANT muster_owner TO "landlord";' in done.stdout
    assert "superuser" in done.stderr
    # What it printed is what it needs.
    server.run(done.stdout, "app")
    said = ctl("migrate", "--database", own)
    assert "applied 001_" in said
    assert run_psql(server.conninfo("app"), "SELECT nspowner::regrole FROM "
                    "pg_namespace WHERE nspname = 'muster'") == "muster_owner"


@pytest.mark.plain
def test_migrate_print_is_sql_that_psql_takes(bare_postgres):
    server = bare_postgres
    sql = ctl("migrate", "--print")
    server.run("CREATE DATABASE printed")
    run_psql(server.conninfo("printed"), sql)
    said = ctl("migrate", "--database", server.conninfo("printed"))
    assert said.startswith("nothing to do")
    assert run_psql(server.conninfo("printed"),
                    "SELECT muster.enqueue('x')") == "1"


@pytest.mark.plain
def test_migrate_login_makes_a_daemons_role(bare_postgres):
    server = bare_postgres
    server.run("CREATE DATABASE app")
    for _ in range(2):
        ctl("migrate", "--database", server.conninfo("app"),
            "--login", "Muster \"d\"")
    ctl("tasks", "--database",
        server.conninfo("app", "'Muster \"d\"'"))
    assert run_psql(server.conninfo("app"), "SELECT pg_has_role("
                    "'Muster \"d\"', 'muster_worker', 'member')") == "t"


def test_lack_of_rights_is_told(db):
    db.rows("CREATE ROLE stranger LOGIN")
    try:
        done = ctl("tasks", "--database", db.conninfo("stranger"), code=None)
        assert done.returncode == 78
        assert "GRANT" in done.stderr
    finally:
        db.rows("DROP ROLE stranger")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_becomes_the_service_user(folder, session_folder):
    """Peer authentication sees the account that conninfo names."""
    server = Postgres(os.path.join(session_folder, "pgpeer")).create()
    hba = os.path.join(server.data, "pg_hba.conf")
    with open(hba, "w", encoding="utf-8") as file:
        file.write("local all postgres peer\nlocal all all reject\n")
    server.start(wait=False)
    try:
        wait_until(lambda: ctl(
            "migrate", "--database", server.conninfo("postgres"),
            code=None).returncode == 0, 20, "peer authentication")
        ctl("tasks", "--database", server.conninfo("postgres"))
    finally:
        server.stop("immediate")
        shutil.rmtree(server.folder, ignore_errors=True)
