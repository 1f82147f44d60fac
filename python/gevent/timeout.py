"""Timeouts: exceptions that a timer raises in a greenlet."""
from __future__ import annotations

from collections.abc import Callable

from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore._accel import NO_TIMER as _NO_TIMER
    from libgcore._accel import Timeout as _Timeout
else:
    from libgcore._plain_timeout import NO_TIMER as _NO_TIMER
    from libgcore._plain_timeout import Timeout as _Timeout

__all__ = [
    'Timeout',
    'with_timeout',
]


# The timer of all timeouts that never fire.
_FakeTimer = type(_NO_TIMER)


class Timeout(_Timeout):
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

    @classmethod
    def start_new(cls, timeout=None, exception=None, ref: bool = True,
                  _one_shot: bool = False) -> 'Timeout':
        """Make and start a timeout, or start *timeout* if it is one that is
        not running.

        :param timeout: seconds (float), None, or a `Timeout`.
        :return: the timeout, started.
        """
        started = timeout
        if not isinstance(timeout, Timeout):
            started = cls(timeout, exception, ref=ref, _one_shot=_one_shot)
        if not started.pending:
            started.start()
        return started

    @staticmethod
    def _start_new_or_dummy(timeout, exception=None):
        # For internal callers, whose timeouts are used once.
        if timeout is None:
            return _NO_TIMER
        return Timeout.start_new(timeout, exception, _one_shot=True)

    def __repr__(self):
        shown = [type(self).__name__, 'at', hex(id(self)),
                 f'seconds={self.seconds}']
        if self.exception is not None:
            shown.append(f'exception={self.exception!r}')
        if self.pending:
            shown.append('pending')
        return f"<{' '.join(shown)}>"

    def __str__(self):
        """``'1 second: message'``; empty without seconds."""
        if self.seconds is None:
            return ''
        duration = f'{self.seconds} second'
        if self.seconds != 1:
            duration += 's'
        if self.exception is False:
            return duration + ' (silent)'
        return (duration if self.exception is None
                else f'{duration}: {self.exception}')

    def __lt__(self, other):
        return self.seconds < getattr(other, 'seconds', other)


def expired_timeout(seconds) -> Timeout:
    """The `Timeout` to raise for a wait of *seconds* that ran out, which needs
    no timer any more."""
    timeout = Timeout()
    timeout.seconds = seconds
    return timeout


def with_timeout(seconds, function: Callable, *args, **kwds):
    """Call ``function(*args, **kwds)`` with a timeout around it.

    :param seconds: as for `Timeout`.
    :param timeout_value: what to return when the time runs out (by keyword).
    :return: what *function* returns, or *timeout_value*.
    :raise Timeout: when the time runs out and there is no *timeout_value*.
    """
    has_value = 'timeout_value' in kwds
    value = kwds.pop('timeout_value', None)
    limit = Timeout.start_new(seconds, _one_shot=True)
    try:
        return function(*args, **kwds)
    except Timeout as expired:
        if expired is not limit or not has_value:
            raise
        return value
    finally:
        limit.cancel()
