"""The base class of loops."""
from gevent.libev.corecext import loop as AbstractLoop

__all__ = ['AbstractLoop']
