"""The event loop and its watchers, on libgcore's hub.

libgcore runs on libev, so the constants and the names of backends are
libev's.  The watchers come from the accelerator; see :mod:`gevent.core` for
the public names.
"""
import os
import signal as _signal
import sys
from time import time as time  # pylint:disable=useless-import-alias

from libgcore import _engine
from libgcore._engine import callback

__all__ = [
    'get_version',
    'get_header_version',
    'supported_backends',
    'recommended_backends',
    'embeddable_backends',
    'time',
    'loop',
]

UNDEF = -1
NONE = 0x00
READ = 0x01
WRITE = 0x02
READWRITE = READ | WRITE
TIMER = 0x100
PERIODIC = 0x200
SIGNAL = 0x400
CHILD = 0x800
STAT = 0x1000
IDLE = 0x2000
PREPARE = 0x4000
CHECK = 0x8000
EMBED = 0x10000
FORK = 0x20000
CLEANUP = 0x40000
ASYNC = 0x80000
CUSTOM = 0x1000000
ERROR = -0x80000000
_IOFDSET = 0x80

MINPRI = -2
MAXPRI = 2

BACKEND_SELECT = 0x01
BACKEND_POLL = 0x02
BACKEND_EPOLL = 0x04
BACKEND_KQUEUE = 0x08
BACKEND_DEVPOLL = 0x10
BACKEND_PORT = 0x20
BACKEND_LINUXAIO = 0x40
BACKEND_IOURING = 0x80

NOENV = 0x01000000
FORKCHECK = 0x02000000
NOINOTIFY = 0x00100000
SIGNALFD = 0x00200000
NOSIGMASK = 0x00400000

LIBEV_EMBED = True
EV_USE_FLOOR = True
EV_USE_CLOCK_SYSCALL = False
EV_USE_REALTIME = True
EV_USE_MONOTONIC = True
EV_USE_NANOSLEEP = True
EV_USE_INOTIFY = False
EV_USE_SIGNALFD = False
EV_USE_EVENTFD = True
EV_USE_4HEAP = False

# Kinds of watchers, as libgcore._accel numbers them.
_KIND_SIGNAL, _KIND_CHILD, _KIND_STAT, _KIND_ASYNC = 3, 4, 5, 6
_KIND_IDLE, _KIND_PREPARE, _KIND_CHECK, _KIND_FORK = 7, 8, 9, 10


class _EVENTSType:
    """The type of the placeholder an io watcher's events go in for."""

    def __repr__(self):
        return 'gevent.core.EVENTS'


EVENTS = GEVENT_CORE_EVENTS = _EVENTSType()
_engine.set_events_marker(EVENTS)

# ---- flags -----------------------------------------------------------------

_flags = [
    (BACKEND_PORT, 'port'),
    (BACKEND_KQUEUE, 'kqueue'),
    (BACKEND_IOURING, 'linux_iouring'),
    (BACKEND_LINUXAIO, 'linux_aio'),
    (BACKEND_EPOLL, 'epoll'),
    (BACKEND_POLL, 'poll'),
    (BACKEND_SELECT, 'select'),
    (NOENV, 'noenv'),
    (FORKCHECK, 'forkcheck'),
    (SIGNALFD, 'signalfd'),
    (NOSIGMASK, 'nosigmask'),
]
_flags_str2int = {name: flag for flag, name in _flags}
_BACKENDS = BACKEND_SELECT | BACKEND_POLL | BACKEND_EPOLL | BACKEND_KQUEUE

_events = [
    (READ, 'READ'), (WRITE, 'WRITE'), (_IOFDSET, '_IOFDSET'),
    (PERIODIC, 'PERIODIC'), (SIGNAL, 'SIGNAL'), (CHILD, 'CHILD'),
    (STAT, 'STAT'), (IDLE, 'IDLE'), (PREPARE, 'PREPARE'), (CHECK, 'CHECK'),
    (EMBED, 'EMBED'), (FORK, 'FORK'), (CLEANUP, 'CLEANUP'),
    (ASYNC, 'ASYNC'), (CUSTOM, 'CUSTOM'), (ERROR, 'ERROR'),
]


