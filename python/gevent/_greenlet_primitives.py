"""Greenlet classes below ``gevent.Greenlet``."""
import gc
from weakref import ref as wref

from greenlet import getcurrent, greenlet

from gevent._config import config
from gevent.exceptions import BlockingSwitchOutError
from libgcore import _engine

__all__ = [
    'TrackedRawGreenlet', 'SwitchOutGreenletWithLoop', 'get_memory',
    'get_reachable_greenlets',
]


class TrackedRawGreenlet(greenlet):
    """A greenlet that runs in the hub's tree and knows who spawned it."""

    def __init__(self, function, parent):
        greenlet.__init__(self, function, parent)
        if config.greenlet_context == 'inherit':
            from contextvars import copy_context
            self.gr_context = copy_context()
        # The attributes live in the greenlet's dictionary, as this class is
        # as open to them as a plain greenlet.
        if config.track_greenlet_tree:
            current = getcurrent()
            self.spawning_greenlet = wref(current)
            # Those spawned by main each begin a tree of their own.
            tree = getattr(current, 'spawn_tree_locals', None)
            if tree is None:
                tree = {}
                if current.parent is not None:
                    current.spawn_tree_locals = tree
            self.spawn_tree_locals = tree


class SwitchOutGreenletWithLoop(_engine.HubBase):
    """What a hub is: ``switch()`` gives up, and blocking in it is an error."""

    def switch_out(self):
        """Raise, as a callback of the hub called something that blocks."""
        raise BlockingSwitchOutError(
            'Impossible to call blocking function in the event loop callback')


def get_reachable_greenlets():
    """All greenlets the garbage collector can see."""
    return [x for x in gc.get_objects()
            if isinstance(x, greenlet) and not getattr(
                x, 'greenlet_tree_is_ignored', False)]


def get_memory(obj):
    """A memoryview of `obj`, of bytes where it is contiguous."""
    view = memoryview(obj)
    if view.ndim == 0 or (view.ndim == 1 and view.itemsize == 1):
        return view
    return view.cast('B')
