"""Events and results: the plain twin of accel/event.c."""
from libgcore._plain_base import UNSET, get_hub_if_exists, in_hub
from libgcore._plain_links import Linkable
from libgcore._plain_timeout import call_timed
from libgcore._plain_wait import pause

__all__ = ['Event', 'Result', 'UNSET']


class Event(Linkable):
    """A flag that greenlets, of any thread, wait for."""

    __slots__ = ('_flag', '_set_in', '_set_position')

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._flag = False
        self._set_in = None
        self._set_position = 0
        return self

    def is_set(self):
        """Whether the flag is set."""
        return self._flag

    isSet = ready = is_set

    def set(self):
        """Set the flag; wake everyone who waits now."""
        self._flag = True
        if not self._links.places:
            return
        hub = get_hub_if_exists()
        if hub is not None and not self._set_is_underway():
            self._set_in = hub.loop
            self._set_position = hub.loop._taken + len(hub.loop._queue)
        self._links.tell_all(self)

    def _set_is_underway(self):
        # set() wakes everyone who waits by the time its turn in the queue
        # comes, also when clear() follows at once.
        hub = get_hub_if_exists()
        return (hub is not None and hub.loop is self._set_in
                and hub.loop._taken <= self._set_position)

    def clear(self):
        """Reset the flag. Who was woken by set() still returns."""
        self._flag = False

    def wait(self, timeout=None):
        """Wait until the flag is set; False when `timeout` seconds ran
        out."""
        if self._flag or self._set_is_underway():
            # Those who were told already run first, and without the flag each
            # wait takes its turn.
            if ((not self._flag or any(
                    place.told and place.wait is not None
                    for place in self._links.places))
                    and get_hub_if_exists() is not None
                    and not in_hub()):
                pause()
            return True
        return call_timed(self._wait_for_flag, timeout, False)

    def _wait_for_flag(self, timeout):
        return self._wait_once(timeout) or self._flag


class Result(Linkable):
    """A value or an exception, awaited by many."""

    __slots__ = ('_value', '_exc_info')

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._value = UNSET
        self._exc_info = ()
        return self

    def ready(self):
        """Whether there is a value or an exception."""
        return self._value is not UNSET or bool(self._exc_info)

    def _settle(self, value):
        self._value = value
        self._links.tell_all(self)

    def _fail(self, exc_info):
        self._exc_info = exc_info
        self._links.tell_all(self)
