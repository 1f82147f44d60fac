"""Every test here ends by checking that it left no watcher in the loop and no
descriptor open."""
import gevent
import pytest
from descriptor_fixtures import (  # noqa: F401
    nothing_left as no_descriptor_left)
from loop_fixtures import errors, hub, nothing_left  # noqa: F401

from gevent import socket


@pytest.fixture
def pair():
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        sock.listen(128)
        yield sock


@pytest.fixture
def wait_until():
    """A function that lets others run until *condition* holds. The test's time
    limit bounds it."""
    def wait(condition):
        while not condition():
            gevent.sleep(0.001)
    return wait


@pytest.fixture
def spawn_reader(wait_until):
    """A function that starts a greenlet calling a reading method of a socket,
    and returns it once it waits."""
    greenlets = []

    def spawn(sock, method='recv', *args):
        greenlet = gevent.spawn(getattr(sock, method), *(args or (100,)))
        greenlets.append(greenlet)
        wait_until(lambda: greenlet.ready()
                   or sock._read_event.callback is not None)
        return greenlet
    yield spawn
    gevent.killall(greenlets)
