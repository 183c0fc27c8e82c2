"""Where the programs under test are: MUSTERD_BUILD, or build/ at the top."""

import os

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.abspath(
    os.environ.get("MUSTERD_BUILD", os.path.join(TOP, "build")))


def path(name):
    """Of musterd, musterctl, or a program of the tests."""
    for place in ("", "supervisor", "ctl", "tests/unit",
                  "tests/integration/probes"):
        found = os.path.join(BUILD, place, name)
        if os.path.isfile(found):
            return found
    raise AssertionError(
        f"{name} is not in {BUILD}: build first, or set MUSTERD_BUILD")


def is_sanitized():
    """Built with --enable-sanitizers: everything is several times slower."""
    with open(os.path.join(BUILD, "Makefile"), encoding="utf-8") as file:
        return any(line.startswith("SANITIZE_CFLAGS = -f") for line in file)


def environment():
    """What every program under test is started with."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=98",
        "LSAN_OPTIONS": "exitcode=97",
        # A clone that shares memory until execve looks like a fork to it.
        "TSAN_OPTIONS": "exitcode=96:die_after_fork=0",
    }
