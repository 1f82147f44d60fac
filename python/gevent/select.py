"""
Waiting for I/O completion: cooperative versions of :func:`select.select`,
:class:`select.poll` and, where the system has it, :class:`select.epoll`.

The kernel answers what is ready, as in the standard module; the hub's watchers
only tell when to ask it.
"""
import select as __select__
from errno import EBADF
from os import strerror
from time import monotonic

from greenlet import getcurrent

from gevent._hub_local import get_hub_noargs as get_hub
from gevent._hub_primitives import wait_on_watcher
from gevent._socketcommon import cancel_wait_ex
from gevent._util import _NONE, copy_globals
from gevent.event import Event
from gevent.hub import sleep

__implements__ = ['select']
if hasattr(__select__, 'poll'):
    __implements__.append('poll')
if hasattr(__select__, 'epoll'):
    __implements__.append('epoll')

__all__ = ['error'] + __implements__

error = __select__.error

_READ, _WRITE = 1, 2

# The originals, whatever the module is patched with later.
_original_select = __select__.select
_original_poll = getattr(__select__, 'poll', None)
_original_epoll = getattr(__select__, 'epoll', None)


def get_fileno(fileobj) -> int:
    """The descriptor of *fileobj*, a number or an object with a ``fileno()``.

    :raise TypeError: if it is neither.
    :raise ValueError: if the number is negative.
    """
    if isinstance(fileobj, int):
        fileno = fileobj
    else:
        try:
            fileno = fileobj.fileno
        except AttributeError:
            raise TypeError('argument must be an int, or have a fileno() '
                            'method.') from None
        fileno = fileno()
        if not isinstance(fileno, int):
            raise TypeError('fileno() returned a non-integer')
    if fileno < 0:
        raise ValueError('file descriptor cannot be a negative integer (%i)'
                         % (fileno,))
    return fileno


def _give_way():
    # A caller that asks again and again does not keep the others from running.
    if getcurrent() is not get_hub():
        sleep(0)


class _Readiness(Event):
    """Set once one of the *descriptors* is ready."""

    __slots__ = ('descriptors',)

    woken_by = 'the loop'  # for reports

    def __init__(self):
        super().__init__()
        self.descriptors = []

    def __repr__(self):
        return '<readiness of %s>' % (
            ', '.join('fd %s' % fd for fd in self.descriptors) or 'nothing')


class _Watching:
    """Watches descriptors until one of them is ready, or closed.

    Waits once; a context manager, which gives the watchers back.
    """

    def __init__(self):
        self.fired = {}  # descriptor -> events
        self._ready = _Readiness()
        self._watchers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for watcher in self._watchers:
            watcher.close()

    def start(self, fd, events):
        """Watch *fd* for *events*; one that is not open has all of them."""
        self._ready.descriptors.append(fd)
        loop = get_hub().loop
        try:
            watcher = loop.io(fd, events)
        except OSError as ex:
            if ex.errno != EBADF:
                raise
            self._fire(events, fd)
            return
        self._watchers.append(watcher)
        watcher.priority = loop.MAXPRI
        watcher.start(self._fire, fd, pass_events=True)

    def _fire(self, events, fd):
        self.fired[fd] = self.fired.get(fd, 0) | events
        self._ready.set()

    def wait(self, seconds):
        """Wait, *seconds* at most; what fired is returned."""
        self._ready.wait(seconds)
        return self.fired


