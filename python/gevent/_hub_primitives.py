"""Waiting, in terms of the hub: for watchers, objects and descriptors."""
from greenlet import getcurrent

from gevent._greenlet_primitives import SwitchOutGreenletWithLoop
from gevent._hub_local import get_hub_noargs as get_hub
from gevent._util import _NONE, print_traceback
from gevent._waiter import MultipleWaiter, Waiter
from gevent.exceptions import ConcurrentObjectUseError, InvalidSwitchError
from gevent.timeout import Timeout
from libgcore import _engine

__all__ = [
    'WaitOperationsGreenlet',
    'iwait_on_objects',
    'wait_on_objects',
    'wait_read',
    'wait_write',
    'wait_readwrite',
]


class WaitOperationsGreenlet(SwitchOutGreenletWithLoop):
    """The operations of a hub that wait for, or end waits on, watchers."""

    def wait(self, watcher):
        """Wait until the event of `watcher` (not started yet) happens.

        Raises ConcurrentObjectUseError when something waits for it already.
        """
        if isinstance(watcher, _engine.Watcher):
            watcher.wait()
            return
        # Of another loop's making.
        happened = object()
        waiter = Waiter(self)
        waiter.subject = watcher
        watcher.start(waiter.switch, happened)
        try:
            result = waiter.get()
            if result is not happened:
                raise InvalidSwitchError(
                    f'{getcurrent()} was switched to with {result!r} while '
                    f'it waited for {watcher!r}')
        finally:
            watcher.stop()

    def cancel_waits_close_and_then(self, watchers, exc_kind, then,
                                    *then_args):
        """End the waits on `watchers` with exceptions and close them, in the
        hub; then call ``then(*then_args)``."""
        deferred = []
        for watcher in watchers:
            if watcher is None:
                continue
            if watcher.callback is None:
                watcher.close()
            else:
                deferred.append(watcher)
        if deferred:
            self.loop.run_callback(self._cancel_waits_then, deferred,
                                   exc_kind, then, then_args)
        else:
            then(*then_args)

    def _cancel_waits_then(self, watchers, exc_kind, then, then_args):
        for watcher in watchers:
            self._cancel_wait(watcher, exc_kind, True)
        then(*then_args)

    def cancel_wait(self, watcher, error, close_watcher=False):
        """Raise `error` in the greenlet that waits for `watcher`, if any, in
        a callback of the hub."""
        if watcher is None:
            return
        if watcher.callback is not None:
            self.loop.run_callback(self._cancel_wait, watcher, error,
                                   close_watcher)
            return
        if close_watcher:
            watcher.close()

    def _cancel_wait(self, watcher, error, close_watcher):
        active = watcher.active
        waiter = getattr(watcher, 'waiter', None)
        callback = watcher.callback
        if close_watcher:
            watcher.close()
        if not active:
            return
        if waiter is not None:
            if isinstance(error, type):
                error = error()
            waiter.throw(error)
            return
        # Started with a greenlet's or a Waiter's switch.
        greenlet = getattr(callback, '__self__', None)
        if isinstance(greenlet, Waiter):
            greenlet = greenlet.greenlet
        if greenlet is not None:
            greenlet.throw(error)


class _WaitIterator:
    """The iterator of iwait(): the links and the timer live as long as it
    does, or until the context is left."""

    def __init__(self, objects, hub, timeout, count):
        self._arrived = MultipleWaiter(hub)
        self._arrived.subject = objects
        self._link = self._arrived.switch
        self._left = len(objects)
        if count is not None:
            self._left = min(count, self._left)
        self._unlinked, self._linked = objects, ()
        self._timer = (None if timeout is None
                       else hub.loop.timer(timeout, priority=-1))

    def _link_objects(self):
        self._linked, self._unlinked = self._unlinked, ()
        for item in self._linked:
            ready = getattr(item, 'ready', None)
            # What is ready already is had without a turn of the hub.
            if ready is not None and ready():
                self._link(item)
            else:
                item.rawlink(self._link)
        if self._timer is not None:
            self._timer.start(self._link, _TIME_IS_UP)

    def __iter__(self):
        return self

    def __next__(self):
        arrived = _TIME_IS_UP
        try:
            if self._left > 0:
                if self._unlinked:
                    self._link_objects()
                self._left -= 1
                arrived = self._arrived.get()
                self._arrived.clear()
        finally:
            if arrived is _TIME_IS_UP:
                self._end()
        if arrived is _TIME_IS_UP:
            raise StopIteration
        return arrived

    next = __next__

    def _end(self):
        self._left = 0
        if self._timer is not None:
            self._timer.close()
        self._timer = None
        linked, self._linked = self._linked, ()
        self._arrived.subject = None
        _unlink_all(linked, self._link)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._end()


