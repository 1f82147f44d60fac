"""
What gevent tells to whom it may concern: events, and how to subscribe to them.

An event is an object that is passed to every function of the list
`subscribers` (it is ``zope.event.subscribers``); for the kinds that have an
``ENTRY_POINT_NAME``, afterwards also to what the entry points of that group, in
any installed distribution, name. Each kind of event implements an interface of
the same name preceded by ``I``.
"""
from zope.event import notify
from zope.event import subscribers
from zope.interface import Attribute
from zope.interface import Interface
from zope.interface import implementer

__all__ = [
    'subscribers',

    # the monitor thread
    'IEventLoopBlocked',
    'EventLoopBlocked',
    'IMemoryUsageThresholdExceeded',
    'MemoryUsageThresholdExceeded',
    'IMemoryUsageUnderThreshold',
    'MemoryUsageUnderThreshold',
    'IPeriodicMonitorThread',
    'IPeriodicMonitorThreadStartedEvent',
    'PeriodicMonitorThreadStartedEvent',

    # monkey patching
    'IGeventPatchEvent',
    'GeventPatchEvent',
    'IGeventWillPatchEvent',
    'DoNotPatch',
    'GeventWillPatchEvent',
    'IGeventDidPatchEvent',
    'IGeventWillPatchModuleEvent',
    'GeventWillPatchModuleEvent',
    'IGeventDidPatchModuleEvent',
    'GeventDidPatchModuleEvent',
    'IGeventWillPatchAllEvent',
    'GeventWillPatchAllEvent',
    'IGeventDidPatchBuiltinModulesEvent',
    'GeventDidPatchBuiltinModulesEvent',
    'IGeventDidPatchAllEvent',
    'GeventDidPatchAllEvent',
]


def notify_and_call_entry_points(event):
    """Pass *event* to every subscriber, then to what the entry points of its
    ``ENTRY_POINT_NAME`` name.

    Whatever one of them raises goes to the caller, and those after it are not
    called.
    """
    notify(event)
    from gevent._plugins import entry_points
    for entry_point in entry_points(event.ENTRY_POINT_NAME):
        entry_point.load()(event)


class IPeriodicMonitorThread(Interface):
    """The native thread that watches a hub."""

    def add_monitoring_function(function, period):
        """
        Call *function* with the hub about every *period* seconds, in the
        monitor thread: it must not use gevent's blocking functions.

        Given again, *function* gets the new period; with None it is called no
        more. Other periods have to be positive.
        """


class IPeriodicMonitorThreadStartedEvent(Interface):
    """Emitted when a monitor thread starts, in the thread of its hub."""

    monitor = Attribute("The `IPeriodicMonitorThread`.")


@implementer(IPeriodicMonitorThreadStartedEvent)
class PeriodicMonitorThreadStartedEvent:
    """A monitor thread has started.

    The time to add monitoring functions to it.
    """

    #: The group of entry points that are told.
    ENTRY_POINT_NAME = 'gevent.plugins.hub.periodic_monitor_thread_started'

    def __init__(self, monitor):
        self.monitor = monitor


class IEventLoopBlocked(Interface):
    """Emitted when a greenlet has run too long, in the monitor thread."""

    greenlet = Attribute("The greenlet that did not give way.")
    blocking_time = Attribute("About how long it has run (seconds).")
    info = Attribute("The lines of the report (list of str); may be changed.")
    hub = Attribute("The hub that waits, or None.")


@implementer(IEventLoopBlocked)
class EventLoopBlocked:
    """A greenlet has run for too long."""

    def __init__(self, greenlet, blocking_time, info, *, hub=None):
        self.greenlet = greenlet
        self.blocking_time = blocking_time
        self.info = info
        self.hub = hub


class IMemoryUsageThresholdExceeded(Interface):
    """Emitted when the process uses too much memory, in the monitor thread;
    then again only after it has used more than that."""

    mem_usage = Attribute("The memory in use (bytes).")
    max_allowed = Attribute("The memory that is allowed (bytes).")
    memory_info = Attribute("What psutil says of the memory (tuple).")


class _AbstractMemoryEvent:

    def __init__(self, mem_usage, max_allowed, memory_info):
        self.mem_usage = mem_usage
        self.max_allowed = max_allowed
        self.memory_info = memory_info

    def __repr__(self):
        return "<%s used=%s max=%s details=%s>" % (
            type(self).__name__,
            self.mem_usage, self.max_allowed, self.memory_info)


@implementer(IMemoryUsageThresholdExceeded)
class MemoryUsageThresholdExceeded(_AbstractMemoryEvent):
    """The process uses more memory than is allowed."""


class IMemoryUsageUnderThreshold(Interface):
    """Emitted when the process, after it had used too much memory, uses less
    than is allowed again."""

    mem_usage = Attribute("The memory in use (bytes).")
    max_allowed = Attribute("The memory that is allowed (bytes).")
    max_memory_usage = Attribute(
        "The memory in use when it was last reported as too much (bytes).")
    memory_info = Attribute("What psutil says of the memory (tuple).")


@implementer(IMemoryUsageUnderThreshold)
class MemoryUsageUnderThreshold(_AbstractMemoryEvent):
    """The process uses less memory than is allowed again."""

    def __init__(self, mem_usage, max_allowed, memory_info, max_usage):
        super().__init__(mem_usage, max_allowed, memory_info)
        self.max_memory_usage = max_usage


