"""Groups of greenlets, and pools, which limit how many run at once."""
from __future__ import annotations

from queue import Full as QueueFull
from typing import Callable, Iterable, Optional

from greenlet import getcurrent

from gevent._imap import IMap, IMapUnordered
from gevent.event import Event
from gevent.greenlet import Greenlet, joinall
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
        result = self.apply(func, args, kwds)
        if callback is not None:
            self._apply_async_cb_spawn(callback, result)
        return result

    def apply_async(self, func: Callable, args=None, kwds=None,
                    callback=None):
        """As `apply`, without waiting.

        :param callback: called with the result, if there is one.
        :return: what stands for the result, with the interface of a
            `Greenlet`.
        """
        if args is None:
            args = ()
        if kwds is None:
            kwds = {}
        if self._apply_async_use_greenlet():
            return Greenlet.spawn(self.apply_cb, func, args, kwds, callback)
        greenlet = self.spawn(func, *args, **kwds)
        if callback is not None:
            greenlet.link(pass_value(callback))
        return greenlet

    def apply(self, func: Callable, args=None, kwds=None):
        """``func(*args, **kwds)``, called as `spawn` would.

        :return: what it returns; what it raises is raised here.
        """
        if args is None:
            args = ()
        if kwds is None:
            kwds = {}
        if self._apply_immediately():
            return func(*args, **kwds)
        return self.spawn(func, *args, **kwds).get()

    def map(self, func: Callable, iterable: Iterable) -> list:
        """``[func(item) for item in iterable]``, at once."""
        return list(self.imap(func, iterable))

    def map_cb(self, func: Callable, iterable: Iterable,
               callback=None) -> list:
        """As `map`; *callback*, if given, is called with the list."""
        result = self.map(func, iterable)
        if callback is not None:
            callback(result)
        return result

    def map_async(self, func: Callable, iterable: Iterable, callback=None):
        """As `map_cb`, without waiting: a greenlet whose value is the
        list."""
        return Greenlet.spawn(self.map_cb, func, iterable, callback)

    def __imap(self, cls, func, *iterables, **kwargs):
        maxsize = kwargs.pop('maxsize', None)
        if kwargs:
            raise TypeError("Unsupported keyword arguments")
        return cls.spawn(func, zip(*iterables), self.spawn,
                         _zipped=True, maxsize=maxsize)

    def imap(self, func: Callable, *iterables, **kwargs):
        """An iterable over ``func(*items)``, in order, as with `map`.

        :param maxsize: how many results may be computed or ready that have
            not been taken (int, by keyword); by default any number.
        """
        return self.__imap(IMap, func, *iterables, **kwargs)

    def imap_unordered(self, func: Callable, *iterables, **kwargs):
        """As `imap`, with the results as they come."""
        return self.__imap(IMapUnordered, func, *iterables, **kwargs)


class Group(GroupMappingMixin):
    """Greenlets that are waited for or killed together.

    :param args: at most one iterable of greenlets to begin with.

    A greenlet leaves the group when it has ended.
    """

    #: The class of the greenlets that `spawn` makes.
    greenlet_class = Greenlet

    def __init__(self, *args):
        assert len(args) <= 1, args
        self.greenlets = set(*args)
        for greenlet in self.greenlets:
            greenlet.rawlink(self._discard)
        # Those that have been killed but have not ended yet.
        self.dying = set()
        self._empty_event = Event()
        if not self.greenlets:
            self._empty_event.set()

    def __repr__(self):
        return '<%s at 0x%x %s>' % (self.__class__.__name__, id(self),
                                    self.greenlets)

    def __len__(self):
        """How many greenlets there are; an empty group is false."""
        return len(self.greenlets)

    def __contains__(self, item):
        return item in self.greenlets

    def __iter__(self):
        return iter(self.greenlets)

    def add(self, greenlet) -> None:
        """Take *greenlet* into the group, until it ends."""
        if greenlet in self.greenlets:
            return
        greenlet.rawlink(self._discard)
        self.greenlets.add(greenlet)
        self._empty_event.clear()

    def _discard(self, greenlet):
        # True when it was there.
        known = greenlet in self.greenlets
        self.greenlets.discard(greenlet)
        self.dying.discard(greenlet)
        if not self.greenlets:
            self._empty_event.set()
        return known

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
        greenlet = self.greenlet_class(*args, **kwargs)
        self.start(greenlet)
        return greenlet

    def join(self, timeout: Optional[float] = None,
             raise_error: bool = False) -> bool:
        """Wait until the group is empty, for at most *timeout* seconds.

        :param raise_error: raise what one of the greenlets raised?
        :return: is it empty?
        """
        greenlets = list(self.greenlets) if raise_error else ()
        result = self._empty_event.wait(timeout=timeout)
        for greenlet in greenlets:
            if greenlet.exception is not None:
                if hasattr(greenlet, '_raise_exception'):
                    greenlet._raise_exception()
                raise greenlet.exception
        return result

    def kill(self, exception=GreenletExit, block: bool = True,
             timeout: Optional[float] = None) -> None:
        """Kill all greenlets of the group, each once.

        :param block: wait until the group is empty, for at most *timeout*
            seconds?
        """
        timer = Timeout._start_new_or_dummy(timeout)
        with timer:
            try:
                while self.greenlets:
                    for greenlet in list(self.greenlets):
                        self._kill_once(greenlet, exception)
                    if not block:
                        break
                    joinall(self.greenlets)
            except Timeout as ex:
                if ex is not timer:
                    raise

    def _kill_once(self, greenlet, exception):
        if greenlet in self.dying:
            return
        kill = getattr(greenlet, 'kill', None)
        if kill is None:
            _kill(greenlet, exception)
        else:
            kill(exception, block=False)
        self.dying.add(greenlet)

    def killone(self, greenlet, exception=GreenletExit, block: bool = True,
                timeout: Optional[float] = None) -> None:
        """Kill *greenlet*, if it is in the group and was not killed yet.

        :param block: wait until it ends, for at most *timeout* seconds?
        """
        if greenlet in self.dying or greenlet not in self.greenlets:
            return
        greenlet.kill(exception, block=False)
        self.dying.add(greenlet)
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
        if self.size is None:
            return 1
        return max(0, self.size - len(self))

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
        try:
            Group.add(self, greenlet)
        except:
            self._semaphore.release()
            raise

    def _discard(self, greenlet):
        known = Group._discard(self, greenlet)
        if known:
            self._semaphore.release()
        return known


class pass_value:
    """A link that calls *callback* with the value of its source, if it has
    one."""

    __slots__ = ['callback']

    def __init__(self, callback):
        self.callback = callback

    def __call__(self, source):
        if source.successful():
            self.callback(source.value)

    def __hash__(self):
        return hash(self.callback)

    def __eq__(self, other):
        return self.callback == getattr(other, 'callback', other)

    def __str__(self):
        return str(self.callback)

    def __repr__(self):
        return repr(self.callback)

    def __getattr__(self, item):
        assert item != 'callback'
        return getattr(self.callback, item)
