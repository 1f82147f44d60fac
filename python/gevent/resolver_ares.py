"""`gevent.resolver.ares`, by the name it once had."""
from gevent.resolver.ares import Resolver

__all__ = ['Resolver']
