"""Mapping over iterables with greenlets, for :mod:`gevent.pool`."""
from functools import partial

from gevent.greenlet import Greenlet
from gevent.lock import Semaphore
from gevent.queue import UnboundQueue

__all__ = [
    'IMapUnordered',
    'IMap',
]


class Failure:
    """An exception among results."""

    __slots__ = ('exc', '_raise')

    def __init__(self, exc, raise_exception=None):
        self.exc = exc
        self._raise = raise_exception

    def throw(self):
        """Raise it, with its traceback where that is known."""
        if self._raise:
            self._raise()
        raise self.exc


class IMapUnordered(Greenlet):
    """Runs *func* for every item, by *spawn*, and iterates over the results as
    they come.

    :param maxsize: how many results may be computed or ready that the caller
        has not taken (int); None or 0: any number.
    :param _zipped: are the items tuples of arguments? (bool)

    The greenlet itself takes the items from *iterable*.
    """

    def __init__(self, func, iterable, spawn, maxsize=None, _zipped=False):
        super().__init__()
        self.func, self.iterable, self.spawn = func, iterable, spawn
        self._zipped = _zipped
        self.queue = UnboundQueue()  # of (index, result)
        self._get = self.queue.get
        self._room = None
        if maxsize:
            self._room = Semaphore(maxsize)
            self._get = self._get_and_make_room
        self._count = 0  # of results, those to come included
        self._running = 0
        self._spawned_all = False
        self.finished = False

    # ---- the consumer

    def __iter__(self):
        return self

    def __next__(self):
        if not self.finished:
            result = self._inext()
            if type(result) is not Failure:
                return result
            self.finished = isinstance(result.exc, StopIteration)
            if not self.finished:
                result.throw()
        raise StopIteration

    next = __next__

    def _inext(self):
        return self._get()[1]

    def _get_and_make_room(self):
        result = self.queue.get()
        self._room.release()
        return result

    # ---- the producer

    def _run(self):
        try:
            for item in self.iterable:
                self._ispawn(item)
        except BaseException as ex:
            self._add(Failure(ex))
            raise
        finally:
            self._spawned_all = True
            self._end_if_done()
            self.__dict__.pop('spawn', None)
            self.func = self.iterable = None

    def _ispawn(self, item):
        if self._room is not None:
            self._room.acquire()
        greenlet = (self.spawn(self.func, *item) if self._zipped
                    else self.spawn(self.func, item))
        self._running += 1
        greenlet.rawlink(partial(self._on_result, self._count))
        self._count += 1

    def _on_result(self, index, greenlet):
        if greenlet.successful():
            result = greenlet.value
        else:
            result = Failure(greenlet.exception,
                             getattr(greenlet, '_raise_exception', None))
        self.queue.put((index, result))
        self._running -= 1
        if self._spawned_all:
            self._end_if_done()

    def _end_if_done(self):
        if not self._running:
            self._add(Failure(StopIteration()))

    def _add(self, failure):
        # Behind all results there are, or will be.
        self.queue.put((self._count, failure))
        self._count += 1


class IMap(IMapUnordered):
    """As `IMapUnordered`, with the results in the order of the items."""

    def __init__(self, *args, **kwargs):
        self._next_index = 0
        self._early = {}  # results that came before their turn, by index
        super().__init__(*args, **kwargs)

    def _inext(self):
        wanted = self._next_index
        early = self._early
        while wanted not in early:
            index, result = self._get()
            if index == wanted:
                break
            early[index] = result
        else:
            result = early.pop(wanted)
        self._next_index = wanted + 1
        return result
