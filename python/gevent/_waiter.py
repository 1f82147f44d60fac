"""The low-level meeting of one greenlet and the hub."""
import sys

from greenlet import getcurrent

from gevent._hub_local import get_hub_noargs as get_hub
from gevent._util import _NONE
from gevent.exceptions import ConcurrentObjectUseError

__all__ = ['Waiter']


class Waiter:
    """Carries one value or exception to the greenlet that waits for it.

    ``switch`` and ``throw`` are for callbacks of the hub; called before
    ``get`` they store what they bring.  For waiting in new code prefer an
    Event, AsyncResult or Queue.
    """

    __slots__ = ('hub', 'greenlet', 'value', '_exception')

    def __init__(self, hub=None):
        self.hub = get_hub() if hub is None else hub
        self.greenlet = None
        self.value = None
        self._exception = _NONE

    def clear(self):
        """Forget what was brought."""
        self.greenlet = None
        self.value = None
        self._exception = _NONE

    def __str__(self):
        if self._exception is _NONE:
            return '<%s greenlet=%s>' % (type(self).__name__, self.greenlet)
        if self._exception is None:
            return '<%s greenlet=%s value=%r>' % (
                type(self).__name__, self.greenlet, self.value)
        return '<%s greenlet=%s exc_info=%r>' % (
            type(self).__name__, self.greenlet, self.exc_info)

    def ready(self):
        """Whether something was brought."""
        return self._exception is not _NONE

    def successful(self):
        """Whether a value was brought."""
        return self._exception is None

    @property
    def exc_info(self):
        """The exception that was brought, as a tuple, or None."""
        return self._exception if self._exception is not _NONE else None

    def switch(self, value):
        """Hand `value` to the waiting greenlet; only in the hub."""
        greenlet = self.greenlet
        if greenlet is None:
            self.value = value
            self._exception = None
            return
        if getcurrent() is not self.hub:
            raise AssertionError(
                "Can only use Waiter.switch method from the Hub greenlet")
        try:
            greenlet.switch(value)
        except:  # pylint:disable=bare-except
            self.hub.handle_error(greenlet.switch, *sys.exc_info())

    def switch_args(self, *args):
        """Hand over the tuple of the arguments."""
        return self.switch(args)

    def throw(self, *throw_args):
        """Raise in the waiting greenlet; only in the hub."""
        greenlet = self.greenlet
        if greenlet is None:
            self._exception = throw_args
            return
        if getcurrent() is not self.hub:
            raise AssertionError(
                "Can only use Waiter.switch method from the Hub greenlet")
        try:
            greenlet.throw(*throw_args)
        except:  # pylint:disable=bare-except
            self.hub.handle_error(greenlet, *sys.exc_info())

    def get(self):
        """Wait for what is brought: return the value or raise.

        Raises ConcurrentObjectUseError when another greenlet waits.
        """
        if self._exception is not _NONE:
            if self._exception is None:
                return self.value
            getcurrent().throw(*self._exception)
        if self.greenlet is not None:
            raise ConcurrentObjectUseError(
                'This Waiter is already used by %r' % (self.greenlet,))
        self.greenlet = getcurrent()
        try:
            return self.hub.switch()
        finally:
            self.greenlet = None

    def __call__(self, source):
        # As a link: hand over what the source has.
        if source.exception is None:
            self.switch(source.value)
        else:
            self.throw(source.exception)


class MultipleWaiter(Waiter):
    """Keeps everything that is brought, for get() after get()."""

    __slots__ = ('_values',)

    def __init__(self, hub=None):
        super().__init__(hub)
        self._values = []

    def switch(self, value):
        self._values.append(value)
        super().switch(True)

    def get(self):
        if not self._values:
            super().get()
            super().clear()
        return self._values.pop(0)

