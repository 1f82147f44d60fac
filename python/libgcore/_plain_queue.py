"""Queues: the plain twin of accel/queue.c.

An item stays in
the queue until a getter that runs takes it, and enters when its putter runs.
"""
import queue as _queue
import warnings
from collections import deque
from heapq import heapify, heappop, heappush
from queue import Empty, Full

from libgcore._plain_base import (
    UNSET, as_seconds, deadline_after, get_hub, get_hub_if_exists, guard,
    in_hub, refuse_pickling,
)
from libgcore._plain_channel import Channel
from libgcore._plain_links import Links, Place
from libgcore._plain_timeout import call_timed

__all__ = [
    'Channel', 'LifoQueue', 'PriorityQueue', 'Queue', 'ShutDown',
    'SimpleQueue',
]

try:
    ShutDown = _queue.ShutDown
except AttributeError:
    class ShutDown(Exception):
        """put() or get() of a queue that was shut down."""

    ShutDown.__module__ = 'queue'


def _check_timeout(timeout):
    if timeout is not None and as_seconds(timeout) < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return timeout


class SimpleQueue:
    """SimpleQueue(maxsize=None, items=())"""

    __slots__ = ('queue', '_maxsize', 'is_shutdown', '_getters', '_putters',
                 'hub', '__weakref__')

    __reduce_ex__ = refuse_pickling

    _tracks_tasks = False

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._getters = Links()
        self._putters = Links()
        self.is_shutdown = False
        self.hub = None
        self._maxsize = None
        return self

    def __init__(self, maxsize=None, items=(), _warn_depth=2):
        self._set_maxsize(maxsize, _warn_depth + 1)
        if items:
            self._init(self._maxsize, items)
        else:
            self._init(self._maxsize)

    # -- hooks that subclasses extend

    def _create_queue(self, items=()):
        return deque(items)

    def _init(self, maxsize, items=()):
        self.queue = self._create_queue(items)

    def _qsize(self):
        return len(self.queue)

    def _put(self, item):
        self.queue.append(item)

    def _get(self):
        return self.queue.popleft()

    def _peek(self):
        return self.queue[0]

    # -- size

    def _set_maxsize(self, maxsize, depth):
        if maxsize is not None and maxsize <= 0:
            if maxsize == 0:
                warnings.warn(
                    'Queue(0) now equivalent to Queue(None); if you want a '
                    'channel, use Channel', DeprecationWarning,
                    stacklevel=depth)
            maxsize = None
        self._maxsize = maxsize

    @property
    def maxsize(self):
        """How many items fit; None for any number."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, value):
        self._set_maxsize(value, 3)
        self._tell_putters()

    def qsize(self):
        """How many items there are."""
        return self._qsize()

    def __len__(self):
        return self._qsize()

    def __bool__(self):
        return True

    def empty(self):
        """Whether there are none."""
        return not self._qsize()

    def full(self):
        """Whether there is no room; never without a maxsize."""
        return self._maxsize is not None and self._qsize() >= self._maxsize

    @property
    def getters(self):
        """Who waits for items, oldest first."""
        return deque(self._getters.waits())

    @property
    def putters(self):
        """Who waits for room, oldest first."""
        return deque(self._putters.waits())

    # -- telling

    def _tell_getters(self):
        if self._getters.places:
            self._getters.tell_until(
                self, float('inf') if self.is_shutdown else self._qsize())

    def _tell_putters(self):
        if not self._putters.places:
            return
        if self._maxsize is None or self.is_shutdown:
            self._putters.tell_all(self)
        else:
            self._putters.tell_until(self, self._maxsize - self._qsize())

    def _park(self, links, place, ready, deadline, tell):
        get_hub()
        if self.hub is None:
            self.hub = get_hub_if_exists()
        try:
            return links.park(place, self, ready, deadline)
        except:
            if place.told:
                tell()
            raise

    # -- put

    def put(self, item, block=True, timeout=None):
        """Put an item in; Full when there is no room, at once or after
        `timeout` seconds."""
        return call_timed(self._timed_put, timeout, UNSET, item, block)

    def put_nowait(self, item):
        """put(item, False)"""
        return self.put(item, False)

    def _timed_put(self, item, block, timeout):
        if block:
            _check_timeout(timeout)
        if self._try_put(item):
            return
        if in_hub():
            self._make_room()
            if self._try_put(item):
                return
            block = False
        if not block:
            raise Full
        self._put_waiting(item, deadline_after(timeout))

    def _try_put(self, item):
        # False: there is no room.
        with guard:
            if self.is_shutdown:
                raise ShutDown
            if self.full():
                return False
            self._put(item)
            if self._tracks_tasks:
                self._unfinished += 1
        self._tell_getters()
        return True

    def _has_room(self):
        return self.is_shutdown or not self.full()

    def _make_room(self):
        # In the hub: let getters that can go on make room.
        for _ in range(len(self._getters)):
            self._tell_getters()
            if not self.full() or not self._getters.run_one():
                return

    def _put_waiting(self, item, deadline):
        place = Place()
        try:
            while self._park(self._putters, place, self._has_room, deadline,
                             self._tell_putters):
                if self._try_put(item):
                    return
        finally:
            self._putters.remove(place)
            self._tell_putters()
        raise Full

    # -- get and peek

    def get(self, block=True, timeout=None):
        """Take an item out; Empty when there is none, at once or after
        `timeout` seconds."""
        return call_timed(self._take, timeout, UNSET, self._get_now, block)

    def get_nowait(self):
        """get(False)"""
        return self.get(False)

    def peek(self, block=True, timeout=None):
        """As get(), but leave the item in the queue."""
        return call_timed(self._take, timeout, UNSET, self._peek, block)

    def peek_nowait(self):
        """peek(False)"""
        return self.peek(False)

    def _get_now(self):
        item = self._get()
        self._tell_putters()
        return item

    def _take(self, take, block, timeout):
        taken = self._try_take(take)
        if not taken and in_hub():
            self._fetch_item()
            taken = self._try_take(take)
            block = False
        if taken:
            return taken[0]
        if not block:
            raise Empty
        return self._take_waiting(
            take, deadline_after(_check_timeout(timeout)))

    def _try_take(self, take):
        # (item,), or () when there is none.
        with guard:
            if self._qsize():
                return (take(),)
            if self.is_shutdown:
                raise ShutDown
            return ()

    def _has_item(self):
        return self.is_shutdown or self._qsize()

    def _fetch_item(self):
        # In the hub: let putters that wait bring an item.
        for _ in range(len(self._putters)):
            self._tell_putters()
            if self._qsize() or not self._putters.run_one():
                return

    def _take_waiting(self, take, deadline):
        place = Place()
        try:
            while self._park(self._getters, place, self._has_item, deadline,
                             self._tell_getters):
                taken = self._try_take(take)
                if taken:
                    return taken[0]
        finally:
            self._getters.remove(place)
            self._tell_getters()
        raise Empty

    def __iter__(self):
        return self

    def __next__(self):
        # Ends at an item that is the StopIteration class.
        item = self.get()
        if item is StopIteration:
            raise item
        return item

    # -- for condition objects on top

    def _links_named(self, who):
        links = {'getters': self._getters, 'putters': self._putters}.get(who)
        if links is None:
            raise ValueError('no such waiters: %s' % (who,))
        return links

    def _wait_with(self, who, timeout=None):
        links = self._links_named(who)
        place = Place()
        tell = {'getters': self._tell_getters,
                'putters': self._tell_putters}.get(who, lambda: None)
        if not self._park(links, place, lambda: False,
                          deadline_after(timeout), tell):
            return False
        links.remove(place)
        return True

    def _tell(self, who, count=None):
        links = self._links_named(who)
        if count is None:
            links.tell_all(self)
            return
        for _ in range(count):
            links.tell_one(self)


class Queue(SimpleQueue):
    """Queue(maxsize=None, items=(), unfinished_tasks=None)"""

    __slots__ = ('_unfinished', '_joiners')

    _tracks_tasks = True

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._unfinished = 0
        self._joiners = Links()
        return self

    def __init__(self, maxsize=None, items=(), unfinished_tasks=None):
        super().__init__(maxsize, items, 3)
        if unfinished_tasks:
            self._unfinished = unfinished_tasks
        elif items:
            self._unfinished = self._qsize()

    @property
    def unfinished_tasks(self):
        """How many items have not been dealt with."""
        return self._unfinished

    @unfinished_tasks.setter
    def unfinished_tasks(self, value):
        self._unfinished = value
        if value <= 0:
            self._joiners.tell_all(self)

    def task_done(self):
        """Say that an item taken out has been dealt with; ValueError when
        more often than items were put in."""
        with guard:
            if self._unfinished <= 0:
                raise ValueError('task_done() called too many times')
            self._unfinished -= 1
        if not self._unfinished:
            self._joiners.tell_all(self)

    def join(self, timeout=None):
        """Wait until all items have been dealt with."""
        if self._unfinished <= 0:
            return True
        return call_timed(self._join, timeout, False)

    def _join(self, timeout):
        place = Place()
        told = self._park(self._joiners, place,
                          lambda: self._unfinished <= 0,
                          deadline_after(timeout), lambda: None)
        if told:
            self._joiners.remove(place)
        return told or self._unfinished <= 0

    def shutdown(self, immediate=False):
        """Let put() raise ShutDown, and get() once the queue is empty;
        `immediate` empties it."""
        self.is_shutdown = True
        if immediate:
            while self._qsize():
                self._get()
                if self._unfinished > 0:
                    self._unfinished -= 1
        if self._unfinished <= 0:
            self._joiners.tell_all(self)
        self._tell_getters()
        self._tell_putters()

    def _links_named(self, who):
        return (self._joiners if who == 'joiners'
                else super()._links_named(who))


class LifoQueue(Queue):
    """LifoQueue(maxsize=None, items=(), unfinished_tasks=None)"""

    __slots__ = ()

    def _create_queue(self, items=()):
        return list(items)

    def _get(self):
        return self.queue.pop()

    def _peek(self):
        return self.queue[-1]


class PriorityQueue(Queue):
    """PriorityQueue(maxsize=None, items=(), unfinished_tasks=None)"""

    __slots__ = ()

    def _create_queue(self, items=()):
        items = list(items)
        heapify(items)
        return items

    def _put(self, item):
        heappush(self.queue, item)

    def _get(self):
        return heappop(self.queue)
