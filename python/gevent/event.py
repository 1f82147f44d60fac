"""Events, and results of work that is done elsewhere.

Both may be used from several native threads: whoever waits is woken through
the hub of its own thread.
"""
from __future__ import annotations

from gevent._abstract_linkable import AbstractLinkable
from gevent._tblib import dump_traceback, load_traceback
from gevent.timeout import Timeout, expired_timeout
from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore._accel import UNSET as _UNSET
    from libgcore._accel import Event as _Event
    from libgcore._accel import Result as _Result
else:
    from libgcore._plain_event import UNSET as _UNSET
    from libgcore._plain_event import Event as _Event
    from libgcore._plain_event import Result as _Result

__all__ = [
    'Event',
    'AsyncResult',
]


class Event(_Event):
    """A flag that greenlets wait for, as `threading.Event`.

    Who waits is woken in the order of waiting. One that arrives at a set flag
    while others are being woken returns behind them.
    """

    __slots__ = ()

    def __str__(self):
        return '<%s %s _links[%s]>' % (
            self.__class__.__name__, 'set' if self.is_set() else 'clear',
            self.linkcount())

    def __repr__(self):
        return '<%s.%s at 0x%x %s _links[%s]>' % (
            type(self).__module__, type(self).__name__, id(self),
            'set' if self.is_set() else 'clear', self.linkcount())

    def _reset_internal_locks(self):
        # threading calls it after a fork; there is nothing to reset.
        pass


class AsyncResult(_Result):
    """A value or an exception that is set once somewhere, and awaited by any
    number of greenlets.

    An instance can be linked to a `Greenlet` (``greenlet.link(result)``) to
    take over what that one ends with.
    """

    __slots__ = ()

    def __str__(self):
        parts = [self.__class__.__name__]
        if self._value is not _UNSET:
            parts.append('value=%r' % (self._value,))
        if self._exc_info:
            parts.append('exception=%r' % (self._exc_info[1],))
        if not self.ready():
            parts.append('unset')
        return '<%s _links[%s]>' % (' '.join(parts), self.linkcount())

    @property
    def value(self):
        """The value, or None before there is one."""
        value = self._value
        return value if value is not _UNSET else None

    @property
    def exc_info(self):
        """The exception as a (type, value, traceback) tuple, or ()."""
        exc_info = self._exc_info
        if not exc_info:
            return ()
        return exc_info[0], exc_info[1], load_traceback(exc_info[2])

    @property
    def exception(self) -> BaseException | None:
        """The exception, or None when there is none."""
        return self._exc_info[1] if self._exc_info else None

    def successful(self) -> bool:
        """Is there a value?"""
        return self._value is not _UNSET

    def set(self, value=None) -> None:
        """Store *value* and wake everyone who waits."""
        self._settle(value)

    set_result = set

    def set_exception(self, exception, exc_info=None) -> None:
        """Store *exception* and wake everyone who waits.

        :param exc_info: its (type, value, traceback), where it has another
            traceback than its own.
        """
        if exc_info:
            kind, value, tb = exc_info
        else:
            kind, value = type(exception), exception
            tb = (exception.__traceback__
                  if isinstance(exception, BaseException) else None)
        self._fail((kind, value, dump_traceback(tb)))

    def _raise_exception(self):
        _, value, tb = self.exc_info
        if isinstance(value, type):
            value = value()
        # Each time as it was stored, without the frames of earlier calls.
        raise value.with_traceback(tb)

    def get(self, block: bool = True, timeout: float | None = None):
        """The value, once there is one.

        :param block: wait for it?
        :param timeout: how long, in seconds (float).
        :raise Timeout: when there is none and *block* is false, or none
            within *timeout*.

        Raises the exception when that is the result.
        """
        value = self._value
        if value is not _UNSET:
            return value
        if not self._exc_info:
            if not block:
                raise Timeout()
            if not self._wait(timeout) and not self.ready():
                raise expired_timeout(timeout)
            value = self._value
            if value is not _UNSET:
                return value
        return self._raise_exception()

    def get_nowait(self):
        """``get(block=False)``"""
        return self.get(block=False)

    def wait(self, timeout: float | None = None):
        """Wait until there is a result, for at most *timeout* seconds.

        :return: the value, or None: there is an exception, or no result.
        """
        if not self.ready():
            try:
                self._wait(timeout)
            except Timeout as ex:
                if ex is not timeout:
                    raise
        return self.value

    def __call__(self, source):
        # As a link: take over what the source has.
        if source.successful():
            self.set(source.value)
        else:
            self.set_exception(source.exception,
                               getattr(source, 'exc_info', None))

    # What concurrent.futures.Future has.

    def result(self, timeout: float | None = None):
        """``get(timeout=timeout)``"""
        return self.get(timeout=timeout)

    def done(self) -> bool:
        """``ready()``"""
        return self.ready()

    def cancel(self) -> bool:
        """Cannot be cancelled: False."""
        return False

    def cancelled(self) -> bool:
        """False."""
        return False
