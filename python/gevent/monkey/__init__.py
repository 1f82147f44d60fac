"""
Make the standard library cooperative: replace what blocks by what lets other
greenlets run.

Call `patch_all` as early as possible, before other imports::

    from gevent import monkey; monkey.patch_all()

or leave the program as it is, and start it with::

    python -m gevent.monkey [--no-MODULE ...] [--module] script [argument ...]

Each ``patch_<module>`` replaces parts of one module. What was replaced is in
`saved`, and `get_original` returns it. Others can take part by means of
`gevent.events`.
"""
import sys

from gevent.monkey._errors import MonkeyPatchWarning
from gevent.monkey._errors import _BadImplements
from gevent.monkey._state import is_anything_patched
from gevent.monkey._state import is_module_patched
from gevent.monkey._state import is_object_patched
from gevent.monkey._state import saved
from gevent.monkey._util import _check_availability
from gevent.monkey._util import _ignores_DoNotPatch
from gevent.monkey._util import _notify_patch
from gevent.monkey._util import _patch_module
from gevent.monkey._util import _process_warnings
from gevent.monkey._util import _queue_warning
from gevent.monkey.api import get_original
from gevent.monkey.api import patch_item
from gevent.monkey.api import patch_module
from gevent.monkey.api import remove_item
from gevent.monkey._main import main

__all__ = [
    'patch_all',
    'patch_builtins',
    'patch_dns',
    'patch_os',
    'patch_queue',
    'patch_select',
    'patch_signal',
    'patch_socket',
    'patch_ssl',
    'patch_subprocess',
    'patch_sys',
    'patch_thread',
    'patch_time',
    'get_original',
    'is_module_patched',
    'is_object_patched',
    'patch_module',
    'main',
    'MonkeyPatchWarning',
]

# The key of `saved` under which patch_all keeps its arguments.
_SETTINGS = '_gevent_saved_patch_all_module_settings'


@_ignores_DoNotPatch
def patch_os():
    """Replace ``os.fork``, ``waitpid`` and their kin, and ``os.close``.

    A fork then re-arms the loop in the child, and the parent can wait for the
    child without blocking. See `gevent.os`.
    """
    _patch_module('os')


@_ignores_DoNotPatch
def patch_queue():
    """Replace the classes of the `queue` module by those of `gevent.queue`.

    Setting the environment variable ``GEVENT_MONKEY_DISABLE_QUEUE_QUEUE``
    keeps the standard ``queue.Queue``.
    """
    from gevent import queue
    items = list(queue.__implements__)
    if _is_queue_queue_disabled():
        items.remove('Queue')
    _patch_module('queue', items=items)


def _is_queue_queue_disabled():
    import os
    from gevent._config import validate_bool
    return validate_bool(os.environ.get('GEVENT_MONKEY_DISABLE_QUEUE_QUEUE', ''))


@_ignores_DoNotPatch
def patch_time():
    """Replace `time.sleep`."""
    _patch_module('time')


def patch_contextvars():
    """Do nothing: each greenlet has a context of its own."""


def patch_thread(threading=True, _threading_local=True, Event=True,
                 logging=True, existing_locks=True, _warnings=None):
    """Make threads greenlets, and locks those of gevent.

    :param bool threading: patch `threading`, too, not only ``_thread``?
    :param bool _threading_local: make ``_threading_local.local`` local to
        greenlets?
    :param bool Event: make `threading.Event` that of `gevent.event`?
    :param bool logging: give new locks to `logging` and its handlers, when it
        was imported?
    :param bool existing_locks: adapt locks that exist already?
    """
    if sys.version_info >= (3, 13):
        from gevent.monkey._patch_thread_gte313 import Patcher
    else:
        from gevent.monkey._patch_thread_lt313 import Patcher
    Patcher(threading, _threading_local, Event, logging, existing_locks,
            _warnings)()


@_ignores_DoNotPatch
def patch_socket(dns=True, aggressive=True): # pylint:disable=unused-argument
    """Replace the sockets of the `socket` module.

    :param bool dns: replace the functions that look up names, too?
    :param bool aggressive: kept for compatibility.
    """
    from gevent import socket
    items = socket.__implements__
    if not dns:
        items = [item for item in items if item not in socket.__dns__]
    _patch_module('socket', items=items)


