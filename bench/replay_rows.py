"""Real workflow traces, run anew."""

import contextlib
import glob
import graphlib
import json
import os

from table import median

TRACES = os.environ.get("MUSTER_TRACES", os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))), "shared", "data", "workflows"))
SLOTS, SPEED, RUNS = 16, 100, 3


def traces():
    found = sorted(glob.glob(os.path.join(TRACES, "*.json")))
    if not found:
        print(f"  no traces in {TRACES}: no replay")
    return found


def run_once(bench, path, speed):
    """What replay says of this trace."""
    bench.forget()
    return json.loads(bench.program(
        "../musterctl", "replay", "--json", "--slots", SLOTS, "--speed",
        speed, "--database", bench.postgres.conninfo(), path))


def run(bench, path):
    """The same; its ratio is the median of some runs."""
    said = [run_once(bench, path, SPEED) for _ in range(RUNS)]
    return {**said[0], "ratio": median([each["ratio"] for each in said])}


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
    found = traces()
    if not found:
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


def speed_of(path, bound=2, mean_task=0.01):
    """So many times faster that its bound is so long, and so are its tasks;
    never slower than it was."""
    with open(path, encoding="utf-8") as file:
        workflow = json.load(file)["workflow"]
    needs = {task["id"]: task.get("parents", [])
             for task in workflow["specification"]["tasks"]}
    took = {task["id"]: task["runtimeInSeconds"]
            for task in workflow["execution"]["tasks"]}
    ends = {}
    for name in graphlib.TopologicalSorter(needs).static_order():
        ends[name] = took[name] + max(
            (ends[need] for need in needs[name]), default=0)
    work = sum(took[name] for name in needs)
    return max(1, min(max(*ends.values(), work / SLOTS) / bound,
                      work / len(needs) / mean_task))


def replay_all(bench):
    """As many traces as there are, each as long as the others whatever it was,
    in both orders, one after the other."""
    said, come, found = [], [], traces()
    for path in found:
        speed = speed_of(path)
        said.append(run_once(bench, path, speed))
        with first_come(bench):
            come.append(run_once(bench, path, speed))
    if not said:
        return
    for order, each, paper in (
            ("critical path first", said, "simulated_ratio"),
            ("first come", come, "first_come_ratio")):
        beyond = [one["ratio"] - one[paper] for one in each]
        bench.table.add(f"mean of {len(each)} traces, {order}",
                        mean(each, "ratio"))
        bench.table.add("  on paper", mean(each, paper))
        bench.table.add("  beyond paper, mean", sum(beyond) / len(beyond),
                        at_most=0.03)
        bench.table.add("  beyond paper, the worst", max(beyond),
                        note=os.path.basename(
                            found[beyond.index(max(beyond))]))


SHORT = (replay,)
LONG = (replay_all,)
