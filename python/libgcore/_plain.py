"""The plain Python twin of the accelerator.

The same names and behaviour, over the cffi binding, for interpreters without
the accelerator and for comparison: both are run by the same tests.  What the
accelerator does as one step is several here, so that a signal handler that
raises in the middle of one may lose a wake-up.

``_plain_NAME.py`` is the twin of ``accel/NAME.c``.
"""
from libgcore._binding import lib
from libgcore._plain_base import (
    configure, get_hub, get_hub_if_exists, set_hub,
)
from libgcore._plain_callback import callback, run_switch
from libgcore._plain_greenlets import HubBase, sleep
from libgcore._plain_loop import Loop
from libgcore._plain_task import (
    Gather, Task, configure_tasks, set_context_source, set_spawn_callback,
    set_tracking, throw_into,
)
from libgcore._plain_wait import Wait, pause
from libgcore._plain_watcher import (
    AsyncWatcher, IoWatcher, StatWatcher, TimerWatcher, Watcher,
    set_events_marker,
)

__all__ = [
    'AsyncWatcher', 'Gather', 'HubBase', 'IoWatcher', 'Loop', 'StatWatcher',
    'Task', 'TimerWatcher', 'Wait', 'Watcher', 'cached_chunks', 'callback',
    'configure', 'configure_tasks', 'get_hub', 'get_hub_if_exists',
    'install_chunk_cache', 'pause', 'run_switch', 'set_context_source',
    'set_events_marker', 'set_hub', 'set_spawn_callback', 'set_tracking',
    'sleep', 'throw_into', 'trim_chunks',
]

if lib.gcore_version_number() < (lib.GCORE_VERSION_MAJOR * 10000
                                 + lib.GCORE_VERSION_MINOR * 100
                                 + lib.GCORE_VERSION_PATCH):
    raise ImportError('the loaded libgcore is older than this package')


def install_chunk_cache():
    """There is none here."""
    return False


def cached_chunks():
    """How many are free: none."""
    return 0


def trim_chunks(keep):  # pylint:disable=unused-argument
    """Nothing to give back."""
