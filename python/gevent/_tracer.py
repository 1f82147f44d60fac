"""
Watching greenlets switch, to find the one that does not give way.

A tracer is a trace function of `greenlet.settrace`, installed by its
construction. It passes every event on to the function that it replaced.
"""
import gc
import sys
import traceback
from time import perf_counter
from weakref import ref

from greenlet import greenlet as RawGreenlet
from greenlet import getcurrent
from greenlet import gettrace
from greenlet import settrace

__all__ = [
    'GreenletTracer',
    'HubSwitchTracer',
    'MaxSwitchTracer',
    'SwitchWatch',
]


class _BlockingReport:

    def did_block_hub_report(self, hub, active_greenlet, format_kwargs,
                             reporter=None):
        """What to say when *active_greenlet* has kept *hub* waiting.

        :param dict format_kwargs: arguments for `gevent.util.format_run_info`.
        :param reporter: who says so; by default this tracer.
        :return: list of str.
        """
        from gevent._util import gmctime
        from gevent.util import format_run_info
        thread_ident = hub.thread_ident
        frame = sys._current_frames().get(thread_ident)
        report = [
            '=' * 80,
            '\n%s : Greenlet %s appears to be blocked' % (
                gmctime(), active_greenlet),
            '    Reported by %s' % (reporter or self,),
            'Blocked Stack (for thread id %s):' % (hex(thread_ident),),
            # There is no frame where compiled code runs by itself.
            ''.join(traceback.format_stack(frame)) if frame is not None
            else '  (no Python frame)\n',
            'Info:',
        ]
        format_kwargs = dict(format_kwargs)
        format_kwargs.setdefault('current_thread_ident', thread_ident)
        report.extend(format_run_info(**format_kwargs))
        return report


class GreenletTracer(_BlockingReport):
    """Counts the switches of the thread in which it was made."""

    def __init__(self):
        #: The greenlet that runs, or None when that is not known or not of
        #: interest.
        self.active_greenlet = None
        #: Switches since the last `did_block_hub` (int).
        self.greenlet_switch_counter = 0
        self._ended = False
        #: The trace function that this one replaced, or None.
        self.previous_trace_function = settrace(self)
        while getattr(self.previous_trace_function, '_ended', False):
            self.previous_trace_function = (
                self.previous_trace_function.previous_trace_function)

    def kill(self):
        """Stop tracing: at once in the traced thread; called in another, with
        the next switch there."""
        self._ended = True
        self._uninstall()

    def _uninstall(self):
        if gettrace() is self:
            settrace(self.previous_trace_function)

    def __call__(self, event, args):
        previous = self.previous_trace_function
        if self._ended:
            self._uninstall()
        else:
            self._trace(event, args)
        if previous is not None:
            previous(event, args)

    def _trace(self, event, args):
        self.greenlet_switch_counter += 1
        known = event == 'switch' or event == 'throw'
        self.active_greenlet = args[1] if known else None

    def did_block_hub(self, hub):
        """Did one greenlet run all the time since the last call?

        :return: False, or the tuple of True and that greenlet.
        """
        active = self.active_greenlet
        switches = self.greenlet_switch_counter
        self.greenlet_switch_counter = 0
        if switches or active is None or active is hub:
            # The hub itself may wait as long as it likes.
            return False
        return True, active

    def ignore_current_greenlet_blocking(self):
        """Do not report the current greenlet, until the next switch."""
        self.active_greenlet = None

    def monitor_current_greenlet_blocking(self):
        """Take the current greenlet for the one that runs."""
        self.active_greenlet = getcurrent()


class _HubTracer(GreenletTracer):

    def __init__(self, hub, max_blocking_time):
        super().__init__()
        self.hub = hub
        #: In seconds (float).
        self.max_blocking_time = max_blocking_time

    def kill(self):
        super().kill()
        self.hub = None


class HubSwitchTracer(_HubTracer):
    """Finds out whether the hub got to run in time."""

    def __init__(self, hub, max_blocking_time):
        #: When the hub was last switched to (`time.perf_counter`).
        self.last_entered_hub = 0.0
        super().__init__(hub, max_blocking_time)

    def _trace(self, event, args):
        super()._trace(event, args)
        if self.active_greenlet is self.hub:
            self.last_entered_hub = perf_counter()

    def did_block_hub(self, hub):
        if perf_counter() - self.last_entered_hub > self.max_blocking_time:
            return True, self.active_greenlet
        return False


class MaxSwitchTracer(_HubTracer):
    """Finds out how long a greenlet ran without a switch."""

    def __init__(self, hub, max_blocking_time):
        #: The longest time that a greenlet has run (seconds).
        self.max_blocking = 0.0
        #: When the last switch was (`time.perf_counter`).
        self.last_switch = perf_counter()
        super().__init__(hub, max_blocking_time)

    def _trace(self, event, args):
        left = self.active_greenlet
        super()._trace(event, args)
        now = perf_counter()
        if left is not None and left is not self.hub:
            self.max_blocking = max(self.max_blocking, now - self.last_switch)
        self.last_switch = now

    def did_block_hub(self, hub):
        if self.max_blocking == 0:
            # No switch at all.
            self.max_blocking = perf_counter() - self.last_switch
        if self.max_blocking > self.max_blocking_time:
            return True, self.active_greenlet
        return False


class SwitchWatch(_BlockingReport):
    """Finds out, by the account that the hub's loop keeps anyway, whether one
    greenlet ran all the time, or one callback of the hub. Traces nothing; may
    be asked in any thread.

    Greenlets that switch to one another and
    not to the hub count as one.
    """

    def __init__(self, hub):
        self._hub_ref = ref(hub)
        self._last_count = -1
        # A greenlet to take for the one that runs, or None for not reporting
        # any, until the count is another.
        self._taken = None
        self._taken_count = -1

    @staticmethod
    def works_for(hub):
        """Does the loop of *hub* keep such an account? (bool)"""
        return hasattr(hub.loop, 'progress')

    @property
    def active_greenlet(self):
        """The greenlet that runs, the hub when that runs a callback, or None
        when it waits or nothing is to be reported."""
        hub = self._hub_ref()
        loop = hub.loop if hub is not None else None
        if loop is None or loop.asleep:
            return None
        if loop.progress == self._taken_count:
            return self._taken
        running_id = loop.running_id
        return _greenlet_at(running_id) if running_id else hub

    def did_block_hub(self, hub):
        """Did one greenlet run all the time since the last call?

        :return: False, or the tuple of True and that greenlet.
        """
        loop = hub.loop
        if loop is None:
            return False
        count, self._last_count = self._last_count, loop.progress
        if count != self._last_count:
            return False
        active = self.active_greenlet
        return (True, active) if active is not None else False

    def ignore_current_greenlet_blocking(self):
        """Do not report the current greenlet, until the next switch."""
        self._take(None)

    def monitor_current_greenlet_blocking(self):
        """Take the current greenlet for the one that runs."""
        self._take(getcurrent())

    def _take(self, greenlet):
        hub = self._hub_ref()
        if hub is not None and hub.loop is not None:
            # The hub itself may wait as long as it likes.
            self._taken = None if greenlet is hub else greenlet
            self._taken_count = self._last_count = hub.loop.progress

    def kill(self):
        """Nothing was installed."""
        self._taken = None


def _greenlet_at(ident):
    # The loop knows an id, of something that may have gone.
    for each in gc.get_objects():
        if id(each) == ident and isinstance(each, RawGreenlet):
            return each
    return None
