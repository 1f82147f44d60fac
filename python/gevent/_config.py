"""
The settings of gevent, and the one object, `config`, that holds them.

Each setting is a small class: its name, the environment variable that sets it,
its default and how a string becomes a value. A setting is read once, when first
asked for; until then assigning to ``gevent.config.<name>`` changes it. This
module is on the path of ``import gevent``, so it imports nothing but ``os``:
whatever a setting names is imported when the setting is used.
"""
import os

__all__ = [
    'config',
]

_BOOLEANS = {
    '1': True, 'on': True, 'yes': True, 'true': True,
    '0': False, 'off': False, 'no': False, 'false': False, '': False,
}

#: Every setting class, in the order of definition.
ALL_SETTINGS = []

_UNSET = object()


def validate_invalid(value):
    """Refuse *value*, whatever it is.

    :raise ValueError: always.
    """
    raise ValueError("Not a valid value: %r" % (value,))


def validate_bool(value):
    """The boolean that *value* (a string such as ``on`` or ``no``, or any
    object) stands for.

    :raise ValueError: for a string that names no boolean.
    """
    if not isinstance(value, str):
        return bool(value)
    word = value.lower().strip()
    try:
        return _BOOLEANS[word]
    except KeyError:
        raise ValueError("Invalid boolean string: %r" % word) from None


def validate_anything(value):
    """Accept *value* as it is."""
    return value


def convert_str_value_as_is(value):
    """Leave the string *value* as it is."""
    return value


def _split(value):
    return [part.strip() for part in value.split(',')]


def _dedent(text):
    # inspect.cleandoc without the cost of importing inspect.
    lines = (text or '').expandtabs().splitlines()
    margins = [len(line) - len(line.lstrip())
               for line in lines[1:] if line.strip()]
    margin = min(margins, default=0)
    lines[1:] = [line[margin:] for line in lines[1:]]
    return '\n'.join(lines).strip()


class Setting:
    """One setting. Subclasses with a ``name`` become settings of `Config`."""

    #: The attribute of `Config` (str).
    name = None
    #: The environment variable that is read (str).
    environment_key = None
    #: The value when nothing else was given.
    default = None
    #: Has `Config` a documented property for it?
    document = True
    #: What to say about the form of values, after the description.
    _form = ''

    validate = staticmethod(validate_anything)

    def __init_subclass__(cls):
        super().__init_subclass__()
        if 'name' in vars(cls):
            cls.order = len(ALL_SETTINGS)
            ALL_SETTINGS.append(cls)

    @property
    def desc(self):
        """The whole description, in reStructuredText (str)."""
        own = type(self).__doc__ if '__doc__' in vars(type(self)) else ''
        parts = [
            _dedent(own),
            _dedent(self._form),
            "Default: `%s`" % (self.default,),
            "Environment: ``%s``" % (self.environment_key,),
        ]
        return '\n\n'.join(part for part in parts if part)

    def _convert(self, value):
        """The value that the string *value* (of the environment or of an
        assignment) stands for; other objects stay as they are."""
        return _split(value) if isinstance(value, str) else value

    def _default(self):
        text = os.environ.get(self.environment_key)
        return self.default if text is None else text

    def get(self):
        """The value; read from the environment the first time."""
        if 'value' not in vars(self):
            self.set(self._default())
        return self.value

    def set(self, val):
        """Make *val*, or what the string *val* stands for, the value.

        :raise ValueError: when it is not acceptable.
        """
        self.value = self.validate(self._convert(val))


class EngineSetting(Setting):
    """A setting of which the engine, which makes the greenlets, keeps a copy."""

    def set(self, val):
        super().set(val)
        if config.settings[self.name] is self:  # not that of another Config
            from libgcore import _engine
            self._tell(_engine)

    def _tell(self, engine):
        raise NotImplementedError


class BoolSettingMixin:
    _form = """
    A boolean: ``1``, ``on``, ``yes``, ``true`` or ``0``, ``off``, ``no``,
    ``false``.
    """

    validate = staticmethod(validate_bool)
    _convert = staticmethod(convert_str_value_as_is)


class IntSettingMixin:

    def _convert(self, value):
        if value == '':
            return None
        return int(value) if isinstance(value, str) else value

    validate = staticmethod(validate_anything)


def validate_positive(value):
    """Accept *value* if it is None or above zero.

    :raise ValueError: when it is not.
    """
    if value is not None and value <= 0:
        raise ValueError("Must be positive")
    return value


def _validate_idle_time(value):
    return value if value == -1 else validate_positive(value)


