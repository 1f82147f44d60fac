"""What all Python tests share: a time limit each, and a helper that runs a
program in a process of its own.

The limit has two steps.  After TIME_LIMIT seconds an alarm raises in the test,
which then fails like any other.  If that does not get through, because the
loop does not let Python's signal handlers run, faulthandler prints the stacks
and ends the process.  Both belong to the interpreter: no plugin is needed.
"""
import faulthandler
import os
import signal
import subprocess
import sys
import textwrap

import pytest

TIME_LIMIT = 60  # seconds a test may take, unless it is marked otherwise
SECOND_STEP = 15  # seconds later the process is ended

_stderr = None


class TimeLimitExceeded(Exception):
    """Raised in a test that takes too long."""


def pytest_configure(config):
    global _stderr
    config.addinivalue_line(
        "markers", "time_limit(seconds): how long the test may take")
    # While a test runs, fd 2 is a capture file nobody would see. Now it is not:
    # pytest captures from the first test on.
    _stderr = os.fdopen(os.dup(2), "w")


def pytest_unconfigure():
    _stderr.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("time_limit")
    limit = marker.args[0] if marker else TIME_LIMIT

    def too_long(signum, frame):
        raise TimeLimitExceeded(f"{item.nodeid} took more than {limit} s")

    faulthandler.dump_traceback_later(limit + SECOND_STEP, exit=True,
                                      file=_stderr)
    previous = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(limit)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def run_program():
    """A function that runs Python source in a process of its own.

    ``run_program(source, *arguments, status=0, timeout=50, **environment)``
    checks the exit status (``status=None``: any) and returns the
    `subprocess.CompletedProcess` with text output.
    """
    def run(source, *arguments, status=0, timeout=50, **environment):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c",
             textwrap.dedent(source), *arguments],
            env=dict(os.environ, **environment), capture_output=True,
            text=True, timeout=timeout)
        if status is not None:
            assert done.returncode == status, done.stdout + done.stderr
        return done
    return run
