"""Semaphores: the plain twin of accel/semaphore.c."""
from libgcore._plain_base import deadline_after, get_hub_if_exists, guard
from libgcore._plain_links import Linkable, Place
from libgcore._plain_timeout import call_timed

__all__ = ['BoundedSemaphore', 'Semaphore']


class Semaphore(Linkable):
    """Permits to be taken and given by greenlets of any thread.

    A free permit goes to whoever asks first: release() only tells the oldest
    waiter to look.
    """

    __slots__ = ('_counter', '_initial_value', '_holder')

    def __new__(cls, *_args, **_kwargs):
        self = super().__new__(cls)
        self._holder = 0  # the id of who took the last permit, for reports
        self._counter = self._initial_value = 1
        return self

    def __init__(self, value=1, hub=None):
        try:
            value = int(value)
        except (TypeError, ValueError):
            raise TypeError('an integer is required') from None
        if value < 0:
            raise ValueError('semaphore initial value must be >= 0')
        self._counter = self._initial_value = value
        self._hub = hub

    @property
    def counter(self):
        """How many permits there are."""
        return self._counter

    @counter.setter
    def counter(self, value):
        # Pools grow by ``counter += n``: who waits has to hear of it.
        self._counter = value
        self._notify()

    def locked(self):
        """Whether acquire() would wait."""
        return self._counter <= 0

    def ready(self):
        """Whether acquire() would not wait."""
        return self._counter > 0

    _is_open = ready

    def _notify(self):
        if self._counter > 0 and self._links.places:
            self._links.tell_until(self, self._counter)

    _passed = _notify

    def acquire(self, blocking=True, timeout=None):
        """Take a permit; False when there is none and `blocking` is false,
        or none came within `timeout` seconds."""
        if self._take():
            return True
        if not blocking:
            return False
        return call_timed(self._await_permit, timeout, False, self._take)

    def _take(self):
        with guard:
            if self._counter <= 0:
                return False
            self._counter -= 1
            hub = get_hub_if_exists()
            if not self._counter and hub is not None:
                self._holder = getattr(hub.loop, 'running_id', 0)
            return True

    def wait(self, timeout=None):
        """Wait until there is a permit, without taking it, and return how
        many there are."""
        if self._counter <= 0:
            call_timed(self._await_permit, timeout, False, self.ready)
        return self._counter

    def _await_permit(self, done, timeout):
        deadline = deadline_after(timeout)
        self._bind_hub()
        place = Place()
        while True:
            try:
                told = self._links.park(place, self, self.ready, deadline,
                                        True)
            except:
                if place.told:
                    self._notify()
                raise
            if not told:
                return False
            self._bind_hub()
            if done():
                break
        self._links.remove(place)
        self._notify()
        return True

    def release(self):
        """Give a permit; returns how many there are."""
        with guard:
            self._counter += 1
        if self._links.places:
            self._notify()
        return self._counter

    def __enter__(self):
        self.acquire()

    def __exit__(self, typ, value, tb):
        self.release()


class BoundedSemaphore(Semaphore):
    """A semaphore that refuses more releases than acquires."""

    __slots__ = ()

    _OVER_RELEASE_ERROR = ValueError

    def release(self):
        """As Semaphore's, but raises ValueError above the initial value."""
        if self._counter >= self._initial_value:
            raise self._OVER_RELEASE_ERROR(
                'Semaphore released too many times')
        counter = Semaphore.release(self)
        if counter == self._initial_value and not self._links.places:
            self._hub = None
        return counter

    def _release_lock(self):
        """As `release`, but returns None, as locks do."""
        BoundedSemaphore.release(self)
