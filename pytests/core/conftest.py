"""Every test here ends by checking that it left nothing in the loop."""
import sys

import gevent
import pytest
from loop_fixtures import errors, hub, nothing_left  # noqa: F401


def slices_of(seconds):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    gevent.sleep(0.001)  # a drain that has begun keeps its limit
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def small_slices():
    """Make the hub poll after every 50 callbacks, however fast they are."""
    yield from slices_of(1e-6)


@pytest.fixture
def large_slices():
    """Make the hub drain its queue, however slow the machine is."""
    yield from slices_of(100)
