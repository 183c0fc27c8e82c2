#!/usr/bin/python3
"""The handlers of the market scan: what looks at a market that is made up here,
the analysts, of whom some are never to be reached, and the chief. See
README.md."""

import asyncio
import hashlib
import os
import sys
import time

sys.path.insert(0, os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../../sdk/python"))
import muster  # noqa: E402

SYMBOLS = [f"S{number:02}" for number in range(100)]


def chance(*words):
    """The same for the same words, between 0 and 1."""
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2 ** 32


def during(begin):
    return {"began": begin, "ended": time.time()}


@muster.task("symbols")
def symbols():
    return SYMBOLS


@muster.task("scan")
async def scan(payload):
    """One symbol: an opportunity, or none."""
    begin = time.time()
    await asyncio.sleep(0.02)
    score = chance(payload["scanner"], payload["item"])
    return {"symbol": payload["item"], "score": round(score, 3),
            "found": score > 0.95, **during(begin)}


@muster.task("choose")
def choose(ctx):
    """The opportunities among what was scanned."""
    return [one for one in ctx.inputs["scan"]["result"] if one["found"]]


@muster.task("analyse")
async def analyse(payload, ctx):
    begin = time.time()
    await asyncio.sleep(0.2)
    if chance(payload["symbol"], payload["as"]) < 0.3:
        raise muster.Fail(f"no {payload['as']} data on {payload['symbol']}")
    return {"vote": round(chance(payload["as"], payload["symbol"]) * 2 - 1, 2),
            **during(begin)}


@muster.task("decide")
def decide(payload, ctx):
    """On what came back, if it is enough."""
    votes = {name: one["result"]["vote"] for name, one in ctx.inputs.items()
             if one["state"] == "succeeded"}
    silent = {name: one["error"] for name, one in ctx.inputs.items()
              if one["state"] != "succeeded"}
    mean = sum(votes.values()) / len(votes) if votes else 0
    return {"symbol": payload["symbol"], "votes": votes, "silent": silent,
            "buy": len(votes) >= 3 and mean > 0}


@muster.task("positions")
def positions():
    return {"open": len(SYMBOLS) // 10}


muster.run(concurrency=50)
