"""`gevent.resolver.thread`, by the name it once had."""
from gevent.resolver.thread import Resolver

__all__ = ['Resolver']
