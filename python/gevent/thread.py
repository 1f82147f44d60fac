"""
The standard `_thread` module, with greenlets in place of threads.

A greenlet's identity is its ``id()``; a lock is a semaphore. The names for
joinable threads (`start_joinable_thread`, `_ThreadHandle`, ...), which the
standard module has since 3.13, are here on every version.
"""
import sys
from weakref import WeakSet

import _thread
from _thread import RLock
from _thread import TIMEOUT_MAX
from _thread import error
from _thread import get_native_id
from _thread import interrupt_main

from greenlet import getcurrent

from gevent._hub_local import get_hub_if_exists
from gevent.event import Event
from gevent.exceptions import LoopExit
from gevent.greenlet import Greenlet
from gevent.hub import GreenletExit
from gevent.hub import sleep
from gevent.local import local as _local
from gevent.lock import BoundedSemaphore

__target__ = '_thread'

__implements__ = [
    'allocate_lock',
    'get_ident',
    'exit',
    'LockType',
    'stack_size',
    'start_new_thread',
    '_local',
]

if sys.version_info >= (3, 13):
    __implements__ += [
        'start_joinable_thread',
        'lock',
        '_ThreadHandle',
        '_make_thread_handle',
    ]

__imports__ = [
    'error',
    'TIMEOUT_MAX',
    'allocate',
    'exit_thread',
    'interrupt_main',
    'start_new',
    'get_native_id',
    'RLock',
]

if sys.version_info >= (3, 12):
    from _thread import daemon_threads_allowed
    __imports__.append('daemon_threads_allowed')

__all__ = [
    'allocate_lock',
    'get_ident',
    'exit',
    'LockType',
    'stack_size',
    'start_new_thread',
] + __imports__


class LockType(BoundedSemaphore):
    """A lock, with the interface of the native one."""

    # What release() of a free lock raises.
    _OVER_RELEASE_ERROR = error

    def __init__(self):
        super().__init__()

    def __init_subclass__(cls):
        raise TypeError(
            "type 'gevent.thread.LockType' is not an acceptable base type")

    def acquire(self, blocking=True, timeout=-1):
        """Take the lock.

        :param bool blocking: wait until the lock is free?
        :param float timeout: for at most so many seconds; -1: for ever.
        :return: was the lock taken? (bool)
        :raise ValueError: for another negative timeout, or for a timeout
            without *blocking*.
        :raise OverflowError: for a timeout above `TIMEOUT_MAX`.
        """
        if timeout == -1:
            timeout = None
        elif timeout is not None:
            _check_timeout(blocking, timeout)
        if blocking:
            return BoundedSemaphore.acquire(self, True, timeout)
        try:
            acquired = BoundedSemaphore.acquire(self, False)
        except LoopExit:
            # Another thread has it, and nothing here could set it free.
            acquired = False
        if not acquired:
            _give_way()
        return acquired

    release = BoundedSemaphore._release_lock

    def __repr__(self):
        return '<%s gevent.thread.LockType object at 0x%x counter=%s _links[%s]>' % (
            'locked' if self.locked() else 'unlocked', id(self), self.counter,
            self.linkcount())

    def _at_fork_reinit(self):
        # As the native one does, this also sets it free.
        super()._at_fork_reinit()
        self.counter = 1


def _check_timeout(blocking, timeout):
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError('timeout value must be a non-negative number')
    if timeout > TIMEOUT_MAX:
        raise OverflowError('timeout value is too large')


def _give_way():
    # Whoever asks again and again must not keep the owner from running.
    hub = get_hub_if_exists()
    if hub is not None and getcurrent() is not hub:
        sleep()


allocate_lock = lock = LockType


def _find_root_ident():
    root = getcurrent()
    while root.parent is not None:
        root = root.parent
    return id(root)


_root_ident = _find_root_ident()


def get_ident(gr=None):
    """The identity (int) of the greenlet *gr*, by default of the current one."""
    try:
        return id(getcurrent() if gr is None else gr)
    except RuntimeError:
        # The interpreter ends: only its main greenlet still runs.
        return _root_ident


