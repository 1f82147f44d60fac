"""Every test here ends by checking that it left nothing in the loop."""
import sys

import gevent
import pytest

SETTLING_TURNS = 100


def settle(hub, active):
    """Let what is queued run; tell whether only *active* watchers are left."""
    for _ in range(SETTLING_TURNS):
        if hub.loop.activecnt <= active and not hub.loop.pendingcnt:
            return True
        gevent.sleep(0)
    return False


@pytest.fixture
def hub():
    return gevent.get_hub()


@pytest.fixture(autouse=True)
def nothing_left():
    hub = gevent.get_hub()
    hub.threadpool.apply(int)  # what the pool watches stays
    gevent.sleep(0)
    active = hub.loop.activecnt
    yield
    assert gevent.get_hub() is hub
    assert settle(hub, active), (
        f"left behind: {hub.loop.activecnt - active} active watchers, "
        f"{hub.loop.pendingcnt} pending")


@pytest.fixture
def errors(hub):
    """The errors that reach the hub, as a list of (context, type, value);
    they are kept from being printed."""
    seen = []

    def handle_error(context, type, value, tb):
        seen.append((context, type, value))
    hub.handle_error = handle_error
    yield seen
    del hub.handle_error


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
