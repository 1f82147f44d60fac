"""
The native thread that watches a hub (`gevent.events.IPeriodicMonitorThread`).
"""
import os
import sys
from time import perf_counter
from weakref import ref as wref

from zope.event import notify
from zope.interface import implementer

from gevent._config import config as GEVENT_CONFIG
from gevent._tracer import GreenletTracer, SwitchWatch
from gevent.events import EventLoopBlocked
from gevent.events import IPeriodicMonitorThread
from gevent.events import MemoryUsageThresholdExceeded
from gevent.events import MemoryUsageUnderThreshold
from gevent.monkey.api import get_original

__all__ = [
    'PeriodicMonitoringThread',
]

# The thread is a native one, whether or not the modules are patched.
start_new_thread = get_original('_thread', 'start_new_thread')
thread_sleep = get_original('time', 'sleep')


class MonitorWarning(RuntimeWarning):
    """The category of warnings about the monitor thread."""


def get_this_psutil_process():
    """This process, as psutil sees it.

    :raise ImportError: without psutil.
    """
    from psutil import Process
    return Process()


class _MonitorEntry:
    """A function that is called every so many seconds."""

    __slots__ = ('function', 'period', 'last_run_time')

    def __init__(self, function, period):
        self.function = function
        self.period = period
        self.last_run_time = 0

    def __eq__(self, other):
        return (self.function == other.function
                and self.period == other.period)

    __hash__ = None

    def __repr__(self):
        return '<_MonitorEntry function=%r period=%r last_run_time=%r>' % (
            self.function, self.period, self.last_run_time)


