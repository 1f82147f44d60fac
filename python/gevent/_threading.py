"""Native threads and what they need among themselves, whatever is patched.

For :mod:`gevent.threadpool`: all of this blocks the thread it is used in.
"""
from gevent import monkey
from gevent._compat import thread_mod_name
from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore._accel import TaskQueue as _TaskQueue
else:
    from libgcore._plain_taskqueue import TaskQueue as _TaskQueue

__all__ = [
    'Lock',
    'Queue',
    'EmptyTimeout',
]

start_new_thread, Lock, get_thread_ident = monkey.get_original(
    thread_mod_name, ['start_new_thread', 'allocate_lock', 'get_ident'])


class EmptyTimeout(Exception):
    """`Queue.get` has waited in vain."""


_NOTHING = object()


class Queue(_TaskQueue):
    """A first-in first-out queue between native threads.

    ``unfinished_tasks`` counts what was put in and is not dealt with; whoever
    puts things in also has to count them off, in the same thread.
    """

    __slots__ = ('unfinished_tasks',)

    def __init__(self):
        super().__init__()
        self.unfinished_tasks = 0

    def put(self, item, loop=None) -> None:
        """Put *item* in and count it.

        :param loop: the calling thread's, if it is about to wait in it: a
            worker need not be woken before.
        """
        self.unfinished_tasks += 1
        self._put(item, loop)

    def put_uncounted(self, item) -> None:
        """Put *item* in, from any thread."""
        self._put(item)

    def task_done(self) -> None:
        """Count one item off."""
        self.unfinished_tasks -= 1

    def get(self, timeout=-1, loop=None):
        """Take an item, waiting for one.

        :param float timeout: for how long, in seconds; -1: for ever.
        :param loop: one that this thread has queued something in
            (``queue_callback``), to be woken.
        :raise EmptyTimeout: when there was none.
        """
        item = self._get(timeout, loop, _NOTHING)
        if item is _NOTHING:
            raise EmptyTimeout()
        return item

    def empty(self) -> bool:
        """Are there no items?"""
        return not self.qsize()

    def full(self) -> bool:
        """Never: False."""
        return False
