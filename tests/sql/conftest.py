"""The schema on a PostgreSQL of its own, or on the one that MUSTER_TEST_PG
names (a conninfo of a superuser, without a dbname). No build is needed: the
SQL files are applied as musterctl migrate would.
"""

import os
import pathlib

import psycopg2
import pytest

from support.postgres import Postgres
from sql.daemon import Listener, Scheduler, Worker

SQL = pathlib.Path(__file__).resolve().parents[2] / "sql"

# What musterctl migrate does before the first file.
FOUNDATION = """
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE SCHEMA muster AUTHORIZATION muster_owner;
SET LOCAL ROLE muster_owner;
CREATE TABLE muster.schema_version (version int NOT NULL,
    compatible_from int NOT NULL, content_hash text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now());
"""

ROLES = {
    "muster_owner": "NOLOGIN", "muster_worker": "NOLOGIN",
    "muster_client": "NOLOGIN", "muster_reader": "NOLOGIN",
    "musterd": "LOGIN IN ROLE muster_worker",
    "app": "LOGIN IN ROLE muster_client",
    "reader": "LOGIN IN ROLE muster_reader",
}


class GivenPostgres:
    """A running cluster that was named by its conninfo."""

    def __init__(self, conninfo):
        self.given = conninfo

    def conninfo(self, database, user="postgres"):
        more = f" dbname={database}"
        if user != "postgres":
            more += f" user={user}"
        return self.given + more

    def connect(self, database, user="postgres", **more):
        connection = psycopg2.connect(self.conninfo(database, user), **more)
        connection.autocommit = True
        return connection

    run = Postgres.run

    def log_size(self):
        return 0

    def log_since(self, _offset):
        return ""


def sql_texts():
    """All of the schema, in the order in which it is applied."""
    files = (sorted(SQL.glob("migrations/*.sql"))
             + sorted(SQL.glob("functions/*.sql")) + [SQL / "grants.sql"])
    return [file.read_text(encoding="utf-8") for file in files]


def apply(server, database):
    connection = server.connect(database)
    with connection.cursor() as cursor:
        for role, options in ROLES.items():
            cursor.execute("SELECT to_regrole(%s)", (role,))
            if cursor.fetchone()[0] is None:
                cursor.execute(f"CREATE ROLE {role} {options}")
        cursor.execute("BEGIN;" + FOUNDATION)
        for text in sql_texts():
            cursor.execute(text)
        cursor.execute("INSERT INTO muster.schema_version VALUES (1, 1, '');"
                       "COMMIT")
    connection.close()


def drop_leftovers(server):
    connection = server.connect("postgres")
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname ~ "
                       "'^(test_[0-9]+|muster_template)$'")
        for name, in cursor.fetchall():
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture(scope="session")
def postgres(session_folder):
    given = os.environ.get("MUSTER_TEST_PG")
    server = GivenPostgres(given) if given else Postgres(
        os.path.join(session_folder, "pg-sql")).create(
            "max_prepared_transactions = 5\n").start()
    try:
        drop_leftovers(server)
        server.run("CREATE DATABASE muster_template ENCODING 'UTF8' "
                   "TEMPLATE template0")
        apply(server, "muster_template")
        yield server
    finally:
        if not given:
            server.stop("immediate")


@pytest.fixture
def worker(db):
    """worker() is a new one, registered for the kinds that the test uses."""
    made = []

    def make(*arguments, **more):
        made.append(Worker(db, *arguments, **more))
        return made[-1]
    yield make
    for each in made:
        each.session.close()


@pytest.fixture
def scheduler(db):
    """What a scheduler does, on demand: scheduler.work()."""
    return Scheduler(db)


@pytest.fixture
def listener(db):
    """Hears what is notified: listener.heard()."""
    return Listener(db)
