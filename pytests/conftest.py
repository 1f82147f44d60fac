"""What all Python tests share: a time limit each, a fresh start after one that
failed, and a helper that runs a program in a process of its own.

The limit has two steps.  After TIME_LIMIT seconds of a test, of its setup or of
its teardown an alarm raises in it, which then fails like any other, and raises
again, should it not end for that.  If this does not get through, because the
loop does not let Python's signal handlers run, faulthandler prints the stacks
and ends the process.  Both belong to the interpreter: no plugin is needed.

What a failed test leaves behind (greenlets, watchers, a handler of errors)
ends with its hub: the next test gets a new one.  So do processes it started.
"""
import contextlib
import faulthandler
import gc
import glob
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import gevent
import greenlet
import pytest

TIME_LIMIT = 150  # seconds a test may take, unless it is marked otherwise
AGAIN = 10  # seconds until it raises again in a test that goes on all the same
SECOND_STEP = 30  # seconds after its limit the process is ended

_children = pytest.StashKey[set]()
_failed = pytest.StashKey[bool]()
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
def pytest_runtest_setup(item):
    with time_limit(item):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    item.stash[_children] = children()
    with time_limit(item):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    with time_limit(item):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        item.stash[_failed] = True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    yield
    if item.stash.get(_failed, False):
        end_children(but=item.stash.get(_children, children()))
        start_afresh()


@contextlib.contextmanager
def time_limit(item):
    marker = item.get_closest_marker("time_limit")
    limit = marker.args[0] if marker else TIME_LIMIT

    def too_long(signum, frame):
        if frame.f_lineno is None:  # pytest cannot show such a place
            signal.setitimer(signal.ITIMER_REAL, 0.001, AGAIN)
            return
        raise_in_test(TimeLimitExceeded(
            f"{item.nodeid} took more than {limit} s"))

    faulthandler.dump_traceback_later(limit + SECOND_STEP, exit=True,
                                      file=_stderr)
    previous = signal.signal(signal.SIGALRM, too_long)
    try:
        signal.setitimer(signal.ITIMER_REAL, limit, AGAIN)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        faulthandler.cancel_dump_traceback_later()


def raise_in_test(error):
    """Raise where the test itself runs or waits, whichever greenlet a signal
    handler happens to interrupt, and whatever the hub does with errors."""
    main = greenlet.getcurrent()
    while main.parent is not None:
        main = main.parent
    main.throw(error)


def children():
    """The processes that this one started and has not waited for, as pids."""
    pids = set()
    for path in glob.glob("/proc/self/task/*/children"):
        with contextlib.suppress(OSError):  # of a thread that just ended
            pids.update(map(int, Path(path).read_text().split()))
    return pids


def end_children(but):
    for pid in children() - but:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def start_afresh():
    """End what a test has left in the hub, and the hub."""
    hub = gevent.get_hub()
    gevent.killall([each for each in gc.get_objects()
                    if isinstance(each, greenlet.greenlet)
                    and each.parent is hub and not each.dead], timeout=10)
    hub.destroy(destroy_loop=True)
    gc.collect()


@pytest.fixture
def run_program():
    """A function that runs Python source in a process of its own.

    ``run_program(source, *arguments, status=0, timeout=140, **environment)``
    checks the exit status (``status=None``: any) and returns the
    `subprocess.CompletedProcess` with text output.
    """
    def run(source, *arguments, status=0, timeout=140, **environment):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c",
             textwrap.dedent(source), *arguments],
            env=dict(os.environ, **environment), capture_output=True,
            text=True, timeout=timeout)
        if status is not None:
            assert done.returncode == status, done.stdout + done.stderr
        return done
    return run
