"""Who waits for an object: the plain twin of accel/links.c.

A waiter that is told to look again stays in its list until it has run: then it
takes what it came for and leaves, or waits on in the same place.  So nothing
is handed over that might have to be handed back.
"""
import os
import sys
# Taken before anything can be patched.
from _thread import allocate_lock as _allocate_lock
from _thread import get_ident as _thread_ident

from libgcore._plain_base import (
    UNSET, deadline_after, get_hub, get_hub_if_exists, guard, refuse_pickling,
    seconds_to,
)
from libgcore._plain_timeout import call_timed
from libgcore._plain_wait import Wait

__all__ = ['Linkable', 'Links', 'Place']

_main_ident = _thread_ident()


def _on_fork():
    global _main_ident
    _main_ident = _thread_ident()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_on_fork)


class _NativeWait:
    """A wait by a thread that has no hub and must not get one."""

    __slots__ = ('_lock', 'woken')

    loop_is_open = True

    def __init__(self):
        self._lock = _allocate_lock()
        self._lock.acquire()
        self.woken = False

    def wake(self):
        """Let the thread go on."""
        self.woken = True
        self._lock.release()
        return True

    def park(self, timeout, _keep):
        """Block: True when woken, False after `timeout` seconds."""
        self._lock.acquire(True, -1 if timeout is None else timeout)
        return self.woken


class Place:
    """The place of one waiter in a list."""

    __slots__ = ('wait', 'told')

    is_callback = False

    def __init__(self):
        self.wait = None
        self.told = False

    def tell(self, _owner):
        """Wake it; False when it has given up already."""
        return self.wait.wake()

    @property
    def is_lost(self):
        """Whether it was told, but its greenlet will not be resumed."""
        loop = getattr(self.wait, '_loop', None)
        return loop is not None and (self.wait.abandoned or not loop.is_open)


class _Link:
    """A linked callback, and what the loop calls for it."""

    __slots__ = ('callback', 'hub', 'told')

    is_callback = True
    is_lost = False
    wait = None

    def __init__(self, callback):
        self.callback = callback
        self.hub = get_hub_if_exists()
        self.told = False

    def tell(self, owner):
        """Queue it on the loop of the thread that linked it."""
        hub = self.hub or get_hub()
        loop = hub.loop
        if loop is None or not getattr(loop, 'is_open', True):
            hub = get_hub()
            loop = hub.loop
        if hub is get_hub_if_exists():
            loop.run_callback(self, owner)
        else:
            loop.run_callback_threadsafe(self, owner)
        return True

    def __call__(self, owner):
        links = owner._links
        if self not in links.places or not self.told:
            return
        if not owner._is_open():
            self.told = False
            return
        callback = self.callback
        links.untell_links_to(callback)
        links.remove(self)
        try:
            callback(owner)
        except:  # pylint:disable=bare-except
            hub = self.hub or get_hub()
            hub.handle_error((callback, owner), *sys.exc_info())
        owner._passed()


class Links:
    """Who waits for an object, oldest first."""

    __slots__ = ('places',)

    def __init__(self):
        self.places = {}  # an ordered set

    def __len__(self):
        return len(self.places)

    def waits(self):
        """The waits, oldest first."""
        return [place.wait for place in self.places]

    def add(self, place):
        """Append."""
        self.places[place] = None

    def remove(self, place):
        """Remove, if it is there."""
        with guard:
            self.places.pop(place, None)

    def untell_links_to(self, callback):
        """One notification reaches a callback once."""
        with guard:
            for place in self.places:
                if getattr(place, 'callback', None) is callback:
                    place.told = False

    def _claim(self, enough):
        # The oldest that has not been told, told now; None when there is
        # none, or it is a wait and `enough` of those are told.
        told = 0
        with guard:
            for place in self.places:
                if place.told:
                    told += not (place.is_callback or place.is_lost)
                elif place.is_callback or told < enough:
                    # Told before it is: a callback may run on another thread
                    # before its scheduling returns.
                    place.told = True
                    return place
                else:
                    return None
        return None

    def _tell(self, place, owner):
        # A claimed one; False, and it is removed, when it has given up.
        try:
            accepted = place.tell(owner)
        except:
            place.told = False
            raise
        if not accepted:
            self.remove(place)
        return accepted

    def tell_one(self, owner, enough=float('inf')):
        """Tell the oldest that has not been told, as long as fewer than
        `enough` waits are; False when there is none to be told."""
        while True:
            place = self._claim(enough)
            if place is None:
                return False
            if self._tell(place, owner):
                return True

    def _claim_this(self, place):
        with guard:
            if place.told or place not in self.places:
                return False
            place.told = True
            return True

    def tell_all(self, owner):
        """Tell everyone there is, and who comes meanwhile."""
        more = True
        while more:
            more = False
            for place in list(self.places):
                if self._claim_this(place):
                    more = True
                    self._tell(place, owner)

    def tell_until(self, owner, enough):
        """Tell, in order, until `enough` waits are told; callbacks and those
        whose hub is gone do not count."""
        while self.tell_one(owner, enough):
            pass

    def run_one(self):
        """In the hub: let one that was told run right now."""
        return any(type(place.wait) is Wait and place.wait._run_queued()
                   for place in list(self.places))

    def park(self, place, subject, ready, deadline, is_lock=False):
        """Wait until told, or until ``ready()`` is seen: True, with `place`
        in the list or not; False at the deadline, and out of it. After an
        exception it is out, too; `place.told` says whether the word has to be
        passed on."""
        keep = is_lock and _thread_ident() != _main_ident
        if keep and get_hub_if_exists() is None:
            wait = _NativeWait()
        else:
            wait = Wait(subject)
        with guard:
            # Another thread may have been quicker.
            if ready():
                return True
            place.told = False
            place.wait = wait
            self.add(place)
        try:
            told = wait.park(seconds_to(deadline), keep)
        except:
            self.remove(place)
            raise
        if not told:
            self.remove(place)
        return told


class Linkable:
    """What greenlets can wait for."""

    __slots__ = ('_links', '_hub', '__weakref__')

    __reduce_ex__ = refuse_pickling

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._links = Links()
        self._hub = None
        return self

    @property
    def hub(self):
        """The hub of the first greenlet that waited, or None."""
        return self._hub

    @hub.setter
    def hub(self, value):
        self._hub = value

    def _bind_hub(self):
        if self._hub is None:
            self._hub = get_hub_if_exists()

    def linkcount(self):
        """How many greenlets wait and callbacks are linked."""
        return len(self._links)

    def rawlink(self, callback):
        """Call callback(self) in the hub once this is ready."""
        if not callable(callback):
            raise TypeError('Expected callable: %r' % (callback,))
        self._links.add(_Link(callback))
        self._check_and_notify()

    def unlink(self, callback):
        """Remove what rawlink() added, if it is there."""
        for place in list(self._links.places):
            if isinstance(place, _Link) and place.callback == callback:
                self._links.remove(place)
                self._passed()
                return

    def _is_open(self):
        # Whether a told callback may still run.
        return True

    def _passed(self):
        # A told link has left without taking anything.
        pass

    def _notify(self):
        self._links.tell_all(self)

    def _check_and_notify(self):
        if self.ready():
            self._notify()

    def _wait(self, timeout=None):
        return call_timed(self._wait_once, timeout, UNSET)

    def _wait_once(self, timeout):
        deadline = deadline_after(timeout)
        get_hub()
        self._bind_hub()
        place = Place()
        if not self._links.park(place, self, self.ready, deadline):
            return False
        self._links.remove(place)
        return True

    def _at_fork_reinit(self):
        self._hub = None
