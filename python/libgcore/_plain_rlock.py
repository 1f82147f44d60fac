"""Re-entrant locks: the plain twin of accel/rlock.c."""
from greenlet import getcurrent

from libgcore._plain_base import refuse_pickling
from libgcore._plain_semaphore import Semaphore

__all__ = ['RLock']


class RLock:
    """A lock that its owner, a greenlet, may take again."""

    __slots__ = ('_block', '_owner', '_count', '__weakref__')

    __reduce_ex__ = refuse_pickling

    #: What makes the lock inside.
    semaphore = Semaphore

    def __init__(self, hub=None):
        self._block = self.semaphore(1, hub)
        self._owner = None
        self._count = 0

    def _current(self):
        try:
            return getcurrent()
        except RuntimeError:
            # The interpreter ends; nobody else is left.
            return self._owner

    def acquire(self, blocking=True, timeout=None):
        """Take the lock, or take it once more; False when it is not to be
        had, at once or within `timeout` seconds (None or -1: for ever)."""
        me = self._current()
        if self._count and self._owner is me:
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

    def release(self):
        """Give the lock back once; RuntimeError unless the current greenlet
        owns it."""
        me = self._current()
        if not self._count or self._owner is not me:
            raise RuntimeError(
                'cannot release un-acquired lock. Owner: %r Current: %r'
                % (self._owner, me))
        self._count -= 1
        if not self._count:
            self._owner = None
            self._block.release()

    def __exit__(self, typ, value, tb):
        self.release()

    def locked(self):
        """Whether some greenlet owns it."""
        return self._count > 0

    # What conditions and threading need.

    def _acquire_restore(self, count_owner):
        self._block.acquire()
        self._count, self._owner = count_owner

    def _release_save(self):
        if not self._count:
            raise RuntimeError('cannot release un-acquired lock')
        saved = self._count, self._owner
        self._count = 0
        self._owner = None
        self._block.release()
        return saved

    def _is_owned(self):
        return self._count > 0 and self._owner is self._current()

    def _recursion_count(self):
        return self._count if self._is_owned() else 0

    def _at_fork_reinit(self):
        # Whoever held it or waited for it may be gone.
        self._block = self.semaphore(1)
        self._owner = None
        self._count = 0
