"""Groups of greenlets, and pools, which limit how many run at once."""
from __future__ import annotations

from queue import Full as QueueFull
from typing import Callable, Iterable, Optional

from greenlet import getcurrent

from gevent._imap import IMap, IMapUnordered
from gevent.event import Event
from gevent.greenlet import (
    CallbackLink, Greenlet, joinall, raise_error_of,
)
from gevent.hub import GreenletExit
from gevent.hub import kill as _kill
from gevent.lock import DummySemaphore, Semaphore
from gevent.timeout import Timeout

__all__ = [
    'Group',
    'Pool',
    'PoolFull',
]


class GroupMappingMixin:
    """Calling and mapping functions, for whatever has `spawn`."""

    def spawn(self, func: Callable, *args, **kwargs):
        """Start ``func(*args, **kwargs)``; returns what stands for its
        result, with the interface of a `Greenlet`."""
        raise NotImplementedError

    def _apply_immediately(self):
        # Would waiting for a spawned call be waiting for oneself?
        return False

    def _apply_async_use_greenlet(self):
        # Could spawn() block?
        raise NotImplementedError

    def _apply_async_cb_spawn(self, callback, result):
        # Call a callback that may block.
        raise NotImplementedError

    def apply_cb(self, func: Callable, args=None, kwds=None, callback=None):
        """As `apply`; *callback*, if given, is called with the result.

        :return: the result.
        """
        value = self.apply(func, args, kwds)
        if callback is not None:
            self._apply_async_cb_spawn(callback, value)
        return value

    def apply_async(self, func: Callable, args=None, kwds=None,
                    callback=None):
        """As `apply`, without waiting.

        :param callback: called with the result, if there is one.
        :return: what stands for the result, with the interface of a
            `Greenlet`.
        """
        if self._apply_async_use_greenlet():
            return Greenlet.spawn(self.apply_cb, func, args, kwds, callback)
        running = self.spawn(func, *_or(args, ()), **_or(kwds, {}))
        if callback is not None:
            running.link(pass_value(callback))
        return running

    def apply(self, func: Callable, args=None, kwds=None):
        """``func(*args, **kwds)``, called as `spawn` would.

        :return: what it returns; what it raises is raised here.
        """
        args, kwds = _or(args, ()), _or(kwds, {})
        if not self._apply_immediately():
            return self.spawn(func, *args, **kwds).get()
        return func(*args, **kwds)

    def map(self, func: Callable, iterable: Iterable) -> list:
        """``[func(item) for item in iterable]``, at once."""
        return list(self.imap(func, iterable))

    def map_cb(self, func: Callable, iterable: Iterable,
               callback=None) -> list:
        """As `map`; *callback*, if given, is called with the list."""
        values = self.map(func, iterable)
        if callback is not None:
            callback(values)
        return values

    def map_async(self, func: Callable, iterable: Iterable, callback=None):
        """As `map_cb`, without waiting: a greenlet whose value is the
        list."""
        return Greenlet.spawn(self.map_cb, func, iterable, callback)

    def _imap(self, kind, func, iterables, maxsize=None):
        return kind.spawn(func, zip(*iterables), self.spawn,
                          _zipped=True, maxsize=maxsize)

    def imap(self, func: Callable, *iterables, **kwargs):
        """An iterable over ``func(*items)``, in order, as with `map`.

        :param maxsize: how many results may be computed or ready that have
            not been taken (int, by keyword); by default any number.
        """
        return self._imap(IMap, func, iterables, **kwargs)

    def imap_unordered(self, func: Callable, *iterables, **kwargs):
        """As `imap`, with the results as they come."""
        return self._imap(IMapUnordered, func, iterables, **kwargs)


def _or(given, default):
    return default if given is None else given


