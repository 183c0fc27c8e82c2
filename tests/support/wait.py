"""Waiting for something to become true. Tests never just sleep."""

import os
import time

# How much longer all may take: in a virtual machine by software (service/vm).
SLOW = int(os.environ.get("MUSTERD_SLOW", "1"))


def wait_until(condition, limit=10.0, what=None, every=None):
    """Calls condition() until it returns something true, and returns that.

    Fails after `limit` seconds, saying what was waited for and what the
    condition gave last. An AssertionError inside it counts as not yet. Asks
    each `every` seconds; without it the more seldom the longer it has waited,
    as asking costs what others could do meanwhile.
    """
    limit *= SLOW
    begin = time.monotonic()
    while True:
        try:
            last = condition()
            if last:
                return last
        except AssertionError as error:
            last = error
        waited = time.monotonic() - begin
        if waited > limit:
            name = what or getattr(condition, "__doc__", None) or "condition"
            raise AssertionError(f"not within {limit} s: {name}; last: {last}")
        time.sleep(min(max(waited / 20, 0.02), 0.2) if every is None
                   else every)


def holds_for(condition, seconds, what=None, every=0.02):
    """Asserts that condition() stays true for `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"did not hold for {seconds} s: {what}"
        time.sleep(every)
