"""
Concurrency by greenlets: thousands of blocking-style tasks in one thread.

The engine is libgcore; see :mod:`gevent.monkey` for making the standard
library cooperate.
"""
from collections import namedtuple as _namedtuple
from sys import getswitchinterval, setswitchinterval

from libgcore._distribution import VERSION as __version__

from gevent._config import config
from gevent import exceptions  # noqa: F401  (part of what an import binds)
from gevent import hub as _hub
from gevent import timeout as _timeout
from gevent import greenlet as _greenlet
from gevent.hub import (
    GreenletExit, get_hub, getcurrent, idle, iwait, kill, reinit, sleep,
    spawn_raw, wait,
)
from gevent.hub import signal as signal_handler
from gevent.greenlet import Greenlet, joinall, killall
from gevent.timeout import Timeout, with_timeout
from gevent import os as _os
# The rest is what an import binds beside: programs reach for these modules
# without importing them.
from gevent import _abstract_linkable, _compat, event  # noqa: F401
from gevent.libev import corecext as _corecext  # noqa: F401

__all__ = [
    'Greenlet',
    'GreenletExit',
    'Timeout',
    'config',
    'fork',
    'get_hub',
    'getcurrent',
    'getswitchinterval',
    'idle',
    'iwait',
    'joinall',
    'kill',
    'killall',
    'reinit',
    'setswitchinterval',
    'signal_handler',
    'sleep',
    'spawn',
    'spawn_later',
    'spawn_raw',
    'wait',
    'with_timeout',
]

_version_info = _namedtuple(
    'version_info', ('major', 'minor', 'micro', 'releaselevel', 'serial'))
#: The version as a tuple.
version_info = _version_info(26, 5, 0, 'final', 0)

spawn = Greenlet.spawn
spawn_later = Greenlet.spawn_later
fork = _os.fork


def __getattr__(name):
    if name in ('signal', '_interfaces'):  # modules few programs need
        from importlib import import_module
        return import_module(f'gevent.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def shutdown():
    """End the program in an orderly way: raise SystemExit.

    From whichever greenlet it is called, as the handler of a signal for one
    (``gevent.signal(signal.SIGQUIT, gevent.shutdown)``), the exception reaches
    the main greenlet.
    """
    raise SystemExit