class Group(GroupMappingMixin):
    """Greenlets that are waited for or killed together.

    :param args: at most one iterable of greenlets to begin with.

    A greenlet leaves the group when it has ended.
    """

    #: The class of the greenlets that `spawn` makes.
    greenlet_class = Greenlet

    def __init__(self, *args):
        assert len(args) <= 1, args
        self.greenlets = set()
        # Those that have been killed but have not ended yet.
        self.dying = set()
        self._empty_event = Event()
        self._empty_event.set()
        for greenlet in set(*args):
            Group.add(self, greenlet)

    def __repr__(self):
        return f'<{type(self).__name__} at {id(self):#x} {self.greenlets}>'

    def __len__(self):
        """How many greenlets there are; an empty group is false."""
        return len(self.greenlets)

    def __contains__(self, item):
        return item in self.greenlets

    def __iter__(self):
        return iter(self.greenlets)

    def add(self, greenlet) -> None:
        """Take *greenlet* into the group, until it ends."""
        if greenlet not in self.greenlets:
            greenlet.rawlink(self._discard)
            self.greenlets.add(greenlet)
            self._empty_event.clear()

    def _discard(self, greenlet):
        # True when it was there.
        self.dying.discard(greenlet)
        if greenlet not in self.greenlets:
            return False
        self.greenlets.remove(greenlet)
        if not self.greenlets:
            self._empty_event.set()
        return True

    def discard(self, greenlet) -> None:
        """Take *greenlet* out of the group, if it is there."""
        self._discard(greenlet)
        greenlet.unlink(self._discard)

    def start(self, greenlet) -> None:
        """Start *greenlet* and take it into the group."""
        self.add(greenlet)
        greenlet.start()

    def spawn(self, *args, **kwargs):
        """Start a greenlet with these arguments, in the group; returns it."""
        member = self.greenlet_class(*args, **kwargs)
        self.start(member)
        return member

    def join(self, timeout: Optional[float] = None,
             raise_error: bool = False) -> bool:
        """Wait until the group is empty, for at most *timeout* seconds.

        :param raise_error: raise what one of the greenlets raised?
        :return: is it empty?
        """
        members = list(self.greenlets) if raise_error else []
        empty = self._empty_event.wait(timeout=timeout)
        for member in members:
            if member.exception is not None:
                raise_error_of(member)
        return empty

    def kill(self, exception=GreenletExit, block: bool = True,
             timeout: Optional[float] = None) -> None:
        """Kill all greenlets of the group, each once.

        :param block: wait until the group is empty, for at most *timeout*
            seconds?
        """
        with Timeout._start_new_or_dummy(timeout) as limit:
            try:
                self._kill_all(exception)
                while block and self.greenlets:
                    joinall(self.greenlets)
                    self._kill_all(exception)  # those added meanwhile
            except Timeout as error:
                if error is not limit:
                    raise

    def _kill_all(self, exception):
        for greenlet in list(self.greenlets):
            self._kill_once(greenlet, exception)

    def _kill_once(self, greenlet, exception):
        if greenlet in self.dying:
            return
        if hasattr(greenlet, 'kill'):
            greenlet.kill(exception, block=False)
        else:  # a raw one
            _kill(greenlet, exception)
        self.dying.add(greenlet)

    def killone(self, greenlet, exception=GreenletExit, block: bool = True,
                timeout: Optional[float] = None) -> None:
        """Kill *greenlet*, if it is in the group and was not killed yet.

        :param block: wait until it ends, for at most *timeout* seconds?
        """
        if greenlet not in self.greenlets.difference(self.dying):
            return
        self._kill_once(greenlet, exception)
        if block:
            greenlet.join(timeout)

    def full(self) -> bool:
        """A group is never full: False."""
        return False

    def wait_available(self, timeout: Optional[float] = None):
        """Wait until a greenlet can be started: at once."""

    def _apply_immediately(self):
        # A greenlet of the group must not wait for room in it.
        return getcurrent() in self

    def _apply_async_cb_spawn(self, callback, result):
        Greenlet.spawn(callback, result)

    def _apply_async_use_greenlet(self):
        return self.full()


class PoolFull(QueueFull):
    """There is no room in a pool for another greenlet."""


class Pool(Group):
    """A `Group` that holds a limited number of greenlets.

    :param size: how many (int); None: any number; 0 is possible.
    :param greenlet_class: the class of the greenlets that `spawn` makes.

    `spawn`, `start` and `add` wait until there is room.
    """

    def __init__(self, size: Optional[int] = None, greenlet_class=None):
        if size is not None and size < 0:
            raise ValueError('size must not be negative: %r' % (size,))
        Group.__init__(self)
        self.size = size
        if greenlet_class is not None:
            self.greenlet_class = greenlet_class
        self._semaphore = (DummySemaphore() if size is None
                           else Semaphore(size))

    def wait_available(self, timeout: Optional[float] = None) -> int:
        """Wait until there is room, for at most *timeout* seconds.

        :return: for how many there is.
        """
        return self._semaphore.wait(timeout=timeout)

    def full(self) -> bool:
        """Is there no room?"""
        return self.free_count() <= 0

    def free_count(self) -> int:
        """For how many greenlets there is room; 1 without a limit."""
        return 1 if self.size is None else max(0, self.size - len(self))

    def start(self, greenlet, *args, **kwargs) -> None:
        """`add` *greenlet*, with the other arguments, and start it."""
        self.add(greenlet, *args, **kwargs)
        greenlet.start()

    def add(self, greenlet, blocking: bool = True,
            timeout: Optional[float] = None) -> None:
        """Take *greenlet* into the pool, until it ends.

        :param blocking: wait for room, for at most *timeout* seconds?
        :raise PoolFull: when there is none.
        """
        if not self._semaphore.acquire(blocking, timeout):
            # Without a limit there is always room.
            raise PoolFull()
        if greenlet in self.greenlets:
            self._semaphore.release()
            return
        added = False
        try:
            Group.add(self, greenlet)
            added = True
        finally:
            if not added:
                self._semaphore.release()

    def _discard(self, greenlet):
        if not Group._discard(self, greenlet):
            return False
        self._semaphore.release()
        return True


class pass_value(CallbackLink):
    """A link that calls *callback* with the value of its source, if it has
    one."""

    __slots__ = ()

    def __call__(self, source):
        if source.successful():
            self.callback(source.value)