class SelectResult:
    """One call of `select`: what it asks about, and the answer."""

    __slots__ = ('_rlist', '_wlist', '_xlist')

    def __init__(self, rlist=(), wlist=(), xlist=()):
        self._rlist = [(get_fileno(item), item) for item in rlist]
        self._wlist = [(get_fileno(item), item) for item in wlist]
        self._xlist = [(get_fileno(item), item) for item in xlist]

    def now(self, refuse_closed=False):
        """What is ready now: the three lists of `select`.

        :raise OSError: (EBADF) for a closed descriptor, if asked to.
        """
        if _original_poll is None:
            return self._now_by_select()
        # In place of the real select, which refuses descriptors above 1023.
        poller = _original_poll()
        masks = {}
        for pairs, mask in ((self._rlist, __select__.POLLIN),
                            (self._wlist, __select__.POLLOUT),
                            (self._xlist, __select__.POLLPRI)):
            for fd, _ in pairs:
                masks[fd] = masks.get(fd, 0) | mask
        for fd, mask in masks.items():
            poller.register(fd, mask)
        ready = dict(poller.poll(0))
        if refuse_closed and any(mask & __select__.POLLNVAL
                                 for mask in ready.values()):
            raise OSError(EBADF, strerror(EBADF))
        bad = __select__.POLLERR | __select__.POLLNVAL
        return self._choose(
            ready,
            __select__.POLLIN | __select__.POLLHUP | bad,
            __select__.POLLOUT | bad,
            __select__.POLLPRI)

    def _now_by_select(self):
        ready = _original_select([fd for fd, _ in self._rlist],
                                 [fd for fd, _ in self._wlist],
                                 [fd for fd, _ in self._xlist], 0)
        return tuple([item for fd, item in pairs if fd in fds]
                     for pairs, fds in zip(
                         (self._rlist, self._wlist, self._xlist), ready))

    def _choose(self, ready, read, write, exceptional):
        return tuple([item for fd, item in pairs if ready.get(fd, 0) & mask]
                     for pairs, mask in ((self._rlist, read),
                                         (self._wlist, write),
                                         (self._xlist, exceptional)))

    def wait(self, timeout):
        """Wait until something can be read or written: the three lists."""
        with _Watching() as watching:
            for pairs, events in ((self._rlist, _READ), (self._wlist, _WRITE)):
                for fd in dict.fromkeys(fd for fd, _ in pairs):
                    watching.start(fd, events)
            fired = watching.wait(timeout)
            ready = self.now()
            # A closed descriptor is ready, though the kernel does not say so.
            return ready if any(ready) else self._choose(
                fired, _READ, _WRITE, 0)

    def select(self, rlist, wlist, timeout):
        """Wait until something of *rlist* or *wlist* is ready."""
        return SelectResult(rlist, wlist).wait(timeout)


def select(rlist, wlist, xlist, timeout=None):
    """Wait until one or more of the objects are ready for some I/O.

    *xlist* is looked at before and after waiting but wakes nobody up. Unlike
    the standard function, takes descriptors of any size.

    :param timeout: seconds (float) to wait at most; ``None`` for no limit.
    :return: the lists of those that are ready.
    :raise ValueError: for a negative timeout or descriptor.
    :raise OSError: for a descriptor that is closed already.
    """
    if timeout is not None and timeout < 0:
        # Not for us to wait for ever.
        raise ValueError('timeout must be non-negative')
    lists = list(rlist), list(wlist), list(xlist)
    ready = _ready_now(*lists)
    if timeout == 0 or any(ready):
        _give_way()
        return ready
    return SelectResult(*lists).wait(timeout)


def _ready_now(rlist, wlist, xlist):
    try:
        return _original_select(rlist, wlist, xlist, 0)
    except ValueError:  # a descriptor above 1023, or below 0
        return SelectResult(rlist, wlist, xlist).now(refuse_closed=True)


class PollResult:
    """Collects events of descriptors, for users of watchers."""

    __slots__ = ('events', 'event')

    def __init__(self):
        self.events = set()
        self.event = Event()

    def add_event(self, events, fd):
        """Note that *events* (of the loop) happened to *fd*."""
        if events < 0:
            flags = __select__.POLLNVAL
        else:
            flags = _poll_flags(events)
        self.events.add((fd, flags))
        self.event.set()

    def add_error_before_io(self, fd):
        """Note that *fd* is not open."""
        self.events.add((fd, __select__.POLLNVAL))
        self.event.set()


