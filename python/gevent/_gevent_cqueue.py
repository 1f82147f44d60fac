"""Another name of :mod:`gevent.queue`."""
from gevent.queue import *
from gevent.queue import ItemWaiter, UnboundQueue, __all__ as _names

__all__ = list(_names) + ['ItemWaiter', 'UnboundQueue']
