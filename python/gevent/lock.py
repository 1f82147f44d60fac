"""Locks: semaphores and re-entrant locks.

They work among greenlets of one native thread and between threads. Making one
never makes a hub.
"""
from __future__ import annotations

from typing import Optional

from greenlet import getcurrent

from gevent._semaphore import BoundedSemaphore, Semaphore

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


class RLock:
    """A lock that its owner, a greenlet, may take again.

    As `threading.RLock`; greenlets of any native thread may use it.
    """

    __slots__ = (
        '_block',
        '_owner',
        '_count',
        '__weakref__',
    )

    def __init__(self, hub=None):
        """*hub*: as for `Semaphore`."""
        self._block = Semaphore(1, hub)
        self._owner = None
        self._count = 0

    def __repr__(self):
        return '<%s at 0x%x _block=%s _count=%r _owner=%r)>' % (
            self.__class__.__name__, id(self), self._block, self._count,
            self._owner)

    def acquire(self, blocking: bool = True, timeout=None):
        """Take the lock, or take it once more.

        :param blocking: wait for it?
        :param timeout: for how long, in seconds (float); None or -1: for ever.
        :return: was it taken? (bool)
        """
        me = getcurrent()
        if self._owner is me:
            self._count += 1
            return 1
        if timeout == -1:
            timeout = None
        taken = self._block.acquire(blocking, timeout)
        if taken:
            self._owner = me
            self._count = 1
        return taken

    def __enter__(self):
        return self.acquire()

    def release(self) -> None:
        """Give the lock back once.

        :raise RuntimeError: when the current greenlet does not own it.
        """
        if self._owner is not getcurrent():
            raise RuntimeError("cannot release un-acquired lock. Owner: %r "
                               "Current: %r" % (self._owner, getcurrent()))
        self._count = count = self._count - 1
        if not count:
            self._owner = None
            self._block.release()

    def __exit__(self, typ, value, tb):
        self.release()

    def locked(self) -> bool:
        """Does some greenlet own it?"""
        return self._count > 0

    # What threading.Condition and threading itself need.

    def _acquire_restore(self, count_owner):
        count, owner = count_owner
        self._block.acquire()
        self._count = count
        self._owner = owner

    def _release_save(self):
        count, owner = self._count, self._owner
        if not count:
            raise RuntimeError("cannot release un-acquired lock")
        self._count = 0
        self._owner = None
        self._block.release()
        return count, owner

    def _is_owned(self):
        return self._owner is getcurrent()

    def _recursion_count(self):
        return self._count if self._owner is getcurrent() else 0

    def _at_fork_reinit(self):
        # Whoever held it or waited for it may be gone.
        self._block = Semaphore(1)
        self._owner = None
        self._count = 0