if _original_poll is not None:
    _DEFAULT_MASK = (__select__.POLLIN | __select__.POLLPRI
                     | __select__.POLLOUT)
    _READ_FLAGS = (__select__.POLLIN
                   | getattr(__select__, 'POLLRDNORM', 0)
                   | getattr(__select__, 'POLLRDBAND', 0)
                   | getattr(__select__, 'POLLRDHUP', 0))
    _WRITE_FLAGS = (__select__.POLLOUT
                    | getattr(__select__, 'POLLWRNORM', 0)
                    | getattr(__select__, 'POLLWRBAND', 0))

    _INT_MAX = (1 << 31) - 1

    def _loop_events(mask):
        return ((_READ if mask & _READ_FLAGS else 0)
                | (_WRITE if mask & _WRITE_FLAGS else 0))

    def _poll_flags(events):
        return ((__select__.POLLIN if events & _READ else 0)
                | (__select__.POLLOUT if events & _WRITE else 0))

    class poll:
        """Cooperative :func:`select.poll` objects.

        :ivar fds: which loop events (1 read, 2 write) each descriptor is
            watched for.
        """

        def __init__(self):
            self.fds = {}
            self.loop = get_hub().loop
            self._poll = _original_poll()
            self._running = False

        def register(self, fd, eventmask=_NONE):
            """Watch *fd* for *eventmask*, ``POLLIN | POLLPRI | POLLOUT`` if
            that is left out."""
            if eventmask is _NONE:
                eventmask = _DEFAULT_MASK
            fileno = get_fileno(fd)
            self._poll.register(fileno, eventmask)
            self.fds[fileno] = _loop_events(eventmask)

        def modify(self, fd, eventmask):
            """Change what the registered *fd* is watched for."""
            fileno = get_fileno(fd)
            if fileno not in self.fds:
                raise FileNotFoundError(2, 'No such file or directory')
            self.register(fileno, eventmask)

        def poll(self, timeout=None):
            """Wait until something is ready, or an error has happened.

            :param timeout: milliseconds to wait at most; ``None`` or a
                negative number for no limit.
            :return: a list of ``(descriptor, events)``.
            :raise RuntimeError: if somebody else waits in this object.
            """
            if timeout is not None and timeout < 0:
                timeout = None
            elif timeout is not None and timeout > _INT_MAX:
                raise OverflowError('timeout is too large')
            if self._running:
                raise RuntimeError('concurrent poll() invocation')
            self._running = True
            try:
                return self._answer(timeout)
            finally:
                self._running = False

        def _answer(self, timeout):
            ready = self._poll.poll(0)
            if ready or timeout == 0:
                _give_way()
                return ready
            return self._wait(None if timeout is None else timeout / 1000.0)

        def _wait(self, seconds):
            with _Watching() as watching:
                for fd, events in self.fds.items():
                    if events:
                        watching.start(fd, events)
                fired = watching.wait(seconds)
                # A descriptor about to be closed has fired, too.
                return self._poll.poll(0) or [
                    (fd, _poll_flags(events)) for fd, events in fired.items()]

        def unregister(self, fd):
            """Stop watching *fd*.

            :raise KeyError: if it is not registered.
            """
            fileno = get_fileno(fd)
            del self.fds[fileno]
            self._poll.unregister(fileno)


