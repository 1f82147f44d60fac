"""Locks: semaphores and re-entrant locks.

They work among greenlets of one native thread and between threads. Making one
never makes a hub.
"""
from __future__ import annotations

from typing import Optional

from gevent._semaphore import BoundedSemaphore, Semaphore
from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore._accel import RLock as _RLock
else:
    from libgcore._plain_rlock import RLock as _RLock

__all__ = [
    'Semaphore',
    'BoundedSemaphore',
    'DummySemaphore',
    'RLock',
]


def atomic(meth):
    """*meth* itself: with the global interpreter lock, and semaphores whose
    operations are single steps, there is nothing to make atomic."""
    return meth


class DummySemaphore:
    """A semaphore with permits for everyone.

    Where a limit is optional, it stands for "no limit".
    """

    def __init__(self, value: Optional[int] = None):
        """*value* is ignored."""

    def __str__(self):
        return '<%s>' % self.__class__.__name__

    def locked(self) -> bool:
        """Never locked: False."""
        return False

    def ready(self) -> bool:
        """Always: True."""
        return True

    def release(self) -> None:
        """Does nothing."""

    def rawlink(self, callback) -> None:
        """Does nothing."""

    def unlink(self, callback) -> None:
        """Does nothing."""

    def wait(self, timeout=None) -> int:
        """There is always a permit: 1."""
        return 1

    def acquire(self, blocking: bool = True, timeout=None) -> bool:
        """There is always a permit: True."""
        return True

    def __enter__(self):
        pass

    def __exit__(self, typ, val, tb):
        pass


class RLock(_RLock):
    """A lock that its owner, a greenlet, may take again.

    :param hub: as for `Semaphore`.

    As `threading.RLock`; greenlets of any native thread may use it.
    """

    __slots__ = ()

    semaphore = Semaphore

    def __repr__(self):
        return '<%s at 0x%x _block=%s _count=%r _owner=%r)>' % (
            self.__class__.__name__, id(self), self._block, self._count,
            self._owner)