class IGeventPatchEvent(Interface):
    """The parent of every event of monkey patching."""

    source = Attribute("Where the replacements come from, or None.")
    target = Attribute("What is patched, or None.")


@implementer(IGeventPatchEvent)
class GeventPatchEvent:
    """Something about monkey patching."""

    def __init__(self, source, target):
        self.source = source
        self.target = target

    def __repr__(self):
        return '<%s source=%r target=%r at %x>' % (
            type(self).__name__, self.source, self.target, id(self))


class IGeventWillPatchEvent(IGeventPatchEvent):
    """Emitted before patching. A subscriber that raises `DoNotPatch` prevents
    it."""


class DoNotPatch(BaseException):
    """Raised by a subscriber to prevent what an `IGeventWillPatchEvent`
    announces."""


@implementer(IGeventWillPatchEvent)
class GeventWillPatchEvent(GeventPatchEvent):
    """Something is about to be patched."""


class IGeventDidPatchEvent(IGeventPatchEvent):
    """Emitted after patching."""


@implementer(IGeventDidPatchEvent)
class GeventDidPatchEvent(GeventPatchEvent):
    """Something has been patched."""


class IGeventWillPatchModuleEvent(IGeventWillPatchEvent):
    """Emitted before a module is patched."""

    module_name = Attribute("The name of the module (str).")
    target_item_names = Attribute(
        "The names that will be replaced (list of str); may be changed.")


@implementer(IGeventWillPatchModuleEvent)
class GeventWillPatchModuleEvent(GeventWillPatchEvent):
    """A module is about to be patched."""

    #: The group of entry points that are told.
    ENTRY_POINT_NAME = 'gevent.plugins.monkey.will_patch_module'

    def __init__(self, module_name, source, target, items):
        super().__init__(source, target)
        self.module_name = module_name
        self.target_item_names = items


class IGeventDidPatchModuleEvent(IGeventDidPatchEvent):
    """Emitted after a module has been patched."""

    module_name = Attribute("The name of the module (str).")


@implementer(IGeventDidPatchModuleEvent)
class GeventDidPatchModuleEvent(GeventDidPatchEvent):
    """A module has been patched."""

    #: The group of entry points that are told.
    ENTRY_POINT_NAME = 'gevent.plugins.monkey.did_patch_module'

    def __init__(self, module_name, source, target):
        super().__init__(source, target)
        self.module_name = module_name


class IGeventWillPatchAllEvent(IGeventWillPatchEvent):
    """Emitted by `gevent.monkey.patch_all` before it patches anything."""

    patch_all_arguments = Attribute(
        "The arguments that patch_all knows, defaults included (dict).")
    patch_all_kwargs = Attribute("Its other keyword arguments (dict).")

    def will_patch_module(module_name):
        """Is the module *module_name* (an argument of patch_all) to be
        patched?"""


class _PatchAllMixin:

    def __init__(self, patch_all_arguments, patch_all_kwargs):
        super().__init__(None, None)
        self._patch_all_arguments = patch_all_arguments
        self._patch_all_kwargs = patch_all_kwargs

    # Copies, so that one subscriber cannot mislead the next.
    @property
    def patch_all_arguments(self):
        return self._patch_all_arguments.copy()

    @property
    def patch_all_kwargs(self):
        return self._patch_all_kwargs.copy()

    def __repr__(self):
        return '<%s %r at %x>' % (
            type(self).__name__, self._patch_all_arguments, id(self))


@implementer(IGeventWillPatchAllEvent)
class GeventWillPatchAllEvent(_PatchAllMixin, GeventWillPatchEvent):
    """`gevent.monkey.patch_all` is about to start."""

    #: The group of entry points that are told.
    ENTRY_POINT_NAME = 'gevent.plugins.monkey.will_patch_all'

    def will_patch_module(self, module_name):
        """See `IGeventWillPatchAllEvent`."""
        return self._patch_all_arguments.get(module_name)


class IGeventDidPatchBuiltinModulesEvent(IGeventDidPatchEvent):
    """Emitted by `gevent.monkey.patch_all` when it has patched the standard
    library: the time for others to patch their own modules."""

    patch_all_arguments = Attribute(
        "The arguments that patch_all knows, defaults included (dict).")
    patch_all_kwargs = Attribute("Its other keyword arguments (dict).")


@implementer(IGeventDidPatchBuiltinModulesEvent)
class GeventDidPatchBuiltinModulesEvent(_PatchAllMixin, GeventDidPatchEvent):
    """`gevent.monkey.patch_all` has patched the standard library."""

    #: The group of entry points that are told.
    ENTRY_POINT_NAME = 'gevent.plugins.monkey.did_patch_builtins'


class IGeventDidPatchAllEvent(IGeventDidPatchEvent):
    """Emitted by `gevent.monkey.patch_all` when everything is done, by others
    too."""


@implementer(IGeventDidPatchAllEvent)
class GeventDidPatchAllEvent(_PatchAllMixin, GeventDidPatchEvent):
    """`gevent.monkey.patch_all` is done."""

    #: The group of entry points that are told.
    ENTRY_POINT_NAME = 'gevent.plugins.monkey.did_patch_all'
