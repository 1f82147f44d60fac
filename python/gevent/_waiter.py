"""The low-level meeting of one greenlet and the hub."""
import sys
from time import monotonic

from greenlet import getcurrent

from gevent._hub_local import get_hub_noargs as get_hub
from gevent._util import _NONE
from gevent.exceptions import ConcurrentObjectUseError

__all__ = ['Waiter']

#: Those with which a greenlet waits, by their id: for reports.
parked = {}


class Waiter:
    """Carries one value or exception to the greenlet that waits for it.

    ``switch`` and ``throw`` are for callbacks of the hub; called before
    ``get`` they store what they bring.  For waiting in new code prefer an
    Event, AsyncResult or Queue.
    """

    # subject: what is waited for, where that says more than the Waiter itself.
    __slots__ = ('hub', 'greenlet', 'value', '_exception', 'subject', 'since')

    def __init__(self, hub=None):
        self.hub = get_hub() if hub is None else hub
        self.subject = None
        self.greenlet = None
        self.value = None
        self._exception = _NONE

    def clear(self):
        """Forget what was brought."""
        self.greenlet = None
        self.value = None
        self._exception = _NONE

    def __str__(self):
        brought = ''
        if self.successful():
            brought = f' value={self.value!r}'
        elif self.ready():
            brought = f' exc_info={self.exc_info!r}'
        return f'<{type(self).__name__} greenlet={self.greenlet}{brought}>'

    def ready(self):
        """Whether something was brought."""
        return self._exception is not _NONE

    def successful(self):
        """Whether a value was brought."""
        return self._exception is None

    @property
    def exc_info(self):
        """The exception that was brought, as a tuple, or None."""
        return self._exception if self.ready() else None

    def switch(self, value):
        """Hand `value` to the waiting greenlet; only in the hub."""
        if self.greenlet is None:
            self.value, self._exception = value, None
            return
        resume = self.greenlet.switch
        self._in_hub(resume, resume, value)

    def switch_args(self, *args):
        """Hand over the tuple of the arguments."""
        return self.switch(args)

    def throw(self, *throw_args):
        """Raise in the waiting greenlet; only in the hub."""
        if self.greenlet is None:
            self._exception = throw_args
            return
        self._in_hub(self.greenlet, self.greenlet.throw, *throw_args)

    def _in_hub(self, context, resume, *args):
        if getcurrent() is not self.hub:
            raise AssertionError(
                'what waits with a Waiter is resumed by the hub, not by '
                f'{getcurrent()!r}')
        try:
            resume(*args)
        except:  # pylint:disable=bare-except
            self.hub.handle_error(context, *sys.exc_info())

    def get(self):
        """Wait for what is brought: return the value or raise.

        Raises ConcurrentObjectUseError when another greenlet waits.
        """
        if self.successful():
            return self.value
        if self.ready():
            getcurrent().throw(*self._exception)
        if self.greenlet is not None:
            raise ConcurrentObjectUseError(
                'This Waiter is already used by %r' % (self.greenlet,))
        self.greenlet = getcurrent()
        self.since = monotonic()
        try:
            parked[id(self)] = self
            return self.hub.switch()
        finally:
            parked.pop(id(self), None)
            self.greenlet = None

    def __call__(self, source):
        # As a link: hand over what the source has.
        error = source.exception
        if error is not None:
            self.throw(error)
        else:
            self.switch(source.value)


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