class _PositiveValueMixin:

    validate = staticmethod(validate_positive)


class FloatSettingMixin(_PositiveValueMixin):

    def _convert(self, value):
        return None if value is None or value == '' else float(value)


class ByteCountSettingMixin(_PositiveValueMixin):

    _MULTIPLES = {'kb': 1024, 'mb': 1024 ** 2, 'gb': 1024 ** 3}

    def _convert(self, value):
        if not isinstance(value, str):
            return value
        if not value:
            return None
        value = value.strip().lower()
        multiple = self._MULTIPLES.get(value[-2:])
        return int(value[:-2]) * multiple if multiple else int(value)


class ImportableSetting:
    """A setting whose value is an object that can be named by a string."""

    _form = """
    The object itself, or the dotted or short name of one, or several names
    separated by commas (in code also a list): the first that can be imported is
    taken.
    """

    #: Short name to full name.
    shortname_map = {}

    def _default(self):
        # An empty variable names nothing: as good as none.
        text = os.environ.get(self.environment_key)
        return text if text and text.strip() else self.default

    def _import_one_of(self, candidates):
        if not candidates:
            raise ImportError('Cannot import from empty list')
        *others, last = candidates
        for candidate in others:
            try:
                return self._import_one(candidate)
            except ImportError:
                pass
        return self._import_one(last)

    def _import_one(self, path):
        if not isinstance(path, str):
            return path
        path = self.shortname_map.get(path, path)
        if '.' not in path or '/' in path:
            raise ImportError(
                "Cannot import %r. Required format: [package.]module.class. "
                "Or choose from %r" % (path, list(self.shortname_map)))
        from importlib import import_module
        module_name, item = path.rsplit('.', 1)
        module = import_module(module_name)
        found = getattr(module, item, _UNSET)
        if found is _UNSET:
            raise ImportError('Cannot import %r from %r' % (item, module))
        return found

    def validate(self, value):
        if callable(value):
            return value
        return self._import_one_of(list(value))

    def get_options(self):
        """What each short name stands for: the imported object, or the
        `ImportError` that it met (dict)."""
        options = {}
        for name, path in self.shortname_map.items():
            try:
                options[name] = self._import_one(path)
            except ImportError as error:
                options[name] = error
        return options

    @property
    def desc(self):
        text = super().desc
        if not self.shortname_map:
            return text
        return text + "\n\nShort names: %s" % ', '.join(self.shortname_map)


class Resolver(ImportableSetting, Setting):
    """
    Makes the resolver of a hub, `gevent.hub.Hub.resolver`.
    """
    name = 'resolver'
    environment_key = 'GEVENT_RESOLVER'
    default = ['thread', 'dnspython', 'ares', 'block']
    shortname_map = {
        'ares': 'gevent.resolver.ares.Resolver',
        'thread': 'gevent.resolver.thread.Resolver',
        'block': 'gevent.resolver.blocking.Resolver',
        'dnspython': 'gevent.resolver.dnspython.Resolver',
    }


class Threadpool(ImportableSetting, Setting):
    """
    Makes the thread pool of a hub, `gevent.hub.Hub.threadpool`.
    """
    name = 'threadpool'
    environment_key = 'GEVENT_THREADPOOL'
    default = 'gevent.threadpool.ThreadPool'


class ThreadpoolIdleTaskTimeout(FloatSettingMixin, Setting):
    """
    Seconds after which a worker of the hub's thread pool that has nothing to do
    ends; -1: never.
    """
    name = 'threadpool_idle_task_timeout'
    environment_key = 'GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT'
    default = 5.0

    validate = staticmethod(_validate_idle_time)


class Loop(ImportableSetting, Setting):
    """
    The class of event loops.
    """
    name = 'loop'
    environment_key = 'GEVENT_LOOP'
    default = ['libev-cext', 'libev-cffi', 'libuv-cffi']
    shortname_map = {
        'libev-cext': 'gevent.libev.corecext.loop',
        'libev-cffi': 'gevent.libev.corecffi.loop',
        'libuv-cffi': 'gevent.libuv.loop.loop',
        'libuv': 'gevent.libuv.loop.loop',
    }


class FormatContext(ImportableSetting, Setting):
    """
    Makes the text of an object that an error report speaks of.
    """
    name = 'format_context'
    environment_key = 'GEVENT_FORMAT_CONTEXT'
    default = 'pprint.saferepr'


class LibevBackend(Setting):
    """
    How the loop polls: the name of a backend such as ``epoll`` or ``select``,
    or several in order of preference.
    """
    name = 'libev_backend'
    environment_key = 'GEVENT_BACKEND'


