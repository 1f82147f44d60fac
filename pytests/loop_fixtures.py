"""Fixtures for tests that run in this process's own hub; a folder's conftest.py
imports those it wants."""
import gevent
import pytest

SETTLING_TURNS = 1000


def settle(settled):
    """Let others run until *settled()*, for some seconds at most; return what
    it returned last."""
    for _ in range(SETTLING_TURNS):
        if settled():
            break
        gevent.sleep(0.005)
    return settled()


@pytest.fixture
def hub():
    return gevent.get_hub()


@pytest.fixture(autouse=True)
def nothing_left():
    """Ends by checking that the test left nothing in the loop."""
    hub = gevent.get_hub()
    hub.threadpool.apply(int)  # what the hub's own pool watches stays
    gevent.sleep(0)
    active = hub.loop.activecnt
    yield
    assert gevent.get_hub() is hub
    assert settle(lambda: hub.loop.activecnt <= active
                  and not hub.loop.pendingcnt), (
        f"left behind: {hub.loop.activecnt - active} active watchers, "
        f"{hub.loop.pendingcnt} pending")


@pytest.fixture
def errors():
    """The errors that reach the hub, as a list of (context, type, value);
    they are kept from being printed."""
    seen = []
    hub = gevent.get_hub()

    def handle_error(context, type, value, tb):
        seen.append((context, type, value))
    hub.handle_error = handle_error
    yield seen
    del hub.handle_error


@pytest.fixture
def turns():
    """A function that lets everything run that is queued, a few times."""
    def run(count=5):
        for _ in range(count):
            gevent.sleep(0)
    return run