def _start_new_greenlet(function, args=(), kwargs=None):
    if kwargs is None:
        return Greenlet.spawn(function, *args)
    return Greenlet.spawn(function, *args, **kwargs)


def start_new_thread(function, args=(), kwargs=None):
    """Call *function* in a new greenlet.

    :return: the greenlet's identity, as `get_ident` in it (int).
    """
    return get_ident(_start_new_greenlet(function, args, kwargs))


# Those that threading has to join before the interpreter ends, and those that
# end by a fork.
_non_daemon_handles = set()
_live_handles = WeakSet()


class _ThreadHandle:
    """What one knows of a joinable thread: has it ended?"""

    # Not a Greenlet: the main greenlet and greenlets that only look like
    # threads have handles, too.
    def __init__(self):
        self._ident = None
        self._ended = Event()

    def _bind(self, ident):
        if self._ident is not None:
            raise RuntimeError('thread already started')
        self._ident = ident
        _live_handles.add(self)

    @property
    def ident(self):
        """The identity of the thread (int), or None before it was started."""
        return self._ident

    def is_done(self):
        """Has the thread ended? (bool)"""
        return self._ended.is_set()

    def _set_done(self, _greenlet=None):
        if self._ident is None:
            raise RuntimeError('thread not started')
        self._ended.set()
        _live_handles.discard(self)
        _non_daemon_handles.discard(self)

    def join(self, timeout=-1):
        """Wait until the thread has ended.

        :param float timeout: for at most so many seconds; negative or None: for
            ever.
        :raise RuntimeError: in the thread itself, or before its start.
        """
        if self._ident is None:
            raise RuntimeError('thread not started')
        if self.is_done():
            return
        if self._ident == get_ident():
            raise RuntimeError('Cannot join current thread')
        if timeout is not None and timeout < 0:
            timeout = None
        self._ended.wait(timeout)

    def __repr__(self):
        return '<%s.%s at 0x%x ident=%s%s>' % (
            type(self).__module__, type(self).__name__, id(self), self._ident,
            ' done' if self.is_done() else '')


def start_joinable_thread(function, handle=None, daemon=True):
    """Call *function* in a new greenlet that can be joined.

    :param _ThreadHandle handle: a new one, to be used for this greenlet.
    :param bool daemon: may the program end before the greenlet does?
    :return: the handle.
    :raise TypeError: for another kind of handle.
    :raise RuntimeError: for one that has been used.
    """
    if handle is None:
        handle = _ThreadHandle()
    elif not isinstance(handle, _ThreadHandle):
        raise TypeError("'handle' must be a _ThreadHandle")
    elif handle.ident is not None:
        raise RuntimeError('thread already started')
    greenlet = _start_new_greenlet(function)
    handle._bind(get_ident(greenlet))
    greenlet.rawlink(handle._set_done)
    if not daemon:
        _non_daemon_handles.add(handle)
    return handle


def _make_thread_handle(_ident):
    """The handle of the running greenlet.

    The identity that is passed is another one where the greenlet is taken for
    the main thread, which happens in a child that it has forked.
    """
    handle = _ThreadHandle()
    handle._bind(get_ident())
    return handle


def _join_non_daemon_threads():
    """Wait for every greenlet that was not started as a daemon."""
    while _non_daemon_handles:
        for handle in list(_non_daemon_handles):
            handle.join()


def _end_others_after_fork():
    """Take every joinable thread but this one for ended."""
    current = get_ident()
    for handle in list(_live_handles):
        if handle.ident != current:
            handle._set_done()


_native_stack_size = _thread.stack_size


def stack_size(size=None):
    """The stack size of *native* threads, in bytes, as the standard function.

    Greenlets have no stack of their own: a *size* is only remembered.
    """
    if size is None:
        return _native_stack_size()
    return _native_stack_size(size)


def exit():
    """End the current greenlet, by raising `GreenletExit`."""
    raise GreenletExit


allocate = _thread.allocate
exit_thread = _thread.exit_thread
start_new = _thread.start_new
