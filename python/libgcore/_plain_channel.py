"""Channels: the plain twin of accel/channel.c."""
from collections import deque
from queue import Empty, Full

from libgcore._plain_base import (
    UNSET, as_seconds, get_hub_if_exists, guard, in_hub, refuse_pickling,
)
from libgcore._plain_timeout import call_timed
from libgcore._plain_wait import Wait, pause

__all__ = ['Channel']


class Channel:
    """A queue in which put() waits until somebody gets the item.

    Here items are handed over. If the receiver is killed before it runs, the
    item goes to the next getter, or back in front as an offer of nobody.
    """

    __slots__ = ('_getters', '_putters', 'hub', '__weakref__')

    __reduce_ex__ = refuse_pickling

    def __init__(self, maxsize=1):
        if maxsize != 1:
            raise ValueError('Channels have a maxsize of 1')
        self._getters = deque()  # waits
        self._putters = deque()  # (item, wait or None)
        self.hub = None

    getters = property(lambda self: deque(self._getters),
                       doc='Who waits for items, oldest first.')
    putters = property(lambda self: deque(self._putters),
                       doc='(item, wait) of each putter.')
    balance = property(lambda self: len(self._putters) - len(self._getters),
                       doc='Waiting putters minus waiting getters.')

    def qsize(self):
        """Always 0."""
        return 0

    def empty(self):
        """Always."""
        return True

    def full(self):
        """Always."""
        return True

    def _new_wait(self):
        wait = Wait(self)
        if self.hub is None:
            self.hub = wait.hub
        return wait

    def _give(self, item):
        # Whether a getter has it now.
        while self._getters:
            if self._getters.popleft().wake(item):
                return True
        return False

    def _give_back(self, item):
        if not self._give(item):
            self._putters.appendleft((item, None))

    def put(self, item, block=True, timeout=None):
        """Give an item to a getter; Full when none comes, at once or within
        `timeout` seconds."""
        return call_timed(self._timed_put, timeout, UNSET, item, block)

    def put_nowait(self, item):
        """put(item, False)"""
        return self.put(item, False)

    def _timed_put(self, item, block, timeout):
        if timeout is not None:
            as_seconds(timeout)
        waits = block and not in_hub()
        wait = self._new_wait() if waits else None
        offer = (item, wait)
        with guard:
            given = self._give(item)
            if waits and not given:
                self._putters.append(offer)
        if given:
            if not in_hub():
                pause()  # the getter runs first
            return
        if not waits:
            raise Full
        try:
            if not wait.park(timeout):
                raise Full
        finally:
            if not wait.woken and offer in self._putters:
                self._putters.remove(offer)

    def get(self, block=True, timeout=None):
        """Take an item from a putter; Empty when none comes, at once or
        within `timeout` seconds."""
        return call_timed(self._timed_get, timeout, UNSET, block)

    def get_nowait(self):
        """get(False)"""
        return self.get(False)

    def _timed_get(self, block, timeout):
        if timeout is not None:
            as_seconds(timeout)
        waits = block and not in_hub()
        wait = self._new_wait() if waits else None
        with guard:
            offer = self._take_offer()
            if waits and offer is None:
                self._getters.append(wait)
        if offer is not None:
            return self._accept(*offer)
        if not waits:
            raise Empty
        return self._get_waiting(wait, timeout)

    def _take_offer(self):
        # The first that still stands; its putter is yet to be woken if it is
        # of this thread.
        hub = get_hub_if_exists()
        while self._putters:
            item, putter = self._putters.popleft()
            if putter is None or putter.hub is hub:
                if putter is None or not putter.over:
                    return item, putter
            elif putter.wake():
                return item, None
        return None

    def _accept(self, item, putter):
        # The putter runs behind us, we behind what is queued already.
        if putter is None:
            return item
        if in_hub():
            putter.wake()
            return item
        try:
            pause(putter)
        except:
            self._give_back(item)
            raise
        return item

    def _get_waiting(self, wait, timeout):
        try:
            if not wait.park(timeout):
                raise Empty
        except:
            if wait.woken:
                self._give_back(wait.value)
            raise
        finally:
            if wait in self._getters:
                self._getters.remove(wait)
        return wait.value

    def __iter__(self):
        return self

    def __next__(self):
        item = self.get()
        if item is StopIteration:
            raise item
        return item
