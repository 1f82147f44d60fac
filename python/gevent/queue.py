"""Queues, as in the standard `queue`, for greenlets.

They may be used from several native threads: whoever waits is woken through
the hub of its own thread. In the hub they never wait, but let who waits on
the other side go on.
"""
from __future__ import annotations

import queue as _standard
import types
from queue import Empty, Full
from time import monotonic
from typing import Optional

from gevent._util import Lazy
from gevent._waiter import Waiter
from gevent.lock import Semaphore
from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore import _accel as _base
    _base.load_queues()
else:
    from libgcore import _plain_queue as _base

__implements__ = [
    'SimpleQueue',
    'PriorityQueue',
    'LifoQueue',
    'Queue',
]

__extensions__ = [
    'JoinableQueue',
    'Channel',
]

__imports__ = [
    'Empty',
    'Full',
]

# The standard library has it since Python 3.13.
(__imports__ if hasattr(_standard, 'ShutDown')
 else __extensions__).append('ShutDown')

__all__ = __implements__ + __extensions__ + __imports__

#: Raised by ``put`` and ``get`` of a queue that was shut down; the standard
#: library's own where it has one.
ShutDown = _base.ShutDown


class ItemWaiter(Waiter):
    """A waiter that has an item to put into a queue."""

    __slots__ = ('item', 'queue')

    def __init__(self, item, queue):
        super().__init__()
        self.item = item
        self.queue = queue

    def put_and_switch(self):
        """Put the item in and resume who waits."""
        self.queue._put(self.item)
        self.queue = None
        self.item = None
        return self.switch(self)


class _Condition:
    """One of the conditions of a standard queue.

    Its waiters are the queue's own: they are woken by the queue's operations,
    and `notify` wakes those who are blocked in them.
    """

    def __init__(self, queue, who):
        lock = queue.mutex
        self._queue = queue
        self._who = who
        self._lock = lock
        self.acquire = lock.acquire
        self.release = lock.release

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *exc_info):
        return self._lock.__exit__(*exc_info)

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Release the mutex, wait to be woken, and take it again.

        :return: False when *timeout* seconds ran out.
        :raise RuntimeError: when the mutex is not held.
        """
        if not self._lock.locked():
            raise RuntimeError('cannot wait on un-acquired lock')
        self.release()
        try:
            return self._queue._wait_with(self._who, timeout)
        finally:
            self.acquire()

    def wait_for(self, predicate, timeout: Optional[float] = None):
        """Wait until ``predicate()`` is true, for at most *timeout* seconds;
        returns what it returned last."""
        end = None if timeout is None else monotonic() + timeout
        result = predicate()
        while not result:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake *n* of those who wait."""
        self._queue._tell(self._who, n)

    def notify_all(self) -> None:
        """Wake all who wait."""
        self._queue._tell(self._who)

    notifyAll = notify_all


class _Described:
    """How queues and channels show themselves."""

    __slots__ = ()

    def __repr__(self):
        return '<%s at 0x%x%s>' % (type(self).__name__, id(self),
                                   self._format())

    def __str__(self):
        return '<%s%s>' % (type(self).__name__, self._format())

    def _format_waiters(self):
        result = ''
        getters = len(self.getters)
        putters = len(self.putters)
        if getters:
            result += ' getters[%s]' % getters
        if putters:
            result += ' putters[%s]' % putters
        return result


class SimpleQueue(_Described, _base.SimpleQueue):
    """A first-in first-out queue.

    :param maxsize: how many items fit (int); None: any number.
    :param items: what is in it at first (iterable).

    Other than the standard one it can have a limit and be looked into. Always
    true; ``len()`` is the number of items; iterating takes items out and ends
    at the item ``StopIteration``.

    A subclass may override ``_init``, ``_qsize``, ``_put`` and ``_get``, and
    keep the items in ``queue`` as it likes.
    """

    __class_getitem__ = classmethod(types.GenericAlias)

    def copy(self):
        """A new queue of the same kind, size and items."""
        return type(self)(self.maxsize, self.queue)

    def _format(self):
        result = ''
        if self.maxsize is not None:
            result += ' maxsize=%r' % (self.maxsize,)
        if getattr(self, 'queue', None):
            result += ' queue=%r' % (self.queue,)
        return result + self._format_waiters()


class Queue(_base.Queue, SimpleQueue):
    """A `SimpleQueue` that counts the tasks its items stand for, and can be
    shut down.

    :param unfinished_tasks: the count to begin with (int); by default the
        number of *items*.

    ``mutex``, ``not_empty``, ``not_full`` and ``all_tasks_done`` are there
    for code that uses those of a standard queue.
    """

    def copy(self):
        """A new queue of the same kind, size, items and count of tasks."""
        return type(self)(self.maxsize, self.queue, self.unfinished_tasks)

    def _format(self):
        result = super()._format()
        if self.unfinished_tasks:
            result += ' tasks=%s' % self.unfinished_tasks
        return result

    @Lazy
    def mutex(self):
        """The lock of the conditions. The queue itself needs none."""
        return Semaphore(1)

    @Lazy
    def not_empty(self):
        """Among those who wait for an item."""
        return _Condition(self, 'getters')

    @Lazy
    def not_full(self):
        """Among those who wait for room."""
        return _Condition(self, 'putters')

    @Lazy
    def all_tasks_done(self):
        """Among those who wait in `join`."""
        return _Condition(self, 'joiners')


#: The same: every queue can be joined.
JoinableQueue = Queue


class UnboundQueue(Queue):
    """A `Queue` without a limit."""

    def __init__(self, maxsize=None, items=()):
        if maxsize is not None:
            raise ValueError("UnboundQueue has no maxsize")
        super().__init__(maxsize, items)


class PriorityQueue(_base.PriorityQueue, Queue):
    """A `Queue` that gives the smallest item first.

    Items are typically tuples ``(priority, data)``.
    """


class LifoQueue(_base.LifoQueue, Queue):
    """A `Queue` that gives the newest item first."""


class Channel(_Described, _base.Channel):
    """A queue without room: `put` waits until somebody gets the item."""

    __class_getitem__ = classmethod(types.GenericAlias)

    def next(self):
        """As ``next(channel)``."""
        return self.__next__()

    def _format(self):
        return self._format_waiters()
