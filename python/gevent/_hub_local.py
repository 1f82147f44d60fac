"""Which hub and loop a thread has."""
# Taken before anything can be patched.
from _thread import get_ident as _thread_ident

from libgcore import _engine

__all__ = [
    'get_hub',
    'get_hub_noargs',
    'get_hub_if_exists',
    'get_hub_class',
    'get_loop',
    'set_default_hub_class',
    'set_hub',
    'set_loop',
]

_hub_class = None
_next_loops = {}  # thread ident -> loop for that thread's next hub

get_hub_noargs = _engine.get_hub
get_hub_if_exists = _engine.get_hub_if_exists


def get_hub():
    """The hub of the calling thread; made when there is none yet."""
    return _engine.get_hub()


def set_hub(hub):
    """Make `hub` the calling thread's; None makes the next use make one."""
    _engine.set_hub(hub)


def set_default_hub_class(hubtype):
    """The class of hubs made from now on."""
    global _hub_class
    _hub_class = hubtype


def get_hub_class():
    """The class of hubs that will be made."""
    return _hub_class


def get_loop():
    """The loop set for the calling thread's next hub, or its hub's."""
    loop = _next_loops.get(_thread_ident()) if _next_loops else None
    if loop is None:
        hub = get_hub_if_exists()
        loop = hub.loop if hub is not None else None
    return loop


def set_loop(loop):
    """The loop the calling thread's next hub will run on; None: a new one."""
    if loop is None:
        _next_loops.pop(_thread_ident(), None)
    else:
        _next_loops[_thread_ident()] = loop


def _take_loop():
    """The loop set by set_loop, if any; only once."""
    return _next_loops.pop(_thread_ident(), None) if _next_loops else None


def _make_hub():
    return _hub_class()