def _flags_to_list(flags):
    result = []
    for flag, name in _flags:
        if flags & flag:
            result.append(name)
            flags &= ~flag
    if flags:
        result.append(flags)
    return result


def _flags_to_int(flags):
    """Flags as a number, from a number, a string with commas, or a list.

    Raises ValueError for an unknown name, TypeError for another type.
    """
    if not flags:
        return 0
    if isinstance(flags, int):
        return flags
    if isinstance(flags, str):
        flags = flags.split(',')
    result = 0
    try:
        names = list(flags)
    except TypeError:
        raise TypeError('Invalid flags: %r' % (flags,)) from None
    for name in names:
        if isinstance(name, int):
            result |= name
            continue
        name = name.strip().lower()
        if not name:
            continue
        try:
            result |= _flags_str2int[name]
        except KeyError:
            raise ValueError(
                'Invalid backend or flag: %s\nPossible values: %s'
                % (name, ', '.join(sorted(_flags_str2int)))) from None
    return result


def _events_to_str(events):
    result = []
    for flag, name in _events:
        if events & flag:
            result.append(name)
            events &= ~flag
    if events:
        result.append(hex(events))
    return '|'.join(result)


def _check_flags(flags):
    wanted = flags & 0xff
    if wanted and not wanted & _BACKENDS:
        raise ValueError('Unsupported backend: %s' % (
            ', '.join(map(str, _flags_to_list(wanted)))))


def get_version():
    """The version of libev, as text."""
    return 'libev-4.33'


def get_header_version():
    """The version of libev that was compiled against, as text."""
    return 'libev-4.33'


def supported_backends():
    """The names of the backends that may be asked for."""
    return ['epoll', 'poll', 'select'] if sys.platform == 'linux' else [
        'kqueue', 'poll', 'select']


def recommended_backends():
    """The names of the backends that work well here."""
    return supported_backends()


def embeddable_backends():
    """The names of the backends whose loop may stand in another loop."""
    return supported_backends()[:1]


_syserr_callback = None


def set_syserr_cb(callback):  # pylint:disable=redefined-outer-name
    """Accepted and kept for programs that set one: libgcore turns failures
    of the backend into exceptions of the poll instead of calling it."""
    global _syserr_callback
    if callback is not None and not callable(callback):
        raise TypeError('Expected callable or None, got %r' % (callback,))
    _syserr_callback = callback


# ---- watchers --------------------------------------------------------------


class _WatcherMixin:
    """What the Python side adds to the engine's watchers."""

    __slots__ = ()

    def _format(self):
        return ''

    def __repr__(self):
        if not self.is_open:
            return '<%s at 0x%x closed>' % (type(self).__name__, id(self))
        text = '<%s at 0x%x%s' % (
            type(self).__name__, id(self), self._format())
        if self.active:
            text += ' active'
        if self.pending:
            text += ' pending'
        if self.callback is not None:
            text += ' callback=%r' % (self.callback,)
        if self.args is not None:
            text += ' args=%r' % (self.args,)
        return text + '>'

    def __enter__(self):
        return self

    def __exit__(self, t, v, tb):
        self.close()


class watcher(_WatcherMixin, _engine.Watcher):  # pylint:disable=invalid-name
    """A watcher that needs no arguments of its own."""

    __slots__ = ()
    _kind = 0

    def __init__(self, loop, ref=True, priority=None):  # pylint:disable=redefined-outer-name
        self._open(self._kind, loop, None, ref, priority)


class io(_WatcherMixin, _engine.IoWatcher):
    """Readiness of a descriptor.

    ``start(callback, *args, pass_events=False)``: with *pass_events* the
    events come before the other arguments.
    """

    __slots__ = ()

    @property
    def events_str(self):
        """The events by name."""
        return _events_to_str(self.events)

    def _format(self):
        return ' fd=%s events=%s' % (self.fd, self.events_str)


