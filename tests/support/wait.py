"""Waiting for something to become true. Tests never just sleep."""

import os
import time

# How much longer all may take: in a virtual machine by software (service/vm).
SLOW = int(os.environ.get("MUSTERD_SLOW", "1"))


def wait_until(condition, limit=10.0, what=None, every=0.02):
    """Calls condition() until it returns something true, and returns that.

    Fails after `limit` seconds, saying what was waited for and what the
    condition gave last. An AssertionError inside it counts as not yet.
    """
    limit *= SLOW
    end = time.monotonic() + limit
    while True:
        try:
            last = condition()
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() > end:
            name = what or getattr(condition, "__doc__", None) or "condition"
            raise AssertionError(f"not within {limit} s: {name}; last: {last}")
        time.sleep(every)


def holds_for(condition, seconds, what=None, every=0.02):
    """Asserts that condition() stays true for `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"did not hold for {seconds} s: {what}"
        time.sleep(every)
