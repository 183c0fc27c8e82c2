#!/usr/bin/python3
"""Steps of a ticket's flow that are more than SQL. See README.md."""

import asyncio
import hashlib
import os
import re
import sys

sys.path.insert(0, os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../../sdk/python"))
import muster  # noqa: E402

DIMENSIONS = 8
MODEL_S = 0.5  # how long a real one might think


@muster.task("ticket_validate")
def validate(payload):
    """What is wrong with it is a result: the ticket is kept, and refused."""
    for part, limit in (("subject", 200), ("body", 10000)):
        if not payload[part].strip():
            return {"wrong": f"it has no {part}"}
        if len(payload[part]) > limit:
            return {"wrong": f"its {part} is longer than {limit} characters"}
    return {"wrong": None}


@muster.task("ticket_embed")
async def embed(payload):
    """A vector of its words, as far as a hash is a language model."""
    words = re.findall(r"[a-z]+", payload["body"].lower())
    if not words:
        raise muster.Fail("the model found no words")
    await asyncio.sleep(MODEL_S)
    vector = [0.0] * DIMENSIONS
    for word in words:
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % DIMENSIONS] += 1 / len(words)
    return vector


muster.run(concurrency=4)
