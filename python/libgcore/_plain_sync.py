"""The plain Python twin of the accelerator's events, semaphores and timeouts.

The same names and behaviour as in C, run by the same tests. A waiter that is
told to look again stays in its list until it has run: then it takes what it
came for and leaves, or waits on in the same place. So nothing is handed over
that might have to be handed back.
"""
import os
import sys
# Taken before anything can be patched.
from _thread import allocate_lock as _allocate_lock
from _thread import get_ident as _thread_ident
from time import monotonic as _monotonic

from greenlet import getcurrent

from libgcore._plain_base import get_hub, get_hub_if_exists, guard
from libgcore._plain_wait import Wait, pause

__all__ = [
    'BoundedSemaphore', 'Event', 'Linkable', 'Links', 'NO_TIMER', 'Place',
    'RLock',
    'Result', 'Semaphore', 'Timeout', 'UNSET', 'as_seconds', 'call_timed',
    'deadline_after', 'in_hub', 'refuse_pickling',
]

_main_ident = _thread_ident()


def _on_fork():
    global _main_ident
    _main_ident = _thread_ident()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_on_fork)


def in_hub():
    """True in the hub greenlet itself, which can never wait."""
    hub = get_hub_if_exists()
    return hub is not None and getcurrent() is hub


def as_seconds(value):
    """`value` as a float; TypeError unless it is a number."""
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError('must be real number, not %s' % type(value).__name__)
    return float(value)


def deadline_after(seconds):
    """`seconds` from now; None for None."""
    return None if seconds is None else _monotonic() + as_seconds(seconds)


def refuse_pickling(self, _protocol):
    """What objects that greenlets wait for have as ``__reduce_ex__``."""
    raise TypeError('cannot pickle %r object' % (type(self).__name__,))


def _seconds_to(deadline):
    return None if deadline is None else max(0.0, deadline - _monotonic())


# ---- lists of waiters -------------------------------------------------------


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
            told = wait.park(_seconds_to(deadline), keep)
        except:
            self.remove(place)
            raise
        if not told:
            self.remove(place)
        return told


# ---- time limits ------------------------------------------------------------


def call_timed(method, timeout, expired, *args):
    """``method(*args, timeout)``. Where `timeout` is a Timeout object, that
    one runs meanwhile and None is passed; when it expires, returns `expired`
    unless that is UNSET."""
    if not isinstance(timeout, Timeout):
        return method(*args, timeout)
    if not timeout.pending:
        timeout.start()
    try:
        return method(*args, None)
    except BaseException as error:
        if error is timeout and expired is not UNSET:
            return expired
        raise
    finally:
        timeout.cancel()


# ---- objects with links -----------------------------------------------------


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


class Event(Linkable):
    """A flag that greenlets, of any thread, wait for."""

    __slots__ = ('_flag', '_set_in', '_set_position')

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._flag = False
        self._set_in = None
        self._set_position = 0
        return self

    def is_set(self):
        """Whether the flag is set."""
        return self._flag

    isSet = ready = is_set

    def set(self):
        """Set the flag; wake everyone who waits now."""
        self._flag = True
        if not self._links.places:
            return
        hub = get_hub_if_exists()
        if hub is not None and not self._set_is_underway():
            self._set_in = hub.loop
            self._set_position = hub.loop._taken + len(hub.loop._queue)
        self._links.tell_all(self)

    def _set_is_underway(self):
        # set() wakes everyone who waits by the time its turn in the queue
        # comes, also when clear() follows at once.
        hub = get_hub_if_exists()
        return (hub is not None and hub.loop is self._set_in
                and hub.loop._taken <= self._set_position)

    def clear(self):
        """Reset the flag. Who was woken by set() still returns."""
        self._flag = False

    def wait(self, timeout=None):
        """Wait until the flag is set; False when `timeout` seconds ran
        out."""
        if self._flag or self._set_is_underway():
            # Those who were told already run first, and without the flag each
            # wait takes its turn.
            if ((not self._flag or any(
                    place.told and place.wait is not None
                    for place in self._links.places))
                    and get_hub_if_exists() is not None
                    and not in_hub()):
                pause()
            return True
        return call_timed(self._wait_for_flag, timeout, False)

    def _wait_for_flag(self, timeout):
        return self._wait_once(timeout) or self._flag