class FileObject(ImportableSetting, Setting):
    """
    The class that `gevent.fileobject.FileObject` stands for.
    """
    name = 'fileobject'
    environment_key = 'GEVENT_FILE'
    default = ['posix', 'thread']
    shortname_map = {
        'thread': 'gevent._fileobjectcommon.FileObjectThread',
        'posix': 'gevent._fileobjectposix.FileObjectPosix',
        'block': 'gevent._fileobjectcommon.FileObjectBlock',
    }


class WatchChildren(BoolSettingMixin, Setting):
    """
    Leave `os.fork` and `os.waitpid` to the operating system, instead of
    watching child processes with the loop (see `gevent.os`).
    """
    name = 'disable_watch_children'
    environment_key = 'GEVENT_NOWAITPID'
    default = False


class DropGreenletsOnFork(BoolSettingMixin, Setting):
    """
    Let only the forking greenlet go on in the child of a fork, as only the
    forking thread does, instead of all of them (see `gevent.os.fork`).
    """
    name = 'drop_greenlets_on_fork'
    environment_key = 'GEVENT_DROP_GREENLETS_ON_FORK'
    default = False


class TraceMalloc(IntSettingMixin, Setting):
    """
    How many frames to keep of where memory was allocated. The interpreter's own
    variable, also set by its option ``-X tracemalloc``.
    """
    name = 'trace_malloc'
    environment_key = 'PYTHONTRACEMALLOC'
    default = False


class TrackGreenletTree(BoolSettingMixin, EngineSetting):
    """
    Let each greenlet remember where it was spawned (``spawning_stack``), by whom
    (``spawning_greenlet``) and what its tree shares (``spawn_tree_locals``).
    Without it spawning costs less time and memory.
    """
    name = 'track_greenlet_tree'
    environment_key = 'GEVENT_TRACK_GREENLET_TREE'
    default = True

    def _tell(self, engine):
        engine.set_tracking(self.value)


def _validate_context(value):
    if value in ('empty', 'inherit'):
        return value
    raise ValueError("Neither 'empty' nor 'inherit': %r" % (value,))


class GreenletContext(EngineSetting):
    """
    With which context (`contextvars`) greenlets begin: ``empty``, or
    ``inherit``, with a copy of that of whoever makes them.
    """
    name = 'greenlet_context'
    environment_key = 'GEVENT_CONTEXT'
    default = 'empty'

    validate = staticmethod(_validate_context)
    _convert = staticmethod(convert_str_value_as_is)

    def _tell(self, engine):
        source = None
        if self.value == 'inherit':
            from contextvars import copy_context as source
        engine.set_context_source(source)


class MonitorThread(BoolSettingMixin, Setting):
    """
    Give each hub a native thread that watches it, and that reports when no
    greenlet gave way for `max_blocking_time`. It starts with the hub's first
    switch, or by `gevent.hub.Hub.start_periodic_monitoring_thread`.
    """
    name = 'monitor_thread'
    environment_key = 'GEVENT_MONITOR_THREAD_ENABLE'
    default = False


class MaxBlockingTime(FloatSettingMixin, Setting):
    """
    Seconds for which one greenlet may run before the thread of
    `monitor_thread` reports it. Measured by whether the loop gets on;
    greenlets that switch to one another without the hub count as one.
    """
    name = 'max_blocking_time'
    environment_key = 'GEVENT_MAX_BLOCKING_TIME'
    default = 0.1


class PrintBlockingReports(BoolSettingMixin, Setting):
    """
    Print what the thread of `monitor_thread` finds blocked. Subscribers of
    `gevent.events` are told in any case.
    """
    name = 'print_blocking_reports'
    environment_key = 'GEVENT_MONITOR_PRINT_BLOCKING_REPORTS'
    default = True


class MonitorMemoryPeriod(FloatSettingMixin, Setting):
    """
    Seconds between two looks of the thread of `monitor_thread` at the memory of
    the process. A look is costly on some systems, so there is a lower bound.
    """
    name = 'memory_monitor_period'
    environment_key = 'GEVENT_MONITOR_MEMORY_PERIOD'
    default = 5


class MonitorMemoryMaxUsage(ByteCountSettingMixin, Setting):
    """
    Bytes of memory above which the thread of `monitor_thread` emits an event of
    `gevent.events`. A string may end in ``kb``, ``mb`` or ``gb``.
    """
    name = 'max_memory_usage'
    environment_key = 'GEVENT_MONITOR_MEMORY_MAX'