@_ignores_DoNotPatch
def patch_dns():
    """Replace the functions of the `socket` module that look up names."""
    from gevent import socket
    _patch_module('socket', items=socket.__dns__)


@_ignores_DoNotPatch
def patch_ssl(_warnings=None, _first_time=True):
    """Replace `ssl.SSLContext` and what goes with it.

    Warns when the standard ones are already known elsewhere, as it happens when
    `ssl` was imported before.
    """
    imported_before = _first_time and sys.modules.get('ssl')
    native_context = getattr(imported_before, 'SSLContext', None)
    gevent_module, _ = _patch_module('ssl', _warnings=_warnings)
    if native_context is None or native_context is gevent_module.SSLContext:
        return
    _warn_of_known_context(native_context, _warnings)


def _warn_of_known_context(native_context, _warnings):
    modules = _find_module_refs(native_context,
                                excluding_names=('ssl', 'gevent.ssl',
                                                 'gevent._ssl3'))
    subclasses = [cls for cls in type.__subclasses__(native_context)
                  if not cls.__module__.startswith('gevent.')]
    if not modules and not subclasses:
        return
    message = ("Monkey-patching ssl after ssl has already been imported may "
               "lead to errors, such as RecursionError, or let some "
               "connections block. Please monkey-patch earlier.")
    if modules:
        message += (" Modules that had direct imports (NOT patched): %s."
                    % modules)
    if subclasses:
        message += (" Subclasses (NOT patched): %s."
                    % [str(cls) for cls in subclasses])
    _queue_warning(message, _warnings)


def _find_module_refs(to, excluding_names=()):
    """The modules that have the object *to* among their attributes, as
    ``name (file:line)`` (list of str); the line is that of the import."""
    found = []
    for name, module in list(sys.modules.items()):
        if name in excluding_names:
            continue
        attributes = getattr(module, '__dict__', None) or {}
        if any(value is to for value in list(attributes.values())):
            file = attributes.get('__file__') or '<unknown>'
            line = _line_of_import(file, to.__module__)
            place = file if line is None else '%s:%d' % (file, line)
            found.append('%s (%s)' % (name, place))
    return sorted(found)


def _line_of_import(file, imported):
    """Where *file* imports the module named *imported*: its line (int), None
    when that cannot be found."""
    import ast
    import tokenize
    try:
        with tokenize.open(file) as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        names = ([node.module] if isinstance(node, ast.ImportFrom) else
                 [alias.name for alias in node.names]
                 if isinstance(node, ast.Import) else ())
        if imported in names:
            return node.lineno
    return None


@_ignores_DoNotPatch
def patch_select(aggressive=True):
    """Replace `select.select`, `select.poll` and `select.epoll`.

    :param bool aggressive: remove the functions that stay blocking, such as
        ``kqueue``?
    """
    _patch_module('select', _patch_kwargs={'aggressive': aggressive})


@_ignores_DoNotPatch
def patch_selectors(aggressive=True):
    """Replace `selectors.DefaultSelector`.

    :param bool aggressive: remove the classes that stay blocking, such as
        ``KqueueSelector``?
    """
    _patch_module('selectors', _patch_kwargs={'aggressive': aggressive})


@_ignores_DoNotPatch
def patch_subprocess():
    """Replace `subprocess.Popen` and the functions that use it."""
    _patch_module('subprocess')


def patch_builtins():
    """Do nothing: no builtin function needs a version for greenlets."""


@_ignores_DoNotPatch
def patch_signal():
    """Replace `signal.signal` and ``getsignal``, so that a handler of SIGCHLD
    and gevent's own watching of child processes do not exclude each other, and
    ``pthread_kill``, so that it takes the identity of a greenlet. See
    `gevent.signal`."""
    _patch_module('signal')


def patch_sys(stdin=True, stdout=True, stderr=True): # pylint:disable=unused-argument
    """Do nothing.

    The interpreter flushes ``sys.stdout`` and ``sys.stderr`` when it ends, and
    waiting for a loop by then would hang.
    """


