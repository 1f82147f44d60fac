"""The base class of watchers."""
from gevent.libev.corecext import watcher  # pylint:disable=unused-import

# The same as in the modules of each kind of loop.
__all__ = []
