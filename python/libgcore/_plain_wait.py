"""Waits: the plain twin of accel/wait.c."""
from greenlet import getcurrent

from libgcore._binding import lib
from libgcore._plain_base import (
    FOREVER, NS, deadline_in, error_type, get_hub, get_hub_if_exists, guard,
    is_directly_switchable,
)

__all__ = ['NEW', 'PARKED', 'QUEUED', 'RESUMED', 'ENDED', 'Wait', 'pause']

NEW, PARKED, QUEUED, RESUMED, ENDED = range(5)


class Wait:
    """One wait of the calling greenlet."""

    __slots__ = ('_loop', 'greenlet', 'value', '_error', 'subject', '_timer',
                 '_state', 'woken', '_since', 'result', '_argument',
                 'abandoned', '__weakref__')

    def __init__(self, subject=None):
        self._loop = get_hub().loop
        self._loop._check()
        self.greenlet = self.value = self._error = self._timer = None
        self.subject = subject
        self._state = NEW
        self.woken = self.abandoned = False
        self._since = self.result = self._argument = 0

    @property
    def argument(self):
        """What an operation of the engine is given as its argument, so that
        its end wakes this wait."""
        if not self._argument:
            self._argument = self._loop._token(_Operation(self))
        return self._argument

    def discard(self):
        """End the wait: nothing wakes it from now on."""
        if self._state < RESUMED:
            self.abandoned = self._state != NEW
            self._state = ENDED
            self._forget_argument()
            if self._timer is not None:
                self._loop._stop_timer(self._timer)
                self._timer = None

    def _forget_argument(self):
        if self._argument:
            self._loop._tokens.pop(self._argument, None)

    @property
    def hub(self):
        """The hub of the thread that made it."""
        return self._loop.hub

    @property
    def since(self):
        """When it was parked, monotonic seconds."""
        return self._since / NS

    @property
    def over(self):
        """Whether a wake-up would be refused."""
        return self.woken or self._state > PARKED

    def park(self, timeout=None, ref=False):
        """Give up until woken: True; False after `timeout` seconds."""
        deadline = FOREVER if timeout is None else deadline_in(timeout)
        loop = self._loop
        loop._check()
        if ref:
            loop.ref()
        try:
            return self._park_until(deadline, True, -1)
        finally:
            if ref and loop.is_open:
                loop.unref()

    def _begin(self):
        if self._state != NEW:
            raise error_type('ConcurrentObjectUseError')(
                'a wait can be parked only once')
        self._loop._check()
        hub = get_hub_if_exists()
        if hub is None or hub.loop is not self._loop:
            raise error_type('InvalidThreadUseError')(
                'a wait is parked by the thread that made it')
        with guard:
            if self.woken:
                self._state = ENDED
                return True
            self.greenlet = getcurrent()
            self._state = PARKED
            return False

    def _park_until(self, deadline, ref, priority):
        if self._begin():
            return True
        loop = self._loop
        if deadline != FOREVER:
            self._timer = loop._start_timer(self, deadline, ref, priority)
        return self._park()

    def _park(self):
        loop = self._loop
        self._since = lib.gcore_hub_now(loop._engine)
        loop._parked_waits[self] = None
        try:
            got = loop.hub.switch()
            if self._state != RESUMED:
                raise error_type('InvalidSwitchError')(
                    'Invalid switch into %r: got %r while waiting for %r'
                    % (self.greenlet, got, self.subject or self))
        finally:
            loop._parked_waits.pop(self, None)
            self._state = ENDED
            self._forget_argument()
            if self._timer is not None:
                loop._stop_timer(self._timer)
                self._timer = None
            # The hub may keep the wait until its next turn.
            self.greenlet = self.subject = None
        return self.woken

    def wake(self, value=None):
        """Resume the greenlet, from any thread; False when it is over."""
        with guard:
            if self.over or not self._loop.is_open:
                return False
            self.woken = True
            self.value = value
            if self._state == PARKED:
                self._state = QUEUED
                self._loop._push(self)
            return True

    __call__ = wake

    def _run_now(self):
        # In a callback of the hub: wake and let the greenlet run right now;
        # another thread's is woken only.
        hub = get_hub_if_exists()
        with guard:
            here = (self._state == PARKED and not self.woken
                    and hub is getcurrent() and hub.loop is self._loop)
            if here:
                self.woken = True
                self._state = RESUMED
        if not here:
            return self.wake()
        self._switch_now()
        return True

    def _run_queued(self):
        # There, too: if it has been woken already and its turn has not come.
        hub = get_hub_if_exists()
        if (self._state != QUEUED or self._error is not None
                or hub is None or hub.loop is not self._loop):
            return False
        self._state = RESUMED
        self._switch_now()
        return True

    def _switch_now(self):
        target = self.greenlet
        try:
            target.switch()
        except:  # pylint:disable=bare-except
            self._loop._report(target)

    def throw(self, error):
        """As wake(), but park() raises `error`."""
        if isinstance(error, type) and issubclass(error, BaseException):
            error = error()
        if not isinstance(error, BaseException):
            raise TypeError('an exception is thrown, not %r' % (error,))
        if self._state != PARKED or not self.wake():
            return False
        self._error = error
        return True

    def _complete(self):
        if self.woken or self._state != PARKED:
            return
        self.woken = True
        self._state = QUEUED
        self._loop._ready.append(self)

    def _fire(self, _result):
        if self._state == PARKED:  # its time is up
            self._state = QUEUED
            self._loop._ready.append(self)

    def _run(self, loop):
        if self._state != QUEUED:
            return
        target = self.greenlet
        try:
            if self._error is not None:
                target.throw(self._error)
                return
            self._state = RESUMED
            if is_directly_switchable(target):
                loop._run_greenlet(target, (), target)
            else:
                target.switch()
        except:  # pylint:disable=bare-except
            loop._report(target)


class _Operation:
    """The end of an operation of the engine that a wait stands for."""

    __slots__ = ('_wait',)

    def __init__(self, wait):
        self._wait = wait

    def _fire(self, result):
        wait = self._wait
        wait.result = result
        if wait._state == NEW:
            wait.woken = True
        else:
            wait._complete()


def pause(then=None):
    """Let everything run that is queued already; the wait `then`, if not
    None, is woken to run right behind the caller."""
    wait = Wait()
    if not wait._begin():
        wait.wake()
        if then is not None:
            then.wake()
        wait._park()
