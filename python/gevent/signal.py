"""
The standard `signal` module, with handlers of ``SIGCHLD`` that go with the child
watchers of the loop.

A handler of ``SIGCHLD`` given here is not the operating system's: it is called,
in a greenlet of its own, after each child that gevent watches (those of
`gevent.os.fork`, `gevent.os.posix_spawn` and `gevent.subprocess`) has ended.
Likewise the file descriptor of `set_wakeup_fd` gets a byte for each of them. All
other signals are the standard module's.

`pthread_kill` takes the identity of a greenlet, too, which is what patched
programs have for the identity of a thread.

Called, as it was once a function, the module is `gevent.signal_handler`.
"""
import errno as _errno
import gc as _gc
import operator as _operator
import os as _os
import signal as _signal
import sys as _sys
import types as _types
import warnings as _warnings

from greenlet import getcurrent as _getcurrent
from greenlet import greenlet as _RawGreenlet

from gevent._hub_local import get_hub_if_exists as _get_hub_if_exists
from gevent._util import copy_globals
from gevent.monkey.api import get_original as _get_original

_native_ident = _get_original('_thread', 'get_ident')

__implements__ = [
    'signal',
    'getsignal',
    'set_wakeup_fd',
]

if hasattr(_signal, 'pthread_kill'):
    __implements__.append('pthread_kill')
    _signal_pthread_kill = _signal.pthread_kill

__extensions__ = []

__all__ = __implements__ + __extensions__

_signal_signal = _signal.signal
_signal_getsignal = _signal.getsignal
_signal_set_wakeup_fd = _signal.set_wakeup_fd

_SIGCHLD = getattr(_signal, 'SIGCHLD', None)
_IGNORED_OR_DEFAULT = (_signal.SIG_IGN, _signal.SIG_DFL)

# The handler of SIGCHLD is the native one until one is given here.
_INITIAL = object()
_child_handler = _INITIAL

# As given to set_wakeup_fd.
_child_wakeup_fd = -1
_child_wakeup_fd_warns = True


def getsignal(signalnum):
    """The handler of *signalnum*, as the standard function gives it."""
    if signalnum != _SIGCHLD or _child_handler is _INITIAL:
        return _signal_getsignal(signalnum)
    return _child_handler


def signal(signalnum, handler):
    """Make *handler* the handler of *signalnum*.

    :param handler: ``SIG_DFL``, ``SIG_IGN`` or a function of the signal's number
        and the current frame (for SIGCHLD: None).
    :return: the handler until now.
    :raise TypeError: for anything else.
    :raise ValueError: outside the main thread.
    """
    if signalnum != _SIGCHLD:
        return _signal_signal(signalnum, handler)
    if handler not in _IGNORED_OR_DEFAULT and not callable(handler):
        raise TypeError("signal handler must be signal.SIG_IGN, "
                        "signal.SIG_DFL, or a callable object")
    global _child_handler
    previous = getsignal(_SIGCHLD)
    if handler in _IGNORED_OR_DEFAULT:
        # The system has to know, too: it decides what becomes of zombies. The
        # loop then puts its own handler back when it needs it.
        _signal_signal(_SIGCHLD, handler)
        hub = _get_hub_if_exists()
        if hub is not None:
            hub.loop.reset_sigchld()
    _child_handler = handler
    return previous


def set_wakeup_fd(fd, /, *, warn_on_full_buffer=True):
    """Have the number of each signal written to *fd* (int; -1: to none).

    :return: the file descriptor until now.
    """
    previous = _signal_set_wakeup_fd(fd,
                                     warn_on_full_buffer=warn_on_full_buffer)
    global _child_wakeup_fd, _child_wakeup_fd_warns
    _child_wakeup_fd = fd
    _child_wakeup_fd_warns = warn_on_full_buffer
    return previous


def pthread_kill(thread_id, signalnum, /):
    """Send a signal to a native thread.

    :param int thread_id: the thread's identity, or that of a greenlet, whose
        thread it is then.
    :raise ProcessLookupError: when there is no such thread.
    """
    thread_id = _operator.index(thread_id)
    if thread_id not in _sys._current_frames():
        # The native function would take anything for the address of a thread.
        thread_id = _thread_of_greenlet(thread_id)
    return _signal_pthread_kill(thread_id, signalnum)


def _thread_of_greenlet(ident):
    """The identity of the native thread of the greenlet with this *ident*."""
    from gevent.hub import Hub
    threads = {_root_of(_getcurrent()): _native_ident()}
    root = None
    for each in _gc.get_objects():
        # By its type, as asking a proxy for its class would run code.
        if issubclass(type(each), Hub):
            threads.setdefault(_root_of(each), each.thread_ident)
        if id(each) == ident and issubclass(type(each), _RawGreenlet):
            root = _root_of(each)
    if root not in threads:
        raise ProcessLookupError(_errno.ESRCH, 'no thread has this identity')
    return threads[root]


def _root_of(greenlet):
    while greenlet.parent is not None:
        greenlet = greenlet.parent
    return greenlet


def _on_child_hook():
    """To be called, in the hub, after each child that has ended."""
    if callable(_child_handler) and _child_handler not in _IGNORED_OR_DEFAULT:
        from gevent.greenlet import Greenlet
        Greenlet.spawn(_child_handler, _SIGCHLD, None)
    _write_child_signal_fd()


def _write_child_signal_fd():
    if _child_wakeup_fd == -1:
        return
    try:
        _os.write(_child_wakeup_fd, bytes([_SIGCHLD]))
    except BlockingIOError:
        if _child_wakeup_fd_warns:
            _warnings.warn("set_wakeup_fd: no room to write SIGCHLD",
                           RuntimeWarning, stacklevel=2)
    except OSError as error:
        _warnings.warn("set_wakeup_fd: cannot write SIGCHLD: %s" % (error,),
                       RuntimeWarning, stacklevel=2)


__imports__ = copy_globals(_signal, globals(),
                           names_to_ignore=__implements__ + ['_signal'])


class _CallableModule(_types.ModuleType):
    """This module; programs of old call it."""

    def __call__(self, signalnum, handler, *args, **kwargs):
        """Call ``handler(*args, **kwargs)`` in a new greenlet whenever the
        signal comes; see `gevent.signal_handler`."""
        from gevent.hub import signal as signal_handler
        return signal_handler(signalnum, handler, *args, **kwargs)


_sys.modules[__name__].__class__ = _CallableModule
