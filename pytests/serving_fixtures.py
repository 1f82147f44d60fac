"""Fixtures for tests of servers; a folder's conftest.py imports those it wants.

Every test ends by checking that it left no descriptor open."""
import gc
import os

import gevent
import pytest

SETTLING_TURNS = 200


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_left():
    gevent.get_hub()
    before = open_descriptors()
    yield
    for _ in range(SETTLING_TURNS):
        if open_descriptors() <= before:
            return
        gc.collect()
        gevent.sleep(0.005)
    raise AssertionError(f"{open_descriptors() - before} left open")


@pytest.fixture
def quiet():
    """Nothing is printed; a list of the errors reported to the hub."""
    hub = gevent.get_hub()
    errors = []
    hub.handle_error = lambda context, *error: errors.append(error[1])
    yield errors
    del hub.handle_error
