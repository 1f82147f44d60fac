"""The hub: the greenlet of a thread in which its event loop runs."""
import sys
# Taken before anything can be patched.
from _thread import get_ident as _native_ident
from weakref import ref as wref

import greenlet as _greenlet
from greenlet import GreenletExit, getcurrent
from greenlet import greenlet as RawGreenletBase

from gevent import _hub_local
from gevent._config import config as GEVENT_CONFIG
from gevent._greenlet_primitives import TrackedRawGreenlet
from gevent._hub_local import (
    _take_loop, get_hub, get_hub_class, get_hub_if_exists, get_hub_noargs,
    get_loop, set_default_hub_class, set_hub, set_loop,
)
from gevent._hub_primitives import (
    WaitOperationsGreenlet, iwait_on_objects, wait_on_objects,
)
from gevent._ident import IdentRegistry
from gevent._util import gmctime, print_traceback, readproperty
from gevent._waiter import MultipleWaiter, Waiter
from gevent.exceptions import (
    BlockingSwitchOutError, ConcurrentObjectUseError, HubDestroyed,
    InvalidSwitchError, InvalidThreadUseError, LoopExit,
)
from libgcore import _engine

__all__ = [
    'getcurrent',
    'GreenletExit',
    'spawn_raw',
    'sleep',
    'kill',
    'signal',
    'reinit',
    'get_hub',
    'Hub',
    'Waiter',
]

_get_hub = get_hub_if_exists
_get_hub_noargs = get_hub_noargs
MAIN_THREAD_IDENT = None  # set below
iwait = iwait_on_objects
wait = wait_on_objects


class RawGreenlet(TrackedRawGreenlet):
    """A greenlet that was spawned raw: no value, no links."""

    def __init__(self, function, hub, args, kwargs):
        super().__init__(_call(function, args, kwargs) if args or kwargs
                         else function, hub)

    @property
    def loop(self):
        """The loop of the hub it runs in."""
        return self.parent.loop


def _call(function, args, kwargs):
    return lambda: function(*args, **kwargs)


def spawn_raw(function, *args, **kwargs):
    """Run ``function(*args, **kwargs)`` in a greenlet as plain as can be.

    The greenlet has no value, links or ``join``; its errors go to the hub.
    Raises TypeError when `function` is not callable.
    """
    if not callable(function):
        raise TypeError("function must be callable")
    hub = get_hub_noargs()
    raw = RawGreenlet(function, hub, args, kwargs)
    _engine.run_switch(hub.loop, raw)
    return raw


sleep = _engine.sleep
sleep.__module__ = __name__


def idle(priority=0):
    """Wait until the loop has nothing to do of `priority` or above."""
    hub = get_hub_noargs()
    with hub.loop.idle() as watcher:
        if priority:
            watcher.priority = priority
        hub.wait(watcher)


def kill(greenlet, exception=GreenletExit):
    """Throw `exception` into `greenlet`, without waiting for its end.

    Works on raw greenlets too.  One that is dead is left alone; one that has
    not been started never runs.
    """
    if greenlet.dead:
        return
    kill_ = getattr(greenlet, 'kill', None)
    if kill_ is not None:
        kill_(exception=exception, block=False)
    else:
        get_hub_noargs().loop.run_callback(greenlet.throw, exception)


class signal:
    """Call ``handler(*args, **kwargs)`` in a new greenlet on a signal.

    Replaces the signal's C-level handler until ``cancel()``; does not keep
    the loop alive.  Raises TypeError when `handler` is not callable.
    """

    greenlet_class = None

    def __init__(self, signalnum, handler, *args, **kwargs):
        if not callable(handler):
            raise TypeError("signal handler must be callable.")
        self.handler, self.args, self.kwargs = handler, args, kwargs
        self.hub = hub = get_hub_noargs()
        self.watcher = hub.loop.signal(signalnum, ref=False)
        self.watcher.start(self._start)

    @property
    def ref(self):
        """Whether the loop stays alive for this handler."""
        return self.watcher.ref

    @ref.setter
    def ref(self, value):
        self.watcher.ref = value

    def cancel(self):
        """Stop handling the signal."""
        watcher, self.watcher = self.watcher, None
        if watcher is not None:
            watcher.close()
        self.hub = self.handler = self.args = self.kwargs = None

    def _start(self):
        kind = self.greenlet_class
        if kind is None:  # gevent.greenlet imports this module
            from gevent.greenlet import Greenlet
            kind = type(self).greenlet_class = Greenlet
        kind(self.handle).switch()

    def handle(self):
        """Call the handler."""
        try:
            self.handler(*self.args, **self.kwargs)
        except:  # pylint:disable=bare-except
            # Into the main greenlet, as from any signal handler.
            self.hub.handle_error(None, *sys.exc_info())


