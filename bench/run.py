#!/usr/bin/python3
"""make bench: measures the daemon against bare programs, on a PostgreSQL and a
Redis of its own, and prints a table. See README.md."""

import argparse
import os
import shutil
import sys
import tempfile

import event_rows
import handler_rows
import http_rows
import key_rows
import limit_rows
import long_rows
import map_rows
import pool_rows
import replay_rows
import rows
import sql_rows
import stream_rows
from servers import Postgres, Redis
from table import Table

SHORT = (rows.SHORT + key_rows.SHORT + sql_rows.SHORT + pool_rows.SHORT
         + http_rows.HTTP + stream_rows.STREAM + event_rows.EVENTS
         + handler_rows.SHORT + replay_rows.SHORT + limit_rows.SHORT + map_rows.SHORT)
LONG = long_rows.LONG + map_rows.LONG + replay_rows.LONG


def arguments():
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--build", default=".", help="folder of the build")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="the figures as JSON")
    parser.add_argument("--long", action="store_true",
                        help="also what takes many minutes")
    parser.add_argument("--only", metavar="NAMES",
                        help="these measurements, with commas between")
    parser.add_argument("--strict", action="store_true",
                        help="exit 1 when a target is missed")
    return parser.parse_args()


def chosen(options):
    known = {each.__name__: each for each in SHORT + LONG}
    if not options.only:
        return SHORT + (LONG if options.long else ())
    names = options.only.split(",")
    for name in names:
        if name not in known:
            sys.exit(f"bench: no measurement {name}; "
                     f"there are {', '.join(known)}")
    return [known[name] for name in names]


def migrate(bench):
    bench.postgres.sql("CREATE DATABASE bench", database="postgres")
    program = os.path.join(bench.build, "musterctl")
    command = [program, "migrate", "--database", bench.postgres.conninfo()]
    if os.spawnv(os.P_WAIT, program, command) != 0:
        sys.exit("bench: musterctl migrate failed")


def measure(options, scratch, table):
    postgres = Postgres(os.path.join(scratch, "pg"))
    redis = Redis(os.path.join(scratch, "redis"))
    bench = rows.Bench(os.path.abspath(options.build), scratch, postgres,
                       redis, options.workers, table)
    try:
        postgres.start()
        redis.start()
        migrate(bench)
        table.head()
        for each in chosen(options):
            each(bench)
    finally:
        postgres.stop()
        redis.stop()


def main():
    options = arguments()
    table = Table()
    scratch = tempfile.mkdtemp(prefix="musterd-bench.")
    os.chmod(scratch, 0o755)
    try:
        measure(options, scratch, table)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if options.json:
        table.write_json(options.json, {
            "workers": options.workers, "processors": os.cpu_count()})
    missed = table.misses()
    print(f"\n{len(missed)} of the targets missed" if missed
          else "\nevery target met")
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