_TIME_IS_UP = object()


def iwait_on_objects(objects, timeout=None, count=None):
    """Iterate over `objects` as they become ready.

    ``objects`` have ``rawlink`` and ``unlink``.  Ends after `timeout`
    seconds, or after `count` objects.  Also a context manager, which undoes
    the links of an iteration that is left early.  With None for `objects`,
    yields one boolean: whether nothing is left to run.
    """
    hub = get_hub()
    if objects is None:
        return [hub.join(timeout=timeout)]
    return _WaitIterator(list(objects), hub, timeout, count)


def wait_on_objects(objects=None, timeout=None, count=None):
    """Wait for `objects`, or `count` of them, or `timeout` seconds.

    Returns those that are ready, in the order they became so.  Without
    `objects`, waits until nothing is left to run: True, or False when the
    timeout came first.
    """
    if objects is None:
        hub = get_hub()
        return hub.join(timeout=timeout)
    objects = list(objects)
    count = len(objects) if count is None else min(count, len(objects))
    if count <= 0:
        return []
    wait = _engine.Wait(objects)
    gather = _engine.Gather(wait, count)
    linked = []
    try:
        for item in objects:
            item.rawlink(gather)
            linked.append(item)
        wait.park(timeout)
    finally:
        if len(gather.done) < len(linked):
            _unlink_all(linked, gather)
    return gather.done[:count]


def _unlink_all(objects, link):
    for item in objects:
        unlink = getattr(item, 'unlink', None)
        if unlink is None:
            continue
        try:
            unlink(link)
        except:  # pylint:disable=bare-except
            print_traceback()


_timeout_error = Exception


def set_default_timeout_error(e):
    """What ``wait_read`` and its kin raise when not told."""
    global _timeout_error
    _timeout_error = e


def _primitive_wait(watcher, timeout, timeout_exc, hub):
    if watcher.callback is not None:
        raise ConcurrentObjectUseError(
            'This socket is already used by another greenlet: %r'
            % (watcher.callback,))
    if timeout is None:
        (hub or get_hub()).wait(watcher)
        return
    if timeout_exc is _NONE or timeout_exc is None:
        timeout_exc = _timeout_error('timed out')
    if isinstance(watcher, _engine.Watcher):
        if not watcher.wait(timeout):
            raise timeout_exc
        return
    with Timeout.start_new(timeout, timeout_exc):
        (hub or get_hub()).wait(watcher)


def wait_on_socket(socket, watcher, timeout_exc=None):
    """Wait for a gevent socket's watcher, within the socket's timeout."""
    if socket is None or watcher is None:
        raise ConcurrentObjectUseError("The socket has already been closed "
                                       "by another greenlet")
    _primitive_wait(watcher, socket.timeout,
                    timeout_exc if timeout_exc is not None else _NONE,
                    socket.hub)


def wait_on_watcher(watcher, timeout=None, timeout_exc=_NONE, hub=None):
    """Wait for a watcher's event.

    Raises `timeout_exc` (by default ``socket.timeout('timed out')``) after
    `timeout` seconds, and ConcurrentObjectUseError when something else waits
    for it.
    """
    _primitive_wait(watcher, timeout, timeout_exc, hub)


def _wait_fd(fileno, events, timeout, timeout_exc):
    hub = get_hub()
    watcher = hub.loop.io(fileno, events)
    try:
        return wait_on_watcher(watcher, timeout, timeout_exc, hub)
    finally:
        watcher.close()


def wait_read(fileno, timeout=None, timeout_exc=_NONE):
    """Wait until the descriptor `fileno` is readable.

    Raises `timeout_exc` (by default ``socket.timeout('timed out')``) after
    `timeout` seconds.
    """
    return _wait_fd(fileno, 1, timeout, timeout_exc)


def wait_write(fileno, timeout=None, timeout_exc=_NONE, event=_NONE):
    """Wait until the descriptor `fileno` is writable; as :func:`wait_read`.
    `event` is ignored."""
    return _wait_fd(fileno, 2, timeout, timeout_exc)


def wait_readwrite(fileno, timeout=None, timeout_exc=_NONE, event=_NONE):
    """Wait until the descriptor `fileno` is readable or writable; as
    :func:`wait_read`.  `event` is ignored."""
    return _wait_fd(fileno, 3, timeout, timeout_exc)
