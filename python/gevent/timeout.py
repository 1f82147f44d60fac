"""Timeouts: exceptions that a timer raises in a greenlet."""
from __future__ import annotations

from typing import Any, Callable, Optional

from greenlet import getcurrent

from gevent._hub_local import get_hub_noargs as _get_hub
from gevent._util import _NONE

__all__ = [
    'Timeout',
    'with_timeout',
]


class _FakeTimer:
    """The timer of a timeout that never fires."""

    __slots__ = ()

    pending = False
    active = False

    def start(self, *args, **kwargs):
        """A timeout of None seconds cannot be started."""
        raise AssertionError("non-expiring timer cannot be started")

    def stop(self):
        """Nothing to stop."""

    cancel = close = stop

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


# All timeouts of None seconds share it: it has no state.
_FAKE_TIMER = _FakeTimer()


class Timeout(BaseException):
    """Raises *exception* in the current greenlet after *seconds*.

    :param seconds: when, in seconds (float); None: never. 0 is the next turn
        of the loop; negative values are undefined.
    :param exception: what to raise (a class or an instance). None: the timeout
        itself. A string: the timeout itself, with this text added to its
        message. False: the timeout itself, which ends the ``with`` block
        silently.
    :param ref: does the loop stay alive for the timer? (bool)
    :param priority: of the timer (int).

    Use it as a context manager, or with `start` and `close`. Code that catches
    one must check by identity that it is its own.
    """

    def __init__(self, seconds: Optional[float] = None,
                 exception: Any = None, ref: bool = True, priority: int = -1,
                 _one_shot: bool = False):
        BaseException.__init__(self)
        self.seconds = seconds
        self.exception = exception
        self._one_shot = _one_shot
        if seconds is None:
            self.timer = _FAKE_TIMER
        else:
            self.timer = _get_hub().loop.timer(
                seconds or 0.0, ref=ref, priority=priority)

    def start(self) -> None:
        """Start the timer, for the current greenlet.

        :raise AssertionError: when it is running.
        """
        timer = self.timer
        if timer.active or timer.pending:
            raise AssertionError(
                '%r is already started; to restart it, cancel it first'
                % (self,))
        if self.seconds is None:
            return
        # The loop's idea of now may be old: it is what it was when this
        # greenlet got control.
        exception = self.exception
        if exception is None or exception is False or isinstance(exception,
                                                                 str):
            exception = self
        timer.start(self._on_expiration, getcurrent(), exception,
                    update=True)

    def _on_expiration(self, prev_greenlet, ex):
        # Called in the hub; may be overridden.
        prev_greenlet.throw(ex)

    @classmethod
    def start_new(cls, timeout=None, exception=None, ref: bool = True,
                  _one_shot: bool = False) -> 'Timeout':
        """Make and start a timeout, or start *timeout* if it is one that is
        not running.

        :param timeout: seconds (float), None, or a `Timeout`.
        :return: the timeout, started.
        """
        if isinstance(timeout, Timeout):
            if not timeout.pending:
                timeout.start()
            return timeout
        timeout = cls(timeout, exception, ref=ref, _one_shot=_one_shot)
        timeout.start()
        return timeout

    @staticmethod
    def _start_new_or_dummy(timeout, exception=None):
        # For internal callers, whose timeouts are used once.
        if timeout is None:
            return _FAKE_TIMER
        return Timeout.start_new(timeout, exception, _one_shot=True)

    @property
    def pending(self) -> bool:
        """Is the timer running?"""
        return self.timer.active or self.timer.pending

    def cancel(self) -> None:
        """Stop the timer; the timeout may be started again."""
        self.timer.stop()
        if self._one_shot:
            self.close()

    def close(self) -> None:
        """Stop the timer and free it; the timeout cannot be used again."""
        self.timer.stop()
        self.timer.close()
        self.timer = _FAKE_TIMER

    def __repr__(self):
        name = type(self).__name__
        pending = ' pending' if self.pending else ''
        exception = '' if self.exception is None else (
            ' exception=%r' % (self.exception,))
        return '<%s at %s seconds=%s%s%s>' % (
            name, hex(id(self)), self.seconds, exception, pending)

    def __str__(self):
        """``'1 second: message'``; empty without seconds."""
        if self.seconds is None:
            return ''
        suffix = '' if self.seconds == 1 else 's'
        if self.exception is None:
            return '%s second%s' % (self.seconds, suffix)
        if self.exception is False:
            return '%s second%s (silent)' % (self.seconds, suffix)
        return '%s second%s: %s' % (self.seconds, suffix, self.exception)

    def __enter__(self):
        """Start the timer unless it is running; returns the timeout."""
        timer = self.timer
        if not (timer.active or timer.pending):
            self.start()
        return self

    def __exit__(self, typ, value, tb):
        """Stop the timer and free it. A timeout with ``exception=False``
        keeps its own expiration from leaving the block."""
        timer = self.timer
        if timer is not _FAKE_TIMER:
            self.timer = _FAKE_TIMER
            timer.close()
        return value is self and self.exception is False

    def __lt__(self, other):
        return self.seconds < other


def with_timeout(seconds, function: Callable, *args, **kwds):
    """Call ``function(*args, **kwds)`` with a timeout around it.

    :param seconds: as for `Timeout`.
    :param timeout_value: what to return when the time runs out (by keyword).
    :return: what *function* returns, or *timeout_value*.
    :raise Timeout: when the time runs out and there is no *timeout_value*.
    """
    timeout_value = kwds.pop('timeout_value', _NONE)
    timeout = Timeout.start_new(seconds, _one_shot=True)
    try:
        try:
            return function(*args, **kwds)
        except Timeout as ex:
            if ex is timeout and timeout_value is not _NONE:
                return timeout_value
            raise
    finally:
        timeout.cancel()
