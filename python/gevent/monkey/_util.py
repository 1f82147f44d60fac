"""
Help for the functions that patch: warnings, events, finding the modules.
"""
import sys
from functools import wraps
from importlib import import_module

from gevent.events import DoNotPatch
from gevent.events import notify_and_call_entry_points
from gevent.monkey._errors import MonkeyPatchWarning
from gevent.monkey.api import patch_module

__all__ = []


def _notify_patch(event, _warnings=None):
    """Tell everybody of *event*, which may add to *_warnings*."""
    event._warnings = _warnings
    notify_and_call_entry_points(event)


def _ignores_DoNotPatch(func):
    """*func*, returning False when a subscriber raises `DoNotPatch`."""
    @wraps(func)
    def ignores(*args, **kwargs):
        try:
            return func(*args, **kwargs)
        except DoNotPatch:
            return False
    return ignores


def _queue_warning(message, _warnings):
    """Add *message* to the list *_warnings*; with None, warn at once."""
    if _warnings is None:
        _process_warnings([message])
    elif message not in _warnings:
        _warnings.append(message)


def _process_warnings(_warnings):
    """Emit each text of *_warnings*, as a warning about whoever called this
    package."""
    import warnings
    level = _stacklevel_of_caller()
    for message in _warnings:
        warnings.warn(message, MonkeyPatchWarning, stacklevel=level)


def _stacklevel_of_caller():
    # As counted from the caller of this function.
    level = 1
    frame = sys._getframe(1)
    while frame.f_back and _is_ours(frame):
        frame = frame.f_back
        level += 1
    return level


def _is_ours(frame):
    return frame.f_globals.get('__name__', '').startswith('gevent.')


def _check_availability(name):
    """Import what patching *name* (str) needs.

    :return: gevent's module, the module it replaces, and the name of that.
    :raise ImportError: when there is not one or the other.
    """
    gevent_module = import_module('gevent.' + name)
    target_name = getattr(gevent_module, '__target__', name)
    return gevent_module, import_module(target_name), target_name


def _patch_module(name,
                  items=None,
                  _warnings=None,
                  _patch_kwargs=None,
                  _notify_will_subscribers=True,
                  _notify_did_subscribers=True,
                  _call_hooks=True):
    """Patch what ``gevent.<name>`` replaces.

    :return: gevent's module, and the one patched.
    """
    gevent_module, target_module, _ = _check_availability(name)
    patch_module(target_module, gevent_module, items=items,
                 _warnings=_warnings,
                 _patch_kwargs=_patch_kwargs,
                 _notify_will_subscribers=_notify_will_subscribers,
                 _notify_did_subscribers=_notify_did_subscribers,
                 _call_hooks=_call_hooks)
    return gevent_module, target_module
