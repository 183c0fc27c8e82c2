"""Real workflow traces, run anew."""

import glob
import json
import os

TRACES = os.environ.get("MUSTER_TRACES", os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))), "shared", "data", "workflows"))
SLOTS, SPEED = 16, 100


def replay(bench):
    """The makespan of each trace over its bound, beside what list scheduling
    by critical path reaches on paper."""
    found = sorted(glob.glob(os.path.join(TRACES, "*.json")))
    if not found:
        print(f"  no traces in {TRACES}: no replay")
    for path in found:
        bench.forget()
        said = json.loads(bench.program(
            "../musterctl", "replay", "--json", "--slots", SLOTS, "--speed",
            SPEED, "--database", bench.postgres.conninfo(), path))
        name = os.path.basename(path).split("-")[0]
        bench.table.add(f"replay of {name}, makespan over the bound",
                        said["ratio"])
        bench.table.add("  beyond critical path first on paper",
                        said["ratio"] - said["simulated_ratio"],
                        at_most=0.03)
        bench.table.add("  first come on paper", said["first_come_ratio"])


SHORT = (replay,)