def reinit(hub=None):
    """Make the hub work in a child process after a fork that gevent did not
    make itself.

    Tells the loop, the thread pool, the resolver and the monitoring thread.
    Does not switch.
    """
    hub = _get_hub() if hub is None else hub
    if hub is None:
        return
    hub.loop.reinit()
    for part in (hub._threadpool, hub._resolver,
                 hub.periodic_monitoring_thread):
        on_fork = getattr(part, '_on_fork', None)
        if on_fork is not None:
            on_fork()


class _ThreadIdent:
    """The native ident of a hub's thread; None on the class."""

    def __get__(self, hub, owner=None):
        return None if hub is None else hub._thread_ident

    def __set__(self, hub, ident):
        hub._thread_ident = ident


class Hub(WaitOperationsGreenlet):
    """The greenlet in which the event loop of a thread runs.

    Made on first use, one a thread; greenlets give up to it by
    ``hub.switch()``.  Its `loop` is None after `destroy`.
    """

    # What every hub has. Each switch looks into the hub's dictionary for a
    # `switch` of its own: that is quick while there is nothing in it.
    __slots__ = ('loop', '_thread_ident', 'minimal_ident',
                 'spawning_greenlet', 'spawn_tree_locals', '_connect_gate')

    #: Errors of these types are thrown into the main greenlet.
    SYSTEM_ERROR = (KeyboardInterrupt, SystemExit, SystemError)

    #: Errors of these types are not reported.
    NOT_ERROR = (GreenletExit, SystemExit)

    #: How many threads the hub's pool has at most.
    threadpool_size = 10

    #: The monitoring thread, while there is one.
    periodic_monitoring_thread = None

    thread_ident = _ThreadIdent()

    #: A name, shown in the repr.
    name = ''

    _threadpool = None
    _resolver = None

    def __init__(self, loop=None, default=None):
        RawGreenletBase.__init__(self, None, None)
        self.thread_ident = _native_ident()
        self.loop = None
        if hasattr(loop, 'run'):
            if default is not None:
                raise TypeError("Unexpected argument: default")
            self.loop = loop
        else:
            self.loop = _take_loop() or self._make_loop(loop, default)
        self.loop.error_handler = self
        self.loop.hub = self
        self.minimal_ident = hub_ident_registry.get_ident(self)
        if GEVENT_CONFIG.track_greenlet_tree:
            self.spawning_greenlet = wref(getcurrent())
            self.spawn_tree_locals = {}

    def _make_loop(self, flags, default):
        if default is None:
            default = self.thread_ident == MAIN_THREAD_IDENT
        if flags is None:
            flags = self.backend
        loop_class = self.loop_class
        if default and hasattr(loop_class, '_default_instance'):
            return loop_class._default_instance(flags)
        return loop_class(flags=flags, default=default)

    @readproperty
    def ident_registry(self):
        """Gives this hub's greenlets their small numbers."""
        registry = self.__dict__['ident_registry'] = IdentRegistry()
        return registry

    @property
    def loop_class(self):
        """The class of loops hubs run on (``config.loop``)."""
        return GEVENT_CONFIG.loop

    @property
    def backend(self):
        """The backend asked for (``config.libev_backend``)."""
        return GEVENT_CONFIG.libev_backend

    @property
    def main_hub(self):
        """Whether this is the hub of the main thread."""
        return self.thread_ident == MAIN_THREAD_IDENT

    def __repr__(self):
        parts = ['destroyed' if self.loop is None else self.loop._format()]
        for name, part in (('resolver', self._resolver),
                           ('threadpool', self._threadpool)):
            if part is not None:
                parts.append(f'{name}={part!r}')
        return (f'<{type(self).__name__} {self.name!r} at {id(self):#x} '
                f"{' '.join(parts)} thread_ident={self.thread_ident:#x}>")

    # ---- errors ----------------------------------------------------------

    @readproperty
    def exception_stream(self):
        """Where errors are printed; None for nowhere."""
        stderr = sys.stderr
        return getattr(stderr, 'io', stderr)

    @readproperty
    def format_context(self):
        """How the context of an error is shown (``config.format_context``)."""
        return GEVENT_CONFIG.format_context

    def handle_error(self, context, type, value, tb):
        """Called with each error nobody caught.

        `context` is what failed: a greenlet, a callback, a watcher, or None
        for the loop itself.  Prints the error, and throws system errors into
        the main greenlet.
        """
        type, value, tb = self._normalize_exception(type, value, tb)
        if not issubclass(type, self.NOT_ERROR):
            self.print_exception(context, type, value, tb)
        if context is None or issubclass(type, self.SYSTEM_ERROR):
            self.handle_system_error(type, value, tb)

    def _normalize_exception(self, t, v, tb):
        # Callers may have a class and a message, or an instance only.
        error = t if isinstance(t, BaseException) else v
        if not isinstance(error, BaseException):
            args = () if v is None else v if isinstance(v, tuple) else (v,)
            error = t(*args)
        if error is not t and error.__traceback__ is None:
            error.__traceback__ = tb
        return type(error), error, tb

    def handle_system_error(self, type, value, tb=None):
        """Throw an error into the main greenlet."""
        resume = self._resume_later(getcurrent())
        try:
            self.parent.throw(type, value, tb)
        finally:
            if resume is not None:
                resume.stop()

    def _resume_later(self, greenlet):
        # The main greenlet goes on at once; whoever else told it of an error
        # has to be switched to again.  The hub is whenever something waits.
        if greenlet in (self, self.parent) or self.loop is None:
            return None
        try:
            return self.loop.run_callback(greenlet.switch)
        except:  # pylint:disable=bare-except
            print_traceback()
            return None

    def print_exception(self, context, t, v, tb):
        """Print an error and what it happened in."""
        stream = self.exception_stream
        if not stream:
            return
        from traceback import format_exception
        lines = format_exception(t, v, tb) if t else [f'{v}\n']
        if context is None:
            lines.append(f'{gmctime()}\n')
        else:
            if t and tb is None:  # nothing but compiled code
                lines.insert(0, 'Traceback (most recent call last):\n')
            shown = self._show_context(context, stream)
            name = getattr(t, '__name__', 'exception')
            lines.append(f'{gmctime()} {shown} failed with {name}\n\n')
        for line in lines:
            stream.write(line)
        if hasattr(stream, 'flush'):
            stream.flush()

    def _show_context(self, context, stream):
        if isinstance(context, str):
            return context
        try:
            return self.format_context(context)
        except:  # pylint:disable=bare-except
            print_traceback(stream)
            return repr(context)

    # ---- running ---------------------------------------------------------

    def run(self):
        """Run the loop, again and again; what a hub does as a greenlet.

        When the loop has nothing left to wait for, raises LoopExit in the
        thread's root greenlet.
        """
        assert self is getcurrent(), 'Do not call Hub.run() directly'
        self.start_periodic_monitoring_thread()
        while True:
            loop = self.loop
            if loop is None:
                return
            loop.error_handler = self
            loop.hub = self
            try:
                loop.run()
            except HubDestroyed:
                raise
            except BaseException:  # a signal handler between two steps
                self.handle_error(None, *sys.exc_info())
                continue
            debug = self._describe_waits()
            self.parent.throw(LoopExit(
                'This operation would block forever', self, debug))

    def _describe_waits(self):
        from gevent._waits import describe_loop
        lines = describe_loop(self.loop)
        if lines:
            lines.append(
                'nothing in this thread can wake them: every timer, '
                'descriptor and other watcher that keeps the loop alive has '
                'gone (objects of other threads do not)')
        return lines

    def start_periodic_monitoring_thread(self):
        """Start the monitoring thread if the configuration asks for one and
        there is none yet; return it or None."""
        if (self.periodic_monitoring_thread is None
                and GEVENT_CONFIG.monitor_thread):
            from gevent._monitor import PeriodicMonitoringThread
            from gevent.events import (
                PeriodicMonitorThreadStartedEvent, notify_and_call_entry_points,
            )
            self.periodic_monitoring_thread = PeriodicMonitoringThread(self)
            if self.main_hub:
                self.periodic_monitoring_thread.install_monitor_memory_usage()
            notify_and_call_entry_points(PeriodicMonitorThreadStartedEvent(
                self.periodic_monitoring_thread))
        return self.periodic_monitoring_thread

    def join(self, timeout=None):
        """Wait until nothing is left to run.

        Returns True then, False after `timeout` seconds.  Called in the hub
        itself: RuntimeError.
        """
        assert getcurrent() is self.parent, (
            "only possible from the MAIN greenlet")
        if self.dead:
            return True
        never = Waiter(self)
        timer = None
        if timeout is not None:
            timer = self.loop.timer(timeout, ref=False)
            timer.start(never.switch, None)
        try:
            never.get()
            return False
        except LoopExit:
            return True
        finally:
            if timer is not None:
                timer.close()

    def destroy(self, destroy_loop=None):
        """End the hub, its threads and, with `destroy_loop`, its loop.

        By default a default loop stays for the next hub.  May be called from
        another thread once this one has ended.
        """
        if self._threadpool is not None:
            self._threadpool.kill()
            self._threadpool = None
        if destroy_loop is None:
            destroy_loop = not self.loop.default
        self._end(destroy_loop)
        if _get_hub() is self:
            set_hub(None)

    def _end_with_thread(self):
        # As destroy(), in a thread that can no longer wait for anything.
        if self.loop is not None:
            self._threadpool = None  # tells its threads to end when it goes
            self._end(True)

    def _end(self, destroy_loop):
        if self.periodic_monitoring_thread is not None:
            self.periodic_monitoring_thread.kill()
            self.periodic_monitoring_thread = None
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None
        # End the greenlet, so that its stack and frames go.
        if self and not self.dead:
            try:
                self.throw(HubDestroyed(destroy_loop))
            except LoopExit:
                pass
            except _greenlet.error:
                # Of another thread, which has ended.
                pass
        self.__dict__.pop('ident_registry', None)
        loop, self.loop = self.loop, None
        if loop is not None:
            self._leave_loop(loop, destroy_loop)

    def _leave_loop(self, loop, destroy_loop):
        loop.error_handler = None
        if loop.hub is self:
            loop.hub = None
        if destroy_loop:
            if get_loop() is loop:
                set_loop(None)
            loop.destroy()
        elif not loop.default:
            # A default loop waits for the next hub by itself.
            set_loop(loop)

    # ---- parts -----------------------------------------------------------

    @property
    def resolver_class(self):
        """The class of the resolver (``config.resolver``)."""
        return GEVENT_CONFIG.resolver

    def _get_resolver(self):
        if self._resolver is None:
            self._resolver = self.resolver_class(hub=self)
        return self._resolver

    def _set_resolver(self, value):
        self._resolver = value

    def _del_resolver(self):
        self._resolver = None

    resolver = property(_get_resolver, _set_resolver, _del_resolver,
                        """Resolves names for this hub's sockets.""")

    @property
    def threadpool_class(self):
        """The class of the thread pool (``config.threadpool``)."""
        return GEVENT_CONFIG.threadpool

    def _get_threadpool(self):
        if self._threadpool is None:
            self._threadpool = self.threadpool_class(
                self.threadpool_size, hub=self,
                idle_task_timeout=GEVENT_CONFIG.threadpool_idle_task_timeout)
        return self._threadpool

    def _set_threadpool(self, value):
        self._threadpool = value

    def _del_threadpool(self):
        self._threadpool = None

    threadpool = property(_get_threadpool, _set_threadpool, _del_threadpool,
                          """A pool of native threads.""")


class linkproxy:
    """Calls a link's callback with another object than its source."""

    __slots__ = ['callback', 'obj']

    def __init__(self, callback, obj):
        self.callback = callback
        self.obj = obj

    def __call__(self, *args):
        callback, self.callback = self.callback, None
        obj, self.obj = self.obj, None
        callback(obj)


hub_ident_registry = IdentRegistry()
MAIN_THREAD_IDENT = _native_ident()
set_default_hub_class(Hub)
_engine.configure(_hub_local._make_hub, {
    'BlockingSwitchOutError': BlockingSwitchOutError,
    'ConcurrentObjectUseError': ConcurrentObjectUseError,
    'InvalidSwitchError': InvalidSwitchError,
    'HubDestroyed': HubDestroyed,
    'InvalidThreadUseError': InvalidThreadUseError,
}, Hub._end_with_thread)
