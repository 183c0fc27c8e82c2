#!/usr/bin/python3
"""A handler that is dear to start: it takes 3 s to load its model (a table of
letters here), answers word by word as it finds them, and has a function that
computes for 2 s without a pause. See README.md."""

import logging
import os
import sys
import time

sys.path.insert(0, os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../../sdk/python"))
import muster  # noqa: E402

LOAD_S = 3


def load():
    logging.info("loading the model")
    time.sleep(LOAD_S)
    logging.info("model loaded by process %d", os.getpid())
    return {chr(i): chr(i).upper() for i in range(97, 123)}


@muster.task("answer")
def answer(payload, ctx):
    words = []
    for word in payload["question"].split():
        time.sleep(payload.get("pause", 0))
        words.append("".join(model.get(letter, letter) for letter in word))
        ctx.chunk(words[-1])
        ctx.progress(len(words) / len(payload["question"].split()))
    return {"answer": " ".join(words), "process": os.getpid()}


@muster.task("predict")
def predict(payload):
    """Nothing else happens in this process meanwhile."""
    end = time.monotonic() + payload.get("seconds", 2)
    steps = 0
    while time.monotonic() < end:
        steps += 1
    return {"steps": steps, "process": os.getpid()}


logging.basicConfig(level=logging.INFO, format="%(message)s")
model = load()
muster.run()