def _subscribe_signal_os(will_patch_all):
    # patch_all calls it; also usable as a subscriber of that event.
    if (will_patch_all.will_patch_module('signal')
            and not will_patch_all.will_patch_module('os')):
        _queue_warning(
            'Patching signal but not os will result in SIGCHLD handlers '
            'installed after this not being called and os.waitpid may not '
            'function correctly if gevent.subprocess is used. This may raise '
            'an error in the future.',
            will_patch_all._warnings)


def _check_repatching(**module_settings):
    """Compare the arguments of `patch_all` with those of earlier calls.

    :return: a list for warnings, with one in it where they differ; is it the
        first call? (bool); and the arguments that are new or have become true
        (dict).
    """
    _warnings = []
    known = saved.setdefault(_SETTINGS, {})
    first_time = not known
    if not first_time and known != module_settings:
        _queue_warning('Patching more than once will result in the union of '
                       'all True parameters being patched', _warnings)
    news = {name: value for name, value in module_settings.items()
            if name not in known or (value and not known[name])}
    known.update(news)
    return _warnings, first_time, news


def patch_all(socket=True, dns=True, time=True, select=True, thread=True,
              os=True, ssl=True, subprocess=True, sys=False, aggressive=True,
              Event=True, builtins=True, signal=True, queue=True,
              contextvars=True, **kwargs):
    """Make the whole standard library cooperative.

    Each argument named after a module says whether to patch that; for the
    others see `patch_socket`, `patch_select` and `patch_thread`. Unknown
    arguments are ignored, but subscribers of `gevent.events` see them. A
    repeated call patches what was not yet patched, and warns when its arguments
    differ.

    :return: True; None when there was nothing left to do; False when a
        subscriber prevented it.
    """
    arguments = dict(
        socket=socket, dns=dns, time=time, select=select, thread=thread, os=os,
        ssl=ssl, subprocess=subprocess, sys=sys, aggressive=aggressive,
        Event=Event, builtins=builtins, signal=signal, queue=queue,
        contextvars=contextvars)
    _warnings, first_time, news = _check_repatching(**arguments)
    if not news:
        _process_warnings(_warnings)
        return None
    if not _announce_all(arguments, kwargs, _warnings):
        return False

    for patch in _patches(arguments, news, first_time, _warnings):
        patch()

    _report_all(arguments, kwargs, _warnings)
    _process_warnings(_warnings)
    return True


def _patches(arguments, news, first_time, _warnings):
    """Yield what `patch_all` has to call, in order."""
    aggressive = arguments['aggressive']
    if news.get('os'):
        yield patch_os
    if news.get('thread') or (news.get('Event') and arguments['thread']):
        yield lambda: patch_thread(Event=arguments['Event'],
                                   _warnings=_warnings)
    if news.get('time'):
        yield patch_time
    if news.get('sys'):
        yield patch_sys
    if news.get('socket'):
        yield lambda: patch_socket(dns=arguments['dns'], aggressive=aggressive)
    elif news.get('dns') and arguments['socket']:
        yield patch_dns
    if news.get('select'):
        yield from _patches_of_select(aggressive)
    if news.get('ssl'):
        yield lambda: patch_ssl(_warnings=_warnings, _first_time=first_time)
    if news.get('subprocess'):
        yield patch_subprocess
    if news.get('builtins'):
        yield patch_builtins
    if news.get('signal'):
        yield patch_signal
    if news.get('queue'):
        yield patch_queue


def _patches_of_select(aggressive):
    both = [lambda: patch_select(aggressive=aggressive),
            lambda: patch_selectors(aggressive=aggressive)]
    # From 3.14 on, importing selectors needs what patching select removes.
    return both if sys.version_info < (3, 14) else reversed(both)


def _announce_all(arguments, kwargs, _warnings):
    from gevent import events
    event = events.GeventWillPatchAllEvent(arguments, kwargs)
    try:
        _notify_patch(event, _warnings)
    except events.DoNotPatch:
        return False
    _subscribe_signal_os(event)
    return True


def _report_all(arguments, kwargs, _warnings):
    from gevent import events
    for kind in (events.GeventDidPatchBuiltinModulesEvent,
                 events.GeventDidPatchAllEvent):
        _notify_patch(kind(arguments, kwargs), _warnings)
