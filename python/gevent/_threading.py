"""Native threads and what they need among themselves, whatever is patched.

For :mod:`gevent.threadpool`: all of this blocks the thread it is used in.
"""
from _queue import Empty as _Empty
from _queue import SimpleQueue as _SimpleQueue

from gevent import monkey
from gevent._compat import thread_mod_name

__all__ = [
    'Lock',
    'Queue',
    'EmptyTimeout',
]

start_new_thread, Lock, get_thread_ident = monkey.get_original(
    thread_mod_name, ['start_new_thread', 'allocate_lock', 'get_ident'])


class EmptyTimeout(Exception):
    """`Queue.get` has waited in vain."""


class Queue:
    """A first-in first-out queue between native threads.

    ``unfinished_tasks`` counts what was put in and is not dealt with; whoever
    puts things in also has to count them off, in the same thread.
    """

    __slots__ = ('_queue', 'unfinished_tasks', '__weakref__')

    def __init__(self):
        self._queue = _SimpleQueue()
        self.unfinished_tasks = 0

    def put(self, item) -> None:
        """Put *item* in and count it."""
        self.unfinished_tasks += 1
        self._queue.put(item)

    def put_uncounted(self, item) -> None:
        """Put *item* in, from any thread."""
        self._queue.put(item)

    def task_done(self) -> None:
        """Count one item off."""
        self.unfinished_tasks -= 1

    def get(self, timeout=-1):
        """Take an item, waiting for one.

        :param float timeout: for how long, in seconds; -1: for ever.
        :raise EmptyTimeout: when there was none.
        """
        try:
            return self._queue.get(True, timeout if timeout >= 0 else None)
        except _Empty:
            raise EmptyTimeout() from None

    def qsize(self) -> int:
        """How many items there are."""
        return self._queue.qsize()

    def empty(self) -> bool:
        """Are there none?"""
        return self._queue.empty()

    def full(self) -> bool:
        """Never: False."""
        return False

    def drain(self) -> list:
        """Take out all items."""
        items = []
        while True:
            try:
                items.append(self._queue.get_nowait())
            except _Empty:
                return items
