#!/usr/bin/python3
"""As pool_handler.py, with the helper that handlers are written with."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "sdk", "python"))
import muster  # noqa: E402


@muster.task("pooled")
def pooled(payload):
    return payload


muster.run(prefetch=int(sys.argv[1]) - 1)
