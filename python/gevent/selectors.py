"""
A cooperative selector, for the programs that use :mod:`selectors`.

Where the system has ``epoll``, the selector is a real one: a descriptor that
collects the readiness of others. To wait for them is to wait for that one
descriptor. Elsewhere :class:`gevent.select.poll` does the same work.
"""
import select as __select__
import selectors as __selectors__

from gevent import select as _gevent_select
from gevent._hub_local import get_hub_noargs as get_hub
from gevent._hub_primitives import wait_on_watcher
from gevent._socketcommon import cancel_wait_ex
from gevent._util import copy_globals

__implements__ = ['DefaultSelector']
__extra__ = ['GeventSelector']
__all__ = __implements__ + __extra__

EVENT_READ = __selectors__.EVENT_READ
EVENT_WRITE = __selectors__.EVENT_WRITE
_BaseSelectorImpl = __selectors__._BaseSelectorImpl
# Kept here: patching removes it from its module.
_epoll = getattr(__select__, 'epoll', None)


class _Epoll:
    """A real epoll object whose `poll` lets other greenlets run."""

    def __init__(self):
        self._epoll = _epoll()
        self._watcher = None
        # What epoll refuses to watch because it is always ready.
        self._files = {}

    def register(self, fd, events):
        flags = ((__select__.EPOLLIN if events & EVENT_READ else 0)
                 | (__select__.EPOLLOUT if events & EVENT_WRITE else 0))
        try:
            self._epoll.register(fd, flags)
        except PermissionError:
            self._files[fd] = events

    def unregister(self, fd):
        if self._files.pop(fd, None) is None:
            self._epoll.unregister(fd)

    def poll(self, seconds, hub):
        """``[(descriptor, events)]``, after *seconds* at most (None: no end)."""
        ready = self._now()
        if ready or (seconds is not None and seconds <= 0):
            _gevent_select._give_way()
            return self._now()
        self._wait(seconds, hub)
        return self._now()

    def _now(self):
        ready = [(fd, _epoll_events(flags)) for fd, flags in self._epoll.poll(0)]
        ready.extend(self._files.items())
        return ready

    def _wait(self, seconds, hub):
        watcher = self._watcher
        if watcher is None:
            watcher = self._watcher = self._make_watcher(hub)
        if watcher.callback is None and watcher.loop is hub.loop:
            _wait(watcher, seconds, hub)
            return
        # Another greenlet, or thread, waits with it.
        watcher = self._make_watcher(hub)
        try:
            _wait(watcher, seconds, hub)
        finally:
            watcher.close()

    def _make_watcher(self, hub):
        return hub.loop.io(self._epoll.fileno(), 1, priority=hub.loop.MAXPRI)

    def close(self):
        if self._watcher is None:
            self._epoll.close()
        else:
            get_hub().cancel_waits_close_and_then(
                [self._watcher], cancel_wait_ex, self._epoll.close)


def _epoll_events(flags):
    # An error shows in both directions.
    return ((EVENT_READ if flags & ~__select__.EPOLLOUT else 0)
            | (EVENT_WRITE if flags & ~__select__.EPOLLIN else 0))


class _TimedOut(Exception):
    pass


def _wait(watcher, seconds, hub):
    try:
        wait_on_watcher(watcher, seconds, _TimedOut(), hub)
    except _TimedOut:
        pass


class _Poll:
    """The same for a system without epoll."""

    def __init__(self):
        self._poll = _gevent_select.poll()

    def register(self, fd, events):
        self._poll.register(
            fd, (__select__.POLLIN if events & EVENT_READ else 0)
            | (__select__.POLLOUT if events & EVENT_WRITE else 0))

    def unregister(self, fd):
        self._poll.unregister(fd)

    def poll(self, seconds, _hub):
        return [(fd, _poll_events(flags)) for fd, flags in self._poll.poll(
            None if seconds is None else max(seconds, 0) * 1000)]

    def close(self):
        pass


def _poll_events(flags):
    return ((EVENT_READ if flags & ~__select__.POLLOUT else 0)
            | (EVENT_WRITE if flags & ~__select__.POLLIN else 0))


class GeventSelector(_BaseSelectorImpl):
    """A selector whose `select` lets other greenlets run.

    :param hub: the hub to wait in; the calling thread's where left out.
    """

    def __init__(self, hub=None):
        super().__init__()
        self._hub = hub
        self._poller = _Poll() if _epoll is None else _Epoll()

    @property
    def hub(self):
        """The hub that waits."""
        return get_hub() if self._hub is None else self._hub

    def register(self, fileobj, events, data=None):
        """Watch *fileobj* for *events*, ``EVENT_READ | EVENT_WRITE``.

        :return: its `selectors.SelectorKey`.
        """
        key = super().register(fileobj, events, data)
        try:
            self._poller.register(key.fd, events)
        except BaseException:
            super().unregister(fileobj)
            raise
        return key

    def unregister(self, fileobj):
        """Stop watching *fileobj*, whose key is returned.

        :raise KeyError: if it is not registered.
        """
        key = super().unregister(fileobj)
        try:
            self._poller.unregister(key.fd)
        except (OSError, ValueError, KeyError):
            pass  # closed since it was registered
        return key

    def select(self, timeout=None):
        """Wait until something is ready, *timeout* seconds at most.

        :return: ``[(key, events)]``, empty if the time is over.
        """
        keys = self._fd_to_key
        return [(keys[fd], events & keys[fd].events)
                for fd, events in self._poller.poll(timeout, self.hub)
                if fd in keys and events & keys[fd].events]

    def close(self):
        """Stop watching. Greenlets in `select` get an OSError EBADF."""
        self._poller.close()
        super().close()


DefaultSelector = GeventSelector


def _gevent_do_monkey_patch(patch_request):
    patch_request.default_patch_items()
    if patch_request.patch_kwargs.get('aggressive', True):
        # They would block, or fail where patching removed what they need.
        patch_request.remove_item('EpollSelector', 'KqueueSelector',
                                  'DevpollSelector')


__imports__ = copy_globals(__selectors__, globals(),
                           names_to_ignore=set(globals()))