class _Unset:

    __slots__ = ()


#: A result's value before there is one.
UNSET = _Unset()


class Result(Linkable):
    """A value or an exception, awaited by many."""

    __slots__ = ('_value', '_exc_info')

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._value = UNSET
        self._exc_info = ()
        return self

    def ready(self):
        """Whether there is a value or an exception."""
        return self._value is not UNSET or bool(self._exc_info)

    def _settle(self, value):
        self._value = value
        self._links.tell_all(self)

    def _fail(self, exc_info):
        self._exc_info = exc_info
        self._links.tell_all(self)


# ---- semaphores -------------------------------------------------------------


class Semaphore(Linkable):
    """Permits to be taken and given by greenlets of any thread.

    A free permit goes to whoever asks first: release() only tells the oldest
    waiter to look.
    """

    __slots__ = ('_counter', '_initial_value', '_holder')

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._holder = 0  # the id of who took the last permit, for reports
        self._counter = self._initial_value = 1
        return self

    def __init__(self, value=1, hub=None):
        try:
            value = int(value)
        except (TypeError, ValueError):
            raise TypeError('an integer is required') from None
        if value < 0:
            raise ValueError('semaphore initial value must be >= 0')
        self._counter = self._initial_value = value
        self._hub = hub

    @property
    def counter(self):
        """How many permits there are."""
        return self._counter

    @counter.setter
    def counter(self, value):
        # Pools grow by ``counter += n``: who waits has to hear of it.
        self._counter = value
        self._notify()

    def locked(self):
        """Whether acquire() would wait."""
        return self._counter <= 0

    def ready(self):
        """Whether acquire() would not wait."""
        return self._counter > 0

    _is_open = ready

    def _notify(self):
        if self._counter > 0 and self._links.places:
            self._links.tell_until(self, self._counter)

    _passed = _notify

    def acquire(self, blocking=True, timeout=None):
        """Take a permit; False when there is none and `blocking` is false,
        or none came within `timeout` seconds."""
        if self._take():
            return True
        if not blocking:
            return False
        return call_timed(self._await_permit, timeout, False, self._take)

    def _take(self):
        with guard:
            if self._counter <= 0:
                return False
            self._counter -= 1
            hub = get_hub_if_exists()
            if not self._counter and hub is not None:
                self._holder = getattr(hub.loop, 'running_id', 0)
            return True

    def wait(self, timeout=None):
        """Wait until there is a permit, without taking it, and return how
        many there are."""
        if self._counter <= 0:
            call_timed(self._await_permit, timeout, False, self.ready)
        return self._counter

    def _await_permit(self, done, timeout):
        deadline = deadline_after(timeout)
        self._bind_hub()
        place = Place()
        while True:
            try:
                told = self._links.park(place, self, self.ready, deadline,
                                        True)
            except:
                if place.told:
                    self._notify()
                raise
            if not told:
                return False
            self._bind_hub()
            if done():
                break
        self._links.remove(place)
        self._notify()
        return True

    def release(self):
        """Give a permit; returns how many there are."""
        with guard:
            self._counter += 1
        if self._links.places:
            self._notify()
        return self._counter

    def __enter__(self):
        self.acquire()

    def __exit__(self, typ, value, tb):
        self.release()


class BoundedSemaphore(Semaphore):
    """A semaphore that refuses more releases than acquires."""

    __slots__ = ()

    _OVER_RELEASE_ERROR = ValueError

    def release(self):
        """As Semaphore's, but raises ValueError above the initial value."""
        if self._counter >= self._initial_value:
            raise self._OVER_RELEASE_ERROR(
                'Semaphore released too many times')
        counter = Semaphore.release(self)
        if counter == self._initial_value and not self._links.places:
            self._hub = None
        return counter

    def _release_lock(self):
        """As `release`, but returns None, as locks do."""
        BoundedSemaphore.release(self)