@implementer(IPeriodicMonitorThread)
class PeriodicMonitoringThread:
    """Calls functions now and then, in a native thread; by default one that
    reports when a greenlet keeps *hub* from running."""

    #: The longest that it sleeps when there is nothing to monitor (seconds).
    inactive_sleep_time = 2.0
    #: The least time between two looks (seconds).
    min_sleep_time = 0.005
    #: The least time between two looks at the memory (seconds).
    min_memory_monitor_period = 2

    def __init__(self, hub):
        self._hub_ref = wref(hub, self._on_hub_gc)
        self.pid = os.getpid()
        self.should_run = True
        # The memory in use when it was last reported as too much.
        self._memory_exceeded = 0
        self._process = None
        # A tracer has to be made in the thread of the hub.
        self._greenlet_tracer = (SwitchWatch(hub) if SwitchWatch.works_for(hub)
                                 else GreenletTracer())
        # Whoever starts the thread may be the one that never gives up.
        self._greenlet_tracer.monitor_current_greenlet_blocking()
        self._monitoring_functions = [
            _MonitorEntry(self.monitor_blocking,
                          GEVENT_CONFIG.max_blocking_time)]
        # Taken from the functions when they have changed.
        self._calculated_sleep_time = None
        # A new one starts the thread again.
        self.monitor_thread_ident = start_new_thread(self, ())

    @property
    def hub(self):
        """The hub, or None when it is gone."""
        return self._hub_ref()

    # -- the functions

    def monitoring_functions(self):
        """The functions and their periods (list). That of `monitor_blocking`
        follows the setting."""
        blocking = self._monitoring_functions[0]
        if blocking.period != GEVENT_CONFIG.max_blocking_time:
            blocking.period = GEVENT_CONFIG.max_blocking_time
            self._calculated_sleep_time = None
        return self._monitoring_functions

    def add_monitoring_function(self, function, period):
        """See `gevent.events.IPeriodicMonitorThread`."""
        if not callable(function):
            raise ValueError('function must be callable')
        if period is not None and period <= 0:
            raise ValueError('period must be positive')
        others = [entry for entry in self._monitoring_functions
                  if entry.function != function]
        if period is not None:
            others.append(_MonitorEntry(function, period))
        # The thread may be walking the old list.
        self._monitoring_functions = others
        self._calculated_sleep_time = None

    def calculate_sleep_time(self):
        """How long to sleep until the next look (seconds)."""
        functions = self.monitoring_functions()
        if self._calculated_sleep_time is None:
            periods = [entry.period for entry in functions if entry.period]
            self._calculated_sleep_time = (
                max(min(periods), self.min_sleep_time) if periods
                else self.inactive_sleep_time)
        return self._calculated_sleep_time

    # -- the thread

    def kill(self):
        """Stop. To be called in the hub's thread."""
        if self.should_run:
            self.should_run = False
            self._greenlet_tracer.kill()

    def _on_hub_gc(self, _ref):
        self.kill()

    def _on_fork(self):
        # In the child, where the thread is gone.
        self.pid = os.getpid()
        self.monitor_thread_ident = start_new_thread(self, ())

    def __call__(self):
        # Forked children start another one.
        pid = self.pid
        while self.should_run and self.hub is not None:
            thread_sleep(self.calculate_sleep_time())
            if pid != os.getpid() or not self.should_run:
                return
            hub = self.hub
            if hub is None:
                return
            try:
                self._run_functions(hub)
            except SystemExit:
                return
            except: # pylint:disable=bare-except
                if sys is None or sys.stderr is None:
                    return # the interpreter ends
                hub.print_exception(self, *sys.exc_info())
            del hub

    def _run_functions(self, hub):
        now = perf_counter()
        for entry in list(self.monitoring_functions()):
            if entry.period and now - entry.last_run_time >= entry.period:
                entry.last_run_time = now
                entry.function(hub)

    # -- greenlets that do not give way

    def ignore_current_greenlet_blocking(self):
        """Do not report the current greenlet, until the next switch."""
        self._greenlet_tracer.ignore_current_greenlet_blocking()

    def monitor_current_greenlet_blocking(self):
        """Report the current greenlet, if it blocks."""
        self._greenlet_tracer.monitor_current_greenlet_blocking()

    def _get_process(self):
        if self._process is None:
            try:
                self._process = get_this_psutil_process()
            except ImportError:
                return None
        return self._process

    def monitor_blocking(self, hub):
        """Report, if one greenlet has run since the last call.

        Subscribers of `gevent.events` are told first, and may change what is
        printed.

        :return: None, or the tuple of that greenlet and the report (list of
            str).
        """
        did_block = self._greenlet_tracer.did_block_hub(hub)
        if not did_block:
            return None
        active_greenlet = did_block[1]
        report = self._greenlet_tracer.did_block_hub_report(
            hub, active_greenlet,
            dict(greenlet_stacks=False, current_thread_ident=hub.thread_ident),
            reporter=self)
        notify(EventLoopBlocked(
            active_greenlet, GEVENT_CONFIG.max_blocking_time, report, hub=hub))
        if GEVENT_CONFIG.print_blocking_reports:
            self._show_blocking_report(hub, report)
        return active_greenlet, report

    def _show_blocking_report(self, hub, report):
        stream = hub.exception_stream
        if stream is not None:
            for line in report:
                print(line, file=stream)

    # -- memory

    def can_monitor_memory_usage(self):
        """Is psutil there? (bool)"""
        return self._get_process() is not None

    def install_monitor_memory_usage(self):
        """Begin to watch the memory, where psutil is there.

        Warns (`MonitorWarning`) when it is not and a limit is set.
        """
        period = max(GEVENT_CONFIG.memory_monitor_period,
                     self.min_memory_monitor_period)
        if self.can_monitor_memory_usage():
            self.add_monitoring_function(self.monitor_memory_usage, period)
        elif GEVENT_CONFIG.max_memory_usage:
            import warnings
            warnings.warn("Unable to monitor memory usage. Install psutil.",
                          MonitorWarning, stacklevel=2)

    def monitor_memory_usage(self, _hub):
        """Emit an event when too much memory is used, or no more.

        :return: the event, or None.
        """
        max_allowed = GEVENT_CONFIG.max_memory_usage
        if not max_allowed:
            return None
        info = self._memory_info()
        # Rather what only this process uses.
        usage = getattr(info, 'uss', 0) or info.rss
        event = None
        if usage > max_allowed:
            if usage > self._memory_exceeded:
                event = MemoryUsageThresholdExceeded(usage, max_allowed, info)
                notify(event)
                self._memory_exceeded = usage
        elif self._memory_exceeded:
            event = MemoryUsageUnderThreshold(usage, max_allowed, info,
                                              self._memory_exceeded)
            notify(event)
            self._memory_exceeded = 0
        return event

    def _memory_info(self):
        process = self._get_process()
        try:
            return process.memory_full_info()
        except Exception: # pylint:disable=broad-except
            # Not every process may ask.
            return process.memory_info()

    def __repr__(self):
        return '<%s at %s in thread %s greenlet %r for %r>' % (
            type(self).__name__, hex(id(self)), hex(self.monitor_thread_ident),
            self._greenlet_tracer.active_greenlet, self.hub)
