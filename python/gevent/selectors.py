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
from gevent._util import copy_globals

__implements__ = ['DefaultSelector']
__extra__ = ['GeventSelector']
__all__ = __implements__ + __extra__

EVENT_READ = __selectors__.EVENT_READ
EVENT_WRITE = __selectors__.EVENT_WRITE
_BaseSelectorImpl = __selectors__._BaseSelectorImpl
_HAS_EPOLL = hasattr(_gevent_select, 'epoll')


class _Epoll:
    """Watches by `gevent.select.epoll`."""

    def __init__(self, hub):
        self._epoll = _gevent_select.epoll()
        self._epoll._hub = hub
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

    def poll(self, seconds):
        """``[(descriptor, events)]``, after *seconds* at most (None: no end)."""
        if self._files or (seconds is not None and seconds < 0):
            seconds = 0
        ready = [(fd, _epoll_events(flags))
                 for fd, flags in self._epoll.poll(seconds)]
        ready.extend(self._files.items())
        return ready

    def close(self):
        self._epoll.close()


def _epoll_events(flags):
    # An error shows in both directions.
    return ((EVENT_READ if flags & ~__select__.EPOLLOUT else 0)
            | (EVENT_WRITE if flags & ~__select__.EPOLLIN else 0))


class _Poll:
    """The same for a system without epoll."""

    def __init__(self, _hub):
        self._poll = _gevent_select.poll()

    def register(self, fd, events):
        self._poll.register(
            fd, (__select__.POLLIN if events & EVENT_READ else 0)
            | (__select__.POLLOUT if events & EVENT_WRITE else 0))

    def unregister(self, fd):
        self._poll.unregister(fd)

    def poll(self, seconds):
        # Several may wait in a selector, as they can in one with epoll.
        return [(fd, _poll_events(flags)) for fd, flags in self._poll._answer(
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
        self._poller = (_Epoll if _HAS_EPOLL else _Poll)(hub)

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
                for fd, events in self._poller.poll(timeout)
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
        patch_request.remove_item('KqueueSelector', 'DevpollSelector')


__imports__ = copy_globals(__selectors__, globals(),
                           names_to_ignore=set(globals()))