class timer(_WatcherMixin, _engine.TimerWatcher):
    """A moment, *after* seconds from its start and then every *repeat*."""

    __slots__ = ()


class signal(watcher):
    """A signal; while it is started the loop handles that signal."""

    __slots__ = ()

    def __init__(self, loop, signalnum, ref=True, priority=None):  # pylint:disable=super-init-not-called
        if signalnum < 1 or signalnum >= _signal.NSIG:
            raise ValueError('illegal signal number: %r' % signalnum)
        self._open(_KIND_SIGNAL, loop, signalnum, ref, priority)


class idle(watcher):
    """Nothing else to do."""

    __slots__ = ()
    _kind = _KIND_IDLE


class prepare(watcher):
    """Before the loop polls."""

    __slots__ = ()
    _kind = _KIND_PREPARE


class check(watcher):
    """After the loop has polled."""

    __slots__ = ()
    _kind = _KIND_CHECK


class fork(watcher):
    """In a forked child."""

    __slots__ = ()
    _kind = _KIND_FORK


class async_(_WatcherMixin, _engine.AsyncWatcher):
    """Something another thread says by ``send()``."""

    __slots__ = ()

    def __init__(self, loop, ref=True, priority=None):
        self._open(_KIND_ASYNC, loop, None, ref, priority)

    def send_ignoring_arg(self, _ignored):
        """``send()`` as a link."""
        self.send()


class child(watcher):
    """The end of a child process, on any thread's loop."""

    __slots__ = ('pid',)

    def __init__(self, loop, pid, trace=0, ref=True):  # pylint:disable=super-init-not-called,unused-argument
        self.pid = pid
        self._open(_KIND_CHILD, loop, pid, ref, None)

    @property
    def rpid(self):
        """The process id once it has ended, else 0."""
        return self.pid if self._has_ended() else 0

    @property
    def rstatus(self):
        """The status as waitpid gives it, once it has ended."""
        return self.result if self._has_ended() else 0

    def _has_ended(self):
        return self.result >= 0 and self.completed

    def _format(self):
        return ' pid=%r rstatus=%r' % (self.pid, self.rstatus)


class stat(_WatcherMixin, _engine.StatWatcher):
    """A change of a file's attributes, looked for every *interval* seconds
    (0: about five)."""

    __slots__ = ('path', 'interval')

    def __init__(self, loop, path, interval=0.0, ref=True, priority=None):
        self.path = path
        self.interval = interval
        # Below zero means as often as may be; the engine has no such value.
        self._open(_KIND_STAT, loop, path, ref, priority,
                   interval if interval >= 0 else 1e-9)

    @property
    def attr(self):
        """The attributes as last seen, or None when there is no file."""
        return _stat_result(self._info(False))

    @property
    def prev(self):
        """The attributes before the last change, or None."""
        return _stat_result(self._info(True))


def _stat_result(fields):
    return os.stat_result(fields) if fields is not None else None


# ---- the loop --------------------------------------------------------------

_default_loop = None


