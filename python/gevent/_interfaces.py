"""What loops, watchers and callbacks provide, as zope interfaces."""
from zope.interface import Attribute, Interface, classImplements

from gevent.libev import corecext

__all__ = ['ILoop', 'IWatcher', 'ICallback']

# pylint:disable=no-self-argument,no-method-argument,inherit-non-class


class _Field(Attribute):
    """An attribute that is described as zope.schema's fields are."""

    def __init__(self, description, required=False, **kwargs):
        super().__init__('', description)
        self.required = required
        for name, value in kwargs.items():
            setattr(self, name, value)


class schema:
    """The kinds of fields the interfaces have."""

    Bool = Float = _Field


class ILoop(Interface):
    """An event loop."""

    default = schema.Bool('Whether it is the main thread\'s default loop')
    approx_timer_resolution = schema.Float(
        'About how short a timer may be, in seconds')

    def run(nowait=False, once=False):
        """Run until nothing keeps the loop alive; one turn with `once`, one
        that does not block with `nowait`."""

    def now():
        """The loop's idea of the time, in seconds."""

    def update_now():
        """Read the clock."""

    def destroy():
        """Stop everything for good."""

    def io(fd, events, ref=True, priority=None):
        """A watcher for readiness of a descriptor: 1 to read, 2 to write."""

    def closing_fd(fd):
        """Tell that the descriptor is about to be closed; true when events
        for it were outstanding, so that the closing must wait for the
        loop's next turn."""

    def timer(after, repeat=0.0, ref=True, priority=None):
        """A watcher for a moment."""

    def signal(signum, ref=True, priority=None):
        """A watcher for a signal."""

    def idle(ref=True, priority=None):
        """A watcher for having nothing else to do."""

    def prepare(ref=True, priority=None):
        """A watcher for the moment before each poll."""

    def check(ref=True, priority=None):
        """A watcher for the moment after each poll."""

    def fork(ref=True, priority=None):
        """A watcher for being in a forked child."""

    def async_(ref=True, priority=None):
        """A watcher for what another thread says."""

    def child(pid, trace=0, ref=True):
        """A watcher for the end of a child process."""

    def stat(path, interval=0.0, ref=True, priority=None):
        """A watcher for changes of a file's attributes."""

    def run_callback(func, *args):
        """Queue a call, from the loop's own thread; an ICallback."""

    def run_callback_threadsafe(func, *args):
        """Queue a call, from any thread; an ICallback."""


class IWatcher(Interface):
    """Something the loop waits for."""

    def start(callback, *args, **kwargs):
        """Call ``callback(*args)`` in the hub when it happens."""

    def stop():
        """Forget the callback."""

    def close():
        """Stop for good and free what it holds."""


class ICallback(Interface):
    """A queued call; true while it has yet to run or runs."""

    pending = schema.Bool('Whether it has yet to run')

    def stop():
        """Do not run it."""

    def close():
        """The same as stop."""


# Said here and not where the classes are, as few programs ask and
# zope.interface takes long to import.
classImplements(corecext.loop, ILoop)
classImplements(corecext.callback, ICallback)
for _class in (corecext.watcher, corecext.io, corecext.timer, corecext.signal,
               corecext.idle, corecext.prepare, corecext.check, corecext.fork,
               corecext.async_, corecext.child, corecext.stat):
    classImplements(_class, IWatcher)
del _class
