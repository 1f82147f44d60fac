"""
The standard `threading` module, with greenlets in place of threads.

Made to replace parts of the standard module (`gevent.monkey.patch_thread`);
used by itself it gives the standard module's names, and those of
``__implements__`` in gevent's version. What differs from the standard module:

* A thread is a greenlet, its ``ident`` is the greenlet's identity.
* The end of a thread is the end of its greenlet. Up to 3.12 the interpreter
  tells threading of it by releasing a lock made by `_set_sentinel`; from 3.13 on
  by the thread's handle. Here a link of the greenlet does it.
* A greenlet not started by this module that asks for the current thread gets a
  dummy thread, which is forgotten when the greenlet ends.
* Greenlets live on in a forked child, though threading believes that every
  thread but the forking one has ended there.
"""
import os as _os
import sys as _sys
import threading as __threading__
import weakref as _weakref

from greenlet import getcurrent

from gevent._util import copy_globals
from gevent.exceptions import LoopExit
from gevent.hub import sleep as _sleep
from gevent.local import local
from gevent.thread import _ThreadHandle
from gevent.thread import _end_others_after_fork
from gevent.thread import _join_non_daemon_threads
from gevent.thread import _make_thread_handle
from gevent.thread import allocate_lock
from gevent.thread import get_ident
from gevent.thread import start_joinable_thread
from gevent.thread import start_new_thread

_PY313 = _sys.version_info >= (3, 13)

__implements__ = [
    'local',
    '_allocate_lock',
    'Lock',
    '_DummyThread',
    'Thread',
    'Timer',
    'get_ident',
    '_CRLock',
] + ([
    '_start_joinable_thread',
    '_ThreadHandle',
    '_make_thread_handle',
] if _PY313 else [
    '_start_new_thread',
    '_set_sentinel',
])

__extensions__ = []

__all__ = sorted(set(__threading__.__all__).union(
    name for name in __implements__ if not name.startswith('_')))

_allocate_lock = Lock = _set_sentinel = allocate_lock
_get_ident = get_ident
_start_new_thread = start_new_thread
_start_joinable_thread = start_joinable_thread

# Makes threading.RLock the one in Python, built on the lock above.
_CRLock = None

_Thread_ = __threading__.Thread
_DummyThread_ = __threading__._DummyThread
_MainThread_ = __threading__._MainThread

# Thread's attribute for its _ThreadHandle, from 3.13 on; renamed within 3.13.
_HANDLE_NAME = ('_os_thread_handle'
                if hasattr(__threading__.main_thread(), '_os_thread_handle')
                else '_handle')


def main_native_thread():
    """The `threading.Thread` of the main native thread."""
    for thread in list(__threading__._active.values()):
        if isinstance(thread, _MainThread_):
            return thread
    return __threading__.main_thread()


def _delete(thread):
    """`Thread._delete`: forget *thread*, which has come to its end."""
    # It may be known by the identity it had before patching, or not at all:
    # after a fork in another greenlet.
    active = __threading__._active
    with __threading__._active_limbo_lock:
        for ident in (get_ident(), thread.ident):
            if active.get(ident) is thread:
                del active[ident]
        current = active.get(get_ident())
        if isinstance(current, _DummyThread):
            del active[get_ident()]


def _release_at_greenlet_end(thread):
    # thread._tstate_lock is released by whoever ends the thread.
    lock = thread._tstate_lock

    def finished(_greenlet):
        if lock.locked() and thread._tstate_lock is lock:
            lock.release()

    getcurrent().rawlink(finished)


if _PY313:
    def _adapt_thread_class(cls):
        """Let threads of the native class *cls* live in greenlets."""
        cls._delete = _delete
else:
    _native_set_tstate_lock = _Thread_._set_tstate_lock

    def _set_tstate_lock(thread):
        _native_set_tstate_lock(thread)
        # False in the root greenlet of a native thread.
        if hasattr(getcurrent(), 'rawlink'):
            _release_at_greenlet_end(thread)

    def _adapt_thread_class(cls):
        """Let threads of the native class *cls* live in greenlets."""
        cls._delete = _delete
        cls._set_tstate_lock = _set_tstate_lock


class Thread(_Thread_):
    """`threading.Thread`, in a greenlet if threading is patched."""

    def _set_os_name(self):
        # From 3.14 on, names the native thread, which is not this one's own.
        pass


class Timer(Thread, __threading__.Timer):
    """`threading.Timer`, in a greenlet if threading is patched."""


class _DummyThread(_DummyThread_):
    """The current thread of a greenlet that was not started as a thread."""

    # Does the standard module turn such an object into a main thread, in the
    # child of a fork? It can, as this one has all that a thread has.
    _NEEDS_CLASS_FORK_FIXUP = (
        (3, 11, 8) <= _sys.version_info < (3, 12)
        or _sys.version_info >= (3, 12, 2))

    def __init__(self):
        # Not the parent's: that one ties the object to the native thread.
        _Thread_.__init__(self, name=__threading__._newname('Dummy-%d'),
                          daemon=True)
        self._started.set()
        self._set_ident()
        self._set_native_id()
        if _PY313:
            setattr(self, _HANDLE_NAME, _make_thread_handle(self._ident))
        with __threading__._active_limbo_lock:
            __threading__._active[self._ident] = self
        self._forget_with_greenlet(getcurrent())

    def _forget_with_greenlet(self, greenlet):
        try:
            link = greenlet.rawlink
        except AttributeError:
            # Neither that one nor this thread may live because of the other.
            self._greenlet_ref = _weakref.ref(
                greenlet, _make_cleanup_id(id(greenlet)))
        else:
            link(_cleanup)


def _cleanup(g):
    """Forget the dummy thread of the greenlet *g*."""
    _forget_dummy(id(g))


def _make_cleanup_id(gid):
    """A callback that forgets the dummy thread of the greenlet with the
    identity *gid*."""
    return lambda _ref: _forget_dummy(gid)


def _forget_dummy(ident):
    if isinstance(__threading__._active.get(ident), _DummyThread):
        del __threading__._active[ident]


def _shutdown_function(native_shutdown, stray_main_thread=None):
    """A `threading._shutdown` that also waits for greenlets that are threads.

    :param stray_main_thread: the main thread, when it still has the identity of
        a native thread because patching happened in another one.
    """
    if not _PY313:
        # Each thread has a lock among threading._shutdown_locks.
        wait_and_shut_down = native_shutdown
    else:
        def wait_and_shut_down():
            native_join = __threading__._thread_shutdown

            def join_all():
                _join_non_daemon_threads()
                native_join()

            __threading__._thread_shutdown = join_all
            try:
                native_shutdown()
            finally:
                __threading__._thread_shutdown = native_join

    def _shutdown():
        if stray_main_thread is not None:
            stray_main_thread._ident = get_ident()
        try:
            wait_and_shut_down()
        except LoopExit:
            # Those that are left wait for what will never come.
            pass

    return _shutdown


if hasattr(_os, 'register_at_fork'):
    # threading's own hook has run before this one.
    _os.register_at_fork(after_in_child=_end_others_after_fork)


def _gevent_will_monkey_patch(native_module, items, warn): # pylint:disable=unused-argument
    if main_native_thread().ident != __threading__.get_ident():
        warn('Monkey-patching outside the main native thread. Some APIs '
             'will not be available. Expect a KeyError to be printed at '
             'shutdown.')


__imports__ = copy_globals(__threading__, globals(),
                           names_to_ignore=__implements__ + [
                               '__all__', '_start_new_thread'])
