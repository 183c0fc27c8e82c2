"""Real workflow traces, run anew."""

import contextlib
import glob
import json
import os

from table import median

TRACES = os.environ.get("MUSTER_TRACES", os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))), "shared", "data", "workflows"))
SLOTS, SPEED, RUNS = 16, 100, 3


def run(bench, path):
    """What replay says of this trace; its ratio is the median of some runs."""
    ratios = []
    for _ in range(RUNS):
        bench.forget()
        said = json.loads(bench.program(
            "../musterctl", "replay", "--json", "--slots", SLOTS, "--speed",
            SPEED, "--database", bench.postgres.conninfo(), path))
        ratios.append(said["ratio"])
    return {**said, "ratio": median(ratios)}


@contextlib.contextmanager
def first_come(bench):
    """Meanwhile all tasks of a flow share a lane, in the order of the trace."""
    bench.sql("ALTER FUNCTION muster.flow_paths RENAME TO flow_paths_kept;"
              " CREATE FUNCTION muster.flow_paths(text[], int[], int[],"
              " float8[]) RETURNS float8[] LANGUAGE sql AS $$ SELECT"
              " array_agg(-n ORDER BY n)"
              " FROM generate_series(1, cardinality($1)) n $$;"
              " ALTER FUNCTION muster.flow_lanes RENAME TO flow_lanes_kept;"
              " CREATE FUNCTION muster.flow_lanes(float8[], float8[])"
              " RETURNS smallint[] LANGUAGE sql AS $$ SELECT"
              " array_fill(0::smallint, ARRAY[cardinality($1)]) $$")
    try:
        yield
    finally:
        for name in ("flow_paths", "flow_lanes"):
            bench.sql(f"DROP FUNCTION muster.{name};"
                      f" ALTER FUNCTION muster.{name}_kept RENAME TO {name}")


def mean(said, key):
    return sum(each[key] for each in said) / len(said)


def replay(bench):
    """The makespan of each trace over its bound, beside what list scheduling
    by critical path reaches on paper; and what the order of their lanes does
    for all of them."""
    found = sorted(glob.glob(os.path.join(TRACES, "*.json")))
    if not found:
        print(f"  no traces in {TRACES}: no replay")
        return
    said = []
    for path in found:
        said.append(run(bench, path))
        name = os.path.basename(path).split("-")[0]
        bench.table.add(f"replay of {name}, makespan over the bound",
                        said[-1]["ratio"])
        bench.table.add("  beyond critical path first on paper",
                        said[-1]["ratio"] - said[-1]["simulated_ratio"],
                        at_most=0.03)
    with first_come(bench):
        come = [run(bench, path) for path in found]
    for order, each, paper in (
            ("critical path first", said, "simulated_ratio"),
            ("first come", come, "first_come_ratio")):
        bench.table.add(f"mean of them, {order}", mean(each, "ratio"))
        bench.table.add("  on paper", mean(each, paper))


SHORT = (replay,)
