"""A fixture for tests that open files and sockets; a folder's conftest.py
imports it."""
import gc
import os

import gevent
import pytest
from loop_fixtures import settle


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_left():
    """Ends by checking that the test left no descriptor open."""
    # Made once and kept: what hub and pool need for themselves.
    gevent.get_hub().threadpool.apply(int)
    before = open_descriptors()

    def settled():
        if open_descriptors() > before:
            gc.collect()
        return open_descriptors() <= before

    yield
    assert settle(settled), f"{open_descriptors() - before} left open"