class loop(_engine.Loop):
    """An event loop.

    ``flags`` is a backend by name, several names with commas, or a number;
    ``default`` makes it (or fetches) the one that the main thread's hub uses.
    Raises ValueError for an unknown backend, SystemError when none works.
    """

    CALLBACK_CHECK_COUNT = 50
    approx_timer_resolution = 1e-05
    starting_timer_may_update_loop_time = False

    def __init__(self, flags=None, default=None, ptr=0):  # pylint:disable=unused-argument
        c_flags = _flags_to_int(flags)
        _check_flags(c_flags)
        self._default = bool(default)
        self._flags = c_flags
        self._open(c_flags & _BACKENDS)

    @classmethod
    def _default_instance(cls, flags=None):
        global _default_loop
        if _default_loop is None or not _default_loop.is_open:
            _default_loop = cls(flags, default=True)
        return _default_loop

    def destroy(self):
        """Stop everything for good; True unless that was done before."""
        if not self.is_open:
            return False
        self._close()
        self.error_handler = None
        return True

    @property
    def ptr(self):
        """The address of the engine hub; an error once destroyed."""
        return self.engine or None

    @property
    def WatcherType(self):
        """The base class of the watchers."""
        return _engine.Watcher

    MAXPRI = MAXPRI
    MINPRI = MINPRI

    @property
    def default(self):
        """Whether this is the main thread's default loop."""
        return self._default and self.is_open

    @property
    def backend(self):
        """The name of the backend in use."""
        bits = self.backend_int
        for flag, name in _flags:
            if bits == flag:
                return name
        return bits

    origflags_int = property(lambda self: self._flags,
                             doc="The flags that it was made with (int).")
    origflags = property(lambda self: _flags_to_list(self._flags),
                         doc="The same, as names (list of str).")
    sig_pending = 0
    sigfd = -1

    def handle_error(self, context, type, value, tb):
        """Tell the error handler, or print the error when there is none."""
        handle_error = None
        error_handler = self.error_handler
        if error_handler is not None:
            # Looked up on each call: hubs assign to it.
            handle_error = getattr(error_handler, 'handle_error',
                                   error_handler)
            handle_error(context, type, value, tb)
        else:
            self._default_handle_error(context, type, value, tb)

    def _default_handle_error(self, context, type, value, tb):  # pylint:disable=unused-argument
        from traceback import print_exception
        print_exception(type, value, tb)
        self.break_()

    def verify(self):
        """Nothing to verify: the engine checks its arguments itself."""

    def io(self, fd, events, ref=True, priority=None):
        """A watcher for readiness of `fd`: READ, WRITE or both."""
        return io(self, fd, events, ref, priority)

    def timer(self, after, repeat=0.0, ref=True, priority=None):
        """A watcher for a moment `after` seconds from its start."""
        return timer(self, after, repeat, ref, priority)

    def signal(self, signum, ref=True, priority=None):
        """A watcher for a signal."""
        return signal(self, signum, ref, priority)

    def idle(self, ref=True, priority=None):
        """A watcher for having nothing else to do."""
        return idle(self, ref, priority)

    def prepare(self, ref=True, priority=None):
        """A watcher for the moment before each poll."""
        return prepare(self, ref, priority)

    def check(self, ref=True, priority=None):
        """A watcher for the moment after each poll."""
        return check(self, ref, priority)

    def fork(self, ref=True, priority=None):
        """A watcher for being in a forked child."""
        return fork(self, ref, priority)

    def async_(self, ref=True, priority=None):
        """A watcher for what another thread says by ``send()``."""
        return async_(self, ref, priority)

    def child(self, pid, trace=0, ref=True):
        """A watcher for the end of the child process `pid`."""
        return child(self, pid, trace, ref)

    def stat(self, path, interval=0.0, ref=True, priority=None):
        """A watcher for changes of a file's attributes."""
        return stat(self, path, interval, ref, priority)

    def callback(self, priority=None):  # pylint:disable=unused-argument
        """A callback that is not queued."""
        return callback(_do_nothing, ())

    def closing_fd(self, fd):
        """Tell that `fd` is about to be closed; True when something waits
        for it, so that the closing should wait for the next turn."""
        return self.forget_fd(fd)

    def install_sigchld(self):
        """Nothing to do: children are watched without SIGCHLD."""

    def reset_sigchld(self):
        """Nothing to do: children are watched without SIGCHLD."""

    def __repr__(self):
        return '<%s at 0x%x %s>' % (
            type(self).__name__, id(self), self._format())

    def _format(self):
        if not self.is_open:
            return 'destroyed'
        text = self.backend
        if self.default:
            text += ' default'
        return text + ' pending=%s ref=%s fileno=%s' % (
            self.pendingcnt, self.activecnt, self.fileno())


def _do_nothing():
    pass


# ``async`` is a keyword now, but old programs reach for it by getattr.
setattr(loop, 'async', loop.async_)
