"""Timeouts: the plain twin of accel/timeout.c."""
from greenlet import getcurrent

from libgcore._plain_base import UNSET, as_seconds, get_hub

__all__ = ['NO_TIMER', 'Timeout', 'call_timed']


class _NoTimer:
    """The timer of a timeout that never fires."""

    __slots__ = ()

    pending = False
    active = False

    def start(self, *args, **kwargs):
        """Raises AssertionError."""
        raise AssertionError('non-expiring timer cannot be started')

    def stop(self):
        """Nothing to stop."""

    cancel = close = stop

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass


#: The timer of all timeouts that never fire.
NO_TIMER = _NoTimer()


class Timeout(BaseException):
    """An exception with a timer that throws it."""

    def __init__(self, seconds=None, exception=None, ref=True, priority=-1,
                 _one_shot=False):
        BaseException.__init__(self)
        if seconds is not None:
            self._after = as_seconds(seconds)
        self.seconds = seconds
        self.exception = exception
        self._ref = ref
        self._priority = priority
        self._one_shot = _one_shot
        self._timer = NO_TIMER if seconds is None else None

    @property
    def timer(self):
        """Its timer."""
        if self._timer is None:
            self._timer = get_hub().loop.timer(
                self._after, ref=self._ref, priority=self._priority)
        return self._timer

    @timer.setter
    def timer(self, value):
        self._timer = value

    @property
    def pending(self):
        """Whether the timer is running."""
        timer = self._timer
        return timer is not None and bool(timer.active or timer.pending)

    def start(self):
        """Start the timer, for the current greenlet; AssertionError when it
        is running."""
        if self.pending:
            raise AssertionError(
                '%r is already started; to restart it, cancel it first'
                % (self,))
        if self.seconds is None:
            return
        thrown = self.exception
        if thrown is None or thrown is False or isinstance(thrown, str):
            thrown = self
        # The loop's idea of now is what it was when this greenlet got
        # control.
        self.timer.start(self._on_expiration, getcurrent(), thrown,
                         update=True)

    def _on_expiration(self, prev_greenlet, ex):
        # Called in the hub when the time has run out.
        prev_greenlet.throw(ex)

    def cancel(self):
        """Stop the timer; the timeout may be started again."""
        if self._one_shot:
            self.close()
        elif self._timer is not None:
            self._timer.stop()

    def close(self):
        """Stop the timer and free it; the timeout cannot be used again."""
        timer, self._timer = self._timer, NO_TIMER
        if timer is not None:
            timer.stop()
            timer.close()

    def __enter__(self):
        if not self.pending:
            self.start()
        return self

    def __exit__(self, typ, value, tb):
        # Only its own expiration is kept from leaving the block.
        self.close()
        return value is self and self.exception is False


def call_timed(method, timeout, expired, *args):
    """``method(*args, timeout)``. Where `timeout` is a Timeout object, that
    one runs meanwhile and None is passed; when it expires, returns `expired`
    unless that is UNSET."""
    if not isinstance(timeout, Timeout):
        return method(*args, timeout)
    if not timeout.pending:
        timeout.start()
    try:
        return method(*args, None)
    except BaseException as error:
        if error is timeout and expired is not UNSET:
            return expired
        raise
    finally:
        timeout.cancel()