if _original_epoll is not None:
    class _TimedOut(Exception):
        pass

    class epoll:
        """Cooperative :class:`select.epoll` objects.

        A real one is inside; to wait for what it watches is to wait until its
        own descriptor is readable.
        """

        # Where it waits; None: in the hub of the calling thread.
        _hub = None

        def __init__(self, sizehint=-1, flags=0):
            self._epoll = _original_epoll(sizehint, flags)
            self._watcher = None

        @classmethod
        def fromfd(cls, fd):
            """An object for the epoll descriptor *fd*, taken over."""
            self = cls.__new__(cls)
            self._epoll = _original_epoll.fromfd(fd)
            self._watcher = None
            return self

        def __enter__(self):
            if self.closed:
                raise ValueError('I/O operation on closed epoll object')
            return self

        def __exit__(self, *_exc_info):
            self.close()

        @property
        def closed(self):
            """Is it closed? (bool)"""
            return self._epoll.closed

        def fileno(self):
            """The epoll descriptor."""
            return self._epoll.fileno()

        def register(self, fd, eventmask=_NONE):
            """Watch *fd* for *eventmask*, ``EPOLLIN | EPOLLOUT | EPOLLPRI`` if
            that is left out.

            :raise OSError: if it is registered already, or cannot be watched.
            """
            if eventmask is _NONE:
                self._epoll.register(fd)
            else:
                self._epoll.register(fd, eventmask)

        def modify(self, fd, eventmask):
            """Change what the registered *fd* is watched for."""
            self._epoll.modify(fd, eventmask)

        def unregister(self, fd):
            """Stop watching *fd*."""
            self._epoll.unregister(fd)

        def poll(self, timeout=None, maxevents=-1):
            """Wait until something is ready.

            :param timeout: seconds (float) to wait at most; ``None`` or a
                negative number for no limit.
            :param maxevents: how many to return at most; -1 for no limit.
            :return: a list of ``(descriptor, events)``.
            """
            ready = self._epoll.poll(0, maxevents)
            if ready or timeout == 0:
                _give_way()
                return ready
            end = None
            if timeout is not None and timeout >= 0:
                end = monotonic() + timeout
            while not ready:
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    break
                self._wait(left)
                # None, if another greenlet was faster.
                ready = self._epoll.poll(0, maxevents)
            return ready

        def _wait(self, seconds):
            hub = self._hub or get_hub()
            watcher = self._watcher
            if watcher is None:
                watcher = self._watcher = self._make_watcher(hub)
            if watcher.callback is None and watcher.loop is hub.loop:
                self._wait_on(watcher, seconds, hub)
                return
            # Another greenlet, or thread, waits with it.
            watcher = self._make_watcher(hub)
            try:
                self._wait_on(watcher, seconds, hub)
            finally:
                watcher.close()

        def _make_watcher(self, hub):
            return hub.loop.io(self.fileno(), _READ,
                               priority=hub.loop.MAXPRI)

        @staticmethod
        def _wait_on(watcher, seconds, hub):
            try:
                wait_on_watcher(watcher, seconds, _TimedOut(), hub)
            except _TimedOut:
                pass

        def close(self):
            """Close the epoll descriptor. Greenlets in `poll` get an OSError
            (EBADF)."""
            watcher, self._watcher = self._watcher, None
            if watcher is None:
                self._epoll.close()
            else:
                get_hub().cancel_waits_close_and_then(
                    [watcher], cancel_wait_ex, self._epoll.close)


def _gevent_do_monkey_patch(patch_request):
    patch_request.default_patch_items()
    _patch_selectors()
    if patch_request.patch_kwargs.get('aggressive', True):
        # They would block; what looks for them falls back to select and poll.
        patch_request.remove_item('kqueue', 'kevent', 'devpoll')


def _patch_selectors():
    # Imported earlier, that module has taken hold of the real functions.
    import selectors

    def _select(_self, *args, **kwargs):
        return select(*args, **kwargs)

    _select._gevent_monkey = True
    if hasattr(selectors, 'SelectSelector'):
        selectors.SelectSelector._select = _select
    if hasattr(selectors, 'PollSelector'):
        selectors.PollSelector._selector_cls = poll
    if hasattr(selectors, 'EpollSelector'):
        selectors.EpollSelector._selector_cls = epoll


__imports__ = copy_globals(__select__, globals(),
                           names_to_ignore=set(globals()))
