"""What the files of the plain twin share: the hub of each thread, errors,
moments."""
import errno
import os
import sys
import threading
# Taken before anything can be patched.
from _thread import RLock as _NativeRLock
from time import monotonic as _monotonic

from greenlet import getcurrent, greenlet

from libgcore._binding import ffi, lib

__all__ = [
    'FOREVER', 'NS', 'UNSET', 'as_seconds', 'check', 'configure',
    'deadline_after', 'deadline_in', 'error_type', 'get_hub',
    'get_hub_if_exists', 'guard', 'has_plain_switch', 'in_hub',
    'is_directly_switchable', 'plain_switch', 'raise_error', 'refuse_pickling',
    'seconds_to', 'set_hub',
]

FOREVER = lib.GCORE_FOREVER
NS = 1000000000

plain_switch = greenlet.switch


class _Unset:

    __slots__ = ()


#: What stands for no value, where None is one.
UNSET = _Unset()

#: Held for what threads must not do at the same time; in the accelerator it
#: is the interpreter's lock. Never while switching.
guard = _NativeRLock()

_threads = threading.local()
_factory = _end_hub = None
_errors = {}


def configure(factory, errors, end_hub=None):
    """`factory()` makes a hub for a thread that needs one; `errors` maps
    names to the exception classes raised from here; `end_hub(hub)` is called
    by a thread that ends and has one."""
    global _factory, _errors, _end_hub
    _factory = factory
    _errors = errors
    _end_hub = end_hub


class _ThreadEnd:
    """Goes with the thread that made it."""

    def __init__(self):
        self._thread = threading.get_ident()
        self.hub = None

    def __del__(self):
        if (self.hub is not None and _end_hub is not None
                and self._thread == threading.get_ident()
                and not sys.is_finalizing()):
            _end_hub(self.hub)


def error_type(name):
    """An exception class of gevent.exceptions by its name."""
    return _errors.get(name, RuntimeError)


def get_hub():
    """The hub of the calling thread; made on first use."""
    hub = getattr(_threads, 'hub', None)
    if hub is None:
        if _factory is None:
            raise RuntimeError('no hub factory: import gevent first')
        hub = _factory()
        set_hub(hub)
    return hub


def get_hub_if_exists():
    """The hub of the calling thread, or None."""
    return getattr(_threads, 'hub', None)


def set_hub(hub):
    """Make `hub` the calling thread's; None forgets it."""
    _threads.hub = hub
    if not hasattr(_threads, 'end'):
        _threads.end = _ThreadEnd()
    _threads.end.hub = hub


def raise_error(code):
    """Raise what stands for an error of the engine's."""
    if code == -errno.ENOMEM:
        raise MemoryError
    if code == -errno.EINVAL:
        raise ValueError(ffi.string(lib.gcore_error_text(code)).decode())
    if code > -10000:
        raise OSError(-code, os.strerror(-code))
    raise OSError('%s: %s' % (
        ffi.string(lib.gcore_error_name(code)).decode(),
        ffi.string(lib.gcore_error_text(code)).decode()))


def check(code):
    """Raise for an error of the engine's; its other results are returned."""
    if code < 0:
        raise_error(code)
    return code


def deadline_in(seconds):
    """The engine's time, in nanoseconds, `seconds` from now."""
    seconds = seconds + 0.0  # unlike float(), no text
    if seconds != seconds:
        raise ValueError('a timeout must be a number of seconds, not nan')
    now = lib.gcore_clock()
    if seconds <= 0:
        return now
    if seconds >= 9.0e9:
        return FOREVER - 1
    return now + int(seconds * NS)


def has_plain_switch(target):
    """Whether neither a greenlet nor its type overrides switch()."""
    return (type(target).switch is plain_switch
            and 'switch' not in target.__dict__)


def is_directly_switchable(target):
    """Whether any greenlet may switch to `target`, and not the hub alone,
    which starts those that have not run."""
    return greenlet.__bool__(target) and has_plain_switch(target)


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
    """The time of time.monotonic() `seconds` from now; None for None."""
    return None if seconds is None else _monotonic() + as_seconds(seconds)


def seconds_to(deadline):
    """What is left until such a moment; None for None."""
    return None if deadline is None else max(0.0, deadline - _monotonic())


def refuse_pickling(self, _protocol):
    """What objects that greenlets wait for have as ``__reduce_ex__``."""
    raise TypeError('cannot pickle %r object' % (type(self).__name__,))
