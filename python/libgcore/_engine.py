"""Picks the engine's Python side: the C accelerator, or its plain twin.

``GCORE_PURE=1`` or ``PURE_PYTHON=1`` asks for the twin; where there is no
accelerator (PyPy) it is used anyway.
"""
import os
import sys

__all__ = [
    'ACCELERATED', 'AsyncWatcher', 'Gather', 'HubBase', 'IoWatcher', 'Loop',
    'StatWatcher', 'Task', 'TimerWatcher', 'Wait', 'Watcher', 'cached_chunks',
    'callback', 'configure', 'configure_tasks', 'get_hub',
    'get_hub_if_exists', 'set_spawn_callback', 'set_tracking',
    'install_chunk_cache', 'pause', 'run_switch', 'set_events_marker',
    'set_hub', 'sleep', 'throw_into', 'trim_chunks', 'implementation',
]


def _wants_plain():
    return any(os.environ.get(name) not in (None, '', '0')
               for name in ('GCORE_PURE', 'PURE_PYTHON', 'GEVENT_PURE_PYTHON'))


try:
    if _wants_plain():
        from libgcore import _plain as implementation
    else:
        from libgcore import _accel as implementation
except ImportError as error:
    from libgcore import _loaded
    _loaded.refuse_other_engine(error)
    raise

#: Whether the C accelerator is in use.
ACCELERATED = implementation.__name__ == 'libgcore._accel'

AsyncWatcher = implementation.AsyncWatcher
Gather = implementation.Gather
HubBase = implementation.HubBase
IoWatcher = implementation.IoWatcher
Loop = implementation.Loop
StatWatcher = implementation.StatWatcher
Task = implementation.Task
TimerWatcher = implementation.TimerWatcher
Wait = implementation.Wait
Watcher = implementation.Watcher
callback = implementation.callback
cached_chunks = implementation.cached_chunks
configure = implementation.configure
configure_tasks = implementation.configure_tasks
get_hub = implementation.get_hub
get_hub_if_exists = implementation.get_hub_if_exists
install_chunk_cache = implementation.install_chunk_cache
pause = implementation.pause
run_switch = implementation.run_switch
set_context_source = implementation.set_context_source
set_events_marker = implementation.set_events_marker
set_hub = implementation.set_hub
set_spawn_callback = implementation.set_spawn_callback
set_tracking = implementation.set_tracking
sleep = implementation.sleep
throw_into = implementation.throw_into
trim_chunks = implementation.trim_chunks


def _cache_chunks():
    # CPython 3.11 was the first to give each greenlet a frame chunk; builds
    # without the GIL use other allocators.
    if (sys.version_info < (3, 11)
            or os.environ.get('GCORE_CHUNK_CACHE') == '0'
            or not getattr(sys, '_is_gil_enabled', lambda: True)()):
        return False
    return install_chunk_cache()


#: Whether the interpreter's frame chunks are cached (``GCORE_CHUNK_CACHE=0``
#: turns that off).
CHUNKS_CACHED = _cache_chunks()
