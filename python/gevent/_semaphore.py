"""Semaphores, for :mod:`gevent.lock`."""
from libgcore import _engine

from gevent._compat import PURE_PYTHON

if _engine.ACCELERATED:
    from libgcore._accel import BoundedSemaphore as _BoundedSemaphore
    from libgcore._accel import Semaphore as _Semaphore
else:
    from libgcore._plain_semaphore import BoundedSemaphore as _BoundedSemaphore
    from libgcore._plain_semaphore import Semaphore as _Semaphore

__all__ = [
    'Semaphore',
    'BoundedSemaphore',
]


def _describe(self):
    return '<%s at 0x%x counter=%s _links[%s]>' % (
        type(self).__name__, id(self), self.counter, self.linkcount())


class Semaphore(_Semaphore):
    """Permits that greenlets, of any native thread, take and give.

    :param value: how many there are at first (int, at least 0).
    :param hub: the hub it belongs to; by default that of the first greenlet
        that has to wait.

    As a context manager, takes one for the block. Who waits gets one in the
    order of waiting.
    """

    __repr__ = __str__ = _describe


class BoundedSemaphore(_BoundedSemaphore, Semaphore):
    """A `Semaphore` that refuses to be released more often than it was
    acquired: ValueError."""


if not PURE_PYTHON:
    # Where the compiled ones have always been found.
    Semaphore.__module__ = 'gevent._gevent_c_semaphore'
    BoundedSemaphore.__module__ = 'gevent._gevent_c_semaphore'
