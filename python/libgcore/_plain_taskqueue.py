"""A queue between a hub and its worker threads: the plain twin of the
accelerator's.  A worker is told of each item at once."""
from _queue import Empty, SimpleQueue

__all__ = ['TaskQueue']


class TaskQueue:
    """A queue between a hub and worker threads."""

    __slots__ = ('_items', '__weakref__')

    def __init__(self):
        self._items = SimpleQueue()

    def _put(self, item, loop=None):
        """Put `item` in.  `loop` would allow to tell a worker later."""
        self._items.put(item)

    def _get(self, seconds, loop, otherwise):
        """Take an item, waiting `seconds` (for ever if negative);
        `otherwise` when there was none."""
        try:
            return self._items.get(True, seconds if seconds >= 0 else None)
        except Empty:
            return otherwise

    def drain(self):
        """Take out all items."""
        items = []
        while True:
            try:
                items.append(self._items.get_nowait())
            except Empty:
                return items

    def qsize(self):
        """How many items there are."""
        return self._items.qsize()