class AresSettingMixin:
    """A setting that the ares resolver takes as a keyword argument."""

    document = False

    @property
    def kwarg_name(self):
        return self.name[len('ares_'):]

    validate = staticmethod(validate_anything)
    _convert = staticmethod(convert_str_value_as_is)


class AresFlags(AresSettingMixin, Setting):
    name = 'ares_flags'
    environment_key = 'GEVENTARES_FLAGS'


class AresTimeout(AresSettingMixin, Setting):
    """
    The older name of `resolver_timeout`. Set one of them, not both.
    """
    document = True
    name = 'ares_timeout'
    environment_key = 'GEVENTARES_TIMEOUT'


class AresTries(AresSettingMixin, Setting):
    name = 'ares_tries'
    environment_key = 'GEVENTARES_TRIES'


class AresNdots(AresSettingMixin, Setting):
    name = 'ares_ndots'
    environment_key = 'GEVENTARES_NDOTS'


class AresUDPPort(AresSettingMixin, Setting):
    name = 'ares_udp_port'
    environment_key = 'GEVENTARES_UDP_PORT'


class AresTCPPort(AresSettingMixin, Setting):
    name = 'ares_tcp_port'
    environment_key = 'GEVENTARES_TCP_PORT'


class AresServers(AresSettingMixin, Setting):
    """
    The older name of `resolver_nameservers`. Set one of them, not both.
    """
    document = True
    name = 'ares_servers'
    environment_key = 'GEVENTARES_SERVERS'
    _convert = Setting._convert


class ResolverNameservers(AresSettingMixin, Setting):
    """
    Addresses of the name servers to ask, in place of those of the system's
    configuration; a string separates them by commas. For the ``ares`` and
    ``dnspython`` resolvers.
    """
    document = True
    name = 'resolver_nameservers'
    environment_key = 'GEVENT_RESOLVER_NAMESERVERS'
    kwarg_name = 'servers'
    _convert = Setting._convert


class ResolverTimeout(FloatSettingMixin, AresSettingMixin, Setting):
    """
    Seconds that the resolver may spend on one question in all. For the ``ares``
    and ``dnspython`` resolvers.
    """
    document = True
    name = 'resolver_timeout'
    environment_key = 'GEVENT_RESOLVER_TIMEOUT'
    kwarg_name = 'timeout'


class ResolverCache(AresSettingMixin, Setting):
    """
    Whether the ``ares`` resolver keeps answers for their time to live: ``1``,
    ``on``, ``yes``, ``true`` or ``0``, ``off``, ``no``, ``false``. By default
    it does; the system's functions would ask each time.
    """
    document = True
    name = 'resolver_cache'
    environment_key = 'GEVENT_RESOLVER_CACHE'
    kwarg_name = 'cache'

    def _convert(self, value):
        return None if value in (None, '') else validate_bool(value)


def make_settings():
    """Yield a ``(name, Setting)`` pair for every setting."""
    for kind in ALL_SETTINGS:
        yield kind.name, kind()


def _setting_property(kind):
    name = kind.name
    return property(lambda self: self.settings[name].get(),
                    lambda self, value: self.settings[name].set(value),
                    doc=kind.__doc__)


class Config:
    """
    The settings, as attributes; `print_help` tells what each is for.

    The one object of this class in use is ``gevent.config``. Change a setting
    before it is used for the first time.
    """

    def __init__(self):
        self.settings = dict(make_settings())

    def __getattr__(self, name):
        settings = vars(self).get('settings', {})
        try:
            return settings[name].get()
        except KeyError:
            raise AttributeError(
                'No configuration setting for: %r' % (name,)) from None

    def set(self, name, value):
        """Make *value* the value of the setting *name*.

        :raise AttributeError: when there is no such setting.
        :raise ValueError: when the value is not acceptable.
        """
        try:
            setting = self.settings[name]
        except KeyError:
            raise AttributeError(
                'No configuration setting for: %r' % (name,)) from None
        setting.set(value)

    def __setattr__(self, name, value):
        if name != 'settings' and name in self.settings:
            self.set(name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self):
        return list(self.settings)

    def print_help(self):
        """Print every setting with its description and environment variable."""
        for name, setting in self.settings.items():
            print(name)
            for line in setting.desc.splitlines():
                print('    ' + line if line else '')
            print()


for _kind in ALL_SETTINGS:
    if _kind.document:
        setattr(Config, _kind.name, _setting_property(_kind))
del _kind

#: The settings of this process.
config = Config()


if __name__ == '__main__':
    config.print_help()