class RLock:
    """A lock that its owner, a greenlet, may take again."""

    __slots__ = ('_block', '_owner', '_count', '__weakref__')

    __reduce_ex__ = refuse_pickling

    #: What makes the lock inside.
    semaphore = Semaphore

    def __init__(self, hub=None):
        self._block = self.semaphore(1, hub)
        self._owner = None
        self._count = 0

    def _current(self):
        try:
            return getcurrent()
        except RuntimeError:
            # The interpreter ends; nobody else is left.
            return self._owner

    def acquire(self, blocking=True, timeout=None):
        """Take the lock, or take it once more; False when it is not to be
        had, at once or within `timeout` seconds (None or -1: for ever)."""
        me = self._current()
        if self._count and self._owner is me:
            self._count += 1
            return 1
        if timeout == -1:
            timeout = None
        taken = self._block.acquire(blocking, timeout)
        if taken:
            self._owner = me
            self._count = 1
        return taken

    def __enter__(self):
        return self.acquire()

    def release(self):
        """Give the lock back once; RuntimeError unless the current greenlet
        owns it."""
        me = self._current()
        if not self._count or self._owner is not me:
            raise RuntimeError(
                'cannot release un-acquired lock. Owner: %r Current: %r'
                % (self._owner, me))
        self._count -= 1
        if not self._count:
            self._owner = None
            self._block.release()

    def __exit__(self, typ, value, tb):
        self.release()

    def locked(self):
        """Whether some greenlet owns it."""
        return self._count > 0

    # What conditions and threading need.

    def _acquire_restore(self, count_owner):
        self._block.acquire()
        self._count, self._owner = count_owner

    def _release_save(self):
        if not self._count:
            raise RuntimeError('cannot release un-acquired lock')
        saved = self._count, self._owner
        self._count = 0
        self._owner = None
        self._block.release()
        return saved

    def _is_owned(self):
        return self._count > 0 and self._owner is self._current()

    def _recursion_count(self):
        return self._count if self._is_owned() else 0

    def _at_fork_reinit(self):
        # Whoever held it or waited for it may be gone.
        self._block = self.semaphore(1)
        self._owner = None
        self._count = 0


# ---- timeouts ---------------------------------------------------------------


class _NoTimer:
    """The timer of a timeout that never fires."""

    __slots__ = ()

    pending = False
    active = False

    def start(self, *args, **kwargs):
        """Raises AssertionError."""
        raise AssertionError('non-expiring timer cannot be started')

    def stop(self):
        """Nothing to stop."""

    cancel = close = stop

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass


#: The timer of all timeouts that never fire.
NO_TIMER = _NoTimer()


class Timeout(BaseException):
    """An exception with a timer that throws it."""

    def __init__(self, seconds=None, exception=None, ref=True, priority=-1,
                 _one_shot=False):
        BaseException.__init__(self)
        if seconds is not None:
            self._after = as_seconds(seconds)
        self.seconds = seconds
        self.exception = exception
        self._ref = ref
        self._priority = priority
        self._one_shot = _one_shot
        self._timer = NO_TIMER if seconds is None else None

    @property
    def timer(self):
        """Its timer."""
        if self._timer is None:
            self._timer = get_hub().loop.timer(
                self._after, ref=self._ref, priority=self._priority)
        return self._timer

    @timer.setter
    def timer(self, value):
        self._timer = value

    @property
    def pending(self):
        """Whether the timer is running."""
        timer = self._timer
        return timer is not None and bool(timer.active or timer.pending)

    def start(self):
        """Start the timer, for the current greenlet; AssertionError when it
        is running."""
        if self.pending:
            raise AssertionError(
                '%r is already started; to restart it, cancel it first'
                % (self,))
        if self.seconds is None:
            return
        thrown = self.exception
        if thrown is None or thrown is False or isinstance(thrown, str):
            thrown = self
        # The loop's idea of now is what it was when this greenlet got
        # control.
        self.timer.start(self._on_expiration, getcurrent(), thrown,
                         update=True)

    def _on_expiration(self, prev_greenlet, ex):
        # Called in the hub when the time has run out.
        prev_greenlet.throw(ex)

    def cancel(self):
        """Stop the timer; the timeout may be started again."""
        if self._one_shot:
            self.close()
        elif self._timer is not None:
            self._timer.stop()

    def close(self):
        """Stop the timer and free it; the timeout cannot be used again."""
        timer, self._timer = self._timer, NO_TIMER
        if timer is not None:
            timer.stop()
            timer.close()

    def __enter__(self):
        if not self.pending:
            self.start()
        return self

    def __exit__(self, typ, value, tb):
        # Only its own expiration is kept from leaving the block.
        self.close()
        return value is self and self.exception is False
